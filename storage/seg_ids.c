#include "storage/seg_ids.h"

#include "base/core/assert.h"
#include "storage/bits_out.h"

#include <stdlib.h>

enum { BLOCK_BITS = 26, ROW_BITS = 30, PAGE_PAIRS = 1024, CHECK_BYTES = 4, OF_ROWS = 128, NO_NUMBERS = 64, NEAR_BITS = 5, ROWS_LOG2_MAX = 2 };
_Static_assert(SEG_IDS_BLOCKS_MAX == 1 << BLOCK_BITS && SEG_IDS_ROWS_MAX == 1 << ROW_BITS, "a number fits beside its hash");
_Static_assert(ROW_BITS <= 1 << NEAR_BITS, "Rice codes of so many bits");

static unsigned number_bits(bool rows) { return rows ? ROW_BITS : BLOCK_BITS; }
static uint64_t number_mask(bool rows) { return (UINT64_C(1) << number_bits(rows)) - 1; }

/* x * n, the integers below 2^64 seen as fractions: which of n equal ranges x lies in, and where inside (*rest). */
static uint32_t range_of(uint64_t x, uint32_t n, uint64_t *rest)
{
    unsigned __int128 p = (unsigned __int128)x * n;
    *rest = (uint64_t)p;
    return (uint32_t)(p >> 64);
}

/* -- writing ----------------------------------------------------------------------------------------------- */

void seg_ids_build_deinit(struct seg_ids_build *b)
{
    budget_release(b->budget, (int64_t)(b->cap * sizeof *b->pairs));
    free(b->pairs);
    *b = (struct seg_ids_build){ .budget = b->budget };
}

static void grow(struct seg_ids_build *b, size_t cap)
{
    budget_charge(b->budget, (int64_t)((cap - b->cap) * sizeof *b->pairs));
    b->pairs = realloc(b->pairs, cap * sizeof *b->pairs);
    ASSERT(b->pairs);
    b->cap = cap;
}

void seg_ids_add(struct seg_ids_build *b, uint64_t hash, uint32_t number)
{
    uint64_t mask = number_mask(b->rows), pair = (hash & ~mask) | number;
    ASSERT(number <= mask);
    if (b->n && b->pairs[b->n - 1] == pair) return;
    if (b->n == b->cap) grow(b, b->cap ? b->cap * 2 : 4096);
    b->pairs[b->n++] = pair;
}

bool seg_ids_more_rows(struct seg_ids_build *b, uint32_t n)
{
    uint64_t mask = number_mask(true);
    ASSERT(b->rows);
    if (n > UINT32_MAX - b->nrows) return false;
    b->nrows += n;
    for (; b->nrows && (b->nrows - 1) >> b->rows_log2 > mask; b->rows_log2++)
        for (size_t i = 0; i < b->n; i++)
            b->pairs[i] = (b->pairs[i] & ~mask) | (b->pairs[i] & mask) >> 1;
    return true;
}

/* Stable counting sort by `bits` bits at `shift`. */
static void sort_pass(const uint64_t *from, uint64_t *to, size_t n, unsigned shift, unsigned bits)
{
    static _Thread_local size_t at[1 << 10];
    uint64_t mask = (UINT64_C(1) << bits) - 1;
    memset(at, 0, sizeof at);
    for (size_t i = 0; i < n; i++)
        at[from[i] >> shift & mask]++;
    size_t sum = 0;
    for (size_t i = 0; i <= mask; i++) {
        size_t here = at[i];
        at[i] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++)
        to[at[from[i] >> shift & mask]++] = from[i];
}

void seg_ids_sort(struct seg_ids_build *b)
{
    if (b->n == 0) return;
    size_t bytes = b->n * sizeof *b->pairs;
    budget_charge(b->budget, (int64_t)bytes);
    uint64_t *work = malloc(bytes);
    ASSERT(work);
    /* Numbers came ascending and stay so. */
    unsigned from = number_bits(b->rows), first = b->rows ? 8 : 10, second = b->rows ? 8 : 10;
    sort_pass(b->pairs, work, b->n, from, first);
    sort_pass(work, b->pairs, b->n, from + first, second);
    sort_pass(b->pairs, work, b->n, 46, 9);
    sort_pass(work, b->pairs, b->n, 55, 9);
    free(work);
    budget_release(b->budget, (int64_t)bytes);
    size_t kept = 1;
    for (size_t i = 1; i < b->n; i++)
        if (b->pairs[i] != b->pairs[kept - 1]) b->pairs[kept++] = b->pairs[i];
    b->n = kept;
}

void seg_ids_describe(const struct seg_ids_build *b, struct seg_ids *out)
{
    uint32_t npages = (uint32_t)MIN(SEG_IDS_PAGES_MAX, (b->n + PAGE_PAIRS - 1) / PAGE_PAIRS);
    *out = (struct seg_ids){ .npages = npages, .nblocks = b->nblocks, .low_bits = b->low_bits, .rows = b->rows, .no_numbers = b->no_numbers };
    if (!b->rows || b->nrows == 0) return;
    out->rows_log2 = b->rows_log2;
    out->nblocks = ((b->nrows - 1) >> b->rows_log2) + 1;
}

/* n zeros and a one. */
static void put_unary(struct bits_out *b, uint64_t n)
{
    for (; n >= 32; n -= 32)
        bits_put(b, 0, 32);
    bits_put(b, UINT64_C(1) << n, (unsigned)n + 1);
}

/* How many pairs from i on, up to n, belong to the id of pair i. */
static size_t same_id(const struct seg_ids_build *b, size_t i, size_t n)
{
    size_t k = i + 1;
    while (k < n && (b->pairs[k] ^ b->pairs[i]) <= number_mask(b->rows))
        k++;
    return k - i;
}

/* Which bucket of the page an id lies in, and its place inside. */
static uint32_t bucket_of(uint64_t hash, const struct seg_ids *ids, uint32_t nids, uint32_t *low)
{
    uint64_t inside, rest;
    range_of(hash & ~number_mask(ids->rows), ids->npages, &inside);
    uint32_t bucket = range_of(inside, nids, &rest);
    *low = (uint32_t)(rest >> (64 - ids->low_bits));
    return bucket;
}

struct page_out { /* pairs [from, to) */
    const struct seg_ids_build *b;
    const struct seg_ids *ids;
    size_t from, to;
    uint32_t nids, nlists;
};

static void put_ids(const struct page_out *p, struct buf *out)
{
    const struct seg_ids_build *b = p->b;
    struct bits_out bits = { .to = out };
    uint32_t low, at = 0;
    for (size_t i = p->from; i < p->to; i += same_id(b, i, p->to)) {
        uint32_t bucket = bucket_of(b->pairs[i], p->ids, p->nids, &low);
        for (; at < bucket; at++)
            bits_put(&bits, 0, 1);
        bits_put(&bits, 1, 1);
    }
    for (; at < p->nids; at++)
        bits_put(&bits, 0, 1);
    bits_end(&bits);
    for (size_t i = p->from; i < p->to; i += same_id(b, i, p->to)) {
        (void)bucket_of(b->pairs[i], p->ids, p->nids, &low);
        bits_put(&bits, low, b->low_bits);
    }
    bits_end(&bits);
    for (size_t i = p->from; p->nlists && i < p->to; i += same_id(b, i, p->to))
        bits_put(&bits, same_id(b, i, p->to) > 1, 1);
    bits_end(&bits);
}

static unsigned gap_bits(uint32_t nblocks, uint32_t k) { return bits_of(nblocks / k) - 1; }

static void put_gaps(struct bits_out *bits, const uint64_t *pairs, uint32_t k, uint32_t next, unsigned low, uint64_t mask)
{
    for (uint32_t i = 0; i < k; i++) {
        uint32_t number = (uint32_t)(pairs[i] & mask), gap = number - next;
        put_unary(bits, gap >> low);
        bits_put(bits, gap & ((UINT32_C(1) << low) - 1), low);
        next = number + 1;
    }
}

static void put_count(struct bits_out *bits, uint32_t k)
{
    unsigned width = bits_of(k - 1) - 1;
    put_unary(bits, width);
    bits_put(bits, (k - 1) & ((UINT32_C(1) << width) - 1), width);
}

/* The k > 1 rows of an id. */
static void put_near(struct bits_out *bits, const uint64_t *pairs, uint32_t k, uint32_t nblocks)
{
    uint64_t mask = number_mask(true);
    uint32_t first = (uint32_t)(pairs[0] & mask), last = (uint32_t)(pairs[k - 1] & mask), between = last - first - (k - 1);
    unsigned low = bits_of(between / (k - 1));
    low -= low > 0;
    put_count(bits, k);
    bits_put(bits, first, bits_of(nblocks - 1));
    bits_put(bits, low, NEAR_BITS);
    put_gaps(bits, pairs + 1, k - 1, first + 1, low, mask);
}

/* The k > 1 blocks of an id. */
static void put_list(struct bits_out *bits, const uint64_t *pairs, uint32_t k, uint32_t nblocks)
{
    uint64_t mask = number_mask(false);
    put_count(bits, k);
    if (k == nblocks) return;
    if (k <= nblocks / 2) {
        put_gaps(bits, pairs, k, 0, gap_bits(nblocks, k), mask);
        return;
    }
    for (uint32_t i = 0, next = 0; i < nblocks; i++) {
        bool has = next < k && (pairs[next] & mask) == i;
        bits_put(bits, has, 1);
        next += has;
    }
}

static void put_places(const struct page_out *p, struct buf *out)
{
    const struct seg_ids_build *b = p->b;
    struct bits_out bits = { .to = out };
    uint32_t nblocks = p->ids->nblocks;
    for (size_t i = p->from, k; i < p->to; i += k) {
        k = same_id(b, i, p->to);
        if (k == 1) bits_put(&bits, b->pairs[i] & number_mask(b->rows), bits_of(nblocks - 1));
    }
    bits_end(&bits);
    for (size_t i = p->from, k; i < p->to; i += k) {
        k = same_id(b, i, p->to);
        if (k > 1) (b->rows ? put_near : put_list)(&bits, b->pairs + i, (uint32_t)k, nblocks);
    }
    bits_end(&bits);
}

static uint32_t checksum(struct str page, uint32_t number) { return (uint32_t)hash64_with(page, number); }

void seg_ids_page(const struct seg_ids_build *b, uint32_t npages, uint32_t page, size_t *at, struct buf *out)
{
    struct seg_ids ids;
    struct page_out p = { .b = b, .ids = &ids, .from = *at };
    size_t mark = out->n;
    uint64_t mask = number_mask(b->rows), ignored;
    seg_ids_describe(b, &ids);
    ids.npages = npages;
    for (; *at < b->n && range_of(b->pairs[*at] & ~mask, npages, &ignored) == page; ++*at)
        p.nids += *at == p.from || (b->pairs[*at] ^ b->pairs[*at - 1]) > mask;
    p.to = *at;
    if (p.from == p.to) return;
    for (size_t i = p.from; i < p.to; i += same_id(b, i, p.to))
        p.nlists += same_id(b, i, p.to) > 1;
    buf_varint(out, p.nids);
    buf_varint(out, p.nlists);
    put_ids(&p, out);
    put_places(&p, out);
    uint32_t check = checksum(str_sub(buf_view(out), mark, out->n), page);
    buf_put(out, &check, CHECK_BYTES);
}

uint64_t seg_ids_fold(uint64_t fold, struct str page)
{
    return page.n ? hash64_with(str_sub(page, page.n - CHECK_BYTES, page.n), fold) : fold;
}

void seg_ids_put(const struct seg_ids *ids, struct buf *out)
{
    buf_varint(out, ids->npages);
    if (ids->npages == 0) return;
    buf_varint(out, ids->off);
    buf_varint(out, ids->nblocks);
    buf_byte(out, (uint8_t)(ids->low_bits | (ids->rows ? OF_ROWS : 0) | (ids->no_numbers ? NO_NUMBERS : 0)));
    if (ids->rows) buf_byte(out, (uint8_t)ids->rows_log2);
    buf_put(out, &ids->fold, sizeof ids->fold);
    for (uint32_t i = 0; i < ids->npages; i++)
        buf_varint(out, ids->end[i] - (i ? ids->end[i - 1] : 0));
}

/* -- reading ----------------------------------------------------------------------------------------------- */

err_t seg_ids_parse(struct cur *c, struct arena *a, struct seg_ids *out)
{
    const uint8_t *fold;
    uint8_t low_bits, rows_log2 = 0;
    *out = (struct seg_ids){ 0 };
    TRY(cur_count(c, SEG_IDS_PAGES_MAX, &out->npages));
    if (out->npages == 0) return OK;
    TRY(cur_varint(c, &out->off));
    TRY(cur_count(c, SEG_IDS_ROWS_MAX, &out->nblocks));
    TRY(cur_u8(c, &low_bits));
    out->rows = low_bits & OF_ROWS;
    out->no_numbers = low_bits & NO_NUMBERS;
    low_bits &= NO_NUMBERS - 1;
    if (out->rows) TRY(cur_u8(c, &rows_log2));
    out->low_bits = low_bits;
    out->rows_log2 = rows_log2;
    TRY(cur_take(c, sizeof out->fold, &fold));
    memcpy(&out->fold, fold, sizeof out->fold);
    if (out->nblocks == 0 || out->nblocks - 1 > number_mask(out->rows) || rows_log2 > ROWS_LOG2_MAX || low_bits == 0 || low_bits > SEG_IDS_LOW_MAX || out->npages > (size_t)(c->end - c->p))
        return err_set(ERR_CORRUPT, "an index of ids of %u pages for %u blocks, %u bits an id", out->npages, out->nblocks, low_bits);
    out->end = ARENA_RAW(a, uint32_t, out->npages);
    TRY(arena_check(a));
    uint32_t end = 0;
    for (uint32_t i = 0, size; i < out->npages; i++) {
        TRY(cur_count(c, UINT32_MAX - end, &size));
        end += size;
        out->end[i] = end;
    }
    return OK;
}

uint32_t seg_ids_page_of(const struct seg_ids *ids, uint64_t hash)
{
    uint64_t ignored;
    return range_of(hash & ~number_mask(ids->rows), ids->npages, &ignored);
}

struct page {
    uint32_t nids, nlists;
    unsigned width, low_bits;
    const uint8_t *upper, *low, *listed, *places, *lists;
    size_t lists_bits;
};

static err_t page_parse(const struct seg_ids *ids, struct str bytes, uint32_t number, struct page *p)
{
    if (bytes.n < CHECK_BYTES) return err_set(ERR_CORRUPT, "a page of ids of %zu bytes", bytes.n);
    struct str body = str_sub(bytes, 0, bytes.n - CHECK_BYTES);
    uint32_t check = checksum(body, number);
    if (memcmp(bytes.p + body.n, &check, CHECK_BYTES) != 0)
        return err_set(ERR_CORRUPT, "the checksum of page %u of the index of ids is wrong", number);
    struct cur c = cur_of(body);
    p->width = bits_of(ids->nblocks - 1);
    p->low_bits = ids->low_bits;
    TRY(cur_count(&c, (uint32_t)MIN(body.n * 8, UINT32_MAX), &p->nids));
    TRY(cur_count(&c, p->nids, &p->nlists));
    TRY(cur_take(&c, ((size_t)p->nids * 2 + 7) / 8, &p->upper));
    TRY(cur_take(&c, ((size_t)p->nids * p->low_bits + 7) / 8, &p->low));
    TRY(cur_take(&c, p->nlists ? ((size_t)p->nids + 7) / 8 : 0, &p->listed));
    TRY(cur_take(&c, ((size_t)(p->nids - p->nlists) * p->width + 7) / 8, &p->places));
    p->lists = c.p;
    p->lists_bits = (size_t)(c.end - c.p) * 8;
    return p->nids ? OK : err_set(ERR_CORRUPT, "page %u of the index of ids has no ids", number);
}

static bool get_bit(const uint8_t *bits, size_t at) { return bits[at / 8] >> (at % 8) & 1; }

/* The position behind the nth (from 1) bit of that value among `bits`, 0 for n = 0; SIZE_MAX when there are fewer. */
static size_t behind(const uint8_t *p, size_t bits, bool value, uint32_t n)
{
    size_t at = 0;
    for (; n > 8 && at + 8 <= bits; at += 8) {
        unsigned ones = (unsigned)__builtin_popcount(p[at / 8]);
        n -= value ? ones : 8 - ones;
    }
    for (; n > 0; at++) {
        if (at >= bits) return SIZE_MAX;
        n -= get_bit(p, at) == value;
    }
    return at;
}

static uint32_t ones_before(const uint8_t *p, uint32_t at)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i + 8 <= at; i += 8)
        n += (uint32_t)__builtin_popcount(p[i / 8]);
    return n + (at % 8 ? (uint32_t)__builtin_popcount(p[at / 8] & ((1u << at % 8) - 1)) : 0);
}

/* A number of `width` bits at bit `at`, all of them there. */
static uint32_t number_at(const uint8_t *p, size_t at, unsigned width)
{
    uint64_t v = 0;
    size_t from = at / 8, end = (at + width + 7) / 8;
    for (size_t i = from; i < end; i++)
        v |= (uint64_t)p[i] << (i - from) * 8;
    return (uint32_t)(v >> at % 8 & ((UINT64_C(1) << width) - 1));
}

struct bit_in {
    const uint8_t *p;
    size_t at, end;
};

static err_t lists_end(void) { return err_set(ERR_CORRUPT, "the blocks of an id end inside in the index of ids"); }

static err_t take_bits(struct bit_in *b, unsigned n, uint32_t *v)
{
    if (n > b->end - b->at) return lists_end();
    *v = number_at(b->p, b->at, n);
    b->at += n;
    return OK;
}

static err_t take_unary(struct bit_in *b, uint32_t max, uint32_t *n)
{
    for (*n = 0; b->at < b->end && !get_bit(b->p, b->at); b->at++)
        if (++*n > max) return err_set(ERR_CORRUPT, "a number of more than %u in the index of ids", max);
    return b->at++ < b->end ? OK : lists_end();
}

struct found {
    struct arena *a;
    uint32_t *v, n;
    size_t cap;
};

static void found_add(struct found *f, uint32_t block)
{
    f->v = arena_grow(f->a, f->v, f->n, &f->cap, f->n + 1, sizeof *f->v);
    f->v[f->n++] = block;
}

static err_t take_count(const struct seg_ids *ids, struct bit_in *b, uint32_t *k)
{
    uint32_t width;
    TRY(take_unary(b, ROW_BITS, &width));
    TRY(take_bits(b, width, k));
    *k += (UINT32_C(1) << width) + 1;
    return *k <= ids->nblocks ? OK : err_set(ERR_CORRUPT, "an id of %u of %u numbers", *k, ids->nblocks);
}

static err_t take_gaps(const struct seg_ids *ids, struct bit_in *b, uint32_t k, uint32_t next, unsigned low_bits, struct found *f)
{
    uint32_t high, low;
    for (uint32_t i = 0; i < k; i++) {
        TRY(take_unary(b, ids->nblocks >> low_bits, &high));
        TRY(take_bits(b, low_bits, &low));
        uint64_t number = next + ((uint64_t)high << low_bits | low);
        if (number >= ids->nblocks) return err_set(ERR_CORRUPT, "number %u of %u in the index of ids", (uint32_t)number, ids->nblocks);
        if (f) found_add(f, (uint32_t)number);
        next = (uint32_t)number + 1;
    }
    return OK;
}

static err_t take_near(const struct seg_ids *ids, struct bit_in *b, uint32_t k, struct found *f)
{
    uint32_t first, low_bits;
    TRY(take_bits(b, bits_of(ids->nblocks - 1), &first));
    TRY(take_bits(b, NEAR_BITS, &low_bits));
    if (first >= ids->nblocks) return err_set(ERR_CORRUPT, "number %u of %u in the index of ids", first, ids->nblocks);
    if (f) found_add(f, first);
    return take_gaps(ids, b, k - 1, first + 1, low_bits, f);
}

/* The numbers of the next list; to *f, unless NULL. */
static err_t take_list(const struct seg_ids *ids, struct bit_in *b, struct found *f)
{
    uint32_t k;
    TRY(take_count(ids, b, &k));
    if (ids->rows) return take_near(ids, b, k, f);
    if (k <= ids->nblocks / 2) return take_gaps(ids, b, k, 0, gap_bits(ids->nblocks, k), f);
    bool all = k == ids->nblocks;
    if (!all && ids->nblocks > b->end - b->at) return lists_end();
    for (uint32_t i = 0; f && i < ids->nblocks; i++)
        if (all || get_bit(b->p, b->at + i)) found_add(f, i);
    b->at += all ? 0 : ids->nblocks;
    return OK;
}

/* The places of the ids of one bucket, from `id` on: those whose low bits are `low`. */
static err_t take_places(const struct seg_ids *ids, const struct page *p, uint32_t id, size_t upper_at, uint32_t low, struct found *f)
{
    struct bit_in lists = { p->lists, 0, p->lists_bits };
    uint32_t passed = 0; /* lists */
    for (; upper_at < (size_t)p->nids * 2 && get_bit(p->upper, upper_at); upper_at++, id++) {
        if (id >= p->nids) return err_set(ERR_CORRUPT, "more ids than there are in the index of ids");
        if (number_at(p->low, (size_t)id * p->low_bits, p->low_bits) != low) continue;
        uint32_t before = p->nlists ? ones_before(p->listed, id) : 0;
        if (!p->nlists || !get_bit(p->listed, id)) {
            if (id - before >= p->nids - p->nlists) return err_set(ERR_CORRUPT, "an id without a block in the index of ids");
            uint32_t v = number_at(p->places, (size_t)(id - before) * p->width, p->width);
            if (v >= ids->nblocks) return err_set(ERR_CORRUPT, "block %u of %u in the index of ids", v, ids->nblocks);
            found_add(f, v);
            continue;
        }
        for (; passed < before; passed++)
            TRY(take_list(ids, &lists, NULL));
        TRY(take_list(ids, &lists, f));
        passed++;
    }
    return arena_check(f->a);
}

static int ascending(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

err_t seg_ids_find(const struct seg_ids *ids, struct str page, uint64_t hash, struct arena *a, uint32_t **numbers, uint32_t *n)
{
    struct found f = { .a = a };
    struct page p;
    *n = 0;
    if (ids->npages == 0 || page.n == 0) return OK;
    uint32_t number = seg_ids_page_of(ids, hash), low;
    TRY(page_parse(ids, page, number, &p));
    uint32_t bucket = bucket_of(hash, ids, p.nids, &low);
    size_t bits = (size_t)p.nids * 2, at = behind(p.upper, bits, false, bucket);
    if (at == SIZE_MAX) return err_set(ERR_CORRUPT, "page %u of the index of ids has too few buckets", number);
    TRY(take_places(ids, &p, (uint32_t)at - bucket, at, low, &f));
    if (f.n > 1) qsort(f.v, f.n, sizeof *f.v, ascending);
    for (uint32_t i = 0; i < f.n; i++)
        if (i == 0 || f.v[i] != f.v[*n - 1]) f.v[(*n)++] = f.v[i];
    *numbers = f.v;
    return OK;
}

err_t seg_ids_find_rows(const struct seg_ids *ids, struct str page, uint64_t hash, uint32_t nrows, struct arena *a, uint32_t **rows,
                        uint32_t *n)
{
    uint32_t *numbers, k, each = UINT32_C(1) << ids->rows_log2;
    ASSERT(ids->rows);
    TRY(seg_ids_find(ids, page, hash, a, &numbers, &k));
    *n = 0;
    *rows = numbers;
    if (k == 0) return OK;
    if (each > 1) *rows = ARENA_RAW(a, uint32_t, (size_t)k * each);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < k; i++)
        for (uint64_t row = (uint64_t)numbers[i] << ids->rows_log2, j = 0; j < each && row + j < nrows; j++)
            (*rows)[(*n)++] = (uint32_t)(row + j);
    return OK;
}

err_t seg_ids_check(const struct seg_ids *ids, struct str page, uint32_t number)
{
    struct page p;
    return page.n ? page_parse(ids, page, number, &p) : OK;
}
