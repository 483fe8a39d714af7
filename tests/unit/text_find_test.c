/* The search for byte strings, each way of it, against one byte after another. */
#include "storage/text_find.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }

static size_t naive(struct str text, struct str needle, bool fold, size_t from)
{
    for (; from + needle.n <= text.n; from++) {
        size_t i = 0;
        while (i < needle.n && (fold ? lower((uint8_t)text.p[from + i]) : (uint8_t)text.p[from + i]) == (uint8_t)needle.p[i])
            i++;
        if (i == needle.n) return from;
    }
    return SIZE_MAX;
}

/* Letters of both cases, digits, what differs from them by the bit of the case, and any byte. */
static uint8_t some_byte(struct prng *r, unsigned kind)
{
    static const char few[] = "abAB", mixed[] = "kK@`[{ 0P\x10";
    if (kind == 0) return (uint8_t)few[prng_below(r, 4)];
    if (kind == 1) return (uint8_t)mixed[prng_below(r, sizeof mixed - 1)];
    return (uint8_t)prng_below(r, 256);
}

/* Its own block, so that a read beside it is seen. */
static struct str random_text(struct prng *r, size_t n, unsigned kind)
{
    char *p = malloc(n + (n == 0));
    for (size_t i = 0; i < n; i++)
        p[i] = (char)some_byte(r, kind);
    return str_n(p, n);
}

static void compare(struct prng *r)
{
    unsigned kind = (unsigned)prng_below(r, 3);
    bool fold = prng_below(r, 2);
    struct str text = random_text(r, prng_below(r, 300), kind);
    size_t n = prng_below(r, prng_below(r, 4) ? 5 : 80), at = prng_below(r, text.n + 1);
    char needle[80];
    for (size_t i = 0; i < n; i++) {
        uint8_t c = prng_below(r, 8) && at + i < text.n ? (uint8_t)text.p[at + i] : some_byte(r, kind);
        needle[i] = (char)(fold ? lower(c) : c);
    }
    struct text_find f[2];
    text_find_init(&f[0], str_n(needle, n), fold);
    text_find_ends(&f[1], str_n(needle, n), fold);
    size_t from = prng_below(r, text.n + 2), want = from <= text.n ? naive(text, str_n(needle, n), fold, from) : SIZE_MAX;
    for (unsigned way = 0; way < text_find_ways(); way++) {
        text_find_use(way);
        for (int k = 0; k < 2; k++) {
            size_t got = text_find(&f[k], text, from);
            cr_assert_eq(got, want, "way %u, anchors %d: %zu for %zu", way, k, got, want);
        }
    }
    free((void *)(uintptr_t)text.p);
}

Test(text_find, as_one_byte_after_another)
{
    struct prng r;
    prng_init(&r, 11);
    for (int i = 0; i < 60000; i++)
        compare(&r);
}

static void compare_entries(struct prng *r)
{
    uint32_t count = (uint32_t)prng_below(r, 200), offset[201] = { 0 };
    for (uint32_t i = 0; i < count; i++)
        offset[i + 1] = offset[i] + (uint32_t)prng_below(r, prng_below(r, 3) ? 4 : 60);
    struct str all = random_text(r, offset[count], 0);
    struct dict d = { .count = count, .offset = offset, .bytes = all.p };
    struct str needle = random_text(r, prng_below(r, 4), 0);
    struct text_find f;
    uint64_t bits[4];
    text_find_init(&f, needle, false);
    uint32_t n = text_find_entries(&f, &d, bits);
    for (uint32_t i = 0; i < count; i++) {
        bool want = naive(dict_get(&d, i), needle, false, 0) != SIZE_MAX;
        cr_assert_eq(bits[i / 64] >> (i % 64) & 1, want, "entry %u of %u", i, count);
        n -= want;
    }
    cr_assert_eq(n, 0);
    free((void *)(uintptr_t)all.p);
    free((void *)(uintptr_t)needle.p);
}

Test(text_find, entries)
{
    struct prng r;
    prng_init(&r, 12);
    for (int i = 0; i < 20000; i++)
        compare_entries(&r);
}
