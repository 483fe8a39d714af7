/* The simulator's loop: one thread plays all reactors of all hosts.
 *
 *     while something can run: pick a reactor that has something to do, by the seed; one turn with one fiber switch
 *     else: time jumps to the next operation's end, packet or timer
 *     nothing of either: stuck
 *
 * A turn is the production turn (reactor.c) without the waiting. Every fiber switch and every operation is a
 * step: it is hashed into the trace and may be the one at which the power goes.
 *
 * A host is a struct sim; its runtime is made for a life and swept away when that has ended: by itself, by a
 * crash (the disk loses power too), or killed (what is unsynced stays). Hosts are swept by the loop alone, never
 * from inside one of their fibers. */
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/rt/sim_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef RT_ASAN
#include <sanitizer/lsan_interface.h>
#endif

enum {
    SWITCH_NS = 100,
    EVENT_SWITCH = 100, /* kinds of trace events above those of enum io_kind */
    EVENT_START = 101,
    EVENT_CRASH = 102,
};
#define START_NS      NS_PER_S /* {0} means "none" in a deadline */
#define WALL_2026_NS  INT64_C(1767225600000000000)
#define TIME_MAX_NS   (3600 * NS_PER_S)

static _Thread_local struct sim_world *world_here;

struct sim *sim_running(void)
{
    ASSERT(rt_self && rt_self->rt->sim);
    return rt_self->rt->sim;
}

bool sim_chance(struct sim_world *w, double p, uint64_t *counter)
{
    if (p <= 0 || !prng_chance(&w->random, p)) return false;
    ++*counter;
    return true;
}

/* -- inside a run ------------------------------------------------------------------------------------- */
const struct sim_stats *sim_stats_now(void)
{
    return &sim_running()->stats;
}

void sim_set_faults(const struct sim_faults *f)
{
    sim_running()->opts.faults = *f;
}

void sim_step_wall(int64_t by_ns)
{
    sim_running()->wall_start += by_ns;
}

void sim_crash(void)
{
    sim_running()->crashed = true;
    while (rt_in_fiber())
        (void)fiber_park(NULL, (mono_ns){ 0 }, false);
}

void sim_step(struct sim *s, unsigned kind, unsigned core, int64_t result, uint64_t data)
{
    struct sim_world *w = s->world;
    uint64_t event[4] = { (uint64_t)s->index << 48 | (uint64_t)kind << 32 | core, (uint64_t)result, (uint64_t)w->now, data };
    w->trace = hash64_with(str_n(event, sizeof event), w->trace);
    s->stats.steps++;
    if (s->opts.crash_at && s->stats.steps >= s->opts.crash_at) s->crashed = true;
}

void sim_on_switch(struct reactor *r)
{
    struct sim *s = r->rt->sim;
    s->world->now += SWITCH_NS;
    sim_step(s, EVENT_SWITCH, r->core, (int64_t)r->nready, r->live);
}

/* -- hosts ---------------------------------------------------------------------------------------------- */
static struct sim *host_new(struct sim_world *w, struct sim_disk *d, const struct sim_opts *o, uint64_t seed)
{
    ASSERT(w->nhosts < SIM_HOSTS_MAX);
    struct sim *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->world = w;
    s->index = w->nhosts;
    s->disk = d;
    if (o) s->opts = *o;
    s->wall_start = s->opts.wall_start_ns ? s->opts.wall_start_ns : WALL_2026_NS;
    prng_init(&s->entropy, ~seed);
    w->hosts = realloc(w->hosts, (w->nhosts + 1) * sizeof(struct sim *));
    ASSERT(w->hosts);
    w->hosts[w->nhosts++] = s;
    return s;
}

/* Callable from a fiber of another host. */
static void host_boot(struct sim *s, unsigned cores, err_t (*main_fn)(void *arg), void *arg)
{
    ASSERT(!s->on && cores > 0 && cores <= RT_CORES_MAX);
    struct reactor *before = rt_self;
    s->stats = (struct sim_stats){ 0 };
    s->crashed = s->killed = false;
    s->paused_until = 0;
    runtime_init(&s->rt, cores);
    s->rt.sim = s;
    for (unsigned i = 0; i < cores; i++) {
        ASSERT(reactor_new(&s->rt, i, &s->rt.reactors[i]) == OK);
        s->rt.reactors[i]->io = io_sim_new(s, s->rt.reactors[i]);
    }
    rt_self = s->rt.reactors[0];
    reactor_start_main(rt_self, main_fn, arg);
    rt_self = before;
    s->on = true;
}

static void sweep(struct sim *s)
{
    io_sim_close_all(s);
    free(s->flights);
    s->flights = NULL;
    s->nflights = s->cap = 0;
    for (unsigned i = 0; i < s->rt.cores; i++) {
        rt_self = s->rt.reactors[i];
        timer_disarm(&rt_self->stop_timer);
        reactor_free(s->rt.reactors[i]);
    }
    runtime_deinit(&s->rt);
    rt_self = NULL;
    s->on = false;
}

static void abandon(struct sim *s)
{
    for (unsigned i = 0; i < s->rt.cores; i++) {
        rt_self = s->rt.reactors[i];
        fiber_abandon_all(rt_self);
    }
}

/* The host's life is over: what became of it is in s->last. */
static void host_end(struct sim *s, bool stuck, uint64_t seed)
{
    struct sim_world *w = s->world;
    if (s->crashed || s->killed) {
        sim_step(s, EVENT_CRASH, 0, 0, 0);
        sim_net_host_gone(s, s->crashed);
        io_sim_crash(s);
        abandon(s);
        io_sim_close_all(s);
        if (s->crashed && s->disk) sim_disk_crash(s->disk, seed ^ w->trace, &s->stats);
    } else if (stuck) {
        for (unsigned i = 0; i < s->rt.cores; i++)
            fiber_log_live(rt_self = s->rt.reactors[i], "the simulation is stuck");
        sim_net_host_gone(s, false);
        abandon(s);
    } else {
        sim_net_host_gone(s, false);
    }
    s->last = (struct sim_result){ .crashed = s->crashed || s->killed, .stuck = stuck, .result = s->rt.result,
                                   .virtual_ns = w->now - START_NS, .trace_hash = w->trace, .stats = s->stats };
    sweep(s);
}

/* -- the loop --------------------------------------------------------------------------------------- */
static bool can_run(struct sim *s, struct reactor *r)
{
    int64_t now = s->world->now;
    return s->paused_until <= now && (reactor_busy(r) || reactor_next_timer(r).ns <= now);
}

static struct reactor *pick(struct sim_world *w)
{
    unsigned n = 0;
    for (unsigned h = 0; h < w->nhosts; h++)
        if (w->hosts[h]->on) n += w->hosts[h]->rt.cores;
    unsigned start = (unsigned)prng_below(&w->random, n), at = 0;
    struct reactor *first = NULL, *from = NULL; /* the first that can run, and the first from `start` on */
    for (unsigned h = 0; h < w->nhosts && !from; h++) {
        struct sim *s = w->hosts[h];
        for (unsigned i = 0; s->on && i < s->rt.cores && !from; i++, at++) {
            if ((first && at < start) || !can_run(s, s->rt.reactors[i])) continue;
            if (at >= start) from = s->rt.reactors[i];
            else first = s->rt.reactors[i];
        }
    }
    return from ? from : first;
}

static bool all_drained(struct sim *s)
{
    if (!atomic_load(&s->rt.stop)) return false;
    bool all = true;
    for (unsigned i = 0; i < s->rt.cores; i++) {
        struct reactor *r = s->rt.reactors[i];
        rt_self = r;
        if (!r->stopping) reactor_begin_stop(r);
        all &= reactor_drained(r);
    }
    return all;
}

static int64_t host_next(struct sim *s)
{
    int64_t timer = INT64_MAX;
    bool busy = false;
    for (unsigned i = 0; i < s->rt.cores; i++) {
        timer = MIN(timer, reactor_next_timer(s->rt.reactors[i]).ns);
        busy |= reactor_busy(s->rt.reactors[i]);
    }
    if (s->paused_until > s->world->now && (busy || timer < s->paused_until)) timer = s->paused_until;
    return MIN(timer, io_sim_next_due(s));
}

/* False: nothing will ever happen, or time is up. */
static bool jump(struct sim_world *w)
{
    int64_t next = sim_net_next_due(w);
    for (unsigned h = 0; h < w->nhosts; h++)
        if (w->hosts[h]->on) next = MIN(next, host_next(w->hosts[h]));
    if (next == INT64_MAX || next - START_NS > w->time_max) return false;
    w->now = MAX(w->now, next);
    return true;
}

/* A crash leaks what the node had allocated: leak checking looks away from everything made in a run. */
static void ignore_leaks(bool on)
{
#ifdef RT_ASAN
    if (on) __lsan_disable();
    else __lsan_enable();
#endif
    (void)on;
}

/* Ends the lives that are over. */
static void sweep_ended(struct sim_world *w, uint64_t seed)
{
    for (unsigned h = 0; h < w->nhosts; h++) {
        struct sim *s = w->hosts[h];
        if (s->on && (s->crashed || s->killed || all_drained(s))) host_end(s, false, seed);
    }
}

/* Until host 0's life is over. False: stuck. */
static bool loop(struct sim_world *w, uint64_t seed)
{
    for (;;) {
        sweep_ended(w, seed);
        if (!w->hosts[0]->on) return true;
        for (unsigned h = 0; h < w->nhosts; h++)
            if (w->hosts[h]->on) io_sim_complete_due(w->hosts[h]);
        sim_net_run_due(w);
        struct reactor *r = pick(w);
        if (w->now - START_NS > w->time_max) return false;
        if (r) {
            rt_self = r;
            reactor_turn(r, 1);
        } else if (!w->hosts[0]->crashed && !jump(w)) {
            return false;
        }
    }
}

static void run(struct sim_world *w, uint64_t seed, unsigned cores, err_t (*main_fn)(void *arg), void *arg,
                struct sim_result *out)
{
    struct sim *first = w->hosts[0];
    host_boot(first, cores, main_fn, arg);
    rt_self = first->rt.reactors[0];
    sim_step(first, EVENT_START, cores, 0, seed);
    bool ended = loop(w, seed);
    if (!ended) host_end(first, true, seed);
    else if (first->last.result) *err_record() = first->rt.result_err;
    *out = first->last;
    out->trace_hash = w->trace;
    for (unsigned h = 1; h < w->nhosts; h++) {
        struct sim *s = w->hosts[h];
        if (s->on && !ended) {
            host_end(s, true, seed);
        } else if (s->on) {
            s->killed = true;
            host_end(s, false, seed);
        }
    }
}

static struct sim_world *world_begin(uint64_t seed, int64_t time_max_ns)
{
    ASSERT(!rt_self && !world_here);
    hash_fix_seed();
    struct sim_world *w = calloc(1, sizeof *w);
    ASSERT(w);
    w->now = START_NS;
    w->time_max = time_max_ns ? time_max_ns : TIME_MAX_NS;
    w->trace = seed;
    prng_init(&w->random, seed);
    world_here = w;
    return w;
}

static void world_end(struct sim_world *w)
{
    sim_net_deinit(w);
    for (unsigned h = 0; h < w->nhosts; h++)
        free(w->hosts[h]);
    free(w->hosts);
    free(w->cut);
    free(w);
    world_here = NULL;
}

void sim_run(uint64_t seed, unsigned cores, struct sim_disk *d, const struct sim_opts *o,
             err_t (*main_fn)(void *arg), void *arg, struct sim_result *out)
{
    bool ignore = !o || !o->watch_leaks;
    if (ignore) ignore_leaks(true);
    struct sim_world *w = world_begin(seed, o ? o->time_max_ns : 0);
    (void)host_new(w, d, o, seed);
    run(w, seed, cores, main_fn, arg, out);
    world_end(w);
    if (ignore) ignore_leaks(false);
}

/* -- a world of several hosts --------------------------------------------------------------------------- */
void sim_world_run(uint64_t seed, int64_t time_max_ns, err_t (*script)(void *arg), void *arg, struct sim_result *out,
                   struct sim_net_stats *net)
{
    ignore_leaks(true);
    struct sim_world *w = world_begin(seed, time_max_ns);
    (void)host_new(w, NULL, NULL, seed);
    run(w, seed, 1, script, arg, out);
    if (net) *net = w->net_stats;
    world_end(w);
    ignore_leaks(false);
}

static struct sim *host_of(unsigned host)
{
    ASSERT(world_here && host < world_here->nhosts);
    return world_here->hosts[host];
}

unsigned sim_host_new(struct sim_disk *d, const struct sim_opts *o)
{
    struct sim_world *w = world_here;
    ASSERT(w);
    return host_new(w, d, o, hash_u64(w->trace + w->nhosts))->index;
}

void sim_host_start(unsigned host, unsigned cores, err_t (*main_fn)(void *arg), void *arg)
{
    host_boot(host_of(host), cores, main_fn, arg);
    sim_step(host_of(host), EVENT_START, cores, 0, host);
}

bool sim_host_on(unsigned host)
{
    return host_of(host)->on;
}

const struct sim_result *sim_host_last(unsigned host)
{
    ASSERT(!host_of(host)->on);
    return &host_of(host)->last;
}

void sim_host_crash(unsigned host)
{
    host_of(host)->crashed = true;
}

void sim_host_kill(unsigned host)
{
    host_of(host)->killed = true;
}

void sim_host_pause(unsigned host, int64_t ns)
{
    host_of(host)->paused_until = world_here->now + ns;
}

void sim_host_step_wall(unsigned host, int64_t by_ns)
{
    host_of(host)->wall_start += by_ns;
}

void sim_host_faults(unsigned host, const struct sim_faults *f)
{
    host_of(host)->opts.faults = *f;
}

void sim_host_addr(unsigned host, char *to)
{
    snprintf(to, SIM_ADDR_MAX, "10.0.%u.%u", host / 250, host % 250 + 1);
}

void sim_net_set(const struct sim_net *n)
{
    ASSERT(world_here);
    world_here->net = *n;
}

void sim_net_cut(unsigned from, unsigned to, bool cut)
{
    struct sim_world *w = world_here;
    ASSERT(w && from < SIM_HOSTS_MAX && to < SIM_HOSTS_MAX);
    if (!w->cut) w->cut = calloc((size_t)SIM_HOSTS_MAX * SIM_HOSTS_MAX, sizeof *w->cut);
    ASSERT(w->cut);
    w->cut[from * SIM_HOSTS_MAX + to] = cut;
}
