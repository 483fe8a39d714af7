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

static void metrics(bool json, struct str in, struct arena *a)
{
    struct otlp_points p;
    otlp_points_init(&p, a, NULL, json ? STR("") : in, (unix_ns){ 1 });
    struct otlp_sink sink = otlp_points_sink(&p);
    err_t e = json ? otlp_metrics_walk_json(in, a, &sink) : otlp_metrics_walk(in, a, &sink);
    if (e == OK && otlp_points_finish(&p) == OK) {
        struct metric_batch back, *m = metric_builder_finish(&p.builder);
        struct buf out;
        buf_init(&out, 256 << 20, NULL);
        metric_batch_encode(m, NULL, &out);
        ASSERT(metric_batch_decode(buf_view(&out), a, &back) == OK);
        ASSERT(back.nsamples == m->nsamples && back.nhists == m->nhists && back.nseries == m->nseries);
        if (back.exemplars) table_put(back.exemplars);
        buf_deinit(&out);
    }
    otlp_points_deinit(&p);
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
    case 2: metrics(false, in, &a); break;
    case 3: rows(SIG_SPANS, true, in, &a); break;
    case 4: rows(SIG_LOGS, true, in, &a); break;
    default: metrics(true, in, &a); break;
    }
    arena_deinit(&a);
    return 0;
}
