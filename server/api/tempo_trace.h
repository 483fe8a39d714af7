/* A whole trace as Tempo answers it: OTLP ResourceSpans in protobuf, or in the JSON of Go's jsonpb (ids in
 * base64, 64-bit integers as strings, enums by name, zero values left out). */
#ifndef SERVER_API_TEMPO_TRACE_H
#define SERVER_API_TEMPO_TRACE_H

#include "base/core/json_out.h"
#include "query/traceql/trace.h"

/* tempopb.Trace: field 1 = ResourceSpans, one a resource and scope. */
MUST_CHECK err_t tempo_trace_proto(const struct tspans *spans, struct arena *a, struct buf *out);
/* The array of ResourceSpans. */
MUST_CHECK err_t tempo_trace_json(const struct tspans *spans, struct arena *a, struct json_out *j);
/* AnyValue of a value, as an object: {"stringValue": ...}. Status and kind as their keywords. */
void tempo_any_json(const struct tval *v, struct arena *a, struct json_out *j);

#endif
