/* ExportMetricsServiceRequest -> metric and point views. Field numbers: opentelemetry-proto
 * metrics/v1/metrics.proto. */
#include "server/ingest/otlp_wire.h"

/* -- exemplars ----------------------------------------------------------------------------------------- */

static err_t exemplar_fields(const struct wire *w, struct str bytes, struct otlp_scratch *s, struct otlp_exemplar *e)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(2): e->time_ns = f.v; break;
        case WIRE_64(3): e->value = wire_f64(f.v); break;
        case WIRE_LEN(4): e->span_id = f.bytes; break;
        case WIRE_LEN(5): e->trace_id = f.bytes; break;
        case WIRE_64(6): e->value = (double)(int64_t)f.v; break;
        case WIRE_LEN(7):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            e->attrs.n++;
            break;
        default:
            TRY(wire_other(&in, &f,
                           WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4) | WIRE_BIT(5) | WIRE_BIT(6) | WIRE_BIT(7),
                           "Exemplar"));
        }
    }
    return OK;
}

/* The exemplars of a point, in a second pass (so that each attribute list is one run of the array), and the point
 * with all its pointers to the sink. */
static err_t finish_point(struct wire in, uint32_t exemplar_tag, bool has_exemplars, struct otlp_scratch *s,
                          struct otlp_point *p, const struct otlp_sink *sink)
{
    size_t own = s->nkv;
    struct wire_field f;
    while (has_exemplars && wire_more(&in)) {
        TRY(wire_next(&in, &f));
        if (f.tag == exemplar_tag)
            TRY(exemplar_fields(&in, f.bytes, s, SCRATCH_PUSH(s, exemplars, struct otlp_exemplar)));
    }
    size_t at = own;
    for (size_t i = 0; i < s->nexemplars; i++) {
        s->exemplars[i].attrs.kv = s->kv + at;
        at += s->exemplars[i].attrs.n;
    }
    p->attrs = scratch_attrs(s, 0, own, 0);
    p->exemplars = s->exemplars;
    p->nexemplars = (uint32_t)s->nexemplars;
    return sink->point(sink->ctx, p);
}

static void point_begin(struct otlp_scratch *s)
{
    s->nkv = s->nexemplars = s->nu64 = s->nf64 = s->nquantiles = 0;
}

/* -- repeated numbers, packed or not ------------------------------------------------------------------------- */

static void push_u64(struct otlp_scratch *s, uint64_t v)
{
    *SCRATCH_PUSH(s, u64, uint64_t) = v;
}

static err_t packed_fixed64(const struct wire *w, struct str bytes, const char *what)
{
    if (bytes.n % 8 == 0) return OK;
    return err_set(ERR_INVALID, "malformed protobuf before byte %zu: packed %s is not a whole number of 8-byte values",
                   (size_t)(w->p - w->base), what);
}

/* -- the five kinds of points ---------------------------------------------------------------------------- */

static err_t number_point(const struct wire *w, struct str bytes, struct otlp_scratch *s, const struct otlp_sink *sink)
{
    struct otlp_point p = { .value_type = OTLP_NONE };
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    bool has_exemplars = false;
    point_begin(s);
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(2): p.start_ns = f.v; break;
        case WIRE_64(3): p.time_ns = f.v; break;
        case WIRE_64(4):
            p.f = wire_f64(f.v);
            p.value_type = OTLP_F64;
            break;
        case WIRE_LEN(5): has_exemplars = true; break;
        case WIRE_64(6):
            p.i = (int64_t)f.v;
            p.value_type = OTLP_INT;
            break;
        case WIRE_LEN(7):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            otlp_wire_kv_run(&in, WIRE_LEN(7), s);
            break;
        case WIRE_VARINT(8): p.flags = (uint32_t)f.v; break;
        default:
            TRY(wire_other(&in, &f,
                           WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4) | WIRE_BIT(5) | WIRE_BIT(6) | WIRE_BIT(7) |
                               WIRE_BIT(8),
                           "NumberDataPoint"));
        }
    }
    return finish_point(wire_sub(w, bytes), WIRE_LEN(5), has_exemplars, s, &p, sink);
}

static err_t histogram_point(const struct wire *w, struct str bytes, struct otlp_scratch *s,
                             const struct otlp_sink *sink)
{
    struct otlp_point p = { .value_type = OTLP_NONE };
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    bool has_exemplars = false;
    point_begin(s);
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(2): p.start_ns = f.v; break;
        case WIRE_64(3): p.time_ns = f.v; break;
        case WIRE_64(4): p.count = f.v; break;
        case WIRE_64(5):
            p.sum = wire_f64(f.v);
            p.has_sum = true;
            break;
        case WIRE_LEN(6):
            TRY(packed_fixed64(&in, f.bytes, "bucket_counts"));
            for (size_t i = 0; i < f.bytes.n / 8; i++)
                push_u64(s, wire_fixed64_at(f.bytes, i));
            break;
        case WIRE_64(6): push_u64(s, f.v); break;
        case WIRE_LEN(7):
            TRY(packed_fixed64(&in, f.bytes, "explicit_bounds"));
            for (size_t i = 0; i < f.bytes.n / 8; i++)
                *SCRATCH_PUSH(s, f64, double) = wire_f64(wire_fixed64_at(f.bytes, i));
            break;
        case WIRE_64(7): *SCRATCH_PUSH(s, f64, double) = wire_f64(f.v); break;
        case WIRE_LEN(8): has_exemplars = true; break;
        case WIRE_LEN(9):
            TRY(otlp_wire_kv(&in, f.bytes, s));
            otlp_wire_kv_run(&in, WIRE_LEN(9), s);
            break;
        case WIRE_VARINT(10): p.flags = (uint32_t)f.v; break;
        case WIRE_64(11):
        case WIRE_64(12): break; /* min and max: Prometheus has no place for them */
        default: TRY(wire_other(&in, &f, 0x1ffcu, "HistogramDataPoint"));
        }
    }
    p.buckets = s->u64;
    p.nbuckets = (uint32_t)s->nu64;
    p.bounds = s->f64;
    p.nbounds = (uint32_t)s->nf64;
    return finish_point(wire_sub(w, bytes), WIRE_LEN(8), has_exemplars, s, &p, sink);
}

/* ExponentialHistogramDataPoint.Buckets; the counts are pushed, the caller sets the pointer. */
static err_t exp_buckets(const struct wire *w, struct str bytes, struct otlp_scratch *s, struct otlp_buckets *b)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_VARINT(1): b->offset = (int32_t)unzigzag(f.v); break;
        case WIRE_LEN(2): {
            struct wire packed = wire_sub(&in, f.bytes);
            for (uint64_t v; wire_more(&packed); b->n++) {
                TRY(wire_packed_varint(&packed, &v));
                push_u64(s, v);
            }
            break;
        }
        case WIRE_VARINT(2):
            push_u64(s, f.v);
            b->n++;
            break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "ExponentialHistogramDataPoint.Buckets"));
        }
    }
    return OK;
}

static err_t exp_histogram_point(const struct wire *w, struct str bytes, struct otlp_scratch *s,
                                 const struct otlp_sink *sink)
{
    struct otlp_point p = { .value_type = OTLP_NONE };
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    struct str positive = STR_NONE, negative = STR_NONE;
    bool has_exemplars = false;
    point_begin(s);
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): TRY(otlp_wire_kv(&in, f.bytes, s)); break;
        case WIRE_64(2): p.start_ns = f.v; break;
        case WIRE_64(3): p.time_ns = f.v; break;
        case WIRE_64(4): p.count = f.v; break;
        case WIRE_64(5):
            p.sum = wire_f64(f.v);
            p.has_sum = true;
            break;
        case WIRE_VARINT(6): p.scale = (int32_t)unzigzag(f.v); break;
        case WIRE_64(7): p.zero_count = f.v; break;
        case WIRE_LEN(8): positive = f.bytes; break;
        case WIRE_LEN(9): negative = f.bytes; break;
        case WIRE_VARINT(10): p.flags = (uint32_t)f.v; break;
        case WIRE_LEN(11): has_exemplars = true; break;
        case WIRE_64(12):
        case WIRE_64(13): break; /* min, max */
        case WIRE_64(14): p.zero_threshold = wire_f64(f.v); break;
        default: TRY(wire_other(&in, &f, 0x7ffeu, "ExponentialHistogramDataPoint"));
        }
    }
    /* Each side's counts are one run of the array, whatever the order on the wire. */
    TRY(exp_buckets(&in, positive, s, &p.positive));
    TRY(exp_buckets(&in, negative, s, &p.negative));
    p.positive.counts = s->u64;
    p.negative.counts = s->u64 ? s->u64 + p.positive.n : NULL;
    return finish_point(wire_sub(w, bytes), WIRE_LEN(11), has_exemplars, s, &p, sink);
}

static err_t quantile_fields(const struct wire *w, struct str bytes, struct otlp_quantile *q)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(1): q->quantile = wire_f64(f.v); break;
        case WIRE_64(2): q->value = wire_f64(f.v); break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "ValueAtQuantile"));
        }
    }
    return OK;
}

static err_t summary_point(const struct wire *w, struct str bytes, struct otlp_scratch *s, const struct otlp_sink *sink)
{
    struct otlp_point p = { .value_type = OTLP_NONE, .has_sum = true };
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    point_begin(s);
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(2): p.start_ns = f.v; break;
        case WIRE_64(3): p.time_ns = f.v; break;
        case WIRE_64(4): p.count = f.v; break;
        case WIRE_64(5): p.sum = wire_f64(f.v); break;
        case WIRE_LEN(6): TRY(quantile_fields(&in, f.bytes, SCRATCH_PUSH(s, quantiles, struct otlp_quantile))); break;
        case WIRE_LEN(7): TRY(otlp_wire_kv(&in, f.bytes, s)); break;
        case WIRE_VARINT(8): p.flags = (uint32_t)f.v; break;
        default: TRY(wire_other(&in, &f, 0x1fcu, "SummaryDataPoint"));
        }
    }
    p.quantiles = s->quantiles;
    p.nquantiles = (uint32_t)s->nquantiles;
    return finish_point(in, 0, false, s, &p, sink);
}

/* -- metrics --------------------------------------------------------------------------------------------- */

/* What a Gauge, Sum, Histogram, ExponentialHistogram or Summary says beside its points, which often comes
 * behind them. */
static err_t data_head(struct wire in, struct otlp_metric *m)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): break;
        case WIRE_VARINT(2): m->temporality = (int32_t)f.v; break;
        case WIRE_VARINT(3): m->monotonic = f.v != 0; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), "metric data"));
        }
    }
    return OK;
}

static err_t metric_head(struct wire in, struct otlp_metric *m, struct str *data)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): m->name = f.bytes; break;
        case WIRE_LEN(2): m->description = f.bytes; break;
        case WIRE_LEN(3): m->unit = f.bytes; break;
        case WIRE_LEN(5): m->kind = OTLP_GAUGE, *data = f.bytes; break;
        case WIRE_LEN(7): m->kind = OTLP_SUM, *data = f.bytes; break;
        case WIRE_LEN(9): m->kind = OTLP_HISTOGRAM, *data = f.bytes; break;
        case WIRE_LEN(10): m->kind = OTLP_EXP_HISTOGRAM, *data = f.bytes; break;
        case WIRE_LEN(11): m->kind = OTLP_SUMMARY, *data = f.bytes; break;
        case WIRE_LEN(12): break; /* metadata: about the metric's origin, not kept */
        default: TRY(wire_other(&in, &f, 0x1eaeu, "Metric"));
        }
    }
    return OK;
}

static err_t metric_row(const struct wire *w, struct str bytes, struct otlp_scratch *s, const struct otlp_sink *sink)
{
    static err_t (*const points[])(const struct wire *, struct str, struct otlp_scratch *, const struct otlp_sink *) = {
        [OTLP_GAUGE] = number_point,           [OTLP_SUM] = number_point,
        [OTLP_HISTOGRAM] = histogram_point,    [OTLP_EXP_HISTOGRAM] = exp_histogram_point,
        [OTLP_SUMMARY] = summary_point,
    };
    struct otlp_metric m = { 0 };
    struct str data = STR_NONE;
    TRY(metric_head(wire_sub(w, bytes), &m, &data));
    if (!data.p) return OK; /* a metric without data has no points */
    TRY(data_head(wire_sub(w, data), &m));
    TRY(sink->metric(sink->ctx, &m));
    struct wire in = wire_sub(w, data);
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        if (f.tag == WIRE_LEN(1)) TRY(points[m.kind](&in, f.bytes, s, sink));
    }
    return OK;
}

err_t otlp_metrics_walk(struct str request, struct arena *a, const struct otlp_sink *sink)
{
    static const struct otlp_shape shape = { "ExportMetricsServiceRequest", "ResourceMetrics", "ScopeMetrics",
                                             metric_row };
    return otlp_wire_walk(request, a, sink, &shape);
}
