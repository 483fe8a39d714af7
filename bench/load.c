/* A load generator for one node: pre-built OTLP or remote-write payloads over keep-alive HTTP/1.1 connections, and the
 * CPU time that the server's process used for them.
 *
 *   bench_load --port P --pid SERVER --signal spans|logs|samples [--seconds 5] [--conns 4] [--trace-spans 1] [--rows N]
 *              [--spread SECONDS [--in-order]] [--seed N] [--batch ROWS] [--rate REQUESTS] [--series N]
 *
 * The run ends after the seconds, or as soon as about N rows are acked. With a spread, spans start anywhere in that many
 * seconds before now and last from 0.1 ms to 10 s; else they come one a microsecond and last one. In order, time goes on with
 * the rows, as it does for a node: traces start one after another over the spread, the first 1/N-th of it with the first row,
 * and a span starts up to 20 ms after the one before it of its trace. The same seed gives the same rows, in about the same order.
 * With a rate, so many requests a second go out over all connections, evenly; else each as soon as the one before it is answered.
 *
 * The shape of the data is that of the measured limits (457 B a span, 273 B a log record, about 210 B of labels
 * a sample; batches of 1,000 rows, 2,000 samples, of 50,000 series). Every request is different: ids and times of the rows are patched
 * before each send, so that no answer comes from the server's memory of repeated requests. Samples go as snappy,
 * which cannot be patched: they are built before the clock starts, and the run ends when they are used up. */
#include "base/core/arena.h"
#include "base/core/pb_out.h"
#include "base/core/prng.h"
#include "bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 1000, SAMPLES = 2000, CONNS_MAX = 64, SERIES = 50000, SAMPLE_BODIES = 1500, ACKS_MAX = 1 << 20 };

enum { PARENT = 1 }; /* in place of a length: eight bytes that repeat the span id of the row before */
enum what { SPANS, LOGS, SAMPLES_RW };

struct body {
    struct buf b;
    uint32_t nids, ntimes;
    uint32_t id_at[3 * ROWS];   /* offsets of 16-byte trace ids, the 8-byte span ids, and those of parents */
    uint8_t id_len[3 * ROWS];
    uint32_t time_at[2 * ROWS]; /* offsets of fixed64 times */
};

static struct {
    uint16_t port;
    int pid;
    enum what what;
    double seconds;
    int conns;
    uint32_t trace_spans; /* spans that share a trace id */
    uint64_t rows_max;
    uint64_t spread_ns;   /* of the starts of spans; 0 = all now */
    bool in_order;
    uint64_t seed, start_ns; /* start_ns: of the run */
    uint32_t batch, series;  /* rows a request; series that samples are of */
    double rate;             /* requests a second; 0 = as fast as they are answered */
} opt = { .port = 4318, .seconds = 5, .conns = 4, .trace_spans = 1, .rows_max = UINT64_MAX, .series = SERIES };

static struct body *bodies;
static uint32_t nbodies;
static _Atomic uint32_t next_body;
static _Atomic uint64_t items, bytes, refused, failed;
static _Atomic int stop;
static double acks[ACKS_MAX]; /* seconds from the first byte sent to the answer, of the first ones */
static _Atomic uint32_t nacks;

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* -- payloads --------------------------------------------------------------------------------------------- */
static const char *const services[] = { "frontend", "checkout", "cart", "payment", "shipping", "inventory", "search", "auth" };
static const char *const routes[] = { "/api/v1/cart/{id}", "/api/v1/products/{id}", "/api/v1/checkout", "/api/v1/orders/{id}/items",
                                      "/api/v1/search", "/api/v1/users/{id}/profile", "/healthz", "/api/v1/recommendations" };
static const char *const agents[] = { "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
                                      "grpc-go/1.64.0", "python-requests/2.32.3" };

static void kv_str(struct buf *b, uint32_t field, const char *key, struct str v)
{
    size_t kv = pb_begin(b, field);
    pb_str(b, 1, str_of(key));
    size_t val = pb_begin(b, 2);
    pb_bytes(b, 1, v);
    pb_end(b, val);
    pb_end(b, kv);
}

static void kv_int(struct buf *b, uint32_t field, const char *key, int64_t v)
{
    size_t kv = pb_begin(b, field);
    pb_str(b, 1, str_of(key));
    size_t val = pb_begin(b, 2);
    pb_tag(b, 3, 0);
    buf_varint(b, (uint64_t)v);
    pb_end(b, val);
    pb_end(b, kv);
}

/* Rows are built apart and appended, so that the offsets noted inside a row only move by a known base. */
struct row {
    struct buf b;
    uint32_t id_at[3], time_at[2];
    uint8_t id_len[3];
    uint32_t nids, ntimes;
};

static void put_id(struct row *r, uint32_t field, size_t n)
{
    static const uint8_t zero[16];
    pb_bytes(&r->b, field, str_n(zero, n));
    r->id_at[r->nids] = (uint32_t)(r->b.n - n);
    r->id_len[r->nids++] = (uint8_t)n;
}

static void put_time(struct row *r, uint32_t field)
{
    pb_fixed64(&r->b, field, 1);
    r->time_at[r->ntimes++] = (uint32_t)(r->b.n - 8);
}

static void printed(struct buf *b, uint32_t field, const char *key, const char *fmt, unsigned long long v)
{
    char text[160];
    int n = snprintf(text, sizeof text, fmt, v);
    kv_str(b, field, key, str_n(text, (size_t)n));
}
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void span_row(struct row *r, struct prng *g)
{
    static const uint8_t parent[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct buf *b = &r->b;
    const char *route = routes[prng_below(g, ARRAY_LEN(routes))];
    put_id(r, 1, 16);
    put_id(r, 2, 8);
    pb_bytes(b, 4, str_n(parent, 8));
    if (opt.trace_spans > 1) { /* the span before, from the second of a trace on */
        r->id_at[r->nids] = (uint32_t)(b->n - 8);
        r->id_len[r->nids++] = PARENT;
    }
    pb_str(b, 5, str_of(route));
    pb_uint(b, 6, 2 + prng_below(g, 2));
    put_time(r, 7);
    put_time(r, 8);
    kv_str(b, 9, "http.request.method", prng_chance(g, 0.8) ? STR("GET") : STR("POST"));
    kv_str(b, 9, "http.route", str_of(route));
    printed(b, 9, "url.path", "/api/v1/products/%llu", prng_below(g, 20000));
    kv_int(b, 9, "http.response.status_code", prng_chance(g, 0.97) ? 200 : 500);
    kv_str(b, 9, "server.address", STR("shop.example.com"));
    kv_int(b, 9, "server.port", 8080);
    kv_str(b, 9, "user_agent.original", str_of(agents[prng_below(g, ARRAY_LEN(agents))]));
    kv_str(b, 9, "network.protocol.version", STR("1.1"));
    printed(b, 9, "client.address", "10.1.%llu.7", prng_below(g, 256));
    kv_int(b, 9, "thread.id", (int64_t)prng_below(g, 32));
    printed(b, 9, "user.id", "user-%llu", prng_below(g, 5000));
    if (prng_chance(g, 0.1)) {
        size_t status = pb_begin(b, 15);
        pb_uint(b, 3, 2);
        pb_end(b, status);
    }
}

static void log_row(struct row *r, struct prng *g)
{
    struct buf *b = &r->b;
    char text[200];
    put_time(r, 1);
    pb_uint(b, 2, prng_chance(g, 0.9) ? 9 : 17);
    pb_str(b, 3, prng_chance(g, 0.9) ? STR("INFO") : STR("ERROR"));
    int n = snprintf(text, sizeof text, "request finished path=%s status=%u bytes=%u duration_ms=%u user=u%u cache=%s",
                     routes[prng_below(g, ARRAY_LEN(routes))], 200u + (unsigned)prng_below(g, 3), (unsigned)prng_below(g, 100000),
                     (unsigned)prng_below(g, 3000), (unsigned)prng_below(g, 50000), prng_chance(g, 0.5) ? "hit" : "miss");
    size_t body = pb_begin(b, 5);
    pb_bytes(b, 1, str_n(text, (size_t)n));
    pb_end(b, body);
    kv_str(b, 6, "code.function.name", STR("handler.Serve"));
    kv_int(b, 6, "code.line.number", 142);
    kv_str(b, 6, "http.route", str_of(routes[prng_below(g, ARRAY_LEN(routes))]));
    kv_int(b, 6, "thread.id", (int64_t)prng_below(g, 32));
    put_id(r, 9, 16);
    put_id(r, 10, 8);
}

static void resource(struct buf *b, const char *service)
{
    size_t at = pb_begin(b, 1);
    kv_str(b, 1, "service.name", str_of(service));
    kv_str(b, 1, "service.version", STR("1.4.2"));
    kv_str(b, 1, "host.name", STR("node-17.prod.example.com"));
    kv_str(b, 1, "k8s.pod.name", STR("shop-7d9f8b6c5d-x2x7q"));
    kv_str(b, 1, "telemetry.sdk.language", STR("go"));
    pb_end(b, at);
}

static void append_row(struct body *p, uint32_t field, const struct row *r)
{
    pb_bytes(&p->b, field, buf_view(&r->b));
    uint32_t base = (uint32_t)(p->b.n - r->b.n);
    for (uint32_t i = 0; i < r->nids; i++) {
        p->id_len[p->nids] = r->id_len[i];
        p->id_at[p->nids++] = base + r->id_at[i];
    }
    for (uint32_t i = 0; i < r->ntimes; i++)
        p->time_at[p->ntimes++] = base + r->time_at[i];
}

/* A length before bytes that are there already moves them: offsets noted so far move with them. */
static void close_at(struct body *p, size_t at)
{
    size_t before = p->b.n;
    pb_end(&p->b, at);
    uint32_t moved = (uint32_t)(p->b.n - before);
    for (uint32_t i = 0; i < p->nids; i++)
        p->id_at[i] += moved;
    for (uint32_t i = 0; i < p->ntimes; i++)
        p->time_at[i] += moved;
}

static void build_otlp(struct body *p, uint64_t seed)
{
    struct prng g;
    struct row r = { 0 };
    prng_init(&g, seed);
    buf_init(&p->b, 16 << 20, NULL);
    buf_init(&r.b, 1 << 16, NULL);
    size_t rs = pb_begin(&p->b, 1);
    resource(&p->b, services[seed % ARRAY_LEN(services)]);
    size_t scope = pb_begin(&p->b, 2);
    for (uint32_t i = 0; i < opt.batch; i++) {
        buf_clear(&r.b);
        r.nids = r.ntimes = 0;
        if (opt.what == SPANS)
            span_row(&r, &g);
        else
            log_row(&r, &g);
        append_row(p, 2, &r);
    }
    close_at(p, scope);
    close_at(p, rs);
    buf_deinit(&r.b);
}

static void label(struct buf *b, const char *name, struct str value)
{
    size_t at = pb_begin(b, 1);
    pb_str(b, 1, str_of(name));
    pb_str(b, 2, value);
    pb_end(b, at);
}

static void series(struct buf *b, uint32_t i, int64_t t_ms, struct prng *g)
{
    char text[64];
    size_t ts = pb_begin(b, 1);
    int n = snprintf(text, sizeof text, "http_server_metric_%u_total", i % 40);
    label(b, "__name__", str_n(text, (size_t)n));
    label(b, "cluster", STR("production-eu-west-1"));
    n = snprintf(text, sizeof text, "10.%u.%u.%u:9100", i >> 16, i >> 8 & 255, i & 255);
    label(b, "instance", str_n(text, (size_t)n));
    label(b, "job", STR("kubernetes-service-endpoints"));
    label(b, "namespace", STR("shop-backend"));
    n = snprintf(text, sizeof text, "shop-7d9f8b6c5d-%05u", i);
    label(b, "pod", str_n(text, (size_t)n));
    label(b, "region", STR("eu-west-1"));
    label(b, "route", str_of(routes[i % ARRAY_LEN(routes)]));
    size_t s = pb_begin(b, 2);
    double v = (double)prng_below(g, 100000);
    pb_tag(b, 1, 1);
    buf_put(b, &v, 8);
    pb_uint(b, 2, (uint64_t)t_ms);
    pb_end(b, s);
    pb_end(b, ts);
}

static void build_samples(struct body *p, uint32_t number, int64_t start_ms)
{
    struct prng g;
    struct buf raw;
    prng_init(&g, number);
    buf_init(&raw, 16 << 20, NULL);
    uint32_t first = number * opt.batch;
    for (uint32_t i = 0; i < opt.batch; i++)
        series(&raw, (first + i) % opt.series, start_ms + (int64_t)((first + i) / opt.series) * 15000, &g);
    buf_init(&p->b, 16 << 20, NULL);
    size_t n = snappy_max_compressed_length(raw.n);
    char *to = buf_reserve(&p->b, n);
    if (!to || snappy_compress(raw.p, raw.n, to, &n) != SNAPPY_OK) exit(1);
    p->b.n = n;
    buf_deinit(&raw);
}

/* When the spans of request `number` start: those of a trace shortly after each other, traces over the request's share of the spread. */
struct ordered {
    uint64_t from_ns, share_ns, start;
    uint32_t row;
};

static uint64_t next_start(struct ordered *o, struct prng *g)
{
    if (o->row++ % opt.trace_spans == 0)
        o->start = o->from_ns + prng_below(g, o->share_ns);
    else
        o->start += prng_below(g, 20 * UINT64_C(1000000));
    return o->start;
}

static struct ordered ordered_at(uint32_t number)
{
    uint64_t share = opt.spread_ns / MAX(opt.rows_max / opt.batch, 1) + 1;
    return (struct ordered){ .from_ns = opt.start_ns - opt.spread_ns + number * share, .share_ns = share };
}

static void patch(char *copy, const struct body *p, struct prng *g, uint64_t time_ns, uint32_t number)
{
    struct ordered order = ordered_at(number);
    uint64_t trace[2] = { 0, 0 }, span = 0, before = 0;
    uint32_t trace_rows = 0;
    for (uint32_t i = 0; i < p->nids; i++) {
        if (p->id_len[i] == PARENT) {
            if (trace_rows % opt.trace_spans != 1) memcpy(copy + p->id_at[i], &before, 8);
            continue;
        }
        uint64_t w[2] = { prng_next(g) | 1, prng_next(g) };
        if (p->id_len[i] == 16 && trace_rows++ % opt.trace_spans) memcpy(w, trace, 16);
        if (p->id_len[i] == 16) memcpy(trace, w, 16);
        if (p->id_len[i] == 8) {
            before = span;
            span = w[0];
        }
        memcpy(copy + p->id_at[i], w, p->id_len[i]);
    }
    uint64_t start = 0;
    for (uint32_t i = 0; i < p->ntimes; i++) {
        uint64_t t = time_ns + i * 1000;
        if (opt.spread_ns && i % 2 == 0) t = start = opt.in_order ? next_start(&order, g) : time_ns - prng_below(g, opt.spread_ns);
        else if (opt.spread_ns) t = start + (uint64_t)(1e5 * exp(prng_unit(g) * log(1e5)));
        memcpy(copy + p->time_at[i], &t, 8);
    }
}

/* -- connections --------------------------------------------------------------------------------------------- */
/* Request i of the run goes out at its time, if it has one. */
static void wait_turn(uint32_t i, double began)
{
    double left = opt.rate > 0 ? began + i / opt.rate - now_s(CLOCK_MONOTONIC) : 0;
    if (left > 0) usleep((useconds_t)(left * 1e6));
}

static void note_ack(double seconds)
{
    uint32_t at = nacks++;
    if (at < ACKS_MAX) acks[at] = seconds;
}

static void *connection(void *arg)
{
    static const char *const paths[] = { "/v1/traces", "/v1/logs", "/api/v1/write" };
    struct prng g;
    uint64_t sent = 0;
    double began = now_s(CLOCK_MONOTONIC);
    prng_init(&g, (uint64_t)(uintptr_t)arg + (opt.seed ? opt.seed : (uint64_t)time(NULL)));
    int fd = dial(opt.port);
    char *copy = malloc(16 << 20), head[256];
    while (!stop) {
        uint32_t i = next_body++;
        if (opt.what == SAMPLES_RW && i >= nbodies) break;
        const struct body *p = &bodies[i % nbodies];
        wait_turn(i, began);
        memcpy(copy, p->b.p, p->b.n);
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        patch(copy, p, &g, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + sent++, i);
        int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n%sContent-Length: %zu\r\n\r\n",
                         paths[opt.what], opt.what == SAMPLES_RW ? "Content-Encoding: snappy\r\n" : "", p->b.n);
        double sent_at = now_s(CLOCK_MONOTONIC);
        send_all(fd, head, (size_t)n);
        send_all(fd, copy, p->b.n);
        int status = answer(fd);
        if (status == 200 || status == 204) {
            note_ack(now_s(CLOCK_MONOTONIC) - sent_at);
            items += opt.batch;
            bytes += p->b.n;
        } else if (status == 429 || status == 503) {
            refused++;
            usleep(20000);
        } else {
            if (failed++ == 0) fprintf(stderr, "status %d\n", status);
        }
    }
    close(fd);
    free(copy);
    return NULL;
}

static double server_cpu_s(void)
{
    char path[64], text[1024];
    unsigned long long user = 0, sys = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *after = strrchr(text, ')');
    if (after) sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys);
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void parse(int argc, char **argv)
{
    static const struct option longs[] = { { "port", 1, 0, 'p' }, { "pid", 1, 0, 'i' }, { "signal", 1, 0, 's' },
                                           { "seconds", 1, 0, 't' }, { "conns", 1, 0, 'c' }, { "trace-spans", 1, 0, 'n' },
                                           { "rows", 1, 0, 'r' }, { "spread", 1, 0, 'd' }, { "in-order", 0, 0, 'o' },
                                           { "seed", 1, 0, 'e' }, { "batch", 1, 0, 'b' }, { "rate", 1, 0, 'a' },
                                           { "series", 1, 0, 'x' }, { 0, 0, 0, 0 } };
    for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (o == 'p') opt.port = (uint16_t)atoi(optarg);
        else if (o == 'i') opt.pid = atoi(optarg);
        else if (o == 't') opt.seconds = atof(optarg);
        else if (o == 'c') opt.conns = MIN(MAX(atoi(optarg), 1), CONNS_MAX);
        else if (o == 'n') opt.trace_spans = (uint32_t)MAX(atoi(optarg), 1);
        else if (o == 'o') opt.in_order = true;
        else if (o == 'e') opt.seed = strtoull(optarg, NULL, 10);
        else if (o == 'd') opt.spread_ns = strtoull(optarg, NULL, 10) * 1000000000;
        else if (o == 'b') opt.batch = (uint32_t)MAX(atoi(optarg), 1);
        else if (o == 'a') opt.rate = atof(optarg);
        else if (o == 'x') opt.series = (uint32_t)MAX(atoi(optarg), 1);
        else if (o == 'r') opt.rows_max = strtoull(optarg, NULL, 10);
        else if (o == 's') opt.what = optarg[0] == 'l' ? LOGS : optarg[0] == 's' && optarg[1] == 'a' ? SAMPLES_RW : SPANS;
        else exit(2);
    }
    uint32_t most = opt.what == SAMPLES_RW ? SAMPLES : ROWS;
    opt.batch = opt.batch ? MIN(opt.batch, most) : most;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_acks(void)
{
    size_t n = MIN(nacks, (uint32_t)ACKS_MAX);
    if (n == 0) return;
    qsort(acks, n, sizeof acks[0], by_value);
    printf("acks     %.2f ms median, %.2f p99, %.2f slowest of %zu\n", acks[n / 2] * 1e3, acks[n * 99 / 100] * 1e3, acks[n - 1] * 1e3, n);
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "spans", "logs", "samples" };
    pthread_t threads[CONNS_MAX];
    parse(argc, argv);
    nbodies = opt.what == SAMPLES_RW ? SAMPLE_BODIES * MIN(SAMPLES / opt.batch, 10) : 64;
    bodies = calloc(nbodies, sizeof *bodies);
    int64_t start_ms = (int64_t)time(NULL) * 1000 - 3600 * 1000;
    opt.start_ns = (uint64_t)(now_s(CLOCK_REALTIME) * 1e9);
    for (uint32_t i = 0; i < nbodies; i++) {
        if (opt.what == SAMPLES_RW)
            build_samples(&bodies[i], i, start_ms);
        else
            build_otlp(&bodies[i], i + 1);
    }
    double cpu = server_cpu_s(), wall = now_s(CLOCK_MONOTONIC);
    for (int i = 0; i < opt.conns; i++)
        pthread_create(&threads[i], NULL, connection, (void *)(uintptr_t)(i + 1));
    while (!stop && items < opt.rows_max && now_s(CLOCK_MONOTONIC) - wall < opt.seconds && (opt.what != SAMPLES_RW || next_body < nbodies))
        usleep(2000);
    stop = 1;
    for (int i = 0; i < opt.conns; i++)
        pthread_join(threads[i], NULL);
    wall = now_s(CLOCK_MONOTONIC) - wall;
    cpu = server_cpu_s() - cpu;
    printf("%-8s %9llu acked in %5.2f s wall, %5.2f s server CPU: %7.0f k/s wall, %7.0f k per CPU second, %4.0f MB/s of bodies, "
           "%.0f B an item; %llu refused, %llu failed\n",
           names[opt.what], (unsigned long long)items, wall, cpu, (double)items / wall / 1e3, cpu > 0 ? (double)items / cpu / 1e3 : 0,
           (double)bytes / wall / 1e6, items ? (double)bytes / (double)items : 0, (unsigned long long)refused, (unsigned long long)failed);
    print_acks();
    return failed ? 1 : 0;
}
