/* Tombstones and the list of deletions under way, in the catalog and in memory. See store_delete.h and tombstone.h.
 *
 *   _store/tomb/<id>      tombstone_encode
 *   _store/deletes/<id>   struct delete_record | tenant | the driver's document
 * Both are core 0's, changed with s->changing held; each core has a pin of the set of tombstones. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct str TOMB_PREFIX = { "_store/tomb/", 12 }, DELETE_PREFIX = { "_store/deletes/", 15 };

enum { DELETE_VERSION = 1 };
struct delete_record {
    uint32_t version, done, signal, tenant_size;
    uint64_t generation;
};
_Static_assert(sizeof(struct delete_record) == 24, "stored as it lies in memory");

static struct str id_key(struct arena *a, struct str prefix, uint64_t id)
{
    return arena_printf(a, STR_FMT "%016" PRIx64, STR_ARG(prefix), id);
}

static bool parse_id(struct str key, struct str prefix, uint64_t *id)
{
    uint8_t bytes[8];
    if (key.n != prefix.n + 16 || !str_from_hex(str_sub(key, prefix.n, key.n), bytes, 8)) return false;
    *id = 0;
    for (unsigned i = 0; i < 8; i++)
        *id = *id << 8 | bytes[i];
    return true;
}

/* -- retries: what was acked before a deletion may be written again -------------------------------------------------
 * Nothing is kept of it: at start it follows from the tombstones and the deletions that there are. */

static err_t forget_here(void *arg)
{
    struct store *s = arg;
    shard_here(s)->dedup.forgotten = s->forgotten;
    return OK;
}

static void forget_retries(struct store *s, struct str tenant, enum signal signal, uint64_t generation)
{
    dedup_forget(&s->forgotten, dedup_scope(tenant, signal), generation);
    void **args = store_same_args(s, s);
    store_call_all(s, forget_here, args);
    free(args);
}

/* -- tombstones -------------------------------------------------------------------------------------------------------- */

static err_t tombs_here(void *arg)
{
    struct store *s = arg;
    struct shard *sh = shard_here(s);
    if (sh->tombs == s->tombs) return OK;
    tomb_set_put(sh->tombs);
    sh->tombs = tomb_set_get(s->tombs);
    return OK;
}

/* Takes the set. */
static void use_tombs(struct store *s, struct tomb_set *set)
{
    tomb_set_put(s->tombs);
    s->tombs = set;
    metric_set(M_TOMBSTONES, set->n);
    void **args = store_same_args(s, s);
    store_call_all(s, tombs_here, args);
    free(args);
}

struct tombs_made { /* on their way into the catalog */
    const struct tombstone **t;
    uint32_t n;
};

static err_t make_tomb(struct catalog_batch *b, const struct tombstone *t, const struct tombstone **out)
{
    struct buf bytes;
    buf_init(&bytes, TOMBSTONE_BYTES_MAX, NULL);
    tombstone_encode(t, &bytes);
    err_t e = buf_check(&bytes);
    if (e == OK) e = tombstone_decode(buf_view(&bytes), out);
    if (e == OK) catalog_put(b, id_key(&b->a, TOMB_PREFIX, t->id), arena_str(&b->a, buf_view(&bytes)));
    struct err_record why = *err_record();
    buf_deinit(&bytes);
    *err_record() = why;
    return e;
}

static err_t make_tombs(struct store *s, struct catalog_batch *b, const struct tombstone_spec *specs, uint32_t n, struct tombs_made *m)
{
    *m = (struct tombs_made){ .t = ARENA_ARRAY(&b->a, const struct tombstone *, (size_t)n + 1) };
    TRY(arena_check(&b->a));
    if (n > 0 && (s->tombs ? s->tombs->n : 0) + n > TOMBSTONES_MAX) {
        metric_add(M_DELETES_REFUSED, 1);
        return err_set(ERR_LIMIT, "there are %d deletions of series that segments still hold: merging segments ends them, try again later", TOMBSTONES_MAX);
    }
    for (; m->n < n; m->n++) {
        const struct tombstone t = { .spec = specs[m->n], .id = s->tomb_last + 1 + m->n, .generation = atomic_load(&s->sealed_gen) };
        TRY(make_tomb(b, &t, &m->t[m->n]));
    }
    return OK;
}

static void tombs_made_put(struct tombs_made *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        tombstone_put(m->t[i]);
}

/* They are in the catalog. */
static void use_made(struct store *s, const struct tombs_made *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const struct tombstone *t = m->t[i];
        use_tombs(s, tomb_set_edit(s->tombs, t, NULL));
        forget_retries(s, t->spec.tenant, t->spec.signal, t->generation);
        metric_add(M_DELETES, 1);
    }
}

/* They may be there all the same: the caller was told that they are not. */
static void undo_puts(struct store *s, const struct catalog_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        catalog_undo_put(s, b->ops[i].key);
}

static err_t commit_tomb(struct store *s, struct catalog_batch *b, const struct tombstone_spec *spec)
{
    struct tombs_made made;
    err_t e = make_tombs(s, b, spec, 1, &made);
    if (e == OK) {
        s->tomb_last += made.n;
        e = catalog_commit(s, b);
        if (e == OK) use_made(s, &made);
        else undo_puts(s, b);
    }
    struct err_record why = *err_record();
    tombs_made_put(&made);
    *err_record() = why;
    return e;
}

struct tomb_call {
    struct store *s;
    const struct tombstone_spec *spec;
};

static err_t tomb_here(void *arg)
{
    const struct tomb_call *c = arg;
    struct catalog_batch b;
    TRY(store_seal(c->s));
    TRY(sem_take(&c->s->changing, 1));
    catalog_batch_init(&b);
    err_t e = commit_tomb(c->s, &b, c->spec);
    catalog_batch_deinit(&b);
    sem_give(&c->s->changing, 1);
    return e;
}

err_t store_tombstone(struct store *s, const struct tombstone_spec *spec)
{
    struct tomb_call c = { s, spec };
    if (spec->nm > TOMBSTONE_MATCHERS_MAX) return err_set(ERR_INVALID, "over %d matchers", TOMBSTONE_MATCHERS_MAX);
    return rt_call(0, RT_MAINTENANCE, tomb_here, &c);
}

/* Is it yet to be worked into the segment? Of two tombstones that is so of the later one, if it is of the earlier: they are made one after
 * another. */
static bool is_due(const struct tombstone *t, const struct seg_info *i)
{
    return t->generation >= i->generation && t->id > i->worked;
}

bool tombs_hide(const struct tomb_set *set, const struct seg *g)
{
    for (uint32_t k = set ? set->n : 0; k > 0 && is_due(set->t[k - 1], seg_info(g)); k--) {
        const struct tombstone_spec *t = &set->t[k - 1]->spec;
        for (uint32_t i = 0; i < seg_ngroups(g); i++) {
            const struct seg_group *q = seg_group(g, i);
            if (q->signal != t->signal || !str_eq(q->tenant, t->tenant)) continue;
            if (q->signal == SIG_DOCS ? str_eq(q->index, t->index)
                                      : q->tmin_ns / NS_PER_MS <= t->tmax_ms && q->tmax_ns / NS_PER_MS >= t->tmin_ms) return true;
        }
    }
    return false;
}

/* How many, from the oldest on, are worked into all segments. */
static uint32_t count_worked(const struct store *s)
{
    uint32_t n = s->tombs->n;
    for (uint32_t i = 0; i < s->ninfos && n > 0; i++) {
        uint32_t lo = 0;
        while (lo < n) {
            uint32_t mid = lo + (n - lo) / 2;
            if (is_due(s->tombs->t[mid], &s->infos[i])) n = mid;
            else lo = mid + 1;
        }
    }
    return n;
}

/* A tombstone is over when all segments are newer than it, or were written anew without what it deleted. Not before its retries are
 * forgotten everywhere (deletes_load makes `forgotten` of those that there are): two turns of what is remembered of requests. */
static uint32_t mark_over(const struct store *s, struct catalog_batch *b, bool *over)
{
    uint32_t n = 0, worked = count_worked(s);
    for (uint32_t i = 0; i < s->tombs->n; i++) {
        const struct tombstone *t = s->tombs->t[i];
        over[i] = t->id <= s->tomb_aged && i < worked;
        if (!over[i]) continue;
        catalog_put(b, id_key(&b->a, TOMB_PREFIX, t->id), STR_NONE);
        n++;
    }
    return n;
}

void tombs_tick(struct store *s)
{
    if (rt_now().ns >= s->tomb_turn.ns) {
        s->tomb_turn = mono_add(rt_now(), 2 * DEDUP_MS * (int64_t)NS_PER_MS);
        s->tomb_aged = s->tomb_young;
        s->tomb_young = s->tomb_last;
    }
    if (!s->tombs || s->tombs->n == 0 || s->tombs->t[0]->id > s->tomb_aged) return;
    struct catalog_batch b;
    catalog_batch_init(&b);
    bool *over = ARENA_ARRAY(&b.a, bool, s->tombs->n);
    uint32_t n = mark_over(s, &b, over);
    err_t e = n ? catalog_commit(s, &b) : OK; /* one that may have happened is no harm: nothing needs them */
    if (e == OK && n) {
        use_tombs(s, tomb_set_edit(s->tombs, NULL, over));
        metric_add(M_TOMBSTONES_OVER, n);
        log_info("delete.over", "tombstones=%u left=%u", n, s->tombs->n);
    } else if (e != OK) {
        log_warn("delete.over", "error=%s", err_detail());
    }
    catalog_batch_deinit(&b);
}

static err_t load_tombs(struct store *s, struct arena *a)
{
    struct kv_item *items;
    size_t n;
    TRY(s->o.kv->list(s->o.kv, TOMB_PREFIX, TOMBSTONES_MAX, a, &items, &n));
    for (size_t i = 0; i < n; i++) {
        const struct tombstone *t;
        if (tombstone_decode(items[i].value, &t) != OK) {
            char why[ERR_DETAIL_MAX];
            memcpy(why, err_detail(), strlen(err_detail()) + 1);
            return err_set(ERR_CORRUPT, "catalog: " STR_FMT ": %.400s", STR_ARG(items[i].key), why);
        }
        struct tomb_set *set = tomb_set_edit(s->tombs, t, NULL);
        tombstone_put(t);
        tomb_set_put(s->tombs);
        s->tombs = set;
        s->tomb_last = MAX(s->tomb_last, t->id);
    }
    /* An id that a segment says of itself never comes again. */
    for (uint32_t i = 0; i < s->ninfos; i++)
        s->tomb_last = MAX(s->tomb_last, s->infos[i].worked);
    metric_set(M_TOMBSTONES, s->tombs ? s->tombs->n : 0);
    return OK;
}

/* -- deletions under way ----------------------------------------------------------------------------------------------- */

bool store_delete_splits(const struct store *s, uint64_t first, uint64_t last)
{
    for (uint32_t i = 0; i < s->ndeletes; i++)
        if (!s->deletes[i].done && s->deletes[i].generation >= first && s->deletes[i].generation < last) return true;
    return false;
}

static void put_delete(struct catalog_batch *b, const struct delete_entry *e)
{
    struct delete_record r = { .version = DELETE_VERSION, .done = e->done, .signal = e->signal, .tenant_size = (uint32_t)e->tenant.n,
                               .generation = e->generation };
    char *v = arena_alloc(&b->a, sizeof r + e->tenant.n + e->doc.n + 1);
    memcpy(v, &r, sizeof r);
    memcpy(v + sizeof r, e->tenant.p, e->tenant.n);
    if (e->doc.n) memcpy(v + sizeof r + e->tenant.n, e->doc.p, e->doc.n);
    catalog_put(b, id_key(&b->a, DELETE_PREFIX, e->id), str_n(v, sizeof r + e->tenant.n + e->doc.n));
}

static err_t parse_delete(const struct kv_item *it, struct delete_entry *e)
{
    struct delete_record r = { 0 };
    if (it->value.n >= sizeof r.version) memcpy(&r.version, it->value.p, sizeof r.version);
    if (r.version != DELETE_VERSION) return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has version %u", STR_ARG(it->key), r.version);
    if (it->value.n >= sizeof r) memcpy(&r, it->value.p, sizeof r);
    struct str rest = str_sub(it->value, sizeof r, it->value.n);
    if (it->value.n < sizeof r || !parse_id(it->key, DELETE_PREFIX, &e->id) || r.signal < SIG_METRICS || r.signal > SIG_EXEMPLARS ||
        r.tenant_size > TENANT_MAX || r.tenant_size > rest.n)
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(it->key));
    e->generation = r.generation;
    e->done = r.done != 0;
    e->signal = r.signal;
    e->tenant = str_sub(rest, 0, r.tenant_size);
    e->doc = str_sub(rest, r.tenant_size, rest.n);
    return OK;
}

static void know_delete(struct store *s, const struct delete_entry *e)
{
    s->deletes = store_grow(s->deletes, &s->deletes_cap, s->ndeletes + 1, sizeof *s->deletes);
    s->deletes[s->ndeletes++] = (struct delete_item){ e->id, e->generation, e->done };
    s->delete_last = MAX(s->delete_last, e->id);
}

uint32_t store_deletes_open(const struct store *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->ndeletes; i++)
        n += !s->deletes[i].done;
    return n;
}

struct delete_call {
    struct store *s;
    struct delete_entry *e;
};

static err_t make_delete(struct store *s, struct catalog_batch *b, struct delete_entry *e)
{
    if (store_deletes_open(s) >= DELETES_OPEN_MAX) {
        metric_add(M_DELETES_REFUSED, 1);
        return err_set(ERR_LIMIT, "%d deletions are under way already: try again later", DELETES_OPEN_MAX);
    }
    e->id = s->delete_last + 1;
    e->generation = atomic_load(&s->sealed_gen);
    put_delete(b, e);
    return OK;
}

/* It is in the catalog. */
static void use_delete(struct store *s, const struct delete_entry *e)
{
    know_delete(s, e);
    forget_retries(s, e->tenant, e->signal, e->generation);
    metric_add(M_DELETES, 1);
}

static err_t begin_locked(struct store *s, struct catalog_batch *b, struct delete_entry *e)
{
    TRY(make_delete(s, b, e));
    s->delete_last = e->id;
    err_t err = catalog_commit(s, b);
    if (err == OK) use_delete(s, e);
    else undo_puts(s, b);
    return err;
}

static err_t begin_here(void *arg)
{
    const struct delete_call *c = arg;
    struct catalog_batch b;
    TRY(store_seal(c->s));
    TRY(sem_take(&c->s->changing, 1));
    catalog_batch_init(&b);
    err_t e = begin_locked(c->s, &b, c->e);
    catalog_batch_deinit(&b);
    sem_give(&c->s->changing, 1);
    return e;
}

err_t store_delete_begin(struct store *s, struct delete_entry *e)
{
    struct delete_call c = { s, e };
    TRY(tenant_check(e->tenant));
    if (e->doc.n > DELETE_DOC_MAX) return err_set(ERR_TOO_LARGE, "a deletion of %zu bytes, at most %d", e->doc.n, DELETE_DOC_MAX);
    e->done = false;
    return rt_call(0, RT_MAINTENANCE, begin_here, &c);
}

/* -- with other nodes ---------------------------------------------------------------------------------------------------- */

static err_t joint_commit(struct store *s, struct catalog_batch *b, const struct delete_joint *d)
{
    struct kv_op record;
    TRY(make_delete(s, b, d->entry));
    TRY(d->record(d->ctx, d->entry, &s->sealed, &b->a, &record));
    catalog_put(b, record.key, record.value);
    s->tomb_last += d->ntombs;
    s->delete_last = d->entry->id;
    err_t e = catalog_commit(s, b);
    if (e != OK) undo_puts(s, b);
    return e;
}

/* What is sealed changes only by who holds s->changing: the generation and what is covered by it belong together. */
static err_t joint_locked(struct store *s, struct catalog_batch *b, const struct delete_joint *d)
{
    struct tombs_made made;
    err_t e = make_tombs(s, b, d->tombs, d->ntombs, &made);
    if (e == OK) e = joint_commit(s, b, d);
    if (e == OK) {
        use_made(s, &made);
        use_delete(s, d->entry);
    }
    struct err_record why = *err_record();
    tombs_made_put(&made);
    *err_record() = why;
    return e;
}

struct joint_call {
    struct store *s;
    const struct delete_joint *d;
};

static err_t joint_here(void *arg)
{
    const struct joint_call *c = arg;
    struct catalog_batch b;
    TRY(store_seal(c->s));
    TRY(sem_take(&c->s->changing, 1));
    catalog_batch_init(&b);
    err_t e = joint_locked(c->s, &b, c->d);
    catalog_batch_deinit(&b);
    sem_give(&c->s->changing, 1);
    return e;
}

err_t store_delete_joint(struct store *s, const struct delete_joint *d)
{
    struct joint_call c = { s, d };
    TRY(tenant_check(d->entry->tenant));
    if (d->entry->doc.n > DELETE_DOC_MAX) return err_set(ERR_TOO_LARGE, "a deletion of %zu bytes, at most %d", d->entry->doc.n, DELETE_DOC_MAX);
    for (uint32_t i = 0; i < d->ntombs; i++)
        if (d->tombs[i].nm > TOMBSTONE_MATCHERS_MAX) return err_set(ERR_INVALID, "over %d matchers", TOMBSTONE_MATCHERS_MAX);
    d->entry->done = false;
    return rt_call(0, RT_MAINTENANCE, joint_here, &c);
}

/* -- how far they are ------------------------------------------------------------------------------------------------------ */

/* The oldest of those that are done, past the number that is kept. */
static void drop_old(struct store *s, struct catalog_batch *b, uint64_t *dropped)
{
    *dropped = 0;
    if (s->ndeletes <= DELETES_KEPT_MAX) return;
    for (uint32_t i = 0; i < s->ndeletes; i++) {
        if (!s->deletes[i].done) continue;
        *dropped = s->deletes[i].id;
        catalog_put(b, id_key(&b->a, DELETE_PREFIX, *dropped), STR_NONE);
        return;
    }
}

static err_t update_locked(struct store *s, struct catalog_batch *b, const struct delete_entry *e)
{
    uint64_t dropped;
    uint32_t at = 0;
    while (at < s->ndeletes && s->deletes[at].id != e->id)
        at++;
    if (at == s->ndeletes) return err_set(ERR_NOT_FOUND, "no deletion %" PRIu64, e->id);
    put_delete(b, e);
    drop_old(s, b, &dropped);
    TRY(catalog_commit(s, b));
    s->deletes[at].done |= e->done;
    for (uint32_t i = 0; dropped && i < s->ndeletes; i++) {
        if (s->deletes[i].id != dropped) continue;
        memmove(s->deletes + i, s->deletes + i + 1, (--s->ndeletes - i) * sizeof *s->deletes);
        break;
    }
    return OK;
}

static err_t update_here(void *arg)
{
    const struct delete_call *c = arg;
    struct catalog_batch b;
    TRY(sem_take(&c->s->changing, 1));
    catalog_batch_init(&b);
    err_t e = update_locked(c->s, &b, c->e);
    catalog_batch_deinit(&b);
    sem_give(&c->s->changing, 1);
    return e;
}

err_t store_delete_update(struct store *s, const struct delete_entry *e)
{
    struct delete_entry copy = *e;
    struct delete_call c = { s, &copy };
    if (e->doc.n > DELETE_DOC_MAX) return err_set(ERR_TOO_LARGE, "a deletion of %zu bytes, at most %d", e->doc.n, DELETE_DOC_MAX);
    return rt_call(0, RT_MAINTENANCE, update_here, &c);
}

static err_t done_here(void *arg)
{
    struct delete_call *c = arg;
    for (uint32_t i = 0; i < c->s->ndeletes; i++)
        if (c->s->deletes[i].id == c->e->id) c->e->done = c->s->deletes[i].done;
    return OK;
}

err_t store_delete_done(struct store *s, uint64_t id, bool *done)
{
    struct delete_entry e = { .id = id, .done = true };
    struct delete_call c = { s, &e };
    TRY(rt_call(0, RT_MEMBERSHIP, done_here, &c));
    *done = e.done;
    return OK;
}

err_t store_delete_list(struct store *s, struct arena *a, struct delete_entry **out, uint32_t *n)
{
    struct kv_item *items;
    size_t count;
    *n = 0;
    TRY(s->o.kv->list(s->o.kv, DELETE_PREFIX, DELETES_KEPT_MAX + DELETES_OPEN_MAX + 1, a, &items, &count));
    *out = ARENA_ARRAY(a, struct delete_entry, count + 1);
    for (size_t i = 0; i < count; i++)
        TRY(parse_delete(&items[i], &(*out)[(*n)++]));
    return arena_check(a);
}

/* -- at start and at the end -------------------------------------------------------------------------------------------- */

err_t deletes_load(struct store *s)
{
    struct arena a;
    struct delete_entry *list;
    uint32_t n;
    err_t e;
    arena_init(&a, NULL);
    TRY_OUT(e, load_tombs(s, &a));
    TRY_OUT(e, store_delete_list(s, &a, &list, &n));
    for (uint32_t i = 0; i < n; i++)
        know_delete(s, &list[i]);
    for (uint32_t i = 0; s->tombs && i < s->tombs->n; i++)
        dedup_forget(&s->forgotten, dedup_scope(s->tombs->t[i]->spec.tenant, s->tombs->t[i]->spec.signal), s->tombs->t[i]->generation);
    for (uint32_t i = 0; i < n; i++)
        dedup_forget(&s->forgotten, dedup_scope(list[i].tenant, list[i].signal), list[i].generation);
    e = dead_load(s);
out:
    arena_deinit(&a);
    return e;
}

void deletes_free(struct store *s)
{
    dead_loaded(s);
    tomb_set_put(s->tombs);
    free(s->deletes);
}
