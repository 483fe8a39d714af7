/* Reading many parts of a segment: fetched together, taken apart and verified one by one. */
#ifndef STORAGE_SEG_READER_H
#define STORAGE_SEG_READER_H

#include "storage/seg.h"

/* A segment of which some bytes are at hand already: what is read from it is taken from these, or else from the file. */
struct seg_range {
    uint64_t off;
    uint64_t n;
    const char *p;
};
struct seg_reader {
    struct seg *seg;
    struct seg_range *have; /* ascending, apart from each other; not verified yet */
    uint32_t nhave;
};
/* Fetches the ranges (in any order) at once into the arena; those that lie close together with what lies between them.
 * Once a reader. */
MUST_CHECK err_t seg_fetch(struct seg_reader *r, struct seg_range *wanted, uint32_t n, struct arena *a) MAY_YIELD;
/* Are these bytes at hand? */
bool seg_reader_has(const struct seg_reader *r, uint64_t off, uint64_t n);
/* As seg_read; *out may be a view of what is at hand. */
MUST_CHECK err_t seg_reader_chunk(const struct seg_reader *r, const struct seg_chunk *c, struct arena *a, struct str *out) MAY_YIELD;
/* Bytes [from, to) of a chunk, whose XXH3 has that lower half. */
MUST_CHECK err_t seg_reader_piece(const struct seg_reader *r, const struct seg_chunk *c, uint32_t from, uint32_t to,
                                  uint32_t check, struct arena *a, struct str *out) MAY_YIELD;

#endif
