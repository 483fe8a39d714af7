/* The metrics half of view.h: a selection is the union, by series id, of what each segment and each memtable of
 * the view has; samples are read from these sources oldest first, a later one winning at equal times. */
#include "base/core/assert.h"
#include "storage/lost.h"
#include "storage/mem_metric_impl.h"
#include "storage/partition.h"
#include "storage/seg_metric.h"
#include "storage/seg_times.h"
#include "storage/shard.h"

#include <stdlib.h>

struct metric_view {
    struct seg_metric **seg; /* one a segment of the view; NULL where it has nothing of the tenant */
    struct seg_keep *keep;   /* of each: what of it is too old by retention */
    struct seg_times times;  /* that series share */
};
struct seg_keep {
    const struct seg_group *group;
    struct keep_class class;
    bool splits, base_gone;
};

/* One place that holds a part of a series. */
struct source {
    const struct mem_series *mem; /* or */
    const struct seg_series *seg;
    const struct dead_span *dead; /* of seg: what of it is deleted */
    int64_t resolution_ms;        /* of seg: of its coarsest summaries in the range */
    struct source *next; /* newer */
};
struct dead_span { /* times, inclusive */
    int64_t tmin, tmax;
    const struct dead_span *next;
};
/* What does not fit is as far away as any. */
static int64_t ms_to_ns(int64_t ms)
{
    int64_t ns;
    return __builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns) ? (ms < 0 ? INT64_MIN : INT64_MAX) : ns;
}

struct found {
    struct mseries *s;
    size_t cap;
    uint32_t n;
    struct htab ids;
};

static err_t open_segments(struct view *v)
{
    if (v->metrics) return OK;
    struct metric_view *mv = ARENA_NEW(&v->mem, struct metric_view);
    mv->seg = ARENA_ARRAY(&v->mem, struct seg_metric *, v->nsegs);
    mv->times.a = &v->mem;
    mv->keep = ARENA_ARRAY(&v->mem, struct seg_keep, v->nsegs);
    TRY(arena_check(&v->mem));
    for (uint32_t i = 0; i < v->nsegs; i++) {
        for (uint32_t k = 0; k < seg_ngroups(v->segs[i]) && !mv->seg[i]; k++) {
            const struct seg_group *g = seg_group(v->segs[i], k);
            if (g->signal != SIG_METRICS || !str_eq(g->tenant, v->tenant) || view_group_gone(v, i, k) || lost_is(v->lost, seg_info(v->segs[i]), k)) continue;
            TRY(seg_metric_open(v->segs[i], g, &v->mem, &v->counts, &mv->seg[i]));
            mv->seg[i]->times = &mv->times;
            struct seg_keep *x = &mv->keep[i];
            x->group = g;
            keep_class_of(v->keep, g, &x->class);
            x->splits = keep_class_splits(&x->class, g->tmin_ns, v->keep_now_ns);
            x->base_gone = keep_rule_expired(x->class.base, g->tmax_ns, v->keep_now_ns);
        }
        TRY(metric_checkpoint());
    }
    v->metrics = mv;
    return OK;
}

/* The labels of a series that is new are those of the memtable's, or in the canonical bytes. */
static err_t add(struct view *v, struct found *f, hash128 id, const struct source *from, const struct mem_tenant *t)
{
    struct source *src = arena_dup(&v->mem, from, sizeof *from);
    for (uint32_t it = 0, k; htab_next(&f->ids, id.lo, &it, &k);) {
        if (!hash128_eq(f->s[k].id, id)) continue;
        struct source *last = f->s[k].impl;
        while (last->next)
            last = last->next;
        last->next = src;
        f->s[k].resolution_ms = MAX(f->s[k].resolution_ms, from->resolution_ms);
        return arena_check(&v->mem);
    }
    f->s = arena_grow(&v->mem, f->s, f->n, &f->cap, f->n + 1, sizeof *f->s);
    f->s[f->n] = (struct mseries){ .id = id, .resolution_ms = from->resolution_ms, .impl = src };
    if (from->mem) f->s[f->n].labels = mem_labels_get(t, from->mem, &v->mem);
    else TRY(labels_decode(from->seg->entry->canonical, &v->mem, &f->s[f->n].labels));
    htab_insert(&f->ids, id.lo, f->n++);
    return arena_check(&v->mem);
}

/* -- deleted series (tombstone.h) ---------------------------------------------------------------------------------- */

struct tombs { /* of the view's, those that apply to a segment and a range */
    const struct tombstone **t;
    uint32_t n;
};

static struct tombs tombs_of(struct view *v, const struct seg_info *info, int64_t tmin_ms, int64_t tmax_ms, struct arena *a)
{
    const struct tomb_set *set = v->tombs;
    struct tombs x = { .t = ARENA_RAW(a, const struct tombstone *, set ? set->n : 0) };
    for (uint32_t i = 0; set && i < set->n; i++) {
        const struct tombstone *t = set->t[i];
        if (t->spec.signal != SIG_METRICS || info->generation > t->generation || !str_eq(t->spec.tenant, v->tenant)) continue;
        if (t->spec.tmin_ms <= tmax_ms && t->spec.tmax_ms >= tmin_ms) x.t[x.n++] = t;
    }
    return x;
}

static bool covered(const struct dead_span *d, int64_t lo, int64_t hi)
{
    for (const struct dead_span *x = d; x;) {
        if (x->tmin > lo || x->tmax < lo) {
            x = x->next;
            continue;
        }
        if (x->tmax >= hi) return true;
        lo = x->tmax + 1;
        x = d;
    }
    return false;
}

/* What of the series is deleted, into the view's memory. */
static err_t dead_spans(struct view *v, const struct tombs *x, struct str canonical, const struct dead_span **out)
{
    struct arena a;
    struct labels ls;
    *out = NULL;
    arena_init_sized(&a, v->budget, ARENA_BLOCK_MIN);
    err_t e = labels_decode(canonical, &a, &ls);
    for (uint32_t i = 0; e == OK && i < x->n; i++) {
        if (!tombstone_matches(x->t[i], &ls)) continue;
        const struct dead_span d = { x->t[i]->spec.tmin_ms, x->t[i]->spec.tmax_ms, *out };
        *out = arena_dup(&v->mem, &d, sizeof d);
    }
    arena_deinit(&a);
    return e == OK ? arena_check(&v->mem) : e;
}

static bool is_dead(const struct dead_span *d, int64_t t)
{
    for (; d; d = d->next)
        if (t >= d->tmin && t <= d->tmax) return true;
    return false;
}

/* Into arrays of its own: others may share those that it reads. */
static void drop_dead(struct sample_set *s, const struct dead_span *d, struct arena *a)
{
    struct sample_set live;
    sample_set_init_like(&live, a, s->n, s, s);
    for (uint32_t i = 0; i < s->n; i++)
        if (!is_dead(d, s->t[i])) sample_set_put_from(&live, s, i);
    *s = live;
}

/* -- what is too old by a matcher (retention_rules.h) ---------------------------------------------------------------- */

static err_t is_expired(const struct view *v, const struct seg_keep *k, const struct seg_entry *e, bool *out)
{
    struct arena a;
    struct labels ls;
    *out = false;
    if (!k->splits) return OK;
    arena_init_sized(&a, v->budget, ARENA_BLOCK_MIN);
    err_t err = labels_decode(e->canonical, &a, &ls);
    if (err == OK) {
        const struct keep_rule *r = keep_class_rule(&k->class, &ls);
        *out = r == k->class.base ? k->base_gone : keep_rule_expired(r, ms_to_ns(e->tmax), v->keep_now_ns);
    }
    arena_deinit(&a);
    return err;
}

/* -- selection ------------------------------------------------------------------------------------------------------- */

static err_t coarsest(struct view *v, const struct seg_series *s, int64_t tmin_ms, int64_t tmax_ms, int64_t *out)
{
    struct arena a;
    struct seg_block *b;
    uint32_t n;
    arena_init_sized(&a, v->budget, ARENA_BLOCK_MIN);
    err_t e = seg_series_blocks(s, tmin_ms, tmax_ms, &a, &b, &n);
    for (uint32_t i = 0; e == OK && i < n; i++)
        *out = MAX(*out, b[i].is.resolution_ms);
    arena_deinit(&a);
    return e;
}

static err_t select_seg(struct view *v, uint32_t i, const struct matcher *m, uint32_t nm, int64_t tmin_ms,
                        int64_t tmax_ms, struct found *f)
{
    struct seg_series *s;
    uint32_t n;
    bool ours = seg_is_exactly_ours(seg_info(v->segs[i]), v);
    const struct tombs dead = tombs_of(v, seg_info(v->segs[i]), tmin_ms, tmax_ms, &v->mem);
    TRY(seg_metric_select(v->metrics->seg[i], m, nm, tmin_ms, tmax_ms, &s, &n));
    for (uint32_t k = 0; k < n; k++) {
        if (k % 256 == 255) TRY(metric_checkpoint());
        if (!ours && partition_series(v->tenant, s[k].id, v->partitions) % v->cores != v->core) continue;
        struct source src = { .seg = &s[k] };
        const struct seg_entry *en = s[k].entry;
        bool expired;
        TRY(is_expired(v, &v->metrics->keep[i], en, &expired));
        if (expired) continue;
        if (dead.n) TRY(dead_spans(v, &dead, en->canonical, &src.dead));
        if (src.dead && covered(src.dead, MAX(tmin_ms, en->tmin), MIN(tmax_ms, en->tmax))) continue;
        if (v->metrics->seg[i]->resolution_ms) TRY(coarsest(v, &s[k], tmin_ms, tmax_ms, &src.resolution_ms));
        TRY(add(v, f, s[k].id, &src, NULL));
    }
    return OK;
}

static err_t select_mem(struct view *v, uint32_t i, const struct matcher *m, uint32_t nm, int64_t tmin_ms,
                        int64_t tmax_ms, struct found *f)
{
    struct mem_metric *mm = v->mems[i]->metrics;
    struct mem_tenant *t = mm ? mem_metric_tenant(mm, v->tenant) : NULL;
    if (!t) return OK;
    while (mem_index_some(mm, t))
        TRY(metric_checkpoint());
    struct arena a;
    uint32_t *no, n;
    arena_init(&a, v->budget);
    err_t e = mem_tenant_select(t, m, nm, tmin_ms, tmax_ms, &a, &no, &n);
    for (uint32_t k = 0; e == OK && k < n; k++) {
        const struct mem_series *s = mem_series_at(t, no[k]);
        struct source src = { .mem = s };
        e = add(v, f, s->id, &src, t);
        if (e == OK && k % 256 == 255) e = metric_checkpoint();
    }
    arena_deinit(&a);
    return e;
}

err_t metrics_select(struct view *v, const struct matcher *m, uint32_t nm, int64_t tmin_ms, int64_t tmax_ms,
                     struct mseries **series, uint32_t *n)
{
    struct found f = { 0 };
    err_t e;
    htab_init(&f.ids, v->budget);
    view_note_missing(v, SIG_METRICS, ms_to_ns(tmin_ms), ms_to_ns(tmax_ms));
    TRY_OUT(e, open_segments(v));
    for (uint32_t i = 0; i < v->nsegs; i++)
        if (v->metrics->seg[i]) TRY_OUT(e, select_seg(v, i, m, nm, tmin_ms, tmax_ms, &f));
    for (uint32_t i = 0; i < v->nmems; i++)
        TRY_OUT(e, select_mem(v, i, m, nm, tmin_ms, tmax_ms, &f));
    *series = f.s;
    *n = f.n;
out:
    htab_deinit(&f.ids);
    return e;
}

err_t metrics_resolution(struct view *v, int64_t tmin_ms, int64_t tmax_ms, int64_t *out)
{
    *out = 0;
    TRY(open_segments(v));
    for (uint32_t i = 0; i < v->nsegs; i++) {
        const struct seg_metric *m = v->metrics->seg[i];
        if (!m || !m->resolution_ms) continue;
        const struct seg_group *g = v->metrics->keep[i].group;
        if (g->tmin_ns <= ms_to_ns(tmax_ms) && g->tmax_ns >= ms_to_ns(tmin_ms - m->resolution_ms)) *out = MAX(*out, m->resolution_ms);
    }
    return OK;
}

err_t metrics_samples(struct view *v, const struct mseries *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                      struct samples *out)
{
    struct sample_set all = { 0 };
    for (const struct source *src = s->impl; src; src = src->next) {
        struct sample_set part;
        if (src->seg) TRY(seg_series_read(src->seg, tmin_ms, tmax_ms, a, &part));
        else TRY(mem_series_read(src->mem, tmin_ms, tmax_ms, a, &part));
        if (src->dead) drop_dead(&part, src->dead, a);
        sample_set_merge(&all, &part, a, &all);
        TRY(arena_check(a));
    }
    v->counts.samples += all.n;
    *out = (struct samples){ all.n, all.t, all.v, all.hist, all.st, all.win, all.times_stay, all.unmarked, all.rising };
    return OK;
}

/* -- pieces --------------------------------------------------------------------------------------------------------- */

struct span { /* that one source has samples in; block: what it knows of them */
    int64_t tmin, tmax;
    const struct metric_block *block;
};
struct spans {
    struct span *s;
    size_t cap;
    uint32_t n;
};

static err_t add_span(struct spans *x, struct arena *a, struct span s)
{
    x->s = arena_grow(a, x->s, x->n, &x->cap, x->n + 1, sizeof *x->s);
    TRY(arena_check(a));
    x->s[x->n++] = s;
    return OK;
}

static err_t add_spans(struct spans *x, const struct source *src, int64_t tmin, int64_t tmax, struct arena *a)
{
    if (src->mem) {
        const struct mem_series *m = src->mem;
        return m->tmin <= tmax && m->tmax >= tmin ? add_span(x, a, (struct span){ MAX(m->tmin, tmin), MIN(m->tmax, tmax), NULL }) : OK;
    }
    struct seg_block *b;
    uint32_t n;
    TRY(seg_series_blocks(src->seg, tmin, tmax, a, &b, &n));
    for (uint32_t i = 0; i < n; i++) {
        const struct metric_block *is = &b[i].is;
        bool whole = is->usable && is->tmin_ms >= tmin && is->tmax_ms <= tmax;
        for (const struct dead_span *d = src->dead; d; d = d->next)
            whole &= d->tmin > is->tmax_ms || d->tmax < is->tmin_ms;
        TRY(add_span(x, a, (struct span){ MAX(is->tmin_ms, tmin), MIN(is->tmax_ms, tmax), whole ? is : NULL }));
    }
    return OK;
}

static int by_time(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->tmin < y->tmin ? -1 : x->tmin > y->tmin;
}

err_t metrics_pieces(struct view *v, const struct mseries *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                     struct metric_piece **out, uint32_t *n)
{
    (void)v;
    struct spans x = { 0 };
    for (const struct source *src = s->impl; src; src = src->next)
        TRY(add_spans(&x, src, tmin_ms, tmax_ms, a));
    if (x.n) qsort(x.s, x.n, sizeof *x.s, by_time);
    struct metric_piece *p = *out = ARENA_RAW(a, struct metric_piece, x.n);
    TRY(arena_check(a));
    *n = 0;
    for (uint32_t i = 0, next; i < x.n; i = next) {
        struct span at = x.s[i];
        for (next = i + 1; next < x.n && x.s[next].tmin <= at.tmax; next++)
            at = (struct span){ at.tmin, MAX(at.tmax, x.s[next].tmax), NULL };
        if (!at.block && *n && !p[*n - 1].block) p[*n - 1].tmax_ms = at.tmax;
        else p[(*n)++] = (struct metric_piece){ at.tmin, at.tmax, at.block };
    }
    return OK;
}

/* -- metadata ---------------------------------------------------------------------------------------------------- */

struct families {
    struct metric_meta *m;
    size_t cap;
    uint32_t n;
    struct htab names;
};

/* Called newest first: the first of a family stays. */
static void add_meta(struct families *f, struct arena *a, struct str family, const struct metric_meta *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (family.n && !str_eq(family, m[i].family)) continue;
        uint64_t hash = hash_seeded64(m[i].family);
        bool known = false;
        for (uint32_t it = 0, k; !known && htab_next(&f->names, hash, &it, &k);)
            known = str_eq(f->m[k].family, m[i].family);
        if (known) continue;
        f->m = arena_grow(a, f->m, f->n, &f->cap, f->n + 1, sizeof *f->m);
        f->m[f->n] = (struct metric_meta){ arena_str(a, m[i].family), arena_str(a, m[i].type),
                                           arena_str(a, m[i].unit), arena_str(a, m[i].help) };
        htab_insert(&f->names, hash, f->n++);
    }
}

err_t metrics_meta(struct view *v, struct str family, struct arena *a, struct metric_meta **out, uint32_t *n)
{
    struct families f = { 0 };
    err_t e;
    htab_init(&f.names, v->budget);
    TRY_OUT(e, open_segments(v));
    for (uint32_t i = v->nmems; i-- > 0;) {
        struct mem_tenant *t = v->mems[i]->metrics ? mem_metric_tenant(v->mems[i]->metrics, v->tenant) : NULL;
        if (t) add_meta(&f, a, family, t->meta, t->nmeta);
    }
    for (uint32_t i = v->nsegs; i-- > 0;) {
        struct metric_meta *m;
        uint32_t count;
        if (!v->metrics->seg[i]) continue;
        TRY_OUT(e, seg_metric_meta(v->metrics->seg[i], &m, &count));
        add_meta(&f, a, family, m, count);
        TRY_OUT(e, arena_check(a));
    }
    TRY_OUT(e, arena_check(a));
    *out = f.m;
    *n = f.n;
out:
    htab_deinit(&f.names);
    return e;
}
