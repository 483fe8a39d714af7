/* gRPC over HTTP/2, unary calls (grpc.io: "gRPC over HTTP2"): the five-byte message prefix (a compressed flag and a
 * big-endian length), timeouts, status in trailers. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "base/core/varint.h"
#include "base/net/http_conn.h"

enum { PREFIX_BYTES = 5, GRPC_UNIMPLEMENTED = 12, TENANT_MAX_BYTES = 150 };

bool grpc_is(struct str type)
{
    struct str base = STR("application/grpc");
    if (!str_starts(type, base)) return false;
    return type.n == base.n || type.p[base.n] == '+' || type.p[base.n] == ';';
}

/* "100m": at most 8 digits and a unit. */
bool grpc_timeout_parse(struct str s, int64_t *ns)
{
    uint64_t v;
    if (s.n < 2 || s.n > 9 || !str_to_u64(str_sub(s, 0, s.n - 1), &v)) return false;
    int64_t unit;
    switch (s.p[s.n - 1]) {
    case 'H': unit = 3600 * NS_PER_S; break;
    case 'M': unit = 60 * NS_PER_S; break;
    case 'S': unit = NS_PER_S; break;
    case 'm': unit = NS_PER_MS; break;
    case 'u': unit = NS_PER_US; break;
    case 'n': unit = 1; break;
    default: return false;
    }
    if (__builtin_mul_overflow((int64_t)v, unit, ns)) *ns = INT64_MAX;
    return true;
}

/* -- status ------------------------------------------------------------------------------------------- */

struct str grpc_message_escape(struct arena *a, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *to = arena_alloc_aligned(a, s.n * 3 + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = hex[c >> 4];
        to[n++] = hex[c & 15];
    }
    return (struct str){ to, n };
}

static uint8_t *put_bytes(uint8_t *to, unsigned field, struct str s)
{
    to += varint_put(to, field << 3 | 2);
    to += varint_put(to, s.n);
    if (s.n) memcpy(to, s.p, s.n);
    return to + s.n;
}

/* google.rpc.Status { code = 1, message = 2, details = 3 { Any: type_url = 1, value = 2 } } with
 * google.rpc.RetryInfo { retry_delay = 1 { Duration: seconds = 1, nanos = 2 } } as its one detail. */
struct str grpc_status_details(struct arena *a, int code, struct str message, uint32_t retry_after_ms)
{
    uint8_t duration[24], info[32], any[128];
    uint8_t *at = duration;
    *at++ = 1 << 3;
    at += varint_put(at, retry_after_ms / 1000);
    *at++ = 2 << 3;
    at += varint_put(at, (uint64_t)(retry_after_ms % 1000) * NS_PER_MS);
    uint8_t *end = put_bytes(info, 1, str_n(duration, (size_t)(at - duration)));
    struct str value = str_n(info, (size_t)(end - info));
    end = put_bytes(any, 1, STR("type.googleapis.com/google.rpc.RetryInfo"));
    end = put_bytes(end, 2, value);
    uint8_t *status = arena_alloc(a, message.n + 192);
    at = status;
    *at++ = 1 << 3;
    at += varint_put(at, (uint64_t)code);
    at = put_bytes(at, 2, message);
    at = put_bytes(at, 3, str_n(any, (size_t)(end - any)));
    size_t n = (size_t)(at - status);
    char *text = arena_alloc_aligned(a, STR_BASE64_MAX(n), 1);
    return str_n(text, str_to_base64(status, n, false, text));
}

void grpc_refuse(struct http_exchange *x, int grpc_status, const char *detail, uint32_t retry_after_ms)
{
    x->refused = true;
    x->grpc_status = grpc_status;
    x->grpc_message = arena_str(&x->arena, str_of(detail));
    x->call.retry_after_ms = retry_after_ms;
    buf_deinit(&x->rs.body);
}

/* -- the call ----------------------------------------------------------------------------------------- */

static bool refuse_err(struct http_exchange *x, err_t e)
{
    grpc_refuse(x, err_grpc_code(e), err_detail(), err_retryable(e) ? 1000 : 0);
    return false;
}

static err_t find_tenant(struct http_exchange *x)
{
    struct str t = http_headers_get(x->rq.headers, x->rq.nheaders, STR("x-scope-orgid"));
    if (t.n == 0) t = x->core->tenant_default;
    if (t.n > TENANT_MAX_BYTES)
        return err_set(ERR_INVALID, "x-scope-orgid is over %d bytes", TENANT_MAX_BYTES);
    if (x->core->tenant_check) TRY(x->core->tenant_check(t));
    x->call.tenant = t;
    return OK;
}

bool grpc_head(struct http_exchange *x, struct str path)
{
    x->grpc = true;
    x->body_max = HTTP_BODY_MAX_BYTES;
    struct http_request *rq = &x->rq;
    const struct http_service *s = x->service;
    for (uint32_t i = 0; i < s->nmethods && !x->method; i++)
        if (str_is(path, s->methods[i].path)) x->method = &s->methods[i];
    if (!x->method) {
        struct str text = arena_printf(&x->arena, "unknown method " STR_FMT, (int)MIN(path.n, 200), path.p);
        grpc_refuse(x, GRPC_UNIMPLEMENTED, text.p, 0);
        return false;
    }
    struct str timeout = http_header(rq, "grpc-timeout");
    int64_t ns = 0;
    if (timeout.n && !grpc_timeout_parse(timeout, &ns))
        return refuse_err(x, err_set(ERR_INVALID, "bad grpc-timeout"));
    if (timeout.n) x->deadline = mono_add(x->core->io->now(), ns);
    if (inflate_kind_of(http_header(rq, "grpc-encoding"), &x->encoding) != OK) {
        grpc_refuse(x, GRPC_UNIMPLEMENTED, err_detail(), 0);
        return false;
    }
    err_t e = find_tenant(x);
    if (e != OK) return refuse_err(x, e);
    x->call.headers = rq->headers;
    x->call.nheaders = rq->nheaders;
    x->call.arena = &x->arena;
    x->call.user = s->user;
    return true;
}

static uint32_t message_size(const struct http_exchange *x)
{
    const uint8_t *p = (const uint8_t *)x->body.p;
    return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

/* The prefix is complete: takes the memory of the message, or refuses it. */
static bool expect_message(struct http_exchange *x)
{
    uint32_t size = message_size(x);
    if (size > x->body_max)
        return refuse_err(x, err_set(ERR_TOO_LARGE, "message of %u bytes is over the limit of %zu", size,
                                     x->body_max));
    err_t e = budget_check(x->core->body_budget);
    if (e == OK) {
        x->body.max = PREFIX_BYTES + size;
        (void)buf_reserve(&x->body, size);
        e = buf_check(&x->body);
    }
    return e == OK || refuse_err(x, e);
}

bool grpc_body(struct http_exchange *x, struct str bytes)
{
    if (x->body.n < PREFIX_BYTES) {
        size_t n = MIN(bytes.n, PREFIX_BYTES - x->body.n);
        x->body.max = HTTP_BODY_MAX_BYTES;
        buf_put(&x->body, bytes.p, n);
        bytes = str_sub(bytes, n, bytes.n);
        if (x->body.n == PREFIX_BYTES && !expect_message(x)) return false;
    }
    if (bytes.n == 0) return true;
    if (bytes.n > x->body.max - x->body.n)
        return refuse_err(x, err_set(ERR_INVALID, "more than one message in a unary call"));
    buf_put(&x->body, bytes.p, bytes.n);
    return true;
}

static err_t decode_message(struct http_exchange *x) MAY_YIELD
{
    if (x->body.n < PREFIX_BYTES) return err_set(ERR_INVALID, "call without a message");
    if (x->body.n - PREFIX_BYTES != message_size(x)) return err_set(ERR_INVALID, "cut message");
    struct str sent = str_n(x->body.p + PREFIX_BYTES, x->body.n - PREFIX_BYTES);
    x->call.message = sent;
    switch ((uint8_t)x->body.p[0]) {
    case 0: return OK;
    case 1: break;
    default: return err_set(ERR_INVALID, "bad compressed flag");
    }
    if (x->encoding == INFLATE_NONE)
        return err_set(ERR_INVALID, "compressed message without grpc-encoding");
    x->plain.max = x->body_max;
    TRY(inflate_body(x->encoding, sent, &x->plain));
    x->call.message = buf_view(&x->plain);
    buf_deinit(&x->body);
    return OK;
}

void grpc_run(struct http_exchange *x)
{
    err_t e = decode_message(x);
    if (e == OK) e = x->method->handler(&x->call, &x->rs.body);
    if (e == OK) e = buf_check(&x->rs.body);
    buf_deinit(&x->body);
    buf_deinit(&x->plain);
    if (e != OK) {
        /* RESOURCE_EXHAUSTED may be sent again only when RetryInfo says so (OTLP). */
        uint32_t after = x->call.retry_after_ms;
        if (after == 0 && err_retryable(e)) after = 1000;
        grpc_refuse(x, err_grpc_code(e), err_detail(), err_retryable(e) ? after : 0);
        return;
    }
    size_t n = x->rs.body.n;
    x->prefix[0] = 0;
    for (int i = 0; i < 4; i++)
        x->prefix[1 + i] = (uint8_t)(n >> (24 - 8 * i));
}
