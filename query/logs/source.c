#include "query/logs/source.h"

#include "base/core/json_out.h"

static err_t bind_dim_or_child(struct source_rel *r, struct rowset *rs, int rel, struct arena *mem)
{
    const struct column_key *keys;
    uint32_t n, rows;
    if (rel == REL_RESOURCE || rel == REL_SCOPE) {
        TRY(rowset_dim(rs, rel, &r->map, &rows));
        if (!r->map) return OK;
    } else {
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

static err_t bind_rows(struct source_reader *s, struct rowset *rs, uint32_t nrows, struct arena *mem)
{
    static const struct column_key source = { SC_SELF, COL_STR, { "source", 6 } };
    struct source_rel *r = &s->rel[REL_ROWS];
    const struct column_key *keys = &source;
    uint32_t n = 1;
    if (s->ix->signal != SIG_DOCS) TRY(rowset_keys(rs, REL_ROWS, &keys, &n));
    r->col = ARENA_ARRAY(mem, const struct column *, n + 1);
    r->packed = ARENA_ARRAY(mem, bool, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        TRY(rowset_column_at(rs, REL_ROWS, &keys[i], s->rows, nrows, &r->col[r->n], &r->packed[r->n]));
        if (r->col[r->n]) r->n++;
    }
    return arena_check(mem);
}

err_t source_bind(struct source_reader *s, const struct log_index *ix, struct rowset *rs, const uint32_t *rows, uint32_t n,
                  struct arena *mem)
{
    *s = (struct source_reader){ .ix = ix, .rows = rows };
    TRY(bind_rows(s, rs, n, mem));
    if (ix->signal == SIG_DOCS) return OK;
    for (int rel = REL_RESOURCE; rel <= REL_LINKS; rel++)
        if (ix->signal == SIG_SPANS || rel <= REL_SCOPE) TRY(bind_dim_or_child(&s->rel[rel], rs, rel, mem));
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

/* What a field is read at: the row of its relation, and among the wanted rows the place of one. */
struct at {
    uint32_t row, place;
};
static struct at at_row(uint32_t row) { return (struct at){ row, 0 }; }

static bool value(const struct source_rel *r, uint32_t i, struct at at, struct val *v)
{
    uint32_t row = r->packed && r->packed[i] ? at.place : at.row;
    if (!column_has(r->col[i], row)) return false;
    *v = column_val(r->col[i], row);
    return true;
}

static bool get(const struct source_rel *r, struct at at, const char *name, struct val *v)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const struct column *c = r->col[i];
        if (c->scope == SC_SELF && str_is(c->name, name) && value(r, i, at, v)) return true;
    }
    return false;
}

static int64_t get_i64(const struct source_rel *r, struct at at, const char *name)
{
    struct val v;
    return get(r, at, name, &v) && v.type == COL_I64 ? v.i64 : 0;
}

static void put(struct json_out *j, const char *key, const struct source_rel *r, struct at at, const char *name)
{
    struct val v;
    if (!get(r, at, name, &v)) return;
    json_keyz(j, key);
    out_val(j, &v);
}

static void put_count(struct json_out *j, const char *key, const struct source_rel *r, struct at at)
{
    int64_t n = get_i64(r, at, "dropped_attributes");
    if (n == 0) return;
    json_keyz(j, key);
    json_i64(j, n);
}

static void put_attributes(struct json_out *j, const char *key, const struct source_rel *r, struct at at, const char *but)
{
    bool any = false;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct column *c = r->col[i];
        struct val v;
        if (c->scope != SC_ATTR || (but && str_is(c->name, but)) || !value(r, i, at, &v)) continue;
        if (!any) {
            json_keyz(j, key);
            json_obj(j);
            any = true;
        }
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
        put_attributes(j, "resource_attributes", r, at_row(r->map[row]), "service.name");
        put_count(j, "resource_dropped_attributes_count", r, at_row(r->map[row]));
    }
    if (sc->map) {
        put(j, "scope_name", sc, at_row(sc->map[row]), "name");
        put(j, "scope_version", sc, at_row(sc->map[row]), "version");
        put_attributes(j, "scope_attributes", sc, at_row(sc->map[row]), NULL);
        put_count(j, "scope_dropped_attributes_count", sc, at_row(sc->map[row]));
    }
}

static void write_log(const struct source_reader *s, struct at at, struct json_out *j)
{
    const struct source_rel *r = &s->rel[REL_ROWS];
    struct val v;
    json_obj(j);
    put(j, "timestamp_nanos", r, at, "time");
    put(j, "observed_timestamp_nanos", r, at, "observed_time");
    put_resource(j, s, at.row);
    put(j, "severity_text", r, at, "severity_text");
    json_keyz(j, "severity_number");
    json_i64(j, get_i64(r, at, "severity_number"));
    if (get(r, at, "body", &v)) {
        json_keyz(j, "body");
        if (v.type == COL_STR) {
            json_obj(j);
            json_keyz(j, "message");
        }
        out_val(j, &v);
        if (v.type == COL_STR) json_obj_end(j);
    }
    put_attributes(j, "attributes", r, at, NULL);
    put_count(j, "dropped_attributes_count", r, at);
    put(j, "trace_id", r, at, "trace_id");
    put(j, "span_id", r, at, "span_id");
    put(j, "trace_flags", r, at, "flags");
    put(j, "event_name", r, at, "event_name");
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
            put(j, "event_timestamp_nanos", e, at_row(c), "time");
            put(j, "event_name", e, at_row(c), "name");
            put_attributes(j, "event_attributes", e, at_row(c), NULL);
            put_count(j, "event_dropped_attributes_count", e, at_row(c));
            json_obj_end(j);
        }
        json_arr_end(j);
    }
    if (l->first && l->first[row] < l->first[row + 1]) {
        json_keyz(j, "links");
        json_arr(j);
        for (uint32_t c = l->first[row]; c < l->first[row + 1]; c++) {
            json_obj(j);
            put(j, "link_trace_id", l, at_row(c), "trace_id");
            put(j, "link_trace_state", l, at_row(c), "trace_state");
            put(j, "link_span_id", l, at_row(c), "span_id");
            put_attributes(j, "link_attributes", l, at_row(c), NULL);
            put_count(j, "link_dropped_attributes_count", l, at_row(c));
            json_obj_end(j);
        }
        json_arr_end(j);
    }
}

static void put_nonzero(struct json_out *j, const char *key, const struct source_rel *r, struct at at, const char *name)
{
    if (get_i64(r, at, name)) put(j, key, r, at, name);
}

static void write_span(const struct source_reader *s, struct at at, struct json_out *j)
{
    static const char *const codes[] = { "unset", "ok", "error" };
    const struct source_rel *r = &s->rel[REL_ROWS];
    int64_t start = get_i64(r, at, "start"), duration = get_i64(r, at, "duration"), code = get_i64(r, at, "status_code");
    json_obj(j);
    put(j, "trace_id", r, at, "trace_id");
    put(j, "trace_state", r, at, "trace_state");
    put_resource(j, s, at.row);
    put(j, "span_id", r, at, "span_id");
    json_keyz(j, "span_kind");
    json_i64(j, get_i64(r, at, "kind"));
    put(j, "span_name", r, at, "name");
    json_keyz(j, "span_start_timestamp_nanos");
    json_i64(j, start);
    json_keyz(j, "span_end_timestamp_nanos");
    json_i64(j, start > INT64_MAX - duration ? INT64_MAX : start + duration);
    json_keyz(j, "span_duration_millis");
    json_i64(j, duration / NS_PER_MS);
    put_attributes(j, "span_attributes", r, at, NULL);
    put_nonzero(j, "span_dropped_attributes_count", r, at, "dropped_attributes");
    put_nonzero(j, "span_dropped_events_count", r, at, "dropped_events");
    put_nonzero(j, "span_dropped_links_count", r, at, "dropped_links");
    json_keyz(j, "span_status");
    json_obj(j);
    json_keyz(j, "code");
    json_z(j, code >= 0 && code <= 2 ? codes[code] : "unset");
    put(j, "message", r, at, "status_message");
    json_obj_end(j);
    put(j, "parent_span_id", r, at, "parent_span_id");
    write_events(s, at.row, j);
    json_obj_end(j);
}

void source_write(const struct source_reader *s, uint32_t i, struct buf *out)
{
    struct json_out j;
    struct at at = { .row = s->rows[i], .place = i };
    struct val v;
    json_init(&j, out);
    if (s->ix->signal == SIG_LOGS) {
        write_log(s, at, &j);
    } else if (s->ix->signal == SIG_SPANS) {
        write_span(s, at, &j);
    } else if (s->rel[REL_ROWS].n && value(&s->rel[REL_ROWS], 0, at, &v)) {
        buf_str(out, v.s);
    } else {
        buf_z(out, "{}");
    }
}
