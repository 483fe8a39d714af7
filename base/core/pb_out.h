/* A protobuf writer onto a struct buf. Nested messages: size_t at = pb_begin(b, field); ...; pb_end(b, at). */
#ifndef BASE_CORE_PB_OUT_H
#define BASE_CORE_PB_OUT_H

#include "base/core/buf.h"

static inline void pb_tag(struct buf *b, uint32_t field, uint32_t wire)
{
    buf_varint(b, (uint64_t)field << 3 | wire);
}
/* Scalars of value zero are left out, as proto3 does. */
static inline void pb_uint(struct buf *b, uint32_t field, uint64_t v)
{
    if (v == 0) return;
    pb_tag(b, field, 0);
    buf_varint(b, v);
}
static inline void pb_fixed64(struct buf *b, uint32_t field, uint64_t v)
{
    if (v == 0) return;
    pb_tag(b, field, 1);
    buf_put(b, &v, 8);
}
static inline void pb_fixed32(struct buf *b, uint32_t field, uint32_t v)
{
    if (v == 0) return;
    pb_tag(b, field, 5);
    buf_put(b, &v, 4);
}
static inline void pb_bytes(struct buf *b, uint32_t field, struct str s)
{
    pb_tag(b, field, 2);
    buf_varint(b, s.n);
    buf_str(b, s);
}
static inline void pb_str(struct buf *b, uint32_t field, struct str s)
{
    if (s.n) pb_bytes(b, field, s);
}
static inline size_t pb_begin(struct buf *b, uint32_t field)
{
    pb_tag(b, field, 2);
    return b->n;
}
/* The length goes before the bytes that are there already: they move by its size. */
static inline void pb_end(struct buf *b, size_t at)
{
    uint8_t bytes[VARINT_MAX];
    size_t len = b->n - at, n = varint_put(bytes, len);
    if (!buf_reserve(b, n)) return;
    memmove(b->p + at + n, b->p + at, len);
    memcpy(b->p + at, bytes, n);
    b->n += n;
}

#endif
