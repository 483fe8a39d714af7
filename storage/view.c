/* Pinning what a core holds at one instant. The scans over it are in rows_scan.c and metric_select.c. */
#include "base/core/assert.h"
#include "storage/mem_metric_impl.h"
#include "storage/object_cache.h"
#include "storage/store_int.h"

#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static const struct stream_pick *copy_pick(const struct stream_pick *p, struct arena *a)
{
    if (!p) return NULL;
    struct stream_pick *to = ARENA_NEW(a, struct stream_pick);
    uint64_t *ids = ARENA_RAW(a, uint64_t, (size_t)p->n + 1);
    if (p->n) memcpy(ids, p->ids, p->n * sizeof *ids);
    if (p->n > 1) qsort(ids, p->n, sizeof *ids, by_id);
    *to = (struct stream_pick){ ids, p->n };
    return to;
}

/* What is there of the picked streams now; no yield. */
static void pin(struct view *v, struct shard *sh)
{
    v->mems = ARENA_ARRAY(&v->mem, struct mem *, sh->nmems);
    v->segs = ARENA_ARRAY(&v->mem, struct seg *, sh->nsegs);
    v->dead = ARENA_ARRAY(&v->mem, struct seg_dead *, sh->nsegs);
    for (uint32_t i = 0; i < sh->nmems; i++) {
        if (!view_picks(v, sh->mems[i]->stream)) continue;
        v->mems[v->nmems++] = sh->mems[i];
        sh->mems[i]->refs++;
    }
    for (uint32_t i = 0; i < sh->nsegs; i++) {
        if (!view_picks(v, seg_info(sh->segs[i])->stream)) continue;
        v->segs[v->nsegs] = seg_get(sh->segs[i]);
        v->dead[v->nsegs++] = seg_dead_get(seg_dead_of(sh->segs[i]));
    }
}

err_t view_open(struct store *s, struct str tenant, const struct stream_pick *pick, struct budget *budget, struct view **out)
{
    TRY(tenant_check(tenant));
    struct shard *sh = shard_here(s);
    struct view *v = calloc(1, sizeof *v);
    ASSERT(v != NULL);
    v->store = s;
    v->lost = &s->lost;
    v->budget = budget;
    v->core = sh->core;
    v->cores = s->cores;
    v->partitions = s->partitions;
    arena_init(&v->mem, budget);
    v->tenant = arena_str(&v->mem, tenant);
    v->pick = copy_pick(pick, &v->mem);
    pin(v, sh);
    v->tombs = tomb_set_get(sh->tombs);
    v->keep = keep_rules_get(sh->keep);
    v->keep_now_ns = atomic_load_explicit(&s->keep_now_ns, memory_order_relaxed);
    v->failures = sh->cache ? object_cache_failures(sh->cache) : 0;
    *out = v;
    return OK;
}

void view_of_table(struct table *t, struct str tenant, enum signal signal, struct str index, struct budget *budget, struct view **out)
{
    struct view *v = calloc(1, sizeof *v);
    struct mem *m = calloc(1, sizeof *m);
    ASSERT(v != NULL && m != NULL);
    *m = (struct mem){ .refs = 1, .rows = mem_rows_new(budget), .metrics = mem_metric_new(budget) };
    mem_rows_insert(m->rows, tenant, signal, index, t, NULL, t->nrows);
    *v = (struct view){ .budget = budget, .core = rt_core(), .cores = 1, .partitions = 1, .nmems = 1 };
    arena_init(&v->mem, budget);
    v->tenant = arena_str(&v->mem, tenant);
    v->mems = ARENA_NEW(&v->mem, struct mem *);
    v->mems[0] = m;
    *out = v;
}

void view_close(struct view *v)
{
    ASSERT(v->core == rt_core());
    for (uint32_t i = 0; i < v->nmems; i++)
        mem_put(v->mems[i]);
    for (uint32_t i = 0; i < v->nsegs; i++) {
        seg_dead_put(v->dead[i]);
        seg_put(v->segs[i]);
    }
    for (uint32_t i = 0; i < v->naway; i++)
        seg_put(v->away[i]);
    tomb_set_put(v->tombs);
    keep_rules_put(v->keep);
    arena_deinit(&v->mem);
    free(v);
}

void view_counts(const struct view *v, struct view_counts *out)
{
    *out = v->counts;
}

/* -- what cannot be read ------------------------------------------------------------------------------------------- */

/* What failed since `failures`, and all that the bucket alone has where `all`. */
static void leave_out(struct view *v, uint64_t failures, bool all)
{
    uint32_t kept = 0;
    v->away = ARENA_ARRAY(&v->mem, struct seg *, v->nsegs);
    for (uint32_t i = 0; i < v->nsegs; i++) {
        bool out = seg_info(v->segs[i])->remote && (all || seg_failed(v->segs[i]) > failures);
        if (out) {
            v->away[v->naway++] = v->segs[i];
            seg_dead_put(v->dead[i]);
            continue;
        }
        v->segs[kept] = v->segs[i];
        v->dead[kept++] = v->dead[i];
    }
    v->nsegs = kept;
}

static bool may_be_the_bucket(err_t e)
{
    return e == ERR_UNAVAILABLE || e == ERR_TIMEOUT || e == ERR_OVERLOAD || e == ERR_NOT_FOUND || e == ERR_FORBIDDEN || e == ERR_INVALID;
}

err_t view_run(struct store *s, struct str tenant, const struct stream_pick *pick, struct budget *budget, view_fn *fn, void *ctx)
{
    const struct object_cache *cache = shard_here(s)->cache;
    uint64_t first = cache ? object_cache_failures(cache) : 0;
    for (unsigned run = 0;; run++) {
        struct view *v;
        TRY(view_open(s, tenant, pick, budget, &v));
        uint64_t before = v->failures;
        if (run > 0) leave_out(v, first, run + 1 == VIEW_RUNS_MAX || object_cache_away(cache));
        err_t e = fn(v, ctx);
        struct err_record why = *err_record();
        bool again = cache && object_cache_failures(cache) != before && may_be_the_bucket(e) && run + 1 < VIEW_RUNS_MAX;
        view_close(v);
        *err_record() = why;
        if (!again) return e;
        if (rt_in_fiber()) TRY(rt_checkpoint()); /* cancelled, or past its deadline */
    }
}

static unsigned signals_in_memory(const struct mem *m, struct str tenant)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < mem_rows_streams(m->rows); i++) {
        const struct mem_stream *s = mem_rows_stream(m->rows, i);
        if (s->nparts > 0 && str_eq(s->tenant, tenant)) found |= 1u << s->signal;
    }
    const struct mem_tenant *t = mem_metric_tenant(m->metrics, tenant);
    if (t && t->nseries > 0) found |= 1u << SIG_METRICS;
    return found;
}

err_t view_signals(const struct view *v, unsigned want, unsigned *out)
{
    unsigned found = 0;
    for (uint32_t i = v->nmems; i-- > 0 && (found & want) != want;)
        found |= signals_in_memory(v->mems[i], v->tenant);
    for (uint32_t i = v->nsegs; i-- > 0 && (found & want) != want;) {
        for (uint32_t k = 0; k < seg_ngroups(v->segs[i]) && (found & want) != want; k++) {
            const struct seg_group *g = seg_group(v->segs[i], k);
            if (!(found >> g->signal & 1) && str_eq(g->tenant, v->tenant) && !view_group_gone(v, i, k)) found |= 1u << g->signal;
        }
        TRY(rt_checkpoint());
    }
    *out = found & want;
    return OK;
}
