#include "query/ops/text.h"

#include "storage/text_find.h"

/* -- characters ----------------------------------------------------------------------------------- */

/* Decodes one code point; a broken byte counts as one character of its own that is no letter. */
static uint32_t utf8_get(const uint8_t *p, size_t n, uint32_t *len)
{
    uint8_t c = p[0];
    *len = 1;
    if (c < 0x80) return c;
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;
    if (more == 0 || more >= n) return 0xfffd;
    uint32_t cp = c & (0x3fu >> more);
    for (unsigned i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0xfffd;
        cp = cp << 6 | (p[i] & 0x3f);
    }
    *len = more + 1;
    return cp;
}

static const uint8_t ascii_alnum[128] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1,
    ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1,
    ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1,
    ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1,
    ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1,
    ['y'] = 1, ['z'] = 1,
};

/* Blocks of punctuation and symbols above ASCII; everything else there counts as letters. */
static const struct { uint32_t first, last; } not_alnum[] = {
    { 0x80, 0xa9 }, { 0xab, 0xb1 }, { 0xb4, 0xb4 }, { 0xb6, 0xb8 }, { 0xbb, 0xbb }, { 0xbf, 0xbf },
    { 0xd7, 0xd7 }, { 0xf7, 0xf7 }, { 0x2c2, 0x2c5 }, { 0x2000, 0x206f }, { 0x20a0, 0x20cf }, { 0x2190, 0x245f },
    { 0x2500, 0x2bff }, { 0x3000, 0x3004 }, { 0x3008, 0x3020 }, { 0xe000, 0xf8ff }, { 0xfe10, 0xfe6f },
    { 0xff01, 0xff0f }, { 0xff1a, 0xff20 }, { 0xff3b, 0xff40 }, { 0xff5b, 0xff65 }, { 0xfff0, 0xffff },
    { 0x1f000, 0x1faff },
};

static bool cp_alnum(uint32_t cp)
{
    if (cp < 0x80) return ascii_alnum[cp];
    for (size_t i = 0; i < ARRAY_LEN(not_alnum); i++)
        if (cp >= not_alnum[i].first && cp <= not_alnum[i].last) return false;
    return true;
}

static inline uint8_t ascii_lower(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c + 32) : c;
}

static uint32_t cp_lower(uint32_t cp)
{
    if (cp < 0x80) return ascii_lower((uint8_t)cp);
    if ((cp >= 0xc0 && cp <= 0xde && cp != 0xd7) || (cp >= 0x391 && cp <= 0x3a9) || (cp >= 0x410 && cp <= 0x42f))
        return cp + 32;
    if (cp >= 0x400 && cp <= 0x40f) return cp + 80;
    if ((cp >= 0x100 && cp <= 0x137) || (cp >= 0x14a && cp <= 0x177) || (cp >= 0x460 && cp <= 0x4ff)) return cp | 1;
    if ((cp >= 0x139 && cp <= 0x148) || (cp >= 0x179 && cp <= 0x17e)) return cp + (cp & 1);
    return cp;
}

/* All foldings above keep the length of two-byte characters, so a folded text has the length of its
 * original: callers rely on it. */
static void utf8_put(uint8_t *p, uint32_t cp)
{
    p[0] = (uint8_t)(0xc0 | cp >> 6);
    p[1] = (uint8_t)(0x80 | (cp & 0x3f));
}

/* -- words ---------------------------------------------------------------------------------------- */

static bool token_scan(struct str *rest, struct str *token)
{
    const uint8_t *p = (const uint8_t *)rest->p, *end = p + rest->n;
    uint32_t len;
    while (p < end) {
        if (*p < 0x80 ? ascii_alnum[*p] : cp_alnum(utf8_get(p, (size_t)(end - p), &len))) break;
        if (*p < 0x80) p++;
        else (void)utf8_get(p, (size_t)(end - p), &len), p += len;
    }
    const uint8_t *from = p;
    while (p < end) {
        if (*p < 0x80) {
            if (!ascii_alnum[*p]) break;
            p++;
        } else {
            if (!cp_alnum(utf8_get(p, (size_t)(end - p), &len))) break;
            p += len;
        }
    }
    *token = str_n(from, (size_t)(p - from));
    *rest = str_n(p, (size_t)(end - p));
    return token->n > 0;
}

bool token_next(struct str *rest, struct str *token)
{
    if (!rest->p) return false;
    while (token_scan(rest, token))
        if (token->n <= TOKEN_BYTES_MAX) return true;
    return false;
}

struct str text_lower(struct arena *a, struct str s)
{
    struct str out = arena_str(a, s);
    uint8_t *p = (uint8_t *)(uintptr_t)out.p;
    for (size_t i = 0; i < s.n;) {
        uint32_t len = 1;
        if (p[i] < 0x80) {
            p[i] = ascii_lower(p[i]);
        } else {
            uint32_t cp = utf8_get(p + i, s.n - i, &len);
            if (len == 2) utf8_put(p + i, cp_lower(cp));
        }
        i += len;
    }
    return out;
}

bool text_starts_lower(struct str word, struct str lower)
{
    if (word.n < lower.n) return false;
    const uint8_t *w = (const uint8_t *)word.p, *l = (const uint8_t *)lower.p;
    for (size_t i = 0; i < lower.n;) {
        if (w[i] < 0x80) {
            if (ascii_lower(w[i]) != l[i]) return false;
            i++;
            continue;
        }
        uint32_t len;
        uint32_t cp = utf8_get(w + i, word.n - i, &len);
        if (len == 2 && i + 1 < lower.n) {
            uint8_t low[2];
            utf8_put(low, cp_lower(cp));
            if (memcmp(low, l + i, 2) != 0) return false;
        } else if (len > lower.n - i || memcmp(w + i, l + i, len) != 0) {
            return false;
        }
        i += len;
    }
    return true;
}

bool text_eq_lower(struct str word, struct str lower)
{
    return word.n == lower.n && text_starts_lower(word, lower);
}

bool token_is_ascii(struct str token)
{
    for (size_t i = 0; i < token.n; i++)
        if ((uint8_t)token.p[i] >= 0x80) return false;
    return token.n > 0;
}

/* -- finding words ----------------------------------------------------------------------------------
 * Without cutting the text into words: the letters of the token are searched, ASCII case aside, and a find counts when
 * it ends where a word does. Next to bytes above ASCII that takes the tables of characters: the text is cut then. */

/* The first place at or behind `from` where the bytes of `lower`, ASCII case aside, stand; SIZE_MAX when there is none. */
static size_t find_folded(struct str text, struct str lower, size_t from)
{
    struct text_find f;
    text_find_ends(&f, lower, true);
    return lower.n ? text_find(&f, text, from) : SIZE_MAX;
}

enum find { FIND_NONE, FIND_WORD, FIND_UNSURE };

/* The first word at or behind *at that is `token` or begins with it; *at is its end. */
static enum find find_word(struct str text, struct str token, bool prefix, size_t *at)
{
    const uint8_t *p = (const uint8_t *)text.p;
    for (;;) {
        size_t i = find_folded(text, token, *at), end = i + token.n;
        if (i == SIZE_MAX) return FIND_NONE;
        *at = i + 1;
        if (i > 0 && p[i - 1] >= 0x80) return FIND_UNSURE;
        if (i > 0 && ascii_alnum[p[i - 1]]) continue;
        while (prefix && end < text.n && p[end] < 0x80 && ascii_alnum[p[end]])
            end++;
        if (end < text.n && p[end] >= 0x80) return FIND_UNSURE;
        if ((end < text.n && ascii_alnum[p[end]]) || end - i > TOKEN_BYTES_MAX) continue;
        *at = end;
        return FIND_WORD;
    }
}

bool text_has_word(struct str text, struct str token, bool prefix)
{
    size_t at = 0;
    enum find f = find_word(text, token, prefix, &at);
    if (f != FIND_UNSURE) return f == FIND_WORD;
    struct str word;
    while (token_next(&text, &word))
        if (prefix ? text_starts_lower(word, token) : text_eq_lower(word, token)) return true;
    return false;
}

/* -- phrases ---------------------------------------------------------------------------------------- */

struct phrase phrase_of(struct arena *a, struct str s)
{
    struct str *tokens = ARENA_ARRAY(a, struct str, PHRASE_TOKENS_MAX), token;
    struct phrase p = { .tokens = tokens };
    while (p.n < PHRASE_TOKENS_MAX && token_next(&s, &token))
        tokens[p.n++] = text_lower(a, token);
    return p;
}

static bool token_is(const struct phrase *p, uint32_t i, struct str word)
{
    return p->last_prefix && i + 1 == p->n ? text_starts_lower(word, p->tokens[i])
                                           : text_eq_lower(word, p->tokens[i]);
}

static bool match_any_order(const struct phrase *p, struct str text)
{
    uint64_t left = p->n == 64 ? UINT64_MAX : (UINT64_C(1) << p->n) - 1;
    struct str word;
    while (left && token_next(&text, &word))
        for (uint32_t i = 0; i < p->n; i++)
            if (left >> i & 1 && token_is(p, i, word)) left &= ~(UINT64_C(1) << i);
    return left == 0;
}

/* Do the tokens 1..n-1 follow in `rest`, with at most slop words in between over all? Greedy: the
 * nearest next token never needs more slop than a later one. */
static bool match_rest(const struct phrase *p, struct str rest)
{
    uint32_t skipped = 0;
    struct str word;
    for (uint32_t i = 1; i < p->n;) {
        if (!token_next(&rest, &word)) return false;
        if (token_is(p, i, word)) i++;
        else if (++skipped > p->slop) return false;
    }
    return true;
}

/* A cheap no: the longest ASCII token stands nowhere, not even inside a word. One token is searched anyway. */
static bool lacks_longest(const struct phrase *p, struct str text)
{
    struct str longest = STR_NONE;
    for (uint32_t i = 0; p->n > 1 && i < p->n; i++)
        if (p->tokens[i].n > longest.n && token_is_ascii(p->tokens[i])) longest = p->tokens[i];
    return longest.n && find_folded(text, longest, 0) == SIZE_MAX;
}

bool phrase_match(const struct phrase *p, struct str text)
{
    if (p->n == 0) return false;
    if (lacks_longest(p, text)) return false;
    if (p->any_order) return match_any_order(p, text);
    struct str word;
    if (token_is_ascii(p->tokens[0])) {
        bool prefix = p->last_prefix && p->n == 1;
        enum find f;
        for (size_t at = 0; (f = find_word(text, p->tokens[0], prefix, &at)) == FIND_WORD;)
            if (match_rest(p, str_sub(text, at, text.n))) return true;
        if (f == FIND_NONE) return false;
    }
    while (token_next(&text, &word))
        if (token_is(p, 0, word) && match_rest(p, text)) return true;
    return false;
}

/* -- patterns --------------------------------------------------------------------------------------- */

bool wildcard_match(struct str pattern, struct str s, bool fold)
{
    size_t pi = 0, si = 0, star = SIZE_MAX, mark = 0;
    while (si < s.n) {
        bool one = false, literal = false;
        size_t step = 1;
        if (pi < pattern.n) {
            uint8_t c = (uint8_t)pattern.p[pi];
            if (c == '*') {
                star = pi++;
                mark = si;
                continue;
            }
            if (c == '\\' && pi + 1 < pattern.n) {
                c = (uint8_t)pattern.p[pi + 1];
                step = 2;
                literal = true;
            }
            uint8_t d = (uint8_t)s.p[si];
            if (c == '?' && !literal) {
                uint32_t len;
                (void)utf8_get((const uint8_t *)s.p + si, s.n - si, &len);
                pi++;
                si += len;
                continue;
            }
            one = c == d || (fold && ascii_lower(c) == ascii_lower(d));
        }
        if (one) {
            pi += step;
            si++;
        } else if (star != SIZE_MAX) {
            pi = star + 1;
            si = ++mark;
        } else {
            return false;
        }
    }
    while (pi < pattern.n && pattern.p[pi] == '*')
        pi++;
    return pi == pattern.n;
}
