/* Integers: u8 head | ...  head = kind | 4 if a divisor follows | 8 if patches follow | 16 if a slope follows
 *   LINE    zigzag base | [zigzag slope]                 the value at i is base + i * slope
 *   FRAME   zigzag base | [zigzag slope] | packed        ... + divisor * x[i]
 *   DELTA   zigzag base | [zigzag slope] | packed        ... + divisor * (x[0] + ... + x[i]), x[0] = 0
 *   packed = [varint divisor] | u8 width | x in `width` bits each, as col_lanes.h lays them out (FRAME across, DELTA along the
 *            lanes) | [varint patches, each varint gap of places, varint high bits: x += high bits << width]
 * All arithmetic is modulo 2^64, so that any values round-trip. A slope in a FRAME is for times: a grid and its jitter.
 *
 * Doubles: u8 head | ...  head = kind | exponent << 2 | 128 if exceptions follow
 *   DECIMAL  integers m | [varint exceptions, each varint gap of places, 8 bytes]
 *            the value is (double)m / 10^exponent, which gives back every decimal of up to 15 digits. The
 *            encoder tests each value; what does not come back bit by bit (NaN, -0, Inf, ...) is an exception.
 *   BITS     the 64 bits of each as an integer: neighbours share sign, exponent and high bits, trailing zeros are a divisor
 *
 * On an EPYC with AVX-512, of the mixes of bench/metric_mix.c (bytes a value, entropy beside): integer counters 0.96 (0.80), counters in
 * steps of 0.01 1.00 (0.83), bytes in pages 1.14 (1.05), one decimal 0.75 (0.62), full doubles 6.9 (6.6). What lies between
 * is the price of equal widths in a block; an entropy coder would save it and decode several times slower.
 *
 * The idea of decimal scaling with exceptions is ALP's (Afroozeh, Kuffo, Boncz, SIGMOD 2024); patched frame of
 * reference is Zukowski et al., ICDE 2006. */
#include "storage/col_sample.h"

#include "base/core/assert.h"
#include "base/core/varint.h"
#include "storage/col_lanes.h"
#include "storage/col_tally.h"

#include <math.h>
#include <string.h>

enum { LINE, FRAME, DELTA, KIND_MASK = 3, HAS_DIVISOR = 4, HAS_PATCHES = 8, HAS_SLOPE = 16, HEAD_BITS = 31 };
enum { DECIMAL, BITS, HAS_EXCEPTIONS = 128, EXPONENT_MAX = LANES_EXPONENT_MAX };
_Static_assert((int)COL_SAMPLE_MAX == (int)LANES_VALUES_MAX, "a block fills the lanes");

/* Nothing here yields: one scratch a thread. */
static _Thread_local uint64_t deltas[COL_SAMPLE_MAX], level[COL_SAMPLE_MAX], reduced[COL_SAMPLE_MAX], patch[COL_SAMPLE_MAX];
static _Thread_local uint32_t patch_at[COL_SAMPLE_MAX];
static _Thread_local int64_t mantissas[COL_SAMPLE_MAX];
static _Thread_local uint8_t plain[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];

static unsigned bit_length(uint64_t v) { return v ? 64 - (unsigned)__builtin_clzll(v) : 0; }

/* -- frame of reference: encoding --------------------------------------------------------------------------- */

struct plan {
    uint64_t base, divisor, bits; /* bits: estimated size */
    unsigned width;
    uint32_t patches;
};

/* The width that costs least when longer values are patched (about 2 bytes and their high bits each): from that of the longest
 * down, until the patches alone cost more than the best. lengths[l]: how many values have l bits. */
static void best_width(const uint32_t lengths[65], unsigned longest, uint32_t n, struct plan *p)
{
    uint64_t patch_bits = 0, over = 0, bits = UINT64_MAX;
    for (unsigned w = longest; patch_bits < bits; w--) {
        uint64_t cost = (uint64_t)n * w + patch_bits;
        if (cost < bits) {
            bits = cost;
            p->width = w;
            p->patches = (uint32_t)over;
        }
        over += lengths[w];
        patch_bits += (uint64_t)lengths[w] * 16 + over * 8 / 7;
        if (w == 0) break;
    }
    p->bits = bits;
}

static void plan_with(const uint64_t *v, uint32_t n, uint64_t base, struct plan *p)
{
    uint32_t lengths[65] = { 0 };
    uint64_t all = 0;
    for (uint32_t i = 0; i < n; i++) {
        lengths[bit_length(v[i] - base)]++;
        all |= v[i] - base;
    }
    *p = (struct plan){ .base = base, .divisor = 1 };
    best_width(lengths, bit_length(all), n, p);
}

/* Of v[i] - base, 0 when all are 0. Common powers of two go first: bytes come in pages. */
static uint64_t common_divisor(const uint64_t *v, uint32_t n, uint64_t base)
{
    uint64_t all = 0, g = 0;
    for (uint32_t i = 0; i < n; i++)
        all |= v[i] - base;
    if (!all) return 0;
    unsigned shift = (unsigned)__builtin_ctzll(all);
    for (uint32_t i = 0; i < n && g != 1; i++) {
        uint64_t x = (v[i] - base) >> shift;
        while (x) {
            uint64_t r = g % x;
            g = x;
            x = r;
        }
    }
    return g << shift;
}

static void divide_all(const uint64_t *v, uint32_t n, uint64_t base, uint64_t divisor, uint64_t *out)
{
    unsigned shift = (unsigned)__builtin_ctzll(divisor);
    bool power = divisor == UINT64_C(1) << shift;
    for (uint32_t i = 0; i < n; i++)
        out[i] = power ? (v[i] - base) >> shift : (v[i] - base) / divisor;
}

/* One value below all others (a counter's reset among deltas) must not widen the rest: as a base, the second
 * smallest is tried too; what lies below it wraps around and becomes a patch. */
static struct plan plan_frame(const uint64_t *v, uint32_t n)
{
    int64_t min = INT64_MAX, second = INT64_MAX, max = INT64_MIN;
    for (uint32_t i = 0; i < n; i++) {
        int64_t x = (int64_t)v[i];
        if (x < min) {
            second = min;
            min = x;
        } else if (x < second) {
            second = x;
        }
        if (x > max) max = x;
    }
    struct plan p, q;
    plan_with(v, n, (uint64_t)min, &p);
    uint64_t spread = (uint64_t)max - (uint64_t)min;
    if (n > 2 && (uint64_t)second - (uint64_t)min > spread / 4) {
        plan_with(v, n, (uint64_t)second, &q);
        if (q.bits < p.bits) return q;
    }
    uint64_t d = p.width > 1 ? common_divisor(v, n, (uint64_t)min) : 1;
    if (d > 1) {
        divide_all(v, n, p.base, d, reduced);
        plan_with(reduced, n, 0, &p);
        p.base = (uint64_t)min;
        p.divisor = d;
    }
    return p;
}

/* v[from..n) as planned; what stands before is 0. */
static uint8_t *put_packed(uint8_t *out, const uint64_t *v, uint32_t from, uint32_t n, enum lanes_order order, const struct plan *p)
{
    memset(reduced, 0, from * sizeof *reduced);
    divide_all(v + from, n - from, p->base, p->divisor, reduced + from);
    if (p->divisor > 1) out += varint_put(out, p->divisor);
    *out++ = (uint8_t)p->width;
    lanes_pack(reduced, n, p->width, order, out);
    out += lanes_bytes(n, p->width);
    if (!p->patches) return out;
    out += varint_put(out, p->patches);
    for (uint32_t i = 0, last = 0; i < n; i++) {
        uint64_t high = reduced[i] >> p->width;
        if (!high) continue;
        out += varint_put(out, i - last);
        out += varint_put(out, high);
        last = i;
    }
    return out;
}

/* -- integers ------------------------------------------------------------------------------------------- */

static uint8_t *put_head(uint8_t *out, unsigned kind, const struct plan *p, uint64_t base, uint64_t slope)
{
    *out++ = (uint8_t)(kind | (p->divisor > 1 ? HAS_DIVISOR : 0) | (p->patches ? HAS_PATCHES : 0) | (slope ? HAS_SLOPE : 0));
    out += varint_put(out, zigzag((int64_t)base));
    if (slope) out += varint_put(out, zigzag((int64_t)slope));
    return out;
}

/* The slope of a line that all values stay near to: within 2^width of it, at sixteen of them. 0: there is none. */
static uint64_t near_line(const uint64_t *v, uint32_t n, unsigned width)
{
    int64_t rise = (int64_t)(v[n - 1] - v[0]), steps = n - 1;
    if (n < 16 || width >= 60 || rise == INT64_MIN) return 0;
    int64_t slope = (rise + (rise < 0 ? -steps : steps) / 2) / steps;
    for (uint32_t k = 1; k < 16; k++) {
        uint32_t i = (uint32_t)((uint64_t)(n - 1) * k / 16);
        int64_t off = (int64_t)(v[i] - v[0] - i * (uint64_t)slope);
        if (off >= INT64_C(1) << width || -off >= INT64_C(1) << width) return 0;
    }
    return (uint64_t)slope;
}

size_t sample_i64_encode(const int64_t *v, uint32_t n, uint8_t *out)
{
    ASSERT(n > 0 && n <= COL_SAMPLE_MAX);
    const uint64_t *u = (const uint64_t *)v;
    bool steady = true;
    for (uint32_t i = 1; i < n; i++) {
        deltas[i] = u[i] - u[i - 1];
        steady &= deltas[i] == deltas[1];
    }
    struct plan none = { .divisor = 1 };
    if (steady) return (size_t)(put_head(out, LINE, &none, u[0], n > 1 ? deltas[1] : 0) - out);
    struct plan whole = plan_frame(u, n), step = plan_frame(deltas + 1, n - 1);
    uint64_t slope = near_line(u, n, step.width);
    if (slope) {
        for (uint32_t i = 0; i < n; i++)
            level[i] = u[i] - i * slope;
        struct plan jitter = plan_frame(level, n);
        if (jitter.bits < whole.bits) {
            whole = jitter;
            u = level;
        } else {
            slope = 0;
        }
    }
    uint8_t *p;
    if (whole.bits <= step.bits) {
        p = put_head(out, FRAME, &whole, whole.base, slope);
        return (size_t)(put_packed(p, u, 0, n, LANES_ACROSS, &whole) - out);
    }
    p = put_head(out, DELTA, &step, (uint64_t)v[0], step.base);
    return (size_t)(put_packed(p, deltas, 1, n, LANES_ALONG, &step) - out);
}

static const uint8_t *get_patches(const uint8_t *p, const uint8_t *end, uint32_t n, struct lanes_plan *plan)
{
    uint64_t count, gap, high, at = 0;
    p = varint_get(p, end, &count);
    if (!p || count > n || plan->width >= 64) return NULL;
    for (uint64_t i = 0; i < count; i++) {
        p = varint_get(p, end, &gap);
        if (p) p = varint_get(p, end, &high);
        if (!p || gap >= n || (at += gap) >= n || (i && gap == 0)) return NULL;
        patch_at[i] = (uint32_t)at;
        patch[i] = high << plan->width;
    }
    plan->npatches = (uint32_t)count;
    plan->patch_at = patch_at;
    plan->patch = patch;
    return p;
}

/* Reads all but the packed integers, of which *packed is the beginning; a line has width 0. The position behind it all. */
static const uint8_t *get_plan(const uint8_t *p, const uint8_t *end, uint32_t n, struct lanes_plan *plan, const uint8_t **packed)
{
    if (p == end || n == 0 || n > COL_SAMPLE_MAX) return NULL;
    uint64_t base, slope = 0;
    unsigned head = *p++, kind = head & KIND_MASK;
    if (kind > DELTA || head > HEAD_BITS) return NULL;
    col_saw(kind == LINE ? "line" : kind == FRAME ? "frame" : "delta");
    p = varint_get(p, end, &base);
    if (p && head & HAS_SLOPE) p = varint_get(p, end, &slope);
    *plan = (struct lanes_plan){ .sum = kind == DELTA, .base = (uint64_t)unzigzag(base), .slope = (uint64_t)unzigzag(slope), .factor = 1 };
    *packed = p;
    if (!p || kind == LINE) return p;
    if (head & HAS_DIVISOR) p = varint_get(p, end, &plan->factor);
    if (!p || p == end) return NULL;
    plan->width = *p++;
    if (plan->width > 64 || lanes_bytes(n, plan->width) > (size_t)(end - p)) return NULL;
    *packed = p;
    p += lanes_bytes(n, plan->width);
    return head & HAS_PATCHES ? get_patches(p, end, n, plan) : p;
}

const uint8_t *sample_i64_decode(const uint8_t *p, const uint8_t *end, uint32_t n, int64_t *out)
{
    struct lanes_plan plan;
    const uint8_t *packed;
    p = get_plan(p, end, n, &plan, &packed);
    if (p) lanes_i64(packed, n, &plan, out);
    return p;
}

/* -- doubles -------------------------------------------------------------------------------------------- */

static inline uint64_t bits_of(double v)
{
    uint64_t b;
    memcpy(&b, &v, 8);
    return b;
}

static inline bool scaled(double v, unsigned e, int64_t *m)
{
    double r = v * lanes_pow10[e];
    if (!(fabs(r) < 0x1p53)) return false;
    *m = (int64_t)(r + (r < 0 ? -0.5 : 0.5));
    return bits_of((double)*m / lanes_pow10[e]) == bits_of(v);
}

/* The smallest exponent that serves, or -1 when too many values are no short decimals. */
static int find_exponent(const double *v, uint32_t n)
{
    unsigned e = 0;
    uint32_t misses = 0, misses_max = n / 8 + 1;
    int64_t m;
    for (uint32_t i = 0; i < n; i++) {
        if (scaled(v[i], e, &m)) continue;
        unsigned up = e + 1;
        while (up <= EXPONENT_MAX && !scaled(v[i], up, &m))
            up++;
        if (up <= EXPONENT_MAX) e = up;
        else if (++misses > misses_max) return -1;
    }
    return (int)e;
}

/* Mantissas of all values; an exception takes its neighbour's, which costs nothing. Returns their number. */
static uint32_t scale_all(const double *v, uint32_t n, unsigned e)
{
    uint32_t exceptions = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (scaled(v[i], e, &mantissas[i])) {
            if (exceptions == i)
                for (uint32_t k = 0; k < i; k++)
                    mantissas[k] = mantissas[i];
            continue;
        }
        mantissas[i] = i ? mantissas[i - 1] : 0;
        exceptions++;
    }
    return exceptions;
}

static size_t encode_decimal(const double *v, uint32_t n, unsigned e, size_t over, uint8_t *out)
{
    uint32_t exceptions = scale_all(v, n, e);
    if (exceptions > n / 8 + 1) return SIZE_MAX;
    uint8_t *p = out + 1;
    p += sample_i64_encode(mantissas, n, p);
    if ((size_t)(p - out) + exceptions * 9 > over) return SIZE_MAX;
    out[0] = (uint8_t)(DECIMAL | e << 2 | (exceptions ? HAS_EXCEPTIONS : 0));
    if (!exceptions) return (size_t)(p - out);
    p += varint_put(p, exceptions);
    for (uint32_t i = 0, last = 0; i < n; i++) {
        int64_t m;
        if (scaled(v[i], e, &m)) continue;
        p += varint_put(p, i - last);
        memcpy(p, &v[i], 8);
        p += 8;
        last = i;
    }
    return (size_t)(p - out);
}

size_t sample_f64_encode(const double *v, uint32_t n, uint8_t *out)
{
    ASSERT(n > 0 && n <= COL_SAMPLE_MAX);
    int e = find_exponent(v, n);
    size_t size = e < 0 ? SIZE_MAX : encode_decimal(v, n, (unsigned)e, n * sizeof *v + 24, out);
    if (size <= n * sizeof *v / 2) return size;
    /* Long mantissas or many exceptions: maybe the bits themselves are shorter. */
    memcpy(mantissas, v, n * sizeof *v);
    size_t bits = sample_i64_encode(mantissas, n, plain + 1) + 1;
    if (size <= bits) return size;
    plain[0] = BITS;
    memcpy(out, plain, bits);
    return bits;
}

int sample_f64_exponent(const uint8_t *coded)
{
    return (coded[0] & KIND_MASK) == DECIMAL && !(coded[0] & HAS_EXCEPTIONS) ? coded[0] >> 2 & 31 : -1;
}

static const uint8_t *get_exceptions(const uint8_t *p, const uint8_t *end, uint32_t n, double *out)
{
    uint64_t count, gap, at = 0;
    p = varint_get(p, end, &count);
    if (!p || count > n) return NULL;
    for (uint64_t i = 0; i < count; i++) {
        p = varint_get(p, end, &gap);
        if (!p || end - p < 8 || gap >= n || (at += gap) >= n) return NULL;
        memcpy(&out[at], p, 8);
        p += 8;
    }
    return p;
}

const uint8_t *sample_f64_decode(const uint8_t *p, const uint8_t *end, uint32_t n, double *out)
{
    struct lanes_plan plan;
    const uint8_t *packed;
    if (p == end) return NULL;
    unsigned head = *p++, exponent = head >> 2 & 31;
    if ((head & KIND_MASK) > BITS || exponent > EXPONENT_MAX) return NULL;
    col_saw((head & KIND_MASK) == BITS ? "bits" : "decimal");
    p = get_plan(p, end, n, &plan, &packed);
    if (!p) return NULL;
    if ((head & KIND_MASK) == BITS) {
        lanes_i64(packed, n, &plan, (int64_t *)(void *)out);
        return head == BITS ? p : NULL;
    }
    lanes_f64(packed, n, &plan, exponent, out);
    return head & HAS_EXCEPTIONS ? get_exceptions(p, end, n, out) : p;
}
