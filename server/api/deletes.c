/* POST {"signal": "spans", "query": "{ ... }", "start"?, "end"?, "wait"?}  or  {"signal": "logs" | "docs", "index"?, "query", ...}.
 * Times as everywhere in our own APIs: unix seconds with a fraction, or RFC 3339. The answer is the task; with "wait" (the default)
 * when it is finished, or after half a minute; of several nodes only when it is finished on enough of them, else 503. */
#include "server/api/deletes.h"

#include "server/api/delete_tasks.h"
#include "server/api/deletes_allowed.h"
#include "server/api/native.h"

enum { WAIT_S = 30 };

static const struct native_ctx *ctx_of(const struct http_request *rq) { return rq->user; }

static void put_task(struct json_out *j, const struct delete_task *t)
{
    json_obj(j);
    json_keyz(j, "id");
    json_u64(j, t->id);
    json_keyz(j, "state");
    json_str(j, t->state);
    json_keyz(j, "rows");
    json_u64(j, t->rows);
    if (t->error.n) {
        json_keyz(j, "error");
        json_str(j, t->error);
    }
    json_keyz(j, "created");
    json_i64(j, t->created_s);
    json_keyz(j, "signal");
    json_z(j, t->spec.lang == DELETE_TRACEQL ? "spans" : t->spec.lang == DELETE_SERIES ? "exemplars" : "logs");
    if (t->spec.index.n) {
        json_keyz(j, "index");
        json_str(j, t->spec.index);
    }
    if (t->spec.lang == DELETE_SERIES) {
        json_keyz(j, "series");
        json_arr(j);
        for (uint32_t i = 0; i < t->spec.nfields; i++)
            json_str(j, t->spec.fields[i]);
        json_arr_end(j);
    } else {
        json_keyz(j, "query");
        json_str(j, t->spec.query);
    }
    if (t->spec.start_ns != INT64_MIN) native_json_seconds(j, "start", t->spec.start_ns);
    if (t->spec.end_ns != INT64_MAX) native_json_seconds(j, "end", t->spec.end_ns);
    json_obj_end(j);
}

static err_t read_time(const struct json_val *v, const char *name, struct arena *a, int64_t *ns)
{
    if (v->type != JSON_STR && !json_is_num(v)) return err_set(ERR_INVALID, "%s must be a time", name);
    return native_time(name, v->type == JSON_STR ? v->str : json_val_text(v, a), ns);
}

struct post {
    struct str signal;
    struct delete_spec spec;
    bool wait;
};

static err_t member(const struct json_val *c, struct arena *a, struct post *p)
{
    if (str_is(c->key, "signal") && c->type == JSON_STR) return p->signal = c->str, OK;
    if (str_is(c->key, "index") && c->type == JSON_STR) return p->spec.index = c->str, OK;
    if (str_is(c->key, "query") && c->type == JSON_STR) return p->spec.query = c->str, OK;
    if (str_is(c->key, "query") && c->type == JSON_OBJ) return p->spec.lang = DELETE_ELASTIC, p->spec.query = json_val_text(c, a), OK;
    if (str_is(c->key, "start")) return read_time(c, "start", a, &p->spec.start_ns);
    if (str_is(c->key, "end")) return read_time(c, "end", a, &p->spec.end_ns);
    if (str_is(c->key, "wait") && c->type == JSON_BOOL) return p->wait = c->boolean, OK;
    return err_set(ERR_INVALID, "unknown or malformed member: '" STR_FMT "'", (int)MIN(c->key.n, 80u), c->key.p);
}

static err_t read_post(struct http_request *rq, struct post *p)
{
    const struct json_val *v, *c;
    *p = (struct post){ .wait = true, .spec = { .start_ns = INT64_MIN, .end_ns = INT64_MAX } };
    TRY(json_parse(rq->body, rq->arena, &v));
    if (v->type != JSON_OBJ) return err_set(ERR_INVALID, "the body must be a JSON object");
    JSON_EACH(c, v) TRY(member(c, rq->arena, p));
    if (!p->spec.query.p) return err_set(ERR_INVALID, "query is missing");
    if (p->spec.start_ns >= p->spec.end_ns) return err_set(ERR_INVALID, "end must be after start");
    if (str_is(p->signal, "spans")) {
        if (p->spec.lang == DELETE_ELASTIC || p->spec.index.n) return err_set(ERR_INVALID, "spans are deleted by a TraceQL filter, without an index");
        p->spec.lang = DELETE_TRACEQL;
    } else if (str_is(p->signal, "logs")) {
        if (!p->spec.index.n) p->spec.index = STR(INDEX_OTEL_LOGS);
    } else if (!str_is(p->signal, "docs") || !p->spec.index.n) {
        return err_set(ERR_INVALID, "signal must be spans, logs, or docs with an index; series are deleted by /prometheus/api/v1/admin/tsdb/delete_series");
    }
    return OK;
}

static err_t post(struct http_request *rq, struct http_response *rs)
{
    const struct native_ctx *ctx = ctx_of(rq);
    struct post p;
    struct delete_task t;
    struct json_out j;
    TRY(deletes_check(ctx->deletes));
    TRY(read_post(rq, &p));
    TRY(delete_tasks_submit(ctx->tasks, rq->tenant, &p.spec, rq->arena, &t));
    if (p.wait && t.joint) TRY(delete_tasks_finish(ctx->tasks, rq->tenant, WAIT_S * NS_PER_S, rq->arena, &t));
    else if (p.wait) TRY(delete_tasks_wait(ctx->tasks, rq->tenant, t.id, WAIT_S * NS_PER_S, rq->arena, &t));
    json_init(&j, &rs->body);
    put_task(&j, &t);
    return OK;
}

static err_t list(struct http_request *rq, struct http_response *rs)
{
    struct delete_task *t;
    uint32_t n;
    struct json_out j;
    TRY(delete_tasks_list(ctx_of(rq)->tasks, rq->tenant, STR(""), rq->arena, &t, &n));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "deletions");
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++)
        put_task(&j, &t[i]);
    json_arr_end(&j);
    json_obj_end(&j);
    return buf_check(&rs->body);
}

static err_t one(struct http_request *rq, struct http_response *rs)
{
    struct delete_task t;
    struct json_out j;
    uint64_t id;
    if (!str_to_u64(rq->params[0], &id)) return err_set(ERR_NOT_FOUND, "no such deletion");
    TRY(delete_tasks_wait(ctx_of(rq)->tasks, rq->tenant, id, 0, rq->arena, &t));
    json_init(&j, &rs->body);
    put_task(&j, &t);
    return OK;
}

const struct http_route deletes_routes[] = {
    { HTTP_POST, "/api/delete", post, RT_QUERY, 1 << 20 },
    { HTTP_GET, "/api/delete", list, RT_QUERY },
    { HTTP_GET, "/api/delete/{id}", one, RT_QUERY },
};
const uint32_t deletes_nroutes = ARRAY_LEN(deletes_routes);
