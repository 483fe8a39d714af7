/* Shared by sim.c (the loop) and io_sim.c (the io table). */
#ifndef BASE_RT_SIM_IN_H
#define BASE_RT_SIM_IN_H

#include "base/rt/reactor.h"
#include "base/rt/sim_disk.h"

struct sim_fd {
    struct sim_node *node; /* NULL = closed */
    int flags;
};

struct sim_flight { /* an operation under way */
    struct io_op *op;
    struct io *io;
    int64_t due;
    uint64_t seq;
    size_t tape_at; /* when it was submitted */
};

struct sim {
    struct runtime rt;
    struct sim_disk *disk;
    struct sim_opts opts;
    struct prng random;  /* what happens, and when */
    struct prng entropy; /* what the programs draw: of its own, so that it does not move with the number of operations */
    int64_t now, wall_start;
    uint64_t trace;
    struct sim_stats stats;
    bool crashed;
    struct sim_fd *fds;
    size_t nfds;
    struct sim_flight *flights; /* sorted by due, then seq: the next one last */
    size_t nflights, cap;
    uint64_t seq;
};

extern _Thread_local struct sim *sim_here;

struct io *io_sim_new(struct sim *s, struct reactor *r);
/* Ends every operation that is due; its result goes to its reactor. */
void io_sim_complete_due(struct sim *s);
int64_t io_sim_next_due(const struct sim *s); /* INT64_MAX when none */
/* Power goes: operations under way happen or not. */
void io_sim_crash(struct sim *s);
void io_sim_close_all(struct sim *s);
/* An operation has ended; `at` is what sim_tape_length was when it was submitted. */
void sim_tape_put(struct sim_tape *t, const struct io_op *op, size_t at, int64_t wall_ns);
size_t sim_tape_length(const struct sim_tape *t);
void sim_step(struct sim *s, unsigned kind, unsigned core, int64_t result, uint64_t data);

#endif
