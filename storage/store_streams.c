/* Who this node is, and which streams it knows. In the catalog:
 *   _store/node          u64, drawn at the first start
 *   _new/node            u64, drawn before it by store_node_draw; not under _store, where a directory without records is a new one
 *   _store/epoch         u64, of the start that wrote it last
 *   _store/stream/<id>   struct stream_record
 * Streams stay: rows of one may be on this node for as long as retention keeps them. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

enum { STREAM_VERSION = 2 };
struct stream_record {
    uint32_t version, n;
    uint64_t id;
    uint64_t members[STREAM_MEMBERS_MAX];
    struct stream_rows rows;
};
_Static_assert(sizeof(struct stream_record) == 104, "no padding");

static const struct str STREAM_PREFIX = { "_store/stream/", 14 };
#define KEY_NODE STR("_store/node")
#define KEY_DRAWN STR("_new/node")
#define KEY_EPOCH STR("_store/epoch")

static bool is_made(const struct stream *st)
{
    if (st->n == 0 || st->n > STREAM_MEMBERS_MAX) return false;
    for (uint32_t i = 0; i < st->n; i++)
        if (st->members[i].u <= (i ? st->members[i - 1].u : 0)) return false;
    return st->rows.quorum <= STREAM_MEMBERS_MAX && st->id == stream_id_of(st);
}

bool store_stream_known(const struct store *s, uint64_t id)
{
    uint32_t n = atomic_load_explicit(&s->nstreams, memory_order_acquire);
    for (uint32_t i = n; i-- > 0;) /* those in use came last */
        if (s->streams[i].id == id) return true;
    return false;
}

bool store_stream_find(const struct store *s, uint64_t id, struct stream *out)
{
    uint32_t n = atomic_load_explicit(&s->nstreams, memory_order_acquire);
    for (uint32_t i = n; i-- > 0;)
        if (s->streams[i].id == id) return *out = s->streams[i], true;
    return false;
}

static void know(struct store *s, const struct stream *st)
{
    uint32_t n = atomic_load(&s->nstreams);
    ASSERT(n < STREAMS_MAX);
    s->streams[n] = *st;
    if (!stream_is_lone(st)) atomic_fetch_add_explicit(&s->streams_sum, hash_u64(st->id), memory_order_relaxed);
    atomic_store_explicit(&s->nstreams, n + 1, memory_order_release);
}

/* -- in the catalog ------------------------------------------------------------------------------------------------- */

static struct str stream_key(struct arena *a, uint64_t id)
{
    return arena_printf(a, STR_FMT "%016" PRIx64, STR_ARG(STREAM_PREFIX), id);
}

static void put_stream(struct catalog_batch *b, const struct stream *st)
{
    struct stream_record *r = ARENA_NEW(&b->a, struct stream_record);
    *r = (struct stream_record){ .version = STREAM_VERSION, .n = st->n, .id = st->id, .rows = st->rows };
    for (uint32_t i = 0; i < st->n; i++)
        r->members[i] = st->members[i].u;
    catalog_put(b, stream_key(&b->a, st->id), str_n(r, sizeof *r));
}

static err_t parse_stream(const struct kv_item *item, struct arena *a, struct stream *out)
{
    struct stream_record r;
    if (item->value.n >= sizeof r.version) memcpy(&r.version, item->value.p, sizeof r.version);
    if (item->value.n >= sizeof r.version && r.version != STREAM_VERSION)
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has version %u, this program reads %d: it was written by another one",
                       STR_ARG(item->key), r.version, STREAM_VERSION);
    if (item->value.n != sizeof r) return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has %zu bytes", STR_ARG(item->key), item->value.n);
    memcpy(&r, item->value.p, sizeof r);
    *out = (struct stream){ .id = r.id, .n = MIN(r.n, (uint32_t)STREAM_MEMBERS_MAX), .rows = r.rows };
    for (uint32_t i = 0; i < out->n; i++)
        out->members[i].u = r.members[i];
    if (r.n > STREAM_MEMBERS_MAX || !is_made(out) || !str_eq(item->key, stream_key(a, r.id)))
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(item->key));
    return OK;
}

static err_t load_streams(struct store *s, struct arena *a)
{
    struct kv_item *items;
    size_t n;
    TRY(s->o.kv->list(s->o.kv, STREAM_PREFIX, STREAMS_MAX + 1, a, &items, &n));
    if (n > STREAMS_MAX) return err_set(ERR_LIMIT, "catalog: more than %d streams", STREAMS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct stream st;
        TRY(parse_stream(&items[i], a, &st));
        know(s, &st);
    }
    return OK;
}

/* 0 where there is none. */
static err_t load_u64(struct kv *kv, struct arena *a, struct str key, uint64_t *out)
{
    struct str v;
    *out = 0;
    err_t e = kv->get(kv, key, a, &v);
    if (e == ERR_NOT_FOUND) return OK;
    TRY(e);
    if (v.n != sizeof *out) return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has %zu bytes", STR_ARG(key), v.n);
    memcpy(out, v.p, sizeof *out);
    return OK;
}

static err_t load_node(struct kv *kv, struct arena *a, node_id *out)
{
    TRY(load_u64(kv, a, KEY_NODE, &out->u));
    return out->u ? OK : load_u64(kv, a, KEY_DRAWN, &out->u);
}

err_t store_node_draw(struct kv *kv, node_id *out)
{
    struct arena a;
    arena_init(&a, NULL);
    err_t e = load_node(kv, &a, out);
    if (e == OK && out->u == 0) {
        while (out->u == 0)
            out->u = rt_random();
        const struct kv_op op = { KEY_DRAWN, str_n(out, sizeof *out) };
        e = kv->write(kv, &op, 1);
    }
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t streams_load(struct store *s)
{
    struct arena a;
    err_t e;
    s->streams = calloc(STREAMS_MAX, sizeof *s->streams);
    ASSERT(s->streams != NULL);
    arena_init(&a, NULL);
    TRY_OUT(e, load_node(s->o.kv, &a, &s->node));
    TRY_OUT(e, load_u64(s->o.kv, &a, KEY_EPOCH, &s->epoch));
    e = load_streams(s, &a);
out:
    arena_deinit(&a);
    return e;
}

err_t epoch_begin(struct store *s)
{
    struct catalog_batch b;
    struct stream own;
    while (s->node.u == 0)
        s->node.u = rt_random();
    stream_make(&s->node, 1, &own);
    s->own_stream = own.id;
    s->epoch++;
    bool known = store_stream_known(s, own.id);
    if (!known && atomic_load(&s->nstreams) == STREAMS_MAX) return err_set(ERR_LIMIT, "catalog: no room for the stream of this node");
    catalog_batch_init(&b);
    catalog_put(&b, KEY_NODE, str_n(&s->node, sizeof s->node));
    catalog_put(&b, KEY_EPOCH, str_n(&s->epoch, sizeof s->epoch));
    if (!known) put_stream(&b, &own);
    err_t e = catalog_commit(s, &b);
    if (e == ERR_NOSPC && disk_ballast_release(s->o.dir)) e = catalog_commit(s, &b);
    if (e == OK && !known) know(s, &own);
    catalog_batch_deinit(&b);
    return e;
}

err_t store_epoch_raise(struct store *s, uint64_t past)
{
    struct catalog_batch b;
    uint64_t epoch = past + 1;
    ASSERT(rt_core() == 0 && past >= s->epoch);
    catalog_batch_init(&b);
    catalog_put(&b, KEY_EPOCH, str_n(&epoch, sizeof epoch));
    err_t e = catalog_commit(s, &b);
    if (e == OK) s->epoch = epoch;
    catalog_batch_deinit(&b);
    return e;
}

/* -- while the store is open ------------------------------------------------------------------------------------- */

node_id store_node(const struct store *s) { return s->node; }
uint64_t store_epoch(const struct store *s) { return s->epoch; }

struct add_call {
    struct store *s;
    const struct stream *st;
};

static err_t add_changing(const struct add_call *c)
{
    struct store *s = c->s;
    struct catalog_batch b;
    if (store_stream_known(s, c->st->id)) return OK; /* meanwhile */
    if (atomic_load(&s->nstreams) == STREAMS_MAX)
        return err_set(ERR_LIMIT, "this node knows %d streams (sets of nodes that data was written to), the most it takes", STREAMS_MAX);
    catalog_batch_init(&b);
    put_stream(&b, c->st);
    err_t e = catalog_commit(s, &b);
    if (e == OK)
        know(s, c->st);
    else
        catalog_undo_put(s, b.ops[0].key);
    catalog_batch_deinit(&b);
    return e;
}

static err_t add_here(void *arg)
{
    const struct add_call *c = arg;
    struct shard *sh = shard_here(c->s);
    if (!gate_enter(&sh->open)) return err_set(ERR_UNAVAILABLE, "the store is closing");
    err_t e = sem_take(&c->s->changing, 1);
    if (e == OK) {
        e = add_changing(c);
        sem_give(&c->s->changing, 1);
    }
    gate_leave(&sh->open);
    return e;
}

err_t store_stream_add(struct store *s, const struct stream *st)
{
    struct add_call c = { s, st };
    if (store_stream_known(s, st->id)) return OK;
    if (!is_made(st)) return err_set(ERR_INVALID, "stream %016" PRIx64 " of %u members is not what its members make", st->id, st->n);
    return rt_call(0, RT_INGEST, add_here, &c);
}

uint64_t store_streams_sum(const struct store *s)
{
    return atomic_load_explicit(&s->streams_sum, memory_order_relaxed);
}

void store_streams(const struct store *s, struct arena *a, struct stream **out, uint32_t *n)
{
    *n = atomic_load_explicit(&s->nstreams, memory_order_acquire);
    *out = ARENA_RAW(a, struct stream, *n + 1);
    memcpy(*out, s->streams, *n * sizeof **out);
}
