/* Loops over columns of doubles, four side by side, in the best code for this processor, chosen once at run time (x86: SSE4.2 or AVX2). Each value
 * comes of the operations of its comment in their order, whatever the code: answers are the same to the bit. */
#ifndef QUERY_PROMQL_LANES_H
#define QUERY_PROMQL_LANES_H

#include "base/core/types.h"

/* How many v[i] are less than v[i - 1]; v[-1] is there. */
uint64_t pq_lanes_falls(const double *v, uint32_t n);
/* Has one of them these bits? */
bool pq_lanes_hold(const double *v, uint32_t n, uint64_t bits);
/* Are all integers, none -0 and all sizes less than `most` (2^51 at most)? */
bool pq_lanes_whole(const double *v, uint32_t n, double most);
/* out = rise * factor. In how many is rise > 0 and start <= rise * near? */
uint64_t pq_lanes_scale(const double *start, const double *rise, const double *factor, const double *near, uint32_t n, double *out);
/* sum + c += x, as pq_kahan has it. */
void pq_lanes_kahan(const double *x, uint32_t n, double *sum, double *c);
/* Are sums of a[i] and b[i] far from an overflow (neither is beyond 1e300, nor NaN)? */
bool pq_lanes_tame(const double *a, const double *b, uint32_t n);
/* The least (or greatest) of all that are not NaN; false: all are. Of equals any. */
bool pq_lanes_least(const double *v, uint32_t n, double *out);
bool pq_lanes_greatest(const double *v, uint32_t n, double *out);
/* best = x where x is less (or greater), or best NaN. */
void pq_lanes_min(const double *x, uint32_t n, double *best);
void pq_lanes_max(const double *x, uint32_t n, double *best);

#endif
