#include "server/api/correlate_answer.h"

static void put_str(struct json_out *j, const char *key, struct str s)
{
    json_keyz(j, key);
    json_str(j, s);
}

static void put_count(struct json_out *j, const char *key, uint64_t n)
{
    json_keyz(j, key);
    json_u64(j, n);
}

/* An id as hex; "" when there is none. */
static void put_id(struct json_out *j, const char *key, bool has, const uint8_t *id, size_t n)
{
    json_keyz(j, key);
    if (has) json_hex(j, id, n);
    else json_z(j, "");
}

static void put_time(struct json_out *j, const char *key, int64_t ns)
{
    if (ns != INT64_MIN && ns != INT64_MAX) {
        native_json_seconds(j, key, ns);
        return;
    }
    json_keyz(j, key);
    json_null(j);
}

static void put_anchor(struct json_out *j, const struct anchor *a)
{
    static const char *const kinds[] = { [ANCHOR_TRACE] = "trace", [ANCHOR_SERVICE] = "service", [ANCHOR_SESSION] = "session" };
    json_keyz(j, "anchor");
    json_obj(j);
    json_keyz(j, "kind");
    json_z(j, kinds[a->kind]);
    if (a->kind == ANCHOR_TRACE) put_id(j, "trace_id", true, a->trace_id, 16);
    if (a->has_span) put_id(j, "span_id", true, a->span_id, 8);
    if (a->kind == ANCHOR_SERVICE) put_str(j, "service", a->name);
    if (a->kind == ANCHOR_SESSION) put_str(j, "session_id", a->name);
    json_obj_end(j);
}

static void put_trace(struct json_out *j, const struct corr_trace *t)
{
    json_obj(j);
    put_id(j, "trace_id", true, t->id, 16);
    put_str(j, "root_service", t->root_service);
    put_str(j, "root_name", t->root_name);
    native_json_seconds(j, "start", t->start_ns);
    json_keyz(j, "duration_ms");
    json_f64(j, (double)t->duration_ns / NS_PER_MS);
    json_keyz(j, "services");
    json_arr(j);
    for (uint32_t i = 0; i < t->nservices; i++)
        json_str(j, t->services[i]);
    json_arr_end(j);
    put_count(j, "spans", t->spans);
    put_count(j, "errors", t->errors);
    json_obj_end(j);
}

static void put_traces(struct json_out *j, const struct correlated *c)
{
    json_keyz(j, "traces");
    json_obj(j);
    put_count(j, "total", c->traces);
    put_count(j, "errors", c->trace_errors);
    json_keyz(j, "items");
    json_arr(j);
    for (uint32_t i = 0; i < c->items.n; i++)
        put_trace(j, &c->items.v[i]);
    json_arr_end(j);
    put_str(j, "query", c->trace_query);
    json_obj_end(j);
}

static void put_log(struct json_out *j, const struct corr_log *l)
{
    json_obj(j);
    json_keyz(j, "timestamp_ns");
    json_i64_str(j, l->time_ns);
    put_str(j, "severity", l->severity);
    put_str(j, "service", l->service);
    put_str(j, "body", l->body);
    put_id(j, "trace_id", l->has_trace, l->trace_id, 16);
    put_id(j, "span_id", l->has_span, l->span_id, 8);
    json_obj_end(j);
}

static err_t put_logs(struct json_out *j, const struct correlated *c)
{
    const struct corr_logs *l = &c->logs;
    json_keyz(j, "logs");
    json_obj(j);
    put_count(j, "total", l->total);
    put_count(j, "errors", l->errors);
    json_keyz(j, "by_severity");
    json_obj(j);
    for (int i = 0; i < SEVERITIES; i++)
        if (l->by_severity[i]) put_count(j, corr_severity_names[i], l->by_severity[i]);
    json_obj_end(j);
    json_keyz(j, "by_span");
    json_obj(j);
    for (uint32_t i = 0; i < l->nspans; i++) {
        char hex[16];
        str_to_hex(l->spans[i].span_id, 8, hex);
        json_key(j, str_n(hex, sizeof hex));
        json_u64(j, l->spans[i].n);
        if (i % 256 == 0) TRY(rt_checkpoint());
    }
    json_obj_end(j);
    json_keyz(j, "items");
    json_arr(j);
    for (uint32_t i = 0; i < l->n; i++)
        put_log(j, &l->v[i]);
    json_arr_end(j);
    put_str(j, "query", c->log_query);
    json_obj_end(j);
    return OK;
}

static void put_metrics(struct json_out *j, const struct corr_metrics *m)
{
    json_keyz(j, "metrics");
    json_obj(j);
    json_keyz(j, "names");
    json_arr(j);
    for (uint32_t i = 0; i < m->n; i++) {
        json_obj(j);
        put_str(j, "name", m->v[i].name);
        put_str(j, "type", m->v[i].type);
        put_str(j, "unit", m->v[i].unit);
        put_count(j, "series", m->v[i].series);
        json_obj_end(j);
    }
    json_arr_end(j);
    put_str(j, "query", m->query);
    json_obj_end(j);
}

static void put_exemplars(struct json_out *j, const struct corr_exemplars *e)
{
    json_keyz(j, "exemplars");
    json_arr(j);
    for (uint32_t i = 0; i < e->n; i++) {
        const struct corr_exemplar *x = &e->v[i];
        json_obj(j);
        put_str(j, "metric", labels_get(&x->labels, STR("__name__")));
        json_keyz(j, "labels");
        json_obj(j);
        for (uint32_t k = 0; k < x->labels.n; k++) {
            if (str_is(x->labels.l[k].name, "__name__")) continue;
            json_key(j, x->labels.l[k].name);
            json_str(j, x->labels.l[k].value);
        }
        json_obj_end(j);
        json_keyz(j, "value");
        json_f64(j, x->value);
        native_json_seconds(j, "timestamp", x->time_ns);
        put_id(j, "trace_id", x->has_trace, x->trace_id, 16);
        put_id(j, "span_id", x->has_span, x->span_id, 8);
        json_obj_end(j);
    }
    json_arr_end(j);
}

err_t correlate_json(struct buf *out, const struct correlated *c)
{
    struct json_out j;
    json_init(&j, out);
    json_obj(&j);
    put_anchor(&j, &c->anchor);
    put_time(&j, "start", c->extent.start_ns);
    put_time(&j, "end", c->extent.end_ns);
    put_traces(&j, c);
    TRY(put_logs(&j, c));
    put_metrics(&j, &c->metrics);
    put_exemplars(&j, &c->exemplars);
    json_keyz(&j, "sessions");
    json_arr(&j);
    for (uint32_t i = 0; c->sessions && i < c->sessions->n; i++)
        json_str(&j, c->sessions->v[i]);
    json_arr_end(&j);
    native_json_warnings(&j, &c->warnings);
    json_obj_end(&j);
    return buf_check(out);
}
