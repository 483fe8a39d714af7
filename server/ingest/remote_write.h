/* Prometheus remote write 1.0 (prometheus.WriteRequest) and 2.0 (io.prometheus.write.v2.Request) into a metric batch.
 * Field numbers: prompb/types.proto and prompb/io/prometheus/write/v2/types.proto; `created_timestamp` (6 of a 2.0
 * TimeSeries, from its release candidates) serves samples that have no start timestamp of their own.
 *
 * Out-of-order and repeated samples are taken. A series, sample or histogram that can never be stored (bad labels, broken
 * histogram) is left out and named; the rest is stored: the answer is then 400, which clients do not retry.
 * Malformed protobuf or snappy refuses the whole request. */
#ifndef SERVER_INGEST_REMOTE_WRITE_H
#define SERVER_INGEST_REMOTE_WRITE_H

#include "server/ingest/metric_builder.h"
#include "server/ingest/rw_cache.h"

enum { RW_BODY_MAX = 64 << 20, RW_SYMBOLS_MAX = 4 << 20 };

struct rw_stats {
    uint64_t samples, histograms, exemplars; /* taken */
    uint64_t bad;                            /* series, histograms or exemplars left out */
    char why[256];                           /* the first of them */
};

/* The snappy block's declared length is checked before anything is allocated. */
MUST_CHECK err_t rw_uncompress(struct str body, struct arena *a, struct str *out);
/* `g` stays pinned as long as the batch lives. */
MUST_CHECK err_t rw_decode_v1(struct str request, struct rw_generation *g, struct metric_builder *b, struct rw_stats *st);
MUST_CHECK err_t rw_decode_v2(struct str request, struct rw_generation *g, struct metric_builder *b, struct rw_stats *st);

#endif
