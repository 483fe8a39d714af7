/* Reading what a struct buf was written with, from bytes that may be hostile: every read is checked, the first one that
 * does not fit makes `bad` true, and from then on all give zeros. Callers read on and ask once, at the end or before they
 * believe a count. Strings are views into the bytes. */
#ifndef BASE_CORE_BYTES_IN_H
#define BASE_CORE_BYTES_IN_H

#include "base/core/str.h"
#include "base/core/varint.h"

#include <string.h>

struct bytes_in {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct bytes_in bytes_in_of(struct str s)
{
    return (struct bytes_in){ (const uint8_t *)s.p, (const uint8_t *)s.p + s.n, false };
}
static inline size_t bytes_in_left(const struct bytes_in *b)
{
    return b->bad ? 0 : (size_t)(b->end - b->p);
}
static inline uint64_t bytes_in_varint(struct bytes_in *b)
{
    uint64_t v = 0;
    const uint8_t *p = b->bad ? NULL : varint_get(b->p, b->end, &v);
    if (!p) {
        b->bad = true;
        return 0;
    }
    b->p = p;
    return v;
}
static inline int64_t bytes_in_zigzag(struct bytes_in *b)
{
    return unzigzag(bytes_in_varint(b));
}
/* The next n bytes, in place; empty when they are not there. */
static inline struct str bytes_in_raw(struct bytes_in *b, size_t n)
{
    if (bytes_in_left(b) < n) {
        b->bad = true;
        return STR_NONE;
    }
    struct str s = str_n((const char *)b->p, n);
    b->p += n;
    return s;
}
/* A string as bytes_out_str wrote it. */
static inline struct str bytes_in_str(struct bytes_in *b)
{
    return bytes_in_raw(b, (size_t)bytes_in_varint(b));
}
static inline void bytes_in_copy(struct bytes_in *b, void *to, size_t n)
{
    struct str s = bytes_in_raw(b, n);
    if (s.n == n) {
        if (n) memcpy(to, s.p, n);
    } else {
        memset(to, 0, n);
    }
}
static inline uint8_t bytes_in_u8(struct bytes_in *b)
{
    uint8_t v;
    bytes_in_copy(b, &v, 1);
    return v;
}
static inline uint64_t bytes_in_u64(struct bytes_in *b)
{
    uint64_t v;
    bytes_in_copy(b, &v, 8);
    return v;
}
static inline double bytes_in_f64(struct bytes_in *b)
{
    double v;
    bytes_in_copy(b, &v, 8);
    return v;
}
/* How many elements follow, of at least `least` bytes each: one that cannot be there is bad, so nobody makes room for it. */
static inline uint32_t bytes_in_count(struct bytes_in *b, size_t least)
{
    uint64_t n = bytes_in_varint(b);
    if (n > UINT32_MAX || n > bytes_in_left(b) / (least ? least : 1)) {
        b->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

#endif
