/* An HTTP server on every reactor: HTTP/1.1 and HTTP/2 (prior knowledge and, for gRPC, the same session
 * code) on SO_REUSEPORT listeners, one router a port. Connections are state machines in the reactor and hold no
 * fiber; a complete request (head and body, decoded) starts a fiber that runs the handler.
 *
 * Limits: head 16 KiB, 100 headers, body 64 MiB after decompression (route may set less), ratio cap 100:1 past
 * 1 MiB, head timeout 10 s, idle 120 s, 128 streams a connection. The memory of bodies in flight is charged to
 * the ingest budget *before* the body is read where its length is known: refusal = 429/503 + Retry-After.
 * Content-Encoding: identity, gzip, deflate, zstd (snappy is remote write's own business: it arrives
 * as the body). Answers are gzipped when the client accepts it and the body is over 1 KiB. */
#ifndef BASE_NET_HTTP_SERVER_H
#define BASE_NET_HTTP_SERVER_H

#include "base/core/arena.h"
#include "base/core/buf.h"
#include "base/rt/rt.h"

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PUT = 4, HTTP_DELETE = 8, HTTP_HEAD = 16, HTTP_OPTIONS = 32, HTTP_PATCH = 64 };

struct http_header {
    struct str name, value; /* name in lower case */
};

struct http_request {
    enum http_method method;
    struct str path;       /* decoded, without the query string */
    struct str raw_path;   /* as sent */
    struct str query;      /* raw query string, without '?' */
    struct str body;       /* decompressed */
    struct http_header *headers;
    uint32_t nheaders;
    struct str params[4];  /* what the route's {name} parts matched, percent-decoded, in order */
    uint32_t nparams;
    struct str tenant;     /* checked; the default when the header is absent */
    struct arena *arena;   /* the request's: dropped after the response is sent */
    void *user;            /* of the route's API */
};

struct http_response {
    int status;            /* 200 unless set */
    const char *content_type; /* static; default "application/json" */
    struct buf body;       /* max 1 GiB; charged to the query budget */
    struct http_header extra[8]; /* in the request's arena */
    uint32_t nextra;
    bool no_gzip;
};

/* Runs in a fiber of class `class`. An error that it returns is rendered by its API's on_error in the
 * protocol's own form from err_http_status() and err_detail(); OK sends rs as it stands. */
typedef err_t http_handler(struct http_request *rq, struct http_response *rs);

/* Renders an error of a handler, of body decoding, 404 and 405 (status says which) into rs. It also runs on the
 * reactor's loop (must not yield), and for heads that could not be parsed (then rq is empty). Retry-After is
 * added to 429 and 503. NULL = a line of text. */
typedef void http_error_fn(const struct http_request *rq, int status, err_t code, const char *detail,
                           struct http_response *rs);

/* The first row that matches path and method wins. One trailing '/' of the request's path is overlooked.
 * HEAD is answered by a GET row without its body; OPTIONS by the server where no row takes it. */
struct http_route {
    unsigned methods;      /* OR of http_method */
    const char *pattern;   /* "/api/v1/label/{name}/values"; {name} matches one segment, {rest*} all */
    http_handler *handler;
    enum rt_class class;
    size_t body_max;       /* 0 = 64 MiB */
    /* A Content-Encoding that the handler decodes itself (remote write's snappy); "*" = all, the body comes as it was
     * sent; NULL = none. */
    const char *own_encoding;
};

/* One API: a table of routes with its form of an error and its context. */
struct http_api {
    const struct http_route *routes;
    uint32_t nroutes;
    http_error_fn *on_error;
    void *user;            /* http_request.user of its handlers */
    const char *prefix;    /* NULL, or one segment ("/tempo") under which its routes lie; they are matched, and their
                            * parameters taken, without it */
};

/* The APIs of a port, side by side: the first row of the first API that matches wins. */
struct http_router {
    const struct http_api *apis;
    uint32_t napis;
    http_error_fn *on_error; /* where no API is meant: bad heads, and 404 and 405 outside of every prefix */
    bool cors;             /* answer preflights, add Access-Control-Allow-* to answers. Browsers' stored
                            * credentials are let through to RT_INGEST routes only. */
    const struct http_header *headers; /* on every answer, errors too; at most HTTP_ROUTER_HEADERS_MAX */
    uint32_t nheaders;
};
enum { HTTP_ROUTER_HEADERS_MAX = 4 };

/* gRPC on the same port (content-type application/grpc*): unary methods. The request message comes
 * decompressed (gzip); the handler fills `out` with the response message. An error becomes grpc-status
 * err_grpc_code() and grpc-message; retry_after_ms > 0 adds RetryInfo in grpc-status-details-bin. */
struct grpc_call {
    struct str message;
    struct str tenant;
    struct http_header *headers;
    uint32_t nheaders;
    struct arena *arena;
    void *user;
    uint32_t retry_after_ms; /* set by the handler with a retryable error */
};
typedef err_t grpc_handler(struct grpc_call *call, struct buf *out);
struct grpc_method {
    const char *path;      /* "/opentelemetry.proto.collector.trace.v1.TraceService/Export" */
    grpc_handler *handler;
};

struct http_listen {
    const char *addr;      /* "127.0.0.1", "0.0.0.0", "::" */
    uint16_t port;
    const struct http_router *router;        /* or NULL */
    const struct grpc_method *methods;       /* or NULL */
    uint32_t nmethods;
    void *user;            /* grpc_call.user */
};

struct http_server_opts {
    struct budget *body_budget;    /* request bodies in flight */
    struct budget *answer_budget;
    uint32_t connections_max;      /* a reactor */
    struct str tenant_default;     /* without X-Scope-OrgID; lives as long as the server */
    err_t (*tenant_check)(struct str tenant); /* storage's rule for names; NULL = any */
};

/* Listens on every reactor. ERR_IO names the address that is in use. Call from a fiber on core 0. */
struct http_server;
MUST_CHECK err_t http_server_start(const struct http_server_opts *o, const struct http_listen *listens, uint32_t n,
                                   struct http_server **out) MAY_YIELD;
/* Stops accepting, waits for requests in flight (at most grace_ms), closes. */
void http_server_stop(struct http_server *s, int64_t grace_ms) MAY_YIELD;
/* Of the i-th listen; what port 0 became. */
uint16_t http_server_port(const struct http_server *s, uint32_t listen);

/* -- helpers for handlers ------------------------------------------------------------------------- */
struct str http_header(const struct http_request *rq, const char *lower_name); /* STR_NONE when absent */
/* Query-string and, for POSTed application/x-www-form-urlencoded, body parameters, percent-decoded into the
 * request's arena. The i-th value of a name (0 = first); false when absent. */
bool http_param(struct http_request *rq, const char *name, unsigned i, struct str *value);
MUST_CHECK err_t url_decode(struct str in, bool plus_is_space, struct arena *a, struct str *out);
bool http_accepts(struct str list, const char *coding); /* an Accept-Encoding list with q-values */
void http_add_header(struct http_request *rq, struct http_response *rs, const char *name, struct str value);

#endif
