/* rate, increase, delta, irate, idelta.
 *
 * Prometheus' rules: the difference of the last and the first sample of the window, plus what counter resets
 * lost, is extrapolated to the window's edges when they are nearer than 1.1 mean sample distances, else by half
 * a distance; a counter never below its zero crossing. A start timestamp inside the window is a sample of zero; a
 * start timestamp behind the previous sample is a reset. */
#include "query/promql/eval.h"

#include <math.h>

static void note_metric(struct pq_range_ctx *c, enum pq_note_kind kind, const char *text)
{
    struct str m = pq_for_metric(c->scratch, c->metric);
    pq_note(&c->e->notes, kind, c->arg_pos, "%s" STR_FMT, text, STR_ARG(m));
}

static void note_not(struct pq_range_ctx *c, const char *what)
{
    pq_note(&c->e->notes, PQ_WARN, c->arg_pos, "this native histogram metric is not a %s: \"" STR_FMT "\"", what,
            STR_ARG(c->metric));
}

static void note_layout(struct pq_range_ctx *c)
{
    note_metric(c, PQ_WARN, "vector contains a mix of histograms with exponential and custom buckets schemas");
}

static void note_reconciled(struct pq_range_ctx *c, const char *what)
{
    pq_note(&c->e->notes, PQ_INFO, c->arg_pos, "mismatched custom buckets were reconciled during %s", what);
}

/* Does the start timestamp of sample i say that the series began anew after sample i - 1? */
static bool start_reset(const struct pq_window *w, uint32_t i)
{
    if (!w->st || w->st[i] == 0 || w->st[i] >= w->t[i]) return false;
    int64_t st = w->st[i], prev = w->t[i - 1], prev_st = w->st[i - 1];
    return st > prev || (st == prev && prev_st != 0 && prev_st < prev);
}

static void check_overlap(struct pq_range_ctx *c, const struct pq_window *w)
{
    for (uint32_t i = 1; w->st && i < w->n; i++)
        if (w->st[i] != 0 && w->st[i] < w->t[i - 1] && w->st[i] != w->st[i - 1])
            return pq_note(&c->e->notes, PQ_WARN, c->arg_pos, "sample has start time that overlaps with previous sample "
                           "timestamp for metric \"" STR_FMT "\"", STR_ARG(c->metric));
}

static bool mixed(struct pq_range_ctx *c, const struct pq_window *w, bool *hists)
{
    uint32_t nh = 0;
    for (uint32_t i = 0; w->h && i < w->n; i++) nh += w->h[i] != NULL;
    *hists = nh > 0;
    if (nh == 0 || nh == w->n) return false;
    note_metric(c, PQ_WARN, "encountered a mix of histograms and floats");
    return true;
}

static const struct pq_hist *empty_like(struct arena *a, const struct pq_hist *h)
{
    struct pq_hist *e = ARENA_NEW(a, struct pq_hist);
    *e = (struct pq_hist){ .schema = h->schema, .zero_threshold = h->zero_threshold, .ncustom = h->ncustom,
                           .custom = h->custom, .hint = h->hint };
    return e;
}

/* Increase of a window of histograms; NULL when there is none (then a warning says why). */
static const struct pq_hist *hist_increase(struct pq_range_ctx *c, const struct pq_window *w, bool counter, bool zero)
{
    uint32_t first = 0, n = w->n;
    const struct pq_hist *base = w->h[0], *last = w->h[n - 1];
    if (counter) {
        bool gauge = false;
        for (uint32_t i = 0; i < n; i++) gauge = gauge || w->h[i]->hint == NHIST_GAUGE;
        if (gauge) note_not(c, "counter");
    } else if (base->hint != NHIST_GAUGE || last->hint != NHIST_GAUGE) {
        note_not(c, "gauge");
    }
    if (zero) {
        base = empty_like(c->scratch, w->h[0]);
    } else if (counter && n > 1 && (start_reset(w, 1) || pq_hist_reset(w->h[1], w->h[0], c->scratch))) {
        base = empty_like(c->scratch, w->h[1]); /* what the first sample counted is not part of the increase */
        first = 1;
    }
    for (uint32_t i = first; i < n; i++)
        if (pq_hist_custom(w->h[i]) != pq_hist_custom(base)) return note_layout(c), NULL;
    struct pq_hacc sum;
    pq_hacc_init(&sum, c->scratch, last);
    unsigned bits = pq_hacc_add(&sum, base, -1);
    for (uint32_t i = first + 1; counter && i < n; i++)
        if (start_reset(w, i) || pq_hist_reset(w->h[i], w->h[i - 1], c->scratch)) {
            unsigned more = pq_hacc_add(&sum, w->h[i - 1], 1);
            if (more & PQ_HADD_RECONCILED) note_reconciled(c, "addition");
        }
    if (bits & PQ_HADD_MISMATCH) return note_layout(c), NULL;
    if (bits & PQ_HADD_RECONCILED) note_reconciled(c, "subtraction");
    sum.h.hint = NHIST_GAUGE;
    return pq_hacc_done(&sum);
}

static double float_increase(const struct pq_window *w, bool counter, bool zero)
{
    double v = w->v[w->n - 1] - (zero ? 0 : w->v[0]);
    for (uint32_t i = 1; counter && i < w->n; i++)
        if (w->v[i] < w->v[i - 1] || start_reset(w, i)) v += w->v[i - 1];
    return v;
}

double pq_extrapolate(enum pq_fid f, const struct pq_increase *x, int64_t start, int64_t end)
{
    bool counter = f != FN_DELTA, zero = x->from != x->first_at;
    double mean = x->n > 1 ? (double)(x->last_at - x->first_at) / 1000 / (x->n - 1) : 0, limit = mean * 1.1;
    double sampled = (double)(x->last_at - x->from) / 1000;
    double to_start = zero ? 0 : (double)(x->first_at - start) / 1000;
    double to_end = (double)(end - x->last_at) / 1000;
    if (!zero) {
        if (to_start >= limit) to_start = mean / 2;
        if (counter && x->total > 0 && x->first >= 0) to_start = fmin(to_start, sampled * (x->first / x->total));
    }
    if (to_end >= limit) to_end = mean / 2;
    double factor = (sampled + to_start + to_end) / sampled;
    return f == FN_RATE ? factor / ((double)(end - start) / 1000) : factor;
}

err_t pq_extrapolated(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    enum pq_fid f = c->call->call.fn->id;
    bool counter = f != FN_DELTA, hists;
    if (w->anchored || w->smoothed) return pq_extended_rate(c, w, out);
    if (w->n == 0 || mixed(c, w, &hists)) return OK;
    bool zero = counter && w->st && w->st[0] != 0 && w->st[0] > w->start && w->st[0] < w->t[0];
    if (w->n < 2 && !zero) return OK;
    if (counter) check_overlap(c, w);
    struct pq_increase x = { .n = w->n, .from = zero ? w->st[0] : w->t[0], .first_at = w->t[0], .last_at = w->t[w->n - 1] };
    const struct pq_hist *h = NULL;
    if (hists) {
        h = hist_increase(c, w, counter, zero);
        if (!h) return OK;
        x.first = w->h[0]->count;
        x.total = h->count;
    } else {
        x.total = float_increase(w, counter, zero);
        x.first = w->v[0];
    }
    double factor = pq_extrapolate(f, &x, w->start, w->end);
    if (h) *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hist_scale(c->scratch, h, factor) };
    else *out = (struct pq_cell){ PQ_CELL_FLOAT, x.total * factor, NULL };
    return OK;
}

err_t pq_instant_rate(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    bool rate = c->call->call.fn->id == FN_IRATE;
    if (w->n < 2) return OK;
    uint32_t i = w->n - 1;
    double seconds = (double)(w->t[i] - w->t[i - 1]) / 1000;
    const struct pq_hist *h1 = w->h ? w->h[i] : NULL, *h0 = w->h ? w->h[i - 1] : NULL;
    if (!h1 != !h0) return note_metric(c, PQ_WARN, "encountered a mix of histograms and floats"), OK;
    if (rate && w->st) {
        struct pq_window two = *w;
        two.t += i - 1, two.st += i - 1, two.n = 2;
        check_overlap(c, &two);
    }
    bool began = rate && start_reset(w, i);
    if (!h1) {
        double v = rate && (began || w->v[i] < w->v[i - 1]) ? w->v[i] : w->v[i] - w->v[i - 1];
        *out = (struct pq_cell){ PQ_CELL_FLOAT, rate ? v / seconds : v, NULL };
        return OK;
    }
    if (rate && (h1->hint == NHIST_GAUGE || h0->hint == NHIST_GAUGE)) note_not(c, "counter");
    if (!rate && (h1->hint != NHIST_GAUGE || h0->hint != NHIST_GAUGE)) note_not(c, "gauge");
    struct pq_hacc sum;
    pq_hacc_init(&sum, c->scratch, h1);
    if (!rate || (!began && !pq_hist_reset(h1, h0, c->scratch))) {
        unsigned bits = pq_hacc_add(&sum, h0, -1);
        if (bits & PQ_HADD_MISMATCH) return note_layout(c), OK;
        if (bits & PQ_HADD_RECONCILED) note_reconciled(c, "subtraction");
    }
    sum.h.hint = NHIST_GAUGE;
    if (rate) pq_hacc_div(&sum, seconds);
    *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hacc_done(&sum) };
    return OK;
}

/* Value of a float series at t between samples i and i + 1; of a counter that was reset there, it grew from 0. */
static double between(const struct pq_window *w, int64_t i, int64_t t, bool counter)
{
    double v0 = w->v[i], v1 = w->v[i + 1];
    if (counter && v1 < v0) v0 = 0;
    return v0 + (v1 - v0) * (double)(t - w->t[i]) / (double)(w->t[i + 1] - w->t[i]);
}

const struct pq_hist *pq_hist_between(struct pq_env *e, uint32_t pos, struct arena *a, const struct pq_hist *h0, const struct pq_hist *h1, double part,
                                      bool counter)
{
    if (counter && pq_hist_reset(h1, h0, a)) return pq_hist_scale(a, h1, part);
    struct pq_hacc sum;
    pq_hacc_init(&sum, a, h1);
    unsigned bits = pq_hacc_add(&sum, h0, -1);
    if (bits & PQ_HADD_MISMATCH) return NULL;
    if (bits & PQ_HADD_RECONCILED) pq_note(&e->notes, PQ_INFO, pos, "mismatched custom buckets were reconciled during subtraction");
    pq_hacc_scale(&sum, part);
    if (pq_hacc_add(&sum, h0, 1) & PQ_HADD_RECONCILED)
        pq_note(&e->notes, PQ_INFO, pos, "mismatched custom buckets were reconciled during addition");
    return pq_hacc_done(&sum);
}

/* Of a window that begins with sample `first` and ends with `last`, which may lie outside of it (smoothed). */
struct edges {
    int64_t first, last;
    const struct pq_hist *head, *tail; /* at the window's edges, or those samples */
};

static const struct pq_hist *hist_at(struct pq_range_ctx *c, const struct pq_window *w, int64_t i, int64_t t, bool counter)
{
    double part = (double)(t - w->t[i]) / (double)(w->t[i + 1] - w->t[i]);
    return pq_hist_between(c->e, c->arg_pos, c->scratch, w->h[i], w->h[i + 1], part, counter);
}

/* What resets between the edges lost, added to the sum. */
static bool hist_lost(struct pq_range_ctx *c, const struct pq_window *w, const struct edges *x, struct pq_hacc *sum)
{
    int64_t i = x->first + 1;
    const struct pq_hist *prev = x->head;
    /* A reset that the head was interpolated over is known there. */
    if (w->smoothed && w->t[x->first] < w->start && pq_hist_reset(w->h[i], w->h[x->first], c->scratch)) prev = w->h[i++];
    for (; i <= x->last; i++) {
        const struct pq_hist *h = i == x->last ? x->tail : w->h[i];
        if (pq_hist_reset(h, prev, c->scratch)) {
            unsigned bits = pq_hacc_add(sum, prev, 1);
            if (bits & PQ_HADD_MISMATCH) return false;
            if (bits & PQ_HADD_RECONCILED) note_reconciled(c, "addition");
        }
        prev = h;
    }
    return true;
}

static void extended_hists(struct pq_range_ctx *c, const struct pq_window *w, struct edges *x, struct pq_cell *out)
{
    enum pq_fid f = c->call->call.fn->id;
    bool counter = f != FN_DELTA, gauge = false;
    for (int64_t i = x->first; i <= x->last; i++) {
        if (pq_hist_custom(w->h[i]) != pq_hist_custom(w->h[x->first])) return note_layout(c);
        gauge = gauge || w->h[i]->hint == NHIST_GAUGE;
    }
    if (counter && gauge) note_not(c, "counter");
    x->head = w->smoothed && w->t[x->first] < w->start ? hist_at(c, w, x->first, w->start, counter) : w->h[x->first];
    x->tail = w->smoothed && x->last > x->first && w->t[x->last] > w->end ? hist_at(c, w, x->last - 1, w->end, counter) : w->h[x->last];
    if (!x->head || !x->tail) return note_layout(c);
    if (!counter && (x->head->hint != NHIST_GAUGE || x->tail->hint != NHIST_GAUGE)) note_not(c, "gauge");
    struct pq_hacc sum;
    pq_hacc_init(&sum, c->scratch, x->tail);
    unsigned bits = pq_hacc_add(&sum, x->head, -1);
    if (bits & PQ_HADD_MISMATCH) return note_layout(c);
    if (bits & PQ_HADD_RECONCILED) note_reconciled(c, "subtraction");
    if (counter && !hist_lost(c, w, x, &sum)) return note_layout(c);
    if (f == FN_RATE) pq_hacc_div(&sum, (double)(w->end - w->start) / 1000);
    sum.h.hint = NHIST_GAUGE;
    *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hacc_done(&sum) };
}

static void extended_floats(const struct pq_window *w, enum pq_fid f, const struct edges *x, struct pq_cell *out)
{
    bool counter = f != FN_DELTA, before = w->t[x->first] < w->start, after = w->t[x->last] > w->end;
    double head = w->smoothed && before ? between(w, x->first, w->start, counter) : w->v[x->first];
    double tail = w->smoothed && after && x->last > x->first ? between(w, x->last - 1, w->end, counter) : w->v[x->last];
    double prev = head, lost = 0;
    int64_t from = x->first + (w->t[x->first] <= w->start), to = x->last - (w->t[x->last] >= w->end);
    for (int64_t i = from; counter && i <= to; i++) {
        if (w->v[i] < prev) lost += prev;
        prev = w->v[i];
    }
    if (counter && tail < prev) lost += prev;
    double v = tail - head + lost;
    if (f == FN_RATE) v /= (double)(w->end - w->start) / 1000;
    *out = (struct pq_cell){ PQ_CELL_FLOAT, v, NULL };
}

/* anchored: from the sample at or before the start to the last one, nothing extrapolated. smoothed: from the
 * interpolated value at the start to that at the end. */
err_t pq_extended_rate(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    int64_t lookback = c->e->lookback_ms;
    uint32_t before = 0, after = 0, nh = 0;
    while (before < w->before && w->t[-1 - (int64_t)before] > w->start - lookback) before++;
    while (w->smoothed && after < w->after && w->t[w->n + after] <= w->end + lookback) after++;
    /* What was read around the window counts: a series of both kinds has no rate. */
    for (int64_t i = -(int64_t)before; w->h && i < (int64_t)(w->n + after); i++) nh += w->h[i] != NULL;
    if (nh && nh != before + w->n + after) return note_metric(c, PQ_WARN, "encountered a mix of histograms and floats"), OK;
    struct edges x = { .first = before ? -1 : 0, .last = (int64_t)w->n - 1 };
    if (after && !(w->n && w->t[w->n - 1] == w->end)) x.last++;
    if (w->n + after == 0 || (w->n == 0 && before == 0)) return OK;
    if (nh) extended_hists(c, w, &x, out);
    else extended_floats(w, c->call->call.fn->id, &x, out);
    return OK;
}
