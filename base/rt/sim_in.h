/* Shared by sim.c (the loop), io_sim.c (disks and the io table) and sim_net.c (the network). */
#ifndef BASE_RT_SIM_IN_H
#define BASE_RT_SIM_IN_H

#include "base/rt/reactor.h"
#include "base/rt/sim_disk.h"

struct sim_world;
struct sim_end;
struct sim_fd { /* one of the three; all NULL = closed */
    struct sim_node *node;
    struct sim_end *end;           /* of a connection */
    struct sim_listen *listener;
    int flags;
};

struct sim_flight { /* an operation under way */
    struct io_op *op;
    struct io *io;
    int64_t due;
    uint64_t seq;
    size_t tape_at; /* when it was submitted */
};

/* Something that the network does at its time. */
struct sim_event {
    int64_t due;
    uint64_t seq;
    void (*fn)(struct sim_world *w, void *arg);
    void *arg;
};

struct sim { /* a host: one life of a node at a time */
    struct runtime rt;
    struct sim_world *world;
    unsigned index;        /* in the world; its address is 10.0.x.y */
    bool on;               /* runs */
    bool crashed, killed;  /* and is to be swept away by the loop */
    int64_t paused_until;
    struct sim_disk *disk; /* NULL: has none */
    struct sim_opts opts;
    struct prng entropy;   /* what the programs draw: of its own, so that it does not move with the number of operations */
    int64_t wall_start;
    struct sim_stats stats;
    struct sim_fd *fds;
    size_t nfds;
    struct sim_flight *flights; /* sorted by due, then seq: the next one last */
    size_t nflights, cap;
    struct sim_listen *listeners;
    struct sim_dgram *dgrams;
    struct sim_result last; /* of the life that ended */
};

struct sim_world {
    struct prng random;    /* what happens, and when */
    int64_t now;
    uint64_t seq, trace;
    int64_t time_max;
    struct sim **hosts;
    unsigned nhosts;
    struct sim_net net;
    struct sim_net_stats net_stats;
    bool *cut;             /* [from * SIM_HOSTS_MAX + to]; NULL until the first */
    struct sim_event *events; /* a heap */
    size_t nevents, cap_events;
    struct sim_conn *conns;
};

struct io *io_sim_new(struct sim *s, struct reactor *r);
/* Ends every operation that is due; its result goes to its reactor. */
void io_sim_complete_due(struct sim *s);
int64_t io_sim_next_due(const struct sim *s); /* INT64_MAX when none */
/* Power goes: operations under way happen or not. */
void io_sim_crash(struct sim *s);
void io_sim_close_all(struct sim *s);
/* A descriptor for what f says. */
int io_sim_fd(struct sim *s, struct sim_fd f);
struct sim_fd *io_sim_fd_of(struct sim *s, int fd); /* NULL: none */
/* An operation has ended; `at` is what sim_tape_length was when it was submitted. */
void sim_tape_put(struct sim_tape *t, const struct io_op *op, size_t at, int64_t wall_ns);
size_t sim_tape_length(const struct sim_tape *t);
void sim_step(struct sim *s, unsigned kind, unsigned core, int64_t result, uint64_t data);
struct sim *sim_of_io(struct io *io);
struct sim *sim_running(void); /* the running reactor's host */
bool sim_chance(struct sim_world *w, double p, uint64_t *counter);

/* -- sim_net.c ---------------------------------------------------------------------------------------- */
extern const struct io_net sim_net_ops;
void sim_net_send(struct sim *s, struct io_op *op);    /* IO_SEND */
void sim_net_connect(struct sim *s, struct io_op *op); /* IO_CONNECT */
void sim_net_recv_start(struct io *io, struct io_sock *s);
void sim_net_recv_pause(struct io *io, struct io_sock *s);
void sim_net_recv_resume(struct io *io, struct io_sock *s);
void sim_net_sock_stop(struct io *io, struct io_sock *s);
void sim_net_accept_start(struct io *io, struct io_accept *a);
void sim_net_accept_stop(struct io *io, struct io_accept *a);
void sim_net_run_due(struct sim_world *w);
int64_t sim_net_next_due(const struct sim_world *w);
/* The host is gone: without a word (power), or its kernel tells its peers (the process alone died). */
void sim_net_host_gone(struct sim *s, bool silently);
void sim_net_deinit(struct sim_world *w);

#endif
