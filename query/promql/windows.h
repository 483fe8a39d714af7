/* The windows of a grid over the times of samples, and what follows of them from times alone. Series that are scraped together share their
 * times, so of a call it is found out once for all of them: a window of a rate then costs two reads, a difference and a product.
 *
 * A rate is the increase times a factor (pq_extrapolate) that has nothing of the values, unless a counter's zero crossing lies nearer than the
 * window's start: where first / increase < to_start / sampled. Windows in which that may be so are told by a product, with room for its rounding. */
#ifndef QUERY_PROMQL_WINDOWS_H
#define QUERY_PROMQL_WINDOWS_H

#include "query/promql/blocks.h"

struct pq_windows {
    uint32_t n;
    const uint8_t *have;         /* PQ_CELL_FLOAT where a window has samples enough, else PQ_CELL_NONE */
    const uint32_t *from, *to;   /* window i has samples from[i] to to[i] - 1; of rates its first and its last sample, 0 and 0 without two */
    const double *factor, *near; /* of rates: increase x near >= first where the zero crossing may be near; NULL */
};
/* What pq_extrapolate makes of window i, the same operations in the same order. */
double pq_windows_factor(enum pq_fid f, const int64_t *t, const struct pq_windows *w, const struct pq_edges *e, uint32_t i, double first, double total);

enum {
    PQ_TIMES_MAX = 256,             /* columns of times that a call keeps windows of */
    PQ_TIMES_BYTES_MAX = 16 << 20,  /* and their bytes: what is beyond is found out for each series */
    PQ_TIMES_LIKE_MAX = 4,          /* columns of equal length, begin and end that are compared */
};
struct pq_times { /* of a call: all series have the windows of one grid */
    struct arena mem;
    struct htab index;
    struct pq_times_kept **kept;
    size_t bytes;
    uint32_t n;
};
void pq_times_init(struct pq_times *x, struct budget *budget);
void pq_times_deinit(struct pq_times *x);
/* The windows over s->t: kept ones, or those made now, in scratch where x is NULL or full. */
MUST_CHECK err_t pq_windows_of(struct pq_times *x, enum pq_fid f, const struct pq_samples *s, const struct pq_edges *e, struct arena *scratch,
                               const struct pq_windows **out);

#endif
