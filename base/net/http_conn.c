/* A connection's protocol-independent part: which protocol it speaks, its time limits, its end. */
#include "base/core/assert.h"
#include "base/net/http_conn.h"

/* RFC 9113 3.4: what an HTTP/2 client with prior knowledge sends first. No HTTP/1 request starts like it. */
#define H2_PREFACE STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

enum { IN_MAX_BYTES = 4 << 20 }; /* one delivery of the socket on top of HTTP_PIPELINED_MAX_BYTES */

void http_conn_init(struct http_conn *c, struct http_core *core, const struct http_service *service, void *user)
{
    *c = (struct http_conn){ .core = core, .service = service, .user = user };
    buf_init(&c->in, IN_MAX_BYTES, core->body_budget);
    c->since = c->progress = core->io->now();
}

void http_conn_close(struct http_conn *c)
{
    if (c->closed) return;
    c->closed = true;
    if (c->at_rest) c->core->io->close_idle(c->user);
    else c->core->io->close(c->user);
}

void http_conn_abort(struct http_conn *c)
{
    if (c->closed) return;
    c->closed = true;
    c->core->io->abort(c->user);
}

bool http_body_late(int64_t ns, uint64_t got, uint64_t total)
{
    int64_t s = ns / NS_PER_S - HTTP_BODY_GRACE_S;
    return s > 0 && got < (uint64_t)s * MAX((uint64_t)HTTP_BODY_RATE_MIN, total / HTTP_BODY_WHOLE_S);
}

bool http_conn_idle(const struct http_conn *c)
{
    return !c->cur && !c->streams;
}

/* Bytes not consumed stay in c->in, which holds no memory while it is empty. */
static void keep(struct http_conn *c, const char *p, size_t n)
{
    if (n == 0) return;
    buf_put(&c->in, p, n);
    if (buf_check(&c->in) != OK) http_conn_abort(c);
}

static size_t consume(struct http_conn *c, const char *p, size_t n)
{
    if (c->proto == HTTP_PROTO_NEW) {
        size_t look = MIN(n, H2_PREFACE.n);
        if (memcmp(p, H2_PREFACE.p, look) != 0) {
            c->proto = HTTP_PROTO_1;
        } else if (look == H2_PREFACE.n) {
            c->proto = HTTP_PROTO_2;
            h2_start(c);
        } else {
            return 0;
        }
    }
    if (c->proto == HTTP_PROTO_1) return h1_consume(c, p, n);
    h2_consume(c, p, n);
    return n;
}

static void pause_if_full(struct http_conn *c)
{
    bool full = c->in.n > HTTP_PIPELINED_MAX_BYTES && !c->closed;
    if (full == c->paused) return;
    c->paused = full;
    if (full) c->core->io->pause(c->user);
    else c->core->io->resume(c->user);
}

void http_conn_feed(struct http_conn *c, const uint8_t *bytes, size_t n)
{
    if (c->closed || n == 0) return;
    ASSERT(!c->consuming);
    c->consuming = true;
    c->progress = c->core->io->now();
    if (c->in.n == 0) {
        size_t used = consume(c, (const char *)bytes, n);
        if (!c->closed) keep(c, (const char *)bytes + used, n - used);
        c->consuming = false;
    } else {
        keep(c, (const char *)bytes, n);
        c->consuming = false;
        http_conn_resume(c);
    }
    if (c->in.n == 0 && c->in.cap) buf_deinit(&c->in);
    pause_if_full(c);
}

void http_conn_resume(struct http_conn *c)
{
    if (c->closed || c->consuming || c->in.n == 0) return;
    c->consuming = true;
    size_t used = consume(c, c->in.p, c->in.n);
    ASSERT(used <= c->in.n);
    if (used == c->in.n) {
        buf_deinit(&c->in);
    } else if (used) {
        memmove(c->in.p, c->in.p + used, c->in.n - used);
        c->in.n -= used;
    }
    c->consuming = false;
    pause_if_full(c);
}

void http_conn_drained(struct http_conn *c)
{
    if (c->closed) return;
    if (c->proto == HTTP_PROTO_2) h2_pump(c);
    http_conn_resume(c);
}

static void abandon_all(struct http_conn *c)
{
    if (c->cur) http_exchange_abandon(c->cur);
    c->cur = NULL;
    while (c->streams) {
        struct http_exchange *x = c->streams;
        c->streams = x->next;
        http_exchange_abandon(x);
    }
    c->nstreams = 0;
}

void http_conn_eof(struct http_conn *c)
{
    /* Clients of HTTP do not half-close: who sends no more has gone away. */
    abandon_all(c);
    http_conn_close(c);
}

/* Between requests, with the last answer at the client: a stop need not wait for its end. */
static bool at_rest(const struct http_conn *c)
{
    bool between = c->proto == HTTP_PROTO_1 ? c->state == H1_HEAD : true;
    return http_conn_idle(c) && between && c->in.n == 0 && c->core->io->settled(c->user);
}

void http_conn_stop(struct http_conn *c)
{
    if (c->closed) return;
    c->at_rest = at_rest(c); /* before the goodbye */
    if (c->proto == HTTP_PROTO_2) h2_goaway(c);
    if (http_conn_idle(c)) http_conn_close(c);
    else c->close_after = true;
}

void http_conn_tick(struct http_conn *c)
{
    mono_ns now = c->core->io->now();
    c->resets -= MIN(c->resets, (uint32_t)HTTP_RESETS_DECAY);
    if (c->closed) return;
    size_t unsent = c->core->io->unsent(c->user);
    if (unsent < c->unsent_seen || c->unsent_seen == 0) c->sent_progress = now;
    c->unsent_seen = unsent;
    if (unsent) {
        if (now.ns - c->sent_progress.ns > HTTP_SEND_TIMEOUT_S * NS_PER_S) http_conn_abort(c);
        return;
    }
    if (c->proto == HTTP_PROTO_1) {
        h1_tick(c, now);
    } else if (c->proto == HTTP_PROTO_NEW) {
        bool late = c->in.n ? now.ns - c->since.ns > HTTP_HEAD_TIMEOUT_S * NS_PER_S
                            : now.ns - c->since.ns > HTTP_IDLE_TIMEOUT_S * NS_PER_S;
        if (late) http_conn_close(c);
    } else {
        h2_tick(c, now);
    }
}

void http_conn_deinit(struct http_conn *c)
{
    c->closed = true;
    abandon_all(c);
    if (c->h2) h2_free(c);
    buf_deinit(&c->in);
}
