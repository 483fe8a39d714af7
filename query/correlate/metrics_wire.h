/* The fragments of corr_metrics, and their forms in bytes (strings as query/ops/wire.h has them).
 *
 *   names    varint n, n strings
 *   metrics  plan: zigzag start, end of the window, names of services, jobs, instances. The matchers are made of them again.
 *            partial: u8 more, varint n; each: its name, varints of series by CORR_WAYS
 *   meta     plan: names of metrics. Partial, of each of them: u8 exact, type, unit */
#ifndef QUERY_CORRELATE_METRICS_WIRE_H
#define QUERY_CORRELATE_METRICS_WIRE_H

#include "query/correlate/correlate.h"

struct bytes_in;

/* instance: job and instance; service: the label service_name alone */
enum { CORR_BY_JOB, CORR_BY_INSTANCE, CORR_BY_SERVICE, CORR_WAYS };

struct corr_metrics_plan {
    const struct corr_metrics_req *rq;
    struct matcher job, service;
};
/* Matchers of rq->touched; corr_metrics_plan_end also after an error. */
MUST_CHECK err_t corr_metrics_plan_init(struct corr_metrics_plan *p, const struct corr_metrics_req *rq, struct arena *a);
void corr_metrics_plan_end(struct corr_metrics_plan *p);
struct corr_metrics_part {
    struct names names;
    uint64_t (*series)[CORR_WAYS]; /* a name */
    size_t cap;
    bool more;
};
void corr_metrics_plan_put(const void *plan, struct buf *out);
MUST_CHECK err_t corr_metrics_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void corr_metrics_plan_free(const void *plan);
void corr_metrics_part_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t corr_metrics_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

struct corr_described {
    struct str type, unit;
    bool exact;
};
void corr_meta_plan_put(const void *plan, struct buf *out); /* a struct names */
MUST_CHECK err_t corr_meta_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void corr_meta_plan_free(const void *plan);
void corr_meta_part_put(const void *plan, const void *partial, struct buf *out); /* a struct corr_described a name */
MUST_CHECK err_t corr_meta_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

/* A set of names, its index too: names_deinit, also after an error. At most `max`. */
void corr_names_put(struct buf *out, const struct names *n);
void corr_names_get(struct bytes_in *in, uint32_t max, struct arena *a, struct names *n);

#endif
