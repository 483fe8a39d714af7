/* Inside of the HTTP server: connections and exchanges, without any I/O of their own. What they do to the world
 * goes through struct http_io, so that tests and fuzzers drive them in memory.
 *
 *   bytes -> http_conn_feed -> HTTP/1 (http1_conn.c) or HTTP/2 (http2.c) -> struct http_exchange
 *         -> io->start -> http_exchange_run (in a fiber) -> http_exchange_done -> bytes
 *
 * An exchange is one request and its answer, whatever the protocol:
 *
 *   READING --head, body--> RUNNING --handler--> ANSWERED --bytes sent--> back to the pool
 *      |                       |
 *      | refused (limit,       | the client went away: conn = NULL, its scope is cancelled,
 *      v  404, overload)       v  the answer is dropped when the handler returns
 *   ANSWERED                 dropped
 *
 * Invariants
 *  1. x->conn is NULL or a live connection that knows x; a connection that dies abandons all its exchanges.
 *  2. A body is charged to the body budget when its memory is taken: before it is read where its length is told.
 *  3. An HTTP/1 connection has at most one exchange that is READING or RUNNING, so that answers keep the order
 *     of requests; pipelined bytes wait in c->in (bounded), and reading pauses behind them.
 *  4. http_exchange_run touches x no more after http_exchange_done. */
#ifndef BASE_NET_HTTP_CONN_H
#define BASE_NET_HTTP_CONN_H

#include "base/net/http1.h"
#include "base/net/http_server.h"
#include "base/net/inflate.h"

enum {
    HTTP_BODY_MAX_BYTES = 64 << 20,
    HTTP_STREAMS_MAX = 128,            /* concurrent, a connection */
    HTTP_RESETS_MAX = 1000,            /* streams reset under a running handler ... */
    HTTP_RESETS_DECAY = 100,           /* ... of which so many a second are forgiven */
    HTTP_ANSWER_MAX_BYTES = 1 << 30,
    HTTP_GZIP_MIN_BYTES = 1024,
    HTTP_DRAIN_MAX_BYTES = 128 << 20,  /* of a refused body that is read over to keep the connection */
    HTTP_PIPELINED_MAX_BYTES = 64 << 10,
    HTTP_UNSENT_MAX_BYTES = (1 << 20) + 1, /* above it no further request is begun */
    HTTP_POOL_MAX = 256,               /* idle exchanges kept by a reactor */
    HTTP_HEAD_TIMEOUT_S = 10,
    HTTP_BODY_TIMEOUT_S = 60,          /* without a byte */
    HTTP_BODY_GRACE_S = 30,            /* after it at least HTTP_BODY_RATE_MIN is asked for */
    HTTP_BODY_RATE_MIN = 1024,         /* bytes a second, and */
    HTTP_BODY_WHOLE_S = 300,           /* fast enough to be whole in about this time: its memory is held */
    HTTP_IDLE_TIMEOUT_S = 120,
    HTTP_SEND_TIMEOUT_S = 60,          /* without the peer taking a byte */
    HTTP_LINGER_S = 5,                 /* reading over what comes behind a last answer */
};

struct http_conn;
struct http_exchange;

/* What connections need of the world; `user` is the connection's. None of these calls back into the connection,
 * except start, which may run the exchange in place. */
struct http_io {
    void (*send)(void *user, const void *p, size_t n); /* copies */
    void (*send_ref)(void *user, const void *p, size_t n, void (*done)(void *arg), void *arg);
    size_t (*unsent)(void *user);
    void (*pause)(void *user);
    void (*resume)(void *user);
    bool (*settled)(void *user);                       /* the peer has all that was sent */
    void (*close)(void *user);                         /* after the output is flushed */
    void (*close_idle)(void *user);                    /* the same, when the peer owes nothing */
    void (*abort)(void *user);
    mono_ns (*now)(void);
    err_t (*start)(struct http_exchange *x);           /* arranges for http_exchange_run(x) */
};

/* What the connections of one reactor share. */
struct http_core {
    const struct http_io *io;
    struct budget *body_budget, *answer_budget;
    struct str tenant_default;
    err_t (*tenant_check)(struct str tenant);
    struct http_exchange *pool, *pool_tail; /* oldest first */
    uint32_t npool;
    uint32_t live;                          /* exchanges outside the pool */
    void (*on_idle)(struct http_core *core); /* live became 0; or NULL */
    struct buf scratch;                     /* for one call at a time */
    void *gzip;                             /* struct libdeflate_compressor, made at first use */
    void *user;
};
void http_core_init(struct http_core *core, const struct http_io *io, const struct http_server_opts *o);
void http_core_deinit(struct http_core *core); /* live must be 0 */

/* What a listener serves. */
struct http_service {
    const struct http_router *router; /* or NULL */
    const struct grpc_method *methods;
    uint32_t nmethods;
    void *user;                       /* of gRPC calls */
};

struct http_exchange {
    struct http_core *core;
    const struct http_service *service;
    struct http_conn *conn;
    struct http_exchange *next, *prev; /* the connection's (HTTP/2) or the pool's list */
    struct scope scope;                /* of the handler's fiber */
    bool scoped;                       /* scope is initialised */
    bool running, answered, grpc;
    bool head_only;
    bool minor0, close;                /* HTTP/1.0; the connection ends with the answer */
    bool refused;                      /* answered without the handler */
    bool accepts_gzip;
    struct arena arena;
    struct http_request rq;
    struct http_response rs;
    struct grpc_call call;
    const struct http_route *route;
    const struct http_api *api;        /* the route's; without one that of the path's prefix, or NULL */
    const struct grpc_method *method;
    enum inflate_kind encoding;
    struct buf body;                   /* as received */
    struct buf plain;                  /* decompressed */
    size_t body_max;
    mono_ns deadline;
    struct str origin;                 /* CORS */
    unsigned allow;                    /* methods of the path, for 405 and OPTIONS */
    int32_t stream_id;                 /* HTTP/2 */
    size_t header_bytes, header_cap;   /* HTTP/2: collected so far */
    struct str target;                 /* HTTP/2 */
    bool head_done, head_too_large;    /* HTTP/2 */
    mono_ns since;                     /* HTTP/2: start of the stream */
    size_t sent;                       /* HTTP/2: of prefix and rs.body */
    size_t discarded;                  /* HTTP/2: body bytes after a refusal */
    uint8_t prefix[5];                 /* gRPC: of the answer */
    int grpc_status;
    struct str grpc_message;
};

enum http_conn_proto { HTTP_PROTO_NEW, HTTP_PROTO_1, HTTP_PROTO_2 };
enum http1_state {
    H1_HEAD,   /* between requests, or inside a head */
    H1_LENGTH, /* in a body of known length; left bytes to come */
    H1_CHUNKS, /* in a chunked body */
    H1_RUN,    /* a handler runs, or output is over its mark */
    H1_LINGER, /* the last answer is sent: read over the rest */
};

struct http_conn {
    struct http_core *core;
    const struct http_service *service;
    void *user;              /* of io */
    enum http_conn_proto proto;
    bool consuming;          /* inside feed: done() must not consume again */
    bool paused, closed;     /* closed: io->close or io->abort was called */
    bool at_rest;            /* stopping, and nothing is owed either way */
    struct buf in;           /* received, not yet consumed */
    mono_ns since;           /* start of the present state */
    mono_ns progress;        /* last byte that came */
    mono_ns sent_progress;   /* last byte that left, while some wait */
    size_t unsent_seen;
    /* HTTP/1 */
    enum http1_state state;
    struct http_exchange *cur; /* READING or RUNNING; NULL in a body that is read over */
    struct http1_chunked chunked;
    size_t scanned;
    uint64_t left, body_seen;
    bool close_after;        /* the present body is the last thing that we read */
    bool head_begun;         /* bytes of a head are there */
    /* HTTP/2 */
    void *h2;                /* nghttp2_session */
    struct http_exchange *streams;
    uint32_t nstreams;
    uint32_t resets;
    bool goaway;
};

/* -- http_conn.c -------------------------------------------------------------------------------------- */
void http_conn_init(struct http_conn *c, struct http_core *core, const struct http_service *service, void *user);
void http_conn_feed(struct http_conn *c, const uint8_t *bytes, size_t n);
void http_conn_eof(struct http_conn *c);     /* the peer sends no more: handlers are cancelled, then close */
void http_conn_drained(struct http_conn *c); /* output is below its mark again */
void http_conn_resume(struct http_conn *c);  /* goes on with c->in; for the protocols */
void http_conn_tick(struct http_conn *c);    /* once a second: the time limits */
void http_conn_stop(struct http_conn *c);    /* no new requests; closes when idle */
void http_conn_deinit(struct http_conn *c);  /* abandons what runs; after io said that it is over */
bool http_conn_idle(const struct http_conn *c); /* no exchange is open */
void http_conn_close(struct http_conn *c);
/* Is a body too slow that began `ns` ago and has `got` of `total` bytes (0 = not told)? */
bool http_body_late(int64_t ns, uint64_t got, uint64_t total);
void http_conn_abort(struct http_conn *c);

/* -- http1_conn.c ------------------------------------------------------------------------------------- */
size_t h1_consume(struct http_conn *c, const char *p, size_t n);
void h1_answer(struct http_conn *c, struct http_exchange *x);
void h1_tick(struct http_conn *c, mono_ns now);

/* -- http2.c ------------------------------------------------------------------------------------------ */
void h2_start(struct http_conn *c);
void h2_consume(struct http_conn *c, const char *p, size_t n);
void h2_pump(struct http_conn *c);
void h2_answer(struct http_conn *c, struct http_exchange *x);
void h2_goaway(struct http_conn *c);
void h2_free(struct http_conn *c);
void h2_tick(struct http_conn *c, mono_ns now);

/* -- http_exchange.c ---------------------------------------------------------------------------------- */
struct http_exchange *http_exchange_new(struct http_conn *c);
void http_exchange_free(struct http_exchange *x);    /* back to the pool; not while it runs */
void http_exchange_abandon(struct http_exchange *x); /* the client is gone */
/* rq.method, rq.headers and the target are known: finds route, tenant, encodings. False = refused: rs is filled. */
bool http_exchange_head(struct http_exchange *x, struct str target);
bool http_exchange_expect(struct http_exchange *x, uint64_t length); /* takes memory for a body of known length */
bool http_exchange_body(struct http_exchange *x, struct str bytes);
/* The whole request is here: starts the handler. False = refused. */
bool http_exchange_start(struct http_exchange *x);
void http_exchange_run(struct http_exchange *x) MAY_YIELD;
void http_exchange_refuse(struct http_exchange *x, int status, err_t code, const char *detail);

/* -- http_router.c ------------------------------------------------------------------------------------ */
/* The first route for method and path, or NULL; *api gets its API, or without a route the first under whose prefix the
 * path lies, or NULL; *allow the methods of all rows that match the path. Parameters go into rq->params. HEAD counts as
 * GET. */
const struct http_route *http_route_find(const struct http_router *r, struct http_request *rq, const struct http_api **api,
                                         unsigned *allow);
bool http_pattern_match(const char *pattern, struct str raw_path, struct http_request *rq);

/* -- http_request.c ----------------------------------------------------------------------------------- */
struct str http_headers_get(const struct http_header *h, uint32_t n, struct str lower_name);
bool http_url_valid(struct str s);                 /* every % is followed by two hex digits */

/* -- http_answer.c ------------------------------------------------------------------------------------ */
/* Compresses the answer when it pays. May yield between pieces. */
void http_answer_encode(struct http_exchange *x) MAY_YIELD;
struct http_answer_headers {
    struct http_header h[24];
    uint32_t n;
};
/* All headers but Content-Length and Connection, names in lower case. Values live in the exchange's arena. */
void http_answer_headers(struct http_exchange *x, struct http_answer_headers *out);
bool http_answer_has_body(const struct http_exchange *x);

/* -- grpc.c ------------------------------------------------------------------------------------------- */
bool grpc_is(struct str content_type);
/* The head of a call: method, tenant, encoding, deadline. False = refused. */
bool grpc_head(struct http_exchange *x, struct str path);
/* Bytes of the body so far: checks the prefix as soon as it is there and takes the memory of the message. */
bool grpc_body(struct http_exchange *x, struct str bytes);
void grpc_run(struct http_exchange *x) MAY_YIELD;
void grpc_refuse(struct http_exchange *x, int grpc_status, const char *detail, uint32_t retry_after_ms);
bool grpc_timeout_parse(struct str s, int64_t *ns);
/* google.rpc.Status with RetryInfo, base64 without padding, in the arena. */
struct str grpc_status_details(struct arena *a, int code, struct str message, uint32_t retry_after_ms);
/* RFC 3986-like escaping of grpc-message. */
struct str grpc_message_escape(struct arena *a, struct str s);

#endif
