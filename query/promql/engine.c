#include "query/promql/engine.h"

#include <stdlib.h>

static err_t check_range(const struct pq_query *q, const struct pq_node *root)
{
    if (q->instant) return OK;
    if (root->type != PQ_VECTOR && root->type != PQ_SCALAR)
        return err_set(ERR_INVALID, "invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
                       pq_type_name(root->type));
    return OK;
}

static err_t finish_points(struct pq_env *e, struct pq_result *out)
{
    for (uint32_t i = 0; i < out->npoints; i++)
        if (out->points[i].drop_name) out->points[i].labels = pq_labels_unnamed(e->a, &out->points[i].labels);
    struct pq_matrix m = { 0 };
    struct pq_rowset set;
    pq_rowset_init(&set, &m);
    for (uint32_t i = 0; i < out->npoints; i++) pq_rowset_get(&set, e->a, out->points[i].labels, 1);
    pq_rowset_deinit(&set);
    if (m.n != out->npoints) return pq_exec_error("vector cannot contain metrics with the same labelset");
    return OK;
}

static int row_cmp(const void *a, const void *b)
{
    return pq_labels_cmp(&((const struct pq_row *)a)->labels, &((const struct pq_row *)b)->labels);
}
static int points_cmp(const void *a, const void *b)
{
    return pq_labels_cmp(&((const struct pq_points *)a)->labels, &((const struct pq_points *)b)->labels);
}

/* Has the expression asked for an order of its answer, at the root or under what works element by element? All else is ordered by
 * labels, so that the answer does not say where its series are stored. */
static bool asks_for_order(const struct pq_node *n)
{
    for (;;) {
        n = pq_unparen(n);
        if (n->kind == PQ_UNARY) {
            n = n->un.expr;
        } else if (n->kind == PQ_BINARY && (n->bin.lhs->type == PQ_SCALAR || n->bin.rhs->type == PQ_SCALAR)) {
            n = n->bin.lhs->type == PQ_SCALAR ? n->bin.rhs : n->bin.lhs;
        } else if (n->kind == PQ_CALL && n->call.fn->id >= FN_SORT && n->call.fn->id <= FN_SORT_BY_LABEL_DESC) {
            return true;
        } else if (n->kind == PQ_CALL && n->call.fn->fclass != PQ_F_SPECIAL && n->call.nargs && n->call.args[0]->type == PQ_VECTOR) {
            n = n->call.args[0];
        } else {
            return n->kind == PQ_AGG && (n->agg.op == PQ_TOPK || n->agg.op == PQ_BOTTOMK);
        }
    }
}

/* The time since *at, which is now. */
static err_t lap(int64_t *at, int64_t *took) MAY_YIELD
{
    if (!rt_in_fiber()) return OK;
    TRY(rt_checkpoint());
    if (took) *took = rt_now().ns - *at;
    *at = rt_now().ns;
    return OK;
}

err_t pq_run_env(const struct pq_query *q, struct pq_env *e, struct pq_ast *ast, struct pq_result *out,
                 err_t (*points)(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                 struct pq_points **out, uint32_t *n_out))
{
    int64_t at = 0;
    *out = (struct pq_result){ 0 };
    TRY(lap(&at, NULL));
    TRY(pq_parse(q->text, e->a, ast));
    TRY(check_range(q, ast->root));
    e->text = ast->text;
    e->start_ms = q->start_ms;
    e->end_ms = q->instant ? q->start_ms : q->end_ms;
    e->step_ms = q->instant ? 0 : q->step_ms;
    e->instant = q->instant;
    e->lookback_ms = q->lookback_ms ? q->lookback_ms : PQ_LOOKBACK_MS;
    e->default_step_ms = PQ_SUBQUERY_STEP_MS;
    e->samples_max = q->samples_max;
    e->notes.a = e->a;
    out->grid = (struct pq_grid){ q->start_ms, q->instant ? 1 : q->step_ms,
                                  q->instant ? 1 : (uint32_t)((q->end_ms - q->start_ms) / q->step_ms + 1) };
    TRY(pq_prepare(e, ast->root));
    pq_mark_stats(ast->root, false);
    TRY(lap(&at, &out->prepare_ns));
    if (ast->root->type == PQ_MATRIX) {
        out->value.type = PQ_MATRIX;
        TRY(points(e, ast->root, &out->grid, &out->points, &out->npoints));
        TRY(finish_points(e, out));
        TRY(lap(&at, &out->eval_ns));
        if (out->npoints) qsort(out->points, out->npoints, sizeof *out->points, points_cmp);
    } else {
        TRY(pq_eval(e, ast->root, &out->grid, &out->value));
        if (out->value.type == PQ_VECTOR) TRY(pq_finish(e, &out->grid, &out->value));
        TRY(lap(&at, &out->eval_ns));
        if (out->value.m.n && !(q->instant && asks_for_order(ast->root)))
            qsort(out->value.m.rows, out->value.m.n, sizeof(struct pq_row), row_cmp);
    }
    TRY(lap(&at, &out->sort_ns));
    out->notes = e->notes;
    out->samples = e->samples;
    out->text = ast->text;
    return arena_check(e->a);
}

err_t pq_run_local(const struct pq_query *q, struct pq_source *src, struct arena *a, struct pq_ast *ast,
                   struct pq_result *out)
{
    struct pq_env e = { .a = a, .src = src };
    return pq_run_env(q, &e, ast, out, pq_eval_points);
}
