/* Rows of a request that a deletion finds, left out of it: for requests that come to a node after it made the deletion, and that others
 * had before (cluster/deletions.h). What the scan over segments marks and what is left out here must be the same rows: both run the same
 * filter over rowsets. */
#include "query/delete/delete.h"

#include "base/core/assert.h"
#include "query/ops/op_scan.h"

#include <string.h>

static struct str time_column(enum signal s) { return s == SIG_SPANS ? STR("start") : STR("time"); }

/* -- which rows of a table ------------------------------------------------------------------------------------------- */

static err_t scan_rows(struct op_scan *scan, bool *gone, uint32_t *n)
{
    for (;;) {
        enum op_status status;
        TRY(op_scan_next(scan, &status));
        if (status == OP_FINISHED) return OK;
        const struct chunk *c = &scan->chunk;
        for (uint32_t i = 0; i < c->nsel; i++, ++*n)
            gone[c->base + (c->sel ? c->sel[i] : i)] = true;
    }
}

static err_t find_by_filter(const struct delete_filter *f, struct view *v, struct budget *budget, bool *gone, uint32_t *n)
{
    struct op_scan scan;
    const struct scan_opts o = { .req = { .signal = f->signal, .index = f->index, .tmin_ns = f->tmin_ns, .tmax_ns = f->tmax_ns },
                                 .filter = f->root, .builder = &f->b };
    err_t e = op_scan_open(&scan, v, &o, budget);
    if (e == OK) e = scan_rows(&scan, gone, n);
    struct err_record why = *err_record();
    op_scan_close(&scan);
    *err_record() = why;
    return e;
}

static err_t find_by_series(const struct delete_filter *f, struct view *v, struct arena *a, bool *gone, uint32_t *n)
{
    const struct rows_req rq = { .signal = SIG_EXEMPLARS, .tmin_ns = f->tmin_ns, .tmax_ns = f->tmax_ns };
    struct rows_scan *scan;
    struct rowset rs;
    err_t e = OK;
    TRY(rows_open(v, &rq, &scan));
    for (bool next;;) {
        uint32_t *rows, found;
        TRY_OUT(e, rows_next(scan, &rs, &next));
        if (!next) break;
        TRY_OUT(e, delete_find_exemplars(&rs, f, a, &rows, &found));
        for (uint32_t i = 0; i < found; i++, ++*n)
            gone[rows[i]] = true;
    }
out:;
    struct err_record why = *err_record();
    rows_close(scan);
    *err_record() = why;
    return e;
}

struct cutting {
    const struct delete_filter *f;
    const struct batch *b;
    struct arena *a;
    struct budget *budget;
    uint64_t rows; /* that were left out */
};

/* What is left of the table, counted; NULL when nothing is. */
static err_t cut_table(struct cutting *x, struct table *t, struct table **out)
{
    bool *gone = ARENA_ARRAY(x->a, bool, (size_t)t->nrows + 1);
    struct table_pick *keep = ARENA_RAW(x->a, struct table_pick, (size_t)t->nrows + 1);
    struct view *v;
    uint32_t n = 0, kept = 0;
    *out = NULL;
    TRY(arena_check(x->a));
    view_of_table(t, x->b->tenant, x->f->signal, x->b->index, x->budget, &v);
    err_t e = x->f->series ? find_by_series(x->f, v, x->a, gone, &n) : find_by_filter(x->f, v, x->budget, gone, &n);
    struct err_record why = *err_record();
    view_close(v);
    *err_record() = why;
    TRY(e);
    for (uint32_t i = 0; i < t->nrows; i++)
        if (!gone[i]) keep[kept++] = (struct table_pick){ 0, i };
    x->rows += n;
    if (kept == t->nrows) *out = table_get(t);
    else if (kept > 0) *out = table_merge(&t, 1, keep, kept, time_column(x->f->signal), x->budget);
    return budget_check(x->budget);
}

/* -- samples ------------------------------------------------------------------------------------------------------------- */

static err_t matched_series(struct cutting *x, const struct metric_batch *m, bool *of)
{
    for (uint32_t i = 0; i < m->nseries; i++) {
        struct labels ls;
        if (!m->canonical[i].p) return err_set(ERR_CORRUPT, "a request from another node leaves out the labels of a series");
        TRY(labels_decode(m->canonical[i], x->a, &ls));
        of[i] = delete_is_of(x->f, &ls);
        TRY(rt_checkpoint());
    }
    return arena_check(x->a);
}

static bool in_window(const struct delete_filter *f, int64_t t_ms)
{
    int64_t ns;
    if (__builtin_mul_overflow(t_ms, (int64_t)NS_PER_MS, &ns)) ns = t_ms < 0 ? INT64_MIN : INT64_MAX;
    return ns >= f->tmin_ns && ns <= f->tmax_ns;
}

static uint32_t cut_samples(const struct cutting *x, const bool *of, struct metric_batch *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->nsamples; i++) {
        if (of[m->series[i]] && in_window(x->f, m->t_ms[i])) continue;
        m->series[n] = m->series[i];
        m->t_ms[n] = m->t_ms[i];
        m->value[n] = m->value[i];
        if (m->st_ms) m->st_ms[n] = m->st_ms[i];
        n++;
    }
    uint32_t gone = m->nsamples - n;
    m->nsamples = n;
    return gone;
}

static uint32_t cut_hists(const struct cutting *x, const bool *of, struct metric_batch *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->nhists; i++) {
        if (of[m->hseries[i]] && in_window(x->f, m->ht_ms[i])) continue;
        m->hseries[n] = m->hseries[i];
        m->ht_ms[n] = m->ht_ms[i];
        m->hist[n] = m->hist[i];
        if (m->hst_ms) m->hst_ms[n] = m->hst_ms[i];
        n++;
    }
    uint32_t gone = m->nhists - n;
    m->nhists = n;
    return gone;
}

/* Series without a sample are not shown: those that are left without any go from the batch, too. */
static err_t drop_series(struct cutting *x, struct metric_batch *m)
{
    uint32_t *at = ARENA_ARRAY(x->a, uint32_t, (size_t)m->nseries + 1), n = 0;
    TRY(arena_check(x->a));
    for (uint32_t i = 0; i < m->nsamples; i++)
        at[m->series[i]] = 1;
    for (uint32_t i = 0; i < m->nhists; i++)
        at[m->hseries[i]] = 1;
    for (uint32_t i = 0; i < m->nseries; i++) {
        if (!at[i]) continue;
        m->id[n] = m->id[i];
        m->canonical[n] = m->canonical[i];
        at[i] = n++;
    }
    m->nseries = n;
    for (uint32_t i = 0; i < m->nsamples; i++)
        m->series[i] = at[m->series[i]];
    for (uint32_t i = 0; i < m->nhists; i++)
        m->hseries[i] = at[m->hseries[i]];
    return OK;
}

static err_t cut_metrics(struct cutting *x, struct batch *b)
{
    struct metric_batch *m = b->metrics;
    if (!x->f->series) return OK;
    bool *of = ARENA_ARRAY(x->a, bool, (size_t)m->nseries + 1);
    TRY(matched_series(x, m, of));
    uint32_t gone = cut_samples(x, of, m) + cut_hists(x, of, m);
    x->rows += gone;
    b->nrows -= MIN(b->nrows, (uint64_t)gone);
    if (gone) TRY(drop_series(x, m));
    if (!m->exemplars) return OK;
    struct table *left;
    TRY(cut_table(x, m->exemplars, &left));
    table_put(m->exemplars);
    m->exemplars = left;
    return OK;
}

/* -- a batch --------------------------------------------------------------------------------------------------------------- */

static err_t cut_rows(struct cutting *x, struct batch *b)
{
    uint32_t n = 0;
    err_t e = OK;
    uint64_t before = x->rows;
    for (uint32_t i = 0; i < b->ntables; i++) {
        struct table *left = b->tables[i];
        if (e == OK) {
            e = cut_table(x, b->tables[i], &left);
            table_put(b->tables[i]);
        }
        if (left) b->tables[n++] = left;
    }
    b->ntables = n;
    b->nrows -= MIN(b->nrows, x->rows - before);
    return e;
}

err_t delete_cut_batch(const struct delete_filter *f, struct str tenant, struct batch *b, struct arena *a, struct budget *budget, bool *concerns,
                       uint64_t *rows)
{
    struct cutting x = { .f = f, .b = b, .a = a, .budget = budget };
    bool metrics = f->series && b->signal == SIG_METRICS;
    if (!str_eq(tenant, b->tenant) || (!metrics && b->signal != f->signal)) return OK;
    *concerns = true;
    if (!rows || (b->signal == SIG_DOCS && !str_eq(b->index, f->index))) return OK;
    err_t e = metrics ? cut_metrics(&x, b) : cut_rows(&x, b);
    *rows += x.rows;
    return e;
}
