/* A query over one trace: filters, spanset operators, pipelines. Sets of spans are arrays of span numbers in
 * ascending order, so that union is a merge and equality of span is equality of number. */
#include "query/traceql/value.h"

#include "base/core/assert.h"

#include <math.h>
#include <stdlib.h>

struct set {
    uint32_t n;
    uint32_t *span;
    uint32_t nattrs; /* of by() and aggregates */
    struct tattr *attrs;
};
struct sets {
    uint32_t n;
    struct set *s;
};
struct eval {
    const struct tql_query *q;
    const struct tql_trace *t;
    struct arena *a;
};

static err_t run_pipeline(struct eval *e, const struct tql_pipeline *p, const struct set *in, struct sets *out);

static err_t filter_set(struct eval *e, const struct tql_field *f, const struct set *in, struct set *out)
{
    *out = (struct set){ .span = ARENA_RAW(e->a, uint32_t, in->n + 1), .nattrs = in->nattrs, .attrs = in->attrs };
    struct arena scratch;
    arena_init_sized(&scratch, e->a->budget, ARENA_BLOCK_MIN);
    err_t err = OK;
    for (uint32_t i = 0; i < in->n && err == OK; i++) {
        struct tval v = { .type = TV_BOOL, .b = true };
        if (f) v = tql_value(f, e->t, in->span[i], &scratch);
        if (v.type == TV_BOOL && v.b) out->span[out->n++] = in->span[i];
        err = arena_check(&scratch);
        arena_reset(&scratch);
        if (err == OK && rt_in_fiber()) err = rt_checkpoint();
    }
    arena_deinit(&scratch);
    return err;
}

static struct set merge(struct arena *a, const struct set *x, const struct set *y)
{
    struct set out = { .span = ARENA_RAW(a, uint32_t, x->n + y->n + 1) };
    for (uint32_t i = 0, k = 0; i < x->n || k < y->n;) {
        uint32_t l = i < x->n ? x->span[i] : UINT32_MAX, r = k < y->n ? y->span[k] : UINT32_MAX;
        out.span[out.n++] = MIN(l, r);
        i += l <= r;
        k += r <= l;
    }
    return out;
}

/* Is span r in the relation to span l: r child of l, r descendant of l, ... */
static bool related(const struct tql_trace *t, enum tql_op op, uint32_t l, uint32_t r)
{
    if (!t->left[l] || !t->left[r] || l == r) return false;
    switch (op) {
    case OP_CHILD: return t->parent[r] == (int32_t)l;
    case OP_PARENT: return t->parent[l] == (int32_t)r;
    case OP_DESCENDANT: return t->left[r] > t->left[l] && t->right[r] < t->right[l];
    case OP_ANCESTOR: return t->left[l] > t->left[r] && t->right[l] < t->right[r];
    default: return t->parent[l] >= 0 && t->parent[l] == t->parent[r];
    }
}

static err_t relate(struct eval *e, const struct tql_spanset *s, const struct set *l, const struct set *r, struct set *out)
{
    struct set right = { .span = ARENA_RAW(e->a, uint32_t, r->n + 1) };
    struct set both = { .span = ARENA_RAW(e->a, uint32_t, l->n + 1) };
    uint8_t *used = ARENA_ARRAY(e->a, uint8_t, l->n);
    for (uint32_t k = 0; k < r->n; k++) {
        bool hit = false;
        for (uint32_t i = 0; i < l->n; i++) {
            if (!related(e->t, s->op, l->span[i], r->span[k])) continue;
            hit = true;
            used[i] = 1;
            if (s->form != REL_UNION) break;
        }
        if (hit != (s->form == REL_NOT)) right.span[right.n++] = r->span[k];
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    for (uint32_t i = 0; i < l->n; i++)
        if (used[i]) both.span[both.n++] = l->span[i];
    *out = s->form == REL_UNION ? merge(e->a, &both, &right) : right;
    return OK;
}

static err_t run_spanset(struct eval *e, const struct tql_spanset *s, const struct set *in, struct set *out)
{
    if (s->kind == TSS_FILTER) return filter_set(e, s->filter, in, out);
    if (s->kind == TSS_PIPELINE) {
        struct sets inner;
        TRY(run_pipeline(e, s->inner, in, &inner));
        *out = (struct set){ 0 };
        for (uint32_t i = 0; i < inner.n; i++)
            *out = merge(e->a, out, &inner.s[i]);
        if (inner.n == 1) {
            out->nattrs = inner.s[0].nattrs;
            out->attrs = inner.s[0].attrs;
        }
        return OK;
    }
    struct set l, r;
    TRY(run_spanset(e, s->l, in, &l));
    TRY(run_spanset(e, s->r, in, &r));
    if (s->op == OP_AND || s->op == OP_OR) {
        *out = s->op == OP_AND && (!l.n || !r.n) ? (struct set){ 0 } : merge(e->a, &l, &r);
        return OK;
    }
    return relate(e, s, &l, &r, out);
}

/* -- aggregates ------------------------------------------------------------------------------------------------- */
static struct tval aggregate(struct eval *e, const struct tql_scalar *s, const struct set *in)
{
    if (s->agg == TA_COUNT) return (struct tval){ .type = TV_INT, .i = in->n };
    double sum = 0, best = NAN;
    uint32_t n = 0;
    bool duration = false, whole = true;
    for (uint32_t i = 0; i < in->n; i++) {
        struct tval v = tql_value(s->of, e->t, in->span[i], e->a);
        if (v.type != TV_INT && v.type != TV_FLOAT) continue;
        double x = v.type == TV_INT ? (double)v.i : v.f;
        duration |= v.duration;
        whole &= v.type == TV_INT;
        sum += x;
        if (n == 0 || (s->agg == TA_MIN ? x < best : x > best)) best = x;
        n++;
    }
    if (n == 0) return (struct tval){ .type = TV_NIL };
    double out = s->agg == TA_SUM ? sum : s->agg == TA_AVG ? sum / n : best;
    if ((duration || (whole && s->agg != TA_AVG)) && fabs(out) < 9e18)
        return (struct tval){ .type = TV_INT, .duration = duration, .i = (int64_t)llround(out) };
    return (struct tval){ .type = TV_FLOAT, .f = out };
}

static struct tval run_scalar(struct eval *e, const struct tql_scalar *s, struct set *in)
{
    if (s->agg) {
        struct tval v = aggregate(e, s, in);
        struct tattr *attrs = ARENA_RAW(e->a, struct tattr, in->nattrs + 1);
        if (in->nattrs) memcpy(attrs, in->attrs, in->nattrs * sizeof *attrs);
        attrs[in->nattrs++] = (struct tattr){ s->text, v };
        in->attrs = attrs;
        return v;
    }
    if (s->op == OP_NONE) return s->of->lit;
    struct tval l = run_scalar(e, s->l, in), r = run_scalar(e, s->r, in);
    struct tql_field fl = { .kind = TF_LITERAL, .lit = l }, fr = { .kind = TF_LITERAL, .lit = r };
    struct tql_field f = { .kind = TF_BINARY, .op = s->op, .l = &fl, .r = &fr };
    return tql_value(&f, e->t, 0, e->a);
}

/* -- stages ------------------------------------------------------------------------------------------------------- */
static bool same_group(const struct tval *x, const struct tval *y)
{
    if (x->type != y->type) return false;
    switch (x->type) {
    case TV_NIL: return true;
    case TV_BOOL: return x->b == y->b;
    case TV_FLOAT: return x->f == y->f;
    case TV_STR: case TV_BYTES: case TV_JSON: return str_eq(x->s, y->s);
    default: return x->i == y->i;
    }
}

static err_t group_by(struct eval *e, const struct tql_field *by, const struct set *in, struct sets *out)
{
    struct set *groups = NULL;
    struct tval *keys = NULL;
    size_t cap = 0, key_cap = 0;
    uint32_t n = 0, first = out->n;
    for (uint32_t i = 0; i < in->n; i++) {
        struct tval v = tql_value(by, e->t, in->span[i], e->a);
        uint32_t g = 0;
        while (g < n && !same_group(&keys[g], &v))
            g++;
        if (g == n) {
            groups = arena_grow(e->a, groups, n, &cap, n + 1, sizeof *groups);
            keys = arena_grow(e->a, keys, n, &key_cap, n + 1, sizeof *keys);
            keys[n] = v;
            struct tattr *attrs = ARENA_RAW(e->a, struct tattr, in->nattrs + 1);
            if (in->nattrs) memcpy(attrs, in->attrs, in->nattrs * sizeof *attrs);
            attrs[in->nattrs] = (struct tattr){ arena_printf(e->a, "by(" STR_FMT ")", STR_ARG(by->text)), v };
            groups[n++] = (struct set){ .span = ARENA_RAW(e->a, uint32_t, in->n), .nattrs = in->nattrs + 1, .attrs = attrs };
        }
        groups[g].span[groups[g].n++] = in->span[i];
        TRY(arena_check(e->a));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    struct set *all = ARENA_RAW(e->a, struct set, first + n + 1);
    if (first) memcpy(all, out->s, first * sizeof *all);
    if (n) memcpy(all + first, groups, n * sizeof *all);
    *out = (struct sets){ first + n, all };
    return OK;
}

static err_t run_stage(struct eval *e, const struct tql_stage *st, const struct sets *in, struct sets *out)
{
    *out = (struct sets){ 0, ARENA_RAW(e->a, struct set, in->n + 1) };
    struct set all = { 0 };
    for (uint32_t i = 0; i < in->n; i++) {
        struct set s = in->s[i], kept;
        switch (st->kind) {
        case TST_SPANSET:
            TRY(run_spanset(e, st->spanset, &s, &kept));
            if (!kept.nattrs) {
                kept.nattrs = s.nattrs;
                kept.attrs = s.attrs;
            }
            if (kept.n) out->s[out->n++] = kept;
            break;
        case TST_BY: TRY(group_by(e, st->by, &s, out)); break;
        case TST_COALESCE: all = merge(e->a, &all, &s); break;
        case TST_SELECT: out->s[out->n++] = s; break;
        case TST_SCALAR: {
            struct tval l = run_scalar(e, st->l, &s), r = run_scalar(e, st->r, &s);
            if (tval_compare(st->cmp, &l, &r, NULL, e->a)) out->s[out->n++] = s;
            break;
        }
        }
    }
    if (st->kind == TST_COALESCE && all.n) out->s[out->n++] = all;
    return arena_check(e->a);
}

static err_t run_pipeline(struct eval *e, const struct tql_pipeline *p, const struct set *in, struct sets *out)
{
    struct sets now = { 1, ARENA_NEW(e->a, struct set) };
    now.s[0] = *in;
    for (const struct tql_stage *st = p->first; st; st = st->next) {
        TRY(run_stage(e, st, &now, out));
        now = *out;
        if (now.n == 0) break;
    }
    *out = now;
    return OK;
}

/* -- the answer ---------------------------------------------------------------------------------------------------- */
static void add_field(struct eval *e, const struct tql_field *f, uint32_t span, struct tql_result_span *rs)
{
    struct tvals vals = { 0 };
    tql_values(f, e->t, span, e->a, &vals);
    struct str text = f->kind == TF_ATTR && f->scope != TS_ANY ? f->name : f->text;
    if (f->kind == TF_ATTR && f->scope == TS_ANY) text = f->name;
    for (uint32_t i = 0; i < rs->nattrs; i++)
        if (str_eq(rs->attrs[i].key, text)) return;
    for (uint32_t i = 0; i < vals.n; i++)
        if (vals.v[i].type != TV_NIL) {
            rs->attrs[rs->nattrs++] = (struct tattr){ text, vals.v[i] };
            return;
        }
}

static uint32_t selected_count(const struct tql_query *q)
{
    uint32_t n = q->nmentioned;
    for (const struct tql_stage *st = q->pipeline->first; st; st = st->next)
        n += st->nselect;
    return n;
}

static void answer_set(struct eval *e, const struct set *s, uint32_t spss, struct tql_result_set *out)
{
    uint32_t n = spss && spss < s->n ? spss : s->n, fields = selected_count(e->q);
    *out = (struct tql_result_set){ .matched = s->n, .nspans = n, .nattrs = s->nattrs, .attrs = s->attrs,
                                    .spans = ARENA_ARRAY(e->a, struct tql_result_span, n + 1) };
    for (uint32_t i = 0; i < n; i++) {
        struct tql_result_span *rs = &out->spans[i];
        rs->span = e->t->spans[s->span[i]];
        rs->attrs = ARENA_RAW(e->a, struct tattr, fields + 1);
        for (uint32_t k = 0; k < e->q->nmentioned; k++)
            add_field(e, e->q->mentioned[k], s->span[i], rs);
        for (const struct tql_stage *st = e->q->pipeline->first; st; st = st->next)
            for (uint32_t k = 0; k < st->nselect; k++)
                add_field(e, st->select[k], s->span[i], rs);
    }
}

static err_t run_all(struct eval *e, struct sets *out)
{
    struct set all = { .n = e->t->n, .span = ARENA_RAW(e->a, uint32_t, e->t->n + 1) };
    for (uint32_t i = 0; i < e->t->n; i++)
        all.span[i] = i;
    return run_pipeline(e, e->q->pipeline, &all, out);
}

err_t tql_select(const struct tql_query *q, const struct tql_trace *t, struct arena *a, uint32_t **spans, uint32_t *n)
{
    struct eval e = { q, t, a };
    struct sets sets;
    struct set all = { 0 };
    TRY(run_all(&e, &sets));
    for (uint32_t i = 0; i < sets.n; i++)
        all = i ? merge(a, &all, &sets.s[i]) : sets.s[i];
    *spans = all.span;
    *n = all.n;
    return arena_check(a);
}

err_t tql_eval(const struct tql_query *q, const struct tql_trace *t, uint32_t spss, struct arena *a, struct tql_result *out)
{
    struct eval e = { q, t, a };
    struct sets sets;
    TRY(run_all(&e, &sets));
    *out = (struct tql_result){ .sets = ARENA_ARRAY(a, struct tql_result_set, sets.n + 1) };
    for (uint32_t i = 0; i < sets.n; i++)
        if (sets.s[i].n) answer_set(&e, &sets.s[i], spss, &out->sets[out->nsets++]);
    out->match = out->nsets > 0;
    return OK;
}
