#include "server/doors.h"

#include "base/core/assert.h"
#include "base/rt/sock.h"
#include "query/permit.h"
#include "server/api/cluster_api.h"
#include "server/api/correlate.h"
#include "server/api/delete_tasks.h"
#include "server/api/deletes.h"
#include "server/api/deletes_allowed.h"
#include "server/api/docs_api.h"
#include "server/api/indexes.h"
#include "server/api/native.h"
#include "server/api/prometheus.h"
#include "server/api/quickwit.h"
#include "server/api/retention_api.h"
#include "server/api/rules.h"
#include "server/api/services.h"
#include "server/api/storage_api.h"
#include "server/api/tempo.h"
#include "server/ingest/ingest_http.h"
#include "server/ingest/otlp_mapping.h"

#include <stdlib.h>

enum { PORT_WAIT_MS = 1000, PORT_POLL_MS = 20 };

static const uint16_t ports[DOORS] = {
    [DOOR_OTLP_GRPC] = 4317, [DOOR_OTLP_HTTP] = 4318, [DOOR_PROMETHEUS] = 9090,
    [DOOR_TEMPO] = 3200,     [DOOR_QUICKWIT] = 7280,  [DOOR_UI] = 3000,
};

/* Answers of APIs hold what telemetry brought: no browser is to take them for anything else. */
static const struct http_header ui_headers[] = {
    { { "x-content-type-options", 22 }, { "nosniff", 7 } },
    { { "referrer-policy", 15 }, { "same-origin", 11 } },
};

struct contexts {
    struct ingest_ctx ingest;
    struct prom_ctx prom;
    struct tempo_ctx tempo;
    struct quickwit_ctx quickwit;
    struct native_ctx native;
    struct cluster_api cluster;
    struct delete_tasks *tasks;
    struct arena memory;         /* of otlp */
    struct otlp_mapping otlp;
};

uint16_t door_port(const struct config *c, enum door door)
{
    return (uint16_t)(ports[door] + config_num(c, CFG_LISTEN_PORT_OFFSET));
}

/* Lays APIs side by side on a port; on_error is the form of what belongs to none of them. */
static void lay(struct doors *d, enum door door, http_error_fn *on_error, const struct http_api *apis, uint32_t n)
{
    ASSERT(n <= DOOR_APIS_MAX);
    memcpy(d->apis[door], apis, n * sizeof *apis);
    d->routers[door] = (struct http_router){ .apis = d->apis[door], .napis = n, .on_error = on_error };
}

static struct http_api under(const char *prefix, struct http_api api)
{
    api.prefix = prefix;
    return api;
}

/* ingest: what gRPC calls get; NULL = OTLP/gRPC stays closed. */
static err_t listen_all(struct doors *d, const struct http_server_opts *o, struct ingest_ctx *ingest,
                        struct http_server **out) MAY_YIELD
{
    struct http_listen listens[DOORS];
    uint32_t n = 0;
    for (int i = 0; i < DOORS; i++) {
        if (i == DOOR_OTLP_GRPC && !ingest) continue;
        listens[n++] = (struct http_listen){ .addr = config_text(d->config, CFG_LISTEN_BIND),
                                             .port = door_port(d->config, (enum door)i),
                                             .router = &d->routers[i],
                                             .methods = i == DOOR_OTLP_GRPC ? ingest_grpc_methods : NULL,
                                             .nmethods = i == DOOR_OTLP_GRPC ? ingest_grpc_nmethods : 0,
                                             .user = ingest };
    }
    return http_server_start(o, listens, n, out);
}

/* The UI is there, and says how far the start has come; every other path waits. */
static void lay_starting(struct doors *d)
{
    static const char *const names[DOORS] = { "otlp_grpc", "otlp_http", "prometheus", "tempo", "quickwit", "ui" };
    _Static_assert(ARRAY_LEN(names) == ARRAY_LEN(d->ui.ports), "one port a door");
    d->ui = (struct ui_ctx){ .bundle = &ui_bundle, .dir = config_text(d->config, CFG_UI_DIR), .config = d->config,
                             .admin = d->admin, .bodies = d->ingest_budget, .queries = d->query_budget };
    for (int i = 0; i < DOORS; i++) {
        d->ui.ports[i].name = names[i];
        d->ui.ports[i].port = door_port(d->config, (enum door)i);
    }
    const struct http_api starting = { starting_routes, starting_nroutes, admin_on_error, d->admin };
    const struct http_api pages = { ui_page_routes, ui_page_nroutes, ui_page_on_error, &d->ui };
    const struct http_api status = { ui_status_routes, ui_status_nroutes, native_on_error, &d->ui };
    for (int i = 0; i < DOOR_UI; i++)
        lay(d, (enum door)i, admin_on_error, &starting, 1);
    lay(d, DOOR_UI, native_on_error, (struct http_api[]){ pages, status, starting }, 3);
    d->routers[DOOR_UI].headers = ui_headers;
    d->routers[DOOR_UI].nheaders = ARRAY_LEN(ui_headers);
}

/* The sockets of a node that was killed outlive it for a moment, where the kernel puts its ring away. */
static err_t wait_for_port(struct doors *d, enum door door) MAY_YIELD
{
    mono_ns end = mono_add(rt_now(), PORT_WAIT_MS * NS_PER_MS);
    for (;;) {
        err_t e = sock_port_free(config_text(d->config, CFG_LISTEN_BIND), door_port(d->config, door));
        if (e != ERR_IO || rt_now().ns >= end.ns) return e;
        TRY(fiber_sleep(PORT_POLL_MS * NS_PER_MS));
    }
}

err_t doors_open_starting(struct doors *d, const struct http_server_opts *o, struct http_server **out)
{
    for (int i = 0; i < DOORS; i++)
        TRY(wait_for_port(d, (enum door)i));
    lay_starting(d);
    return listen_all(d, o, NULL, out);
}

static err_t otlp_mapping_of(const struct config *c, struct arena *a, struct otlp_mapping *out)
{
    const struct otlp_mapping_text text = {
        .strategy = str_of(config_text(c, CFG_OTLP_TRANSLATION_STRATEGY)),
        .promote = str_of(config_text(c, CFG_OTLP_PROMOTE_RESOURCE_ATTRIBUTES)),
        .promote_all = config_num(c, CFG_OTLP_PROMOTE_ALL_RESOURCE_ATTRIBUTES),
        .ignore = str_of(config_text(c, CFG_OTLP_IGNORE_RESOURCE_ATTRIBUTES)),
        .keep_identifying = config_num(c, CFG_OTLP_KEEP_IDENTIFYING_RESOURCE_ATTRIBUTES),
        .promote_scope = config_num(c, CFG_OTLP_PROMOTE_SCOPE_METADATA),
        .nhcb = config_num(c, CFG_OTLP_CONVERT_HISTOGRAMS_TO_NHCB),
    };
    return otlp_mapping_read(&text, a, out);
}

static void fill_contexts(struct doors *d, struct contexts *c, bool deletes)
{
    const struct config *cf = d->config;
    int64_t timeout_ns = config_num(cf, CFG_QUERY_TIMEOUT) * NS_PER_MS;
    int64_t one = config_num(cf, CFG_QUERY_MEMORY_ONE);
    ingest_ctx_init(&c->ingest, d->store, d->cluster, d->ingest_budget, rt_cores(), &c->otlp);
    c->prom = (struct prom_ctx){ .store = d->store, .cluster = d->cluster, .deletes = deletes, .tasks = c->tasks, .budget = d->query_budget, .query_bytes_max = one, .timeout_ns = timeout_ns,
                                 .samples_max = config_num(cf, CFG_QUERY_SAMPLES_MAX), .started_ms = rt_wall().ns / NS_PER_MS, .config = cf };
    c->tempo = (struct tempo_ctx){ .store = d->store, .cluster = d->cluster, .budget = d->query_budget, .query_bytes_max = one,
                                   .timeout_ns = timeout_ns };
    c->quickwit = (struct quickwit_ctx){ .store = d->store, .cluster = d->cluster, .budget = d->query_budget, .ingest = &c->ingest,
                                         .query_bytes_max = one, .timeout_ns = timeout_ns, .tasks = c->tasks, .deletes = deletes };
    c->native = (struct native_ctx){ .store = d->store, .cluster = d->cluster, .budget = d->query_budget, .query_bytes_max = one,
                                     .timeout_ns = timeout_ns, .tasks = c->tasks, .deletes = deletes };
    c->cluster = (struct cluster_api){ d->config, d->store, d->cluster, &d->control };
}

static void lay_all(struct doors *d, struct contexts *c)
{
    const struct http_api admin = { admin_routes, admin_nroutes, admin_on_error, d->admin };
    const struct http_api cluster = { cluster_routes, cluster_nroutes, native_on_error, &c->cluster };
    const struct http_api otlp = { ingest_otlp_routes, ingest_otlp_nroutes, ingest_otlp_on_error, &c->ingest };
    const struct http_api prom = { prometheus_routes, prometheus_nroutes, prometheus_on_error, &c->prom };
    const struct http_api prom_in = { ingest_prometheus_routes, ingest_prometheus_nroutes, ingest_otlp_on_error, &c->ingest };
    const struct http_api prom_write = { ingest_remote_write_routes, ingest_remote_write_nroutes, ingest_plain_on_error,
                                         &c->ingest };
    const struct http_api tempo = { tempo_routes, tempo_nroutes, tempo_on_error, &c->tempo };
    const struct http_api quickwit = { quickwit_routes, quickwit_nroutes, quickwit_on_error, &c->quickwit };
    const struct http_api quickwit_in = { ingest_quickwit_routes, ingest_quickwit_nroutes, ingest_otlp_on_error, &c->ingest };
    const struct http_api correlate = { correlate_routes, correlate_nroutes, native_on_error, &c->native };
    const struct http_api services = { services_routes, services_nroutes, native_on_error, &c->native };
    const struct http_api retention = { retention_routes, retention_nroutes, native_on_error, &c->native };
    const struct http_api storage = { storage_routes, storage_nroutes, native_on_error, &c->native };
    const struct http_api docs = { docs_routes, docs_nroutes, native_on_error, &c->native };
    const struct http_api deletions = { deletes_routes, deletes_nroutes, native_on_error, &c->native };
    const struct http_api status = { ui_status_routes, ui_status_nroutes, native_on_error, &d->ui };
    const struct http_api pages = { ui_page_routes, ui_page_nroutes, ui_page_on_error, &d->ui };
    lay(d, DOOR_OTLP_GRPC, ingest_otlp_on_error, (struct http_api[]){ otlp, cluster, docs, admin }, 4);
    lay(d, DOOR_OTLP_HTTP, ingest_otlp_on_error, (struct http_api[]){ otlp, cluster, docs, admin }, 4);
    lay(d, DOOR_PROMETHEUS, prometheus_on_error, (struct http_api[]){ prom, prom_write, prom_in, cluster, docs, admin }, 6);
    lay(d, DOOR_TEMPO, tempo_on_error, (struct http_api[]){ tempo, cluster, docs, admin }, 4);
    lay(d, DOOR_QUICKWIT, quickwit_on_error, (struct http_api[]){ quickwit_in, quickwit, cluster, docs, admin }, 5);
    for (int i = 0; i < DOOR_UI; i++)
        d->routers[i].cors = true;
    /* The UI's own origin: the pages, and beside them every API that they read, each under its prefix. */
    const struct http_api ui[] = {
        pages,
        services,
        correlate,
        deletions,
        retention,
        storage,
        status,
        under("/prometheus", prom),
        under("/tempo", tempo),
        under("/quickwit", quickwit_in),
        under("/quickwit", quickwit),
        cluster,
        docs,
        admin,
    };
    lay(d, DOOR_UI, native_on_error, ui, ARRAY_LEN(ui));
    d->routers[DOOR_UI].headers = ui_headers;
    d->routers[DOOR_UI].nheaders = ARRAY_LEN(ui_headers);
}

/* Indexes first: rules may be of one. */
static void follow(struct doors *d) MAY_YIELD
{
    indexes_follow(d->cluster, d->store);
    rules_follow(d->cluster, d->store);
}

err_t doors_open(struct doors *d, const struct http_server_opts *o, struct http_server **out)
{
    bool deletes;
    TRY(deletes_allowed(d->config, &deletes));
    struct contexts *c = calloc(1, sizeof *c);
    ASSERT(c);
    d->contexts = c;
    arena_init(&c->memory, NULL);
    err_t e = otlp_mapping_of(d->config, &c->memory, &c->otlp);
    if (e == OK) e = delete_tasks_start(d->store, d->cluster, d->query_budget, &c->tasks);
    if (e == OK) {
        follow(d);
        fill_contexts(d, c, deletes);
        permit_init(rt_cores(), config_num(d->config, CFG_QUERY_CONCURRENCY));
        lay_all(d, c);
        e = listen_all(d, o, &c->ingest, out);
    } else {
        arena_deinit(&c->memory);
        free(c);
        d->contexts = NULL;
    }
    if (e != OK) {
        struct err_record why = *err_record();
        doors_close(d);
        *err_record() = why;
    }
    return e;
}

void doors_close(struct doors *d)
{
    struct contexts *c = d->contexts;
    if (c) {
        rules_follow_end(d->cluster);
        indexes_follow_end(d->cluster);
        delete_tasks_stop(c->tasks);
        ingest_ctx_deinit(&c->ingest);
        arena_deinit(&c->memory);
        permit_deinit();
    }
    free(c);
    d->contexts = NULL;
}
