#include "server/api/native.h"

#include "base/core/datetime.h"
#include "base/core/metric.h"

#include <math.h>
#include <stdio.h>

void native_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs)
{
    struct json_out j;
    (void)rq;
    (void)code;
    buf_clear(&rs->body);
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "error");
    json_z(&j, detail && *detail ? detail : status == 404 ? "no such page" : status == 405 ? "no such method here" : "no detail");
    json_obj_end(&j);
    rs->status = status;
    rs->content_type = "application/json";
}

void native_begin(struct native_run *r, struct http_request *rq)
{
    const struct native_ctx *ctx = rq->user;
    *r = (struct native_run){ .q = { .store = ctx->store, .cluster = ctx->cluster, .tenant = rq->tenant } };
    query_begin(&r->q, &r->budget, &r->arena, ctx->budget, ctx->query_bytes_max, ctx->timeout_ns);
}

void native_end(struct native_run *r)
{
    query_end(&r->q);
}

/* -- parameters -------------------------------------------------------------------------------------------------- */
err_t native_params(struct http_request *rq, const char *const *names, uint32_t n)
{
    struct str rest = rq->query, piece, name, second;
    while (str_cut(&rest, '&', &piece)) {
        if (piece.n == 0) continue;
        TRY(url_decode(str_sub(piece, 0, str_chr(piece, '=')), true, rq->arena, &name));
        uint32_t i = 0;
        while (i < n && !str_is(name, names[i]))
            i++;
        if (i == n) return err_set(ERR_INVALID, "unknown parameter: '" STR_FMT "'", (int)MIN(name.n, 80u), name.p);
        if (http_param(rq, names[i], 1, &second)) return err_set(ERR_INVALID, "parameter given twice: '%s'", names[i]);
    }
    return OK;
}

bool native_param(struct http_request *rq, const char *name, struct str *v)
{
    return http_param(rq, name, 0, v) && v->n > 0;
}

/* So that the length of a window, and some minutes more at its ends, fit 64 bits of nanoseconds. */
#define TIME_MAX_S INT64_C(4600000000)

/* Digits of seconds and at most nine of a fraction, exactly: a double has no nanoseconds left. */
static bool decimal_seconds(struct str s, int64_t *ns)
{
    size_t dot = str_chr(s, '.');
    struct str fraction = str_sub(s, dot + 1, s.n);
    int64_t whole, part = 0, unit = NS_PER_S;
    if (!str_to_i64(str_sub(s, 0, dot), &whole)) return false;
    if (whole >= TIME_MAX_S || whole <= -TIME_MAX_S) return false;
    for (size_t i = 0; i < fraction.n; i++) {
        if (fraction.p[i] < '0' || fraction.p[i] > '9') return false;
        unit /= 10; /* 0 past nine digits: they are cut off */
        part += unit * (fraction.p[i] - '0');
    }
    if (dot < s.n && fraction.n == 0) return false;
    *ns = whole * NS_PER_S + (s.p[0] == '-' ? -part : part);
    return true;
}

err_t native_time(const char *name, struct str text, int64_t *ns)
{
    double d;
    if (decimal_seconds(text, ns)) return OK;
    if (str_to_f64(text, &d)) {
        if (fabs(d) < (double)TIME_MAX_S) return *ns = (int64_t)(d * 1e9), OK;
    } else if (!datetime_parse(text, ns)) {
        return err_set(ERR_INVALID, "%s is neither unix seconds nor RFC 3339: '" STR_FMT "'", name, (int)MIN(text.n, 80u), text.p);
    } else if (*ns < TIME_MAX_S * NS_PER_S && *ns > -TIME_MAX_S * NS_PER_S) {
        return OK;
    }
    return err_set(ERR_INVALID, "%s is out of range (years 1825 to 2115): '" STR_FMT "'", name, (int)MIN(text.n, 80u), text.p);
}

err_t native_window(struct http_request *rq, int64_t *start_ns, int64_t *end_ns, bool *given)
{
    struct str start, end;
    bool has_start = native_param(rq, "start", &start), has_end = native_param(rq, "end", &end);
    *given = has_start && has_end;
    if (!has_start && !has_end) return OK;
    if (!*given) return err_set(ERR_INVALID, "start and end go together: %s is missing", has_start ? "end" : "start");
    TRY(native_time("start", start, start_ns));
    TRY(native_time("end", end, end_ns));
    if (*end_ns <= *start_ns) return err_set(ERR_INVALID, "end must be after start");
    return OK;
}

err_t native_count(struct http_request *rq, const char *name, uint32_t def, uint32_t min, uint32_t max, uint32_t *out)
{
    struct str s;
    uint64_t v;
    *out = def;
    if (!native_param(rq, name, &s)) return OK;
    if (!str_to_u64(s, &v) || v < min || v > max)
        return err_set(ERR_INVALID, "%s must be a number from %u to %u: '" STR_FMT "'", name, min, max, (int)MIN(s.n, 80u), s.p);
    *out = (uint32_t)v;
    return OK;
}

/* -- answers -------------------------------------------------------------------------------------------------------- */
void native_json_seconds(struct json_out *j, const char *key, int64_t ns)
{
    char text[40];
    int64_t whole = ns / NS_PER_S, part = ns % NS_PER_S;
    if (part < 0) {
        whole--;
        part += NS_PER_S;
    }
    int n = snprintf(text, sizeof text, "%lld.%09lld", (long long)whole, (long long)part);
    if (whole < 0) n = snprintf(text, sizeof text, "%.9f", (double)ns / 1e9);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.') n--;
    json_keyz(j, key);
    json_raw(j, str_n(text, (size_t)n));
}

void native_json_number(struct json_out *j, double v)
{
    char text[32];
    if (!isfinite(v)) {
        json_null(j);
        return;
    }
    json_raw(j, str_n(text, (size_t)snprintf(text, sizeof text, "%.6g", v)));
}

void native_warn(struct native_warnings *w, struct str text)
{
    if (w->n < NATIVE_WARNINGS_MAX) w->text[w->n++] = text;
}

void native_json_warnings(struct json_out *j, const struct native_warnings *w)
{
    json_keyz(j, "partial");
    json_bool(j, w->n > 0);
    if (!w->n) return;
    metric_add(M_QUERIES_PARTIAL, 1);
    json_keyz(j, "warnings");
    json_arr(j);
    for (uint32_t i = 0; i < w->n; i++)
        json_str(j, w->text[i]);
    json_arr_end(j);
}
