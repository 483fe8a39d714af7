#include "server/api/prometheus_samples.h"

#include "query/promql/joined.h"

#include <stdlib.h>

static err_t too_many(int64_t max)
{
    return err_set(ERR_LIMIT, "exceeded sample limit (%lld, the setting query.samples_max)", (long long)max);
}

/* -- beside the data ----------------------------------------------------------------------------------------- */
static void only_last(struct pq_samples *s)
{
    uint32_t i = s->n - 1;
    s->t += i;
    s->v += i;
    if (s->h) s->h += i;
    s->st = NULL;
    s->n = 1;
}

static err_t range_points(const struct prom_ranges *p, const struct prom_range *r, struct pq_source *src, struct arena *a,
                          int64_t *left, struct prom_points *out)
{
    struct pq_series *series;
    uint32_t n;
    TRY(src->select(src, r->sel.m, r->sel.n, r->tmin_ms, r->tmax_ms, a, &series, &n));
    out->v = ARENA_ARRAY(a, struct pq_points, n);
    for (uint32_t i = 0; i < n; i++) {
        struct pq_samples s;
        TRY(src->samples(src, &series[i], r->tmin_ms, r->tmax_ms, a, &s));
        TRY(arena_check(a));
        TRY(rt_checkpoint());
        if (!s.n) continue;
        if (p->newest) only_last(&s);
        pq_own_times(&s, a);
        s.win = NULL;
        *left -= s.n;
        if (p->samples_max && *left < 0) return too_many(p->samples_max);
        out->v[out->n++] = (struct pq_points){ series[i].labels, false, s };
    }
    return OK;
}

static err_t fragment(struct query *q, struct view *view, const void *plan, struct arena *a, void **partial)
{
    const struct prom_ranges *p = plan;
    struct pq_view_source src = pq_source_of(view);
    struct prom_points *out = ARENA_ARRAY(a, struct prom_points, p->n);
    int64_t left = p->samples_max;
    (void)q;
    *partial = out;
    for (uint32_t i = 0; i < p->n; i++) TRY(range_points(p, &p->v[i], &src.src, a, &left, &out[i]));
    return OK;
}

/* -- bytes --------------------------------------------------------------------------------------------------- */
struct read_ranges {
    struct prom_ranges plan;
    struct pq_regexes *regexes[PROM_RANGES_MAX];
};

static void plan_put(const void *plan, struct buf *out)
{
    const struct prom_ranges *p = plan;
    buf_byte(out, p->newest);
    buf_varint(out, (uint64_t)p->samples_max);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        bytes_out_zigzag(out, p->v[i].tmin_ms);
        bytes_out_zigzag(out, p->v[i].tmax_ms);
        pq_matchers_put(p->v[i].sel.m, p->v[i].sel.n, out);
    }
}

static void plan_free(const void *plan)
{
    const struct read_ranges *r = CONTAINER_OF((struct prom_ranges *)(uintptr_t)plan, struct read_ranges, plan);
    for (uint32_t i = 0; i < r->plan.n; i++) pq_regexes_free(r->regexes[i]);
}

static err_t read_plan(struct query *q, struct bytes_in *in, struct read_ranges *r)
{
    struct prom_ranges *p = &r->plan;
    struct wire_in w = wire_in_of(in, q->arena);
    p->newest = wire_get_flag(&w);
    p->samples_max = (int64_t)bytes_in_varint(in);
    uint32_t n = bytes_in_count(in, 3);
    if (n > PROM_RANGES_MAX || p->samples_max < 0) in->bad = true;
    while (p->n < n && !in->bad) {
        struct prom_range *x = &p->v[p->n];
        struct matcher *m;
        x->tmin_ms = bytes_in_zigzag(in);
        x->tmax_ms = bytes_in_zigzag(in);
        r->regexes[p->n] = ARENA_NEW(q->arena, struct pq_regexes);
        err_t e = pq_matchers_get(in, q->arena, r->regexes[p->n++], &m, &x->sel.n);
        x->sel.m = m;
        if (e != OK) return e;
    }
    return wire_check(&w, "ranges of samples");
}

static err_t plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct read_ranges *r = ARENA_NEW(q->arena, struct read_ranges);
    err_t e = read_plan(q, in, r);
    *plan = &r->plan;
    if (e != OK) plan_free(*plan);
    return e;
}

static void partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct prom_ranges *p = plan;
    const struct prom_points *points = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    for (uint32_t i = 0; i < p->n; i++) pq_points_put(&w, points[i].v, points[i].n);
    wire_out_deinit(&w);
}

static err_t partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    const struct prom_ranges *p = plan;
    struct prom_points *points = ARENA_ARRAY(a, struct prom_points, p->n);
    struct wire_in w = wire_in_of(in, a);
    *partial = points;
    for (uint32_t i = 0; i < p->n && !in->bad; i++) TRY(pq_points_read(&w, &points[i].v, &points[i].n));
    return wire_check(&w, "samples of series");
}

const struct fragment_kind PROM_SAMPLES_KIND = { .name = "samples", .fn = fragment, .plan_put = plan_put, .plan_get = plan_get,
                                                 .plan_free = plan_free, .partial_put = partial_put, .partial_get = partial_get };

/* -- the coordinator ----------------------------------------------------------------------------------------- */
static int points_cmp(const void *a, const void *b)
{
    return pq_labels_cmp(&((const struct pq_points *)a)->labels, &((const struct pq_points *)b)->labels);
}

/* A series that changed its place comes from two: one of them. */
static void unite(struct prom_points *p, bool newest, struct arena *a)
{
    uint32_t n = 0;
    if (p->n) qsort(p->v, p->n, sizeof *p->v, points_cmp);
    for (uint32_t i = 0; i < p->n; i++) {
        if (n && pq_labels_equal(&p->v[n - 1].labels, &p->v[i].labels)) {
            const struct pq_samples sides[] = { p->v[n - 1].s, p->v[i].s };
            p->v[n - 1].s = pq_join_samples(sides, 2, a);
            if (newest) only_last(&p->v[n - 1].s);
        } else {
            p->v[n++] = p->v[i];
        }
    }
    p->n = n;
}

err_t prom_samples(struct prom_run *r, const struct prom_ranges *p, struct scatter *kept, struct prom_points **out)
{
    struct arena *a = &r->arena;
    int64_t samples = 0;
    TRY(scatter_run(&r->q, &PROM_SAMPLES_KIND, p, kept));
    *out = ARENA_ARRAY(a, struct prom_points, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        struct prom_points *all = &(*out)[i];
        uint32_t most = 0;
        for (unsigned k = 0; k < kept->n; k++) most += ((const struct prom_points *)kept->partials[k])[i].n;
        all->v = ARENA_RAW(a, struct pq_points, most);
        TRY(arena_check(a));
        for (unsigned k = 0; k < kept->n; k++) {
            const struct prom_points *part = &((const struct prom_points *)kept->partials[k])[i];
            if (part->n) memcpy(all->v + all->n, part->v, sizeof *all->v * part->n);
            all->n += part->n;
            for (uint32_t s = 0; s < part->n; s++) samples += part->v[s].s.n;
        }
        if (p->samples_max && samples > p->samples_max) return too_many(p->samples_max);
        unite(all, p->newest, a);
        TRY(arena_check(a));
    }
    return OK;
}
