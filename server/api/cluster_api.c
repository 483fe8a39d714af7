#include "server/api/cluster_api.h"

#include "base/core/json_out.h"
#include "storage/cover.h"

#include <inttypes.h>
#include <stdio.h>

static void json_id(struct json_out *j, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, id);
    json_z(j, text);
}

static const char *state_name(enum member_state s)
{
    static const char *const names[] = { [MEMBER_ALIVE] = "alive", [MEMBER_SUSPECT] = "suspect", [MEMBER_DEAD] = "dead", [MEMBER_LEFT] = "left" };
    return names[s];
}

static const char *health_name(uint8_t h)
{
    static const char *const names[] = { "well", "degraded", "failing", "draining" };
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

static void put_member(struct json_out *j, const struct cluster_opinion *o, node_id self)
{
    const struct member *m = &o->member;
    json_obj(j);
    json_keyz(j, "id");
    json_id(j, m->id.u);
    json_keyz(j, "self");
    json_bool(j, m->id.u == self.u);
    put_text(j, "state", state_name(m->state));
    put_number(j, "generation", (int64_t)m->generation);
    put_address(j, "address", &m->meta.gossip);
    put_address(j, "calls_address", &m->meta.rpc);
    put_text(j, "zone", m->meta.zone);
    put_text(j, "version", m->meta.version);
    put_text(j, "backend", m->meta.backend);
    put_number(j, "weight", m->meta.weight);
    put_text(j, "health", health_name(m->meta.health));
    put_number(j, "since_ms", (rt_now().ns - m->since.ns) / NS_PER_MS);
    json_keyz(j, "connected");
    json_bool(j, o->connected);
    put_number(j, "rtt_us", o->rtt_ns / NS_PER_US);
    json_obj_end(j);
}

static err_t put_streams(struct json_out *j, const struct cluster_api *api, struct arena *a) MAY_YIELD
{
    struct stream *v;
    struct cover have;
    uint32_t n;
    store_streams(api->store, a, &v, &n);
    cover_init(&have);
    err_t e = store_cover(api->store, NULL, 0, &have);
    json_keyz(j, "streams");
    json_arr(j);
    for (uint32_t i = 0; e == OK && i < n; i++) {
        struct cover one;
        cover_init(&one);
        cover_pick(&have, &v[i].id, 1, &one);
        json_obj(j);
        json_keyz(j, "id");
        json_id(j, v[i].id);
        json_keyz(j, "members");
        json_arr(j);
        for (uint32_t k = 0; k < v[i].n; k++)
            json_id(j, v[i].members[k].u);
        json_arr_end(j);
        put_number(j, "here", (int64_t)cover_count(&one));
        json_obj_end(j);
        cover_deinit(&one);
    }
    json_arr_end(j);
    struct err_record why = *err_record();
    cover_deinit(&have);
    *err_record() = why;
    return e;
}

static err_t show_cluster(struct http_request *rq, struct http_response *rs)
{
    const struct cluster_api *api = rq->user;
    struct cluster_opinion *members;
    struct json_out j;
    uint32_t n;
    cluster_opinions(api->cluster, rq->arena, &members, &n);
    struct map *map = cluster_map(api->cluster);
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "node");
    json_id(&j, cluster_self(api->cluster).u);
    put_text(&j, "label", config_text(api->config, CFG_CLUSTER_LABEL));
    json_keyz(&j, "alone");
    json_bool(&j, map->alone);
    put_number(&j, "replicas", config_num(api->config, CFG_CLUSTER_REPLICAS));
    put_number(&j, "write_quorum", map->quorum);
    map_put(map);
    json_keyz(&j, "members");
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++)
        put_member(&j, &members[i], cluster_self(api->cluster));
    json_arr_end(&j);
    err_t e = put_streams(&j, api, rq->arena);
    json_obj_end(&j);
    rs->content_type = "application/json";
    return e;
}

const struct http_route cluster_routes[] = {
    { HTTP_GET, "/api/cluster", show_cluster, RT_MEMBERSHIP },
};
const uint32_t cluster_nroutes = ARRAY_LEN(cluster_routes);
