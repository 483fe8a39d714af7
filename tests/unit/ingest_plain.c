/* The endpoints over a store that only counts: answers, errors and headers in each protocol's own form. Runs on a real
 * reactor, because handlers ask it for the time. */
#include "base/core/assert.h"
#include "base/core/pb_out.h"
#include "cluster/replicate.h"
#include "server/ingest/ingest_http.h"
#include "server/ingest/otlp_mapping.h"

#include <snappy-c.h>
#include <stdio.h>

static struct ingest_ctx ctx;
static struct {
    err_t answer;
    unsigned batches;
    uint64_t rows;
    hash128 content;
} stored;

/* Stands in for the real one at link time. */
err_t replicate_append(struct cluster *c, struct store *s, struct batch *const *batches, uint32_t n)
{
    (void)c;
    (void)s;
    if (stored.answer != OK) return err_set(stored.answer, "the store is full");
    stored.batches = n;
    stored.rows = 0;
    for (uint32_t i = 0; i < n; i++) {
        stored.rows += batches[i]->nrows;
        stored.content = batches[i]->content;
        ASSERT(str_is(batches[i]->tenant, "t1"));
    }
    return OK;
}

struct exchange {
    struct arena arena;
    struct http_header headers[4];
    struct http_request rq;
    struct http_response rs;
    err_t e;
};

static void send(struct exchange *x, http_handler *handler, const char *type, struct str body)
{
    *x = (struct exchange){ 0 };
    arena_init(&x->arena, NULL);
    x->headers[0] = (struct http_header){ STR("content-type"), str_of(type) };
    x->rq = (struct http_request){ .method = HTTP_POST, .body = body, .headers = x->headers, .nheaders = 1,
                                   .tenant = STR("t1"), .arena = &x->arena, .user = &ctx };
    x->rs.status = 200;
    buf_init(&x->rs.body, 1 << 20, NULL);
    x->e = handler(&x->rq, &x->rs);
}

static void finish(struct exchange *x)
{
    buf_deinit(&x->rs.body);
    arena_deinit(&x->arena);
}

static const char PROTO[] = "application/x-protobuf", JSON[] = "application/json; charset=utf-8";

static void json_answers(void)
{
    struct exchange x;
    send(&x, ingest_otlp_logs, JSON,
         STR("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"hi\"}}]}]}]}"));
    ASSERT(x.e == OK && stored.batches == 1 && stored.rows == 1);
    ASSERT(str_is(buf_view(&x.rs.body), "{}"));
    hash128 first = stored.content;
    finish(&x);
    send(&x, ingest_otlp_logs, JSON,
         STR("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"hi\"}}]}]}]}"));
    ASSERT(hash128_eq(first, stored.content)); /* a retry is known by its content */
    finish(&x);
    send(&x, ingest_otlp_traces, JSON,
         STR("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"00\",\"name\":\"a\"}]}]}]}"));
    ASSERT(x.e == OK);
    ASSERT(str_is(buf_view(&x.rs.body), "{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"1 spans rejected; "
                                        "the first: span 1 (\\\"a\\\"): trace_id is not 16 bytes\"}}"));
    finish(&x);
    send(&x, ingest_otlp_metrics, JSON, STR("{}"));
    ASSERT(x.e == OK && str_is(buf_view(&x.rs.body), "{}"));
    finish(&x);
}

static void protobuf_answers(void)
{
    struct exchange x;
    static const char bad_span[] = "\x0a\x06\x12\x04\x12\x02\x2a\x00"; /* a span with an empty name only */
    send(&x, ingest_otlp_traces, PROTO, str_n(bad_span, 8));
    ASSERT(x.e == OK && x.rs.body.n > 6);
    ASSERT(x.rs.body.p[0] == 0x0a && x.rs.body.p[2] == 0x08 && x.rs.body.p[3] == 1 && x.rs.body.p[4] == 0x12);
    finish(&x);
    send(&x, ingest_otlp_traces, PROTO, STR(""));
    ASSERT(x.e == OK && x.rs.body.n == 0);
    finish(&x);
    send(&x, ingest_otlp_traces, PROTO, STR("\x0a\x05"));
    ASSERT(x.e == ERR_INVALID);
    ingest_otlp_on_error(&x.rq, 400, x.e, err_detail(), &x.rs);
    ASSERT(x.rs.status == 400 && x.rs.body.p[0] == 0x08 && x.rs.body.p[1] == 3 && x.rs.body.p[2] == 0x12);
    finish(&x);
    send(&x, ingest_otlp_traces, "text/plain", STR("x"));
    ASSERT(x.e == ERR_MEDIA_TYPE);
    ingest_otlp_on_error(&x.rq, 415, x.e, err_detail(), &x.rs);
    ASSERT(str_starts(buf_view(&x.rs.body), STR("{\"code\":3,\"message\":\"content type")));
    finish(&x);
}

static void overload(void)
{
    struct exchange x;
    stored.answer = ERR_OVERLOAD;
    send(&x, ingest_otlp_logs, JSON,
         STR("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"hi\"}}]}]}]}"));
    ASSERT(x.e == ERR_OVERLOAD);
    ingest_otlp_on_error(&x.rq, 429, x.e, err_detail(), &x.rs);
    ASSERT(x.rs.nextra == 1 && str_is(x.rs.extra[0].name, "retry-after") && str_is(x.rs.extra[0].value, "1"));
    ASSERT(str_is(buf_view(&x.rs.body), "{\"code\":8,\"message\":\"the store is full\"}"));
    finish(&x);
    stored.answer = ERR_IO; /* a broken log: the clients must keep what they have */
    send(&x, ingest_otlp_logs, JSON,
         STR("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"hi\"}}]}]}]}"));
    ASSERT(x.e == ERR_UNAVAILABLE);
    finish(&x);
    stored.answer = ERR_OVERLOAD;
    struct grpc_call call = { .message = STR("\x0a\x0e\x12\x0c\x12\x0a\x09\x01\x00\x00\x00\x00\x00\x00\x00\x20\x01"),
                              .tenant = STR("t1"), .user = &ctx };
    struct arena a;
    struct buf out;
    arena_init(&a, NULL);
    buf_init(&out, 1 << 20, NULL);
    call.arena = &a;
    call.message = STR("\x0a\x0d\x12\x0b\x12\x09\x09\x01\x00\x00\x00\x00\x00\x00\x00");
    ASSERT(ingest_grpc_logs(&call, &out) == ERR_OVERLOAD && call.retry_after_ms == 1000);
    stored.answer = OK;
    call.retry_after_ms = 0;
    ASSERT(ingest_grpc_logs(&call, &out) == OK && call.retry_after_ms == 0 && out.n == 0 && stored.rows == 1);
    buf_deinit(&out);
    arena_deinit(&a);
}

static struct str snappy_of(struct str raw, struct arena *a)
{
    size_t n = snappy_max_compressed_length(raw.n);
    char *p = arena_alloc(a, n);
    ASSERT(snappy_compress(raw.p, raw.n, p, &n) == SNAPPY_OK);
    return (struct str){ p, n };
}

static void remote_write(void)
{
    struct exchange x;
    struct arena a;
    arena_init(&a, NULL);
    /* TimeSeries { Label { "__name__", "up" }, Sample { 1.0, 5 } } */
    static const char v1[] = "\x0a\x1f\x0a\x0e\x0a\x08__name__\x12\x02up\x12\x0d\x09\0\0\0\0\0\0\xf0\x3f\x10\x85\x80\x00";
    struct str body = snappy_of(str_n(v1, 2 + 0x1f), &a);
    send(&x, ingest_remote_write, PROTO, body);
    ASSERT(x.e == OK && x.rs.status == 204 && stored.rows == 1 && x.rs.nextra == 0);
    finish(&x);
    /* symbols "", "__name__", "up"; TimeSeries { refs 1 2, Sample } */
    static const char v2[] = "\x22\x00\x22\x08__name__\x22\x02up\x2a\x11\x0a\x02\x01\x02\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x05";
    body = snappy_of(str_n(v2, sizeof v2 - 1), &a);
    send(&x, ingest_remote_write, "application/x-protobuf;proto=io.prometheus.write.v2.Request", body);
    ASSERT(x.e == OK && x.rs.status == 204 && stored.rows == 1 && x.rs.nextra == 3);
    ASSERT(str_is(x.rs.extra[0].value, "1") && str_is(x.rs.extra[1].value, "0"));
    finish(&x);
    send(&x, ingest_remote_write, "application/x-protobuf;proto=other.Message", body);
    ASSERT(x.e == ERR_MEDIA_TYPE);
    finish(&x);
    send(&x, ingest_remote_write, PROTO, STR("not snappy at all"));
    ASSERT(x.e == ERR_INVALID);
    ingest_plain_on_error(&x.rq, 400, x.e, err_detail(), &x.rs);
    ASSERT(str_starts(buf_view(&x.rs.body), STR("the body is not")));
    finish(&x);
    /* a series without a name: the rest is stored, the answer is 400 */
    static const char nameless[] = "\x0a\x06\x0a\x04\x0a\x00\x12\x00";
    send(&x, ingest_remote_write, PROTO, snappy_of(str_n(nameless, 8), &a));
    ASSERT(x.e == OK && x.rs.status == 400 && str_starts(buf_view(&x.rs.body), STR("1 left out; the first: series: ")));
    finish(&x);
    arena_deinit(&a);
}

/* -- documents --------------------------------------------------------------------------------------------- */

static const struct doc_field fields[] = { { .path = { "timestamp", 9 }, .type = DOC_DATETIME } };
static const struct doc_mapping mapping = { .fields = fields, .nfields = 1 };

static err_t resolve(void *arg, struct str tenant, struct str index, const struct doc_mapping **m)
{
    (void)arg, (void)tenant;
    *m = &mapping;
    if (str_chr(index, '&') < index.n) return err_set(ERR_INVALID, "a bad index name");
    return str_is(index, "none") ? err_set(ERR_NOT_FOUND, "no such index") : OK;
}

static err_t bulk(struct http_request *rq, struct http_response *rs)
{
    return docs_bulk(&ctx, rq, STR(""), resolve, NULL, rs);
}
static err_t ndjson(struct http_request *rq, struct http_response *rs)
{
    return docs_ingest(&ctx, rq, STR("logs"), &mapping, rs);
}

static void expect_bulk(const char *body, int status, const char *want, uint64_t rows)
{
    struct exchange x;
    stored.rows = 0;
    send(&x, bulk, "application/x-ndjson", str_of(body));
    ASSERT(x.e == OK);
    struct str got = buf_view(&x.rs.body);
    /* without "took" */
    size_t at = str_find(got, STR("\"errors\""));
    if (at != SIZE_MAX) got = str_sub(got, at, got.n);
    if (!str_is(got, want)) fprintf(stderr, "got:  %.*s\nwant: %s\n", STR_ARG(got), want);
    ASSERT(str_is(got, want) && x.rs.status == status && stored.rows == rows);
    finish(&x);
}

static void documents(void)
{
    expect_bulk("{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"m\":1}\n{\"create\":{\"_index\":\"b\"}}\n{\"m\":2}\n", 200,
                "\"errors\":false,\"items\":[{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"status\":201}},"
                "{\"create\":{\"_index\":\"b\",\"status\":201}}]}",
                2);
    expect_bulk("{\"index\":{\"_index\":\"none\"}}\n{\"m\":1}\n{\"index\":{\"_index\":\"a\"}}\n{\"timestamp\":\"x\"}\n"
                "{\"index\":{\"_index\":\"a&\"}}\n{}\n{\"index\":{\"_index\":\"a\"}}\n{\"m\":\"last\"}",
                200,
                "\"errors\":true,\"items\":[{\"index\":{\"_index\":\"none\",\"status\":404,\"error\":{\"index\":\"none\","
                "\"type\":\"index_not_found_exception\",\"reason\":\"no such index [none]\"}}},"
                "{\"index\":{\"_index\":\"a\",\"status\":400,\"error\":{\"type\":\"document_parsing_exception\",\"reason\":"
                "\"the field 'timestamp' could not be parsed: expected a datetime in one of its input formats\"}}},"
                "{\"index\":{\"_index\":\"a&\",\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":"
                "\"a bad index name\"}}},{\"index\":{\"_index\":\"a\",\"status\":201}}]}",
                1);
    expect_bulk("{\"del\":{\"_index\":\"a\"}}\n{}\n", 400,
                "{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"Malformed action/metadata line [1]."
                " Details: `unknown action 'del', expected 'index' or 'create'`\"}}",
                0);
    expect_bulk("{\"index\":{\"_id\":\"1\"}}\n{}\n", 400,
                "{\"status\":400,\"error\":{\"type\":\"action_request_validation_exception\",\"reason\":\"Validation Failed: 1: "
                "index is missing;\"}}",
                0);
    struct exchange x;
    send(&x, ndjson, "application/x-ndjson", STR("{\"a\":1}\n\nnot json\n{\"a\":2}\n"));
    ASSERT(x.e == OK && stored.rows == 2);
    ASSERT(str_is(buf_view(&x.rs.body), "{\"num_docs_for_processing\":3,\"num_ingested_docs\":2,\"num_rejected_docs\":1}"));
    finish(&x);
    send(&x, ndjson, "application/x-ndjson", STR(""));
    ASSERT(x.e == OK && str_starts(buf_view(&x.rs.body), STR("{\"num_docs_for_processing\":0")));
    finish(&x);
}

static err_t all(void *arg)
{
    (void)arg;
    ingest_ctx_init(&ctx, NULL, NULL, NULL, rt_cores(), &OTLP_MAPPING_DEFAULT);
    json_answers();
    protobuf_answers();
    overload();
    remote_write();
    documents();
    ingest_ctx_deinit(&ctx);
    return OK;
}

int main(void)
{
    err_t e = rt_run(&(struct rt_opts){ .cores = 1, .backend = RT_EPOLL, .offload_threads = 1 }, all, NULL);
    if (e != OK) fprintf(stderr, "%s\n", err_detail());
    return e != OK;
}
