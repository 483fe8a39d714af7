/* Queries of strangers: the query language and JSON queries, parsed, compiled against both OpenTelemetry mappings
 * and printed. The first byte chooses: 'q' the language, 'd' a JSON query, 'a' aggregations, 'c' an index configuration. */
#include "query/logs/aggs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct index_config configs[2];
static struct arena forever;

static void compile(const struct lq *q, struct arena *a)
{
    for (int i = 0; i < 2; i++) {
        struct log_index ix = { .signal = i ? SIG_SPANS : SIG_LOGS, .id = configs[i].index_id, .mapping = &configs[i].mapping };
        struct expr_builder b;
        struct expr *e;
        struct scan_hint hints[16];
        expr_builder_init(&b, a);
        if (log_compile(&ix, q, &b, &e) == OK && expr_finish(&b, e) == OK) (void)expr_hints(e, hints, ARRAY_LEN(hints));
        expr_builder_deinit(&b);
    }
}

static void run(uint8_t kind, struct str text, struct arena *a)
{
    struct lq *q = NULL;
    struct lq_opts o = { .or_default = text.n & 1 };
    const struct json_val *v;
    struct agg_req *reqs;
    struct agg_spec *specs;
    struct index_config c;
    uint32_t n;
    if (kind == 'c') {
        if (index_config_parse(text, a, &c) != OK) return;
        return;
    }
    if (kind == 'q') {
        if (lq_parse(text, &o, a, &q) != OK) return;
    } else if (json_parse(text, a, &v) != OK) {
        return;
    } else if (kind == 'd') {
        if (lq_from_dsl(v, a, &q) != OK) return;
    } else {
        struct log_index ix = { .signal = SIG_LOGS, .id = configs[0].index_id, .mapping = &configs[0].mapping };
        struct expr_builder b;
        if (aggs_parse(v, a, &reqs, &n) != OK) return;
        expr_builder_init(&b, a);
        if (aggs_specs(reqs, n, &ix, &b, &specs) == OK) {
            struct op_agg agg;
            if (op_agg_init(&agg, specs, n, a, 100) == OK) op_agg_deinit(&agg);
        }
        expr_builder_deinit(&b);
        return;
    }
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    lq_print(q, &out);
    buf_deinit(&out);
    compile(q, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (!configs[0].json) {
        arena_init(&forever, NULL);
        if (index_config_parse(mapping_otel_logs(), &forever, &configs[0]) != OK) return 1;
        if (index_config_parse(mapping_otel_traces(), &forever, &configs[1]) != OK) return 1;
    }
    if (size == 0 || size > 16384) return 0;
    arena_init(&a, NULL);
    run(data[0], str_n(data + 1, size - 1), &a);
    arena_deinit(&a);
    return 0;
}
