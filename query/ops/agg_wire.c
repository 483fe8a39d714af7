#include "query/ops/agg_wire.h"

#include <math.h>
#include <stdlib.h>

enum { REFS_MAX = 4096, RANGES_MAX = 1 << 20, FILTERS_MAX = EXPR_NODES_MAX, BIN_MAX = 1 << 16 /* of a sketch: log_g 1e300 is 34,539 */ };

/* -- specs ----------------------------------------------------------------------------------------------------- */
static void put_field(struct wire_out *w, const struct agg_field *f)
{
    buf_varint(w->out, f->nrefs);
    for (uint32_t i = 0; i < f->nrefs; i++)
        wire_put_ref(w, &f->refs[i]);
    buf_byte(w->out, f->lower);
}

static void put_sources(struct wire_out *w, const struct agg_spec *s)
{
    buf_varint(w->out, s->nsources);
    for (uint32_t i = 0; i < s->nsources; i++) {
        const struct agg_source *x = &s->sources[i];
        buf_byte(w->out, (uint8_t)x->kind);
        put_field(w, &x->field);
        bytes_out_f64(w->out, x->interval);
        bytes_out_zigzag(w->out, x->interval_i64);
        bytes_out_zigzag(w->out, x->offset_i64);
        buf_byte(w->out, x->missing);
    }
}

void agg_specs_put(struct wire_out *w, const struct agg_spec *specs, uint32_t n)
{
    buf_varint(w->out, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct agg_spec *s = &specs[i];
        buf_byte(w->out, (uint8_t)s->kind);
        put_field(w, &s->field);
        bytes_out_f64(w->out, s->div);
        wire_put_val(w, &s->missing);
        bytes_out_f64(w->out, s->interval);
        bytes_out_f64(w->out, s->offset);
        bytes_out_zigzag(w->out, s->interval_i64);
        bytes_out_zigzag(w->out, s->offset_i64);
        buf_varint(w->out, s->nranges);
        for (uint32_t k = 0; k < s->nranges; k++) {
            bytes_out_f64(w->out, s->ranges[k].from);
            bytes_out_f64(w->out, s->ranges[k].to);
        }
        buf_varint(w->out, s->nfilters);
        for (uint32_t k = 0; k < s->nfilters; k++)
            expr_put(w, s->filters[k]);
        put_sources(w, s);
        agg_specs_put(w, s->subs, s->nsubs); /* AGG_DEPTH_MAX deep: op_agg_init */
    }
}

static void get_field(struct wire_in *w, struct agg_field *f)
{
    struct attr_ref *refs = WIRE_LIST(w, struct attr_ref, 5, REFS_MAX, &f->nrefs);
    for (uint32_t i = 0; i < f->nrefs && !w->in->bad; i++)
        refs[i] = wire_get_ref(w);
    f->refs = refs;
    f->lower = wire_get_flag(w);
}

static bool steps_well(enum agg_kind kind, double interval, int64_t interval_i64)
{
    if (kind == AGG_HISTOGRAM) return interval > 0 && isfinite(interval);
    return kind != AGG_HISTOGRAM_I64 || interval_i64 > 0;
}

static void get_sources(struct wire_in *w, struct agg_spec *s)
{
    struct agg_source *v = WIRE_LIST(w, struct agg_source, 14, AGG_SOURCES_MAX, &s->nsources);
    for (uint32_t i = 0; i < s->nsources && !w->in->bad; i++) {
        v[i].kind = wire_get_enum(w, AGG_HISTOGRAM_I64);
        get_field(w, &v[i].field);
        v[i].interval = bytes_in_f64(w->in);
        v[i].interval_i64 = bytes_in_zigzag(w->in);
        v[i].offset_i64 = bytes_in_zigzag(w->in);
        v[i].missing = wire_get_flag(w);
        w->in->bad |= v[i].kind < AGG_TERMS || !steps_well(v[i].kind, v[i].interval, v[i].interval_i64);
    }
    s->sources = v;
}

static void get_ranges(struct wire_in *w, struct agg_spec *s)
{
    s->ranges = wire_get_list(w, 16, RANGES_MAX, sizeof *s->ranges, &s->nranges);
    for (uint32_t i = 0; i < s->nranges; i++) {
        s->ranges[i].from = bytes_in_f64(w->in);
        s->ranges[i].to = bytes_in_f64(w->in);
    }
}

static err_t get_filters(struct wire_in *w, struct expr_builder *b, struct agg_spec *s)
{
    const struct expr **v = WIRE_LIST(w, const struct expr *, 1, FILTERS_MAX, &s->nfilters);
    for (uint32_t i = 0; i < s->nfilters; i++) {
        struct expr *e;
        TRY(expr_get(w, b, &e));
        v[i] = e;
    }
    s->filters = v;
    s->builder = b;
    return OK;
}

static err_t get_specs(struct wire_in *w, struct expr_builder *b, unsigned depth, struct agg_spec **out, uint32_t *n)
{
    struct agg_spec *v = *out = WIRE_LIST(w, struct agg_spec, 30, AGG_SPECS_MAX, n);
    if (*n && depth > AGG_DEPTH_MAX) return err_set(ERR_CORRUPT, "aggregations from another node nest deeper than %d", AGG_DEPTH_MAX);
    for (uint32_t i = 0; i < *n; i++) {
        struct agg_spec *s = &v[i];
        struct agg_spec *subs;
        s->kind = wire_get_enum(w, AGG_COMPOSITE);
        get_field(w, &s->field);
        s->div = bytes_in_f64(w->in);
        s->missing = wire_get_val(w);
        s->interval = bytes_in_f64(w->in);
        s->offset = bytes_in_f64(w->in);
        s->interval_i64 = bytes_in_zigzag(w->in);
        s->offset_i64 = bytes_in_zigzag(w->in);
        get_ranges(w, s);
        w->in->bad |= !steps_well(s->kind, s->interval, s->interval_i64);
        TRY(wire_check(w, "an aggregation"));
        TRY(get_filters(w, b, s));
        get_sources(w, s);
        w->in->bad |= s->kind == AGG_COMPOSITE && s->nsources == 0;
        TRY(wire_check(w, "an aggregation"));
        TRY(get_specs(w, b, depth + 1, &subs, &s->nsubs));
        w->in->bad |= s->kind < AGG_TERMS && s->nsubs;
        s->subs = subs;
    }
    return wire_check(w, "aggregations");
}

err_t agg_specs_get(struct wire_in *w, struct expr_builder *b, struct agg_spec **out, uint32_t *n)
{
    return get_specs(w, b, 1, out, n);
}

/* -- states of metrics ----------------------------------------------------------------------------------------- */
static void put_moments(struct buf *out, const struct moments *m)
{
    buf_varint(out, m->count);
    if (m->count == 0) return;
    bytes_out_f64(out, m->sum);
    bytes_out_f64(out, m->sum_sq);
    bytes_out_f64(out, m->min);
    bytes_out_f64(out, m->max);
}

static void get_moments(struct wire_in *w, struct moments *m)
{
    m->count = bytes_in_varint(w->in);
    if (m->count == 0) return;
    m->sum = bytes_in_f64(w->in);
    m->sum_sq = bytes_in_f64(w->in);
    m->min = bytes_in_f64(w->in);
    m->max = bytes_in_f64(w->in);
}

static int ascending(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return (a > b) - (a < b);
}

/* In order, so that equal sets are equal bytes. */
static void put_distinct(struct wire_out *w, const struct distinct *d)
{
    struct arena_mark mark = arena_mark(&w->mem);
    uint64_t *all;
    uint32_t n = 0;
    buf_byte(w->out, d->regs != NULL);
    if (d->regs) {
        buf_put(w->out, d->regs, DISTINCT_REGS);
        return;
    }
    all = ARENA_RAW(&w->mem, uint64_t, d->n + 1);
    for (uint32_t i = 0; i < d->cap; i++)
        if (d->set[i]) all[n++] = d->set[i];
    if (n) qsort(all, n, sizeof *all, ascending);
    buf_varint(w->out, n);
    buf_put(w->out, all, n * sizeof *all);
    arena_rollback(&w->mem, mark);
}

static void get_distinct(struct wire_in *w, struct distinct *d)
{
    if (wire_get_flag(w)) {
        d->regs = ARENA_ARRAY(w->a, uint8_t, DISTINCT_REGS);
        bytes_in_copy(w->in, d->regs, DISTINCT_REGS);
        for (uint32_t i = 0; i < DISTINCT_REGS; i++)
            w->in->bad |= d->regs[i] > 64;
        return;
    }
    uint32_t n = bytes_in_count(w->in, 8);
    w->in->bad |= n > DISTINCT_EXACT_MAX;
    for (uint32_t i = 0; i < n && !w->in->bad; i++)
        distinct_add(d, bytes_in_u64(w->in), w->a);
}

static void put_side(struct buf *out, const struct sketch_side *s)
{
    buf_varint(out, s->n);
    for (uint32_t i = 0; i < s->n; i++)
        buf_varint(out, s->bins[i]);
    if (s->n) bytes_out_zigzag(out, s->first);
}

static void get_side(struct wire_in *w, struct sketch_side *s)
{
    uint64_t *bins = WIRE_LIST(w, uint64_t, 1, SKETCH_BINS_MAX, &s->n);
    for (uint32_t i = 0; i < s->n; i++)
        s->count += bins[i] = bytes_in_varint(w->in);
    if (s->n == 0) return;
    int64_t first = bytes_in_zigzag(w->in);
    w->in->bad |= first < -BIN_MAX || first > BIN_MAX;
    s->first = (int32_t)first;
    s->bins = bins;
    s->cap = s->n;
}

static void put_sketch(struct buf *out, const struct sketch *s)
{
    buf_varint(out, s->zero);
    put_side(out, &s->pos);
    put_side(out, &s->neg);
    bytes_out_f64(out, s->min);
    bytes_out_f64(out, s->max);
}

static void get_sketch(struct wire_in *w, struct sketch *s)
{
    s->zero = bytes_in_varint(w->in);
    get_side(w, &s->pos);
    get_side(w, &s->neg);
    s->min = bytes_in_f64(w->in);
    s->max = bytes_in_f64(w->in);
}

/* -- states of buckets ----------------------------------------------------------------------------------------- */
static bool is_fixed(const struct agg_spec *s)
{
    return s->kind == AGG_RANGES || s->kind == AGG_FILTERS;
}

static uint32_t keys_of(const struct agg_spec *s)
{
    return is_fixed(s) ? 0 : s->kind == AGG_COMPOSITE ? s->nsources : 1;
}

static void put_state(struct wire_out *w, const struct agg_spec *spec, const struct agg_state *st)
{
    switch (spec->kind) {
    case AGG_MOMENTS: put_moments(w->out, &st->m); return;
    case AGG_COUNT: buf_varint(w->out, st->m.count); return;
    case AGG_DISTINCT: put_distinct(w, &st->distinct); return;
    case AGG_QUANTILES: put_sketch(w->out, &st->sketch); return;
    default: break;
    }
    buf_varint(w->out, st->nbuckets);
    for (uint32_t i = 0; i < st->nbuckets; i++) {
        const struct agg_bucket *b = st->buckets[i];
        for (uint32_t k = 0; k < keys_of(spec); k++)
            wire_put_val(w, &b->key[k]);
        buf_varint(w->out, b->count);
        for (uint32_t s = 0; s < spec->nsubs; s++)
            put_state(w, &spec->subs[s], &b->subs[s]);
    }
}

void agg_states_put(struct wire_out *w, const struct op_agg *a)
{
    buf_varint(w->out, a->root.count);
    for (uint32_t s = 0; s < a->nspecs; s++)
        put_state(w, &a->specs[s], &a->root.subs[s]);
}

static err_t get_state(struct wire_in *w, struct op_agg *a, const struct agg_spec *spec, struct agg_state *st);

static err_t get_buckets(struct wire_in *w, struct op_agg *a, const struct agg_spec *spec, struct agg_state *st)
{
    struct val key[AGG_SOURCES_MAX];
    uint32_t nkeys = keys_of(spec), n = bytes_in_count(w->in, 1 + nkeys);
    if (is_fixed(spec) && n) {
        w->in->bad |= n != (spec->kind == AGG_RANGES ? spec->nranges : spec->nfilters);
        TRY(wire_check(w, "buckets"));
        op_agg_fixed(a, spec, st);
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < nkeys; k++) {
            key[k] = wire_get_val(w);
            w->in->bad |= key[k].type == 0 && spec->kind != AGG_COMPOSITE;
        }
        TRY(wire_check(w, "a bucket"));
        struct agg_bucket *b = is_fixed(spec) ? st->buckets[i] : op_agg_bucket(a, spec, st, key, nkeys);
        b->count += bytes_in_varint(w->in);
        for (uint32_t s = 0; s < spec->nsubs; s++)
            TRY(get_state(w, a, &spec->subs[s], &b->subs[s]));
        if (a->too_many) return err_set(ERR_CORRUPT, "an aggregation from another node has over %u buckets", a->buckets_max);
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

/* Depth is that of the specs. */
static err_t get_state(struct wire_in *w, struct op_agg *a, const struct agg_spec *spec, struct agg_state *st)
{
    switch (spec->kind) {
    case AGG_MOMENTS: get_moments(w, &st->m); break;
    case AGG_COUNT: st->m.count = bytes_in_varint(w->in); break;
    case AGG_DISTINCT: get_distinct(w, &st->distinct); break;
    case AGG_QUANTILES: get_sketch(w, &st->sketch); break;
    default: TRY(get_buckets(w, a, spec, st));
    }
    return wire_check(w, "the state of an aggregation");
}

err_t agg_states_get(struct wire_in *w, struct op_agg *a)
{
    a->root.count = bytes_in_varint(w->in);
    for (uint32_t s = 0; s < a->nspecs; s++)
        TRY(get_state(w, a, &a->specs[s], &a->root.subs[s]));
    return wire_check(w, "aggregations");
}
