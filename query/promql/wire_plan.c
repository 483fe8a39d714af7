/* Plans as bytes; the form is in wire.h. */
#include "query/promql/wire.h"

#include "storage/regex.h"

/* -- writing ------------------------------------------------------------------------------------------------- */
struct tree_out {
    struct buf *b;
    uint32_t steps; /* of the grid: a given scalar has as many */
};

static void put_names(struct buf *b, const struct str *v, uint32_t n)
{
    buf_varint(b, n);
    for (uint32_t i = 0; i < n; i++)
        bytes_out_str(b, v[i]);
}

static void put_shift(struct buf *b, const struct pq_shift *s)
{
    bytes_out_zigzag(b, s->offset_ms);
    buf_byte(b, (uint8_t)s->at);
    bytes_out_zigzag(b, s->at_ms);
}

void pq_matchers_put(const struct matcher *m, uint32_t nm, struct buf *out)
{
    buf_varint(out, nm);
    for (uint32_t i = 0; i < nm; i++) {
        buf_byte(out, (uint8_t)m[i].op);
        bytes_out_str(out, m[i].name);
        bytes_out_str(out, m[i].value);
    }
}

static void put_matching(struct buf *b, const struct pq_matching *m)
{
    buf_byte(b, (uint8_t)m->card);
    buf_byte(b, (uint8_t)(m->on | m->explicit << 1 | m->fill_lhs << 2 | m->fill_rhs << 3));
    put_names(b, m->labels, m->nlabels);
    put_names(b, m->include, m->ninclude);
    bytes_out_f64(b, m->fill_lhs_value);
    bytes_out_f64(b, m->fill_rhs_value);
}

static void put_given(const struct tree_out *o, const double *v)
{
    bool same = true;
    for (uint32_t i = 1; i < o->steps && same; i++)
        same = memcmp(&v[i], &v[0], sizeof *v) == 0;
    buf_byte(o->b, same);
    buf_put(o->b, v, sizeof *v * (same ? 1 : o->steps));
}

static void put_node(const struct tree_out *o, const struct pq_node *n);

static void put_agg(const struct tree_out *o, const struct pq_node *n)
{
    buf_byte(o->b, (uint8_t)n->agg.op);
    buf_byte(o->b, (uint8_t)(n->agg.without | n->agg.grouped << 1 | (n->agg.param != NULL) << 2));
    put_names(o->b, n->agg.labels, n->agg.nlabels);
    if (n->agg.param) put_node(o, n->agg.param);
    put_node(o, n->agg.expr);
}

static void put_selector(struct buf *b, const struct pq_selector *s)
{
    bytes_out_str(b, s->name);
    pq_matchers_put(s->m, s->nm, b);
    put_shift(b, &s->shift);
    buf_byte(b, (uint8_t)(s->anchored | s->smoothed << 1 | s->stats << 2));
}

static void put_node(const struct tree_out *o, const struct pq_node *n)
{
    struct buf *b = o->b;
    buf_byte(b, (uint8_t)n->kind);
    buf_byte(b, (uint8_t)(n->invariant | n->local << 1 | n->selects << 2));
    buf_varint(b, n->start);
    buf_varint(b, n->end);
    switch (n->kind) {
    case PQ_NUMBER:
        bytes_out_f64(b, n->num.value);
        buf_byte(b, n->num.duration);
        return;
    case PQ_STRINGLIT: bytes_out_str(b, n->str); return;
    case PQ_SELECTOR: put_selector(b, n->sel); return;
    case PQ_RANGE:
        bytes_out_zigzag(b, n->range.range_ms);
        put_node(o, n->range.sel);
        return;
    case PQ_SUBQUERY:
        bytes_out_zigzag(b, n->sub.range_ms);
        bytes_out_zigzag(b, n->sub.step_ms);
        put_shift(b, &n->sub.shift);
        put_node(o, n->sub.expr);
        return;
    case PQ_CALL:
        bytes_out_str(b, str_of(n->call.fn->name));
        buf_varint(b, n->call.nargs);
        for (uint32_t i = 0; i < n->call.nargs; i++) put_node(o, n->call.args[i]);
        return;
    case PQ_AGG: put_agg(o, n); return;
    case PQ_BINARY:
        buf_byte(b, (uint8_t)n->bin.op);
        buf_varint(b, n->bin.pos);
        buf_byte(b, n->bin.ret_bool);
        put_matching(b, n->bin.match);
        put_node(o, n->bin.lhs);
        put_node(o, n->bin.rhs);
        return;
    case PQ_UNARY:
        buf_byte(b, n->un.minus);
        put_node(o, n->un.expr);
        return;
    case PQ_PAREN: put_node(o, n->paren); return;
    case PQ_GIVEN: put_given(o, n->given); return;
    }
}

void pq_plan_put(const void *plan, struct buf *out)
{
    const struct pq_plan *p = plan;
    const struct pq_env *e = p->env;
    const int64_t times[] = { e->start_ms, e->end_ms, e->step_ms, e->lookback_ms, e->default_step_ms };
    buf_byte(out, (uint8_t)p->ask);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) bytes_out_zigzag(out, times[i]);
    buf_byte(out, e->instant);
    buf_varint(out, (uint64_t)e->samples);
    buf_varint(out, (uint64_t)e->samples_max);
    bytes_out_zigzag(out, p->grid.start_ms);
    buf_varint(out, (uint64_t)p->grid.step_ms);
    buf_varint(out, p->grid.n);
    put_node(&(struct tree_out){ out, p->grid.n }, p->node);
}

/* -- reading ------------------------------------------------------------------------------------------------- */
enum { NODE_LEAST = 4 }; /* bytes of a node */
#define SPAN_MS_MAX (INT64_C(10000000000000)) /* of a range, a step, an offset: what a query may say, and more */
#define TIME_MS_MAX (INT64_C(9210000000000000000))

struct tree_in {
    struct bytes_in *in;
    struct arena *a;
    struct pq_regexes *regexes;
    uint32_t steps;
    const struct pq_node *top; /* a call whose arguments may be given */
};

struct read_plan {
    struct pq_plan plan;
    struct pq_env env;
    struct pq_regexes regexes;
};

static err_t bad(struct bytes_in *in)
{
    in->bad = true;
    return err_set(ERR_CORRUPT, "a plan of a query is cut, or not what it says");
}

static bool within(int64_t v, int64_t max) { return v >= -max && v <= max; }

static struct str *get_names(struct tree_in *t, uint32_t *n)
{
    *n = bytes_in_count(t->in, 1);
    struct str *v = ARENA_RAW(t->a, struct str, *n);
    for (uint32_t i = 0; i < *n; i++) v[i] = bytes_in_str(t->in);
    return v;
}

static err_t get_shift(struct tree_in *t, struct pq_shift *s)
{
    s->offset_ms = bytes_in_zigzag(t->in);
    uint8_t at = bytes_in_u8(t->in);
    s->at = (enum pq_at)at;
    s->at_ms = bytes_in_zigzag(t->in);
    return at > PQ_AT_END || !within(s->offset_ms, SPAN_MS_MAX) || !within(s->at_ms, TIME_MS_MAX) ? bad(t->in) : OK;
}

err_t pq_matchers_get(struct bytes_in *in, struct arena *a, struct pq_regexes *r, struct matcher **m, uint32_t *nm)
{
    *nm = bytes_in_count(in, 3);
    *m = ARENA_ARRAY(a, struct matcher, *nm);
    for (uint32_t i = 0; i < *nm; i++) {
        struct matcher *x = &(*m)[i];
        uint8_t op = bytes_in_u8(in);
        x->op = (enum match_op)op;
        x->name = bytes_in_str(in);
        x->value = bytes_in_str(in);
        if (in->bad || op > MATCH_NRE) return bad(in);
        if (x->op != MATCH_RE && x->op != MATCH_NRE) continue;
        if (r->n == PQ_REGEXES_MAX) return bad(in);
        TRY(regex_new(x->value, &x->re));
        r->v[r->n++] = x->re;
    }
    return OK;
}

void pq_regexes_free(struct pq_regexes *r)
{
    for (uint32_t i = 0; i < r->n; i++) regex_free(r->v[i]);
    r->n = 0;
}

static err_t get_selector(struct tree_in *t, struct pq_node *n)
{
    struct pq_selector *s = ARENA_NEW(t->a, struct pq_selector);
    n->sel = s;
    n->type = PQ_VECTOR;
    s->name = bytes_in_str(t->in);
    TRY(pq_matchers_get(t->in, t->a, t->regexes, &s->m, &s->nm));
    TRY(get_shift(t, &s->shift));
    uint8_t bits = bytes_in_u8(t->in);
    s->any = true; /* whether it may match everything was asked where the query was parsed */
    s->anchored = bits & 1;
    s->smoothed = bits & 2;
    s->stats = bits & 4;
    return OK;
}

static err_t get_matching(struct tree_in *t, struct pq_node *n)
{
    struct pq_matching *m = ARENA_NEW(t->a, struct pq_matching);
    uint8_t card = bytes_in_u8(t->in), bits = bytes_in_u8(t->in);
    n->bin.match = m;
    m->card = (enum pq_card)card;
    m->on = bits & 1;
    m->explicit = bits & 2;
    m->fill_lhs = bits & 4;
    m->fill_rhs = bits & 8;
    m->labels = get_names(t, &m->nlabels);
    m->include = get_names(t, &m->ninclude);
    m->fill_lhs_value = bytes_in_f64(t->in);
    m->fill_rhs_value = bytes_in_f64(t->in);
    return t->in->bad || card > PQ_MANY_TO_MANY ? bad(t->in) : OK;
}

static err_t get_node(struct tree_in *t, uint32_t depth, struct pq_node **out) MAY_YIELD;

static err_t get_call(struct tree_in *t, uint32_t depth, struct pq_node *n)
{
    n->call.fn = pq_func_find(bytes_in_str(t->in));
    n->call.nargs = bytes_in_count(t->in, NODE_LEAST);
    if (t->in->bad || !n->call.fn) return bad(t->in);
    n->type = n->call.fn->ret;
    n->call.args = ARENA_ARRAY(t->a, struct pq_node *, n->call.nargs);
    if (depth == 1) t->top = n;
    for (uint32_t i = 0; i < n->call.nargs; i++) {
        TRY(get_node(t, depth + 1, &n->call.args[i]));
        if (n->call.args[i]->kind == PQ_GIVEN && t->top != n) return bad(t->in);
    }
    return OK;
}

static err_t get_agg(struct tree_in *t, uint32_t depth, struct pq_node *n)
{
    uint8_t op = bytes_in_u8(t->in), bits = bytes_in_u8(t->in);
    n->type = PQ_VECTOR;
    n->agg.op = (enum pq_aggop)op;
    n->agg.without = bits & 1;
    n->agg.grouped = bits & 2;
    n->agg.labels = get_names(t, &n->agg.nlabels);
    if (op > PQ_LIMIT_RATIO || ((bits & 4) != 0) == pq_agg_mergeable(n->agg.op)) return bad(t->in);
    if (bits & 4) TRY(get_node(t, depth + 1, &n->agg.param));
    return get_node(t, depth + 1, &n->agg.expr);
}

static err_t get_binary(struct tree_in *t, uint32_t depth, struct pq_node *n)
{
    uint8_t op = bytes_in_u8(t->in);
    n->bin.op = (enum pq_op)op;
    n->bin.pos = (uint32_t)bytes_in_varint(t->in);
    n->bin.ret_bool = bytes_in_u8(t->in) != 0;
    if (op > PQ_UNLESS) return bad(t->in);
    TRY(get_matching(t, n));
    TRY(get_node(t, depth + 1, &n->bin.lhs));
    return get_node(t, depth + 1, &n->bin.rhs);
}

static err_t get_range(struct tree_in *t, uint32_t depth, struct pq_node *n)
{
    n->type = PQ_MATRIX;
    n->range.range_ms = bytes_in_zigzag(t->in);
    TRY(get_node(t, depth + 1, &n->range.sel));
    return n->range.sel->kind != PQ_SELECTOR || n->range.range_ms <= 0 || n->range.range_ms > SPAN_MS_MAX ? bad(t->in) : OK;
}

static err_t get_subquery(struct tree_in *t, uint32_t depth, struct pq_node *n)
{
    n->type = PQ_MATRIX;
    n->sub.range_ms = bytes_in_zigzag(t->in);
    n->sub.step_ms = bytes_in_zigzag(t->in);
    TRY(get_shift(t, &n->sub.shift));
    if (n->sub.range_ms <= 0 || n->sub.range_ms > SPAN_MS_MAX || n->sub.step_ms <= 0 || n->sub.step_ms > SPAN_MS_MAX) return bad(t->in);
    return get_node(t, depth + 1, &n->sub.expr);
}

/* Only the call at the top is given scalars: below it the grid may be another. */
static err_t get_given(struct tree_in *t, uint32_t depth, struct pq_node *n)
{
    n->type = PQ_SCALAR;
    bool same = bytes_in_u8(t->in) != 0;
    if (depth != 2 || !t->top || bytes_in_left(t->in) / sizeof(double) < (same ? 1 : t->steps)) return bad(t->in);
    double *v = ARENA_RAW(t->a, double, t->steps);
    bytes_in_copy(t->in, v, sizeof *v * (same ? 1 : t->steps));
    for (uint32_t i = 1; same && i < t->steps; i++) v[i] = v[0];
    n->given = v;
    return OK;
}

static err_t get_node(struct tree_in *t, uint32_t depth, struct pq_node **out)
{
    struct pq_node *n = *out = ARENA_NEW(t->a, struct pq_node);
    uint8_t kind = bytes_in_u8(t->in), bits = bytes_in_u8(t->in);
    TRY(arena_check(t->a));
    n->kind = (enum pq_kind)kind;
    n->invariant = bits & 1;
    n->local = bits & 2;
    n->selects = bits & 4;
    n->start = (uint32_t)bytes_in_varint(t->in);
    n->end = (uint32_t)bytes_in_varint(t->in);
    n->depth = depth;
    if (t->in->bad || depth > PQ_DEPTH_MAX || kind > PQ_GIVEN) return bad(t->in);
    switch (n->kind) {
    case PQ_NUMBER:
        n->type = PQ_SCALAR;
        n->num.value = bytes_in_f64(t->in);
        n->num.duration = bytes_in_u8(t->in) != 0;
        return OK;
    case PQ_STRINGLIT:
        n->type = PQ_STRING;
        n->str = bytes_in_str(t->in);
        return OK;
    case PQ_SELECTOR: return get_selector(t, n);
    case PQ_RANGE: return get_range(t, depth, n);
    case PQ_SUBQUERY: return get_subquery(t, depth, n);
    case PQ_CALL: return get_call(t, depth, n);
    case PQ_AGG: return get_agg(t, depth, n);
    case PQ_BINARY: return get_binary(t, depth, n);
    case PQ_UNARY:
        n->un.minus = bytes_in_u8(t->in) != 0;
        return get_node(t, depth + 1, &n->un.expr);
    case PQ_PAREN: return get_node(t, depth + 1, &n->paren);
    case PQ_GIVEN: return get_given(t, depth, n);
    }
    return bad(t->in);
}

static err_t get_head(struct bytes_in *in, struct read_plan *r)
{
    struct pq_env *e = &r->env;
    struct pq_grid *g = &r->plan.grid;
    uint8_t ask = bytes_in_u8(in);
    r->plan.ask = (enum pq_ask)ask;
    int64_t *const times[] = { &e->start_ms, &e->end_ms, &e->step_ms, &e->lookback_ms, &e->default_step_ms };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) *times[i] = bytes_in_zigzag(in);
    e->instant = bytes_in_u8(in) != 0;
    e->samples = (int64_t)bytes_in_varint(in);
    e->samples_max = (int64_t)bytes_in_varint(in);
    g->start_ms = bytes_in_zigzag(in);
    g->step_ms = (int64_t)bytes_in_varint(in);
    uint64_t n = bytes_in_varint(in);
    g->n = (uint32_t)n;
    int64_t width, last;
    if (in->bad || ask > PQ_ASK_SAMPLES || e->samples < 0 || e->samples_max < 0 || n == 0 || n > INT32_MAX || g->step_ms <= 0) return bad(in);
    if (__builtin_mul_overflow((int64_t)(n - 1), g->step_ms, &width) || __builtin_add_overflow(g->start_ms, width, &last)) return bad(in);
    if (!within(g->start_ms, TIME_MS_MAX) || !within(last, TIME_MS_MAX) || !within(e->lookback_ms, SPAN_MS_MAX)) return bad(in);
    return OK;
}

/* A tree that answers what is asked. */
static bool fits(enum pq_ask ask, const struct pq_node *n)
{
    if (ask == PQ_ASK_AGG) return n->kind == PQ_AGG && pq_agg_mergeable(n->agg.op);
    if (ask == PQ_ASK_SAMPLES) return n->kind == PQ_RANGE;
    return n->type == (ask == PQ_ASK_POINTS ? PQ_MATRIX : PQ_VECTOR);
}

static err_t get_plan(struct query *q, struct bytes_in *in, struct read_plan *r)
{
    struct pq_ast ast = { .arena = q->arena, .text = STR("") };
    struct pq_node *n;
    r->plan.env = &r->env;
    TRY(get_head(in, r));
    /* A grid of which not one row finds room has none of its bytes believed. */
    if (q->budget && q->budget->hard > 0 && r->plan.grid.n > (uint64_t)q->budget->hard / sizeof(double))
        return err_set(q->budget->refusal, "a query of %u steps takes more memory than it may", r->plan.grid.n);
    struct tree_in t = { in, q->arena, &r->regexes, r->plan.grid.n, NULL };
    TRY(get_node(&t, 1, &n));
    if (in->bad) return bad(in);
    TRY(pq_check(&ast, n));
    r->plan.node = n;
    return fits(r->plan.ask, n) ? arena_check(q->arena) : bad(in);
}

err_t pq_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct read_plan *r = ARENA_NEW(q->arena, struct read_plan);
    err_t e = get_plan(q, in, r);
    if (e != OK) pq_regexes_free(&r->regexes);
    *plan = &r->plan;
    return e;
}

void pq_plan_free(const void *plan)
{
    pq_regexes_free(&CONTAINER_OF((struct pq_plan *)(uintptr_t)plan, struct read_plan, plan)->regexes);
}
