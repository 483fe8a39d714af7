/* Log searches: the query language, JSON queries, mappings, and what they find in small tables. */
#include "query/logs/aggs.h"

#include <criterion/criterion.h>

static struct arena mem;
static void setup(void) { arena_init(&mem, NULL); }
static void teardown(void) { arena_deinit(&mem); }
TestSuite(logs_query, .init = setup, .fini = teardown);

static struct str printed(const struct lq *q)
{
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    lq_print(q, &b);
    struct str s = arena_str(&mem, buf_view(&b));
    buf_deinit(&b);
    return s;
}

static const struct { const char *in, *native, *es; } queries[] = {
    { "*", "all", NULL },
    { "a", "(text `a`)", NULL },
    { "a b", "(bool must (text `a`) (text `b`))", "(bool 1-of should (text `a`) (text `b`))" },
    { "a AND b OR c", "(bool 1-of should (bool must (text `a`) (text `b`)) (text `c`))", NULL },
    { "a OR b AND c", "(bool 1-of should (text `a`) (bool must (text `b`) (text `c`)))", NULL },
    { "a -b", "(bool must (text `a`) not (text `b`))", "(bool not (text `b`) 1-of should (text `a`))" },
    { "+a b", "(bool must (text `a`) (text `b`))", "(bool must (text `a`) 0-of should (text `b`))" },
    { "NOT a", "(bool not (text `a`))", NULL },
    { "NOT NOT a", "(text `a`)", NULL },
    { "a OR NOT b", "(bool 1-of should (text `a`) (bool not (text `b`)))", NULL },
    { "(a OR b) c", "(bool must (bool 1-of should (text `a`) (text `b`)) (text `c`))", "(bool 1-of should (bool 1-of should (text `a`) (text `b`)) (text `c`))" },
    { "f:a", "(text f `a`)", NULL },
    { "f.g:\"a b\"~2", "(text f.g `a b`~2)", NULL },
    { "f:\"a b\"*", "(text f `a b`*)", NULL },
    { "f:'a b'", "(text f &`a b`)", NULL },
    { "f:(a OR b)", "(bool 1-of should (text f `a`) (text f `b`))", NULL },
    { "f:*", "(exists f)", NULL },
    { "f:a*b?", "(wildcard f `a*b?`)", NULL },
    { "f:a\\*b", "(text f `a*b`)", NULL },
    { "k8s\\.name:x", "(text k8s.name `x`)", NULL },
    { "f:[1 TO 5}", "(range f [1 5})", NULL },
    { "f:{* TO 2023-01-01T00:00:00Z]", "(range f {* 2023-01-01T00:00:00Z])", NULL },
    { "f:>=5", "(range f [5 *])", NULL },
    { "f:<2023-05-25T00:00:00Z", "(range f [* 2023-05-25T00:00:00Z})", NULL },
    { "f:-5", "(text f `-5`)", NULL },
    { "f:/a.*b/", "(regex f `a.*b`)", NULL },
    { "f:IN [a \"b c\"]", "(bool 1-of should (text f `a`) (text f `b c`))", NULL },
    { "a^2.5", "(text `a`)", NULL },
    { "service_name:\"shop\" AND span_duration_millis:>=100",
      "(bool must (text service_name `shop`) (range span_duration_millis [100 *]))", NULL },
    { "url:http://x/y?z=1", "(wildcard url `http://x/y?z=1`)", NULL },
    { "", "none", NULL },
};

Test(logs_query, query_language)
{
    struct lq *q;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct lq_opts native = { 0 }, es = { .or_default = true };
        cr_assert_eq(lq_parse(str_of(queries[i].in), &native, &mem, &q), OK, "%s: %s", queries[i].in, err_detail());
        cr_expect(str_is(printed(q), queries[i].native), "%s: %.*s", queries[i].in, STR_ARG(printed(q)));
        cr_assert_eq(lq_parse(str_of(queries[i].in), &es, &mem, &q), OK);
        const char *want = queries[i].es ? queries[i].es : queries[i].native;
        cr_expect(str_is(printed(q), want), "%s (OR): %.*s", queries[i].in, STR_ARG(printed(q)));
    }
}

Test(logs_query, refused_queries)
{
    static const char *bad[] = { "(a", "a)", "\"a", "f:", "f:[1 TO 2", "f:[1 2]", "[a TO b]", ">5", "AND a", "a AND", "a OR", "f:/x", "\\",
        "f:[\"a b\" TO c]", "f:[a\\ b TO c]", "a^x", "f:IN [a", "f:>*", "NOT", "()", "\xff" };
    struct lq *q;
    struct lq_opts o = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect_eq(lq_parse(str_of(bad[i]), &o, &mem, &q), ERR_INVALID, "%s", bad[i]);
    char deep[200];
    memset(deep, '(', 100);
    memset(deep + 100, 'a', 1);
    memset(deep + 101, ')', 99);
    cr_expect_eq(lq_parse(str_n(deep, 200), &o, &mem, &q), ERR_INVALID);
}

static err_t dsl(const char *text, struct lq **q)
{
    const struct json_val *v;
    cr_assert_eq(json_parse(str_of(text), &mem, &v), OK, "%s", text);
    return lq_from_dsl(v, &mem, q);
}

Test(logs_query, json_queries)
{
    static const struct { const char *in, *out; } t[] = {
        { "{\"match_all\":{}}", "all" },
        { "{\"term\":{\"a\":5}}", "(term a `5`)" },
        { "{\"term\":{\"a\":{\"value\":\"X\",\"case_insensitive\":true}}}", "(term a `X`i)" },
        { "{\"terms\":{\"a\":[\"x\",true,1.5],\"boost\":2}}", "(term a `x` `true` `1.5`)" },
        { "{\"match\":{\"a\":\"b c\"}}", "(text a |`b c`)" },
        { "{\"match\":{\"a\":{\"query\":\"b c\",\"operator\":\"AND\"}}}", "(text a &`b c`)" },
        { "{\"match_phrase\":{\"a\":{\"query\":\"b c\",\"slop\":1}}}", "(text a `b c`~1)" },
        { "{\"match_phrase_prefix\":{\"a\":\"b c\"}}", "(text a `b c`*)" },
        { "{\"match_bool_prefix\":{\"a\":\"b c\"}}", "(text a |`b c`*)" },
        { "{\"multi_match\":{\"query\":\"b\",\"fields\":[\"x\",\"y^2\"],\"type\":\"phrase\"}}", "(text x,y `b`)" },
        { "{\"range\":{\"t\":{\"gte\":1,\"lt\":\"2\"}}}", "(range t [1 2})" },
        { "{\"exists\":{\"field\":\"f\"}}", "(exists f)" },
        { "{\"prefix\":{\"f\":\"x\"}}", "(prefix f `x`)" },
        { "{\"wildcard\":{\"f\":{\"value\":\"x*\"}}}", "(wildcard f `x*`)" },
        { "{\"regexp\":{\"f\":\"x.*\"}}", "(regex f `x.*`)" },
        { "{\"query_string\":{\"query\":\"a b\",\"default_operator\":\"AND\"}}", "(bool must (text `a`) (text `b`))" },
        { "{\"query_string\":{\"query\":\"a b\",\"default_field\":\"f\"}}", "(bool 1-of should (text f `a`) (text f `b`))" },
        { "{\"bool\":{\"filter\":[{\"range\":{\"t\":{\"gte\":\"2023-01-01T00:00:00Z\"}}},{\"query_string\":{\"query\":\"*\"}}]}}",
          "(bool must (range t [2023-01-01T00:00:00Z *]) all)" },
        { "{\"bool\":{\"should\":[{\"term\":{\"a\":1}},{\"term\":{\"b\":2}},{\"term\":{\"c\":3}}],\"minimum_should_match\":\"67%\"}}",
          "(bool 2-of should (term a `1`) (term b `2`) (term c `3`))" },
        { "{\"bool\":{\"must\":{\"term\":{\"a\":1}},\"must_not\":{\"term\":{\"b\":2}},\"should\":[{\"match_all\":{}}]}}",
          "(bool must (term a `1`) not (term b `2`) 0-of should all)" },
    };
    struct lq *q;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        cr_assert_eq(dsl(t[i].in, &q), OK, "%s: %s", t[i].in, err_detail());
        cr_expect(str_is(printed(q), t[i].out), "%s: %.*s", t[i].in, STR_ARG(printed(q)));
    }
    static const char *bad[] = { "{}", "[]", "{\"nope\":{}}", "{\"term\":{}}", "{\"term\":{\"a\":[1]}}", "{\"term\":{\"a\":1,\"b\":2}}",
        "{\"match\":{\"a\":{}}}", "{\"range\":{\"a\":5}}", "{\"range\":{\"a\":{\"above\":5}}}", "{\"exists\":\"a\"}",
        "{\"multi_match\":{\"query\":\"x\",\"fields\":[]}}", "{\"query_string\":{\"query\":\"(\"}}", "{\"bool\":{\"must\":5}}",
        "{\"bool\":{\"minimum_should_match\":\"many\"}}", "{\"match_phrase\":{\"a\":{\"query\":\"x\",\"analyzer\":\"zz\"}}}" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect_eq(dsl(bad[i], &q), ERR_INVALID, "%s", bad[i]);
}

Test(logs_query, mappings)
{
    struct index_config c;
    cr_assert_eq(index_config_parse(mapping_otel_logs(), &mem, &c), OK, "%s", err_detail());
    cr_expect(str_is(c.mapping.timestamp_field, "timestamp_nanos"));
    struct str rest;
    const struct index_field *f = mapping_field(&c.mapping, STR("attributes.http.method"), &rest);
    cr_assert_not_null(f);
    cr_expect(f->type == FT_JSON && str_is(rest, "http.method"));
    f = mapping_field(&c.mapping, STR("timestamp_nanos"), &rest);
    cr_expect(str_is(f->output_format, "unix_timestamp_nanos"));
    cr_assert_eq(index_config_parse(mapping_otel_traces(), &mem, &c), OK, "%s", err_detail());
    static const char *bad[] = {
        "{\"version\":\"0.8\"}", "{\"index_id\":\"abc\"}", "{\"version\":\"0.8\",\"index_id\":\"1abc\"}",
        "{\"version\":\"0.8\",\"index_id\":\"abc\",\"zz\":1}",
        "{\"version\":\"0.8\",\"index_id\":\"abc\",\"doc_mapping\":{\"mode\":\"loose\"}}",
        "{\"version\":\"0.8\",\"index_id\":\"abc\",\"doc_mapping\":{\"timestamp_field\":\"t\"}}",
        "{\"version\":\"0.8\",\"index_id\":\"abc\",\"doc_mapping\":{\"field_mappings\":[{\"name\":\"a\",\"type\":\"zz\"}]}}",
        "{\"version\":\"0.8\",\"index_id\":\"abc\",\"doc_mapping\":{\"field_mappings\":[{\"name\":\"a\",\"type\":\"text\"},{\"name\":\"a\",\"type\":\"i64\"}]}}",
        "{\"version\":\"0.8\",\"index_id\":\"abc\",\"doc_mapping\":{\"mode\":\"strict\"},\"search_settings\":{\"default_search_fields\":[\"x\"]}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect_eq(index_config_parse(str_of(bad[i]), &mem, &c), ERR_INVALID, "%s", bad[i]);
}

static err_t retention_of(const char *json, int64_t *ns)
{
    struct index_config c;
    err_t e = index_config_parse(arena_printf(&mem, "{\"version\":\"0.9\",\"index_id\":\"abc\",\"retention\":%s}", json), &mem, &c);
    *ns = e == OK ? c.retention_ns : -1;
    return e;
}

Test(logs_query, retention_of_an_index)
{
    static const struct { const char *json; int64_t s; } good[] = {
        { "null", 0 }, { "{\"period\":\"7 days\"}", 7 * 86400 }, { "{\"period\":\"90 days\",\"schedule\":\"daily\"}", 90 * 86400 },
        { "{\"period\":\"1 hour\",\"schedule\":\"@hourly\"}", 3600 }, { "{\"period\":\" 2weeks 1 h30min \",\"schedule\":\"0 * * * * *\"}", 1209600 + 5400 },
        { "{\"period\":\"1 month\",\"schedule\":\"* * * ? * ?\"}", 2630016 }, { "{\"period\":\"2y\",\"schedule\":\"0 0 0 1,15 JAN-MAR * 2030\"}", 63115200 },
        { "{\"period\":\"1M 1m\"}", 2630016 + 60 },
    };
    static const char *const bad[] = {
        "{}", "5", "\"7 days\"", "{\"period\":7}", "{\"period\":\"\"}", "{\"period\":\"foo\"}", "{\"period\":\"7\"}", "{\"period\":\"days\"}",
        "{\"period\":\"7 fortnights\"}", "{\"period\":\"0 days\"}", "{\"period\":\"-7 days\"}", "{\"period\":\"1.5 days\"}", "{\"period\":\"300000 years\"}",
        "{\"period\":\"1 day\",\"schedule\":\"foo\"}", "{\"period\":\"1 day\",\"schedule\":\"\"}", "{\"period\":\"1 day\",\"schedule\":\"* * *\"}",
        "{\"period\":\"1 day\",\"every\":\"hour\"}", "{\"schedule\":\"daily\"}",
    };
    int64_t ns;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        cr_expect_eq(retention_of(good[i].json, &ns), OK, "%s: %s", good[i].json, err_detail());
        cr_expect_eq(ns, good[i].s * NS_PER_S, "%s: %lld", good[i].json, (long long)ns);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect_eq(retention_of(bad[i], &ns), ERR_INVALID, "%s", bad[i]);
    cr_expect_eq(retention_of("{\"period\":\"foo\"}", &ns), ERR_INVALID);
    cr_expect(str_starts(str_of(err_detail()), STR("failed to parse retention period `foo`")), "%s", err_detail());
}

/* -- finding ------------------------------------------------------------------------------------------------- */

static struct table *some_logs(void)
{
    static const uint8_t trace[16] = { 0xab, 1 };
    struct table_builder *b = table_builder_new(NULL);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("shop"));
    table_scope(b);
    table_row(b); /* 0 */
    table_set_i64(b, SC_SELF, STR("time"), INT64_C(1422748800000000000));
    table_set_str(b, SC_SELF, STR("body"), COL_STR, STR("Connection refused by peer 10.0.0.1"));
    table_set_str(b, SC_SELF, STR("severity_text"), COL_STR, STR("ERROR"));
    table_set_i64(b, SC_SELF, STR("severity_number"), 17);
    table_set_fix(b, SC_SELF, STR("trace_id"), trace, 16);
    table_set_str(b, SC_ATTR, STR("http.method"), COL_STR, STR("GET"));
    table_set_i64(b, SC_ATTR, STR("http.status"), 500);
    table_row(b); /* 1 */
    table_set_i64(b, SC_SELF, STR("time"), INT64_C(1422748801000000000));
    table_set_str(b, SC_SELF, STR("body"), COL_STR, STR("peer refused"));
    table_set_str(b, SC_ATTR, STR("http.status"), COL_STR, STR("500"));
    table_set_str(b, SC_ATTR, STR("tags"), COL_JSON, STR("[\"red\",\"blue\"]"));
    table_resource(b);
    table_scope(b);
    table_row(b); /* 2 */
    table_set_i64(b, SC_SELF, STR("time"), INT64_C(1422748802000000000));
    table_set_str(b, SC_SELF, STR("body"), COL_JSON, STR("{\"message\":\"connection ok\",\"code\":{\"n\":7}}"));
    table_set_i64(b, SC_SELF, STR("severity_number"), 9);
    return table_builder_finish(b, STR("time"));
}

static uint64_t found(struct table *t, const struct lq *q, err_t *e)
{
    struct index_config c;
    cr_assert_eq(index_config_parse(mapping_otel_logs(), &mem, &c), OK);
    struct log_index ix = { .signal = SIG_LOGS, .id = c.index_id, .mapping = &c.mapping };
    struct expr_builder b;
    struct expr *root;
    expr_builder_init(&b, &mem);
    *e = log_compile(&ix, q, &b, &root);
    if (*e != OK) return 0;
    cr_assert_eq(expr_finish(&b, root), OK);
    struct expr_exec x;
    enum expr_can can;
    uint64_t mask[MASK_WORDS];
    struct rows_src src = { .table = t };
    expr_exec_init(&x, &b, root, NULL);
    cr_assert_eq(expr_exec_bind(&x, &src, &can), OK);
    mask_fill(mask, t->nrows);
    cr_assert_eq(expr_exec_mask(&x, 0, t->nrows, mask), OK);
    expr_exec_deinit(&x);
    expr_builder_deinit(&b);
    return mask[0];
}

Test(logs_query, finds)
{
    static const struct { const char *q; uint64_t rows; } t[] = {
        { "*", 7 }, { "refused", 3 }, { "\"refused by\"", 1 }, { "\"peer refused\"", 2 }, { "connection", 5 }, { "10.0.0.1", 1 },
        { "service_name:shop", 3 }, { "service_name:unknown_service", 4 }, { "NOT service_name:shop", 4 },
        { "severity_text:ERROR", 1 }, { "severity_text:error", 0 }, { "severity_number:>=9", 5 }, { "severity_number:{9 TO *]", 1 },
        { "trace_id:ab010000000000000000000000000000", 1 }, { "trace_id:ab01", 0 }, { "trace_id:*", 1 },
        { "attributes.http.method:GET", 1 }, { "attributes.http.status:500", 3 }, { "attributes.http.status:>499", 1 },
        { "attributes.tags:blue", 2 }, { "attributes.tags:IN [green red]", 2 }, { "attributes:*", 3 }, { "attributes.nope:1", 0 },
        { "body.code.n:7", 4 }, { "body.message:ok", 4 }, { "body.message:conn*", 5 }, { "body.message:/refus.*/", 3 },
        { "timestamp_nanos:>=2015-02-01T00:00:01Z", 6 }, { "timestamp_nanos:1422748801", 2 }, { "resource_attributes.service.name:shop", 3 },
        { "body.message:\"connection refused\"~0 OR severity_number:9", 5 }, { "refused -connection", 2 }, { "'peer connection'", 1 },
    };
    struct table *tab = some_logs();
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct lq *q;
        struct lq_opts o = { 0 };
        err_t e;
        cr_assert_eq(lq_parse(str_of(t[i].q), &o, &mem, &q), OK, "%s", err_detail());
        uint64_t rows = found(tab, q, &e);
        cr_expect_eq(e, OK, "%s: %s", t[i].q, err_detail());
        cr_expect_eq(rows, t[i].rows, "%s: %llx", t[i].q, (unsigned long long)rows);
    }
    static const char *bad[] = { "nope:1", "severity_number:high", "timestamp_nanos:>soon", "body.message:/(/" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct lq *q;
        struct lq_opts o = { 0 };
        err_t e;
        cr_assert_eq(lq_parse(str_of(bad[i]), &o, &mem, &q), OK);
        (void)found(tab, q, &e);
        cr_expect_eq(e, ERR_INVALID, "%s", bad[i]);
    }
    table_put(tab);
}

/* -- aggregations ------------------------------------------------------------------------------------------------ */

static struct str aggregate(const char *request)
{
    const struct json_val *v;
    struct agg_req *reqs;
    struct agg_spec *specs;
    uint32_t n;
    struct index_config c;
    struct expr_builder b;
    struct table *t = some_logs();
    struct rows_src src = { .table = t };
    cr_assert_eq(index_config_parse(mapping_otel_logs(), &mem, &c), OK);
    struct log_index ix = { .signal = SIG_LOGS, .id = c.index_id, .mapping = &c.mapping };
    cr_assert_eq(json_parse(str_of(request), &mem, &v), OK);
    cr_assert_eq(aggs_parse(v, &mem, &reqs, &n), OK, "%s: %s", request, err_detail());
    expr_builder_init(&b, &mem);
    cr_assert_eq(aggs_specs(reqs, n, &ix, &b, &specs), OK, "%s", err_detail());
    struct op_agg a;
    cr_assert_eq(op_agg_init(&a, specs, n, &mem, AGG_BUCKETS_MAX), OK);
    cr_assert_eq(op_agg_bind(&a, &src), OK);
    struct chunk chunk = { .n = t->nrows, .nsel = t->nrows };
    cr_assert_eq(op_agg_chunk(&a, &chunk), OK);
    struct buf out;
    struct json_out j;
    buf_init(&out, 1 << 20, NULL);
    json_init(&j, &out);
    cr_assert_eq(aggs_render(reqs, n, a.root.subs, &mem, &j), OK);
    struct str s = arena_str(&mem, buf_view(&out));
    buf_deinit(&out);
    op_agg_deinit(&a);
    expr_builder_deinit(&b);
    table_put(t);
    return s;
}

Test(logs_query, aggregations)
{
    static const struct { const char *in, *out; } t[] = {
        { "{\"s\":{\"terms\":{\"field\":\"service_name\"}}}",
          "{\"s\":{\"buckets\":[{\"key\":\"shop\",\"doc_count\":2},{\"key\":\"unknown_service\",\"doc_count\":1}],"
          "\"doc_count_error_upper_bound\":0,\"sum_other_doc_count\":0}}" },
        { "{\"s\":{\"terms\":{\"field\":\"service_name\",\"size\":1},\"aggs\":{\"m\":{\"max\":{\"field\":\"severity_number\"}}}}}",
          "{\"s\":{\"buckets\":[{\"key\":\"shop\",\"doc_count\":2,\"m\":{\"value\":17.0}}],\"doc_count_error_upper_bound\":0,"
          "\"sum_other_doc_count\":1}}" },
        { "{\"h\":{\"date_histogram\":{\"field\":\"timestamp_nanos\",\"fixed_interval\":\"1s\",\"extended_bounds\":{\"min\":1422748799000,\"max\":1422748802000}}}}",
          "{\"h\":{\"buckets\":[{\"key\":1422748799000.0,\"key_as_string\":\"2015-01-31T23:59:59Z\",\"doc_count\":0},"
          "{\"key\":1422748800000.0,\"key_as_string\":\"2015-02-01T00:00:00Z\",\"doc_count\":1},"
          "{\"key\":1422748801000.0,\"key_as_string\":\"2015-02-01T00:00:01Z\",\"doc_count\":1},"
          "{\"key\":1422748802000.0,\"key_as_string\":\"2015-02-01T00:00:02Z\",\"doc_count\":1}]}}" },
        { "{\"h\":{\"date_histogram\":{\"field\":\"timestamp_nanos\",\"fixed_interval\":\"2000ms\",\"min_doc_count\":1}}}",
          "{\"h\":{\"buckets\":[{\"key\":1422748800000.0,\"key_as_string\":\"2015-02-01T00:00:00Z\",\"doc_count\":2},"
          "{\"key\":1422748802000.0,\"key_as_string\":\"2015-02-01T00:00:02Z\",\"doc_count\":1}]}}" },
        { "{\"r\":{\"range\":{\"field\":\"severity_number\",\"ranges\":[{\"to\":10},{\"from\":10,\"key\":\"high\"}]}}}",
          "{\"r\":{\"buckets\":[{\"key\":\"*-10\",\"to\":10.0,\"doc_count\":1},{\"key\":\"high\",\"from\":10.0,\"doc_count\":1}]}}" },
        { "{\"f\":{\"filters\":{\"filters\":{\"a\":\"refused\",\"b\":{\"term\":{\"severity_number\":9}}}}}}",
          "{\"f\":{\"buckets\":{\"a\":{\"doc_count\":2},\"b\":{\"doc_count\":1}}}}" },
        { "{\"c\":{\"value_count\":{\"field\":\"attributes.http.status\"}},\"d\":{\"cardinality\":{\"field\":\"timestamp_nanos\"}}}",
          "{\"c\":{\"value\":2.0},\"d\":{\"value\":3.0}}" },
        { "{\"x\":{\"stats\":{\"field\":\"attributes.nope\"}}}",
          "{\"x\":{\"count\":0,\"min\":null,\"max\":null,\"avg\":null,\"sum\":0.0}}" },
        { "{\"t\":{\"terms\":{\"field\":\"attributes.tags\",\"order\":{\"_key\":\"desc\"}}}}",
          "{\"t\":{\"buckets\":[{\"key\":\"red\",\"doc_count\":1},{\"key\":\"blue\",\"doc_count\":1}],\"doc_count_error_upper_bound\":0,"
          "\"sum_other_doc_count\":0}}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct str s = aggregate(t[i].in);
        cr_expect(str_is(s, t[i].out), "%s:\n%.*s", t[i].in, STR_ARG(s));
    }
}
