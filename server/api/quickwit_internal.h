/* What the files of the Quickwit API share. */
#ifndef SERVER_API_QUICKWIT_INTERNAL_H
#define SERVER_API_QUICKWIT_INTERNAL_H

#include "query/logs/search.h"
#include "server/api/indexes.h"
#include "server/api/quickwit.h"

/* One search request: its memory, its budget, its deadline. */
struct qw_run {
    struct query q;
    struct budget budget;
    struct arena arena;
    int64_t began_ns;
};
void qw_begin(struct qw_run *r, struct http_request *rq);
void qw_end(struct qw_run *r); /* adds to the counters; frees everything of the answer */
int64_t qw_took_us(const struct qw_run *r);

const struct quickwit_ctx *qw_ctx(const struct http_request *rq);
/* log_index of each entry. */
struct log_index *qw_log_indexes(const struct index_entry *e, uint32_t n, struct arena *a);
/* A parameter of the query string; *v stays when it is absent. */
void qw_param_str(struct http_request *rq, const char *name, struct str *v);
/* The same as a number; the default when absent. ERR_INVALID names it. */
MUST_CHECK err_t qw_param_i64(struct http_request *rq, const char *name, int64_t *v);
MUST_CHECK err_t qw_param_bool(struct http_request *rq, const char *name, bool *v);
/* The body as JSON, or NULL when it is empty. */
/* For a request that takes no incomplete answer: an error when this one is. */
MUST_CHECK err_t qw_refuse_partial(struct qw_run *r);
MUST_CHECK err_t qw_body(struct http_request *rq, struct arena *a, const struct json_val **out);
/* ERR_INVALID -> an error about the index's absence on the ES side is rendered from ERR_NOT_FOUND. */
bool qw_is_elastic(const struct http_request *rq);
void qw_es_error(int status, const char *type, const char *reason, struct str index, struct json_out *j);

http_handler qw_search, qw_ingest, qw_version, qw_health, qw_cluster, qw_parse_query;
http_handler qw_indexes_list, qw_indexes_create, qw_index_get, qw_index_put, qw_index_delete, qw_index_clear,
    qw_index_describe, qw_index_splits;
http_handler qw_templates_list, qw_template_create, qw_template_get, qw_template_put, qw_template_delete;
http_handler qw_delete_task_create, qw_delete_task_list, qw_es_delete_by_query, qw_es_task;
http_handler qw_es_root, qw_es_health, qw_es_nodes, qw_es_aliases, qw_es_search, qw_es_msearch, qw_es_scroll, qw_es_count, qw_es_bulk,
    qw_es_field_caps, qw_es_cat_indices, qw_es_stats, qw_es_mapping, qw_es_resolve, qw_es_delete, qw_es_search_shards,
    qw_not_found;

/* Rows that an index holds: of a time range, by a search without hits. */
MUST_CHECK err_t qw_count(struct qw_run *r, const struct index_entry *e, uint64_t *rows) MAY_YIELD;

#endif
