/* The grammar of PromQL 3.14, by precedence climbing. From high to low:
 *     ^ (right)   * / % atan2   + -   == != <= < >= > </ >/   and unless   or
 * Unary + and - bind like *: -a^b is -(a^b), -a*b is (-a)*b. Depth of nesting and of the tree is bounded
 * by PQ_DEPTH_MAX. */
#include "base/core/assert.h"
#include "query/promql/func.h"
#include "query/promql/lex.h"
#include "storage/regex.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct place;
struct parser {
    struct pq_lexer lex;
    struct arena *a;
    struct pq_token tok;    /* the current one */
    uint32_t depth;
    uint32_t prev_end;      /* end of the token before */
    uint32_t aggs;          /* aggregations that are open: errors in them say so */
    bool first;             /* nothing was read yet */
    struct pq_ast *ast;
    const struct place *place; /* of the duration that is read */
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
    *col = MIN(pos, (uint32_t)text.n) - from + 1;
}

err_t pq_fail_at(struct str text, uint32_t pos, const char *fmt, ...)
{
    char what[ERR_DETAIL_MAX - 64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    uint32_t line, col;
    if (text.n == 0) return err_set(ERR_INVALID, "unknown position: parse error: %s", what);
    pq_line_col(text, pos, &line, &col);
    return err_set(ERR_INVALID, "%u:%u: parse error: %s", line, col, what);
}

static err_t next(struct parser *p)
{
    p->first = p->tok.end == 0 && p->tok.text.n == 0;
    p->prev_end = p->tok.end;
    TRY(arena_check(p->a));
    return pq_lex(&p->lex, &p->tok);
}

static err_t unexpected(struct parser *p, const char *context, const char *wanted)
{
    struct str t = pq_token_text(p->a, &p->lex, &p->tok);
    if (!context && p->aggs) context = "aggregation";
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

/* The value of the current token, a number or duration. */
static err_t literal(struct parser *p, double *out)
{
    struct str t = p->tok.text;
    *out = p->tok.number;
    if (p->tok.bad == PQ_BAD_NONE) return OK;
    if (p->tok.bad == PQ_BAD_DURATION)
        return pq_fail_at(p->lex.text, p->tok.start, "not a valid duration string: \"" STR_FMT "\"", (int)MIN(t.n, 128), t.p);
    return pq_fail_at(p->lex.text, p->tok.start, "error parsing number: strconv.ParseFloat: parsing \"" STR_FMT "\": %s", (int)MIN(t.n, 128), t.p,
                      p->tok.bad == PQ_BAD_RANGE ? "value out of range" : "invalid syntax");
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

/* What an error inside a duration says: that of the place where it stands. */
struct place { const char *context, *wanted; };
static const struct place in_range = { "subquery or range selector", "number, duration, step(), or range()" };
static const struct place in_step = { "subquery selector", "number, duration, step(), range(), or \"]\"" };
static const struct place in_offset = { "offset", "number, duration, step(), or range()" };

static err_t dur_expect(struct parser *p, enum pq_tok kind)
{
    if (p->tok.kind != kind) return unexpected(p, p->place->context, p->place->wanted);
    return next(p);
}

static bool at_dur_func(const struct parser *p)
{
    return word(p, "step") || word(p, "range") || word(p, "min_of") || word(p, "max_of");
}

/* A literal, step(), range(), min_of(,), max_of(,) or ( expression ). */
static err_t parse_dur_primary(struct parser *p, struct pq_dur **out)
{
    uint32_t pos = p->tok.start;
    if (p->tok.kind == TK_NUMBER || p->tok.kind == TK_DURATION) {
        double v;
        TRY(literal(p, &v));
        if (v > 0x1p63 / 1e9) return pq_fail_at(p->lex.text, pos, "duration out of range");
        TRY(dur_new(p, PQ_D_LIT, NULL, NULL, pos, out));
        (*out)->seconds = v;
        (*out)->duration = p->tok.kind == TK_DURATION;
        (*out)->end = p->tok.end;
        return next(p);
    }
    if (p->tok.kind == TK_LPAREN) {
        TRY(next(p));
        TRY(parse_dur(p, 0, out));
        if ((*out)->op != PQ_D_LIT) (*out)->paren = true;
        return dur_expect(p, TK_RPAREN);
    }
    if (!at_dur_func(p))
        return unexpected(p, p->place->context, p->place->wanted);
    bool pair = word(p, "min_of") || word(p, "max_of");
    enum pq_durop op = word(p, "step") ? PQ_D_STEP : word(p, "range") ? PQ_D_RANGE
                       : word(p, "min_of") ? PQ_D_MIN : PQ_D_MAX;
    struct pq_dur *l = NULL, *r = NULL;
    TRY(next(p));
    TRY(dur_expect(p, TK_LPAREN));
    if (pair) {
        TRY(parse_dur(p, 0, &l));
        TRY(dur_expect(p, TK_COMMA));
        TRY(parse_dur(p, 0, &r));
    }
    TRY(dur_expect(p, TK_RPAREN));
    TRY(dur_new(p, op, l, r, pos, out));
    (*out)->end = p->prev_end;
    return OK;
}

/* A literal takes its sign at once. */
static err_t dur_signed(struct parser *p, bool minus, struct pq_dur *d, uint32_t pos, struct pq_dur **out)
{
    if (d->op == PQ_D_LIT) {
        if (minus) d->seconds = -d->seconds;
        d->pos = pos;
    } else if (minus) {
        TRY(dur_new(p, PQ_D_NEG, d, NULL, pos, &d));
    }
    *out = d;
    return OK;
}

static err_t parse_dur_unary(struct parser *p, struct pq_dur **out)
{
    if (p->tok.kind != TK_OP || (p->tok.op != PQ_ADD && p->tok.op != PQ_SUB)) return parse_dur_primary(p, out);
    bool minus = p->tok.op == PQ_SUB;
    uint32_t pos = p->tok.start;
    struct pq_dur *d;
    TRY(next(p));
    TRY(parse_dur(p, 3, &d));
    return dur_signed(p, minus, d, pos, out);
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
        if ((op == PQ_D_DIV || op == PQ_D_MOD) && r->op == PQ_D_LIT && r->seconds == 0)
            return pq_fail_at(p->lex.text, pos, op == PQ_D_DIV ? "division by zero" : "modulo by zero");
        TRY(dur_new(p, op, l, r, l->pos, out));
    }
    p->depth--;
    return OK;
}

/* What may follow `offset` without parentheses. */
static err_t parse_offset_dur(struct parser *p, struct pq_dur **out)
{
    bool minus = false;
    uint32_t pos = p->tok.start;
    p->place = &in_offset;
    if (p->tok.kind == TK_OP && (p->tok.op == PQ_ADD || p->tok.op == PQ_SUB)) {
        minus = p->tok.op == PQ_SUB;
        TRY(next(p));
    }
    struct pq_dur *d;
    /* Behind parentheses without a sign operators go on with the duration, as Prometheus' grammar has it. */
    if (pos == p->tok.start && p->tok.kind == TK_LPAREN) return parse_dur(p, 0, out);
    TRY(parse_dur_primary(p, &d));
    return dur_signed(p, minus, d, pos, out);
}

/* A duration of more than nothing, as far as that is known. */
static err_t parse_positive(struct parser *p, const struct place *place, struct pq_dur **out)
{
    p->place = place;
    TRY(parse_dur(p, 0, out));
    if ((*out)->op == PQ_D_LIT && !((*out)->seconds > 0))
        return pq_fail_at(p->lex.text, (*out)->pos, "duration must be greater than 0");
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

/* What RE2 says of a bad expression in the words of Go's regexp. */
static struct str regex_error(struct arena *a, struct str pattern)
{
    static const struct { const char *re2, *go; bool whole; } words[] = {
        { "missing ): ", "missing closing )", true }, { "unexpected ): ", "unexpected )", true },
        { "missing ]: ", "missing closing ]", false }, { "invalid named capture group: ", "invalid named capture", false },
        { "no argument for repetition operator: ", "missing argument to repetition operator", false },
        { "invalid repetition size: ", "invalid repeat count", false },
        { "bad repetition operator: ", "invalid nested repetition operator", false },
        { "invalid perl operator: ", "invalid or unsupported Perl syntax", false },
        { "invalid escape sequence: ", "invalid escape sequence", false },
        { "invalid character class range: ", "invalid character class range", false },
    };
    struct str why = str_of(err_detail()), head = STR("a bad regular expression: ");
    if (!str_starts(why, head)) return arena_str(a, why);
    why = str_sub(why, head.n, why.n);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct str w = str_of(words[i].re2);
        if (!str_starts(why, w)) continue;
        struct str at = words[i].whole ? str_sub(pattern, 0, 128) : str_sub(why, w.n, why.n);
        return arena_printf(a, "error parsing regexp: %s: `" STR_FMT "`", words[i].go, STR_ARG(at));
    }
    return arena_printf(a, "error parsing regexp: " STR_FMT, STR_ARG(why));
}

static err_t compile_matcher(struct parser *p, struct matcher *m, uint32_t pos)
{
    struct pq_ast *ast = p->ast;
    if (m->op != MATCH_RE && m->op != MATCH_NRE) return OK;
    if (ast->nregexes == PQ_REGEXES_MAX) return pq_fail_at(ast->text, pos, "more than %d regular expressions", PQ_REGEXES_MAX);
    if (!ast->regexes) ast->regexes = ARENA_ARRAY(ast->arena, struct regex *, PQ_REGEXES_MAX);
    if (regex_new(m->value, &m->re) != OK) {
        struct str why = regex_error(ast->arena, m->value);
        return pq_fail_at(ast->text, pos, STR_FMT, STR_ARG(why));
    }
    ast->regexes[ast->nregexes++] = m->re;
    return OK;
}

static err_t parse_matcher(struct parser *p, struct matchers *ms)
{
    bool quoted = p->tok.kind == TK_STRING;
    if (!quoted && p->tok.kind != TK_IDENT) return unexpected(p, "label matching", "identifier or \"}\"");
    struct matcher m = { .name = p->tok.text };
    uint32_t pos = p->tok.start;
    TRY(next(p));
    switch (p->tok.kind) {
    case TK_ASSIGN: m.op = MATCH_EQ; break;
    case TK_EQ_REGEX: m.op = MATCH_RE; break;
    case TK_NE_REGEX: m.op = MATCH_NRE; break;
    case TK_OP: m.op = MATCH_NE; break; /* there is no other operator inside braces */
    default:
        if (!quoted) return unexpected(p, "label matching", "label matching operator");
        matcher_add(p, ms, (struct matcher){ .op = MATCH_EQ, .name = STR("__name__"), .value = m.name });
        return OK;
    }
    TRY(next(p));
    if (p->tok.kind != TK_STRING) return unexpected(p, "label matching", "string");
    m.value = p->tok.text;
    TRY(compile_matcher(p, &m, pos));
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
            TRY(parse_matcher(p, &ms));
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
static bool begins_expr(const struct parser *p)
{
    switch (p->tok.kind) {
    case TK_NUMBER:
    case TK_DURATION:
    case TK_STRING:
    case TK_LPAREN:
    case TK_LBRACE: return true;
    case TK_IDENT: return !word(p, "bool") && !word(p, "on") && !word(p, "ignoring") && !word(p, "group_left") && !word(p, "group_right");
    case TK_OP: return p->tok.op == PQ_ADD || p->tok.op == PQ_SUB || p->tok.op >= PQ_AND;
    default: return false;
    }
}

/* ( expr, ... : the ')' is left to the caller, which has something to say before what follows it is looked at. */
static err_t parse_args(struct parser *p, struct pq_node ***args, uint32_t *nargs)
{
    size_t n = 0, cap = 0;
    TRY(expect(p, TK_LPAREN, NULL, NULL));
    while (p->tok.kind != TK_RPAREN) {
        struct pq_node *arg;
        TRY(parse_expr(p, 0, &arg));
        *args = arena_grow(p->a, *args, n, &cap, n + 1, sizeof **args);
        (*args)[n++] = arg;
        uint32_t comma = p->tok.start;
        if (p->tok.kind == TK_COMMA) {
            TRY(next(p));
            if (!begins_expr(p)) return pq_fail_at(p->lex.text, comma, "trailing commas not allowed in function call args");
        } else if (p->tok.kind != TK_RPAREN) {
            return unexpected(p, NULL, NULL);
        }
    }
    *nargs = (uint32_t)n;
    return OK;
}

static err_t parse_call(struct parser *p, struct pq_token name, struct pq_node **out)
{
    struct pq_node **args = NULL;
    uint32_t nargs = 0;
    TRY(parse_args(p, &args, &nargs));
    const struct pq_func *f = pq_func_find(name.text);
    if (!f)
        return pq_fail_at(p->lex.text, name.start, "unknown function with name \"" STR_FMT "\"",
                          (int)MIN(name.text.n, 128), name.text.p);
    TRY(next(p));
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

/* ( label, "label", ... ) */
static err_t parse_labels(struct parser *p, struct str **labels, uint32_t *nlabels)
{
    size_t n = 0, cap = 0;
    TRY(expect(p, TK_LPAREN, "grouping opts", "\"(\""));
    while (p->tok.kind != TK_RPAREN) {
        bool w = (p->tok.kind == TK_IDENT && !word(p, "without")) || p->tok.kind == TK_STRING ||
                 (p->tok.kind == TK_OP && (p->tok.op >= PQ_AND || p->tok.op == PQ_ATAN2));
        if (!w) return unexpected(p, "grouping opts", "label");
        if (p->tok.text.n == 0) return pq_fail_at(p->lex.text, p->tok.start, "invalid label name for grouping: \"\"");
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

static err_t agg_args(struct parser *p, struct pq_node *n, struct pq_node **args, uint32_t nargs)
{
    uint32_t want = n->agg.op >= PQ_TOPK ? 2 : 1;
    if (nargs == 0) return pq_fail_at(p->lex.text, n->start, "no arguments for aggregate expression provided");
    if (nargs != want)
        return pq_fail_at(p->lex.text, n->start, "wrong number of arguments for aggregate expression provided, "
                          "expected %u, got %u", want, nargs);
    n->agg.expr = args[want - 1];
    n->agg.param = want == 2 ? args[0] : NULL;
    TRY(node_under(p, n, n->agg.expr));
    return node_under(p, n, n->agg.param);
}

static err_t parse_agg(struct parser *p, struct pq_token name, enum pq_aggop op, struct pq_node **out)
{
    struct pq_node *n = node_new(p, PQ_AGG, name.start);
    struct pq_node **args = NULL;
    uint32_t nargs = 0;
    n->agg.op = op;
    n->type = PQ_VECTOR;
    p->aggs++;
    TRY(parse_by(p, n));
    TRY(parse_args(p, &args, &nargs));
    if (n->agg.grouped) {
        TRY(agg_args(p, n, args, nargs));
        TRY(next(p));
    } else {
        TRY(next(p));
        TRY(parse_by(p, n));
        TRY(agg_args(p, n, args, nargs));
    }
    n->end = p->prev_end;
    p->aggs--;
    *out = n;
    return OK;
}

static const char *const agg_names[] = { "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk",
                                         "bottomk", "count_values", "quantile", "limitk", "limit_ratio" };
const char *pq_agg_name(enum pq_aggop op) { return agg_names[op]; }

static err_t parse_name(struct parser *p, struct pq_node **out)
{
    struct pq_token name = p->tok;
    static const char *const reserved[] = { "bool", "on", "ignoring", "group_left", "group_right" };
    static const char *const plain[] = { "by", "without", "offset", "anchored", "smoothed", "fill", "fill_left", "fill_right" };
    bool called = name.kind == TK_IDENT && str_chr(name.text, ':') == name.text.n; /* and, or and such words are no functions */
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (word(p, reserved[i])) return unexpected(p, NULL, NULL);
    if ((word(p, "fill") || word(p, "fill_left") || word(p, "fill_right")) && !pq_called(&p->lex)) called = false;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (word(p, plain[i])) called = false;
    TRY(next(p));
    for (size_t i = 0; i < ARRAY_LEN(agg_names); i++)
        if (str_ieq(name.text, str_of(agg_names[i]))) {
            called = false;
            if (p->tok.kind == TK_LPAREN || word(p, "by") || word(p, "without")) return parse_agg(p, name, (enum pq_aggop)i, out);
        }
    if (called && p->tok.kind == TK_LPAREN) return parse_call(p, name, out);
    return parse_selector(p, name.text, name.start, out);
}

static err_t parse_primary(struct parser *p, struct pq_node **out)
{
    uint32_t start = p->tok.start;
    switch (p->tok.kind) {
    case TK_NUMBER:
    case TK_DURATION:
        *out = node_new(p, PQ_NUMBER, start);
        TRY(literal(p, &(*out)->num.value));
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
        TRY(expect(p, TK_RPAREN, NULL, NULL));
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
        if (p->first) return pq_fail_at(p->lex.text, 0, "no expression found in input");
        return unexpected(p, NULL, NULL);
    default: return unexpected(p, NULL, NULL);
    }
}

/* -- postfix: [ ], offset, @, anchored, smoothed ------------------------------------------------------- */
static err_t check_range(struct parser *p, const struct pq_node *n, uint32_t at)
{
    if (n->kind != PQ_SELECTOR) return pq_fail_at(p->lex.text, at, "ranges only allowed for vector selectors");
    if (n->sel->shift.offset_expr) return pq_fail_at(p->lex.text, at, "no offset modifiers allowed before range");
    if (n->sel->shift.at == PQ_AT_TIME) return pq_fail_at(p->lex.text, at, "no @ modifiers allowed before range");
    return OK;
}

static err_t parse_bracket(struct parser *p, struct pq_node **io)
{
    struct pq_node *n = *io;
    struct pq_dur *range, *step = NULL;
    uint32_t at = p->tok.start;
    TRY(next(p));
    TRY(parse_positive(p, &in_range, &range));
    if (p->tok.kind == TK_COLON) {
        TRY(next(p));
        if (p->tok.kind != TK_RBRACKET) TRY(parse_positive(p, &in_step, &step));
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
    if (p->tok.kind != TK_RBRACKET) return unexpected(p, "subquery or range", "\":\" or \"]\"");
    TRY(check_range(p, n, at));
    TRY(next(p));
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
    struct pq_dur *d;
    TRY(next(p));
    TRY(parse_offset_dur(p, &d));
    struct pq_shift *s = shift_of(n);
    if (!s)
        return pq_fail_at(p->lex.text, n->start, "offset modifier must be preceded by an instant vector selector or "
                          "range vector selector or a subquery");
    if (s->offset_expr) return pq_fail_at(p->lex.text, n->start, "offset may not be set multiple times");
    s->offset_expr = d;
    return OK;
}

/* What stands behind an @. */
static err_t parse_at_time(struct parser *p, struct pq_shift *s)
{
    static const struct place at = { "@", "timestamp" };
    if (word(p, "start") || word(p, "end")) {
        s->at = word(p, "start") ? PQ_AT_START : PQ_AT_END;
        p->place = &at;
        TRY(next(p));
        TRY(dur_expect(p, TK_LPAREN));
        return dur_expect(p, TK_RPAREN);
    }
    double sign = 1, v;
    if (p->tok.kind == TK_OP && (p->tok.op == PQ_ADD || p->tok.op == PQ_SUB)) {
        sign = p->tok.op == PQ_SUB ? -1 : 1;
        TRY(next(p));
    }
    if (p->tok.kind != TK_NUMBER && p->tok.kind != TK_DURATION) return unexpected(p, "@", "timestamp");
    TRY(literal(p, &v));
    double ms = sign * v * 1000;
    s->at = PQ_AT_TIME;
    s->at_ms = ms < 9.2e18 && ms > -9.2e18 ? (int64_t)__builtin_round(ms) : INT64_MAX;
    return next(p);
}

static err_t parse_at(struct parser *p, struct pq_node *n)
{
    struct pq_shift *s = shift_of(n), got = { 0 };
    TRY(next(p));
    uint32_t at = p->tok.start;
    TRY(parse_at_time(p, &got));
    if (got.at == PQ_AT_TIME && got.at_ms == INT64_MAX) {
        struct str text = str_sub(p->lex.text, at, p->prev_end);
        bool minus = text.n && text.p[0] == '-';
        double v = NAN;
        if (!pq_number(text, &v) || isnan(v) || isinf(v))
            return pq_fail_at(p->lex.text, n->start, "timestamp out of bounds for @ modifier: %s", isnan(v) ? "NaN" : minus ? "-Inf" : "+Inf");
        return pq_fail_at(p->lex.text, n->start, "timestamp out of bounds for @ modifier: %f", v);
    }
    if (!s)
        return pq_fail_at(p->lex.text, n->start, "@ modifier must be preceded by an instant vector selector or range "
                          "vector selector or a subquery");
    if (s->at != PQ_AT_NONE) return pq_fail_at(p->lex.text, n->start, "@ <timestamp> may not be set multiple times");
    s->at = got.at;
    s->at_ms = got.at_ms;
    return OK;
}

static err_t parse_extended(struct parser *p, struct pq_node *n)
{
    struct pq_node *sel = n->kind == PQ_RANGE ? n->range.sel : n;
    bool anchored = word(p, "anchored");
    if (sel->kind != PQ_SELECTOR)
        return pq_fail_at(p->lex.text, n->start, "%s modifier %s", anchored ? "anchored" : "smoothed",
                          n->kind == PQ_SUBQUERY ? "is not supported for subqueries" : "not implemented");
    if (anchored) sel->sel->anchored = true;
    else sel->sel->smoothed = true;
    if (sel->sel->anchored && sel->sel->smoothed)
        return pq_fail_at(p->lex.text, n->start, "anchored and smoothed modifiers cannot be used together");
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

/* fill(v), or fill_left(v) and fill_right(v), each once. */
static err_t parse_fill(struct parser *p, struct pq_matching *m)
{
    while (word(p, "fill") || word(p, "fill_left") || word(p, "fill_right")) {
        bool left = !word(p, "fill_right"), right = !word(p, "fill_left");
        double sign = 1, v;
        if (!pq_called(&p->lex) || (left && m->fill_lhs) || (right && m->fill_rhs)) return OK;
        TRY(next(p));
        TRY(next(p));
        if (p->tok.kind == TK_OP && (p->tok.op == PQ_ADD || p->tok.op == PQ_SUB)) {
            sign = p->tok.op == PQ_SUB ? -1 : 1;
            TRY(next(p));
        }
        if (p->tok.kind != TK_NUMBER && p->tok.kind != TK_DURATION) return unexpected(p, NULL, NULL);
        TRY(literal(p, &v));
        if (left) m->fill_lhs = true, m->fill_lhs_value = sign * v;
        if (right) m->fill_rhs = true, m->fill_rhs_value = sign * v;
        TRY(next(p));
        TRY(expect(p, TK_RPAREN, NULL, NULL));
    }
    return OK;
}

static err_t parse_modifiers(struct parser *p, struct pq_node *n)
{
    struct pq_matching *m = ARENA_NEW(p->a, struct pq_matching);
    n->bin.match = m;
    m->card = pq_op_set(n->bin.op) ? PQ_MANY_TO_MANY : PQ_ONE_TO_ONE;
    if (word(p, "bool")) {
        n->bin.ret_bool = true;
        TRY(next(p));
    }
    if (word(p, "on") || word(p, "ignoring")) {
        m->explicit = true;
        m->on = word(p, "on");
        TRY(next(p));
        TRY(parse_labels(p, &m->labels, &m->nlabels));
        if (word(p, "group_left") || word(p, "group_right")) {
            m->card = word(p, "group_left") ? PQ_MANY_TO_ONE : PQ_ONE_TO_MANY;
            TRY(next(p));
            if (p->tok.kind == TK_LPAREN) TRY(parse_labels(p, &m->include, &m->ninclude));
        }
    }
    return parse_fill(p, m);
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

static err_t parse_begin(struct str text, struct arena *a, struct pq_ast *ast, struct parser *p)
{
    *ast = (struct pq_ast){ .arena = a };
    if (text.n > PQ_QUERY_BYTES_MAX)
        return err_set(ERR_INVALID, "query of %zu bytes, at most %d", text.n, PQ_QUERY_BYTES_MAX);
    if (!str_utf8_valid(text)) return err_set(ERR_INVALID, "query is not valid UTF-8");
    ast->text = arena_str(a, text);
    *p = (struct parser){ .lex = { .text = ast->text, .arena = a }, .a = a, .ast = ast, .first = true };
    return next(p);
}

err_t pq_parse(struct str text, struct arena *a, struct pq_ast *ast)
{
    struct parser p;
    TRY(parse_begin(text, a, ast, &p));
    TRY(parse_expr(&p, 0, &ast->root));
    if (p.tok.kind != TK_EOF) return unexpected(&p, NULL, NULL);
    return pq_check(ast, ast->root);
}

err_t pq_parse_selector(struct str text, struct arena *a, struct pq_ast *ast)
{
    struct parser p;
    TRY(parse_begin(text, a, ast, &p));
    struct str name = STR_NONE;
    bool named = p.tok.kind == TK_IDENT || (p.tok.kind == TK_OP && p.tok.op >= PQ_AND);
    if (!named && p.tok.kind != TK_LBRACE) return unexpected(&p, NULL, NULL);
    if (named) {
        name = p.tok.text;
        TRY(next(&p));
    }
    TRY(parse_selector(&p, name, 0, &ast->root));
    if (p.tok.kind != TK_EOF) return unexpected(&p, NULL, NULL);
    ast->root->type = PQ_VECTOR;
    if (pq_matches_empty(ast->root->sel)) return err_set(ERR_INVALID, "match[] must contain at least one non-empty matcher");
    return OK;
}

void pq_ast_deinit(struct pq_ast *ast)
{
    for (uint32_t i = 0; i < ast->nregexes; i++) regex_free(ast->regexes[i]);
    ast->nregexes = 0;
}
