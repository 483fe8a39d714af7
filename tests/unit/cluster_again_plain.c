/* A node lost power and was started again while nothing was said on the connection to it: the next call finds out, by a reset. Methods that
 * may run twice are called once more at once, others are not, nor is a node asked again that answered for itself. */
#include "base/core/metric.h"
#include "base/rt/sim.h"
#include "cluster/cluster_int.h"
#include "tests/unit/check.h"

#include <stdio.h>

enum { PORT = 7947, METHOD_ONCE = METHODS - 1 };

static unsigned runs;
static err_t say; /* what the handler answers */

static err_t handle(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    (void)ctx;
    (void)rq;
    runs++;
    buf_put(answer, "whole", 5);
    return say == OK ? OK : err_set(say, "its own word");
}

static err_t serve(void *arg)
{
    struct rpc_server *s;
    struct event never;
    const struct rpc_server_opts o = { .addr = "0.0.0.0", .port = PORT, .handler = handle, .hello = { "w", *(const unsigned *)arg, 1, 1, 1 } };
    CHECK(rpc_server_open(&o, &s) == OK);
    event_init(&never);
    return event_wait(&never);
}

static err_t call(struct peer *p, uint16_t method)
{
    struct buf answer;
    buf_init(&answer, 64, NULL);
    buf_put(&answer, "had ", 4);
    const struct rpc_call c = { .method = method, .class = RT_QUERY, .body = STR("ask"), .answer_max = 64, .deadline = mono_add(rt_now(), NS_PER_S) };
    err_t e = peer_call(p, &c, &answer);
    if (e == OK) CHECK(str_eq(buf_view(&answer), STR("had whole")));
    buf_deinit(&answer);
    return e;
}

static void power_cut(unsigned host, unsigned *name)
{
    sim_host_crash(host);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    sim_host_start(host, 1, serve, name);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    runs = 0;
}

static err_t script(void *arg)
{
    (void)arg;
    char addr[SIM_ADDR_MAX];
    unsigned host = sim_host_new(NULL, NULL);
    sim_host_start(host, 1, serve, &host);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    sim_host_addr(host, addr);
    struct peer p = { .rpc = rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = PORT, .hello = { "w", 99, 1, 1, 1 }, .expect_node = host }) };
    CHECK(io_addr_parse(addr, PORT, &p.address) == OK);
    static const uint16_t twice[] = { METHOD_PUT, METHOD_COVER, METHOD_PULL, METHOD_FRAGMENT };
    for (unsigned i = 0; i < ARRAY_LEN(twice); i++) {
        CHECK(call(&p, twice[i]) == OK);
        power_cut(host, &host);
        int64_t again = metric_sum(M_RPC_CALLS_AGAIN);
        CHECK(call(&p, twice[i]) == OK && runs == 1 && metric_sum(M_RPC_CALLS_AGAIN) == again + 1);
    }
    /* One that must not run twice is not sent twice. */
    power_cut(host, &host);
    CHECK(call(&p, METHOD_ONCE) == ERR_UNAVAILABLE && runs == 0);
    CHECK(fiber_sleep(RPC_RETRY_MAX_MS * (int64_t)NS_PER_MS) == OK);
    CHECK(call(&p, METHOD_ONCE) == OK && runs == 1);
    /* A node's own word counts. */
    say = ERR_UNAVAILABLE;
    runs = 0;
    CHECK(call(&p, METHOD_PUT) == ERR_UNAVAILABLE && runs == 1);
    say = OK;
    /* It is gone: once more is all. */
    CHECK(call(&p, METHOD_PUT) == OK);
    sim_host_kill(host);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    CHECK(call(&p, METHOD_PUT) == ERR_UNAVAILABLE);
    rpc_peer_free(p.rpc);
    return OK;
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_result r;
        say = OK;
        sim_world_run(seed, 0, script, NULL, &r, NULL);
        CHECK(!r.crashed && !r.stuck && r.result == OK);
    }
    puts("cluster_again_plain: passed");
    return 0;
}
