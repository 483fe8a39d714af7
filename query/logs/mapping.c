#include "query/logs/mapping.h"

#include "base/core/datetime.h"
#include "query/logs/index_retention.h"

struct parse {
    struct arena *a;
    struct index_field *fields;
    size_t nfields, fields_cap;
    struct str *objects;
    size_t nobjects, objects_cap;
};

/* -- small readers ------------------------------------------------------------------------------------ */

static err_t want(const struct json_val *v, enum json_type type, const char *what, const char *kind)
{
    return v->type == type ? OK : err_set(ERR_INVALID, "%s must be %s", what, kind);
}

static err_t get_bool(const struct json_val *obj, const char *key, bool *out)
{
    const struct json_val *v = json_get(obj, key);
    if (!v || v->type == JSON_NULL) return OK;
    TRY(want(v, JSON_BOOL, key, "true or false"));
    *out = v->boolean;
    return OK;
}

static err_t get_strs(const struct json_val *obj, const char *key, struct arena *a, const struct str **out, uint32_t *n)
{
    const struct json_val *v = json_get(obj, key), *c;
    if (!v || v->type == JSON_NULL) return OK;
    TRY(want(v, JSON_ARR, key, "a list of strings"));
    struct str *list = ARENA_ARRAY(a, struct str, v->n + 1);
    *n = 0;
    JSON_EACH(c, v) {
        TRY(want(c, JSON_STR, key, "a list of strings"));
        list[(*n)++] = c->str;
    }
    *out = list;
    return OK;
}

static err_t known_keys(const struct json_val *obj, const char *where, const char *const *keys, size_t n)
{
    const struct json_val *c;
    JSON_EACH(c, obj) {
        size_t i = 0;
        while (i < n && !str_is(c->key, keys[i]))
            i++;
        if (i == n) return err_set(ERR_INVALID, "unknown field `" STR_FMT "` in %s", STR_ARG(c->key), where);
    }
    return OK;
}

err_t index_id_check(struct str id)
{
    bool ok = id.n >= INDEX_ID_MIN && id.n <= INDEX_ID_MAX;
    for (size_t i = 0; ok && i < id.n; i++) {
        char c = id.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        ok = letter || (other && i > 0);
    }
    if (!ok)
        return err_set(ERR_INVALID, "index ID `" STR_FMT "` is invalid: it must match [a-zA-Z][a-zA-Z0-9-_.]{2,254}",
                       STR_ARG(str_sub(id, 0, 300)));
    return OK;
}

/* -- fields --------------------------------------------------------------------------------------------- */

static err_t parse_type(struct str s, struct index_field *f, bool *object)
{
    static const struct { const char *name; enum field_type type; } types[] = {
        { "text", FT_TEXT }, { "i64", FT_I64 }, { "u64", FT_U64 }, { "f64", FT_F64 }, { "bool", FT_BOOL },
        { "datetime", FT_DATETIME }, { "ip", FT_IP }, { "bytes", FT_BYTES }, { "json", FT_JSON },
        { "concatenate", FT_CONCAT },
    };
    struct str t = s;
    *object = str_is(s, "object");
    if (*object) return OK;
    if (str_starts(t, STR("array<")) && str_ends(t, STR(">"))) {
        f->array = true;
        t = str_sub(t, 6, t.n - 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_is(t, types[i].name)) return f->type = types[i].type, OK;
    return err_set(ERR_INVALID, "unknown field type `" STR_FMT "`", STR_ARG(s));
}

static err_t parse_tokenizer(const struct json_val *v, enum tokenizer *out)
{
    static const struct { const char *name; enum tokenizer tok; } known[] = {
        { "raw", TOK_RAW }, { "raw_lowercase", TOK_LOWERCASE }, { "lowercase", TOK_LOWERCASE }, { "default", TOK_DEFAULT },
        { "en_stem", TOK_DEFAULT }, { "chinese_compatible", TOK_DEFAULT }, { "source_code_default", TOK_DEFAULT },
        { "source_code_with_hex", TOK_DEFAULT }, { "unicode_segmenter", TOK_DEFAULT }, { "whitespace", TOK_WHITESPACE },
    };
    TRY(want(v, JSON_STR, "tokenizer", "a string"));
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_is(v->str, known[i].name)) return *out = known[i].tok, OK;
    return err_set(ERR_INVALID, "unknown tokenizer `" STR_FMT "`", STR_ARG(v->str));
}

static err_t parse_precision(const struct json_val *v, int64_t *ns)
{
    static const struct { const char *name; int64_t ns; } unit[] = {
        { "seconds", NS_PER_S }, { "milliseconds", NS_PER_MS }, { "microseconds", NS_PER_US }, { "nanoseconds", 1 },
    };
    TRY(want(v, JSON_STR, "fast_precision", "a string"));
    for (size_t i = 0; i < ARRAY_LEN(unit); i++)
        if (str_is(v->str, unit[i].name)) return *ns = unit[i].ns, OK;
    return err_set(ERR_INVALID, "unknown fast_precision `" STR_FMT "`", STR_ARG(v->str));
}

/* Everything but name and type; also of dynamic_mapping. */
static err_t parse_options(const struct json_val *v, struct arena *a, struct index_field *f)
{
    const struct json_val *c = json_get(v, "fast");
    TRY(get_bool(v, "stored", &f->stored));
    TRY(get_bool(v, "indexed", &f->indexed));
    if (c && c->type == JSON_OBJ) {
        const struct json_val *n = json_get(c, "normalizer");
        f->fast = true;
        f->fast_lower = n && n->type == JSON_STR && str_is(n->str, "lowercase");
    } else {
        TRY(get_bool(v, "fast", &f->fast));
    }
    if ((c = json_get(v, "tokenizer"))) TRY(parse_tokenizer(c, &f->tokenizer));
    if ((c = json_get(v, "record")) && c->type == JSON_STR) f->positions = str_is(c->str, "position");
    if ((c = json_get(v, "fast_precision"))) TRY(parse_precision(c, &f->precision_ns));
    if ((c = json_get(v, "output_format"))) {
        TRY(want(c, JSON_STR, "output_format", "a string"));
        f->output_format = c->str;
    }
    TRY(get_bool(v, "include_dynamic_fields", &f->concat_dynamic));
    TRY(get_strs(v, "concatenate_fields", a, &f->concat, &f->nconcat));
    return get_strs(v, "input_formats", a, &f->input_formats, &f->ninput_formats);
}

static err_t parse_fields(struct parse *p, const struct json_val *list, struct str prefix);

static err_t parse_field(struct parse *p, const struct json_val *v, struct str prefix)
{
    static const char *const keys[] = { "name", "type", "stored", "indexed", "fast", "tokenizer", "record", "fieldnorms",
        "fast_precision", "input_formats", "output_format", "precision", "field_mappings", "coerce", "expand_dots",
        "description", "input_format", "concatenate_fields", "include_dynamic_fields" };
    static const struct str rfc3339[] = { { "rfc3339", 7 }, { "unix_timestamp", 14 } };
    const struct json_val *name = json_get(v, "name"), *type = json_get(v, "type");
    if (v->type != JSON_OBJ || !name || name->type != JSON_STR || name->str.n == 0)
        return err_set(ERR_INVALID, "a field mapping needs a name");
    if (!type || type->type != JSON_STR)
        return err_set(ERR_INVALID, "field `" STR_FMT "` needs a type", STR_ARG(name->str));
    TRY(known_keys(v, "a field mapping", keys, ARRAY_LEN(keys)));
    struct index_field f = { .stored = true, .indexed = true, .input_formats = rfc3339, .ninput_formats = 2,
        .output_format = STR("rfc3339") };
    bool object;
    TRY(parse_type(type->str, &f, &object));
    f.tokenizer = f.type == FT_TEXT || f.type == FT_CONCAT ? TOK_DEFAULT : TOK_RAW;
    f.path = prefix.n ? arena_printf(p->a, STR_FMT "." STR_FMT, STR_ARG(prefix), STR_ARG(name->str)) : name->str;
    if (object) {
        p->objects = arena_grow(p->a, p->objects, p->nobjects, &p->objects_cap, p->nobjects + 1, sizeof *p->objects);
        p->objects[p->nobjects++] = f.path;
        const struct json_val *sub = json_get(v, "field_mappings");
        if (!sub || sub->type != JSON_ARR || sub->n == 0)
            return err_set(ERR_INVALID, "object `" STR_FMT "` needs field_mappings", STR_ARG(f.path));
        return parse_fields(p, sub, f.path);
    }
    TRY(parse_options(v, p->a, &f));
    if (p->nfields >= MAPPING_FIELDS_MAX) return err_set(ERR_INVALID, "over %d fields", MAPPING_FIELDS_MAX);
    for (size_t i = 0; i < p->nfields; i++)
        if (str_eq(p->fields[i].path, f.path))
            return err_set(ERR_INVALID, "field `" STR_FMT "` is described twice", STR_ARG(f.path));
    p->fields = arena_grow(p->a, p->fields, p->nfields, &p->fields_cap, p->nfields + 1, sizeof f);
    p->fields[p->nfields++] = f;
    return OK;
}

/* Depth is that of the JSON text: at most JSON_DEPTH_MAX. */
static err_t parse_fields(struct parse *p, const struct json_val *list, struct str prefix)
{
    const struct json_val *c;
    TRY(want(list, JSON_ARR, "field_mappings", "a list"));
    JSON_EACH(c, list) TRY(parse_field(p, c, prefix));
    return OK;
}

/* -- the whole ------------------------------------------------------------------------------------------- */

static err_t parse_mode(const struct json_val *dm, struct index_mapping *m)
{
    const struct json_val *mode = json_get(dm, "mode");
    m->mode = MODE_DYNAMIC;
    if (!mode) return OK;
    TRY(want(mode, JSON_STR, "mode", "a string"));
    if (str_is(mode->str, "dynamic")) m->mode = MODE_DYNAMIC;
    else if (str_is(mode->str, "lenient")) m->mode = MODE_LENIENT;
    else if (str_is(mode->str, "strict")) m->mode = MODE_STRICT;
    else return err_set(ERR_INVALID, "unknown mode `" STR_FMT "`: dynamic, lenient or strict", STR_ARG(mode->str));
    return OK;
}

static err_t check_timestamp(const struct index_mapping *m)
{
    struct str rest;
    if (m->timestamp_field.n == 0) return OK;
    const struct index_field *f = mapping_field(m, m->timestamp_field, &rest);
    if (!f || rest.n) return err_set(ERR_INVALID, "timestamp field `" STR_FMT "` is not described", STR_ARG(m->timestamp_field));
    if (f->type != FT_DATETIME || f->array)
        return err_set(ERR_INVALID, "timestamp field `" STR_FMT "` must be a datetime", STR_ARG(m->timestamp_field));
    if (!f->fast) return err_set(ERR_INVALID, "timestamp field `" STR_FMT "` must be fast", STR_ARG(m->timestamp_field));
    return OK;
}

static err_t check_tags(const struct index_mapping *m, const struct str *tags, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct str rest;
        const struct index_field *f = mapping_field(m, tags[i], &rest);
        if (!f || rest.n) return err_set(ERR_INVALID, "tag field `" STR_FMT "` is not described", STR_ARG(tags[i]));
        bool ok = (f->type == FT_TEXT && f->tokenizer == TOK_RAW) || f->type == FT_I64 || f->type == FT_U64;
        if (!ok)
            return err_set(ERR_INVALID, "tag field `" STR_FMT "` must be text with the raw tokenizer, i64 or u64", STR_ARG(tags[i]));
    }
    return OK;
}

static err_t check_defaults(const struct index_mapping *m)
{
    for (uint32_t i = 0; i < m->ndefault_fields; i++) {
        struct str rest;
        const struct index_field *f = mapping_field(m, m->default_fields[i], &rest);
        if (!f && m->mode != MODE_DYNAMIC)
            return err_set(ERR_INVALID, "unknown default search field `" STR_FMT "`", STR_ARG(m->default_fields[i]));
        if (f && !f->indexed)
            return err_set(ERR_INVALID, "default search field `" STR_FMT "` is not indexed", STR_ARG(m->default_fields[i]));
    }
    return OK;
}

static err_t parse_doc_mapping(const struct json_val *dm, struct arena *a, struct index_mapping *m)
{
    static const char *const keys[] = { "mode", "dynamic_mapping", "field_mappings", "timestamp_field", "tag_fields",
        "partition_key", "max_num_partitions", "store_source", "index_field_presence", "store_document_size",
        "tokenizers", "document_mapping_uid", "doc_mapping_uid", "secondary_timestamp_field" };
    struct parse p = { .a = a };
    const struct json_val *c;
    TRY(want(dm, JSON_OBJ, "doc_mapping", "an object"));
    TRY(known_keys(dm, "doc_mapping", keys, ARRAY_LEN(keys)));
    TRY(parse_mode(dm, m));
    if ((c = json_get(dm, "field_mappings"))) TRY(parse_fields(&p, c, STR("")));
    m->fields = p.fields;
    m->nfields = (uint32_t)p.nfields;
    m->objects = p.objects;
    m->nobjects = (uint32_t)p.nobjects;
    m->dynamic = (struct index_field){ .type = FT_JSON, .stored = true, .indexed = true, .fast = true, .tokenizer = TOK_RAW };
    if ((c = json_get(dm, "dynamic_mapping")) && c->type == JSON_OBJ) TRY(parse_options(c, a, &m->dynamic));
    if ((c = json_get(dm, "timestamp_field")) && c->type != JSON_NULL) {
        TRY(want(c, JSON_STR, "timestamp_field", "a string"));
        m->timestamp_field = c->str;
    }
    TRY(get_bool(dm, "store_document_size", &m->store_document_size));
    TRY(get_bool(dm, "index_field_presence", &m->index_field_presence));
    const struct str *tags = NULL;
    uint32_t ntags = 0;
    TRY(get_strs(dm, "tag_fields", a, &tags, &ntags));
    TRY(check_timestamp(m));
    return check_tags(m, tags, ntags);
}

err_t index_config_parse(struct str text, struct arena *a, struct index_config *out)
{
    static const char *const keys[] = { "version", "index_id", "index_uri", "doc_mapping", "indexing_settings",
        "ingest_settings", "search_settings", "retention" };
    static const struct json_val empty = { .type = JSON_OBJ, .span = 1 };
    const struct json_val *v, *c;
    *out = (struct index_config){ 0 };
    TRY(json_parse(text, a, &v));
    TRY(want(v, JSON_OBJ, "the index configuration", "an object"));
    TRY(known_keys(v, "the index configuration", keys, ARRAY_LEN(keys)));
    c = json_get(v, "index_id");
    if (!c || c->type != JSON_STR) return err_set(ERR_INVALID, "missing field `index_id`");
    TRY(index_id_check(c->str));
    out->index_id = c->str;
    out->json = v;
    c = json_get(v, "version");
    /* YAML writes it without quotes. */
    bool known = c && ((c->type == JSON_STR && c->str.n == 3 && str_starts(c->str, STR("0."))) || (c->type == JSON_F64 && c->f64 > 0 && c->f64 < 1));
    if (!known)
        return err_set(ERR_INVALID, "`version` must be \"0.7\", \"0.8\" or \"0.9\"");
    c = json_get(v, "doc_mapping");
    TRY(parse_doc_mapping(c ? c : &empty, a, &out->mapping));
    c = json_get(v, "retention");
    if (c) TRY(index_retention_parse(c, &out->retention_ns));
    c = json_get(v, "search_settings");
    if (c) TRY(get_strs(c, "default_search_fields", a, &out->mapping.default_fields, &out->mapping.ndefault_fields));
    return check_defaults(&out->mapping);
}

const struct index_field *mapping_field(const struct index_mapping *m, struct str path, struct str *rest)
{
    *rest = STR("");
    for (uint32_t i = 0; i < m->nfields; i++)
        if (str_eq(m->fields[i].path, path)) return &m->fields[i];
    for (uint32_t i = 0; i < m->nfields; i++) {
        const struct index_field *f = &m->fields[i];
        if (f->type != FT_JSON || !str_starts(path, f->path) || path.n <= f->path.n || path.p[f->path.n] != '.') continue;
        *rest = str_sub(path, f->path.n + 1, path.n);
        return f;
    }
    return NULL;
}

