/* Retries stored once: the requests acked in the last 10 minutes, by the hash of their bytes, and their names. A key belongs
 * to one core, wherever its request arrives. A stream has its own: what is in two of them is in both. A claim stands for a request on its way: an equal one waits for its end
 * and is acked only if the first was. */
#include "base/core/assert.h"
#include "base/core/varint.h"
#include "storage/store_int.h"

#include <stdlib.h>

struct dedup_claim {
    hash128 key;
    struct dedup_claim *next;
    uint32_t waiters;
    bool acked;
    struct batch_name name; /* once it is */
    struct event done;
};

static void set_init(struct dedup_set *s)
{
    *s = (struct dedup_set){ 0 };
    htab_init(&s->index, NULL);
}
static void set_deinit(struct dedup_set *s)
{
    htab_deinit(&s->index);
    free(s->entries);
}

/* -- scopes, and what is forgotten of them ------------------------------------------------------------------ */

enum { SIGNAL_BITS = 8 };
#define SCOPE_ALL ((UINT64_C(1) << SIGNAL_BITS) - 1) /* of any tenant */

uint64_t dedup_scope(struct str tenant, enum signal signal)
{
    return hash64(tenant) << SIGNAL_BITS | UINT64_C(1) << signal;
}

static bool touches(uint64_t forgotten, uint64_t scope)
{
    bool tenant = forgotten == SCOPE_ALL || forgotten >> SIGNAL_BITS == scope >> SIGNAL_BITS;
    return tenant && (forgotten & scope & SCOPE_ALL) != 0;
}

void dedup_forget(struct dedup_forgotten *f, uint64_t scope, uint64_t generation)
{
    uint32_t i = 0;
    while (i < f->n && f->v[i].scope != scope)
        i++;
    if (i == DEDUP_FORGOTTEN_MAX) {
        for (i = 0; i < f->n; i++)
            generation = MAX(generation, f->v[i].generation);
        f->n = i = 0;
        scope = SCOPE_ALL;
    }
    if (i == f->n) f->v[f->n++].generation = 0;
    f->v[i].scope = scope;
    f->v[i].generation = MAX(f->v[i].generation, generation);
}

static bool is_forgotten(const struct dedup_forgotten *f, const struct dedup_entry *e)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (e->generation <= f->v[i].generation && touches(f->v[i].scope, e->scope)) return true;
    return false;
}

/* One acked since a deletion may stand behind an equal one that was acked before. */
static const struct dedup_entry *set_find(const struct dedup_set *s, hash128 key, const struct dedup_forgotten *f)
{
    for (uint32_t it = 0, v; htab_next(&s->index, hash_u64(key.lo), &it, &v);)
        if (hash128_eq(s->entries[v].key, key) && !is_forgotten(f, &s->entries[v])) return &s->entries[v];
    return NULL;
}

hash128 dedup_key_foreign(hash128 content, uint64_t stream)
{
    const uint64_t both[3] = { content.lo, content.hi, stream };
    return hash128_of(str_n(both, sizeof both));
}

hash128 dedup_key_of(const struct store *s, hash128 content, uint64_t stream)
{
    const hash128 none = { 0, 0 };
    return stream == s->own_stream || hash128_eq(content, none) ? content : dedup_key_foreign(content, stream);
}

void dedup_init(struct dedup *d, unsigned cores)
{
    memset(d, 0, sizeof *d); /* a compound literal would stand on the fiber's stack */
    d->turned = rt_now();
    d->full = DEDUP_MAX / 2 / cores;
    set_init(&d->young);
    set_init(&d->old);
}

void dedup_deinit(struct dedup *d)
{
    ASSERT(d->claims == NULL);
    set_deinit(&d->young);
    set_deinit(&d->old);
}

static void turn(struct dedup *d)
{
    if (d->young.count < d->full && rt_now().ns - d->turned.ns < (int64_t)DEDUP_MS * NS_PER_MS) return;
    set_deinit(&d->old);
    d->old = d->young;
    set_init(&d->young);
    d->turned = rt_now();
}

void dedup_remember(struct dedup *d, const struct dedup_entry *e)
{
    if (e->wall_ms < rt_wall().ns / NS_PER_MS - DEDUP_MS) return;
    turn(d);
    if (set_find(&d->young, e->key, &d->forgotten)) return;
    struct dedup_set *s = &d->young;
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->entries = realloc(s->entries, s->cap * sizeof *s->entries);
        ASSERT(s->entries != NULL);
    }
    s->entries[s->count] = *e;
    htab_insert(&s->index, hash_u64(e->key.lo), (uint32_t)s->count++);
}

struct claim_call {
    struct store *s;
    struct dedup_entry e;
    bool known, acked;
};

static struct dedup_claim **claim_find(struct dedup *d, hash128 key)
{
    struct dedup_claim **at = &d->claims;
    while (*at && !hash128_eq((*at)->key, key))
        at = &(*at)->next;
    return at;
}

static err_t claim_here(void *arg)
{
    struct claim_call *c = arg;
    struct dedup *d = &shard_here(c->s)->dedup;
    for (;;) {
        const struct dedup_entry *e = set_find(&d->young, c->e.key, &d->forgotten);
        if (!e) e = set_find(&d->old, c->e.key, &d->forgotten);
        c->known = e != NULL;
        if (e) c->e.name = e->name;
        if (c->known) return OK;
        struct dedup_claim *first = *claim_find(d, c->e.key);
        if (!first) break;
        first->waiters++;
        err_t waited = event_wait(&first->done);
        c->known = first->acked;
        c->e.name = first->name;
        if (--first->waiters == 0) free(first);
        TRY(waited);
        if (c->known) return OK;
    }
    struct dedup_claim *mine = calloc(1, sizeof *mine);
    ASSERT(mine != NULL);
    mine->key = c->e.key;
    mine->next = d->claims;
    event_init(&mine->done);
    d->claims = mine;
    return OK;
}

struct knows_call {
    struct store *s;
    hash128 key;
    enum store_known known;
};

static err_t knows_here(void *arg)
{
    struct knows_call *c = arg;
    struct dedup *d = &shard_here(c->s)->dedup;
    if (*claim_find(d, c->key)) c->known = STORE_COMING;
    if (set_find(&d->young, c->key, &d->forgotten) || set_find(&d->old, c->key, &d->forgotten)) c->known = STORE_KNOWN;
    return OK;
}

err_t store_knows(struct store *s, hash128 content, uint64_t stream, enum store_known *out)
{
    const hash128 none = { 0, 0 };
    struct knows_call c = { .s = s, .key = dedup_key_of(s, content, stream) };
    if (!hash128_eq(content, none)) TRY(rt_call(dedup_core(c.key, s->cores), RT_INGEST, knows_here, &c));
    *out = c.known;
    return OK;
}

static err_t finish_here(void *arg)
{
    struct claim_call *c = arg;
    struct dedup *d = &shard_here(c->s)->dedup;
    struct dedup_claim **at = claim_find(d, c->e.key), *claim = *at;
    ASSERT(claim != NULL);
    *at = claim->next;
    claim->acked = c->acked;
    claim->name = c->e.name;
    if (c->acked) dedup_remember(d, &c->e);
    if (claim->waiters > 0) {
        event_signal(&claim->done);
    } else {
        free(claim);
    }
    return OK;
}

err_t dedup_claim(struct store *s, hash128 key, bool *known, struct batch_name *of)
{
    struct claim_call c = { .s = s, .e.key = key };
    TRY(rt_call(dedup_core(key, s->cores), RT_INGEST, claim_here, &c));
    *known = c.known;
    *of = c.e.name;
    return OK;
}

struct between_call {
    struct store *s;
    hash128 key;
    uint64_t after, upto;
    bool known;
    struct batch_name of;
};

static void find_between(struct between_call *c, const struct dedup_set *s)
{
    for (uint32_t it = 0, v; htab_next(&s->index, hash_u64(c->key.lo), &it, &v);) {
        const struct dedup_entry *e = &s->entries[v];
        if (!hash128_eq(e->key, c->key) || e->generation <= c->after || e->generation > c->upto) continue;
        c->known = true;
        c->of = e->name;
    }
}

static err_t between_here(void *arg)
{
    struct between_call *c = arg;
    const struct dedup *d = &shard_here(c->s)->dedup;
    find_between(c, &d->old);
    find_between(c, &d->young);
    return OK;
}

err_t dedup_known_between(struct store *s, hash128 key, uint64_t after, uint64_t upto, bool *known, struct batch_name *of)
{
    struct between_call c = { .s = s, .key = key, .after = after, .upto = upto };
    TRY(rt_call(dedup_core(key, s->cores), RT_INGEST, between_here, &c));
    *known = c.known;
    *of = c.of;
    return OK;
}

void dedup_finish(struct store *s, const struct dedup_entry *e, bool acked)
{
    struct claim_call c = { .s = s, .e = *e, .acked = acked };
    while (rt_call(dedup_core(e->key, s->cores), RT_INGEST, finish_here, &c) != OK) {
        err_t slept = fiber_sleep(NS_PER_MS);
        ASSERT(slept == OK);
    }
}

/* -- in the catalog: entries of 72 bytes, key.lo | key.hi | wall_ms | scope | stream | origin | epoch | u32 core, u32 0 | seq ----- */

void dedup_put(struct buf *out, const struct dedup_entry *e)
{
    const uint64_t v[DEDUP_BYTES / 8] = { e->key.lo, e->key.hi, (uint64_t)e->wall_ms, e->scope, e->name.stream, e->name.origin.u,
                                          e->name.epoch, e->name.core, e->name.seq };
    buf_put(out, v, sizeof v);
}

void dedup_get(const char *p, uint64_t generation, struct dedup_entry *e)
{
    uint64_t v[DEDUP_BYTES / 8];
    memcpy(v, p, sizeof v);
    *e = (struct dedup_entry){ .key = { v[0], v[1] }, .wall_ms = (int64_t)v[2], .scope = v[3], .generation = generation,
                               .name = { .stream = v[4], .origin.u = v[5], .epoch = v[6], .core = (uint32_t)v[7], .seq = v[8] } };
}

static int64_t export_set(const struct dedup_set *s, uint64_t generation, struct buf *out)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < s->count; i++) {
        const struct dedup_entry *e = &s->entries[i];
        if (e->generation != generation) continue;
        dedup_put(out, e);
        newest = MAX(newest, e->wall_ms);
    }
    return newest;
}

int64_t dedup_export(const struct dedup *d, uint64_t generation, struct buf *out)
{
    int64_t a = export_set(&d->old, generation, out), b = export_set(&d->young, generation, out);
    return MAX(a, b);
}

static void export_names(const struct dedup *d, const struct dedup_set *s, uint64_t stream, const struct cover *of, struct buf *out)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct dedup_entry *e = &s->entries[i];
        if (e->name.stream == stream && !is_forgotten(&d->forgotten, e) && cover_has(of, &e->name)) dedup_put(out, e);
    }
}

void dedup_export_stream(const struct dedup *d, uint64_t stream, const struct cover *of, struct buf *out)
{
    export_names(d, &d->old, stream, of, out);
    export_names(d, &d->young, stream, of, out);
}

struct import_call {
    struct store *s;
    struct str bytes;
    uint64_t generation;
};

void dedup_import_here(struct shard *sh, uint64_t generation, struct str bytes)
{
    for (size_t at = 0; at + DEDUP_BYTES <= bytes.n; at += DEDUP_BYTES) {
        struct dedup_entry e;
        dedup_get(bytes.p + at, generation, &e);
        if (dedup_core(e.key, sh->store->cores) == sh->core) dedup_remember(&sh->dedup, &e);
    }
}

static err_t import_here(void *arg)
{
    const struct import_call *c = arg;
    dedup_import_here(shard_here(c->s), c->generation, c->bytes);
    return OK;
}

err_t dedup_import(struct store *s, uint64_t generation, struct str bytes)
{
    struct import_call c = { s, bytes, generation };
    for (unsigned i = 0; i < s->cores; i++)
        TRY(rt_call(i, RT_INGEST, import_here, &c));
    return OK;
}
