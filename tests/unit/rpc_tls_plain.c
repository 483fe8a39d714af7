/* Calls between nodes with TLS: keys and certificates made here; bodies of all sizes, in order and in a simulated world that cuts records
 * anywhere; and all that is refused, with what is said on both sides: another authority, a name of another node, one side without TLS. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/rpc.h"
#include "base/net/tls.h"
#include "base/rt/sim.h"
#include "tests/unit/check.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 7947, DAYS = 86400 };

static char dir[] = "/tmp/rpc_tls_XXXXXX";
static struct rpc_hello hello_of(uint64_t node)
{
    return (struct rpc_hello){ "blue", node, 1, 1, 1 };
}

/* -- certificates ---------------------------------------------------------------------------------------------- */
struct signer {
    EVP_PKEY *key;
    X509 *cert;
};

static const char *file(const char *name, const char *what)
{
    static char paths[4][128];
    static unsigned at;
    char *p = paths[at++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s.%s", dir, name, what);
    return p;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(ext && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

/* NAME.crt and NAME.key, signed by `by` (NULL: by itself, an authority). san: or NULL. */
static struct signer make(const char *name, const char *cn, const char *san, const struct signer *by)
{
    struct signer me = { EVP_EC_gen("P-256"), X509_new() };
    static long serial;
    CHECK(me.key && me.cert && X509_set_version(me.cert, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(me.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(me.cert), -DAYS);
    X509_gmtime_adj(X509_getm_notAfter(me.cert), 10L * DAYS);
    X509_set_pubkey(me.cert, me.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(me.cert), "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509 *issuer = by ? by->cert : me.cert;
    X509_set_issuer_name(me.cert, X509_get_subject_name(issuer));
    if (!by) extend(me.cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    if (san) extend(me.cert, issuer, NID_subject_alt_name, san);
    CHECK(X509_sign(me.cert, by ? by->key : me.key, EVP_sha256()) > 0);
    FILE *f = fopen(file(name, "crt"), "w");
    CHECK(f && PEM_write_X509(f, me.cert) == 1 && fclose(f) == 0);
    f = fopen(file(name, "key"), "w");
    CHECK(f && PEM_write_PrivateKey(f, me.key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    return me;
}

static void forget(struct signer s)
{
    EVP_PKEY_free(s.key);
    X509_free(s.cert);
}

static struct tls *tls_of(const char *name, const char *ca, bool any_name)
{
    struct tls *t;
    struct tls_opts o = { file(name, "crt"), file(name, "key"), file(ca, "crt"), any_name };
    CHECK(tls_new(&o, &t) == OK);
    return t;
}

static struct tls *one, *two, *two_cn, *stranger, *shared;

static void make_all(void)
{
    CHECK(mkdtemp(dir));
    struct signer ca = make("ca", "authority", NULL, NULL), other = make("other", "another authority", NULL, NULL);
    forget(make("one", "x", "DNS:node-0000000000000001,DNS:elsewhere", &ca));
    forget(make("two", "x", "DNS:node-0000000000000002", &ca));
    forget(make("two_cn", "node-0000000000000002", NULL, &ca));
    forget(make("stranger", "x", "DNS:node-0000000000000002", &other));
    forget(make("shared", "all nodes", NULL, &ca));
    forget(ca);
    forget(other);
    one = tls_of("one", "ca", false);
    two = tls_of("two", "ca", false);
    two_cn = tls_of("two_cn", "ca", false);
    stranger = tls_of("stranger", "ca", false);
    shared = tls_of("shared", "ca", true);
}

static void files(void)
{
    struct tls *t;
    struct tls_opts o = { file("none", "crt"), file("one", "key"), file("ca", "crt") };
    CHECK(tls_new(&o, &t) == ERR_INVALID && strstr(err_detail(), "none.crt: No such file"));
    o.cert_file = file("two", "crt");
    CHECK(tls_new(&o, &t) == ERR_INVALID && strstr(err_detail(), "one.key"));
    o.key_file = file("two", "key");
    o.ca_file = file("none", "crt");
    CHECK(tls_new(&o, &t) == ERR_INVALID && strstr(err_detail(), "none.crt"));
}

/* -- calls ----------------------------------------------------------------------------------------------------- */
static err_t echo(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    (void)ctx;
    buf_str(answer, rq->body);
    return fiber_sleep(NS_PER_MS / 10);
}

static err_t call_n(struct rpc_peer *p, size_t n)
{
    struct buf answer;
    uint8_t *body = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        body[i] = (uint8_t)(i * 7 + i / 256);
    buf_init(&answer, 64 << 20, NULL);
    struct rpc_call c = { .class = RT_INGEST, .body = str_n(body, n), .answer_max = 64 << 20 };
    c.deadline = mono_add(rt_now(), 20 * NS_PER_S);
    err_t e = rpc_call(p, &c, &answer);
    if (e == OK) CHECK(str_eq(buf_view(&answer), c.body));
    buf_deinit(&answer);
    free(body);
    return e;
}

static struct rpc_peer *peer(const char *addr, uint16_t port, uint64_t node, struct tls *tls)
{
    return rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = port, .hello = hello_of(node), .expect_node = 1,
                                                 .tls = tls });
}

static void good(const char *addr, uint16_t port, uint64_t node, struct tls *tls)
{
    static const size_t of[] = { 0, 1, 500, 16384, 16385, 70000, 2 << 20 };
    struct rpc_peer *p = peer(addr, port, node, tls);
    for (unsigned i = 0; i < ARRAY_LEN(of); i++)
        CHECK(call_n(p, of[i]) == OK);
    rpc_peer_free(p);
}

static void bad(const char *addr, uint16_t port, struct tls *tls, const char *word)
{
    struct rpc_peer *p = peer(addr, port, 2, tls);
    err_t e = call_n(p, 10);
    if (e != ERR_UNAVAILABLE || !strstr(err_detail(), word)) fprintf(stderr, "asked for '%s'\n", word);
    CHECK(e == ERR_UNAVAILABLE && strstr(err_detail(), word));
    rpc_peer_free(p);
}

static struct rpc_server *server(const char *addr, uint16_t port, struct tls *tls)
{
    struct rpc_server *s;
    struct rpc_server_opts o = { .addr = addr, .port = port, .hello = hello_of(1), .handler = echo, .tls = tls };
    CHECK(rpc_server_open(&o, &s) == OK);
    return s;
}

static err_t real(void *arg)
{
    static const char here[] = "127.0.0.1";
    (void)arg;
    struct rpc_server *s = server(here, 0, one), *plain = server(here, 0, NULL), *wrong = server(here, 0, two),
                      *any = server(here, 0, shared);
    uint16_t port = rpc_server_port(s);
    good(here, port, 2, two);
    good(here, port, 2, two_cn);
    good(here, rpc_server_port(any), 3, shared);
    good(here, rpc_server_port(plain), 2, NULL);
    bad(here, port, NULL, "without TLS");
    bad(here, rpc_server_port(plain), two, "one side speaks TLS");
    bad(here, port, stranger, "unknown ca");
    bad(here, port, one, "does not name 'node-0000000000000002'");
    bad(here, rpc_server_port(wrong), two, "does not name 'node-0000000000000001'");
    rpc_server_close(s, 0);
    rpc_server_close(plain, 0);
    rpc_server_close(wrong, 0);
    rpc_server_close(any, 0);
    return OK;
}

/* -- the simulator: records come in pieces of any size ----------------------------------------------------------- */
static err_t serve(void *arg)
{
    struct event never;
    (void)server("0.0.0.0", PORT, arg);
    event_init(&never);
    return event_wait(&never);
}

static err_t script(void *arg)
{
    char addr[2][SIM_ADDR_MAX];
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        unsigned h = sim_host_new(NULL, NULL);
        sim_host_start(h, 1, serve, i ? NULL : one);
        sim_host_addr(h, addr[i]);
    }
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    good(addr[0], PORT, 2, two);
    bad(addr[0], PORT, NULL, "without TLS");
    bad(addr[1], PORT, two, "refused us");
    struct rpc_peer *p = peer(addr[0], PORT, 2, two);
    unsigned ok = 0, failed = 0;
    sim_net_set(&(struct sim_net){ .reset = 0.01, .slow = 0.05, .late_ns = 50 * NS_PER_MS });
    for (unsigned i = 0; i < 100; i++) {
        if (call_n(p, i % 10 ? i * 100 : 300000) == OK) ok++;
        else failed++;
        CHECK(fiber_sleep(100 * NS_PER_MS) == OK);
    }
    CHECK(ok > 10 && failed > 0);
    rpc_peer_free(p);
    return OK;
}

int main(void)
{
    static const enum rt_backend backends[] = { RT_EPOLL, RT_URING };
    log_init(getenv("RPC_LOG") ? LOG_INFO : LOG_ERROR, false);
    make_all();
    files();
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        struct rt_opts o = { .cores = 1, .backend = backends[i] };
        err_t e = rt_run(&o, real, NULL);
        if (backends[i] == RT_URING && e == ERR_UNAVAILABLE) {
            fprintf(stderr, "rpc_tls_plain: io_uring part skipped: %s\n", err_detail());
            continue;
        }
        CHECK(e == OK && metric_sum(M_RPC_CONNECTIONS) == 0 && metric_sum(M_CONNECTIONS) == 0);
    }
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_result r;
        sim_world_run(seed, 0, script, NULL, &r, NULL);
        CHECK(!r.crashed && !r.stuck && r.result == OK);
    }
    struct tls *all[] = { one, two, two_cn, stranger, shared };
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        tls_free(all[i]);
    static const char *const names[] = { "ca", "other", "one", "two", "two_cn", "stranger", "shared" };
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        CHECK(unlink(file(names[i], "crt")) == 0 && unlink(file(names[i], "key")) == 0);
    CHECK(rmdir(dir) == 0);
    fprintf(stderr, "rpc_tls_plain: passed\n");
    return 0;
}
