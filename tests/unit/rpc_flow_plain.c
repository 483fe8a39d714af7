/* Calls between nodes (rpc.h) on real sockets, one core: bodies of 64 MiB go both ways while small calls of the same connection stay quick;
 * what stands in the link stays bounded. Quick is told in CPU time of the process, since others may use the machine. Prints what small calls and large bodies cost; RPC_SMALL sets how many small calls are timed. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/rpc.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LARGE = 64 << 20, LARGE_CALLS = 3, QUICK_CPU_MS = 100 };
enum method { PUT, GET, SMALL };

static char *large;
static unsigned under_way;

static err_t handle(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    (void)ctx;
    if (rq->method == PUT) {
        CHECK(rq->body.n == LARGE && rq->body.p[0] == 'a' && rq->body.p[LARGE - 1] == 'z');
    } else if (rq->method == GET) {
        char *p = buf_reserve(answer, LARGE);
        CHECK(p);
        p[0] = 'a';
        p[LARGE - 1] = 'z';
        answer->n = LARGE;
    } else {
        buf_str(answer, rq->body);
    }
    return OK;
}

static err_t call(struct rpc_peer *p, enum method m, struct str body, struct buf *answer)
{
    struct rpc_call c = { .method = (uint16_t)m, .class = m == SMALL ? RT_MEMBERSHIP : RT_QUERY, .body = body,
                          .answer_max = LARGE, .deadline = mono_add(rt_now(), 100 * NS_PER_S) };
    return rpc_call(p, &c, answer);
}

static void get(void *arg)
{
    struct buf answer;
    buf_init(&answer, LARGE, NULL);
    CHECK(call(arg, GET, STR(""), &answer) == OK && answer.n == LARGE && answer.p[0] == 'a' && answer.p[LARGE - 1] == 'z');
    buf_deinit(&answer);
    under_way--;
}

static void put(void *arg)
{
    struct buf answer;
    buf_init(&answer, 0, NULL);
    CHECK(call(arg, PUT, str_n(large, LARGE), &answer) == OK && answer.n == 0);
    under_way--;
}

static int64_t small(struct rpc_peer *p)
{
    struct buf answer;
    char body[100] = "small";
    buf_init(&answer, 1000, NULL);
    mono_ns before = rt_now();
    CHECK(call(p, SMALL, str_n(body, sizeof body), &answer) == OK && answer.n == sizeof body);
    buf_deinit(&answer);
    return rt_now().ns - before.ns;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void beside_large(struct rpc_peer *p, const char *what, fiber_fn *fn)
{
    struct scope s;
    unsigned n = 0;
    int64_t worst = 0, worst_cpu = 0, sum = 0, before = cpu_ns();
    scope_init(&s, NULL);
    under_way = LARGE_CALLS;
    for (unsigned i = 0; i < LARGE_CALLS; i++)
        CHECK(fiber_start(&s, &(struct fiber_opts){ "large", RT_QUERY, { 0 } }, fn, p) == OK);
    for (; under_way; n++) {
        int64_t cpu = cpu_ns(), took = small(p);
        worst_cpu = MAX(worst_cpu, cpu_ns() - cpu);
        worst = MAX(worst, took);
        sum += took;
        CHECK(fiber_sleep(NS_PER_MS) == OK);
    }
    CHECK(scope_join(&s) == OK);
    fprintf(stderr, "rpc_flow_plain: %s: %.2f ns of CPU a byte; %u small calls beside it, mean %.2f ms, worst %.2f ms (%.2f of CPU)\n", what,
            (double)(cpu_ns() - before) / ((double)LARGE_CALLS * LARGE), n, (double)sum / n / 1e6, (double)worst / 1e6,
            (double)worst_cpu / 1e6);
    CHECK(n > 3 && worst_cpu < QUICK_CPU_MS * (int64_t)NS_PER_MS);
    scope_deinit(&s);
}

struct batch {
    struct rpc_peer *p;
    unsigned n;
};
static void smalls(void *arg)
{
    struct batch *b = arg;
    for (unsigned i = 0; i < b->n; i++)
        (void)small(b->p);
}

static void cost_of_small(struct rpc_peer *p)
{
    const char *env = getenv("RPC_SMALL");
    unsigned each = (unsigned)(env ? strtoul(env, NULL, 10) : 20000) / 50;
    struct batch b = { p, each };
    struct scope s;
    scope_init(&s, NULL);
    int64_t before = cpu_ns();
    for (unsigned i = 0; i < 50; i++)
        CHECK(fiber_start(&s, &(struct fiber_opts){ "smalls", RT_QUERY, { 0 } }, smalls, &b) == OK);
    CHECK(scope_join(&s) == OK);
    fprintf(stderr, "rpc_flow_plain: small calls, 50 at once: %.2f us of CPU a call, both sides\n",
            (double)(cpu_ns() - before) / 1000 / (50.0 * each));
    scope_deinit(&s);
    before = cpu_ns();
    smalls(&b);
    fprintf(stderr, "rpc_flow_plain: one after the other: %.2f us of CPU a call, both sides\n",
            (double)(cpu_ns() - before) / 1000 / each);
}

static err_t all(void *arg)
{
    (void)arg;
    struct budget budget;
    budget_init(&budget, "rpc", NULL, 1 << 30, ERR_OVERLOAD);
    struct rpc_server_opts so = { .addr = "127.0.0.1", .hello = { "f", 1, 1, 1, 1 }, .handler = handle, .budget = &budget };
    struct rpc_server *s;
    CHECK(rpc_server_open(&so, &s) == OK);
    struct rpc_peer *p = rpc_peer_new(&(struct rpc_peer_opts){ .addr = "127.0.0.1", .port = rpc_server_port(s),
                                                               .hello = { "f", 2, 1, 1, 1 } });
    cost_of_small(p);
    beside_large(p, "answers of 64 MiB", get);
    beside_large(p, "bodies of 64 MiB", put);
    CHECK(budget.used == 0);
    /* What is over the budget is refused, and said so. */
    budget.hard = 1000;
    budget_charge(&budget, 1000);
    struct buf answer;
    buf_init(&answer, 0, NULL);
    CHECK(call(p, PUT, str_n(large, LARGE), &answer) == ERR_OVERLOAD);
    budget_release(&budget, 1000);
    (void)small(p);
    rpc_peer_free(p);
    rpc_server_close(s, 100);
    return OK;
}

int main(void)
{
    static const enum rt_backend backends[] = { RT_EPOLL, RT_URING };
    log_init(LOG_ERROR, false);
    large = calloc(1, LARGE);
    CHECK(large);
    large[0] = 'a';
    large[LARGE - 1] = 'z';
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        struct rt_opts o = { .cores = 1, .backend = backends[i] };
        err_t e = rt_run(&o, all, NULL);
        if (backends[i] == RT_URING && e == ERR_UNAVAILABLE) {
            fprintf(stderr, "rpc_flow_plain: io_uring part skipped: %s\n", err_detail());
            continue;
        }
        CHECK(e == OK && metric_sum(M_RPC_CONNECTIONS) == 0 && metric_sum(M_RPC_SERVING) == 0);
        fprintf(stderr, "rpc_flow_plain: passed on %s\n", rt_backend_name());
    }
    free(large);
    return 0;
}
