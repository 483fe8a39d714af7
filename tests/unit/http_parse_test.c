/* Bytes of HTTP/1 into requests: heads, chunks, limits, percent-encoding. */
#include "tests/unit/http_service.h"

TestSuite(http_parse, .init = setup, .fini = teardown);

Test(http_parse, heads_that_are_refused)
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

Test(http_parse, chunks)
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

Test(http_parse, head_limits)
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

Test(http_parse, url_decoding)
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
