/* Building of predicate trees, and what they tell the scan in advance. */
#include "query/ops/expr.h"

#include <math.h>

void expr_builder_init(struct expr_builder *b, struct arena *mem)
{
    *b = (struct expr_builder){ .mem = mem };
}

void expr_builder_deinit(struct expr_builder *b)
{
    for (size_t i = 0; i < b->nregexes; i++)
        regex_free(b->regexes[i]);
    b->nregexes = 0;
}

static struct expr *node(struct expr_builder *b, enum expr_kind kind)
{
    struct expr *e = ARENA_NEW(b->mem, struct expr);
    e->kind = kind;
    b->nodes++;
    return e;
}

struct expr *expr_true(struct expr_builder *b) { return node(b, EXPR_TRUE); }
struct expr *expr_false(struct expr_builder *b) { return node(b, EXPR_FALSE); }

static struct expr *list(struct expr_builder *b, enum expr_kind kind, struct expr *const *kids, uint32_t n)
{
    struct expr *e = node(b, kind);
    e->nkids = n;
    e->kids = ARENA_RAW(b->mem, struct expr *, n);
    if (n) memcpy(e->kids, kids, n * sizeof *kids);
    return e;
}

struct expr *expr_and(struct expr_builder *b, struct expr *const *kids, uint32_t n)
{
    return n == 0 ? expr_true(b) : n == 1 ? kids[0] : list(b, EXPR_AND, kids, n);
}
struct expr *expr_or(struct expr_builder *b, struct expr *const *kids, uint32_t n)
{
    return n == 0 ? expr_false(b) : n == 1 ? kids[0] : list(b, EXPR_OR, kids, n);
}
struct expr *expr_and2(struct expr_builder *b, struct expr *x, struct expr *y)
{
    return expr_and(b, (struct expr *[]){ x, y }, 2);
}
struct expr *expr_or2(struct expr_builder *b, struct expr *x, struct expr *y)
{
    return expr_or(b, (struct expr *[]){ x, y }, 2);
}
struct expr *expr_not(struct expr_builder *b, struct expr *x)
{
    return list(b, EXPR_NOT, &x, 1);
}
struct expr *expr_atleast(struct expr_builder *b, uint32_t min, struct expr *const *kids, uint32_t n)
{
    if (min == 0) return expr_true(b);
    if (min > n) return expr_false(b);
    if (min == n) return expr_and(b, kids, n);
    if (min == 1) return expr_or(b, kids, n);
    struct expr *e = list(b, EXPR_ATLEAST, kids, n);
    e->min = min;
    return e;
}

struct expr *expr_leaf(struct expr_builder *b, const struct leaf *l)
{
    static const uint8_t cost[] = { [LEAF_EQ] = 2, [LEAF_NE] = 2, [LEAF_RANGE] = 2, [LEAF_REGEX] = 6,
        [LEAF_NREGEX] = 6, [LEAF_PREFIX] = 3, [LEAF_WILDCARD] = 5, [LEAF_EXISTS] = 1, [LEAF_PHRASE] = 7 };
    struct expr *e = node(b, EXPR_LEAF);
    e->leaf = *l;
    e->leaf.needles = needles_of(l, b->mem);
    e->leaf_id = b->nleaves++;
    e->cost = (uint8_t)(cost[l->op] + (l->words ? 4 : 0));
    return e;
}

struct expr *expr_cmp(struct expr_builder *b, struct attr_ref ref, enum cmp_op op, struct val v)
{
    struct leaf l = { .refs = arena_dup(b->mem, &ref, sizeof ref), .nrefs = 1 };
    if (op == CMP_EQ || op == CMP_NE) {
        l.op = op == CMP_EQ ? LEAF_EQ : LEAF_NE;
        l.lits = arena_dup(b->mem, &v, sizeof v);
        l.nlits = 1;
    } else {
        struct val_range r = { 0 };
        if (op == CMP_LT || op == CMP_LE) r.hi = v, r.hi_open = op == CMP_LT;
        else r.lo = v, r.lo_open = op == CMP_GT;
        l.op = LEAF_RANGE;
        l.ranges = arena_dup(b->mem, &r, sizeof r);
        l.nranges = 1;
    }
    return expr_leaf(b, &l);
}

struct expr *expr_exists(struct expr_builder *b, struct attr_ref ref)
{
    struct leaf l = { .refs = arena_dup(b->mem, &ref, sizeof ref), .nrefs = 1, .op = LEAF_EXISTS };
    return expr_leaf(b, &l);
}

err_t expr_regex(struct expr_builder *b, struct str pattern, const struct regex **re)
{
    struct regex *r;
    TRY(regex_new(pattern, &r));
    b->regexes = arena_grow(b->mem, b->regexes, b->nregexes, &b->regexes_cap, b->nregexes + 1, sizeof(r));
    b->regexes[b->nregexes++] = r;
    *re = r;
    return OK;
}

/* Insertion sort by cost: stable, and kids are few. Long lists (terms) are one leaf. */
static void order_kids(struct expr *e)
{
    for (uint32_t i = 1; i < e->nkids; i++) {
        struct expr *k = e->kids[i];
        uint32_t j = i;
        for (; j > 0 && e->kids[j - 1]->cost > k->cost; j--)
            e->kids[j] = e->kids[j - 1];
        e->kids[j] = k;
    }
}

static err_t finish(struct expr *e, unsigned depth)
{
    if (depth > EXPR_DEPTH_MAX) return err_set(ERR_LIMIT, "the query nests deeper than %d", EXPR_DEPTH_MAX);
    for (uint32_t i = 0; i < e->nkids; i++) {
        TRY(finish(e->kids[i], depth + 1));
        if (e->kids[i]->cost > e->cost) e->cost = e->kids[i]->cost;
    }
    if ((e->kind == EXPR_AND || e->kind == EXPR_OR) && e->nkids <= 1024) order_kids(e);
    return OK;
}

err_t expr_finish(struct expr_builder *b, struct expr *root)
{
    if (b->nodes > EXPR_NODES_MAX) return err_set(ERR_LIMIT, "the query has over %d conditions", EXPR_NODES_MAX);
    return finish(root, 1);
}

/* -- hints ------------------------------------------------------------------------------------------ */

struct hints {
    struct scan_hint *h;
    uint32_t n, max;
};

static void hint_add(struct hints *hs, const struct attr_ref *r, struct scan_hint h)
{
    if (hs->n == hs->max) return;
    h.rel = r->rel;
    h.scope = r->scope;
    h.name = r->name;
    hs->h[hs->n++] = h;
}

static void hint_range(struct hints *hs, const struct leaf *l)
{
    const struct val_range *g = &l->ranges[0];
    struct scan_hint h = { .kind = HINT_I64_RANGE, .min = INT64_MIN, .max = INT64_MAX };
    if (l->nranges != 1) return;
    if ((g->lo.type && g->lo.type != COL_I64) || (g->hi.type && g->hi.type != COL_I64)) return;
    if (g->lo.type) h.min = g->lo.i64;
    if (g->hi.type) h.max = g->hi.i64;
    hint_add(hs, &l->refs[0], h);
}

/* Do all references name the same columns (a string, or inside JSON of that name)? */
static bool one_name(const struct leaf *l)
{
    for (uint32_t i = 0; i < l->nrefs; i++) {
        const struct attr_ref *r = &l->refs[i], *first = &l->refs[0];
        if (r->below || r->rel != first->rel || r->scope != first->scope || !str_eq(r->name, first->name)) return false;
    }
    return l->nrefs > 0;
}

static void hint_eq(struct hints *hs, const struct attr_ref *r, const struct val *v)
{
    if (v->type == COL_FIX) hint_add(hs, r, (struct scan_hint){ .kind = HINT_FIX_EQ, .value = v->s });
    else if (v->type == COL_STR) hint_add(hs, r, (struct scan_hint){ .kind = HINT_STR_EQ, .value = v->s });
    else if (v->type == COL_I64) hint_add(hs, r, (struct scan_hint){ .kind = HINT_I64_RANGE, .min = v->i64, .max = v->i64 });
}

static void hint_leaf(struct hints *hs, const struct leaf *l)
{
    const struct attr_ref *r = &l->refs[0];
    if (!one_name(l)) return;
    if (l->op == LEAF_PHRASE) {
        uint32_t whole = l->phrase.n - (l->phrase.n && l->phrase.last_prefix); /* a phrase may have no words at all */
        for (uint32_t i = 0; i < whole; i++)
            hint_add(hs, r, (struct scan_hint){ .kind = HINT_TOKEN, .value = l->phrase.tokens[i] });
    } else if (l->op == LEAF_EQ && l->words && l->nlits == 1 && l->lits[0].type == COL_STR) {
        hint_add(hs, r, (struct scan_hint){ .kind = HINT_TOKEN, .value = l->lits[0].s });
    } else if (l->nrefs == 1 && r->path.n == 0) {
        if (l->op == LEAF_RANGE) hint_range(hs, l);
        else if (l->op == LEAF_EQ && l->nlits == 1 && !l->words && !l->fold) hint_eq(hs, r, &l->lits[0]);
    }
}

static void hint_walk(struct hints *hs, const struct expr *e)
{
    if (e->kind == EXPR_LEAF) hint_leaf(hs, &e->leaf);
    if (e->kind == EXPR_AND)
        for (uint32_t i = 0; i < e->nkids; i++)
            hint_walk(hs, e->kids[i]);
}

uint32_t expr_hints(const struct expr *root, struct scan_hint *hints, uint32_t max)
{
    struct hints hs = { .h = hints, .max = max };
    hint_walk(&hs, root);
    return hs.n;
}
