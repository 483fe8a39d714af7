/* What the UI asks every few seconds: is the node ready, is there any data, and what is wrong with all of it. A banner
 * stands for what is true now; nothing here is a guess or a history. Cheap: counters, directories of segments until
 * something of each signal is found, and one question to the other nodes while one of them is away. */
#include "base/core/json_out.h"
#include "base/core/metric.h"
#include "server/api/ui.h"
#include "server/api/ui_cluster.h"
#include "storage/view.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    RECENT_S = 60,
    MERGES_LATE_S = 300, /* a merge may well wait for the memory of others */
    STATUS_S = 5, /* for the look at the data: the next poll asks again */
    SIGNALS_SHOWN = 1u << SIG_SPANS | 1u << SIG_LOGS | 1u << SIG_METRICS,
};
/* Shares of a limit from which on it is told of. */
#define DISK_NEAR 0.95
#define RETENTION_NEAR 0.97
#define MEMORY_NEAR 0.9

/* -- banners ------------------------------------------------------------------------------------------ */

static void put_banner(struct json_out *j, const char *level, const char *page, const char *fmt, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, args);
    json_obj(j);
    json_keyz(j, "level");
    json_z(j, level);
    json_keyz(j, "text");
    json_z(j, text);
    if (page) {
        json_keyz(j, "page");
        json_z(j, page);
    }
    json_obj_end(j);
}

static void banner(struct json_out *j, const char *level, const char *fmt, ...) PRINTF(3, 4);
static void banner(struct json_out *j, const char *level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    put_banner(j, level, NULL, fmt, args);
    va_end(args);
}

/* More of it is on the page of the cluster. */
static void cluster_banner(struct json_out *j, const char *level, const char *fmt, ...) PRINTF(3, 4);
static void cluster_banner(struct json_out *j, const char *level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    put_banner(j, level, "/cluster", fmt, args);
    va_end(args);
}

/* Has the counter moved within RECENT_S? What moved it between two polls far apart is not known to be recent. */
static bool recently(struct ui_recent *r, int64_t count)
{
    int64_t now = rt_now().ns, window = RECENT_S * (int64_t)NS_PER_S;
    int64_t before = atomic_exchange(&r->count, count), polled = atomic_exchange(&r->polled_ns, now);
    if (count != before && polled && now - polled <= window) atomic_store(&r->counted_ns, now);
    int64_t counted = atomic_load(&r->counted_ns);
    return counted && now - counted <= window;
}

int64_t ui_lasts_ns(struct ui_lasting *l, bool is_so, int64_t now_ns)
{
    int64_t before = atomic_exchange(&l->polled_ns, now_ns), since = atomic_load(&l->since_ns);
    bool again = since && now_ns - before <= UI_POLLS_S * NS_PER_S;
    if (!is_so) since = 0;
    else if (!again) since = now_ns;
    atomic_store(&l->since_ns, since);
    return since ? now_ns - since : 0;
}

/* One refusal may count twice; what matters is that it counts. */
static int64_t refusals(enum metric_id id, const struct budget *b)
{
    return metric_sum(id) + (int64_t)atomic_load_explicit(&b->refused, memory_order_relaxed);
}

static void starting_banner(const struct admin_state *a, struct json_out *j)
{
    double share = a->replay_total ? (double)a->replay_done / (double)a->replay_total : 0;
    if (a->store)
        banner(j, "warn", "The node is stopping.");
    else
        banner(j, "warn", "The node is starting: %.0f %% of the write-ahead log (%.1f MB) is replayed. Nothing is answered until then.",
               100 * share, (double)a->replay_total / 1e6);
}

static void store_banners(const struct ui_ctx *c, const struct store_stats *st, struct arena *a, struct json_out *j)
{
    double refuse = config_share(c->config, CFG_STORAGE_REFUSE_SHARE), keep = config_share(c->config, CFG_STORAGE_RETENTION_SHARE);
    int64_t memory = config_num(c->config, CFG_STORAGE_MEMORY);
    if (st->failed) banner(j, "error", "The disk of the write-ahead log failed: nothing new is stored. The node's log says why.");
    if (st->lost) {
        struct str lost = store_lost_text(c->admin->store, a);
        banner(j, "error", "Answers may be incomplete: " STR_FMT ".", STR_ARG(lost));
    }
    if (st->away) banner(j, "error", "Answers may be incomplete: " STR_FMT ".", STR_ARG(store_away_text(c->admin->store, a)));
    if (st->read_only)
        banner(j, "error", "The disk is %.1f %% full: nothing is written but deletions. Free space on it.", 100 * st->disk_used);
    else if (st->refusing)
        banner(j, "error", "The disk is %.1f %% full: ingest is refused from %.0f %% on, until there is room.", 100 * st->disk_used,
               100 * refuse);
    else if (refuse > 0 && st->disk_used >= DISK_NEAR * refuse)
        banner(j, "warn", "The disk is %.1f %% full. From %.0f %% on ingest is refused.", 100 * st->disk_used, 100 * refuse);
    if (st->segment_bytes_max > 0 && (double)st->segment_bytes >= RETENTION_NEAR * (double)st->segment_bytes_max)
        banner(j, "warn", "Stored data takes %.1f %% of the disk. From %.0f %% on the oldest is deleted.",
               100 * keep * (double)st->segment_bytes / (double)st->segment_bytes_max, 100 * keep);
    if ((double)st->mem_bytes >= MEMORY_NEAR * (double)memory)
        banner(j, "warn", "Telemetry comes faster than it is sealed: memtables hold %.0f of %.0f MB, and ingest is refused at all of it.",
               (double)st->mem_bytes / 1e6, (double)memory / 1e6);
    if (st->wal_rotten)
        banner(j, "error", "The write-ahead log was damaged in %llu places at the last start: what was stored there is lost.",
               (unsigned long long)st->wal_rotten);
}

/* Merges that are due and do not run: segments gather, and what reads many of them gets slower. */
static void merge_banner(struct ui_ctx *c, const struct store_stats *st, struct json_out *j)
{
    double pause = config_share(c->config, CFG_STORAGE_PAUSE_SHARE);
    int64_t waiting = metric_sum(M_MERGES_WAITING), late = ui_lasts_ns(&c->merges_wait, waiting > 0, rt_now().ns);
    if (waiting <= 0) return;
    if (pause > 0 && st->disk_used >= pause)
        banner(j, "warn", "Merges of segments are due and wait: the disk is %.1f %% full, from %.0f %% on they pause. Queries over many segments "
               "get slower.", 100 * st->disk_used, 100 * pause);
    else if (late >= MERGES_LATE_S * NS_PER_S)
        banner(j, "warn", "Merges of segments have been due and waiting for %lld minutes, for memory (storage.merge_memory), room on the disk, or "
               "after a failure (%lld since the start; the node's log says why). Queries over many segments get slower.",
               (long long)(late / NS_PER_S / 60), (long long)metric_sum(M_MERGES_FAILED));
}

static void cluster_banners(const struct ui_cluster *cl, struct json_out *j)
{
    if (!cl->known) return;
    if (cl->away[0])
        cluster_banner(j, cl->writes && !cl->incomplete[0] ? "warn" : "error", "%s. %s", cl->away,
                       cl->writes ? "Writes are taken, and it gets what it missed when it is back." : "Too few nodes are left for writes: they are refused, and senders retry.");
    else if (!cl->writes)
        cluster_banner(j, "error", "Too few nodes can be written to: writes are refused, and senders retry.");
    if (cl->differ[0]) cluster_banner(j, "warn", "%s.", cl->differ);
    if (cl->incomplete[0]) cluster_banner(j, "error", "Answers may be incomplete: %s.", cl->incomplete);
}

static void banners(struct ui_ctx *c, const struct store_stats *st, const struct ui_cluster *cluster, struct arena *a, struct json_out *j)
{
    if (!c->admin->ready) starting_banner(c->admin, j);
    if (c->admin->store) store_banners(c, st, a, j);
    if (c->admin->store) merge_banner(c, st, j);
    cluster_banners(cluster, j);
    if (recently(&c->ingest_refused, refusals(M_INGEST_REFUSED, c->bodies)))
        banner(j, "warn", "Ingest was refused within the last minute: the node was overloaded, or its disk full. Senders retry.");
    if (recently(&c->queries_refused, refusals(M_QUERIES_REFUSED, c->queries)))
        banner(j, "warn", "Queries were refused within the last minute: memory for them ran out, or too many waited.");
}

/* -- data --------------------------------------------------------------------------------------------- */

struct look {
    struct ui_ctx *ctx;
    struct str tenant;
    unsigned found;
};

static err_t look_here(void *arg) MAY_YIELD
{
    struct look *l = arg;
    struct view *v;
    TRY(view_open(l->ctx->admin->store, l->tenant, NULL, l->ctx->queries, &v));
    err_t e = view_signals(v, SIGNALS_SHOWN, &l->found);
    view_close(v);
    return e;
}

/* Of which signals the tenant has anything; the other cores are asked only when this one does not have them all. */
static err_t signals_of(struct http_request *rq, unsigned *found) MAY_YIELD
{
    struct look here = { .ctx = rq->user, .tenant = rq->tenant };
    TRY(look_here(&here));
    *found = here.found;
    if (here.found == SIGNALS_SHOWN || rt_cores() == 1) return OK;
    struct look *all = ARENA_ARRAY(rq->arena, struct look, rt_cores());
    void **args = ARENA_ARRAY(rq->arena, void *, rt_cores());
    for (unsigned i = 0; i < rt_cores(); i++) {
        all[i] = here;
        args[i] = &all[i];
    }
    TRY(rt_call_all(RT_QUERY, look_here, args, NULL));
    for (unsigned i = 0; i < rt_cores(); i++)
        *found |= all[i].found;
    return OK;
}

static void put_data(struct json_out *j, bool known, unsigned found)
{
    static const struct { const char *name; enum signal signal; } rows[] = {
        { "spans", SIG_SPANS }, { "logs", SIG_LOGS }, { "series", SIG_METRICS },
    };
    json_keyz(j, "data");
    json_obj(j);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_keyz(j, rows[i].name);
        if (known) json_bool(j, found & 1u << rows[i].signal);
        else json_null(j);
    }
    json_obj_end(j);
}

static void put_merges(struct json_out *j)
{
    static const struct { const char *name; enum metric_id id; } rows[] = {
        { "running", M_MERGES_RUNNING }, { "waiting", M_MERGES_WAITING }, { "done", M_MERGES }, { "failed", M_MERGES_FAILED },
    };
    json_keyz(j, "merges");
    json_obj(j);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_keyz(j, rows[i].name);
        json_i64(j, metric_sum(rows[i].id));
    }
    json_obj_end(j);
}

static void put_cluster(struct json_out *j, const struct ui_cluster *cl)
{
    static const char *const names[] = { "alive", "suspect", "dead" };
    json_keyz(j, "cluster");
    if (!cl->known) {
        json_null(j);
        return;
    }
    json_obj(j);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_keyz(j, names[i]);
        json_u64(j, cl->n[i]);
    }
    json_keyz(j, "writes");
    json_bool(j, cl->writes);
    json_keyz(j, "incomplete");
    json_z(j, cl->incomplete);
    json_obj_end(j);
}

static err_t status(struct http_request *rq, struct http_response *rs)
{
    struct ui_ctx *c = rq->user;
    struct store_stats st = { 0 };
    struct json_out j;
    unsigned found = 0;
    struct ui_cluster cluster = { 0 };
    bool known = c->admin->store != NULL;
    fiber_set_deadline(mono_add(rt_now(), STATUS_S * NS_PER_S));
    if (known) {
        store_stats(c->admin->store, &st);
        /* A node in trouble still says what its trouble is. */
        known = signals_of(rq, &found) == OK;
    }
    if (c->admin->cluster) ui_cluster_look(c->admin->cluster, rq->arena, &cluster);
    http_add_header(rq, rs, "cache-control", STR("no-store"));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "version");
    json_z(&j, TERCET_VERSION);
    json_keyz(&j, "backend");
    json_z(&j, c->admin->backend ? c->admin->backend : "");
    json_keyz(&j, "ready");
    json_bool(&j, !admin_not_ready(c->admin, &st));
    json_keyz(&j, "ports");
    json_obj(&j);
    for (size_t i = 0; i < ARRAY_LEN(c->ports); i++) {
        json_keyz(&j, c->ports[i].name);
        json_u64(&j, c->ports[i].port);
    }
    json_obj_end(&j);
    put_data(&j, known, found);
    put_merges(&j);
    put_cluster(&j, &cluster);
    json_keyz(&j, "banners");
    json_arr(&j);
    banners(c, &st, &cluster, rq->arena, &j);
    json_arr_end(&j);
    json_obj_end(&j);
    return OK;
}

const struct http_route ui_status_routes[] = { { HTTP_GET, "/api/ui/status", status, RT_QUERY } };
const uint32_t ui_status_nroutes = ARRAY_LEN(ui_status_routes);
