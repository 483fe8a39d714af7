/* GET /api/cluster/docs, on every HTTP port: the documents that nodes of the cluster share, as this node has them (cluster/docs.h).
 *   {"docs":[{"kind","key","version":{"time_ms","clock","node"},"deleted","bytes","conflicts":[{"version","deleted","bytes"}]}],
 *    "conflicts": documents that have some}
 * Keys name tenants: api.deletes decides who is told, as of what other tenants have. */
#ifndef SERVER_API_DOCS_API_H
#define SERVER_API_DOCS_API_H

#include "base/net/http_server.h"

/* The `user` is a struct native_ctx. */
extern const struct http_route docs_routes[];
extern const uint32_t docs_nroutes;

#endif
