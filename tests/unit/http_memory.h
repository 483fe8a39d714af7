/* HTTP connections in memory, for tests and fuzzing: handlers run in place (or later, by hand), output is
 * collected, the clock stands where the test puts it. */
#ifndef TESTS_UNIT_HTTP_MEMORY_H
#define TESTS_UNIT_HTTP_MEMORY_H

#include "base/net/http_conn.h"

#include <stdlib.h>

struct mem_conn {
    struct http_conn c;
    struct buf out;
    size_t unsent; /* what io->unsent tells */
    bool closed, aborted, paused;
};

static int64_t mem_now_ns = 1;
static bool mem_defer;                  /* io->start keeps the exchange in mem_waiting while there is room */
static bool mem_refuse;                 /* io->start refuses */
static struct http_exchange *mem_waiting[64];
static unsigned mem_nwaiting;

static void mem_send(void *user, const void *p, size_t n)
{
    buf_put(&((struct mem_conn *)user)->out, p, n);
}
static void mem_send_ref(void *user, const void *p, size_t n, void (*done)(void *), void *arg)
{
    mem_send(user, p, n);
    if (done) done(arg);
}
static size_t mem_unsent(void *user) { return ((struct mem_conn *)user)->unsent; }
static void mem_pause(void *user) { ((struct mem_conn *)user)->paused = true; }
static void mem_resume(void *user) { ((struct mem_conn *)user)->paused = false; }
static bool mem_settled(void *user) { return ((struct mem_conn *)user)->unsent == 0; }
static void mem_close(void *user) { ((struct mem_conn *)user)->closed = true; }
static void mem_abort(void *user) { ((struct mem_conn *)user)->aborted = true; }
static mono_ns mem_now(void) { return (mono_ns){ mem_now_ns }; }
static err_t mem_start(struct http_exchange *x)
{
    if (mem_refuse) return err_set(ERR_OVERLOAD, "no fiber left");
    if (mem_defer && mem_nwaiting < ARRAY_LEN(mem_waiting)) {
        mem_waiting[mem_nwaiting++] = x;
        return OK;
    }
    http_exchange_run(x);
    return OK;
}
/* Runs the oldest waiting handler; false when none waits. */
static inline bool mem_run_one(void)
{
    if (mem_nwaiting == 0) return false;
    struct http_exchange *x = mem_waiting[0];
    mem_nwaiting--;
    memmove(mem_waiting, mem_waiting + 1, mem_nwaiting * sizeof *mem_waiting);
    http_exchange_run(x);
    return true;
}

static const struct http_io mem_io = {
    mem_send, mem_send_ref, mem_unsent, mem_pause, mem_resume, mem_settled, mem_close, mem_close, mem_abort, mem_now, mem_start,
};

static inline void mem_open(struct mem_conn *m, struct http_core *core, const struct http_service *service)
{
    *m = (struct mem_conn){ 0 };
    buf_init(&m->out, 1 << 30, NULL);
    http_conn_init(&m->c, core, service, m);
}
static inline void mem_feed(struct mem_conn *m, struct str s)
{
    if (!m->closed && !m->aborted) http_conn_feed(&m->c, (const uint8_t *)s.p, s.n);
}
static inline void mem_free(struct mem_conn *m)
{
    http_conn_deinit(&m->c);
    buf_deinit(&m->out);
}

#endif
