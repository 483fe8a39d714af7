/* Connections of HTTP/1: order of answers, persistence, refusals, time limits, back-pressure. */
#include "tests/unit/http_service.h"

TestSuite(http_conn, .init = setup, .fini = teardown);

Test(http_conn, pipelined_answers_keep_their_order)
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

Test(http_conn, pipelined_requests_wait_for_the_handler_before_them)
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

Test(http_conn, a_client_that_goes_away_leaves_nothing)
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

Test(http_conn, connection_persistence)
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

Test(http_conn, head_has_length_but_no_body)
{
    char *out = talk(STR("HEAD /hello HTTP/1.1\r\n" HOST "\r\n"), 100, NULL);
    cr_expect(strstr(out, "content-length: 11\r\n"));
    cr_expect_str_eq(body_of(out), "");
    free(out);
}

Test(http_conn, a_refused_body_is_read_over_and_the_connection_lives)
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

Test(http_conn, overload_is_told_before_the_body_is_read)
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

Test(http_conn, expect_continue)
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

Test(http_conn, time_limits)
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

Test(http_conn, back_pressure)
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
