/* The thread-per-core runtime as its users see it: reactors, fibers, waiting, time, messages between
 * cores, blocking calls pushed aside. (io.h below it is the table of the operating system; file.h and
 * base/net/ above it are what modules use for disks and sockets.)
 *
 * Rules
 *  1. A reactor is one thread (pinned), or one turn of the simulator. Everything it owns is touched by it alone.
 *     Reactors talk only by rt_call/rt_post; foreign threads only by rt_post_foreign.
 *  2. A fiber has a 256 KiB stack with a guard page, belongs to one reactor for life and to one scope.
 *  3. Only functions marked MAY_YIELD suspend. Every wait takes a deadline or inherits its fiber's, and
 *     returns ERR_CANCELED when the fiber's scope is cancelled, ERR_TIMEOUT when the deadline passed.
 *  4. Loops over data call rt_checkpoint(); it yields when the fiber's quota (500 us) is used.
 *  5. No recursion driven by input on a fiber; parsers and ASTs have depth <= 64. */
#ifndef BASE_RT_RT_H
#define BASE_RT_RT_H

#include "base/core/err.h"
#include "base/core/types.h"

struct fiber;
struct io;

/* Scheduling classes, in the order of their priority; each has a share of the reactor's time. */
enum rt_class { RT_MEMBERSHIP, RT_INGEST, RT_REPLICATION, RT_QUERY, RT_MAINTENANCE, RT_CLASSES };

/* -- who am I ------------------------------------------------------------------------------------- */
unsigned rt_core(void);  /* index of the running reactor; asserts that one runs */
unsigned rt_cores(void); /* number of reactors */
bool rt_in_fiber(void);
struct io *rt_io(void);  /* the running reactor's io table */

/* -- time ----------------------------------------------------------------------------------------- */
mono_ns rt_now(void);    /* monotonic; cached once a loop turn, refreshed by rt_checkpoint */
unix_ns rt_wall(void);
uint64_t rt_random(void); /* seeded in the simulator */

/* -- scopes: structured concurrency ---------------------------------------------------------------- *
 * A scope owns fibers. scope_join waits for all of them; scope_cancel makes every wait of every child (and of
 * their sub-scopes) return ERR_CANCELED. scope_deinit asserts that it is empty. The struct lives in
 * the caller's frame or object and must not move. */
struct scope {
    struct scope *parent;
    uint32_t live;     /* fibers not yet ended */
    bool cancelled;
    err_t first_error; /* of its fibers, by scope_fail */
    void *children;    /* fibers, intrusive; runtime's own */
    void *joiner;      /* runtime's own */
    unsigned core;
};
void scope_init(struct scope *s, struct scope *parent); /* parent may be NULL */
void scope_cancel(struct scope *s);
err_t scope_join(struct scope *s) MAY_YIELD; /* first_error; waits even when the caller is cancelled */
void scope_fail(struct scope *s, err_t e);   /* records e if it is the first, and cancels the scope */
void scope_deinit(struct scope *s);

/* -- fibers ----------------------------------------------------------------------------------------- */
typedef void fiber_fn(void *arg);
struct fiber_opts {
    const char *name;       /* static */
    enum rt_class class;
    mono_ns deadline;       /* {0} = none; inherited by its waits */
};
/* Starts fn(arg) in a new fiber of scope s on this reactor; it runs at a later turn.
 * ERR_OVERLOAD when the reactor has its maximum of fibers (4,096). */
MUST_CHECK err_t fiber_start(struct scope *s, const struct fiber_opts *o, fiber_fn *fn, void *arg);
void fiber_yield(void) MAY_YIELD;
MUST_CHECK err_t fiber_sleep(int64_t ns) MAY_YIELD;
/* OK, ERR_CANCELED or ERR_TIMEOUT; for loops that do not wait. Yields when the quota is used up. */
MUST_CHECK err_t rt_checkpoint(void) MAY_YIELD;
void fiber_set_deadline(mono_ns deadline);
mono_ns fiber_deadline(void); /* of the running fiber; {0} = none */
struct scope *fiber_scope(void);

/* -- waiting: a one-reactor event (no atomics) --------------------------------------------------------- *
 * event_wait suspends until event_signal was called at least once since the last event_reset. */
struct event {
    bool set;
    void *waiters; /* runtime's own list of fibers */
};
void event_init(struct event *e);
void event_signal(struct event *e); /* wakes all; may be called from callbacks */
void event_reset(struct event *e);
MUST_CHECK err_t event_wait(struct event *e) MAY_YIELD; /* OK, ERR_CANCELED, ERR_TIMEOUT */
MUST_CHECK err_t event_wait_until(struct event *e, mono_ns deadline) MAY_YIELD;

/* Counting semaphore, FIFO; for admission and for bounding work in flight. */
struct sem {
    int64_t free;
    void *waiters;
};
/* (libc owns the name sem_init: a library in the process that calls it would get ours) */
void rt_sem_init(struct sem *s, int64_t count);
MUST_CHECK err_t sem_take(struct sem *s, int64_t n) MAY_YIELD;
bool sem_try(struct sem *s, int64_t n);
void sem_give(struct sem *s, int64_t n);

/* "No new requests, wait for the running ones." */
struct gate {
    uint32_t inside;
    bool closed;
    struct event idle;
};
void gate_init(struct gate *g);
bool gate_enter(struct gate *g); /* false once closed */
void gate_leave(struct gate *g);
void gate_close(struct gate *g) MAY_YIELD; /* returns when nobody is inside; ignores cancel */

/* -- timers (callbacks on the reactor, no fiber) ------------------------------------------------------- */
struct timer {
    mono_ns at;
    void (*fn)(struct timer *);
    uint32_t heap_idx; /* runtime's own; 0 = not armed */
};
void timer_arm(struct timer *t, mono_ns at, void (*fn)(struct timer *)); /* re-arms if armed */
void timer_disarm(struct timer *t);

/* -- between reactors --------------------------------------------------------------------------------- *
 * Bounded single-producer rings per pair of reactors; a post to a full ring waits (fiber) for room.
 * Calls between cores must form no cycle of waits: a handler started by rt_call may rt_call only for work
 * that itself does not rt_call (scatter -> shard, append -> insert). */
typedef err_t rt_call_fn(void *arg);
/* Runs fn(arg) in a fiber on `core` and waits for its result and error detail. Runs in place when core is
 * this one. On cancel the callee is cancelled and still waited for: arg may live on our stack. */
MUST_CHECK err_t rt_call(unsigned core, enum rt_class class, rt_call_fn *fn, void *arg) MAY_YIELD;
/* Runs fn(args[i]) on every core i at once and waits for all; errs[i] each result (may be NULL).
 * Returns the first error. The detail of that error becomes ours. */
MUST_CHECK err_t rt_call_all(enum rt_class class, rt_call_fn *fn, void *const *args, err_t *errs) MAY_YIELD;
/* Fire and forget: fn(arg) runs on `core` as a callback (must not yield). From a reactor only. */
void rt_post(unsigned core, void (*fn)(void *arg), void *arg) MAY_YIELD;
/* The same from any thread that is no reactor. Never blocks; unbounded only by the caller's own credit. */
void rt_post_foreign(unsigned core, void (*fn)(void *arg), void *arg);

/* -- blocking libraries --------------------------------------------------------------------------------- *
 * Runs fn(arg) on a thread of the offload pool and waits. Not cancellable: arg may live on our stack.
 * In the simulator it runs in place, at a seeded virtual delay. */
MUST_CHECK err_t rt_offload(err_t (*fn)(void *arg), void *arg) MAY_YIELD;

/* -- start and stop --------------------------------------------------------------------------------------- */
enum rt_backend { RT_AUTO, RT_URING, RT_EPOLL };
struct rt_opts {
    unsigned cores;            /* 0 = all that the affinity mask allows */
    enum rt_backend backend;   /* RT_AUTO probes io_uring at start and falls back to epoll */
    unsigned offload_threads;  /* default 2 */
    bool pin;                  /* pin reactors to cores */
};
/* Starts the reactors and runs main_fn(arg) in a fiber on core 0; returns when it has returned and all
 * reactors have stopped. Its error is the result. Signals are not touched. */
MUST_CHECK err_t rt_run(const struct rt_opts *o, err_t (*main_fn)(void *arg), void *arg);
/* "io_uring", "epoll" or "sim", and why: "io_uring: EPERM from io_uring_setup (a seccomp profile, ...)" */
const char *rt_backend_name(void);
const char *rt_backend_reason(void);

#endif
