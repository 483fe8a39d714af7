/* GET /api/cluster, on every HTTP port: what this node thinks of the cluster.
 *   {"node","label","alone","replicas","write_quorum","members":[{"id","self","state","generation","address","calls_address","zone","version",
 *     "backend","weight","health","since_ms","connected","rtt_us"}],"streams":[{"id","members":[...],"here":batches that this node has}]} */
#ifndef SERVER_API_CLUSTER_API_H
#define SERVER_API_CLUSTER_API_H

#include "base/core/config.h"
#include "base/net/http_server.h"
#include "cluster/cluster.h"

struct cluster_api {
    const struct config *config;
    struct store *store;
    struct cluster *cluster;
};
extern const struct http_route cluster_routes[];
extern const uint32_t cluster_nroutes;

#endif
