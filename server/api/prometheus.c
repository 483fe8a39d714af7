#include "server/api/prometheus_int.h"

#include "base/core/datetime.h"
#include "base/core/metric.h"
#include "query/promql/lex.h"
#include "server/api/prometheus_stats.h"

#include <math.h>

/* -- one request ------------------------------------------------------------------------------------ */
err_t prom_begin(struct prom_run *r, struct http_request *rq)
{
    const struct prom_ctx *ctx = rq->user;
    int64_t timeout_ms;
    *r = (struct prom_run){ .ctx = ctx, .q = { .store = ctx->store, .cluster = ctx->cluster, .tenant = rq->tenant, .samples_max = ctx->samples_max } };
    err_t e = prom_duration(rq, "timeout", ctx->timeout_ns / NS_PER_MS, &timeout_ms);
    int64_t timeout_ns = e ? 0 : MIN(timeout_ms, ctx->timeout_ns / NS_PER_MS) * NS_PER_MS;
    query_begin(&r->q, &r->budget, &r->arena, ctx->budget, ctx->query_bytes_max, timeout_ns);
    if (e == OK && timeout_ns <= 0) return err_set(ERR_TIMEOUT, "a timeout of 0");
    return e;
}

void prom_end(struct prom_run *r)
{
    query_end(&r->q);
}

void prom_data(struct prom_run *r, struct http_response *rs)
{
    json_init(&r->j, &rs->body);
    json_obj(&r->j);
    json_keyz(&r->j, "status");
    json_z(&r->j, "success");
    json_keyz(&r->j, "data");
}

void prom_done(struct prom_run *r)
{
    struct str lost = r->noted ? STR_NONE : query_lost_text(&r->q);
    if (r->cut || lost.n) {
        json_keyz(&r->j, "warnings");
        json_arr(&r->j);
        if (lost.n) json_str(&r->j, lost);
        if (r->cut) json_z(&r->j, PROM_CUT);
        json_arr_end(&r->j);
    }
    json_obj_end(&r->j);
}

static const char *error_type(int status, err_t code)
{
    if (code == ERR_LIMIT) return "execution";
    if (code == ERR_TIMEOUT) return "timeout";
    if (code == ERR_CANCELED) return "canceled";
    if (code == ERR_OVERLOAD) return "unavailable";
    if (status == 404) return "not_found";
    if (status == 406) return "not_acceptable";
    if (status >= 400 && status < 500) return "bad_data";
    if (status == 503) return "unavailable";
    return "internal";
}

void prometheus_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                         struct http_response *rs)
{
    struct json_out j;
    /* Outside of /api/v1 an error is a line of text. */
    if (rq && str_is(rq->path, "/federate")) {
        rs->content_type = "text/plain; charset=utf-8";
        rs->status = status;
        buf_clear(&rs->body);
        buf_printf(&rs->body, "%s\n", detail);
        return;
    }
    rs->status = code == ERR_TIMEOUT ? 503 : code == ERR_LIMIT ? 422 : status;
    rs->content_type = "application/json";
    buf_clear(&rs->body);
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "status");
    json_z(&j, "error");
    json_keyz(&j, "errorType");
    json_z(&j, error_type(status, code));
    json_keyz(&j, "error");
    json_z(&j, code == ERR_TIMEOUT ? "query timed out in expression evaluation"
              : code == ERR_CANCELED ? "query was canceled in expression evaluation"
              : detail && *detail ? detail : "no detail");
    json_obj_end(&j);
}

/* -- parameters -------------------------------------------------------------------------------------- */
bool prom_param(struct http_request *rq, const char *name, struct str *v)
{
    return http_param(rq, name, 0, v) && v->n;
}

err_t prom_bad_param(const char *name)
{
    char why[ERR_DETAIL_MAX];
    memcpy(why, err_detail(), strlen(err_detail()) + 1);
    return err_set(ERR_INVALID, "invalid parameter \"%s\": %.400s", name, why);
}

/* Whole nanoseconds, of which whole milliseconds: what is less is cut off, where times are rounded. False: more than there are. */
static bool seconds_ms(double s, int64_t *ms)
{
    double ns = s * NS_PER_S;
    if (!(fabs(ns) < 0x1p63)) return false;
    *ms = (int64_t)ns / NS_PER_MS;
    return true;
}

static bool time_ms(struct str v, int64_t *ms)
{
    double s;
    int64_t ns;
    /* Prometheus' own bounds, as its client libraries send them for "all time". */
    static const char *const bounds[] = { "-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z" };
    if (str_is(v, bounds[0])) return *ms = PROM_TIME_MIN, true;
    if (str_is(v, bounds[1])) return *ms = PROM_TIME_MAX, true;
    if (str_to_f64(v, &s) && isfinite(s)) {
        *ms = llround(fmax(fmin(s * 1000, (double)PROM_TIME_MAX), (double)PROM_TIME_MIN));
        return true;
    }
    if (!datetime_parse(v, &ns)) return false;
    *ms = ns >= 0 ? ns / NS_PER_MS : -((-ns) / NS_PER_MS);
    return true;
}

err_t prom_time(struct http_request *rq, const char *name, int64_t def_ms, int64_t *ms)
{
    struct str v;
    *ms = def_ms;
    if (!prom_param(rq, name, &v) || time_ms(v, ms)) return OK;
    return err_set(ERR_INVALID, "invalid parameter \"%s\": Invalid time value for '%s': cannot parse \"" STR_FMT "\" to a valid timestamp", name,
                   name, (int)MIN(v.n, 100), v.p);
}

err_t prom_duration(struct http_request *rq, const char *name, int64_t def_ms, int64_t *ms)
{
    struct str v;
    double s;
    *ms = def_ms;
    if (!prom_param(rq, name, &v)) return OK;
    bool number = str_to_f64(v, &s);
    if (number ? seconds_ms(s, ms) : pq_duration_ms(v, ms)) return OK;
    return err_set(ERR_INVALID, "invalid parameter \"%s\": cannot parse \"" STR_FMT "\" to a valid duration%s", name,
                   (int)MIN(v.n, 100), v.p, number && !isnan(s) ? ". It overflows int64" : "");
}

err_t prom_limit(struct http_request *rq, const char *name, uint64_t *n)
{
    struct str v;
    int64_t i;
    *n = 0;
    if (!prom_param(rq, name, &v)) return OK;
    if (!str_to_i64(v, &i))
        return err_set(ERR_INVALID, "invalid parameter \"%s\": strconv.Atoi: parsing \"" STR_FMT "\": invalid syntax", name, (int)MIN(v.n, 100), v.p);
    if (i < 0) return err_set(ERR_INVALID, "invalid parameter \"%s\": limit must be non-negative", name);
    *n = (uint64_t)i;
    return OK;
}

bool prom_bool(struct str v, bool *out)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (str_is(v, yes[i])) return *out = true, true;
        if (str_is(v, no[i])) return *out = false, true;
    }
    return false;
}

static int64_t now_ms(void) { return rt_wall().ns / NS_PER_MS; }

/* -- queries ----------------------------------------------------------------------------------------- */
/* 0 and less: the default. */
static err_t lookback(struct http_request *rq, int64_t *ms)
{
    struct str v;
    if (prom_duration(rq, "lookback_delta", 0, ms) == OK) return *ms = MAX(*ms, 0), OK;
    (void)prom_param(rq, "lookback_delta", &v);
    return err_set(ERR_INVALID, "error parsing lookback delta duration: cannot parse \"" STR_FMT "\" to a valid duration", (int)MIN(v.n, 100), v.p);
}

static err_t run_query(struct prom_run *r, struct http_request *rq, struct http_response *rs, struct pq_query *q)
{
    struct pq_ast ast = { 0 };
    struct pq_result res = { 0 };
    uint64_t limit;
    struct prom_stats stats;
    err_t e;
    bool cut;
    TRY(prom_limit(rq, "limit", &limit));
    TRY(lookback(rq, &q->lookback_ms));
    q->samples_max = r->ctx->samples_max;
    e = pq_run(q, &r->q, &r->arena, &ast, &res);
    if (e == ERR_INVALID) {
        e = prom_bad_param("query");
        goto out;
    }
    if (e != OK) goto out;
    TRY_OUT(e, prom_stats_collect(r, rq, q, &res, ast.root, &stats));
    prom_data(r, rs);
    TRY_OUT(e, prom_json_result(&r->j, &res, q->instant, limit, &cut, &r->arena));
    if (stats.wanted) {
        /* They stand inside `data`: reopen it. */
        rs->body.n--;
        r->j.comma = true;
        prom_stats_put(r, &res, &stats);
        json_obj_end(&r->j);
    }
    prom_json_notes(&r->j, &res, query_lost_text(&r->q), cut, &r->arena);
    r->noted = true;
    prom_done(r);
    e = buf_check(&rs->body);
out:;
    struct err_record why = *err_record();
    pq_result_free(&res);
    pq_ast_deinit(&ast);
    *err_record() = why;
    return e;
}

static err_t query_instant(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct pq_query q = { .instant = true };
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    (void)http_param(rq, "query", 0, &q.text);
    TRY_OUT(e, prom_time(rq, "time", now_ms(), &q.start_ms));
    q.end_ms = q.start_ms;
    TRY_OUT(e, run_query(&r, rq, rs, &q));
out:
    prom_end(&r);
    return e;
}

static err_t needed_time(struct http_request *rq, const char *name, int64_t *ms)
{
    struct str v = STR_NONE;
    if (prom_param(rq, name, &v) && time_ms(v, ms)) return OK;
    return err_set(ERR_INVALID, "invalid parameter \"%s\": cannot parse \"" STR_FMT "\" to a valid timestamp", name, (int)MIN(v.n, 100), v.p);
}

/* Of the step as it was given: rounded to milliseconds it may be a little more than that many. */
static bool too_many_points(struct str step, const struct pq_query *q)
{
    double s;
    double ns = str_to_f64(step, &s) ? trunc(s * NS_PER_S) : (double)q->step_ms * NS_PER_MS;
    return (double)(q->end_ms - q->start_ms) * NS_PER_MS / ns >= PQ_STEPS_MAX + 1;
}

static err_t range_params(struct http_request *rq, struct pq_query *q)
{
    struct str v;
    TRY(needed_time(rq, "start", &q->start_ms));
    TRY(needed_time(rq, "end", &q->end_ms));
    if (q->end_ms < q->start_ms)
        return err_set(ERR_INVALID, "invalid parameter \"end\": end timestamp must not be before start time");
    if (!prom_param(rq, "step", &v)) return err_set(ERR_INVALID, "invalid parameter \"step\": cannot parse \"\" to a valid duration");
    TRY(prom_duration(rq, "step", 0, &q->step_ms));
    if (q->step_ms <= 0)
        return err_set(ERR_INVALID, "invalid parameter \"step\": zero or negative query resolution step widths are not "
                       "accepted. Try a positive integer");
    if (too_many_points(v, q))
        return err_set(ERR_INVALID, "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
                       "query resolution (?step=XX)");
    return OK;
}

static err_t query_range(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct pq_query q = { 0 };
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    (void)http_param(rq, "query", 0, &q.text);
    TRY_OUT(e, range_params(rq, &q));
    TRY_OUT(e, run_query(&r, rq, rs, &q));
out:
    prom_end(&r);
    return e;
}

#define ROUTE(methods, path, fn) { methods, path, fn, RT_QUERY, 4 << 20 }
const struct http_route prometheus_routes[] = {
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/query", query_instant),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/query_range", query_range),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/query_exemplars", prom_exemplars),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/format_query", prom_format_query),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/parse_query", prom_parse_query),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/labels", prom_labels),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/label/{name}/values", prom_label_values),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/series", prom_series),
    ROUTE(HTTP_GET, "/api/v1/metadata", prom_metadata),
    ROUTE(HTTP_GET, "/api/v1/features", prom_features),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/search/metric_names", prom_search_metrics),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/search/label_names", prom_search_labels),
    ROUTE(HTTP_GET | HTTP_POST, "/api/v1/search/label_values", prom_search_values),
    ROUTE(HTTP_GET, "/api/v1/status/buildinfo", prom_buildinfo),
    ROUTE(HTTP_GET, "/api/v1/status/config", prom_config),
    ROUTE(HTTP_GET, "/api/v1/status/flags", prom_flags),
    ROUTE(HTTP_GET, "/api/v1/status/runtimeinfo", prom_runtimeinfo),
    ROUTE(HTTP_GET, "/api/v1/status/tsdb", prom_tsdb),
    ROUTE(HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/delete_series", prom_delete_series),
    ROUTE(HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/clean_tombstones", prom_clean_tombstones),
    ROUTE(HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/snapshot", prom_snapshot),
    { .methods = HTTP_POST, .pattern = "/api/v1/read", .handler = prom_read, .class = RT_QUERY, .body_max = 4 << 20, .own_encoding = "snappy" },
    ROUTE(HTTP_GET, "/federate", prom_federate),
    ROUTE(HTTP_GET, "/api/v1/rules", prom_rules),
    ROUTE(HTTP_GET, "/api/v1/alerts", prom_alerts),
    ROUTE(HTTP_GET, "/api/v1/alertmanagers", prom_alertmanagers),
    ROUTE(HTTP_GET, "/api/v1/targets", prom_targets),
    ROUTE(HTTP_GET, "/api/v1/targets/metadata", prom_targets_metadata),
    ROUTE(HTTP_GET, "/api/v1/scrape_pools", prom_scrape_pools),
    ROUTE(HTTP_GET, "/api/v1/notifications", prom_notifications),
    ROUTE(HTTP_GET, "/api/v1/status/walreplay", prom_walreplay),
    ROUTE(HTTP_GET, "/api/v1/status/tsdb/blocks", prom_blocks),
    ROUTE(HTTP_GET, "/version", prom_version),
    ROUTE(HTTP_GET, "/-/healthy", prom_healthy),
    ROUTE(HTTP_GET, "/-/ready", prom_ready),
    ROUTE(HTTP_POST | HTTP_PUT, "/-/reload", prom_lifecycle),
    ROUTE(HTTP_POST | HTTP_PUT, "/-/quit", prom_lifecycle),
};
const uint32_t prometheus_nroutes = ARRAY_LEN(prometheus_routes);
