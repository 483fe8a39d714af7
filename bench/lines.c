/* Seeded log lines of eight services, the same for the same size: as text, and as OTLP records of a node.
 *   bench_lines text MB              "time LEVEL service message" a line to standard output
 *   bench_lines send PORT MB         the same records, a thousand a request, 100 microseconds apart, the last one now
 * One message holds the word zqneedle7f3a; 1 in 200 is a timeout, 1 in 100 of another kind says "connection reset by peer". */
#include "base/core/assert.h"
#include "base/core/buf.h"
#include "base/core/pb_out.h"
#include "base/core/prng.h"
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 1000, STEP_NS = 100000 };
static const char *const services[] = { "frontend", "checkout", "cart", "payment", "shipping", "inventory", "search", "auth" };
static const char *const things[] = { "orders", "items", "carts", "users", "quotes", "stock", "labels", "sessions", "invoices" };

struct line {
    int64_t time_ns;
    const char *level, *service;
    int severity, n;
    char text[400];
};

static void message(struct line *l, struct prng *r)
{
    unsigned a = (unsigned)prng_below(r, 100000), b = (unsigned)prng_below(r, 900), c = (unsigned)prng_below(r, 250);
    const char *thing = things[prng_below(r, ARRAY_LEN(things))];
    unsigned long id = (unsigned long)prng_next(r);
    uint64_t kind = prng_below(r, 200);
    l->level = kind < 3 ? kind ? "WARN" : "ERROR" : kind < 60 ? "DEBUG" : "INFO";
    l->severity = kind < 3 ? kind ? 13 : 17 : kind < 60 ? 5 : 9;
    if (kind == 0)
        l->n = snprintf(l->text, sizeof l->text, "timeout after %u ms waiting for shard %u of %s, request id=%016lx", b * 10, c, thing, id);
    else if (kind < 3)
        l->n = snprintf(l->text, sizeof l->text, "connection reset by peer while reading from 10.3.%u.%u:%u, retry %u", c, b % 256, a % 60000, b % 5);
    else if (kind < 60)
        l->n = snprintf(l->text, sizeof l->text, "cache %s for key %s:%u (%u bytes, age %u s)", a % 3 ? "hit" : "miss", thing, a, b * 37, c);
    else if (kind < 80)
        l->n = snprintf(l->text, sizeof l->text, "user u%u signed in from 10.%u.%u.%u session=%016lx", a, b % 8, c, b % 256, id);
    else if (kind < 100)
        l->n = snprintf(l->text, sizeof l->text, "finished {\"rows\":%u,\"took_ms\":%u,\"table\":\"%s\",\"plan\":\"%08lx\"}", a, b, thing, id & 0xffffffff);
    else
        l->n = snprintf(l->text, sizeof l->text, "GET /api/v1/%s/%u?page=%u handled id=%016lx status=%u in %u ms for u%u", thing, a, c, id,
                        kind < 190 ? 200u : 404u, b, (unsigned)prng_below(r, 50000));
}

struct made {
    struct prng r;
    uint64_t bytes, max, row;
    int64_t begin_ns;
    bool needle;
};

/* A line as text is 30 bytes, level, service and message. */
static bool next(struct made *m, struct line *l)
{
    if (m->bytes >= m->max) return false;
    l->service = services[m->row / ROWS % ARRAY_LEN(services)];
    l->time_ns = m->begin_ns + (int64_t)m->row * STEP_NS;
    message(l, &m->r);
    if (!m->needle && m->bytes > m->max / 5 * 2) {
        l->n = snprintf(l->text, sizeof l->text, "lease zqneedle7f3a of the leader was lost");
        m->needle = true;
    }
    m->row++;
    m->bytes += (uint64_t)l->n + 33 + strlen(l->level) + strlen(l->service);
    return true;
}

static void print(const struct line *l)
{
    time_t s = (time_t)(l->time_ns / 1000000000);
    struct tm tm;
    char day[32];
    gmtime_r(&s, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    printf("%s.%09dZ %s %s %s\n", day, (int)(l->time_ns % 1000000000), l->level, l->service, l->text);
}

/* -- sending ---------------------------------------------------------------------------------------------------- */

static void put_record(struct buf *b, const struct line *l)
{
    size_t at = pb_begin(b, 2);
    pb_fixed64(b, 1, (uint64_t)l->time_ns);
    pb_uint(b, 2, (uint64_t)l->severity);
    pb_str(b, 3, str_of(l->level));
    size_t body = pb_begin(b, 5);
    pb_bytes(b, 1, str_n(l->text, (size_t)l->n));
    pb_end(b, body);
    pb_end(b, at);
}

static void put_resource(struct buf *b, const char *service)
{
    size_t at = pb_begin(b, 1), kv = pb_begin(b, 1);
    pb_str(b, 1, STR("service.name"));
    size_t value = pb_begin(b, 2);
    pb_str(b, 1, str_of(service));
    pb_end(b, value);
    pb_end(b, kv);
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
        if (status == 200) break;
        if (status != 429 && status != 503) {
            fprintf(stderr, "status %d\n", status);
            exit(1);
        }
        usleep(50000);
    }
    buf_clear(b);
}

static void send_lines(struct made *m, uint16_t port)
{
    int fd = dial(port);
    struct buf b;
    struct line l;
    buf_init(&b, 64 << 20, NULL);
    for (bool more = next(m, &l); more;) {
        size_t of_service = pb_begin(&b, 1);
        put_resource(&b, l.service);
        size_t scope = pb_begin(&b, 2);
        for (uint64_t batch = (m->row - 1) / ROWS; more && (m->row - 1) / ROWS == batch; more = next(m, &l))
            put_record(&b, &l);
        pb_end(&b, scope);
        pb_end(&b, of_service);
        post(fd, &b);
    }
    close(fd);
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    struct made m = { .begin_ns = INT64_C(1790000000000000000) };
    bool text = argc == 3 && strcmp(argv[1], "text") == 0, sends = argc == 4 && strcmp(argv[1], "send") == 0;
    uint64_t mb, port = 0;
    if ((!text && !sends) || !str_to_u64(str_of(argv[argc - 1]), &mb) || (sends && !str_to_u64(str_of(argv[2]), &port))) {
        fprintf(stderr, "usage: bench_lines text MB | bench_lines send PORT MB\n");
        return 2;
    }
    prng_init(&m.r, 1);
    m.max = mb * 1000000;
    if (sends) {
        m.begin_ns = (int64_t)time(NULL) * 1000000000 - (int64_t)(m.max / 100) * STEP_NS; /* about */
        send_lines(&m, (uint16_t)port);
    }
    for (struct line l; text && next(&m, &l);)
        print(&l);
    return 0;
}
