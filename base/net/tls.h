/* TLS 1.3 between nodes, both with certificates: OpenSSL over memory BIOs, laid between a socket and what reads and writes it.
 *
 * struct tls holds key, certificate and authority, read once by tls_new (it blocks: before the reactors, or offloaded); all reactors use
 * it. struct tls_link is one connection's, of the socket's reactor. Handshakes run in the socket's callbacks, 0.3 to 2 ms of CPU;
 * encrypting also on fibers (it needs little stack).
 *
 * A node's certificate is one that the authority signed and that names it: node-<id, 16 hex digits> as a DNS name of
 * subjectAltName, or as the subject's CN where it has none (RFC 6125). */
#ifndef BASE_NET_TLS_H
#define BASE_NET_TLS_H

#include "base/rt/sock.h"

struct tls;
struct tls_opts {
    const char *cert_file, *key_file, *ca_file; /* PEM; cert_file: with its chain behind it */
    bool any_name; /* whoever the authority signed is who it says: one certificate for all nodes */
};
/* ERR_INVALID names the file and what is wrong with it. */
MUST_CHECK err_t tls_new(const struct tls_opts *o, struct tls **out);
void tls_free(struct tls *t); /* after its last link */

struct tls_link;
struct tls_user {
    void (*plain)(void *user, const uint8_t *bytes, size_t n); /* decrypted; borrowed during the call */
    /* It is of no use any more; an alert is on its way to the peer. Then nothing but tls_close or tls_abort. */
    void (*failed)(void *user, const char *why);
    /* The peer's first bytes are no TLS; nothing was taken of them. */
    void (*not_tls)(void *user, const uint8_t *bytes, size_t n);
};
/* Does a record begin so: a type of 20 to 23, then 3, a version's first byte (RFC 8446, 5.1)? */
static inline bool tls_is_record(const uint8_t *p, size_t n) { return p[0] >= 20 && p[0] <= 23 && (n < 2 || p[1] == 3); }

/* Over s, whose ops stay the caller's. A client begins its handshake. */
struct tls_link *tls_link_new(struct tls *t, bool server, struct sock *s, const struct tls_user *u, void *user);
void tls_link_free(struct tls_link *l); /* after s is closed, or l is not used with it any more */
void tls_feed(struct tls_link *l, const uint8_t *bytes, size_t n); /* as they came from s */
/* Encrypts; before the handshake is over it keeps at most TLS_EARLY_MAX bytes and drops what is over. */
enum { TLS_EARLY_MAX = 4096 };
void tls_send(struct tls_link *l, const void *p, size_t n);
/* done(arg) is called by the loop when the bytes are sent or dropped; p is not used after this call. */
void tls_send_ref(struct tls_link *l, const void *p, size_t n, void (*done)(void *arg), void *arg);
void tls_close(struct tls_link *l); /* says so to the peer, flushes */
struct sock *tls_sock(const struct tls_link *l);
/* After the handshake: does the peer's certificate name this node? OK, or ERR_FORBIDDEN with whom it names. */
MUST_CHECK err_t tls_check_node(const struct tls_link *l, uint64_t node);

#endif
