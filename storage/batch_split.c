#include "storage/batch_split.h"

#include "base/core/assert.h"
#include "storage/mem_rows.h"
#include "storage/partition.h"

#include <string.h>

struct splitter {
    const struct batch_cut *cut;
    struct arena *a;
    struct budget *budget;
    struct batch_parts *out;
    uint32_t *part_of;  /* [nstreams]: 1 + the part; 0 = none yet */
    uint64_t *set;      /* [parts]: over all rows and series there, the sum of hashes of their partitions */
    size_t parts_cap, set_cap, made_cap;
};

/* Where the rows of a batch go: the part of each. */
struct spread {
    uint32_t **rows;   /* of each table (of metrics: the exemplars) */
    uint32_t *series;
    uint32_t meta;     /* where metadata goes */
    uint32_t first;    /* the only part, or */
    bool several;
};

/* -- where rows go ------------------------------------------------------------------------------------------- */

static uint32_t part_of(struct splitter *x, uint32_t partition)
{
    uint32_t stream = x->cut->stream_of[partition];
    ASSERT(stream < x->cut->nstreams);
    if (x->part_of[stream] == 0) {
        struct batch_parts *out = x->out;
        out->parts = arena_grow(x->a, out->parts, out->n, &x->parts_cap, out->n + 1, sizeof *out->parts);
        x->set = arena_grow(x->a, x->set, out->n, &x->set_cap, out->n + 1, sizeof *x->set);
        out->parts[out->n] = (struct batch_part){ .stream = stream };
        x->set[out->n] = 0;
        x->part_of[stream] = ++out->n;
    }
    uint32_t part = x->part_of[stream] - 1;
    x->set[part] += hash_u64(partition + UINT64_C(0x9e3779b97f4a7c15));
    return part;
}

static void goes_to(struct spread *s, uint32_t part, bool *any)
{
    s->several |= *any && part != s->first;
    if (!*any) s->first = part;
    *any = true;
}

static uint32_t *spread_rows(struct splitter *x, const struct batch *b, enum signal signal, const struct table *t, struct spread *s, bool *any)
{
    uint32_t *row = ARENA_RAW(x->a, uint32_t, t->nrows);
    partition_rows(b->tenant, signal, t, x->cut->partitions, row);
    for (uint32_t i = 0; i < t->nrows; i++) {
        row[i] = part_of(x, row[i]);
        goes_to(s, row[i], any);
    }
    if (x->cut->pause) x->cut->pause();
    return row;
}

static void spread_batch(struct splitter *x, const struct batch *b, struct spread *s)
{
    const struct metric_batch *m = b->metrics;
    bool any = false;
    *s = (struct spread){ .rows = ARENA_ARRAY(x->a, uint32_t *, b->signal == SIG_METRICS ? 1 : b->ntables) };
    if (b->signal != SIG_METRICS) {
        for (uint32_t i = 0; i < b->ntables; i++)
            s->rows[i] = spread_rows(x, b, b->signal, b->tables[i], s, &any);
        return;
    }
    s->series = ARENA_RAW(x->a, uint32_t, m->nseries);
    for (uint32_t i = 0; i < m->nseries; i++) {
        s->series[i] = part_of(x, partition_series(b->tenant, m->id[i], x->cut->partitions));
        goes_to(s, s->series[i], &any);
    }
    if (m->exemplars) s->rows[0] = spread_rows(x, b, SIG_EXEMPLARS, m->exemplars, s, &any);
    if (!any && m->nmeta > 0) goes_to(s, part_of(x, 0), &any);
    s->meta = s->first;
}

/* -- cutting ------------------------------------------------------------------------------------------------- */

static void add_batch(struct splitter *x, uint32_t part, struct batch *b)
{
    struct batch_part *p = &x->out->parts[part];
    p->batches[p->n++] = b; /* room for all was made */
}

static struct batch *new_batch(struct splitter *x, uint32_t part, const struct batch *whole)
{
    struct batch_parts *out = x->out;
    struct batch *b = ARENA_NEW(x->a, struct batch);
    const hash128 none = { 0, 0 };
    *b = (struct batch){ .tenant = whole->tenant, .signal = whole->signal, .index = whole->index };
    if (!hash128_eq(whole->content, none)) {
        uint64_t of[] = { whole->content.lo, whole->content.hi, x->set[part] };
        b->content = hash128_of(str_n(of, sizeof of));
    }
    out->made = arena_grow(x->a, out->made, out->nmade, &x->made_cap, out->nmade + 1, sizeof *out->made);
    out->made[out->nmade++] = b;
    add_batch(x, part, b);
    return b;
}

/* Things in the order of their parts: those of part k are at[from[k]] to at[from[k + 1] - 1], in their own order. */
struct groups {
    uint32_t *from, *at;
};

static struct groups group(struct splitter *x, const uint32_t *part, uint32_t n)
{
    uint32_t parts = x->out->n, *from = ARENA_ARRAY(x->a, uint32_t, parts + 2), *at = ARENA_RAW(x->a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        from[part[i] + 2]++;
    for (uint32_t k = 2; k < parts + 2; k++)
        from[k] += from[k - 1];
    for (uint32_t i = 0; i < n; i++)
        at[from[part[i] + 1]++] = i;
    return (struct groups){ from, at };
}
static uint32_t group_size(const struct groups *g, uint32_t k) { return g->from[k + 1] - g->from[k]; }

/* The rows of each part as a table into tables[parts]; NULL where there are none. */
static err_t cut_table(struct splitter *x, enum signal signal, struct table *t, const uint32_t *part, struct table **tables)
{
    struct groups g = group(x, part, t->nrows);
    struct table_pick *picks = ARENA_RAW(x->a, struct table_pick, t->nrows);
    for (uint32_t i = 0; i < t->nrows; i++)
        picks[i] = (struct table_pick){ 0, g.at[i] };
    memset(tables, 0, x->out->n * sizeof *tables);
    for (uint32_t k = 0; k < x->out->n; k++) {
        uint32_t n = group_size(&g, k);
        if (n == 0) continue;
        TRY(budget_check(x->budget));
        tables[k] = n == t->nrows ? table_get(t)
                                  : table_merge(&t, 1, picks + g.from[k], n, signal_time_column(signal), x->budget);
        if (x->cut->pause) x->cut->pause();
    }
    return budget_check(x->budget);
}

static err_t cut_rows(struct splitter *x, const struct batch *whole, const struct spread *s)
{
    uint32_t n = x->out->n;
    struct batch **of = ARENA_ARRAY(x->a, struct batch *, n);
    struct table **tables = ARENA_RAW(x->a, struct table *, n);
    for (uint32_t i = 0; i < whole->ntables; i++) {
        err_t e = cut_table(x, whole->signal, whole->tables[i], s->rows[i], tables);
        for (uint32_t k = 0; k < n; k++) {
            if (!tables[k]) continue;
            if (!of[k]) {
                of[k] = new_batch(x, k, whole);
                of[k]->tables = ARENA_ARRAY(x->a, struct table *, whole->ntables);
            }
            of[k]->tables[of[k]->ntables++] = tables[k];
            of[k]->nrows += tables[k]->nrows;
        }
        TRY(e);
    }
    return OK;
}

struct metrics_cut { /* of one metric batch */
    const struct metric_batch *whole;
    struct groups series, samples, hists;
    uint32_t *local; /* of each series, its number in its part */
    struct table **exemplars; /* [parts] */
};

/* Of the values at[0..n), a copy in that order; NULL when all are ST_NONE. */
static int64_t *copy_starts(struct splitter *x, const int64_t *v, const uint32_t *at, uint32_t n)
{
    bool any = false;
    int64_t *to = v ? ARENA_RAW(x->a, int64_t, n) : NULL;
    for (uint32_t i = 0; i < n && v; i++) {
        to[i] = v[at[i]];
        any |= to[i] != ST_NONE;
    }
    return any ? to : NULL;
}

static void copy_samples(struct splitter *x, const struct metrics_cut *c, uint32_t part, struct metric_batch *m)
{
    const struct metric_batch *w = c->whole;
    const uint32_t *at = c->samples.at + c->samples.from[part];
    uint32_t n = m->nsamples = group_size(&c->samples, part);
    m->series = ARENA_RAW(x->a, uint32_t, n);
    m->t_ms = ARENA_RAW(x->a, int64_t, n);
    m->value = ARENA_RAW(x->a, double, n);
    for (uint32_t i = 0; i < n; i++) {
        m->series[i] = c->local[w->series[at[i]]];
        m->t_ms[i] = w->t_ms[at[i]];
        m->value[i] = w->value[at[i]];
    }
    m->st_ms = copy_starts(x, w->st_ms, at, n);
}

static void copy_hists(struct splitter *x, const struct metrics_cut *c, uint32_t part, struct metric_batch *m)
{
    const struct metric_batch *w = c->whole;
    const uint32_t *at = c->hists.at + c->hists.from[part];
    uint32_t n = m->nhists = group_size(&c->hists, part);
    m->hseries = ARENA_RAW(x->a, uint32_t, n);
    m->ht_ms = ARENA_RAW(x->a, int64_t, n);
    m->hist = ARENA_RAW(x->a, const struct nhist *, n);
    for (uint32_t i = 0; i < n; i++) {
        m->hseries[i] = c->local[w->hseries[at[i]]];
        m->ht_ms[i] = w->ht_ms[at[i]];
        m->hist[i] = w->hist[at[i]];
    }
    m->hst_ms = copy_starts(x, w->hst_ms, at, n);
}

static struct metric_batch *copy_part(struct splitter *x, const struct metrics_cut *c, uint32_t part)
{
    struct metric_batch *m = ARENA_NEW(x->a, struct metric_batch);
    const uint32_t *at = c->series.at + c->series.from[part];
    m->nseries = group_size(&c->series, part);
    m->id = ARENA_RAW(x->a, hash128, m->nseries);
    m->canonical = ARENA_RAW(x->a, struct str, m->nseries);
    for (uint32_t i = 0; i < m->nseries; i++) {
        m->id[i] = c->whole->id[at[i]];
        m->canonical[i] = c->whole->canonical[at[i]];
    }
    copy_samples(x, c, part, m);
    copy_hists(x, c, part, m);
    m->exemplars = c->exemplars[part];
    return m;
}

/* The parts of samples, from those of their series. */
static struct groups group_by_series(struct splitter *x, const uint32_t *part, const uint32_t *series, uint32_t n)
{
    uint32_t *of = ARENA_RAW(x->a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        of[i] = part[series[i]];
    return group(x, of, n);
}

static err_t cut_metrics(struct splitter *x, const struct batch *whole, const struct spread *s)
{
    const struct metric_batch *w = whole->metrics;
    struct metrics_cut c = { .whole = w, .exemplars = ARENA_ARRAY(x->a, struct table *, x->out->n) };
    c.series = group(x, s->series, w->nseries);
    c.samples = group_by_series(x, s->series, w->series, w->nsamples);
    c.hists = group_by_series(x, s->series, w->hseries, w->nhists);
    c.local = ARENA_RAW(x->a, uint32_t, w->nseries);
    for (uint32_t k = 0; k < x->out->n; k++)
        for (uint32_t i = c.series.from[k]; i < c.series.from[k + 1]; i++)
            c.local[c.series.at[i]] = i - c.series.from[k];
    err_t e = w->exemplars ? cut_table(x, SIG_EXEMPLARS, w->exemplars, s->rows[0], c.exemplars) : OK;
    for (uint32_t k = 0; k < x->out->n; k++) {
        bool meta = w->nmeta > 0 && s->meta == k;
        if (group_size(&c.series, k) == 0 && !c.exemplars[k] && !meta) continue;
        struct batch *b = new_batch(x, k, whole);
        b->metrics = copy_part(x, &c, k);
        b->nrows = (uint64_t)b->metrics->nsamples + b->metrics->nhists;
        if (meta) {
            b->metrics->nmeta = w->nmeta;
            b->metrics->meta = w->meta;
        }
        if (x->cut->pause) x->cut->pause();
    }
    return e;
}

/* The content hashes of what would be cut. */
static void cut_keys(struct splitter *x, const struct batch *whole, const struct spread *s)
{
    const struct metric_batch *w = whole->metrics;
    bool *has = ARENA_ARRAY(x->a, bool, x->out->n);
    for (uint32_t i = 0; !w && i < whole->ntables; i++)
        for (uint32_t r = 0; r < whole->tables[i]->nrows; r++)
            has[s->rows[i][r]] = true;
    for (uint32_t i = 0; w && i < w->nseries; i++)
        has[s->series[i]] = true;
    for (uint32_t r = 0; w && w->exemplars && r < w->exemplars->nrows; r++)
        has[s->rows[0][r]] = true;
    if (w && w->nmeta > 0) has[s->meta] = true;
    for (uint32_t k = 0; k < x->out->n; k++)
        if (has[k]) new_batch(x, k, whole);
}

static err_t cut_one(struct splitter *x, const struct batch *whole, const struct spread *s)
{
    if (whole->signal == SIG_METRICS) return cut_metrics(x, whole, s);
    return cut_rows(x, whole, s);
}

/* -- the request ------------------------------------------------------------------------------------------------ */

static void all_to_one(struct splitter *x, struct batch *const *batches, uint32_t n, uint32_t stream)
{
    x->out->parts = ARENA_NEW(x->a, struct batch_part);
    x->out->parts[0] = (struct batch_part){ stream, n, arena_dup(x->a, batches, n * sizeof *batches) };
    x->out->n = 1;
}

err_t batch_split(struct batch *const *batches, uint32_t n, const struct batch_cut *cut, struct arena *a, struct budget *budget,
                  struct batch_parts *out)
{
    struct splitter x = { .cut = cut, .a = a, .budget = budget, .out = out };
    *out = (struct batch_parts){ 0 };
    if (cut->nstreams == 1) {
        all_to_one(&x, batches, n, 0);
        return OK;
    }
    x.part_of = ARENA_ARRAY(a, uint32_t, cut->nstreams);
    struct spread *s = ARENA_RAW(a, struct spread, n);
    for (uint32_t i = 0; i < n; i++) {
        spread_batch(&x, batches[i], &s[i]);
        TRY(arena_check(a));
    }
    if (out->n <= 1) {
        all_to_one(&x, batches, n, out->n ? out->parts[0].stream : cut->stream_of[0]);
        return OK;
    }
    for (uint32_t k = 0; k < out->n; k++)
        out->parts[k].batches = ARENA_RAW(a, struct batch *, n);
    err_t e = OK;
    for (uint32_t i = 0; i < n && e == OK; i++) {
        if (!s[i].several) add_batch(&x, s[i].first, batches[i]);
        else if (cut->keys) cut_keys(&x, batches[i], &s[i]);
        else e = cut_one(&x, batches[i], &s[i]);
    }
    if (e != OK) batch_parts_release(out);
    return e;
}

void batch_parts_release(struct batch_parts *p)
{
    for (uint32_t i = 0; i < p->nmade; i++)
        batch_release(p->made[i]);
    p->nmade = 0;
}
