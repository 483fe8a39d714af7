/* What the three languages share: the context of one query, and scatter-gather over fragments.
 *
 * A fragment is the part of a plan that runs beside the data: `plan` is immutable and shared by all cores,
 * the fragment function runs once on each core over a view of that core's rows and leaves a mergeable partial
 * state; the coordinator merges the partials and finishes the answer. One node is the cluster of one: the
 * cluster sends the same plans (by their text and parameters) to nodes, which scatter them over their cores. */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "storage/view.h"

struct query_stats { _Atomic uint64_t rows, samples, bytes, groups_read, groups_skipped, lost, away; };

struct query {
    struct store *store;
    struct str tenant;
    struct arena *arena;      /* of the answer; coordinator's core */
    struct budget *budget;    /* of this query: ERR_LIMIT when it is used up */
    struct query_stats stats;
    bool admitted;            /* holds a permit (permit.h) */
    int64_t queued_ns;        /* how long it waited for it */
    struct cluster *cluster;  /* others may hold what is asked for; NULL: this node is asked alone */
    struct spread *spread;    /* spread.c's own */
    struct str lost_elsewhere; /* what no node can give, or another one said that it lacks */
    int64_t samples_max;      /* limits, checked by fragments; 0 = none */
    int64_t rows_max;
};

/* Opens a query of this fiber: its budget below `all`, its arena, its deadline (timeout_ns 0 = none). The three live
 * until query_end, which counts what was read and frees the answer; the fiber's error record outlives it. */
void query_begin(struct query *q, struct budget *one, struct arena *answer, struct budget *all, int64_t bytes_max,
                 int64_t timeout_ns);
void query_end(struct query *q);

/* Runs on one core, in a fiber of class RT_QUERY. Everything reachable from *partial lives in `a`, which the
 * coordinator frees when the query ends. */
typedef err_t fragment_fn(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial);

/* What travels between nodes: the plan there, the partial states back. Nodes of two versions meet: a form that changes gets
 * another name. Bytes come from a node of ours over a checked connection, yet nothing in them is believed: counts and depths are
 * checked, a partial that is wrong is ERR_CORRUPT. */
struct bytes_in;
struct buf;
struct fragment_kind {
    const char *name; /* on the wire: static, unique */
    fragment_fn *fn;
    void (*plan_put)(const void *plan, struct buf *out);
    /* Everything in q->arena, or owned by what plan_free frees. The bytes stay until then. */
    err_t (*plan_get)(struct query *q, struct bytes_in *in, const void **plan);
    void (*plan_free)(const void *plan); /* NULL: nothing to do. Not called when plan_get failed */
    void (*partial_put)(const void *plan, const void *partial, struct buf *out); /* as fn left it */
    /* Into the arena, nothing of the bytes is kept; `plan` is the coordinator's own. */
    err_t (*partial_get)(const void *plan, struct bytes_in *in, struct arena *a, void **partial);
    bool halves; /* of a trace of which two nodes have a side each its states make two: answers say so (query_apart) */
};

struct scatter { /* results of one scatter; one slot a core */
    unsigned n;
    void **partials;
    struct arena *arenas;
};
/* On error nothing is left to free. */
MUST_CHECK err_t scatter_run(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out) MAY_YIELD;
void scatter_free(struct scatter *s);

/* After a change of the cluster the sides of a trace or a series may lie on different nodes (cluster/read_plan.h). What sums up rows one
 * by one, or gives names, is merged as ever. What looks at a series or a trace as a whole is brought together here before it is looked
 * at: PromQL reads samples in place of the values of functions (query/promql/joined.h), and of traces the candidates are found on all
 * nodes, their spans fetched and built here (query/traceql/whole.h).
 * False where this node is asked alone. ERR_CANCELED, ERR_TIMEOUT, ERR_LIMIT. */
MUST_CHECK err_t query_apart(struct query *q, bool *apart) MAY_YIELD;
/* scatter_run, of a kind whose fn also works without a view (NULL), on the whole traces of all nodes: so it is called, once and here,
 * when they lie apart. */
MUST_CHECK err_t scatter_whole(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out) MAY_YIELD;
/* Setting query.encode_fragments: plans and partials of this node go through their bytes too, as if it were another one. */
void scatter_encode_always(bool on);

/* What the answer must say: empty, or a sentence about stored data that it lacks because it cannot be read. In q->arena. */
struct str query_lost_text(struct query *q);

#endif
