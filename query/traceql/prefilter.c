#include "query/traceql/prefilter.h"

static struct prefilter anything(struct expr_builder *b)
{
    return (struct prefilter){ expr_true(b), false };
}

static struct prefilter exactly(struct expr *e)
{
    return (struct prefilter){ e, true };
}

/* -- where fields live ------------------------------------------------------------------------------------ */
static const struct { enum tql_intrinsic i; int rel; const char *name; } columns[] = {
    { TI_DURATION, REL_ROWS, "duration" },       { TI_NAME, REL_ROWS, "name" },
    { TI_STATUS, REL_ROWS, "status_code" },      { TI_STATUS_MESSAGE, REL_ROWS, "status_message" },
    { TI_KIND, REL_ROWS, "kind" },               { TI_SPAN_ID, REL_ROWS, "span_id" },
    { TI_PARENT_ID, REL_ROWS, "parent_span_id" },{ TI_TRACE_ID, REL_ROWS, "trace_id" },
    { TI_EVENT_NAME, REL_EVENTS, "name" },       { TI_LINK_TRACE_ID, REL_LINKS, "trace_id" },
    { TI_LINK_SPAN_ID, REL_LINKS, "span_id" },   { TI_SCOPE_NAME, REL_SCOPE, "name" },
    { TI_SCOPE_VERSION, REL_SCOPE, "version" },
};

bool prefilter_ref(const struct tql_field *f, struct attr_ref *ref)
{
    static const int rels[] = { [TS_ANY] = REL_ROWS, [TS_SPAN] = REL_ROWS, [TS_RESOURCE] = REL_RESOURCE,
                                [TS_EVENT] = REL_EVENTS, [TS_LINK] = REL_LINKS, [TS_INSTRUMENTATION] = REL_SCOPE };
    *ref = (struct attr_ref){ 0 };
    if (f->kind == TF_ATTR) {
        *ref = (struct attr_ref){ .rel = rels[f->scope], .scope = SC_ATTR, .name = f->name };
        return true;
    }
    for (size_t i = 0; f->kind == TF_INTRINSIC && i < ARRAY_LEN(columns); i++)
        if (columns[i].i == f->intrinsic) {
            *ref = (struct attr_ref){ .rel = columns[i].rel, .scope = SC_SELF, .name = str_of(columns[i].name) };
            return true;
        }
    return false;
}

/* -- leaves ------------------------------------------------------------------------------------------------- */
static bool literal_val(const struct tval *v, struct val *out)
{
    switch (v->type) {
    case TV_STR: *out = (struct val){ .type = COL_STR, .s = v->s }; return true;
    case TV_INT: case TV_STATUS: case TV_KIND: *out = (struct val){ .type = COL_I64, .i64 = v->i }; return true;
    case TV_FLOAT: *out = (struct val){ .type = COL_F64, .f64 = v->f }; return true;
    case TV_BOOL: *out = (struct val){ .type = COL_BOOL, .boolean = v->b }; return true;
    default: return false;
    }
}

static struct expr *leaf(struct expr_builder *b, const struct attr_ref *ref, enum tql_op op, const struct tql_field *cmp,
                         struct val v)
{
    static const enum cmp_op ops[] = { [OP_EQ] = CMP_EQ, [OP_NE] = CMP_NE, [OP_LT] = CMP_LT, [OP_LE] = CMP_LE,
                                       [OP_GT] = CMP_GT, [OP_GE] = CMP_GE };
    if (op != OP_RE && op != OP_NRE) return expr_cmp(b, *ref, ops[op], v);
    struct leaf l = { .refs = arena_dup(b->mem, ref, sizeof *ref), .nrefs = 1, .re = cmp->re,
                      .op = op == OP_RE ? LEAF_REGEX : LEAF_NREGEX };
    return expr_leaf(b, &l);
}

/* Ids are hex in queries and raw bytes in columns. */
static struct prefilter id_leaf(struct expr_builder *b, const struct attr_ref *ref, enum tql_op op, struct str hex,
                                size_t width)
{
    char padded[33];
    uint8_t *id = arena_alloc(b->mem, width);
    if ((op != OP_EQ && op != OP_NE) || ref->rel != REL_ROWS) return anything(b);
    if (hex.n > 2 * width) return exactly(op == OP_EQ ? expr_false(b) : expr_true(b));
    memset(padded, '0', sizeof padded);
    if (hex.n) memcpy(padded + 2 * width - hex.n, hex.p, hex.n);
    if (hex.n == 0 || !str_from_hex(str_n(padded, 2 * width), id, width)) return anything(b);
    struct expr *e = expr_cmp(b, *ref, CMP_EQ, (struct val){ .type = COL_FIX, .s = str_n(id, width) });
    /* A short id is padded only for the columns: the exact comparison is by text. */
    return (struct prefilter){ op == OP_EQ ? e : expr_not(b, e), op == OP_EQ && hex.n == 2 * width };
}

/* Own fields of the span always have a value: an absent column entry is the default (0, ""). */
static struct prefilter own_field(struct expr_builder *b, const struct tql_field *cmp, const struct attr_ref *ref,
                                  enum tql_op op, struct val v)
{
    bool negated = op == OP_NE || op == OP_NRE;
    enum tql_op positive = op == OP_NE ? OP_EQ : op == OP_NRE ? OP_RE : op;
    if (ref->rel == REL_EVENTS || ref->rel == REL_LINKS)
        return negated ? anything(b) : exactly(leaf(b, ref, op, cmp, v));
    bool is_default = v.type == COL_STR
                          ? (positive == OP_RE ? regex_match(cmp->re, STR("")) : positive == OP_EQ && v.s.n == 0)
                          : v.type == COL_I64 && positive == OP_EQ && v.i64 == 0;
    if (v.type == COL_STR && positive != OP_EQ && positive != OP_RE) return anything(b);
    struct expr *e = leaf(b, ref, positive, cmp, v);
    if (is_default) e = expr_or2(b, e, expr_not(b, expr_exists(b, *ref)));
    return exactly(negated ? expr_not(b, e) : e);
}

static struct prefilter nil_leaf(struct expr_builder *b, const struct tql_field *l, const struct attr_ref *ref, enum tql_op op)
{
    struct expr *there = expr_exists(b, *ref);
    if (l->scope == TS_ANY) {
        struct attr_ref res = { .rel = REL_RESOURCE, .scope = SC_ATTR, .name = l->name };
        there = expr_or2(b, there, expr_exists(b, res));
    }
    if (op == OP_NE) return exactly(there);
    if (ref->rel == REL_EVENTS || ref->rel == REL_LINKS) return anything(b);
    return exactly(expr_not(b, there));
}

static struct prefilter attr_leaf(struct expr_builder *b, const struct tql_field *cmp, const struct tql_field *l,
                                  const struct attr_ref *ref, enum tql_op op, struct val v)
{
    struct expr *e = leaf(b, ref, op, cmp, v);
    if (l->scope != TS_ANY) return exactly(e);
    /* The span's own value hides the resource's. */
    struct attr_ref res = { .rel = REL_RESOURCE, .scope = SC_ATTR, .name = l->name };
    struct expr *hidden = expr_not(b, expr_exists(b, *ref));
    return exactly(expr_or2(b, e, expr_and2(b, hidden, leaf(b, &res, op, cmp, v))));
}

/* nestedSetParent is -1 at roots and at least 0 elsewhere: comparisons that tell just these two apart ask for a
 * parent id, all others for the trace. */
static struct prefilter nested_parent(struct expr_builder *b, enum tql_op op, const struct tval *v)
{
    struct attr_ref parent = { .rel = REL_ROWS, .scope = SC_SELF, .name = STR("parent_span_id") };
    bool at_root = v->type == TV_INT && ((op == OP_LT && v->i == 0) || (op == OP_LE && v->i == -1) || (op == OP_EQ && v->i == -1));
    bool below = v->type == TV_INT && ((op == OP_GE && v->i == 0) || (op == OP_GT && v->i == -1) || (op == OP_NE && v->i == -1));
    if (!at_root && !below) return anything(b);
    struct expr *has = expr_exists(b, parent);
    return exactly(at_root ? expr_not(b, has) : has);
}

static struct prefilter comparison(const struct tql_field *f, struct expr_builder *b)
{
    static const enum tql_op flip[] = { [OP_EQ] = OP_EQ, [OP_NE] = OP_NE, [OP_LT] = OP_GT, [OP_LE] = OP_GE,
                                        [OP_GT] = OP_LT, [OP_GE] = OP_LE, [OP_RE] = OP_RE, [OP_NRE] = OP_NRE };
    const struct tql_field *l = f->l, *r = f->r;
    enum tql_op op = f->op;
    if (l->kind == TF_LITERAL && r->kind != TF_LITERAL) {
        l = f->r;
        r = f->l;
        op = flip[op];
    }
    struct attr_ref ref;
    struct val v;
    if (r->kind == TF_LITERAL && l->kind == TF_INTRINSIC && l->intrinsic == TI_NESTED_PARENT) return nested_parent(b, op, &r->lit);
    if (r->kind != TF_LITERAL || !prefilter_ref(l, &ref)) return anything(b);
    if (r->lit.type == TV_NIL) return nil_leaf(b, l, &ref, op);
    if (!literal_val(&r->lit, &v)) return anything(b);
    if (l->kind == TF_ATTR) return attr_leaf(b, f, l, &ref, op, v);
    if (l->intrinsic == TI_TRACE_ID || l->intrinsic == TI_LINK_TRACE_ID || l->intrinsic == TI_SPAN_ID ||
        l->intrinsic == TI_PARENT_ID || l->intrinsic == TI_LINK_SPAN_ID)
        return v.type == COL_STR && op != OP_RE && op != OP_NRE
                   ? id_leaf(b, &ref, op, v.s, l->intrinsic == TI_TRACE_ID || l->intrinsic == TI_LINK_TRACE_ID ? 16 : 8)
                   : anything(b);
    return own_field(b, f, &ref, op, v);
}

struct prefilter prefilter_of(const struct tql_field *f, struct expr_builder *b)
{
    if (!f) return exactly(expr_true(b));
    if (f->kind == TF_LITERAL && f->lit.type == TV_BOOL) return exactly(f->lit.b ? expr_true(b) : expr_false(b));
    if (f->kind == TF_ATTR) {
        struct attr_ref ref;
        prefilter_ref(f, &ref);
        return attr_leaf(b, f, f, &ref, OP_EQ, (struct val){ .type = COL_BOOL, .boolean = true });
    }
    if (f->kind == TF_UNARY && f->op == OP_NOT) {
        struct prefilter in = prefilter_of(f->l, b);
        /* A bare attribute that is no boolean is neither true nor false: only comparisons turn over. */
        if (!in.exact || f->l->kind == TF_ATTR) return anything(b);
        return exactly(expr_not(b, in.e));
    }
    if (f->kind != TF_BINARY) return anything(b);
    if (f->op == OP_AND || f->op == OP_OR) {
        struct prefilter l = prefilter_of(f->l, b), r = prefilter_of(f->r, b);
        return (struct prefilter){ f->op == OP_AND ? expr_and2(b, l.e, r.e) : expr_or2(b, l.e, r.e), l.exact && r.exact };
    }
    return f->op >= OP_EQ && f->op <= OP_NRE ? comparison(f, b) : anything(b);
}
