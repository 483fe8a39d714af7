/* Mergeable summaries of values: moments, quantiles, distinct counts. */
#ifndef QUERY_OPS_SKETCH_H
#define QUERY_OPS_SKETCH_H

#include "base/core/arena.h"

struct moments {
    uint64_t count;
    double sum, sum_sq, min, max; /* min, max meaningless while count is 0 */
};
void moments_add(struct moments *m, double v);
void moments_merge(struct moments *into, const struct moments *from);

/* Quantiles with a relative error of 1 %: counts in buckets of logarithmic width, the buckets of Datadog's
 * DDSketch (Masson, Rim, Lee 2019): value v > 0 lies in bucket ceil(log_g v), g = 1.01 / 0.99, and reads back
 * as 2 g^k / (1 + g). At most SKETCH_BINS_MAX buckets a sign: beyond, the smallest magnitudes fall
 * together. Values under 1e-9 in magnitude count as zero; NaN is not counted. */
enum { SKETCH_BINS_MAX = 2048 };
struct sketch_side {
    int32_t first;    /* index of bins[0] */
    uint32_t n, cap;
    uint64_t *bins;
    uint64_t count;
};
struct sketch {
    struct sketch_side pos, neg;
    uint64_t zero;
    double min, max;
};
void sketch_add(struct sketch *s, double v, uint64_t weight, struct arena *mem);
void sketch_merge(struct sketch *into, const struct sketch *from, struct arena *mem);
uint64_t sketch_count(const struct sketch *s);
/* q in [0, 1]; NaN when empty. */
double sketch_quantile(const struct sketch *s, double q);

/* Distinct values by their 64-bit hashes: exact up to DISTINCT_EXACT_MAX, then HyperLogLog with 4,096
 * registers (standard error 1.6 %; Flajolet et al. 2007, linear counting for small sets). */
enum { DISTINCT_EXACT_MAX = 8192, DISTINCT_REGS = 4096 };
struct distinct {
    uint64_t *set;   /* open addressing, 0 = empty (a hash of 0 counts as 1) */
    uint32_t n, cap;
    uint8_t *regs;   /* NULL while exact */
};
void distinct_add(struct distinct *d, uint64_t hash, struct arena *mem);
void distinct_merge(struct distinct *into, const struct distinct *from, struct arena *mem);
uint64_t distinct_count(const struct distinct *d);

#endif
