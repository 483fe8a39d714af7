#include "storage/seg_ids.h"

#include "base/core/assert.h"

#include <stdlib.h>

enum { BLOCK_BITS = 26, PAGE_PAIRS = 1024, CHECK_BYTES = 4 };
#define BLOCK_MASK ((UINT64_C(1) << BLOCK_BITS) - 1)
_Static_assert(SEG_IDS_BLOCKS_MAX == 1 << BLOCK_BITS, "a block's number fits beside its hash");

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

void seg_ids_add(struct seg_ids_build *b, uint64_t hash, uint32_t block)
{
    ASSERT(block < SEG_IDS_BLOCKS_MAX);
    uint64_t pair = (hash & ~BLOCK_MASK) | block;
    if (b->n && b->pairs[b->n - 1] == pair) return;
    if (b->n == b->cap) grow(b, b->cap ? b->cap * 2 : 4096);
    b->pairs[b->n++] = pair;
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

uint32_t seg_ids_sort(struct seg_ids_build *b)
{
    if (b->n == 0) return 0;
    size_t bytes = b->n * sizeof *b->pairs;
    budget_charge(b->budget, (int64_t)bytes);
    uint64_t *work = malloc(bytes);
    ASSERT(work);
    /* Blocks came ascending and stay so. */
    sort_pass(b->pairs, work, b->n, 26, 10);
    sort_pass(work, b->pairs, b->n, 36, 10);
    sort_pass(b->pairs, work, b->n, 46, 9);
    sort_pass(work, b->pairs, b->n, 55, 9);
    free(work);
    budget_release(b->budget, (int64_t)bytes);
    size_t kept = 1;
    for (size_t i = 1; i < b->n; i++)
        if (b->pairs[i] != b->pairs[kept - 1]) b->pairs[kept++] = b->pairs[i];
    b->n = kept;
    return (uint32_t)MIN(SEG_IDS_PAGES_MAX, (kept + PAGE_PAIRS - 1) / PAGE_PAIRS);
}

/* Bits from bit 0 of each byte on. */
static void set_bit(char *bits, size_t at) { bits[at / 8] = (char)(bits[at / 8] | 1 << at % 8); }
static bool get_bit(const uint8_t *bits, size_t at) { return bits[at / 8] >> (at % 8) & 1; }

static char *zeroed(struct buf *out, size_t bits)
{
    char *p = buf_reserve(out, (bits + 7) / 8);
    if (!p) return NULL;
    memset(p, 0, (bits + 7) / 8);
    out->n += (bits + 7) / 8;
    return p;
}

static void put_ids(const uint64_t *pairs, size_t n, uint32_t npages, uint32_t nids, struct buf *out)
{
    size_t mark = out->n;
    char *upper = zeroed(out, (size_t)nids * 2);
    if (!upper) return;
    uint32_t id = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (pairs[i] ^ pairs[i - 1]) <= BLOCK_MASK) continue;
        uint64_t inside, low;
        range_of(pairs[i] & ~BLOCK_MASK, npages, &inside);
        /* Behind the ids before, and the ends of the buckets before. */
        upper = out->p + mark;
        set_bit(upper, (size_t)id++ + range_of(inside, nids, &low));
        buf_byte(out, (uint8_t)(low >> 56));
        if (out->failed) return;
    }
    ASSERT(id == nids);
}

static void put_places(const uint64_t *pairs, size_t n, unsigned width, struct buf *out)
{
    char *last = zeroed(out, n);
    for (size_t i = 0; last && i < n; i++)
        if (i + 1 == n || (pairs[i] ^ pairs[i + 1]) > BLOCK_MASK) set_bit(last, i);
    uint64_t word;
    if (!buf_reserve(out, (n * width + 7) / 8 + sizeof word)) return;
    char *places = out->p + out->n;
    memset(places, 0, (n * width + 7) / 8 + sizeof word);
    for (size_t i = 0, bit = 0; i < n; i++, bit += width) {
        memcpy(&word, places + bit / 8, sizeof word);
        word |= (pairs[i] & BLOCK_MASK) << bit % 8;
        memcpy(places + bit / 8, &word, sizeof word);
    }
    out->n += (n * width + 7) / 8;
}

static uint32_t checksum(struct str page, uint32_t number) { return (uint32_t)hash64_with(page, number); }

void seg_ids_page(const struct seg_ids_build *b, uint32_t npages, uint32_t page, size_t *at, struct buf *out)
{
    size_t from = *at, mark = out->n;
    uint64_t ignored;
    uint32_t nids = 0;
    for (; *at < b->n && range_of(b->pairs[*at] & ~BLOCK_MASK, npages, &ignored) == page; ++*at)
        nids += *at == from || (b->pairs[*at] ^ b->pairs[*at - 1]) > BLOCK_MASK;
    size_t n = *at - from;
    if (n == 0) return;
    buf_varint(out, nids);
    buf_varint(out, n);
    put_ids(b->pairs + from, n, npages, nids, out);
    put_places(b->pairs + from, n, bits_of(b->nblocks - 1), out);
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
    buf_put(out, &ids->fold, sizeof ids->fold);
    for (uint32_t i = 0; i < ids->npages; i++)
        buf_varint(out, ids->end[i] - (i ? ids->end[i - 1] : 0));
}

/* -- reading ----------------------------------------------------------------------------------------------- */

err_t seg_ids_parse(struct cur *c, struct arena *a, struct seg_ids *out)
{
    const uint8_t *fold;
    *out = (struct seg_ids){ 0 };
    TRY(cur_count(c, SEG_IDS_PAGES_MAX, &out->npages));
    if (out->npages == 0) return OK;
    TRY(cur_varint(c, &out->off));
    TRY(cur_count(c, SEG_IDS_BLOCKS_MAX, &out->nblocks));
    TRY(cur_take(c, sizeof out->fold, &fold));
    memcpy(&out->fold, fold, sizeof out->fold);
    if (out->nblocks == 0 || out->npages > (size_t)(c->end - c->p))
        return err_set(ERR_CORRUPT, "an index of ids of %u pages for %u blocks", out->npages, out->nblocks);
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
    return range_of(hash & ~BLOCK_MASK, ids->npages, &ignored);
}

struct page {
    uint32_t nids, nplaces;
    unsigned width;
    const uint8_t *upper, *low, *last, *places;
};

static err_t page_parse(const struct seg_ids *ids, struct str bytes, uint32_t number, struct page *p)
{
    if (bytes.n < CHECK_BYTES) return err_set(ERR_CORRUPT, "a page of ids of %zu bytes", bytes.n);
    struct str body = str_sub(bytes, 0, bytes.n - CHECK_BYTES);
    uint32_t check = checksum(body, number);
    if (memcmp(bytes.p + body.n, &check, CHECK_BYTES) != 0)
        return err_set(ERR_CORRUPT, "the checksum of page %u of the index of ids is wrong", number);
    struct cur c = cur_of(body);
    uint32_t bits_max = (uint32_t)MIN(body.n * 8, UINT32_MAX);
    p->width = bits_of(ids->nblocks - 1);
    TRY(cur_count(&c, bits_max, &p->nids));
    TRY(cur_count(&c, bits_max, &p->nplaces));
    TRY(cur_take(&c, ((size_t)p->nids * 2 + 7) / 8, &p->upper));
    TRY(cur_take(&c, p->nids, &p->low));
    TRY(cur_take(&c, ((size_t)p->nplaces + 7) / 8, &p->last));
    TRY(cur_take(&c, ((size_t)p->nplaces * p->width + 7) / 8, &p->places));
    if (p->nids == 0 || c.p != c.end) return err_set(ERR_CORRUPT, "page %u of the index of ids has another form", number);
    return OK;
}

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

static uint32_t place(const struct page *p, size_t at)
{
    uint32_t v = 0;
    for (unsigned k = 0; k < p->width; k++)
        v |= (uint32_t)get_bit(p->places, at * p->width + k) << k;
    return v;
}

struct found {
    struct arena *a;
    uint32_t *v, n;
    size_t cap;
};

/* The places of the ids of one bucket: those whose low bits are `low`. */
static err_t take_places(const struct seg_ids *ids, const struct page *p, uint32_t id, size_t upper_at, uint8_t low, struct found *f)
{
    size_t at = behind(p->last, p->nplaces, true, id);
    for (; upper_at < (size_t)p->nids * 2 && get_bit(p->upper, upper_at); upper_at++, id++) {
        if (id >= p->nids) return err_set(ERR_CORRUPT, "more ids than there are in the index of ids");
        bool take = p->low[id] == low, end = false;
        for (; !end; at++) {
            if (at >= p->nplaces) return err_set(ERR_CORRUPT, "an id without an end in the index of ids");
            end = get_bit(p->last, at);
            if (!take) continue;
            uint32_t v = place(p, at);
            if (v >= ids->nblocks) return err_set(ERR_CORRUPT, "block %u of %u in the index of ids", v, ids->nblocks);
            f->v = arena_grow(f->a, f->v, f->n, &f->cap, f->n + 1, sizeof *f->v);
            f->v[f->n++] = v;
        }
    }
    return arena_check(f->a);
}

static int ascending(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

err_t seg_ids_find(const struct seg_ids *ids, struct str page, uint64_t hash, struct arena *a, uint32_t **blocks, uint32_t *n)
{
    struct found f = { .a = a };
    struct page p;
    uint64_t inside, low;
    *n = 0;
    if (ids->npages == 0 || page.n == 0) return OK;
    uint32_t number = range_of(hash & ~BLOCK_MASK, ids->npages, &inside);
    TRY(page_parse(ids, page, number, &p));
    uint32_t bucket = range_of(inside, p.nids, &low);
    size_t bits = (size_t)p.nids * 2, at = behind(p.upper, bits, false, bucket);
    if (at == SIZE_MAX) return err_set(ERR_CORRUPT, "page %u of the index of ids has too few buckets", number);
    TRY(take_places(ids, &p, (uint32_t)at - bucket, at, (uint8_t)(low >> 56), &f));
    if (f.n > 1) qsort(f.v, f.n, sizeof *f.v, ascending);
    for (uint32_t i = 0; i < f.n; i++)
        if (i == 0 || f.v[i] != f.v[*n - 1]) f.v[(*n)++] = f.v[i];
    *blocks = f.v;
    return OK;
}
