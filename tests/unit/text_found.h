/* What col_text_find says of a block, against a plain search of its strings. */
#ifndef TESTS_UNIT_TEXT_FOUND_H
#define TESTS_UNIT_TEXT_FOUND_H

#include "base/core/assert.h"
#include "storage/col_text_find.h"

#include <stdlib.h>

static bool of_word(char c) { return (uint8_t)c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9'); }

/* Is the needle a word, as a condition of the kind TEXT_WORDS sees words? */
static bool has_word(void *arg, struct str s)
{
    const struct text_find *f = arg;
    for (size_t from = 0, to; from < s.n; from = to + 1) {
        for (to = from; to < s.n && of_word(s.p[to]);)
            to++;
        if (to - from == f->needle.n && text_find(f, str_sub(s, from, to), 0) == 0) return true;
    }
    return false;
}

/* The strings of an intact block that have the needle, by its templates and by looking. */
static void check_find(struct str block, uint32_t n, const char *bytes, const uint32_t *ends, struct str needle, bool fold, unsigned kind)
{
    enum { WORDS = 1025 };
    static uint64_t bits[WORDS], among[WORDS];
    struct text_find find;
    char lower[256];
    if (needle.n == 0 || needle.n > sizeof lower || n > 64 * (WORDS - 1)) return;
    for (size_t i = 0; i < needle.n; i++)
        lower[i] = fold && needle.p[i] >= 'A' && needle.p[i] <= 'Z' ? (char)(needle.p[i] + 32) : needle.p[i];
    text_find_init(&find, str_n(lower, needle.n), fold);
    const struct text_cond cond = { .needles = &find, .n = 1, .kind = kind, .holds = has_word, .arg = &find };
    memset(bits, 0, sizeof bits);
    memset(among, 0xfb, sizeof among);
    ASSERT(col_text_find(block, n, n ? ends[n - 1] : 0, &cond, among, NULL, bits) == OK);
    for (uint32_t i = 0; i < n; i++) {
        struct str s = { bytes + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0) };
        bool want = kind == TEXT_HAS ? text_find(&find, s, 0) != SIZE_MAX : has_word(&find, s);
        ASSERT((bits[i / 64] >> (i % 64) & 1) == (want && (among[i / 64] >> (i % 64) & 1)));
    }
}

/* Of bytes that may be no block: no crash. */
static inline void find_anything(struct str block, uint32_t n, uint32_t raw, struct str needle)
{
    struct text_find find;
    struct budget budget;
    uint64_t *bits = calloc(n / 64 + 1, sizeof *bits);
    ASSERT(bits);
    budget_init(&budget, "test", NULL, 256 << 20, ERR_LIMIT);
    text_find_init(&find, needle, false);
    err_t ignored = needle.n ? col_text_find(block, n, raw, &(struct text_cond){ .needles = &find, .n = 1 }, NULL, &budget, bits) : OK;
    (void)ignored;
    ASSERT(budget.used == 0);
    free(bits);
}

/* Needles out of the strings, by a seed, and some others. */
static inline void check_finds(struct str block, uint32_t n, const char *bytes, const uint32_t *ends, uint32_t seed)
{
    uint32_t size = ends[n - 1];
    for (uint32_t i = 0; size && i < 6; i++) {
        seed = seed * 1103515245 + 12345;
        uint32_t at = (seed >> 8) % size, len = 1 + (seed >> 4) % (i < 4 ? 12 : 70);
        char needle[80];
        len = MIN(len, size - at);
        memcpy(needle, bytes + at, len);
        if (i == 3) needle[len / 2] ^= 1;
        check_find(block, n, bytes, ends, str_n(needle, len), seed >> 20 & 1, i % 3);
    }
    check_find(block, n, bytes, ends, STR("1"), false, TEXT_HAS);
    check_find(block, n, bytes, ends, STR("e: "), true, TEXT_HAS);
}

#endif
