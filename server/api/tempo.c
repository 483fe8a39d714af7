#include "server/api/tempo.h"

#include "base/core/pb_out.h"
#include "query/traceql/lex.h"
#include "query/traceql/search.h"
#include "server/api/tempo_int.h"
#include "server/api/tempo_trace.h"

/* -- one query ------------------------------------------------------------------------------------------------ */
void tempo_run_begin(struct tempo_run *r, struct http_request *rq)
{
    const struct tempo_ctx *ctx = rq->user;
    *r = (struct tempo_run){ .q = { .store = ctx->store, .cluster = ctx->cluster, .tenant = rq->tenant } };
    query_begin(&r->q, &r->budget, &r->arena, ctx->budget, ctx->query_bytes_max, ctx->timeout_ns);
}

void tempo_run_end(struct tempo_run *r)
{
    if (r->scattered) scatter_free(&r->sc);
    query_end(&r->q);
}

/* -- parameters -------------------------------------------------------------------------------------------------- */
static err_t trace_id_of(struct str hex, uint8_t id[16])
{
    char padded[32];
    memset(padded, '0', sizeof padded);
    if (hex.n == 0 || hex.n > 32)
        return err_set(ERR_INVALID, "trace IDs can be at most 128 bits: '" STR_FMT "'", (int)MIN(hex.n, 80u), hex.p);
    memcpy(padded + 32 - hex.n, hex.p, hex.n);
    if (!str_from_hex(str_n(padded, 32), id, 16))
        return err_set(ERR_INVALID, "trace IDs can only contain hex characters: '" STR_FMT "'", STR_ARG(hex));
    return OK;
}

/* start and end in unix seconds: both or none; all time without them. */
static err_t window_of(struct http_request *rq, int64_t *tmin_ns, int64_t *tmax_ns)
{
    struct str s, e;
    uint64_t start = 0, end = 0;
    bool has_start = http_param(rq, "start", 0, &s) && s.n, has_end = http_param(rq, "end", 0, &e) && e.n;
    *tmin_ns = INT64_MIN;
    *tmax_ns = INT64_MAX;
    if (!has_start && !has_end) return OK;
    if (!has_start || !has_end) return err_set(ERR_INVALID, "start and end must be given together");
    if (!str_to_u64(s, &start) || start > UINT32_MAX) return err_set(ERR_INVALID, "invalid start: '" STR_FMT "'", STR_ARG(s));
    if (!str_to_u64(e, &end) || end > UINT32_MAX) return err_set(ERR_INVALID, "invalid end: '" STR_FMT "'", STR_ARG(e));
    if (start == 0 && end == 0) return OK;
    if (end <= start) return err_set(ERR_INVALID, "http parameter start must be before end. received start=%llu end=%llu",
                                     (unsigned long long)start, (unsigned long long)end);
    *tmin_ns = (int64_t)start * NS_PER_S;
    *tmax_ns = (int64_t)end * NS_PER_S;
    return OK;
}

err_t tempo_count_param(struct http_request *rq, const char *name, uint32_t def, uint32_t min, uint32_t max, uint32_t *out)
{
    struct str s;
    uint64_t v;
    *out = def;
    if (!http_param(rq, name, 0, &s) || !s.n) return OK;
    if (!str_to_u64(s, &v) || v < min)
        return err_set(ERR_INVALID, "invalid %s: must be a number of at least %u", name, min);
    *out = (uint32_t)MIN(v, max);
    return OK;
}

static err_t duration_param(struct http_request *rq, const char *name, int64_t *out)
{
    struct str s;
    if (!http_param(rq, name, 0, &s) || !s.n) return OK;
    if (!tql_duration(s, out)) return err_set(ERR_INVALID, "invalid %s: '" STR_FMT "'", name, STR_ARG(s));
    return OK;
}

/* -- trace by id ---------------------------------------------------------------------------------------------------- */
static bool wants_proto(const struct http_request *rq)
{
    return str_find(http_header(rq, "accept"), STR("application/protobuf")) != SIZE_MAX;
}

static err_t render_trace(struct http_request *rq, struct http_response *rs, const struct tspans *spans, bool v2,
                          struct str lost, struct arena *a)
{
    if (wants_proto(rq)) {
        rs->content_type = "application/protobuf";
        if (!v2) return tempo_trace_proto(spans, a, &rs->body);
        size_t at = pb_begin(&rs->body, 1);
        TRY(tempo_trace_proto(spans, a, &rs->body));
        pb_end(&rs->body, at);
        if (lost.n) { /* tempopb.TraceByIDResponse: status PARTIAL, message */
            pb_uint(&rs->body, 3, 1);
            pb_str(&rs->body, 4, lost);
        }
        return buf_check(&rs->body);
    }
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    if (v2) {
        json_keyz(&j, "trace");
        json_obj(&j);
    }
    if (spans->n) {
        json_keyz(&j, v2 ? "resourceSpans" : "batches");
        TRY(tempo_trace_json(spans, a, &j));
    }
    if (v2) {
        json_obj_end(&j);
        json_keyz(&j, "metrics");
        json_obj(&j);
        json_obj_end(&j);
        tempo_partial_json(lost, STR_NONE, &j);
    }
    json_obj_end(&j);
    return buf_check(&rs->body);
}

static err_t trace_handler(struct http_request *rq, struct http_response *rs, bool v2)
{
    uint8_t id[16];
    int64_t tmin, tmax;
    struct tempo_run r;
    struct tspans spans;
    TRY(trace_id_of(rq->params[0], id));
    TRY(window_of(rq, &tmin, &tmax));
    tempo_run_begin(&r, rq);
    err_t e = trace_by_id(&r.q, id, tmin, tmax, &r.sc, &spans);
    r.scattered = e == OK;
    if (e == OK && spans.n == 0 && !v2) {
        rs->status = 404;
        buf_str(&rs->body, query_lost_text(&r.q));
    } else if (e == OK) {
        e = render_trace(rq, rs, &spans, v2, query_lost_text(&r.q), &r.arena);
    }
    tempo_run_end(&r);
    return e;
}

static err_t trace_v1(struct http_request *rq, struct http_response *rs)
{
    return trace_handler(rq, rs, false);
}

static err_t trace_v2(struct http_request *rq, struct http_response *rs)
{
    return trace_handler(rq, rs, true);
}

/* -- search ------------------------------------------------------------------------------------------------------------ */
/* One piece of the legacy tags parameter, logfmt: key=value or key="value". */
static bool next_tag(struct str *rest, struct str *key, struct str *value)
{
    *rest = str_trim(*rest);
    size_t eq = str_chr(*rest, '=');
    if (eq == rest->n || eq == 0) return false;
    *key = str_sub(*rest, 0, eq);
    struct str v = str_sub(*rest, eq + 1, rest->n);
    bool quoted = v.n && v.p[0] == '"';
    size_t end = quoted ? 1 + str_chr(str_sub(v, 1, v.n), '"') : str_chr(v, ' ');
    if (quoted && end >= v.n) return false;
    *value = quoted ? str_sub(v, 1, end) : str_sub(v, 0, end);
    *rest = str_sub(v, end + (quoted ? 1 : 0), v.n);
    return str_chr(*key, ' ') == key->n;
}

static void quote(struct buf *out, struct str s)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') buf_byte(out, '\\');
        buf_byte(out, (uint8_t)s.p[i]);
    }
    buf_byte(out, '"');
}

/* The legacy form as TraceQL: values match as text, and as the number or boolean that they spell. */
static err_t tags_to_query(struct str tags, struct buf *out)
{
    static const char *const fields[][2] = { { "name", "name" }, { "status.code", "status" },
        { "root.name", "rootName" }, { "root.service.name", "rootServiceName" }, { "status", "status" } };
    struct str key, value;
    buf_z(out, "{ true");
    for (struct str rest = tags; str_trim(rest).n;) {
        if (!next_tag(&rest, &key, &value)) return err_set(ERR_INVALID, "invalid tags: '" STR_FMT "' is not logfmt", STR_ARG(tags));
        const char *own = NULL;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            if (str_is(key, fields[i][0])) own = fields[i][1];
        double number;
        bool plain = str_to_f64(value, &number) || str_is(value, "true") || str_is(value, "false");
        if (str_is(key, "error") && str_is(value, "true")) {
            buf_z(out, " && (status = error || .error = true)");
        } else if (own && str_is(str_of(own), "status")) {
            buf_printf(out, " && status = " STR_FMT, STR_ARG(value));
        } else {
            buf_z(out, " && (");
            if (own) {
                buf_z(out, own);
            } else {
                buf_byte(out, '.');
                quote(out, key);
            }
            buf_z(out, " = ");
            quote(out, value);
            if (plain && !own) {
                buf_z(out, " || .");
                quote(out, key);
                buf_printf(out, " = " STR_FMT, STR_ARG(value));
            }
            buf_byte(out, ')');
        }
    }
    buf_z(out, " }");
    return buf_check(out);
}

static err_t query_text(struct http_request *rq, struct arena *a, struct str *text)
{
    struct str q, tags;
    bool has_q = http_param(rq, "q", 0, &q) && str_trim(q).n, has_tags = http_param(rq, "tags", 0, &tags) && tags.n;
    if (has_q && has_tags) return err_set(ERR_INVALID, "invalid request: can't specify tags and q in the same query");
    *text = has_q ? q : STR("{}");
    if (has_q || !has_tags) return OK;
    struct buf out;
    buf_init(&out, TQL_TEXT_MAX, NULL);
    err_t e = tags_to_query(tags, &out);
    if (e == OK) *text = arena_str(a, buf_view(&out));
    buf_deinit(&out);
    return e;
}

static void hit_attrs(const struct tattr *attrs, uint32_t n, struct arena *a, struct json_out *j)
{
    bool open = false;
    for (uint32_t i = 0; i < n; i++) {
        struct str k = attrs[i].key;
        /* These have members of their own. */
        if (str_is(k, "name") || str_is(k, "duration") || str_is(k, "span:name") || str_is(k, "span:duration")) continue;
        if (!open) {
            json_keyz(j, "attributes");
            json_arr(j);
            open = true;
        }
        json_obj(j);
        json_keyz(j, "key");
        json_str(j, k);
        json_keyz(j, "value");
        tempo_any_json(&attrs[i].v, a, j);
        json_obj_end(j);
    }
    if (open) json_arr_end(j);
}

static void set_json(const struct tql_result_set *s, struct arena *a, struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "spans");
    json_arr(j);
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct tql_result_span *rs = &s->spans[i];
        json_obj(j);
        json_keyz(j, "spanID");
        json_hex(j, rs->span->span_id, 8);
        for (uint32_t k = 0; k < rs->nattrs; k++)
            if (str_is(rs->attrs[k].key, "name") || str_is(rs->attrs[k].key, "span:name")) {
                json_keyz(j, "name");
                json_str(j, rs->span->name);
                break;
            }
        json_keyz(j, "startTimeUnixNano");
        json_i64_str(j, rs->span->start_ns);
        json_keyz(j, "durationNanos");
        json_i64_str(j, rs->span->duration_ns);
        hit_attrs(rs->attrs, rs->nattrs, a, j);
        json_obj_end(j);
    }
    json_arr_end(j);
    json_keyz(j, "matched");
    json_u64(j, s->matched);
    hit_attrs(s->attrs, s->nattrs, a, j);
    json_obj_end(j);
}

static void services_json(const struct search_hit *h, struct json_out *j)
{
    json_keyz(j, "serviceStats");
    json_obj(j);
    for (uint32_t i = 0; i < h->nservices; i++) {
        json_key(j, h->services[i].service);
        json_obj(j);
        json_keyz(j, "spanCount");
        json_u64(j, h->services[i].spans);
        if (h->services[i].errors) {
            json_keyz(j, "errorCount");
            json_u64(j, h->services[i].errors);
        }
        json_obj_end(j);
    }
    json_obj_end(j);
}

static void hit_json(const struct search_hit *h, struct arena *a, struct json_out *j)
{
    static const struct str unknown = { "<root span not yet received>", 28 };
    char hex[32];
    str_to_hex(h->trace_id, 16, hex);
    size_t zeros = 0;
    while (zeros < 31 && hex[zeros] == '0')
        zeros++;
    json_obj(j);
    json_keyz(j, "traceID");
    json_str(j, str_n(hex + zeros, 32 - zeros));
    json_keyz(j, "rootServiceName");
    json_str(j, h->has_root ? h->root_service : unknown);
    if (!h->has_root || h->root_name.n) {
        json_keyz(j, "rootTraceName");
        json_str(j, h->has_root ? h->root_name : unknown);
    }
    json_keyz(j, "startTimeUnixNano");
    json_i64_str(j, h->start_ns);
    if (h->duration_ns >= NS_PER_MS) {
        json_keyz(j, "durationMs");
        json_i64(j, h->duration_ns / NS_PER_MS);
    }
    json_keyz(j, "spanSet");
    set_json(&h->result.sets[0], a, j);
    json_keyz(j, "spanSets");
    json_arr(j);
    for (uint32_t i = 0; i < h->result.nsets; i++)
        set_json(&h->result.sets[i], a, j);
    json_arr_end(j);
    services_json(h, j);
    json_obj_end(j);
}

void tempo_partial_json(struct str lost, struct str left_out, struct json_out *j)
{
    if (!lost.n && !left_out.n) return;
    json_keyz(j, "status");
    json_z(j, "PARTIAL");
    json_keyz(j, "message");
    json_str(j, lost.n ? lost : left_out);
}

void tempo_read_json(const struct query *q, uint64_t traces, struct json_out *j)
{
    json_keyz(j, "metrics");
    json_obj(j);
    if (traces) {
        json_keyz(j, "inspectedTraces");
        json_u64(j, MIN(traces, UINT32_MAX));
    }
    if (q->stats.bytes) {
        json_keyz(j, "inspectedBytes");
        json_i64_str(j, (int64_t)q->stats.bytes);
    }
    if (q->stats.rows) {
        json_keyz(j, "inspectedSpans");
        json_i64_str(j, (int64_t)q->stats.rows);
    }
    json_keyz(j, "completedJobs");
    json_u64(j, 1);
    json_keyz(j, "totalJobs");
    json_u64(j, 1);
    json_obj_end(j);
}

static void search_json(const struct search_answer *ans, struct query *q, struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "traces");
    json_arr(j);
    for (uint32_t i = 0; i < ans->n; i++)
        hit_json(&ans->hits[i], q->arena, j);
    json_arr_end(j);
    tempo_read_json(q, ans->traces_inspected, j);
    tempo_partial_json(query_lost_text(q), STR_NONE, j);
    json_obj_end(j);
}

static err_t search_params(struct http_request *rq, struct search_req *sr)
{
    *sr = (struct search_req){ .max_duration_ns = INT64_MAX };
    TRY(window_of(rq, &sr->tmin_ns, &sr->tmax_ns));
    TRY(tempo_count_param(rq, "limit", 20, 1, SEARCH_LIMIT_MAX, &sr->limit));
    TRY(tempo_count_param(rq, "spss", 3, 0, 1000000, &sr->spss));
    TRY(duration_param(rq, "minDuration", &sr->min_duration_ns));
    TRY(duration_param(rq, "maxDuration", &sr->max_duration_ns));
    if (sr->max_duration_ns < sr->min_duration_ns) return err_set(ERR_INVALID, "invalid maxDuration: must be greater than minDuration");
    return OK;
}

static err_t search(struct http_request *rq, struct http_response *rs)
{
    struct search_req sr;
    struct search_answer ans;
    struct str text;
    struct tempo_run r;
    struct tql_query *tql = NULL;
    TRY(search_params(rq, &sr));
    TRY(query_text(rq, rq->arena, &text));
    tempo_run_begin(&r, rq);
    err_t e = tql_parse(text, &r.arena, &tql);
    if (e == ERR_INVALID) e = err_set(e, "invalid TraceQL query: %s", err_detail());
    if (e == OK) {
        sr.q = tql;
        e = trace_search(&r.q, &sr, &r.sc, &ans);
        r.scattered = e == OK;
    }
    if (e == OK) {
        struct json_out j;
        json_init(&j, &rs->body);
        search_json(&ans, &r.q, &j);
        e = buf_check(&rs->body);
    }
    if (tql) tql_free(tql);
    tempo_run_end(&r);
    return e;
}

/* -- tags ------------------------------------------------------------------------------------------------------------------ */
static const char *const intrinsic_tags[] = { "duration", "event:name", "event:timeSinceStart", "instrumentation:name",
    "instrumentation:version", "kind", "name", "rootName", "rootServiceName", "span:duration", "span:kind", "span:name",
    "span:status", "span:statusMessage", "status", "statusMessage", "trace:duration", "trace:rootName", "trace:rootService",
    "traceDuration" };
static const char *const scope_names[TAG_SCOPES] = { "resource", "span", "event", "link", "instrumentation" };

/* The optional q narrows tags and values when it is one span filter; anything else is no filter, never an
 * error: completion asks while the query is being typed. */
static struct tql_query *narrowing(struct http_request *rq, struct arena *a, const struct tql_field **filter)
{
    struct str q;
    struct tql_query *out = NULL;
    *filter = NULL;
    if (!http_param(rq, "q", 0, &q) || !str_trim(q).n || tql_parse(q, a, &out) != OK) return NULL;
    if (out->nfilters == 1) *filter = out->filters[0];
    return out;
}

static err_t find_tags(struct tempo_run *r, struct http_request *rq, struct tag_names *names)
{
    const struct tql_field *filter;
    int64_t tmin, tmax;
    TRY(window_of(rq, &tmin, &tmax));
    struct tql_query *q = narrowing(rq, &r->arena, &filter);
    err_t e = trace_tags(&r->q, filter, tmin, tmax, &r->sc, names);
    r->scattered = e == OK;
    if (q) tql_free(q);
    return e;
}

static void strings_json(struct json_out *j, const struct str *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        json_str(j, s[i]);
}

static void intrinsics_json(struct json_out *j)
{
    for (size_t i = 0; i < ARRAY_LEN(intrinsic_tags); i++)
        json_z(j, intrinsic_tags[i]);
}

static void no_metrics(struct json_out *j)
{
    json_keyz(j, "metrics");
    json_obj(j);
    json_obj_end(j);
    json_obj_end(j);
}

static err_t tags_v1(struct http_request *rq, struct http_response *rs)
{
    struct tempo_run r;
    struct tag_names names;
    tempo_run_begin(&r, rq);
    err_t e = find_tags(&r, rq, &names);
    if (e == OK) {
        struct json_out j;
        json_init(&j, &rs->body);
        json_obj(&j);
        json_keyz(&j, "tagNames");
        json_arr(&j);
        strings_json(&j, names.names[TAG_RESOURCE], names.n[TAG_RESOURCE]);
        strings_json(&j, names.names[TAG_SPAN], names.n[TAG_SPAN]);
        json_arr_end(&j);
        no_metrics(&j);
    }
    tempo_run_end(&r);
    return e;
}

static err_t tags_v2(struct http_request *rq, struct http_response *rs)
{
    struct tempo_run r;
    struct tag_names names;
    struct str scope = STR("");
    uint32_t limit;
    bool known = false;
    (void)http_param(rq, "scope", 0, &scope);
    TRY(tempo_count_param(rq, "limit", UINT32_MAX, 0, UINT32_MAX, &limit));
    if (limit == 0) limit = UINT32_MAX;
    bool all = scope.n == 0 || str_is(scope, "none");
    for (int s = 0; s < TAG_SCOPES; s++)
        known |= str_is(scope, scope_names[s]);
    if (!all && !known && !str_is(scope, "intrinsic") && !str_is(scope, "trace"))
        return err_set(ERR_INVALID, "invalid scope: '" STR_FMT "'", STR_ARG(scope));
    tempo_run_begin(&r, rq);
    err_t e = find_tags(&r, rq, &names);
    if (e == OK) {
        struct json_out j;
        json_init(&j, &rs->body);
        json_obj(&j);
        json_keyz(&j, "scopes");
        json_arr(&j);
        for (int s = 0; s <= TAG_SCOPES; s++) {
            const char *name = s < TAG_SCOPES ? scope_names[s] : "intrinsic";
            if ((!all && !str_is(scope, name)) || (s < TAG_SCOPES && !names.n[s])) continue;
            json_obj(&j);
            json_keyz(&j, "name");
            json_z(&j, name);
            json_keyz(&j, "tags");
            json_arr(&j);
            if (s < TAG_SCOPES)
                strings_json(&j, names.names[s], MIN(names.n[s], limit));
            else
                intrinsics_json(&j);
            json_arr_end(&j);
            json_obj_end(&j);
        }
        json_arr_end(&j);
        no_metrics(&j);
    }
    tempo_run_end(&r);
    return e;
}

/* -- values ------------------------------------------------------------------------------------------------------------------- */
static void value_text(const struct tval *v, struct json_out *j)
{
    char text[40];
    switch (v->type) {
    case TV_STR: case TV_BYTES: case TV_JSON: json_str(j, v->s); return;
    case TV_BOOL: json_z(j, v->b ? "true" : "false"); return;
    case TV_STATUS: json_z(j, tql_status_name(v->i)); return;
    case TV_KIND: json_z(j, tql_kind_name(v->i)); return;
    case TV_FLOAT: json_str(j, str_n(text, f64_shortest(v->f, text))); return;
    case TV_INT: json_i64_str(j, v->i); return;
    case TV_NIL: json_z(j, "nil"); return;
    }
}

static const char *value_type(const struct tval *v)
{
    switch (v->type) {
    case TV_INT: return v->duration ? "duration" : "int";
    case TV_FLOAT: return "float";
    case TV_BOOL: return "bool";
    case TV_STATUS: case TV_KIND: return "keyword";
    default: return "string";
    }
}

/* Values that need no look at the data, and names of the whole trace read from its spans. */
static void keyword_values(const struct tql_field *tag, struct arena *a, struct tag_values *out)
{
    bool status = tag->intrinsic == TI_STATUS;
    out->n = status ? 3 : 6;
    out->v = ARENA_ARRAY(a, struct tval, out->n);
    for (uint32_t i = 0; i < out->n; i++)
        out->v[i] = (struct tval){ .type = status ? TV_STATUS : TV_KIND, .i = i };
}

static err_t find_values(struct tempo_run *r, struct http_request *rq, struct str name, struct tag_values *out)
{
    struct tql_field *tag;
    const struct tql_field *filter;
    int64_t tmin, tmax;
    TRY(window_of(rq, &tmin, &tmax));
    TRY(tql_parse_name(name, &r->arena, &tag));
    *out = (struct tag_values){ 0 };
    if (tag->kind == TF_INTRINSIC && (tag->intrinsic == TI_STATUS || tag->intrinsic == TI_KIND)) {
        keyword_values(tag, &r->arena, out);
        return OK;
    }
    if (tag->kind == TF_INTRINSIC && tag->intrinsic == TI_ROOT_NAME) tag->intrinsic = TI_NAME;
    if (tag->kind == TF_INTRINSIC && tag->intrinsic == TI_ROOT_SERVICE)
        *tag = (struct tql_field){ .kind = TF_ATTR, .scope = TS_RESOURCE, .name = STR("service.name") };
    struct tql_query *q = narrowing(rq, &r->arena, &filter);
    err_t e = trace_tag_values(&r->q, tag, filter, tmin, tmax, &r->sc, out);
    r->scattered = e == OK;
    if (q) tql_free(q);
    return e;
}

/* The name of a v1 tag, which may hold anything, as TraceQL writes it: ."a \"b\"" */
static struct str unscoped(struct str name, struct arena *a)
{
    struct buf text;
    buf_init(&text, 2 * TQL_TEXT_MAX, NULL);
    buf_byte(&text, '.');
    quote(&text, name);
    struct str out = arena_str(a, buf_view(&text));
    buf_deinit(&text);
    return out;
}

static err_t values_handler(struct http_request *rq, struct http_response *rs, bool v2)
{
    struct tempo_run r;
    struct tag_values vals;
    struct str name = rq->params[0];
    uint32_t limit;
    TRY(tempo_count_param(rq, "limit", UINT32_MAX, 0, UINT32_MAX, &limit));
    if (limit == 0) limit = UINT32_MAX;
    tempo_run_begin(&r, rq);
    /* v1 names carry no scope. */
    struct tql_field *probe;
    if (!v2 && (tql_parse_name(name, &r.arena, &probe) != OK || probe->kind == TF_ATTR)) {
        name = unscoped(name, &r.arena);
    }
    err_t e = find_values(&r, rq, name, &vals);
    if (e == OK) {
        struct json_out j;
        json_init(&j, &rs->body);
        json_obj(&j);
        json_keyz(&j, "tagValues");
        json_arr(&j);
        for (uint32_t i = 0; i < MIN(vals.n, limit); i++) {
            if (v2) {
                json_obj(&j);
                json_keyz(&j, "type");
                json_z(&j, value_type(&vals.v[i]));
                json_keyz(&j, "value");
            }
            value_text(&vals.v[i], &j);
            if (v2) json_obj_end(&j);
        }
        json_arr_end(&j);
        no_metrics(&j);
    }
    tempo_run_end(&r);
    return e;
}

static err_t values_v1(struct http_request *rq, struct http_response *rs)
{
    return values_handler(rq, rs, false);
}

static err_t values_v2(struct http_request *rq, struct http_response *rs)
{
    return values_handler(rq, rs, true);
}

/* -- the rest --------------------------------------------------------------------------------------------------------------------- */
static err_t echo(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    rs->content_type = "text/plain; charset=utf-8";
    buf_z(&rs->body, "echo");
    return OK;
}

static err_t ready(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    rs->content_type = "text/plain; charset=utf-8";
    buf_z(&rs->body, "ready\n");
    return OK;
}

static err_t buildinfo(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "version");
    json_z(&j, TERCET_VERSION);
    static const char *const rest[] = { "revision", "branch", "buildUser", "buildDate", "goVersion" };
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        json_keyz(&j, rest[i]);
        json_z(&j, "");
    }
    json_obj_end(&j);
    return OK;
}

void tempo_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs)
{
    (void)rq;
    (void)code;
    rs->status = status;
    rs->content_type = "text/plain; charset=utf-8";
    buf_z(&rs->body, detail);
}

#define GET(pattern, handler) { HTTP_GET, pattern, handler, RT_QUERY }
#define GET_OR_FORM(pattern, handler) { HTTP_GET | HTTP_POST, pattern, handler, RT_QUERY }

const struct http_route tempo_routes[] = {
    GET("/api/echo", echo),
    GET("/ready", ready),
    GET("/api/status/buildinfo", buildinfo),
    GET("/api/traces/{id}", trace_v1),
    GET("/api/v2/traces/{id}", trace_v2),
    GET("/api/search", search),
    GET("/api/search/tags", tags_v1),
    GET("/api/search/tag/{name}/values", values_v1),
    GET("/api/v2/search/tags", tags_v2),
    GET("/api/v2/search/tag/{name}/values", values_v2),
    GET_OR_FORM("/api/metrics/query_range", tempo_query_range),
    GET_OR_FORM("/api/metrics/query", tempo_query_instant),
};
const uint32_t tempo_nroutes = ARRAY_LEN(tempo_routes);
