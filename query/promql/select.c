/* Selectors: the value of a series at each step, and the windows of range functions.
 *
 * Lookback and ranges are left-open, right-closed. A stale marker ends a series at once in instant selectors
 * and is skipped in ranges. A window is advanced over the samples of one series, never searched again. */
#include "query/promql/lanes.h"
#include "query/promql/slide.h"

#include "base/rt/rt.h"

#include <math.h>

static int64_t ref_time(const struct pq_shift *s, int64_t t)
{
    return (s->at != PQ_AT_NONE ? s->at_ms : t) - s->offset_ms;
}

static bool stale_at(const struct pq_samples *s, uint32_t i)
{
    return is_stale_nan(s->h && s->h[i] ? s->h[i]->sum : s->v[i]);
}

void pq_drop_stale(struct pq_samples *s, struct arena *scratch)
{
    uint32_t i = 0, n = 0;
    if (s->unmarked || (!s->h && !pq_lanes_hold(s->v, s->n, STALE_NAN_BITS))) return;
    while (i < s->n && !stale_at(s, i)) i++;
    if (i == s->n) return;
    struct pq_samples old = *s;
    int64_t *t = ARENA_RAW(scratch, int64_t, s->n), *st = s->st ? ARENA_RAW(scratch, int64_t, s->n) : NULL;
    double *v = ARENA_RAW(scratch, double, s->n);
    const struct pq_hist **h = s->h ? ARENA_RAW(scratch, const struct pq_hist *, s->n) : NULL;
    const struct metric_block **win = s->win ? ARENA_RAW(scratch, const struct metric_block *, s->n) : NULL;
    for (i = 0; i < s->n; i++) {
        if (stale_at(&old, i)) continue;
        t[n] = old.t[i];
        v[n] = old.v[i];
        if (h) h[n] = old.h[i];
        if (st) st[n] = old.st[i];
        if (win) win[n] = old.win[i];
        n++;
    }
    *s = (struct pq_samples){ n, t, v, h, st, win };
}

void pq_own_times(struct pq_samples *s, struct arena *a)
{
    if (s->times_stay && s->n) s->t = arena_dup(a, s->t, s->n * sizeof *s->t);
    s->times_stay = false;
}

/* Hints of histograms that have none, from the sample before. */
static void detect_resets(struct pq_samples *s, struct arena *scratch)
{
    const struct pq_hist *prev = NULL, **out;
    if (!s->h) return;
    out = ARENA_RAW(scratch, const struct pq_hist *, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        out[i] = s->h[i];
        if (!s->h[i] || stale_at(s, i)) continue;
        if (prev && s->h[i]->hint == NHIST_UNKNOWN) {
            struct pq_hist *h = arena_dup(scratch, s->h[i], sizeof *h);
            h->hint = pq_hist_reset(s->h[i], prev, scratch) ? NHIST_RESET : NHIST_NOT_RESET;
            out[i] = h;
        }
        prev = s->h[i];
    }
    s->h = out;
}

err_t pq_limit_samples(const struct pq_env *e, int64_t n)
{
    if (!e->samples_max || n <= e->samples_max) return OK;
    return pq_exec_error("query processing would load too many samples into memory in query execution: at least %lld, where query.samples_max is %lld",
                         (long long)n, (long long)e->samples_max);
}

err_t pq_charge(struct pq_env *e, uint32_t n)
{
    e->samples += n;
    TRY(pq_limit_samples(e, e->samples));
    return pq_checkpoint(e);
}

static double start_at(const struct pq_samples *s, uint32_t i) { return s->st ? (double)s->st[i] / 1000 : 0; }

static void instant_row(struct pq_env *e, const struct pq_selector *sel, const struct pq_grid *g,
                        const struct pq_samples *s, const struct pq_series *series, enum pq_fid what,
                        struct pq_matrix *out)
{
    struct pq_row *row = NULL;
    uint32_t next = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        int64_t t = ref_time(&sel->shift, pq_grid_at(g, i));
        while (next < s->n && s->t[next] <= t) next++;
        const struct metric_block *w = s->win && next < s->n && !sel->smoothed ? s->win[next] : NULL;
        if (w && w->tmin_ms <= t) { /* amid a summary its first sample is the newest that is known */
            if (!row) row = pq_row_add(e->a, out, series->labels, g->n);
            pq_set_float(row, i, what == FN_TIMESTAMP ? (double)w->tmin_ms / 1000 : what == FN_START_TIMESTAMP ? start_at(s, next) : w->first);
            continue;
        }
        if (next == 0) continue;
        uint32_t at = next - 1;
        /* The next one behind a summary may be as far away as its window is wide. */
        int64_t lookback = e->lookback_ms + (s->win && s->win[at] ? s->win[at]->resolution_ms : 0);
        if (s->t[at] <= t - lookback || stale_at(s, at)) continue;
        if (!row) row = pq_row_add(e->a, out, series->labels, g->n);
        if (what == FN_TIMESTAMP) pq_set_float(row, i, (double)s->t[at] / 1000);
        else if (what == FN_START_TIMESTAMP) pq_set_float(row, i, start_at(s, at));
        else if (s->h && s->h[at]) pq_set_hist(e->a, row, i, g->n, pq_hist_copy(e->a, s->h[at]));
        else pq_set_float(row, i, s->v[at]);
    }
}

/* A histogram between samples k and k + 1; NULL when they do not go together. A counter unless both say that they are gauges. */
static const struct pq_hist *hist_between(struct pq_env *e, const struct pq_node *n, const struct pq_samples *s, uint32_t k, int64_t t, struct str metric)
{
    bool counter = s->h[k]->hint != NHIST_GAUGE || s->h[k + 1]->hint != NHIST_GAUGE;
    const struct pq_hist *h = NULL;
    if (pq_hist_custom(s->h[k]) == pq_hist_custom(s->h[k + 1]))
        h = pq_hist_between(e, n->start, e->a, s->h[k], s->h[k + 1], (double)(t - s->t[k]) / (double)(s->t[k + 1] - s->t[k]), counter);
    struct str of = pq_for_metric(e->a, metric);
    if (!h) pq_note(&e->notes, PQ_WARN, n->start, "vector contains a mix of histograms with exponential and custom buckets schemas" STR_FMT, STR_ARG(of));
    return h;
}

/* smoothed instant selectors: at each step between the samples around it; the last one stays where none follows. */
static void smoothed_row(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_samples *s, const struct pq_series *series,
                         struct pq_matrix *out)
{
    struct pq_row *row = NULL;
    uint32_t lo = 0, next = 0, hi = 0;
    struct str metric = labels_get(&series->labels, STR("__name__"));
    for (uint32_t i = 0; i < g->n; i++) {
        int64_t t = ref_time(&n->sel->shift, pq_grid_at(g, i));
        while (hi < s->n && s->t[hi] <= t + e->lookback_ms) hi++;
        while (next < hi && s->t[next] < t) next++;
        while (lo < hi && s->t[lo] <= t - e->lookback_ms) lo++;
        uint32_t nh = 0;
        for (uint32_t k = lo; s->h && k < hi; k++) nh += s->h[k] != NULL;
        if (nh && nh != hi - lo) {
            struct str of = pq_for_metric(e->a, metric);
            pq_note(&e->notes, PQ_WARN, n->start, "encountered a mix of histograms and floats" STR_FMT, STR_ARG(of));
            continue;
        }
        bool exact = next < hi && s->t[next] == t;
        if (!exact && next <= lo) continue; /* nothing before */
        if (!row) row = pq_row_add(e->a, out, series->labels, g->n);
        uint32_t at = exact ? next : next - 1;
        if (exact || next == hi) {
            if (nh) pq_set_hist(e->a, row, i, g->n, pq_hist_copy(e->a, s->h[at]));
            else pq_set_float(row, i, s->v[at]);
        } else if (nh) {
            const struct pq_hist *h = hist_between(e, n, s, at, t, metric);
            if (h) pq_set_hist(e->a, row, i, g->n, pq_hist_copy(e->a, h)); /* its bounds are the sample's */
        } else {
            double span = (double)(s->t[next] - s->t[at]);
            pq_set_float(row, i, s->v[at] + (s->v[next] - s->v[at]) * (double)(t - s->t[at]) / span);
        }
    }
}

static void note_coarse(struct pq_env *e, const struct pq_series *s)
{
    if (!s->resolution_ms) return;
    pq_note(&e->notes, PQ_INFO, UINT32_MAX, "downsampled data was used, of a resolution of up to %llds", (long long)(s->resolution_ms + 999) / 1000);
}

struct range_span { int64_t min, max; };

/* -- rows one by one -------------------------------------------------------------------------------------------------- */
/* Rows between these two are made in each's memory. */
static struct arena *begin_row(struct pq_env *e, struct pq_each *each)
{
    struct arena *kept = e->a;
    if (each) e->a = &each->mem;
    return kept;
}

static err_t end_row(struct pq_env *e, struct pq_each *each, struct arena *kept, struct pq_matrix *out)
{
    e->a = kept;
    if (!each || out->n == 0) return OK;
    TRY(each->rows(each, e, out));
    arena_reset(&each->mem);
    *out = (struct pq_matrix){ 0 };
    return OK;
}

static err_t instant_series(struct pq_env *e, const struct pq_node *node, const struct pq_grid *g, const struct pq_series *series,
                            const struct range_span *span, enum pq_fid what, struct arena *scratch, struct pq_matrix *out)
{
    const struct pq_selector *sel = node->sel;
    bool smoothed = sel->smoothed && what == PQ_FUNC_COUNT;
    struct pq_samples s;
    TRY(e->src->samples(e->src, series, span->min - series->resolution_ms, span->max + series->resolution_ms, scratch, &s));
    TRY(pq_charge(e, MIN(s.n, g->n)));
    if (sel->stats) detect_resets(&s, scratch);
    if (smoothed) pq_drop_stale(&s, scratch);
    note_coarse(e, series);
    if (smoothed) smoothed_row(e, node, g, &s, series, out);
    else instant_row(e, sel, g, &s, series, what, out);
    return OK;
}

err_t pq_eval_selector(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, enum pq_fid what,
                       struct pq_each *each, struct pq_matrix *out)
{
    const struct pq_selector *sel = n->sel;
    struct range_span span = { ref_time(&sel->shift, g->start_ms) - e->lookback_ms + 1, ref_time(&sel->shift, pq_grid_at(g, g->n - 1)) };
    if (sel->smoothed) span.max += e->lookback_ms;
    struct pq_series *series;
    uint32_t ns;
    int64_t resolution_ms = 0;
    if (e->src->resolution) TRY(e->src->resolution(e->src, span.min, span.max, &resolution_ms));
    TRY(e->src->select(e->src, sel->m, sel->nm, span.min - resolution_ms, span.max, e->a, &series, &ns));
    struct arena scratch;
    arena_init(&scratch, e->a->budget);
    err_t err = OK;
    for (uint32_t i = 0; err == OK && i < ns; i++) {
        arena_reset(&scratch);
        struct arena *kept = begin_row(e, each);
        err = instant_series(e, n, g, &series[i], &span, what, &scratch, out);
        if (err == OK) err = end_row(e, each, kept, out);
        e->a = kept;
    }
    arena_deinit(&scratch);
    return err;
}

/* -- range functions --------------------------------------------------------------------------------- */
struct range_arg { /* the range argument of a call */
    const struct pq_node *node;
    const struct pq_shift *shift;
    int64_t range_ms;
    bool anchored, smoothed;
};

static struct range_arg range_arg(const struct pq_node *call)
{
    const struct pq_node *n = NULL;
    for (uint32_t i = 0; i < call->call.nargs && !n; i++)
        if (call->call.args[i]->type == PQ_MATRIX) n = pq_unparen(call->call.args[i]);
    struct range_arg r = { .node = n };
    if (n->kind == PQ_RANGE) {
        const struct pq_selector *s = n->range.sel->sel;
        r.shift = &s->shift;
        r.range_ms = n->range.range_ms;
        r.anchored = s->anchored;
        r.smoothed = s->smoothed;
    } else {
        r.shift = &n->sub.shift;
        r.range_ms = n->sub.range_ms;
    }
    return r;
}

static bool ends(struct str s, const char *suffix) { return str_ends(s, str_of(suffix)); }

/* rate and increase of what does not look like a counter. */
static void counter_info(struct pq_range_ctx *c, const struct labels *l)
{
    enum pq_fid f = c->call->call.fn->id;
    if ((f != FN_RATE && f != FN_INCREASE) || !c->metric.n) return;
    struct str type = labels_get(l, STR("__type__"));
    if (type.n) {
        if (!str_is(type, "counter") && !str_is(type, "histogram"))
            pq_note(&c->e->notes, PQ_INFO, c->arg_pos, "metric might not be a counter, __type__ label is not set to "
                    "\"counter\" or \"histogram\", got \"" STR_FMT "\": \"" STR_FMT "\"", STR_ARG(type),
                    STR_ARG(c->metric));
    } else if (!ends(c->metric, "_total") && !ends(c->metric, "_sum") && !ends(c->metric, "_count") &&
               !ends(c->metric, "_bucket")) {
        pq_note(&c->e->notes, PQ_INFO, c->arg_pos, "metric might not be a counter, name does not end in "
                "_total/_sum/_count/_bucket: \"" STR_FMT "\"", STR_ARG(c->metric));
    }
}

struct row_out { /* the row that a series' windows make; it is there with its first cell */
    struct pq_range_ctx *c;
    struct pq_matrix *to;
    struct pq_row *row;
    struct labels labels;
    bool drop_name;
    uint32_t steps;
};

static void put_cell(struct row_out *o, uint32_t i, const struct pq_cell *cell)
{
    struct pq_env *e = o->c->e;
    if (!cell->kind) return;
    if (cell->kind == PQ_CELL_FLOAT) counter_info(o->c, &o->labels);
    if (!o->row) {
        o->row = pq_row_add(e->a, o->to, o->labels, o->steps);
        o->row->drop_name = o->drop_name || !pq_range_keeps_name(o->c->call->call.fn->id);
    }
    if (cell->kind == PQ_CELL_FLOAT) pq_set_float(o->row, i, cell->v);
    else pq_set_hist(e->a, o->row, i, o->steps, pq_hist_copy(e->a, cell->h));
}

/* The windows of a grid; with @ all are the same one. */
static struct pq_edges edges_of(const struct range_arg *arg, const struct pq_grid *g)
{
    int64_t end = ref_time(arg->shift, g->start_ms);
    return (struct pq_edges){ end - arg->range_ms, end, arg->shift->at == PQ_AT_NONE ? g->step_ms : 0, g->n };
}

/* Windows that share what they know. The row is taken back when no window has a value. */
static err_t range_row_slide(struct pq_range_ctx *c, const struct pq_edges *edges, const struct pq_samples *s, struct labels labels, bool drop,
                             struct pq_matrix *out)
{
    struct pq_row *row = pq_row_add(c->e->a, out, labels, edges->n);
    uint32_t i = 0;
    row->drop_name = drop || !pq_range_keeps_name(c->call->call.fn->id);
    TRY(arena_check(c->e->a));
    TRY(pq_slide(c, s, edges, row->have, row->v));
    while (i < edges->n && row->have[i] == PQ_CELL_NONE) i++;
    if (i == edges->n) out->n--;
    else counter_info(c, &labels);
    return OK;
}

static err_t range_row(struct pq_range_ctx *c, const struct range_arg *arg, const struct pq_grid *g,
                       const struct pq_samples *s, const double *p1, const double *p2, struct labels labels,
                       bool drop, struct pq_matrix *out)
{
    struct pq_env *e = c->e;
    pq_range_fn *fn = pq_range_function(c->call->call.fn->id);
    struct row_out o = { c, out, NULL, labels, drop, g->n };
    uint32_t lo = 0, hi = 0;
    const struct pq_edges edges = edges_of(arg, g);
    c->metric = labels_get(&labels, STR("__name__"));
    if (!arg->anchored && !arg->smoothed && pq_slides(c->call->call.fn->id, s)) return range_row_slide(c, &edges, s, labels, drop, out);
    for (uint32_t i = 0; i < g->n; i++) {
        int64_t end = ref_time(arg->shift, pq_grid_at(g, i)), start = end - arg->range_ms;
        while (hi < s->n && s->t[hi] <= end) hi++;
        while (lo < hi && s->t[lo] <= start) lo++;
        if (lo == hi && !(arg->anchored || arg->smoothed)) continue;
        struct pq_window w = { s->t + lo, s->v + lo, s->h ? s->h + lo : NULL, s->st ? s->st + lo : NULL, hi - lo,
                               lo, s->n - hi, start, end, pq_grid_at(g, i), arg->anchored, arg->smoothed };
        struct pq_cell cell = { 0 };
        c->p1 = p1 ? p1[i] : 0;
        c->p2 = p2 ? p2[i] : 0;
        struct arena_mark mark = arena_mark(c->scratch);
        TRY(fn(c, &w, &cell));
        put_cell(&o, i, &cell);
        arena_rollback(c->scratch, mark);
        TRY(pq_checkpoint(e));
    }
    return OK;
}

/* From what blocks know; *done false: they do not know enough. */
static err_t range_row_long(struct pq_range_ctx *c, const struct range_arg *arg, const struct pq_grid *g, const struct pq_series *series,
                            struct pq_matrix *out, bool *done)
{
    struct pq_edges edges = edges_of(arg, g);
    if (!edges.step_ms) edges.n = 1;
    struct row_out o = { c, out, NULL, series->labels, false, g->n };
    struct pq_long l;
    TRY(pq_long_read(c, series, &edges, &l, done));
    if (!*done) return OK;
    c->metric = labels_get(&series->labels, STR("__name__"));
    for (uint32_t i = 0; i < g->n; i++) {
        int64_t end = ref_time(arg->shift, pq_grid_at(g, i));
        struct pq_cell cell = pq_long_window(c, &l, end - arg->range_ms, end);
        put_cell(&o, i, &cell);
        TRY(pq_checkpoint(c->e));
    }
    return OK;
}

/* Samples of the present cells of a row of a subquery. */
static struct pq_samples row_samples(struct arena *a, const struct pq_row *r, const struct pq_grid *g)
{
    int64_t *t = ARENA_RAW(a, int64_t, g->n);
    double *v = ARENA_RAW(a, double, g->n);
    const struct pq_hist **h = r->h ? ARENA_RAW(a, const struct pq_hist *, g->n) : NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        if (!r->have[i]) continue;
        t[n] = pq_grid_at(g, i);
        v[n] = r->v[i];
        if (h) h[n] = r->have[i] == PQ_CELL_HIST ? r->h[i] : NULL;
        n++;
    }
    return (struct pq_samples){ n, t, v, h, NULL, NULL };
}

/* The times at which a subquery evaluates its expression, for all steps of g. */
static err_t subquery_grid(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_grid *out)
{
    int64_t step = n->sub.step_ms, first = ref_time(&n->sub.shift, g->start_ms) - n->sub.range_ms;
    int64_t last = ref_time(&n->sub.shift, pq_grid_at(g, g->n - 1));
    int64_t q = first / step;
    if (first % step < 0) q--;
    out->start_ms = (q + 1) * step;
    out->step_ms = step;
    int64_t count = last < out->start_ms ? 0 : (last - out->start_ms) / step + 1;
    TRY(pq_limit_samples(e, count));
    if (count > INT32_MAX) return pq_exec_error("subquery of %lld steps", (long long)count);
    out->n = (uint32_t)count;
    return OK;
}

static err_t subquery_rows(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_grid *grid,
                           struct pq_matrix *rows)
{
    TRY(subquery_grid(e, n, g, grid));
    *rows = (struct pq_matrix){ 0 };
    if (grid->n == 0) return OK;
    struct pq_value v;
    TRY(pq_eval(e, n->sub.expr, grid, &v));
    *rows = v.m;
    return OK;
}

static err_t range_subquery(struct pq_range_ctx *c, const struct range_arg *arg, const struct pq_grid *g,
                            const double *p1, const double *p2, struct pq_matrix *out)
{
    struct pq_grid grid;
    struct pq_matrix rows;
    TRY(subquery_rows(c->e, arg->node, g, &grid, &rows));
    for (uint32_t i = 0; i < rows.n; i++) {
        arena_reset(c->scratch);
        struct pq_samples s = row_samples(c->scratch, &rows.rows[i], &grid);
        TRY(range_row(c, arg, g, &s, p1, p2, rows.rows[i].labels, rows.rows[i].drop_name, out));
    }
    return OK;
}

static struct range_span range_span(struct pq_env *e, const struct range_arg *arg, const struct pq_grid *g)
{
    struct range_span s = { ref_time(arg->shift, g->start_ms) - arg->range_ms + 1,
                            ref_time(arg->shift, pq_grid_at(g, g->n - 1)) };
    if (arg->anchored || arg->smoothed) s.min -= e->lookback_ms;
    if (arg->smoothed) s.max += e->lookback_ms;
    return s;
}

struct range_call { /* what all series of a call have */
    const struct range_arg *arg;
    const struct pq_grid *g;
    const double *p1, *p2;
    struct range_span span;
};

static err_t range_series(struct pq_range_ctx *c, const struct range_call *x, const struct pq_series *series, struct pq_matrix *out)
{
    struct pq_samples s;
    const struct pq_selector *sel = x->arg->node->range.sel->sel;
    bool done = false, plain = !sel->stats && !x->arg->anchored && !x->arg->smoothed;
    note_coarse(c->e, series);
    if (plain && pq_long_pays(c, series, x->arg->range_ms)) TRY(range_row_long(c, x->arg, x->g, series, out, &done));
    if (done) return OK;
    TRY(c->e->src->samples(c->e->src, series, x->span.min, x->span.max, c->scratch, &s));
    TRY(pq_charge(c->e, s.n));
    pq_drop_stale(&s, c->scratch);
    if (sel->stats) detect_resets(&s, c->scratch);
    return range_row(c, x->arg, x->g, &s, x->p1, x->p2, series->labels, false, out);
}

static err_t range_selector(struct pq_range_ctx *c, struct range_call *x, struct pq_each *each, struct pq_matrix *out)
{
    struct pq_env *e = c->e;
    const struct pq_selector *sel = x->arg->node->range.sel->sel;
    struct pq_series *series;
    uint32_t ns;
    err_t err = OK;
    x->span = range_span(e, x->arg, x->g);
    if (sel->stats) x->span.min -= e->lookback_ms; /* the sample before tells of a reset at the first */
    TRY(e->src->select(e->src, sel->m, sel->nm, x->span.min, x->span.max, e->a, &series, &ns));
    for (uint32_t i = 0; err == OK && i < ns; i++) {
        arena_reset(c->scratch);
        struct arena *kept = begin_row(e, each);
        err = range_series(c, x, &series[i], out);
        if (err == OK) err = end_row(e, each, kept, out);
        e->a = kept;
    }
    return err;
}

/* On a coordinator: the call with its scalars computed here, so that it can run beside the data. */
static err_t scatter_call(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct pq_node *copy = arena_dup(e->a, n, sizeof *n);
    copy->local = true;
    copy->invariant = false;
    copy->call.args = arena_dup(e->a, n->call.args, sizeof *n->call.args * n->call.nargs);
    for (uint32_t i = 0; i < n->call.nargs; i++) {
        struct pq_node *arg = n->call.args[i];
        if (arg->type != PQ_SCALAR) continue;
        struct pq_value v;
        TRY(pq_eval(e, arg, g, &v));
        struct pq_node *given = ARENA_NEW(e->a, struct pq_node);
        *given = (struct pq_node){ .kind = PQ_GIVEN, .type = PQ_SCALAR, .start = arg->start, .end = arg->end,
                                   .depth = 1, .given = v.scalar };
        copy->call.args[i] = given;
    }
    return e->scatter(e, copy, g, out);
}

err_t pq_eval_range_call(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_each *each, struct pq_matrix *out)
{
    struct range_arg arg = range_arg(n);
    if (e->scatter && arg.node->local) return scatter_call(e, n, g, out);
    const double *p[2] = { NULL, NULL };
    uint32_t np = 0;
    for (uint32_t i = 0; i < n->call.nargs; i++) {
        if (n->call.args[i]->type != PQ_SCALAR) continue;
        struct pq_value v;
        TRY(pq_eval(e, n->call.args[i], g, &v));
        p[np++] = v.scalar;
    }
    struct arena scratch;
    struct pq_times times;
    arena_init(&scratch, e->a->budget);
    pq_times_init(&times, e->a->budget);
    struct pq_range_ctx c = { .e = e, .call = n, .arg_pos = arg.node->start, .scratch = &scratch, .times = &times };
    /* Annotations stand at the first argument; at none when that is a subquery, as in Prometheus. */
    c.arg_pos = pq_unparen(n->call.args[0])->kind == PQ_SUBQUERY ? 0 : n->call.args[0]->start;
    struct range_call x = { .arg = &arg, .g = g, .p1 = p[0], .p2 = p[1] };
    err_t err = arg.node->kind == PQ_RANGE ? range_selector(&c, &x, each, out) : range_subquery(&c, &arg, g, p[0], p[1], out);
    if (err == OK && each && out->n) err = each->rows(each, e, out);
    pq_times_deinit(&times);
    arena_deinit(&scratch);
    return err;
}

static err_t selected_points(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, bool stale_too,
                             struct pq_points **out, uint32_t *nout)
{
    const struct pq_selector *sel = n->range.sel->sel;
    int64_t end = ref_time(&sel->shift, g->start_ms), start = end - n->range.range_ms + 1;
    struct pq_series *series;
    uint32_t ns;
    TRY(e->src->select(e->src, sel->m, sel->nm, start, end, e->a, &series, &ns));
    *out = ARENA_ARRAY(e->a, struct pq_points, ns);
    for (uint32_t i = 0; i < ns; i++) {
        struct pq_samples s;
        TRY(e->src->samples(e->src, &series[i], start, end, e->a, &s));
        TRY(pq_charge(e, s.n));
        note_coarse(e, &series[i]);
        if (!stale_too) pq_drop_stale(&s, e->a);
        pq_own_times(&s, e->a);
        if (s.n) (*out)[(*nout)++] = (struct pq_points){ series[i].labels, false, s };
    }
    return OK;
}

/* A range vector as the result of an instant query. */
err_t pq_eval_points(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_points **out,
                     uint32_t *nout)
{
    n = pq_unparen(n);
    *nout = 0;
    if (n->kind == PQ_SUBQUERY) {
        struct pq_grid grid;
        struct pq_matrix rows;
        TRY(subquery_rows(e, n, g, &grid, &rows));
        *out = ARENA_ARRAY(e->a, struct pq_points, rows.n);
        for (uint32_t i = 0; i < rows.n; i++) {
            struct pq_samples s = row_samples(e->a, &rows.rows[i], &grid);
            if (s.n) (*out)[(*nout)++] = (struct pq_points){ rows.rows[i].labels, rows.rows[i].drop_name, s };
        }
        return OK;
    }
    return selected_points(e, n, g, false, out, nout);
}

err_t pq_eval_samples(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_points **out,
                      uint32_t *nout)
{
    *nout = 0;
    return selected_points(e, n, g, true, out, nout);
}

err_t pq_checkpoint(struct pq_env *e)
{
    TRY(arena_check(e->a));
    return rt_in_fiber() ? rt_checkpoint() : OK;
}
