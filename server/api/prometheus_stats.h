/* The `stats` of a query's answer, as Prometheus words them (util/stats/query_stats.go there).
 *
 * totalQueryableSamples is how many samples the query looks at, step by step: of a selector one for each series that has a value, of a range those
 * in each window, of a subquery what its expression looks at in each of the subquery's steps that a window holds. A sample that two steps look at
 * counts twice, and what is evaluated once for all steps counts at each. The engine itself reads each sample about once, so these counts do not
 * come from it: for each selector of the query another one is run that counts, `sum_over_time((count(x))[1h:1m])` for x in a
 * subquery. A native histogram counts as one sample. samplesRead and peakSamples are what this engine read. */
#ifndef SERVER_API_PROMETHEUS_STATS_H
#define SERVER_API_PROMETHEUS_STATS_H

#include "server/api/prometheus_int.h"

struct prom_stats {
    bool wanted, each;    /* each: by step, `stats=all` */
    double *step;         /* samples looked at, one a step of the grid */
    uint64_t stored, bytes; /* what was read of the store: samples and bytes, for the query itself */
};
/* After the query, from its parameter `stats`: counts where it is wanted. ERR_LIMIT, ERR_TIMEOUT, ERR_CANCELED. */
MUST_CHECK err_t prom_stats_collect(struct prom_run *r, struct http_request *rq, const struct pq_query *q, const struct pq_result *res,
                                    const struct pq_node *root, struct prom_stats *out) MAY_YIELD;
void prom_stats_put(struct prom_run *r, const struct pq_result *res, const struct prom_stats *s);

#endif
