/* What a decoder costs, one core, no I/O: ns an item and GB/s of wire bytes, beside a memcpy of the same bytes.
 *   bench_decode [rounds]      each line is the best of `rounds` (15) rounds
 * Shapes: 500 spans of about 635 bytes with 20 attributes, 1,000 log records of about 350, 1,000 number points of
 * about 250, 1,000 remote-write series of 10 labels and one sample. "views" walks and checks every field; "tables" and
 * "batch" also build what the store takes. */
#include "base/core/assert.h"
#include "server/ingest/otlp_points.h"
#include "server/ingest/otlp_rows.h"
#include "server/ingest/remote_write.h"
#include "tests/unit/pb_enc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SPANS = 500, LOGS = 1000, POINTS = 1000, SERIES = 1000, ATTRS = 20 };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* -- payloads ------------------------------------------------------------------------------------------ */

static void attrs(struct buf *b, unsigned field, unsigned n, unsigned row)
{
    static const char *const keys[] = { "http.request.method", "http.route", "url.path", "server.address", "net.peer.ip",
                                        "user.id", "http.response.status_code", "thread.id", "code.function", "db.system" };
    char key[64], value[64];
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s%s", keys[i % 10], i < 10 ? "" : ".x");
        snprintf(value, sizeof value, "v%u", (row * 7 + i) % 50);
        if (i % 5 == 4)
            pb_attr_i64(b, field, key, row % 600);
        else
            pb_attr_str(b, field, key, value);
    }
}

static struct str spans_payload(struct buf *out)
{
    struct buf rows;
    pb_new(&rows), pb_new(out);
    for (unsigned i = 0; i < SPANS; i++) {
        struct buf s, e;
        uint8_t id[16] = { 1, [8] = (uint8_t)i, [9] = (uint8_t)(i >> 8) };
        pb_new(&s), pb_new(&e);
        pb_bytes(&s, 1, str_n(id, 16));
        pb_bytes(&s, 2, str_n(id + 8, 8).p[0] ? str_n(id + 8, 8) : str_n(id, 8));
        pb_bytes(&s, 4, str_n(id, 8));
        pb_z(&s, 5, "GET /api/products/{id}");
        pb_varint(&s, 6, 2);
        pb_fixed64(&s, 7, 1700000000000000000u + i * 1000u);
        pb_fixed64(&s, 8, 1700000000000400000u + i * 1000u);
        attrs(&s, 9, ATTRS, i);
        pb_fixed64(&e, 1, 1700000000000100000u);
        pb_z(&e, 2, "cache.miss");
        pb_attr_str(&e, 3, "key", "k1");
        pb_sub(&s, 11, &e);
        pb_fixed32(&s, 16, 0x101);
        pb_sub(&rows, 2, &s);
    }
    pb_request(out, "checkout", &rows);
    return buf_view(out);
}

static struct str logs_payload(struct buf *out)
{
    struct buf rows;
    char text[128];
    pb_new(&rows), pb_new(out);
    for (unsigned i = 0; i < LOGS; i++) {
        struct buf l, body;
        pb_new(&l), pb_new(&body);
        pb_fixed64(&l, 1, 1700000000000000000u + i * 1000u);
        pb_fixed64(&l, 11, 1700000000000000000u + i * 1000u);
        pb_varint(&l, 2, 9);
        pb_z(&l, 3, "INFO");
        snprintf(text, sizeof text, "request %u served in %u ms from 10.0.%u.%u", i, i % 90, i % 7, i % 250);
        pb_z(&body, 1, text);
        pb_sub(&l, 5, &body);
        attrs(&l, 6, 8, i);
        pb_z(&l, 9, "0123456789abcdef");
        pb_z(&l, 10, "01234567");
        pb_sub(&rows, 2, &l);
    }
    pb_request(out, "checkout", &rows);
    return buf_view(out);
}

static struct str points_payload(struct buf *out)
{
    struct buf rows, m, sum;
    pb_new(&rows), pb_new(out), pb_new(&m), pb_new(&sum);
    for (unsigned i = 0; i < POINTS; i++) {
        struct buf p;
        char key[32];
        pb_new(&p);
        attrs(&p, 7, 7, 1);
        snprintf(key, sizeof key, "n%u", i);
        pb_attr_str(&p, 7, "item", key);
        pb_fixed64(&p, 2, 1700000000000000000u);
        pb_fixed64(&p, 3, 1700000010000000000u);
        pb_fixed64(&p, 6, i);
        pb_sub(&sum, 1, &p);
    }
    pb_varint(&sum, 2, 2);
    pb_varint(&sum, 3, 1);
    pb_z(&m, 1, "http.server.requests");
    pb_z(&m, 3, "{request}");
    pb_sub(&m, 7, &sum);
    pb_sub(&rows, 2, &m);
    pb_request(out, "checkout", &rows);
    return buf_view(out);
}

static struct str series_payload(struct buf *out)
{
    pb_new(out);
    for (unsigned i = 0; i < SERIES; i++) {
        struct buf ts, l, s;
        char value[64];
        pb_new(&ts);
        for (unsigned k = 0; k < 10; k++) {
            static const char *const names[] = { "__name__", "cluster", "env", "host", "instance", "job", "mode", "region",
                                                 "team", "zone" };
            pb_new(&l);
            snprintf(value, sizeof value, "value-%u-%u", k, k == 3 ? i : i % (k + 3));
            pb_z(&l, 1, names[k]);
            pb_z(&l, 2, value);
            pb_sub(&ts, 1, &l);
        }
        pb_new(&s);
        pb_double(&s, 1, i * 0.5);
        pb_varint(&s, 2, 1700000000000u);
        pb_sub(&ts, 2, &s);
        pb_sub(out, 1, &ts);
    }
    return buf_view(out);
}

/* -- what is measured ------------------------------------------------------------------------------------- */

static uint64_t seen; /* so that nothing is optimised away */

static err_t view_span(void *ctx, const struct otlp_span *s)
{
    (void)ctx;
    seen += s->attrs.n + s->nevents;
    return OK;
}
static err_t view_log(void *ctx, const struct otlp_log *l)
{
    (void)ctx;
    seen += l->attrs.n;
    return OK;
}
static err_t view_metric(void *ctx, const struct otlp_metric *m)
{
    (void)ctx;
    seen += m->name.n;
    return OK;
}
static err_t view_point(void *ctx, const struct otlp_point *p)
{
    (void)ctx;
    seen += p->attrs.n;
    return OK;
}

static void run_memcpy(struct str in, struct arena *a)
{
    char *to = arena_alloc(a, in.n);
    memcpy(to, in.p, in.n);
    seen += (uint8_t)to[in.n / 2];
}

static const struct otlp_sink views = { NULL, NULL, NULL, view_span, view_log, view_metric, view_point };

static void span_views(struct str in, struct arena *a)
{
    ASSERT(otlp_traces_walk(in, a, &views) == OK);
}
static void log_views(struct str in, struct arena *a)
{
    ASSERT(otlp_logs_walk(in, a, &views) == OK);
}
static void point_views(struct str in, struct arena *a)
{
    ASSERT(otlp_metrics_walk(in, a, &views) == OK);
}

static void rows(struct str in, struct arena *a, enum signal signal)
{
    struct otlp_rows r;
    otlp_rows_init(&r, signal, a, NULL, in, (unix_ns){ 1 });
    struct otlp_sink sink = otlp_rows_sink(&r);
    ASSERT((signal == SIG_SPANS ? otlp_traces_walk(in, a, &sink) : otlp_logs_walk(in, a, &sink)) == OK);
    ASSERT(otlp_rows_finish(&r) == OK);
    seen += r.accepted;
    otlp_rows_deinit(&r);
}
static void span_tables(struct str in, struct arena *a)
{
    rows(in, a, SIG_SPANS);
}
static void log_tables(struct str in, struct arena *a)
{
    rows(in, a, SIG_LOGS);
}
static struct rw_cache *cache;
static void point_batch(struct str in, struct arena *a)
{
    struct otlp_points p;
    struct rw_generation *g = rw_cache_pin(cache);
    otlp_points_init(&p, &OTLP_MAPPING_DEFAULT, a, NULL, g, in, (unix_ns){ 1 });
    struct otlp_sink sink = otlp_points_sink(&p);
    ASSERT(otlp_metrics_walk(in, a, &sink) == OK && otlp_points_finish(&p) == OK);
    seen += metric_builder_finish(&p.builder)->nsamples;
    otlp_points_deinit(&p);
    rw_cache_unpin(cache, g);
}

static void series_batch(struct str in, struct arena *a)
{
    struct metric_builder b;
    struct rw_stats st;
    struct rw_generation *g = rw_cache_pin(cache);
    metric_builder_init(&b, a, NULL);
    ASSERT(rw_decode_v1(in, g, &b, &st) == OK);
    seen += metric_builder_finish(&b)->nsamples;
    metric_builder_deinit(&b);
    rw_cache_unpin(cache, g);
}

static void measure(const char *name, void (*fn)(struct str, struct arena *), struct str in, unsigned items,
                    unsigned rounds)
{
    enum { REPEAT = 20 };
    double best = 1e300;
    for (unsigned r = 0; r < rounds; r++) {
        struct arena a;
        arena_init_sized(&a, NULL, 1 << 20);
        fn(in, &a); /* the arena's first pages */
        double start = now_ns();
        for (unsigned i = 0; i < REPEAT; i++) {
            arena_reset(&a);
            fn(in, &a);
        }
        double took = (now_ns() - start) / REPEAT;
        if (took < best) best = took;
        arena_deinit(&a);
    }
    printf("%-16s %9.1f ns/item %8.2f GB/s %10.0f items/s %6.0f B/item\n", name, best / items, (double)in.n / best,
           items / best * 1e9, (double)in.n / items);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 15;
    struct buf s, l, p, w;
    struct str spans = spans_payload(&s), logs = logs_payload(&l), points = points_payload(&p), series = series_payload(&w);
    cache = rw_cache_new(NULL, 64 << 20);
    measure("spans memcpy", run_memcpy, spans, SPANS, rounds);
    measure("spans views", span_views, spans, SPANS, rounds);
    measure("spans tables", span_tables, spans, SPANS, rounds);
    measure("logs memcpy", run_memcpy, logs, LOGS, rounds);
    measure("logs views", log_views, logs, LOGS, rounds);
    measure("logs tables", log_tables, logs, LOGS, rounds);
    measure("points memcpy", run_memcpy, points, POINTS, rounds);
    measure("points views", point_views, points, POINTS, rounds);
    measure("points batch", point_batch, points, POINTS, rounds);
    measure("rw1 memcpy", run_memcpy, series, SERIES, rounds);
    measure("rw1 batch", series_batch, series, SERIES, rounds);
    rw_cache_free(cache);
    buf_deinit(&s), buf_deinit(&l), buf_deinit(&p), buf_deinit(&w);
    return seen == 0;
}
