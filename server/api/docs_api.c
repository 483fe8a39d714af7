#include "server/api/docs_api.h"

#include "cluster/docs.h"
#include "server/api/deletes_allowed.h"
#include "server/api/native.h"

#include <inttypes.h>

static void put_version(struct json_out *j, const struct doc_shown *s, uint32_t i, struct arena *a)
{
    json_keyz(j, "version");
    json_obj(j);
    json_keyz(j, "time_ms");
    json_i64(j, (int64_t)(s->v[i].version.clock >> 16));
    json_keyz(j, "clock");
    json_str(j, arena_printf(a, "%016" PRIx64, s->v[i].version.clock));
    json_keyz(j, "node");
    json_str(j, arena_printf(a, "%016" PRIx64, s->v[i].version.node.u));
    json_obj_end(j);
    json_keyz(j, "deleted");
    json_bool(j, s->v[i].deleted);
    json_keyz(j, "bytes");
    json_u64(j, s->v[i].bytes);
}

static void put_doc(struct json_out *j, const struct doc_shown *s, struct arena *a)
{
    json_obj(j);
    json_keyz(j, "kind");
    json_z(j, doc_kind_name(s->kind));
    json_keyz(j, "key");
    json_str(j, s->key);
    if (s->n) put_version(j, s, 0, a);
    json_keyz(j, "conflicts");
    json_arr(j);
    for (uint32_t i = 1; i < s->n; i++) {
        json_obj(j);
        put_version(j, s, i, a);
        json_obj_end(j);
    }
    json_arr_end(j);
    json_obj_end(j);
}

static err_t show(struct http_request *rq, struct http_response *rs)
{
    const struct native_ctx *ctx = rq->user;
    struct doc_shown *v;
    struct json_out j;
    uint32_t n, conflicts = 0;
    TRY(all_tenants_check(ctx->deletes));
    TRY(docs_list(ctx->cluster, rq->arena, &v, &n));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "docs");
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++) {
        put_doc(&j, &v[i], rq->arena);
        conflicts += v[i].n > 1;
    }
    json_arr_end(&j);
    json_keyz(&j, "conflicts");
    json_u64(&j, conflicts);
    json_obj_end(&j);
    rs->content_type = "application/json";
    return buf_check(&rs->body);
}

const struct http_route docs_routes[] = {
    { HTTP_GET, "/api/cluster/docs", show, RT_QUERY },
};
const uint32_t docs_nroutes = ARRAY_LEN(docs_routes);
