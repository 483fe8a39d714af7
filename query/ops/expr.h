/* Predicates over rows: a tree built once (immutable, shared by all cores), bound to one rowset after another,
 * and evaluated for up to 1,024 rows at a time into a bit mask.
 *
 *     struct expr_builder b;  expr_builder_init(&b, arena);
 *     struct expr *e = expr_and(&b, (struct expr *[]){ expr_cmp(&b, ref, CMP_GE, val), ... }, n);
 *     expr_finish(&b, e)                                     checks depth, orders AND by cost
 *     --- on each core ---
 *     expr_exec_init(&x, &b, e, budget);
 *     for each rowset:  expr_exec_bind(&x, &src, &can)       can == EXPR_NEVER: skip the rowset
 *         for each chunk:  expr_exec_mask(&x, base, n, mask) mask: in = candidates, out = those that hold
 *     expr_exec_deinit(&x);
 *
 * A leaf asks whether ANY value of its references (several columns, array elements, events, links) satisfies its
 * condition; rows without a value never do. LEAF_NE and LEAF_NREGEX ask for a value of the literal's kind that does
 * not match, or an array without an element that does; over events and links, for one event or link like that. A leaf lists alternatives: typed literals
 * or ranges, any of which may hold; each is compared with values of its own kind only (numbers with
 * numbers, exactly, across int and double).
 * On dictionary columns a leaf is decided once a distinct value; on resources and scopes once each of them. */
#ifndef QUERY_OPS_EXPR_H
#define QUERY_OPS_EXPR_H

#include "query/ops/attr.h"
#include "query/ops/needle.h"
#include "query/ops/text.h"
#include "query/ops/vec.h"
#include "storage/regex.h"

enum { EXPR_DEPTH_MAX = 64, EXPR_NODES_MAX = 65536, MASK_WORDS = VEC_MAX / 64 };

enum expr_kind { EXPR_TRUE, EXPR_FALSE, EXPR_AND, EXPR_OR, EXPR_NOT, EXPR_ATLEAST, EXPR_LEAF };
enum leaf_op {
    LEAF_EQ,       /* one of lits */
    LEAF_NE,
    LEAF_RANGE,    /* in one of ranges */
    LEAF_REGEX,    /* strings: the whole value matches re */
    LEAF_NREGEX,
    LEAF_PREFIX,   /* strings start with lits[0].s */
    LEAF_WILDCARD, /* strings match the pattern lits[0].s */
    LEAF_EXISTS,   /* any value at all */
    LEAF_PHRASE,   /* strings hold the words of phrase */
};
struct val_range {
    struct val lo, hi; /* type 0 = open end */
    bool lo_open, hi_open; /* the bound itself does not count */
};
struct leaf {
    const struct attr_ref *refs;
    uint32_t nrefs;
    enum leaf_op op;
    const struct val *lits;
    uint32_t nlits;
    const struct val_range *ranges;
    uint32_t nranges;
    struct phrase phrase;
    const struct regex *re;
    bool words; /* strings are cut into words (lower case) and any word may satisfy EQ, RANGE, PREFIX, ... */
    bool fold;  /* ASCII case does not count in EQ, PREFIX, WILDCARD; in RANGE too, whose bounds are lower case */
    struct needles needles; /* set by expr_leaf */
};
struct expr {
    enum expr_kind kind;
    uint8_t cost;
    uint32_t nkids;
    struct expr **kids;
    uint32_t min;     /* EXPR_ATLEAST: how many kids must hold */
    uint32_t leaf_id; /* EXPR_LEAF */
    struct leaf leaf;
};

struct expr_builder {
    struct arena *mem;
    uint32_t nleaves, nodes;
    struct regex **regexes; /* owned */
    size_t nregexes, regexes_cap;
};
void expr_builder_init(struct expr_builder *b, struct arena *mem);
void expr_builder_deinit(struct expr_builder *b); /* frees the regexes: after the last use of the tree */

enum cmp_op { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };
struct expr *expr_true(struct expr_builder *b);
struct expr *expr_false(struct expr_builder *b);
/* Copies the kids array. 0 kids: AND is true, OR is false. */
struct expr *expr_and(struct expr_builder *b, struct expr *const *kids, uint32_t n);
struct expr *expr_or(struct expr_builder *b, struct expr *const *kids, uint32_t n);
struct expr *expr_and2(struct expr_builder *b, struct expr *x, struct expr *y);
struct expr *expr_or2(struct expr_builder *b, struct expr *x, struct expr *y);
struct expr *expr_not(struct expr_builder *b, struct expr *x);
struct expr *expr_atleast(struct expr_builder *b, uint32_t min, struct expr *const *kids, uint32_t n);
struct expr *expr_leaf(struct expr_builder *b, const struct leaf *l); /* arrays borrowed: same arena */
struct expr *expr_cmp(struct expr_builder *b, struct attr_ref ref, enum cmp_op op, struct val v);
struct expr *expr_exists(struct expr_builder *b, struct attr_ref ref);
/* ERR_INVALID with the reason when the pattern is no regex. The builder owns *re. */
MUST_CHECK err_t expr_regex(struct expr_builder *b, struct str pattern, const struct regex **re);
/* To be called once on the root. ERR_LIMIT past depth or size. */
MUST_CHECK err_t expr_finish(struct expr_builder *b, struct expr *root);

/* Necessary conditions of the tree, for rows_open: at most max. A hint is about one type of column; the scan
 * keeps rowsets where the name comes with another type (arrays, say). */
uint32_t expr_hints(const struct expr *root, struct scan_hint *hints, uint32_t max);

/* -- evaluation ------------------------------------------------------------------------------------ */
enum expr_can { EXPR_NEVER, EXPR_MAYBE, EXPR_ALWAYS };
struct leaf_state;
struct expr_exec {
    const struct expr *root;
    uint32_t nleaves;
    struct leaf_state *leaves;
    const uint64_t *among; /* while it is bound: the rows that may still satisfy, NULL = all */
    struct arena mem;  /* of the binding: reset by the next */
    struct arena keep; /* of the executor */
};
void expr_exec_init(struct expr_exec *x, const struct expr_builder *b, const struct expr *root,
                    struct budget *budget);
void expr_exec_deinit(struct expr_exec *x);
MUST_CHECK err_t expr_exec_bind(struct expr_exec *x, const struct rows_src *src, enum expr_can *can) MAY_YIELD;
/* Rows [base, base + n); base a multiple of 64, n <= VEC_MAX. */
MUST_CHECK err_t expr_exec_mask(struct expr_exec *x, uint32_t base, uint32_t n, uint64_t mask[MASK_WORDS]);
/* Can a value of that type decide the leaf at all? */
bool leaf_applies(const struct leaf *l, enum col_type t);
/* Does the leaf's condition hold for this one value? What the masks are tested against. */
bool leaf_holds(const struct leaf *l, const struct val *v);

/* -- masks ------------------------------------------------------------------------------------------- */
static inline void mask_fill(uint64_t *m, uint32_t n)
{
    for (uint32_t i = 0; i < MASK_WORDS; i++)
        m[i] = n >= (i + 1) * 64 ? UINT64_MAX : n <= i * 64 ? 0 : (UINT64_C(1) << (n - i * 64)) - 1;
}
static inline bool mask_none(const uint64_t *m)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < MASK_WORDS; i++)
        any |= m[i];
    return any == 0;
}
/* The set bits, ascending; their number. */
static inline uint32_t mask_to_sel(const uint64_t *m, uint16_t *sel)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < MASK_WORDS; i++)
        for (uint64_t w = m[i]; w; w &= w - 1)
            sel[n++] = (uint16_t)(i * 64 + (uint32_t)__builtin_ctzll(w));
    return n;
}

#endif
