/* Reading everything back, as queries do: view_run, rows_*, metrics_*. */
#include "base/core/assert.h"
#include "storage/partition.h"
#include "tests/sim/deletions.h"
#include "tests/sim/keeping.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PICKS = 3 }; /* rows of a kind that are also looked for by their trace */

struct check {
    struct model *m;
    struct store *s;
    int64_t picks[PICKS];
    uint32_t npicks;
    bool lost; /* a view said that it lacks something that cannot be read */
    uint32_t tenant;     /* of the view that is read */
    uint32_t *found;     /* rows of it so far: they count when it was read to its end */
    size_t nfound, cap;
};

static void found_row(struct check *c, uint32_t i)
{
    if (c->nfound == c->cap) {
        c->cap = MAX(c->cap * 2, (size_t)1024);
        c->found = realloc(c->found, c->cap * sizeof *c->found);
        ASSERT(c->found != NULL);
    }
    c->found[c->nfound++] = i;
}

/* A row number read from the store under a tenant: is it one we sent, of this kind and tenant? */
static void known_row(struct check *c, int64_t i, enum kind kind, uint32_t tenant)
{
    struct model *m = c->m;
    pthread_mutex_lock(&m->lock);
    if (i < 0 || i >= m->nrows) wrong("row %" PRId64 " was never sent", i);
    const struct row *r = &m->rows[i];
    if (r->kind != kind) wrong("row %" PRId64 " of kind %d is read as kind %d", i, r->kind, kind);
    if (m->requests[r->request].tenant != tenant)
        wrong("row %" PRId64 " of tenant %u is read by tenant %u", i, m->requests[r->request].tenant, tenant);
    found_row(c, (uint32_t)i);
    pthread_mutex_unlock(&m->lock);
}

static err_t need_column(struct rowset *rs, enum col_scope scope, struct str name, enum col_type type,
                         const struct column **c)
{
    TRY(rowset_column(rs, REL_ROWS, scope, name, type, c));
    if (!*c) wrong("a rowset has no column " STR_FMT, STR_ARG(name));
    return OK;
}

static void want_text(const struct column *c, uint32_t row, int64_t i, uint32_t tenant)
{
    char text[64];
    snprintf(text, sizeof text, "row %" PRId64 " of %s", i, tenant_name(tenant).p);
    if (!column_has(c, row) || !str_is(column_str(c, row), text)) wrong("row %" PRId64 " has lost its text", i);
}

static err_t check_rowset(struct check *c, struct rowset *rs, enum kind kind, uint32_t tenant)
{
    static const struct { enum col_scope scope; const char *name; } text_of[] = {
        [K_SPAN] = { SC_SELF, "name" }, [K_LOG] = { SC_SELF, "body" }, [K_DOC] = { SC_SELF, "source" },
        [K_EXEMPLAR] = { SC_ATTR, "text" },
    };
    const struct column *n, *owner, *text, *time, *trace = NULL;
    TRY(need_column(rs, SC_ATTR, STR("n"), COL_I64, &n));
    TRY(need_column(rs, SC_ATTR, STR("owner"), COL_STR, &owner));
    TRY(need_column(rs, text_of[kind].scope, str_of(text_of[kind].name), COL_STR, &text));
    TRY(need_column(rs, SC_SELF, kind == K_SPAN ? STR("start") : STR("time"), COL_I64, &time));
    if (kind == K_SPAN) TRY(need_column(rs, SC_SELF, STR("trace_id"), COL_FIX, &trace));
    for (uint32_t k = 0; k < rs->nsel; k++) {
        uint32_t row = rs->sel ? rs->sel[k] : k;
        if (!column_has(n, row)) wrong("a row without its number");
        int64_t i = n->i64[row];
        known_row(c, i, kind, tenant);
        if (c->npicks < PICKS && (kind == K_SPAN || kind == K_EXEMPLAR || (kind == K_LOG && i % 2)) && i % 7 < 2)
            c->picks[c->npicks++] = i;
        if (!str_eq(column_str(owner, row), tenant_name(tenant))) wrong("row %" PRId64 " bears another owner", i);
        want_text(text, row, i, tenant);
        if (time->i64[row] != row_time_ns((uint64_t)i)) wrong("row %" PRId64 " has another time", i);
        uint8_t id[16];
        row_trace_id((uint64_t)i, id);
        if (trace && memcmp(trace->fix + row * 16, id, 16) != 0) wrong("span %" PRId64 " has another trace", i);
    }
    return OK;
}

/* Is row i among the rows of its trace, and are they all of that trace? */
static err_t look_up(struct view *v, struct rows_req rq, int64_t i)
{
    const struct column_key key = { SC_ATTR, COL_I64, STR("n") };
    uint8_t id[16], other[16];
    row_trace_id((uint64_t)i, id);
    const struct scan_hint hint = { .kind = HINT_FIX_EQ, .rel = REL_ROWS, .scope = SC_SELF, .name = STR("trace_id"), .value = str_n(id, 16) };
    rq.hints = &hint;
    rq.nhints = 1;
    rq.whole = i % 2;
    struct rows_scan *scan;
    bool found = false, more = true;
    TRY(rows_open(v, &rq, &scan));
    err_t e;
    for (;;) {
        struct rowset rs;
        const struct column *n;
        bool packed;
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        packed = false;
        if (rs.sel)
            TRY_OUT(e, rowset_column_at(&rs, REL_ROWS, &key, rs.sel, rs.nsel, &n, &packed));
        else
            TRY_OUT(e, need_column(&rs, SC_ATTR, STR("n"), COL_I64, &n));
        for (uint32_t k = 0; n && k < rs.nsel; k++) {
            int64_t got = n->i64[packed || !rs.sel ? k : rs.sel[k]];
            row_trace_id((uint64_t)got, other);
            if (memcmp(id, other, 16) != 0) wrong("row %" PRId64 " is found in the trace of row %" PRId64, got, i);
            found |= got == i;
        }
    }
    if (!found) wrong("row %" PRId64 " is not found by its trace", i);
out:
    rows_close(scan);
    return e;
}

static err_t check_rows(struct check *c, struct view *v, enum kind kind, uint32_t tenant)
{
    static const enum signal signals[] = { [K_SPAN] = SIG_SPANS, [K_LOG] = SIG_LOGS, [K_DOC] = SIG_DOCS,
                                           [K_EXEMPLAR] = SIG_EXEMPLARS };
    const struct rows_req rq = { .signal = signals[kind], .index = kind == K_DOC ? STR("books") : STR(""),
                                 .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX };
    struct rows_scan *scan;
    c->npicks = 0;
    TRY(rows_open(v, &rq, &scan));
    err_t e = OK;
    for (;;) {
        struct rowset rs;
        bool more;
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        TRY_OUT(e, check_rowset(c, &rs, kind, tenant));
    }
out:
    rows_close(scan);
    for (uint32_t k = 0; e == OK && k < c->npicks; k++)
        e = look_up(v, rq, c->picks[k]);
    return e;
}

static void same_hist(const struct nhist *h, int64_t i, struct arena *a)
{
    struct buf got, want;
    buf_init(&got, 1 << 20, NULL);
    buf_init(&want, 1 << 20, NULL);
    nhist_encode(h, &got);
    nhist_encode(row_hist((uint64_t)i, a), &want);
    if (!str_eq(buf_view(&got), buf_view(&want))) wrong("histogram %" PRId64 " has changed", i);
    buf_deinit(&got);
    buf_deinit(&want);
}

/* -- summaries -------------------------------------------------------------------------------------------------- *
 * A sample's value is its row's number, so that a summary's count and sum tell which rows are in it. */
enum { BETWEEN_MAX = 16 };

/* Rows that may be in a summary, but for its first and last: of the same start, sent, and of a time between. */
static uint32_t list_between(struct model *m, const struct metric_block *w, int64_t start, uint32_t tenant, int64_t *out)
{
    uint32_t n = 0;
    pthread_mutex_lock(&m->lock);
    for (int64_t i = (int64_t)w->first + SERIES; i < (int64_t)w->last && i < m->nrows && n < BETWEEN_MAX; i += SERIES) {
        const struct row *r = &m->rows[i];
        const struct request *rq = &m->requests[r->request];
        if (r->kind == K_SAMPLE && rq->tenant == tenant && row_start_ms((uint64_t)i) == start && rq->outcome != NEW) out[n++] = i;
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

static bool is_found(const struct check *c, int64_t i)
{
    for (size_t k = 0; k < c->nfound; k++)
        if (c->found[k] == i) return true;
    return false;
}

/* Sees `want` of rows[0..n) that add up to that. Where different ones do, all of them may be there. */
static bool see_between(struct check *c, const int64_t *rows, uint32_t n, uint32_t want, int64_t sum, uint32_t tenant)
{
    uint32_t found = 0, any = 0;
    for (uint32_t mask = 0; mask < UINT32_C(1) << n; mask++) {
        int64_t left = sum;
        if ((uint32_t)__builtin_popcount(mask) != want) continue;
        for (uint32_t i = 0; i < n; i++)
            left -= mask >> i & 1 ? rows[i] : 0;
        if (left != 0) continue;
        found++;
        any |= mask;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!(any >> i & 1)) continue;
        if (found == 1 || !is_found(c, rows[i])) known_row(c, rows[i], K_SAMPLE, tenant);
    }
    return found > 0;
}

static void check_summary(struct check *c, const struct metric_block *w, int64_t start, uint32_t tenant)
{
    int64_t first = (int64_t)w->first, last = (int64_t)w->last, rows[BETWEEN_MAX];
    if (w->min != w->first || w->max != w->last || w->reset_sum != 0) wrong("a summary of rows %" PRId64 " to %" PRId64 " is wrong", first, last);
    if (w->tmin_ms != row_time_ns((uint64_t)first) / NS_PER_MS) wrong("the summary of row %" PRId64 " has another time", first);
    if (first != last) known_row(c, first, K_SAMPLE, tenant); /* the last one is its sample */
    if (w->n <= 2) return;
    uint32_t n = list_between(c->m, w, start, tenant, rows);
    if (!see_between(c, rows, n, w->n - 2, (int64_t)w->sum - first - last, tenant))
        wrong("a summary of %u rows from %" PRId64 " to %" PRId64 ", together %.0f, is of no rows that were sent", w->n, first, last, w->sum);
}

static err_t check_series(struct check *c, struct view *v, const struct mseries *s, uint32_t tenant)
{
    struct arena a;
    struct samples sm;
    arena_init(&a, NULL);
    if (!str_eq(labels_get(&s->labels, STR("owner")), tenant_name(tenant))) wrong("a series of another owner");
    err_t e = metrics_samples(v, s, INT64_MIN, INT64_MAX, &a, &sm);
    for (uint32_t k = 0; e == OK && k < sm.n; k++) {
        const struct nhist *h = sm.hist ? sm.hist[k] : NULL;
        int64_t i = (int64_t)(h ? h->sum : sm.v[k]);
        known_row(c, i, h ? K_HIST : K_SAMPLE, tenant);
        if (h) same_hist(h, i, &a);
        int64_t start = sm.st_ms ? sm.st_ms[k] : ST_NONE;
        if (!h && start != row_start_ms((uint64_t)i)) wrong("sample %" PRId64 " has another start", i);
        if (sm.win && sm.win[k]) check_summary(c, sm.win[k], start, tenant);
        if (sm.t_ms[k] != row_time_ns(i) / NS_PER_MS) wrong("sample %" PRId64 " has another time", i);
        char inst[16], name[16];
        snprintf(inst, sizeof inst, "i%u", (unsigned)(i % SERIES));
        snprintf(name, sizeof name, "%c%u", h ? 'h' : 'm', (unsigned)(i % SERIES % 5));
        if (!str_is(labels_get(&s->labels, STR("inst")), inst) || !str_is(labels_get(&s->labels, STR("__name__")), name))
            wrong("sample %" PRId64 " is in another series", i);
    }
    arena_deinit(&a);
    return e;
}

static err_t check_metrics(struct check *c, struct view *v, uint32_t tenant)
{
    struct mseries *series;
    uint32_t n;
    TRY(metrics_select(v, NULL, 0, INT64_MIN, INT64_MAX, &series, &n));
    for (uint32_t k = 0; k < n; k++)
        TRY(check_series(c, v, &series[k], tenant));
    return OK;
}

static void count_found(struct check *c)
{
    pthread_mutex_lock(&c->m->lock);
    for (size_t i = 0; i < c->nfound; i++) {
        struct row *r = &c->m->rows[c->found[i]];
        if (r->seen < UINT8_MAX) r->seen++;
    }
    pthread_mutex_unlock(&c->m->lock);
}

static err_t read_view(struct check *c, struct view *v)
{
    c->nfound = 0;
    err_t e = check_rows(c, v, K_SPAN, c->tenant);
    if (e == OK) e = check_rows(c, v, K_LOG, c->tenant);
    if (e == OK) e = check_rows(c, v, K_DOC, c->tenant);
    if (e == OK) e = check_rows(c, v, K_EXEMPLAR, c->tenant);
    if (e == OK) e = check_metrics(c, v, c->tenant);
    struct view_counts counts;
    view_counts(v, &counts);
    c->lost |= counts.lost > 0 || counts.away > 0;
    return e;
}

/* Perhaps again, from the beginning, without what the bucket alone has. */
static err_t check_view(struct view *v, void *ctx)
{
    TRY(read_view(ctx, v));
    count_found(ctx);
    return OK;
}

err_t model_read(struct model *m, struct view *v, uint32_t tenant, uint32_t **rows, uint32_t *n, bool *lost)
{
    struct check c = { .m = m, .tenant = tenant };
    err_t e = read_view(&c, v);
    *lost = c.lost;
    *rows = c.found;
    *n = (uint32_t)c.nfound;
    if (e == OK) return OK;
    free(c.found);
    *rows = NULL;
    return e;
}

static err_t check_here(void *arg)
{
    struct check *c = arg;
    for (uint32_t t = 0; t < TENANTS; t++) {
        struct budget budget;
        budget_init(&budget, "check", NULL, 1 << 30, ERR_LIMIT);
        c->tenant = t;
        TRY(view_run(c->s, tenant_name(t), NULL, &budget, check_view, c));
    }
    return OK;
}

/* One byte a request: is it covered, under whatever name? Every name that was acked must be. NULL: there are no names. */
static err_t covered_requests(struct model *m, struct store *s, uint8_t **out)
{
    struct cover c;
    struct cover_run r;
    struct cover_iter it = { 0 };
    *out = NULL;
    if (!m->named.n) return OK;
    pthread_mutex_lock(&m->lock);
    uint32_t n = m->nrequests, *acked = calloc(n + 1, sizeof *acked);
    ASSERT(acked != NULL);
    for (uint32_t i = 0; i < n; i++)
        acked[i] = m->requests[i].named;
    pthread_mutex_unlock(&m->lock);
    cover_init(&c);
    err_t e = store_cover(s, &m->named.id, 1, &c);
    if (e == OK) *out = calloc(n + 1, 1);
    for (uint32_t i = 0; e == OK && i < n && !m->rot && !m->recovered; i++)
        for (uint32_t v = 0; v < NAMES; v++) {
            struct batch_name name = model_name(m, i, v);
            if (acked[i] >> v & 1 && !cover_has(&c, &name)) wrong("request %u was acked under its name %u, which is not covered", i, v);
        }
    pthread_mutex_lock(&m->lock);
    while (e == OK && cover_next(&c, &it, &r))
        for (uint64_t seq = r.first; seq <= r.last; seq++) {
            const struct batch_name name = { r.stream, r.origin, r.epoch, r.core, seq };
            uint32_t i = model_named(m, &name);
            if (i == UINT32_MAX) wrong("a name is covered that was never sent");
            if (i < n) (*out)[i] = 1;
        }
    pthread_mutex_unlock(&m->lock);
    cover_deinit(&c);
    free(acked);
    return e;
}

err_t model_check(struct model *m, struct store *s, const uint8_t *acked_at, uint32_t nacked)
{
    static const char *const names[] = { "span", "log", "document", "sample", "exemplar", "histogram" };
    pthread_mutex_lock(&m->lock);
    uint32_t nrows = m->nrows;
    m->rows_rotten = 0;
    uint64_t began = ++m->clock;
    for (uint32_t i = 0; i < nrows; i++)
        m->rows[i].seen = 0;
    pthread_mutex_unlock(&m->lock);
    struct check c = { m, s };
    uint8_t *covered;
    TRY(covered_requests(m, s, &covered));
    err_t e = OK;
    for (unsigned core = 0; core < rt_cores() && e == OK; core++)
        e = rt_call(core, RT_QUERY, check_here, &c);
    free(c.found);
    if (e != OK) free(covered);
    TRY(e);
    m->lost_reads += c.lost;
    pthread_mutex_lock(&m->lock);
    for (uint32_t i = 0; i < nrows; i++) {
        const struct row *r = &m->rows[i];
        bool acked = acked_at ? r->request < nacked && acked_at[r->request]
                              : m->requests[r->request].outcome == ACKED;
        acked |= covered && covered[r->request];
        const struct deletion_verdict d = deletion_of(m, i, began);
        bool again = (m->jumped || d.doubled) && r->seen <= m->requests[r->request].sent;
        if (r->seen > 1 && !again) wrong("%s %u is there %u times (request %u)", names[r->kind], i, r->seen, r->request);
        bool expired = keep_expired(m, i);
        if (d.gone && r->seen) wrong("%s %u is back: it was deleted (request %u)", names[r->kind], i, r->request);
        bool local = m->local == m->requests[r->request].tenant + 1;
        if (local && m->recovered && r->seen) wrong("%s %u of the local tenant came out of the bucket (request %u)", names[r->kind], i, r->request);
        if (local && (m->recovered || m->room)) continue;
        m->rows_rotten += acked && r->seen == 0 && !expired && !d.may_go;
        if (acked && r->seen == 0 && !m->rot && !expired && !c.lost && !d.may_go) wrong("acked %s %u is lost (request %u)", names[r->kind], i, r->request);
        if (r->seen && m->requests[r->request].outcome == NEW) wrong("%s %u was never sent", names[r->kind], i);
    }
    m->checks++;
    pthread_mutex_unlock(&m->lock);
    free(covered);
    return OK;
}
