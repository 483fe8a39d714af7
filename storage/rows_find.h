/* The rows of one trace in a group of a segment, of which the index of ids (seg_ids.h) named the blocks.
 *
 * All that is needed of the group is fetched at once: the ids of the blocks, and where the rows are wanted whole, the pieces
 * of all columns that hold these blocks. Then the ids are compared. So a look-up waits for the disk about three times
 * (index, pieces, what only the pieces tell), however many columns there are. */
#ifndef STORAGE_ROWS_FIND_H
#define STORAGE_ROWS_FIND_H

#include "storage/seg_rows.h"

struct rows_found {
    struct seg_rows dir;
    struct seg_reader from; /* with the bytes fetched */
    uint32_t *rows, n;      /* whose id it is, ascending */
    struct column **few;    /* a column of dir.rel[REL_ROWS]: of these rows alone; NULL = not read */
    uint64_t bytes;         /* fetched */
};
/* blocks: those of the group, numbered from its first row. All of *out lives in the arena. */
MUST_CHECK err_t rows_find(struct seg *seg, const struct seg_group *g, const uint32_t *blocks, uint32_t nblocks, struct str id,
                           bool whole, struct arena *a, struct rows_found *out) MAY_YIELD;

/* Runs fn(arg) in some fibers, at most ROWS_FIBERS and n, and waits for them. */
enum { ROWS_FIBERS = 16 };
MUST_CHECK err_t rows_in_fibers(uint32_t n, fiber_fn *fn, void *arg) MAY_YIELD;

#endif
