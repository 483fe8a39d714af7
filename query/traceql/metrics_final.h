/* What becomes of merged states: series with labels, arithmetic between them, second stages, order and limit. */
#ifndef QUERY_TRACEQL_METRICS_FINAL_H
#define QUERY_TRACEQL_METRICS_FINAL_H

#include "query/traceql/metrics_state.h"

struct series_set {
    uint32_t n;
    size_t cap;
    struct metrics_series *s;
    bool scalar; /* one series without labels, of a number: it meets every other */
};
/* Its values all NaN; labels are borrowed, its text is made of them. */
struct metrics_series *series_add(struct series_set *set, const struct metrics_range *r, struct tattr *labels, uint32_t n,
                                  struct arena *a);
MUST_CHECK err_t series_of_state(struct mstate *st, struct arena *a, struct series_set *out) MAY_YIELD;
/* l op r: series with equal labels meet (but for __name__); a set of one series without labels meets all of the other.
 * Missing samples count as 0; x / 0 is no sample. */
MUST_CHECK err_t series_arithmetic(enum tql_op op, const struct series_set *l, const struct series_set *r,
                                   const struct metrics_range *range, struct arena *a, struct series_set *out) MAY_YIELD;
/* In place. topk and bottomk choose at each step; equal values go by the series' text. */
MUST_CHECK err_t series_second(struct series_set *set, const struct tql_second *second, uint32_t nsteps, struct arena *a) MAY_YIELD;
/* Sorts by text, drops series without samples and then those past `max`. */
void series_finish(struct series_set *set, uint32_t nsteps, uint32_t max, struct metrics_answer *out);

#endif
