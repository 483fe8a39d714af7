/* What cutting a request by stream costs, one core:  bench_split
 * ns a span of the cut, and of the bytes of all parts, for requests of some spans cut into some streams; and how many bytes those
 * are, as a multiple of those of the request as it came. The node's allocator is mimalloc: LD_PRELOAD=libmimalloc.so. */
#include "bench/bench.h"

#include "base/core/prng.h"
#include "storage/batch_split.h"
#include "storage/mem_rows.h"

enum { PARTITIONS = 1024, SPANS_A_TRACE = 8, ROUNDS_SPANS = 400000 };

static void put(struct table_builder *b, enum col_scope scope, const char *key, const char *stem, uint64_t n)
{
    char v[64];
    int len = snprintf(v, sizeof v, "%s%llu", stem, (unsigned long long)n);
    table_set_str(b, scope, str_of(key), COL_STR, str_n(v, (size_t)len));
}

static struct table *spans(uint32_t n)
{
    struct table_builder *b = table_builder_new(NULL);
    struct prng r;
    prng_init(&r, n);
    uint64_t trace[2] = { 0 };
    table_resource(b);
    put(b, SC_ATTR, "service.name", "checkout-", 1);
    put(b, SC_ATTR, "k8s.pod.name", "checkout-", prng_next(&r));
    table_scope(b);
    put(b, SC_SELF, "name", "otel-http/", 1);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t id = prng_next(&r);
        if (i % SPANS_A_TRACE == 0) trace[0] = prng_next(&r), trace[1] = prng_next(&r);
        table_row(b);
        table_set_fix(b, SC_SELF, STR("trace_id"), trace, 16);
        table_set_fix(b, SC_SELF, STR("span_id"), &id, 8);
        table_set_i64(b, SC_SELF, STR("start"), (int64_t)(UINT64_C(1700000000000000000) + i * 1000));
        table_set_i64(b, SC_SELF, STR("duration"), (int64_t)prng_below(&r, 1000000));
        table_set_i64(b, SC_SELF, STR("kind"), (int64_t)prng_below(&r, 5));
        put(b, SC_SELF, "name", "GET /api/v1/", prng_below(&r, 40));
        put(b, SC_ATTR, "http.method", "M", prng_below(&r, 4));
        table_set_i64(b, SC_ATTR, STR("http.status_code"), 200 + (int64_t)prng_below(&r, 5));
        put(b, SC_ATTR, "http.url", "https://shop.example.com/item/", prng_below(&r, 100000));
        put(b, SC_ATTR, "user.id", "u", prng_below(&r, 5000));
        put(b, SC_ATTR, "db.statement", "SELECT * FROM items WHERE id = ", prng_below(&r, 2000));
        put(b, SC_ATTR, "net.peer.ip", "10.0.0.", prng_below(&r, 250));
    }
    return table_builder_finish(b, signal_time_column(SIG_SPANS));
}

static size_t encode_all(const struct batch_parts *parts, struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < parts->n; i++) {
        struct request_head h = { .nbatches = parts->parts[i].n };
        request_encode(&h, parts->parts[i].batches, NULL, out);
    }
    return out->n;
}

static void cutting(uint32_t rows, uint32_t streams)
{
    struct table *t = spans(rows);
    struct batch b = { .tenant = STR("bench"), .signal = SIG_SPANS, .content = { 1, 2 }, .ntables = 1, .tables = &t, .nrows = rows };
    uint32_t map[PARTITIONS], rounds = ROUNDS_SPANS / rows, nparts = 0;
    struct buf bytes;
    size_t whole, cut_bytes = 0;
    double split = 0, encode = 0;
    buf_init(&bytes, 1 << 30, NULL);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        map[i] = i % streams;
    struct batch_part one = { 0, 1, &(struct batch *){ &b } };
    whole = encode_all(&(struct batch_parts){ .n = 1, .parts = &one }, &bytes);
    for (uint32_t k = 0; k < rounds; k++) {
        struct arena a;
        struct batch_parts parts;
        struct batch_cut cut = { PARTITIONS, map, streams, NULL };
        arena_init(&a, NULL);
        double t0 = cpu_ns();
        need(batch_split(&(struct batch *){ &b }, 1, &cut, &a, NULL, &parts));
        double t1 = cpu_ns();
        cut_bytes = encode_all(&parts, &bytes);
        double t2 = cpu_ns();
        batch_parts_release(&parts);
        arena_deinit(&a);
        split += t1 - t0 + (cpu_ns() - t2);
        encode += t2 - t1;
        nparts = parts.n;
    }
    double n = (double)rows * rounds;
    printf("split spans=%u streams=%u parts=%u cut_ns_span=%.0f encode_ns_span=%.0f bytes=%.2fx\n", rows, streams, nparts, split / n, encode / n,
           (double)cut_bytes / (double)whole);
    buf_deinit(&bytes);
    table_put(t);
}

int main(void)
{
    static const uint32_t rows[] = { 100, 1000, 10000 }, streams[] = { 1, 4, 10, 45, 120 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(streams); k++)
            cutting(rows[i], streams[k]);
    return 0;
}
