/* A growable run of bytes with a hard maximum. Appends never fail in place: past the maximum, or past
 * the budget, the buffer remembers the failure, drops what does not fit, and buf_check reports it. */
#ifndef BASE_CORE_BUF_H
#define BASE_CORE_BUF_H

#include "base/core/budget.h"
#include "base/core/str.h"
#include "base/core/varint.h"

struct buf {
    char *p;
    size_t n, cap;
    size_t max; /* bytes */
    struct budget *budget;
    bool failed;
};

void buf_init(struct buf *b, size_t max_bytes, struct budget *budget);
void buf_deinit(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
/* Room for n more bytes at the end: pointer to it, or NULL past the maximum (then b->failed).
 * The caller adds what it wrote to b->n. */
char *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
static inline void buf_str(struct buf *b, struct str s) { buf_put(b, s.p, s.n); }
static inline void buf_z(struct buf *b, const char *z) { buf_put(b, z, strlen(z)); }
static inline void buf_byte(struct buf *b, uint8_t c)
{
    if (__builtin_expect(b->n < b->cap, 1)) {
        b->p[b->n++] = (char)c;
    } else {
        buf_put(b, &c, 1);
    }
}
static inline void buf_varint(struct buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    if (__builtin_expect(b->cap - b->n >= VARINT_MAX, 1)) {
        b->n += varint_put((uint8_t *)b->p + b->n, v);
    } else {
        buf_put(b, bytes, varint_put(bytes, v));
    }
}
static inline struct str buf_view(const struct buf *b) { return (struct str){ b->p, b->n }; }
/* OK, ERR_TOO_LARGE, or the refusal of the budget. */
MUST_CHECK err_t buf_check(const struct buf *b);

#endif
