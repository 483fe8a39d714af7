#include "query/traceql/tval_wire.h"

enum { DURATION = 0x80 };

void tval_put(struct wire_out *w, const struct tval *v)
{
    buf_byte(w->out, (uint8_t)(v->type | (v->duration ? DURATION : 0)));
    switch (v->type) {
    case TV_NIL: return;
    case TV_STR:
    case TV_BYTES:
    case TV_JSON: wire_put_str(w, v->s); return;
    case TV_FLOAT: bytes_out_f64(w->out, v->f); return;
    case TV_BOOL: buf_byte(w->out, v->b); return;
    case TV_INT:
    case TV_STATUS:
    case TV_KIND: bytes_out_zigzag(w->out, v->i);
    }
}

struct tval tval_get(struct wire_in *w)
{
    uint8_t type = bytes_in_u8(w->in);
    struct tval v = { .type = type & (DURATION - 1), .duration = type & DURATION };
    switch (v.type) {
    case TV_NIL: return v;
    case TV_STR:
    case TV_BYTES:
    case TV_JSON:
        v.s = wire_get_str(w);
        if (!v.s.p) v.s = STR("");
        return v;
    case TV_FLOAT: v.f = bytes_in_f64(w->in); return v;
    case TV_BOOL: v.b = wire_get_flag(w); return v;
    case TV_INT:
    case TV_STATUS:
    case TV_KIND: v.i = bytes_in_zigzag(w->in); return v;
    }
    w->in->bad = true;
    return (struct tval){ .type = TV_NIL };
}

void tvals_put(struct wire_out *w, const struct tval *v, uint32_t n)
{
    buf_varint(w->out, n);
    for (uint32_t i = 0; i < n; i++)
        tval_put(w, &v[i]);
}

struct tval *tvals_get(struct wire_in *w, uint32_t max, uint32_t *n)
{
    struct tval *v = WIRE_LIST(w, struct tval, 1, max, n);
    for (uint32_t i = 0; i < *n && !w->in->bad; i++)
        v[i] = tval_get(w);
    return v;
}

void tattrs_put(struct wire_out *w, const struct tattr *v, uint32_t n)
{
    buf_varint(w->out, n);
    for (uint32_t i = 0; i < n; i++) {
        wire_put_str(w, v[i].key);
        tval_put(w, &v[i].v);
    }
}

struct tattr *tattrs_read(struct wire_in *w, uint32_t *n)
{
    struct tattr *v = WIRE_LIST(w, struct tattr, 2, UINT32_MAX, n);
    for (uint32_t i = 0; i < *n && !w->in->bad; i++) {
        v[i].key = wire_get_str(w);
        v[i].v = tval_get(w);
    }
    return v;
}
