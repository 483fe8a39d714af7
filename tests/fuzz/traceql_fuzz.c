/* TraceQL text -> parser -> evaluation over a small trace, as a search and as a metrics query. Whatever parses must
 * evaluate; nothing may crash, hang or leak. */
#include "base/core/assert.h"
#include "query/traceql/metrics.h"

static void make_trace(struct tql_trace *t, struct arena *a)
{
    static struct tresource resource;
    static struct tscope scope;
    struct tspan **list = ARENA_ARRAY(a, struct tspan *, 6);
    for (uint32_t i = 0; i < 6; i++) {
        struct tspan *s = list[i] = ARENA_NEW(a, struct tspan);
        s->span_id[7] = (uint8_t)(i + 1);
        s->has_parent = i > 0;
        s->parent_id[7] = (uint8_t)(i == 5 ? 77 : (i + 1) / 2);
        s->name = i & 1 ? STR("GET /") : STR("db");
        s->kind = i;
        s->status = i % 3;
        s->start_ns = i * 1000;
        s->duration_ns = 5000 - i * 700;
        s->resource = &resource;
        s->scope = &scope;
        s->attrs.n = 2;
        s->attrs.a = ARENA_ARRAY(a, struct tattr, 2);
        s->attrs.a[0] = (struct tattr){ STR("x"), { .type = TV_INT, .i = i } };
        s->attrs.a[1] = (struct tattr){ STR("l"), { .type = TV_JSON, .s = STR("[1,\"a\",null,{\"k\":[2.5]}]") } };
    }
    tql_trace_build(t, list, 6, a);
}

static void metrics(struct str text, struct arena *a)
{
    struct tql_metrics *m;
    struct tql_trace t;
    if (tql_parse_metrics(text, a, &m) != OK) return;
    make_trace(&t, a);
    for (uint32_t i = 0; i < m->nunits; i++) {
        uint32_t *spans, n = 0;
        err_t e = tql_select(m->units[i]->spans, &t, a, &spans, &n);
        ASSERT(e == OK || e == ERR_LIMIT);
        for (uint32_t k = 0; e == OK && k < n; k++)
            ASSERT(spans[k] < t.n && (k == 0 || spans[k] > spans[k - 1]));
    }
    tql_metrics_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget budget;
    struct arena a;
    struct tql_query *q;
    budget_init(&budget, "fuzz", NULL, 64 << 20, ERR_LIMIT);
    arena_init(&a, &budget);
    if (size <= 4096 && tql_parse(str_n(data, size), &a, &q) == OK) {
        struct tql_trace t;
        struct tql_result r;
        make_trace(&t, &a);
        err_t e = tql_eval(q, &t, 3, &a, &r);
        ASSERT(e == OK || e == ERR_LIMIT);
        if (e == OK)
            for (uint32_t i = 0; i < r.nsets; i++)
                ASSERT(r.sets[i].nspans <= r.sets[i].matched && r.sets[i].matched <= 6);
        tql_free(q);
    }
    if (size <= 4096) metrics(str_n(data, size), &a);
    arena_deinit(&a);
    ASSERT(budget.used == 0);
    return 0;
}
