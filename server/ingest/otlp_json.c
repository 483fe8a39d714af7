#include "server/ingest/otlp_json.h"

#include "server/ingest/text.h"

#include <math.h>

bool oj_is(const struct json_val *v, const char *camel)
{
    if (v->type == JSON_NULL) return false;
    size_t i = 0;
    for (; *camel; camel++, i++) {
        if (i >= v->key.n) return false;
        char c = v->key.p[i];
        if (c == *camel) continue;
        /* snake_case: '_' and a small letter for a capital one */
        if (c != '_' || *camel < 'A' || *camel > 'Z' || i + 1 >= v->key.n || v->key.p[i + 1] != *camel - 'A' + 'a')
            return false;
        i++;
    }
    return i == v->key.n;
}

static err_t wrong(const struct json_val *v, const char *want)
{
    struct str key = v->key.p ? str_sub(v->key, 0, 100) : STR("an element");
    return err_set(ERR_INVALID, "OTLP/JSON: %s" STR_FMT "%s is not %s", v->key.p ? "field \"" : "", STR_ARG(key),
                   v->key.p ? "\"" : "", want);
}

err_t oj_expect(const struct json_val *v, enum json_type type, const char *what)
{
    return v->type == type ? OK : wrong(v, what);
}

err_t oj_str(const struct json_val *v, struct str *out)
{
    TRY(oj_expect(v, JSON_STR, "a string"));
    *out = v->str;
    return OK;
}

err_t oj_bool(const struct json_val *v, bool *out)
{
    TRY(oj_expect(v, JSON_BOOL, "a boolean"));
    *out = v->boolean;
    return OK;
}

err_t oj_i64(const struct json_val *v, int64_t *out)
{
    if (v->type == JSON_STR ? str_to_i64(v->str, out) : json_is_num(v) && json_to_i64(v, out)) return OK;
    return wrong(v, "a 64-bit integer");
}

err_t oj_u64(const struct json_val *v, uint64_t *out)
{
    int64_t i;
    if (v->type == JSON_U64) {
        *out = v->u64;
        return OK;
    }
    if (v->type == JSON_STR) return str_to_u64(v->str, out) ? OK : wrong(v, "an unsigned 64-bit integer");
    if (!json_is_num(v) || !json_to_i64(v, &i) || i < 0) return wrong(v, "an unsigned 64-bit integer");
    *out = (uint64_t)i;
    return OK;
}

err_t oj_u32(const struct json_val *v, uint32_t *out)
{
    uint64_t wide;
    TRY(oj_u64(v, &wide));
    if (wide > UINT32_MAX) return wrong(v, "an unsigned 32-bit integer");
    *out = (uint32_t)wide;
    return OK;
}

err_t oj_f64(const struct json_val *v, double *out)
{
    if (json_is_num(v)) {
        *out = json_num(v);
        return OK;
    }
    if (v->type == JSON_STR) {
        if (str_is(v->str, "Infinity") || str_is(v->str, "-Infinity")) {
            *out = v->str.p[0] == '-' ? -INFINITY : INFINITY;
            return OK;
        }
        if (str_to_f64(v->str, out)) return OK;
    }
    return wrong(v, "a number");
}

err_t oj_enum(const struct json_val *v, const char *prefix, const char *const *names, int n, int32_t *out)
{
    int64_t i = 0;
    *out = 0;
    if (v->type == JSON_STR) {
        struct str name = v->str;
        if (str_starts(name, str_of(prefix))) name = str_sub(name, strlen(prefix), name.n);
        for (int k = 0; k < n; k++)
            if (str_ieq(name, str_of(names[k]))) *out = k;
        if (*out || !str_to_i64(v->str, &i)) return OK;
    } else if (!json_is_num(v) || !json_to_i64(v, &i)) {
        return wrong(v, "an enum's number");
    }
    if (i >= INT32_MIN && i <= INT32_MAX) *out = (int32_t)i;
    return OK;
}

err_t oj_id(const struct json_val *v, struct arena *a, struct str *out)
{
    TRY(oj_expect(v, JSON_STR, "a hex string"));
    uint8_t *p = arena_alloc_aligned(a, v->str.n / 2 + 1, 1);
    bool hex = v->str.n % 2 == 0 && v->str.n <= 64 && str_from_hex(v->str, p, v->str.n / 2);
    if (!hex) p[0] = 0xff;
    *out = str_n(p, hex ? v->str.n / 2 : 1);
    return OK;
}

/* -- values ------------------------------------------------------------------------------------------------ */

static err_t plain(const struct json_val *v, struct json_out *j);

/* {"values": [..]} of AnyValues, or of {"key", "value"} pairs, as plain JSON. The depth is bounded by the
 * parser's JSON_DEPTH_MAX: every level here takes three of its levels. */
static err_t plain_container(const struct json_val *v, bool map, struct json_out *j)
{
    const struct json_val *values = json_get(v, "values"), *c;
    if (values && values->type == JSON_NULL) values = NULL;
    if (values) TRY(oj_expect(values, JSON_ARR, "an array"));
    if (map)
        json_obj(j);
    else
        json_arr(j);
    if (values) {
        JSON_EACH(c, values)
        {
            const struct json_val *item = c;
            if (map) {
                const struct json_val *key = json_get(c, "key");
                item = json_get(c, "value");
                if (!key) continue;
                TRY(oj_expect(key, JSON_STR, "a string"));
                json_key(j, key->str);
            }
            if (item)
                TRY(plain(item, j));
            else
                json_null(j);
        }
    }
    if (map)
        json_obj_end(j);
    else
        json_arr_end(j);
    return OK;
}

static err_t plain(const struct json_val *v, struct json_out *j)
{
    const struct json_val *c;
    if (v->type == JSON_OBJ) {
        JSON_EACH(c, v)
        {
            int64_t i;
            if (oj_is(c, "arrayValue") || oj_is(c, "kvlistValue"))
                return plain_container(c, oj_is(c, "kvlistValue"), j);
            if (oj_is(c, "intValue")) {
                TRY(oj_i64(c, &i));
                json_i64(j, i);
                return OK;
            }
            if (oj_is(c, "stringValue") || oj_is(c, "boolValue") || oj_is(c, "doubleValue") || oj_is(c, "bytesValue")) {
                json_val_write(c, j);
                return OK;
            }
        }
    }
    json_null(j);
    return OK;
}

static err_t container(const struct json_val *v, bool map, struct arena *a, struct otlp_value *out)
{
    struct buf text;
    struct json_out j;
    buf_init(&text, JSON_TEXT_MAX, a->budget);
    json_init(&j, &text);
    err_t e = plain_container(v, map, &j);
    if (e == OK) e = buf_check(&text);
    if (e == OK) *out = (struct otlp_value){ .type = OTLP_JSON, .s = arena_str(a, buf_view(&text)) };
    buf_deinit(&text);
    return e;
}

static err_t bytes(const struct json_val *v, struct arena *a, struct otlp_value *out)
{
    TRY(oj_expect(v, JSON_STR, "a base64 string"));
    out->type = OTLP_BYTES;
    return text_base64(v->str, a, &out->s) ? OK : wrong(v, "a base64 string");
}

err_t oj_value(const struct json_val *v, struct arena *a, struct otlp_value *out)
{
    const struct json_val *c;
    *out = (struct otlp_value){ .type = OTLP_NONE };
    TRY(oj_expect(v, JSON_OBJ, "an AnyValue object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "stringValue")) {
            out->type = OTLP_STR;
            TRY(oj_str(c, &out->s));
        } else if (oj_is(c, "boolValue")) {
            out->type = OTLP_BOOL;
            TRY(oj_bool(c, &out->b));
        } else if (oj_is(c, "intValue")) {
            out->type = OTLP_INT;
            TRY(oj_i64(c, &out->i));
        } else if (oj_is(c, "doubleValue")) {
            out->type = OTLP_F64;
            TRY(oj_f64(c, &out->f));
        } else if (oj_is(c, "arrayValue")) {
            TRY(container(c, false, a, out));
        } else if (oj_is(c, "kvlistValue")) {
            TRY(container(c, true, a, out));
        } else if (oj_is(c, "bytesValue")) {
            TRY(bytes(c, a, out));
        }
    }
    return OK;
}

err_t oj_attrs(const struct json_val *v, struct arena *a, struct otlp_attrs *out)
{
    const struct json_val *c, *f;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    struct otlp_kv *kv = arena_calloc(a, v->n, sizeof *kv);
    uint32_t n = 0;
    JSON_EACH(c, v)
    {
        TRY(oj_expect(c, JSON_OBJ, "a KeyValue object"));
        struct otlp_kv *one = &kv[n++];
        f = json_get(c, "key");
        if (f) TRY(oj_str(f, &one->key));
        f = json_get(c, "value");
        if (f && f->type != JSON_NULL) TRY(oj_value(f, a, &one->value));
    }
    out->kv = kv;
    out->n = n;
    return OK;
}

/* -- the skeleton --------------------------------------------------------------------------------------------- */

static err_t resource_fields(const struct json_val *v, struct arena *a, struct otlp_resource *out)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "attributes"))
            TRY(oj_attrs(c, a, &out->attrs));
        else if (oj_is(c, "droppedAttributesCount"))
            TRY(oj_u32(c, &out->attrs.dropped));
    }
    return OK;
}

static err_t scope_fields(const struct json_val *v, struct arena *a, struct otlp_scope *out)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "name"))
            TRY(oj_str(c, &out->name));
        else if (oj_is(c, "version"))
            TRY(oj_str(c, &out->version));
        else if (oj_is(c, "attributes"))
            TRY(oj_attrs(c, a, &out->attrs));
        else if (oj_is(c, "droppedAttributesCount"))
            TRY(oj_u32(c, &out->attrs.dropped));
    }
    return OK;
}

static err_t walk_scope(const struct otlp_json *j, const struct json_val *v, const struct oj_shape *shape)
{
    const struct json_val *c, *row, *rows = NULL;
    struct otlp_scope scope = { 0 };
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "scope"))
            TRY(scope_fields(c, j->arena, &scope));
        else if (oj_is(c, "schemaUrl"))
            TRY(oj_str(c, &scope.schema_url));
        else if (oj_is(c, shape->rows))
            rows = c;
    }
    if (j->sink->scope) TRY(j->sink->scope(j->sink->ctx, &scope));
    if (!rows) return OK;
    TRY(oj_expect(rows, JSON_ARR, "an array"));
    JSON_EACH(row, rows)
    {
        TRY(oj_expect(row, JSON_OBJ, "an object"));
        TRY(shape->row(j, row));
    }
    return arena_check(j->arena);
}

static err_t walk_resource(const struct otlp_json *j, const struct json_val *v, const struct oj_shape *shape)
{
    const struct json_val *c, *scope, *scopes = NULL;
    struct otlp_resource resource = { 0 };
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "resource"))
            TRY(resource_fields(c, j->arena, &resource));
        else if (oj_is(c, "schemaUrl"))
            TRY(oj_str(c, &resource.schema_url));
        else if (oj_is(c, shape->scopes))
            scopes = c;
    }
    if (j->sink->resource) TRY(j->sink->resource(j->sink->ctx, &resource));
    if (!scopes) return OK;
    TRY(oj_expect(scopes, JSON_ARR, "an array"));
    JSON_EACH(scope, scopes)
    {
        TRY(walk_scope(j, scope, shape));
    }
    return OK;
}

static err_t walk_resources(const struct otlp_json *j, const struct json_val *v, const struct oj_shape *shape)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    JSON_EACH(c, v)
    {
        TRY(walk_resource(j, c, shape));
    }
    return OK;
}

err_t oj_walk(struct str request, struct arena *a, const struct otlp_sink *sink, const struct oj_shape *shape)
{
    struct otlp_json j = { a, sink };
    const struct json_val *root, *c;
    if (request.n == 0) return err_set(ERR_INVALID, "OTLP/JSON: the body is empty");
    TRY(json_parse(request, a, &root));
    TRY(oj_expect(root, JSON_OBJ, "an object"));
    JSON_EACH(c, root)
    {
        if (oj_is(c, shape->resources)) TRY(walk_resources(&j, c, shape));
    }
    return OK;
}
