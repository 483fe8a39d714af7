#include "query/promql/agg.h"

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
    struct labels rest = pq_labels_pick(a, l, n->agg.labels, n->agg.nlabels, false);
    return pq_labels_unnamed(a, &rest);
}

static struct pq_agg_group *group_get(struct arena *a, struct pq_agg *s, struct labels labels, uint32_t steps)
{
    uint64_t h = pq_labels_hash(&labels);
    for (uint32_t it = 0, v; htab_next(&s->index, h, &it, &v);)
        if (pq_labels_equal(&s->groups[v].labels, &labels)) return &s->groups[v];
    htab_insert(&s->index, h, s->n);
    s->groups = arena_grow(a, s->groups, s->n, &s->cap, s->n + 1, sizeof *s->groups);
    struct pq_agg_group *g = &s->groups[s->n++];
    *g = (struct pq_agg_group){ .labels = labels, .cells = ARENA_ARRAY(a, struct pq_agg_cell, steps) };
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

static void add_avg(struct pq_agg_cell *s, double v)
{
    double count = s->floats; /* v included */
    if (!s->running) {
        double sum = s->v, c = s->c;
        pq_kahan(v, &sum, &c);
        if (s->floats == 1 || !isinf(sum)) {
            s->v = sum;
            s->c = c;
            return;
        }
        s->running = true;
        s->mean = s->v / (count - 1);
        s->mean_c = s->c / (count - 1);
    }
    double q = (count - 1) / count, m = q * s->mean;
    s->mean_c *= q;
    pq_kahan(v / count, &m, &s->mean_c);
    s->mean = m;
}

static void add_float(enum pq_aggop op, struct pq_agg_cell *s, double v)
{
    s->floats++;
    switch (op) {
    case PQ_SUM: pq_kahan(v, &s->v, &s->c); break;
    case PQ_AVG: add_avg(s, v); break;
    case PQ_MIN:
        if (s->floats == 1 || v < s->v || isnan(s->v)) s->v = v;
        break;
    case PQ_MAX:
        if (s->floats == 1 || v > s->v || isnan(s->v)) s->v = v;
        break;
    case PQ_STDDEV:
    case PQ_STDVAR: {
        double d = v - s->mean;
        if (s->floats == 1 && (isinf(v) || isnan(v))) s->v = NAN;
        s->mean += d / s->floats;
        s->v += d * (v - s->mean);
        break;
    }
    default: break;
    }
}

static void note_bits(struct pq_env *e, const struct pq_node *n, struct pq_agg_cell *s, unsigned bits)
{
    if (bits & PQ_HADD_MISMATCH) {
        s->broken = true;
        pq_note(&e->notes, PQ_WARN, n->agg.expr->start,
                "vector contains a mix of histograms with exponential and custom buckets schemas");
    }
    if (bits & PQ_HADD_RECONCILED)
        pq_note(&e->notes, PQ_INFO, n->agg.expr->start, "mismatched custom buckets were reconciled during aggregation");
}

static void add_hist(struct pq_env *e, const struct pq_node *n, struct pq_agg_cell *s, const struct pq_hist *h)
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

err_t pq_agg_add(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_matrix *m,
                 struct pq_agg *s)
{
    for (uint32_t r = 0; r < m->n; r++) {
        const struct pq_row *row = &m->rows[r];
        TRY(pq_checkpoint(e));
        struct labels labels = pq_group_labels(e->a, n, &row->labels);
        struct pq_agg_group *group = group_get(e->a, s, labels, g->n);
        group->drop_name = group->drop_name || row->drop_name;
        for (uint32_t i = 0; i < g->n; i++) {
            if (i % 256 == 255) TRY(pq_checkpoint(e));
            if (row->have[i] == PQ_CELL_FLOAT) {
                add_float(n->agg.op, &group->cells[i], row->v[i]);
            } else if (row->have[i] == PQ_CELL_HIST) {
                if (skips_hists(n->agg.op)) note_ignored(e, n);
                else add_hist(e, n, &group->cells[i], row->h[i]);
            }
        }
    }
    return OK;
}

static double mean_of(const struct pq_agg_cell *s)
{
    if (s->running) return s->mean + s->mean_c;
    return s->v / s->floats + s->c / s->floats;
}

static void merge_floats(enum pq_aggop op, struct pq_agg_cell *s, const struct pq_agg_cell *f)
{
    if (f->floats == 0) return;
    if (s->floats == 0) {
        struct pq_agg_cell old = *s;
        *s = *f;
        s->hists = old.hists, s->h = old.h, s->broken = old.broken;
        s->reset = old.reset, s->not_reset = old.not_reset;
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
        if (!s->running && !f->running && !isinf(sum)) {
            s->v = sum;
            s->c = c + f->c;
            break;
        }
        struct pq_agg_cell old = *s;
        old.floats -= f->floats;
        s->mean = mean_of(&old) * (a / total) + mean_of(f) * (b / total);
        s->mean_c = 0;
        s->running = true;
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
        double d = f->mean - s->mean;
        s->v += f->v + d * d * a * b / total;
        s->mean += d * b / total;
        break;
    }
    default: break;
    }
}

err_t pq_agg_merge(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_agg *from,
                   struct pq_agg *into)
{
    for (uint32_t k = 0; k < from->n; k++) {
        const struct pq_agg_group *f = &from->groups[k];
        TRY(pq_checkpoint(e));
        struct pq_agg_group *s = group_get(e->a, into, pq_labels_copy(e->a, &f->labels), g->n);
        s->drop_name = s->drop_name || f->drop_name;
        for (uint32_t i = 0; i < g->n; i++) {
            struct pq_agg_cell *c = &s->cells[i];
            if (i % 256 == 255) TRY(pq_checkpoint(e));
            merge_floats(n->agg.op, c, &f->cells[i]);
            if (f->cells[i].h && c->h) {
                note_bits(e, n, c, pq_hacc_merge(c->h, f->cells[i].h));
            } else if (f->cells[i].h) {
                c->h = f->cells[i].h;
                c->h->a = e->a;
            }
            c->hists += f->cells[i].hists;
            c->broken = c->broken || f->cells[i].broken;
            c->reset = c->reset || f->cells[i].reset;
            c->not_reset = c->not_reset || f->cells[i].not_reset;
        }
    }
    return OK;
}

static void finish_sum(struct pq_env *e, const struct pq_node *n, uint32_t steps, struct pq_agg_cell *s,
                       struct pq_row *row, uint32_t i)
{
    bool avg = n->agg.op == PQ_AVG;
    if (s->floats && s->hists) {
        pq_note(&e->notes, PQ_WARN, n->agg.expr->start, "encountered a mix of histograms and floats for aggregation");
        return;
    }
    if (s->hists) {
        if (s->broken) return;
        if (s->reset && s->not_reset)
            pq_note(&e->notes, PQ_WARN, n->agg.expr->start, "conflicting counter resets during histogram aggregation");
        if (avg) pq_hacc_div(s->h, s->hists * PQ_AVG_SCALE);
        pq_set_hist(e->a, row, i, steps, pq_hacc_done(s->h));
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
            struct pq_agg_cell *c = &s->groups[k].cells[i];
            if (c->floats + c->hists == 0) continue;
            switch (n->agg.op) {
            case PQ_SUM:
            case PQ_AVG: finish_sum(e, n, g->n, c, row, i); break;
            case PQ_COUNT: pq_set_float(row, i, (double)c->floats + c->hists); break;
            case PQ_GROUP: pq_set_float(row, i, 1); break;
            case PQ_STDDEV: pq_set_float(row, i, sqrt(c->v / c->floats)); break;
            case PQ_STDVAR: pq_set_float(row, i, c->v / c->floats); break;
            default: pq_set_float(row, i, c->v);
            }
        }
    }
    pq_rows_trim(out, g->n);
}
