/* The epoll backend: for kernels and containers that refuse io_uring. Sockets are edge-triggered and registered
 * once; receives go through one buffer of the reactor; sends are tried at once and wait for room only when the
 * kernel's buffer is full. Files run on the runtime's pool of threads.
 *
 * Invariant of a socket: recv_armed says that the kernel may hold bytes that no edge will announce again;
 * a socket with recv_armed that is not paused is in the `more` list and will be read this turn or the next. */
#include "base/rt/reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    RECV_BYTES = 256 << 10, /* stays in L2 */
    RECV_ROUNDS = 4,        /* full buffers from one socket before the others have their turn */
    ACCEPTS = 64,           /* connections from one listener a turn */
};

/* Low bits of epoll's user data. */
enum { TAG_SOCK = 0, TAG_ACCEPT = 1, TAG_WAKE = 2, TAG_DGRAM = 3, TAG_MASK = 7 };

struct io_epoll {
    struct io base;
    int ep, bell;
    bool no_pwait2;
    struct io_sock *more, *more_tail; /* sockets to read from */
    unsigned nmore;
    uint8_t *buf;
};

static struct io_epoll *self(struct io *io)
{
    return (struct io_epoll *)io;
}

/* -- files: the pool ------------------------------------------------------------------------------- */
static void file_work(struct io_event *e)
{
    struct io_op *op = CONTAINER_OF(e, struct io_op, work);
    io_file_run(op);
    reactor_post_event(op->home, &op->event);
}

static void complete(struct io *io, struct io_op *op, int64_t result)
{
    op->result = result;
    io_queue_push(&io->done, &op->event);
}

/* -- sending ------------------------------------------------------------------------------------------ */
static void try_send(struct io *io, struct io_sock *s)
{
    struct io_op *op = s->send;
    if (op->kind == IO_CONNECT) {
        int err = 0;
        socklen_t len = sizeof err;
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof peer;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) err = errno;
        if (!err && getpeername(s->fd, (struct sockaddr *)&peer, &peer_len) != 0) return; /* not yet */
        s->send = NULL;
        complete(io, op, -err);
        return;
    }
    ssize_t n;
    do {
        n = sendmsg(s->fd, op->buf, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return; /* the next edge brings us back */
    s->send = NULL;
    complete(io, op, n < 0 ? -errno : n);
}

static void watch(struct io *io, struct io_sock *s);

static void epoll_submit(struct io *io, struct io_op *op)
{
    switch (op->kind) {
    case IO_SEND:
        ASSERT(!op->sock->send);
        op->sock->send = op;
        try_send(io, op->sock);
        break;
    case IO_CONNECT:
        ASSERT(!op->sock->send);
        if (connect(op->sock->fd, op->buf, (socklen_t)op->n) == 0) {
            complete(io, op, 0);
        } else if (errno == EINPROGRESS) {
            op->sock->send = op;
            watch(io, op->sock);
        } else {
            complete(io, op, -errno);
        }
        break;
    default:
        op->home = io->reactor;
        op->work.fn = file_work;
        pool_put(io->reactor->rt->files, &op->work);
    }
}

/* -- receiving ---------------------------------------------------------------------------------------- */
static void more_add(struct io_epoll *x, struct io_sock *s)
{
    if (s->in_more || s->paused || s->stopping || s->recv_over) return;
    s->in_more = true;
    s->more_next = NULL;
    s->more_prev = x->more_tail;
    if (x->more_tail) {
        x->more_tail->more_next = s;
    } else {
        x->more = s;
    }
    x->more_tail = s;
    x->nmore++;
}

static void more_remove(struct io_epoll *x, struct io_sock *s)
{
    if (!s->in_more) return;
    s->in_more = false;
    if (s->more_prev) {
        s->more_prev->more_next = s->more_next;
    } else {
        x->more = s->more_next;
    }
    if (s->more_next) {
        s->more_next->more_prev = s->more_prev;
    } else {
        x->more_tail = s->more_prev;
    }
    x->nmore--;
}

static void read_some(struct io_epoll *x, struct io_sock *s)
{
    for (unsigned i = 0; i < RECV_ROUNDS; i++) {
        ssize_t n = recv(s->fd, x->buf, RECV_BYTES, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            s->recv_armed = false;
            return;
        }
        if (n <= 0) {
            s->recv_over = true;
            s->recv_armed = false;
            s->on_recv(s, NULL, n < 0 ? -errno : 0);
            return;
        }
        /* A short read emptied the kernel's queue; the next bytes make a new edge. The end does not. */
        if (n < RECV_BYTES && !s->hup) s->recv_armed = false;
        s->on_recv(s, x->buf, n);
        if (s->stopping || s->paused || !s->recv_armed) return;
    }
}

/* Each socket of the list once; those not emptied go to its end, for the next turn. A callback may stop any
 * socket, which takes it off the list. */
static void read_all(struct io_epoll *x)
{
    for (unsigned n = x->nmore; n && x->more; n--) {
        struct io_sock *s = x->more;
        more_remove(x, s);
        if (s->paused) continue;
        read_some(x, s);
        if (s->recv_armed) more_add(x, s);
    }
}

static void watch(struct io *io, struct io_sock *s)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s };
    ASSERT(((uintptr_t)s & TAG_MASK) == 0);
    s->inflight = 1; /* = is in the epoll set */
    if (epoll_ctl(self(io)->ep, EPOLL_CTL_ADD, s->fd, &ev) == 0) return;
    /* Out of kernel memory or watches: becomes a broken connection at the next turn. */
    shutdown(s->fd, SHUT_RDWR);
    s->recv_armed = s->hup = true;
    more_add(self(io), s);
}

static void epoll_recv_start(struct io *io, struct io_sock *s)
{
    if (!s->inflight) {
        watch(io, s);
        return;
    }
    s->recv_armed = true;
    more_add(self(io), s);
}

static void epoll_recv_pause(struct io *io, struct io_sock *s)
{
    (void)io;
    (void)s; /* read_some looks at s->paused */
}

static void epoll_recv_resume(struct io *io, struct io_sock *s)
{
    s->recv_armed = true;
    more_add(self(io), s);
}

static void epoll_sock_stop(struct io *io, struct io_sock *s)
{
    s->stopping = true;
    more_remove(self(io), s);
    if (s->send) {
        struct io_op *op = s->send;
        s->send = NULL;
        complete(io, op, -ECANCELED);
    }
    close(s->fd); /* leaves the epoll set with it */
    s->fd = -1;
    io_queue_push(&io->done, &s->gone);
}

/* -- accepting ---------------------------------------------------------------------------------------- */
static void epoll_accept_start(struct io *io, struct io_accept *a)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (char *)a + TAG_ACCEPT };
    a->armed = epoll_ctl(self(io)->ep, EPOLL_CTL_ADD, a->fd, &ev) == 0;
    if (!a->armed) a->on_accept(a, -errno);
}

static void epoll_accept_stop(struct io *io, struct io_accept *a)
{
    a->stopping = true;
    close(a->fd);
    a->fd = -1;
    io_queue_push(&io->done, &a->gone);
}

static void accept_some(struct io_epoll *x, struct io_accept *a)
{
    for (unsigned i = 0; i < ACCEPTS && !a->stopping; i++) {
        int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            io_nodelay(fd);
            a->on_accept(a, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno == EINTR || errno == ECONNABORTED) continue;
        int e = errno;
        (void)epoll_ctl(x->ep, EPOLL_CTL_DEL, a->fd, NULL);
        a->armed = false;
        a->on_accept(a, -e);
        return;
    }
}

/* -- datagrams: level-triggered ------------------------------------------------------------------------ */
static err_t epoll_datagrams(struct io *io, const struct io_addr *a, uint16_t *port, struct io_dgram *d)
{
    TRY(io_net_datagrams(a, port, &d->fd));
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (char *)d + TAG_DGRAM };
    if (epoll_ctl(self(io)->ep, EPOLL_CTL_ADD, d->fd, &ev) == 0) return OK;
    int e = errno;
    close(d->fd);
    return err_set_errno(e, "epoll_ctl");
}

static void epoll_datagram_stop(struct io *io, struct io_dgram *d)
{
    d->stopping = true;
    close(d->fd);
    d->fd = -1;
    io_queue_push(&io->done, &d->gone);
}

/* -- waiting ------------------------------------------------------------------------------------------ */
static void drain_bell(struct io_epoll *x)
{
    uint64_t n;
    ssize_t got = read(x->bell, &n, sizeof n);
    (void)got;
}

static void on_event(struct io_epoll *x, const struct epoll_event *ev)
{
    uintptr_t p = (uintptr_t)ev->data.ptr, tag = p & TAG_MASK;
    if (tag == TAG_WAKE) {
        drain_bell(x);
        return;
    }
    if (tag == TAG_ACCEPT) {
        struct io_accept *a = (struct io_accept *)(p - TAG_ACCEPT);
        if (!a->stopping) accept_some(x, a);
        return;
    }
    if (tag == TAG_DGRAM) {
        (void)io_net_datagram_read((struct io_dgram *)(p - TAG_DGRAM), x->buf, RECV_BYTES);
        return;
    }
    struct io_sock *s = (struct io_sock *)p;
    if (s->stopping) return;
    if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->hup = true;
    /* Asked before try_send: what a fast peer sent, or its end, waits until on_connected starts receiving. */
    bool connecting = s->send && s->send->kind == IO_CONNECT;
    if (s->send && (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) try_send(&x->base, s);
    if (!connecting && (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        s->recv_armed = true;
        more_add(x, s);
    }
}

static int wait_events(struct io_epoll *x, struct epoll_event *evs, mono_ns until)
{
    int64_t ns = 0;
    if (until.ns && !x->more && !x->base.done.head) {
        ns = until.ns == INT64_MAX ? -1 : MAX(until.ns - io_real_now(&x->base).ns, 0);
    }
    if (ns > 0 && !x->no_pwait2) {
        struct timespec t = { ns / NS_PER_S, ns % NS_PER_S };
        int n = epoll_pwait2(x->ep, evs, EVENTS, &t, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
        x->no_pwait2 = true;
    }
    int64_t ms = ns > 0 ? (ns + NS_PER_MS - 1) / NS_PER_MS : ns;
    return epoll_wait(x->ep, evs, EVENTS, (int)MIN(ms, 1000000));
}

static void epoll_reap(struct io *io, mono_ns until)
{
    struct io_epoll *x = self(io);
    struct epoll_event evs[EVENTS];
    int n = wait_events(x, evs, until);
    io->reactor->now = io_real_now(io);
    for (int i = 0; i < n; i++)
        on_event(x, &evs[i]);
    read_all(x);
}

static void epoll_wake(struct io *io)
{
    uint64_t one = 1;
    ssize_t put = write(self(io)->bell, &one, sizeof one);
    (void)put; /* EAGAIN: it rings already */
}

static void epoll_free(struct io *io)
{
    struct io_epoll *x = self(io);
    if (x->ep >= 0) close(x->ep);
    if (x->bell >= 0) close(x->bell);
    free(x->buf);
    free(x);
}

static const struct io_net epoll_net = {
    .listen = io_net_listen,
    .stream = io_net_stream,
    .end_output = io_net_end_output,
    .reset_on_close = io_net_reset_on_close,
    .settled = io_net_settled,
    .peer = io_net_peer,
    .close = io_net_close,
    .datagrams = epoll_datagrams,
    .datagram_send = io_net_datagram_send,
    .datagram_stop = epoll_datagram_stop,
};

static const struct io_ops epoll_ops = {
    .name = "epoll",
    .net = &epoll_net,
    .now = io_real_now,
    .wall = io_real_wall,
    .random = io_real_random,
    .submit = epoll_submit,
    .reap = epoll_reap,
    .wake = epoll_wake,
    .recv_start = epoll_recv_start,
    .recv_pause = epoll_recv_pause,
    .recv_resume = epoll_recv_resume,
    .sock_stop = epoll_sock_stop,
    .accept_start = epoll_accept_start,
    .accept_stop = epoll_accept_stop,
    .free = epoll_free,
};

err_t io_epoll_new(struct reactor *r, struct io **out)
{
    struct io_epoll *x = calloc(1, sizeof *x);
    ASSERT(x);
    x->base = (struct io){ .ops = &epoll_ops, .reactor = r };
    *out = &x->base;
    x->buf = malloc(RECV_BYTES);
    ASSERT(x->buf);
    x->ep = epoll_create1(EPOLL_CLOEXEC);
    x->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = TAG_WAKE };
    if (x->ep < 0 || x->bell < 0 || epoll_ctl(x->ep, EPOLL_CTL_ADD, x->bell, &ev) != 0)
        return err_set_errno(errno, "epoll");
    return OK;
}
