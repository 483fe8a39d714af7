/* GET /api/correlate: from a trace, a span, a service or a browser session to what belongs to it in every signal.
 *
 * One anchor:
 *   trace_id=[&span_id=][&start&end]  the trace; its logs and exemplars, those of the span when one is named; the metrics
 *                                     of the resources that its spans came from (of the span's). All time without a window
 *   service=[&start&end]              traces with a span of the service, its logs, the metrics and exemplars of its jobs;
 *                                     the last 15 minutes without a window
 *   session_id=[&start&end]           traces with a span whose session.id (or its resource's) is that, logs that carry it
 *                                     and logs of these traces (of the newest 100), and so on; the last 24 hours
 *
 * Sessions are up to 50 of those that the spans and records name.
 *
 * {"anchor": {"kind", ...}, "start", "end": seconds, or null when nothing of the trace is stored,
 *  "traces": {"total", "errors", "items": [{"trace_id", "root_service", "root_name", "start": seconds, "duration_ms",
 *             "services", "spans", "errors"}], "query": TraceQL},
 *  "logs": {"total", "errors", "by_severity": {"INFO": n}, "by_span": {span id: n},
 *           "items": [{"timestamp_ns": "text", "severity", "service", "body", "trace_id", "span_id"}], "query": Quickwit's},
 *  "metrics": {"names": [{"name", "type", "unit", "series"}], "query": PromQL},
 *  "exemplars": [{"metric", "labels", "value", "timestamp": seconds, "trace_id", "span_id"}],
 *  "sessions": [ids], "partial": bool[, "warnings": [why]]}
 * Totals count everything; items are the newest 20 exemplars, 20 log records (the first of a trace or session, the last of
 * a service), and of a service the ten newest traces and the ten slowest beside them. Each query shows the whole over
 * the same window. traces.errors: of a service those with an error in one of its own spans; else with an error
 * in any span (of a session with more traces than are listed: in one of the session's spans). */
#ifndef SERVER_API_CORRELATE_H
#define SERVER_API_CORRELATE_H

#include "base/net/http_server.h"

extern const struct http_route correlate_routes[];
extern const uint32_t correlate_nroutes;

#endif
