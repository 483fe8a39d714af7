/* Lists of blocks with their summaries: what is put comes out, and summaries say what the values do. */
#include "base/core/prng.h"
#include "storage/col_sample.h"
#include "storage/seg_block.h"

#include <criterion/criterion.h>
#include <math.h>

static double v[COL_SAMPLE_MAX];
static uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];

/* The block of v[0..n), put into a list and got from it. */
static struct seg_block through_list(uint32_t n)
{
    struct seg_block b = { .n = n, .is = { .n = n, .tmin_ms = 1700000000000, .tmax_ms = 1700000000000 + (n - 1) * 15000 },
                           .data_size = sample_f64_encode(v, n, coded), .times = 77, .times_size = 9 }, got;
    struct seg_blocks at = { .tmax = b.is.tmin_ms };
    struct buf out;
    bool more;
    seg_block_summary(v, n, coded, &b);
    buf_init(&out, 1 << 20, NULL);
    seg_block_put(&at, &b, true, &out);
    at = (struct seg_blocks){ .tmax = b.is.tmin_ms, .data_end = b.data_size, .in = cur_of(buf_view(&out)) };
    cr_assert(seg_block_get(&at, &got, &more) == OK && more, "%s", err_detail());
    cr_assert(got.is.n == n && got.is.tmin_ms == b.is.tmin_ms && got.is.tmax_ms == b.is.tmax_ms && got.is.stale == b.is.stale);
    cr_assert(got.data_size == b.data_size && got.times == 77 && got.times_size == 9 && !got.hist && !got.starts_size);
    cr_assert(got.is.usable == b.is.usable && got.is.resets_known == b.is.resets_known);
    const double put[] = { b.is.first, b.is.last, b.is.min, b.is.max, b.is.sum, b.is.reset_sum },
                 back[] = { got.is.first, got.is.last, got.is.min, got.is.max, got.is.sum, got.is.reset_sum };
    if (b.is.usable) cr_assert_eq(memcmp(put, back, sizeof put), 0);
    cr_assert(seg_block_get(&at, &got, &more) == OK && !more);
    got.is = b.is;
    buf_deinit(&out);
    return got;
}

static void check_against_values(uint32_t n, const struct metric_block *is)
{
    long double sum = 0, resets = 0;
    double min = v[0], max = v[0];
    for (uint32_t i = 0; i < n; i++) {
        sum += (long double)v[i];
        if (v[i] < min) min = v[i];
        if (v[i] > max) max = v[i];
        if (i && v[i] < v[i - 1]) resets += (long double)v[i - 1];
    }
    cr_assert(is->usable);
    cr_assert_eq(memcmp(&is->first, &v[0], 8), 0);
    cr_assert_eq(memcmp(&is->last, &v[n - 1], 8), 0);
    cr_assert_eq(memcmp(&is->min, &min, 8), 0);
    cr_assert_eq(memcmp(&is->max, &max, 8), 0);
    cr_assert_leq(fabs(is->sum - (double)sum), 4e-16 * (double)(fabsl(sum) + fmax(fabs(min), fabs(max))));
    if (is->resets_known) cr_assert_leq(fabs(is->reset_sum - (double)resets), 1e-15 * (double)resets);
}

Test(seg_block, all_classes)
{
    struct prng r;
    prng_init(&r, 5);
    for (unsigned k = 0; k < 3000; k++) {
        uint32_t n = k % 3 ? (uint32_t)prng_below(&r, 300) + 1 : COL_SAMPLE_MAX, class = k % 8;
        double at = (double)prng_below(&r, 1000000);
        for (uint32_t i = 0; i < n; i++) {
            if (class == 0) at += (double)prng_below(&r, 100);
            if (class == 1) at = round(prng_unit(&r) * 10000) / 100 - 20;
            if (class == 2) at = prng_unit(&r) * 1e9;
            if (class == 3) at = prng_chance(&r, 0.01) ? 0 : at + (double)prng_below(&r, 5000) / 1000;
            if (class == 4) at = (double)(prng_next(&r) >> 11) * (prng_chance(&r, 0.5) ? 1 : -1);
            if (class == 5) at = prng_chance(&r, 0.1) ? -0.0 : 0.0;
            if (class == 6) at = (double)(prng_below(&r, 3)) * 1e300;
            v[i] = at;
        }
        struct seg_block b = through_list(n);
        check_against_values(n, &b.is);
        if (class == 0) cr_assert(b.is.resets_known && b.is.reset_sum == 0);
        if (class == 2 && n > 100) cr_assert(!b.is.resets_known);
    }
}

Test(seg_block, odd_values)
{
    const uint64_t stale = STALE_NAN_BITS;
    for (uint32_t i = 0; i < 100; i++)
        v[i] = i;
    memcpy(&v[7], &stale, 8);
    memcpy(&v[50], &stale, 8);
    struct seg_block b = through_list(100);
    cr_assert(!b.is.usable && b.is.stale == 2);
    v[7] = v[50] = 3;
    v[99] = NAN;
    b = through_list(100);
    cr_assert(!b.is.usable && b.is.stale == 0);
    v[99] = -INFINITY;
    b = through_list(100);
    cr_assert(!b.is.usable && b.is.stale == 0);
    for (uint32_t i = 0; i < 100; i++)
        v[i] = 1.7e308; /* finite, the sum is not */
    b = through_list(100);
    cr_assert(!b.is.usable);
}

/* A counter of 240 samples: what its summary takes. */
Test(seg_block, sizes)
{
    struct seg_block b = { .n = 240, .is = { .n = 240, .tmin_ms = 5, .tmax_ms = 3600005 }, .data_size = 200, .times = 100, .times_size = 9 };
    struct seg_blocks at = { .tmax = 5, .times = 100 };
    struct prng r;
    struct buf out;
    prng_init(&r, 6);
    v[0] = 1e6;
    for (uint32_t i = 1; i < 240; i++)
        v[i] = v[i - 1] + (double)prng_below(&r, 100);
    sample_f64_encode(v, 240, coded);
    seg_block_summary(v, 240, coded, &b);
    buf_init(&out, 1 << 20, NULL);
    seg_block_put(&at, &b, true, &out);
    cr_assert_leq(out.n, 24, "%zu", out.n);
    buf_deinit(&out);
}

Test(seg_block, hostile_bytes)
{
    struct prng r;
    uint64_t got = 0;
    prng_init(&r, 7);
    for (unsigned k = 0; k < 200000; k++) {
        uint8_t bytes[64];
        size_t n = prng_below(&r, sizeof bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(prng_next(&r) >> prng_below(&r, 8));
        struct seg_blocks at = { .data_end = prng_below(&r, 100000), .in = cur_of(str_n(bytes, n)) };
        struct seg_block b;
        bool more;
        while (seg_block_get(&at, &b, &more) == OK && more) {
            cr_assert(b.n >= 1 && b.n <= COL_SAMPLE_MAX && b.is.n >= b.n && b.is.tmin_ms <= b.is.tmax_ms);
            cr_assert(b.data + b.data_size + b.starts_size <= at.data_end);
            got++;
        }
    }
    cr_assert_gt(got, 1000);
}
