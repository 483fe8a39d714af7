#include "tests/cluster/nemesis.h"

#include "base/core/assert.h"
#include "base/rt/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STOP_S = 90 }; /* slow disks, pauses and all */
enum fault { F_KILL, F_POWER, F_PAIR, F_ALL, F_PAUSE, F_CUT, F_SPLIT, F_SWIZZLE, F_STOP, F_NET, F_DISK, F_CLOCK, F_WIPE, F_ROT, FAULTS };

struct nemesis {
    struct world *w;
    struct prng rnd;
    bool on[FAULTS];
    int64_t start_at[NODES_MAX]; /* of nodes that are off; INT64_MAX: somebody else starts it */
    int64_t net_until, disk_until[NODES_MAX];
    struct { int64_t until; unsigned from, to; } cuts[2 * (NODES_MAX + 1) * (NODES_MAX + 1)];
    unsigned ncuts;
    int64_t clock_off[NODES_MAX];
    int64_t stop_by[NODES_MAX]; /* nodes that were told to stop end by then; 0: was not */
};

static int64_t now(void)
{
    return rt_now().ns;
}

static void say(const struct world *w, const char *what, unsigned node)
{
    if (w->verbose) fprintf(stderr, "%.3f nemesis: %s, node %u\n", (double)now() / 1e9, what, node);
}

static void bad(struct world *w, unsigned node, int64_t until)
{
    w->bad_until[node] = MAX(w->bad_until[node], until + GRACE_S * NS_PER_S);
}

static int64_t some(struct nemesis *x, int64_t most_ns)
{
    return (int64_t)prng_below(&x->rnd, (uint64_t)most_ns);
}

static unsigned victim(struct nemesis *x)
{
    return (unsigned)prng_below(&x->rnd, x->w->n);
}

void nemesis_start(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    w->rep->failed_stores += n->failed;
    w->rep->lives++;
    n->up = n->stopping = n->stopped = false;
    if (n->fresh) w->fresh_until[node] = now() + FRESH_S * NS_PER_S;
    n->fresh = false;
    sim_host_start(n->host, n->cores, node_main, n);
}

static void stop_node(struct nemesis *x, unsigned node, bool power, int64_t back_in)
{
    struct world *w = x->w;
    if (!sim_host_on(w->nodes[node].host)) return;
    say(w, power ? "power" : "kill", node);
    if (power) sim_host_crash(w->nodes[node].host);
    else sim_host_kill(w->nodes[node].host);
    w->rep->kills += !power;
    w->rep->crashes += power;
    x->start_at[node] = now() + back_in;
    bad(w, node, x->start_at[node]);
}

static void stop_pair(struct nemesis *x)
{
    unsigned a = victim(x), b = victim(x);
    stop_node(x, a, true, some(x, 10 * NS_PER_S));
    err_t e = fiber_sleep(some(x, NS_PER_S));
    (void)e;
    if (a != b) stop_node(x, b, prng_chance(&x->rnd, 0.7), some(x, 10 * NS_PER_S));
    x->w->rep->pairs += a != b;
}

static void stop_all(struct nemesis *x)
{
    for (unsigned i = 0; i < x->w->n; i++)
        stop_node(x, i, true, some(x, 3 * NS_PER_S));
    x->w->rep->blackouts++;
}

static void pause_node(struct nemesis *x)
{
    unsigned v = victim(x);
    int64_t ns = some(x, prng_chance(&x->rnd, 0.2) ? 60 * NS_PER_S : 6 * NS_PER_S);
    if (!sim_host_on(x->w->nodes[v].host)) return;
    say(x->w, "pause", v);
    sim_host_pause(x->w->nodes[v].host, ns);
    bad(x->w, v, now() + ns);
    x->w->rep->pauses++;
}

/* Host 0 is the script; the clients of a node may be cut off from it too. */
static void cut(struct nemesis *x, unsigned from, unsigned to, int64_t until)
{
    if (x->ncuts == ARRAY_LEN(x->cuts) || from == to) return;
    x->cuts[x->ncuts].until = until;
    x->cuts[x->ncuts].from = from;
    x->cuts[x->ncuts++].to = to;
    sim_net_cut(from, to, true);
}

static void cut_two(struct nemesis *x)
{
    unsigned a = victim(x), b = victim(x);
    int64_t until = now() + some(x, 20 * NS_PER_S);
    say(x->w, "cut", a);
    cut(x, x->w->nodes[a].host, x->w->nodes[b].host, until);
    if (prng_chance(&x->rnd, 0.5)) cut(x, x->w->nodes[b].host, x->w->nodes[a].host, until);
    /* What one cut keeps apart is not said of one node alone. */
    bad(x->w, a, until);
    bad(x->w, b, until);
    x->w->rep->cuts += a != b;
}

/* Two sides; at times one way only. */
static void split(struct nemesis *x)
{
    struct world *w = x->w;
    uint64_t side = prng_next(&x->rnd);
    bool both = prng_chance(&x->rnd, 0.7);
    int64_t until = now() + some(x, 20 * NS_PER_S);
    say(w, "split", (unsigned)(side % (1u << w->n)));
    for (unsigned a = 0; a < w->n; a++)
        for (unsigned b = 0; b < w->n; b++)
            if ((side >> a & 1) && !(side >> b & 1)) {
                cut(x, w->nodes[a].host, w->nodes[b].host, until);
                if (both) cut(x, w->nodes[b].host, w->nodes[a].host, until);
            }
    w->all_bad_until = MAX(w->all_bad_until, until + GRACE_S * NS_PER_S);
    w->rep->partitions++;
}

/* One after the other is cut off from all others; they come back in another order. */
static void swizzle(struct nemesis *x)
{
    struct world *w = x->w;
    uint64_t which = prng_next(&x->rnd);
    for (unsigned a = 0; a < w->n; a++) {
        if (!(which >> a & 1)) continue;
        int64_t until = now() + some(x, 15 * NS_PER_S);
        say(w, "swizzle", a);
        for (unsigned b = 0; b < w->n; b++) {
            cut(x, w->nodes[a].host, w->nodes[b].host, until);
            cut(x, w->nodes[b].host, w->nodes[a].host, until);
        }
        bad(w, a, until);
        err_t e = fiber_sleep(some(x, NS_PER_S));
        (void)e;
    }
    w->rep->swizzles++;
}

/* As a process that is told to end: C10. */
static void stop_well(struct nemesis *x)
{
    struct world *w = x->w;
    unsigned v = victim(x);
    if (!sim_host_on(w->nodes[v].host) || !w->nodes[v].up) return;
    say(w, "stop", v);
    bad(w, v, now() + CALL_S * NS_PER_S);
    if (ask_stop(w, v) != OK) return;
    x->stop_by[v] = now() + STOP_S * NS_PER_S;
    w->rep->stops++;
}

static void bad_net(struct nemesis *x)
{
    struct prng *r = &x->rnd;
    struct sim_net net = { .late_ns = some(x, 2 * NS_PER_S) + 1 };
    if (prng_chance(r, 0.5)) net.loss = prng_unit(r) * 0.5;
    if (prng_chance(r, 0.5)) net.twice = prng_unit(r) * 0.2;
    if (prng_chance(r, 0.5)) net.late = prng_unit(r) * 0.3;
    if (prng_chance(r, 0.3)) net.reset = prng_unit(r) * 0.002;
    if (prng_chance(r, 0.5)) net.slow = prng_unit(r) * 0.05;
    say(x->w, "network", 0);
    sim_net_set(&net);
    x->net_until = now() + some(x, 20 * NS_PER_S);
    x->w->all_bad_until = MAX(x->w->all_bad_until, x->net_until + GRACE_S * NS_PER_S);
    x->w->rep->bad_nets++;
}

static void bad_disk(struct nemesis *x)
{
    struct prng *r = &x->rnd;
    unsigned v = victim(x);
    struct sim_faults f = { .slow_ns = 1 + some(x, 2 * NS_PER_S) };
    if (prng_chance(r, 0.3)) f.eio_sync = 0.05;
    if (prng_chance(r, 0.3)) f.eio_write = 0.02;
    if (prng_chance(r, 0.3)) f.enospc = 0.2;
    if (prng_chance(r, 0.3)) f.short_write = 0.1;
    if (prng_chance(r, 0.5)) f.slow = 0.1;
    say(x->w, "disk", v);
    sim_host_faults(x->w->nodes[v].host, &f);
    x->disk_until[v] = now() + some(x, 10 * NS_PER_S);
    bad(x->w, v, x->disk_until[v]);
    x->w->rep->bad_disks++;
}

/* Small ones: a retry is known for ten minutes. */
static void step_clock(struct nemesis *x)
{
    unsigned v = victim(x);
    int64_t to = some(x, 240 * NS_PER_S) - 120 * NS_PER_S;
    sim_host_step_wall(x->w->nodes[v].host, to - x->clock_off[v]);
    x->clock_off[v] = to;
    x->w->rep->clock_steps++;
}

/* Once: what one member of three has lost is on another one, and is repaired to the third. */
static void wipe(struct nemesis *x)
{
    struct world *w = x->w;
    unsigned v = victim(x);
    if (w->n < 3 || w->wiped_clock || w->rotten || !sim_host_on(w->nodes[v].host)) return;
    say(w, "disk lost", v);
    sim_host_crash(w->nodes[v].host);
    err_t e = fiber_sleep(10 * NS_PER_MS);
    (void)e;
    w->wiped_clock = ++w->m.clock;
    node_wipe(&w->nodes[v]);
    x->start_at[v] = now() + some(x, 10 * NS_PER_S);
    bad(w, v, x->start_at[v]);
    w->rep->wipes++;
}

struct stored { /* a segment of a disk */
    uint32_t n, wanted;
    char path[256];
};

static void look_at_file(const char *path, uint64_t size, void *ctx)
{
    struct stored *f = ctx;
    size_t n = strlen(path);
    if (!strstr(path, "/seg/") || n < 4 || strcmp(path + n - 4, ".seg") != 0 || size == 0) return;
    if (f->n++ == f->wanted) snprintf(f->path, sizeof f->path, "%s", path);
}

/* Of every stream one member is spared, so that nothing is lost for good. Who has lost something may answer in part while others are out of
 * reach, until it is mended. */
static void rot(struct nemesis *x)
{
    struct world *w = x->w;
    unsigned v = victim(x), others = (unsigned)__builtin_popcount(w->rotten & ~(1u << v));
    struct stored f = { .wanted = UINT32_MAX };
    if (w->wiped_clock || w->shape.single || others + 1 >= (w->moves ? w->shape.quorum : MIN(w->shape.replicas, w->n))) return;
    sim_disk_walk(w->nodes[v].disk, look_at_file, &f);
    if (f.n == 0) return;
    f = (struct stored){ .wanted = (uint32_t)prng_below(&x->rnd, f.n) };
    sim_disk_walk(w->nodes[v].disk, look_at_file, &f);
    if (!sim_disk_rot(w->nodes[v].disk, f.path, prng_next(&x->rnd), 1 + (unsigned)prng_below(&x->rnd, 400))) return;
    say(w, "rot", v);
    w->rotten |= 1u << v;
    bad(w, v, now() + 3600 * NS_PER_S);
    w->rep->rots++;
}

static void strike(struct nemesis *x, enum fault f)
{
    switch (f) {
    case F_KILL: stop_node(x, victim(x), false, some(x, 15 * NS_PER_S)); return;
    case F_POWER: stop_node(x, victim(x), true, some(x, 15 * NS_PER_S)); return;
    case F_PAIR: stop_pair(x); return;
    case F_ALL: stop_all(x); return;
    case F_PAUSE: pause_node(x); return;
    case F_CUT: cut_two(x); return;
    case F_SPLIT: split(x); return;
    case F_SWIZZLE: swizzle(x); return;
    case F_STOP: stop_well(x); return;
    case F_NET: bad_net(x); return;
    case F_DISK: bad_disk(x); return;
    case F_CLOCK: step_clock(x); return;
    case F_WIPE: wipe(x); return;
    case F_ROT: rot(x); return;
    default: return;
    }
}

/* -- ends of faults ------------------------------------------------------------------------------------------------------ */
static void end_cuts(struct nemesis *x, int64_t at)
{
    for (unsigned i = 0; i < x->ncuts;) {
        if (x->cuts[i].until > at) {
            i++;
            continue;
        }
        unsigned from = x->cuts[i].from, to = x->cuts[i].to;
        x->cuts[i] = x->cuts[--x->ncuts];
        bool still = false;
        for (unsigned k = 0; k < x->ncuts; k++)
            still |= x->cuts[k].from == from && x->cuts[k].to == to;
        if (!still) sim_net_cut(from, to, false);
    }
}

static void end_due(struct nemesis *x, int64_t at)
{
    struct world *w = x->w;
    end_cuts(x, at);
    if (x->net_until <= at) sim_net_set(&(struct sim_net){ 0 });
    for (unsigned i = 0; i < w->n; i++) {
        if (x->disk_until[i] <= at) sim_host_faults(w->nodes[i].host, &(struct sim_faults){ 0 });
        if (sim_host_on(w->nodes[i].host)) {
            if (x->stop_by[i] && x->stop_by[i] < at) wrong("C10: node %u does not end, %d s after it was told to", i, STOP_S);
            continue;
        }
        x->stop_by[i] = 0;
        /* It ended by itself: its disk failed, or it could not start. */
        if (x->start_at[i] == INT64_MAX) {
            x->start_at[i] = now() + some(x, 5 * NS_PER_S);
            bad(w, i, x->start_at[i]);
        }
        if (x->start_at[i] > at) continue;
        x->start_at[i] = INT64_MAX;
        say(w, "start", i);
        nemesis_start(w, i);
        bad(w, i, now());
    }
}

static struct nemesis nemesis;

static void draw(struct nemesis *x)
{
    struct prng *r = &x->rnd;
    static const double share[FAULTS] = { [F_KILL] = 0.5, [F_POWER] = 0.5, [F_PAIR] = 0.3, [F_ALL] = 0.2, [F_PAUSE] = 0.4, [F_CUT] = 0.4,
                                          [F_SPLIT] = 0.3, [F_SWIZZLE] = 0.2, [F_STOP] = 0.4, [F_NET] = 0.4, [F_DISK] = 0.3, [F_CLOCK] = 0.3, [F_WIPE] = 0.15, [F_ROT] = 0.3 };
    for (unsigned f = 0; f < FAULTS; f++)
        x->on[f] = prng_chance(r, share[f]);
    for (unsigned i = 0; i < NODES_MAX; i++)
        x->start_at[i] = INT64_MAX;
}

void nemesis_fiber(void *arg)
{
    struct world *w = arg;
    struct nemesis *x = &nemesis;
    *x = (struct nemesis){ .w = w };
    prng_init(&x->rnd, prng_next(&w->rnd));
    draw(x);
    int64_t next = now() + some(x, 3 * NS_PER_S);
    int64_t pace = NS_PER_S / 2 + some(x, 8 * NS_PER_S);
    while (!w->stop) {
        if (fiber_sleep(50 * NS_PER_MS) != OK) return;
        end_due(x, now());
        if (now() < next || w->stop) continue;
        enum fault f = (enum fault)prng_below(&x->rnd, FAULTS);
        if (x->on[f]) strike(x, f);
        next = now() + some(x, pace);
    }
}

void nemesis_keep_on(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        if (!sim_host_on(w->nodes[i].host)) nemesis_start(w, i);
}

void nemesis_heal(struct world *w)
{
    struct nemesis *x = &nemesis;
    for (unsigned i = 0; i < w->n; i++) {
        x->start_at[i] = MIN(x->start_at[i], now());
        x->stop_by[i] = 0;
        x->disk_until[i] = x->net_until = 0;
        sim_host_pause(w->nodes[i].host, 0);
        sim_host_step_wall(w->nodes[i].host, -x->clock_off[i]);
    }
    for (unsigned i = 0; i < x->ncuts; i++)
        x->cuts[i].until = 0;
    err_t e = fiber_sleep(100 * NS_PER_MS); /* who was told to crash does so first */
    (void)e;
    end_due(x, now());
    for (unsigned i = 0; i < w->n; i++) {
        const struct node *n = &w->nodes[i];
        if (!sim_host_on(n->host) || !n->stopping) continue;
        for (unsigned k = 0; sim_host_on(n->host); k++) {
            if (k == 10 * LIVE_S) wrong("C10: node %u does not end in %d s without faults%s", i, LIVE_S, n->stopped ? ": some fiber of it is left" : "");
            e = fiber_sleep(100 * NS_PER_MS);
        }
        x->start_at[i] = 0;
        end_due(x, now());
    }
}
