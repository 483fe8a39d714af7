/* GET /api/services?start&end[&steps=60]: the services of a window with their RED and the calls between them, as
 * query/graph/services.h defines them; the last 15 minutes without start and end.
 *
 * {"start", "end", "step": seconds,
 *  "services": [{"name", "language", "spans", "requests", "errors", "p50_ms", "p95_ms", "p99_ms", "last_seen": seconds or null,
 *                "rate": [requests per second, one a step], "error_rate": [share or null], "p95": [ms or null]}],
 *  "edges": [{"from", "to", "to_kind": "service" | "database" | "messaging" | "external", "requests", "errors",
 *             "p50_ms", "p95_ms"}],
 *  "partial": bool[, "warnings": [why]]}
 * Services stand by name ("" is the one of spans without service.name), edges by requests, most first. Quantiles are
 * off by at most 1.09 % (base/core/exphist.h); numbers have six digits. An edge may name a service that only has spans
 * just outside of the window: it then stands among the services with zeros. */
#ifndef SERVER_API_SERVICES_H
#define SERVER_API_SERVICES_H

#include "base/net/http_server.h"

extern const struct http_route services_routes[];
extern const uint32_t services_nroutes;

#endif
