/* Sealing, and the maintenance fiber on core 0 that does it.
 *
 *   switch   every core sends new appends to generation g + 1 and shuts its gate of g: waits for those in flight
 *            there. When all cores have answered, no row enters g any more, on any core: g is closed.
 *   write    every core writes its memtables of g, one of a stream, to segments and opens them: one of a stream, with an object
 *            tier two, one for each class of tenants
 *   commit   one synced catalog batch: the segments, the request keys and names of g, sealed = g
 *   publish  every core swaps memtable for segment, without a yield between, and drops its logs <= g, but what other nodes lack
 * Commit and publish happen with s->changing held, the rest without it.
 *
 * An error before the commit leaves g closed, readable in memory and logged; the next seal takes it up again first
 * and opens no further generation before. If the commit's outcome is unknown, doing it again is harmless: same keys,
 * same generation. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/object_tier.h"
#include "storage/retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 100, WATERMARK_MS = 1000, RETRY_MS = 1000 };

struct part { /* one core's part in a seal */
    struct store *s;
    uint64_t generation, next; /* next: a switch goes there */
    bool drop_file;
    struct seg_info *infos;
    uint32_t ninfos, infos_cap;
    struct buf keys;
    int64_t keys_wall_ms;
    struct cover names;
    struct wal_kept *kept; /* log files */
};

void store_closed_add(struct store *s, uint64_t generation)
{
    ASSERT(s->nclosed == 0 || s->closed[s->nclosed - 1] < generation);
    s->closed = store_grow(s->closed, &s->closed_cap, s->nclosed + 1, sizeof *s->closed);
    s->closed[s->nclosed++] = generation;
}

/* -- the steps on a core ------------------------------------------------------------------------------------ */

static err_t switch_here(void *arg)
{
    const struct part *p = arg;
    struct shard *sh = shard_here(p->s);
    if (sh->generation == p->generation) {
        gate_init(&sh->gates[p->next & 1]);
        sh->generation = p->next;
    }
    gate_close(&sh->gates[p->generation & 1]);
    return OK;
}

/* The rows of the tenants that `pick` picks, in a segment of their own, if there are any. */
static err_t write_segment(struct part *p, struct mem *m, const struct tenant_pick *pick, bool object)
{
    struct store *s = p->s;
    struct shard *sh = shard_here(s);
    struct seg_writer *w;
    TRY(seg_writer_open(s->seg_dir, &s->mem, &w));
    err_t e = mem_rows_empty(m->rows) ? OK : mem_rows_seal(m->rows, pick, w);
    if (e == OK && !mem_metric_empty(m->metrics)) e = mem_metric_seal(m->metrics, pick, w);
    if (e != OK || (pick && seg_writer_groups(w) == 0)) {
        struct err_record why = *err_record();
        seg_writer_abandon(w);
        *err_record() = why;
        return e;
    }
    p->infos = store_grow(p->infos, &p->infos_cap, p->ninfos + 1, sizeof *p->infos);
    sh->sealing = store_grow(sh->sealing, &sh->sealing_cap, sh->nsealing + 1, sizeof(struct seg *));
    struct seg_info *info = &p->infos[p->ninfos];
    *info = (struct seg_info){ .generation_first = p->generation, .generation = p->generation, .core = sh->core, .cores = s->cores,
                               .object = object, .stream = m->stream };
    TRY(seg_writer_finish(w, info));
    info->sealed_ms = rt_wall().ns / NS_PER_MS;
    p->ninfos++;
    TRY(seg_open(s->seg_dir, info, &sh->sealing[sh->nsealing]));
    sh->nsealing++;
    return OK;
}

/* One segment, or one for each durable class of tenants. */
static err_t write_segments(struct part *p, struct mem *m)
{
    if (!p->s->tier) return write_segment(p, m, NULL, false);
    const struct tenant_pick local = { tier_local_tenant, p->s }, object = { tier_object_tenant, p->s };
    TRY(write_segment(p, m, &local, false));
    return write_segment(p, m, &object, true);
}

static err_t write_here(void *arg)
{
    struct part *p = arg;
    struct shard *sh = shard_here(p->s);
    p->keys_wall_ms = dedup_export(&sh->dedup, p->generation, &p->keys);
    held_of(sh, p->generation, &p->names);
    for (uint32_t i = 0; i < sh->nmems; i++)
        if (sh->mems[i]->generation == p->generation) sh->mems[i]->frozen = true;
    /* While one is written, others come: behind those of this generation, which is closed. */
    for (uint32_t i = 0; i < sh->nmems; i++) {
        struct mem *m = sh->mems[i];
        if (m->generation != p->generation || (mem_rows_empty(m->rows) && mem_metric_empty(m->metrics))) continue;
        TRY(write_segments(p, m));
    }
    return OK;
}

static err_t abandon_here(void *arg)
{
    const struct part *p = arg;
    struct shard *sh = shard_here(p->s);
    while (sh->nsealing > 0) {
        struct seg *g = sh->sealing[--sh->nsealing];
        if (p->drop_file) seg_doom(g);
        seg_put(g);
    }
    return OK;
}

static bool needed(void *ctx, const struct cover *names)
{
    return logs_needed(ctx, names);
}

static err_t publish_here(void *arg)
{
    struct part *p = arg;
    struct shard *sh = shard_here(p->s);
    uint32_t kept = 0;
    held_sealed(sh, p->generation);
    for (uint32_t i = 0; i < sh->nsealing; i++)
        shard_seg_add(sh, sh->sealing[i]);
    sh->nsealing = 0;
    for (uint32_t i = 0; i < sh->nmems; i++) {
        if (sh->mems[i]->generation == p->generation)
            mem_put(sh->mems[i]);
        else
            sh->mems[kept++] = sh->mems[i];
    }
    sh->nmems = kept;
    /* The swap is done: yields are welcome again. */
    if (sh->wal) wal_drop(sh->wal, p->generation, !disk_tight(p->s), needed, sh, &p->kept);
    return OK;
}

/* -- one generation ------------------------------------------------------------------------------------------ */

static void put_keys(struct store *s, struct catalog_batch *b, const struct part *parts)
{
    int64_t oldest = rt_wall().ns / NS_PER_MS - DEDUP_MS;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->ndedups; i++) {
        if (s->dedups[i].wall_ms < oldest) {
            catalog_del_dedup(b, &s->dedups[i]);
        } else {
            s->dedups[kept++] = s->dedups[i];
        }
    }
    s->ndedups = kept;
    for (unsigned c = 0; c < s->cores; c++) {
        if (parts[c].keys.n == 0) continue;
        struct dedup_item d = { parts[c].generation, c, parts[c].keys_wall_ms };
        catalog_put_dedup(b, &d, buf_view(&parts[c].keys));
        catalog_add_dedup(s, &d);
    }
}

static void put_names(struct store *s, struct catalog_batch *b, const struct part *parts)
{
    struct cover all;
    cover_init(&all);
    for (unsigned c = 0; c < s->cores; c++)
        cover_join(&all, &parts[c].names);
    held_catalog(s, b, &all);
    cover_deinit(&all);
}

/* Up to what everything is sealed when closed[0] is: generations between it and the next one stay empty. */
static uint64_t sealed_up_to(const struct store *s)
{
    uint64_t next = s->nclosed > 1 ? s->closed[1] : atomic_load(&s->generation);
    return next > s->closed[0] ? next - 1 : s->closed[0]; /* while logs are replayed none is open */
}

static err_t commit(struct store *s, const struct part *parts)
{
    if (errinj_hit(EI_SEAL_BEFORE_COMMIT)) return err_set(ERR_IO, "injected: before the catalog commit");
    struct catalog_batch b;
    catalog_batch_init(&b);
    for (unsigned c = 0; c < s->cores; c++)
        for (uint32_t i = 0; i < parts[c].ninfos; i++)
            catalog_put_seg(&b, &parts[c].infos[i]);
    put_keys(s, &b, parts);
    put_names(s, &b, parts);
    catalog_put_sealed(&b, sealed_up_to(s));
    s->commit_tried = true;
    err_t e = catalog_commit(s, &b);
    catalog_batch_deinit(&b);
    if (e == OK && errinj_hit(EI_SEAL_AFTER_COMMIT)) e = err_set(ERR_IO, "injected: after the catalog commit");
    return e;
}

static void sealed(struct store *s, uint64_t generation, struct part *parts, void *const *args)
{
    for (unsigned c = 0; c < s->cores; c++)
        for (uint32_t i = 0; i < parts[c].ninfos; i++) {
            catalog_add_info(s, &parts[c].infos[i]);
            metric_add(M_SEALED_BYTES, (int64_t)parts[c].infos[i].bytes);
        }
    uint64_t up_to = sealed_up_to(s);
    memmove(s->closed, s->closed + 1, --s->nclosed * sizeof *s->closed);
    s->commit_tried = false;
    for (unsigned c = 0; c < s->cores; c++)
        cover_join(&s->sealed, &parts[c].names);
    store_call_all(s, publish_here, args);
    atomic_store(&s->sealed_gen, up_to);
    struct wal_kept *kept = NULL;
    for (unsigned c = 0; c < s->cores; c++)
        for (struct wal_kept *k; (k = parts[c].kept);) {
            parts[c].kept = k->next;
            k->next = kept;
            kept = k;
        }
    logs_sealed(s, generation, kept);
    metric_add(M_SEALS, 1);
    compaction_wake(s);
}

static err_t commit_and_publish(struct store *s, uint64_t generation, struct part *parts, void *const *args, bool *drop_file)
{
    TRY(sem_take(&s->changing, 1));
    err_t e = commit(s, parts);
    *drop_file = *drop_file && !s->commit_tried;
    if (e == OK) sealed(s, generation, parts, args);
    sem_give(&s->changing, 1);
    return e;
}

static err_t seal_one(struct store *s, uint64_t generation)
{
    struct part *parts = calloc(s->cores, sizeof *parts);
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(parts != NULL && args != NULL);
    for (unsigned c = 0; c < s->cores; c++) {
        parts[c] = (struct part){ .s = s, .generation = generation };
        buf_init(&parts[c].keys, (size_t)DEDUP_MAX * DEDUP_BYTES, NULL);
        cover_init(&parts[c].names);
        args[c] = &parts[c];
    }
    err_t e = rt_call_all(RT_MAINTENANCE, write_here, args, NULL);
    bool drop_file = !s->commit_tried;
    if (e == OK) e = commit_and_publish(s, generation, parts, args, &drop_file);
    if (e != OK) {
        struct err_record why = *err_record();
        for (unsigned c = 0; c < s->cores; c++)
            parts[c].drop_file = drop_file;
        store_call_all(s, abandon_here, args);
        *err_record() = why;
    }
    for (unsigned c = 0; c < s->cores; c++) {
        buf_deinit(&parts[c].keys);
        cover_deinit(&parts[c].names);
        free(parts[c].infos);
    }
    free(args);
    free(parts);
    return e;
}

err_t store_seal_closed(struct store *s)
{
    while (s->nclosed > 0)
        TRY(seal_one(s, s->closed[0]));
    return OK;
}

/* Closes the open generation; `free` stay empty behind it: an even number, since a generation's gate goes by its last bit. */
static void switch_all(struct store *s, uint32_t free_count)
{
    uint64_t generation = atomic_load(&s->generation), next = generation + 1 + free_count;
    struct part p = { .s = s, .generation = generation, .next = next };
    ASSERT(free_count % 2 == 0);
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(args != NULL);
    for (unsigned c = 0; c < s->cores; c++)
        args[c] = &p;
    atomic_store(&s->dirty, false);
    store_call_all(s, switch_here, args);
    free(args);
    store_closed_add(s, generation);
    atomic_store(&s->generation, next);
    s->generation_began = rt_now();
}

static err_t seal_all(struct store *s, struct seal_waiter *waiters)
{
    uint32_t wanted = 0;
    TRY(store_seal_closed(s));
    for (struct seal_waiter *w = waiters; w; w = w->next) {
        w->free_first = atomic_load(&s->generation) + 1 + wanted;
        wanted += w->free;
    }
    switch_all(s, wanted);
    return store_seal_closed(s);
}

/* -- maintenance ------------------------------------------------------------------------------------------------ */

static bool seal_due(struct store *s)
{
    int64_t used = atomic_load(&s->mem.used), age_ns = rt_now().ns - s->generation_began.ns;
    bool dirty = atomic_load(&s->dirty), half = used > s->o.mem_bytes / 2;
    if (s->nclosed > 0 && (half || age_ns / NS_PER_MS >= s->o.seal_age_ms)) return true;
    return dirty && (half || (s->o.seal_age_ms > 0 && age_ns / NS_PER_MS >= s->o.seal_age_ms));
}

static void wake_up(void *arg)
{
    struct store *s = arg;
    event_signal(&s->wake);
}

/* Its caller is inside its core's `open` gate, so that the store is there when the post comes. */
void store_seal_soon(struct store *s)
{
    if (!atomic_exchange_explicit(&s->seal_asked, true, memory_order_relaxed)) rt_post(0, wake_up, s);
}

static void answer_waiters(struct seal_waiter *w, err_t e)
{
    for (struct seal_waiter *next; w; w = next) {
        next = w->next;
        w->result = e;
        if (e != OK) snprintf(w->why, sizeof w->why, "%s", err_detail());
        event_signal(&w->done);
    }
}

static void gauges(struct store *s)
{
    metric_set(M_MEM_BYTES, atomic_load(&s->mem.used));
    metric_set(M_SEGMENTS, s->ninfos);
    metric_set(M_STREAMS, atomic_load(&s->nstreams));
    metric_set(M_SEGMENTS_LOST, atomic_load(&s->lost.all));
    metric_set(M_SEGMENT_BYTES, (int64_t)atomic_load(&s->segment_bytes));
}

static void run_seal(struct store *s, struct seal_waiter *w, mono_ns *retry_at)
{
    mono_ns began = rt_now();
    err_t e = seal_all(s, w);
    if (e == OK) {
        log_info("store.sealed", "generation=%" PRIu64 " segments=%u ms=%lld", atomic_load(&s->sealed_gen), s->ninfos,
                 (long long)((rt_now().ns - began.ns) / NS_PER_MS));
    } else {
        *retry_at = mono_add(rt_now(), (int64_t)RETRY_MS * NS_PER_MS);
        disk_note(s, e);
        log_error("store.seal", "error=%s", err_detail());
    }
    answer_waiters(w, e);
}

static void maintenance(void *arg)
{
    struct store *s = arg;
    mono_ns retention_at = { 0 }, watermark_at = { 0 }, retry_at = { 0 };
    while (!s->closing) {
        err_t e = event_wait_until(&s->wake, mono_add(rt_now(), (int64_t)TICK_MS * NS_PER_MS));
        ASSERT(e == OK || e == ERR_TIMEOUT);
        event_reset(&s->wake);
        atomic_store_explicit(&s->seal_asked, false, memory_order_relaxed);
        struct seal_waiter *w = s->waiters;
        s->waiters = NULL;
        if (w || (rt_now().ns >= retry_at.ns && seal_due(s))) run_seal(s, w, &retry_at);
        if (rt_now().ns >= watermark_at.ns) {
            watermark_at = mono_add(rt_now(), (int64_t)WATERMARK_MS * NS_PER_MS);
            if (disk_tick(s) != OK) log_warn("store.disk", "error=%s", err_detail());
            lost_tick(s);
            logs_tick(s);
        }
        keep_tick(s);
        if (rt_now().ns >= retention_at.ns || s->retention_wanted) {
            s->retention_wanted = false;
            retention_at = mono_add(rt_now(), RETENTION_EVERY_S * NS_PER_S);
            e = retention_run(s);
            disk_note(s, e);
            if (e != OK) log_warn("retention", "error=%s", err_detail());
        }
        gauges(s);
    }
    err_set(ERR_UNAVAILABLE, "the store is closing");
    struct seal_waiter *w = s->waiters;
    s->waiters = NULL;
    answer_waiters(w, ERR_UNAVAILABLE);
}

err_t store_maintenance_start(struct store *s)
{
    event_init(&s->wake);
    scope_init(&s->scope, NULL);
    const struct fiber_opts fo = { .name = "maintenance", .class = RT_MAINTENANCE };
    TRY(compaction_start(s));
    err_t e = fiber_start(&s->scope, &fo, maintenance, s);
    if (e != OK) compaction_stop(s);
    return e;
}

void store_maintenance_stop(struct store *s)
{
    s->closing = true;
    event_signal(&s->wake);
    compaction_stop(s);
    err_t e = scope_join(&s->scope);
    ASSERT(e == OK);
    scope_deinit(&s->scope);
}

/* -- store_seal ---------------------------------------------------------------------------------------------------- */

struct seal_call {
    struct store *s;
    uint32_t free;
    uint64_t free_first;
};

/* On core 0. The waiter is on the heap of this call only as long as the maintenance fiber has not answered, and
 * that it does: it is never cancelled, so neither is the wait allowed to end before. */
static void wait_answer(struct seal_waiter *w)
{
    while (!w->done.set)
        if (event_wait(&w->done) != OK) fiber_yield();
}

static err_t seal_here(void *arg)
{
    struct seal_call *c = arg;
    struct store *s = c->s;
    if (s->closing) return err_set(ERR_UNAVAILABLE, "the store is closing");
    struct seal_waiter w = { .next = s->waiters, .free = c->free };
    event_init(&w.done);
    s->waiters = &w;
    event_signal(&s->wake);
    wait_answer(&w);
    c->free_first = w.free_first;
    return w.result == OK ? OK : err_set(w.result, "%s", w.why);
}

err_t store_seal(struct store *s)
{
    struct seal_call c = { .s = s };
    return rt_call(0, RT_MAINTENANCE, seal_here, &c);
}

err_t store_seal_free(struct store *s, uint32_t n, uint64_t *first)
{
    struct seal_call c = { .s = s, .free = n };
    err_t e = rt_call(0, RT_MAINTENANCE, seal_here, &c);
    *first = c.free_first;
    return e;
}
