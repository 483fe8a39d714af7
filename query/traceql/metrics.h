/* TraceQL metrics: time series computed from all spans that a query selects.
 *
 *   root    = metrics [ "with" "(" hint "=" static { "," ... } ")" ]
 *   metrics = unit { (+ | - | * | /) unit } { second }
 *   unit    = pipeline "|" first { second } | "(" metrics ")" | number
 *   first   = rate() | count_over_time() | {min,max,avg,sum}_over_time(f) | quantile_over_time(f, q, ...)
 *           | histogram_over_time(f)      each with [by(f, ...)], at most METRICS_BY_MAX labels
 *           | compare({ ... } [, topN [, start ns, end ns]])
 *   second  = "|" topk(n) | "|" bottomk(n) | CMP number
 * A pipeline stands in a unit of its own, without parentheses, or inside them: ({} | rate()) / ({} | rate()).
 *
 * Steps. The window is widened to whole steps, and by one more before it, as Tempo does: step i takes the spans whose
 * start lies in (left + i * step, left + (i + 1) * step] and is stamped with its right edge. An instant query is one
 * step that takes start and end in.
 *
 * What a step holds: rate and counts are 0 where there are no spans; all others have no sample there (Tempo says 0 for
 * quantiles). Durations are seconds. Sums are compensated (Neumaier) over integers of ns: exact to 2^53 ns, and beyond
 * to 1 ulp of the sum. Quantiles: loghist.h, off by at most 0.8 %, exact up to 32 spans a step. Histograms count
 * spans in powers of two, label __bucket = the upper bound, included (seconds for durations): exact.
 * compare() counts the values of every attribute of span and resource, and of name, kind, status and status message,
 * over the spans inside and outside of a selection: series with __meta_type baseline or selection for the topN most
 * frequent values of each attribute, baseline_total and selection_total for all of them.
 *
 * How. Where the columns alone tell which spans match (every filter on one span's own fields), spans are aggregated in
 * one pass over columns, group keys by dictionary code; else candidate traces (candidate.h) are evaluated whole, and
 * spans outside of the window by at most an hour take part in the structure. No span is sampled, so the hints
 * sample, span_sample and trace_sample change nothing. A span that was stored twice (sent twice, and the second time
 * not recognised as a retry) counts twice by columns, as in Tempo; search and whole traces show it once. */
#ifndef QUERY_TRACEQL_METRICS_H
#define QUERY_TRACEQL_METRICS_H

#include "query/traceql/traceql.h"

enum {
    METRICS_STEPS_MAX = 11000,
    METRICS_BY_MAX = 5,
    METRICS_QUANTILES_MAX = 16,
    METRICS_UNITS_MAX = 8,
    METRICS_GROUPS_MAX = 20000,  /* of one unit on one core, before topk and the like */
    METRICS_SERIES_MAX = 1000,   /* of an answer; beyond, it is partial */
    METRICS_EXEMPLARS_MAX = 100,
    COMPARE_TOP_MAX = 1000,
    COMPARE_VALUES_MAX = 4096,   /* of one attribute on one core: values met later count in the totals alone */
};

enum tql_metric_fn { TM_RATE, TM_COUNT, TM_MIN, TM_MAX, TM_AVG, TM_SUM, TM_QUANTILE, TM_HISTOGRAM, TM_COMPARE };
enum tql_second_kind { SECOND_TOPK, SECOND_BOTTOMK, SECOND_FILTER };
struct tql_second {
    enum tql_second_kind kind;
    uint32_t n;     /* topk, bottomk */
    enum tql_op op; /* filter: samples that do not satisfy `op than` go */
    double than;
    struct tql_second *next;
};
struct tql_unit { /* one pipeline with its function */
    struct tql_query *spans;
    enum tql_metric_fn fn;
    const struct tql_field *of; /* what is measured; NULL for rate, counts, compare */
    uint32_t nby, nquantiles;
    const struct tql_field *by[METRICS_BY_MAX];
    double quantiles[METRICS_QUANTILES_MAX];
    const struct tql_field *selection; /* compare; NULL = {} */
    uint32_t top;
    int64_t from_ns, to_ns;     /* of the selection, to_ns not included; 0, 0 = all */
};
struct tql_metric {
    enum tql_op op;           /* OP_NONE: the unit, or the number when unit is NULL */
    struct tql_metric *l, *r;
    struct tql_unit *unit;
    uint32_t unit_idx;
    double number;
    struct tql_second *second;
};
struct tql_metrics {
    struct str text;          /* that it was parsed from */
    struct tql_metric *root;
    uint32_t nunits;
    struct tql_unit *units[METRICS_UNITS_MAX];
    int64_t exemplars;        /* hint: -1 = none given */
};
/* Into the arena; tql_metrics_free afterwards. ERR_INVALID with position and what was expected. */
MUST_CHECK err_t tql_parse_metrics(struct str text, struct arena *a, struct tql_metrics **out);
void tql_metrics_free(struct tql_metrics *m);
const char *tql_metric_name(enum tql_metric_fn fn); /* "rate" */

/* -- the steps -------------------------------------------------------------------------------------------- */
struct metrics_range {
    int64_t left_ns;  /* not included */
    int64_t step_ns;
    uint32_t nsteps;
    int64_t stamp_ns; /* of step 0 */
    double rate_s;    /* seconds of a step */
};
/* ERR_INVALID when the window is empty or has more than METRICS_STEPS_MAX steps. */
MUST_CHECK err_t metrics_range_of(int64_t start_ns, int64_t end_ns, int64_t step_ns, struct metrics_range *out);
MUST_CHECK err_t metrics_range_instant(int64_t start_ns, int64_t end_ns, struct metrics_range *out);
int64_t metrics_default_step(int64_t start_ns, int64_t end_ns); /* about 240 points, in round figures */
static inline int64_t metrics_stamp(const struct metrics_range *r, uint32_t step)
{
    return r->stamp_ns + (int64_t)step * r->step_ns;
}

/* -- the answer ------------------------------------------------------------------------------------------- */
struct metrics_req {
    const struct tql_metrics *q;
    struct metrics_range range;
    uint32_t series_max, exemplars_max;
};
struct metrics_exemplar {
    uint8_t trace_id[16], span_id[8];
    int64_t start_ns;
    double value; /* what was measured; the duration in seconds where nothing was */
};
struct metrics_series {
    uint32_t nlabels;
    struct tattr *labels;
    struct str text;        /* {a="b", c="d"}: the order of series */
    double *values;         /* one a step; NaN = no sample */
    uint32_t nexemplars;
    struct metrics_exemplar *exemplars; /* ascending in time */
};
struct metrics_answer {
    uint32_t n;
    struct metrics_series *series; /* by text; none without samples */
    uint32_t left_out;      /* series beyond series_max */
};
/* Into q->arena. ERR_LIMIT past METRICS_GROUPS_MAX or the query's memory. */
MUST_CHECK err_t trace_metrics(struct query *q, const struct metrics_req *rq, struct metrics_answer *out) MAY_YIELD;

extern const struct fragment_kind TRACE_METRICS_KIND;

#endif
