/* Quickwit's REST API and its Elasticsearch side (port 7280), as Grafana's Quickwit plugin, Elasticsearch clients and
 * curl use it. rq->user is a struct quickwit_ctx. Errors: {"message": ...} on the native side, {"status", "error":
 * {"type", "reason", ...}} under /api/v1/_elastic. Logs and spans of OpenTelemetry are the indexes otel-logs-v0_9 and
 * otel-traces-v0_9; everything else is an index that somebody made. Rows are visible when they are acknowledged, so
 * commit= and refresh= change nothing. */
#ifndef SERVER_API_QUICKWIT_H
#define SERVER_API_QUICKWIT_H

#include "base/net/http_server.h"
#include "server/ingest/ingest_http.h"

struct delete_tasks;
struct quickwit_ctx {
    struct store *store;
    struct cluster *cluster; /* NULL: this node is all there is */
    struct ingest_ctx *ingest;
    struct budget *budget;     /* of all queries */
    int64_t query_bytes_max;   /* of one */
    int64_t timeout_ns;
    struct delete_tasks *tasks;
    bool deletes;            /* may requests delete by query? */
};
extern const struct http_route quickwit_routes[];
extern const uint32_t quickwit_nroutes;
/* Chooses the form by the path; "Route not found" for 404s of the router. */
void quickwit_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs);

#endif
