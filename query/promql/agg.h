/* Aggregation as mergeable states: one a group and step. Cores fill partial states beside the data, the coordinator
 * merges them and finishes; a node without scatter does both in place. */
#ifndef QUERY_PROMQL_AGG_H
#define QUERY_PROMQL_AGG_H

#include "query/promql/eval.h"

struct pq_agg_rest { /* of a step, what few have */
    double mean, mean_c;      /* running mean: avg after overflow, stddev */
    uint32_t hists;
    bool running;             /* avg: v overflowed, mean counts */
    bool broken;              /* layouts that do not add up */
    bool reset, not_reset;    /* counter reset hints seen */
    struct pq_hacc *h;
};
struct pq_agg_group { /* columns: one value a step */
    struct labels labels;
    bool drop_name;
    uint32_t *floats;
    double *v, *c;            /* sum or extremum or M2, and its compensation */
    struct pq_agg_rest *rest; /* NULL: nothing yet */
};
struct pq_agg_cell { /* the state of a step, for who writes it down */
    uint32_t floats;
    double v, c;
    struct pq_agg_rest rest;
};
struct pq_agg_cell pq_agg_get(const struct pq_agg_group *g, uint32_t i);
void pq_agg_set(struct arena *a, struct pq_agg_group *g, uint32_t steps, uint32_t i, const struct pq_agg_cell *c);
void pq_agg_columns(struct arena *a, struct pq_agg_group *g, uint32_t steps); /* of untouched states */
enum { PQ_AGG_STEP_BYTES = sizeof(uint32_t) + 2 * sizeof(double) }; /* of them, but for the rest */
struct pq_agg {
    uint32_t n;
    size_t cap;
    struct pq_agg_group *groups;
    struct htab index;
};

/* Can the operator be merged from partial states? */
bool pq_agg_mergeable(enum pq_aggop op);
void pq_agg_init(struct pq_agg *s);
void pq_agg_deinit(struct pq_agg *s);
/* Evaluates what n aggregates, and adds it: a row at a time where rows come so, without keeping them. */
MUST_CHECK err_t pq_agg_eval(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_agg *s) MAY_YIELD;
/* `from` may live elsewhere: everything is copied into e->a. */
MUST_CHECK err_t pq_agg_merge(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                              const struct pq_agg *from, struct pq_agg *into);
void pq_agg_finish(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_agg *s,
                   struct pq_matrix *out);
struct labels pq_group_labels(struct arena *a, const struct pq_node *agg, const struct labels *l);
MUST_CHECK err_t pq_eval_agg(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                             struct pq_matrix *out) MAY_YIELD;

#endif
