#include "tests/sim/deletions.h"

#include "base/core/assert.h"
#include "storage/store_delete.h"

#include <stdio.h>
#include <stdlib.h>

static const enum signal signals[] = { [K_SPAN] = SIG_SPANS, [K_LOG] = SIG_LOGS, [K_DOC] = SIG_DOCS, [K_SAMPLE] = SIG_METRICS };

/* -- the model ---------------------------------------------------------------------------------------------------- */

static uint32_t begin(struct model *m, const struct deletion *d)
{
    pthread_mutex_lock(&m->lock);
    if (m->ndeletions == m->deletions_cap) {
        m->deletions_cap = m->deletions_cap ? m->deletions_cap * 2 : 16;
        m->deletions = realloc(m->deletions, m->deletions_cap * sizeof *m->deletions);
        ASSERT(m->deletions != NULL);
    }
    uint32_t i = m->ndeletions++;
    m->deletions[i] = *d;
    m->deletions[i].begin = ++m->clock;
    if (m->noted) m->noted(DELETION_BEGUN, i);
    pthread_mutex_unlock(&m->lock);
    return i;
}

static void end(struct model *m, uint32_t i, bool acked)
{
    pthread_mutex_lock(&m->lock);
    m->deletions[i].end = ++m->clock;
    m->deletions[i].acked = acked;
    m->deleted += acked;
    if (m->noted) m->noted(acked ? DELETION_ACKED : DELETION_ENDED, i);
    pthread_mutex_unlock(&m->lock);
}

void deletions_crashed(struct model *m)
{
    uint64_t now = ++m->clock;
    for (uint32_t i = 0; i < m->ndeletions; i++)
        if (m->deletions[i].end == 0) m->deletions[i].end = now;
    for (uint32_t i = 0; i < m->nrequests; i++) {
        if (m->requests[i].busy) m->requests[i].sent_last = now;
        m->requests[i].busy = 0;
    }
}

static bool names(const struct deletion *d, const struct row *r, uint32_t i)
{
    /* Series are deleted whole, and histograms' are of the same instances. */
    bool kind = r->kind == d->kind || (d->kind == K_SAMPLE && r->kind == K_HIST);
    return kind && i % d->mod == d->rest;
}

struct deletion_verdict deletion_of(const struct model *m, uint32_t i, uint64_t began)
{
    struct deletion_verdict v = { 0 };
    const struct row *r = &m->rows[i];
    const struct request *q = &m->requests[r->request];
    for (uint32_t k = 0; k < m->ndeletions; k++) {
        const struct deletion *d = &m->deletions[k];
        if (d->tenant != q->tenant || (d->end && q->sent_first > d->end)) continue;
        bool before = q->outcome == ACKED && q->busy == 0 && q->sent_last < d->begin;
        v.doubled |= !before;
        if (!names(d, r, i)) continue;
        v.may_go = true;
        v.gone |= before && d->acked && d->end < began;
    }
    return v;
}

/* -- the store ----------------------------------------------------------------------------------------------------- */

struct marking {
    const struct deletion *d;
    struct store *s;
    uint64_t generation;
    struct arena a;
    struct dead_marks marks;
};

static err_t mark_all(struct marking *x, struct view *v)
{
    const struct rows_req rq = { .signal = signals[x->d->kind], .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX, .upto_generation = x->generation };
    struct rows_scan *scan;
    err_t e;
    TRY(rows_open(v, &rq, &scan));
    for (;;) {
        struct rowset rs;
        const struct column *n;
        bool more;
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        TRY_OUT(e, rowset_column(&rs, REL_ROWS, SC_ATTR, STR("n"), COL_I64, &n));
        for (uint32_t k = 0; n && k < rs.nsel; k++) {
            uint32_t row = rs.sel ? rs.sel[k] : k;
            if (n->i64[row] % x->d->mod == x->d->rest) TRY_OUT(e, rowset_mark(&rs, &row, 1, &x->marks));
        }
    }
    e = dead_marks_end(&x->marks);
out:
    rows_close(scan);
    return e;
}

static err_t mark_here(void *arg)
{
    struct marking *x = arg;
    struct view_counts counts;
    struct view *v;
    dead_marks_init(&x->marks, &x->a);
    TRY(view_open(x->s, tenant_name(x->d->tenant), NULL, NULL, &v));
    err_t e = mark_all(x, v);
    view_counts(v, &counts);
    view_close(v);
    return e == OK && counts.lost ? err_set(ERR_UNAVAILABLE, "something is lost") : e;
}

static err_t delete_rows(const struct deletion *d, struct store *s)
{
    struct delete_entry entry = { .tenant = tenant_name(d->tenant), .signal = signals[d->kind] };
    err_t e = OK;
    bool again = true;
    TRY(store_delete_begin(s, &entry));
    while (e == OK && again) {
        again = false;
        for (unsigned c = 0; e == OK && c < rt_cores(); c++) {
            struct marking x = { .d = d, .s = s, .generation = entry.generation };
            struct delete_counts counts = { 0 };
            arena_init(&x.a, NULL);
            e = rt_call(c, RT_MAINTENANCE, mark_here, &x);
            if (e == OK) e = store_delete_rows(s, &x.marks, &counts);
            again |= counts.stale > 0;
            arena_deinit(&x.a);
        }
    }
    entry.done = true; /* one that failed is not gone on with here */
    err_t ended = store_delete_update(s, &entry);
    return e == OK ? ended : e;
}

static err_t delete_series(const struct deletion *d, struct store *s)
{
    char inst[16];
    snprintf(inst, sizeof inst, "i%u", d->rest);
    const struct matcher m = { .op = MATCH_EQ, .name = STR("inst"), .value = str_of(inst) };
    const struct tombstone_spec t = { .tenant = tenant_name(d->tenant), .signal = SIG_METRICS, .tmin_ms = INT64_MIN, .tmax_ms = INT64_MAX,
                                      .m = &m, .nm = 1 };
    return store_tombstone(s, &t);
}

static err_t delete_index(const struct deletion *d, struct store *s)
{
    const struct tombstone_spec t = { .tenant = tenant_name(d->tenant), .signal = SIG_DOCS, .index = STR("books") };
    return store_tombstone(s, &t);
}

bool deletion_run(struct model *m, struct store *s, struct prng *r)
{
    struct deletion d = { .tenant = (uint32_t)prng_below(r, TENANTS), .kind = (enum kind)prng_below(r, K_SAMPLE + 1) };
    d.mod = d.kind == K_SAMPLE ? SERIES : d.kind == K_DOC ? 1 : 2 + (uint32_t)prng_below(r, 5);
    d.rest = (uint32_t)prng_below(r, d.mod);
    uint32_t i = begin(m, &d);
    err_t e = d.kind == K_SAMPLE ? delete_series(&d, s) : d.kind == K_DOC ? delete_index(&d, s) : delete_rows(&d, s);
    end(m, i, e == OK);
    return e == OK;
}
