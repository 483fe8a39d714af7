/* What was read from the bucket, kept on the local disk: pieces of objects in one file a core, cache/<core> in the data
 * directory, with a budget. It belongs to a core and serves that core's readers.
 *
 *   slot      OBJECT_PIECE bytes of the file; free -> being fetched -> full -> free. Who fetches or reads holds it (pins)
 *   read      for the pieces of all ranges, some at a time: those that are here are pinned; runs of neighbours that are
 *             not are fetched with one request each, several at once; a piece that another reader is fetching
 *             is waited for
 *   eviction  a clock over the slots: one that was read since the hand last passed stays, a pinned one too; one of an index
 *             (object_cache_stay) stays for OBJECT_STAY passes, so that scans do not push it out. With no slot free to take, a
 *             piece is read past the cache
 *   restart   the file begins empty: what is in it is known in memory only
 * Objects never change, so nothing here goes stale. The bytes are verified by who reads them (a segment's own checksums), who says
 * so when they are wrong (object_cache_forget). A disk that is full or fails leaves pieces uncached, nothing else.
 *
 * Memory: a window of OBJECT_WINDOW pieces a reader at most, and 40 bytes a slot. */
#ifndef STORAGE_OBJECT_CACHE_H
#define STORAGE_OBJECT_CACHE_H

#include "base/rt/file.h"
#include "storage/object_gate.h"

enum { OBJECT_PIECE = 256 << 10, OBJECT_WINDOW = 32, OBJECT_RUN = 16 /* pieces a request */, OBJECT_STAY = 4 };

struct object_cache;
/* At least OBJECT_WINDOW pieces, whatever the budget. The store and `away` are borrowed. */
MUST_CHECK err_t object_cache_open(const char *path, struct object_store *store, struct object_away *away, int64_t budget_bytes,
                                   struct object_cache **out) MAY_YIELD;
void object_cache_close(struct object_cache *c) MAY_YIELD; /* nobody reads */

struct object_ref { /* an object that is read */
    struct str name; /* in the bucket */
    uint64_t size;
    hash128 key;     /* of the name */
};
/* All bytes of all ranges, which lie within the object. */
MUST_CHECK err_t object_cache_read(struct object_cache *c, const struct object_ref *o, const struct file_range *r, uint32_t n) MAY_YIELD;
/* The same without a place for the bytes: they are wanted soon. What cannot be had now is read when it is asked for. */
void object_cache_fill(struct object_cache *c, const struct object_ref *o, uint64_t off, uint64_t n) MAY_YIELD;
/* The range, as it stands in a file that is at hand, without asking the bucket, and to stay: of an index. At most a quarter of the
 * cache, else nothing. What cannot be read or written is not kept. */
void object_cache_put(struct object_cache *c, const struct object_ref *o, struct file *from, uint64_t off, uint64_t n) MAY_YIELD;
/* What of the range is here was read as an index is. */
void object_cache_stay(struct object_cache *c, const struct object_ref *o, uint64_t off, uint64_t n);
void object_cache_forget(struct object_cache *c, const struct object_ref *o, uint64_t off, uint64_t n);
/* Of reads that the bucket failed: their number so far, and whether all of them fail now (object_gate.h). */
uint64_t object_cache_failures(const struct object_cache *c);
bool object_cache_away(const struct object_cache *c);

#endif
