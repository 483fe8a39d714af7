/* What the three protobuf walkers share: attributes, resources, scopes, and the JSON text of nested values. */
#ifndef SERVER_INGEST_OTLP_WIRE_H
#define SERVER_INGEST_OTLP_WIRE_H

#include "base/core/json_out.h"
#include "server/ingest/otlp_view.h"
#include "server/ingest/wire.h"

/* Room for one more element in an array of the scratch; returns it zeroed. */
#define SCRATCH_PUSH(s, arr, T)                                                                    \
    (__builtin_expect((s)->n##arr == (s)->arr##_cap, 0)                                            \
         ? (void)((s)->arr = arena_grow((s)->arena, (s)->arr, (s)->n##arr, &(s)->arr##_cap,        \
                                        (s)->n##arr + 1, sizeof(T)))                               \
         : (void)0,                                                                                \
     memset(&(s)->arr[(s)->n##arr], 0, sizeof(T)), &(s)->arr[(s)->n##arr++])

/* One KeyValue message onto the scratch's kv. */
MUST_CHECK err_t otlp_wire_kv_slow(const struct wire *w, struct str bytes, struct otlp_scratch *s);

/* The shape that nearly all attributes have: key, value, each once and in this order, lengths below 128. */
static inline bool otlp_kv_usual(const uint8_t *p, size_t n, struct otlp_kv *kv)
{
    if (n < 4 || p[0] != WIRE_LEN(1) || p[1] > 127 || n < (size_t)p[1] + 6) return false;
    size_t key_n = p[1];
    const uint8_t *v = p + 2 + key_n + 2; /* the AnyValue's fields */
    size_t vn = n - key_n - 4;
    if (v[-2] != WIRE_LEN(2) || v[-1] != vn || vn > 127) return false;
    kv->key = str_n(p + 2, key_n);
    if (v[0] == WIRE_LEN(1) && v[1] == vn - 2) {
        kv->value = (struct otlp_value){ .type = OTLP_STR, .s = str_n(v + 2, vn - 2) };
        return true;
    }
    if (v[0] == WIRE_VARINT(3)) {
        uint64_t i;
        kv->value.type = OTLP_INT;
        if (varint_get(v + 1, v + vn, &i) != v + vn) return false;
        kv->value.i = (int64_t)i;
        return true;
    }
    return false;
}

MUST_CHECK static inline err_t otlp_wire_kv(const struct wire *w, struct str bytes, struct otlp_scratch *s)
{
    if (__builtin_expect(s->nkv == s->kv_cap, 0))
        s->kv = arena_grow(s->arena, s->kv, s->nkv, &s->kv_cap, s->nkv + 1, sizeof *s->kv);
    if (__builtin_expect(!otlp_kv_usual((const uint8_t *)bytes.p, bytes.n, &s->kv[s->nkv]), 0))
        return otlp_wire_kv_slow(w, bytes, s);
    s->nkv++;
    return OK;
}
MUST_CHECK err_t otlp_wire_value(const struct wire *w, struct str bytes, struct otlp_value *v);

/* Attributes mostly come one after another: takes usual ones as long as they follow under the same tag byte. What is
 * left, be it malformed, is the caller's loop's. */
static inline void otlp_wire_kv_run(struct wire *w, uint8_t tag, struct otlp_scratch *s)
{
    while (w->end - w->p > 2 && w->p[0] == tag && w->p[1] < 0x80 && (size_t)(w->end - w->p) - 2 >= w->p[1] &&
           s->nkv < s->kv_cap && otlp_kv_usual(w->p + 2, w->p[1], &s->kv[s->nkv])) {
        s->nkv++;
        w->p += 2 + w->p[1];
    }
}

/* The attributes pushed since kv index `from`. Views of several lists may be open at once, but pushing may
 * move the array: pointers are made when all lists of a row are complete. */
static inline struct otlp_attrs scratch_attrs(const struct otlp_scratch *s, size_t from, size_t to,
                                              uint32_t dropped)
{
    return (struct otlp_attrs){ s->kv + from, (uint32_t)(to - from), dropped };
}

/* The resource (field 1) and the schema_url (field 3) of a ResourceX message; rows come in its field 2. */
MUST_CHECK err_t otlp_wire_resource(struct wire w, struct otlp_scratch *s, struct otlp_resource *out,
                                    const char *message);
MUST_CHECK err_t otlp_wire_scope(struct wire w, struct otlp_scratch *s, struct otlp_scope *out,
                                 const char *message);

/* A wire array or map as JSON text, at most WIRE_DEPTH_MAX values deep; appended to j. Bytes are base64,
 * non-finite doubles the strings "NaN", "Infinity", "-Infinity" (proto3's JSON mapping). */
MUST_CHECK err_t otlp_value_json(const struct otlp_value *v, const uint8_t *base, struct json_out *j);

/* The skeleton of all three requests: for each ResourceX (field 1) tells its resource, for each ScopeX in it
 * (field 2) its scope, then calls row for each field 2 of the scope. */
struct otlp_shape {
    const char *request, *resource_x, *scope_x; /* message names for errors */
    err_t (*row)(const struct wire *w, struct str bytes, struct otlp_scratch *s, const struct otlp_sink *sink);
};
MUST_CHECK err_t otlp_wire_walk(struct str request, struct arena *a, const struct otlp_sink *sink,
                                const struct otlp_shape *shape);

#endif
