#include "server/ingest/otlp_points.h"
#include "server/ingest/otlp_rows.h"
#include "tests/unit/batch_text.h"

static struct arena arena;
static struct otlp_rows rows;
static struct otlp_points points;

static void setup(void)
{
    arena_init(&arena, NULL);
    otlp_rows_init(&rows, SIG_SPANS, &arena, NULL, STR(""), (unix_ns){ 42 });
    otlp_points_init(&points, &OTLP_MAPPING_DEFAULT, &arena, NULL, NULL, STR(""), (unix_ns){ 42 });
}
static void teardown(void)
{
    otlp_rows_deinit(&rows);
    otlp_points_deinit(&points);
    arena_deinit(&arena);
}
TestSuite(otlp_json, .init = setup, .fini = teardown);

static err_t decode(enum signal signal, const char *json)
{
    rows.signal = signal;
    struct otlp_sink sink = otlp_rows_sink(&rows);
    TRY(signal == SIG_SPANS ? otlp_traces_walk_json(str_of(json), &arena, &sink)
                            : otlp_logs_walk_json(str_of(json), &arena, &sink));
    return otlp_rows_finish(&rows);
}

static struct str text(const struct table *t, enum col_scope scope, const char *name, enum col_type type, uint32_t row)
{
    const struct column *c = table_column(t, scope, str_of(name), type);
    return c && column_has(c, row) ? column_str(c, row) : STR_NONE;
}
#define expect_str(s, z) cr_expect(str_is((s), (z)), "%.*s != %s", STR_ARG(s), (z))

Test(otlp_json, spans)
{
    cr_assert_eq(
        decode(SIG_SPANS,
               "{\"resourceSpans\":[{\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[{"
               "\"traceId\":\"5B8EFFF798038103D269B633813FC60C\",\"spanId\":\"eee19b7ec3c1b174\",\"parent_span_id\":\"\","
               "\"name\":\"I'm a span\",\"kind\":\"SPAN_KIND_SERVER\",\"startTimeUnixNano\":\"1544712660000000000\","
               "\"endTimeUnixNano\":1544712661000000000,\"unknown\":{\"a\":[1]},\"status\":{\"code\":2,\"message\":null},"
               "\"attributes\":[{\"key\":\"s\",\"value\":{\"stringValue\":\"v\"}},{\"key\":\"i\",\"value\":{\"intValue\":\"-7\"}},"
               "{\"key\":\"d\",\"value\":{\"doubleValue\":\"NaN\"}},{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
               "{\"key\":\"y\",\"value\":{\"bytesValue\":\"aGk=\"}},"
               "{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{\"kvlistValue\":{\"values\":"
               "[{\"key\":\"k\",\"value\":{\"stringValue\":\"x\"}}]}}]}}}],"
               "\"events\":[{\"timeUnixNano\":\"5\",\"name\":\"e\",\"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":3}}]}],"
               "\"links\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\"}]},"
               "{\"traceId\":\"zz\",\"spanId\":\"eee19b7ec3c1b174\"}]}],"
               "\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]}}]}"),
        OK, "%s", err_detail());
    cr_expect_eq(rows.accepted, 1);
    cr_expect_eq(rows.rejected, 1);
    cr_assert_eq(rows.ntables, 1);
    const struct table *t = rows.tables[0];
    expect_str(text(t, SC_SELF, "name", COL_STR, 0), "I'm a span");
    cr_expect_eq(table_column(t, SC_SELF, STR("trace_id"), COL_FIX)->fix[1], 0x8e);
    cr_expect_eq(table_column(t, SC_SELF, STR("kind"), COL_I64)->i64[0], 2);
    cr_expect_eq(table_column(t, SC_SELF, STR("start"), COL_I64)->i64[0], 1544712660000000000);
    cr_expect_eq(table_column(t, SC_SELF, STR("duration"), COL_I64)->i64[0], 1000000000);
    cr_expect_eq(table_column(t, SC_SELF, STR("status_code"), COL_I64)->i64[0], 2);
    expect_str(text(t, SC_ATTR, "s", COL_STR, 0), "v");
    cr_expect_eq(table_column(t, SC_ATTR, STR("i"), COL_I64)->i64[0], -7);
    cr_expect(table_column(t, SC_ATTR, STR("d"), COL_F64)->f64[0] != table_column(t, SC_ATTR, STR("d"), COL_F64)->f64[0]);
    cr_expect_eq(table_column(t, SC_ATTR, STR("b"), COL_BOOL)->boolean[0], 1);
    expect_str(text(t, SC_ATTR, "y", COL_BYTES, 0), "hi");
    expect_str(text(t, SC_ATTR, "l", COL_JSON, 0), "[1,{\"k\":\"x\"}]");
    cr_expect_eq(t->child[CHILD_EVENTS]->nrows, 1);
    cr_expect_eq(t->child[CHILD_LINKS]->nrows, 1);
    expect_str(text(t->dim[DIM_RESOURCE], SC_ATTR, "service.name", COL_STR, t->dim_row[DIM_RESOURCE][0]), "shop");
}

Test(otlp_json, logs)
{
    cr_assert_eq(decode(SIG_LOGS,
                        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"7\",\"severityNumber\":"
                        "\"SEVERITY_NUMBER_ERROR2\",\"severityText\":\"ERR\",\"body\":{\"stringValue\":\"oops\"}},"
                        "{\"observed_time_unix_nano\":9,\"body\":{\"kvlistValue\":{\"values\":[{\"key\":\"a\",\"value\":"
                        "{\"doubleValue\":1.5}}]}}}]}]}]}"),
                 OK, "%s", err_detail());
    cr_assert_eq(rows.ntables, 1);
    const struct table *t = rows.tables[0];
    cr_expect_eq(table_column(t, SC_SELF, STR("severity_number"), COL_I64)->i64[0], 18);
    expect_str(text(t, SC_SELF, "body", COL_STR, 0), "oops");
    cr_expect_eq(table_column(t, SC_SELF, STR("time"), COL_I64)->i64[1], 9);
    expect_str(text(t, SC_SELF, "body", COL_JSON, 1), "{\"a\":1.5}");
}

Test(otlp_json, metrics)
{
    struct otlp_sink sink = otlp_points_sink(&points);
    const char *json =
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},"
        "\"scopeMetrics\":[{\"metrics\":[{\"name\":\"c\",\"unit\":\"1\",\"description\":\"d\",\"sum\":{\"aggregationTemporality\":"
        "\"AGGREGATION_TEMPORALITY_CUMULATIVE\",\"isMonotonic\":true,\"dataPoints\":[{\"asInt\":\"5\",\"startTimeUnixNano\":"
        "\"1000000000\",\"timeUnixNano\":\"2000000000\"}]}},{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,"
        "\"dataPoints\":[{\"count\":\"3\",\"sum\":4.5,\"bucketCounts\":[\"1\",2],\"explicitBounds\":[10],\"timeUnixNano\":"
        "\"2000000000\"}]}},{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"count\":2,"
        "\"scale\":1,\"positive\":{\"offset\":1,\"bucketCounts\":[\"2\"]},\"timeUnixNano\":\"2000000000\"}]}}]}]}]}";
    cr_assert_eq(otlp_metrics_walk_json(str_of(json), &arena, &sink), OK, "%s", err_detail());
    cr_assert_eq(otlp_points_finish(&points), OK);
    const char *got = batch_text(metric_builder_finish(&points.builder), &arena);
    cr_expect_str_eq(got,
                     "c_total{job=\"shop\"} 2000 5 @1000\nh_bucket{job=\"shop\",le=\"10\"} 2000 1\n"
                     "h_bucket{job=\"shop\",le=\"+Inf\"} 2000 3\nh_count{job=\"shop\"} 2000 3\nh_sum{job=\"shop\"} 2000 4.5\n"
                     "e{job=\"shop\"} schema=1 hint=0 count=2 zero=0/1e-128 2:2 2000 0\n"
                     "# c_total|counter||d\n# h|histogram||\n# e|histogram||\n",
                     "%s", got);
}

Test(otlp_json, refused)
{
    static const struct {
        const char *json, *why;
    } cases[] = {
        { "", "empty" },
        { "[]", "not an object" },
        { "{\"resourceSpans\":{}}", "field \"resourceSpans\" is not an array" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":7}]}]}]}", "field \"name\" is not a string" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"startTimeUnixNano\":\"x\"}]}]}]}", "startTimeUnixNano" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[7]}]}]}", "an element is not an object" },
        { "{\"resourceSpans\":[", "" },
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect_eq(decode(SIG_SPANS, cases[i].json), ERR_INVALID, "%s", cases[i].json);
        cr_expect_neq(strstr(err_detail(), cases[i].why), NULL, "%s: %s", cases[i].json, err_detail());
    }
    cr_expect_eq(decode(SIG_SPANS, "{}"), OK);
}
