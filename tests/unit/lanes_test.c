/* Packed integers in lanes, of all widths and lengths, against one value after another. The processor at hand chooses the code
 * that runs; what it gives must be what plain division and addition give. */
#include "base/core/prng.h"
#include "storage/col_lanes.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { PATCHES_MAX = 24 };

struct trial {
    uint32_t n, at[PATCHES_MAX];
    uint64_t v[LANES_VALUES_MAX], patch[PATCHES_MAX];
    struct lanes_plan plan;
};

static void make(struct trial *t, struct prng *r, unsigned width, bool sum)
{
    for (uint32_t i = 0; i < t->n; i++)
        t->v[i] = width ? prng_next(r) >> (64 - width) : 0;
    t->plan = (struct lanes_plan){ .width = width, .sum = sum, .base = prng_next(r) >> prng_below(r, 64),
                                   .slope = prng_next(r) >> prng_below(r, 64), .patch_at = t->at, .patch = t->patch };
    t->plan.factor = prng_chance(r, 0.4) ? 1 : prng_next(r) >> prng_below(r, 64);
    double chance = prng_chance(r, 0.5) ? 0 : prng_unit(r) / 4;
    for (uint32_t i = 0; i < t->n && t->plan.npatches < PATCHES_MAX; i++) {
        if (!prng_chance(r, chance)) continue;
        t->at[t->plan.npatches] = i;
        t->patch[t->plan.npatches++] = prng_next(r) << width % 64;
    }
}

/* From a copy of exactly the packed size, into arrays of exactly n: a sanitizer sees a byte too many. */
static void check(const struct trial *t, unsigned exponent)
{
    size_t size = lanes_bytes(t->n, t->plan.width);
    uint8_t *packed = malloc(size + 1), *exact = malloc(size ? size : 1);
    int64_t *ints = malloc(t->n * sizeof *ints);
    double *dbls = malloc(t->n * sizeof *dbls);
    packed[size] = 0xa5;
    lanes_pack(t->v, t->n, t->plan.width, t->plan.sum ? LANES_ALONG : LANES_ACROSS, packed);
    cr_assert_eq(packed[size], 0xa5);
    memcpy(exact, packed, size);
    lanes_i64(exact, t->n, &t->plan, ints);
    lanes_f64(exact, t->n, &t->plan, exponent, dbls);
    uint64_t sum = 0;
    for (uint32_t i = 0, k = 0; i < t->n; i++) {
        uint64_t x = t->v[i];
        if (k < t->plan.npatches && t->at[k] == i) x += t->patch[k++];
        sum = t->plan.sum ? sum + x : x;
        int64_t want = (int64_t)(t->plan.base + i * t->plan.slope + sum * t->plan.factor);
        double scaled = (double)want / lanes_pow10[exponent];
        cr_assert_eq(ints[i], want, "width %u, %u values, at %u", t->plan.width, t->n, i);
        cr_assert_eq(memcmp(&dbls[i], &scaled, 8), 0, "width %u, %u values, at %u: %.17g for %.17g", t->plan.width, t->n, i, dbls[i], scaled);
    }
    free(packed);
    free(exact);
    free(ints);
    free(dbls);
}

Test(lanes, all_widths_and_lengths)
{
    static struct trial t;
    struct prng r;
    prng_init(&r, 21);
    for (unsigned width = 0; width <= 64; width++) {
        for (unsigned k = 0; k < 60; k++) {
            t.n = k < 20 ? k + 1 : k < 24 ? LANES_VALUES_MAX - (k - 20) : (uint32_t)prng_below(&r, LANES_VALUES_MAX) + 1;
            make(&t, &r, width, k % 2);
            check(&t, (unsigned)prng_below(&r, LANES_EXPONENT_MAX + 1));
        }
    }
}

/* Decimals are divided exactly as C divides: millions of them, of all lengths. */
Test(lanes, divides_like_the_processor)
{
    static struct trial t = { .n = LANES_VALUES_MAX };
    struct prng r;
    prng_init(&r, 22);
    for (unsigned k = 0; k < 2000; k++) {
        unsigned width = (unsigned)prng_below(&r, 64) + 1;
        make(&t, &r, width, false);
        t.plan.base = t.plan.slope = t.plan.npatches = 0;
        t.plan.factor = 1;
        check(&t, k % (LANES_EXPONENT_MAX + 1));
    }
}

/* The layout is a format: these bytes stay. Values 0..16 in 5 bits, two rows; the last one behind the lanes. */
Test(lanes, golden)
{
    static const uint8_t across[] = { 0x00, 0x85, 0x24, 0xd4, 0x58, 0x84, 0x95, 0x66, 0xdc, 0x79, 0x10 }, along[] = { 0x20, 0x88, 0x41, 0x8a, 0x39, 0x28, 0xa9, 0xc5, 0x9a, 0x7b, 0x10 };
    uint64_t v[17];
    uint8_t out[sizeof across];
    for (uint32_t i = 0; i < 17; i++)
        v[i] = i;
    cr_assert_eq(lanes_bytes(17, 5), sizeof across);
    lanes_pack(v, 17, 5, LANES_ACROSS, out);
    cr_assert_eq(memcmp(out, across, sizeof across), 0);
    lanes_pack(v, 17, 5, LANES_ALONG, out);
    cr_assert_eq(memcmp(out, along, sizeof along), 0);
}
