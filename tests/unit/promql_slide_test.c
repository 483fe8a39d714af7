/* Range functions that slide over a grid's windows against the functions of one window: random series with resets, NaN, infinities,
 * values of all sizes, gaps and repeated times of edges; random grids, overlapping, touching and apart. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/core/prng.h"
#include "query/promql/lanes.h"
#include "query/promql/slide.h"

enum { SAMPLES_MAX = 2000, ROUNDS = 100, STEPS_MAX = 700 };
static int64_t times[SAMPLES_MAX];
static double values[SAMPLES_MAX];

static double next_value(struct prng *r, int kind, double before)
{
    switch (kind) {
    case 5: return (double)prng_below(r, 100000) * 4096; /* whole numbers that fall as often as they rise */
    case 0: return prng_below(r, 50) == 0 ? (double)prng_below(r, 5) : before + (double)prng_below(r, 100);
    case 1: return (double)prng_below(r, 20000) / 100 - 100;
    case 2: return prng_below(r, 3) ? before : (prng_below(r, 2) ? 0.0 : -0.0);
    case 3: return prng_below(r, 100) ? (double)prng_below(r, 100) / 7 : 1e200; /* what lies before hides what is in a window */
    default: return prng_below(r, 40) == 0 ? before / 3 : before + (double)prng_below(r, 1000) / 7;
    }
}

static struct pq_samples make_series(struct prng *r)
{
    int kind = (int)prng_below(r, 6);
    bool odd = prng_below(r, 3) == 0;
    int64_t t = (int64_t)prng_below(r, 100000) - 50000;
    uint32_t n = 1 + (uint32_t)prng_below(r, SAMPLES_MAX);
    double v = 0;
    for (uint32_t i = 0; i < n; i++) {
        t += prng_below(r, 2) ? 15000 : 1 + (int64_t)prng_below(r, 30000);
        if (prng_below(r, 200) == 0) t += 3600000;
        v = next_value(r, kind, v);
        times[i] = t;
        values[i] = odd && prng_below(r, 100) == 0 ? (prng_below(r, 3) ? NAN : INFINITY) : v;
    }
    return (struct pq_samples){ .n = n, .t = times, .v = values };
}

/* Sums may differ in their last bits. */
static bool same(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b ? signbit(a) == signbit(b) || a == 0 : fabs(a - b) <= 1e-11 * fmax(fabs(a), fabs(b));
}

static struct pq_cell naive(struct pq_range_ctx *c, const struct pq_samples *s, int64_t start, int64_t end)
{
    struct pq_cell cell = { 0 };
    uint32_t lo = 0, hi;
    while (lo < s->n && s->t[lo] <= start) lo++;
    for (hi = lo; hi < s->n && s->t[hi] <= end;) hi++;
    struct pq_window w = { .t = s->t + lo, .v = s->v + lo, .n = hi - lo, .before = lo, .after = s->n - hi, .start = start, .end = end, .now = end };
    if (w.n) cr_assert_eq(pq_range_function(c->call->call.fn->id)(c, &w, &cell), OK);
    return cell;
}

static struct pq_edges make_edges(struct prng *r, const struct pq_samples *s)
{
    static const int64_t ranges[] = { 1, 15000, 60000, 300000, 3600000, 86400000 }, steps[] = { 1, 7000, 15000, 60000, 300000, 5000000 };
    int64_t range = ranges[prng_below(r, ARRAY_LEN(ranges))], step = steps[prng_below(r, ARRAY_LEN(steps))];
    if (prng_below(r, 10) == 0) step = 0; /* as with @ */
    int64_t end = s->t[prng_below(r, s->n)] - (prng_below(r, 2) ? 0 : (int64_t)prng_below(r, 2000000));
    return (struct pq_edges){ end - range, end, step, 1 + (uint32_t)prng_below(r, STEPS_MAX) };
}

/* Rates of windows with few samples are added up in Prometheus' order: the same bits. */
static bool same_rate(const struct pq_samples *s, int64_t start, int64_t end, double a, double b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) n += s->t[i] > start && s->t[i] <= end;
    return n > 64 ? same(a, b) : (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void compare(struct prng *r, const char *name, const struct pq_samples *s)
{
    struct arena a;
    arena_init(&a, NULL);
    const struct pq_node call = { .kind = PQ_CALL, .call = { .fn = pq_func_find(str_of(name)) } };
    struct pq_env env = { .a = &a, .notes = { .a = &a } };
    struct pq_range_ctx c = { .e = &env, .call = &call, .scratch = &a, .metric = STR("x_total") };
    const struct pq_edges e = make_edges(r, s);
    uint8_t *have = arena_alloc(&a, e.n);
    double *v = ARENA_RAW(&a, double, e.n);
    cr_assert(call.call.fn && pq_slides(call.call.fn->id, s), "%s", name);
    cr_assert_eq(pq_slide(&c, s, &e, have, v), OK);
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t start = e.start_ms + i * e.step_ms, end = e.end_ms + i * e.step_ms;
        struct pq_cell want = naive(&c, s, start, end);
        cr_assert_eq(have[i], want.kind, "%s of (%lld, %lld]", name, (long long)start, (long long)end);
        bool good = !want.kind || (pq_is_rate(call.call.fn->id) ? same_rate(s, start, end, v[i], want.v) : same(v[i], want.v));
        cr_assert(good, "%s of (%lld, %lld]: %.17g, not %.17g", name, (long long)start, (long long)end, v[i], want.v);
    }
    arena_deinit(&a);
}

Test(promql_slide, windows_that_slide_are_windows)
{
    static const char *const names[] = { "rate", "increase", "delta", "changes", "resets", "count_over_time", "present_over_time", "first_over_time",
                                         "last_over_time", "ts_of_first_over_time", "ts_of_last_over_time", "min_over_time", "max_over_time",
                                         "sum_over_time", "avg_over_time" };
    struct prng r;
    prng_init(&r, 42);
    for (int round = 0; round < ROUNDS; round++) {
        struct pq_samples s = make_series(&r);
        for (size_t k = 0; k < ARRAY_LEN(names); k++) compare(&r, names[k], &s);
    }
}

Test(promql_slide, what_does_not_slide)
{
    int64_t st[1] = { 1 };
    const struct pq_hist *const h[1] = { NULL };
    const struct pq_samples plain = { .n = 1, .t = times, .v = values }, starts = { .n = 1, .t = times, .v = values, .st = st },
                            hists = { .n = 1, .t = times, .v = values, .h = h };
    cr_expect(pq_slides(FN_RATE, &plain) && !pq_slides(FN_RATE, &starts) && !pq_slides(FN_RATE, &hists));
    cr_expect(pq_slides(FN_MAX_OVER_TIME, &starts) && !pq_slides(FN_QUANTILE_OVER_TIME, &plain) && !pq_slides(FN_IRATE, &plain));
}

/* Series that share times, and some that almost do, have the windows that each has alone. */
Test(promql_slide, windows_of_times_seen_before)
{
    struct prng r;
    struct arena a;
    struct pq_times kept;
    prng_init(&r, 7);
    arena_init(&a, NULL);
    const struct pq_node call = { .kind = PQ_CALL, .call = { .fn = pq_func_find(STR("rate")) } };
    struct pq_env env = { .a = &a, .notes = { .a = &a } };
    for (int round = 0; round < 20; round++) {
        struct pq_range_ctx c = { .e = &env, .call = &call, .scratch = &a, .metric = STR("x_total") };
        struct pq_samples first = make_series(&r);
        const struct pq_edges e = make_edges(&r, &first);
        uint8_t *have = arena_alloc(&a, e.n), *have_alone = arena_alloc(&a, e.n);
        double *v = ARENA_RAW(&a, double, e.n), *alone = ARENA_RAW(&a, double, e.n);
        pq_times_init(&kept, NULL);
        for (int k = 0; k < 12; k++) {
            struct pq_samples s = first;
            int64_t *t = arena_dup(&a, first.t, first.n * sizeof *t);
            double *sv = ARENA_RAW(&a, double, first.n);
            s.t = t;
            s.v = sv;
            if (k % 3 == 1 && s.n > 2) t[1 + prng_below(&r, s.n - 2)]--;
            if (k % 3 == 2) s.n -= prng_below(&r, s.n);
            for (uint32_t i = 0; i < s.n; i++) sv[i] = (double)prng_below(&r, 1000) / 10;
            c.times = &kept;
            cr_assert_eq(pq_slide(&c, &s, &e, have, v), OK);
            c.times = NULL;
            cr_assert_eq(pq_slide(&c, &s, &e, have_alone, alone), OK);
            cr_assert_eq(memcmp(have, have_alone, e.n), 0);
            for (uint32_t i = 0; i < e.n; i++) cr_assert(!have[i] || memcmp(&v[i], &alone[i], sizeof *v) == 0, "series %d, window %u", k, i);
        }
        cr_assert(kept.n > 1 && kept.n < 12);
        pq_times_deinit(&kept);
    }
    arena_deinit(&a);
}

static double odd_value(struct prng *r)
{
    static const double odd[] = { 0.0, -0.0, NAN, INFINITY, -INFINITY, 1e300, -1e301, 0x1p51, 5e-324 };
    if (prng_below(r, 6) == 0) return odd[prng_below(r, ARRAY_LEN(odd))];
    return ((double)prng_below(r, 2000) - 1000) / (prng_below(r, 2) ? 1 : 7);
}

static bool equal_bits(const double *a, const double *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && memcmp(&a[i], &b[i], sizeof *a) != 0) return false;
    return true;
}

Test(promql_slide, lanes_are_loops)
{
    enum { N = 40 };
    struct prng r;
    prng_init(&r, 3);
    for (int round = 0; round < 20000; round++) {
        double x[N + 1], y[N], z[N], f[N], out[N], want[N], sum[N], c[N], sum2[N], c2[N];
        uint32_t n = (uint32_t)prng_below(&r, N + 1);
        bool calm = prng_below(&r, 2);
        for (uint32_t i = 0; i < N; i++) {
            x[i] = calm ? (double)prng_below(&r, 50) : odd_value(&r);
            y[i] = odd_value(&r), z[i] = odd_value(&r), f[i] = odd_value(&r);
            sum[i] = sum2[i] = odd_value(&r), c[i] = c2[i] = (double)prng_below(&r, 10) / 1e9;
        }
        uint64_t falls = 0, hits = 0, zero = 0;
        bool hold = false, whole = true, tame = true;
        for (uint32_t i = 0; i < n; i++) {
            if (i) falls += x[i] < x[i - 1];
            hits += y[i] > 0 && x[i] <= y[i] * f[i];
            hold |= memcmp(&x[i], &zero, sizeof zero) == 0;
            whole &= x[i] == trunc(x[i]) && fabs(x[i]) < 900 && !(x[i] == 0 && signbit(x[i]));
            tame &= fabs(x[i]) < 1e300 && fabs(y[i]) < 1e300;
            want[i] = y[i] * z[i];
            pq_kahan(x[i], &sum2[i], &c2[i]);
        }
        if (n) cr_assert_eq(pq_lanes_falls(x + 1, n - 1), falls);
        cr_assert_eq(pq_lanes_hold(x, n, zero), hold);
        cr_assert_eq(pq_lanes_whole(x, n, 900), whole);
        cr_assert_eq(pq_lanes_tame(x, y, n), tame);
        cr_assert_eq(pq_lanes_scale(x, y, z, f, n, out), hits);
        cr_assert(equal_bits(out, want, n));
        pq_lanes_kahan(x, n, sum, c);
        cr_assert(equal_bits(sum, sum2, N) && equal_bits(c, c2, N));
        double lowest = INFINITY, highest = -INFINITY, got_low = 0, got_high = 0;
        bool some = false;
        for (uint32_t i = 0; i < n; i++) {
            some |= !isnan(x[i]);
            lowest = x[i] < lowest ? x[i] : lowest;
            highest = x[i] > highest ? x[i] : highest;
        }
        cr_assert(pq_lanes_least(x, n, &got_low) == some && pq_lanes_greatest(x, n, &got_high) == some);
        cr_assert(got_low == lowest && got_high == highest);
        memcpy(out, y, sizeof y);
        pq_lanes_min(x, n, out);
        for (uint32_t i = 0; i < N; i++) want[i] = i < n && (x[i] < y[i] || isnan(y[i])) ? x[i] : y[i];
        cr_assert(equal_bits(out, want, N));
        memcpy(out, y, sizeof y);
        pq_lanes_max(x, n, out);
        for (uint32_t i = 0; i < N; i++) want[i] = i < n && (x[i] > y[i] || isnan(y[i])) ? x[i] : y[i];
        cr_assert(equal_bits(out, want, N));
    }
}
