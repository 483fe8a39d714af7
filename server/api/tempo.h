/* Tempo's HTTP API as Grafana's Tempo data source uses it: traces by id (v1, v2; protobuf or JSON), search,
 * tags and their values (v1, v2), TraceQL metrics, echo. Errors are plain text. */
#ifndef SERVER_API_TEMPO_H
#define SERVER_API_TEMPO_H

#include "base/net/http_server.h"
#include "storage/store.h"

struct tempo_ctx {
    struct store *store;
    struct cluster *cluster; /* NULL: this node is all there is */
    struct budget *budget;      /* of all queries */
    int64_t query_bytes_max;    /* of one */
    int64_t timeout_ns;
};
extern const struct http_route tempo_routes[];
extern const uint32_t tempo_nroutes;
void tempo_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs);

#endif
