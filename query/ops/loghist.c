#include "query/ops/loghist.h"

#include <math.h>
#include <stdlib.h>

enum { MANTISSA_BITS = 6, EXPONENT_MIN = -30, EXPONENT_MAX = 64 };
enum { SHIFT = 52 - MANTISSA_BITS, BASE = (1023 + EXPONENT_MIN) << MANTISSA_BITS };

/* 0 = zero, k > 0 = the k-th bucket of positive values, -k its mirror. */
static int32_t bucket_of(double v)
{
    double m = fabs(v);
    if (!(m >= 0x1p-30)) return 0;
    if (m >= 0x1p64) m = 0x1p64;
    uint64_t bits;
    memcpy(&bits, &m, 8);
    int32_t k = (int32_t)(bits >> SHIFT) - BASE + 1;
    return v < 0 ? -k : k;
}

static double lower_bound(int32_t k)
{
    uint64_t bits = (uint64_t)(k - 1 + BASE) << SHIFT;
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

static double middle(int32_t k)
{
    if (k == 0) return 0;
    double v = (lower_bound(abs(k)) + lower_bound(abs(k) + 1)) / 2;
    return k < 0 ? -v : v;
}

/* Makes room for buckets [from, to]. */
static void cover(struct loghist *h, int32_t from, int32_t to, struct arena *mem)
{
    int32_t last = h->first + (int32_t)h->n - 1;
    if (h->n) {
        from = MIN(from, h->first);
        to = MAX(to, last);
        if (from == h->first && to == last) return;
    }
    uint32_t n = (uint32_t)(to - from + 1);
    if (n > h->cap || from != h->first) {
        uint32_t cap = MAX(64, h->n ? n + n / 2 : n);
        uint32_t *bins = ARENA_ARRAY(mem, uint32_t, cap);
        if (h->n) memcpy(bins + (h->first - from), h->bins, h->n * sizeof *bins);
        h->bins = bins;
        h->cap = cap;
    }
    h->first = from;
    h->n = n;
}

static void count_in(struct loghist *h, double v, struct arena *mem)
{
    int32_t k = bucket_of(v);
    uint32_t i = (uint32_t)(k - h->first);
    if (i >= h->n) {
        cover(h, k, k, mem);
        i = (uint32_t)(k - h->first);
    }
    h->bins[i]++;
}

static void to_bins(struct loghist *h, struct arena *mem)
{
    double *exact = h->exact;
    uint32_t n = h->n;
    h->exact = NULL;
    h->n = h->cap = 0;
    for (uint32_t i = 0; i < n; i++)
        count_in(h, exact[i], mem);
}

void loghist_add(struct loghist *h, double v, struct arena *mem)
{
    if (isnan(v)) return;
    if (h->count == 0 || v < h->min) h->min = v;
    if (h->count == 0 || v > h->max) h->max = v;
    h->count++;
    if (h->bins) {
        count_in(h, v, mem);
        return;
    }
    if (h->n < LOGHIST_EXACT) {
        size_t cap = h->cap;
        h->exact = arena_grow(mem, h->exact, h->n, &cap, (size_t)h->n + 1, sizeof v);
        h->cap = (uint32_t)cap;
        h->exact[h->n++] = v;
        return;
    }
    to_bins(h, mem);
    count_in(h, v, mem);
}

void loghist_merge(struct loghist *into, struct loghist *from, struct arena *mem)
{
    if (from->count == 0) return;
    if (into->count == 0) {
        *into = *from;
        return;
    }
    if (from->bins && !into->bins) { /* the few go into the many */
        struct loghist few = *into;
        *into = *from;
        *from = few;
    }
    for (uint32_t i = 0; !from->bins && i < from->n; i++)
        loghist_add(into, from->exact[i], mem);
    if (!from->bins) return;
    cover(into, from->first, from->first + (int32_t)from->n - 1, mem);
    for (uint32_t i = 0; i < from->n; i++)
        into->bins[(int32_t)i + from->first - into->first] += from->bins[i];
    into->count += from->count;
    into->min = MIN(into->min, from->min);
    into->max = MAX(into->max, from->max);
}

static int by_value(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

double loghist_quantile(const struct loghist *h, double q)
{
    if (h->count == 0) return NAN;
    double r = ceil(q * (double)h->count);
    uint64_t rank = r >= (double)h->count ? h->count : r > 1 ? (uint64_t)r : 1, seen = 0;
    if (rank == 1) return h->min;
    if (rank == h->count) return h->max;
    if (!h->bins) {
        double sorted[LOGHIST_EXACT];
        memcpy(sorted, h->exact, h->n * sizeof *sorted);
        qsort(sorted, h->n, sizeof *sorted, by_value);
        return sorted[rank - 1];
    }
    for (uint32_t i = 0; i < h->n; i++)
        if ((seen += h->bins[i]) >= rank) return MIN(MAX(middle(h->first + (int32_t)i), h->min), h->max);
    return h->max;
}
