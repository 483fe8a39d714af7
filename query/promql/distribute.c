/* PromQL over the store: what is local to series runs on every core over its own, the coordinator joins.
 *
 * A fragment is a subtree and a grid; the tree is immutable and shared. A core answers with rows, with partial
 * aggregation states, or with the points of a range vector; labels and values live in the fragment's arena. Where sides of a series lie on
 * different nodes, cores answer with samples, and all is evaluated here (joined.h). */
#include "query/promql/engine.h"
#include "query/promql/joined.h"

static err_t store_select(struct pq_source *s, const struct matcher *m, uint32_t nm, int64_t tmin, int64_t tmax,
                          struct arena *a, struct pq_series **out, uint32_t *n)
{
    struct view *v = CONTAINER_OF(s, struct pq_view_source, src)->view;
    struct mseries *ms;
    TRY(metrics_select(v, m, nm, tmin, tmax, &ms, n));
    *out = ARENA_RAW(a, struct pq_series, *n);
    for (uint32_t i = 0; i < *n; i++) (*out)[i] = (struct pq_series){ pq_labels_copy(a, &ms[i].labels), &ms[i], ms[i].resolution_ms };
    return arena_check(a);
}

static err_t store_samples(struct pq_source *s, const struct pq_series *series, int64_t tmin, int64_t tmax,
                           struct arena *scratch, struct pq_samples *out)
{
    struct view *v = CONTAINER_OF(s, struct pq_view_source, src)->view;
    struct samples got;
    TRY(metrics_samples(v, series->impl, tmin, tmax, scratch, &got));
    *out = (struct pq_samples){ got.n, got.t_ms, got.v, NULL, got.st_ms, got.win, got.times_stay, got.unmarked, got.rising };
    if (!got.hist) return OK;
    const struct pq_hist **h = arena_calloc(scratch, got.n + 1u, sizeof *h);
    for (uint32_t i = 0; i < got.n; i++)
        if (got.hist[i]) h[i] = pq_hist_of(scratch, got.hist[i]);
    out->h = h;
    return OK;
}

static err_t store_pieces(struct pq_source *s, const struct pq_series *series, int64_t tmin, int64_t tmax, struct arena *scratch,
                          struct metric_piece **out, uint32_t *n)
{
    return metrics_pieces(CONTAINER_OF(s, struct pq_view_source, src)->view, series->impl, tmin, tmax, scratch, out, n);
}

static err_t store_resolution(struct pq_source *s, int64_t tmin, int64_t tmax, int64_t *out)
{
    return metrics_resolution(CONTAINER_OF(s, struct pq_view_source, src)->view, tmin, tmax, out);
}

struct pq_view_source pq_source_of(struct view *v)
{
    return (struct pq_view_source){ { store_select, store_samples, store_pieces, store_resolution }, v };
}

static err_t fragment_agg(struct pq_env *e, const struct pq_plan *p, struct pq_agg *out)
{
    pq_agg_init(out);
    err_t err = pq_agg_eval(e, p->node, &p->grid, out);
    pq_agg_deinit(out); /* the index only; groups live in the arena */
    return err;
}

static err_t fragment(struct query *q, struct view *view, const void *plan, struct arena *a, void **partial)
{
    (void)q;
    const struct pq_plan *p = plan;
    struct pq_view_source src = pq_source_of(view);
    struct pq_part *out = ARENA_NEW(a, struct pq_part);
    struct pq_env e = *p->env;
    e.a = a;
    e.src = &src.src;
    e.scatter = NULL;
    e.scatter_agg = NULL;
    e.fragment = true;
    e.notes = (struct pq_notes){ .a = a };
    *partial = out;
    if (p->ask == PQ_ASK_AGG) {
        TRY(fragment_agg(&e, p, &out->agg));
    } else if (p->ask == PQ_ASK_POINTS) {
        TRY(pq_eval_points(&e, p->node, &p->grid, &out->points, &out->npoints));
    } else if (p->ask == PQ_ASK_SAMPLES) {
        TRY(pq_eval_samples(&e, p->node, &p->grid, &out->points, &out->npoints));
    } else {
        struct pq_value v;
        TRY(pq_eval(&e, p->node, &p->grid, &v));
        out->rows = v.m;
    }
    out->notes = e.notes;
    out->samples = e.samples - p->env->samples;
    return arena_check(a);
}

const struct fragment_kind PROMQL_KIND = { .name = "promql", .fn = fragment, .plan_put = pq_plan_put, .plan_get = pq_plan_get,
                                           .plan_free = pq_plan_free, .partial_put = pq_part_put, .partial_get = pq_part_get };

/* -- the coordinator ------------------------------------------------------------------------------------ */
struct coordinator {
    struct query *q;
    struct scatter *kept; /* parts whose memory the answer uses */
    size_t nkept, cap;
};

static err_t ask_all(struct pq_env *e, enum pq_ask ask, const struct pq_node *n, const struct pq_grid *g,
                     struct scatter *sc)
{
    struct coordinator *c = e->ctx;
    struct pq_plan plan = { ask, e, n, *g };
    c->kept = arena_grow(e->a, c->kept, c->nkept, &c->cap, c->nkept + 1, sizeof *c->kept);
    TRY(scatter_run(c->q, &PROMQL_KIND, &plan, sc));
    c->kept[c->nkept++] = *sc;
    for (unsigned i = 0; i < sc->n; i++) {
        const struct pq_part *p = sc->partials[i];
        pq_notes_merge(&e->notes, &p->notes);
        if (ask != PQ_ASK_SAMPLES) e->samples += p->samples; /* those are counted when they are looked at */
    }
    return pq_limit_samples(e, e->samples);
}

static err_t scatter_rows(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct scatter sc;
    TRY(ask_all(e, PQ_ASK_ROWS, n, g, &sc));
    uint32_t total = 0;
    for (unsigned i = 0; i < sc.n; i++) total += ((const struct pq_part *)sc.partials[i])->rows.n;
    *out = (struct pq_matrix){ 0, total, ARENA_RAW(e->a, struct pq_row, total) };
    for (unsigned i = 0; i < sc.n; i++) {
        const struct pq_part *p = sc.partials[i];
        if (p->rows.n) memcpy(out->rows + out->n, p->rows.rows, sizeof *out->rows * p->rows.n);
        out->n += p->rows.n;
    }
    return OK;
}

static err_t scatter_groups(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_agg *out)
{
    struct scatter sc;
    TRY(ask_all(e, PQ_ASK_AGG, n, g, &sc));
    for (unsigned i = 0; i < sc.n; i++) TRY(pq_agg_merge(e, n, g, &((struct pq_part *)sc.partials[i])->agg, out));
    return OK;
}

static err_t scatter_points(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                            struct pq_points **out, uint32_t *nout)
{
    struct scatter sc;
    uint32_t total = 0;
    if (!n->local) return pq_eval_points(e, n, g, out, nout); /* a subquery over what is not local */
    TRY(ask_all(e, PQ_ASK_POINTS, n, g, &sc));
    for (unsigned i = 0; i < sc.n; i++) total += ((const struct pq_part *)sc.partials[i])->npoints;
    *out = ARENA_RAW(e->a, struct pq_points, total);
    *nout = 0;
    for (unsigned i = 0; i < sc.n; i++) {
        const struct pq_part *p = sc.partials[i];
        if (p->npoints) memcpy(*out + *nout, p->points, sizeof **out * p->npoints);
        *nout += p->npoints;
    }
    return OK;
}

static err_t ask_samples(void *ctx, const struct pq_node *range, const struct pq_grid *g, struct scatter *out)
{
    return ask_all(ctx, PQ_ASK_SAMPLES, range, g, out);
}

err_t pq_run(const struct pq_query *q, struct query *ctx, struct arena *a, struct pq_ast *ast, struct pq_result *out)
{
    struct coordinator *c = ARENA_NEW(a, struct coordinator);
    c->q = ctx;
    struct pq_env e = { .a = a, .scatter = scatter_rows, .scatter_agg = scatter_groups, .ctx = c };
    struct pq_joined joined;
    bool apart;
    TRY(query_apart(ctx, &apart));
    if (apart) {
        pq_joined_init(&joined);
        joined.ask = ask_samples;
        joined.ctx = &e;
        e.src = &joined.src;
        e.scatter = NULL;
        e.scatter_agg = NULL;
    }
    err_t err = pq_run_env(q, &e, ast, out, apart ? pq_eval_points : scatter_points);
    out->kept = c->kept;
    out->nkept = (uint32_t)c->nkept;
    return err;
}

void pq_result_free(struct pq_result *r)
{
    for (uint32_t i = 0; i < r->nkept; i++) scatter_free(&r->kept[i]);
    r->nkept = 0;
}
