/* Aggregations that need the rows themselves: topk, bottomk, limitk, limit_ratio, quantile, count_values. */
#include "query/promql/agg.h"
#include "query/promql/number.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

struct grouping { /* row -> group */
    struct pq_agg groups; /* labels only */
    uint32_t *of;
};

static err_t group_rows(struct pq_env *e, const struct pq_node *n, const struct pq_matrix *m, struct grouping *gr)
{
    struct pq_rowset set;
    struct pq_matrix groups = { 0 };
    err_t err = OK;
    pq_rowset_init(&set, &groups);
    gr->of = ARENA_RAW(e->a, uint32_t, m->n);
    gr->groups = (struct pq_agg){ 0 };
    for (uint32_t r = 0; r < m->n; r++) {
        TRY_OUT(err, pq_checkpoint(e));
        struct labels l = pq_group_labels(e->a, n, &m->rows[r].labels);
        gr->of[r] = (uint32_t)(pq_rowset_get(&set, e->a, l, 1) - groups.rows);
    }
    gr->groups.n = groups.n;
    gr->groups.groups = ARENA_ARRAY(e->a, struct pq_agg_group, groups.n);
    for (uint32_t i = 0; i < groups.n; i++) gr->groups.groups[i].labels = groups.rows[i].labels;
    for (uint32_t r = 0; r < m->n; r++)
        if (m->rows[r].drop_name) gr->groups.groups[gr->of[r]].drop_name = true;
out:
    pq_rowset_deinit(&set);
    return err;
}

/* -- ranks ------------------------------------------------------------------------------------------------------ */
/* Of equals the first by its labels: the order of rows says where they were stored. Rows of one labelset (their names are dropped
 * later) stay as they are. */
struct ranked_row {
    const struct labels *labels;
    uint32_t row;
};

static int by_labels(const void *a, const void *b)
{
    const struct ranked_row *x = a, *y = b;
    int c = pq_labels_cmp(x->labels, y->labels);
    return c ? c : x->row < y->row ? -1 : x->row > y->row;
}

/* The rows in that order. One core's come in it already. */
static err_t order_rows(struct pq_env *e, const struct pq_matrix *m, uint32_t **out)
{
    struct ranked_row *v = ARENA_RAW(e->a, struct ranked_row, m->n);
    uint32_t *order = *out = ARENA_RAW(e->a, uint32_t, m->n);
    bool sorted = true;
    for (uint32_t r = 0; r < m->n; r++) {
        v[r] = (struct ranked_row){ &m->rows[r].labels, r };
        sorted = sorted && (r == 0 || pq_labels_cmp(v[r - 1].labels, v[r].labels) <= 0);
    }
    TRY(pq_checkpoint(e));
    if (!sorted) qsort(v, m->n, sizeof *v, by_labels);
    for (uint32_t r = 0; r < m->n; r++) order[r] = v[r].row;
    return OK;
}

struct candidate {
    double v;
    uint64_t hash;
    uint32_t row, rank, group; /* group: its place in the order of labels */
};

static int by_rank(const struct candidate *x, const struct candidate *y) { return x->rank < y->rank ? -1 : x->rank > y->rank; }

static int cmp_top(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (isnan(x->v) != isnan(y->v)) return isnan(x->v) ? 1 : -1;
    if (x->v != y->v && !isnan(x->v)) return x->v > y->v ? -1 : 1;
    return by_rank(x, y);
}

static int cmp_bottom(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (isnan(x->v) != isnan(y->v)) return isnan(x->v) ? 1 : -1;
    if (x->v != y->v && !isnan(x->v)) return x->v < y->v ? -1 : 1;
    return by_rank(x, y);
}

static int cmp_limit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : by_rank(x, y);
}

struct placed_group {
    const struct labels *labels;
    uint32_t i;
};

static int group_cmp(const void *a, const void *b)
{
    return pq_labels_cmp(((const struct placed_group *)a)->labels, ((const struct placed_group *)b)->labels);
}

/* Numbers groups in the order of their labels: the answer of a topk at the root shows it. */
static void order_groups(struct pq_env *e, const struct pq_matrix *m, struct grouping *gr)
{
    uint32_t n = gr->groups.n, *place = ARENA_RAW(e->a, uint32_t, n);
    struct placed_group *v = ARENA_RAW(e->a, struct placed_group, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct placed_group){ &gr->groups.groups[i].labels, i };
    if (n) qsort(v, n, sizeof *v, group_cmp);
    for (uint32_t i = 0; i < n; i++)
        place[v[i].i] = i;
    for (uint32_t r = 0; r < m->n; r++)
        gr->of[r] = place[gr->of[r]];
}

/* Prometheus' hash of a label set: of its texts, each behind its length. Which series a ratio takes is to be the same. */
static uint64_t ratio_hash(const struct labels *l)
{
    struct buf b;
    buf_init(&b, SIZE_MAX, NULL);
    for (uint32_t i = 0; i < 2 * l->n; i++) {
        struct str s = i & 1 ? l->l[i / 2].value : l->l[i / 2].name;
        buf_byte(&b, (uint8_t)MIN(s.n, 255));
        for (int k = 0; s.n >= 255 && k < 3; k++) buf_byte(&b, (uint8_t)(s.n >> 8 * k));
        buf_str(&b, s);
    }
    uint64_t h = XXH64(b.n ? b.p : "", b.n, 0);
    buf_deinit(&b);
    return h;
}

static bool ratio_takes(double r, uint64_t hash)
{
    double at = (double)hash / 18446744073709551616.0;
    return r >= 0 ? at < r : at >= 1 + r;
}

/* The least and the greatest parameter of all steps; false when one is NaN. */
static bool extremes(const double *k, uint32_t n, double *lo, double *hi)
{
    bool ok = true;
    *lo = INFINITY, *hi = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        ok = ok && !isnan(k[i]);
        if (k[i] < *lo) *lo = k[i];
        if (k[i] > *hi) *hi = k[i];
    }
    return ok;
}

static void note_ratio(struct pq_env *e, const struct pq_node *n, double k, int to)
{
    char num[PQ_NUMBER_MAX];
    pq_note(&e->notes, PQ_WARN, pq_unparen(n->agg.param)->start, "ratio value should be between -1 and 1, got %.*s, capping to %d",
            (int)pq_format_g(k, num), num, to);
}

/* `none`: no step takes anything, whatever else is wrong with the parameter. */
static err_t check_k(struct pq_env *e, const struct pq_node *n, const double *k, uint32_t steps, bool *none)
{
    char num[PQ_NUMBER_MAX];
    double lo, hi;
    bool ok = extremes(k, steps, &lo, &hi);
    *none = false;
    if (n->agg.op == PQ_LIMIT_RATIO) {
        if (!ok) return pq_exec_error("Ratio value is NaN");
        if (hi > 1) note_ratio(e, n, hi, 1);
        if (lo < -1) note_ratio(e, n, lo, -1);
        return OK;
    }
    *none = ok && hi < 1;
    if (*none) return OK;
    if (!ok) return pq_exec_error("Parameter value is NaN");
    if (lo <= -0x1p63) return pq_exec_error("Scalar value %.*s underflows int64", (int)pq_format_g(lo, num), num);
    if (hi >= 9223372036854774784.0) return pq_exec_error("Scalar value %.*s overflows int64", (int)pq_format_g(hi, num), num);
    return OK;
}

static void note_hist(struct pq_env *e, const struct pq_node *n)
{
    pq_note(&e->notes, PQ_INFO, n->start, "ignored histogram in %s aggregation", pq_agg_name(n->agg.op));
}

/* topk, bottomk, limitk, limit_ratio of one step: what stays comes first in c, in order. */
static uint32_t pick(const struct pq_node *n, const struct pq_matrix *m, const struct grouping *gr, const struct candidate *all,
                     uint32_t i, double k, struct candidate *c, struct pq_env *e)
{
    bool limit = n->agg.op == PQ_LIMITK || n->agg.op == PQ_LIMIT_RATIO;
    uint32_t nc = 0, taken = 0;
    for (uint32_t r = 0; r < m->n; r++) {
        const struct pq_row *row = &m->rows[r];
        if (!row->have[i]) continue;
        if (row->have[i] == PQ_CELL_HIST && !limit) {
            note_hist(e, n);
            continue;
        }
        c[nc] = all[r];
        c[nc].group = gr->of[r];
        c[nc++].v = row->v[i];
    }
    if (n->agg.op == PQ_LIMIT_RATIO) {
        double r = k > 1 ? 1 : k < -1 ? -1 : k;
        for (uint32_t x = 0; x < nc; x++)
            if (ratio_takes(r, c[x].hash)) c[taken++] = c[x];
        return taken;
    }
    if (nc)
        qsort(c, nc, sizeof *c, n->agg.op == PQ_TOPK ? cmp_top : n->agg.op == PQ_BOTTOMK ? cmp_bottom : cmp_limit);
    double in_group = 0;
    uint32_t prev = UINT32_MAX;
    for (uint32_t x = 0; x < nc; x++) {
        in_group = c[x].group == prev ? in_group + 1 : 1;
        prev = c[x].group;
        if (in_group <= trunc(k)) c[taken++] = c[x];
    }
    return taken;
}

/* Rows of m of which some steps are taken, in the order in which they first are. */
struct answer {
    struct pq_env *e;
    const struct pq_matrix *m;
    struct pq_matrix *out;
    uint32_t steps, *out_of; /* out_of: of a row of m its place in the answer, UINT32_MAX: none yet */
};

static struct answer answer_of(struct pq_env *e, const struct pq_matrix *m, uint32_t steps, struct pq_matrix *out)
{
    struct answer x = { e, m, out, steps, ARENA_RAW(e->a, uint32_t, m->n) };
    memset(x.out_of, 0xff, sizeof *x.out_of * m->n);
    return x;
}

static void answer_take(struct answer *x, uint32_t r, uint32_t step)
{
    const struct pq_row *row = &x->m->rows[r];
    if (x->out_of[r] == UINT32_MAX) {
        x->out_of[r] = x->out->n;
        pq_row_add(x->e->a, x->out, row->labels, x->steps)->drop_name = row->drop_name;
    }
    pq_copy_cell(x->e->a, &x->out->rows[x->out_of[r]], row, step, x->steps);
}

static err_t pick_all(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_matrix *m,
                      const struct grouping *gr, const uint32_t *order, const double *k, struct pq_matrix *out)
{
    struct candidate *all = ARENA_RAW(e->a, struct candidate, m->n), *c = ARENA_RAW(e->a, struct candidate, m->n);
    struct answer to = answer_of(e, m, g->n, out);
    bool ratio = n->agg.op == PQ_LIMIT_RATIO;
    TRY(arena_check(e->a));
    for (uint32_t x = 0; x < m->n; x++) {
        uint32_t r = order[x];
        all[r] = (struct candidate){ .hash = ratio ? ratio_hash(&m->rows[r].labels) : pq_labels_hash(&m->rows[r].labels), .row = r, .rank = x };
    }
    for (uint32_t i = 0; i < g->n; i++) {
        TRY(pq_checkpoint(e));
        if (k[i] < 1 && n->agg.op != PQ_LIMIT_RATIO) continue;
        uint32_t taken = pick(n, m, gr, all, i, k[i], c, e);
        for (uint32_t x = 0; x < taken; x++) answer_take(&to, c[x].row, i);
    }
    return OK;
}

/* -- few of many ------------------------------------------------------------------------------------------------ */
/* topk and bottomk of a small k: rows come in the order of their labels, each step of a group keeps the best of them, best first, and the value
 * that is to be beaten: most rows are told by a comparison a step. */
enum { BEST_MAX = 32 };
struct best { /* of a group; keys are values, of bottomk negated */
    uint32_t slots, size;  /* slots: places a step; size: rows of the group */
    uint32_t *count, *row; /* count: taken, a step; row[slot * steps + i] */
    double *key, *beat;    /* key likewise; beat: the last key where all places are taken, NaN where one is free or the last is NaN */
};

static bool is_better(double x, double y) { return x > y || (isnan(y) && !isnan(x)); }

static void best_put(struct best *b, uint32_t steps, uint32_t i, uint32_t k, double key, uint32_t row)
{
    uint32_t n = b->count[i];
    if (k == 0 || (n == k && !is_better(key, b->key[(n - 1) * (size_t)steps + i]))) return;
    if (n < k) b->count[i] = ++n;
    size_t at = (n - 1) * (size_t)steps + i;
    for (; at >= steps && is_better(key, b->key[at - steps]); at -= steps) {
        b->key[at] = b->key[at - steps];
        b->row[at] = b->row[at - steps];
    }
    b->key[at] = key;
    b->row[at] = row;
    b->beat[i] = n == k ? b->key[(n - 1) * (size_t)steps + i] : NAN;
}

static err_t best_init(struct pq_env *e, uint32_t steps, uint32_t k_max, struct best *b)
{
    b->slots = MIN(k_max, b->size);
    size_t places = (size_t)b->slots * steps;
    b->count = ARENA_ARRAY(e->a, uint32_t, steps);
    b->beat = ARENA_RAW(e->a, double, steps);
    b->row = ARENA_RAW(e->a, uint32_t, places);
    b->key = ARENA_RAW(e->a, double, places);
    for (uint32_t i = 0; i < steps; i++) b->beat[i] = NAN;
    return pq_checkpoint(e);
}

static err_t best_add(struct pq_env *e, const struct pq_node *n, uint32_t steps, const uint32_t *k, const struct pq_row *row, uint32_t no,
                      struct best *b)
{
    double sign = n->agg.op == PQ_TOPK ? 1 : -1;
    for (uint32_t i = 0; i < steps; i++) {
        double key = sign * row->v[i];
        if (row->have[i] == PQ_CELL_HIST && k[i]) note_hist(e, n);
        if (row->have[i] != PQ_CELL_FLOAT || key <= b->beat[i]) continue;
        best_put(b, steps, i, MIN(k[i], b->slots), key, no);
    }
    return pq_checkpoint(e);
}

/* Rows stand in the order in which steps, groups and places name them. */
static err_t best_rows(struct pq_env *e, uint32_t steps, const struct pq_matrix *m, const struct best *best, uint32_t groups, struct pq_matrix *out)
{
    struct answer to = answer_of(e, m, steps, out);
    for (uint32_t i = 0; i < steps; i++) {
        TRY(pq_checkpoint(e));
        for (uint32_t x = 0; x < groups; x++)
            for (uint32_t s = 0; s < best[x].count[i]; s++) answer_take(&to, best[x].row[s * (size_t)steps + i], i);
    }
    return arena_check(e->a);
}

static err_t pick_best(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_matrix *m,
                       const struct grouping *gr, const uint32_t *order, const double *k, double k_max, struct pq_matrix *out)
{
    struct best *best = ARENA_ARRAY(e->a, struct best, gr->groups.n);
    uint32_t *limit = ARENA_RAW(e->a, uint32_t, g->n);
    TRY(arena_check(e->a));
    for (uint32_t i = 0; i < g->n; i++) limit[i] = k[i] < 1 ? 0 : (uint32_t)k[i];
    for (uint32_t r = 0; r < m->n; r++) best[gr->of[r]].size++;
    for (uint32_t x = 0; x < gr->groups.n; x++) TRY(best_init(e, g->n, (uint32_t)k_max, &best[x]));
    for (uint32_t x = 0; x < m->n; x++) TRY(best_add(e, n, g->n, limit, &m->rows[order[x]], order[x], &best[gr->of[order[x]]]));
    return best_rows(e, g->n, m, best, gr->groups.n, out);
}

static err_t eval_pick(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                       const struct pq_matrix *m, const double *k, struct pq_matrix *out)
{
    struct grouping gr;
    uint32_t *order;
    double k_max = 0;
    bool none;
    TRY(check_k(e, n, k, g->n, &none));
    for (uint32_t i = 0; i < g->n; i++) k_max = fmax(k_max, k[i]);
    if (none || m->n == 0) return OK;
    TRY(group_rows(e, n, m, &gr));
    order_groups(e, m, &gr);
    TRY(order_rows(e, m, &order));
    bool top = n->agg.op == PQ_TOPK || n->agg.op == PQ_BOTTOMK;
    if (top && k_max < 1) return OK;
    if (top && k_max <= BEST_MAX) return pick_best(e, n, g, m, &gr, order, k, k_max, out);
    return pick_all(e, n, g, m, &gr, order, k, out);
}

static err_t eval_quantile(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                           const struct pq_matrix *m, const double *q, struct pq_matrix *out)
{
    struct grouping gr;
    TRY(group_rows(e, n, m, &gr));
    double lo, hi;
    if (!extremes(q, g->n, &lo, &hi)) pq_note_quantile(&e->notes, pq_unparen(n->agg.param)->start, NAN);
    if (g->n && hi > 1) pq_note_quantile(&e->notes, pq_unparen(n->agg.param)->start, hi);
    if (g->n && lo < 0) pq_note_quantile(&e->notes, pq_unparen(n->agg.param)->start, lo);
    double *v = ARENA_RAW(e->a, double, m->n + 1);
    uint32_t *start = ARENA_ARRAY(e->a, uint32_t, gr.groups.n + 2), *at = ARENA_RAW(e->a, uint32_t, gr.groups.n + 1);
    for (uint32_t k = 0; k < gr.groups.n; k++)
        pq_row_add(e->a, out, gr.groups.groups[k].labels, g->n)->drop_name = gr.groups.groups[k].drop_name;
    for (uint32_t r = 0; r < m->n; r++) start[gr.of[r] + 1]++;
    for (uint32_t k = 0; k < gr.groups.n; k++) start[k + 1] += start[k];
    for (uint32_t i = 0; i < g->n; i++) {
        TRY(pq_checkpoint(e));
        memcpy(at, start, sizeof *at * gr.groups.n);
        for (uint32_t r = 0; r < m->n; r++) {
            if (m->rows[r].have[i] == PQ_CELL_FLOAT) v[at[gr.of[r]]++] = m->rows[r].v[i];
            if (m->rows[r].have[i] == PQ_CELL_HIST)
                pq_note(&e->notes, PQ_INFO, n->agg.expr->start, "ignored histogram in quantile aggregation");
        }
        for (uint32_t k = 0; k < gr.groups.n; k++)
            if (at[k] > start[k])
                pq_set_float(&out->rows[k], i, pq_quantile(q[i], v + start[k], at[k] - start[k]));
    }
    return OK;
}

static err_t eval_count_values(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                               const struct pq_matrix *m, struct str label, struct pq_matrix *out)
{
    struct pq_rowset set;
    err_t err = OK;
    if (!label.n || !str_utf8_valid(label)) {
        struct buf b;
        buf_init(&b, 1 << 16, NULL);
        pq_quote(label, &b);
        err = pq_exec_error("invalid label name %.*s", (int)b.n, b.p);
        buf_deinit(&b);
        return err;
    }
    pq_rowset_init(&set, out);
    for (uint32_t r = 0; r < m->n; r++) {
        const struct pq_row *row = &m->rows[r];
        struct labels group = pq_group_labels(e->a, n, &row->labels);
        for (uint32_t i = 0; i < g->n; i++) {
            TRY_OUT(err, pq_checkpoint(e));
            if (!row->have[i]) continue;
            char num[PQ_NUMBER_MAX];
            struct str value = row->have[i] == PQ_CELL_HIST ? pq_hist_text(e->a, row->h[i])
                                                            : arena_str(e->a, str_n(num, pq_format_f(row->v[i], num)));
            struct labels counted = pq_labels_set(e->a, &group, label, value);
            if (n->agg.without) counted = pq_group_labels(e->a, n, &counted); /* which may leave the value's label out again */
            struct pq_row *to = pq_rowset_get(&set, e->a, counted, g->n);
            to->drop_name = to->drop_name || (row->drop_name && !str_is(label, "__name__"));
            pq_set_float(to, i, to->have[i] ? to->v[i] + 1 : 1);
        }
    }
out:
    pq_rowset_deinit(&set);
    return err;
}

err_t pq_eval_agg(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    if (pq_agg_mergeable(n->agg.op)) {
        struct pq_agg s;
        err_t err = OK;
        pq_agg_init(&s);
        if (e->scatter_agg && n->agg.expr->local) {
            TRY_OUT(err, e->scatter_agg(e, n, g, &s));
        } else {
            TRY_OUT(err, pq_agg_eval(e, n, g, &s));
        }
        pq_agg_finish(e, n, g, &s, out);
    out:
        pq_agg_deinit(&s);
        return err;
    }
    struct pq_value v, p;
    TRY(pq_eval(e, n->agg.param, g, &p));
    TRY(pq_eval(e, n->agg.expr, g, &v));
    if (n->agg.op == PQ_COUNT_VALUES) return eval_count_values(e, n, g, &v.m, p.str, out);
    err_t err = n->agg.op == PQ_QUANTILE ? eval_quantile(e, n, g, &v.m, p.scalar, out)
                                         : eval_pick(e, n, g, &v.m, p.scalar, out);
    pq_rows_trim(out, g->n);
    return err;
}
