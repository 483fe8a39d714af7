/* Protobuf written by hand: the few small messages that ingest answers with. */
#ifndef SERVER_INGEST_PB_OUT_H
#define SERVER_INGEST_PB_OUT_H

#include "base/core/buf.h"
#include "base/core/varint.h"

static inline void pb_out_varint(struct buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(b, bytes, varint_put(bytes, v));
}
static inline void pb_out_num(struct buf *b, unsigned field, uint64_t v)
{
    if (v == 0) return; /* proto3: the default is not sent */
    pb_out_varint(b, (uint64_t)field << 3);
    pb_out_varint(b, v);
}
static inline void pb_out_str(struct buf *b, unsigned field, struct str s)
{
    if (s.n == 0) return;
    pb_out_varint(b, (uint64_t)field << 3 | 2);
    pb_out_varint(b, s.n);
    buf_str(b, s);
}

#endif
