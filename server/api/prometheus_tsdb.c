/* /api/v1/status/tsdb: the cardinality of one tenant's series, of all that is stored and not of a head alone. */
#include "server/api/prometheus_names.h"

#include <stdlib.h>

/* -- from when to when, in how many pieces ----------------------------------------------------------------------------- */

static err_t widen(struct view *view, const struct mseries *s, int64_t from, int64_t to, struct arena *a, struct prom_span *out)
{
    struct samples got;
    if (from > to) return OK;
    TRY(metrics_samples(view, s, from, to, a, &got));
    if (!got.n) return OK;
    out->tmin = MIN(out->tmin, got.t_ms[0]);
    out->tmax = MAX(out->tmax, got.t_ms[got.n - 1]);
    return OK;
}

/* Samples are read only where they may be before or after all that is known. */
static err_t span_of(struct view *view, const struct mseries *s, struct arena *a, struct prom_span *out)
{
    struct metric_piece *p;
    uint32_t n;
    TRY(metrics_pieces(view, s, PROM_TIME_MIN, PROM_TIME_MAX, a, &p, &n));
    out->pieces += n;
    for (uint32_t i = 0; i < n; i++) {
        if (!p[i].block) continue;
        out->tmin = MIN(out->tmin, p[i].block->tmin_ms);
        out->tmax = MAX(out->tmax, p[i].block->tmax_ms);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (p[i].block) continue;
        if (out->tmin > out->tmax) {
            TRY(widen(view, s, p[i].tmin_ms, p[i].tmax_ms, a, out));
        } else {
            TRY(widen(view, s, p[i].tmin_ms, MIN(p[i].tmax_ms, out->tmin - 1), a, out));
            TRY(widen(view, s, MAX(p[i].tmin_ms, out->tmax + 1), p[i].tmax_ms, a, out));
        }
    }
    return arena_check(a);
}

static err_t fragment(struct query *q, struct view *view, const void *plan, struct arena *a, void **partial)
{
    struct prom_span *out = ARENA_NEW(a, struct prom_span);
    struct mseries *s;
    uint32_t n;
    (void)q;
    (void)plan;
    *partial = out;
    *out = PROM_SPAN_NONE;
    TRY(metrics_select(view, NULL, 0, PROM_TIME_MIN, PROM_TIME_MAX, &s, &n));
    for (uint32_t i = 0; i < n; i++) {
        struct arena_mark mark = arena_mark(a);
        TRY(rt_checkpoint());
        TRY(span_of(view, &s[i], a, out));
        arena_rollback(a, mark);
    }
    return OK;
}

const struct fragment_kind PROM_SPAN_KIND = {
    .name = "span", .fn = fragment, .plan_put = prom_signals_plan_put, .plan_get = prom_signals_plan_get,
    .partial_put = prom_span_put, .partial_get = prom_span_get,
};

static err_t span_all(struct prom_run *r, struct prom_span *out)
{
    struct scatter sc;
    *out = PROM_SPAN_NONE;
    TRY(scatter_run(&r->q, &PROM_SPAN_KIND, NULL, &sc));
    for (unsigned i = 0; i < sc.n; i++) {
        const struct prom_span *s = sc.partials[i];
        out->tmin = MIN(out->tmin, s->tmin);
        out->tmax = MAX(out->tmax, s->tmax);
        out->pieces += s->pieces;
    }
    scatter_free(&sc);
    return OK;
}

/* -- the lists --------------------------------------------------------------------------------------------------------- */
enum { TSDB_LIMIT = 10, TSDB_LIMIT_MAX = 10000 };
struct counted { struct str name; uint64_t n; };
static int counted_cmp(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return str_cmp(x->name, y->name);
}

static void put_top(struct json_out *j, struct arena *a, const char *key, const struct prom_names *s, uint64_t top)
{
    struct counted *c = ARENA_RAW(a, struct counted, s->n + 1);
    for (uint32_t i = 0; i < s->n; i++) c[i] = (struct counted){ s->v[i], s->count[i] };
    if (s->n) qsort(c, s->n, sizeof *c, counted_cmp);
    json_keyz(j, key);
    json_arr(j);
    for (uint32_t i = 0; i < s->n && i < top; i++) {
        json_obj(j);
        json_keyz(j, "name");
        json_str(j, c[i].name);
        json_keyz(j, "value");
        json_u64(j, c[i].n);
        json_obj_end(j);
    }
    json_arr_end(j);
}

struct lists {
    struct prom_names metrics, pairs, values, bytes;
};

/* memoryInBytesByLabelName counts the value's bytes once for each series. */
static void count_series(struct lists *t, struct arena *a, const struct labels *l)
{
    for (uint32_t k = 0; k < l->n; k++) {
        uint32_t before = t->pairs.n;
        if (str_is(l->l[k].name, "__name__")) prom_names_add(&t->metrics, a, l->l[k].value);
        prom_names_add(&t->pairs, a, arena_printf(a, STR_FMT "=" STR_FMT, STR_ARG(l->l[k].name), STR_ARG(l->l[k].value)));
        if (t->pairs.n != before) prom_names_add(&t->values, a, l->l[k].name);
        uint32_t b = prom_names_add(&t->bytes, a, l->l[k].name);
        t->bytes.count[b] += l->l[k].value.n - 1; /* one was added with it */
    }
}

static void put(struct prom_run *r, const struct lists *t, uint32_t series, const struct prom_span *span, uint64_t limit)
{
    struct json_out *j = &r->j;
    json_obj(j);
    json_keyz(j, "headStats");
    json_obj(j);
    json_keyz(j, "numSeries");
    json_u64(j, series);
    json_keyz(j, "numLabelPairs");
    json_u64(j, t->pairs.n);
    json_keyz(j, "chunkCount");
    json_u64(j, span->pieces);
    json_keyz(j, "minTime");
    json_i64(j, span->tmin);
    json_keyz(j, "maxTime");
    json_i64(j, span->tmax);
    json_obj_end(j);
    put_top(j, &r->arena, "seriesCountByMetricName", &t->metrics, limit);
    put_top(j, &r->arena, "labelValueCountByLabelName", &t->values, limit);
    put_top(j, &r->arena, "memoryInBytesByLabelName", &t->bytes, limit);
    put_top(j, &r->arena, "seriesCountByLabelValuePair", &t->pairs, limit);
    json_obj_end(j);
}

static err_t tsdb_limit(struct http_request *rq, uint64_t *limit)
{
    struct str v;
    *limit = TSDB_LIMIT;
    if (!prom_param(rq, "limit", &v)) return OK;
    if (!str_to_u64(v, limit) || *limit == 0) return err_set(ERR_INVALID, "limit must be a positive number");
    if (*limit > TSDB_LIMIT_MAX) return err_set(ERR_INVALID, "limit must not exceed %d", TSDB_LIMIT_MAX);
    return OK;
}

static err_t answer(struct prom_run *r, struct http_request *rq, struct http_response *rs, struct lists *t)
{
    struct prom_selection *sel = ARENA_NEW(&r->arena, struct prom_selection);
    struct prom_names none = { 0 };
    struct pq_matrix m = { 0 };
    struct prom_span span;
    uint64_t limit;
    TRY(tsdb_limit(rq, &limit));
    sel->tmin = PROM_TIME_MIN;
    sel->tmax = PROM_TIME_MAX;
    TRY(prom_gather(r, sel, PROM_WANT_SERIES, STR_NONE, &none, &m));
    for (uint32_t i = 0; i < m.n; i++) {
        TRY(rt_checkpoint());
        count_series(t, &r->arena, &m.rows[i].labels);
        TRY(arena_check(&r->arena));
    }
    TRY(span_all(r, &span));
    prom_data(r, rs);
    put(r, t, m.n, &span, limit);
    prom_done(r);
    return buf_check(&rs->body);
}

err_t prom_tsdb(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct lists t = { 0 };
    struct prom_names *sets[] = { &t.metrics, &t.pairs, &t.values, &t.bytes };
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) htab_init(&sets[i]->index, NULL);
    err_t e = prom_begin(&r, rq);
    if (e == OK) e = answer(&r, rq, rs, &t);
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) htab_deinit(&sets[i]->index);
    prom_end(&r);
    return e;
}
