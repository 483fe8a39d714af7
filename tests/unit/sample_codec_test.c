/* Property tests: whatever goes in comes out, to the bit, from a buffer of exactly the encoded size. */
#include "base/core/prng.h"
#include "storage/col_sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static int64_t ints[COL_SAMPLE_MAX], ints_back[COL_SAMPLE_MAX];
static double dbls[COL_SAMPLE_MAX], dbls_back[COL_SAMPLE_MAX];
static uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];

static size_t ints_round_trip(uint32_t n)
{
    size_t size = sample_i64_encode(ints, n, coded);
    cr_assert_leq(size, COL_SAMPLE_BOUND(n));
    uint8_t *exact = malloc(size);
    memcpy(exact, coded, size);
    cr_assert_eq(sample_i64_decode(exact, exact + size, n, ints_back), exact + size);
    cr_assert_eq(memcmp(ints, ints_back, n * 8), 0);
    free(exact);
    return size;
}

static size_t dbls_round_trip(uint32_t n)
{
    size_t size = sample_f64_encode(dbls, n, coded);
    cr_assert_leq(size, COL_SAMPLE_BOUND(n));
    uint8_t *exact = malloc(size);
    memcpy(exact, coded, size);
    cr_assert_eq(sample_f64_decode(exact, exact + size, n, dbls_back), exact + size);
    cr_assert_eq(memcmp(dbls, dbls_back, n * 8), 0);
    free(exact);
    return size;
}

static uint32_t some_n(struct prng *r)
{
    return prng_chance(r, 0.5) ? (uint32_t)prng_below(r, 12) + 1 : (uint32_t)prng_below(r, COL_SAMPLE_MAX) + 1;
}

Test(sample_codec, integers_of_all_classes)
{
    struct prng r;
    prng_init(&r, 11);
    for (int k = 0; k < 6000; k++) {
        uint32_t n = some_n(&r);
        uint64_t at = prng_next(&r) >> prng_below(&r, 64);
        unsigned width = (unsigned)prng_below(&r, 64), kind = (unsigned)prng_below(&r, 6);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t noise = prng_next(&r) >> width;
            if (kind == 0) at = noise;
            if (kind == 1) at += noise;
            if (kind == 2) at += 15000;
            if (kind == 3) at += 15000 + prng_below(&r, 11) - 5;
            if (kind == 4) at = prng_chance(&r, 0.01) ? 0 : at + noise;
            if (kind == 5) at = (noise >> 12) * 4096;
            ints[i] = (int64_t)at;
        }
        ints_round_trip(n);
    }
}

static double special(struct prng *r)
{
    static const uint64_t odd[] = { 0x7ff0000000000002, 0x7ff8000000000001, 0xfff8000000000000, 0x7ff0000000000000,
                                    0xfff0000000000000, 0x8000000000000000, 0, 1, 0x7fefffffffffffff,
                                    0x4340000000000000, 0xc340000000000000, 0x4340000000000001 };
    double v;
    memcpy(&v, &odd[prng_below(r, sizeof odd / sizeof odd[0])], 8);
    return v;
}

static double next_double(struct prng *r, unsigned kind, double before)
{
    uint64_t bits = prng_next(r);
    double v;
    switch (kind) {
    case 0: memcpy(&v, &bits, 8); return v;                          /* any bits */
    case 1: return special(r);
    case 2: return before + (double)prng_below(r, 1000);              /* integer counter */
    case 3: return round(prng_unit(r) * 10000) / 100;                 /* two decimals */
    case 4: return (double)(float)prng_unit(r);                       /* from a float */
    case 5: return prng_unit(r);                                      /* full precision */
    case 6: return (double)(prng_below(r, 1 << 20) * 4096);           /* bytes in pages */
    case 7: return 42.5;
    case 8: return prng_chance(r, 0.05) ? special(r) : round(prng_unit(r) * 1000) / 10;
    case 9: return prng_chance(r, 0.02) ? 0 : before + 0.001 * (double)prng_below(r, 5000);
    case 10: return (double)(int64_t)(bits >> prng_below(r, 64));
    default: return ldexp(prng_unit(r), (int)prng_below(r, 2100) - 1075);
    }
}

Test(sample_codec, doubles_of_all_classes)
{
    struct prng r;
    prng_init(&r, 12);
    for (int k = 0; k < 6000; k++) {
        uint32_t n = some_n(&r);
        unsigned kind = (unsigned)prng_below(&r, 12);
        double at = 0;
        for (uint32_t i = 0; i < n; i++)
            dbls[i] = at = next_double(&r, kind, at);
        dbls_round_trip(n);
    }
}

/* Sizes that the design counts on (bytes for 1,000 values). */
Test(sample_codec, sizes)
{
    struct prng r;
    prng_init(&r, 13);
    for (int i = 0; i < 1000; i++)
        ints[i] = 1700000000000 + i * 15000;
    cr_assert_leq(ints_round_trip(1000), 12);
    for (int i = 0; i < 1000; i++)
        ints[i] += (int64_t)prng_below(&r, 11) - 5;
    cr_assert_leq(ints_round_trip(1000), 650);
    for (int i = 0; i < 1000; i++)
        dbls[i] = 7;
    cr_assert_leq(dbls_round_trip(1000), 9);
    for (int i = 0; i < 1000; i++)
        dbls[i] = i == 500 ? NAN : round(prng_unit(&r) * 10000) / 100;
    cr_assert_leq(dbls_round_trip(1000), 1780);
    double at = 1e9;
    for (int i = 0; i < 1000; i++)
        dbls[i] = at = i == 300 ? 0 : at + (double)prng_below(&r, 100);
    cr_assert_leq(dbls_round_trip(1000), 920);
    for (int i = 0; i < 1000; i++)
        dbls[i] = (double)(prng_below(&r, 256) * 4096 + (1 << 30));
    cr_assert_leq(dbls_round_trip(1000), 1020);
    for (int i = 0; i < 1000; i++)
        dbls[i] = 20 + prng_unit(&r);
    cr_assert_leq(dbls_round_trip(1000), 7000);
}

Test(sample_codec, hostile_bytes)
{
    struct prng r;
    prng_init(&r, 14);
    for (int k = 0; k < 20000; k++) {
        uint32_t n = (uint32_t)prng_below(&r, COL_SAMPLE_MAX) + 1;
        size_t size = prng_below(&r, 200);
        uint8_t *exact = malloc(size ? size : 1);
        for (size_t i = 0; i < size; i++)
            exact[i] = (uint8_t)(prng_next(&r) >> prng_below(&r, 8));
        const uint8_t *p = sample_i64_decode(exact, exact + size, n, ints_back);
        cr_assert(!p || (p > exact && p <= exact + size));
        p = sample_f64_decode(exact, exact + size, n, dbls_back);
        cr_assert(!p || (p > exact && p <= exact + size));
        free(exact);
    }
}
