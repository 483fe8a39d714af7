/* Long windows of one series without reading what lies inside of them.
 *
 * A segment knows of a block of samples its first and last, least and greatest value, sum, and what a counter lost by resets
 * (struct metric_block). Of a series only the pieces are read that some window's edge cuts; a window then is the samples at
 * its edges and the blocks between. So rate(x[7d]) at one time reads two blocks at most. That is done where more blocks need not be
 * read than there are windows: else windows slide over the samples (slide.h).
 *
 * Answers are those of the samples: to the bit for everything but sums, whose compensated parts are added in another order,
 * and rates over more than one reset, likewise (some 1e-16 of the value). Who needs single values (quantiles, deviations,
 * changes) reads them, as do series with histograms, start timestamps, or other sources that overlap in time.
 *
 * Downsampled series (storage/downsample.h) are answered from here whatever the range, start timestamps included. Where no edge cuts a
 * summary, as above. A summary that an edge cuts counts in part: its values are taken to be spread evenly over its time and a
 * counter to rise evenly, so that rate and increase run up to the edge and are not extrapolated there; a count may have a fraction. min and max are those of all
 * of it; first and last are the samples that are known: its first or its last. */
#ifndef QUERY_PROMQL_BLOCKS_H
#define QUERY_PROMQL_BLOCKS_H

#include "query/promql/eval.h"

struct pq_edges { /* of n windows (start, end]: a step apart */
    int64_t start_ms, end_ms, step_ms;
    uint32_t n;
};

static inline bool pq_is_rate(enum pq_fid f) { return f == FN_RATE || f == FN_INCREASE || f == FN_DELTA; }

struct pq_span { /* of time; spans ascend and do not overlap */
    int64_t tmin, tmax;
    const struct metric_block *block; /* NULL: samples alone */
    uint32_t lo, hi;                  /* its samples, when they were read */
};
struct pq_long {
    struct pq_samples s; /* of all spans that were read, without stale markers */
    bool coarse;         /* some may be summaries */
    struct pq_span *spans;
    uint32_t n;
};

/* Does this function's value follow from what blocks know, and are the windows long enough that it may pay to ask, or is the series
 * downsampled? */
bool pq_long_pays(const struct pq_range_ctx *c, const struct pq_series *s, int64_t range_ms);
/* *usable false: nothing is gained or not all is known, read the samples. Memory from c->scratch. */
MUST_CHECK err_t pq_long_read(struct pq_range_ctx *c, const struct pq_series *series, const struct pq_edges *edges,
                              struct pq_long *out, bool *usable) MAY_YIELD;
/* The value of the window (start, end], one of those that it was read for; PQ_CELL_NONE when there is none. */
struct pq_cell pq_long_window(const struct pq_range_ctx *c, const struct pq_long *l, int64_t start, int64_t end);

#endif
