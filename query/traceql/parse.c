/* Recursive descent with precedence climbing; depth is bounded by TQL_DEPTH_MAX. In spansets && and || have the
 * same precedence and are left-associative, and structural operators bind tighter; in fields the ladder
 * is || and && (same), comparisons, + -, * / %, ^ (right), unary. */
#include "query/traceql/parse.h"

err_t tql_deeper(struct tql_parser *p)
{
    if (++p->depth > TQL_DEPTH_MAX) return tql_lex_error(&p->lex, "nested too deep");
    return OK;
}

err_t tql_expect(struct tql_parser *p, enum tql_token token, const char *what)
{
    if (p->lex.token != token) return tql_lex_error(&p->lex, what);
    return tql_lex_next(&p->lex);
}

bool tql_at_word(const struct tql_parser *p, const char *word)
{
    return p->lex.token == TK_WORD && str_is(p->lex.name, word);
}

/* -- fields ------------------------------------------------------------------------------------------------ */
int tql_precedence(enum tql_op op)
{
    switch (op) {
    case OP_OR: case OP_AND: return 1;
    case OP_EQ: case OP_NE: case OP_LT: case OP_LE: case OP_GT: case OP_GE: case OP_RE: case OP_NRE: return 2;
    case OP_ADD: case OP_SUB: return 3;
    case OP_MUL: case OP_DIV: case OP_MOD: return 4;
    case OP_POW: return 5;
    default: return 0;
    }
}

bool tql_is_comparison(enum tql_op op)
{
    return op >= OP_EQ && op <= OP_NRE;
}

static struct tql_field *new_field(struct tql_parser *p, enum tql_field_kind kind, size_t start)
{
    struct tql_field *f = ARENA_NEW(p->a, struct tql_field);
    f->kind = kind;
    f->text = str_sub(p->lex.text, start, p->lex.at);
    return f;
}

static void mention(struct tql_parser *p, struct tql_field *f)
{
    struct tql_query *q = p->q;
    for (uint32_t i = 0; i < q->nmentioned; i++) {
        const struct tql_field *m = q->mentioned[i];
        if (m->kind == f->kind && (f->kind == TF_ATTR ? m->scope == f->scope && str_eq(m->name, f->name)
                                                      : m->intrinsic == f->intrinsic))
            return;
    }
    q->mentioned = arena_grow(p->a, q->mentioned, q->nmentioned, &p->mentioned_cap, q->nmentioned + 1,
                              sizeof *q->mentioned);
    q->mentioned[q->nmentioned++] = f;
}

err_t tql_field_primary(struct tql_parser *p, struct tql_field **out)
{
    struct tql_lexer *l = &p->lex;
    struct tql_field *f;
    if (l->token == TK_LPAREN) {
        TRY(tql_lex_next(l));
        TRY(tql_field(p, 1, out));
        return tql_expect(p, TK_RPAREN, "')' expected");
    }
    if (l->token == TK_LITERAL) {
        f = new_field(p, TF_LITERAL, l->start);
        f->lit = l->lit;
    } else if (l->token == TK_ATTR) {
        f = new_field(p, TF_ATTR, l->start);
        f->scope = l->scope;
        f->name = l->name;
        mention(p, f);
    } else if (l->token == TK_INTRINSIC) {
        f = new_field(p, TF_INTRINSIC, l->start);
        f->intrinsic = l->intrinsic;
        mention(p, f);
    } else {
        return tql_lex_error(l, "attribute or value expected");
    }
    *out = f;
    return tql_lex_next(l);
}

static void negate(struct tval *number)
{
    if (number->type == TV_INT)
        number->i = (int64_t)(0 - (uint64_t)number->i);
    else
        number->f = -number->f;
}

static err_t field_unary(struct tql_parser *p, struct tql_field **out)
{
    enum tql_op op = p->lex.op == OP_SUB ? OP_NEG : OP_NOT;
    if (p->lex.token != TK_OP || (p->lex.op != OP_SUB && p->lex.op != OP_NOT)) return tql_field_primary(p, out);
    struct tql_field *f = new_field(p, TF_UNARY, p->lex.start);
    f->op = op;
    TRY(tql_deeper(p));
    TRY(tql_lex_next(&p->lex));
    TRY(field_unary(p, &f->l));
    p->depth--;
    if (op == OP_NEG && f->l->kind == TF_LITERAL && (f->l->lit.type == TV_INT || f->l->lit.type == TV_FLOAT)) {
        f->kind = TF_LITERAL;
        f->lit = f->l->lit;
        negate(&f->lit);
    }
    *out = f;
    return OK;
}

static err_t compile_regex(struct tql_parser *p, struct tql_field *f)
{
    if (f->r->kind != TF_LITERAL || f->r->lit.type != TV_STR)
        return tql_lex_error(&p->lex, "a regular expression must be a quoted string");
    TRY(regex_new(f->r->lit.s, &f->re));
    struct tql_query *q = p->q;
    q->regex = arena_grow(p->a, q->regex, q->nregex, &p->regex_cap, q->nregex + 1, sizeof *q->regex);
    q->regex[q->nregex++] = f->re;
    return OK;
}

err_t tql_field(struct tql_parser *p, int min, struct tql_field **out)
{
    TRY(tql_deeper(p));
    size_t start = p->lex.start;
    struct tql_field *left;
    TRY(field_unary(p, &left));
    for (;;) {
        enum tql_op op = p->lex.op;
        int prec = p->lex.token == TK_OP ? tql_precedence(op) : 0;
        if (prec == 0 || prec < min) break;
        struct tql_field *f = ARENA_NEW(p->a, struct tql_field);
        f->kind = TF_BINARY;
        f->op = op;
        f->l = left;
        TRY(tql_lex_next(&p->lex));
        TRY(tql_field(p, op == OP_POW ? prec : prec + 1, &f->r));
        f->text = str_trim(str_sub(p->lex.text, start, p->lex.start));
        if (op == OP_RE || op == OP_NRE) TRY(compile_regex(p, f));
        if (f->l->kind == TF_LITERAL && f->l->lit.type == TV_NIL) { /* nil = .x is .x = nil */
            struct tql_field *nil = f->l;
            f->l = f->r;
            f->r = nil;
        }
        left = f;
        TRY(arena_check(p->a));
    }
    p->depth--;
    *out = left;
    return OK;
}

/* What type a field can have, as far as the text tells. */
enum ftype { FT_ANY, FT_NUMBER, FT_STRING, FT_BOOL, FT_NIL, FT_STATUS, FT_KIND };

static enum ftype literal_type(const struct tval *v)
{
    switch (v->type) {
    case TV_INT: case TV_FLOAT: return FT_NUMBER;
    case TV_BOOL: return FT_BOOL;
    case TV_NIL: return FT_NIL;
    case TV_STATUS: return FT_STATUS;
    case TV_KIND: return FT_KIND;
    default: return FT_STRING;
    }
}

static enum ftype intrinsic_type(enum tql_intrinsic i)
{
    switch (i) {
    case TI_DURATION: case TI_TRACE_DURATION: case TI_CHILD_COUNT: case TI_NESTED_LEFT: case TI_NESTED_RIGHT:
    case TI_NESTED_PARENT: case TI_EVENT_SINCE_START: return FT_NUMBER;
    case TI_STATUS: return FT_STATUS;
    case TI_KIND: return FT_KIND;
    default: return FT_STRING;
    }
}

static enum ftype type_of(const struct tql_field *f)
{
    switch (f->kind) {
    case TF_LITERAL: return literal_type(&f->lit);
    case TF_ATTR: return FT_ANY;
    case TF_INTRINSIC: return intrinsic_type(f->intrinsic);
    case TF_UNARY: return f->op == OP_NOT ? FT_BOOL : FT_NUMBER;
    default: return tql_precedence(f->op) <= 2 ? FT_BOOL : FT_NUMBER;
    }
}

static err_t check_types(const struct tql_field *f);

static err_t check_binary(const struct tql_field *f)
{
    TRY(check_types(f->l));
    TRY(check_types(f->r));
    enum ftype l = type_of(f->l), r = type_of(f->r);
    bool any = l == FT_ANY || r == FT_ANY, same = l == r || any;
    bool good;
    if (f->op == OP_AND || f->op == OP_OR) {
        good = (l == FT_BOOL || l == FT_ANY) && (r == FT_BOOL || r == FT_ANY);
    } else if (f->op == OP_RE || f->op == OP_NRE) {
        good = l == FT_STRING || l == FT_ANY;
    } else if (tql_is_comparison(f->op)) {
        bool equality = f->op == OP_EQ || f->op == OP_NE;
        bool nil_ok = (l == FT_NIL || r == FT_NIL) && equality;
        bool keyword = l == FT_STATUS || l == FT_KIND || r == FT_STATUS || r == FT_KIND || l == FT_BOOL || r == FT_BOOL;
        good = (same || nil_ok) && (!keyword || equality);
        if ((l == FT_NIL || r == FT_NIL) && (f->l->kind == TF_INTRINSIC || f->r->kind == TF_INTRINSIC)) good = false;
    } else {
        good = (l == FT_NUMBER || l == FT_ANY) && (r == FT_NUMBER || r == FT_ANY);
    }
    if (good) return OK;
    return err_set(ERR_INVALID, "illegal operation for the given types: " STR_FMT, STR_ARG(f->text));
}

static err_t check_types(const struct tql_field *f)
{
    if (f->kind == TF_BINARY) return check_binary(f);
    if (f->kind != TF_UNARY) return OK;
    TRY(check_types(f->l));
    enum ftype t = type_of(f->l), want = f->op == OP_NOT ? FT_BOOL : FT_NUMBER;
    if (t == want || t == FT_ANY) return OK;
    return err_set(ERR_INVALID, "illegal operation for the given type: " STR_FMT, STR_ARG(f->text));
}

bool tql_is_numeric(const struct tql_field *f)
{
    return type_of(f) == FT_NUMBER || type_of(f) == FT_ANY;
}

err_t tql_number(struct tql_parser *p, struct tval *out)
{
    bool minus = p->lex.token == TK_OP && p->lex.op == OP_SUB;
    if (minus) TRY(tql_lex_next(&p->lex));
    *out = p->lex.lit;
    if (p->lex.token != TK_LITERAL || literal_type(out) != FT_NUMBER) return tql_lex_error(&p->lex, "a number expected");
    if (minus) negate(out);
    return tql_lex_next(&p->lex);
}

/* -- spansets ------------------------------------------------------------------------------------------------ */
err_t tql_filter_body(struct tql_parser *p, struct tql_field **out)
{
    *out = NULL;
    if (p->lex.token != TK_RBRACE) {
        TRY(tql_field(p, 1, out));
        TRY(check_types(*out));
        enum ftype t = type_of(*out);
        if (t != FT_BOOL && t != FT_ANY)
            return err_set(ERR_INVALID, "span filter field expressions must resolve to a boolean: { " STR_FMT " }",
                           STR_ARG((*out)->text));
    }
    return tql_expect(p, TK_RBRACE, "'}' or an operator expected");
}

static err_t spanset_filter(struct tql_parser *p, struct tql_spanset **out)
{
    struct tql_spanset *s = ARENA_NEW(p->a, struct tql_spanset);
    s->kind = TSS_FILTER;
    TRY(tql_lex_next(&p->lex));
    TRY(tql_filter_body(p, &s->filter));
    struct tql_query *q = p->q;
    if (q->nfilters == TQL_FILTERS_MAX)
        return err_set(ERR_INVALID, "more than %d span filters in one query", TQL_FILTERS_MAX);
    s->filter_idx = q->nfilters;
    q->filters[q->nfilters++] = s->filter;
    *out = s;
    return OK;
}

static int spanset_precedence(enum tql_op op)
{
    switch (op) {
    case OP_AND: case OP_OR: return 1;
    case OP_GT: case OP_LT: /* > and < between spansets are child and parent */
    case OP_CHILD: case OP_DESCENDANT: case OP_PARENT: case OP_ANCESTOR: case OP_SIBLING: return 2;
    default: return 0;
    }
}

static err_t spanset(struct tql_parser *p, int min, struct tql_spanset **out)
{
    TRY(tql_deeper(p));
    struct tql_spanset *left;
    if (p->lex.token == TK_LBRACE) {
        TRY(spanset_filter(p, &left));
    } else if (p->lex.token == TK_LPAREN) {
        left = ARENA_NEW(p->a, struct tql_spanset);
        left->kind = TSS_PIPELINE;
        TRY(tql_lex_next(&p->lex));
        TRY(tql_pipeline(p, &left->inner));
        TRY(tql_expect(p, TK_RPAREN, "')' expected"));
    } else {
        return tql_lex_error(&p->lex, "'{' or '(' expected");
    }
    for (;;) {
        int prec = p->lex.token == TK_OP ? spanset_precedence(p->lex.op) : 0;
        if (prec == 0 || prec < min) break;
        struct tql_spanset *s = ARENA_NEW(p->a, struct tql_spanset);
        s->kind = TSS_BINARY;
        s->op = p->lex.op == OP_GT ? OP_CHILD : p->lex.op == OP_LT ? OP_PARENT : p->lex.op;
        s->form = p->lex.form;
        s->l = left;
        TRY(tql_lex_next(&p->lex));
        TRY(spanset(p, prec + 1, &s->r));
        left = s;
    }
    p->depth--;
    *out = left;
    return OK;
}

/* -- scalars and stages ---------------------------------------------------------------------------------------- */
static enum tql_agg agg_of(struct str word)
{
    static const char *const names[] = { "", "count", "avg", "min", "max", "sum" };
    for (int i = TA_COUNT; i <= TA_SUM; i++)
        if (str_is(word, names[i])) return (enum tql_agg)i;
    return TA_NONE;
}

static err_t scalar(struct tql_parser *p, int min, struct tql_scalar **out)
{
    TRY(tql_deeper(p));
    struct tql_scalar *s = ARENA_NEW(p->a, struct tql_scalar);
    size_t start = p->lex.start;
    if (p->lex.token == TK_LPAREN) {
        TRY(tql_lex_next(&p->lex));
        TRY(scalar(p, 3, &s));
        TRY(tql_expect(p, TK_RPAREN, "')' expected"));
    } else if (p->lex.token == TK_WORD && agg_of(p->lex.name)) {
        s->agg = agg_of(p->lex.name);
        TRY(tql_lex_next(&p->lex));
        TRY(tql_expect(p, TK_LPAREN, "'(' expected"));
        if (s->agg != TA_COUNT) {
            TRY(tql_field(p, 1, &s->of));
            TRY(check_types(s->of));
            enum ftype t = type_of(s->of);
            if ((t != FT_NUMBER && t != FT_ANY) || s->of->kind == TF_LITERAL)
                return err_set(ERR_INVALID, "aggregate field expressions must resolve to a number type of a span: " STR_FMT,
                               STR_ARG(s->of->text));
        }
        TRY(tql_expect(p, TK_RPAREN, "')' expected"));
    } else {
        TRY(field_unary(p, &s->of));
        if (s->of->kind != TF_LITERAL || type_of(s->of) != FT_NUMBER)
            return tql_lex_error(&p->lex, "an aggregate or a number expected");
    }
    for (;;) {
        int prec = p->lex.token == TK_OP ? tql_precedence(p->lex.op) : 0;
        if (prec < 3 || prec < min) break;
        struct tql_scalar *b = ARENA_NEW(p->a, struct tql_scalar);
        b->op = p->lex.op;
        b->l = s;
        TRY(tql_lex_next(&p->lex));
        TRY(scalar(p, prec + 1, &b->r));
        s = b;
    }
    s->text = str_trim(str_sub(p->lex.text, start, p->lex.start));
    p->depth--;
    *out = s;
    return OK;
}

static bool has_aggregate(const struct tql_scalar *s)
{
    return s->agg || (s->l && has_aggregate(s->l)) || (s->r && has_aggregate(s->r));
}

static err_t scalar_stage(struct tql_parser *p, struct tql_stage *st)
{
    st->kind = TST_SCALAR;
    TRY(scalar(p, 3, &st->l));
    st->cmp = p->lex.op;
    if (p->lex.token != TK_OP || !tql_is_comparison(st->cmp) || st->cmp == OP_RE || st->cmp == OP_NRE)
        return tql_lex_error(&p->lex, "a comparison of the aggregate expected");
    TRY(tql_lex_next(&p->lex));
    TRY(scalar(p, 3, &st->r));
    if (!has_aggregate(st->l) && !has_aggregate(st->r))
        return err_set(ERR_INVALID, "a scalar filter needs an aggregate");
    return OK;
}

static err_t word_stage(struct tql_parser *p, struct tql_stage *st)
{
    enum tql_metric_fn fn;
    if (tql_at_metrics_function(p, &fn) || tql_at_word(p, "topk") || tql_at_word(p, "bottomk"))
        return tql_lex_error(&p->lex, p->metrics_depth ? "no metrics function can stand here:" : "a metrics function is no search:");
    bool by = tql_at_word(p, "by"), select = tql_at_word(p, "select"), coalesce = tql_at_word(p, "coalesce");
    if (!by && !select && !coalesce) return scalar_stage(p, st);
    TRY(tql_lex_next(&p->lex));
    TRY(tql_expect(p, TK_LPAREN, "'(' expected"));
    st->kind = by ? TST_BY : select ? TST_SELECT : TST_COALESCE;
    if (by) {
        TRY(tql_field(p, 1, &st->by));
        TRY(check_types(st->by));
    }
    if (select) {
        st->select = ARENA_ARRAY(p->a, struct tql_field *, TQL_SELECT_MAX);
        for (;;) {
            if (st->nselect == TQL_SELECT_MAX) return tql_lex_error(&p->lex, "too many fields in select()");
            TRY(tql_field_primary(p, &st->select[st->nselect++]));
            if (p->lex.token != TK_COMMA) break;
            TRY(tql_lex_next(&p->lex));
        }
    }
    return tql_expect(p, TK_RPAREN, "')' expected");
}

static err_t stage(struct tql_parser *p, bool first, struct tql_stage **out)
{
    struct tql_stage *st = ARENA_NEW(p->a, struct tql_stage);
    *out = st;
    if (p->lex.token == TK_LBRACE || (p->lex.token == TK_LPAREN && first)) {
        st->kind = TST_SPANSET;
        return spanset(p, 1, &st->spanset);
    }
    if (first && !(p->lex.token == TK_WORD && agg_of(p->lex.name))) return tql_lex_error(&p->lex, "'{' or '(' expected");
    if (p->lex.token == TK_LPAREN) {
        /* "| ( {...} ... )" or "| (min(x)+1) > 2": look one token ahead. */
        struct tql_lexer saved = p->lex;
        TRY(tql_lex_next(&p->lex));
        bool spans = p->lex.token == TK_LBRACE || p->lex.token == TK_LPAREN;
        p->lex = saved;
        if (spans) {
            st->kind = TST_SPANSET;
            return spanset(p, 1, &st->spanset);
        }
    }
    return word_stage(p, st);
}

err_t tql_pipeline(struct tql_parser *p, struct tql_pipeline **out)
{
    struct tql_pipeline *pl = ARENA_NEW(p->a, struct tql_pipeline);
    struct tql_stage **tail = &pl->first;
    TRY(tql_deeper(p));
    for (bool first = true;; first = false) {
        TRY(stage(p, first, tail));
        tail = &(*tail)->next;
        TRY(arena_check(p->a));
        if (p->lex.token != TK_PIPE) break;
        TRY(tql_lex_next(&p->lex));
        enum tql_metric_fn fn;
        if (p->metrics_depth == p->depth && tql_at_metrics_function(p, &fn)) break;
    }
    p->depth--;
    *out = pl;
    return OK;
}

/* How many exemplars is a hint that counts. The others are read and checked, without effect: every answer is over all
 * spans, and searches give the newest first. */
static void note_hint(struct tql_parser *p, struct str name, const struct tval *v)
{
    if (!str_is(name, "exemplars")) return;
    if (v->type == TV_INT) p->exemplars = MAX(v->i, 0);
    if (v->type == TV_BOOL) p->exemplars = v->b ? METRICS_EXEMPLARS_MAX : 0;
}

err_t tql_hints(struct tql_parser *p)
{
    TRY(tql_lex_next(&p->lex));
    TRY(tql_expect(p, TK_LPAREN, "'(' expected"));
    for (;;) {
        if (p->lex.token != TK_WORD) return tql_lex_error(&p->lex, "name of a hint expected");
        struct str name = p->lex.name;
        TRY(tql_lex_next(&p->lex));
        if (p->lex.token != TK_OP || p->lex.op != OP_EQ) return tql_lex_error(&p->lex, "'=' expected");
        TRY(tql_lex_next(&p->lex));
        if (p->lex.token == TK_OP) {
            struct tval number;
            TRY(tql_number(p, &number));
        } else {
            if (p->lex.token != TK_LITERAL) return tql_lex_error(&p->lex, "a value expected");
            note_hint(p, name, &p->lex.lit);
            TRY(tql_lex_next(&p->lex));
        }
        if (p->lex.token != TK_COMMA) break;
        TRY(tql_lex_next(&p->lex));
    }
    return tql_expect(p, TK_RPAREN, "')' expected");
}

err_t tql_parse(struct str text, struct arena *a, struct tql_query **out)
{
    if (text.n > TQL_TEXT_MAX) return err_set(ERR_INVALID, "query is longer than %d bytes", TQL_TEXT_MAX);
    struct tql_parser p = { .lex = { .text = text, .a = a }, .a = a, .q = ARENA_NEW(a, struct tql_query) };
    err_t e;
    p.q->text = arena_str(a, text);
    TRY_OUT(e, tql_lex_next(&p.lex));
    TRY_OUT(e, tql_pipeline(&p, &p.q->pipeline));
    if (tql_at_word(&p, "with")) TRY_OUT(e, tql_hints(&p));
    if (p.lex.token != TK_END) e = tql_lex_error(&p.lex, "unexpected text");
out:
    if (e != OK) tql_free(p.q);
    *out = e == OK ? p.q : NULL;
    return e;
}

err_t tql_parse_name(struct str text, struct arena *a, struct tql_field **out)
{
    struct tql_parser p = { .lex = { .text = text, .a = a }, .a = a, .q = ARENA_NEW(a, struct tql_query) };
    if (text.n > TABLE_NAME_MAX) return err_set(ERR_INVALID, "the name is longer than %d bytes", TABLE_NAME_MAX);
    TRY(tql_lex_next(&p.lex));
    if (p.lex.token != TK_ATTR && p.lex.token != TK_INTRINSIC)
        return tql_lex_error(&p.lex, "not the name of an attribute");
    TRY(tql_field_primary(&p, out));
    return p.lex.token == TK_END ? OK : tql_lex_error(&p.lex, "not the name of an attribute");
}

void tql_free(struct tql_query *q)
{
    for (uint32_t i = 0; i < q->nregex; i++)
        regex_free(q->regex[i]);
    q->nregex = 0;
}
