/* See seg_merge.h. Here: the metrics of a tenant. */
#include "base/core/assert.h"
#include "base/core/htab.h"
#include "storage/downsample.h"
#include "storage/seg_merge.h"
#include "storage/seg_metric.h"
#include "storage/seg_metric_write.h"

#include <stdlib.h>

enum { CACHE_BYTES = 4 << 20 }; /* of pages and chunks of an input: more is let go of when a page ends */

struct input {
    struct seg_metric *m;
    struct view_counts counts;
    struct arena mem, cache;
    struct seg_series *page;
    uint32_t n, at, next; /* series of the page at hand; page to be read next */
    uint64_t generation;
    struct keep_class keep;
    bool splits, base_gone; /* by retention */
};

struct merge {
    struct seg_merge *m;
    struct seg_metric_writer *w;
    struct input *in; /* oldest first */
    uint32_t n;
    struct arena one; /* of the series at hand */
    const struct tombstone **tombs; /* of the tenant's series */
    uint32_t ntombs;
    bool coarsens;   /* some rule has levels */
};

static struct str labels_here(const struct input *x) { return x->page[x->at].entry->canonical; }
static bool ended(const struct input *x) { return x->at == x->n; }

static err_t step(struct input *x, bool first)
{
    if (!first) x->at++;
    while (ended(x) && x->next < x->m->npages) {
        if (x->cache.bytes > CACHE_BYTES) seg_metric_forget(x->m);
        x->at = x->n = 0;
        TRY(seg_metric_page_series(x->m, x->next++, &x->page, &x->n));
    }
    return OK;
}

/* The input whose series comes first; NULL when all are at their end. */
static struct input *first_input(const struct merge *m)
{
    struct input *best = NULL;
    for (uint32_t i = 0; i < m->n; i++) {
        struct input *x = &m->in[i];
        if (ended(x)) continue;
        if (!best || seg_metric_order(labels_here(x), labels_here(best)) < 0) best = x;
    }
    return best;
}

/* -- deleted series ------------------------------------------------------------------------------------------ */

static err_t tombs_of(struct merge *m, struct str tenant, struct arena *a)
{
    const struct tomb_set *set = m->m->tombs;
    m->tombs = ARENA_RAW(a, const struct tombstone *, set ? set->n : 0);
    for (uint32_t i = 0; set && i < set->n; i++)
        if (set->t[i]->spec.signal == SIG_METRICS && str_eq(set->t[i]->spec.tenant, tenant)) m->tombs[m->ntombs++] = set->t[i];
    return arena_check(a);
}

/* What was deleted of an input's part of a series. */
static err_t drop_dead(struct merge *m, const struct input *x, struct str labels, struct sample_set *part)
{
    struct labels ls;
    if (m->ntombs == 0) return OK;
    TRY(labels_decode(labels, &m->one, &ls));
    for (uint32_t i = 0; i < m->ntombs; i++) {
        const struct tombstone *t = m->tombs[i];
        if (x->generation <= t->generation && tombstone_matches(t, &ls)) sample_set_cut(part, 0, t->spec.tmin_ms, t->spec.tmax_ms, false);
    }
    return OK;
}

/* -- what is too old ------------------------------------------------------------------------------------------- */

static int64_t ms_to_ns(int64_t ms)
{
    int64_t ns;
    return __builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns) ? (ms < 0 ? INT64_MIN : INT64_MAX) : ns;
}

static void judge(const struct seg_merge *m, const struct seg_group *g, struct input *x)
{
    keep_class_of(m->keep, g, &x->keep);
    x->splits = keep_class_splits(&x->keep, g->tmin_ns, m->keep_now_ns);
    x->base_gone = keep_rule_expired(x->keep.base, g->tmax_ns, m->keep_now_ns);
}

/* Of a series the part of an input: as readers judge it (metric_select.c). */
static err_t is_expired(struct merge *m, const struct input *x, struct str labels, bool *out)
{
    struct labels ls;
    *out = x->base_gone;
    if (!x->splits) return OK;
    TRY(labels_decode(labels, &m->one, &ls));
    const struct keep_rule *r = keep_class_rule(&x->keep, &ls);
    if (r != x->keep.base) *out = keep_rule_expired(r, ms_to_ns(x->page[x->at].entry->tmax), m->m->keep_now_ns);
    return OK;
}

/* -- series, metadata ------------------------------------------------------------------------------------------ */

/* By the rule that counts for the series. */
static err_t coarsen(struct merge *m, struct str labels, struct sample_set *all)
{
    const struct keep_class *c = &m->in[0].keep; /* of one tenant: all have the same */
    const struct keep_rule *r = c->base;
    struct labels ls;
    if (!m->coarsens) return OK;
    if (c->nmatch) {
        TRY(labels_decode(labels, &m->one, &ls));
        r = keep_class_rule(c, &ls);
    }
    uint32_t before = all->n;
    downsample(all, r, m->m->keep_now_ns, &m->one, all);
    m->m->downsampled += before - all->n;
    return arena_check(&m->one);
}

static err_t add_part(struct merge *m, const struct input *x, struct str labels, struct sample_set *all)
{
    struct sample_set part;
    TRY(seg_series_read(&x->page[x->at], INT64_MIN, INT64_MAX, &m->one, &part));
    TRY(drop_dead(m, x, labels, &part));
    sample_set_merge(all, &part, &m->one, all);
    return arena_check(&m->one);
}

static err_t merge_series(struct merge *m, const struct input *first)
{
    struct sample_set all = { 0 };
    arena_reset(&m->one);
    struct str labels = arena_str(&m->one, labels_here(first));
    for (uint32_t i = 0; i < m->n; i++) {
        struct input *x = &m->in[i];
        if (ended(x) || !str_eq(labels_here(x), labels)) continue;
        bool expired;
        TRY(is_expired(m, x, labels, &expired));
        if (!expired) TRY(add_part(m, x, labels, &all));
        TRY(step(x, false));
    }
    TRY(coarsen(m, labels, &all));
    m->m->samples += all.n;
    return all.n ? seg_metric_writer_series(m->w, labels, &all) : OK;
}

/* The latest of each family. */
static err_t merge_meta(struct merge *m, struct metric_meta **out, uint32_t *count)
{
    struct htab names;
    size_t cap = 0;
    err_t e = OK;
    htab_init(&names, m->m->budget);
    *out = NULL;
    *count = 0;
    arena_reset(&m->one);
    for (uint32_t i = m->n; i-- > 0 && e == OK;) {
        struct metric_meta *meta;
        uint32_t n;
        TRY_OUT(e, seg_metric_meta(m->in[i].m, &meta, &n));
        for (uint32_t k = 0; k < n; k++) {
            uint64_t hash = hash_seeded64(meta[k].family);
            bool known = false;
            for (uint32_t it = 0, v; !known && htab_next(&names, hash, &it, &v);)
                known = str_eq((*out)[v].family, meta[k].family);
            if (known) continue;
            *out = arena_grow(&m->one, *out, *count, &cap, *count + 1, sizeof **out);
            htab_insert(&names, hash, *count);
            (*out)[(*count)++] = meta[k];
        }
        e = arena_check(&m->one);
    }
out:
    htab_deinit(&names);
    return e;
}

static err_t merge_all(struct merge *m, struct str tenant)
{
    struct metric_meta *meta;
    uint32_t nmeta;
    for (uint32_t i = 0; i < m->n; i++)
        TRY(step(&m->in[i], true));
    for (const struct input *x; (x = first_input(m));) {
        TRY(merge_series(m, x));
        TRY(seg_merge_check(m->m));
    }
    TRY(merge_meta(m, &meta, &nmeta));
    return seg_metric_writer_finish(m->w, tenant, meta, nmeta);
}

err_t seg_merge_metrics(struct seg_merge *sm, struct seg_writer *w, const struct merge_group *g, uint32_t n)
{
    struct merge m = { .m = sm, .w = seg_metric_writer_new(w, sm->budget), .in = calloc(n, sizeof *m.in) };
    struct arena tombs;
    err_t e;
    ASSERT(m.in);
    arena_init(&m.one, sm->budget);
    arena_init(&tombs, sm->budget);
    e = tombs_of(&m, g->g->tenant, &tombs);
    for (; m.n < n && e == OK; m.n++) {
        struct input *x = &m.in[m.n];
        arena_init(&x->mem, sm->budget);
        arena_init(&x->cache, sm->budget);
        x->generation = seg_info(sm->in[g[m.n].input].seg)->generation;
        judge(sm, g[m.n].g, x);
        e = seg_metric_open(sm->in[g[m.n].input].seg, g[m.n].g, &x->mem, &x->counts, &x->m);
        if (e == OK) x->m->cache = &x->cache;
    }
    for (uint32_t i = 0; m.n && i < m.in[0].keep.nmatch; i++)
        m.coarsens |= m.in[0].keep.match[i].nlevels > 0;
    m.coarsens |= m.n && m.in[0].keep.base->nlevels > 0;
    if (e == OK) e = merge_all(&m, g->g->tenant);
    for (uint32_t i = 0; i < m.n; i++) {
        arena_deinit(&m.in[i].mem);
        arena_deinit(&m.in[i].cache);
    }
    arena_deinit(&m.one);
    arena_deinit(&tombs);
    seg_metric_writer_free(m.w);
    free(m.in);
    return e;
}
