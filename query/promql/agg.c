#include "query/promql/agg.h"
#include "query/promql/lanes.h"

#include <math.h>

bool pq_agg_mergeable(enum pq_aggop op) { return op <= PQ_STDVAR; }

void pq_agg_init(struct pq_agg *s)
{
    *s = (struct pq_agg){ 0 };
    htab_init(&s->index, NULL);
}

void pq_agg_deinit(struct pq_agg *s) { htab_deinit(&s->index); }

struct labels pq_group_labels(struct arena *a, const struct pq_node *n, const struct labels *l)
{
    if (!n->agg.without) return pq_labels_pick(a, l, n->agg.labels, n->agg.nlabels, true);
    static const struct str name = { "__name__", 8 }; /* __type__ and __unit__ stay */
    struct labels rest = pq_labels_pick(a, l, n->agg.labels, n->agg.nlabels, false);
    return pq_labels_pick(a, &rest, &name, 1, false);
}

void pq_agg_columns(struct arena *a, struct pq_agg_group *g, uint32_t steps)
{
    g->floats = ARENA_ARRAY(a, uint32_t, steps);
    g->v = ARENA_ARRAY(a, double, steps);
    g->c = ARENA_ARRAY(a, double, steps);
}

static struct pq_agg_rest *rest_at(struct arena *a, struct pq_agg_group *g, uint32_t steps, uint32_t i)
{
    if (!g->rest) g->rest = ARENA_ARRAY(a, struct pq_agg_rest, steps);
    return &g->rest[i];
}

struct pq_agg_cell pq_agg_get(const struct pq_agg_group *g, uint32_t i)
{
    static const struct pq_agg_rest none;
    return (struct pq_agg_cell){ g->floats[i], g->v[i], g->c[i], g->rest ? g->rest[i] : none };
}

void pq_agg_set(struct arena *a, struct pq_agg_group *g, uint32_t steps, uint32_t i, const struct pq_agg_cell *c)
{
    const struct pq_agg_rest *r = &c->rest;
    g->floats[i] = c->floats;
    g->v[i] = c->v;
    g->c[i] = c->c;
    bool none = !r->hists && !r->running && !r->broken && !r->reset && !r->not_reset && !r->h;
    none = none && r->mean == 0 && !signbit(r->mean) && r->mean_c == 0 && !signbit(r->mean_c);
    if (g->rest || !none) *rest_at(a, g, steps, i) = *r;
}

static struct pq_agg_group *group_get(struct arena *a, struct pq_agg *s, struct labels labels, uint32_t steps)
{
    uint64_t h = pq_labels_hash(&labels);
    for (uint32_t it = 0, v; htab_next(&s->index, h, &it, &v);)
        if (pq_labels_equal(&s->groups[v].labels, &labels)) return &s->groups[v];
    htab_insert(&s->index, h, s->n);
    s->groups = arena_grow(a, s->groups, s->n, &s->cap, s->n + 1, sizeof *s->groups);
    struct pq_agg_group *g = &s->groups[s->n++];
    *g = (struct pq_agg_group){ .labels = labels };
    pq_agg_columns(a, g, steps);
    return g;
}

static bool skips_hists(enum pq_aggop op)
{
    return op != PQ_SUM && op != PQ_AVG && op != PQ_COUNT && op != PQ_GROUP;
}

static void note_ignored(struct pq_env *e, const struct pq_node *n)
{
    pq_note(&e->notes, PQ_INFO, n->agg.expr->start, "ignored histogram in %s aggregation", pq_agg_name(n->agg.op));
}

static void add_avg(struct arena *a, struct pq_agg_group *g, uint32_t steps, uint32_t i, double v)
{
    double count = g->floats[i]; /* v included */
    if (!g->rest || !g->rest[i].running) {
        double sum = g->v[i], c = g->c[i];
        pq_kahan(v, &sum, &c);
        if (g->floats[i] == 1 || !isinf(sum)) {
            g->v[i] = sum;
            g->c[i] = c;
            return;
        }
        struct pq_agg_rest *r = rest_at(a, g, steps, i);
        r->running = true;
        r->mean = g->v[i] / (count - 1);
        r->mean_c = g->c[i] / (count - 1);
    }
    struct pq_agg_rest *r = &g->rest[i];
    double q = (count - 1) / count, m = q * r->mean;
    r->mean_c *= q;
    pq_kahan(v / count, &m, &r->mean_c);
    r->mean = m;
}

static void add_float(enum pq_aggop op, struct arena *a, struct pq_agg_group *g, uint32_t steps, uint32_t i, double v)
{
    uint32_t floats = ++g->floats[i];
    switch (op) {
    case PQ_SUM: pq_kahan(v, &g->v[i], &g->c[i]); break;
    case PQ_AVG: add_avg(a, g, steps, i, v); break;
    case PQ_MIN:
        if (floats == 1 || v < g->v[i] || isnan(g->v[i])) g->v[i] = v;
        break;
    case PQ_MAX:
        if (floats == 1 || v > g->v[i] || isnan(g->v[i])) g->v[i] = v;
        break;
    case PQ_STDDEV:
    case PQ_STDVAR: {
        struct pq_agg_rest *r = rest_at(a, g, steps, i);
        double d = v - r->mean;
        if (floats == 1 && (isinf(v) || isnan(v))) g->v[i] = NAN;
        r->mean += d / floats;
        g->v[i] += d * (v - r->mean);
        break;
    }
    default: break;
    }
}

/* -- floats of many steps at once ------------------------------------------------------------------------------- */
enum { STEPS_AT_ONCE = 256 };

/* How many cells from `from` on are floats, at most STEPS_AT_ONCE. */
static uint32_t float_run(const uint8_t *have, uint32_t from, uint32_t n)
{
    static const uint64_t eight = PQ_CELL_FLOAT * UINT64_C(0x0101010101010101);
    uint32_t i = from, end = MIN(n, from + STEPS_AT_ONCE);
    uint64_t x = eight;
    while (i + 8 <= end && (memcpy(&x, have + i, 8), x == eight)) i += 8;
    while (i < end && have[i] == PQ_CELL_FLOAT) i++;
    return i - from;
}

/* False: they are added one by one. */
static bool add_run(enum pq_aggop op, struct pq_agg_group *g, uint32_t from, uint32_t n, const double *v)
{
    uint32_t *floats = g->floats + from, least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        least = MIN(least, floats[i]);
        most = MAX(most, floats[i]);
    }
    switch (op) {
    case PQ_SUM: pq_lanes_kahan(v, n, g->v + from, g->c + from); break;
    case PQ_AVG:
        if (g->rest || !pq_lanes_tame(v, g->v + from, n)) return false;
        pq_lanes_kahan(v, n, g->v + from, g->c + from);
        break;
    case PQ_MIN:
    case PQ_MAX:
        if (!least && most) return false;
        if (!most) memcpy(g->v + from, v, n * sizeof *v);
        else if (op == PQ_MIN) pq_lanes_min(v, n, g->v + from);
        else pq_lanes_max(v, n, g->v + from);
        break;
    case PQ_COUNT:
    case PQ_GROUP: break;
    default: return false;
    }
    for (uint32_t i = 0; i < n; i++) floats[i]++;
    return true;
}

/* -- histograms ------------------------------------------------------------------------------------------------- */
static void note_bits(struct pq_env *e, const struct pq_node *n, struct pq_agg_rest *s, unsigned bits)
{
    if (bits & PQ_HADD_MISMATCH) {
        s->broken = true;
        pq_note(&e->notes, PQ_WARN, n->agg.expr->start,
                "vector contains a mix of histograms with exponential and custom buckets schemas");
    }
    if (bits & PQ_HADD_RECONCILED)
        pq_note(&e->notes, PQ_INFO, n->agg.expr->start, "mismatched custom buckets were reconciled during aggregation");
}

static void add_hist(struct pq_env *e, const struct pq_node *n, struct pq_agg_rest *s, const struct pq_hist *h)
{
    double scale = n->agg.op == PQ_AVG ? PQ_AVG_SCALE : 1;
    s->hists++;
    if ((n->agg.op != PQ_SUM && n->agg.op != PQ_AVG) || s->broken) return;
    s->reset = s->reset || h->hint == NHIST_RESET;
    s->not_reset = s->not_reset || h->hint == NHIST_NOT_RESET;
    if (s->h) {
        note_bits(e, n, s, pq_hacc_add(s->h, h, scale));
        return;
    }
    s->h = ARENA_NEW(e->a, struct pq_hacc);
    pq_hacc_init(s->h, e->a, scale == 1 ? h : pq_hist_scale(e->a, h, scale));
}

/* -- rows --------------------------------------------------------------------------------------------------------- */
static err_t add_row(struct pq_env *e, const struct pq_node *n, uint32_t steps, const struct pq_row *row, struct pq_agg *s)
{
    struct pq_agg_group *group = group_get(e->a, s, pq_group_labels(e->a, n, &row->labels), steps);
    group->drop_name = group->drop_name || row->drop_name;
    for (uint32_t i = 0, run, rounds = 1; i < steps; i += run, rounds++) {
        if (row->h || rounds % 8 == 0) TRY(pq_checkpoint(e));
        run = float_run(row->have, i, steps);
        if (run && add_run(n->agg.op, group, i, run, row->v + i)) continue;
        for (uint32_t k = i; k < i + run; k++) add_float(n->agg.op, e->a, group, steps, k, row->v[k]);
        for (uint32_t end = MIN(i + STEPS_AT_ONCE, steps); i + run < end && row->have[i + run] != PQ_CELL_FLOAT; run++) {
            if (row->have[i + run] != PQ_CELL_HIST) continue;
            if (skips_hists(n->agg.op)) note_ignored(e, n);
            else add_hist(e, n, rest_at(e->a, group, steps, i + run), row->h[i + run]);
        }
    }
    return OK;
}

struct adding {
    struct pq_each each;
    const struct pq_node *n;
    uint32_t steps;
    struct pq_agg *s;
};

static err_t add_rows(struct pq_each *x, struct pq_env *e, const struct pq_matrix *m)
{
    const struct adding *to = CONTAINER_OF(x, struct adding, each);
    for (uint32_t r = 0; r < m->n; r++) {
        TRY(pq_checkpoint(e));
        TRY(add_row(e, to->n, to->steps, &m->rows[r], to->s));
    }
    return OK;
}

err_t pq_agg_eval(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_agg *s)
{
    struct adding to = { { .rows = add_rows }, n, g->n, s };
    return pq_eval_each(e, n->agg.expr, g, &to.each);
}

/* -- merging ---------------------------------------------------------------------------------------------------- */
static double mean_of(const struct pq_agg_cell *s)
{
    if (s->rest.running) return s->rest.mean + s->rest.mean_c;
    return s->v / s->floats + s->c / s->floats;
}

static void merge_floats(enum pq_aggop op, struct pq_agg_cell *s, const struct pq_agg_cell *f)
{
    if (f->floats == 0) return;
    if (s->floats == 0) {
        struct pq_agg_rest old = s->rest;
        *s = *f;
        s->rest.hists = old.hists, s->rest.h = old.h, s->rest.broken = old.broken;
        s->rest.reset = old.reset, s->rest.not_reset = old.not_reset;
        return;
    }
    double a = s->floats, b = f->floats, total = a + b;
    s->floats += f->floats;
    switch (op) {
    case PQ_SUM:
        pq_kahan(f->v, &s->v, &s->c);
        s->c += f->c;
        break;
    case PQ_AVG: {
        double sum = s->v, c = s->c;
        pq_kahan(f->v, &sum, &c);
        if (!s->rest.running && !f->rest.running && !isinf(sum)) {
            s->v = sum;
            s->c = c + f->c;
            break;
        }
        struct pq_agg_cell old = *s;
        old.floats -= f->floats;
        s->rest.mean = mean_of(&old) * (a / total) + mean_of(f) * (b / total);
        s->rest.mean_c = 0;
        s->rest.running = true;
        break;
    }
    case PQ_MIN:
        if (f->v < s->v || isnan(s->v)) s->v = f->v;
        break;
    case PQ_MAX:
        if (f->v > s->v || isnan(s->v)) s->v = f->v;
        break;
    case PQ_STDDEV:
    case PQ_STDVAR: { /* Chan's update */
        double d = f->rest.mean - s->rest.mean;
        s->v += f->v + d * d * a * b / total;
        s->rest.mean += d * b / total;
        break;
    }
    default: break;
    }
}

static void merge_hists(struct pq_env *e, const struct pq_node *n, struct pq_agg_rest *s, const struct pq_agg_rest *f)
{
    if (f->h && s->h) {
        note_bits(e, n, s, pq_hacc_merge(s->h, f->h));
    } else if (f->h) {
        s->h = f->h;
        s->h->a = e->a;
    }
    s->hists += f->hists;
    s->broken = s->broken || f->broken;
    s->reset = s->reset || f->reset;
    s->not_reset = s->not_reset || f->not_reset;
}

err_t pq_agg_merge(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_agg *from,
                   struct pq_agg *into)
{
    for (uint32_t k = 0; k < from->n; k++) {
        const struct pq_agg_group *f = &from->groups[k];
        TRY(pq_checkpoint(e));
        uint32_t before = into->n;
        struct pq_agg_group *s = group_get(e->a, into, pq_labels_copy(e->a, &f->labels), g->n);
        s->drop_name = s->drop_name || f->drop_name;
        if (into->n != before && !f->rest) { /* the first of it */
            memcpy(s->floats, f->floats, g->n * sizeof *s->floats);
            memcpy(s->v, f->v, g->n * sizeof *s->v);
            memcpy(s->c, f->c, g->n * sizeof *s->c);
            continue;
        }
        for (uint32_t i = 0; i < g->n; i++) {
            if (i % 256 == 255) TRY(pq_checkpoint(e));
            struct pq_agg_cell c = pq_agg_get(s, i), more = pq_agg_get(f, i);
            merge_floats(n->agg.op, &c, &more);
            merge_hists(e, n, &c.rest, &more.rest);
            pq_agg_set(e->a, s, g->n, i, &c);
        }
    }
    return OK;
}

static void finish_sum(struct pq_env *e, const struct pq_node *n, uint32_t steps, struct pq_agg_cell *s,
                       struct pq_row *row, uint32_t i)
{
    bool avg = n->agg.op == PQ_AVG;
    if (s->floats && s->rest.hists) {
        pq_note(&e->notes, PQ_WARN, n->agg.expr->start, "encountered a mix of histograms and floats for aggregation");
        return;
    }
    if (s->rest.hists) {
        if (s->rest.broken) return;
        if (s->rest.reset && s->rest.not_reset)
            pq_note(&e->notes, PQ_WARN, n->agg.expr->start, "conflicting counter resets during histogram aggregation");
        if (avg) pq_hacc_div(s->rest.h, s->rest.hists * PQ_AVG_SCALE);
        pq_set_hist(e->a, row, i, steps, pq_hacc_done(s->rest.h));
    } else if (avg) {
        pq_set_float(row, i, mean_of(s));
    } else {
        pq_set_float(row, i, isinf(s->v) || isnan(s->c) ? s->v : s->v + s->c);
    }
}

void pq_agg_finish(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_agg *s,
                   struct pq_matrix *out)
{
    for (uint32_t k = 0; k < s->n; k++) {
        struct pq_row *row = pq_row_add(e->a, out, s->groups[k].labels, g->n);
        row->drop_name = s->groups[k].drop_name;
        for (uint32_t i = 0; i < g->n; i++) {
            struct pq_agg_cell cell = pq_agg_get(&s->groups[k], i), *c = &cell;
            if (c->floats + c->rest.hists == 0) continue;
            switch (n->agg.op) {
            case PQ_SUM:
            case PQ_AVG: finish_sum(e, n, g->n, c, row, i); break;
            case PQ_COUNT: pq_set_float(row, i, (double)c->floats + c->rest.hists); break;
            case PQ_GROUP: pq_set_float(row, i, 1); break;
            case PQ_STDDEV: pq_set_float(row, i, sqrt(c->v / c->floats)); break;
            case PQ_STDVAR: pq_set_float(row, i, c->v / c->floats); break;
            default: pq_set_float(row, i, c->v);
            }
        }
    }
    pq_rows_trim(out, g->n);
}
