/* Times of samples that series of a segment share, decoded once: what scrapes together is stored once, and read so. Of one view, in its memory:
 * columns stay as long as it. */
#ifndef STORAGE_SEG_TIMES_H
#define STORAGE_SEG_TIMES_H

#include "storage/seg_block.h"

enum {
    SEG_TIMES_MAX = 256,            /* columns of a view */
    SEG_TIMES_BYTES_MAX = 16 << 20, /* of them all; the times of further series are decoded for each */
};
struct seg_metric;
struct seg_times_column {
    uint32_t skip, n; /* how many samples of the first block lie before the range; how many in it */
    const int64_t *t; /* ascending */
};
struct seg_times {
    struct arena *a;
    struct seg_times_kept *kept[2 * SEG_TIMES_MAX]; /* by hash, open addressing */
    uint32_t n;
    size_t bytes;
};

/* The times in [tmin_ms, tmax_ms] of n > 0 blocks of a segment that stand in the same places; NULL: not yet seen. */
const struct seg_times_column *seg_times_find(const struct seg_times *x, const struct seg_metric *of, const struct seg_block *b, uint32_t n,
                                              int64_t tmin_ms, int64_t tmax_ms);
/* Keeps a copy of what was decoded of all blocks; NULL: no room, or they do not ascend. */
const struct seg_times_column *seg_times_keep(struct seg_times *x, const struct seg_metric *of, const struct seg_block *b, uint32_t n,
                                              int64_t tmin_ms, int64_t tmax_ms, const int64_t *t, uint32_t nt);

#endif
