/* Which rows of a segment are dead: deleted by a query, and not yet gone from the file.
 *
 * A segment never changes; its dead rows stand beside it, a Roaring bitmap a row group, kept in the catalog (store_delete.c)
 * and attached to the open segment. Every reader that pins a segment pins its marks with it (view_open), and so sees a
 * delete either whole or not at all, rowset by rowset. struct seg_dead is immutable and counted, by one reactor: a new
 * mark makes a new one that shares the bitmaps of the other groups.
 *
 * Contract for whoever writes segments anew from others (compaction)
 *  1. Rows are read through a view, or the marks are taken with the segment (seg_dead_get(seg_dead_of(seg))) and
 *     applied with seg_dead_live; tombstones (tombstone.h) are the view's business too.
 *  2. Marks are added by who holds s->changing (store_int.h), as segments are swapped. Before store_swap, and with s->changing
 *     held since, seg_dead_of(seg) of each input must still be what was taken, on the core where it was (it is
 *     held, so its address cannot come back). If not, rows died meanwhile: the output is abandoned and the merge
 *     done again, or it would bring them back.
 *  3. Inputs on two sides of an unfinished deletion's generation are not merged with each other: store_delete_splits.
 *  4. Marks of segments that were swapped out go by themselves (dead_forget). */
#ifndef STORAGE_SEG_DEAD_H
#define STORAGE_SEG_DEAD_H

#include "storage/seg.h"

struct seg_dead;
/* NULL is a segment without dead rows, everywhere below. */
struct seg_dead *seg_dead_get(struct seg_dead *d);
void seg_dead_put(struct seg_dead *d);
/* Dead rows of a group. */
uint32_t seg_dead_count(const struct seg_dead *d, uint32_t group);
/* The rows of sel[0..n) (NULL: 0..n) that live, into out[n]; their number. */
uint32_t seg_dead_live(const struct seg_dead *d, uint32_t group, const uint32_t *sel, uint32_t n, uint32_t *out);

/* -- bytes of one group's marks, as the catalog has them -------------------------------------------------- *
 *   u32 version (1) | u32 rows of the group | u64 XXH3 of what follows | Roaring's portable form
 * At most 8,200 bytes and some, however many rows died. */
enum { SEG_DEAD_BYTES_MAX = 64 << 10 };
/* rows: any order, each < nrows. */
void seg_dead_encode(const uint32_t *rows, uint32_t n, uint32_t nrows, struct buf *out);
/* The union of two encodings, of which `old` may be empty; *fresh: how many rows of `more` were not in `old`. */
MUST_CHECK err_t seg_dead_unite(struct str old, struct str more, struct buf *out, uint32_t *fresh);
/* `old` with the marks of a group replaced by `bytes`; *out is another reference. */
MUST_CHECK err_t seg_dead_with(struct seg_dead *old, uint32_t group, uint32_t nrows, struct str bytes, struct seg_dead **out);

#endif
