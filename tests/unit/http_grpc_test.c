/* HTTP/2 and gRPC. */
#include "tests/unit/http_service.h"

#include <nghttp2/nghttp2.h>

TestSuite(http_grpc, .init = setup, .fini = teardown);

Test(http_grpc, grpc_words)
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

Test(http_grpc, grpc_calls)
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

Test(http_grpc, grpc_message_over_the_limit_or_cut)
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

Test(http_grpc, plain_requests_over_http2)
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

Test(http_grpc, streams_that_are_reset_leave_nothing)
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

Test(http_grpc, a_flood_of_resets_ends_the_connection)
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
