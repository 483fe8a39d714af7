#include "query/promql/lanes.h"

#include <string.h>

/* No FMA among the targets: a product and a sum are rounded apart, as Prometheus rounds them. */
#define KERNEL static inline __attribute__((always_inline))
enum { AT_ONCE = 4 };
typedef double f64x4 __attribute__((vector_size(32)));
typedef int64_t i64x4 __attribute__((vector_size(32)));

KERNEL void get(f64x4 *to, const double *p) { memcpy(to, p, sizeof *to); }
KERNEL void put(double *p, const f64x4 *v) { memcpy(p, v, sizeof *v); }
/* mask ? a : b */
KERNEL void pick(f64x4 *to, const i64x4 *mask, const f64x4 *a, const f64x4 *b)
{
    *to = (f64x4)((*mask & (i64x4)*a) | (~*mask & (i64x4)*b));
}
KERNEL uint64_t count(const i64x4 *masks) { return (uint64_t)-((*masks)[0] + (*masks)[1] + (*masks)[2] + (*masks)[3]); }

KERNEL uint64_t falls(const double *v, uint32_t n)
{
    const double *before = v - 1;
    i64x4 hits = { 0 };
    uint32_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        f64x4 a, b;
        get(&a, v + i);
        get(&b, before + i);
        hits += a < b;
    }
    uint64_t all = count(&hits);
    for (; i < n; i++) all += v[i] < before[i];
    return all;
}

KERNEL bool hold(const double *v, uint32_t n, uint64_t bits)
{
    const i64x4 want = { (int64_t)bits, (int64_t)bits, (int64_t)bits, (int64_t)bits };
    i64x4 hits = { 0 };
    uint32_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        i64x4 x;
        memcpy(&x, v + i, sizeof x);
        hits |= x == want;
    }
    bool some = count(&hits) != 0;
    for (; i < n; i++) some |= memcmp(&v[i], &bits, sizeof bits) == 0;
    return some;
}

KERNEL void whole_four(const f64x4 *v, double most, i64x4 *all)
{
    const i64x4 minus_zero = { INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN };
    const f64x4 shift = { 0x1.8p52, 0x1.8p52, 0x1.8p52, 0x1.8p52 }, limit = { most, most, most, most };
    f64x4 size = (f64x4)(~minus_zero & (i64x4)*v);
    *all &= (*v + shift - shift == *v) & (size < limit) & ((i64x4)*v != minus_zero);
}

KERNEL bool whole(const double *v, uint32_t n, double most)
{
    i64x4 all = { -1, -1, -1, -1 };
    uint32_t i = 0;
    f64x4 x;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        get(&x, v + i);
        whole_four(&x, most, &all);
    }
    x = (f64x4){ 0 };
    memcpy(&x, v + i, (n - i) * sizeof *v);
    whole_four(&x, most, &all);
    return count(&all) == AT_ONCE;
}

KERNEL uint64_t scale(const double *start, const double *rise, const double *factor, const double *near, uint32_t n, double *restrict out)
{
    const f64x4 zero = { 0 };
    i64x4 hits = { 0 };
    uint32_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        f64x4 s, r, f, z;
        get(&s, start + i);
        get(&r, rise + i);
        get(&f, factor + i);
        get(&z, near + i);
        hits += (r > zero) & (s <= r * z);
        r *= f;
        put(out + i, &r);
    }
    uint64_t all = count(&hits);
    for (; i < n; i++) {
        all += (rise[i] > 0) & (start[i] <= rise[i] * near[i]);
        out[i] = rise[i] * factor[i];
    }
    return all;
}

KERNEL void kahan_four(const f64x4 *x, f64x4 *sum, f64x4 *c)
{
    const i64x4 sign = { INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN };
    const f64x4 inf = { __builtin_inf(), __builtin_inf(), __builtin_inf(), __builtin_inf() }, zero = { 0 };
    f64x4 t = *sum + *x, size_x = (f64x4)(~sign & (i64x4)*x), size_sum = (f64x4)(~sign & (i64x4)*sum), size_t_ = (f64x4)(~sign & (i64x4)t), big, small;
    i64x4 first = size_sum >= size_x, over = size_t_ == inf;
    pick(&big, &first, sum, x);
    pick(&small, &first, x, sum);
    f64x4 more = *c + (big - t + small);
    pick(c, &over, &zero, &more);
    *sum = t;
}

KERNEL void kahan(const double *x, uint32_t n, double *restrict sum, double *restrict c)
{
    uint32_t i = 0;
    f64x4 a, s, l;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        get(&a, x + i);
        get(&s, sum + i);
        get(&l, c + i);
        kahan_four(&a, &s, &l);
        put(sum + i, &s);
        put(c + i, &l);
    }
    if (i == n) return;
    a = s = l = (f64x4){ 0 };
    memcpy(&a, x + i, (n - i) * sizeof *x);
    memcpy(&s, sum + i, (n - i) * sizeof *x);
    memcpy(&l, c + i, (n - i) * sizeof *x);
    kahan_four(&a, &s, &l);
    memcpy(sum + i, &s, (n - i) * sizeof *x);
    memcpy(c + i, &l, (n - i) * sizeof *x);
}

KERNEL bool tame(const double *a, const double *b, uint32_t n)
{
    uint64_t wild = 0;
    for (uint32_t i = 0; i < n; i++) wild += !(__builtin_fabs(a[i]) < 1e300) | !(__builtin_fabs(b[i]) < 1e300);
    return wild == 0;
}

KERNEL void least(const double *x, uint32_t n, double *restrict best)
{
    for (uint32_t i = 0; i < n; i++) best[i] = ((x[i] < best[i]) | (best[i] != best[i])) ? x[i] : best[i];
}

KERNEL void greatest(const double *x, uint32_t n, double *restrict best)
{
    for (uint32_t i = 0; i < n; i++) best[i] = ((x[i] > best[i]) | (best[i] != best[i])) ? x[i] : best[i];
}

/* Four at a time: NaN beats nothing. */
KERNEL bool extreme(const double *v, uint32_t n, bool max, double *out)
{
    double worst = max ? -__builtin_inf() : __builtin_inf(), last;
    f64x4 best = { worst, worst, worst, worst }, x;
    i64x4 some = { 0 };
    uint32_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        get(&x, v + i);
        i64x4 better = max ? x > best : x < best;
        some |= x == x;
        pick(&best, &better, &x, &best);
    }
    bool any = count(&some) != 0;
    last = best[0];
    for (int k = 1; k < AT_ONCE; k++) last = (max ? best[k] > last : best[k] < last) ? best[k] : last;
    for (; i < n; i++) {
        any |= v[i] == v[i];
        last = (max ? v[i] > last : v[i] < last) ? v[i] : last;
    }
    *out = last;
    return any;
}

/* -- dispatch ---------------------------------------------------------------------------------------------------- */
struct kernels {
    uint64_t (*falls)(const double *v, uint32_t n);
    bool (*hold)(const double *v, uint32_t n, uint64_t bits);
    bool (*whole)(const double *v, uint32_t n, double most);
    uint64_t (*scale)(const double *start, const double *rise, const double *factor, const double *near, uint32_t n, double *out);
    void (*kahan)(const double *x, uint32_t n, double *sum, double *c);
    bool (*tame)(const double *a, const double *b, uint32_t n);
    void (*least)(const double *x, uint32_t n, double *best);
    void (*greatest)(const double *x, uint32_t n, double *best);
    bool (*extreme)(const double *v, uint32_t n, bool max, double *out);
};

#define KERNELS(NAME, TARGET)                                                                                                                 \
    TARGET static uint64_t falls_##NAME(const double *v, uint32_t n) { return falls(v, n); }                                                  \
    TARGET static bool hold_##NAME(const double *v, uint32_t n, uint64_t bits) { return hold(v, n, bits); }                                   \
    TARGET static bool whole_##NAME(const double *v, uint32_t n, double most) { return whole(v, n, most); }                                   \
    TARGET static uint64_t scale_##NAME(const double *start, const double *rise, const double *factor, const double *near, uint32_t n,        \
                                        double *out)                                                                                          \
    {                                                                                                                                         \
        return scale(start, rise, factor, near, n, out);                                                                                      \
    }                                                                                                                                         \
    TARGET static void kahan_##NAME(const double *x, uint32_t n, double *sum, double *c) { kahan(x, n, sum, c); }                             \
    TARGET static bool tame_##NAME(const double *a, const double *b, uint32_t n) { return tame(a, b, n); }                                    \
    TARGET static void least_##NAME(const double *x, uint32_t n, double *best) { least(x, n, best); }                                         \
    TARGET static void greatest_##NAME(const double *x, uint32_t n, double *best) { greatest(x, n, best); }                                   \
    TARGET static bool extreme_##NAME(const double *v, uint32_t n, bool max, double *out)                                                     \
    {                                                                                                                                         \
        return max ? extreme(v, n, true, out) : extreme(v, n, false, out);                                                                    \
    }                                                                                                                                         \
    static const struct kernels kernels_##NAME = { falls_##NAME, hold_##NAME, whole_##NAME, scale_##NAME, kahan_##NAME, tame_##NAME,          \
                                                   least_##NAME, greatest_##NAME, extreme_##NAME };

KERNELS(base, )
#if defined(__x86_64__)
KERNELS(avx2, __attribute__((target("avx2"))))
static const struct kernels *kernels(void) { return __builtin_cpu_supports("avx2") ? &kernels_avx2 : &kernels_base; }
#else
static const struct kernels *kernels(void) { return &kernels_base; }
#endif

uint64_t pq_lanes_falls(const double *v, uint32_t n) { return kernels()->falls(v, n); }
bool pq_lanes_hold(const double *v, uint32_t n, uint64_t bits) { return kernels()->hold(v, n, bits); }
bool pq_lanes_whole(const double *v, uint32_t n, double most) { return kernels()->whole(v, n, most); }
uint64_t pq_lanes_scale(const double *start, const double *rise, const double *factor, const double *near, uint32_t n, double *out)
{
    return kernels()->scale(start, rise, factor, near, n, out);
}
void pq_lanes_kahan(const double *x, uint32_t n, double *sum, double *c) { kernels()->kahan(x, n, sum, c); }
bool pq_lanes_tame(const double *a, const double *b, uint32_t n) { return kernels()->tame(a, b, n); }
bool pq_lanes_least(const double *v, uint32_t n, double *out) { return kernels()->extreme(v, n, false, out); }
bool pq_lanes_greatest(const double *v, uint32_t n, double *out) { return kernels()->extreme(v, n, true, out); }
void pq_lanes_min(const double *x, uint32_t n, double *best) { kernels()->least(x, n, best); }
void pq_lanes_max(const double *x, uint32_t n, double *best) { kernels()->greatest(x, n, best); }
