/* The page on port 3000: where everything is, and how to send the first telemetry. */
#ifndef SERVER_API_START_PAGE_H
#define SERVER_API_START_PAGE_H

#include "base/net/http_server.h"

struct start_page_ctx {
    const char *backend;
    unsigned port_offset;
};
extern const struct http_route start_page_routes[];
extern const uint32_t start_page_nroutes;

#endif
