/* Sockets over the io table: an output queue, its flush once a turn, and the closing dance.
 *
 *   connecting -> open -> closing (output is flushed) -> lingering (FIN sent, input is thrown away until the
 *   peer's end, at most 1 s) -> stopping (the backend ends what is in flight) -> gone (on_closed, memory free)
 *
 * Lingering: closing with unread input makes the kernel send a reset, which destroys an answer that is
 * still on its way. A connection that is idle is closed without (sock_close_idle).
 *
 * Invariants
 *  1. A sock is freed in on_gone only, which the loop runs; so every pointer to it is good within a callback.
 *  2. At most one send is in flight a socket; out.sending says so. Its segments are the first of the queue and do not
 *     move. Appending into the free room of the last segment is safe: the kernel reads the lengths of its iovec.
 *  3. A socket is in the dirty list iff it has output, no send in flight and is not connecting or stopping.
 *  4. An idle socket holds its struct and nothing else: segments and send operations are made when there is
 *     output. */
#include "base/rt/sock.h"

#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    SEG_BYTES = 4096 - 64,   /* room of a copied segment */
    SEND_IOVS = 16,
    SENDERS_KEPT = 64,
    CLOSE_FLUSH_S = 30,
    LINGER_S = 1,
    ACCEPT_RETRY_MS = 100,
};

struct seg {
    struct seg *next;
    const uint8_t *p;
    size_t n, cap; /* cap 0 = not ours */
    void (*done)(void *arg);
    void *arg;
    uint8_t bytes[];
};

struct sender { /* one send in flight */
    struct io_op op;
    struct sender *next_free;
    struct sock *s;
    struct msghdr msg;
    struct iovec iov[SEND_IOVS];
};

enum sock_state { SOCK_CONNECTING, SOCK_OPEN, SOCK_CLOSING, SOCK_LINGERING, SOCK_STOPPING };

struct sock {
    struct sock_head head; /* first: see sock_head() */
    struct io_sock io;
    struct reactor *r;
    struct sock *prev, *next; /* all of the reactor */
    struct sock *dirty_next;
    enum sock_state state;
    bool dirty, above_high, eof, paused, idle_close;
    int os_errno;
    struct seg *out, *out_tail;
    size_t unsent;
    struct sender *sending;
    uint8_t *kept; /* bytes that came while paused */
    size_t nkept;
    struct io_event redeliver;
    bool redeliver_queued;
    struct timer timer; /* close and linger */
};

struct sock_listener {
    struct io_accept io;
    struct reactor *r;
    struct sock_listener *prev, *next;
    sock_accept_fn *on_accept;
    void *ctx;
    uint16_t port;
    struct timer retry;
};

struct socks { /* of a reactor */
    struct sock *all, *dirty;
    struct sock_listener *listeners;
    struct sender *free_senders;
    unsigned nfree;
};

static const struct io_net *net_of(struct reactor *r)
{
    return r->io->ops->net;
}

static struct socks *socks_of(struct reactor *r)
{
    if (!r->socks) {
        r->socks = calloc(1, sizeof(struct socks));
        ASSERT(r->socks);
    }
    return r->socks;
}

/* -- making and unmaking -------------------------------------------------------------------------- */
static void on_recv(struct io_sock *io, const uint8_t *bytes, int64_t n);
static void on_gone(struct io_event *e);
static void on_redeliver(struct io_event *e);

static struct sock *sock_make(struct reactor *r, int fd, enum sock_state state)
{
    struct socks *all = socks_of(r);
    struct sock *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->r = r;
    s->state = state;
    s->io = (struct io_sock){ .fd = fd, .on_recv = on_recv, .gone.fn = on_gone };
    s->redeliver.fn = on_redeliver;
    s->next = all->all;
    if (s->next) s->next->prev = s;
    all->all = s;
    metric_add(M_CONNECTIONS, 1);
    return s;
}

static void drop_segment(struct sock *s)
{
    struct seg *g = s->out;
    s->out = g->next;
    if (!s->out) s->out_tail = NULL;
    if (g->done) g->done(g->arg);
    free(g);
}

static void drop_output(struct sock *s)
{
    while (s->out)
        drop_segment(s);
    s->unsent = 0;
}

static void on_gone(struct io_event *e)
{
    struct sock *s = CONTAINER_OF(e, struct sock, io.gone);
    struct socks *all = socks_of(s->r);
    ASSERT(s->state == SOCK_STOPPING && !s->dirty && !s->sending && !s->redeliver_queued);
    drop_output(s);
    timer_disarm(&s->timer);
    if (s->prev) {
        s->prev->next = s->next;
    } else {
        all->all = s->next;
    }
    if (s->next) s->next->prev = s->prev;
    metric_add(M_CONNECTIONS, -1);
    if (s->head.ops) s->head.ops->on_closed(s, s->os_errno);
    free(s->kept);
    free(s);
}

static void undirty(struct sock *s)
{
    if (!s->dirty) return;
    struct sock **p = &socks_of(s->r)->dirty;
    while (*p != s)
        p = &(*p)->dirty_next;
    *p = s->dirty_next;
    s->dirty = false;
}

/* The end, from whatever state: no callback but on_closed comes any more. */
static void stop(struct sock *s, int os_errno)
{
    if (s->state == SOCK_STOPPING) return;
    s->state = SOCK_STOPPING;
    s->os_errno = os_errno;
    undirty(s);
    timer_disarm(&s->timer);
    if (s->redeliver_queued) return; /* on_redeliver goes on */
    s->r->io->ops->sock_stop(s->r->io, &s->io);
}

/* -- output ----------------------------------------------------------------------------------------- */
static void mark_dirty(struct sock *s)
{
    if (s->dirty || s->sending || !s->out || s->state == SOCK_CONNECTING || s->state == SOCK_STOPPING)
        return;
    struct socks *all = socks_of(s->r);
    s->dirty = true;
    s->dirty_next = all->dirty;
    all->dirty = s;
}

static void queue_segment(struct sock *s, struct seg *g)
{
    g->next = NULL;
    if (s->out_tail) {
        s->out_tail->next = g;
    } else {
        s->out = g;
    }
    s->out_tail = g;
}

static void added(struct sock *s, size_t n)
{
    s->unsent += n;
    if (s->unsent > SOCK_HIGH_WATER) s->above_high = true;
    mark_dirty(s);
}

static bool takes_output(const struct sock *s)
{
    return s->state == SOCK_CONNECTING || s->state == SOCK_OPEN;
}

void sock_send(struct sock *s, const void *bytes, size_t n)
{
    ASSERT(s->r == rt_self);
    if (!takes_output(s) || !n) return;
    struct seg *t = s->out_tail;
    size_t room = t && t->cap ? t->cap - (size_t)(t->p - t->bytes) - t->n : 0;
    size_t part = MIN(room, n);
    if (part) {
        memcpy((uint8_t *)(uintptr_t)t->p + t->n, bytes, part);
        t->n += part;
    }
    if (part < n) {
        size_t rest = n - part, cap = MAX(rest, (size_t)SEG_BYTES);
        struct seg *g = malloc(sizeof *g + cap);
        ASSERT(g);
        *g = (struct seg){ .p = g->bytes, .n = rest, .cap = cap };
        memcpy(g->bytes, (const uint8_t *)bytes + part, rest);
        queue_segment(s, g);
    }
    added(s, n);
}

void sock_send_ref(struct sock *s, const void *bytes, size_t n, void (*done)(void *arg), void *arg)
{
    ASSERT(s->r == rt_self);
    /* Too late or empty: still queued as nothing, so that done comes from the loop. */
    if (!takes_output(s)) n = 0;
    if (!n && !done) return;
    struct seg *g = malloc(sizeof *g);
    ASSERT(g);
    *g = (struct seg){ .p = bytes, .n = n, .done = done, .arg = arg };
    queue_segment(s, g);
    added(s, n);
}

size_t sock_unsent(const struct sock *s)
{
    return s->unsent;
}

static void linger(struct sock *s);
static void arm_close_timer(struct sock *s);

/* Takes n sent bytes off the queue. */
static void consume(struct sock *s, size_t n)
{
    s->unsent -= n;
    while (s->out && s->out->n <= n) {
        n -= s->out->n;
        drop_segment(s);
    }
    if (!n) return;
    ASSERT(s->out);
    s->out->p += n;
    s->out->n -= n;
}

static void on_sent(struct io_event *e)
{
    struct io_op *op = CONTAINER_OF(e, struct io_op, event);
    struct sender *w = CONTAINER_OF(op, struct sender, op);
    struct sock *s = w->s;
    struct socks *all = socks_of(s->r);
    int64_t n = op->result;
    s->sending = NULL;
    if (all->nfree < SENDERS_KEPT) {
        w->next_free = all->free_senders;
        all->free_senders = w;
        all->nfree++;
    } else {
        free(w);
    }
    if (s->state == SOCK_STOPPING) return;
    if (n < 0) {
        stop(s, (int)-n);
        return;
    }
    consume(s, (size_t)n);
    mark_dirty(s);
    if (s->above_high && s->unsent < SOCK_LOW_WATER) {
        s->above_high = false;
        if (s->state == SOCK_OPEN && s->head.ops->on_drained) s->head.ops->on_drained(s);
    }
    if (s->state != SOCK_CLOSING) return;
    if (s->out) {
        arm_close_timer(s);
    } else {
        linger(s);
    }
}

static struct sender *get_sender(struct socks *all)
{
    struct sender *w = all->free_senders;
    if (w) {
        all->free_senders = w->next_free;
        all->nfree--;
    } else {
        w = malloc(sizeof *w);
        ASSERT(w);
    }
    return w;
}

static void flush(struct sock *s)
{
    while (s->out && !s->out->n)
        drop_segment(s);
    if (!s->out) {
        if (s->state == SOCK_CLOSING) linger(s);
        return;
    }
    struct sender *w = get_sender(socks_of(s->r));
    *w = (struct sender){ .s = s, .op = { .kind = IO_SEND, .sock = &s->io, .event.fn = on_sent } };
    size_t n = 0;
    for (struct seg *g = s->out; g && n < SEND_IOVS; g = g->next)
        w->iov[n++] = (struct iovec){ (void *)(uintptr_t)g->p, g->n };
    w->msg = (struct msghdr){ .msg_iov = w->iov, .msg_iovlen = n };
    w->op.buf = &w->msg;
    s->sending = w;
    s->r->io->ops->submit(s->r->io, &w->op);
}

void sock_flush_all(struct reactor *r)
{
    struct socks *all = r->socks;
    if (!all) return;
    while (all->dirty) {
        struct sock *s = all->dirty;
        all->dirty = s->dirty_next;
        s->dirty = false;
        flush(s);
    }
}

bool sock_dirty(struct reactor *r)
{
    struct socks *all = r->socks;
    return all && all->dirty;
}

/* -- input ------------------------------------------------------------------------------------------- */
static void keep(struct sock *s, const uint8_t *bytes, size_t n)
{
    uint8_t *more = realloc(s->kept, s->nkept + n);
    ASSERT(more); /* at most a receive pool */
    memcpy(more + s->nkept, bytes, n);
    s->kept = more;
    s->nkept += n;
}

static void end_of_input(struct sock *s)
{
    if (s->state == SOCK_LINGERING) {
        stop(s, 0);
    } else if (s->state == SOCK_OPEN) {
        if (s->head.ops->on_eof) {
            s->head.ops->on_eof(s);
        } else {
            sock_close(s);
        }
    }
}

static void on_recv(struct io_sock *io, const uint8_t *bytes, int64_t n)
{
    struct sock *s = CONTAINER_OF(io, struct sock, io);
    if (s->state == SOCK_STOPPING) return;
    if (n < 0) {
        stop(s, (int)-n);
        return;
    }
    if (n == 0) {
        s->eof = true;
        if (!s->paused && !s->nkept) end_of_input(s);
        return;
    }
    if (s->state != SOCK_OPEN) return; /* lingering: thrown away */
    if (s->paused || s->nkept) {
        keep(s, bytes, (size_t)n);
    } else {
        s->head.ops->on_data(s, bytes, (size_t)n);
    }
}

void sock_pause_recv(struct sock *s)
{
    ASSERT(s->r == rt_self);
    if (s->paused || s->state != SOCK_OPEN) return;
    s->paused = s->io.paused = true;
    s->r->io->ops->recv_pause(s->r->io, &s->io);
}

static void on_redeliver(struct io_event *e)
{
    struct sock *s = CONTAINER_OF(e, struct sock, redeliver);
    s->redeliver_queued = false;
    if (s->state == SOCK_STOPPING) {
        s->r->io->ops->sock_stop(s->r->io, &s->io);
        return;
    }
    if (s->paused) return;
    if (s->nkept && s->state == SOCK_OPEN) {
        uint8_t *bytes = s->kept;
        size_t n = s->nkept;
        s->kept = NULL;
        s->nkept = 0;
        s->head.ops->on_data(s, bytes, n);
        free(bytes);
    }
    if (s->state == SOCK_STOPPING || s->paused) return;
    if (s->eof) {
        end_of_input(s);
    } else {
        s->r->io->ops->recv_resume(s->r->io, &s->io);
    }
}

void sock_resume_recv(struct sock *s)
{
    ASSERT(s->r == rt_self);
    if (!s->paused) return;
    s->paused = s->io.paused = false;
    if (s->state == SOCK_STOPPING || s->redeliver_queued) return;
    /* What was kept comes first, and from the loop. */
    s->redeliver_queued = true;
    io_queue_push(&s->r->io->done, &s->redeliver);
}

/* -- closing ------------------------------------------------------------------------------------------- */
static void on_close_late(struct timer *t)
{
    struct sock *s = CONTAINER_OF(t, struct sock, timer);
    stop(s, s->state == SOCK_LINGERING ? 0 : ETIMEDOUT);
}

static void linger(struct sock *s)
{
    if (s->eof || s->idle_close || net_of(s->r)->end_output(s->r->io, s->io.fd) != 0) {
        stop(s, 0);
        return;
    }
    s->state = SOCK_LINGERING;
    free(s->kept);
    s->kept = NULL;
    s->nkept = 0;
    timer_arm(&s->timer, mono_add(s->r->now, LINGER_S * NS_PER_S), on_close_late);
    sock_resume_recv(s);
}

static void arm_close_timer(struct sock *s)
{
    timer_arm(&s->timer, mono_add(s->r->now, CLOSE_FLUSH_S * NS_PER_S), on_close_late);
}

void sock_close(struct sock *s)
{
    ASSERT(s->r == rt_self);
    if (s->state == SOCK_CONNECTING) {
        sock_abort(s);
        return;
    }
    if (s->state != SOCK_OPEN) return;
    s->state = SOCK_CLOSING;
    if (!s->out) {
        linger(s);
        return;
    }
    arm_close_timer(s);
    mark_dirty(s);
}

void sock_close_idle(struct sock *s)
{
    s->idle_close = true;
    sock_close(s);
}

bool sock_settled(const struct sock *s)
{
    return !s->out && !s->sending && net_of(s->r)->settled(s->r->io, s->io.fd);
}

void sock_abort(struct sock *s)
{
    ASSERT(s->r == rt_self);
    if (s->state == SOCK_STOPPING) return;
    net_of(s->r)->reset_on_close(s->r->io, s->io.fd);
    stop(s, ECANCELED);
}

bool sock_closing(const struct sock *s)
{
    return s->state != SOCK_CONNECTING && s->state != SOCK_OPEN;
}

void sock_peer_name(struct sock *s, char *to)
{
    struct io_addr a;
    if (s->io.fd < 0 || !net_of(s->r)->peer(s->r->io, s->io.fd, &a)) {
        snprintf(to, SOCK_NAME_MAX, "?");
        return;
    }
    io_addr_name(&a, to, SOCK_NAME_MAX);
}

/* -- connecting ------------------------------------------------------------------------------------------ */
struct dial {
    struct io_op op;
    struct sock *s;
    struct io_addr addr;
};

static void on_connected(struct io_event *e)
{
    struct dial *d = CONTAINER_OF(CONTAINER_OF(e, struct io_op, event), struct dial, op);
    struct sock *s = d->s;
    int64_t n = d->op.result;
    free(d);
    if (s->state == SOCK_STOPPING) return;
    if (n < 0) {
        stop(s, (int)-n);
        return;
    }
    s->state = SOCK_OPEN;
    mark_dirty(s);
    s->r->io->ops->recv_start(s->r->io, &s->io);
}

err_t sock_connect(const char *addr, uint16_t port, const struct sock_ops *ops, void *user,
                   struct sock **out)
{
    struct reactor *r = rt_here();
    struct io_addr a;
    int fd;
    if (r->stopping) return err_set(ERR_CANCELED, "the runtime is stopping");
    TRY(io_addr_parse(addr, port, &a));
    TRY(net_of(r)->stream(r->io, &a, &fd));
    struct sock *s = sock_make(r, fd, SOCK_CONNECTING);
    sock_set(s, ops, user);
    struct dial *d = malloc(sizeof *d);
    ASSERT(d);
    *d = (struct dial){ .s = s, .addr = a };
    d->op = (struct io_op){ .kind = IO_CONNECT, .sock = &s->io, .buf = d->addr.bytes, .n = a.n,
                            .event.fn = on_connected };
    r->io->ops->submit(r->io, &d->op);
    *out = s;
    return OK;
}

/* -- listening -------------------------------------------------------------------------------------------- */
static void on_retry_accept(struct timer *t)
{
    struct sock_listener *l = CONTAINER_OF(t, struct sock_listener, retry);
    l->r->io->ops->accept_start(l->r->io, &l->io);
}

static void on_accept(struct io_accept *io, int fd)
{
    struct sock_listener *l = CONTAINER_OF(io, struct sock_listener, io);
    if (fd < 0) {
        if (l->io.stopping) return;
        /* Out of descriptors, most likely: the backlog waits a moment. */
        log_warn("sock.accept", "port=%u errno=%d error=\"%s\"", l->port, -fd, strerror(-fd));
        timer_arm(&l->retry, mono_add(l->r->now, ACCEPT_RETRY_MS * (int64_t)NS_PER_MS), on_retry_accept);
        return;
    }
    if (l->io.stopping) {
        net_of(l->r)->close(l->r->io, fd);
        return;
    }
    struct sock *s = sock_make(l->r, fd, SOCK_OPEN);
    l->on_accept(s, l->ctx);
    if (s->state == SOCK_STOPPING) return;
    ASSERT(s->head.ops);
    l->r->io->ops->recv_start(l->r->io, &s->io);
}

static void on_listener_gone(struct io_event *e)
{
    struct sock_listener *l = CONTAINER_OF(e, struct sock_listener, io.gone);
    struct socks *all = socks_of(l->r);
    if (l->prev) {
        l->prev->next = l->next;
    } else {
        all->listeners = l->next;
    }
    if (l->next) l->next->prev = l->prev;
    free(l);
}

err_t sock_listen(const char *addr, uint16_t port, sock_accept_fn *accept_fn, void *ctx,
                  struct sock_listener **out)
{
    struct reactor *r = rt_here();
    struct io_addr a;
    int fd;
    if (r->stopping) return err_set(ERR_CANCELED, "the runtime is stopping");
    TRY(io_addr_parse(addr, port, &a));
    TRY(net_of(r)->listen(r->io, &a, &port, &fd));
    struct sock_listener *l = calloc(1, sizeof *l);
    ASSERT(l);
    *l = (struct sock_listener){ .r = r, .on_accept = accept_fn, .ctx = ctx, .port = port,
                                 .io = { .fd = fd, .on_accept = on_accept, .gone.fn = on_listener_gone } };
    struct socks *all = socks_of(r);
    l->next = all->listeners;
    if (l->next) l->next->prev = l;
    all->listeners = l;
    r->io->ops->accept_start(r->io, &l->io);
    *out = l;
    return OK;
}

uint16_t sock_listener_port(const struct sock_listener *l)
{
    return l->port;
}

void sock_listener_close(struct sock_listener *l)
{
    ASSERT(l->r == rt_self);
    if (l->io.stopping) return;
    timer_disarm(&l->retry);
    l->r->io->ops->accept_stop(l->r->io, &l->io);
}

/* -- the reactor's end -------------------------------------------------------------------------------------- */
void sock_stop_all(struct reactor *r)
{
    struct socks *all = r->socks;
    if (!all) return;
    for (struct sock_listener *l = all->listeners; l; l = l->next)
        sock_listener_close(l);
    for (struct sock *s = all->all; s; s = s->next)
        sock_abort(s);
}

bool sock_none(struct reactor *r)
{
    struct socks *all = r->socks;
    return !all || (!all->all && !all->listeners);
}

void sock_deinit(struct reactor *r)
{
    struct socks *all = r->socks;
    if (!all) return;
    for (struct sender *w; (w = all->free_senders);) {
        all->free_senders = w->next_free;
        free(w);
    }
    free(all);
    r->socks = NULL;
}
