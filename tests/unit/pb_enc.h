/* A tiny protobuf encoder for tests: payloads are built by hand, so that wrong ones can be built too. */
#ifndef TESTS_UNIT_PB_ENC_H
#define TESTS_UNIT_PB_ENC_H

#include "base/core/buf.h"
#include "base/core/varint.h"

/* Not inlined: under ASan each copy would have its own locals in the frame of the test. */
#define PB_FN __attribute__((noinline, unused)) static

PB_FN void pb_raw_varint(struct buf *b, uint64_t v)
{
    uint8_t out[VARINT_MAX];
    buf_put(b, out, varint_put(out, v));
}
PB_FN void pb_varint(struct buf *b, unsigned num, uint64_t v)
{
    pb_raw_varint(b, num << 3);
    pb_raw_varint(b, v);
}
PB_FN void pb_fixed64(struct buf *b, unsigned num, uint64_t v)
{
    pb_raw_varint(b, num << 3 | 1);
    buf_put(b, &v, 8);
}
PB_FN void pb_fixed32(struct buf *b, unsigned num, uint32_t v)
{
    pb_raw_varint(b, num << 3 | 5);
    buf_put(b, &v, 4);
}
PB_FN void pb_double(struct buf *b, unsigned num, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    pb_fixed64(b, num, bits);
}
PB_FN void pb_bytes(struct buf *b, unsigned num, struct str s)
{
    pb_raw_varint(b, num << 3 | 2);
    pb_raw_varint(b, s.n);
    buf_put(b, s.p, s.n);
}
PB_FN void pb_z(struct buf *b, unsigned num, const char *z)
{
    pb_bytes(b, num, str_of(z));
}
PB_FN void pb_new(struct buf *b)
{
    buf_init(b, 256 << 20, NULL);
}
/* The sub-message as field num of b; frees it. */
PB_FN void pb_sub(struct buf *b, unsigned num, struct buf *sub)
{
    pb_bytes(b, num, buf_view(sub));
    buf_deinit(sub);
}

/* -- OTLP pieces ------------------------------------------------------------------------------------ */
PB_FN void pb_attr_str(struct buf *b, unsigned num, const char *key, const char *value)
{
    struct buf kv, any;
    pb_new(&kv), pb_new(&any);
    pb_z(&any, 1, value);
    pb_z(&kv, 1, key);
    pb_sub(&kv, 2, &any);
    pb_sub(b, num, &kv);
}
PB_FN void pb_attr_i64(struct buf *b, unsigned num, const char *key, int64_t value)
{
    struct buf kv, any;
    pb_new(&kv), pb_new(&any);
    pb_varint(&any, 3, (uint64_t)value);
    pb_z(&kv, 1, key);
    pb_sub(&kv, 2, &any);
    pb_sub(b, num, &kv);
}
/* The AnyValue `any` (freed). */
PB_FN void pb_attr_any(struct buf *b, unsigned num, const char *key, struct buf *any)
{
    struct buf kv;
    pb_new(&kv);
    pb_z(&kv, 1, key);
    pb_sub(&kv, 2, any);
    pb_sub(b, num, &kv);
}
/* Request { ResourceX { Resource { service.name }, ScopeX { Scope { name }, rows } } }; frees rows, which holds
 * fields 2 (and may hold the scope's 3). */
PB_FN void pb_request(struct buf *out, const char *service, struct buf *rows)
{
    struct buf rx, res, sx, scope;
    pb_new(&rx), pb_new(&res), pb_new(&sx), pb_new(&scope);
    pb_attr_str(&res, 1, "service.name", service);
    pb_sub(&rx, 1, &res);
    pb_z(&scope, 1, "lib");
    pb_z(&scope, 2, "1.0");
    pb_sub(&sx, 1, &scope);
    buf_str(&sx, buf_view(rows));
    buf_deinit(rows);
    pb_sub(&rx, 2, &sx);
    pb_z(&rx, 3, "https://schema/1");
    pb_sub(out, 1, &rx);
}

#endif
