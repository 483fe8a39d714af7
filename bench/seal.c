/* What sealing rows costs and how small they get, one core.
 *   bench_seal [rows]       (200,000) spans of 22 columns, 8 a trace, then logs of a 75-byte body
 * Prints CPU ns a row of building tables (requests of 500), gathering them in the memtable and sealing it, and bytes
 * a row; spans also in the order of their trace ids in place of ours (service, name, start), and the bytes of each
 * column of the first group in both orders. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "bench/bench.h"
#include "storage/seg_rows.h"
#include "storage/mem_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_ROWS = 500, TRACE_SPANS = 8, OPS = 24 };

static struct budget budget;
static char dir[64];
static uint32_t nrows;

static void put(struct table_builder *b, const char *key, const char *stem, uint64_t n)
{
    char v[96];
    int len = snprintf(v, sizeof v, "%s%llu", stem, (unsigned long long)n);
    table_set_str(b, SC_ATTR, str_of(key), COL_STR, str_n(v, (size_t)len));
}

static void resource(struct table_builder *b, uint64_t service, uint64_t pod)
{
    table_resource(b);
    put(b, "service.name", "service-", service);
    put(b, "k8s.pod.name", "pod-", service * 10 + pod);
    put(b, "host.name", "host-", (service + pod) % 5);
}

/* Span i belongs to trace i / 8; what it does (op) follows from its place in the trace. */
static void span(struct table_builder *b, struct prng *r, uint64_t i, int64_t now)
{
    uint64_t trace = i / TRACE_SPANS, kind = hash_u64(trace) % 3, op = kind * TRACE_SPANS + i % TRACE_SPANS;
    uint64_t id[2] = { hash_u64(trace + 1), hash_u64(trace + 77777777) }, own = hash_u64(i * 3 + 1), parent = hash_u64(i * 3 - 2);
    resource(b, op / 2, prng_below(r, 3));
    table_row(b);
    table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    table_set_fix(b, SC_SELF, STR("span_id"), &own, 8);
    if (i % TRACE_SPANS) table_set_fix(b, SC_SELF, STR("parent_span_id"), &parent, 8);
    char name[32];
    table_set_str(b, SC_SELF, STR("name"), COL_STR, str_n(name, (size_t)snprintf(name, sizeof name, "GET /op/%llu", (unsigned long long)op)));
    table_set_i64(b, SC_SELF, STR("kind"), 2 + (int64_t)op % 2);
    table_set_i64(b, SC_SELF, STR("start"), now + (int64_t)(i % TRACE_SPANS) * 300000);
    table_set_i64(b, SC_SELF, STR("duration"), (int64_t)((op + 1) * 1000000 + prng_below(r, (op + 1) * 500000)));
    put(b, "http.request.method", "GET", 0);
    put(b, "http.route", "/op/{id}/", op);
    put(b, "url.path", "/op/", prng_below(r, 100000));
    table_set_i64(b, SC_ATTR, STR("http.response.status_code"), prng_below(r, 50) ? 200 : 500);
    put(b, "server.address", "server-", op % 12);
    table_set_i64(b, SC_ATTR, STR("server.port"), 8080);
    put(b, "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) ", prng_below(r, 40));
    put(b, "client.address", "10.0.7.", prng_below(r, 250));
    put(b, "network.protocol.version", "1.", 1);
    if (op % 2) {
        put(b, "db.system", "postgresql", 0);
        put(b, "db.query.text", "SELECT a, b FROM t WHERE id = $1 AND op = ", op);
    }
    table_set_i64(b, SC_ATTR, STR("thread.id"), (int64_t)prng_below(r, 32));
    put(b, "thread.name", "worker-", prng_below(r, 32));
}

static void log_record(struct table_builder *b, struct prng *r, uint64_t i, int64_t now)
{
    uint64_t id[2] = { hash_u64(i / 5 + 1), hash_u64(i / 5 + 77777777) }, own = hash_u64(i * 3 + 1);
    char body[128];
    int n = snprintf(body, sizeof body, "request %08x from 10.%u.%u.%u handled in %u ms by worker %u status 200",
                     (unsigned)prng_next(r), (unsigned)prng_below(r, 4), (unsigned)prng_below(r, 200),
                     (unsigned)prng_below(r, 250), (unsigned)prng_below(r, 500), (unsigned)prng_below(r, 16));
    resource(b, hash_u64(i) % 12, prng_below(r, 3));
    table_row(b);
    table_set_i64(b, SC_SELF, STR("time"), now);
    table_set_i64(b, SC_SELF, STR("severity_number"), prng_below(r, 10) ? 9 : 13);
    table_set_str(b, SC_SELF, STR("severity_text"), COL_STR, STR("INFO"));
    table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    table_set_fix(b, SC_SELF, STR("span_id"), &own, 8);
    table_set_str(b, SC_SELF, STR("body"), COL_STR, str_n(body, (size_t)n));
    put(b, "thread.name", "worker-", prng_below(r, 32));
}

static uint32_t make_tables(enum signal signal, struct table **out)
{
    struct prng r;
    prng_init(&r, 1);
    int64_t now = INT64_C(1800000000000000000);
    uint32_t n = 0;
    for (uint32_t at = 0; at < nrows; at += REQUEST_ROWS) {
        struct table_builder *b = table_builder_new(&budget);
        for (uint32_t i = at; i < MIN(at + REQUEST_ROWS, nrows); i++) {
            now += (int64_t)prng_below(&r, 20000);
            (signal == SIG_LOGS ? log_record : span)(b, &r, i, now);
        }
        out[n++] = table_builder_finish(b, signal_time_column(signal));
    }
    return n;
}

/* Bytes a row of the segment and of each column of its first group's rows. */
static void report(const char *what, struct seg_writer *w)
{
    struct seg_info info = { .cores = 1 };
    struct seg *s;
    struct arena a;
    struct seg_rows rows;
    need(seg_writer_finish(w, &info));
    need(seg_open(dir, &info, &s));
    arena_init(&a, NULL);
    const struct seg_group *g = seg_group(s, 0);
    need(seg_rows_parse(g->meta, g->nrows, &a, &rows));
    printf("%-24s %8.1f B/row\n", what, (double)info.bytes / nrows);
    for (uint32_t i = 0; i < rows.rel[REL_ROWS].ncols; i++) {
        const struct seg_col *c = &rows.rel[REL_ROWS].cols[i];
        struct column col;
        double began = cpu_ns();
        const struct seg_reader from = { .seg = s };
        need(seg_rows_column(&from, &rows.rel[REL_ROWS], c, &a, &col));
        printf("    %-28.*s %6.2f B/row, filter %5.2f; decode %5.1f ns/row\n", STR_ARG(c->name),
               (double)c->chunk.size / g->nrows, (double)c->bloom.size / g->nrows, (cpu_ns() - began) / g->nrows);
    }
    arena_deinit(&a);
    seg_doom(s);
    seg_put(s);
}

struct by_id {
    uint8_t id[16];
    struct table_pick pick;
};

static int id_cmp(const void *a, const void *b) { return memcmp(a, b, 16); }

static void seal_by_trace(struct table *const *tables, uint32_t n)
{
    struct by_id *rows = malloc(nrows * sizeof *rows);
    struct table_pick *order = malloc(nrows * sizeof *order);
    ASSERT(rows && order);
    uint32_t k = 0;
    for (uint32_t t = 0; t < n; t++) {
        const struct column *id = table_column(tables[t], SC_SELF, STR("trace_id"), COL_FIX);
        for (uint32_t r = 0; r < tables[t]->nrows; r++, k++) {
            memcpy(rows[k].id, id->fix + (size_t)r * 16, 16);
            rows[k].pick = (struct table_pick){ t, r };
        }
    }
    qsort(rows, k, sizeof *rows, id_cmp);
    for (uint32_t i = 0; i < k; i++)
        order[i] = rows[i].pick;
    struct seg_writer *w;
    need(seg_writer_open(dir, &budget, &w));
    for (uint32_t at = 0; at < k; at += TABLE_ROWS_MAX) {
        struct table *t = table_merge(tables, n, order + at, MIN(k - at, TABLE_ROWS_MAX), STR("start"), &budget);
        need(seg_rows_write(w, STR("t"), SIG_SPANS, STR(""), t));
        table_put(t);
    }
    report("by trace id", w);
    free(rows);
    free(order);
}

static void run(enum signal signal)
{
    struct table **tables = malloc((nrows / REQUEST_ROWS + 1) * sizeof(struct table *));
    ASSERT(tables);
    double t0 = cpu_ns();
    uint32_t n = make_tables(signal, tables);
    double t1 = cpu_ns();
    struct mem_rows *m = mem_rows_new(&budget);
    for (uint32_t i = 0; i < n; i++)
        mem_rows_insert(m, STR("t"), signal, STR(""), tables[i], NULL, 0);
    double t2 = cpu_ns();
    struct seg_writer *w;
    need(seg_writer_open(dir, &budget, &w));
    need(mem_rows_seal(m, NULL, w));
    double t3 = cpu_ns();
    printf("%s: make %.0f, insert %.0f, seal %.0f ns/row\n", signal == SIG_LOGS ? "logs" : "spans", (t1 - t0) / nrows,
           (t2 - t1) / nrows, (t3 - t2) / nrows);
    report(signal == SIG_LOGS ? "by stream" : "by service, name, start", w);
    mem_rows_free(m);
    if (signal == SIG_SPANS) seal_by_trace(tables, n);
    for (uint32_t i = 0; i < n; i++)
        table_put(tables[i]);
    free(tables);
}

static err_t all(void *arg)
{
    (void)arg;
    run(SIG_SPANS);
    run(SIG_LOGS);
    return OK;
}

int main(int argc, char **argv)
{
    uint64_t n = 200000;
    if (argc > 1 && (!str_to_u64(str_of(argv[1]), &n) || n == 0 || n > 10000000)) return 2;
    nrows = (uint32_t)n;
    snprintf(dir, sizeof dir, "/tmp/bench_seal.XXXXXX");
    if (!mkdtemp(dir)) return 1;
    budget_init(&budget, "bench", NULL, INT64_MAX, ERR_LIMIT);
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    need(rt_run(&o, all, NULL));
    return rmdir(dir) != 0;
}
