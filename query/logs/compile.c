#include "query/logs/compile.h"

#include "base/core/datetime.h"
#include "storage/tokens.h"

struct compiler {
    const struct log_index *ix;
    struct expr_builder *b;
    struct arena *a;
};

/* -- leaves ------------------------------------------------------------------------------------------------ */

/* References for values: `below` ones only serve existence. */
static struct leaf leaf_of(struct compiler *c, const struct log_field *f, enum leaf_op op)
{
    struct attr_ref *refs = ARENA_ARRAY(c->a, struct attr_ref, LF_REFS_MAX);
    struct leaf l = { .refs = refs, .op = op };
    for (uint32_t i = 0; i < f->nrefs; i++)
        if (op == LEAF_EXISTS || !f->refs[i].below) refs[l.nrefs++] = f->refs[i];
    return l;
}

static struct val *lits_add(struct compiler *c, struct leaf *l, uint32_t max)
{
    if (!l->lits) l->lits = ARENA_ARRAY(c->a, struct val, max);
    return (struct val *)(uintptr_t)&l->lits[l->nlits++];
}

static struct expr *range_leaf(struct compiler *c, const struct log_field *f, struct val lo, bool lo_open, struct val hi,
                               bool hi_open)
{
    struct leaf l = leaf_of(c, f, LEAF_RANGE);
    struct val_range g = { .lo = lo, .hi = hi, .lo_open = lo_open, .hi_open = hi_open };
    l.ranges = arena_dup(c->a, &g, sizeof g);
    l.nranges = 1;
    return expr_leaf(c->b, &l);
}

static struct val i64_val(int64_t v) { return (struct val){ .type = COL_I64, .i64 = v }; }

static bool number(struct str s, struct val *v)
{
    int64_t i;
    double d;
    if (str_to_i64(s, &i)) return *v = i64_val(i), true;
    if (!str_to_f64(s, &d)) return false;
    return *v = (struct val){ .type = COL_F64, .f64 = d }, true;
}

static err_t wrong(const struct lq *q, struct str field, struct str text, const char *kind, struct compiler *c,
                   struct expr **out)
{
    if (q->lenient) return *out = expr_false(c->b), OK;
    return err_set(ERR_INVALID, "field `" STR_FMT "` has %s values, `" STR_FMT "` is none", STR_ARG(field), kind,
                   STR_ARG(str_sub(text, 0, 100)));
}

static int64_t floor_to(int64_t v, int64_t unit) { return v - ((v % unit) + unit) % unit; }

static err_t date_literal(const struct lq *q, struct str field, struct str text, struct compiler *c, int64_t *ns, bool *ok,
                          struct expr **out)
{
    *ok = q->date_format.n ? datetime_parse_java(text, q->date_format, ns) : datetime_parse_any(text, ns);
    return *ok ? OK : wrong(q, field, text, "date", c, out);
}

/* Equality with a date: the span of one unit of the field's precision. */
static struct expr *date_eq(struct compiler *c, const struct log_field *f, int64_t ns)
{
    int64_t unit = f->precision_ns > 0 ? f->precision_ns : 1, lo = floor_to(ns, unit);
    return range_leaf(c, f, i64_val(lo), false, i64_val(lo + (unit - 1)), false);
}

/* Stored values of v units: v * unit up to the next unit. */
static struct expr *unit_eq(struct compiler *c, const struct log_field *f, struct val v)
{
    double d = v.type == COL_I64 ? (double)v.i64 : v.f64;
    struct val lo = { .type = COL_F64, .f64 = d * (double)f->unit }, hi = { .type = COL_F64, .f64 = (d + 1) * (double)f->unit };
    return range_leaf(c, f, lo, false, hi, true);
}

static struct expr *eq_val(struct compiler *c, const struct log_field *f, struct val v)
{
    struct leaf l = leaf_of(c, f, LEAF_EQ);
    *lits_add(c, &l, 1) = v;
    return expr_leaf(c->b, &l);
}

static bool status_code(struct str s, int64_t *code)
{
    static const char *const names[] = { "unset", "ok", "error" };
    if (str_to_i64(s, code)) return true;
    for (int64_t i = 0; i < 3; i++) {
        struct str n = str_of(names[i]);
        if (str_ieq(s, n) || (s.n == n.n + 12 && str_ieq(str_sub(s, 0, 12), STR("STATUS_CODE_")) && str_ieq(str_sub(s, 12, s.n), n)))
            return *code = i, true;
    }
    return false;
}

/* Status 0 is not stored. */
static struct expr *status_eq(struct compiler *c, const struct log_field *f, int64_t code)
{
    struct expr *e = eq_val(c, f, i64_val(code));
    struct leaf exists = leaf_of(c, f, LEAF_EXISTS);
    return code == 0 ? expr_or2(c->b, e, expr_not(c->b, expr_leaf(c->b, &exists))) : e;
}

/* -- fields of one type ---------------------------------------------------------------------------------------- */

static bool is_plain_type(enum lf_kind k) { return k != LF_TEXT && k != LF_DYNAMIC && k != LF_OBJECT; }

/* A value of a field that holds no text. */
static err_t plain_value(struct compiler *c, const struct lq *q, const struct log_field *f, struct str field,
                         struct str text, struct expr **out)
{
    struct val v;
    int64_t n;
    bool ok;
    switch (f->kind) {
    case LF_NUMBER:
        if (!number(text, &v)) return wrong(q, field, text, "numeric", c, out);
        *out = f->unit ? unit_eq(c, f, v) : eq_val(c, f, v);
        return OK;
    case LF_BOOL:
    case LF_ROOT:
        if (!str_is(text, "true") && !str_is(text, "false")) return wrong(q, field, text, "boolean", c, out);
        if (f->kind == LF_BOOL) {
            *out = eq_val(c, f, (struct val){ .type = COL_BOOL, .boolean = str_is(text, "true") });
        } else {
            struct leaf exists = leaf_of(c, f, LEAF_EXISTS);
            *out = expr_leaf(c->b, &exists);
            if (str_is(text, "true")) *out = expr_not(c->b, *out);
        }
        return OK;
    case LF_DATE:
        TRY(date_literal(q, field, text, c, &n, &ok, out));
        if (ok) *out = date_eq(c, f, n);
        return OK;
    case LF_ID: {
        uint8_t *raw = arena_alloc(c->a, f->id_width);
        *out = str_from_hex(text, raw, f->id_width)
                   ? eq_val(c, f, (struct val){ .type = COL_FIX, .s = str_n(raw, f->id_width) })
                   : expr_false(c->b);
        return OK;
    }
    case LF_STATUS:
        *out = status_code(text, &n) ? status_eq(c, f, n) : expr_false(c->b);
        return OK;
    default: return *out = expr_false(c->b), OK;
    }
}

/* -- text --------------------------------------------------------------------------------------------------------- */

static struct expr *words_any(struct compiler *c, const struct log_field *f, const struct phrase *p, uint32_t from,
                              uint32_t n)
{
    struct leaf l = leaf_of(c, f, LEAF_EQ);
    l.words = true;
    for (uint32_t i = from; i < from + n; i++)
        *lits_add(c, &l, n) = (struct val){ .type = COL_STR, .s = p->tokens[i] };
    return expr_leaf(c->b, &l);
}

static struct expr *word_prefix(struct compiler *c, const struct log_field *f, struct str token)
{
    struct leaf l = leaf_of(c, f, LEAF_PREFIX);
    l.words = true;
    *lits_add(c, &l, 1) = (struct val){ .type = COL_STR, .s = token };
    return expr_leaf(c->b, &l);
}

static struct expr *phrase_leaf(struct compiler *c, const struct log_field *f, const struct phrase *p)
{
    struct leaf l = leaf_of(c, f, LEAF_PHRASE);
    l.phrase = *p;
    return expr_leaf(c->b, &l);
}

/* The words of a text against a field that is cut into words. */
static struct expr *words_expr(struct compiler *c, const struct lq *q, const struct log_field *f)
{
    struct phrase p = phrase_of(c->a, q->text);
    if (p.n == 0) return q->zero_all ? expr_true(c->b) : expr_false(c->b);
    p.last_prefix = q->prefix_last;
    p.slop = q->slop;
    if (q->join == LQ_PHRASE || p.n == 1) return phrase_leaf(c, f, &p);
    uint32_t whole = p.n - (q->prefix_last ? 1 : 0);
    if (q->join == LQ_OR_WORDS) {
        struct expr *any = words_any(c, f, &p, 0, whole);
        return q->prefix_last ? expr_or2(c->b, any, word_prefix(c, f, p.tokens[whole])) : any;
    }
    struct expr *kids[PHRASE_TOKENS_MAX];
    for (uint32_t i = 0; i < whole; i++)
        kids[i] = phrase_leaf(c, f, &(struct phrase){ .tokens = &p.tokens[i], .n = 1 });
    if (q->prefix_last) kids[whole] = word_prefix(c, f, p.tokens[whole]);
    return expr_and(c->b, kids, p.n);
}

static struct expr *whole_expr(struct compiler *c, const struct lq *q, const struct log_field *f, struct str text)
{
    struct leaf l = leaf_of(c, f, q->prefix_last ? LEAF_PREFIX : LEAF_EQ);
    l.fold = f->tokenizer == TOK_LOWERCASE || q->fold;
    *lits_add(c, &l, 1) = (struct val){ .type = COL_STR, .s = text };
    return expr_leaf(c->b, &l);
}

static bool cuts_words(const struct log_field *f) { return f->tokenizer == TOK_DEFAULT || f->tokenizer == TOK_WHITESPACE; }

/* Numbers, booleans and dates that a dynamic field may hold beside strings. */
static struct expr *typed_alternatives(struct compiler *c, const struct log_field *f, struct str text, struct expr *e)
{
    struct leaf l = leaf_of(c, f, LEAF_EQ);
    struct val v;
    if (f->kind != LF_DYNAMIC) return e;
    if (number(text, &v)) *lits_add(c, &l, 2) = v;
    if (str_is(text, "true") || str_is(text, "false"))
        *lits_add(c, &l, 2) = (struct val){ .type = COL_BOOL, .boolean = str_is(text, "true") };
    return l.nlits ? expr_or2(c->b, expr_leaf(c->b, &l), e) : e;
}

static struct expr *missing_too(struct compiler *c, const struct log_field *f, struct str text, struct expr *e)
{
    if (!f->missing.p || !str_eq(text, f->missing)) return e;
    struct leaf exists = leaf_of(c, f, LEAF_EXISTS);
    return expr_or2(c->b, e, expr_not(c->b, expr_leaf(c->b, &exists)));
}

static err_t text_node(struct compiler *c, const struct lq *q, const struct log_field *f, struct str field,
                       struct expr **out)
{
    if (is_plain_type(f->kind)) return plain_value(c, q, f, field, q->text, out);
    if (f->kind == LF_OBJECT) return *out = expr_false(c->b), OK;
    if (q->raw && cuts_words(f)) { /* one term, spaces and all: no word has them */
        struct phrase p = phrase_of(c->a, q->text);
        if (p.n != 1 || p.tokens[0].n != q->text.n) return *out = expr_false(c->b), OK;
    }
    *out = cuts_words(f) ? words_expr(c, q, f) : whole_expr(c, q, f, q->text);
    *out = missing_too(c, f, q->text, typed_alternatives(c, f, q->text, *out));
    return OK;
}

static err_t term_node(struct compiler *c, const struct lq *q, const struct log_field *f, struct str field,
                       struct expr **out)
{
    struct leaf l = leaf_of(c, f, LEAF_EQ);
    struct leaf typed = leaf_of(c, f, LEAF_EQ);
    if (f->kind == LF_OBJECT) return *out = expr_false(c->b), OK;
    if (is_plain_type(f->kind)) {
        struct expr **kids = ARENA_ARRAY(c->a, struct expr *, q->nterms + 1);
        for (uint32_t i = 0; i < q->nterms; i++)
            TRY(plain_value(c, q, f, field, q->terms[i], &kids[i]));
        *out = expr_or(c->b, kids, q->nterms);
        return OK;
    }
    l.words = cuts_words(f);
    l.fold = !l.words && (q->fold || f->tokenizer == TOK_LOWERCASE);
    bool missing = false;
    for (uint32_t i = 0; i < q->nterms; i++) {
        struct val v;
        struct str t = q->fold && l.words ? text_lower(c->a, q->terms[i]) : q->terms[i];
        missing |= f->missing.p && str_eq(t, f->missing);
        *lits_add(c, &l, q->nterms) = (struct val){ .type = COL_STR, .s = t };
        if (f->kind != LF_DYNAMIC) continue;
        if (number(t, &v)) *lits_add(c, &typed, q->nterms) = v;
        else if (str_is(t, "true") || str_is(t, "false"))
            *lits_add(c, &typed, q->nterms) = (struct val){ .type = COL_BOOL, .boolean = str_is(t, "true") };
    }
    *out = l.nlits ? expr_leaf(c->b, &l) : expr_false(c->b);
    if (typed.nlits) *out = expr_or2(c->b, expr_leaf(c->b, &typed), *out);
    if (missing) *out = missing_too(c, f, f->missing, *out);
    return OK;
}

/* -- ranges ---------------------------------------------------------------------------------------------------------- */

static err_t date_range(struct compiler *c, const struct lq *q, const struct log_field *f, struct str field,
                        struct expr **out)
{
    int64_t unit = f->precision_ns > 0 ? f->precision_ns : 1, n;
    struct val lo = { 0 }, hi = { 0 };
    bool ok;
    if (q->lo.given) {
        TRY(date_literal(q, field, q->lo.text, c, &n, &ok, out));
        if (!ok) return OK;
        lo = i64_val(floor_to(n, unit) + (q->lo.open ? unit - 1 : 0));
    }
    if (q->hi.given) {
        TRY(date_literal(q, field, q->hi.text, c, &n, &ok, out));
        if (!ok) return OK;
        hi = i64_val(floor_to(n, unit) + (q->hi.open ? 0 : unit - 1));
    }
    *out = range_leaf(c, f, lo, q->lo.open, hi, q->hi.open);
    return OK;
}

static struct val in_units(struct val v, int64_t unit)
{
    double d = v.type == COL_I64 ? (double)v.i64 : v.f64;
    return unit ? (struct val){ .type = COL_F64, .f64 = d * (double)unit } : v;
}

/* True when both given bounds are numbers. `unit`: a closed upper bound takes the whole unit in, an open lower
 * bound leaves the whole unit out. */
static bool number_range(struct compiler *c, const struct lq *q, const struct log_field *f, struct expr **out)
{
    struct val lo = { 0 }, hi = { 0 };
    bool lo_open = q->lo.open, hi_open = q->hi.open;
    if ((q->lo.given && !number(q->lo.text, &lo)) || (q->hi.given && !number(q->hi.text, &hi))) return false;
    if (f->unit) {
        if (lo.type && lo_open) lo = (struct val){ .type = COL_F64, .f64 = (lo.type == COL_I64 ? (double)lo.i64 : lo.f64) + 1 }, lo_open = false;
        if (hi.type && !hi_open) hi = (struct val){ .type = COL_F64, .f64 = (hi.type == COL_I64 ? (double)hi.i64 : hi.f64) + 1 }, hi_open = true;
        if (lo.type) lo = in_units(lo, f->unit);
        if (hi.type) hi = in_units(hi, f->unit);
    }
    *out = range_leaf(c, f, lo, lo_open, hi, hi_open);
    return true;
}

static struct expr *string_range(struct compiler *c, const struct lq *q, const struct log_field *f)
{
    struct leaf l = leaf_of(c, f, LEAF_RANGE);
    struct val_range g = { .lo_open = q->lo.open, .hi_open = q->hi.open };
    l.fold = f->fast_lower || f->tokenizer == TOK_LOWERCASE;
    if (q->lo.given) g.lo = (struct val){ .type = COL_STR, .s = l.fold ? text_lower(c->a, q->lo.text) : q->lo.text };
    if (q->hi.given) g.hi = (struct val){ .type = COL_STR, .s = l.fold ? text_lower(c->a, q->hi.text) : q->hi.text };
    l.ranges = arena_dup(c->a, &g, sizeof g);
    l.nranges = 1;
    return expr_leaf(c->b, &l);
}

static err_t range_node(struct compiler *c, const struct lq *q, const struct log_field *f, struct str field,
                        struct expr **out)
{
    switch (f->kind) {
    case LF_DATE: return date_range(c, q, f, field, out);
    case LF_NUMBER:
        if (number_range(c, q, f, out)) return OK;
        return wrong(q, field, q->lo.given ? q->lo.text : q->hi.text, "numeric", c, out);
    case LF_TEXT: return *out = string_range(c, q, f), OK;
    case LF_DYNAMIC:
        if (!number_range(c, q, f, out)) *out = string_range(c, q, f);
        return OK;
    case LF_STATUS:
        if (!number_range(c, q, f, out)) *out = expr_false(c->b);
        return OK;
    default: return *out = expr_false(c->b), OK;
    }
}

/* -- patterns ------------------------------------------------------------------------------------------------------------ */

static err_t pattern_node(struct compiler *c, const struct lq *q, const struct log_field *f, struct expr **out)
{
    bool words = cuts_words(f);
    struct leaf l = leaf_of(c, f, q->kind == LQ_PREFIX ? LEAF_PREFIX : q->kind == LQ_WILDCARD ? LEAF_WILDCARD : LEAF_REGEX);
    struct str text = q->text;
    if (is_plain_type(f->kind) || f->kind == LF_OBJECT) return *out = expr_false(c->b), OK;
    l.words = words;
    l.fold = q->fold || f->tokenizer == TOK_LOWERCASE;
    if (q->kind == LQ_REGEX) {
        if (q->fold) text = arena_printf(c->a, "(?i)" STR_FMT, STR_ARG(text));
        TRY(expr_regex(c->b, text, &l.re));
    } else {
        if (words && (q->fold || q->kind == LQ_WILDCARD)) text = text_lower(c->a, text);
        struct str start = str_sub(text, 0, text.n ? text.n - 1 : 0);
        if (words && q->kind == LQ_WILDCARD && text.n && text.p[text.n - 1] == '*' && token_plain(start)) {
            l.op = LEAF_PREFIX; /* the same, and searched for instead of matched */
            text = start;
        }
        *lits_add(c, &l, 1) = (struct val){ .type = COL_STR, .s = text };
    }
    *out = expr_leaf(c->b, &l);
    return OK;
}

/* -- the tree -------------------------------------------------------------------------------------------------------------- */

static err_t on_field(struct compiler *c, const struct lq *q, const struct log_field *f, struct str name,
                      struct expr **out)
{
    switch (q->kind) {
    case LQ_TEXT: return text_node(c, q, f, name, out);
    case LQ_TERM: return term_node(c, q, f, name, out);
    case LQ_RANGE: return range_node(c, q, f, name, out);
    case LQ_EXISTS: {
        struct leaf l = leaf_of(c, f, LEAF_EXISTS);
        *out = f->missing.p || f->kind == LF_ROOT || f->kind == LF_STATUS ? expr_true(c->b) : expr_leaf(c->b, &l);
        return OK;
    }
    default: return pattern_node(c, q, f, out);
    }
}

/* No field named, no default field: documents of a dynamic index are searched as the text they are. */
static err_t whole_document(struct compiler *c, const struct lq *q, struct expr **out)
{
    struct log_field f = { .kind = LF_TEXT, .tokenizer = TOK_DEFAULT, .nrefs = 1 };
    if (c->ix->signal != SIG_DOCS || c->ix->mapping->mode != MODE_DYNAMIC)
        return err_set(ERR_INVALID, "query requires a default search field and none was supplied");
    f.refs[0] = (struct attr_ref){ .rel = REL_ROWS, .scope = SC_SELF, .name = STR("source") };
    return on_field(c, q, &f, STR("_source"), out);
}

static err_t leaf_node(struct compiler *c, const struct lq *q, struct expr **out)
{
    const struct str *names = q->nfields ? q->fields : c->ix->mapping->default_fields;
    uint32_t n = q->nfields ? q->nfields : c->ix->mapping->ndefault_fields;
    if (n == 0) return whole_document(c, q, out);
    struct expr **kids = ARENA_ARRAY(c->a, struct expr *, n);
    struct lq lenient = *q;
    lenient.lenient |= n > 1;
    for (uint32_t i = 0; i < n; i++) {
        struct log_field *f = ARENA_NEW(c->a, struct log_field);
        if (log_field_resolve(c->ix, names[i], c->a, f)) {
            TRY(on_field(c, n > 1 ? &lenient : q, f, names[i], &kids[i]));
        } else if (q->lenient || q->kind == LQ_EXISTS) {
            kids[i] = expr_false(c->b);
        } else {
            return err_set(ERR_INVALID, "invalid query: field does not exist: `" STR_FMT "`", STR_ARG(names[i]));
        }
    }
    *out = expr_or(c->b, kids, n);
    return OK;
}

static err_t compile(struct compiler *c, const struct lq *q, struct expr **out);

static err_t compile_list(struct compiler *c, struct lq *const *v, uint32_t n, struct expr ***out)
{
    *out = ARENA_ARRAY(c->a, struct expr *, n + 3);
    for (uint32_t i = 0; i < n; i++)
        TRY(compile(c, v[i], &(*out)[i]));
    return arena_check(c->a);
}

/* Depth is that of the tree: bounded by its makers. */
static err_t compile(struct compiler *c, const struct lq *q, struct expr **out)
{
    struct expr **must, **should, **not;
    switch (q->kind) {
    case LQ_ALL: return *out = expr_true(c->b), OK;
    case LQ_NONE: return *out = expr_false(c->b), OK;
    case LQ_BOOL: break;
    default: return leaf_node(c, q, out);
    }
    TRY(compile_list(c, q->must, q->nmust, &must));
    TRY(compile_list(c, q->should, q->nshould, &should));
    TRY(compile_list(c, q->must_not, q->nmust_not, &not));
    uint32_t n = q->nmust;
    if (q->nshould && q->min_should) must[n++] = expr_atleast(c->b, q->min_should, should, q->nshould);
    else if (q->min_should) must[n++] = expr_false(c->b);
    if (q->nmust_not) must[n++] = expr_not(c->b, expr_or(c->b, not, q->nmust_not));
    *out = expr_and(c->b, must, n);
    return OK;
}

err_t log_compile(const struct log_index *ix, const struct lq *q, struct expr_builder *b, struct expr **out)
{
    struct compiler c = { .ix = ix, .b = b, .a = b->mem };
    return compile(&c, q, out);
}
