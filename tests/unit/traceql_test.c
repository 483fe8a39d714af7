/* TraceQL without a store: the parser's verdicts, and evaluation over one hand-made trace:
 *
 *   a "GET /" (front, server, 100 ms, ok)
 *   +- b "call" (front, client, 80 ms) --- d "SELECT" (db, client, 60 ms, error, rows=3, event "retry" n=1)
 *   +- c "log"  (front, internal, 5 ms, tags=["x","y"])
 *   e "lost" (worker; parent never received)
 */
#include "query/traceql/traceql.h"

#include <criterion/criterion.h>

static struct arena a;
static struct tspan spans[5];
static struct tresource resources[3];
static struct tscope scope;
static struct tql_trace trace;

static struct tval vs(const char *z) { return (struct tval){ .type = TV_STR, .s = str_of(z) }; }
static struct tval vi(int64_t i) { return (struct tval){ .type = TV_INT, .i = i }; }

static void attr(struct tattrs *as, const char *k, struct tval v)
{
    as->a = arena_grow(&a, as->a, as->n, &as->cap, as->n + 1, sizeof *as->a);
    as->a[as->n++] = (struct tattr){ str_of(k), v };
}

static void span(int i, int parent, const char *name, int res, int64_t kind, int64_t start, int64_t ms, int64_t status)
{
    spans[i] = (struct tspan){ .name = str_of(name), .kind = kind, .start_ns = start * 1000000, .duration_ns = ms * 1000000,
                               .status = status, .resource = &resources[res], .scope = &scope };
    spans[i].span_id[7] = (uint8_t)(i + 1);
    spans[i].has_parent = parent >= 0;
    spans[i].parent_id[7] = (uint8_t)(parent + 1);
}

static void make(void)
{
    arena_init(&a, NULL);
    static struct tspan *list[5];
    static const char *const names[] = { "front", "db", "worker" };
    memset(resources, 0, sizeof resources);
    for (int i = 0; i < 3; i++)
        attr(&resources[i].attrs, "service.name", vs(names[i]));
    attr(&resources[0].attrs, "zone", vs("res"));
    span(0, -1, "GET /", 0, 2, 0, 100, 1);
    span(1, 0, "call", 0, 3, 10, 80, 0);
    span(2, 0, "log", 0, 1, 95, 5, 0);
    span(3, 1, "SELECT", 1, 3, 20, 60, 2);
    span(4, 98, "lost", 2, 5, 30, 1, 0);
    attr(&spans[1].attrs, "zone", vs("span"));
    attr(&spans[3].attrs, "rows", vi(3));
    attr(&spans[2].attrs, "tags", (struct tval){ .type = TV_JSON, .s = STR("[\"x\",\"y\"]") });
    static struct tevent ev;
    ev = (struct tevent){ .time_ns = 25000000, .name = STR("retry") };
    attr(&ev.attrs, "n", vi(1));
    spans[3].events = &ev;
    spans[3].nevents = 1;
    for (int i = 0; i < 5; i++)
        list[i] = &spans[i];
    tql_trace_build(&trace, list, 5, &a);
}

TestSuite(traceql, .init = make);

/* Names of the matched spans by first letter, in start order; "-" = no match; "!" = does not parse. */
static const char *run(const char *text)
{
    static char out[64];
    struct tql_query *q;
    struct tql_result r;
    if (tql_parse(str_of(text), &a, &q) != OK) return "!";
    cr_assert_eq(tql_eval(q, &trace, 0, &a, &r), OK);
    size_t n = 0;
    for (uint32_t s = 0; s < r.nsets; s++) {
        if (s) out[n++] = '|';
        for (uint32_t i = 0; i < r.sets[s].nspans; i++)
            out[n++] = r.sets[s].spans[i].span->name.p[0];
    }
    out[n] = 0;
    tql_free(q);
    return r.match ? out : "-";
}

Test(traceql, evaluates_one_trace)
{
    static const char *const cases[][2] = {
        { "{}", "GcSll" },
        { "{ name = \"call\" }", "c" },
        { "{ resource.service.name = `front` }", "Gcl" },
        { "{ .zone = \"res\" }", "Gl" },  /* span's own zone hides the resource's */
        { "{ .zone = \"span\" }", "c" },
        { "{ resource.zone = \"res\" && span.zone = \"span\" }", "c" },
        { "{ .rows > 2 }", "S" },
        { "{ .rows = 3.0 }", "S" },
        { "{ .rows != 4 }", "S" },          /* absent is false, not different */
        { "{ .rows = nil }", "Gcll" },
        { "{ nil != .rows }", "S" },
        { "{ nil = nil }", "-" },
        { "{ duration > 50ms && status = error }", "S" },
        { "{ duration >= 0.08s }", "Gc" },
        { "{ kind = client }", "cS" },
        { "{ kind != client && kind != consumer }", "Gl" },
        { "{ name =~ \"S.*|GET.*\" }", "GS" },
        { "{ name !~ \"S.*\" }", "Gcll" },
        { "{ .tags = \"x\" }", "l" },
        { "{ .tags != \"x\" }", "-" },
        { "{ .tags != \"z\" }", "l" },
        { "{ .tags =~ \"y|z\" }", "l" },
        { "{ event.n = 1 }", "S" },
        { "{ event.m = nil }", "S" },
        { "{ event:name = \"retry\" && event:timeSinceStart = 5ms }", "S" },
        { "{ rootServiceName = \"front\" && status = error }", "S" },
        { "{ traceDuration = 100ms && name = \"log\" }", "l" },
        { "{ nestedSetParent < 0 }", "G" },
        { "{ name = \"call\" } && { status = error }", "cS" },
        { "{ name = \"call\" } && { name = \"nope\" }", "-" },
        { "{ name = \"call\" } || { name = \"nope\" }", "c" },
        { "{ name = \"GET /\" } > { }", "cl" },
        { "{ name = \"GET /\" } >> { }", "cSl" },
        { "{ status = error } << { }", "Gc" },
        { "{ status = error } < { }", "c" },
        { "{ name = \"call\" } ~ { }", "l" },
        { "{ name = \"call\" } &> { }", "cS" },
        { "{ name = \"GET /\" } !> { }", "GSl" },
        { "{ name = \"lost\" } >> { }", "-" },
        { "{ kind = client } | count() > 1", "cS" },
        { "{ kind = client } | count() > 2", "-" },
        { "{ } | avg(duration) > 49ms", "GcSll" },
        { "{ } | max(duration) = 100ms | { kind = server }", "G" },
        { "{ } | by(resource.service.name) | count() > 1", "Gcl" },
        { "{ } | by(kind) | coalesce() | count() = 5", "GcSll" },
        { "{ kind = client } | select(span.rows, status)", "cS" },
        { "{ !(.rows = 3) && kind = client }", "c" },
        { "{ 1 + 2 * 3 = 7 && name = \"log\" }", "l" },
        { "{ 1 / 10 = 0 && name = \"log\" }", "l" },
        { "{ -.rows = -3 }", "S" },
        { "{ span.\"rows\" = 3 } with (most_recent=true)", "S" },
        { "({ name = \"call\" } | count() = 1) || { name = \"log\" }", "cl" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect_str_eq(run(cases[i][0]), cases[i][1], "%s: %s", cases[i][0], run(cases[i][0]));
}

/* What several cores and nodes gave of one trace: a span that was stored twice is there once, and two that share no more than an id
 * stay. The order is that of the spans, not that of who gave them. */
Test(traceql, a_span_stored_twice_is_one)
{
    struct tspan again = spans[1], server = spans[1];
    server.kind = 2;
    struct tspan *given[][7] = {
        { &spans[3], &spans[1], &server, &spans[0], &again, &spans[2], &spans[4] },
        { &again, &spans[4], &spans[2], &spans[0], &server, &spans[1], &spans[3] },
    };
    for (size_t g = 0; g < ARRAY_LEN(given); g++) {
        struct tspans all = { .n = 7, .s = given[g] };
        static const char order[] = "GccSll";
        tspans_settle(&all);
        cr_assert_eq(all.n, 6);
        for (uint32_t i = 0; i < all.n; i++)
            cr_expect_eq(all.s[i]->name.p[0], order[i]);
        cr_expect_eq(all.s[1], &server);
    }
}

Test(traceql, refuses_with_a_position)
{
    static const char *const bad[] = {
        "", "{", "}", "{ name = }", "{ .x = \"a }", "{ duration }", "{ status = 2 }", "{ \"a\" + 1 = 2 }", "{ .x =~ 3 }",
        "{ .x =~ \"(\" }", "{ resource.service.name = nil && name = nil }", "{ } | rate()", "{ } | count()", "{ } | sum(3) > 1",
        "coalesce()", "{ } | by()", "{ .a = 5xyz }", "{ kind > server }", "{ } } ", "{ parent.x = 1 }", "{ . = 1 }", "{ true } | 3 > 2",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_str_eq(run(bad[i]), "!", "%s was accepted", bad[i]);
        cr_expect(strlen(err_detail()) > 3);
    }
    char deep[4001];
    memset(deep, '(', 4000);
    deep[4000] = 0;
    cr_expect_str_eq(run(deep), "!");
    deep[0] = '{';
    cr_expect_str_eq(run(deep), "!");
    memset(deep + 1, '!', 3999);
    cr_expect_str_eq(run(deep), "!");
}
