/* Writing the metrics of a tenant as a group of a segment (format: seg_metric.c): series in the order of their labels,
 * each with its settled samples, wherever they come from: a memtable (mem_metric_seal.c) or segments that are merged.
 * It cuts samples into blocks, shares equal times, and gathers the label values with their series. */
#ifndef STORAGE_SEG_METRIC_WRITE_H
#define STORAGE_SEG_METRIC_WRITE_H

#include "storage/metric_samples.h"
#include "storage/seg.h"

struct seg_metric_writer;
/* Borrows w. `budget` (may be NULL) is charged for what is gathered of the tenant at hand: its directory and its distinct
 * label values with their series. */
struct seg_metric_writer *seg_metric_writer_new(struct seg_writer *w, struct budget *budget);
void seg_metric_writer_free(struct seg_metric_writer *x);

/* Appends a series behind the last one, which seg_metric_order puts before it. Samples: settled, at least one.
 * Copies. ERR_CORRUPT when `canonical` is not what labels_encode makes. */
MUST_CHECK err_t seg_metric_writer_series(struct seg_metric_writer *x, struct str canonical, const struct sample_set *s) MAY_YIELD;
/* Writes the group of a tenant: nothing when there is neither a series nor metadata. The next series is another tenant's. */
MUST_CHECK err_t seg_metric_writer_finish(struct seg_metric_writer *x, struct str tenant, const struct metric_meta *meta,
                                          uint32_t nmeta) MAY_YIELD;

/* The order of series: by canonical bytes, label by label, so that like lies by like. Any bytes. */
int seg_metric_order(struct str a, struct str b);
/* Merge sort of numbers that lets others run: qsort over a million series would hold the core for seconds. */
typedef int metric_compare_fn(const void *ctx, uint32_t a, uint32_t b);
MUST_CHECK err_t metric_sort(uint32_t *v, uint32_t n, metric_compare_fn *cmp, const void *ctx) MAY_YIELD;

#endif
