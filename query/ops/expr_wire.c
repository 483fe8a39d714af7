#include "query/ops/expr_wire.h"

enum { REFS_MAX = 4096, KIDS_MAX = EXPR_NODES_MAX, LITS_MAX = 1 << 20 };

/* -- writing -------------------------------------------------------------------------------------------------- */
static void put_leaf(struct wire_out *w, const struct leaf *l)
{
    struct buf *out = w->out;
    buf_byte(out, (uint8_t)l->op);
    buf_byte(out, l->words);
    buf_byte(out, l->fold);
    buf_varint(out, l->nrefs);
    for (uint32_t i = 0; i < l->nrefs; i++)
        wire_put_ref(w, &l->refs[i]);
    switch (l->op) {
    case LEAF_EXISTS: return;
    case LEAF_REGEX:
    case LEAF_NREGEX: wire_put_str(w, regex_pattern(l->re)); return;
    case LEAF_RANGE:
        buf_varint(out, l->nranges);
        for (uint32_t i = 0; i < l->nranges; i++) {
            wire_put_val(w, &l->ranges[i].lo);
            wire_put_val(w, &l->ranges[i].hi);
            buf_byte(out, l->ranges[i].lo_open);
            buf_byte(out, l->ranges[i].hi_open);
        }
        return;
    case LEAF_PHRASE:
        buf_varint(out, l->phrase.n);
        for (uint32_t i = 0; i < l->phrase.n; i++)
            wire_put_str(w, l->phrase.tokens[i]);
        buf_varint(out, l->phrase.slop);
        buf_byte(out, l->phrase.last_prefix);
        buf_byte(out, l->phrase.any_order);
        return;
    case LEAF_EQ:
    case LEAF_NE:
    case LEAF_PREFIX:
    case LEAF_WILDCARD:
        buf_varint(out, l->nlits);
        for (uint32_t i = 0; i < l->nlits; i++)
            wire_put_val(w, &l->lits[i]);
    }
}

void expr_put(struct wire_out *w, const struct expr *e)
{
    buf_byte(w->out, (uint8_t)e->kind);
    if (e->kind == EXPR_LEAF) put_leaf(w, &e->leaf);
    if (e->kind < EXPR_AND || e->kind == EXPR_LEAF) return;
    if (e->kind == EXPR_ATLEAST) buf_varint(w->out, e->min);
    buf_varint(w->out, e->nkids);
    for (uint32_t i = 0; i < e->nkids; i++) /* depth is bounded by expr_finish */
        expr_put(w, e->kids[i]);
}

/* -- reading -------------------------------------------------------------------------------------------------- */
static err_t get_regex(struct wire_in *w, struct expr_builder *b, struct leaf *l)
{
    struct str pattern = wire_get_str(w);
    TRY(wire_check(w, "a pattern"));
    if (!pattern.p || pattern.n > REGEX_PATTERN_MAX) return err_set(ERR_CORRUPT, "a condition from another node lacks its pattern");
    return expr_regex(b, pattern, &l->re);
}

static void get_ranges(struct wire_in *w, struct leaf *l)
{
    struct val_range *v = WIRE_LIST(w, struct val_range, 4, LITS_MAX, &l->nranges);
    for (uint32_t i = 0; i < l->nranges && !w->in->bad; i++) {
        v[i].lo = wire_get_val(w);
        v[i].hi = wire_get_val(w);
        v[i].lo_open = wire_get_flag(w);
        v[i].hi_open = wire_get_flag(w);
    }
    l->ranges = v;
}

static void get_phrase(struct wire_in *w, struct phrase *p)
{
    struct str *v = WIRE_LIST(w, struct str, 1, PHRASE_TOKENS_MAX, &p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        v[i] = wire_get_str(w);
        w->in->bad |= v[i].n == 0 || v[i].n > TOKEN_BYTES_MAX * 4;
    }
    p->tokens = v;
    p->slop = wire_get_u32(w, UINT32_MAX);
    p->last_prefix = wire_get_flag(w);
    p->any_order = wire_get_flag(w);
}

static void get_lits(struct wire_in *w, struct leaf *l)
{
    struct val *v = WIRE_LIST(w, struct val, 1, LITS_MAX, &l->nlits);
    bool text = l->op == LEAF_PREFIX || l->op == LEAF_WILDCARD;
    for (uint32_t i = 0; i < l->nlits && !w->in->bad; i++) {
        v[i] = wire_get_val(w);
        w->in->bad |= text ? v[i].type != COL_STR : v[i].type == 0;
    }
    w->in->bad |= text && l->nlits == 0;
    l->lits = v;
}

static err_t get_leaf(struct wire_in *w, struct expr_builder *b, struct expr **out)
{
    struct leaf l = { .op = wire_get_enum(w, LEAF_PHRASE) };
    l.words = wire_get_flag(w);
    l.fold = wire_get_flag(w);
    struct attr_ref *refs = WIRE_LIST(w, struct attr_ref, 5, REFS_MAX, &l.nrefs);
    for (uint32_t i = 0; i < l.nrefs && !w->in->bad; i++)
        refs[i] = wire_get_ref(w);
    l.refs = refs;
    TRY(wire_check(w, "a condition"));
    switch (l.op) {
    case LEAF_EXISTS: break;
    case LEAF_REGEX:
    case LEAF_NREGEX: TRY(get_regex(w, b, &l)); break;
    case LEAF_RANGE: get_ranges(w, &l); break;
    case LEAF_PHRASE: get_phrase(w, &l.phrase); break;
    case LEAF_EQ:
    case LEAF_NE:
    case LEAF_PREFIX:
    case LEAF_WILDCARD: get_lits(w, &l);
    }
    TRY(wire_check(w, "a condition"));
    *out = expr_leaf(b, &l);
    return OK;
}

static err_t get(struct wire_in *w, struct expr_builder *b, unsigned depth, struct expr **out)
{
    enum expr_kind kind = wire_get_enum(w, EXPR_LEAF);
    uint32_t n;
    if (depth > EXPR_DEPTH_MAX || b->nodes > EXPR_NODES_MAX)
        return err_set(ERR_CORRUPT, "a predicate from another node is too deep or too large");
    TRY(wire_check(w, "a predicate"));
    if (kind == EXPR_LEAF) return get_leaf(w, b, out);
    if (kind == EXPR_TRUE || kind == EXPR_FALSE) return *out = kind == EXPR_TRUE ? expr_true(b) : expr_false(b), OK;
    uint32_t min = kind == EXPR_ATLEAST ? wire_get_u32(w, UINT32_MAX) : 0;
    struct expr **kids = WIRE_LIST(w, struct expr *, 1, KIDS_MAX, &n);
    w->in->bad |= kind == EXPR_NOT && n != 1;
    TRY(wire_check(w, "a predicate"));
    for (uint32_t i = 0; i < n; i++)
        TRY(get(w, b, depth + 1, &kids[i]));
    switch (kind) {
    case EXPR_AND: *out = expr_and(b, kids, n); break;
    case EXPR_OR: *out = expr_or(b, kids, n); break;
    case EXPR_NOT: *out = expr_not(b, kids[0]); break;
    default: *out = expr_atleast(b, min, kids, n);
    }
    return arena_check(w->a);
}

err_t expr_get(struct wire_in *w, struct expr_builder *b, struct expr **out)
{
    TRY(get(w, b, 1, out));
    return expr_finish(b, *out);
}
