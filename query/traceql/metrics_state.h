/* What one core knows of a unit of a metrics query, and how such states merge: groups, each with a cell a step.
 *
 * A group is a tuple of value numbers, one a label (tval_set.h; 0 = no value). Rows come in batches, from columns
 * (metrics_scan.c) or from whole traces (metrics_trace.c): step, measured value and value numbers of each. Cells
 * come in pages of METRICS_PAGE steps, made when first hit, so that many groups with few spans stay small.
 *
 * Exemplars: the window is cut into `slots`, and each group keeps one span a slot: the one whose start hashes least,
 * a fair sample that is the same in whatever order the spans come. Rows of columns are only noted (place, row) and
 * looked up at the end (metrics_scan.c). */
#ifndef QUERY_TRACEQL_METRICS_STATE_H
#define QUERY_TRACEQL_METRICS_STATE_H

#include "query/ops/loghist.h"
#include "query/ops/vec.h"
#include "query/traceql/candidate.h"
#include "query/traceql/metrics.h"
#include "query/traceql/tval_set.h"

enum { METRICS_PAGE = 16, METRICS_BUCKETS_END = 3025 /* the last number of a histogram's bucket */ };
enum cell_kind { CELL_COUNT, CELL_MOMENTS, CELL_HIST };
struct cell_moments { /* uint64_t for CELL_COUNT, struct loghist for CELL_HIST */
    uint64_t n;
    double v, c; /* least, greatest, or sum and what it lost to rounding */
};

struct metrics_plan { /* of one unit; shared by all cores */
    const struct tql_metrics *q;
    uint32_t unit_idx;            /* of u in q */
    const struct tql_unit *u;
    struct metrics_range range;
    enum cell_kind cells;
    uint32_t nkeys;               /* labels: by(), and the bucket of a histogram */
    uint32_t slots;               /* of exemplars, a group; 0 = none wanted */
    uint32_t exemplars_max;
    bool columnar;
    struct expr_builder builder;  /* columnar: */
    const struct expr *filter;    /* NULL = all */
    const struct expr *selection; /* of compare(); NULL = all */
    struct candidate_plan candidates; /* else */
};

/* Into the arena; metrics_plan_free also after an error. */
MUST_CHECK err_t metrics_plan_make(struct metrics_plan *p, const struct tql_metrics *q, uint32_t unit_idx,
                                   const struct metrics_range *range, uint32_t exemplars_max, struct arena *a);
void metrics_plan_free(struct metrics_plan *p);

struct mexemplar {
    uint32_t prio;   /* the least wins */
    bool used;
    uint32_t place, row; /* of a column scan, until resolved */
    struct metrics_exemplar x;
};
struct mgroup {
    uint32_t ids[METRICS_BY_MAX];
    void **pages;          /* by step / METRICS_PAGE; NULL = no span there */
    struct mexemplar *ex;  /* slots of them, or NULL */
};
struct mstate {
    const struct metrics_plan *p;
    struct arena *a;
    struct tval_set values[METRICS_BY_MAX]; /* of by(): values[k].v[id - 1] */
    struct mgroup *groups;
    size_t cap;
    uint32_t n;
    struct htab by_ids;
    uint32_t last;         /* group found last */
    uint32_t *direct;      /* one label: id -> 1 + group */
    size_t direct_cap;
};
void mstate_init(struct mstate *st, const struct metrics_plan *p, struct arena *a);
void mstate_deinit(struct mstate *st); /* the indexes; what was found stays in the arena */
/* The number of a value as a label: 0 = none. */
static inline uint32_t label_number(struct tval_set *values, const struct tval *v)
{
    return v->type == TV_NIL ? 0 : 1 + tval_set_add(values, *v);
}

struct mbatch { /* rows to count; arrays of VEC_MAX */
    uint32_t n;
    uint32_t *step;                /* < nsteps */
    double *val;                   /* measured, never NaN; unread where nothing is */
    uint32_t *ids[METRICS_BY_MAX]; /* of by() */
    uint32_t *group;               /* scratch */
    const int64_t *start;          /* NULL: no exemplars from these */
    uint32_t place;                /* of columns: */
    const uint32_t *row;
    const struct tspan *const *span; /* of traces: */
};
void mbatch_init(struct mbatch *b, struct arena *a);
MUST_CHECK err_t mstate_add(struct mstate *st, struct mbatch *b);
/* n spans more in one group and step of a count. */
MUST_CHECK err_t mstate_add_count(struct mstate *st, uint32_t step, uint64_t n);
/* The cell, or NULL where nothing is. */
static inline const void *mstate_cell(const struct mgroup *g, uint32_t step, size_t cell_size)
{
    const char *page = g->pages ? g->pages[step / METRICS_PAGE] : NULL;
    return page ? page + (step % METRICS_PAGE) * cell_size : NULL;
}
/* Step of a start, or UINT32_MAX outside of the window. */
static inline uint32_t metrics_step(const struct metrics_range *r, int64_t start_ns)
{
    uint64_t since = (uint64_t)start_ns - (uint64_t)r->left_ns - 1;
    uint64_t step = since / (uint64_t)r->step_ns;
    return start_ns > r->left_ns && step < r->nsteps ? (uint32_t)step : UINT32_MAX;
}

/* `from` is taken apart; its arena must outlive `into`. */
MUST_CHECK err_t mstate_merge(struct mstate *into, struct mstate *from) MAY_YIELD;
/* At most max exemplars stay in use, every group giving in turn; one a trace when the ids are known. */
void mstate_thin(struct mstate *st, uint32_t max, bool resolved);
/* A histogram's bucket: its number as the last label, and its upper bound, included. */
uint32_t metrics_bucket(double v);
double metrics_bucket_bound(uint32_t id);

/* -- states that come as bytes (metrics_wire.c) ------------------------------------------------------------------ */
/* The group of these value numbers, made if need be. ERR_LIMIT past METRICS_GROUPS_MAX. */
MUST_CHECK err_t mstate_group(struct mstate *st, const uint32_t *ids, uint32_t *out);
size_t metrics_cell_size(enum cell_kind k);

/* -- fragments ------------------------------------------------------------------------------------------------ */
MUST_CHECK err_t metrics_scan(struct query *q, struct view *v, const struct metrics_plan *p, struct mstate *st) MAY_YIELD;
MUST_CHECK err_t metrics_trace(struct query *q, struct view *v, const struct metrics_plan *p, struct mstate *st) MAY_YIELD;
MUST_CHECK err_t metrics_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

#endif
