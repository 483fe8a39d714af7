/* The doors in, as handlers over the store: OTLP/HTTP, OTLP/gRPC, remote write, and the functions that the Quickwit API
 * calls for its ndjson and _bulk routes. rq->user and call->user are a struct ingest_ctx.
 *
 * OTLP answers in the type of the request: protobuf or JSON; errors as google.rpc.Status. Rows that will never be
 * acceptable are counted in partial_success; everything else is all or nothing. Remote write and _bulk answer in
 * their own forms. An error that is worth a retry carries Retry-After (HTTP) or RetryInfo (gRPC). */
#ifndef SERVER_INGEST_INGEST_HTTP_H
#define SERVER_INGEST_INGEST_HTTP_H

#include "base/net/http_server.h"
#include "server/ingest/docs.h"
#include "storage/store.h"

struct otlp_mapping;
struct rw_cache;
struct cluster;

struct ingest_ctx {
    struct store *store;
    struct cluster *cluster;    /* NULL: what is accepted stays on this node alone */
    struct budget *budget;      /* of requests being decoded: a refusal is ERR_OVERLOAD */
    struct rw_cache **rw_cache; /* one a core */
    unsigned cores;
    const struct otlp_mapping *otlp;
};

enum { INGEST_RETRY_AFTER_S = 1 };

/* `otlp` lives as long as the context. */
void ingest_ctx_init(struct ingest_ctx *c, struct store *s, struct cluster *cluster, struct budget *budget, unsigned cores,
                     const struct otlp_mapping *otlp);
void ingest_ctx_deinit(struct ingest_ctx *c);

/* The tables; errors of remote write are ingest_plain_on_error's, all others ingest_otlp_on_error's. */
/* POST /v1/traces, /v1/metrics, /v1/logs: port 4318 */
extern const struct http_route ingest_otlp_routes[];
extern const uint32_t ingest_otlp_nroutes;
/* POST /api/v1/write: port 9090 */
extern const struct http_route ingest_remote_write_routes[];
extern const uint32_t ingest_remote_write_nroutes;
/* POST /api/v1/otlp/v1/metrics: port 9090 */
extern const struct http_route ingest_prometheus_routes[];
extern const uint32_t ingest_prometheus_nroutes;
/* POST /api/v1/otlp/v1/logs, /api/v1/otlp/v1/traces: port 7280 */
extern const struct http_route ingest_quickwit_routes[];
extern const uint32_t ingest_quickwit_nroutes;
/* The three Export services: port 4317 */
extern const struct grpc_method ingest_grpc_methods[];
extern const uint32_t ingest_grpc_nmethods;

http_handler ingest_otlp_traces, ingest_otlp_metrics, ingest_otlp_logs, ingest_remote_write;
grpc_handler ingest_grpc_traces, ingest_grpc_metrics, ingest_grpc_logs;
/* google.rpc.Status in the request's encoding; for routers. */
void ingest_otlp_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                          struct http_response *rs);
/* Plain text, as remote write's clients print it. */
void ingest_plain_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                           struct http_response *rs);

/* -- documents ---------------------------------------------------------------------------------------- */
/* The body's lines into `index`; the answer {num_docs_for_processing, num_ingested_docs, num_rejected_docs,
 * parse_failures?} into rs (parse_failures with ?detailed_response=true). */
MUST_CHECK err_t docs_ingest(struct ingest_ctx *c, struct http_request *rq, struct str index,
                             const struct doc_mapping *m, struct http_response *rs) MAY_YIELD;
/* Finds (or makes, by a template) the index a bulk action names. ERR_NOT_FOUND, ERR_INVALID (a bad name) are
 * errors of the item; others of the request. May yield; *m is lent until docs_bulk returns. */
typedef err_t docs_resolve(void *arg, struct str tenant, struct str index, const struct doc_mapping **m);
/* Elasticsearch's _bulk; default_index of the path, or empty. Answers and error bodies are written into rs. */
MUST_CHECK err_t docs_bulk(struct ingest_ctx *c, struct http_request *rq, struct str default_index,
                           docs_resolve *resolve, void *arg, struct http_response *rs) MAY_YIELD;

#endif
