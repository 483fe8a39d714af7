/* Indexes and templates: create, list, read, change, delete. */
#include "server/api/quickwit_internal.h"

static err_t config_text(struct http_request *rq, struct str *json)
{
    struct str type = http_header(rq, "content-type");
    if (str_find(type, STR("yaml")) != SIZE_MAX) return yaml_to_json(rq->body, rq->arena, json);
    *json = rq->body;
    return OK;
}

static err_t answer_index(const struct index_entry *e, struct http_response *rs)
{
    struct json_out j;
    json_init(&j, &rs->body);
    indexes_write(e, &j);
    return buf_check(&rs->body);
}

err_t qw_indexes_list(struct http_request *rq, struct http_response *rs)
{
    struct str patterns = STR("*");
    struct index_entry *e;
    uint32_t n;
    struct json_out j;
    qw_param_str(rq, "index_id_patterns", &patterns);
    TRY(indexes_match(qw_ctx(rq)->store, rq->tenant, patterns, true, rq->arena, &e, &n));
    json_init(&j, &rs->body);
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++)
        indexes_write(&e[i], &j);
    json_arr_end(&j);
    return buf_check(&rs->body);
}

err_t qw_indexes_create(struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    struct str json;
    bool overwrite = false;
    TRY(qw_param_bool(rq, "overwrite", &overwrite));
    TRY(config_text(rq, &json));
    TRY(indexes_create(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, json, overwrite, rq->arena, &e));
    return answer_index(&e, rs);
}

err_t qw_index_get(struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    TRY(indexes_get(qw_ctx(rq)->store, rq->tenant, rq->params[0], rq->arena, &e));
    return answer_index(&e, rs);
}

err_t qw_index_put(struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    struct str json;
    bool create = false;
    TRY(qw_param_bool(rq, "create", &create));
    TRY(config_text(rq, &json));
    err_t err = indexes_update(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, rq->params[0], json, rq->arena, &e);
    if (err == ERR_NOT_FOUND && create) err = indexes_create(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, json, false, rq->arena, &e);
    TRY(err);
    return answer_index(&e, rs);
}

err_t qw_index_delete(struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    bool dry = false;
    TRY(qw_param_bool(rq, "dry_run", &dry));
    TRY(indexes_get(qw_ctx(rq)->store, rq->tenant, rq->params[0], rq->arena, &e));
    if (!dry) TRY(indexes_delete(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, &e));
    buf_z(&rs->body, "[]");
    return OK;
}

err_t qw_index_clear(struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    TRY(indexes_get(qw_ctx(rq)->store, rq->tenant, rq->params[0], rq->arena, &e));
    TRY(indexes_clear(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, &e, rq->arena));
    buf_z(&rs->body, "null");
    return OK;
}

err_t qw_count(struct qw_run *r, const struct index_entry *e, uint64_t *rows)
{
    struct lq *all = lq_new(&r->arena, LQ_ALL);
    struct log_search s = { .query = all, .start_ns = INT64_MIN, .end_ns = INT64_MAX, .count_all = true };
    struct log_result res;
    TRY(log_search(&r->q, &s, &e->log, 1, &res));
    *rows = res.num_hits;
    return OK;
}

static err_t describe(struct qw_run *r, struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    struct json_out j;
    uint64_t rows;
    TRY(indexes_get(r->q.store, rq->tenant, rq->params[0], &r->arena, &e));
    TRY(qw_count(r, &e, &rows));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "index_id");
    json_str(&j, e.id);
    json_keyz(&j, "index_uri");
    json_str(&j, arena_printf(&r->arena, "tercet://" STR_FMT, STR_ARG(e.id)));
    json_keyz(&j, "num_published_splits");
    json_u64(&j, rows > 0);
    json_keyz(&j, "size_published_splits");
    json_u64(&j, 0);
    json_keyz(&j, "num_published_docs");
    json_u64(&j, rows);
    json_keyz(&j, "timestamp_field_name");
    if (e.config.mapping.timestamp_field.n) json_str(&j, e.config.mapping.timestamp_field);
    else json_null(&j);
    json_obj_end(&j);
    return OK;
}

err_t qw_index_describe(struct http_request *rq, struct http_response *rs)
{
    struct qw_run *r = ARENA_NEW(rq->arena, struct qw_run);
    qw_begin(r, rq);
    err_t e = describe(r, rq, rs);
    qw_end(r);
    return e;
}

err_t qw_index_splits(struct http_request *rq, struct http_response *rs)
{
    struct index_entry e;
    TRY(indexes_get(qw_ctx(rq)->store, rq->tenant, rq->params[0], rq->arena, &e));
    buf_z(&rs->body, "{\"offset\":0,\"size\":0,\"splits\":[]}");
    return OK;
}

/* -- templates ------------------------------------------------------------------------------------------------------ */

err_t qw_templates_list(struct http_request *rq, struct http_response *rs)
{
    struct str *list;
    uint32_t n;
    struct json_out j;
    TRY(templates_list(qw_ctx(rq)->store, rq->tenant, rq->arena, &list, &n));
    json_init(&j, &rs->body);
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++)
        json_raw(&j, list[i]);
    json_arr_end(&j);
    return buf_check(&rs->body);
}

static err_t put_template(struct http_request *rq, bool overwrite, struct http_response *rs)
{
    struct str json;
    TRY(config_text(rq, &json));
    TRY(templates_put(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, json, overwrite, rq->arena));
    buf_str(&rs->body, json);
    return OK;
}

err_t qw_template_create(struct http_request *rq, struct http_response *rs)
{
    bool overwrite = false;
    TRY(qw_param_bool(rq, "overwrite", &overwrite));
    return put_template(rq, overwrite, rs);
}

err_t qw_template_put(struct http_request *rq, struct http_response *rs) { return put_template(rq, true, rs); }

err_t qw_template_get(struct http_request *rq, struct http_response *rs)
{
    struct str json;
    TRY(templates_get(qw_ctx(rq)->store, rq->tenant, rq->params[0], rq->arena, &json));
    buf_str(&rs->body, json);
    return OK;
}

err_t qw_template_delete(struct http_request *rq, struct http_response *rs)
{
    struct str json;
    TRY(templates_get(qw_ctx(rq)->store, rq->tenant, rq->params[0], rq->arena, &json));
    TRY(templates_delete(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, rq->params[0]));
    buf_z(&rs->body, "null");
    return OK;
}
