/* OTLP/JSON metrics -> views. */
#include "server/ingest/otlp_json.h"

static const char *const temporalities[] = { "UNSPECIFIED", "DELTA", "CUMULATIVE" };

static err_t exemplar(const struct json_val *v, struct arena *a, struct otlp_exemplar *e)
{
    const struct json_val *c;
    int64_t i;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "timeUnixNano"))
            TRY(oj_u64(c, &e->time_ns));
        else if (oj_is(c, "asDouble"))
            TRY(oj_f64(c, &e->value));
        else if (oj_is(c, "asInt")) {
            TRY(oj_i64(c, &i));
            e->value = (double)i;
        } else if (oj_is(c, "spanId"))
            TRY(oj_id(c, a, &e->span_id));
        else if (oj_is(c, "traceId"))
            TRY(oj_id(c, a, &e->trace_id));
        else if (oj_is(c, "filteredAttributes"))
            TRY(oj_attrs(c, a, &e->attrs));
    }
    return OK;
}

static err_t exemplars(const struct json_val *v, struct arena *a, struct otlp_point *p)
{
    const struct json_val *c;
    uint32_t n = 0;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    struct otlp_exemplar *e = arena_calloc(a, v->n, sizeof *e);
    JSON_EACH(c, v)
    {
        TRY(exemplar(c, a, &e[n++]));
    }
    p->exemplars = e;
    p->nexemplars = n;
    return OK;
}

static err_t u64s(const struct json_val *v, struct arena *a, const uint64_t **out, uint32_t *count)
{
    const struct json_val *c;
    uint32_t n = 0;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    uint64_t *u = arena_calloc(a, v->n, sizeof *u);
    JSON_EACH(c, v)
    {
        TRY(oj_u64(c, &u[n++]));
    }
    *out = u;
    *count = n;
    return OK;
}

static err_t f64s(const struct json_val *v, struct arena *a, const double **out, uint32_t *count)
{
    const struct json_val *c;
    uint32_t n = 0;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    double *d = arena_calloc(a, v->n, sizeof *d);
    JSON_EACH(c, v)
    {
        TRY(oj_f64(c, &d[n++]));
    }
    *out = d;
    *count = n;
    return OK;
}

static err_t exp_side(const struct json_val *v, struct arena *a, struct otlp_buckets *b)
{
    const struct json_val *c;
    int64_t offset;
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        if (oj_is(c, "offset")) {
            TRY(oj_i64(c, &offset));
            if (offset < INT32_MIN || offset > INT32_MAX)
                return err_set(ERR_INVALID, "OTLP/JSON: field \"offset\" is not a 32-bit integer");
            b->offset = (int32_t)offset;
        } else if (oj_is(c, "bucketCounts")) {
            TRY(u64s(c, a, &b->counts, &b->n));
        }
    }
    return OK;
}

static err_t quantiles(const struct json_val *v, struct arena *a, struct otlp_point *p)
{
    const struct json_val *c, *f;
    uint32_t n = 0;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    struct otlp_quantile *q = arena_calloc(a, v->n, sizeof *q);
    JSON_EACH(c, v)
    {
        f = json_get(c, "quantile");
        if (f) TRY(oj_f64(f, &q[n].quantile));
        f = json_get(c, "value");
        if (f) TRY(oj_f64(f, &q[n].value));
        n++;
    }
    p->quantiles = q;
    p->nquantiles = n;
    return OK;
}

static err_t number_field(const struct json_val *c, struct otlp_point *p)
{
    if (oj_is(c, "asDouble")) {
        p->value_type = OTLP_F64;
        return oj_f64(c, &p->f);
    }
    p->value_type = OTLP_INT;
    return oj_i64(c, &p->i);
}

static err_t scale_field(const struct json_val *c, struct otlp_point *p)
{
    int64_t scale;
    TRY(oj_i64(c, &scale));
    if (scale < INT32_MIN || scale > INT32_MAX)
        return err_set(ERR_INVALID, "OTLP/JSON: field \"scale\" is not a 32-bit integer");
    p->scale = (int32_t)scale;
    return OK;
}

/* The fields of all five kinds of points: no two kinds use one name for different things. */
static err_t point_field(const struct json_val *c, struct arena *a, struct otlp_point *p)
{
    if (oj_is(c, "attributes")) return oj_attrs(c, a, &p->attrs);
    if (oj_is(c, "startTimeUnixNano")) return oj_u64(c, &p->start_ns);
    if (oj_is(c, "timeUnixNano")) return oj_u64(c, &p->time_ns);
    if (oj_is(c, "flags")) return oj_u32(c, &p->flags);
    if (oj_is(c, "asDouble") || oj_is(c, "asInt")) return number_field(c, p);
    if (oj_is(c, "exemplars")) return exemplars(c, a, p);
    if (oj_is(c, "count")) return oj_u64(c, &p->count);
    if (oj_is(c, "sum")) {
        p->has_sum = true;
        return oj_f64(c, &p->sum);
    }
    if (oj_is(c, "bucketCounts")) return u64s(c, a, &p->buckets, &p->nbuckets);
    if (oj_is(c, "explicitBounds")) return f64s(c, a, &p->bounds, &p->nbounds);
    if (oj_is(c, "scale")) return scale_field(c, p);
    if (oj_is(c, "zeroCount")) return oj_u64(c, &p->zero_count);
    if (oj_is(c, "zeroThreshold")) return oj_f64(c, &p->zero_threshold);
    if (oj_is(c, "positive")) return exp_side(c, a, &p->positive);
    if (oj_is(c, "negative")) return exp_side(c, a, &p->negative);
    if (oj_is(c, "quantileValues")) return quantiles(c, a, p);
    return OK;
}

static err_t point(const struct otlp_json *j, enum otlp_metric_kind kind, const struct json_val *v)
{
    const struct json_val *c;
    struct otlp_point p = { .value_type = OTLP_NONE, .has_sum = kind == OTLP_SUMMARY };
    TRY(oj_expect(v, JSON_OBJ, "an object"));
    JSON_EACH(c, v)
    {
        TRY(point_field(c, j->arena, &p));
    }
    return j->sink->point(j->sink->ctx, &p);
}

static err_t points(const struct otlp_json *j, enum otlp_metric_kind kind, const struct json_val *v)
{
    const struct json_val *c;
    TRY(oj_expect(v, JSON_ARR, "an array"));
    JSON_EACH(c, v)
    {
        TRY(point(j, kind, c));
    }
    return OK;
}

static err_t data_fields(const struct json_val *data, struct otlp_metric *m, const struct json_val **rows)
{
    const struct json_val *c;
    TRY(oj_expect(data, JSON_OBJ, "an object"));
    JSON_EACH(c, data)
    {
        if (oj_is(c, "dataPoints"))
            *rows = c;
        else if (oj_is(c, "aggregationTemporality"))
            TRY(oj_enum(c, "AGGREGATION_TEMPORALITY_", temporalities, ARRAY_LEN(temporalities), &m->temporality));
        else if (oj_is(c, "isMonotonic"))
            TRY(oj_bool(c, &m->monotonic));
    }
    return OK;
}

static err_t metric(const struct otlp_json *j, const struct json_val *v)
{
    static const char *const kinds[] = { NULL, "gauge", "sum", "histogram", "exponentialHistogram", "summary" };
    struct otlp_metric m = { 0 };
    const struct json_val *c, *rows = NULL;
    JSON_EACH(c, v)
    {
        if (oj_is(c, "name"))
            TRY(oj_str(c, &m.name));
        else if (oj_is(c, "description"))
            TRY(oj_str(c, &m.description));
        else if (oj_is(c, "unit"))
            TRY(oj_str(c, &m.unit));
        else
            for (unsigned k = 1; k < ARRAY_LEN(kinds); k++)
                if (oj_is(c, kinds[k])) {
                    m.kind = (enum otlp_metric_kind)k;
                    TRY(data_fields(c, &m, &rows));
                }
    }
    if (!m.kind) return OK;
    TRY(j->sink->metric(j->sink->ctx, &m));
    return rows ? points(j, m.kind, rows) : OK;
}

err_t otlp_metrics_walk_json(struct str request, struct arena *a, const struct otlp_sink *sink)
{
    static const struct oj_shape shape = { "resourceMetrics", "scopeMetrics", "metrics", metric };
    return oj_walk(request, a, sink, &shape);
}
