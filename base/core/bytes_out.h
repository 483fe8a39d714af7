/* Writing small structures onto a struct buf, little-endian; bytes_in.h reads them. */
#ifndef BASE_CORE_BYTES_OUT_H
#define BASE_CORE_BYTES_OUT_H

#include "base/core/buf.h"

static inline void bytes_out_zigzag(struct buf *b, int64_t v)
{
    buf_varint(b, zigzag(v));
}
static inline void bytes_out_str(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}
static inline void bytes_out_u64(struct buf *b, uint64_t v)
{
    buf_put(b, &v, 8);
}
static inline void bytes_out_f64(struct buf *b, double v)
{
    buf_put(b, &v, 8);
}

#endif
