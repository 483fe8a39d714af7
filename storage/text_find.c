#include "storage/text_find.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* -- the needle -------------------------------------------------------------------------------------------- */

static inline uint8_t lower(uint8_t c) { return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c + 32) : c; }

/* How rare a byte is in log text, roughly: its place in this row, or behind it. */
static unsigned rarity(uint8_t c, bool fold)
{
    static const char common[] = " etaoinsr0123456789lcdupm\"/:.-_=,fhgbvwy[](){}kxETAOINSRzqj";
    const char *at = c ? memchr(common, fold ? lower(c) : c, sizeof common - 1) : NULL;
    return at ? (unsigned)(at - common) : (unsigned)sizeof common;
}

static void choose(struct text_find *f, int k, size_t at)
{
    uint8_t c = (uint8_t)f->needle.p[at];
    f->at[k] = (uint32_t)at;
    f->byte[k] = c;
    f->bit[k] = f->fold && (uint8_t)(c - 'a') < 26 ? 0x20 : 0;
}

void text_find_ends(struct text_find *f, struct str needle, bool fold)
{
    *f = (struct text_find){ .needle = needle, .fold = fold };
    if (needle.n == 0) return;
    choose(f, 0, 0);
    choose(f, 1, needle.n - 1);
}

void text_find_init(struct text_find *f, struct str needle, bool fold)
{
    size_t best[2] = { 0, needle.n ? needle.n - 1 : 0 };
    unsigned rare[2] = { 0, 0 };
    *f = (struct text_find){ .needle = needle, .fold = fold };
    if (needle.n == 0) return;
    for (size_t i = 0; i < needle.n; i++) {
        unsigned r = rarity((uint8_t)needle.p[i], fold);
        if (r > rare[0]) {
            if (i > 0) {
                rare[1] = rare[0];
                best[1] = best[0];
            }
            rare[0] = r;
            best[0] = i;
        } else if (r > rare[1] && i != best[0]) {
            rare[1] = r;
            best[1] = i;
        }
    }
    choose(f, 0, best[0]);
    choose(f, 1, best[1]);
}

static inline bool stands(const struct text_find *f, const uint8_t *p)
{
    if (!f->fold) return memcmp(p, f->needle.p, f->needle.n) == 0;
    for (size_t i = 0; i < f->needle.n; i++)
        if (lower(p[i]) != (uint8_t)f->needle.p[i]) return false;
    return true;
}

/* -- the ways ---------------------------------------------------------------------------------------------- *
 * Each looks at the places [from, places) of a text that has the needle's length behind the last of them. */

static size_t find_plain(const struct text_find *f, const uint8_t *p, size_t from, size_t places)
{
    const uint8_t *a = p + f->at[0], *b = p + f->at[1];
    for (; from < places; from++)
        if ((a[from] | f->bit[0]) == f->byte[0] && (b[from] | f->bit[1]) == f->byte[1] && stands(f, p + from)) return from;
    return SIZE_MAX;
}

#if defined(__x86_64__)
/* The first of the places whose bits are set where the needle stands. */
static inline size_t first_of(const struct text_find *f, const uint8_t *p, size_t from, uint64_t hits)
{
    for (; hits; hits &= hits - 1) {
        size_t at = from + (size_t)__builtin_ctzll(hits);
        if (stands(f, p + at)) return at;
    }
    return SIZE_MAX;
}

static inline __m128i load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

static size_t find_sse2(const struct text_find *f, const uint8_t *p, size_t from, size_t places)
{
    const __m128i x = _mm_set1_epi8((char)f->byte[0]), y = _mm_set1_epi8((char)f->byte[1]);
    const __m128i bx = _mm_set1_epi8((char)f->bit[0]), by = _mm_set1_epi8((char)f->bit[1]);
    const uint8_t *a = p + f->at[0], *b = p + f->at[1];
    for (; from + 16 <= places; from += 16) {
        __m128i hit = _mm_and_si128(_mm_cmpeq_epi8(_mm_or_si128(load16(a + from), bx), x),
                                    _mm_cmpeq_epi8(_mm_or_si128(load16(b + from), by), y));
        unsigned hits = (unsigned)_mm_movemask_epi8(hit);
        if (!hits) continue;
        size_t at = first_of(f, p, from, hits);
        if (at != SIZE_MAX) return at;
    }
    return find_plain(f, p, from, places);
}

__attribute__((target("avx2"))) static inline __m256i load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

__attribute__((target("avx2"))) static size_t find_avx2(const struct text_find *f, const uint8_t *p, size_t from, size_t places)
{
    const __m256i x = _mm256_set1_epi8((char)f->byte[0]), y = _mm256_set1_epi8((char)f->byte[1]);
    const __m256i bx = _mm256_set1_epi8((char)f->bit[0]), by = _mm256_set1_epi8((char)f->bit[1]);
    const uint8_t *a = p + f->at[0], *b = p + f->at[1];
    for (; from + 32 <= places; from += 32) {
        __m256i hit = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_or_si256(load32(a + from), bx), x),
                                       _mm256_cmpeq_epi8(_mm256_or_si256(load32(b + from), by), y));
        unsigned hits = (unsigned)_mm256_movemask_epi8(hit);
        if (!hits) continue;
        size_t at = first_of(f, p, from, hits);
        if (at != SIZE_MAX) return at;
    }
    return find_sse2(f, p, from, places);
}

__attribute__((target("avx512f,avx512bw"))) static size_t find_avx512(const struct text_find *f, const uint8_t *p, size_t from,
                                                                      size_t places)
{
    const __m512i x = _mm512_set1_epi8((char)f->byte[0]), y = _mm512_set1_epi8((char)f->byte[1]);
    const __m512i bx = _mm512_set1_epi8((char)f->bit[0]), by = _mm512_set1_epi8((char)f->bit[1]);
    const uint8_t *a = p + f->at[0], *b = p + f->at[1];
    for (; from + 64 <= places; from += 64) {
        uint64_t hits = _mm512_cmpeq_epi8_mask(_mm512_or_si512(_mm512_loadu_si512(a + from), bx), x);
        hits = _mm512_mask_cmpeq_epi8_mask(hits, _mm512_or_si512(_mm512_loadu_si512(b + from), by), y);
        if (!hits) continue;
        size_t at = first_of(f, p, from, hits);
        if (at != SIZE_MAX) return at;
    }
    return find_sse2(f, p, from, places);
}
#endif

typedef size_t find_fn(const struct text_find *f, const uint8_t *p, size_t from, size_t places);
static find_fn *const ways[] = {
    find_plain,
#if defined(__x86_64__)
    find_sse2, find_avx2, find_avx512,
#endif
};

unsigned text_find_ways(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return 4;
    return __builtin_cpu_supports("avx2") ? 3 : 2;
#else
    return 1;
#endif
}

/* Chosen by whoever comes first: all choose the same. */
static _Atomic(find_fn *) chosen;

void text_find_use(unsigned way) { atomic_store_explicit(&chosen, ways[way], memory_order_relaxed); }

/* -- searching --------------------------------------------------------------------------------------------- */

size_t text_find(const struct text_find *f, struct str text, size_t from)
{
    if (f->needle.n == 0) return from <= text.n ? from : SIZE_MAX;
    if (text.n < f->needle.n) return SIZE_MAX;
    find_fn *fn = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!fn) {
        text_find_use(text_find_ways() - 1);
        fn = atomic_load_explicit(&chosen, memory_order_relaxed);
    }
    return fn(f, (const uint8_t *)text.p, from, text.n - f->needle.n + 1);
}

/* The entry that byte `at` lies in, from entry e on: in doubling steps, since finds are rare or near. */
static uint32_t entry_of(const struct dict *d, uint32_t e, size_t at)
{
    uint32_t step = 1, hi = e + 1;
    while (hi < d->count && d->offset[hi] <= at) {
        e = hi;
        hi = d->count - hi > step ? hi + step : d->count;
        step *= 2;
    }
    while (hi - e > 1) { /* offset[e] <= at, and at lies in front of hi */
        uint32_t mid = e + (hi - e) / 2;
        if (d->offset[mid] <= at) e = mid;
        else hi = mid;
    }
    return e;
}

uint32_t text_find_entries(const struct text_find *f, const struct dict *d, uint64_t *bits)
{
    uint32_t n = 0, e = 0;
    memset(bits, 0, ((size_t)d->count + 63) / 64 * sizeof *bits);
    if (f->needle.n == 0) {
        for (; e < d->count; e++)
            bits[e / 64] |= UINT64_C(1) << (e % 64);
        return d->count;
    }
    struct str all = { d->bytes, d->count ? d->offset[d->count] : 0 };
    for (size_t at = 0; (at = text_find(f, all, at)) != SIZE_MAX;) {
        e = entry_of(d, e, at);
        if (at + f->needle.n > d->offset[e + 1]) { /* over the border of two entries */
            at++;
            continue;
        }
        bits[e / 64] |= UINT64_C(1) << (e % 64);
        n++;
        at = d->offset[e + 1];
    }
    return n;
}
