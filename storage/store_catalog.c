/* What the catalog says about a node's data. Keys, with numbers in hex so that they sort:
 *   _store/partitions               u32
 *   _store/sealed                   u64 generation
 *   _store/seg/<generation>/<stream>/<core>[o]  struct seg_record; o: of the class object
 *   _store/node, _store/epoch, _store/stream/  who we are, the streams we know (store_streams.c)
 *   _store/object/owner             who we are to the bucket (object_tier_catalog.c)
 *   _store/dead/, _store/tomb/, _store/deletes/  what was deleted (store_delete.c, store_tomb.c)
 *   _store/dedup/<generation>/<core> the requests of a sealed generation, DEDUP_BYTES each (store_dedup.c)
 *   _store/cover/<stream>           which requests of a stream are in sealed generations, by their names (store_cover.c)
 * A segment's place is its newest generation and its lane (stream, core and class): a seal that is tried again overwrites what it wrote before. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

/* Version 6 ends before `worked`. */
enum { RECORD_VERSION = 7, RECORD_VERSION_READ = 6 };
struct seg_record {
    uint32_t version, core, cores, level;
    uint64_t bytes;
    int64_t tmin_ns, tmax_ns;
    uint64_t generation_first, generation;
    char name[40];
    uint32_t remote, object;
    int64_t sealed_ms;
    uint32_t judged, zero;
    uint64_t stream;
    uint64_t worked;
};
_Static_assert(sizeof(struct seg_record) == 136 && offsetof(struct seg_record, worked) == 128, "no padding");

static const struct str SEG_PREFIX = { "_store/seg/", 11 }, DEDUP_PREFIX = { "_store/dedup/", 13 };
#define KEY_SEALED STR("_store/sealed")
#define KEY_PARTITIONS STR("_store/partitions")

/* -- writing ---------------------------------------------------------------------------------------------- */

void catalog_batch_init(struct catalog_batch *b)
{
    *b = (struct catalog_batch){ 0 };
    arena_init(&b->a, NULL);
}
void catalog_batch_deinit(struct catalog_batch *b)
{
    arena_deinit(&b->a);
    *b = (struct catalog_batch){ 0 };
}
static void add_op(struct catalog_batch *b, struct str key, struct str value)
{
    b->ops = arena_grow(&b->a, b->ops, b->n, &b->cap, b->n + 1, sizeof *b->ops);
    b->ops[b->n++] = (struct kv_op){ key, value };
}
static struct str dedup_key(struct arena *a, const struct dedup_item *i)
{
    return arena_printf(a, STR_FMT "%016" PRIx64 "/%04x", STR_ARG(DEDUP_PREFIX), i->generation, i->core);
}

static struct str seg_key(struct arena *a, const struct seg_info *i)
{
    return arena_printf(a, STR_FMT "%016" PRIx64 "/%016" PRIx64 "/%04x%s", STR_ARG(SEG_PREFIX), i->generation, i->stream, i->core,
                        i->object ? "o" : "");
}

void catalog_put_seg(struct catalog_batch *b, const struct seg_info *i)
{
    struct seg_record *r = ARENA_NEW(&b->a, struct seg_record);
    *r = (struct seg_record){ .version = RECORD_VERSION, .core = i->core, .cores = i->cores, .level = i->level,
                              .bytes = i->bytes, .tmin_ns = i->tmin_ns, .tmax_ns = i->tmax_ns,
                              .generation_first = i->generation_first, .generation = i->generation, .remote = i->remote,
                              .object = i->object, .sealed_ms = i->sealed_ms, .judged = i->judged, .stream = i->stream, .worked = i->worked };
    memcpy(r->name, i->name, sizeof r->name);
    add_op(b, seg_key(&b->a, i), str_n(r, sizeof *r));
}
void catalog_del_seg(struct catalog_batch *b, const struct seg_info *i)
{
    add_op(b, seg_key(&b->a, i), STR_NONE);
}
void catalog_put_sealed(struct catalog_batch *b, uint64_t generation)
{
    add_op(b, KEY_SEALED, str_n(arena_dup(&b->a, &generation, sizeof generation), sizeof generation));
}
void catalog_put_dedup(struct catalog_batch *b, const struct dedup_item *i, struct str bytes)
{
    add_op(b, dedup_key(&b->a, i), bytes);
}
void catalog_del_dedup(struct catalog_batch *b, const struct dedup_item *i)
{
    add_op(b, dedup_key(&b->a, i), STR_NONE);
}
void catalog_put(struct catalog_batch *b, struct str key, struct str value)
{
    add_op(b, key, value);
}
void catalog_undo_put(struct store *s, struct str key)
{
    if (s->undo.cap == 0) catalog_batch_init(&s->undo);
    add_op(&s->undo, arena_str(&s->undo.a, key), STR_NONE);
}
err_t catalog_commit(struct store *s, struct catalog_batch *b)
{
    struct catalog_batch *undo = &s->undo;
    if (undo->n == 0) return s->o.kv->write(s->o.kv, b->ops, b->n);
    for (size_t i = 0; i < b->n; i++)
        add_op(undo, b->ops[i].key, b->ops[i].value);
    err_t e = s->o.kv->write(s->o.kv, undo->ops, undo->n);
    undo->n -= b->n;
    if (e == OK) catalog_batch_deinit(undo);
    return e;
}

/* -- core 0's copy ---------------------------------------------------------------------------------------- */

void catalog_add_dedup(struct store *s, const struct dedup_item *i)
{
    s->dedups = store_grow(s->dedups, &s->dedups_cap, s->ndedups + 1, sizeof *s->dedups);
    s->dedups[s->ndedups++] = *i;
}

static void account(struct store *s)
{
    uint64_t bytes = 0;
    s->infos_version++;
    for (uint32_t i = 0; i < s->ninfos; i++)
        bytes += s->infos[i].remote ? 0 : s->infos[i].bytes;
    atomic_store(&s->segment_bytes, bytes);
    atomic_store(&s->segments, s->ninfos);
}

static struct seg_info *info_at(struct store *s, const struct seg_info *i)
{
    for (uint32_t k = 0; k < s->ninfos; k++)
        if (s->infos[k].generation == i->generation && seg_lane_eq(seg_lane(&s->infos[k]), seg_lane(i))) return &s->infos[k];
    return NULL;
}

void catalog_add_info(struct store *s, const struct seg_info *i)
{
    struct seg_info *at = info_at(s, i);
    if (!at) {
        s->infos = store_grow(s->infos, &s->infos_cap, s->ninfos + 1, sizeof *s->infos);
        at = &s->infos[s->ninfos++];
    }
    *at = *i;
    account(s);
}

void catalog_remove_info(struct store *s, const struct seg_info *i)
{
    struct seg_info *at = info_at(s, i);
    if (at) *at = s->infos[--s->ninfos];
    account(s);
}

/* -- loading ------------------------------------------------------------------------------------------------ */

static err_t load_number(struct kv *kv, struct str key, void *to, size_t n, bool *there)
{
    struct arena a;
    struct str v;
    arena_init(&a, NULL);
    err_t e = kv->get(kv, key, &a, &v);
    *there = e == OK;
    if (e == OK && v.n != n) e = err_set(ERR_CORRUPT, "catalog: " STR_FMT " has %zu bytes", STR_ARG(key), v.n);
    if (e == OK) memcpy(to, v.p, n);
    arena_deinit(&a);
    return e == ERR_NOT_FOUND ? OK : e;
}

static err_t load_partitions(struct store *s)
{
    struct kv *kv = s->o.kv;
    bool there;
    TRY(load_number(kv, KEY_PARTITIONS, &s->partitions, sizeof s->partitions, &there));
    if (!there) {
        TRY(store_orphans_none(s));
        s->partitions = s->o.partitions;
        const struct kv_op op = { KEY_PARTITIONS, str_n(&s->partitions, sizeof s->partitions) };
        return kv->write(kv, &op, 1);
    }
    if (s->partitions == 0 || s->partitions > UINT16_MAX || (s->partitions & (s->partitions - 1)) != 0)
        return err_set(ERR_CORRUPT, "catalog: %u partitions", s->partitions);
    if (s->partitions != s->o.partitions)
        log_warn("store.partitions", "kept=%u configured=%u reason=\"fixed when the data directory was made\"",
                 s->partitions, s->o.partitions);
    return OK;
}

err_t catalog_parse_seg(struct str key, struct str value, struct arena *a, struct seg_info *out)
{
    struct seg_record r = { .version = RECORD_VERSION };
    if (value.n >= sizeof r.version) memcpy(&r.version, value.p, sizeof r.version);
    if (r.version != RECORD_VERSION && r.version != RECORD_VERSION_READ)
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has version %u, this program reads %d and %d: it was written by another one",
                       STR_ARG(key), r.version, RECORD_VERSION_READ, RECORD_VERSION);
    size_t size = r.version == RECORD_VERSION ? sizeof r : offsetof(struct seg_record, worked);
    if (value.n != size) return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has %zu bytes", STR_ARG(key), value.n);
    memcpy(&r, value.p, size);
    *out = (struct seg_info){ .bytes = r.bytes, .tmin_ns = r.tmin_ns, .tmax_ns = r.tmax_ns, .generation_first = r.generation_first,
                              .generation = r.generation, .core = r.core, .cores = r.cores, .level = r.level, .remote = r.remote != 0,
                              .object = r.object != 0, .sealed_ms = r.sealed_ms, .judged = r.judged, .stream = r.stream, .worked = r.worked };
    memcpy(out->name, r.name, sizeof out->name);
    if (!seg_name_valid(r.name) || r.cores == 0 || r.core >= r.cores || r.generation_first > r.generation || !str_eq(seg_key(a, out), key))
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(key));
    return OK;
}

static err_t load_segs(struct store *s, struct arena *a)
{
    struct kv_item *items;
    size_t n;
    TRY(s->o.kv->list(s->o.kv, SEG_PREFIX, SEG_INFOS_MAX, a, &items, &n));
    for (size_t i = 0; i < n; i++) {
        s->infos = store_grow(s->infos, &s->infos_cap, s->ninfos + 1, sizeof *s->infos);
        struct seg_info *info = &s->infos[s->ninfos];
        TRY(catalog_parse_seg(items[i].key, items[i].value, a, info));
        if (!store_stream_known(s, info->stream))
            return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is of a stream that the catalog does not name", STR_ARG(items[i].key));
        s->ninfos++;
    }
    account(s);
    return OK;
}

static err_t load_dedups(struct store *s, struct arena *a)
{
    struct kv_item *items;
    size_t n;
    TRY(s->o.kv->list(s->o.kv, DEDUP_PREFIX, SEG_INFOS_MAX, a, &items, &n));
    for (size_t i = 0; i < n; i++) {
        uint8_t generation[8], core[2];
        struct str place = str_sub(items[i].key, DEDUP_PREFIX.n, items[i].key.n), v = items[i].value;
        if (place.n != 21 || !str_from_hex(str_sub(place, 0, 16), generation, 8)
            || !str_from_hex(str_sub(place, 17, 21), core, 2))
            continue;
        struct dedup_item d = { .core = (uint32_t)(core[0] << 8 | core[1]), .wall_ms = INT64_MIN };
        for (unsigned k = 0; k < 8; k++)
            d.generation = d.generation << 8 | generation[k];
        for (size_t at = 16; at + 8 <= v.n; at += DEDUP_BYTES) {
            int64_t wall_ms;
            memcpy(&wall_ms, v.p + at, sizeof wall_ms);
            d.wall_ms = MAX(d.wall_ms, wall_ms);
        }
        catalog_add_dedup(s, &d);
        TRY(dedup_import(s, d.generation, v));
    }
    return OK;
}

err_t catalog_load(struct store *s)
{
    struct arena a;
    uint64_t sealed = 0;
    bool there;
    err_t e;
    arena_init(&a, NULL);
    TRY_OUT(e, load_partitions(s));
    TRY_OUT(e, streams_load(s));
    TRY_OUT(e, load_number(s->o.kv, KEY_SEALED, &sealed, sizeof sealed, &there));
    atomic_store(&s->sealed_gen, sealed);
    TRY_OUT(e, load_segs(s, &a));
    TRY_OUT(e, load_dedups(s, &a));
    TRY_OUT(e, held_load(s));
    e = epoch_begin(s);
out:
    arena_deinit(&a);
    return e;
}
