#include "server/api/cluster_api.h"

#include "base/core/json_out.h"
#include "cluster/drain.h"
#include "cluster/fanout.h"
#include "cluster/reach.h"
#include "server/api/deletes_allowed.h"
#include "storage/cover.h"

#include <inttypes.h>
#include <stdio.h>

static void json_id(struct json_out *j, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, id);
    json_z(j, text);
}

static const char *health_name(uint8_t h)
{
    static const char *const names[] = { "well", "degraded", "failing", "draining", "drained" };
    return h < ARRAY_LEN(names) ? names[h] : "unknown";
}

static void put_address(struct json_out *j, const char *key, const struct io_addr *a)
{
    char name[IO_ADDR_NAME_MAX];
    io_addr_name(a, name, sizeof name);
    json_keyz(j, key);
    json_z(j, name);
}

static void put_text(struct json_out *j, const char *key, const char *text)
{
    json_keyz(j, key);
    json_z(j, text);
}

static void put_number(struct json_out *j, const char *key, int64_t v)
{
    json_keyz(j, key);
    json_i64(j, v);
}

static void put_member(struct json_out *j, const struct cluster_opinion *o, const struct map *map)
{
    const struct member *m = &o->member;
    json_obj(j);
    json_keyz(j, "id");
    json_id(j, m->id.u);
    json_keyz(j, "self");
    json_bool(j, m->id.u == map->self.u);
    put_text(j, "state", member_state_name(m->state));
    put_number(j, "generation", (int64_t)m->generation);
    put_address(j, "address", &m->meta.gossip);
    put_address(j, "calls_address", &m->meta.rpc);
    put_text(j, "zone", m->meta.zone);
    put_text(j, "version", m->meta.version);
    put_text(j, "backend", m->meta.backend);
    put_number(j, "weight", m->meta.weight);
    put_text(j, "health", health_name(m->meta.health));
    json_keyz(j, "disk_percent");
    if (m->meta.disk_percent <= 100) json_i64(j, m->meta.disk_percent);
    else json_null(j);
    json_keyz(j, "other_settings");
    json_bool(j, map_has_other_settings(map, m));
    put_number(j, "since_ms", (rt_now().ns - m->since.ns) / NS_PER_MS);
    put_number(j, "http_port_offset", (int64_t)m->meta.http_port_base);
    json_keyz(j, "connected");
    json_bool(j, o->connected);
    put_number(j, "rtt_us", o->rtt_ns / NS_PER_US);
    json_obj_end(j);
}

/* What a member has, as it says. */
struct having {
    node_id id;
    bool asked, known;
    struct said said;
};
struct asking {
    const struct cluster_api *api;
    struct having *v;
};

static void ask_one(void *ctx, uint32_t i)
{
    const struct asking *all = ctx;
    struct having *h = &all->v[i];
    const struct question q = { .forms = REACH_SUMS };
    mono_ns latest = mono_add(rt_now(), (int64_t)CLUSTER_ASK_MS * NS_PER_MS);
    if (!h->asked) return;
    if (h->id.u == cluster_self(all->api->cluster).u) h->known = store_sums(all->api->store, &h->said.sums) == OK;
    else h->known = reach_ask(all->api->cluster, h->id, &q, latest, &h->said) == OK;
}

/* This node, and of the others those that are alive. */
static err_t ask_all(const struct cluster_api *api, const struct map *map, struct having *v, bool everywhere) MAY_YIELD
{
    struct asking all = { api, v };
    for (uint32_t i = 0; i < map->n; i++)
        v[i].asked = map->v[i].id.u == map->self.u || (everywhere && member_is_live(&map->v[i]));
    const struct fanout f = { .name = "cluster", .class = RT_MEMBERSHIP, .n = map->n, .ctx = &all, .one = ask_one };
    return fanout_run(&f);
}

static uint64_t count_of(const struct having *v, uint64_t stream)
{
    const struct stream_sum *one = store_sums_find(&v->said.sums, stream);
    return one ? one->sum.count : 0;
}

/* all: the most that one of them has. */
static void put_having(struct json_out *j, const struct having *v, uint32_t n, uint64_t stream)
{
    uint64_t all = 0;
    json_keyz(j, "have");
    json_arr(j);
    for (uint32_t i = 0; i < n; i++) {
        if (!v[i].known) continue;
        all = MAX(all, count_of(&v[i], stream));
        json_obj(j);
        json_keyz(j, "node");
        json_id(j, v[i].id.u);
        put_number(j, "batches", (int64_t)count_of(&v[i], stream));
        json_obj_end(j);
    }
    json_arr_end(j);
    put_number(j, "all", (int64_t)all);
}

/* Whose rows it has: of one tenant, of a group of them, or of all that have no streams of their own. */
static void put_rows(struct json_out *j, const struct stream *st, const struct tenants *tenants)
{
    const struct tenant_copies *t = tenants_find(tenants, st->rows.tenant);
    if (t) put_text(j, "tenant", t->name);
    else if (st->rows.tenant > STREAM_GROUPS) put_text(j, "tenant", "one that is not named in cluster.tenants any more");
    else if (st->rows.tenant) put_number(j, "group", (int64_t)st->rows.tenant);
}

static void put_stream(struct json_out *j, const struct stream *st, const struct map *map, const struct having *v, bool everywhere,
                       const struct tenants *tenants)
{
    json_obj(j);
    json_keyz(j, "id");
    json_id(j, st->id);
    json_keyz(j, "members");
    json_arr(j);
    for (uint32_t k = 0; k < st->n; k++)
        json_id(j, st->members[k].u);
    json_arr_end(j);
    put_number(j, "write_quorum", map_stream_quorum(map, st));
    put_number(j, "replicas", map_stream_replicas(map, st, tenants->others.replicas));
    put_rows(j, st, tenants);
    for (uint32_t i = 0; i < map->n; i++)
        if (map->v[i].id.u == map->self.u) put_number(j, "here", (int64_t)count_of(&v[i], st->id));
    if (everywhere) put_having(j, v, map->n, st->id);
    json_obj_end(j);
}

static void put_members(struct json_out *j, const struct cluster_api *api, struct arena *a, const struct map *map)
{
    struct cluster_opinion *members;
    uint32_t n;
    cluster_opinions(api->cluster, a, &members, &n);
    json_keyz(j, "members");
    json_arr(j);
    for (uint32_t i = 0; i < n; i++)
        put_member(j, &members[i], map);
    json_arr_end(j);
}

static void put_streams(struct json_out *j, const struct cluster_api *api, struct arena *a, const struct map *map, const struct having *v,
                        bool everywhere)
{
    struct stream *streams;
    uint32_t n;
    store_streams(api->store, a, &streams, &n);
    json_keyz(j, "streams");
    json_arr(j);
    for (uint32_t i = 0; i < n; i++)
        put_stream(j, &streams[i], map, v, everywhere, cluster_tenants(api->cluster));
    json_arr_end(j);
}

static void put_tenants(struct json_out *j, const struct tenants *t)
{
    put_number(j, "tenant_nodes", t->others.nodes);
    json_keyz(j, "tenants");
    json_arr(j);
    for (uint32_t i = 0; i < t->n; i++) {
        json_obj(j);
        put_text(j, "tenant", t->v[i].name);
        put_number(j, "replicas", t->v[i].replicas);
        put_number(j, "write_quorum", t->v[i].quorum);
        put_number(j, "nodes", t->v[i].nodes);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void put_cluster(struct json_out *j, const struct cluster_api *api, struct arena *a, const struct map *map, const struct having *v,
                        bool everywhere)
{
    json_obj(j);
    json_keyz(j, "node");
    json_id(j, map->self.u);
    put_text(j, "label", config_text(api->config, CFG_CLUSTER_LABEL));
    json_keyz(j, "alone");
    json_bool(j, map->alone);
    put_number(j, "replicas", config_num(api->config, CFG_CLUSTER_REPLICAS));
    put_number(j, "write_quorum", map->quorum);
    put_tenants(j, cluster_tenants(api->cluster));
    put_members(j, api, a, map);
    put_streams(j, api, a, map, v, everywhere);
    json_obj_end(j);
}

/* The others are asked first: streams that they know and this node did not become known by that, and so do round trips. */
static err_t show_cluster(struct http_request *rq, struct http_response *rs)
{
    const struct cluster_api *api = rq->user;
    struct json_out j;
    struct str want;
    bool everywhere = http_param(rq, "everywhere", 0, &want) && str_is(want, "true");
    struct map *map = cluster_map(api->cluster);
    struct having *v = ARENA_ARRAY(rq->arena, struct having, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        v[i] = (struct having){ .id = map->v[i].id };
        said_init(&v[i].said);
    }
    err_t e = ask_all(api, map, v, everywhere);
    json_init(&j, &rs->body);
    if (e == OK) put_cluster(&j, api, rq->arena, map, v, everywhere);
    rs->content_type = "application/json";
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < map->n; i++)
        said_deinit(&v[i].said);
    map_put(map);
    *err_record() = why;
    return e;
}

static err_t check_allowed(const struct cluster_api *api, const struct http_request *rq)
{
    bool allowed;
    if (control_is(api->control, http_header(rq, CONTROL_HEADER))) return OK;
    TRY(deletes_allowed(api->config, &allowed));
    if (allowed) return OK;
    return err_set(ERR_FORBIDDEN, "requests may not drain or forget nodes here: this node listens for others and knows no users. `tercet cluster drain` and "
                   "`forget` may, when they are given the node's data directory (--data) and can read it; so may all with the setting api.deletes=on");
}

static err_t post_drain(struct http_request *rq, struct http_response *rs)
{
    const struct cluster_api *api = rq->user;
    struct drain_state state;
    struct json_out j;
    TRY(check_allowed(api, rq));
    TRY(cluster_drain(api->cluster, &state));
    json_init(&j, &rs->body);
    json_obj(&j);
    put_text(&j, "state", state.drained ? "drained" : "draining");
    json_keyz(&j, "node");
    json_id(&j, cluster_self(api->cluster).u);
    put_number(&j, "streams", state.streams);
    put_number(&j, "covered", state.covered);
    json_obj_end(&j);
    rs->content_type = "application/json";
    return OK;
}

static err_t post_forget(struct http_request *rq, struct http_response *rs)
{
    const struct cluster_api *api = rq->user;
    struct str text;
    uint8_t bytes[8];
    node_id id = { 0 };
    struct json_out j;
    TRY(check_allowed(api, rq));
    if (!http_param(rq, "node", 0, &text) || text.n != 16 || !str_from_hex(text, bytes, sizeof bytes))
        return err_set(ERR_INVALID, "node=ID is wanted, 16 hex digits as GET /api/cluster shows them");
    for (unsigned i = 0; i < sizeof bytes; i++)
        id.u = id.u << 8 | bytes[i];
    TRY(cluster_forget(api->cluster, id));
    json_init(&j, &rs->body);
    json_obj(&j);
    put_text(&j, "state", "forgotten");
    json_obj_end(&j);
    rs->content_type = "application/json";
    return OK;
}

const struct http_route cluster_routes[] = {
    { HTTP_GET, "/api/cluster", show_cluster, RT_MEMBERSHIP },
    { HTTP_POST, "/api/cluster/drain", post_drain, RT_MEMBERSHIP },
    { HTTP_POST, "/api/cluster/forget", post_forget, RT_MEMBERSHIP },
};
const uint32_t cluster_nroutes = ARRAY_LEN(cluster_routes);
