/* Deletion by query: Quickwit's delete tasks, and Elasticsearch's _delete_by_query, which waits for its end. */
#include "server/api/delete_tasks.h"
#include "server/api/deletes_allowed.h"
#include "server/api/quickwit_internal.h"

enum { WAIT_MAX_S = 3600, JOINT_WAIT_S = 30 /* for nodes that are away */ };

static err_t seconds_ns(const struct json_val *v, const char *name, int64_t *ns)
{
    int64_t s;
    if (!json_to_i64(v, &s) || __builtin_mul_overflow(s, NS_PER_S, ns)) return err_set(ERR_INVALID, "`%s` must be a unix time in seconds", name);
    return OK;
}

/* -- Quickwit ---------------------------------------------------------------------------------------------------------- */

static err_t search_fields(const struct json_val *v, struct arena *a, struct delete_spec *out)
{
    const struct json_val *c;
    if (v->type != JSON_ARR || v->n > LQ_FIELDS_MAX) return err_set(ERR_INVALID, "`search_field` must be a list of fields");
    struct str *list = ARENA_ARRAY(a, struct str, v->n + 1);
    JSON_EACH(c, v) {
        if (c->type != JSON_STR) return err_set(ERR_INVALID, "`search_field` must be a list of fields");
        list[out->nfields++] = c->str;
    }
    out->fields = list;
    return OK;
}

static err_t delete_member(const struct json_val *c, struct arena *a, struct delete_spec *out)
{
    if (str_is(c->key, "query") && c->type == JSON_STR) return out->query = c->str, OK;
    if (c->type == JSON_NULL) return OK;
    if (str_is(c->key, "search_field") || str_is(c->key, "search_fields")) return search_fields(c, a, out);
    if (str_is(c->key, "start_timestamp")) return seconds_ns(c, "start_timestamp", &out->start_ns);
    if (str_is(c->key, "end_timestamp")) return seconds_ns(c, "end_timestamp", &out->end_ns);
    return err_set(ERR_INVALID, "unknown field `" STR_FMT "` in the delete query", STR_ARG(c->key));
}

static void put_bound(struct json_out *j, const char *key, int64_t ns)
{
    json_keyz(j, key);
    if (ns == INT64_MIN || ns == INT64_MAX) json_null(j);
    else json_i64(j, ns / NS_PER_S);
}

/* query_ast as Quickwit's is the text of a tree; ours is the query as it was given. state, rows and error are our own: there
 * how far a task is cannot be seen. */
static void put_task(struct json_out *j, const struct delete_task *t)
{
    json_obj(j);
    json_keyz(j, "create_timestamp");
    json_i64(j, t->created_s);
    json_keyz(j, "opstamp");
    json_u64(j, t->id);
    json_keyz(j, "delete_query");
    json_obj(j);
    json_keyz(j, "index_uid");
    json_str(j, t->spec.uid);
    put_bound(j, "start_timestamp", t->spec.start_ns);
    put_bound(j, "end_timestamp", t->spec.end_ns);
    json_keyz(j, "query_ast");
    json_str(j, t->spec.query);
    json_obj_end(j);
    json_keyz(j, "state");
    json_str(j, t->state);
    json_keyz(j, "deleted_rows");
    json_u64(j, t->rows);
    json_keyz(j, "error");
    if (t->error.n) json_str(j, t->error);
    else json_null(j);
    json_obj_end(j);
}

err_t qw_delete_task_create(struct http_request *rq, struct http_response *rs)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    struct delete_spec spec = { .lang = DELETE_QUICKWIT, .index = rq->params[0], .start_ns = INT64_MIN, .end_ns = INT64_MAX };
    const struct json_val *b, *c;
    struct delete_task t;
    struct json_out j;
    TRY(deletes_check(ctx->deletes));
    TRY(qw_body(rq, rq->arena, &b));
    if (b) JSON_EACH(c, b) TRY(delete_member(c, rq->arena, &spec));
    if (!spec.query.p) return err_set(ERR_INVALID, "missing field `query`");
    TRY(delete_tasks_submit(ctx->tasks, rq->tenant, &spec, rq->arena, &t));
    json_init(&j, &rs->body);
    put_task(&j, &t);
    return OK;
}

err_t qw_delete_task_list(struct http_request *rq, struct http_response *rs)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    struct index_entry e;
    struct delete_task *t;
    uint32_t n;
    struct json_out j;
    TRY(indexes_get(ctx->store, rq->tenant, rq->params[0], rq->arena, &e));
    TRY(delete_tasks_list(ctx->tasks, rq->tenant, rq->params[0], rq->arena, &t, &n));
    json_init(&j, &rs->body);
    json_arr(&j);
    for (uint32_t i = n; i-- > 0;) /* in the order of their opstamps */
        put_task(&j, &t[i]);
    json_arr_end(&j);
    return buf_check(&rs->body);
}

/* -- Elasticsearch ------------------------------------------------------------------------------------------------------- */

static void put_numbers(struct json_out *j, uint64_t rows)
{
    json_keyz(j, "total");
    json_u64(j, rows);
    json_keyz(j, "deleted");
    json_u64(j, rows);
    json_keyz(j, "batches");
    json_u64(j, rows > 0);
    json_keyz(j, "version_conflicts");
    json_u64(j, 0);
    json_keyz(j, "noops");
    json_u64(j, 0);
    json_keyz(j, "retries");
    json_raw(j, STR("{\"bulk\":0,\"search\":0}"));
    json_keyz(j, "throttled_millis");
    json_u64(j, 0);
    json_keyz(j, "requests_per_second");
    json_raw(j, STR("-1.0"));
    json_keyz(j, "throttled_until_millis");
    json_u64(j, 0);
}

static void put_response(struct json_out *j, int64_t took_ms, uint64_t rows)
{
    json_obj(j);
    json_keyz(j, "took");
    json_i64(j, took_ms);
    json_keyz(j, "timed_out");
    json_bool(j, false);
    put_numbers(j, rows);
    json_keyz(j, "failures");
    json_raw(j, STR("[]"));
    json_obj_end(j);
}

static err_t read_query(struct http_request *rq, struct delete_spec *spec)
{
    const struct json_val *b, *c;
    struct str text = STR_NONE;
    TRY(qw_body(rq, rq->arena, &b));
    qw_param_str(rq, "q", &text);
    if (b) JSON_EACH(c, b)
        if (!str_is(c->key, "query")) return err_set(ERR_INVALID, "unknown field [" STR_FMT "] in a deletion by query", STR_ARG(c->key));
    const struct json_val *q = b ? json_get(b, "query") : NULL;
    if (text.p && q) return err_set(ERR_INVALID, "a query in the body and `q` exclude each other");
    if (!text.p && !q) return err_set(ERR_INVALID, "Validation Failed: 1: query is missing;");
    spec->lang = q ? DELETE_ELASTIC : DELETE_QUICKWIT;
    spec->query = q ? json_val_text(q, rq->arena) : text;
    return OK;
}

/* Submits one task an index before it waits for the first. */
static err_t delete_all(struct http_request *rq, const struct index_entry *e, uint32_t n, struct delete_spec *spec, uint64_t *rows)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    uint64_t *ids = ARENA_ARRAY(rq->arena, uint64_t, n + 1);
    struct delete_task t = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        spec->index = e[i].id;
        TRY(delete_tasks_submit(ctx->tasks, rq->tenant, spec, rq->arena, &t));
        ids[i] = t.id;
    }
    for (uint32_t i = 0; i < n; i++) {
        t.id = ids[i];
        if (t.joint) TRY(delete_tasks_finish(ctx->tasks, rq->tenant, JOINT_WAIT_S * NS_PER_S, rq->arena, &t));
        else TRY(delete_tasks_wait(ctx->tasks, rq->tenant, ids[i], WAIT_MAX_S * NS_PER_S, rq->arena, &t));
        if (!t.done) return err_set(ERR_TIMEOUT, "the deletion goes on as task tercet:%llu", (unsigned long long)t.id);
        if (t.error.n) return err_set(ERR_INTERNAL, "deletion %llu failed: " STR_FMT, (unsigned long long)t.id, STR_ARG(t.error));
        *rows += t.rows;
    }
    return OK;
}

err_t qw_es_delete_by_query(struct http_request *rq, struct http_response *rs)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    struct delete_spec spec = { .start_ns = INT64_MIN, .end_ns = INT64_MAX };
    struct index_entry *e;
    struct str limit;
    struct delete_task t;
    struct json_out j;
    uint32_t n;
    uint64_t rows = 0;
    int64_t began_ns = rt_now().ns;
    bool wait = true, missing_ok = false;
    TRY(deletes_check(ctx->deletes));
    if (http_param(rq, "max_docs", 0, &limit)) return err_set(ERR_INVALID, "`max_docs` is not supported: a deletion is of all that match");
    TRY(qw_param_bool(rq, "wait_for_completion", &wait));
    TRY(qw_param_bool(rq, "ignore_unavailable", &missing_ok));
    TRY(read_query(rq, &spec));
    TRY(indexes_match(ctx->store, rq->tenant, rq->params[0], missing_ok, rq->arena, &e, &n));
    json_init(&j, &rs->body);
    if (wait) {
        TRY(delete_all(rq, e, n, &spec, &rows));
        put_response(&j, (rt_now().ns - began_ns) / NS_PER_MS, rows);
        return OK;
    }
    if (n != 1) return err_set(ERR_INVALID, "wait_for_completion=false takes one index, this is %u", n);
    spec.index = e[0].id;
    TRY(delete_tasks_submit(ctx->tasks, rq->tenant, &spec, rq->arena, &t));
    buf_printf(&rs->body, "{\"task\":\"tercet:%llu\"}", (unsigned long long)t.id);
    return OK;
}

err_t qw_es_task(struct http_request *rq, struct http_response *rs)
{
    struct str id = rq->params[0];
    struct delete_task t;
    struct json_out j;
    uint64_t no;
    if (!str_starts(id, STR("tercet:")) || !str_to_u64(str_sub(id, 7, id.n), &no)) return err_set(ERR_INVALID, "malformed task id");
    TRY(delete_tasks_wait(qw_ctx(rq)->tasks, rq->tenant, no, 0, rq->arena, &t));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "completed");
    json_bool(&j, t.done);
    json_keyz(&j, "task");
    json_obj(&j);
    json_keyz(&j, "node");
    json_z(&j, "tercet");
    json_keyz(&j, "id");
    json_u64(&j, no);
    json_keyz(&j, "action");
    json_z(&j, "indices:data/write/delete/byquery");
    json_keyz(&j, "start_time_in_millis");
    json_i64(&j, t.created_s * 1000);
    json_keyz(&j, "status");
    json_obj(&j);
    put_numbers(&j, t.rows);
    json_obj_end(&j);
    json_obj_end(&j);
    if (t.done && !t.error.n) {
        json_keyz(&j, "response");
        put_response(&j, 0, t.rows);
    } else if (t.error.n) {
        json_keyz(&j, "error");
        json_obj(&j);
        json_keyz(&j, "type");
        json_z(&j, "exception");
        json_keyz(&j, "reason");
        json_str(&j, t.error);
        json_obj_end(&j);
    }
    json_obj_end(&j);
    return OK;
}
