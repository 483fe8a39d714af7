/* From some spans, log records or exemplars to all that belongs to them in the other signals.
 *
 * Four questions, each one scatter over the cores; what they return is in q->arena, but what a struct touched holds
 * beside it: touched_deinit, also after an error.
 *   corr_find       which traces have a span that satisfies a predicate: how many, the newest, the slowest
 *   corr_traces     these traces, whole, in a line each
 *   corr_logs       the records that satisfy a predicate: how many, by severity, by span, the first or last of them
 *   corr_exemplars  the newest exemplars of traces, or of jobs
 * and corr_metrics: the metrics of jobs. A trace, its logs and its exemplars are on one core: nothing moves but answers. */
#ifndef QUERY_CORRELATE_CORRELATE_H
#define QUERY_CORRELATE_CORRELATE_H

#include "query/correlate/touched.h"
#include "query/ops/expr.h"

struct corr_window { int64_t start_ns, end_ns; }; /* start <= time < end; INT64_MIN and INT64_MAX = open */

/* -- traces -------------------------------------------------------------------------------------------------------- */
enum {
    CORR_TRACES_MAX = 100,      /* picked or asked for */
    CORR_FOUND_MAX = 500000,    /* traces that a core counts */
    CORR_TRACE_SPANS_MAX = 100000, /* of one trace among several; one alone may be as large as any */
};
struct corr_pick {
    uint8_t id[16];
    bool error;             /* of a span that satisfies the predicate */
    int64_t first_ns, last_ns, slowest_ns; /* starts of those spans; longest of their durations */
};
struct corr_find_req {
    const struct expr *filter; /* over SIG_SPANS */
    const struct expr_builder *builder;
    struct corr_window window; /* of the spans' starts */
    uint32_t newest, slowest;  /* traces to pick; the sum at most CORR_TRACES_MAX */
};
struct corr_found {
    uint64_t total, errors;
    bool more;                 /* a core found more than CORR_FOUND_MAX: total and errors are those of the newest */
    uint32_t n;
    struct corr_pick *v;       /* newest first */
    struct touched touched;    /* by the spans */
};
MUST_CHECK err_t corr_find(struct query *q, const struct corr_find_req *rq, struct corr_found *out) MAY_YIELD;

struct corr_trace {
    uint8_t id[16];
    struct str root_service, root_name; /* empty: the root is not stored */
    int64_t start_ns, duration_ns;
    uint32_t spans, errors, nservices;
    struct str *services;
};
struct corr_traces_req {
    uint32_t n;
    const struct corr_pick *v;
    const uint8_t *span_id;    /* or NULL: only this span tells what was touched */
};
struct corr_traces {
    uint32_t n;                /* of those that are stored */
    struct corr_trace *v;      /* newest first */
    uint32_t too_large;        /* left out: over CORR_TRACE_SPANS_MAX spans */
    struct touched touched;
};
MUST_CHECK err_t corr_traces(struct query *q, const struct corr_traces_req *rq, struct corr_traces *out) MAY_YIELD;

/* -- logs ------------------------------------------------------------------------------------------------------------- */
enum { CORR_LOGS_MAX = 20, CORR_BODY_MAX = 4096, CORR_LOG_SPANS_MAX = 10000 };
enum corr_severity { SEV_UNSET, SEV_TRACE, SEV_DEBUG, SEV_INFO, SEV_WARN, SEV_ERROR, SEV_FATAL, SEVERITIES };
extern const char *const corr_severity_names[SEVERITIES];
struct corr_log {
    int64_t time_ns;
    struct str severity, service, body; /* body: at most CORR_BODY_MAX bytes of text, or JSON */
    bool has_trace, has_span;
    uint8_t trace_id[16], span_id[8];
};
struct corr_span_logs {
    uint8_t span_id[8];
    uint64_t n;
};
struct corr_logs_req {
    const struct expr *filter; /* over SIG_LOGS, the window in it */
    const struct expr_builder *builder;
    struct corr_window window;
    bool newest_first;         /* which records are shown, and in which order */
    bool by_span;
};
struct corr_logs {
    uint64_t total, errors;    /* errors: ERROR and FATAL */
    uint64_t by_severity[SEVERITIES];
    int64_t first_ns, last_ns; /* of all; INT64_MAX, INT64_MIN when there are none */
    uint32_t n;
    struct corr_log *v;        /* at most CORR_LOGS_MAX */
    uint32_t nspans;
    struct corr_span_logs *spans; /* by_span: at most CORR_LOG_SPANS_MAX a core */
    bool more_spans;
    struct touched touched;
};
MUST_CHECK err_t corr_logs(struct query *q, const struct corr_logs_req *rq, struct corr_logs *out) MAY_YIELD;

/* -- exemplars ---------------------------------------------------------------------------------------------------------- */
enum { CORR_EXEMPLARS_MAX = 20 };
struct corr_exemplar {
    struct labels labels;      /* of the series, __name__ among them */
    double value;
    int64_t time_ns;
    bool has_trace, has_span;
    uint8_t trace_id[16], span_id[8];
};
struct corr_exemplars_req {
    uint32_t ntraces;          /* of these traces; or, when 0: */
    const struct corr_pick *traces;
    const uint8_t *span_id;    /* or NULL: and of this span */
    const struct names *jobs;  /* of series with one of these jobs that name a trace */
    struct corr_window window;
};
struct corr_exemplars {
    uint64_t total;
    uint32_t n;
    struct corr_exemplar *v;   /* newest first */
};
MUST_CHECK err_t corr_exemplars(struct query *q, const struct corr_exemplars_req *rq, struct corr_exemplars *out) MAY_YIELD;

/* -- metrics ------------------------------------------------------------------------------------------------------------- */
enum { CORR_METRICS_MAX = 1000 };
struct corr_metric {
    struct str name, type, unit; /* type "unknown" without metadata */
    uint64_t series;
};
struct corr_metrics_req {
    const struct touched *touched;
    struct corr_window window;   /* series with samples about then */
};
struct corr_metrics {
    uint32_t n;
    struct corr_metric *v;     /* by name */
    bool more;                 /* of names, than CORR_METRICS_MAX */
    struct str query;          /* a PromQL selector of all those series; empty when nothing was touched */
};
/* Series whose job is one of those touched (and whose instance too, when there are any like that and
 * all are known), and series whose
 * service_name is one of the services. */
MUST_CHECK err_t corr_metrics(struct query *q, const struct corr_metrics_req *rq, struct corr_metrics *out) MAY_YIELD;

extern const struct fragment_kind CORR_FIND_KIND, CORR_TRACES_KIND, CORR_LOGS_KIND;

#endif
