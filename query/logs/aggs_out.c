/* The answers of aggregations as JSON: floats always with a point, counts without. */
#include "query/logs/aggs.h"

#include "base/core/datetime.h"

#include <math.h>

struct render {
    struct arena *a;
    struct json_out *j;
    uint64_t buckets; /* written so far: empty ones between full ones count too */
};

static err_t render_list(struct render *r, const struct agg_req *reqs, uint32_t n, const struct agg_state *states);

static void out_f64(struct json_out *j, double d)
{
    if (!isfinite(d)) {
        json_null(j);
        return;
    }
    struct json_val v = { .type = JSON_F64, .span = 1, .f64 = d };
    json_val_write(&v, j);
}

static void out_date_text(struct json_out *j, int64_t ns)
{
    char text[DATETIME_TEXT_MAX];
    json_str(j, str_n(text, datetime_format(ns, text)));
}

/* Whole milliseconds stay whole: a double does not hold today's nanoseconds. */
static double ms_of(int64_t ns) { return (double)(ns / NS_PER_MS) + (double)(ns % NS_PER_MS) / 1e6; }

/* Times are milliseconds as floats, with the text beside them. */
static void out_time_key(struct json_out *j, int64_t ns)
{
    json_keyz(j, "key");
    out_f64(j, ms_of(ns));
    json_keyz(j, "key_as_string");
    out_date_text(j, ns);
}

static void out_val(struct json_out *j, const struct val *v)
{
    switch ((int)v->type) {
    case 0: json_null(j); break;
    case COL_I64: json_i64(j, v->i64); break;
    case COL_F64: out_f64(j, v->f64); break;
    case COL_BOOL: json_bool(j, v->boolean); break;
    case COL_FIX: json_hex(j, (const uint8_t *)v->s.p, v->s.n); break;
    default: json_str(j, v->s); break;
    }
}

/* -- metrics -------------------------------------------------------------------------------------------------- */

static void out_named(struct json_out *j, const char *name, double d)
{
    json_keyz(j, name);
    out_f64(j, d);
}

static double average(const struct moments *m) { return m->count ? m->sum / (double)m->count : NAN; }

static void out_stats(struct json_out *j, const struct moments *m, bool extended)
{
    double n = (double)m->count, mean = average(m);
    json_keyz(j, "count");
    json_u64(j, m->count);
    out_named(j, "min", m->count ? m->min : NAN);
    out_named(j, "max", m->count ? m->max : NAN);
    out_named(j, "avg", mean);
    out_named(j, "sum", m->sum);
    if (!extended) return;
    double var = m->count ? MAX(0.0, m->sum_sq / n - mean * mean) : NAN, dev = sqrt(var);
    double sampling = m->count > 1 ? MAX(0.0, (m->sum_sq - n * mean * mean) / (n - 1)) : NAN, sdev = sqrt(sampling);
    out_named(j, "sum_of_squares", m->count ? m->sum_sq : NAN);
    out_named(j, "variance", var);
    out_named(j, "variance_population", var);
    out_named(j, "variance_sampling", sampling);
    out_named(j, "std_deviation", dev);
    out_named(j, "std_deviation_population", dev);
    out_named(j, "std_deviation_sampling", sdev);
    json_keyz(j, "std_deviation_bounds");
    json_obj(j);
    out_named(j, "upper", mean + 2 * dev);
    out_named(j, "lower", mean - 2 * dev);
    out_named(j, "upper_population", mean + 2 * dev);
    out_named(j, "lower_population", mean - 2 * dev);
    out_named(j, "upper_sampling", mean + 2 * sdev);
    out_named(j, "lower_sampling", mean - 2 * sdev);
    json_obj_end(j);
}

static void out_percentiles(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    struct json_out *j = r->j;
    json_keyz(j, "values");
    if (q->keyed) json_obj(j);
    else json_arr(j);
    for (uint32_t i = 0; i < q->npercents; i++) {
        double v = sketch_quantile(&st->sketch, q->percents[i] / 100);
        if (q->keyed) {
            char text[40];
            size_t n = f64_shortest(q->percents[i], text);
            if (q->percents[i] == floor(q->percents[i])) memcpy(text + n, ".0", 2), n += 2;
            json_key(j, str_n(text, n));
            out_f64(j, v);
        } else {
            json_obj(j);
            out_named(j, "key", q->percents[i]);
            out_named(j, "value", v);
            json_obj_end(j);
        }
    }
    if (q->keyed) json_obj_end(j);
    else json_arr_end(j);
}

static double metric_value(const struct agg_req *q, const struct agg_state *st, struct str member)
{
    const struct moments *m = &st->m;
    if (q->type == AT_CARDINALITY) return (double)distinct_count(&st->distinct);
    if (q->type == AT_PERCENTILES) {
        double p;
        return sketch_quantile(&st->sketch, str_to_f64(member, &p) ? p / 100 : 0.5);
    }
    if (q->type == AT_VALUE_COUNT || str_is(member, "count")) return (double)m->count;
    if (q->type == AT_AVG || str_is(member, "avg")) return average(m);
    if (q->type == AT_MIN || str_is(member, "min")) return m->count ? m->min : NAN;
    if (q->type == AT_MAX || str_is(member, "max")) return m->count ? m->max : NAN;
    return m->sum;
}

static void out_metric(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    if (q->type == AT_STATS || q->type == AT_EXTENDED_STATS) out_stats(r->j, &st->m, q->type == AT_EXTENDED_STATS);
    else if (q->type == AT_PERCENTILES) out_percentiles(r, q, st);
    else out_named(r->j, "value", metric_value(q, st, STR("")));
}

/* -- buckets ---------------------------------------------------------------------------------------------------- */

static err_t count_bucket(struct render *r)
{
    if (++r->buckets > AGG_BUCKETS_MAX) return err_set(ERR_LIMIT, "the aggregation makes over %d buckets", AGG_BUCKETS_MAX);
    return buf_check(r->j->b);
}

/* doc_count and what stands below; b == NULL is an empty bucket. */
static err_t out_inside(struct render *r, const struct agg_req *q, const struct agg_bucket *b)
{
    TRY(count_bucket(r));
    json_keyz(r->j, "doc_count");
    json_u64(r->j, b ? b->count : 0);
    if (q->nsubs == 0) return OK;
    struct agg_state *none = b ? NULL : ARENA_ARRAY(r->a, struct agg_state, q->nsubs);
    return render_list(r, q->subs, q->nsubs, b ? b->subs : none);
}

static int order_value_cmp(const struct agg_req *q, const struct agg_order *o, const struct agg_bucket *a,
                           const struct agg_bucket *b)
{
    if (str_is(o->by, "_key") || str_is(o->by, "_term")) return val_cmp(a->key, b->key);
    if (str_is(o->by, "_count")) return a->count < b->count ? -1 : a->count > b->count;
    size_t dot = str_chr(o->by, '.');
    struct str name = str_sub(o->by, 0, dot), member = str_sub(o->by, dot + 1, o->by.n);
    for (uint32_t i = 0; i < q->nsubs; i++) {
        if (!str_eq(q->subs[i].name, name)) continue;
        double x = metric_value(&q->subs[i], &a->subs[i], member), y = metric_value(&q->subs[i], &b->subs[i], member);
        if (isnan(x) || isnan(y)) return (int)isnan(y) - (int)isnan(x);
        return x < y ? -1 : x > y;
    }
    return 0;
}

static int bucket_cmp(const struct agg_req *q, const struct agg_bucket *a, const struct agg_bucket *b)
{
    static const struct agg_order by_count = { { "_count", 6 }, true };
    uint32_t n = q->norder ? q->norder : 1;
    for (uint32_t i = 0; i < n; i++) {
        const struct agg_order *o = q->norder ? &q->order[i] : &by_count;
        int c = order_value_cmp(q, o, a, b);
        if (c) return o->desc ? -c : c;
    }
    return val_cmp(a->key, b->key);
}

typedef int cmp_fn(const struct agg_req *q, const struct agg_bucket *a, const struct agg_bucket *b);

/* Merge sort, bottom up: no recursion, n log n whatever the input. */
static struct agg_bucket **sorted(struct render *r, const struct agg_req *q, const struct agg_state *st, cmp_fn *cmp)
{
    uint32_t n = st->nbuckets;
    struct agg_bucket **v = ARENA_RAW(r->a, struct agg_bucket *, n + 1), **w = ARENA_RAW(r->a, struct agg_bucket *, n + 1);
    if (n) memcpy(v, st->buckets, n * sizeof *v);
    for (uint32_t run = 1; run < n; run *= 2) {
        for (uint32_t at = 0; at < n; at += 2 * run) {
            uint32_t i = at, mid = MIN(at + run, n), k = mid, end = MIN(at + 2 * run, n), o = at;
            while (i < mid || k < end)
                w[o++] = k >= end || (i < mid && cmp(q, v[i], v[k]) <= 0) ? v[i++] : v[k++];
        }
        struct agg_bucket **t = v;
        v = w;
        w = t;
    }
    return v;
}

static err_t out_terms(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    struct agg_bucket **v = sorted(r, q, st, bucket_cmp);
    struct json_out *j = r->j;
    uint64_t other = 0;
    uint32_t shown = 0;
    json_keyz(j, "buckets");
    json_arr(j);
    for (uint32_t i = 0; i < st->nbuckets; i++) {
        if (v[i]->count < q->min_doc_count) continue;
        if (shown == q->size) {
            other += v[i]->count;
            continue;
        }
        shown++;
        json_obj(j);
        if (q->is_date && v[i]->key->type == COL_I64) {
            out_time_key(j, v[i]->key->i64);
        } else if (v[i]->key->type == COL_BOOL) {
            json_keyz(j, "key");
            json_i64(j, v[i]->key->boolean);
            json_keyz(j, "key_as_string");
            json_z(j, v[i]->key->boolean ? "true" : "false");
        } else {
            json_keyz(j, "key");
            out_val(j, v[i]->key);
        }
        TRY(out_inside(r, q, v[i]));
        json_obj_end(j);
    }
    json_arr_end(j);
    json_keyz(j, "doc_count_error_upper_bound");
    json_u64(j, 0);
    json_keyz(j, "sum_other_doc_count");
    json_u64(j, other);
    return OK;
}

static err_t out_histogram_bucket(struct render *r, const struct agg_req *q, struct val key, const struct agg_bucket *b)
{
    struct json_out *j = r->j;
    if (q->keyed) {
        char text[40];
        size_t n = key.type == COL_I64 ? datetime_format(key.i64, text) : f64_shortest(key.f64, text);
        json_key(j, str_n(text, n));
    }
    json_obj(j);
    if (key.type == COL_I64) {
        out_time_key(j, key.i64);
    } else {
        out_named(j, "key", key.f64);
    }
    TRY(out_inside(r, q, b));
    json_obj_end(j);
    return OK;
}

static int key_cmp(const struct agg_req *q, const struct agg_bucket *a, const struct agg_bucket *b)
{
    (void)q;
    return val_cmp(a->key, b->key);
}

/* The grid of a histogram: bucket i begins at origin + i * step. Times are exact integers, values doubles. */
struct grid {
    bool date;
    int64_t step_ns, origin_ns;
    double step, origin;
};

static struct val grid_key(const struct grid *g, int64_t i)
{
    if (g->date) return (struct val){ .type = COL_I64, .i64 = g->origin_ns + i * g->step_ns };
    return (struct val){ .type = COL_F64, .f64 = g->origin + (double)i * g->step };
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* Which bucket holds a key of the states, or a bound in the request's unit. */
static int64_t grid_of_key(const struct grid *g, const struct val *key)
{
    if (g->date) return floor_div(key->i64 - g->origin_ns, g->step_ns);
    return (int64_t)floor((key->f64 - g->origin) / g->step + 0.5);
}
static int64_t grid_of_bound(const struct grid *g, double bound)
{
    if (g->date) return floor_div((int64_t)(fmin(fmax(bound, -9.2e12), 9.2e12) * 1e6) - g->origin_ns, g->step_ns);
    return (int64_t)fmin(fmax(floor((bound - g->origin) / g->step), -9e15), 9e15);
}

/* First and last bucket to show; false when there is none. Sets the grid's origin on the first full bucket, or on
 * the request's offset. */
static bool histogram_bounds(const struct agg_req *q, struct agg_bucket **v, uint32_t n, struct grid *g, int64_t *first,
                             int64_t *last)
{
    *first = INT64_MAX;
    *last = INT64_MIN;
    g->date = n ? v[0]->key->type == COL_I64 : q->is_date;
    g->step_ns = q->type == AT_DATE_HISTOGRAM ? q->interval_ns : MAX((int64_t)1, (int64_t)(q->interval * 1e6));
    g->step = q->interval;
    if (g->date) g->origin_ns = n ? v[0]->key->i64 : q->type == AT_DATE_HISTOGRAM ? q->offset_ns : (int64_t)(q->offset * 1e6);
    else g->origin = n ? v[0]->key->f64 : q->offset;
    if (n) {
        *first = 0;
        *last = grid_of_key(g, v[n - 1]->key);
    }
    if (q->has_extended && q->min_doc_count == 0 && q->extended_min <= q->extended_max) {
        *first = MIN(*first, grid_of_bound(g, q->extended_min));
        *last = MAX(*last, grid_of_bound(g, q->extended_max));
    }
    return *first <= *last;
}

/* Empty buckets between full ones, and out to extended_bounds, unless min_doc_count asks for rows. */
static err_t histogram_buckets(struct render *r, const struct agg_req *q, struct agg_bucket **v, uint32_t n)
{
    struct grid g = { 0 };
    int64_t first, last;
    uint32_t at = 0;
    if (!histogram_bounds(q, v, n, &g, &first, &last)) return OK;
    int64_t hard_first = q->has_hard ? grid_of_bound(&g, q->hard_min) : INT64_MIN;
    int64_t hard_last = q->has_hard ? grid_of_bound(&g, q->hard_max) : INT64_MAX;
    if (q->min_doc_count == 0 && (double)last - (double)first > AGG_BUCKETS_MAX)
        return err_set(ERR_LIMIT, "the histogram makes over %d buckets", AGG_BUCKETS_MAX);
    for (int64_t i = first; i <= last; i++) {
        if (q->min_doc_count) i = grid_of_key(&g, v[at]->key); /* to the next full one */
        struct agg_bucket *b = at < n && grid_of_key(&g, v[at]->key) == i ? v[at++] : NULL;
        if (i < hard_first || i > hard_last || (b ? b->count : 0) < q->min_doc_count) continue;
        TRY(out_histogram_bucket(r, q, b ? *b->key : grid_key(&g, i), b));
    }
    return OK;
}

static err_t out_histogram(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    struct agg_bucket **v = sorted(r, q, st, key_cmp);
    json_keyz(r->j, "buckets");
    if (q->keyed) json_obj(r->j);
    else json_arr(r->j);
    TRY(histogram_buckets(r, q, v, st->nbuckets));
    if (q->keyed) json_obj_end(r->j);
    else json_arr_end(r->j);
    return OK;
}

static struct str range_key(struct render *r, const struct agg_range_req *g)
{
    char from[40] = "*", to[40] = "*";
    if (g->key.n) return g->key;
    if (isfinite(g->from)) from[f64_shortest(g->from, from)] = 0;
    if (isfinite(g->to)) to[f64_shortest(g->to, to)] = 0;
    return arena_printf(r->a, "%s-%s", from, to);
}

static err_t out_ranges(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    struct json_out *j = r->j;
    json_keyz(j, "buckets");
    if (q->keyed) json_obj(j);
    else json_arr(j);
    for (uint32_t i = 0; i < q->nranges; i++) {
        const struct agg_range_req *g = &q->ranges[i];
        struct str key = range_key(r, g);
        if (q->keyed) json_key(j, key);
        json_obj(j);
        if (!q->keyed) {
            json_keyz(j, "key");
            json_str(j, key);
        }
        if (isfinite(g->from)) out_named(j, "from", g->from);
        if (isfinite(g->to)) out_named(j, "to", g->to);
        TRY(out_inside(r, q, i < st->nbuckets ? st->buckets[i] : NULL));
        json_obj_end(j);
    }
    if (q->keyed) json_obj_end(j);
    else json_arr_end(j);
    return OK;
}

static err_t out_filters(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    if (q->type == AT_FILTER) return out_inside(r, q, st->nbuckets ? st->buckets[0] : NULL);
    json_keyz(r->j, "buckets");
    json_obj(r->j);
    for (uint32_t i = 0; i < q->nfilters; i++) {
        json_key(r->j, q->filter_names[i]);
        json_obj(r->j);
        TRY(out_inside(r, q, i < st->nbuckets ? st->buckets[i] : NULL));
        json_obj_end(r->j);
    }
    json_obj_end(r->j);
    return OK;
}

static int composite_keys_cmp(const struct agg_req *q, const struct val *a, const struct val *b)
{
    for (uint32_t i = 0; i < q->nsources; i++) {
        int c = val_cmp(&a[i], &b[i]);
        if (c) return q->sources[i].desc ? -c : c;
    }
    return 0;
}
static int composite_cmp(const struct agg_req *q, const struct agg_bucket *a, const struct agg_bucket *b)
{
    return composite_keys_cmp(q, a->key, b->key);
}

static void out_composite_key(struct render *r, const struct agg_req *q, const struct val *key)
{
    json_obj(r->j);
    for (uint32_t i = 0; i < q->nsources; i++) {
        json_key(r->j, q->sources[i].name);
        if (q->sources[i].type == AT_DATE_HISTOGRAM && key[i].type == COL_I64) out_f64(r->j, ms_of(key[i].i64));
        else out_val(r->j, &key[i]);
    }
    json_obj_end(r->j);
}

static err_t out_composite(struct render *r, const struct agg_req *q, const struct agg_state *st)
{
    struct agg_bucket **v = sorted(r, q, st, composite_cmp);
    struct val after[AGG_SOURCES_MAX];
    const struct val *last = NULL;
    uint32_t shown = 0;
    for (uint32_t i = 0; i < q->nsources; i++)
        after[i] = q->sources[i].after;
    json_keyz(r->j, "buckets");
    json_arr(r->j);
    for (uint32_t i = 0; i < st->nbuckets && shown < q->size; i++) {
        if (q->has_after && composite_keys_cmp(q, v[i]->key, after) <= 0) continue;
        json_obj(r->j);
        json_keyz(r->j, "key");
        out_composite_key(r, q, v[i]->key);
        TRY(out_inside(r, q, v[i]));
        json_obj_end(r->j);
        last = v[i]->key;
        shown++;
    }
    json_arr_end(r->j);
    if (last) {
        json_keyz(r->j, "after_key");
        out_composite_key(r, q, last);
    }
    return OK;
}

static err_t render_list(struct render *r, const struct agg_req *reqs, uint32_t n, const struct agg_state *states)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct agg_req *q = &reqs[i];
        json_key(r->j, q->name);
        json_obj(r->j);
        switch (q->type) {
        case AT_TERMS: TRY(out_terms(r, q, &states[i])); break;
        case AT_HISTOGRAM:
        case AT_DATE_HISTOGRAM: TRY(out_histogram(r, q, &states[i])); break;
        case AT_RANGE: TRY(out_ranges(r, q, &states[i])); break;
        case AT_FILTER:
        case AT_FILTERS: TRY(out_filters(r, q, &states[i])); break;
        case AT_COMPOSITE: TRY(out_composite(r, q, &states[i])); break;
        default: out_metric(r, q, &states[i]); break;
        }
        json_obj_end(r->j);
    }
    return arena_check(r->a);
}

err_t aggs_render(const struct agg_req *reqs, uint32_t n, const struct agg_state *states, struct arena *a,
                  struct json_out *j)
{
    struct render r = { .a = a, .j = j };
    json_obj(j);
    TRY(render_list(&r, reqs, n, states));
    json_obj_end(j);
    return OK;
}
