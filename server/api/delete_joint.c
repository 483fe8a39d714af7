/* Deletions by query that other nodes make, too: what cluster/deletions.h asks of the floors above, and what is told of them. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "cluster/deletions.h"
#include "server/api/delete_doc.h"
#include "server/api/delete_tasks_int.h"

#include <inttypes.h>

enum { JOINT_BITS = 40 /* a node's own numbers count from 1; those of the cluster begin with the time */ };

/* -- making one ---------------------------------------------------------------------------------------------------- */

/* The last whole millisecond that is not after it. */
static int64_t floor_ms(int64_t ns)
{
    return ns / NS_PER_MS - (ns % NS_PER_MS < 0);
}

/* The series go by tombstones, their exemplars by marks. The selectors' regexes live until the caller frees the filter. */
static err_t series_tombs(const struct delete_spec *x, const struct delete_filter *f, struct arena *a, struct delete_joint *out)
{
    struct tombstone_spec *t = ARENA_ARRAY(a, struct tombstone_spec, (size_t)f->nseries + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < f->nseries; i++) {
        const struct pq_selector *sel = f->series[i].root->sel;
        t[i] = (struct tombstone_spec){ .tenant = x->tenant, .signal = SIG_METRICS, .m = sel->m, .nm = sel->nm,
                                        .tmin_ms = x->start_ns == INT64_MIN ? INT64_MIN : floor_ms(x->start_ns - 1) + 1,
                                        .tmax_ms = x->end_ns == INT64_MAX ? INT64_MAX : floor_ms(x->end_ns - 1) };
    }
    out->tombs = t;
    out->ntombs = f->nseries;
    return OK;
}

static err_t begin_with(struct delete_tasks *t, struct delete_task *task, deletion_record *record, void *record_ctx, struct arena *a)
{
    struct delete_filter f;
    bool gone;
    err_t e = delete_doc_filter(t->store, task->spec.tenant, &task->spec, a, &f, &gone);
    struct delete_entry entry = { .tenant = task->spec.tenant, .signal = f.signal };
    struct delete_joint joint = { .entry = &entry, .record = record, .ctx = record_ctx };
    if (e == OK && task->spec.lang == DELETE_SERIES) e = series_tombs(&task->spec, &f, a, &joint);
    if (e == OK) e = delete_doc_write(task, a, &entry.doc);
    if (e == OK) e = store_delete_joint(t->store, &joint);
    struct err_record why = *err_record();
    delete_filter_free(&f);
    *err_record() = why;
    return e;
}

static err_t begin(void *ctx, uint64_t id, struct str doc, deletion_record *record, void *record_ctx)
{
    struct delete_tasks *t = ctx;
    struct delete_task task;
    struct arena a;
    arena_init(&a, t->budget);
    err_t e = delete_doc_read(doc, &a, &task);
    task.id = id;
    task.joint = true;
    task.state = STR("waiting");
    if (e == OK) e = begin_with(t, &task, record, record_ctx, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static void begun(void *ctx)
{
    struct delete_tasks *t = ctx;
    event_signal(&t->wake);
}

static err_t cut(void *ctx, struct str doc, struct batch *b, struct arena *a, struct budget *budget, bool *concerns, uint64_t *rows)
{
    struct delete_tasks *t = ctx;
    struct delete_task task;
    struct delete_filter f;
    bool gone;
    TRY(delete_doc_read(doc, a, &task));
    if (!str_eq(task.spec.tenant, b->tenant)) return OK;
    err_t e = delete_doc_filter(t->store, task.spec.tenant, &task.spec, a, &f, &gone);
    if (e == OK) e = delete_cut_batch(&f, task.spec.tenant, b, a, budget, concerns, rows);
    struct err_record why = *err_record();
    delete_filter_free(&f);
    *err_record() = why;
    return e;
}

void delete_joint_follow(struct delete_tasks *t)
{
    const struct deletion_hooks h = { begin, begun, cut, t };
    deletions_follow(t->cluster, &h);
}

err_t delete_joint_submit(struct delete_tasks *t, struct str tenant, struct arena *a, struct delete_task *task)
{
    struct str doc;
    task->spec.tenant = tenant;
    task->joint = false; /* the document says no number: its key is it */
    TRY(delete_doc_write(task, a, &doc));
    task->joint = true;
    return deletions_begin(t->cluster, doc, &task->id);
}

/* -- telling of them --------------------------------------------------------------------------------------------------- */

bool delete_joint_id(uint64_t id)
{
    return id >> JOINT_BITS != 0;
}

err_t delete_joint_done(struct delete_tasks *t, uint64_t id, bool *done)
{
    struct deletion_state s = { .id = id };
    struct arena a;
    *done = true;
    if (!t->cluster) return OK;
    arena_init(&a, NULL);
    err_t e = deletions_states(t->cluster, &s, 1, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    *done = s.settled;
    return e;
}

/* Newest first: they are newer than any that were begun. */
static err_t add_waiting(struct delete_tasks *t, struct str tenant, struct arena *a, struct delete_task **list, uint32_t *n)
{
    struct deletion_doc *docs;
    uint32_t ndocs, all = 0;
    deletions_list(t->cluster, a, &docs, &ndocs);
    struct delete_task *v = ARENA_ARRAY(a, struct delete_task, (size_t)ndocs + *n + 1);
    TRY(arena_check(a));
    for (uint32_t i = ndocs; i-- > 0;) {
        struct delete_task *task = &v[all];
        bool here = false;
        for (uint32_t k = 0; k < *n && !here; k++)
            here = (*list)[k].joint && (*list)[k].id == docs[i].id;
        if (here) continue;
        TRY(delete_doc_read(docs[i].doc, a, task));
        if (!str_eq(task->spec.tenant, tenant)) continue;
        task->id = docs[i].id;
        task->joint = true;
        all++;
    }
    for (uint32_t k = 0; k < *n; k++)
        v[all++] = (*list)[k];
    *list = v;
    *n = all;
    return OK;
}

err_t delete_joint_tell(struct delete_tasks *t, struct str tenant, struct arena *a, struct delete_task **list, uint32_t *n)
{
    uint32_t joint = 0;
    TRY(add_waiting(t, tenant, a, list, n));
    struct deletion_state *s = ARENA_ARRAY(a, struct deletion_state, (size_t)*n + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < *n; i++)
        if ((*list)[i].joint) s[joint++] = (struct deletion_state){ .id = (*list)[i].id, .made = (*list)[i].done };
    TRY(deletions_states(t->cluster, s, joint, a));
    joint = 0;
    for (uint32_t i = 0; i < *n; i++) {
        struct delete_task *task = &(*list)[i];
        if (!task->joint) continue;
        const struct deletion_state *now = &s[joint++];
        task->done = now->settled;
        if (now->settled) task->state = STR("done"), task->error = STR("");
        else if (str_is(task->state, "done")) task->state = STR("running");
        if (!now->settled && task->error.n == 0) task->error = now->why;
    }
    return OK;
}
