/* Bits: u8 mode, then
 *   NONE, ALL   nothing
 *   RAW         (n + 7) / 8 bytes, bit 0 first; bits behind n clear
 *   RUNS        u8 first bit; varint lengths of runs, each >= 1, that add up to n */
#include "base/core/assert.h"
#include "storage/col_codec.h"

enum { BITS_NONE, BITS_ALL, BITS_RAW, BITS_RUNS };

/* Length of the run of equal bits that begins at `from`. */
static uint32_t run_length(const uint64_t *words, uint32_t n, uint32_t from)
{
    uint64_t flip = words[from / 64] >> (from % 64) & 1 ? 0 : UINT64_MAX;
    uint32_t at = from;
    while (at < n) {
        uint64_t rest = ~(words[at / 64] ^ flip) >> (at % 64); /* first set bit ends the run */
        uint32_t left = 64 - at % 64;
        uint32_t same = rest ? (uint32_t)__builtin_ctzll(rest) : left;
        at += MIN(same, left);
        if (same < left) break;
    }
    return MIN(at, n) - from;
}

void col_bits_encode(const uint64_t *words, uint32_t n, struct buf *out)
{
    if (!words || n == 0) {
        buf_byte(out, BITS_ALL);
        return;
    }
    uint32_t first = run_length(words, n, 0);
    if (first == n) {
        buf_byte(out, words[0] & 1 ? BITS_ALL : BITS_NONE);
        return;
    }
    size_t raw = (n + 7) / 8, mark = out->n;
    buf_byte(out, BITS_RUNS);
    buf_byte(out, words[0] & 1);
    uint32_t at = 0;
    while (at < n && out->n - mark < raw && !out->failed) {
        uint32_t run = run_length(words, n, at);
        buf_varint(out, run);
        at += run;
    }
    if (at == n) return;
    out->n = MIN(mark, out->n);
    buf_byte(out, BITS_RAW);
    char *to = buf_reserve(out, raw);
    if (!to) return;
    memcpy(to, words, raw);
    if (n % 8) to[raw - 1] = (char)(to[raw - 1] & ((1 << n % 8) - 1));
    out->n += raw;
}

static void set_range(uint64_t *words, uint32_t from, uint32_t to)
{
    while (from < to) {
        uint32_t in = from % 64, take = MIN(64 - in, to - from);
        words[from / 64] |= (take == 64 ? UINT64_MAX : (UINT64_C(1) << take) - 1) << in;
        from += take;
    }
}

static err_t decode_runs(struct cur *c, uint32_t n, uint64_t *words)
{
    uint8_t bit;
    TRY(cur_u8(c, &bit));
    if (bit > 1) return err_set(ERR_CORRUPT, "runs of bits begin with %u", bit);
    for (uint32_t at = 0, run; at < n; at += run, bit ^= 1) {
        TRY(cur_count(c, n - at, &run));
        if (run == 0) return err_set(ERR_CORRUPT, "an empty run of bits");
        if (bit) set_range(words, at, at + run);
    }
    return OK;
}

err_t col_bits_decode(struct cur *c, uint32_t n, uint64_t *words, uint32_t *ones)
{
    uint32_t nwords = (n + 63) / 64;
    memset(words, 0, nwords * sizeof *words);
    uint8_t mode;
    TRY(cur_u8(c, &mode));
    if (mode == BITS_ALL) {
        set_range(words, 0, n);
    } else if (mode == BITS_RAW) {
        const uint8_t *p;
        TRY(cur_take(c, (n + 7) / 8, &p));
        memcpy(words, p, (n + 7) / 8);
        if (n % 64 && words[nwords - 1] >> (n % 64)) return err_set(ERR_CORRUPT, "bits behind the end");
    } else if (mode == BITS_RUNS) {
        TRY(decode_runs(c, n, words));
    } else if (mode != BITS_NONE) {
        return err_set(ERR_CORRUPT, "bits of mode %u", mode);
    }
    *ones = 0;
    for (uint32_t i = 0; i < nwords; i++)
        *ones += (uint32_t)__builtin_popcountll(words[i]);
    return OK;
}

bool col_bits_skip_all(struct cur *c)
{
    if (c->p >= c->end || *c->p != BITS_ALL) return false;
    c->p++;
    return true;
}
