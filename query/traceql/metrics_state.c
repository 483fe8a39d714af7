#include "query/traceql/metrics_state.h"

#include "base/core/hash.h"

#include <math.h>
#include <stdlib.h>

enum { BUCKET_ZERO = 2000 }; /* ids of buckets: 0 is taken, exponents reach from -1074 to 1024 */

size_t metrics_cell_size(enum cell_kind k)
{
    return k == CELL_COUNT ? sizeof(uint64_t) : k == CELL_MOMENTS ? sizeof(struct cell_moments) : sizeof(struct loghist);
}

void mstate_init(struct mstate *st, const struct metrics_plan *p, struct arena *a)
{
    *st = (struct mstate){ .p = p, .a = a };
    for (uint32_t k = 0; k < p->u->nby; k++)
        tval_set_init(&st->values[k], a);
    htab_init(&st->by_ids, a->budget);
}

void mstate_deinit(struct mstate *st)
{
    for (uint32_t k = 0; k < st->p->u->nby; k++)
        tval_set_deinit(&st->values[k]);
    htab_deinit(&st->by_ids);
}

void mbatch_init(struct mbatch *b, struct arena *a)
{
    *b = (struct mbatch){ .step = ARENA_ARRAY(a, uint32_t, VEC_MAX), .val = ARENA_ARRAY(a, double, VEC_MAX),
                          .group = ARENA_ARRAY(a, uint32_t, VEC_MAX) };
    for (uint32_t k = 0; k < METRICS_BY_MAX; k++)
        b->ids[k] = ARENA_ARRAY(a, uint32_t, VEC_MAX);
}

/* -- groups ---------------------------------------------------------------------------------------------------- */
static err_t group_new(struct mstate *st, const uint32_t *ids, uint32_t *out)
{
    const struct metrics_plan *p = st->p;
    if (st->n == METRICS_GROUPS_MAX)
        return err_set(ERR_LIMIT, "the query has more than %d series: narrow its filter or its by()", METRICS_GROUPS_MAX);
    st->groups = arena_grow(st->a, st->groups, st->n, &st->cap, st->n + 1, sizeof *st->groups);
    struct mgroup *g = &st->groups[st->n];
    *g = (struct mgroup){ .pages = ARENA_ARRAY(st->a, void *, (p->range.nsteps + METRICS_PAGE - 1) / METRICS_PAGE) };
    memcpy(g->ids, ids, p->nkeys * sizeof *ids);
    if (p->slots) g->ex = ARENA_ARRAY(st->a, struct mexemplar, p->slots);
    *out = st->n++;
    return arena_check(st->a);
}

err_t mstate_group(struct mstate *st, const uint32_t *ids, uint32_t *out)
{
    uint32_t nkeys = st->p->nkeys;
    uint64_t hash = 0;
    if (st->n && memcmp(st->groups[st->last].ids, ids, nkeys * sizeof *ids) == 0) return *out = st->last, OK;
    for (uint32_t k = 0; k < nkeys; k++)
        hash = hash_u64(hash ^ ids[k]);
    for (uint32_t it = 0, g; htab_next(&st->by_ids, hash, &it, &g);)
        if (memcmp(st->groups[g].ids, ids, nkeys * sizeof *ids) == 0) return *out = st->last = g, OK;
    TRY(group_new(st, ids, out));
    htab_insert(&st->by_ids, hash, *out);
    st->last = *out;
    return OK;
}

/* One label: by the number of its value. */
static err_t group_direct(struct mstate *st, uint32_t id, uint32_t *out)
{
    if (id >= st->direct_cap) {
        size_t before = st->direct_cap;
        st->direct = arena_grow(st->a, st->direct, before, &st->direct_cap, (size_t)id + 1, sizeof *st->direct);
        memset(st->direct + before, 0, (st->direct_cap - before) * sizeof *st->direct);
    }
    if (!st->direct[id]) {
        TRY(mstate_group(st, &id, out));
        st->direct[id] = *out + 1;
    }
    *out = st->direct[id] - 1;
    return OK;
}

static err_t find_groups(struct mstate *st, struct mbatch *b)
{
    uint32_t nkeys = st->p->nkeys, ids[METRICS_BY_MAX] = { 0 };
    if (nkeys == 0) {
        uint32_t one;
        TRY(mstate_group(st, ids, &one));
        memset(b->group, 0, b->n * sizeof *b->group);
        return OK;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (nkeys == 1 && i && b->ids[0][i] == b->ids[0][i - 1]) {
            b->group[i] = b->group[i - 1];
        } else if (nkeys == 1) {
            TRY(group_direct(st, b->ids[0][i], &b->group[i]));
        } else {
            for (uint32_t k = 0; k < nkeys; k++)
                ids[k] = b->ids[k][i];
            TRY(mstate_group(st, ids, &b->group[i]));
        }
    }
    return OK;
}

/* -- cells ------------------------------------------------------------------------------------------------------ */
static inline void *cell_at(struct mstate *st, struct mgroup *g, uint32_t step, size_t size)
{
    void **page = &g->pages[step / METRICS_PAGE];
    if (!*page) *page = arena_calloc(st->a, METRICS_PAGE, size);
    return (char *)*page + (step % METRICS_PAGE) * size;
}

static void count_rows(struct mstate *st, const struct mbatch *b)
{
    for (uint32_t i = 0; i < b->n;) { /* rows come in runs */
        uint32_t from = i, g = b->group[i], step = b->step[i];
        while (i < b->n && b->group[i] == g && b->step[i] == step)
            i++;
        *(uint64_t *)cell_at(st, &st->groups[g], step, sizeof(uint64_t)) += i - from;
    }
}

static void sum_in(struct cell_moments *m, double v)
{
    double sum = m->v + v;
    m->c += fabs(m->v) >= fabs(v) ? (m->v - sum) + v : (v - sum) + m->v;
    m->v = sum;
}

static void moment_in(enum tql_metric_fn fn, struct cell_moments *m, const struct cell_moments *from)
{
    if (fn == TM_AVG || fn == TM_SUM) {
        sum_in(m, from->v);
        m->c += from->c;
    } else if (m->n == 0 || (fn == TM_MIN ? from->v < m->v : from->v > m->v)) {
        m->v = from->v;
    }
    m->n += from->n;
}

static void measure_rows(struct mstate *st, const struct mbatch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct mgroup *g = &st->groups[b->group[i]];
        if (st->p->cells == CELL_HIST)
            loghist_add(cell_at(st, g, b->step[i], sizeof(struct loghist)), b->val[i], st->a);
        else
            moment_in(st->p->u->fn, cell_at(st, g, b->step[i], sizeof(struct cell_moments)),
                      &(struct cell_moments){ .n = 1, .v = b->val[i] });
    }
}

/* -- exemplars --------------------------------------------------------------------------------------------------- */
static void note_exemplar(struct mexemplar *e, uint32_t prio, const struct mbatch *b, uint32_t i, bool measured)
{
    e->used = true;
    e->prio = prio;
    e->x.start_ns = b->start[i];
    e->x.value = b->val[i];
    if (b->span) {
        const struct tspan *s = b->span[i];
        memcpy(e->x.trace_id, s->trace_id, 16);
        memcpy(e->x.span_id, s->span_id, 8);
        if (!measured) e->x.value = (double)s->duration_ns;
    } else {
        e->place = b->place;
        e->row = b->row[i];
    }
}

static void offer_exemplars(struct mstate *st, const struct mbatch *b)
{
    const struct metrics_range *r = &st->p->range;
    uint32_t slots = st->p->slots;
    double slots_a_ns = (double)slots / ((double)r->nsteps * (double)r->step_ns);
    bool measured = st->p->u->of;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t slot = (uint32_t)((double)(b->start[i] - r->left_ns) * slots_a_ns);
        struct mexemplar *e = &st->groups[b->group[i]].ex[MIN(slot, slots - 1)];
        uint32_t prio = (uint32_t)((uint64_t)b->start[i] * UINT64_C(0x9e3779b97f4a7c15) >> 32);
        if (!e->used || prio < e->prio) note_exemplar(e, prio, b, i, measured);
    }
}

struct ranked {
    struct mexemplar *e;
    uint32_t group, round;
};

static int in_group(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    return (a->e->prio > b->e->prio) - (a->e->prio < b->e->prio);
}

static int by_round(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    if (a->round != b->round) return a->round < b->round ? -1 : 1;
    return (a->e->prio > b->e->prio) - (a->e->prio < b->e->prio);
}

void mstate_thin(struct mstate *st, uint32_t max, bool resolved)
{
    uint32_t n = 0, slots = st->p->slots;
    struct ranked *all = ARENA_RAW(st->a, struct ranked, (size_t)st->n * slots + 1);
    for (uint32_t g = 0; g < st->n; g++)
        for (uint32_t s = 0; s < slots; s++)
            if (st->groups[g].ex[s].used) all[n++] = (struct ranked){ .e = &st->groups[g].ex[s], .group = g };
    if (n == 0) return;
    qsort(all, n, sizeof *all, in_group);
    for (uint32_t i = 1; i < n; i++)
        if (all[i].group == all[i - 1].group) all[i].round = all[i - 1].round + 1;
    qsort(all, n, sizeof *all, by_round);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool again = false;
        for (uint32_t k = 0; k < kept && resolved; k++)
            again |= memcmp(all[k].e->x.trace_id, all[i].e->x.trace_id, 16) == 0;
        all[i].e->used = kept < max && !again;
        if (all[i].e->used) all[kept++] = all[i];
    }
}

/* -- batches -------------------------------------------------------------------------------------------------------- */
uint32_t metrics_bucket(double v)
{
    int e;
    if (!(v > 0)) return 1;
    if (isinf(v)) return METRICS_BUCKETS_END;
    return (uint32_t)(BUCKET_ZERO + (frexp(v, &e) == 0.5 ? e - 1 : e));
}

double metrics_bucket_bound(uint32_t id)
{
    return id == 1 ? 0 : ldexp(1, (int)id - BUCKET_ZERO);
}

err_t mstate_add(struct mstate *st, struct mbatch *b)
{
    const struct metrics_plan *p = st->p;
    if (b->n == 0) return OK;
    if (p->u->fn == TM_HISTOGRAM)
        for (uint32_t i = 0; i < b->n; i++)
            b->ids[p->u->nby][i] = metrics_bucket(b->val[i]);
    TRY(find_groups(st, b));
    if (p->cells == CELL_COUNT) count_rows(st, b);
    else measure_rows(st, b);
    if (p->slots && b->start) offer_exemplars(st, b);
    return arena_check(st->a);
}

err_t mstate_add_count(struct mstate *st, uint32_t step, uint64_t n)
{
    uint32_t g, none[METRICS_BY_MAX] = { 0 };
    TRY(mstate_group(st, none, &g));
    *(uint64_t *)cell_at(st, &st->groups[g], step, sizeof(uint64_t)) += n;
    return OK;
}

/* -- merging ---------------------------------------------------------------------------------------------------------- */
static void merge_cell(struct mstate *into, void *to, void *from)
{
    switch (into->p->cells) {
    case CELL_COUNT: *(uint64_t *)to += *(uint64_t *)from; return;
    case CELL_HIST: loghist_merge(to, from, into->a); return;
    case CELL_MOMENTS:
        if (((struct cell_moments *)from)->n) moment_in(into->p->u->fn, to, from);
    }
}

static void merge_group(struct mstate *into, struct mgroup *to, struct mgroup *from)
{
    size_t size = metrics_cell_size(into->p->cells);
    uint32_t npages = (into->p->range.nsteps + METRICS_PAGE - 1) / METRICS_PAGE;
    for (uint32_t i = 0; i < npages; i++) {
        if (!from->pages[i]) continue;
        if (!to->pages[i]) {
            to->pages[i] = from->pages[i];
            continue;
        }
        for (uint32_t k = 0; k < METRICS_PAGE; k++)
            merge_cell(into, (char *)to->pages[i] + k * size, (char *)from->pages[i] + k * size);
    }
    for (uint32_t s = 0; s < into->p->slots; s++)
        if (from->ex[s].used && (!to->ex[s].used || from->ex[s].prio < to->ex[s].prio)) to->ex[s] = from->ex[s];
}

err_t mstate_merge(struct mstate *into, struct mstate *from)
{
    const struct tql_unit *u = into->p->u;
    for (uint32_t i = 0; i < from->n; i++) {
        uint32_t ids[METRICS_BY_MAX] = { 0 }, g;
        for (uint32_t k = 0; k < into->p->nkeys; k++) {
            uint32_t id = from->groups[i].ids[k];
            ids[k] = k < u->nby && id ? label_number(&into->values[k], &from->values[k].v[id - 1]) : id;
        }
        TRY(mstate_group(into, ids, &g));
        merge_group(into, &into->groups[g], &from->groups[i]);
        TRY(arena_check(into->a));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}
