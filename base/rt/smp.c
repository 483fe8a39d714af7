/* Messages between reactors: a bounded ring of (function, argument) for each ordered pair, one producer and one
 * consumer, and a doorbell (io->wake) that is rung only for a sleeping peer.
 *
 * Sleeping: the consumer sets `sleeping`, looks at its rings once more, then waits. The producer
 * writes the ring, then looks at `sleeping`. All four are sequentially consistent, so at least one of the two
 * sees the other.
 *
 * Back-pressure: what does not fit goes to the producer's overflow list (order kept), and a fiber that posts
 * while that list is not empty waits until it is. Answers and other messages of the runtime itself never wait;
 * they are bounded by the calls in flight.
 *
 * A call lives on its caller's stack: fields above `result` are the caller's and only read by the callee; `callee` is
 * the callee core's own until it has answered. A cancelled caller sends a cancel message and waits for both
 * its echo and the answer, since until then the callee's core may touch the call. */
#include "base/rt/reactor.h"

#include <stdlib.h>
#include <string.h>

static struct ring *ring_of(struct runtime *rt, unsigned from, unsigned to)
{
    return &rt->rings[(size_t)from * rt->cores + to];
}

void reactor_wake(struct reactor *r)
{
    if (atomic_load(&r->sleeping) && atomic_exchange(&r->sleeping, false)) r->io->ops->wake(r->io);
}

static bool ring_push(struct ring *g, struct message m)
{
    uint32_t tail = atomic_load_explicit(&g->tail, memory_order_relaxed);
    if (tail - g->head_seen == RT_RING) {
        g->head_seen = atomic_load_explicit(&g->head, memory_order_acquire);
        if (tail - g->head_seen == RT_RING) return false;
    }
    g->slots[tail % RT_RING] = m;
    atomic_store(&g->tail, tail + 1);
    return true;
}

static bool ring_empty(struct ring *g)
{
    return atomic_load(&g->tail) == atomic_load_explicit(&g->head, memory_order_relaxed);
}

static void overflow_put(struct overflow *o, struct message m)
{
    if (o->n == o->cap) {
        o->cap = MAX(o->cap * 2, 64);
        o->v = realloc(o->v, o->cap * sizeof *o->v);
        ASSERT(o->v);
    }
    o->v[o->n++] = m;
}

void smp_send(struct reactor *from, unsigned to, void (*fn)(void *), void *arg)
{
    ASSERT(to < from->rt->cores);
    struct overflow *o = &from->out[to];
    struct message m = { fn, arg };
    if (to == from->core || o->n || !ring_push(ring_of(from->rt, from->core, to), m)) {
        overflow_put(o, m);
        return;
    }
    reactor_wake(from->rt->reactors[to]);
}

void smp_flush(struct reactor *r)
{
    for (unsigned to = 0; to < r->rt->cores; to++) {
        struct overflow *o = &r->out[to];
        if (!o->n || to == r->core) continue;
        uint32_t done = 0;
        while (done < o->n && ring_push(ring_of(r->rt, r->core, to), o->v[done]))
            done++;
        if (!done) continue;
        memmove(o->v, o->v + done, (o->n - done) * sizeof *o->v);
        o->n -= done;
        reactor_wake(r->rt->reactors[to]);
    }
}

bool smp_pending(struct reactor *r)
{
    for (unsigned from = 0; from < r->rt->cores; from++)
        if (!ring_empty(ring_of(r->rt, from, r->core))) return true;
    /* Our own overflow counts too: nobody will tell us when the peer has made room. */
    for (unsigned to = 0; to < r->rt->cores; to++)
        if (r->out[to].n) return true;
    return atomic_load(&r->foreign) != NULL;
}

static bool drain_ring(struct ring *g)
{
    uint32_t head = atomic_load_explicit(&g->head, memory_order_relaxed);
    uint32_t tail = atomic_load(&g->tail), start = head;
    while (head != tail) {
        struct message m = g->slots[head % RT_RING];
        atomic_store_explicit(&g->head, ++head, memory_order_release);
        m.fn(m.arg);
    }
    return head != start;
}

static void drain_self(struct reactor *r)
{
    struct overflow *o = &r->out[r->core];
    uint32_t n = o->n; /* what these post comes in the next turn */
    for (uint32_t i = 0; i < n; i++) {
        struct message m = o->v[i];
        m.fn(m.arg);
    }
    memmove(o->v, o->v + n, (o->n - n) * sizeof *o->v);
    o->n -= n;
}

static void drain_foreign(struct reactor *r)
{
    if (!atomic_load_explicit(&r->foreign, memory_order_relaxed)) return;
    struct io_event *newest = atomic_exchange(&r->foreign, NULL), *oldest = NULL;
    while (newest) {
        struct io_event *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct io_event *e = oldest;
        oldest = e->next;
        e->fn(e);
    }
}

bool smp_drain(struct reactor *r)
{
    bool any = false;
    for (unsigned from = 0; from < r->rt->cores; from++)
        if (from != r->core) any |= drain_ring(ring_of(r->rt, from, r->core));
    if (r->out[r->core].n) drain_self(r);
    drain_foreign(r);
    return any;
}

void reactor_post_event(struct reactor *r, struct io_event *e)
{
    struct io_event *head = atomic_load_explicit(&r->foreign, memory_order_relaxed);
    do {
        e->next = head;
    } while (!atomic_compare_exchange_weak(&r->foreign, &head, e));
    reactor_wake(r);
}

/* -- posts ------------------------------------------------------------------------------------------ */
void rt_post(unsigned core, void (*fn)(void *arg), void *arg)
{
    struct reactor *r = rt_here();
    /* Room first: 50 us is a few turns of a busy peer. */
    while (core != r->core && r->out[core].n && r->current)
        (void)fiber_park(NULL, mono_add(r->now, 50 * NS_PER_US), false);
    smp_send(r, core, fn, arg);
}

/* -- calls -------------------------------------------------------------------------------------------- */
struct call_group { /* the caller's */
    unsigned left;  /* answers and echoes still to come */
    struct event done;
};

struct call {
    rt_call_fn *fn;
    void *arg;
    enum rt_class class;
    unsigned from, to;
    mono_ns deadline;
    struct call_group *group;
    struct scope *callee; /* callee's: while fn runs */
    bool cancelled;       /* callee's */
    err_t result;
    struct err_record err;
};

static void on_part_done(void *arg)
{
    struct call_group *g = ((struct call *)arg)->group;
    ASSERT(g->left > 0);
    if (--g->left == 0) event_signal(&g->done);
}

static void call_fiber(void *arg)
{
    struct call *c = arg;
    struct reactor *r = rt_here();
    struct scope s;
    scope_init(&s, NULL);
    fiber_move_scope(r->current, &s);
    c->callee = &s;
    if (c->cancelled) scope_cancel(&s);
    c->result = c->fn(c->arg);
    c->callee = NULL;
    fiber_move_scope(r->current, &r->root);
    scope_deinit(&s);
    c->err = *err_record();
    smp_send(r, c->from, on_part_done, c);
}

static void on_call(void *arg)
{
    struct call *c = arg;
    struct reactor *r = rt_here();
    struct fiber_opts o = { .name = "rt_call", .class = c->class, .deadline = c->deadline };
    err_t e = fiber_start(&r->root, &o, call_fiber, c);
    if (e == OK) return;
    c->result = e;
    c->err = *err_record();
    smp_send(r, c->from, on_part_done, c);
}

static void on_cancel(void *arg)
{
    struct call *c = arg;
    c->cancelled = true;
    if (c->callee) scope_cancel(c->callee);
    smp_send(rt_here(), c->from, on_part_done, c);
}

/* Sends n calls and waits for all of them, through a cancel if there is one. A deadline of ours that reaches
 * the callees as a cancel is told as what it is. */
static void calls_run(struct call *calls, unsigned n)
{
    struct reactor *r = rt_here();
    struct call_group g = { .left = n };
    ASSERT(r->current);
    for (unsigned i = 0; i < n; i++) {
        calls[i].from = r->core;
        calls[i].deadline = r->current->deadline;
        calls[i].group = &g;
        smp_send(r, calls[i].to, on_call, &calls[i]);
    }
    r->calls_out++;
    err_t why = OK;
    while (g.left) {
        err_t e = fiber_park(&g.done.waiters, (mono_ns){ 0 }, !why);
        if (e == OK || why || !g.left) continue;
        why = e;
        for (unsigned i = 0; i < n; i++) {
            g.left++;
            smp_send(r, calls[i].to, on_cancel, &calls[i]);
        }
    }
    r->calls_out--;
    for (unsigned i = 0; why == ERR_TIMEOUT && i < n; i++) {
        if (calls[i].result != ERR_CANCELED) continue;
        calls[i].result = ERR_TIMEOUT;
        calls[i].err = *err_record();
    }
}

static err_t take_result(const struct call *c)
{
    if (c->result) *err_record() = c->err;
    return c->result;
}

err_t rt_call(unsigned core, enum rt_class class, rt_call_fn *fn, void *arg)
{
    ASSERT(core < rt_cores());
    if (core == rt_core()) return fn(arg);
    struct call c = { .fn = fn, .arg = arg, .class = class, .to = core };
    calls_run(&c, 1);
    return take_result(&c);
}

err_t rt_call_all(enum rt_class class, rt_call_fn *fn, void *const *args, err_t *errs)
{
    unsigned n = rt_cores();
    struct call *calls = calloc(n, sizeof *calls);
    ASSERT(calls);
    for (unsigned i = 0; i < n; i++)
        calls[i] = (struct call){ .fn = fn, .arg = args[i], .class = class, .to = i };
    calls_run(calls, n);
    err_t first = OK;
    for (unsigned i = 0; i < n; i++) {
        if (errs) errs[i] = calls[i].result;
        if (!first && calls[i].result) first = take_result(&calls[i]);
    }
    free(calls);
    return first;
}

/* -- from other threads --------------------------------------------------------------------------------- */
struct foreign_post {
    struct io_event event;
    void (*fn)(void *arg);
    void *arg;
};

static void on_foreign(struct io_event *e)
{
    struct foreign_post *p = CONTAINER_OF(e, struct foreign_post, event);
    p->fn(p->arg);
    free(p);
}


void rt_post_foreign(unsigned core, void (*fn)(void *arg), void *arg)
{
    struct runtime *rt = rt_running;
    ASSERT(rt && core < rt->cores);
    struct foreign_post *p = malloc(sizeof *p);
    ASSERT(p);
    *p = (struct foreign_post){ .event = { .fn = on_foreign }, .fn = fn, .arg = arg };
    reactor_post_event(rt->reactors[core], &p->event);
}
