/* What carries the bytes of a connection (struct rpc_io): a socket, or TLS over one. Peers that speak the one where the other is wanted
 * are told so, in frames without TLS, on both sides. */
#include "base/core/assert.h"
#include "base/net/rpc_conn.h"

/* -- plain sockets --------------------------------------------------------------------------------------------- */
static void plain_send(void *link, const void *p, size_t n)
{
    sock_send(link, p, n);
}

static void plain_send_ref(void *link, const void *p, size_t n, void (*done)(void *arg), void *arg)
{
    sock_send_ref(link, p, n, done, arg);
}

static size_t plain_unsent(void *link)
{
    return sock_unsent(link);
}

static bool plain_closing(void *link)
{
    return sock_closing(link);
}

static void plain_pause(void *link)
{
    sock_pause_recv(link);
}

static void plain_resume(void *link)
{
    sock_resume_recv(link);
}

static void plain_close(void *link)
{
    sock_close(link);
}

static void plain_abort(void *link)
{
    sock_abort(link);
}

static const struct rpc_io plain_io = { plain_send, plain_send_ref, plain_unsent, plain_closing,
                                        plain_pause, plain_resume, plain_close, plain_abort };

/* -- TLS ------------------------------------------------------------------------------------------------------- */
static void secure_send(void *link, const void *p, size_t n)
{
    tls_send(link, p, n);
}

static void secure_send_ref(void *link, const void *p, size_t n, void (*done)(void *arg), void *arg)
{
    tls_send_ref(link, p, n, done, arg);
}

static size_t secure_unsent(void *link)
{
    return sock_unsent(tls_sock(link));
}

static bool secure_closing(void *link)
{
    return sock_closing(tls_sock(link));
}

static void secure_pause(void *link)
{
    sock_pause_recv(tls_sock(link));
}

static void secure_resume(void *link)
{
    sock_resume_recv(tls_sock(link));
}

static void secure_close(void *link)
{
    tls_close(link);
}

static void secure_abort(void *link)
{
    sock_abort(tls_sock(link));
}

static const struct rpc_io tls_io = { secure_send, secure_send_ref, secure_unsent, secure_closing,
                                      secure_pause, secure_resume, secure_close, secure_abort };

static void on_plain(void *user, const uint8_t *bytes, size_t n)
{
    rpc_conn_feed(user, bytes, n);
}

static void on_failed(void *user, const char *why)
{
    rpc_conn_down(user, true, ERR_FORBIDDEN, why);
}

/* To a caller without TLS we speak as it does, once. What a server says without TLS is heard if it is a refusal. */
static void on_not_tls(void *user, const uint8_t *bytes, size_t n)
{
    struct rpc_conn *c = user;
    c->io = &plain_io;
    c->link = tls_sock(c->tls);
    if (c->role->server) {
        rpc_conn_down(c, true, ERR_FORBIDDEN, "the caller speaks without TLS, this node takes calls with TLS only");
    } else {
        c->refusal_only = true;
        rpc_conn_feed(c, bytes, n);
    }
}

static const struct tls_user tls_user = { on_plain, on_failed, on_not_tls };

/* -- both ------------------------------------------------------------------------------------------------------ */
void rpc_link_open(struct rpc_conn *c, struct sock *s, struct tls *tls)
{
    c->io = &plain_io;
    c->link = s;
    c->tls = NULL;
    if (tls) {
        c->tls = tls_link_new(tls, c->role->server, s, &tls_user, c);
        c->io = &tls_io;
        c->link = c->tls;
    }
    rpc_conn_begin(c);
}

void rpc_link_on_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    struct rpc_conn *c = sock_user(s);
    if (c->state == RPC_DOWN) return;
    if (c->tls && !c->refusal_only) {
        tls_feed(c->tls, bytes, n);
    } else if (!c->tls && c->state == RPC_GREETING && !c->spoke && n > 1 && tls_is_record(bytes, n)) {
        rpc_conn_down(c, true, ERR_FORBIDDEN, "one side speaks TLS, and the other is without; both need the same settings");
    } else {
        rpc_conn_feed(c, bytes, n);
    }
}

void rpc_link_on_eof(struct sock *s)
{
    rpc_conn_down(sock_user(s), false, ERR_UNAVAILABLE, "the other side closed the connection");
}

void rpc_link_on_drained(struct sock *s)
{
    rpc_conn_drained(sock_user(s));
}

void rpc_link_gone(struct rpc_conn *c, int os_errno)
{
    rpc_conn_ended(c, os_errno);
    tls_link_free(c->tls);
    c->tls = NULL;
}
