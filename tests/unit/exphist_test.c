/* Exponential histograms against the sorted values, the bounds of the buckets, and any order of merging. */
#include "base/core/exphist.h"
#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static struct arena mem;
static void setup(void) { arena_init(&mem, NULL); }
static void teardown(void) { arena_deinit(&mem); }
TestSuite(exphist, .init = setup, .fini = teardown);

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

Test(exphist, buckets_are_those_of_native_histograms)
{
    struct prng r;
    prng_init(&r, 7);
    for (int i = 0; i < 200000; i++) {
        double v = exp2((double)(prng_next(&r) % 120000) / 1000 - 60);
        int32_t k = exphist_bucket(v);
        /* The bounds themselves are only known to a last bit. */
        cr_assert(v > exp2(k / 32.0) * (1 - 1e-15) && v <= exp2((k + 1) / 32.0) * (1 + 1e-15), "%.17g in %d", v, k);
    }
    for (int e = -40; e <= 60; e++) {
        cr_assert_eq(exphist_bucket(exp2(e)), e * 32 - 1);
        cr_assert_eq(exphist_bucket(nextafter(exp2(e), INFINITY)), e * 32);
        cr_assert_eq(exphist_bucket(nextafter(exp2(e), 0)), e * 32 - 1);
    }
}

static double value_of(struct prng *r, int shape)
{
    uint64_t x = prng_next(r);
    switch (shape) {
    case 0: return (double)(x % 1000);                              /* zeros too */
    case 1: return exp2((double)(x % 40000) / 1000);                /* nanoseconds to minutes */
    case 2: return 12345678;                                        /* all the same */
    default: return x % 100 ? (double)(x % 5000 + 100000) : 9e12;   /* a far tail */
    }
}

Test(exphist, quantiles_are_within_the_bound)
{
    static const double qs[] = { 0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1 };
    struct prng r;
    prng_init(&r, 1);
    for (int round = 0; round < 60; round++) {
        uint32_t n = (uint32_t)(prng_next(&r) % (round < 20 ? 12 : 5000)) + 1;
        double *v = ARENA_RAW(&mem, double, n);
        struct exphist parts[3] = { 0 }, all = { 0 };
        for (uint32_t i = 0; i < n; i++) {
            v[i] = value_of(&r, round % 4);
            exphist_add(&parts[prng_next(&r) % 3], v[i], 1, &mem);
        }
        for (int p = 0; p < 3; p++)
            exphist_merge(&all, &parts[(p + round) % 3], 1, &mem);
        cr_assert_eq(all.count, n);
        qsort(v, n, sizeof *v, by_value);
        for (size_t i = 0; i < ARRAY_LEN(qs); i++) {
            double want = v[(uint64_t)(qs[i] * (n - 1))], got = exphist_quantile(&all, qs[i]);
            cr_assert(fabs(got - want) <= EXPHIST_ERROR * want, "round %d q %g: %.17g, not %.17g", round, qs[i], got, want);
            if (round % 4 == 2) cr_assert_eq(got, want);
        }
    }
}

Test(exphist, weights_are_repetitions)
{
    struct exphist a = { 0 }, b = { 0 }, twice = { 0 };
    for (uint32_t i = 1; i < 100; i++) {
        exphist_add(&a, i * 1000, 6, &mem);
        for (int k = 0; k < 3; k++)
            exphist_add(&b, i * 1000, 1, &mem);
    }
    exphist_merge(&twice, &b, 2, &mem);
    cr_assert_eq(twice.count, a.count);
    for (double q = 0; q <= 1; q += 0.03)
        cr_assert_eq(exphist_quantile(&a, q), exphist_quantile(&twice, q));
}

Test(exphist, odd_values_are_counted_and_bounded)
{
    struct exphist h = { 0 };
    exphist_add(&h, NAN, 1, &mem);
    exphist_add(&h, -3, 1, &mem);
    exphist_add(&h, 0, 1, &mem);
    cr_assert_eq(h.zeros, 3);
    cr_assert_eq(exphist_quantile(&h, 0.5), 0);
    for (int e = -1074; e < 1024; e += 3)
        exphist_add(&h, ldexp(1, e), 1, &mem);
    for (int e = 1023; e > -1074; e -= 5)
        exphist_add(&h, ldexp(1.5, e), 1, &mem);
    exphist_add(&h, INFINITY, 1, &mem);
    cr_assert_leq(h.n, EXPHIST_BINS_MAX);
    uint64_t sum = h.zeros;
    for (uint32_t i = 0; i < h.n; i++)
        sum += h.bins[i];
    cr_assert_eq(sum, h.count);
    cr_assert(isfinite(exphist_quantile(&h, 0.99)));
    cr_assert(isnan(exphist_quantile(&(struct exphist){ 0 }, 0.5)));
}
