#include "storage/object_gate.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"

#include <stdio.h>

void object_away_init(struct object_away *a)
{
    *a = (struct object_away){ 0 };
    int e = pthread_mutex_init(&a->lock, NULL);
    ASSERT(e == 0);
}

void object_away_deinit(struct object_away *a)
{
    pthread_mutex_destroy(&a->lock);
}

void object_gate_init(struct object_gate *g, struct object_store *store, struct object_away *all)
{
    *g = (struct object_gate){ .retry = object_retry(store, OBJECT_READ_TRIES), .all = all };
    g->retry.last_try_ns = (int64_t)GATE_NO_TRY_AFTER_MS * NS_PER_MS;
    ASSERT(store->reads > 0);
    rt_sem_init(&g->reads, store->reads);
    scope_init(&g->scope, NULL);
}

static void open_again(struct object_gate *g)
{
    g->probing = false;
    atomic_store(&g->all->shut, false);
    metric_set(M_OBJECT_AWAY, 0);
}

void object_gate_deinit(struct object_gate *g)
{
    scope_cancel(&g->scope);
    err_t e = scope_join(&g->scope);
    ASSERT(e == OK || e == ERR_CANCELED);
    scope_deinit(&g->scope);
    if (g->probing) open_again(g); /* another core looks for itself */
}

static void probe(void *arg)
{
    struct object_gate *g = arg;
    mono_ns since = rt_now();
    int64_t wait_ms = GATE_PROBE_MS;
    for (;;) {
        char byte;
        size_t got;
        if (fiber_sleep(wait_ms * NS_PER_MS) != OK) return;
        wait_ms = MIN(wait_ms * 2, (int64_t)GATE_PROBE_MAX_MS);
        const struct object_retry once = object_retry(g->retry.store, 1);
        err_t e = object_get_range(&once, str_of(g->name), 0, 1, &byte, &got);
        if (e == ERR_CANCELED) return;
        if (e == OK || e == ERR_NOT_FOUND) break;
    }
    open_again(g);
    log_info("object.answers", "bucket=%s after_s=%lld", g->retry.store->name(g->retry.store), (long long)((rt_now().ns - since.ns) / NS_PER_S));
}

static void shut(struct object_gate *g, struct str name, err_t e)
{
    struct object_away *a = g->all;
    const struct fiber_opts o = { .name = "object.probe", .class = RT_MAINTENANCE };
    pthread_mutex_lock(&a->lock);
    bool first = !atomic_load(&a->shut); /* of several reads that were on their way */
    if (first) {
        a->code = e;
        snprintf(a->why, sizeof a->why, "%s", err_detail());
        snprintf(g->name, sizeof g->name, STR_FMT, STR_ARG(name));
        first = g->probing = fiber_start(&g->scope, &o, probe, g) == OK; /* without a probe it would stay shut */
        atomic_store(&a->shut, first);
    }
    pthread_mutex_unlock(&a->lock);
    if (!first) return;
    metric_set(M_OBJECT_AWAY, 1);
    log_warn("object.away", "bucket=%s error=\"%s\" effect=\"what is in the bucket alone is missing from answers, which say so\"",
             g->retry.store->name(g->retry.store), a->why);
}

static err_t fail_at_once(struct object_gate *g)
{
    struct object_away *a = g->all;
    g->failures++;
    pthread_mutex_lock(&a->lock);
    err_t e = err_set(a->code, "%s", a->why);
    pthread_mutex_unlock(&a->lock);
    return e;
}

err_t object_gate_read(struct object_gate *g, struct str name, uint64_t off, size_t n, void *to, size_t *got)
{
    if (atomic_load(&g->all->shut)) return fail_at_once(g);
    TRY(sem_take(&g->reads, 1));
    bool late = atomic_load(&g->all->shut);
    err_t e = late ? fail_at_once(g) : object_get_range(&g->retry, name, off, n, to, got);
    sem_give(&g->reads, 1);
    if (e == OK || e == ERR_CANCELED || late) return e;
    struct err_record why = *err_record();
    g->failures++;
    if (e != ERR_NOT_FOUND && e != ERR_CORRUPT) shut(g, name, e);
    *err_record() = why;
    return e;
}
