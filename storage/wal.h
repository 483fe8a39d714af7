/* The log of one core: the driver of wal_frame.h's format, on base/rt/file.h. Owned by one reactor.
 *
 * Group commit. One fiber writes. It takes what is pending, writes it as one group and syncs; what arrives
 * meanwhile gathers for the next group. So an idle disk commits at once, a busy one commits
 * what gathered in one write, and nobody ever waits for a window to pass.
 *
 * Files live in <dir>/<core>/ as %016x.wal, preallocated; a file holds one generation, a generation any
 * number of files. Files whose generation is sealed are used again (their blocks are written already, so a
 * sync of new frames changes no metadata) or deleted.
 *
 * States:  working --(write or sync fails)--> failed, for good: every later commit answers ERR_IO.
 * A full disk, at the allocation of a file or at a write (its group is cut off again), fails what is pending and nothing
 * else; it raises wal_epoch. */
#ifndef STORAGE_WAL_H
#define STORAGE_WAL_H

#include "base/core/arena.h"
#include "base/rt/rt.h"
#include "storage/cover.h"
#include "storage/wal_frame.h"

struct wal;
struct wal_opts {
    const char *dir;        /* of all logs; <dir>/<core> is made */
    unsigned core;
    uint64_t number_first;  /* above all numbers in use in <dir>/<core> */
    uint64_t file_bytes;    /* of a file, a multiple of WAL_ALIGN; a bigger frame gets a bigger file */
    uint32_t commit_bytes;  /* a group ends at this size, or after its first frame */
    void (*on_failed)(void *ctx, const char *why); /* once */
    void *ctx;
};
MUST_CHECK err_t wal_open(const struct wal_opts *o, struct wal **out) MAY_YIELD;
void wal_close(struct wal *w) MAY_YIELD; /* commits what is pending */

struct wal_ticket { /* one frame on its way; lies in the frame of the fiber that waits for it */
    uint64_t generation;
    struct str payload;    /* borrowed until wal_wait returns; at most WAL_PAYLOAD_MAX */
    uint64_t payload_hash; /* hash64(payload) */
    const struct batch_name *name; /* borrowed likewise; noted with the file, for who decides whether it is kept. NULL: nobody asks */
    struct wal_ticket *next;
    struct event done;
    err_t result;
};
/* Frames are logged in the order of submission; generations never go back. */
void wal_submit(struct wal *w, struct wal_ticket *t);
/* OK: synced. ERR_NOSPC: not logged. ERR_IO: unknown. The calling fiber must not be one that is cancelled:
 * the writer holds on to the ticket. */
MUST_CHECK err_t wal_wait(struct wal *w, struct wal_ticket *t) MAY_YIELD;
uint64_t wal_epoch(const struct wal *w); /* the number of refusals so far */
/* Adds the commits so far, those that took over WAL_SLOW_MS, and 1 when one is under way for longer. Any core. */
enum { WAL_SLOW_MS = 1000 };
void wal_pace(const struct wal *w, mono_ns now, uint64_t *commits, uint64_t *slow, uint64_t *hang);
bool wal_failed(const struct wal *w);
/* A file that is not the log's any more: its owner reads it, and deletes it. */
struct wal_kept {
    struct wal_kept *next;
    unsigned core;
    uint64_t generation, number;
    uint64_t bytes;     /* what of it is used */
    struct cover names; /* those noted */
    char path[];
};
/* The files of generations <= generation go, or wait for another life where `reuse` allows it; but those with names noted that
 * `needed` (may be NULL: none is) wants are left alone and added to *kept. */
typedef bool wal_needed_fn(void *ctx, const struct cover *names);
void wal_drop(struct wal *w, uint64_t generation, bool reuse, wal_needed_fn *needed, void *ctx, struct wal_kept **kept) MAY_YIELD;
/* The files with frames, as far as they are synced, added to *parts in the arena; one by one in no order. */
struct wal_part {
    struct wal_part *next;
    const char *path;
    unsigned core;
    uint64_t generation, number;
    uint64_t to;               /* where to stop reading; UINT64_MAX: at the end */
    const struct cover *names; /* noted; valid until the log's next step: not over a yield */
};
void wal_parts(const struct wal *w, struct arena *a, struct wal_part **parts);

/* -- what an earlier life left behind (wal_replay.c) --------------------------------------------------- */
struct wal_log_file {
    const char *path;
    uint64_t name;            /* the number in its name */
    uint64_t size;
    struct wal_file_head head;
    bool dead;                /* no header and no frames: it never counted */
    bool bad_header;          /* the header is rotten; head is pieced together from the first frame */
};
struct wal_log { /* one <dir>/<core>, files in the order of writing */
    unsigned core;
    struct wal_log_file *files;
    uint32_t count;
    uint64_t number_next;     /* above all numbers in use */
};
/* Reads the headers of all logs under dir, also those of cores that there are no more. */
MUST_CHECK err_t wal_scan(const char *dir, struct arena *a, struct wal_log **logs, uint32_t *count) MAY_YIELD;

typedef err_t wal_replay_fn(void *ctx, const struct wal_frame *f); /* may yield; its error ends the replay */
struct wal_replayed {
    uint64_t frames, bytes; /* bytes: of frames */
    uint32_t rotten;        /* runs of invalid bytes with valid frames behind them */
    uint64_t last_check;    /* chain value behind the last valid frame */
};
/* Calls fn for each valid frame of a file in order, one in memory at a time. Afterwards what was read is durable: the
 * last group, which the crash may have left in a cache, is written once more where it stands. The unused rest of a
 * sound file is given back. */
MUST_CHECK err_t wal_replay(const struct wal_log_file *f, wal_replay_fn *fn, void *ctx,
                            struct wal_replayed *out) MAY_YIELD;
/* Calls fn for each valid frame of a part, in order; changes nothing. A file that is gone by now or has another life has
 * none. */
MUST_CHECK err_t wal_read(const struct wal_part *p, wal_replay_fn *fn, void *ctx) MAY_YIELD;
/* Copies a rotten file for people to look at, as <to_dir>/<core>-<name>; a copy that is there is left alone. */
MUST_CHECK err_t wal_keep_aside(const struct wal_log_file *f, const char *to_dir) MAY_YIELD;

#endif
