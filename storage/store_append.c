/* The write path: claim -> encode -> enter the generation and the log -> synced -> rows into the memtables of
 * their cores -> leave the generation -> acked.
 *
 * From the log on nothing may be left half done, or a row that is synced would be missing from the memtable
 * whose seal deletes the log. So the work runs in a fiber of its own, which the caller's cancel and
 * deadline do not reach; the caller waits for its end. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/store_int.h"

#include <stdlib.h>

struct append {
    struct store *s;
    struct batch *const *batches;
    uint32_t n;
    err_t result;
    struct err_record why;
};

/* -- which series the log of this generation defines ------------------------------------------------------ */

static void defined_reset(struct defined *d, uint64_t generation, uint64_t epoch)
{
    htab_clear(&d->index);
    d->count = 0;
    d->generation = generation;
    d->epoch = epoch;
}

static bool is_defined(const struct defined *d, hash128 id)
{
    for (uint32_t it = 0, v; htab_next(&d->index, hash_u64(id.lo), &it, &v);)
        if (hash128_eq(d->ids[v], id)) return true;
    return false;
}

/* One request's look at what is defined, and the series that it will define. */
struct definer {
    const struct defined *d;
    struct arena *a;
    hash128 *fresh;
    size_t nfresh, cap;
};

/* The table is bigger than the caches: slots are fetched, then the ids that they name, then all are compared. */
static void find_defined(void *ctx, const hash128 *ids, uint32_t n, uint8_t *known)
{
    struct definer *f = ctx;
    const struct defined *d = f->d;
    for (uint32_t i = 0; i < n; i++)
        htab_prefetch(&d->index, hash_u64(ids[i].lo));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t it = 0, v;
        if (htab_next(&d->index, hash_u64(ids[i].lo), &it, &v)) __builtin_prefetch(&d->ids[v]);
    }
    for (uint32_t i = 0; i < n; i++) {
        known[i] = is_defined(d, ids[i]);
        if (known[i]) continue;
        f->fresh = arena_grow(f->a, f->fresh, f->nfresh, &f->cap, f->nfresh + 1, sizeof *f->fresh);
        f->fresh[f->nfresh++] = ids[i];
    }
}

static void define(struct defined *d, const struct definer *f)
{
    for (size_t i = 0; i < f->nfresh; i++) {
        if (is_defined(d, f->fresh[i])) continue; /* twice in the request */
        if (d->count == d->cap) {
            d->cap = d->cap ? d->cap * 2 : 256;
            d->ids = realloc(d->ids, d->cap * sizeof *d->ids);
            ASSERT(d->ids != NULL);
        }
        d->ids[d->count] = f->fresh[i];
        htab_insert(&d->index, hash_u64(f->fresh[i].lo), (uint32_t)d->count++);
    }
}

/* -- one request ------------------------------------------------------------------------------------------ */

static bool defined_current(const struct shard *sh)
{
    const struct defined *d = &sh->defined;
    return d->generation == sh->generation && d->epoch == wal_epoch(sh->wal);
}

/* Encodes until nothing that the bytes lean on has changed meanwhile. Returns without having yielded since. */
static err_t encode(struct shard *sh, const struct append *ap, const struct request_head *h, struct definer *f,
                    struct buf *out)
{
    const struct metric_encode_opts o = { find_defined, f };
    for (;;) {
        f->nfresh = 0;
        if (!defined_current(sh)) defined_reset(&sh->defined, sh->generation, wal_epoch(sh->wal));
        uint64_t generation = sh->generation, epoch = wal_epoch(sh->wal);
        buf_clear(out);
        request_encode(h, ap->batches, &o, out);
        if (out->failed)
            return err_set(ERR_TOO_LARGE, "a request of more than %d bytes as columns", WAL_PAYLOAD_MAX);
        if (generation == sh->generation && epoch == wal_epoch(sh->wal)) return OK;
    }
}

static err_t log_and_insert(struct append *ap, struct shard *sh, struct dedup_entry *entry, struct split *sp,
                            struct arena *a)
{
    struct store *s = ap->s;
    struct buf bytes;
    buf_init(&bytes, WAL_PAYLOAD_MAX, &s->mem);
    const struct request_head h = { .key = entry->key, .wall_ms = entry->wall_ms, .nbatches = ap->n };
    struct definer f = { .d = &sh->defined, .a = a };
    err_t e = encode(sh, ap, &h, &f, &bytes);
    if (e != OK) goto out;
    struct wal_ticket t = { .payload = buf_view(&bytes), .payload_hash = hash64(buf_view(&bytes)) };
    /* No yield from here to wal_submit: the bytes, the generation and the order in the log belong together. */
    t.generation = entry->generation = sh->generation;
    struct gate *gate = &sh->gates[t.generation & 1];
    bool in = gate_enter(gate);
    ASSERT(in);
    define(&sh->defined, &f);
    wal_submit(sh->wal, &t);
    e = wal_wait(sh->wal, &t);
    if (e == OK) {
        atomic_store_explicit(&s->dirty, true, memory_order_relaxed);
        split_insert(sp, t.generation, s->own_stream);
    }
    /* The claim ends inside the generation, so that the seal finds the key. */
    struct err_record why = *err_record();
    const hash128 none = { 0, 0 };
    if (!hash128_eq(entry->key, none)) dedup_finish(s, entry, e == OK);
    *err_record() = why;
    gate_leave(gate);
out:
    buf_deinit(&bytes);
    return e;
}

static err_t refuse_failed(void)
{
    return err_set(ERR_IO, "the log of this node failed: nothing is stored until it restarts");
}

/* A claim may have waited for a request of the same content whose write failed: that one's frame may lie on the disk all
 * the same, and a second one in another core's log would be read beside it after the restart. */
static err_t claim(struct store *s, const struct dedup_entry *entry, bool *known)
{
    TRY(dedup_claim(s, entry->key, known));
    if (*known || !atomic_load_explicit(&s->failed, memory_order_relaxed)) return OK;
    dedup_finish(s, entry, false);
    return refuse_failed();
}

static err_t append_request(struct append *ap)
{
    struct store *s = ap->s;
    struct shard *sh = shard_here(s);
    const hash128 none = { 0, 0 };
    struct dedup_entry entry = { .key = request_key(ap->batches, ap->n), .wall_ms = rt_wall().ns / NS_PER_MS };
    for (uint32_t i = 0; i < ap->n; i++)
        entry.scope |= dedup_scope(ap->batches[i]->tenant, ap->batches[i]->signal);
    bool known = false, claimed = !hash128_eq(entry.key, none);
    if (claimed) TRY(claim(s, &entry, &known));
    if (known) {
        metric_add(M_INGEST_REPEATED, 1);
        return OK;
    }
    struct arena a;
    arena_init(&a, &s->mem);
    struct split *sp = split_new(s, &a);
    for (uint32_t i = 0; i < ap->n; i++)
        split_add(sp, ap->batches[i], NULL);
    err_t e = log_and_insert(ap, sh, &entry, sp, &a);
    arena_deinit(&a);
    if (claimed && entry.generation == 0) { /* it never came to the log */
        struct err_record why = *err_record();
        dedup_finish(s, &entry, false);
        *err_record() = why;
    }
    return e;
}

static void append_fiber(void *arg)
{
    struct append *ap = arg;
    ap->result = append_request(ap);
    ap->why = *err_record();
}

static err_t admit(struct store *s)
{
    if (atomic_load_explicit(&s->failed, memory_order_relaxed)) return refuse_failed();
    if (atomic_load_explicit(&s->disk.level, memory_order_relaxed) >= DISK_FULL)
        return err_set(ERR_NOSPC, "the disk of %s is %.1f%% full: ingest is refused until there is room, free space on it", s->o.dir,
                    100 * atomic_load_explicit(&s->disk.used, memory_order_relaxed));
    if (budget_check(&s->mem) != OK)
        return err_set(ERR_OVERLOAD, "memtables hold %lld of %lld bytes: waiting for the seal",
                    (long long)atomic_load(&s->mem.used), (long long)s->o.mem_bytes);
    return OK;
}

err_t store_append(struct store *s, struct batch *const *batches, uint32_t n)
{
    if (n == 0) return OK;
    for (uint32_t i = 0; i < n; i++)
        if (batches[i]->ntables > BATCH_TABLES_MAX)
            return err_set(ERR_TOO_LARGE, "a batch of %u tables, at most %d", batches[i]->ntables, BATCH_TABLES_MAX);
    TRY(admit(s));
    struct shard *sh = shard_here(s);
    if (!gate_enter(&sh->open)) return err_set(ERR_UNAVAILABLE, "the store is closing");
    struct append ap = { .s = s, .batches = batches, .n = n };
    const struct fiber_opts fo = { .name = "append", .class = RT_INGEST };
    struct scope scope;
    scope_init(&scope, NULL);
    err_t e = fiber_start(&scope, &fo, append_fiber, &ap);
    if (e == OK) {
        e = scope_join(&scope);
        ASSERT(e == OK);
        e = ap.result;
        if (e != OK) *err_record() = ap.why;
    }
    scope_deinit(&scope);
    gate_leave(&sh->open);
    return e;
}
