/* A batch: the rows of one request for one tenant and signal; the unit of the WAL, of replication and of
 * acknowledgement. It never changes once built. */
#ifndef STORAGE_BATCH_H
#define STORAGE_BATCH_H

#include "storage/metric.h"
#include "storage/signal.h"

enum { BATCH_TABLES_MAX = 1024 };

struct batch {
    struct str tenant;
    enum signal signal;
    struct str index;   /* SIG_DOCS: the index id; else empty */
    hash128 content;    /* hash of (tenant, path, body) for retry de-duplication; zero = never de-duplicated */
    uint32_t ntables;   /* rows signals */
    struct table **tables;
    struct metric_batch *metrics; /* SIG_METRICS */
    uint64_t nrows;     /* spans, records, documents, or samples: for counters */
};

#endif
