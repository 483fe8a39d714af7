#include "storage/col_seq.h"

#include "base/core/assert.h"
#include "storage/bits_out.h"

#include <math.h>
#include <stdlib.h>

enum { MODE_CONST, MODE_INT, MODE_ZSTD, MODE_ANS };
enum { DIRECT = 32, SYMBOLS = DIRECT + 2 * (64 - 5), LOG_MIN = 7, LOG_MAX = 12, STATE_MIN = 1 << 16 };
enum { ZSTD_LEVEL = 3, ZSTD_VALUES_MIN = 48, ZSTD_SAMPLE = 2048, INT_VALUES_MAX = 512 };
#define ZSTD_SAMPLE_SLACK 1.15

/* -- symbols ------------------------------------------------------------------------------------------------------- */

static inline unsigned symbol_of(uint64_t v)
{
    if (v < DIRECT) return (unsigned)v;
    unsigned bits = bits_of(v);
    return DIRECT + (bits - 6) * 2 + (unsigned)(v >> (bits - 2) & 1);
}
static inline unsigned tail_bits(unsigned symbol) { return symbol < DIRECT ? 0 : 4 + (symbol - DIRECT) / 2; }
static inline uint64_t symbol_base(unsigned symbol)
{
    return symbol < DIRECT ? symbol : (uint64_t)(2 | ((symbol - DIRECT) & 1)) << tail_bits(symbol);
}

static unsigned count_symbols(const uint64_t *v, uint32_t n, uint32_t count[SYMBOLS])
{
    unsigned last = 0;
    memset(count, 0, SYMBOLS * sizeof *count);
    for (uint32_t i = 0; i < n; i++) {
        unsigned s = symbol_of(v[i]);
        count[s]++;
        last = MAX(last, s);
    }
    return last;
}

/* -- bits ---------------------------------------------------------------------------------------------------------- */

struct bits_in {
    const uint8_t *p;
    size_t n, at; /* bytes; bits read */
};
/* Up to 32 bits; behind the end there are zeros, and `at` tells. */
static inline uint64_t bits_get32(struct bits_in *b, unsigned n)
{
    uint64_t w = 0;
    size_t byte = b->at / 8;
    if (byte + 8 <= b->n)
        memcpy(&w, b->p + byte, 8);
    else if (byte < b->n)
        memcpy(&w, b->p + byte, b->n - byte);
    w >>= b->at % 8;
    b->at += n;
    return w & ((UINT64_C(1) << n) - 1);
}
static inline uint64_t bits_get(struct bits_in *b, unsigned n)
{
    if (n <= 32) return bits_get32(b, n);
    uint64_t low = bits_get32(b, 32);
    return low | bits_get32(b, n - 32) << 32;
}

/* -- frequencies --------------------------------------------------------------------------------------------------- */

/* Frequencies of the symbols, at least one for each that occurs, together 2^log. */
static void scale_counts(const uint32_t *count, unsigned last, uint32_t n, unsigned log, uint16_t *freq)
{
    uint32_t whole = 1u << log, sum = 0;
    unsigned most = 0;
    for (unsigned s = 0; s <= last; s++) {
        uint64_t f = (uint64_t)count[s] * whole / n;
        freq[s] = (uint16_t)(count[s] ? MAX(f, 1) : 0);
        sum += freq[s];
        if (freq[s] > freq[most]) most = s;
    }
    while (sum > whole) { /* many rare symbols: the frequent ones give, in proportion */
        uint32_t before = sum;
        for (unsigned s = 0; s <= last && sum > whole; s++) {
            uint32_t give = MIN(MAX(freq[s] / 8u, 1u), sum - whole);
            if (freq[s] > 1 + give) {
                freq[s] = (uint16_t)(freq[s] - give);
                sum -= give;
            } else if (freq[s] > 1 && freq[s] > whole / 256) {
                freq[s]--;
                sum--;
            }
        }
        for (unsigned s = 0; s <= last && sum > whole && sum == before; s++)
            if (freq[s] > 1) {
                freq[s]--;
                sum--;
            }
    }
    freq[most] = (uint16_t)(freq[most] + whole - sum);
}

static void put_frequencies(const uint16_t *freq, unsigned last, struct buf *out)
{
    struct bits_out b = { .to = out };
    bits_put(&b, last, 8);
    for (unsigned s = 0; s <= last; s++) {
        unsigned n = bits_of(freq[s]);
        bits_put(&b, n, 4);
        if (n > 1) bits_put(&b, freq[s] & ((1u << (n - 1)) - 1), n - 1);
    }
    bits_end(&b);
}

static err_t get_frequencies(struct cur *c, unsigned log, uint16_t freq[SYMBOLS])
{
    struct bits_in b = { .p = c->p, .n = (size_t)(c->end - c->p) };
    unsigned last = (unsigned)bits_get32(&b, 8);
    uint32_t sum = 0;
    memset(freq, 0, SYMBOLS * sizeof *freq);
    if (last >= SYMBOLS) return err_set(ERR_CORRUPT, "symbol %u of a sequence", last);
    for (unsigned s = 0; s <= last; s++) {
        unsigned n = (unsigned)bits_get32(&b, 4);
        if (n) freq[s] = (uint16_t)(1u << (n - 1) | (n > 1 ? bits_get32(&b, n - 1) : 0));
        sum += freq[s];
    }
    if (sum != 1u << log) return err_set(ERR_CORRUPT, "frequencies that add up to %u, not to 2^%u", sum, log);
    const uint8_t *p;
    return cur_take(c, (b.at + 7) / 8, &p);
}

/* -- states -------------------------------------------------------------------------------------------------------- */

static unsigned log_for(uint32_t n) { return MIN(MAX(bits_of(n) + 1, (unsigned)LOG_MIN), (unsigned)LOG_MAX); }

/* More symbols than a small table has room for. */
static unsigned log_with_room(uint32_t n, const uint32_t *count, unsigned last)
{
    unsigned log = log_for(n), used = 0;
    for (unsigned s = 0; s <= last; s++)
        used += count[s] != 0;
    return MAX(log, bits_of(used) + 1);
}

static void put_states(const uint64_t *v, uint32_t n, const uint16_t *freq, unsigned log, struct buf *out)
{
    uint16_t start[SYMBOLS], *words = malloc(((size_t)n + 8) * sizeof *words);
    uint64_t inverse[SYMBOLS]; /* x * this / 2^64 is x / freq: exact for x < 2^32, freq <= 2^12 */
    uint32_t state[2] = { STATE_MIN, STATE_MIN }, at = n + 8, sum = 0;
    ASSERT(words);
    for (unsigned s = 0; s < SYMBOLS; s++) {
        start[s] = (uint16_t)sum;
        sum += freq[s];
        inverse[s] = freq[s] > 1 ? UINT64_MAX / freq[s] + 1 : 0;
    }
    for (uint32_t i = n; i-- > 0;) {
        unsigned s = symbol_of(v[i]);
        uint32_t x = state[i & 1], f = freq[s];
        if (x >= (uint64_t)f << (32 - log)) { /* at most one word a symbol */
            words[--at] = (uint16_t)x;
            x >>= 16;
        }
        uint32_t q = f > 1 ? (uint32_t)((unsigned __int128)x * inverse[s] >> 64) : x;
        state[i & 1] = (q << log) + (x - q * f) + start[s];
    }
    for (int k = 1; k >= 0; k--) {
        words[--at] = (uint16_t)(state[k] >> 16);
        words[--at] = (uint16_t)state[k];
    }
    buf_varint(out, (n + 8 - at) * sizeof *words);
    buf_put(out, words + at, (n + 8 - at) * sizeof *words);
    free(words);
}

static void put_ans(const uint64_t *v, uint32_t n, const uint32_t *count, unsigned last, struct buf *out)
{
    uint16_t freq[SYMBOLS] = { 0 };
    unsigned log = log_with_room(n, count, last);
    scale_counts(count, last, n, log, freq);
    buf_byte(out, MODE_ANS);
    buf_byte(out, (uint8_t)log);
    put_frequencies(freq, last, out);
    put_states(v, n, freq, log, out);
    struct bits_out b = { .to = out };
    for (uint32_t i = 0; i < n; i++) {
        unsigned tail = tail_bits(symbol_of(v[i]));
        if (tail) bits_put(&b, v[i] & ((UINT64_C(1) << tail) - 1), tail);
    }
    bits_end(&b);
}

struct slot {
    uint16_t symbol, freq, offset;
};
static _Thread_local struct slot slots[1 << LOG_MAX];

static void fill_slots(const uint16_t *freq)
{
    for (unsigned s = 0, at = 0; s < SYMBOLS; s++)
        for (unsigned k = 0; k < freq[s]; k++)
            slots[at++] = (struct slot){ (uint16_t)s, freq[s], (uint16_t)k };
}

static uint32_t word32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static err_t get_ans(struct cur *c, uint32_t n, uint64_t *out)
{
    uint16_t freq[SYMBOLS];
    uint8_t log;
    uint64_t size;
    const uint8_t *p;
    TRY(cur_u8(c, &log));
    if (log < LOG_MIN || log > LOG_MAX) return err_set(ERR_CORRUPT, "frequencies out of 2^%u", log);
    TRY(get_frequencies(c, log, freq));
    fill_slots(freq);
    TRY(cur_varint(c, &size));
    if (size < 8 || size % 2 || size > (uint64_t)(c->end - c->p)) return err_set(ERR_CORRUPT, "%llu bytes of states", (unsigned long long)size);
    TRY(cur_take(c, (size_t)size, &p));
    const uint8_t *end = p + size;
    uint32_t state[2] = { word32(p), word32(p + 4) }, mask = (1u << log) - 1;
    p += 8;
    uint64_t tails = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t x = state[i & 1];
        const struct slot *s = &slots[x & mask];
        x = s->freq * (x >> log) + s->offset;
        if (x < STATE_MIN && p < end) {
            x = x << 16 | (uint32_t)(p[0] | p[1] << 8);
            p += 2;
        }
        state[i & 1] = x;
        out[i] = s->symbol;
        tails |= s->symbol >= DIRECT;
    }
    if (p != end || state[0] != STATE_MIN || state[1] != STATE_MIN) return err_set(ERR_CORRUPT, "the states of a sequence do not come out");
    if (!tails) return OK;
    struct bits_in b = { .p = c->p, .n = (size_t)(c->end - c->p) };
    for (uint32_t i = 0; i < n; i++) {
        unsigned s = (unsigned)out[i], tail = tail_bits(s);
        if (tail) out[i] = symbol_base(s) | bits_get(&b, tail);
    }
    return cur_take(c, (b.at + 7) / 8, &p);
}

/* -- sequences ----------------------------------------------------------------------------------------------------- */

static double ans_size(const uint32_t *count, unsigned last, uint32_t n)
{
    double bits = 0, log_n = log2(n);
    for (unsigned s = 0; s <= last; s++) {
        bits += 4;
        if (count[s]) bits += count[s] * (log_n - log2(count[s]) + tail_bits(s)) + 6;
    }
    return bits / 8 + 14;
}

double col_seq_estimate(const uint64_t *v, uint32_t n)
{
    uint32_t count[SYMBOLS];
    if (n == 0) return 0;
    unsigned last = count_symbols(v, n, count);
    for (unsigned s = 0; s < DIRECT; s++)
        if (count[s] == n) return 2;
    return ans_size(count, last, n);
}

static bool put_zstd(const uint64_t *v, uint32_t n, size_t below, struct buf *out)
{
    struct buf raw, packed;
    buf_init(&raw, (size_t)n * VARINT_MAX, NULL);
    buf_init(&packed, (size_t)n * VARINT_MAX + 1024, NULL);
    for (uint32_t i = 0; i < n; i++)
        buf_varint(&raw, v[i]);
    bool better = col_zstd_pack(buf_view(&raw), ZSTD_LEVEL, &packed) && packed.n + 6 < below;
    if (better) {
        buf_byte(out, MODE_ZSTD);
        buf_varint(out, raw.n);
        buf_lstr(out, buf_view(&packed));
    }
    buf_deinit(&raw);
    buf_deinit(&packed);
    return better;
}

/* A part of the values says whether they come again in the same order, more than their frequencies tell. */
static bool zstd_may_win(const uint64_t *v, uint32_t n)
{
    uint32_t count[SYMBOLS];
    struct buf b;
    if (n <= 2 * ZSTD_SAMPLE) return true;
    v += (n - ZSTD_SAMPLE) / 2;
    unsigned last = count_symbols(v, ZSTD_SAMPLE, count);
    buf_init(&b, (size_t)ZSTD_SAMPLE * (VARINT_MAX + 8), NULL);
    bool may = put_zstd(v, ZSTD_SAMPLE, (size_t)(ans_size(count, last, ZSTD_SAMPLE) * ZSTD_SAMPLE_SLACK), &b);
    buf_deinit(&b);
    return may;
}

/* So few that plain integers may be the least. */
static void put_few(const uint64_t *v, uint32_t n, const uint32_t *count, unsigned last, double ans, struct buf *out)
{
    struct buf ints;
    buf_init(&ints, (size_t)n * 9 + 1024, NULL);
    col_int_encode((const int64_t *)v, n, &ints);
    size_t below = ans < (double)ints.n ? (size_t)ans : ints.n;
    if (n < ZSTD_VALUES_MIN || !put_zstd(v, n, below, out)) {
        if (ans < (double)ints.n) {
            put_ans(v, n, count, last, out);
        } else {
            buf_byte(out, MODE_INT);
            buf_str(out, buf_view(&ints));
        }
    }
    buf_deinit(&ints);
}

void col_seq_encode(const uint64_t *v, uint32_t n, struct buf *out)
{
    uint32_t count[SYMBOLS], same = 0;
    if (n == 0) return;
    while (same < n && v[same] == v[0])
        same++;
    if (same == n) {
        buf_byte(out, MODE_CONST);
        buf_varint(out, v[0]);
        return;
    }
    unsigned last = count_symbols(v, n, count);
    double ans = ans_size(count, last, n);
    if (n <= INT_VALUES_MAX) {
        put_few(v, n, count, last, ans, out);
    } else if (!zstd_may_win(v, n) || !put_zstd(v, n, (size_t)ans, out)) {
        put_ans(v, n, count, last, out);
    }
}

static err_t get_zstd(struct cur *c, uint32_t n, uint64_t *out)
{
    uint64_t size;
    struct str packed;
    TRY(cur_varint(c, &size));
    if (size < n || size > (uint64_t)n * VARINT_MAX) return err_set(ERR_CORRUPT, "%u values in %llu bytes", n, (unsigned long long)size);
    TRY(cur_str(c, SIZE_MAX, &packed));
    char *raw = malloc((size_t)size + 1);
    ASSERT(raw);
    err_t e;
    TRY_OUT(e, col_zstd_unpack(packed, raw, (size_t)size));
    struct cur in = { (const uint8_t *)raw, (const uint8_t *)raw + size };
    for (uint32_t i = 0; i < n; i++)
        TRY_OUT(e, cur_varint(&in, &out[i]));
    if (in.p != in.end) e = err_set(ERR_CORRUPT, "bytes behind a sequence");
out:
    free(raw);
    return e;
}

err_t col_seq_decode(struct cur *c, uint32_t n, uint64_t *out)
{
    uint8_t mode;
    uint64_t v;
    if (n == 0) return OK;
    TRY(cur_u8(c, &mode));
    switch (mode) {
    case MODE_CONST:
        TRY(cur_varint(c, &v));
        for (uint32_t i = 0; i < n; i++)
            out[i] = v;
        return OK;
    case MODE_INT: return col_int_decode(c, n, (int64_t *)out);
    case MODE_ZSTD: return get_zstd(c, n, out);
    case MODE_ANS: return get_ans(c, n, out);
    default: return err_set(ERR_CORRUPT, "a sequence of mode %u", mode);
    }
}
