/* A pool of threads for calls that block: files under epoll, listings, offloaded libraries. Threads start
 * when there is work and none is idle, up to the maximum, and stay until pool_free. */
#include "base/core/metric.h"
#include "base/rt/reactor.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { POOL_THREADS_MAX = 64 };

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct io_queue queue;
    const char *name;
    unsigned max, started, idle, queued;
    bool stop;
    pthread_t threads[POOL_THREADS_MAX];
};

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    pthread_setname_np(pthread_self(), p->name);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct io_event *w = io_queue_pop(&p->queue);
        if (w) {
            p->queued--;
            pthread_mutex_unlock(&p->lock);
            w->fn(w);
            pthread_mutex_lock(&p->lock);
            continue;
        }
        if (p->stop) break;
        p->idle++;
        pthread_cond_wait(&p->more, &p->lock);
        p->idle--;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(const char *name, unsigned threads_max)
{
    struct pool *p = calloc(1, sizeof *p);
    ASSERT(p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->name = name;
    p->max = MIN(MAX(threads_max, 1), POOL_THREADS_MAX);
    return p;
}

/* Signals are the main thread's business: none of ours may take them. */
static bool start_thread(struct pool *p)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool ok = pthread_create(&p->threads[p->started], NULL, pool_thread, p) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    p->started += ok;
    return ok;
}

void pool_put(struct pool *p, struct io_event *work)
{
    pthread_mutex_lock(&p->lock);
    io_queue_push(&p->queue, work);
    p->queued++;
    if (p->queued > p->idle && p->started < p->max) ASSERT(start_thread(p) || p->started > 0);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i], NULL);
    ASSERT(!p->queue.head);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->more);
    free(p);
}

/* -- rt_offload -------------------------------------------------------------------------------------- */
struct job {
    struct io_event work, back;
    err_t (*fn)(void *arg);
    void *arg;
    struct reactor *home;
    struct event done;
    err_t result;
    struct err_record err;
};

static void job_back(struct io_event *e)
{
    event_signal(&CONTAINER_OF(e, struct job, back)->done);
}

static void job_run(struct io_event *e)
{
    struct job *j = CONTAINER_OF(e, struct job, work);
    err_record_use(&j->err);
    j->result = j->fn(j->arg);
    err_record_use(NULL);
    reactor_post_event(j->home, &j->back);
}

err_t rt_offload(err_t (*fn)(void *arg), void *arg)
{
    struct reactor *r = rt_here();
    ASSERT(r->current);
    if (r->rt->sim) {
        (void)fiber_park(NULL, mono_add(r->now, 1000 + (int64_t)(rt_random() % NS_PER_MS)), false);
        return fn(arg);
    }
    struct job j = { .work.fn = job_run, .back.fn = job_back, .fn = fn, .arg = arg, .home = r };
    pool_put(r->rt->offload, &j.work);
    while (!j.done.set)
        (void)fiber_park(&j.done.waiters, (mono_ns){ 0 }, false);
    if (j.result) *err_record() = j.err;
    return j.result;
}
