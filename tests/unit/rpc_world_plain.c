/* Calls between nodes (rpc.h) in a bad world, simulated: hosts that are killed, lose power, pause and come back, cuts, resets and slow
 * packets. No call outlasts its deadline, an answer is right, a handler runs at most once a call and learns of a cancel, and when
 * the world is well again all calls pass. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/core/prng.h"
#include "base/net/rpc.h"
#include "base/rt/sim.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 7947, HOSTS = 3, WORKERS = 24, CALLS = 60, KEYS = 1 << 16, BODY_MAX = 4 << 20 };
enum method { STORE /* answers a hash of the body */, FETCH /* answers so many bytes */, HANG /* until it is cancelled */ };

struct ask { /* at the start of each body */
    uint32_t key, answer;
};

static unsigned runs[KEYS];
static uint32_t next_key;
static unsigned hung, unhung;
static struct budget budget;
static uint8_t pattern[BODY_MAX + 256];

static err_t handle(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct ask ask;
    (void)ctx;
    CHECK(rq->body.n >= sizeof ask);
    memcpy(&ask, rq->body.p, sizeof ask);
    CHECK(++runs[ask.key] == 1);
    if (rq->method == HANG) {
        hung++;
        err_t e = fiber_sleep(1000 * NS_PER_S);
        CHECK(e == ERR_CANCELED || e == ERR_TIMEOUT);
        unhung++;
        return e;
    }
    TRY(fiber_sleep((int64_t)(rt_random() % (20 * NS_PER_MS))));
    /* The body is ours till we return. */
    CHECK(memcmp(rq->body.p + sizeof ask, pattern + ask.key % 251, rq->body.n - sizeof ask) == 0);
    buf_put(answer, pattern + ask.key % 251, ask.answer);
    return OK;
}

static err_t serve_here(void *arg)
{
    struct rpc_server *s;
    struct rpc_server_opts o = { .addr = "0.0.0.0", .port = PORT, .handler = handle, .budget = &budget, .calls_max = 16,
                                 .hello = { "w", *(const uint64_t *)arg, 1, 1, 1 } };
    return rpc_server_open(&o, &s);
}

static err_t serve(void *arg)
{
    struct event never;
    void *args[] = { arg, arg };
    CHECK(rt_call_all(RT_INGEST, serve_here, args, NULL) == OK);
    event_init(&never);
    return event_wait(&never);
}

static uint64_t names[HOSTS + 1];
static unsigned host_new(void)
{
    unsigned h = sim_host_new(NULL, NULL);
    names[h % (HOSTS + 1)] = h;
    return h;
}

static void host_start(unsigned h)
{
    sim_host_start(h, 1 + h % 2, serve, &names[h % (HOSTS + 1)]);
}

static struct rpc_peer *peer_of(unsigned h)
{
    char addr[SIM_ADDR_MAX];
    sim_host_addr(h, addr);
    return rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = PORT, .hello = { "w", 99, 1, 1, 1 }, .expect_node = h });
}

/* One call; what it did is checked, how it ended is told. */
static err_t one(struct rpc_peer *p, enum method m, size_t body_n, uint32_t answer_n, int64_t within_ns)
{
    struct ask ask = { next_key++ % KEYS, answer_n };
    struct buf body, answer;
    buf_init(&body, BODY_MAX + sizeof ask, NULL);
    buf_init(&answer, BODY_MAX, NULL);
    buf_put(&body, &ask, sizeof ask);
    buf_put(&body, pattern + ask.key % 251, body_n);
    struct rpc_call c = { .method = (uint16_t)m, .class = (enum rt_class)(ask.key % RT_CLASSES), .body = buf_view(&body),
                          .answer_max = BODY_MAX };
    mono_ns before = rt_now();
    if (within_ns) c.deadline = mono_add(before, within_ns);
    err_t e = rpc_call(p, &c, &answer);
    int64_t took = rt_now().ns - before.ns;
    CHECK(!within_ns || took <= within_ns + (RPC_STUCK_MS + 10) * (int64_t)NS_PER_MS);
    CHECK(e == OK || e == ERR_UNAVAILABLE || e == ERR_TIMEOUT || e == ERR_CANCELED);
    if (e == OK) {
        CHECK(runs[ask.key] == 1 && answer.n == answer_n);
        CHECK(!answer_n || memcmp(answer.p, pattern + ask.key % 251, answer_n) == 0);
    }
    memset(body.p, 0xee, body.n); /* nobody reads it any more */
    buf_deinit(&body);
    buf_deinit(&answer);
    return e;
}

/* -- single troubles ------------------------------------------------------------------------------------------- */
static err_t troubles(void *arg)
{
    (void)arg;
    unsigned h = host_new();
    host_start(h);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    struct rpc_peer *p = peer_of(h);
    CHECK(one(p, STORE, 100, 100, NS_PER_S) == OK);
    /* It is paused: the deadline holds, also for a body that nobody takes; after it, the host is as before. */
    sim_host_pause(h, 2 * NS_PER_S);
    CHECK(one(p, STORE, 100, 100, NS_PER_S / 2) == ERR_TIMEOUT);
    CHECK(one(p, STORE, BODY_MAX, 100, NS_PER_S / 2) == ERR_TIMEOUT);
    CHECK(fiber_sleep(4 * NS_PER_S) == OK);
    CHECK(one(p, STORE, BODY_MAX, BODY_MAX, 0) == OK);
    /* It loses power while a call hangs that has a minute left: noticed within 5 s. */
    mono_ns before = rt_now();
    sim_host_crash(h);
    CHECK(one(p, STORE, 1, 1, 60 * NS_PER_S) == ERR_UNAVAILABLE);
    CHECK(rt_now().ns - before.ns < 5 * NS_PER_S);
    CHECK(strstr(err_detail(), "nothing came for"));
    CHECK(one(p, STORE, 1, 1, 60 * NS_PER_S) == ERR_UNAVAILABLE);
    host_start(h);
    CHECK(fiber_sleep((RPC_RETRY_MAX_MS + 100) * (int64_t)NS_PER_MS) == OK);
    CHECK(one(p, STORE, 1, 1, NS_PER_S) == OK);
    /* Killed: at once. */
    before = rt_now();
    sim_host_kill(h);
    CHECK(one(p, STORE, 1, 1, 60 * NS_PER_S) == ERR_UNAVAILABLE && rt_now().ns - before.ns < 100 * NS_PER_MS);
    rpc_peer_free(p);
    return OK;
}

static void hang(void *arg)
{
    CHECK(one(arg, HANG, 1, 1, 0) != OK);
}

/* Handlers learn of a cancel, of a deadline, and of the end of the caller; the caller does not wait for them. */
static err_t cancels(void *arg)
{
    (void)arg;
    unsigned h = host_new();
    host_start(h);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    struct rpc_peer *p = peer_of(h);
    struct scope s;
    hung = unhung = 0;
    scope_init(&s, NULL);
    for (unsigned i = 0; i < 40; i++) /* 16 run at once */
        CHECK(fiber_start(&s, &(struct fiber_opts){ "hang", RT_QUERY, { 0 } }, hang, p) == OK);
    CHECK(fiber_sleep(NS_PER_S) == OK);
    CHECK(hung == 16 && unhung == 0 && metric_sum(M_RPC_WAITING) == 24);
    mono_ns before = rt_now();
    scope_cancel(&s);
    CHECK(scope_join(&s) == OK && rt_now().ns - before.ns < NS_PER_MS);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    CHECK(hung == 16 && unhung == 16 && metric_sum(M_RPC_WAITING) == 0);
    CHECK(one(p, STORE, 1, 1, NS_PER_S) == OK);
    CHECK(one(p, HANG, 1, 1, 100 * NS_PER_MS) == ERR_TIMEOUT);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK && unhung == 17);
    scope_deinit(&s);
    scope_init(&s, NULL);
    for (unsigned i = 0; i < 10; i++)
        CHECK(fiber_start(&s, &(struct fiber_opts){ "hang", RT_QUERY, { 0 } }, hang, p) == OK);
    CHECK(fiber_sleep(NS_PER_S) == OK && hung == 27);
    rpc_peer_free(p);
    CHECK(scope_join(&s) == OK && fiber_sleep(10 * NS_PER_MS) == OK);
    CHECK(unhung == 27 && budget.used == 0 && metric_sum(M_RPC_SERVING) == 0);
    scope_deinit(&s);
    return OK;
}

/* Without a deadline: calls under way, and those that wait for a slot, end when the peer does. */
static err_t ends(void *arg)
{
    (void)arg;
    unsigned h = host_new();
    host_start(h);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    struct rpc_peer *p = peer_of(h);
    struct scope s;
    scope_init(&s, NULL);
    for (unsigned i = 0; i < 40; i++)
        CHECK(fiber_start(&s, &(struct fiber_opts){ "hang", RT_QUERY, { 0 } }, hang, p) == OK);
    CHECK(fiber_sleep(NS_PER_S) == OK && metric_sum(M_RPC_WAITING) == 24);
    mono_ns before = rt_now();
    sim_host_kill(h);
    CHECK(scope_join(&s) == OK && rt_now().ns - before.ns < 100 * NS_PER_MS && metric_sum(M_RPC_WAITING) == 0);
    rpc_peer_free(p);
    scope_deinit(&s);
    return OK;
}

/* -- a storm --------------------------------------------------------------------------------------------------- */
struct storm {
    struct rpc_peer *peers[HOSTS];
    unsigned hosts[HOSTS], ok, failed, ended;
    bool kills;
    struct prng rnd;
};

static void worker(void *arg)
{
    struct storm *st = arg;
    for (unsigned i = 0; i < CALLS; i++) {
        struct rpc_peer *p = st->peers[prng_below(&st->rnd, HOSTS)];
        size_t body = prng_below(&st->rnd, 8) ? prng_below(&st->rnd, 3000) : prng_below(&st->rnd, BODY_MAX / 2);
        uint32_t answer = (uint32_t)(prng_below(&st->rnd, 8) ? prng_below(&st->rnd, 3000) : prng_below(&st->rnd, BODY_MAX / 2));
        err_t e = one(p, STORE, body, answer, (int64_t)(NS_PER_MS + prng_below(&st->rnd, 2 * NS_PER_S)));
        if (e == OK) st->ok++;
        else st->failed++;
        if (e == ERR_CANCELED) break;
        if (fiber_sleep((int64_t)prng_below(&st->rnd, 200 * NS_PER_MS)) != OK) break;
    }
    st->ended++;
}

static void trouble(struct storm *st)
{
    unsigned h = st->hosts[prng_below(&st->rnd, HOSTS)];
    switch (prng_below(&st->rnd, st->kills ? 6 : 4)) {
    case 0: sim_host_pause(h, (int64_t)prng_below(&st->rnd, 2 * NS_PER_S)); break;
    case 1: sim_net_cut(0, h, true); break;
    case 2: sim_net_cut(h, 0, true); break;
    case 3: sim_net_cut(h, 0, false), sim_net_cut(0, h, false); break;
    case 4: sim_host_kill(h); break;
    default: sim_host_crash(h); break;
    }
}

static void heal(struct storm *st)
{
    sim_net_set(&(struct sim_net){ 0 });
    CHECK(fiber_sleep(3 * NS_PER_S) == OK); /* who was just killed is off, who was paused goes on */
    for (unsigned i = 0; i < HOSTS; i++) {
        sim_net_cut(0, st->hosts[i], false);
        sim_net_cut(st->hosts[i], 0, false);
        if (!sim_host_on(st->hosts[i])) host_start(st->hosts[i]);
    }
    CHECK(fiber_sleep(8 * NS_PER_S) == OK);
    /* A connection to an earlier life may be left: the first call finds out. */
    for (unsigned i = 0; i < HOSTS; i++)
        (void)one(st->peers[i], STORE, 1, 1, 10 * NS_PER_S);
    CHECK(fiber_sleep(RPC_RETRY_MAX_MS * (int64_t)NS_PER_MS) == OK);
}

static err_t storm(void *arg)
{
    struct storm *st = arg;
    struct scope s, some;
    memset(runs, 0, sizeof runs);
    next_key = 0;
    for (unsigned i = 0; i < HOSTS; i++) {
        host_start(st->hosts[i] = host_new());
        st->peers[i] = peer_of(st->hosts[i]);
    }
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    sim_net_set(&(struct sim_net){ .reset = 0.002, .slow = 0.02, .late_ns = 100 * NS_PER_MS });
    scope_init(&s, NULL);
    scope_init(&some, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(fiber_start(i % 3 ? &s : &some, &(struct fiber_opts){ "worker", RT_QUERY, { 0 } }, worker, st) == OK);
    for (unsigned turn = 0; st->ended < WORKERS; turn++) {
        CHECK(fiber_sleep((int64_t)prng_below(&st->rnd, NS_PER_S)) == OK);
        for (unsigned i = 0; i < HOSTS; i++)
            if (!sim_host_on(st->hosts[i]) && prng_below(&st->rnd, 2)) host_start(st->hosts[i]);
        if (prng_below(&st->rnd, 3) == 0) trouble(st);
        if (turn == 20) scope_cancel(&some);
    }
    CHECK(scope_join(&s) == OK && scope_join(&some) == OK);
    heal(st);
    for (unsigned i = 0; i < HOSTS; i++)
        CHECK(one(st->peers[i], STORE, 1000, BODY_MAX, 10 * NS_PER_S) == OK);
    for (unsigned i = 0; i < HOSTS; i++)
        rpc_peer_free(st->peers[i]);
    CHECK(fiber_sleep(NS_PER_S) == OK && metric_sum(M_RPC_WAITING) == 0);
    if (!st->kills) CHECK(budget.used == 0 && metric_sum(M_RPC_SERVING) == 0 && metric_sum(M_RPC_CONNECTIONS) == 0);
    scope_deinit(&s);
    scope_deinit(&some);
    return OK;
}

static uint64_t world(uint64_t seed, err_t (*script)(void *), void *arg)
{
    struct sim_result r;
    int64_t connections = metric_sum(M_RPC_CONNECTIONS), serving = metric_sum(M_RPC_SERVING);
    budget_init(&budget, "rpc", NULL, 1 << 30, ERR_OVERLOAD);
    sim_world_run(seed, 0, script, arg, &r, NULL);
    CHECK(!r.crashed && !r.stuck && r.result == OK);
    /* What killed hosts held is nobody's. */
    metric_add(M_RPC_CONNECTIONS, connections - metric_sum(M_RPC_CONNECTIONS));
    metric_add(M_RPC_SERVING, serving - metric_sum(M_RPC_SERVING));
    return r.trace_hash;
}

static uint64_t storm_world(uint64_t seed, unsigned *ok, unsigned *failed)
{
    struct storm st = { .kills = seed % 2 };
    prng_init(&st.rnd, seed);
    uint64_t hash = world(seed, storm, &st);
    *ok += st.ok;
    *failed += st.failed;
    return hash;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 2 ? strtoull(argv[1], NULL, 10) : 1, last = argc > 2 ? strtoull(argv[2], NULL, 10) : 6;
    unsigned ok = 0, failed = 0;
    log_init(getenv("RPC_LOG") ? LOG_INFO : LOG_ERROR, false);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i % 251);
    for (uint64_t seed = first; seed <= last; seed++) {
        memset(runs, 0, sizeof runs);
        world(seed, troubles, NULL);
        world(seed, cancels, NULL);
        world(seed, ends, NULL);
        uint64_t hash = storm_world(seed, &ok, &failed);
        if (seed == first) CHECK(hash == storm_world(seed, &ok, &failed));
    }
    CHECK(ok > 1000 && failed > 100);
    fprintf(stderr, "rpc_world_plain: passed, %u calls ended well and %u did not\n", ok, failed);
    return 0;
}
