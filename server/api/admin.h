/* What every HTTP port answers beside its API: /healthz, /readyz, /metrics. */
#ifndef SERVER_API_ADMIN_H
#define SERVER_API_ADMIN_H

#include "base/net/http_server.h"
#include "storage/store.h"

struct admin_state {
    bool ready;
    uint64_t replay_done, replay_total; /* bytes of the write-ahead log */
    struct store *store;                /* NULL until open */
    const char *backend, *backend_reason;
};

extern const struct http_route admin_routes[];
extern const uint32_t admin_nroutes;
/* While the log is replayed: the same, and 503 with the progress for everything else. */
extern const struct http_route starting_routes[];
extern const uint32_t starting_nroutes;
void admin_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                    struct http_response *rs);

#endif
