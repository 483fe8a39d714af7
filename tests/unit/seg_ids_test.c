/* The index of trace ids against a plain list of pairs. */
#include "storage/seg_ids.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint64_t id_hash(uint64_t i)
{
    uint64_t id[2] = { i, ~i };
    return seg_ids_hash(str_n(id, 16));
}

struct index {
    struct seg_ids_build build;
    struct seg_ids ids;
    struct buf pages, directory;
    struct arena mem;
    uint32_t nrows;
};

/* Of rows, or of blocks. */
static void index_begin(struct index *x, bool rows)
{
    *x = (struct index){ .build.rows = rows, .build.low_bits = SEG_IDS_LOW };
    arena_init(&x->mem, NULL);
    buf_init(&x->pages, 1 << 30, NULL);
    buf_init(&x->directory, 1 << 30, NULL);
}

/* Sorts, encodes, and reads the directory back. */
static void index_finish(struct index *x, uint32_t numbers)
{
    struct seg_ids w;
    x->nrows = numbers;
    if (!x->build.rows) x->build.nblocks = numbers;
    else if (x->build.nrows == 0) cr_assert(seg_ids_more_rows(&x->build, numbers));
    seg_ids_sort(&x->build);
    seg_ids_describe(&x->build, &w);
    w.off = 16;
    w.end = malloc((w.npages + 1) * sizeof *w.end);
    size_t at = 0;
    for (uint32_t i = 0; i < w.npages; i++) {
        size_t from = x->pages.n;
        seg_ids_page(&x->build, w.npages, i, &at, &x->pages);
        w.fold = seg_ids_fold(w.fold, str_sub(buf_view(&x->pages), from, x->pages.n));
        w.end[i] = (uint32_t)x->pages.n;
    }
    cr_assert_eq(at, x->build.n);
    seg_ids_put(&w, &x->directory);
    struct cur c = cur_of(buf_view(&x->directory));
    cr_assert_eq(seg_ids_parse(&c, &x->mem, &x->ids), OK, "%s", err_detail());
    cr_assert_eq(c.p, c.end);
    cr_assert(x->ids.npages == w.npages && (w.npages == 0 || x->ids.fold == w.fold));
    free(w.end);
}

static void index_end(struct index *x)
{
    seg_ids_build_deinit(&x->build);
    buf_deinit(&x->pages);
    buf_deinit(&x->directory);
    arena_deinit(&x->mem);
}

static struct str page_of(const struct index *x, uint64_t hash)
{
    if (x->ids.npages == 0) return STR_NONE;
    uint32_t i = seg_ids_page_of(&x->ids, hash);
    return str_sub(buf_view(&x->pages), i ? x->ids.end[i - 1] : 0, x->ids.end[i]);
}

static uint32_t find(struct index *x, uint64_t hash, uint32_t **blocks)
{
    uint32_t n;
    err_t e = x->build.rows ? seg_ids_find_rows(&x->ids, page_of(x, hash), hash, x->nrows, &x->mem, blocks, &n)
                            : seg_ids_find(&x->ids, page_of(x, hash), hash, &x->mem, blocks, &n);
    cr_assert_eq(e, OK, "%s", err_detail());
    for (uint32_t i = 1; i < n; i++)
        cr_assert_lt((*blocks)[i - 1], (*blocks)[i]);
    return n;
}

static bool names(struct index *x, uint64_t hash, uint32_t block)
{
    uint32_t *blocks, n = find(x, hash, &blocks);
    for (uint32_t i = 0; i < n; i++)
        if (blocks[i] == block) return true;
    return false;
}

/* Traces of random numbers of rows in random blocks: every pair is found, other ids mostly not, and no id is given many
 * blocks that it is not in. */
static void property(uint64_t seed, bool of_rows, uint32_t nids, uint32_t nblocks, uint32_t rows_max, double bytes_max)
{
    struct index x;
    struct prng r;
    prng_init(&r, seed);
    index_begin(&x, of_rows);
    uint32_t *block_of = calloc((size_t)nids * rows_max, sizeof *block_of), *rows = calloc(nids, sizeof *rows);
    uint64_t pairs = 0, wrong = 0, named = 0;
    for (uint32_t i = 0; i < nids; i++) {
        rows[i] = 1 + (uint32_t)prng_below(&r, rows_max);
        for (uint32_t k = 0; k < rows[i]; k++)
            block_of[i * rows_max + k] = (uint32_t)prng_below(&r, nblocks);
        pairs += rows[i];
    }
    /* As groups are written: by block. */
    for (uint32_t b = 0; b < nblocks; b++)
        for (uint32_t i = 0; i < nids; i++)
            for (uint32_t k = 0; k < rows[i]; k++)
                if (block_of[i * rows_max + k] == b) seg_ids_add(&x.build, id_hash(i), b);
    index_finish(&x, nblocks);
    named = 0;
    for (uint32_t i = 0; i < nids; i++) {
        uint32_t *blocks;
        for (uint32_t k = 0; k < rows[i]; k++)
            cr_assert(names(&x, id_hash(i), block_of[i * rows_max + k]), "id %u", i);
        named += find(&x, id_hash(i), &blocks);
        wrong += find(&x, id_hash(i + 1000000), &blocks) > 0;
    }
    cr_assert_leq(named, pairs + pairs / 20 + 20);
    cr_assert_leq(wrong, nids / 100 + 5, "%lu of %u", (unsigned long)wrong, nids);
    if (bytes_max > 0) cr_assert_lt((double)(x.pages.n + x.directory.n) / (double)pairs, bytes_max);
    free(block_of);
    free(rows);
    index_end(&x);
}

Test(seg_ids, every_id_is_found_and_others_mostly_not)
{
    for (int rows = 0; rows < 2; rows++) {
        property(1, rows, 1, 1, 1, 0);
        property(2, rows, 5, 1, 3, 0);
        property(3, rows, 700, 3, 1, 0);
        property(4, rows, 3000, 64, 1, 2.4);
        property(5, rows, 3000, 40, 12, rows ? 0 : 2.0);
        property(6, rows, 1025, 17, 2, 0);
    }
}

Test(seg_ids, nothing)
{
    struct index x;
    uint32_t *blocks;
    index_begin(&x, false);
    index_finish(&x, 5);
    cr_assert_eq(find(&x, id_hash(1), &blocks), 0);
    cr_assert_eq(x.directory.n, 1);
    index_end(&x);
}

/* A trace of 100,000 spans among others does not hide them, and its rows, one beside the other, take a bit each. */
Test(seg_ids, one_huge_trace)
{
    struct index x;
    uint32_t *rows;
    index_begin(&x, true);
    for (uint32_t row = 0; row < 100000; row++)
        seg_ids_add(&x.build, row % 50 ? id_hash(7) : id_hash(1000 + row), row);
    index_finish(&x, 100000);
    cr_assert_eq(find(&x, id_hash(7), &rows), 98000);
    for (uint32_t row = 0; row < 100000; row += 50)
        cr_assert(names(&x, id_hash(1000 + row), row));
    cr_assert_lt(x.pages.n, 2000 * 5 + 100000 / 8 * 1.1);
    index_end(&x);
}

/* Traces of eight rows within 65,536 of 30 million: near each other, and so smaller than their numbers. */
Test(seg_ids, near_rows)
{
    enum { GROUPS = 32, TRACES = 300, EVERY = 15 };
    struct index x;
    struct prng r;
    index_begin(&x, true);
    prng_init(&r, 1);
    uint64_t *row = calloc((size_t)GROUPS * TRACES * 8, sizeof *row);
    for (uint32_t g = 0, n = 0; g < GROUPS; g++) {
        struct { uint64_t row, id; } v[TRACES * 8];
        for (uint32_t i = 0; i < TRACES * 8; i++)
            v[i].row = (uint64_t)g * EVERY * 65536 + i * 27 + prng_below(&r, 27), v[i].id = g * TRACES + hash_u64(i) % TRACES;
        for (uint32_t i = 0; i < TRACES * 8; i++, n++) {
            seg_ids_add(&x.build, id_hash(v[i].id), (uint32_t)v[i].row);
            row[n] = v[i].row | v[i].id << 32;
        }
    }
    index_finish(&x, GROUPS * EVERY * 65536);
    for (uint32_t i = 0; i < GROUPS * TRACES * 8; i++)
        cr_assert(names(&x, id_hash(row[i] >> 32), (uint32_t)row[i]));
    cr_assert_lt((double)x.pages.n / (GROUPS * TRACES * 8), 2.6, "%.2f", (double)x.pages.n / (GROUPS * TRACES * 8));
    free(row);
    index_end(&x);
}

/* More rows than numbers: those known so far are halved, and an answer is of two rows each, or of four. */
Test(seg_ids, more_rows_than_numbers)
{
    static const uint32_t totals[] = { SEG_IDS_ROWS_MAX, SEG_IDS_ROWS_MAX + 1, UINT32_MAX };
    for (unsigned log2 = 0; log2 < ARRAY_LEN(totals); log2++) {
        struct index x;
        uint32_t *rows;
        index_begin(&x, true);
        cr_assert(seg_ids_more_rows(&x.build, 1000));
        seg_ids_add(&x.build, id_hash(1), 5);
        seg_ids_add(&x.build, id_hash(1), 998);
        cr_assert(seg_ids_more_rows(&x.build, totals[log2] - 1000));
        cr_assert_eq(x.build.rows_log2, log2);
        seg_ids_add(&x.build, id_hash(1), (totals[log2] - 1) >> log2);
        index_finish(&x, totals[log2]);
        find(&x, id_hash(1), &rows);
        cr_assert(names(&x, id_hash(1), 5) && names(&x, id_hash(1), 998) && names(&x, id_hash(1), totals[log2] - 1));
        cr_assert_eq(find(&x, id_hash(1), &rows), (3u << log2) - (log2 == 1) - (log2 == 2), "%u", find(&x, id_hash(1), &rows));
        if (log2 == 2) cr_assert_not(seg_ids_more_rows(&x.build, 1));
        index_end(&x);
    }
}

/* Equal hashes share an entry; hashes that differ below the bits kept, or all lie in one page, or are the ends of the
 * range, are found like others. */
static void crowded(bool rows)
{
    struct index x;
    index_begin(&x, rows);
    const uint64_t same = UINT64_C(0x123456789abcdef0);
    for (uint32_t b = 0; b < 3000; b++) {
        seg_ids_add(&x.build, same, b);
        seg_ids_add(&x.build, same ^ (b & 0xff), b);
        seg_ids_add(&x.build, UINT64_C(0xabc) << 52 | hash_u64(b) >> 12, b);
        seg_ids_add(&x.build, (UINT64_C(0x777) << 52) + ((uint64_t)b << 26), b);
        seg_ids_add(&x.build, b % 2 ? UINT64_MAX : 0, b);
    }
    index_finish(&x, 3000);
    uint32_t *blocks;
    cr_assert_eq(find(&x, same, &blocks), 3000);
    for (uint32_t b = 0; b < 3000; b++) {
        cr_assert(names(&x, UINT64_C(0xabc) << 52 | hash_u64(b) >> 12, b));
        cr_assert(names(&x, (UINT64_C(0x777) << 52) + ((uint64_t)b << 26), b));
        cr_assert(names(&x, b % 2 ? UINT64_MAX : 0, b));
    }
    index_end(&x);
}

Test(seg_ids, equal_and_crowded_hashes)
{
    crowded(false);
    crowded(true);
}

/* No changed byte of a page is believed, and the page of another range is not either. */
static void damage(bool rows)
{
    struct index x;
    index_begin(&x, rows);
    for (uint32_t i = 0; i < 5000; i++)
        seg_ids_add(&x.build, id_hash(i), i / 100);
    index_finish(&x, 50);
    uint64_t hash = id_hash(77);
    struct str page = page_of(&x, hash);
    char *copy = malloc(page.n);
    uint32_t *blocks, n;
    for (size_t i = 0; i < page.n; i++) {
        memcpy(copy, page.p, page.n);
        copy[i] ^= 4;
        cr_assert_eq(seg_ids_find(&x.ids, (struct str){ copy, page.n }, hash, &x.mem, &blocks, &n), ERR_CORRUPT);
    }
    for (size_t cut = 1; cut < page.n; cut++)
        cr_assert_eq(seg_ids_find(&x.ids, (struct str){ page.p, cut }, hash, &x.mem, &blocks, &n), ERR_CORRUPT);
    free(copy);
    struct str other = str_sub(buf_view(&x.pages), 0, x.ids.end[0]);
    uint64_t there = UINT64_MAX;
    cr_assert_neq(seg_ids_page_of(&x.ids, there), 0);
    cr_assert_eq(seg_ids_find(&x.ids, other, there, &x.mem, &blocks, &n), ERR_CORRUPT);
    index_end(&x);
}

Test(seg_ids, damage)
{
    damage(false);
    damage(true);
}

/* The format is a promise: the same pairs give the same pages. */
static uint64_t golden(bool rows)
{
    struct index x;
    index_begin(&x, rows);
    for (uint32_t b = 0; b < 700; b++)
        for (uint32_t i = 0; i < 4; i++)
            seg_ids_add(&x.build, hash_u64(b * 3 + i * 100), b);
    index_finish(&x, 700);
    uint64_t hash = hash64(buf_view(&x.pages));
    index_end(&x);
    return hash;
}

Test(seg_ids, golden)
{
    cr_assert_eq(golden(false), UINT64_C(0xef3650cb33db3360), "the format changed: %016lx", (unsigned long)golden(false));
    cr_assert_eq(golden(true), UINT64_C(0x017459d71ae9cf9a), "the format changed: %016lx", (unsigned long)golden(true));
}
