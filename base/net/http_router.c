/* Routes: patterns of literal and {name} segments, {rest*} at the end. Matching is on the raw path, segment by segment,
 * so that an encoded slash (%2F) inside a segment does not split it; segments are compared decoded. The first segment
 * may be the prefix of an API. */
#include "base/core/assert.h"
#include "base/net/http_conn.h"

/* Takes the piece up to the next '/' from *rest. */
static struct str segment(struct str *rest)
{
    size_t at = str_chr(*rest, '/');
    struct str s = str_sub(*rest, 0, at);
    *rest = str_sub(*rest, at, rest->n);
    return s;
}

static bool literal_eq(struct str pattern, struct str raw, struct http_request *rq)
{
    if (str_eq(pattern, raw)) return true;
    if (str_chr(raw, '%') == raw.n) return false;
    struct arena_mark mark = arena_mark(rq->arena);
    struct str decoded;
    bool same = url_decode(raw, false, rq->arena, &decoded) == OK && str_eq(pattern, decoded);
    arena_rollback(rq->arena, mark);
    return same;
}

static bool take_param(struct str raw, struct http_request *rq)
{
    ASSERT(rq->nparams < ARRAY_LEN(rq->params));
    return url_decode(raw, false, rq->arena, &rq->params[rq->nparams++]) == OK;
}

bool http_pattern_match(const char *pattern, struct str raw, struct http_request *rq)
{
    struct str p = str_of(pattern);
    rq->nparams = 0;
    ASSERT(p.n > 0 && p.p[0] == '/');
    if (raw.n > 1 && raw.p[raw.n - 1] == '/' && p.p[p.n - 1] != '/' && p.p[p.n - 1] != '}') raw.n--;
    while (p.n && raw.n) {
        if (raw.p[0] != '/') return false;
        p = str_sub(p, 1, p.n);
        raw = str_sub(raw, 1, raw.n);
        if (p.n >= 3 && p.p[0] == '{' && str_ends(p, STR("*}")) && str_chr(p, '/') == p.n)
            return take_param(raw, rq);
        struct str want = segment(&p), got = segment(&raw);
        if (want.n >= 2 && want.p[0] == '{') {
            if (got.n == 0 || !take_param(got, rq)) return false;
            /* "/x/{name}" also matches "/x/name/" */
            if (p.n == 0 && str_eq(raw, STR("/"))) return true;
        } else if (!literal_eq(want, got, rq)) {
            return false;
        }
    }
    return p.n == 0 && raw.n == 0;
}

/* Does the path lie under the prefix? *rest is what follows it, from its '/' on. */
static bool under(const char *prefix, struct str raw, struct http_request *rq, struct str *rest)
{
    *rest = raw;
    if (!prefix) return true;
    if (raw.n == 0 || raw.p[0] != '/') return false;
    struct str tail = str_sub(raw, 1, raw.n);
    if (!literal_eq(str_of(prefix + 1), segment(&tail), rq)) return false;
    *rest = tail.n ? tail : STR("/");
    return true;
}

const struct http_route *http_route_find(const struct http_router *r, struct http_request *rq, const struct http_api **api,
                                         unsigned *allow)
{
    unsigned method = rq->method == HTTP_HEAD ? (unsigned)(HTTP_GET | HTTP_HEAD) : (unsigned)rq->method;
    *allow = 0;
    *api = NULL;
    for (uint32_t i = 0; i < r->napis; i++) {
        const struct http_api *a = &r->apis[i];
        struct str path;
        if (!under(a->prefix, rq->raw_path, rq, &path)) continue;
        if (a->prefix && !*api) *api = a;
        for (uint32_t k = 0; k < a->nroutes; k++) {
            const struct http_route *route = &a->routes[k];
            if (!http_pattern_match(route->pattern, path, rq)) continue;
            *allow |= route->methods;
            if (!(route->methods & method)) continue;
            *api = a;
            return route;
        }
    }
    rq->nparams = 0;
    return NULL;
}
