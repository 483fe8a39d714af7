#include "server/ingest/otlp_rows.h"

#include "base/rt/rt.h"
#include "server/ingest/otlp_wire.h"
#include "server/ingest/text.h"

#include <stdarg.h>
#include <stdio.h>

enum { JSON_TEXT_BYTES_MAX = 16 << 20, CHECK_EVERY = 256 };

void otlp_rows_init(struct otlp_rows *r, enum signal signal, struct arena *a, struct budget *budget, struct str request,
                    unix_ns now)
{
    *r = (struct otlp_rows){ .signal = signal, .arena = a, .budget = budget, .request = request, .now = now };
    buf_init(&r->text, JSON_TEXT_BYTES_MAX, budget);
}

static struct str time_column(const struct otlp_rows *r)
{
    return r->signal == SIG_SPANS ? STR("start") : STR("time");
}

static void finish_table(struct otlp_rows *r)
{
    if (!r->builder) return;
    if (table_builder_rows(r->builder) == 0) {
        table_builder_free(r->builder);
        r->builder = NULL;
        return;
    }
    r->tables = arena_grow(r->arena, r->tables, r->ntables, &r->tables_cap, r->ntables + 1, sizeof(struct table *));
    r->tables[r->ntables++] = table_builder_finish(r->builder, time_column(r));
    r->builder = NULL;
}

err_t otlp_rows_finish(struct otlp_rows *r)
{
    if (r->builder) TRY(table_builder_check(r->builder));
    finish_table(r);
    return OK;
}

void otlp_rows_deinit(struct otlp_rows *r)
{
    if (r->builder) table_builder_free(r->builder);
    r->builder = NULL;
    for (uint32_t i = 0; i < r->ntables; i++)
        table_put(r->tables[i]);
    r->ntables = 0;
    buf_deinit(&r->text);
}

/* -- values ----------------------------------------------------------------------------------------- */

static void put_text(struct otlp_rows *r, struct str name, struct str value)
{
    if (value.n > 0) table_set_str(r->builder, SC_SELF, name, COL_STR, text_mend(value, r->arena));
}

static void put_i64(struct otlp_rows *r, struct str name, int64_t value)
{
    if (value != 0) table_set_i64(r->builder, SC_SELF, name, value);
}

static err_t put_value(struct otlp_rows *r, enum col_scope scope, struct str name, const struct otlp_value *v)
{
    struct table_builder *b = r->builder;
    switch (v->type) {
    case OTLP_NONE: return OK;
    case OTLP_STR: table_set_str(b, scope, name, COL_STR, text_mend(v->s, r->arena)); return OK;
    case OTLP_BOOL: table_set_bool(b, scope, name, v->b); return OK;
    case OTLP_INT: table_set_i64(b, scope, name, v->i); return OK;
    case OTLP_F64: table_set_f64(b, scope, name, v->f); return OK;
    case OTLP_BYTES: table_set_str(b, scope, name, COL_BYTES, v->s); return OK;
    case OTLP_JSON: table_set_str(b, scope, name, COL_JSON, v->s); return OK;
    case OTLP_WIRE_ARRAY:
    case OTLP_WIRE_KVLIST: {
        struct json_out j;
        buf_clear(&r->text);
        json_init(&j, &r->text);
        TRY(otlp_value_json(v, (const uint8_t *)r->request.p, &j));
        table_set_str(b, scope, name, COL_JSON, buf_view(&r->text));
        return OK;
    }
    }
    return OK;
}

/* Attributes of the current target; *dropped counts those that are not kept. */
static err_t put_attrs(struct otlp_rows *r, const struct otlp_attrs *attrs, uint64_t *dropped)
{
    uint32_t kept = 0;
    *dropped = attrs->dropped;
    for (uint32_t i = 0; i < attrs->n; i++) {
        const struct otlp_kv *kv = &attrs->kv[i];
        if (kv->key.n == 0 || kv->key.n > TABLE_NAME_MAX || kept == ROW_ATTRS_MAX) {
            (*dropped)++;
            continue;
        }
        struct str key = text_mend(kv->key, r->arena);
        if (key.n > TABLE_NAME_MAX) {
            (*dropped)++;
            continue;
        }
        kept++;
        TRY(put_value(r, SC_ATTR, key, &kv->value));
    }
    return OK;
}

static err_t put_target(struct otlp_rows *r, const struct otlp_attrs *attrs)
{
    uint64_t dropped;
    TRY(put_attrs(r, attrs, &dropped));
    put_i64(r, STR("dropped_attributes"), (int64_t)dropped);
    return OK;
}

/* -- resources and scopes --------------------------------------------------------------------------- */

static err_t begin_resource(struct otlp_rows *r)
{
    table_resource(r->builder);
    put_text(r, STR("schema_url"), r->resource.schema_url);
    return put_target(r, &r->resource.attrs);
}

static err_t begin_scope(struct otlp_rows *r)
{
    table_scope(r->builder);
    put_text(r, STR("name"), r->scope.name);
    put_text(r, STR("version"), r->scope.version);
    put_text(r, STR("schema_url"), r->scope.schema_url);
    return put_target(r, &r->scope.attrs);
}

static err_t begin_table(struct otlp_rows *r)
{
    if (r->ntables == BATCH_TABLES_MAX)
        return err_set(ERR_TOO_LARGE, "the request has too many distinct attribute keys: it would take more than %d tables",
                       BATCH_TABLES_MAX);
    r->builder = table_builder_new(r->budget);
    TRY(begin_resource(r));
    return begin_scope(r);
}

static void keep_attrs(struct otlp_rows *r, struct otlp_attrs *attrs)
{
    attrs->kv = arena_dup(r->arena, attrs->kv, attrs->n * sizeof *attrs->kv);
}

static err_t on_resource(void *ctx, const struct otlp_resource *resource)
{
    struct otlp_rows *r = ctx;
    r->resource = *resource;
    keep_attrs(r, &r->resource.attrs);
    r->scope = (struct otlp_scope){ 0 };
    return r->builder ? begin_resource(r) : OK;
}

static err_t on_scope(void *ctx, const struct otlp_scope *scope)
{
    struct otlp_rows *r = ctx;
    r->scope = *scope;
    keep_attrs(r, &r->scope.attrs);
    return r->builder ? begin_scope(r) : OK;
}

/* Room for one more row. */
static err_t room(struct otlp_rows *r)
{
    if (r->builder && table_builder_full(r->builder)) {
        TRY(table_builder_check(r->builder));
        finish_table(r);
    }
    if (!r->builder) TRY(begin_table(r));
    if (r->accepted % CHECK_EVERY == 0) {
        TRY(table_builder_check(r->builder));
        TRY(arena_check(r->arena));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

PRINTF(2, 3) static err_t reject(struct otlp_rows *r, const char *fmt, ...)
{
    if (r->rejected++ == 0) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(r->why, sizeof r->why, fmt, ap);
        va_end(ap);
    }
    return OK;
}

static bool all_zero(struct str s)
{
    uint8_t any = 0;
    for (size_t i = 0; i < s.n; i++)
        any |= (uint8_t)s.p[i];
    return any == 0;
}

static bool is_id(struct str s, size_t n)
{
    return s.n == n && !all_zero(s);
}

/* -- spans -------------------------------------------------------------------------------------------- */

/* What is wrong with a span, or NULL. */
static const char *span_fault(const struct otlp_span *s)
{
    if (s->trace_id.n != 16) return "trace_id is not 16 bytes";
    if (all_zero(s->trace_id)) return "trace_id is all zero";
    if (s->span_id.n != 8) return "span_id is not 8 bytes";
    if (all_zero(s->span_id)) return "span_id is all zero";
    if (s->parent_span_id.n != 0 && s->parent_span_id.n != 8) return "parent_span_id is neither empty nor 8 bytes";
    if (s->start_ns > INT64_MAX) return "start_time_unix_nano is out of range";
    if (s->end_ns > INT64_MAX) return "end_time_unix_nano is out of range";
    return NULL;
}

static err_t put_event(struct otlp_rows *r, const struct otlp_event *e)
{
    table_child(r->builder, CHILD_EVENTS);
    table_set_i64(r->builder, SC_SELF, STR("time"), (int64_t)MIN(e->time_ns, (uint64_t)INT64_MAX));
    put_text(r, STR("name"), e->name);
    return put_target(r, &e->attrs);
}

static err_t put_link(struct otlp_rows *r, const struct otlp_link *l)
{
    table_child(r->builder, CHILD_LINKS);
    table_set_fix(r->builder, SC_SELF, STR("trace_id"), l->trace_id.p, 16);
    table_set_fix(r->builder, SC_SELF, STR("span_id"), l->span_id.p, 8);
    put_text(r, STR("trace_state"), l->trace_state);
    put_i64(r, STR("flags"), l->flags);
    return put_target(r, &l->attrs);
}

static err_t put_children(struct otlp_rows *r, const struct otlp_span *s, uint32_t nevents, uint32_t nlinks)
{
    uint64_t dropped_links = (uint64_t)s->dropped_links + s->nlinks - nlinks;
    put_i64(r, STR("dropped_events"), (int64_t)s->dropped_events + s->nevents - nevents);
    for (uint32_t i = 0; i < nlinks; i++)
        if (!is_id(s->links[i].trace_id, 16) || !is_id(s->links[i].span_id, 8)) dropped_links++;
    put_i64(r, STR("dropped_links"), (int64_t)dropped_links);
    for (uint32_t i = 0; i < nevents; i++)
        TRY(put_event(r, &s->events[i]));
    for (uint32_t i = 0; i < nlinks; i++)
        if (is_id(s->links[i].trace_id, 16) && is_id(s->links[i].span_id, 8)) TRY(put_link(r, &s->links[i]));
    return OK;
}

static err_t on_span(void *ctx, const struct otlp_span *s)
{
    struct otlp_rows *r = ctx;
    const char *fault = span_fault(s);
    if (fault)
        return reject(r, "span %llu (\"%.*s\"): %s", (unsigned long long)(r->accepted + r->rejected + 1),
                      (int)MIN(s->name.n, 64), s->name.p ? s->name.p : "", fault);
    uint32_t nevents = MIN(s->nevents, ROW_CHILDREN_MAX), nlinks = MIN(s->nlinks, ROW_CHILDREN_MAX);
    TRY(room(r));
    struct table_builder *b = r->builder;
    table_row(b);
    table_set_fix(b, SC_SELF, STR("trace_id"), s->trace_id.p, 16);
    table_set_fix(b, SC_SELF, STR("span_id"), s->span_id.p, 8);
    if (!all_zero(s->parent_span_id)) table_set_fix(b, SC_SELF, STR("parent_span_id"), s->parent_span_id.p, 8);
    put_text(r, STR("trace_state"), s->trace_state);
    put_i64(r, STR("flags"), s->flags);
    put_text(r, STR("name"), s->name);
    table_set_i64(b, SC_SELF, STR("kind"), s->kind >= 0 && s->kind <= 5 ? s->kind : 0);
    table_set_i64(b, SC_SELF, STR("start"), (int64_t)s->start_ns);
    table_set_i64(b, SC_SELF, STR("duration"), s->end_ns > s->start_ns ? (int64_t)(s->end_ns - s->start_ns) : 0);
    put_i64(r, STR("status_code"), s->status_code >= 0 && s->status_code <= 2 ? s->status_code : 0);
    put_text(r, STR("status_message"), s->status_message);
    TRY(put_target(r, &s->attrs));
    TRY(put_children(r, s, nevents, nlinks));
    r->accepted++;
    return OK;
}

/* -- logs --------------------------------------------------------------------------------------------- */

static err_t put_body(struct otlp_rows *r, const struct otlp_value *body)
{
    if (body->type == OTLP_STR && body->s.n == 0) return OK;
    return put_value(r, SC_SELF, STR("body"), body);
}

static err_t on_log(void *ctx, const struct otlp_log *l)
{
    struct otlp_rows *r = ctx;
    uint64_t time_ns = l->time_ns ? l->time_ns : l->observed_ns ? l->observed_ns : (uint64_t)r->now.ns;
    if (time_ns > INT64_MAX || l->observed_ns > INT64_MAX)
        return reject(r, "log record %llu: its time is out of range",
                      (unsigned long long)(r->accepted + r->rejected + 1));
    TRY(room(r));
    struct table_builder *b = r->builder;
    table_row(b);
    table_set_i64(b, SC_SELF, STR("time"), (int64_t)time_ns);
    put_i64(r, STR("observed_time"), (int64_t)l->observed_ns);
    put_i64(r, STR("severity_number"), l->severity_number);
    put_text(r, STR("severity_text"), l->severity_text);
    TRY(put_body(r, &l->body));
    if (is_id(l->trace_id, 16)) table_set_fix(b, SC_SELF, STR("trace_id"), l->trace_id.p, 16);
    if (is_id(l->span_id, 8)) table_set_fix(b, SC_SELF, STR("span_id"), l->span_id.p, 8);
    put_i64(r, STR("flags"), l->flags);
    put_text(r, STR("event_name"), l->event_name);
    TRY(put_target(r, &l->attrs));
    r->accepted++;
    return OK;
}

struct otlp_sink otlp_rows_sink(struct otlp_rows *r)
{
    return (struct otlp_sink){
        .ctx = r, .resource = on_resource, .scope = on_scope, .span = on_span, .log = on_log,
    };
}
