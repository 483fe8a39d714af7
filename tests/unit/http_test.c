#include "base/core/assert.h"
#include "base/core/prng.h"
#include "tests/unit/http_memory.h"

#include <criterion/criterion.h>
#include <libdeflate.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

/* -- a small service ---------------------------------------------------------------------------------- */

static struct budget bodies, answers;

static err_t h_hello(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "{\"hello\":1}");
    return OK;
}
static err_t h_echo(struct http_request *rq, struct http_response *rs)
{
    rs->content_type = "application/octet-stream";
    buf_str(&rs->body, rq->body);
    return OK;
}
static err_t h_params(struct http_request *rq, struct http_response *rs)
{
    buf_printf(&rs->body, "%u:", rq->nparams);
    for (uint32_t i = 0; i < rq->nparams; i++)
        buf_printf(&rs->body, "[" STR_FMT "]", STR_ARG(rq->params[i]));
    struct str v;
    for (unsigned i = 0; http_param(rq, "match[]", i, &v); i++)
        buf_printf(&rs->body, "<" STR_FMT ">", STR_ARG(v));
    buf_printf(&rs->body, " tenant=" STR_FMT, STR_ARG(rq->tenant));
    http_add_header(rq, rs, "X-Echo", STR("a\r\nb: c"));
    return OK;
}
static err_t h_fail(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    (void)rs;
    return err_set(ERR_OVERLOAD, "too busy");
}
static err_t h_large(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    for (int i = 0; i < 400000; i++)
        buf_printf(&rs->body, "%d,", i % 1000);
    return OK;
}

static void on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                     struct http_response *rs)
{
    (void)rq;
    rs->content_type = "text/plain";
    buf_printf(&rs->body, "%d %s %s", status, err_name(code), detail);
}

static const struct http_route routes[] = {
    { HTTP_GET, "/", h_hello, RT_QUERY, 0, NULL, NULL },
    { HTTP_GET, "/hello", h_hello, RT_QUERY, 0, NULL, NULL },
    { HTTP_POST, "/v1/echo", h_echo, RT_INGEST, 0, NULL, NULL },
    { HTTP_POST, "/small", h_echo, RT_INGEST, 1000, NULL, NULL },
    { HTTP_GET | HTTP_POST, "/label/{name}/values", h_params, RT_QUERY, 0, NULL, NULL },
    { HTTP_GET, "/one/{name}", h_params, RT_QUERY, 0, NULL, NULL },
    { HTTP_GET, "/files/{rest*}", h_params, RT_QUERY, 0, NULL, NULL },
    { HTTP_GET, "/fail", h_fail, RT_QUERY, 0, NULL, NULL },
    { HTTP_POST, "/snappy", h_echo, RT_INGEST, 0, NULL, NULL, "snappy" },
    { HTTP_POST, "/any", h_echo, RT_INGEST, 0, NULL, NULL, "*" },
    { HTTP_GET, "/large", h_large, RT_QUERY, 0, NULL, NULL },
};
static const struct http_router router = { routes, ARRAY_LEN(routes), on_error, true, NULL };

static err_t g_echo(struct grpc_call *call, struct buf *out)
{
    if (str_eq(call->message, STR("fail"))) {
        call->retry_after_ms = 1500;
        return err_set(ERR_OVERLOAD, "full: 100%% \n");
    }
    buf_str(out, call->message);
    return OK;
}
static const struct grpc_method methods[] = { { "/test.Echo/Echo", g_echo } };
static const struct http_service service = { &router, methods, ARRAY_LEN(methods), NULL };

static err_t tenant_check(struct str t)
{
    if (str_chr(t, '/') < t.n) return err_set(ERR_INVALID, "bad tenant");
    return OK;
}

static struct http_core core;

static void setup(void)
{
    budget_init(&bodies, "bodies", NULL, 300 << 20, ERR_OVERLOAD);
    budget_init(&answers, "answers", NULL, 300 << 20, ERR_LIMIT);
    struct http_server_opts o = { .body_budget = &bodies,
                                  .answer_budget = &answers,
                                  .tenant_default = STR("anonymous"),
                                  .tenant_check = tenant_check };
    mem_defer = mem_refuse = false;
    mem_now_ns = 1;
    http_core_init(&core, &mem_io, &o);
}
static void teardown(void)
{
    http_core_deinit(&core);
    cr_expect_eq(bodies.used, 0);
    cr_expect_eq(answers.used, 0);
}
TestSuite(http, .init = setup, .fini = teardown);

/* Feeds `in` in pieces of `step` bytes and returns all output as a string. */
static char *talk(struct str in, size_t step, bool *closed)
{
    struct mem_conn m;
    mem_open(&m, &core, &service);
    for (size_t i = 0; i < in.n; i += step)
        mem_feed(&m, str_sub(in, i, i + step));
    if (closed) *closed = m.closed;
    buf_byte(&m.out, 0);
    char *out = strdup(m.out.p);
    mem_free(&m);
    return out;
}

static int status_of(const char *out)
{
    int status = 0;
    (void)sscanf(out, "HTTP/1.1 %d", &status);
    return status;
}

static const char *body_of(const char *out)
{
    const char *p = strstr(out, "\r\n\r\n");
    return p ? p + 4 : "";
}

/* -- parsing ------------------------------------------------------------------------------------------ */

#define HOST "Host: a\r\n"

Test(http, heads_that_are_refused)
{
    static const struct {
        const char *in;
        int status;
    } rows[] = {
        { "GET /hello HTTP/1.1\nHost: a\r\n\r\n", 400 },                        /* bare LF */
        { "GET /hello HTTP/1.1\r\nHost: a\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\n\n", 400 },
        { "GET /hello HTTP/1.1\r\n\r\n", 400 },                                 /* no Host */
        { "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400 },                     /* space before the colon */
        { "GET /hello HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400 },           /* folded */
        { "GET /hello HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400 },              /* bare CR */
        { "GET /hello HTTP/1.1\r\n" HOST "nocolon\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400 },
        { "GET  /hello HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /hello HTTP/1.1 \r\n" HOST "\r\n", 400 },
        { "GET /hello HTTP/2.0\r\n" HOST "\r\n", 400 },
        { "GET /hello\r\n" HOST "\r\n", 400 },
        { "G\x01T /hello HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /he\x7fllo HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET hello HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /%00 HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /hello?a=%4 HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST /v1/echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 400 },
        { "BREW /hello HTTP/1.1\r\n" HOST "\r\n", 501 },
        { "DELETE /hello HTTP/1.1\r\n" HOST "\r\n", 405 },
        { "GET /nowhere HTTP/1.1\r\n" HOST "\r\n", 404 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: br\r\n\r\nx", 415 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx", 400 },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: snappy\r\n\r\nx", 415 },
        { "POST /snappy HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: snappy\r\n\r\nx", 200 },
        { "POST /snappy HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: br\r\n\r\nx", 415 },
        { "POST /any HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: snappy\r\n\r\nx", 200 },
        { "POST /any HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx", 200 },
        { "POST /small HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413 },
        { "GET /hello HTTP/1.1\r\n" HOST "X-Scope-OrgID: a/b\r\n\r\n", 400 },
        { "GET /fail HTTP/1.1\r\n" HOST "\r\n", 429 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step < 2000; step += 1999 - 1) {
            char *out = talk(str_of(rows[i].in), step, NULL);
            cr_expect_eq(status_of(out), rows[i].status, "row %zu, step %zu: %s", i, step, out);
            free(out);
        }
    }
}

Test(http, chunks)
{
#define CHUNKED "POST /v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
    static const struct {
        const char *in;
        int status;
        const char *body;
    } rows[] = {
        { CHUNKED "3\r\nabc\r\n0\r\n\r\n", 200, "abc" },
        { CHUNKED "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n", 200, "abc0123456789" },
        { CHUNKED "00000003\r\nabc\r\n0\r\n\r\n", 200, "abc" },
        { CHUNKED "000000003\r\nabc\r\n0\r\n\r\n", 400, NULL },
        { CHUNKED "\r\nabc\r\n0\r\n\r\n", 400, NULL },
        { CHUNKED "3\nabc\r\n0\r\n\r\n", 400, NULL },
        { CHUNKED "3\r\nabcd\r\n0\r\n\r\n", 400, NULL },
        { CHUNKED "-3\r\nabc\r\n0\r\n\r\n", 400, NULL },
        { CHUNKED "3 \r\nabc\r\n0\r\n\r\n", 400, NULL },
        { CHUNKED "0\r\n folded\r\n\r\n", 400, NULL },
        { CHUNKED "ffffffff\r\nabc", 0, NULL }, /* waits; nothing is reserved for it */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step < 1000; step += 998) {
            char *out = talk(str_of(rows[i].in), step, NULL);
            cr_expect_eq(status_of(out), rows[i].status, "row %zu: %s", i, out);
            if (rows[i].body) cr_expect_str_eq(body_of(out), rows[i].body);
            free(out);
        }
    }
}

Test(http, head_limits)
{
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    buf_z(&b, "GET /hello HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 99; i++)
        buf_printf(&b, "x-%d: y\r\n", i);
    size_t n = b.n;
    buf_z(&b, "\r\n");
    char *out = talk(buf_view(&b), 100, NULL);
    cr_expect_eq(status_of(out), 200);
    free(out);
    b.n = n;
    buf_z(&b, "one-more: x\r\n\r\n");
    out = talk(buf_view(&b), 100, NULL);
    cr_expect_eq(status_of(out), 431);
    free(out);
    buf_clear(&b);
    buf_z(&b, "GET /hello HTTP/1.1\r\n" HOST "x: ");
    for (int i = 0; i < 17000; i++)
        buf_byte(&b, 'x');
    out = talk(buf_view(&b), 1000, NULL);
    cr_expect_eq(status_of(out), 431, "%s", out);
    free(out);
    buf_deinit(&b);
}

/* -- connections -------------------------------------------------------------------------------------- */

static unsigned count(const char *in, const char *what)
{
    unsigned n = 0;
    for (; (in = strstr(in, what)); in++)
        n++;
    return n;
}

Test(http, pipelined_answers_keep_their_order)
{
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    for (int i = 0; i < 10; i++)
        buf_printf(&b, "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n<%d", i);
    for (size_t step = 1; step < 1000; step = step * 3 + 1) {
        bool closed;
        char *out = talk(buf_view(&b), step, &closed);
        cr_expect(!closed);
        const char *at = out;
        for (int i = 0; i < 10; i++) {
            char want[8];
            snprintf(want, sizeof want, "\r\n\r\n<%d", i);
            at = strstr(at, want);
            cr_assert(at, "%d in %s", i, out);
        }
        free(out);
    }
    buf_deinit(&b);
}

Test(http, pipelined_requests_wait_for_the_handler_before_them)
{
    struct mem_conn m;
    mem_open(&m, &core, &service);
    mem_defer = true;
    mem_feed(&m, STR("GET /hello HTTP/1.1\r\n" HOST "\r\nGET /nowhere HTTP/1.1\r\n" HOST "\r\n"));
    cr_assert_eq(mem_nwaiting, 1);
    cr_expect_eq(m.out.n, 0);
    mem_defer = false;
    mem_run_one();
    buf_byte(&m.out, 0);
    cr_expect_eq(count(m.out.p, "HTTP/1.1 "), 2);
    cr_expect_eq(status_of(m.out.p), 200);
    mem_free(&m);
}

Test(http, a_client_that_goes_away_leaves_nothing)
{
    struct mem_conn m;
    mem_open(&m, &core, &service);
    mem_defer = true;
    mem_feed(&m, STR("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
    cr_assert_eq(mem_nwaiting, 1);
    http_conn_eof(&m.c);
    cr_expect(m.closed);
    mem_free(&m);
    cr_expect_eq(core.live, 1);
    mem_run_one();
    cr_expect_eq(core.live, 0);
}

Test(http, connection_persistence)
{
    static const struct {
        const char *in;
        bool closed;
        const char *header;
    } rows[] = {
        { "GET /hello HTTP/1.1\r\n" HOST "\r\n", false, "content-length: 11\r\n" },
        { "GET /hello HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n", true, "connection: close\r\n" },
        { "GET /hello HTTP/1.0\r\n\r\n", true, "connection: close\r\n" },
        { "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, "connection: keep-alive\r\n" },
        { "\r\n\r\nGET /hello/ HTTP/1.1\r\n" HOST "\r\n", false, "content-type: application/json\r\n" },
        { "GET http://x:1/hello?x HTTP/1.1\r\n" HOST "\r\n", false, "200 OK" },
        { "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", false, "content-length: 0\r\n" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool closed;
        char *out = talk(str_of(rows[i].in), 7, &closed);
        cr_expect_eq(closed, rows[i].closed, "row %zu", i);
        cr_expect(strstr(out, rows[i].header), "row %zu: %s", i, out);
        free(out);
    }
}

Test(http, head_has_length_but_no_body)
{
    char *out = talk(STR("HEAD /hello HTTP/1.1\r\n" HOST "\r\n"), 100, NULL);
    cr_expect(strstr(out, "content-length: 11\r\n"));
    cr_expect_str_eq(body_of(out), "");
    free(out);
}

Test(http, a_refused_body_is_read_over_and_the_connection_lives)
{
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    buf_z(&b, "POST /small HTTP/1.1\r\n" HOST "Content-Length: 5000\r\n\r\n");
    for (int i = 0; i < 5000; i++)
        buf_byte(&b, 'G');
    buf_z(&b, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    bool closed;
    char *out = talk(buf_view(&b), 999, &closed);
    cr_expect(!closed);
    cr_expect_eq(status_of(out), 413);
    cr_expect(strstr(out, "HTTP/1.1 200 OK"), "%s", out);
    free(out);
    /* The same in chunks, where the length is found out on the way. */
    buf_clear(&b);
    buf_z(&b, "POST /small HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++)
        buf_z(&b, "5\r\n01234\r\n");
    buf_z(&b, "0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    out = talk(buf_view(&b), 99, &closed);
    cr_expect(!closed);
    cr_expect_eq(status_of(out), 413);
    cr_expect(strstr(out, "HTTP/1.1 200 OK"), "%s", out);
    free(out);
    buf_deinit(&b);
}

Test(http, overload_is_told_before_the_body_is_read)
{
    struct str rq = STR("POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 60000000\r\n\r\n");
    budget_charge(&bodies, 300 << 20);
    char *out = talk(rq, 1000, NULL);
    budget_release(&bodies, 300 << 20);
    cr_expect_eq(status_of(out), 429);
    cr_expect(strstr(out, "retry-after: 1\r\n"));
    free(out);
    /* and when no fiber is left */
    mem_refuse = true;
    out = talk(STR("GET /hello HTTP/1.1\r\n" HOST "\r\n"), 1000, NULL);
    cr_expect_eq(status_of(out), 429);
    free(out);
}

Test(http, expect_continue)
{
    char *out = talk(STR("POST /v1/echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"), 1, NULL);
    cr_expect_eq(status_of(out), 100);
    cr_expect(strstr(out, "HTTP/1.1 200 OK"));
    free(out);
    out = talk(STR("POST /small HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n"), 1, NULL);
    cr_expect_eq(status_of(out), 413);
    cr_expect(strstr(out, "connection: close"));
    free(out);
}

Test(http, time_limits)
{
    struct mem_conn m;
    mem_open(&m, &core, &service);
    mem_feed(&m, STR("GET /hello HT"));
    mem_now_ns += 9 * NS_PER_S;
    http_conn_tick(&m.c);
    cr_expect(!m.closed);
    mem_now_ns += 2 * NS_PER_S;
    http_conn_tick(&m.c);
    cr_expect(m.closed);
    buf_byte(&m.out, 0);
    cr_expect_eq(status_of(m.out.p), 408);
    mem_free(&m);
    mem_open(&m, &core, &service); /* idle */
    mem_feed(&m, STR("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
    mem_now_ns += 119 * NS_PER_S;
    http_conn_tick(&m.c);
    cr_expect(!m.closed);
    mem_now_ns += 2 * NS_PER_S;
    http_conn_tick(&m.c);
    cr_expect(m.closed);
    mem_free(&m);
    mem_open(&m, &core, &service); /* a slow body */
    mem_feed(&m, STR("POST /v1/echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n"));
    for (int i = 0; i < 50 && !m.closed; i++) {
        mem_feed(&m, STR("x"));
        mem_now_ns += NS_PER_S;
        http_conn_tick(&m.c);
    }
    cr_expect(m.closed);
    mem_free(&m);
}

Test(http, back_pressure)
{
    struct mem_conn m;
    mem_open(&m, &core, &service);
    m.unsent = 10 << 20;
    mem_feed(&m, STR("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
    cr_expect_eq(m.out.n, 0);
    for (int i = 0; i < 3000; i++)
        mem_feed(&m, STR("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
    cr_expect(m.paused);
    m.unsent = 0;
    http_conn_drained(&m.c);
    cr_expect(!m.paused);
    buf_byte(&m.out, 0);
    cr_expect_eq(count(m.out.p, "HTTP/1.1 200"), 3001);
    mem_free(&m);
}

/* -- router ------------------------------------------------------------------------------------------- */

Test(http, router)
{
    static const struct {
        const char *target;
        const char *body;
    } rows[] = {
        { "/label/job/values", "1:[job] tenant=anonymous" },
        { "/label/job/values/", "1:[job] tenant=anonymous" },
        { "/label/a%2Fb%20c/values", "1:[a/b c] tenant=anonymous" },
        { "/l%61bel/job/values", "1:[job] tenant=anonymous" },
        { "/one/x/", "1:[x] tenant=anonymous" },
        { "/files/a/b/c", "1:[a/b/c] tenant=anonymous" },
        { "/files/", "1:[] tenant=anonymous" },
        { "/one/x?match[]=a+b&x=1&match%5B%5D=%7Bc%7D&match[]", "1:[x]<a b><{c}><> tenant=anonymous" },
        { "/label//values", NULL },
        { "/label/values", NULL },
        { "/label/x/values/y", NULL },
        { "/one", NULL },
        { "/onex/y", NULL },
        { "//one/x", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char rq[256];
        snprintf(rq, sizeof rq, "GET %s HTTP/1.1\r\n" HOST "\r\n", rows[i].target);
        char *out = talk(str_of(rq), 50, NULL);
        if (rows[i].body) cr_expect_str_eq(body_of(out), rows[i].body, "%s: %s", rows[i].target, out);
        else cr_expect_eq(status_of(out), 404, "%s: %s", rows[i].target, out);
        if (rows[i].body) cr_expect(strstr(out, "x-echo: a  b: c\r\n"));
        free(out);
    }
    char *out = talk(STR("POST /hello HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), 50, NULL);
    cr_expect(strstr(out, "allow: GET, HEAD, OPTIONS\r\n"), "%s", out);
    free(out);
    out = talk(STR("POST /label/x/values?match[]=1 HTTP/1.1\r\n" HOST
                   "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nX-Scope-OrgID: t1\r\n"
                   "Content-Length: 15\r\n\r\nmatch%5B%5D=2+3"),
               50, NULL);
    cr_expect_str_eq(body_of(out), "1:[x]<1><2 3> tenant=t1");
    free(out);
    /* curl calls every body a form */
    out = talk(STR("POST /v1/echo HTTP/1.1\r\n" HOST "Content-Type: application/x-www-form-urlencoded\r\n"
                   "Content-Length: 5\r\n\r\n100%\n"),
               50, NULL);
    cr_expect_str_eq(body_of(out), "100%\n");
    free(out);
}

Test(http, cors)
{
    char *out = talk(STR("OPTIONS /v1/echo HTTP/1.1\r\n" HOST "Origin: http://page\r\nAccess-Control-Request-Method: POST\r\n"
                         "Access-Control-Request-Headers: content-type,x-y\r\n\r\n"),
                     50, NULL);
    cr_expect_eq(status_of(out), 204);
    cr_expect(strstr(out, "access-control-allow-origin: http://page\r\n"), "%s", out);
    cr_expect(strstr(out, "access-control-allow-credentials: true\r\n"));
    cr_expect(strstr(out, "access-control-allow-methods: POST, OPTIONS\r\n"));
    cr_expect(strstr(out, "access-control-allow-headers: content-type,x-y\r\n"));
    cr_expect(strstr(out, "access-control-max-age: 7200\r\n"));
    free(out);
    out = talk(STR("GET /hello HTTP/1.1\r\n" HOST "Origin: http://page\r\n\r\n"), 50, NULL);
    cr_expect(strstr(out, "access-control-allow-origin: *\r\n"));
    cr_expect_not(strstr(out, "allow-credentials"));
    free(out);
    out = talk(STR("OPTIONS /nowhere HTTP/1.1\r\n" HOST "Origin: http://page\r\n\r\n"), 50, NULL);
    cr_expect_eq(status_of(out), 404);
    free(out);
}

/* -- compression -------------------------------------------------------------------------------------- */

static struct buf gzip_of(struct str in)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t max = libdeflate_gzip_compress_bound(c, in.n);
    char *to = buf_reserve(&b, max);
    b.n = libdeflate_gzip_compress(c, in.p, in.n, to, max);
    libdeflate_free_compressor(c);
    return b;
}
static struct buf zstd_of(struct str in)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    char *to = buf_reserve(&b, ZSTD_compressBound(in.n));
    b.n = ZSTD_compress(to, ZSTD_compressBound(in.n), in.p, in.n, 3);
    return b;
}
static struct buf zlib_of(struct str in)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    uLongf n = compressBound(in.n);
    char *to = buf_reserve(&b, n);
    compress((Bytef *)to, &n, (const Bytef *)in.p, in.n);
    b.n = n;
    return b;
}

static struct buf text_of(size_t n)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    uint64_t x = 1;
    while (b.n < n) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        buf_printf(&b, "key%d=%llu ", (int)(x >> 60), (unsigned long long)(x >> 48));
    }
    b.n = n;
    return b;
}

Test(http, inflate_all_kinds_and_sizes)
{
    static const size_t sizes[] = { 0, 1, 1000, 100000, 1 << 20, (9 << 20) + 3 };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf text = text_of(sizes[i]);
        struct buf packed[] = { gzip_of(buf_view(&text)), zlib_of(buf_view(&text)), zstd_of(buf_view(&text)) };
        static const enum inflate_kind kinds[] = { INFLATE_GZIP, INFLATE_ZLIB, INFLATE_ZSTD };
        for (size_t k = 0; k < 3; k++) {
            struct buf out;
            buf_init(&out, 64 << 20, NULL);
            cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), OK, "%zu %zu %s", i, k, err_detail());
            cr_expect(str_eq(buf_view(&out), buf_view(&text)), "%zu %zu", i, k);
            /* exactly at the limit, and one byte below it */
            buf_deinit(&out);
            buf_init(&out, sizes[i], NULL);
            cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), OK, "%zu %zu %s", i, k, err_detail());
            if (sizes[i]) {
                buf_deinit(&out);
                buf_init(&out, sizes[i] - 1, NULL);
                cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), ERR_TOO_LARGE, "%zu %zu", i, k);
            }
            /* cut anywhere, and followed by garbage */
            buf_deinit(&out);
            for (size_t cut = 0; cut < packed[k].n; cut += 1 + packed[k].n / 7) {
                buf_init(&out, 64 << 20, NULL);
                cr_expect_eq(inflate_body(kinds[k], str_n(packed[k].p, cut), &out), ERR_INVALID, "%zu %zu %zu", i, k, cut);
                buf_deinit(&out);
            }
            buf_put(&packed[k], "garbage!", 8);
            buf_init(&out, 64 << 20, NULL);
            cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), ERR_INVALID, "%zu %zu", i, k);
            buf_deinit(&out);
            buf_deinit(&packed[k]);
        }
        buf_deinit(&text);
    }
}

Test(http, inflate_members_and_frames)
{
    struct buf text = text_of(5000), twice = text_of(5000);
    buf_str(&twice, buf_view(&text));
    struct buf packed[] = { gzip_of(buf_view(&text)), zstd_of(buf_view(&text)) };
    static const enum inflate_kind kinds[] = { INFLATE_GZIP, INFLATE_ZSTD };
    for (size_t k = 0; k < 2; k++) {
        struct buf two;
        buf_init(&two, 1 << 20, NULL);
        buf_str(&two, buf_view(&packed[k]));
        buf_str(&two, buf_view(&packed[k]));
        struct buf out;
        buf_init(&out, 1 << 20, NULL);
        cr_expect_eq(inflate_body(kinds[k], buf_view(&two), &out), OK, "%s", err_detail());
        cr_expect(str_eq(buf_view(&out), buf_view(&twice)));
        buf_deinit(&out);
        buf_deinit(&two);
        buf_deinit(&packed[k]);
    }
    buf_deinit(&text);
    buf_deinit(&twice);
}

Test(http, inflate_bombs)
{
    struct buf zeros;
    buf_init(&zeros, SIZE_MAX / 2, NULL);
    memset(buf_reserve(&zeros, 40 << 20), 0, 40 << 20);
    zeros.n = 40 << 20;
    struct buf packed[] = { gzip_of(buf_view(&zeros)), zlib_of(buf_view(&zeros)), zstd_of(buf_view(&zeros)) };
    static const enum inflate_kind kinds[] = { INFLATE_GZIP, INFLATE_ZLIB, INFLATE_ZSTD };
    for (size_t k = 0; k < 3; k++) {
        struct buf out;
        buf_init(&out, 64 << 20, NULL);
        cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), ERR_TOO_LARGE, "%zu", k);
        cr_expect_leq(out.cap, 8 << 20);
        buf_deinit(&out);
        buf_deinit(&packed[k]);
    }
    buf_deinit(&zeros);
}

Test(http, compressed_bodies_and_answers)
{
    struct buf text = text_of(50000), packed = gzip_of(buf_view(&text)), rq;
    buf_init(&rq, 1 << 20, NULL);
    buf_printf(&rq, "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Encoding: gzip\r\nAccept-Encoding: br, gzip;q=0.5\r\n"
                    "Content-Length: %zu\r\n\r\n", packed.n);
    buf_str(&rq, buf_view(&packed));
    struct mem_conn m;
    mem_open(&m, &core, &service);
    mem_feed(&m, buf_view(&rq));
    size_t at = str_find(buf_view(&m.out), STR("\r\n\r\n"));
    cr_assert_neq(at, SIZE_MAX);
    cr_expect_neq(str_find(buf_view(&m.out), STR("content-encoding: gzip\r\n")), SIZE_MAX);
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    cr_assert_eq(inflate_body(INFLATE_GZIP, str_sub(buf_view(&m.out), at + 4, m.out.n), &out), OK);
    cr_expect(str_eq(buf_view(&out), buf_view(&text)));
    buf_deinit(&out);
    mem_free(&m);
    /* past one call's worth: the streaming way */
    mem_open(&m, &core, &service);
    mem_feed(&m, STR("GET /large HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\n\r\n"));
    at = str_find(buf_view(&m.out), STR("\r\n\r\n"));
    cr_assert_neq(at, SIZE_MAX);
    buf_init(&out, 64 << 20, NULL);
    cr_assert_eq(inflate_body(INFLATE_GZIP, str_sub(buf_view(&m.out), at + 4, m.out.n), &out), OK, "%s", err_detail());
    cr_expect_eq(out.n, 400 * 3890, "%zu", out.n);
    buf_deinit(&out);
    mem_free(&m);
    buf_deinit(&text);
    buf_deinit(&packed);
    buf_deinit(&rq);
}

Test(http, accept_encoding)
{
    cr_expect(http_accepts(STR("gzip"), "gzip"));
    cr_expect(http_accepts(STR("br, GZIP ; q=0.1"), "gzip"));
    cr_expect(http_accepts(STR("*"), "gzip"));
    cr_expect_not(http_accepts(STR("*, gzip;q=0"), "gzip"));
    cr_expect_not(http_accepts(STR("gzip;q=0.000"), "gzip"));
    cr_expect_not(http_accepts(STR("gzipx"), "gzip"));
    cr_expect_not(http_accepts(STR_NONE, "gzip"));
}

Test(http, url_decoding)
{
    struct arena a;
    arena_init(&a, NULL);
    struct str out;
    cr_expect_eq(url_decode(STR("a%20b+c"), false, &a, &out), OK);
    cr_expect(str_eq(out, STR("a b+c")));
    cr_expect_eq(url_decode(STR("a%2fb+c"), true, &a, &out), OK);
    cr_expect(str_eq(out, STR("a/b c")));
    cr_expect_eq(url_decode(STR(""), true, &a, &out), OK);
    cr_expect_eq(url_decode(STR("%"), true, &a, &out), ERR_INVALID);
    cr_expect_eq(url_decode(STR("%2"), true, &a, &out), ERR_INVALID);
    cr_expect_eq(url_decode(STR("%g0"), true, &a, &out), ERR_INVALID);
    arena_deinit(&a);
}

/* -- gRPC --------------------------------------------------------------------------------------------- */

Test(http, grpc_words)
{
    int64_t ns;
    cr_expect(grpc_timeout_parse(STR("100m"), &ns) && ns == 100 * NS_PER_MS);
    cr_expect(grpc_timeout_parse(STR("99999999H"), &ns) && ns == INT64_MAX);
    cr_expect_not(grpc_timeout_parse(STR("100000000m"), &ns));
    cr_expect_not(grpc_timeout_parse(STR("m"), &ns));
    cr_expect_not(grpc_timeout_parse(STR("1x"), &ns));
    cr_expect(grpc_is(STR("application/grpc")) && grpc_is(STR("application/grpc+proto")));
    cr_expect_not(grpc_is(STR("application/grpc-web")));
    struct arena a;
    arena_init(&a, NULL);
    struct str s = grpc_message_escape(&a, STR("50% \xc3\xa9"));
    cr_expect(str_eq(s, STR("50%25 %C3%A9")), STR_FMT, STR_ARG(s));
    /* code 8, message "x", RetryInfo of 1.5 s; read back with protoc --decode_raw */
    s = grpc_status_details(&a, 8, STR("x"), 1500);
    cr_expect(str_eq(s, STR("CAgSAXgaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ")), STR_FMT, STR_ARG(s));
    arena_deinit(&a);
}

/* A hand-made client: a session of nghttp2's own, talking to a connection in memory. */
struct client {
    nghttp2_session *h2;
    struct mem_conn m;
    struct buf body, headers; /* of all streams: "name: value\n" */
    struct str sending;
    size_t sent;
    unsigned closed;
};

static ssize_t client_read(nghttp2_session *h2, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    (void)h2, (void)id, (void)source;
    struct client *k = user;
    size_t n = MIN(max, k->sending.n - k->sent);
    memcpy(to, k->sending.p + k->sent, n);
    k->sent += n;
    if (k->sent == k->sending.n) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        k->sent = 0;
    }
    return (ssize_t)n;
}
static int client_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *n, size_t nn, const uint8_t *v,
                         size_t vn, uint8_t flags, void *user)
{
    (void)h2, (void)f, (void)flags;
    struct client *k = user;
    buf_printf(&k->headers, "%.*s: %.*s\n", (int)nn, (const char *)n, (int)vn, (const char *)v);
    return 0;
}
static int client_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    (void)h2, (void)flags, (void)id;
    buf_put(&((struct client *)user)->body, p, n);
    return 0;
}
static int client_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
    (void)h2, (void)id, (void)code;
    ((struct client *)user)->closed++;
    return 0;
}

static void client_open(struct client *k)
{
    *k = (struct client){ 0 };
    buf_init(&k->body, 1 << 30, NULL);
    buf_init(&k->headers, 1 << 20, NULL);
    mem_open(&k->m, &core, &service);
    nghttp2_session_callbacks *cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, client_close);
    nghttp2_session_client_new(&k->h2, cb, k);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(k->h2, 0, NULL, 0);
}
static void client_close_all(struct client *k)
{
    nghttp2_session_del(k->h2);
    mem_free(&k->m);
    buf_deinit(&k->body);
    buf_deinit(&k->headers);
}
/* Carries bytes both ways until nobody has anything to say; `step` splits them. */
static void client_turn(struct client *k, size_t step)
{
    for (bool moved = true; moved;) {
        moved = false;
        const uint8_t *p;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(k->h2, &p)) > 0) {
            for (size_t i = 0; i < (size_t)n; i += step)
                mem_feed(&k->m, str_n(p + i, MIN(step, (size_t)n - i)));
            moved = true;
        }
        if (k->m.out.n == 0) continue;
        cr_assert_eq(nghttp2_session_mem_recv(k->h2, (uint8_t *)k->m.out.p, k->m.out.n), (ssize_t)k->m.out.n);
        buf_clear(&k->m.out);
        moved = true;
    }
    buf_byte(&k->headers, 0);
    k->headers.n--;
}
static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0 };
}
static int32_t client_call(struct client *k, const char *path, struct str body, const char *encoding)
{
    nghttp2_nv h[] = { nv(":method", "POST"), nv(":scheme", "http"), nv(":path", path), nv(":authority", "x"),
                       nv("content-type", "application/grpc"), nv("te", "trailers"),
                       nv("grpc-encoding", encoding), nv("grpc-timeout", "5S") };
    k->sending = body;
    nghttp2_data_provider d = { { .ptr = k }, client_read };
    return nghttp2_submit_request(k->h2, NULL, h, ARRAY_LEN(h), &d, NULL);
}
static struct buf grpc_message(struct str s, uint8_t flag)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    buf_byte(&b, flag);
    for (int i = 24; i >= 0; i -= 8)
        buf_byte(&b, (uint8_t)(s.n >> i));
    buf_str(&b, s);
    return b;
}

Test(http, grpc_calls)
{
    struct buf text = text_of(300000), packed = gzip_of(buf_view(&text));
    struct {
        const char *path;
        struct buf body;
        const char *encoding, *header;
        size_t answer; /* bytes of body, with the prefix; 0 = none */
    } rows[] = {
        { "/test.Echo/Echo", grpc_message(STR("hi"), 0), "identity", "grpc-status: 0\n", 7 },
        { "/test.Echo/Echo", grpc_message(STR(""), 0), "identity", "grpc-status: 0\n", 5 },
        { "/test.Echo/Echo", grpc_message(buf_view(&packed), 1), "gzip", "grpc-status: 0\n", 300005 },
        { "/test.Echo/Echo", grpc_message(buf_view(&text), 0), "gzip", "grpc-status: 0\n", 300005 },
        { "/test.Echo/Echo", grpc_message(STR("fail"), 0), "identity", "grpc-message: full: 100%25 %0A\ngrpc-status-details-bin: ", 0 },
        { "/test.Echo/Nope", grpc_message(STR("hi"), 0), "identity", "grpc-status: 12\n", 0 },
        { "/test.Echo/Echo", grpc_message(STR("hi"), 0), "br", "grpc-status: 12\n", 0 },
        { "/test.Echo/Echo", grpc_message(STR("hi"), 1), "identity", "grpc-status: 3\n", 0 },
        { "/test.Echo/Echo", grpc_message(STR("hi"), 1), "gzip", "grpc-status: 3\n", 0 },
        { "/test.Echo/Echo", grpc_message(STR("hi"), 7), "gzip", "grpc-status: 3\n", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 3; step < 200000; step *= 1000) {
            struct client k;
            client_open(&k);
            for (unsigned n = 1; n <= 2; n++) {
                client_call(&k, rows[i].path, buf_view(&rows[i].body), rows[i].encoding);
                client_turn(&k, step);
                cr_expect_eq(k.closed, n);
            }
            cr_expect(strstr(k.headers.p, rows[i].header), "row %zu: %s", i, k.headers.p);
            cr_expect(strstr(k.headers.p, ":status: 200\n"));
            cr_expect_eq(k.body.n, 2 * rows[i].answer, "row %zu: %zu", i, k.body.n);
            client_close_all(&k);
        }
        buf_deinit(&rows[i].body);
    }
    buf_deinit(&text);
    buf_deinit(&packed);
}

Test(http, grpc_message_over_the_limit_or_cut)
{
    struct client k;
    client_open(&k);
    client_call(&k, "/test.Echo/Echo", STR("\0\x04\0\0\x01x"), "identity"); /* 64 MiB + 1 */
    client_turn(&k, 1000);
    cr_expect(strstr(k.headers.p, "grpc-status: 8\n"), "%s", k.headers.p);
    buf_clear(&k.headers);
    client_call(&k, "/test.Echo/Echo", STR("\0\0\0\0\x09x"), "identity");
    client_turn(&k, 1000);
    cr_expect(strstr(k.headers.p, "grpc-status: 3\n"), "%s", k.headers.p);
    buf_clear(&k.headers);
    client_call(&k, "/test.Echo/Echo", STR("\0\0\0\0\x01xyz"), "identity");
    client_turn(&k, 1000);
    cr_expect(strstr(k.headers.p, "grpc-status: 3\n"), "%s", k.headers.p);
    buf_clear(&k.headers);
    budget_charge(&bodies, 300 << 20);
    client_call(&k, "/test.Echo/Echo", STR("\0\0\0\0\x01x"), "identity");
    client_turn(&k, 1000);
    budget_release(&bodies, 300 << 20);
    cr_expect(strstr(k.headers.p, "grpc-status: 8\n"), "%s", k.headers.p);
    cr_expect(strstr(k.headers.p, "grpc-status-details-bin: "), "%s", k.headers.p);
    client_close_all(&k);
}

Test(http, plain_requests_over_http2)
{
    struct client k;
    client_open(&k);
    nghttp2_nv h[] = { nv(":method", "GET"), nv(":scheme", "http"), nv(":path", "/one/x?match[]=y"),
                       nv(":authority", "x") };
    for (unsigned i = 0; i < 50; i++)
        nghttp2_submit_request(k.h2, NULL, h, ARRAY_LEN(h), NULL, NULL);
    client_turn(&k, 100);
    cr_expect_eq(k.closed, 50);
    cr_expect(strstr(k.headers.p, ":status: 200\n"));
    cr_expect_eq(k.body.n, 50 * strlen("1:[x]<y> tenant=anonymous"));
    buf_clear(&k.headers);
    h[2] = nv(":path", "/nowhere");
    nghttp2_submit_request(k.h2, NULL, h, ARRAY_LEN(h), NULL, NULL);
    client_turn(&k, 100);
    cr_expect(strstr(k.headers.p, ":status: 404\n"));
    buf_clear(&k.headers);
    buf_clear(&k.body);
    h[2] = nv(":path", "/large");
    nghttp2_submit_request(k.h2, NULL, h, ARRAY_LEN(h), NULL, NULL);
    client_turn(&k, 1000);
    cr_expect_eq(k.body.n, 400 * 3890);
    http_conn_stop(&k.m.c);
    cr_expect(k.m.closed);
    client_close_all(&k);
}

Test(http, streams_that_are_reset_leave_nothing)
{
    struct client k;
    client_open(&k);
    mem_defer = true;
    int32_t id = client_call(&k, "/test.Echo/Echo", STR("\0\0\0\0\x01x"), "identity");
    client_turn(&k, 1000);
    cr_assert_eq(mem_nwaiting, 1);
    nghttp2_submit_rst_stream(k.h2, 0, id, NGHTTP2_CANCEL);
    client_turn(&k, 1000);
    cr_expect_eq(core.live, 1);
    mem_run_one();
    cr_expect_eq(core.live, 0);
    client_close_all(&k);
}

Test(http, a_flood_of_resets_ends_the_connection)
{
    struct client k;
    client_open(&k);
    mem_defer = true;
    unsigned n = 0;
    while (!k.m.closed && n < 2 * HTTP_RESETS_MAX) {
        int32_t id = client_call(&k, "/test.Echo/Echo", STR("\0\0\0\0\x01x"), "identity");
        client_turn(&k, 1000);
        nghttp2_submit_rst_stream(k.h2, 0, id, NGHTTP2_CANCEL);
        client_turn(&k, 1000);
        while (mem_run_one())
            ;
        n++;
    }
    cr_expect(k.m.closed);
    cr_expect_leq(n, HTTP_RESETS_MAX + 1, "%u", n);
    client_close_all(&k);
}
