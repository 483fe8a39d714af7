/* A native histogram as protobuf: the same fields under other numbers in what Prometheus stores and remote reads give
 * (prompb/types.proto, Histogram) and in what is scraped (io/prometheus/client/metrics.proto, Histogram). Counts that are all
 * integers are written as such, with deltas of buckets. */
#ifndef SERVER_API_PROMETHEUS_HIST_H
#define SERVER_API_PROMETHEUS_HIST_H

#include "query/promql/nhist_math.h"

struct prom_hist_form {
    uint8_t count, count_float, sum, schema, zero_threshold, zero, zero_float;
    uint8_t neg_span, neg_delta, neg_count, pos_span, pos_delta, pos_count;
    uint8_t hint, time, custom; /* 0: there is no such field */
    uint8_t bucket;             /* custom bounds as classic buckets: where there is no `custom` */
};
extern const struct prom_hist_form PROM_HIST_STORED, PROM_HIST_CLIENT;

/* The fields of one; t_ms where the form has a time. */
void prom_hist_put(struct buf *b, const struct pq_hist *h, int64_t t_ms, const struct prom_hist_form *f);
/* The runs of consecutive buckets: calls fn for each with its offset as spans have it: of the first its index, then the gap to
 * the one before. */
void prom_hist_spans(const struct pq_buckets *s, void (*fn)(void *ctx, int32_t offset, uint32_t length), void *ctx);
bool prom_hist_integers(const struct pq_hist *h);

#endif
