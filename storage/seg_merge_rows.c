/* See seg_merge.h. Here: row groups of one tenant, signal and index that become one. */
#include "base/core/assert.h"
#include "storage/keep_rows.h"
#include "storage/mem_rows.h"
#include "storage/rows_out.h"
#include "storage/seg_dead.h"
#include "storage/seg_merge.h"
#include "storage/seg_table.h"

#include <stdlib.h>

enum { CHECK_EVERY = 1024, SORTED_ROWS = 16 << 10 };

struct row_key { /* what rows are sorted by; a string that a row has not is {NULL, 0} and comes first */
    struct str service, name;
    uint64_t stream;
    int64_t time;
};

struct run { /* the rows of a group, sorted */
    struct rows_source from; /* .table: the group; NULL at the end */
    uint32_t *live, nlive;   /* its rows that are not deleted; NULL: all nlive */
    uint32_t at, row;        /* which of them; its number */
    struct row_key key;      /* of that row */
    const struct column *service, *name, *time;
    const uint64_t *stream;
    struct arena a; /* of the group at hand */
};

struct rows_merge {
    struct seg_merge *m;
    enum signal signal;
    struct run *runs;
    uint32_t n;
    uint32_t steps;
};

static struct str string_at(const struct column *c, uint32_t row)
{
    return c && column_has(c, row) ? column_str(c, row) : STR_NONE;
}

static int compare_str(struct str a, struct str b)
{
    if (!a.p || !b.p) return (a.p != NULL) - (b.p != NULL);
    return str_cmp(a, b);
}

static int compare(const struct row_key *a, const struct row_key *b)
{
    int c = compare_str(a->service, b->service);
    if (c == 0) c = compare_str(a->name, b->name);
    if (c) return c;
    if (a->stream != b->stream) return a->stream < b->stream ? -1 : 1;
    return (a->time > b->time) - (a->time < b->time);
}

static void key_here(struct run *r)
{
    const struct table *t = r->from.table;
    r->row = r->live ? r->live[r->at] : r->at;
    r->key = (struct row_key){ .name = string_at(r->name, r->row) };
    if (r->service) r->key.service = string_at(r->service, t->dim_row[DIM_RESOURCE][r->row]);
    if (r->stream) r->key.stream = r->stream[r->row];
    if (r->time && column_has(r->time, r->row)) r->key.time = r->time->i64[r->row];
}

static void end_run(struct run *r)
{
    table_put(r->from.table);
    r->from.table = NULL;
    arena_reset(&r->a);
}

/* What is too old by matchers. */
static err_t drop_expired(const struct rows_merge *x, struct run *r, const struct seg_group *g)
{
    struct keep_rows k;
    if (!keep_rows_init(&k, x->m->keep, g, x->m->keep_now_ns, &r->a)) return arena_check(&r->a);
    uint32_t *live = ARENA_RAW(&r->a, uint32_t, g->nrows);
    TRY(arena_check(&r->a));
    r->nlive = keep_rows_live(&k, r->from.table, r->live, r->nlive, &r->a, live);
    r->live = live;
    return arena_check(&r->a);
}

/* Reads a group and stands on its first row, if it has one. */
static err_t open_run(const struct rows_merge *x, struct run *r, const struct merge_group *g)
{
    const struct seg_merge_in *in = &x->m->in[g->input];
    uint32_t dead = seg_dead_count(in->dead, g->group), n = g->g->nrows;
    r->from = (struct rows_source){ 0 };
    r->at = 0;
    r->live = NULL;
    r->nlive = n;
    TRY(seg_merge_check(x->m));
    TRY(seg_table_read(in->seg, g->g, x->m->budget, &r->from.table));
    if (dead) {
        r->live = ARENA_RAW(&r->a, uint32_t, n);
        TRY(arena_check(&r->a));
        r->nlive = seg_dead_live(in->dead, g->group, NULL, n, r->live);
    }
    TRY(drop_expired(x, r, g->g));
    x->m->rows_dropped += n - r->nlive;
    if (r->nlive == 0) {
        end_run(r);
        return OK;
    }
    const struct table *t = r->from.table, *res = t->dim[DIM_RESOURCE];
    bool by_service = x->signal == SIG_SPANS || x->signal == SIG_LOGS;
    r->time = table_column(t, SC_SELF, signal_time_column(x->signal), COL_I64);
    r->service = by_service && res ? table_column(res, SC_ATTR, STR("service.name"), COL_STR) : NULL;
    r->name = x->signal == SIG_SPANS ? table_column(t, SC_SELF, STR("name"), COL_STR) : NULL;
    r->stream = x->signal == SIG_LOGS ? rows_stream_hashes(t, &r->a) : NULL;
    TRY(arena_check(&r->a));
    key_here(r);
    return OK;
}

/* Of runs that are not at their end the one whose row is first, apart from `but`; NULL when there is none. */
static struct run *first_run(struct rows_merge *x, const struct run *but)
{
    struct run *best = NULL;
    for (uint32_t i = 0; i < x->n; i++) {
        struct run *r = &x->runs[i];
        if (r == but || !r->from.table) continue;
        if (!best || compare(&r->key, &best->key) < 0) best = r;
    }
    return best;
}

/* Takes rows of r as long as they come before the next row of `other`. Of equal ones the older group's are first. */
static err_t take_rows(struct rows_merge *x, struct rows_out *o, struct run *r, const struct run *other)
{
    int limit = other && r < other ? 0 : -1;
    while (r->from.table && (!other || compare(&r->key, &other->key) <= limit)) {
        TRY(rows_out_add(o, &r->from, r->row));
        x->m->rows++;
        if (++x->steps % CHECK_EVERY == 0) TRY(seg_merge_check(x->m));
        if (++r->at < r->nlive)
            key_here(r);
        else
            end_run(r);
    }
    return OK;
}

/* Groups whose rows are sorted together. */
static err_t merge_sorted(struct rows_merge *x, struct rows_out *o, const struct merge_group *g, uint32_t n)
{
    x->n = n;
    for (uint32_t i = 0; i < n; i++)
        TRY(open_run(x, &x->runs[i], &g[i]));
    for (struct run *r; (r = first_run(x, NULL));)
        TRY(take_rows(x, o, r, first_run(x, r)));
    return OK;
}

static err_t merge_runs(struct rows_merge *x, struct rows_out *o, const struct merge_group *g, uint32_t n)
{
    for (uint32_t i = 0, k; i < n; i = k) {
        uint64_t rows = 0;
        for (k = i; k < n && (k == i || rows + g[k].live <= SORTED_ROWS); k++)
            rows += g[k].live;
        TRY(merge_sorted(x, o, g + i, k - i));
    }
    return rows_out_finish(o);
}

err_t seg_merge_rows(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n)
{
    struct rows_merge x = { .m = m, .signal = g->g->signal };
    struct rows_out o;
    x.runs = calloc(n, sizeof *x.runs);
    ASSERT(x.runs);
    for (uint32_t i = 0; i < n; i++)
        arena_init(&x.runs[i].a, m->budget);
    rows_out_init(&o, w, g->g->tenant, g->g->signal, g->g->index, m->budget);
    err_t e = merge_runs(&x, &o, g, n);
    rows_out_deinit(&o);
    for (uint32_t i = 0; i < n; i++) {
        table_put(x.runs[i].from.table);
        arena_deinit(&x.runs[i].a);
    }
    free(x.runs);
    return e;
}
