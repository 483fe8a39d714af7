#include "storage/seg_map.h"

#include "storage/seg_format.h"
#include "storage/seg_metric.h"
#include "storage/seg_tokens.h"

/* -- which chunks ---------------------------------------------------------------------------------------------- */

struct places {
    struct arena *a;
    struct seg_place *v;
    uint32_t n;
    size_t cap;
};

static void add(struct places *p, const struct seg_place *place)
{
    p->v = arena_grow(p->a, p->v, p->n, &p->cap, p->n + 1, sizeof *p->v);
    p->v[p->n++] = *place;
}

static err_t map_rows(const struct seg_group *g, struct places *p)
{
    struct seg_rows *dir = ARENA_NEW(p->a, struct seg_rows);
    TRY(seg_rows_parse(g->meta, g->nrows, p->a, dir));
    for (int rel = 0; rel < SEG_RELS; rel++) {
        const struct seg_rel *r = &dir->rel[rel];
        struct seg_place place = { .kind = PLACE_LINK, .rel = rel, .nrows = r->nrows, .chunk = r->link };
        if (!r->present) continue;
        if (rel != REL_ROWS) add(p, &place);
        for (uint32_t i = 0; i < r->ncols; i++) {
            place.col = &r->cols[i];
            place.kind = PLACE_COLUMN;
            place.chunk = place.col->chunk;
            add(p, &place);
            place.kind = PLACE_FILTER;
            place.chunk = place.col->bloom;
            if (place.col->flags & SEG_COL_BLOOM) add(p, &place);
        }
        TRY(arena_check(p->a));
    }
    return OK;
}

static err_t map_metrics(const struct seg_group *g, struct places *p)
{
    struct seg_metric m;
    TRY(seg_metric_decode(g->meta, g->nrows, p->a, &m));
    for (uint32_t i = 0; i < m.nchunks; i++)
        add(p, &(struct seg_place){ .kind = PLACE_SAMPLES, .chunk = m.chunk[i] });
    for (uint32_t i = 0; i < m.npages; i++)
        add(p, &(struct seg_place){ .kind = PLACE_SERIES, .chunk = m.page[i].at, .items = m.page[i].n });
    for (uint32_t i = 0; i < m.nnames; i++)
        for (uint32_t k = 0; k < m.name[i].nparts; k++)
            add(p, &(struct seg_place){ .kind = PLACE_LABELS, .chunk = m.name[i].part[k].at, .label = m.name[i].name,
                                        .items = m.name[i].part[k].nvalues });
    if (m.has_meta) add(p, &(struct seg_place){ .kind = PLACE_FAMILIES, .chunk = m.meta });
    return arena_check(p->a);
}

err_t seg_map_group(const struct seg_group *g, struct arena *a, struct seg_place **out, uint32_t *n)
{
    struct places p = { .a = a };
    err_t e = g->signal == SIG_METRICS ? map_metrics(g, &p) : map_rows(g, &p);
    *out = p.v;
    *n = p.n;
    return e;
}

/* -- are they whole -------------------------------------------------------------------------------------------------- */

static err_t verify_places(struct seg *s, const struct seg_place *v, uint32_t n, seg_pace_fn *pace, void *ctx)
{
    for (uint32_t i = 0; i < n; i++) {
        struct arena a;
        struct str bytes;
        arena_init_sized(&a, NULL, (size_t)MIN(v[i].chunk.size, SEG_CHUNK_MAX) + 64);
        err_t e = seg_read(s, &v[i].chunk, &a, &bytes);
        arena_deinit(&a);
        TRY(e);
        TRY(pace ? pace(ctx, v[i].chunk.size) : rt_checkpoint());
    }
    return OK;
}

err_t seg_verify_group(struct seg *s, uint32_t group, seg_pace_fn *pace, void *ctx)
{
    struct arena a;
    struct seg_place *v;
    uint32_t n;
    arena_init(&a, NULL);
    err_t e = seg_map_group(seg_group(s, group), &a, &v, &n);
    if (e == OK) e = verify_places(s, v, n, pace, ctx);
    arena_deinit(&a);
    return e;
}

/* Pages are small: some are read at once. */
enum { IDS_READ = 256 << 10 };

static err_t verify_pages(struct seg *s, const struct seg_ids *ids, uint32_t from, uint32_t to)
{
    uint32_t first = from ? ids->end[from - 1] : 0, size = ids->end[to - 1] - first;
    struct arena a;
    arena_init_sized(&a, NULL, (size_t)size + 64);
    char *p = arena_alloc(&a, (size_t)size + 1);
    struct file_range r = { .to = p, .n = size, .off = ids->off + first };
    err_t e = size ? seg_read_raw(s, &r, 1) : OK;
    for (uint32_t i = from, at = 0; e == OK && i < to; i++) {
        uint32_t n = ids->end[i] - first - at;
        e = seg_ids_check(ids, (struct str){ p + at, n }, i);
        if (e == ERR_CORRUPT) e = seg_wrong_checksum(s, r.off + at, n);
        at += n;
    }
    arena_deinit(&a);
    return e;
}

static err_t verify_index(struct seg *s, const struct seg_ids *ids, seg_pace_fn *pace, void *ctx)
{
    for (uint32_t from = 0, to; from < ids->npages; from = to) {
        uint32_t first = from ? ids->end[from - 1] : 0;
        for (to = from + 1; to < ids->npages && ids->end[to] - first <= IDS_READ;)
            to++;
        TRY(verify_pages(s, ids, from, to));
        TRY(pace ? pace(ctx, ids->end[to - 1] - first) : rt_checkpoint());
    }
    return OK;
}

err_t seg_verify_indexes(struct seg *s, seg_pace_fn *pace, void *ctx)
{
    struct seg_layout l;
    seg_layout(s, &l);
    TRY(verify_index(s, l.ids, pace, ctx));
    for (uint32_t i = 0; i < l.tokens->n; i++)
        TRY(verify_index(s, &l.tokens->v[i].ids, pace, ctx));
    return OK;
}
