/* The ports and what is served on each: APIs laid side by side, each with its context; on the UI's port
 * each under its prefix. */
#ifndef SERVER_DOORS_H
#define SERVER_DOORS_H

#include "base/core/config.h"
#include "base/net/http_server.h"
#include "cluster/cluster.h"
#include "server/api/control.h"
#include "server/api/ui.h"

enum door { DOOR_OTLP_GRPC, DOOR_OTLP_HTTP, DOOR_PROMETHEUS, DOOR_TEMPO, DOOR_QUICKWIT, DOOR_UI, DOORS };
enum { DOOR_APIS_MAX = 14 };

struct doors {
    const struct config *config;
    struct admin_state *admin;
    struct store *store;
    struct cluster *cluster;
    struct control control;
    struct budget *query_budget, *ingest_budget;
    struct http_api apis[DOORS][DOOR_APIS_MAX];
    struct http_router routers[DOORS];  /* of apis */
    struct ui_ctx ui;
    void *contexts;                     /* owned; doors.c */
};

/* HTTP ports only, while the store is not open yet. OTLP/gRPC stays closed: its clients retry a refused
 * connection, but not an error. */
MUST_CHECK err_t doors_open_starting(struct doors *d, const struct http_server_opts *o,
                                     struct http_server **out) MAY_YIELD;
MUST_CHECK err_t doors_open(struct doors *d, const struct http_server_opts *o, struct http_server **out) MAY_YIELD;
void doors_close(struct doors *d) MAY_YIELD;
uint16_t door_port(const struct config *c, enum door door);

#endif
