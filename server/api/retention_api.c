/* PUT {"signal"?: "logs", "index"?: "books", "matcher"?: "{ resource.env = \"dev\" }", "priority"?: 1, "age": "30d"}: the rule of the request's
 * tenant for that signal, index or matcher (retention_match.h), in the place of an earlier one for the same; age "forever", or null: no
 * rule, what is more general counts again. Of several matchers that match the highest priority counts (retention_rules.h). The
 * setting storage.retention_age is the most general rule. "downsample"?: [{"after": "30d", "resolution": "5m"}, ...], of metrics: what is older than
 * `after` is kept in summaries of windows that long (downsample.h), until it is too old as well; up to four, later and coarser. An index whose configuration has a `retention` has its rule from there.
 * GET lists the tenant's rules, those that say most first. Both answer with all of them. */
#include "server/api/retention_api.h"

#include "query/promql/lex.h"
#include "server/api/deletes_allowed.h"
#include "server/api/indexes.h"
#include "server/api/native.h"
#include "server/api/retention_match.h"
#include "server/api/rules.h"
#include "storage/store_keep.h"

static const char *const signal_names[] = { [0] = "", [SIG_METRICS] = "metrics", [SIG_SPANS] = "spans", [SIG_LOGS] = "logs", [SIG_DOCS] = "docs",
                                            [SIG_EXEMPLARS] = "exemplars" };

static const struct native_ctx *ctx_of(const struct http_request *rq) { return rq->user; }

static void put_age(struct json_out *j, int64_t age_ns)
{
    json_keyz(j, "age_seconds");
    if (age_ns) json_i64(j, age_ns / NS_PER_S);
    else json_null(j);
}

static void put_matcher(struct json_out *j, const struct keep_rule *r, struct arena *a)
{
    struct buf b;
    if (!r->nm) return;
    buf_init(&b, SIZE_MAX, a->budget);
    retention_match_print(r, &b);
    json_keyz(j, "matcher");
    json_str(j, buf_view(&b));
    buf_deinit(&b);
    if (!r->priority) return;
    json_keyz(j, "priority");
    json_i64(j, r->priority);
}

static void put_levels(struct json_out *j, const struct keep_rule *r)
{
    if (!r->nlevels) return;
    json_keyz(j, "downsample");
    json_arr(j);
    for (uint32_t i = 0; i < r->nlevels; i++) {
        json_obj(j);
        json_keyz(j, "after_seconds");
        json_i64(j, r->level[i].after_ns / NS_PER_S);
        json_keyz(j, "resolution_seconds");
        json_i64(j, r->level[i].resolution_ms / 1000);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static err_t answer(struct http_request *rq, struct http_response *rs)
{
    struct keep_rules *k = store_keep_rules(ctx_of(rq)->store);
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "default");
    json_obj(&j);
    put_age(&j, k->default_ns);
    json_obj_end(&j);
    json_keyz(&j, "rules");
    json_arr(&j);
    for (uint32_t i = 0; i < k->n; i++) {
        const struct keep_rule *r = &k->rule[i];
        if (!str_eq(r->tenant, rq->tenant)) continue;
        json_obj(&j);
        if (r->signal) {
            json_keyz(&j, "signal");
            json_z(&j, signal_names[r->signal]);
        }
        if (r->index.n) {
            json_keyz(&j, "index");
            json_str(&j, str_sub(r->index, 0, str_chr(r->index, ':')));
        }
        put_matcher(&j, r, rq->arena);
        put_age(&j, r->age_ns);
        put_levels(&j, r);
        json_obj_end(&j);
    }
    json_arr_end(&j);
    json_obj_end(&j);
    keep_rules_put(k);
    return buf_check(&rs->body);
}

static err_t read_age(const struct json_val *v, struct keep_rule *r, bool *remove)
{
    int64_t ms;
    *remove = v->type == JSON_NULL;
    if (*remove || (v->type == JSON_STR && str_is(v->str, "forever"))) return OK;
    if (v->type != JSON_STR || !pq_duration_ms(v->str, &ms) || ms <= 0 || __builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &r->age_ns))
        return err_set(ERR_INVALID, "age must be a duration like \"30d\" or \"12h\", \"forever\", or null");
    return OK;
}

static err_t read_signal(struct str name, struct keep_rule *r)
{
    for (unsigned i = SIG_METRICS; i < ARRAY_LEN(signal_names); i++)
        if (str_is(name, signal_names[i])) return r->signal = i, OK;
    return err_set(ERR_INVALID, "signal must be metrics, spans, logs, docs or exemplars");
}

static err_t read_index(struct http_request *rq, struct str name, struct keep_rule *r)
{
    struct index_entry e;
    TRY(indexes_get(ctx_of(rq)->store, rq->tenant, name, rq->arena, &e));
    if (e.builtin) return err_set(ERR_INVALID, "index `" STR_FMT "` is built in: set the retention of its signal", STR_ARG(e.id));
    if (e.config.retention_ns)
        return err_set(ERR_INVALID, "the retention of index `" STR_FMT "` is set by its configuration", STR_ARG(e.id));
    r->index = e.uid;
    return OK;
}

static err_t read_priority(const struct json_val *v, struct keep_rule *r)
{
    int64_t n;
    if (!json_to_i64(v, &n) || n < INT32_MIN || n > INT32_MAX) return err_set(ERR_INVALID, "priority must be a whole number of 32 bits");
    r->priority = (int32_t)n;
    return OK;
}

static bool duration_of(const struct json_val *obj, const char *key, int64_t *ms)
{
    const struct json_val *v = json_get(obj, key);
    return v && v->type == JSON_STR && pq_duration_ms(v->str, ms) && *ms > 0 && *ms % 1000 == 0;
}

static err_t read_levels(const struct json_val *v, struct keep_rule *r)
{
    const struct json_val *c;
    JSON_EACH(c, v) {
        int64_t after_ms, resolution_ms;
        if (r->nlevels == KEEP_LEVELS_MAX) return err_set(ERR_INVALID, "downsample has over %d resolutions", KEEP_LEVELS_MAX);
        struct keep_level *l = &r->level[r->nlevels++];
        if (c->type != JSON_OBJ || c->n != 2 || !duration_of(c, "after", &after_ms) || !duration_of(c, "resolution", &resolution_ms) ||
            __builtin_mul_overflow(after_ms, (int64_t)NS_PER_MS, &l->after_ns))
            return err_set(ERR_INVALID, "downsample must be a list of {\"after\": \"30d\", \"resolution\": \"5m\"}, in whole seconds");
        l->resolution_ms = resolution_ms;
    }
    return OK;
}

static err_t read_rule(struct http_request *rq, struct keep_rule *r, bool *remove)
{
    const struct json_val *v, *c;
    struct str matcher = STR_NONE;
    bool age = false;
    TRY(json_parse(rq->body, rq->arena, &v));
    if (v->type != JSON_OBJ) return err_set(ERR_INVALID, "the body must be a JSON object");
    *r = (struct keep_rule){ .tenant = rq->tenant };
    JSON_EACH(c, v) {
        if (str_is(c->key, "age")) {
            age = true;
            TRY(read_age(c, r, remove));
        } else if (str_is(c->key, "signal") && c->type == JSON_STR) {
            TRY(read_signal(c->str, r));
        } else if (str_is(c->key, "index") && c->type == JSON_STR) {
            TRY(read_index(rq, c->str, r));
        } else if (str_is(c->key, "matcher") && c->type == JSON_STR) {
            matcher = c->str;
        } else if (str_is(c->key, "downsample") && c->type == JSON_ARR) {
            TRY(read_levels(c, r));
        } else if (str_is(c->key, "priority")) {
            TRY(read_priority(c, r));
        } else {
            return err_set(ERR_INVALID, "unknown or malformed member: '" STR_FMT "'", (int)MIN(c->key.n, 80u), c->key.p);
        }
    }
    if (!age) return err_set(ERR_INVALID, "age is missing");
    if (r->index.n && r->signal && r->signal != SIG_DOCS) return err_set(ERR_INVALID, "the signal of an index is docs");
    if (r->index.n) r->signal = SIG_DOCS;
    if (matcher.p) TRY(retention_match_parse(matcher, rq->arena, r));
    if (r->priority && !r->nm) return err_set(ERR_INVALID, "a priority is one of a rule with a matcher");
    return OK;
}

static err_t put(struct http_request *rq, struct http_response *rs)
{
    struct keep_edit e = { 0 };
    TRY(deletes_check(ctx_of(rq)->deletes));
    TRY(read_rule(rq, &e.rule, &e.remove));
    TRY(rules_edit(ctx_of(rq)->cluster, ctx_of(rq)->store, &e, rq->arena));
    return answer(rq, rs);
}

const struct http_route retention_routes[] = {
    { HTTP_GET, "/api/retention", answer, RT_QUERY },
    { HTTP_PUT, "/api/retention", put, RT_QUERY, 64 << 10 },
};
const uint32_t retention_nroutes = ARRAY_LEN(retention_routes);
