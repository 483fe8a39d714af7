/* The server: listeners and connections of every reactor around the sans-I/O core (http_conn.h).
 *
 * Each reactor has its own struct server_core: listeners (SO_REUSEPORT), connections, pool of exchanges, a scope
 * above the scopes of its handlers. Nothing of it is touched by another reactor; start and stop go to each
 * reactor by rt_call. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/http_conn.h"
#include "base/rt/sock.h"

#include <stdlib.h>

enum { LISTENS_MAX = 16, STOP_POLL_MS = 100 };

struct server_core;

struct server_conn {
    struct http_conn http;
    struct sock *sock;
    struct server_core *core;
    struct server_conn *next, *prev;
};

struct server_listen {
    struct server_core *core;
    struct http_service service;
    struct sock_listener *listener;
};

struct server_core {
    struct http_server *server;
    struct http_core http;
    struct scope scope;
    struct timer tick;
    struct event changed; /* a connection or the last exchange went */
    struct server_listen listens[LISTENS_MAX];
    struct server_conn *conns;
    uint32_t nconns;
    bool started;
};

struct http_server {
    struct http_server_opts opts;
    struct http_listen listens[LISTENS_MAX];
    uint32_t nlistens;
    int64_t grace_ms;
    unsigned ncores;
    struct server_core *cores;
};

/* -- io of connections -------------------------------------------------------------------------------- */

static void io_send(void *user, const void *p, size_t n)
{
    sock_send(((struct server_conn *)user)->sock, p, n);
}

static void io_send_ref(void *user, const void *p, size_t n, void (*done)(void *), void *arg)
{
    sock_send_ref(((struct server_conn *)user)->sock, p, n, done, arg);
}

static size_t io_unsent(void *user)
{
    return sock_unsent(((struct server_conn *)user)->sock);
}

static void io_pause(void *user)
{
    sock_pause_recv(((struct server_conn *)user)->sock);
}

static void io_resume(void *user)
{
    sock_resume_recv(((struct server_conn *)user)->sock);
}

static bool io_settled(void *user)
{
    return sock_settled(((struct server_conn *)user)->sock);
}

static void io_close_idle(void *user)
{
    sock_close_idle(((struct server_conn *)user)->sock);
}

static void io_close(void *user)
{
    sock_close(((struct server_conn *)user)->sock);
}

static void io_abort(void *user)
{
    sock_abort(((struct server_conn *)user)->sock);
}

static void run_exchange(void *arg)
{
    http_exchange_run(arg);
}

static err_t io_start(struct http_exchange *x)
{
    struct server_core *core = x->core->user;
    ASSERT(!x->scoped);
    scope_init(&x->scope, &core->scope);
    x->scoped = true;
    struct fiber_opts o = {
        .name = x->grpc ? "grpc" : "http",
        .class = x->grpc ? RT_INGEST : x->route->class,
        .deadline = x->deadline,
    };
    return fiber_start(&x->scope, &o, run_exchange, x);
}

static const struct http_io server_io = {
    .send = io_send,
    .send_ref = io_send_ref,
    .unsent = io_unsent,
    .pause = io_pause,
    .resume = io_resume,
    .settled = io_settled,
    .close = io_close,
    .close_idle = io_close_idle,
    .abort = io_abort,
    .now = rt_now,
    .start = io_start,
};

/* -- sockets ------------------------------------------------------------------------------------------ */

static void on_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    struct server_conn *c = sock_user(s);
    http_conn_feed(&c->http, bytes, n);
}

static void on_eof(struct sock *s)
{
    struct server_conn *c = sock_user(s);
    http_conn_eof(&c->http);
}

static void on_drained(struct sock *s)
{
    struct server_conn *c = sock_user(s);
    http_conn_drained(&c->http);
}

static void on_closed(struct sock *s, int os_errno)
{
    (void)os_errno;
    struct server_conn *c = sock_user(s);
    struct server_core *core = c->core;
    http_conn_deinit(&c->http);
    if (c->prev) c->prev->next = c->next;
    else core->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    core->nconns--;
    free(c);
    event_signal(&core->changed);
}

static const struct sock_ops conn_ops = { on_data, on_eof, on_drained, on_closed };

static void ignore_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    (void)s;
    (void)bytes;
    (void)n;
}

static void ignore_closed(struct sock *s, int os_errno)
{
    (void)s;
    (void)os_errno;
}

static const struct sock_ops refused_ops = { ignore_data, NULL, NULL, ignore_closed };

static void on_accept(struct sock *s, void *ctx)
{
    struct server_listen *l = ctx;
    struct server_core *core = l->core;
    if (core->nconns >= core->server->opts.connections_max) {
        static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
                                   "content-length: 0\r\n\r\n";
        sock_set(s, &refused_ops, NULL);
        sock_send(s, busy, sizeof busy - 1);
        sock_close(s);
        metric_add(M_CONNECTIONS_REFUSED, 1);
        log_warn("http.connections_full", "max=%u", core->server->opts.connections_max);
        return;
    }
    struct server_conn *c = malloc(sizeof *c);
    ASSERT(c);
    *c = (struct server_conn){ .sock = s, .core = core, .next = core->conns };
    if (c->next) c->next->prev = c;
    core->conns = c;
    core->nconns++;
    http_conn_init(&c->http, &core->http, &l->service, c);
    sock_set(s, &conn_ops, c);
}

static void on_tick(struct timer *t)
{
    struct server_core *core = CONTAINER_OF(t, struct server_core, tick);
    /* No call here frees a connection: sockets tell their end from the loop only. */
    for (struct server_conn *c = core->conns; c; c = c->next)
        http_conn_tick(&c->http);
    timer_arm(t, mono_add(rt_now(), NS_PER_S), on_tick);
}

static void on_idle(struct http_core *http)
{
    event_signal(&((struct server_core *)http->user)->changed);
}

/* -- start and stop ----------------------------------------------------------------------------------- */

static err_t core_start(void *arg) MAY_YIELD
{
    struct server_core *core = arg;
    struct http_server *s = core->server;
    http_core_init(&core->http, &server_io, &s->opts);
    core->http.user = core;
    core->http.on_idle = on_idle;
    scope_init(&core->scope, NULL);
    event_init(&core->changed);
    core->started = true;
    for (uint32_t i = 0; i < s->nlistens; i++) {
        const struct http_listen *l = &s->listens[i];
        struct server_listen *sl = &core->listens[i];
        *sl = (struct server_listen){ core, { l->router, l->methods, l->nmethods, l->user }, NULL };
        TRY(sock_listen(l->addr, l->port, on_accept, sl, &sl->listener));
        /* Port 0: the first reactor picks, the others follow. */
        if (l->port == 0) s->listens[i].port = sock_listener_port(sl->listener);
    }
    timer_arm(&core->tick, mono_add(rt_now(), NS_PER_S), on_tick);
    return OK;
}

/* Waits until there are no exchanges (and no connections), at most until `end`. */
static void core_wait(struct server_core *core, bool conns, mono_ns end) MAY_YIELD
{
    while ((core->http.live || (conns && core->nconns)) && rt_now().ns < end.ns) {
        event_reset(&core->changed);
        mono_ns until = mono_add(rt_now(), (int64_t)STOP_POLL_MS * NS_PER_MS);
        /* Stopping goes on when the stopper itself is cancelled. */
        if (event_wait_until(&core->changed, until.ns < end.ns ? until : end) == ERR_CANCELED) fiber_yield();
    }
}

static err_t core_stop(void *arg) MAY_YIELD
{
    struct server_core *core = arg;
    if (!core->started) return OK;
    for (uint32_t i = 0; i < core->server->nlistens; i++)
        if (core->listens[i].listener) sock_listener_close(core->listens[i].listener);
    for (struct server_conn *c = core->conns; c; c = c->next)
        http_conn_stop(&c->http);
    core_wait(core, false, mono_add(rt_now(), core->server->grace_ms * NS_PER_MS));
    scope_cancel(&core->scope);
    for (struct server_conn *c = core->conns; c; c = c->next)
        if (core->http.live) http_conn_abort(&c->http);
        else http_conn_close(&c->http);
    core_wait(core, true, mono_add(rt_now(), NS_PER_S));
    for (struct server_conn *c = core->conns; c; c = c->next)
        sock_abort(c->sock);
    core_wait(core, true, MONO_NEVER);
    timer_disarm(&core->tick);
    for (struct http_exchange *x = core->http.pool; x; x = x->next)
        if (x->scoped) (void)scope_join(&x->scope);
    http_core_deinit(&core->http);
    scope_deinit(&core->scope);
    core->started = false;
    return OK;
}

void http_server_stop(struct http_server *s, int64_t grace_ms)
{
    s->grace_ms = grace_ms;
    void *args[256];
    for (unsigned i = 0; i < s->ncores; i++)
        args[i] = &s->cores[i];
    err_t e = rt_call_all(RT_MAINTENANCE, core_stop, args, NULL);
    /* A cancelled stopper has still been waited for: rt_call_all waits for its callees. */
    if (e != OK) log_warn("http.stop", "error=%s detail=\"%s\"", err_name(e), err_detail());
    free(s->cores);
    free(s);
}

uint16_t http_server_port(const struct http_server *s, uint32_t listen)
{
    ASSERT(listen < s->nlistens);
    return s->listens[listen].port;
}

err_t http_server_start(const struct http_server_opts *o, const struct http_listen *listens, uint32_t n,
                        struct http_server **out)
{
    ASSERT(n <= LISTENS_MAX);
    ASSERT(rt_core() == 0);
    struct http_server *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->opts = *o;
    s->nlistens = n;
    for (uint32_t i = 0; i < n; i++)
        ASSERT(!listens[i].router || listens[i].router->nheaders <= HTTP_ROUTER_HEADERS_MAX);
    memcpy(s->listens, listens, n * sizeof *listens);
    s->ncores = rt_cores();
    ASSERT(s->ncores <= 256);
    s->cores = calloc(s->ncores, sizeof *s->cores);
    ASSERT(s->cores);
    err_t e = OK;
    for (unsigned i = 0; i < s->ncores; i++)
        s->cores[i].server = s;
    for (unsigned i = 0; i < s->ncores && e == OK; i++)
        e = rt_call(i, RT_MAINTENANCE, core_start, &s->cores[i]);
    if (e == OK) {
        *out = s;
        return OK;
    }
    struct err_record kept = *err_record();
    http_server_stop(s, 0);
    *err_record() = kept;
    return e;
}
