/* The fiber that keeps the bucket in step with the store, and eviction: see object_tier.h. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "storage/object_tier_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 500, PAUSE_FIRST_MS = 1000, PAUSE_MAX_MS = 60000, UNLISTED_MAX = 16, UNLISTED_S = 5, EVICT_MAX = 64 };

/* -- uploading ------------------------------------------------------------------------------------------------------- */

struct job {
    struct tier *t;
    struct seg_info info;
    err_t result;
    struct err_record why;
};

static err_t read_file(void *ctx, void *to, size_t n, uint64_t off)
{
    return file_read(ctx, to, n, off, NULL);
}

static err_t check_size(struct tier *t, struct str name, uint64_t bytes)
{
    struct object_info there;
    TRY(object_head(&t->retry, name, &there));
    if (there.size == bytes) return OK;
    return err_set(ERR_CORRUPT, STR_FMT " has %" PRIu64 " bytes in the bucket, %" PRIu64 " were uploaded", STR_ARG(name), there.size, bytes);
}

static err_t upload(struct tier *t, const struct seg_info *i)
{
    char path[1200], name[64];
    struct file f;
    snprintf(path, sizeof path, "%.1100s/%s", t->s->seg_dir, i->name);
    snprintf(name, sizeof name, SEG_OBJECT_PREFIX "%s", i->name);
    if (i->remote) return check_size(t, str_of(name), i->bytes); /* the catalog object was lost: is it still there? */
    TRY(file_open(&f, path, FILE_READ));
    const struct object_source from = { read_file, &f, i->bytes };
    err_t e = object_upload(&t->retry, str_of(name), &from);
    file_close(&f);
    TRY(e);
    TRY(check_size(t, str_of(name), i->bytes));
    metric_add(M_OBJECT_UPLOADS, 1);
    metric_add(M_OBJECT_UPLOADED_BYTES, (int64_t)i->bytes);
    return OK;
}

static void run_upload(void *arg)
{
    struct job *j = arg;
    j->result = upload(j->t, &j->info);
    if (j->result != OK) j->why = *err_record();
}

static int by_age(const void *x, const void *y)
{
    const struct seg_info *a = x, *b = y;
    return (a->generation > b->generation) - (a->generation < b->generation);
}

/* Wanted and due, neither listed nor on the way to be: malloc'd, oldest first. */
static uint32_t backlog(struct tier *t, struct seg_info **out)
{
    const struct store *s = t->s;
    struct seg_info *v = malloc(((size_t)s->ninfos + 1) * sizeof *v);
    ASSERT(v != NULL);
    uint32_t n = 0, all = 0;
    int64_t bytes = 0, age_s = 0;
    for (uint32_t i = 0; i < s->ninfos; i++) {
        const char *name = s->infos[i].name;
        if (!segnames_have(&t->wanted, name) || tier_listed(t, name)) continue;
        age_s = MAX(age_s, tier_age_s(t, &s->infos[i]));
        if (segnames_have(&t->present, name)) continue;
        all++;
        bytes += (int64_t)s->infos[i].bytes;
        if (tier_due(t, &s->infos[i])) v[n++] = s->infos[i];
    }
    if (n > 1) qsort(v, n, sizeof *v, by_age);
    metric_set(M_OBJECT_BACKLOG, all);
    metric_set(M_OBJECT_BACKLOG_BYTES, bytes);
    metric_set(M_OBJECT_BACKLOG_AGE, age_s);
    *out = v;
    return n;
}

/* One that was swapped out meanwhile has nothing to be told of. */
static err_t finish(struct tier *t, struct job *j)
{
    if (j->result == OK) {
        segnames_add(&t->present, j->info.name);
        return OK;
    }
    if (!store_has_seg(t->s, &j->info)) return OK;
    metric_add(M_OBJECT_UPLOADS_FAILED, 1);
    return err_set(j->result, "%s: %s", j->info.name, j->why.detail);
}

static err_t upload_some(struct tier *t, const struct seg_info *v, uint32_t n)
{
    struct job *jobs = calloc(UPLOADS, sizeof *jobs);
    struct scope s;
    const struct fiber_opts o = { .name = "object.upload", .class = RT_MAINTENANCE };
    ASSERT(jobs != NULL);
    scope_init(&s, &t->scope);
    n = MIN(n, (uint32_t)UPLOADS);
    for (uint32_t i = 0; i < n; i++) {
        jobs[i] = (struct job){ .t = t, .info = v[i] };
        if (i + 1 == n || fiber_start(&s, &o, run_upload, &jobs[i]) != OK) run_upload(&jobs[i]);
    }
    err_t e = scope_join(&s), first = OK;
    ASSERT(e == OK);
    scope_deinit(&s);
    for (uint32_t i = 0; i < n; i++) {
        e = finish(t, &jobs[i]);
        if (e != OK) first = e;
    }
    free(jobs);
    return first;
}

/* -- the fiber --------------------------------------------------------------------------------------------------------- */

static bool write_due(const struct tier *t, uint32_t waiting)
{
    if (t->look_at.ns <= rt_now().ns) return true;
    return t->present.n > 0 && (waiting == 0 || t->present.n >= UNLISTED_MAX || mono_add(t->written_at, UNLISTED_S * NS_PER_S).ns <= rt_now().ns);
}

/* Who cannot read the catalog object tells how much waits, as far as it knows what is in the bucket. */
static err_t attach(struct tier *t)
{
    struct seg_info *v;
    err_t e = tier_attach(t);
    bool known = t->exists || (t->owner.last.lo == 0 && t->owner.last.hi == 0);
    if (e == OK || !known) return e;
    struct err_record why = *err_record();
    if (tier_wanted(t) == OK) {
        backlog(t, &v);
        free(v);
    }
    *err_record() = why;
    return e;
}

static err_t step(struct tier *t, bool *more)
{
    struct seg_info *v;
    if (t->state == TIER_AWAY) TRY(attach(t));
    if (t->state != TIER_OWNER) return OK;
    bool changed = t->wanted_version != t->s->infos_version;
    TRY(tier_wanted(t));
    uint32_t n = backlog(t, &v);
    err_t e = n > 0 ? upload_some(t, v, n) : OK;
    free(v);
    TRY(e);
    *more = n > UPLOADS;
    if (changed && n == 0) t->look_at = rt_now();
    if (write_due(t, n > UPLOADS ? n - UPLOADS : 0)) {
        uint32_t listed = t->ninfos;
        TRY(tier_write(t));
        if (t->ninfos != listed) t->s->retention_wanted = true;
        t->written_at = rt_now();
        t->look_at = mono_add(rt_now(), TIER_LOOK_S * NS_PER_S);
    }
    if (t->state == TIER_OWNER && t->exists && t->collect_at.ns <= rt_now().ns) {
        t->collect_at = mono_add(rt_now(), MAX(t->s->o.object_grace_ms / 4, (int64_t)TICK_MS) * NS_PER_MS);
        TRY(tier_collect(t));
    }
    return OK;
}

static void failed(struct tier *t, err_t e)
{
    t->pause_ms = t->pause_ms ? MIN(t->pause_ms * 2, PAUSE_MAX_MS) : PAUSE_FIRST_MS;
    t->retry_at = mono_add(rt_now(), t->pause_ms * NS_PER_MS);
    if (t->closing) return;
    log_warn("object.tier", "error=%s detail=\"%s\" retry_ms=%lld", err_name(e), err_detail(), (long long)t->pause_ms);
}

static void tier_fiber(void *arg)
{
    struct tier *t = arg;
    while (!t->closing && t->state != TIER_FENCED) {
        bool more = false;
        if (rt_now().ns >= t->retry_at.ns) {
            err_t e = step(t, &more);
            if (e != OK) failed(t, e);
            else t->pause_ms = 0;
        }
        if (more) continue;
        err_t e = event_wait_until(&t->wake, mono_add(rt_now(), (int64_t)TICK_MS * NS_PER_MS));
        if (e == ERR_CANCELED) break;
    }
}

err_t tier_start(struct store *s)
{
    struct tier *t = s->tier;
    if (!t) return OK;
    event_init(&t->wake);
    scope_init(&t->scope, NULL);
    t->started = true;
    t->collect_at = mono_add(rt_now(), s->o.object_grace_ms * NS_PER_MS);
    const struct fiber_opts o = { .name = "object.tier", .class = RT_MAINTENANCE };
    return fiber_start(&t->scope, &o, tier_fiber, t);
}

void tier_stop(struct store *s)
{
    struct tier *t = s->tier;
    if (!t || !t->started) return;
    t->closing = true;
    scope_cancel(&t->scope);
    err_t e = scope_join(&t->scope);
    ASSERT(e == OK || e == ERR_CANCELED);
    scope_deinit(&t->scope);
    t->started = false;
}

/* -- opening ------------------------------------------------------------------------------------------------------------- */

err_t tier_open(struct store *s)
{
    if (!s->o.object) return OK;
    struct tier *t = calloc(1, sizeof *t);
    ASSERT(t != NULL);
    s->tier = t;
    t->s = s;
    t->retry = object_retry(s->o.object, OBJECT_WRITE_TRIES);
    arena_init(&t->listed_mem, NULL);
    t->wanted_version = UINT64_MAX;
    TRY(class_rules_parse(t, s->o.durable, s->o.durable_tenants));
    TRY(fs_mkdirs(s->tail_dir));
    return tier_recover(t);
}

void tier_close(struct store *s)
{
    struct tier *t = s->tier;
    if (!t) return;
    tier_collect_free(t);
    segnames_free(&t->wanted);
    segnames_free(&t->present);
    arena_deinit(&t->listed_mem);
    free(t->infos);
    free(t->rules_text);
    free(t);
    s->tier = NULL;
}

static err_t names_in(const char *dir, struct arena *a, struct segnames *out)
{
    struct str *v;
    size_t n;
    TRY(fs_list(dir, a, &v, &n));
    for (size_t i = 0; i < n; i++) {
        char name[40] = { 0 };
        if (v[i].n >= sizeof name) continue;
        memcpy(name, v[i].p, v[i].n);
        segnames_add(out, name);
    }
    return OK;
}

static void drop_tails(struct store *s, struct arena *a, const struct segnames *tails)
{
    struct segnames remote = { 0 };
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (s->infos[i].remote) segnames_add(&remote, s->infos[i].name);
    for (uint32_t i = 0; i < tails->n; i++) {
        if (segnames_have(&remote, tails->v[i].text)) continue;
        err_t ignored = fs_unlink(arena_printf(a, "%s/%s", s->tail_dir, tails->v[i].text).p);
        (void)ignored;
    }
    segnames_free(&remote);
}

static bool any_remote(const struct store *s)
{
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (s->infos[i].remote) return true;
    return false;
}

/* Without a bucket an evicted segment cannot be read: better no start than answers without it. */
static err_t need_bucket(const struct store *s)
{
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (s->infos[i].remote && !s->tier)
            return err_set(ERR_INVALID, "segment %s is in the bucket alone, and object.bucket is not set", s->infos[i].name);
    return OK;
}

err_t tier_sort_out(struct store *s)
{
    struct arena a;
    struct segnames files = { 0 }, tails = { 0 };
    if (!s->tier && !any_remote(s)) return OK;
    arena_init(&a, NULL);
    err_t e;
    TRY_OUT(e, names_in(s->seg_dir, &a, &files));
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (s->infos[i].remote && segnames_have(&files, s->infos[i].name)) s->infos[i].remote = false;
    if (s->tier) TRY_OUT(e, names_in(s->tail_dir, &a, &tails));
    drop_tails(s, &a, &tails);
    e = need_bucket(s);
out:
    segnames_free(&files);
    segnames_free(&tails);
    arena_deinit(&a);
    return e;
}

err_t tier_cache_open(struct store *s, struct object_cache **out)
{
    char path[1200];
    *out = NULL;
    if (!s->tier) return OK;
    snprintf(path, sizeof path, "%.1100s/cache-%u", s->tail_dir, rt_core());
    return object_cache_open(path, s->o.object, &s->away, s->o.object_cache_bytes / s->cores, out);
}

err_t tier_open_seg(struct store *s, const struct seg_info *info, struct seg **out)
{
    if (!info->remote) return seg_open(s->seg_dir, info, out);
    struct object_cache *cache = shard_here(s)->cache;
    ASSERT(cache != NULL);
    return seg_remote_open(cache, s->tail_dir, info, out);
}

/* -- eviction ------------------------------------------------------------------------------------------------------------- */

bool tier_has(const struct store *s, const struct seg_info *info)
{
    const struct tier *t = s->tier;
    return t && t->state == TIER_OWNER && tier_listed(t, info->name);
}

bool tier_keeps(const struct store *s, const struct seg_info *info)
{
    const struct tier *t = s->tier;
    /* What is not known yet to be uploaded or not is kept. */
    return t && (info->remote || t->wanted_version != s->infos_version || segnames_have(&t->wanted, info->name));
}

struct evict_call {
    struct store *s;
    struct seg_info info; /* remote */
};

static struct seg **place_of(struct shard *sh, const struct seg_info *i)
{
    for (uint32_t k = 0; k < sh->nsegs; k++)
        if (seg_info(sh->segs[k])->generation == i->generation && memcmp(seg_info(sh->segs[k])->name, i->name, sizeof i->name) == 0)
            return &sh->segs[k];
    return NULL;
}

static err_t evict_open_here(void *arg)
{
    const struct evict_call *c = arg;
    struct shard *sh = shard_here(c->s);
    if (!place_of(sh, &c->info)) return OK;
    struct seg *g;
    TRY(seg_remote_open(sh->cache, c->s->tail_dir, &c->info, &g));
    shard_coming_add(sh, g);
    return OK;
}

static err_t evict_abandon_here(void *arg)
{
    const struct evict_call *c = arg;
    shard_coming_drop(shard_here(c->s));
    return OK;
}

/* The list changes before the first yield, which seg_put may be. What was deleted stays deleted. */
static err_t evict_publish_here(void *arg)
{
    const struct evict_call *c = arg;
    struct shard *sh = shard_here(c->s);
    struct seg **at = place_of(sh, &c->info);
    if (sh->ncoming == 0) return OK;
    ASSERT(at != NULL && sh->ncoming == 1);
    struct seg *old = *at, *fresh = sh->coming[--sh->ncoming];
    struct seg_dead *dead = seg_dead_of(old);
    seg_dead_set(fresh, dead ? seg_dead_get(dead) : NULL);
    *at = fresh;
    seg_doom(old);
    seg_get(fresh); /* the list may change meanwhile */
    seg_put_index(fresh, old);
    seg_put(fresh);
    seg_put(old);
    return OK;
}

static err_t evict_commit(struct store *s, const struct seg_info *i)
{
    struct catalog_batch b;
    catalog_batch_init(&b);
    catalog_put_seg(&b, i);
    err_t e = catalog_commit(s, &b);
    catalog_batch_deinit(&b);
    return e;
}

/* With changing held. An error leaves all as it was; the catalog may say more than is true, which a start puts right. */
static err_t evict_one(struct store *s, const struct seg_info *i)
{
    struct evict_call c = { s, *i };
    c.info.remote = true;
    void **args = store_same_args(s, &c);
    err_t e = rt_call_all(RT_MAINTENANCE, evict_open_here, args, NULL);
    if (e == OK) e = evict_commit(s, &c.info);
    if (e == OK) {
        catalog_add_info(s, &c.info);
        store_call_all(s, evict_publish_here, args);
        metric_add(M_OBJECT_EVICTED_BYTES, (int64_t)i->bytes);
    } else {
        struct err_record why = *err_record();
        store_call_all(s, evict_abandon_here, args);
        *err_record() = why;
    }
    free(args);
    return e;
}

static int by_tmax(const void *x, const void *y)
{
    const struct seg_info *a = x, *b = y;
    return (a->tmax_ns > b->tmax_ns) - (a->tmax_ns < b->tmax_ns);
}

/* Local files of listed segments, oldest rows first, malloc'd. */
static uint32_t evictable(const struct tier *t, struct seg_info **out)
{
    const struct store *s = t->s;
    struct seg_info *v = malloc(((size_t)s->ninfos + 1) * sizeof *v);
    ASSERT(v != NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; t->state == TIER_OWNER && i < s->ninfos; i++)
        if (!s->infos[i].remote && tier_listed(t, s->infos[i].name)) v[n++] = s->infos[i];
    if (n > 1) qsort(v, n, sizeof *v, by_tmax);
    *out = v;
    return n;
}

static err_t save_tail(struct store *s, const struct seg_info *i)
{
    char path[1200];
    struct seg *g;
    snprintf(path, sizeof path, "%.1100s/%s", s->seg_dir, i->name);
    TRY(seg_open(s->seg_dir, i, &g)); /* whole as far as its tail goes */
    err_t e = seg_tail_save(s->tail_dir, i, seg_tail(g), path);
    seg_put(g);
    return e;
}

static err_t evict(struct tier *t, const struct seg_info *i, uint64_t *freed)
{
    struct store *s = t->s;
    TRY(save_tail(s, i)); /* before: with changing held nobody waits for the bucket */
    TRY(sem_take(&s->changing, 1));
    bool good = t->state == TIER_OWNER && store_has_seg(s, i) && tier_listed(t, i->name);
    err_t e = good ? evict_one(s, i) : OK;
    sem_give(&s->changing, 1);
    if (e == OK && good) *freed += i->bytes;
    return e;
}

err_t tier_evict(struct store *s, uint64_t bytes, uint64_t *freed)
{
    struct tier *t = s->tier;
    struct seg_info *v;
    *freed = 0;
    if (!t || bytes == 0) return OK;
    uint32_t n = evictable(t, &v), i = 0;
    err_t e = OK;
    for (; e == OK && i < MIN(n, (uint32_t)EVICT_MAX) && *freed < bytes; i++)
        e = evict(t, &v[i], freed);
    free(v);
    if (*freed > 0) log_info("object.evicted", "segments=%u bytes=%" PRIu64, i, *freed);
    return e;
}
