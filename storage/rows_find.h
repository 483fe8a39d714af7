/* The rows of traces in a group of a segment, which the index of ids (seg_ids.h) named.
 *
 * All that is needed of the group is fetched at once: the ids of the rows, and where the rows are wanted whole, the pieces
 * of all columns that hold them. Then the ids are compared: hashes may be equal. So a look-up waits for the disk about three times
 * (index, pieces, what only the pieces tell), however many columns there are. */
#ifndef STORAGE_ROWS_FIND_H
#define STORAGE_ROWS_FIND_H

#include "storage/seg_rows.h"

struct rows_found {
    struct seg_rows dir;
    struct seg_reader from; /* with the bytes fetched */
    uint32_t *rows, n;      /* whose id is one of those, ascending */
    struct column **few;    /* a column of dir.rel[REL_ROWS]: of these rows alone; NULL = not read */
    uint64_t bytes;         /* fetched */
};
struct rows_ids { /* of traces, ascending as bytes */
    const uint8_t (*v)[16];
    uint32_t n;
};
/* rows: those named, ascending, numbered from the group's first. All of *out lives in the arena. */
MUST_CHECK err_t rows_find(struct seg *seg, const struct seg_group *g, const uint32_t *rows, uint32_t nrows, struct rows_ids ids,
                           bool whole, struct arena *a, struct rows_found *out) MAY_YIELD;

/* Runs fn(arg) in some fibers, at most ROWS_FIBERS and n, and waits for them. */
enum { ROWS_FIBERS = 16 };
MUST_CHECK err_t rows_in_fibers(uint32_t n, fiber_fn *fn, void *arg) MAY_YIELD;

#endif
