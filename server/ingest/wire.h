/* A bounded cursor over protobuf's wire format (protobuf.dev/programming-guides/encoding). Zero-copy: length-delimited
 * fields are views into the request. It never recurses; callers nest at most WIRE_DEPTH_MAX messages.
 *
 *     while (wire_more(&w)) {
 *         struct wire_field f;
 *         TRY(wire_next(&w, &f));
 *         switch (f.tag) {
 *         case WIRE_LEN(1): name = f.bytes; break;
 *         case WIRE_VARINT(6): kind = f.v; break;
 *         default: TRY(wire_other(&w, &f, WIRE_BIT(1) | WIRE_BIT(6), "Span"));
 *         }
 *     }
 *
 * Every length is checked against its message. Groups (wire types 3 and 4, gone since proto3) are refused.
 * Unknown fields are skipped; a known field with another wire type is refused rather than skipped, because
 * skipping it would lose data silently. All errors are ERR_INVALID and name the byte offset in the request. */
#ifndef SERVER_INGEST_WIRE_H
#define SERVER_INGEST_WIRE_H

#include "base/core/err.h"
#include "base/core/str.h"
#include "base/core/varint.h"

enum { WIRE_DEPTH_MAX = 32 };

enum wire_type { WIRE_TYPE_VARINT = 0, WIRE_TYPE_64 = 1, WIRE_TYPE_LEN = 2, WIRE_TYPE_32 = 5 };

#define WIRE_VARINT(num) ((uint32_t)(num) << 3 | WIRE_TYPE_VARINT)
#define WIRE_64(num)     ((uint32_t)(num) << 3 | WIRE_TYPE_64)
#define WIRE_LEN(num)    ((uint32_t)(num) << 3 | WIRE_TYPE_LEN)
#define WIRE_32(num)     ((uint32_t)(num) << 3 | WIRE_TYPE_32)
#define WIRE_BIT(num)    (UINT64_C(1) << (num))

struct wire {
    const uint8_t *p, *end;
    const uint8_t *base; /* start of the request, for offsets in errors */
};

struct wire_field {
    uint32_t tag;     /* number << 3 | type */
    uint64_t v;       /* varint, fixed64, fixed32 */
    struct str bytes; /* length-delimited */
};

static inline struct wire wire_of(struct str request)
{
    const uint8_t *p = (const uint8_t *)request.p;
    return (struct wire){ p, p + request.n, p };
}
/* The message inside a length-delimited field of w. */
static inline struct wire wire_sub(const struct wire *w, struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    return (struct wire){ p, p + bytes.n, w->base };
}
static inline bool wire_more(const struct wire *w)
{
    return w->p < w->end;
}

/* What is wrong at w->p (cold). The codes are returned here, where the compiler sees that they are not OK. */
void wire_bad_detail(const struct wire *w, uint32_t tag);
void wire_mistyped_detail(const struct wire *w, const struct wire_field *f, const char *message);
MUST_CHECK static inline err_t wire_bad(const struct wire *w, uint32_t tag)
{
    wire_bad_detail(w, tag);
    return ERR_INVALID;
}
/* A field that the caller's switch does not take: skipped, unless its number is in `known` (numbers below
 * 64): then it came with a wrong wire type. */
MUST_CHECK static inline err_t wire_other(const struct wire *w, const struct wire_field *f, uint64_t known,
                                          const char *message)
{
    uint32_t num = f->tag >> 3;
    if (__builtin_expect(num >= 64 || !(known >> num & 1), 1)) return OK;
    wire_mistyped_detail(w, f, message);
    return ERR_INVALID;
}

/* varint_get, where eight bytes are there at once: those up to the first without its high bit, then their groups of seven
 * bits drawn together. */
static inline const uint8_t *wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v;
    if (end - p < 8 || *p < 0x80) return varint_get(p, end, out);
    memcpy(&v, p, 8);
    uint64_t stop = ~v & UINT64_C(0x8080808080808080);
    if (__builtin_expect(stop == 0, 0)) return varint_get(p, end, out);
    v &= (stop ^ (stop - 1)) & UINT64_C(0x7f7f7f7f7f7f7f7f);
    v = (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x7f007f007f007f00)) >> 1;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x3fff00003fff0000)) >> 2;
    *out = (v & UINT64_C(0x0fffffff)) | (v & UINT64_C(0x0fffffff00000000)) >> 4;
    return p + __builtin_ctzll(stop) / 8 + 1;
}

MUST_CHECK static inline err_t wire_next(struct wire *w, struct wire_field *f)
{
    uint64_t tag, n;
    const uint8_t *p = wire_varint(w->p, w->end, &tag);
    if (__builtin_expect(!p || tag > UINT32_MAX || tag < 8, 0)) return wire_bad(w, 0);
    f->tag = (uint32_t)tag;
    switch (tag & 7) {
    case WIRE_TYPE_LEN:
        p = wire_varint(p, w->end, &n);
        if (__builtin_expect(!p || n > (size_t)(w->end - p), 0)) return wire_bad(w, f->tag);
        f->bytes = (struct str){ (const char *)p, (size_t)n };
        w->p = p + n;
        return OK;
    case WIRE_TYPE_VARINT:
        p = wire_varint(p, w->end, &f->v);
        if (__builtin_expect(!p, 0)) return wire_bad(w, f->tag);
        w->p = p;
        return OK;
    case WIRE_TYPE_64:
        if (__builtin_expect(w->end - p < 8, 0)) return wire_bad(w, f->tag);
        memcpy(&f->v, p, 8);
        w->p = p + 8;
        return OK;
    case WIRE_TYPE_32: {
        uint32_t v32;
        if (__builtin_expect(w->end - p < 4, 0)) return wire_bad(w, f->tag);
        memcpy(&v32, p, 4);
        f->v = v32;
        w->p = p + 4;
        return OK;
    }
    default:
        return wire_bad(w, f->tag);
    }
}

static inline double wire_f64(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, 8);
    return d;
}

/* Elements of a packed field: fixed 8-byte ones are read in place; varints one by one. */
MUST_CHECK static inline err_t wire_packed_varint(struct wire *w, uint64_t *v)
{
    const uint8_t *p = wire_varint(w->p, w->end, v);
    if (!p) return wire_bad(w, 0);
    w->p = p;
    return OK;
}
static inline uint64_t wire_fixed64_at(struct str packed, size_t i)
{
    uint64_t v;
    memcpy(&v, packed.p + 8 * i, 8);
    return v;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed fields are read as they lie");

#endif
