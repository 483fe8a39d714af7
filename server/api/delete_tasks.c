#include "server/api/delete_tasks.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "cluster/deletions.h"
#include "server/api/delete_doc.h"
#include "server/api/delete_tasks_int.h"

#include <inttypes.h>
#include <stdlib.h>

enum { RETRY_MS = 5000, POLL_MIN_MS = 2, POLL_MAX_MS = 100, OWN_WAIT_MS = 1000, ERROR_MAX = 400 };

/* -- one task ---------------------------------------------------------------------------------------------------------- */

static err_t run_filter(struct delete_tasks *t, const struct delete_entry *e, const struct delete_spec *x, struct arena *a, uint64_t *rows)
{
    struct delete_filter f;
    bool gone;
    uint64_t n = 0;
    err_t err = delete_doc_filter(t->store, e->tenant, x, a, &f, &gone);
    if (err == OK && !gone) err = delete_run(t->store, e->tenant, e->generation, &f, t->budget, &n);
    struct err_record why = *err_record();
    delete_filter_free(&f);
    *err_record() = why;
    *rows += n;
    return err;
}

static err_t save(struct delete_tasks *t, struct delete_entry *e, struct delete_task *task, const char *state, bool done, struct arena *a)
{
    task->state = str_of(state);
    e->done = done;
    TRY(delete_doc_write(task, a, &e->doc));
    return store_delete_update(t->store, e);
}

static bool worth_a_retry(err_t e)
{
    return err_retryable(e) || e == ERR_LIMIT || e == ERR_CANCELED || e == ERR_IO;
}

/* False when it is to be tried again. */
static bool run_task(struct delete_tasks *t, struct delete_entry *e)
{
    struct arena a;
    struct delete_task task;
    mono_ns began = rt_now();
    arena_init(&a, t->budget);
    err_t err = delete_doc_read(e->doc, &a, &task);
    if (err == OK) err = save(t, e, &task, "running", false, &a);
    if (err == OK) err = run_filter(t, e, &task.spec, &a, &task.rows);
    bool retry = err != OK && (task.joint || worth_a_retry(err)); /* others made it, too: it must be done */
    task.error = err == OK ? STR("") : str_sub(arena_printf(&a, "%s", err_detail()), 0, ERROR_MAX);
    if (err != OK) log_warn("delete.task", "id=%" PRIu64 " retry=%d error=%s", e->id, retry, err_detail());
    err_t saved = save(t, e, &task, err == OK ? "done" : retry ? "waiting" : "failed", !retry, &a);
    if (saved != OK) log_warn("delete.task", "id=%" PRIu64 " error=%s", e->id, err_detail());
    if (err == OK && saved == OK)
        log_info("delete.task", "id=%" PRIu64 " rows=%" PRIu64 " ms=%lld", e->id, task.rows, (long long)((rt_now().ns - began.ns) / NS_PER_MS));
    arena_deinit(&a);
    return saved == OK && !retry;
}

/* -- the runner -------------------------------------------------------------------------------------------------------- */

/* Oldest first. False when some are left. */
static bool run_all(struct delete_tasks *t)
{
    struct arena a;
    struct delete_entry *list;
    uint32_t n = 0;
    bool all = true;
    arena_init(&a, NULL);
    err_t e = store_delete_list(t->store, &a, &list, &n);
    if (e != OK) log_warn("delete.list", "error=%s", err_detail());
    for (uint32_t i = 0; e == OK && i < n && !t->closing; i++)
        if (!list[i].done) all &= run_task(t, &list[i]);
    arena_deinit(&a);
    return all && e == OK;
}

static void runner(void *arg)
{
    struct delete_tasks *t = arg;
    bool all = false; /* those of an earlier life */
    while (!t->closing) {
        event_reset(&t->wake);
        all = run_all(t);
        if (t->closing) break;
        mono_ns at = all ? (mono_ns){ INT64_MAX } : mono_add(rt_now(), (int64_t)RETRY_MS * NS_PER_MS);
        err_t e = event_wait_until(&t->wake, at);
        if (e == ERR_CANCELED) break;
    }
}

err_t delete_tasks_start(struct store *s, struct cluster *cluster, struct budget *budget, struct delete_tasks **out)
{
    struct delete_tasks *t = calloc(1, sizeof *t);
    ASSERT(t != NULL && rt_core() == 0);
    t->store = s;
    t->cluster = cluster;
    t->budget = budget;
    event_init(&t->wake);
    scope_init(&t->scope, NULL);
    const struct fiber_opts o = { .name = "deletes", .class = RT_MAINTENANCE };
    err_t e = fiber_start(&t->scope, &o, runner, t);
    if (e != OK) {
        free(t);
        return e;
    }
    if (cluster) delete_joint_follow(t);
    *out = t;
    return OK;
}

void delete_tasks_stop(struct delete_tasks *t)
{
    if (t->cluster) deletions_follow_end(t->cluster);
    t->closing = true;
    event_signal(&t->wake);
    scope_cancel(&t->scope);
    err_t e = scope_join(&t->scope);
    (void)e;
    scope_deinit(&t->scope);
    free(t);
}

/* -- requests ---------------------------------------------------------------------------------------------------------- */

static err_t wake_here(void *arg)
{
    struct delete_tasks *t = arg;
    event_signal(&t->wake);
    return OK;
}

bool delete_tasks_joint(const struct delete_tasks *t)
{
    if (!t->cluster) return false;
    struct map *map = cluster_map(t->cluster);
    bool alone = map->alone;
    map_put(map);
    return !alone;
}

err_t delete_tasks_submit(struct delete_tasks *t, struct str tenant, const struct delete_spec *spec, struct arena *a, struct delete_task *out)
{
    struct delete_filter f;
    bool gone;
    *out = (struct delete_task){ .spec = *spec, .created_s = rt_wall().ns / NS_PER_S, .state = STR("waiting"), .error = STR("") };
    err_t e = delete_doc_filter(t->store, tenant, spec, a, &f, &gone);
    struct err_record why = *err_record();
    delete_filter_free(&f);
    *err_record() = why;
    TRY(e);
    struct delete_entry entry = { .tenant = tenant, .signal = spec->lang == DELETE_SERIES ? SIG_EXEMPLARS : SIG_SPANS };
    if (spec->lang == DELETE_QUICKWIT || spec->lang == DELETE_ELASTIC) {
        struct index_entry *ix = ARENA_NEW(a, struct index_entry);
        TRY(indexes_get(t->store, tenant, spec->index, a, ix));
        entry.signal = ix->log.signal;
        out->spec.uid = ix->uid;
        if (!ix->builtin) out->spec.config = json_val_text(ix->config.json, a);
    }
    if (delete_tasks_joint(t)) return delete_joint_submit(t, tenant, a, out);
    out->spec.config = STR("");
    TRY(delete_doc_write(out, a, &entry.doc));
    TRY(store_delete_begin(t->store, &entry));
    out->id = entry.id;
    return rt_call(0, RT_MAINTENANCE, wake_here, t);
}

static err_t list_here(struct delete_tasks *t, struct str tenant, struct arena *a, struct delete_task **out, uint32_t *n)
{
    struct delete_entry *list;
    uint32_t all;
    *n = 0;
    TRY(store_delete_list(t->store, a, &list, &all));
    *out = ARENA_ARRAY(a, struct delete_task, (size_t)all + 1);
    for (uint32_t i = all; i-- > 0;) {
        if (!str_eq(list[i].tenant, tenant)) continue;
        struct delete_task *task = &(*out)[*n];
        TRY(delete_doc_read(list[i].doc, a, task));
        task->done = list[i].done;
        if (!task->joint) task->id = list[i].id;
        (*n)++;
    }
    return arena_check(a);
}

err_t delete_tasks_list(struct delete_tasks *t, struct str tenant, struct str index, struct arena *a, struct delete_task **out, uint32_t *n)
{
    uint32_t all, kept = 0;
    TRY(list_here(t, tenant, a, out, &all));
    if (t->cluster) TRY(delete_joint_tell(t, tenant, a, out, &all));
    for (uint32_t i = 0; i < all; i++)
        if (index.n == 0 || str_eq((*out)[i].spec.index, index)) (*out)[kept++] = (*out)[i];
    *n = kept;
    return arena_check(a);
}

static bool made_here(const struct delete_tasks *t, uint64_t id)
{
    uint64_t *ids;
    uint32_t n;
    bool made = false;
    if (!t->cluster) return true;
    deletions_finished(t->cluster, &ids, &n);
    for (uint32_t i = 0; i < n; i++) made |= ids[i] == id;
    free(ids);
    return made;
}

err_t delete_tasks_wait(struct delete_tasks *t, struct str tenant, uint64_t id, int64_t wait_ns, struct arena *a, struct delete_task *out)
{
    mono_ns end = mono_add(rt_now(), wait_ns);
    int64_t pause_ms = POLL_MIN_MS;
    bool done;
    for (;;) {
        if (delete_joint_id(id)) TRY(delete_joint_done(t, id, &done));
        else TRY(store_delete_done(t->store, id, &done));
        if (done || rt_now().ns >= end.ns) break;
        TRY(fiber_sleep(MIN(pause_ms * NS_PER_MS, end.ns - rt_now().ns + 1)));
        pause_ms = MIN(pause_ms * 2, POLL_MAX_MS);
    }
    /* Other nodes may be done before this one, which tells how many rows it deleted: it is seldom late. */
    mono_ns own = mono_add(rt_now(), OWN_WAIT_MS * NS_PER_MS);
    while (done && delete_joint_id(id) && rt_now().ns < MIN(own.ns, end.ns) && !made_here(t, id))
        TRY(fiber_sleep(POLL_MIN_MS * NS_PER_MS));
    struct delete_task *list;
    uint32_t n;
    TRY(delete_tasks_list(t, tenant, STR(""), a, &list, &n));
    for (uint32_t i = 0; i < n; i++)
        if (list[i].id == id) return *out = list[i], OK;
    return err_set(ERR_NOT_FOUND, "no deletion %" PRIu64, id);
}

err_t delete_tasks_finish(struct delete_tasks *t, struct str tenant, int64_t wait_ns, struct arena *a, struct delete_task *task)
{
    TRY(delete_tasks_wait(t, tenant, task->id, wait_ns, a, task));
    if (task->done && task->error.n == 0) return OK;
    if (task->done) return err_set(ERR_INTERNAL, "deletion %" PRIu64 " failed: " STR_FMT, task->id, STR_ARG(task->error));
    return err_set(ERR_UNAVAILABLE, "deletion %" PRIu64 " is recorded and goes on, but is not made on enough nodes yet: " STR_FMT, task->id, STR_ARG(task->error));
}
