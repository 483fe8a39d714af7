/* Opening and closing a store: see store.h for what it promises, store_int.h for who owns what. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/rt/file.h"
#include "storage/object_cache.h"
#include "storage/object_tier.h"

#include <stdio.h>
#include <stdlib.h>

void *store_grow(void *p, uint32_t *cap, uint32_t want, size_t elem)
{
    if (want <= *cap) return p;
    *cap = MAX(want, *cap ? *cap * 2 : 16);
    p = realloc(p, *cap * elem);
    ASSERT(p != NULL);
    return p;
}

void store_call_all(struct store *s, rt_call_fn *fn, void *const *args)
{
    /* Only the runtime can refuse (no fiber free on a core): it will have one. */
    (void)s;
    while (rt_call_all(RT_MAINTENANCE, fn, args, NULL) != OK) {
        err_t e = fiber_sleep(NS_PER_MS);
        ASSERT(e == OK || e == ERR_CANCELED);
    }
}

void **store_same_args(const struct store *s, void *arg)
{
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(args != NULL);
    for (unsigned c = 0; c < s->cores; c++)
        args[c] = arg;
    return args;
}

struct undisturbed {
    rt_call_fn *fn;
    void *arg;
    err_t result;
    struct err_record why;
};

static void undisturbed_fiber(void *arg)
{
    struct undisturbed *u = arg;
    u->result = u->fn(u->arg);
    u->why = *err_record();
}

err_t store_undisturbed(rt_call_fn *fn, void *arg)
{
    struct undisturbed u = { .fn = fn, .arg = arg };
    const struct fiber_opts fo = { .name = "commit", .class = RT_MAINTENANCE };
    struct scope scope;
    scope_init(&scope, NULL);
    err_t e = fiber_start(&scope, &fo, undisturbed_fiber, &u);
    if (e == OK) {
        e = scope_join(&scope);
        ASSERT(e == OK);
        e = u.result;
        *err_record() = u.why;
    }
    scope_deinit(&scope);
    return e;
}

void store_failed(struct store *s, const char *why)
{
    if (atomic_exchange(&s->failed, true)) return;
    log_error("store.failed", "dir=%s why=\"%s\" effect=\"ingest has stopped\"", s->o.dir, why);
    if (s->o.on_failed) s->o.on_failed(why);
}

/* -- shards ------------------------------------------------------------------------------------------------- */

/* One that cannot be opened is told of, and the rest goes on. */
static void open_segments(struct shard *sh)
{
    struct store *s = sh->store;
    for (uint32_t i = 0; i < s->ninfos; i++) {
        if (!shard_wants_seg(s, sh->core, &s->infos[i])) continue;
        struct seg *g;
        if (tier_open_seg(s, &s->infos[i], &g) == OK)
            shard_seg_add(sh, g);
        else
            lost_segment(s, &s->infos[i]);
    }
}

static err_t shard_open_here(void *arg)
{
    struct store *s = arg;
    struct shard *sh = calloc(1, sizeof *sh);
    ASSERT(sh != NULL);
    sh->store = s;
    sh->core = rt_core();
    gate_init(&sh->open);
    dedup_init(&sh->dedup, s->cores);
    held_init(&sh->held);
    htab_init(&sh->defined.index, NULL);
    htab_init(&sh->fit.index, NULL);
    s->shards[sh->core] = sh;
    return OK;
}

static err_t segments_here(void *arg)
{
    struct store *s = arg;
    struct shard *sh = shard_here(s);
    sh->tombs = tomb_set_get(s->tombs);
    sh->keep = keep_rules_get(s->keep);
    sh->dedup.forgotten = s->forgotten;
    held_attach(sh);
    TRY(tier_cache_open(s, &sh->cache));
    open_segments(sh);
    return dead_attach(sh);
}

static err_t shard_close_here(void *arg)
{
    struct store *s = arg;
    struct shard *sh = shard_here(s);
    if (!sh) return OK;
    gate_close(&sh->open);
    s->shards[sh->core] = NULL;
    if (sh->wal) wal_close(sh->wal);
    for (uint32_t i = 0; i < sh->nmems; i++) {
        ASSERT(sh->mems[i]->refs == 1);
        mem_put(sh->mems[i]);
    }
    for (uint32_t i = 0; i < sh->nsegs; i++)
        seg_put(sh->segs[i]);
    object_cache_close(sh->cache);
    dedup_deinit(&sh->dedup);
    held_deinit(&sh->held);
    htab_deinit(&sh->defined.index);
    free(sh->defined.ids);
    htab_deinit(&sh->fit.index);
    free(sh->fit.ids);
    free(sh->mems);
    free(sh->segs);
    free(sh->sealing);
    free(sh->coming);
    tomb_set_put(sh->tombs);
    keep_rules_put(sh->keep);
    free(sh);
    return OK;
}

/* No append comes in on any core, and none is on its way, before the first shard goes. */
static err_t shard_quiet_here(void *arg)
{
    struct shard *sh = shard_here(arg);
    if (!sh) return OK;
    held_wake(&sh->held);
    gate_close(&sh->open);
    return OK;
}

/* -- open ---------------------------------------------------------------------------------------------------- */

static err_t open_all(struct store *s, void *const *args)
{
    TRY(fs_mkdirs(s->wal_dir));
    TRY(fs_mkdirs(s->seg_dir));
    TRY(fs_sync_dir(s->o.dir));
    store_call_all(s, shard_open_here, args);
    TRY(tier_open(s));
    TRY(catalog_load(s));
    TRY(store_orphans(s));
    TRY(tier_sort_out(s));
    TRY(deletes_load(s));
    TRY(keep_load(s));
    TRY(rt_call_all(RT_INGEST, segments_here, args, NULL));
    dead_loaded(s);
    TRY(store_replay(s));
    s->generation_began = rt_now();
    TRY(store_maintenance_start(s));
    err_t e = scrub_start(s);
    if (e == OK) {
        e = tier_start(s);
        if (e != OK) scrub_stop(s);
    }
    if (e != OK) store_maintenance_stop(s);
    return e;
}

static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = malloc(n);
    ASSERT(p != NULL);
    snprintf(p, n, "%s/%s", dir, name);
    return p;
}

static void store_free(struct store *s)
{
    logs_free(s);
    cover_deinit(&s->sealed);
    free(s->infos);
    free(s->closed);
    free(s->dedups);
    catalog_batch_deinit(&s->undo);
    deletes_free(s);
    keep_rules_put(s->keep);
    tier_close(s);
    free(s->shards);
    free(s->streams);
    free(s->wal_dir);
    free(s->seg_dir);
    free(s->bad_dir);
    lost_deinit(&s->lost);
    object_away_deinit(&s->away);
    free(s->tail_dir);
    free((char *)s->o.dir);
    free(s);
}

static void close_shards(struct store *s)
{
    void **args = store_same_args(s, s);
    store_call_all(s, shard_quiet_here, args);
    store_call_all(s, shard_close_here, args);
    free(args);
}

err_t store_open(const struct store_opts *o, struct store **out)
{
    ASSERT(rt_core() == 0);
    if (o->partitions == 0 || o->partitions > UINT16_MAX || (o->partitions & (o->partitions - 1)) != 0)
        return err_set(ERR_INVALID, "partitions must be a power of two, not %u", o->partitions);
    struct store *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->o = *o;
    s->o.dir = strdup(o->dir);
    ASSERT(s->o.dir != NULL);
    s->cores = rt_cores();
    s->shards = calloc(s->cores, sizeof(struct shard *));
    ASSERT(s->shards != NULL);
    s->wal_dir = join(o->dir, "wal");
    s->seg_dir = join(o->dir, "seg");
    s->bad_dir = join(o->dir, "bad");
    s->tail_dir = join(o->dir, "object");
    uint64_t bytes = (uint64_t)MAX(o->mem_bytes, 0) / 8 / WAL_ALIGN * WAL_ALIGN;
    s->wal_file_bytes = MIN(MAX(bytes, (uint64_t)WAL_FILE_BYTES_MIN), (uint64_t)WAL_FILE_BYTES_MAX);
    rt_sem_init(&s->changing, 1);
    lost_init(&s->lost);
    cover_init(&s->sealed);
    object_away_init(&s->away);
    budget_init(&s->mem, "memtables", NULL, o->mem_bytes, ERR_OVERLOAD);
    void **args = store_same_args(s, s);
    err_t e = open_all(s, args);
    free(args);
    if (e != OK) {
        struct err_record why = *err_record();
        close_shards(s);
        store_free(s);
        *err_record() = why;
        return e;
    }
    *out = s;
    return OK;
}

void store_close(struct store *s)
{
    void **args = store_same_args(s, s);
    store_call_all(s, shard_quiet_here, args);
    free(args);
    scrub_stop(s);
    store_maintenance_stop(s);
    tier_stop(s);
    close_shards(s);
    store_free(s);
}

/* -- the rest ---------------------------------------------------------------------------------------------------- */

void store_stats(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){
        .generation = atomic_load(&s->generation),
        .sealed_gen = atomic_load(&s->sealed_gen),
        .mem_bytes = atomic_load(&s->mem.used),
        .segment_bytes = (int64_t)atomic_load(&s->segment_bytes),
        .segments = atomic_load(&s->segments),
        .failed = atomic_load(&s->failed),
        .refusing = atomic_load(&s->disk.level) >= DISK_FULL,
        .read_only = atomic_load(&s->disk.level) >= DISK_STOP,
        .disk_used = atomic_load(&s->disk.used),
        .lost = atomic_load(&s->lost.all),
        .away = atomic_load(&s->away.shut),
        .segment_bytes_max = (int64_t)atomic_load(&s->segment_bytes_max),
        .wal_rotten = atomic_load(&s->wal_rotten),
    };
    for (unsigned i = 0; i < s->cores; i++)
        if (s->shards[i]->wal) wal_pace(s->shards[i]->wal, rt_now(), &out->commits, &out->commits_slow, &out->commits_hang);
}

struct str store_lost_text(struct store *s, struct arena *a)
{
    struct str text = STR_NONE;
    pthread_mutex_lock(&s->lost.lock);
    const struct lost_part *first = s->lost.parts;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->lost.n; i++)
        if (lost_takes_rows(&s->lost.parts[i]) && n++ == 0) first = &s->lost.parts[i];
    if (n > 0)
        text = arena_printf(a, "stored data cannot be read and is missing from answers: %u segment%s or parts of them, the first "
                            "%s: %s", n, n == 1 ? "" : "s", first->info.name, first->why);
    else if (s->lost.n > 0)
        text = arena_printf(a, "stored files are damaged, and their rows will be missing from answers when this node is started again: %u, the first "
                            "%s: %s", s->lost.n, first->info.name, first->why);
    pthread_mutex_unlock(&s->lost.lock);
    return text;
}

struct str store_away_text(struct store *s, struct arena *a)
{
    if (!atomic_load(&s->away.shut)) return STR("stored data that is in the bucket alone could not be read and is missing from this answer");
    pthread_mutex_lock(&s->away.lock);
    struct str text = arena_printf(a, "stored data that is in the bucket alone is missing from answers, since the bucket does not answer: %s", s->away.why);
    pthread_mutex_unlock(&s->away.lock);
    return text;
}

err_t store_writable(struct store *s)
{
    if (atomic_load(&s->disk.level) < DISK_STOP) return OK;
    return err_set(ERR_NOSPC, "the disk of %s is %.1f%% full, from %.0f%% on nothing is written but deletions: free space on it",
                s->o.dir, 100 * atomic_load(&s->disk.used), 100 * s->o.read_only_share);
}

struct kv *store_kv(struct store *s)
{
    return s->o.kv;
}
