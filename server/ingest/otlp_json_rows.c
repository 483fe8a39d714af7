/* OTLP/JSON traces and logs -> views. Field names: opentelemetry-proto's, in lowerCamelCase. */
#include "server/ingest/otlp_json.h"

static const char *const span_kinds[] = { "UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER" };
static const char *const status_codes[] = { "UNSET", "OK", "ERROR" };

static err_t event(const struct json_val *v, struct arena *a, struct otlp_event *e)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "timeUnixNano"))
            TRY(oj_u64(c, &e->time_ns));
        else if (oj_is(c, "name"))
            TRY(oj_str(c, &e->name));
        else if (oj_is(c, "attributes"))
            TRY(oj_attrs(c, a, &e->attrs));
        else if (oj_is(c, "droppedAttributesCount"))
            TRY(oj_u32(c, &e->attrs.dropped));
    }
    return OK;
}

static err_t link(const struct json_val *v, struct arena *a, struct otlp_link *l)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "traceId"))
            TRY(oj_id(c, a, &l->trace_id));
        else if (oj_is(c, "spanId"))
            TRY(oj_id(c, a, &l->span_id));
        else if (oj_is(c, "traceState"))
            TRY(oj_str(c, &l->trace_state));
        else if (oj_is(c, "attributes"))
            TRY(oj_attrs(c, a, &l->attrs));
        else if (oj_is(c, "droppedAttributesCount"))
            TRY(oj_u32(c, &l->attrs.dropped));
        else if (oj_is(c, "flags"))
            TRY(oj_u32(c, &l->flags));
    }
    return OK;
}

static err_t events(const struct json_val *v, struct arena *a, struct otlp_span *s)
{
    const struct json_val *c;
    uint32_t n = 0;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    struct otlp_event *e = arena_calloc(a, v->n, sizeof *e);
    JSON_EACH(c, v)
    {
        TRY(event(c, a, &e[n++]));
    }
    s->events = e;
    s->nevents = n;
    return OK;
}

static err_t links(const struct json_val *v, struct arena *a, struct otlp_span *s)
{
    const struct json_val *c;
    uint32_t n = 0;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    struct otlp_link *l = arena_calloc(a, v->n, sizeof *l);
    JSON_EACH(c, v)
    {
        TRY(link(c, a, &l[n++]));
    }
    s->links = l;
    s->nlinks = n;
    return OK;
}

static err_t status(const struct json_val *v, struct otlp_span *s)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "message"))
            TRY(oj_str(c, &s->status_message));
        else if (oj_is(c, "code"))
            TRY(oj_enum(c, "STATUS_CODE_", status_codes, ARRAY_LEN(status_codes), &s->status_code));
    }
    return OK;
}

static err_t span_field(const struct json_val *c, struct arena *a, struct otlp_span *s)
{
    if (oj_is(c, "traceId")) return oj_id(c, a, &s->trace_id);
    if (oj_is(c, "spanId")) return oj_id(c, a, &s->span_id);
    if (oj_is(c, "parentSpanId")) return oj_id(c, a, &s->parent_span_id);
    if (oj_is(c, "traceState")) return oj_str(c, &s->trace_state);
    if (oj_is(c, "name")) return oj_str(c, &s->name);
    if (oj_is(c, "kind")) return oj_enum(c, "SPAN_KIND_", span_kinds, ARRAY_LEN(span_kinds), &s->kind);
    if (oj_is(c, "startTimeUnixNano")) return oj_u64(c, &s->start_ns);
    if (oj_is(c, "endTimeUnixNano")) return oj_u64(c, &s->end_ns);
    if (oj_is(c, "attributes")) return oj_attrs(c, a, &s->attrs);
    if (oj_is(c, "droppedAttributesCount")) return oj_u32(c, &s->attrs.dropped);
    if (oj_is(c, "events")) return events(c, a, s);
    if (oj_is(c, "droppedEventsCount")) return oj_u32(c, &s->dropped_events);
    if (oj_is(c, "links")) return links(c, a, s);
    if (oj_is(c, "droppedLinksCount")) return oj_u32(c, &s->dropped_links);
    if (oj_is(c, "status")) return status(c, s);
    if (oj_is(c, "flags")) return oj_u32(c, &s->flags);
    return OK;
}

static err_t span(const struct otlp_json *j, const struct json_val *v)
{
    struct otlp_span s = { 0 };
    const struct json_val *c;
    JSON_EACH(c, v)
    {
        TRY(span_field(c, j->arena, &s));
    }
    return j->sink->span(j->sink->ctx, &s);
}

/* SEVERITY_NUMBER_INFO2 and the like: TRACE 1-4, DEBUG 5-8, INFO 9-12, WARN 13-16, ERROR 17-20, FATAL 21-24. */
static const char *const severities[] = {
    "UNSPECIFIED", "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4",
    "INFO",        "INFO2", "INFO3",  "INFO4",  "WARN",   "WARN2", "WARN3",  "WARN4",  "ERROR",
    "ERROR2",      "ERROR3", "ERROR4", "FATAL", "FATAL2", "FATAL3", "FATAL4",
};

static err_t log_field(const struct json_val *c, struct arena *a, struct otlp_log *l)
{
    if (oj_is(c, "timeUnixNano")) return oj_u64(c, &l->time_ns);
    if (oj_is(c, "observedTimeUnixNano")) return oj_u64(c, &l->observed_ns);
    if (oj_is(c, "severityNumber"))
        return oj_enum(c, "SEVERITY_NUMBER_", severities, ARRAY_LEN(severities), &l->severity_number);
    if (oj_is(c, "severityText")) return oj_str(c, &l->severity_text);
    if (oj_is(c, "body")) return oj_value(c, a, &l->body);
    if (oj_is(c, "attributes")) return oj_attrs(c, a, &l->attrs);
    if (oj_is(c, "droppedAttributesCount")) return oj_u32(c, &l->attrs.dropped);
    if (oj_is(c, "flags")) return oj_u32(c, &l->flags);
    if (oj_is(c, "traceId")) return oj_id(c, a, &l->trace_id);
    if (oj_is(c, "spanId")) return oj_id(c, a, &l->span_id);
    if (oj_is(c, "eventName")) return oj_str(c, &l->event_name);
    return OK;
}

static err_t log_record(const struct otlp_json *j, const struct json_val *v)
{
    struct otlp_log l = { 0 };
    const struct json_val *c;
    JSON_EACH(c, v)
    {
        TRY(log_field(c, j->arena, &l));
    }
    return j->sink->log(j->sink->ctx, &l);
}

err_t otlp_traces_walk_json(struct str request, struct arena *a, const struct otlp_sink *sink)
{
    static const struct oj_shape shape = { "resourceSpans", "scopeSpans", "spans", span };
    return oj_walk(request, a, sink, &shape);
}

err_t otlp_logs_walk_json(struct str request, struct arena *a, const struct otlp_sink *sink)
{
    static const struct oj_shape shape = { "resourceLogs", "scopeLogs", "logRecords", log_record };
    return oj_walk(request, a, sink, &shape);
}
