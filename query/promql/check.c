/* Types and arities, in Prometheus' words. */
#include "query/promql/func.h"
#include "storage/metric_match.h"

const char *pq_type_name(enum pq_type t)
{
    static const char *const names[] = { "none", "scalar", "instant vector", "range vector", "string" };
    return names[t];
}

static err_t expect_type(struct pq_ast *ast, const struct pq_node *n, enum pq_type want, const char *context)
{
    if (n->type == want) return OK;
    return pq_fail_at(ast->text, n->start, "expected type %s in %s, got %s", pq_type_name(want), context,
                      pq_type_name(n->type));
}

static err_t check_matching(struct pq_ast *ast, const struct pq_node *n)
{
    const struct pq_matching *m = n->bin.match;
    bool vectors = n->bin.lhs->type == PQ_VECTOR && n->bin.rhs->type == PQ_VECTOR, fill = m->fill_lhs || m->fill_rhs;
    if (!vectors && m->nlabels) return pq_fail_at(ast->text, n->start, "vector matching only allowed between instant vectors");
    if (!vectors && fill) return pq_fail_at(ast->text, n->start, "filling in missing series only allowed between instant vectors");
    if (vectors && pq_op_set(n->bin.op) && m->card != PQ_MANY_TO_MANY)
        return pq_fail_at(ast->text, n->start, "no grouping allowed for \"%s\" operation", pq_op_name(n->bin.op));
    if (vectors && pq_op_set(n->bin.op) && fill)
        return pq_fail_at(ast->text, n->start, "filling in missing series not allowed for set operators");
    return OK;
}

static bool computes(const struct pq_node *n) { return n->type == PQ_SCALAR || n->type == PQ_VECTOR; }

static err_t check_binary(struct pq_ast *ast, struct pq_node *n)
{
    struct pq_node *l = n->bin.lhs, *r = n->bin.rhs;
    struct pq_matching *m = n->bin.match;
    TRY(pq_check(ast, l));
    TRY(pq_check(ast, r));
    bool scalars = l->type == PQ_SCALAR && r->type == PQ_SCALAR;
    if (n->bin.ret_bool && !pq_op_compares(n->bin.op))
        return pq_fail_at(ast->text, n->bin.pos, "bool modifier can only be used on comparison operators");
    if (pq_op_compares(n->bin.op) && !n->bin.ret_bool && scalars)
        return pq_fail_at(ast->text, n->bin.pos, "comparisons between scalars must use BOOL modifier");
    for (uint32_t i = 0; m->on && i < m->nlabels; i++)
        for (uint32_t k = 0; k < m->ninclude; k++)
            if (str_eq(m->labels[i], m->include[k]))
                return pq_fail_at(ast->text, n->bin.pos,
                                  "label \"" STR_FMT "\" must not occur in ON and GROUP clause at once",
                                  STR_ARG(m->labels[i]));
    if (!computes(l) || !computes(r))
        return pq_fail_at(ast->text, !computes(l) ? l->start : r->start, "binary expression must contain only scalar and instant vector types");
    TRY(check_matching(ast, n));
    if (pq_op_set(n->bin.op) && (l->type == PQ_SCALAR || r->type == PQ_SCALAR))
        return pq_fail_at(ast->text, n->start, "set operator \"%s\" not allowed in binary scalar expression",
                          pq_op_name(n->bin.op));
    n->type = scalars ? PQ_SCALAR : PQ_VECTOR;
    return OK;
}

err_t pq_check_extended(const struct pq_node *call)
{
    for (uint32_t i = 0; i < call->call.nargs; i++) {
        const struct pq_node *arg = pq_unparen(call->call.args[i]);
        if (arg->kind != PQ_RANGE) continue;
        const struct pq_selector *s = arg->range.sel->sel;
        enum pq_fid f = call->call.fn->id;
        bool rate = f == FN_RATE || f == FN_INCREASE || f == FN_DELTA;
        if (s->anchored && !rate && f != FN_CHANGES && f != FN_RESETS)
            return err_set(ERR_LIMIT, "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with %s", call->call.fn->name);
        if (s->smoothed && !rate)
            return err_set(ERR_LIMIT, "smoothed modifier can only be used with: delta, increase, rate - not with %s", call->call.fn->name);
    }
    return OK;
}

/* The second argument of info(). */
static err_t check_info(struct pq_ast *ast, const struct pq_node *n)
{
    struct pq_node *arg = n->call.args[1];
    if (arg->kind != PQ_SELECTOR && arg->type != PQ_VECTOR)
        return pq_fail_at(ast->text, n->start, "expected type instant vector in call to function \"info\", got %s", pq_type_name(arg->type));
    if (arg->kind != PQ_SELECTOR) return pq_fail_at(ast->text, arg->start, "expected label selectors only");
    if (arg->sel->name.n) return pq_fail_at(ast->text, arg->start, "expected label selectors only, got vector selector instead");
    arg->sel->any = true;
    return OK;
}

static err_t check_call(struct pq_ast *ast, struct pq_node *n)
{
    const struct pq_func *f = n->call.fn;
    uint32_t nargs = n->call.nargs;
    const char *plural = "argument(s)";
    uint32_t least = f->variadic ? f->nargs - 1u : f->nargs;
    if (f->variadic == 0 && nargs != f->nargs)
        return pq_fail_at(ast->text, n->start, "expected %u %s in call to \"%s\", got %u", f->nargs, plural, f->name,
                          nargs);
    if (nargs < least)
        return pq_fail_at(ast->text, n->start, "expected at least %u %s in call to \"%s\", got %u", least, plural,
                          f->name, nargs);
    uint32_t most = least + (uint32_t)MAX(f->variadic, 0);
    if (f->variadic > 0 && nargs > most)
        return pq_fail_at(ast->text, n->start, "expected at most %u %s in call to \"%s\", got %u", most, plural, f->name, nargs);
    if (f->id == FN_INFO && nargs > 1) TRY(check_info(ast, n));
    char context[96];
    struct str name = str_of(f->name);
    struct str ctx = arena_printf(ast->arena, "call to function \"" STR_FMT "\"", STR_ARG(name));
    memcpy(context, ctx.p, MIN(ctx.n, sizeof context - 1));
    context[MIN(ctx.n, sizeof context - 1)] = 0;
    for (uint32_t i = 0; i < nargs; i++) {
        TRY(pq_check(ast, n->call.args[i]));
        TRY(expect_type(ast, n->call.args[i], f->args[MIN(i, f->nargs - 1u)], context));
    }
    return OK;
}

static err_t check_agg(struct pq_ast *ast, struct pq_node *n)
{
    TRY(pq_check(ast, n->agg.expr));
    TRY(expect_type(ast, n->agg.expr, PQ_VECTOR, "aggregation expression"));
    if (!n->agg.param) return OK;
    TRY(pq_check(ast, n->agg.param));
    return expect_type(ast, n->agg.param, n->agg.op == PQ_COUNT_VALUES ? PQ_STRING : PQ_SCALAR,
                       "aggregation parameter");
}

bool pq_matches_empty(const struct pq_selector *s)
{
    for (uint32_t i = 0; i < s->nm; i++)
        if (!match_takes(&s->m[i], STR_NONE)) return false;
    return true;
}

static err_t check_selector(struct pq_ast *ast, struct pq_node *n)
{
    const struct pq_selector *s = n->sel;
    n->type = PQ_VECTOR;
    if (!s->name.n) {
        if (!s->any && pq_matches_empty(s)) return pq_fail_at(ast->text, n->start, "vector selector must contain at least one non-empty matcher");
        return OK;
    }
    for (uint32_t i = 0; i + 1 < s->nm; i++) {
        if (!str_is(s->m[i].name, "__name__")) continue;
        struct buf b;
        buf_init(&b, SIZE_MAX, NULL);
        pq_quote(s->name, &b);
        buf_z(&b, " or ");
        pq_quote(s->m[i].value, &b);
        err_t e = pq_fail_at(ast->text, n->start, "metric name must not be set twice: %.*s", (int)MIN(b.n, 300), b.p);
        buf_deinit(&b);
        return e;
    }
    return OK;
}

err_t pq_check(struct pq_ast *ast, struct pq_node *n)
{
    static const char *const raw[] = { "none", "scalar", "vector", "matrix", "string" };
    switch (n->kind) {
    case PQ_GIVEN:
    case PQ_NUMBER:
    case PQ_STRINGLIT: return OK;
    case PQ_SELECTOR: return check_selector(ast, n);
    case PQ_RANGE:
        n->range.sel->type = PQ_VECTOR;
        return check_selector(ast, n->range.sel);
    case PQ_SUBQUERY:
        TRY(pq_check(ast, n->sub.expr));
        if (n->sub.expr->type != PQ_VECTOR)
            return pq_fail_at(ast->text, n->start, "subquery is only allowed on instant vector, got %s instead", raw[n->sub.expr->type]);
        return OK;
    case PQ_CALL: return check_call(ast, n);
    case PQ_AGG: return check_agg(ast, n);
    case PQ_BINARY: return check_binary(ast, n);
    case PQ_UNARY:
        TRY(pq_check(ast, n->un.expr));
        n->type = n->un.expr->type;
        if (n->type != PQ_SCALAR && n->type != PQ_VECTOR)
            return pq_fail_at(ast->text, n->start, "unary expression only allowed on expressions of type scalar or "
                              "instant vector, got \"%s\"", pq_type_name(n->type));
        return OK;
    case PQ_PAREN:
        TRY(pq_check(ast, n->paren));
        n->type = n->paren->type;
        return OK;
    }
    return OK;
}
