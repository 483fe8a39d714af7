/* Micro benchmark of the metrics memtable, one core: series made, samples inserted (one a series and batch, as a
 * scrape or remote write sends them), selections, samples read back; bytes held.
 *
 *   bench_mem_metric [series] [scrapes]        default 50000 series, 240 scrapes of 15 s
 *
 * The mix is that of the reference measurements: 20 % integer counters, 15 % bucket counters, 10 % gauges of two
 * decimals, 15 % bytes in pages, 10 % counters of ms, 20 % constants, 5 % gauges of one decimal, 5 % full doubles. */
#include "base/core/prng.h"
#include "storage/col_sample.h"
#include "storage/mem_metric_impl.h"
#include "storage/regex.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 2000, HOSTS = 500 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long rss_bytes(void)
{
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return resident * 4096;
}

static double next_value(struct prng *r, unsigned class, double v)
{
    if (class < 20) return v + (double)prng_below(r, 100);
    if (class < 35) return v + (double)prng_below(r, 3);
    if (class < 45) return round(prng_unit(r) * 10000) / 100;
    if (class < 60) return (double)(prng_below(r, 1 << 18) * 4096);
    if (class < 70) return round((v + prng_unit(r)) * 1000) / 1000;
    if (class < 90) return class;
    if (class < 95) return round(v * 10 + (double)prng_below(r, 3) - 1) / 10;
    return prng_unit(r);
}

static void make_series(struct metric_batch *b, uint32_t n, struct arena *a)
{
    b->nseries = n;
    b->id = ARENA_RAW(a, hash128, n);
    b->canonical = ARENA_RAW(a, struct str, n);
    for (uint32_t i = 0; i < n; i++) {
        struct label l[] = {
            { STR("__name__"), arena_printf(a, "service_metric_%u_total", i / HOSTS % 100) },
            { STR("cluster"), STR("eu-west-1-production") },
            { STR("container"), STR("application-server") },
            { STR("endpoint"), STR("http-metrics") },
            { STR("instance"), arena_printf(a, "10.0.%u.%u:9100", i % HOSTS / 250, i % HOSTS % 250) },
            { STR("job"), arena_printf(a, "team-%u/service", i % 20) },
            { STR("le"), arena_printf(a, "%u", i / HOSTS / 100) },
            { STR("namespace"), STR("production") },
            { STR("pod"), arena_printf(a, "application-server-%u-abcde", i % HOSTS) },
        };
        struct labels ls = { ARRAY_LEN(l), l };
        b->canonical[i] = labels_encode(&ls, a);
        b->id[i] = series_id(b->canonical[i]);
    }
}

/* Scrapes over all series in batches, as many senders would send them. Seconds spent inserting. */
static double insert(struct mem_metric *m, const struct metric_batch *all, uint32_t first, uint32_t scrapes,
                     double *values)
{
    static uint32_t series[BATCH];
    static int64_t t[BATCH];
    static double v[BATCH];
    struct prng r;
    double spent = 0;
    prng_init(&r, first);
    for (uint32_t i = 0; i < BATCH; i++)
        series[i] = i;
    for (uint32_t k = first; k < first + scrapes; k++) {
        for (uint32_t from = 0; from < all->nseries; from += BATCH) {
            uint32_t n = MIN((uint32_t)BATCH, all->nseries - from);
            struct metric_batch b = { .nseries = n, .id = all->id + from, .canonical = all->canonical + from,
                                      .nsamples = n, .series = series, .t_ms = t, .value = v };
            int64_t at = 1700000000000 + k * 15000 + (int64_t)prng_below(&r, 10);
            for (uint32_t i = 0; i < n; i++) {
                t[i] = at;
                v[i] = values[from + i] = next_value(&r, (from + i) / HOSTS % 100, values[from + i]);
            }
            double start = now_s();
            mem_metric_insert(m, STR("bench"), &b, NULL);
            spent += now_s() - start;
        }
    }
    return spent;
}

static void time_select(struct mem_metric *m, const char *what, const struct matcher *ms, uint32_t nm, bool read)
{
    struct mem_tenant *t = mem_metric_tenant(m, STR("bench"));
    double start = now_s();
    while (mem_index_some(m, t)) {
    }
    double indexed = now_s();
    struct arena a, one;
    arena_init(&a, NULL);
    arena_init(&one, NULL);
    uint32_t *no, n;
    uint64_t samples = 0;
    if (mem_tenant_select(t, ms, nm, INT64_MIN, INT64_MAX, &a, &no, &n) != OK) abort();
    double selected = now_s();
    for (uint32_t i = 0; read && i < n; i++) {
        struct sample_set s;
        arena_reset(&one);
        if (mem_series_read(mem_series_at(t, no[i]), INT64_MIN, INT64_MAX, &one, &s) != OK) abort();
        samples += s.n;
    }
    double done = now_s();
    printf("%-34s %8u series  index %.3f ms  select %.3f ms", what, n, (indexed - start) * 1e3,
           (selected - indexed) * 1e3);
    if (read) printf("  read %.1f M samples/s", (double)samples / (done - selected) / 1e6);
    printf("\n");
    arena_deinit(&a);
    arena_deinit(&one);
}

static void time_codec(void)
{
    static double v[COL_SAMPLE_MAX], back[COL_SAMPLE_MAX];
    static uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];
    static const unsigned classes[] = { 0, 20, 35, 45, 60, 70, 90, 95 };
    struct prng r;
    prng_init(&r, 5);
    for (unsigned c = 0; c < ARRAY_LEN(classes); c++) {
        double at = 1000;
        enum { ROUNDS = 2000 };
        for (uint32_t i = 0; i < COL_SAMPLE_MAX; i++)
            v[i] = at = next_value(&r, classes[c], at);
        size_t size = 0;
        double start = now_s();
        for (int k = 0; k < ROUNDS; k++)
            size = sample_f64_encode(v, COL_SAMPLE_MAX, coded);
        double mid = now_s();
        for (int k = 0; k < ROUNDS; k++)
            if (!sample_f64_decode(coded, coded + size, COL_SAMPLE_MAX, back)) abort();
        double end = now_s(), n = (double)COL_SAMPLE_MAX * ROUNDS / 1e6;
        printf("codec class %2u: %.3f B/value, encode %.0f M/s, decode %.0f M/s\n", classes[c],
               (double)size / COL_SAMPLE_MAX, n / (mid - start), n / (end - mid));
    }
}

int main(int argc, char **argv)
{
    uint32_t series = argc > 1 ? (uint32_t)atoi(argv[1]) : 50000, scrapes = argc > 2 ? (uint32_t)atoi(argv[2]) : 240;
    struct arena a;
    struct metric_batch all = { 0 };
    arena_init(&a, NULL);
    make_series(&all, series, &a);
    double *values = ARENA_ARRAY(&a, double, series);
    long before = rss_bytes();
    struct mem_metric *m = mem_metric_new(NULL);
    double first = insert(m, &all, 0, 1, values);
    printf("%u series made: %.2f M/s\n", series, series / first / 1e6);
    double few = insert(m, &all, 1, 7, values);
    printf("8 scrapes: %.2f M samples/s; %.0f B a series\n", series * 7.0 / few / 1e6,
           (double)(rss_bytes() - before) / series);
    double rest = insert(m, &all, 8, scrapes - 8, values);
    printf("%u scrapes: %.2f M samples/s; %.0f B a series, %.2f B a sample\n", scrapes,
           (double)series * (scrapes - 8) / rest / 1e6, (double)(rss_bytes() - before) / series,
           (double)(rss_bytes() - before) / series / scrapes);
    struct regex *re, *pods;
    if (regex_new(STR("service_metric_1.*"), &re) != OK || regex_new(STR(".*-4[0-9]-.*"), &pods) != OK) abort();
    struct matcher name = { .op = MATCH_EQ, .name = STR("__name__"), .value = STR("service_metric_7_total") },
                   names = { .op = MATCH_RE, .name = STR("__name__"), .re = re },
                   pod[2] = { { .op = MATCH_RE, .name = STR("pod"), .re = pods },
                              { .op = MATCH_NE, .name = STR("job"), .value = STR("team-3/service") } };
    time_select(m, "__name__=", &name, 1, true);
    time_select(m, "__name__=~prefix.*", &names, 1, true);
    time_select(m, "pod=~.*, job!=", pod, 2, true);
    time_select(m, "all", NULL, 0, true);
    time_codec();
    regex_free(re);
    regex_free(pods);
    mem_metric_free(m);
    arena_deinit(&a);
    return 0;
}
