/* Seeded logs of several services, the same for the same arguments: the lines of FILEs again and again, their long numbers and
 * ids changed each time, and generated JSON lines; about as many bytes of each.
 *   bench_mix text MB FILE...         a line a record to standard output
 *   bench_mix send PORT MB FILE...    the same as OTLP records, some hundred KB a request, 100 microseconds apart, the last one now
 *   bench_mix copy                    GB/s that memcpy moves, as a limit to compare with
 * MB counts lines with their newlines. One record says zqneedle7f3a; one of a million "quorum lost to replica". */
#include "base/core/assert.h"
#include "base/core/buf.h"
#include "base/core/pb_out.h"
#include "base/core/prng.h"
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SOURCES_MAX = 8, BATCH_BYTES = 400 << 10, STEP_NS = 100000, LINE_MAX_BYTES = 1 << 16, RARE = 1000000, CHANGED_MIN = 5 };

struct source {
    const char *name;
    struct buf text; /* of a file; empty: generated */
    size_t at;
    uint64_t sent;
};
struct mix {
    struct source source[SOURCES_MAX];
    uint32_t nsources;
    struct prng r;
    uint64_t bytes, max, rows;
    bool needle;
    char line[LINE_MAX_BYTES + 1]; /* and its newline */
};

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

/* A line of a file: runs of digits, or of hex digits with one among them, that are as long as ids get other ones. */
static size_t changed_line(struct mix *m, struct source *s)
{
    if (s->at >= s->text.n) s->at = 0;
    const char *p = s->text.p + s->at, *end = memchr(p, '\n', s->text.n - s->at);
    size_t n = end ? (size_t)(end - p) : s->text.n - s->at;
    s->at += n + 1;
    n = MIN(n, (size_t)LINE_MAX_BYTES);
    memcpy(m->line, p, n);
    for (size_t i = 0, to; i < n; i = to + 1) {
        bool digits = true, letters = false;
        for (to = i; to < n && is_hex(m->line[to]); to++) {
            digits &= m->line[to] <= '9';
            letters |= m->line[to] <= '9';
        }
        if (to - i < CHANGED_MIN || !letters) continue;
        uint64_t v = prng_next(&m->r);
        for (size_t k = i + 1; k < to; k++, v = v >> 4 ? v >> 4 : prng_next(&m->r))
            m->line[k] = "0123456789abcdef"[digits ? v % 16 % 10 : v % 16];
    }
    return n;
}

static size_t json_line(struct mix *m)
{
    static const char *const what[] = { "request handled", "cache miss", "timeout waiting for shard", "user signed in", "payment authorised", "retrying call" };
    static const char *const level[] = { "info", "info", "info", "debug", "warn", "error" };
    struct prng *r = &m->r;
    uint64_t k = prng_below(r, 100), kind = k < 50 ? 0 : k < 80 ? 1 : k < 82 ? 2 : k < 90 ? 3 : k < 98 ? 4 : 5;
    return (size_t)snprintf(m->line, LINE_MAX_BYTES,
        "{\"level\":\"%s\",\"msg\":\"%s\",\"trace_id\":\"%016llx%016llx\",\"user\":\"u%llu\",\"path\":\"/api/v1/%s/%llu\",\"status\":%u,\"duration_ms\":%llu.%03u,\"bytes\":%llu}",
        level[prng_below(r, ARRAY_LEN(level))], what[kind], (unsigned long long)prng_next(r), (unsigned long long)prng_next(r),
        (unsigned long long)prng_below(r, 50000), kind & 1 ? "orders" : "carts", (unsigned long long)prng_below(r, 100000),
        k % 20 ? 200u : 503u, (unsigned long long)prng_below(r, 900), (unsigned)prng_below(r, 1000), (unsigned long long)prng_below(r, 1 << 20));
}

static struct source *next_source(struct mix *m)
{
    struct source *s = &m->source[0];
    for (uint32_t i = 1; i < m->nsources; i++)
        if (m->source[i].sent < s->sent) s = &m->source[i];
    return s;
}

/* 0 at the end. */
static size_t next_line(struct mix *m, struct source *s)
{
    if (m->bytes >= m->max) return 0;
    size_t n = s->text.n ? changed_line(m, s) : json_line(m);
    if (!m->needle && m->bytes > m->max / 5 * 2) {
        n = (size_t)snprintf(m->line, LINE_MAX_BYTES, "lease zqneedle7f3a of the leader was lost");
        m->needle = true;
    } else if (m->rows % RARE == RARE / 2) {
        n = (size_t)snprintf(m->line, LINE_MAX_BYTES, "quorum lost to replica %u of group %u", (unsigned)(m->rows % 7), (unsigned)(m->rows % 1013));
    }
    if (n == 0) m->line[n++] = '-';
    m->rows++;
    m->bytes += n + 1;
    s->sent += n + 1;
    return n;
}

static void put_record(struct buf *b, int64_t time_ns, struct str text)
{
    size_t at = pb_begin(b, 2);
    pb_fixed64(b, 1, (uint64_t)time_ns);
    pb_uint(b, 2, text.n % 20 ? 9 : 17);
    pb_str(b, 3, text.n % 20 ? STR("INFO") : STR("ERROR"));
    size_t body = pb_begin(b, 5);
    pb_bytes(b, 1, text);
    pb_end(b, body);
    pb_end(b, at);
}

static void post(int fd, struct buf *b)
{
    char head[200];
    int n = snprintf(head, sizeof head, "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %zu\r\n\r\n", b->n);
    for (int status = 0; status != 200;) {
        send_all(fd, head, (size_t)n);
        send_all(fd, b->p, b->n);
        status = answer(fd);
        if (status == 429 || status == 503) {
            usleep(50000);
        } else if (status != 200) {
            fprintf(stderr, "status %d\n", status);
            exit(1);
        }
    }
    buf_clear(b);
}

static void send_all_lines(struct mix *m, uint16_t port)
{
    struct buf b;
    int fd = dial(port);
    int64_t began = (int64_t)time(NULL) * 1000000000 - (int64_t)(m->max / 200) * STEP_NS; /* about */
    buf_init(&b, 64 << 20, NULL);
    for (bool more = true; more;) {
        struct source *s = next_source(m);
        size_t of_service = pb_begin(&b, 1), n = 0;
        size_t resource = pb_begin(&b, 1), kv = pb_begin(&b, 1);
        pb_str(&b, 1, STR("service.name"));
        size_t value = pb_begin(&b, 2);
        pb_str(&b, 1, str_of(s->name));
        pb_end(&b, value);
        pb_end(&b, kv);
        pb_end(&b, resource);
        size_t scope = pb_begin(&b, 2);
        while (b.n < BATCH_BYTES && (more = (n = next_line(m, s)) > 0))
            put_record(&b, began + (int64_t)m->rows * STEP_NS, str_n(m->line, n));
        pb_end(&b, scope);
        pb_end(&b, of_service);
        post(fd, &b);
    }
    close(fd);
    buf_deinit(&b);
}

static void print_lines(struct mix *m)
{
    for (size_t n = 1; n;) {
        struct source *s = next_source(m);
        for (size_t sent = 0; sent < BATCH_BYTES && (n = next_line(m, s)) > 0; sent += n) {
            m->line[n] = '\n';
            fwrite(m->line, 1, n + 1, stdout);
        }
    }
}

static void copy_speed(void)
{
    enum { SIZE = 256 << 20 };
    char *a = malloc(SIZE), *b = malloc(SIZE);
    double best = 1e9;
    ASSERT(a && b);
    memset(a, 1, SIZE);
    for (int i = 0; i < 5; i++) {
        double began = cpu_s();
        memcpy(b, a, SIZE);
        best = MIN(best, cpu_s() - began);
        a[i] = b[SIZE - 1 - i];
    }
    printf("memcpy: %.1f GB/s\n", SIZE / 1e9 / best);
    free(a);
    free(b);
}

static void add_file(struct mix *m, const char *path)
{
    struct source *s = &m->source[m->nsources++];
    FILE *f = fopen(path, "rb");
    char bytes[1 << 14];
    const char *base = strrchr(path, '/');
    if (!f) die(path);
    s->name = base ? base + 1 : path;
    buf_init(&s->text, 64 << 20, NULL);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        buf_put(&s->text, bytes, n);
    fclose(f);
}

int main(int argc, char **argv)
{
    static struct mix m;
    uint64_t mb, port = 0;
    int files = argc > 1 && strcmp(argv[1], "send") == 0 ? 4 : 3;
    if (argc == 2 && strcmp(argv[1], "copy") == 0) return copy_speed(), 0;
    if (argc < files || argc - files >= SOURCES_MAX || !str_to_u64(str_of(argv[files - 1]), &mb) || (files == 4 && !str_to_u64(str_of(argv[2]), &port))) {
        fprintf(stderr, "usage: bench_mix text MB FILE... | bench_mix send PORT MB FILE... | bench_mix copy\n");
        return 2;
    }
    prng_init(&m.r, 1);
    m.max = mb * 1000000;
    m.source[m.nsources++].name = "json";
    for (int i = files; i < argc; i++)
        add_file(&m, argv[i]);
    if (files == 4) send_all_lines(&m, (uint16_t)port);
    else print_lines(&m);
    for (uint32_t i = 1; i < m.nsources; i++)
        buf_deinit(&m.source[i].text);
    return 0;
}
