/* A dictionary, in blocks of whole entries that are decoded one by one:
 *   dict    = varint count | when count > 0: varint nblocks | varint entries, varint raw of each block but the last |
 *             varint raw of the last | block*
 *   block   = varint size << 2 | kind | size bytes, by kind
 *     RAW   lengths of the entries (col_code) | their bytes
 *     ZSTD  lengths of the entries (col_code) | their bytes, zstd
 * Raw: the sum of a block's lengths, at most COL_STR_BLOCK unless it has a single entry. Block size and level are the
 * measured sweet spot for telemetry text: zstd-1 at 256 KiB is within 2 % of 1 MiB, and zstd-3 gains nothing. */
#include "base/core/assert.h"
#include "storage/col_codec.h"

#include <stdlib.h>

enum { KIND_RAW, KIND_ZSTD };

/* zstd says 128 KiB with four bytes at best: claims that the bytes at hand cannot keep are refused before memory is taken. */
enum { RAW_PER_BYTE_MAX = 32768 };

/* -- writing ------------------------------------------------------------------------------------------------------ */

/* How many entries from i on make the next block. */
static uint32_t block_entries(const struct dict *d, uint32_t i)
{
    uint32_t from = d->offset[i], n = 1;
    while (i + n < d->count && d->offset[i + n + 1] - from <= COL_STR_BLOCK)
        n++;
    return n;
}

static void put_lengths(const uint32_t *offset, uint32_t n, struct buf *out)
{
    uint32_t *lengths = malloc(n * sizeof *lengths);
    ASSERT(lengths);
    for (uint32_t i = 0; i < n; i++)
        lengths[i] = offset[i + 1] - offset[i];
    col_code_encode(lengths, n, out);
    free(lengths);
}

static void put_block(const struct dict *d, uint32_t i, uint32_t n, enum col_level level, struct buf *out)
{
    struct str raw = { d->bytes + d->offset[i], d->offset[i + n] - d->offset[i] };
    struct buf b;
    buf_init(&b, COL_DICT_BYTES_MAX, out->budget);
    put_lengths(d->offset + i, n, &b);
    size_t head = b.n;
    unsigned kind = level == COL_SEAL && col_zstd_pack(raw, 1, &b) ? KIND_ZSTD : KIND_RAW;
    buf_varint(out, (uint64_t)(kind == KIND_RAW ? head + raw.n : b.n) << 2 | kind);
    buf_str(out, buf_view(&b));
    if (kind == KIND_RAW) buf_str(out, raw);
    out->failed |= b.failed;
    buf_deinit(&b);
}

void col_dict_encode(const struct dict *d, enum col_level level, struct buf *out, struct col_marks *m)
{
    buf_varint(out, d->count);
    uint32_t nblocks = 0;
    for (uint32_t i = 0; i < d->count; i += block_entries(d, i))
        nblocks++;
    if (nblocks) buf_varint(out, nblocks);
    for (uint32_t i = 0, n; i < d->count; i += n) {
        n = block_entries(d, i);
        if (i + n < d->count) buf_varint(out, n);
        buf_varint(out, d->offset[i + n] - d->offset[i]);
    }
    col_mark_head(m, out);
    for (uint32_t i = 0, n; i < d->count && !out->failed; i += n) {
        n = block_entries(d, i);
        put_block(d, i, n, level, out);
        col_mark_dict(m, out);
    }
}

/* -- reading ------------------------------------------------------------------------------------------------------ */

err_t col_dict_head(struct cur *c, uint32_t count_max, struct arena *a, struct col_dict *out)
{
    *out = (struct col_dict){ 0 };
    TRY(cur_count(c, count_max, &out->count));
    if (out->count) TRY(cur_count(c, out->count, &out->nblocks));
    if (out->count && (out->nblocks == 0 || out->nblocks > c->end - c->p))
        return err_set(ERR_CORRUPT, "a dictionary of %u entries in %u blocks", out->count, out->nblocks);
    out->first = ARENA_ARRAY(a, uint32_t, (size_t)out->nblocks + 1);
    out->from = ARENA_ARRAY(a, uint32_t, (size_t)out->nblocks + 1);
    TRY(arena_check(a));
    for (uint32_t b = 0; b < out->nblocks; b++) {
        uint32_t left = out->count - out->first[b], n = left, raw;
        if (b + 1 < out->nblocks) TRY(cur_count(c, left, &n));
        TRY(cur_count(c, COL_DICT_BYTES_MAX - out->from[b], &raw));
        if (n == 0 || (n > 1 && raw > COL_STR_BLOCK))
            return err_set(ERR_CORRUPT, "%u entries of %u bytes in a block of a dictionary", n, raw);
        out->first[b + 1] = out->first[b] + n;
        out->from[b + 1] = out->from[b] + raw;
    }
    return OK;
}

/* The n entries of one block, raw bytes: these to `to`, their ends, counted from `base`, to `ends`. */
static err_t get_block(struct cur *c, uint32_t n, uint32_t raw, uint32_t base, uint32_t *ends, char *to)
{
    uint64_t head, total = 0;
    const uint8_t *p;
    TRY(cur_varint(c, &head));
    unsigned kind = head & 3;
    TRY(cur_take(c, (size_t)(head >> 2), &p));
    struct cur in = { p, c->p };
    TRY(col_code_decode(&in, n, raw + 1, ends));
    for (uint32_t i = 0; i < n; i++) {
        total += ends[i];
        ends[i] = (uint32_t)(base + MIN(total, raw));
    }
    if (total != raw) return err_set(ERR_CORRUPT, "strings of %llu bytes in a block of %u", (unsigned long long)total, raw);
    size_t left = (size_t)(in.end - in.p);
    if (kind == KIND_ZSTD) return col_zstd_unpack(str_n(in.p, left), to, raw);
    if (kind != KIND_RAW || left != raw)
        return err_set(ERR_CORRUPT, "%zu bytes in a block of kind %u that shall be %u", left, kind, raw);
    memcpy(to, in.p, raw);
    return OK;
}

static err_t check_total(const struct cur *c, uint32_t total)
{
    if (total / RAW_PER_BYTE_MAX > c->end - c->p) return err_set(ERR_CORRUPT, "a dictionary cut short");
    return OK;
}

err_t col_dict_decode(struct cur *c, uint32_t count_max, struct arena *a, struct dict *out)
{
    struct col_dict d;
    TRY(col_dict_head(c, count_max, a, &d));
    uint32_t total = d.from[d.nblocks], *offset = ARENA_RAW(a, uint32_t, (size_t)d.count + 1);
    TRY(check_total(c, total));
    char *bytes = arena_alloc_aligned(a, (size_t)total + 1, 1);
    TRY(arena_check(a));
    offset[0] = 0;
    for (uint32_t b = 0; b < d.nblocks; b++)
        TRY(get_block(c, d.first[b + 1] - d.first[b], d.from[b + 1] - d.from[b], d.from[b], offset + 1 + d.first[b], bytes + d.from[b]));
    *out = (struct dict){ .count = d.count, .offset = offset, .bytes = bytes };
    return OK;
}

/* -- few entries -------------------------------------------------------------------------------------------------- */

struct opened { /* a block of which entries are wanted */
    uint32_t *ends;
    char *bytes;
};

uint32_t col_dict_block_of(const struct col_dict *d, uint32_t code)
{
    uint32_t lo = 0, hi = d->nblocks;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (d->first[mid] <= code)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static err_t open_block(const struct col_dict *d, uint32_t b, struct cur c, struct arena *tmp, struct opened *out)
{
    uint32_t n = d->first[b + 1] - d->first[b], raw = d->from[b + 1] - d->from[b];
    TRY(check_total(&c, raw));
    uint32_t *ends = ARENA_RAW(tmp, uint32_t, (size_t)n + 1);
    out->bytes = arena_alloc_aligned(tmp, (size_t)raw + 1, 1);
    TRY(arena_check(tmp));
    ends[0] = 0;
    out->ends = ends + 1;
    TRY(get_block(&c, n, raw, 0, out->ends, out->bytes));
    return c.p == c.end ? OK : err_set(ERR_CORRUPT, "bytes behind a block of a dictionary");
}

err_t col_dict_pick(const struct col_dict *d, const struct cur *from, const uint32_t *codes, uint32_t k, struct arena *tmp,
                    struct arena *a, struct dict *out)
{
    struct opened *blocks = ARENA_ARRAY(tmp, struct opened, (size_t)d->nblocks + 1);
    struct str *picked = ARENA_RAW(tmp, struct str, (size_t)k + 1);
    uint32_t *ends = ARENA_RAW(a, uint32_t, (size_t)k + 1);
    uint64_t size = 0;
    TRY(arena_check(tmp));
    TRY(arena_check(a));
    ends[0] = 0;
    for (uint32_t i = 0; i < k; i++) {
        ASSERT(codes[i] < d->count);
        uint32_t b = col_dict_block_of(d, codes[i]), at = codes[i] - d->first[b];
        if (!blocks[b].bytes) TRY(open_block(d, b, from[b], tmp, &blocks[b]));
        uint32_t *end = blocks[b].ends + at;
        picked[i] = (struct str){ blocks[b].bytes + end[-1], end[0] - end[-1] };
        size += picked[i].n;
        if (size > COL_DICT_BYTES_MAX) return err_set(ERR_LIMIT, "strings of more than %d bytes", COL_DICT_BYTES_MAX);
        ends[i + 1] = (uint32_t)size;
    }
    char *bytes = arena_alloc_aligned(a, (size_t)size + 1, 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < k; i++)
        memcpy(bytes + ends[i], picked[i].p, picked[i].n);
    *out = (struct dict){ .count = k, .offset = ends, .bytes = bytes };
    return OK;
}

err_t col_dict_decode_at(struct cur *c, uint32_t n, const uint32_t *at, uint32_t k, struct arena *a, struct dict *out)
{
    struct arena tmp;
    struct col_dict d;
    arena_init(&tmp, a->budget);
    uint32_t *codes = ARENA_RAW(&tmp, uint32_t, (size_t)k + 1);
    err_t e;
    TRY_OUT(e, col_dict_head(c, n, &tmp, &d));
    struct cur *blocks = ARENA_RAW(&tmp, struct cur, (size_t)d.nblocks + 1);
    TRY_OUT(e, arena_check(&tmp));
    for (uint32_t b = 0; b < d.nblocks; b++) {
        uint64_t head;
        const uint8_t *p;
        blocks[b].p = c->p;
        TRY_OUT(e, cur_varint(c, &head));
        TRY_OUT(e, cur_take(c, (size_t)(head >> 2), &p));
        blocks[b].end = c->p;
    }
    TRY_OUT(e, col_code_decode_at(c, n, d.count, at, k, codes));
    e = col_dict_pick(&d, blocks, codes, k, &tmp, a, out);
out:
    arena_deinit(&tmp);
    return e;
}
