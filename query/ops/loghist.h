/* A histogram of logarithmic buckets for quantiles, made to be had by the ten thousand: one a group and step of a
 * TraceQL query. (sketch.h does the same in the buckets that Quickwit's clients expect; it takes a logarithm a value
 * and four times the memory.)
 *
 * Up to LOGHIST_EXACT values are kept as they are, and quantiles are exact. Beyond, values are counted in 64 buckets
 * a power of two: the bucket is the exponent and the first six bits of the mantissa, so it costs a shift, and the
 * middle of it is off by at most 1/128 (0.8 %) of the value. Tempo's own buckets are the powers of two (off by up to
 * 100 %, before its interpolation). The least and the greatest value are exact always. Magnitudes under 2^-30 count
 * as zero, those of 2^64 and more as 2^64; NaN is not counted. Merging is adding: the order does not matter. */
#ifndef QUERY_OPS_LOGHIST_H
#define QUERY_OPS_LOGHIST_H

#include "base/core/arena.h"

enum { LOGHIST_EXACT = 32 };
struct loghist { /* all zero = empty */
    uint64_t count;
    double min, max;   /* meaningless while count is 0 */
    double *exact;     /* while count <= LOGHIST_EXACT */
    uint32_t *bins;    /* then; bins[i] counts bucket first + i */
    int32_t first;
    uint32_t n, cap;   /* of exact or bins */
};
void loghist_add(struct loghist *h, double v, struct arena *mem);
/* Takes the memory of `from` over where that is cheaper: `from` is dead afterwards. */
void loghist_merge(struct loghist *into, struct loghist *from, struct arena *mem);
/* The value at rank ceil(q * count) from 1 (the least for q = 0); NaN when empty. */
double loghist_quantile(const struct loghist *h, double q);

#endif
