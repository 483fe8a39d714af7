/* Metric views into a metric batch, by Prometheus' rules for OTLP: the sink behind the OTLP metric walkers.
 *
 *  gauge, sum            one series; a monotonic sum is a counter
 *  histogram             <name>_bucket{le}, _count, and _sum when it was sent
 *  exponential histogram one native histogram; scales above 8 are merged down, below -4 rejected
 *  summary               <name>{quantile}, _sum, _count
 *  resource              job = service.namespace/service.name, instance = service.instance.id; all other attributes
 *                        on target_info = 1 from the earliest to the latest time of the resource's points, every
 *                        2.5 minutes and at the latest
 * otlp_mapping.h says what may be different: names, labels of resources and scopes, histograms as native ones.
 * Times are cut to milliseconds; time 0 (unknown) is the arrival. Cumulative points carry their start time.
 *
 * Delta points are stored as they are: a counter that begins anew, at the start time it carries, with every point. rate, increase and what is
 * built on them take a start time for a sample of zero (query/promql/rate.c), so they add up the deltas, and nothing need be remembered: points may come to
 * any node, in any order, before and after restarts. A start time that is not given, or not before the point, is taken to be 1 ms
 * before. The changes of a sum that is not monotonic are samples of a metric of unknown type: sum_over_time adds them up.
 * The flag "no recorded value" stores the staleness marker. Attributes that fall together under one label name are
 * joined with ';' in the order of their keys.
 *
 * A series whose attributes, as they stand in the request, resource and metric were seen before is found in a cache (rw_cache.h)
 * by their hashes: its labels are not made again.
 *
 * Rejected, point by point: unset temporality, names of which nothing is left, counts
 * that do not fit the bounds, bounds not ascending, too many labels or too long ones. */
#ifndef SERVER_INGEST_OTLP_POINTS_H
#define SERVER_INGEST_OTLP_POINTS_H

#include "server/ingest/metric_builder.h"
#include "server/ingest/otlp_mapping.h"
#include "server/ingest/otlp_view.h"
#include "server/ingest/rw_cache.h"

struct otlp_points {
    struct arena *arena;
    struct str request; /* for offsets in errors; empty for JSON */
    const struct otlp_mapping *map;
    struct rw_generation *known; /* pinned by the caller while the batch lives; NULL: no cache */
    int64_t now_ms;
    /* out */
    struct metric_builder builder;
    uint64_t accepted, rejected; /* points */
    char why[256];               /* the first rejection */
    /* own: the resource */
    struct label identity[2]; /* job, instance */
    uint32_t nidentity;
    struct label *promoted; /* of the resource, sorted by name */
    uint32_t npromoted;
    struct rw_key resource_key;
    /* own: the scope */
    struct label *scope; /* likewise */
    uint32_t nscope;
    struct rw_key scope_key; /* with the resource's */
    struct str target; /* canonical bytes of target_info; n == 0: none */
    int64_t first_ms, last_ms;
    /* own: the metric */
    struct otlp_metric metric;
    struct str name;
    struct rw_key metric_key; /* with the scope's */
    const char *fault; /* why all its points are rejected, or NULL */
    /* own: the point */
    const struct otlp_point *point;
    struct rw_key point_key; /* with the metric's */
    struct label *labels; /* with room for three more; NULL: not made yet */
    uint32_t nlabels;
};

void otlp_points_init(struct otlp_points *p, const struct otlp_mapping *map, struct arena *a, struct budget *budget, struct rw_generation *known,
                      struct str request, unix_ns now);
/* In a fiber, a walk into this sink yields when the fiber's quota is used up. */
struct otlp_sink otlp_points_sink(struct otlp_points *p);
/* Then metric_builder_finish(&p->builder) gives the batch. */
MUST_CHECK err_t otlp_points_finish(struct otlp_points *p);
void otlp_points_deinit(struct otlp_points *p);

#endif
