/* ndjson ingest and _bulk over a docs_builder for each index. */
#include "base/core/metric.h"
#include "server/ingest/ingest_internal.h"
#include "storage/json_in.h"

enum { BULK_INDEXES_MAX = 256, FAILED_TEXT_MAX = 1024, CHECK_EVERY = 64 };

/* -- ndjson --------------------------------------------------------------------------------------------- */

struct failure {
    struct str document, message;
};

struct ndjson {
    struct docs_builder builder;
    uint64_t processed, rejected;
    struct failure failures[DOC_FAILURES_MAX];
    uint32_t nfailures;
};

static err_t add_lines(struct ndjson *n, struct str body, struct arena *a)
{
    struct str line;
    while (str_cut(&body, '\n', &line)) {
        line = str_trim(line);
        if (line.n == 0) continue;
        if (n->processed++ % CHECK_EVERY == 0 && rt_in_fiber()) TRY(rt_checkpoint());
        err_t e = docs_builder_add(&n->builder, line);
        if (e != OK && e != ERR_INVALID) return e;
        if (e == OK) continue;
        n->rejected++;
        if (n->nfailures < DOC_FAILURES_MAX)
            n->failures[n->nfailures++] =
                (struct failure){ str_sub(line, 0, FAILED_TEXT_MAX), arena_printf(a, "%s", err_detail()) };
    }
    return docs_builder_finish(&n->builder);
}

static void ndjson_answer(const struct ndjson *n, bool detailed, struct http_response *rs)
{
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "num_docs_for_processing");
    json_u64(&j, n->processed);
    json_keyz(&j, "num_ingested_docs");
    json_u64(&j, n->builder.accepted);
    json_keyz(&j, "num_rejected_docs");
    json_u64(&j, n->rejected);
    if (detailed) {
        json_keyz(&j, "parse_failures");
        json_arr(&j);
        for (uint32_t i = 0; i < n->nfailures; i++) {
            json_obj(&j);
            json_keyz(&j, "message");
            json_str(&j, n->failures[i].message);
            json_keyz(&j, "document");
            json_str(&j, n->failures[i].document);
            json_keyz(&j, "reason");
            json_z(&j, "unspecified");
            json_obj_end(&j);
        }
        json_arr_end(&j);
    }
    json_obj_end(&j);
}

static struct batch batch_of(const struct docs_builder *b, struct str tenant, struct str index)
{
    if (b->mapping->stored.n) index = b->mapping->stored;
    return (struct batch){ .tenant = tenant, .signal = SIG_DOCS, .index = index, .ntables = b->ntables,
                           .tables = b->tables, .nrows = b->accepted };
}

static void count(uint64_t accepted, uint64_t rejected, struct str body)
{
    metric_add(M_INGEST_DOCS, (int64_t)accepted);
    metric_add(M_INGEST_BYTES, (int64_t)body.n);
    if (rejected) metric_add(M_INGEST_REJECTED, (int64_t)rejected);
}

err_t docs_ingest(struct ingest_ctx *c, struct http_request *rq, struct str index, const struct doc_mapping *m,
                  struct http_response *rs)
{
    struct arena a;
    struct str detailed;
    err_t e = OK;
    arena_init(&a, c->budget);
    struct ndjson *n = ARENA_NEW(&a, struct ndjson);
    docs_builder_init(&n->builder, m, &a, c->budget, rt_wall());
    TRY_OUT(e, add_lines(n, rq->body, &a));
    if (n->builder.ntables > 0) {
        struct batch batch = batch_of(&n->builder, rq->tenant, index);
        TRY_OUT(e, ingest_append(c, &(struct batch *){ &batch }, 1));
    }
    count(n->builder.accepted, n->rejected, rq->body);
    ndjson_answer(n, http_param(rq, "detailed_response", 0, &detailed) && str_is(detailed, "true"), rs);
out:
    docs_builder_deinit(&n->builder);
    arena_deinit(&a);
    return e;
}

/* -- _bulk ------------------------------------------------------------------------------------------------ */

struct bulk_index {
    struct str name;
    err_t error; /* of the resolver */
    struct str reason;
    struct docs_builder builder;
    bool open;
};

struct bulk_item {
    struct str id, document;
    uint32_t index;
    bool create;
    int status;
    const char *error_type;
    struct str reason;
};

struct bulk {
    struct arena *arena;
    struct bulk_index *indexes;
    uint32_t nindexes;
    size_t indexes_cap;
    struct bulk_item *items;
    uint32_t nitems;
    size_t items_cap;
};

/* Elasticsearch's error of a whole request, as the answer. */
static void bulk_refuse(struct http_response *rs, const char *type, struct str reason)
{
    struct json_out j;
    rs->status = 400;
    buf_clear(&rs->body);
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "status");
    json_i64(&j, 400);
    json_keyz(&j, "error");
    json_obj(&j);
    json_keyz(&j, "type");
    json_z(&j, type);
    json_keyz(&j, "reason");
    json_str(&j, reason);
    json_obj_end(&j);
    json_obj_end(&j);
}

static err_t index_slot(struct bulk *b, struct str name, uint32_t *slot)
{
    for (uint32_t i = b->nindexes; i-- > 0;)
        if (str_eq(b->indexes[i].name, name)) {
            *slot = i;
            return OK;
        }
    if (b->nindexes == BULK_INDEXES_MAX)
        return err_set(ERR_INVALID, "more than %d indexes in one bulk request", BULK_INDEXES_MAX);
    b->indexes = arena_grow(b->arena, b->indexes, b->nindexes, &b->indexes_cap, b->nindexes + 1, sizeof *b->indexes);
    memset(&b->indexes[b->nindexes], 0, sizeof *b->indexes);
    b->indexes[b->nindexes].name = arena_str(b->arena, name);
    *slot = b->nindexes++;
    return OK;
}

/* {"index": {"_index", "_id"}} or {"create": ..}. ERR_INVALID says what is wrong with the line. */
static err_t action_line(struct bulk *b, struct str line, struct str default_index, struct bulk_item *item,
                         bool *no_index)
{
    const struct json_val *v, *name, *id;
    TRY(json_parse(line, b->arena, &v));
    if (v->type != JSON_OBJ || v->n != 1) return err_set(ERR_INVALID, "expected an object with one action");
    const struct json_val *action = v + 1;
    item->create = str_is(action->key, "create");
    if (!item->create && !str_is(action->key, "index"))
        return err_set(ERR_INVALID, "unknown action '" STR_FMT "', expected 'index' or 'create'",
                       STR_ARG(str_sub(action->key, 0, 100)));
    if (action->type != JSON_OBJ) return err_set(ERR_INVALID, "expected an object behind the action");
    name = json_get(action, "_index");
    id = json_get(action, "_id");
    if ((name && name->type != JSON_STR && name->type != JSON_NULL) ||
        (id && id->type != JSON_STR && id->type != JSON_NULL))
        return err_set(ERR_INVALID, "'_index' and '_id' must be strings");
    if (id && id->type == JSON_STR) item->id = id->str;
    struct str index = name && name->type == JSON_STR ? name->str : default_index;
    *no_index = index.n == 0;
    return *no_index ? OK : index_slot(b, index, &item->index);
}

/* The lines into items. False: the request is refused and rs says why. */
static err_t bulk_lines(struct bulk *b, struct str body, struct str default_index, struct http_response *rs, bool *ok)
{
    struct str line;
    *ok = false;
    for (unsigned lineno = 1; str_cut(&body, '\n', &line); lineno++) {
        struct bulk_item item = { .status = 201 };
        bool no_index = false;
        if (str_trim(line).n == 0) continue;
        err_t e = action_line(b, str_trim(line), default_index, &item, &no_index);
        if (e != OK && e != ERR_INVALID) return e;
        if (e != OK) {
            bulk_refuse(rs, "illegal_argument_exception",
                        arena_printf(b->arena, "Malformed action/metadata line [%u]. Details: `%s`", lineno, err_detail()));
            return OK;
        }
        if (no_index) {
            bulk_refuse(rs, "action_request_validation_exception",
                        arena_printf(b->arena, "Validation Failed: %u: index is missing;", b->nitems + 1));
            return OK;
        }
        if (!str_cut(&body, '\n', &item.document) || str_trim(item.document).n == 0) {
            bulk_refuse(rs, "illegal_argument_exception",
                        arena_printf(b->arena, "Malformed action/metadata line [%u]. Details: `no document follows it`",
                                     lineno));
            return OK;
        }
        lineno++;
        b->items = arena_grow(b->arena, b->items, b->nitems, &b->items_cap, b->nitems + 1, sizeof *b->items);
        b->items[b->nitems++] = item;
        TRY(arena_check(b->arena));
    }
    *ok = true;
    return OK;
}

static err_t bulk_resolve(struct bulk *b, struct ingest_ctx *c, struct str tenant, docs_resolve *resolve, void *arg)
{
    for (uint32_t i = 0; i < b->nindexes; i++) {
        struct bulk_index *x = &b->indexes[i];
        const struct doc_mapping *m = NULL;
        x->error = resolve(arg, tenant, x->name, &m);
        if (x->error == OK) {
            docs_builder_init(&x->builder, m, b->arena, c->budget, rt_wall());
            x->open = true;
        } else if (x->error == ERR_NOT_FOUND || x->error == ERR_INVALID) {
            x->reason = x->error == ERR_NOT_FOUND ? arena_printf(b->arena, "no such index [" STR_FMT "]", STR_ARG(x->name))
                                                  : arena_printf(b->arena, "%s", err_detail());
        } else {
            return x->error;
        }
    }
    return OK;
}

static err_t bulk_documents(struct bulk *b, uint64_t *rejected)
{
    for (uint32_t i = 0; i < b->nitems; i++) {
        struct bulk_item *item = &b->items[i];
        struct bulk_index *x = &b->indexes[item->index];
        if (i % CHECK_EVERY == 0 && rt_in_fiber()) TRY(rt_checkpoint());
        if (x->open) {
            err_t e = docs_builder_add(&x->builder, item->document);
            if (e == OK) continue;
            if (e != ERR_INVALID) return e;
            item->status = 400;
            item->error_type = "document_parsing_exception";
            item->reason = arena_printf(b->arena, "%s", err_detail());
        } else {
            item->status = x->error == ERR_NOT_FOUND ? 404 : 400;
            item->error_type = x->error == ERR_NOT_FOUND ? "index_not_found_exception" : "illegal_argument_exception";
            item->reason = x->reason;
        }
        (*rejected)++;
    }
    return OK;
}

static err_t bulk_append(struct bulk *b, struct ingest_ctx *c, struct str tenant, uint64_t *accepted)
{
    struct batch *batches = ARENA_ARRAY(b->arena, struct batch, b->nindexes);
    struct batch **list = ARENA_ARRAY(b->arena, struct batch *, b->nindexes);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->nindexes; i++) {
        struct bulk_index *x = &b->indexes[i];
        if (!x->open) continue;
        TRY(docs_builder_finish(&x->builder));
        if (x->builder.ntables == 0) continue;
        batches[n] = batch_of(&x->builder, tenant, x->name);
        *accepted += x->builder.accepted;
        list[n] = &batches[n];
        n++;
    }
    return n > 0 ? ingest_append(c, list, n) : OK;
}

static void bulk_item_answer(struct json_out *j, const struct bulk *b, const struct bulk_item *item)
{
    struct str index = b->indexes[item->index].name;
    json_obj(j);
    json_keyz(j, item->create ? "create" : "index");
    json_obj(j);
    json_keyz(j, "_index");
    json_str(j, index);
    if (item->id.p) {
        json_keyz(j, "_id");
        json_str(j, item->id);
    }
    json_keyz(j, "status");
    json_i64(j, item->status);
    if (item->error_type) {
        json_keyz(j, "error");
        json_obj(j);
        if (item->status == 404) {
            json_keyz(j, "index");
            json_str(j, index);
        }
        json_keyz(j, "type");
        json_z(j, item->error_type);
        json_keyz(j, "reason");
        json_str(j, item->reason);
        json_obj_end(j);
    }
    json_obj_end(j);
    json_obj_end(j);
}

static void bulk_answer(const struct bulk *b, int64_t took_ms, bool errors, struct http_response *rs)
{
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    json_keyz(&j, "took");
    json_i64(&j, took_ms);
    json_keyz(&j, "errors");
    json_bool(&j, errors);
    json_keyz(&j, "items");
    json_arr(&j);
    for (uint32_t i = 0; i < b->nitems; i++)
        bulk_item_answer(&j, b, &b->items[i]);
    json_arr_end(&j);
    json_obj_end(&j);
}

err_t docs_bulk(struct ingest_ctx *c, struct http_request *rq, struct str default_index, docs_resolve *resolve, void *arg,
                struct http_response *rs)
{
    struct arena a;
    struct bulk b = { .arena = &a };
    uint64_t accepted = 0, rejected = 0;
    mono_ns start = rt_now();
    bool ok;
    err_t e = OK;
    arena_init(&a, c->budget);
    TRY_OUT(e, bulk_lines(&b, rq->body, default_index, rs, &ok));
    if (!ok) goto out;
    TRY_OUT(e, bulk_resolve(&b, c, rq->tenant, resolve, arg));
    TRY_OUT(e, bulk_documents(&b, &rejected));
    TRY_OUT(e, bulk_append(&b, c, rq->tenant, &accepted));
    count(accepted, rejected, rq->body);
    bulk_answer(&b, (rt_now().ns - start.ns) / NS_PER_MS, rejected > 0, rs);
out:
    for (uint32_t i = 0; i < b.nindexes; i++)
        if (b.indexes[i].open) docs_builder_deinit(&b.indexes[i].builder);
    arena_deinit(&a);
    return e;
}
