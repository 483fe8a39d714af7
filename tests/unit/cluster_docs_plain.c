/* Documents of a cluster in the simulator: nodes that write at once, are cut from each other, lose power and come back. What was
 * acknowledged is on every node in the end, all have the same, and what two homes accepted apart is told as a conflict. */
#include "base/core/log.h"
#include "base/core/prng.h"
#include "base/rt/sim.h"
#include "cluster/docs_wire.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 4, RPC_PORT = 7947, GOSSIP_PORT = 7946, KEYS = 6 };

/* -- nodes: each does what it is told in `order`, in a fiber of its own ------------------------------------------------ */
struct order {
    bool wanted, done;
    struct doc_version read, made;
    char key[16], value[32];
    bool deleted, get;
    err_t result;
    uint32_t versions; /* of a get */
};
static struct node {
    unsigned host;
    struct sim_disk *disk;
    struct kv *kv;
    char seeds[64];
    struct order o;
    char told[KEYS][32]; /* by docs_on */
} nodes[NODES_MAX];
static unsigned count; /* of them */

static err_t on_changed(void *ctx, struct str key, struct str value)
{
    struct node *n = ctx;
    struct str now = value.p ? value : STR("-");
    if (key.n == 2 && key.p[0] == 'k' && (unsigned)(key.p[1] - '0') < KEYS)
        snprintf(n->told[key.p[1] - '0'], sizeof n->told[0], STR_FMT, STR_ARG(now));
    return OK;
}

static void follow(struct node *n, struct cluster *c)
{
    struct order *o = &n->o;
    struct arena a;
    struct str value = STR_NONE;
    arena_init(&a, NULL);
    if (o->get) {
        struct doc_shown *v;
        uint32_t all;
        o->result = docs_get(c, DOC_INDEX, str_of(o->key), &a, &value, &o->made);
        if (o->result != OK) value = STR("-");
        snprintf(o->value, sizeof o->value, STR_FMT, STR_ARG(value));
        o->versions = 0;
        CHECK(docs_list(c, &a, &v, &all) == OK);
        for (uint32_t i = 0; i < all; i++)
            if (str_is(v[i].key, o->key)) o->versions = v[i].n;
    } else {
        o->result = docs_put(c, DOC_INDEX, str_of(o->key), o->read, o->deleted ? STR_NONE : str_of(o->value), &o->made);
    }
    arena_deinit(&a);
    o->wanted = false;
    o->done = true;
}

static err_t node_main(void *arg)
{
    struct node *n = arg;
    struct store *s;
    struct cluster *c;
    char addr[SIM_ADDR_MAX];
    sim_host_addr(n->host, addr);
    const struct store_opts so = { .dir = "data", .kv = n->kv, .partitions = 4, .mem_bytes = 16 << 20, .seal_age_ms = 3600000, .commit_bytes = 1 << 20 };
    CHECK(store_open(&so, &s) == OK);
    const struct cluster_opts co = { .store = s, .label = "t", .bind = addr, .advertise = "", .gossip_port = GOSSIP_PORT, .rpc_port = RPC_PORT,
                                     .seeds = n->seeds, .zone = "", .version = "1", .backend = "sim", .weight = 100, .partitions = 4,
                                     .replicas = 3, .write_quorum = 2, .dead_after_ms = 600000, .memory = 64 << 20 };
    CHECK(cluster_open(&co, &c) == OK);
    docs_on(c, DOC_INDEX, on_changed, n);
    for (;;) {
        if (n->o.wanted) follow(n, c);
        TRY(fiber_sleep(NS_PER_MS));
    }
}

static void start(struct node *n)
{
    n->o = (struct order){ 0 };
    sim_host_start(n->host, 1 + n->host % 2, node_main, n);
}

static void sleep_ms(int64_t ms)
{
    CHECK(fiber_sleep(ms * NS_PER_MS) == OK);
}

static void start_all(void)
{
    char addr[SIM_ADDR_MAX];
    for (unsigned i = 0; i < count; i++) {
        struct node *n = &nodes[i];
        *n = (struct node){ .disk = sim_disk_new(1ull << 30), .kv = kv_mem_new() };
        n->host = sim_host_new(n->disk, NULL);
        sim_host_addr(nodes[0].host, addr);
        snprintf(n->seeds, sizeof n->seeds, "%s:%d", addr, GOSSIP_PORT);
    }
    for (unsigned i = 0; i < count; i++)
        start(&nodes[i]);
    sleep_ms(6000);
}

static void free_all(void)
{
    for (unsigned i = 0; i < count; i++) {
        kv_mem_free(nodes[i].kv);
        sim_disk_free(nodes[i].disk);
    }
}

/* -- orders -------------------------------------------------------------------------------------------------------------- */
static void begin_put(unsigned at, const char *key, struct doc_version read, const char *value)
{
    struct order *o = &nodes[at].o;
    *o = (struct order){ .read = read, .deleted = value == NULL };
    snprintf(o->key, sizeof o->key, "%s", key);
    snprintf(o->value, sizeof o->value, "%s", value ? value : "");
    o->wanted = true;
}

static bool wait_for(unsigned at)
{
    for (int i = 0; i < 20000 && !nodes[at].o.done; i++)
        sleep_ms(1);
    return nodes[at].o.done;
}

static err_t put(unsigned at, const char *key, struct doc_version read, const char *value, struct doc_version *made)
{
    begin_put(at, key, read, value);
    CHECK(wait_for(at));
    if (made) *made = nodes[at].o.made;
    return nodes[at].o.result;
}

static const struct order *get(unsigned at, const char *key)
{
    struct order *o = &nodes[at].o;
    *o = (struct order){ .get = true };
    snprintf(o->key, sizeof o->key, "%s", key);
    o->wanted = true;
    CHECK(wait_for(at));
    return o;
}

static void expect(unsigned at, const char *key, const char *value, uint32_t versions)
{
    const struct order *o = get(at, key);
    if (strcmp(o->value, value) || o->versions != versions)
        fprintf(stderr, "node %u: %s is %s in %u versions, not %s in %u\n", at, key, o->value, o->versions, value, versions);
    CHECK(strcmp(o->value, value) == 0);
    CHECK(o->versions == versions);
    CHECK(strcmp(nodes[at].told[key[1] - '0'], value) == 0);
}

/* -- worlds -------------------------------------------------------------------------------------------------------------- */
static const struct doc_version none;

static void cut(unsigned a, unsigned b, bool on)
{
    sim_net_cut(nodes[a].host, nodes[b].host, on);
    sim_net_cut(nodes[b].host, nodes[a].host, on);
}

/* Written on one, there on all when the call returns; another version than the one that was read is refused. */
static err_t calm(void *arg)
{
    struct doc_version v1, v2;
    (void)arg;
    start_all();
    for (unsigned i = 0; i < count; i++) {
        char key[4] = { 'k', (char)('0' + i), 0 };
        CHECK(put(i, key, none, "one", &v1) == OK);
        for (unsigned k = 0; k < count; k++)
            expect(k, key, "one", 1);
        CHECK(put((i + 1) % count, key, v1, "two", &v2) == OK);
        CHECK(put((i + 2) % count, key, v1, "three", NULL) == ERR_UNAVAILABLE);
        CHECK(put((i + 2) % count, key, none, "three", NULL) == ERR_UNAVAILABLE);
        expect((i + 2) % count, key, "two", 1);
        CHECK(put(i, key, v2, NULL, NULL) == OK);
        for (unsigned k = 0; k < count; k++)
            expect(k, key, "-", 1);
    }
    /* At once, by two: one of them. */
    begin_put(0, "k3", none, "left");
    begin_put(1, "k3", none, "right");
    CHECK(wait_for(0) && wait_for(1));
    CHECK((nodes[0].o.result == OK) + (nodes[1].o.result == OK) == 1);
    expect(2, "k3", nodes[0].o.result == OK ? "left" : "right", 1);
    return OK;
}

/* One is off while others write and delete; a quorum of one there is not. */
static err_t away(void *arg)
{
    struct doc_version v;
    (void)arg;
    start_all();
    CHECK(put(0, "k0", none, "old", &v) == OK);
    sim_host_crash(nodes[2].host);
    sleep_ms(20000);
    CHECK(put(0, "k0", v, "new", NULL) == OK);
    CHECK(put(1, "k1", none, "here", &v) == OK);
    CHECK(put(1, "k1", v, NULL, NULL) == OK);
    sim_host_crash(nodes[1].host);
    sleep_ms(20);
    CHECK(err_retryable(put(0, "k2", none, "alone", NULL)));
    start(&nodes[2]);
    sleep_ms(15000);
    expect(2, "k0", "new", 1);
    expect(2, "k1", "-", 1);
    /* What it had before a loss of power it has after it, and is told of. */
    sim_host_crash(nodes[0].host);
    sleep_ms(20);
    memset(nodes[0].told, 0, sizeof nodes[0].told);
    start(&nodes[0]);
    sleep_ms(8000);
    expect(0, "k0", "new", 1);
    start(&nodes[1]);
    sleep_ms(15000);
    for (unsigned i = 0; i < count; i++)
        expect(i, "k0", "new", 1);
    return OK;
}

/* The lesser side of a split has no quorum: it refuses, and nothing of what it was asked for is left. */
static err_t lesser(void *arg)
{
    struct doc_version v;
    (void)arg;
    start_all();
    CHECK(put(0, "k0", none, "base", &v) == OK);
    cut(0, 1, true);
    cut(0, 2, true);
    CHECK(err_retryable(put(0, "k0", v, "lone", NULL))); /* the others are not known to be gone yet */
    sleep_ms(30000);
    CHECK(put(0, "k0", v, "lone", NULL) == ERR_UNAVAILABLE);
    CHECK(put(1, "k0", v, "both", NULL) == OK);
    expect(0, "k0", "base", 1);
    expect(2, "k0", "both", 1);
    cut(0, 1, false);
    cut(0, 2, false);
    sleep_ms(60000);
    for (unsigned i = 0; i < count; i++)
        expect(i, "k0", "both", 1);
    return OK;
}

/* Two and two, a quorum on each side: both accept. Afterwards both versions are on all nodes, the newest counts everywhere, and the
 * next write ends the conflict. */
static err_t halves(void *arg)
{
    struct doc_version v, left, right;
    (void)arg;
    start_all();
    CHECK(put(0, "k0", none, "base", &v) == OK);
    for (unsigned i = 0; i < 4; i++)
        cut(i / 2, 2 + i % 2, true);
    sleep_ms(30000);
    CHECK(put(0, "k0", v, "left", &left) == OK);
    CHECK(put(3, "k0", v, "right", &right) == OK);
    CHECK(put(3, "k1", none, "right", NULL) == OK);
    for (unsigned i = 0; i < 4; i++)
        expect(i, "k0", i < 2 ? "left" : "right", 1);
    for (unsigned i = 0; i < 4; i++)
        cut(i / 2, 2 + i % 2, false);
    sleep_ms(60000);
    for (unsigned i = 0; i < 4; i++) {
        expect(i, "k0", doc_version_cmp(left, right) > 0 ? "left" : "right", 2);
        expect(i, "k1", "right", 1);
    }
    CHECK(put(1, "k0", doc_version_cmp(left, right) > 0 ? left : right, "settled", NULL) == OK);
    for (unsigned i = 0; i < 4; i++)
        expect(i, "k0", "settled", 1);
    return OK;
}

/* Anything, any time; then calm: all are equal, and of every key the last that was acknowledged counts or a later one does. */
static err_t swarm(void *arg)
{
    struct prng r;
    struct doc_version acked[KEYS] = { { 0 } };
    prng_init(&r, *(const uint64_t *)arg);
    start_all();
    sim_net_set(&(struct sim_net){ .loss = 0.05, .twice = 0.05, .late = 0.1, .reset = 0.0005, .slow = 0.01, .late_ns = 200 * NS_PER_MS });
    for (int step = 0; step < 120; step++) {
        unsigned at = (unsigned)prng_below(&r, count), other = (at + 1 + (unsigned)prng_below(&r, 2)) % count;
        char key[4] = { 'k', (char)('0' + prng_below(&r, KEYS)), 0 }, value[16];
        switch (prng_below(&r, 12)) {
        case 0: if (sim_host_on(nodes[at].host)) sim_host_crash(nodes[at].host); sleep_ms(5); break;
        case 1: cut(at, other, true); break;
        case 2: cut(at, other, false); break;
        case 3: sleep_ms((int64_t)prng_below(&r, 8000)); break;
        default:
            if (!sim_host_on(nodes[at].host)) {
                start(&nodes[at]);
                break;
            }
            snprintf(value, sizeof value, "%d", step);
            begin_put(at, key, DOC_ANY, prng_below(&r, 5) ? value : NULL);
            for (int i = 0; i < 15000 && !nodes[at].o.done && sim_host_on(nodes[at].host); i++)
                sleep_ms(1);
            if (nodes[at].o.done && nodes[at].o.result == OK && doc_version_cmp(nodes[at].o.made, acked[key[1] - '0']) > 0)
                acked[key[1] - '0'] = nodes[at].o.made;
        }
    }
    sim_net_set(&(struct sim_net){ 0 });
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < count; k++)
            if (i != k) cut(i, k, false);
        if (!sim_host_on(nodes[i].host)) start(&nodes[i]);
    }
    sleep_ms(60000);
    for (unsigned k = 0; k < KEYS; k++) {
        char key[4] = { 'k', (char)('0' + k), 0 };
        struct order first = *get(0, key);
        CHECK(doc_version_cmp(first.made, acked[k]) >= 0);
        for (unsigned i = 1; i < count; i++) {
            const struct order *o = get(i, key);
            CHECK(strcmp(o->value, first.value) == 0 && o->versions == first.versions && doc_version_cmp(o->made, first.made) == 0);
            if (first.versions) CHECK(strcmp(nodes[i].told[k], first.value) == 0);
        }
    }
    return OK;
}

static void world(const char *name, unsigned n, uint64_t seed, err_t (*script)(void *))
{
    count = n;
    struct sim_result r;
    sim_world_run(seed, 3600 * NS_PER_S, script, &seed, &r, NULL);
    free_all();
    if (r.stuck || r.result != OK) fprintf(stderr, "%s: seed %llu: stuck=%d result=%d\n", name, (unsigned long long)seed, r.stuck, r.result);
    CHECK(!r.stuck && r.result == OK);
}

/* -- sets of versions ------------------------------------------------------------------------------------------------------ */
static struct doc_set set_of(const struct doc_set *was, uint64_t clock, uint64_t node, const char *value)
{
    static const struct doc_set empty;
    struct doc_set s;
    doc_set_next(was ? was : &empty, (struct doc_version){ clock, { node } }, str_of(value), &s);
    return s;
}

static bool same(const struct doc_set *a, const struct doc_set *b)
{
    struct buf x, y;
    buf_init(&x, DOC_BYTES_MAX, NULL);
    buf_init(&y, DOC_BYTES_MAX, NULL);
    doc_set_put(a, &x);
    doc_set_put(b, &y);
    bool eq = str_eq(buf_view(&x), buf_view(&y));
    buf_deinit(&x);
    buf_deinit(&y);
    return eq;
}

/* Random histories on three sides, joined in every order: the same. */
static void unions(void)
{
    struct prng r;
    prng_init(&r, 7);
    struct doc_set *side = calloc(3, sizeof *side), *x = calloc(3, sizeof *x);
    for (int round = 0; round < 2000; round++) {
        uint64_t clock = 1;
        memset(side, 0, 3 * sizeof *side);
        for (int step = 0; step < 8; step++) {
            unsigned at = (unsigned)prng_below(&r, 3);
            if (prng_below(&r, 3) == 0) {
                doc_set_join(&side[at], &side[(at + 1) % 3]);
            } else {
                clock += 1 + prng_below(&r, 2);
                x[0] = set_of(&side[at], clock, at + 1, "v");
                doc_set_join(&side[at], &x[0]);
                CHECK(side[at].n == 1); /* it knew all that was there */
            }
        }
        for (unsigned i = 0; i < 3; i++) {
            x[i] = side[i];
            doc_set_join(&x[i], &side[(i + 1) % 3]);
            doc_set_join(&x[i], &side[(i + 2) % 3]);
            CHECK(!doc_set_join(&x[i], &side[(i + 1) % 3]));
        }
        CHECK(same(&x[0], &x[1]) && same(&x[1], &x[2]));
        if (x[0].n == 0) continue;
        struct buf b;
        buf_init(&b, DOC_BYTES_MAX, NULL);
        doc_set_put(&x[0], &b);
        CHECK(doc_set_get(buf_view(&b), &x[1]) == OK && same(&x[0], &x[1]));
        for (size_t cut_at = 0; cut_at < b.n; cut_at += 7)
            CHECK(doc_set_get(str_n(b.p, cut_at), &x[1]) == ERR_CORRUPT);
        buf_deinit(&b);
    }
    free(side);
    free(x);
}

int main(int argc, char **argv)
{
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, n = argc > 2 ? strtoull(argv[2], NULL, 10) : 6;
    log_init(LOG_ERROR, false);
    unions();
    world("calm", 3, 1, calm);
    world("away", 3, 2, away);
    world("lesser", 3, 3, lesser);
    world("halves", 4, 4, halves);
    for (uint64_t seed = from; seed < from + n; seed++)
        world("swarm", 3, seed, swarm);
    return 0;
}
