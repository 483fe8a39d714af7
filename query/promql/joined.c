#include "query/promql/joined.h"

#include <stdlib.h>

/* -- samples ---------------------------------------------------------------------------------------------------- */
struct place { /* of a sample */
    int64_t t;
    const struct pq_samples *side;
    uint32_t i;
};

static uint64_t bits_of(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static const struct pq_hist *hist_at(const struct place *p)
{
    return p->side->h ? p->side->h[p->i] : NULL;
}

/* By time; of one time the one that is taken first. */
static int by_time(const void *pa, const void *pb)
{
    const struct place *a = pa, *b = pb;
    const struct pq_hist *ha = hist_at(a), *hb = hist_at(b);
    if (a->t != b->t) return a->t < b->t ? -1 : 1;
    if (!ha != !hb) return ha ? -1 : 1;
    uint64_t x = bits_of(ha ? ha->sum : a->side->v[a->i]), y = bits_of(hb ? hb->sum : b->side->v[b->i]);
    return (x < y) - (x > y);
}

static uint32_t list_places(const struct pq_samples *sides, uint32_t n, struct place *at)
{
    uint32_t all = 0, kept = 0;
    for (uint32_t s = 0; s < n; s++)
        for (uint32_t i = 0; i < sides[s].n; i++)
            at[all++] = (struct place){ sides[s].t[i], &sides[s], i };
    if (all) qsort(at, all, sizeof *at, by_time);
    for (uint32_t i = 0; i < all; i++)
        if (kept == 0 || at[kept - 1].t != at[i].t) at[kept++] = at[i];
    return kept;
}

struct pq_samples pq_join_samples(const struct pq_samples *sides, uint32_t n, struct arena *a)
{
    uint32_t total = 0;
    bool hists = false, starts = false;
    if (n == 1) return sides[0];
    for (uint32_t s = 0; s < n; s++) {
        total += sides[s].n;
        hists |= sides[s].h != NULL;
        starts |= sides[s].st != NULL;
    }
    struct place *at = ARENA_RAW(a, struct place, (size_t)total + 1);
    uint32_t kept = list_places(sides, n, at);
    int64_t *t = ARENA_RAW(a, int64_t, (size_t)kept + 1), *st = starts ? ARENA_RAW(a, int64_t, (size_t)kept + 1) : NULL;
    double *v = ARENA_RAW(a, double, (size_t)kept + 1);
    const struct pq_hist **h = hists ? ARENA_RAW(a, const struct pq_hist *, (size_t)kept + 1) : NULL;
    for (uint32_t i = 0; i < kept; i++) {
        const struct pq_samples *s = at[i].side;
        t[i] = at[i].t;
        v[i] = s->v[at[i].i];
        if (h) h[i] = hist_at(&at[i]);
        if (st) st[i] = s->st ? s->st[at[i].i] : 0;
    }
    return (struct pq_samples){ kept, t, v, h, st, NULL };
}

/* -- series ----------------------------------------------------------------------------------------------------- */
struct joined { /* a label set */
    const struct labels *labels;
    struct pq_samples *sides;
    uint32_t n;
    size_t cap;
};
struct joining {
    struct arena *a;
    struct htab by_labels;
    struct joined *v;
    size_t cap;
    uint32_t n;
};

static struct joined *joined_of(struct joining *j, const struct labels *l)
{
    uint64_t hash = pq_labels_hash(l);
    for (uint32_t it = 0, i; htab_next(&j->by_labels, hash, &it, &i);)
        if (pq_labels_equal(j->v[i].labels, l)) return &j->v[i];
    htab_insert(&j->by_labels, hash, j->n);
    j->v = arena_grow(j->a, j->v, j->n, &j->cap, (size_t)j->n + 1, sizeof *j->v);
    j->v[j->n] = (struct joined){ .labels = l };
    return &j->v[j->n++];
}

static err_t take_parts(struct joining *j, const struct scatter *sc)
{
    for (unsigned i = 0; i < sc->n; i++) {
        const struct pq_part *p = sc->partials[i];
        for (uint32_t k = 0; k < p->npoints; k++) {
            struct joined *to = joined_of(j, &p->points[k].labels);
            to->sides = arena_grow(j->a, to->sides, to->n, &to->cap, (size_t)to->n + 1, sizeof *to->sides);
            to->sides[to->n++] = p->points[k].s;
        }
        TRY(arena_check(j->a));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

static int by_labels(const void *a, const void *b)
{
    return pq_labels_cmp(((const struct joined *)a)->labels, ((const struct joined *)b)->labels);
}

/* Ascending by labels, so that sums are of one order. */
static err_t give_series(struct joining *j, struct pq_series **out, uint32_t *n)
{
    if (j->n) qsort(j->v, j->n, sizeof *j->v, by_labels);
    *out = ARENA_RAW(j->a, struct pq_series, (size_t)j->n + 1);
    for (*n = 0; *n < j->n; ++*n) {
        struct pq_samples *all = ARENA_NEW(j->a, struct pq_samples);
        *all = pq_join_samples(j->v[*n].sides, j->v[*n].n, j->a);
        (*out)[*n] = (struct pq_series){ *j->v[*n].labels, all, 0 };
        TRY(arena_check(j->a));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

/* -- the source ------------------------------------------------------------------------------------------------- */
static err_t joined_select(struct pq_source *s, const struct matcher *m, uint32_t nm, int64_t tmin, int64_t tmax, struct arena *a,
                           struct pq_series **out, uint32_t *n)
{
    const struct pq_joined *src = CONTAINER_OF(s, struct pq_joined, src);
    struct pq_selector sel = { .m = (struct matcher *)(uintptr_t)m, .nm = nm };
    struct pq_node one = { .kind = PQ_SELECTOR, .type = PQ_VECTOR, .depth = 1, .local = true, .selects = true, .sel = &sel };
    struct pq_node range = { .kind = PQ_RANGE, .type = PQ_MATRIX, .depth = 2, .local = true, .selects = true,
                             .range = { .sel = &one, .range_ms = tmax - tmin + 1 } };
    const struct pq_grid at = { tmax, 1, 1 };
    struct joining j = { .a = a };
    struct scatter sc;
    *n = 0;
    if (tmax < tmin) return OK;
    TRY(src->ask(src->ctx, &range, &at, &sc));
    htab_init(&j.by_labels, NULL);
    err_t e = take_parts(&j, &sc);
    if (e == OK) e = give_series(&j, out, n);
    htab_deinit(&j.by_labels);
    return e;
}

static uint32_t first_from(const struct pq_samples *s, int64_t t)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->t[mid] < t) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static err_t joined_samples(struct pq_source *s, const struct pq_series *series, int64_t tmin, int64_t tmax, struct arena *scratch,
                            struct pq_samples *out)
{
    const struct pq_samples *all = series->impl;
    uint32_t from = first_from(all, tmin), end = tmax == INT64_MAX ? all->n : first_from(all, tmax + 1);
    (void)s;
    (void)scratch;
    *out = (struct pq_samples){ end > from ? end - from : 0, all->t + from, all->v + from, all->h ? all->h + from : NULL,
                                all->st ? all->st + from : NULL, NULL };
    return OK;
}

void pq_joined_init(struct pq_joined *j)
{
    *j = (struct pq_joined){ .src = { .select = joined_select, .samples = joined_samples } };
}
