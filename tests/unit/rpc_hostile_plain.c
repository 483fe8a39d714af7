/* Peers that lie (rpc.h, frame.h), simulated: wrong heads, lengths, versions and labels, frames out of place, floods, half frames, bodies and
 * credits past what was agreed; as a caller of our server, and as a server of ours calls. Each is refused in words, costs its own connection
 * only, and leaves nothing behind. */
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/frame.h"
#include "base/net/rpc.h"
#include "base/rt/sim.h"
#include "base/rt/sock.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 7947, LIAR = 7948, CALLS = 4, BODY = 1 << 20, ROOM = 1 << 20 };
enum method { ECHO, LARGE, HANG };

static struct budget budget;
static unsigned runs, unhung;

static err_t handle(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    (void)ctx;
    runs++;
    if (rq->method == LARGE) {
        char *p = buf_reserve(answer, BODY);
        CHECK(p);
        memset(p, 7, BODY);
        answer->n = BODY;
    } else if (rq->method == HANG) {
        err_t e = fiber_sleep(1000 * NS_PER_S);
        unhung++;
        return e;
    } else {
        buf_str(answer, rq->body);
    }
    return OK;
}

static struct rpc_server *server_open(void)
{
    struct rpc_server *s;
    struct rpc_server_opts o = { .addr = "0.0.0.0", .port = PORT, .handler = handle, .budget = &budget, .calls_max = CALLS,
                                 .body_max = BODY, .hello = { "blue", 1, 5, 2, 3 } };
    CHECK(rpc_server_open(&o, &s) == OK);
    return s;
}

/* -- bytes ----------------------------------------------------------------------------------------------------- */
static uint8_t out[4 << 20];
static size_t nout;

static void raw(const void *p, size_t n)
{
    memcpy(out + nout, p, n);
    nout += n;
}

/* Whatever type and length. */
static void frame_as(uint32_t length, uint32_t type, uint64_t call, const void *p, size_t n)
{
    uint8_t head[FRAME_HEAD_BYTES];
    frame_u32_put(head, length);
    frame_u32_put(head + 4, type);
    frame_u64_put(head + 8, call);
    frame_u64_put(head + 16, hash64_with(str_n(head, 16), FRAME_SEED));
    raw(head, sizeof head);
    raw(p, n);
}

static void frame(uint32_t type, uint64_t call, const void *p, size_t n)
{
    frame_as((uint32_t)n, type, call, p, n);
}

static struct frame_hello good_hello(void)
{
    return (struct frame_hello){ FRAME_FORMAT, 1, 3, 8, BODY, RPC_WINDOW_BYTES, 2, 9, "blue" };
}

static void hello_as(const struct frame_hello *h)
{
    uint8_t p[FRAME_HELLO_MAX];
    frame(FRAME_HELLO, 0, p, frame_hello_put(p, h));
}

static void hello(void)
{
    struct frame_hello h = good_hello();
    hello_as(&h);
}

static uint64_t id(uint64_t number, uint32_t slot)
{
    return number << FRAME_SLOT_BITS | slot;
}

static void call_as(uint64_t call, uint16_t method, uint8_t class, uint32_t body, uint64_t left_ns)
{
    uint8_t p[FRAME_CALL_MAX];
    struct frame_call c = { .method = method, .class = class, .answer_max = 2 * BODY, .body = body, .left_ns = left_ns };
    frame(FRAME_CALL, call, p, frame_call_put(p, &c));
}

static void credit(uint64_t call, uint32_t n)
{
    uint8_t p[4];
    frame_u32_put(p, n);
    frame(FRAME_CREDIT, call, p, 4);
}

static void data(uint64_t call, size_t n)
{
    static const uint8_t zeros[FRAME_DATA_MAX];
    for (size_t part; n; n -= part)
        frame(FRAME_DATA, call, zeros, part = MIN(n, sizeof zeros));
}

/* -- a caller that lies ------------------------------------------------------------------------------------------ */
/* The last ERROR or REFUSE that came. */
struct heard {
    char text[FRAME_TEXT_MAX + 1];
    err_t code;
    unsigned answers, errors, refusals;
    size_t bytes;
};

static err_t hear_frame(void *ctx, const struct frame_head *h, const uint8_t *p)
{
    struct heard *got = ctx;
    if (h->type == FRAME_ANSWER) got->answers++;
    if (h->type == FRAME_ERROR) got->errors++;
    if (h->type == FRAME_REFUSE) got->refusals++;
    if (h->type == FRAME_ERROR || h->type == FRAME_REFUSE) got->code = frame_error_get(p, h->length, got->text);
    return OK;
}

static err_t hear_part(void *ctx, const struct frame_head *h, const uint8_t *p, size_t n)
{
    (void)h;
    (void)p;
    ((struct heard *)ctx)->bytes += n;
    return OK;
}

/* Sends what is in `out`, hears for so long or until the server ends it; true: it did. */
static bool tell(const char *addr, int64_t ms, struct heard *got)
{
    static const struct frame_sink sink = { hear_frame, hear_part };
    static uint8_t room[ROOM];
    struct frame_reader r;
    struct tcp *t;
    size_t n = 1;
    memset(got, 0, sizeof *got);
    frame_reader_init(&r);
    CHECK(tcp_connect(addr, PORT, &t) == OK);
    fiber_set_deadline(mono_add(rt_now(), ms * NS_PER_MS));
    err_t e = OK;
    for (size_t at = 0, part; at < nout && e == OK; at += part)
        e = tcp_send(t, out + at, part = MIN(nout - at, (size_t)65536));
    for (e = OK; e == OK && n;) {
        e = tcp_recv(t, room, sizeof room, &n);
        if (e == OK && n) CHECK(frame_feed(&r, room, n, &sink, got) == OK);
    }
    fiber_set_deadline((mono_ns){ 0 });
    frame_reader_deinit(&r);
    tcp_close(t);
    nout = 0;
    return e != ERR_TIMEOUT;
}

static struct rpc_peer *honest;
static void still_well(void)
{
    struct buf answer;
    unsigned before = runs;
    struct rpc_call c = { .method = ECHO, .class = RT_QUERY, .body = STR("well?"), .answer_max = 10,
                          .deadline = mono_add(rt_now(), NS_PER_S) };
    buf_init(&answer, 10, NULL);
    CHECK(rpc_call(honest, &c, &answer) == OK && str_is(buf_view(&answer), "well?") && runs == before + 1);
    buf_deinit(&answer);
    CHECK(fiber_sleep(5 * NS_PER_MS) == OK);
    CHECK(metric_sum(M_RPC_SERVING) == 0 && budget.used == 0);
}

/* What is in `out` ends the connection, with this word. */
static void refused(const char *addr, const char *word)
{
    struct heard got;
    bool ended = tell(addr, 2000, &got);
    if (!ended || !strstr(got.text, word)) fprintf(stderr, "asked for '%s', heard '%s'\n", word, got.text);
    CHECK(ended && got.refusals == 1 && strstr(got.text, word));
    still_well();
}

static void lies_of_heads(const char *addr)
{
    raw("GET / HTTP/1.1\r\nHost: here\r\n\r\n", 30);
    refused(addr, "no frame");
    raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    refused(addr, "");
    frame_as(4000000000u, FRAME_DATA, id(1, 0), "", 0);
    refused(addr, "4000000000 bytes");
    hello();
    frame_as(5, FRAME_CREDIT, id(1, 0), "12345", 5);
    refused(addr, "of 5 bytes");
    hello();
    frame(99, 0, "", 0);
    refused(addr, "type 99");
    hello();
    frame(FRAME_CANCEL, 0, "", 0);
    refused(addr, "of call 0");
    call_as(id(1, 0), ECHO, RT_QUERY, 0, 0);
    refused(addr, "before a hello");
    data(id(1, 0), 100);
    refused(addr, "before a hello");
    hello();
    hello();
    refused(addr, "second hello");
    hello();
    frame(FRAME_ANSWER, id(1, 0), "\0\0\0\0", 4);
    refused(addr, "from a caller");
}

static void lies_of_hellos(const char *addr)
{
    struct frame_hello h = good_hello();
    snprintf(h.label, sizeof h.label, "red");
    hello_as(&h);
    refused(addr, "'red'");
    h = good_hello();
    h.format = 2;
    hello_as(&h);
    refused(addr, "format 2");
    h = good_hello();
    h.version_min = h.version_max = 4;
    hello_as(&h);
    refused(addr, "versions 4 to 4");
    h.version_min = 5;
    hello_as(&h);
    refused(addr, "versions 5 to 4");
    h = good_hello();
    h.node = 1;
    hello_as(&h);
    refused(addr, "both ends");
    h = good_hello();
    h.epoch = 8;
    hello_as(&h);
    refused(addr, "epoch 9");
    h = good_hello();
    h.window = 10;
    hello_as(&h);
    refused(addr, "window");
}

static void lies_of_calls(const char *addr)
{
    hello();
    call_as(id(1, CALLS), ECHO, RT_QUERY, 0, 0);
    refused(addr, "slot 4");
    hello();
    call_as(id(1, 0), HANG, RT_QUERY, 0, 0);
    call_as(id(2, 0), HANG, RT_QUERY, 0, 0);
    refused(addr, "slot 0");
    hello();
    call_as(id(7, 0), ECHO, RT_QUERY, 0, 0);
    call_as(id(7, 1), ECHO, RT_QUERY, 0, 0);
    refused(addr, "call 7 after call 7");
    hello();
    call_as(id(1, 0), ECHO, RT_CLASSES, 0, 0);
    refused(addr, "class");
    hello();
    call_as(id(1, 0), ECHO, RT_QUERY, 5, 0); /* and none of them in the frame */
    refused(addr, "5 bytes and 0");
    /* A flood: as many as there may be run, the next ends it, and then all of them. */
    hello();
    unhung = 0;
    for (unsigned i = 0; i < 1000; i++)
        call_as(id(1 + i, i % (CALLS + 1)), HANG, RT_QUERY, 0, 0);
    refused(addr, "slot 4");
    CHECK(unhung <= CALLS);
}

/* For more than is on its way to us. */
static void too_much_credit(const char *addr)
{
    static const struct frame_sink sink = { hear_frame, hear_part };
    static uint8_t room[ROOM];
    struct heard got = { 0 };
    struct frame_reader r;
    struct tcp *t;
    size_t n = 1;
    CHECK(tcp_connect(addr, PORT, &t) == OK);
    frame_reader_init(&r);
    hello();
    call_as(id(1, 0), LARGE, RT_QUERY, 0, 0);
    CHECK(tcp_send(t, out, nout) == OK);
    while (!got.refusals && n) {
        bool first = !got.bytes;
        CHECK(tcp_recv(t, room, sizeof room, &n) == OK && frame_feed(&r, room, n, &sink, &got) == OK);
        if (!first || !got.bytes) continue;
        nout = 0;
        credit(id(1, 0), BODY);
        CHECK(tcp_send(t, out, nout) == OK);
    }
    CHECK(strstr(got.text, "a credit of 1048576 bytes"));
    frame_reader_deinit(&r);
    tcp_close(t);
    nout = 0;
    still_well();
}

static void lies_of_bodies(const char *addr)
{
    struct heard got;
    hello();
    call_as(id(1, 0), ECHO, RT_QUERY, 20000, 0);
    data(id(1, 0), 15000);
    data(id(1, 0), 5001);
    refused(addr, "goes on behind");
    /* A part of a body, and then no more: the caller's end ends it. */
    hello();
    call_as(id(1, 0), ECHO, RT_QUERY, BODY, 0);
    data(id(1, 0), RPC_WINDOW_BYTES);
    CHECK(!tell(addr, 500, &got) && got.refusals == 0);
    still_well();
    /* More than the server has credited us for: it takes no more than a window of an answer to send. */
    hello();
    call_as(id(1, 0), LARGE, RT_QUERY, 0, 0);
    CHECK(!tell(addr, 500, &got) && got.answers == 1 && got.bytes == RPC_WINDOW_BYTES);
    still_well();
    too_much_credit(addr);
    hello();
    call_as(id(1, 0), ECHO, RT_QUERY, BODY + 1, 0);
    CHECK(!tell(addr, 500, &got) && got.errors == 1 && got.code == ERR_TOO_LARGE);
    still_well();
    /* A body that does not come. */
    hello();
    call_as(id(1, 0), ECHO, RT_QUERY, BODY, 300 * NS_PER_MS);
    data(id(1, 0), 1000);
    CHECK(!tell(addr, 1500, &got) && got.errors == 1 && got.code == ERR_TIMEOUT);
    still_well();
    /* What belongs to no call is overlooked. */
    hello();
    data(id(5, 3), 1000);
    credit(id(5, 3), 1000);
    frame(FRAME_CANCEL, id(5, 3), "", 0);
    call_as(id(6, 3), ECHO, RT_QUERY, 0, 0);
    CHECK(!tell(addr, 500, &got) && got.answers == 1);
    still_well();
}

static void silence(const char *addr)
{
    struct heard got;
    mono_ns before = rt_now();
    hello();
    nout -= 10; /* half a hello */
    CHECK(tell(addr, 60000, &got) && rt_now().ns - before.ns < 5 * NS_PER_S);
    before = rt_now();
    hello();
    call_as(id(1, 0), HANG, RT_QUERY, 0, 0);
    unhung = 0;
    CHECK(tell(addr, 60000, &got) && rt_now().ns - before.ns < 6 * NS_PER_S); /* its pings are not answered */
    CHECK(fiber_sleep(NS_PER_MS) == OK && unhung == 1);
    before = rt_now();
    hello();
    CHECK(tell(addr, 60000, &got) && rt_now().ns - before.ns < 22 * NS_PER_S);
    /* Pings without end: answered, in no more than there is room for. */
    hello();
    for (unsigned i = 0; i < 50000; i++)
        frame(FRAME_PING, 0, "12345678", 8);
    CHECK(!tell(addr, 1000, &got));
    still_well();
}

static err_t callers(void *arg)
{
    (void)arg;
    static const char addr[] = "127.0.0.1";
    budget_init(&budget, "rpc", NULL, 64 << 20, ERR_OVERLOAD);
    struct rpc_server *s = server_open();
    honest = rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = PORT, .hello = { "blue", 3, 9, 3, 3 } });
    hello();
    struct heard got;
    (void)tell(addr, 100, &got);
    lies_of_heads(addr);
    lies_of_hellos(addr);
    lies_of_calls(addr);
    lies_of_bodies(addr);
    silence(addr);
    rpc_peer_free(honest);
    rpc_server_close(s, 0);
    CHECK(metric_sum(M_RPC_CONNECTIONS) == 0);
    return OK;
}

/* -- a server that lies ------------------------------------------------------------------------------------------ */
static void liar_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    (void)bytes;
    (void)n;
    if (nout) sock_send(s, out, nout);
    nout = 0;
}

static void liar_closed(struct sock *s, int os_errno)
{
    (void)s;
    (void)os_errno;
}

static const struct sock_ops liar_ops = { .on_data = liar_data, .on_closed = liar_closed };

static void liar_accept(struct sock *s, void *ctx)
{
    (void)ctx;
    sock_set(s, &liar_ops, NULL);
}

/* The server says what is in `out`; the call fails with this word. Ids: the first call is id(1, 0). */
static void ours_fails(const char *word)
{
    struct rpc_peer *p = rpc_peer_new(&(struct rpc_peer_opts){ .addr = "127.0.0.1", .port = LIAR, .hello = { "blue", 3, 9, 3, 3 } });
    struct buf answer;
    struct rpc_call c = { .method = ECHO, .class = RT_QUERY, .body = STR("?"), .answer_max = 1000,
                          .deadline = mono_add(rt_now(), 10 * NS_PER_S) };
    buf_init(&answer, 1000, NULL);
    err_t e = rpc_call(p, &c, &answer);
    if (e != ERR_UNAVAILABLE || !strstr(err_detail(), word)) fprintf(stderr, "asked for '%s', got %s: %s\n", word, err_name(e), err_detail());
    CHECK(e == ERR_UNAVAILABLE && strstr(err_detail(), word) && answer.n == 0);
    buf_deinit(&answer);
    rpc_peer_free(p);
    nout = 0;
}

static err_t servers(void *arg)
{
    (void)arg;
    struct sock_listener *l;
    CHECK(sock_listen("127.0.0.1", LIAR, liar_accept, NULL, &l) == OK);
    raw("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    ours_fails("no frame");
    ours_fails("no connection and hello");
    struct frame_hello h = good_hello();
    h.calls_max = 0;
    hello_as(&h);
    ours_fails("0 calls at once");
    h.calls_max = FRAME_CALLS_MAX + 1;
    hello_as(&h);
    ours_fails("4097 calls");
    hello();
    uint8_t size[8] = { 0 };
    frame(FRAME_ANSWER, id(2, 0), size, 4); /* the call is not there yet, or another */
    ours_fails("no call that is open");
    hello();
    call_as(id(1, 0), ECHO, RT_QUERY, 0, 0);
    ours_fails("from a server");
    hello();
    frame(FRAME_CREDIT, id(1, 0), size, 4); /* of nothing that is sent: overlooked. Then silence */
    ours_fails("nothing came");
    sock_listener_close(l);
    return OK;
}

/* It answers the first call as id(1, 0), once the call is there. */
static unsigned pieces;
static void second_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    (void)bytes;
    pieces += (unsigned)n;
    uint8_t p[FRAME_HELLO_MAX + FRAME_HEAD_BYTES];
    struct frame_hello h = good_hello();
    size_t hello_n = frame_hello_put(p, &h) + FRAME_HEAD_BYTES;
    if (pieces == n) { /* the first */
        size_t lie = nout;
        hello_as(&h);
        sock_send(s, out + lie, hello_n);
        nout = lie;
    }
    if (pieces > hello_n + FRAME_HEAD_BYTES && nout) {
        sock_send(s, out, nout);
        nout = 0;
    }
}

static const struct sock_ops second_ops = { .on_data = second_data, .on_closed = liar_closed };

static void second_accept(struct sock *s, void *ctx)
{
    (void)ctx;
    pieces = 0;
    sock_set(s, &second_ops, NULL);
}

static err_t answers(void *arg)
{
    (void)arg;
    struct sock_listener *l;
    uint8_t size[4];
    CHECK(sock_listen("127.0.0.1", LIAR, second_accept, NULL, &l) == OK);
    frame_u32_put(size, 1001);
    frame(FRAME_ANSWER, id(1, 0), size, 4);
    ours_fails("1001 bytes with 0");
    frame_u32_put(size, 100000);
    frame(FRAME_ANSWER, id(1, 0), size, 4);
    ours_fails("100000 bytes to a call that takes 1000");
    frame_u32_put(size, 0);
    frame(FRAME_ANSWER, id(1, 0), size, 4);
    frame(FRAME_ANSWER, id(1, 0), size, 4);
    struct rpc_peer *p = rpc_peer_new(&(struct rpc_peer_opts){ .addr = "127.0.0.1", .port = LIAR, .hello = { "blue", 3, 9, 3, 3 } });
    struct buf answer;
    struct rpc_call c = { .method = ECHO, .class = RT_QUERY, .answer_max = 1000, .deadline = mono_add(rt_now(), NS_PER_S) };
    buf_init(&answer, 1000, NULL);
    CHECK(rpc_call(p, &c, &answer) == OK); /* one is answered, the other ends the connection */
    CHECK(fiber_sleep(100 * NS_PER_MS) == OK);
    struct rpc_peer_stats stats;
    rpc_peer_stats(p, &stats);
    CHECK(!stats.connected);
    rpc_peer_free(p);
    buf_deinit(&answer);
    sock_listener_close(l);
    return OK;
}

static void world(uint64_t seed, err_t (*script)(void *))
{
    struct sim_result r;
    nout = 0;
    sim_world_run(seed, 0, script, NULL, &r, NULL);
    CHECK(!r.crashed && !r.stuck && r.result == OK);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 4;
    log_init(getenv("RPC_LOG") ? LOG_INFO : LOG_ERROR, false);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        world(seed, callers);
        world(seed, servers);
        world(seed, answers);
    }
    fprintf(stderr, "rpc_hostile_plain: passed\n");
    return 0;
}
