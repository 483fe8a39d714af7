/* The list of a series' blocks inside its page (seg_metric.c), and what each block's summary says of its values, so that a
 * query over whole blocks reads no data. Pure: bytes to structs and back.
 *
 *   block   = u8 head | [varint n, unless 1,024] | zigzag tmin - tmax of the block before (of the first: the series' tmin)
 *             | varint tmax - tmin | [varint bytes of values, unless the last: what is left] | [varint bytes of start timestamps]
 *             | [varint offset of times, unless behind those of the block before] | varint bytes of times | summary
 *   summary = varint stale markers                                         where a value is no finite number
 *           | u8 kind | zigzag first, zigzag last - first, varint below, varint above, zigzag sum, [varint resets]     decimals
 *           | u8 kind | 8 bytes each: first, last, min, max, sum, [resets]                                    other doubles
 * Of decimals all are integers, the value times 10^exponent: below = lower of first and last - min, above = max - the higher
 * one, sum is stored less n * (first + last) / 2. A histogram's block has no summary. A block of summaries (downsample.h) has "other
 * doubles", and behind its n, which counts them, varint resolution | varint samples - n; its tmin is the first sample of the first. Offsets count through all chunks of data,
 * and of times. */
#ifndef STORAGE_SEG_BLOCK_H
#define STORAGE_SEG_BLOCK_H

#include "storage/col_codec.h"
#include "storage/view.h"

struct seg_block {
    struct metric_block is;
    uint32_t n;          /* of samples, or of summaries: whose times and values are stored */
    bool hist;
    int exponent;        /* decimals, of which sum and resets are the sums as integers; -1: other doubles */
    int64_t sum, resets;
    uint64_t data, data_size, starts_size; /* start timestamps stand behind the data; 0: none */
    uint64_t times, times_size;
};

/* The summary of n float values, which sample_f64_encode made `coded` of. */
void seg_block_summary(const double *v, uint32_t n, const uint8_t *coded, struct seg_block *b);

/* Both sides step through a list alike. */
struct seg_blocks {
    int64_t tmax;             /* of the block before */
    uint64_t data, data_end;  /* where the next block's data begins, where the series' ends */
    uint64_t times;           /* where the times of the block before end */
    struct cur in;
};
void seg_block_put(struct seg_blocks *at, const struct seg_block *b, bool last, struct buf *out);
/* False in *more at the end. ERR_CORRUPT for bytes that no writer made. */
MUST_CHECK err_t seg_block_get(struct seg_blocks *at, struct seg_block *b, bool *more);

#endif
