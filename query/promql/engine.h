/* A PromQL query from its text to its value. */
#ifndef QUERY_PROMQL_ENGINE_H
#define QUERY_PROMQL_ENGINE_H

#include "query/promql/eval.h"

enum { PQ_STEPS_MAX = 11000, PQ_LOOKBACK_MS = 5 * 60 * 1000, PQ_SUBQUERY_STEP_MS = 60 * 1000 };

struct pq_query {
    struct str text;
    int64_t start_ms, end_ms, step_ms; /* instant: start = end = time, step unused */
    bool instant;
    int64_t lookback_ms;               /* 0 = PQ_LOOKBACK_MS */
    int64_t samples_max;               /* 0 = none */
};

struct scatter;
struct pq_result {
    struct pq_value value;
    struct pq_grid grid;
    struct pq_points *points;          /* PQ_MATRIX: the value of an instant query for a range vector */
    uint32_t npoints;
    struct pq_notes notes;
    int64_t samples;                   /* that were read */
    int64_t prepare_ns, eval_ns, sort_ns; /* time that it took; 0 outside of a fiber */
    struct str text;
    struct scatter *kept;              /* memory of the cores that the value uses: pq_result_free */
    uint32_t nkept;
};
void pq_result_free(struct pq_result *r);

/* A core's series as a source: as long as the view. */
struct pq_view_source {
    struct pq_source src;
    struct view *view;
};
struct pq_view_source pq_source_of(struct view *v);

/* Over one source, in place. The result lives in `a` (and ast: deinit it after use). */
MUST_CHECK err_t pq_run_local(const struct pq_query *q, struct pq_source *src, struct arena *a, struct pq_ast *ast,
                              struct pq_result *out) MAY_YIELD;
struct query;
/* Over the store: fragments on every core (distribute.c). Call pq_result_free before the arena goes, after an
 * error too. */
MUST_CHECK err_t pq_run(const struct pq_query *q, struct query *ctx, struct arena *a, struct pq_ast *ast,
                        struct pq_result *out) MAY_YIELD;
/* The common part: parse, prepare, evaluate with what `e` has for a source. */
MUST_CHECK err_t pq_run_env(const struct pq_query *q, struct pq_env *e, struct pq_ast *ast, struct pq_result *out,
                            err_t (*points)(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                            struct pq_points **out, uint32_t *n_out)) MAY_YIELD;

#endif
