/* Routes, error forms, the small endpoints, and the native search. */
#include "server/api/quickwit_internal.h"

#include "base/core/datetime.h"
#include "base/core/metric.h"

/* -- runs ----------------------------------------------------------------------------------------------------------- */

const struct quickwit_ctx *qw_ctx(const struct http_request *rq) { return rq->user; }

void qw_begin(struct qw_run *r, struct http_request *rq)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    *r = (struct qw_run){ .began_ns = rt_now().ns, .q = { .store = ctx->store, .cluster = ctx->cluster, .tenant = rq->tenant } };
    query_begin(&r->q, &r->budget, &r->arena, ctx->budget, ctx->query_bytes_max, ctx->timeout_ns);
}

void qw_end(struct qw_run *r)
{
    query_end(&r->q);
}

int64_t qw_took_us(const struct qw_run *r) { return (rt_now().ns - r->began_ns) / NS_PER_US; }

struct log_index *qw_log_indexes(const struct index_entry *e, uint32_t n, struct arena *a)
{
    struct log_index *list = ARENA_ARRAY(a, struct log_index, n + 1);
    for (uint32_t i = 0; i < n; i++)
        list[i] = e[i].log;
    return list;
}

void qw_param_str(struct http_request *rq, const char *name, struct str *v)
{
    struct str s;
    if (http_param(rq, name, 0, &s)) *v = s;
}

err_t qw_param_i64(struct http_request *rq, const char *name, int64_t *v)
{
    struct str s;
    if (!http_param(rq, name, 0, &s) || s.n == 0) return OK;
    return str_to_i64(s, v) ? OK : err_set(ERR_INVALID, "parameter `%s` must be a number", name);
}

err_t qw_param_bool(struct http_request *rq, const char *name, bool *v)
{
    struct str s;
    if (!http_param(rq, name, 0, &s)) return OK;
    if (str_is(s, "true") || s.n == 0) return *v = true, OK;
    if (str_is(s, "false")) return *v = false, OK;
    return err_set(ERR_INVALID, "parameter `%s` must be true or false", name);
}

err_t qw_refuse_partial(struct qw_run *r)
{
    struct str lost = query_lost_text(&r->q);
    return lost.n ? err_set(ERR_UNAVAILABLE, STR_FMT, STR_ARG(lost)) : OK;
}

err_t qw_body(struct http_request *rq, struct arena *a, const struct json_val **out)
{
    *out = NULL;
    if (str_trim(rq->body).n == 0) return OK;
    TRY(json_parse(rq->body, a, out));
    return (*out)->type == JSON_OBJ ? OK : err_set(ERR_INVALID, "the body must be a JSON object");
}

/* -- errors --------------------------------------------------------------------------------------------------------- */

bool qw_is_elastic(const struct http_request *rq)
{
    return rq->path.n && str_find(rq->path, STR("/_elastic")) != SIZE_MAX;
}

void qw_es_error(int status, const char *type, const char *reason, struct str index, struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "status");
    json_i64(j, status);
    json_keyz(j, "error");
    json_obj(j);
    json_keyz(j, "caused_by");
    json_null(j);
    json_keyz(j, "root_cause");
    json_arr(j);
    json_arr_end(j);
    json_keyz(j, "type");
    if (type) json_z(j, type);
    else json_null(j);
    json_keyz(j, "reason");
    json_z(j, reason);
    if (index.n) {
        json_keyz(j, "index");
        json_str(j, index);
    }
    json_obj_end(j);
    json_obj_end(j);
}

void quickwit_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs)
{
    struct json_out j;
    /* The router's own 404, and ours for paths under _elastic that nobody serves. */
    bool no_route = status == 404 && (code != ERR_NOT_FOUND || str_starts(str_of(detail), STR("no such path")));
    rs->content_type = "application/json";
    rs->status = status;
    json_init(&j, &rs->body);
    if (qw_is_elastic(rq) && !no_route) {
        const char *type = status == 404 ? "index_not_found_exception" : status == 400 ? "illegal_argument_exception" : NULL;
        qw_es_error(status, type, detail, STR_NONE, &j);
        return;
    }
    json_obj(&j);
    json_keyz(&j, "message");
    json_z(&j, no_route ? "Route not found" : detail);
    json_obj_end(&j);
}

err_t qw_not_found(struct http_request *rq, struct http_response *rs)
{
    quickwit_on_error(rq, 404, OK, "", rs);
    return OK;
}

/* -- small endpoints --------------------------------------------------------------------------------------------------- */

err_t qw_version(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "{\"build\":{\"version\":\"0.9.0\",\"cargo_pkg_version\":\"0.9.0\",\"name\":\"tercet\",\"tercet_version\":\"" TERCET_VERSION
                     "\",\"build_date\":\"2026-11-22T00:00:00Z\",\"commit_hash\":\"\"},\"runtime\":{}}");
    return OK;
}

err_t qw_health(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "true");
    return OK;
}

err_t qw_cluster(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "{\"cluster_id\":\"tercet\",\"self_node_id\":\"tercet\",\"ready_nodes\":[{\"node_id\":\"tercet\"}],\"live_nodes\":[],"
                     "\"dead_nodes\":[]}");
    return OK;
}

err_t qw_parse_query(struct http_request *rq, struct http_response *rs)
{
    struct lq_opts o = { 0 };
    const struct json_val *b;
    struct str text = STR("*");
    struct lq *q;
    struct json_out j;
    struct buf ast;
    TRY(qw_body(rq, rq->arena, &b));
    const struct json_val *v = b ? json_get(b, "query") : NULL;
    if (v && v->type == JSON_STR) text = v->str;
    else qw_param_str(rq, "query", &text);
    TRY(lq_parse(text, &o, rq->arena, &q));
    buf_init(&ast, 1 << 20, NULL);
    lq_print(q, &ast);
    json_init(&j, &rs->body);
    json_str(&j, buf_view(&ast));
    buf_deinit(&ast);
    return OK;
}

err_t qw_ingest(struct http_request *rq, struct http_response *rs)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    struct index_entry e;
    struct str commit;
    if (http_param(rq, "commit", 0, &commit) && !str_is(commit, "auto") && !str_is(commit, "wait_for") && !str_is(commit, "force"))
        return err_set(ERR_INVALID, "`commit` must be auto, wait_for or force");
    TRY(indexes_get_or_make(ctx->cluster, ctx->store, rq->tenant, rq->params[0], rq->arena, &e));
    if (e.builtin) return err_set(ERR_INVALID, "index `" STR_FMT "` takes OTLP only", STR_ARG(e.id));
    return docs_ingest(ctx->ingest, rq, e.id, indexes_doc_mapping(&e, rq->arena), rs);
}

/* -- native search --------------------------------------------------------------------------------------------------------- */

struct native {
    struct str query, sort_by, format;
    struct str *fields;
    uint32_t nfields;
    int64_t start_s, end_s, offset, size;
    bool has_start, has_end, count_all, partial;
    const struct json_val *aggs;
};

static err_t comma_list(struct str s, struct arena *a, struct str **out, uint32_t *n)
{
    struct str one;
    *out = ARENA_ARRAY(a, struct str, LQ_FIELDS_MAX);
    *n = 0;
    while (str_cut(&s, ',', &one)) {
        if (one.n == 0) continue;
        if (*n == LQ_FIELDS_MAX) return err_set(ERR_INVALID, "over %d fields", LQ_FIELDS_MAX);
        (*out)[(*n)++] = one;
    }
    return OK;
}

static err_t native_params(struct http_request *rq, struct native *x, struct arena *a)
{
    struct str s;
    int64_t n = 0;
    qw_param_str(rq, "query", &x->query);
    (void)http_param(rq, "sort_by", 0, &x->sort_by);
    if (!x->sort_by.n) (void)http_param(rq, "sort_by_field", 0, &x->sort_by);
    qw_param_str(rq, "format", &x->format);
    if (http_param(rq, "search_field", 0, &s)) TRY(comma_list(s, a, &x->fields, &x->nfields));
    TRY(qw_param_i64(rq, "start_offset", &x->offset));
    TRY(qw_param_i64(rq, "max_hits", &x->size));
    TRY(qw_param_bool(rq, "count_all", &x->count_all));
    TRY(qw_param_bool(rq, "allow_failed_splits", &x->partial));
    if (http_param(rq, "start_timestamp", 0, &s)) {
        TRY(qw_param_i64(rq, "start_timestamp", &n));
        x->start_s = n;
        x->has_start = true;
    }
    if (http_param(rq, "end_timestamp", 0, &s)) {
        TRY(qw_param_i64(rq, "end_timestamp", &n));
        x->end_s = n;
        x->has_end = true;
    }
    if (http_param(rq, "aggs", 0, &s) || http_param(rq, "aggregation_request", 0, &s)) TRY(json_parse(s, a, &x->aggs));
    return OK;
}

static err_t body_i64(const struct json_val *v, const char *name, int64_t *out)
{
    return json_to_i64(v, out) ? OK : err_set(ERR_INVALID, "`%s` must be a number", name);
}

static err_t list_or_text(const struct json_val *v, struct arena *a, struct str **out, uint32_t *n)
{
    const struct json_val *c;
    if (v->type == JSON_STR) return comma_list(v->str, a, out, n);
    if (v->type != JSON_ARR || v->n > LQ_FIELDS_MAX) return err_set(ERR_INVALID, "`search_field` must be a list of fields");
    *out = ARENA_ARRAY(a, struct str, v->n + 1);
    *n = 0;
    JSON_EACH(c, v) {
        if (c->type != JSON_STR) return err_set(ERR_INVALID, "`search_field` must be a list of fields");
        (*out)[(*n)++] = c->str;
    }
    return OK;
}

static err_t native_member(const struct json_val *c, struct native *x, struct arena *a)
{
    struct str k = c->key;
    if (c->type == JSON_NULL) return OK;
    if (str_is(k, "query") && c->type == JSON_STR) return x->query = c->str, OK;
    if ((str_is(k, "sort_by") || str_is(k, "sort_by_field")) && c->type == JSON_STR) return x->sort_by = c->str, OK;
    if (str_is(k, "format") && c->type == JSON_STR) return x->format = c->str, OK;
    if (str_is(k, "search_field") || str_is(k, "search_fields")) return list_or_text(c, a, &x->fields, &x->nfields);
    if (str_is(k, "max_hits")) return body_i64(c, "max_hits", &x->size);
    if (str_is(k, "start_offset")) return body_i64(c, "start_offset", &x->offset);
    if (str_is(k, "start_timestamp")) return x->has_start = true, body_i64(c, "start_timestamp", &x->start_s);
    if (str_is(k, "end_timestamp")) return x->has_end = true, body_i64(c, "end_timestamp", &x->end_s);
    if (str_is(k, "aggs") || str_is(k, "aggregation_request") || str_is(k, "aggregations")) return x->aggs = c, OK;
    if (str_is(k, "count_all") && c->type == JSON_BOOL) return x->count_all = c->boolean, OK;
    if (str_is(k, "allow_failed_splits") && c->type == JSON_BOOL) return x->partial = c->boolean, OK;
    if (str_is(k, "snippet_fields") || str_is(k, "split_id")) return OK;
    return err_set(ERR_INVALID, "unknown field `" STR_FMT "` in the search request", STR_ARG(k));
}

static err_t native_sort(struct str by, struct log_search *s)
{
    struct str one;
    while (str_cut(&by, ',', &one)) {
        one = str_trim(one);
        if (one.n == 0) continue;
        if (s->nsort == TOPN_KEYS_MAX) return err_set(ERR_INVALID, "at most %d fields to sort by", TOPN_KEYS_MAX);
        struct log_sort *k = &s->sort[s->nsort++];
        k->desc = one.p[0] != '-';
        k->field = one.p[0] == '-' || one.p[0] == '+' ? str_sub(one, 1, one.n) : one;
    }
    return OK;
}

static err_t seconds(int64_t s, int64_t *ns)
{
    if (__builtin_mul_overflow(s, NS_PER_S, ns)) return err_set(ERR_INVALID, "a timestamp is out of range");
    return OK;
}

static err_t native_search(const struct native *x, struct log_search *s, struct arena *a)
{
    struct lq_opts o = { .fields = x->fields, .nfields = x->nfields };
    struct lq *q;
    if (!x->query.p) return err_set(ERR_INVALID, "missing field `query`");
    TRY(lq_parse(x->query, &o, a, &q));
    *s = (struct log_search){ .query = q, .start_ns = INT64_MIN, .end_ns = INT64_MAX, .count_all = x->count_all, .want_source = true };
    if (x->offset < 0 || x->size < 0 || x->offset + x->size > LOG_HITS_MAX)
        return err_set(ERR_INVALID, "start_offset + max_hits must not be over %d", LOG_HITS_MAX);
    s->offset = (uint32_t)x->offset;
    s->size = (uint32_t)x->size;
    if (x->has_start) TRY(seconds(x->start_s, &s->start_ns));
    if (x->has_end) TRY(seconds(x->end_s, &s->end_ns));
    TRY(native_sort(x->sort_by, s));
    if (x->aggs) TRY(aggs_parse(x->aggs, a, &s->aggs, &s->naggs));
    return OK;
}

static void native_answer(const struct log_result *r, struct str lost, int64_t took_us, struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "num_hits");
    json_u64(j, r->num_hits);
    json_keyz(j, "hits");
    json_arr(j);
    for (uint32_t i = 0; i < r->nhits; i++)
        json_raw(j, r->hits[i].source);
    json_arr_end(j);
    json_keyz(j, "elapsed_time_micros");
    json_i64(j, took_us);
    json_keyz(j, "errors");
    json_arr(j);
    if (lost.n) json_str(j, lost);
    json_arr_end(j);
    if (r->aggregations.p) {
        json_keyz(j, "aggregations");
        json_raw(j, r->aggregations);
    }
    json_obj_end(j);
}

static err_t run_native(struct qw_run *r, struct http_request *rq, struct http_response *rs)
{
    struct native x = { .size = 20, .count_all = true, .partial = true };
    const struct json_val *b, *c;
    struct index_entry *e;
    uint32_t n;
    struct log_search s;
    struct log_result res;
    struct json_out j;
    TRY(native_params(rq, &x, &r->arena));
    TRY(qw_body(rq, &r->arena, &b));
    if (b) JSON_EACH(c, b) TRY(native_member(c, &x, &r->arena));
    TRY(native_search(&x, &s, &r->arena));
    TRY(indexes_match(r->q.store, rq->tenant, rq->params[0], false, &r->arena, &e, &n));
    TRY(log_search(&r->q, &s, qw_log_indexes(e, n, &r->arena), n, &res));
    if (!x.partial) TRY(qw_refuse_partial(r));
    json_init(&j, &rs->body);
    native_answer(&res, query_lost_text(&r->q), qw_took_us(r), &j);
    return buf_check(&rs->body);
}

err_t qw_search(struct http_request *rq, struct http_response *rs)
{
    struct qw_run *r = ARENA_NEW(rq->arena, struct qw_run);
    qw_begin(r, rq);
    err_t e = run_native(r, rq, rs);
    qw_end(r);
    return e;
}

/* -- routes ---------------------------------------------------------------------------------------------------------------- */

/* Elastic's own clients (8 and later) refuse servers whose answers lack this header. */
#define ELASTIC(name)                                                                              \
    static err_t elastic_##name(struct http_request *rq, struct http_response *rs)                  \
    {                                                                                              \
        http_add_header(rq, rs, "x-elastic-product", STR("Elasticsearch"));                         \
        return qw_es_##name(rq, rs);                                                                \
    }
ELASTIC(root)
ELASTIC(health)
ELASTIC(nodes)
ELASTIC(aliases)
ELASTIC(stats)
ELASTIC(cat_indices)
ELASTIC(resolve)
ELASTIC(field_caps)
ELASTIC(search)
ELASTIC(scroll)
ELASTIC(count)
ELASTIC(msearch)
ELASTIC(bulk)
ELASTIC(search_shards)
ELASTIC(mapping)
ELASTIC(delete)
ELASTIC(delete_by_query)
ELASTIC(task)

#define GET_POST (HTTP_GET | HTTP_POST)
#define GET_HEAD (HTTP_GET | HTTP_HEAD)
#define Q RT_QUERY
#define ROUTE(m, p, h, c) { .methods = (m), .pattern = (p), .handler = (h), .class = (c) }
#define API "/api/v1"
#define ES "/api/v1/_elastic"

const struct http_route quickwit_routes[] = {
    ROUTE(HTTP_GET, "/health/livez", qw_health, Q),
    ROUTE(HTTP_GET, "/health/readyz", qw_health, Q),
    ROUTE(HTTP_GET, API "/version", qw_version, Q),
    ROUTE(HTTP_GET, API "/cluster", qw_cluster, Q),
    ROUTE(GET_POST, API "/parse-query", qw_parse_query, Q),
    /* The Elasticsearch side. */
    ROUTE(GET_HEAD, ES, elastic_root, Q),
    ROUTE(HTTP_GET, ES "/_cluster/health", elastic_health, Q),
    ROUTE(HTTP_GET, ES "/_nodes/http", elastic_nodes, Q),
    ROUTE(HTTP_GET, ES "/_aliases", elastic_aliases, Q),
    ROUTE(HTTP_GET, ES "/_stats", elastic_stats, Q),
    ROUTE(HTTP_GET, ES "/_cat/indices", elastic_cat_indices, Q),
    ROUTE(HTTP_GET, ES "/_cat/indices/{index}", elastic_cat_indices, Q),
    ROUTE(HTTP_GET, ES "/_resolve/index/{index}", elastic_resolve, Q),
    ROUTE(GET_POST, ES "/_field_caps", elastic_field_caps, Q),
    ROUTE(GET_POST, ES "/_search", elastic_search, Q),
    ROUTE(GET_POST | HTTP_DELETE, ES "/_search/scroll", elastic_scroll, Q),
    ROUTE(GET_POST, ES "/_count", elastic_count, Q),
    ROUTE(GET_POST, ES "/_msearch", elastic_msearch, Q),
    ROUTE(HTTP_POST | HTTP_PUT, ES "/_bulk", elastic_bulk, RT_INGEST),
    ROUTE(HTTP_POST | HTTP_PUT, ES "/{index}/_bulk", elastic_bulk, RT_INGEST),
    ROUTE(GET_POST, ES "/{index}/_field_caps", elastic_field_caps, Q),
    ROUTE(GET_POST, ES "/{index}/_search", elastic_search, Q),
    ROUTE(GET_POST, ES "/{index}/_count", elastic_count, Q),
    ROUTE(GET_POST, ES "/{index}/_msearch", elastic_msearch, Q),
    ROUTE(GET_POST, ES "/{index}/_search_shards", elastic_search_shards, Q),
    ROUTE(HTTP_GET, ES "/{index}/_stats", elastic_stats, Q),
    ROUTE(HTTP_GET, ES "/{index}/_mapping", elastic_mapping, Q),
    ROUTE(HTTP_GET, ES "/{index}/_mappings", elastic_mapping, Q),
    ROUTE(HTTP_DELETE, ES "/{index}", elastic_delete, Q),
    ROUTE(HTTP_POST, ES "/{index}/_delete_by_query", elastic_delete_by_query, Q),
    ROUTE(HTTP_GET, ES "/_tasks/{id}", elastic_task, Q),
    ROUTE(GET_POST | HTTP_PUT | HTTP_DELETE, ES "/{rest*}", qw_not_found, Q),
    /* Indexes. */
    ROUTE(HTTP_GET, API "/indexes", qw_indexes_list, Q),
    ROUTE(HTTP_POST, API "/indexes", qw_indexes_create, Q),
    ROUTE(HTTP_GET, API "/indexes/{id}", qw_index_get, Q),
    ROUTE(HTTP_PUT, API "/indexes/{id}", qw_index_put, Q),
    ROUTE(HTTP_DELETE, API "/indexes/{id}", qw_index_delete, Q),
    ROUTE(HTTP_PUT, API "/indexes/{id}/clear", qw_index_clear, Q),
    ROUTE(HTTP_GET, API "/indexes/{id}/describe", qw_index_describe, Q),
    ROUTE(HTTP_GET, API "/indexes/{id}/splits", qw_index_splits, Q),
    ROUTE(GET_POST, API "/indexes/{id}/search", qw_search, Q), /* what the plugin's autocompletion asks for */
    ROUTE(HTTP_GET, API "/templates", qw_templates_list, Q),
    ROUTE(HTTP_POST, API "/templates", qw_template_create, Q),
    ROUTE(HTTP_GET, API "/templates/{id}", qw_template_get, Q),
    ROUTE(HTTP_PUT, API "/templates/{id}", qw_template_put, Q),
    ROUTE(HTTP_DELETE, API "/templates/{id}", qw_template_delete, Q),
    /* Search and ingest of one index or many. */
    ROUTE(GET_POST, API "/{index}/search", qw_search, Q),
    ROUTE(HTTP_POST, API "/{index}/ingest", qw_ingest, RT_INGEST),
    ROUTE(HTTP_POST, API "/{index}/delete-tasks", qw_delete_task_create, Q),
    ROUTE(HTTP_GET, API "/{index}/delete-tasks", qw_delete_task_list, Q),
};
const uint32_t quickwit_nroutes = ARRAY_LEN(quickwit_routes);
