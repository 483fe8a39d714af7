/* Names and values of attributes, for completion. Without a filter keys and dictionaries are read, not the rows. */
#include "query/traceql/fragments.h"

#include "query/ops/op_scan.h"
#include "query/traceql/prefilter.h"

#include <stdlib.h>

static void set_add(struct tag_set *s, struct tval v)
{
    if (s->set.n == TAG_VALUES_MAX && tval_set_find(&s->set, &v) == UINT32_MAX)
        s->truncated = true;
    else
        (void)tval_set_add(&s->set, v);
}

static int value_cmp(const void *a, const void *b)
{
    return tval_order(a, b);
}

/* -- rows that count: all rowsets of the window, or those with a row that the filter lets through ------------- */
typedef err_t rowset_fn(void *ctx, struct op_scan *scan);

static err_t each_rowset(struct query *q, struct view *v, const struct tags_plan *p, rowset_fn *fn, void *ctx)
{
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = p->tmin_ns, .tmax_ns = p->tmax_ns },
                           .filter = p->filter, .builder = &p->builder };
    struct op_scan scan;
    uint64_t seen = 0;
    err_t e;
    TRY_OUT(e, op_scan_open(&scan, v, &o, q->budget));
    for (;;) {
        enum op_status status;
        TRY_OUT(e, op_scan_next(&scan, &status));
        if (status == OP_FINISHED) break;
        /* With a filter every chunk counts; without one the first of a rowset stands for it, if all of it is there. */
        if (!p->filter && !scan.rowset.holes && scan.rowset_seq == seen) continue;
        seen = scan.rowset_seq;
        TRY_OUT(e, fn(ctx, &scan));
    }
out:
    op_scan_close(&scan);
    return e;
}

/* -- names -------------------------------------------------------------------------------------------------- */
static const int tag_rels[TAG_SCOPES] = { REL_RESOURCE, REL_ROWS, REL_EVENTS, REL_LINKS, REL_SCOPE };

struct names_ctx {
    struct tag_set *sets;
    bool filtered;
    struct arena mem; /* a reader's */
};

/* Whether a row of the chunk has the attribute. */
static err_t in_chunk(struct op_scan *scan, int rel, struct str name, struct arena *mem, bool *yes)
{
    struct attr_ref ref = { .rel = rel, .scope = SC_ATTR, .name = name };
    struct attr_reader reader;
    *yes = false;
    arena_reset(mem);
    TRY(attr_bind(&scan->src, &ref, mem, &reader));
    for (uint32_t i = 0; i < scan->chunk.nsel && !*yes; i++) {
        const struct val *vals;
        *yes = attr_read(&reader, scan->chunk.base + (scan->chunk.sel ? scan->chunk.sel[i] : i), &vals) > 0;
    }
    return arena_check(mem);
}

static err_t names_of_rowset(void *ctx, struct op_scan *scan)
{
    struct names_ctx *c = ctx;
    for (int s = 0; s < TAG_SCOPES; s++) {
        const struct column_key *keys;
        uint32_t n;
        TRY(rowset_keys(&scan->rowset, tag_rels[s], &keys, &n));
        for (uint32_t i = 0; i < n; i++) {
            struct tval name = { .type = TV_STR, .s = keys[i].name };
            bool yes = true;
            if (keys[i].scope != SC_ATTR || tval_set_find(&c->sets[s].set, &name) != UINT32_MAX) continue;
            if (c->filtered || scan->rowset.holes) TRY(in_chunk(scan, tag_rels[s], name.s, &c->mem, &yes));
            if (yes) set_add(&c->sets[s], name);
        }
    }
    return OK;
}

err_t trace_tags_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct tag_set *sets = ARENA_ARRAY(a, struct tag_set, TAG_SCOPES);
    struct names_ctx c = { .sets = sets, .filtered = ((const struct tags_plan *)plan)->filter };
    for (int s = 0; s < TAG_SCOPES; s++)
        tval_set_init(&sets[s].set, a);
    arena_init(&c.mem, q->budget);
    err_t e = each_rowset(q, v, plan, names_of_rowset, &c);
    arena_deinit(&c.mem);
    for (int s = 0; s < TAG_SCOPES; s++)
        tval_set_deinit(&sets[s].set);
    *partial = sets;
    return e;
}

/* Merges set k of every partial: sorted, distinct. */
static uint32_t merge_sets(const struct scatter *sc, int k, struct arena *a, struct tval **out, bool *truncated)
{
    uint32_t total = 0, n = 0;
    for (unsigned i = 0; i < sc->n; i++)
        total += ((struct tag_set *)sc->partials[i])[k].set.n;
    struct tval *all = ARENA_RAW(a, struct tval, total + 1);
    total = 0;
    for (unsigned i = 0; i < sc->n; i++) {
        const struct tag_set *s = &((struct tag_set *)sc->partials[i])[k];
        if (s->set.n) memcpy(all + total, s->set.v, s->set.n * sizeof *all);
        total += s->set.n;
        *truncated |= s->truncated;
    }
    if (total) qsort(all, total, sizeof *all, value_cmp);
    for (uint32_t i = 0; i < total; i++)
        if (n == 0 || tval_order(&all[n - 1], &all[i]) != 0) all[n++] = all[i];
    *out = all;
    return n;
}

static err_t plan_filter(struct tags_plan *p, const struct tql_field *filter, struct arena *a)
{
    expr_builder_init(&p->builder, a);
    if (!filter) return OK;
    struct prefilter f = prefilter_of(filter, &p->builder);
    TRY(expr_finish(&p->builder, f.e));
    if (f.e->kind != EXPR_TRUE) p->filter = f.e;
    return OK;
}

err_t trace_tags(struct query *q, const struct tql_field *filter, int64_t tmin_ns, int64_t tmax_ns, struct scatter *sc,
                 struct tag_names *out)
{
    struct tags_plan p = { .tmin_ns = tmin_ns, .tmax_ns = tmax_ns };
    err_t e = plan_filter(&p, filter, q->arena);
    if (e == OK) e = scatter_run(q, &TRACE_TAGS_KIND, &p, sc);
    expr_builder_deinit(&p.builder);
    if (e != OK) return e;
    for (int s = 0; s < TAG_SCOPES; s++) {
        struct tval *v;
        bool truncated = false;
        out->n[s] = merge_sets(sc, s, q->arena, &v, &truncated);
        out->names[s] = ARENA_RAW(q->arena, struct str, out->n[s] + 1);
        for (uint32_t i = 0; i < out->n[s]; i++)
            out->names[s][i] = v[i].s;
    }
    return OK;
}

/* -- values -------------------------------------------------------------------------------------------------- */
struct values_ctx {
    const struct tags_plan *plan;
    struct tag_set *set;
    struct attr_ref refs[2];
    uint32_t nrefs;
    struct attr_reader readers[2];
    uint64_t bound; /* rowset_seq that the readers are bound to */
    struct arena mem;
};

static void add_val(struct values_ctx *c, const struct val *v)
{
    if (v->type >= COL_I64 && v->type <= COL_STR) set_add(c->set, tval_of_column(v, c->plan->tag, c->set->set.a));
}

static err_t values_of_dictionaries(struct values_ctx *c, struct op_scan *scan)
{
    for (uint32_t r = 0; r < c->nrefs; r++) {
        const struct attr_ref *ref = &c->refs[r];
        const struct column *cols[ATTR_COLS_MAX];
        uint32_t n;
        TRY(rowset_columns(&scan->rowset, ref->rel, ref->scope, ref->name, cols, ATTR_COLS_MAX, &n));
        for (uint32_t i = 0; i < n; i++) {
            bool dict = cols[i]->type == COL_STR;
            uint32_t m = dict ? cols[i]->dict.count : cols[i]->nrows;
            for (uint32_t k = 0; k < m; k++) {
                struct val v = dict ? (struct val){ .type = COL_STR, .s = dict_get(&cols[i]->dict, k) }
                                    : (struct val){ 0 };
                if (!dict && column_has(cols[i], k)) v = column_val(cols[i], k);
                add_val(c, &v);
            }
            TRY(arena_check(c->set->set.a));
        }
    }
    return OK;
}

static err_t values_of_rows(struct values_ctx *c, struct op_scan *scan)
{
    if (c->bound != scan->rowset_seq) {
        arena_reset(&c->mem);
        for (uint32_t r = 0; r < c->nrefs; r++)
            TRY(attr_bind(&scan->src, &c->refs[r], &c->mem, &c->readers[r]));
        c->bound = scan->rowset_seq;
    }
    for (uint32_t i = 0; i < scan->chunk.nsel; i++) {
        uint32_t row = scan->chunk.base + (scan->chunk.sel ? scan->chunk.sel[i] : i);
        for (uint32_t r = 0; r < c->nrefs; r++) {
            const struct val *vals;
            uint32_t n = attr_read(&c->readers[r], row, &vals);
            for (uint32_t k = 0; k < n; k++)
                add_val(c, &vals[k]);
        }
    }
    return arena_check(c->set->set.a);
}

static err_t values_of_rowset(void *ctx, struct op_scan *scan)
{
    struct values_ctx *c = ctx;
    return c->plan->filter || scan->rowset.holes ? values_of_rows(c, scan) : values_of_dictionaries(c, scan);
}

err_t trace_tag_values_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct values_ctx c = { .plan = plan, .set = ARENA_NEW(a, struct tag_set) };
    const struct tql_field *tag = c.plan->tag;
    *partial = c.set;
    if (!prefilter_ref(tag, &c.refs[0])) return OK;
    c.nrefs = 1;
    if (tag->kind == TF_ATTR && tag->scope == TS_ANY) {
        c.refs[1] = (struct attr_ref){ .rel = REL_RESOURCE, .scope = SC_ATTR, .name = tag->name };
        c.nrefs = 2;
    }
    arena_init(&c.mem, q->budget);
    tval_set_init(&c.set->set, a);
    err_t e = each_rowset(q, v, plan, values_of_rowset, &c);
    tval_set_deinit(&c.set->set);
    arena_deinit(&c.mem);
    return e;
}

err_t trace_tag_values(struct query *q, const struct tql_field *tag, const struct tql_field *filter, int64_t tmin_ns,
                       int64_t tmax_ns, struct scatter *sc, struct tag_values *out)
{
    struct tags_plan p = { .tmin_ns = tmin_ns, .tmax_ns = tmax_ns, .tag = tag };
    err_t e = plan_filter(&p, filter, q->arena);
    if (e == OK) e = scatter_run(q, &TRACE_TAG_VALUES_KIND, &p, sc);
    expr_builder_deinit(&p.builder);
    if (e != OK) return e;
    out->truncated = false;
    out->n = merge_sets(sc, 0, q->arena, &out->v, &out->truncated);
    return OK;
}
