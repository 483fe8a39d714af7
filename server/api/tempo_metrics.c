/* TraceQL metrics over HTTP, GET or a posted form.
 *
 *   q (or query)      the query
 *   start, end        unix seconds (fractions allowed), nanoseconds, or RFC 3339; the end is now without it
 *   since             Go duration; the start is the end less this (1h) without a start
 *   step              seconds or a Go duration; about 240 points without it
 *   exemplars         at most so many; 100 without it, 0 for none; with(exemplars=N) in the query goes first
 *   instant           true: one step from start to end
 *   maxSeries         at most so many series, 1000 without it; more make the answer partial and say so
 *
 * The answer of query_range is tempopb.QueryRangeResponse in JSON: {"series":[{"labels":[{"key","value":{"stringValue"
 * ...}}],"promLabels","samples":[{"timestampMs","value"}],"exemplars":[{"labels","value","timestampMs"}]}],"metrics",
 * "status","message"}; labels of an exemplar are trace:id and span:id. An instant query answers {"labels","value"} a
 * series, and nothing that strict readers do not know. */
#include "base/core/datetime.h"
#include "query/traceql/lex.h"
#include "query/traceql/metrics.h"
#include "server/api/tempo_int.h"
#include "server/api/tempo_trace.h"

#include <math.h>

/* -- parameters -------------------------------------------------------------------------------------------------- */
static err_t span_param(struct http_request *rq, const char *name, int64_t def, int64_t *out)
{
    struct str s;
    double seconds;
    *out = def;
    if (!http_param(rq, name, 0, &s) || !s.n) return OK;
    if (str_to_f64(s, &seconds) && fabs(seconds) < 1e9) {
        *out = (int64_t)llround(seconds * 1e9);
        return OK;
    }
    if (!tql_duration(s, out)) return err_set(ERR_INVALID, "invalid %s: '" STR_FMT "'", name, STR_ARG(s));
    return OK;
}

static err_t time_param(struct http_request *rq, const char *name, int64_t def, int64_t *out)
{
    struct str s;
    *out = def;
    if (!http_param(rq, name, 0, &s) || !s.n || datetime_parse_any(s, out)) return OK;
    return err_set(ERR_INVALID, "invalid %s: '" STR_FMT "'", name, STR_ARG(s));
}

static err_t params(struct http_request *rq, bool one_step, struct metrics_req *mr)
{
    int64_t start, end, since, step;
    TRY(span_param(rq, "since", 3600 * NS_PER_S, &since));
    TRY(time_param(rq, "end", rt_wall().ns, &end));
    TRY(time_param(rq, "start", end - since, &start));
    TRY(tempo_count_param(rq, "maxSeries", METRICS_SERIES_MAX, 0, METRICS_GROUPS_MAX, &mr->series_max));
    TRY(tempo_count_param(rq, "exemplars", METRICS_EXEMPLARS_MAX, 0, METRICS_EXEMPLARS_MAX, &mr->exemplars_max));
    if (mr->series_max == 0) mr->series_max = METRICS_SERIES_MAX;
    if (one_step) {
        mr->exemplars_max = 0;
        return metrics_range_instant(start, end, &mr->range);
    }
    TRY(span_param(rq, "step", metrics_default_step(start, end), &step));
    return metrics_range_of(start, end, step, &mr->range);
}

/* -- the answer ---------------------------------------------------------------------------------------------------- */
static void number(struct json_out *j, double v)
{
    if (isfinite(v)) json_f64(j, v);
    else json_z(j, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

static void labels_json(const struct tattr *labels, uint32_t n, struct arena *a, struct json_out *j)
{
    static const struct tval nil = { .type = TV_STR, .s = { "nil", 3 } };
    json_keyz(j, "labels");
    json_arr(j);
    for (uint32_t i = 0; i < n; i++) {
        json_obj(j);
        json_keyz(j, "key");
        json_str(j, labels[i].key);
        json_keyz(j, "value");
        tempo_any_json(labels[i].v.type == TV_NIL ? &nil : &labels[i].v, a, j);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void exemplars_json(const struct metrics_series *s, struct arena *a, struct json_out *j)
{
    json_keyz(j, "exemplars");
    json_arr(j);
    for (uint32_t i = 0; i < s->nexemplars; i++) {
        const struct metrics_exemplar *e = &s->exemplars[i];
        char hex[48];
        str_to_hex(e->trace_id, 16, hex);
        str_to_hex(e->span_id, 8, hex + 32);
        struct tattr ids[] = { { STR("trace:id"), { .type = TV_STR, .s = { hex, 32 } } },
                               { STR("span:id"), { .type = TV_STR, .s = { hex + 32, 16 } } } };
        json_obj(j);
        labels_json(ids, ARRAY_LEN(ids), a, j);
        json_keyz(j, "value");
        number(j, e->value);
        json_keyz(j, "timestampMs");
        json_i64_str(j, e->start_ns / NS_PER_MS);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void range_json(const struct metrics_series *s, const struct metrics_range *r, struct arena *a, struct json_out *j)
{
    json_keyz(j, "promLabels");
    json_str(j, s->text);
    json_keyz(j, "samples");
    json_arr(j);
    for (uint32_t i = 0; i < r->nsteps; i++) {
        if (isnan(s->values[i])) continue;
        json_obj(j);
        json_keyz(j, "timestampMs");
        json_i64_str(j, metrics_stamp(r, i) / NS_PER_MS);
        json_keyz(j, "value");
        number(j, s->values[i]);
        json_obj_end(j);
    }
    json_arr_end(j);
    if (s->nexemplars) exemplars_json(s, a, j);
}

static void answer_json(const struct metrics_answer *ans, const struct metrics_req *mr, bool instant, struct query *q,
                        struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "series");
    json_arr(j);
    for (uint32_t i = 0; i < ans->n; i++) {
        const struct metrics_series *s = &ans->series[i];
        json_obj(j);
        labels_json(s->labels, s->nlabels, q->arena, j);
        if (instant) {
            json_keyz(j, "value");
            number(j, s->values[0]);
        } else {
            range_json(s, &mr->range, q->arena, j);
        }
        json_obj_end(j);
    }
    json_arr_end(j);
    tempo_read_json(q, 0, j);
    struct str left_out = STR_NONE;
    if (ans->left_out)
        left_out = arena_printf(q->arena, "%u series are left out, beyond the limit of %u; the others are whole and exact",
                                ans->left_out, mr->series_max);
    tempo_partial_json(query_lost_text(q), left_out, j);
    json_obj_end(j);
}

static err_t run(struct http_response *rs, struct tempo_run *r, struct metrics_req *mr, bool one_step, bool instant)
{
    struct metrics_answer ans;
    const struct tql_metrics *q = mr->q;
    if (q->exemplars >= 0 && !one_step) mr->exemplars_max = (uint32_t)MIN(q->exemplars, METRICS_EXEMPLARS_MAX);
    /* compare() bounds its series itself: so many of each attribute. */
    if (q->root->unit && q->root->unit->fn == TM_COMPARE) mr->series_max = METRICS_GROUPS_MAX;
    TRY(trace_metrics(&r->q, mr, &ans));
    struct json_out j;
    json_init(&j, &rs->body);
    answer_json(&ans, mr, instant, &r->q, &j);
    TRY(arena_check(&r->arena));
    return buf_check(&rs->body);
}

static err_t handle(struct http_request *rq, struct http_response *rs, bool one_step, bool instant)
{
    struct metrics_req mr = { 0 };
    struct tql_metrics *q = NULL;
    struct tempo_run r;
    struct str text;
    if ((!http_param(rq, "q", 0, &text) || !text.n) && (!http_param(rq, "query", 0, &text) || !text.n))
        return err_set(ERR_INVALID, "q, a TraceQL metrics query, is missing");
    TRY(params(rq, one_step, &mr));
    tempo_run_begin(&r, rq);
    err_t e = tql_parse_metrics(text, &r.arena, &q);
    if (e == ERR_INVALID) e = err_set(e, "invalid TraceQL query: %s", err_detail());
    mr.q = q;
    if (e == OK) e = run(rs, &r, &mr, one_step, instant);
    if (q) tql_metrics_free(q);
    tempo_run_end(&r);
    return e;
}

err_t tempo_query_range(struct http_request *rq, struct http_response *rs)
{
    struct str instant;
    return handle(rq, rs, http_param(rq, "instant", 0, &instant) && str_is(instant, "true"), false);
}

err_t tempo_query_instant(struct http_request *rq, struct http_response *rs)
{
    return handle(rq, rs, true, true);
}
