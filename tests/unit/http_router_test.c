/* Which route a path takes, and CORS. */
#include "tests/unit/http_service.h"

TestSuite(http_router, .init = setup, .fini = teardown);

Test(http_router, router)
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

Test(http_router, cors)
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

/* -- APIs under prefixes ------------------------------------------------------------------------------ */

static err_t h_who(struct http_request *rq, struct http_response *rs)
{
    buf_printf(&rs->body, "%s %u", (const char *)rq->user, rq->nparams);
    for (uint32_t i = 0; i < rq->nparams; i++)
        buf_printf(&rs->body, " " STR_FMT, STR_ARG(rq->params[i]));
    return OK;
}
static err_t h_broken(struct http_request *rq, struct http_response *rs)
{
    (void)rs;
    return err_set(ERR_INVALID, "%s broke", (const char *)rq->user);
}
static void error_a(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs)
{
    (void)rq, (void)code;
    buf_printf(&rs->body, "a: %d %s", status, detail);
}
static void error_b(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs)
{
    (void)rq, (void)code;
    buf_printf(&rs->body, "b: %d %s", status, detail);
}

static const struct http_route plain_rows[] = { { HTTP_GET, "/", h_who, RT_QUERY }, { HTTP_GET, "/who", h_who, RT_QUERY } };
static const struct http_route a_rows[] = {
    { HTTP_GET, "/who", h_who, RT_QUERY },
    { HTTP_GET, "/who/{name}", h_who, RT_QUERY },
    { HTTP_GET, "/broken", h_broken, RT_QUERY },
    { HTTP_GET, "/all/{rest*}", h_who, RT_QUERY },
};
static const struct http_route b_rows[] = { { HTTP_POST, "/who", h_who, RT_QUERY }, { HTTP_GET, "/{rest*}", h_who, RT_QUERY } };
static const struct http_route last_rows[] = { { HTTP_GET, "/last", h_who, RT_QUERY } };
static const struct http_api apis[] = {
    { plain_rows, ARRAY_LEN(plain_rows), on_error, "plain" },
    { a_rows, ARRAY_LEN(a_rows), error_a, "a", "/a" },
    { b_rows, ARRAY_LEN(b_rows), error_b, "b", "/b" }, /* ends in a row that takes all */
    { last_rows, ARRAY_LEN(last_rows), error_a, "more", "/a" },
    { last_rows, ARRAY_LEN(last_rows), on_error, "last" },
};
static const struct http_header always[] = { { { "x-always", 8 }, { "yes", 3 } } };
static const struct http_router prefixed = { apis, ARRAY_LEN(apis), on_error, true, always, 1 };

static char *get_prefixed(const char *method, const char *target)
{
    static const struct http_service s = { &prefixed, NULL, 0, NULL };
    char rq[256];
    snprintf(rq, sizeof rq, "%s %s HTTP/1.1\r\n" HOST "Origin: http://page\r\n\r\n", method, target);
    return talk_to(&s, str_of(rq), 50, NULL);
}

Test(http_router, prefixes)
{
    static const struct {
        const char *method, *target;
        int status;
        const char *body;
    } rows[] = {
        { "GET", "/", 200, "plain 0" },
        { "GET", "/who", 200, "plain 0" },
        { "GET", "/a/who", 200, "a 0" },
        { "GET", "/a/who/", 200, "a 0" },
        { "GET", "/%61/who", 200, "a 0" },
        { "GET", "/a/who/x%2Fy", 200, "a 1 x/y" },
        { "GET", "/a/all/b/who?q=1", 200, "a 1 b/who" },
        { "GET", "/a/last", 200, "more 0" },
        { "GET", "/b/who", 200, "b 1 who" },
        { "GET", "/b/", 200, "b 1 " },
        { "GET", "/b/a/who", 200, "b 1 a/who" },
        { "GET", "/last", 200, "last 0" },
        /* Errors are in the form of the API whose prefix the path has. */
        { "GET", "/a/broken", 400, "a: 400 a broke" },
        { "GET", "/a/nothing", 404, "a: 404 no such path: /a/nothing" },
        { "GET", "/a", 404, "a: 404 no such path: /a" },
        { "DELETE", "/b/who", 405, "b: 405 method not allowed" },
        { "GET", "/nothing", 404, "404 not_found no such path: /nothing" },
        { "GET", "/ab/who", 404, "404 not_found no such path: /ab/who" },
        { "GET", "/a%2Fwho", 404, "404 not_found no such path: /a/who" },
        { "GET", "//a/who", 404, "404 not_found no such path: //a/who" },
        { "GET", "/x/../a/who", 404, "404 not_found no such path: /x/../a/who" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *out = get_prefixed(rows[i].method, rows[i].target);
        cr_expect_eq(status_of(out), rows[i].status, "%s %s: %s", rows[i].method, rows[i].target, out);
        cr_expect_str_eq(body_of(out), rows[i].body, "%s %s", rows[i].method, rows[i].target);
        cr_expect(strstr(out, "x-always: yes\r\n"), "%s", out);
        free(out);
    }
}
