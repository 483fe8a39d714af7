/* POST /api/delete, GET /api/delete[/{id}]: rows deleted by query, of every signal that has rows. */
#ifndef SERVER_API_DELETES_H
#define SERVER_API_DELETES_H

#include "base/net/http_server.h"

/* The `user` is a struct native_ctx. */
extern const struct http_route deletes_routes[];
extern const uint32_t deletes_nroutes;

#endif
