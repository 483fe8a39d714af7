/* The simulated network: streams and datagrams between the hosts of a world (rules: sim.h).
 *
 * A connection is two ends. What an end sends becomes packets on the wire to the other end: in order, each with the time at
 * which it is due. At that time it arrives: into the queue of what the end has not read, which its reactor is told by
 * an event, as a backend's completion would. A cut holds the first packet back, and so all behind it.
 *
 *   end:  open -> closed (sock_stop, or its host is gone)         the socket lets go of it, the peer may go on
 *   connection: freed when both ends are closed and no event refers to it (refs, ready_queued)
 *
 * Invariants
 *  1. end->sock == NULL or the socket is alive: sock_stop, and the sweep of a host, clear it.
 *  2. Callbacks of a socket are called by its own reactor only, out of io->done.
 *  3. Of one end, at most one connect or send waits (sock.c's rule), in end->op. */
#include "base/rt/sim_in.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    WINDOW = 256 << 10,  /* bytes under way to an end */
    PACKET = 16 << 10,
    EPHEMERAL = 32768,
};
#define LATENCY_MIN_NS 20000
#define LATENCY_MORE_NS 300000
#define RETRANSMIT_NS (200 * NS_PER_MS)
#define SILENCE_NS (60 * NS_PER_S)
#define CONNECT_NS (20 * NS_PER_S)

struct sim_packet {
    struct sim_packet *next;
    int64_t due;
    bool fin;
    size_t n, at;
    uint8_t bytes[];
};
struct packets {
    struct sim_packet *head, *tail;
    size_t bytes;
};

struct sim_end {
    struct sim_conn *conn;
    struct sim *host;          /* whose it is; a later life of the host does not know it (closed) */
    struct io *io;
    struct io_sock *sock;      /* or NULL */
    struct io_op *op;          /* a connect or send that waits */
    struct io_addr addr;
    struct packets wire, here; /* on the way to this end; arrived and not read */
    int64_t silent_since;      /* the first packet on the wire is held back by a cut; 0 = not */
    struct io_event ready;
    bool ready_queued, open, connected, vanished /* without a word */, started, fin_sent, told_end, reset_on_close;
    int error;                 /* to be told: a negative errno */
};
struct sim_conn {
    struct sim_end end[2];     /* 0: who connected */
    struct sim_conn *prev, *next;
    int64_t since;             /* of the connect */
    unsigned refs;             /* events and callbacks that run */
};

struct sim_listen {
    struct sim_listen *next;
    struct sim *host;
    struct io *io;
    struct io_accept *accept;
    struct io_addr addr;
    bool accepting;
};

struct sim_dgram {
    struct sim_dgram *next;
    struct sim *host;
    struct io *io;
    struct io_dgram *d;
    struct io_addr addr;
};

static void *must(void *p)
{
    ASSERT(p);
    return p;
}

/* -- the heap of events ------------------------------------------------------------------------------------ */
static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->due < b->due || (a->due == b->due && a->seq < b->seq);
}

static void at(struct sim_world *w, int64_t due, void (*fn)(struct sim_world *w, void *arg), void *arg)
{
    if (w->nevents == w->cap_events) {
        w->cap_events = MAX(2 * w->cap_events, 64);
        w->events = must(realloc(w->events, w->cap_events * sizeof *w->events));
    }
    struct sim_event e = { due, w->seq++, fn, arg };
    size_t i = w->nevents++;
    for (; i > 0 && before(&e, &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        w->events[i] = w->events[(i - 1) / 2];
    w->events[i] = e;
}

static struct sim_event take_first(struct sim_world *w)
{
    struct sim_event first = w->events[0], last = w->events[--w->nevents];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < w->nevents; i = c) {
        if (c + 1 < w->nevents && before(&w->events[c + 1], &w->events[c])) c++;
        if (!before(&w->events[c], &last)) break;
        w->events[i] = w->events[c];
    }
    w->events[i] = last;
    return first;
}

int64_t sim_net_next_due(const struct sim_world *w)
{
    return w->nevents ? w->events[0].due : INT64_MAX;
}

void sim_net_run_due(struct sim_world *w)
{
    while (sim_net_next_due(w) <= w->now) {
        struct sim_event e = take_first(w);
        e.fn(w, e.arg);
    }
}

/* -- hosts and links ------------------------------------------------------------------------------------------ */
static int64_t latency(struct sim_world *w)
{
    return LATENCY_MIN_NS + (int64_t)prng_below(&w->random, LATENCY_MORE_NS);
}

static int64_t lateness(struct sim_world *w)
{
    return (int64_t)prng_below(&w->random, (uint64_t)(w->net.late_ns ? w->net.late_ns : NS_PER_S));
}

static bool is_cut(const struct sim_world *w, const struct sim *from, const struct sim *to)
{
    return w->cut && w->cut[from->index * SIM_HOSTS_MAX + to->index];
}

static uint32_t ip_of(const struct io_addr *a)
{
    const struct sockaddr_in *v4 = (const void *)a->bytes;
    return v4->sin_family == AF_INET ? ntohl(v4->sin_addr.s_addr) : 0;
}

static void set_addr(struct io_addr *a, uint32_t ip, uint16_t port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
    *a = (struct io_addr){ .n = sizeof v4 };
    memcpy(a->bytes, &v4, sizeof v4);
}

static uint32_t host_ip(const struct sim *s)
{
    return UINT32_C(10) << 24 | s->index / 250 << 8 | (s->index % 250 + 1);
}

enum { LOOPBACK = 0x7f000001 };

/* NULL: no such host. */
static struct sim *host_at(struct sim *from, const struct io_addr *a)
{
    uint32_t ip = ip_of(a);
    if (ip == LOOPBACK) return from;
    for (unsigned h = 0; h < from->world->nhosts; h++)
        if (host_ip(from->world->hosts[h]) == ip) return from->world->hosts[h];
    return NULL;
}

/* Does a socket bound to `bound` get what comes for `to`? */
static bool is_bound(const struct io_addr *bound, const struct io_addr *to)
{
    uint32_t ip = ip_of(bound), want = ip_of(to);
    if (io_addr_port(bound) != io_addr_port(to)) return false;
    return ip == 0 || ip == want;
}

static uint16_t free_port(struct sim_world *w)
{
    return (uint16_t)(EPHEMERAL + w->seq++ % (65536 - EPHEMERAL));
}

/* -- ends ------------------------------------------------------------------------------------------------------- */
static struct sim_end *peer_of(struct sim_end *e)
{
    return &e->conn->end[e == &e->conn->end[0]];
}

static void packets_put(struct packets *q, struct sim_packet *p)
{
    p->next = NULL;
    if (q->tail) q->tail->next = p;
    else q->head = p;
    q->tail = p;
    q->bytes += p->n;
}

static struct sim_packet *packets_take(struct packets *q)
{
    struct sim_packet *p = q->head;
    q->head = p->next;
    if (!q->head) q->tail = NULL;
    q->bytes -= p->n - p->at;
    return p;
}

static void packets_put_back(struct packets *q, struct sim_packet *p)
{
    p->next = q->head;
    q->head = p;
    if (!q->tail) q->tail = p;
    q->bytes += p->n - p->at;
}

static void packets_drop(struct packets *q)
{
    while (q->head)
        free(packets_take(q));
}

static void conn_put(struct sim_world *w, struct sim_conn *c)
{
    if (c->refs || c->end[0].open || c->end[1].open || c->end[0].ready_queued || c->end[1].ready_queued) return;
    for (unsigned i = 0; i < 2; i++) {
        packets_drop(&c->end[i].wire);
        packets_drop(&c->end[i].here);
    }
    if (c->prev) c->prev->next = c->next;
    else w->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    free(c);
}

static void complete(struct sim_end *e, int64_t result)
{
    struct io_op *op = e->op;
    if (!op) return;
    e->op = NULL;
    op->result = result;
    io_queue_push(&e->io->done, &op->event);
}

/* The reactor will look at what is here. */
static void tell(struct sim_end *e)
{
    if (!e->open || !e->started || e->ready_queued) return;
    e->ready_queued = true;
    io_queue_push(&e->io->done, &e->ready);
}

static void break_end(struct sim_end *e, int error)
{
    if (!e->open || e->error) return;
    e->error = error;
    packets_drop(&e->here);
    complete(e, error);
    tell(e);
}

/* -- packets ---------------------------------------------------------------------------------------------------- */
static void arrive(struct sim_world *w, void *arg);
static void try_send(struct sim_end *e);

/* The first packet on the wire to e is looked at then. */
static void schedule(struct sim_world *w, struct sim_end *e, int64_t due)
{
    e->conn->refs++;
    at(w, due, arrive, e);
}

static void put_on_wire(struct sim_end *to, struct sim_packet *p)
{
    struct sim_world *w = to->host->world;
    struct sim_packet *last = to->wire.tail;
    p->due = w->now + latency(w);
    if (sim_chance(w, w->net.slow, &w->net_stats.slow)) p->due += lateness(w);
    if (last) p->due = MAX(p->due, last->due);
    w->net_stats.packets++;
    packets_put(&to->wire, p);
    if (!last) schedule(w, to, p->due);
}

static void reset_arrives(struct sim_world *w, void *arg)
{
    struct sim_end *e = arg;
    struct sim_end *peer = peer_of(e);
    if (is_cut(w, peer->host, e->host)) {
        at(w, w->now + RETRANSMIT_NS, reset_arrives, e);
        return;
    }
    e->conn->refs--;
    packets_drop(&e->wire);
    break_end(e, -ECONNRESET);
    conn_put(w, e->conn);
}

static void send_reset(struct sim_world *w, struct sim_end *to)
{
    if (!to->open) return;
    to->conn->refs++;
    at(w, w->now + latency(w), reset_arrives, to);
}

/* What came to an end that is not there. */
static void nobody_here(struct sim_world *w, struct sim_end *e)
{
    packets_drop(&e->wire);
    if (!e->vanished || e->host->on) send_reset(w, peer_of(e));
}

/* Held back by a cut, or by silence: tried again, until the sender gives up. */
static void held(struct sim_world *w, struct sim_end *e)
{
    struct sim_end *sender = peer_of(e);
    w->net_stats.over_cuts++;
    if (!e->silent_since) e->silent_since = w->now;
    if (w->now - e->silent_since < SILENCE_NS && sender->open) {
        schedule(w, e, w->now + RETRANSMIT_NS);
        return;
    }
    packets_drop(&e->wire);
    w->net_stats.timeouts++;
    break_end(sender, -ETIMEDOUT);
}

static void arrive_here(struct sim_world *w, struct sim_end *e)
{
    struct sim *from = peer_of(e)->host;
    if (!e->wire.head) return;
    if (is_cut(w, from, e->host) || (!e->open && e->vanished && !e->host->on)) {
        held(w, e);
        return;
    }
    e->silent_since = 0;
    if (!e->open) {
        nobody_here(w, e);
        return;
    }
    if (sim_chance(w, w->net.reset, &w->net_stats.resets)) {
        packets_drop(&e->wire);
        break_end(e, -ECONNRESET);
        send_reset(w, peer_of(e));
        return;
    }
    while (e->wire.head && e->wire.head->due <= w->now)
        packets_put(&e->here, packets_take(&e->wire));
    if (e->wire.head) schedule(w, e, e->wire.head->due);
    tell(e);
}

static void arrive(struct sim_world *w, void *arg)
{
    struct sim_end *e = arg;
    arrive_here(w, e);
    e->conn->refs--;
    conn_put(w, e->conn);
}

/* One piece of what is here, of a size by the seed. False: nothing more for now. */
static bool deliver(struct sim_end *e)
{
    struct sim_world *w = e->host->world;
    struct io_sock *s = e->sock;
    if (!s || s->paused || e->told_end) return false;
    if (e->error) {
        e->told_end = s->recv_over = true;
        s->on_recv(s, NULL, e->error);
        return false;
    }
    struct sim_packet *p = e->here.head;
    if (!p) return false;
    if (p->fin) {
        free(packets_take(&e->here));
        e->told_end = s->recv_over = true;
        s->on_recv(s, NULL, 0);
        return false;
    }
    size_t n = p->n - p->at;
    if (n > 1 && prng_chance(&w->random, 0.25)) n = 1 + (size_t)prng_below(&w->random, n - 1);
    /* Off the queue: the callback may stop the socket, and what is here goes with it. */
    (void)packets_take(&e->here);
    s->on_recv(s, p->bytes + p->at, (int64_t)n);
    p->at += n;
    if (p->at == p->n || e->sock != s) free(p);
    else packets_put_back(&e->here, p);
    return true;
}

static void on_ready(struct io_event *event)
{
    struct sim_end *e = CONTAINER_OF(event, struct sim_end, ready);
    struct sim_world *w = e->host->world;
    e->ready_queued = false;
    e->conn->refs++;
    while (deliver(e)) {
    }
    if (peer_of(e)->open) try_send(peer_of(e));
    e->conn->refs--;
    conn_put(w, e->conn);
}

/* -- sending ------------------------------------------------------------------------------------------------------ */
static struct sim_packet *packet_of(const struct msghdr *m, size_t skip, size_t n)
{
    struct sim_packet *p = must(malloc(sizeof *p + n));
    *p = (struct sim_packet){ .n = n };
    size_t filled = 0;
    for (size_t i = 0; i < m->msg_iovlen && filled < n; i++) {
        const struct iovec *v = &m->msg_iov[i];
        if (skip >= v->iov_len) {
            skip -= v->iov_len;
            continue;
        }
        size_t part = MIN(v->iov_len - skip, n - filled);
        memcpy(p->bytes + filled, (const uint8_t *)v->iov_base + skip, part);
        filled += part;
        skip = 0;
    }
    return p;
}

static void try_send(struct sim_end *e)
{
    struct io_op *op = e->op;
    if (!op || op->kind != IO_SEND) return;
    struct sim_end *to = peer_of(e);
    const struct msghdr *m = op->buf;
    size_t all = 0, used = to->wire.bytes + to->here.bytes, room = used < WINDOW ? WINDOW - used : 0;
    for (size_t i = 0; i < m->msg_iovlen; i++)
        all += m->msg_iov[i].iov_len;
    size_t n = MIN(all, room);
    if (!n) return;
    for (size_t sent = 0; sent < n;) {
        size_t part = MIN(n - sent, (size_t)PACKET);
        put_on_wire(to, packet_of(m, sent, part));
        sent += part;
    }
    complete(e, (int64_t)n);
}

static struct sim_end *end_of(struct sim *s, int fd)
{
    struct sim_fd *f = io_sim_fd_of(s, fd);
    return f ? f->end : NULL;
}

void sim_net_send(struct sim *s, struct io_op *op)
{
    struct sim_end *e = end_of(s, op->sock->fd);
    ASSERT(e && !e->op);
    e->op = op;
    if (e->error) complete(e, e->error);
    else if (e->fin_sent) complete(e, -EPIPE);
    else try_send(e);
}

static void send_fin(struct sim_end *e)
{
    if (e->fin_sent || e->error) return;
    e->fin_sent = true;
    struct sim_packet *p = must(malloc(sizeof *p));
    *p = (struct sim_packet){ .fin = true };
    put_on_wire(peer_of(e), p);
}

/* -- closing -------------------------------------------------------------------------------------------------------- */
/* The side that had it lets go; the peer reads to the end, or is reset where something is left unread. */
static void close_end(struct sim_world *w, struct sim_end *e)
{
    bool unread = e->here.bytes > 0;
    complete(e, -ECANCELED);
    if (e->conn->end[1].io && (e->reset_on_close || unread)) send_reset(w, peer_of(e));
    else if (e->conn->end[1].io) send_fin(e);
    e->sock = NULL;
    e->open = false;
    packets_drop(&e->here);
}

void sim_net_sock_stop(struct io *io, struct io_sock *s)
{
    struct sim *host = sim_of_io(io);
    struct sim_fd *f = io_sim_fd_of(host, s->fd);
    ASSERT(f && f->end);
    struct sim_end *e = f->end;
    s->stopping = true;
    *f = (struct sim_fd){ .flags = 0 };
    s->fd = -1;
    e->conn->refs++;
    close_end(host->world, e);
    e->conn->refs--;
    conn_put(host->world, e->conn);
    io_queue_push(&io->done, &s->gone);
}

void sim_net_host_gone(struct sim *s, bool silently)
{
    struct sim_world *w = s->world;
    for (struct sim_conn *c = w->conns, *next; c; c = next) {
        next = c->next;
        c->refs++;
        for (unsigned i = 0; i < 2; i++) {
            struct sim_end *e = &c->end[i];
            if (e->host != s || !e->open) continue;
            e->op = NULL; /* its memory goes with the host */
            e->open = e->ready_queued = false;
            e->sock = NULL;
            e->vanished = silently;
            packets_drop(&e->here);
            if (!silently && c->end[1].io) send_reset(w, peer_of(e));
        }
        c->refs--;
        conn_put(w, c);
    }
    for (struct sim_listen *l; (l = s->listeners);) {
        s->listeners = l->next;
        free(l);
    }
    for (struct sim_dgram *d; (d = s->dgrams);) {
        s->dgrams = d->next;
        free(d);
    }
}

/* -- connecting ------------------------------------------------------------------------------------------------------- */
static err_t net_stream(struct io *io, const struct io_addr *a, int *fd)
{
    struct sim *s = sim_of_io(io);
    struct sim_world *w = s->world;
    (void)a;
    struct sim_conn *c = must(calloc(1, sizeof *c));
    c->end[0] = (struct sim_end){ .conn = c, .host = s, .io = io, .open = true, .ready.fn = on_ready };
    c->end[1] = (struct sim_end){ .conn = c, .ready.fn = on_ready };
    c->next = w->conns;
    if (c->next) c->next->prev = c;
    w->conns = c;
    set_addr(&c->end[0].addr, host_ip(s), free_port(w));
    *fd = io_sim_fd(s, (struct sim_fd){ .end = &c->end[0] });
    return OK;
}

struct arrival { /* of a connection at a listener: becomes an accepted socket in the listener's reactor */
    struct io_event event;
    struct sim_listen *listener;
    struct sim_conn *conn;
};

static void on_arrival(struct io_event *event)
{
    struct arrival *a = CONTAINER_OF(event, struct arrival, event);
    struct sim_listen *l = a->listener;
    struct sim_conn *c = a->conn;
    struct sim *s = sim_running();
    free(a);
    c->refs--;
    if (!l->accept || l->accept->stopping) {
        c->end[1].open = false;
        send_reset(s->world, &c->end[0]);
        conn_put(s->world, c);
        return;
    }
    l->accept->on_accept(l->accept, io_sim_fd(s, (struct sim_fd){ .end = &c->end[1] }));
}

/* One of those that listen there, by the seed; NULL: none. */
static struct sim_listen *listener_for(struct sim *s, const struct io_addr *to)
{
    unsigned n = 0;
    struct sim_listen *found = NULL;
    for (struct sim_listen *l = s->listeners; l; l = l->next)
        if (l->accepting && is_bound(&l->addr, to) && prng_below(&s->world->random, ++n) == 0) found = l;
    return found;
}

static void connect_ends(struct sim_world *w, void *arg)
{
    struct sim_conn *c = arg;
    struct sim_end *e = &c->end[0];
    c->refs--;
    e->connected = e->open && !e->error;
    if (e->open) complete(e, e->error);
    conn_put(w, c);
}

static void refuse(struct sim_world *w, struct sim_conn *c, int error, int64_t after)
{
    w->net_stats.refused++;
    c->end[0].error = error;
    c->refs++;
    at(w, w->now + after, connect_ends, c);
}

static void connect_arrives(struct sim_world *w, void *arg)
{
    struct sim_conn *c = arg;
    struct sim_end *e = &c->end[0], *to = &c->end[1];
    c->refs--;
    if (!e->open) {
        conn_put(w, c);
        return;
    }
    struct sim *s = host_at(e->host, &to->addr);
    if (!s || !s->on || is_cut(w, e->host, s) || is_cut(w, s, e->host)) {
        if (w->now - c->since > CONNECT_NS) {
            refuse(w, c, -ETIMEDOUT, 0);
        } else {
            c->refs++;
            at(w, w->now + NS_PER_S, connect_arrives, c);
        }
        return;
    }
    struct sim_listen *l = listener_for(s, &to->addr);
    if (!l) {
        refuse(w, c, -ECONNREFUSED, latency(w));
        return;
    }
    to->host = s;
    to->io = l->io;
    to->open = to->connected = true;
    struct arrival *a = must(calloc(1, sizeof *a));
    *a = (struct arrival){ .event.fn = on_arrival, .listener = l, .conn = c };
    c->refs += 2;
    io_queue_push(&l->io->done, &a->event);
    at(w, w->now + latency(w), connect_ends, c);
}

void sim_net_connect(struct sim *s, struct io_op *op)
{
    struct sim_end *e = end_of(s, op->sock->fd);
    ASSERT(e && !e->op);
    e->op = op;
    struct sim_end *to = peer_of(e);
    ASSERT(op->n <= sizeof to->addr.bytes);
    to->addr = (struct io_addr){ .n = (unsigned)op->n };
    memcpy(to->addr.bytes, op->buf, op->n);
    s->world->net_stats.connects++;
    e->conn->since = s->world->now;
    e->conn->refs++;
    at(s->world, s->world->now + latency(s->world), connect_arrives, e->conn);
}

/* -- receiving, accepting ------------------------------------------------------------------------------------------------ */
void sim_net_recv_start(struct io *io, struct io_sock *s)
{
    struct sim_end *e = end_of(sim_of_io(io), s->fd);
    ASSERT(e);
    e->sock = s;
    e->started = true;
    tell(e);
}

void sim_net_recv_pause(struct io *io, struct io_sock *s)
{
    (void)io;
    (void)s; /* deliver looks at s->paused */
}

void sim_net_recv_resume(struct io *io, struct io_sock *s)
{
    struct sim_end *e = end_of(sim_of_io(io), s->fd);
    if (e) tell(e);
}

static err_t net_listen(struct io *io, const struct io_addr *a, uint16_t *port, int *fd)
{
    struct sim *s = sim_of_io(io);
    struct sim_listen *l = must(calloc(1, sizeof *l));
    *port = io_addr_port(a) ? io_addr_port(a) : free_port(s->world);
    *l = (struct sim_listen){ .next = s->listeners, .host = s, .io = io };
    set_addr(&l->addr, ip_of(a), *port);
    s->listeners = l;
    *fd = io_sim_fd(s, (struct sim_fd){ .listener = l });
    return OK;
}

void sim_net_accept_start(struct io *io, struct io_accept *a)
{
    struct sim_fd *f = io_sim_fd_of(sim_of_io(io), a->fd);
    ASSERT(f && f->listener);
    f->listener->accept = a;
    f->listener->accepting = a->armed = true;
}

void sim_net_accept_stop(struct io *io, struct io_accept *a)
{
    struct sim_fd *f = io_sim_fd_of(sim_of_io(io), a->fd);
    ASSERT(f && f->listener);
    /* The listener's struct stays with its host: arrivals in the queue look at it. */
    f->listener->accepting = false;
    f->listener->accept = NULL;
    *f = (struct sim_fd){ .flags = 0 };
    a->stopping = true;
    a->fd = -1;
    io_queue_push(&io->done, &a->gone);
}

/* -- what is asked of sockets ----------------------------------------------------------------------------------------------- */
static int net_end_output(struct io *io, int fd)
{
    struct sim_end *e = end_of(sim_of_io(io), fd);
    if (!e || e->error) return -ENOTCONN;
    send_fin(e);
    return 0;
}

static void net_reset_on_close(struct io *io, int fd)
{
    struct sim_end *e = end_of(sim_of_io(io), fd);
    if (e) e->reset_on_close = true;
}

static bool net_settled(struct io *io, int fd)
{
    struct sim_end *e = end_of(sim_of_io(io), fd);
    return e && !peer_of(e)->wire.bytes;
}

static bool net_peer(struct io *io, int fd, struct io_addr *out)
{
    struct sim_end *e = end_of(sim_of_io(io), fd);
    if (!e || !e->connected) return false;
    *out = peer_of(e)->addr;
    return true;
}

static void net_close(struct io *io, int fd)
{
    struct sim *s = sim_of_io(io);
    struct sim_fd *f = io_sim_fd_of(s, fd);
    ASSERT(f && f->end);
    struct sim_end *e = f->end;
    *f = (struct sim_fd){ .flags = 0 };
    close_end(s->world, e);
    conn_put(s->world, e->conn);
}

/* -- datagrams ------------------------------------------------------------------------------------------------------------------ */
static err_t net_datagrams(struct io *io, const struct io_addr *a, uint16_t *port, struct io_dgram *d)
{
    struct sim *s = sim_of_io(io);
    struct io_addr bound;
    *port = io_addr_port(a) ? io_addr_port(a) : free_port(s->world);
    set_addr(&bound, ip_of(a), *port);
    for (struct sim_dgram *o = s->dgrams; o; o = o->next)
        if (io_addr_port(&o->addr) == *port) return err_set_errno(EADDRINUSE, "cannot bind to port %u", *port);
    struct sim_dgram *x = must(calloc(1, sizeof *x));
    *x = (struct sim_dgram){ .next = s->dgrams, .host = s, .io = io, .d = d, .addr = bound };
    s->dgrams = x;
    return OK;
}

struct datagram { /* on its way, then in the queue of its reactor */
    struct io_event event;
    unsigned from_host, to_host;
    struct io_addr from, to;
    struct io_dgram *d;
    size_t n;
    uint8_t bytes[];
};

static struct sim_dgram *dgram_for(struct sim *s, const struct io_addr *to)
{
    for (struct sim_dgram *x = s->dgrams; x; x = x->next)
        if (is_bound(&x->addr, to)) return x;
    return NULL;
}

static void on_datagram(struct io_event *event)
{
    struct datagram *g = CONTAINER_OF(event, struct datagram, event);
    const struct sim_dgram *x = dgram_for(sim_running(), &g->to); /* it may have been closed meanwhile */
    if (x && !x->d->stopping) x->d->on_datagram(x->d, &g->from, g->bytes, g->n);
    free(g);
}

static void datagram_arrives(struct sim_world *w, void *arg)
{
    struct datagram *g = arg;
    struct sim *from = w->hosts[g->from_host], *s = w->hosts[g->to_host];
    const struct sim_dgram *x = s->on && !is_cut(w, from, s) ? dgram_for(s, &g->to) : NULL;
    if (!x) {
        free(g);
        return;
    }
    g->event.fn = on_datagram;
    io_queue_push(&x->io->done, &g->event);
}

static void net_datagram_send(struct io *io, struct io_dgram *d, const struct io_addr *to, const uint8_t *bytes, size_t n)
{
    struct sim *s = sim_of_io(io), *there = host_at(s, to);
    struct sim_world *w = s->world;
    const struct sim_dgram *self = s->dgrams;
    while (self && self->d != d)
        self = self->next;
    w->net_stats.datagrams++;
    if (!there || !self || sim_chance(w, w->net.loss, &w->net_stats.lost)) return;
    unsigned copies = 1 + sim_chance(w, w->net.twice, &w->net_stats.twice);
    for (unsigned i = 0; i < copies; i++) {
        struct datagram *g = must(malloc(sizeof *g + n));
        *g = (struct datagram){ .from_host = s->index, .to_host = there->index, .to = *to, .n = n };
        set_addr(&g->from, ip_of(to) == LOOPBACK ? LOOPBACK : host_ip(s), io_addr_port(&self->addr));
        memcpy(g->bytes, bytes, n);
        int64_t due = w->now + latency(w);
        if (sim_chance(w, w->net.late, &w->net_stats.late)) due += lateness(w);
        at(w, due, datagram_arrives, g);
    }
}

static void net_datagram_stop(struct io *io, struct io_dgram *d)
{
    struct sim *s = sim_of_io(io);
    for (struct sim_dgram **p = &s->dgrams; *p; p = &(*p)->next) {
        if ((*p)->d != d) continue;
        struct sim_dgram *gone = *p;
        *p = gone->next;
        free(gone);
        break;
    }
    d->stopping = true;
    io_queue_push(&io->done, &d->gone);
}

void sim_net_deinit(struct sim_world *w)
{
    while (w->nevents) {
        struct sim_event e = take_first(w);
        if (e.fn == datagram_arrives) free(e.arg);
    }
    free(w->events);
    for (struct sim_conn *c; (c = w->conns);) {
        c->refs = 0;
        c->end[0].open = c->end[1].open = false;
        conn_put(w, c);
    }
}

const struct io_net sim_net_ops = {
    .listen = net_listen,
    .stream = net_stream,
    .end_output = net_end_output,
    .reset_on_close = net_reset_on_close,
    .settled = net_settled,
    .peer = net_peer,
    .close = net_close,
    .datagrams = net_datagrams,
    .datagram_send = net_datagram_send,
    .datagram_stop = net_datagram_stop,
};
