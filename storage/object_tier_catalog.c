/* Reading and writing the catalog object: see object_tier.h for what it promises. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/object_tier_int.h"

#include <inttypes.h>
#include <stdlib.h>

enum { OWNER_VERSION = 1, ITEMS_MAX = 16 << 20 };
#define KEY_OWNER STR("_store/object/owner")

/* What travels with the segments: their streams, what was deleted, rules of retention and the time they go by (so that who takes over with a
 * wrong clock deletes nothing by it), documents of indexes. */
static const struct str PREFIXES[] = {
    { "_store/dead/", 12 }, { "_store/tomb/", 12 }, { "_store/deletes/", 15 }, { "_store/partitions", 17 }, { "_store/retention", 16 },
    { "_store/clock", 12 }, { "_store/stream/", 14 }, { "index/", 6 }, { "template/", 9 },
};
enum { DEAD = 0, TOMB = 1 };
static const struct str SEG_KEYS = { "_store/seg/", 11 };

/* -- our own record ------------------------------------------------------------------------------------------------ */

static hash128 draw(void)
{
    return (hash128){ rt_random() | 1, rt_random() };
}

static bool is_zero(hash128 h) { return h.lo == 0 && h.hi == 0; }

static err_t owner_save(struct tier *t)
{
    const struct kv_op op = { KEY_OWNER, str_n(&t->owner, sizeof t->owner) };
    return t->s->o.kv->write(t->s->o.kv, &op, 1);
}

static err_t owner_load(struct tier *t, bool *there)
{
    struct arena a;
    struct str v;
    arena_init(&a, NULL);
    err_t e = t->s->o.kv->get(t->s->o.kv, KEY_OWNER, &a, &v);
    *there = e == OK;
    if (e == ERR_NOT_FOUND) e = OK;
    if (*there && v.n != sizeof t->owner) e = err_set(ERR_CORRUPT, "catalog: " STR_FMT " has %zu bytes", STR_ARG(KEY_OWNER), v.n);
    if (*there && e == OK) memcpy(&t->owner, v.p, sizeof t->owner);
    if (*there && e == OK && t->owner.version != OWNER_VERSION)
        e = err_set(ERR_CORRUPT, "catalog: " STR_FMT " has version %u, this program reads %d", STR_ARG(KEY_OWNER), t->owner.version,
                    OWNER_VERSION);
    arena_deinit(&a);
    return e;
}

/* -- reading --------------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return memcmp(((const struct seg_info *)a)->name, ((const struct seg_info *)b)->name, 40);
}

const struct seg_info *tier_listed(const struct tier *t, const char name[40])
{
    struct seg_info key;
    memcpy(key.name, name, 40);
    return t->ninfos ? bsearch(&key, t->infos, t->ninfos, sizeof key, by_name) : NULL;
}

static void gauges(const struct tier *t)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < t->ninfos; i++)
        bytes += (int64_t)t->infos[i].bytes;
    metric_set(M_OBJECT_SEGMENTS, t->ninfos);
    metric_set(M_OBJECT_SEGMENT_BYTES, bytes);
}

/* Takes the arena, in which `c` lives, as what is in the bucket now. */
static err_t adopt(struct tier *t, struct arena *mem, const struct object_catalog *c)
{
    uint32_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (!str_starts(c->items[i].key, SEG_KEYS)) continue;
        t->infos = store_grow(t->infos, &t->infos_cap, n + 1, sizeof *t->infos);
        TRY(catalog_parse_seg(c->items[i].key, c->items[i].value, mem, &t->infos[n]));
        n++;
    }
    if (n > 1) qsort(t->infos, n, sizeof *t->infos, by_name);
    t->ninfos = n;
    t->wanted_version = UINT64_MAX;
    arena_deinit(&t->listed_mem);
    t->listed_mem = *mem;
    t->listed = *c;
    arena_init(mem, NULL);
    gauges(t);
    return OK;
}

/* The catalog object, if there is one; the etag is that of the bytes or an older one's, which the next write finds out. */
static err_t look(struct tier *t, struct arena *mem, struct object_catalog *c, struct object_etag *etag, bool *there)
{
    struct object_info info;
    size_t got;
    err_t e = object_head(&t->retry, CATALOG_NAME, &info);
    *there = e == OK;
    if (e == ERR_NOT_FOUND) { /* an answer to HEAD cannot say that it is the bucket that is missing; one to GET does */
        char byte;
        e = object_get_range(&t->retry, CATALOG_NAME, 0, 1, &byte, &got);
        return e == ERR_NOT_FOUND ? OK : e == OK ? err_set(ERR_UNAVAILABLE, "the catalog object appears just now") : e;
    }
    TRY(e);
    if (info.size == 0 || info.size > OBJECT_CATALOG_BYTES_MAX)
        return err_set(ERR_CORRUPT, "the catalog object has %" PRIu64 " bytes", info.size);
    char *p = arena_alloc(mem, (size_t)info.size);
    TRY(object_get_range(&t->retry, CATALOG_NAME, 0, (size_t)info.size, p, &got));
    *etag = info.etag;
    return object_catalog_decode((struct str){ p, got }, mem, c);
}

static void fence(struct tier *t, const struct object_catalog *c)
{
    const char *where = t->retry.store->name(t->retry.store);
    t->state = TIER_FENCED;
    metric_set(M_OBJECT_FENCED, 1);
    log_error("object.fenced", "bucket=%s owner=%016" PRIx64 " epoch=%" PRIu64 " ours=%016" PRIx64 " epoch=%" PRIu64
              " effect=\"nothing is uploaded any more\" do=\"give each node its own object.prefix; to go on from the bucket, start on an "
              "empty data directory with object.takeover\"", where, c->owner.lo, c->epoch, t->owner.id.lo, t->owner.epoch);
}

static bool is_ours(const struct tier *t, const struct object_catalog *c)
{
    bool known = hash128_eq(c->nonce, t->owner.last);
    for (unsigned i = 0; i < PENDING_MAX; i++)
        known = known || (!is_zero(t->owner.pending[i]) && hash128_eq(c->nonce, t->owner.pending[i]));
    return known && hash128_eq(c->owner, t->owner.id) && c->epoch == t->owner.epoch;
}

static err_t attach_to(struct tier *t, struct arena *mem, struct object_catalog *c, const struct object_etag *etag)
{
    if (!is_ours(t, c)) {
        fence(t, c);
        return OK;
    }
    t->owner.last = c->nonce;
    TRY(adopt(t, mem, c));
    t->etag = *etag;
    t->exists = true;
    t->state = TIER_OWNER;
    log_info("object.attached", "bucket=%s segments=%u epoch=%" PRIu64, t->retry.store->name(t->retry.store), t->ninfos, t->owner.epoch);
    return OK;
}

err_t tier_attach(struct tier *t)
{
    struct arena mem;
    struct object_catalog c;
    struct object_etag etag;
    bool there;
    arena_init(&mem, NULL);
    err_t e = look(t, &mem, &c, &etag, &there);
    if (e == OK && there) e = attach_to(t, &mem, &c, &etag);
    if (e == OK && !there) {
        if (!is_zero(t->owner.last))
            log_error("object.catalog", "bucket=%s error=\"the catalog object is gone\" effect=\"it is written anew\"",
                      t->retry.store->name(t->retry.store));
        t->exists = false;
        t->ninfos = 0;
        t->listed = (struct object_catalog){ 0 };
        t->state = TIER_OWNER;
    }
    arena_deinit(&mem);
    return e;
}

/* -- writing ---------------------------------------------------------------------------------------------------------- */

/* What is there after a write that was refused or got lost: ours, or a stranger's? */
static err_t settle(struct tier *t)
{
    struct arena mem;
    struct object_catalog c;
    struct object_etag etag;
    bool there;
    arena_init(&mem, NULL);
    err_t e = look(t, &mem, &c, &etag, &there);
    if (e == OK && there && hash128_eq(c.nonce, t->owner.pending[0]))
        t->etag = etag;
    else if (e == OK && there && !is_ours(t, &c))
        fence(t, &c);
    else if (e == OK)
        e = err_set(ERR_UNAVAILABLE, "the bucket refused a write of the catalog object and shows the one before");
    arena_deinit(&mem);
    return e;
}

/* Puts `c` in the place of the one that is there. TIER_OWNER after an OK, or TIER_FENCED. */
static err_t put_catalog(struct tier *t, struct object_catalog *c)
{
    struct buf bytes;
    struct object_put_result out;
    memmove(t->owner.pending + 1, t->owner.pending, (PENDING_MAX - 1) * sizeof(hash128));
    t->owner.pending[0] = c->nonce = draw();
    c->owner = t->owner.id;
    c->epoch = t->owner.epoch;
    c->wall_ms = rt_wall().ns / NS_PER_MS;
    buf_init(&bytes, OBJECT_CATALOG_BYTES_MAX, NULL);
    object_catalog_encode(c, &bytes);
    err_t e;
    TRY_OUT(e, buf_check(&bytes));
    TRY_OUT(e, owner_save(t)); /* announced: known again after a crash */
    const struct object_put p = { .name = CATALOG_NAME, .bytes = buf_view(&bytes), .if_match = t->exists ? &t->etag : NULL,
                                  .if_absent = !t->exists };
    t->state = TIER_AWAY; /* until we know what came of it */
    TRY_OUT(e, object_put(&t->retry, &p, &out));
    if (out.refused)
        TRY_OUT(e, settle(t));
    else
        t->etag = out.etag;
    if (t->state == TIER_FENCED) goto out;
    t->exists = true;
    t->owner.last = t->owner.pending[0];
    memset(t->owner.pending, 0, sizeof t->owner.pending); /* what was tried before can only be refused now */
    metric_add(M_OBJECT_CATALOG_WRITES, 1);
    TRY_OUT(e, owner_save(t));
    t->state = TIER_OWNER;
out:
    buf_deinit(&bytes);
    return e;
}

/* -- what is to be listed ----------------------------------------------------------------------------------------------- */

static bool overlap(const struct seg_info *a, const struct seg_info *b)
{
    return seg_lane_eq(seg_lane(a), seg_lane(b)) && a->cores == b->cores && a->generation_first <= b->generation && b->generation_first <= a->generation;
}

struct plan {
    struct seg_info *v; /* to list */
    uint32_t n, nold;   /* the first nold are listed already and not in the store any more */
};

static bool in_store(const struct tier *t, const struct seg_info *i)
{
    return store_has_seg(t->s, i);
}

/* A listed segment that the store has no more stays until all that took its place is in the bucket too. */
static bool still_needed(const struct tier *t, const struct seg_info *old)
{
    const struct store *s = t->s;
    for (uint32_t i = 0; i < s->ninfos; i++) {
        const struct seg_info *l = &s->infos[i];
        if (overlap(l, old) && segnames_have(&t->wanted, l->name) && !tier_listed(t, l->name) && !segnames_have(&t->present, l->name)) return true;
    }
    return false;
}

static void make_plan(const struct tier *t, struct arena *a, struct plan *p)
{
    const struct store *s = t->s;
    *p = (struct plan){ .v = ARENA_RAW(a, struct seg_info, (size_t)t->ninfos + s->ninfos + 1) };
    for (uint32_t i = 0; i < t->ninfos; i++)
        if (!in_store(t, &t->infos[i]) && still_needed(t, &t->infos[i])) p->v[p->n++] = t->infos[i];
    p->nold = p->n;
    for (uint32_t i = 0; i < s->ninfos; i++) {
        const struct seg_info *l = &s->infos[i];
        if (!segnames_have(&t->wanted, l->name) || (!tier_listed(t, l->name) && !segnames_have(&t->present, l->name))) continue;
        bool twice = false;
        for (uint32_t k = 0; k < p->nold && !twice; k++)
            twice = overlap(&p->v[k], l);
        if (!twice) p->v[p->n++] = *l;
    }
}

/* Marks of rows belong to a segment: "_store/dead/<32 hex>/...". */
static bool marks_of(struct str key, const struct seg_info *i)
{
    return key.n > PREFIXES[DEAD].n + 32 && memcmp(key.p + PREFIXES[DEAD].n, i->name, 32) == 0;
}

static bool marks_of_any(struct str key, const struct seg_info *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (marks_of(key, &v[i])) return true;
    return false;
}

static bool has_key(const struct catalog_batch *b, struct str key)
{
    for (size_t i = 0; i < b->n; i++)
        if (str_eq(b->ops[i].key, key)) return true;
    return false;
}

/* While segments are listed that the store has replaced, so are the deletions that they need: the store may have forgotten
 * them with the segments. */
static void carry_deletions(const struct tier *t, const struct plan *p, struct catalog_batch *b)
{
    for (size_t i = 0; p->nold > 0 && i < t->listed.n; i++) {
        struct str key = t->listed.items[i].key;
        bool mark = str_starts(key, PREFIXES[DEAD]) && marks_of_any(key, p->v, p->nold);
        if ((mark || str_starts(key, PREFIXES[TOMB])) && !has_key(b, key)) catalog_put(b, key, t->listed.items[i].value);
    }
}

static err_t gather_items(struct tier *t, const struct plan *p, struct catalog_batch *b)
{
    struct kv *kv = t->s->o.kv;
    for (uint32_t i = 0; i < p->n; i++) {
        struct seg_info there = p->v[i];
        there.remote = true; /* for who takes over */
        catalog_put_seg(b, &there);
    }
    for (size_t k = 0; k < ARRAY_LEN(PREFIXES); k++) {
        struct kv_item *items;
        size_t n;
        TRY(kv->list(kv, PREFIXES[k], ITEMS_MAX, &b->a, &items, &n));
        for (size_t i = 0; i < n; i++)
            if (k != DEAD || marks_of_any(items[i].key, p->v, p->n)) catalog_put(b, items[i].key, items[i].value);
    }
    carry_deletions(t, p, b);
    return OK;
}

static bool same_items(const struct object_catalog *a, const struct object_catalog *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < b->n; i++)
        if (!str_eq(a->items[i].key, b->items[i].key) || !str_eq(a->items[i].value, b->items[i].value)) return false;
    return true;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct kv_op *)a)->key, ((const struct kv_op *)b)->key);
}

/* Bytes of our own making become the copy of what is in the bucket. */
static err_t adopt_own(struct tier *t, const struct object_catalog *c)
{
    struct arena mem;
    struct object_catalog copy = *c;
    arena_init(&mem, NULL);
    copy.items = ARENA_RAW(&mem, struct kv_item, c->n + 1);
    for (size_t i = 0; i < c->n; i++)
        copy.items[i] = (struct kv_item){ arena_str(&mem, c->items[i].key), arena_str(&mem, c->items[i].value) };
    err_t e = adopt(t, &mem, &copy);
    arena_deinit(&mem);
    return e;
}

/* Names that are listed now, or that the store has no more, are not waiting any more. */
static void settle_present(struct tier *t)
{
    struct segnames kept = { 0 };
    for (uint32_t i = 0; i < t->present.n; i++)
        if (!tier_listed(t, t->present.v[i].text) && segnames_have(&t->wanted, t->present.v[i].text)) segnames_add(&kept, t->present.v[i].text);
    segnames_free(&t->present);
    t->present = kept;
}

/* What the catalog object should say now, into b. With changing held: segments and the deletions that they need are looked at
 * together. */
static err_t compose(struct tier *t, struct catalog_batch *b, struct object_catalog *c)
{
    struct plan p;
    TRY(tier_wanted(t));
    make_plan(t, &b->a, &p);
    TRY(gather_items(t, &p, b));
    if (b->n > 1) qsort(b->ops, b->n, sizeof *b->ops, by_key);
    *c = (struct object_catalog){ .sealed = atomic_load(&t->s->sealed_gen), .items = ARENA_RAW(&b->a, struct kv_item, b->n + 1), .n = b->n };
    for (size_t i = 0; i < b->n; i++)
        c->items[i] = (struct kv_item){ b->ops[i].key, b->ops[i].value };
    return OK;
}

err_t tier_write(struct tier *t)
{
    struct catalog_batch b;
    struct object_catalog c;
    err_t e;
    ASSERT(t->state == TIER_OWNER);
    TRY(sem_take(&t->s->changing, 1));
    catalog_batch_init(&b);
    e = compose(t, &b, &c);
    sem_give(&t->s->changing, 1);
    if (e != OK || (t->exists && same_items(&t->listed, &c))) goto out;
    TRY_OUT(e, put_catalog(t, &c));
    if (t->state == TIER_OWNER) e = adopt_own(t, &c);
out:
    if (e == OK) settle_present(t);
    catalog_batch_deinit(&b);
    return e;
}

/* -- at start ------------------------------------------------------------------------------------------------------------ */

static bool may_import(struct str key)
{
    bool good = str_starts(key, SEG_KEYS);
    for (size_t i = 0; i < ARRAY_LEN(PREFIXES); i++)
        good = good || str_starts(key, PREFIXES[i]);
    return good;
}

/* Into the local catalog, in one write with our record. */
static err_t import(struct tier *t, const struct object_catalog *c)
{
    struct arena a;
    arena_init(&a, NULL);
    struct kv_op *ops = ARENA_ARRAY(&a, struct kv_op, c->n + 2);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (may_import(c->items[i].key)) ops[n++] = (struct kv_op){ c->items[i].key, c->items[i].value };
    t->owner.importing = 0;
    ops[n++] = (struct kv_op){ STR("_store/sealed"), str_n(&c->sealed, sizeof c->sealed) };
    ops[n++] = (struct kv_op){ KEY_OWNER, str_n(&t->owner, sizeof t->owner) };
    err_t e = t->s->o.kv->write(t->s->o.kv, ops, n);
    arena_deinit(&a);
    if (e == OK)
        log_info("object.recovered", "bucket=%s segments=%u epoch=%" PRIu64, t->retry.store->name(t->retry.store), t->ninfos, t->owner.epoch);
    return e;
}

/* A fresh data directory over a prefix that somebody owns. */
static err_t take_over(struct tier *t, struct arena *mem, struct object_catalog *c, const struct object_etag *etag)
{
    if (!t->s->o.object_takeover)
        return err_set(ERR_INVALID, "%s belongs to node %016" PRIx64 " (epoch %" PRIu64 ", last written %" PRId64 " s ago): when that node "
                       "is gone for good, start once with object.takeover=true to go on from there; else give this one its own "
                       "object.prefix", t->retry.store->name(t->retry.store), c->owner.lo, c->epoch,
                       (rt_wall().ns / NS_PER_MS - c->wall_ms) / 1000);
    t->owner.epoch = c->epoch + 1;
    t->owner.importing = 1;
    t->etag = *etag;
    t->exists = true;
    TRY(adopt(t, mem, c));
    struct object_catalog ours = t->listed;
    TRY(put_catalog(t, &ours));
    if (t->state != TIER_OWNER) return err_set(ERR_UNAVAILABLE, "another node took the bucket's prefix over at the same time");
    return import(t, &t->listed);
}

static err_t is_fresh(struct tier *t, bool *fresh)
{
    struct arena a;
    struct kv_item *items;
    size_t n;
    arena_init(&a, NULL);
    /* A log that is to be replayed belongs to a directory that has at least its partitions. */
    err_t e = t->s->o.kv->list(t->s->o.kv, STR("_store/"), 1, &a, &items, &n);
    *fresh = n == 0;
    arena_deinit(&a);
    return e;
}

static err_t recover_from(struct tier *t, struct arena *mem)
{
    struct object_catalog c;
    struct object_etag etag;
    bool there;
    err_t e = look(t, mem, &c, &etag, &there);
    if (e != OK)
        return err_set(e, "a new data directory must know what the bucket has, and cannot find out: %s", err_detail());
    if (!there) {
        t->owner.importing = 0;
        t->state = TIER_OWNER;
        return owner_save(t);
    }
    if (t->owner.importing && is_ours(t, &c)) { /* the node stopped in the middle of a takeover */
        TRY(attach_to(t, mem, &c, &etag));
        return import(t, &t->listed);
    }
    return take_over(t, mem, &c, &etag);
}

err_t tier_recover(struct tier *t)
{
    bool there, fresh;
    struct arena mem;
    TRY(is_fresh(t, &fresh));
    TRY(owner_load(t, &there));
    if (!there) t->owner = (struct owner_record){ .version = OWNER_VERSION, .id = draw(), .epoch = 1 };
    if (!there && !fresh) return owner_save(t);
    if (there && !t->owner.importing) return OK;
    arena_init(&mem, NULL);
    err_t e = recover_from(t, &mem);
    arena_deinit(&mem);
    return e;
}
