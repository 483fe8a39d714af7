#include "server/ingest/otlp_points.h"

#include "base/rt/rt.h"
#include "server/ingest/exp_hist.h"
#include "server/ingest/float_text.h"
#include "server/ingest/otlp_labels.h"
#include "server/ingest/prom_name.h"
#include "server/ingest/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    TARGET_STEP_MS = 150000,   /* half of the lookback of a query */
    TARGET_SAMPLES_MAX = 1000, /* a batch that spans more gets wider steps */
    EXEMPLAR_CHARS_MAX = 128,  /* OpenMetrics: all labels of an exemplar together */
    CHECK_EVERY = 128,         /* points between two looks at the fiber's quota */
    TRACE_LABEL_CHARS = 63,    /* trace_id and span_id with their hex digits */
    FLAT_FEW = 1024,           /* attributes of so many bytes are hashed from the stack */
};

void otlp_points_init(struct otlp_points *p, const struct otlp_mapping *map, struct arena *a, struct budget *budget, struct rw_generation *known,
                      struct str request, unix_ns now)
{
    *p = (struct otlp_points){ .map = map, .arena = a, .request = request, .known = known, .now_ms = now.ns / NS_PER_MS };
    metric_builder_init(&p->builder, a, budget);
}

void otlp_points_deinit(struct otlp_points *p)
{
    metric_builder_deinit(&p->builder);
}

PRINTF(2, 3) static err_t reject(struct otlp_points *p, const char *fmt, ...)
{
    if (p->rejected++ == 0) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(p->why, sizeof p->why, fmt, ap);
        va_end(ap);
    }
    return OK;
}

static err_t reject_metric(struct otlp_points *p, const char *why)
{
    struct str name = p->metric.name;
    return reject(p, "metric \"%.*s\": %s", (int)MIN(name.n, 100), name.p ? name.p : "", why);
}

/* -- keys of the cache ------------------------------------------------------------------------------- */

static struct rw_key key_with(struct rw_key k, struct str s)
{
    return rw_key_mix(k, rw_key_of(s));
}

/* Attributes as bytes, each field behind its length: no two lists of attributes have the same. */
struct flat {
    uint8_t *p, *end;
};

static void flat_put(struct flat *f, const void *bytes, uint32_t n)
{
    if ((size_t)(f->end - f->p) < sizeof n + n) return; /* never: flat_bytes */
    memcpy(f->p, &n, sizeof n);
    if (n) memcpy(f->p + sizeof n, bytes, n);
    f->p += sizeof n + n;
}

static bool has_text(enum otlp_type type)
{
    return type != OTLP_NONE && type != OTLP_BOOL && type != OTLP_INT && type != OTLP_F64;
}

static size_t flat_bytes(const struct otlp_attrs *attrs)
{
    size_t n = 0;
    for (uint32_t i = 0; i < attrs->n; i++) {
        const struct otlp_value *v = &attrs->kv[i].value;
        n += 3 * sizeof(uint32_t) + 1 + attrs->kv[i].key.n + (has_text(v->type) ? v->s.n : sizeof v->i);
    }
    return n;
}

static void flat_value(struct flat *f, const struct otlp_value *v)
{
    uint8_t type = (uint8_t)v->type;
    flat_put(f, &type, 1);
    if (has_text(v->type)) {
        flat_put(f, v->s.p, (uint32_t)v->s.n);
        return;
    }
    int64_t bits = v->type == OTLP_NONE ? 0 : v->type == OTLP_BOOL ? v->b : v->i;
    flat_put(f, &bits, sizeof bits);
}

static struct rw_key key_of_point(const struct otlp_points *p, const struct otlp_attrs *attrs)
{
    uint8_t few[FLAT_FEW];
    struct arena_mark mark = arena_mark(p->arena);
    size_t n = flat_bytes(attrs);
    struct flat f = { .p = n <= sizeof few ? few : arena_alloc_aligned(p->arena, n, 1) };
    uint8_t *from = f.p;
    f.end = f.p + n;
    for (uint32_t i = 0; i < attrs->n; i++) {
        flat_put(&f, attrs->kv[i].key.p, (uint32_t)attrs->kv[i].key.n);
        flat_value(&f, &attrs->kv[i].value);
    }
    struct rw_key key = key_with(p->metric_key, str_n(from, (size_t)(f.p - from)));
    arena_rollback(p->arena, mark);
    return key;
}

static double stale(void)
{
    uint64_t bits = STALE_NAN_BITS;
    double d;
    memcpy(&d, &bits, 8);
    return d;
}

/* Those of `from` behind those of `to`, which has the room; of one name that of `to` stays. */
static uint32_t add_absent(struct label *to, uint32_t n, const struct label *from, uint32_t nfrom)
{
    uint32_t before = n;
    for (uint32_t k = 0; k < nfrom; k++) {
        uint32_t i = 0;
        while (i < before && !str_eq(to[i].name, from[k].name))
            i++;
        if (i == before) to[n++] = from[k];
    }
    return n;
}

/* A point's own attributes come before its scope's and these before its resource's; job and instance before all. */
static err_t make_labels(struct otlp_points *p)
{
    struct label *own, *all;
    uint32_t n, count;
    TRY(otlp_labels(&p->point->attrs, NULL, p->map, (const uint8_t *)p->request.p, p->arena, &own, &n));
    all = own;
    count = n;
    if (p->npromoted || p->nscope) {
        all = ARENA_RAW(p->arena, struct label, n + p->npromoted + p->nscope + OTLP_LABELS_ROOM);
        if (n) memcpy(all, own, n * sizeof *all);
        count = add_absent(all, add_absent(all, n, p->scope, p->nscope), p->promoted, p->npromoted);
    }
    for (uint32_t k = 0; k < p->nidentity; k++) {
        uint32_t i = 0;
        while (i < count && !str_eq(all[i].name, p->identity[k].name))
            i++;
        if (i == count) count++;
        all[i] = p->identity[k];
    }
    p->labels = all;
    p->nlabels = count;
    return OK;
}

struct more { /* one more label, whose value is a number; name NULL: none */
    const char *name;
    double value;
};

/* name + suffix with the point's labels and one more. */
static err_t labels_of(struct otlp_points *p, const char *suffix, struct more more, struct labels *ls)
{
    struct arena *a = p->arena;
    if (!p->labels) TRY(make_labels(p));
    *ls = (struct labels){ .n = p->nlabels, .l = ARENA_RAW(a, struct label, p->nlabels + 2) };
    if (p->nlabels) memcpy(ls->l, p->labels, p->nlabels * sizeof *ls->l);
    ls->l[ls->n++] = (struct label){ STR("__name__"),
                                     *suffix ? arena_printf(a, STR_FMT "%s", STR_ARG(p->name), suffix) : p->name };
    if (!more.name) return OK;
    /* The point's own attribute of that name gives way. */
    for (uint32_t i = 0; i < p->nlabels; i++)
        if (str_is(ls->l[i].name, more.name)) ls->l[i].value = STR("");
    ls->l[ls->n++] = (struct label){ str_of(more.name), float_text(more.value, a) };
    return OK;
}

/* Of a series that the cache does not have, or without one. */
static err_t new_series(struct otlp_points *p, const char *suffix, struct more more, struct rw_key key, uint32_t *out)
{
    struct labels ls;
    TRY(labels_of(p, suffix, more, &ls));
    uint32_t at;
    struct str canonical = STR("");
    err_t e = p->known ? rw_add(p->known, key, &ls, p->arena, &at) : labels_normalise(&ls);
    if (e == ERR_INVALID) return ERR_LIMIT; /* the point's fault, not the request's */
    TRY(e);
    if (p->known) {
        *out = metric_builder_series(&p->builder, p->known->series[at].id, p->known->series[at].canonical);
    } else {
        canonical = labels_encode(&ls, p->arena);
        *out = metric_builder_series(&p->builder, series_id(canonical), canonical);
    }
    return arena_check(p->arena);
}

static struct rw_key key_of_part(const struct otlp_points *p, const char *suffix, struct more more)
{
    struct {
        char suffix[16], name[16]; /* of ours alone, and shorter */
        double value;
    } part = { .value = more.name ? more.value : 0 };
    strncpy(part.suffix, suffix, sizeof part.suffix - 1);
    if (more.name) strncpy(part.name, more.name, sizeof part.name - 1);
    return key_with(p->point_key, str_n(&part, sizeof part));
}

static err_t series(struct otlp_points *p, const char *suffix, struct more more, uint32_t *out)
{
    struct rw_key key = { 0 };
    if (p->known) {
        key = *suffix || more.name ? key_of_part(p, suffix, more) : p->point_key;
        uint32_t at = rw_find(p->known, key);
        if (at != UINT32_MAX) {
            const struct rw_series *s = &p->known->series[at];
            *out = metric_builder_series(&p->builder, s->id, s->canonical);
            return arena_check(p->arena);
        }
    }
    struct arena_mark mark = arena_mark(p->arena);
    uint32_t before = p->builder.batch.nseries;
    bool made = p->labels;
    err_t e = new_series(p, suffix, more, key, out);
    if (e == OK && *out < before && made) arena_rollback(p->arena, mark);
    return e;
}

#define NO_MORE ((struct more){ NULL, 0 })

static int64_t time_of(const struct otlp_points *p, const struct otlp_point *pt)
{
    return pt->time_ns ? (int64_t)(pt->time_ns / NS_PER_MS) : p->now_ms;
}

static bool has_temporality(const struct otlp_metric *m)
{
    return m->kind == OTLP_SUM || m->kind == OTLP_HISTOGRAM || m->kind == OTLP_EXP_HISTOGRAM;
}

static int64_t start_of(const struct otlp_points *p, const struct otlp_point *pt)
{
    const struct otlp_metric *m = &p->metric;
    int64_t st = (int64_t)(pt->start_ns / NS_PER_MS), t = time_of(p, pt);
    if (m->kind == OTLP_GAUGE || (m->kind == OTLP_SUM && !m->monotonic)) return ST_NONE;
    if (has_temporality(m) && m->temporality == OTLP_DELTA) return st > 0 && st < t ? st : t - 1;
    return st > 0 && st <= t ? st : ST_NONE;
}

static err_t put(struct otlp_points *p, const struct otlp_point *pt, const char *suffix, struct more more,
                 double value, uint32_t *out)
{
    TRY(series(p, suffix, more, out));
    metric_builder_sample(&p->builder, *out, time_of(p, pt), pt->flags & OTLP_FLAG_NO_VALUE ? stale() : value,
                          start_of(p, pt));
    return OK;
}

/* -- exemplars --------------------------------------------------------------------------------------- */

static err_t put_exemplar(struct otlp_points *p, const struct otlp_exemplar *e, uint32_t series_idx)
{
    bool trace = e->trace_id.n == 16, span = e->span_id.n == 8;
    struct str *text = ARENA_RAW(p->arena, struct str, e->attrs.n + 1);
    size_t chars = trace ? TRACE_LABEL_CHARS : 0;
    for (uint32_t i = 0; i < e->attrs.n; i++) {
        TRY(otlp_value_text(&e->attrs.kv[i].value, (const uint8_t *)p->request.p, p->arena, &text[i]));
        chars += e->attrs.kv[i].key.n + text[i].n;
    }
    if (e->time_ns > INT64_MAX) return OK;
    int64_t time = e->time_ns ? (int64_t)e->time_ns : p->now_ms * NS_PER_MS;
    if (!metric_builder_exemplar(&p->builder, series_idx, time, e->value,
                                 trace ? (const uint8_t *)e->trace_id.p : NULL,
                                 span ? (const uint8_t *)e->span_id.p : NULL))
        return OK;
    for (uint32_t i = 0; chars <= EXEMPLAR_CHARS_MAX && i < e->attrs.n; i++)
        if (e->attrs.kv[i].key.n > 0)
            table_set_str(p->builder.exemplars, SC_ATTR, text_mend(e->attrs.kv[i].key, p->arena), COL_STR, text[i]);
    return OK;
}

static err_t put_exemplars(struct otlp_points *p, const struct otlp_point *pt, uint32_t series_idx)
{
    for (uint32_t i = 0; i < pt->nexemplars; i++)
        TRY(put_exemplar(p, &pt->exemplars[i], series_idx));
    return OK;
}

/* -- the kinds --------------------------------------------------------------------------------------- */

static err_t put_number(struct otlp_points *p, const struct otlp_point *pt)
{
    uint32_t s;
    if (pt->value_type == OTLP_NONE && !(pt->flags & OTLP_FLAG_NO_VALUE))
        return err_set(ERR_LIMIT, "a point without a value");
    TRY(put(p, pt, "", NO_MORE, pt->value_type == OTLP_INT ? (double)pt->i : pt->f, &s));
    return put_exemplars(p, pt, s);
}

static err_t check_bounds(const struct otlp_point *pt)
{
    if (pt->nbuckets > NHIST_BUCKETS_MAX)
        return err_set(ERR_LIMIT, "%u buckets, at most %d", pt->nbuckets, NHIST_BUCKETS_MAX);
    if (pt->nbuckets != (pt->nbounds || pt->nbuckets ? pt->nbounds + 1 : 0))
        return err_set(ERR_LIMIT, "%u bucket_counts for %u explicit_bounds", pt->nbuckets, pt->nbounds);
    for (uint32_t i = 0; i < pt->nbounds; i++)
        if (isnan(pt->bounds[i]) || (i > 0 && !(pt->bounds[i - 1] < pt->bounds[i])))
            return err_set(ERR_LIMIT, "explicit_bounds are not ascending");
    return OK;
}

/* As a native histogram with custom bounds; a last bound of +Inf goes without saying. */
static err_t put_custom(struct otlp_points *p, const struct otlp_point *pt)
{
    struct nhist *h = ARENA_NEW(p->arena, struct nhist);
    struct nhist_span *span = ARENA_NEW(p->arena, struct nhist_span);
    double *counts = ARENA_RAW(p->arena, double, pt->nbuckets + 1);
    uint32_t nbounds = pt->nbounds, s;
    if (nbounds && isinf(pt->bounds[nbounds - 1])) nbounds--;
    *h = (struct nhist){ .schema = NHIST_CUSTOM, .count = (double)pt->count, .sum = pt->has_sum ? pt->sum : 0, .npos = MIN(pt->nbuckets, nbounds + 1),
                         .pos = counts, .ncustom = nbounds,
                         .custom = arena_dup(p->arena, pt->bounds, sizeof *pt->bounds * nbounds) };
    for (uint32_t i = 0; i < pt->nbuckets; i++) {
        if (i < h->npos) counts[i] = 0;
        counts[MIN(i, nbounds)] += (double)pt->buckets[i];
    }
    if (h->npos) {
        span->length = h->npos;
        h->pos_spans = span;
        h->npos_spans = 1;
    }
    if (pt->flags & OTLP_FLAG_NO_VALUE) *h = (struct nhist){ .sum = stale() };
    else if (nhist_check(h) != OK) return ERR_LIMIT;
    TRY(series(p, "", NO_MORE, &s));
    metric_builder_hist(&p->builder, s, time_of(p, pt), h, start_of(p, pt));
    return put_exemplars(p, pt, s);
}

static err_t put_histogram(struct otlp_points *p, const struct otlp_point *pt)
{
    uint64_t cumulative = 0;
    uint32_t s, next = 0, *bucket;
    TRY(check_bounds(pt));
    if (p->map->nhcb) return put_custom(p, pt);
    bucket = ARENA_RAW(p->arena, uint32_t, pt->nbounds + 1);
    for (uint32_t i = 0; i < pt->nbounds; i++) {
        cumulative += pt->buckets[i];
        if (isinf(pt->bounds[i]) && pt->bounds[i] > 0) break; /* the last bucket by another name */
        TRY(put(p, pt, "_bucket", (struct more){ "le", pt->bounds[i] }, (double)cumulative, &bucket[next++]));
    }
    TRY(put(p, pt, "_bucket", (struct more){ "le", INFINITY }, (double)pt->count, &bucket[next]));
    TRY(put(p, pt, "_count", NO_MORE, (double)pt->count, &s));
    if (pt->has_sum) TRY(put(p, pt, "_sum", NO_MORE, pt->sum, &s));
    for (uint32_t i = 0; i < pt->nexemplars; i++) {
        uint32_t at = 0;
        while (at < next && pt->exemplars[i].value > pt->bounds[at])
            at++;
        TRY(put_exemplar(p, &pt->exemplars[i], bucket[at]));
    }
    return OK;
}

static err_t put_exp_histogram(struct otlp_points *p, const struct otlp_point *pt)
{
    uint32_t s;
    const struct nhist *h;
    if (pt->flags & OTLP_FLAG_NO_VALUE) {
        struct nhist *none = ARENA_NEW(p->arena, struct nhist);
        none->sum = stale();
        h = none;
    } else {
        err_t e = exp_hist(pt, p->arena, &h);
        if (e == ERR_INVALID) return ERR_LIMIT;
        TRY(e);
    }
    TRY(series(p, "", NO_MORE, &s));
    metric_builder_hist(&p->builder, s, time_of(p, pt), h, start_of(p, pt));
    return put_exemplars(p, pt, s);
}

static err_t put_summary(struct otlp_points *p, const struct otlp_point *pt)
{
    uint32_t s;
    if (pt->nquantiles > NHIST_BUCKETS_MAX) return err_set(ERR_LIMIT, "%u quantiles", pt->nquantiles);
    TRY(put(p, pt, "_sum", NO_MORE, pt->sum, &s));
    TRY(put(p, pt, "_count", NO_MORE, (double)pt->count, &s));
    for (uint32_t i = 0; i < pt->nquantiles; i++) {
        TRY(put(p, pt, "", (struct more){ "quantile", pt->quantiles[i].quantile }, pt->quantiles[i].value, &s));
    }
    return OK;
}

/* -- resources ------------------------------------------------------------------------------------------ */

static bool identifying(struct str key)
{
    return str_is(key, "service.name") || str_is(key, "service.namespace") || str_is(key, "service.instance.id");
}

static err_t text_of(struct otlp_points *p, const struct otlp_attrs *attrs, const char *key, struct str *out)
{
    *out = STR("");
    for (uint32_t i = 0; i < attrs->n; i++)
        if (str_is(attrs->kv[i].key, key))
            TRY(otlp_value_text(&attrs->kv[i].value, (const uint8_t *)p->request.p, p->arena, out));
    return OK;
}

static void flush_target(struct otlp_points *p)
{
    if (p->target.n == 0 || p->first_ms > p->last_ms) return;
    uint32_t s = metric_builder_series(&p->builder, series_id(p->target), p->target);
    int64_t step = MAX(TARGET_STEP_MS, (p->last_ms - p->first_ms) / TARGET_SAMPLES_MAX + 1);
    for (int64_t t = p->first_ms; t < p->last_ms; t += step)
        metric_builder_sample(&p->builder, s, t, 1, ST_NONE);
    metric_builder_sample(&p->builder, s, p->last_ms, 1, ST_NONE);
    metric_builder_meta(&p->builder, &(struct metric_meta){ .family = STR("target_info"), .type = STR("gauge"),
                                                            .help = STR("Target metadata") });
}

static err_t target_labels(struct otlp_points *p, const struct otlp_attrs *attrs)
{
    struct labels ls = { 0 };
    err_t e = otlp_labels(attrs, p->map->keep_identifying ? NULL : identifying, p->map, (const uint8_t *)p->request.p, p->arena, &ls.l, &ls.n);
    if (e == ERR_LIMIT) return OK; /* no target_info for a resource with more attributes than labels */
    TRY(e);
    if (ls.n == 0 || p->nidentity == 0) return OK;
    for (uint32_t k = 0; k < p->nidentity; k++) {
        for (uint32_t i = 0; i < ls.n; i++)
            if (str_eq(ls.l[i].name, p->identity[k].name)) ls.l[i].value = STR("");
        ls.l[ls.n++] = p->identity[k];
    }
    ls.l[ls.n++] = (struct label){ STR("__name__"), STR("target_info") };
    if (labels_normalise(&ls) == OK) p->target = labels_encode(&ls, p->arena);
    return OK;
}

/* Resource attributes that are to be labels of all its series. */
static err_t promote(struct otlp_points *p, const struct otlp_attrs *attrs)
{
    struct otlp_kv *kv;
    struct otlp_attrs some = { 0 };
    p->npromoted = 0;
    if (!p->map->promote_all && !p->map->npromote) return OK;
    some.kv = kv = ARENA_RAW(p->arena, struct otlp_kv, attrs->n + 1);
    for (uint32_t i = 0; i < attrs->n; i++)
        if (otlp_promoted(p->map, attrs->kv[i].key)) kv[some.n++] = attrs->kv[i];
    err_t e = otlp_labels(&some, NULL, p->map, (const uint8_t *)p->request.p, p->arena, &p->promoted, &p->npromoted);
    if (e == ERR_LIMIT) return p->npromoted = 0, OK;
    TRY(e);
    for (uint32_t i = 0; i < p->npromoted; i++)
        p->promoted[i] = (struct label){ arena_str(p->arena, p->promoted[i].name), arena_str(p->arena, p->promoted[i].value) };
    return arena_check(p->arena);
}

static struct rw_key key_of_labels(const struct otlp_points *p, struct rw_key key, const struct label *l, uint32_t n)
{
    for (uint32_t i = 0; p->known && i < n; i++)
        key = key_with(key_with(key, l[i].name), l[i].value);
    return key;
}

static err_t on_resource(void *ctx, const struct otlp_resource *r)
{
    struct otlp_points *p = ctx;
    struct str space, name, instance;
    flush_target(p);
    TRY(text_of(p, &r->attrs, "service.namespace", &space));
    TRY(text_of(p, &r->attrs, "service.name", &name));
    TRY(text_of(p, &r->attrs, "service.instance.id", &instance));
    p->nidentity = 0;
    p->target = STR("");
    p->first_ms = INT64_MAX;
    p->last_ms = INT64_MIN;
    if (name.n > 0) {
        struct str job = space.n > 0 ? arena_printf(p->arena, STR_FMT "/" STR_FMT, STR_ARG(space), STR_ARG(name)) : name;
        p->identity[p->nidentity++] = (struct label){ STR("job"), job };
    }
    if (instance.n > 0) p->identity[p->nidentity++] = (struct label){ STR("instance"), instance };
    TRY(promote(p, &r->attrs));
    p->resource_key = key_of_labels(p, key_of_labels(p, (struct rw_key){ 0 }, p->identity, p->nidentity), p->promoted, p->npromoted);
    p->scope_key = p->resource_key;
    p->nscope = 0;
    return target_labels(p, &r->attrs);
}

/* Prometheus' names: otel_scope_name, otel_scope_version, otel_scope_schema_url, otel_scope_<attribute>. */
static err_t on_scope(void *ctx, const struct otlp_scope *s)
{
    struct otlp_points *p = ctx;
    const struct label own[] = { { STR("otel_scope_name"), s->name }, { STR("otel_scope_version"), s->version },
                                 { STR("otel_scope_schema_url"), s->schema_url } };
    struct label *attrs;
    uint32_t n;
    if (!p->map->promote_scope) return OK;
    err_t e = otlp_labels(&s->attrs, NULL, p->map, (const uint8_t *)p->request.p, p->arena, &attrs, &n);
    if (e == ERR_LIMIT) n = 0;
    else TRY(e);
    p->scope = ARENA_RAW(p->arena, struct label, n + ARRAY_LEN(own));
    p->nscope = 0;
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (own[i].value.n) p->scope[p->nscope++] = (struct label){ own[i].name, arena_str(p->arena, text_mend(own[i].value, p->arena)) };
    for (uint32_t i = 0; i < n; i++)
        p->scope[p->nscope++] = (struct label){ arena_printf(p->arena, "otel_scope_" STR_FMT, STR_ARG(attrs[i].name)),
                                                arena_str(p->arena, attrs[i].value) };
    p->scope_key = key_of_labels(p, p->resource_key, p->scope, p->nscope);
    return arena_check(p->arena);
}

/* -- metrics and points ----------------------------------------------------------------------------------- */

static struct str type_of(const struct otlp_metric *m)
{
    switch (m->kind) {
    case OTLP_SUM: return m->monotonic ? STR("counter") : m->temporality == OTLP_DELTA ? STR("unknown") : STR("gauge");
    case OTLP_HISTOGRAM:
    case OTLP_EXP_HISTOGRAM: return STR("histogram");
    case OTLP_SUMMARY: return STR("summary");
    case OTLP_GAUGE: break;
    }
    return STR("gauge");
}

static err_t on_metric(void *ctx, const struct otlp_metric *m)
{
    struct otlp_points *p = ctx;
    bool timed = m->temporality == OTLP_CUMULATIVE || m->temporality == OTLP_DELTA;
    p->metric = *m;
    p->name = prom_metric_name(m, p->map, p->arena);
    p->fault = p->name.n == 0                   ? "its name has no letter or digit"
               : has_temporality(m) && !timed ? "its aggregation temporality is not set"
                                              : NULL;
    if (p->fault) return OK;
    if (p->known) p->metric_key = key_with(p->scope_key, p->name);
    metric_builder_meta(&p->builder, &(struct metric_meta){ .family = p->name, .type = type_of(m),
                                                            .unit = prom_unit(m->unit, p->arena),
                                                            .help = text_mend(m->description, p->arena) });
    return OK;
}

static err_t on_point(void *ctx, const struct otlp_point *pt)
{
    static err_t (*const kinds[])(struct otlp_points *, const struct otlp_point *) = {
        [OTLP_GAUGE] = put_number,         [OTLP_SUM] = put_number,
        [OTLP_HISTOGRAM] = put_histogram,  [OTLP_EXP_HISTOGRAM] = put_exp_histogram,
        [OTLP_SUMMARY] = put_summary,
    };
    struct otlp_points *p = ctx;
    if (p->fault) return reject_metric(p, p->fault);
    p->point = pt;
    p->labels = NULL;
    if (p->known) p->point_key = key_of_point(p, &pt->attrs);
    err_t e = kinds[p->metric.kind](p, pt);
    if (e == ERR_LIMIT) return reject_metric(p, err_detail());
    TRY(e);
    p->accepted++;
    p->first_ms = MIN(p->first_ms, time_of(p, pt));
    p->last_ms = MAX(p->last_ms, time_of(p, pt));
    if (p->accepted % CHECK_EVERY == 0 && rt_in_fiber()) TRY(rt_checkpoint());
    return metric_builder_check(&p->builder);
}

struct otlp_sink otlp_points_sink(struct otlp_points *p)
{
    return (struct otlp_sink){ .ctx = p, .resource = on_resource, .scope = on_scope, .metric = on_metric, .point = on_point };
}

err_t otlp_points_finish(struct otlp_points *p)
{
    flush_target(p);
    return metric_builder_check(&p->builder);
}
