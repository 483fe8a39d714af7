/* The simulator: the production code above struct io, unchanged, on 1..N reactors in ONE thread, with virtual time,
 * a seeded order of everything that may happen in any order, and a disk in memory that loses, tears
 * and refuses what a real disk may lose, tear and refuse; with sim_world_run several hosts and a network between them.
 * Same seed, same options, same program = same run: sim_result.trace_hash is equal.
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
 *     directory's pending changes survives (sim_pick can have any of them survive). A rename is atomic. Syncing
 *     a file does not sync its name.
 *  3. A failed fdatasync (eio_sync) DROPS the file's unsynced writes: they can still be read, but no later fsync
 *     makes them durable and a crash loses them.
 *  4. Operations in flight at a crash happen or do not happen, by the seed.
 *  5. FILE_DIRECT checks alignment (EINVAL); it changes nothing about durability.
 *
 * A crash abandons all fibers: their stacks go without unwinding, memory that the node got from malloc
 * leaks. Under ASan leak checking therefore ignores what is allocated inside sim_run.
 *
 * What is not simulated: CPU time (a fiber switch costs 100 ns of virtual time), memory exhaustion. */
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

struct sim_tape;
struct sim_opts {
    struct sim_faults faults;
    uint64_t crash_at;     /* crash after this many steps; 0 = never. A step is a fiber switch or an operation */
    int64_t time_max_ns;   /* virtual; past it the run ends as stuck. 0 = 1 h */
    int64_t wall_start_ns; /* 0 = 2026-01-01T00:00:00Z */
    struct sim_tape *tape; /* records, when there is one */
    uint64_t fail_nth;     /* the nth operation that can fail so does, 1 = the first; 0 = none */
    int fail_errno;        /* EIO, ENOSPC, or 0: it does a part of what was asked */
    bool watch_leaks;      /* of a run that ends without a crash */
};

/* Counters of what really happened, so that a test can prove that its faults fired. */
struct sim_stats {
    uint64_t steps, ops, reads, writes, syncs;
    uint64_t eio_read, eio_write, eio_sync, enospc, short_write, short_read, slow;
    uint64_t could_fail; /* operations counted for fail_nth: it fired when it is no more than these */
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

/* What a loss of power does to what is not synced, decision by decision: fn answers 0 .. n - 1. */
enum sim_pick_kind {
    SIM_PICK_SECTOR, /* 0: 4,096 bytes, 1: 512 */
    SIM_PICK_ORDER,  /* a directory: 0: a prefix of its changes survives, 1: any of them (SIM_PICK_NAME for each) */
    SIM_PICK_NAMES,  /* how many of them */
    SIM_PICK_NAME,   /* 1: this one does */
    SIM_PICK_WRITE,  /* 0 lost, 1 kept, 2 torn */
    SIM_PICK_PIECE,  /* 1: this sector of a torn write is kept */
    SIM_PICK_SIZE,   /* 1: a change of size is kept */
    SIM_PICK_FLIGHT, /* 1: an operation under way happened (and is not synced) */
};
struct sim_pick {
    uint64_t (*fn)(struct sim_pick *p, enum sim_pick_kind kind, uint64_t n);
};

struct sim_disk;
struct sim_disk *sim_disk_new(uint64_t capacity_bytes);
void sim_disk_free(struct sim_disk *d);
/* Loses power with nothing running (e.g. after a run that ended normally without syncing). */
void sim_disk_crash(struct sim_disk *d, uint64_t seed, struct sim_stats *stats);
void sim_disk_crash_by(struct sim_disk *d, struct sim_pick *by, struct sim_stats *stats);
/* Of all names and their contents, as programs see them now. */
uint64_t sim_disk_hash(const struct sim_disk *d);
/* Flips `nbits` seeded bits of the durable and the volatile content of a file (bit rot). False: no such file,
 * or empty. */
bool sim_disk_rot(struct sim_disk *d, const char *path, uint64_t seed, unsigned nbits);
/* Whole content as programs see it now; malloc'd, or NULL. For checks outside a run. */
uint8_t *sim_disk_read(struct sim_disk *d, const char *path, size_t *n);
/* Do these bytes lie in what a loss of power leaves for sure of a file whose path has `part` in it, under a name that stays too? At most
 * 1,000 bytes. */
bool sim_disk_synced(const struct sim_disk *d, const char *part, const void *bytes, size_t n);
/* Calls fn for every file (not directories), in path order. */
void sim_disk_walk(struct sim_disk *d, void (*fn)(const char *path, uint64_t size, void *ctx), void *ctx);

/* -- the tape: what a run did to its disk, for crash states (sim_tape.c) --
 * A run with sim_opts.tape records every operation with the place on the tape where it was submitted. A player goes over
 * the tape and can at any place tell what a loss of power there may leave: all that is not synced by the
 * rules of the disk, and operations that were under way. A write with sync is two operations on the tape. */
struct sim_tape *sim_tape_new(void);
void sim_tape_free(struct sim_tape *t);
/* Inside a run with a tape: a mark of the test's own (a request acked, ...). Without one: nothing. */
void sim_tape_note(uint64_t value);

struct sim_player;
/* `start` is the disk as it was before the run; it is copied. The tape stays where it is. */
struct sim_player *sim_player_new(const struct sim_tape *t, struct sim_disk *start);
void sim_player_free(struct sim_player *p);
struct sim_played {
    bool changes;    /* an operation that changes files or names */
    bool is_note;
    uint64_t note;
    int64_t wall_ns; /* when it ended */
};
/* Looks at what is next, false at the end; and does it. */
bool sim_player_peek(const struct sim_player *p, struct sim_played *out);
void sim_player_step(struct sim_player *p);
/* The disk that a loss of power here leaves, as `by` decides. The caller frees it. */
struct sim_disk *sim_player_crash(struct sim_player *p, struct sim_pick *by, struct sim_stats *stats);

/* Runs main_fn(arg) in a fiber on core 0 of `cores` simulated reactors until it returns, the node crashes, or
 * nothing can ever happen again. A return of main_fn leaves unsynced data on the disk as it is (a process
 * that ends loses nothing; sim_disk_crash loses it). */
void sim_run(uint64_t seed, unsigned cores, struct sim_disk *d, const struct sim_opts *o,
             err_t (*main_fn)(void *arg), void *arg, struct sim_result *out);

/* Inside a run: */
void sim_crash(void);            /* the node loses power now; does not return when called from a fiber */
void sim_set_faults(const struct sim_faults *f);
const struct sim_stats *sim_stats_now(void);
void sim_step_wall(int64_t by_ns); /* somebody sets the clock */

/* -- several hosts ------------------------------------------------------------------------------------- *
 * The script is the main function of host 0, which has one core and no disk: it makes hosts, starts, kills and separates them,
 * and is their client. The world ends with it; what still runs then is killed. Host h has the address sim_host_addr; on every host
 * 127.0.0.1 is itself.
 *
 * The network
 *  1. A stream delivers its bytes in order, in pieces cut by the seed, or breaks. At most 256 KiB are under way. What is sent over
 *     a cut waits; after 60 s the connection breaks on the side that sent (ETIMEDOUT). A connect that meets silence
 *     fails after 20 s, one that meets no listener at once.
 *  2. A host that loses power says nothing: its peers learn by silence, or by a reset from its next life. One that is killed, or ends,
 *     resets or ends its connections at once.
 *  3. A datagram arrives once, twice, later, or never.
 * A host that is paused does nothing, while the network and its disk go on. */
enum { SIM_HOSTS_MAX = 64, SIM_ADDR_MAX = 32 };
struct sim_net { /* probabilities, 0..1 */
    double loss, twice, late; /* of a datagram; late: it takes late_ns more */
    double reset, slow;       /* of a packet of a stream: the connection breaks; it and those behind it take late_ns more */
    int64_t late_ns;          /* 0 = 1 s; drawn evenly below it */
};
struct sim_net_stats {
    uint64_t connects, refused, packets, datagrams, lost, twice, late, resets, slow, over_cuts, timeouts;
};
/* out: of the script. time_max_ns as in sim_opts. `net` may be NULL. */
void sim_world_run(uint64_t seed, int64_t time_max_ns, err_t (*script)(void *arg), void *arg, struct sim_result *out,
                   struct sim_net_stats *net);
/* Inside the script. A host that is off; crash_at counts in each of its lives. The disk stays the caller's. */
unsigned sim_host_new(struct sim_disk *d, const struct sim_opts *o);
void sim_host_start(unsigned host, unsigned cores, err_t (*main_fn)(void *arg), void *arg);
bool sim_host_on(unsigned host);
const struct sim_result *sim_host_last(unsigned host); /* of its last life; the host is off */
/* It is off when sim_host_on says so, a turn later. */
void sim_host_crash(unsigned host); /* power: the disk loses what is not synced */
void sim_host_kill(unsigned host);  /* the process alone */
void sim_host_pause(unsigned host, int64_t ns);
void sim_host_step_wall(unsigned host, int64_t by_ns);
void sim_host_faults(unsigned host, const struct sim_faults *f);
void sim_host_addr(unsigned host, char *to); /* SIM_ADDR_MAX bytes */
void sim_net_set(const struct sim_net *n);
void sim_net_cut(unsigned from, unsigned to, bool cut); /* one way */

#endif
