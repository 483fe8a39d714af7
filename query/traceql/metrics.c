#include "query/traceql/metrics.h"

#include "query/traceql/metrics_compare.h"
#include "query/traceql/metrics_final.h"
#include "query/traceql/prefilter.h"

#include <math.h>

/* -- the steps ---------------------------------------------------------------------------------------------------- */
static const int64_t TIME_MAX = INT64_MAX / 4; /* room for steps on both sides */

err_t metrics_range_of(int64_t start_ns, int64_t end_ns, int64_t step_ns, struct metrics_range *out)
{
    if (end_ns <= start_ns) return err_set(ERR_INVALID, "the end must be after the start");
    if (step_ns <= 0) return err_set(ERR_INVALID, "the step must be greater than 0");
    if (start_ns < 0 || end_ns > TIME_MAX || step_ns > TIME_MAX) return err_set(ERR_INVALID, "start, end or step out of range");
    int64_t first = start_ns - start_ns % step_ns, rest = end_ns % step_ns, last = end_ns + (rest ? step_ns - rest : 0);
    int64_t n = (last - first) / step_ns + 1;
    if (n > METRICS_STEPS_MAX)
        return err_set(ERR_INVALID, "step too small: the range has %lld points, at most %d are answered", (long long)n,
                       METRICS_STEPS_MAX);
    *out = (struct metrics_range){ .left_ns = first - step_ns, .step_ns = step_ns, .nsteps = (uint32_t)n, .stamp_ns = first,
                                   .rate_s = (double)step_ns / (double)NS_PER_S };
    return OK;
}

err_t metrics_range_instant(int64_t start_ns, int64_t end_ns, struct metrics_range *out)
{
    if (end_ns <= start_ns) return err_set(ERR_INVALID, "the end must be after the start");
    if (start_ns < 0 || end_ns > TIME_MAX) return err_set(ERR_INVALID, "start or end out of range");
    *out = (struct metrics_range){ .left_ns = start_ns - 1, .step_ns = end_ns - start_ns + 1, .nsteps = 1, .stamp_ns = end_ns,
                                   .rate_s = (double)(end_ns - start_ns) / (double)NS_PER_S };
    return OK;
}

int64_t metrics_default_step(int64_t start_ns, int64_t end_ns)
{
    static const int64_t round_s[] = { 3600, 300, 60, 15, 5 };
    int64_t step = (end_ns - start_ns) / 240;
    for (size_t i = 0; i < ARRAY_LEN(round_s); i++)
        if (step >= round_s[i] * NS_PER_S) return step - step % (round_s[i] * NS_PER_S);
    return MAX(step - step % NS_PER_S, NS_PER_S);
}

/* -- the plan of a unit ----------------------------------------------------------------------------------------------- */
static bool columns_of_pipeline(const struct tql_pipeline *pl, struct expr_builder *b, struct expr **e);

/* Exactly the spans of the spanset, from columns alone; false when it takes whole traces. */
static bool columns_of_spanset(const struct tql_spanset *s, struct expr_builder *b, struct expr **e)
{
    if (s->kind == TSS_PIPELINE) return columns_of_pipeline(s->inner, b, e);
    if (s->kind == TSS_FILTER) {
        struct prefilter f = prefilter_of(s->filter, b);
        *e = f.e;
        return f.exact;
    }
    struct expr *l, *r;
    if (s->op != OP_OR || !columns_of_spanset(s->l, b, &l) || !columns_of_spanset(s->r, b, &r)) return false;
    *e = expr_or2(b, l, r);
    return true;
}

static bool columns_of_pipeline(const struct tql_pipeline *pl, struct expr_builder *b, struct expr **e)
{
    *e = expr_true(b);
    for (const struct tql_stage *st = pl->first; st; st = st->next) {
        struct expr *x;
        if (st->kind == TST_SELECT) continue;
        if (st->kind != TST_SPANSET || !columns_of_spanset(st->spanset, b, &x)) return false;
        *e = expr_and2(b, *e, x);
    }
    return true;
}

static bool in_columns(const struct tql_field *f)
{
    struct attr_ref ref;
    return !f || prefilter_ref(f, &ref);
}

static bool is_columnar(struct metrics_plan *p, struct expr **filter, struct expr **selection)
{
    const struct tql_unit *u = p->u;
    bool yes = columns_of_pipeline(u->spans->pipeline, &p->builder, filter) && in_columns(u->of);
    for (uint32_t k = 0; k < u->nby; k++)
        yes = yes && in_columns(u->by[k]);
    struct prefilter s = prefilter_of(u->selection, &p->builder);
    *selection = s.e;
    return yes && s.exact;
}

err_t metrics_plan_make(struct metrics_plan *p, const struct tql_metrics *q, uint32_t unit_idx, const struct metrics_range *range,
                        uint32_t exemplars_max, struct arena *a)
{
    struct expr *filter, *selection;
    const struct tql_unit *u = q->units[unit_idx];
    *p = (struct metrics_plan){ .q = q, .unit_idx = unit_idx, .u = u, .range = *range, .exemplars_max = exemplars_max };
    p->nkeys = u->nby + (u->fn == TM_HISTOGRAM ? 1 : 0);
    p->cells = u->fn == TM_QUANTILE ? CELL_HIST : u->of && u->fn != TM_HISTOGRAM ? CELL_MOMENTS : CELL_COUNT;
    p->slots = p->nkeys ? (exemplars_max + 3) / 4 : exemplars_max;
    expr_builder_init(&p->builder, a);
    TRY(candidate_plan_make(&p->candidates, u->spans, a));
    p->columnar = is_columnar(p, &filter, &selection);
    if (!p->columnar) return OK;
    TRY(expr_finish(&p->builder, filter));
    TRY(expr_finish(&p->builder, selection));
    if (filter->kind != EXPR_TRUE) p->filter = filter;
    if (selection->kind != EXPR_TRUE) p->selection = selection;
    return OK;
}

void metrics_plan_free(struct metrics_plan *p)
{
    candidate_plan_free(&p->candidates);
    expr_builder_deinit(&p->builder);
}

/* -- one unit over all cores ------------------------------------------------------------------------------------------ */
err_t metrics_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    const struct metrics_plan *p = plan;
    struct mstate *st = ARENA_NEW(a, struct mstate);
    mstate_init(st, p, a);
    *partial = st;
    err_t e = p->columnar ? metrics_scan(q, v, p, st) : metrics_trace(q, v, p, st);
    mstate_deinit(st);
    return e;
}

static err_t merge_cores(struct query *q, const struct metrics_plan *p, struct scatter *sc, struct series_set *out)
{
    struct mstate all;
    err_t e = OK;
    mstate_init(&all, p, q->arena);
    for (unsigned i = 0; i < sc->n && e == OK; i++)
        e = mstate_merge(&all, sc->partials[i]);
    if (e == OK && p->slots) mstate_thin(&all, p->exemplars_max, true);
    if (e == OK) e = series_of_state(&all, q->arena, out);
    mstate_deinit(&all);
    return e;
}

static err_t run_unit(struct query *q, uint32_t unit_idx, const struct metrics_req *rq, struct series_set *out)
{
    struct metrics_plan p;
    struct scatter sc = { 0 };
    bool compare = rq->q->units[unit_idx]->fn == TM_COMPARE;
    err_t e = metrics_plan_make(&p, rq->q, unit_idx, &rq->range, rq->exemplars_max, q->arena);
    const struct fragment_kind *kind = compare ? &COMPARE_KIND : &TRACE_METRICS_KIND;
    if (e == OK) e = p.columnar ? scatter_run(q, kind, &p, &sc) : scatter_whole(q, kind, &p, &sc);
    if (e == OK) e = compare ? compare_series(q, &p, &sc, out) : merge_cores(q, &p, &sc, out);
    struct err_record why = *err_record();
    scatter_free(&sc);
    metrics_plan_free(&p);
    *err_record() = why;
    return e;
}

/* -- the whole query ---------------------------------------------------------------------------------------------------- */
static err_t run_metric(struct query *q, const struct tql_metric *m, const struct metrics_req *rq, struct series_set *out)
{
    if (m->op) { /* depth is bounded by the parser */
        struct series_set l, r;
        TRY(run_metric(q, m->l, rq, &l));
        TRY(run_metric(q, m->r, rq, &r));
        TRY(series_arithmetic(m->op, &l, &r, &rq->range, q->arena, out));
    } else if (m->unit) {
        TRY(run_unit(q, m->unit_idx, rq, out));
    } else {
        *out = (struct series_set){ .scalar = true };
        struct metrics_series *s = series_add(out, &rq->range, NULL, 0, q->arena);
        for (uint32_t i = 0; i < rq->range.nsteps; i++)
            s->values[i] = m->number;
    }
    return series_second(out, m->second, rq->range.nsteps, q->arena);
}

err_t trace_metrics(struct query *q, const struct metrics_req *rq, struct metrics_answer *out)
{
    struct series_set set;
    TRY(run_metric(q, rq->q->root, rq, &set));
    series_finish(&set, rq->range.nsteps, rq->series_max, out);
    return arena_check(q->arena);
}
