#include "storage/tokens.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WINDOW = 64 };
#define K0 UINT64_C(0x9e3779b97f4a7c15)
#define K1 UINT64_C(0xd6e8feb86659fd93)
#define K2 UINT64_C(0xa0761d6478bd642f)
/* Letters to lower case; digits have this bit anyway. */
#define LOWER UINT64_C(0x2020202020202020)
#define NUMBER (UINT64_C(1) << 26)

static inline bool is_word(uint8_t c) { return (uint8_t)((c | 32) - 'a') < 26 || (uint8_t)(c - '0') < 10; }

bool token_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_word((uint8_t)s.p[i]) || (uint8_t)(s.p[i] - 'A') < 26) return false;
    return s.n > 0;
}

/* -- hashes -------------------------------------------------------------------------------------------------- */

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t low_bytes(uint64_t v, size_t n) { return n >= 8 ? v : n ? v & (UINT64_MAX >> (64 - n * 8)) : 0; }

/* `room`: sixteen bytes can be read at the last ones of p[0, n), whatever they are behind it. */
static inline uint64_t hash_token(const char *p, size_t n, bool number, bool room)
{
    char last[16] = { 0 };
    uint64_t h = n;
    for (; n > 16; n -= 16, p += 16)
        h = fold((load8(p) | LOWER) ^ K0, (load8(p + 8) | LOWER) ^ K1 ^ h);
    if (!room) p = memcpy(last, p, n);
    uint64_t x = low_bytes(load8(p) | LOWER, n), y = low_bytes(load8(p + 8) | LOWER, n > 8 ? n - 8 : 0);
    h = fold(x ^ K0, y ^ K1 ^ h);
    h = fold(h ^ K1, K2);
    return (h & ~NUMBER) | (number ? NUMBER : 0) | 1; /* never 0 */
}

/* -- finding them ---------------------------------------------------------------------------------------------- */

struct window { /* bit i: what text[at + i] is */
    uint64_t words, letters, escapes;
};

#if defined(__x86_64__)
static inline struct window look(const char *p)
{
    struct window w = { 0 };
    const __m128i a = _mm_set1_epi8('a' - 1), z = _mm_set1_epi8('z' + 1), zero = _mm_set1_epi8('0' - 1), nine = _mm_set1_epi8('9' + 1);
    for (int i = 0; i < WINDOW / 16; i++) {
        /* Signed comparisons: bytes from 128 on are below all. */
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i * 16)), lower = _mm_or_si128(v, _mm_set1_epi8(32));
        __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, a), _mm_cmplt_epi8(lower, z));
        __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(v, zero), _mm_cmplt_epi8(v, nine));
        w.words |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(letter, digit)) << i * 16;
        w.letters |= (uint64_t)(unsigned)_mm_movemask_epi8(letter) << i * 16;
        w.escapes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))) << i * 16;
    }
    return w;
}
#else
static inline struct window look(const char *p)
{
    struct window w = { 0 };
    for (int i = 0; i < WINDOW; i++) {
        w.words |= (uint64_t)is_word((uint8_t)p[i]) << i;
        w.letters |= (uint64_t)(p[i] >= 'A' && is_word((uint8_t)p[i])) << i;
        w.escapes |= (uint64_t)(p[i] == '\\') << i;
    }
    return w;
}
#endif

/* Length of the JSON escape at text[i] (a backslash); 0 when it stands for an ASCII letter or digit. */
static size_t escape_length(struct str text, size_t i)
{
    if (i + 1 >= text.n || text.p[i + 1] != 'u') return 2;
    uint8_t code[2];
    if (i + 6 > text.n || !str_from_hex((struct str){ text.p + i + 2, 4 }, code, 2)) return 2;
    return code[0] == 0 && is_word(code[1]) ? 0 : 6;
}

/* The window at t->at, what is behind the text or the first escape of JSON cut off; *n: how long it is then. */
static inline struct window window_at(const struct tokens *t, size_t *n)
{
    char end[WINDOW] = { 0 };
    size_t left = t->text.n - t->at;
    const char *p = t->text.p + t->at;
    *n = MIN(left, (size_t)WINDOW);
    if (left < WINDOW) {
        memcpy(end, p, left);
        p = end;
    }
    struct window w = look(p);
    if (!t->json) w.escapes = 0;
    if (w.escapes) {
        *n = (size_t)__builtin_ctzll(w.escapes);
        w.words &= (UINT64_C(1) << *n) - 1;
    }
    return w;
}

static inline uint64_t hash_at(const struct tokens *t, size_t at, size_t n, bool number)
{
    const char *p = t->text.p + at;
    return at + n + 16 <= t->text.n ? hash_token(p, n, number, true) : hash_token(p, n, number, false);
}

/* A token of a whole window and more. */
static uint64_t long_token(struct tokens *t)
{
    size_t from = t->at;
    bool number = true;
    for (; t->at < t->text.n && is_word((uint8_t)t->text.p[t->at]); t->at++)
        number &= t->text.p[t->at] <= '9';
    return hash_at(t, from, t->at - from, number);
}

uint32_t tokens_next(struct tokens *t, uint64_t hashes[TOKENS_BATCH])
{
    uint32_t n = 0;
    while (t->at < t->text.n && !t->hidden && n + WINDOW / 2 <= TOKENS_BATCH) {
        size_t size, next;
        struct window w = window_at(t, &size);
        bool open = size == WINDOW && t->at + WINDOW < t->text.n && w.words >> (WINDOW - 1);
        next = size;
        for (uint64_t m = w.words; m;) {
            unsigned from = (unsigned)__builtin_ctzll(m);
            uint64_t behind = ~(m >> from);
            unsigned len = behind ? (unsigned)__builtin_ctzll(behind) : WINDOW;
            if (from + len == WINDOW && open) { /* it may go on behind the window */
                next = from;
                break;
            }
            uint64_t rest = len + from < WINDOW ? m & (UINT64_MAX << (from + len)) : 0;
            hashes[n++] = hash_at(t, t->at + from, len, !(w.letters & (m ^ rest)));
            m = rest;
        }
        if (next == 0 && size) {
            hashes[n++] = long_token(t);
            continue;
        }
        t->at += next;
        if (!w.escapes || next < size) continue;
        size_t step = escape_length(t->text, t->at);
        t->hidden = step == 0;
        t->at = MIN(t->at + step, t->text.n);
    }
    return n;
}
