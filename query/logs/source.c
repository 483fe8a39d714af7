#include "query/logs/source.h"

#include "base/core/json_out.h"

static err_t bind_rel(struct source_rel *r, struct rowset *rs, int rel, struct arena *mem)
{
    const struct column_key *keys;
    uint32_t n, rows;
    *r = (struct source_rel){ 0 };
    if (rel == REL_RESOURCE || rel == REL_SCOPE) {
        TRY(rowset_dim(rs, rel, &r->map, &rows));
        if (!r->map) return OK;
    } else if (rel != REL_ROWS) {
        TRY(rowset_child(rs, rel, &r->first, &rows));
        if (!r->first) return OK;
    }
    TRY(rowset_keys(rs, rel, &keys, &n));
    r->col = ARENA_ARRAY(mem, const struct column *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        TRY(rowset_column(rs, rel, keys[i].scope, keys[i].name, keys[i].type, &r->col[r->n]));
        if (r->col[r->n]) r->n++;
    }
    return arena_check(mem);
}

err_t source_bind(struct source_reader *s, const struct log_index *ix, struct rowset *rs, struct arena *mem)
{
    *s = (struct source_reader){ .ix = ix };
    if (ix->signal == SIG_DOCS) {
        s->rel[REL_ROWS].col = ARENA_ARRAY(mem, const struct column *, 1);
        TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("source"), COL_STR, &s->rel[REL_ROWS].col[0]));
        s->rel[REL_ROWS].n = s->rel[REL_ROWS].col[0] != NULL;
        return arena_check(mem);
    }
    for (int rel = REL_ROWS; rel <= REL_LINKS; rel++)
        if (ix->signal == SIG_SPANS || rel <= REL_SCOPE) TRY(bind_rel(&s->rel[rel], rs, rel, mem));
    return OK;
}

/* -- values -------------------------------------------------------------------------------------------------- */

static void out_val(struct json_out *j, const struct val *v)
{
    switch (v->type) {
    case COL_I64: json_i64(j, v->i64); break;
    case COL_F64: json_val_write(&(struct json_val){ .type = JSON_F64, .span = 1, .f64 = v->f64 }, j); break;
    case COL_BOOL: json_bool(j, v->boolean); break;
    case COL_STR: json_str(j, v->s); break;
    case COL_JSON: json_raw(j, v->s); break;
    case COL_BYTES: json_base64(j, v->s); break;
    case COL_FIX: json_hex(j, (const uint8_t *)v->s.p, v->s.n); break;
    }
}

/* -- fields ---------------------------------------------------------------------------------------------------- */

static bool get(const struct source_rel *r, uint32_t row, const char *name, struct val *v)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const struct column *c = r->col[i];
        if (c->scope != SC_SELF || !str_is(c->name, name) || !column_has(c, row)) continue;
        *v = column_val(c, row);
        return true;
    }
    return false;
}

static int64_t get_i64(const struct source_rel *r, uint32_t row, const char *name)
{
    struct val v;
    return get(r, row, name, &v) && v.type == COL_I64 ? v.i64 : 0;
}

static void put(struct json_out *j, const char *key, const struct source_rel *r, uint32_t row, const char *name)
{
    struct val v;
    if (!get(r, row, name, &v)) return;
    json_keyz(j, key);
    out_val(j, &v);
}

static void put_count(struct json_out *j, const char *key, const struct source_rel *r, uint32_t row)
{
    int64_t n = get_i64(r, row, "dropped_attributes");
    if (n == 0) return;
    json_keyz(j, key);
    json_i64(j, n);
}

static void put_attributes(struct json_out *j, const char *key, const struct source_rel *r, uint32_t row, const char *but)
{
    bool any = false;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct column *c = r->col[i];
        if (c->scope != SC_ATTR || !column_has(c, row) || (but && str_is(c->name, but))) continue;
        if (!any) {
            json_keyz(j, key);
            json_obj(j);
            any = true;
        }
        struct val v = column_val(c, row);
        json_key(j, c->name);
        out_val(j, &v);
    }
    if (any) json_obj_end(j);
}

static void put_resource(struct json_out *j, const struct source_reader *s, uint32_t row)
{
    const struct source_rel *r = &s->rel[REL_RESOURCE], *sc = &s->rel[REL_SCOPE];
    struct str service = STR("unknown_service");
    if (r->map) {
        for (uint32_t i = 0; i < r->n; i++)
            if (r->col[i]->scope == SC_ATTR && r->col[i]->type == COL_STR && str_is(r->col[i]->name, "service.name") && column_has(r->col[i], r->map[row]))
                service = column_str(r->col[i], r->map[row]);
    }
    json_keyz(j, "service_name");
    json_str(j, service);
    if (r->map) {
        put_attributes(j, "resource_attributes", r, r->map[row], "service.name");
        put_count(j, "resource_dropped_attributes_count", r, r->map[row]);
    }
    if (sc->map) {
        put(j, "scope_name", sc, sc->map[row], "name");
        put(j, "scope_version", sc, sc->map[row], "version");
        put_attributes(j, "scope_attributes", sc, sc->map[row], NULL);
        put_count(j, "scope_dropped_attributes_count", sc, sc->map[row]);
    }
}

static void write_log(const struct source_reader *s, uint32_t row, struct json_out *j)
{
    const struct source_rel *r = &s->rel[REL_ROWS];
    struct val v;
    json_obj(j);
    put(j, "timestamp_nanos", r, row, "time");
    put(j, "observed_timestamp_nanos", r, row, "observed_time");
    put_resource(j, s, row);
    put(j, "severity_text", r, row, "severity_text");
    json_keyz(j, "severity_number");
    json_i64(j, get_i64(r, row, "severity_number"));
    if (get(r, row, "body", &v)) {
        json_keyz(j, "body");
        if (v.type == COL_STR) {
            json_obj(j);
            json_keyz(j, "message");
        }
        out_val(j, &v);
        if (v.type == COL_STR) json_obj_end(j);
    }
    put_attributes(j, "attributes", r, row, NULL);
    put_count(j, "dropped_attributes_count", r, row);
    put(j, "trace_id", r, row, "trace_id");
    put(j, "span_id", r, row, "span_id");
    put(j, "trace_flags", r, row, "flags");
    put(j, "event_name", r, row, "event_name");
    json_obj_end(j);
}

static void write_events(const struct source_reader *s, uint32_t row, struct json_out *j)
{
    const struct source_rel *e = &s->rel[REL_EVENTS], *l = &s->rel[REL_LINKS];
    if (e->first && e->first[row] < e->first[row + 1]) {
        json_keyz(j, "events");
        json_arr(j);
        for (uint32_t c = e->first[row]; c < e->first[row + 1]; c++) {
            json_obj(j);
            put(j, "event_timestamp_nanos", e, c, "time");
            put(j, "event_name", e, c, "name");
            put_attributes(j, "event_attributes", e, c, NULL);
            put_count(j, "event_dropped_attributes_count", e, c);
            json_obj_end(j);
        }
        json_arr_end(j);
    }
    if (l->first && l->first[row] < l->first[row + 1]) {
        json_keyz(j, "links");
        json_arr(j);
        for (uint32_t c = l->first[row]; c < l->first[row + 1]; c++) {
            json_obj(j);
            put(j, "link_trace_id", l, c, "trace_id");
            put(j, "link_trace_state", l, c, "trace_state");
            put(j, "link_span_id", l, c, "span_id");
            put_attributes(j, "link_attributes", l, c, NULL);
            put_count(j, "link_dropped_attributes_count", l, c);
            json_obj_end(j);
        }
        json_arr_end(j);
    }
}

static void put_nonzero(struct json_out *j, const char *key, const struct source_rel *r, uint32_t row, const char *name)
{
    if (get_i64(r, row, name)) put(j, key, r, row, name);
}

static void write_span(const struct source_reader *s, uint32_t row, struct json_out *j)
{
    static const char *const codes[] = { "unset", "ok", "error" };
    const struct source_rel *r = &s->rel[REL_ROWS];
    int64_t start = get_i64(r, row, "start"), duration = get_i64(r, row, "duration"), code = get_i64(r, row, "status_code");
    json_obj(j);
    put(j, "trace_id", r, row, "trace_id");
    put(j, "trace_state", r, row, "trace_state");
    put_resource(j, s, row);
    put(j, "span_id", r, row, "span_id");
    json_keyz(j, "span_kind");
    json_i64(j, get_i64(r, row, "kind"));
    put(j, "span_name", r, row, "name");
    json_keyz(j, "span_start_timestamp_nanos");
    json_i64(j, start);
    json_keyz(j, "span_end_timestamp_nanos");
    json_i64(j, start > INT64_MAX - duration ? INT64_MAX : start + duration);
    json_keyz(j, "span_duration_millis");
    json_i64(j, duration / NS_PER_MS);
    put_attributes(j, "span_attributes", r, row, NULL);
    put_nonzero(j, "span_dropped_attributes_count", r, row, "dropped_attributes");
    put_nonzero(j, "span_dropped_events_count", r, row, "dropped_events");
    put_nonzero(j, "span_dropped_links_count", r, row, "dropped_links");
    json_keyz(j, "span_status");
    json_obj(j);
    json_keyz(j, "code");
    json_z(j, code >= 0 && code <= 2 ? codes[code] : "unset");
    put(j, "message", r, row, "status_message");
    json_obj_end(j);
    put(j, "parent_span_id", r, row, "parent_span_id");
    write_events(s, row, j);
    json_obj_end(j);
}

void source_write(const struct source_reader *s, uint32_t row, struct buf *out)
{
    struct json_out j;
    json_init(&j, out);
    if (s->ix->signal == SIG_LOGS) {
        write_log(s, row, &j);
    } else if (s->ix->signal == SIG_SPANS) {
        write_span(s, row, &j);
    } else if (s->rel[REL_ROWS].n && column_has(s->rel[REL_ROWS].col[0], row)) {
        buf_str(out, column_str(s->rel[REL_ROWS].col[0], row));
    } else {
        buf_z(out, "{}");
    }
}
