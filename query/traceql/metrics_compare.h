/* compare({selection}, topN, start, end): how often every value of every attribute occurs in the spans inside of the
 * selection and in the others, by step. */
#ifndef QUERY_TRACEQL_METRICS_COMPARE_H
#define QUERY_TRACEQL_METRICS_COMPARE_H

#include "query/traceql/metrics_final.h"

/* The fragment of one core (the plan is a struct metrics_plan), and what becomes of all of them. */
extern const struct fragment_kind COMPARE_KIND;
MUST_CHECK err_t compare_series(struct query *q, const struct metrics_plan *p, const struct scatter *sc,
                                struct series_set *out) MAY_YIELD;

#endif
