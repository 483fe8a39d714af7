/* Fibers: stacks, the switch (boost.context's two assembly routines, called from C), parking and waking.
 *
 * States:   ready -> running -> waiting -> ready -> ... -> running -> ended (back to the pool)
 *
 * Invariants
 *  1. A fiber is linked in exactly one of: the ready queue of its class (READY), nothing (RUNNING), at most one
 *     wait list (WAITING). Whoever wakes it unlinks it and disarms its timer first.
 *  2. Only the loop resumes fibers, and a fiber only switches back to the loop: the pair of contexts is
 *     (f->ctx, r->loop_ctx).
 *  3. The error record follows the switch, so a detail set before a wait is there after it.
 *  4. Stacks are anonymous mappings with an inaccessible page below them. They are pooled; what was touched below
 *     the first 64 KiB goes back to the kernel when the fiber ends. */
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/reactor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(a, b) 0u
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif
#ifdef RT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef RT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* boost.context, <boost/context/detail/fcontext.hpp>: a context is the saved stack pointer. */
struct transfer {
    void *ctx;
    void *data;
};
struct transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *stack_top, size_t size, void (*fn)(struct transfer));

enum {
#if defined(RT_ASAN) || defined(RT_TSAN)
    STACK_SIZE = 1 << 20, /* instrumented frames are several times larger */
#else
    STACK_SIZE = 256 << 10,
#endif
    GUARD = 4096,
    STACK_WARM = 64 << 10,
    STACK_LOW = 16 << 10, /* debug builds complain when less than this was left */
};

/* -- the switch ----------------------------------------------------------------------------------- */
static void to_loop(struct fiber *f, bool dying)
{
    struct reactor *r = f->r;
#ifdef RT_ASAN
    __sanitizer_start_switch_fiber(dying ? NULL : &f->fake_stack, r->loop_stack, r->loop_stack_size);
#endif
#ifdef RT_TSAN
    __tsan_switch_to_fiber(r->loop_tsan, 0);
#endif
    (void)dying;
    struct transfer t = jump_fcontext(r->loop_ctx, f);
    r->loop_ctx = t.ctx;
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(f->fake_stack, &r->loop_stack, &r->loop_stack_size);
#endif
}

static void fiber_finish(struct fiber *f);

static void fiber_main(struct transfer t)
{
    struct fiber *f = t.data;
    f->r->loop_ctx = t.ctx;
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(NULL, &f->r->loop_stack, &f->r->loop_stack_size);
#endif
    f->fn(f->arg);
    fiber_finish(f);
    to_loop(f, true);
    UNREACHABLE();
}

static void fiber_recycle(struct reactor *r, struct fiber *f);

void fiber_resume(struct reactor *r, struct fiber *f)
{
    ASSERT(!r->current && f->state == FIBER_READY && f->r == r);
    f->state = FIBER_RUNNING;
    f->slice_end = mono_add(r->now, RT_QUOTA_NS);
    r->current = f;
    r->switches++;
    err_record_use(&f->err);
#ifdef RT_TSAN
    r->loop_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
#ifdef RT_ASAN
    __sanitizer_start_switch_fiber(&r->loop_fake, f->stack, f->stack_size);
#endif
    struct transfer t = jump_fcontext(f->ctx, f);
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(r->loop_fake, NULL, NULL);
#endif
    err_record_use(NULL);
    r->current = NULL;
    f->ctx = t.ctx;
    if (f->state == FIBER_ENDED) fiber_recycle(r, f);
}

/* -- stacks ------------------------------------------------------------------------------------------- */
static struct fiber *fiber_alloc(struct reactor *r)
{
    struct fiber *f = r->free_fibers;
    if (f) {
        r->free_fibers = f->ready_next;
        r->nfree--;
        return f;
    }
    char *map = mmap(NULL, STACK_SIZE + GUARD, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED) return NULL;
    if (mprotect(map, GUARD, PROT_NONE) != 0 || !(f = calloc(1, sizeof *f))) {
        munmap(map, STACK_SIZE + GUARD);
        return NULL;
    }
    f->stack = map + GUARD;
    f->stack_size = STACK_SIZE;
    f->valgrind_id = VALGRIND_STACK_REGISTER(f->stack, f->stack + STACK_SIZE);
    return f;
}

static void fiber_release(struct fiber *f)
{
    VALGRIND_STACK_DEREGISTER(f->valgrind_id);
    munmap(f->stack - GUARD, STACK_SIZE + GUARD);
    free(f);
}

#ifndef RT_ASAN
/* How much of the stack was never written? Pages that were not touched read as zeros. */
__attribute__((unused)) static void check_watermark(const struct fiber *f)
{
    const char *p = f->stack;
    while (p < f->stack + STACK_LOW) {
        if (*(const uint64_t *)(const void *)p) {
            log_warn("rt.stack_low", "fiber=%s left_bytes=%zu of=%d", f->name, (size_t)(p - f->stack),
                     STACK_SIZE);
            return;
        }
        p += sizeof(uint64_t);
    }
}

static void stack_tidy(struct fiber *f)
{
#ifdef TERCET_DEBUG
    check_watermark(f);
#endif
    char *warm = f->stack + f->stack_size - STACK_WARM;
    const uint64_t *page = (const uint64_t *)(const void *)(warm - 4096);
    uint64_t used = 0;
    for (unsigned i = 0; i < 512; i++)
        used |= page[i];
    if (used) (void)madvise(f->stack, (size_t)(warm - f->stack), MADV_DONTNEED);
}
#endif

static void fiber_recycle(struct reactor *r, struct fiber *f)
{
#ifdef RT_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
#ifdef RT_ASAN
    __asan_unpoison_memory_region(f->stack, f->stack_size);
#else
    stack_tidy(f);
#endif
    if (r->nfree >= RT_STACKS_KEPT) {
        fiber_release(f);
        return;
    }
    f->ready_next = r->free_fibers;
    r->free_fibers = f;
    r->nfree++;
}

void fiber_free_pool(struct reactor *r)
{
    for (struct fiber *f; (f = r->free_fibers);) {
        r->free_fibers = f->ready_next;
        fiber_release(f);
    }
    r->nfree = 0;
}

/* -- start and end ------------------------------------------------------------------------------------ */
static void scope_add(struct scope *s, struct fiber *f)
{
    f->scope = s;
    f->sib_prev = NULL;
    f->sib_next = s->children;
    if (f->sib_next) f->sib_next->sib_prev = f;
    s->children = f;
    s->live++;
}

static void scope_remove(struct fiber *f)
{
    struct scope *s = f->scope;
    ASSERT(s->live > 0);
    if (f->sib_prev) {
        f->sib_prev->sib_next = f->sib_next;
    } else {
        s->children = f->sib_next;
    }
    if (f->sib_next) f->sib_next->sib_prev = f->sib_prev;
    if (--s->live == 0) fiber_wake_all(&s->joiner, OK);
}

void fiber_move_scope(struct fiber *f, struct scope *to)
{
    scope_remove(f);
    scope_add(to, f);
}

err_t fiber_start(struct scope *s, const struct fiber_opts *o, fiber_fn *fn, void *arg)
{
    struct reactor *r = rt_here();
    ASSERT(s->core == r->core);
    ASSERT(o->name && o->class < RT_CLASSES);
    struct fiber *f = NULL;
    if (r->live < RT_FIBERS_MAX && !errinj_hit(EI_FIBER_START)) f = fiber_alloc(r);
    if (!f) {
        metric_add(M_FIBERS_REFUSED, 1);
        return err_set(ERR_OVERLOAD, "no fiber for '%s': %u of at most %d run on this core", o->name,
                       r->live, RT_FIBERS_MAX);
    }
    char *stack = f->stack;
    unsigned valgrind_id = f->valgrind_id;
    *f = (struct fiber){ .r = r, .stack = stack, .stack_size = STACK_SIZE, .valgrind_id = valgrind_id,
                         .name = o->name, .class = o->class, .deadline = o->deadline, .fn = fn,
                         .arg = arg };
#ifdef RT_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    f->ctx = make_fcontext(stack + STACK_SIZE, STACK_SIZE, fiber_main);
    scope_add(s, f);
    f->all_next = r->all;
    if (r->all) r->all->all_prev = f;
    r->all = f;
    r->live++;
    metric_add(M_FIBERS, 1);
    fiber_ready(f);
    return OK;
}

static void unlink_all(struct fiber *f)
{
    struct reactor *r = f->r;
    if (f->all_prev) {
        f->all_prev->all_next = f->all_next;
    } else {
        r->all = f->all_next;
    }
    if (f->all_next) f->all_next->all_prev = f->all_prev;
    r->live--;
    metric_add(M_FIBERS, -1);
}

static void fiber_finish(struct fiber *f)
{
    ASSERT(f->state == FIBER_RUNNING && !f->wait_list);
    f->state = FIBER_ENDED;
    unlink_all(f);
    scope_remove(f);
}

void fiber_abandon_all(struct reactor *r)
{
    for (struct fiber *f; (f = r->all);) {
        unlink_all(f);
#ifdef RT_TSAN
        __tsan_destroy_fiber(f->tsan);
#endif
#ifdef RT_ASAN
        __asan_unpoison_memory_region(f->stack, f->stack_size);
#endif
        fiber_release(f);
    }
}

void fiber_log_live(struct reactor *r, const char *why)
{
    unsigned shown = 0;
    for (struct fiber *f = r->all; f && shown < 16; f = f->all_next, shown++)
        log_error("rt.fiber", "why=\"%s\" core=%u fiber=%s state=%d cancellable=%d", why, r->core,
                  f->name, (int)f->state, f->cancellable);
}

/* -- the ready queues ----------------------------------------------------------------------------------- */
/* Shares of a reactor's time; membership is tiny and always first. */
static const int64_t shares[RT_CLASSES] = { [RT_MEMBERSHIP] = 1000, [RT_INGEST] = 400,
                                            [RT_REPLICATION] = 300, [RT_QUERY] = 200,
                                            [RT_MAINTENANCE] = 100 };

void fiber_ready(struct fiber *f)
{
    struct reactor *r = f->r;
    f->state = FIBER_READY;
    f->ready_next = NULL;
    if (r->ready[f->class].tail) {
        r->ready[f->class].tail->ready_next = f;
    } else {
        /* A class that was idle has saved up nothing: it starts level with the least served. */
        int64_t least = INT64_MAX;
        for (unsigned c = 0; c < RT_CLASSES; c++)
            if (r->ready[c].head) least = MIN(least, r->ready[c].used);
        if (least != INT64_MAX) r->ready[f->class].used = MAX(r->ready[f->class].used, least);
        r->ready[f->class].head = f;
    }
    r->ready[f->class].tail = f;
    r->nready++;
}

/* In the simulator: any of the first four of any class, by the seed. */
static struct fiber *pop_seeded(struct reactor *r)
{
    unsigned c = (unsigned)(r->io->ops->random(r->io) % RT_CLASSES);
    while (!r->ready[c].head)
        c = (c + 1) % RT_CLASSES;
    struct fiber *prev = NULL, *f = r->ready[c].head;
    for (uint64_t skip = r->io->ops->random(r->io) % 4; skip && f->ready_next; skip--) {
        prev = f;
        f = f->ready_next;
    }
    if (prev) {
        prev->ready_next = f->ready_next;
    } else {
        r->ready[c].head = f->ready_next;
    }
    if (!f->ready_next) r->ready[c].tail = prev;
    return f;
}

struct fiber *fiber_pop_ready(struct reactor *r)
{
    if (!r->nready) return NULL;
    r->nready--;
    if (r->rt->sim) return pop_seeded(r);
    unsigned best = RT_CLASSES;
    for (unsigned c = 0; c < RT_CLASSES; c++) {
        if (!r->ready[c].head) continue;
        if (c == RT_MEMBERSHIP) {
            best = c;
            break;
        }
        if (best == RT_CLASSES || r->ready[c].used < r->ready[best].used) best = c;
    }
    ASSERT(best < RT_CLASSES);
    struct fiber *f = r->ready[best].head;
    r->ready[best].head = f->ready_next;
    if (!f->ready_next) r->ready[best].tail = NULL;
    return f;
}

/* -- parking and waking --------------------------------------------------------------------------------- */
bool fiber_cancelled(const struct fiber *f)
{
    if (f->r->stopping) return true;
    for (const struct scope *s = f->scope; s; s = s->parent)
        if (s->cancelled) return true;
    return false;
}

static void list_add(void **list, struct fiber *f)
{
    struct fiber *head = *list;
    f->wait_list = list;
    if (!head) {
        f->wait_prev = f->wait_next = f;
        *list = f;
        return;
    }
    f->wait_next = head;
    f->wait_prev = head->wait_prev;
    head->wait_prev->wait_next = f;
    head->wait_prev = f;
}

static void list_remove(struct fiber *f)
{
    if (!f->wait_list) return;
    if (f->wait_next == f) {
        *f->wait_list = NULL;
    } else {
        f->wait_prev->wait_next = f->wait_next;
        f->wait_next->wait_prev = f->wait_prev;
        if (*f->wait_list == f) *f->wait_list = f->wait_next;
    }
    f->wait_list = NULL;
}

static void on_wait_deadline(struct timer *t)
{
    fiber_wake(CONTAINER_OF(t, struct fiber, timer), ERR_TIMEOUT);
}

err_t fiber_park(void **list, mono_ns deadline, bool cancellable)
{
    struct reactor *r = rt_here();
    struct fiber *f = r->current;
    ASSERT(f && f->state == FIBER_RUNNING);
    mono_ns until = deadline.ns ? deadline : MONO_NEVER;
    bool fibers_own = false;
    if (cancellable) {
        if (fiber_cancelled(f)) return err_set(ERR_CANCELED, "%s was cancelled", f->name);
        if (f->deadline.ns && f->deadline.ns < until.ns) {
            until = f->deadline;
            fibers_own = true;
        }
    }
    if (list) list_add(list, f);
    if (until.ns != INT64_MAX) timer_arm(&f->timer, until, on_wait_deadline);
    f->state = FIBER_WAITING;
    f->cancellable = cancellable;
    to_loop(f, false);
    ASSERT(f->state == FIBER_RUNNING && !f->wait_list);
    if (f->woken_with == ERR_CANCELED) return err_set(ERR_CANCELED, "%s was cancelled", f->name);
    if (f->woken_with == ERR_TIMEOUT)
        return err_set(ERR_TIMEOUT, fibers_own ? "%s ran past its deadline" : "a wait of %s timed out",
                       f->name);
    return f->woken_with;
}

void fiber_wake(struct fiber *f, err_t with)
{
    ASSERT(f->state == FIBER_WAITING);
    list_remove(f);
    timer_disarm(&f->timer);
    f->woken_with = with;
    fiber_ready(f);
}

void fiber_wake_all(void **list, err_t with)
{
    while (*list)
        fiber_wake(*list, with);
}

void fiber_cancel_waiting(struct reactor *r)
{
    for (struct fiber *f = r->all; f; f = f->all_next)
        if (f->state == FIBER_WAITING && f->cancellable && fiber_cancelled(f))
            fiber_wake(f, ERR_CANCELED);
}

void fiber_yield(void)
{
    struct fiber *f = rt_here()->current;
    ASSERT(f && f->state == FIBER_RUNNING);
    fiber_ready(f);
    to_loop(f, false);
}

err_t fiber_sleep(int64_t ns)
{
    struct reactor *r = rt_here();
    r->now = r->io->ops->now(r->io);
    err_t e = fiber_park(NULL, mono_add(r->now, MAX(ns, 0) + 1), true);
    struct fiber *f = r->current;
    /* The end of the sleep is no error; the fiber's own deadline is. */
    if (e == ERR_TIMEOUT && !(f->deadline.ns && r->now.ns >= f->deadline.ns)) return OK;
    return e;
}

err_t rt_checkpoint(void)
{
    struct reactor *r = rt_self;
    if (!r || !r->current) return OK;
    struct fiber *f = r->current;
    r->now = r->io->ops->now(r->io);
    if (r->now.ns >= f->slice_end.ns) fiber_yield();
    if (fiber_cancelled(f)) return err_set(ERR_CANCELED, "%s was cancelled", f->name);
    if (f->deadline.ns && r->now.ns >= f->deadline.ns)
        return err_set(ERR_TIMEOUT, "%s ran past its deadline", f->name);
    return OK;
}

void fiber_set_deadline(mono_ns deadline)
{
    ASSERT(rt_in_fiber());
    rt_self->current->deadline = deadline;
}

mono_ns fiber_deadline(void)
{
    ASSERT(rt_in_fiber());
    return rt_self->current->deadline;
}

struct scope *fiber_scope(void)
{
    ASSERT(rt_in_fiber());
    return rt_self->current->scope;
}

int64_t rt_class_share(enum rt_class c)
{
    return shares[c];
}
