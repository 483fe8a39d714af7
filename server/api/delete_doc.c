#include "server/api/delete_doc.h"

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

err_t delete_doc_write(const struct delete_task *t, struct arena *a, struct str *out)
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
    if (s->config.n) put_str(&j, "config", s->config);
    put_str(&j, "tenant", s->tenant);
    if (t->joint) put_i64(&j, "joint", (int64_t)t->id);
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
err_t delete_doc_read(struct str doc, struct arena *a, struct delete_task *t)
{
    const struct json_val *v, *c;
    TRY(json_parse(doc, a, &v));
    *t = (struct delete_task){ .id = (uint64_t)get_i64(v, "joint"), .created_s = get_i64(v, "created_s"), .state = get_str(v, "state"),
                               .error = get_str(v, "error"), .rows = (uint64_t)get_i64(v, "rows") };
    struct delete_spec *s = &t->spec;
    t->joint = t->id != 0;
    s->tenant = get_str(v, "tenant");
    s->config = get_str(v, "config");
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


/* -- filters ------------------------------------------------------------------------------------------------------- */

/* Of the index as it was when the deletion was made: on every node, and at every time, it finds the same rows. */
static err_t carried_index(const struct delete_spec *x, struct arena *a, struct index_entry *e)
{
    *e = (struct index_entry){ .id = x->index, .uid = x->uid };
    TRY(index_config_parse(x->config, a, &e->config));
    e->log = (struct log_index){ .signal = SIG_DOCS, .id = e->id, .stored = e->uid, .mapping = &e->config.mapping };
    return OK;
}

err_t delete_doc_filter(struct store *s, struct str tenant, const struct delete_spec *x, struct arena *a, struct delete_filter *f, bool *gone)
{
    struct index_entry *e = ARENA_NEW(a, struct index_entry); /* the filter lives in the arena, and leans on it */
    struct lq *q;
    *gone = false;
    *f = (struct delete_filter){ 0 };
    if (x->lang == DELETE_TRACEQL) return delete_filter_spans(x->query, x->start_ns, x->end_ns, a, f);
    if (x->lang == DELETE_SERIES) return delete_filter_exemplars(x->fields, x->nfields, x->start_ns, x->end_ns, a, f);
    err_t err = x->config.n ? carried_index(x, a, e) : indexes_get(s, tenant, x->index, a, e);
    *gone = x->uid.n && (err == ERR_NOT_FOUND || (err == OK && !str_eq(e->uid, x->uid)));
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
    return delete_filter_logs(&e->log, q, x->start_ns, x->end_ns, a, f);
}
