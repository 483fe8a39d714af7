/* An HTTP/2 connection: nghttp2 (no I/O of its own) between the bytes and the exchanges. Each stream is an
 * exchange; handlers of one connection run side by side.
 *
 * Order of events that was measured to be good for small calls: all frames of one read are taken in, handlers start, answers
 * of the same turn leave together.
 *
 * Bounds: HTTP_STREAMS_MAX streams, 16 KiB and 100 headers a head, a window of 1 MiB a stream and 4 MiB a connection;
 * memory of bodies comes from the body budget. Floods of pings, settings and resets end the connection: nghttp2
 * bounds its own answers, resets under running handlers are counted here. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "base/net/http_conn.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

enum {
    STREAM_WINDOW_BYTES = 1 << 20,
    CONN_WINDOW_BYTES = 4 << 20,
    GATHER_MAX_BYTES = 64 << 10,
};

#define NV(name_, value_)                                                                          \
    ((nghttp2_nv){ (uint8_t *)(name_).p, (uint8_t *)(value_).p, (name_).n, (value_).n,             \
                   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE })

/* -- streams of a connection -------------------------------------------------------------------------- */

static void link_stream(struct http_conn *c, struct http_exchange *x)
{
    x->next = c->streams;
    if (x->next) x->next->prev = x;
    c->streams = x;
    c->nstreams++;
}

static void unlink_stream(struct http_conn *c, struct http_exchange *x)
{
    if (x->prev) x->prev->next = x->next;
    else c->streams = x->next;
    if (x->next) x->next->prev = x->prev;
    x->next = x->prev = NULL;
    ASSERT(c->nstreams > 0);
    if (--c->nstreams == 0) c->since = c->core->io->now();
}

/* -- answers ------------------------------------------------------------------------------------------ */

static void trailer(struct http_exchange *x, nghttp2_nv *nv, size_t *n)
{
    if (x->grpc_status == 0) {
        nv[(*n)++] = NV(STR("grpc-status"), STR("0"));
        return;
    }
    struct str code = arena_printf(&x->arena, "%d", x->grpc_status);
    nv[(*n)++] = NV(STR("grpc-status"), code);
    metric_add(M_HTTP_ERRORS, 1);
    struct str text = grpc_message_escape(&x->arena, x->grpc_message);
    nv[(*n)++] = NV(STR("grpc-message"), text);
    if (!x->call.retry_after_ms) return;
    struct str details =
        grpc_status_details(&x->arena, x->grpc_status, x->grpc_message, x->call.retry_after_ms);
    nv[(*n)++] = NV(STR("grpc-status-details-bin"), details);
}

static ssize_t read_body(nghttp2_session *h2, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)user;
    struct http_exchange *x = source->ptr;
    size_t head = x->grpc ? sizeof x->prefix : 0, n = 0;
    if (x->sent < head) {
        n = MIN(max, head - x->sent);
        memcpy(to, x->prefix + x->sent, n);
        x->sent += n;
    }
    if (x->sent >= head) {
        size_t at = x->sent - head, k = MIN(max - n, x->rs.body.n - at);
        if (k) memcpy(to + n, x->rs.body.p + at, k);
        x->sent += k;
        n += k;
    }
    if (x->sent < head + x->rs.body.n) return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!x->grpc) return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_nv nv[3];
    size_t count = 0;
    trailer(x, nv, &count);
    if (nghttp2_submit_trailer(h2, id, nv, count)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return (ssize_t)n;
}

static int submit_grpc(struct http_conn *c, struct http_exchange *x)
{
    nghttp2_nv nv[8] = {
        NV(STR(":status"), STR("200")),
        NV(STR("content-type"), STR("application/grpc")),
        NV(STR("grpc-accept-encoding"), STR("identity,gzip,deflate,zstd")),
    };
    size_t n = 3;
    if (x->grpc_status != 0) { /* trailers only */
        trailer(x, nv, &n);
        return nghttp2_submit_response(c->h2, x->stream_id, nv, n, NULL);
    }
    nghttp2_data_provider body = { { .ptr = x }, read_body };
    return nghttp2_submit_response(c->h2, x->stream_id, nv, n, &body);
}

static int submit_http(struct http_conn *c, struct http_exchange *x)
{
    struct http_answer_headers h;
    nghttp2_nv nv[ARRAY_LEN(h.h) + 2];
    http_answer_headers(x, &h);
    size_t n = 0;
    struct str status = x->rs.status == 200 ? STR("200") : arena_printf(&x->arena, "%d", x->rs.status);
    nv[n++] = NV(STR(":status"), status);
    for (uint32_t i = 0; i < h.n; i++)
        nv[n++] = NV(h.h[i].name, h.h[i].value);
    bool body = http_answer_has_body(x);
    if (body) {
        struct str length = arena_printf(&x->arena, "%zu", x->rs.body.n);
        nv[n++] = NV(STR("content-length"), length);
    }
    if (x->rs.status >= 400) metric_add(M_HTTP_ERRORS, 1);
    if (!body || x->head_only || x->rs.body.n == 0)
        return nghttp2_submit_response(c->h2, x->stream_id, nv, n, NULL);
    nghttp2_data_provider provider = { { .ptr = x }, read_body };
    return nghttp2_submit_response(c->h2, x->stream_id, nv, n, &provider);
}

static void submit(struct http_conn *c, struct http_exchange *x)
{
    ASSERT(!x->answered);
    x->answered = true;
    int rc = x->grpc ? submit_grpc(c, x) : submit_http(c, x);
    if (rc) (void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
}

void h2_answer(struct http_conn *c, struct http_exchange *x)
{
    submit(c, x);
    if (!c->consuming) h2_pump(c);
}

/* -- callbacks: what came ------------------------------------------------------------------------------ */

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (c->goaway) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct http_exchange *x = http_exchange_new(c);
    x->stream_id = frame->hd.stream_id;
    x->since = c->core->io->now();
    link_stream(c, x);
    return nghttp2_session_set_stream_user_data(h2, x->stream_id, x);
}

static void add_header(struct http_exchange *x, struct str name, struct str value)
{
    struct http_request *rq = &x->rq;
    if (rq->nheaders == HTTP_HEADERS_MAX) {
        x->head_too_large = true;
        return;
    }
    rq->headers = arena_grow(&x->arena, rq->headers, rq->nheaders, &x->header_cap, rq->nheaders + 1u,
                             sizeof *rq->headers);
    char *p = arena_alloc_aligned(&x->arena, name.n + value.n + 1, 1);
    memcpy(p, name.p, name.n);
    memcpy(p + name.n, value.p, value.n);
    rq->headers[rq->nheaders++] = (struct http_header){ { p, name.n }, { p + name.n, value.n } };
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    (void)flags;
    (void)user;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    if (!x || x->head_done || x->head_too_large) return 0; /* trailers are read over */
    x->header_bytes += name_n + value_n;
    if (x->header_bytes > HTTP_HEAD_MAX_BYTES) {
        x->head_too_large = true;
        return 0;
    }
    struct str k = str_n(name, name_n), v = str_n(value, value_n);
    if (k.n == 0 || k.p[0] != ':') add_header(x, k, v);
    else if (str_eq(k, STR(":method"))) x->rq.method = http_method_of(v);
    else if (str_eq(k, STR(":path"))) x->target = arena_str(&x->arena, v);
    else if (str_eq(k, STR(":authority"))) add_header(x, STR("host"), v);
    return 0;
}

static void head_complete(struct http_conn *c, struct http_exchange *x)
{
    x->head_done = true;
    if (x->head_too_large) {
        http_exchange_refuse(x, 431, ERR_TOO_LARGE, "head is over 16 KiB or 100 headers");
    } else if (http_exchange_head(x, x->target)) {
        struct str length = http_header(&x->rq, "content-length");
        uint64_t n;
        if (x->grpc || !length.n) return;
        if (str_to_u64(length, &n) && http_exchange_expect(x, n)) return;
        http_exchange_refuse(x, 400, ERR_INVALID, "bad content-length");
    }
    submit(c, x);
}

static void request_complete(struct http_conn *c, struct http_exchange *x)
{
    if (x->answered) return;
    /* It may run in place and be answered when this returns, but lives until its stream closes. */
    if (!http_exchange_start(x)) submit(c, x);
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    if (!x) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !x->head_done) head_complete(c, x);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) request_complete(c, x);
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    (void)flags;
    struct http_conn *c = user;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(h2, id);
    if (!x) return 0;
    if (!x->answered && !x->running) {
        if (!http_exchange_body(x, str_n(p, n))) submit(c, x);
        return 0;
    }
    x->discarded += n;
    if (x->discarded > HTTP_DRAIN_MAX_BYTES)
        return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
    (void)code;
    struct http_conn *c = user;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(h2, id);
    if (!x) return 0;
    (void)nghttp2_session_set_stream_user_data(h2, id, NULL);
    unlink_stream(c, x);
    if (x->running) c->resets++;
    http_exchange_abandon(x);
    return 0;
}

/* -- the session -------------------------------------------------------------------------------------- */

void h2_start(struct http_conn *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
    ASSERT(nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_session *h2;
    ASSERT(nghttp2_session_server_new2(&h2, cb, c, option) == 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    c->h2 = h2;
    c->since = c->core->io->now();
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP_STREAMS_MAX },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_MAX_BYTES },
    };
    ASSERT(nghttp2_submit_settings(h2, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0);
    ASSERT(nghttp2_session_set_local_window_size(h2, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW_BYTES) == 0);
}

void h2_consume(struct http_conn *c, const char *p, size_t n)
{
    ssize_t used = nghttp2_session_mem_recv(c->h2, (const uint8_t *)p, n);
    if (c->resets > HTTP_RESETS_MAX)
        (void)nghttp2_session_terminate_session(c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_pump(c);
    if (used < 0) http_conn_close(c);
}

void h2_pump(struct http_conn *c)
{
    if (c->closed) return;
    const struct http_io *io = c->core->io;
    struct buf *b = &c->core->scratch;
    buf_clear(b);
    while (io->unsent(c->user) + b->n <= HTTP_UNSENT_MAX_BYTES) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(c->h2, &p);
        if (n <= 0) break;
        if (b->n && b->n + (size_t)n > GATHER_MAX_BYTES) {
            io->send(c->user, b->p, b->n);
            buf_clear(b);
        }
        buf_put(b, p, (size_t)n);
    }
    if (b->n) io->send(c->user, b->p, b->n);
    buf_clear(b);
    bool over = !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2);
    if (over || (c->goaway && !c->streams && !nghttp2_session_want_write(c->h2))) http_conn_close(c);
}

void h2_goaway(struct http_conn *c)
{
    if (c->goaway) return;
    c->goaway = true;
    (void)nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2),
                                NGHTTP2_NO_ERROR, NULL, 0);
    h2_pump(c);
}

void h2_tick(struct http_conn *c, mono_ns now)
{
    if (!c->streams && now.ns - c->since.ns > HTTP_IDLE_TIMEOUT_S * NS_PER_S) {
        h2_goaway(c);
        http_conn_close(c);
        return;
    }
    bool late = false;
    for (struct http_exchange *x = c->streams; x; x = x->next) {
        if (x->answered || x->running) continue;
        if (!http_body_late(now.ns - x->since.ns, x->body.n, x->body.cap)) continue;
        (void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
        late = true;
    }
    if (late) h2_pump(c);
}

void h2_free(struct http_conn *c)
{
    nghttp2_session_del(c->h2);
    c->h2 = NULL;
}
