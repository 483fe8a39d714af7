/* Elasticsearch's searches: _search, _msearch, _count, _bulk. */
#include "server/api/quickwit_internal.h"

#include "base/core/datetime.h"

enum { ES_SIZE_DEFAULT = 10, MSEARCH_MAX = 200 };

struct es_sort { bool desc, nanos; struct str field; };
struct es_req {
    struct str q, indexes;
    const struct json_val *query, *aggs, *search_after;
    struct es_sort sort[TOPN_KEYS_MAX];
    uint32_t nsort;
    int64_t from, size;
    bool or_default, ignore_unavailable, count_only, whole_only; /* whole_only: no answer rather than an incomplete one */
    struct str extra_filters, includes, excludes;
};

/* -- request ------------------------------------------------------------------------------------------------------- */

static err_t add_sort(struct es_req *x, struct str field, struct str order, bool nanos)
{
    if (x->nsort == TOPN_KEYS_MAX) return err_set(ERR_INVALID, "sort by field must be up to %d fields", TOPN_KEYS_MAX);
    bool desc = str_is(field, "_score");
    if (order.n) {
        desc = str_ieq(order, STR("desc"));
        if (!desc && !str_ieq(order, STR("asc"))) return err_set(ERR_INVALID, "unknown sort order `" STR_FMT "`", STR_ARG(order));
    }
    x->sort[x->nsort++] = (struct es_sort){ .field = field, .desc = desc, .nanos = nanos };
    return OK;
}

static err_t sort_member(struct es_req *x, const struct json_val *c)
{
    struct str order = STR_NONE;
    bool nanos = false;
    if (c->type == JSON_STR) return add_sort(x, c->key, c->str, false);
    if (c->type != JSON_OBJ) return err_set(ERR_INVALID, "malformed sort");
    const struct json_val *o = json_get(c, "order"), *f = json_get(c, "format");
    if (o && o->type == JSON_STR) order = o->str;
    if (f && f->type == JSON_STR) {
        nanos = str_is(f->str, "epoch_nanos_int");
        if (!nanos && !str_starts(f->str, STR("strict_date")) && !str_is(f->str, "epoch_millis"))
            return err_set(ERR_INVALID, "unknown sort format `" STR_FMT "`", STR_ARG(f->str));
    }
    return add_sort(x, c->key, order, nanos);
}

static err_t sort_json(struct es_req *x, const struct json_val *v)
{
    const struct json_val *c, *m;
    x->nsort = 0;
    if (v->type == JSON_STR) return add_sort(x, v->str, STR_NONE, false);
    if (v->type == JSON_OBJ) {
        JSON_EACH(m, v) TRY(sort_member(x, m));
        return OK;
    }
    if (v->type != JSON_ARR) return err_set(ERR_INVALID, "malformed sort");
    JSON_EACH(c, v) {
        if (c->type == JSON_STR) TRY(add_sort(x, c->str, STR_NONE, false));
        else if (c->type == JSON_OBJ && c->n == 1) TRY(sort_member(x, c + 1));
        else return err_set(ERR_INVALID, "malformed sort");
    }
    return OK;
}

static err_t sort_text(struct es_req *x, struct str s)
{
    struct str one;
    x->nsort = 0;
    while (str_cut(&s, ',', &one)) {
        size_t colon = str_chr(one, ':');
        if (one.n) TRY(add_sort(x, str_sub(one, 0, colon), str_sub(one, colon + 1, one.n), false));
    }
    return OK;
}

static err_t body_number(const struct json_val *c, const char *name, int64_t *out)
{
    return json_to_i64(c, out) ? OK : err_set(ERR_INVALID, "`%s` must be a number", name);
}

static void source_filter(const struct json_val *v, struct arena *a, struct es_req *x)
{
    const struct json_val *inc = v, *c;
    if (v->type == JSON_OBJ) inc = json_get(v, "includes");
    if (!inc || inc->type != JSON_ARR) return;
    JSON_EACH(c, inc)
        if (c->type == JSON_STR) x->includes = x->includes.n ? arena_printf(a, STR_FMT "," STR_FMT, STR_ARG(x->includes), STR_ARG(c->str)) : c->str;
}

static err_t read_body(struct es_req *x, const struct json_val *b, struct arena *a)
{
    const struct json_val *c;
    JSON_EACH(c, b) {
        struct str k = c->key;
        if (c->type == JSON_NULL) continue;
        if (str_is(k, "query")) x->query = c;
        else if (str_is(k, "aggs") || str_is(k, "aggregations")) x->aggs = c;
        else if (str_is(k, "size")) TRY(body_number(c, "size", &x->size));
        else if (str_is(k, "from")) TRY(body_number(c, "from", &x->from));
        else if (str_is(k, "sort")) TRY(sort_json(x, c));
        else if (str_is(k, "search_after")) x->search_after = c;
        else if (str_is(k, "_source")) source_filter(c, a, x);
    }
    return OK;
}

static err_t read_params(struct es_req *x, struct http_request *rq)
{
    struct str s;
    qw_param_str(rq, "q", &x->q);
    (void)http_param(rq, "extra_filters", 0, &x->extra_filters);
    qw_param_str(rq, "_source_includes", &x->includes);
    qw_param_str(rq, "_source_excludes", &x->excludes);
    TRY(qw_param_i64(rq, "size", &x->size));
    TRY(qw_param_i64(rq, "from", &x->from));
    TRY(qw_param_bool(rq, "ignore_unavailable", &x->ignore_unavailable));
    bool partial = true;
    TRY(qw_param_bool(rq, "allow_partial_search_results", &partial));
    x->whole_only = !partial;
    if (http_param(rq, "default_operator", 0, &s)) x->or_default = !str_ieq(s, STR("and"));
    if (http_param(rq, "sort", 0, &s)) TRY(sort_text(x, s));
    return OK;
}

/* -- plan ------------------------------------------------------------------------------------------------------------ */

static err_t build_query(const struct es_req *x, struct arena *a, struct lq **out)
{
    struct lq_opts o = { .or_default = x->or_default };
    struct lq *kids[34];
    struct str rest = x->extra_filters, one;
    uint32_t n = 0;
    if (x->q.p) TRY(lq_parse(x->q, &o, a, &kids[n++]));
    else if (x->query) TRY(lq_from_dsl(x->query, a, &kids[n++]));
    while (rest.p && str_cut(&rest, ',', &one)) {
        if (n == ARRAY_LEN(kids)) return err_set(ERR_INVALID, "too many extra_filters");
        if (one.n) TRY(lq_parse(one, &o, a, &kids[n++]));
    }
    *out = lq_and(a, kids, n);
    return OK;
}

static bool is_doc_sort(struct str f) { return str_is(f, "_doc") || str_is(f, "_shard_doc"); }

/* What kind the field has in the indexes that know it. */
static enum lf_kind field_kind(const struct index_entry *e, uint32_t n, struct str field, struct arena *a)
{
    struct log_field *f = ARENA_NEW(a, struct log_field);
    for (uint32_t i = 0; i < n; i++)
        if (log_field_resolve(&e[i].log, field, a, f)) return f->kind;
    return LF_DYNAMIC;
}

static err_t after_value(const struct json_val *v, enum lf_kind kind, bool nanos, struct val *out)
{
    int64_t i;
    *out = (struct val){ 0 };
    if (v->type == JSON_NULL) return OK;
    if (v->type == JSON_BOOL) return *out = (struct val){ .type = COL_BOOL, .boolean = v->boolean }, OK;
    if (kind == LF_DATE) {
        bool ok = v->type == JSON_STR ? str_to_i64(v->str, &i) : json_to_i64(v, &i);
        if (ok && !nanos && __builtin_mul_overflow(i, (int64_t)NS_PER_MS, &i)) ok = false;
        if (!ok && v->type == JSON_STR) ok = datetime_parse(v->str, &i);
        if (!ok) return err_set(ERR_INVALID, "invalid search_after value of a date");
        return *out = (struct val){ .type = COL_I64, .i64 = i }, OK;
    }
    if (v->type == JSON_STR) {
        double d;
        bool number = kind == LF_NUMBER || kind == LF_DYNAMIC;
        if (number && str_to_i64(v->str, &i)) *out = (struct val){ .type = COL_I64, .i64 = i };
        else if (number && str_to_f64(v->str, &d)) *out = (struct val){ .type = COL_F64, .f64 = d };
        else *out = (struct val){ .type = COL_STR, .s = v->str };
        return OK;
    }
    if (!json_is_num(v)) return err_set(ERR_INVALID, "invalid search_after value");
    *out = v->type == JSON_I64 ? (struct val){ .type = COL_I64, .i64 = v->i64 } : (struct val){ .type = COL_F64, .f64 = json_num(v) };
    return OK;
}

static err_t after_addr(const struct json_val *v, struct log_search *s)
{
    uint64_t u;
    int64_t i;
    if (v->type == JSON_STR && str_to_u64(v->str, &u)) s->after_addr = u;
    else if (json_to_i64(v, &i) && i >= 0) s->after_addr = (uint64_t)i;
    else return err_set(ERR_INVALID, "invalid search_after value of _doc");
    s->has_after_addr = true;
    return OK;
}

/* The values of search_after stand in the order of the sort keys; one more is the tie-break. */
static err_t plan_after(const struct es_req *x, const struct index_entry *e, uint32_t n, struct log_search *s, struct arena *a)
{
    const struct json_val *c;
    uint32_t at = 0, key = 0;
    if (!x->search_after) return OK;
    if (x->search_after->type != JSON_ARR || x->search_after->n < x->nsort || x->search_after->n > x->nsort + 1)
        return err_set(ERR_INVALID, "search_after must have as many values as sort");
    s->has_after = x->nsort > 0 || x->search_after->n > 0;
    JSON_EACH(c, x->search_after) {
        if (at == x->nsort || is_doc_sort(x->sort[at].field)) TRY(after_addr(c, s));
        else if (!str_is(x->sort[at].field, "_score"))
            TRY(after_value(c, field_kind(e, n, x->sort[at].field, a), x->sort[at].nanos, &s->after[key++]));
        at++;
    }
    return OK;
}

static err_t plan(const struct es_req *x, const struct index_entry *e, uint32_t n, struct log_search *s, struct arena *a)
{
    struct lq *q;
    TRY(build_query(x, a, &q));
    *s = (struct log_search){ .query = q, .start_ns = INT64_MIN, .end_ns = INT64_MAX, .count_all = true, .want_source = true };
    if (x->from < 0 || x->size < 0 || x->from + x->size > LOG_HITS_MAX)
        return err_set(ERR_INVALID, "from + size must not be over %d", LOG_HITS_MAX);
    s->offset = (uint32_t)x->from;
    s->size = x->count_only ? 0 : (uint32_t)x->size;
    if (x->count_only) s->offset = 0;
    for (uint32_t i = 0; i < x->nsort; i++)
        s->sort[s->nsort++] = (struct log_sort){ .field = x->sort[i].field, .desc = x->sort[i].desc };
    TRY(plan_after(x, e, n, s, a));
    return x->aggs && !x->count_only ? aggs_parse(x->aggs, a, &s->aggs, &s->naggs) : OK;
}

/* -- answer ------------------------------------------------------------------------------------------------------------ */

static void out_sort_value(const struct val *v, bool date, bool nanos, struct json_out *j)
{
    switch ((int)v->type) {
    case COL_I64: json_i64(j, date && !nanos ? v->i64 / NS_PER_MS - (v->i64 % NS_PER_MS < 0) : v->i64); break;
    case COL_F64: json_val_write(&(struct json_val){ .type = JSON_F64, .span = 1, .f64 = v->f64 }, j); break;
    case COL_BOOL: json_bool(j, v->boolean); break;
    case COL_FIX: json_hex(j, (const uint8_t *)v->s.p, v->s.n); break;
    case 0: json_null(j); break;
    default: json_str(j, v->s); break;
    }
}

static void out_sort(const struct es_req *x, const struct log_result *r, const struct log_hit *h, struct json_out *j)
{
    uint32_t key = 0;
    json_keyz(j, "sort");
    json_arr(j);
    for (uint32_t i = 0; i < x->nsort; i++) {
        if (is_doc_sort(x->sort[i].field)) {
            json_u64(j, h->addr);
        } else if (str_is(x->sort[i].field, "_score")) {
            json_null(j);
        } else {
            out_sort_value(&h->key[key], r->key_is_date[key], x->sort[i].nanos, j);
            key++;
        }
    }
    /* Whoever asks for nanoseconds pages through ties by giving these values back: make them whole. */
    if (x->nsort == 1 && x->sort[0].nanos) json_u64(j, h->addr);
    json_arr_end(j);
}

static bool listed(struct str list, struct str path, bool ancestors)
{
    struct str one;
    while (list.n && str_cut(&list, ',', &one)) {
        if (one.n && str_ends(one, STR(".*"))) one = str_sub(one, 0, one.n - 2);
        if (wildcard_match(one, path, false)) return true;
        if (str_starts(path, one) && path.p[one.n] == '.') return true;
        if (ancestors && str_starts(one, path) && one.n > path.n && one.p[path.n] == '.') return true;
    }
    return false;
}

/* Depth is that of the JSON parser. */
static void out_filtered(const struct es_req *x, const struct json_val *v, struct str path, struct arena *a, struct json_out *j)
{
    const struct json_val *c;
    json_obj(j);
    JSON_EACH(c, v) {
        struct str p = path.n ? arena_printf(a, STR_FMT "." STR_FMT, STR_ARG(path), STR_ARG(c->key)) : c->key;
        if (x->excludes.n && listed(x->excludes, p, false)) continue;
        if (x->includes.n && !listed(x->includes, p, c->type == JSON_OBJ || c->type == JSON_ARR)) continue;
        json_key(j, c->key);
        if (c->type == JSON_OBJ) out_filtered(x, c, p, a, j);
        else json_val_write(c, j);
    }
    json_obj_end(j);
}

static void out_source(const struct es_req *x, struct str source, struct arena *a, struct json_out *j)
{
    const struct json_val *v;
    json_keyz(j, "_source");
    if ((x->includes.n || x->excludes.n) && json_parse(source, a, &v) == OK && v->type == JSON_OBJ) out_filtered(x, v, STR(""), a, j);
    else json_raw(j, source);
}

/* Data that cannot be read is a failed shard. */
static void out_shards(struct str lost, struct json_out *j)
{
    json_keyz(j, "_shards");
    if (!lost.n) {
        json_raw(j, STR("{\"total\":1,\"successful\":1,\"skipped\":0,\"failed\":0}"));
        return;
    }
    json_raw(j, STR("{\"total\":1,\"successful\":0,\"skipped\":0,\"failed\":1,\"failures\":[{\"shard\":0,\"reason\":{\"type\":\"unreadable_segment\",\"reason\":"));
    j->comma = false;
    json_str(j, lost);
    buf_z(j->b, "}}]}");
}

static void out_hits(const struct es_req *x, const struct log_result *r, struct arena *a, struct json_out *j)
{
    json_keyz(j, "hits");
    json_obj(j);
    json_keyz(j, "total");
    json_obj(j);
    json_keyz(j, "value");
    json_u64(j, r->num_hits);
    json_keyz(j, "relation");
    json_z(j, "eq");
    json_obj_end(j);
    json_keyz(j, "max_score");
    json_null(j);
    json_keyz(j, "hits");
    json_arr(j);
    for (uint32_t i = 0; i < r->nhits; i++) {
        const struct log_hit *h = &r->hits[i];
        struct str id = arena_printf(a, "%016llx-%014llx", (unsigned long long)h->time_ns, (unsigned long long)h->addr);
        json_obj(j);
        json_keyz(j, "_index");
        json_str(j, h->index);
        json_keyz(j, "_id");
        json_str(j, id);
        json_keyz(j, "_score");
        json_null(j);
        out_source(x, h->source, a, j);
        if (x->nsort) out_sort(x, r, h, j);
        json_obj_end(j);
    }
    json_arr_end(j);
    json_obj_end(j);
}

static void out_answer(const struct es_req *x, const struct log_result *r, struct str lost, struct str scroll, int64_t took_us,
                       struct arena *a, struct json_out *j)
{
    json_obj(j);
    json_keyz(j, "took");
    json_i64(j, took_us / 1000);
    json_keyz(j, "timed_out");
    json_bool(j, false);
    out_shards(lost, j);
    out_hits(x, r, a, j);
    if (scroll.n) {
        json_keyz(j, "_scroll_id");
        json_str(j, scroll);
    }
    if (r->aggregations.p) {
        json_keyz(j, "aggregations");
        json_raw(j, r->aggregations);
    }
    json_obj_end(j);
}

static err_t execute(struct qw_run *r, const struct es_req *x, struct log_result *res)
{
    struct index_entry *e;
    uint32_t n;
    struct log_search s;
    TRY(indexes_match(r->q.store, r->q.tenant, x->indexes, x->ignore_unavailable, &r->arena, &e, &n));
    TRY(plan(x, e, n, &s, &r->arena));
    TRY(log_search(&r->q, &s, qw_log_indexes(e, n, &r->arena), n, res));
    return x->whole_only ? qw_refuse_partial(r) : OK;
}

/* -- endpoints ------------------------------------------------------------------------------------------------------------ */

static struct es_req default_req(const struct http_request *rq)
{
    return (struct es_req){ .size = ES_SIZE_DEFAULT, .or_default = true, .indexes = rq->nparams ? rq->params[0] : STR("_all") };
}

/* Scrolling keeps nothing here: the id is the request itself (its index, query string, body) and the next offset, as
 * JSON in hex. Pages are cut from a fresh search each; rows that arrive meanwhile may shift them. */
static err_t scroll_check(struct http_request *rq, struct str ttl)
{
    struct str partial;
    uint64_t n;
    if (http_param(rq, "allow_partial_search_results", 0, &partial) && str_is(partial, "false"))
        return err_set(ERR_INVALID, "Invalid argument: Quickwit only supports scroll API with allow_partial_search_results set to true");
    char unit = ttl.n ? ttl.p[ttl.n - 1] : 0;
    uint64_t scale = unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : 0;
    if (!scale || !str_to_u64(str_sub(ttl, 0, ttl.n - 1), &n)) return err_set(ERR_INVALID, "Invalid argument: malformed scroll TTL");
    if (n > 1800 / scale) return err_set(ERR_INVALID, "Invalid argument: Quickwit only supports scroll TTL period up to 1800 secs");
    return OK;
}

static struct str scroll_id(const struct http_request *rq, int64_t offset, struct arena *a)
{
    struct buf b;
    struct json_out j;
    buf_init(&b, 1 << 20, a->budget);
    json_init(&j, &b);
    json_obj(&j);
    json_keyz(&j, "index");
    json_str(&j, rq->nparams ? rq->params[0] : STR("_all"));
    json_keyz(&j, "query");
    json_str(&j, rq->query);
    json_keyz(&j, "body");
    json_str(&j, rq->body);
    json_keyz(&j, "from");
    json_i64(&j, offset);
    json_obj_end(&j);
    char *hex = arena_alloc(a, b.n * 2 + 1);
    str_to_hex((const uint8_t *)b.p, b.n, hex);
    struct str id = str_n(hex, b.n * 2);
    buf_deinit(&b);
    return id;
}

static err_t run_search(struct qw_run *r, struct http_request *rq, bool count_only, int64_t scroll_from, struct http_response *rs)
{
    struct es_req x = default_req(rq);
    const struct json_val *b;
    struct log_result res;
    struct json_out j;
    struct str scroll = STR_NONE;
    TRY(qw_body(rq, &r->arena, &b));
    if (b) TRY(read_body(&x, b, &r->arena));
    TRY(read_params(&x, rq));
    qw_param_str(rq, "scroll", &scroll);
    if (scroll.p) TRY(scroll_check(rq, scroll));
    if (scroll_from) x.from = scroll_from;
    x.count_only = count_only;
    TRY(execute(r, &x, &res));
    json_init(&j, &rs->body);
    if (count_only) {
        json_obj(&j);
        json_keyz(&j, "count");
        json_u64(&j, res.num_hits);
        out_shards(query_lost_text(&r->q), &j);
        json_obj_end(&j);
    } else {
        struct str id = scroll.p ? scroll_id(rq, x.from + res.nhits, &r->arena) : STR_NONE;
        out_answer(&x, &res, query_lost_text(&r->q), id, qw_took_us(r), &r->arena, &j);
    }
    return buf_check(&rs->body);
}

static err_t search_or_count(struct http_request *rq, bool count_only, struct http_response *rs)
{
    struct qw_run *r = ARENA_NEW(rq->arena, struct qw_run);
    qw_begin(r, rq);
    err_t e = run_search(r, rq, count_only, 0, rs);
    qw_end(r);
    return e;
}

err_t qw_es_search(struct http_request *rq, struct http_response *rs) { return search_or_count(rq, false, rs); }
err_t qw_es_count(struct http_request *rq, struct http_response *rs) { return search_or_count(rq, true, rs); }

static err_t scroll_page(struct qw_run *r, struct http_request *rq, struct http_response *rs)
{
    struct str id = STR_NONE;
    const struct json_val *b, *v;
    int64_t from;
    TRY(qw_body(rq, &r->arena, &b));
    v = b ? json_get(b, "scroll_id") : NULL;
    if (v && v->type == JSON_STR) id = v->str;
    else qw_param_str(rq, "scroll_id", &id);
    uint8_t *raw = arena_alloc(&r->arena, id.n / 2 + 1);
    if (!id.n || id.n % 2 || !str_from_hex(id, raw, id.n / 2)) return err_set(ERR_INVALID, "Invalid argument: invalid scroll_id");
    TRY(json_parse(str_n(raw, id.n / 2), &r->arena, &v));
    const struct json_val *index = json_get(v, "index"), *query = json_get(v, "query"), *body = json_get(v, "body"), *at = json_get(v, "from");
    bool strings = index && index->type == JSON_STR && query && query->type == JSON_STR && body && body->type == JSON_STR;
    if (!strings || !at || !json_to_i64(at, &from) || from < 0) return err_set(ERR_INVALID, "Invalid argument: invalid scroll_id");
    struct http_request again = *rq;
    again.query = query->str;
    again.body = body->str;
    again.params[0] = index->str;
    again.nparams = 1;
    return run_search(r, &again, false, from, rs);
}

err_t qw_es_scroll(struct http_request *rq, struct http_response *rs)
{
    struct qw_run *r = ARENA_NEW(rq->arena, struct qw_run);
    if (rq->method == HTTP_DELETE) {
        buf_z(&rs->body, "{\"succeeded\":true,\"num_freed\":1}");
        return OK;
    }
    qw_begin(r, rq);
    err_t e = scroll_page(r, rq, rs);
    qw_end(r);
    return e;
}

static err_t msearch_header(struct str line, struct arena *a, struct es_req *x)
{
    const struct json_val *h, *c, *ix;
    if (str_trim(line).n == 0) return OK;
    TRY(json_parse(line, a, &h));
    if (h->type != JSON_OBJ) return err_set(ERR_INVALID, "a header of _msearch must be an object");
    ix = json_get(h, "index");
    if (ix && ix->type == JSON_STR) x->indexes = ix->str;
    if (ix && ix->type == JSON_ARR && ix->n) {
        x->indexes = STR("");
        JSON_EACH(c, ix) {
            if (c->type != JSON_STR) return err_set(ERR_INVALID, "the index of a header must be a name or a list of names");
            x->indexes = x->indexes.n ? arena_printf(a, STR_FMT "," STR_FMT, STR_ARG(x->indexes), STR_ARG(c->str)) : c->str;
        }
    }
    c = json_get(h, "ignore_unavailable");
    if (c && c->type == JSON_BOOL) x->ignore_unavailable = c->boolean;
    c = json_get(h, "allow_partial_search_results");
    if (c && c->type == JSON_BOOL) x->whole_only = !c->boolean;
    return OK;
}

static err_t msearch_item(struct qw_run *r, struct http_request *rq, struct str header, struct str body, struct json_out *j)
{
    struct es_req x = default_req(rq);
    const struct json_val *b;
    struct log_result res;
    TRY(msearch_header(header, &r->arena, &x));
    if (str_trim(body).n) {
        TRY(json_parse(body, &r->arena, &b));
        if (b->type != JSON_OBJ) return err_set(ERR_INVALID, "a search of _msearch must be an object");
        TRY(read_body(&x, b, &r->arena));
    }
    TRY(execute(r, &x, &res));
    struct buf one;
    struct json_out k;
    buf_init(&one, j->b->max, r->q.budget);
    json_init(&k, &one);
    out_answer(&x, &res, query_lost_text(&r->q), STR_NONE, qw_took_us(r), &r->arena, &k);
    err_t e = buf_check(&one);
    if (e == OK) {
        struct str text = buf_view(&one); /* {...}: the status goes in front of the brace's end */
        buf_put(j->b, text.p, text.n - 1);
        buf_z(j->b, ",\"status\":200}");
    }
    buf_deinit(&one);
    return e;
}

err_t qw_es_msearch(struct http_request *rq, struct http_response *rs)
{
    struct str rest = rq->body, header, body;
    struct json_out j;
    struct qw_run *r = ARENA_NEW(rq->arena, struct qw_run);
    bool first = true;
    unsigned n = 0;
    err_t e = OK;
    json_init(&j, &rs->body);
    qw_begin(r, rq);
    buf_z(&rs->body, "{\"took\":0,\"responses\":[");
    while (e == OK && str_cut(&rest, '\n', &header)) {
        if (str_trim(header).n == 0 && str_trim(rest).n == 0) break;
        if (!str_cut(&rest, '\n', &body)) body = STR("");
        if (++n > MSEARCH_MAX) {
            e = err_set(ERR_INVALID, "over %d searches in one request", MSEARCH_MAX);
            break;
        }
        if (!first) buf_byte(&rs->body, ',');
        first = false;
        j.comma = false;
        err_t item = msearch_item(r, rq, header, body, &j);
        if (item == ERR_CANCELED) e = item;
        if (item == OK) continue;
        int status = err_http_status(item);
        j.comma = false;
        qw_es_error(status, status == 404 ? "index_not_found_exception" : status == 400 ? "illegal_argument_exception" : NULL, err_detail(), STR_NONE, &j);
    }
    buf_z(&rs->body, "]}");
    qw_end(r);
    return e == OK ? buf_check(&rs->body) : e;
}

struct bulk_arg {
    struct cluster *cluster;
    struct store *store;
    struct arena *a;
};

static err_t bulk_index(void *arg, struct str tenant, struct str index, const struct doc_mapping **m)
{
    struct bulk_arg *b = arg;
    struct index_entry *e = ARENA_NEW(b->a, struct index_entry);
    TRY(indexes_get_or_make(b->cluster, b->store, tenant, index, b->a, e));
    if (e->builtin) return err_set(ERR_INVALID, "index `" STR_FMT "` takes OTLP only", STR_ARG(index));
    *m = indexes_doc_mapping(e, b->a);
    return OK;
}

err_t qw_es_bulk(struct http_request *rq, struct http_response *rs)
{
    const struct quickwit_ctx *ctx = qw_ctx(rq);
    struct bulk_arg arg = { ctx->cluster, ctx->store, rq->arena };
    return docs_bulk(ctx->ingest, rq, rq->nparams ? rq->params[0] : STR(""), bulk_index, &arg, rs);
}
