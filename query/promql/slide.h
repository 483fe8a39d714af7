/* Range functions over the windows of a grid, where a window shares its samples with those before it: of a series of floats each sample is
 * looked at once or twice, however many windows it lies in.
 *
 *   count, present, absent, first, last, ts_of_first, ts_of_last   the window's ends
 *   rate, increase, delta                                          its ends, and what resets between them lost, as sums are
 *   changes, resets                                                the difference of two prefix counts
 *   min, max                                                       a queue of the samples that no later one beats; where windows are long, of the
 *                                                                  best between any two of their edges
 *   sum, avg                                                       the difference of two prefix sums: of integers, exact; of others in twice
 *                                                                  a double's precision (T. J. Dekker, Numer. Math. 18, 1971); where that could
 *                                                                  be felt, since the sums before the window are 2^40 times as large as it, its
 *                                                                  samples are added up
 *
 * Answers are to the bit those of rate.c and over_time.c, but for sums and averages of windows that overlap and rates over more than
 * 64 resets: they may differ in the last bits (those of here are the more precise). What follows from times alone is found out once for all
 * series that have them (windows.h). */
#ifndef QUERY_PROMQL_SLIDE_H
#define QUERY_PROMQL_SLIDE_H

#include "query/promql/windows.h"

/* Is that so for this function, of these samples (without stale markers), in plain windows (neither anchored nor smoothed)? */
bool pq_slides(enum pq_fid f, const struct pq_samples *s);
/* The values of all windows: have[i] is PQ_CELL_FLOAT or PQ_CELL_NONE, v[i] the value. Memory from c->scratch. */
MUST_CHECK err_t pq_slide(struct pq_range_ctx *c, const struct pq_samples *s, const struct pq_edges *e, uint8_t *have, double *v);

#endif
