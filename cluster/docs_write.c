/* Writing documents: at their homes, and on the way there. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/metric.h"
#include "cluster/docs_int.h"
#include "cluster/fanout.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WRITE_MS = 4 * DOC_CALL_MS /* for a home to do it */, ANSWER_MAX = ERR_DETAIL_MAX + 64 };

/* -- a question to all living others -------------------------------------------------------------------------------- */
struct fan {
    struct docs *d;
    const struct map *map;
    uint16_t method;
    struct str body;
    uint32_t answered;
};

/* What comes back are documents, or nothing. */
static void fan_one(void *ctx, uint32_t i)
{
    struct fan *f = ctx;
    const struct member *to = &f->map->v[i];
    struct buf answer;
    uint32_t n;
    if (to->id.u == f->map->self.u || !member_is_live(to)) return;
    buf_init(&answer, DOC_BYTES_MAX + DOC_FETCH_BYTES, &f->d->c->memory);
    const struct rpc_call call = { .method = f->method, .class = RT_REPLICATION, .body = f->body, .answer_max = DOC_BYTES_MAX + DOC_FETCH_BYTES,
                                   .deadline = mono_add(rt_now(), (int64_t)DOC_CALL_MS * NS_PER_MS) };
    err_t e = cluster_call(f->d->c, to->id, &call, &answer);
    if (e == OK) e = docs_merge_all(f->d, buf_view(&answer), &n);
    if (e == OK) f->answered++;
    buf_deinit(&answer);
}

static err_t to_quorum(struct docs *d, const struct map *map, uint16_t method, struct str body, const char *what)
{
    struct fan f = { .d = d, .map = map, .method = method, .body = body };
    const struct fanout all = { .name = "docs", .class = RT_REPLICATION, .n = map->n, .ctx = &f, .one = fan_one };
    if (map->alone) return OK;
    TRY(fanout_run(&all));
    if (f.answered + 1 >= map->quorum) return OK;
    metric_add(M_DOCS_NO_QUORUM, 1);
    return err_set(ERR_UNAVAILABLE, "%s %u of %u nodes of the cluster, %u are wanted", what, f.answered + 1, map->n, map->quorum);
}

/* -- at the home ------------------------------------------------------------------------------------------------------ */
struct write {
    struct docs *d;
    enum doc_kind kind;
    struct str key, value;
    struct doc_version read, made;
};

static bool is_any(struct doc_version v)
{
    return v.clock == DOC_ANY.clock;
}

static err_t learn(const struct write *w, const struct map *map)
{
    struct buf ask;
    buf_init(&ask, DOC_KEY_MAX + 64, NULL);
    buf_varint(&ask, 1);
    doc_put_name(&ask, w->kind, w->key);
    err_t e = to_quorum(w->d, map, METHOD_DOC_GET, buf_view(&ask), "the document is known of");
    buf_deinit(&ask);
    return e;
}

static err_t tell_all(const struct write *w, const struct map *map, const struct doc_set *s)
{
    struct buf body, record;
    buf_init(&body, DOC_BYTES_MAX + DOC_KEY_MAX, &w->d->c->memory);
    buf_init(&record, DOC_BYTES_MAX, &w->d->c->memory);
    doc_set_put(s, &record);
    doc_put_name(&body, w->kind, w->key);
    bytes_out_str(&body, buf_view(&record));
    err_t e = buf_check(&record);
    if (e == OK) e = buf_check(&body);
    if (e == OK) e = to_quorum(w->d, map, METHOD_DOC_PUT, buf_view(&body), "the document is written on");
    struct err_record why = *err_record();
    buf_deinit(&record);
    buf_deinit(&body);
    *err_record() = why;
    return e;
}

static err_t write_locked(struct write *w, const struct map *map, struct arena *a)
{
    struct doc_set *was = ARENA_NEW(a, struct doc_set), *next = ARENA_NEW(a, struct doc_set);
    TRY(learn(w, map));
    TRY(docs_read(w->d->c, w->kind, w->key, a, was));
    struct doc_version now = was->n ? was->v[0].version : (struct doc_version){ 0 };
    if (!is_any(w->read) && doc_version_cmp(now, w->read) != 0)
        return err_set(ERR_UNAVAILABLE, "%s " STR_FMT " was changed meanwhile: try again", doc_kind_name(w->kind), STR_ARG(w->key));
    if (was->n) w->d->clock = MAX(w->d->clock, now.clock);
    w->made = docs_next(w->d->c);
    doc_set_next(was, w->made, w->value, next);
    TRY(docs_merge(w->d, w->kind, w->key, next));
    metric_add(M_DOCS_WRITTEN, 1);
    return tell_all(w, map, next);
}

static err_t write_here(void *arg)
{
    struct write *w = arg;
    struct arena a;
    TRY(doc_check(w->kind, w->key));
    if (w->value.n > DOC_VALUE_MAX) return err_set(ERR_TOO_LARGE, "a document of %zu bytes, at most %d", w->value.n, DOC_VALUE_MAX);
    TRY(sem_take(&w->d->writing, 1));
    struct map *map = cluster_map(w->d->c);
    arena_init(&a, NULL);
    err_t e = write_locked(w, map, &a);
    sem_give(&w->d->writing, 1);
    struct err_record why = *err_record();
    arena_deinit(&a);
    map_put(map);
    *err_record() = why;
    return e;
}

/* -- on the way there -------------------------------------------------------------------------------------------------- */
/* Living nodes in the order in which they are the home. */
static uint32_t homes(const struct map *map, enum doc_kind kind, struct str key, node_id *out)
{
    struct place_node *nodes = calloc(map->n + 1, sizeof *nodes);
    ASSERT(nodes != NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < map->n; i++)
        if (member_is_live(&map->v[i])) nodes[n++] = (struct place_node){ map->v[i].id, 0, MAX(map->v[i].meta.weight, 1u) };
    n = placement_order(nodes, n, hash64_with(key, (uint64_t)kind), out);
    free(nodes);
    return n;
}

/* What the home said. */
static err_t get_written(struct str answer, struct write *w)
{
    struct bytes_in in = bytes_in_of(answer);
    uint8_t code = bytes_in_u8(&in);
    struct str why = bytes_in_str(&in);
    w->made.clock = bytes_in_u64(&in);
    w->made.node.u = bytes_in_u64(&in);
    if (in.bad || in.p != in.end || code >= ERR_COUNT) return err_set(ERR_CORRUPT, "an answer about a document is malformed");
    return code == OK ? OK : err_set((err_t)code, STR_FMT, STR_ARG(why));
}

static err_t write_there(struct write *w, node_id to, bool *away)
{
    struct cluster *c = w->d->c;
    struct buf body, answer;
    buf_init(&body, DOC_VALUE_MAX + DOC_KEY_MAX + 128, &c->memory);
    buf_init(&answer, ANSWER_MAX, NULL);
    doc_put_name(&body, w->kind, w->key);
    bytes_out_u64(&body, w->read.clock);
    bytes_out_u64(&body, w->read.node.u);
    buf_byte(&body, w->value.p == NULL);
    bytes_out_str(&body, w->value);
    err_t e = buf_check(&body);
    const struct rpc_call call = { .method = METHOD_DOC_WRITE, .class = RT_REPLICATION, .body = buf_view(&body), .answer_max = ANSWER_MAX,
                                   .deadline = mono_add(rt_now(), (int64_t)WRITE_MS * NS_PER_MS) };
    if (e == OK) e = cluster_call(c, to, &call, &answer);
    *away = e == ERR_UNAVAILABLE;
    if (e == OK) e = get_written(buf_view(&answer), w);
    struct err_record why = *err_record();
    buf_deinit(&body);
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

/* A home that cannot be reached is passed over; one that refused is not. */
err_t docs_put(struct cluster *c, enum doc_kind kind, struct str key, struct doc_version read, struct str value, struct doc_version *made)
{
    struct write w = { .d = c->docs, .kind = kind, .key = key, .value = value, .read = read };
    struct map *map = cluster_map(c);
    node_id *order = calloc(map->n + 1, sizeof *order);
    ASSERT(order != NULL);
    uint32_t n = homes(map, kind, key, order);
    err_t e = ERR_UNAVAILABLE;
    bool away = true;
    for (uint32_t i = 0; away && i < n; i++) {
        away = false;
        e = order[i].u == c->self.u ? rt_call(0, RT_REPLICATION, write_here, &w) : write_there(&w, order[i], &away);
    }
    if (n == 0) e = err_set(ERR_UNAVAILABLE, "no node of the cluster is known to live");
    if (made) *made = w.made;
    struct err_record why = *err_record();
    free(order);
    map_put(map);
    *err_record() = why;
    return e;
}

/* -- calls from others --------------------------------------------------------------------------------------------------- */
err_t docs_on_write(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    struct write w = { .d = c->docs };
    struct bytes_in in = bytes_in_of(rq->body);
    TRY(doc_get_name(&in, &w.kind, &w.key));
    w.read.clock = bytes_in_u64(&in);
    w.read.node.u = bytes_in_u64(&in);
    bool deleted = bytes_in_u8(&in) != 0;
    w.value = bytes_in_str(&in);
    if (in.bad || in.p != in.end || (deleted && w.value.n)) return err_set(ERR_CORRUPT, "a write of a document is malformed");
    if (deleted) w.value = STR_NONE;
    err_t e = rt_call(0, RT_REPLICATION, write_here, &w);
    buf_byte(answer, (uint8_t)e);
    bytes_out_str(answer, str_of(e == OK ? "" : err_detail()));
    bytes_out_u64(answer, w.made.clock);
    bytes_out_u64(answer, w.made.node.u);
    return OK;
}

struct put_call {
    struct docs *d;
    enum doc_kind kind;
    struct str key, record;
};

static err_t put_here(void *arg)
{
    const struct put_call *p = arg;
    struct doc_set *s = malloc(sizeof *s);
    ASSERT(s != NULL);
    err_t e = doc_set_get(p->record, s);
    if (e == OK) e = docs_merge(p->d, p->kind, p->key, s);
    free(s);
    return e;
}

err_t docs_on_put(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    const struct cluster *c = ctx;
    struct put_call p = { .d = c->docs };
    struct bytes_in in = bytes_in_of(rq->body);
    (void)answer;
    TRY(doc_get_name(&in, &p.kind, &p.key));
    p.record = bytes_in_str(&in);
    if (in.bad || in.p != in.end) return err_set(ERR_CORRUPT, "a document from another node is malformed");
    return rt_call(0, RT_REPLICATION, put_here, &p);
}
