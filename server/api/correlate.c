#include "server/api/correlate.h"

#include "query/logs/compile.h"
#include "server/api/correlate_answer.h"

#include <stdio.h>

enum { NAME_MAX_BYTES = 1024, NEWEST = 10, SLOWEST = 10 };
#define SERVICE_WINDOW_NS (900 * NS_PER_S)
#define SESSION_WINDOW_NS (86400 * NS_PER_S)
#define METRIC_SLACK_NS   (300 * NS_PER_S) /* metrics are exported now and then: what was measured comes later */

struct question { /* one request at work */
    struct native_run run;
    struct correlated c;
    struct expr_builder builder;
    struct corr_found found;
    struct touched touched; /* whose metrics are asked for */
};

/* -- the request ------------------------------------------------------------------------------------------------------ */
static err_t read_id(const char *name, struct str hex, uint8_t *id, size_t n)
{
    char padded[32];
    static const uint8_t zero[16];
    memset(padded, '0', sizeof padded);
    if (hex.n > 2 * n) return err_set(ERR_INVALID, "%s has at most %zu hex digits", name, 2 * n);
    memcpy(padded + 2 * n - hex.n, hex.p, hex.n);
    if (!str_from_hex(str_n(padded, 2 * n), id, n))
        return err_set(ERR_INVALID, "%s is not hex: '" STR_FMT "'", name, STR_ARG(hex));
    if (memcmp(id, zero, n) == 0) return err_set(ERR_INVALID, "%s is zero", name);
    return OK;
}

static err_t read_name(const char *name, struct str v, struct str *out)
{
    if (v.n > NAME_MAX_BYTES) return err_set(ERR_INVALID, "%s has over %d bytes", name, NAME_MAX_BYTES);
    if (!str_utf8_valid(v)) return err_set(ERR_INVALID, "%s is not UTF-8", name);
    *out = v;
    return OK;
}

static err_t read_window(struct http_request *rq, struct anchor *a)
{
    bool given;
    TRY(native_window(rq, &a->window.start_ns, &a->window.end_ns, &given));
    if (given) return OK;
    a->window = (struct corr_window){ INT64_MIN, INT64_MAX };
    if (a->kind == ANCHOR_TRACE) return OK;
    a->window.end_ns = rt_wall().ns;
    a->window.start_ns = a->window.end_ns - (a->kind == ANCHOR_SERVICE ? SERVICE_WINDOW_NS : SESSION_WINDOW_NS);
    return OK;
}

static err_t read_anchor(struct http_request *rq, struct anchor *a)
{
    static const char *const names[] = { "trace_id", "span_id", "service", "session_id", "start", "end" };
    struct str trace, span, service, session;
    *a = (struct anchor){ 0 };
    TRY(native_params(rq, names, ARRAY_LEN(names)));
    bool has_trace = native_param(rq, "trace_id", &trace), has_service = native_param(rq, "service", &service);
    bool has_session = native_param(rq, "session_id", &session);
    a->has_span = native_param(rq, "span_id", &span);
    if (has_trace + has_service + has_session != 1)
        return err_set(ERR_INVALID, "give one of trace_id, service and session_id");
    if (a->has_span && !has_trace) return err_set(ERR_INVALID, "span_id goes with trace_id");
    a->kind = has_trace ? ANCHOR_TRACE : has_service ? ANCHOR_SERVICE : ANCHOR_SESSION;
    if (has_trace) TRY(read_id("trace_id", trace, a->trace_id, 16));
    if (a->has_span) TRY(read_id("span_id", span, a->span_id, 8));
    if (has_service) TRY(read_name("service", service, &a->name));
    if (has_session) TRY(read_name("session_id", session, &a->name));
    return read_window(rq, a);
}

/* -- queries to go on with --------------------------------------------------------------------------------------------- */
/* A string of TraceQL or of the log language: in both a backslash takes the next character literally. */
static struct str quoted(struct str s, struct arena *a)
{
    char *p = ARENA_RAW(a, char, 2 * s.n + 2);
    size_t n = 0;
    p[n++] = '"';
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') p[n++] = '\\';
        p[n++] = s.p[i];
    }
    p[n++] = '"';
    return str_n(p, n);
}

static struct str hex_of(const uint8_t *id, size_t n, struct arena *a)
{
    char *p = ARENA_RAW(a, char, 2 * n);
    str_to_hex(id, n, p);
    return str_n(p, 2 * n);
}

static struct str trace_query(const struct anchor *an, struct arena *a)
{
    struct str name = quoted(an->name, a), trace = hex_of(an->trace_id, 16, a), span = hex_of(an->span_id, 8, a);
    if (an->kind == ANCHOR_SERVICE) return arena_printf(a, "{ resource.service.name = " STR_FMT " }", STR_ARG(name));
    if (an->kind == ANCHOR_SESSION)
        return arena_printf(a, "{ span.session.id = " STR_FMT " || resource.session.id = " STR_FMT " }", STR_ARG(name), STR_ARG(name));
    if (!an->has_span) return arena_printf(a, "{ trace:id = \"" STR_FMT "\" }", STR_ARG(trace));
    return arena_printf(a, "{ trace:id = \"" STR_FMT "\" && span:id = \"" STR_FMT "\" }", STR_ARG(trace), STR_ARG(span));
}

static struct str log_query(const struct anchor *an, const struct corr_found *found, struct arena *a)
{
    struct str name = quoted(an->name, a), trace = hex_of(an->trace_id, 16, a), span = hex_of(an->span_id, 8, a);
    if (an->kind == ANCHOR_SERVICE) return arena_printf(a, "service_name:" STR_FMT, STR_ARG(name));
    if (an->kind == ANCHOR_TRACE && an->has_span)
        return arena_printf(a, "trace_id:" STR_FMT " AND span_id:" STR_FMT, STR_ARG(trace), STR_ARG(span));
    if (an->kind == ANCHOR_TRACE) return arena_printf(a, "trace_id:" STR_FMT, STR_ARG(trace));
    struct buf b;
    buf_init(&b, 64 << 10, a->budget);
    buf_printf(&b, "attributes.session.id:" STR_FMT " OR resource_attributes.session.id:" STR_FMT, STR_ARG(name), STR_ARG(name));
    if (found->n) buf_z(&b, " OR trace_id:IN [");
    for (uint32_t i = 0; i < found->n; i++)
        buf_printf(&b, "%s" STR_FMT, i ? " " : "", STR_ARG(hex_of(found->v[i].id, 16, a)));
    if (found->n) buf_z(&b, "]");
    struct str s = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return s;
}

/* -- traces ---------------------------------------------------------------------------------------------------------------- */
static err_t find_traces(struct question *x)
{
    struct correlated *c = &x->c;
    const struct anchor *an = &c->anchor;
    const struct val name = { .type = COL_STR, .s = an->name };
    bool service = an->kind == ANCHOR_SERVICE;
    struct attr_ref of_resource = { .rel = REL_RESOURCE, .scope = SC_ATTR, .name = service ? STR("service.name") : STR("session.id") };
    struct attr_ref of_span = { .rel = REL_ROWS, .scope = SC_ATTR, .name = STR("session.id") };
    struct expr *filter = expr_cmp(&x->builder, of_resource, CMP_EQ, name);
    if (!service) filter = expr_or2(&x->builder, filter, expr_cmp(&x->builder, of_span, CMP_EQ, name));
    TRY(expr_finish(&x->builder, filter));
    struct corr_find_req rq = { .filter = filter, .builder = &x->builder, .window = an->window,
                                .newest = service ? NEWEST : CORR_TRACES_MAX, .slowest = service ? SLOWEST : 0 };
    TRY(corr_find(&x->run.q, &rq, &x->found));
    c->traces = x->found.total;
    c->trace_errors = x->found.errors;
    if (x->found.more) native_warn(&c->warnings, STR("there are more traces than are counted"));
    if (an->kind == ANCHOR_SESSION && x->found.total > x->found.n)
        native_warn(&c->warnings, arena_printf(&x->run.arena, "only the newest %u traces of the session are followed", x->found.n));
    return OK;
}

static err_t read_traces(struct question *x)
{
    struct correlated *c = &x->c;
    const struct anchor *an = &c->anchor;
    if (an->kind == ANCHOR_TRACE) {
        struct corr_pick *one = ARENA_NEW(&x->run.arena, struct corr_pick);
        memcpy(one->id, an->trace_id, 16);
        one->first_ns = an->window.start_ns;
        one->last_ns = an->window.end_ns;
        x->found.v = one;
        x->found.n = 1;
    } else {
        TRY(find_traces(x));
    }
    const struct corr_traces_req rq = { .n = x->found.n, .v = x->found.v, .span_id = an->has_span ? an->span_id : NULL };
    TRY(corr_traces(&x->run.q, &rq, &c->items));
    uint64_t errors = 0;
    for (uint32_t i = 0; i < c->items.n; i++)
        errors += c->items.v[i].errors > 0;
    if (an->kind == ANCHOR_TRACE) c->traces = c->items.n;
    if (an->kind != ANCHOR_SERVICE && c->items.n == c->traces) c->trace_errors = errors;
    if (c->items.too_large)
        native_warn(&c->warnings, arena_printf(&x->run.arena, "%u traces are too large to be listed", c->items.too_large));
    return OK;
}

/* -- logs -------------------------------------------------------------------------------------------------------------------- */
/* The records are those that the query shows: it is compiled as a search would. */
static err_t read_logs(struct question *x)
{
    struct correlated *c = &x->c;
    const struct anchor *an = &c->anchor;
    const struct lq_opts no_opts = { 0 };
    struct arena *a = &x->run.arena;
    struct index_config config;
    struct lq *q;
    struct expr *kids[3];
    uint32_t n = 1;
    c->log_query = log_query(an, &x->found, a);
    TRY(index_config_parse(mapping_otel_logs(), a, &config));
    const struct log_index ix = { .signal = SIG_LOGS, .id = config.index_id, .mapping = &config.mapping };
    TRY(lq_parse(c->log_query, &no_opts, a, &q));
    TRY(log_compile(&ix, q, &x->builder, &kids[0]));
    if (an->window.start_ns != INT64_MIN)
        kids[n++] = expr_cmp(&x->builder, log_time_ref(&ix), CMP_GE, (struct val){ .type = COL_I64, .i64 = an->window.start_ns });
    if (an->window.end_ns != INT64_MAX)
        kids[n++] = expr_cmp(&x->builder, log_time_ref(&ix), CMP_LT, (struct val){ .type = COL_I64, .i64 = an->window.end_ns });
    struct expr *filter = expr_and(&x->builder, kids, n);
    TRY(expr_finish(&x->builder, filter));
    const struct corr_logs_req rq = { .filter = filter, .builder = &x->builder, .window = an->window,
                                      .newest_first = an->kind == ANCHOR_SERVICE, .by_span = an->kind == ANCHOR_TRACE };
    TRY(corr_logs(&x->run.q, &rq, &c->logs));
    if (c->logs.more_spans) native_warn(&c->warnings, STR("logs are counted for the first 10000 spans that have any"));
    return OK;
}

/* -- metrics and exemplars ------------------------------------------------------------------------------------------------------ */
static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

/* From the first to the last that was found of a trace. */
static void find_extent(struct correlated *c)
{
    c->extent = c->anchor.window;
    if (c->anchor.kind != ANCHOR_TRACE || c->extent.start_ns != INT64_MIN) return;
    int64_t first = c->logs.first_ns, last = c->logs.last_ns;
    for (uint32_t i = 0; i < c->items.n; i++) {
        first = MIN(first, c->items.v[i].start_ns);
        last = MAX(last, plus(c->items.v[i].start_ns, c->items.v[i].duration_ns));
    }
    if (first <= last) c->extent = (struct corr_window){ first, last };
}

/* What was touched by spans, and by logs where there are no spans. A service stands for itself, on all its instances. */
static void find_touched(struct question *x)
{
    struct correlated *c = &x->c;
    if (c->anchor.kind == ANCHOR_SERVICE) {
        touched_merge(&x->touched, &x->found.touched);
        if (!x->touched.jobs.n) touched_merge(&x->touched, &c->logs.touched);
        if (!x->touched.jobs.n) touched_resource(&x->touched, STR(""), c->anchor.name, STR(""));
        names_deinit(&x->touched.instances);
        names_init(&x->touched.instances, TOUCHED_INSTANCES_MAX, &x->run.arena);
    } else {
        touched_merge(&x->touched, &c->items.touched);
        touched_merge(&x->touched, &c->logs.touched);
    }
    if (c->anchor.kind == ANCHOR_SESSION) touched_session(&x->touched, c->anchor.name);
    c->sessions = &x->touched.sessions;
}

static err_t read_exemplars(struct question *x)
{
    struct correlated *c = &x->c;
    const struct anchor *an = &c->anchor;
    struct corr_exemplars_req rq = { .window = an->window, .jobs = &x->touched.jobs, .span_id = an->has_span ? an->span_id : NULL };
    if (an->kind != ANCHOR_SERVICE) {
        rq.ntraces = x->found.n;
        rq.traces = x->found.v;
        if (!rq.ntraces) return OK;
    }
    TRY(corr_exemplars(&x->run.q, &rq, &c->exemplars));
    /* Of a trace that is known by its exemplars alone. */
    for (uint32_t i = 0; !x->touched.jobs.n && i < c->exemplars.n; i++) {
        struct str job = labels_get(&c->exemplars.v[i].labels, STR("job"));
        if (job.n) names_add(&x->touched.jobs, job);
        if (c->extent.start_ns == INT64_MIN)
            c->extent = (struct corr_window){ c->exemplars.v[i].time_ns, c->exemplars.v[i].time_ns };
    }
    return OK;
}

static err_t read_metrics(struct question *x)
{
    struct correlated *c = &x->c;
    const struct corr_metrics_req rq = {
        .touched = &x->touched,
        .window = { plus(c->extent.start_ns, -METRIC_SLACK_NS), plus(c->extent.end_ns, METRIC_SLACK_NS) },
    };
    TRY(corr_metrics(&x->run.q, &rq, &c->metrics));
    if (c->metrics.more) native_warn(&c->warnings, arena_printf(&x->run.arena, "more than %d metrics", CORR_METRICS_MAX));
    if (x->touched.more) native_warn(&c->warnings, STR("more services than are followed to their metrics"));
    return OK;
}

static err_t answer(struct question *x, struct http_response *rs)
{
    x->c.trace_query = trace_query(&x->c.anchor, &x->run.arena);
    TRY(read_traces(x));
    TRY(read_logs(x));
    find_extent(&x->c);
    find_touched(x);
    TRY(read_exemplars(x));
    TRY(read_metrics(x));
    struct str lost = query_lost_text(&x->run.q);
    if (lost.n) native_warn(&x->c.warnings, lost);
    TRY(arena_check(&x->run.arena));
    return correlate_json(&rs->body, &x->c);
}

static err_t correlate(struct http_request *rq, struct http_response *rs)
{
    struct anchor anchor;
    TRY(read_anchor(rq, &anchor));
    struct question *x = ARENA_NEW(rq->arena, struct question);
    native_begin(&x->run, rq);
    struct arena *a = &x->run.arena;
    x->c.anchor = anchor;
    expr_builder_init(&x->builder, a);
    touched_init(&x->touched, a);
    touched_init(&x->found.touched, a);
    touched_init(&x->c.items.touched, a);
    touched_init(&x->c.logs.touched, a);
    err_t e = answer(x, rs);
    touched_deinit(&x->touched);
    touched_deinit(&x->found.touched);
    touched_deinit(&x->c.items.touched);
    touched_deinit(&x->c.logs.touched);
    expr_builder_deinit(&x->builder);
    native_end(&x->run);
    return e;
}

const struct http_route correlate_routes[] = { { HTTP_GET, "/api/correlate", correlate, RT_QUERY } };
const uint32_t correlate_nroutes = ARRAY_LEN(correlate_routes);
