/* Deleting series and making snapshots, as Prometheus' admin API has it: recorded at once and visible at once, their exemplars by a task that is waited for;
 * the bytes go later. Prometheus has these
 * behind a flag and answers 503 without it; here the setting api.deletes decides. */
#include "cluster/clean.h"
#include "server/api/delete_tasks.h"
#include "server/api/deletes_allowed.h"
#include "server/api/prometheus_wire.h"
#include "storage/store_delete.h"
#include "storage/store_snapshot.h"

enum { EXEMPLARS_WAIT_S = 30, JOINT_WAIT_S = 30 };

static err_t check(const struct prom_ctx *ctx)
{
    if (!ctx->deletes) return err_set(ERR_UNAVAILABLE, "admin APIs disabled: the setting api.deletes=on allows them");
    return OK;
}

static err_t no_content(struct http_response *rs)
{
    rs->status = 204;
    return OK;
}

/* -- exemplars ------------------------------------------------------------------------------------------------------- */

static err_t look(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    unsigned *found = ARENA_NEW(a, unsigned);
    (void)q;
    (void)plan;
    *partial = found;
    return view_signals(v, 1u << SIG_EXEMPLARS, found);
}

const struct fragment_kind PROM_SIGNALS_KIND = {
    .name = "signals", .fn = look, .plan_put = prom_signals_plan_put, .plan_get = prom_signals_plan_get,
    .partial_put = prom_signals_put, .partial_get = prom_signals_get,
};

static err_t has_exemplars(struct prom_run *r, bool *has)
{
    struct scatter sc;
    *has = false;
    TRY(scatter_run(&r->q, &PROM_SIGNALS_KIND, NULL, &sc));
    for (unsigned i = 0; i < sc.n; i++)
        *has |= *(unsigned *)sc.partials[i] != 0;
    scatter_free(&sc);
    return OK;
}

static struct delete_spec spec_of(struct prom_run *r, const struct tombstone_spec *t, const struct pq_ast *asts, uint32_t n)
{
    struct str *selectors = ARENA_RAW(&r->arena, struct str, n);
    for (uint32_t i = 0; i < n; i++)
        selectors[i] = asts[i].text;
    return (struct delete_spec){ .lang = DELETE_SERIES, .index = STR(""), .query = STR(""), .fields = selectors, .nfields = n,
                                 .start_ns = prom_ns(t->tmin_ms), .end_ns = t->tmax_ms == INT64_MAX ? INT64_MAX : prom_ns(t->tmax_ms + 1) };
}

static err_t delete_exemplars(struct prom_run *r, const struct tombstone_spec *t, const struct pq_ast *asts, uint32_t n)
{
    const struct delete_spec spec = spec_of(r, t, asts, n);
    struct delete_task task;
    bool has;
    TRY(has_exemplars(r, &has));
    if (!has) return OK;
    TRY(delete_tasks_submit(r->ctx->tasks, t->tenant, &spec, &r->arena, &task));
    TRY(delete_tasks_wait(r->ctx->tasks, t->tenant, task.id, EXEMPLARS_WAIT_S * NS_PER_S, &r->arena, &task));
    if (str_is(task.state, "done")) return OK;
    return err_set(ERR_UNAVAILABLE, "the series are deleted, their exemplars not all yet (deletion %llu goes on): " STR_FMT,
                   (unsigned long long)task.id, STR_ARG(task.error));
}

/* Series and exemplars on all nodes that have them. */
static err_t delete_joint(struct prom_run *r, const struct tombstone_spec *t, const struct pq_ast *asts, uint32_t n)
{
    const struct delete_spec spec = spec_of(r, t, asts, n);
    struct delete_task task;
    TRY(delete_tasks_submit(r->ctx->tasks, t->tenant, &spec, &r->arena, &task));
    return delete_tasks_finish(r->ctx->tasks, t->tenant, JOINT_WAIT_S * NS_PER_S, &r->arena, &task);
}

/* -- requests -------------------------------------------------------------------------------------------------------- */

/* All selectors are read before the first is applied: a mistyped one deletes nothing. */
static err_t delete_all(struct prom_run *r, struct http_request *rq, struct pq_ast *asts, uint32_t *n)
{
    struct tombstone_spec t = { .tenant = rq->tenant, .signal = SIG_METRICS };
    struct str text;
    TRY(check(r->ctx));
    TRY(prom_time(rq, "start", INT64_MIN, &t.tmin_ms));
    TRY(prom_time(rq, "end", INT64_MAX, &t.tmax_ms));
    if (t.tmin_ms == PROM_TIME_MIN) t.tmin_ms = INT64_MIN;
    if (t.tmax_ms == PROM_TIME_MAX) t.tmax_ms = INT64_MAX;
    if (t.tmax_ms < t.tmin_ms) return err_set(ERR_INVALID, "end timestamp must not be before start time");
    while (http_param(rq, "match[]", *n, &text)) {
        if (*n == PROM_MATCH_MAX) return err_set(ERR_INVALID, "more than %d match[] parameters", PROM_MATCH_MAX);
        if (pq_parse_selector(text, &r->arena, &asts[(*n)++]) != OK) return prom_bad_param("match[]");
    }
    if (*n == 0) return err_set(ERR_INVALID, "no match[] parameter provided");
    if (delete_tasks_joint(r->ctx->tasks)) return delete_joint(r, &t, asts, *n);
    for (uint32_t i = 0; i < *n; i++) {
        t.m = asts[i].root->sel->m;
        t.nm = asts[i].root->sel->nm;
        TRY(store_tombstone(r->ctx->store, &t));
    }
    return delete_exemplars(r, &t, asts, *n);
}

err_t prom_delete_series(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    uint32_t n = 0;
    err_t e = prom_begin(&r, rq);
    struct pq_ast *asts = ARENA_ARRAY(&r.arena, struct pq_ast, PROM_MATCH_MAX);
    if (e == OK) e = delete_all(&r, rq, asts, &n);
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < n; i++)
        pq_ast_deinit(&asts[i]);
    *err_record() = why;
    prom_end(&r);
    return e == OK ? no_content(rs) : e;
}

/* Of this node alone, of all its tenants. */
err_t prom_snapshot(struct http_request *rq, struct http_response *rs)
{
    const struct prom_ctx *ctx = rq->user;
    char name[SNAPSHOT_NAME_MAX];
    struct str v;
    bool skip_head = false;
    TRY(check(ctx));
    if (prom_param(rq, "skip_head", &v) && !prom_bool(v, &skip_head))
        return err_set(ERR_INVALID, "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"" STR_FMT "\": invalid syntax",
                       (int)MIN(v.n, 100), v.p);
    TRY(store_snapshot(ctx->store, !skip_head, name));
    buf_printf(&rs->body, "{\"status\":\"success\",\"data\":{\"name\":\"%s\"}}", name);
    return buf_check(&rs->body);
}

err_t prom_clean_tombstones(struct http_request *rq, struct http_response *rs)
{
    const struct prom_ctx *ctx = rq->user;
    TRY(check(ctx));
    TRY(cluster_clean(ctx->cluster, ctx->store));
    return no_content(rs);
}
