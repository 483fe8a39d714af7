/* Pushes and pulls of all claims: one frame each way over a connection that is closed then. Who connects sends first; who is
 * connected to takes that, and answers with its own. Callbacks alone, no fiber.
 *
 *     out:  frame sent -> answer comes, taken -> closed
 *     in:   frame comes, taken -> answer sent -> closed
 * Whatever else happens (garbage, a frame too long, STREAM_NS over) is an abort; a packet that cannot be opened is answered by a refusal. */
#include "base/core/buf.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/swim_io_in.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 4 };
#define STREAM_NS (10 * NS_PER_S)

struct swim_stream {
    struct swim_io *io;
    struct sock *sock;
    struct swim_stream *prev, *next;
    struct timer timer;
    struct io_addr peer;
    bool out, done;
    uint8_t length[LENGTH_BYTES];
    uint32_t nlength;
    uint8_t *bytes; /* of the frame that comes */
    uint32_t n, want;
};

static void frame_send(struct swim_stream *st, const uint8_t *packet, size_t n)
{
    uint32_t length = (uint32_t)n;
    sock_send(st->sock, &length, LENGTH_BYTES);
    sock_send(st->sock, packet, n);
}

static void state_send(struct swim_stream *st)
{
    struct buf body;
    buf_init(&body, SWIM_FRAME_MAX - SWIM_HEAD_BYTES - SWIM_TAG_BYTES, NULL);
    swim_state(st->io->swim, &body);
    uint8_t *packet = malloc(body.n + SWIM_HEAD_BYTES + SWIM_TAG_BYTES);
    ASSERT(packet && !body.failed); /* SWIM_MEMBERS_MAX claims fit */
    frame_send(st, packet, swim_io_seal(st->io, (const uint8_t *)body.p, body.n, packet));
    free(packet);
    buf_deinit(&body);
}
_Static_assert(SWIM_MEMBERS_MAX * SWIM_CLAIM_MAX + SWIM_MESSAGE_MAX <= SWIM_FRAME_MAX - SWIM_HEAD_BYTES - SWIM_TAG_BYTES,
               "all claims fit into a frame");

static void whole(struct swim_stream *st)
{
    struct swim_io *io = st->io;
    struct swim_head h;
    size_t n = 0;
    uint8_t *body = malloc(st->n);
    ASSERT(body);
    enum swim_refusal why = swim_seal_open(&io->seal, st->bytes, st->n, &h, body, &n);
    if (why != SWIM_TAKEN) {
        uint8_t refusal[SWIM_HEAD_BYTES + 1];
        swim_io_refused(io, &st->peer, why, false);
        if (!st->out && why != SWIM_MALFORMED) frame_send(st, refusal, swim_refusal_put(&io->seal, &io->head, why, refusal));
    } else if (!swim_io_told(io, &st->peer, &h, body, n) && swim_receive(io->swim, rt_now(), &st->peer, &h, body, n)) {
        st->done = true;
        if (!st->out) state_send(st);
    }
    free(body);
    sock_close(st->sock);
    swim_io_after(io);
}

static void on_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    struct swim_stream *st = sock_user(s);
    while (n && st->nlength < LENGTH_BYTES) {
        st->length[st->nlength++] = *bytes++;
        n--;
    }
    if (st->nlength < LENGTH_BYTES) return;
    if (!st->bytes) {
        memcpy(&st->want, st->length, LENGTH_BYTES);
        if (st->want < SWIM_HEAD_BYTES || st->want > SWIM_FRAME_MAX) {
            swim_io_refused(st->io, &st->peer, SWIM_MALFORMED, false);
            sock_abort(s);
            return;
        }
        st->bytes = malloc(st->want);
        ASSERT(st->bytes);
    }
    n = MIN(n, st->want - st->n);
    memcpy(st->bytes + st->n, bytes, n);
    st->n += (uint32_t)n;
    if (st->n == st->want) whole(st);
}

static void on_closed(struct sock *s, int os_errno)
{
    struct swim_stream *st = sock_user(s);
    struct swim_io *io = st->io;
    timer_disarm(&st->timer);
    if (st->out) metric_add(st->done ? M_SWIM_SYNCS : M_SWIM_SYNCS_FAILED, 1);
    if (st->out && !st->done) {
        char name[IO_ADDR_NAME_MAX];
        io_addr_name(&st->peer, name, sizeof name);
        log_debug("gossip.sync", "peer=%s exchange of states failed: %s", name, os_errno ? strerrordesc_np(os_errno) : "it ended early");
    }
    if (st->prev) st->prev->next = st->next;
    else io->streams = st->next;
    if (st->next) st->next->prev = st->prev;
    if (st->out) io->streams_out--;
    else io->streams_in--;
    gate_leave(&io->streams_gate);
    free(st->bytes);
    free(st);
}

static const struct sock_ops stream_ops = { .on_data = on_data, .on_closed = on_closed };

static void on_late(struct timer *t)
{
    sock_abort(CONTAINER_OF(t, struct swim_stream, timer)->sock);
}

static struct swim_stream *stream_new(struct swim_io *io, bool out)
{
    struct swim_stream *st = calloc(1, sizeof *st);
    ASSERT(st);
    st->io = io;
    st->out = out;
    return st;
}

static void stream_run(struct swim_stream *st)
{
    struct swim_io *io = st->io;
    ASSERT(gate_enter(&io->streams_gate)); /* nobody starts one once it is closed */
    st->next = io->streams;
    if (st->next) st->next->prev = st;
    io->streams = st;
    if (st->out) io->streams_out++;
    else io->streams_in++;
    timer_arm(&st->timer, mono_add(rt_now(), STREAM_NS), on_late);
}

/* "10.0.0.1", "::1" and the port out of an address. */
static uint16_t host_of(const struct io_addr *a, char *host, size_t n)
{
    char name[IO_ADDR_NAME_MAX];
    io_addr_name(a, name, sizeof name);
    bool v6 = name[0] == '[';
    char *end = strrchr(name, v6 ? ']' : ':');
    ASSERT(end && (size_t)(end - name) < n);
    *end = 0;
    memcpy(host, name + v6, strlen(name + v6) + 1);
    return io_addr_port(a);
}

void swim_stream_start(struct swim_io *io, const struct io_addr *with)
{
    char host[IO_ADDR_NAME_MAX];
    if (io->streams_out == STREAMS_OUT_MAX) {
        metric_add(M_SWIM_STREAMS_REFUSED, 1);
        return;
    }
    struct swim_stream *st = stream_new(io, true);
    uint16_t port = host_of(with, host, sizeof host);
    st->peer = *with;
    if (sock_connect(host, port, &stream_ops, st, &st->sock) != OK) {
        metric_add(M_SWIM_SYNCS_FAILED, 1);
        free(st);
        return;
    }
    stream_run(st);
    state_send(st);
}

static void peer_of(struct sock *s, struct io_addr *out)
{
    char name[SOCK_NAME_MAX];
    uint64_t port = 0;
    *out = (struct io_addr){ 0 };
    sock_peer_name(s, name);
    char *colon = strrchr(name, ':');
    if (!colon || !str_to_u64(str_of(colon + 1), &port)) return;
    *colon = 0;
    char *host = name;
    if (host[0] == '[') {
        host++;
        host[strlen(host) - 1] = 0;
    }
    if (io_addr_parse(host, (uint16_t)port, out) != OK) *out = (struct io_addr){ 0 };
}

void swim_stream_accept(struct sock *s, void *ctx)
{
    struct swim_io *io = ctx;
    if (io->streams_in == STREAMS_IN_MAX) {
        metric_add(M_SWIM_STREAMS_REFUSED, 1);
        sock_abort(s);
        return;
    }
    struct swim_stream *st = stream_new(io, false);
    st->sock = s;
    peer_of(s, &st->peer);
    sock_set(s, &stream_ops, st);
    stream_run(st);
}

void swim_streams_abort(struct swim_io *io)
{
    for (struct swim_stream *st = io->streams; st; st = st->next)
        sock_abort(st->sock);
    gate_close(&io->streams_gate);
}
