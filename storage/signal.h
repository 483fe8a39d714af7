/* Signals, tenants and partitions: what every key, batch, segment and query carries. */
#ifndef STORAGE_SIGNAL_H
#define STORAGE_SIGNAL_H

#include "base/core/err.h"
#include "base/core/str.h"

enum signal {
    SIG_METRICS = 1,   /* series and samples: storage/metric.h */
    SIG_SPANS = 2,     /* rows: storage/table.h */
    SIG_LOGS = 3,
    SIG_DOCS = 4,      /* JSON documents of a user's index; carries the index id */
    SIG_EXEMPLARS = 5, /* rows: series labels, time, value, trace_id, span_id, attributes */
};

/* A tenant id as Cortex and Mimir accept it: 1-150 of [A-Za-z0-9!-_.*'()], not "." or "..".
 * ERR_INVALID names what is wrong. */
enum { TENANT_MAX = 150 };
#define TENANT_DEFAULT STR("anonymous")
MUST_CHECK err_t tenant_check(struct str tenant);

/* Some of the tenants; a NULL pick is all of them. */
struct tenant_pick {
    bool (*in)(const void *ctx, struct str tenant);
    const void *ctx;
};
static inline bool tenant_picked(const struct tenant_pick *p, struct str tenant)
{
    return !p || p->in(p->ctx, tenant);
}

/* partition = hash(tenant, key) of a fixed number of partitions (a power of two, fixed when the data
 * directory is made); the key is the trace id of spans, exemplars and logs that have one, the stream (hash
 * of resource + scope) of logs without, the label set of series, the bytes of a document. Computed,
 * never stored. core = partition % cores, so that it is a function of the row on any core count. */
enum { PARTITIONS_DEFAULT = 64 };
uint32_t partition_of(struct str tenant, uint64_t key_hash, uint32_t partitions);

#endif
