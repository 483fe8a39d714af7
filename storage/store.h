/* The store of a node: WAL, memtables and segments of all cores behind one door.
 *
 * Generations. Every batch is logged in the WAL of the core that received it (wal/<core>/), under the node's
 * current generation g, and inserted into memtable[g] of the cores that own its rows. store_append returns
 * when the frame is synced AND every row is visible to queries. Sealing generation g: no batch enters g any
 * more -> those in flight are waited for -> each core writes its frozen memtable to segments -> one synced
 * catalog batch records the new segments and sealed_gen = g -> the log files of generations <= g are deleted, but for those that
 * other nodes may want (store_names.h).
 *
 * Streams (names.h). Every batch is of one stream. Rows of different streams lie apart: a memtable and a segment hold those of
 * one, and merges never mix them; generations, logs, deletions and retention are common to all. Of samples of one series and
 * time the later generation's counts, of one generation that of the stream with the higher id.
 *
 * Invariants
 *  1. Acked = its frame is synced in a log of a generation > sealed_gen, or its rows are in a segment that
 *     the catalog names; never both, never neither. So every acked row is read exactly once.
 *  2. Segment files that the catalog does not name, and logs of generations <= sealed_gen, do not count and
 *     are deleted at start (those logs: when no other node wants them).
 *  3. A failed write or sync of the log stops ingest for good: store_append answers ERR_IO from then on and
 *     opts.on_failed is called (the node says why and exits). A full disk is no failure, wherever it is met: ERR_NOSPC,
 *     retryable, until there is room (disk.h).
 *  4. A batch whose content hash was acked in the last 10 minutes (at most 1 M of them) is acked again
 *     without storing it; hashes are in the frames, so replay rebuilds them. Each stream has its own.
 *  5. A query sees each core's state at one instant: view_open pins memtables and segments.
 *  6. A segment that cannot be read stops nothing: what it held is missing from answers, which say so (lost.h). */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "base/rt/rt.h"
#include "storage/batch.h"
#include "storage/kv.h"
#include "storage/names.h"
#include "storage/object.h"

struct store;
struct store_opts {
    const char *dir;
    struct kv *kv;              /* the catalog; borrowed, closed by the caller after store_close */
    uint32_t partitions;
    int64_t mem_bytes;          /* memtables of all cores: seal begins at half, ingest is refused at all of it */
    int64_t seal_age_ms;        /* a generation older than this is sealed */
    int64_t log_keep_bytes, log_keep_ms; /* logs kept for other nodes: store_names.h. 0 = none */
    uint32_t commit_bytes;      /* group commit: a commit goes out as soon as the disk is free, with all that gathered
                                 * meanwhile, at most this much */
    double retention_share;     /* of the file system; 0 = off. Oldest segments go first */
    int64_t retention_age_ms;   /* 0 = off */
    double pause_share, refuse_share, read_only_share; /* used shares of the file system: disk.h. 0 = never */
    int64_t ballast_bytes;      /* at most; 0 = none */
    int64_t merge_bytes;        /* small segments are merged into ones of at most this size; 0 = none are. Those that others want are written anew all the same, alone (stream_copy.h) */
    int64_t merge_window_ms;    /* and of at most this span of time */
    int64_t merge_memory;       /* of all merges that run together */
    int64_t scrub_ms;           /* all segments are verified once in so long: scrub.h. 0 = only those that queries find wrong */
    /* The object tier (object_tier.h); NULL: none, and the rest does not count. Borrowed. */
    struct object_store *object;
    const char *durable, *durable_tenants; /* "local" or "object"; "tenant=object,other=local" */
    bool object_takeover;
    int64_t object_cache_bytes; /* what was read from the bucket, on the local disk, of all cores */
    int64_t object_grace_ms;    /* for objects that nothing refers to */
    int64_t object_upload_after_ms; /* segments wait for merges so long; 0 = they do not */
    void (*on_failed)(const char *why); /* see invariant 3 */
    void (*on_progress)(uint64_t done_bytes, uint64_t total_bytes); /* replay; may be NULL */
};

MUST_CHECK err_t store_open(const struct store_opts *o, struct store **out) MAY_YIELD;
void store_close(struct store *s) MAY_YIELD; /* waits for appends in flight; does not seal */

/* Who this node is: drawn at the first start of the data directory; raised at every start, before anything is stored. */
node_id store_node(const struct store *s);
/* The id that a store of this catalog has or will have; drawn and kept where it has none yet. No store has the catalog open. */
MUST_CHECK err_t store_node_draw(struct kv *kv, node_id *out) MAY_YIELD;
uint64_t store_epoch(const struct store *s);
/* The next one after `past`, which is this one or a later one: names of it are stored already. Core 0, before anything is stored. */
MUST_CHECK err_t store_epoch_raise(struct store *s, uint64_t past) MAY_YIELD;
/* Makes a stream known for good (a record of the catalog, synced), which it must be before the first batch of it comes; the stream
 * of this node alone always is. Any core; idempotent. ERR_INVALID: it is not as stream_make makes one. ERR_LIMIT: STREAMS_MAX. */
MUST_CHECK err_t store_stream_add(struct store *s, const struct stream *st) MAY_YIELD;
/* All that are known, into the arena, in the order they came. Any core. */
bool store_stream_find(const struct store *s, uint64_t id, struct stream *out); /* false: not known */
void store_streams(const struct store *s, struct arena *a, struct stream **out, uint32_t *n);
/* Of the ids of those that are not of a node alone (stream_is_lone), in any order: equal where the same ones are known. Any core. */
uint64_t store_streams_sum(const struct store *s);

/* Logs, inserts and makes durable on the running core; batches of one request together: all or none are
 * acked. Borrowed until it returns (tables are referenced). ERR_NOSPC, ERR_OVERLOAD, ERR_IO as above. */
MUST_CHECK err_t store_append(struct store *s, struct batch *const *batches, uint32_t n) MAY_YIELD;
/* Memtables hold no more than half of opts.mem_bytes: for who can wait, so that the rest is left to who cannot. Any core. */
bool store_has_room(const struct store *s);
MUST_CHECK err_t store_seal(struct store *s) MAY_YIELD;  /* seals the current generation now */

struct store_stats {
    uint64_t generation, sealed_gen;
    int64_t mem_bytes, segment_bytes;
    uint32_t segments;
    bool failed;
    bool refusing, read_only;  /* the disk is too full for ingest, for anything but what frees space */
    double disk_used;          /* share of the file system in use, a second ago; 0 = not looked at */
    uint32_t lost;             /* segments, or parts of them, that cannot be read: lost.h */
    bool away;                 /* the bucket does not answer reads: object_gate.h */
    int64_t segment_bytes_max; /* what retention_share allows; 0 = no limit, or not looked at yet */
    /* Group commits of the log, those of them that took over WAL_SLOW_MS, and how many are under way for longer, of all cores. */
    uint64_t commits, commits_slow, commits_hang;
    uint64_t wal_rotten; /* places where the log failed its checksums at the last start: acked rows are missing */
};
void store_stats(struct store *s, struct store_stats *out);
/* One sentence about what is lost, with the first file and why; empty when nothing is. */
struct str store_lost_text(struct store *s, struct arena *a);

/* The same about what is in the bucket alone, when reads of it fail. */
struct str store_away_text(struct store *s, struct arena *a);

/* Small documents of the node beside the data (index configs, ...): synced when kv_put returns. store_writable first, unless
 * it is a deletion: ERR_NOSPC while the disk is too full for it. */
struct kv *store_kv(struct store *s);
MUST_CHECK err_t store_writable(struct store *s);

#endif
