/* Timers: a binary heap of pointers by due time, one a reactor. heap_idx is a timer's place, 0 = not armed.
 * Callbacks run in the loop; a callback may arm and disarm anything, itself included. */
#include "base/rt/reactor.h"

#include <stdlib.h>

static void place(struct timers *h, uint32_t i, struct timer *t)
{
    h->v[i] = t;
    t->heap_idx = i;
}

static void sift_up(struct timers *h, uint32_t i)
{
    struct timer *t = h->v[i];
    for (; i > 1 && t->at.ns < h->v[i / 2]->at.ns; i /= 2)
        place(h, i, h->v[i / 2]);
    place(h, i, t);
}

static void sift_down(struct timers *h, uint32_t i)
{
    struct timer *t = h->v[i];
    for (uint32_t child; (child = 2 * i) <= h->n; i = child) {
        if (child < h->n && h->v[child + 1]->at.ns < h->v[child]->at.ns) child++;
        if (t->at.ns <= h->v[child]->at.ns) break;
        place(h, i, h->v[child]);
    }
    place(h, i, t);
}

void timer_arm(struct timer *t, mono_ns at, void (*fn)(struct timer *))
{
    struct timers *h = &rt_here()->timers;
    timer_disarm(t);
    t->at = at;
    t->fn = fn;
    if (h->n + 2 > h->cap) {
        h->cap = MAX(h->cap * 2, 64);
        h->v = realloc(h->v, h->cap * sizeof *h->v);
        ASSERT(h->v); /* bounded by fibers and connections, which are */
    }
    place(h, ++h->n, t);
    sift_up(h, h->n);
}

void timer_disarm(struct timer *t)
{
    if (!t->heap_idx) return;
    struct timers *h = &rt_here()->timers;
    uint32_t i = t->heap_idx;
    ASSERT(i <= h->n && h->v[i] == t);
    t->heap_idx = 0;
    struct timer *last = h->v[h->n--];
    if (last == t) return;
    place(h, i, last);
    sift_up(h, i);
    sift_down(h, last->heap_idx);
}

void timers_run(struct reactor *r)
{
    struct timers *h = &r->timers;
    while (h->n && h->v[1]->at.ns <= r->now.ns) {
        struct timer *t = h->v[1];
        timer_disarm(t);
        t->fn(t);
    }
}

mono_ns reactor_next_timer(struct reactor *r)
{
    return r->timers.n ? r->timers.v[1]->at : MONO_NEVER;
}

void timers_deinit(struct reactor *r)
{
    free(r->timers.v);
    r->timers = (struct timers){ 0 };
}
