/* Crash states, after the way of ALICE and CrashMonkey: a workload of the production store runs once on the simulated disk and is
 * recorded; at every place where the disk or the catalog changes, disks are made that a loss of power there may
 * leave behind; the production code opens each of them, and what it then answers is held against what the clients of the
 * workload had been told by that time.
 *
 *   tape.c    records: the run's operations (base/rt/sim_tape.c), the catalog's, requests begun and acked
 *   work.c    the workloads
 *   states.c  the disks: which ones there are, which are tried
 *   main.c    runs them, two workloads at a time */
#ifndef TESTS_CRASH_CRASH_H
#define TESTS_CRASH_CRASH_H

#include "base/rt/sim.h"
#include "tests/sim/model.h"

/* -- tape.c ------------------------------------------------------------------------------------------------ */
struct tape_kv_op { /* an atomic write to the catalog */
    struct kv_op *ops;
    size_t n;
};
struct tape { /* of one run */
    struct sim_tape *disk;
    struct arena mem; /* of what follows */
    struct tape_kv_op *kv;
    size_t nkv, kv_cap;
};
void tape_init(struct tape *t);
void tape_deinit(struct tape *t);
/* A catalog that records its writes; borrows both. Free with free(). */
struct kv *tape_kv_new(struct tape *t, struct kv *inner);
void tape_begun(uint32_t request);
void tape_acked(uint32_t request);

struct cut { /* a place on the tape: what is true there */
    const struct tape *tape;
    struct sim_player *disk;
    struct kv *kv;            /* in memory */
    size_t kv_under_way[8];   /* numbers of writes that may or may not have happened */
    unsigned nunder_way;
    uint8_t *outcomes;        /* enum outcome of each request */
    uint32_t nrequests, max;
    int64_t wall_ns;
    size_t place;             /* which change: 1 = before the first */
};
/* `outcomes`: of the requests as they were before the run (n of them), max in all. disk and kv are copied. */
void cut_init(struct cut *c, const struct tape *t, struct sim_disk *disk, struct kv *kv, const uint8_t *outcomes, uint32_t n, uint32_t max);
void cut_deinit(struct cut *c);
/* Goes to where the next change of the disk or the catalog is about to happen; false at the end (where a power cut
 * is possible as well). */
bool cut_next(struct cut *c);
struct kv *kv_copy(struct kv *kv);
void kv_apply(struct kv *kv, const struct tape_kv_op *op);
uint64_t kv_hash(struct kv *kv);

/* -- work.c ------------------------------------------------------------------------------------------------- */
struct work { /* a workload, by its seed */
    uint64_t seed;
    unsigned cores, clients, requests; /* clients a core, requests each */
    struct store_opts opts;            /* without kv */
    int64_t retention_at_ns;           /* after so long it goes on a little; 0 = it does not wait */
    bool restarts;                     /* closes and opens in the middle */
    bool merges;                       /* seals often, and waits for the merges of what was sealed */
    struct model m;
    struct prng rnd;
};
void work_init(struct work *w, uint64_t seed);
/* Runs it from an empty disk. Exits when it does not end well. */
void work_record(struct work *w, struct tape *t, struct sim_disk *disk, struct kv *kv);

/* -- states.c ------------------------------------------------------------------------------------------------- */
struct tally {
    uint64_t places, candidates, complete; /* complete: places where every disk possible was among the candidates */
    uint64_t states, again;      /* tried; of them after a crash in the recovery from another one */
    uint64_t checks, acked_rows; /* held against the model */
    uint64_t merges;             /* of segments, in the workloads */
    struct sim_stats faults;
};
/* Tries up to `quota` different states of a workload; only >= 0: just that one. Their hashes go to
 * hashes[*n]. Exits with a message at the first that is wrong. *now is the state under trial, for whoever finds the
 * process dead. */
void states_run(struct work *w, uint64_t quota, int64_t only, uint64_t *hashes, uint64_t *n, struct tally *sum, volatile uint64_t *now);

#endif
