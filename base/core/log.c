#include "base/core/log.h"

#include "base/core/assert.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, RING = 4096, PER_SECOND = 20, KEPT_BYTES = 256 };

/* The flight recorder: a ring of the last lines, cut to KEPT_BYTES each. */
static struct {
    pthread_mutex_t lock; /* also the rate limits' */
    char (*ring)[KEPT_BYTES];
    uint64_t n;
} rec = { .lock = PTHREAD_MUTEX_INITIALIZER };
static enum log_level min_level = LOG_INFO;
static bool as_json;

static const char *const names[] = { "debug", "info", "warn", "error" };

/* Called by assert_fail, perhaps with the lock held by the thread that failed: takes it only if free. */
static void print_recorder(void)
{
    bool locked = pthread_mutex_trylock(&rec.lock) == 0;
    uint64_t from = rec.n > RING ? rec.n - RING : 0;
    dprintf(STDERR_FILENO, "--- flight recorder: the last %llu lines ---\n",
            (unsigned long long)(rec.n - from));
    for (uint64_t i = from; rec.ring && i < rec.n; i++)
        dprintf(STDERR_FILENO, "%s\n", rec.ring[i % RING]);
    if (locked) pthread_mutex_unlock(&rec.lock);
}

void log_init(enum log_level min, bool json)
{
    pthread_mutex_lock(&rec.lock);
    min_level = min;
    as_json = json;
    if (!rec.ring) rec.ring = calloc(RING, KEPT_BYTES);
    assert_hook = print_recorder;
    pthread_mutex_unlock(&rec.lock);
}

/* 2026-11-22T13:37:42.123456Z */
static void put_time(char *to, size_t n, struct timespec t)
{
    struct tm tm;
    gmtime_r(&t.tv_sec, &tm);
    size_t len = strftime(to, n, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to + len, n - len, ".%06ldZ", t.tv_nsec / 1000);
}

/* A JSON string's inside; control characters become spaces. */
static void put_escaped(char *to, size_t cap, const char *from)
{
    size_t n = 0;
    for (; *from && n + 3 < cap; from++) {
        if (*from == '"' || *from == '\\') to[n++] = '\\';
        to[n++] = (unsigned char)*from < ' ' ? ' ' : *from;
    }
    to[n] = 0;
}

/* Apart, so that the frames do not add up on a fiber's stack. */
__attribute__((noinline)) static int format(char *line, size_t n, enum log_level level,
                                            const char *event, const char *text,
                  unsigned dropped, struct timespec now)
{
    char when[40], more[40] = "", escaped[LINE_MAX_BYTES];
    put_time(when, sizeof when, now);
    if (as_json) {
        put_escaped(escaped, sizeof escaped, text);
        if (dropped) snprintf(more, sizeof more, ",\"left_out\":%u", dropped);
        return snprintf(line, n, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"text\":\"%s\"%s}", when,
                        names[level], event, escaped, more);
    }
    if (dropped) snprintf(more, sizeof more, " left_out=%u", dropped);
    return snprintf(line, n, "ts=%s level=%s event=%s %s%s", when, names[level], event, text, more);
}

void log_emit(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 256];
    struct timespec now;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r') *p = ' '; /* one line stays one line */
    clock_gettime(CLOCK_REALTIME, &now);

    pthread_mutex_lock(&rec.lock);
    unsigned dropped = 0;
    bool show = level >= min_level;
    if (show) {
        if (site->second != now.tv_sec) {
            site->second = now.tv_sec;
            dropped = site->dropped;
            site->count = site->dropped = 0;
        }
        show = site->count++ < PER_SECOND;
        site->dropped += !show;
    }
    int n = format(line, sizeof line - 1, level, event, text, dropped, now);
    if (n < 0) n = 0;
    if ((size_t)n > sizeof line - 2) n = (int)sizeof line - 2;
    if (rec.ring) {
        char *kept = rec.ring[rec.n++ % RING];
        size_t len = (size_t)n < KEPT_BYTES - 1 ? (size_t)n : KEPT_BYTES - 1;
        memcpy(kept, line, len);
        kept[len] = 0;
    }
    pthread_mutex_unlock(&rec.lock);
    if (!show) return;
    line[n] = '\n';
    ssize_t put = write(STDERR_FILENO, line, (size_t)n + 1);
    (void)put; /* nobody to tell */
}
