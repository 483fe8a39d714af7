#include "base/net/rpc_conn.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "base/rt/sock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PUMP_BYTES = 256 << 10,                /* unsent in the link, above it no DATA is added */
    CREDIT_BYTES = RPC_WINDOW_BYTES / 4,   /* come, before a CREDIT goes */
    FRAME_COPY_MAX = 1024,                 /* a frame that is put together before it goes to the link */
    TICK_LATE_MS = 2000,                   /* a tick so late was our own pause: it says nothing about the peer */
};

/* -- frames out ---------------------------------------------------------------------------------------------- */
static bool can_send(const struct rpc_conn *c)
{
    return c->link && c->state != RPC_DOWN && !c->io->closing(c->link);
}

static void send_frame(struct rpc_conn *c, enum frame_type type, uint64_t call, const void *payload, size_t n,
                       struct str rest)
{
    uint8_t bytes[FRAME_COPY_MAX];
    ASSERT(FRAME_HEAD_BYTES + n <= sizeof bytes);
    frame_head_put(bytes, &(struct frame_head){ (uint32_t)(n + rest.n), (uint8_t)type, call });
    if (n) memcpy(bytes + FRAME_HEAD_BYTES, payload, n);
    n += FRAME_HEAD_BYTES;
    if (rest.n && n + rest.n <= sizeof bytes) {
        memcpy(bytes + n, rest.p, rest.n);
        n += rest.n;
        rest.n = 0;
    }
    c->io->send(c->link, bytes, n);
    if (rest.n) c->io->send(c->link, rest.p, rest.n);
    metric_add(M_RPC_SENT_BYTES, (int64_t)(n + rest.n));
}

void rpc_conn_frame(struct rpc_conn *c, enum frame_type type, uint64_t call, const void *payload, size_t n,
                    struct str rest)
{
    if (can_send(c)) send_frame(c, type, call, payload, n, rest);
}

void rpc_conn_error(struct rpc_conn *c, uint64_t call, err_t code, const char *detail)
{
    uint8_t payload[1 + FRAME_TEXT_MAX];
    size_t n = frame_error_put(payload, code, detail);
    rpc_conn_frame(c, FRAME_ERROR, call, payload, n, STR_NONE);
}

static void say_hello(struct rpc_conn *c)
{
    uint8_t payload[FRAME_HELLO_MAX];
    struct frame_hello h = { .format = FRAME_FORMAT, .version_min = c->hello->version_min,
                             .version_max = c->hello->version_max, .calls_max = c->calls_max,
                             .body_max = c->body_max, .window = RPC_WINDOW_BYTES, .node = c->hello->node,
                             .epoch = c->hello->epoch };
    snprintf(h.label, sizeof h.label, "%s", c->hello->label);
    rpc_conn_frame(c, FRAME_HELLO, 0, payload, frame_hello_put(payload, &h), STR_NONE);
}

/* -- bodies out ---------------------------------------------------------------------------------------------- */
static void list(struct rpc_out *o)
{
    struct rpc_conn *c = o->conn;
    if (o->listed) return;
    o->listed = true;
    if (!c->outs) {
        c->outs = o->next = o->prev = o;
        return;
    }
    o->next = c->outs;
    o->prev = c->outs->prev;
    o->prev->next = o;
    o->next->prev = o;
}

static void unlist(struct rpc_out *o)
{
    struct rpc_conn *c = o->conn;
    if (!o->listed) return;
    o->listed = false;
    if (o->next == o) {
        c->outs = NULL;
        return;
    }
    o->prev->next = o->next;
    o->next->prev = o->prev;
    if (c->outs == o) c->outs = o->next;
}

static void finish(struct rpc_out *o)
{
    unlist(o);
    o->over = true;
    o->conn->on_way -= o->on_way;
    o->on_way = 0;
}

static void pump(struct rpc_conn *c);

static void on_piece_sent(void *arg)
{
    struct rpc_out *o = arg;
    struct rpc_conn *c = o->conn;
    ASSERT(o->refs);
    if (--o->refs == 0 && o->over) o->idle(o);
    pump(c);
}

static void send_piece(struct rpc_conn *c, struct rpc_out *o)
{
    uint8_t head[FRAME_HEAD_BYTES];
    size_t n = MIN(MIN(o->n - o->sent, (size_t)o->window), MIN((size_t)FRAME_DATA_MAX, RPC_ON_WAY_MAX - c->on_way));
    ASSERT(n);
    frame_head_put(head, &(struct frame_head){ (uint32_t)n, FRAME_DATA, o->call });
    c->io->send(c->link, head, sizeof head);
    o->refs++;
    c->io->send_ref(c->link, o->p + o->sent, n, on_piece_sent, o);
    metric_add(M_RPC_SENT_BYTES, (int64_t)(n + sizeof head));
    o->sent += n;
    o->window -= (uint32_t)n;
    o->on_way += (uint32_t)n;
    c->on_way += n;
    c->outs = o->next;
    if (o->sent == o->n) {
        finish(o);
        c->role->sent(c, o);
    } else if (!o->window) {
        unlist(o);
    }
}

static void pump(struct rpc_conn *c)
{
    while (c->state == RPC_OPEN && c->outs && can_send(c) && c->io->unsent(c->link) < PUMP_BYTES &&
           c->on_way < RPC_ON_WAY_MAX)
        send_piece(c, c->outs);
}

void rpc_out_start(struct rpc_conn *c, struct rpc_out *o, uint64_t call, const char *p, size_t n)
{
    ASSERT(n && c->state == RPC_OPEN && o->idle);
    *o = (struct rpc_out){ .conn = c, .call = call, .p = p, .n = n, .window = c->theirs.window, .idle = o->idle };
    list(o);
    pump(c);
}

void rpc_out_stop(struct rpc_out *o)
{
    if (o->over) return;
    finish(o);
    pump(o->conn);
}

static err_t on_credit(struct rpc_conn *c, uint64_t call, uint32_t n)
{
    struct rpc_out *o = c->role->out(c, call);
    if (!o || o->over) return OK;
    if (!n || n > o->on_way)
        return err_set(ERR_INVALID, "a credit of %u bytes, where %u were on their way", n, o->on_way);
    o->on_way -= n;
    c->on_way -= n;
    o->window += n;
    list(o);
    pump(c);
    return OK;
}

/* -- bodies in ----------------------------------------------------------------------------------------------- */
void rpc_in_init(struct rpc_in *in, char *p, uint32_t n)
{
    *in = (struct rpc_in){ .p = p, .n = n };
}

static err_t on_part(void *ctx, const struct frame_head *h, const uint8_t *bytes, size_t n)
{
    struct rpc_conn *c = ctx;
    if (c->state != RPC_OPEN) return err_set(ERR_INVALID, "a frame 'data' before a hello");
    struct rpc_in *in = c->role->in(c, h->call);
    if (!in) return OK;
    if (n > in->n - in->got) return err_set(ERR_INVALID, "a body goes on behind its %u bytes", in->n);
    if (in->p) memcpy(in->p + in->got, bytes, n);
    in->got += (uint32_t)n;
    in->owed += (uint32_t)n;
    if (in->got == in->n) return c->role->whole(c, h->call);
    if (in->owed < CREDIT_BYTES) return OK;
    uint8_t payload[4];
    frame_u32_put(payload, in->owed);
    in->owed = 0;
    rpc_conn_frame(c, FRAME_CREDIT, h->call, payload, sizeof payload, STR_NONE);
    return OK;
}

/* -- hellos -------------------------------------------------------------------------------------------------- */
err_t rpc_hello_check(const struct rpc_hello *ours, const struct frame_hello *theirs, uint32_t *version)
{
    if (theirs->format != FRAME_FORMAT)
        return err_set(ERR_FORBIDDEN, "node %016" PRIx64 " speaks frames of format %u, node %016" PRIx64 " of format %d",
                       theirs->node, theirs->format, ours->node, FRAME_FORMAT);
    if (strcmp(theirs->label, ours->label) != 0)
        return err_set(ERR_FORBIDDEN, "node %016" PRIx64 " is of the cluster '%s', node %016" PRIx64 " of the cluster '%s'",
                       theirs->node, theirs->label, ours->node, ours->label);
    if (theirs->node == ours->node)
        return err_set(ERR_FORBIDDEN, "both ends have the node id %016" PRIx64 ": a node calls itself, or a data "
                       "directory was copied", ours->node);
    *version = MIN(theirs->version_max, ours->version_max);
    if (*version < theirs->version_min || *version < ours->version_min)
        return err_set(ERR_FORBIDDEN, "node %016" PRIx64 " speaks versions %u to %u, node %016" PRIx64 " %u to %u: none of both",
                       theirs->node, theirs->version_min, theirs->version_max, ours->node, ours->version_min,
                       ours->version_max);
    return OK;
}

static err_t on_hello(struct rpc_conn *c, const struct frame_head *h, const uint8_t *payload)
{
    if (c->state != RPC_GREETING) return err_set(ERR_INVALID, "a second hello");
    TRY(frame_hello_get(payload, h->length, &c->theirs));
    TRY(rpc_hello_check(c->hello, &c->theirs, &c->version));
    if (c->tls) TRY(tls_check_node(c->tls, c->theirs.node));
    TRY(c->role->opened(c));
    if (c->state != RPC_GREETING) return OK;
    if (c->role->server) say_hello(c);
    c->state = RPC_OPEN;
    c->agreed = true;
    return OK;
}

/* -- frames in ----------------------------------------------------------------------------------------------- */
static err_t on_refuse(struct rpc_conn *c, const struct frame_head *h, const uint8_t *payload)
{
    char text[FRAME_TEXT_MAX + 1], why[FRAME_TEXT_MAX + 1];
    err_t code = frame_error_get(payload, h->length, text);
    snprintf(why, sizeof why, "refused us: %.400s", text);
    rpc_conn_down(c, false, code, why);
    return ERR_CANCELED;
}

static err_t on_frame(void *ctx, const struct frame_head *h, const uint8_t *payload)
{
    struct rpc_conn *c = ctx;
    if (c->state == RPC_DOWN) return ERR_CANCELED;
    if (h->type == FRAME_REFUSE) return on_refuse(c, h, payload);
    if (c->refusal_only) return err_set(ERR_FORBIDDEN, "the other side answers without TLS");
    if (h->type == FRAME_HELLO) {
        TRY(on_hello(c, h, payload));
    } else if (c->state != RPC_OPEN) {
        return err_set(ERR_INVALID, "a frame '%s' before a hello", frame_name(h->type));
    } else if (h->type == FRAME_CREDIT) {
        TRY(on_credit(c, h->call, frame_u32(payload)));
    } else if (h->type == FRAME_PING) {
        /* Who does not read gets no answers either: they would pile up. */
        if (c->io->unsent(c->link) <= SOCK_HIGH_WATER) rpc_conn_frame(c, FRAME_PONG, 0, payload, 8, STR_NONE);
    } else if (h->type != FRAME_PONG) {
        TRY(c->role->frame(c, h, payload));
    }
    return c->state == RPC_DOWN ? ERR_CANCELED : OK;
}

static const struct frame_sink sink = { on_frame, on_part };

void rpc_conn_feed(struct rpc_conn *c, const uint8_t *bytes, size_t n)
{
    if (c->state == RPC_DOWN) return;
    c->heard = rt_now();
    c->asked = (mono_ns){ 0 };
    c->spoke = true;
    metric_add(M_RPC_RECEIVED_BYTES, (int64_t)n);
    err_t e = frame_feed(&c->in, bytes, n, &sink, c);
    if (c->state == RPC_DOWN) return;
    if (e != OK) {
        rpc_conn_down(c, true, e == ERR_CORRUPT ? ERR_INVALID : e, err_detail());
    } else if (c->role->server && !c->paused && c->io->unsent(c->link) > SOCK_HIGH_WATER) {
        c->paused = true;
        c->io->pause(c->link);
    }
}

void rpc_conn_drained(struct rpc_conn *c)
{
    if (c->paused) {
        c->paused = false;
        c->io->resume(c->link);
    }
    pump(c);
}

/* -- begin, time, end ------------------------------------------------------------------------------------------ */
void rpc_conn_init(struct rpc_conn *c, const struct rpc_role *role, const struct rpc_hello *hello, uint32_t calls_max,
                   uint32_t body_max, const char *name)
{
    *c = (struct rpc_conn){ .role = role, .hello = hello, .calls_max = calls_max, .body_max = body_max,
                            .began = rt_now(), .heard = rt_now(), .ticked = rt_now() };
    snprintf(c->name, sizeof c->name, "%s", name);
    frame_reader_init(&c->in);
    metric_add(M_RPC_CONNECTIONS, 1);
}

void rpc_conn_begin(struct rpc_conn *c)
{
    if (!c->role->server) say_hello(c);
}

static int64_t ms_since(mono_ns now, mono_ns then)
{
    return (now.ns - then.ns) / NS_PER_MS;
}

void rpc_conn_tick(struct rpc_conn *c)
{
    mono_ns now = rt_now();
    char why[128];
    bool late = ms_since(now, c->ticked) > TICK_LATE_MS;
    c->ticked = now;
    if (c->state == RPC_DOWN || !can_send(c)) return;
    if (late) {
        c->asked = (mono_ns){ 0 };
        c->began = c->state == RPC_GREETING ? now : c->began;
    } else if (c->state == RPC_GREETING && ms_since(now, c->began) >= RPC_CONNECT_MS) {
        snprintf(why, sizeof why, "no connection and hello within %d ms", RPC_CONNECT_MS);
        rpc_conn_down(c, false, ERR_TIMEOUT, why);
        return;
    } else if (c->asked.ns && ms_since(now, c->asked) >= RPC_SILENCE_MS - RPC_PING_MS) {
        metric_add(M_RPC_SILENT, 1);
        snprintf(why, sizeof why, "nothing came for %" PRIi64 " ms, though asked", ms_since(now, c->heard));
        rpc_conn_down(c, false, ERR_TIMEOUT, why);
        return;
    }
    int64_t quiet_ms = c->role->busy(c) ? RPC_PING_MS : RPC_PING_IDLE_MS;
    if (c->state != RPC_OPEN || c->asked.ns || ms_since(now, c->heard) < quiet_ms) return;
    c->asked = now;
    uint8_t payload[8];
    frame_u64_put(payload, (uint64_t)now.ns);
    send_frame(c, FRAME_PING, 0, payload, sizeof payload, STR_NONE);
}

void rpc_conn_down(struct rpc_conn *c, bool tell, err_t code, const char *why)
{
    if (c->state == RPC_DOWN) return;
    char kept[FRAME_TEXT_MAX + 1];
    snprintf(kept, sizeof kept, "%s", why);
    if (tell && can_send(c)) {
        uint8_t payload[1 + FRAME_TEXT_MAX];
        send_frame(c, FRAME_REFUSE, 0, payload, frame_error_put(payload, code, kept), STR_NONE);
        c->io->close(c->link);
    } else if (c->link) {
        c->io->abort(c->link);
    }
    if (c->state == RPC_GREETING) metric_add(M_RPC_REFUSED, 1);
    c->state = RPC_DOWN;
    metric_add(M_RPC_CONNECTIONS, -1);
    c->role->down(c, kept);
}

void rpc_conn_ended(struct rpc_conn *c, int os_errno)
{
    c->link = NULL;
    rpc_conn_down(c, false, ERR_UNAVAILABLE, os_errno ? strerror(os_errno) : "the other side closed the connection");
    frame_reader_deinit(&c->in);
}
