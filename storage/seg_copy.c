/* See seg_copy.h. */
#include "storage/seg_copy.h"

#include "base/core/assert.h"
#include "storage/seg_format.h"
#include "storage/seg_rows.h"

#include <string.h>

/* The chunks that `at` names, to their new places, which take the old ones' place in meta. */
static err_t copy_chunks(struct seg_writer *w, struct seg *from, char *meta, const uint32_t *at, uint32_t n, struct budget *budget)
{
    struct arena a;
    err_t e = OK;
    arena_init(&a, budget);
    for (uint32_t i = 0; i < n && e == OK; i++) {
        struct seg_chunk old = seg_chunk_get((const uint8_t *)meta + at[i]), new;
        struct str bytes;
        struct buf ref;
        buf_init(&ref, SEG_CHUNK_BYTES, NULL);
        e = seg_read(from, &old, &a, &bytes);
        if (e == OK) e = seg_writer_chunk(w, bytes, old.raw_size, &new);
        if (e == OK) {
            ASSERT(new.hash == old.hash && new.size == old.size);
            seg_chunk_put(&new, &ref);
            memcpy(meta + at[i], ref.p, SEG_CHUNK_BYTES);
        }
        buf_deinit(&ref);
        arena_reset(&a);
        if (e == OK && rt_in_fiber()) e = rt_checkpoint();
    }
    arena_deinit(&a);
    return e;
}

static void will_read(struct seg *from, const char *meta, const uint32_t *at, uint32_t n)
{
    if (n == 0) return;
    struct seg_chunk first = seg_chunk_get((const uint8_t *)meta + at[0]), last = seg_chunk_get((const uint8_t *)meta + at[n - 1]);
    seg_will_read(from, first.off, last.off + last.size);
}

static err_t copy_ids(struct seg_writer *w, struct seg *from, const struct seg_group *g, struct arena *a)
{
    const struct seg_reader reader = { .seg = from };
    struct seg_rows rows;
    TRY(seg_rows_parse(g->meta, g->nrows, a, &rows));
    const struct seg_rel *rel = &rows.rel[REL_ROWS];
    for (uint32_t i = 0; i < rel->ncols; i++) {
        const struct seg_col *c = &rel->cols[i];
        struct column id;
        if (c->type != COL_FIX || c->scope != SC_SELF || !str_is(c->name, "trace_id")) continue;
        TRY(seg_rows_column(&reader, rel, c, a, &id));
        return seg_rows_ids(w, &id);
    }
    return OK;
}

err_t seg_copy_rows(struct seg_writer *w, struct seg *from, const struct seg_group *g, uint32_t section, struct budget *budget)
{
    struct arena a;
    uint32_t *at, n;
    err_t e;
    arena_init(&a, budget);
    TRY_OUT(e, seg_rows_refs(g->meta, g->nrows, &a, &at, &n));
    char *meta = arena_alloc(&a, g->meta.n + 1);
    TRY_OUT(e, arena_check(&a));
    memcpy(meta, g->meta.p, g->meta.n);
    will_read(from, meta, at, n);
    TRY_OUT(e, copy_chunks(w, from, meta, at, n, budget));
    struct seg_group copy = *g;
    copy.meta = str_n(meta, g->meta.n);
    copy.tokens_section = section;
    TRY_OUT(e, seg_writer_group(w, &copy));
    if (seg_ids_cover(g->signal)) e = copy_ids(w, from, g, &a);
out:
    arena_deinit(&a);
    return e;
}
