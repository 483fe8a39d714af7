#include "query/ops/op_agg.h"

#include <math.h>

/* One spec at work: its readers over the current rowset, and the pairs (row, bucket) on their way down. */
struct field_reader {
    const struct agg_field *field;
    struct attr_reader *r;
};
struct agg_node {
    const struct agg_spec *spec;
    uint32_t slot;                 /* of the state inside the parent bucket */
    struct field_reader field;
    struct field_reader *sources;
    struct expr_exec *filters;     /* nfilters */
    uint64_t (*masks)[MASK_WORDS]; /* of the filters, for the current chunk */
    /* Terms over one dictionary column under one parent: bucket by code. */
    struct agg_bucket **by_code;
    const struct agg_state *by_code_of;
    uint16_t *row;                 /* pairs to hand down; VEC_MAX of them */
    struct agg_bucket **bucket;
    uint32_t npairs;
    struct agg_node *subs;
};

static void collect(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                    struct agg_bucket *const *parent, uint32_t count);

/* -- set up ----------------------------------------------------------------------------------------------- */

static void field_init(struct op_agg *a, struct field_reader *f, const struct agg_field *field)
{
    f->field = field;
    f->r = ARENA_ARRAY(a->mem, struct attr_reader, field->nrefs ? field->nrefs : 1);
}

static err_t nodes_init(struct op_agg *a, const struct agg_spec *specs, uint32_t n, unsigned depth,
                        struct agg_node **out)
{
    if (depth > AGG_DEPTH_MAX) return err_set(ERR_LIMIT, "aggregations nest deeper than %d", AGG_DEPTH_MAX);
    if (n > AGG_SPECS_MAX) return err_set(ERR_LIMIT, "over %d aggregations", AGG_SPECS_MAX);
    struct agg_node *nodes = ARENA_ARRAY(a->mem, struct agg_node, n ? n : 1);
    for (uint32_t i = 0; i < n; i++) {
        struct agg_node *d = &nodes[i];
        d->spec = &specs[i];
        d->slot = i;
        field_init(a, &d->field, &specs[i].field);
        d->sources = ARENA_ARRAY(a->mem, struct field_reader, AGG_SOURCES_MAX);
        for (uint32_t s = 0; s < specs[i].nsources; s++)
            field_init(a, &d->sources[s], &specs[i].sources[s].field);
        if (specs[i].nfilters) {
            d->filters = ARENA_ARRAY(a->mem, struct expr_exec, specs[i].nfilters);
            d->masks = arena_calloc(a->mem, specs[i].nfilters, sizeof *d->masks);
            for (uint32_t f = 0; f < specs[i].nfilters; f++)
                expr_exec_init(&d->filters[f], specs[i].builder, specs[i].filters[f], a->mem->budget);
        }
        if (specs[i].nsubs) {
            d->row = ARENA_RAW(a->mem, uint16_t, VEC_MAX);
            d->bucket = ARENA_RAW(a->mem, struct agg_bucket *, VEC_MAX);
        }
        TRY(nodes_init(a, specs[i].subs, specs[i].nsubs, depth + 1, &d->subs));
    }
    *out = nodes;
    return OK;
}

err_t op_agg_init(struct op_agg *a, const struct agg_spec *specs, uint32_t n, struct arena *mem,
                  uint32_t buckets_max)
{
    *a = (struct op_agg){ .specs = specs, .nspecs = n, .mem = mem, .buckets_max = buckets_max };
    arena_init(&a->bind_mem, mem->budget);
    a->root.subs = ARENA_ARRAY(mem, struct agg_state, n ? n : 1);
    TRY(nodes_init(a, specs, n, 1, &a->nodes));
    return arena_check(mem);
}

void op_agg_init_states(struct op_agg *a, const struct agg_spec *specs, uint32_t n, struct arena *mem, uint32_t buckets_max)
{
    *a = (struct op_agg){ .specs = specs, .nspecs = n, .mem = mem, .buckets_max = buckets_max };
    a->root.subs = ARENA_ARRAY(mem, struct agg_state, n ? n : 1);
}

static void nodes_deinit(struct agg_node *nodes, uint32_t n)
{
    for (uint32_t i = 0; nodes && i < n; i++) {
        for (uint32_t f = 0; nodes[i].filters && f < nodes[i].spec->nfilters; f++)
            expr_exec_deinit(&nodes[i].filters[f]);
        nodes_deinit(nodes[i].subs, nodes[i].spec ? nodes[i].spec->nsubs : 0);
    }
}

void op_agg_deinit(struct op_agg *a)
{
    nodes_deinit(a->nodes, a->nspecs);
    a->nodes = NULL;
    arena_deinit(&a->bind_mem);
}

static err_t field_bind(struct op_agg *a, struct field_reader *f, const struct rows_src *src)
{
    for (uint32_t i = 0; i < f->field->nrefs; i++)
        TRY(attr_bind(src, &f->field->refs[i], &a->bind_mem, &f->r[i]));
    return OK;
}

static err_t nodes_bind(struct op_agg *a, struct agg_node *nodes, uint32_t n, const struct rows_src *src)
{
    for (uint32_t i = 0; i < n; i++) {
        struct agg_node *d = &nodes[i];
        d->by_code = NULL;
        d->by_code_of = NULL;
        TRY(field_bind(a, &d->field, src));
        for (uint32_t s = 0; s < d->spec->nsources; s++)
            TRY(field_bind(a, &d->sources[s], src));
        for (uint32_t f = 0; f < d->spec->nfilters; f++) {
            enum expr_can can;
            TRY(expr_exec_bind(&d->filters[f], src, &can));
        }
        TRY(nodes_bind(a, d->subs, d->spec->nsubs, src));
    }
    return OK;
}

err_t op_agg_bind(struct op_agg *a, const struct rows_src *src)
{
    arena_reset(&a->bind_mem);
    return nodes_bind(a, a->nodes, a->nspecs, src);
}

/* -- buckets ------------------------------------------------------------------------------------------------ */

static struct agg_bucket *bucket_new(struct op_agg *a, const struct agg_spec *spec)
{
    struct agg_bucket *b = ARENA_NEW(a->mem, struct agg_bucket);
    b->subs = ARENA_ARRAY(a->mem, struct agg_state, spec->nsubs ? spec->nsubs : 1);
    if (++a->buckets > a->buckets_max) a->too_many = true;
    return b;
}

static void index_put(struct agg_state *st, struct agg_bucket *b, uint32_t i)
{
    uint32_t at = (uint32_t)b->hash & st->index_mask;
    while (st->index[at])
        at = (at + 1) & st->index_mask;
    st->index[at] = i + 1;
}

static void bucket_add(struct op_agg *a, struct agg_state *st, struct agg_bucket *b)
{
    size_t cap = st->cap;
    st->buckets = arena_grow(a->mem, st->buckets, st->nbuckets, &cap, (size_t)st->nbuckets + 1, sizeof(b));
    st->cap = (uint32_t)cap;
    st->buckets[st->nbuckets++] = b;
    if (!st->index || st->nbuckets * 2 > st->index_mask) {
        uint32_t size = st->index ? (st->index_mask + 1) * 4 : 16;
        st->index = ARENA_ARRAY(a->mem, uint32_t, size);
        st->index_mask = size - 1;
        for (uint32_t i = 0; i + 1 < st->nbuckets; i++)
            index_put(st, st->buckets[i], i);
    }
    index_put(st, b, st->nbuckets - 1);
}

/* Keys of one type class only: 1 and 1.0 are one bucket, "1" is another. */
static bool keys_equal(const struct val *a, const struct val *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (val_cmp(&a[i], &b[i]) != 0) return false;
    return true;
}

static struct agg_bucket *bucket_find(struct agg_state *st, uint64_t hash, const struct val *key, uint32_t nkeys)
{
    if (!st->index) return NULL;
    for (uint32_t at = (uint32_t)hash & st->index_mask; st->index[at]; at = (at + 1) & st->index_mask) {
        struct agg_bucket *b = st->buckets[st->index[at] - 1];
        if (b->hash == hash && keys_equal(b->key, key, nkeys)) return b;
    }
    return NULL;
}

struct agg_bucket *op_agg_bucket(struct op_agg *a, const struct agg_spec *spec, struct agg_state *st, const struct val *key,
                                 uint32_t nkeys)
{
    uint64_t hash = 0;
    if (st->last && keys_equal(st->last->key, key, nkeys)) return st->last;
    for (uint32_t i = 0; i < nkeys; i++)
        hash = hash * UINT64_C(0x9e3779b97f4a7c15) + val_hash(&key[i]);
    struct agg_bucket *b = bucket_find(st, hash, key, nkeys);
    if (!b) {
        b = bucket_new(a, spec);
        struct val *copy = arena_dup(a->mem, key, nkeys * sizeof *key);
        for (uint32_t i = 0; i < nkeys; i++)
            if (copy[i].type >= COL_STR) copy[i].s = arena_str(a->mem, copy[i].s);
        b->key = copy;
        b->hash = hash;
        bucket_add(a, st, b);
    }
    return st->last = b;
}

void op_agg_fixed(struct op_agg *a, const struct agg_spec *spec, struct agg_state *st)
{
    uint32_t n = spec->kind == AGG_RANGES ? spec->nranges : spec->nfilters;
    if (st->nbuckets == n) return;
    st->buckets = ARENA_ARRAY(a->mem, struct agg_bucket *, n ? n : 1);
    for (uint32_t i = 0; i < n; i++)
        st->buckets[i] = bucket_new(a, spec);
    st->nbuckets = n;
}

/* -- one chunk ----------------------------------------------------------------------------------------------- */

static uint32_t field_read(struct field_reader *f, uint32_t row, const struct val **vals)
{
    for (uint32_t i = 0; i < f->field->nrefs; i++) {
        uint32_t n = attr_read(&f->r[i], row, vals);
        if (n) return n;
    }
    return 0;
}

static void flush(struct op_agg *a, struct agg_node *n, const struct chunk *c)
{
    for (uint32_t s = 0; s < n->spec->nsubs; s++)
        collect(a, &n->subs[s], c, n->row, n->bucket, n->npairs);
    n->npairs = 0;
}

static void count_in(struct op_agg *a, struct agg_node *n, const struct chunk *c, struct agg_bucket *b, uint16_t row)
{
    b->count++;
    if (n->spec->nsubs == 0) return;
    n->row[n->npairs] = row;
    n->bucket[n->npairs++] = b;
    if (n->npairs == VEC_MAX) flush(a, n, c);
}

static double num_of(const struct agg_spec *spec, double v) { return spec->div != 0 ? v / spec->div : v; }

static void collect_metric(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                           struct agg_bucket *const *parent, uint32_t count)
{
    const struct agg_spec *spec = n->spec;
    for (uint32_t i = 0; i < count; i++) {
        struct agg_state *st = &parent[i]->subs[n->slot];
        const struct val *vals;
        uint32_t nvals = field_read(&n->field, c->base + row[i], &vals);
        if (nvals == 0 && spec->missing.type) {
            vals = &spec->missing;
            nvals = 1;
        }
        for (uint32_t k = 0; k < nvals; k++) {
            double d;
            if (spec->kind == AGG_COUNT) st->m.count++;
            else if (spec->kind == AGG_DISTINCT) distinct_add(&st->distinct, val_hash(&vals[k]), a->mem);
            else if (!val_num(&vals[k], &d)) continue;
            else if (spec->kind == AGG_QUANTILES) sketch_add(&st->sketch, num_of(spec, d), 1, a->mem);
            else moments_add(&st->m, num_of(spec, d));
        }
    }
}

static bool seen_before(const struct val *vals, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++)
        if (val_cmp(&vals[i], &vals[k]) == 0) return true;
    return false;
}

/* The dictionary column that alone holds the field, or NULL. */
static const struct column *only_dict(const struct field_reader *f)
{
    const struct attr_reader *r = NULL;
    for (uint32_t i = 0; i < f->field->nrefs; i++) {
        if (f->r[i].n == 0) continue;
        if (r) return NULL;
        r = &f->r[i];
    }
    return r && r->n == 1 && !r->first && r->col[0]->type == COL_STR ? r->col[0] : NULL;
}

/* Terms by dictionary code: no hashing once a code is known. */
static bool collect_codes(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                          struct agg_bucket *const *parent, uint32_t count)
{
    const struct column *col = only_dict(&n->field);
    struct agg_state *st = &parent[0]->subs[n->slot];
    if (!col || n->spec->missing.type) return false;
    for (uint32_t i = 1; i < count; i++)
        if (parent[i] != parent[0]) return false;
    const uint32_t *map = NULL;
    for (uint32_t i = 0; i < n->field.field->nrefs; i++)
        if (n->field.r[i].n) map = n->field.r[i].map;
    if (!n->by_code) n->by_code = ARENA_ARRAY(&a->bind_mem, struct agg_bucket *, col->dict.count + 1);
    else if (n->by_code_of != st) memset(n->by_code, 0, col->dict.count * sizeof *n->by_code);
    n->by_code_of = st;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = c->base + row[i];
        if (map) r = map[r];
        if (!column_has(col, r)) continue;
        struct agg_bucket **b = &n->by_code[col->code[r]];
        if (!*b) {
            struct val key = { .type = COL_STR, .s = column_str(col, r) };
            if (n->field.field->lower) key.s = text_lower(&a->bind_mem, key.s);
            *b = op_agg_bucket(a, n->spec, st, &key, 1);
        }
        count_in(a, n, c, *b, row[i]);
    }
    return true;
}

static void collect_terms(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                          struct agg_bucket *const *parent, uint32_t count)
{
    if (collect_codes(a, n, c, row, parent, count)) return;
    for (uint32_t i = 0; i < count; i++) {
        const struct val *vals;
        uint32_t nvals = field_read(&n->field, c->base + row[i], &vals);
        if (nvals == 0 && n->spec->missing.type) {
            vals = &n->spec->missing;
            nvals = 1;
        }
        for (uint32_t k = 0; k < nvals; k++) {
            struct val key = vals[k];
            if (key.type == COL_JSON || seen_before(vals, k)) continue;
            if (key.type == COL_STR && n->field.field->lower) key.s = text_lower(&a->bind_mem, key.s);
            count_in(a, n, c, op_agg_bucket(a, n->spec, &parent[i]->subs[n->slot], &key, 1), row[i]);
        }
    }
}

static bool histogram_key(enum agg_kind kind, double interval, double offset, int64_t interval_i64,
                          int64_t offset_i64, const struct val *v, struct val *key)
{
    if (kind == AGG_HISTOGRAM_I64) {
        int64_t x, q;
        if (v->type != COL_I64 || __builtin_sub_overflow(v->i64, offset_i64, &x)) return false;
        q = x / interval_i64 - (x % interval_i64 < 0);
        *key = (struct val){ .type = COL_I64, .i64 = q * interval_i64 + offset_i64 };
        return true;
    }
    double d;
    if (!val_num(v, &d) || !isfinite(d)) return false;
    /* + 0.0 makes one bucket of 0 and -0. */
    *key = (struct val){ .type = COL_F64, .f64 = floor((d - offset) / interval) * interval + offset + 0.0 };
    return true;
}

static void collect_histogram(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                              struct agg_bucket *const *parent, uint32_t count)
{
    const struct agg_spec *s = n->spec;
    for (uint32_t i = 0; i < count; i++) {
        const struct val *vals;
        struct agg_bucket *before = NULL;
        uint32_t nvals = field_read(&n->field, c->base + row[i], &vals);
        if (nvals == 0 && s->missing.type) {
            vals = &s->missing;
            nvals = 1;
        }
        for (uint32_t k = 0; k < nvals; k++) {
            struct val key;
            if (!histogram_key(s->kind, s->interval, s->offset, s->interval_i64, s->offset_i64, &vals[k], &key))
                continue;
            struct agg_bucket *b = op_agg_bucket(a, s, &parent[i]->subs[n->slot], &key, 1);
            if (b != before) count_in(a, n, c, b, row[i]);
            before = b;
        }
    }
}

static void collect_ranges(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                           struct agg_bucket *const *parent, uint32_t count)
{
    const struct agg_spec *s = n->spec;
    for (uint32_t i = 0; i < count; i++) {
        struct agg_state *st = &parent[i]->subs[n->slot];
        const struct val *vals;
        uint32_t nvals = field_read(&n->field, c->base + row[i], &vals);
        op_agg_fixed(a, s, st);
        for (uint32_t r = 0; r < s->nranges; r++)
            for (uint32_t k = 0; k < nvals; k++) {
                double d;
                if (!val_num(&vals[k], &d)) continue;
                d = num_of(s, d);
                if (d < s->ranges[r].from || d >= s->ranges[r].to) continue;
                count_in(a, n, c, st->buckets[r], row[i]);
                break;
            }
    }
}

static void collect_filters(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                            struct agg_bucket *const *parent, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct agg_state *st = &parent[i]->subs[n->slot];
        op_agg_fixed(a, n->spec, st);
        for (uint32_t f = 0; f < n->spec->nfilters; f++)
            if (n->masks[f][row[i] / 64] >> (row[i] % 64) & 1) count_in(a, n, c, st->buckets[f], row[i]);
    }
}

static bool source_key(struct agg_node *n, uint32_t s, uint32_t row, struct val *key)
{
    const struct agg_source *src = &n->spec->sources[s];
    const struct val *vals;
    uint32_t nvals = field_read(&n->sources[s], row, &vals);
    *key = (struct val){ 0 };
    if (nvals == 0) return src->missing;
    if (src->kind == AGG_TERMS) return *key = vals[0], true;
    return histogram_key(src->kind, src->interval, 0, src->interval_i64, src->offset_i64, &vals[0], key);
}

static void collect_composite(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                              struct agg_bucket *const *parent, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct val key[AGG_SOURCES_MAX];
        bool all = true;
        for (uint32_t s = 0; s < n->spec->nsources && all; s++)
            all = source_key(n, s, c->base + row[i], &key[s]);
        if (!all) continue;
        struct agg_bucket *b = op_agg_bucket(a, n->spec, &parent[i]->subs[n->slot], key, n->spec->nsources);
        count_in(a, n, c, b, row[i]);
    }
}

static void collect(struct op_agg *a, struct agg_node *n, const struct chunk *c, const uint16_t *row,
                    struct agg_bucket *const *parent, uint32_t count)
{
    if (count == 0 || a->too_many) return;
    switch (n->spec->kind) {
    case AGG_TERMS: collect_terms(a, n, c, row, parent, count); break;
    case AGG_HISTOGRAM:
    case AGG_HISTOGRAM_I64: collect_histogram(a, n, c, row, parent, count); break;
    case AGG_RANGES: collect_ranges(a, n, c, row, parent, count); break;
    case AGG_FILTERS: collect_filters(a, n, c, row, parent, count); break;
    case AGG_COMPOSITE: collect_composite(a, n, c, row, parent, count); break;
    default: collect_metric(a, n, c, row, parent, count); return;
    }
    if (n->npairs) flush(a, n, c);
}

static err_t eval_filters(struct agg_node *nodes, uint32_t n, const struct chunk *c)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t f = 0; f < nodes[i].spec->nfilters; f++) {
            mask_fill(nodes[i].masks[f], c->n);
            TRY(expr_exec_mask(&nodes[i].filters[f], c->base, c->n, nodes[i].masks[f]));
        }
        TRY(eval_filters(nodes[i].subs, nodes[i].spec->nsubs, c));
    }
    return OK;
}

err_t op_agg_chunk(struct op_agg *a, const struct chunk *c)
{
    uint16_t all[VEC_MAX];
    const uint16_t *row = c->sel;
    a->root.count += c->nsel;
    if (a->nspecs == 0) return OK;
    if (!row) {
        for (uint32_t i = 0; i < c->n; i++)
            all[i] = (uint16_t)i;
        row = all;
    }
    TRY(eval_filters(a->nodes, a->nspecs, c));
    struct agg_bucket *parent[128];
    for (uint32_t i = 0; i < ARRAY_LEN(parent); i++)
        parent[i] = &a->root;
    for (uint32_t s = 0; s < a->nspecs; s++)
        for (uint32_t at = 0; at < c->nsel; at += (uint32_t)ARRAY_LEN(parent))
            collect(a, &a->nodes[s], c, row + at, parent, MIN((uint32_t)ARRAY_LEN(parent), c->nsel - at));
    if (a->too_many) return err_set(ERR_LIMIT, "the aggregation makes over %u buckets", a->buckets_max);
    return arena_check(a->mem);
}

/* -- merge ------------------------------------------------------------------------------------------------------ */

static void merge_state(struct op_agg *a, const struct agg_spec *spec, struct agg_state *into, struct agg_state *from);

static void merge_bucket(struct op_agg *a, const struct agg_spec *spec, struct agg_bucket *into,
                         struct agg_bucket *from)
{
    into->count += from->count;
    for (uint32_t s = 0; s < spec->nsubs; s++)
        merge_state(a, &spec->subs[s], &into->subs[s], &from->subs[s]);
}

static void merge_state(struct op_agg *a, const struct agg_spec *spec, struct agg_state *into, struct agg_state *from)
{
    moments_merge(&into->m, &from->m);
    if (spec->kind == AGG_DISTINCT) distinct_merge(&into->distinct, &from->distinct, a->mem);
    if (spec->kind == AGG_QUANTILES) sketch_merge(&into->sketch, &from->sketch, a->mem);
    if (spec->kind < AGG_TERMS || from->nbuckets == 0) return;
    if (spec->kind == AGG_RANGES || spec->kind == AGG_FILTERS) {
        op_agg_fixed(a, spec, into);
        for (uint32_t i = 0; i < from->nbuckets; i++)
            merge_bucket(a, spec, into->buckets[i], from->buckets[i]);
        return;
    }
    uint32_t nkeys = spec->kind == AGG_COMPOSITE ? spec->nsources : 1;
    for (uint32_t i = 0; i < from->nbuckets; i++) {
        struct agg_bucket *b = from->buckets[i], *mine = bucket_find(into, b->hash, b->key, nkeys);
        if (mine) {
            merge_bucket(a, spec, mine, b);
        } else {
            bucket_add(a, into, b);
            if (++a->buckets > a->buckets_max) a->too_many = true;
        }
    }
}

err_t op_agg_merge(struct op_agg *into, struct op_agg *from)
{
    into->root.count += from->root.count;
    for (uint32_t s = 0; s < into->nspecs; s++)
        merge_state(into, &into->specs[s], &into->root.subs[s], &from->root.subs[s]);
    if (into->too_many) return err_set(ERR_LIMIT, "the aggregation makes over %u buckets", into->buckets_max);
    return arena_check(into->mem);
}
