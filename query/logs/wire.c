/* The fragments of log searches as bytes (forms of strings, texts, values, refs, flags and lists: query/ops/wire.h).
 *
 * log_search, plan:    index (u8 signal, string stored), zigzag tmin, zigzag tmax, the predicate (expr_wire.h), flags count_all
 *                      and want_source, specs (agg_wire.h), varint rows to keep, flag addr_desc, list of sort keys (u8 kind,
 *                      list of refs, varint unit, string missing, flag desc), flags has_after and has_addr, and with has_after
 *                      a value a sort key and u64 addr
 * log_search, partial: varint rows, list of hits in the order of the heap (a value a sort key, u64 addr, zigzag time, text
 *                      source), flag agg, with it the states (agg_wire.h)
 * log_columns, plan:   index, zigzag tmin, zigzag tmax, flag, with it the predicate
 * log_columns, partial: list of: string name, u8 type */
#include "query/logs/fragments.h"
#include "query/ops/agg_wire.h"

enum { HITS_SENT_MAX = 1 << 24 };

static void put_index(struct wire_out *w, const struct log_index *ix)
{
    buf_byte(w->out, (uint8_t)ix->signal);
    wire_put_str(w, ix->stored);
}

static const struct log_index *get_index(struct wire_in *w)
{
    struct log_index *ix = ARENA_NEW(w->a, struct log_index);
    ix->signal = wire_get_enum(w, UINT8_MAX);
    ix->stored = wire_get_str(w);
    w->in->bad |= ix->signal != SIG_LOGS && ix->signal != SIG_SPANS && ix->signal != SIG_DOCS;
    return ix;
}

/* -- the plan of a search --------------------------------------------------------------------------------------- */
static void put_top(struct wire_out *w, const struct log_plan *p)
{
    const struct topn_spec *t = &p->top;
    buf_varint(w->out, t->n);
    buf_byte(w->out, t->addr_desc);
    buf_varint(w->out, p->nkeys);
    for (uint32_t k = 0; k < p->nkeys; k++) {
        const struct log_field *f = &p->key[k];
        buf_byte(w->out, (uint8_t)f->kind);
        buf_varint(w->out, f->nrefs);
        for (uint32_t i = 0; i < f->nrefs; i++)
            wire_put_ref(w, &f->refs[i]);
        buf_varint(w->out, (uint64_t)f->unit);
        wire_put_str(w, f->missing);
        buf_byte(w->out, t->desc[k]);
    }
    buf_byte(w->out, t->has_after);
    buf_byte(w->out, t->has_addr);
    if (!t->has_after) return;
    for (uint32_t k = 0; k < p->nkeys; k++)
        wire_put_val(w, &t->after.key[k]);
    bytes_out_u64(w->out, t->after.addr);
}

static void search_plan_put(const void *plan, struct buf *out)
{
    const struct log_plan *p = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    put_index(&w, p->ix);
    bytes_out_zigzag(out, p->tmin);
    bytes_out_zigzag(out, p->tmax);
    expr_put(&w, p->filter);
    buf_byte(out, p->s->count_all);
    buf_byte(out, p->s->want_source);
    agg_specs_put(&w, p->aggs, p->s->naggs);
    put_top(&w, p);
    wire_out_deinit(&w);
}

static void get_key(struct wire_in *w, struct log_field *f)
{
    f->kind = wire_get_enum(w, LF_OBJECT);
    f->nrefs = bytes_in_count(w->in, 5);
    w->in->bad |= f->nrefs > LF_REFS_MAX;
    for (uint32_t i = 0; i < f->nrefs && !w->in->bad; i++)
        f->refs[i] = wire_get_ref(w);
    uint64_t unit = bytes_in_varint(w->in);
    w->in->bad |= unit > INT64_MAX;
    f->unit = (int64_t)unit;
    f->missing = wire_get_str(w);
}

static void get_top(struct wire_in *w, struct log_plan *p)
{
    struct topn_spec *t = &p->top;
    t->n = wire_get_u32(w, HITS_SENT_MAX);
    t->addr_desc = wire_get_flag(w);
    p->nkeys = t->nkeys = bytes_in_count(w->in, 5);
    w->in->bad |= p->nkeys > TOPN_KEYS_MAX;
    for (uint32_t k = 0; k < p->nkeys && !w->in->bad; k++) {
        get_key(w, &p->key[k]);
        t->desc[k] = wire_get_flag(w);
    }
    t->has_after = wire_get_flag(w);
    t->has_addr = wire_get_flag(w);
    if (!t->has_after) return;
    for (uint32_t k = 0; k < p->nkeys && !w->in->bad; k++)
        t->after.key[k] = wire_get_val(w);
    t->after.addr = bytes_in_u64(w->in);
}

static err_t get_search(struct wire_in *w, struct log_plan *p)
{
    struct log_search *s = ARENA_NEW(w->a, struct log_search);
    p->s = s;
    p->ix = get_index(w);
    p->tmin = bytes_in_zigzag(w->in);
    p->tmax = bytes_in_zigzag(w->in);
    TRY(expr_get(w, &p->b, &p->filter));
    s->count_all = wire_get_flag(w);
    s->want_source = wire_get_flag(w);
    TRY(agg_specs_get(w, &p->b, &p->aggs, &s->naggs));
    get_top(w, p);
    return wire_check(w, "the plan of a log search");
}

static void search_plan_free(const void *plan)
{
    struct log_plan *p = (struct log_plan *)(uintptr_t)plan;
    expr_builder_deinit(&p->b);
}

static err_t search_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct log_plan *p = ARENA_NEW(q->arena, struct log_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    expr_builder_init(&p->b, q->arena);
    err_t e = get_search(&w, p);
    if (e != OK) search_plan_free(p);
    *plan = p;
    return e;
}

/* -- the partial state of a search ----------------------------------------------------------------------------- */
static void search_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct log_plan *plan_sent = plan;
    const struct log_partial *p = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    buf_varint(out, p->count);
    buf_varint(out, p->top.count);
    for (uint32_t i = 0; i < p->top.count; i++) {
        const struct topn_entry *e = &p->top.heap[i];
        const struct log_payload *x = (const struct log_payload *)(const void *)e->payload.p;
        for (uint32_t k = 0; k < plan_sent->nkeys; k++)
            wire_put_val(&w, &e->key[k]);
        bytes_out_u64(out, e->addr);
        bytes_out_zigzag(out, x->time_ns);
        bytes_out_str(out, x->source);
    }
    buf_byte(out, p->agg_open);
    if (p->agg_open) agg_states_put(&w, &p->agg);
    wire_out_deinit(&w);
}

static void get_hits(struct wire_in *w, const struct log_plan *p, struct op_topn *top)
{
    top->heap = WIRE_LIST(w, struct topn_entry, 10 + p->nkeys, p->top.n ? p->top.n + TOPN_TIED_MAX : 0, &top->count);
    for (uint32_t i = 0; i < top->count && !w->in->bad; i++) {
        struct topn_entry *e = &top->heap[i];
        struct log_payload *x = ARENA_NEW(w->a, struct log_payload);
        for (uint32_t k = 0; k < p->nkeys; k++)
            e->key[k] = wire_get_val(w);
        e->addr = bytes_in_u64(w->in);
        x->time_ns = bytes_in_zigzag(w->in);
        x->source = wire_get_text(w);
        e->payload = str_n(x, sizeof *x);
    }
}

static err_t search_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    const struct log_plan *p = plan;
    struct log_partial *out = ARENA_NEW(a, struct log_partial);
    struct wire_in w = wire_in_of(in, a);
    *partial = out;
    out->count = bytes_in_varint(in);
    op_topn_init(&out->top, &p->top, a);
    get_hits(&w, p, &out->top);
    out->agg_open = wire_get_flag(&w);
    in->bad |= out->agg_open != (p->s->naggs > 0);
    TRY(wire_check(&w, "the hits of a log search"));
    if (!out->agg_open) return OK;
    op_agg_init_states(&out->agg, p->aggs, p->s->naggs, a, AGG_BUCKETS_MAX);
    return agg_states_get(&w, &out->agg);
}

const struct fragment_kind LOG_SEARCH_KIND = { .name = "log_search", .fn = log_search_fragment, .plan_put = search_plan_put,
                                               .plan_get = search_plan_get, .plan_free = search_plan_free,
                                               .partial_put = search_partial_put, .partial_get = search_partial_get };

/* -- the fields of an index -------------------------------------------------------------------------------------- */
static void columns_plan_put(const void *plan, struct buf *out)
{
    const struct log_columns_plan *p = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    put_index(&w, p->ix);
    bytes_out_zigzag(out, p->tmin);
    bytes_out_zigzag(out, p->tmax);
    buf_byte(out, p->filter != NULL);
    if (p->filter) expr_put(&w, p->filter);
    wire_out_deinit(&w);
}

static void columns_plan_free(const void *plan)
{
    struct log_columns_plan *p = (struct log_columns_plan *)(uintptr_t)plan;
    expr_builder_deinit(&p->b);
}

static err_t columns_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct log_columns_plan *p = ARENA_NEW(q->arena, struct log_columns_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    expr_builder_init(&p->b, q->arena);
    p->ix = get_index(&w);
    p->tmin = bytes_in_zigzag(in);
    p->tmax = bytes_in_zigzag(in);
    err_t e = wire_get_flag(&w) ? expr_get(&w, &p->b, &p->filter) : OK;
    if (e == OK) e = wire_check(&w, "the plan of a look at columns");
    if (e != OK) columns_plan_free(p);
    *plan = p;
    return e;
}

static void columns_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct log_column_set *s = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, s->n);
    for (size_t i = 0; i < s->n; i++) {
        wire_put_str(&w, s->v[i].name);
        buf_byte(out, (uint8_t)s->v[i].type);
    }
    wire_out_deinit(&w);
}

static err_t columns_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct log_column_set *s = ARENA_NEW(a, struct log_column_set);
    struct wire_in w = wire_in_of(in, a);
    uint32_t n;
    (void)plan;
    *partial = s;
    s->a = a;
    s->v = WIRE_LIST(&w, struct log_column, 2, LOG_COLUMNS_MAX, &n);
    for (; s->n < n && !in->bad; s->n++) {
        s->v[s->n].name = wire_get_str(&w);
        s->v[s->n].type = wire_get_enum(&w, COL_FIX);
        in->bad |= !s->v[s->n].name.p;
    }
    return wire_check(&w, "the columns of an index");
}

const struct fragment_kind LOG_COLUMNS_KIND = { .name = "log_columns", .fn = log_columns_fragment, .plan_put = columns_plan_put,
                                                .plan_get = columns_plan_get, .plan_free = columns_plan_free,
                                                .partial_put = columns_partial_put, .partial_get = columns_partial_get };
