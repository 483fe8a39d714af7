/* A unit that needs whole traces: structure between spans, aggregates, fields of the trace. */
#include "query/traceql/metrics_cols.h"
#include "query/traceql/value.h"

struct mtrace {
    const struct metrics_plan *p;
    struct mstate *st;
    struct mbatch b;
    int64_t *start;
    const struct tspan **span;
};

static void take(struct mtrace *m, const struct tql_trace *t, uint32_t i, struct arena *a)
{
    const struct tql_unit *u = m->p->u;
    struct mbatch *b = &m->b;
    uint32_t step = metrics_step(&m->p->range, t->spans[i]->start_ns);
    if (step == UINT32_MAX) return;
    if (u->of) {
        struct tval v = tql_first_value(u->of, t, i, a);
        if (!tval_number(&v, &b->val[b->n])) return;
    }
    for (uint32_t k = 0; k < u->nby; k++) {
        struct tval v = tql_first_value(u->by[k], t, i, a);
        b->ids[k][b->n] = label_number(&m->st->values[k], &v);
    }
    m->start[b->n] = t->spans[i]->start_ns;
    m->span[b->n] = t->spans[i];
    b->step[b->n++] = step;
}

static err_t flush(struct mtrace *m)
{
    TRY(mstate_add(m->st, &m->b));
    m->b.n = 0;
    return OK;
}

static err_t evaluate(void *ctx, const struct tql_trace *t, struct arena *a, bool *enough)
{
    struct mtrace *m = ctx;
    uint32_t *spans, n;
    (void)enough;
    TRY(tql_select(m->p->u->spans, t, a, &spans, &n));
    for (uint32_t i = 0; i < n; i++) {
        take(m, t, spans[i], a);
        if (m->b.n == VEC_MAX) TRY(flush(m));
    }
    return flush(m); /* the trace goes when its batch ends */
}

err_t metrics_trace(struct query *q, struct view *v, const struct metrics_plan *p, struct mstate *st)
{
    struct mtrace m = { .p = p, .st = st };
    struct candidate_window w = { .tmin_ns = p->range.left_ns + 1, .around = true,
                                  .tmax_ns = metrics_stamp(&p->range, p->range.nsteps - 1) };
    struct arena keep;
    arena_init(&keep, q->budget);
    mbatch_init(&m.b, &keep);
    m.start = ARENA_ARRAY(&keep, int64_t, VEC_MAX);
    m.span = ARENA_ARRAY(&keep, const struct tspan *, VEC_MAX);
    m.b.start = m.start;
    m.b.span = m.span;
    err_t e = candidates_each(q, v, &p->candidates, &w, evaluate, &m);
    arena_deinit(&keep);
    return e;
}
