#include "server/api/prometheus_stats.h"

#include "query/promql/func.h"

enum { SELECTORS_MAX = 1000, WRAPS_MAX = 32 }; /* wraps: subqueries around a selector */

struct counting {
    struct prom_run *r;
    const struct pq_query *q;
    struct prom_stats *out;
    uint32_t steps, selectors;
    const struct pq_node *wraps[WRAPS_MAX]; /* outermost first */
    uint32_t nwraps;
};

static struct pq_node *node_of(struct arena *a, enum pq_kind kind)
{
    struct pq_node *n = ARENA_NEW(a, struct pq_node);
    n->kind = kind;
    return n;
}

static struct pq_node *call_of(struct arena *a, const char *fn, struct pq_node *arg)
{
    struct pq_node *n = node_of(a, PQ_CALL);
    n->call.fn = pq_func_find(str_of(fn));
    n->call.args = ARENA_RAW(a, struct pq_node *, 1);
    n->call.args[0] = arg;
    n->call.nargs = 1;
    return n;
}

static struct pq_node *agg_of(struct arena *a, enum pq_aggop op, struct pq_node *expr)
{
    struct pq_node *n = node_of(a, PQ_AGG);
    n->agg.op = op;
    n->agg.expr = expr;
    return n;
}

/* sum(count_over_time(x[d])), or count(x): of x, a selector or a range, how many samples a step looks at. */
static struct pq_node *count_of(struct arena *a, const struct pq_node *x)
{
    struct pq_node *copy = arena_dup(a, x, sizeof *x);
    if (x->kind == PQ_SELECTOR) return agg_of(a, PQ_COUNT, copy);
    copy->range.sel = arena_dup(a, x->range.sel, sizeof *x);
    copy->range.sel->sel = arena_dup(a, x->range.sel->sel, sizeof *x->range.sel->sel);
    copy->range.sel->sel->anchored = copy->range.sel->sel->smoothed = false;
    return agg_of(a, PQ_SUM, call_of(a, "count_over_time", copy));
}

static err_t add_steps(struct counting *c, struct pq_node *counter)
{
    struct buf text;
    struct pq_ast ast = { 0 };
    struct pq_result res = { 0 };
    struct pq_query q = *c->q;
    buf_init(&text, 1 << 22, NULL);
    pq_print(counter, &text);
    q.text = arena_str(&c->r->arena, buf_view(&text));
    buf_deinit(&text);
    err_t e = pq_run(&q, &c->r->q, &c->r->arena, &ast, &res);
    for (uint32_t i = 0; e == OK && i < res.value.m.n; i++)
        for (uint32_t k = 0; k < c->steps; k++)
            if (res.value.m.rows[i].have[k] == PQ_CELL_FLOAT) c->out->step[k] += res.value.m.rows[i].v[k];
    struct err_record why = *err_record();
    pq_result_free(&res);
    pq_ast_deinit(&ast);
    *err_record() = why;
    return e;
}

static err_t count_selector(struct counting *c, const struct pq_node *x)
{
    struct arena *a = &c->r->arena;
    struct pq_node *counter = count_of(a, x);
    if (++c->selectors > SELECTORS_MAX) return err_set(ERR_LIMIT, "stats of a query with more than %d selectors", SELECTORS_MAX);
    for (uint32_t i = c->nwraps; i--;) {
        struct pq_node *sub = arena_dup(a, c->wraps[i], sizeof *sub);
        sub->sub.expr = counter;
        counter = call_of(a, "sum_over_time", sub);
    }
    return add_steps(c, counter);
}

static err_t count_all(struct counting *c, const struct pq_node *n)
{
    switch (n->kind) {
    case PQ_SELECTOR:
    case PQ_RANGE: return count_selector(c, n);
    case PQ_SUBQUERY:
        if (c->nwraps == WRAPS_MAX) return err_set(ERR_LIMIT, "stats of a query with more than %d subqueries in each other", WRAPS_MAX);
        c->wraps[c->nwraps++] = n;
        TRY(count_all(c, n->sub.expr));
        c->nwraps--;
        return OK;
    case PQ_PAREN: return count_all(c, n->paren);
    case PQ_UNARY: return count_all(c, n->un.expr);
    case PQ_AGG:
        if (n->agg.param) TRY(count_all(c, n->agg.param));
        return count_all(c, n->agg.expr);
    case PQ_BINARY:
        TRY(count_all(c, n->bin.lhs));
        return count_all(c, n->bin.rhs);
    case PQ_CALL:
        /* The second argument of info() names labels, not series. */
        for (uint32_t i = 0; i < n->call.nargs && !(i && n->call.fn->id == FN_INFO); i++) TRY(count_all(c, n->call.args[i]));
        return OK;
    default: return OK;
    }
}

err_t prom_stats_collect(struct prom_run *r, struct http_request *rq, const struct pq_query *q, const struct pq_result *res,
                         const struct pq_node *root, struct prom_stats *out)
{
    struct str wanted;
    *out = (struct prom_stats){ .wanted = prom_param(rq, "stats", &wanted) };
    if (!out->wanted) return OK;
    out->each = str_is(wanted, "all");
    out->stored = r->q.stats.samples;
    out->bytes = r->q.stats.bytes;
    out->step = ARENA_ARRAY(&r->arena, double, res->grid.n);
    struct counting c = { .r = r, .q = q, .out = out, .steps = res->grid.n };
    return count_all(&c, root);
}

/* -- JSON ------------------------------------------------------------------------------------------------------------ */

static void put_timing(struct json_out *j, const char *name, int64_t ns)
{
    json_keyz(j, name);
    json_f64(j, (double)ns / NS_PER_S);
}

static void put_timings(struct json_out *j, const struct prom_run *r, const struct pq_result *res)
{
    int64_t inner = MAX(res->eval_ns - r->q.queued_ns, 0);
    json_keyz(j, "timings");
    json_obj(j);
    put_timing(j, "evalTotalTime", inner + res->sort_ns + res->prepare_ns);
    put_timing(j, "resultSortTime", res->sort_ns);
    put_timing(j, "queryPreparationTime", res->prepare_ns);
    put_timing(j, "innerEvalTime", inner);
    put_timing(j, "execQueueTime", r->q.queued_ns);
    put_timing(j, "execTotalTime", inner + res->sort_ns + res->prepare_ns + r->q.queued_ns);
    json_obj_end(j);
}

static void put_count(struct json_out *j, const char *name, double n)
{
    json_keyz(j, name);
    json_i64(j, (int64_t)n);
}

static void put_samples(struct json_out *j, const struct pq_result *res, const struct prom_stats *s)
{
    double total = 0;
    json_keyz(j, "samples");
    json_obj(j);
    if (s->each) {
        json_keyz(j, "totalQueryableSamplesPerStep");
        json_arr(j);
    }
    for (uint32_t i = 0; i < res->grid.n; i++) {
        total += s->step[i];
        if (!s->each) continue;
        json_arr(j);
        prom_json_time(j, pq_grid_at(&res->grid, i));
        json_i64(j, (int64_t)s->step[i]);
        json_arr_end(j);
    }
    if (s->each) json_arr_end(j);
    put_count(j, "totalQueryableSamples", total);
    put_count(j, "samplesRead", (double)res->samples);
    put_count(j, "peakSamples", (double)res->samples);
    json_obj_end(j);
}

void prom_stats_put(struct prom_run *r, const struct pq_result *res, const struct prom_stats *s)
{
    struct json_out *j = &r->j;
    json_keyz(j, "stats");
    json_obj(j);
    put_timings(j, r, res);
    put_samples(j, res, s);
    json_keyz(j, "storage"); /* ours */
    json_obj(j);
    put_count(j, "samplesRead", (double)s->stored);
    put_count(j, "bytesRead", (double)s->bytes);
    json_obj_end(j);
    json_obj_end(j);
}
