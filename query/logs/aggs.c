/* Parsing of aggregation requests, and their specs over an index. */
#include "query/logs/aggs.h"

#include "base/core/datetime.h"

#include <math.h>

static err_t parse_list(const struct json_val *v, struct arena *a, unsigned depth, struct agg_req **out, uint32_t *n);

static err_t bad(const struct agg_req *r, const char *why)
{
    return err_set(ERR_INVALID, "aggregation `" STR_FMT "`: %s", STR_ARG(r->name), why);
}

static err_t get_str(const struct agg_req *r, const struct json_val *b, const char *key, struct str *out)
{
    const struct json_val *v = json_get(b, key);
    if (!v || v->type == JSON_NULL) return OK;
    if (v->type != JSON_STR)
        return err_set(ERR_INVALID, "aggregation `" STR_FMT "`: %s must be a string", STR_ARG(r->name), key);
    *out = v->str;
    return OK;
}

static err_t get_num(const struct agg_req *r, const struct json_val *b, const char *key, double *out, bool *given)
{
    const struct json_val *v = json_get(b, key);
    if (!v || v->type == JSON_NULL) return OK;
    if (json_is_num(v)) *out = json_num(v);
    else if (v->type != JSON_STR || !str_to_f64(v->str, out))
        return err_set(ERR_INVALID, "aggregation `" STR_FMT "`: %s must be a number", STR_ARG(r->name), key);
    if (given) *given = true;
    return OK;
}

static void get_bool(const struct json_val *b, const char *key, bool *out)
{
    const struct json_val *v = json_get(b, key);
    if (v && v->type == JSON_BOOL) *out = v->boolean;
}

/* "30d", "-4h", "1500ms" to nanoseconds. */
static bool duration_ns(struct str s, int64_t *out)
{
    static const struct { const char *unit; int64_t ns; } units[] = {
        { "ns", 1 }, { "micros", NS_PER_US }, { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S },
        { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S }, { "d", 86400 * NS_PER_S }, { "w", 7 * 86400 * NS_PER_S },
        { "second", NS_PER_S }, { "minute", 60 * NS_PER_S }, { "hour", 3600 * NS_PER_S }, { "day", 86400 * NS_PER_S },
        { "week", 7 * 86400 * NS_PER_S },
    };
    size_t digits = 0;
    int64_t n = 1;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) digits = 1;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    struct str num = str_sub(s, s.n && s.p[0] == '+' ? 1 : 0, digits);
    if (digits && !str_to_i64(num, &n)) return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (str_is(str_sub(s, digits, s.n), units[i].unit)) return !__builtin_mul_overflow(n, units[i].ns, out);
    return false;
}

/* A bound of a date histogram: milliseconds, or a date as text. */
static err_t date_bound(const struct agg_req *r, const struct json_val *b, const char *key, double *out)
{
    const struct json_val *v = json_get(b, key);
    int64_t ns;
    if (v && json_is_num(v)) return *out = json_num(v), OK;
    if (v && v->type == JSON_STR && datetime_parse_any(v->str, &ns)) return *out = (double)ns / 1e6, OK;
    return err_set(ERR_INVALID, "aggregation `" STR_FMT "`: bounds need %s", STR_ARG(r->name), key);
}

/* -- kinds -------------------------------------------------------------------------------------------------- */

static err_t parse_order(struct agg_req *r, const struct json_val *v)
{
    const struct json_val *c;
    if (v->type == JSON_ARR) {
        JSON_EACH(c, v) TRY(parse_order(r, c));
        return OK;
    }
    if (v->type != JSON_OBJ) return bad(r, "order must be an object");
    JSON_EACH(c, v) {
        if (r->norder == ARRAY_LEN(r->order)) return bad(r, "at most two orders");
        if (c->type != JSON_STR) return bad(r, "an order is asc or desc");
        r->order[r->norder++] = (struct agg_order){ .by = c->key, .desc = str_ieq(c->str, STR("desc")) };
    }
    return OK;
}

static err_t parse_size(struct agg_req *r, const struct json_val *b)
{
    const struct json_val *v = json_get(b, "size");
    int64_t n = AGG_TERMS_SIZE;
    if (v && (!json_to_i64(v, &n) || n < 0 || n > AGG_SIZE_MAX)) return bad(r, "size must be a number up to 65000");
    r->size = (uint32_t)n;
    return OK;
}

static err_t parse_missing(struct agg_req *r, const struct json_val *b)
{
    const struct json_val *v = json_get(b, "missing");
    if (!v) return OK;
    if (v->type == JSON_STR) r->missing = (struct val){ .type = COL_STR, .s = v->str };
    else if (v->type == JSON_I64) r->missing = (struct val){ .type = COL_I64, .i64 = v->i64 };
    else if (v->type == JSON_F64) r->missing = (struct val){ .type = COL_F64, .f64 = v->f64 };
    else if (v->type == JSON_BOOL) r->missing = (struct val){ .type = COL_BOOL, .boolean = v->boolean };
    else return bad(r, "missing must be a string, a number or a boolean");
    return OK;
}

static err_t parse_terms(struct agg_req *r, const struct json_val *b)
{
    const struct json_val *order = json_get(b, "order");
    double n = 0;
    TRY(parse_size(r, b));
    TRY(parse_missing(r, b));
    TRY(get_num(r, b, "min_doc_count", &n, &r->min_given));
    r->min_doc_count = r->min_given && n >= 0 ? (uint64_t)n : 1;
    return order ? parse_order(r, order) : OK;
}

static err_t interval_of(const struct agg_req *r, const struct json_val *b, int64_t *interval, int64_t *offset)
{
    struct str s = STR_NONE, off = STR_NONE;
    TRY(get_str(r, b, "fixed_interval", &s));
    if (!s.p) TRY(get_str(r, b, "calendar_interval", &s));
    if (!s.p) TRY(get_str(r, b, "interval", &s));
    if (!s.p || !duration_ns(s, interval) || *interval <= 0) return bad(r, "needs a fixed_interval such as 30s");
    TRY(get_str(r, b, "offset", &off));
    return !off.p || duration_ns(off, offset) ? OK : bad(r, "offset must be a duration");
}

static err_t parse_histogram(struct agg_req *r, const struct json_val *b)
{
    const struct json_val *e = json_get(b, "extended_bounds"), *h = json_get(b, "hard_bounds");
    double n = 0;
    TRY(parse_missing(r, b));
    TRY(get_num(r, b, "min_doc_count", &n, &r->min_given));
    r->min_doc_count = n >= 0 ? (uint64_t)n : 0;
    get_bool(b, "keyed", &r->keyed);
    if (r->type == AT_DATE_HISTOGRAM) {
        TRY(interval_of(r, b, &r->interval_ns, &r->offset_ns));
    } else {
        TRY(get_num(r, b, "interval", &r->interval, NULL));
        TRY(get_num(r, b, "offset", &r->offset, NULL));
        if (!(r->interval > 0) || !isfinite(r->interval)) return bad(r, "interval must be a positive number");
    }
    if (e) {
        TRY(date_bound(r, e, "min", &r->extended_min));
        TRY(date_bound(r, e, "max", &r->extended_max));
        r->has_extended = true;
    }
    if (h) {
        TRY(date_bound(r, h, "min", &r->hard_min));
        TRY(date_bound(r, h, "max", &r->hard_max));
        r->has_hard = true;
    }
    return OK;
}

static err_t parse_ranges(struct agg_req *r, const struct json_val *b, struct arena *a)
{
    const struct json_val *v = json_get(b, "ranges"), *c;
    if (!v || v->type != JSON_ARR) return bad(r, "needs ranges");
    struct agg_range_req *list = ARENA_ARRAY(a, struct agg_range_req, v->n + 1);
    JSON_EACH(c, v) {
        struct agg_range_req *g = &list[r->nranges++];
        *g = (struct agg_range_req){ .from = -INFINITY, .to = INFINITY };
        if (c->type != JSON_OBJ) return bad(r, "a range is an object");
        TRY(get_num(r, c, "from", &g->from, NULL));
        TRY(get_num(r, c, "to", &g->to, NULL));
        TRY(get_str(r, c, "key", &g->key));
    }
    r->ranges = list;
    get_bool(b, "keyed", &r->keyed);
    return OK;
}

static err_t parse_percents(struct agg_req *r, const struct json_val *b, struct arena *a)
{
    static const double usual[] = { 1, 5, 25, 50, 75, 95, 99 };
    const struct json_val *v = json_get(b, "percents"), *c;
    r->keyed = true;
    get_bool(b, "keyed", &r->keyed);
    r->percents = usual;
    r->npercents = ARRAY_LEN(usual);
    if (!v) return OK;
    if (v->type != JSON_ARR || v->n > 1000) return bad(r, "percents must be a list of numbers");
    double *p = ARENA_ARRAY(a, double, v->n + 1);
    r->npercents = 0;
    JSON_EACH(c, v) {
        if (!json_is_num(c) || json_num(c) < 0 || json_num(c) > 100) return bad(r, "percents lie between 0 and 100");
        p[r->npercents++] = json_num(c);
    }
    r->percents = p;
    return OK;
}

static err_t parse_filter(const struct json_val *v, struct arena *a, struct lq **out)
{
    struct lq_opts o = { .or_default = false };
    if (v->type == JSON_STR) return lq_parse(v->str, &o, a, out);
    return lq_from_dsl(v, a, out);
}

static err_t parse_filters(struct agg_req *r, const struct json_val *b, struct arena *a)
{
    const struct json_val *v = json_get(b, "filters"), *c;
    if (!v || v->type != JSON_OBJ) return bad(r, "needs an object of filters");
    struct str *names = ARENA_ARRAY(a, struct str, v->n + 1);
    r->filters = ARENA_ARRAY(a, struct lq *, v->n + 1);
    r->filter_names = names;
    JSON_EACH(c, v) {
        names[r->nfilters] = c->key;
        TRY(parse_filter(c, a, &r->filters[r->nfilters++]));
    }
    return OK;
}

static err_t parse_source(struct agg_req *r, const struct json_val *v, const struct json_val *after,
                          struct agg_source_req *s)
{
    if (v->type != JSON_OBJ || v->n != 1 || v[1].type != JSON_OBJ || v[1].n != 1) return bad(r, "a source is {name: {kind: {...}}}");
    const struct json_val *b = v + 2;
    struct str order = STR("asc");
    s->name = v[1].key;
    if (str_is(b->key, "terms")) s->type = AT_TERMS;
    else if (str_is(b->key, "histogram")) s->type = AT_HISTOGRAM;
    else if (str_is(b->key, "date_histogram")) s->type = AT_DATE_HISTOGRAM;
    else return bad(r, "sources are terms, histogram or date_histogram");
    TRY(get_str(r, b, "field", &s->field));
    if (!s->field.n) return bad(r, "a source needs a field");
    TRY(get_str(r, b, "order", &order));
    s->desc = str_ieq(order, STR("desc"));
    get_bool(b, "missing_bucket", &s->missing_bucket);
    if (s->type == AT_HISTOGRAM) TRY(get_num(r, b, "interval", &s->interval, NULL));
    if (s->type == AT_HISTOGRAM && !(s->interval > 0)) return bad(r, "a histogram source needs an interval");
    if (s->type == AT_DATE_HISTOGRAM) TRY(interval_of(r, b, &s->interval_ns, &s->offset_ns));
    if (!after) return OK;
    char name[256];
    size_t n = MIN(s->name.n, sizeof name - 1);
    memcpy(name, s->name.p, n);
    name[n] = 0;
    const struct json_val *k = json_get(after, name);
    if (!k) return bad(r, "after lacks a source");
    double d;
    if (json_is_num(k)) {
        s->after = k->type == JSON_I64 ? (struct val){ .type = COL_I64, .i64 = k->i64 } : (struct val){ .type = COL_F64, .f64 = json_num(k) };
        if (s->type == AT_DATE_HISTOGRAM) s->after = (struct val){ .type = COL_I64, .i64 = (int64_t)(json_num(k) * 1e6) };
    } else if (k->type == JSON_STR) {
        struct str t = k->str;
        bool typed = t.n > 4 && t.p[3] == ':';
        if (typed && !str_starts(t, STR("str:")) && str_to_f64(str_sub(t, 4, t.n), &d)) s->after = (struct val){ .type = COL_F64, .f64 = d };
        else s->after = (struct val){ .type = COL_STR, .s = typed && str_starts(t, STR("str:")) ? str_sub(t, 4, t.n) : t };
    }
    return OK;
}

static err_t parse_composite(struct agg_req *r, const struct json_val *b, struct arena *a)
{
    const struct json_val *v = json_get(b, "sources"), *after = json_get(b, "after"), *c;
    TRY(parse_size(r, b));
    if (!v || v->type != JSON_ARR || v->n == 0 || v->n > AGG_SOURCES_MAX) return bad(r, "needs one to eight sources");
    struct agg_source_req *list = ARENA_ARRAY(a, struct agg_source_req, v->n);
    JSON_EACH(c, v) TRY(parse_source(r, c, after, &list[r->nsources++]));
    r->sources = list;
    r->has_after = after != NULL;
    return OK;
}

static const struct { const char *name; enum agg_type type; } kinds[] = {
    { "avg", AT_AVG }, { "sum", AT_SUM }, { "min", AT_MIN }, { "max", AT_MAX }, { "value_count", AT_VALUE_COUNT },
    { "stats", AT_STATS }, { "extended_stats", AT_EXTENDED_STATS }, { "cardinality", AT_CARDINALITY },
    { "percentiles", AT_PERCENTILES }, { "terms", AT_TERMS }, { "histogram", AT_HISTOGRAM },
    { "date_histogram", AT_DATE_HISTOGRAM }, { "range", AT_RANGE }, { "filter", AT_FILTER }, { "filters", AT_FILTERS },
    { "composite", AT_COMPOSITE },
};

static err_t parse_kind(struct agg_req *r, const struct json_val *b, struct arena *a)
{
    if (r->type != AT_FILTER && b->type != JSON_OBJ) return bad(r, "must be an object");
    if (r->type != AT_FILTER && r->type != AT_FILTERS && r->type != AT_COMPOSITE) {
        TRY(get_str(r, b, "field", &r->field));
        if (r->field.n == 0) return bad(r, "needs a field");
    }
    switch (r->type) {
    case AT_TERMS: return parse_terms(r, b);
    case AT_HISTOGRAM:
    case AT_DATE_HISTOGRAM: return parse_histogram(r, b);
    case AT_RANGE: return parse_ranges(r, b, a);
    case AT_PERCENTILES: return parse_percents(r, b, a);
    case AT_FILTERS: return parse_filters(r, b, a);
    case AT_COMPOSITE: return parse_composite(r, b, a);
    case AT_FILTER:
        r->filters = ARENA_ARRAY(a, struct lq *, 1);
        r->nfilters = 1;
        return parse_filter(b, a, &r->filters[0]);
    default: return parse_missing(r, b);
    }
}

static err_t parse_one(const struct json_val *v, struct arena *a, unsigned depth, struct agg_req *r)
{
    const struct json_val *c, *body = NULL;
    r->name = v->key;
    if (v->type != JSON_OBJ) return bad(r, "must be an object");
    JSON_EACH(c, v) {
        if (str_is(c->key, "aggs") || str_is(c->key, "aggregations")) {
            TRY(parse_list(c, a, depth + 1, &r->subs, &r->nsubs));
            continue;
        }
        if (str_is(c->key, "meta")) continue;
        size_t k = 0;
        while (k < ARRAY_LEN(kinds) && !str_is(c->key, kinds[k].name))
            k++;
        if (k == ARRAY_LEN(kinds))
            return err_set(ERR_INVALID, "aggregation `" STR_FMT "`: unknown kind `" STR_FMT "`", STR_ARG(r->name), STR_ARG(c->key));
        if (body) return bad(r, "has two kinds");
        body = c;
        r->type = kinds[k].type;
    }
    if (!body) return bad(r, "has no kind");
    if (r->type < AT_TERMS && r->nsubs) return bad(r, "a metric has no aggregations below");
    return parse_kind(r, body, a);
}

static err_t parse_list(const struct json_val *v, struct arena *a, unsigned depth, struct agg_req **out, uint32_t *n)
{
    const struct json_val *c;
    if (depth > AGG_DEPTH_MAX) return err_set(ERR_INVALID, "aggregations nest deeper than %d", AGG_DEPTH_MAX);
    if (v->type != JSON_OBJ) return err_set(ERR_INVALID, "aggregations must be an object");
    *out = ARENA_ARRAY(a, struct agg_req, v->n + 1);
    *n = 0;
    JSON_EACH(c, v) TRY(parse_one(c, a, depth, &(*out)[(*n)++]));
    return OK;
}

err_t aggs_parse(const struct json_val *v, struct arena *a, struct agg_req **out, uint32_t *n)
{
    return parse_list(v, a, 1, out, n);
}

/* -- specs ---------------------------------------------------------------------------------------------------- */

static err_t field_spec(const struct log_index *ix, struct str name, struct arena *a, struct agg_field *out,
                        struct log_field *f)
{
    *out = (struct agg_field){ 0 };
    if (!log_field_resolve(ix, name, a, f)) return OK; /* no such field: no values */
    struct attr_ref *refs = ARENA_ARRAY(a, struct attr_ref, LF_REFS_MAX);
    for (uint32_t i = 0; i < f->nrefs; i++)
        if (!f->refs[i].below) refs[out->nrefs++] = f->refs[i];
    out->refs = refs;
    out->lower = f->fast_lower;
    return OK;
}

static enum agg_kind spec_kind(const struct agg_req *r, bool date)
{
    switch (r->type) {
    case AT_VALUE_COUNT: return AGG_COUNT;
    case AT_CARDINALITY: return AGG_DISTINCT;
    case AT_PERCENTILES: return AGG_QUANTILES;
    case AT_TERMS: return AGG_TERMS;
    case AT_HISTOGRAM: return date ? AGG_HISTOGRAM_I64 : AGG_HISTOGRAM;
    case AT_DATE_HISTOGRAM: return AGG_HISTOGRAM_I64;
    case AT_RANGE: return AGG_RANGES;
    case AT_FILTER:
    case AT_FILTERS: return AGG_FILTERS;
    case AT_COMPOSITE: return AGG_COMPOSITE;
    default: return AGG_MOMENTS;
    }
}

static err_t source_specs(const struct agg_req *r, const struct log_index *ix, struct arena *a, struct agg_spec *s)
{
    struct agg_source *list = ARENA_ARRAY(a, struct agg_source, r->nsources + 1);
    for (uint32_t i = 0; i < r->nsources; i++) {
        const struct agg_source_req *q = &r->sources[i];
        struct log_field *f = ARENA_NEW(a, struct log_field);
        TRY(field_spec(ix, q->field, a, &list[i].field, f));
        list[i].kind = q->type == AT_TERMS ? AGG_TERMS : q->type == AT_HISTOGRAM ? AGG_HISTOGRAM : AGG_HISTOGRAM_I64;
        list[i].interval = q->interval;
        list[i].interval_i64 = q->interval_ns;
        list[i].offset_i64 = q->offset_ns;
        list[i].missing = q->missing_bucket;
    }
    s->sources = list;
    s->nsources = r->nsources;
    return OK;
}

static err_t filter_specs(const struct agg_req *r, const struct log_index *ix, struct expr_builder *b, struct agg_spec *s)
{
    const struct expr **list = ARENA_ARRAY(b->mem, const struct expr *, r->nfilters + 1);
    for (uint32_t i = 0; i < r->nfilters; i++) {
        struct expr *e;
        TRY(log_compile(ix, r->filters[i], b, &e));
        TRY(expr_finish(b, e));
        list[i] = e;
    }
    s->filters = list;
    s->nfilters = r->nfilters;
    s->builder = b;
    return OK;
}

static err_t one_spec(struct agg_req *r, const struct log_index *ix, struct expr_builder *b, struct agg_spec *s)
{
    struct arena *a = b->mem;
    struct log_field *f = ARENA_NEW(a, struct log_field);
    if (r->field.n) TRY(field_spec(ix, r->field, a, &s->field, f));
    bool date = f->nrefs && f->kind == LF_DATE;
    r->is_date |= date || r->type == AT_DATE_HISTOGRAM;
    s->kind = spec_kind(r, date);
    s->user = r;
    s->missing = r->missing;
    if (!s->missing.type && f->missing.p) s->missing = (struct val){ .type = COL_STR, .s = f->missing };
    s->div = date ? 1e6 : f->unit ? (double)f->unit : 0;
    s->interval = r->interval * (f->unit ? (double)f->unit : 1);
    s->offset = r->offset * (f->unit ? (double)f->unit : 1);
    s->interval_i64 = r->type == AT_HISTOGRAM ? MAX((int64_t)1, (int64_t)(r->interval * 1e6)) : r->interval_ns;
    s->offset_i64 = r->type == AT_HISTOGRAM ? (int64_t)(r->offset * 1e6) : r->offset_ns;
    s->ranges = arena_calloc(a, r->nranges + 1, sizeof *s->ranges);
    for (uint32_t i = 0; i < r->nranges; i++) {
        s->ranges[i].from = r->ranges[i].from;
        s->ranges[i].to = r->ranges[i].to;
    }
    s->nranges = r->nranges;
    if (r->nsources) TRY(source_specs(r, ix, a, s));
    if (r->nfilters) TRY(filter_specs(r, ix, b, s));
    struct agg_spec *subs;
    TRY(aggs_specs(r->subs, r->nsubs, ix, b, &subs));
    s->subs = subs;
    s->nsubs = r->nsubs;
    return OK;
}

err_t aggs_specs(struct agg_req *reqs, uint32_t n, const struct log_index *ix, struct expr_builder *b,
                 struct agg_spec **out)
{
    *out = ARENA_ARRAY(b->mem, struct agg_spec, n + 1);
    for (uint32_t i = 0; i < n; i++)
        TRY(one_spec(&reqs[i], ix, b, &(*out)[i]));
    return arena_check(b->mem);
}
