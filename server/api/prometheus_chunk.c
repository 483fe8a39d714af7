#include "server/api/prometheus_chunk.h"

#include "server/api/prometheus_hist.h"

#include <math.h>

struct bits { /* the last byte of `out` has `free` bits left */
    struct buf *out;
    unsigned free;
};

static void put_bits(struct bits *b, uint64_t v, unsigned n)
{
    while (n) {
        if (!b->free) {
            buf_byte(b->out, 0);
            b->free = 8;
        }
        unsigned take = MIN(n, b->free);
        uint8_t part = (uint8_t)(v >> (n - take) & ((1u << take) - 1));
        if (!b->out->failed) b->out->p[b->out->n - 1] |= (char)(part << (b->free - take));
        b->free -= take;
        n -= take;
    }
}

static uint64_t bits_of(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

/* -- floats -------------------------------------------------------------------------------------------------- */
struct window { unsigned leading, trailing; }; /* of the last value that was written with its length */
enum { NO_WINDOW = 64 };

static void put_xor(struct bits *b, uint64_t x, struct window *w)
{
    if (!x) {
        put_bits(b, 0, 1);
        return;
    }
    unsigned leading = MIN((unsigned)__builtin_clzll(x), 31u), trailing = (unsigned)__builtin_ctzll(x);
    if (w->leading != NO_WINDOW && leading >= w->leading && trailing >= w->trailing) {
        put_bits(b, 2, 2);
        put_bits(b, x >> w->trailing, 64 - w->leading - w->trailing);
        return;
    }
    *w = (struct window){ leading, trailing };
    unsigned n = 64 - leading - trailing;
    put_bits(b, 3, 2);
    put_bits(b, leading, 5);
    put_bits(b, n & 63, 6); /* 64 is written as 0 */
    put_bits(b, x >> trailing, n);
}

/* Does it fit into n bits, of which one more positive than negative number does? */
static bool fits(int64_t v, unsigned n)
{
    return -((INT64_C(1) << (n - 1)) - 1) <= v && v <= INT64_C(1) << (n - 1);
}

static void put_dod(struct bits *b, int64_t dod)
{
    static const struct { uint8_t n, mark, marks; } classes[] = { { 14, 2, 2 }, { 17, 6, 3 }, { 20, 14, 4 } };
    if (dod == 0) {
        put_bits(b, 0, 1);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (!fits(dod, classes[i].n)) continue;
        put_bits(b, classes[i].mark, classes[i].marks);
        put_bits(b, (uint64_t)dod, classes[i].n);
        return;
    }
    put_bits(b, 15, 4);
    put_bits(b, (uint64_t)dod, 64);
}

static void put_bytes(struct bits *b, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) put_bits(b, p[i], 8);
}

static void put_floats(const struct pq_samples *s, uint32_t at, uint32_t n, struct bits *b)
{
    struct window w = { NO_WINDOW, 0 };
    uint8_t varint[VARINT_MAX];
    uint64_t delta = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t t = s->t[at + i];
        uint64_t v = bits_of(s->v[at + i]), next = i ? (uint64_t)t - (uint64_t)s->t[at + i - 1] : 0;
        if (i == 0) put_bytes(b, varint, varint_put(varint, zigzag(t)));
        else if (i == 1) put_bytes(b, varint, varint_put(varint, next));
        else put_dod(b, (int64_t)(next - delta));
        if (i == 0) put_bits(b, v, 64);
        else put_xor(b, v ^ bits_of(s->v[at + i - 1]), &w);
        delta = next;
    }
}

/* -- histograms ---------------------------------------------------------------------------------------------- */
static const uint8_t VARBIT[] = { 3, 6, 9, 12, 18, 25, 56, 64 };

static void put_varbit(struct bits *b, uint64_t v, unsigned class)
{
    bool last = class + 1 == ARRAY_LEN(VARBIT);
    put_bits(b, last ? 0xff : ((1u << (class + 1)) - 1) << 1, last ? 8 : class + 2);
    put_bits(b, v, VARBIT[class]);
}

static void put_varbit_int(struct bits *b, int64_t v)
{
    unsigned c = 0;
    while (c + 1 < ARRAY_LEN(VARBIT) && !fits(v, VARBIT[c])) c++;
    if (v == 0) put_bits(b, 0, 1);
    else put_varbit(b, (uint64_t)v, c);
}

static void put_varbit_uint(struct bits *b, uint64_t v)
{
    unsigned c = 0;
    while (c + 1 < ARRAY_LEN(VARBIT) && v >> VARBIT[c]) c++;
    if (v == 0) put_bits(b, 0, 1);
    else put_varbit(b, v, c);
}

static void put_zero_threshold(struct bits *b, double v)
{
    int exp;
    if (v == 0) {
        put_bits(b, 0, 8);
    } else if (frexp(v, &exp) == 0.5 && exp >= -242 && exp <= 11) {
        put_bits(b, (uint64_t)(exp + 243), 8);
    } else {
        put_bits(b, 255, 8);
        put_bits(b, bits_of(v), 64);
    }
}

static void count_span(void *ctx, int32_t offset, uint32_t length)
{
    (void)offset, (void)length;
    ++*(uint64_t *)ctx;
}
static void put_span(void *ctx, int32_t offset, uint32_t length)
{
    put_varbit_uint(ctx, length);
    put_varbit_int(ctx, offset);
}
static void put_spans(struct bits *b, const struct pq_buckets *s)
{
    uint64_t n = 0;
    prom_hist_spans(s, count_span, &n);
    put_varbit_uint(b, n);
    prom_hist_spans(s, put_span, b);
}

static void put_bound(struct bits *b, double v)
{
    double thousandths = v * 1000;
    if (thousandths >= 0 && thousandths <= 33554430 && thousandths == floor(thousandths)) {
        put_varbit_uint(b, (uint64_t)thousandths + 1);
    } else {
        put_bits(b, 0, 1);
        put_bits(b, bits_of(v), 64);
    }
}

static void put_histogram(const struct pq_hist *h, int64_t t, struct bits *b)
{
    static const uint8_t resets[] = { [NHIST_UNKNOWN] = 0, [NHIST_RESET] = 0x80, [NHIST_NOT_RESET] = 0x40, [NHIST_GAUGE] = 0xc0 };
    put_bits(b, h->hint < ARRAY_LEN(resets) ? resets[h->hint] : 0, 8);
    put_zero_threshold(b, h->zero_threshold);
    put_varbit_int(b, h->schema);
    put_spans(b, &h->pos);
    put_spans(b, &h->neg);
    if (pq_hist_custom(h)) {
        put_varbit_uint(b, h->ncustom);
        for (uint32_t i = 0; i < h->ncustom; i++) put_bound(b, h->custom[i]);
    }
    put_varbit_int(b, t);
    put_bits(b, bits_of(h->count), 64);
    put_bits(b, bits_of(h->zero_count), 64);
    put_bits(b, bits_of(h->sum), 64);
    for (uint32_t i = 0; i < h->pos.n; i++) put_bits(b, bits_of(h->pos.count[i]), 64);
    for (uint32_t i = 0; i < h->neg.n; i++) put_bits(b, bits_of(h->neg.count[i]), 64);
}

/* -- chunks -------------------------------------------------------------------------------------------------- */
uint32_t prom_chunk_next(const struct pq_samples *s, uint32_t at)
{
    uint32_t n = 0;
    if (s->h && s->h[at]) return 1;
    while (at + n < s->n && n < PROM_CHUNK_SAMPLES_MAX && !(s->h && s->h[at + n])) n++;
    return n;
}

unsigned prom_chunk_put(const struct pq_samples *s, uint32_t at, uint32_t n, struct buf *out)
{
    struct bits b = { out, 0 };
    put_bits(&b, n, 16);
    if (s->h && s->h[at]) {
        put_histogram(s->h[at], s->t[at], &b);
        return PROM_CHUNK_FLOAT_HISTOGRAM;
    }
    put_floats(s, at, n, &b);
    return PROM_CHUNK_XOR;
}
