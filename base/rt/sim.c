/* The simulator's loop: one thread plays all reactors.
 *
 *     while something can run: pick a reactor that has something to do, by the seed; one turn with one fiber switch
 *     else: time jumps to the next operation's end or timer
 *     nothing of either: stuck
 *
 * A turn is the production turn (reactor.c) without the waiting. Every fiber switch and every operation is a
 * step: it is hashed into the trace and may be the one at which the power goes. */
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/rt/sim_in.h"

#include <stdlib.h>
#include <string.h>
#ifdef RT_ASAN
#include <sanitizer/lsan_interface.h>
#endif

_Thread_local struct sim *sim_here;

enum {
    SWITCH_NS = 100,
    EVENT_SWITCH = 100, /* kinds of trace events above those of enum io_kind */
    EVENT_START = 101,
    EVENT_CRASH = 102,
};
#define START_NS      NS_PER_S /* {0} means "none" in a deadline */
#define WALL_2026_NS  INT64_C(1767225600000000000)
#define TIME_MAX_NS   (3600 * NS_PER_S)

static struct sim *here(void)
{
    ASSERT(sim_here);
    return sim_here;
}

const struct sim_stats *sim_stats_now(void)
{
    return &here()->stats;
}

void sim_set_faults(const struct sim_faults *f)
{
    here()->opts.faults = *f;
}

void sim_step_wall(int64_t by_ns)
{
    here()->wall_start += by_ns;
}

void sim_crash(void)
{
    here()->crashed = true;
    while (rt_in_fiber())
        (void)fiber_park(NULL, (mono_ns){ 0 }, false);
}

void sim_step(struct sim *s, unsigned kind, unsigned core, int64_t result, uint64_t data)
{
    uint64_t event[4] = { (uint64_t)kind << 32 | core, (uint64_t)result, (uint64_t)s->now, data };
    s->trace = hash64_with(str_n(event, sizeof event), s->trace);
    s->stats.steps++;
    if (s->opts.crash_at && s->stats.steps >= s->opts.crash_at) s->crashed = true;
}

void sim_on_switch(struct reactor *r)
{
    struct sim *s = r->rt->sim;
    s->now += SWITCH_NS;
    sim_step(s, EVENT_SWITCH, r->core, (int64_t)r->nready, r->live);
}

/* -- the loop --------------------------------------------------------------------------------------- */
static bool can_run(struct sim *s, struct reactor *r)
{
    return reactor_busy(r) || reactor_next_timer(r).ns <= s->now;
}

static struct reactor *pick(struct sim *s)
{
    unsigned n = s->rt.cores, start = (unsigned)prng_below(&s->random, n);
    for (unsigned i = 0; i < n; i++) {
        struct reactor *r = s->rt.reactors[(start + i) % n];
        if (can_run(s, r)) return r;
    }
    return NULL;
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

/* False: nothing will ever happen, or time is up. */
static bool jump(struct sim *s, int64_t time_max)
{
    int64_t next = io_sim_next_due(s);
    for (unsigned i = 0; i < s->rt.cores; i++)
        next = MIN(next, reactor_next_timer(s->rt.reactors[i]).ns);
    if (next == INT64_MAX || next - START_NS > time_max) return false;
    s->now = MAX(s->now, next);
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

/* True: ended by itself or by a crash. */
static bool loop(struct sim *s)
{
    int64_t time_max = s->opts.time_max_ns ? s->opts.time_max_ns : TIME_MAX_NS;
    while (!s->crashed && !all_drained(s)) {
        io_sim_complete_due(s);
        struct reactor *r = pick(s);
        if (s->now - START_NS > time_max) return false;
        if (r) {
            rt_self = r;
            reactor_turn(r, 1);
        } else if (!s->crashed && !jump(s, time_max)) {
            return false;
        }
    }
    return true;
}

static void end_of_power(struct sim *s, uint64_t seed)
{
    sim_step(s, EVENT_CRASH, 0, 0, 0);
    io_sim_crash(s);
    for (unsigned i = 0; i < s->rt.cores; i++) {
        rt_self = s->rt.reactors[i];
        fiber_abandon_all(rt_self);
    }
    io_sim_close_all(s);
    sim_disk_crash(s->disk, seed ^ s->trace, &s->stats);
}

static void report_stuck(struct sim *s)
{
    for (unsigned i = 0; i < s->rt.cores; i++) {
        rt_self = s->rt.reactors[i];
        fiber_log_live(rt_self, "the simulation is stuck");
        fiber_abandon_all(rt_self);
    }
}

static void teardown(struct sim *s)
{
    io_sim_close_all(s);
    free(s->flights);
    for (unsigned i = 0; i < s->rt.cores; i++) {
        rt_self = s->rt.reactors[i];
        timer_disarm(&rt_self->stop_timer);
        reactor_free(s->rt.reactors[i]);
    }
    runtime_deinit(&s->rt);
    rt_self = NULL;
    sim_here = NULL;
}

void sim_run(uint64_t seed, unsigned cores, struct sim_disk *d, const struct sim_opts *o,
             err_t (*main_fn)(void *arg), void *arg, struct sim_result *out)
{
    ASSERT(!rt_self && !sim_here);
    ASSERT(cores > 0 && cores <= RT_CORES_MAX);
    bool ignore = !o || !o->watch_leaks;
    if (ignore) ignore_leaks(true);
    hash_fix_seed();
    struct sim *s = calloc(1, sizeof *s);
    ASSERT(s);
    sim_here = s;
    s->disk = d;
    if (o) s->opts = *o;
    s->now = START_NS;
    s->wall_start = s->opts.wall_start_ns ? s->opts.wall_start_ns : WALL_2026_NS;
    s->trace = seed;
    prng_init(&s->random, seed);
    prng_init(&s->entropy, ~seed);
    runtime_init(&s->rt, cores);
    s->rt.sim = s;
    for (unsigned i = 0; i < cores; i++) {
        ASSERT(reactor_new(&s->rt, i, &s->rt.reactors[i]) == OK);
        s->rt.reactors[i]->io = io_sim_new(s, s->rt.reactors[i]);
    }
    rt_self = s->rt.reactors[0];
    reactor_start_main(rt_self, main_fn, arg);
    sim_step(s, EVENT_START, cores, 0, seed);

    bool ended = loop(s);
    *out = (struct sim_result){ .crashed = s->crashed, .stuck = !ended, .result = s->rt.result,
                                .virtual_ns = s->now - START_NS };
    if (s->crashed) end_of_power(s, seed);
    else if (!ended) report_stuck(s);
    else if (s->rt.result) *err_record() = s->rt.result_err;
    out->trace_hash = s->trace;
    out->stats = s->stats;
    teardown(s);
    free(s);
    if (ignore) ignore_leaks(false);
}
