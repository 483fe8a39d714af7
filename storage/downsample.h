/* Downsampling: of a series' samples that are old enough by its rule of retention (struct keep_level), those of a window become one summary:
 * how many, sum, least, greatest, first and last with their times, and what a counter lost by resets. Done when segments are
 * merged (seg_merge_metric.c); pure.
 *
 * Windows are (k - 1, k] times the resolution since 1970, as PromQL's ranges are: what is asked for a range that begins and ends at windows' ends is
 * exact. Done when the end of a window is older than the level says; the coarsest level that is due counts.
 * - Samples that come late, into a window that is a summary by then, stand beside it until the next merge takes them in: they count as more
 *   samples of it. One that was summed up and is sent again counts again.
 * - A window in which a float is no finite number stays as it is, but for stale markers: one that ends a window stays, others go.
 * - Another start timestamp begins another summary.
 * - Of native histograms the first and the last of a window stay, and the two at a reset. They are samples as before.
 * - A series of which no window has two samples stays as it is.
 *
 * - A deletion of a range takes the summaries whose last samples it covers, whole.
 *
 * Measured (downsample_test: values of samples 15 s apart in windows of 5 minutes, bytes a sample that went in, before and after): counters
 * with resets 1.69, 0.74; with start timestamps 2.18, 0.73; gauges of two decimals 1.88, 0.71; full doubles 5.77, 1.31. */
#ifndef STORAGE_DOWNSAMPLE_H
#define STORAGE_DOWNSAMPLE_H

#include "storage/metric_samples.h"
#include "storage/retention_rules.h"

/* s: settled. *out may share its memory. */
void downsample(const struct sample_set *s, const struct keep_rule *r, int64_t now_ns, struct arena *a, struct sample_set *out);

#endif
