/* The samples of selected series as they are stored, stale markers included: what remote read and federation answer from. */
#ifndef SERVER_API_PROMETHEUS_SAMPLES_H
#define SERVER_API_PROMETHEUS_SAMPLES_H

#include "server/api/prometheus_wire.h"

enum { PROM_RANGES_MAX = PROM_MATCH_MAX };

struct prom_range { /* series that match all, their samples in [tmin_ms, tmax_ms] */
    struct prom_matchers sel;
    int64_t tmin_ms, tmax_ms;
};
/* Bytes: u8 newest, varint samples_max, varint n; each: zigzag tmin, zigzag tmax, matchers. A partial: for each range points
 * (query/promql/wire.h). */
struct prom_ranges {
    bool newest;         /* of each series the last sample alone */
    int64_t samples_max; /* that may be read; 0: any number */
    uint32_t n;
    struct prom_range v[PROM_RANGES_MAX];
};
struct prom_points {
    struct pq_points *v;
    uint32_t n;
};

/* Of each range the series that have samples in it, ascending by labels, each once. Histograms are in the arena of the run or in *kept: scatter_free
 * when done with them, also after an error. ERR_LIMIT: more samples than samples_max. */
MUST_CHECK err_t prom_samples(struct prom_run *r, const struct prom_ranges *p, struct scatter *kept, struct prom_points **out) MAY_YIELD;

#endif
