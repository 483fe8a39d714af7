/* A segment whose bytes are in the bucket: read by ranges through the core's cache. Its tail (footer and trailer) is kept as a
 * small file object/<name> in the data directory, so that a start asks the bucket for nothing that it has seen before. */
#ifndef STORAGE_SEG_REMOTE_H
#define STORAGE_SEG_REMOTE_H

#include "storage/object_cache.h"
#include "storage/seg.h"

enum { SEG_TAIL_MIN = 64 << 10 }; /* what a tail holds at least, where the segment is that large: the first read of who opens it */
#define SEG_OBJECT_PREFIX "seg/"  /* of a segment's name in the bucket */

/* `cache` and `dir` (of tails) are borrowed until the segment is closed. */
MUST_CHECK err_t seg_remote_open(struct object_cache *cache, const char *dir, const struct seg_info *info, struct seg **out) MAY_YIELD;
/* Keeps the tail of a segment that is open, from wherever its bytes are now. */
MUST_CHECK err_t seg_tail_save(const char *dir, const struct seg_info *info, uint64_t tail, const char *file) MAY_YIELD;

#endif
