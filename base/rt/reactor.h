/* The inside of the runtime, shared by the files of base/rt only. reactor.c explains the loop. */
#ifndef BASE_RT_REACTOR_H
#define BASE_RT_REACTOR_H

#include "base/core/assert.h"
#include "base/core/prng.h"
#include "base/rt/io.h"
#include "base/rt/rt.h"

#include <stdatomic.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define RT_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define RT_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define RT_TSAN 1
#endif

enum {
    RT_FIBERS_MAX = 4096,    /* a reactor; 2 mappings a stack against vm.max_map_count = 65,530 */
    RT_STACKS_KEPT = 256,    /* pooled stacks a reactor */
    RT_CORES_MAX = 256,
    RT_RING = 256,           /* messages between two reactors */
    RT_QUOTA_NS = 500000,    /* of a fiber between yields */
    RT_TURN_NS = 1000000,    /* of fibers in one turn of the loop before I/O is looked at again */
    RT_TURN_SWITCHES = 256,
    RT_STALL_NS = 10000000,
    RT_SPIN_NS = 2000,       /* before sleeping, when an answer of another reactor is expected */
    RT_STOP_S = 30,          /* for fibers to end at the stop */
    RT_STUCK_S = 10,         /* a turn that takes this long aborts the process */
};

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_WAITING, FIBER_ENDED };

struct fiber {
    void *ctx; /* boost.context */
    struct reactor *r;
    struct scope *scope;
    struct fiber *sib_prev, *sib_next;   /* fibers of the scope */
    struct fiber *all_prev, *all_next;   /* fibers of the reactor */
    struct fiber *ready_next;
    struct fiber *wait_prev, *wait_next; /* circular list of what we wait for */
    void **wait_list;                    /* its head; NULL = on none */
    enum fiber_state state;
    bool cancellable;                    /* while waiting */
    err_t woken_with;
    int64_t sem_need;
    const char *name;
    enum rt_class class;
    mono_ns deadline;                    /* {0} = none */
    mono_ns slice_end;
    struct timer timer;                  /* of the current wait */
    fiber_fn *fn;
    void *arg;
    char *stack;                         /* lowest usable byte */
    size_t stack_size;
    void *fake_stack, *tsan;
    unsigned valgrind_id;
    struct err_record err;
};

struct message {
    void (*fn)(void *arg);
    void *arg;
};
/* One producer (a reactor), one consumer (another). Head and tail on lines of their own. */
struct ring {
    _Alignas(64) _Atomic uint32_t tail; /* written by the producer */
    uint32_t head_seen;                 /* producer's copy of head */
    _Alignas(64) _Atomic uint32_t head; /* written by the consumer */
    struct message slots[RT_RING];
};
struct overflow { /* producer's own list of what did not fit; keeps the order */
    struct message *v;
    uint32_t n, cap;
};

struct timers {
    struct timer **v; /* v[1..n], a binary heap by `at` */
    uint32_t n, cap;
};

struct dgram;
struct runtime;
extern struct runtime *rt_running; /* of rt_run, for foreign threads */
struct sim;

struct reactor {
    struct runtime *rt;
    unsigned core;
    struct io *io;
    mono_ns now;
    struct fiber *current;
    struct {
        struct fiber *head, *tail;
        int64_t used; /* virtual time of the class: ns run divided by its share */
    } ready[RT_CLASSES];
    uint32_t nready;
    struct fiber *all;
    uint32_t live;
    struct fiber *free_fibers; /* with their stacks */
    uint32_t nfree;
    struct scope root;
    struct timers timers;
    uint32_t calls_out; /* rt_calls that wait for another reactor */
    bool stopping, counted_idle;
    mono_ns stop_by;
    struct timer stop_timer;
    struct overflow *out; /* [cores] */
    void *loop_ctx, *loop_fake, *loop_tsan;
    const void *loop_stack;
    size_t loop_stack_size;
    void *socks; /* sock.c's own */
    struct dgram *dgrams;
    uint64_t switches;
    _Atomic uint64_t turns;              /* read by the watchdog, like the next */
    _Atomic(const char *) running;       /* name of the running fiber, NULL = callbacks or waiting */
    _Alignas(64) _Atomic(struct io_event *) foreign; /* many producers: newest first */
    _Atomic bool sleeping;
};

/* Blocking calls beside the reactors. */
struct pool;
struct pool *pool_new(const char *name, unsigned threads_max);
void pool_put(struct pool *p, struct io_event *work); /* work->fn runs on a thread of the pool */
void pool_free(struct pool *p);                       /* waits for its threads; the queue must be empty */

struct runtime {
    unsigned cores;
    struct reactor **reactors;
    struct ring *rings; /* [from * cores + to] */
    struct pool *files, *offload;
    struct watchdog *watchdog;
    struct sim *sim;    /* or NULL */
    _Atomic bool stop;      /* main_fn has returned */
    _Atomic bool finished;  /* all reactors are drained */
    _Atomic unsigned idle;  /* reactors that are */
    err_t result;
    struct err_record result_err;
};

/* The running reactor; the simulator moves it. */
extern _Thread_local struct reactor *rt_self;
static inline struct reactor *rt_here(void)
{
    ASSERT(rt_self);
    return rt_self;
}

/* reactor.c */
MUST_CHECK err_t reactor_new(struct runtime *rt, unsigned core, struct reactor **out);
void reactor_free(struct reactor *r);
void reactor_turn(struct reactor *r, unsigned switches_max); /* all but the waiting */
bool reactor_busy(struct reactor *r);                        /* would a turn find something to do? */
mono_ns reactor_next_timer(struct reactor *r);               /* MONO_NEVER when none */
void reactor_post_event(struct reactor *r, struct io_event *e); /* from any thread */
void reactor_begin_stop(struct reactor *r);
bool reactor_drained(struct reactor *r);
void reactor_start_main(struct reactor *r, err_t (*main_fn)(void *), void *arg);
void runtime_init(struct runtime *rt, unsigned cores);
void runtime_deinit(struct runtime *rt);

/* fiber.c */
void fiber_resume(struct reactor *r, struct fiber *f);
void fiber_ready(struct fiber *f);
struct fiber *fiber_pop_ready(struct reactor *r);
/* Suspends the running fiber on a wait list (or NULL). deadline {0} or MONO_NEVER = none; a cancellable wait
 * also has the fiber's own deadline. */
err_t fiber_park(void **list, mono_ns deadline, bool cancellable);
void fiber_wake(struct fiber *f, err_t with);
void fiber_wake_all(void **list, err_t with);
bool fiber_cancelled(const struct fiber *f);
void fiber_cancel_waiting(struct reactor *r); /* wakes every waiting fiber that is cancelled */
void fiber_move_scope(struct fiber *f, struct scope *to);
void fiber_abandon_all(struct reactor *r);    /* a simulated crash */
void fiber_free_pool(struct reactor *r);
void fiber_log_live(struct reactor *r, const char *why);
int64_t rt_class_share(enum rt_class c);

/* watchdog.c: names reactors that do not come back to their loop, and aborts after RT_STUCK_S. */
struct watchdog *watchdog_start(struct runtime *rt);
void watchdog_stop(struct watchdog *w);

/* timer.c */
void timers_run(struct reactor *r);
void timers_deinit(struct reactor *r);

/* smp.c */
void smp_flush(struct reactor *r);
bool smp_drain(struct reactor *r);
bool smp_pending(struct reactor *r);
void smp_send(struct reactor *from, unsigned to, void (*fn)(void *), void *arg);
void reactor_wake(struct reactor *r);

/* sock.c */
void sock_flush_all(struct reactor *r);
bool sock_dirty(struct reactor *r);
void sock_stop_all(struct reactor *r);
bool sock_none(struct reactor *r);
void sock_deinit(struct reactor *r);

/* dgram.c */
void dgram_stop_all(struct reactor *r);

/* sim.c: hooks of the simulator, called when rt->sim */
void sim_on_switch(struct reactor *r);

/* An io_op that a fiber waits for, cancel or not. Returns op->result. */
int64_t io_await(struct io_op *op) MAY_YIELD;

#endif
