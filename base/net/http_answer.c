/* What an answer looks like on the wire, apart from its framing: compression and headers, CORS included. */
#include "base/core/assert.h"
#include "base/net/http_conn.h"

#include <libdeflate.h>
#include <zlib.h>

enum {
    GZIP_LEVEL = 3,
    GZIP_ONE_SHOT_MAX_BYTES = 1 << 20, /* libdeflate cannot pause: about 5 ms of work */
    GZIP_STEP_BYTES = 256 << 10,
    PREFLIGHT_MAX_AGE_S = 7200,
};

bool http_answer_has_body(const struct http_exchange *x)
{
    return x->rs.status >= 200 && x->rs.status != 204 && x->rs.status != 304;
}

/* -- compression -------------------------------------------------------------------------------------- */

static bool gzip_small(struct http_exchange *x, struct str in, struct buf *out)
{
    struct http_core *core = x->core;
    if (!core->gzip) core->gzip = libdeflate_alloc_compressor(GZIP_LEVEL);
    ASSERT(core->gzip);
    char *to = buf_reserve(out, in.n); /* a result that is no smaller is of no use */
    if (!to) return false;
    size_t n = libdeflate_gzip_compress(core->gzip, in.p, in.n, to, in.n);
    out->n += n;
    return n > 0;
}

static bool gzip_large(struct str in, struct buf *out) MAY_YIELD
{
    z_stream z = { .next_in = (Bytef *)in.p }; /* zlib does not write there */
    int rc = deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    ASSERT(rc == Z_OK);
    size_t left = in.n;
    bool ok = true;
    do {
        uInt fed = (uInt)MIN(left, (size_t)GZIP_STEP_BYTES);
        z.avail_in = fed;
        left -= fed;
        do {
            char *to = buf_reserve(out, GZIP_STEP_BYTES);
            ok = to && out->n < in.n && budget_check(out->budget) == OK;
            if (!ok) break;
            z.next_out = (Bytef *)to;
            z.avail_out = GZIP_STEP_BYTES;
            rc = deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
            out->n += GZIP_STEP_BYTES - z.avail_out;
        } while (z.avail_in > 0 || z.avail_out == 0);
        /* A cancelled exchange has no reader: its answer may stay as it is. */
        if (ok && rt_in_fiber()) ok = rt_checkpoint() == OK;
    } while (ok && rc != Z_STREAM_END);
    (void)deflateEnd(&z);
    return ok;
}

void http_answer_encode(struct http_exchange *x)
{
    struct http_response *rs = &x->rs;
    buf_deinit(&x->body);
    buf_deinit(&x->plain);
    if (!x->accepts_gzip || rs->no_gzip || rs->body.n < HTTP_GZIP_MIN_BYTES || !http_answer_has_body(x))
        return;
    for (uint32_t i = 0; i < rs->nextra; i++)
        if (str_eq(rs->extra[i].name, STR("content-encoding"))) return;
    struct str in = buf_view(&rs->body);
    struct buf out;
    buf_init(&out, HTTP_ANSWER_MAX_BYTES, rs->body.budget);
    bool ok = in.n <= GZIP_ONE_SHOT_MAX_BYTES ? gzip_small(x, in, &out) : gzip_large(in, &out);
    if (!ok || out.n >= in.n || rs->nextra == ARRAY_LEN(rs->extra)) {
        buf_deinit(&out);
        return;
    }
    buf_deinit(&rs->body);
    rs->body = out;
    http_add_header(&x->rq, rs, "content-encoding", STR("gzip"));
}

/* -- headers ------------------------------------------------------------------------------------------ */

static void add(struct http_answer_headers *h, struct str name, struct str value)
{
    ASSERT(h->n < ARRAY_LEN(h->h));
    h->h[h->n++] = (struct http_header){ name, value };
}

static struct str allow_list(struct http_exchange *x)
{
    static const struct {
        enum http_method method;
        const char *name;
    } names[] = {
        { HTTP_GET, "GET, " },       { HTTP_HEAD, "HEAD, " }, { HTTP_POST, "POST, " }, { HTTP_PUT, "PUT, " },
        { HTTP_DELETE, "DELETE, " }, { HTTP_PATCH, "PATCH, " },
    };
    unsigned allow = x->allow | (x->allow & HTTP_GET ? (unsigned)HTTP_HEAD : 0u);
    char *p = arena_alloc_aligned(&x->arena, 64, 1);
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!(allow & names[i].method)) continue;
        size_t len = strlen(names[i].name);
        memcpy(p + n, names[i].name, len);
        n += len;
    }
    memcpy(p + n, "OPTIONS", 7);
    return (struct str){ p, n + 7 };
}

/* Cross-origin access. Any origin may call us; a browser's stored credentials are let through only to ingest routes (
 * sendBeacon, with which pages export telemetry as they close, always sends them), never to
 * routes whose answers are worth stealing. */
static void add_cors(struct http_exchange *x, struct http_answer_headers *h)
{
    struct http_request *rq = &x->rq;
    struct str want = http_header(rq, "access-control-request-method");
    bool preflight = rq->method == HTTP_OPTIONS && want.n > 0;
    const struct http_route *route = x->route;
    struct http_request probe = *rq;
    if (preflight && !route) {
        const struct http_api *api;
        unsigned allow;
        probe.method = http_method_of(want);
        route = probe.method ? http_route_find(x->service->router, &probe, &api, &allow) : NULL;
    }
    bool ingest = route && route->class == RT_INGEST;
    add(h, STR("access-control-allow-origin"), ingest ? x->origin : STR("*"));
    if (ingest) {
        add(h, STR("access-control-allow-credentials"), STR("true"));
        add(h, STR("vary"), STR("Origin"));
    }
    if (!preflight) {
        add(h, STR("access-control-expose-headers"), STR("*"));
        return;
    }
    add(h, STR("access-control-allow-methods"), allow_list(x));
    struct str headers = http_header(rq, "access-control-request-headers");
    if (headers.n) add(h, STR("access-control-allow-headers"), headers);
    add(h, STR("access-control-max-age"), arena_printf(&x->arena, "%d", PREFLIGHT_MAX_AGE_S));
}

void http_answer_headers(struct http_exchange *x, struct http_answer_headers *out)
{
    struct http_response *rs = &x->rs;
    out->n = 0;
    if (http_answer_has_body(x)) {
        struct str type = str_of(rs->content_type ? rs->content_type : "application/json");
        add(out, STR("content-type"), type);
    }
    if (x->origin.n) add_cors(x, out);
    if (x->refused && x->allow && (rs->status == 405 || x->rq.method == HTTP_OPTIONS))
        add(out, STR("allow"), allow_list(x));
    for (uint32_t i = 0; i < rs->nextra; i++)
        add(out, rs->extra[i].name, rs->extra[i].value);
    const struct http_router *r = x->service->router;
    for (uint32_t i = 0; r && i < r->nheaders; i++)
        add(out, r->headers[i].name, r->headers[i].value);
}
