/* A dictionary, in blocks of whole entries that are decoded one by one:
 *   dict    = varint count | when count > 0: varint nblocks | varint entries, varint raw of each block but the last |
 *             varint raw of the last | block*
 *   block   = varint size << 2 | kind | size bytes, by kind
 *     RAW   lengths of the entries (col_code) | their bytes
 *     ZSTD  lengths of the entries (col_code) | their bytes, zstd
 *     TEXT  templates and columns (col_text.h): sealed text, where that is smaller
 * Raw: the sum of a block's lengths, at most COL_STR_BLOCK (TEXT: COL_TEXT_BLOCK) unless it has a single entry. Block size and level are the
 * measured sweet spot for telemetry text: zstd-1 at 256 KiB is within 2 % of 1 MiB, and zstd-3 gains nothing.
 *
 * How long a block of text should be depends on the text: to read one string the columns of its block are decoded, and what
 * strings have in common is stored once a block. Blocks of 1 MiB instead of 4 make Apache's access lines 21 % larger, Kafka's 19 %; lines
 * of random ids not at all (bench/text.c), and a row of these is read in a third of the time (bench/merge.c). COL_MERGE looks which kind
 * it is at the first MiB: what shrinks less than TEXT_POOR times is cut by the MiB. */
#include "base/core/assert.h"
#include "storage/col_codec.h"
#include "storage/col_text.h"
#include "storage/col_text_find.h"

#include <stdlib.h>

enum { KIND_RAW, KIND_ZSTD, KIND_TEXT };
enum { TEXT_BYTES_MIN = 4096, TEXT_ENTRIES_MIN = 32, TEXT_FINE = 1 << 20, TEXT_POOR = 12 };
enum { ZSTD_SEAL = 1, ZSTD_MERGE = 6 };

/* zstd says 128 KiB with four bytes at best: claims that the bytes at hand cannot keep are refused before memory is taken. */
enum { RAW_PER_BYTE_MAX = 32768 };

/* -- writing ------------------------------------------------------------------------------------------------------ */

/* How many entries from i on, below `end`, make a block of at most `max` bytes. */
static uint32_t block_entries(const struct dict *d, uint32_t i, uint32_t end, uint32_t max)
{
    uint32_t from = d->offset[i], n = 1;
    while (i + n < end && d->offset[i + n + 1] - from <= max)
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
    bool packed = level != COL_LIGHT && col_zstd_pack(raw, level == COL_MERGE ? ZSTD_MERGE : ZSTD_SEAL, &b);
    unsigned kind = packed ? KIND_ZSTD : KIND_RAW;
    buf_varint(out, (uint64_t)(kind == KIND_RAW ? head + raw.n : b.n) << 2 | kind);
    buf_str(out, buf_view(&b));
    if (kind == KIND_RAW) buf_str(out, raw);
    out->failed |= b.failed;
    buf_deinit(&b);
}

struct blocks { /* encoded, in front of which the head will stand */
    struct buf bytes;
    uint32_t n, cap;
    struct block {
        uint32_t entries;
        size_t end;
    } *block;
};

static void end_block(struct blocks *b, uint32_t entries)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 16;
        b->block = realloc(b->block, b->cap * sizeof *b->block);
        ASSERT(b->block);
    }
    b->block[b->n++] = (struct block){ entries, b->bytes.n };
}

static void put_plain(const struct dict *d, uint32_t i, uint32_t end, enum col_level level, struct blocks *to)
{
    for (uint32_t n; i < end; i += n) {
        n = block_entries(d, i, end, COL_STR_BLOCK);
        put_block(d, i, n, level, &to->bytes);
        end_block(to, n);
    }
}

/* What zstd would make of n entries, by their first block. */
static size_t zstd_estimate(const struct dict *d, uint32_t i, uint32_t n, enum col_level level)
{
    struct buf b;
    uint32_t k = block_entries(d, i, i + n, COL_STR_BLOCK), first = d->offset[i + k] - d->offset[i], all = d->offset[i + n] - d->offset[i];
    buf_init(&b, COL_DICT_BYTES_MAX, NULL);
    put_block(d, i, k, level, &b);
    size_t size = (size_t)((double)b.n * all / MAX(first, 1));
    buf_deinit(&b);
    return size;
}

static bool put_text(const struct dict *d, uint32_t i, uint32_t n, enum col_level level, struct blocks *to)
{
    struct buf b;
    if (n < TEXT_ENTRIES_MIN || d->offset[i + n] - d->offset[i] < TEXT_BYTES_MIN) return false;
    buf_init(&b, COL_DICT_BYTES_MAX, to->bytes.budget);
    bool better = col_text_encode(d->bytes, d->offset + i, n, &b) && b.n < zstd_estimate(d, i, n, level);
    if (better) {
        buf_varint(&to->bytes, (uint64_t)b.n << 2 | KIND_TEXT);
        buf_str(&to->bytes, buf_view(&b));
        end_block(to, n);
    }
    buf_deinit(&b);
    return better;
}

/* The first block, if it is one of text that shrinks so little that all are to be as short; its entries, or 0. */
static uint32_t put_fine(const struct dict *d, struct blocks *to)
{
    uint32_t n = block_entries(d, 0, d->count, TEXT_FINE);
    if (!put_text(d, 0, n, COL_MERGE, to)) return 0;
    if (to->bytes.n * TEXT_POOR >= d->offset[n]) return n;
    buf_clear(&to->bytes);
    to->n = 0;
    return 0;
}

/* As it stands, for a WAL: each byte is copied once. */
static void put_light(const struct dict *d, struct buf *out, struct col_marks *m)
{
    uint32_t blocks = 0, n;
    for (uint32_t i = 0; i < d->count; i += n, blocks++)
        n = block_entries(d, i, d->count, COL_STR_BLOCK);
    buf_varint(out, d->count);
    if (blocks) buf_varint(out, blocks);
    for (uint32_t i = 0; i < d->count; i += n) {
        n = block_entries(d, i, d->count, COL_STR_BLOCK);
        if (i + n < d->count) buf_varint(out, n);
        buf_varint(out, d->offset[i + n] - d->offset[i]);
    }
    col_mark_head(m, out);
    for (uint32_t i = 0; i < d->count; i += n) {
        n = block_entries(d, i, d->count, COL_STR_BLOCK);
        put_block(d, i, n, COL_LIGHT, out);
        col_mark_dict(m, out);
    }
}

void col_dict_encode(const struct dict *d, enum col_level level, struct buf *out, struct col_marks *m)
{
    struct blocks b = { 0 };
    if (level == COL_LIGHT) {
        put_light(d, out, m);
        return;
    }
    uint32_t all = d->count ? d->offset[d->count] : 0;
    buf_init(&b.bytes, COL_DICT_BYTES_MAX, out->budget);
    /* What fits one block is one; more is cut finer, so that few entries of many cost less. */
    uint32_t max = all > COL_TEXT_BLOCK ? COL_TEXT_BLOCK / 2 : COL_TEXT_BLOCK;
    uint32_t fine = level == COL_MERGE && all > TEXT_FINE ? put_fine(d, &b) : 0;
    if (fine) max = TEXT_FINE;
    for (uint32_t i = fine, n; i < d->count && !b.bytes.failed; i += n) {
        n = block_entries(d, i, d->count, max);
        if (!put_text(d, i, n, level, &b)) put_plain(d, i, i + n, level, &b);
    }
    buf_varint(out, d->count);
    if (b.n) buf_varint(out, b.n);
    for (uint32_t k = 0, i = 0; k < b.n; i += b.block[k++].entries) {
        if (k + 1 < b.n) buf_varint(out, b.block[k].entries);
        buf_varint(out, d->offset[i + b.block[k].entries] - d->offset[i]);
    }
    col_mark_head(m, out);
    for (uint32_t k = 0; k < b.n; k++) {
        size_t from = k ? b.block[k - 1].end : 0;
        buf_put(out, b.bytes.p + from, b.block[k].end - from);
        col_mark_dict(m, out);
    }
    out->failed |= b.bytes.failed;
    buf_deinit(&b.bytes);
    free(b.block);
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
        if (n == 0 || (n > 1 && raw > COL_TEXT_BLOCK))
            return err_set(ERR_CORRUPT, "%u entries of %u bytes in a block of a dictionary", n, raw);
        out->first[b + 1] = out->first[b] + n;
        out->from[b + 1] = out->from[b] + raw;
    }
    return OK;
}

/* The n entries of one block, raw bytes: these to `to`, their ends, counted from `base`, to `ends`. */
static err_t get_block(struct cur *c, uint32_t n, uint32_t raw, uint32_t base, struct budget *budget, uint32_t *ends, char *to)
{
    uint64_t head, total = 0;
    const uint8_t *p;
    TRY(cur_varint(c, &head));
    unsigned kind = head & 3;
    TRY(cur_take(c, (size_t)(head >> 2), &p));
    struct cur in = { p, c->p };
    col_saw(kind == KIND_RAW ? "plain" : kind == KIND_ZSTD ? "zstd" : "templates");
    if (kind == KIND_TEXT) return col_text_decode(str_n(p, (size_t)(head >> 2)), n, raw, base, budget, ends, to);
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
        TRY(get_block(c, d.first[b + 1] - d.first[b], d.from[b + 1] - d.from[b], d.from[b], a->budget, offset + 1 + d.first[b], bytes + d.from[b]));
    *out = (struct dict){ .count = d.count, .offset = offset, .bytes = bytes };
    return OK;
}

/* -- finding ------------------------------------------------------------------------------------------------------ */

/* The n entries of a plain block. */
static err_t find_plain(struct cur c, uint32_t n, uint32_t raw, const struct text_cond *cond, const uint64_t *among, struct arena *a,
                        uint64_t *bits)
{
    uint32_t *offset = ARENA_RAW(a, uint32_t, (size_t)n + 1), words = (n + 63) / 64;
    uint64_t *has = ARENA_RAW(a, uint64_t, words);
    char *bytes = arena_alloc_aligned(a, (size_t)raw + 1, 1);
    TRY(arena_check(a));
    offset[0] = 0;
    TRY(get_block(&c, n, raw, 0, a->budget, offset + 1, bytes));
    const struct dict d = { .count = n, .offset = offset, .bytes = bytes };
    for (uint32_t k = 0; k < cond->n; k++) {
        if (text_find_entries(&cond->needles[k], &d, has) == 0) continue;
        for (uint32_t w = 0; w < words; w++) {
            uint64_t open = has[w] & ~bits[w] & (among ? among[w] : UINT64_MAX);
            if (cond->kind == TEXT_HAS) bits[w] |= open;
            for (; open && cond->kind != TEXT_HAS; open &= open - 1)
                if (cond->holds(cond->arg, dict_get(&d, w * 64 + (uint32_t)__builtin_ctzll(open)))) bits[w] |= open & -open;
        }
    }
    return OK;
}

err_t col_dict_find(const struct col_dict *d, uint32_t b, struct cur block, const struct text_cond *cond, const uint64_t *among,
                    struct budget *budget, uint64_t *bits)
{
    uint32_t n = d->first[b + 1] - d->first[b], raw = d->from[b + 1] - d->from[b];
    uint64_t head;
    const uint8_t *p;
    struct cur body = block;
    TRY(check_total(&block, raw));
    TRY(cur_varint(&body, &head));
    TRY(cur_take(&body, (size_t)(head >> 2), &p));
    if ((head & 3) == KIND_TEXT) return col_text_find(str_n(p, (size_t)(head >> 2)), n, raw, cond, among, budget, bits);
    struct arena a;
    arena_init(&a, budget);
    err_t e = find_plain(block, n, raw, cond, among, &a, bits);
    arena_deinit(&a);
    return e;
}

/* -- few entries -------------------------------------------------------------------------------------------------- */

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

/* Entries at[0..k) of block b, whose bytes are c; in tmp. */
static err_t pick_of_block(const struct col_dict *d, uint32_t b, struct cur c, const uint32_t *at, uint32_t k, struct arena *tmp, struct str *out)
{
    uint32_t n = d->first[b + 1] - d->first[b], raw = d->from[b + 1] - d->from[b];
    uint64_t head;
    const uint8_t *p;
    struct cur body = c;
    TRY(check_total(&c, raw));
    TRY(cur_varint(&body, &head));
    if ((head & 3) == KIND_TEXT) {
        TRY(cur_take(&body, (size_t)(head >> 2), &p));
        return col_text_decode_at(str_n(p, (size_t)(head >> 2)), n, raw, at, k, tmp, out);
    }
    uint32_t *ends = ARENA_RAW(tmp, uint32_t, (size_t)n + 1);
    char *bytes = arena_alloc_aligned(tmp, (size_t)raw + 1, 1);
    TRY(arena_check(tmp));
    ends[0] = 0;
    TRY(get_block(&c, n, raw, 0, tmp->budget, ends + 1, bytes));
    for (uint32_t i = 0; i < k; i++)
        out[i] = (struct str){ bytes + ends[at[i]], ends[at[i] + 1] - ends[at[i]] };
    return c.p == c.end ? OK : err_set(ERR_CORRUPT, "bytes behind a block of a dictionary");
}

/* The entries of k codes; in tmp. */
static err_t pick_all(const struct col_dict *d, const struct cur *blocks, const uint32_t *codes, uint32_t k, struct arena *tmp, struct str *picked)
{
    uint32_t *of = ARENA_RAW(tmp, uint32_t, (size_t)k + 1), *at = ARENA_RAW(tmp, uint32_t, (size_t)k + 1);
    struct str *here = ARENA_RAW(tmp, struct str, (size_t)k + 1);
    TRY(arena_check(tmp));
    for (uint32_t i = 0; i < k; i++) {
        ASSERT(codes[i] < d->count);
        of[i] = col_dict_block_of(d, codes[i]);
    }
    for (uint32_t i = 0; i < k; i++) {
        uint32_t b = of[i], m = 0;
        if (b == UINT32_MAX) continue; /* a block before had it */
        for (uint32_t j = i; j < k; j++)
            if (of[j] == b) at[m++] = codes[j] - d->first[b];
        TRY(pick_of_block(d, b, blocks[b], at, m, tmp, here));
        m = 0;
        for (uint32_t j = i; j < k; j++)
            if (of[j] == b) {
                picked[j] = here[m++];
                of[j] = UINT32_MAX;
            }
    }
    return OK;
}

err_t col_dict_pick(const struct col_dict *d, const struct cur *blocks, const uint32_t *codes, uint32_t k, struct arena *tmp,
                    struct arena *a, struct dict *out)
{
    struct str *picked = ARENA_RAW(tmp, struct str, (size_t)k + 1);
    uint32_t *ends = ARENA_RAW(a, uint32_t, (size_t)k + 1);
    uint64_t size = 0;
    TRY(arena_check(a));
    TRY(pick_all(d, blocks, codes, k, tmp, picked));
    ends[0] = 0;
    for (uint32_t i = 0; i < k; i++) {
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

err_t col_dict_blocks(struct cur *c, const struct col_dict *d, struct cur *blocks)
{
    for (uint32_t b = 0; b < d->nblocks; b++) {
        uint64_t head;
        const uint8_t *p;
        blocks[b].p = c->p;
        TRY(cur_varint(c, &head));
        TRY(cur_take(c, (size_t)(head >> 2), &p));
        blocks[b].end = c->p;
    }
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
    TRY_OUT(e, col_dict_blocks(c, &d, blocks));
    TRY_OUT(e, col_code_decode_at(c, n, d.count, at, k, codes));
    e = col_dict_pick(&d, blocks, codes, k, &tmp, a, out);
out:
    arena_deinit(&tmp);
    return e;
}
