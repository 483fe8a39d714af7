/* Evaluation of predicate trees: binding of leaves to the columns of a rowset, and masks of 1,024 rows. */
#include "query/ops/expr.h"

#include "storage/tokens.h"

#include <math.h>

/* Up to so many entries of a dictionary that may satisfy are decided at binding, so that a rowset without any matching
 * entry is skipped; more of them one by one, only for rows that other conditions left. */
enum { DICT_EAGER_MAX = 4096 };

struct col_state {
    const struct column *col;
    uint64_t *known, *holds; /* a bit a dictionary entry; known == NULL: all are */
    const uint64_t *rows;    /* or, col being NULL: a bit a row of the rowset, of those in `among` at the binding */
    bool never;
};
struct ref_state {
    struct attr_reader r;
    struct col_state *cols;  /* r.n */
    uint64_t *rel; /* dims and children: a bit a row of the relation, NULL until asked for */
};
struct leaf_state {
    const struct leaf *leaf;
    struct ref_state *refs;
    bool never, always; /* settled: refs are not bound */
};

/* -- one value ---------------------------------------------------------------------------------------- */

static bool same_kind(enum col_type a, enum col_type b)
{
    if (a == COL_I64 || a == COL_F64) return b == COL_I64 || b == COL_F64;
    return a == b;
}

static bool in_range(const struct val_range *g, const struct val *v)
{
    if (v->type == COL_F64 && isnan(v->f64)) return false;
    if (!g->lo.type && !g->hi.type) return true;
    if (g->lo.type) {
        if (!same_kind(g->lo.type, v->type)) return false;
        int c = val_cmp(v, &g->lo);
        if (c < 0 || (c == 0 && g->lo_open)) return false;
    }
    if (g->hi.type) {
        if (!same_kind(g->hi.type, v->type)) return false;
        int c = val_cmp(v, &g->hi);
        if (c > 0 || (c == 0 && g->hi_open)) return false;
    }
    return true;
}

/* Byte order of s, ASCII folded, against a bound that is in lower case. */
static int fold_cmp(struct str s, struct str lower)
{
    for (size_t i = 0; i < s.n && i < lower.n; i++) {
        uint8_t c = (uint8_t)s.p[i], d = (uint8_t)lower.p[i];
        if (c >= 'A' && c <= 'Z') c = (uint8_t)(c + 32);
        if (c != d) return c < d ? -1 : 1;
    }
    return s.n < lower.n ? -1 : s.n > lower.n;
}

static bool in_fold_range(const struct val_range *g, struct str s)
{
    if ((g->lo.type && g->lo.type != COL_STR) || (g->hi.type && g->hi.type != COL_STR)) return false;
    int lo = g->lo.type ? fold_cmp(s, g->lo.s) : 1, hi = g->hi.type ? fold_cmp(s, g->hi.s) : -1;
    return (lo > 0 || (lo == 0 && !g->lo_open)) && (hi < 0 || (hi == 0 && !g->hi_open));
}

static bool str_holds(const struct leaf *l, struct str s)
{
    struct val v = { .type = COL_STR, .s = s };
    switch (l->op) {
    case LEAF_EQ:
    case LEAF_NE:
        for (uint32_t i = 0; i < l->nlits; i++) {
            const struct val *lit = &l->lits[i];
            if (lit->type == COL_STR && (l->fold ? str_ieq(s, lit->s) : str_eq(s, lit->s))) return true;
        }
        return false;
    case LEAF_RANGE:
        for (uint32_t i = 0; i < l->nranges; i++)
            if (l->fold ? in_fold_range(&l->ranges[i], s) : in_range(&l->ranges[i], &v)) return true;
        return false;
    case LEAF_REGEX:
    case LEAF_NREGEX: return regex_match(l->re, s);
    case LEAF_PREFIX:
        if (!l->fold) return str_starts(s, l->lits[0].s);
        return str_ieq(str_sub(s, 0, l->lits[0].s.n), l->lits[0].s);
    case LEAF_WILDCARD: return wildcard_match(l->lits[0].s, s, l->fold);
    case LEAF_PHRASE: return phrase_match(&l->phrase, s);
    case LEAF_EXISTS: return true;
    }
    return false;
}

enum { LITS_SOUGHT_MAX = 4 }; /* beyond, cutting the text once is less work than searching it for each */

/* Conditions that are a search for a few plain words (which are lower case: folding them changes nothing). */
static bool sought(const struct leaf *l)
{
    if (l->op != LEAF_EQ && l->op != LEAF_NE && l->op != LEAF_PREFIX) return false;
    for (uint32_t i = 0; i < l->nlits; i++)
        if (l->lits[i].type != COL_STR || !token_plain(l->lits[i].s)) return false;
    return l->op == LEAF_PREFIX ? l->nlits == 1 : l->nlits <= LITS_SOUGHT_MAX;
}

static bool words_hold(const struct leaf *l, struct str s)
{
    struct str word;
    if (sought(l)) {
        for (uint32_t i = 0; i < l->nlits; i++)
            if (text_has_word(s, l->lits[i].s, l->op == LEAF_PREFIX)) return true;
        return false;
    }
    while (token_next(&s, &word)) {
        char lower[TOKEN_BYTES_MAX];
        bool ascii = true;
        for (size_t i = 0; i < word.n; i++) {
            uint8_t c = (uint8_t)word.p[i];
            ascii &= c < 0x80;
            lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        if (ascii || l->op == LEAF_REGEX || l->op == LEAF_NREGEX) {
            if (str_holds(l, str_n(lower, word.n))) return true;
            continue;
        }
        for (uint32_t i = 0; i < l->nlits; i++)
            if (l->op == LEAF_PREFIX ? text_starts_lower(word, l->lits[i].s) : text_eq_lower(word, l->lits[i].s))
                return true;
        if (l->op != LEAF_EQ && l->op != LEAF_NE && str_holds(l, str_n(lower, word.n))) return true;
    }
    return false;
}

/* The positive condition: NE and NREGEX are turned around by their callers. */
static bool positive(const struct leaf *l, const struct val *v)
{
    if (l->op == LEAF_EXISTS) return true;
    if (v->type == COL_STR) return l->words ? words_hold(l, v->s) : str_holds(l, v->s);
    if (l->op == LEAF_EQ || l->op == LEAF_NE) {
        for (uint32_t i = 0; i < l->nlits; i++)
            if (same_kind(l->lits[i].type, v->type) && val_cmp(v, &l->lits[i]) == 0) return true;
    } else if (l->op == LEAF_RANGE) {
        for (uint32_t i = 0; i < l->nranges; i++)
            if (in_range(&l->ranges[i], v)) return true;
    }
    return false;
}

static bool negated(const struct leaf *l) { return l->op == LEAF_NE || l->op == LEAF_NREGEX; }

bool leaf_holds(const struct leaf *l, const struct val *v)
{
    return v->type != 0 && positive(l, v) != negated(l);
}

static bool list_holds(const struct leaf *l, const struct val_list *vs)
{
    for (uint32_t i = 0; i < vs->n; i++)
        if (positive(l, &vs->v[i])) return !negated(l);
    return vs->n > 0 && negated(l);
}

/* -- binding -------------------------------------------------------------------------------------------- */

void expr_exec_init(struct expr_exec *x, const struct expr_builder *b, const struct expr *root,
                    struct budget *budget)
{
    *x = (struct expr_exec){ .root = root, .nleaves = b->nleaves };
    arena_init(&x->mem, budget);
    arena_init(&x->keep, budget);
    x->leaves = ARENA_ARRAY(&x->keep, struct leaf_state, b->nleaves ? b->nleaves : 1);
}

void expr_exec_deinit(struct expr_exec *x)
{
    arena_deinit(&x->mem);
    arena_deinit(&x->keep);
}

static bool entry_holds(struct expr_exec *x, const struct leaf *l, struct ref_state *rs, uint32_t c, uint32_t code)
{
    const struct column *col = rs->cols[c].col;
    if (col->type == COL_JSON) {
        struct val_list *vs = &rs->r.json[c][code];
        if (vs->n == UINT32_MAX) *vs = json_path_values(dict_get(&col->dict, code), rs->r.path, &x->mem);
        return list_holds(l, vs);
    }
    struct val v = { .type = col->type, .s = dict_get(&col->dict, code) };
    return positive(l, &v) != negated(l);
}

static bool bit_get(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> (i % 64) & 1; }

/* Decides those of the entries whose bits are set. */
static void decide(struct expr_exec *x, const struct leaf *l, struct ref_state *rs, uint32_t c, const uint64_t *entries)
{
    struct col_state *cs = &rs->cols[c];
    for (uint32_t w = 0; w * 64 < cs->col->dict.count; w++)
        for (uint64_t left = entries[w]; left; left &= left - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(left);
            bool holds = entry_holds(x, l, rs, c, i);
            cs->holds[w] = (cs->holds[w] & ~(UINT64_C(1) << (i % 64))) | (uint64_t)holds << (i % 64);
        }
}

/* The entries that hold a needle may satisfy; what the others say is known. */
static err_t bind_dict(struct expr_exec *x, const struct leaf *l, struct ref_state *rs, uint32_t c)
{
    struct col_state *cs = &rs->cols[c];
    uint32_t count = cs->col->dict.count, words = count / 64 + 1, open = count;
    cs->holds = ARENA_ARRAY(&x->mem, uint64_t, words);
    uint64_t *may = ARENA_ARRAY(&x->mem, uint64_t, words);
    /* A value that does not hold what it must not match is one; in a list without values there is none. */
    bool sure = !negated(l) || cs->col->type == COL_STR;
    if (sure && needles_candidates(&l->needles, cs->col, may, &x->mem)) {
        open = 0;
        for (uint32_t w = 0; w * 64 < count; w++)
            open += (uint32_t)__builtin_popcountll(may[w]);
        if (negated(l)) memset(cs->holds, 0xff, words * sizeof *cs->holds);
    } else {
        memset(may, 0xff, words * sizeof *may);
        if (count % 64) may[count / 64] = (UINT64_C(1) << (count % 64)) - 1;
        else may[count / 64] = 0;
    }
    if (open > DICT_EAGER_MAX) {
        cs->known = may;
        for (uint32_t w = 0; w < words; w++)
            cs->known[w] = ~may[w];
        return arena_check(&x->mem);
    }
    decide(x, l, rs, c, may);
    uint64_t any = negated(l) && open < count;
    for (uint32_t w = 0; w < words && !negated(l); w++)
        any |= cs->holds[w];
    for (uint32_t i = 0; i < count && negated(l) && !any; i++)
        any = bit_get(cs->holds, i);
    cs->never = any == 0;
    return arena_check(&x->mem);
}

static bool is_dict(enum col_type t) { return t == COL_STR || t == COL_BYTES || t == COL_JSON; }

bool leaf_applies(const struct leaf *l, enum col_type t)
{
    if (l->op == LEAF_EXISTS || t == COL_JSON) return true;
    if (l->op == LEAF_EQ || l->op == LEAF_NE) {
        for (uint32_t i = 0; i < l->nlits; i++)
            if (same_kind(l->lits[i].type, t)) return true;
        return false;
    }
    if (l->op == LEAF_RANGE) {
        for (uint32_t i = 0; i < l->nranges; i++) {
            const struct val_range *g = &l->ranges[i];
            enum col_type want = g->lo.type ? g->lo.type : g->hi.type;
            if (want == 0 || same_kind(want, t)) return true;
        }
        return false;
    }
    return t == COL_STR;
}

/* The integers of a range of numbers as closed bounds; false when there is none. */
static bool range_i64(const struct val_range *g, int64_t *lo, int64_t *hi)
{
    *lo = INT64_MIN;
    *hi = INT64_MAX;
    if (g->lo.type == COL_I64) {
        if (g->lo_open && g->lo.i64 == INT64_MAX) return false;
        *lo = g->lo.i64 + (g->lo_open ? 1 : 0);
    } else if (g->lo.type) {
        double d = ceil(g->lo.f64);
        if (g->lo_open && d == g->lo.f64) d += 1;
        if (!(d < 0x1p63)) return false;
        if (d > -0x1p63) *lo = (int64_t)d;
    }
    if (g->hi.type == COL_I64) {
        if (g->hi_open && g->hi.i64 == INT64_MIN) return false;
        *hi = g->hi.i64 - (g->hi_open ? 1 : 0);
    } else if (g->hi.type) {
        double d = floor(g->hi.f64);
        if (g->hi_open && d == g->hi.f64) d -= 1;
        if (!(d >= -0x1p63)) return false;
        if (d < 0x1p63) *hi = (int64_t)d;
    }
    return *lo <= *hi;
}

static bool is_num(enum col_type t) { return t == COL_I64 || t == COL_F64; }

/* A range of the rows' own integers, such as a window of time, that takes in all of a rowset or nothing of it: then no
 * column is read. */
static bool zone_settles(const struct leaf *l, struct leaf_state *ls, const struct rows_src *src)
{
    const struct attr_ref *ref = l->refs;
    const struct val_range *g = l->ranges;
    int64_t min, max, lo, hi;
    if (!src->rs || l->op != LEAF_RANGE || l->nranges != 1 || l->nrefs != 1) return false;
    if (ref->rel != REL_ROWS || ref->below || ref->path.n) return false;
    if ((g->lo.type && !is_num(g->lo.type)) || (g->hi.type && !is_num(g->hi.type))) return false;
    if (!rowset_zone(src->rs, ref->scope, ref->name, &min, &max)) return false;
    bool any = range_i64(g, &lo, &hi);
    ls->never = !any || max < lo || min > hi;
    ls->always = !ls->never && lo <= min && max <= hi;
    return ls->never || ls->always;
}

/* -- text that is not decoded ----------------------------------------------------------------------------- */

struct finding { /* of a leaf in a column */
    const struct leaf *leaf;
    const struct attr_ref *ref;
    enum col_type type;
    struct arena *mem;
};

static bool string_holds(void *arg, struct str s)
{
    struct finding *f = arg;
    struct val v = { .type = COL_STR, .s = s };
    if (f->type == COL_STR) return positive(f->leaf, &v);
    struct arena_mark mark = arena_mark(f->mem);
    struct val_list vs = json_path_values(s, f->ref->path, f->mem);
    bool holds = false;
    for (uint32_t i = 0; i < vs.n && !holds; i++)
        holds = positive(f->leaf, &vs.v[i]);
    arena_rollback(f->mem, mark);
    return holds;
}

/* Do the strings of a column satisfy only when they hold a needle? */
static bool may_seek(const struct leaf *l, const struct attr_ref *ref, enum col_type type)
{
    if (type == COL_JSON) return l->needles.json_safe && !negated(l);
    return type == COL_STR && ref->path.n == 0;
}

static err_t seek_column(struct expr_exec *x, const struct leaf *l, const struct attr_ref *ref, struct rowset *rs,
                         const struct column_key *key, struct col_state *cs, bool *known)
{
    struct finding f = { .leaf = l, .ref = ref, .type = key->type, .mem = &x->mem };
    struct text_cond cond = { .holds = string_holds, .arg = &f };
    struct rows_text t;
    needles_cond(&l->needles, key->type, &cond, &x->mem);
    TRY(rowset_find(rs, key, &cond, x->among, &t, known));
    if (!*known) return OK;
    uint32_t words = (rs->nrows + 63) / 64;
    uint64_t *rows = ARENA_RAW(&x->mem, uint64_t, (size_t)words + MASK_WORDS), any = 0;
    TRY(arena_check(&x->mem));
    for (uint32_t w = 0; w < words; w++)
        any |= rows[w] = negated(l) ? t.has[w] & ~t.holds[w] : t.holds[w];
    cs->rows = rows;
    cs->never = any == 0;
    return OK;
}

/* Asks the rowset which rows satisfy, when its columns of the name are such that it can tell. False in *done: they must be
 * read. */
static err_t seek_ref(struct expr_exec *x, const struct leaf *l, const struct attr_ref *ref, const struct rows_src *src,
                      struct ref_state *rs, bool *done)
{
    const struct column_key *keys;
    uint32_t nkeys, n = 0;
    *done = false;
    if (!src->rs || ref->rel != REL_ROWS || ref->below || l->needles.n == 0) return OK;
    TRY(rowset_keys(src->rs, REL_ROWS, &keys, &nkeys));
    for (uint32_t i = 0; i < nkeys; i++) {
        if (keys[i].scope != ref->scope || !str_eq(keys[i].name, ref->name)) continue;
        if (ref->path.n && keys[i].type != COL_JSON) continue;
        if (!leaf_applies(l, keys[i].type)) continue;
        if (!may_seek(l, ref, keys[i].type)) return OK;
        n++;
    }
    struct attr_reader none = { .rel = REL_ROWS, .path = ref->path, .rel_rows = src->rs->nrows, .mem = &x->mem };
    rs->cols = ARENA_ARRAY(&x->mem, struct col_state, n + 1);
    rs->r = none;
    for (uint32_t i = 0; i < nkeys; i++) {
        if (keys[i].scope != ref->scope || !str_eq(keys[i].name, ref->name)) continue;
        if ((ref->path.n && keys[i].type != COL_JSON) || !leaf_applies(l, keys[i].type)) continue;
        bool known;
        TRY(seek_column(x, l, ref, src->rs, &keys[i], &rs->cols[rs->r.n++], &known));
        if (!known) return OK;
    }
    *done = true;
    return OK;
}

static err_t bind_leaf(struct expr_exec *x, const struct leaf *l, struct leaf_state *ls, const struct rows_src *src)
{
    *ls = (struct leaf_state){ .leaf = l };
    if (zone_settles(l, ls, src)) return OK;
    ls->never = true;
    ls->refs = ARENA_ARRAY(&x->mem, struct ref_state, l->nrefs ? l->nrefs : 1);
    for (uint32_t i = 0; i < l->nrefs; i++) {
        struct ref_state *rs = &ls->refs[i];
        bool done;
        TRY(seek_ref(x, l, &l->refs[i], src, rs, &done));
        for (uint32_t c = 0; done && c < rs->r.n; c++)
            ls->never &= rs->cols[c].never;
        if (done) continue;
        TRY(attr_bind(src, &l->refs[i], &x->mem, &rs->r));
        rs->cols = ARENA_ARRAY(&x->mem, struct col_state, rs->r.n + 1);
        for (uint32_t c = 0; c < rs->r.n; c++) {
            struct col_state *cs = &rs->cols[c];
            cs->col = rs->r.col[c];
            if (!leaf_applies(l, cs->col->type)) cs->never = true;
            else if (is_dict(cs->col->type)) TRY(bind_dict(x, l, rs, c));
            if (!cs->never) ls->never = false;
        }
    }
    return OK;
}

static bool seeks(const struct expr *e)
{
    if (e->kind == EXPR_LEAF) return e->leaf.needles.n && e->leaf.nrefs && e->leaf.refs[0].rel == REL_ROWS;
    for (uint32_t i = 0; i < e->nkids; i++)
        if (seeks(e->kids[i])) return true;
    return false;
}

static void eval(struct expr_exec *x, const struct expr *e, uint32_t base, uint32_t n, const uint64_t *in,
                 uint64_t *out);

/* The rows for which the first n kids of a conjunction hold too, before dear ones are bound; whether there are any. */
static err_t narrow(struct expr_exec *x, const struct expr *e, uint32_t n, const struct rows_src *src, bool *any)
{
    uint32_t rows = rows_src_count(src);
    uint64_t *among = ARENA_RAW(&x->mem, uint64_t, (size_t)rows / 64 + MASK_WORDS), in[MASK_WORDS], out[MASK_WORDS], left = 0;
    TRY(arena_check(&x->mem));
    for (uint32_t from = 0; from < rows; from += VEC_MAX) {
        uint32_t k = MIN((uint32_t)VEC_MAX, rows - from);
        mask_fill(in, k);
        for (uint32_t w = 0; x->among && w * 64 < k; w++)
            in[w] &= x->among[from / 64 + w];
        for (uint32_t i = 0; i < n && !mask_none(in); i++) {
            eval(x, e->kids[i], from, k, in, out);
            memcpy(in, out, sizeof in);
        }
        memcpy(among + from / 64, in, (k + 63) / 64 * sizeof *in);
        for (uint32_t w = 0; w < MASK_WORDS; w++)
            left |= in[w];
    }
    x->among = among;
    *any = left;
    return arena_check(&x->mem);
}

static err_t bind(struct expr_exec *x, const struct expr *e, const struct rows_src *src, enum expr_can *can);

static err_t bind_and(struct expr_exec *x, const struct expr *e, const struct rows_src *src, enum expr_can *can)
{
    const uint64_t *among = x->among;
    *can = EXPR_ALWAYS;
    for (uint32_t i = 0; i < e->nkids && *can != EXPR_NEVER; i++) {
        enum expr_can k;
        bool any = true;
        if (*can == EXPR_MAYBE && src->rs && seeks(e->kids[i])) TRY(narrow(x, e, i, src, &any));
        if (any) TRY(bind(x, e->kids[i], src, &k));
        else k = EXPR_NEVER;
        if (k < *can) *can = k;
    }
    x->among = among;
    return OK;
}

/* Binds the leaves of a subtree, cheap ones first, and stops where the outcome is settled. */
static err_t bind(struct expr_exec *x, const struct expr *e, const struct rows_src *src, enum expr_can *can)
{
    switch (e->kind) {
    case EXPR_TRUE: return *can = EXPR_ALWAYS, OK;
    case EXPR_FALSE: return *can = EXPR_NEVER, OK;
    case EXPR_LEAF:
        TRY(bind_leaf(x, &e->leaf, &x->leaves[e->leaf_id], src));
        *can = x->leaves[e->leaf_id].never ? EXPR_NEVER : x->leaves[e->leaf_id].always ? EXPR_ALWAYS : EXPR_MAYBE;
        return OK;
    case EXPR_NOT:
        TRY(bind(x, e->kids[0], src, can));
        *can = *can == EXPR_NEVER ? EXPR_ALWAYS : *can == EXPR_ALWAYS ? EXPR_NEVER : EXPR_MAYBE;
        return OK;
    case EXPR_AND: return bind_and(x, e, src, can);
    case EXPR_OR:
    case EXPR_ATLEAST: {
        uint32_t may = 0, sure = 0, min = e->kind == EXPR_OR ? 1 : e->min;
        for (uint32_t i = 0; i < e->nkids; i++) {
            enum expr_can k;
            TRY(bind(x, e->kids[i], src, &k));
            may += k != EXPR_NEVER;
            sure += k == EXPR_ALWAYS;
        }
        *can = sure >= min ? EXPR_ALWAYS : may >= min ? EXPR_MAYBE : EXPR_NEVER;
        return OK;
    }
    }
    return OK;
}

err_t expr_exec_bind(struct expr_exec *x, const struct rows_src *src, enum expr_can *can)
{
    arena_reset(&x->mem);
    x->among = NULL;
    for (uint32_t i = 0; i < x->nleaves; i++)
        x->leaves[i] = (struct leaf_state){ .never = true };
    return bind(x, x->root, src, can);
}

/* -- masks of columns ------------------------------------------------------------------------------------ *
 * Each fills out[] for rows [from, from + n) of one column, without looking at validity, which the
 * caller applies to the result. */

static void mask_i64_between(const int64_t *v, uint32_t n, int64_t lo, int64_t hi, uint64_t *out)
{
    for (uint32_t w = 0; w * 64 < n; w++) {
        uint32_t k = MIN(64u, n - w * 64);
        uint64_t bits = 0;
        for (uint32_t i = 0; i < k; i++)
            bits |= (uint64_t)((v[w * 64 + i] >= lo) & (v[w * 64 + i] <= hi)) << i;
        out[w] |= bits;
    }
}

static void mask_f64_between(const double *v, uint32_t n, double lo, double hi, bool lo_open, bool hi_open,
                             uint64_t *out)
{
    for (uint32_t w = 0; w * 64 < n; w++) {
        uint32_t k = MIN(64u, n - w * 64);
        uint64_t bits = 0;
        for (uint32_t i = 0; i < k; i++) {
            double d = v[w * 64 + i];
            bits |= (uint64_t)(((d > lo) | ((d == lo) & !lo_open)) & ((d < hi) | ((d == hi) & !hi_open))) << i;
        }
        out[w] |= bits;
    }
}

/* An integer bound as a double is exact up to 2^53; larger ones go value by value. */
static bool exact_f64(const struct val *v)
{
    return v->type == 0 || v->type == COL_F64 || (v->i64 >= -(INT64_C(1) << 53) && v->i64 <= INT64_C(1) << 53);
}

static void mask_range(const struct column *c, uint32_t from, uint32_t n, const struct val_range *g, uint64_t *out)
{
    if ((g->lo.type && !is_num(g->lo.type)) || (g->hi.type && !is_num(g->hi.type))) return;
    if (c->type == COL_I64) {
        int64_t lo, hi;
        if (range_i64(g, &lo, &hi)) mask_i64_between(c->i64 + from, n, lo, hi, out);
        return;
    }
    if (!exact_f64(&g->lo) || !exact_f64(&g->hi)) {
        for (uint32_t i = 0; i < n; i++) {
            struct val v = { .type = COL_F64, .f64 = c->f64[from + i] };
            out[i / 64] |= (uint64_t)in_range(g, &v) << (i % 64);
        }
        return;
    }
    double lo = -INFINITY, hi = INFINITY;
    if (g->lo.type) lo = g->lo.type == COL_I64 ? (double)g->lo.i64 : g->lo.f64;
    if (g->hi.type) hi = g->hi.type == COL_I64 ? (double)g->hi.i64 : g->hi.f64;
    mask_f64_between(c->f64 + from, n, lo, hi, g->lo_open, g->hi_open, out);
}

static void mask_num(const struct leaf *l, const struct column *c, uint32_t from, uint32_t n, uint64_t *out)
{
    if (l->op == LEAF_RANGE) {
        for (uint32_t i = 0; i < l->nranges; i++)
            mask_range(c, from, n, &l->ranges[i], out);
    } else if (l->op == LEAF_EQ || l->op == LEAF_NE) {
        for (uint32_t i = 0; i < l->nlits; i++) {
            struct val_range g = { .lo = l->lits[i], .hi = l->lits[i] };
            mask_range(c, from, n, &g, out);
        }
    }
}

/* Booleans and ids: value by value, few distinct conditions. */
static void mask_plain(const struct leaf *l, const struct column *c, uint32_t from, uint32_t n, const uint64_t *in,
                       uint64_t *out)
{
    for (uint32_t w = 0; w * 64 < n; w++)
        for (uint64_t left = in[w]; left; left &= left - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(left);
            struct val v = { .type = c->type };
            if (c->type == COL_BOOL) v.boolean = c->boolean[from + i] != 0;
            else v.s = str_n(c->fix + (size_t)(from + i) * c->width, c->width);
            out[w] |= (uint64_t)positive(l, &v) << (i % 64);
        }
}

static void mask_dict(struct expr_exec *x, const struct leaf *l, struct ref_state *rs, uint32_t ci, uint32_t from,
                      uint32_t n, const uint64_t *in, uint64_t *out)
{
    struct col_state *cs = &rs->cols[ci];
    const uint32_t *code = cs->col->code + from;
    for (uint32_t w = 0; w * 64 < n; w++) {
        uint64_t bits = 0;
        for (uint64_t left = in[w]; left; left &= left - 1) {
            uint32_t b = (uint32_t)__builtin_ctzll(left), d = code[w * 64 + b];
            if (cs->known && !bit_get(cs->known, d)) {
                cs->known[d / 64] |= UINT64_C(1) << (d % 64);
                cs->holds[d / 64] |= (uint64_t)entry_holds(x, l, rs, ci, d) << (d % 64);
            }
            bits |= (cs->holds[d / 64] >> (d % 64) & 1) << b;
        }
        out[w] |= bits;
    }
}

/* Rows [from, from + n) of the relation's own table; from a multiple of 64. */
static void mask_rel(struct expr_exec *x, const struct leaf *l, struct ref_state *rs, uint32_t from, uint32_t n,
                     const uint64_t *in, uint64_t *out)
{
    memset(out, 0, MASK_WORDS * sizeof *out);
    for (uint32_t c = 0; c < rs->r.n; c++) {
        const struct column *col = rs->cols[c].col;
        if (rs->cols[c].never) continue;
        if (rs->cols[c].rows) {
            for (uint32_t w = 0; w * 64 < n; w++)
                out[w] |= rs->cols[c].rows[from / 64 + w] & in[w];
            continue;
        }
        uint64_t live[MASK_WORDS] = { 0 }, hit[MASK_WORDS] = { 0 };
        uint32_t words = (n + 63) / 64;
        for (uint32_t w = 0; w < words; w++)
            live[w] = in[w] & (col->valid ? col->valid[from / 64 + w] : UINT64_MAX);
        if (is_dict(col->type)) mask_dict(x, l, rs, c, from, n, live, hit);
        else if (l->op == LEAF_EXISTS) memcpy(hit, live, sizeof hit);
        else if (is_num(col->type)) mask_num(l, col, from, n, hit);
        else mask_plain(l, col, from, n, live, hit);
        /* bind_dict and mask_dict turn negated leaves around themselves, entry by entry. */
        bool turn = negated(l) && !is_dict(col->type);
        for (uint32_t w = 0; w < words; w++)
            out[w] |= (turn ? ~hit[w] : hit[w]) & live[w];
    }
}

static void fill_rel(struct expr_exec *x, const struct leaf *l, struct ref_state *rs)
{
    uint32_t rows = rs->r.rel_rows;
    rs->rel = ARENA_ARRAY(&x->mem, uint64_t, (size_t)rows / 64 + MASK_WORDS + 1);
    for (uint32_t from = 0; from < rows; from += VEC_MAX) {
        uint64_t in[MASK_WORDS], out[MASK_WORDS];
        uint32_t n = MIN((uint32_t)VEC_MAX, rows - from);
        mask_fill(in, n);
        mask_rel(x, l, rs, from, n, in, out);
        memcpy(rs->rel + from / 64, out, (n + 63) / 64 * sizeof *out);
    }
}

static bool rel_bit(const struct ref_state *rs, uint32_t row) { return rs->rel[row / 64] >> (row % 64) & 1; }

/* Through a dimension or over children. */
static void mask_through(struct ref_state *rs, uint32_t base, uint32_t n, const uint64_t *in, uint64_t *out)
{
    memset(out, 0, MASK_WORDS * sizeof *out);
    for (uint32_t w = 0; w * 64 < n; w++)
        for (uint64_t left = in[w]; left; left &= left - 1) {
            uint32_t b = (uint32_t)__builtin_ctzll(left), row = base + w * 64 + b;
            bool hit = false;
            if (rs->r.map) {
                hit = rs->r.map[row] < rs->r.rel_rows && rel_bit(rs, rs->r.map[row]);
            } else {
                for (uint32_t c = rs->r.first[row]; c < rs->r.first[row + 1] && !hit; c++)
                    hit = rel_bit(rs, c);
            }
            out[w] |= (uint64_t)hit << b;
        }
}

static void eval_leaf(struct expr_exec *x, const struct expr *e, uint32_t base, uint32_t n, const uint64_t *in,
                      uint64_t *out)
{
    struct leaf_state *ls = &x->leaves[e->leaf_id];
    uint64_t rest[MASK_WORDS], hit[MASK_WORDS];
    memcpy(rest, in, sizeof rest);
    memset(out, 0, MASK_WORDS * sizeof *out);
    if (ls->never) return;
    if (ls->always) {
        memcpy(out, in, sizeof rest);
        return;
    }
    for (uint32_t i = 0; i < e->leaf.nrefs && !mask_none(rest); i++) {
        struct ref_state *rs = &ls->refs[i];
        if (rs->r.n == 0) continue;
        if (rs->r.rel == REL_ROWS) {
            mask_rel(x, &e->leaf, rs, base, n, rest, hit);
        } else {
            if (!rs->rel) fill_rel(x, &e->leaf, rs);
            mask_through(rs, base, n, rest, hit);
        }
        for (uint32_t w = 0; w < MASK_WORDS; w++) {
            out[w] |= hit[w];
            rest[w] &= ~hit[w];
        }
    }
}

/* -- the tree ---------------------------------------------------------------------------------------------- */

static void eval_atleast(struct expr_exec *x, const struct expr *e, uint32_t base, uint32_t n, const uint64_t *in,
                         uint64_t *out)
{
    uint16_t count[VEC_MAX] = { 0 };
    uint64_t hit[MASK_WORDS];
    for (uint32_t k = 0; k < e->nkids; k++) {
        eval(x, e->kids[k], base, n, in, hit);
        for (uint32_t w = 0; w < MASK_WORDS; w++)
            for (uint64_t left = hit[w]; left; left &= left - 1)
                count[w * 64 + (uint32_t)__builtin_ctzll(left)]++;
    }
    memset(out, 0, MASK_WORDS * sizeof *out);
    for (uint32_t i = 0; i < n; i++)
        out[i / 64] |= (uint64_t)(count[i] >= e->min) << (i % 64);
}

static void eval(struct expr_exec *x, const struct expr *e, uint32_t base, uint32_t n, const uint64_t *in,
                 uint64_t *out)
{
    uint64_t tmp[MASK_WORDS], rest[MASK_WORDS];
    switch (e->kind) {
    case EXPR_TRUE: memcpy(out, in, sizeof tmp); return;
    case EXPR_FALSE: memset(out, 0, sizeof tmp); return;
    case EXPR_LEAF: eval_leaf(x, e, base, n, in, out); return;
    case EXPR_ATLEAST: eval_atleast(x, e, base, n, in, out); return;
    case EXPR_NOT:
        eval(x, e->kids[0], base, n, in, tmp);
        for (uint32_t w = 0; w < MASK_WORDS; w++)
            out[w] = in[w] & ~tmp[w];
        return;
    case EXPR_AND:
        memcpy(out, in, sizeof tmp);
        for (uint32_t k = 0; k < e->nkids && !mask_none(out); k++) {
            eval(x, e->kids[k], base, n, out, tmp);
            memcpy(out, tmp, sizeof tmp);
        }
        return;
    case EXPR_OR:
        memcpy(rest, in, sizeof rest);
        memset(out, 0, sizeof tmp);
        for (uint32_t k = 0; k < e->nkids && !mask_none(rest); k++) {
            eval(x, e->kids[k], base, n, rest, tmp);
            for (uint32_t w = 0; w < MASK_WORDS; w++) {
                out[w] |= tmp[w];
                rest[w] &= ~tmp[w];
            }
        }
        return;
    }
}

err_t expr_exec_mask(struct expr_exec *x, uint32_t base, uint32_t n, uint64_t mask[MASK_WORDS])
{
    uint64_t out[MASK_WORDS];
    eval(x, x->root, base, n, mask, out);
    memcpy(mask, out, sizeof out);
    return arena_check(&x->mem);
}
