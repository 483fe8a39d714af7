/* Metrics queries. A unit's filters, regexes and the fields that it measures or groups by belong to its own struct
 * tql_query, so that a whole trace is gathered with all of them. */
#include "query/traceql/parse.h"

struct mparser {
    struct tql_parser p;
    struct tql_metrics *m;
};

static const char *const names[] = { /* by enum tql_metric_fn */
    [TM_RATE] = "rate", [TM_COUNT] = "count_over_time", [TM_MIN] = "min_over_time", [TM_MAX] = "max_over_time",
    [TM_AVG] = "avg_over_time", [TM_SUM] = "sum_over_time", [TM_QUANTILE] = "quantile_over_time",
    [TM_HISTOGRAM] = "histogram_over_time", [TM_COMPARE] = "compare",
};

const char *tql_metric_name(enum tql_metric_fn fn)
{
    return names[fn];
}

bool tql_at_metrics_function(const struct tql_parser *p, enum tql_metric_fn *fn)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (tql_at_word(p, names[i])) {
            *fn = (enum tql_metric_fn)i;
            return true;
        }
    return false;
}

/* -- functions ------------------------------------------------------------------------------------------------ */
static err_t next_argument(struct tql_parser *p, bool *more)
{
    *more = p->lex.token == TK_COMMA;
    return *more ? tql_lex_next(&p->lex) : OK;
}

static err_t whole_number(struct tql_parser *p, int64_t min, int64_t max, const char *what, int64_t *out)
{
    struct tql_lexer at = p->lex;
    struct tval v;
    TRY(tql_number(p, &v));
    if (v.type != TV_INT || v.duration || v.i < min || v.i > max) return tql_lex_error(&at, what);
    *out = v.i;
    return OK;
}

static err_t quantiles(struct tql_parser *p, struct tql_unit *u)
{
    bool more;
    TRY(next_argument(p, &more));
    while (more) {
        struct tql_lexer at = p->lex;
        struct tval v;
        TRY(tql_number(p, &v));
        double q = v.type == TV_INT ? (double)v.i : v.f;
        if (v.duration || !(q >= 0 && q <= 1)) return tql_lex_error(&at, "a quantile lies between 0 and 1:");
        if (u->nquantiles == METRICS_QUANTILES_MAX) return tql_lex_error(&at, "too many quantiles");
        u->quantiles[u->nquantiles++] = q;
        TRY(next_argument(p, &more));
    }
    return u->nquantiles ? OK : tql_lex_error(&p->lex, "a quantile, such as .95, expected");
}

static err_t measured(struct tql_parser *p, struct tql_unit *u)
{
    struct tql_lexer at = p->lex;
    struct tql_field *f;
    if (at.token != TK_ATTR && at.token != TK_INTRINSIC) return tql_lex_error(&at, "an attribute or intrinsic expected");
    TRY(tql_field_primary(p, &f));
    if (!tql_is_numeric(f)) return tql_lex_error(&at, "only numbers can be measured:");
    u->of = f;
    return u->fn == TM_QUANTILE ? quantiles(p, u) : OK;
}

static err_t compared(struct tql_parser *p, struct tql_unit *u)
{
    struct tql_field *selection;
    bool more;
    int64_t v = 10;
    TRY(tql_expect(p, TK_LBRACE, "the selection's '{' expected"));
    TRY(tql_filter_body(p, &selection));
    u->selection = selection;
    TRY(next_argument(p, &more));
    if (more) TRY(whole_number(p, 1, COMPARE_TOP_MAX, "how many values of an attribute: from 1 to 1000, not", &v));
    u->top = (uint32_t)v;
    if (more) TRY(next_argument(p, &more));
    if (!more) return OK;
    TRY(whole_number(p, 1, INT64_MAX, "start in unix nanoseconds expected", &u->from_ns));
    TRY(tql_expect(p, TK_COMMA, "',' and the end in unix nanoseconds expected"));
    return whole_number(p, u->from_ns + 1, INT64_MAX, "the end, after the start, in unix nanoseconds expected", &u->to_ns);
}

static err_t group_by(struct tql_parser *p, struct tql_unit *u)
{
    uint32_t max = METRICS_BY_MAX - (u->fn == TM_QUANTILE || u->fn == TM_HISTOGRAM ? 1 : 0);
    bool more = true;
    TRY(tql_lex_next(&p->lex));
    TRY(tql_expect(p, TK_LPAREN, "'(' expected"));
    while (more) {
        struct tql_field *f;
        if (p->lex.token != TK_ATTR && p->lex.token != TK_INTRINSIC)
            return tql_lex_error(&p->lex, "an attribute or intrinsic expected");
        if (u->nby == max) return tql_lex_error(&p->lex, max == METRICS_BY_MAX ? "at most 5 labels to group by; not"
                                                                               : "at most 4 labels to group by; not");
        TRY(tql_field_primary(p, &f));
        u->by[u->nby++] = f;
        TRY(next_argument(p, &more));
    }
    return tql_expect(p, TK_RPAREN, "')' expected");
}

static err_t first_stage(struct tql_parser *p, struct tql_unit *u)
{
    TRY(tql_lex_next(&p->lex));
    TRY(tql_expect(p, TK_LPAREN, "'(' expected"));
    if (u->fn == TM_COMPARE) TRY(compared(p, u));
    else if (u->fn != TM_RATE && u->fn != TM_COUNT) TRY(measured(p, u));
    TRY(tql_expect(p, TK_RPAREN, "')' expected"));
    if (!tql_at_word(p, "by")) return OK;
    if (u->fn == TM_COMPARE) return tql_lex_error(&p->lex, "compare() groups by every attribute itself:");
    return group_by(p, u);
}

/* -- second stages ---------------------------------------------------------------------------------------------- */
static err_t top_stage(struct tql_parser *p, struct tql_second *s)
{
    int64_t n;
    s->kind = tql_at_word(p, "topk") ? SECOND_TOPK : SECOND_BOTTOMK;
    TRY(tql_lex_next(&p->lex));
    TRY(tql_expect(p, TK_LPAREN, "'(' expected"));
    TRY(whole_number(p, 1, METRICS_GROUPS_MAX, "how many series, at least 1, expected:", &n));
    s->n = (uint32_t)n;
    return tql_expect(p, TK_RPAREN, "')' expected");
}

static err_t sample_filter(struct tql_parser *p, struct tql_second *s)
{
    struct tval v;
    s->kind = SECOND_FILTER;
    s->op = p->lex.op;
    TRY(tql_lex_next(&p->lex));
    TRY(tql_number(p, &v));
    s->than = v.type == TV_FLOAT ? v.f : v.duration ? (double)v.i / (double)NS_PER_S : (double)v.i;
    return OK;
}

static err_t second_stages(struct tql_parser *p, struct tql_second **tail)
{
    while (*tail)
        tail = &(*tail)->next;
    for (;;) {
        bool filter = p->lex.token == TK_OP && tql_is_comparison(p->lex.op) && p->lex.op != OP_RE && p->lex.op != OP_NRE;
        if (p->lex.token != TK_PIPE && !filter) return OK;
        struct tql_second *s = *tail = ARENA_NEW(p->a, struct tql_second);
        tail = &s->next;
        TRY(arena_check(p->a));
        if (filter) {
            TRY(sample_filter(p, s));
            continue;
        }
        TRY(tql_lex_next(&p->lex));
        if (!tql_at_word(p, "topk") && !tql_at_word(p, "bottomk")) return tql_lex_error(&p->lex, "topk() or bottomk() expected");
        TRY(top_stage(p, s));
    }
}

/* -- units and arithmetic ----------------------------------------------------------------------------------------- */
static err_t unit(struct mparser *mp, struct tql_metric *m)
{
    struct tql_parser *p = &mp->p;
    if (mp->m->nunits == METRICS_UNITS_MAX) return tql_lex_error(&p->lex, "too many metrics in one query");
    struct tql_unit *u = ARENA_NEW(p->a, struct tql_unit);
    u->spans = p->q = ARENA_NEW(p->a, struct tql_query);
    p->regex_cap = p->mentioned_cap = 0;
    m->unit = u;
    m->unit_idx = mp->m->nunits;
    mp->m->units[mp->m->nunits++] = u;
    p->metrics_depth = p->depth + 1;
    TRY(tql_pipeline(p, &u->spans->pipeline));
    if (!tql_at_metrics_function(p, &u->fn)) return tql_lex_error(&p->lex, "a metrics function, such as '| rate()', expected");
    TRY(first_stage(p, u));
    if (u->fn == TM_COMPARE && (p->lex.token == TK_PIPE || p->lex.token == TK_OP))
        return tql_lex_error(&p->lex, "nothing can follow compare():");
    return second_stages(p, &m->second);
}

/* At "(": does it hold a metrics query, not spansets? Reads ahead to its ")". */
static bool holds_metrics(const struct tql_parser *p)
{
    struct tql_parser ahead = *p;
    struct arena_mark mark = arena_mark(p->a);
    enum tql_metric_fn fn;
    bool found = false, piped = false;
    int depth = 0;
    do {
        depth += (ahead.lex.token == TK_LPAREN) - (ahead.lex.token == TK_RPAREN);
        found = piped && tql_at_metrics_function(&ahead, &fn);
        piped = ahead.lex.token == TK_PIPE;
    } while (!found && depth > 0 && tql_lex_next(&ahead.lex) == OK && ahead.lex.token != TK_END);
    arena_rollback(p->a, mark);
    return found;
}

static err_t arithmetic(struct mparser *mp, int min, struct tql_metric **out);

static err_t operand(struct mparser *mp, struct tql_metric **out)
{
    struct tql_parser *p = &mp->p;
    struct tql_metric *m = *out = ARENA_NEW(p->a, struct tql_metric);
    TRY(tql_deeper(p));
    bool number = p->lex.token == TK_LITERAL || (p->lex.token == TK_OP && p->lex.op == OP_SUB);
    if (p->lex.token == TK_LPAREN && holds_metrics(p)) {
        TRY(tql_lex_next(&p->lex));
        TRY(arithmetic(mp, 3, out));
        TRY(second_stages(p, &(*out)->second));
        TRY(tql_expect(p, TK_RPAREN, "')' expected"));
    } else if (number) {
        struct tql_lexer at = p->lex;
        struct tval v;
        TRY(tql_number(p, &v));
        if (v.duration) return tql_lex_error(&at, "a plain number expected, not");
        m->number = v.type == TV_FLOAT ? v.f : (double)v.i;
    } else {
        TRY(unit(mp, m));
    }
    p->depth--;
    return OK;
}

static err_t arithmetic(struct mparser *mp, int min, struct tql_metric **out)
{
    struct tql_parser *p = &mp->p;
    TRY(tql_deeper(p));
    TRY(operand(mp, out));
    for (;;) {
        int prec = p->lex.token == TK_OP ? tql_precedence(p->lex.op) : 0;
        if (prec < 3 || prec < min) break;
        if (p->lex.op > OP_DIV) return tql_lex_error(&p->lex, "metrics know + - * / only, not");
        struct tql_metric *m = ARENA_NEW(p->a, struct tql_metric);
        m->op = p->lex.op;
        m->l = *out;
        TRY(tql_lex_next(&p->lex));
        TRY(arithmetic(mp, prec + 1, &m->r));
        *out = m;
        TRY(arena_check(p->a));
    }
    p->depth--;
    return OK;
}

static bool has_unit(const struct tql_metric *m)
{
    return m->unit || (m->op && (has_unit(m->l) || has_unit(m->r)));
}

static err_t parse(struct mparser *mp)
{
    struct tql_parser *p = &mp->p;
    TRY(tql_lex_next(&p->lex));
    TRY(arithmetic(mp, 3, &mp->m->root));
    TRY(second_stages(p, &mp->m->root->second));
    if (tql_at_word(p, "with")) TRY(tql_hints(p));
    if (p->lex.token != TK_END) return tql_lex_error(&p->lex, "unexpected text");
    if (!has_unit(mp->m->root)) return err_set(ERR_INVALID, "a number alone is no metrics query");
    for (uint32_t i = 0; (mp->m->root->op || mp->m->root->second) && i < mp->m->nunits; i++)
        if (mp->m->units[i]->fn == TM_COMPARE) return err_set(ERR_INVALID, "compare() stands alone");
    mp->m->exemplars = p->exemplars;
    return arena_check(p->a);
}

err_t tql_parse_metrics(struct str text, struct arena *a, struct tql_metrics **out)
{
    *out = NULL;
    if (text.n > TQL_TEXT_MAX) return err_set(ERR_INVALID, "query is longer than %d bytes", TQL_TEXT_MAX);
    struct mparser mp = { .p = { .lex = { .text = text, .a = a }, .a = a, .exemplars = -1 },
                          .m = ARENA_NEW(a, struct tql_metrics) };
    mp.m->text = arena_str(a, text);
    err_t e = parse(&mp);
    if (e == OK) *out = mp.m;
    else tql_metrics_free(mp.m);
    return e;
}

void tql_metrics_free(struct tql_metrics *m)
{
    for (uint32_t i = 0; i < m->nunits; i++)
        tql_free(m->units[i]->spans);
}
