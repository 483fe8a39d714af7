/* The memtable of series and samples, one a core and generation. Owned by one reactor. */
#ifndef STORAGE_MEM_METRIC_H
#define STORAGE_MEM_METRIC_H

#include "storage/metric.h"
#include "storage/seg.h"

struct mem_metric;
struct mem_metric *mem_metric_new(struct budget *budget);
void mem_metric_free(struct mem_metric *m);
/* mine[i] != 0: series i of the batch belongs here; NULL = all. Copies what it keeps. Metadata and exemplars
 * are the caller's business, except that metadata goes to mem_metric_meta. */
void mem_metric_insert(struct mem_metric *m, struct str tenant, const struct metric_batch *b, const uint8_t *mine);
void mem_metric_meta(struct mem_metric *m, struct str tenant, const struct metric_meta *meta, uint32_t n);
bool mem_metric_empty(const struct mem_metric *m);
/* One group a tenant: series table, postings, blocks. Readable meanwhile. */
MUST_CHECK err_t mem_metric_seal(struct mem_metric *m, const struct tenant_pick *pick, struct seg_writer *w) MAY_YIELD;

#endif
