/* Lanes: what has no hurry goes together and in time, what has goes at once and takes the others along; every request is answered once,
 * with its own result. And the bytes of their calls, whole and hostile. */
#include "base/core/metric.h"
#include "base/rt/sim.h"
#include "cluster/cluster_int.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 7947, ITEMS = 400 };

/* -- the other node: notes what came --------------------------------------------------------------------------- */
static struct {
    unsigned calls, open, most, requests;
    char order[ITEMS * 4]; /* numbers of requests as they came */
    int64_t delay_ns;
    unsigned refused;      /* the request of this number is; 0 = none */
    mono_ns last;
} seen;

static err_t handle(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct str all[LANE_REQUESTS];
    uint32_t n;
    bool bad = false;
    (void)ctx;
    TRY(lane_requests(rq->body, all, &n));
    seen.calls++;
    seen.last = rt_now();
    seen.open++;
    seen.most = MAX(seen.most, seen.open);
    for (uint32_t i = 0; i < n; i++, seen.requests++) {
        seen.order[seen.requests] = all[i].p[0];
        bad |= seen.refused && (unsigned)all[i].p[0] == seen.refused;
    }
    err_t e = seen.delay_ns ? fiber_sleep(seen.delay_ns) : OK;
    for (uint32_t i = 0; bad && i < n; i++) {
        bool this = (unsigned)all[i].p[0] == seen.refused;
        lane_result_put(this ? ERR_NOSPC : OK, "no room for it", answer);
    }
    seen.open--;
    return e;
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

/* -- ours ----------------------------------------------------------------------------------------------------------- */
struct item {
    struct lane_item item;
    struct buf bytes;
    unsigned done;
    err_t result;
    char why[ERR_DETAIL_MAX];
};
static struct cluster cluster;
static struct cluster_core core, *cores[1] = { &core };
static struct peer peer;
static struct item items[ITEMS];

static void done(struct lane_item *it, err_t e)
{
    struct item *i = CONTAINER_OF(it, struct item, item);
    i->done++;
    i->result = e;
    snprintf(i->why, sizeof i->why, "%s", e == OK ? "" : err_detail());
    peer_put(&peer);
}

static void put(unsigned i, size_t bytes, bool hurry)
{
    struct item *it = &items[i];
    buf_deinit(&it->bytes);
    *it = (struct item){ .item.done = done };
    buf_init(&it->bytes, bytes + 8, NULL);
    size_t begin = lane_begin(&it->bytes);
    for (size_t k = 0; k < bytes; k++)
        buf_byte(&it->bytes, (uint8_t)i);
    lane_end(&it->bytes, begin);
    it->item.bytes = buf_view(&it->bytes);
    peer_hold(&peer);
    lane_put(&peer.lane, &it->item, hurry);
}

static void wait_ms(int64_t ms)
{
    CHECK(fiber_sleep(ms * NS_PER_MS) == OK);
}

/* Items [0, n) are done once, with this result. */
static void all_are(unsigned n, err_t e)
{
    for (unsigned i = 0; i < n; i++)
        CHECK(items[i].done == 1 && items[i].result == e);
    CHECK(peer.users == 0 && lane_idle(&peer.lane) && atomic_load(&cluster.gathering) == 0);
    CHECK(metric_sum(M_REPLICATE_WAITING_BYTES) == 0);
}

static void fresh(void)
{
    memset(&seen, 0, sizeof seen);
}

/* -- what is promised ------------------------------------------------------------------------------------------------- */
static void gathers(void)
{
    fresh();
    mono_ns began = rt_now();
    for (unsigned i = 0; i < 10; i++)
        put(i, 1, false);
    CHECK(atomic_load(&cluster.gathering) == 1);
    wait_ms(LANE_WAIT_MS - 1);
    CHECK(seen.calls == 0);
    wait_ms(20);
    CHECK(seen.calls == 1 && seen.requests == 10 && seen.last.ns - began.ns < (LANE_WAIT_MS + 3) * NS_PER_MS);
    for (unsigned i = 0; i < 10; i++)
        CHECK(seen.order[i] == (char)i);
    all_are(10, OK);
}

static void hurries(void)
{
    fresh();
    mono_ns began = rt_now();
    put(0, 1, false);
    put(1, 1, false);
    put(2, 1, true);
    wait_ms(20);
    CHECK(seen.calls == 1 && seen.requests == 3 && seen.last.ns - began.ns < 2 * NS_PER_MS);
    all_are(3, OK);
    /* Somebody asks for it. */
    fresh();
    began = rt_now();
    put(0, 1, false);
    lane_hurry(&peer.lane);
    wait_ms(20);
    CHECK(seen.calls == 1 && seen.last.ns - began.ns < 2 * NS_PER_MS);
    all_are(1, OK);
    /* Many bytes are worth a call. */
    fresh();
    began = rt_now();
    put(0, LANE_FULL / 2, false);
    put(1, LANE_FULL / 2, false);
    wait_ms(20);
    CHECK(seen.calls == 1 && seen.requests == 2 && seen.last.ns - began.ns < 4 * NS_PER_MS);
    all_are(2, OK);
}

/* While as many calls as may be are under way, what comes gathers; calls are bounded. */
static void bounded(void)
{
    fresh();
    seen.delay_ns = 50 * NS_PER_MS;
    for (unsigned i = 0; i < ITEMS; i++) {
        put(i, 1, true);
        if (i < 3) wait_ms(5);
    }
    wait_ms(10);
    CHECK(seen.open == LANE_CALLS && seen.calls == LANE_CALLS);
    wait_ms(400);
    CHECK(seen.most == LANE_CALLS && seen.requests == ITEMS);
    CHECK(seen.calls == LANE_CALLS + (ITEMS - LANE_CALLS + LANE_REQUESTS - 1) / LANE_REQUESTS);
    all_are(ITEMS, OK);
    fresh();
    for (unsigned i = 0; i < 3; i++)
        put(i, LANE_CALL_BYTES, true);
    wait_ms(400);
    CHECK(seen.calls == 3);
    all_are(3, OK);
}

static void own_results(void)
{
    fresh();
    seen.refused = 3;
    for (unsigned i = 0; i < 6; i++)
        put(i, 1, false);
    wait_ms(20);
    CHECK(items[3].done == 1 && items[3].result == ERR_NOSPC && strcmp(items[3].why, "no room for it") == 0);
    items[3].result = OK;
    all_are(6, OK);
}

static void fails(unsigned host)
{
    fresh();
    seen.delay_ns = (int64_t)(PUT_TIMEOUT_MS + 1000) * NS_PER_MS;
    for (unsigned i = 0; i < 3; i++) {
        put(i, 1, true);
        wait_ms(1);
    }
    wait_ms(PUT_TIMEOUT_MS - 100);
    CHECK(items[2].done == 0);
    wait_ms(200);
    all_are(3, ERR_TIMEOUT); /* the third has waited as long behind the others */
    sim_host_kill(host);
    wait_ms(10);
    put(0, 1, true);
    put(1, 1, false);
    wait_ms(20);
    all_are(2, ERR_UNAVAILABLE);
    put(0, 1, false);
    lane_close(&peer.lane);
    put(1, 1, true);
    all_are(2, ERR_CANCELED);
}

static err_t script(void *arg)
{
    (void)arg;
    char addr[SIM_ADDR_MAX];
    unsigned host = sim_host_new(NULL, NULL);
    sim_host_start(host, 1, serve, &host);
    wait_ms(10);
    sim_host_addr(host, addr);
    cluster = (struct cluster){ .core = cores, .cores = 1 };
    core = (struct cluster_core){ .c = &cluster };
    budget_init(&cluster.memory, "test", NULL, 1 << 26, ERR_OVERLOAD);
    scope_init(&core.sends, NULL);
    peer = (struct peer){ .rpc = rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = PORT, .hello = { "w", 99, 1, 1, 1 }, .expect_node = host }) };
    CHECK(io_addr_parse(addr, PORT, &peer.address) == OK);
    lane_init(&peer.lane, &cluster, &peer);
    gathers();
    hurries();
    bounded();
    own_results();
    fails(host);
    CHECK(scope_join(&core.sends) == OK);
    scope_deinit(&core.sends);
    rpc_peer_free(peer.rpc);
    for (unsigned i = 0; i < ITEMS; i++) {
        buf_deinit(&items[i].bytes);
        items[i].bytes = (struct buf){ 0 };
    }
    return OK;
}

/* -- bytes ------------------------------------------------------------------------------------------------------------- */
static void hostile(void)
{
    struct str out[LANE_REQUESTS];
    struct buf b, answer;
    uint32_t n;
    buf_init(&b, 1 << 20, NULL);
    for (unsigned i = 0; i < LANE_REQUESTS; i++) {
        size_t begin = lane_begin(&b);
        buf_z(&b, "request");
        lane_end(&b, begin);
        CHECK(lane_requests(buf_view(&b), out, &n) == OK && n == i + 1 && str_eq(out[i], STR("request")));
    }
    for (size_t cut = 0; cut < 100; cut++) {
        err_t e = lane_requests(str_n(b.p, cut), out, &n);
        CHECK(e == (cut > 0 && cut % 11 == 0 ? OK : ERR_CORRUPT));
    }
    buf_put(&b, "\0\0\0\0", 4);
    CHECK(lane_requests(buf_view(&b), out, &n) == ERR_CORRUPT); /* one too many */
    CHECK(lane_requests(STR("\xff\xff\xff\xff" "more"), out, &n) == ERR_CORRUPT);

    buf_init(&answer, 4096, NULL);
    lane_result_put(OK, "not sent", &answer);
    char text[ERR_DETAIL_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    lane_result_put(ERR_OVERLOAD, text, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    CHECK(lane_result_get(&in) == OK && lane_result_get(&in) == ERR_OVERLOAD && strlen(err_detail()) == LANE_DETAIL_MAX && bytes_in_left(&in) == 0);
    CHECK(lane_result_get(&in) == ERR_CORRUPT && lane_result_get(&in) == ERR_CORRUPT);
    in = bytes_in_of(str_n("\xc8\1x", 3)); /* an error that we do not know */
    CHECK(lane_result_get(&in) == ERR_INTERNAL && !in.bad);
    buf_deinit(&answer);
    buf_deinit(&b);
}

int main(void)
{
    hostile();
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_result r;
        sim_world_run(seed, 0, script, NULL, &r, NULL);
        CHECK(!r.crashed && !r.stuck && r.result == OK);
    }
    puts("lane_plain: passed");
    return 0;
}
