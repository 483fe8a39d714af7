/* All decoders of OTLP. The first byte picks signal and encoding; what is left is the request. Whatever comes, the
 * answer is OK or ERR_INVALID (or a limit), and the tables or the batch that come out can be written and read back. */
#include "base/core/assert.h"
#include "server/ingest/otlp_points.h"
#include "server/ingest/otlp_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rows(enum signal signal, bool json, struct str in, struct arena *a)
{
    struct otlp_rows r;
    otlp_rows_init(&r, signal, a, NULL, json ? STR("") : in, (unix_ns){ 1 });
    struct otlp_sink sink = otlp_rows_sink(&r);
    err_t e = signal == SIG_SPANS ? (json ? otlp_traces_walk_json(in, a, &sink) : otlp_traces_walk(in, a, &sink))
                                  : (json ? otlp_logs_walk_json(in, a, &sink) : otlp_logs_walk(in, a, &sink));
    if (e == OK && otlp_rows_finish(&r) == OK) {
        for (uint32_t i = 0; i < r.ntables; i++) {
            struct buf out;
            struct table *back = NULL;
            buf_init(&out, 256 << 20, NULL);
            table_encode(r.tables[i], &out);
            ASSERT(table_decode(buf_view(&out), NULL, &back) == OK);
            ASSERT(back->nrows == r.tables[i]->nrows);
            table_put(back);
            buf_deinit(&out);
        }
    }
    otlp_rows_deinit(&r);
}

/* The batch's bytes; false: refused. */
static bool metrics(bool json, struct str in, struct rw_generation *known, struct arena *a, struct buf *out)
{
    struct otlp_points p;
    otlp_points_init(&p, &OTLP_MAPPING_DEFAULT, a, NULL, known, json ? STR("") : in, (unix_ns){ 1 });
    struct otlp_sink sink = otlp_points_sink(&p);
    err_t e = json ? otlp_metrics_walk_json(in, a, &sink) : otlp_metrics_walk(in, a, &sink);
    if (e == OK) e = otlp_points_finish(&p);
    if (e == OK) {
        struct metric_batch back, *m = metric_builder_finish(&p.builder);
        buf_clear(out);
        metric_batch_encode(m, NULL, out);
        ASSERT(metric_batch_decode(buf_view(out), a, &back) == OK);
        ASSERT(back.nsamples == m->nsamples && back.nhists == m->nhists && back.nseries == m->nseries);
        if (back.exemplars) table_put(back.exemplars);
    }
    otlp_points_deinit(&p);
    return e == OK;
}

/* Without the cache, filling it, and out of it: the same batch. */
static void metrics_three_times(bool json, struct str in, struct arena *a)
{
    struct rw_cache *cache = rw_cache_new(NULL, 64 << 20);
    struct rw_generation *g = rw_cache_pin(cache);
    struct buf plain, out;
    buf_init(&plain, 256 << 20, NULL);
    buf_init(&out, 256 << 20, NULL);
    bool taken = metrics(json, in, NULL, a, &plain);
    for (unsigned i = 0; i < 2; i++) {
        ASSERT(metrics(json, in, g, a, &out) == taken);
        ASSERT(str_eq(buf_view(&plain), buf_view(&out)));
    }
    buf_deinit(&plain);
    buf_deinit(&out);
    rw_cache_unpin(cache, g);
    rw_cache_free(cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size == 0) return 0;
    struct str in = str_n(data + 1, size - 1);
    arena_init(&a, NULL);
    switch (data[0] % 6) {
    case 0: rows(SIG_SPANS, false, in, &a); break;
    case 1: rows(SIG_LOGS, false, in, &a); break;
    case 2: metrics_three_times(false, in, &a); break;
    case 3: rows(SIG_SPANS, true, in, &a); break;
    case 4: rows(SIG_LOGS, true, in, &a); break;
    default: metrics_three_times(true, in, &a); break;
    }
    arena_deinit(&a);
    return 0;
}
