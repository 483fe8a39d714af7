/* The ports and what is served on each: API route tables laid side by side, with the context of each API. */
#ifndef SERVER_DOORS_H
#define SERVER_DOORS_H

#include "base/core/config.h"
#include "base/net/http_server.h"
#include "server/api/admin.h"

enum door { DOOR_OTLP_GRPC, DOOR_OTLP_HTTP, DOOR_PROMETHEUS, DOOR_TEMPO, DOOR_QUICKWIT, DOOR_UI, DOORS };

struct doors {
    const struct config *config;
    struct admin_state *admin;
    struct store *store;
    struct budget *query_budget, *ingest_budget;
    struct http_route *tables[DOORS];   /* owned */
    struct http_router routers[DOORS];
    void *contexts;                     /* owned; doors.c */
};

/* HTTP ports only, while the store is not open yet. OTLP/gRPC stays closed: its clients retry a refused
 * connection, but not an error. */
MUST_CHECK err_t doors_open_starting(struct doors *d, const struct http_server_opts *o,
                                     struct http_server **out) MAY_YIELD;
MUST_CHECK err_t doors_open(struct doors *d, const struct http_server_opts *o, struct http_server **out) MAY_YIELD;
void doors_close(struct doors *d);
uint16_t door_port(const struct doors *d, enum door door);

#endif
