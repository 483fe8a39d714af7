/* Scopes, events, semaphores, gates: lists of parked fibers of one reactor, nothing atomic. */
#include "base/rt/reactor.h"

/* -- scope ---------------------------------------------------------------------------------------- */
void scope_init(struct scope *s, struct scope *parent)
{
    ASSERT(!parent || parent->core == rt_core());
    *s = (struct scope){ .parent = parent, .core = rt_core() };
}

void scope_cancel(struct scope *s)
{
    ASSERT(s->core == rt_core());
    if (s->cancelled) return;
    s->cancelled = true;
    /* Sub-scopes know their parent and not the other way round: look at every waiting fiber. */
    fiber_cancel_waiting(rt_here());
}

err_t scope_join(struct scope *s)
{
    ASSERT(s->core == rt_core());
    ASSERT(rt_here()->current->scope != s);
    while (s->live)
        (void)fiber_park(&s->joiner, (mono_ns){ 0 }, false);
    return s->first_error;
}

void scope_fail(struct scope *s, err_t e)
{
    ASSERT(e != OK);
    if (!s->first_error) s->first_error = e;
    scope_cancel(s);
}

void scope_deinit(struct scope *s)
{
    ASSERT(s->live == 0 && !s->joiner);
}

/* -- event ---------------------------------------------------------------------------------------- */
void event_init(struct event *e)
{
    *e = (struct event){ 0 };
}

void event_signal(struct event *e)
{
    e->set = true;
    fiber_wake_all(&e->waiters, OK);
}

void event_reset(struct event *e)
{
    e->set = false;
}

err_t event_wait(struct event *e)
{
    return event_wait_until(e, (mono_ns){ 0 });
}

err_t event_wait_until(struct event *e, mono_ns deadline)
{
    return e->set ? OK : fiber_park(&e->waiters, deadline, true);
}

/* -- semaphore ------------------------------------------------------------------------------------ */
void rt_sem_init(struct sem *s, int64_t count)
{
    *s = (struct sem){ .free = count };
}

/* FIFO: the first waiter is served or nobody is. */
static void sem_serve(struct sem *s)
{
    for (struct fiber *f; (f = s->waiters) && f->sem_need <= s->free;) {
        s->free -= f->sem_need;
        fiber_wake(f, OK);
    }
}

bool sem_try(struct sem *s, int64_t n)
{
    if (s->waiters || s->free < n) return false;
    s->free -= n;
    return true;
}

err_t sem_take(struct sem *s, int64_t n)
{
    if (sem_try(s, n)) return OK;
    rt_here()->current->sem_need = n;
    err_t e = fiber_park(&s->waiters, (mono_ns){ 0 }, true);
    if (e) sem_serve(s); /* we may have stood before smaller needs */
    return e;
}

void sem_give(struct sem *s, int64_t n)
{
    s->free += n;
    sem_serve(s);
}

/* -- gate ------------------------------------------------------------------------------------------- */
void gate_init(struct gate *g)
{
    *g = (struct gate){ 0 };
}

bool gate_enter(struct gate *g)
{
    if (g->closed) return false;
    g->inside++;
    return true;
}

void gate_leave(struct gate *g)
{
    ASSERT(g->inside > 0);
    if (--g->inside == 0) event_signal(&g->idle);
}

void gate_close(struct gate *g)
{
    g->closed = true;
    while (g->inside) {
        event_reset(&g->idle);
        (void)fiber_park(&g->idle.waiters, (mono_ns){ 0 }, false);
    }
}
