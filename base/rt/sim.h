/* The simulator: the production code above struct io, unchanged, on 1..N reactors in ONE thread, with virtual time,
 * a seeded order of everything that may happen in any order, and a disk in memory that loses, tears
 * and refuses what a real disk may lose, tear and refuse. Same seed, same options, same program = same
 * run: sim_result.trace_hash is equal. There is no network yet: sockets answer ERR_UNAVAILABLE.
 *
 * A test of recovery:
 *     struct sim_disk *d = sim_disk_new(capacity);
 *     struct sim_result r;
 *     struct sim_opts o = { .crash_at = 1234, .faults = { .eio_sync = 0.001 } };
 *     sim_run(seed, 2, d, &o, node_main, &arg, &r);     // r.crashed: the node is gone, the disk survived
 *     sim_run(seed + 1, 2, d, &calm, check_main, &arg, &r);
 *     sim_disk_free(d);
 *
 * The disk
 *  1. A write is volatile until fdatasync of that file answered OK. At a crash each unsynced write of a file is,
 *     by the seed, lost, kept, or torn at sectors (512 or 4096 bytes, one size a crash), each independently of
 *     the others: later writes may survive earlier ones. Sizes behave like writes.
 *  2. A create, unlink or rename is volatile until fsync of its directory. At a crash a seeded prefix of each
 *     directory's pending changes survives. A rename is atomic. Syncing a file does not sync its name.
 *  3. A failed fdatasync (eio_sync) DROPS the file's unsynced writes: they can still be read, but no later fsync
 *     makes them durable and a crash loses them.
 *  4. Operations in flight at a crash happen or do not happen, by the seed.
 *  5. FILE_DIRECT checks alignment (EINVAL); it changes nothing about durability.
 *
 * A crash abandons all fibers: their stacks go without unwinding, memory that the node got from malloc
 * leaks. Under ASan leak checking therefore ignores what is allocated inside sim_run.
 *
 * What is not simulated: the network, CPU time (a fiber switch costs 100 ns of virtual time), memory exhaustion. */
#ifndef BASE_RT_SIM_H
#define BASE_RT_SIM_H

#include "base/rt/rt.h"

/* Probabilities of an operation, 0..1. */
struct sim_faults {
    double eio_read;     /* read answers EIO */
    double eio_write;    /* write answers EIO after a seeded prefix */
    double eio_sync;     /* fdatasync or fsync answers EIO and drops dirty data */
    double enospc;       /* allocate, create or write answers ENOSPC (also when capacity is used up) */
    double short_write;  /* write takes a part only (file_write goes on with the rest) */
    double short_read;   /* read gives a part only (file_read goes on with the rest) */
    double slow;         /* operation takes slow_ns instead of its usual 10 us .. 4 ms */
    int64_t slow_ns;     /* 0 = 1 s */
};

struct sim_opts {
    struct sim_faults faults;
    uint64_t crash_at;     /* crash after this many steps; 0 = never. A step is a fiber switch or an operation */
    int64_t time_max_ns;   /* virtual; past it the run ends as stuck. 0 = 1 h */
    int64_t wall_start_ns; /* 0 = 2026-01-01T00:00:00Z */
};

/* Counters of what really happened, so that a test can prove that its faults fired. */
struct sim_stats {
    uint64_t steps, ops, reads, writes, syncs;
    uint64_t eio_read, eio_write, eio_sync, enospc, short_write, short_read, slow;
    /* at the crash */
    uint64_t crash_writes_lost, crash_writes_kept, crash_writes_torn, crash_names_lost, crash_names_kept;
};

struct sim_result {
    bool crashed;        /* by crash_at or sim_crash */
    bool stuck;          /* fibers wait for what can never come, or time_max_ns is over; names are logged */
    err_t result;        /* of main_fn, when neither */
    int64_t virtual_ns;  /* how long it took */
    uint64_t trace_hash; /* XXH3 over every event: kind, result, time */
    struct sim_stats stats;
};

struct sim_disk;
struct sim_disk *sim_disk_new(uint64_t capacity_bytes);
void sim_disk_free(struct sim_disk *d);
/* Loses power with nothing running (e.g. after a run that ended normally without syncing). */
void sim_disk_crash(struct sim_disk *d, uint64_t seed, struct sim_stats *stats);
/* Flips `nbits` seeded bits of the durable and the volatile content of a file (bit rot). False: no such file,
 * or empty. */
bool sim_disk_rot(struct sim_disk *d, const char *path, uint64_t seed, unsigned nbits);
/* Whole content as programs see it now; malloc'd, or NULL. For checks outside a run. */
uint8_t *sim_disk_read(struct sim_disk *d, const char *path, size_t *n);
/* Calls fn for every file (not directories), in path order. */
void sim_disk_walk(struct sim_disk *d, void (*fn)(const char *path, uint64_t size, void *ctx), void *ctx);

/* Runs main_fn(arg) in a fiber on core 0 of `cores` simulated reactors until it returns, the node crashes, or
 * nothing can ever happen again. A return of main_fn leaves unsynced data on the disk as it is (a process
 * that ends loses nothing; sim_disk_crash loses it). */
void sim_run(uint64_t seed, unsigned cores, struct sim_disk *d, const struct sim_opts *o,
             err_t (*main_fn)(void *arg), void *arg, struct sim_result *out);

/* Inside a run: */
void sim_crash(void);            /* the node loses power now; does not return when called from a fiber */
void sim_set_faults(const struct sim_faults *f);
const struct sim_stats *sim_stats_now(void);

#endif
