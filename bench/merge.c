/* What merging segments costs and gains, one core.
 *   bench_merge [rows [segments [file]]]    (160,000 and 16) spans of 14 columns, 8 a trace, over four hours, then as many logs, whose
 *                                           bodies are the lines of the file, over and over, instead of generated ones
 * The rows are sealed as so many segments and merged, eight at a time, until one is left. Prints bytes a row before and
 * after each step, CPU ns a row of sealing and of each merge, and of reading, before and after: a trace by its id (the whole
 * rows), and a search for one operation in the last quarter of an hour (CPU, groups read). */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "bench/bench.h"
#include "storage/compact.h"
#include "storage/mem_rows.h"
#include "storage/seg_merge.h"
#include "storage/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_ROWS = 100, TRACE_SPANS = 8, LOOK_UPS = 200, SEGMENTS_MAX = 256 };
static const int64_t START = INT64_C(1800000000000000000), SPAN = INT64_C(4) * 3600 * 1000000000;

static struct budget budget;
static char dir[64];
static uint32_t nrows = 160000, nsegs = 16;
static struct str lines;

static void put(struct table_builder *b, enum col_scope scope, const char *key, const char *stem, uint64_t n)
{
    char v[128];
    int len = snprintf(v, sizeof v, "%s%llu", stem, (unsigned long long)n);
    table_set_str(b, scope, str_of(key), COL_STR, str_n(v, (size_t)len));
}

static void trace_id(uint64_t trace, uint64_t out[2])
{
    out[0] = hash_u64(trace + 1);
    out[1] = hash_u64(trace + 77777777);
}

static void row(struct table_builder *b, struct prng *r, enum signal signal, uint64_t i)
{
    uint64_t trace = i / TRACE_SPANS, op = hash_u64(trace) % 3 * TRACE_SPANS + i % TRACE_SPANS, id[2], own = hash_u64(i * 3 + 1);
    trace_id(trace, id);
    table_resource(b);
    put(b, SC_ATTR, "service.name", "service-", op / 2);
    put(b, SC_ATTR, "k8s.pod.name", "pod-", op / 2 * 10 + prng_below(r, 3));
    table_row(b);
    table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    table_set_fix(b, SC_SELF, STR("span_id"), &own, 8);
    table_set_i64(b, SC_SELF, signal_time_column(signal), START + (int64_t)((double)i / nrows * (double)SPAN));
    put(b, SC_ATTR, "thread.name", "worker-", prng_below(r, 32));
    if (signal == SIG_LOGS && lines.n) {
        static struct str rest;
        struct str line;
        if (rest.n == 0) rest = lines;
        if (!str_cut(&rest, '\n', &line)) line = STR("");
        table_set_str(b, SC_SELF, STR("body"), COL_STR, line);
        return;
    }
    if (signal == SIG_LOGS) {
        char body[128];
        int n = snprintf(body, sizeof body, "request %08x from 10.%u.%u.%u handled in %u ms by worker %u", (unsigned)prng_next(r),
                         (unsigned)prng_below(r, 4), (unsigned)prng_below(r, 200), (unsigned)prng_below(r, 250),
                         (unsigned)prng_below(r, 500), (unsigned)prng_below(r, 16));
        table_set_str(b, SC_SELF, STR("body"), COL_STR, str_n(body, (size_t)n));
        return;
    }
    put(b, SC_SELF, "name", "GET /op/", op);
    table_set_i64(b, SC_SELF, STR("kind"), 2 + (int64_t)op % 2);
    table_set_i64(b, SC_SELF, STR("duration"), (int64_t)((op + 1) * 1000000 + prng_below(r, (op + 1) * 500000)));
    put(b, SC_ATTR, "http.route", "/op/{id}/", op);
    put(b, SC_ATTR, "url.path", "/op/", prng_below(r, 100000));
    table_set_i64(b, SC_ATTR, STR("http.response.status_code"), prng_below(r, 50) ? 200 : 500);
    put(b, SC_ATTR, "client.address", "10.0.7.", prng_below(r, 250));
}

static struct seg *seal_part(enum signal signal, uint64_t from, uint64_t to)
{
    struct prng r;
    prng_init(&r, from + 1);
    struct mem_rows *m = mem_rows_new(&budget);
    for (uint64_t at = from; at < to; at += REQUEST_ROWS) {
        struct table_builder *b = table_builder_new(&budget);
        for (uint64_t i = at; i < MIN(at + REQUEST_ROWS, to); i++)
            row(b, &r, signal, i);
        struct table *t = table_builder_finish(b, signal_time_column(signal));
        mem_rows_insert(m, STR("t"), signal, STR(""), t, NULL, 0);
        table_put(t);
    }
    struct seg_writer *w;
    struct seg_info info = { .cores = 1 };
    struct seg *s;
    need(seg_writer_open(dir, &budget, &w));
    need(mem_rows_seal(m, NULL, w));
    need(seg_writer_finish(w, &info));
    need(seg_open(dir, &info, &s));
    mem_rows_free(m);
    return s;
}

/* Rows that the scan gave, of which every column of the rows relation was read. */
static uint64_t read_rows(struct seg **segs, uint32_t n, const struct rows_req *rq, struct view_counts *counts)
{
    static struct seg_dead *none[SEGMENTS_MAX];
    struct view v = { .tenant = STR("t"), .budget = &budget, .nsegs = n, .segs = segs, .dead = none, .cores = 1, .partitions = 64 };
    struct rows_scan *s;
    uint64_t rows = 0;
    arena_init(&v.mem, &budget);
    need(rows_open(&v, rq, &s));
    for (;;) {
        struct rowset rs;
        bool more;
        need(rows_next(s, &rs, &more));
        if (!more) break;
        const struct column_key *keys;
        uint32_t nkeys;
        need(rowset_keys(&rs, REL_ROWS, &keys, &nkeys));
        for (uint32_t i = 0; i < nkeys; i++) {
            const struct column *c;
            bool packed;
            need(rowset_column_at(&rs, REL_ROWS, &keys[i], rs.sel, rs.sel ? rs.nsel : 0, &c, &packed));
        }
        rows += rs.nsel;
    }
    rows_close(s);
    *counts = v.counts;
    arena_deinit(&v.mem);
    return rows;
}

static void reads(const char *when, enum signal signal, struct seg **segs, uint32_t n)
{
    struct view_counts counts;
    double began = cpu_ns();
    uint64_t bytes = 0, found = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += seg_info(segs[i])->bytes;
    for (uint64_t k = 0; k < LOOK_UPS; k++) {
        uint64_t id[2];
        trace_id(hash_u64(k) % (nrows / TRACE_SPANS), id);
        const struct scan_hint hint = { .kind = HINT_FIX_EQ, .name = STR("trace_id"), .value = str_n(id, 16) };
        const struct rows_req rq = { .signal = signal, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX, .hints = &hint, .nhints = 1, .whole = true };
        found += read_rows(segs, n, &rq, &counts);
    }
    double by_id = (cpu_ns() - began) / LOOK_UPS;
    ASSERT(found >= LOOK_UPS * TRACE_SPANS);
    const struct scan_hint op = { .kind = HINT_STR_EQ, .name = STR("name"), .value = STR("GET /op/7") };
    const struct rows_req rq = { .signal = signal, .tmin_ns = START + SPAN - SPAN / 16, .tmax_ns = INT64_MAX, .hints = &op, .nhints = signal == SIG_SPANS };
    began = cpu_ns();
    for (unsigned k = 0; k < 20; k++)
        read_rows(segs, n, &rq, &counts);
    printf("  %-9s %3u segments %7.2f B/row; a trace by id %6.0f us; a search of the last 15 minutes %7.0f us, %llu groups read, %llu skipped\n",
           when, n, (double)bytes / nrows, by_id / 1000, (cpu_ns() - began) / 20 / 1000, (unsigned long long)counts.groups_read,
           (unsigned long long)counts.groups_skipped);
}

static struct seg *merge(struct seg **segs, uint32_t n)
{
    struct seg_merge_in in[COMPACT_FAN_MAX];
    struct seg_info info = { .cores = 1 };
    struct seg *out;
    for (uint32_t i = 0; i < n; i++)
        in[i] = (struct seg_merge_in){ .seg = segs[i] };
    struct seg_merge m = { .dir = dir, .in = in, .n = n, .budget = &budget };
    need(seg_merge(&m, &info));
    need(seg_open(dir, &info, &out));
    for (uint32_t i = 0; i < n; i++) {
        seg_doom(segs[i]);
        seg_put(segs[i]);
    }
    return out;
}

static void run(enum signal signal)
{
    struct seg *segs[SEGMENTS_MAX];
    double began = cpu_ns();
    uint32_t n = nsegs;
    for (uint32_t i = 0; i < n; i++)
        segs[i] = seal_part(signal, (uint64_t)nrows * i / n, (uint64_t)nrows * (i + 1) / n);
    printf("%s: made and sealed in %.0f ns/row\n", signal == SIG_LOGS ? "logs" : "spans", (cpu_ns() - began) / nrows);
    reads("sealed", signal, segs, n);
    while (n > 1) {
        began = cpu_ns();
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n; i += COMPACT_FAN_MAX)
            segs[kept++] = merge(segs + i, MIN(n - i, (uint32_t)COMPACT_FAN_MAX));
        n = kept;
        printf("  merged in %.0f ns/row\n", (cpu_ns() - began) / nrows);
        reads("merged", signal, segs, n);
    }
    seg_doom(segs[0]);
    seg_put(segs[0]);
}

static struct str read_file(const char *path)
{
    static char text[64 << 20];
    FILE *f = fopen(path, "rb");
    if (!f) exit(1);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    return str_n(text, n);
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
    uint64_t rows = nrows, segments = nsegs;
    if (argc > 1 && (!str_to_u64(str_of(argv[1]), &rows) || rows < 1000 || rows > 100000000)) return 2;
    if (argc > 2 && (!str_to_u64(str_of(argv[2]), &segments) || segments == 0 || segments > SEGMENTS_MAX)) return 2;
    if (argc > 3) lines = read_file(argv[3]);
    nrows = (uint32_t)rows;
    nsegs = (uint32_t)segments;
    snprintf(dir, sizeof dir, "/tmp/bench_merge.XXXXXX");
    if (!mkdtemp(dir)) return 1;
    budget_init(&budget, "bench", NULL, INT64_MAX, ERR_LIMIT);
    need(rt_run(&(struct rt_opts){ .cores = 1 }, all, NULL));
    return rmdir(dir) != 0;
}
