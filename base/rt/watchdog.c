/* A thread that looks at every reactor once a second. A reactor that neither sleeps nor has begun a new turn
 * since the last look is stuck: a loop without rt_checkpoint, or a call that blocks. It is named in the log each time; after
 * RT_STUCK_S the process is aborted, since everything that this core owns is unavailable and only a core dump
 * tells why. Looks are counted, not time: a process that was itself stopped is not stuck. */
#include "base/core/log.h"
#include "base/rt/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct watchdog {
    struct runtime *rt;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    struct {
        uint64_t turns;
        unsigned looks; /* in a row without a new turn */
    } seen[RT_CORES_MAX];
};

static void look(struct watchdog *w, unsigned core)
{
    struct reactor *r = w->rt->reactors[core];
    uint64_t turns = atomic_load_explicit(&r->turns, memory_order_relaxed);
    if (turns != w->seen[core].turns || atomic_load(&r->sleeping)) {
        w->seen[core].turns = turns;
        w->seen[core].looks = 0;
        return;
    }
    const char *name = atomic_load_explicit(&r->running, memory_order_relaxed);
    log_error("rt.stuck", "core=%u in=%s seconds=%u", core, name ? name : "callbacks", ++w->seen[core].looks);
#if !defined(RT_ASAN) && !defined(RT_TSAN)
    if (w->seen[core].looks >= RT_STUCK_S)
        assert_fail("a reactor comes back to its loop", __FILE__, __LINE__);
#endif
}

static void *watchdog_thread(void *arg)
{
    struct watchdog *w = arg;
    pthread_setname_np(pthread_self(), "watchdog");
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec++;
        if (pthread_cond_timedwait(&w->wake, &w->lock, &t) != ETIMEDOUT) continue;
        for (unsigned i = 0; i < w->rt->cores; i++)
            look(w, i);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct watchdog *watchdog_start(struct runtime *rt)
{
    struct watchdog *w = calloc(1, sizeof *w);
    ASSERT(w);
    w->rt = rt;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ASSERT(pthread_create(&w->thread, NULL, watchdog_thread, w) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return w;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
