/* Evaluation of a PromQL tree over a grid of times.
 *
 * The value of a vector expression is a matrix: one row a series, one column a step. An instant query is a grid of one
 * step. Cells are floats, native histograms, or nothing. Names are dropped late: a row that must lose its
 * name carries drop_name, and pq_finish removes the names at the very end (Prometheus' delayed name removal).
 *
 * The same code runs at two places: on the coordinator, where env->scatter sends series-local subtrees (pq_node.local)
 * to the cores, and beside the data, where env->src reads the series of one core. Tests and a node
 * without a store set src alone. */
#ifndef QUERY_PROMQL_EVAL_H
#define QUERY_PROMQL_EVAL_H

#include "query/promql/func.h"
#include "query/promql/nhist_math.h"
#include "query/promql/notes.h"

enum { PQ_CELL_NONE = 0, PQ_CELL_FLOAT = 1, PQ_CELL_HIST = 2 };

struct pq_row {
    struct labels labels;
    bool drop_name;
    uint8_t *have;                /* PQ_CELL_*, one a step */
    double *v;
    const struct pq_hist **h;     /* NULL when the row has no histogram */
};
struct pq_matrix {
    uint32_t n;
    size_t cap;
    struct pq_row *rows;
};

struct pq_grid { /* times start, start + step, ... */
    int64_t start_ms, step_ms;
    uint32_t n;
};
static inline int64_t pq_grid_at(const struct pq_grid *g, uint32_t i) { return g->start_ms + g->step_ms * i; }

struct pq_samples { /* of one series, ascending; stale markers included */
    uint32_t n;
    const int64_t *t;
    const double *v;
    const struct pq_hist *const *h; /* NULL, or NULL/histogram a sample */
    const int64_t *st;              /* start timestamps; NULL when none, 0 = none */
    const struct metric_block *const *win; /* NULL, or of each NULL or the summary of which it is the last sample (struct samples) */
    bool times_stay, unmarked, rising;     /* as struct samples has them; false: not known */
};
struct pq_series {
    struct labels labels;           /* in the arena given to select */
    void *impl;
    int64_t resolution_ms;          /* of the coarsest summaries in the range; 0: none */
};

/* Where series come from. */
struct pq_source {
    err_t (*select)(struct pq_source *s, const struct matcher *m, uint32_t nm, int64_t tmin_ms, int64_t tmax_ms,
                    struct arena *a, struct pq_series **out, uint32_t *n) MAY_YIELD;
    /* Samples in [tmin, tmax]; they live in `scratch`, but for times that stay (struct samples), which live as long as the view. */
    err_t (*samples)(struct pq_source *s, const struct pq_series *series, int64_t tmin_ms, int64_t tmax_ms,
                     struct arena *scratch, struct pq_samples *out) MAY_YIELD;
    /* What is known of them without reading (metrics_pieces in storage/view.h); NULL: nothing. */
    err_t (*pieces)(struct pq_source *s, const struct pq_series *series, int64_t tmin_ms, int64_t tmax_ms, struct arena *scratch,
                    struct metric_piece **out, uint32_t *n) MAY_YIELD;
    /* metrics_resolution; NULL: nothing is downsampled. */
    err_t (*resolution)(struct pq_source *s, int64_t tmin_ms, int64_t tmax_ms, int64_t *out) MAY_YIELD;
};

struct pq_value {
    enum pq_type type;
    struct pq_matrix m;  /* PQ_VECTOR; PQ_MATRIX of a top-level range selector */
    double *scalar;      /* one a step */
    struct str str;
};

struct pq_agg;
struct pq_env {
    struct arena *a;
    struct pq_source *src;
    /* Runs a local subtree on all cores; NULL = evaluate here over src. */
    err_t (*scatter)(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out) MAY_YIELD;
    /* The same for an aggregation over a local subtree: merged groups. */
    err_t (*scatter_agg)(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_agg *out) MAY_YIELD;
    void *ctx;
    bool fragment;                     /* beside the data: results are parts that a coordinator finishes */
    struct pq_notes notes;
    struct str text;
    int64_t start_ms, end_ms, step_ms; /* of the whole query */
    bool instant;
    bool once;                         /* inside of what is evaluated once for all steps */
    int64_t lookback_ms, default_step_ms;
    int64_t samples, samples_max;      /* read so far; 0 = no limit */
};

/* ERR_LIMIT, with both numbers: n is more than samples_max. */
MUST_CHECK err_t pq_limit_samples(const struct pq_env *e, int64_t n);
/* Counts samples that were read against the query's limit. */
err_t pq_charge(struct pq_env *e, uint32_t samples);
/* Gives times that are the view's their own place, so that samples live as long as the arena. */
void pq_own_times(struct pq_samples *s, struct arena *a);
/* Samples without stale markers; in place of s when there is none. */
void pq_drop_stale(struct pq_samples *s, struct arena *scratch);
MUST_CHECK err_t pq_eval(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_value *out) MAY_YIELD;
/* Fills durations, offsets, @ start()/end(), invariance and locality. */
MUST_CHECK err_t pq_prepare(struct pq_env *e, struct pq_node *n);
void pq_mark_stats(struct pq_node *root, bool on);
/* Removes dropped names and merges rows that became equal; ERR_LIMIT-class execution error on overlap. */
MUST_CHECK err_t pq_finish(struct pq_env *e, const struct pq_grid *g, struct pq_value *v);

/* The same while names stay: functions that set labels may make rows equal. */
MUST_CHECK err_t pq_rows_merge(struct pq_env *e, const struct pq_grid *g, struct pq_matrix *m);

/* -- rows (rows.c) -------------------------------------------------------------------------------- */
struct pq_row *pq_row_add(struct arena *a, struct pq_matrix *m, struct labels labels, uint32_t steps);
static inline void pq_set_float(struct pq_row *r, uint32_t i, double v)
{
    r->have[i] = PQ_CELL_FLOAT;
    r->v[i] = v;
}
void pq_set_hist(struct arena *a, struct pq_row *r, uint32_t i, uint32_t steps, const struct pq_hist *h);
void pq_copy_cell(struct arena *a, struct pq_row *to, const struct pq_row *from, uint32_t i, uint32_t steps);
void pq_rows_trim(struct pq_matrix *m, uint32_t steps); /* drops rows without a cell */
struct labels pq_labels_copy(struct arena *a, const struct labels *l);
bool pq_labels_equal(const struct labels *x, const struct labels *y);
int pq_labels_cmp(const struct labels *x, const struct labels *y);
uint64_t pq_labels_hash(const struct labels *l);
bool pq_label_in(struct str name, const struct str *set, uint32_t n);
/* The labels in `set` (keep) or those not in it (drop), in the arena. */
struct labels pq_labels_pick(struct arena *a, const struct labels *l, const struct str *set, uint32_t n, bool keep);
struct labels pq_labels_set(struct arena *a, const struct labels *l, struct str name, struct str value);
struct labels pq_labels_unnamed(struct arena *a, const struct labels *l);
struct str pq_labels_text(struct arena *a, const struct labels *l); /* {__name__="n", a="b"} */

/* Index of rows by label set. */
struct pq_rowset {
    struct pq_matrix *m;
    struct htab index;
};
void pq_rowset_init(struct pq_rowset *s, struct pq_matrix *m);
void pq_rowset_deinit(struct pq_rowset *s);
struct pq_row *pq_rowset_get(struct pq_rowset *s, struct arena *a, struct labels labels, uint32_t steps);

/* Takes rows as they come: m and what it has are gone after the call, but for labels. e->a is where to keep things. */
struct pq_each {
    err_t (*rows)(struct pq_each *x, struct pq_env *e, const struct pq_matrix *m);
    struct arena mem; /* of the rows that are under way */
};
/* The rows of n: those of a selector, or of a function over its ranges, series by series; others at once. */
MUST_CHECK err_t pq_eval_each(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_each *each) MAY_YIELD;

/* -- parts of the evaluator ------------------------------------------------------------------------ */
/* With `each` rows go there, series by series; else NULL. */
MUST_CHECK err_t pq_eval_selector(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                  enum pq_fid what, struct pq_each *each, struct pq_matrix *out) MAY_YIELD; /* PQ_FUNC_COUNT: values */
MUST_CHECK err_t pq_eval_range_call(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                    struct pq_each *each, struct pq_matrix *out) MAY_YIELD;
/* The samples of a range selector or subquery at the top of an instant query; t in v, as rows of samples. */
struct pq_points {
    struct labels labels;
    bool drop_name;
    struct pq_samples s;
};
MUST_CHECK err_t pq_eval_points(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                struct pq_points **out, uint32_t *nout) MAY_YIELD;
/* The same of a range selector alone, with its stale markers. */
MUST_CHECK err_t pq_eval_samples(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                 struct pq_points **out, uint32_t *nout) MAY_YIELD;
MUST_CHECK err_t pq_eval_call(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                              struct pq_value *out) MAY_YIELD;
MUST_CHECK err_t pq_eval_info(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                              struct pq_matrix *out) MAY_YIELD;
MUST_CHECK err_t pq_eval_binary(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                struct pq_value *out) MAY_YIELD;
MUST_CHECK err_t pq_hist_function(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                  struct pq_matrix *out) MAY_YIELD; /* histogram_quantile(s), histogram_fraction */
double pq_binop_float(enum pq_op op, double l, double r, bool *keep);
double pq_quantile(double q, double *sorted_in_place, uint32_t n);
/* Compensated (Kahan-Neumaier); the mean goes on where the sum overflows. */
double pq_sum(const double *v, uint32_t n);
double pq_avg(const double *v, uint32_t n);

/* One series' window for a range function. */
struct pq_window {
    const int64_t *t;
    const double *v;
    const struct pq_hist *const *h; /* NULL when there are floats only */
    const int64_t *st;
    uint32_t n;
    uint32_t before, after;         /* samples that lie before and behind these in memory (anchored, smoothed) */
    int64_t start, end;             /* (start, end] ms */
    int64_t now;                    /* the step's time */
    bool anchored, smoothed;
};
struct pq_cell {
    int kind;
    double v;
    const struct pq_hist *h;
};
struct pq_range_ctx {
    struct pq_env *e;
    const struct pq_node *call;
    uint32_t arg_pos;               /* of the range argument, for annotations */
    struct str metric;
    double p1, p2;                  /* scalar parameters at this step */
    struct arena *scratch;
    struct pq_times *times;         /* windows of series before (windows.h), or NULL */
};
typedef err_t pq_range_fn(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out);
pq_range_fn *pq_range_function(enum pq_fid id);
err_t pq_extrapolated(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out);
/* What of a window rate, increase and delta are extrapolated from. */
struct pq_increase {
    double n;      /* samples */
    int64_t from, first_at, last_at; /* from: where it began to count; the first sample, or before it a start timestamp */
    double first, total;             /* first value; increase from `from` to the last sample */
};
/* What `total` is multiplied with, for the window (start, end]. */
double pq_extrapolate(enum pq_fid f, const struct pq_increase *x, int64_t start, int64_t end);
err_t pq_instant_rate(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out);
err_t pq_extended_rate(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out);
/* Histogram at `part` (0..1) of the way from h0 to h1; NULL when their layouts do not go together. A counter that was reset
 * between them grew from nothing. */
const struct pq_hist *pq_hist_between(struct pq_env *e, uint32_t pos, struct arena *a, const struct pq_hist *h0, const struct pq_hist *h1, double part,
                                      bool counter);
bool pq_range_keeps_name(enum pq_fid id);

/* Execution errors: 422 in Prometheus. */
#define pq_exec_error(...) err_set(ERR_LIMIT, __VA_ARGS__)
err_t pq_checkpoint(struct pq_env *e); /* yields in a fiber; deadline, cancel and memory */

#endif
