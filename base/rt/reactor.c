/* The reactor: one thread, one loop, and the start and stop of all of them.
 *
 *     +-> 1 reap        io->reap: hands submissions to the kernel and takes completions; the only place that
 *     |                 waits. Socket bytes go to their callbacks from here
 *     |   2 complete    callbacks of finished operations (they wake fibers, or start more operations)
 *     |   3 messages    rings of the other reactors, then posts of foreign threads
 *     |   4 timers
 *     |   5 fibers      by class, until none is ready or RT_TURN_NS is over
 *     |   6 flush       one send a socket with output; messages that found their ring full
 *     +-- 7 complete    what the flush finished at once (epoll), so that it costs no turn of its own
 *
 * Invariants
 *  1. Code of the reactor runs either in the loop (callbacks: r->current == NULL, must not wait) or in one
 *     fiber (r->current). Nothing is preempted, so nothing inside a reactor is locked or atomic.
 *  2. A callback never runs inside the call that caused it (io.h rule 2).
 *  3. The loop waits only when no fiber is ready, no event is queued, no output is unflushed and no message is
 *     pending, with `sleeping` set before the last look (smp.c).
 *  4. r->now is read once a turn and after each fiber. Time does not move inside a callback.
 *
 * Scheduling: each class has used time divided by its share, and the ready class with the least goes first;
 * membership goes before all. A class that slept starts level with the least served one.
 *
 * Stop: when main_fn returns every wait of every fiber fails with ERR_CANCELED, sockets are aborted, and each
 * reactor counts itself idle once it holds no fiber and no socket. When all are idle at once, all loops end: until
 * then each one still answers the calls of the others. Fibers that do not end within RT_STOP_S are named and abort. */
#include "base/rt/reactor.h"

#include "base/core/log.h"
#include "base/core/metric.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct reactor *rt_self;
struct runtime *rt_running; /* of rt_run; the simulator has its own */

static const char *backend_name = "none";
static char backend_reason[512] = "no reactor has run yet";

/* -- who am I --------------------------------------------------------------------------------------- */
unsigned rt_core(void)
{
    return rt_here()->core;
}

unsigned rt_cores(void)
{
    return rt_here()->rt->cores;
}

bool rt_in_fiber(void)
{
    return rt_self && rt_self->current;
}

struct io *rt_io(void)
{
    return rt_here()->io;
}

mono_ns rt_now(void)
{
    return rt_here()->now;
}

unix_ns rt_wall(void)
{
    struct io *io = rt_io();
    return io->ops->wall(io);
}

uint64_t rt_random(void)
{
    struct io *io = rt_io();
    return io->ops->random(io);
}

const char *rt_backend_name(void)
{
    return rt_self && rt_self->rt->sim ? "sim" : backend_name;
}

const char *rt_backend_reason(void)
{
    return rt_self && rt_self->rt->sim ? "the simulator" : backend_reason;
}

/* -- life ------------------------------------------------------------------------------------------- */
void runtime_init(struct runtime *rt, unsigned cores)
{
    *rt = (struct runtime){ .cores = cores };
    rt->reactors = calloc(cores, sizeof(struct reactor *));
    size_t bytes = sizeof(struct ring) * cores * cores;
    rt->rings = aligned_alloc(64, bytes);
    ASSERT(rt->reactors && rt->rings);
    memset(rt->rings, 0, bytes);
}

void runtime_deinit(struct runtime *rt)
{
    free(rt->reactors);
    free(rt->rings);
}

err_t reactor_new(struct runtime *rt, unsigned core, struct reactor **out)
{
    struct reactor *r = aligned_alloc(64, sizeof *r);
    ASSERT(r);
    memset(r, 0, sizeof *r);
    r->rt = rt;
    r->core = core;
    r->root.core = core;
    r->out = calloc(rt->cores, sizeof *r->out);
    ASSERT(r->out);
    *out = r;
    return OK;
}

void reactor_free(struct reactor *r)
{
    struct reactor *before = rt_self;
    rt_self = r;
    sock_deinit(r);
    timers_deinit(r);
    fiber_free_pool(r);
    if (r->io) r->io->ops->free(r->io);
    for (unsigned i = 0; i < r->rt->cores; i++)
        free(r->out[i].v);
    free(r->out);
    rt_self = before == r ? NULL : before;
    free(r);
}

/* -- the loop --------------------------------------------------------------------------------------- */
static void run_completions(struct reactor *r)
{
    for (struct io_event *e; (e = io_queue_pop(&r->io->done));)
        e->fn(e);
}

static void note_stall(const struct reactor *r, const char *what, int64_t ns)
{
    metric_add(M_STALLS, 1);
    log_warn("rt.stall", "core=%u in=%s ms=%lld", r->core, what, (long long)(ns / NS_PER_MS));
}

static void clock_tick(struct reactor *r)
{
    r->now = r->io->ops->now(r->io);
}

static void run_fibers(struct reactor *r, unsigned switches_max)
{
    int64_t start = r->now.ns, before = start;
    for (unsigned i = 0; i < switches_max; i++) {
        struct fiber *f = fiber_pop_ready(r);
        if (!f) break;
        enum rt_class class = f->class;
        const char *name = f->name;
        atomic_store_explicit(&r->running, name, memory_order_relaxed);
        fiber_resume(r, f);
        if (r->rt->sim) sim_on_switch(r);
        clock_tick(r);
        int64_t ns = r->now.ns - before;
        before = r->now.ns;
        r->ready[class].used += ns * 1000 / rt_class_share(class);
        if (ns > RT_STALL_NS) note_stall(r, name, ns);
        if (r->now.ns - start > RT_TURN_NS) break;
    }
    atomic_store_explicit(&r->running, NULL, memory_order_relaxed);
}

void reactor_turn(struct reactor *r, unsigned switches_max)
{
    clock_tick(r);
    int64_t start = r->now.ns;
    run_completions(r);
    smp_drain(r);
    timers_run(r);
    clock_tick(r);
    if (r->now.ns - start > RT_STALL_NS) note_stall(r, "callbacks", r->now.ns - start);
    run_fibers(r, switches_max);
    sock_flush_all(r);
    smp_flush(r);
    run_completions(r);
}

bool reactor_busy(struct reactor *r)
{
    return r->nready || r->io->done.head || sock_dirty(r) || smp_pending(r);
}

/* An answer of another core usually comes within a microsecond or two: cheaper to look than to sleep. */
static bool spin(struct reactor *r)
{
    if (!r->calls_out) return false;
    int64_t until = r->io->ops->now(r->io).ns + RT_SPIN_NS;
    do {
        for (unsigned i = 0; i < 32; i++) {
            if (smp_pending(r)) return true;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    } while (r->io->ops->now(r->io).ns < until);
    return false;
}

static void reactor_wait(struct reactor *r)
{
    mono_ns until = { 0 };
    if (!reactor_busy(r) && !spin(r)) {
        atomic_store(&r->sleeping, true);
        if (!reactor_busy(r) && !atomic_load(&r->rt->finished)) until = reactor_next_timer(r);
    }
    r->io->ops->reap(r->io, until);
    atomic_store(&r->sleeping, false);
    atomic_fetch_add_explicit(&r->turns, 1, memory_order_relaxed);
}

static void wake_all(struct runtime *rt)
{
    for (unsigned i = 0; i < rt->cores; i++)
        rt->reactors[i]->io->ops->wake(rt->reactors[i]->io);
}

static void on_stop_late(struct timer *t)
{
    struct reactor *r = CONTAINER_OF(t, struct reactor, stop_timer);
    fiber_log_live(r, "does not end at the stop");
    assert_fail("all fibers end when they are cancelled", __FILE__, __LINE__);
}

void reactor_begin_stop(struct reactor *r)
{
    r->stopping = true;
    timer_arm(&r->stop_timer, mono_add(r->io->ops->now(r->io), RT_STOP_S * NS_PER_S), on_stop_late);
    fiber_cancel_waiting(r);
    sock_stop_all(r);
    dgram_stop_all(r);
}

bool reactor_drained(struct reactor *r)
{
    return r->live == 0 && sock_none(r) && !r->dgrams && !reactor_busy(r);
}

/* Counts this reactor in or out of the idle ones; true when all are. */
static bool stop_step(struct reactor *r)
{
    struct runtime *rt = r->rt;
    if (!r->stopping) {
        if (!atomic_load(&rt->stop)) return false;
        reactor_begin_stop(r);
    }
    bool drained = reactor_drained(r);
    if (drained != r->counted_idle) {
        r->counted_idle = drained;
        unsigned idle = drained ? atomic_fetch_add(&rt->idle, 1) + 1 : atomic_fetch_sub(&rt->idle, 1) - 1;
        if (idle == rt->cores) {
            atomic_store(&rt->finished, true);
            wake_all(rt);
        }
    }
    return atomic_load(&rt->finished);
}

static void reactor_loop(struct reactor *r)
{
    while (!stop_step(r)) {
        reactor_wait(r);
        reactor_turn(r, RT_TURN_SWITCHES);
    }
    reactor_turn(r, RT_TURN_SWITCHES); /* posts that came with the last breath */
    timer_disarm(&r->stop_timer);
}

/* -- main_fn ------------------------------------------------------------------------------------------ */
struct main_call {
    err_t (*fn)(void *arg);
    void *arg;
};

static void main_fiber(void *arg)
{
    struct main_call *m = arg;
    struct runtime *rt = rt_here()->rt;
    rt->result = m->fn(m->arg);
    rt->result_err = *err_record();
    free(m);
    atomic_store(&rt->stop, true);
    wake_all(rt);
}

void reactor_start_main(struct reactor *r, err_t (*main_fn)(void *), void *arg)
{
    struct main_call *m = malloc(sizeof *m);
    ASSERT(m);
    *m = (struct main_call){ main_fn, arg };
    struct fiber_opts o = { .name = "main", .class = RT_INGEST };
    clock_tick(r);
    ASSERT(fiber_start(&r->root, &o, main_fiber, m) == OK);
}

/* -- threads ------------------------------------------------------------------------------------------ */
struct start {
    struct runtime *rt;
    const struct rt_opts *opts;
    pthread_barrier_t built;
    bool uring;
    _Atomic bool failed;
    int cpus[RT_CORES_MAX];
    err_t err;
    struct err_record why;
    err_t (*main_fn)(void *arg);
    void *arg;
};
struct thread_arg {
    struct start *s;
    unsigned core;
};

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    /* Refused (a container changed its mask meanwhile): slower, not wrong. */
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void *reactor_thread(void *arg)
{
    struct thread_arg *t = arg;
    struct start *s = t->s;
    struct reactor *r = s->rt->reactors[t->core];
    char name[16];
    snprintf(name, sizeof name, "reactor-%u", t->core);
    if (t->core) pthread_setname_np(pthread_self(), name);
    if (s->opts->pin) pin(s->cpus[t->core]);
    metric_thread(t->core);
    if (t->core == 0) metric_set(M_IO_URING, s->uring);
    rt_self = r;
    err_t e = s->uring ? io_uring_new(r, &r->io) : io_epoll_new(r, &r->io);
    if (e && !atomic_exchange(&s->failed, true)) {
        s->err = e;
        s->why = *err_record();
    }
    pthread_barrier_wait(&s->built);
    if (!atomic_load(&s->failed)) {
        if (t->core == 0) s->rt->watchdog = watchdog_start(s->rt);
        clock_tick(r);
        if (t->core == 0) reactor_start_main(r, s->main_fn, s->arg);
        reactor_loop(r);
    }
    /* Nobody may still ring the bell of a freed io: first all loops end, then the pools. */
    pthread_barrier_wait(&s->built);
    if (t->core == 0) {
        watchdog_stop(s->rt->watchdog);
        pool_free(s->rt->files);
        pool_free(s->rt->offload);
    }
    pthread_barrier_wait(&s->built);
    reactor_free(r);
    rt_self = NULL;
    return NULL;
}

/* Picks the backend and says why. */
static err_t choose(const struct rt_opts *o, bool *uring)
{
    char why[400];
    *uring = false;
    if (o->backend == RT_EPOLL) {
        snprintf(backend_reason, sizeof backend_reason, "epoll: asked for by the configuration");
    } else if (io_uring_probe(why, sizeof why)) {
        *uring = true;
        snprintf(backend_reason, sizeof backend_reason, "io_uring: all that is needed is permitted");
    } else if (o->backend == RT_URING) {
        return err_set(ERR_UNAVAILABLE, "io_uring was asked for and is not available: %s", why);
    } else {
        snprintf(backend_reason, sizeof backend_reason, "epoll: io_uring is not available: %s", why);
    }
    backend_name = *uring ? "io_uring" : "epoll";
    log_debug("rt.start", "backend=%s why=\"%s\"", backend_name, backend_reason);
    return OK;
}

static unsigned count_cores(const struct rt_opts *o, int *cpus)
{
    cpu_set_t set;
    unsigned n = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int c = 0; c < CPU_SETSIZE && n < RT_CORES_MAX; c++)
            if (CPU_ISSET(c, &set)) cpus[n++] = c;
    if (!n) cpus[n++] = 0;
    unsigned want = o->cores ? MIN(o->cores, (unsigned)RT_CORES_MAX) : n;
    for (unsigned i = n; i < want; i++)
        cpus[i] = cpus[i % n];
    return want;
}

static void run_threads(struct start *s)
{
    struct runtime *rt = s->rt;
    pthread_t *threads = calloc(rt->cores, sizeof *threads);
    struct thread_arg *args = calloc(rt->cores, sizeof *args);
    ASSERT(threads && args);
    sigset_t all, old;
    sigfillset(&all);
    /* Signals stay with the threads that the program had before. */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned i = 1; i < rt->cores; i++) {
        args[i] = (struct thread_arg){ s, i };
        ASSERT(pthread_create(&threads[i], NULL, reactor_thread, &args[i]) == 0);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    cpu_set_t mask;
    bool have_mask = pthread_getaffinity_np(pthread_self(), sizeof mask, &mask) == 0;
    args[0] = (struct thread_arg){ s, 0 };
    reactor_thread(&args[0]);
    if (have_mask) (void)pthread_setaffinity_np(pthread_self(), sizeof mask, &mask);
    for (unsigned i = 1; i < rt->cores; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(args);
}

/* One life of the runtime on the backend chosen. */
static err_t run_once(struct start *s, unsigned cores)
{
    struct runtime *rt = s->rt;
    runtime_init(rt, cores);
    pthread_barrier_init(&s->built, NULL, cores);
    for (unsigned i = 0; i < cores; i++)
        ASSERT(reactor_new(rt, i, &rt->reactors[i]) == OK);
    rt->files = pool_new("files", s->uring ? 2 : 4);
    rt->offload = pool_new("offload", s->opts->offload_threads ? s->opts->offload_threads : 2);
    rt_running = rt;
    run_threads(s);
    rt_running = NULL;
    pthread_barrier_destroy(&s->built);
    runtime_deinit(rt);
    if (s->failed) *err_record() = s->why;
    else if (rt->result) *err_record() = rt->result_err;
    return s->failed ? s->err : rt->result;
}

err_t rt_run(const struct rt_opts *o, err_t (*main_fn)(void *arg), void *arg)
{
    ASSERT(!rt_self && !rt_running);
    struct start *s = calloc(1, sizeof *s);
    struct runtime *rt = calloc(1, sizeof *rt);
    ASSERT(s && rt);
    *s = (struct start){ .rt = rt, .opts = o, .main_fn = main_fn, .arg = arg };
    unsigned cores = count_cores(o, s->cpus);
    err_t e = choose(o, &s->uring);
    if (e == OK) e = run_once(s, cores);
    if (s->failed && s->uring && o->backend == RT_AUTO) {
        /* The probe passed and a full-sized ring did not: short of memory or descriptors. */
        s->uring = false;
        s->failed = false;
        backend_name = "epoll";
        snprintf(backend_reason, sizeof backend_reason, "epoll: io_uring failed at the start: %.380s", err_detail());
        e = run_once(s, cores);
    }
    free(rt);
    free(s);
    return e;
}
