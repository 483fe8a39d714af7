/* What the index of words costs: log lines of files, or generated ones, sealed into a segment on one core.
 *   bench_words [FILE...]       each line a record; without files generated lines with random ids, and JSON documents
 * Prints raw bytes, bytes of the segment and those of the index in it, and CPU of sealing by the raw byte. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "bench/bench.h"
#include "storage/mem_rows.h"
#include "storage/seg_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_ROWS = 500, GENERATED = 1 << 20 };

static struct budget budget;
static char dir[64];

struct lines {
    struct mem_rows *rows;
    struct table_builder *b;
    uint64_t n, bytes;
    int64_t now;
};

static void flush(struct lines *l)
{
    if (!l->b) return;
    struct table *t = table_builder_finish(l->b, STR("time"));
    mem_rows_insert(l->rows, STR("t"), SIG_LOGS, STR(""), t, NULL, 0);
    table_put(t);
    l->b = NULL;
}

static void line(struct lines *l, struct str body, const void *trace_id)
{
    if (!l->b) {
        l->b = table_builder_new(&budget);
        table_resource(l->b);
        table_set_str(l->b, SC_ATTR, STR("service.name"), COL_STR, STR("service"));
    }
    table_row(l->b);
    l->now += 1000000;
    table_set_i64(l->b, SC_SELF, STR("time"), l->now);
    table_set_str(l->b, SC_SELF, STR("body"), COL_STR, body);
    if (trace_id) table_set_fix(l->b, SC_SELF, STR("trace_id"), trace_id, 16);
    l->n++;
    l->bytes += body.n + 1 + (trace_id ? 33 : 0);
    if (table_builder_rows(l->b) == REQUEST_ROWS) flush(l);
}

static void report(const char *name, struct lines *l)
{
    struct seg_writer *w;
    struct seg_info info = { .core = 0, .cores = 1 };
    struct seg *s;
    uint64_t words = 0, pages = 0;
    bool numbers = true;
    flush(l);
    double began = cpu_s();
    need(seg_writer_open(dir, &budget, &w));
    need(mem_rows_seal(l->rows, NULL, w));
    need(seg_writer_finish(w, &info));
    double took = cpu_s() - began;
    need(seg_open(dir, &info, &s));
    const struct seg_tokens *t = seg_tokens(s);
    for (uint32_t i = 0; i < t->n; i++) {
        const struct seg_ids *ids = &t->v[i].ids;
        words += ids->npages ? ids->end[ids->npages - 1] : 0;
        pages += ids->npages;
        numbers &= !ids->no_numbers;
    }
    printf("%-24s %8.2f MB raw, %7.2f MB stored (%4.1fx), index of words %6.3f MB: %4.1f %% of it, %5.2f B a line%s, %u low bits, %u sections, %lu pages; "
           "sealed %4.0f MB/s\n",
           name, (double)l->bytes / 1e6, (double)info.bytes / 1e6, (double)l->bytes / (double)info.bytes, (double)words / 1e6,
           100.0 * (double)words / (double)info.bytes, (double)words / (double)l->n, numbers ? "" : " (no numbers)",
           t->n ? t->v[0].ids.low_bits : 0, t->n, (unsigned long)pages, (double)l->bytes / 1e6 / took);
    seg_doom(s);
    seg_put(s);
    mem_rows_free(l->rows);
}

static struct lines begin(void) { return (struct lines){ .rows = mem_rows_new(&budget), .now = INT64_C(1800000000000000000) }; }

static void file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t cap = 0;
    struct lines l = begin();
    if (!f) {
        perror(path);
        exit(1);
    }
    for (ssize_t n; (n = getline(&text, &cap, f)) > 0;)
        line(&l, str_n(text, (size_t)n - (text[n - 1] == '\n')), NULL);
    free(text);
    (void)fclose(f);
    const char *name = strrchr(path, '/');
    report(name ? name + 1 : path, &l);
}

/* A random request id in each, and ids of traces of five. */
static void generated(bool ids)
{
    struct prng r;
    struct lines l = begin();
    prng_init(&r, 1);
    for (uint64_t i = 0; i < GENERATED; i++) {
        char body[256];
        uint64_t trace[2] = { hash_u64(i / 5 + 1), hash_u64(i / 5 + 77777777) };
        int n = snprintf(body, sizeof body, "request %016lx from 10.%u.%u.%u handled in %u ms by worker %u status 200 path /api/v1/items/%u",
                         (unsigned long)prng_next(&r), (unsigned)prng_below(&r, 4), (unsigned)prng_below(&r, 200),
                         (unsigned)prng_below(&r, 250), (unsigned)prng_below(&r, 500), (unsigned)prng_below(&r, 16),
                         (unsigned)prng_below(&r, 100000));
        line(&l, str_n(body, (size_t)n), ids ? trace : NULL);
    }
    report(ids ? "generated, trace ids" : "generated", &l);
}

static err_t all(void *arg)
{
    char **files = arg;
    for (; *files; files++)
        file(*files);
    generated(false);
    generated(true);
    return OK;
}

int main(int argc, char **argv)
{
    (void)argc;
    snprintf(dir, sizeof dir, "/tmp/bench_words.XXXXXX");
    if (!mkdtemp(dir)) return 1;
    budget_init(&budget, "bench", NULL, INT64_MAX, ERR_LIMIT);
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    need(rt_run(&o, all, argv + 1));
    return rmdir(dir) != 0;
}
