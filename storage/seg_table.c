/* See seg_table.h. */
#include "storage/seg_table.h"

#include "storage/mem_rows.h"
#include "storage/seg_rows.h"
#include "storage/table_grow.h"

struct reading {
    struct seg_reader from;
    struct seg_rows rows;
    struct table *t;
};

static err_t read_columns(const struct reading *r, const struct seg_rel *rel, struct table *to)
{
    struct arena *a = &r->t->mem;
    to->nrows = rel->nrows;
    to->tmin_ns = INT64_MAX;
    to->tmax_ns = INT64_MIN;
    to->cols = ARENA_ARRAY(a, struct column, rel->ncols);
    TRY(arena_check(a));
    for (; to->ncols < rel->ncols; to->ncols++) {
        struct column *c = &to->cols[to->ncols];
        TRY(seg_rows_column(&r->from, rel, &rel->cols[to->ncols], a, c));
        c->name = arena_str(a, c->name); /* it was a view of the directory */
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

static err_t read_relations(const struct reading *r)
{
    struct table *t = r->t;
    TRY(read_columns(r, &r->rows.rel[REL_ROWS], t));
    for (int rel = REL_RESOURCE; rel < SEG_RELS; rel++) {
        if (!r->rows.rel[rel].present) continue;
        const uint32_t *link;
        struct table *part = ARENA_NEW(&t->mem, struct table);
        TRY(read_columns(r, &r->rows.rel[rel], part));
        TRY(seg_rows_link(&r->from, &r->rows, rel, &t->mem, &link));
        if (rel == REL_RESOURCE || rel == REL_SCOPE) {
            t->dim[rel - REL_RESOURCE] = part;
            t->dim_row[rel - REL_RESOURCE] = link;
        } else {
            t->child[rel - REL_EVENTS] = part;
            t->child_first[rel - REL_EVENTS] = link;
        }
    }
    return OK;
}

/* Where the chunks of a group lie. */
static void range_of(const struct seg_rows *rows, uint64_t *from, uint64_t *to)
{
    *from = UINT64_MAX;
    *to = 0;
    for (int rel = 0; rel < SEG_RELS; rel++) {
        const struct seg_rel *r = &rows->rel[rel];
        for (uint32_t i = 0; r->present && i < r->ncols; i++) {
            *from = MIN(*from, r->cols[i].chunk.off);
            *to = MAX(*to, r->cols[i].chunk.off + r->cols[i].chunk.size);
        }
    }
}

err_t seg_table_read(struct seg *s, const struct seg_group *g, struct budget *budget, struct table **out)
{
    struct arena a;
    arena_init(&a, budget);
    struct reading r = { .from = { .seg = s }, .t = table_new(budget, ARENA_BLOCK_DEFAULT) };
    uint64_t from, to;
    err_t e;
    TRY_OUT(e, seg_rows_parse(g->meta, g->nrows, &a, &r.rows));
    range_of(&r.rows, &from, &to);
    seg_will_read(s, from, to);
    TRY_OUT(e, read_relations(&r));
    table_set_times(r.t, signal_time_column(g->signal));
    TRY_OUT(e, arena_check(&r.t->mem));
    *out = r.t;
out:
    if (e != OK) table_put(r.t);
    arena_deinit(&a);
    return e;
}

err_t seg_table_size(const struct seg_group *g, uint64_t *bytes)
{
    struct arena a;
    struct seg_rows rows;
    arena_init(&a, NULL);
    err_t e = seg_rows_parse(g->meta, g->nrows, &a, &rows);
    *bytes = g->meta.n;
    for (int rel = 0; e == OK && rel < SEG_RELS; rel++)
        for (uint32_t i = 0; rows.rel[rel].present && i < rows.rel[rel].ncols; i++)
            *bytes += MAX(rows.rel[rel].cols[i].chunk.raw_size, rows.rel[rel].cols[i].chunk.size);
    arena_deinit(&a);
    return e;
}
