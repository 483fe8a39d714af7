/* Tokens against a walk by bytes: the same ones in the same order, whatever their lengths, places and what is around them. */
#include "storage/tokens.h"

#include "base/core/assert.h"
#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>

enum { LONGEST = 3000 };

static uint64_t hash_of(const char *p, size_t n)
{
    uint64_t h[TOKENS_BATCH];
    struct tokens t = tokens_of(str_n(p, n), false);
    cr_assert_eq(tokens_next(&t, h), 1);
    uint64_t only = h[0];
    cr_assert_eq(tokens_next(&t, h), 0);
    return only;
}

static bool next_by_bytes(struct str text, bool json, size_t *at, char *token, size_t *n)
{
    for (*n = 0; *at < text.n; ++*at) {
        uint8_t c = (uint8_t)text.p[*at];
        if (c < 128 && isalnum(c)) {
            token[(*n)++] = (char)tolower(c);
            continue;
        }
        if (*n) return true;
        if (!json || c != '\\') continue;
        bool u = *at + 6 <= text.n && text.p[*at + 1] == 'u';
        for (int k = 2; u && k < 6; k++)
            u = isxdigit((uint8_t)text.p[*at + (size_t)k]);
        *at += u ? 5 : 1;
    }
    return *n > 0;
}

static void check(struct str text, bool json)
{
    char *exact = malloc(text.n + 1), *token = malloc(text.n + 1);
    memcpy(exact, text.p, text.n);
    struct tokens t = tokens_of(str_n(exact, text.n), json);
    uint64_t h[TOKENS_BATCH];
    size_t at = 0, len;
    for (uint32_t n; (n = tokens_next(&t, h)) > 0;)
        for (uint32_t i = 0; i < n; i++) {
            cr_assert(next_by_bytes(text, json, &at, token, &len));
            cr_assert_eq(h[i], hash_of(token, len), "%.*s in %.*s", (int)len, token, STR_ARG(text));
            size_t digits = 0;
            while (digits < len && isdigit((uint8_t)token[digits]))
                digits++;
            cr_assert_eq(token_is_number(h[i]), digits == len);
        }
    cr_assert(!t.hidden && !next_by_bytes(text, json, &at, token, &len));
    free(exact);
    free(token);
}

Test(tokens, as_by_bytes)
{
    static const char *const between[] = { " ", ",", "_", "-", "\xc3\xa9", "\"", "::", "\\n", "\\\\", "\\u00e9", "@", "[", "`", "{", "/", "\x7f\x80" };
    struct prng r;
    char text[LONGEST + 80];
    prng_init(&r, 1);
    for (int round = 0; round < 20000; round++) {
        size_t n = 0, max = prng_below(&r, 40) ? prng_below(&r, 200) : prng_below(&r, LONGEST);
        bool json = round % 2;
        while (n < max) {
            size_t len = prng_below(&r, 8) ? prng_below(&r, 12) : prng_below(&r, prng_below(&r, 8) ? 70 : 300);
            bool digits = prng_below(&r, 3) == 0;
            for (size_t k = 0; k < len && n < max; k++)
                text[n++] = "0189abcxyzABCXYZ"[prng_below(&r, digits ? 4 : 16)];
            const char *sep = between[prng_below(&r, ARRAY_LEN(between))];
            if (*sep == '\\' && n + 6 > max) continue; /* an escape that is cut is not tried */
            for (; *sep && n < LONGEST + 70; sep++)
                text[n++] = *sep;
        }
        check(str_n(text, n), json);
    }
}

Test(tokens, hashes)
{
    char a[400], b[400];
    memset(a, 'q', sizeof a);
    memset(b, 'Q', sizeof b);
    for (size_t n = 1; n < sizeof a; n++) {
        uint64_t h = hash_of(a, n);
        cr_assert_eq(h, hash_of(b, n));
        cr_assert(n == 1 || h != hash_of(a, n - 1));
        for (size_t k = 0; k < n; k++) {
            b[k] = 'r';
            cr_assert_neq(h, hash_of(b, n));
            b[k] = 'Q';
        }
    }
}

Test(tokens, letters_behind_escapes)
{
    uint64_t h[TOKENS_BATCH];
    struct tokens t = tokens_of(STR("\"f\\u006fo\""), true);
    while (tokens_next(&t, h))
        ;
    cr_assert(t.hidden);
    t = tokens_of(STR("{\"a\":\"x\\nfoo \\u00e9bar\\u12"), true);
    cr_assert_eq(tokens_next(&t, h), 5); /* a x foo bar 12 */
    cr_assert(!t.hidden && h[2] == hash_of("foo", 3) && h[3] == hash_of("bar", 3));
    cr_assert(token_plain(STR("abc1")) && !token_plain(STR("Abc")) && !token_plain(STR("")) && !token_plain(STR("a b")));
}
