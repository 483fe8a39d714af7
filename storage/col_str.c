/* A dictionary: varint count; the lengths of its entries (col_code); the bytes of all entries in blocks of
 * at most 256 KiB:  varint raw << 1 | compressed; compressed: varint size, zstd bytes; else raw bytes. The
 * lengths say how many bytes there are. Block size and level are the measured sweet spot for telemetry text:
 * zstd-1 at 256 KiB is within 2 % of 1 MiB, and zstd-3 gains nothing. */
#include "base/core/assert.h"
#include "storage/col_codec.h"

#include <stdlib.h>

void col_dict_encode(const struct dict *d, enum col_level level, struct buf *out, struct col_marks *m)
{
    buf_varint(out, d->count);
    if (d->count == 0) {
        col_mark_head(m, out);
        return;
    }
    uint32_t *lengths = malloc(d->count * sizeof *lengths);
    ASSERT(lengths);
    for (uint32_t i = 0; i < d->count; i++)
        lengths[i] = d->offset[i + 1] - d->offset[i];
    col_code_encode(lengths, d->count, out);
    free(lengths);
    col_mark_head(m, out);
    uint32_t total = d->offset[d->count];
    for (uint32_t at = 0; at < total;) {
        uint32_t n = MIN(total - at, (uint32_t)COL_STR_BLOCK);
        struct str raw = { d->bytes + at, n };
        size_t mark = out->n;
        struct buf z;
        buf_init(&z, COL_STR_BLOCK * 2, out->budget);
        bool packed = level == COL_SEAL && col_zstd_pack(raw, 1, &z);
        buf_varint(out, (uint64_t)n << 1 | packed);
        if (packed) buf_varint(out, z.n);
        buf_str(out, packed ? buf_view(&z) : raw);
        buf_deinit(&z);
        if (out->failed) {
            out->n = mark;
            return;
        }
        col_mark_dict(m, out);
        at += n;
    }
}

/* One block of at most `left` bytes, *raw of them; to `to`, unless NULL. */
static err_t get_block(struct cur *c, uint32_t left, char *to, uint32_t *raw)
{
    uint64_t head, size;
    const uint8_t *p;
    TRY(cur_varint(c, &head));
    uint64_t n = head >> 1;
    if (n == 0 || n > COL_STR_BLOCK || n > left)
        return err_set(ERR_CORRUPT, "a block of %llu bytes in a dictionary", (unsigned long long)n);
    if (head & 1) {
        TRY(cur_varint(c, &size));
        if (size > COL_STR_BLOCK) return err_set(ERR_CORRUPT, "a compressed block larger than its limit");
        TRY(cur_take(c, (size_t)size, &p));
        if (to) TRY(col_zstd_unpack(str_n(p, (size_t)size), to, (size_t)n));
    } else {
        TRY(cur_take(c, (size_t)n, &p));
        if (to) memcpy(to, p, (size_t)n);
    }
    *raw = (uint32_t)n;
    return OK;
}

err_t col_dict_block(struct cur *c, uint32_t raw, char *to)
{
    uint32_t n;
    TRY(get_block(c, raw, to, &n));
    return n == raw && c->p == c->end ? OK : err_set(ERR_CORRUPT, "a block of %u bytes in a dictionary, %u wanted", n, raw);
}

/* The blocks into `to`; of the bit set `want`, when given, only those whose bits are set. */
static err_t decode_bytes(struct cur *c, uint32_t total, const uint64_t *want, char *to)
{
    for (uint32_t at = 0, i = 0, n; at < total; i++, at += n) {
        bool wanted = !want || (want[i / 64] >> (i % 64) & 1);
        TRY(get_block(c, total - at, wanted ? to + at : NULL, &n));
        /* The encoder's blocks are full: block i begins at i * COL_STR_BLOCK. */
        if (want && n != MIN(total - at, (uint32_t)COL_STR_BLOCK))
            return err_set(ERR_CORRUPT, "a short block of %u bytes in a dictionary", n);
    }
    return OK;
}

err_t col_dict_head(struct cur *c, uint32_t count_max, struct arena *a, uint32_t *count, uint32_t **offset)
{
    TRY(cur_count(c, count_max, count));
    uint32_t *o = ARENA_RAW(a, uint32_t, (size_t)*count + 1);
    TRY(arena_check(a));
    o[0] = 0;
    if (*count) TRY(col_code_decode(c, *count, COL_DICT_BYTES_MAX + 1, o + 1));
    uint64_t total = 0;
    for (uint32_t i = 1; i <= *count; i++) {
        total += o[i];
        if (total > COL_DICT_BYTES_MAX) return err_set(ERR_CORRUPT, "a dictionary of more than %d bytes", COL_DICT_BYTES_MAX);
        o[i] = (uint32_t)total;
    }
    *offset = o;
    return OK;
}

/* The smallest zstd frame of a full block has 18 bytes: refuses claims that the bytes left cannot keep before memory is
 * taken. */
static err_t check_total(const struct cur *c, uint32_t total)
{
    if ((uint64_t)total / COL_STR_BLOCK * 18 > (uint64_t)(c->end - c->p)) return err_set(ERR_CORRUPT, "a dictionary cut short");
    return OK;
}

err_t col_dict_decode(struct cur *c, uint32_t count_max, struct arena *a, struct dict *out)
{
    uint32_t count, *offset;
    TRY(col_dict_head(c, count_max, a, &count, &offset));
    TRY(check_total(c, offset[count]));
    char *bytes = arena_alloc_aligned(a, (size_t)offset[count] + 1, 1);
    TRY(arena_check(a));
    TRY(decode_bytes(c, offset[count], NULL, bytes));
    *out = (struct dict){ .count = count, .offset = offset, .bytes = bytes };
    return OK;
}

/* The entries of these codes, one after another, into *out. */
static err_t pick_entries(struct cur blocks, const uint32_t *offset, uint32_t total, const uint32_t *codes, uint32_t k,
                          struct arena *tmp, struct arena *a, struct dict *out)
{
    uint64_t *want = ARENA_ARRAY(tmp, uint64_t, total / COL_STR_BLOCK / 64 + 1), size = 0;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t from = offset[codes[i]], to = offset[codes[i] + 1];
        size += to - from;
        for (uint32_t b = from / COL_STR_BLOCK; from < to && b <= (to - 1) / COL_STR_BLOCK; b++)
            want[b / 64] |= UINT64_C(1) << (b % 64);
    }
    if (size > COL_DICT_BYTES_MAX) return err_set(ERR_LIMIT, "strings of more than %d bytes", COL_DICT_BYTES_MAX);
    char *all = arena_alloc_aligned(tmp, (size_t)total + 1, 1), *bytes = arena_alloc_aligned(a, (size_t)size + 1, 1);
    uint32_t *ends = ARENA_RAW(a, uint32_t, (size_t)k + 1);
    TRY(arena_check(tmp));
    TRY(arena_check(a));
    TRY(decode_bytes(&blocks, total, want, all));
    ends[0] = 0;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t n = offset[codes[i] + 1] - offset[codes[i]];
        memcpy(bytes + ends[i], all + offset[codes[i]], n);
        ends[i + 1] = ends[i] + n;
    }
    *out = (struct dict){ .count = k, .offset = ends, .bytes = bytes };
    return OK;
}

err_t col_dict_decode_at(struct cur *c, uint32_t n, const uint32_t *at, uint32_t k, struct arena *a, struct dict *out)
{
    struct arena tmp;
    arena_init(&tmp, a->budget);
    uint32_t count, *offset, *codes = ARENA_RAW(&tmp, uint32_t, (size_t)k + 1);
    static const uint64_t none[COL_DICT_BYTES_MAX / COL_STR_BLOCK / 64 + 1];
    err_t e;
    TRY_OUT(e, col_dict_head(c, n, &tmp, &count, &offset));
    TRY_OUT(e, check_total(c, offset[count]));
    struct cur blocks = *c;
    TRY_OUT(e, decode_bytes(c, offset[count], none, NULL));
    TRY_OUT(e, col_code_decode_at(c, n, count, at, k, codes));
    e = pick_entries(blocks, offset, offset[count], codes, k, &tmp, a, out);
out:
    arena_deinit(&tmp);
    return e;
}
