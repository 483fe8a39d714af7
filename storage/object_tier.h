/* The object tier of a store: segments that hold rows of tenants whose durable class is `object` are copied to the bucket; then
 * their files may go from the local disk, and a node that lost its disk can have everything back that was uploaded.
 *
 * What is where, and when
 *   - An ack means what it always means: synced in the local log. The bucket is never on that path.
 *   - A sealed or merged segment is uploaded in the background, by core 0's tier fiber, oldest first. What is acked and not yet
 *     sealed, or sealed and not yet listed in the catalog object (object_catalog.h), is on the local disk alone: losing that
 *     disk loses it. tercet_object_backlog_* and its age tell how much that is.
 *   - A segment counts as uploaded when the catalog object lists it. A merge's inputs leave the catalog object in the write that
 *     lists its output; until that is uploaded they stay in it. Deletions (tombstones, marks) and the documents of
 *     indexes travel with every write of it, which happens within TIER_LOOK_S.
 *   - Classes lie apart: a seal writes the rows of `object` and of `local` tenants to segments of their own, and a merge joins
 *     those of one class only (seg_info.object). A segment keeps the class of its seal. When a tenant's class is changed (settings, so at
 *     a start), segments that are sealed from then on follow the new one; what lies in segments of before
 *       local -> object  goes to the bucket too where all tenants of the segment are `object` now, and is not merged any more; where a
 *                        `local` tenant has rows in it, it stays on this disk alone (tercet_object_mixed_segments)
 *       object -> local  stays in the bucket, or still goes there: it was sealed to
 *   - Uploads wait. What is merged is written again, and would be uploaded again each time. So a segment waits until its oldest
 *     rows were sealed object_upload_after_ms ago; what is uploaded then is not merged until its window of time is over
 *     (tier_rests), and what comes of that is uploaded when merging is done with it, while the bucket keeps the ones before. Nothing waits
 *     when the disk is tight, near its share, or merging done (a segment of half the largest size).
 *
 * Ownership. The prefix in the bucket belongs to one data directory: its random id stands in the catalog object, whose every
 * write is conditional on the one before. Who finds another's write there stops uploading for good (fenced), says so, and never
 * overwrites; its local life goes on. A fresh data directory takes a prefix over when it is told to (object.takeover): that raises
 * the epoch, and the former owner is fenced by its next write. Each write is announced in the local catalog before
 * (a nonce), so that one whose answer got lost, even over a crash, is known for our own.
 *
 * Eviction (retention by share of the disk): seg_info.remote is committed, every core reads the segment from the bucket from
 * then on (seg_remote.h), the file goes with its last view. A crash between leaves the file, which is then used again.
 *
 * Objects that the catalog object does not list, and uploads in parts that were left, are removed when they have been seen so for
 * object_grace_ms in this life of the node, and the catalog object is still ours.
 *
 * Invariants
 *  1. The catalog object never lists a segment that is not wholly in the bucket, nor two that hold a row twice.
 *  2. A file of an `object` segment is deleted only when the catalog object lists it, or age or a deletion took its rows.
 *  3. An object is removed only when no catalog object of ours has listed it for the grace period. */
#ifndef STORAGE_OBJECT_TIER_H
#define STORAGE_OBJECT_TIER_H

#include "storage/store_int.h"

enum { TIER_LOOK_S = 10 };

struct tier;
/* Before the catalog is loaded: reads the settings, and into a fresh data directory what the bucket has of it. NULL in s->tier
 * without a bucket. */
MUST_CHECK err_t tier_open(struct store *s) MAY_YIELD;
void tier_close(struct store *s); /* after tier_stop, if it was started */
/* After the catalog is loaded: tails of segments that are gone; files of evicted segments that are still there. */
MUST_CHECK err_t tier_sort_out(struct store *s) MAY_YIELD;
MUST_CHECK err_t tier_cache_open(struct store *s, struct object_cache **out) MAY_YIELD; /* of the running core */
MUST_CHECK err_t tier_start(struct store *s);
void tier_stop(struct store *s) MAY_YIELD;

/* seg_open, or from the bucket. On any core. */
MUST_CHECK err_t tier_open_seg(struct store *s, const struct seg_info *info, struct seg **out) MAY_YIELD;

/* A tenant's class; ctx is the store. Any core. */
bool tier_object_tenant(const void *ctx, struct str tenant);
bool tier_local_tenant(const void *ctx, struct str tenant);
/* Core 0. Should merging leave it alone? */
bool tier_rests(const struct store *s, const struct seg_info *info);

/* Core 0. Is it in the bucket for sure? */
bool tier_has(const struct store *s, const struct seg_info *info);
/* Core 0. Must retention by share leave the segment's only copy alone? Of an evicted one too. */
bool tier_keeps(const struct store *s, const struct seg_info *info);
/* Frees at least `bytes` of the local disk, if it can, by evicting uploaded segments, oldest first; *freed. */
MUST_CHECK err_t tier_evict(struct store *s, uint64_t bytes, uint64_t *freed) MAY_YIELD;

#endif
