/* Stream sockets on the running reactor: callbacks only, no fiber, and no buffer for an idle connection.
 *
 * Life of a socket: sock_listen hands accepted sockets to on_accept, which sets s->ops and s->user (or
 * aborts the socket). From then on the reactor calls ops->on_data with bytes that are borrowed only
 * during the call (a shared receive buffer). Output is queued with sock_send (copied) or sock_send_ref (borrowed
 * until its done callback) and leaves once a turn of the reactor: many small sends in one turn
 * are one system call. ops->on_closed is called exactly once, always from the reactor's loop and never from inside a
 * sock_* call, after which the socket's memory is gone. No other callback comes after it.
 *
 * Everything here is for the reactor that owns the socket, from callbacks or fibers alike; nothing
 * yields. TCP_NODELAY is always on. In the simulator there is no network: sock_listen and
 * sock_connect answer ERR_UNAVAILABLE. */
#ifndef BASE_RT_SOCK_H
#define BASE_RT_SOCK_H

#include "base/rt/rt.h"

struct sock;

struct sock_ops {
    /* n > 0 bytes came. The callback may send, pause, close or abort. */
    void (*on_data)(struct sock *s, const uint8_t *bytes, size_t n);
    /* The peer will send no more (it may still read). NULL = sock_close, which flushes our output first. */
    void (*on_eof)(struct sock *s);
    /* The queue of unsent output fell below SOCK_LOW_WATER after having been above
     * SOCK_HIGH_WATER (see sock_send). May be NULL. */
    void (*on_drained)(struct sock *s);
    /* The end: os_errno 0 = orderly (our close, or the peer's), else the errno of the failure (ECONNRESET,
     * EPIPE, ECANCELED for sock_abort, ...). Release s->user here. */
    void (*on_closed)(struct sock *s, int os_errno);
};

enum { SOCK_LOW_WATER = 64 << 10, SOCK_HIGH_WATER = 1 << 20 };

/* Only these fields are for users; the rest of the struct is private to sock.c. */
struct sock_head {
    const struct sock_ops *ops;
    void *user;
};
static inline struct sock_head *sock_head(struct sock *s) { return (struct sock_head *)s; }
static inline void sock_set(struct sock *s, const struct sock_ops *ops, void *user)
{
    sock_head(s)->ops = ops;
    sock_head(s)->user = user;
}
static inline void *sock_user(struct sock *s) { return sock_head(s)->user; }

/* -- listening ------------------------------------------------------------------------------------ */
struct sock_listener;
/* Called for every accepted connection: must call sock_set, or sock_abort (on_closed is then optional). */
typedef void sock_accept_fn(struct sock *s, void *ctx);
/* Listens on addr:port on the running reactor with SO_REUSEPORT; every reactor that is to
 * take connections calls it with the same address (port 0: the first picks, sock_listener_port tells the others).
 * ERR_INVALID: not a numeric IPv4/IPv6 address. ERR_IO names the address and the reason (in use by
 * another program, no permission, ...). */
MUST_CHECK err_t sock_listen(const char *addr, uint16_t port, sock_accept_fn *on_accept, void *ctx,
                             struct sock_listener **out);
/* ERR_IO when somebody listens on addr:port already. SO_REUSEPORT would let two programs of one user share a port
 * without a word: ask before the first sock_listen of a process. Blocks for a moment; no reactor needed. */
MUST_CHECK err_t sock_port_free(const char *addr, uint16_t port);
uint16_t sock_listener_port(const struct sock_listener *l);
/* No on_accept comes after this call. The listener's memory is released later by the loop. */
void sock_listener_close(struct sock_listener *l);

/* -- one socket ------------------------------------------------------------------------------------- */
/* Queues a copy. Never fails in place: on a closing socket the bytes are dropped, and a
 * broken connection is told by on_closed. Callers bound their output by sock_unsent(): stop producing above
 * SOCK_HIGH_WATER and go on at on_drained. */
void sock_send(struct sock *s, const void *bytes, size_t n);
/* Queues without a copy: bytes stay valid until done(arg) is called (from the loop: sent, or dropped because the
 * socket closed; always before on_closed). done may be NULL for static bytes. */
void sock_send_ref(struct sock *s, const void *bytes, size_t n, void (*done)(void *arg), void *arg);
size_t sock_unsent(const struct sock *s); /* bytes queued and not yet taken by the kernel */
/* Back-pressure: after pause no on_data comes, within the callback's own call included, until resume. Bytes
 * received meanwhile by the kernel for us (at most one receive pool) are kept and delivered first. A paused socket
 * does not notice that its peer is gone. */
void sock_pause_recv(struct sock *s);
void sock_resume_recv(struct sock *s);
bool sock_closing(const struct sock *s); /* sock_close or sock_abort was called, or the connection broke */
/* Orderly: no more on_data; output is flushed (at most 30 s without progress), then FIN, then on_closed. */
void sock_close(struct sock *s);
/* The same without waiting for the peer's end: for a connection on which nothing is owed either way. What the peer sends all
 * the same is answered by a reset, which would take output with it that is still on its way: ask sock_settled before. */
void sock_close_idle(struct sock *s);
/* The peer's kernel has acknowledged all that was sent, and nothing waits to be. */
bool sock_settled(const struct sock *s);
/* At once: output is dropped. on_closed follows at a later turn. */
void sock_abort(struct sock *s);
/* "127.0.0.1:4317" or "[::1]:4317" of the peer into to (>= SOCK_NAME_MAX bytes). */
enum { SOCK_NAME_MAX = 64 };
void sock_peer_name(struct sock *s, char *to);

/* Opens a connection: ops->on_data and so on work at once, sends are queued until it stands; a failure to connect is
 * on_closed with its errno. ERR_INVALID: not a numeric address. */
MUST_CHECK err_t sock_connect(const char *addr, uint16_t port, const struct sock_ops *ops, void *user,
                              struct sock **out);

/* -- blocking in a fiber (tests, node RPC) ------------------------------------------------------------ *
 * A tcp is a sock with a receive queue of at most 256 KiB. All waits observe cancel and deadline. */
struct tcp;
MUST_CHECK err_t tcp_connect(const char *addr, uint16_t port, struct tcp **out) MAY_YIELD;
/* Queues a copy; waits only while more than SOCK_HIGH_WATER bytes are unsent. */
MUST_CHECK err_t tcp_send(struct tcp *t, const void *bytes, size_t n) MAY_YIELD;
/* At least one byte and at most n; *got = 0 at the end of the stream. */
MUST_CHECK err_t tcp_recv(struct tcp *t, void *to, size_t n, size_t *got) MAY_YIELD;
/* Exactly n bytes; a stream that ends before is ERR_IO. */
MUST_CHECK err_t tcp_recv_all(struct tcp *t, void *to, size_t n) MAY_YIELD;
void tcp_close(struct tcp *t) MAY_YIELD; /* flushes, waits for on_closed; ignores cancel */

#endif
