#include "server/api/delete_tasks.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "query/delete/delete.h"

#include <inttypes.h>
#include <stdlib.h>

enum { RETRY_MS = 5000, POLL_MIN_MS = 2, POLL_MAX_MS = 100, ERROR_MAX = 400 };

struct delete_tasks { /* core 0's */
    struct store *store;
    struct budget *budget;
    struct scope scope;
    struct event wake;
    bool closing;
};

static const char *const lang_names[] = { "quickwit", "elastic", "traceql", "series" };

/* -- documents ----------------------------------------------------------------------------------------------------- */

static void put_i64(struct json_out *j, const char *key, int64_t v)
{
    json_keyz(j, key);
    json_i64(j, v);
}
static void put_str(struct json_out *j, const char *key, struct str v)
{
    json_keyz(j, key);
    json_str(j, v);
}

static err_t write_doc(const struct delete_task *t, struct arena *a, struct str *out)
{
    const struct delete_spec *s = &t->spec;
    struct buf b;
    struct json_out j;
    buf_init(&b, DELETE_DOC_MAX, NULL);
    json_init(&j, &b);
    json_obj(&j);
    put_str(&j, "lang", str_of(lang_names[s->lang]));
    put_str(&j, "index", s->index);
    put_str(&j, "uid", s->uid);
    put_str(&j, "query", s->query);
    json_keyz(&j, "fields");
    json_arr(&j);
    for (uint32_t i = 0; i < s->nfields; i++)
        json_str(&j, s->fields[i]);
    json_arr_end(&j);
    put_i64(&j, "start_ns", s->start_ns);
    put_i64(&j, "end_ns", s->end_ns);
    put_i64(&j, "created_s", t->created_s);
    put_str(&j, "state", t->state);
    put_i64(&j, "rows", (int64_t)t->rows);
    put_str(&j, "error", t->error);
    json_obj_end(&j);
    err_t e = buf_check(&b);
    if (e == OK) *out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return e;
}

static struct str get_str(const struct json_val *v, const char *key)
{
    const struct json_val *c = json_get(v, key);
    return c && c->type == JSON_STR ? c->str : STR("");
}
static int64_t get_i64(const struct json_val *v, const char *key)
{
    const struct json_val *c = json_get(v, key);
    int64_t n = 0;
    return c && json_to_i64(c, &n) ? n : 0;
}

/* Written by us: what is not as written is shown as empty rather than refused, and fails when it runs. */
static err_t read_doc(const struct delete_entry *e, struct arena *a, struct delete_task *t)
{
    const struct json_val *v, *c;
    TRY(json_parse(e->doc, a, &v));
    *t = (struct delete_task){ .id = e->id, .done = e->done, .created_s = get_i64(v, "created_s"), .state = get_str(v, "state"),
                               .error = get_str(v, "error"), .rows = (uint64_t)get_i64(v, "rows") };
    struct delete_spec *s = &t->spec;
    for (unsigned i = 0; i < ARRAY_LEN(lang_names); i++)
        if (str_is(get_str(v, "lang"), lang_names[i])) s->lang = (enum delete_lang)i;
    s->index = get_str(v, "index");
    s->uid = get_str(v, "uid");
    s->query = get_str(v, "query");
    s->start_ns = get_i64(v, "start_ns");
    s->end_ns = get_i64(v, "end_ns");
    const struct json_val *fields = json_get(v, "fields");
    if (!fields || fields->type != JSON_ARR) return OK;
    struct str *list = ARENA_ARRAY(a, struct str, fields->n + 1);
    JSON_EACH(c, fields)
        if (c->type == JSON_STR) list[s->nfields++] = c->str;
    s->fields = list;
    return OK;
}

/* -- one task ---------------------------------------------------------------------------------------------------------- */

/* *gone: the index was deleted since, and its rows with it. */
static err_t make_filter(struct store *s, struct str tenant, const struct delete_spec *x, struct arena *a, struct delete_filter *f, bool *gone)
{
    struct index_entry e;
    struct lq *q;
    *gone = false;
    *f = (struct delete_filter){ 0 };
    if (x->lang == DELETE_TRACEQL) return delete_filter_spans(x->query, x->start_ns, x->end_ns, a, f);
    if (x->lang == DELETE_SERIES) return delete_filter_exemplars(x->fields, x->nfields, x->start_ns, x->end_ns, a, f);
    err_t err = indexes_get(s, tenant, x->index, a, &e);
    *gone = x->uid.n && (err == ERR_NOT_FOUND || (err == OK && !str_eq(e.uid, x->uid)));
    if (*gone) return OK;
    TRY(err);
    if (x->lang == DELETE_ELASTIC) {
        const struct json_val *v;
        TRY(json_parse(x->query, a, &v));
        TRY(lq_from_dsl(v, a, &q));
    } else {
        const struct lq_opts o = { .fields = x->fields, .nfields = x->nfields };
        TRY(lq_parse(x->query, &o, a, &q));
    }
    return delete_filter_logs(&e.log, q, x->start_ns, x->end_ns, a, f);
}

static err_t run_filter(struct delete_tasks *t, const struct delete_entry *e, const struct delete_spec *x, struct arena *a, uint64_t *rows)
{
    struct delete_filter f;
    bool gone;
    uint64_t n = 0;
    err_t err = make_filter(t->store, e->tenant, x, a, &f, &gone);
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
    TRY(write_doc(task, a, &e->doc));
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
    err_t err = read_doc(e, &a, &task);
    if (err == OK) err = save(t, e, &task, "running", false, &a);
    if (err == OK) err = run_filter(t, e, &task.spec, &a, &task.rows);
    bool retry = err != OK && worth_a_retry(err);
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

err_t delete_tasks_start(struct store *s, struct budget *budget, struct delete_tasks **out)
{
    struct delete_tasks *t = calloc(1, sizeof *t);
    ASSERT(t != NULL && rt_core() == 0);
    t->store = s;
    t->budget = budget;
    event_init(&t->wake);
    scope_init(&t->scope, NULL);
    const struct fiber_opts o = { .name = "deletes", .class = RT_MAINTENANCE };
    err_t e = fiber_start(&t->scope, &o, runner, t);
    if (e == OK) *out = t;
    else free(t);
    return e;
}

void delete_tasks_stop(struct delete_tasks *t)
{
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

err_t delete_tasks_submit(struct delete_tasks *t, struct str tenant, const struct delete_spec *spec, struct arena *a, struct delete_task *out)
{
    struct delete_filter f;
    bool gone;
    *out = (struct delete_task){ .spec = *spec, .created_s = rt_wall().ns / NS_PER_S, .state = STR("waiting"), .error = STR("") };
    err_t e = make_filter(t->store, tenant, spec, a, &f, &gone);
    struct err_record why = *err_record();
    delete_filter_free(&f);
    *err_record() = why;
    TRY(e);
    struct delete_entry entry = { .tenant = tenant, .signal = spec->lang == DELETE_SERIES ? SIG_EXEMPLARS : SIG_SPANS };
    if (spec->lang == DELETE_QUICKWIT || spec->lang == DELETE_ELASTIC) {
        struct index_entry ix;
        TRY(indexes_get(t->store, tenant, spec->index, a, &ix));
        entry.signal = ix.log.signal;
        out->spec.uid = ix.uid;
    }
    TRY(write_doc(out, a, &entry.doc));
    TRY(store_delete_begin(t->store, &entry));
    out->id = entry.id;
    return rt_call(0, RT_MAINTENANCE, wake_here, t);
}

err_t delete_tasks_list(struct delete_tasks *t, struct str tenant, struct str index, struct arena *a, struct delete_task **out, uint32_t *n)
{
    struct delete_entry *list;
    uint32_t all;
    *n = 0;
    TRY(store_delete_list(t->store, a, &list, &all));
    *out = ARENA_ARRAY(a, struct delete_task, all + 1);
    for (uint32_t i = all; i-- > 0;) {
        if (!str_eq(list[i].tenant, tenant)) continue;
        struct delete_task *task = &(*out)[*n];
        TRY(read_doc(&list[i], a, task));
        if (index.n == 0 || str_eq(task->spec.index, index)) (*n)++;
    }
    return arena_check(a);
}

err_t delete_tasks_wait(struct delete_tasks *t, struct str tenant, uint64_t id, int64_t wait_ns, struct arena *a, struct delete_task *out)
{
    mono_ns end = mono_add(rt_now(), wait_ns);
    int64_t pause_ms = POLL_MIN_MS;
    bool done;
    for (;;) {
        TRY(store_delete_done(t->store, id, &done));
        if (done || rt_now().ns >= end.ns) break;
        TRY(fiber_sleep(MIN(pause_ms * NS_PER_MS, end.ns - rt_now().ns + 1)));
        pause_ms = MIN(pause_ms * 2, POLL_MAX_MS);
    }
    struct delete_task *list;
    uint32_t n;
    TRY(delete_tasks_list(t, tenant, STR(""), a, &list, &n));
    for (uint32_t i = 0; i < n; i++)
        if (list[i].id == id) return *out = list[i], OK;
    return err_set(ERR_NOT_FOUND, "no deletion %" PRIu64, id);
}
