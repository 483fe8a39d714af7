/* Port 3000's own routes: /api/ui/status. rq->user is a struct ui_ctx. */
#ifndef SERVER_API_UI_H
#define SERVER_API_UI_H

#include "base/core/config.h"
#include "server/api/admin.h"

/* Was something counted lately? Asked by each poll; all reactors share it, and a lost race tells the same twice. */
struct ui_recent {
    _Atomic int64_t count;                 /* at the last poll */
    _Atomic int64_t polled_ns, counted_ns; /* monotonic; 0 = never */
};

struct ui_ctx {
    const struct config *config;
    const struct admin_state *admin; /* its store is NULL while the log is replayed */
    struct budget *budget;           /* of look-ups */
    struct { const char *name; uint16_t port; } ports[6];
    struct ui_recent ingest_refused, queries_refused;
};

/* GET /api/ui/status, also while the log is replayed:
 *   { version, backend, ready, ports: {name: port}, data: {spans, logs, series: does the tenant have any; null while it is
 *     not known}, banners: [{level: "warn" | "error", text}] } */
extern const struct http_route ui_status_routes[];
extern const uint32_t ui_status_nroutes;

#endif
