#include "server/ingest/otlp_wire.h"

#include <math.h>

err_t otlp_wire_value(const struct wire *w, struct str bytes, struct otlp_value *v)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): *v = (struct otlp_value){ .type = OTLP_STR, .s = f.bytes }; break;
        case WIRE_VARINT(2): *v = (struct otlp_value){ .type = OTLP_BOOL, .b = f.v != 0 }; break;
        case WIRE_VARINT(3): *v = (struct otlp_value){ .type = OTLP_INT, .i = (int64_t)f.v }; break;
        case WIRE_64(4): *v = (struct otlp_value){ .type = OTLP_F64, .f = wire_f64(f.v) }; break;
        case WIRE_LEN(5): *v = (struct otlp_value){ .type = OTLP_WIRE_ARRAY, .s = f.bytes }; break;
        case WIRE_LEN(6): *v = (struct otlp_value){ .type = OTLP_WIRE_KVLIST, .s = f.bytes }; break;
        case WIRE_LEN(7): *v = (struct otlp_value){ .type = OTLP_BYTES, .s = f.bytes }; break;
        default:
            TRY(wire_other(&in, &f,
                           WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4) | WIRE_BIT(5) | WIRE_BIT(6) |
                               WIRE_BIT(7),
                           "AnyValue"));
        }
    }
    return OK;
}

static err_t kv_parse(const struct wire *w, struct str bytes, struct otlp_kv *kv)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): kv->key = f.bytes; break;
        case WIRE_LEN(2): TRY(otlp_wire_value(&in, f.bytes, &kv->value)); break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "KeyValue"));
        }
    }
    return OK;
}

err_t otlp_wire_kv_slow(const struct wire *w, struct str bytes, struct otlp_scratch *s)
{
    return kv_parse(w, bytes, SCRATCH_PUSH(s, kv, struct otlp_kv));
}

/* -- nested values as JSON ------------------------------------------------------------------------- */

static void json_f64_any(struct json_out *j, double d)
{
    if (isfinite(d))
        json_f64(j, d);
    else
        json_z(j, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
}

static err_t container_json(struct wire in, bool map, unsigned depth, struct json_out *j);

static err_t value_json(const struct otlp_value *v, const uint8_t *base, unsigned depth, struct json_out *j)
{
    switch (v->type) {
    case OTLP_NONE: json_null(j); return OK;
    case OTLP_STR: json_str(j, v->s); return OK;
    case OTLP_BOOL: json_bool(j, v->b); return OK;
    case OTLP_INT: json_i64(j, v->i); return OK;
    case OTLP_F64: json_f64_any(j, v->f); return OK;
    case OTLP_BYTES: json_base64(j, v->s); return OK;
    case OTLP_JSON: json_raw(j, v->s); return OK;
    case OTLP_WIRE_ARRAY:
    case OTLP_WIRE_KVLIST: {
        struct wire all = { .base = base };
        return container_json(wire_sub(&all, v->s), v->type == OTLP_WIRE_KVLIST, depth, j);
    }
    }
    return OK;
}

/* ArrayValue { repeated AnyValue values = 1 } or KeyValueList { repeated KeyValue values = 1 }. Recursion is
 * bounded by WIRE_DEPTH_MAX. */
static err_t container_json(struct wire in, bool map, unsigned depth, struct json_out *j)
{
    if (depth >= WIRE_DEPTH_MAX)
        return err_set(ERR_INVALID, "malformed protobuf at byte %zu: values are nested more than %d deep",
                       (size_t)(in.p - in.base), WIRE_DEPTH_MAX);
    struct wire_field f;
    if (map)
        json_obj(j);
    else
        json_arr(j);
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        if (f.tag != WIRE_LEN(1)) {
            TRY(wire_other(&in, &f, WIRE_BIT(1), map ? "KeyValueList" : "ArrayValue"));
            continue;
        }
        struct otlp_kv kv = { .value.type = OTLP_NONE };
        if (map) {
            TRY(kv_parse(&in, f.bytes, &kv));
            json_key(j, kv.key);
        } else {
            TRY(otlp_wire_value(&in, f.bytes, &kv.value));
        }
        TRY(value_json(&kv.value, in.base, depth + 1, j));
    }
    if (map)
        json_obj_end(j);
    else
        json_arr_end(j);
    return buf_check(j->b);
}

err_t otlp_value_json(const struct otlp_value *v, const uint8_t *base, struct json_out *j)
{
    return value_json(v, base, 0, j);
}

/* -- resources and scopes --------------------------------------------------------------------------- */

static err_t attrs_and_dropped(struct wire in, struct otlp_scratch *s, uint64_t *dropped)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): TRY(otlp_wire_kv(&in, f.bytes, s)); break;
        case WIRE_VARINT(2): *dropped = f.v; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "Resource"));
        }
    }
    return OK;
}

err_t otlp_wire_resource(struct wire w, struct otlp_scratch *s, struct otlp_resource *out, const char *message)
{
    size_t from = s->nkv;
    uint64_t dropped = 0;
    struct wire_field f;
    *out = (struct otlp_resource){ 0 };
    while (wire_more(&w)) {
        TRY(wire_next(&w, &f));
        switch (f.tag) {
        case WIRE_LEN(1): TRY(attrs_and_dropped(wire_sub(&w, f.bytes), s, &dropped)); break;
        case WIRE_LEN(2): break;
        case WIRE_LEN(3): out->schema_url = f.bytes; break;
        default: TRY(wire_other(&w, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), message));
        }
    }
    out->attrs = scratch_attrs(s, from, s->nkv, (uint32_t)dropped);
    return OK;
}

static err_t scope_fields(struct wire in, struct otlp_scratch *s, struct otlp_scope *out, uint64_t *dropped)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): out->name = f.bytes; break;
        case WIRE_LEN(2): out->version = f.bytes; break;
        case WIRE_LEN(3): TRY(otlp_wire_kv(&in, f.bytes, s)); break;
        case WIRE_VARINT(4): *dropped = f.v; break;
        default:
            TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4),
                           "InstrumentationScope"));
        }
    }
    return OK;
}

err_t otlp_wire_scope(struct wire w, struct otlp_scratch *s, struct otlp_scope *out, const char *message)
{
    size_t from = s->nkv;
    uint64_t dropped = 0;
    struct wire_field f;
    *out = (struct otlp_scope){ 0 };
    while (wire_more(&w)) {
        TRY(wire_next(&w, &f));
        switch (f.tag) {
        case WIRE_LEN(1): TRY(scope_fields(wire_sub(&w, f.bytes), s, out, &dropped)); break;
        case WIRE_LEN(2): break;
        case WIRE_LEN(3): out->schema_url = f.bytes; break;
        default: TRY(wire_other(&w, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), message));
        }
    }
    out->attrs = scratch_attrs(s, from, s->nkv, (uint32_t)dropped);
    return OK;
}

static err_t walk_scope(struct wire w, struct otlp_scratch *s, const struct otlp_sink *sink,
                        const struct otlp_shape *shape)
{
    struct otlp_scope scope;
    struct wire_field f;
    s->nkv = 0;
    TRY(otlp_wire_scope(w, s, &scope, shape->scope_x));
    if (sink->scope) TRY(sink->scope(sink->ctx, &scope));
    while (wire_more(&w)) {
        TRY(wire_next(&w, &f));
        if (f.tag == WIRE_LEN(2)) TRY(shape->row(&w, f.bytes, s, sink));
    }
    return arena_check(s->arena);
}

static err_t walk_resource(struct wire w, struct otlp_scratch *s, const struct otlp_sink *sink,
                           const struct otlp_shape *shape)
{
    struct otlp_resource resource;
    struct wire_field f;
    s->nkv = 0;
    /* Fields may come in any order and schema_url does come last: a first pass, which steps over the rows by
     * their lengths, finds what the rows belong to. */
    TRY(otlp_wire_resource(w, s, &resource, shape->resource_x));
    if (sink->resource) TRY(sink->resource(sink->ctx, &resource));
    while (wire_more(&w)) {
        TRY(wire_next(&w, &f));
        if (f.tag == WIRE_LEN(2)) TRY(walk_scope(wire_sub(&w, f.bytes), s, sink, shape));
    }
    return OK;
}

err_t otlp_wire_walk(struct str request, struct arena *a, const struct otlp_sink *sink,
                     const struct otlp_shape *shape)
{
    struct otlp_scratch s = { .arena = a };
    struct wire w = wire_of(request);
    struct wire_field f;
    while (wire_more(&w)) {
        TRY(wire_next(&w, &f));
        if (f.tag == WIRE_LEN(1))
            TRY(walk_resource(wire_sub(&w, f.bytes), &s, sink, shape));
        else
            TRY(wire_other(&w, &f, WIRE_BIT(1), shape->request));
    }
    return OK;
}
