#include "server/ingest/otlp_rows.h"
#include "tests/unit/pb_enc.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL);
}
static void teardown(void)
{
    arena_deinit(&arena);
}
TestSuite(otlp, .init = setup, .fini = teardown);

static const char TRACE[] = "0123456789abcdef", SPAN[] = "ABCDEFGH";

static err_t decode(struct otlp_rows *r, enum signal signal, struct str request)
{
    otlp_rows_init(r, signal, &arena, NULL, request, (unix_ns){ 42 });
    struct otlp_sink sink = otlp_rows_sink(r);
    TRY(signal == SIG_SPANS ? otlp_traces_walk(request, &arena, &sink) : otlp_logs_walk(request, &arena, &sink));
    return otlp_rows_finish(r);
}

static struct str self_str(const struct table *t, const char *name, uint32_t row)
{
    const struct column *c = table_column(t, SC_SELF, str_of(name), COL_STR);
    return c && column_has(c, row) ? column_str(c, row) : STR_NONE;
}
static int64_t self_i64(const struct table *t, const char *name, uint32_t row)
{
    const struct column *c = table_column(t, SC_SELF, str_of(name), COL_I64);
    return c && column_has(c, row) ? c->i64[row] : INT64_MIN;
}
static struct str attr_str(const struct table *t, const char *name, enum col_type type, uint32_t row)
{
    const struct column *c = table_column(t, SC_ATTR, str_of(name), type);
    return c && column_has(c, row) ? column_str(c, row) : STR_NONE;
}
#define expect_str(s, z) cr_expect(str_is((s), (z)), "%.*s != %s", STR_ARG(s), (z))

/* A span with every field; ids as given. */
static void put_span(struct buf *rows, struct str trace, struct str id, struct str parent, const char *name)
{
    struct buf s, e, l, st, any, arr, v;
    pb_new(&s), pb_new(&e), pb_new(&l), pb_new(&st), pb_new(&any), pb_new(&arr), pb_new(&v);
    pb_bytes(&s, 1, trace);
    pb_bytes(&s, 2, id);
    pb_z(&s, 3, "k=v");
    pb_bytes(&s, 4, parent);
    pb_z(&s, 5, name);
    pb_varint(&s, 6, 2);
    pb_fixed64(&s, 7, 1000);
    pb_attr_str(&s, 9, "http.method", "GET");
    pb_z(&e, 2, "exception");
    pb_fixed64(&e, 1, 1500);
    pb_attr_i64(&e, 3, "line", 7);
    pb_sub(&s, 11, &e); /* between the attributes: lists must not mix */
    pb_attr_i64(&s, 9, "http.status", 500);
    pb_varint(&v, 3, 1);
    pb_bytes(&arr, 1, buf_view(&v));
    buf_clear(&v);
    pb_z(&v, 1, "two\"");
    pb_sub(&arr, 1, &v);
    pb_sub(&any, 5, &arr);
    pb_attr_any(&s, 9, "list", &any);
    pb_bytes(&l, 1, str_n(TRACE, 16));
    pb_bytes(&l, 2, str_n(SPAN, 8));
    pb_attr_str(&l, 4, "why", "retry");
    pb_sub(&s, 13, &l);
    pb_new(&l);
    pb_bytes(&l, 1, STR("short"));
    pb_sub(&s, 13, &l);
    pb_z(&st, 2, "boom");
    pb_varint(&st, 3, 2);
    pb_sub(&s, 15, &st);
    pb_fixed64(&s, 8, 3500);
    pb_fixed32(&s, 16, 1);
    pb_varint(&s, 10, 3);
    pb_varint(&s, 99, 3); /* unknown */
    pb_sub(rows, 2, &s);
}

static void put_good(struct buf *rows, const char *name)
{
    put_span(rows, str_n(TRACE, 16), str_n(SPAN, 8), STR("parentid"), name);
}

Test(otlp, span_fields)
{
    struct buf rows, rq;
    struct otlp_rows r;
    pb_new(&rows), pb_new(&rq);
    put_good(&rows, "GET /");
    pb_request(&rq, "shop", &rows);
    cr_assert_eq(decode(&r, SIG_SPANS, buf_view(&rq)), OK, "%s", err_detail());
    cr_assert_eq(r.accepted, 1);
    cr_assert_eq(r.ntables, 1);
    const struct table *t = r.tables[0];
    expect_str(self_str(t, "name", 0), "GET /");
    expect_str(self_str(t, "trace_state", 0), "k=v");
    expect_str(self_str(t, "status_message", 0), "boom");
    cr_expect_eq(self_i64(t, "kind", 0), 2);
    cr_expect_eq(self_i64(t, "start", 0), 1000);
    cr_expect_eq(self_i64(t, "duration", 0), 2500);
    cr_expect_eq(self_i64(t, "status_code", 0), 2);
    cr_expect_eq(self_i64(t, "flags", 0), 1);
    cr_expect_eq(self_i64(t, "dropped_attributes", 0), 3);
    cr_expect_eq(self_i64(t, "dropped_links", 0), 1); /* the one with a short id */
    expect_str(attr_str(t, "http.method", COL_STR, 0), "GET");
    cr_expect_eq(table_column(t, SC_ATTR, STR("http.status"), COL_I64)->i64[0], 500);
    expect_str(attr_str(t, "list", COL_JSON, 0), "[1,\"two\\\"\"]");
    cr_expect_null(table_column(t, SC_ATTR, STR("line"), COL_I64));
    const struct table *res = t->dim[DIM_RESOURCE], *scope = t->dim[DIM_SCOPE];
    expect_str(attr_str(res, "service.name", COL_STR, t->dim_row[DIM_RESOURCE][0]), "shop");
    expect_str(self_str(res, "schema_url", t->dim_row[DIM_RESOURCE][0]), "https://schema/1");
    expect_str(self_str(scope, "version", t->dim_row[DIM_SCOPE][0]), "1.0");
    const struct table *ev = t->child[CHILD_EVENTS], *li = t->child[CHILD_LINKS];
    cr_assert_eq(ev->nrows, 1);
    expect_str(self_str(ev, "name", 0), "exception");
    cr_expect_eq(self_i64(ev, "time", 0), 1500);
    cr_expect_eq(table_column(ev, SC_ATTR, STR("line"), COL_I64)->i64[0], 7);
    cr_assert_eq(li->nrows, 1);
    expect_str(attr_str(li, "why", COL_STR, 0), "retry");
    cr_expect_eq(memcmp(table_column(t, SC_SELF, STR("parent_span_id"), COL_FIX)->fix, "parentid", 8), 0);
    otlp_rows_deinit(&r);
    buf_deinit(&rq);
}

Test(otlp, bad_spans_are_rejected_alone)
{
    static const char ZERO[16];
    struct buf rows, rq;
    struct otlp_rows r;
    pb_new(&rows), pb_new(&rq);
    put_good(&rows, "one");
    put_span(&rows, STR("short"), str_n(SPAN, 8), STR(""), "two");
    put_span(&rows, str_n(ZERO, 16), str_n(SPAN, 8), STR(""), "three");
    put_span(&rows, str_n(TRACE, 16), str_n(ZERO, 8), STR(""), "four");
    put_span(&rows, str_n(TRACE, 16), str_n(SPAN, 8), STR("abc"), "five");
    put_span(&rows, str_n(TRACE, 16), str_n(SPAN, 8), str_n(ZERO, 8), "six");
    pb_request(&rq, "shop", &rows);
    cr_assert_eq(decode(&r, SIG_SPANS, buf_view(&rq)), OK);
    cr_expect_eq(r.accepted, 2);
    cr_expect_eq(r.rejected, 4);
    cr_expect_str_eq(r.why, "span 2 (\"two\"): trace_id is not 16 bytes");
    cr_expect(!column_has(table_column(r.tables[0], SC_SELF, STR("parent_span_id"), COL_FIX), 1));
    otlp_rows_deinit(&r);
    buf_deinit(&rq);
}

static void put_log(struct buf *rows, uint64_t time, uint64_t observed, struct buf *body)
{
    struct buf l;
    pb_new(&l);
    if (time) pb_fixed64(&l, 1, time);
    if (observed) pb_fixed64(&l, 11, observed);
    pb_varint(&l, 2, 9);
    pb_z(&l, 3, "INFO");
    pb_sub(&l, 5, body);
    pb_attr_str(&l, 6, "bad", "a\xff" "b");
    pb_bytes(&l, 9, STR("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    pb_bytes(&l, 10, STR("xy"));
    pb_sub(rows, 2, &l);
}

Test(otlp, log_records)
{
    struct buf rows, rq, body, kv, v;
    struct otlp_rows r;
    pb_new(&rows), pb_new(&rq), pb_new(&body);
    pb_z(&body, 1, "hello");
    put_log(&rows, 100, 200, &body);
    pb_new(&body), pb_new(&kv), pb_new(&v);
    pb_z(&v, 1, "deep");
    pb_attr_any(&kv, 1, "k", &v);
    pb_sub(&body, 6, &kv);
    put_log(&rows, 0, 200, &body);
    pb_new(&body);
    pb_double(&body, 4, 1.5);
    put_log(&rows, 0, 0, &body);
    pb_request(&rq, "shop", &rows);
    cr_assert_eq(decode(&r, SIG_LOGS, buf_view(&rq)), OK, "%s", err_detail());
    cr_assert_eq(r.accepted, 3);
    const struct table *t = r.tables[0];
    cr_expect_eq(self_i64(t, "time", 0), 100);
    cr_expect_eq(self_i64(t, "time", 1), 200);
    cr_expect_eq(self_i64(t, "time", 2), 42); /* arrival */
    expect_str(self_str(t, "body", 0), "hello");
    const struct column *json = table_column(t, SC_SELF, STR("body"), COL_JSON);
    expect_str(column_str(json, 1), "{\"k\":\"deep\"}");
    cr_expect(!column_has(json, 0));
    cr_expect_eq(table_column(t, SC_SELF, STR("body"), COL_F64)->f64[2], 1.5);
    expect_str(attr_str(t, "bad", COL_STR, 0), "a\xEF\xBF\xBD" "b");
    cr_expect_null(table_column(t, SC_SELF, STR("trace_id"), COL_FIX));
    cr_expect_null(table_column(t, SC_SELF, STR("span_id"), COL_FIX));
    otlp_rows_deinit(&r);
    buf_deinit(&rq);
}

/* Every prefix of a good request is either refused with an offset or, at a field boundary, decoded. */
Test(otlp, truncation)
{
    struct buf rows, rq;
    pb_new(&rows), pb_new(&rq);
    put_good(&rows, "GET /");
    pb_request(&rq, "shop", &rows);
    unsigned refused = 0;
    for (size_t n = 1; n < rq.n; n++) {
        struct otlp_rows r;
        char *exact = malloc(n);
        memcpy(exact, rq.p, n);
        if (decode(&r, SIG_SPANS, str_n(exact, n)) != OK) {
            refused++;
            cr_expect_neq(strstr(err_detail(), "at byte "), NULL);
        }
        otlp_rows_deinit(&r);
        free(exact);
    }
    cr_expect_eq(refused, rq.n - 1);
    buf_deinit(&rq);
}

Test(otlp, nesting_is_bounded)
{
    struct buf v, rows, rq, s;
    pb_new(&v);
    pb_varint(&v, 3, 1);
    for (unsigned depth = 0; depth < 2000; depth++) {
        struct buf arr, any;
        pb_new(&arr), pb_new(&any);
        pb_sub(&arr, 1, &v);
        pb_sub(&any, 5, &arr);
        v = any;
    }
    pb_new(&rows), pb_new(&rq), pb_new(&s);
    pb_bytes(&s, 1, str_n(TRACE, 16));
    pb_bytes(&s, 2, str_n(SPAN, 8));
    pb_attr_any(&s, 9, "deep", &v);
    pb_sub(&rows, 2, &s);
    pb_request(&rq, "shop", &rows);
    struct otlp_rows r;
    cr_expect_eq(decode(&r, SIG_SPANS, buf_view(&rq)), ERR_INVALID);
    cr_expect_neq(strstr(err_detail(), "nested more than 32 deep"), NULL);
    otlp_rows_deinit(&r);
    buf_deinit(&rq);
}

Test(otlp, wrong_types_and_groups)
{
    struct buf rows, rq, s;
    struct otlp_rows r;
    pb_new(&rows), pb_new(&rq), pb_new(&s);
    pb_varint(&s, 5, 7); /* the name as a number */
    pb_sub(&rows, 2, &s);
    pb_request(&rq, "shop", &rows);
    cr_expect_eq(decode(&r, SIG_SPANS, buf_view(&rq)), ERR_INVALID);
    cr_expect_neq(strstr(err_detail(), "field 5 of Span must not be varint"), NULL, "%s", err_detail());
    otlp_rows_deinit(&r);
    cr_expect_eq(decode(&r, SIG_SPANS, STR("\x0b\x0c")), ERR_INVALID);
    cr_expect_neq(strstr(err_detail(), "group"), NULL, "%s", err_detail());
    otlp_rows_deinit(&r);
    cr_expect_eq(decode(&r, SIG_SPANS, STR("")), OK); /* an empty request is a success */
    cr_expect_eq(r.accepted, 0);
    otlp_rows_deinit(&r);
    buf_deinit(&rq);
}

Test(otlp, many_keys_fill_several_tables)
{
    struct buf rows, rq;
    struct otlp_rows r;
    pb_new(&rows), pb_new(&rq);
    for (unsigned i = 0; i < 40; i++) {
        struct buf s;
        pb_new(&s);
        pb_bytes(&s, 1, str_n(TRACE, 16));
        pb_bytes(&s, 2, str_n(SPAN, 8));
        pb_z(&s, 5, "n");
        for (unsigned k = 0; k < 100; k++) {
            char key[32];
            snprintf(key, sizeof key, "k%u.%u", i, k);
            pb_attr_i64(&s, 9, key, k);
        }
        pb_sub(&rows, 2, &s);
    }
    pb_request(&rq, "shop", &rows);
    cr_assert_eq(decode(&r, SIG_SPANS, buf_view(&rq)), OK, "%s", err_detail());
    cr_expect_eq(r.accepted, 40);
    cr_expect_gt(r.ntables, 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r.ntables; i++) {
        const struct table *t = r.tables[i];
        n += t->nrows;
        expect_str(attr_str(t->dim[DIM_RESOURCE], "service.name", COL_STR, t->dim_row[DIM_RESOURCE][0]), "shop");
        expect_str(self_str(t->dim[DIM_SCOPE], "name", t->dim_row[DIM_SCOPE][0]), "lib");
    }
    cr_expect_eq(n, 40);
    otlp_rows_deinit(&r);
    buf_deinit(&rq);
}
