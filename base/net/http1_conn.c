/* An HTTP/1 connection: heads, bodies, answers in order.
 *
 *   HEAD --head with a body--> LENGTH | CHUNKS --its end--> RUN --answer--> HEAD
 *     |                           |                                        (or close)
 *     | refused before its body   | refused inside its body: the answer goes out at once, the rest of the
 *     v                           v body is read over (cur = NULL), the connection lives on
 *   LINGER: the last answer is out (bad framing, an unread body too long to read over): what still comes is
 *   dropped for HTTP_LINGER_S, since closing over unread bytes would reset the connection and lose the answer. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "base/net/http_conn.h"

enum { COALESCE_MAX_BYTES = 16 << 10 }; /* a body up to this is copied behind its head: one write */

static void enter(struct http_conn *c, enum http1_state state)
{
    c->state = state;
    c->since = c->core->io->now();
    if (state == H1_HEAD) {
        c->head_begun = false;
        c->scanned = 0;
    }
}

/* -- answers ------------------------------------------------------------------------------------------ */

static void put_header(struct buf *b, struct str name, struct str value)
{
    buf_str(b, name);
    buf_put(b, ": ", 2);
    buf_str(b, value);
    buf_put(b, "\r\n", 2);
}

static void put_head(struct http_exchange *x, struct buf *b)
{
    struct http_answer_headers h;
    http_answer_headers(x, &h);
    if (x->rs.status == 200) buf_z(b, "HTTP/1.1 200 OK\r\n");
    else buf_printf(b, "HTTP/1.1 %d %s\r\n", x->rs.status, http_reason(x->rs.status));
    for (uint32_t i = 0; i < h.n; i++)
        put_header(b, h.h[i].name, h.h[i].value);
    if (http_answer_has_body(x)) buf_printf(b, "content-length: %zu\r\n", x->rs.body.n);
    if (x->close) buf_z(b, "connection: close\r\n");
    else if (x->minor0) buf_z(b, "connection: keep-alive\r\n");
    buf_put(b, "\r\n", 2);
}

static void answer_sent(void *arg)
{
    http_exchange_free(arg);
}

/* Queues the answer and lets go of x. */
static void send_answer(struct http_conn *c, struct http_exchange *x)
{
    if (x->rs.status >= 400) metric_add(M_HTTP_ERRORS, 1);
    const struct http_io *io = c->core->io;
    struct buf *b = &c->core->scratch;
    buf_clear(b);
    put_head(x, b);
    x->conn = NULL;
    bool body = !x->head_only && http_answer_has_body(x) && x->rs.body.n > 0;
    if (body && x->rs.body.n <= COALESCE_MAX_BYTES) {
        buf_put(b, x->rs.body.p, x->rs.body.n);
        body = false;
    }
    ASSERT(!b->failed);
    io->send(c->user, b->p, b->n);
    if (body) io->send_ref(c->user, x->rs.body.p, x->rs.body.n, answer_sent, x);
    else http_exchange_free(x);
}

void h1_answer(struct http_conn *c, struct http_exchange *x)
{
    ASSERT(c->cur == x);
    ASSERT(c->state == H1_RUN);
    c->cur = NULL;
    x->close |= c->close_after;
    bool close = x->close;
    send_answer(c, x);
    if (close) {
        http_conn_close(c);
        return;
    }
    enter(c, H1_HEAD);
    http_conn_resume(c);
}

/* The answer to a request whose bytes are not all read; the state says what to do with the rest. */
static void answer_early(struct http_conn *c, enum http1_state rest)
{
    struct http_exchange *x = c->cur;
    c->cur = NULL;
    x->close |= c->close_after || rest == H1_LINGER;
    c->close_after |= x->close;
    send_answer(c, x);
    if (rest == H1_HEAD && c->close_after) http_conn_close(c);
    else enter(c, rest);
}

/* Bytes that are no HTTP: there is no next request to be found behind them. */
static void answer_broken(struct http_conn *c, err_t e)
{
    if (!c->cur) c->cur = http_exchange_new(c);
    http_exchange_refuse(c->cur, e == ERR_TOO_LARGE && c->state == H1_HEAD ? 431 : err_http_status(e), e,
                         err_detail());
    answer_early(c, H1_LINGER);
}

/* -- heads -------------------------------------------------------------------------------------------- */

static void body_complete(struct http_conn *c)
{
    struct http_exchange *x = c->cur;
    if (!x) { /* read over */
        enter(c, c->close_after ? H1_LINGER : H1_HEAD);
        return;
    }
    enter(c, H1_RUN);
    /* It may run in place, and be answered and gone when this returns. */
    if (http_exchange_start(x)) return;
    answer_early(c, H1_HEAD);
}

/* The head is parsed and the exchange accepted or refused: what follows? */
static void enter_body(struct http_conn *c, const struct http1_head *h, bool accepted)
{
    bool body = h->chunked || h->length > 0;
    enum http1_state state = h->chunked ? H1_CHUNKS : H1_LENGTH;
    c->left = h->length;
    c->body_seen = 0;
    c->chunked = (struct http1_chunked){ 0 };
    if (!accepted) {
        /* After a refusal a client that waits for 100 sends nothing, or everything: nobody can tell. */
        if (body && (h->expect_continue || h->length > HTTP_DRAIN_MAX_BYTES)) state = H1_LINGER;
        answer_early(c, body ? state : H1_HEAD);
        return;
    }
    if (!body) {
        body_complete(c);
        return;
    }
    enter(c, state);
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (h->expect_continue) c->core->io->send(c->user, go_on, sizeof go_on - 1);
}

static size_t take_head(struct http_conn *c, struct str in)
{
    if (c->core->io->unsent(c->user) > HTTP_UNSENT_MAX_BYTES) return 0;
    /* RFC 9112 2.2: empty lines before a request line are overlooked. */
    if (c->scanned <= 1 && str_starts(in, STR("\r\n"))) {
        c->scanned = 0;
        return 2;
    }
    size_t head_size;
    err_t e = http1_head_end(in.p, in.n, &c->scanned, &head_size);
    if (e != OK) {
        answer_broken(c, e);
        return in.n;
    }
    if (head_size == 0) {
        if (!c->head_begun) c->since = c->core->io->now();
        c->head_begun = true;
        return 0;
    }
    struct http_exchange *x = http_exchange_new(c);
    c->cur = x;
    struct http1_head h;
    e = http1_head_parse(arena_dup(&x->arena, in.p, head_size), head_size, &x->arena, &h);
    if (e != OK) {
        answer_broken(c, e);
        return in.n;
    }
    x->rq.method = h.method;
    x->rq.headers = h.headers;
    x->rq.nheaders = h.nheaders;
    x->minor0 = h.minor == 0;
    x->close = !h.keep_alive;
    bool ok = http_exchange_head(x, h.target);
    if (ok && h.has_length) ok = http_exchange_expect(x, h.length);
    enter_body(c, &h, ok);
    return head_size;
}

/* -- bodies ------------------------------------------------------------------------------------------- */

/* A piece of the body; false = the connection reads no further. */
static bool body_bytes(struct http_conn *c, struct str bytes)
{
    c->body_seen += bytes.n;
    if (c->cur) {
        if (http_exchange_body(c->cur, bytes)) return true;
        answer_early(c, c->state);
    }
    if (c->body_seen <= HTTP_DRAIN_MAX_BYTES) return true;
    c->close_after = true;
    enter(c, H1_LINGER);
    return false;
}

static size_t take_length(struct http_conn *c, struct str in)
{
    size_t n = (size_t)MIN(c->left, (uint64_t)in.n);
    c->left -= n;
    if (body_bytes(c, str_n(in.p, n)) && c->left == 0) body_complete(c);
    return n;
}

static size_t take_chunks(struct http_conn *c, struct str in)
{
    struct str data;
    size_t used = 0;
    err_t e = http1_chunked_feed(&c->chunked, in, &used, &data);
    if (e != OK) {
        if (c->cur) answer_broken(c, e);
        else enter(c, H1_LINGER);
        return in.n;
    }
    if (data.n && !body_bytes(c, data)) return used;
    if (c->chunked.state == CHUNK_DONE) body_complete(c);
    return used;
}

size_t h1_consume(struct http_conn *c, const char *p, size_t n)
{
    size_t used = 0;
    while (used < n && !c->closed) {
        struct str rest = str_n(p + used, n - used);
        size_t step = 0;
        switch (c->state) {
        case H1_HEAD: step = take_head(c, rest); break;
        case H1_LENGTH: step = take_length(c, rest); break;
        case H1_CHUNKS: step = take_chunks(c, rest); break;
        case H1_RUN: return used;
        case H1_LINGER: return n;
        }
        if (step == 0) return used;
        used += step;
    }
    return used;
}

/* -- time --------------------------------------------------------------------------------------------- */

static void answer_late(struct http_conn *c)
{
    static const char late[] = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    if (c->state == H1_HEAD || c->cur) c->core->io->send(c->user, late, sizeof late - 1);
    http_conn_close(c);
}

void h1_tick(struct http_conn *c, mono_ns now)
{
    int64_t in_state = now.ns - c->since.ns, quiet = now.ns - c->progress.ns;
    switch (c->state) {
    case H1_HEAD:
        if (c->head_begun && in_state > HTTP_HEAD_TIMEOUT_S * NS_PER_S) answer_late(c);
        else if (in_state > HTTP_IDLE_TIMEOUT_S * NS_PER_S) http_conn_close(c);
        else http_conn_resume(c);
        break;
    case H1_LENGTH:
    case H1_CHUNKS:
        if (quiet > HTTP_BODY_TIMEOUT_S * NS_PER_S ||
            http_body_late(in_state, c->body_seen, c->left ? c->body_seen + c->left : 0))
            answer_late(c);
        break;
    case H1_RUN: break;
    case H1_LINGER:
        if (in_state > HTTP_LINGER_S * NS_PER_S) http_conn_close(c);
        break;
    }
}
