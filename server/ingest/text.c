#include "server/ingest/text.h"

/* Length of the well-formed sequence at s[i], or 0. */
static size_t sequence_at(struct str s, size_t i)
{
    uint8_t c = (uint8_t)s.p[i];
    size_t n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (n == 0 || n > s.n - i) return 0;
    return n == 1 || str_utf8_valid((struct str){ s.p + i, n }) ? n : 0;
}

struct str text_mend_slow(struct str s, struct arena *a)
{
    size_t bad = 0;
    for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
        n = sequence_at(s, i);
        bad += n == 0;
    }
    char *out = arena_alloc_aligned(a, s.n + 2 * bad + 1, 1), *at = out;
    for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
        n = sequence_at(s, i);
        memcpy(at, n ? s.p + i : "\xEF\xBF\xBD", n ? n : 3);
        at += n ? n : 3;
    }
    return (struct str){ out, (size_t)(at - out) };
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
}

bool text_base64(struct str s, struct arena *a, struct str *out)
{
    for (unsigned pad = 0; pad < 2 && s.n > 0 && s.p[s.n - 1] == '='; pad++)
        s.n--;
    if (s.n % 4 == 1) return false;
    char *to = arena_alloc_aligned(a, s.n / 4 * 3 + 3, 1);
    size_t n = 0;
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        int d = digit_of(s.p[i]);
        if (d < 0) return false;
        v = v << 6 | (uint32_t)d;
        if (i % 4 == 1) to[n++] = (char)(v >> 4);
        if (i % 4 == 2) to[n++] = (char)(v >> 2);
        if (i % 4 == 3) to[n++] = (char)v;
    }
    *out = (struct str){ to, n };
    return true;
}
