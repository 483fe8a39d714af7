/* Fixed-size values (ids): u8 mode, then
 *   RAW    n * width bytes
 *   DICT   varint count; count * width bytes, distinct, in order of appearance; codes (col_code)
 * Ids are random and no compressor gains on them, but a trace id stands in every span of its trace. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/table_grow.h"

#include <stdlib.h>

enum { FIX_RAW, FIX_DICT };
/* Rows of a request that share an id stand close together: without a repetition among so many values a light encoder
 * looks no further. */
enum { LIGHT_PROBE = 128 };

/* Codes of the values; the number of distinct ones, or 0 when there are more than max or the first `probe` are
 * all distinct. `first`: where each stands first. */
static uint32_t number_distinct(const uint8_t *v, uint32_t n, uint32_t width, uint32_t max, uint32_t probe,
                                uint32_t *codes, uint32_t *first)
{
    uint32_t cap = 16, count = 0;
    while (cap < MIN(n, max) / 5 * 8)
        cap *= 2;
    uint32_t *slots = calloc(cap, sizeof *slots); /* code + 1, by a hash of the value; at most 5/8 full */
    ASSERT(slots);
    uint64_t seed = hash_seeded64(STR("fix"));
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p = v + (size_t)i * width;
        uint32_t at = (uint32_t)hash64_with(str_n(p, width), seed) & (cap - 1);
        while (slots[at] && !grow_equal((const char *)v + (size_t)first[slots[at] - 1] * width, (const char *)p, width))
            at = (at + 1) & (cap - 1);
        if (!slots[at]) {
            if (count == max || (count == probe && i == probe)) {
                count = 0;
                break;
            }
            first[count] = i;
            slots[at] = ++count;
        }
        codes[i] = slots[at] - 1;
    }
    free(slots);
    return count;
}

static void put_raw(const uint8_t *v, uint32_t n, uint32_t width, struct buf *out, struct col_marks *m)
{
    for (uint32_t i = 0; i < n; i += COL_FIX_MARK) {
        buf_put(out, v + (size_t)i * width, (size_t)MIN(n - i, (uint32_t)COL_FIX_MARK) * width);
        col_mark_values(m, out);
    }
}

static void put_dict(const uint8_t *v, uint32_t n, uint32_t width, const uint32_t *codes, const uint32_t *first,
                     uint32_t count, struct buf *out, struct col_marks *m)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_put(out, v + (size_t)first[i] * width, width);
        if ((i + 1) % COL_BLOCK == 0 || i + 1 == count) col_mark_dict(m, out);
    }
    for (uint32_t i = 0; i < n; i += COL_BLOCK) {
        col_code_encode(codes + i, MIN(n - i, (uint32_t)COL_BLOCK), out);
        col_mark_values(m, out);
    }
}

void col_fix_encode(const uint8_t *v, uint32_t n, uint32_t width, enum col_level level, struct buf *out, struct col_marks *m)
{
    ASSERT(width >= 1 && width <= 16);
    uint32_t count = 0, *codes = NULL;
    if (n >= 4) {
        codes = malloc((size_t)n * 2 * sizeof *codes);
        ASSERT(codes);
        /* A code takes at most 2 bytes up to a full group. */
        uint32_t max = width > 2 ? (uint32_t)((uint64_t)n * (width - 2) / width) : 0;
        if (max) count = number_distinct(v, n, width, max, level == COL_LIGHT ? LIGHT_PROBE : n, codes, codes + n);
    }
    buf_byte(out, count ? FIX_DICT : FIX_RAW);
    if (count) buf_varint(out, count);
    col_mark_head(m, out);
    if (count)
        put_dict(v, n, width, codes, codes + n, count, out, m);
    else
        put_raw(v, n, width, out, m);
    free(codes);
}

err_t col_fix_head(struct cur *c, uint32_t n, uint32_t *count)
{
    uint8_t mode;
    *count = 0;
    TRY(cur_u8(c, &mode));
    if (mode == FIX_RAW) return OK;
    if (mode != FIX_DICT) return err_set(ERR_CORRUPT, "fixed-size values of mode %u", mode);
    TRY(cur_count(c, n, count));
    return *count ? OK : err_set(ERR_CORRUPT, "a dictionary without entries");
}

err_t col_fix_decode(struct cur *c, uint32_t n, uint32_t width, uint8_t *out)
{
    const uint8_t *p;
    uint32_t count;
    TRY(col_fix_head(c, n, &count));
    col_saw(count ? "dictionary" : "raw");
    if (!count) {
        TRY(cur_take(c, (size_t)n * width, &p));
        if (n) memcpy(out, p, (size_t)n * width);
        return OK;
    }
    TRY(cur_take(c, (size_t)count * width, &p));
    uint32_t *codes = malloc(((size_t)n + 1) * sizeof *codes);
    ASSERT(codes);
    err_t e = col_code_decode(c, n, count, codes);
    for (uint32_t i = 0; e == OK && i < n; i++)
        memcpy(out + (size_t)i * width, p + (size_t)codes[i] * width, width);
    free(codes);
    return e;
}

err_t col_fix_decode_at(struct cur *c, uint32_t n, uint32_t width, const uint32_t *at, uint32_t k, uint8_t *out)
{
    const uint8_t *p;
    uint32_t count, *codes = NULL;
    TRY(col_fix_head(c, n, &count));
    TRY(cur_take(c, (size_t)(count ? count : n) * width, &p));
    err_t e = OK;
    if (count) {
        codes = malloc(((size_t)k + 1) * sizeof *codes);
        ASSERT(codes);
        e = col_code_decode_at(c, n, count, at, k, codes);
    }
    for (uint32_t i = 0; e == OK && i < k; i++)
        memcpy(out + (size_t)i * width, p + (size_t)(codes ? codes[i] : at[i]) * width, width);
    free(codes);
    return e;
}
