/* The Elasticsearch side's views of indexes: field capabilities, _cat, _stats, mappings, and the like. */
#include "server/api/quickwit_internal.h"

#include "query/logs/columns.h"

err_t qw_es_root(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "{\"name\":\"tercet\",\"cluster_name\":\"tercet\",\"cluster_uuid\":\"tercet\",\"version\":{\"distribution\":\"quickwit\","
                     "\"number\":\"7.17.9\",\"build_hash\":\"\",\"build_date\":\"2026-11-22T00:00:00Z\",\"build_snapshot\":false,"
                     "\"lucene_version\":\"8.11.1\",\"minimum_wire_compatibility_version\":\"6.8.0\","
                     "\"minimum_index_compatibility_version\":\"6.0.0\"},\"tagline\":\"You Know, for Search\"}");
    return OK;
}

err_t qw_es_health(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "{\"cluster_name\":\"tercet\",\"status\":\"green\",\"timed_out\":false,\"number_of_nodes\":1,"
                     "\"number_of_data_nodes\":1,\"active_primary_shards\":1,\"active_shards\":1,\"relocating_shards\":0,"
                     "\"initializing_shards\":0,\"unassigned_shards\":0}");
    return OK;
}

err_t qw_es_nodes(struct http_request *rq, struct http_response *rs)
{
    struct json_out j;
    struct str host = http_header(rq, "host");
    json_init(&j, &rs->body);
    buf_z(&rs->body, "{\"_nodes\":{\"total\":1,\"successful\":1,\"failed\":0},\"cluster_name\":\"tercet\",\"nodes\":{\"tercet\":{"
                     "\"roles\":[\"data\",\"ingest\",\"master\"],\"http\":{\"publish_address\":");
    json_str(&j, host.p ? host : STR("127.0.0.1:7280"));
    buf_z(&rs->body, "}}}}");
    return OK;
}

err_t qw_es_aliases(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    buf_z(&rs->body, "{}");
    return OK;
}

/* -- field capabilities ------------------------------------------------------------------------------------------------ */

struct cap {
    struct str field, type;
    bool searchable, aggregatable;
    uint64_t in[(LOG_INDEXES_MAX + 63) / 64]; /* a bit an index */
};
struct caps {
    struct arena *a;
    struct cap *v;
    size_t n, cap;
    struct str patterns; /* ?fields= */
    uint32_t index;      /* being gathered */
};

static bool field_wanted(const struct caps *c, struct str field)
{
    struct str rest = c->patterns, one;
    if (!rest.n) return true;
    while (str_cut(&rest, ',', &one))
        if (wildcard_match(str_trim(one), field, false)) return true;
    return false;
}

static void add_cap(struct caps *c, struct str field, const char *type, bool searchable, bool aggregatable)
{
    if (!field_wanted(c, field)) return;
    size_t i = 0;
    while (i < c->n && !(str_eq(c->v[i].field, field) && str_is(c->v[i].type, type)))
        i++;
    if (i == c->n) {
        c->v = arena_grow(c->a, c->v, c->n, &c->cap, c->n + 1, sizeof *c->v);
        memset(&c->v[c->n], 0, sizeof *c->v);
        c->v[c->n].field = arena_str(c->a, field);
        c->v[c->n++].type = str_of(type);
    }
    c->v[i].searchable |= searchable;
    c->v[i].aggregatable |= aggregatable;
    c->v[i].in[c->index / 64] |= UINT64_C(1) << (c->index % 64);
}

static void add_text(struct caps *c, struct str field, const struct index_field *f)
{
    bool words = f->tokenizer == TOK_DEFAULT || f->tokenizer == TOK_WHITESPACE;
    if (!words || f->fast) add_cap(c, field, "keyword", true, f->fast);
    if (words) add_cap(c, field, "text", true, f->fast);
}

static void add_declared(struct caps *c, const struct index_field *f)
{
    switch (f->type) {
    case FT_TEXT:
    case FT_CONCAT: add_text(c, f->path, f); break;
    case FT_I64:
    case FT_U64: add_cap(c, f->path, "long", true, f->fast); break;
    case FT_F64: add_cap(c, f->path, "double", true, f->fast); break;
    case FT_BOOL: add_cap(c, f->path, "boolean", true, f->fast); break;
    case FT_DATETIME: add_cap(c, f->path, "date_nanos", true, f->fast); break;
    case FT_IP: add_cap(c, f->path, "ip", true, f->fast); break;
    case FT_BYTES: add_cap(c, f->path, "binary", true, f->fast); break;
    case FT_JSON: break; /* by what is in it */
    }
}

static void add_seen(struct caps *c, const struct index_entry *e, const struct log_column *col)
{
    struct str rest;
    const struct index_mapping *m = &e->config.mapping;
    const struct index_field *f = mapping_field(m, col->name, &rest);
    if (f && f->type != FT_JSON) {
        add_declared(c, f);
        return;
    }
    if (!f) f = &m->dynamic;
    switch (col->type) {
    case COL_I64: add_cap(c, col->name, "long", true, f->fast); break;
    case COL_F64: add_cap(c, col->name, "double", true, f->fast); break;
    case COL_BOOL: add_cap(c, col->name, "boolean", true, f->fast); break;
    case COL_STR: add_text(c, col->name, f); break;
    case COL_BYTES: add_cap(c, col->name, "binary", true, false); break;
    default: break;
    }
}

static err_t gather_caps(struct qw_run *r, struct caps *c, const struct index_entry *e, const struct lq *filter, int64_t start_ns,
                         int64_t end_ns)
{
    static const struct index_field message = { .type = FT_TEXT, .tokenizer = TOK_DEFAULT };
    const struct index_mapping *m = &e->config.mapping;
    struct log_column *cols;
    uint32_t n;
    TRY(log_columns(&r->q, &e->log, filter, start_ns, end_ns, &cols, &n));
    if (e->builtin) {
        for (uint32_t i = 0; i < m->nfields; i++)
            add_declared(c, &m->fields[i]);
        if (e->log.signal == SIG_LOGS) add_text(c, STR("body.message"), &message);
        else add_cap(c, STR("span_status.code"), "keyword", true, false);
    } else if (n && m->timestamp_field.n) {
        struct str rest;
        add_declared(c, mapping_field(m, m->timestamp_field, &rest));
    }
    for (uint32_t i = 0; i < n; i++)
        add_seen(c, e, &cols[i]);
    return arena_check(c->a);
}

static void out_cap(const struct cap *k, const struct index_entry *e, uint32_t n, struct json_out *j)
{
    uint32_t in = 0;
    for (uint32_t i = 0; i < n; i++)
        in += (uint32_t)(k->in[i / 64] >> (i % 64) & 1);
    json_key(j, k->type);
    json_obj(j);
    json_keyz(j, "type");
    json_str(j, k->type);
    json_keyz(j, "metadata_field");
    json_bool(j, false);
    json_keyz(j, "searchable");
    json_bool(j, k->searchable);
    json_keyz(j, "aggregatable");
    json_bool(j, k->aggregatable);
    if (in < n) {
        json_keyz(j, "indices");
        json_arr(j);
        for (uint32_t i = 0; i < n; i++)
            if (k->in[i / 64] >> (i % 64) & 1) json_str(j, e[i].id);
        json_arr_end(j);
    }
    json_obj_end(j);
}

static void out_caps(const struct caps *c, const struct index_entry *e, uint32_t n, struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "indices");
    json_arr(j);
    for (uint32_t i = 0; i < n; i++)
        json_str(j, e[i].id);
    json_arr_end(j);
    json_keyz(j, "fields");
    json_obj(j);
    for (size_t i = 0; i < c->n; i++) {
        bool first = true;
        for (size_t k = 0; k < i && first; k++)
            first = !str_eq(c->v[k].field, c->v[i].field);
        if (!first) continue;
        json_key(j, c->v[i].field);
        json_obj(j);
        for (size_t k = i; k < c->n; k++)
            if (str_eq(c->v[k].field, c->v[i].field)) out_cap(&c->v[k], e, n, j);
        json_obj_end(j);
    }
    json_obj_end(j);
    json_obj_end(j);
}

static err_t seconds_param(struct http_request *rq, const char *name, int64_t *ns)
{
    int64_t s = 0;
    struct str text;
    if (!http_param(rq, name, 0, &text) || text.n == 0) return OK;
    TRY(qw_param_i64(rq, name, &s));
    return __builtin_mul_overflow(s, NS_PER_S, ns) ? err_set(ERR_INVALID, "`%s` is out of range", name) : OK;
}

/* Fields a few thousand at most: the quadratic look-ups above stay below that of a search. */
static err_t field_caps(struct qw_run *r, struct http_request *rq, struct http_response *rs)
{
    int64_t start_ns = INT64_MIN, end_ns = INT64_MAX;
    bool ignore = false;
    struct index_entry *e;
    uint32_t n, kept = 0;
    const struct json_val *b, *f;
    struct lq *filter = NULL;
    struct caps c = { .a = &r->arena };
    struct json_out j;
    TRY(seconds_param(rq, "start_timestamp", &start_ns));
    TRY(seconds_param(rq, "end_timestamp", &end_ns));
    TRY(qw_param_bool(rq, "ignore_unavailable", &ignore));
    qw_param_str(rq, "fields", &c.patterns);
    TRY(qw_body(rq, &r->arena, &b));
    f = b ? json_get(b, "index_filter") : NULL;
    if (f) TRY(lq_from_dsl(f, &r->arena, &filter));
    TRY(indexes_match(r->q.store, rq->tenant, rq->nparams ? rq->params[0] : STR("*"), ignore, &r->arena, &e, &n));
    if (n > LOG_INDEXES_MAX) return err_set(ERR_LIMIT, "over %d indexes", LOG_INDEXES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        /* Without an index named, the built-in ones would drown the user's own. */
        if (e[i].builtin && !rq->nparams) continue;
        c.index = kept;
        TRY(gather_caps(r, &c, &e[i], filter, start_ns, end_ns));
        e[kept++] = e[i];
    }
    json_init(&j, &rs->body);
    out_caps(&c, e, kept, &j);
    return buf_check(&rs->body);
}

static err_t in_run(struct http_request *rq, struct http_response *rs,
                    err_t (*fn)(struct qw_run *r, struct http_request *rq, struct http_response *rs))
{
    struct qw_run *r = ARENA_NEW(rq->arena, struct qw_run);
    qw_begin(r, rq);
    err_t e = fn(r, rq, rs);
    qw_end(r);
    return e;
}

err_t qw_es_field_caps(struct http_request *rq, struct http_response *rs) { return in_run(rq, rs, field_caps); }

/* -- counts ---------------------------------------------------------------------------------------------------------------- */

static bool column_wanted(struct str h, const char *name)
{
    struct str one;
    if (!h.n) return true;
    while (str_cut(&h, ',', &one))
        if (str_is(one, name)) return true;
    return false;
}

static void cat_text(struct json_out *j, struct str h, const char *name, struct str value)
{
    if (!column_wanted(h, name)) return;
    json_keyz(j, name);
    json_str(j, value);
}

static err_t cat_indices(struct qw_run *r, struct http_request *rq, struct http_response *rs)
{
    struct str h = STR_NONE, s, health = STR("green");
    struct index_entry *e;
    uint32_t n;
    struct json_out j;
    if (!http_param(rq, "format", 0, &s) || !str_is(s, "json")) return err_set(ERR_INVALID, "only format=json is served");
    if (http_param(rq, "v", 0, &s) || http_param(rq, "b", 0, &s) || http_param(rq, "bytes", 0, &s))
        return err_set(ERR_INVALID, "parameters v and bytes are not served");
    qw_param_str(rq, "h", &h);
    qw_param_str(rq, "health", &health);
    TRY(indexes_match(r->q.store, rq->tenant, rq->nparams ? rq->params[0] : STR("*"), false, &r->arena, &e, &n));
    json_init(&j, &rs->body);
    json_arr(&j);
    for (uint32_t i = 0; i < n && str_is(health, "green"); i++) {
        uint64_t rows;
        TRY(qw_count(r, &e[i], &rows));
        json_obj(&j);
        cat_text(&j, h, "health", STR("green"));
        cat_text(&j, h, "status", STR("open"));
        cat_text(&j, h, "index", e[i].id);
        cat_text(&j, h, "uuid", e[i].uid);
        cat_text(&j, h, "pri", STR("1"));
        cat_text(&j, h, "rep", STR("1"));
        cat_text(&j, h, "docs.count", arena_printf(&r->arena, "%llu", (unsigned long long)rows));
        cat_text(&j, h, "docs.deleted", STR("0"));
        json_obj_end(&j);
    }
    json_arr_end(&j);
    return buf_check(&rs->body);
}

err_t qw_es_cat_indices(struct http_request *rq, struct http_response *rs) { return in_run(rq, rs, cat_indices); }

static void out_stats(uint64_t docs, uint64_t segments, struct json_out *j)
{
    json_obj(j);
    for (int i = 0; i < 2; i++) {
        json_keyz(j, i ? "total" : "primaries");
        json_obj(j);
        json_keyz(j, "docs");
        json_obj(j);
        json_keyz(j, "count");
        json_u64(j, docs);
        json_keyz(j, "deleted");
        json_u64(j, 0);
        json_obj_end(j);
        json_keyz(j, "segments");
        json_obj(j);
        json_keyz(j, "count");
        json_u64(j, segments);
        json_obj_end(j);
        json_obj_end(j);
    }
    json_obj_end(j);
}

static err_t stats(struct qw_run *r, struct http_request *rq, struct http_response *rs)
{
    struct index_entry *e;
    uint32_t n;
    uint64_t total = 0, full = 0;
    struct json_out j;
    TRY(indexes_match(r->q.store, rq->tenant, rq->nparams ? rq->params[0] : STR("*"), false, &r->arena, &e, &n));
    uint64_t *rows = ARENA_ARRAY(&r->arena, uint64_t, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        TRY(qw_count(r, &e[i], &rows[i]));
        total += rows[i];
        full += rows[i] > 0;
    }
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "_all");
    out_stats(total, full, &j);
    json_keyz(&j, "indices");
    json_obj(&j);
    for (uint32_t i = 0; i < n; i++) {
        json_key(&j, e[i].id);
        out_stats(rows[i], rows[i] > 0, &j);
    }
    json_obj_end(&j);
    json_obj_end(&j);
    return buf_check(&rs->body);
}

err_t qw_es_stats(struct http_request *rq, struct http_response *rs) { return in_run(rq, rs, stats); }

/* -- names -------------------------------------------------------------------------------------------------------------------- */

static err_t matched(struct http_request *rq, bool ignore, struct index_entry **e, uint32_t *n)
{
    return indexes_match(qw_ctx(rq)->store, rq->tenant, rq->params[0], ignore, rq->arena, e, n);
}

static const char *mapping_type(const struct index_field *f)
{
    switch (f->type) {
    case FT_I64:
    case FT_U64: return "long";
    case FT_F64: return "double";
    case FT_BOOL: return "boolean";
    case FT_DATETIME: return "date";
    case FT_IP: return "ip";
    case FT_BYTES: return "binary";
    case FT_JSON: return "object";
    default: return f->tokenizer == TOK_RAW ? "keyword" : "text";
    }
}

err_t qw_es_mapping(struct http_request *rq, struct http_response *rs)
{
    struct index_entry *e;
    uint32_t n;
    struct json_out j;
    TRY(matched(rq, false, &e, &n));
    json_init(&j, &rs->body);
    json_obj(&j);
    for (uint32_t i = 0; i < n; i++) {
        json_key(&j, e[i].id);
        json_obj(&j);
        json_keyz(&j, "mappings");
        json_obj(&j);
        json_keyz(&j, "properties");
        json_obj(&j);
        for (uint32_t f = 0; f < e[i].config.mapping.nfields; f++) {
            json_key(&j, e[i].config.mapping.fields[f].path);
            json_obj(&j);
            json_keyz(&j, "type");
            json_z(&j, mapping_type(&e[i].config.mapping.fields[f]));
            json_obj_end(&j);
        }
        json_obj_end(&j);
        json_obj_end(&j);
        json_obj_end(&j);
    }
    json_obj_end(&j);
    return buf_check(&rs->body);
}

err_t qw_es_resolve(struct http_request *rq, struct http_response *rs)
{
    struct index_entry *e;
    uint32_t n;
    struct json_out j;
    TRY(matched(rq, false, &e, &n));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "indices");
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++) {
        json_obj(&j);
        json_keyz(&j, "name");
        json_str(&j, e[i].id);
        json_keyz(&j, "attributes");
        json_raw(&j, STR("[\"open\"]"));
        json_obj_end(&j);
    }
    json_arr_end(&j);
    json_keyz(&j, "aliases");
    json_raw(&j, STR("[]"));
    json_keyz(&j, "data_streams");
    json_raw(&j, STR("[]"));
    json_obj_end(&j);
    return buf_check(&rs->body);
}

err_t qw_es_search_shards(struct http_request *rq, struct http_response *rs)
{
    struct index_entry *e;
    uint32_t n;
    struct json_out j;
    TRY(matched(rq, false, &e, &n));
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "nodes");
    json_raw(&j, STR("{}"));
    json_keyz(&j, "indices");
    json_raw(&j, STR("{}"));
    json_keyz(&j, "shards");
    json_arr(&j);
    for (uint32_t i = 0; i < n; i++) {
        json_arr(&j);
        json_obj(&j);
        json_keyz(&j, "index");
        json_str(&j, e[i].id);
        json_keyz(&j, "shard");
        json_i64(&j, 0);
        json_keyz(&j, "primary");
        json_bool(&j, true);
        json_keyz(&j, "state");
        json_z(&j, "STARTED");
        json_keyz(&j, "node");
        json_z(&j, "tercet");
        json_obj_end(&j);
        json_arr_end(&j);
    }
    json_arr_end(&j);
    json_obj_end(&j);
    return buf_check(&rs->body);
}

err_t qw_es_delete(struct http_request *rq, struct http_response *rs)
{
    struct index_entry *e;
    uint32_t n;
    bool ignore = false;
    TRY(qw_param_bool(rq, "ignore_unavailable", &ignore));
    TRY(matched(rq, ignore, &e, &n));
    for (uint32_t i = 0; i < n; i++)
        TRY(indexes_delete(qw_ctx(rq)->cluster, qw_ctx(rq)->store, rq->tenant, &e[i]));
    buf_z(&rs->body, "{\"acknowledged\":true}");
    return OK;
}
