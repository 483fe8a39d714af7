/* Adds up a segment: see inspect_int.h. Columns and samples are decoded, which tells their codecs and proves them whole. */
#include "base/core/assert.h"
#include "server/inspect_int.h"
#include "storage/col_sample.h"
#include "storage/seg_format.h"
#include "storage/seg_metric.h"
#include "storage/seg_reader.h"
#include "storage/seg_tokens.h"

#include <stdlib.h>

struct gather {
    struct seg *seg;
    struct arena *a;
    struct insp *out;
    struct seg_chunk *used; /* what is accounted for */
    uint32_t nused;
    size_t used_cap;
};

static void use(struct gather *g, const struct seg_chunk *c)
{
    g->used = arena_grow(g->a, g->used, g->nused, &g->used_cap, g->nused + 1, sizeof *g->used);
    g->used[g->nused++] = *c;
}

/* -- rows --------------------------------------------------------------------------------------------------------- */

static struct insp_col *col_of(struct gather *g, struct insp_set *set, int rel, const struct seg_col *c)
{
    for (uint32_t i = 0; i < set->ncols; i++) {
        struct insp_col *k = &set->cols[i];
        if (k->rel == rel && k->scope == c->scope && k->type == c->type && str_eq(k->name, c->name)) return k;
    }
    set->cols = arena_grow(g->a, set->cols, set->ncols, &set->cols_cap, set->ncols + 1, sizeof *set->cols);
    struct insp_col *k = &set->cols[set->ncols++];
    *k = (struct insp_col){ .rel = rel, .scope = c->scope, .type = c->type, .width = c->width, .name = c->name };
    return k;
}

static void add_zone(struct insp_col *k, const struct seg_col *c)
{
    bool first = !k->has_zone;
    k->flags |= c->flags;
    k->distinct = MAX(k->distinct, c->distinct);
    if (!(c->flags & (SEG_COL_INT | SEG_COL_F64 | SEG_COL_STR))) return;
    k->has_zone = true;
    if (first || c->min < k->min) k->min = c->min;
    if (first || c->max > k->max) k->max = c->max;
    if (first || c->fmin < k->fmin) k->fmin = c->fmin;
    if (first || c->fmax > k->fmax) k->fmax = c->fmax;
    if (first || str_cmp(c->smin, k->smin) < 0) k->smin = c->smin;
    if (first || str_cmp(c->smax, k->smax) > 0) k->smax = c->smax;
}

static err_t decode_column(struct gather *g, const struct seg_place *p, struct insp_col *k)
{
    const struct seg_reader from = { .seg = g->seg };
    const struct seg_rel rel = { .present = true, .nrows = p->nrows };
    struct col_tally tally = { 0 };
    struct column c;
    struct arena a;
    arena_init(&a, NULL);
    struct arena bytes;
    struct str raw;
    /* Read first: the tally must not stay open over a yield. */
    arena_init(&bytes, NULL);
    struct seg_range r = { .off = p->chunk.off, .n = p->chunk.size };
    struct seg_reader at_hand = from;
    err_t e;
    TRY_OUT(e, seg_reader_chunk(&from, &p->chunk, &bytes, &raw));
    r.p = raw.p;
    at_hand.have = &r;
    at_hand.nhave = 1;
    col_tally_open = &tally;
    e = seg_rows_column(&at_hand, &rel, p->col, &a, &c);
    col_tally_open = NULL;
    col_tally_add(&k->codecs, &tally);
out:
    arena_deinit(&bytes);
    arena_deinit(&a);
    return e;
}

static err_t add_rows(struct gather *g, struct insp_set *set, const struct seg_place *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct seg_place *p = &v[i];
        if (p->kind == PLACE_LINK) {
            set->link_bytes[p->rel] += p->chunk.size;
            continue;
        }
        struct insp_col *k = col_of(g, set, p->rel, p->col);
        if (p->kind == PLACE_FILTER) {
            k->filter_bytes += p->chunk.size;
            continue;
        }
        k->bytes += p->chunk.size;
        k->values += p->col->nvalid;
        k->rows += p->nrows;
        k->pieces += p->col->cut.npieces;
        add_zone(k, p->col);
        TRY(decode_column(g, p, k));
    }
    return OK;
}

/* -- metrics ------------------------------------------------------------------------------------------------------ */

/* Parts of the raw bytes of the chunks; times that series share are counted once. */
struct parts {
    struct seg_metric *m;
    uint64_t value, time, start;
    struct htab times;
};

static bool first_use(struct parts *p, const struct seg_block *b)
{
    uint64_t hash = hash_u64(b->times);
    uint32_t it = 0, v;
    if (htab_next(&p->times, hash, &it, &v)) return false;
    htab_insert(&p->times, hash, 0);
    return true;
}

static err_t add_blocks(struct insp_set *set, struct parts *p, const struct seg_series *x, struct arena *tmp)
{
    struct seg_block *b;
    uint32_t n;
    TRY(seg_series_blocks(x, INT64_MIN, INT64_MAX, tmp, &b, &n));
    for (uint32_t i = 0; i < n; i++) {
        set->blocks++;
        set->samples += b[i].n;
        set->hist_samples += b[i].hist ? b[i].n : 0;
        set->summaries += b[i].is.resolution_ms ? b[i].n : 0;
        set->summed += b[i].is.resolution_ms ? b[i].is.n : 0;
        p->value += b[i].data_size;
        p->start += b[i].starts_size;
        if (first_use(p, &b[i])) p->time += b[i].times_size;
    }
    return OK;
}

/* Decodes all samples of a series. The chunks that it needs are read before the tally is opened, so that nothing yields under
 * it. */
static err_t decode_series(struct insp_set *set, const struct seg_series *x, struct arena *tmp)
{
    struct sample_set samples;
    TRY(seg_series_read(x, INT64_MIN, INT64_MAX, tmp, &samples));
    struct col_tally tally = { 0 };
    col_tally_open = &tally;
    err_t err = seg_series_read(x, INT64_MIN, INT64_MAX, tmp, &samples);
    col_tally_open = NULL;
    col_tally_add(&set->codecs, &tally);
    return err;
}

static err_t add_page(struct insp_set *set, struct parts *p, uint32_t i)
{
    TRY(seg_metric_page(p->m, i));
    for (uint32_t k = 0; k < p->m->page[i].n; k++) {
        struct arena tmp;
        arena_init(&tmp, NULL);
        const struct seg_series x = { .of = p->m, .entry = &p->m->page[i].entry[k] };
        err_t e = add_blocks(set, p, &x, &tmp);
        if (e == OK) e = decode_series(set, &x, &tmp);
        arena_deinit(&tmp);
        TRY(e);
        TRY(rt_checkpoint());
    }
    return OK;
}

/* Stored bytes a raw one, of chunks [first, last). */
static double packed_share(const struct seg_metric *m, uint32_t first, uint32_t last)
{
    double size = 0, raw = 0;
    for (uint32_t i = first; i < last; i++) {
        size += m->chunk[i].size;
        raw += m->chunk[i].raw_size;
    }
    return raw > 0 ? size / raw : 0;
}

static void add_shares(struct insp_set *set, const struct parts *p)
{
    double data = packed_share(p->m, 0, p->m->ndata), times = packed_share(p->m, p->m->ndata, p->m->nchunks);
    set->value_bytes += (double)p->value * data;
    set->start_bytes += (double)p->start * data;
    set->time_bytes += (double)p->time * times;
}

static err_t add_samples(struct gather *g, struct insp_set *set, const struct seg_group *group)
{
    struct arena a;
    struct view_counts counts = { 0 };
    struct parts p = { 0 };
    arena_init(&a, NULL);
    htab_init(&p.times, NULL);
    err_t e;
    TRY_OUT(e, seg_metric_open(g->seg, group, &a, &counts, &p.m));
    for (uint32_t i = 0; i < p.m->npages; i++)
        TRY_OUT(e, add_page(set, &p, i));
    add_shares(set, &p);
out:
    htab_deinit(&p.times);
    arena_deinit(&a);
    return e;
}

static void add_label(struct gather *g, struct insp_set *set, const struct seg_place *p)
{
    uint32_t i = 0;
    while (i < set->nlabels && !str_eq(set->labels[i].name, p->label))
        i++;
    if (i == set->nlabels) {
        set->labels = arena_grow(g->a, set->labels, set->nlabels, &set->labels_cap, set->nlabels + 1, sizeof *set->labels);
        set->labels[set->nlabels++] = (struct insp_label){ .name = p->label };
    }
    set->labels[i].bytes += p->chunk.size;
    set->labels[i].values += p->items;
}

static err_t add_metrics(struct gather *g, struct insp_set *set, const struct seg_group *group, const struct seg_place *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].kind == PLACE_SAMPLES) set->chunk_bytes += v[i].chunk.size;
        if (v[i].kind == PLACE_SERIES) set->page_bytes += v[i].chunk.size;
        if (v[i].kind == PLACE_FAMILIES) set->family_bytes += v[i].chunk.size;
        if (v[i].kind == PLACE_LABELS) add_label(g, set, &v[i]);
    }
    return add_samples(g, set, group);
}

/* -- all ---------------------------------------------------------------------------------------------------------------- */

static struct insp_set *set_of(struct gather *g, const struct seg_group *group)
{
    struct insp *out = g->out;
    for (uint32_t i = 0; i < out->nsets; i++) {
        struct insp_set *s = &out->sets[i];
        if (s->signal == group->signal && str_eq(s->tenant, group->tenant) && str_eq(s->index, group->index)) return s;
    }
    out->sets = arena_grow(g->a, out->sets, out->nsets, &out->sets_cap, out->nsets + 1, sizeof *out->sets);
    struct insp_set *s = &out->sets[out->nsets++];
    *s = (struct insp_set){ .tenant = group->tenant, .index = group->index, .signal = group->signal,
                            .tmin_ns = INT64_MAX, .tmax_ns = INT64_MIN };
    return s;
}

static err_t add_group(struct gather *g, const struct seg_group *group)
{
    struct arena *a = g->a;
    struct seg_place *v;
    uint32_t n;
    TRY(seg_map_group(group, a, &v, &n));
    struct insp_set *set = set_of(g, group);
    set->ngroups++;
    set->rows += group->nrows;
    set->directory += group->meta.n;
    set->tmin_ns = MIN(set->tmin_ns, group->tmin_ns);
    set->tmax_ns = MAX(set->tmax_ns, group->tmax_ns);
    for (uint32_t i = 0; i < n; i++) {
        use(g, &v[i].chunk);
        set->bytes += v[i].chunk.size;
    }
    return group->signal == SIG_METRICS ? add_metrics(g, set, group, v, n) : add_rows(g, set, v, n);
}

static int by_off(const void *x, const void *y)
{
    const struct seg_chunk *a = x, *b = y;
    return (a->off > b->off) - (a->off < b->off);
}

/* What lies between the parts: padding up to 7 bytes, more is named by nobody. */
static err_t add_gaps(struct gather *g, uint64_t end)
{
    uint64_t at = SEG_HEADER;
    if (g->nused > 1) qsort(g->used, g->nused, sizeof *g->used, by_off);
    for (uint32_t i = 0; i <= g->nused; i++) {
        uint64_t next = i < g->nused ? g->used[i].off : end;
        if (next < at) return err_set(ERR_CORRUPT, "two parts of the segment overlap at %llu", (unsigned long long)next);
        if (next - at < 8) g->out->padding += next - at;
        else g->out->unknown += next - at;
        if (i < g->nused) at = next + g->used[i].size;
    }
    return OK;
}

static int by_bytes(const void *one, const void *other)
{
    const struct insp_col *a = one, *b = other;
    uint64_t x = a->bytes + a->filter_bytes, y = b->bytes + b->filter_bytes;
    return (x < y) - (x > y);
}

static int by_label_bytes(const void *x, const void *y)
{
    const struct insp_label *a = x, *b = y;
    return (a->bytes < b->bytes) - (a->bytes > b->bytes);
}

/* The pages of an index stand side by side. */
static uint64_t use_index(struct gather *g, const struct seg_ids *ids)
{
    uint32_t bytes = ids->npages ? ids->end[ids->npages - 1] : 0;
    if (bytes) use(g, &(struct seg_chunk){ .off = ids->off, .size = bytes });
    return bytes;
}

err_t inspect_sum(struct seg *s, struct arena *a, struct insp *out)
{
    struct gather g = { .seg = s, .a = a, .out = out };
    struct seg_layout l;
    const char *path = out->path;
    seg_layout(s, &l);
    *out = (struct insp){ .path = path, .bytes = l.bytes, .footer_bytes = l.footer_size, .footer_raw = l.footer_raw,
                          .ngroups = seg_ngroups(s), .ids_pages = l.ids->npages };
    for (uint32_t i = 0; i < seg_ngroups(s); i++)
        TRY(add_group(&g, seg_group(s, i)));
    out->ids_bytes = use_index(&g, l.ids);
    for (uint32_t i = 0; i < l.tokens->n; i++) {
        out->words_bytes += use_index(&g, &l.tokens->v[i].ids);
        out->words_pages += l.tokens->v[i].ids.npages;
    }
    out->words_sections = l.tokens->n;
    TRY(add_gaps(&g, l.footer_off));
    for (uint32_t i = 0; i < out->nsets; i++) {
        struct insp_set *set = &out->sets[i];
        if (set->ncols > 1) qsort(set->cols, set->ncols, sizeof *set->cols, by_bytes);
        if (set->nlabels > 1) qsort(set->labels, set->nlabels, sizeof *set->labels, by_label_bytes);
    }
    return seg_verify_indexes(s, NULL, NULL);
}
