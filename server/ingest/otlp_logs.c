/* ExportLogsServiceRequest -> log record views. Field numbers: opentelemetry-proto logs/v1/logs.proto. */
#include "server/ingest/otlp_wire.h"

enum {
    LOG_KNOWN = WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(5) | WIRE_BIT(6) | WIRE_BIT(7) | WIRE_BIT(8) |
                WIRE_BIT(9) | WIRE_BIT(10) | WIRE_BIT(11) | WIRE_BIT(12)
};

static err_t log_row(const struct wire *w, struct str bytes, struct otlp_scratch *s, const struct otlp_sink *sink)
{
    struct otlp_log rec = { 0 };
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    uint32_t dropped = 0;
    s->nkv = 0;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(1): rec.time_ns = f.v; break;
        case WIRE_VARINT(2): rec.severity_number = (int32_t)f.v; break;
        case WIRE_LEN(3): rec.severity_text = f.bytes; break;
        case WIRE_LEN(5): TRY(otlp_wire_value(&in, f.bytes, &rec.body)); break;
        case WIRE_LEN(6):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            otlp_wire_kv_run(&in, WIRE_LEN(6), s);
            break;
        case WIRE_VARINT(7): dropped = (uint32_t)f.v; break;
        case WIRE_32(8): rec.flags = (uint32_t)f.v; break;
        case WIRE_LEN(9): rec.trace_id = f.bytes; break;
        case WIRE_LEN(10): rec.span_id = f.bytes; break;
        case WIRE_64(11): rec.observed_ns = f.v; break;
        case WIRE_LEN(12): rec.event_name = f.bytes; break;
        default: TRY(wire_other(&in, &f, LOG_KNOWN, "LogRecord"));
        }
    }
    rec.attrs = scratch_attrs(s, 0, s->nkv, dropped);
    return sink->log(sink->ctx, &rec);
}

err_t otlp_logs_walk(struct str request, struct arena *a, const struct otlp_sink *sink)
{
    static const struct otlp_shape shape = { "ExportLogsServiceRequest", "ResourceLogs", "ScopeLogs", log_row };
    return otlp_wire_walk(request, a, sink, &shape);
}
