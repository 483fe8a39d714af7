/* The parsers of segments on any bytes. First byte: 0 a trailer (with the length of the input as the file's), 1 a raw
 * footer and the row directories in it, 2 a column chunk (type and number of rows in the next bytes), 3 a page of the index
 * of trace ids (number of pages and blocks, and a hash, in the next bytes), 4 a cut column: type and number of rows, number
 * of values, the cut, and the rest its chunk, whose checksums are taken for right. */
#include "base/core/assert.h"
#include "storage/col_codec.h"
#include "storage/seg_format.h"
#include "storage/seg_map.h"
#include "storage/seg_rows.h"
#include "storage/table_grow.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void footer(struct str raw, struct arena *a)
{
    struct seg_footer f;
    if (seg_footer_parse(raw, a, &f) != OK) return;
    if (f.ids.npages) ASSERT(seg_ids_page_of(&f.ids, hash64(raw)) < f.ids.npages);
    for (uint32_t i = 0; i < f.ngroups; i++) {
        struct seg_rows rows;
        const struct seg_group *g = &f.groups[i];
        ASSERT(g->tokens_section <= f.tokens.n);
        if (g->tokens_section && f.tokens.v[g->tokens_section - 1].ids.npages)
            ASSERT(g->tokens_block + seg_tokens_blocks(g->nrows, g->tokens_log2) <= f.tokens.v[g->tokens_section - 1].ids.nblocks);
        struct seg_place *places;
        uint32_t nplaces;
        (void)!seg_map_group(&f.groups[i], a, &places, &nplaces);
        if (seg_rows_parse(f.groups[i].meta, f.groups[i].nrows, a, &rows) != OK) continue;
        for (int r = 0; r < SEG_RELS; r++)
            for (uint32_t k = 0; k < rows.rel[r].ncols; k++)
                (void)seg_col_maybe_str(&rows.rel[r].cols[k], STR("needle"));
    }
}

static void column(const uint8_t *data, size_t size, struct arena *a)
{
    if (size < 3) return;
    struct column c = { .type = (enum col_type)(data[0] % 7 + 1), .nrows = data[1] | (uint32_t)data[2] << 8 };
    c.width = c.type == COL_FIX ? 16 : 0;
    struct cur cur = { data + 3, data + size };
    const uint32_t rows[] = { 0, c.nrows / 2u, c.nrows - 1u };
    struct column few = { .type = c.type, .width = c.width };
    struct cur few_cur = cur;
    err_t few_e = c.nrows > 2 ? col_column_decode_at(&few_cur, c.nrows, rows, 3, a, &few) : ERR_CORRUPT;
    if (col_column_decode(&cur, a, &c) != OK) return;
    if (c.nrows > 2) ASSERT(few_e == OK && column_has(&few, 1) == column_has(&c, rows[1]));
    struct buf again;
    buf_init(&again, 64 << 20, NULL);
    col_column_encode(&c, COL_SEAL, &again, NULL);
    struct column d = { .type = c.type, .nrows = c.nrows, .width = c.width };
    cur = cur_of(buf_view(&again));
    if (buf_check(&again) == OK) ASSERT(col_column_decode(&cur, a, &d) == OK && cur.p == cur.end && d.nvalid == c.nvalid);
    buf_deinit(&again);
}

/* The checksum is put right: hostile hands can do that. */
static void ids_page(const uint8_t *data, size_t size, struct arena *a)
{
    struct seg_ids ids = { 0 };
    uint64_t hash;
    uint32_t *blocks, n;
    if (size < 16) return;
    memcpy(&hash, data, 8);
    ids.npages = 1 + data[8];
    ids.nblocks = 1 + data[9] + (uint32_t)data[10] * 256;
    ids.low_bits = 1 + hash % SEG_IDS_LOW_MAX;
    ids.rows = hash >> 32 & 1;
    ids.rows_log2 = hash >> 33 & 1;
    char *page = arena_alloc(a, size);
    size_t body = size - 15;
    memcpy(page, data + 11, body);
    uint32_t check = (uint32_t)hash64_with(str_n(page, body), seg_ids_page_of(&ids, hash));
    memcpy(page + body, &check, 4);
    if (seg_ids_find(&ids, str_n(page, body + 4), hash, a, &blocks, &n) != OK) return;
    for (uint32_t i = 0; i < n; i++)
        ASSERT(blocks[i] < ids.nblocks && (i == 0 || blocks[i] > blocks[i - 1]));
}

/* In place of storage/seg_reader.c's (the linker's --wrap): the chunk is `cut_chunk`, and what a piece holds is believed. */
static struct str cut_chunk;
err_t __wrap_seg_reader_piece(const struct seg_reader *r, const struct seg_chunk *c, uint32_t from, uint32_t to, uint32_t check,
                              struct arena *a, struct str *out);
err_t __wrap_seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out);
err_t __wrap_seg_reader_chunk(const struct seg_reader *r, const struct seg_chunk *c, struct arena *a, struct str *out);
err_t __wrap_seg_fetch(struct seg_reader *r, struct seg_range *wanted, uint32_t n, struct arena *a);
err_t __wrap_seg_reader_piece(const struct seg_reader *r, const struct seg_chunk *c, uint32_t from, uint32_t to, uint32_t check,
                              struct arena *a, struct str *out)
{
    (void)r, (void)c, (void)check;
    if (from > to || to > cut_chunk.n) return err_set(ERR_CORRUPT, "outside");
    *out = str_n(arena_dup(a, cut_chunk.p + from, to - from), to - from); /* its own block: reads behind it are seen */
    return OK;
}
err_t __wrap_seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    (void)s, (void)c, (void)a, (void)out;
    return err_set(ERR_CORRUPT, "not asked for");
}
err_t __wrap_seg_reader_chunk(const struct seg_reader *r, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    (void)r, (void)c, (void)a, (void)out;
    return err_set(ERR_CORRUPT, "not asked for");
}

err_t __wrap_seg_fetch(struct seg_reader *r, struct seg_range *wanted, uint32_t n, struct arena *a)
{
    (void)r, (void)a;
    for (uint32_t i = 0; i < n; i++)
        ASSERT(wanted[i].off + wanted[i].n <= cut_chunk.n);
    return OK;
}

static void count_range(void *arg, uint64_t off, uint64_t n)
{
    (void)off;
    ASSERT(n > 0 && n <= cut_chunk.n);
    ++*(uint32_t *)arg;
}

static void cut_column(const uint8_t *data, size_t size, struct arena *a)
{
    if (size < 6) return;
    struct seg_col c = { .type = (enum col_type)(data[0] % 7 + 1) };
    uint32_t nrows = data[1] | (uint32_t)data[2] << 8, ranges = 0;
    c.nvalid = MIN(nrows, data[3] | (uint32_t)data[4] << 8);
    c.width = c.type == COL_FIX ? 16 : 0;
    struct cur cur = { data + 5, data + size };
    if (nrows < 3 || seg_cut_parse(&cur, c.nvalid, &c.cut) != OK || c.cut.npieces == 0) return;
    cut_chunk = str_n(cur.p, (size_t)(cur.end - cur.p));
    c.chunk.size = (uint32_t)cut_chunk.n;
    const uint32_t rows[] = { 0, nrows / 2u, nrows - 1u };
    seg_cut_want(&c, nrows, rows, 3, count_range, &ranges);
    struct seg_reader from = { 0 };
    struct column out;
    if (seg_cut_column_at(&from, &c, nrows, rows, 3, a, &out) != OK) return;
    for (uint32_t i = 0; i < 3; i++)
        if (column_has(&out, i) && col_is_dict(c.type)) ASSERT(column_str(&out, i).n <= 64 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 20) return 0;
    struct budget budget;
    budget_init(&budget, "fuzz", NULL, 64 << 20, ERR_LIMIT);
    struct arena a;
    arena_init(&a, &budget);
    struct seg_trailer t;
    err_t e = OK;
    switch (data[0] % 5) {
    case 0:
        if (size > SEG_TRAILER) e = seg_trailer_parse(data + size - SEG_TRAILER, size, &t);
        if (e == OK && size > SEG_TRAILER) ASSERT(t.off + t.size + SEG_TRAILER == size);
        break;
    case 1: footer(str_n(data + 1, size - 1), &a); break;
    case 2: column(data + 1, size - 1, &a); break;
    case 3: ids_page(data + 1, size - 1, &a); break;
    default: cut_column(data + 1, size - 1, &a);
    }
    arena_deinit(&a);
    ASSERT(budget.used == 0);
    return 0;
}
