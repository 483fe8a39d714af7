/* The data of a block of summaries (downsampled samples): of each of n windows what struct metric_block says, column by column. The times of
 * the windows' last samples, and start timestamps, stand where those of samples do (seg_metric.c).
 *
 *   data = u8 columns | last | first | sum | [min] | [max] | [resets] as sample_f64 | rise | count as sample_i64
 * rise: last sample's time less the first one's. Columns that follow from others are left out: min where it is the first value of all
 * windows, or the last of all (a counter, falling or rising), max likewise; resets where there are none, or where more than half of the windows
 * have some: that is a gauge, and nobody asks for its resets. Measured: see downsample.h. */
#ifndef STORAGE_SEG_COARSE_H
#define STORAGE_SEG_COARSE_H

#include "base/core/arena.h"
#include "base/core/buf.h"
#include "storage/view.h"

/* n in 1..COL_SAMPLE_MAX. Appends. */
void seg_coarse_encode(const struct metric_block *const *win, uint32_t n, struct buf *out);
/* What all of them come to, as the list of blocks has it: counts, first, last, min, max, sum, resets. */
void seg_coarse_summary(const struct metric_block *const *win, uint32_t n, struct metric_block *out);
/* Of windows of that width whose last samples are at t: into win[0..n), values of the last samples into v. ERR_CORRUPT for bytes that no
 * writer made. */
MUST_CHECK err_t seg_coarse_decode(struct str bytes, uint32_t n, int64_t resolution_ms, const int64_t *t, struct arena *a,
                                   const struct metric_block **win, double *v);

#endif
