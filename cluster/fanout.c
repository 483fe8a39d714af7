#include "cluster/fanout.h"

#include "base/core/assert.h"

#include <stdlib.h>

struct running;
struct one {
    struct running *all;
    uint32_t i;
};
struct running {
    const struct fanout *f;
    struct scope scope;
    struct event ended;
    struct one *ones;
    uint32_t started, open;
    mono_ns next; /* begins then, in steps */
};

static void one_fiber(void *arg)
{
    struct one *o = arg;
    struct running *r = o->all;
    r->f->one(r->f->ctx, o->i);
    r->open--;
    event_signal(&r->ended);
}

static err_t start_due(struct running *r)
{
    const struct fanout *f = r->f;
    const struct fiber_opts fo = { .name = f->name, .class = f->class, .deadline = fiber_deadline() };
    while (r->started < f->n && (f->step_ns == 0 || r->open == 0 || rt_now().ns >= r->next.ns)) {
        struct one *o = &r->ones[r->started];
        *o = (struct one){ r, r->started };
        TRY(fiber_start(&r->scope, &fo, one_fiber, o));
        r->started++;
        r->open++;
        r->next = mono_add(rt_now(), f->step_ns);
    }
    return OK;
}

static err_t run(struct running *r)
{
    const struct fanout *f = r->f;
    for (;;) {
        TRY(start_due(r));
        if (r->open == 0) return OK;
        mono_ns until = f->every_ns ? mono_add(rt_now(), f->every_ns) : MONO_NEVER;
        if (f->step_ns && r->started < f->n && r->next.ns < until.ns) until = r->next;
        event_reset(&r->ended);
        err_t e = event_wait_until(&r->ended, until);
        if (e == ERR_CANCELED) return e;
        if (e == ERR_TIMEOUT && rt_now().ns < until.ns) return OK; /* of the caller's own, which its next wait will tell */
        if (f->enough && f->enough(f->ctx)) return OK;
    }
}

err_t fanout_run(const struct fanout *f)
{
    struct running r = { .f = f, .ones = calloc((size_t)f->n + 1, sizeof *r.ones) };
    ASSERT(r.ones != NULL);
    event_init(&r.ended);
    scope_init(&r.scope, fiber_scope());
    err_t e = run(&r);
    if (r.open > 0) scope_cancel(&r.scope);
    struct err_record why = *err_record();
    err_t joined = scope_join(&r.scope);
    scope_deinit(&r.scope);
    free(r.ones);
    *err_record() = why;
    return e != OK ? e : joined;
}
