/* struct str: a borrowed view of bytes (no terminator, may hold NUL). The owner is named where the
 * view is handed out. */
#ifndef BASE_CORE_STR_H
#define BASE_CORE_STR_H

#include "base/core/types.h"

#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit)    ((struct str){ (lit), sizeof(lit) - 1 })
#define STR_NONE    ((struct str){ NULL, 0 })
#define STR_FMT     "%.*s"
#define STR_ARG(s)  (int)(s).n, (s).p

static inline struct str str_of(const char *z)
{
    return (struct str){ z, strlen(z) };
}
static inline struct str str_n(const void *p, size_t n)
{
    return (struct str){ (const char *)p, n }; /* the cast is for the C++ shims */
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *z)
{
    return str_eq(a, str_of(z));
}
/* A copy with a terminator behind it, for free(). Aborts without memory. */
char *str_dup(struct str s);
/* Byte-lexicographic order: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Index of the first c, or s.n. */
size_t str_chr(struct str s, char c);
/* Offset of needle in s, or SIZE_MAX. */
size_t str_find(struct str s, struct str needle);
struct str str_sub(struct str s, size_t from, size_t to); /* clamped */
struct str str_trim(struct str s);                        /* spaces, tabs, CR, LF at both ends */
/* Cuts *rest at the first sep: returns the piece before it and moves *rest behind it. False when
 * *rest is used up (p == NULL). */
bool str_cut(struct str *rest, char sep, struct str *piece);

/* Whole-string decimal numbers; false on anything else, overflow included. */
bool str_to_i64(struct str s, int64_t *out);
bool str_to_u64(struct str s, uint64_t *out);
/* strtod over the whole string in the C locale; accepts inf and nan as strtod does. */
bool str_to_f64(struct str s, double *out);
/* The value of a hex digit of any case, or -1. */
static inline int hex_value(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/* 2*n hex digits, any case, to n bytes. False on another length or character. */
bool str_from_hex(struct str hex, uint8_t *out, size_t n);
/* n bytes to 2*n lower-case hex digits; no terminator. */
void str_to_hex(const uint8_t *bytes, size_t n, char *out);
/* n bytes to base64 (RFC 4648, section 4), with or without the '=' at the end; no terminator. At most
 * STR_BASE64_MAX(n) characters; how many. */
#define STR_BASE64_MAX(n) (((n) + 2) / 3 * 4)
size_t str_to_base64(const uint8_t *bytes, size_t n, bool pad, char *out);
/* Is it well-formed UTF-8 (no surrogates, no overlong forms)? */
bool str_utf8_valid(struct str s);

#endif
