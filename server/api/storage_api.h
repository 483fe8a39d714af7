/* GET /api/admin/storage: where the bytes of the store are. Specified in storage_api.c. */
#ifndef SERVER_API_STORAGE_API_H
#define SERVER_API_STORAGE_API_H

#include "base/net/http_server.h"

/* The `user` is a struct native_ctx. */
extern const struct http_route storage_routes[];
extern const uint32_t storage_nroutes;

#endif
