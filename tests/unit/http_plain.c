/* The HTTP server over real sockets, on both backends of the runtime. The clients are fibers of the same process.
 *
 *     http_plain                              the test
 *     http_plain serve BACKEND PORT SECONDS   the same service for curl and h2load; BACKEND = epoll | uring */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/http_conn.h"
#include "base/rt/sock.h"
#include "tests/unit/check.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* -- the service -------------------------------------------------------------------------------------- */

static struct budget bodies, answers;
static _Atomic int canceled;

static err_t h_hello(struct http_request *rq, struct http_response *rs)
{
    buf_printf(&rs->body, "hello " STR_FMT, STR_ARG(rq->tenant));
    return OK;
}
static err_t h_echo(struct http_request *rq, struct http_response *rs)
{
    buf_str(&rs->body, rq->body);
    return OK;
}
static err_t h_size(struct http_request *rq, struct http_response *rs)
{
    struct str v;
    uint64_t n = 0;
    if (!http_param(rq, "n", 0, &v) || !str_to_u64(v, &n) || n > 100000000)
        return err_set(ERR_INVALID, "no n");
    char *p = buf_reserve(&rs->body, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i % 26);
    rs->body.n = n;
    return OK;
}
static err_t h_sleep(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    (void)rs;
    err_t e = fiber_sleep(20 * NS_PER_S);
    if (e == ERR_CANCELED) canceled++;
    return e;
}
static void on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                     struct http_response *rs)
{
    (void)rq;
    buf_printf(&rs->body, "{\"status\":%d,\"code\":\"%s\",\"detail\":\"%s\"}", status, err_name(code), detail);
}
static const struct http_route routes[] = {
    { HTTP_GET, "/hello", h_hello, RT_QUERY },
    { HTTP_POST, "/echo", h_echo, RT_INGEST },
    { HTTP_GET, "/size", h_size, RT_QUERY },
    { HTTP_GET, "/sleep", h_sleep, RT_QUERY },
    { HTTP_POST, "/small", h_echo, RT_INGEST, 1000 },
};
static const struct http_api api = { routes, ARRAY_LEN(routes), on_error };
static const struct http_router router = { .apis = &api, .napis = 1, .on_error = on_error, .cors = true };

static err_t g_export(struct grpc_call *call, struct buf *out)
{
    if (call->message.n == 4) return err_set(ERR_UNAVAILABLE, "four bytes");
    if (call->message.n == 5) return fiber_sleep(20 * NS_PER_S);
    buf_printf(out, "%zu", call->message.n);
    return OK;
}
/* For a load generator: takes a message, answers nothing. */
static err_t g_empty(struct grpc_call *call, struct buf *out)
{
    (void)call;
    (void)out;
    return OK;
}
static const struct grpc_method methods[] = { { "/t.T/Export", g_export }, { "/t.T/Empty", g_empty } };

static struct http_server_opts server_opts(uint32_t connections_max)
{
    budget_init(&bodies, "bodies", NULL, 200 << 20, ERR_OVERLOAD);
    budget_init(&answers, "answers", NULL, 200 << 20, ERR_LIMIT);
    return (struct http_server_opts){ .body_budget = &bodies,
                                      .answer_budget = &answers,
                                      .connections_max = connections_max,
                                      .tenant_default = STR("anonymous") };
}

/* -- HTTP/1.1 ----------------------------------------------------------------------------------------- */

static uint16_t port;

/* Reads until `n` answers with their bodies are complete, or the end of the stream. */
static void read_answers(struct tcp *t, struct buf *out, unsigned n)
{
    size_t at = 0;
    while (n) {
        struct str rest = str_sub(buf_view(out), at, out->n);
        size_t end = str_find(rest, STR("\r\n\r\n")), len = 0;
        if (end != SIZE_MAX) {
            struct str head = str_sub(rest, 0, end + 2);
            size_t cl = str_find(head, STR("content-length: "));
            if (cl != SIZE_MAX) len = strtoul(head.p + cl + 16, NULL, 10);
            if (rest.n >= end + 4 + len) {
                at += end + 4 + len;
                n--;
                continue;
            }
        }
        char *to = buf_reserve(out, 1 << 16);
        CHECK(to);
        size_t got;
        CHECK(tcp_recv(t, to, 1 << 16, &got) == OK);
        out->n += got;
        if (got == 0) return;
    }
}

static void ask(struct str rq, unsigned n, struct buf *out)
{
    struct tcp *t;
    buf_init(out, 1 << 28, NULL);
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    CHECK(tcp_send(t, rq.p, rq.n) == OK);
    read_answers(t, out, n);
    tcp_close(t);
}

static void expect(struct str rq, const char *status, const char *part)
{
    struct buf out;
    ask(rq, 1, &out);
    bool ok = str_starts(buf_view(&out), str_of(status)) &&
              str_find(buf_view(&out), str_of(part)) != SIZE_MAX;
    if (!ok) fprintf(stderr, "wanted %s and %s, got " STR_FMT "\n", status, part, (int)MIN(out.n, 1000), out.p);
    CHECK(ok);
    buf_deinit(&out);
}

#define HOST "Host: x\r\n"

static void test_simple(void)
{
    expect(STR("GET /hello HTTP/1.1\r\n" HOST "X-Scope-OrgID: t1\r\n\r\n"), "HTTP/1.1 200 OK", "hello t1");
    expect(STR("GET /nope HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 404", "\"status\":404");
    expect(STR("POST /hello HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), "HTTP/1.1 405", "allow: GET");
    expect(STR("GET /hello HTTP/1.1\nHost: x\n\n"), "HTTP/1.1 400", "bare LF");
    expect(STR("POST /echo HTTP/1.1\r\n" HOST "Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx"),
           "HTTP/1.1 415", "br");
    expect(STR("POST /small HTTP/1.1\r\n" HOST "Content-Length: 70000\r\n\r\n"), "HTTP/1.1 413", "70000");
    expect(STR("OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n"),
           "HTTP/1.1 204", "access-control-allow-origin: http://a\r\n");
    expect(STR("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
           "HTTP/1.1 200", "\r\n\r\nabcde");
    expect(STR("GET /hello HTTP/1.0\r\n\r\n"), "HTTP/1.1 200", "connection: close");
}

static void test_pipeline(void)
{
    struct buf rq, out;
    buf_init(&rq, 1 << 20, NULL);
    for (int i = 0; i < 10; i++)
        buf_printf(&rq, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n<%d>", i);
    ask(buf_view(&rq), 10, &out);
    size_t at = 0;
    for (int i = 0; i < 10; i++) {
        char want[8];
        snprintf(want, sizeof want, "<%d>", i);
        size_t hit = str_find(str_sub(buf_view(&out), at, out.n), str_of(want));
        CHECK(hit != SIZE_MAX);
        at += hit;
    }
    buf_deinit(&rq);
    buf_deinit(&out);
}

static void test_compressed(void)
{
    enum { N = 300000 };
    char *text = malloc(N);
    CHECK(text);
    for (int i = 0; i < N; i++)
        text[i] = (char)('a' + i * i % 23);
    uLong bound = compressBound(N) + 64;
    char *packed = malloc(bound);
    CHECK(packed);
    for (int kind = 0; kind < 2; kind++) {
        size_t n;
        if (kind == 0) {
            z_stream z = { .next_in = (Bytef *)text, .avail_in = N, .next_out = (Bytef *)packed, .avail_out = (uInt)bound };
            CHECK(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
            CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
            n = z.total_out;
            deflateEnd(&z);
        } else {
            n = ZSTD_compress(packed, bound, text, N, 3);
        }
        struct buf rq, out;
        buf_init(&rq, 1 << 20, NULL);
        buf_printf(&rq, "POST /echo HTTP/1.1\r\n" HOST "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                   kind ? "zstd" : "gzip", n);
        buf_put(&rq, packed, n);
        ask(buf_view(&rq), 1, &out);
        CHECK(str_starts(buf_view(&out), STR("HTTP/1.1 200")));
        CHECK(out.n > N && memcmp(out.p + out.n - N, text, N) == 0);
        buf_deinit(&rq);
        buf_deinit(&out);
    }
    free(text);
    free(packed);
}

static void test_large_answer(void)
{
    struct buf out;
    ask(STR("GET /size?n=20000000 HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n"), 2, &out);
    CHECK(out.n > 20000000);
    CHECK(str_ends(buf_view(&out), STR("hello anonymous")));
    buf_deinit(&out);
    ask(STR("GET /size?n=5000000 HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\n\r\n"), 1, &out);
    CHECK(out.n < 100000 && str_find(buf_view(&out), STR("content-encoding: gzip")) != SIZE_MAX);
    buf_deinit(&out);
}

static void test_refused_before_reading(void)
{
    budget_charge(&bodies, 200 << 20);
    struct tcp *t;
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    struct str rq = STR("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    CHECK(tcp_send(t, rq.p, rq.n) == OK);
    read_answers(t, &out, 1); /* not a byte of the body was sent */
    CHECK(str_starts(buf_view(&out), STR("HTTP/1.1 429")));
    CHECK(str_find(buf_view(&out), STR("retry-after: ")) != SIZE_MAX);
    budget_release(&bodies, 200 << 20);
    /* The connection lives: the body is read over, the next request is answered. */
    char *body = calloc(1, 1000000);
    CHECK(body);
    CHECK(tcp_send(t, body, 1000000) == OK);
    free(body);
    rq = STR("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    CHECK(tcp_send(t, rq.p, rq.n) == OK);
    buf_clear(&out);
    read_answers(t, &out, 1);
    CHECK(str_starts(buf_view(&out), STR("HTTP/1.1 200")));
    buf_deinit(&out);
    tcp_close(t);
}

static void test_cancel(void)
{
    canceled = 0;
    struct tcp *t;
    struct str rq = STR("GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    CHECK(tcp_send(t, rq.p, rq.n) == OK);
    CHECK(fiber_sleep(50 * NS_PER_MS) == OK);
    tcp_close(t);
    for (int i = 0; i < 100 && !canceled; i++)
        CHECK(fiber_sleep(20 * NS_PER_MS) == OK);
    CHECK(canceled == 1);
}

static void test_connection_cap(void)
{
    struct tcp *t[80];
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    bool refused = false;
    for (unsigned i = 0; i < ARRAY_LEN(t); i++)
        CHECK(tcp_connect("127.0.0.1", port, &t[i]) == OK);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        struct str rq = STR("GET /hello HTTP/1.1\r\n" HOST "\r\n");
        buf_clear(&out);
        char to[1000];
        size_t got = 0;
        if (tcp_send(t[i], rq.p, rq.n) == OK && tcp_recv(t[i], to, sizeof to, &got) == OK)
            refused |= str_starts(str_n(to, got), STR("HTTP/1.1 503"));
        tcp_close(t[i]);
    }
    CHECK(refused);
    buf_deinit(&out);
    CHECK(fiber_sleep(100 * NS_PER_MS) == OK);
}

/* -- gRPC --------------------------------------------------------------------------------------------- */

struct call {
    struct str sending;
    size_t sent;
    struct buf headers, body;
    bool closed;
};

static ssize_t call_read(nghttp2_session *h2, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)h2, (void)id, (void)source;
    struct call *c = user;
    size_t n = MIN(max, c->sending.n - c->sent);
    memcpy(to, c->sending.p + c->sent, n);
    c->sent += n;
    if (c->sent == c->sending.n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}
static int call_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *n, size_t nn,
                       const uint8_t *v, size_t vn, uint8_t flags, void *user)
{
    (void)h2, (void)f, (void)flags;
    buf_printf(&((struct call *)user)->headers, "%.*s: %.*s\n", (int)nn, (const char *)n, (int)vn, (const char *)v);
    return 0;
}
static int call_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    (void)h2, (void)flags, (void)id;
    buf_put(&((struct call *)user)->body, p, n);
    return 0;
}
static int call_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
    (void)h2, (void)id, (void)code;
    ((struct call *)user)->closed = true;
    return 0;
}

/* One unary call on a connection of its own; `message` is sent as it stands, prefix and all. */
static void grpc(struct str message, const char *encoding, const char *timeout, const char *want,
                 const char *want_body)
{
    struct call c = { .sending = message };
    buf_init(&c.headers, 1 << 16, NULL);
    buf_init(&c.body, 1 << 20, NULL);
    nghttp2_session_callbacks *cb;
    nghttp2_session *h2;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, call_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, call_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, call_close);
    nghttp2_session_client_new(&h2, cb, &c);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(h2, 0, NULL, 0);
#define NV(n, v) { (uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), 0 }
    nghttp2_nv nv[] = { NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/t.T/Export"), NV(":authority", "x"),
                        NV("content-type", "application/grpc+proto"), NV("grpc-encoding", encoding),
                        NV("grpc-timeout", timeout), NV("te", "trailers") };
    nghttp2_data_provider d = { { .ptr = NULL }, call_read };
    CHECK(nghttp2_submit_request(h2, NULL, nv, ARRAY_LEN(nv), &d, NULL) > 0);
    struct tcp *t;
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    uint8_t *in = malloc(1 << 16);
    CHECK(in);
    while (!c.closed) {
        const uint8_t *p;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(h2, &p)) > 0)
            CHECK(tcp_send(t, p, (size_t)n) == OK);
        size_t got;
        if (c.closed) break;
        CHECK(tcp_recv(t, in, 1 << 16, &got) == OK);
        CHECK(got > 0);
        CHECK(nghttp2_session_mem_recv(h2, in, got) == (ssize_t)got);
    }
    free(in);
    tcp_close(t);
    nghttp2_session_del(h2);
    bool ok = str_find(buf_view(&c.headers), str_of(want)) != SIZE_MAX;
    ok &= want_body ? str_is(str_sub(buf_view(&c.body), 5, c.body.n), want_body) : c.body.n == 0;
    if (!ok) fprintf(stderr, "wanted %s, got " STR_FMT "\n", want, STR_ARG(buf_view(&c.headers)));
    CHECK(ok);
    buf_deinit(&c.headers);
    buf_deinit(&c.body);
}

static void test_grpc(void)
{
    grpc(STR("\0\0\0\0\3abc"), "identity", "10S", "grpc-status: 0\n", "3");
    grpc(STR("\0\0\0\0\4abcd"), "identity", "10S", "grpc-status: 14\ngrpc-message: four bytes\ngrpc-status-details-bin: ", NULL);
    grpc(STR("\0\0\0\0\5abcde"), "identity", "50m", "grpc-status: 4\n", NULL); /* its deadline */
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    static char text[5000], packed[5000];
    z_stream z = { .next_in = (Bytef *)text, .avail_in = sizeof text, .next_out = (Bytef *)packed, .avail_out = sizeof packed };
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    const uint8_t prefix[5] = { 1, 0, 0, (uint8_t)(z.total_out >> 8), (uint8_t)z.total_out };
    buf_put(&b, prefix, 5);
    buf_put(&b, packed, z.total_out);
    deflateEnd(&z);
    grpc(buf_view(&b), "gzip", "10S", "grpc-status: 0\n", "5000");
    buf_deinit(&b);
}

/* -- stopping ----------------------------------------------------------------------------------------- */

/* Clients that keep their connection open and read nothing more do not hold up a stop: one that has asked and was answered,
 * one that never asked, one of HTTP/2. What was sent to them is there to be read. */
static void test_stop_with_idle_clients(void)
{
    struct http_server_opts o = server_opts(30);
    struct http_listen l = { "127.0.0.1", 0, &router, methods, ARRAY_LEN(methods), NULL };
    struct http_server *s;
    CHECK(http_server_start(&o, &l, 1, &s) == OK);
    struct tcp *t[3];
    for (unsigned i = 0; i < ARRAY_LEN(t); i++)
        CHECK(tcp_connect("127.0.0.1", http_server_port(s, 0), &t[i]) == OK);
    struct str rq = STR("GET /hello HTTP/1.1\r\n" HOST "\r\n"), preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0");
    CHECK(tcp_send(t[0], rq.p, rq.n) == OK);
    CHECK(tcp_send(t[2], preface.p, preface.n) == OK);
    CHECK(fiber_sleep(50 * NS_PER_MS) == OK);
    mono_ns before = rt_now();
    http_server_stop(s, 5000);
    int64_t ms = (rt_now().ns - before.ns) / NS_PER_MS;
    if (ms >= 600) fprintf(stderr, "the stop took %lld ms\n", (long long)ms);
    CHECK(ms < 600);
    char answer[4096];
    size_t got = 0;
    CHECK(tcp_recv(t[0], answer, sizeof answer, &got) == OK);
    CHECK(str_ends(str_n(answer, got), STR("hello anonymous")));
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        do
            CHECK(tcp_recv(t[i], answer, sizeof answer, &got) == OK);
        while (got > 0); /* an end, and no reset */
        tcp_close(t[i]);
    }
}

/* -- running ------------------------------------------------------------------------------------------ */

static err_t test_main(void *arg)
{
    (void)arg;
    struct http_server_opts o = server_opts(30);
    struct http_listen l = { "127.0.0.1", 0, &router, methods, ARRAY_LEN(methods), NULL };
    struct http_server *s, *second;
    CHECK(http_server_start(&o, &l, 1, &s) == OK);
    port = http_server_port(s, 0);
    test_simple();
    test_pipeline();
    test_compressed();
    test_large_answer();
    test_refused_before_reading();
    test_cancel();
    test_grpc();
    test_connection_cap();
    /* An address that cannot be had: an error that names it, and nothing left behind. */
    l = (struct http_listen){ "192.0.2.1", 1, &router, NULL, 0, NULL };
    CHECK(http_server_start(&o, &l, 1, &second) == ERR_IO);
    CHECK(strstr(err_detail(), "192.0.2.1"));
    /* A stop with a handler in flight: it is cancelled after the grace. */
    canceled = 0;
    struct tcp *t;
    struct str rq = STR("GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    CHECK(tcp_send(t, rq.p, rq.n) == OK);
    CHECK(fiber_sleep(50 * NS_PER_MS) == OK);
    http_server_stop(s, 100);
    CHECK(canceled == 1);
    tcp_close(t);
    test_stop_with_idle_clients();
    CHECK(bodies.used == 0);
    CHECK(answers.used == 0);
    return OK;
}

static err_t serve_main(void *arg)
{
    char **argv = arg;
    struct http_server_opts o = server_opts(10000);
    struct http_listen l = { "127.0.0.1", (uint16_t)atoi(argv[3]), &router, methods, ARRAY_LEN(methods), NULL };
    struct http_server *s;
    CHECK(http_server_start(&o, &l, 1, &s) == OK);
    printf("serving on %u with %s\n", http_server_port(s, 0), rt_backend_name());
    fflush(stdout);
    CHECK(fiber_sleep(atoi(argv[4]) * NS_PER_S) == OK);
    http_server_stop(s, 1000);
    return OK;
}

int main(int argc, char **argv)
{
    log_init(LOG_WARN, false);
    if (argc == 5 && strcmp(argv[1], "serve") == 0) {
        struct rt_opts o = { .cores = 1, .backend = strcmp(argv[2], "uring") ? RT_EPOLL : RT_URING };
        return rt_run(&o, serve_main, argv) != OK;
    }
    static const enum rt_backend backends[] = { RT_EPOLL, RT_URING };
    unsigned passed = 0;
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        struct rt_opts o = { .cores = 2, .backend = backends[i] };
        err_t e = rt_run(&o, test_main, NULL);
        if (e != OK) {
            /* A kernel or a container may refuse io_uring. */
            CHECK(backends[i] == RT_URING && e == ERR_UNAVAILABLE);
            printf("backend %u: skipped: %s\n", i, err_detail());
            continue;
        }
        passed++;
    }
    printf("http_plain: passed on %u backends\n", passed);
    return passed == 0;
}
