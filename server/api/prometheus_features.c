/* /api/v1/features: what of Prometheus works here, in the words of its own list. What is behind a flag there is always on here. */
#include "server/api/prometheus_int.h"

#include "query/promql/ast.h"
#include "query/promql/func.h"

struct feature {
    const char *name;
    bool on;
};

static void put_section(struct json_out *j, const char *section, const struct feature *f, size_t n)
{
    json_keyz(j, section);
    json_obj(j);
    for (size_t i = 0; i < n; i++) {
        json_keyz(j, f[i].name);
        json_bool(j, f[i].on);
    }
    json_obj_end(j);
}
#define SECTION(j, name, ...) put_section(j, name, (const struct feature[]){ __VA_ARGS__ }, ARRAY_LEN(((const struct feature[]){ __VA_ARGS__ })))

static void put_functions(struct json_out *j)
{
    static const char *const names[] = {
#define FUNC(id, name, ...) name,
#include "query/promql/func.def"
#undef FUNC
    };
    json_keyz(j, "promql_functions");
    json_obj(j);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_keyz(j, names[i]);
        json_bool(j, true);
    }
    json_obj_end(j);
}

static void put_operators(struct json_out *j)
{
    static const char *const matchers[] = { "=~", "!~", "@" };
    json_keyz(j, "promql_operators");
    json_obj(j);
    for (int op = PQ_ADD; op <= PQ_UNLESS; op++) {
        json_keyz(j, pq_op_name((enum pq_op)op));
        json_bool(j, true);
    }
    for (size_t i = 0; i < ARRAY_LEN(matchers); i++) {
        json_keyz(j, matchers[i]);
        json_bool(j, true);
    }
    for (int op = PQ_SUM; op <= PQ_LIMIT_RATIO; op++) {
        json_keyz(j, pq_agg_name((enum pq_aggop)op));
        json_bool(j, true);
    }
    json_obj_end(j);
}

static void put_language(struct json_out *j)
{
    SECTION(j, "promql", { "anchored", true }, { "at_modifier", true }, { "bool", true }, { "by", true }, { "delayed_name_removal", true },
            { "duration_expr", true }, { "fill", true }, { "fill_left", true }, { "fill_right", true }, { "group_left", true },
            { "group_right", true }, { "ignoring", true }, { "negative_offset", true }, { "offset", true }, { "on", true },
            { "per_query_lookback_delta", true }, { "per_step_stats", true }, { "smoothed", true }, { "subqueries", true },
            { "type_and_unit_labels", true }, { "without", true });
    put_functions(j);
    put_operators(j);
}

err_t prom_features(struct http_request *rq, struct http_response *rs)
{
    const struct prom_ctx *ctx = rq->user;
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "status");
    json_z(&j, "success");
    json_keyz(&j, "data");
    json_obj(&j);
    SECTION(&j, "api", { "admin", ctx->deletes }, { "exclude_alerts", true }, { "label_values_match", true }, { "lifecycle", false },
            { "openapi_3.1", false }, { "openapi_3.2", false }, { "otlp_write_receiver", true }, { "query_stats", true }, { "query_warnings", true },
            { "remote_write_receiver", true }, { "search", true }, { "search_fuzz_alg_jarowinkler", true },
            { "search_fuzz_alg_subsequence", true }, { "time_range_labels", true }, { "time_range_series", true });
    SECTION(&j, "otlp_receiver", { "delta_conversion", false }, { "native_delta_ingestion", true });
    SECTION(&j, "prometheus", { "agent_mode", false }, { "auto_reload_config", false }, { "server_mode", true });
    put_language(&j);
    SECTION(&j, "rules", { "concurrent_rule_eval", false }, { "keep_firing_for", false }, { "query_offset", false });
    SECTION(&j, "scrape", { "extra_scrape_metrics", false }, { "start_timestamp_zero_ingestion", false }, { "type_and_unit_labels", false });
    put_section(&j, "service_discovery_providers", NULL, 0);
    put_section(&j, "templating_functions", NULL, 0);
    SECTION(&j, "tsdb", { "delayed_compaction", false }, { "exemplar_storage", true }, { "isolation", true }, { "native_histograms", true });
    SECTION(&j, "ui", { "ui_v2", false }, { "ui_v3", false });
    json_obj_end(&j);
    json_obj_end(&j);
    return buf_check(&rs->body);
}
