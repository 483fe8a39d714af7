/* The server of rpc.h on one core: accepts, keeps the open calls of each connection by slot, runs handlers in fibers.
 *
 * A call:  RECEIVING --body whole--> RUNNING --handler returned--> ANSWERING --all given to the link--> ended
 *              |                        |                              |
 *              +-- CANCEL, too late ----+-- CANCEL: its scope ---------+-- CANCEL: no more of it; ERROR ends it
 *
 * Invariants
 *  1. conn->slots[i] is an open call or NULL; a call leaves its slot when its end (ERROR, or the last of its answer) is given to the
 *     link, or when the connection is down. Then the client may use the slot again.
 *  2. A call holds a reference to its connection, and its memory, until its handler has returned and the link holds none of its answer.
 *  3. A call that goes back to the pool may still be under its own fiber's feet: its scope tells (live), and such a call is not taken. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/rpc_conn.h"
#include "base/rt/sock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 500,
    POOL_MAX = 256,      /* calls kept for the next */
    SEEN_MAX = 4096,     /* nodes whose epochs are remembered; the oldest entry goes for the next */
    BODY_QUIET_MS = 30000, /* without a byte of a body that is on its way, from a caller without a deadline */
};

enum call_state { CALL_RECEIVING, CALL_RUNNING, CALL_ANSWERING, CALL_ENDED };

struct server_conn;

struct server_call {
    struct server_call *next; /* in the pool */
    struct server_conn *conn;
    enum call_state state;
    bool cancelled, in_slot;
    uint64_t id;
    struct rpc_request rq;
    char tenant[FRAME_TENANT_MAX + 1];
    char *body;
    struct rpc_in in;
    uint32_t got_seen;
    mono_ns moved; /* when in.got was last seen to have grown */
    struct buf answer;
    struct rpc_out out;
    struct scope scope;
};

struct server_conn {
    struct rpc_conn c;
    struct rpc_server *s;
    struct server_conn *prev, *next;
    struct scope scope;          /* above those of its calls */
    struct server_call **slots;  /* [calls_max] */
    uint32_t open, receiving, refs;
    uint64_t last;               /* number of the last call */
};

struct rpc_server {
    struct rpc_server_opts opts;
    struct sock_listener *listener;
    struct scope scope;
    struct server_conn *conns;
    uint32_t nconns, running;
    bool stopping;
    struct gate gate;            /* connections */
    struct event changed;        /* a handler returned */
    struct timer tick;
    struct server_call *pool, *pool_tail;
    uint32_t npool;
    struct { uint64_t node, epoch; } *seen;
    uint32_t nseen, seen_next;
};

/* -- memory ---------------------------------------------------------------------------------------------------- */
static void conn_put(struct server_conn *conn)
{
    struct rpc_server *s = conn->s;
    ASSERT(conn->refs > 0);
    if (--conn->refs) return;
    ASSERT(!conn->open && conn->c.state == RPC_DOWN);
    if (conn->prev) conn->prev->next = conn->next;
    else s->conns = conn->next;
    if (conn->next) conn->next->prev = conn->prev;
    s->nconns--;
    free(conn->slots);
    free(conn);
    gate_leave(&s->gate);
}

static struct server_call *pool_take(struct rpc_server *s)
{
    struct server_call *call = s->pool;
    if (!call || call->scope.live) return NULL;
    s->pool = call->next;
    if (!s->pool) s->pool_tail = NULL;
    s->npool--;
    return call;
}

static struct server_call *call_new(struct server_conn *conn, uint64_t id)
{
    struct server_call *call = pool_take(conn->s);
    if (!call) call = malloc(sizeof *call);
    ASSERT(call);
    call->conn = conn;
    call->id = id;
    call->state = CALL_RECEIVING;
    call->cancelled = false;
    call->in_slot = true;
    call->body = NULL;
    call->in = (struct rpc_in){ 0 };
    call->out = (struct rpc_out){ 0 };
    call->scope = (struct scope){ 0 };
    conn->slots[frame_slot(id)] = call;
    conn->open++;
    conn->refs++;
    metric_add(M_RPC_SERVING, 1);
    return call;
}

static void body_free(struct server_call *call)
{
    if (!call->body) return;
    budget_release(call->conn->s->opts.budget, (int64_t)call->rq.body.n);
    free(call->body);
    call->body = NULL;
}

/* Its slot is free for the client. */
static void leave_slot(struct server_call *call)
{
    struct server_conn *conn = call->conn;
    if (!call->in_slot) return;
    ASSERT(conn->slots[frame_slot(call->id)] == call && conn->open > 0);
    if (call->state == CALL_RECEIVING) conn->receiving--;
    conn->slots[frame_slot(call->id)] = NULL;
    conn->open--;
    call->in_slot = false;
    metric_add(M_RPC_SERVING, -1);
}

/* After its handler, and when the link holds nothing of it. */
static void call_dispose(struct server_call *call)
{
    struct server_conn *conn = call->conn;
    struct rpc_server *s = conn->s;
    leave_slot(call);
    body_free(call);
    buf_deinit(&call->answer);
    call->state = CALL_ENDED;
    call->next = NULL;
    if (s->pool_tail) s->pool_tail->next = call;
    else s->pool = call;
    s->pool_tail = call;
    s->npool++;
    conn_put(conn);
}

static void pool_trim(struct rpc_server *s, uint32_t keep)
{
    for (struct server_call *call; s->npool > keep && (call = pool_take(s));)
        free(call);
}

/* -- the end of calls ------------------------------------------------------------------------------------------ */
static void end_with_error(struct server_call *call, err_t code, const char *detail)
{
    rpc_conn_error(&call->conn->c, call->id, code, detail);
    call_dispose(call);
}

static void on_answer_idle(struct rpc_out *o)
{
    call_dispose(CONTAINER_OF(o, struct server_call, out));
}

static void send_answer(struct server_call *call)
{
    struct rpc_conn *c = &call->conn->c;
    struct str body = buf_view(&call->answer);
    uint8_t size[4];
    frame_u32_put(size, (uint32_t)body.n);
    call->state = CALL_ANSWERING;
    if (body.n <= FRAME_INLINE_MAX) {
        rpc_conn_frame(c, FRAME_ANSWER, call->id, size, sizeof size, body);
        call_dispose(call);
        return;
    }
    rpc_conn_frame(c, FRAME_ANSWER, call->id, size, sizeof size, STR_NONE);
    call->out.idle = on_answer_idle;
    rpc_out_start(c, &call->out, call->id, body.p, body.n);
}

static void run_call(void *arg)
{
    struct server_call *call = arg;
    struct rpc_server *s = call->conn->s;
    err_t e = s->opts.handler(s->opts.ctx, &call->rq, &call->answer);
    if (e == OK) e = buf_check(&call->answer);
    body_free(call);
    s->running--;
    event_signal(&s->changed);
    metric_add(M_RPC_SERVED, 1);
    if (!call->in_slot) {
        call_dispose(call);
    } else if (call->cancelled) {
        end_with_error(call, ERR_CANCELED, "cancelled by the caller");
    } else if (e != OK) {
        end_with_error(call, e, err_detail());
    } else {
        send_answer(call);
    }
}

static void start(struct server_call *call)
{
    struct server_conn *conn = call->conn;
    static const char *const names[RT_CLASSES] = { "rpc membership", "rpc ingest", "rpc replication", "rpc query",
                                                   "rpc maintenance" };
    scope_init(&call->scope, &conn->scope);
    struct fiber_opts o = { .name = names[call->rq.class], .class = call->rq.class, .deadline = call->rq.deadline };
    call->state = CALL_RUNNING;
    if (fiber_start(&call->scope, &o, run_call, call) != OK) {
        metric_add(M_RPC_CALLS_REFUSED, 1);
        end_with_error(call, ERR_OVERLOAD, err_detail());
        return;
    }
    conn->s->running++;
}

/* -- frames ---------------------------------------------------------------------------------------------------- */
static struct server_call *find(struct rpc_conn *c, uint64_t id)
{
    struct server_conn *conn = CONTAINER_OF(c, struct server_conn, c);
    uint32_t slot = frame_slot(id);
    struct server_call *call = slot < c->calls_max ? conn->slots[slot] : NULL;
    return call && call->id == id ? call : NULL;
}

/* May it be taken? Its end is told otherwise. */
static err_t admit(struct server_conn *conn, const struct frame_call *f)
{
    struct rpc_server *s = conn->s;
    if (s->stopping) return err_set(ERR_UNAVAILABLE, "node %016" PRIx64 " stops", s->opts.hello.node);
    if (f->body > s->opts.body_max)
        return err_set(ERR_TOO_LARGE, "the body has %u bytes; node %016" PRIx64 " takes at most %u", f->body,
                       s->opts.hello.node, s->opts.body_max);
    return budget_check(s->opts.budget);
}

static void fill_request(struct server_call *call, const struct frame_call *f)
{
    struct server_conn *conn = call->conn;
    if (f->tenant.n) memcpy(call->tenant, f->tenant.p, f->tenant.n);
    int64_t left = (int64_t)MIN(f->left_ns, (uint64_t)INT64_MAX);
    call->rq = (struct rpc_request){
        .method = f->method,
        .class = (enum rt_class)f->class,
        .tenant = { call->tenant, f->tenant.n },
        .deadline = left ? mono_add(rt_now(), left) : (mono_ns){ 0 },
        .peer_node = conn->c.theirs.node,
        .version = conn->c.version,
    };
    buf_init(&call->answer, f->answer_max, conn->s->opts.budget);
    if (!f->body) return;
    call->body = malloc(f->body);
    ASSERT(call->body);
    call->rq.body = str_n(call->body, f->body);
    budget_charge(conn->s->opts.budget, f->body);
}

static err_t on_call(struct server_conn *conn, const struct frame_head *h, const uint8_t *payload)
{
    struct frame_call f;
    uint32_t slot = frame_slot(h->call);
    uint64_t number = h->call >> FRAME_SLOT_BITS;
    TRY(frame_call_get(payload, h->length, &f));
    if (f.class >= RT_CLASSES) return err_set(ERR_INVALID, "a call of class %u", f.class);
    if (slot >= conn->c.calls_max || conn->slots[slot])
        return err_set(ERR_LIMIT, "a call in slot %u: of %u slots %u are taken, that one too or there is none", slot,
                       conn->c.calls_max, conn->open);
    if (number <= conn->last)
        return err_set(ERR_INVALID, "call %" PRIu64 " after call %" PRIu64, number, conn->last);
    conn->last = number;
    err_t e = admit(conn, &f);
    if (e != OK) {
        metric_add(M_RPC_CALLS_REFUSED, 1);
        rpc_conn_error(&conn->c, h->call, e, err_detail());
        return OK;
    }
    struct server_call *call = call_new(conn, h->call);
    fill_request(call, &f);
    if (f.body > FRAME_INLINE_MAX) {
        rpc_in_init(&call->in, call->body, f.body);
        call->got_seen = 0;
        call->moved = rt_now();
        conn->receiving++;
        return OK;
    }
    if (f.body) memcpy(call->body, f.here.p, f.body);
    start(call);
    return OK;
}

static void on_cancel(struct server_conn *conn, uint64_t id)
{
    struct server_call *call = find(&conn->c, id);
    if (!call || call->cancelled) return;
    call->cancelled = true;
    if (call->state == CALL_RECEIVING) {
        end_with_error(call, ERR_CANCELED, "cancelled by the caller");
    } else if (call->state == CALL_RUNNING) {
        scope_cancel(&call->scope);
    } else {
        rpc_out_stop(&call->out);
        rpc_conn_error(&conn->c, id, ERR_CANCELED, "cancelled by the caller");
        leave_slot(call);
        if (!call->out.refs) call_dispose(call);
    }
}

static err_t server_frame(struct rpc_conn *c, const struct frame_head *h, const uint8_t *payload)
{
    struct server_conn *conn = CONTAINER_OF(c, struct server_conn, c);
    if (h->type == FRAME_CALL) return on_call(conn, h, payload);
    if (h->type != FRAME_CANCEL) return err_set(ERR_INVALID, "a frame '%s' from a caller", frame_name(h->type));
    on_cancel(conn, h->call);
    return OK;
}

static struct rpc_in *server_in(struct rpc_conn *c, uint64_t id)
{
    struct server_call *call = find(c, id);
    return call && call->state == CALL_RECEIVING ? &call->in : NULL;
}

static err_t server_whole(struct rpc_conn *c, uint64_t id)
{
    struct server_call *call = find(c, id);
    call->conn->receiving--;
    start(call);
    return OK;
}

static struct rpc_out *server_out(struct rpc_conn *c, uint64_t id)
{
    struct server_call *call = find(c, id);
    return call && call->state == CALL_ANSWERING ? &call->out : NULL;
}

static void server_sent(struct rpc_conn *c, struct rpc_out *o)
{
    (void)c;
    leave_slot(CONTAINER_OF(o, struct server_call, out));
}

static bool server_busy(struct rpc_conn *c)
{
    return CONTAINER_OF(c, struct server_conn, c)->open > 0;
}

/* -- who calls ------------------------------------------------------------------------------------------------- */
/* An older epoch of a node than one seen is refused; a newer one ends what is left of the older. */
static err_t check_epoch(struct rpc_server *s, uint64_t node, uint64_t epoch)
{
    uint32_t i = 0;
    while (i < s->nseen && s->seen[i].node != node)
        i++;
    if (i < s->nseen && epoch < s->seen[i].epoch)
        return err_set(ERR_FORBIDDEN, "node %016" PRIx64 " says epoch %" PRIu64 ", and epoch %" PRIu64 " of it was seen: "
                       "an older process, or an old copy of its data", node, epoch, s->seen[i].epoch);
    if (i == s->nseen) {
        if (s->nseen < SEEN_MAX) s->nseen++;
        else i = s->seen_next++ % SEEN_MAX;
        if (!s->seen) s->seen = calloc(SEEN_MAX, sizeof *s->seen);
        ASSERT(s->seen);
        s->seen[i].node = node;
    }
    s->seen[i].epoch = epoch;
    for (struct server_conn *conn = s->conns; conn; conn = conn->next)
        if (conn->c.state == RPC_OPEN && conn->c.theirs.node == node && conn->c.theirs.epoch < epoch)
            rpc_conn_down(&conn->c, true, ERR_FORBIDDEN, "a newer epoch of this node is here");
    return OK;
}

static err_t server_opened(struct rpc_conn *c)
{
    struct server_conn *conn = CONTAINER_OF(c, struct server_conn, c);
    return check_epoch(conn->s, c->theirs.node, c->theirs.epoch);
}

static void server_down(struct rpc_conn *c, const char *why)
{
    struct server_conn *conn = CONTAINER_OF(c, struct server_conn, c);
    if (!c->agreed)
        log_warn("rpc.refused", "peer=%s node=%016" PRIx64 " why=\"%s\"", c->name, c->theirs.node, why);
    else if (!conn->s->stopping)
        log_info("rpc.caller_gone", "peer=%s node=%016" PRIx64 " open_calls=%u why=\"%s\"", c->name, c->theirs.node,
                 conn->open, why);
    conn->refs++;
    for (uint32_t i = 0; i < c->calls_max && conn->open; i++) {
        struct server_call *call = conn->slots[i];
        if (!call) continue;
        bool receiving = call->state == CALL_RECEIVING, answering = call->state == CALL_ANSWERING;
        leave_slot(call);
        if (answering) rpc_out_stop(&call->out);
        if (receiving || (answering && !call->out.refs)) call_dispose(call);
    }
    scope_cancel(&conn->scope);
    conn_put(conn);
}

static const struct rpc_role server_role = {
    .server = true,
    .opened = server_opened,
    .frame = server_frame,
    .in = server_in,
    .whole = server_whole,
    .out = server_out,
    .sent = server_sent,
    .busy = server_busy,
    .down = server_down,
};

/* -- sockets --------------------------------------------------------------------------------------------------- */
static void on_closed(struct sock *sock, int os_errno)
{
    struct server_conn *conn = CONTAINER_OF(sock_user(sock), struct server_conn, c);
    rpc_link_gone(&conn->c, os_errno);
    conn_put(conn);
}

static const struct sock_ops conn_ops = { rpc_link_on_data, rpc_link_on_eof, rpc_link_on_drained, on_closed };

static void on_accept(struct sock *sock, void *ctx)
{
    struct rpc_server *s = ctx;
    char name[SOCK_NAME_MAX];
    if (s->nconns >= RPC_CONNECTIONS_MAX) {
        metric_add(M_CONNECTIONS_REFUSED, 1);
        log_warn("rpc.connections_full", "max=%d", RPC_CONNECTIONS_MAX);
        sock_abort(sock);
        return;
    }
    struct server_conn *conn = calloc(1, sizeof *conn);
    ASSERT(conn);
    conn->s = s;
    conn->refs = 1;
    conn->slots = calloc(s->opts.calls_max, sizeof *conn->slots);
    ASSERT(conn->slots && gate_enter(&s->gate));
    scope_init(&conn->scope, &s->scope);
    conn->next = s->conns;
    if (conn->next) conn->next->prev = conn;
    s->conns = conn;
    s->nconns++;
    sock_set(sock, &conn_ops, &conn->c);
    sock_peer_name(sock, name);
    rpc_conn_init(&conn->c, &server_role, &s->opts.hello, s->opts.calls_max, s->opts.body_max, name);
    rpc_link_open(&conn->c, sock, s->opts.tls);
}

/* -- time ------------------------------------------------------------------------------------------------------ */
/* Bodies that do not come. */
static void tick_bodies(struct server_conn *conn)
{
    mono_ns now = rt_now();
    for (uint32_t i = 0; i < conn->c.calls_max && conn->receiving; i++) {
        struct server_call *call = conn->slots[i];
        if (!call || call->state != CALL_RECEIVING) continue;
        if (call->in.got != call->got_seen) {
            call->got_seen = call->in.got;
            call->moved = now;
        }
        if (call->rq.deadline.ns ? now.ns < call->rq.deadline.ns
                                 : now.ns - call->moved.ns < BODY_QUIET_MS * (int64_t)NS_PER_MS)
            continue;
        end_with_error(call, ERR_TIMEOUT, "the body did not come in time");
    }
}

static void on_tick(struct timer *t)
{
    struct rpc_server *s = CONTAINER_OF(t, struct rpc_server, tick);
    for (struct server_conn *conn = s->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->receiving) tick_bodies(conn);
        rpc_conn_tick(&conn->c);
    }
    pool_trim(s, POOL_MAX);
    timer_arm(t, mono_add(rt_now(), TICK_MS * (int64_t)NS_PER_MS), on_tick);
}

/* -- start and stop -------------------------------------------------------------------------------------------- */
err_t rpc_server_open(const struct rpc_server_opts *o, struct rpc_server **out)
{
    struct rpc_server *s = calloc(1, sizeof *s);
    ASSERT(s && o->handler);
    s->opts = *o;
    if (!s->opts.body_max) s->opts.body_max = RPC_BODY_DEFAULT;
    if (!s->opts.calls_max) s->opts.calls_max = RPC_CALLS_DEFAULT;
    ASSERT(s->opts.calls_max <= FRAME_CALLS_MAX);
    scope_init(&s->scope, NULL);
    gate_init(&s->gate);
    event_init(&s->changed);
    err_t e = sock_listen(o->addr, o->port, on_accept, s, &s->listener);
    if (e != OK) {
        free(s);
        return e;
    }
    timer_arm(&s->tick, mono_add(rt_now(), TICK_MS * (int64_t)NS_PER_MS), on_tick);
    *out = s;
    return OK;
}

uint16_t rpc_server_port(const struct rpc_server *s)
{
    return sock_listener_port(s->listener);
}

void rpc_server_close(struct rpc_server *s, int64_t grace_ms)
{
    s->stopping = true;
    sock_listener_close(s->listener);
    mono_ns end = mono_add(rt_now(), grace_ms * NS_PER_MS);
    err_t e = OK;
    while (s->running && e == OK) {
        event_reset(&s->changed);
        e = event_wait_until(&s->changed, end);
    }
    for (struct server_conn *conn = s->conns, *next; conn; conn = next) {
        next = conn->next;
        rpc_conn_down(&conn->c, true, ERR_UNAVAILABLE, "the node stops");
    }
    gate_close(&s->gate);
    timer_disarm(&s->tick);
    pool_trim(s, 0);
    ASSERT(!s->npool && !s->running);
    scope_deinit(&s->scope);
    free(s->seen);
    free(s);
}
