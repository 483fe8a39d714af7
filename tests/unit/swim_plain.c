/* Gossip with sockets, of this machine and of the simulator: nodes see each other, refuse whom they must, and agree after every
 * kind of trouble that the simulator's network and hosts have. */
#include "base/core/log.h"
#include "base/core/prng.h"
#include "base/rt/rt.h"
#include "base/rt/sim.h"
#include "cluster/swim_io.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 7946, HOSTS_MAX = 7 };

static struct member_meta meta_at(const char *addr, uint16_t port)
{
    struct member_meta m = { .zone = "a", .version = "1.0", .backend = "sim", .weight = 100, .partitions = 64 };
    if (addr) CHECK(io_addr_parse(addr, port, &m.gossip) == OK);
    return m;
}

/* -- real sockets ------------------------------------------------------------------------------------------------ */
static err_t two_nodes(void *arg)
{
    struct swim_io *a, *b;
    char seed[32];
    struct swim_io_opts o = { .self = { 1 }, .generation = 1, .label = "t", .meta = meta_at(NULL, 0), .bind = "127.0.0.1" };
    CHECK(swim_keys_parse(arg, &o.keys) == OK);
    CHECK(swim_io_open(&o, &a) == OK);
    snprintf(seed, sizeof seed, "localhost:%u", swim_io_port(a));
    o.self.u = 2;
    o.seeds = seed;
    CHECK(swim_io_open(&o, &b) == OK);
    for (unsigned i = 0; i < 500 && (swim_io_members(a)->n < 2 || swim_io_members(b)->n < 2); i++)
        CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    CHECK(swim_io_members(a)->n == 2 && swim_io_members(b)->n == 2);
    swim_io_leave(b);
    CHECK(members_find(swim_io_members(a), (node_id){ 2 })->state == MEMBER_LEFT);
    swim_io_close(b);
    swim_io_close(a);
    return OK;
}

/* -- hosts of the simulator ----------------------------------------------------------------------------------------- */
struct host {
    unsigned no;
    uint64_t generation;
    struct swim_io *io;
    bool superseded;
    uint64_t key;
};
static struct host hosts[HOSTS_MAX];
static unsigned nhosts;

static void on_superseded(void *ctx, const char *why)
{
    struct host *h = ctx;
    CHECK(strlen(why) > 20);
    h->superseded = true;
}

static err_t node_main(void *arg)
{
    struct host *h = arg;
    char addr[SIM_ADDR_MAX];
    struct event never;
    sim_host_addr(h->no, addr);
    struct swim_io_opts o = { .self = { 100 + h->no }, .generation = h->generation, .label = "t", .meta = meta_at(addr, PORT), .bind = "0.0.0.0",
                              .port = PORT, .seeds = "10.0.0.2,10.0.0.3:7946", .on_superseded = on_superseded, .ctx = h };
    CHECK(swim_io_open(&o, &h->io) == OK);
    event_init(&never);
    return event_wait(&never);
}

static void start(unsigned i)
{
    hosts[i].generation++;
    hosts[i].io = NULL;
    sim_host_start(hosts[i].no, 1, node_main, &hosts[i]);
}

static void stop(unsigned i)
{
    sim_host_kill(hosts[i].no);
    while (sim_host_on(hosts[i].no))
        CHECK(fiber_sleep(NS_PER_MS) == OK);
}

static void make_hosts(unsigned n)
{
    nhosts = n;
    for (unsigned i = 0; i < n; i++) {
        hosts[i] = (struct host){ .no = sim_host_new(NULL, NULL) };
        start(i);
    }
}

static void wait_s(double s)
{
    CHECK(fiber_sleep((int64_t)(s * 1e9)) == OK);
}

/* All that are on hold each other, and only each other, alive, in the same incarnation. */
static bool agreed(void)
{
    for (unsigned i = 0; i < nhosts; i++) {
        if (!sim_host_on(hosts[i].no)) continue;
        if (!hosts[i].io) return false;
        const struct members *m = swim_io_members(hosts[i].io);
        for (unsigned j = 0; j < nhosts; j++) {
            const struct member *x = members_find(m, (node_id){ 100 + hosts[j].no });
            bool on = sim_host_on(hosts[j].no), alive = x && x->state == MEMBER_ALIVE;
            if (on != alive) return false;
            if (on && x->generation != hosts[j].generation) return false;
        }
    }
    return true;
}

/* Seconds until they agree, at most `most`. */
static double agree_within(double most)
{
    mono_ns from = rt_now();
    while (!agreed()) {
        double s = (double)(rt_now().ns - from.ns) * 1e-9;
        CHECK(s <= most);
        wait_s(0.05);
    }
    return (double)(rt_now().ns - from.ns) * 1e-9;
}

static err_t three(void *arg)
{
    (void)arg;
    make_hosts(3);
    agree_within(5);
    stop(1);
    agree_within(10);
    start(1);
    agree_within(3);
    return OK;
}

static void world(uint64_t seed, err_t (*script)(void *), void *arg)
{
    struct sim_result r;
    sim_world_run(seed, 0, script, arg, &r, NULL);
    CHECK(!r.crashed && !r.stuck && r.result == OK);
}

int main(void)
{
    struct rt_opts o = { .cores = 1 };
    log_init(LOG_ERROR, false);
    CHECK(rt_run(&o, two_nodes, "") == OK);
    CHECK(rt_run(&o, two_nodes, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f") == OK);
    for (uint64_t seed = 1; seed <= 20; seed++)
        world(seed, three, NULL);
    fprintf(stderr, "swim_plain: passed\n");
    return 0;
}
