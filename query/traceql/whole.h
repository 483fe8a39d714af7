/* Traces of all nodes as one, for when the sides of a trace lie on different nodes (query.h, query_apart): what needs whole traces is
 * evaluated here, over spans that every node gave.
 *
 *   1. each core tells the traces that some filter of the query hits, with the filters that did: hits of one trace are joined here
 *      (trace_candidates);
 *   2. of those that may match, newest first, the spans are fetched from all nodes in batches, built into traces, and evaluated, until
 *      there are enough (trace_spans).
 * A span that lies in two streams is in its trace once. It costs an id, 24 bytes or less, of each trace that a filter hits, and the spans
 * of those that may match; memory of the query is their limit. */
#ifndef QUERY_TRACEQL_WHOLE_H
#define QUERY_TRACEQL_WHOLE_H

#include "query/traceql/candidate.h"

struct found_trace { /* by a scan: a candidate */
    uint8_t id[16];
    uint32_t hits;     /* bit a filter */
    bool inside;       /* a hit inside the window */
    int64_t newest_ns; /* start of the newest span that hit */
};
struct found_traces {
    uint32_t n;
    struct found_trace *v;
};
/* All that a scan of one core finds (candidate.c). */
MUST_CHECK err_t candidates_found(struct query *q, struct view *v, const struct candidate_plan *p, const struct candidate_window *w,
                                  struct arena *a, struct found_traces *out) MAY_YIELD;
/* On every node: each partial is a struct found_traces. */
MUST_CHECK err_t whole_candidates(struct query *q, const struct candidate_plan *p, const struct candidate_window *w, struct scatter *out) MAY_YIELD;
/* trace_gather; v NULL: from every node, each span once, in the order of tspan_order. Spans of others live in *far: scatter_free after use,
 * also where nothing was asked of others. Not after an error. */
MUST_CHECK err_t whole_gather(struct query *q, struct view *v, const uint8_t (*ids)[16], uint32_t n, int64_t tmin_ns, int64_t tmax_ns,
                              uint32_t spans_max, const struct gather_need *need, struct arena *a, struct tspans *out, struct scatter *far) MAY_YIELD;

extern const struct fragment_kind TRACE_CANDIDATES_KIND, TRACE_SPANS_KIND;

#endif
