#include "base/net/tls.h"

#include "base/core/assert.h"
#include "base/core/metric.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD_MAX = 16 << 10,
    KEY_RECORDS = 1 << 22, /* written with one key; AES-GCM is good for 2^24.5 (RFC 8446, 5.5) */
};

struct tls {
    SSL_CTX *ctx;
    bool any_name;
};

struct tls_link {
    struct tls *t;
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    struct sock *s;
    const struct tls_user *u;
    void *user;
    bool heard, ready, over;
    uint32_t records; /* since the last key */
    uint8_t *early; /* to be sent after the handshake */
    size_t nearly;
};

/* -- key, certificate, authority --------------------------------------------------------------------------------- */
/* The oldest error of OpenSSL's queue, which is emptied. */
static const char *reason(void)
{
    unsigned long e = ERR_get_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    if (e && ERR_SYSTEM_ERROR(e)) text = strerror(ERR_GET_REASON(e)); /* no such file, ... */
    ERR_clear_error();
    return text ? text : "unknown reason";
}

static err_t load(SSL_CTX *ctx, const struct tls_opts *o)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
        return err_set(ERR_INVALID, "certificate %s: %s", o->cert_file, reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM) != 1)
        return err_set(ERR_INVALID, "private key %s: %s", o->key_file, reason());
    if (SSL_CTX_check_private_key(ctx) != 1)
        return err_set(ERR_INVALID, "private key %s is not that of certificate %s: %s", o->key_file, o->cert_file, reason());
    if (SSL_CTX_load_verify_file(ctx, o->ca_file) != 1)
        return err_set(ERR_INVALID, "certificate authority %s: %s", o->ca_file, reason());
    return OK;
}

err_t tls_new(const struct tls_opts *o, struct tls **out)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    ASSERT(ctx);
    ASSERT(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    ASSERT(SSL_CTX_set_num_tickets(ctx, 0) == 1); /* connections live long */
    err_t e = load(ctx, o);
    if (e != OK) {
        SSL_CTX_free(ctx);
        return e;
    }
    struct tls *t = malloc(sizeof *t);
    ASSERT(t);
    *t = (struct tls){ ctx, o->any_name };
    *out = t;
    return OK;
}

void tls_free(struct tls *t)
{
    if (!t) return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* -- one connection ------------------------------------------------------------------------------------------------ */
/* What OpenSSL has written goes to the socket. */
static void flush(struct tls_link *l)
{
    char *p;
    long n = BIO_get_mem_data(l->out, &p);
    if (n <= 0) return;
    sock_send(l->s, p, (size_t)n);
    (void)BIO_reset(l->out);
}

static void fail(struct tls_link *l)
{
    char why[256];
    long verify = SSL_get_verify_result(l->ssl);
    const char *text = reason();
    if (verify != X509_V_OK) snprintf(why, sizeof why, "TLS: %s: %s", text, X509_verify_cert_error_string(verify));
    else snprintf(why, sizeof why, "TLS: %s", text);
    flush(l);
    l->over = true;
    metric_add(M_RPC_TLS_FAILED, 1);
    l->u->failed(l->user, why);
}

static void encrypt(struct tls_link *l, const void *p, size_t n)
{
    ERR_clear_error();
    size_t written;
    l->records += (uint32_t)(1 + n / RECORD_MAX);
    if (l->records > KEY_RECORDS && SSL_key_update(l->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1) l->records = 0;
    if (SSL_write_ex(l->ssl, p, n, &written) == 1 && written == n) {
        flush(l);
        return;
    }
    /* The sender is not to hear of it in the midst of its sending. */
    l->over = true;
    metric_add(M_RPC_TLS_FAILED, 1);
    sock_abort(l->s);
}

static void handshake(struct tls_link *l)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(l->ssl);
    if (rc != 1 && SSL_get_error(l->ssl, rc) != SSL_ERROR_WANT_READ) {
        fail(l);
        return;
    }
    flush(l);
    if (rc != 1) return;
    l->ready = true;
    if (!l->early) return;
    encrypt(l, l->early, l->nearly);
    free(l->early);
    l->early = NULL;
}

static void decrypt(struct tls_link *l)
{
    static _Thread_local uint8_t room[RECORD_MAX]; /* callbacks of one reactor come one after the other */
    while (!l->over && !sock_closing(l->s)) {
        size_t n;
        ERR_clear_error();
        int rc = SSL_read_ex(l->ssl, room, sizeof room, &n);
        if (rc == 1) {
            l->u->plain(l->user, room, n);
            continue;
        }
        int e = SSL_get_error(l->ssl, rc);
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_ZERO_RETURN) fail(l);
        return;
    }
}

void tls_feed(struct tls_link *l, const uint8_t *bytes, size_t n)
{
    if (l->over) return;
    if (!l->heard && !tls_is_record(bytes, n)) {
        l->over = true;
        l->u->not_tls(l->user, bytes, n);
        return;
    }
    l->heard = true;
    ASSERT(n <= INT32_MAX && BIO_write(l->in, bytes, (int)n) == (int)n);
    if (!l->ready) handshake(l);
    if (l->ready && !l->over) decrypt(l);
}

void tls_send(struct tls_link *l, const void *p, size_t n)
{
    if (l->over || !n) return;
    if (l->ready) {
        encrypt(l, p, n);
        return;
    }
    if (n > TLS_EARLY_MAX - l->nearly) return;
    if (!l->early) l->early = malloc(TLS_EARLY_MAX);
    ASSERT(l->early);
    memcpy(l->early + l->nearly, p, n);
    l->nearly += n;
}

void tls_send_ref(struct tls_link *l, const void *p, size_t n, void (*done)(void *arg), void *arg)
{
    tls_send(l, p, n);
    sock_send_ref(l->s, "", 0, done, arg); /* behind them */
}

void tls_close(struct tls_link *l)
{
    if (l->ready && !l->over) {
        ERR_clear_error();
        (void)SSL_shutdown(l->ssl);
        flush(l);
    }
    l->over = true;
    sock_close(l->s);
}

struct sock *tls_sock(const struct tls_link *l)
{
    return l->s;
}

struct tls_link *tls_link_new(struct tls *t, bool server, struct sock *s, const struct tls_user *u, void *user)
{
    struct tls_link *l = calloc(1, sizeof *l);
    ASSERT(l);
    *l = (struct tls_link){ .t = t, .s = s, .u = u, .user = user };
    l->ssl = SSL_new(t->ctx);
    l->in = BIO_new(BIO_s_mem());
    l->out = BIO_new(BIO_s_mem());
    ASSERT(l->ssl && l->in && l->out);
    BIO_set_mem_eof_return(l->in, -1);
    SSL_set_bio(l->ssl, l->in, l->out);
    if (server) {
        SSL_set_accept_state(l->ssl);
    } else {
        SSL_set_connect_state(l->ssl);
        handshake(l);
    }
    return l;
}

void tls_link_free(struct tls_link *l)
{
    if (!l) return;
    SSL_free(l->ssl);
    free(l->early);
    free(l);
}

/* -- names --------------------------------------------------------------------------------------------------------- */
err_t tls_check_node(const struct tls_link *l, uint64_t node)
{
    char name[32], subject[160] = "no certificate";
    X509 *cert = SSL_get1_peer_certificate(l->ssl);
    snprintf(name, sizeof name, "node-%016" PRIx64, node);
    bool named = cert && (l->t->any_name || X509_check_host(cert, name, strlen(name), X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1);
    if (cert) X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof subject);
    X509_free(cert);
    if (named) return OK;
    metric_add(M_RPC_TLS_FAILED, 1);
    return err_set(ERR_FORBIDDEN, "the certificate does not name '%s', but: %s", name, subject);
}
