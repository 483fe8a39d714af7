/* What the store does about what it lost: tells of it, looks for it again, forgets it. See lost.h. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "storage/object_tier.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WAIT_MS = 1000, WAIT_MS_MAX = 60000, TRIES_A_TICK = 256, LOOKS_A_TICK = 16 };

void lost_segment(struct store *s, const struct seg_info *i)
{
    struct err_record why = *err_record();
    if (!lost_add(&s->lost, &(struct lost_part){ .info = *i, .group = LOST_WHOLE, .why = why.detail })) return;
    log_error("segment.lost", "path=%s/%s error=\"%s\" effect=\"its rows are missing from answers, which say so\" "
              "todo=\"put the file back from a copy: it is looked for every minute, in the bucket, if it is there, and other "
              "nodes that have the rows are asked; or let retention forget it\"",
              s->seg_dir, i->name, why.detail);
}

void lost_group(struct store *s, const struct seg_info *i, uint32_t group, const struct seg_group *g)
{
    struct err_record why = *err_record();
    const struct lost_part p = { .info = *i, .group = group, .signal = g->signal, .tenant = g->tenant, .why = why.detail };
    if (!lost_add(&s->lost, &p)) return;
    log_error("segment.rotten", "path=%s/%s group=%u rows=%u tenant=" STR_FMT " error=\"%s\" effect=\"the group is left out of "
              "answers, which say so\" todo=\"check the disk; other nodes that have the rows are asked; or put the file back from a copy and restart\"",
              s->seg_dir, i->name, group, g->nrows, STR_ARG(g->tenant), why.detail);
}

void lost_file(struct store *s, const struct seg_info *i)
{
    struct err_record why = *err_record();
    if (!lost_add(&s->lost, &(struct lost_part){ .info = *i, .group = LOST_FILE, .why = why.detail })) return;
    log_error("segment.gone", "path=%s/%s error=\"%s\" effect=\"it is read on until this node stops, and is lost then\" "
              "todo=\"put the file back from a copy; other nodes that have the rows are asked\"", s->seg_dir, i->name, why.detail);
}

void lost_index(struct store *s, const struct seg_info *i)
{
    struct err_record why = *err_record();
    if (!lost_add(&s->lost, &(struct lost_part){ .info = *i, .group = LOST_INDEX, .why = why.detail })) return;
    log_error("segment.index", "path=%s/%s error=\"%s\" effect=\"look-ups that need a page of its index fail\" "
              "todo=\"check the disk; other nodes that have the rows are asked; or put the file back from a copy and restart\"",
              s->seg_dir, i->name, why.detail);
}

/* -- opening again ------------------------------------------------------------------------------------------- */

struct again {
    struct store *s;
    const struct seg_info *infos;
    uint32_t n;
    bool *failed; /* [n], of this core */
};

static bool has_segment(const struct shard *sh, const struct seg_info *i)
{
    for (uint32_t k = 0; k < sh->nsegs; k++)
        if (seg_same(seg_info(sh->segs[k]), i)) return true;
    return false;
}

static err_t again_here(void *arg)
{
    struct again *c = arg;
    struct shard *sh = shard_here(c->s);
    for (uint32_t i = 0; i < c->n; i++) {
        struct seg *g;
        if (!shard_wants_seg(c->s, sh->core, &c->infos[i]) || has_segment(sh, &c->infos[i])) continue;
        c->failed[i] = true;
        if (tier_open_seg(c->s, &c->infos[i], &g) != OK) continue;
        c->failed[i] = dead_attach_one(c->s, g) != OK; /* what is deleted stays so */
        if (c->failed[i]) seg_put(g);
        else shard_seg_add(sh, g);
    }
    return OK;
}

static bool in_catalog(const struct store *s, const struct seg_info *i)
{
    for (uint32_t k = 0; k < s->ninfos; k++)
        if (seg_same(&s->infos[k], i)) return true;
    return false;
}

/* What the catalog names no more is gone for good: retention has had it. */
static void forget_deleted(struct store *s, const struct seg_info *infos, uint32_t n)
{
    struct arena a;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < n; i++) {
        if (in_catalog(s, &infos[i]) || !lost_any(&s->lost, &infos[i])) continue;
        lost_forget(&s->lost, &infos[i]);
        log_info("segment.forgotten", "file=%s reason=\"the catalog does not name it any more\"", infos[i].name);
        if (fs_unlink(arena_printf(&a, "%s/%s", s->seg_dir, infos[i].name).p) != OK)
            log_warn("segment.unlink", "file=%s error=\"%s\"", infos[i].name, err_detail());
    }
    arena_deinit(&a);
}

void lost_replaced(struct store *s, const struct seg_info *infos, uint32_t n)
{
    if (atomic_load(&s->lost.all) > 0) forget_deleted(s, infos, n);
}

/* What the bucket has too is read from there. */
static void from_bucket(struct store *s, struct seg_info *infos, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        infos[i].remote = infos[i].remote || tier_has(s, &infos[i]);
}

static void open_again(struct store *s, struct seg_info *infos, uint32_t n)
{
    from_bucket(s, infos, n);
    struct again *calls = calloc(s->cores, sizeof *calls);
    void **args = calloc(s->cores, sizeof *args);
    bool *failed = calloc((size_t)s->cores * n, sizeof *failed);
    ASSERT(calls != NULL && args != NULL && failed != NULL);
    for (unsigned c = 0; c < s->cores; c++) {
        calls[c] = (struct again){ s, infos, n, failed + (size_t)c * n };
        args[c] = &calls[c];
    }
    store_call_all(s, again_here, args);
    for (uint32_t i = 0; i < n; i++) {
        bool whole = true;
        for (unsigned c = 0; c < s->cores; c++)
            whole = whole && !calls[c].failed[i];
        if (!whole) continue;
        lost_forget(&s->lost, &infos[i]);
        catalog_add_info(s, &infos[i]);
        log_info("segment.found", "file=%s effect=\"its rows are read again\"", infos[i].name);
    }
    free(failed);
    free(args);
    free(calls);
}

/* Copies up to TRIES_A_TICK of what is wholly lost, and still in the catalog, from where the last call ended. */
static uint32_t next_whole(struct store *s, struct seg_info *to)
{
    struct lost *l = &s->lost;
    uint32_t n = 0;
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < l->n && n < TRIES_A_TICK; i++) {
        const struct lost_part *p = &l->parts[l->next++ % l->n];
        if (p->group == LOST_WHOLE && in_catalog(s, &p->info)) to[n++] = p->info;
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* -- files that are open and gone -------------------------------------------------------------------------------- */

/* Can it be opened? What was deleted while it was looked at is no matter. */
static bool opens(struct store *s, const struct seg_info *i)
{
    struct seg *g;
    if (seg_open(s->seg_dir, i, &g) != OK) return !store_has_seg(s, i);
    seg_put(g);
    return true;
}

/* Cheaper, for every file: is there one of that length? */
static bool is_there(struct store *s, const struct seg_info *i)
{
    struct file f = { .fd = -1 };
    struct arena a;
    uint64_t size = i->bytes;
    arena_init(&a, NULL);
    err_t e = file_open(&f, arena_printf(&a, "%s/%s", s->seg_dir, i->name).p, FILE_READ);
    if (e == OK && file_size(&f, &size) == OK && size != i->bytes)
        e = err_set(ERR_NOT_FOUND, "%s has %" PRIu64 " bytes, it had %" PRIu64, i->name, size, i->bytes);
    struct err_record why = *err_record();
    file_close(&f);
    arena_deinit(&a);
    *err_record() = why;
    return e != ERR_NOT_FOUND || !store_has_seg(s, i);
}

/* The files in their order, some with every tick; of those that are known to be gone, all. */
static void look_at_files(struct store *s)
{
    struct lost *l = &s->lost;
    struct arena a;
    struct seg_info *gone;
    uint32_t n;
    for (uint32_t k = 0; k < MIN(s->ninfos, (uint32_t)LOOKS_A_TICK) && s->ninfos > 0; k++) {
        const struct seg_info i = s->infos[l->looked++ % s->ninfos];
        if (!i.remote && !lost_any(l, &i) && !is_there(s, &i) && !tier_has(s, &i)) lost_file(s, &i);
    }
    if (atomic_load(&l->all) == 0) return;
    arena_init(&a, NULL);
    lost_of_kind(l, LOST_FILE, &a, &gone, &n);
    for (uint32_t k = 0; k < n; k++)
        if (opens(s, &gone[k])) lost_found(l, &gone[k], LOST_FILE);
    arena_deinit(&a);
}

static struct seg_info *copy_all(struct lost *l, uint32_t *n)
{
    pthread_mutex_lock(&l->lock);
    struct seg_info *v = calloc(l->n + 1, sizeof *v);
    ASSERT(v != NULL);
    for (*n = 0; *n < l->n; (*n)++)
        v[*n] = l->parts[*n].info;
    pthread_mutex_unlock(&l->lock);
    return v;
}

void lost_tick(struct store *s)
{
    struct lost *l = &s->lost;
    uint32_t n;
    look_at_files(s);
    if (atomic_load(&l->all) == 0) l->wait_ms = 0;
    if (atomic_load(&l->all) == 0 || rt_now().ns < l->again_at.ns) return;
    if (!sem_try(&s->changing, 1)) return; /* a second later */
    struct seg_info *infos = copy_all(l, &n);
    forget_deleted(s, infos, n);
    n = next_whole(s, infos);
    err_t e = n > 0 ? dead_load(s) : OK;
    if (n > 0 && e == OK) open_again(s, infos, n);
    if (e != OK) log_warn("segment.again", "error=\"%s\"", err_detail());
    if (n > 0) dead_loaded(s);
    free(infos);
    sem_give(&s->changing, 1);
    l->wait_ms = MIN(MAX(l->wait_ms * 2, (int64_t)WAIT_MS), (int64_t)WAIT_MS_MAX);
    l->again_at = mono_add(rt_now(), l->wait_ms * NS_PER_MS);
}
