/* Candidate traces of a query on one core: every filter is scanned by its columns into traces (by id, with the
 * filters that hit), those whose hits cannot satisfy the spansets are dropped, and the rest are gathered whole, newest
 * first, and handed out one by one. */
#ifndef QUERY_TRACEQL_CANDIDATE_H
#define QUERY_TRACEQL_CANDIDATE_H

#include "query/ops/expr.h"
#include "query/traceql/traceql.h"

enum { TRACE_SPANS_MAX = 1000000 };
/* The rest of a trace is looked for this far outside of the asked window. */
#define TRACE_SLACK_NS (3600 * NS_PER_S)

struct candidate_plan { /* shared by all cores */
    const struct tql_query *q;
    struct expr_builder builder;
    struct expr *filters[TQL_FILTERS_MAX]; /* NULL = every span hits: not scanned */
    bool scan_all; /* no filter narrows: all spans are candidates */
};
/* The arena's memory. candidate_plan_free also after an error. */
MUST_CHECK err_t candidate_plan_make(struct candidate_plan *p, const struct tql_query *q, struct arena *a);
void candidate_plan_free(struct candidate_plan *p);

struct candidate_window {
    int64_t tmin_ns, tmax_ns; /* of the starts of the spans that are asked for */
    /* Spans outside, by at most TRACE_SLACK_NS, may make those inside match: {A} >> {B} with A before the window. Else
     * only hits inside find a trace. */
    bool around;
    bool whole; /* traces come with all attributes, not just those that the query mentions */
};
/* One trace: *enough ends the walk after the current batch. `a` lives until the batch ends. */
typedef err_t candidate_fn(void *ctx, const struct tql_trace *t, struct arena *a, bool *enough);
/* v NULL: the traces of all nodes (whole.h), called on the coordinator. */
MUST_CHECK err_t candidates_each(struct query *q, struct view *v, const struct candidate_plan *p,
                                 const struct candidate_window *w, candidate_fn *fn, void *ctx) MAY_YIELD;

int64_t saturating_add(int64_t a, int64_t b);

#endif
