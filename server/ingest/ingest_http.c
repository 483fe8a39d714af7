#include "server/ingest/ingest_http.h"

#include "base/core/assert.h"
#include "base/core/json_out.h"
#include "base/core/metric.h"
#include "base/core/pb_out.h"
#include "cluster/replicate.h"
#include "server/ingest/ingest_internal.h"
#include "server/ingest/otlp_points.h"
#include "server/ingest/otlp_rows.h"
#include "server/ingest/remote_write.h"
#include "server/ingest/text.h"

#include <stdio.h>
#include <stdlib.h>

enum { RW_CACHE_BYTES_MAX = 64 << 20 /* a core */ };

void ingest_ctx_init(struct ingest_ctx *c, struct store *s, struct cluster *cluster, struct budget *budget, unsigned cores,
                     const struct otlp_mapping *otlp)
{
    *c = (struct ingest_ctx){ .store = s, .cluster = cluster, .budget = budget, .cores = cores, .otlp = otlp };
    c->rw_cache = calloc(cores, sizeof *c->rw_cache);
    ASSERT(c->rw_cache);
    for (unsigned i = 0; i < cores; i++)
        c->rw_cache[i] = rw_cache_new(NULL, RW_CACHE_BYTES_MAX);
}

void ingest_ctx_deinit(struct ingest_ctx *c)
{
    for (unsigned i = 0; i < c->cores; i++)
        rw_cache_free(c->rw_cache[i]);
    free(c->rw_cache);
}

err_t ingest_append(struct ingest_ctx *c, struct batch *const *batches, uint32_t n)
{
    err_t e = replicate_append(c->cluster, c->store, batches, n);
    if (e == ERR_IO) {
        /* The node goes down and comes back; an answer that says "do not retry" would lose the rows. */
        struct err_record why = *err_record();
        e = err_set(ERR_UNAVAILABLE, "not stored: %s", why.detail);
    }
    if (err_retryable(e)) metric_add(M_INGEST_REFUSED, 1);
    return e;
}

/* The name of a request's content, for retries: tenant, kind and body, none of which may run into the next. */
static hash128 content_of(struct str tenant, const char *kind, struct str body)
{
    hash128 h = hash128_of(body);
    uint64_t who = hash64_with(tenant, hash64(str_of(kind)));
    h.lo ^= hash_u64(who);
    h.hi += hash_u64(who + 1);
    return h;
}

/* -- OTLP: one request of any signal, encoding and transport --------------------------------------------------- */

struct otlp_result {
    uint64_t accepted, rejected;
    char why[256];
};

static err_t walk(enum signal signal, bool json, struct str body, struct arena *a, const struct otlp_sink *sink)
{
    switch (signal) {
    case SIG_SPANS: return json ? otlp_traces_walk_json(body, a, sink) : otlp_traces_walk(body, a, sink);
    case SIG_LOGS: return json ? otlp_logs_walk_json(body, a, sink) : otlp_logs_walk(body, a, sink);
    default: return json ? otlp_metrics_walk_json(body, a, sink) : otlp_metrics_walk(body, a, sink);
    }
}

static err_t ingest_rows(struct ingest_ctx *c, enum signal signal, bool json, struct str tenant, struct str body,
                         struct arena *a, struct otlp_result *res)
{
    struct otlp_rows r;
    err_t e = OK;
    otlp_rows_init(&r, signal, a, c->budget, json ? STR("") : body, rt_wall());
    struct otlp_sink sink = otlp_rows_sink(&r);
    TRY_OUT(e, walk(signal, json, body, a, &sink));
    TRY_OUT(e, otlp_rows_finish(&r));
    if (r.ntables > 0) {
        struct batch batch = {
            .tenant = tenant, .signal = signal, .ntables = r.ntables, .tables = r.tables, .nrows = r.accepted,
            .content = content_of(tenant, signal == SIG_SPANS ? "otlp.traces" : "otlp.logs", body),
        };
        TRY_OUT(e, ingest_append(c, &(struct batch *){ &batch }, 1));
    }
    res->accepted = r.accepted;
    res->rejected = r.rejected;
    memcpy(res->why, r.why, sizeof res->why);
    metric_add(signal == SIG_SPANS ? M_INGEST_SPANS : M_INGEST_LOGS, (int64_t)r.accepted);
out:
    otlp_rows_deinit(&r);
    return e;
}

static struct rw_cache *cache_here(const struct ingest_ctx *c)
{
    return c->rw_cache[rt_in_fiber() ? rt_core() : 0];
}

/* A metric batch to the store; nothing when it is empty. */
static err_t append_metrics(struct ingest_ctx *c, struct str tenant, struct metric_batch *m, hash128 content)
{
    uint64_t samples = (uint64_t)m->nsamples + m->nhists;
    struct batch batch = { .tenant = tenant, .signal = SIG_METRICS, .metrics = m, .nrows = samples, .content = content };
    if (samples == 0 && m->nmeta == 0 && !m->exemplars) return OK;
    TRY(ingest_append(c, &(struct batch *){ &batch }, 1));
    metric_add(M_INGEST_SAMPLES, (int64_t)samples);
    return OK;
}

static err_t ingest_points(struct ingest_ctx *c, bool json, struct str tenant, struct str body, struct arena *a,
                           struct otlp_result *res)
{
    struct otlp_points p;
    struct rw_cache *cache = cache_here(c);
    struct rw_generation *g = rw_cache_pin(cache);
    err_t e = OK;
    otlp_points_init(&p, c->otlp, a, c->budget, g, json ? STR("") : body, rt_wall());
    struct otlp_sink sink = otlp_points_sink(&p);
    TRY_OUT(e, walk(SIG_METRICS, json, body, a, &sink));
    TRY_OUT(e, otlp_points_finish(&p));
    TRY_OUT(e, append_metrics(c, tenant, metric_builder_finish(&p.builder), content_of(tenant, "otlp.metrics", body)));
    res->accepted = p.accepted;
    res->rejected = p.rejected;
    memcpy(res->why, p.why, sizeof res->why);
out:
    otlp_points_deinit(&p);
    rw_cache_unpin(cache, g);
    return e;
}

static err_t ingest_otlp(struct ingest_ctx *c, enum signal signal, bool json, struct str tenant, struct str body,
                         struct otlp_result *res)
{
    struct arena a;
    arena_init_sized(&a, c->budget, ARENA_BLOCK_DEFAULT);
    *res = (struct otlp_result){ 0 };
    err_t e = signal == SIG_METRICS ? ingest_points(c, json, tenant, body, &a, res)
                                    : ingest_rows(c, signal, json, tenant, body, &a, res);
    arena_deinit(&a);
    if (e == OK) metric_add(M_INGEST_BYTES, (int64_t)body.n);
    if (e == OK && res->rejected) metric_add(M_INGEST_REJECTED, (int64_t)res->rejected);
    return e;
}

/* -- OTLP answers -------------------------------------------------------------------------------------------------- */

/* "3 spans rejected; the first: span 2 ("x"): trace_id is all zero" */
static struct str partial_text(enum signal signal, const struct otlp_result *res, char *text, size_t size)
{
    const char *what = signal == SIG_SPANS ? "spans" : signal == SIG_LOGS ? "log records" : "data points";
    int n = snprintf(text, size, "%llu %s rejected; the first: %s", (unsigned long long)res->rejected, what, res->why);
    return (struct str){ text, MIN((size_t)n, size - 1) };
}

/* ExportXServiceResponse { partial_success = 1 { rejected = 1, error_message = 2 } }, the same for all signals. */
static void success_protobuf(enum signal signal, const struct otlp_result *res, struct arena *a, struct buf *out)
{
    char text[384];
    struct buf partial;
    if (res->rejected == 0) return;
    buf_init(&partial, 1024, a->budget);
    pb_uint(&partial, 1, res->rejected);
    pb_str(&partial, 2, text_mend(partial_text(signal, res, text, sizeof text), a));
    pb_str(out, 1, buf_view(&partial));
    buf_deinit(&partial);
}

static void success_json(enum signal signal, const struct otlp_result *res, struct buf *out)
{
    char text[384];
    struct json_out j;
    json_init(&j, out);
    json_obj(&j);
    if (res->rejected > 0) {
        json_keyz(&j, "partialSuccess");
        json_obj(&j);
        json_keyz(&j, signal == SIG_SPANS ? "rejectedSpans" : signal == SIG_LOGS ? "rejectedLogRecords"
                                                                                  : "rejectedDataPoints");
        json_i64_str(&j, (int64_t)res->rejected);
        json_keyz(&j, "errorMessage");
        json_str(&j, partial_text(signal, res, text, sizeof text));
        json_obj_end(&j);
    }
    json_obj_end(&j);
}

/* The media type without its parameters, trimmed. */
static struct str media_type(const struct http_request *rq)
{
    struct str type = http_header(rq, "content-type");
    return str_trim(str_sub(type, 0, str_chr(type, ';')));
}

static bool is_json(const struct http_request *rq)
{
    return str_ieq(media_type(rq), STR("application/json"));
}

static int grpc_code_of(int status, err_t code)
{
    if (code != OK) return err_grpc_code(code);
    return status == 404 ? 12 /* UNIMPLEMENTED */ : status == 405 ? 12 : 2 /* UNKNOWN */;
}

static void retry_after(const struct http_request *rq, err_t code, struct http_response *rs)
{
    if (code == OK || !err_retryable(code) || rs->nextra == ARRAY_LEN(rs->extra)) return;
    (void)rq;
    _Static_assert(INGEST_RETRY_AFTER_S == 1, "the text below");
    for (uint32_t i = 0; i < rs->nextra; i++)
        if (str_ieq(rs->extra[i].name, STR("retry-after"))) return;
    rs->extra[rs->nextra++] = (struct http_header){ STR("retry-after"), STR("1") };
}

void ingest_otlp_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                          struct http_response *rs)
{
    rs->status = status;
    retry_after(rq, code, rs);
    buf_clear(&rs->body);
    if (str_ieq(media_type(rq), STR("application/x-protobuf"))) {
        rs->content_type = "application/x-protobuf";
        pb_uint(&rs->body, 1, (uint64_t)grpc_code_of(status, code));
        pb_str(&rs->body, 2, text_mend(str_of(detail), rq->arena));
        return;
    }
    struct json_out j;
    rs->content_type = "application/json";
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "code");
    json_i64(&j, grpc_code_of(status, code));
    json_keyz(&j, "message");
    json_z(&j, detail);
    json_obj_end(&j);
}

static err_t otlp_http(struct http_request *rq, enum signal signal, struct http_response *rs)
{
    struct otlp_result res;
    bool json = is_json(rq);
    if (!json && !str_ieq(media_type(rq), STR("application/x-protobuf")))
        return err_set(ERR_MEDIA_TYPE, "content type \"" STR_FMT "\": OTLP is application/x-protobuf or application/json",
                       STR_ARG(str_sub(media_type(rq), 0, 100)));
    TRY(ingest_otlp(rq->user, signal, json, rq->tenant, rq->body, &res));
    rs->content_type = json ? "application/json" : "application/x-protobuf";
    if (json)
        success_json(signal, &res, &rs->body);
    else
        success_protobuf(signal, &res, rq->arena, &rs->body);
    return OK;
}

err_t ingest_otlp_traces(struct http_request *rq, struct http_response *rs)
{
    return otlp_http(rq, SIG_SPANS, rs);
}
err_t ingest_otlp_metrics(struct http_request *rq, struct http_response *rs)
{
    return otlp_http(rq, SIG_METRICS, rs);
}
err_t ingest_otlp_logs(struct http_request *rq, struct http_response *rs)
{
    return otlp_http(rq, SIG_LOGS, rs);
}

static err_t otlp_grpc(struct grpc_call *call, enum signal signal, struct buf *out)
{
    struct otlp_result res;
    err_t e = ingest_otlp(call->user, signal, false, call->tenant, call->message, &res);
    if (err_retryable(e)) call->retry_after_ms = INGEST_RETRY_AFTER_S * 1000;
    TRY(e);
    success_protobuf(signal, &res, call->arena, out);
    return OK;
}

err_t ingest_grpc_traces(struct grpc_call *call, struct buf *out)
{
    return otlp_grpc(call, SIG_SPANS, out);
}
err_t ingest_grpc_metrics(struct grpc_call *call, struct buf *out)
{
    return otlp_grpc(call, SIG_METRICS, out);
}
err_t ingest_grpc_logs(struct grpc_call *call, struct buf *out)
{
    return otlp_grpc(call, SIG_LOGS, out);
}

/* -- remote write -------------------------------------------------------------------------------------------------- */

void ingest_plain_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                           struct http_response *rs)
{
    rs->status = status;
    rs->content_type = "text/plain; charset=utf-8";
    retry_after(rq, code, rs);
    buf_clear(&rs->body);
    buf_z(&rs->body, detail);
    buf_byte(&rs->body, '\n');
}

/* application/x-protobuf, with proto=prometheus.WriteRequest (1.0, the default) or
 * proto=io.prometheus.write.v2.Request. */
static err_t rw_version(const struct http_request *rq, bool *v2)
{
    struct str rest = http_header(rq, "content-type"), piece;
    *v2 = false;
    if (rest.n == 0) return OK; /* old senders */
    if (!str_ieq(media_type(rq), STR("application/x-protobuf")))
        return err_set(ERR_MEDIA_TYPE, "content type \"" STR_FMT "\": remote write is application/x-protobuf",
                       STR_ARG(str_sub(media_type(rq), 0, 100)));
    while (str_cut(&rest, ';', &piece)) {
        struct str p = str_trim(piece);
        if (!str_starts(p, STR("proto="))) continue;
        struct str proto = str_trim(str_sub(p, 6, p.n));
        if (proto.n > 1 && proto.p[0] == '"') proto = str_sub(proto, 1, proto.n - 1);
        *v2 = str_is(proto, "io.prometheus.write.v2.Request");
        if (!*v2 && !str_is(proto, "prometheus.WriteRequest"))
            return err_set(ERR_MEDIA_TYPE, "proto=" STR_FMT " is no message of remote write", STR_ARG(str_sub(proto, 0, 100)));
    }
    return OK;
}

static void written(struct http_request *rq, const char *name, uint64_t n, struct http_response *rs)
{
    http_add_header(rq, rs, name, arena_printf(rq->arena, "%llu", (unsigned long long)n));
}

static err_t remote_write(struct ingest_ctx *c, struct http_request *rq, bool v2, struct arena *a, struct rw_stats *st)
{
    struct rw_cache *cache = cache_here(c);
    struct str request;
    TRY(rw_uncompress(rq->body, a, &request));
    struct rw_generation *g = rw_cache_pin(cache);
    struct metric_builder b;
    metric_builder_init(&b, a, c->budget);
    err_t e = v2 ? rw_decode_v2(request, g, &b, st) : rw_decode_v1(request, g, &b, st);
    if (e == OK)
        e = append_metrics(c, rq->tenant, metric_builder_finish(&b),
                           content_of(rq->tenant, v2 ? "rw2" : "rw1", rq->body));
    if (e == OK) metric_add(M_INGEST_BYTES, (int64_t)request.n);
    metric_builder_deinit(&b);
    rw_cache_unpin(cache, g);
    return e;
}

err_t ingest_remote_write(struct http_request *rq, struct http_response *rs)
{
    struct ingest_ctx *c = rq->user;
    struct rw_stats st = { 0 };
    struct str encoding = http_header(rq, "content-encoding");
    struct arena a;
    bool v2;
    TRY(rw_version(rq, &v2));
    if (encoding.n > 0 && !str_ieq(encoding, STR("snappy")))
        return err_set(ERR_MEDIA_TYPE, "content encoding \"" STR_FMT "\": remote write is snappy",
                       STR_ARG(str_sub(encoding, 0, 100)));
    arena_init(&a, c->budget);
    err_t e = remote_write(c, rq, v2, &a, &st);
    arena_deinit(&a);
    TRY(e);
    if (v2) {
        written(rq, "x-prometheus-remote-write-samples-written", st.samples, rs);
        written(rq, "x-prometheus-remote-write-histograms-written", st.histograms, rs);
        written(rq, "x-prometheus-remote-write-exemplars-written", st.exemplars, rs);
    }
    rs->status = 204;
    if (st.bad == 0) return OK;
    metric_add(M_INGEST_REJECTED, (int64_t)st.bad);
    /* What could be stored is stored; 400 tells the client not to send the rest again. */
    char text[384];
    snprintf(text, sizeof text, "%llu left out; the first: %s", (unsigned long long)st.bad, st.why);
    ingest_plain_on_error(rq, 400, ERR_INVALID, text, rs);
    return OK;
}

/* -- tables ----------------------------------------------------------------------------------------------------------- */

#define POST(path, fn) { .methods = HTTP_POST, .pattern = (path), .handler = (fn), .class = RT_INGEST }

const struct http_route ingest_otlp_routes[] = {
    POST("/v1/traces", ingest_otlp_traces),
    POST("/v1/metrics", ingest_otlp_metrics),
    POST("/v1/logs", ingest_otlp_logs),
};
const uint32_t ingest_otlp_nroutes = ARRAY_LEN(ingest_otlp_routes);

const struct http_route ingest_remote_write_routes[] = {
    { .methods = HTTP_POST, .pattern = "/api/v1/write", .handler = ingest_remote_write, .class = RT_INGEST,
      .own_encoding = "snappy" },
};
const uint32_t ingest_remote_write_nroutes = ARRAY_LEN(ingest_remote_write_routes);

const struct http_route ingest_prometheus_routes[] = {
    POST("/api/v1/otlp/v1/metrics", ingest_otlp_metrics),
};
const uint32_t ingest_prometheus_nroutes = ARRAY_LEN(ingest_prometheus_routes);

const struct http_route ingest_quickwit_routes[] = {
    POST("/api/v1/otlp/v1/logs", ingest_otlp_logs),
    POST("/api/v1/otlp/v1/traces", ingest_otlp_traces),
};
const uint32_t ingest_quickwit_nroutes = ARRAY_LEN(ingest_quickwit_routes);

const struct grpc_method ingest_grpc_methods[] = {
    { "/opentelemetry.proto.collector.trace.v1.TraceService/Export", ingest_grpc_traces },
    { "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", ingest_grpc_metrics },
    { "/opentelemetry.proto.collector.logs.v1.LogsService/Export", ingest_grpc_logs },
};
const uint32_t ingest_grpc_nmethods = ARRAY_LEN(ingest_grpc_methods);
