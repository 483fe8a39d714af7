/* A node's copy of the documents: loaded, read, merged into, told of. */
#include "cluster/docs.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/docs_int.h"

#include <stdlib.h>
#include <string.h>

static const struct str PREFIX = { "cluster/doc/", 12 };
enum { KIND_TEXT = 3 }; /* two digits and a slash */

const char *doc_kind_name(enum doc_kind k)
{
    static const char *const names[DOC_KINDS] = { "", "index", "template", "retention", "deletion" };
    return names[k];
}

/* -- names ------------------------------------------------------------------------------------------------------ */
static struct str record_key(struct arena *a, enum doc_kind kind, struct str key)
{
    return arena_printf(a, STR_FMT "%02x/" STR_FMT, STR_ARG(PREFIX), (unsigned)kind, STR_ARG(key));
}

err_t doc_check(enum doc_kind kind, struct str key)
{
    if (kind < 1 || kind >= DOC_KINDS) return err_set(ERR_INVALID, "this node knows no documents of kind %u", (unsigned)kind);
    if (key.n == 0 || key.n > DOC_KEY_MAX) return err_set(ERR_INVALID, "the key of a document has %zu bytes, at most %d", key.n, DOC_KEY_MAX);
    return memchr(key.p, 0, key.n) ? err_set(ERR_INVALID, "the key of a document has a byte that is none of a text") : OK;
}

void doc_put_name(struct buf *out, enum doc_kind kind, struct str key)
{
    buf_byte(out, (uint8_t)kind);
    bytes_out_str(out, key);
}

err_t doc_get_name(struct bytes_in *in, enum doc_kind *kind, struct str *key)
{
    *kind = (enum doc_kind)bytes_in_u8(in);
    *key = bytes_in_str(in);
    return in->bad ? err_set(ERR_CORRUPT, "the name of a document is cut") : doc_check(*kind, *key);
}

/* -- entries ------------------------------------------------------------------------------------------------------ */
static uint32_t place(const struct docs *d, enum doc_kind kind, struct str key)
{
    uint32_t lo = 0;
    for (uint32_t hi = d->n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct doc_entry *e = d->v[mid];
        if (e->kind < kind || (e->kind == kind && str_cmp(e->key, key) < 0)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct doc_entry *docs_find(const struct docs *d, enum doc_kind kind, struct str key)
{
    uint32_t at = place(d, kind, key);
    return at < d->n && d->v[at]->kind == kind && str_eq(d->v[at]->key, key) ? d->v[at] : NULL;
}

uint32_t doc_bucket(const struct doc_entry *e)
{
    return (uint32_t)(hash64(e->key) % DOC_BUCKETS);
}

bool doc_is_over(const struct doc_entry *e)
{
    int64_t born_ms = (int64_t)(e->version.clock >> 16), age_ms = (int64_t)DOCS_GONE_DAYS * 24 * 3600 * 1000;
    return e->deleted && born_ms + age_ms < rt_wall().ns / NS_PER_MS;
}

static struct doc_entry *entry_add(struct docs *d, enum doc_kind kind, struct str key)
{
    struct doc_entry *e = calloc(1, sizeof *e + key.n);
    ASSERT(e != NULL);
    memcpy(e + 1, key.p, key.n);
    e->kind = kind;
    e->key = str_n((const char *)(e + 1), key.n);
    if (d->n == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 64;
        d->v = realloc(d->v, d->cap * sizeof(struct doc_entry *));
        ASSERT(d->v != NULL);
    }
    uint32_t at = place(d, kind, key);
    memmove(d->v + at + 1, d->v + at, (d->n++ - at) * sizeof(struct doc_entry *));
    return d->v[at] = e;
}

static void count(const struct docs *d)
{
    uint32_t conflicts = 0;
    for (uint32_t i = 0; i < d->n; i++)
        conflicts += d->v[i]->versions > 1;
    metric_set(M_DOCS, d->n);
    metric_set(M_DOCS_CONFLICTS, conflicts);
}

static void entry_set(struct docs *d, struct doc_entry *e, const struct doc_set *s, struct str record)
{
    d->bytes += record.n - e->bytes;
    e->bytes = record.n;
    e->version = s->v[0].version;
    e->deleted = s->v[0].deleted;
    e->versions = s->n;
    e->hash = hash64_with(record, hash64_with(e->key, (uint64_t)e->kind));
    e->told = false;
    d->clock = MAX(d->clock, e->version.clock);
    count(d);
}

struct doc_version docs_next(struct cluster *c)
{
    struct docs *d = c->docs;
    uint64_t wall = (uint64_t)(rt_wall().ns / NS_PER_MS) << 16;
    ASSERT(rt_core() == 0);
    d->clock = MAX(d->clock + 1, wall);
    return (struct doc_version){ d->clock, c->self };
}

/* -- reading -------------------------------------------------------------------------------------------------------- */
err_t docs_read(struct cluster *c, enum doc_kind kind, struct str key, struct arena *a, struct doc_set *out)
{
    struct kv *kv = store_kv(c->o.store);
    struct str record;
    out->n = 0;
    err_t e = kv->get(kv, record_key(a, kind, key), a, &record);
    if (e == ERR_NOT_FOUND) return OK;
    TRY(e);
    return doc_set_get(record, out);
}

err_t docs_get(struct cluster *c, enum doc_kind kind, struct str key, struct arena *a, struct str *value, struct doc_version *version)
{
    struct doc_set *s = ARENA_NEW(a, struct doc_set);
    if (version) *version = (struct doc_version){ 0 };
    TRY(doc_check(kind, key));
    TRY(docs_read(c, kind, key, a, s));
    if (s->n && version) *version = s->v[0].version;
    if (s->n == 0 || s->v[0].deleted)
        return err_set(ERR_NOT_FOUND, "there is no document " STR_FMT " of kind %s", STR_ARG(key), doc_kind_name(kind));
    *value = s->v[0].value;
    return OK;
}

/* -- telling ---------------------------------------------------------------------------------------------------------- */
/* With d->changing held. The entry may move meanwhile, not go. */
static void tell(struct docs *d, struct doc_entry *e, const struct doc_set *s)
{
    if (!d->on[e->kind].fn) return;
    struct doc_version told = e->version;
    err_t err = d->on[e->kind].fn(d->on[e->kind].ctx, e->key, s->v[0].deleted ? STR_NONE : s->v[0].value);
    if (err == OK) {
        e->told = doc_version_cmp(told, e->version) == 0;
    } else {
        metric_add(M_DOCS_UNTOLD, 1);
        log_warn("cluster.doc", "kind=%s key=" STR_FMT " error=%s effect=\"tried again\"", doc_kind_name(e->kind), STR_ARG(e->key), err_detail());
    }
}

static err_t tell_kind(struct docs *d, enum doc_kind kind)
{
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry *e = d->v[i];
        struct arena a;
        if (e->told || e->kind != kind) continue;
        arena_init(&a, NULL);
        struct doc_set *s = ARENA_NEW(&a, struct doc_set);
        err_t err = docs_read(d->c, e->kind, e->key, &a, s);
        if (err == OK && s->n) tell(d, e, s);
        if (err != OK) log_warn("cluster.doc", "error=%s", err_detail());
        arena_deinit(&a);
        TRY(rt_checkpoint());
    }
    return OK;
}

/* Indexes before deletions, which may be of one of them. */
void docs_tell(struct docs *d)
{
    for (enum doc_kind k = 1; k < DOC_KINDS; k++) {
        if (!d->on[k].fn || sem_take(&d->changing, 1) != OK) continue;
        err_t e = tell_kind(d, k);
        sem_give(&d->changing, 1);
        if (e != OK) return;
    }
}

void docs_on(struct cluster *c, enum doc_kind kind, docs_changed *fn, void *ctx)
{
    struct docs *d = c->docs;
    ASSERT(rt_core() == 0);
    d->on[kind].fn = fn;
    d->on[kind].ctx = ctx;
    for (uint32_t i = 0; i < d->n; i++)
        if (d->v[i]->kind == kind) d->v[i]->told = false;
    docs_tell(d);
}

void docs_off(struct cluster *c, enum doc_kind kind)
{
    struct docs *d = c->docs;
    ASSERT(rt_core() == 0);
    d->on[kind].fn = NULL;
    if (sem_take(&d->changing, 1) == OK) sem_give(&d->changing, 1); /* the call that runs has ended */
}

/* -- changing ---------------------------------------------------------------------------------------------------------- */
static err_t has_room(const struct docs *d, const struct doc_entry *e, size_t bytes)
{
    if (!e && d->n >= DOCS_MAX) return err_set(ERR_LIMIT, "there are %d documents of the cluster already", DOCS_MAX);
    if (d->bytes + bytes > DOCS_BYTES_MAX) return err_set(ERR_LIMIT, "the documents of the cluster take over %d MiB", DOCS_BYTES_MAX >> 20);
    return OK;
}

static err_t merge_locked(struct docs *d, enum doc_kind kind, struct str key, const struct doc_set *more, struct arena *a)
{
    struct kv *kv = store_kv(d->c->o.store);
    struct doc_set *s = ARENA_NEW(a, struct doc_set);
    struct buf record;
    TRY(docs_read(d->c, kind, key, a, s));
    if (!doc_set_join(s, more)) return OK;
    struct doc_entry *e = docs_find(d, kind, key), coming = { .version = s->v[0].version, .deleted = s->v[0].deleted };
    if (!e && s->n == 1 && doc_is_over(&coming)) return OK;
    buf_init(&record, DOC_BYTES_MAX, NULL);
    doc_set_put(s, &record);
    err_t err = buf_check(&record);
    if (err == OK) err = has_room(d, e, record.n);
    if (err == OK && !coming.deleted) err = store_writable(d->c->o.store);
    if (err == OK) err = kv->write(kv, &(struct kv_op){ record_key(a, kind, key), buf_view(&record) }, 1);
    if (err == OK) {
        if (!e) e = entry_add(d, kind, key);
        entry_set(d, e, s, buf_view(&record));
        metric_add(M_DOCS_CHANGES, 1);
        tell(d, e, s);
    }
    struct err_record why = *err_record();
    buf_deinit(&record);
    *err_record() = why;
    return err;
}

err_t docs_merge(struct docs *d, enum doc_kind kind, struct str key, const struct doc_set *more)
{
    struct arena a;
    ASSERT(rt_core() == 0);
    TRY(doc_check(kind, key));
    TRY(sem_take(&d->changing, 1));
    arena_init(&a, NULL);
    err_t e = merge_locked(d, kind, key, more, &a);
    sem_give(&d->changing, 1);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t docs_merge_all(struct docs *d, struct str answer, uint32_t *n)
{
    struct bytes_in in = bytes_in_of(answer);
    struct doc_set *s = malloc(sizeof *s);
    ASSERT(s != NULL);
    err_t e = OK;
    for (*n = 0; e == OK && bytes_in_left(&in) > 0; ++*n) {
        enum doc_kind kind;
        struct str key;
        e = doc_get_name(&in, &kind, &key);
        struct str record = bytes_in_str(&in);
        if (e == OK && in.bad) e = err_set(ERR_CORRUPT, "an answer with documents is cut");
        if (e == OK) e = doc_set_get(record, s);
        if (e == OK) e = docs_merge(d, kind, key, s);
    }
    free(s);
    return e;
}

err_t docs_adopt(struct cluster *c, enum doc_kind kind, struct str key, struct str value)
{
    struct doc_set *sets = calloc(2, sizeof *sets);
    ASSERT(sets != NULL);
    err_t e = OK;
    if (!docs_find(c->docs, kind, key)) {
        doc_set_next(&sets[0], (struct doc_version){ 1, c->self }, value, &sets[1]);
        e = docs_merge(c->docs, kind, key, &sets[1]);
    }
    free(sets);
    return e;
}

static err_t forget_locked(struct docs *d)
{
    struct kv *kv = store_kv(d->c->o.store);
    for (uint32_t i = 0; i < d->n;) {
        struct doc_entry *e = d->v[i];
        struct arena a;
        if (!doc_is_over(e)) {
            i++;
            continue;
        }
        arena_init(&a, NULL);
        err_t err = kv->write(kv, &(struct kv_op){ record_key(&a, e->kind, e->key), STR_NONE }, 1);
        arena_deinit(&a);
        TRY(err);
        d->bytes -= e->bytes;
        memmove(d->v + i, d->v + i + 1, (--d->n - i) * sizeof(struct doc_entry *));
        free(e);
        count(d);
    }
    return OK;
}

void docs_forget(struct docs *d)
{
    if (sem_take(&d->changing, 1) != OK) return;
    if (forget_locked(d) != OK) log_warn("cluster.doc", "error=%s", err_detail());
    sem_give(&d->changing, 1);
}

/* -- at start and at the end ------------------------------------------------------------------------------------------- */
static err_t load_one(struct docs *d, const struct kv_item *it, struct doc_set *s)
{
    struct str key = str_sub(it->key, PREFIX.n + KIND_TEXT, it->key.n);
    uint8_t kind;
    if (it->key.n <= PREFIX.n + KIND_TEXT || !str_from_hex(str_sub(it->key, PREFIX.n, PREFIX.n + 2), &kind, 1))
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(it->key));
    TRY(doc_check((enum doc_kind)kind, key));
    TRY(doc_set_get(it->value, s));
    entry_set(d, entry_add(d, (enum doc_kind)kind, key), s, it->value);
    return OK;
}

static err_t load(struct docs *d, struct arena *a)
{
    struct kv *kv = store_kv(d->c->o.store);
    struct doc_set *s = ARENA_NEW(a, struct doc_set);
    struct kv_item *items;
    size_t n;
    TRY(kv->list(kv, PREFIX, DOCS_MAX, a, &items, &n));
    for (size_t i = 0; i < n; i++)
        TRY(load_one(d, &items[i], s));
    return OK;
}

err_t docs_open(struct cluster *c, struct docs **out)
{
    struct docs *d = calloc(1, sizeof *d);
    struct arena a;
    ASSERT(d != NULL);
    d->c = c;
    event_init(&d->wake);
    rt_sem_init(&d->changing, 1);
    rt_sem_init(&d->writing, 1);
    arena_init(&a, NULL);
    err_t e = load(d, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    if (e != OK) docs_free(d);
    *err_record() = why;
    if (e == OK) *out = d;
    return e;
}

void docs_free(struct docs *d)
{
    if (!d) return;
    for (uint32_t i = 0; i < d->n; i++)
        free(d->v[i]);
    free(d->v);
    free(d);
}

/* -- for people ----------------------------------------------------------------------------------------------------------- */
struct list_call {
    struct docs *d;
    struct arena *a;
    struct doc_shown *v;
    uint32_t n;
};

static err_t list_here(void *arg)
{
    struct list_call *l = arg;
    l->v = ARENA_ARRAY(l->a, struct doc_shown, l->d->n + 1);
    for (uint32_t i = 0; i < l->d->n; i++) {
        const struct doc_entry *e = l->d->v[i];
        l->v[l->n++] = (struct doc_shown){ .kind = e->kind, .key = arena_str(l->a, e->key) };
    }
    return arena_check(l->a);
}

static err_t show(struct cluster *c, struct doc_shown *s)
{
    struct arena a;
    arena_init(&a, NULL);
    struct doc_set *set = ARENA_NEW(&a, struct doc_set);
    err_t e = docs_read(c, s->kind, s->key, &a, set);
    for (; e == OK && s->n < set->n; s->n++) {
        s->v[s->n].version = set->v[s->n].version;
        s->v[s->n].deleted = set->v[s->n].deleted;
        s->v[s->n].bytes = set->v[s->n].value.n;
    }
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t docs_list(struct cluster *c, struct arena *a, struct doc_shown **out, uint32_t *n)
{
    struct list_call l = { .d = c->docs, .a = a };
    TRY(rt_call(0, RT_MEMBERSHIP, list_here, &l));
    *out = l.v;
    *n = l.n;
    for (uint32_t i = 0; i < l.n; i++)
        TRY(show(c, &l.v[i]));
    return OK;
}
