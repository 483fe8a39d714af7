/* The walk over the tree; preparation of durations, invariance and locality; dropped names. */
#include "query/promql/eval.h"
#include "query/promql/agg.h"

#include <math.h>

/* -- preparation ------------------------------------------------------------------------------------- */
static double dur_value(const struct pq_env *e, const struct pq_dur *d)
{
    double l = d->lhs ? dur_value(e, d->lhs) : 0, r = d->rhs ? dur_value(e, d->rhs) : 0;
    switch (d->op) {
    case PQ_D_LIT: return d->seconds;
    case PQ_D_ADD: return l + r;
    case PQ_D_SUB: return l - r;
    case PQ_D_MUL: return l * r;
    case PQ_D_DIV: return l / r;
    case PQ_D_MOD: return fmod(l, r);
    case PQ_D_POW: return pow(l, r);
    case PQ_D_NEG: return -l;
    case PQ_D_STEP: return (double)e->step_ms / 1000;
    case PQ_D_RANGE: return (double)(e->end_ms - e->start_ms) / 1000;
    case PQ_D_MIN: return fmin(l, r);
    default: return fmax(l, r);
    }
}

static uint32_t dur_end(const struct pq_dur *d)
{
    while (!d->end && (d->rhs || d->lhs)) d = d->rhs ? d->rhs : d->lhs;
    return d->end;
}

/* As Prometheus says it of what it computes: by offsets, not by line and column. */
static err_t dur_fail(const struct pq_dur *d, const char *what)
{
    return err_set(ERR_INVALID, "%u:%u: %s", d->pos, dur_end(d), what);
}

/* The part that divides by nothing, or NULL. */
static const struct pq_dur *dur_zero_division(const struct pq_env *e, const struct pq_dur *d)
{
    if (!d) return NULL;
    const struct pq_dur *below = dur_zero_division(e, d->lhs);
    if (!below) below = dur_zero_division(e, d->rhs);
    if (below) return below;
    return (d->op == PQ_D_DIV || d->op == PQ_D_MOD) && dur_value(e, d->rhs) == 0 ? d : NULL;
}

static err_t dur_ms(struct pq_env *e, const struct pq_dur *d, bool positive, int64_t *ms)
{
    double s = dur_value(e, d);
    const struct pq_dur *zero = dur_zero_division(e, d);
    if (zero) return dur_fail(zero, zero->op == PQ_D_DIV ? "division by zero" : "modulo by zero");
    if (isnan(s) || isinf(s)) return dur_fail(d, "duration is NaN or infinite");
    if (positive && s <= 0) return dur_fail(d, "duration must be greater than 0");
    if (fabs(s) > 0x1p63 / 1e9) return dur_fail(d, "duration is out of range");
    *ms = d->op == PQ_D_LIT ? (int64_t)llround(s * 1000) : (int64_t)(s * 1000);
    if (positive && *ms == 0) *ms = 1;
    return OK;
}

static err_t prepare_shift(struct pq_env *e, struct pq_shift *s)
{
    if (s->offset_expr) TRY(dur_ms(e, s->offset_expr, false, &s->offset_ms));
    if (s->at == PQ_AT_START) s->at_ms = e->start_ms;
    if (s->at == PQ_AT_END) s->at_ms = e->end_ms;
    return OK;
}

/* The value depends on the step's time even when the arguments do not. */
static bool time_dependent(const struct pq_node *n)
{
    enum pq_fid f = n->call.fn->id;
    return f == FN_TIME || f == FN_TIMESTAMP || f == FN_PREDICT_LINEAR || n->call.fn->fclass == PQ_F_DATE;
}

/* Annotations point into parentheses. */
static struct pq_node *unparen(struct pq_node *n)
{
    while (n->kind == PQ_PAREN) n = n->paren;
    return n;
}

static err_t prepare_call(struct pq_env *e, struct pq_node *n)
{
    enum pq_fclass c = n->call.fn->fclass;
    n->invariant = !time_dependent(n);
    n->local = c == PQ_F_OVER_TIME || c == PQ_F_MATH || c == PQ_F_HIST ||
               (c == PQ_F_DATE && n->call.nargs) || n->call.fn->id == FN_TIMESTAMP ||
               n->call.fn->id == FN_START_TIMESTAMP;
    for (uint32_t i = 0; i < n->call.nargs; i++) {
        struct pq_node *arg = n->call.args[i] = unparen(n->call.args[i]);
        TRY(pq_prepare(e, arg));
        n->invariant = n->invariant && arg->invariant;
        n->selects = n->selects || arg->selects;
        /* Scalars must need no series, or each core would compute its own. */
        bool scalar = arg->type == PQ_SCALAR || arg->type == PQ_STRING;
        n->local = n->local && (scalar ? !arg->selects : arg->local);
    }
    return pq_check_extended(n);
}

static err_t prepare_binary(struct pq_env *e, struct pq_node *n)
{
    struct pq_node *l = n->bin.lhs, *r = n->bin.rhs;
    TRY(pq_prepare(e, l));
    TRY(pq_prepare(e, r));
    n->invariant = l->invariant && r->invariant;
    n->selects = l->selects || r->selects;
    n->local = (l->local && r->type == PQ_SCALAR && !r->selects) || (r->local && l->type == PQ_SCALAR && !l->selects);
    return OK;
}

/* Prometheus reads histograms whose counts and sums alone are asked for by another iterator, which tells resets
 * apart as it goes; what it finds shows in annotations. Not below subqueries and binary operators. */
void pq_mark_stats(struct pq_node *n, bool on)
{
    switch (n->kind) {
    case PQ_SELECTOR: n->sel->stats = on; return;
    case PQ_RANGE: n->range.sel->sel->stats = on; return;
    case PQ_SUBQUERY: pq_mark_stats(n->sub.expr, false); return;
    case PQ_PAREN: pq_mark_stats(n->paren, on); return;
    case PQ_UNARY: pq_mark_stats(n->un.expr, on); return;
    case PQ_AGG: pq_mark_stats(n->agg.expr, on); return;
    case PQ_BINARY:
        pq_mark_stats(n->bin.lhs, false);
        pq_mark_stats(n->bin.rhs, false);
        return;
    case PQ_CALL:
        switch (n->call.fn->id) {
        case FN_HISTOGRAM_COUNT:
        case FN_HISTOGRAM_SUM:
        case FN_HISTOGRAM_AVG: on = true; break;
        case FN_HISTOGRAM_QUANTILE:
        case FN_HISTOGRAM_QUANTILES:
        case FN_HISTOGRAM_FRACTION: on = false; break;
        default: break;
        }
        for (uint32_t i = 0; i < n->call.nargs; i++) pq_mark_stats(n->call.args[i], on);
        return;
    default: return;
    }
}

err_t pq_prepare(struct pq_env *e, struct pq_node *n)
{
    switch (n->kind) {
    case PQ_GIVEN:
    case PQ_NUMBER:
    case PQ_STRINGLIT: n->invariant = true; return OK;
    case PQ_SELECTOR:
        n->selects = n->local = true;
        n->invariant = n->sel->shift.at != PQ_AT_NONE;
        return prepare_shift(e, &n->sel->shift);
    case PQ_RANGE:
        TRY(pq_prepare(e, n->range.sel));
        n->selects = n->local = true;
        n->invariant = n->range.sel->invariant;
        return dur_ms(e, n->range.range, true, &n->range.range_ms);
    case PQ_SUBQUERY:
        TRY(pq_prepare(e, n->sub.expr));
        n->selects = n->sub.expr->selects;
        n->local = n->sub.expr->local;
        n->invariant = n->sub.shift.at != PQ_AT_NONE;
        TRY(dur_ms(e, n->sub.range, true, &n->sub.range_ms));
        n->sub.step_ms = e->default_step_ms;
        if (n->sub.step) TRY(dur_ms(e, n->sub.step, true, &n->sub.step_ms));
        return prepare_shift(e, &n->sub.shift);
    case PQ_CALL: return prepare_call(e, n);
    case PQ_AGG:
        n->agg.expr = unparen(n->agg.expr);
        if (n->agg.param) n->agg.param = unparen(n->agg.param);
        TRY(pq_prepare(e, n->agg.expr));
        n->selects = n->agg.expr->selects;
        n->invariant = n->agg.expr->invariant;
        if (n->agg.param) {
            TRY(pq_prepare(e, n->agg.param));
            n->selects = n->selects || n->agg.param->selects;
            n->invariant = n->invariant && n->agg.param->invariant;
        }
        return OK;
    case PQ_BINARY: return prepare_binary(e, n);
    case PQ_UNARY:
    case PQ_PAREN: {
        struct pq_node *inner = n->kind == PQ_UNARY ? n->un.expr : n->paren;
        TRY(pq_prepare(e, inner));
        n->invariant = inner->invariant;
        n->local = inner->local;
        n->selects = inner->selects;
        return OK;
    }
    }
    return OK;
}

/* -- evaluation ---------------------------------------------------------------------------------------- */
static void eval_unary(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_value *v)
{
    if (!n->un.minus) return;
    if (v->type == PQ_SCALAR) {
        for (uint32_t i = 0; i < g->n; i++) v->scalar[i] = -v->scalar[i];
        return;
    }
    for (uint32_t r = 0; r < v->m.n; r++) {
        struct pq_row *row = &v->m.rows[r];
        row->drop_name = true;
        for (uint32_t i = 0; i < g->n; i++) {
            if (row->have[i] == PQ_CELL_FLOAT) row->v[i] = -row->v[i];
            else if (row->have[i] == PQ_CELL_HIST) row->h[i] = pq_hist_scale(e->a, row->h[i], -1);
        }
    }
}

/* Evaluates an invariant subtree once and repeats it. */
static err_t eval_once(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_value *out)
{
    struct pq_grid one = { g->start_ms, g->step_ms, 1 };
    struct pq_value v;
    bool outer = e->once;
    e->once = true;
    err_t err = pq_eval(e, n, &one, &v);
    e->once = outer;
    TRY(err);
    *out = v;
    if (v.type == PQ_SCALAR) {
        out->scalar = ARENA_RAW(e->a, double, g->n);
        for (uint32_t i = 0; i < g->n; i++) out->scalar[i] = v.scalar[0];
    }
    out->m = (struct pq_matrix){ 0 };
    for (uint32_t r = 0; r < v.m.n; r++) {
        const struct pq_row *from = &v.m.rows[r];
        struct pq_row *row = pq_row_add(e->a, &out->m, from->labels, g->n);
        TRY(pq_checkpoint(e));
        row->drop_name = from->drop_name;
        for (uint32_t i = 0; i < g->n; i++) {
            if (from->have[0] == PQ_CELL_FLOAT) pq_set_float(row, i, from->v[0]);
            else if (from->have[0] == PQ_CELL_HIST) pq_set_hist(e->a, row, i, g->n, from->h[0]);
        }
    }
    return OK;
}

static bool worth_once(const struct pq_node *n)
{
    return n->invariant && n->kind != PQ_NUMBER && n->kind != PQ_STRINGLIT && n->type != PQ_MATRIX;
}

err_t pq_eval(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_value *out)
{
    *out = (struct pq_value){ .type = n->type };
    TRY(pq_checkpoint(e));
    if (g->n > 1 && worth_once(n)) return eval_once(e, n, g, out);
    if (e->scatter && n->local && n->type == PQ_VECTOR) return e->scatter(e, n, g, &out->m);
    switch (n->kind) {
    case PQ_NUMBER:
        out->scalar = ARENA_RAW(e->a, double, g->n);
        for (uint32_t i = 0; i < g->n; i++) out->scalar[i] = n->num.value;
        return OK;
    case PQ_STRINGLIT: out->str = n->str; return OK;
    case PQ_GIVEN: out->scalar = (double *)arena_dup(e->a, n->given, sizeof(double) * g->n); return OK;
    case PQ_SELECTOR: return pq_eval_selector(e, n, g, PQ_FUNC_COUNT, NULL, &out->m);
    case PQ_CALL: return pq_eval_call(e, n, g, out);
    case PQ_AGG: return pq_eval_agg(e, n, g, &out->m);
    case PQ_BINARY: return pq_eval_binary(e, n, g, out);
    case PQ_UNARY:
        TRY(pq_eval(e, n->un.expr, g, out));
        eval_unary(e, n, g, out);
        return OK;
    case PQ_PAREN: return pq_eval(e, n->paren, g, out);
    case PQ_RANGE:
    case PQ_SUBQUERY: return err_set(ERR_INTERNAL, "range vector evaluated as a vector");
    }
    return OK;
}

err_t pq_eval_each(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_each *each)
{
    struct pq_value v = { 0 };
    err_t err;
    n = pq_unparen(n);
    bool range = n->kind == PQ_CALL && n->call.fn->ret == PQ_VECTOR && n->call.fn->fclass == PQ_F_OVER_TIME;
    if ((!range && n->kind != PQ_SELECTOR) || (g->n > 1 && worth_once(n)) || e->scatter) {
        TRY(pq_eval(e, n, g, &v));
        return each->rows(each, e, &v.m);
    }
    arena_init(&each->mem, e->a->budget);
    if (range) err = pq_eval_range_call(e, n, g, each, &v.m);
    else err = pq_eval_selector(e, n, g, PQ_FUNC_COUNT, each, &v.m);
    arena_deinit(&each->mem);
    return err;
}

/* Rows that have the same labels become one; names that are to be dropped go before that, or stay. */
static err_t merge_rows(struct pq_env *e, const struct pq_grid *g, struct pq_matrix *m, bool drop)
{
    struct pq_matrix out = { 0 };
    struct pq_rowset set;
    err_t err = OK;
    pq_rowset_init(&set, &out);
    for (uint32_t r = 0; r < m->n; r++) {
        struct pq_row *from = &m->rows[r];
        TRY_OUT(err, pq_checkpoint(e));
        struct labels l = drop && from->drop_name ? pq_labels_unnamed(e->a, &from->labels) : from->labels;
        uint32_t before = out.n;
        struct pq_row *row = pq_rowset_get(&set, e->a, l, g->n);
        if (out.n != before) { /* the first of its labels: take the row as it is */
            row->have = from->have;
            row->v = from->v;
            row->h = from->h;
            row->drop_name = !drop && from->drop_name;
            continue;
        }
        for (uint32_t i = 0; i < g->n; i++) {
            if (!from->have[i]) continue;
            if (row->have[i]) {
                err = pq_exec_error("vector cannot contain metrics with the same labelset");
                goto out;
            }
            pq_copy_cell(e->a, row, from, i, g->n);
        }
    }
    *m = out;
out:
    pq_rowset_deinit(&set);
    return err;
}

err_t pq_rows_merge(struct pq_env *e, const struct pq_grid *g, struct pq_matrix *m)
{
    struct pq_matrix seen = { 0 };
    struct pq_rowset set;
    pq_rowset_init(&set, &seen);
    for (uint32_t r = 0; r < m->n; r++) pq_rowset_get(&set, e->a, m->rows[r].labels, 1);
    pq_rowset_deinit(&set);
    return seen.n == m->n ? OK : merge_rows(e, g, m, false); /* most often all differ */
}

err_t pq_finish(struct pq_env *e, const struct pq_grid *g, struct pq_value *v)
{
    TRY(merge_rows(e, g, &v->m, true));
    pq_rows_trim(&v->m, g->n);
    return OK;
}
