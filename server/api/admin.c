#include "server/api/admin.h"

#include "base/core/json_out.h"
#include "base/core/metric.h"

static err_t healthz(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    rs->content_type = "text/plain; charset=utf-8";
    buf_z(&rs->body, "ok\n");
    return OK;
}

const char *admin_not_ready(const struct admin_state *a, const struct store_stats *st)
{
    if (!a->ready) return a->store ? "stopping" : "replaying the write-ahead log";
    if (st->failed) return "the disk of the write-ahead log failed";
    if (a->cluster && !cluster_joined(a->cluster))
        return "no other node of the cluster was seen since the start: writes are refused and answers may be incomplete until one is "
               "(cluster.join, and the nodes that this one knew before)";
    return NULL;
}

static err_t readyz(struct http_request *rq, struct http_response *rs)
{
    const struct admin_state *a = rq->user;
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "ready");
    struct store_stats st = { 0 };
    if (a->store) store_stats(a->store, &st);
    const char *why = admin_not_ready(a, &st);
    json_bool(&j, !why);
    if (why) {
        json_keyz(&j, "reason");
        json_z(&j, why);
    }
    if (!a->ready) {
        json_keyz(&j, "replayed_bytes");
        json_u64(&j, a->replay_done);
        json_keyz(&j, "total_bytes");
        json_u64(&j, a->replay_total);
    }
    json_keyz(&j, "refusing_ingest");
    json_bool(&j, st.refusing);
    if (st.read_only) {
        json_keyz(&j, "read_only");
        json_bool(&j, true);
    }
    if (st.lost) {
        json_keyz(&j, "lost");
        json_str(&j, store_lost_text(a->store, rq->arena));
    }
    if (st.away) {
        json_keyz(&j, "away");
        json_str(&j, store_away_text(a->store, rq->arena));
    }
    json_obj_end(&j);
    rs->status = why ? 503 : 200;
    return OK;
}

static err_t metrics(struct http_request *rq, struct http_response *rs)
{
    const struct admin_state *a = rq->user;
    rs->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_render(&rs->body);
    buf_printf(&rs->body,
               "# HELP tercet_build_info Version and I/O backend\n# TYPE tercet_build_info gauge\n"
               "tercet_build_info{version=\"%s\",backend=\"%s\"} 1\n",
               TERCET_VERSION, a->backend ? a->backend : "");
    return OK;
}

static err_t starting(struct http_request *rq, struct http_response *rs)
{
    const struct admin_state *a = rq->user;
    (void)rs;
    return err_set(ERR_UNAVAILABLE, "starting: %llu of %llu bytes of the write-ahead log replayed",
                   (unsigned long long)a->replay_done, (unsigned long long)a->replay_total);
}

#define ADMIN_ROUTES                                                                               \
    { HTTP_GET | HTTP_HEAD, "/healthz", healthz, RT_MEMBERSHIP },                                  \
        { HTTP_GET | HTTP_HEAD, "/readyz", readyz, RT_MEMBERSHIP },                                \
        { HTTP_GET, "/metrics", metrics, RT_MEMBERSHIP }

const struct http_route admin_routes[] = { ADMIN_ROUTES };
const uint32_t admin_nroutes = ARRAY_LEN(admin_routes);

const struct http_route starting_routes[] = {
    ADMIN_ROUTES,
    /* Bodies are not looked at: a bad one must not be refused for good by a node that cannot judge it yet (a 415 for
     * remote write's snappy makes Prometheus drop its samples). */
    { ~0u, "/{rest*}", starting, RT_MEMBERSHIP, .own_encoding = "*" },
};
const uint32_t starting_nroutes = ARRAY_LEN(starting_routes);

void admin_on_error(const struct http_request *rq, int status, err_t code, const char *detail,
                    struct http_response *rs)
{
    (void)rq;
    (void)code;
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "message");
    json_z(&j, detail);
    json_obj_end(&j);
    rs->status = status;
    rs->content_type = "application/json";
}
