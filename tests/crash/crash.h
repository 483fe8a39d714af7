/* Crash states, after the way of ALICE and CrashMonkey: a workload of the production store runs once on the simulated disk and is
 * recorded; at every place where the disk or the catalog changes, disks are made that a loss of power there may
 * leave behind; the production code opens each of them, and what it then answers is held against what the clients of the
 * workload had been told by that time.
 *
 *   tape.c    records: the run's operations (base/rt/sim_tape.c), the catalog's, what clients did and were told
 *   bucket.c  records what happens to the bucket of the object tier
 *   work.c    the workloads
 *   states.c  the disks: which ones there are, which are tried
 *   trial.c   a disk is tried: recovered, perhaps cut short again, checked; perhaps lost, and all is read from the bucket
 *   main.c    runs them, two workloads at a time */
#ifndef TESTS_CRASH_CRASH_H
#define TESTS_CRASH_CRASH_H

#include "base/rt/sim.h"
#include "storage/object.h"
#include "tests/sim/deletions.h"
#include "tests/sim/keeping.h"

/* -- tape.c ------------------------------------------------------------------------------------------------ */
/* Notes on the tape: what, and which. The model's events come first, as model_event + 1. */
enum note { NOTE_MODEL_LAST = KEEP_ACKED + 1, NOTE_KV_BEGUN, NOTE_KV_DONE, NOTE_OBJECT_BEGUN, NOTE_OBJECT_DONE, NOTE_UPLOADED };
struct tape_kv_op { /* an atomic write to the catalog */
    struct kv_op *ops;
    size_t n;
};
struct tape_object { /* a write to the bucket */
    struct str name, bytes;
    bool remove, refused; /* refused: nothing happened */
    uint64_t hash;        /* of name and bytes */
    uint32_t refs;        /* shelves outlive the tape */
    char text[];
};
struct tape { /* of one run */
    struct sim_tape *disk;
    struct arena mem; /* of what follows */
    struct tape_kv_op *kv;
    size_t nkv, kv_cap;
    struct tape_object **objects;
    size_t nobjects, objects_cap;
};
void tape_init(struct tape *t);
void tape_deinit(struct tape *t);
/* A catalog that records its writes; borrows both. Free with free(). */
struct kv *tape_kv_new(struct tape *t, struct kv *inner);
void tape_note(enum note what, uint64_t which);
void tape_event(enum model_event what, uint32_t which); /* model.noted */

struct known_request {
    enum outcome outcome;
    uint32_t busy, sent;
    uint64_t first, last; /* by the clock */
};
struct known { /* what clients have done and were told; arrays as large as the model of the whole run needs them */
    struct known_request *requests;
    struct deletion *deletions; /* begin, end and acked of them */
    enum { KEEP_NOT, KEEP_MAYBE, KEEP_SURE } *keeps;
    uint32_t nrequests, ndeletions, nkeeps;
    uint64_t clock;
};

struct shelf { /* what a bucket holds */
    struct tape_object **v;
    size_t n, cap;
};
enum { UNDER_WAY_MAX = 8 };
struct cut { /* a place on the tape: what is true there */
    const struct tape *tape;
    const struct model *m; /* of the workload, as it was in the end */
    struct sim_player *disk;
    struct kv *kv;            /* in memory */
    struct shelf shelf;
    size_t kv_under_way[UNDER_WAY_MAX], objects_under_way[UNDER_WAY_MAX]; /* numbers of writes that may or may not have happened */
    unsigned nunder_way, nobjects_under_way;
    struct known known, uploaded; /* uploaded: as it was when all had been uploaded; no requests: it never was */
    int64_t wall_ns;
    size_t place;             /* which change: 1 = before the first */
};
struct cut_from { /* where the tape begins; all are copied, NULL is nothing */
    struct sim_disk *disk;
    struct kv *kv;
    const struct shelf *shelf;
    const struct known *known, *uploaded;
};
void cut_init(struct cut *c, const struct tape *t, const struct model *m, const struct cut_from *from);
void cut_deinit(struct cut *c);
/* Goes to where the next change of the disk, the catalog or the bucket is about to happen; false at the end (where a power cut
 * is possible as well). */
bool cut_next(struct cut *c);
struct kv *kv_copy(struct kv *kv);
void kv_apply(struct kv *kv, const struct tape_kv_op *op);
uint64_t kv_hash(struct kv *kv);
/* `to` is the model as it was when that was known, by that wall clock. */
void known_model(const struct known *k, const struct model *whole, uint64_t seed, int64_t wall_ns, struct model *to);

/* -- bucket.c ----------------------------------------------------------------------------------------------- */
/* Borrows both. Free with free(). */
struct object_store *tape_bucket_new(struct tape *t, struct object_store *inner);
void tape_object_put(struct tape_object *op);
void shelf_apply(struct shelf *s, struct tape_object *op);
struct shelf shelf_copy(const struct shelf *s);
void shelf_free(struct shelf *s);
uint64_t shelf_hash(const struct shelf *s);
void shelf_fill(const struct shelf *s, struct object_store *bucket) MAY_YIELD;

/* -- work.c ------------------------------------------------------------------------------------------------- */
struct work { /* a workload, by its seed */
    uint64_t seed;
    unsigned cores, clients, requests; /* clients a core, requests each */
    struct store_opts opts;            /* without kv */
    int64_t retention_at_ns;           /* after so long it goes on a little; 0 = it does not wait */
    bool restarts;                     /* closes and opens in the middle */
    bool merges;                       /* seals often, and waits for the merges of what was sealed */
    bool deletes, keeps;               /* meanwhile */
    bool bucket;                       /* of the object class; waits until all is uploaded */
    bool fills;                        /* the disk, for a while, with a ballast */
    struct model m;
    struct prng rnd;
};
void work_init(struct work *w, uint64_t seed);
/* Runs it from an empty disk. Exits when it does not end well. */
void work_record(struct work *w, struct tape *t, struct sim_disk *disk, struct kv *kv);
#define DISK_BYTES (512 << 20)

/* -- states.c ------------------------------------------------------------------------------------------------- */
struct image { /* what a power cut leaves */
    struct sim_disk *disk;
    struct kv *kv;
    struct shelf shelf;
};
void image_free(struct image *m);
uint64_t image_hash(const struct image *m);
struct tally {
    uint64_t places, candidates, complete; /* complete: places where every disk possible was among the candidates */
    uint64_t states, again;      /* tried; of them after a crash in the recovery from another one */
    uint64_t checks, acked_rows; /* held against the model */
    uint64_t takeovers, put_back; /* disks lost, segments taken away and put back, in the trials */
    uint64_t merges, deletions, keeps, uploads, evictions, ballasts; /* in the workloads */
    struct sim_stats faults;
};
/* Tries up to `quota` different states of a workload; only >= 0: just that one. Their hashes go to
 * hashes[*n]. Exits with a message at the first that is wrong. *now is the state under trial, for whoever finds the
 * process dead. */
void states_run(struct work *w, uint64_t quota, int64_t only, uint64_t *hashes, uint64_t *n, struct tally *sum, volatile uint64_t *now);
/* One drawn by a seed of all that a power cut there may leave. */
void image_seeded(struct cut *at, uint64_t seed, struct sim_stats *stats, struct image *out);

/* -- trial.c -------------------------------------------------------------------------------------------------- */
/* m is used up, but not freed. */
void try_image(const struct work *w, const struct cut *at, const struct image *m, uint64_t seed, int64_t wall_ns, struct tally *sum);
/* The power goes once more, while the store recovers from m; the hash of what that left, and that was tried. */
uint64_t try_again(const struct work *w, const struct cut *at, const struct image *m, uint64_t seed, struct tally *sum);

#endif
