#include "storage/col_lanes.h"

#include "base/core/assert.h"

#include <stdatomic.h>
#include <string.h>

const double lanes_pow10[LANES_EXPONENT_MAX + 1] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                                     1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18 };
static const double inverse_pow10[LANES_EXPONENT_MAX + 1] = { 1e0,   1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7,  1e-8, 1e-9,
                                                              1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18 };

/* Nothing here yields: one scratch a thread. */
static _Thread_local uint32_t lows[LANES_VALUES_MAX], highs[LANES_VALUES_MAX], sums[LANES_VALUES_MAX];
static _Thread_local uint32_t words[LANES_VALUES_MAX + LANES];

static uint64_t low_mask(unsigned width) { return width >= 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1; }

/* -- bits one after another -------------------------------------------------------------------------------------- */

struct bits_out {
    uint8_t *p;
    unsigned __int128 acc;
    unsigned held;
};

static void put_bits(struct bits_out *o, uint64_t v, unsigned width)
{
    o->acc |= (unsigned __int128)v << o->held;
    for (o->held += width; o->held >= 8; o->held -= 8) {
        *o->p++ = (uint8_t)o->acc;
        o->acc >>= 8;
    }
}

static uint8_t *end_bits(struct bits_out *o)
{
    if (o->held) *o->p++ = (uint8_t)o->acc;
    return o->p;
}

struct bits_in {
    const uint8_t *p;
    unsigned __int128 acc;
    unsigned held;
};

static uint64_t get_bits(struct bits_in *r, unsigned width)
{
    for (; r->held < width; r->held += 8)
        r->acc |= (unsigned __int128)*r->p++ << r->held;
    uint64_t v = (uint64_t)r->acc & low_mask(width);
    r->acc >>= width;
    r->held -= width;
    return v;
}

/* -- packing ----------------------------------------------------------------------------------------------------- */

size_t lanes_bytes(uint32_t n, unsigned width)
{
    return (size_t)(n / LANES) * width + (n % LANES * width + 7) / 8;
}

/* Bits [shift, shift + width) of the values of the lanes, width <= 32. */
static uint8_t *pack_lanes(const uint64_t *v, uint32_t rows, unsigned shift, unsigned width, enum lanes_order order, uint8_t *out)
{
    memset(words, 0, (rows * width / 32 + 1) * LANES * sizeof *words);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t bit = r * width, to = bit / 32 * LANES;
        for (uint32_t l = 0; l < LANES; l++) {
            uint64_t x = v[order == LANES_ACROSS ? r * LANES + l : l * rows + r] >> shift & low_mask(width);
            words[to + l] |= (uint32_t)(x << bit % 32);
            if (bit % 32 + width > 32) words[to + LANES + l] |= (uint32_t)(x >> (32 - bit % 32));
        }
    }
    uint32_t whole = rows * width / 32, left = rows * width % 32;
    memcpy(out, words, whole * LANES * sizeof *words);
    struct bits_out o = { .p = out + whole * LANES * sizeof *words };
    for (uint32_t l = 0; l < LANES; l++)
        put_bits(&o, words[whole * LANES + l], left);
    return end_bits(&o);
}

void lanes_pack(const uint64_t *v, uint32_t n, unsigned width, enum lanes_order order, uint8_t *out)
{
    ASSERT(n <= LANES_VALUES_MAX && width <= 64);
    uint32_t rows = n / LANES;
    out = pack_lanes(v, rows, 0, MIN(width, 32u), order, out);
    if (width > 32) out = pack_lanes(v, rows, 32, width - 32, order, out);
    struct bits_out o = { .p = out };
    for (uint32_t i = rows * LANES; i < n; i++)
        put_bits(&o, v[i] & low_mask(width), width);
    end_bits(&o);
}

/* -- kernels: plain C, compiled once for each kind of processor ------------------------------------------------------ */

#define KERNEL static inline __attribute__((always_inline))

typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x8 __attribute__((vector_size(32)));

KERNEL void unpack_rows(const uint8_t *from, uint32_t first, uint32_t last, uint32_t skip, unsigned width, uint32_t *out)
{
    uint32_t mask = (uint32_t)low_mask(width);
    for (uint32_t r = first; r < last; r++) {
        uint32_t bit = r * width - skip * 32, shift = bit % 32;
        const uint8_t *a = from + bit / 32 * LANES * 4;
        u32x8 x, y;
        memcpy(&x, a, sizeof x);
        x >>= shift;
        if (shift + width > 32) {
            memcpy(&y, a + LANES * 4, sizeof y);
            x |= y << (32 - shift);
        }
        x &= mask;
        memcpy(out + r * LANES, &x, sizeof x);
    }
}

/* Lanes of width 1..32 into out, row by row. The rows that reach into the incomplete words are read from a copy. */
KERNEL void unpack(const uint8_t *p, uint32_t rows, unsigned width, uint32_t *out)
{
    uint32_t whole = rows * width / 32, left = rows * width % 32, direct = whole * 32 / width, tail[3 * LANES] = { 0 };
    unpack_rows(p, 0, direct, 0, width, out);
    if (direct == rows) return;
    uint32_t skip = direct * width / 32; /* whole or whole - 1 */
    memcpy(tail, p + skip * LANES * 4, (whole - skip) * LANES * 4);
    struct bits_in in = { .p = p + whole * LANES * 4 };
    for (uint32_t l = 0; l < LANES; l++)
        tail[(whole - skip) * LANES + l] = (uint32_t)get_bits(&in, left);
    unpack_rows((const uint8_t *)tail, direct, rows, skip, width, out);
}

/* Four rows of four lanes: sums down the lanes, written along them. */
KERNEL void sum_tile(const uint32_t *x, u32x4 *acc, uint32_t *out, uint32_t rows)
{
    u32x4 a, b, c, d;
    memcpy(&a, x, 16);
    memcpy(&b, x + LANES, 16);
    memcpy(&c, x + 2 * LANES, 16);
    memcpy(&d, x + 3 * LANES, 16);
    a += *acc;
    b += a;
    c += b;
    d += c;
    *acc = d;
    u32x4 ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    u32x4 cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    u32x4 o0 = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5), o1 = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
    u32x4 o2 = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5), o3 = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
    memcpy(out, &o0, 16);
    memcpy(out + rows, &o1, 16);
    memcpy(out + 2 * rows, &o2, 16);
    memcpy(out + 3 * rows, &o3, 16);
}

/* Sums from the first value on, in the order of the values, modulo 2^32: each lane begins with what those before it add up to. */
KERNEL uint32_t sum_lanes(const uint32_t *x, uint32_t rows, uint32_t *out)
{
    u32x8 add, lane = { 0 };
    for (uint32_t r = 0; r < rows; r++) {
        memcpy(&add, x + r * LANES, sizeof add);
        lane += add;
    }
    uint32_t sum = 0, at[LANES];
    for (uint32_t l = 0; l < LANES; l++) {
        at[l] = sum;
        sum += lane[l];
    }
    u32x4 acc[2];
    memcpy(acc, at, sizeof acc);
    uint32_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        sum_tile(x + r * LANES, &acc[0], out + r, rows);
        sum_tile(x + r * LANES + 4, &acc[1], out + 4 * rows + r, rows);
    }
    memcpy(at, acc, sizeof at);
    for (; r < rows; r++)
        for (uint32_t l = 0; l < LANES; l++)
            out[l * rows + r] = at[l] += x[r * LANES + l];
    return sum;
}

/* Four values at once, spelt out: gcc does not find the vectors in conversions of its own accord. */
enum { AT_ONCE = 4 };
typedef uint64_t u64x4 __attribute__((vector_size(32)));
typedef int64_t i64x4 __attribute__((vector_size(32)));
typedef double f64x4 __attribute__((vector_size(32)));

/* Rounded like the conversion that the processor may lack: both halves become doubles by being written into mantissas. */
KERNEL void to_double(const u64x4 *v, bool native, f64x4 *out)
{
    if (native) {
        *out = __builtin_convertvector((i64x4)*v, f64x4);
        return;
    }
    f64x4 lo = (f64x4)((*v & 0xffffffff) | UINT64_C(0x4330000000000000));
    f64x4 hi = (f64x4)((*v >> 32 ^ 0x80000000) | UINT64_C(0x4530000000000000));
    *out = hi - (0x1p84 + 0x1p63 + 0x1p52) + lo;
}

/* d / b for b = 10^exponent, correctly rounded. With a fused multiply-add by steps of Markstein's: q = d * (1 / b) is at most 2 ulp
 * off; the first correction makes it faithful, the second one exact, there being no overflow and no subnormal. */
KERNEL void divide(f64x4 *d, double b, double inverse, bool fused)
{
    if (!fused) {
        *d /= b;
        return;
    }
    f64x4 a = *d, q = a * inverse, rest;
    for (int step = 0; step < 2; step++) {
        for (int l = 0; l < AT_ONCE; l++)
            rest[l] = __builtin_fma(-q[l], b, a[l]);
        for (int l = 0; l < AT_ONCE; l++)
            q[l] = __builtin_fma(rest[l], inverse, q[l]);
    }
    *d = q;
}

enum what { WHOLE, DOUBLE, SCALED };

/* Four times line + factor * x, of which `high` (or NULL) has the bits above 32. */
KERNEL void put_four(const uint32_t *x, const uint32_t *high, const u64x4 *line, uint64_t factor, enum what what, double b,
                     double inverse, bool native, bool fused, uint64_t *out)
{
    u32x4 narrow;
    memcpy(&narrow, x, sizeof narrow);
    u64x4 v = __builtin_convertvector(narrow, u64x4);
    if (high) {
        memcpy(&narrow, high, sizeof narrow);
        v |= __builtin_convertvector(narrow, u64x4) << 32;
    }
    if (factor != 1) v *= factor;
    v += *line;
    f64x4 d;
    if (what != WHOLE) {
        to_double(&v, native, &d);
        if (what == SCALED) divide(&d, b, inverse, fused);
        v = (u64x4)d;
    }
    memcpy(out, &v, sizeof v);
}

struct run { /* of values [from, to): base + i * slope + factor * x[i] */
    const uint32_t *x, *high;
    uint32_t from, to;
    uint64_t base, slope, factor;
};

KERNEL void put_values(const struct run *r, const uint32_t *high, uint64_t factor, enum what what, unsigned exponent, bool native,
                       bool fused, uint64_t *out)
{
    double b = lanes_pow10[exponent], inverse = inverse_pow10[exponent];
    uint64_t at = r->base + r->from * r->slope, slope = r->slope;
    const uint32_t *x = r->x;
    u64x4 line = { at, at + slope, at + 2 * slope, at + 3 * slope };
    uint32_t i = r->from, to = r->to;
    for (; i + AT_ONCE <= to; i += AT_ONCE, line += AT_ONCE * slope)
        put_four(x + i, high ? high + i : NULL, &line, factor, what, b, inverse, native, fused, out + i);
    if (i == to) return;
    uint32_t last[AT_ONCE] = { 0 }, last_high[AT_ONCE] = { 0 };
    uint64_t four[AT_ONCE];
    memcpy(last, x + i, (to - i) * 4);
    if (high) memcpy(last_high, high + i, (to - i) * 4);
    put_four(last, high ? last_high : NULL, &line, factor, what, b, inverse, native, fused, four);
    memcpy(out + i, four, (to - i) * 8);
}

KERNEL void put_run(const struct run *r, enum what what, unsigned exponent, bool native, bool fused, uint64_t *out)
{
    if (r->high) put_values(r, r->high, r->factor, what, exponent, native, fused, out);
    else if (what == WHOLE) put_values(r, NULL, r->factor, WHOLE, 0, native, fused, out);
    else if (what == DOUBLE && r->factor == 1) put_values(r, NULL, 1, DOUBLE, 0, native, fused, out);
    else if (what == DOUBLE) put_values(r, NULL, r->factor, DOUBLE, 0, native, fused, out);
    else if (r->factor == 1) put_values(r, NULL, 1, SCALED, exponent, native, fused, out);
    else put_values(r, NULL, r->factor, SCALED, exponent, native, fused, out);
}

struct kernels {
    void (*unpack)(const uint8_t *p, uint32_t rows, unsigned width, uint32_t *out);
    uint32_t (*sum)(const uint32_t *x, uint32_t rows, uint32_t *out);
    void (*values)(const struct run *r, enum what what, unsigned exponent, uint64_t *out);
};

#define KERNELS(NAME, TARGET, NATIVE, FUSED)                                                                                    \
    TARGET static void unpack_##NAME(const uint8_t *p, uint32_t rows, unsigned width, uint32_t *out)                            \
    {                                                                                                                           \
        unpack(p, rows, width, out);                                                                                            \
    }                                                                                                                           \
    TARGET static uint32_t sum_##NAME(const uint32_t *x, uint32_t rows, uint32_t *out)                                          \
    {                                                                                                                           \
        return sum_lanes(x, rows, out);                                                                                         \
    }                                                                                                                           \
    TARGET static void put_##NAME(const struct run *r, enum what what, unsigned exponent, uint64_t *out)                        \
    {                                                                                                                           \
        put_run(r, what, exponent, NATIVE, FUSED, out);                                                                         \
    }                                                                                                                           \
    static const struct kernels kernels_##NAME = { unpack_##NAME, sum_##NAME, put_##NAME };

#if defined(__x86_64__)
KERNELS(base, , false, false)
KERNELS(avx2, __attribute__((target("avx2,fma,bmi2"))), false, true)
KERNELS(avx512, __attribute__((target("avx2,fma,bmi2,avx512f,avx512dq,avx512vl,avx512bw"))), true, true)

static const struct kernels *choose(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return &kernels_base;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512bw"))
        return &kernels_avx2;
    return &kernels_avx512;
}
#else
KERNELS(base, , true, true)
static const struct kernels *choose(void) { return &kernels_base; }
#endif

static const struct kernels *kernels(void)
{
    static _Atomic(const struct kernels *) chosen;
    const struct kernels *k = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (k) return k;
    k = choose();
    atomic_store_explicit(&chosen, k, memory_order_relaxed);
    return k;
}

/* -- unpacking ------------------------------------------------------------------------------------------------------- */

static uint64_t finished(uint64_t v, enum what what, unsigned exponent)
{
    if (what == WHOLE) return v;
    double d = (double)(int64_t)v / lanes_pow10[exponent];
    memcpy(&v, &d, 8);
    return v;
}

/* x[rows * LANES..n) of those behind the lanes, and their bits above 32 */
static void take_behind(const uint8_t *p, uint32_t n, unsigned width, uint32_t *x, uint32_t *high)
{
    struct bits_in in = { .p = p };
    for (uint32_t i = n / LANES * LANES; i < n; i++) {
        uint64_t v = get_bits(&in, width);
        x[i] = (uint32_t)v;
        if (width > 32) high[i] = (uint32_t)(v >> 32);
    }
}

static void put_across(const struct kernels *k, uint32_t n, const struct lanes_plan *plan, enum what what, unsigned exponent,
                       uint64_t *out)
{
    struct run all = { lows, plan->width > 32 ? highs : NULL, 0, n, plan->base, plan->slope, plan->factor };
    k->values(&all, what, exponent, out);
    for (uint32_t i = 0; i < plan->npatches; i++) {
        uint32_t at = plan->patch_at[i];
        uint64_t x = lows[at] | (all.high ? (uint64_t)highs[at] << 32 : 0);
        out[at] = finished(plan->base + at * plan->slope + (x + plan->patch[i]) * plan->factor, what, exponent);
    }
}

/* Runs between patches: from a patch on, all are higher by it. */
static void put_along(const struct kernels *k, uint32_t n, const struct lanes_plan *plan, enum what what, unsigned exponent,
                      uint64_t *out)
{
    uint32_t sum = k->sum(lows, n / LANES, sums), patch = 0;
    for (uint32_t i = n / LANES * LANES; i < n; i++)
        sums[i] = sum += lows[i];
    struct run r = { sums, NULL, 0, 0, plan->base, plan->slope, plan->factor };
    for (; r.from < n; r.from = r.to) {
        while (patch < plan->npatches && plan->patch_at[patch] == r.from)
            r.base += plan->patch[patch++] * plan->factor;
        r.to = patch < plan->npatches ? plan->patch_at[patch] : n;
        k->values(&r, what, exponent, out);
    }
}

/* Sums that may pass 32 bits: one value after another. */
static void put_along_wide(uint32_t n, const struct lanes_plan *plan, enum what what, unsigned exponent, uint64_t *out)
{
    uint32_t rows = n / LANES, patch = 0;
    uint64_t sum = 0, line = plan->base;
    for (uint32_t i = 0; i < n; i++, line += plan->slope) {
        uint32_t from = i < rows * LANES ? i % rows * LANES + i / rows : i;
        sum += lows[from] | (plan->width > 32 ? (uint64_t)highs[from] << 32 : 0);
        if (patch < plan->npatches && plan->patch_at[patch] == i) sum += plan->patch[patch++];
        out[i] = finished(line + sum * plan->factor, what, exponent);
    }
}

static void give_values(const uint8_t *p, uint32_t n, const struct lanes_plan *plan, enum what what, unsigned exponent, uint64_t *out)
{
    ASSERT(n <= LANES_VALUES_MAX && plan->width <= 64 && exponent <= LANES_EXPONENT_MAX);
    const struct kernels *k = kernels();
    uint32_t rows = n / LANES;
    unsigned width = MIN(plan->width, 32u);
    if (width == 0) memset(lows, 0, n * sizeof *lows);
    else k->unpack(p, rows, width, lows);
    if (plan->width > 32) k->unpack(p + (size_t)rows * width, rows, plan->width - width, highs);
    take_behind(p + (size_t)rows * plan->width, n, plan->width, lows, highs);
    if (!plan->sum) put_across(k, n, plan, what, exponent, out);
    else if (plan->width + 10 <= 32) put_along(k, n, plan, what, exponent, out); /* 2^10 values */
    else put_along_wide(n, plan, what, exponent, out);
}

void lanes_i64(const uint8_t *p, uint32_t n, const struct lanes_plan *plan, int64_t *out)
{
    give_values(p, n, plan, WHOLE, 0, (uint64_t *)out);
}

void lanes_f64(const uint8_t *p, uint32_t n, const struct lanes_plan *plan, unsigned exponent, double *out)
{
    give_values(p, n, plan, exponent ? SCALED : DOUBLE, exponent, (uint64_t *)(void *)out);
}
