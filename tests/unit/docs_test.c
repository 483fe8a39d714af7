#include "server/ingest/docs.h"
#include "storage/json_in.h"

#include <criterion/criterion.h>

static struct arena arena;
static struct docs_builder b;
static struct doc_mapping mapping;

static void setup(void)
{
    arena_init(&arena, NULL);
    mapping = (struct doc_mapping){ 0 };
}
static void teardown(void)
{
    docs_builder_deinit(&b);
    arena_deinit(&arena);
}
TestSuite(docs, .init = setup, .fini = teardown);

static void begin(void)
{
    docs_builder_init(&b, &mapping, &arena, NULL, (unix_ns){ 42 });
}
static const struct table *done(void)
{
    cr_assert_eq(docs_builder_finish(&b), OK);
    cr_assert_eq(b.ntables, 1);
    return b.tables[0];
}
static const struct column *col(const struct table *t, const char *name, enum col_type type)
{
    const struct column *c = table_column(t, SC_ATTR, str_of(name), type);
    cr_assert(c, "%s", name);
    return c;
}

Test(docs, leaves)
{
    const char *doc = "{\"a\":{\"b\":1,\"c\":{\"d\":\"x\"}},\"f\":1.0,\"big\":18446744073709551615,\"t\":true,\"n\":null,"
                      "\"arr\":[1,{\"k\":2.5}],\"e\":{}}";
    begin();
    cr_assert_eq(docs_builder_add(&b, str_of(doc)), OK, "%s", err_detail());
    cr_assert_eq(docs_builder_add(&b, STR(" {\"a.b\": 2} ")), OK);
    const struct table *t = done();
    cr_expect_eq(t->nrows, 2);
    const struct column *source = table_column(t, SC_SELF, STR("source"), COL_STR);
    cr_expect(str_is(column_str(source, 0), doc));
    cr_expect(str_is(column_str(source, 1), "{\"a.b\": 2}"));
    cr_expect_eq(table_column(t, SC_SELF, STR("time"), COL_I64)->i64[0], 42);
    cr_expect_eq(col(t, "a.b", COL_I64)->i64[0], 1);
    cr_expect_eq(col(t, "a.b", COL_I64)->i64[1], 2);
    cr_expect(str_is(column_str(col(t, "a.c.d", COL_STR), 0), "x"));
    cr_expect_eq(col(t, "f", COL_F64)->f64[0], 1);
    cr_expect_eq(col(t, "big", COL_F64)->f64[0], 18446744073709551615.0);
    cr_expect_eq(col(t, "t", COL_BOOL)->boolean[0], 1);
    cr_expect(str_is(column_str(col(t, "arr", COL_JSON), 0), "[1,{\"k\":2.5}]"));
    cr_expect(!column_has(col(t, "f", COL_F64), 1));
}

Test(docs, declared_fields)
{
    static const struct doc_field fields[] = {
        { .path = { "ts", 2 }, .type = DOC_DATETIME },
        { .path = { "n", 1 }, .type = DOC_I64 },
        { .path = { "when", 4 }, .type = DOC_DATETIME },
        { .path = { "msg", 3 }, .type = DOC_TEXT },
        { .path = { "any", 3 }, .type = DOC_JSON },
    };
    mapping = (struct doc_mapping){ .mode = DOC_STRICT, .timestamp_field = STR("ts"), .fields = fields,
                                    .nfields = ARRAY_LEN(fields) };
    begin();
    cr_assert_eq(docs_builder_add(&b, STR("{\"ts\":1700000000,\"n\":\"7\",\"when\":\"2023-11-14T22:13:20.5Z\","
                                          "\"any\":{\"x\":{\"y\":1}}}")),
                 OK, "%s", err_detail());
    static const struct {
        const char *doc, *why;
    } bad[] = {
        { "{\"n\":1}", "'ts' is missing" },
        { "{\"ts\":\"timestamp\"}", "'ts' could not be parsed" },
        { "{\"ts\":1,\"n\":\"x\"}", "'n' could not be parsed: expected an integer" },
        { "{\"ts\":1,\"n\":1.5}", "'n'" },
        { "{\"ts\":1,\"msg\":7}", "'msg' could not be parsed: expected a string" },
        { "{\"ts\":1,\"other\":7}", "'other' is not declared" },
        { "[1]", "not a JSON object" },
        { "{\"ts\":", "" },
        { "", "" },
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(docs_builder_add(&b, str_of(bad[i].doc)), ERR_INVALID, "%s", bad[i].doc);
        cr_expect_neq(strstr(err_detail(), bad[i].why), NULL, "%s: %s", bad[i].doc, err_detail());
    }
    cr_assert_eq(docs_builder_add(&b, STR("{\"ts\":2}")), OK);
    cr_expect_eq(b.accepted, 2);
    const struct table *t = done();
    cr_expect_eq(t->nrows, 2);
    cr_expect_eq(table_column(t, SC_SELF, STR("time"), COL_I64)->i64[0], 1700000000 * NS_PER_S);
    cr_expect_eq(col(t, "n", COL_I64)->i64[0], 7);
    cr_expect_eq(col(t, "when", COL_I64)->i64[0], 1700000000500000000);
    cr_expect_eq(col(t, "any.x.y", COL_I64)->i64[0], 1);
    cr_expect_null(table_column(t, SC_ATTR, STR("ts"), COL_I64));
}

Test(docs, lenient_leaves_out)
{
    static const struct doc_field fields[] = { { .path = { "n", 1 }, .type = DOC_I64 } };
    mapping = (struct doc_mapping){ .mode = DOC_LENIENT, .fields = fields, .nfields = 1 };
    begin();
    cr_assert_eq(docs_builder_add(&b, STR("{\"n\":1,\"x\":2}")), OK);
    const struct table *t = done();
    cr_expect_eq(col(t, "n", COL_I64)->i64[0], 1);
    cr_expect_null(table_column(t, SC_ATTR, STR("x"), COL_I64));
}

Test(docs, times)
{
    static const struct {
        const char *json;
        unsigned formats;
        int64_t ns; /* INT64_MIN: refused */
    } cases[] = {
        { "\"1970-01-01T00:00:00Z\"", 0, 0 },
        { "\"2000-02-29T12:30:15.123456789+02:00\"", 0, 951820215123456789 },
        { "\"1969-12-31T23:59:59.5Z\"", 0, -500000000 },
        { "\"2001-02-29T00:00:00Z\"", 0, INT64_MIN },
        { "\"2023-11-14 22:13:20\"", 0, 1700000000 * NS_PER_S },
        { "\"2023-11-14\"", 0, 1699920000 * NS_PER_S },
        { "\"2023-13-14\"", 0, INT64_MIN },
        { "\"9999-01-01T00:00:00Z\"", 0, INT64_MIN },
        { "1700000000", 0, 1700000000 * NS_PER_S },
        { "1700000000123", 0, 1700000000123000000 },
        { "1700000000123456", 0, 1700000000123456000 },
        { "1700000000123456789", 0, 1700000000123456789 },
        { "1700000000.25", 0, 1700000000250000000 },
        { "\"1700000000\"", DOC_TIME_UNIX, 1700000000 * NS_PER_S },
        { "1700000000", DOC_TIME_RFC3339, INT64_MIN },
        { "\"Tue, 14 Nov 2023 22:13:20 GMT\"", DOC_TIME_RFC2822, 1700000000 * NS_PER_S },
        { "\"14 Nov 2023 23:13:20 +0100\"", DOC_TIME_RFC2822, 1700000000 * NS_PER_S },
        { "true", 0, INT64_MIN },
        { "\"\"", 0, INT64_MIN },
    };
    begin();
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        const struct json_val *v;
        int64_t ns = INT64_MIN;
        cr_assert_eq(json_parse(str_of(cases[i].json), &arena, &v), OK);
        struct doc_field f = { .time_formats = cases[i].formats };
        if (doc_time(v, &f, &ns) != OK) ns = INT64_MIN;
        cr_expect_eq(ns, cases[i].ns, "%s: %lld", cases[i].json, (long long)ns);
    }
}
