/* Bits from bit 0 of each byte on, into a buffer. */
#ifndef STORAGE_BITS_OUT_H
#define STORAGE_BITS_OUT_H

#include "base/core/buf.h"

struct bits_out {
    struct buf *to;
    uint64_t held;
    unsigned n; /* bits of it, below 8 between calls */
};

/* The low n bits of v, whose others are 0. */
static inline void bits_put(struct bits_out *b, uint64_t v, unsigned n)
{
    if (n > 32) {
        bits_put(b, v & UINT32_MAX, 32);
        v >>= 32;
        n -= 32;
    }
    b->held |= v << b->n;
    b->n += n;
    char *to = __builtin_expect(b->to->cap - b->to->n >= sizeof b->held, 1) ? b->to->p + b->to->n : buf_reserve(b->to, sizeof b->held);
    if (!to) { /* the buffer has failed */
        b->n = 0;
        return;
    }
    memcpy(to, &b->held, sizeof b->held);
    b->to->n += b->n / 8;
    b->held >>= b->n / 8 * 8;
    b->n %= 8;
}

static inline void bits_end(struct bits_out *b)
{
    if (b->n) buf_byte(b->to, (uint8_t)b->held);
    b->held = b->n = 0;
}

#endif
