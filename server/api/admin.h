/* What every HTTP port answers beside its API: /healthz, /readyz, /metrics. */
#ifndef SERVER_API_ADMIN_H
#define SERVER_API_ADMIN_H

#include "base/net/http_server.h"
#include "cluster/cluster.h"
#include "storage/store.h"

struct admin_state {
    bool ready;
    uint64_t replay_done, replay_total; /* bytes of the write-ahead log */
    struct store *store;                /* NULL until open */
    struct cluster *cluster;            /* NULL until open */
    const char *backend, *backend_reason;
};

/* Why a node is not to be sent anything, or NULL: it starts or stops, its disk failed, or it has not found its cluster yet (cluster_joined):
 * until then it would refuse every write, and answer from what it has alone. Not seeing the others later on does not make it unready:
 * they may not see it either, and somebody has to answer. `st`: of its store, or zeroes. */
const char *admin_not_ready(const struct admin_state *a, const struct store_stats *st);

extern const struct http_route admin_routes[];
extern const uint32_t admin_nroutes;
/* While the log is replayed: the same, and 503 with the progress for everything else. */
extern const struct http_route starting_routes[];
extern const uint32_t starting_nroutes;
void admin_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                    struct http_response *rs);

#endif
