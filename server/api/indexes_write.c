/* Index configurations in the forms that others read: the metadata of the REST API, the ingest's mapping. */
#include "server/api/indexes.h"

#include "query/logs/index_retention.h"

/* -- ingest ------------------------------------------------------------------------------------------------------ */

static enum doc_type doc_type_of(enum field_type t)
{
    switch (t) {
    case FT_I64: return DOC_I64;
    case FT_U64: return DOC_U64;
    case FT_F64: return DOC_F64;
    case FT_BOOL: return DOC_BOOL;
    case FT_DATETIME: return DOC_DATETIME;
    case FT_IP: return DOC_IP;
    case FT_BYTES: return DOC_BYTES;
    case FT_JSON: return DOC_JSON;
    default: return DOC_TEXT;
    }
}

static void time_formats(const struct index_field *f, struct doc_field *d, struct arena *a)
{
    struct str *patterns = ARENA_ARRAY(a, struct str, f->ninput_formats + 1);
    for (uint32_t i = 0; i < f->ninput_formats; i++) {
        struct str s = f->input_formats[i];
        if (str_is(s, "rfc3339") || str_is(s, "iso8601")) d->time_formats |= DOC_TIME_RFC3339;
        else if (str_is(s, "unix_timestamp")) d->time_formats |= DOC_TIME_UNIX;
        else if (str_is(s, "rfc2822")) d->time_formats |= DOC_TIME_RFC2822;
        else patterns[d->ntime_patterns++] = s;
    }
    d->time_patterns = patterns;
}

const struct doc_mapping *indexes_doc_mapping(const struct index_entry *e, struct arena *a)
{
    const struct index_mapping *m = &e->config.mapping;
    struct doc_mapping *out = ARENA_NEW(a, struct doc_mapping);
    struct doc_field *fields = ARENA_ARRAY(a, struct doc_field, m->nfields + 1);
    out->mode = m->mode == MODE_STRICT ? DOC_STRICT : m->mode == MODE_LENIENT ? DOC_LENIENT : DOC_DYNAMIC;
    out->timestamp_field = m->timestamp_field;
    for (uint32_t i = 0; i < m->nfields; i++) {
        if (m->fields[i].type == FT_CONCAT) continue;
        struct doc_field *d = &fields[out->nfields++];
        *d = (struct doc_field){ .path = m->fields[i].path, .type = doc_type_of(m->fields[i].type), .array = m->fields[i].array };
        if (d->type == DOC_DATETIME) time_formats(&m->fields[i], d, a);
    }
    out->fields = fields;
    out->stored = e->uid;
    out->document_size = m->store_document_size;
    return out;
}

/* -- metadata ------------------------------------------------------------------------------------------------------ */

static void write_default(struct json_out *j, const struct json_val *obj, const char *key, const char *json)
{
    if (json_get(obj, key)) return;
    json_keyz(j, key);
    json_raw(j, str_of(json));
}

static void write_fields(const struct json_val *list, struct json_out *j);

static void write_field(const struct json_val *v, struct json_out *j)
{
    const struct json_val *c, *type = json_get(v, "type");
    json_obj(j);
    JSON_EACH(c, v) {
        json_key(j, c->key);
        if (str_is(c->key, "field_mappings") && c->type == JSON_ARR) write_fields(c, j);
        else json_val_write(c, j);
    }
    if (type && type->type == JSON_STR && (str_is(type->str, "datetime") || str_is(type->str, "array<datetime>"))) {
        write_default(j, v, "input_formats", "[\"rfc3339\",\"unix_timestamp\"]");
        write_default(j, v, "output_format", "\"rfc3339\"");
        write_default(j, v, "fast_precision", "\"seconds\"");
        write_default(j, v, "stored", "true");
        write_default(j, v, "indexed", "true");
        write_default(j, v, "fast", "false");
    }
    json_obj_end(j);
}

static void write_fields(const struct json_val *list, struct json_out *j)
{
    const struct json_val *c;
    json_arr(j);
    JSON_EACH(c, list) write_field(c, j);
    json_arr_end(j);
}

static void write_mapping(const struct json_val *m, struct json_out *j)
{
    static const struct json_val empty = { .type = JSON_OBJ, .span = 1 };
    const struct json_val *c;
    if (!m || m->type != JSON_OBJ) m = &empty;
    json_keyz(j, "doc_mapping");
    json_obj(j);
    JSON_EACH(c, m) {
        json_key(j, c->key);
        if (str_is(c->key, "field_mappings") && c->type == JSON_ARR) write_fields(c, j);
        else json_val_write(c, j);
    }
    write_default(j, m, "mode", "\"dynamic\"");
    write_default(j, m, "field_mappings", "[]");
    write_default(j, m, "timestamp_field", "null");
    write_default(j, m, "tag_fields", "[]");
    write_default(j, m, "store_source", "false");
    write_default(j, m, "max_num_partitions", "200");
    write_default(j, m, "index_field_presence", "false");
    write_default(j, m, "store_document_size", "false");
    json_obj_end(j);
}

static void write_retention(const struct json_val *v, struct json_out *j)
{
    const struct json_val *c;
    json_keyz(j, "retention");
    if (!v || v->type != JSON_OBJ) {
        json_null(j);
        return;
    }
    json_obj(j);
    JSON_EACH(c, v) {
        json_key(j, c->key);
        json_val_write(c, j);
    }
    write_default(j, v, "schedule", "\"" INDEX_RETENTION_SCHEDULE "\"");
    json_obj_end(j);
}

void indexes_write(const struct index_entry *e, struct json_out *j)
{
    const struct json_val *config = e->config.json, *c;
    json_obj(j);
    json_keyz(j, "version");
    json_z(j, "0.9");
    json_keyz(j, "index_uid");
    json_str(j, e->uid);
    json_keyz(j, "index_config");
    json_obj(j);
    write_mapping(json_get(config, "doc_mapping"), j);
    JSON_EACH(c, config) {
        if (str_is(c->key, "doc_mapping") || str_is(c->key, "retention")) continue;
        json_key(j, c->key);
        json_val_write(c, j);
    }
    if (!json_get(config, "index_uri")) {
        char uri[INDEX_ID_MAX + 16];
        size_t n = MIN(e->id.n, (size_t)INDEX_ID_MAX);
        memcpy(uri, "tercet://", 9);
        memcpy(uri + 9, e->id.p, n);
        json_keyz(j, "index_uri");
        json_str(j, str_n(uri, n + 9));
    }
    write_default(j, config, "indexing_settings", "{\"commit_timeout_secs\":60}");
    write_default(j, config, "search_settings", "{\"default_search_fields\":[]}");
    write_retention(json_get(config, "retention"), j);
    json_obj_end(j);
    json_keyz(j, "checkpoint");
    json_obj(j);
    json_obj_end(j);
    json_keyz(j, "create_timestamp");
    json_i64(j, e->create_s);
    json_keyz(j, "sources");
    json_arr(j);
    json_arr_end(j);
    json_obj_end(j);
}
