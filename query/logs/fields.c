/* Where the values of Quickwit's field names lie. */
#include "query/logs/compile.h"

static struct attr_ref self(int rel, const char *name)
{
    return (struct attr_ref){ .rel = rel, .scope = SC_SELF, .name = str_of(name) };
}

static void add_ref(struct log_field *f, struct attr_ref r)
{
    if (f->nrefs < LF_REFS_MAX) f->refs[f->nrefs++] = r;
}

/* An attribute by its dotted path: as a column of that name, or inside a map or array at any of its dots. */
static void add_path(struct log_field *f, int rel, struct str path)
{
    add_ref(f, (struct attr_ref){ .rel = rel, .scope = SC_ATTR, .name = path });
    for (size_t i = path.n; i-- > 1;)
        if (path.p[i] == '.')
            add_ref(f, (struct attr_ref){ .rel = rel, .scope = SC_ATTR, .name = str_sub(path, 0, i), .path = str_sub(path, i + 1, path.n) });
}

/* name = prefix + "." + *rest */
static bool under(struct str name, const char *prefix, struct str *rest)
{
    size_t n = strlen(prefix);
    if (name.n <= n + 1 || memcmp(name.p, prefix, n) != 0 || name.p[n] != '.') return false;
    *rest = str_sub(name, n + 1, name.n);
    return true;
}

struct fixed {
    const char *name;
    int rel;
    const char *column;
    enum lf_kind kind;
    enum tokenizer tokenizer;
    int64_t unit_or_precision;
};

static const struct fixed otel_common[] = {
    { "trace_id", REL_ROWS, "trace_id", LF_ID, TOK_RAW, 16 },
    { "span_id", REL_ROWS, "span_id", LF_ID, TOK_RAW, 8 },
    { "scope_name", REL_SCOPE, "name", LF_TEXT, TOK_RAW, 0 },
    { "scope_version", REL_SCOPE, "version", LF_TEXT, TOK_RAW, 0 },
    { "scope_dropped_attributes_count", REL_SCOPE, "dropped_attributes", LF_NUMBER, TOK_RAW, 0 },
    { "resource_dropped_attributes_count", REL_RESOURCE, "dropped_attributes", LF_NUMBER, TOK_RAW, 0 },
};
static const struct fixed otel_logs[] = {
    { "timestamp_nanos", REL_ROWS, "time", LF_DATE, TOK_RAW, 0 },
    { "observed_timestamp_nanos", REL_ROWS, "observed_time", LF_DATE, TOK_RAW, 0 },
    { "severity_text", REL_ROWS, "severity_text", LF_TEXT, TOK_RAW, 0 },
    { "severity_number", REL_ROWS, "severity_number", LF_NUMBER, TOK_RAW, 0 },
    { "event_name", REL_ROWS, "event_name", LF_TEXT, TOK_RAW, 0 },
    { "trace_flags", REL_ROWS, "flags", LF_NUMBER, TOK_RAW, 0 },
    { "dropped_attributes_count", REL_ROWS, "dropped_attributes", LF_NUMBER, TOK_RAW, 0 },
};
static const struct fixed otel_traces[] = {
    { "span_start_timestamp_nanos", REL_ROWS, "start", LF_DATE, TOK_RAW, 0 },
    { "span_name", REL_ROWS, "name", LF_TEXT, TOK_RAW, 0 },
    { "span_kind", REL_ROWS, "kind", LF_NUMBER, TOK_RAW, 0 },
    { "span_duration_millis", REL_ROWS, "duration", LF_NUMBER, TOK_RAW, NS_PER_MS },
    { "parent_span_id", REL_ROWS, "parent_span_id", LF_ID, TOK_RAW, 8 },
    { "is_root", REL_ROWS, "parent_span_id", LF_ROOT, TOK_RAW, 0 },
    { "span_status.code", REL_ROWS, "status_code", LF_STATUS, TOK_RAW, 0 },
    { "span_status.message", REL_ROWS, "status_message", LF_TEXT, TOK_DEFAULT, 0 },
    { "span_status", REL_ROWS, "status_code", LF_STATUS, TOK_RAW, 0 },
    { "event_names", REL_EVENTS, "name", LF_TEXT, TOK_DEFAULT, 0 },
    { "trace_state", REL_ROWS, "trace_state", LF_TEXT, TOK_RAW, 0 },
    { "span_dropped_attributes_count", REL_ROWS, "dropped_attributes", LF_NUMBER, TOK_RAW, 0 },
    { "span_dropped_events_count", REL_ROWS, "dropped_events", LF_NUMBER, TOK_RAW, 0 },
    { "span_dropped_links_count", REL_ROWS, "dropped_links", LF_NUMBER, TOK_RAW, 0 },
};

static bool from_table(const struct fixed *t, size_t n, struct str name, struct log_field *f)
{
    for (size_t i = 0; i < n; i++) {
        if (!str_is(name, t[i].name)) continue;
        f->kind = t[i].kind;
        f->tokenizer = t[i].tokenizer;
        if (f->kind == LF_ID) f->id_width = (uint32_t)t[i].unit_or_precision;
        else f->unit = t[i].unit_or_precision;
        add_ref(f, self(t[i].rel, t[i].column));
        return true;
    }
    return false;
}

static bool attributes(struct str name, const char *prefix, int rel, struct log_field *f)
{
    struct str rest;
    f->tokenizer = TOK_RAW;
    if (str_is(name, prefix)) {
        f->kind = LF_OBJECT;
        add_ref(f, (struct attr_ref){ .rel = rel, .scope = SC_ATTR, .below = true });
        return true;
    }
    if (!under(name, prefix, &rest)) return false;
    f->kind = LF_DYNAMIC;
    add_path(f, rel, rest);
    return true;
}

static bool body(struct str name, struct log_field *f)
{
    struct str rest;
    f->tokenizer = TOK_DEFAULT;
    f->kind = LF_DYNAMIC;
    if (str_is(name, "body")) return add_ref(f, self(REL_ROWS, "body")), true;
    if (!under(name, "body", &rest)) return false;
    /* A string body is the document's body.message. */
    if (str_is(rest, "message")) add_ref(f, self(REL_ROWS, "body"));
    struct attr_ref r = self(REL_ROWS, "body");
    r.path = rest;
    add_ref(f, r);
    return true;
}

static bool resolve_otel(const struct log_index *ix, struct str name, struct log_field *f)
{
    if (str_is(name, "service_name")) {
        f->kind = LF_TEXT;
        f->missing = STR("unknown_service");
        add_ref(f, (struct attr_ref){ .rel = REL_RESOURCE, .scope = SC_ATTR, .name = STR("service.name") });
        return true;
    }
    if (from_table(otel_common, ARRAY_LEN(otel_common), name, f)) return true;
    if (attributes(name, "resource_attributes", REL_RESOURCE, f) || attributes(name, "scope_attributes", REL_SCOPE, f))
        return true;
    if (ix->signal == SIG_LOGS)
        return from_table(otel_logs, ARRAY_LEN(otel_logs), name, f) || body(name, f) || attributes(name, "attributes", REL_ROWS, f);
    return from_table(otel_traces, ARRAY_LEN(otel_traces), name, f) || attributes(name, "span_attributes", REL_ROWS, f)
           || attributes(name, "events.event_attributes", REL_EVENTS, f) || attributes(name, "links.link_attributes", REL_LINKS, f)
           || attributes(name, "events", REL_EVENTS, f) || attributes(name, "links", REL_LINKS, f);
}

static enum lf_kind kind_of(enum field_type t)
{
    switch (t) {
    case FT_I64:
    case FT_U64:
    case FT_F64: return LF_NUMBER;
    case FT_BOOL: return LF_BOOL;
    case FT_DATETIME: return LF_DATE;
    case FT_JSON: return LF_DYNAMIC;
    default: return LF_TEXT;
    }
}

static bool is_object(const struct index_mapping *m, struct str name)
{
    for (uint32_t i = 0; i < m->nobjects; i++)
        if (str_eq(m->objects[i], name)) return true;
    return false;
}

static void describe(struct log_field *f, const struct index_field *d)
{
    f->kind = kind_of(d->type);
    /* Not indexed: only the column can be asked, which holds whole values. */
    f->tokenizer = d->indexed ? d->tokenizer : TOK_RAW;
    f->precision_ns = d->precision_ns;
    f->fast_lower = d->fast_lower;
    f->doc = d;
}

static bool resolve_docs(const struct log_index *ix, struct str name, struct log_field *f)
{
    const struct index_mapping *m = ix->mapping;
    struct str rest;
    const struct index_field *d = mapping_field(m, name, &rest);
    if (m->store_document_size && str_is(name, "_doc_length")) {
        f->kind = LF_NUMBER;
        add_ref(f, (struct attr_ref){ .rel = REL_ROWS, .scope = SC_ATTR, .name = name });
        return true;
    }
    if (d && d->type == FT_CONCAT) {
        describe(f, d);
        f->kind = LF_DYNAMIC;
        for (uint32_t i = 0; i < d->nconcat; i++)
            add_path(f, REL_ROWS, d->concat[i]);
        return true;
    }
    if (d) describe(f, d);
    else if (is_object(m, name)) f->kind = LF_OBJECT;
    else if (m->mode != MODE_DYNAMIC) return false;
    else describe(f, &m->dynamic);
    if (m->timestamp_field.n && str_eq(name, m->timestamp_field)) add_ref(f, self(REL_ROWS, "time"));
    else add_path(f, REL_ROWS, name);
    if (f->kind == LF_OBJECT || f->kind == LF_DYNAMIC)
        add_ref(f, (struct attr_ref){ .rel = REL_ROWS, .scope = SC_ATTR, .name = name, .below = true });
    return true;
}

bool log_field_resolve(const struct log_index *ix, struct str name, struct arena *a, struct log_field *out)
{
    *out = (struct log_field){ .tokenizer = TOK_RAW };
    name = arena_str(a, name);
    return ix->signal == SIG_DOCS ? resolve_docs(ix, name, out) : resolve_otel(ix, name, out);
}

struct attr_ref log_time_ref(const struct log_index *ix)
{
    return self(REL_ROWS, ix->signal == SIG_SPANS ? "start" : "time");
}
