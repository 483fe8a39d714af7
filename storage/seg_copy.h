/* A row group taken over into another segment as it is: its chunks byte for byte, each with its checksum verified on the way, its
 * directory with the chunks' new places. Nothing is decoded but the column of trace ids, which the new segment's index needs;
 * the words of logs and documents come with their section (seg_writer_section), which the caller copies first.
 * Measured (bench_merge 400000 8: full groups): 70 to 110 ns of CPU a row, where joining groups takes 0.6 to 1.4 us. */
#ifndef STORAGE_SEG_COPY_H
#define STORAGE_SEG_COPY_H

#include "storage/seg.h"

/* section: where the words of a log or document group are in w; 0 of the other signals. ERR_CORRUPT names file and offset. */
MUST_CHECK err_t seg_copy_rows(struct seg_writer *w, struct seg *from, const struct seg_group *g, uint32_t section,
                               struct budget *budget) MAY_YIELD;

#endif
