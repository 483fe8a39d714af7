/* The fragments of TraceQL metrics as bytes (strings, flags, lists: query/ops/wire.h; tval: tval_wire.h).
 *
 * Plan of both:   text query, varint number of the unit, zigzag left, step and stamp, varint steps, f64 rate_s, varint exemplars
 * trace_metrics:  by label of by() a list of tval: its values; list of groups:
 *   group           varint number of a value, by label (0 = none; a histogram's bucket); list of pages: varint pages left out
 *                   before it, u16 of the steps that have a cell, the cells; exemplars: list of varint slots left out before it,
 *                   varint prio, 16 and 8 bytes ids, zigzag start, f64 value
 *   cell            count: varint | moments: varint n, f64 v, f64 c | histogram: varint count, f64 min, f64 max, and up to
 *                   LOGHIST_EXACT values as f64; with more, zigzag the first bucket and a list of varint counts
 * trace_compare:  list of attributes: u8 (0 of the span, 1 of the resource, 2 + i an intrinsic), with 0 and 1 string name; by
 *                 side the counts of values without a number; list of values: tval, by side its counts
 *   counts          list of: varint steps left out before it, varint count */
#include "query/ops/wire.h"
#include "query/traceql/metrics_compare_int.h"
#include "query/traceql/tval_wire.h"

/* -- the plan ------------------------------------------------------------------------------------------------- */
static const int64_t TIME_MAX = INT64_MAX / 4; /* as metrics_range_of has it */
enum { BUCKETS_END = 8192 }; /* of a loghist: 94 powers of two, 64 each, on both sides of zero */

struct plan_sent { /* with all that it stands on */
    struct metrics_plan p;
    struct tql_metrics *q;
};

static void plan_put(const void *plan, struct buf *out)
{
    const struct metrics_plan *p = plan;
    bytes_out_str(out, p->q->text);
    buf_varint(out, p->unit_idx);
    bytes_out_zigzag(out, p->range.left_ns);
    bytes_out_zigzag(out, p->range.step_ns);
    bytes_out_zigzag(out, p->range.stamp_ns);
    buf_varint(out, p->range.nsteps);
    bytes_out_f64(out, p->range.rate_s);
    buf_varint(out, p->exemplars_max);
}

static void plan_free(const void *plan)
{
    struct plan_sent *s = (struct plan_sent *)(uintptr_t)plan; /* p stands first */
    metrics_plan_free(&s->p);
    tql_metrics_free(s->q);
}

static bool is_time(int64_t ns)
{
    return ns >= -TIME_MAX && ns <= TIME_MAX;
}

static void get_range(struct wire_in *w, struct metrics_range *r)
{
    r->left_ns = bytes_in_zigzag(w->in);
    r->step_ns = bytes_in_zigzag(w->in);
    r->stamp_ns = bytes_in_zigzag(w->in);
    uint64_t nsteps = bytes_in_varint(w->in);
    r->rate_s = bytes_in_f64(w->in);
    if (nsteps < 1 || nsteps > METRICS_STEPS_MAX || r->step_ns < 1 || r->step_ns > 2 * TIME_MAX / (int64_t)nsteps ||
        !is_time(r->left_ns) || !is_time(r->stamp_ns))
        w->in->bad = true;
    r->nsteps = (uint32_t)nsteps;
}

static err_t plan_get(struct query *q, struct bytes_in *in, bool compare, const void **plan)
{
    struct plan_sent *s = ARENA_NEW(q->arena, struct plan_sent);
    struct wire_in w = wire_in_of(in, q->arena);
    struct metrics_range range;
    struct str text = wire_get_text(&w);
    uint64_t unit = bytes_in_varint(in);
    get_range(&w, &range);
    uint32_t exemplars = wire_get_u32(&w, METRICS_EXEMPLARS_MAX);
    TRY(wire_check(&w, "the plan of a metrics query"));
    TRY(tql_parse_metrics(text, q->arena, &s->q));
    if (unit >= s->q->nunits || (s->q->units[unit]->fn == TM_COMPARE) != compare) {
        tql_metrics_free(s->q);
        return err_set(ERR_CORRUPT, "a metrics query from another node has no unit %llu of that kind", (unsigned long long)unit);
    }
    err_t e = metrics_plan_make(&s->p, s->q, (uint32_t)unit, &range, exemplars, q->arena);
    if (e != OK) plan_free(s);
    *plan = &s->p;
    return e;
}

static err_t metrics_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    return plan_get(q, in, false, plan);
}

static err_t compare_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    return plan_get(q, in, true, plan);
}

static uint32_t pages_of(const struct metrics_plan *p)
{
    return (p->range.nsteps + METRICS_PAGE - 1) / METRICS_PAGE;
}

/* What is left out before the next of `max` things in a row; *at is behind the last one. */
static bool get_place(struct wire_in *w, uint64_t max, uint64_t *at)
{
    uint64_t gap = bytes_in_varint(w->in);
    if (w->in->bad || gap >= max - *at) return w->in->bad = true, false;
    *at += gap + 1;
    return true;
}

/* -- cells ---------------------------------------------------------------------------------------------------- */
static bool cell_used(enum cell_kind kind, const void *cell)
{
    switch (kind) {
    case CELL_COUNT: return *(const uint64_t *)cell;
    case CELL_MOMENTS: return ((const struct cell_moments *)cell)->n;
    default: return ((const struct loghist *)cell)->count;
    }
}

static void put_hist(struct buf *out, const struct loghist *h)
{
    buf_varint(out, h->count);
    bytes_out_f64(out, h->min);
    bytes_out_f64(out, h->max);
    for (uint32_t i = 0; !h->bins && i < h->n; i++)
        bytes_out_f64(out, h->exact[i]);
    if (!h->bins) return;
    bytes_out_zigzag(out, h->first);
    buf_varint(out, h->n);
    for (uint32_t i = 0; i < h->n; i++)
        buf_varint(out, h->bins[i]);
}

static void get_hist(struct wire_in *w, struct loghist *h)
{
    *h = (struct loghist){ .count = bytes_in_varint(w->in) };
    h->min = bytes_in_f64(w->in);
    h->max = bytes_in_f64(w->in);
    if (h->count <= LOGHIST_EXACT) {
        h->n = h->cap = (uint32_t)h->count;
        h->exact = ARENA_ARRAY(w->a, double, h->n + 1);
        for (uint32_t i = 0; i < h->n; i++)
            h->exact[i] = bytes_in_f64(w->in);
        return;
    }
    int64_t first = bytes_in_zigzag(w->in);
    h->bins = WIRE_LIST(w, uint32_t, 1, BUCKETS_END, &h->n);
    w->in->bad |= first < -BUCKETS_END || first > BUCKETS_END || h->n == 0;
    for (uint32_t i = 0; i < h->n; i++)
        h->bins[i] = wire_get_u32(w, UINT32_MAX);
    h->first = (int32_t)first;
    h->cap = h->n;
}

static void put_cell(struct buf *out, enum cell_kind kind, const void *cell)
{
    if (kind == CELL_COUNT) buf_varint(out, *(const uint64_t *)cell);
    if (kind == CELL_HIST) put_hist(out, cell);
    if (kind != CELL_MOMENTS) return;
    const struct cell_moments *m = cell;
    buf_varint(out, m->n);
    bytes_out_f64(out, m->v);
    bytes_out_f64(out, m->c);
}

static void get_cell(struct wire_in *w, enum cell_kind kind, void *cell)
{
    if (kind == CELL_COUNT) *(uint64_t *)cell = bytes_in_varint(w->in);
    if (kind == CELL_HIST) get_hist(w, cell);
    if (kind != CELL_MOMENTS) return;
    struct cell_moments *m = cell;
    m->n = bytes_in_varint(w->in);
    m->v = bytes_in_f64(w->in);
    m->c = bytes_in_f64(w->in);
}

static void put_pages(struct buf *out, const struct metrics_plan *p, const struct mgroup *g)
{
    size_t size = metrics_cell_size(p->cells);
    uint32_t n = 0, gap = 0;
    for (uint32_t i = 0; i < pages_of(p); i++)
        n += g->pages[i] != NULL;
    buf_varint(out, n);
    for (uint32_t i = 0; i < pages_of(p); i++, gap++) {
        const char *page = g->pages[i];
        uint16_t used = 0;
        if (!page) continue;
        for (uint32_t k = 0; k < METRICS_PAGE; k++)
            used |= (uint16_t)(cell_used(p->cells, page + k * size) << k);
        buf_varint(out, gap);
        gap = UINT32_MAX; /* 0 for the page that follows */
        buf_put(out, &used, sizeof used);
        for (uint32_t k = 0; k < METRICS_PAGE; k++)
            if (used >> k & 1) put_cell(out, p->cells, page + k * size);
    }
}

static err_t get_pages(struct wire_in *w, const struct metrics_plan *p, struct mgroup *g)
{
    size_t size = metrics_cell_size(p->cells);
    uint32_t n = bytes_in_count(w->in, 3);
    uint64_t at = 0;
    for (uint32_t i = 0; i < n && get_place(w, pages_of(p), &at); i++) {
        uint16_t used;
        bytes_in_copy(w->in, &used, sizeof used);
        char *page = g->pages[at - 1] = arena_calloc(w->a, METRICS_PAGE, size);
        for (uint32_t k = 0; k < METRICS_PAGE; k++)
            if (used >> k & 1) get_cell(w, p->cells, page + k * size);
        TRY(wire_check(w, "a series of a metrics query"));
    }
    return OK;
}

/* -- groups --------------------------------------------------------------------------------------------------- */
static void put_exemplars(struct buf *out, const struct metrics_plan *p, const struct mgroup *g)
{
    uint32_t n = 0, gap = 0;
    for (uint32_t i = 0; i < p->slots; i++)
        n += g->ex[i].used;
    buf_varint(out, n);
    for (uint32_t i = 0; i < p->slots; i++, gap++) {
        const struct mexemplar *e = &g->ex[i];
        if (!e->used) continue;
        buf_varint(out, gap);
        gap = UINT32_MAX;
        buf_varint(out, e->prio);
        buf_put(out, e->x.trace_id, 16);
        buf_put(out, e->x.span_id, 8);
        bytes_out_zigzag(out, e->x.start_ns);
        bytes_out_f64(out, e->x.value);
    }
}

static void get_exemplars(struct wire_in *w, const struct metrics_plan *p, struct mgroup *g)
{
    uint32_t n = bytes_in_count(w->in, 35);
    uint64_t at = 0;
    for (uint32_t i = 0; i < n && get_place(w, p->slots, &at); i++) {
        struct mexemplar *e = &g->ex[at - 1];
        *e = (struct mexemplar){ .prio = wire_get_u32(w, UINT32_MAX), .used = true };
        bytes_in_copy(w->in, e->x.trace_id, 16);
        bytes_in_copy(w->in, e->x.span_id, 8);
        e->x.start_ns = bytes_in_zigzag(w->in);
        e->x.value = bytes_in_f64(w->in);
    }
}

static void metrics_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct metrics_plan *p = plan;
    const struct mstate *st = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    for (uint32_t k = 0; k < p->u->nby; k++)
        tvals_put(&w, st->values[k].v, st->values[k].n);
    buf_varint(out, st->n);
    for (uint32_t g = 0; g < st->n; g++) {
        for (uint32_t k = 0; k < p->nkeys; k++)
            buf_varint(out, st->groups[g].ids[k]);
        put_pages(out, p, &st->groups[g]);
        put_exemplars(out, p, &st->groups[g]);
    }
    wire_out_deinit(&w);
}

static err_t get_group(struct wire_in *w, struct mstate *st)
{
    const struct metrics_plan *p = st->p;
    uint32_t ids[METRICS_BY_MAX] = { 0 }, g;
    for (uint32_t k = 0; k < p->nkeys; k++) {
        uint64_t id = bytes_in_varint(w->in);
        w->in->bad |= k < p->u->nby ? id > st->values[k].n : id == 0 || id > METRICS_BUCKETS_END;
        ids[k] = (uint32_t)id;
    }
    TRY(wire_check(w, "a series of a metrics query"));
    TRY(mstate_group(st, ids, &g));
    TRY(get_pages(w, p, &st->groups[g]));
    get_exemplars(w, p, &st->groups[g]);
    return wire_check(w, "the exemplars of a metrics query");
}

static err_t get_state(struct wire_in *w, struct mstate *st)
{
    for (uint32_t k = 0; k < st->p->u->nby; k++)
        st->values[k].v = tvals_get(w, UINT32_MAX - 2, &st->values[k].n);
    uint32_t n = bytes_in_count(w->in, 2);
    for (uint32_t i = 0; i < n; i++) {
        TRY(get_group(w, st));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return wire_check(w, "the state of a metrics query");
}

static err_t metrics_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct mstate *st = ARENA_NEW(a, struct mstate);
    struct wire_in w = wire_in_of(in, a);
    mstate_init(st, plan, a);
    *partial = st;
    err_t e = get_state(&w, st);
    mstate_deinit(st);
    return e;
}

const struct fragment_kind TRACE_METRICS_KIND = { .name = "trace_metrics", .fn = metrics_fragment, .plan_put = plan_put,
                                                  .plan_get = metrics_plan_get, .plan_free = plan_free,
                                                  .partial_put = metrics_partial_put, .partial_get = metrics_partial_get };

/* -- compare() ------------------------------------------------------------------------------------------------ */
static uint64_t count_at(const struct csteps *s, uint32_t step)
{
    const uint64_t *page = s->page ? s->page[step / METRICS_PAGE] : NULL;
    return page ? page[step % METRICS_PAGE] : 0;
}

static void put_steps(struct buf *out, const struct metrics_plan *p, const struct csteps *s)
{
    uint32_t n = 0, gap = 0;
    for (uint32_t i = 0; s->page && i < p->range.nsteps; i++)
        n += count_at(s, i) != 0;
    buf_varint(out, n);
    for (uint32_t i = 0; n && i < p->range.nsteps; i++, gap++) {
        if (!count_at(s, i)) continue;
        buf_varint(out, gap);
        gap = UINT32_MAX;
        buf_varint(out, count_at(s, i));
    }
}

static void put_attr(struct wire_out *w, const struct metrics_plan *p, const struct cattr *t)
{
    uint8_t which = t->f.scope == TS_RESOURCE;
    for (int i = 0; t->f.kind == TF_INTRINSIC && i < COMPARE_INTRINSICS; i++)
        if (compare_intrinsics[i].intrinsic == t->f.intrinsic) which = (uint8_t)(2 + i);
    buf_byte(w->out, which);
    if (which < 2) wire_put_str(w, t->f.name);
    for (int side = 0; side < COMPARE_SIDES; side++)
        put_steps(w->out, p, &t->other[side]);
    buf_varint(w->out, t->n);
    for (uint32_t k = 0; k < t->n; k++) {
        tval_put(w, &t->values.v[k]);
        for (int side = 0; side < COMPARE_SIDES; side++)
            put_steps(w->out, p, &t->v[k].side[side]);
    }
}

static void compare_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct compare *c = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    buf_varint(out, c->n);
    for (uint32_t i = 0; i < c->n; i++)
        put_attr(&w, plan, c->attr[i]);
    wire_out_deinit(&w);
}

static void get_steps(struct wire_in *w, struct compare *c, struct cattr *t, uint32_t id, int side)
{
    uint32_t n = bytes_in_count(w->in, 2);
    uint64_t at = 0;
    for (uint32_t i = 0; i < n && get_place(w, c->p->range.nsteps, &at); i++) {
        uint64_t count = bytes_in_varint(w->in);
        w->in->bad |= count == 0;
        compare_add(c, t, id, side, (uint32_t)at - 1, count);
    }
}

static err_t get_attr(struct wire_in *w, struct compare *c)
{
    struct tql_field f = { .kind = TF_ATTR };
    uint32_t which = wire_get_enum(w, 2 + COMPARE_INTRINSICS - 1);
    f.scope = which == 1 ? TS_RESOURCE : TS_SPAN;
    if (which < 2) f.name = wire_get_str(w);
    else f = compare_intrinsics[which - 2];
    w->in->bad |= which < 2 && !f.name.p;
    TRY(wire_check(w, "an attribute of a comparison"));
    uint32_t had = c->n;
    struct cattr *t = compare_attr(c, &f);
    if (t && c->n == had) return err_set(ERR_CORRUPT, "a comparison from another node has an attribute twice");
    if (!t) return err_set(ERR_CORRUPT, "a comparison from another node has over %d attributes", COMPARE_ATTRS_MAX);
    for (int side = 0; side < COMPARE_SIDES; side++)
        get_steps(w, c, t, LABEL_OTHER, side);
    uint32_t n = bytes_in_count(w->in, 3);
    for (uint32_t k = 0; k < n; k++) {
        struct tval v = tval_get(w);
        w->in->bad |= v.type == TV_NIL;
        TRY(wire_check(w, "a value of a comparison"));
        uint32_t id = label_number(&t->values, &v);
        w->in->bad |= id != k + 1; /* each once */
        for (int side = 0; side < COMPARE_SIDES; side++)
            get_steps(w, c, t, id, side);
    }
    return wire_check(w, "the values of a comparison");
}

static err_t compare_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct compare *c = ARENA_NEW(a, struct compare);
    struct wire_in w = wire_in_of(in, a);
    err_t e = OK;
    compare_init(c, plan, a);
    *partial = c;
    uint32_t n = bytes_in_count(in, 4);
    for (uint32_t i = 0; i < n && e == OK; i++)
        e = get_attr(&w, c);
    if (e == OK) e = wire_check(&w, "a comparison");
    compare_deinit(c);
    return e;
}

const struct fragment_kind COMPARE_KIND = { .name = "trace_compare", .fn = compare_fragment, .plan_put = plan_put,
                                            .plan_get = compare_plan_get, .plan_free = plan_free,
                                            .partial_put = compare_partial_put, .partial_get = compare_partial_get };
