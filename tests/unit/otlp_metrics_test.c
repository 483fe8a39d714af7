#include "server/ingest/float_text.h"
#include "server/ingest/otlp_points.h"
#include "server/ingest/prom_name.h"
#include "tests/unit/batch_text.h"
#include "tests/unit/pb_enc.h"

#include <math.h>

static struct arena arena;
static struct otlp_mapping mapping; /* the defaults, where a test says nothing else */

static struct rw_cache *cache; /* of all requests of a test */
static struct rw_generation *known;

static void setup(void)
{
    arena_init(&arena, NULL);
    mapping = OTLP_MAPPING_DEFAULT;
    cache = rw_cache_new(NULL, 64 << 20);
    known = rw_cache_pin(cache);
}
static void teardown(void)
{
    arena_deinit(&arena);
    rw_cache_unpin(cache, known);
    rw_cache_free(cache);
}
TestSuite(otlp_metrics, .init = setup, .fini = teardown);

static struct otlp_points points;

static err_t decode_with(struct rw_generation *g, struct buf *rq, struct metric_batch **m)
{
    otlp_points_init(&points, &mapping, &arena, NULL, g, buf_view(rq), (unix_ns){ 7 * NS_PER_S });
    struct otlp_sink sink = otlp_points_sink(&points);
    TRY(otlp_metrics_walk(buf_view(rq), &arena, &sink));
    TRY(otlp_points_finish(&points));
    *m = metric_builder_finish(&points.builder);
    return OK;
}

/* Without a cache; then with one that has it perhaps, and has it for sure: the same batch. */
static err_t decode(struct buf *rq, struct metric_batch **m)
{
    struct rw_generation *const with[] = { NULL, known, known };
    struct buf bytes[ARRAY_LEN(with)];
    err_t e = OK;
    for (unsigned i = 0; i < ARRAY_LEN(with); i++) {
        if (i) otlp_points_deinit(&points);
        e = decode_with(with[i], rq, m);
        buf_init(&bytes[i], SIZE_MAX, NULL);
        if (e == OK) metric_batch_encode(*m, NULL, &bytes[i]);
        cr_expect(str_eq(buf_view(&bytes[0]), buf_view(&bytes[i])));
    }
    for (unsigned i = 0; i < ARRAY_LEN(with); i++)
        buf_deinit(&bytes[i]);
    return e;
}

static void metric(struct buf *rows, const char *name, const char *unit, unsigned data_field, struct buf *data)
{
    struct buf m;
    pb_new(&m);
    pb_z(&m, 1, name);
    pb_z(&m, 2, "help");
    pb_z(&m, 3, unit);
    pb_sub(&m, data_field, data);
    pb_sub(rows, 2, &m);
}

/* A NumberDataPoint onto data. */
static void number(struct buf *data, uint64_t start_ms, uint64_t time_ms, double v, unsigned flags)
{
    struct buf p;
    pb_new(&p);
    pb_fixed64(&p, 2, start_ms * 1000000);
    pb_fixed64(&p, 3, time_ms * 1000000);
    pb_double(&p, 4, v);
    pb_attr_str(&p, 7, "http.route", "/x");
    if (flags) pb_varint(&p, 8, flags);
    pb_sub(data, 1, &p);
}

static void expect(struct buf *rows, const char *want)
{
    struct buf rq;
    struct metric_batch *m;
    pb_new(&rq);
    pb_request(&rq, "shop", rows);
    cr_assert_eq(decode(&rq, &m), OK, "%s", err_detail());
    cr_expect_str_eq(batch_text(m, &arena), want, "got:\n%s\nwant:\n%s", batch_text(m, &arena), want);
    otlp_points_deinit(&points);
    buf_deinit(&rq);
}

Test(otlp_metrics, gauge_and_sums)
{
    struct buf rows, data;
    pb_new(&rows), pb_new(&data);
    number(&data, 1000, 2000, 1.5, 0);
    number(&data, 1000, 3000, 0, 1);
    metric(&rows, "cpu.load", "1", 5, &data);
    pb_new(&data);
    number(&data, 1000, 2000, 7, 0);
    pb_varint(&data, 2, 2); /* after the points, as encoders do */
    pb_varint(&data, 3, 1);
    metric(&rows, "http.requests", "{request}", 7, &data);
    pb_new(&data);
    number(&data, 1000, 0, 3, 0);
    pb_varint(&data, 2, 2);
    metric(&rows, "queue", "By", 7, &data);
    expect(&rows, "cpu_load_ratio{http_route=\"/x\",job=\"shop\"} 2000 1.5\n"
                  "cpu_load_ratio{http_route=\"/x\",job=\"shop\"} 3000 stale\n"
                  "http_requests_total{http_route=\"/x\",job=\"shop\"} 2000 7 @1000\n"
                  "queue_bytes{http_route=\"/x\",job=\"shop\"} 7000 3\n"
                  "# cpu_load_ratio|gauge||help\n"
                  "# http_requests_total|counter||help\n"
                  "# queue_bytes|gauge|bytes|help\n");
}

Test(otlp_metrics, histogram)
{
    struct buf rows, data, p, packed;
    pb_new(&rows), pb_new(&data), pb_new(&p), pb_new(&packed);
    pb_fixed64(&p, 2, 1000000000);
    pb_fixed64(&p, 3, 2000000000);
    pb_fixed64(&p, 4, 6);
    pb_double(&p, 5, 12.5);
    uint64_t counts[3] = { 1, 2, 3 };
    double bounds[2] = { 0.005, 2500000 };
    buf_put(&packed, counts, sizeof counts);
    pb_bytes(&p, 6, buf_view(&packed));
    buf_clear(&packed);
    buf_put(&packed, bounds, sizeof bounds);
    pb_sub(&p, 7, &packed);
    struct buf ex;
    pb_new(&ex);
    pb_fixed64(&ex, 2, 1999000000);
    pb_double(&ex, 3, 1.0);
    pb_z(&ex, 4, "SPANSPAN");
    pb_z(&ex, 5, "TRACETRACETRACE!");
    pb_attr_str(&ex, 7, "user.id", "u1");
    pb_sub(&p, 8, &ex);
    pb_sub(&data, 1, &p);
    pb_varint(&data, 2, 2);
    metric(&rows, "req.duration", "s", 9, &data);
    struct buf rq;
    struct metric_batch *m;
    pb_new(&rq);
    pb_request(&rq, "shop", &rows);
    cr_assert_eq(decode(&rq, &m), OK, "%s", err_detail());
    cr_expect_str_eq(batch_text(m, &arena),
                     "req_duration_seconds_bucket{job=\"shop\",le=\"0.005\"} 2000 1 @1000\n"
                     "req_duration_seconds_bucket{job=\"shop\",le=\"2500000\"} 2000 3 @1000\n"
                     "req_duration_seconds_bucket{job=\"shop\",le=\"+Inf\"} 2000 6 @1000\n"
                     "req_duration_seconds_count{job=\"shop\"} 2000 6 @1000\n"
                     "req_duration_seconds_sum{job=\"shop\"} 2000 12.5 @1000\n"
                     "# req_duration_seconds|histogram|seconds|help\n");
    const struct table *t = m->exemplars;
    cr_assert(t && t->nrows == 1);
    cr_expect_eq(table_column(t, SC_SELF, STR("time"), COL_I64)->i64[0], 1999000000);
    cr_expect_eq(memcmp(table_column(t, SC_SELF, STR("trace_id"), COL_FIX)->fix, "TRACETRACETRACE!", 16), 0);
    cr_expect_eq(memcmp(table_column(t, SC_SELF, STR("series"), COL_FIX)->fix, &m->id[1], 16), 0);
    cr_expect(str_is(column_str(table_column(t, SC_ATTR, STR("user.id"), COL_STR), 0), "u1"));
    otlp_points_deinit(&points);
    buf_deinit(&rq);
}

static void exp_point(struct buf *p, int32_t scale, int32_t offset, const char *packed_counts)
{
    struct buf side;
    pb_new(&side);
    pb_fixed64(p, 3, 2000000000);
    pb_fixed64(p, 4, 10);
    pb_double(p, 5, 3);
    pb_varint(p, 6, zigzag(scale));
    pb_fixed64(p, 7, 2);
    pb_varint(&side, 1, zigzag(offset));
    pb_bytes(&side, 2, str_of(packed_counts));
    pb_sub(p, 8, &side);
}

Test(otlp_metrics, exponential_histogram)
{
    struct buf rows, data, p;
    pb_new(&rows), pb_new(&data), pb_new(&p);
    exp_point(&p, 3, -2, "\1\2\3");
    pb_sub(&data, 1, &p);
    pb_new(&p);
    exp_point(&p, 10, -3, "\1\1\1\1\1"); /* -3 >> 2 = -1, -2.. -1, 0, 1 >> 2 = 0 */
    pb_sub(&data, 1, &p);
    pb_new(&p);
    exp_point(&p, -5, 0, "\1");
    pb_sub(&data, 1, &p);
    pb_varint(&data, 2, 2);
    metric(&rows, "size", "", 10, &data);
    expect(&rows, "size{job=\"shop\"} schema=3 hint=0 count=10 zero=2/1e-128 -1:1 0:2 1:3 2000 3\n"
                  "size{job=\"shop\"} schema=8 hint=0 count=10 zero=2/1e-128 0:3 1:2 2000 3\n"
                  "# size|histogram||help\n");
    cr_expect_eq(points.rejected, 1);
    cr_expect_str_eq(points.why, "metric \"size\": scale -5 of an exponential histogram, at least -4");
}

Test(otlp_metrics, summary)
{
    struct buf rows, data, p, q;
    pb_new(&rows), pb_new(&data), pb_new(&p), pb_new(&q);
    pb_fixed64(&p, 3, 2000000000);
    pb_fixed64(&p, 4, 5);
    pb_double(&p, 5, 9);
    pb_double(&q, 1, 0.99);
    pb_double(&q, 2, 4);
    pb_sub(&p, 6, &q);
    pb_sub(&data, 1, &p);
    metric(&rows, "lat", "ms", 11, &data);
    expect(&rows, "lat_milliseconds_sum{job=\"shop\"} 2000 9\n"
                  "lat_milliseconds_count{job=\"shop\"} 2000 5\n"
                  "lat_milliseconds{job=\"shop\",quantile=\"0.99\"} 2000 4\n"
                  "# lat_milliseconds|summary|milliseconds|help\n");
}

/* A start time is where the counter began anew; none, or one that is not before the point: 1 ms before. */
Test(otlp_metrics, deltas)
{
    struct buf rows, data, p;
    pb_new(&rows), pb_new(&data);
    number(&data, 1000, 2000, 7, 0);
    number(&data, 2000, 3000, 4, 0);
    number(&data, 0, 4000, 2, 0);
    number(&data, 5000, 5000, 1, 0);
    pb_varint(&data, 2, 1);
    pb_varint(&data, 3, 1);
    metric(&rows, "requests", "", 7, &data);
    pb_new(&data);
    number(&data, 1000, 2000, -3, 0);
    pb_varint(&data, 2, 1);
    metric(&rows, "queue", "", 7, &data);
    pb_new(&data), pb_new(&p);
    pb_fixed64(&p, 2, 1000000000);
    exp_point(&p, 3, -2, "\1");
    pb_sub(&data, 1, &p);
    pb_varint(&data, 2, 1);
    metric(&rows, "size", "", 10, &data);
    expect(&rows, "requests_total{http_route=\"/x\",job=\"shop\"} 2000 7 @1000\n"
                  "requests_total{http_route=\"/x\",job=\"shop\"} 3000 4 @2000\n"
                  "requests_total{http_route=\"/x\",job=\"shop\"} 4000 2 @3999\n"
                  "requests_total{http_route=\"/x\",job=\"shop\"} 5000 1 @4999\n"
                  "queue{http_route=\"/x\",job=\"shop\"} 2000 -3\n"
                  "size{job=\"shop\"} schema=3 hint=0 count=10 zero=2/1e-128 -1:1 2000 3 @1000\n"
                  "# requests_total|counter||help\n"
                  "# queue|unknown||help\n"
                  "# size|histogram||help\n");
}

static void histogram_point(struct buf *data, double last_bound)
{
    struct buf p, packed;
    uint64_t counts[3] = { 1, 2, 3 };
    double bounds[2] = { 0.5, last_bound };
    pb_new(&p), pb_new(&packed);
    pb_fixed64(&p, 3, 2000000000);
    pb_fixed64(&p, 4, 6);
    pb_double(&p, 5, 12.5);
    buf_put(&packed, counts, sizeof counts);
    pb_bytes(&p, 6, buf_view(&packed));
    buf_clear(&packed);
    buf_put(&packed, bounds, sizeof bounds);
    pb_sub(&p, 7, &packed);
    pb_sub(data, 1, &p);
}

Test(otlp_metrics, histograms_with_custom_bounds)
{
    struct buf rows, data;
    mapping.nhcb = true;
    pb_new(&rows), pb_new(&data);
    histogram_point(&data, 4);
    histogram_point(&data, INFINITY);
    pb_varint(&data, 2, 2);
    metric(&rows, "d", "s", 9, &data);
    expect(&rows, "d_seconds{job=\"shop\"} schema=-53 hint=0 count=6 zero=0/0 0:1 1:2 2:3 le0.5 le4 2000 12.5\n"
                  "d_seconds{job=\"shop\"} schema=-53 hint=0 count=6 zero=0/0 0:1 1:5 le0.5 2000 12.5\n"
                  "# d_seconds|histogram|seconds|help\n");
}

static void promoted_request(struct buf *rq)
{
    struct buf rx, res, sx, scope, data;
    pb_new(rq), pb_new(&rx), pb_new(&res), pb_new(&sx), pb_new(&scope), pb_new(&data);
    pb_attr_str(&res, 1, "service.name", "shop");
    pb_attr_str(&res, 1, "k8s.pod.name", "p1");
    pb_attr_str(&res, 1, "http.route", "of the resource");
    pb_attr_str(&res, 1, "host.name", "h");
    pb_sub(&rx, 1, &res);
    pb_z(&scope, 1, "lib");
    pb_z(&scope, 2, "1.0");
    pb_attr_str(&scope, 3, "a.b", "c");
    pb_sub(&sx, 1, &scope);
    number(&data, 0, 1000, 1, 0);
    metric(&sx, "up", "", 5, &data);
    pb_sub(&rx, 2, &sx);
    pb_sub(rq, 1, &rx);
}

static void expect_promoted(const char *want)
{
    struct buf rq;
    struct metric_batch *m;
    promoted_request(&rq);
    cr_assert_eq(decode(&rq, &m), OK, "%s", err_detail());
    cr_expect_str_eq(batch_text(m, &arena), want, "got:\n%s\nwant:\n%s", batch_text(m, &arena), want);
    otlp_points_deinit(&points);
    buf_deinit(&rq);
}

static void read_mapping(struct otlp_mapping_text text)
{
    if (!text.strategy.n) text.strategy = STR("UnderscoreEscapingWithSuffixes");
    cr_assert_eq(otlp_mapping_read(&text, &arena, &mapping), OK, "%s", err_detail());
}

/* A point's own attribute stays; other mappings are other series, in the cache too. */
Test(otlp_metrics, promoted)
{
    const char *meta = "# up|gauge||help\n# target_info|gauge||Target metadata\n";
    const char *target = "target_info{host_name=\"h\",http_route=\"of the resource\",job=\"shop\",k8s_pod_name=\"p1\"} 1000 1\n";
    expect_promoted(arena_printf(&arena, "up{http_route=\"/x\",job=\"shop\"} 1000 1\n%s%s", target, meta).p);
    read_mapping((struct otlp_mapping_text){ .promote = STR(" k8s.pod.name,http.route, none") });
    expect_promoted(arena_printf(&arena, "up{http_route=\"/x\",job=\"shop\",k8s_pod_name=\"p1\"} 1000 1\n%s%s", target, meta).p);
    read_mapping((struct otlp_mapping_text){ .promote_all = true, .ignore = STR("host.name,service.name"), .promote_scope = true });
    expect_promoted(arena_printf(&arena, "up{http_route=\"/x\",job=\"shop\",k8s_pod_name=\"p1\",otel_scope_a_b=\"c\",otel_scope_name=\"lib\","
                                         "otel_scope_version=\"1.0\"} 1000 1\n%s%s", target, meta).p);
    read_mapping((struct otlp_mapping_text){ .keep_identifying = true, .strategy = STR("NoTranslation"), .promote = STR("k8s.pod.name") });
    expect_promoted(arena_printf(&arena, "up{http.route=\"/x\",job=\"shop\",k8s.pod.name=\"p1\"} 1000 1\n"
                                         "target_info{host.name=\"h\",http.route=\"of the resource\",job=\"shop\",k8s.pod.name=\"p1\","
                                         "service.name=\"shop\"} 1000 1\n%s", meta).p);
}

Test(otlp_metrics, mappings_refused)
{
    struct otlp_mapping_text bad = { .strategy = STR("Nothing") };
    cr_expect_eq(otlp_mapping_read(&bad, &arena, &mapping), ERR_INVALID);
    bad = (struct otlp_mapping_text){ .strategy = STR("NoTranslation"), .promote_all = true, .promote = STR("a") };
    cr_expect_eq(otlp_mapping_read(&bad, &arena, &mapping), ERR_INVALID);
    bad = (struct otlp_mapping_text){ .strategy = STR("NoTranslation"), .ignore = STR("a") };
    cr_expect_eq(otlp_mapping_read(&bad, &arena, &mapping), ERR_INVALID);
}

Test(otlp_metrics, rejected_points)
{
    struct buf rows, data;
    pb_new(&rows), pb_new(&data);
    number(&data, 1, 2, 1, 0);
    pb_varint(&data, 2, 3);
    metric(&rows, "odd", "", 7, &data);
    pb_new(&data);
    number(&data, 1, 2, 1, 0);
    metric(&rows, "...", "", 5, &data);
    expect(&rows, "");
    cr_expect_eq(points.rejected, 2);
    cr_expect_neq(strstr(points.why, "metric \"odd\": its aggregation temporality is not set"), NULL);
}

Test(otlp_metrics, target_info)
{
    struct buf rq, rx, res, sx, data;
    struct metric_batch *m;
    pb_new(&rq), pb_new(&rx), pb_new(&res), pb_new(&sx), pb_new(&data);
    pb_attr_str(&res, 1, "service.name", "shop");
    pb_attr_str(&res, 1, "service.namespace", "eu");
    pb_attr_str(&res, 1, "service.instance.id", "i-1");
    pb_attr_str(&res, 1, "host.name", "h");
    pb_attr_str(&res, 1, "host_name", "g");
    pb_sub(&rx, 1, &res);
    number(&data, 0, 1000, 1, 0);
    number(&data, 0, 401000, 1, 0);
    metric(&sx, "up", "", 5, &data);
    pb_sub(&rx, 2, &sx);
    pb_sub(&rq, 1, &rx);
    cr_assert_eq(decode(&rq, &m), OK, "%s", err_detail());
    cr_expect_str_eq(batch_text(m, &arena),
                     "up{http_route=\"/x\",instance=\"i-1\",job=\"eu/shop\"} 1000 1\n"
                     "up{http_route=\"/x\",instance=\"i-1\",job=\"eu/shop\"} 401000 1\n"
                     "target_info{host_name=\"h;g\",instance=\"i-1\",job=\"eu/shop\"} 1000 1\n"
                     "target_info{host_name=\"h;g\",instance=\"i-1\",job=\"eu/shop\"} 151000 1\n"
                     "target_info{host_name=\"h;g\",instance=\"i-1\",job=\"eu/shop\"} 301000 1\n"
                     "target_info{host_name=\"h;g\",instance=\"i-1\",job=\"eu/shop\"} 401000 1\n"
                     "# up|gauge||help\n"
                     "# target_info|gauge||Target metadata\n");
    otlp_points_deinit(&points);
    buf_deinit(&rq);
}

static void expect_name(const char *name, const char *unit, enum otlp_metric_kind kind, bool monotonic, const char *want)
{
    struct otlp_metric m = { .name = str_of(name), .unit = str_of(unit), .kind = kind, .monotonic = monotonic };
    struct str got = prom_metric_name(&m, &mapping, &arena);
    cr_expect(str_is(got, want), "%s [%s]: %.*s, want %s", name, unit, STR_ARG(got), want);
}

Test(otlp_metrics, names)
{
    expect_name("requests", "", OTLP_SUM, true, "requests_total");
    expect_name("requests_total", "", OTLP_SUM, true, "requests_total");
    expect_name("cpu_seconds_total", "s", OTLP_SUM, true, "cpu_seconds_total");
    expect_name("total.requests", "", OTLP_SUM, true, "requests_total");
    expect_name("items", "1", OTLP_SUM, true, "items_total");
    expect_name("cpu_usage", "1", OTLP_GAUGE, false, "cpu_usage_ratio");
    expect_name("ratio.used", "1", OTLP_GAUGE, false, "used_ratio");
    expect_name("throughput", "By/s", OTLP_GAUGE, false, "throughput_bytes_per_second");
    expect_name("requests", "1/s", OTLP_GAUGE, false, "requests_per_second");
    expect_name("x", "By/{custom}", OTLP_GAUGE, false, "x_bytes");
    expect_name("x", "{custom}", OTLP_GAUGE, false, "x");
    expect_name("custom_metric", "unit@with#special/chars", OTLP_GAUGE, false,
                "custom_metric_unit_with_special_per_chars");
    expect_name("metric__with__many", "", OTLP_GAUGE, false, "metric_with_many");
    expect_name("123_requests", "", OTLP_SUM, true, "_123_requests_total");
    expect_name("@#$%", "", OTLP_GAUGE, false, "");
    expect_name("a:b.c", "%", OTLP_GAUGE, false, "a:b_c_percent");
    mapping.suffixes = false;
    expect_name("http.server-x", "s", OTLP_SUM, true, "http_server_x");
    expect_name("a__b..c", "", OTLP_GAUGE, false, "a__b_c");
    expect_name("..a!", "", OTLP_GAUGE, false, "a");
    expect_name("9a", "", OTLP_GAUGE, false, "_9a");
    expect_name("_.", "", OTLP_GAUGE, false, "");
    mapping.escape = false;
    expect_name("http.server-x", "s", OTLP_SUM, true, "http.server-x");
    expect_name("\xff", "", OTLP_GAUGE, false, "");
    mapping.suffixes = true;
    expect_name("http.duration", "s", OTLP_HISTOGRAM, false, "http.duration_seconds");
    expect_name("http.duration.seconds", "s", OTLP_HISTOGRAM, false, "http.duration.seconds");
    expect_name("requests.total", "", OTLP_SUM, true, "requests_total");
    expect_name("total", "", OTLP_SUM, true, "total_total");
    expect_name("io", "By/s", OTLP_GAUGE, false, "io_bytes_per_second");
    expect_name("io.per_second", "By/s", OTLP_GAUGE, false, "io_bytes_per_second");
    expect_name("cpu.usage", "1", OTLP_GAUGE, false, "cpu.usage_ratio");
    mapping = OTLP_MAPPING_DEFAULT;
    static const char *const labels[][2] = {
        { "label:with:colons", "label_with_colons" }, { "a.b", "a_b" },   { "123label", "key_123label" },
        { "_x", "_x" },                               { "a..b", "a_b" },  { "__", "" },
        { "x!", "x_" },                               { "\xe5\xad\x97", "" }, { "ok", "ok" },
    };
    for (unsigned i = 0; i < ARRAY_LEN(labels); i++) {
        struct str got = prom_label_name(str_of(labels[i][0]), &mapping, &arena);
        cr_expect(str_is(got, labels[i][1]), "%s: %.*s", labels[i][0], STR_ARG(got));
    }
}

Test(otlp_metrics, float_texts)
{
    static const struct {
        double v;
        const char *want;
    } cases[] = {
        { 1, "1" }, { 0.005, "0.005" }, { 2.5, "2.5" }, { 1e6, "1000000" }, { 1e21, "1000000000000000000000" },
        { -1.5e-7, "-0.00000015" }, { 0, "0" }, { 123456789.25, "123456789.25" }, { INFINITY, "+Inf" },
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct str got = float_text(cases[i].v, &arena);
        cr_expect(str_is(got, cases[i].want), "%.*s, want %s", STR_ARG(got), cases[i].want);
    }
}
