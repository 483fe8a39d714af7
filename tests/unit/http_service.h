/* A small service over connections in memory, for the tests of HTTP (Criterion): handlers, budgets, and one function that
 * sends bytes and returns what was answered. */
#ifndef TESTS_UNIT_HTTP_SERVICE_H
#define TESTS_UNIT_HTTP_SERVICE_H

#include "base/core/assert.h"
#include "base/core/prng.h"
#include "tests/unit/http_memory.h"

#include <criterion/criterion.h>
#include <libdeflate.h>
#include <stdio.h>

#define HOST "Host: a\r\n"

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
    { HTTP_GET, "/", h_hello, RT_QUERY },
    { HTTP_GET, "/hello", h_hello, RT_QUERY },
    { HTTP_POST, "/v1/echo", h_echo, RT_INGEST },
    { HTTP_POST, "/small", h_echo, RT_INGEST, 1000 },
    { HTTP_GET | HTTP_POST, "/label/{name}/values", h_params, RT_QUERY },
    { HTTP_GET, "/one/{name}", h_params, RT_QUERY },
    { HTTP_GET, "/files/{rest*}", h_params, RT_QUERY },
    { HTTP_GET, "/fail", h_fail, RT_QUERY },
    { HTTP_POST, "/snappy", h_echo, RT_INGEST, .own_encoding = "snappy" },
    { HTTP_POST, "/any", h_echo, RT_INGEST, .own_encoding = "*" },
    { HTTP_GET, "/large", h_large, RT_QUERY },
};
static const struct http_api api = { routes, ARRAY_LEN(routes), on_error };
static const struct http_router router = { .apis = &api, .napis = 1, .on_error = on_error, .cors = true };

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

static err_t no_slash(struct str t)
{
    if (str_chr(t, '/') < t.n) return err_set(ERR_INVALID, "bad tenant");
    return OK;
}

static struct http_core core;

static inline void setup(void)
{
    budget_init(&bodies, "bodies", NULL, 300 << 20, ERR_OVERLOAD);
    budget_init(&answers, "answers", NULL, 300 << 20, ERR_LIMIT);
    struct http_server_opts o = { .body_budget = &bodies,
                                  .answer_budget = &answers,
                                  .tenant_default = STR("anonymous"),
                                  .tenant_check = no_slash };
    mem_defer = mem_refuse = false;
    mem_now_ns = 1;
    http_core_init(&core, &mem_io, &o);
}
static inline void teardown(void)
{
    http_core_deinit(&core);
    cr_expect_eq(bodies.used, 0);
    cr_expect_eq(answers.used, 0);
}

/* Feeds `in` in pieces of `step` bytes to a service and returns all output as a string. */
static inline char *talk_to(const struct http_service *s, struct str in, size_t step, bool *closed)
{
    struct mem_conn m;
    mem_open(&m, &core, s);
    for (size_t i = 0; i < in.n; i += step)
        mem_feed(&m, str_sub(in, i, i + step));
    if (closed) *closed = m.closed;
    buf_byte(&m.out, 0);
    char *out = strdup(m.out.p);
    mem_free(&m);
    return out;
}

static inline char *talk(struct str in, size_t step, bool *closed)
{
    return talk_to(&service, in, step, closed);
}

static inline int status_of(const char *out)
{
    int status = 0;
    (void)sscanf(out, "HTTP/1.1 %d", &status);
    return status;
}

static inline const char *body_of(const char *out)
{
    const char *p = strstr(out, "\r\n\r\n");
    return p ? p + 4 : "";
}

static inline unsigned count(const char *in, const char *what)
{
    unsigned n = 0;
    for (; (in = strstr(in, what)); in++)
        n++;
    return n;
}

static inline struct buf text_of(size_t n)
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

static inline struct buf gzip_of(struct str in)
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

#endif
