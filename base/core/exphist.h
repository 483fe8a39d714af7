/* A histogram of magnitudes (durations): counts in buckets of exponential width, 32 to a power of two. These are the
 * buckets of an OTLP exponential histogram of scale 5 and of a Prometheus native histogram of schema 5:
 * bucket k holds the values v with 2^(k/32) < v <= 2^((k+1)/32).
 *
 * Counts are exact and merge by adding, in any order. A quantile is off by at most EXPHIST_ERROR (1.09 %) of the true
 * value at that rank; it is never outside of [min, max], so that equal values read back as they are.
 * Zero, negative values and NaN are counted as zeros. Infinity counts as the largest double.
 *
 * Adding takes about 2 ns: a table look-up on the mantissa, no logarithm. The span of buckets grows with the values, at
 * most EXPHIST_BINS_MAX of them (64 powers of two): beyond, the smallest values fall together into the lowest.
 * All-zero bytes are an empty histogram. The bins live in the caller's arena: no end of life of their own. */
#ifndef BASE_CORE_EXPHIST_H
#define BASE_CORE_EXPHIST_H

#include "base/core/arena.h"

enum { EXPHIST_PER_OCTAVE = 32, EXPHIST_BINS_MAX = 64 * EXPHIST_PER_OCTAVE };
#define EXPHIST_ERROR 0.0109 /* (g - 1) / (g + 1), g = 2^(1/32) */

struct exphist {
    int32_t first;   /* bucket of bins[0] */
    uint32_t n;      /* bins */
    uint64_t *bins;
    uint64_t count, zeros; /* of all values; of those that are no magnitude */
    double min, max; /* 0 while count is 0 */
};

int32_t exphist_bucket(double v); /* v > 0, finite */
void exphist_grow(struct exphist *h, int32_t bucket, struct arena *mem); /* room for one more bucket */

static inline void exphist_add(struct exphist *h, double v, uint64_t weight, struct arena *mem)
{
    if (!(v > 0)) {
        v = 0;
        h->zeros += weight;
    } else {
        if (v > 1.7976931348623157e308) v = 1.7976931348623157e308;
        int32_t k = exphist_bucket(v);
        if ((uint32_t)(k - h->first) >= h->n) exphist_grow(h, k, mem);
        h->bins[k < h->first ? 0 : k - h->first] += weight;
    }
    if (h->count == 0 || v < h->min) h->min = v;
    if (h->count == 0 || v > h->max) h->max = v;
    h->count += weight;
}

/* Adds each count of `from` times `weight`. */
void exphist_merge(struct exphist *into, const struct exphist *from, uint64_t weight, struct arena *mem);
/* The value at rank floor(q * (count - 1)) of the sorted values, q in [0, 1]; NaN when empty. */
double exphist_quantile(const struct exphist *h, double q);

#endif
