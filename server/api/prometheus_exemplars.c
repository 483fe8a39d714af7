/* /api/v1/query_exemplars: every selector of the query, over the rows of SIG_EXEMPLARS. */
#include "server/api/prometheus_wire.h"

#include "query/promql/number.h"
#include "storage/metric_match.h"

#include <stdlib.h>

enum { SELECTORS_MAX = 64, COLUMNS_MAX = 256 };

static void selectors_of(const struct pq_node *n, struct prom_plan *p)
{
    switch (n->kind) {
    case PQ_SELECTOR:
        if (p->n < SELECTORS_MAX) p->sel[p->n++] = (struct prom_matchers){ n->sel->m, n->sel->nm };
        return;
    case PQ_RANGE: selectors_of(n->range.sel, p); return;
    case PQ_SUBQUERY: selectors_of(n->sub.expr, p); return;
    case PQ_PAREN: selectors_of(n->paren, p); return;
    case PQ_UNARY: selectors_of(n->un.expr, p); return;
    case PQ_AGG: selectors_of(n->agg.expr, p); return;
    case PQ_BINARY:
        selectors_of(n->bin.lhs, p);
        selectors_of(n->bin.rhs, p);
        return;
    case PQ_CALL:
        for (uint32_t i = 0; i < n->call.nargs; i++) selectors_of(n->call.args[i], p);
        return;
    default: return;
    }
}

static bool selected(const struct prom_plan *p, const struct labels *l)
{
    for (uint32_t s = 0; s < p->n; s++) {
        bool all = true;
        for (uint32_t i = 0; i < p->sel[s].n && all; i++) {
            const struct matcher *m = &p->sel[s].m[i];
            all = match_takes(m, labels_get(l, m->name));
        }
        if (all) return true;
    }
    return false;
}

static struct str text_of(struct arena *a, const struct column *c, uint32_t row)
{
    char num[PQ_NUMBER_MAX];
    switch (c->type) {
    case COL_I64: return arena_printf(a, "%lld", (long long)c->i64[row]);
    case COL_F64: return arena_str(a, str_n(num, pq_format_g(c->f64[row], num)));
    case COL_BOOL: return c->boolean[row] ? STR("true") : STR("false");
    case COL_FIX: {
        char *hex = ARENA_RAW(a, char, c->width * 2 + 1);
        str_to_hex(c->fix + (size_t)row * c->width, c->width, hex);
        return str_n(hex, c->width * 2);
    }
    default: return arena_str(a, column_str(c, row));
    }
}

struct cols { /* of one rowset */
    const struct column *time, *labels, *value;
    const struct column *extra[COLUMNS_MAX]; /* trace_id, span_id, attributes */
    uint32_t nextra;
};

static err_t cols_read(struct rowset *rs, struct cols *c)
{
    static const struct { const char *name; } ids[] = { { "trace_id" }, { "span_id" } };
    const struct column_key *keys;
    uint32_t n;
    *c = (struct cols){ 0 };
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("time"), COL_I64, &c->time));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("labels"), COL_STR, &c->labels));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("value"), COL_F64, &c->value));
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        const struct column *col;
        TRY(rowset_column(rs, REL_ROWS, SC_SELF, str_of(ids[i].name), COL_FIX, &col));
        if (col) c->extra[c->nextra++] = col;
    }
    TRY(rowset_keys(rs, REL_ROWS, &keys, &n));
    for (uint32_t i = 0; i < n && c->nextra < COLUMNS_MAX; i++) {
        const struct column *col;
        if (keys[i].scope != SC_ATTR) continue;
        TRY(rowset_column(rs, REL_ROWS, SC_ATTR, keys[i].name, keys[i].type, &col));
        if (col) c->extra[c->nextra++] = col;
    }
    return OK;
}

static err_t take_rows(const struct prom_plan *p, struct rowset *rs, struct arena *a, struct prom_exemplars_part *out)
{
    struct cols *c = ARENA_NEW(a, struct cols);
    TRY(cols_read(rs, c));
    if (!c->time || !c->labels || !c->value) return OK;
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        TRY(rt_checkpoint());
        TRY(arena_check(a));
        if (!column_has(c->labels, row) || !column_has(c->value, row)) continue;
        if (c->time->i64[row] < p->tmin || c->time->i64[row] > p->tmax) continue;
        struct prom_exemplar x = { .value = c->value->f64[row], .t_ms = c->time->i64[row] / NS_PER_MS };
        struct labels l;
        TRY(labels_decode(column_str(c->labels, row), a, &l));
        if (!selected(p, &l)) continue;
        x.series = pq_labels_copy(a, &l);
        for (uint32_t k = 0; k < c->nextra; k++)
            if (column_has(c->extra[k], row))
                x.labels = pq_labels_set(a, &x.labels, arena_str(a, c->extra[k]->name), text_of(a, c->extra[k], row));
        out->v = arena_grow(a, out->v, out->n, &out->cap, out->n + 1, sizeof *out->v);
        out->v[out->n++] = x;
    }
    return OK;
}

static err_t fragment(struct query *q, struct view *view, const void *plan, struct arena *a, void **partial)
{
    const struct prom_plan *p = plan;
    struct prom_exemplars_part *out = ARENA_NEW(a, struct prom_exemplars_part);
    struct rows_req req = { .signal = SIG_EXEMPLARS, .tmin_ns = p->tmin, .tmax_ns = p->tmax };
    struct rows_scan *scan;
    struct rowset rs;
    err_t e = OK;
    (void)q;
    *partial = out;
    TRY(rows_open(view, &req, &scan));
    for (bool more;;) {
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        TRY_OUT(e, take_rows(p, &rs, a, out));
    }
out:
    rows_close(scan);
    return e;
}

const struct fragment_kind PROM_EXEMPLARS_KIND = {
    .name = "exemplars", .fn = fragment, .plan_put = prom_plan_put, .plan_get = prom_plan_get, .plan_free = prom_plan_free,
    .partial_put = prom_exemplars_put, .partial_get = prom_exemplars_get,
};

static int exemplar_cmp(const void *a, const void *b)
{
    const struct prom_exemplar *x = a, *y = b;
    int c = pq_labels_cmp(&x->series, &y->series);
    return c ? c : x->t_ms < y->t_ms ? -1 : x->t_ms > y->t_ms;
}

static void put(struct json_out *j, const struct prom_exemplar *v, uint32_t n)
{
    char num[PQ_NUMBER_MAX];
    json_arr(j);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || !pq_labels_equal(&v[i].series, &v[i - 1].series)) {
            if (i) {
                json_arr_end(j);
                json_obj_end(j);
            }
            json_obj(j);
            json_keyz(j, "seriesLabels");
            prom_json_labels(j, &v[i].series);
            json_keyz(j, "exemplars");
            json_arr(j);
        }
        json_obj(j);
        json_keyz(j, "labels");
        prom_json_labels(j, &v[i].labels);
        json_keyz(j, "value");
        json_str(j, str_n(num, pq_format_api(v[i].value, num)));
        json_keyz(j, "timestamp");
        json_f64(j, (double)v[i].t_ms / 1000);
        json_obj_end(j);
    }
    if (n) {
        json_arr_end(j);
        json_obj_end(j);
    }
    json_arr_end(j);
}

err_t prom_exemplars(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct pq_ast ast = { 0 };
    struct str text = STR_NONE;
    struct scatter sc = { 0 };
    int64_t start, end;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    struct prom_plan *p = ARENA_NEW(&r.arena, struct prom_plan);
    TRY_OUT(e, prom_time(rq, "start", PROM_TIME_MIN, &start));
    TRY_OUT(e, prom_time(rq, "end", PROM_TIME_MAX, &end));
    if (end < start) {
        e = err_set(ERR_INVALID, "end timestamp must not be before start timestamp");
        goto out;
    }
    (void)http_param(rq, "query", 0, &text);
    TRY_OUT(e, pq_parse(text, &r.arena, &ast));
    selectors_of(ast.root, p);
    if (!p->n) {
        rs->status = 204;
        goto out;
    }
    p->tmin = prom_ns(start);
    p->tmax = prom_ns(end);
    TRY_OUT(e, scatter_run(&r.q, &PROM_EXEMPLARS_KIND, p, &sc));
    uint32_t n = 0;
    for (unsigned i = 0; i < sc.n; i++) n += ((struct prom_exemplars_part *)sc.partials[i])->n;
    struct prom_exemplar *all = ARENA_RAW(&r.arena, struct prom_exemplar, n + 1);
    n = 0;
    for (unsigned i = 0; i < sc.n; i++) {
        const struct prom_exemplars_part *part = sc.partials[i];
        if (part->n) memcpy(all + n, part->v, sizeof *all * part->n);
        n += part->n;
    }
    if (n) qsort(all, n, sizeof *all, exemplar_cmp);
    prom_data(&r, rs);
    put(&r.j, all, n);
    prom_done(&r);
    scatter_free(&sc);
out:
    pq_ast_deinit(&ast);
    prom_end(&r);
    return e;
}
