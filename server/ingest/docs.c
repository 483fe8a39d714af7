#include "server/ingest/docs.h"

#include "storage/json_in.h"

void docs_builder_init(struct docs_builder *b, const struct doc_mapping *m, struct arena *a, struct budget *budget,
                       unix_ns now)
{
    b->arena = a;
    b->budget = budget;
    b->mapping = m;
    b->now = now;
    b->tables = NULL;
    b->ntables = 0;
    b->tables_cap = 0;
    b->builder = NULL;
    b->accepted = 0;
    arena_init(&b->scratch, budget);
}

static void finish_table(struct docs_builder *b)
{
    if (!b->builder) return;
    if (table_builder_rows(b->builder) == 0) {
        table_builder_free(b->builder);
    } else {
        b->tables = arena_grow(b->arena, b->tables, b->ntables, &b->tables_cap, b->ntables + 1, sizeof *b->tables);
        b->tables[b->ntables++] = table_builder_finish(b->builder, STR("time"));
    }
    b->builder = NULL;
}

err_t docs_builder_finish(struct docs_builder *b)
{
    if (b->builder) TRY(table_builder_check(b->builder));
    finish_table(b);
    return OK;
}

void docs_builder_deinit(struct docs_builder *b)
{
    if (b->builder) table_builder_free(b->builder);
    b->builder = NULL;
    for (uint32_t i = 0; i < b->ntables; i++)
        table_put(b->tables[i]);
    b->ntables = 0;
    arena_deinit(&b->scratch);
}

/* -- fields ---------------------------------------------------------------------------------------------- */

static const struct doc_field *declared(const struct docs_builder *b, struct str path)
{
    for (uint32_t i = 0; i < b->mapping->nfields; i++)
        if (str_eq(b->mapping->fields[i].path, path)) return &b->mapping->fields[i];
    return NULL;
}

/* Is the path inside a declared json field? */
static bool inside_json(const struct docs_builder *b, struct str path)
{
    for (uint32_t i = 0; i < b->mapping->nfields; i++) {
        const struct doc_field *f = &b->mapping->fields[i];
        if (f->type == DOC_JSON && path.n > f->path.n && path.p[f->path.n] == '.' && str_starts(path, f->path))
            return true;
    }
    return false;
}

static err_t unfit(struct str path, const char *want)
{
    return err_set(ERR_INVALID, "the field '" STR_FMT "' could not be parsed: expected %s", STR_ARG(path), want);
}

/* A leaf in the type that JSON gives it. */
static void put_plain(struct docs_builder *b, struct str path, const struct json_val *v)
{
    struct table_builder *t = b->builder;
    switch (v->type) {
    case JSON_NULL: break;
    case JSON_BOOL: table_set_bool(t, SC_ATTR, path, v->boolean); break;
    case JSON_I64: table_set_i64(t, SC_ATTR, path, v->i64); break;
    case JSON_U64:
    case JSON_F64: table_set_f64(t, SC_ATTR, path, json_num(v)); break;
    case JSON_STR: table_set_str(t, SC_ATTR, path, COL_STR, v->str); break;
    case JSON_ARR:
    case JSON_OBJ: table_set_str(t, SC_ATTR, path, COL_JSON, json_val_text(v, &b->scratch)); break;
    }
}

static err_t put_integer(struct docs_builder *b, const struct doc_field *f, struct str path, const struct json_val *v)
{
    int64_t i;
    uint64_t u;
    if (v->type == JSON_U64 && f->type == DOC_U64) {
        table_set_f64(b->builder, SC_ATTR, path, (double)v->u64);
        return OK;
    }
    if (v->type == JSON_STR && !str_to_i64(v->str, &i)) {
        if (f->type != DOC_U64 || !str_to_u64(v->str, &u)) return unfit(path, "an integer");
        table_set_f64(b->builder, SC_ATTR, path, (double)u);
        return OK;
    }
    if (v->type != JSON_STR && (!json_is_num(v) || !json_to_i64(v, &i))) return unfit(path, "an integer");
    if (f->type == DOC_U64 && i < 0) return unfit(path, "an unsigned integer");
    table_set_i64(b->builder, SC_ATTR, path, i);
    return OK;
}

static err_t put_declared(struct docs_builder *b, const struct doc_field *f, struct str path, const struct json_val *v)
{
    double d;
    int64_t ns;
    switch (f->type) {
    case DOC_TEXT:
    case DOC_IP:
    case DOC_BYTES:
        if (v->type != JSON_STR) return unfit(path, "a string");
        put_plain(b, path, v);
        return OK;
    case DOC_I64:
    case DOC_U64: return put_integer(b, f, path, v);
    case DOC_F64:
        if (json_is_num(v))
            d = json_num(v);
        else if (v->type != JSON_STR || !str_to_f64(v->str, &d))
            return unfit(path, "a number");
        table_set_f64(b->builder, SC_ATTR, path, d);
        return OK;
    case DOC_BOOL:
        if (v->type == JSON_STR && (str_is(v->str, "true") || str_is(v->str, "false")))
            table_set_bool(b->builder, SC_ATTR, path, v->str.p[0] == 't');
        else if (v->type == JSON_BOOL)
            table_set_bool(b->builder, SC_ATTR, path, v->boolean);
        else
            return unfit(path, "a boolean");
        return OK;
    case DOC_DATETIME:
        if (doc_time(v, f, &ns) != OK) return unfit(path, "a datetime in one of its input formats");
        table_set_i64(b->builder, SC_ATTR, path, ns);
        return OK;
    case DOC_JSON: put_plain(b, path, v); return OK;
    }
    return OK;
}

static err_t put_time(struct docs_builder *b, const struct doc_field *f, struct str path, const struct json_val *v)
{
    int64_t ns;
    if (doc_time(v, f, &ns) != OK) return unfit(path, "a datetime in one of its input formats");
    table_set_i64(b->builder, SC_SELF, STR("time"), ns);
    b->timed = true;
    return OK;
}

static err_t put_leaf(struct docs_builder *b, const struct json_val *v)
{
    struct str path = { b->path, b->path_n };
    if (++b->leaves > DOC_LEAVES_MAX) return err_set(ERR_INVALID, "more than %d fields", DOC_LEAVES_MAX);
    const struct doc_field *f = declared(b, path);
    if (b->mapping->timestamp_field.n > 0 && str_eq(path, b->mapping->timestamp_field)) return put_time(b, f, path, v);
    if (f && (!f->array || v->type != JSON_ARR) && v->type != JSON_NULL) return put_declared(b, f, path, v);
    if (!f && b->mapping->mode != DOC_DYNAMIC && !inside_json(b, path)) {
        if (b->mapping->mode == DOC_LENIENT) return OK;
        return err_set(ERR_INVALID, "the field '" STR_FMT "' is not declared in the index's doc mapping", STR_ARG(path));
    }
    put_plain(b, path, v);
    return OK;
}

/* Recursion is bounded by the parser's JSON_DEPTH_MAX. */
static err_t put_object(struct docs_builder *b, const struct json_val *v)
{
    const struct json_val *c;
    size_t base = b->path_n;
    JSON_EACH(c, v)
    {
        size_t dot = base > 0;
        if (c->key.n == 0 || base + dot + c->key.n > sizeof b->path)
            return err_set(ERR_INVALID, "a field name is empty, or its path longer than %zu bytes", sizeof b->path);
        if (dot) b->path[base] = '.';
        memcpy(b->path + base + dot, c->key.p, c->key.n);
        b->path_n = base + dot + c->key.n;
        if (c->type == JSON_OBJ)
            TRY(put_object(b, c));
        else if (c->type != JSON_NULL)
            TRY(put_leaf(b, c));
    }
    b->path_n = base;
    return OK;
}

static err_t put_row(struct docs_builder *b, struct str json, const struct json_val *doc)
{
    table_set_str(b->builder, SC_SELF, STR("source"), COL_STR, json);
    if (b->mapping->document_size) table_set_i64(b->builder, SC_ATTR, STR("_doc_length"), (int64_t)json.n);
    b->path_n = 0;
    b->leaves = 0;
    b->timed = false;
    TRY(put_object(b, doc));
    if (b->timed) return OK;
    if (b->mapping->timestamp_field.n > 0)
        return err_set(ERR_INVALID, "the timestamp field '" STR_FMT "' is missing", STR_ARG(b->mapping->timestamp_field));
    table_set_i64(b->builder, SC_SELF, STR("time"), b->now.ns);
    return OK;
}

err_t docs_builder_add(struct docs_builder *b, struct str json)
{
    const struct json_val *doc;
    json = str_trim(json);
    if (json.n > DOC_BYTES_MAX) return err_set(ERR_INVALID, "a document of %zu bytes, at most %d", json.n, DOC_BYTES_MAX);
    arena_reset(&b->scratch);
    TRY(json_parse(json, &b->scratch, &doc));
    if (doc->type != JSON_OBJ) return err_set(ERR_INVALID, "the document is not a JSON object");
    if (b->builder && table_builder_full(b->builder)) {
        TRY(table_builder_check(b->builder));
        finish_table(b);
    }
    if (!b->builder) {
        if (b->ntables == BATCH_TABLES_MAX)
            return err_set(ERR_TOO_LARGE, "too many distinct fields: more than %d tables", BATCH_TABLES_MAX);
        b->builder = table_builder_new(b->budget);
        table_resource(b->builder);
        table_scope(b->builder);
    }
    table_row(b->builder);
    err_t e = put_row(b, json, doc);
    if (e != OK) {
        table_row_drop(b->builder);
        return e;
    }
    b->accepted++;
    return b->accepted % 256 == 0 ? table_builder_check(b->builder) : OK;
}
