/* The inside of the store, for store*.c, retention.c and view.c only.
 *
 * Who owns what: a shard and all in it belong to its core. The catalog's copy (infos), the list of closed generations and
 * the maintenance fiber, which does every seal and every deletion one after another, belong to core 0. What is
 * atomic in struct store is read by all.
 *
 * The set of segments (infos, the shards' lists, the catalog) is changed by one at a time, who holds s->changing (a sem of
 * core 0): a seal from its commit to its publication, a swap as a whole. Long work (writing segments) is done
 * before, without it; so whoever comes to swap finds out first whether what he read is still there.
 *
 * A generation on a shard: open (generation == shard->generation) -> closed (its gate is shut on every
 * core, no row enters any more) -> sealed (its rows are in segments, its mem and its logs are gone). */
#ifndef STORAGE_STORE_INT_H
#define STORAGE_STORE_INT_H

#include "base/core/htab.h"
#include "storage/disk.h"
#include "storage/lost.h"
#include "storage/object_gate.h"
#include "storage/scrub.h"
#include "storage/shard.h"
#include "storage/store_delete.h"
#include "storage/store_names.h"
#include "storage/retention_rules.h"
#include "storage/trusted_clock.h"
#include "storage/wal.h"

#include <stdatomic.h>

enum {
    STREAMS_MAX = 4096, /* known to a node, those of before included */
    SEG_INFOS_MAX = 1 << 20,
    DEDUP_MAX = 1 << 20,                /* requests remembered on a node */
    DEDUP_MS = 10 * 60 * 1000,
    DEDUP_BYTES = 72,
    FIT_SERIES_MAX = 1 << 18,           /* series of other nodes known to be well formed, a core: 16 bytes and their index */
    WAL_FILE_BYTES_MAX = 64 << 20, WAL_FILE_BYTES_MIN = 1 << 20,
    WAL_COMMIT_BYTES_MIN = 64 << 10,
};

/* -- requests remembered (store_dedup.c) -------------------------------------------------------------- */
struct dedup_entry {
    hash128 key;    /* dedup_key_of */
    int64_t wall_ms;
    uint64_t scope; /* tenant and signals: dedup_scope */
    struct batch_name name;
    uint64_t generation;
};
/* Of a request's content (request_key; zero = none) in a stream. */
hash128 dedup_key_of(const struct store *s, hash128 content, uint64_t stream);
/* The same of a stream that is not the node's own. */
hash128 dedup_key_foreign(hash128 content, uint64_t stream);
/* Requests of a scope that were acked in `generation` or before are not known any more: a deletion was made since, and what is
 * written again is to be stored again. A list that would grow past its maximum becomes one entry for all scopes. */
enum { DEDUP_FORGOTTEN_MAX = 256 };
struct dedup_forgotten {
    uint32_t n;
    struct { uint64_t scope, generation; } v[DEDUP_FORGOTTEN_MAX];
};
uint64_t dedup_scope(struct str tenant, enum signal signal);
void dedup_forget(struct dedup_forgotten *f, uint64_t scope, uint64_t generation);
struct dedup_set {
    struct htab index;
    struct dedup_entry *entries;
    size_t count, cap;
};
struct dedup_claim; /* a request on its way */
struct dedup {
    struct dedup_claim *claims;
    struct dedup_set young, old; /* young becomes old after DEDUP_MS, or when it is full */
    mono_ns turned;
    uint32_t full;
    struct dedup_forgotten forgotten;
};
void dedup_init(struct dedup *d, unsigned cores);
void dedup_deinit(struct dedup *d);
/* *known: it was acked before, under *of. Else it is claimed, until dedup_finish. Waits for a claim of the same key. */
MUST_CHECK err_t dedup_claim(struct store *s, hash128 key, bool *known, struct batch_name *of) MAY_YIELD;
/* The same, of what was acked in a generation after `after` and up to `upto`, forgotten or not. Nothing is claimed. */
MUST_CHECK err_t dedup_known_between(struct store *s, hash128 key, uint64_t after, uint64_t upto, bool *known, struct batch_name *of) MAY_YIELD;
void dedup_finish(struct store *s, const struct dedup_entry *e, bool acked) MAY_YIELD;
/* On the owner's core: what is known from logs and the catalog. Too old ones are left out. */
void dedup_remember(struct dedup *d, const struct dedup_entry *e);
/* Appends the entries of a generation as bytes for the catalog, DEDUP_BYTES each; the newest wall_ms. */
int64_t dedup_export(const struct dedup *d, uint64_t generation, struct buf *out);
/* Likewise those of a stream whose names are in `of`. */
void dedup_export_stream(const struct dedup *d, uint64_t stream, const struct cover *of, struct buf *out);
/* Gives entries (bytes as exported) to their cores. */
MUST_CHECK err_t dedup_import(struct store *s, uint64_t generation, struct str bytes) MAY_YIELD;
struct shard;
void dedup_import_here(struct shard *sh, uint64_t generation, struct str bytes); /* those of the running core */
void dedup_put(struct buf *out, const struct dedup_entry *e); /* the bytes of one */
void dedup_get(const char *p, uint64_t generation, struct dedup_entry *e);
static inline unsigned dedup_core(hash128 key, unsigned cores)
{
    return (unsigned)(key.lo % cores);
}

struct catalog_batch;
/* -- coverage (store_cover.c) ------------------------------------------------------------------------------- */
struct name_gen { /* names of a generation that is not sealed */
    uint64_t generation;
    struct cover names;
};
struct name_next {
    uint64_t stream, seq; /* the next one */
};
struct name_claim; /* a request on its way under a name that it came with */
struct name_waiter;
/* A core's part of the node's coverage: the names of writers on cores that are its number, modulo the number of cores. */
struct held {
    struct name_gen *gens; /* by generation */
    uint32_t ngens, gens_cap;
    struct cover all;        /* these, and what is sealed: by cover_note */
    uint32_t intervals_most; /* there are no more in it */
    struct name_claim *claims;
    struct name_waiter *waiters;
    struct name_next *next; /* of the names that this core gives */
    uint32_t nnext, next_cap;
    struct name_next *silent; /* of those that nobody was told of */
    uint32_t nsilent, silent_cap;
    struct cover by_all;    /* of store_covered; the same on every core */
};
void held_init(struct held *n);
void held_deinit(struct held *n);
/* *known: it is covered. Else it is claimed, until held_finish. Waits for a claim of the same name. */
MUST_CHECK err_t held_claim(struct store *s, const struct batch_name *n, bool *known) MAY_YIELD;
/* covered: within its generation, whose gate is open. */
void held_finish(struct store *s, const struct batch_name *n, uint64_t generation, bool covered) MAY_YIELD;
/* The next name of the running core for a request that comes without one. Their writer is another than that of store_name_next, so
 * that nobody else can put something under such a name before its time. */
void held_name_silent(struct store *s, uint64_t stream, struct batch_name *out);
/* On the core that keeps the name, which is new. */
void held_add(struct shard *sh, uint64_t generation, const struct batch_name *n);
/* Of a frame that was replayed. */
MUST_CHECK err_t held_replay(struct store *s, const struct batch_name *n, uint64_t generation) MAY_YIELD;
MUST_CHECK err_t held_has(struct store *s, const struct batch_name *n, bool *has) MAY_YIELD;
/* A seal: what a core has of a generation, added to `to`; the records of the catalog with them; and the move to what is sealed, on a core
 * and in core 0's copy. */
void held_of(const struct shard *sh, uint64_t generation, struct cover *to);
void held_catalog(struct store *s, struct catalog_batch *b, const struct cover *of_generation);
void held_sealed(struct shard *sh, uint64_t generation);
MUST_CHECK err_t held_load(struct store *s) MAY_YIELD; /* the catalog's, to core 0's copy */
void held_attach(struct shard *sh);                    /* from there to a core, at start */
/* A stream was taken from another node, under s->changing: core 0's copy, and on every core what it keeps. */
void held_taken(struct store *s, const struct cover *taken);
void held_taken_here(struct shard *sh, const struct cover *taken);
/* The record of a stream as core 0's copy has it, or its deletion. */
void held_catalog_again(struct store *s, struct catalog_batch *b, uint64_t stream);
void held_wake(struct held *n);                       /* the store closes: ends all waits of a core */

/* -- log files of earlier lives and of sealed generations (store_logs.c) ---------------------------------------- */
struct log_file {
    char *path;
    unsigned core;
    uint64_t generation, number; /* as its header says */
    uint64_t bytes;
    bool sealed;                 /* it is kept for other nodes only */
    bool read;                   /* names are known; else it may have any */
    bool bad;                    /* without a header: of no use to others */
    mono_ns since;               /* it is kept */
    struct cover names;          /* of streams with other members */
};

/* -- a shard -------------------------------------------------------------------------------------------- */
struct defined { /* series whose canonical bytes the log of this generation has */
    struct htab index;
    hash128 *ids;
    size_t count, cap;
    uint64_t generation, epoch; /* what it is true for: shard->generation, wal_epoch */
};

struct shard {
    struct store *store;
    unsigned core;
    uint64_t generation;     /* which appends enter */
    struct gate gates[2];    /* [generation & 1]: appends in flight */
    struct gate open;        /* closed by store_close */
    struct mem **mems;       /* by generation, then by stream */
    uint32_t nmems, mems_cap;
    struct seg **segs;       /* by generation, then by stream, then by core */
    uint32_t nsegs, segs_cap;
    struct seg **sealing;    /* written and opened, not yet in the catalog */
    uint32_t nsealing, sealing_cap;
    struct seg **coming;     /* likewise, of a swap under way */
    uint32_t ncoming, coming_cap;
    struct wal *wal;
    struct defined defined;
    struct defined fit; /* series from other nodes whose label bytes were found well formed (their log's epoch says nothing) */
    struct dedup dedup;
    struct held held;
    struct tomb_set *tombs;
    struct keep_rules *keep;
    struct object_cache *cache; /* of what is read from the bucket; NULL without one */
};

struct seal_waiter {
    struct seal_waiter *next;
    uint32_t free;       /* generations that no batch enters are wanted behind the sealed one, an even number */
    uint64_t free_first; /* the first of them, when it was sealed */
    struct event done;
    err_t result;
    char why[ERR_DETAIL_MAX];
};
struct dedup_item { /* one in the catalog */
    uint64_t generation;
    uint32_t core;
    int64_t wall_ms; /* the newest in it */
};

struct delete_item { /* a deletion by marks (store_tomb.c) */
    uint64_t id, generation;
    bool done;
};

struct catalog_batch { /* written all or nothing (store_catalog.c) */
    struct arena a;
    struct kv_op *ops;
    size_t n, cap;
};

struct store {
    struct store_opts o;
    char *wal_dir, *seg_dir, *bad_dir, *tail_dir;
    struct tier *tier; /* object_tier.h; NULL without a bucket */
    unsigned cores;
    uint32_t partitions;
    uint64_t wal_file_bytes;
    struct budget mem;
    struct shard **shards; /* [cores]; each made by its core */
    _Atomic bool failed;
    node_id node;
    uint64_t epoch, own_stream;  /* own_stream: of this node alone */
    _Atomic uint64_t cover_version; /* of the last name that came to be covered in this life, on any core */
    _Atomic uint64_t frozen;     /* the stream that is taken from another node (stream_copy.h): no batch of it is logged. 0 = none */
    _Atomic uint64_t thaws;      /* how often one was frozen and is not any more: what a request found out before does not hold after it */
    struct stream *streams;      /* [STREAMS_MAX], as they came: written by core 0, one that is counted never changes */
    _Atomic uint32_t nstreams;
    _Atomic uint64_t streams_sum; /* store_streams_sum */
    struct {
        _Atomic enum disk_level level;
        _Atomic double used;      /* share */
        _Atomic uint64_t ballast; /* bytes of the file; 0 = not there */
        bool looked, released;    /* for one of an earlier life; and there is not room again yet */
    } disk;
    struct lost lost;
    struct object_away away; /* is what the bucket alone has out of reach? */
    struct scrub scrub; /* core 0's */
    _Atomic uint64_t generation, sealed_gen, segment_bytes, segment_bytes_max, wal_rotten;
    _Atomic uint32_t segments;
    _Atomic int64_t keep_now_ns; /* the trusted clock's time */
    _Atomic bool dirty;          /* something was appended in the open generation */
    _Atomic bool seal_asked;     /* by store_seal_soon, since the maintenance fiber looked last */
    _Atomic uint64_t replay_done;
    uint64_t replay_total;

    /* core 0's */
    struct seg_info *infos;
    uint32_t ninfos, infos_cap;
    uint64_t infos_version;      /* raised at every change */
    uint64_t *closed;            /* generations that are closed and not sealed, ascending */
    uint32_t nclosed, closed_cap;
    bool commit_tried;           /* the catalog may or may not name the segments of closed[0] */
    struct log_file *logs;       /* those that no core writes: oldest generation first */
    uint32_t nlogs, logs_cap;
    uint64_t logs_kept;          /* bytes of those that are sealed */
    struct cover sealed;         /* what the catalog says of sealed generations */
    struct dedup_item *dedups;
    uint32_t ndedups, dedups_cap;
    struct sem changing;         /* 1: who holds it may change infos, shards' segments and the catalog */
    struct catalog_batch undo;   /* see catalog_commit */
    struct tomb_set *tombs;      /* every core has a reference too */
    uint64_t tomb_last;          /* id */
    uint64_t tomb_young, tomb_aged; /* ids up to which they were there a turn ago, two turns ago, in this life */
    mono_ns tomb_turn;
    struct keep_rules *keep;     /* likewise */
    struct trusted_clock clock;
    mono_ns clock_at;            /* when it is written down next */
    struct delete_item *deletes; /* by id */
    uint32_t ndeletes, deletes_cap;
    uint64_t delete_last;        /* id */
    struct dedup_forgotten forgotten; /* every core has a copy */
    struct kv_item *loaded;      /* at start: marks of dead rows on their way to the segments */
    size_t nloaded;
    struct arena loaded_mem;
    mono_ns generation_began;
    struct scope scope;          /* of the maintenance fiber */
    struct event wake;
    bool closing;
    bool retention_wanted;       /* now: something can be evicted that could not before */
    struct seal_waiter *waiters;
    struct compaction *compaction; /* compact_run.c; NULL: segments are not merged */
};

static inline unsigned held_core(const struct store *s, const struct batch_name *n)
{
    return n->core % s->cores;
}
/* storage.retention_age in ns; 0 = none. */
static inline int64_t store_default_age(const struct store *s)
{
    int64_t ns;
    return s->o.retention_age_ms > 0 && !__builtin_mul_overflow(s->o.retention_age_ms, (int64_t)NS_PER_MS, &ns) ? ns : 0;
}
static inline struct shard *shard_here(struct store *s)
{
    return s->shards[rt_core()];
}

/* Doubles *p until it holds want elements. Aborts without memory. */
void *store_grow(void *p, uint32_t *cap, uint32_t want, size_t elem);
/* Runs fn on every core until each has run it: fn answers OK and may run again after it did. */
void store_call_all(struct store *s, rt_call_fn *fn, void *const *args) MAY_YIELD;
/* The same argument for every core; the caller frees the array. */
void **store_same_args(const struct store *s, void *arg);
void store_failed(struct store *s, const char *why);
/* fn in a fiber that nobody cancels: a commit is not left half way. */
MUST_CHECK err_t store_undisturbed(rt_call_fn *fn, void *arg) MAY_YIELD;

/* store_shard.c */
struct mem *shard_mem(struct shard *sh, uint64_t generation, uint64_t stream); /* found or made */
void mem_put(struct mem *m);
/* A segment of the change under way, which holds s->changing; takes g. Dropping them closes those there are. */
void shard_coming_add(struct shard *sh, struct seg *g);
void shard_coming_drop(struct shard *sh) MAY_YIELD;
void shard_seg_add(struct shard *sh, struct seg *g); /* takes g, to its place in sh->segs */
bool shard_wants_seg(const struct store *s, unsigned core, const struct seg_info *i);
/* Which rows of a request go to which core. */
struct split;
struct split *split_new(struct store *s, struct arena *a);
/* skip (may be NULL): series that go nowhere. Both live until split_insert returned. */
void split_add(struct split *sp, const struct batch *b, const uint8_t *skip);
void split_insert(struct split *sp, uint64_t generation, uint64_t stream) MAY_YIELD;

/* store_streams.c: who this node is, and which streams it knows */
MUST_CHECK err_t streams_load(struct store *s) MAY_YIELD; /* at start */
/* When the catalog is known to be ours: the node's id at the first start, its next epoch and its own stream, for good. */
MUST_CHECK err_t epoch_begin(struct store *s) MAY_YIELD;
bool store_stream_known(const struct store *s, uint64_t id); /* any core */

/* store_catalog.c: keys and values in the catalog, and core 0's copy of it */
MUST_CHECK err_t catalog_load(struct store *s) MAY_YIELD;
void catalog_batch_init(struct catalog_batch *b);
void catalog_batch_deinit(struct catalog_batch *b);
void catalog_put_seg(struct catalog_batch *b, const struct seg_info *i);
/* Of a record as catalog_put_seg writes it. The arena is for scratch. */
MUST_CHECK err_t catalog_parse_seg(struct str key, struct str value, struct arena *a, struct seg_info *out);
void catalog_del_seg(struct catalog_batch *b, const struct seg_info *i);
void catalog_put_sealed(struct catalog_batch *b, uint64_t generation);
void catalog_put_dedup(struct catalog_batch *b, const struct dedup_item *i, struct str bytes);
void catalog_del_dedup(struct catalog_batch *b, const struct dedup_item *i);
void catalog_add_dedup(struct store *s, const struct dedup_item *i); /* to core 0's list of them */
/* Any other record; STR_NONE deletes it. The key lives in b's arena, the value until the commit. */
void catalog_put(struct catalog_batch *b, struct str key, struct str value);
/* Whatever comes of the commit that failed: the next one deletes the record first. */
void catalog_undo_put(struct store *s, struct str key);
/* By a holder of s->changing. A commit that failed may have happened all the same: who cannot do it again leaves in s->undo
 * what takes it back, and the next commit, whose ever it is, does that first, in one batch with its own. */
MUST_CHECK err_t catalog_commit(struct store *s, struct catalog_batch *b) MAY_YIELD;
void catalog_add_info(struct store *s, const struct seg_info *i); /* replaces the one of the same place */
void catalog_remove_info(struct store *s, const struct seg_info *i);

/* store_orphans.c */
/* ERR_CORRUPT: there are segments. For a catalog that is empty. */
MUST_CHECK err_t store_orphans_none(struct store *s) MAY_YIELD;
MUST_CHECK err_t store_orphans(struct store *s) MAY_YIELD; /* when the catalog is loaded */

/* store_swap.c */
struct seg_swap {
    const struct seg_info *out; /* in infos */
    uint32_t nout;
    const struct seg_info *in;  /* files that are published; each at a place of its own or of one of `out` */
    uint32_t nin;
    /* Of a stream that is taken from another node (stream_copy.h); NULL otherwise: what is covered with them, and the dead rows of
     * `in`. A file may then be in both lists, and stays. */
    const struct cover *taken;
    const struct dead_mark *marks;
    uint32_t nmarks;
    struct str keys;            /* of its requests, as dedup_export writes them */
    struct dedup_item keys_at;  /* their record in the catalog */
};
/* `in` takes the place of `out` in the catalog, in infos and on every core, there without a yield between, so that a view
 * has the ones or the others. All or nothing: on an error everything is as before and the files of `in` are deleted.
 * The files of `out` go when the last view of them closes. On core 0, by the holder of s->changing. */
MUST_CHECK err_t store_swap(struct store *s, const struct seg_swap *w) MAY_YIELD;
/* Is this very segment (not another at its place) in infos? */
bool store_has_seg(const struct store *s, const struct seg_info *i);
/* store_lost.c */
/* The segment cannot be opened for what err_detail() says. Any core. */
void lost_segment(struct store *s, const struct seg_info *i);
/* The same of a group of an open one. */
void lost_group(struct store *s, const struct seg_info *i, uint32_t group, const struct seg_group *g);
/* Its file cannot be opened any more, or a page of its index is rotten; cores have it open. */
void lost_file(struct store *s, const struct seg_info *i);
void lost_index(struct store *s, const struct seg_info *i);
/* Of these segments something was lost perhaps, and the catalog does not name them any more. By the holder of s->changing. */
void lost_replaced(struct store *s, const struct seg_info *infos, uint32_t n) MAY_YIELD;
/* Core 0's maintenance: looks whether files are there, opens again what is whole by now, forgets (and removes) what the catalog does not name any more. */
void lost_tick(struct store *s) MAY_YIELD;

/* store_delete.c: marks of dead rows. Those of segments that were swapped out are of no use, and deleted at start at the
 * latest (the files' names never come again); not before the swap is sure, or taking it back would bring rows back. */
MUST_CHECK err_t dead_load(struct store *s) MAY_YIELD;
MUST_CHECK err_t dead_attach(struct shard *sh);
/* The same of a segment that is opened later: between dead_load and dead_loaded. */
MUST_CHECK err_t dead_attach_one(const struct store *s, struct seg *g);
void dead_loaded(struct store *s);
/* Segments of which nothing is read any more, malloc'd; their number. */
uint32_t dead_segments(struct store *s, struct seg_info **out) MAY_YIELD;
void dead_forget(struct store *s, const struct seg_info *infos, uint32_t n) MAY_YIELD;
/* What the catalog has of a segment's marks, into the arena. */
MUST_CHECK err_t dead_of(struct store *s, const struct seg_info *i, struct arena *a, struct dead_mark **out, uint32_t *n) MAY_YIELD;
/* Both lists of marks of one segment as one, a mark a group. */
MUST_CHECK err_t dead_unite(const struct dead_mark *x, uint32_t nx, const struct dead_mark *y, uint32_t ny, struct arena *a, struct dead_mark **out, uint32_t *n);
void dead_put(struct catalog_batch *b, const struct dead_mark *marks, uint32_t n);
/* Those of this segment, to one that was opened a moment ago. */
MUST_CHECK err_t dead_mark_new(struct seg *g, const struct dead_mark *marks, uint32_t n);

/* store_keep.c */
MUST_CHECK err_t keep_load(struct store *s) MAY_YIELD;
void keep_tick(struct store *s) MAY_YIELD; /* of the maintenance fiber */

/* store_tomb.c */
MUST_CHECK err_t deletes_load(struct store *s) MAY_YIELD;
void deletes_free(struct store *s);
/* Does one of them hide something of the segment, perhaps, that is not worked in? */
bool tombs_hide(const struct tomb_set *set, const struct seg *g);
/* Retires tombstones that no segment needs any more. By the holder of s->changing. */
void tombs_tick(struct store *s) MAY_YIELD;
/* Does an unfinished deletion cover the generations up to one in [first, last), but not `last`? Such segments are not merged. */
bool store_delete_splits(const struct store *s, uint64_t first, uint64_t last);

/* compact_run.c: a fiber of core 0 for each core that looks for what to merge of it and has it merged there. */
MUST_CHECK err_t compaction_start(struct store *s) MAY_YIELD;
void compaction_wake(struct store *s); /* there are other segments than before */
void compaction_clean(struct store *s); /* looks at once for what nobody reads any more */
/* Someone wants a copy of the stream (stream_copy.h), in which tombstones hide something: it is worked in before anything else. Core 0. */
void compaction_work_in(struct store *s, uint64_t stream);
void compaction_stop(struct store *s) MAY_YIELD;

/* store_logs.c, core 0's but for logs_needed */
/* Does another node lack any of these names, as far as is known? Then their log is kept for a while. On any core. */
bool logs_needed(const struct shard *sh, const struct cover *names);
/* A file of an earlier life: one to be replayed, or to be kept. */
struct log_file *logs_add(struct store *s, unsigned core, const struct wal_log_file *f, bool sealed);
struct log_file *logs_find(struct store *s, const char *path); /* which is one of them */
/* The generation is sealed: its files go, or are kept; `kept` are those that cores wrote in this life, which are taken. */
void logs_sealed(struct store *s, uint64_t generation, struct wal_kept *kept) MAY_YIELD;
/* Those that nobody needs any more go, and the oldest past the limits; one whose names are not known yet is read. */
void logs_tick(struct store *s) MAY_YIELD;
void logs_free(struct store *s);

/* log_series.c: series defined by earlier frames of a log's generation */
struct log_series {
    struct arena mem;
    struct htab index;
    hash128 *ids;
    struct str *canonical;
    size_t count, ids_cap, canonical_cap;
};
void log_series_init(struct log_series *n);
void log_series_deinit(struct log_series *n);
/* Learns what the batch defines, fills in canonical bytes that it leaves out. Series that were defined nowhere (lost to rot) are marked and
 * counted; NULL when there are none. */
uint8_t *log_series_fill(struct log_series *n, struct metric_batch *m, struct arena *a, uint64_t *nameless);

/* store_replay.c */
MUST_CHECK err_t store_replay(struct store *s) MAY_YIELD;

/* store_seal.c */
MUST_CHECK err_t store_seal_closed(struct store *s) MAY_YIELD; /* core 0, one caller at a time */
void store_closed_add(struct store *s, uint64_t generation);
void store_seal_soon(struct store *s) MAY_YIELD; /* memtables are over half full; any core */
/* store_seal, with an even number of generations behind it that stay empty, for segments that come from elsewhere. */
MUST_CHECK err_t store_seal_free(struct store *s, uint32_t n, uint64_t *first) MAY_YIELD;
MUST_CHECK err_t store_maintenance_start(struct store *s) MAY_YIELD;
void store_maintenance_stop(struct store *s) MAY_YIELD;

#endif
