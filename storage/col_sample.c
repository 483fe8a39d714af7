/* Integers: u8 head | ...  head = kind | 4 if a divisor follows | 8 if patches follow
 *   CONST        zigzag varint v
 *   CONST_DELTA  zigzag varint v0 | zigzag varint delta
 *   FOR          packed v
 *   DELTA        zigzag varint v0 | packed (v[i] - v[i-1]), n - 1 of them
 *   packed = zigzag varint base | [varint divisor] | u8 width | count x width bits, lowest first, rounded up to
 *            a byte | [varint patches, each varint gap of positions, varint high bits]
 *   The value at i is base + divisor * (bits + (high bits << width)), modulo 2^64.
 * All arithmetic is modulo 2^64, so that any values round-trip.
 *
 * Doubles: u8 head | ...  head = kind | exponent << 2 | 128 if exceptions follow
 *   SAME     the 8 bytes of all of them
 *   DECIMAL  integers m | [varint exceptions, each varint gap of positions, 8 bytes]
 *            the value is (double)m / 10^exponent, which gives back every decimal of up to 15 digits. The
 *            encoder tests each value; what does not come back bit by bit (NaN, -0, Inf, ...) is an exception.
 *   BITS     u64 base | u8 shift | u8 width | count x width bits: base ^ (bits << shift)
 *
 * The idea of decimal scaling with exceptions is ALP's (Afroozeh, Kuffo, Boncz, SIGMOD 2024); patched frame of
 * reference is Zukowski et al., ICDE 2006. */
#include "storage/col_sample.h"

#include "base/core/assert.h"
#include "base/core/varint.h"

#include <math.h>
#include <string.h>

enum { CONST, CONST_DELTA, FOR, DELTA, KIND_MASK = 3, HAS_DIVISOR = 4, HAS_PATCHES = 8 };
enum { SAME, DECIMAL, BITS, HAS_EXCEPTIONS = 128, EXPONENT_MAX = 18 };

static const double POW10[EXPONENT_MAX + 1] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                                1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18 };

/* Nothing here yields: one scratch a thread. */
static _Thread_local uint64_t deltas[COL_SAMPLE_MAX];
static _Thread_local int64_t mantissas[COL_SAMPLE_MAX];

static unsigned bit_length(uint64_t v) { return v ? 64 - (unsigned)__builtin_clzll(v) : 0; }
static uint64_t low_mask(unsigned width) { return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1; }
static size_t packed_bytes(uint32_t n, unsigned width) { return ((size_t)n * width + 7) / 8; }

/* -- bits --------------------------------------------------------------------------------------------- */

struct bit_writer {
    uint8_t *p;
    uint64_t acc;
    unsigned held; /* bits in acc, < 64 */
};

static inline void bits_put(struct bit_writer *w, uint64_t v, unsigned width)
{
    w->acc |= v << w->held;
    unsigned sum = w->held + width;
    if (sum < 64) {
        w->held = sum;
        return;
    }
    memcpy(w->p, &w->acc, 8);
    w->p += 8;
    unsigned used = 64 - w->held;
    w->acc = used < 64 ? v >> used : 0;
    w->held = sum - 64;
}

/* Writes up to 7 bytes more than it counts. */
static uint8_t *bits_end(struct bit_writer *w)
{
    memcpy(w->p, &w->acc, 8);
    return w->p + (w->held + 7) / 8;
}

static inline uint64_t bits_get(const uint8_t *p, size_t bit, unsigned width)
{
    uint64_t lo;
    memcpy(&lo, p + bit / 8, 8);
    unsigned shift = bit % 8;
    lo >>= shift;
    if (shift + width > 64) lo |= (uint64_t)p[bit / 8 + 8] << (64 - shift);
    return lo & low_mask(width);
}

/* n values of width bits at p, of which `room` bytes may be read (>= packed_bytes). */
static void unpack(const uint8_t *p, size_t room, uint32_t n, unsigned width, uint64_t *out)
{
    if (width == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    /* Values whose 9 bytes lie inside the room are read in place, the rest from a padded copy. */
    uint32_t direct = 0;
    if (room > 9) direct = (uint32_t)MIN((uint64_t)n, ((uint64_t)(room - 9) * 8) / width);
    size_t bit = 0;
    if (width <= 57) {
        uint64_t mask = low_mask(width);
        for (uint32_t i = 0; i < direct; i++, bit += width) {
            uint64_t v;
            memcpy(&v, p + bit / 8, 8);
            out[i] = v >> bit % 8 & mask;
        }
    } else {
        for (uint32_t i = 0; i < direct; i++, bit += width)
            out[i] = bits_get(p, bit, width);
    }
    if (direct == n) return;
    /* At most 10 bytes and the bits of one value are left. */
    uint8_t tail[64] = { 0 };
    size_t from = bit / 8, left = packed_bytes(n, width) - from;
    ASSERT(left <= sizeof tail - 9);
    memcpy(tail, p + from, left);
    bit %= 8;
    for (uint32_t i = direct; i < n; i++, bit += width)
        out[i] = bits_get(tail, bit, width);
}

/* -- frame of reference ---------------------------------------------------------------------------------- */

struct plan {
    uint64_t base, divisor, bits; /* bits: estimated size */
    unsigned width;
    uint32_t patches;
};

/* The width that costs least when longer values are patched (about 2 bytes and their high bits each). */
static void best_width(const uint32_t lengths[65], uint32_t n, struct plan *p)
{
    uint64_t patch_bits = 0, over = 0;
    p->bits = UINT64_MAX;
    for (unsigned w = 64;; w--) {
        uint64_t cost = (uint64_t)n * w + patch_bits;
        if (cost < p->bits) *p = (struct plan){ p->base, p->divisor, cost, w, (uint32_t)over };
        over += lengths[w];
        patch_bits += (uint64_t)lengths[w] * 16 + over * 8 / 7;
        if (w == 0) break;
    }
}

static void plan_with(const uint64_t *v, uint32_t n, uint64_t base, struct plan *p)
{
    uint32_t lengths[65] = { 0 };
    for (uint32_t i = 0; i < n; i++)
        lengths[bit_length(v[i] - base)]++;
    *p = (struct plan){ .base = base, .divisor = 1 };
    best_width(lengths, n, p);
}

static uint64_t common_divisor(const uint64_t *v, uint32_t n, uint64_t base)
{
    uint64_t g = 0;
    for (uint32_t i = 0; i < n && g != 1; i++) {
        uint64_t x = v[i] - base;
        while (x) {
            uint64_t r = g % x;
            g = x;
            x = r;
        }
    }
    return g ? g : 1;
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
        uint32_t lengths[65] = { 0 };
        for (uint32_t i = 0; i < n; i++)
            lengths[bit_length((v[i] - p.base) / d)]++;
        p.divisor = d;
        best_width(lengths, n, &p);
    }
    return p;
}

static uint8_t *put_frame(uint8_t *out, const uint64_t *v, uint32_t n, const struct plan *p)
{
    out += varint_put(out, zigzag((int64_t)p->base));
    if (p->divisor > 1) out += varint_put(out, p->divisor);
    *out++ = (uint8_t)p->width;
    struct bit_writer w = { .p = out };
    uint64_t mask = low_mask(p->width);
    if (p->width)
        for (uint32_t i = 0; i < n; i++)
            bits_put(&w, (p->divisor > 1 ? (v[i] - p->base) / p->divisor : v[i] - p->base) & mask, p->width);
    out = bits_end(&w);
    if (!p->patches) return out;
    out += varint_put(out, p->patches);
    for (uint32_t i = 0, last = 0; i < n; i++) {
        uint64_t high = (v[i] - p->base) / p->divisor & ~mask;
        if (!high) continue;
        out += varint_put(out, i - last);
        out += varint_put(out, high >> p->width);
        last = i;
    }
    return out;
}

static const uint8_t *get_patches(const uint8_t *p, const uint8_t *end, uint32_t n, unsigned width, uint64_t *out)
{
    uint64_t count, gap, high, at = 0;
    p = varint_get(p, end, &count);
    if (!p || count > n || width >= 64) return NULL;
    for (uint64_t i = 0; i < count; i++) {
        p = varint_get(p, end, &gap);
        if (p) p = varint_get(p, end, &high);
        if (!p || gap >= n || (at += gap) >= n) return NULL;
        out[at] |= high << width;
    }
    return p;
}

static const uint8_t *get_frame(const uint8_t *p, const uint8_t *end, unsigned head, uint32_t n, uint64_t *out)
{
    uint64_t base, divisor = 1;
    p = varint_get(p, end, &base);
    if (p && head & HAS_DIVISOR) p = varint_get(p, end, &divisor);
    if (!p || p == end) return NULL;
    unsigned width = *p++;
    if (width > 64 || packed_bytes(n, width) > (size_t)(end - p)) return NULL;
    unpack(p, (size_t)(end - p), n, width, out);
    p += packed_bytes(n, width);
    if (head & HAS_PATCHES) {
        p = get_patches(p, end, n, width, out);
        if (!p) return NULL;
    }
    uint64_t from = (uint64_t)unzigzag(base);
    if (divisor == 1)
        for (uint32_t i = 0; i < n; i++)
            out[i] += from;
    else
        for (uint32_t i = 0; i < n; i++)
            out[i] = out[i] * divisor + from;
    return p;
}

/* -- integers ------------------------------------------------------------------------------------------- */

static unsigned frame_flags(const struct plan *p)
{
    return (p->divisor > 1 ? HAS_DIVISOR : 0) | (p->patches ? HAS_PATCHES : 0);
}

size_t sample_i64_encode(const int64_t *v, uint32_t n, uint8_t *out)
{
    ASSERT(n > 0 && n <= COL_SAMPLE_MAX);
    uint8_t *p = out + 1;
    bool steady = true;
    for (uint32_t i = 1; i < n; i++) {
        deltas[i - 1] = (uint64_t)v[i] - (uint64_t)v[i - 1];
        steady &= deltas[i - 1] == deltas[0];
    }
    if (steady) {
        bool same = n == 1 || deltas[0] == 0;
        out[0] = same ? CONST : CONST_DELTA;
        p += varint_put(p, zigzag(v[0]));
        if (!same) p += varint_put(p, zigzag((int64_t)deltas[0]));
        return (size_t)(p - out);
    }
    struct plan whole = plan_frame((const uint64_t *)v, n), step = plan_frame(deltas, n - 1);
    if (whole.bits <= step.bits) {
        out[0] = (uint8_t)(FOR | frame_flags(&whole));
        return (size_t)(put_frame(p, (const uint64_t *)v, n, &whole) - out);
    }
    out[0] = (uint8_t)(DELTA | frame_flags(&step));
    p += varint_put(p, zigzag(v[0]));
    return (size_t)(put_frame(p, deltas, n - 1, &step) - out);
}

const uint8_t *sample_i64_decode(const uint8_t *p, const uint8_t *end, uint32_t n, int64_t *out)
{
    uint64_t first, step = 0;
    if (p == end || n == 0 || n > COL_SAMPLE_MAX) return NULL;
    unsigned head = *p++, kind = head & KIND_MASK;
    if (kind == FOR) return get_frame(p, end, head, n, (uint64_t *)out);
    p = varint_get(p, end, &first);
    if (!p) return NULL;
    uint64_t at = (uint64_t)unzigzag(first);
    out[0] = (int64_t)at;
    if (kind == DELTA) {
        if (n > 1) p = get_frame(p, end, head, n - 1, (uint64_t *)out + 1);
        if (!p) return NULL;
        for (uint32_t i = 1; i < n; i++)
            out[i] = (int64_t)(at += (uint64_t)out[i]);
        return p;
    }
    if (kind == CONST_DELTA) p = varint_get(p, end, &step);
    step = (uint64_t)unzigzag(step);
    for (uint32_t i = 1; p && i < n; i++)
        out[i] = (int64_t)(at += step);
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
    double r = v * POW10[e];
    if (!(fabs(r) < 0x1p53)) return false;
    *m = (int64_t)(r + (r < 0 ? -0.5 : 0.5));
    return bits_of((double)*m / POW10[e]) == bits_of(v);
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

static size_t encode_bits(const double *v, uint32_t n, unsigned shift, unsigned width, uint8_t *out)
{
    uint64_t base = bits_of(v[0]);
    out[0] = BITS;
    memcpy(out + 1, &base, 8);
    out[9] = (uint8_t)shift;
    out[10] = (uint8_t)width;
    struct bit_writer w = { .p = out + 11 };
    for (uint32_t i = 0; i < n; i++)
        bits_put(&w, (bits_of(v[i]) ^ base) >> shift, width);
    return (size_t)(bits_end(&w) - out);
}

size_t sample_f64_encode(const double *v, uint32_t n, uint8_t *out)
{
    ASSERT(n > 0 && n <= COL_SAMPLE_MAX);
    uint64_t differ = 0;
    for (uint32_t i = 1; i < n; i++)
        differ |= bits_of(v[i]) ^ bits_of(v[0]);
    if (!differ) {
        out[0] = SAME;
        memcpy(out + 1, &v[0], 8);
        return 9;
    }
    unsigned shift = (unsigned)__builtin_ctzll(differ), width = bit_length(differ) - shift;
    size_t plain = 11 + packed_bytes(n, width);
    int e = find_exponent(v, n);
    if (e >= 0) {
        size_t size = encode_decimal(v, n, (unsigned)e, plain, out);
        if (size <= plain) return size;
    }
    return encode_bits(v, n, shift, width, out);
}

static const uint8_t *decode_decimal(const uint8_t *p, const uint8_t *end, unsigned head, uint32_t n, double *out)
{
    unsigned e = head >> 2 & 31;
    if (e > EXPONENT_MAX) return NULL;
    p = sample_i64_decode(p, end, n, (int64_t *)out);
    if (!p) return NULL;
    const int64_t *m = (const int64_t *)out;
    if (e == 0)
        for (uint32_t i = 0; i < n; i++)
            out[i] = (double)m[i];
    else
        for (uint32_t i = 0; i < n; i++)
            out[i] = (double)m[i] / POW10[e];
    if (!(head & HAS_EXCEPTIONS)) return p;
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
    if (p == end || n == 0 || n > COL_SAMPLE_MAX) return NULL;
    unsigned head = *p++;
    if ((head & KIND_MASK) == DECIMAL) return decode_decimal(p, end, head, n, out);
    if (end - p < 8) return NULL;
    uint64_t base;
    memcpy(&base, p, 8);
    p += 8;
    if (head == SAME) {
        for (uint32_t i = 0; i < n; i++)
            memcpy(&out[i], &base, 8);
        return p;
    }
    if (head != BITS || end - p < 2) return NULL;
    unsigned shift = p[0], width = p[1];
    p += 2;
    if (width > 64 || shift > 63 || shift + width > 64 || packed_bytes(n, width) > (size_t)(end - p)) return NULL;
    uint64_t *bits = (uint64_t *)out;
    unpack(p, (size_t)(end - p), n, width, bits);
    for (uint32_t i = 0; i < n; i++)
        bits[i] = base ^ bits[i] << shift;
    return p + packed_bytes(n, width);
}
