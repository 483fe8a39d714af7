/* Prometheus' HTTP API as Grafana and promtool use it (docs/querying/api.md of Prometheus 3): queries, labels,
 * series, metadata, exemplars, status. Errors are its JSON envelope. Remote write is server/ingest's. */
#ifndef SERVER_API_PROMETHEUS_H
#define SERVER_API_PROMETHEUS_H

#include "base/net/http_server.h"
#include "storage/store.h"

struct config;
struct delete_tasks;
struct prom_ctx { /* the `user` of the routes */
    struct store *store;
    struct cluster *cluster; /* NULL: this node is all there is */
    struct budget *budget;   /* of all queries */
    int64_t query_bytes_max; /* of one */
    int64_t timeout_ns;
    int64_t samples_max;
    int64_t started_ms;      /* unix; for /status/runtimeinfo */
    bool deletes;            /* may requests delete? */
    struct delete_tasks *tasks; /* of the exemplars of deleted series */
    const struct config *config; /* for /status */
};
extern const struct http_route prometheus_routes[];
extern const uint32_t prometheus_nroutes;
void prometheus_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                         struct http_response *rs);

#endif
