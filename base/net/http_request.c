/* Helpers over a request: headers, percent-encoding, parameters. */
#include "base/net/http_conn.h"

bool http_url_valid(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') continue;
        if (s.n - i < 3 || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0) return false;
        i += 2;
    }
    return true;
}

err_t url_decode(struct str in, bool plus_is_space, struct arena *a, struct str *out)
{
    if (!memchr(in.n ? in.p : "", '%', in.n) && !(plus_is_space && str_chr(in, '+') < in.n)) {
        *out = in;
        return OK;
    }
    if (!http_url_valid(in))
        return err_set(ERR_INVALID, "bad percent-encoding in '" STR_FMT "'", (int)MIN(in.n, 100), in.p);
    char *to = arena_alloc_aligned(a, in.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '%') {
            to[n++] = (char)(hex_value(in.p[i + 1]) << 4 | hex_value(in.p[i + 2]));
            i += 2;
        } else {
            to[n++] = in.p[i] == '+' && plus_is_space ? ' ' : in.p[i];
        }
    }
    to[n] = 0;
    *out = (struct str){ to, n };
    return OK;
}

struct str http_headers_get(const struct http_header *h, uint32_t n, struct str lower_name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(h[i].name, lower_name)) return h[i].value;
    return STR_NONE;
}

struct str http_header(const struct http_request *rq, const char *lower_name)
{
    return http_headers_get(rq->headers, rq->nheaders, str_of(lower_name));
}

/* The i-th value of a name in one list of pairs; *i counts down over several lists. */
static bool param_in(struct http_request *rq, struct str list, struct str name, unsigned *i,
                     struct str *value)
{
    struct str pair;
    while (str_cut(&list, '&', &pair)) {
        size_t eq = str_chr(pair, '=');
        struct str key = str_sub(pair, 0, eq);
        struct arena_mark mark = arena_mark(rq->arena);
        bool hit = url_decode(key, true, rq->arena, &key) == OK && str_eq(key, name);
        arena_rollback(rq->arena, mark);
        if (!hit || (*i)-- > 0) continue;
        struct str raw = eq < pair.n ? str_sub(pair, eq + 1, pair.n) : STR("");
        /* The query string was checked with the head. A body need not be a form at all, whatever its type says
         * (curl says so of everything): what cannot be decoded is no parameter. */
        return url_decode(raw, true, rq->arena, value) == OK;
    }
    return false;
}

bool http_param(struct http_request *rq, const char *name, unsigned i, struct str *value)
{
    *value = STR_NONE;
    if (param_in(rq, rq->query, str_of(name), &i, value)) return true;
    if (rq->method != HTTP_POST && rq->method != HTTP_PUT && rq->method != HTTP_PATCH) return false;
    struct str type = http_header(rq, "content-type");
    if (!str_ieq(str_trim(str_sub(type, 0, str_chr(type, ';'))), STR("application/x-www-form-urlencoded")))
        return false;
    return param_in(rq, rq->body, str_of(name), &i, value);
}

void http_add_header(struct http_request *rq, struct http_response *rs, const char *name, struct str value)
{
    if (rs->nextra == ARRAY_LEN(rs->extra)) return;
    char *v = arena_alloc_aligned(rq->arena, value.n + 1, 1);
    /* A value may carry the client's own bytes: no line of it becomes a header. */
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        v[i] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    struct str lower = arena_str(rq->arena, str_of(name));
    for (size_t i = 0; i < lower.n; i++) {
        char *c = (char *)lower.p + i;
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c | 0x20);
    }
    rs->extra[rs->nextra++] = (struct http_header){ lower, { v, value.n } };
}

bool http_accepts(struct str list, const char *coding)
{
    struct str item;
    bool any = false, named = false, named_ok = false;
    while (str_cut(&list, ',', &item)) {
        size_t semi = str_chr(item, ';');
        struct str name = str_trim(str_sub(item, 0, semi));
        struct str q = str_trim(str_sub(item, semi + (semi < item.n), item.n));
        /* "q=0", "q=0.0", "q=0.000": not acceptable */
        bool zero = q.n >= 3 && (q.p[0] | 0x20) == 'q' && q.p[1] == '=' && q.p[2] == '0';
        for (size_t i = 3; zero && i < q.n; i++)
            if (q.p[i] != '.' && q.p[i] != '0') zero = false;
        if (str_ieq(name, str_of(coding))) {
            named = true;
            named_ok = !zero;
        } else if (str_eq(name, STR("*"))) {
            any = !zero;
        }
    }
    return named ? named_ok : any;
}
