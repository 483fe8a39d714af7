#include "base/core/exphist.h"

#include "base/core/assert.h"

#include <math.h>

enum { MANTISSA_BITS = 52, CELL_BITS = 6, GROW_MIN = 16 };

/* Mantissas of 2^(i/32), rounded down, and a bound that none is above. */
static const uint64_t bound[EXPHIST_PER_OCTAVE + 1] = {
    UINT64_C(0x0000000000000), UINT64_C(0x059b0d3158574), UINT64_C(0x0b5586cf9890f), UINT64_C(0x11301d0125b50),
    UINT64_C(0x172b83c7d517a), UINT64_C(0x1d4873168b9aa), UINT64_C(0x2387a6e756238), UINT64_C(0x29e9df51fdee1),
    UINT64_C(0x306fe0a31b715), UINT64_C(0x371a7373aa9ca), UINT64_C(0x3dea64c123422), UINT64_C(0x44e086061892d),
    UINT64_C(0x4bfdad5362a27), UINT64_C(0x5342b569d4f81), UINT64_C(0x5ab07dd485429), UINT64_C(0x6247eb03a5584),
    UINT64_C(0x6a09e667f3bcc), UINT64_C(0x71f75e8ec5f73), UINT64_C(0x7a11473eb0186), UINT64_C(0x82589994cce12),
    UINT64_C(0x8ace5422aa0db), UINT64_C(0x93737b0cdc5e4), UINT64_C(0x9c49182a3f090), UINT64_C(0xa5503b23e255c),
    UINT64_C(0xae89f995ad3ad), UINT64_C(0xb7f76f2fb5e46), UINT64_C(0xc199bdd85529c), UINT64_C(0xcb720dcef9069),
    UINT64_C(0xd5818dcfba487), UINT64_C(0xdfc97337b9b5e), UINT64_C(0xea4afa2a490d9), UINT64_C(0xf50765b6e4540),
    UINT64_MAX,
};
/* By the mantissa's first six bits: how many bounds are below all mantissas that begin so. At most one more lies among
 * them: the narrowest bucket is wider than a 64th. */
static const uint8_t below[1 << CELL_BITS] = {
    0, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 8, 9, 10, 10,
    11, 11, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19,
    19, 20, 20, 21, 21, 22, 22, 22, 23, 23, 24, 24, 25, 25, 26, 26,
    26, 27, 27, 28, 28, 28, 29, 29, 30, 30, 30, 31, 31, 31, 32, 32,
};

int32_t exphist_bucket(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint64_t mantissa = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
    int32_t exponent = (int32_t)(bits >> MANTISSA_BITS) - 1023;
    uint32_t sub = below[mantissa >> (MANTISSA_BITS - CELL_BITS)];
    sub += mantissa > bound[sub];
    return exponent * EXPHIST_PER_OCTAVE + (int32_t)sub - 1;
}

/* Room doubles, most of it on the side of the new bucket, so that a histogram moves its bins few times. Bins that are still empty give way
 * before values fall together. */
void exphist_grow(struct exphist *h, int32_t k, struct arena *mem)
{
    uint32_t lo = 0, hi = h->n;
    while (lo < hi && h->bins[lo] == 0)
        lo++;
    while (hi > lo && h->bins[hi - 1] == 0)
        hi--;
    int32_t first = lo < hi ? MIN(h->first + (int32_t)lo, k) : k, last = lo < hi ? MAX(h->first + (int32_t)hi - 1, k) : k;
    int32_t want = MIN(MAX((int32_t)h->n * 2, GROW_MIN), EXPHIST_BINS_MAX);
    int32_t slack = MAX(want - (last - first + 1), 0);
    first -= k == first ? slack - slack / 4 : slack / 4;
    last = MAX(last, first + want - 1);
    if (last - first >= EXPHIST_BINS_MAX) first = last - EXPHIST_BINS_MAX + 1;
    if (h->n == EXPHIST_BINS_MAX && first == h->first) return; /* a small value: it goes to the lowest bin */
    uint32_t n = (uint32_t)(last - first + 1);
    uint64_t *bins = ARENA_ARRAY(mem, uint64_t, n);
    for (uint32_t i = lo; i < hi; i++)
        bins[MAX(h->first + (int32_t)i - first, 0)] += h->bins[i];
    h->first = first;
    h->n = n;
    h->bins = bins;
}

void exphist_merge(struct exphist *into, const struct exphist *from, uint64_t weight, struct arena *mem)
{
    if (from->count == 0) return;
    for (uint32_t i = 0; i < from->n; i++) {
        int32_t k = from->first + (int32_t)i;
        if (from->bins[i] == 0) continue;
        if ((uint32_t)(k - into->first) >= into->n) exphist_grow(into, k, mem);
        into->bins[k < into->first ? 0 : k - into->first] += from->bins[i] * weight;
    }
    if (into->count == 0 || from->min < into->min) into->min = from->min;
    if (into->count == 0 || from->max > into->max) into->max = from->max;
    into->count += from->count * weight;
    into->zeros += from->zeros * weight;
}

/* The value that is off by the same share at both ends of the bucket. */
static double bucket_value(int32_t k)
{
    double lo = exp2((double)k / EXPHIST_PER_OCTAVE), g = exp2(1.0 / EXPHIST_PER_OCTAVE);
    return lo * (2 * g / (1 + g));
}

double exphist_quantile(const struct exphist *h, double q)
{
    if (h->count == 0) return NAN;
    if (q <= 0) return h->min;
    if (q >= 1) return h->max;
    uint64_t rank = (uint64_t)(q * (double)(h->count - 1)), seen = h->zeros;
    if (rank < seen) return 0;
    for (uint32_t i = 0; i < h->n; i++) {
        seen += h->bins[i];
        if (rank < seen) return MIN(MAX(bucket_value(h->first + (int32_t)i), h->min), h->max);
    }
    return h->max;
}
