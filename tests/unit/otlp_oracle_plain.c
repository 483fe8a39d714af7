/* Differential test: random OTLP requests, fields in random order, some repeated and some missing, are decoded by our
 * walkers and by protobuf-c; both are written as text, which must be equal. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "server/ingest/otlp_wire.h"
#include "tests/unit/pb_enc.h"

#include "otlp.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 3000, DEPTH_MAX = 4 };

static struct prng rnd;

static uint64_t below(uint64_t n)
{
    return prng_below(&rnd, n);
}

/* -- random payloads ------------------------------------------------------------------------------------ */

static void text(struct buf *b, unsigned field)
{
    char s[300];
    size_t n = below(20) == 0 ? 100 + below(199) : below(12);
    for (size_t i = 0; i < n; i++)
        s[i] = (char)('a' + below(26));
    pb_bytes(b, field, str_n(s, n));
}

static void bytes(struct buf *b, unsigned field, size_t usual)
{
    char s[32];
    size_t n = below(8) ? usual : below(32);
    for (size_t i = 0; i < n; i++)
        s[i] = (char)below(256);
    pb_bytes(b, field, str_n(s, n));
}

static uint64_t number(void)
{
    return below(3) ? below(1000) : prng_next(&rnd);
}

static void any(struct buf *b, unsigned depth);

static void kv(struct buf *b, unsigned field, unsigned depth)
{
    struct buf pair, v;
    pb_new(&pair), pb_new(&v);
    any(&v, depth);
    bool value_first = below(8) == 0;
    if (value_first) pb_bytes(&pair, 2, buf_view(&v));
    text(&pair, 1);
    if (!value_first && below(20)) pb_bytes(&pair, 2, buf_view(&v));
    buf_deinit(&v);
    pb_sub(b, field, &pair);
}

static void any(struct buf *b, unsigned depth)
{
    struct buf in;
    unsigned kind = (unsigned)below(depth < DEPTH_MAX ? 12 : 8);
    if (kind < 3) text(b, 1);
    if (kind == 3) pb_varint(b, 2, below(2));
    if (kind == 4) pb_varint(b, 3, number());
    if (kind == 5) pb_double(b, 4, (double)below(1000) / 8);
    if (kind == 6) bytes(b, 7, 5);
    if (kind < 8) return; /* 7: nothing set */
    pb_new(&in);
    for (uint64_t n = below(4); n > 0; n--) {
        if (kind < 10) {
            struct buf v;
            pb_new(&v);
            any(&v, depth + 1);
            pb_sub(&in, 1, &v);
        } else {
            kv(&in, 1, depth + 1);
        }
    }
    pb_sub(b, kind < 10 ? 5 : 6, &in);
}

/* One field of a message: how its number is written on the wire. */
struct field {
    unsigned num;
    char how; /* v varint, z zigzag of small, f fixed64, 4 fixed32, d double, s string, b bytes of 16, 8 bytes of 8,
                 k attribute, a AnyValue, F packed fixed64, D packed doubles, U packed varints, or a message */
    const struct field *message;
};

static void message(struct buf *b, const struct field *fields);

static void put_field(struct buf *b, const struct field *f)
{
    struct buf in;
    switch (f->how) {
    case 'v': pb_varint(b, f->num, below(100000)); return;
    case 'o': pb_varint(b, f->num, below(2)); return;
    case 'z': pb_varint(b, f->num, zigzag((int64_t)below(100) - 50)); return;
    case 'f': pb_fixed64(b, f->num, number()); return;
    case '4': pb_fixed32(b, f->num, (uint32_t)number()); return;
    case 'd': pb_double(b, f->num, (double)below(1000) / 4); return;
    case 's': text(b, f->num); return;
    case 'b': bytes(b, f->num, 16); return;
    case '8': bytes(b, f->num, 8); return;
    case 'k': kv(b, f->num, 0); return;
    default: break;
    }
    pb_new(&in);
    if (f->how == 'a') any(&in, 0);
    for (uint64_t n = below(5); n > 0 && strchr("FDU", f->how); n--) {
        uint64_t v = number();
        double d = (double)n;
        if (f->how == 'F') buf_put(&in, &v, 8);
        if (f->how == 'D') buf_put(&in, &d, 8);
        if (f->how == 'U') pb_raw_varint(&in, v);
    }
    if (f->how == 'm') message(&in, f->message);
    pb_sub(b, f->num, &in);
}

/* Random fields in random order; single messages at most once, since merging them is not our business. */
static void message(struct buf *b, const struct field *fields)
{
    unsigned n = 0, once = 0;
    while (fields[n].num)
        n++;
    for (uint64_t k = below(2 * n + 4); k > 0; k--) {
        unsigned i = (unsigned)below(n);
        bool single = fields[i].how == 'a' || (fields[i].how == 'm' && fields[i].num < 100 && fields[i].message[0].num == 2 &&
                                               fields[i].message[1].num == 3 && fields[i].message[2].num == 0);
        if (single || strchr("FDU", fields[i].how)) {
            if (once >> i & 1) continue;
            once |= 1u << i;
        }
        put_field(b, &fields[i]);
    }
    if (below(4) == 0) pb_varint(b, 200, 7); /* unknown to both */
}

static const struct field event_fields[] = { { 1, 'f', NULL }, { 2, 's', NULL }, { 3, 'k', NULL }, { 4, 'v', NULL }, { 0 } };
static const struct field link_fields[] = { { 1, 'b', NULL }, { 2, '8', NULL }, { 3, 's', NULL }, { 4, 'k', NULL },
                                            { 5, 'v', NULL }, { 6, '4', NULL }, { 0 } };
static const struct field status_fields[] = { { 2, 's', NULL }, { 3, 'v', NULL }, { 0 } };
static const struct field span_fields[] = {
    { 1, 'b', NULL },  { 2, '8', NULL },  { 3, 's', NULL },          { 4, '8', NULL },  { 5, 's', NULL },
    { 6, 'v', NULL },  { 7, 'f', NULL },  { 8, 'f', NULL },          { 9, 'k', NULL },  { 9, 'k', NULL },
    { 10, 'v', NULL }, { 11, 'm', event_fields }, { 12, 'v', NULL }, { 13, 'm', link_fields }, { 14, 'v', NULL },
    { 15, 'm', status_fields }, { 16, '4', NULL }, { 0 },
};
static const struct field log_fields[] = {
    { 1, 'f', NULL }, { 2, 'v', NULL }, { 3, 's', NULL }, { 5, 'a', NULL },  { 6, 'k', NULL },  { 7, 'v', NULL },
    { 8, '4', NULL }, { 9, 'b', NULL }, { 10, '8', NULL }, { 11, 'f', NULL }, { 12, 's', NULL }, { 0 },
};
static const struct field exemplar_fields[] = { { 2, 'f', NULL }, { 3, 'd', NULL }, { 4, '8', NULL }, { 5, 'b', NULL },
                                                { 7, 'k', NULL }, { 0 } };
static const struct field number_fields[] = { { 2, 'f', NULL }, { 3, 'f', NULL }, { 4, 'd', NULL }, { 5, 'm', exemplar_fields },
                                              { 6, 'f', NULL }, { 7, 'k', NULL }, { 8, 'v', NULL }, { 0 } };
static const struct field histogram_fields[] = { { 2, 'f', NULL }, { 3, 'f', NULL }, { 4, 'f', NULL }, { 5, 'd', NULL },
                                                 { 6, 'F', NULL }, { 7, 'D', NULL }, { 8, 'm', exemplar_fields },
                                                 { 9, 'k', NULL }, { 10, 'v', NULL }, { 0 } };

static void request(struct buf *out, unsigned signal)
{
    pb_new(out);
    for (uint64_t r = below(3); r > 0; r--) {
        struct buf rx, sx;
        pb_new(&rx), pb_new(&sx);
        for (uint64_t n = below(6); n > 0; n--) {
            struct buf row, data, point;
            pb_new(&row);
            if (signal == 0) message(&row, span_fields);
            if (signal == 1) message(&row, log_fields);
            if (signal == 2) {
                bool sum = below(2);
                pb_new(&data);
                for (uint64_t k = below(4); k > 0; k--) {
                    pb_new(&point);
                    message(&point, sum ? number_fields : histogram_fields);
                    pb_sub(&data, 1, &point);
                }
                pb_varint(&data, 2, below(3));
                if (sum) pb_varint(&data, 3, below(2));
                pb_sub(&row, sum ? 7 : 9, &data);
                text(&row, 1);
                text(&row, 3);
            }
            pb_sub(&sx, 2, &row);
        }
        if (below(2)) text(&sx, 3);
        pb_sub(&rx, 2, &sx);
        if (below(2)) text(&rx, 3);
        pb_sub(out, 1, &rx);
    }
}

/* -- both decoders as text ----------------------------------------------------------------------------------- */

static const uint8_t *request_base;

static void put_hex(struct buf *b, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%02x", ((const uint8_t *)p)[i]);
}
static void put_bin(struct buf *b, const char *name, const void *p, size_t n)
{
    buf_printf(b, " %s=", name);
    put_hex(b, p, n);
}
static void put_text(struct buf *b, const char *name, struct str s)
{
    buf_printf(b, " %s=%.*s", name, STR_ARG(s));
}
static void put_num(struct buf *b, const char *name, uint64_t v)
{
    buf_printf(b, " %s=%llu", name, (unsigned long long)v);
}

static void our_value(struct buf *b, const struct otlp_value *v)
{
    struct json_out j;
    json_init(&j, b);
    ASSERT(otlp_value_json(v, request_base, &j) == OK);
}
static void our_attrs(struct buf *b, const struct otlp_attrs *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        buf_printf(b, " [%.*s:", STR_ARG(a->kv[i].key));
        our_value(b, &a->kv[i].value);
        buf_byte(b, ']');
    }
    put_num(b, "dropped", a->dropped);
}

static void pc_value(struct json_out *j, const Otlp__AnyValue *v)
{
    struct otlp_value one = { .type = OTLP_NONE };
    switch (v ? (int)v->value_case : 0) {
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE: json_z(j, v->string_value); return;
    case OTLP__ANY_VALUE__VALUE_BOOL_VALUE: json_bool(j, v->bool_value); return;
    case OTLP__ANY_VALUE__VALUE_INT_VALUE: json_i64(j, v->int_value); return;
    case OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE: json_f64(j, v->double_value); return;
    case OTLP__ANY_VALUE__VALUE_BYTES_VALUE:
        one = (struct otlp_value){ .type = OTLP_BYTES, .s = str_n(v->bytes_value.data, v->bytes_value.len) };
        ASSERT(otlp_value_json(&one, NULL, j) == OK);
        return;
    case OTLP__ANY_VALUE__VALUE_ARRAY_VALUE:
        json_arr(j);
        for (size_t i = 0; i < v->array_value->n_values; i++)
            pc_value(j, v->array_value->values[i]);
        json_arr_end(j);
        return;
    case OTLP__ANY_VALUE__VALUE_KVLIST_VALUE:
        json_obj(j);
        for (size_t i = 0; i < v->kvlist_value->n_values; i++) {
            json_key(j, str_of(v->kvlist_value->values[i]->key ? v->kvlist_value->values[i]->key : ""));
            pc_value(j, v->kvlist_value->values[i]->value);
        }
        json_obj_end(j);
        return;
    default: json_null(j);
    }
}

static void pc_attrs(struct buf *b, Otlp__KeyValue **kvs, size_t n, uint32_t dropped)
{
    for (size_t i = 0; i < n; i++) {
        struct json_out j;
        buf_printf(b, " [%s:", kvs[i]->key ? kvs[i]->key : "");
        json_init(&j, b);
        pc_value(&j, kvs[i]->value);
        buf_byte(b, ']');
    }
    put_num(b, "dropped", dropped);
}
static struct str pc_str(const char *z)
{
    return z ? str_of(z) : STR("");
}

static err_t our_span(void *ctx, const struct otlp_span *s)
{
    struct buf *b = ctx;
    put_bin(b, "span", s->trace_id.p, s->trace_id.n);
    put_bin(b, "id", s->span_id.p, s->span_id.n);
    put_bin(b, "parent", s->parent_span_id.p, s->parent_span_id.n);
    put_text(b, "state", s->trace_state);
    put_text(b, "name", s->name);
    put_num(b, "kind", (uint32_t)s->kind);
    put_num(b, "start", s->start_ns);
    put_num(b, "end", s->end_ns);
    put_num(b, "flags", s->flags);
    put_num(b, "code", (uint32_t)s->status_code);
    put_text(b, "message", s->status_message);
    our_attrs(b, &s->attrs);
    for (uint32_t i = 0; i < s->nevents; i++) {
        put_num(b, "event", s->events[i].time_ns);
        put_text(b, "name", s->events[i].name);
        our_attrs(b, &s->events[i].attrs);
    }
    for (uint32_t i = 0; i < s->nlinks; i++) {
        put_bin(b, "link", s->links[i].trace_id.p, s->links[i].trace_id.n);
        put_bin(b, "id", s->links[i].span_id.p, s->links[i].span_id.n);
        put_text(b, "state", s->links[i].trace_state);
        put_num(b, "flags", s->links[i].flags);
        our_attrs(b, &s->links[i].attrs);
    }
    put_num(b, "events_dropped", s->dropped_events);
    put_num(b, "links_dropped", s->dropped_links);
    buf_byte(b, '\n');
    return OK;
}

static void pc_span(struct buf *b, ProtobufCBinaryData row)
{
    Otlp__Span *s = otlp__span__unpack(NULL, row.len, row.data);
    ASSERT(s);
    put_bin(b, "span", s->trace_id.data, s->trace_id.len);
    put_bin(b, "id", s->span_id.data, s->span_id.len);
    put_bin(b, "parent", s->parent_span_id.data, s->parent_span_id.len);
    put_text(b, "state", pc_str(s->trace_state));
    put_text(b, "name", pc_str(s->name));
    put_num(b, "kind", (uint32_t)s->kind);
    put_num(b, "start", s->start);
    put_num(b, "end", s->end);
    put_num(b, "flags", s->flags);
    put_num(b, "code", s->status ? (uint32_t)s->status->code : 0);
    put_text(b, "message", pc_str(s->status ? s->status->message : NULL));
    pc_attrs(b, s->attributes, s->n_attributes, s->dropped);
    for (size_t i = 0; i < s->n_events; i++) {
        put_num(b, "event", s->events[i]->time);
        put_text(b, "name", pc_str(s->events[i]->name));
        pc_attrs(b, s->events[i]->attributes, s->events[i]->n_attributes, s->events[i]->dropped);
    }
    for (size_t i = 0; i < s->n_links; i++) {
        put_bin(b, "link", s->links[i]->trace_id.data, s->links[i]->trace_id.len);
        put_bin(b, "id", s->links[i]->span_id.data, s->links[i]->span_id.len);
        put_text(b, "state", pc_str(s->links[i]->trace_state));
        put_num(b, "flags", s->links[i]->flags);
        pc_attrs(b, s->links[i]->attributes, s->links[i]->n_attributes, s->links[i]->dropped);
    }
    put_num(b, "events_dropped", s->dropped_events);
    put_num(b, "links_dropped", s->dropped_links);
    buf_byte(b, '\n');
    otlp__span__free_unpacked(s, NULL);
}

static err_t our_log(void *ctx, const struct otlp_log *l)
{
    struct buf *b = ctx;
    put_num(b, "log", l->time_ns);
    put_num(b, "observed", l->observed_ns);
    put_num(b, "severity", (uint32_t)l->severity_number);
    put_text(b, "text", l->severity_text);
    put_text(b, "event", l->event_name);
    put_num(b, "flags", l->flags);
    put_bin(b, "trace", l->trace_id.p, l->trace_id.n);
    put_bin(b, "id", l->span_id.p, l->span_id.n);
    buf_z(b, " body=");
    our_value(b, &l->body);
    our_attrs(b, &l->attrs);
    buf_byte(b, '\n');
    return OK;
}

static void pc_log(struct buf *b, ProtobufCBinaryData row)
{
    struct json_out j;
    Otlp__LogRecord *l = otlp__log_record__unpack(NULL, row.len, row.data);
    ASSERT(l);
    put_num(b, "log", l->time);
    put_num(b, "observed", l->observed);
    put_num(b, "severity", (uint32_t)l->severity_number);
    put_text(b, "text", pc_str(l->severity_text));
    put_text(b, "event", pc_str(l->event_name));
    put_num(b, "flags", l->flags);
    put_bin(b, "trace", l->trace_id.data, l->trace_id.len);
    put_bin(b, "id", l->span_id.data, l->span_id.len);
    buf_z(b, " body=");
    json_init(&j, b);
    pc_value(&j, l->body);
    pc_attrs(b, l->attributes, l->n_attributes, l->dropped);
    buf_byte(b, '\n');
    otlp__log_record__free_unpacked(l, NULL);
}

static err_t our_metric(void *ctx, const struct otlp_metric *m)
{
    struct buf *b = ctx;
    put_num(b, "metric", m->kind);
    put_text(b, "name", m->name);
    put_text(b, "unit", m->unit);
    put_num(b, "temporality", (uint32_t)m->temporality);
    put_num(b, "monotonic", m->monotonic);
    buf_byte(b, '\n');
    return OK;
}

static err_t our_point(void *ctx, const struct otlp_point *p)
{
    struct buf *b = ctx;
    put_num(b, "point", p->start_ns);
    put_num(b, "time", p->time_ns);
    put_num(b, "flags", p->flags);
    put_num(b, "count", p->count);
    if (p->value_type == OTLP_INT) put_num(b, "int", (uint64_t)p->i);
    if (p->value_type == OTLP_F64) buf_printf(b, " float=%g", p->f);
    if (p->has_sum) buf_printf(b, " sum=%g", p->sum);
    for (uint32_t i = 0; i < p->nbuckets; i++)
        put_num(b, "bucket", p->buckets[i]);
    for (uint32_t i = 0; i < p->nbounds; i++)
        buf_printf(b, " bound=%g", p->bounds[i]);
    for (uint32_t i = 0; i < p->nexemplars; i++) {
        put_num(b, "exemplar", p->exemplars[i].time_ns);
        buf_printf(b, " value=%g", p->exemplars[i].value);
        put_bin(b, "trace", p->exemplars[i].trace_id.p, p->exemplars[i].trace_id.n);
        put_bin(b, "id", p->exemplars[i].span_id.p, p->exemplars[i].span_id.n);
        our_attrs(b, &p->exemplars[i].attrs);
    }
    our_attrs(b, &p->attrs);
    buf_byte(b, '\n');
    return OK;
}

static void pc_exemplars(struct buf *b, Otlp__Exemplar **e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_num(b, "exemplar", e[i]->time);
        buf_printf(b, " value=%g", e[i]->value_case == OTLP__EXEMPLAR__VALUE_AS_DOUBLE ? e[i]->as_double : 0);
        put_bin(b, "trace", e[i]->trace_id.data, e[i]->trace_id.len);
        put_bin(b, "id", e[i]->span_id.data, e[i]->span_id.len);
        pc_attrs(b, e[i]->attributes, e[i]->n_attributes, 0);
    }
}

static void pc_number(struct buf *b, const Otlp__NumberPoint *p)
{
    put_num(b, "point", p->start);
    put_num(b, "time", p->time);
    put_num(b, "flags", p->flags);
    put_num(b, "count", 0);
    if (p->value_case == OTLP__NUMBER_POINT__VALUE_AS_INT) put_num(b, "int", (uint64_t)p->as_int);
    if (p->value_case == OTLP__NUMBER_POINT__VALUE_AS_DOUBLE) buf_printf(b, " float=%g", p->as_double);
    pc_exemplars(b, p->exemplars, p->n_exemplars);
    pc_attrs(b, p->attributes, p->n_attributes, 0);
    buf_byte(b, '\n');
}

static void pc_histogram(struct buf *b, const Otlp__HistogramPoint *p)
{
    put_num(b, "point", p->start);
    put_num(b, "time", p->time);
    put_num(b, "flags", p->flags);
    put_num(b, "count", p->count);
    if (p->has_sum) buf_printf(b, " sum=%g", p->sum);
    for (size_t i = 0; i < p->n_bucket_counts; i++)
        put_num(b, "bucket", p->bucket_counts[i]);
    for (size_t i = 0; i < p->n_explicit_bounds; i++)
        buf_printf(b, " bound=%g", p->explicit_bounds[i]);
    pc_exemplars(b, p->exemplars, p->n_exemplars);
    pc_attrs(b, p->attributes, p->n_attributes, 0);
    buf_byte(b, '\n');
}

static void pc_metric(struct buf *b, ProtobufCBinaryData row)
{
    Otlp__Metric *m = otlp__metric__unpack(NULL, row.len, row.data);
    ASSERT(m);
    const Otlp__Sum *sum = m->data_case == OTLP__METRIC__DATA_SUM ? m->sum : NULL;
    const Otlp__Histogram *his = m->data_case == OTLP__METRIC__DATA_HISTOGRAM ? m->histogram : NULL;
    put_num(b, "metric", sum ? OTLP_SUM : OTLP_HISTOGRAM);
    put_text(b, "name", pc_str(m->name));
    put_text(b, "unit", pc_str(m->unit));
    put_num(b, "temporality", (uint32_t)(sum ? sum->temporality : his->temporality));
    put_num(b, "monotonic", sum && sum->monotonic);
    buf_byte(b, '\n');
    for (size_t i = 0; sum && i < sum->n_points; i++)
        pc_number(b, sum->points[i]);
    for (size_t i = 0; his && i < his->n_points; i++)
        pc_histogram(b, his->points[i]);
    otlp__metric__free_unpacked(m, NULL);
}

static void oracle(struct str in, unsigned signal, struct buf *b)
{
    static void (*const rows[])(struct buf *, ProtobufCBinaryData) = { pc_span, pc_log, pc_metric };
    Otlp__Request *rq = otlp__request__unpack(NULL, in.n, (const uint8_t *)in.p);
    ASSERT(rq);
    for (size_t r = 0; r < rq->n_resources; r++)
        for (size_t s = 0; s < rq->resources[r]->n_scopes; s++)
            for (size_t i = 0; i < rq->resources[r]->scopes[s]->n_rows; i++)
                rows[signal](b, rq->resources[r]->scopes[s]->rows[i]);
    otlp__request__free_unpacked(rq, NULL);
}

static bool same(unsigned signal, uint64_t *rows_bytes)
{
    static err_t (*const walks[])(struct str, struct arena *, const struct otlp_sink *) = {
        otlp_traces_walk, otlp_logs_walk, otlp_metrics_walk,
    };
    struct buf in, ours, theirs;
    struct arena a;
    request(&in, signal);
    buf_init(&ours, 64 << 20, NULL);
    buf_init(&theirs, 64 << 20, NULL);
    arena_init(&a, NULL);
    struct otlp_sink sink = { &ours, NULL, NULL, our_span, our_log, our_metric, our_point };
    request_base = (const uint8_t *)in.p;
    if (walks[signal](buf_view(&in), &a, &sink) != OK) {
        fprintf(stderr, "refused: %s\n", err_detail());
        abort();
    }
    oracle(buf_view(&in), signal, &theirs);
    bool equal = str_eq(buf_view(&ours), buf_view(&theirs));
    if (!equal) fprintf(stderr, "ours:\n%.*s\nprotobuf-c:\n%.*s\n", STR_ARG(buf_view(&ours)), STR_ARG(buf_view(&theirs)));
    *rows_bytes += ours.n;
    arena_deinit(&a);
    buf_deinit(&in);
    buf_deinit(&ours);
    buf_deinit(&theirs);
    return equal;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, bytes_seen = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        prng_init(&rnd, seed + i);
        if (!same(i % 3, &bytes_seen)) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)(seed + i));
            return 1;
        }
    }
    ASSERT(bytes_seen > 1000000);
    printf("%d requests, %llu bytes of text, equal\n", ROUNDS, (unsigned long long)bytes_seen);
    return 0;
}
