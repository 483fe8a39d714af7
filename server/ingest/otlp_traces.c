/* ExportTraceServiceRequest -> span views. Field numbers: opentelemetry-proto trace/v1/trace.proto. */
#include "server/ingest/otlp_wire.h"


static err_t event_fields(const struct wire *w, struct str bytes, struct otlp_scratch *s, struct otlp_event *e)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(1): e->time_ns = f.v; break;
        case WIRE_LEN(2): e->name = f.bytes; break;
        case WIRE_LEN(3):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            e->attrs.n++;
            break;
        case WIRE_VARINT(4): e->attrs.dropped = (uint32_t)f.v; break;
        default:
            TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4), "Span.Event"));
        }
    }
    return OK;
}

static err_t link_fields(const struct wire *w, struct str bytes, struct otlp_scratch *s, struct otlp_link *l)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): l->trace_id = f.bytes; break;
        case WIRE_LEN(2): l->span_id = f.bytes; break;
        case WIRE_LEN(3): l->trace_state = f.bytes; break;
        case WIRE_LEN(4):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            l->attrs.n++;
            break;
        case WIRE_VARINT(5): l->attrs.dropped = (uint32_t)f.v; break;
        case WIRE_32(6): l->flags = (uint32_t)f.v; break;
        default:
            TRY(wire_other(&in, &f,
                           WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4) | WIRE_BIT(5) | WIRE_BIT(6),
                           "Span.Link"));
        }
    }
    return OK;
}

static err_t status_fields(const struct wire *w, struct str bytes, struct otlp_span *span)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(2): span->status_message = f.bytes; break;
        case WIRE_VARINT(3): span->status_code = (int32_t)f.v; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(2) | WIRE_BIT(3), "Status"));
        }
    }
    return OK;
}

/* Events and links with their attributes come after those of the span: in a second pass from the first of them on, so
 * that every attribute list is one run of the array whatever the order on the wire. */
static err_t events(struct wire in, struct otlp_scratch *s)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        if (f.tag == WIRE_LEN(11))
            TRY(event_fields(&in, f.bytes, s, SCRATCH_PUSH(s, events, struct otlp_event)));
    }
    return OK;
}

static err_t links(struct wire in, struct otlp_scratch *s)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        if (f.tag == WIRE_LEN(13)) TRY(link_fields(&in, f.bytes, s, SCRATCH_PUSH(s, links, struct otlp_link)));
    }
    return OK;
}

static void point_attrs(struct otlp_scratch *s, struct otlp_span *span, size_t at)
{
    for (size_t i = 0; i < s->nevents; i++) {
        s->events[i].attrs.kv = s->kv + at;
        at += s->events[i].attrs.n;
    }
    for (size_t i = 0; i < s->nlinks; i++) {
        s->links[i].attrs.kv = s->kv + at;
        at += s->links[i].attrs.n;
    }
    span->events = s->events;
    span->nevents = (uint32_t)s->nevents;
    span->links = s->links;
    span->nlinks = (uint32_t)s->nlinks;
}

enum {
    SPAN_KNOWN = WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4) | WIRE_BIT(5) | WIRE_BIT(6) | WIRE_BIT(7) |
                 WIRE_BIT(8) | WIRE_BIT(9) | WIRE_BIT(10) | WIRE_BIT(11) | WIRE_BIT(12) | WIRE_BIT(13) |
                 WIRE_BIT(14) | WIRE_BIT(15) | WIRE_BIT(16)
};

static err_t span_row(const struct wire *w, struct str bytes, struct otlp_scratch *s, const struct otlp_sink *sink)
{
    struct otlp_span span = { 0 };
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    const uint8_t *first_event = NULL, *first_link = NULL;
    uint32_t dropped = 0;
    s->nkv = s->nevents = s->nlinks = 0;
    while (wire_more(&in)) {
        const uint8_t *at = in.p;
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): span.trace_id = f.bytes; break;
        case WIRE_LEN(2): span.span_id = f.bytes; break;
        case WIRE_LEN(3): span.trace_state = f.bytes; break;
        case WIRE_LEN(4): span.parent_span_id = f.bytes; break;
        case WIRE_LEN(5): span.name = f.bytes; break;
        case WIRE_VARINT(6): span.kind = (int32_t)f.v; break;
        case WIRE_64(7): span.start_ns = f.v; break;
        case WIRE_64(8): span.end_ns = f.v; break;
        case WIRE_LEN(9):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            otlp_wire_kv_run(&in, WIRE_LEN(9), s);
            break;
        case WIRE_VARINT(10): dropped = (uint32_t)f.v; break;
        case WIRE_LEN(11):
            if (!first_event) first_event = at;
            break;
        case WIRE_VARINT(12): span.dropped_events = (uint32_t)f.v; break;
        case WIRE_LEN(13):
            if (!first_link) first_link = at;
            break;
        case WIRE_VARINT(14): span.dropped_links = (uint32_t)f.v; break;
        case WIRE_LEN(15): TRY(status_fields(&in, f.bytes, &span)); break;
        case WIRE_32(16): span.flags = (uint32_t)f.v; break;
        default: TRY(wire_other(&in, &f, SPAN_KNOWN, "Span"));
        }
    }
    size_t own = s->nkv;
    if (first_event) TRY(events((struct wire){ first_event, in.end, in.base }, s));
    if (first_link) TRY(links((struct wire){ first_link, in.end, in.base }, s));
    span.attrs = scratch_attrs(s, 0, own, dropped);
    point_attrs(s, &span, own);
    return sink->span(sink->ctx, &span);
}

err_t otlp_traces_walk(struct str request, struct arena *a, const struct otlp_sink *sink)
{
    static const struct otlp_shape shape = { "ExportTraceServiceRequest", "ResourceSpans", "ScopeSpans", span_row };
    return otlp_wire_walk(request, a, sink, &shape);
}
