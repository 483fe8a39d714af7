/* GET /api/cluster, on every HTTP port: what this node thinks of the cluster.
 *   {"node","label","alone","replicas","write_quorum","tenant_nodes","tenants":[{"tenant","replicas","write_quorum","nodes"}] (tenants.h; nodes 0: all),"members":[{"id","self","state","generation","address","calls_address","zone","version",
 *     "backend","weight","health","disk_percent": used of its file system, or null,"other_settings": of replicas, quorum and tenants than this node,"since_ms","http_port_offset","connected","rtt_us"}],"streams":[{"id","members":[...],"here":batches that
 *     this node has}]}
 * With everywhere=true the living members are asked what they have, for at most CLUSTER_ASK_MS; each stream has besides
 *     "all":batches that anybody asked has,"have":[{"node","batches"}] of those that answered, this node included.
 * POST /api/cluster/drain and /api/cluster/forget?node=ID, where api.deletes allows it or the request has the node's secret (control.h). The first may
 * be sent again: {"state":"draining" or "drained","node","streams","covered": those of them that enough others have}. */
#ifndef SERVER_API_CLUSTER_API_H
#define SERVER_API_CLUSTER_API_H

#include "base/core/config.h"
#include "base/net/http_server.h"
#include "cluster/cluster.h"
#include "server/api/control.h"

enum { CLUSTER_ASK_MS = 1500 };

struct cluster_api {
    const struct config *config;
    struct store *store;
    struct cluster *cluster;
    const struct control *control;
};
extern const struct http_route cluster_routes[];
extern const uint32_t cluster_nroutes;

#endif
