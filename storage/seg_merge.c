/* See seg_merge.h. Here: the whole, and rows. */
#include "storage/seg_merge.h"

#include "base/core/assert.h"
#include "storage/keep_rows.h"
#include "storage/mem_rows.h"
#include "storage/rows_out.h"
#include "storage/seg_dead.h"
#include "storage/seg_table.h"

#include <stdlib.h>

enum { CHECK_EVERY = 1024, WINDOW_BYTES = 32 << 20, SEG_METRIC_BYTES = 6 << 20 /* pages and chunks of an input at hand */ };

err_t seg_merge_check(const struct seg_merge *m)
{
    if (m->stop && atomic_load_explicit(m->stop, memory_order_relaxed)) return err_set(ERR_CANCELED, "the merge is to stop");
    return rt_in_fiber() ? rt_checkpoint() : OK;
}

/* -- rows of one tenant, signal and index ------------------------------------------------------------------- */

struct row_key { /* what rows are sorted by; a string that a row has not is {NULL, 0} and comes first */
    struct str service, name;
    uint64_t stream;
    int64_t time;
};

struct run { /* the sorted rows of a group */
    const struct seg_merge_in *in;
    const struct merge_group *groups;
    uint32_t ngroups, next; /* group to be read next */
    struct rows_source from; /* .table: the group at hand; NULL at the end */
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

/* Reads a group, if it has rows that live. */
static err_t read_group(const struct rows_merge *x, struct run *r, const struct merge_group *g)
{
    uint32_t dead = seg_dead_count(r->in->dead, g->group), n = g->g->nrows;
    r->live = NULL;
    r->nlive = n;
    TRY(seg_merge_check(x->m));
    if (dead == n) return OK;
    if (x->signal == SIG_DOCS && tomb_set_drops_index(x->m->tombs, seg_info(r->in->seg)->generation, g->g->tenant, g->g->index)) return OK;
    TRY(seg_table_read(r->in->seg, g->g, x->m->budget, &r->from.table));
    if (dead) {
        r->live = ARENA_RAW(&r->a, uint32_t, n);
        TRY(arena_check(&r->a));
        r->nlive = seg_dead_live(r->in->dead, g->group, NULL, n, r->live);
    }
    TRY(drop_expired(x, r, g->g));
    if (r->nlive) return OK;
    table_put(r->from.table);
    r->from.table = NULL;
    return OK;
}

/* The next group that has rows; at the end .table is NULL. */
static err_t next_group(const struct rows_merge *x, struct run *r)
{
    table_put(r->from.table);
    r->from = (struct rows_source){ 0 };
    r->at = 0;
    arena_reset(&r->a);
    while (!r->from.table && r->next < r->ngroups)
        TRY(read_group(x, r, &r->groups[r->next++]));
    const struct table *t = r->from.table;
    if (!t) return OK;
    const struct table *res = t->dim[DIM_RESOURCE];
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
            TRY(next_group(x, r));
    }
    return OK;
}

static err_t merge_sorted(struct rows_merge *x, struct rows_out *o)
{
    for (uint32_t i = 0; i < x->n; i++)
        TRY(next_group(x, &x->runs[i]));
    for (struct run *r; (r = first_run(x, NULL));)
        TRY(take_rows(x, o, r, first_run(x, r)));
    return rows_out_finish(o);
}

/* Groups that together fill one at most. */
static err_t merge_window(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n)
{
    struct rows_merge x = { .m = m, .signal = g->g->signal, .n = n };
    struct rows_out o;
    x.runs = calloc(n, sizeof *x.runs);
    ASSERT(x.runs);
    for (uint32_t i = 0; i < n; i++) {
        x.runs[i] = (struct run){ .in = &m->in[g[i].input], .groups = g + i, .ngroups = 1 };
        arena_init(&x.runs[i].a, m->budget);
    }
    rows_out_init(&o, w, g->g->tenant, g->g->signal, g->g->index, m->budget);
    err_t e = merge_sorted(&x, &o);
    rows_out_deinit(&o);
    for (uint32_t i = 0; i < x.n; i++) {
        table_put(x.runs[i].from.table);
        arena_deinit(&x.runs[i].a);
    }
    free(x.runs);
    return e;
}

/* Groups of one input stand together, in their order. */
static err_t merge_rows(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n)
{
    for (uint32_t i = 0, k; i < n; i = k) {
        uint64_t rows = 0, bytes = 0;
        for (k = i; k < n; k++) {
            uint64_t size;
            TRY(seg_table_size(g[k].g, &size));
            uint32_t live = g[k].g->nrows - seg_dead_count(m->in[g[k].input].dead, g[k].group);
            if (k > i && (rows + live > TABLE_ROWS_MAX || bytes + size > WINDOW_BYTES)) break;
            rows += live;
            bytes += size;
        }
        TRY(merge_window(m, w, g + i, k - i));
    }
    return OK;
}

/* -- the whole ------------------------------------------------------------------------------------------------ */

static int compare_streams(const struct seg_group *a, const struct seg_group *b)
{
    int c = str_cmp(a->tenant, b->tenant);
    if (c == 0) c = (int)a->signal - (int)b->signal;
    return c ? c : str_cmp(a->index, b->index);
}

static int by_stream(const void *x, const void *y)
{
    const struct merge_group *a = x, *b = y;
    int c = compare_streams(a->g, b->g);
    if (c) return c;
    if (a->input != b->input) return a->input < b->input ? -1 : 1;
    return (a->group > b->group) - (a->group < b->group);
}

static struct merge_group *all_groups(const struct seg_merge *m, uint32_t *n)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < m->n; i++)
        total += seg_ngroups(m->in[i].seg);
    ASSERT(total < UINT32_MAX);
    struct merge_group *g = calloc(total + 1, sizeof *g);
    ASSERT(g);
    *n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        for (uint32_t k = 0; k < seg_ngroups(m->in[i].seg); k++)
            g[(*n)++] = (struct merge_group){ seg_group(m->in[i].seg, k), i, k };
    if (*n > 1) qsort(g, *n, sizeof *g, by_stream);
    return g;
}

static err_t merge_all(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n)
{
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i; k < n && compare_streams(g[k].g, g[i].g) == 0;)
            k++;
        if (g[i].g->signal == SIG_METRICS)
            TRY(seg_merge_metrics(m, w, g + i, k - i));
        else
            TRY(merge_rows(m, w, g + i, k - i));
    }
    return OK;
}

err_t seg_merge(struct seg_merge *m, struct seg_info *info)
{
    struct seg_writer *w;
    uint32_t n;
    m->rows = m->samples = 0;
    TRY(seg_writer_open(m->dir, m->budget, &w));
    struct merge_group *g = all_groups(m, &n);
    err_t e = merge_all(m, w, g, n);
    free(g);
    m->empty = e == OK && seg_writer_groups(w) == 0;
    if (e == OK && !m->empty) return seg_writer_finish(w, info);
    struct err_record why = *err_record();
    seg_writer_abandon(w);
    *err_record() = why;
    return e;
}

err_t seg_merge_memory(const struct seg_merge_in *in, uint32_t n, uint64_t *bytes)
{
    uint64_t most = 0, metrics = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < seg_ngroups(in[i].seg); k++) {
            const struct seg_group *g = seg_group(in[i].seg, k);
            uint64_t size = 0;
            if (g->signal != SIG_METRICS) TRY(seg_table_size(g, &size));
            else metrics += (uint64_t)g->meta.n * 2 + SEG_METRIC_BYTES;
            most = MAX(most, size);
            if (rt_in_fiber()) TRY(rt_checkpoint());
        }
    }
    *bytes = MAX(MAX(most, (uint64_t)WINDOW_BYTES), metrics);
    return OK;
}
