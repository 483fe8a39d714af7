/* Gossip with sockets, of this machine and of the simulator: nodes see each other, refuse whom they must, and agree after every
 * kind of trouble that the simulator's network and hosts have. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/core/prng.h"
#include "base/rt/rt.h"
#include "base/rt/sim.h"
#include "cluster/swim_io.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
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
    bool superseded, leave;
    /* other than usual, when set */
    const char *label, *keys;
    uint32_t partitions;
    uint64_t id;
};
static struct host hosts[HOSTS_MAX];
static unsigned nhosts;

static void on_superseded(void *ctx, const char *why)
{
    struct host *h = ctx;
    CHECK(strlen(why) > 20);
    h->superseded = true;
}

static node_id id_of(const struct host *h)
{
    return (node_id){ h->id ? h->id : 100 + h->no };
}

static err_t node_main(void *arg)
{
    struct host *h = arg;
    char addr[SIM_ADDR_MAX];
    sim_host_addr(h->no, addr);
    struct swim_io_opts o = { .self = id_of(h), .generation = h->generation, .label = h->label ? h->label : "t", .meta = meta_at(addr, PORT),
                              .bind = "0.0.0.0", .port = PORT, .seeds = "10.0.0.2,10.0.0.3:7946", .on_superseded = on_superseded, .ctx = h };
    if (h->partitions) o.meta.partitions = h->partitions;
    CHECK(swim_keys_parse(h->keys ? h->keys : "", &o.keys) == OK);
    CHECK(swim_io_open(&o, &h->io) == OK);
    while (!h->leave)
        TRY(fiber_sleep(100 * NS_PER_MS));
    swim_io_leave(h->io);
    swim_io_close(h->io);
    return OK;
}

static void start(unsigned i)
{
    hosts[i].generation++;
    hosts[i].io = NULL;
    hosts[i].superseded = hosts[i].leave = false;
    sim_host_start(hosts[i].no, 1, node_main, &hosts[i]);
}

static void stop(unsigned i)
{
    sim_host_kill(hosts[i].no);
    while (sim_host_on(hosts[i].no))
        CHECK(fiber_sleep(NS_PER_MS) == OK);
}

static struct host *add_host(void)
{
    hosts[nhosts] = (struct host){ .no = sim_host_new(NULL, NULL) };
    return &hosts[nhosts++];
}

static void make_hosts(unsigned n)
{
    for (nhosts = 0; nhosts < n;) {
        add_host();
        start(nhosts - 1);
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
            const struct member *x = members_find(m, id_of(&hosts[j]));
            if (!sim_host_on(hosts[j].no) && x && x->state < MEMBER_DEAD) return false;
            if (!sim_host_on(hosts[j].no)) continue;
            if (!x || x->state != MEMBER_ALIVE || x->generation != hosts[j].generation || !hosts[j].io) return false;
            if (x->version != members_find(swim_io_members(hosts[j].io), x->id)->version) return false;
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

/* Between scenes: all is well again, and they agree within 10 probe periods. */
static void calm(void)
{
    sim_net_set(&(struct sim_net){ 0 });
    for (unsigned i = 0; i < nhosts; i++)
        for (unsigned j = 0; j < nhosts; j++)
            sim_net_cut(hosts[i].no, hosts[j].no, false);
    agree_within(10);
}

/* -- scenes ------------------------------------------------------------------------------------------------------------ */
struct found {
    double death_s[512];        /* from the kill of one of five to the last of the four that knows */
    unsigned ndeaths;
    unsigned false_deaths;
};

static err_t kill_and_restart(void *arg)
{
    (void)arg;
    make_hosts(3);
    agree_within(3);
    stop(1);
    agree_within(10);
    start(1);
    agree_within(3);
    return OK;
}

/* One joins after the other. */
static err_t growing(void *arg)
{
    (void)arg;
    for (nhosts = 0; nhosts < HOSTS_MAX;) {
        add_host();
        start(nhosts - 1);
        agree_within(5);
    }
    return OK;
}

static const char key_a[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const char key_b[] = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/* One that must not be merged, each for another reason; both sides see it. */
static err_t strangers(void *arg)
{
    (void)arg;
    for (unsigned kind = 0; kind < 4; kind++) {
        for (unsigned i = 0; i < nhosts; i++)
            if (kind && sim_host_on(hosts[i].no)) stop(i);
        struct host *h;
        nhosts = 0;
        if (!kind) {
            for (unsigned i = 0; i < 3; i++)
                add_host();
        }
        nhosts = 3;
        h = &hosts[2];
        h->label = kind == 0 ? "other" : NULL;
        h->partitions = kind == 1 ? 128 : 0;
        h->keys = kind == 2 ? key_b : NULL;
        hosts[0].keys = hosts[1].keys = kind >= 2 ? key_a : NULL;
        int64_t refused = metric_sum(M_SWIM_REFUSED);
        for (unsigned i = 0; i < 3; i++)
            start(i);
        for (unsigned k = 0; k < 40; k++) {
            wait_s(0.5);
            for (unsigned i = 0; i < 3; i++) {
                const struct members *m = swim_io_members(hosts[i].io);
                CHECK((members_find(m, id_of(h)) != NULL) == (i == 2));
                CHECK(m->n <= (i == 2 ? 1 : 2));
                CHECK(k < 10 || m->n == (i == 2 ? 1 : 2));
            }
        }
        CHECK(metric_sum(M_SWIM_REFUSED) - refused >= 4);
    }
    return OK;
}

/* Two processes of one id: the older generation is told, and an old one that comes back never wins. */
static err_t doubles(void *arg)
{
    (void)arg;
    make_hosts(2);
    agree_within(5);
    struct host *copy = add_host();
    copy->id = id_of(&hosts[1]).u;
    copy->generation = 1;
    start(2);
    for (unsigned i = 0; i < 100 && !hosts[1].superseded; i++)
        wait_s(0.1);
    CHECK(hosts[1].superseded && !copy->superseded);
    stop(1);
    wait_s(3);
    const struct member *m = members_find(swim_io_members(hosts[0].io), id_of(copy));
    CHECK(m->generation == 2 && m->state == MEMBER_ALIVE);
    /* Even when the later one is gone. */
    if (rt_random() % 2) stop(2);
    wait_s((double)(rt_random() % 20));
    hosts[1].generation = 0;
    start(1);
    for (unsigned i = 0; i < 200 && !hosts[1].superseded; i++) {
        wait_s(0.1);
        CHECK(members_find(swim_io_members(hosts[0].io), id_of(copy))->generation == 2);
    }
    CHECK(hosts[1].superseded && !copy->superseded);
    return OK;
}

static bool is_at(const struct member *m, const struct host *h)
{
    char addr[SIM_ADDR_MAX];
    sim_host_addr(h->no, addr);
    const struct member_meta at = meta_at(addr, PORT);
    return m && m->state == MEMBER_ALIVE && memcmp(&m->meta.gossip, &at.gossip, sizeof at.gossip) == 0;
}

/* Two of one id and generation, one of them known: it stays at whichever address, and the other ends. Both at once: one stays. */
static err_t copies(void *arg)
{
    (void)arg;
    for (nhosts = 0; nhosts < 4;)
        add_host();
    hosts[2].id = hosts[3].id = id_of(&hosts[3]).u;
    for (unsigned first = 2; first <= 4; first++) { /* 4: neither */
        for (unsigned i = 0; i < nhosts; i++)
            if (sim_host_on(hosts[i].no)) stop(i);
        for (unsigned i = 0; i < 2; i++)
            start(i);
        wait_s(3);
        if (first < 4) start(first);
        if (first < 4) wait_s(4);
        struct host *stays = &hosts[first % 4], *goes = &hosts[first == 2 ? 3 : 2];
        int64_t refused = metric_sum(M_SWIM_REFUSED);
        for (unsigned i = 2; i < 4; i++)
            if (i != first) start(i);
        for (unsigned i = 0; i < 100 && !hosts[2].superseded && !hosts[3].superseded; i++)
            wait_s(0.1);
        wait_s(3);
        if (first == 4) {
            stays = &hosts[hosts[2].superseded ? 3 : 2];
            goes = &hosts[hosts[2].superseded ? 2 : 3];
        }
        CHECK(goes->superseded && !stays->superseded);
        CHECK(metric_sum(M_SWIM_REFUSED) - refused >= 2); /* on both sides */
        for (unsigned i = 0; i < 2; i++)
            CHECK(is_at(members_find(swim_io_members(hosts[i].io), id_of(stays)), stays));
    }
    return OK;
}

static void keys_of_all(const char *text)
{
    struct swim_keys keys;
    CHECK(swim_keys_parse(text, &keys) == OK);
    for (unsigned i = 0; i < nhosts; i++) {
        swim_io_keys(hosts[i].io, &keys);
        for (unsigned k = 0; k < 20; k++) {
            wait_s(0.25);
            CHECK(agreed());
        }
    }
}

/* A new key, node by node: nobody notices. */
static err_t rotation(void *arg)
{
    char ring[160];
    (void)arg;
    for (nhosts = 0; nhosts < 3;) {
        add_host()->keys = key_a;
        start(nhosts - 1);
    }
    agree_within(5);
    snprintf(ring, sizeof ring, "%s,%s", key_a, key_b);
    keys_of_all(ring);
    snprintf(ring, sizeof ring, "%s , %s", key_b, key_a);
    keys_of_all(ring);
    keys_of_all(key_b);
    return OK;
}

/* Leaving is no death, meta travels, the forgotten stay forgotten, and may come back. */
static err_t going(void *arg)
{
    (void)arg;
    make_hosts(4);
    agree_within(5);
    hosts[3].leave = true;
    wait_s(1.5);
    node_id gone = id_of(&hosts[3]);
    for (unsigned i = 0; i < 3; i++)
        CHECK(members_find(swim_io_members(hosts[i].io), gone)->state == MEMBER_LEFT);
    CHECK(swim_io_forget(hosts[0].io, id_of(&hosts[1])) == ERR_INVALID);
    CHECK(swim_io_forget(hosts[0].io, (node_id){ 77 }) == ERR_NOT_FOUND);
    CHECK(swim_io_forget(hosts[0].io, gone) == OK);
    struct member_meta m = members_find(swim_io_members(hosts[0].io), id_of(&hosts[0]))->meta;
    m.health = MEMBER_DRAINING;
    m.weight = 0;
    CHECK(swim_io_meta(hosts[0].io, &m) == OK);
    wait_s(2);
    for (uint64_t i = 1; i <= 50; i++) { /* told at most once a second */
        m.cover_hash = i;
        CHECK(swim_io_meta(hosts[0].io, &m) == OK);
        wait_s(0.1);
    }
    wait_s(5);
    for (unsigned i = 0; i < 3; i++) {
        struct members *all = swim_io_members(hosts[i].io);
        const struct member *x = members_find(all, id_of(&hosts[0]));
        CHECK(!members_find(all, gone) && all->n == 3);
        CHECK(x->meta.health == MEMBER_DRAINING && x->meta.weight == 0 && x->meta.cover_hash == 50 && x->version < 12);
    }
    start(3);
    agree_within(5);
    return OK;
}

/* A kill of one of five: how long until all four others know. */
static err_t death(void *arg)
{
    struct found *f = arg;
    make_hosts(5);
    agree_within(5);
    wait_s((double)(rt_random() % 5000) * 1e-3);
    for (unsigned i = 0; i < 5; i++) {
        stop(i);
        CHECK(f->ndeaths < ARRAY_LEN(f->death_s));
        f->death_s[f->ndeaths++] = agree_within(30);
        start(i);
        agree_within(3);
        wait_s(1 + (double)(rt_random() % 3000) * 1e-3);
    }
    return OK;
}

static unsigned deaths_seen(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < nhosts; i++) {
        const struct members *m = swim_io_members(hosts[i].io);
        for (uint32_t j = 0; j < m->n; j++)
            n += m->v[j].state == MEMBER_DEAD;
    }
    return n;
}

/* One of five works 300 ms of every second, or in smaller slices: nobody dies of it. */
static err_t slow_host(void *arg)
{
    struct found *f = arg;
    make_hosts(5);
    agree_within(5);
    double slice = rt_random() % 2 ? 1 : (double)(1 + rt_random() % 10) * 0.1;
    for (double s = 0; s < 300; s += slice) {
        sim_host_pause(hosts[4].no, (int64_t)(slice * 0.7e9));
        wait_s(slice);
        f->false_deaths += deaths_seen();
    }
    calm();
    return OK;
}

/* Stopped for 20 s and back: dead meanwhile, and itself buries nobody. */
static err_t long_pause(void *arg)
{
    unsigned n = 2 + (unsigned)(rt_random() % 6);
    (void)arg;
    make_hosts(n);
    agree_within(5);
    for (unsigned k = 0; k < 3; k++) {
        unsigned who = (unsigned)(rt_random() % n);
        sim_host_pause(hosts[who].no, 20 * NS_PER_S);
        wait_s(19);
        for (unsigned i = 0; i < n; i++) {
            const struct member *m = members_find(swim_io_members(hosts[i].io), (node_id){ 100 + hosts[who].no });
            CHECK(i == who || m->state == MEMBER_DEAD);
        }
        wait_s(1);
        agree_within(10);
        const struct members *m = swim_io_members(hosts[who].io);
        for (uint32_t i = 0; i < m->n; i++)
            CHECK(m->v[i].version < 20);
    }
    return OK;
}

/* Two parts for so long that each buries the other, and for less. */
static err_t split(void *arg)
{
    unsigned n = 2 + (unsigned)(rt_random() % 6), left = 1 + (unsigned)(rt_random() % (n - 1));
    bool one_way = rt_random() % 3 == 0;
    (void)arg;
    make_hosts(n);
    agree_within(5);
    for (unsigned i = 0; i < left; i++)
        for (unsigned j = left; j < n; j++) {
            sim_net_cut(hosts[i].no, hosts[j].no, true);
            if (!one_way) sim_net_cut(hosts[j].no, hosts[i].no, true);
        }
    wait_s((double)(1 + rt_random() % 60));
    calm();
    return OK;
}

/* One direction between two of them: the others carry their probes, nobody is even suspect. */
static err_t one_way(void *arg)
{
    struct found *f = arg;
    unsigned n = 3 + (unsigned)(rt_random() % 5), a = (unsigned)(rt_random() % n), b = (a + 1) % n;
    make_hosts(n);
    agree_within(5);
    sim_net_cut(hosts[a].no, hosts[b].no, true);
    int64_t suspicions = metric_sum(M_SWIM_SUSPICIONS);
    for (unsigned i = 0; i < 60; i++) {
        wait_s(1);
        f->false_deaths += deaths_seen();
    }
    CHECK(metric_sum(M_SWIM_SUSPICIONS) == suspicions);
    calm();
    return OK;
}

/* Since when each holds each other dead that is on and reachable; at most 30 s. */
static int64_t wrong_since[HOSTS_MAX][HOSTS_MAX];

static void watch(double seconds)
{
    for (double s = 0; s < seconds; s += 0.25) {
        wait_s(0.25);
        for (unsigned i = 0; i < nhosts; i++) {
            const struct members *m = sim_host_on(hosts[i].no) && hosts[i].io ? swim_io_members(hosts[i].io) : NULL;
            for (unsigned j = 0; j < nhosts; j++) {
                const struct member *x = m ? members_find(m, (node_id){ 100 + hosts[j].no }) : NULL;
                bool wrong = x && sim_host_on(hosts[j].no) && x->state == MEMBER_DEAD;
                if (!wrong) wrong_since[i][j] = rt_now().ns;
                CHECK(rt_now().ns - wrong_since[i][j] <= 30 * NS_PER_S);
            }
        }
    }
}

/* Loss of 30 %, doubles, delays, and now and then somebody is killed, comes back, or stands still for a while. */
static err_t storm(void *arg)
{
    unsigned n = 1 + (unsigned)(rt_random() % HOSTS_MAX);
    (void)arg;
    make_hosts(n);
    agree_within(8);
    sim_net_set(&(struct sim_net){ .loss = 0.3, .twice = 0.1, .late = 0.1, .slow = 0.05, .reset = 0.002, .late_ns = 700 * NS_PER_MS });
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < n; j++)
            wrong_since[i][j] = rt_now().ns;
    for (unsigned k = 0; k < 8; k++) {
        unsigned who = (unsigned)(rt_random() % n);
        if (!sim_host_on(hosts[who].no)) start(who);
        else if (rt_random() % 3 == 0) stop(who);
        else if (rt_random() % 2) sim_host_pause(hosts[who].no, (int64_t)(rt_random() % 5000) * NS_PER_MS);
        watch(10);
    }
    for (unsigned i = 0; i < n; i++)
        if (!sim_host_on(hosts[i].no)) start(i);
    calm();
    return OK;
}

static void world(uint64_t seed, err_t (*script)(void *), void *arg)
{
    struct sim_result r;
    sim_world_run(seed, 0, script, arg, &r, NULL);
    if (r.crashed || r.stuck || r.result != OK) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    CHECK(!r.crashed && !r.stuck && r.result == OK);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static const struct {
    const char *name;
    err_t (*fn)(void *);
} scenes[] = {
    { "kill_and_restart", kill_and_restart }, { "growing", growing }, { "strangers", strangers }, { "doubles", doubles },
    { "copies", copies },
    { "rotation", rotation }, { "going", going }, { "death", death }, { "slow_host", slow_host },
    { "long_pause", long_pause }, { "split", split }, { "one_way", one_way }, { "storm", storm },
};

/* swim_plain [SEEDS [FIRST [SCENE]]] */
int main(int argc, char **argv)
{
    static struct found f;
    struct rt_opts o = { .cores = 1 };
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 8, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    log_init(argc > 3 ? LOG_INFO : LOG_ERROR, false);
    if (argc < 2) CHECK(rt_run(&o, two_nodes, "") == OK);
    if (argc < 2) CHECK(rt_run(&o, two_nodes, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f") == OK);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        f.ndeaths = f.ndeaths > ARRAY_LEN(f.death_s) - 5 ? 0 : f.ndeaths;
        for (unsigned i = 0; i < ARRAY_LEN(scenes); i++) {
            if (argc > 3 && strcmp(argv[3], scenes[i].name) != 0) continue;
            if (argc > 1) fprintf(stderr, "seed %llu %s\n", (unsigned long long)seed, scenes[i].name);
            world(seed, scenes[i].fn, &f);
        }
    }
    CHECK(f.false_deaths == 0);
    if (f.ndeaths) {
        qsort(f.death_s, f.ndeaths, sizeof f.death_s[0], by_size);
        double p99 = f.death_s[(f.ndeaths - 1) * 99 / 100];
        fprintf(stderr, "swim_plain: a dead one of five is known in %.1f s (median), %.1f s (p99 of %u), %.1f s (most)\n",
                f.death_s[f.ndeaths / 2], p99, f.ndeaths, f.death_s[f.ndeaths - 1]);
        CHECK(p99 <= 8);
    }
    fprintf(stderr, "swim_plain: passed\n");
    return 0;
}
