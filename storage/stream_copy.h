/* A whole stream from one node to another, as segments: for a node that lost its disk, that was away for longer than logs are kept, or
 * that takes the place of one that is gone. What travels is files, as they are, and one list of them.
 *
 *   giver   stream_give   what is sealed of the stream, at one instant: its segments in their order, the marks of dead rows, the
 *                         names that are covered by them, and (of the last list) the keys of those requests that are remembered
 *           stream_read   a range of one of these files. Nothing is pinned: a file that was merged away meanwhile is not found, and the
 *                         taker asks for the list again
 *   taker   stream_file_* writes a file beside the segments, verified by its name (the hash of its footer, which has the checksums
 *                         of all else)
 *           stream_freeze no batch of the stream is logged from its return to stream_thaw: store_put answers ERR_UNAVAILABLE, and the
 *                         quorum goes on with the other members
 *           stream_take   the list in the place of all that is here of the stream
 *
 * Invariants
 *  1. What is covered grows only: a list that lacks a name that is covered here is not taken (ERR_INVALID).
 *  2. stream_take is one synced batch of the catalog (store_swap): a crash before it leaves files that the catalog does not name, and
 *     that the next start deletes; after it all is as given. A view has the one or the other.
 *  3. The segments get generations that no batch entered (store_seal_free), in the order of the giver: of two samples of one series and
 *     time in the stream the one counts that counted there. Of one in another stream here, what is taken now is the later.
 *  4. Rows that are dead at the giver or here are dead afterwards.
 *  5. From stream_thaw on a request of the stream whose content the giver remembered is known here, too (stream_keys.h). One that looked
 *     for its name or its content before and is not logged yet is refused (ERR_UNAVAILABLE).
 *
 * Not given (ERR_UNAVAILABLE, with a message; another giver may do): a stream with a segment that cannot be read or of the object tier,
 * or one in which a deletion of series or of an index may still hide rows (tombstone.h): here it is, and there its segments would be newer than
 * that deletion. Whoever asks for such a stream has its segments written anew at once, without those rows (compact_run.c), so that it can be
 * given when so many bytes were written. A node with an object tier takes none. */
#ifndef STORAGE_STREAM_COPY_H
#define STORAGE_STREAM_COPY_H

#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "storage/cover.h"
#include "storage/seg.h"
#include "storage/store.h"
#include "storage/store_delete.h"
#include "storage/stream_keys.h"

enum {
    STREAM_SEGS_MAX = 65536,    /* of one stream */
    STREAM_READ_MAX = 4 << 20,  /* at once */
    STREAM_LIST_MAX = 256 << 20, /* bytes of a list */
};
struct stream_seg {
    struct seg_info info; /* generation, and generation_first: its place in the order, from 1 */
    struct dead_mark *marks;
    uint32_t nmarks;
};
struct stream_given {
    uint64_t stream;
    uint32_t n;
    struct stream_seg *segs; /* in the arena, with all they point to */
    struct cover cover;
    struct stream_keys keys; /* in the arena */
};

/* Into an empty one; stream_given_deinit, also after an error. keys: with those of requests. */
MUST_CHECK err_t stream_give(struct store *s, uint64_t stream, bool keys, struct arena *a, struct stream_given *out) MAY_YIELD;
MUST_CHECK err_t stream_read(struct store *s, const char name[40], uint64_t off, uint32_t n, struct buf *out) MAY_YIELD;
void stream_given_init(struct stream_given *g);
void stream_given_deinit(struct stream_given *g);

/* Bytes of a list:
 *   u8 version (2) | u64 stream | v segments | (32 hex digits of the name | v bytes | u64 tmin_ns | u64 tmax_ns | v place | v core |
 *   v cores | v level | u8 object | u64 sealed_ms | v marks | (v group | s seg_dead_encode)*)* | cover | keys (stream_keys.h) */
void stream_given_put(const struct stream_given *g, struct buf *out);
/* ERR_CORRUPT: malformed, two of one name or place, names of another stream. The marks' bytes are looked at when the segment is opened. */
MUST_CHECK err_t stream_given_get(struct bytes_in *in, uint32_t intervals_max, struct arena *a, struct stream_given *out);

struct stream_file; /* on its way */
/* ERR_INVALID: there is such a file, on its way out. */
MUST_CHECK err_t stream_file_open(struct store *s, const struct seg_info *info, struct stream_file **out) MAY_YIELD;
MUST_CHECK err_t stream_file_add(struct stream_file *f, struct str bytes) MAY_YIELD;
uint64_t stream_file_at(const struct stream_file *f); /* bytes so far */
/* Frees it, also on an error; then there is no file. ERR_CORRUPT: it is not what its name says. */
MUST_CHECK err_t stream_file_end(struct stream_file *f) MAY_YIELD;
void stream_file_abandon(struct stream_file *f) MAY_YIELD;
/* Does the catalog name this file? Core 0. */
bool stream_has_file(const struct store *s, const char name[40]);
/* One that was fetched and is not wanted any more; of one that the catalog names nothing happens. Core 0. */
void stream_file_drop(struct store *s, const char name[40]) MAY_YIELD;

/* One stream at a time. ERR_UNAVAILABLE: another one is frozen. On an error it is not. */
MUST_CHECK err_t stream_freeze(struct store *s, uint64_t stream) MAY_YIELD;
void stream_thaw(struct store *s);
/* Of the frozen stream, all files of the list being here. On core 0. */
MUST_CHECK err_t stream_take(struct store *s, const struct stream_given *g) MAY_YIELD;

#endif
