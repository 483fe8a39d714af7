/* GET, PUT /api/retention: how long what is kept, by tenant, signal and index. */
#ifndef SERVER_API_RETENTION_API_H
#define SERVER_API_RETENTION_API_H

#include "base/net/http_server.h"

/* The `user` is a struct native_ctx. */
extern const struct http_route retention_routes[];
extern const uint32_t retention_nroutes;

#endif
