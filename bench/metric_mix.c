/* Seeded mixes of series as monitoring sends them, the same values, times and labels on every machine:
 *
 *   day      1,000 series x 5,760 samples (24 h at 15 s): 40 % constant, 25 % integer counters, 15 % counters in steps of
 *            0.01, 10 % gauges of bytes in pages, 10 % gauges of one decimal
 *   scrapes  50,000 series x 240 samples (1 h at 15 s): 20 % integer counters, 15 % bucket counters, 10 % gauges of two
 *            decimals, 15 % bytes in pages, 10 % counters of milliseconds, 20 % constants, 5 % of one decimal, 5 % full doubles
 *   new      200,000 series of the second mix x 1 sample
 *   million  1,000,000 of them
 *   buckets  100 histograms of 12 buckets on 20 hosts x 5,760 samples: each bucket counts 0 to 3 observations a scrape and what the lower
 *            ones count; on the day after the first mix, since Prometheus takes nothing that is old
 *
 * Series have a name and nine labels (about 200 bytes as protobuf), of which no two have the same but for the name; those of a host are scraped together, on the grid of the
 * host; in `day` up to 5 ms off it. Counters start anew now and then. A value comes from the one before and a random number, the innovation; innovations
 * are independent, so the information in a mix is their entropy: no lossless codec can go below it.
 *
 *   bench_metric_mix send MIX PORT PATH     by remote write to 127.0.0.1, each request some minutes of some series
 *   bench_metric_mix verify MIX DIR         the segments in DIR hold exactly the mix, bit by bit; their bytes a sample
 *   bench_metric_mix entropy MIX            bits a sample of values, by class
 *   bench_metric_mix codec MIX              blocks of 1,024 values by class: bytes, encode and decode speed, memcpy beside */
#include "base/core/pb_out.h"
#include "base/core/prng.h"
#include "bench/bench.h"
#include "storage/col_sample.h"
#include "storage/seg_metric.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <math.h>
#include <netinet/tcp.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum class { CONST, INT, CENTI, BYTES, DECIMAL, BUCKET, TWO, MS, FULL, LE, CLASSES };
enum { VARIANTS = 3, LES = 12, STEP_MS = 15000, SEND_SERIES = 250, SEND_SCRAPES = 40 };
#define START_MS INT64_C(1700000000000)
static const char *const class_name[CLASSES] = { "constant", "integer counter", "counter, 0.01", "bytes in pages", "one decimal",
                                                 "bucket counter", "two decimals", "counter, ms", "full double", "histogram" };
static const char *const les[LES] = { "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf" };

struct mix {
    uint32_t series, scrapes, hosts, jitter_ms, later_s;
    uint8_t share[CLASSES]; /* of 100 */
};
#define SCRAPES { [INT] = 20, [BUCKET] = 15, [TWO] = 10, [BYTES] = 15, [MS] = 10, [CONST] = 20, [DECIMAL] = 5, [FULL] = 5 }
static const struct mix mix_day = { 1000, 5760, 20, 5, 0, { [CONST] = 40, [INT] = 25, [CENTI] = 15, [BYTES] = 10, [DECIMAL] = 10 } },
                        mix_scrapes = { 50000, 240, 500, 0, 0, SCRAPES }, mix_new = { 200000, 1, 500, 0, 0, SCRAPES },
                        mix_million = { 1000000, 1, 500, 0, 0, SCRAPES },
                        mix_buckets = { 20 * 5 * LES, 5760, 20, 5, 86400, { [LE] = 100 } };
static const struct mix *mix;

struct gen { /* of a series */
    struct prng r;
    enum class class;
    unsigned variant;
    int64_t at;         /* in units of the class */
    int64_t innovation; /* that made the value given last */
    uint64_t histogram; /* of a bucket, and how many scrapes there were */
    uint32_t scrape;
};

/* -- values ---------------------------------------------------------------------------------------------------- */

/* Near a normal distribution: the sum of twelve uniform numbers. Integers only, so that all machines agree. */
static int64_t normal(struct prng *r, int64_t mean, int64_t deviation)
{
    int64_t sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (int64_t)(prng_next(r) >> 48);
    return mean + ((sum - 12 * 32768) * deviation >> 16);
}

/* The host of a series is its number modulo hosts: what a host exports is spread over all classes. */
static void gen_init(struct gen *g, uint32_t i)
{
    prng_init(&g->r, 1000 + i);
    unsigned what = i / mix->hosts % 100, at = 0;
    if (mix->series / mix->hosts < 100) what = (i / mix->hosts * 2 + i % 2) % 100;
    for (g->class = 0; what >= at + mix->share[g->class]; g->class ++)
        at += mix->share[g->class];
    g->variant = (i / mix->hosts) % VARIANTS;
    if (g->class == LE) { /* the number of a series counts hosts first, then buckets */
        g->variant = i / mix->hosts % LES;
        g->histogram = i % mix->hosts + i / mix->hosts / LES * mix->hosts;
        return;
    }
    static const int64_t least[CLASSES] = { 1, 1000, 1000, 20000, 200, 10, 0, 100000, 0 };
    g->at = least[g->class] + (int64_t)prng_below(&g->r, (uint64_t)least[g->class] * 4 + 1);
}

static int64_t innovation(struct gen *g)
{
    static const int64_t ints[VARIANTS][2] = { { 20, 6 }, { 200, 20 }, { 1000, 60 } }, centi[VARIANTS][2] = { { 50, 10 }, { 150, 30 }, { 400, 60 } },
                         pages[VARIANTS] = { 16, 64, 256 }, tenths[VARIANTS] = { 3, 10, 30 };
    unsigned v = g->variant;
    switch (g->class) {
    case INT: return MAX(0, normal(&g->r, ints[v][0], ints[v][1]));
    case CENTI: return MAX(0, normal(&g->r, centi[v][0], centi[v][1]));
    case BYTES: return mix->share[FULL] && prng_chance(&g->r, 0.5) ? 0 : normal(&g->r, 0, pages[v]);
    case DECIMAL: return normal(&g->r, 0, mix->share[FULL] ? 1 : tenths[v]);
    case BUCKET: return prng_chance(&g->r, 0.6) ? 0 : (int64_t)prng_below(&g->r, 4);
    case TWO: return (int64_t)prng_below(&g->r, 2000);
    case MS: return (int64_t)prng_below(&g->r, 10000);
    case LE: {
        int64_t sum = 0;
        for (unsigned k = 0; k <= v; k++) sum += (int64_t)(hash_u64(g->histogram << 40 | (uint64_t)g->scrape << 8 | k) & 3);
        g->scrape++;
        return sum;
    }
    default: return 0;
    }
}

static double next_value(struct gen *g)
{
    int64_t x = g->innovation = innovation(g);
    bool counter = g->class == INT || g->class == CENTI || g->class == MS || g->class == BUCKET;
    if (counter && prng_below(&g->r, 3000) == 0) g->at = 0; /* restarted */
    if (g->class == TWO) g->at = 2000 + x;
    else g->at = MAX(0, g->at + x);
    switch (g->class) {
    case CENTI:
    case TWO: return (double)g->at / 100;
    case MS: return (double)g->at / 1000;
    case DECIMAL: return (double)g->at / 10;
    case BYTES: return (double)(g->at * 4096);
    case FULL: return prng_unit(&g->r) * 100;
    default: return (double)g->at;
    }
}

static int64_t time_of(uint32_t series, uint32_t scrape)
{
    uint64_t host = series % mix->hosts, jitter = hash_u64((host << 32 | scrape) + 7) % (2 * mix->jitter_ms + 1);
    return START_MS + (int64_t)mix->later_s * 1000 + (int64_t)scrape * STEP_MS + (int64_t)(hash_u64(host) % (STEP_MS - 100) + jitter);
}

static void labels_of(uint32_t i, struct arena *a, struct labels *out)
{
    uint32_t host = i % mix->hosts, metric = i / mix->hosts;
    bool le = mix->share[LE] > 0;
    struct label l[] = {
        { STR("__name__"), le ? STR("request_duration_seconds_bucket") : arena_printf(a, "service_metric_%u_total", metric) },
        { STR("cluster"), STR("eu-west-1-production") },
        { STR("container"), STR("application-server") },
        { STR("endpoint"), STR("http-metrics") },
        { STR("env"), STR("prod") },
        { STR("instance"), arena_printf(a, "10.0.%u.%u:9100", host / 250, host % 250) },
        { STR("job"), arena_printf(a, "team-%u/service", host % 20) },
        { STR("le"), str_of(les[metric % LES]) },
        { STR("namespace"), STR("shop") },
        { STR("path"), arena_printf(a, "/api/v1/%u", le ? metric / LES : metric) },
        { STR("pod"), arena_printf(a, "application-%08x", (unsigned)(hash_u64(host) >> 32)) },
    };
    out->n = 0;
    out->l = ARENA_RAW(a, struct label, ARRAY_LEN(l));
    for (uint32_t k = 0; k < ARRAY_LEN(l); k++)
        if (le || !str_is(l[k].name, "le")) out->l[out->n++] = l[k];
}

/* -- remote write ----------------------------------------------------------------------------------------------- */

static void put_series(struct buf *b, uint32_t i, struct gen *g, uint32_t first, uint32_t n)
{
    struct arena a;
    struct labels ls;
    arena_init(&a, NULL);
    labels_of(i, &a, &ls);
    size_t ts = pb_begin(b, 1);
    for (uint32_t k = 0; k < ls.n; k++) {
        size_t at = pb_begin(b, 1);
        pb_str(b, 1, ls.l[k].name);
        pb_str(b, 2, ls.l[k].value);
        pb_end(b, at);
    }
    for (uint32_t k = first; k < first + n; k++) {
        double v = next_value(g);
        uint64_t bits;
        memcpy(&bits, &v, 8);
        size_t s = pb_begin(b, 2);
        pb_fixed64(b, 1, bits);
        pb_uint(b, 2, (uint64_t)time_of(i, k));
        pb_end(b, s);
    }
    pb_end(b, ts);
    arena_deinit(&a);
}

static void post(int fd, const char *path, struct str body)
{
    char head[256];
    for (int tries = 0;; tries++) {
        int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
                         "X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: %zu\r\n\r\n", path, body.n);
        send_all(fd, head, (size_t)n);
        send_all(fd, body.p, body.n);
        int status = answer(fd);
        if (status == 200 || status == 204) return;
        if ((status != 429 && status != 503) || tries == 1000) {
            fprintf(stderr, "%s: status %d\n", path, status);
            exit(1);
        }
        usleep(20000);
    }
}

static int send_mix(uint16_t port, const char *path)
{
    struct gen *g = calloc(mix->series, sizeof *g);
    struct buf raw, packed;
    buf_init(&raw, 256 << 20, NULL);
    buf_init(&packed, 256 << 20, NULL);
    int fd = dial(port);
    for (uint32_t i = 0; i < mix->series; i++)
        gen_init(&g[i], i);
    for (uint32_t k = 0; k < mix->scrapes; k += SEND_SCRAPES) {
        for (uint32_t i = 0; i < mix->series; i += SEND_SERIES) {
            buf_clear(&raw);
            buf_clear(&packed);
            for (uint32_t s = i; s < MIN(i + SEND_SERIES, mix->series); s++)
                put_series(&raw, s, &g[s], k, MIN(SEND_SCRAPES, mix->scrapes - k));
            size_t n = snappy_max_compressed_length(raw.n);
            char *to = buf_reserve(&packed, n);
            if (!to || snappy_compress(raw.p, raw.n, to, &n) != SNAPPY_OK) die("snappy");
            post(fd, path, str_n(to, n));
        }
    }
    close(fd);
    buf_deinit(&raw);
    buf_deinit(&packed);
    free(g);
    return 0;
}

/* -- reading back ------------------------------------------------------------------------------------------------ */

struct verify {
    const char *dir;
    uint64_t bytes, samples;
    double *want; /* [series][scrape] */
    uint8_t *seen;
    struct htab ids;
    hash128 *id;
};

static err_t verify_series(struct verify *v, const struct seg_series *s)
{
    uint32_t no = UINT32_MAX;
    for (uint32_t it = 0, k; htab_next(&v->ids, s->id.lo, &it, &k);)
        if (hash128_eq(v->id[k], s->id)) no = k;
    if (no == UINT32_MAX) return OK; /* of the node itself */
    struct arena a;
    struct sample_set got;
    arena_init(&a, NULL);
    err_t e = seg_series_read(s, INT64_MIN, INT64_MAX, &a, &got);
    for (uint32_t k = 0; e == OK && k < got.n; k++) {
        int64_t scrape = (got.t[k] - START_MS - (int64_t)mix->later_s * 1000) / STEP_MS;
        size_t at = (size_t)no * mix->scrapes + (size_t)scrape;
        if (scrape < 0 || scrape >= mix->scrapes || got.t[k] != time_of(no, (uint32_t)scrape) || v->seen[at]++ ||
            memcmp(&got.v[k], &v->want[at], 8) != 0)
            e = err_set(ERR_CORRUPT, "series %u at %lld: %.17g is not what was sent", no, (long long)got.t[k], got.v[k]);
        v->samples++;
    }
    arena_deinit(&a);
    return e;
}

static err_t verify_segment(struct verify *v, const char *name)
{
    struct seg_info info = { .cores = 1 };
    struct seg *seg;
    snprintf(info.name, sizeof info.name, "%.36s", name);
    TRY(seg_open(v->dir, &info, &seg));
    struct arena mem;
    err_t e = OK;
    arena_init(&mem, NULL);
    for (uint32_t k = 0; e == OK && k < seg_ngroups(seg); k++) {
        const struct seg_group *g = seg_group(seg, k);
        struct view_counts counts = { 0 };
        struct seg_metric *m;
        struct seg_series *s;
        uint32_t n = 0;
        if (g->signal != SIG_METRICS) continue;
        e = seg_metric_open(seg, g, &mem, &counts, &m);
        if (e == OK) e = seg_metric_select(m, NULL, 0, INT64_MIN, INT64_MAX, &s, &n);
        for (uint32_t i = 0; e == OK && i < n; i++) {
            e = verify_series(v, &s[i]);
            if (e == OK) e = rt_checkpoint();
        }
    }
    arena_deinit(&mem);
    seg_put(seg);
    return e;
}

static err_t verify_all(void *arg)
{
    struct verify *v = arg;
    struct arena a;
    struct str *names;
    size_t n;
    arena_init(&a, NULL);
    TRY(fs_list(v->dir, &a, &names, &n));
    for (size_t i = 0; i < n; i++) {
        struct file f;
        uint64_t size;
        struct str path = arena_printf(&a, "%s/%.*s", v->dir, STR_ARG(names[i]));
        TRY(file_open(&f, path.p, FILE_READ));
        TRY(file_size(&f, &size));
        file_close(&f);
        v->bytes += size;
        TRY(verify_segment(v, arena_printf(&a, "%.*s", STR_ARG(names[i])).p));
    }
    arena_deinit(&a);
    return OK;
}

static int verify(const char *dir)
{
    struct verify v = { .dir = dir };
    struct arena a;
    size_t n = (size_t)mix->series * mix->scrapes;
    v.want = malloc(n * sizeof *v.want);
    v.seen = calloc(n, 1);
    v.id = malloc(mix->series * sizeof *v.id);
    htab_init(&v.ids, NULL);
    for (uint32_t i = 0; i < mix->series; i++) {
        struct gen g;
        struct labels ls;
        gen_init(&g, i);
        for (uint32_t k = 0; k < mix->scrapes; k++)
            v.want[(size_t)i * mix->scrapes + k] = next_value(&g);
        arena_init(&a, NULL);
        labels_of(i, &a, &ls);
        v.id[i] = series_id(labels_encode(&ls, &a));
        htab_insert(&v.ids, v.id[i].lo, i);
        arena_deinit(&a);
    }
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    if (rt_run(&o, verify_all, &v) != OK || v.samples != n) {
        fprintf(stderr, "%llu of %zu samples are there; %s\n", (unsigned long long)v.samples, n, err_detail());
        return 1;
    }
    printf("%llu\n", (unsigned long long)v.bytes);
    return 0;
}

/* -- entropy ------------------------------------------------------------------------------------------------------ */

enum { SPREAD = 1 << 16 };

/* By the frequencies of innovations of equally made series; a full double has the 53 bits of its random number. */
static double class_entropy(enum class c, unsigned variant, uint64_t *samples)
{
    uint32_t *count = calloc(2 * SPREAD, sizeof *count);
    uint64_t n = 0;
    for (uint32_t i = 0; i < mix->series; i++) {
        struct gen g;
        gen_init(&g, i);
        if (g.class != c || g.variant != variant) continue;
        for (uint32_t k = 0; k < mix->scrapes; k++, n++) {
            next_value(&g);
            count[SPREAD + MIN(MAX(g.innovation, -SPREAD), SPREAD - 1)]++;
        }
    }
    double bits = 0;
    for (uint32_t i = 0; i < 2 * SPREAD; i++)
        if (count[i]) bits += count[i] * log2((double)n / count[i]);
    free(count);
    *samples += n;
    return c == FULL ? 53.0 * (double)n : bits;
}

static int entropy(void)
{
    double all = 0;
    for (enum class c = 0; c < CLASSES; c++) {
        uint64_t n = 0;
        double bits = 0;
        for (unsigned v = 0; mix->share[c] && v < VARIANTS; v++)
            bits += class_entropy(c, v, &n);
        all += bits;
        if (n) fprintf(stderr, "  %-16s %5.2f bits a value\n", class_name[c], bits / (double)n);
    }
    printf("%.4f\n", all / 8 / mix->series / mix->scrapes);
    return 0;
}

/* -- codec -------------------------------------------------------------------------------------------------------- */

struct coded {
    uint8_t *bytes;
    size_t n, *end;
    uint32_t blocks;
    double encode_s, decode_s;
};

enum { CODEC_BLOCKS = 256, ROUNDS = 20 };

/* Blocks of one class; times are the best of some rounds. */
static void code(enum class c, struct coded *out)
{
    static double v[COL_SAMPLE_MAX], back[COL_SAMPLE_MAX];
    out->bytes = malloc(CODEC_BLOCKS * COL_SAMPLE_BOUND(COL_SAMPLE_MAX));
    out->end = malloc(CODEC_BLOCKS * sizeof *out->end);
    struct gen g = { 0 };
    for (uint32_t i = 0; i < mix->series * 8 && out->blocks < CODEC_BLOCKS; i++) {
        gen_init(&g, i);
        if (g.class != c) continue;
        for (uint32_t k = 0; k < COL_SAMPLE_MAX; k++)
            v[k] = next_value(&g);
        double start = cpu_s();
        out->n += sample_f64_encode(v, COL_SAMPLE_MAX, out->bytes + out->n);
        out->encode_s += cpu_s() - start;
        out->end[out->blocks++] = out->n;
        const uint8_t *from = out->bytes + (out->blocks > 1 ? out->end[out->blocks - 2] : 0);
        if (!sample_f64_decode(from, out->bytes + out->n, COL_SAMPLE_MAX, back) || memcmp(v, back, sizeof v) != 0) die("codec");
    }
    out->decode_s = 1e9;
    for (int r = 0; r < ROUNDS; r++) {
        double start = cpu_s();
        const uint8_t *p = out->bytes;
        for (uint32_t b = 0; b < out->blocks; b++)
            p = sample_f64_decode(p, out->bytes + out->n, COL_SAMPLE_MAX, back);
        out->decode_s = MIN(out->decode_s, cpu_s() - start);
    }
}

static double memcpy_s(uint32_t blocks)
{
    static char from[COL_SAMPLE_MAX * 8], to[COL_SAMPLE_MAX * 8];
    double best = 1e9;
    for (int r = 0; r < ROUNDS; r++) {
        double start = cpu_s();
        for (uint32_t b = 0; b < blocks; b++) {
            memcpy(to, from, sizeof to);
            __asm__ volatile("" : : "r"(to), "r"(from) : "memory");
        }
        best = MIN(best, cpu_s() - start);
    }
    return best;
}

static int codec(void)
{
    double per_value = 0, bytes = 0;
    for (enum class c = 0; c < CLASSES; c++) {
        struct coded x = { 0 };
        if (mix->share[c] == 0) continue;
        code(c, &x);
        double n = (double)x.blocks * COL_SAMPLE_MAX;
        printf("  %-16s %6.3f B/value, encode %6.0f M/s, decode %5.2f G/s\n", class_name[c], (double)x.n / n, n / x.encode_s / 1e6,
               n / x.decode_s / 1e9);
        per_value += mix->share[c] / 100.0 * x.decode_s / n;
        bytes += mix->share[c] / 100.0 * (double)x.n / n;
        free(x.bytes);
        free(x.end);
    }
    double copy = (double)CODEC_BLOCKS * COL_SAMPLE_MAX / memcpy_s(CODEC_BLOCKS) / 1e9;
    printf("  all of the mix   %6.3f B/value, decode %5.2f G/s (limit 2; memcpy of the values inside the first cache %.1f G/s)\n", bytes,
           1e-9 / per_value, copy);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    if (strcmp(argv[2], "day") == 0) mix = &mix_day;
    else if (strcmp(argv[2], "scrapes") == 0) mix = &mix_scrapes;
    else if (strcmp(argv[2], "new") == 0) mix = &mix_new;
    else if (strcmp(argv[2], "million") == 0) mix = &mix_million;
    else if (strcmp(argv[2], "buckets") == 0) mix = &mix_buckets;
    else return 2;
    if (strcmp(argv[1], "send") == 0 && argc == 5) return send_mix((uint16_t)atoi(argv[3]), argv[4]);
    if (strcmp(argv[1], "verify") == 0 && argc == 4) return verify(argv[3]);
    if (strcmp(argv[1], "entropy") == 0) return entropy();
    if (strcmp(argv[1], "codec") == 0) return codec();
    return 2;
}
