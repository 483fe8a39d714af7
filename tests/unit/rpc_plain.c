/* Calls between nodes (rpc.h): on both backends over loopback, and between the hosts of a simulated world. Echoes, errors and their
 * details, bodies of every size both ways, many calls at once, refusals told on both sides. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/rpc.h"
#include "base/rt/sim.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 7947, MANY = 1000 };
enum method { ECHO, FAIL, SIZE /* answers as many bytes as the body says */, SLEEP /* as many ms */, WHO };

static const struct rpc_hello server_hello = { "blue", 1, 5, 3, 4 };
static const struct rpc_hello client_hello = { "blue", 2, 7, 2, 3 };
static _Atomic unsigned runs; /* of handlers */

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static void fill(struct buf *b, size_t n)
{
    char *p = buf_reserve(b, n);
    if (!p) return;
    for (size_t i = 0; i < n; i++)
        p[i] = (char)byte_at(i);
    b->n += n;
}

static void check_filled(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK((uint8_t)p[i] == byte_at(i));
}

static err_t handle(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    (void)ctx;
    uint64_t n = 0;
    runs++;
    CHECK(rq->version == 3 && rt_in_fiber());
    if (rq->method != ECHO && rq->body.n == 8) memcpy(&n, rq->body.p, 8);
    switch (rq->method) {
    case ECHO: buf_str(answer, rq->body); return OK;
    case FAIL: return err_set(ERR_NOT_FOUND, "there is no '" STR_FMT "' of %d", STR_ARG(rq->tenant), (int)rq->class);
    case SIZE: fill(answer, n); return OK;
    case SLEEP: return fiber_sleep((int64_t)n * NS_PER_MS);
    case WHO: buf_printf(answer, "%d", (int)rq->peer_node); return OK;
    default: return err_set(ERR_INVALID, "no method %u", rq->method);
    }
}

static err_t call(struct rpc_peer *p, enum method m, struct str body, int64_t within_ms, struct buf *answer)
{
    struct rpc_call c = { .method = (uint16_t)m, .class = RT_QUERY, .tenant = STR("acme"), .body = body,
                          .answer_max = 128 << 20 };
    if (within_ms) c.deadline = mono_add(rt_now(), within_ms * NS_PER_MS);
    return rpc_call(p, &c, answer);
}

static err_t call_n(struct rpc_peer *p, enum method m, uint64_t n, int64_t within_ms, struct buf *answer)
{
    return call(p, m, str_n(&n, sizeof n), within_ms, answer);
}

/* -- plain calls ----------------------------------------------------------------------------------------------- */
static void sizes(struct rpc_peer *p)
{
    static const size_t of[] = { 0, 1, 1000, FRAME_INLINE_MAX - 1, FRAME_INLINE_MAX, FRAME_INLINE_MAX + 1, 65536, 65537,
                                 RPC_WINDOW_BYTES, RPC_WINDOW_BYTES + 1, 3 << 20 };
    for (unsigned i = 0; i < ARRAY_LEN(of); i++) {
        struct buf body, answer;
        buf_init(&body, 64 << 20, NULL);
        buf_init(&answer, 64 << 20, NULL);
        fill(&body, of[i]);
        buf_z(&answer, "x");
        CHECK(call(p, ECHO, buf_view(&body), 0, &answer) == OK);
        CHECK(answer.n == 1 + of[i] && answer.p[0] == 'x');
        check_filled(answer.p + 1, of[i]);
        buf_deinit(&body);
        buf_deinit(&answer);
    }
}

static void errors(struct rpc_peer *p)
{
    struct buf answer;
    struct rpc_peer_stats stats;
    buf_init(&answer, 1000, NULL);
    CHECK(call(p, FAIL, STR("?"), 0, &answer) == ERR_NOT_FOUND);
    CHECK(strcmp(err_detail(), "there is no 'acme' of 3") == 0);
    CHECK(call(p, 77, STR(""), 0, &answer) == ERR_INVALID && strstr(err_detail(), "no method 77"));
    CHECK(call_n(p, SIZE, 1001, 0, &answer) == ERR_TOO_LARGE && answer.n == 0);
    buf_clear(&answer);
    CHECK(call_n(p, SIZE, 200 << 20, 0, &answer) == ERR_TOO_LARGE);
    buf_clear(&answer);
    CHECK(call(p, WHO, STR(""), 0, &answer) == OK && str_is(buf_view(&answer), "2"));
    mono_ns before = rt_now();
    CHECK(call_n(p, SLEEP, 10000, 100, &answer) == ERR_TIMEOUT && strstr(err_detail(), "deadline"));
    CHECK(rt_now().ns - before.ns < 1 * NS_PER_S);
    rpc_peer_stats(p, &stats);
    CHECK(stats.connected && stats.version == 3 && stats.node == 1 && stats.epoch == 5 && stats.failed >= 1);
    buf_deinit(&answer);
}

struct one {
    struct rpc_peer *p;
    size_t n;
    unsigned *left;
    err_t e;
};

static void run_one(void *arg)
{
    struct one *o = arg;
    struct buf answer;
    buf_init(&answer, 1 << 20, NULL);
    o->e = call_n(o->p, SIZE, o->n, 0, &answer);
    if (o->e == OK) {
        CHECK(answer.n == o->n);
        check_filled(answer.p, answer.n);
    }
    buf_deinit(&answer);
}

/* More at once than the server takes. */
static void many(struct rpc_peer *p)
{
    static struct one of[MANY];
    struct scope s;
    scope_init(&s, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        of[i] = (struct one){ .p = p, .n = i % 100 ? i : 300000 };
        CHECK(fiber_start(&s, &(struct fiber_opts){ "one", RT_QUERY, { 0 } }, run_one, &of[i]) == OK);
    }
    CHECK(scope_join(&s) == OK);
    for (unsigned i = 0; i < MANY; i++)
        CHECK(of[i].e == OK);
    scope_deinit(&s);
}

static void all_plain(struct rpc_peer *p)
{
    sizes(p);
    errors(p);
    many(p);
}

/* -- refusals -------------------------------------------------------------------------------------------------- */
static void refused(const char *addr, uint16_t port, struct rpc_hello hello, uint64_t expect, const char *word)
{
    struct rpc_peer_opts o = { .addr = addr, .port = port, .hello = hello, .expect_node = expect };
    struct rpc_peer *p = rpc_peer_new(&o);
    struct buf answer;
    unsigned before = runs;
    buf_init(&answer, 1000, NULL);
    CHECK(call(p, ECHO, STR("?"), 5000, &answer) == ERR_UNAVAILABLE && strstr(err_detail(), word));
    CHECK(call(p, ECHO, STR("?"), 5000, &answer) == ERR_UNAVAILABLE && strstr(err_detail(), "again"));
    CHECK(runs == before);
    rpc_peer_free(p);
    buf_deinit(&answer);
}

static void refusals(const char *addr, uint16_t port)
{
    struct rpc_hello h = client_hello;
    snprintf(h.label, sizeof h.label, "red");
    refused(addr, port, h, 0, "'red'");
    h = client_hello;
    h.version_min = h.version_max = 5;
    refused(addr, port, h, 0, "versions 5 to 5");
    h = client_hello;
    h.node = 1;
    refused(addr, port, h, 0, "both ends");
    h = client_hello;
    h.epoch--;
    refused(addr, port, h, 0, "epoch 6");
    refused(addr, port, client_hello, 9, "was called");
}

/* -- real sockets ---------------------------------------------------------------------------------------------- */
static err_t real(void *arg)
{
    (void)arg;
    struct rpc_server_opts so = { .addr = "127.0.0.1", .hello = server_hello, .handler = handle };
    struct rpc_server *s;
    CHECK(rpc_server_open(&so, &s) == OK);
    struct rpc_peer_opts po = { .addr = "127.0.0.1", .port = rpc_server_port(s), .hello = client_hello,
                                .expect_node = 1 };
    struct rpc_peer *p = rpc_peer_new(&po);
    all_plain(p);
    refusals("127.0.0.1", po.port);
    rpc_server_close(s, 1000);
    struct buf answer;
    buf_init(&answer, 1000, NULL);
    CHECK(call(p, ECHO, STR("?"), 0, &answer) == ERR_UNAVAILABLE);
    rpc_peer_free(p);
    buf_deinit(&answer);
    return OK;
}

/* A server that closes while handlers run and answers are on their way, and a client that goes likewise. */
static void run_sleep(void *arg)
{
    struct one *o = arg;
    struct buf answer;
    buf_init(&answer, 8 << 20, NULL);
    o->e = call_n(o->p, o->n % 2 ? SIZE : SLEEP, o->n % 2 ? 8 << 20 : 100000, 0, &answer);
    buf_deinit(&answer);
}

static void ends(bool of_client)
{
    static struct one of[50];
    struct rpc_server_opts so = { .addr = "127.0.0.1", .hello = server_hello, .handler = handle };
    struct rpc_server *s;
    struct scope scope;
    CHECK(rpc_server_open(&so, &s) == OK);
    struct rpc_peer_opts po = { .addr = "127.0.0.1", .port = rpc_server_port(s), .hello = client_hello };
    struct rpc_peer *p = rpc_peer_new(&po);
    scope_init(&scope, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(of); i++) {
        of[i] = (struct one){ .p = p, .n = i };
        CHECK(fiber_start(&scope, &(struct fiber_opts){ "one", RT_QUERY, { 0 } }, run_sleep, &of[i]) == OK);
    }
    CHECK(fiber_sleep(30 * NS_PER_MS) == OK);
    if (of_client) rpc_peer_free(p);
    else rpc_server_close(s, 10);
    CHECK(scope_join(&scope) == OK);
    for (unsigned i = 0; i < ARRAY_LEN(of); i++)
        CHECK(of[i].e == ERR_UNAVAILABLE || (i % 2 && of[i].e == OK));
    if (of_client) rpc_server_close(s, 10000);
    else rpc_peer_free(p);
    scope_deinit(&scope);
}

static err_t all_real(void *arg)
{
    TRY(real(arg));
    ends(false);
    ends(true);
    return OK;
}

/* A server on each core, on one port; each core calls it. */
static struct per_core {
    struct rpc_server *s;
    struct rpc_peer *p;
} per_core[2];
static uint16_t shared_port;

static err_t core_open(void *arg)
{
    struct per_core *c = arg;
    struct rpc_server_opts so = { .addr = "127.0.0.1", .port = shared_port, .hello = server_hello, .handler = handle };
    TRY(rpc_server_open(&so, &c->s));
    if (!shared_port) shared_port = rpc_server_port(c->s);
    struct rpc_peer_opts po = { .addr = "127.0.0.1", .port = shared_port, .hello = client_hello };
    c->p = rpc_peer_new(&po);
    return OK;
}

static err_t core_call(void *arg)
{
    struct per_core *c = arg;
    sizes(c->p);
    for (unsigned i = 0; i < MANY; i++) {
        struct buf answer;
        buf_init(&answer, 100, NULL);
        CHECK(call(c->p, WHO, STR(""), 60000, &answer) == OK && str_is(buf_view(&answer), "2"));
        buf_deinit(&answer);
    }
    return OK;
}

static err_t core_close(void *arg)
{
    struct per_core *c = arg;
    rpc_peer_free(c->p);
    rpc_server_close(c->s, 100);
    return OK;
}

static err_t cores(void *arg)
{
    (void)arg;
    void *args[] = { &per_core[0], &per_core[1] };
    shared_port = 0;
    TRY(rt_call(0, RT_QUERY, core_open, args[0]));
    TRY(rt_call(1, RT_QUERY, core_open, args[1]));
    TRY(rt_call_all(RT_QUERY, core_call, args, NULL));
    return rt_call_all(RT_QUERY, core_close, args, NULL);
}

static void on_backends(void)
{
    static const enum rt_backend backends[] = { RT_EPOLL, RT_URING };
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        struct rt_opts o = { .cores = 1, .backend = backends[i] };
        err_t e = rt_run(&o, all_real, NULL);
        if (backends[i] == RT_URING && e == ERR_UNAVAILABLE) {
            fprintf(stderr, "rpc_plain: io_uring part skipped: %s\n", err_detail());
            continue;
        }
        CHECK(e == OK && metric_sum(M_RPC_CONNECTIONS) == 0 && metric_sum(M_RPC_SERVING) == 0);
        CHECK(metric_sum(M_CONNECTIONS) == 0);
        o.cores = 2;
        CHECK(rt_run(&o, cores, NULL) == OK && metric_sum(M_RPC_CONNECTIONS) == 0);
    }
}

/* -- the simulator --------------------------------------------------------------------------------------------- */
static err_t serve_here(void *arg)
{
    (void)arg;
    struct rpc_server_opts so = { .addr = "0.0.0.0", .port = PORT, .hello = server_hello, .handler = handle };
    struct rpc_server *s;
    return rpc_server_open(&so, &s);
}

static err_t serve(void *arg)
{
    struct event never;
    void *args[8] = { arg };
    CHECK(rt_call_all(RT_INGEST, serve_here, args, NULL) == OK);
    event_init(&never);
    return event_wait(&never);
}

static unsigned server_host(unsigned cores, char *addr)
{
    unsigned h = sim_host_new(NULL, NULL);
    sim_host_start(h, cores, serve, NULL);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    sim_host_addr(h, addr);
    return h;
}

static err_t plain_world(void *arg)
{
    char addr[SIM_ADDR_MAX];
    (void)arg;
    server_host(1, addr);
    struct rpc_peer *p = rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = PORT, .hello = client_hello });
    all_plain(p);
    refusals(addr, PORT);
    rpc_peer_free(p);
    return OK;
}

static uint64_t world(uint64_t seed, err_t (*script)(void *), struct sim_net_stats *net)
{
    struct sim_result r;
    sim_world_run(seed, 0, script, NULL, &r, net);
    CHECK(!r.crashed && !r.stuck && r.result == OK);
    return r.trace_hash;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 3;
    log_init(getenv("RPC_LOG") ? LOG_INFO : LOG_ERROR, false);
    on_backends();
    for (uint64_t seed = 1; seed <= seeds; seed++)
        CHECK(world(seed, plain_world, NULL) == world(seed, plain_world, NULL));
    fprintf(stderr, "rpc_plain: passed\n");
    return 0;
}
