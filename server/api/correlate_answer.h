/* One question of /api/correlate with what was found for it, and the JSON of it. */
#ifndef SERVER_API_CORRELATE_ANSWER_H
#define SERVER_API_CORRELATE_ANSWER_H

#include "query/correlate/correlate.h"
#include "server/api/native.h"

enum anchor_kind { ANCHOR_TRACE, ANCHOR_SERVICE, ANCHOR_SESSION };
struct anchor {
    enum anchor_kind kind;
    uint8_t trace_id[16], span_id[8];
    bool has_span;
    struct str name;           /* of the service or the session */
    struct corr_window window; /* open for a trace without one */
};
struct correlated {
    struct anchor anchor;
    struct corr_window extent; /* of what was found, for a trace; else the anchor's window */
    uint64_t traces, trace_errors;
    struct corr_traces items;
    struct corr_logs logs;
    struct corr_metrics metrics;
    struct corr_exemplars exemplars;
    const struct names *sessions;
    struct str trace_query, log_query;
    struct native_warnings warnings;
};
MUST_CHECK err_t correlate_json(struct buf *out, const struct correlated *c) MAY_YIELD;

#endif
