#include "server/doors.h"

#include "base/core/assert.h"
#include "base/rt/sock.h"
#include "query/permit.h"
#include "server/api/native.h"
#include "server/api/prometheus.h"
#include "server/api/quickwit.h"
#include "server/api/services.h"
#include "server/api/start_page.h"
#include "server/api/tempo.h"
#include "server/ingest/ingest_http.h"

#include <stdlib.h>

static const uint16_t ports[DOORS] = {
    [DOOR_OTLP_GRPC] = 4317, [DOOR_OTLP_HTTP] = 4318, [DOOR_PROMETHEUS] = 9090,
    [DOOR_TEMPO] = 3200,     [DOOR_QUICKWIT] = 7280,  [DOOR_UI] = 3000,
};

struct contexts {
    struct ingest_ctx ingest;
    struct prom_ctx prom;
    struct tempo_ctx tempo;
    struct quickwit_ctx quickwit;
    struct start_page_ctx start;
    struct native_ctx native;
};

/* One API's routes with its context and its form of an error. */
typedef void on_error_fn(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs);
struct api {
    const struct http_route *routes;
    uint32_t n;
    void *user;
    on_error_fn *on_error;
};

uint16_t door_port(const struct doors *d, enum door door)
{
    return (uint16_t)(ports[door] + config_num(d->config, CFG_LISTEN_PORT_OFFSET));
}

/* Lays the tables of several APIs side by side; the first gives the form of 404 and 405. */
static void lay(struct doors *d, enum door door, const struct api *apis, uint32_t n, bool cors)
{
    uint32_t total = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        total += apis[i].n;
    struct http_route *t = calloc(total, sizeof *t);
    ASSERT(t);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < apis[i].n; k++) {
            t[at] = apis[i].routes[k];
            if (!t[at].user) t[at].user = apis[i].user;
            if (!t[at].on_error) t[at].on_error = apis[i].on_error;
            at++;
        }
    free(d->tables[door]);
    d->tables[door] = t;
    d->routers[door] = (struct http_router){ .routes = t, .nroutes = total, .on_error = apis[0].on_error,
                                             .cors = cors, .user = apis[0].user };
}

static err_t listen_all(struct doors *d, const struct http_server_opts *o, bool grpc, struct http_server **out)
{
    struct http_listen listens[DOORS];
    uint32_t n = 0;
    for (int i = 0; i < DOORS; i++) {
        if (i == DOOR_OTLP_GRPC && !grpc) continue;
        listens[n++] = (struct http_listen){ .addr = config_text(d->config, CFG_LISTEN_BIND),
                                             .port = door_port(d, (enum door)i),
                                             .router = &d->routers[i],
                                             .methods = i == DOOR_OTLP_GRPC ? ingest_grpc_methods : NULL,
                                             .nmethods = i == DOOR_OTLP_GRPC ? ingest_grpc_nmethods : 0 };
    }
    return http_server_start(o, listens, n, out);
}

err_t doors_open_starting(struct doors *d, const struct http_server_opts *o, struct http_server **out)
{
    const struct api starting = { starting_routes, starting_nroutes, d->admin, admin_on_error };
    for (int i = 0; i < DOORS; i++) {
        TRY(sock_port_free(config_text(d->config, CFG_LISTEN_BIND), door_port(d, (enum door)i)));
        lay(d, (enum door)i, &starting, 1, false);
    }
    return listen_all(d, o, false, out);
}

static void fill_contexts(struct doors *d, struct contexts *c)
{
    const struct config *cf = d->config;
    int64_t timeout_ns = config_num(cf, CFG_QUERY_TIMEOUT) * NS_PER_MS;
    int64_t one = config_num(cf, CFG_QUERY_MEMORY_ONE);
    ingest_ctx_init(&c->ingest, d->store, d->ingest_budget, rt_cores());
    c->prom = (struct prom_ctx){ .store = d->store, .budget = d->query_budget, .query_bytes_max = one, .timeout_ns = timeout_ns,
                                 .samples_max = config_num(cf, CFG_QUERY_SAMPLES_MAX), .started_ms = rt_wall().ns / NS_PER_MS };
    c->tempo = (struct tempo_ctx){ .store = d->store, .budget = d->query_budget, .query_bytes_max = one,
                                   .timeout_ns = timeout_ns };
    c->quickwit = (struct quickwit_ctx){ .store = d->store, .budget = d->query_budget, .ingest = &c->ingest,
                                         .query_bytes_max = one, .timeout_ns = timeout_ns };
    c->native = (struct native_ctx){ .store = d->store, .budget = d->query_budget, .query_bytes_max = one,
                                     .timeout_ns = timeout_ns };
    c->start = (struct start_page_ctx){ .backend = rt_backend_name(),
                                         .port_offset = (unsigned)config_num(cf, CFG_LISTEN_PORT_OFFSET) };
}

err_t doors_open(struct doors *d, const struct http_server_opts *o, struct http_server **out)
{
    struct contexts *c = calloc(1, sizeof *c);
    ASSERT(c);
    d->contexts = c;
    fill_contexts(d, c);
    permit_init(rt_cores(), config_num(d->config, CFG_QUERY_CONCURRENCY));
    const struct api admin = { admin_routes, admin_nroutes, d->admin, admin_on_error };
    const struct api otlp = { ingest_otlp_routes, ingest_otlp_nroutes, &c->ingest, ingest_otlp_on_error };
    const struct api prom = { prometheus_routes, prometheus_nroutes, &c->prom, prometheus_on_error };
    const struct api prom_in = { ingest_prometheus_routes, ingest_prometheus_nroutes, &c->ingest, ingest_plain_on_error };
    const struct api tempo = { tempo_routes, tempo_nroutes, &c->tempo, tempo_on_error };
    const struct api quickwit = { quickwit_routes, quickwit_nroutes, &c->quickwit, quickwit_on_error };
    const struct api quickwit_in = { ingest_quickwit_routes, ingest_quickwit_nroutes, &c->ingest, ingest_otlp_on_error };
    const struct api page = { start_page_routes, start_page_nroutes, &c->start, admin_on_error };
    const struct api services = { services_routes, services_nroutes, &c->native, native_on_error };
    lay(d, DOOR_OTLP_GRPC, (struct api[]){ otlp, admin }, 2, true);
    lay(d, DOOR_OTLP_HTTP, (struct api[]){ otlp, admin }, 2, true);
    /* The first route that matches wins: Quickwit's table ends in a catch-all, so it comes last. */
    lay(d, DOOR_PROMETHEUS, (struct api[]){ prom, prom_in, admin }, 3, true);
    lay(d, DOOR_TEMPO, (struct api[]){ tempo, admin }, 2, true);
    lay(d, DOOR_QUICKWIT, (struct api[]){ quickwit_in, admin, quickwit }, 3, true);
    d->routers[DOOR_QUICKWIT].on_error = quickwit_on_error;
    lay(d, DOOR_UI, (struct api[]){ page, services, admin }, 3, false);
    d->routers[DOOR_OTLP_GRPC].user = &c->ingest; /* what gRPC calls get */
    return listen_all(d, o, true, out);
}

void doors_close(struct doors *d)
{
    struct contexts *c = d->contexts;
    if (c) {
        ingest_ctx_deinit(&c->ingest);
        permit_deinit();
    }
    free(c);
    d->contexts = NULL;
    for (int i = 0; i < DOORS; i++) {
        free(d->tables[i]);
        d->tables[i] = NULL;
    }
}
