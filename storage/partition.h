/* The key of a row: which partition, and so which core, owns it. Computed from the row, never stored. */
#ifndef STORAGE_PARTITION_H
#define STORAGE_PARTITION_H

#include "storage/metric.h"
#include "storage/signal.h"

/* Writes the partition of every row of a spans, logs, docs or exemplars table. Spans and exemplars: trace id
 * (exemplars without: series id); logs: trace id, else the bytes of the row's resource and scope; docs: source. */
void partition_rows(struct str tenant, enum signal signal, const struct table *t, uint32_t partitions,
                    uint32_t *out);
static inline uint32_t partition_series(struct str tenant, hash128 id, uint32_t partitions)
{
    return partition_of(tenant, id.lo, partitions);
}

#endif
