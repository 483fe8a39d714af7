/* The client of rpc.h: one core's way to one peer. It has at most one connection that is not down; calls wait for it, then for a slot, then
 * for their end.
 *
 * A call that its fiber leaves (deadline, cancel) keeps its slot until the server's end of it comes: the record (struct pending) stays
 * behind, and what still arrives is counted and thrown away.
 *
 * Invariants
 *  1. A pending is in its slot from CALL to its end. It is freed when it has ended and its fiber has left it.
 *  2. A fiber leaves only when the link holds none of its body: the bytes are the caller's.
 *  3. peer->conn is NULL or a connection that is not down; the memory of one that is goes when its link has ended. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/rpc_conn.h"
#include "base/rt/sock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 500, RTT_SHIFT = 3 };

struct peer_conn;

struct pending {
    struct peer_conn *conn;
    uint64_t id;
    bool fiber;         /* somebody waits for it */
    bool ended, answering;
    err_t code;
    char *detail;       /* or NULL */
    struct buf *answer; /* the caller's; not when the fiber has given up */
    uint32_t answer_max;
    struct rpc_in in;
    struct rpc_out out;
    struct gate lent;   /* bytes of the body in the link */
    struct event done;
    struct timer stuck;
};

/* Waits for a slot; on its fiber's stack. */
struct slot_wait {
    struct slot_wait *next;
    struct event e;
    bool failed;
    int32_t slot; /* -1 = not yet */
};

struct peer_conn {
    struct rpc_conn c;
    struct rpc_peer *peer;
    struct pending **slots; /* [nslots] once open */
    uint16_t *free;         /* slots, the last to be taken first */
    uint32_t nslots, nfree;
    uint64_t number;        /* of the last call */
    struct slot_wait *waits, *waits_tail;
    struct timer tick;
};

struct rpc_peer {
    char addr[SOCK_NAME_MAX], name[SOCK_NAME_MAX + 8];
    uint16_t port;
    struct rpc_hello hello;
    uint64_t expect_node;
    struct tls *tls;       /* or NULL */
    struct peer_conn *conn;
    bool closed;
    uint64_t attempt;
    uint32_t fails;        /* in a row */
    mono_ns retry_at;
    char why[ERR_DETAIL_MAX], logged[ERR_DETAIL_MAX]; /* the last connection's end; what the log has said */
    struct event changed;  /* a connection opened, or is down */
    struct gate calls, conns;
    struct rpc_peer_stats stats;
};

/* -- the end of a call ----------------------------------------------------------------------------------------- */
static void pending_free(struct pending *w)
{
    ASSERT(!w->out.refs && !w->out.listed);
    free(w->detail);
    free(w);
}

static void give_slot(struct peer_conn *conn, uint32_t slot)
{
    struct slot_wait *sw = conn->waits;
    if (!sw) {
        conn->free[conn->nfree++] = (uint16_t)slot;
        return;
    }
    conn->waits = sw->next;
    if (!conn->waits) conn->waits_tail = NULL;
    sw->slot = (int32_t)slot;
    event_signal(&sw->e);
}

/* Its slot is free, and its fiber is told. */
static void end(struct pending *w, err_t code, const char *detail)
{
    struct peer_conn *conn = w->conn;
    uint32_t slot = frame_slot(w->id);
    ASSERT(conn->slots[slot] == w && !w->ended);
    conn->slots[slot] = NULL;
    w->ended = true;
    if (w->out.conn) rpc_out_stop(&w->out);
    if (!w->fiber) {
        pending_free(w);
    } else {
        if (code != OK || w->code == OK) w->code = code;
        if (detail) w->detail = str_dup(str_of(detail));
        event_signal(&w->done);
    }
    if (conn->c.state == RPC_OPEN) give_slot(conn, slot);
}

/* -- frames ---------------------------------------------------------------------------------------------------- */
static struct pending *find(struct rpc_conn *c, uint64_t id)
{
    struct peer_conn *conn = CONTAINER_OF(c, struct peer_conn, c);
    uint32_t slot = frame_slot(id);
    struct pending *w = slot < conn->nslots ? conn->slots[slot] : NULL;
    return w && w->id == id ? w : NULL;
}

static err_t on_answer(struct pending *w, const struct frame_head *h, const uint8_t *payload)
{
    uint32_t n;
    struct str here;
    TRY(frame_answer_get(payload, h->length, &n, &here));
    if (w->answering) return err_set(ERR_INVALID, "a second answer to one call");
    if (n > w->answer_max)
        return err_set(ERR_INVALID, "an answer of %u bytes to a call that takes %u", n, w->answer_max);
    w->answering = true;
    char *to = NULL;
    if (w->answer && n && !(to = buf_reserve(w->answer, n))) w->code = ERR_TOO_LARGE;
    if (n > FRAME_INLINE_MAX) {
        rpc_in_init(&w->in, to, n);
        return OK;
    }
    if (to) {
        memcpy(to, here.p, n);
        w->answer->n += n;
    }
    end(w, OK, NULL);
    return OK;
}

static err_t peer_frame(struct rpc_conn *c, const struct frame_head *h, const uint8_t *payload)
{
    if (h->type != FRAME_ANSWER && h->type != FRAME_ERROR)
        return err_set(ERR_INVALID, "a frame '%s' from a server", frame_name(h->type));
    struct pending *w = find(c, h->call);
    if (!w) return err_set(ERR_INVALID, "a frame '%s' to no call that is open", frame_name(h->type));
    if (h->type == FRAME_ANSWER) return on_answer(w, h, payload);
    char text[FRAME_TEXT_MAX + 1];
    err_t code = frame_error_get(payload, h->length, text);
    end(w, code, text);
    return OK;
}

static struct rpc_in *peer_in(struct rpc_conn *c, uint64_t id)
{
    struct pending *w = find(c, id);
    return w && w->answering ? &w->in : NULL;
}

static err_t peer_whole(struct rpc_conn *c, uint64_t id)
{
    struct pending *w = find(c, id);
    if (w->answer && w->in.p) w->answer->n += w->in.n;
    end(w, OK, NULL);
    return OK;
}

static struct rpc_out *peer_out(struct rpc_conn *c, uint64_t id)
{
    struct pending *w = find(c, id);
    return w && w->out.conn ? &w->out : NULL;
}

static void peer_sent(struct rpc_conn *c, struct rpc_out *o)
{
    (void)c;
    (void)o;
}

static bool peer_busy(struct rpc_conn *c)
{
    struct peer_conn *conn = CONTAINER_OF(c, struct peer_conn, c);
    return conn->nfree < conn->nslots;
}

/* -- the connection -------------------------------------------------------------------------------------------- */
static err_t check_node(struct rpc_peer *p, const struct frame_hello *h)
{
    if (p->expect_node && h->node != p->expect_node)
        return err_set(ERR_FORBIDDEN, "%s is node %016" PRIx64 ", and node %016" PRIx64 " was called", p->name, h->node,
                       p->expect_node);
    if (h->node == p->stats.node && h->epoch < p->stats.epoch)
        return err_set(ERR_FORBIDDEN, "node %016" PRIx64 " says epoch %" PRIu64 ", and epoch %" PRIu64 " of it was seen: "
                       "an older process, or an old copy of its data", h->node, h->epoch, p->stats.epoch);
    return OK;
}

static err_t peer_opened(struct rpc_conn *c)
{
    struct peer_conn *conn = CONTAINER_OF(c, struct peer_conn, c);
    struct rpc_peer *p = conn->peer;
    TRY(check_node(p, &c->theirs));
    p->stats.node = c->theirs.node;
    p->stats.epoch = c->theirs.epoch;
    p->stats.version = c->version;
    p->stats.connected = true;
    p->fails = 0;
    p->logged[0] = 0;
    conn->nslots = conn->nfree = c->theirs.calls_max;
    conn->slots = calloc(conn->nslots, sizeof *conn->slots);
    conn->free = malloc(conn->nslots * sizeof *conn->free);
    ASSERT(conn->slots && conn->free);
    for (uint32_t i = 0; i < conn->nslots; i++)
        conn->free[i] = (uint16_t)(conn->nslots - 1 - i);
    log_info("rpc.open", "peer=%s node=%016" PRIx64 " epoch=%" PRIu64 " version=%u", p->name, c->theirs.node,
             c->theirs.epoch, c->version);
    event_signal(&p->changed);
    return OK;
}

static void plan_retry(struct rpc_peer *p)
{
    int64_t ms = MIN((int64_t)RPC_RETRY_MIN_MS << MIN(p->fails, 10u), (int64_t)RPC_RETRY_MAX_MS);
    int64_t ns = ms * NS_PER_MS / 2;
    p->fails++;
    p->retry_at = mono_add(rt_now(), ns + (int64_t)(rt_random() % (uint64_t)ns));
}

static void peer_down(struct rpc_conn *c, const char *why)
{
    struct peer_conn *conn = CONTAINER_OF(c, struct peer_conn, c);
    struct rpc_peer *p = conn->peer;
    ASSERT(p->conn == conn);
    p->conn = NULL;
    p->stats.connected = false;
    p->stats.breaks++;
    snprintf(p->why, sizeof p->why, "%s: %.400s", p->name, why);
    if (!p->closed && strcmp(p->why, p->logged) != 0) {
        log_warn("rpc.down", "peer=%s open_calls=%u why=\"%s\"", p->name, conn->nslots - conn->nfree, why);
        snprintf(p->logged, sizeof p->logged, "%s", p->why);
    }
    plan_retry(p);
    for (uint32_t i = 0; i < conn->nslots; i++)
        if (conn->slots[i]) end(conn->slots[i], ERR_UNAVAILABLE, p->why);
    for (struct slot_wait *sw = conn->waits; sw; sw = sw->next) {
        sw->failed = true;
        event_signal(&sw->e);
    }
    conn->waits = conn->waits_tail = NULL;
    timer_disarm(&conn->tick);
    event_signal(&p->changed);
}

static const struct rpc_role peer_role = {
    .server = false,
    .opened = peer_opened,
    .frame = peer_frame,
    .in = peer_in,
    .whole = peer_whole,
    .out = peer_out,
    .sent = peer_sent,
    .busy = peer_busy,
    .down = peer_down,
};

static void on_closed(struct sock *sock, int os_errno)
{
    struct peer_conn *conn = CONTAINER_OF(sock_user(sock), struct peer_conn, c);
    struct rpc_peer *p = conn->peer;
    rpc_link_gone(&conn->c, os_errno);
    free(conn->slots);
    free(conn->free);
    free(conn);
    gate_leave(&p->conns);
}

static const struct sock_ops peer_ops = { rpc_link_on_data, rpc_link_on_eof, rpc_link_on_drained, on_closed };

static void on_tick(struct timer *t)
{
    struct peer_conn *conn = CONTAINER_OF(t, struct peer_conn, tick);
    timer_arm(t, mono_add(rt_now(), TICK_MS * (int64_t)NS_PER_MS), on_tick);
    rpc_conn_tick(&conn->c);
}

static err_t connect_now(struct rpc_peer *p)
{
    struct sock *sock;
    struct peer_conn *conn = calloc(1, sizeof *conn);
    ASSERT(conn);
    conn->peer = p;
    err_t e = sock_connect(p->addr, p->port, &peer_ops, &conn->c, &sock);
    if (e != OK) {
        free(conn);
        return err_set(ERR_UNAVAILABLE, "%s: %s", p->name, err_detail());
    }
    ASSERT(gate_enter(&p->conns));
    p->conn = conn;
    p->attempt++;
    rpc_conn_init(&conn->c, &peer_role, &p->hello, 1, 0, p->name);
    rpc_link_open(&conn->c, sock, p->tls);
    timer_arm(&conn->tick, mono_add(rt_now(), TICK_MS * (int64_t)NS_PER_MS), on_tick);
    return OK;
}

/* Waits for an open connection: for the attempt that is under way, or one of its own. */
static err_t open_conn(struct rpc_peer *p, mono_ns deadline) MAY_YIELD
{
    if (p->conn && p->conn->c.state == RPC_OPEN) return OK;
    if (!p->conn) {
        if (rt_now().ns < p->retry_at.ns)
            return err_set(ERR_UNAVAILABLE, "%s (tried again in %" PRIi64 " ms at the soonest)", p->why,
                           (p->retry_at.ns - rt_now().ns) / NS_PER_MS);
        TRY(connect_now(p));
    }
    uint64_t attempt = p->attempt;
    while (p->conn && p->attempt == attempt) {
        if (p->conn->c.state == RPC_OPEN) return OK;
        event_reset(&p->changed);
        err_t e = event_wait_until(&p->changed, deadline);
        if (e == ERR_TIMEOUT) return err_set(e, "%s: no connection by the deadline", p->name);
        if (e != OK) return e;
    }
    return err_set(ERR_UNAVAILABLE, "%s", p->why);
}

/* -- calls ----------------------------------------------------------------------------------------------------- */
static void drop_wait(struct peer_conn *conn, struct slot_wait *sw)
{
    struct slot_wait *prev = NULL;
    struct slot_wait *at = conn->waits;
    while (at != sw) {
        prev = at;
        at = at->next;
    }
    if (prev) prev->next = sw->next;
    else conn->waits = sw->next;
    if (conn->waits_tail == sw) conn->waits_tail = prev;
}

static err_t take_slot(struct rpc_peer *p, mono_ns deadline, uint32_t *slot) MAY_YIELD
{
    struct peer_conn *conn = p->conn;
    if (conn->nfree) {
        *slot = conn->free[--conn->nfree];
        return OK;
    }
    struct slot_wait sw = { .slot = -1 };
    uint64_t attempt = p->attempt;
    event_init(&sw.e);
    if (conn->waits_tail) conn->waits_tail->next = &sw;
    else conn->waits = &sw;
    conn->waits_tail = &sw;
    metric_add(M_RPC_WAITING, 1);
    err_t e = event_wait_until(&sw.e, deadline);
    metric_add(M_RPC_WAITING, -1);
    /* Down meanwhile, also for one that was given a slot: conn is another, or none. */
    if (sw.failed || !p->conn || p->attempt != attempt) return err_set(ERR_UNAVAILABLE, "%s", p->why);
    if (e != OK && sw.slot >= 0) give_slot(conn, (uint32_t)sw.slot);
    else if (e != OK) drop_wait(conn, &sw);
    if (e == ERR_TIMEOUT)
        return err_set(e, "%s: none of its %u calls at once ended by the deadline", p->name, conn->nslots);
    *slot = (uint32_t)sw.slot;
    return e;
}

static void on_body_idle(struct rpc_out *o)
{
    gate_leave(&CONTAINER_OF(o, struct pending, out)->lent);
}

static struct pending *send_call(struct peer_conn *conn, uint32_t slot, const struct rpc_call *c, struct buf *answer)
{
    uint8_t payload[FRAME_CALL_MAX];
    struct pending *w = calloc(1, sizeof *w);
    ASSERT(w && !conn->slots[slot]);
    w->conn = conn;
    w->id = ++conn->number << FRAME_SLOT_BITS | slot;
    w->fiber = true;
    w->answer = answer;
    w->answer_max = c->answer_max;
    event_init(&w->done);
    conn->slots[slot] = w;
    struct frame_call f = { .method = c->method, .class = (uint8_t)c->class, .answer_max = c->answer_max,
                            .body = (uint32_t)c->body.n, .tenant = c->tenant };
    if (c->deadline.ns) f.left_ns = (uint64_t)MAX(c->deadline.ns - rt_now().ns, 1);
    size_t n = frame_call_put(payload, &f);
    if (c->body.n <= FRAME_INLINE_MAX) {
        rpc_conn_frame(&conn->c, FRAME_CALL, w->id, payload, n, c->body);
        return w;
    }
    rpc_conn_frame(&conn->c, FRAME_CALL, w->id, payload, n, STR_NONE);
    gate_init(&w->lent);
    ASSERT(gate_enter(&w->lent));
    w->out.idle = on_body_idle;
    rpc_out_start(&conn->c, &w->out, w->id, c->body.p, c->body.n);
    return w;
}

static void on_stuck(struct timer *t)
{
    struct pending *w = CONTAINER_OF(t, struct pending, stuck);
    struct rpc_conn *c = w->out.conn;
    /* Bytes are in the link, so both are there still. */
    if (!w->out.refs) return;
    if (c->state == RPC_DOWN) c->io->abort(c->link);
    else rpc_conn_down(c, false, ERR_UNAVAILABLE, "it does not take the body of a call that is over");
}

/* The caller's bytes are its own again. */
static void take_back_body(struct pending *w) MAY_YIELD
{
    if (!w->out.conn) return;
    rpc_out_stop(&w->out);
    if (!w->out.refs) return;
    timer_arm(&w->stuck, mono_add(rt_now(), RPC_STUCK_MS * (int64_t)NS_PER_MS), on_stuck);
    gate_close(&w->lent);
    timer_disarm(&w->stuck);
}

static err_t result(struct pending *w, struct buf *answer)
{
    if (w->code == OK || w->code == ERR_TOO_LARGE) {
        err_t e = buf_check(answer);
        if (e != OK || w->code == OK) return e;
    }
    return err_set(w->code, "%s", w->detail ? w->detail : "");
}

static err_t await(struct rpc_peer *p, struct pending *w, const struct rpc_call *c, struct buf *answer) MAY_YIELD
{
    err_t e = event_wait_until(&w->done, c->deadline);
    if (e != OK) {
        w->answer = NULL;
        w->in.p = NULL;
        if (!w->ended) rpc_conn_frame(&w->conn->c, FRAME_CANCEL, w->id, NULL, 0, STR_NONE);
    }
    struct err_record kept = *err_record();
    take_back_body(w);
    *err_record() = kept;
    w->fiber = false;
    if (e == OK) e = result(w, answer);
    else if (e == ERR_TIMEOUT) e = err_set(e, "%s: no answer by the deadline (method %u)", p->name, c->method);
    if (w->ended) pending_free(w);
    return e;
}

static err_t call(struct rpc_peer *p, const struct rpc_call *c, struct buf *answer, bool *sent) MAY_YIELD
{
    uint32_t slot;
    if (p->closed) return err_set(ERR_UNAVAILABLE, "%s: the way to it is closed", p->name);
    if (c->deadline.ns && rt_now().ns >= c->deadline.ns)
        return err_set(ERR_TIMEOUT, "%s: past the deadline before the call was sent", p->name);
    TRY(open_conn(p, c->deadline));
    uint32_t most = p->conn->c.theirs.body_max;
    if (c->body.n > most)
        return err_set(ERR_TOO_LARGE, "%s takes at most %u bytes, the body has %zu", p->name, most, c->body.n);
    TRY(take_slot(p, c->deadline, &slot));
    *sent = true;
    mono_ns before = rt_now();
    struct pending *w = send_call(p->conn, slot, c, answer);
    size_t had = answer->n;
    TRY(await(p, w, c, answer));
    if (c->body.n > FRAME_INLINE_MAX || answer->n - had > FRAME_INLINE_MAX) return OK;
    int64_t rtt = rt_now().ns - before.ns;
    p->stats.rtt_ns = p->stats.rtt_ns ? p->stats.rtt_ns + ((rtt - p->stats.rtt_ns) >> RTT_SHIFT) : rtt;
    return OK;
}

err_t rpc_call(struct rpc_peer *p, const struct rpc_call *c, struct buf *answer)
{
    ASSERT(c->tenant.n <= FRAME_TENANT_MAX && c->class < RT_CLASSES);
    if (!gate_enter(&p->calls)) return err_set(ERR_UNAVAILABLE, "%s: the way to it is closed", p->name);
    bool sent = false;
    p->stats.calls++;
    metric_add(M_RPC_CALLS, 1);
    err_t e = call(p, c, answer, &sent);
    if (e != OK && (!sent || e == ERR_UNAVAILABLE || e == ERR_TIMEOUT)) {
        p->stats.failed++;
        metric_add(M_RPC_CALLS_FAILED, 1);
    }
    gate_leave(&p->calls);
    return e;
}

/* -- peers ----------------------------------------------------------------------------------------------------- */
static void set_address(struct rpc_peer *p, const char *addr, uint16_t port)
{
    snprintf(p->addr, sizeof p->addr, "%s", addr);
    snprintf(p->name, sizeof p->name, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", p->addr, port);
    p->port = port;
}

struct rpc_peer *rpc_peer_new(const struct rpc_peer_opts *o)
{
    struct rpc_peer *p = calloc(1, sizeof *p);
    ASSERT(p);
    p->hello = o->hello;
    p->expect_node = o->expect_node;
    p->tls = o->tls;
    set_address(p, o->addr, o->port);
    event_init(&p->changed);
    gate_init(&p->calls);
    gate_init(&p->conns);
    return p;
}

void rpc_peer_free(struct rpc_peer *p)
{
    p->closed = true;
    if (p->conn) rpc_conn_down(&p->conn->c, false, ERR_UNAVAILABLE, "the way to it is closed");
    gate_close(&p->calls);
    gate_close(&p->conns);
    free(p);
}

void rpc_peer_address(struct rpc_peer *p, const char *addr, uint16_t port)
{
    if (strcmp(addr, p->addr) != 0 || port != p->port) {
        if (p->conn) rpc_conn_down(&p->conn->c, false, ERR_UNAVAILABLE, "it has another address now");
        set_address(p, addr, port);
    }
    p->fails = 0;
    p->retry_at = (mono_ns){ 0 };
}

void rpc_peer_stats(const struct rpc_peer *p, struct rpc_peer_stats *out)
{
    *out = p->stats;
}
