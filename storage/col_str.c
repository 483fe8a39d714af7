/* A dictionary: varint count; the lengths of its entries (col_code); the bytes of all entries in blocks of
 * at most 256 KiB:  varint raw << 1 | compressed; compressed: varint size, zstd bytes; else raw bytes. The
 * lengths say how many bytes there are. Block size and level are the measured sweet spot for telemetry text:
 * zstd-1 at 256 KiB is within 2 % of 1 MiB, and zstd-3 gains nothing. */
#include "base/core/assert.h"
#include "storage/col_codec.h"

#include <stdlib.h>

void col_dict_encode(const struct dict *d, enum col_level level, struct buf *out)
{
    buf_varint(out, d->count);
    if (d->count == 0) return;
    uint32_t *lengths = malloc(d->count * sizeof *lengths);
    ASSERT(lengths);
    for (uint32_t i = 0; i < d->count; i++)
        lengths[i] = d->offset[i + 1] - d->offset[i];
    col_code_encode(lengths, d->count, out);
    free(lengths);
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
        at += n;
    }
}

static err_t decode_bytes(struct cur *c, uint32_t total, char *to)
{
    for (uint32_t at = 0; at < total;) {
        uint64_t head, size;
        const uint8_t *p;
        TRY(cur_varint(c, &head));
        uint64_t n = head >> 1;
        if (n == 0 || n > COL_STR_BLOCK || n > total - at)
            return err_set(ERR_CORRUPT, "a block of %llu bytes in a dictionary", (unsigned long long)n);
        if (head & 1) {
            TRY(cur_varint(c, &size));
            if (size > COL_STR_BLOCK) return err_set(ERR_CORRUPT, "a compressed block larger than its limit");
            TRY(cur_take(c, (size_t)size, &p));
            TRY(col_zstd_unpack(str_n(p, (size_t)size), to + at, (size_t)n));
        } else {
            TRY(cur_take(c, (size_t)n, &p));
            memcpy(to + at, p, (size_t)n);
        }
        at += (uint32_t)n;
    }
    return OK;
}

err_t col_dict_decode(struct cur *c, uint32_t count_max, struct arena *a, struct dict *out)
{
    uint32_t count;
    TRY(cur_count(c, count_max, &count));
    uint32_t *offset = ARENA_RAW(a, uint32_t, (size_t)count + 1);
    TRY(arena_check(a));
    offset[0] = 0;
    if (count) TRY(col_code_decode(c, count, COL_DICT_BYTES_MAX + 1, offset + 1));
    uint64_t total = 0;
    for (uint32_t i = 1; i <= count; i++) {
        total += offset[i];
        if (total > COL_DICT_BYTES_MAX) return err_set(ERR_CORRUPT, "a dictionary of more than %d bytes", COL_DICT_BYTES_MAX);
        offset[i] = (uint32_t)total;
    }
    /* The smallest zstd frame of a full block has 18 bytes; refuse claims that the bytes left cannot keep
     * before memory is taken. */
    if (total / COL_STR_BLOCK * 18 > (uint64_t)(c->end - c->p)) return err_set(ERR_CORRUPT, "a dictionary cut short");
    char *bytes = arena_alloc_aligned(a, (size_t)total + 1, 1);
    TRY(arena_check(a));
    TRY(decode_bytes(c, (uint32_t)total, bytes));
    *out = (struct dict){ .count = count, .offset = offset, .bytes = bytes };
    return OK;
}
