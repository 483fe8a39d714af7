#include "server/api/tempo_trace.h"

#include "base/core/pb_out.h"
#include "query/traceql/traceql.h"
#include "storage/json_in.h"

#include <stdlib.h>

/* Spans of the same resource and scope objects stand together, in the order of the first spans of each; within them the
 * order by start stays. */
struct placed {
    struct tspan *s;
    uint32_t at, resource, scope; /* places among the spans: its own, those of the first of its resource, of its scope in it */
};

static int by_address(const void *pa, const void *pb)
{
    const struct placed *a = pa, *b = pb;
    if (a->s->resource != b->s->resource) return a->s->resource < b->s->resource ? -1 : 1;
    if (a->s->scope != b->s->scope) return a->s->scope < b->s->scope ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static int by_place(const void *pa, const void *pb)
{
    const struct placed *a = pa, *b = pb;
    if (a->resource != b->resource) return a->resource < b->resource ? -1 : 1;
    if (a->scope != b->scope) return a->scope < b->scope ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

/* Of p, by address. */
static void find_firsts(struct placed *p, uint32_t n)
{
    for (uint32_t from = 0, to; from < n; from = to) {
        uint32_t first = p[from].at;
        for (to = from; to < n && p[to].s->resource == p[from].s->resource; to++) {
            bool same = to > from && p[to].s->scope == p[to - 1].s->scope;
            p[to].scope = same ? p[to - 1].scope : p[to].at;
            first = MIN(first, p[to].at);
        }
        for (uint32_t i = from; i < to; i++)
            p[i].resource = first;
    }
}

static struct placed *place(const struct tspans *spans, struct arena *a)
{
    struct placed *p = ARENA_RAW(a, struct placed, spans->n + 1);
    for (uint32_t i = 0; i < spans->n; i++)
        p[i] = (struct placed){ .s = spans->s[i], .at = i };
    if (spans->n) qsort(p, spans->n, sizeof *p, by_address);
    find_firsts(p, spans->n);
    if (spans->n) qsort(p, spans->n, sizeof *p, by_place);
    return p;
}

/* -- protobuf: opentelemetry/proto/{trace,common,resource}/v1 --------------------------------------------- */
static void json_any_proto(const struct json_val *v, struct buf *b);

static void kv_proto(struct buf *b, uint32_t field, struct str key, const struct json_val *v)
{
    size_t kv = pb_begin(b, field);
    pb_str(b, 1, key);
    size_t val = pb_begin(b, 2);
    json_any_proto(v, b);
    pb_end(b, val);
    pb_end(b, kv);
}

static void int_any(struct buf *b, int64_t i)
{
    pb_tag(b, 3, 0);
    buf_varint(b, (uint64_t)i);
}

static void double_any(struct buf *b, double f)
{
    pb_tag(b, 4, 1);
    buf_put(b, &f, 8);
}

static void bool_any(struct buf *b, bool v)
{
    pb_tag(b, 2, 0);
    buf_varint(b, v);
}

/* Depth is bounded by the JSON parser's JSON_DEPTH_MAX. */
static void json_any_proto(const struct json_val *v, struct buf *b)
{
    const struct json_val *c;
    size_t list;
    switch (v->type) {
    case JSON_NULL: return;
    case JSON_BOOL: bool_any(b, v->boolean); return;
    case JSON_I64: int_any(b, v->i64); return;
    case JSON_U64: double_any(b, (double)v->u64); return;
    case JSON_F64: double_any(b, v->f64); return;
    case JSON_STR: pb_bytes(b, 1, v->str); return;
    case JSON_ARR:
        list = pb_begin(b, 5);
        JSON_EACH(c, v) {
            size_t item = pb_begin(b, 1);
            json_any_proto(c, b);
            pb_end(b, item);
        }
        pb_end(b, list);
        return;
    case JSON_OBJ:
        list = pb_begin(b, 6);
        JSON_EACH(c, v)
            kv_proto(b, 1, c->key, c);
        pb_end(b, list);
    }
}

static void any_proto(const struct tval *v, struct arena *a, struct buf *b)
{
    const struct json_val *doc;
    switch (v->type) {
    case TV_STR: pb_bytes(b, 1, v->s); return;
    case TV_BYTES: pb_bytes(b, 7, v->s); return;
    case TV_BOOL: bool_any(b, v->b); return;
    case TV_INT: int_any(b, v->i); return;
    case TV_FLOAT: double_any(b, v->f); return;
    case TV_JSON:
        if (json_parse(v->s, a, &doc) == OK)
            json_any_proto(doc, b);
        else
            pb_bytes(b, 1, v->s);
        return;
    case TV_STATUS: pb_bytes(b, 1, str_of(tql_status_name(v->i))); return;
    case TV_KIND: pb_bytes(b, 1, str_of(tql_kind_name(v->i))); return;
    case TV_NIL: return;
    }
}

static void attrs_proto(const struct tattrs *as, uint32_t field, struct arena *a, struct buf *b)
{
    for (uint32_t i = 0; i < as->n; i++) {
        size_t kv = pb_begin(b, field);
        pb_str(b, 1, as->a[i].key);
        size_t val = pb_begin(b, 2);
        any_proto(&as->a[i].v, a, b);
        pb_end(b, val);
        pb_end(b, kv);
    }
}

static void children_proto(const struct tspan *s, struct arena *a, struct buf *b)
{
    for (uint32_t i = 0; i < s->nevents; i++) {
        const struct tevent *e = &s->events[i];
        size_t at = pb_begin(b, 11);
        pb_fixed64(b, 1, (uint64_t)e->time_ns);
        pb_str(b, 2, e->name);
        attrs_proto(&e->attrs, 3, a, b);
        pb_uint(b, 4, (uint64_t)e->dropped);
        pb_end(b, at);
    }
    pb_uint(b, 12, (uint64_t)s->dropped_events);
    for (uint32_t i = 0; i < s->nlinks; i++) {
        const struct tlink *l = &s->links[i];
        size_t at = pb_begin(b, 13);
        pb_bytes(b, 1, str_n(l->trace_id, 16));
        pb_bytes(b, 2, str_n(l->span_id, 8));
        pb_str(b, 3, l->state);
        attrs_proto(&l->attrs, 4, a, b);
        pb_uint(b, 5, (uint64_t)l->dropped);
        pb_fixed32(b, 6, (uint32_t)l->flags);
        pb_end(b, at);
    }
    pb_uint(b, 14, (uint64_t)s->dropped_links);
}

static void span_proto(const struct tspan *s, struct arena *a, struct buf *b)
{
    size_t at = pb_begin(b, 2);
    pb_bytes(b, 1, str_n(s->trace_id, 16));
    pb_bytes(b, 2, str_n(s->span_id, 8));
    pb_str(b, 3, s->state);
    if (s->has_parent) pb_bytes(b, 4, str_n(s->parent_id, 8));
    pb_str(b, 5, s->name);
    pb_uint(b, 6, (uint64_t)s->kind);
    pb_fixed64(b, 7, (uint64_t)s->start_ns);
    pb_fixed64(b, 8, (uint64_t)s->start_ns + (uint64_t)s->duration_ns);
    attrs_proto(&s->attrs, 9, a, b);
    pb_uint(b, 10, (uint64_t)s->dropped_attrs);
    children_proto(s, a, b);
    if (s->status || s->status_message.n) {
        size_t status = pb_begin(b, 15);
        pb_str(b, 2, s->status_message);
        pb_uint(b, 3, (uint64_t)s->status);
        pb_end(b, status);
    }
    pb_fixed32(b, 16, (uint32_t)s->flags);
    pb_end(b, at);
}

static void resource_proto(const struct tresource *r, struct arena *a, struct buf *b)
{
    size_t at = pb_begin(b, 1);
    attrs_proto(&r->attrs, 1, a, b);
    pb_uint(b, 2, (uint64_t)r->dropped);
    pb_end(b, at);
}

static void scope_proto(const struct tscope *s, struct arena *a, struct buf *b)
{
    size_t at = pb_begin(b, 1);
    pb_str(b, 1, s->name);
    pb_str(b, 2, s->version);
    attrs_proto(&s->attrs, 3, a, b);
    pb_uint(b, 4, (uint64_t)s->dropped);
    pb_end(b, at);
}

err_t tempo_trace_proto(const struct tspans *spans, struct arena *a, struct buf *b)
{
    const struct placed *p = place(spans, a);
    for (uint32_t i = 0; i < spans->n;) {
        const struct tresource *r = p[i].s->resource;
        size_t batch = pb_begin(b, 1);
        resource_proto(r, a, b);
        while (i < spans->n && p[i].s->resource == r) {
            const struct tscope *scope = p[i].s->scope;
            size_t in_scope = pb_begin(b, 2);
            scope_proto(scope, a, b);
            for (; i < spans->n && p[i].s->resource == r && p[i].s->scope == scope; i++) {
                span_proto(p[i].s, a, b);
                if (rt_in_fiber()) TRY(rt_checkpoint());
            }
            pb_str(b, 3, scope->schema_url);
            pb_end(b, in_scope);
        }
        pb_str(b, 3, r->schema_url);
        pb_end(b, batch);
    }
    TRY(arena_check(a));
    return buf_check(b);
}

/* -- JSON ------------------------------------------------------------------------------------------------------ */
static void json_any(const struct json_val *v, struct json_out *j)
{
    const struct json_val *c;
    json_obj(j);
    switch (v->type) {
    case JSON_NULL: break;
    case JSON_BOOL: json_keyz(j, "boolValue"); json_bool(j, v->boolean); break;
    case JSON_I64: json_keyz(j, "intValue"); json_i64_str(j, v->i64); break;
    case JSON_U64: json_keyz(j, "doubleValue"); json_f64(j, (double)v->u64); break;
    case JSON_F64: json_keyz(j, "doubleValue"); json_f64(j, v->f64); break;
    case JSON_STR: json_keyz(j, "stringValue"); json_str(j, v->str); break;
    case JSON_ARR:
    case JSON_OBJ:
        json_keyz(j, v->type == JSON_ARR ? "arrayValue" : "kvlistValue");
        json_obj(j);
        json_keyz(j, "values");
        json_arr(j);
        JSON_EACH(c, v) {
            if (v->type == JSON_OBJ) {
                json_obj(j);
                json_keyz(j, "key");
                json_str(j, c->key);
                json_keyz(j, "value");
            }
            json_any(c, j);
            if (v->type == JSON_OBJ) json_obj_end(j);
        }
        json_arr_end(j);
        json_obj_end(j);
    }
    json_obj_end(j);
}

static void json_double(struct json_out *j, double f)
{
    /* protobuf JSON has names for what JSON has not. */
    if (f != f)
        json_z(j, "NaN");
    else if (f - f != 0)
        json_z(j, f > 0 ? "Infinity" : "-Infinity");
    else
        json_f64(j, f);
}

void tempo_any_json(const struct tval *v, struct arena *a, struct json_out *j)
{
    const struct json_val *doc;
    if (v->type == TV_JSON && json_parse(v->s, a, &doc) == OK) {
        json_any(doc, j);
        return;
    }
    json_obj(j);
    switch (v->type) {
    case TV_STR: case TV_JSON: json_keyz(j, "stringValue"); json_str(j, v->s); break;
    case TV_BYTES: json_keyz(j, "bytesValue"); json_base64(j, v->s); break;
    case TV_BOOL: json_keyz(j, "boolValue"); json_bool(j, v->b); break;
    case TV_INT: json_keyz(j, "intValue"); json_i64_str(j, v->i); break;
    case TV_FLOAT: json_keyz(j, "doubleValue"); json_double(j, v->f); break;
    case TV_STATUS: json_keyz(j, "stringValue"); json_z(j, tql_status_name(v->i)); break;
    case TV_KIND: json_keyz(j, "stringValue"); json_z(j, tql_kind_name(v->i)); break;
    case TV_NIL: json_keyz(j, "stringValue"); json_z(j, "nil"); break;
    }
    json_obj_end(j);
}

static void attrs_json(const struct tattrs *as, struct arena *a, struct json_out *j)
{
    if (!as->n) return;
    json_keyz(j, "attributes");
    json_arr(j);
    for (uint32_t i = 0; i < as->n; i++) {
        json_obj(j);
        json_keyz(j, "key");
        json_str(j, as->a[i].key);
        json_keyz(j, "value");
        tempo_any_json(&as->a[i].v, a, j);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void text_member(struct json_out *j, const char *key, struct str s)
{
    if (!s.n) return;
    json_keyz(j, key);
    json_str(j, s);
}

static void number_member(struct json_out *j, const char *key, int64_t v)
{
    if (!v) return;
    json_keyz(j, key);
    json_i64(j, v);
}

static void id_member(struct json_out *j, const char *key, const uint8_t *id, size_t n)
{
    json_keyz(j, key);
    json_base64(j, str_n(id, n));
}

static void time_member(struct json_out *j, const char *key, int64_t ns)
{
    json_keyz(j, key);
    json_i64_str(j, ns);
}

static void events_json(const struct tspan *s, struct arena *a, struct json_out *j)
{
    if (!s->nevents) return;
    json_keyz(j, "events");
    json_arr(j);
    for (uint32_t i = 0; i < s->nevents; i++) {
        const struct tevent *e = &s->events[i];
        json_obj(j);
        time_member(j, "timeUnixNano", e->time_ns);
        text_member(j, "name", e->name);
        attrs_json(&e->attrs, a, j);
        number_member(j, "droppedAttributesCount", e->dropped);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void links_json(const struct tspan *s, struct arena *a, struct json_out *j)
{
    if (!s->nlinks) return;
    json_keyz(j, "links");
    json_arr(j);
    for (uint32_t i = 0; i < s->nlinks; i++) {
        const struct tlink *l = &s->links[i];
        json_obj(j);
        id_member(j, "traceId", l->trace_id, 16);
        id_member(j, "spanId", l->span_id, 8);
        text_member(j, "traceState", l->state);
        attrs_json(&l->attrs, a, j);
        number_member(j, "droppedAttributesCount", l->dropped);
        number_member(j, "flags", l->flags);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void span_json(const struct tspan *s, struct arena *a, struct json_out *j)
{
    static const char *const kinds[] = { "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                         "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER" };
    static const char *const codes[] = { "STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR" };
    json_obj(j);
    id_member(j, "traceId", s->trace_id, 16);
    id_member(j, "spanId", s->span_id, 8);
    text_member(j, "traceState", s->state);
    if (s->has_parent) id_member(j, "parentSpanId", s->parent_id, 8);
    text_member(j, "name", s->name);
    if (s->kind > 0 && s->kind < (int64_t)ARRAY_LEN(kinds)) {
        json_keyz(j, "kind");
        json_z(j, kinds[s->kind]);
    }
    time_member(j, "startTimeUnixNano", s->start_ns);
    time_member(j, "endTimeUnixNano", (int64_t)((uint64_t)s->start_ns + (uint64_t)s->duration_ns));
    attrs_json(&s->attrs, a, j);
    number_member(j, "droppedAttributesCount", s->dropped_attrs);
    events_json(s, a, j);
    number_member(j, "droppedEventsCount", s->dropped_events);
    links_json(s, a, j);
    number_member(j, "droppedLinksCount", s->dropped_links);
    json_keyz(j, "status");
    json_obj(j);
    text_member(j, "message", s->status_message);
    if (s->status > 0 && s->status < (int64_t)ARRAY_LEN(codes)) {
        json_keyz(j, "code");
        json_z(j, codes[s->status]);
    }
    json_obj_end(j);
    number_member(j, "flags", s->flags);
    json_obj_end(j);
}

static void scope_json(const struct tscope *s, struct arena *a, struct json_out *j)
{
    json_keyz(j, "scope");
    json_obj(j);
    text_member(j, "name", s->name);
    text_member(j, "version", s->version);
    attrs_json(&s->attrs, a, j);
    number_member(j, "droppedAttributesCount", s->dropped);
    json_obj_end(j);
}

err_t tempo_trace_json(const struct tspans *spans, struct arena *a, struct json_out *j)
{
    const struct placed *p = place(spans, a);
    json_arr(j);
    for (uint32_t i = 0; i < spans->n;) {
        const struct tresource *r = p[i].s->resource;
        json_obj(j);
        json_keyz(j, "resource");
        json_obj(j);
        attrs_json(&r->attrs, a, j);
        number_member(j, "droppedAttributesCount", r->dropped);
        json_obj_end(j);
        json_keyz(j, "scopeSpans");
        json_arr(j);
        while (i < spans->n && p[i].s->resource == r) {
            const struct tscope *scope = p[i].s->scope;
            json_obj(j);
            scope_json(scope, a, j);
            json_keyz(j, "spans");
            json_arr(j);
            for (; i < spans->n && p[i].s->resource == r && p[i].s->scope == scope; i++) {
                span_json(p[i].s, a, j);
                if (rt_in_fiber()) TRY(rt_checkpoint());
            }
            json_arr_end(j);
            text_member(j, "schemaUrl", scope->schema_url);
            json_obj_end(j);
        }
        json_arr_end(j);
        text_member(j, "schemaUrl", r->schema_url);
        json_obj_end(j);
    }
    json_arr_end(j);
    TRY(arena_check(a));
    return buf_check(j->b);
}
