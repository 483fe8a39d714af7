/* The engine's operators against brute force over random tables. */
#include "base/core/prng.h"
#include "query/ops/op_agg.h"
#include "query/ops/op_scan.h"
#include "query/ops/op_topn.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

/* These tests read tables; rowsets of a store are read in logs_search_plain.c. Weak, so that a program that links
 * the storage's scan uses that. */
#define WEAK __attribute__((weak)) err_t
WEAK rowset_columns(struct rowset *rs, int rel, enum col_scope s, struct str n, const struct column **c, uint32_t max,
                    uint32_t *count)
{
    (void)rs, (void)rel, (void)s, (void)n, (void)c, (void)max;
    *count = 0;
    return OK;
}
WEAK rowset_column(struct rowset *rs, int rel, enum col_scope s, struct str n, enum col_type t, const struct column **c)
{
    (void)rs, (void)rel, (void)s, (void)n, (void)t;
    *c = NULL;
    return OK;
}
WEAK rowset_keys(struct rowset *rs, int rel, const struct column_key **keys, uint32_t *n)
{
    (void)rs, (void)rel, (void)keys;
    *n = 0;
    return OK;
}
WEAK rowset_column_at(struct rowset *rs, int rel, const struct column_key *key, const uint32_t *rows, uint32_t n,
                      const struct column **c, bool *packed)
{
    (void)rs, (void)rel, (void)key, (void)rows, (void)n;
    *c = NULL;
    *packed = false;
    return OK;
}
__attribute__((weak)) bool rowset_zone(const struct rowset *rs, enum col_scope s, struct str n, int64_t *min, int64_t *max)
{
    (void)rs, (void)s, (void)n, (void)min, (void)max;
    return false;
}
WEAK rowset_dim(struct rowset *rs, int rel, const uint32_t **dim_row, uint32_t *dim_rows)
{
    (void)rs, (void)rel, (void)dim_rows;
    *dim_row = NULL;
    return OK;
}
WEAK rowset_child(struct rowset *rs, int rel, const uint32_t **first, uint32_t *child_rows)
{
    (void)rs, (void)rel, (void)child_rows;
    *first = NULL;
    return OK;
}

static struct arena mem;
static void setup(void) { arena_init(&mem, NULL); }
static void teardown(void) { arena_deinit(&mem); }
TestSuite(ops, .init = setup, .fini = teardown);

/* -- text --------------------------------------------------------------------------------------------- */

static bool phrase(const char *p, const char *text, uint32_t slop, bool prefix)
{
    struct phrase ph = phrase_of(&mem, str_of(p));
    ph.slop = slop;
    ph.last_prefix = prefix;
    return phrase_match(&ph, str_of(text));
}

/* What a search for words must agree with: the text cut into words, each compared. */
static bool cut_has(struct str text, struct str token, bool prefix)
{
    struct str word;
    while (token_next(&text, &word))
        if (prefix ? text_starts_lower(word, token) : text_eq_lower(word, token)) return true;
    return false;
}

static bool cut_phrase(const struct phrase *p, struct str text)
{
    struct str word, rest = text;
    while (token_next(&rest, &word)) {
        struct str tail = rest;
        uint32_t i = 0, skipped = 0;
        bool ok = text_eq_lower(word, p->tokens[0]) || (p->last_prefix && p->n == 1 && text_starts_lower(word, p->tokens[0]));
        for (i = 1; ok && i < p->n;) {
            ok = token_next(&tail, &word);
            if (!ok) break;
            if (p->last_prefix && i + 1 == p->n ? text_starts_lower(word, p->tokens[i]) : text_eq_lower(word, p->tokens[i])) i++;
            else ok = ++skipped <= p->slop;
        }
        if (ok) return true;
    }
    return false;
}

/* Texts of few characters, so that words meet each other at all distances, some above ASCII or broken, some longer than
 * a word may be. */
Test(ops, words_are_found_as_if_cut)
{
    static const char *const pieces[] = { "a", "B", "ab", "7", "bA", " ", "-", " ", "\xc3\xa9", "\xc3\x89", "\xe2\x80\x9c", "\xff",
        "\xc3", "abababababababab", "\x17", "@", "[", "`", "{" };
    static const char *const tokens[] = { "a", "b", "ab", "ba", "7", "a7", "aba", "abababababababab", "abababababababababab", "\xc3\xa9", "a\xc3\xa9" };
    struct prng r;
    prng_init(&r, 11);
    uint32_t found = 0;
    for (int round = 0; round < 60000; round++) {
        char buf[2048];
        size_t n = 0;
        bool lengthy = prng_chance(&r, 0.02);
        for (uint64_t k = prng_below(&r, 24); k > 0; k--) {
            struct str s = str_of(pieces[prng_below(&r, ARRAY_LEN(pieces))]);
            for (uint64_t times = lengthy && s.n == 16 ? 15 + prng_below(&r, 2) : 1; times > 0 && n + s.n < sizeof buf; times--) {
                memcpy(buf + n, s.p, s.n);
                n += s.n;
            }
        }
        char *exact = malloc(n + 1); /* of its own size: reading past it is seen */
        cr_assert(exact);
        memcpy(exact, buf, n);
        struct str text = { exact, n }, two[3];
        bool prefix = prng_chance(&r, 0.5);
        for (size_t i = 0; i < 9; i++) {
            bool has = cut_has(text, str_of(tokens[i]), prefix);
            cr_assert(text_has_word(text, str_of(tokens[i]), prefix) == has);
            found += has;
        }
        for (uint32_t i = 0; i < 3; i++)
            two[i] = str_of(tokens[prng_below(&r, ARRAY_LEN(tokens))]);
        struct phrase p = { .tokens = two, .n = 1 + (uint32_t)prng_below(&r, 3), .slop = (uint32_t)prng_below(&r, 3), .last_prefix = prefix };
        cr_assert(phrase_match(&p, text) == cut_phrase(&p, text));
        found += phrase_match(&p, text);
        free(exact);
    }
    cr_expect(found > 10000);
}

Test(ops, phrases)
{
    cr_expect(phrase("quick brown", "The QUICK-brown fox", 0, false));
    cr_expect(!phrase("brown quick", "The quick brown fox", 0, false));
    cr_expect(!phrase("quick fox", "The quick brown fox", 0, false));
    cr_expect(phrase("quick fox", "The quick brown fox", 1, false));
    cr_expect(phrase("quick br", "The quick brown fox", 0, true));
    cr_expect(!phrase("quick br", "The quick brown fox", 0, false));
    cr_expect(phrase("a b", "a a b", 0, false));
    cr_expect(!phrase("", "a a b", 0, false));
    cr_expect(!phrase("a", "", 0, false));
    cr_expect(phrase("\xc3\x89t\xc3\xa9", "un \xc3\xa9T\xc3\x89!", 0, false), "letters above ASCII fold");
    cr_expect(phrase("\xd0\x9c\xd0\xb8\xd1\x80", "\xe2\x80\x9c\xd0\xbc\xd0\xb8\xd1\x80\xe2\x80\x9d", 0, false), "quotes are no letters");
    struct phrase any = phrase_of(&mem, STR("fox the"));
    any.any_order = true;
    cr_expect(phrase_match(&any, STR("The quick brown fox")));
    cr_expect(!phrase_match(&any, STR("quick brown fox")));
}

Test(ops, wildcards)
{
    static const struct { const char *p, *s; bool yes; } t[] = {
        { "*", "", true }, { "", "", true }, { "", "a", false }, { "a*c", "abbc", true }, { "a*c", "abbd", false },
        { "?b?", "abc", true }, { "?", "", false }, { "*a*b*", "xxaxxbxx", true }, { "a\\*", "a*", true },
        { "a\\*", "ab", false }, { "?", "\xc3\xa9", true }, { "**", "x", true }, { "*ab", "aab", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        cr_expect_eq(wildcard_match(str_of(t[i].p), str_of(t[i].s), false), t[i].yes, "%s ~ %s", t[i].p, t[i].s);
    cr_expect(wildcard_match(STR("AB*"), STR("abc"), true));
}

Test(ops, json_paths)
{
    struct str j = STR("{\"a\":{\"b\":[1,2.5,\"x\",null]},\"a.b\":true,\"l\":[{\"k\":7},{\"k\":8}]}");
    struct val_list v = json_path_values(j, STR("a.b"), &mem);
    cr_assert_eq(v.n, 4);
    cr_expect(v.v[0].type == COL_I64 && v.v[0].i64 == 1);
    cr_expect(v.v[3].type == COL_BOOL && v.v[3].boolean);
    v = json_path_values(j, STR("l.k"), &mem);
    cr_assert_eq(v.n, 2);
    cr_expect_eq(v.v[1].i64, 8);
    cr_expect_eq(json_path_values(j, STR("zz"), &mem).n, 0);
    cr_expect_eq(json_path_values(STR("{broken"), STR(""), &mem).n, 0);
}

Test(ops, numbers)
{
    cr_expect_lt(num_cmp_i64_f64(INT64_MAX, 0x1p63), 0);
    cr_expect_eq(num_cmp_i64_f64((INT64_C(1) << 53) + 1, 0x1p53), 1);
    cr_expect_eq(num_cmp_i64_f64(-3, -3.0), 0);
    cr_expect_lt(num_cmp_i64_f64(-3, -2.5), 0);
    cr_expect_gt(num_cmp_i64_f64(-2, -2.5), 0);
    struct val i = { .type = COL_I64, .i64 = 7 }, f = { .type = COL_F64, .f64 = 7.0 };
    cr_expect_eq(val_cmp(&i, &f), 0);
    cr_expect_eq(val_hash(&i), val_hash(&f));
}

/* -- predicates ------------------------------------------------------------------------------------------ */

static const char *const words[] = { "alpha", "beta gamma", "Gamma-delta", "", "alphabet", "1", "true" };
static const char *const jsons[] = { "[1,2]", "[\"alpha\",\"zeta\"]", "{\"k\":3}", "[]", "[2.5,true]" };

/* Key "x" comes with every type, one a row; resources and events carry some too. */
static struct table *random_table(struct prng *r, uint32_t rows)
{
    struct table_builder *b = table_builder_new(NULL);
    for (uint32_t i = 0; i < rows; i++) {
        if (i == 0 || prng_below(r, 50) == 0) {
            table_resource(b);
            if (prng_chance(r, 0.8))
                table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, str_of(words[prng_below(r, 3)]));
            table_set_i64(b, SC_ATTR, STR("rank"), (int64_t)prng_below(r, 4));
            table_scope(b);
        }
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), (int64_t)prng_below(r, 1000));
        switch (prng_below(r, 7)) {
        case 0: table_set_i64(b, SC_ATTR, STR("x"), (int64_t)prng_below(r, 5) - 1); break;
        case 1: table_set_f64(b, SC_ATTR, STR("x"), (double)prng_below(r, 8) / 2); break;
        case 2: table_set_bool(b, SC_ATTR, STR("x"), prng_below(r, 2)); break;
        case 3:
        case 4: table_set_str(b, SC_ATTR, STR("x"), COL_STR, str_of(words[prng_below(r, ARRAY_LEN(words))])); break;
        case 5: table_set_str(b, SC_ATTR, STR("x"), COL_JSON, str_of(jsons[prng_below(r, ARRAY_LEN(jsons))])); break;
        default: break;
        }
        uint8_t id[8] = { (uint8_t)prng_below(r, 4) };
        if (prng_chance(r, 0.7)) table_set_fix(b, SC_SELF, STR("span_id"), id, 8);
        char big[24];
        snprintf(big, sizeof big, "user %u", (unsigned)prng_below(r, 9000));
        table_set_str(b, SC_SELF, STR("body"), COL_STR, str_of(big));
        for (uint64_t e = prng_below(r, 3); e > 0; e--) {
            table_child(b, CHILD_EVENTS);
            table_set_i64(b, SC_ATTR, STR("n"), (int64_t)prng_below(r, 5));
        }
    }
    return table_builder_finish(b, STR("time"));
}

static bool brute_leaf(const struct leaf *l, struct attr_reader *readers, uint32_t row)
{
    for (uint32_t i = 0; i < l->nrefs; i++) {
        const struct val *v;
        bool negated = l->op == LEAF_NE || l->op == LEAF_NREGEX;
        if (readers[i].first) {
            for (uint32_t c = readers[i].first[row]; c < readers[i].first[row + 1]; c++) {
                uint32_t n = attr_read_rel(&readers[i], c, &v);
                if (n == 1 && v == readers[i].one && negated && !leaf_applies(l, v->type)) continue;
                for (uint32_t k = 0; k < n; k++)
                    if (leaf_holds(l, &v[k])) return true;
            }
            continue;
        }
        uint32_t n = attr_read(&readers[i], row, &v), holds = 0;
        bool plain = n == 1 && v == readers[i].one; /* no element of an array */
        if (plain && negated && !leaf_applies(l, v->type)) continue;
        for (uint32_t k = 0; k < n; k++)
            holds += leaf_holds(l, &v[k]);
        if (negated ? n > 0 && holds == n : holds > 0) return true;
    }
    return false;
}

static struct { struct attr_reader *r; } brute_readers[64];

static bool brute(const struct expr *e, uint32_t row)
{
    uint32_t n = 0;
    switch (e->kind) {
    case EXPR_TRUE: return true;
    case EXPR_FALSE: return false;
    case EXPR_LEAF: return brute_leaf(&e->leaf, brute_readers[e->leaf_id].r, row);
    case EXPR_NOT: return !brute(e->kids[0], row);
    default: break;
    }
    for (uint32_t i = 0; i < e->nkids; i++)
        n += brute(e->kids[i], row);
    return e->kind == EXPR_AND ? n == e->nkids : n >= (e->kind == EXPR_OR ? 1 : e->min);
}

static struct val random_val(struct prng *r)
{
    switch (prng_below(r, 4)) {
    case 0: return (struct val){ .type = COL_I64, .i64 = (int64_t)prng_below(r, 5) - 1 };
    case 1: return (struct val){ .type = COL_F64, .f64 = (double)prng_below(r, 8) / 2 };
    case 2: return (struct val){ .type = COL_BOOL, .boolean = prng_below(r, 2) };
    default: return (struct val){ .type = COL_STR, .s = str_of(words[prng_below(r, ARRAY_LEN(words))]) };
    }
}

static struct expr *random_leaf(struct prng *r, struct expr_builder *b)
{
    static const struct attr_ref x = { REL_ROWS, SC_ATTR, { "x", 1 }, { NULL, 0 }, false };
    static const struct attr_ref xk = { REL_ROWS, SC_ATTR, { "x", 1 }, { "k", 1 }, false };
    static const struct attr_ref svc = { REL_RESOURCE, SC_ATTR, { "service.name", 12 }, { NULL, 0 }, false };
    static const struct attr_ref rank = { REL_RESOURCE, SC_ATTR, { "rank", 4 }, { NULL, 0 }, false };
    static const struct attr_ref ev = { REL_EVENTS, SC_ATTR, { "n", 1 }, { NULL, 0 }, false };
    static const struct attr_ref body = { REL_ROWS, SC_SELF, { "body", 4 }, { NULL, 0 }, false };
    static const struct attr_ref id = { REL_ROWS, SC_SELF, { "span_id", 7 }, { NULL, 0 }, false };
    static const struct attr_ref *const refs[] = { &x, &x, &svc, &rank, &ev };
    const struct attr_ref *ref = refs[prng_below(r, ARRAY_LEN(refs))];
    struct leaf l = { .refs = ref, .nrefs = 1 };
    switch (prng_below(r, 9)) {
    case 0: return expr_exists(b, prng_chance(r, 0.5) ? x : xk);
    case 1:
        l.op = LEAF_PHRASE;
        l.phrase = phrase_of(&mem, prng_chance(r, 0.5) ? STR("gamma") : STR("beta gamma"));
        return expr_leaf(b, &l);
    case 2: {
        struct val p = { .type = COL_STR, .s = STR("alph") };
        l.op = prng_chance(r, 0.5) ? LEAF_PREFIX : LEAF_WILDCARD;
        if (l.op == LEAF_WILDCARD) p.s = STR("*a?*");
        l.lits = arena_dup(&mem, &p, sizeof p);
        l.nlits = 1;
        l.words = prng_chance(r, 0.5);
        return expr_leaf(b, &l);
    }
    case 3: {
        struct val p = { .type = COL_STR, .s = arena_printf(&mem, "user %u", (unsigned)prng_below(r, 9000)) };
        return expr_cmp(b, body, prng_chance(r, 0.5) ? CMP_EQ : CMP_GE, p);
    }
    case 4: {
        static const uint8_t raw[8] = { 2 };
        return expr_cmp(b, id, prng_chance(r, 0.5) ? CMP_EQ : CMP_NE, (struct val){ .type = COL_FIX, .s = str_n(raw, 8) });
    }
    case 5: {
        struct val *two = ARENA_ARRAY(&mem, struct val, 2);
        two[0] = random_val(r);
        two[1] = random_val(r);
        l.op = prng_chance(r, 0.5) ? LEAF_EQ : LEAF_NE;
        l.lits = two;
        l.nlits = 2;
        struct attr_ref *both = ARENA_ARRAY(&mem, struct attr_ref, 2);
        both[0] = *ref;
        both[1] = xk;
        l.refs = both;
        l.nrefs = 2;
        return expr_leaf(b, &l);
    }
    default: return expr_cmp(b, *ref, (enum cmp_op)prng_below(r, 6), random_val(r));
    }
}

static struct expr *random_expr(struct prng *r, struct expr_builder *b, int depth)
{
    if (depth == 0 || prng_chance(r, 0.3) || b->nleaves > 40) return random_leaf(r, b);
    struct expr *kids[3];
    uint32_t n = 1 + (uint32_t)prng_below(r, 3);
    for (uint32_t i = 0; i < n; i++)
        kids[i] = random_expr(r, b, depth - 1);
    switch (prng_below(r, 4)) {
    case 0: return expr_and(b, kids, n);
    case 1: return expr_or(b, kids, n);
    case 2: return expr_not(b, kids[0]);
    default: return expr_atleast(b, (uint32_t)prng_below(r, 4), kids, n);
    }
}

static void bind_brute(const struct expr *e, const struct rows_src *src)
{
    if (e->kind == EXPR_LEAF) {
        struct attr_reader *rd = ARENA_ARRAY(&mem, struct attr_reader, e->leaf.nrefs);
        for (uint32_t i = 0; i < e->leaf.nrefs; i++)
            cr_assert_eq(attr_bind(src, &e->leaf.refs[i], &mem, &rd[i]), OK);
        brute_readers[e->leaf_id].r = rd;
    }
    for (uint32_t i = 0; i < e->nkids; i++)
        bind_brute(e->kids[i], src);
}

Test(ops, predicates_equal_brute_force)
{
    struct prng r;
    prng_init(&r, 20261122);
    for (int round = 0; round < 300; round++) {
        struct table *t = random_table(&r, round % 50 == 0 ? 6000 : 1 + (uint32_t)prng_below(&r, 1500));
        struct rows_src src = { .table = t };
        struct expr_builder b;
        expr_builder_init(&b, &mem);
        struct expr *e = random_expr(&r, &b, 3);
        cr_assert_eq(expr_finish(&b, e), OK);
        struct expr_exec x;
        expr_exec_init(&x, &b, e, NULL);
        enum expr_can can;
        cr_assert_eq(expr_exec_bind(&x, &src, &can), OK);
        bind_brute(e, &src);
        for (uint32_t base = 0; base < t->nrows; base += VEC_MAX) {
            uint64_t mask[MASK_WORDS], in[MASK_WORDS];
            uint32_t n = MIN((uint32_t)VEC_MAX, t->nrows - base);
            mask_fill(mask, n);
            if (round % 2)
                for (uint32_t w = 0; w < MASK_WORDS; w++)
                    mask[w] &= prng_next(&r);
            memcpy(in, mask, sizeof in);
            cr_assert_eq(expr_exec_mask(&x, base, n, mask), OK);
            for (uint32_t i = 0; i < n; i++) {
                bool want = (in[i / 64] >> (i % 64) & 1) && brute(e, base + i);
                bool got = mask[i / 64] >> (i % 64) & 1;
                cr_assert_eq(got, want, "round %d row %u", round, base + i);
                if (got) cr_assert_neq(can, EXPR_NEVER);
                if (!got && (in[i / 64] >> (i % 64) & 1)) cr_assert_neq(can, EXPR_ALWAYS);
            }
        }
        expr_exec_deinit(&x);
        expr_builder_deinit(&b);
        table_put(t);
        arena_reset(&mem);
    }
}

Test(ops, hints_are_necessary_conditions)
{
    struct expr_builder b;
    expr_builder_init(&b, &mem);
    static const uint8_t raw[16] = { 1 };
    struct attr_ref id = { REL_ROWS, SC_SELF, STR("trace_id"), STR_NONE, false }, time = { REL_ROWS, SC_SELF, STR("time"), STR_NONE, false };
    struct attr_ref svc = { REL_RESOURCE, SC_ATTR, STR("service.name"), STR_NONE, false }, x = { REL_ROWS, SC_ATTR, STR("x"), STR_NONE, false };
    struct expr *kids[] = {
        expr_cmp(&b, id, CMP_EQ, (struct val){ .type = COL_FIX, .s = str_n(raw, 16) }),
        expr_cmp(&b, time, CMP_GT, (struct val){ .type = COL_I64, .i64 = 5 }),
        expr_cmp(&b, svc, CMP_EQ, (struct val){ .type = COL_STR, .s = STR("shop") }),
        expr_cmp(&b, x, CMP_EQ, (struct val){ .type = COL_STR, .s = STR("v") }),
        expr_or2(&b, expr_cmp(&b, svc, CMP_EQ, (struct val){ .type = COL_STR, .s = STR("a") }), expr_true(&b)),
    };
    struct scan_hint h[8];
    uint32_t n = expr_hints(expr_and(&b, kids, ARRAY_LEN(kids)), h, 8);
    cr_assert_eq(n, 4);
    cr_expect_eq(h[0].kind, HINT_FIX_EQ);
    cr_expect(h[1].kind == HINT_I64_RANGE && h[1].min == 5 && h[1].max == INT64_MAX);
    cr_expect(h[2].kind == HINT_STR_EQ && str_is(h[2].value, "shop"));
    struct attr_ref body[2] = { { REL_ROWS, SC_SELF, STR("body"), STR_NONE, false }, { REL_ROWS, SC_SELF, STR("body"), STR("message"), false } };
    struct leaf l = { .refs = body, .nrefs = 2, .op = LEAF_PHRASE, .phrase = phrase_of(&mem, STR("Connection refused")) };
    cr_assert_eq(expr_hints(expr_leaf(&b, &l), h, 8), 2);
    cr_expect(h[1].kind == HINT_TOKEN && str_is(h[1].value, "refused"));
    body[1].name = STR("other");
    cr_assert_eq(expr_hints(expr_leaf(&b, &l), h, 8), 0);
}

/* -- top-n ------------------------------------------------------------------------------------------------ */

Test(ops, topn_equals_sort)
{
    struct prng r;
    prng_init(&r, 7);
    for (int round = 0; round < 200; round++) {
        struct topn_spec spec = { .nkeys = (uint32_t)prng_below(&r, 3), .n = 1 + (uint32_t)prng_below(&r, 20),
            .desc = { prng_below(&r, 2), prng_below(&r, 2) }, .addr_desc = prng_below(&r, 2) };
        struct topn_entry all[200];
        struct op_topn parts[3], total;
        for (int p = 0; p < 3; p++)
            op_topn_init(&parts[p], &spec, &mem);
        op_topn_init(&total, &spec, &mem);
        uint32_t n = (uint32_t)prng_below(&r, 200);
        for (uint32_t i = 0; i < n; i++) {
            all[i] = (struct topn_entry){ .addr = hash_u64(i), .row = i };
            for (uint32_t k = 0; k < spec.nkeys; k++)
                if (prng_chance(&r, 0.9)) all[i].key[k] = random_val(&r);
            (void)op_topn_offer(&parts[i % 3], &all[i]);
        }
        for (int p = 0; p < 3; p++) {
            op_topn_close(&parts[p]);
            op_topn_merge(&total, &parts[p]);
        }
        op_topn_finish(&total, NULL);
        for (uint32_t i = 1; i < n; i++) {
            struct topn_entry e = all[i];
            uint32_t j = i;
            for (; j > 0 && topn_cmp(&spec, &all[j - 1], &e) > 0; j--)
                all[j] = all[j - 1];
            all[j] = e;
        }
        cr_assert_eq(total.count, MIN(n, spec.n));
        for (uint32_t i = 0; i < total.count; i++)
            cr_assert_eq(total.heap[i].row, all[i].row, "round %d place %u", round, i);
        /* The next page begins behind the last row of this one. */
        if (total.count == spec.n && n > spec.n) {
            struct topn_spec page = spec;
            page.has_after = page.has_addr = true;
            page.after = total.heap[total.count - 1];
            struct op_topn next;
            op_topn_init(&next, &page, &mem);
            for (uint32_t i = 0; i < n; i++)
                (void)op_topn_offer(&next, &all[i]);
            op_topn_finish(&next, NULL);
            cr_assert_eq(next.heap[0].row, all[spec.n].row);
        }
    }
}

static int by_payload(const void *pa, const void *pb)
{
    const struct topn_entry *a = pa, *b = pb;
    return str_cmp(a->payload, b->payload);
}

/* Rows that differ in nothing but what is read at the end: the same ones get in, in the same order, however they are spread. */
Test(ops, topn_settles_ties)
{
    struct prng r;
    prng_init(&r, 11);
    for (int round = 0; round < 300; round++) {
        struct topn_spec spec = { .nkeys = 1, .n = 1 + (uint32_t)prng_below(&r, 12), .desc = { prng_below(&r, 2) } };
        struct topn_entry all[60];
        char text[60][16];
        struct op_topn parts[4], total;
        uint32_t n = (uint32_t)prng_below(&r, 60), nparts = 1 + (uint32_t)prng_below(&r, 4);
        for (uint32_t p = 0; p < nparts; p++)
            op_topn_init(&parts[p], &spec, &mem);
        op_topn_init(&total, &spec, &mem);
        for (uint32_t i = 0; i < n; i++) {
            snprintf(text[i], sizeof text[i], "%u", i * 7919 % 61);
            all[i] = (struct topn_entry){ .key[0] = { .type = COL_I64, .i64 = (int64_t)prng_below(&r, 4) }, .addr = prng_below(&r, 2), .row = i };
            (void)op_topn_offer(&parts[prng_below(&r, nparts)], &all[i]);
        }
        for (uint32_t p = 0; p < nparts; p++) {
            op_topn_close(&parts[p]);
            for (uint32_t i = 0; i < parts[p].count; i++)
                parts[p].heap[i].payload = str_of(text[parts[p].heap[i].row]);
            op_topn_merge(&total, &parts[p]);
        }
        op_topn_finish(&total, by_payload);
        for (uint32_t i = 0; i < n; i++)
            all[i].payload = str_of(text[i]);
        for (uint32_t i = 1; i < n; i++)
            for (uint32_t j = i; j > 0; j--) {
                int c = topn_cmp(&spec, &all[j - 1], &all[j]);
                if (c < 0 || (c == 0 && by_payload(&all[j - 1], &all[j]) <= 0)) break;
                struct topn_entry e = all[j];
                all[j] = all[j - 1];
                all[j - 1] = e;
            }
        cr_assert_eq(total.count, MIN(n, spec.n));
        for (uint32_t i = 0; i < total.count; i++)
            cr_assert_eq(total.heap[i].row, all[i].row, "round %d place %u", round, i);
    }
}

/* -- aggregates --------------------------------------------------------------------------------------------- */

Test(ops, sketch_error_and_merge)
{
    struct prng r;
    prng_init(&r, 3);
    struct sketch a = { 0 }, b = { 0 };
    static double v[5000];
    for (uint32_t i = 0; i < ARRAY_LEN(v); i++) {
        v[i] = (prng_unit(&r) - 0.3) * pow(10, (double)prng_below(&r, 7));
        sketch_add(i % 2 ? &a : &b, v[i], 1, &mem);
    }
    sketch_merge(&a, &b, &mem);
    cr_assert_eq(sketch_count(&a), ARRAY_LEN(v));
    for (uint32_t i = 1; i < ARRAY_LEN(v); i++) {
        double x = v[i];
        uint32_t j = i;
        for (; j > 0 && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
    for (double q = 0.05; q < 1; q += 0.05) {
        double want = v[(uint32_t)(q * (double)(ARRAY_LEN(v) - 1))], got = sketch_quantile(&a, q);
        cr_expect(fabs(got - want) <= 0.0101 * fabs(want) + 1e-9, "q %g: %g for %g", q, got, want);
    }
    struct sketch four = { 0 };
    for (int i = 0; i < 4; i++)
        sketch_add(&four, (double[]){ 20, 100, 100, 120 }[i], 1, &mem);
    cr_expect(fabs(sketch_quantile(&four, 0.85) - 100.49456770856702) < 1e-6);
}

Test(ops, distinct_exact_then_close)
{
    struct distinct a = { 0 }, b = { 0 };
    for (uint64_t i = 0; i < 5000; i++) {
        distinct_add(&a, hash_u64(i + 1), &mem);
        distinct_add(&b, hash_u64(i + 2501), &mem);
    }
    cr_expect_eq(distinct_count(&a), 5000);
    distinct_merge(&a, &b, &mem);
    cr_expect_eq(distinct_count(&a), 7500);
    for (uint64_t i = 0; i < 100000; i++)
        distinct_add(&b, hash_u64(i + 1), &mem);
    distinct_merge(&a, &b, &mem);
    double got = (double)distinct_count(&a);
    cr_expect(fabs(got - 100000) < 6000, "%g", got);
}

static struct attr_ref ref_x = { REL_ROWS, SC_ATTR, { "x", 1 }, { NULL, 0 }, false };
static struct attr_ref ref_time = { REL_ROWS, SC_SELF, { "time", 4 }, { NULL, 0 }, false };
static struct attr_ref ref_svc = { REL_RESOURCE, SC_ATTR, { "service.name", 12 }, { NULL, 0 }, false };

static void run_agg(struct op_agg *a, struct table *t)
{
    struct rows_src src = { .table = t };
    cr_assert_eq(op_agg_bind(a, &src), OK);
    for (uint32_t base = 0; base < t->nrows; base += VEC_MAX) {
        struct chunk c = { .n = MIN((uint32_t)VEC_MAX, t->nrows - base), .base = base };
        c.nsel = c.n;
        cr_assert_eq(op_agg_chunk(a, &c), OK);
    }
}

Test(ops, aggregates_equal_brute_force)
{
    struct prng r;
    prng_init(&r, 11);
    struct agg_spec metric = { .kind = AGG_MOMENTS, .field = { &ref_time, 1 }, .div = 10 };
    struct agg_spec by_time = { .kind = AGG_HISTOGRAM_I64, .field = { &ref_time, 1 }, .interval_i64 = 100, .offset_i64 = -30, .subs = &metric, .nsubs = 1 };
    struct agg_spec specs[] = {
        { .kind = AGG_TERMS, .field = { &ref_svc, 1 }, .subs = &by_time, .nsubs = 1 },
        { .kind = AGG_TERMS, .field = { &ref_x, 1 } },
        { .kind = AGG_COUNT, .field = { &ref_x, 1 } },
    };
    struct op_agg a, b;
    struct arena mem_b;
    arena_init(&mem_b, NULL);
    cr_assert_eq(op_agg_init(&a, specs, ARRAY_LEN(specs), &mem, AGG_BUCKETS_MAX), OK);
    cr_assert_eq(op_agg_init(&b, specs, ARRAY_LEN(specs), &mem_b, AGG_BUCKETS_MAX), OK);
    struct table *t[4];
    for (int i = 0; i < 4; i++) {
        t[i] = random_table(&r, 2500);
        run_agg(i % 2 ? &b : &a, t[i]);
    }
    cr_assert_eq(op_agg_merge(&a, &b), OK);
    cr_expect_eq(a.root.count, 10000);
    uint64_t total = 0, moments = 0;
    for (uint32_t i = 0; i < a.root.subs[0].nbuckets; i++) {
        struct agg_bucket *k = a.root.subs[0].buckets[i];
        total += k->count;
        for (uint32_t h = 0; h < k->subs[0].nbuckets; h++) {
            struct agg_bucket *hb = k->subs[0].buckets[h];
            uint64_t want = 0;
            double sum = 0;
            for (int ti = 0; ti < 4; ti++)
                for (uint32_t row = 0; row < t[ti]->nrows; row++) {
                    const struct column *svc = table_column(t[ti]->dim[DIM_RESOURCE], SC_ATTR, STR("service.name"), COL_STR);
                    const struct column *time = table_column(t[ti], SC_SELF, STR("time"), COL_I64);
                    uint32_t res = t[ti]->dim_row[DIM_RESOURCE][row];
                    int64_t at = time->i64[row];
                    if (!column_has(svc, res) || !str_eq(column_str(svc, res), k->key[0].s)) continue;
                    if (at < hb->key[0].i64 || at >= hb->key[0].i64 + 100) continue;
                    want++;
                    sum += (double)at / 10;
                }
            cr_assert_eq(hb->count, want);
            cr_assert(fabs(hb->subs[0].m.sum - sum) < 1e-6);
            cr_expect_eq(((hb->key[0].i64 + 30) % 100 + 100) % 100, 0);
            moments += hb->subs[0].m.count;
        }
    }
    cr_expect_eq(moments, total);
    cr_expect_gt(a.root.subs[2].m.count, 0);
    for (int i = 0; i < 4; i++)
        table_put(t[i]);
    op_agg_deinit(&a);
    op_agg_deinit(&b);
    arena_deinit(&mem_b);
}

Test(ops, too_many_buckets)
{
    struct prng r;
    prng_init(&r, 5);
    struct table *t = random_table(&r, 3000);
    struct agg_spec spec = { .kind = AGG_TERMS, .field = { &ref_time, 1 } };
    struct op_agg a;
    cr_assert_eq(op_agg_init(&a, &spec, 1, &mem, 100), OK);
    struct rows_src src = { .table = t };
    cr_assert_eq(op_agg_bind(&a, &src), OK);
    struct chunk c = { .n = VEC_MAX, .nsel = VEC_MAX };
    cr_expect_eq(op_agg_chunk(&a, &c), ERR_LIMIT);
    op_agg_deinit(&a);
    table_put(t);
}
