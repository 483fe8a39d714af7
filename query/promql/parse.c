/* The grammar of PromQL 3.14, by precedence climbing. From high to low:
 *     ^ (right)   * / % atan2   + -   == != <= < >= > </ >/   and unless   or
 * Unary + and - bind like *: -a^b is -(a^b), -a*b is (-a)*b. Depth of nesting and of the tree is bounded
 * by PQ_DEPTH_MAX. */
#include "base/core/assert.h"
#include "query/promql/func.h"
#include "query/promql/lex.h"
#include "storage/regex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
    struct pq_lexer lex;
    struct arena *a;
    struct pq_token tok;    /* the current one */
    uint32_t depth;
    uint32_t prev_end;      /* end of the token before */
};

void pq_line_col(struct str text, uint32_t pos, uint32_t *line, uint32_t *col)
{
    uint32_t from = 0;
    *line = 1;
    for (uint32_t i = 0; i < pos && i < text.n; i++)
        if (text.p[i] == '\n') {
            ++*line;
            from = i + 1;
        }
    *col = pos - from + 1;
}

err_t pq_fail_at(struct str text, uint32_t pos, const char *fmt, ...)
{
    char what[ERR_DETAIL_MAX - 64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    uint32_t line, col;
    pq_line_col(text, pos, &line, &col);
    return err_set(ERR_INVALID, "%u:%u: parse error: %s", line, col, what);
}

static err_t next(struct parser *p)
{
    p->prev_end = p->tok.end;
    TRY(arena_check(p->a));
    return pq_lex(&p->lex, &p->tok);
}

static err_t unexpected(struct parser *p, const char *context, const char *wanted)
{
    struct str t = pq_token_text(p->a, &p->tok);
    return pq_fail_at(p->lex.text, p->tok.start, "unexpected " STR_FMT "%s%s%s%s", STR_ARG(t),
                      context ? " in " : "", context ? context : "", wanted ? ", expected " : "",
                      wanted ? wanted : "");
}

static err_t expect(struct parser *p, enum pq_tok kind, const char *context, const char *wanted)
{
    if (p->tok.kind != kind) return unexpected(p, context, wanted);
    return next(p);
}

static bool word(const struct parser *p, const char *w)
{
    return p->tok.kind == TK_IDENT && str_ieq(p->tok.text, str_of(w));
}

/* The character behind the current token, blanks skipped: decides between a keyword and a name. */
static int after(const struct parser *p)
{
    uint32_t i = p->lex.at;
    while (i < p->lex.text.n && strchr(" \t\r\n", p->lex.text.p[i])) i++;
    return i < p->lex.text.n ? p->lex.text.p[i] : -1;
}

static err_t enter(struct parser *p)
{
    if (++p->depth <= PQ_DEPTH_MAX) return OK;
    return pq_fail_at(p->lex.text, p->tok.start, "query is nested deeper than %d", PQ_DEPTH_MAX);
}

static struct pq_node *node_new(struct parser *p, enum pq_kind kind, uint32_t start)
{
    struct pq_node *n = ARENA_NEW(p->a, struct pq_node);
    n->kind = kind;
    n->start = start;
    n->end = p->tok.start;
    n->depth = 1;
    return n;
}

static err_t node_under(struct parser *p, struct pq_node *n, const struct pq_node *child)
{
    if (child && n->depth <= child->depth) n->depth = child->depth + 1;
    if (n->depth <= PQ_DEPTH_MAX) return OK;
    return pq_fail_at(p->lex.text, n->start, "query is nested deeper than %d", PQ_DEPTH_MAX);
}

static err_t parse_expr(struct parser *p, int min_prec, struct pq_node **out);

/* -- duration expressions ----------------------------------------------------------------------- */
static err_t parse_dur(struct parser *p, int min_prec, struct pq_dur **out);

static err_t dur_new(struct parser *p, enum pq_durop op, struct pq_dur *l, struct pq_dur *r, uint32_t pos,
                     struct pq_dur **out)
{
    struct pq_dur *d = ARENA_NEW(p->a, struct pq_dur);
    d->op = op;
    d->lhs = l;
    d->rhs = r;
    d->pos = pos;
    d->depth = 1 + MAX(l ? l->depth : 0, r ? r->depth : 0);
    if (d->depth > PQ_DEPTH_MAX)
        return pq_fail_at(p->lex.text, pos, "query is nested deeper than %d", PQ_DEPTH_MAX);
    *out = d;
    return OK;
}

static bool at_dur_func(const struct parser *p)
{
    return after(p) == '(' && (word(p, "step") || word(p, "range") || word(p, "min_of") || word(p, "max_of"));
}

/* A literal, step(), range(), min_of(,), max_of(,) or ( expression ). */
static err_t parse_dur_primary(struct parser *p, struct pq_dur **out)
{
    uint32_t pos = p->tok.start;
    if (p->tok.kind == TK_NUMBER || p->tok.kind == TK_DURATION) {
        if (!(p->tok.number < 9.2e9)) return pq_fail_at(p->lex.text, pos, "duration out of range");
        TRY(dur_new(p, PQ_D_LIT, NULL, NULL, pos, out));
        (*out)->seconds = p->tok.number;
        return next(p);
    }
    if (p->tok.kind == TK_LPAREN) {
        TRY(next(p));
        TRY(parse_dur(p, 0, out));
        (*out)->paren = true;
        return expect(p, TK_RPAREN, "duration expression", "\")\"");
    }
    if (!at_dur_func(p))
        return unexpected(p, "duration expression", "number, duration, step(), or range()");
    bool pair = word(p, "min_of") || word(p, "max_of");
    enum pq_durop op = word(p, "step") ? PQ_D_STEP : word(p, "range") ? PQ_D_RANGE
                       : word(p, "min_of") ? PQ_D_MIN : PQ_D_MAX;
    struct pq_dur *l = NULL, *r = NULL;
    TRY(next(p));
    TRY(next(p));
    if (pair) {
        TRY(parse_dur(p, 0, &l));
        TRY(expect(p, TK_COMMA, "duration expression", "\",\""));
        TRY(parse_dur(p, 0, &r));
    }
    TRY(expect(p, TK_RPAREN, "duration expression", "\")\""));
    return dur_new(p, op, l, r, pos, out);
}

static err_t parse_dur_unary(struct parser *p, struct pq_dur **out)
{
    if (p->tok.kind != TK_OP || (p->tok.op != PQ_ADD && p->tok.op != PQ_SUB)) return parse_dur_primary(p, out);
    bool minus = p->tok.op == PQ_SUB;
    uint32_t pos = p->tok.start;
    struct pq_dur *d;
    TRY(next(p));
    TRY(parse_dur(p, 3, &d));
    if (!minus) return *out = d, OK;
    return dur_new(p, PQ_D_NEG, d, NULL, pos, out);
}

static int dur_prec(const struct pq_token *t, enum pq_durop *op)
{
    if (t->kind != TK_OP) return -1;
    switch (t->op) {
    case PQ_ADD: *op = PQ_D_ADD; return 1;
    case PQ_SUB: *op = PQ_D_SUB; return 1;
    case PQ_MUL: *op = PQ_D_MUL; return 2;
    case PQ_DIV: *op = PQ_D_DIV; return 2;
    case PQ_MOD: *op = PQ_D_MOD; return 2;
    case PQ_POW: *op = PQ_D_POW; return 3;
    default: return -1;
    }
}

static err_t parse_dur(struct parser *p, int min_prec, struct pq_dur **out)
{
    TRY(enter(p));
    TRY(parse_dur_unary(p, out));
    enum pq_durop op = PQ_D_ADD;
    for (int prec; (prec = dur_prec(&p->tok, &op)) >= min_prec && prec >= 0;) {
        uint32_t pos = p->tok.start;
        struct pq_dur *l = *out, *r;
        TRY(next(p));
        TRY(parse_dur(p, prec == 3 ? prec : prec + 1, &r));
        TRY(dur_new(p, op, l, r, pos, out));
    }
    p->depth--;
    return OK;
}

/* What may follow `offset` without parentheses. */
static err_t parse_offset_dur(struct parser *p, struct pq_dur **out)
{
    bool minus = false;
    uint32_t pos = p->tok.start;
    if (p->tok.kind == TK_OP && (p->tok.op == PQ_ADD || p->tok.op == PQ_SUB)) {
        minus = p->tok.op == PQ_SUB;
        TRY(next(p));
    }
    if (p->tok.kind != TK_NUMBER && p->tok.kind != TK_DURATION && p->tok.kind != TK_LPAREN && !at_dur_func(p))
        return unexpected(p, "offset", "number, duration, step(), or range()");
    TRY(parse_dur_primary(p, out));
    if (minus) return dur_new(p, PQ_D_NEG, *out, NULL, pos, out);
    return OK;
}

/* -- selectors ------------------------------------------------------------------------------------ */
struct matchers {
    struct matcher *m;
    size_t n, cap;
};

static void matcher_add(struct parser *p, struct matchers *ms, struct matcher m)
{
    ms->m = arena_grow(p->a, ms->m, ms->n, &ms->cap, ms->n + 1, sizeof *ms->m);
    ms->m[ms->n++] = m;
}

static err_t parse_matcher(struct parser *p, struct pq_selector *s, struct matchers *ms)
{
    bool quoted = p->tok.kind == TK_STRING;
    if (!quoted && p->tok.kind != TK_IDENT && !(p->tok.kind == TK_OP && p->tok.op >= PQ_AND) &&
        !(p->tok.kind == TK_OP && p->tok.op == PQ_ATAN2) && !(p->tok.kind == TK_NUMBER && p->tok.text.n == 3))
        return unexpected(p, "label matching", "identifier or \"}\"");
    struct matcher m = { .name = p->tok.text };
    uint32_t pos = p->tok.start;
    if (!quoted && str_chr(m.name, ':') < m.name.n) return unexpected(p, "label matching", "identifier or \"}\"");
    if (!quoted && m.name.n && m.name.p[0] >= '0' && m.name.p[0] <= '9')
        return unexpected(p, "label matching", "identifier or \"}\"");
    TRY(next(p));
    if (quoted && (p->tok.kind == TK_COMMA || p->tok.kind == TK_RBRACE)) {
        if (s->name.n)
            return pq_fail_at(p->lex.text, pos, "metric name must not be set twice: \"" STR_FMT "\" or \""
                              STR_FMT "\"", STR_ARG(s->name), STR_ARG(m.name));
        s->name = m.name;
        return OK;
    }
    switch (p->tok.kind) {
    case TK_ASSIGN: m.op = MATCH_EQ; break;
    case TK_EQ_REGEX: m.op = MATCH_RE; break;
    case TK_NE_REGEX: m.op = MATCH_NRE; break;
    case TK_OP:
        m.op = MATCH_NE;
        if (p->tok.op == PQ_NE) break;
        /* fall through */
    default: return unexpected(p, "label matching", "label matching operator");
    }
    TRY(next(p));
    if (p->tok.kind != TK_STRING) return unexpected(p, "label matching", "string");
    m.value = p->tok.text;
    matcher_add(p, ms, m);
    return next(p);
}

static err_t parse_selector(struct parser *p, struct str name, uint32_t start, struct pq_node **out)
{
    struct pq_selector *s = ARENA_NEW(p->a, struct pq_selector);
    struct matchers ms = { 0 };
    s->name = name;
    if (p->tok.kind == TK_LBRACE) {
        TRY(next(p));
        while (p->tok.kind != TK_RBRACE) {
            TRY(parse_matcher(p, s, &ms));
            if (p->tok.kind == TK_COMMA) {
                TRY(next(p));
            } else if (p->tok.kind != TK_RBRACE) {
                return unexpected(p, "label matching", "\",\" or \"}\"");
            }
        }
        TRY(next(p));
    }
    if (s->name.n)
        matcher_add(p, &ms, (struct matcher){ .op = MATCH_EQ, .name = STR("__name__"), .value = s->name });
    s->m = ms.m;
    s->nm = (uint32_t)ms.n;
    *out = node_new(p, PQ_SELECTOR, start);
    (*out)->end = p->prev_end;
    (*out)->sel = s;
    return OK;
}

/* -- literals, calls, aggregations --------------------------------------------------------------- */
static err_t parse_args(struct parser *p, struct pq_node ***args, uint32_t *nargs, const char *what)
{
    size_t n = 0, cap = 0;
    TRY(expect(p, TK_LPAREN, what, "\"(\""));
    while (p->tok.kind != TK_RPAREN) {
        struct pq_node *arg;
        TRY(parse_expr(p, 0, &arg));
        *args = arena_grow(p->a, *args, n, &cap, n + 1, sizeof **args);
        (*args)[n++] = arg;
        if (p->tok.kind == TK_COMMA) {
            TRY(next(p));
            if (p->tok.kind == TK_RPAREN)
                return pq_fail_at(p->lex.text, p->prev_end - 1, "trailing commas not allowed in function call args");
        } else if (p->tok.kind != TK_RPAREN) {
            return unexpected(p, what, "\",\" or \")\"");
        }
    }
    *nargs = (uint32_t)n;
    return next(p);
}

static err_t parse_call(struct parser *p, struct pq_token name, struct pq_node **out)
{
    const struct pq_func *f = pq_func_find(name.text);
    if (!f)
        return pq_fail_at(p->lex.text, name.start, "unknown function with name \"" STR_FMT "\"",
                          (int)MIN(name.text.n, 128), name.text.p);
    struct pq_node **args = NULL;
    uint32_t nargs = 0;
    TRY(parse_args(p, &args, &nargs, "function call"));
    struct pq_node *n = node_new(p, PQ_CALL, name.start);
    n->end = p->prev_end;
    n->call.fn = f;
    n->call.args = args;
    n->call.nargs = nargs;
    n->type = f->ret;
    for (uint32_t i = 0; i < nargs; i++) TRY(node_under(p, n, args[i]));
    *out = n;
    return OK;
}

static int name_cmp(const void *a, const void *b) { return str_cmp(*(const struct str *)a, *(const struct str *)b); }

/* ( label, "label", ... ) */
static err_t parse_labels(struct parser *p, struct str **labels, uint32_t *nlabels)
{
    size_t n = 0, cap = 0;
    TRY(expect(p, TK_LPAREN, "grouping opts", "\"(\""));
    while (p->tok.kind != TK_RPAREN) {
        bool w = p->tok.kind == TK_IDENT || p->tok.kind == TK_STRING ||
                 (p->tok.kind == TK_OP && (p->tok.op >= PQ_AND || p->tok.op == PQ_ATAN2)) ||
                 (p->tok.kind == TK_NUMBER && p->tok.text.n == 3 && (p->tok.text.p[0] | 0x20) > '9');
        if (!w || p->tok.text.n == 0 || (p->tok.kind == TK_IDENT && str_chr(p->tok.text, ':') < p->tok.text.n))
            return unexpected(p, "grouping opts", "label");
        *labels = arena_grow(p->a, *labels, n, &cap, n + 1, sizeof **labels);
        (*labels)[n++] = p->tok.text;
        TRY(next(p));
        if (p->tok.kind == TK_COMMA) {
            TRY(next(p));
        } else if (p->tok.kind != TK_RPAREN) {
            return unexpected(p, "grouping opts", "\",\" or \")\"");
        }
    }
    *nlabels = (uint32_t)n;
    return next(p);
}

static err_t parse_by(struct parser *p, struct pq_node *n)
{
    if (!word(p, "by") && !word(p, "without")) return OK;
    n->agg.grouped = true;
    n->agg.without = word(p, "without");
    TRY(next(p));
    return parse_labels(p, &n->agg.labels, &n->agg.nlabels);
}

static err_t parse_agg(struct parser *p, struct pq_token name, enum pq_aggop op, struct pq_node **out)
{
    struct pq_node *n = node_new(p, PQ_AGG, name.start);
    struct pq_node **args = NULL;
    uint32_t nargs = 0;
    n->agg.op = op;
    n->type = PQ_VECTOR;
    TRY(parse_by(p, n));
    TRY(parse_args(p, &args, &nargs, "aggregation"));
    if (!n->agg.grouped) TRY(parse_by(p, n));
    n->end = p->prev_end;
    uint32_t want = op >= PQ_TOPK ? 2 : 1;
    if (nargs == 0) return pq_fail_at(p->lex.text, n->start, "no arguments for aggregate expression provided");
    if (nargs != want)
        return pq_fail_at(p->lex.text, n->start, "wrong number of arguments for aggregate expression provided, "
                          "expected %u, got %u", want, nargs);
    n->agg.expr = args[want - 1];
    n->agg.param = want == 2 ? args[0] : NULL;
    TRY(node_under(p, n, n->agg.expr));
    TRY(node_under(p, n, n->agg.param));
    *out = n;
    return OK;
}

static const char *const agg_names[] = { "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk",
                                         "bottomk", "count_values", "quantile", "limitk", "limit_ratio" };
const char *pq_agg_name(enum pq_aggop op) { return agg_names[op]; }

static err_t parse_name(struct parser *p, struct pq_node **out)
{
    struct pq_token name = p->tok;
    int c = after(p);
    static const char *const reserved[] = { "bool", "on", "ignoring", "group_left", "group_right" };
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (word(p, reserved[i])) return unexpected(p, NULL, NULL);
    TRY(next(p));
    for (size_t i = 0; i < ARRAY_LEN(agg_names); i++)
        if (str_ieq(name.text, str_of(agg_names[i])) && (c == '(' || word(p, "by") || word(p, "without")))
            return parse_agg(p, name, (enum pq_aggop)i, out);
    if (c == '(') return parse_call(p, name, out);
    return parse_selector(p, name.text, name.start, out);
}

static err_t parse_primary(struct parser *p, struct pq_node **out)
{
    uint32_t start = p->tok.start;
    switch (p->tok.kind) {
    case TK_NUMBER:
    case TK_DURATION:
        *out = node_new(p, PQ_NUMBER, start);
        (*out)->num.value = p->tok.number;
        (*out)->num.duration = p->tok.kind == TK_DURATION;
        (*out)->type = PQ_SCALAR;
        (*out)->end = p->tok.end;
        return next(p);
    case TK_STRING:
        *out = node_new(p, PQ_STRINGLIT, start);
        (*out)->str = p->tok.text;
        (*out)->type = PQ_STRING;
        (*out)->end = p->tok.end;
        return next(p);
    case TK_LPAREN: {
        struct pq_node *inner;
        TRY(next(p));
        TRY(parse_expr(p, 0, &inner));
        TRY(expect(p, TK_RPAREN, "parenthesized expression", "\")\""));
        *out = node_new(p, PQ_PAREN, start);
        (*out)->paren = inner;
        (*out)->type = inner->type;
        (*out)->end = p->prev_end;
        return node_under(p, *out, inner);
    }
    case TK_LBRACE: return parse_selector(p, STR_NONE, start, out);
    case TK_OP:
        if (p->tok.op < PQ_AND) return unexpected(p, NULL, NULL);
        return parse_name(p, out);
    case TK_IDENT: return parse_name(p, out);
    case TK_EOF:
        if (start == 0 || p->lex.text.n == 0) return pq_fail_at(p->lex.text, start, "no expression found in input");
        return unexpected(p, NULL, NULL);
    default: return unexpected(p, NULL, NULL);
    }
}

/* -- postfix: [ ], offset, @, anchored, smoothed ------------------------------------------------------- */
static err_t parse_bracket(struct parser *p, struct pq_node **io)
{
    struct pq_node *n = *io;
    struct pq_dur *range, *step = NULL;
    uint32_t at = p->tok.start;
    TRY(next(p));
    TRY(parse_dur(p, 0, &range));
    if (p->tok.kind == TK_COLON) {
        TRY(next(p));
        if (p->tok.kind != TK_RBRACKET) TRY(parse_dur(p, 0, &step));
        TRY(expect(p, TK_RBRACKET, "subquery selector", "\"]\""));
        struct pq_node *s = node_new(p, PQ_SUBQUERY, n->start);
        s->end = p->prev_end;
        s->type = PQ_MATRIX;
        s->sub.expr = n;
        s->sub.range = range;
        s->sub.step = step;
        *io = s;
        return node_under(p, s, n);
    }
    if (p->tok.kind != TK_RBRACKET)
        return unexpected(p, "subquery or range selector", "\":\" or \"]\"");
    TRY(next(p));
    if (n->kind != PQ_SELECTOR)
        return pq_fail_at(p->lex.text, at, "ranges only allowed for vector selectors");
    if (n->sel->shift.offset_expr)
        return pq_fail_at(p->lex.text, at, "no offset modifiers allowed before range");
    if (n->sel->shift.at != PQ_AT_NONE)
        return pq_fail_at(p->lex.text, at, "no @ modifiers allowed before range");
    struct pq_node *r = node_new(p, PQ_RANGE, n->start);
    r->end = p->prev_end;
    r->type = PQ_MATRIX;
    r->range.sel = n;
    r->range.range = range;
    *io = r;
    return node_under(p, r, n);
}

static struct pq_shift *shift_of(struct pq_node *n)
{
    if (n->kind == PQ_SELECTOR) return &n->sel->shift;
    if (n->kind == PQ_RANGE) return &n->range.sel->sel->shift;
    if (n->kind == PQ_SUBQUERY) return &n->sub.shift;
    return NULL;
}

static err_t parse_offset(struct parser *p, struct pq_node *n)
{
    struct pq_shift *s = shift_of(n);
    if (!s)
        return pq_fail_at(p->lex.text, n->start, "offset modifier must be preceded by an instant vector selector or "
                          "range vector selector or a subquery");
    if (s->offset_expr) return pq_fail_at(p->lex.text, p->tok.start, "offset may not be set multiple times");
    TRY(next(p));
    return parse_offset_dur(p, &s->offset_expr);
}

static err_t parse_at(struct parser *p, struct pq_node *n)
{
    struct pq_shift *s = shift_of(n);
    if (!s)
        return pq_fail_at(p->lex.text, n->start, "@ modifier must be preceded by an instant vector selector or range "
                          "vector selector or a subquery");
    if (s->at != PQ_AT_NONE)
        return pq_fail_at(p->lex.text, p->tok.start, "@ <timestamp> may not be set multiple times");
    TRY(next(p));
    if ((word(p, "start") || word(p, "end")) && after(p) == '(') {
        s->at = word(p, "start") ? PQ_AT_START : PQ_AT_END;
        TRY(next(p));
        TRY(next(p));
        return expect(p, TK_RPAREN, "@", "\")\"");
    }
    double sign = 1;
    if (p->tok.kind == TK_OP && (p->tok.op == PQ_ADD || p->tok.op == PQ_SUB)) {
        sign = p->tok.op == PQ_SUB ? -1 : 1;
        TRY(next(p));
    }
    if (p->tok.kind != TK_NUMBER && p->tok.kind != TK_DURATION) return unexpected(p, "@", "timestamp");
    double ms = sign * p->tok.number * 1000;
    if (!(ms < 9.2e18 && ms > -9.2e18))
        return pq_fail_at(p->lex.text, p->tok.start, "timestamp out of bounds for @ modifier: %f", sign * p->tok.number);
    s->at = PQ_AT_TIME;
    s->at_ms = (int64_t)__builtin_round(ms);
    return next(p);
}

static err_t parse_extended(struct parser *p, struct pq_node *n)
{
    struct pq_node *sel = n->kind == PQ_RANGE ? n->range.sel : n;
    bool anchored = word(p, "anchored");
    if (sel->kind != PQ_SELECTOR)
        return pq_fail_at(p->lex.text, n->start, "%s modifier %s", anchored ? "anchored" : "smoothed",
                          n->kind == PQ_SUBQUERY ? "is not supported for subqueries"
                          : "must be preceded by an instant vector selector or range vector selector");
    if (anchored) sel->sel->anchored = true;
    else sel->sel->smoothed = true;
    if (sel->sel->anchored && sel->sel->smoothed)
        return pq_fail_at(p->lex.text, p->tok.start, "anchored and smoothed modifiers cannot be used together");
    return next(p);
}

static err_t parse_postfix(struct parser *p, struct pq_node **out)
{
    TRY(parse_primary(p, out));
    for (;;) {
        if (p->tok.kind == TK_LBRACKET) TRY(parse_bracket(p, out));
        else if (p->tok.kind == TK_AT) TRY(parse_at(p, *out));
        else if (word(p, "offset")) TRY(parse_offset(p, *out));
        else if (word(p, "anchored") || word(p, "smoothed")) TRY(parse_extended(p, *out));
        else return OK;
        (*out)->end = p->prev_end;
    }
}

/* -- operators --------------------------------------------------------------------------------------- */
static int precedence(const struct pq_token *t)
{
    if (t->kind != TK_OP) return -1;
    switch (t->op) {
    case PQ_OR: return 1;
    case PQ_AND:
    case PQ_UNLESS: return 2;
    case PQ_ADD:
    case PQ_SUB: return 4;
    case PQ_MUL:
    case PQ_DIV:
    case PQ_MOD:
    case PQ_ATAN2: return 5;
    case PQ_POW: return 6;
    default: return 3;
    }
}

static err_t parse_unary(struct parser *p, struct pq_node **out)
{
    if (p->tok.kind != TK_OP || (p->tok.op != PQ_ADD && p->tok.op != PQ_SUB)) return parse_postfix(p, out);
    bool minus = p->tok.op == PQ_SUB;
    uint32_t start = p->tok.start;
    struct pq_node *inner;
    TRY(next(p));
    TRY(parse_expr(p, 6, &inner));
    if (inner->kind == PQ_NUMBER) {
        if (minus) inner->num.value = -inner->num.value;
        inner->start = start;
        *out = inner;
        return OK;
    }
    *out = node_new(p, PQ_UNARY, start);
    (*out)->un.minus = minus;
    (*out)->un.expr = inner;
    (*out)->type = inner->type;
    (*out)->end = inner->end;
    return node_under(p, *out, inner);
}

static err_t parse_fill(struct parser *p, struct pq_matching *m)
{
    while ((word(p, "fill") || word(p, "fill_left") || word(p, "fill_right")) && after(p) == '(') {
        bool left = !word(p, "fill_right"), right = !word(p, "fill_left");
        double sign = 1;
        TRY(next(p));
        TRY(next(p));
        if (p->tok.kind == TK_OP && (p->tok.op == PQ_ADD || p->tok.op == PQ_SUB)) {
            sign = p->tok.op == PQ_SUB ? -1 : 1;
            TRY(next(p));
        }
        if (p->tok.kind != TK_NUMBER && p->tok.kind != TK_DURATION) return unexpected(p, "fill value", "number");
        if (left) m->fill_lhs = true, m->fill_lhs_value = sign * p->tok.number;
        if (right) m->fill_rhs = true, m->fill_rhs_value = sign * p->tok.number;
        TRY(next(p));
        TRY(expect(p, TK_RPAREN, "fill value", "\")\""));
    }
    return OK;
}

static err_t parse_modifiers(struct parser *p, struct pq_node *n)
{
    struct pq_matching *m = ARENA_NEW(p->a, struct pq_matching);
    n->bin.match = m;
    m->card = pq_op_set(n->bin.op) ? PQ_MANY_TO_MANY : PQ_ONE_TO_ONE;
    if (word(p, "bool")) {
        if (!pq_op_compares(n->bin.op))
            return pq_fail_at(p->lex.text, n->bin.pos, "bool modifier can only be used on comparison operators");
        n->bin.ret_bool = true;
        TRY(next(p));
    }
    if ((word(p, "on") || word(p, "ignoring")) && after(p) == '(') {
        m->explicit = true;
        m->on = word(p, "on");
        TRY(next(p));
        TRY(parse_labels(p, &m->labels, &m->nlabels));
        if (m->nlabels) qsort(m->labels, m->nlabels, sizeof *m->labels, name_cmp);
        if (word(p, "group_left") || word(p, "group_right")) {
            m->card = word(p, "group_left") ? PQ_MANY_TO_ONE : PQ_ONE_TO_MANY;
            if (pq_op_set(n->bin.op))
                return pq_fail_at(p->lex.text, n->start, "no grouping allowed for \"%s\" operation", pq_op_name(n->bin.op));
            TRY(next(p));
            if (p->tok.kind == TK_LPAREN) TRY(parse_labels(p, &m->include, &m->ninclude));
        }
    }
    uint32_t at = p->tok.start;
    TRY(parse_fill(p, m));
    if ((m->fill_lhs || m->fill_rhs) && pq_op_set(n->bin.op))
        return pq_fail_at(p->lex.text, at, "filling in missing series not allowed for set operators");
    return OK;
}

static err_t parse_expr(struct parser *p, int min_prec, struct pq_node **out)
{
    TRY(enter(p));
    TRY(parse_unary(p, out));
    for (int prec; (prec = precedence(&p->tok)) >= min_prec && prec >= 0;) {
        struct pq_node *n = node_new(p, PQ_BINARY, (*out)->start);
        n->bin.op = p->tok.op;
        n->bin.pos = p->tok.start;
        n->bin.lhs = *out;
        TRY(next(p));
        TRY(parse_modifiers(p, n));
        TRY(parse_expr(p, n->bin.op == PQ_POW ? prec : prec + 1, &n->bin.rhs));
        n->end = n->bin.rhs->end;
        n->type = n->bin.lhs->type == PQ_SCALAR && n->bin.rhs->type == PQ_SCALAR ? PQ_SCALAR : PQ_VECTOR;
        TRY(node_under(p, n, n->bin.lhs));
        TRY(node_under(p, n, n->bin.rhs));
        *out = n;
    }
    p->depth--;
    return OK;
}

static err_t compile(struct pq_ast *ast, struct pq_node *n, bool may_be_empty);

static err_t parse_begin(struct str text, struct arena *a, struct pq_ast *ast, struct parser *p)
{
    *ast = (struct pq_ast){ .arena = a };
    if (text.n > PQ_QUERY_BYTES_MAX)
        return err_set(ERR_INVALID, "query of %zu bytes, at most %d", text.n, PQ_QUERY_BYTES_MAX);
    if (!str_utf8_valid(text)) return err_set(ERR_INVALID, "query is not valid UTF-8");
    ast->text = arena_str(a, text);
    *p = (struct parser){ .lex = { .text = ast->text, .arena = a }, .a = a };
    return next(p);
}

err_t pq_parse(struct str text, struct arena *a, struct pq_ast *ast)
{
    struct parser p;
    TRY(parse_begin(text, a, ast, &p));
    TRY(parse_expr(&p, 0, &ast->root));
    if (p.tok.kind != TK_EOF) return unexpected(&p, NULL, NULL);
    TRY(pq_check(ast, ast->root));
    return compile(ast, ast->root, false);
}

/* Does everything in it match the empty string? Its regexes are compiled. */
static bool takes_empty(const struct pq_selector *s)
{
    for (uint32_t i = 0; i < s->nm; i++) {
        const struct matcher *m = &s->m[i];
        bool hit = m->re ? regex_match(m->re, STR_NONE) : m->value.n == 0;
        if (hit == (m->op == MATCH_NE || m->op == MATCH_NRE)) return false;
    }
    return true;
}

err_t pq_parse_selector(struct str text, struct arena *a, struct pq_ast *ast)
{
    struct parser p;
    TRY(parse_begin(text, a, ast, &p));
    struct str name = STR_NONE;
    if (p.tok.kind == TK_IDENT) {
        name = p.tok.text;
        TRY(next(&p));
    }
    if (p.tok.kind != TK_LBRACE && !name.n) return unexpected(&p, NULL, NULL);
    TRY(parse_selector(&p, name, 0, &ast->root));
    if (p.tok.kind != TK_EOF) return unexpected(&p, NULL, NULL);
    TRY(pq_check(ast, ast->root));
    TRY(compile(ast, ast->root, true));
    return takes_empty(ast->root->sel) ? err_set(ERR_INVALID, "match[] must contain at least one non-empty matcher") : OK;
}

void pq_ast_deinit(struct pq_ast *ast)
{
    for (uint32_t i = 0; i < ast->nregexes; i++) regex_free(ast->regexes[i]);
    ast->nregexes = 0;
}

static err_t compile_selector(struct pq_ast *ast, struct pq_node *n, bool may_be_empty)
{
    for (uint32_t i = 0; i < n->sel->nm; i++) {
        struct matcher *m = &n->sel->m[i];
        if (m->op != MATCH_RE && m->op != MATCH_NRE) continue;
        if (ast->nregexes == PQ_REGEXES_MAX)
            return pq_fail_at(ast->text, n->start, "more than %d regular expressions", PQ_REGEXES_MAX);
        if (!ast->regexes) ast->regexes = ARENA_ARRAY(ast->arena, struct regex *, PQ_REGEXES_MAX);
        if (regex_new(m->value, &m->re) != OK) {
            struct str why = arena_printf(ast->arena, "%s", err_detail());
            return pq_fail_at(ast->text, n->start, "invalid regular expression: " STR_FMT, STR_ARG(why));
        }
        ast->regexes[ast->nregexes++] = m->re;
    }
    if (!may_be_empty && takes_empty(n->sel))
        return pq_fail_at(ast->text, n->start, "vector selector must contain at least one non-empty matcher");
    return OK;
}

/* Compiles the regexes of all selectors. The label selector of info() may match everything. */
static err_t compile(struct pq_ast *ast, struct pq_node *n, bool may_be_empty)
{
    switch (n->kind) {
    case PQ_SELECTOR: return compile_selector(ast, n, may_be_empty);
    case PQ_RANGE: return compile(ast, n->range.sel, false);
    case PQ_SUBQUERY: return compile(ast, n->sub.expr, false);
    case PQ_PAREN: return compile(ast, n->paren, false);
    case PQ_UNARY: return compile(ast, n->un.expr, false);
    case PQ_CALL:
        for (uint32_t i = 0; i < n->call.nargs; i++)
            TRY(compile(ast, n->call.args[i], n->call.fn->id == FN_INFO && i == 1));
        return OK;
    case PQ_AGG:
        if (n->agg.param) TRY(compile(ast, n->agg.param, false));
        return compile(ast, n->agg.expr, false);
    case PQ_BINARY:
        TRY(compile(ast, n->bin.lhs, false));
        return compile(ast, n->bin.rhs, false);
    default: return OK;
    }
}
