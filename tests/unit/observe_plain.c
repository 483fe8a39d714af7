/* Log, metrics and fault points. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #x);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static char captured[1 << 20];

/* Runs fn with stderr in a file; what it wrote is in captured. */
static void capture(void (*fn)(void))
{
    char path[] = "/tmp/observe-XXXXXX";
    int file = mkstemp(path), err = dup(STDERR_FILENO);
    CHECK(file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    unlink(path);
    fn();
    ssize_t n = pread(file, captured, sizeof captured - 1, 0);
    CHECK(n >= 0 && dup2(err, STDERR_FILENO) >= 0);
    captured[n] = 0;
    close(file);
    close(err);
}

static unsigned count(const char *needle)
{
    unsigned n = 0;
    for (const char *p = captured; (p = strstr(p, needle)); p++)
        n++;
    return n;
}

static void chatter(void)
{
    log_debug("t.debug", "n=%d", 1);
    log_warn("t.warn", "path=%s", "/a\nlevel=forged");
    for (int i = 0; i < 1000; i++)
        log_info("t.many", "i=%d", i);
}

static void chatter_json(void)
{
    log_error("t.json", "msg=\"%s\"", "a\\b\tc");
}

static void recorder(void)
{
    assert_hook();
}

static void test_log(void)
{
    log_init(LOG_INFO, false);
    capture(chatter);
    CHECK(count("t.debug") == 0);
    CHECK(count("event=t.warn path=/a level=forged\n") == 1);
    CHECK(count("t.many") >= 20 && count("t.many") <= 60);
    capture(recorder);
    CHECK(count("t.debug") == 1 && count("t.many") == 1000);
    log_init(LOG_INFO, true);
    capture(chatter_json);
    CHECK(count("\"event\":\"t.json\",\"text\":\"msg=\\\"a\\\\b c\\\"\"}\n") == 1);
    log_init(LOG_INFO, false);
}

static void *adder(void *arg)
{
    metric_thread(*(unsigned *)arg);
    for (int i = 0; i < 10000; i++)
        metric_add(M_QUERIES, 1);
    metric_set(M_MEM_BYTES, 5);
    return NULL;
}

static void test_metrics(void)
{
    pthread_t t[3];
    unsigned slots[3] = { 0, 1, 100000 };
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, adder, &slots[i]) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    CHECK(metric_sum(M_QUERIES) == 30000 && metric_sum(M_MEM_BYTES) == 15);
    static struct budget budget;
    budget_init(&budget, "tests", NULL, 100, ERR_LIMIT);
    metric_budget(&budget);
    budget_charge(&budget, 150);
    CHECK(budget_check(&budget) == ERR_LIMIT);
    budget_release(&budget, 140);
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    metric_render(&b);
    CHECK(buf_check(&b) == OK);
    buf_byte(&b, 0);
    CHECK(strstr(b.p, "# HELP tercet_queries_total Queries\n# TYPE tercet_queries_total counter\n"
                      "tercet_queries_total 30000\n"));
    CHECK(strstr(b.p, "# TYPE tercet_budget_bytes gauge\ntercet_budget_bytes{budget=\"tests\"} 10\n"));
    CHECK(strstr(b.p, "\ntercet_budget_peak_bytes{budget=\"tests\"} 150\n"));
    CHECK(strstr(b.p, "\ntercet_budget_max_bytes{budget=\"tests\"} 100\n"));
    CHECK(strstr(b.p, "\ntercet_budget_refused_total{budget=\"tests\"} 1\n"));
    CHECK(strstr(b.p, "# TYPE tercet_memtable_bytes gauge\ntercet_memtable_bytes 15\n"));
    buf_deinit(&b);
}

static void test_fault_points(void)
{
    CHECK(strcmp(errinj_name(EI_WAL_APPEND), "EI_WAL_APPEND") == 0);
    CHECK(!errinj_hit(EI_WAL_APPEND));
#ifdef TERCET_DEBUG
    errinj_arm(EI_WAL_APPEND, 3);
    CHECK(!errinj_hit(EI_WAL_APPEND) && !errinj_hit(EI_WAL_APPEND));
    CHECK(errinj_hit(EI_WAL_APPEND));
    CHECK(!errinj_hit(EI_WAL_APPEND));
#endif
}

int main(void)
{
    test_log();
    test_metrics();
    test_fault_points();
    return 0;
}
