/* Functions of one series' window: *_over_time, changes, resets, deriv, predict_linear, smoothing. */
#include "query/promql/eval.h"

#include <math.h>
#include <stdlib.h>

static bool is_hist(const struct pq_window *w, uint32_t i) { return w->h && w->h[i]; }

static uint32_t hists_in(const struct pq_window *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; w->h && i < w->n; i++) n += w->h[i] != NULL;
    return n;
}

static void note_metric(struct pq_range_ctx *c, enum pq_note_kind kind, const char *text)
{
    struct str m = pq_for_metric(c->scratch, c->metric);
    pq_note(&c->e->notes, kind, c->arg_pos, "%s" STR_FMT, text, STR_ARG(m));
}

static err_t put(struct pq_cell *out, double v)
{
    *out = (struct pq_cell){ PQ_CELL_FLOAT, v, NULL };
    return OK;
}

/* The window's floats alone; an info when there were histograms beside them. */
static struct pq_window floats_only(struct pq_range_ctx *c, const struct pq_window *w)
{
    struct pq_window f = *w;
    uint32_t nh = hists_in(w);
    f.h = NULL;
    f.st = NULL;
    if (nh == 0) return f;
    int64_t *t = ARENA_RAW(c->scratch, int64_t, w->n);
    double *v = ARENA_RAW(c->scratch, double, w->n);
    f.n = 0;
    for (uint32_t i = 0; i < w->n; i++)
        if (!is_hist(w, i)) {
            t[f.n] = w->t[i];
            v[f.n++] = w->v[i];
        }
    f.t = t;
    f.v = v;
    if (f.n) note_metric(c, PQ_INFO, "ignored histograms in a range containing both floats and histograms");
    return f;
}

static err_t hist_sum(struct pq_range_ctx *c, const struct pq_window *w, bool avg, struct pq_cell *out)
{
    struct pq_hacc s;
    unsigned bits = 0;
    pq_hacc_init(&s, c->scratch, avg ? pq_hist_scale(c->scratch, w->h[0], PQ_AVG_SCALE) : w->h[0]);
    bool reset = w->h[0]->hint == NHIST_RESET, not_reset = w->h[0]->hint == NHIST_NOT_RESET;
    for (uint32_t i = 1; i < w->n; i++) {
        reset = reset || w->h[i]->hint == NHIST_RESET;
        not_reset = not_reset || w->h[i]->hint == NHIST_NOT_RESET;
        bits |= pq_hacc_add(&s, w->h[i], avg ? PQ_AVG_SCALE : 1);
        if (bits & PQ_HADD_MISMATCH)
            return note_metric(c, PQ_WARN,
                               "vector contains a mix of histograms with exponential and custom buckets schemas"), OK;
    }
    if (reset && not_reset)
        pq_note(&c->e->notes, PQ_WARN, c->arg_pos, "conflicting counter resets during histogram aggregation");
    if (bits & PQ_HADD_RECONCILED)
        pq_note(&c->e->notes, PQ_INFO, c->arg_pos, "mismatched custom buckets were reconciled during aggregation");
    if (avg) pq_hacc_div(&s, w->n * PQ_AVG_SCALE);
    *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hacc_done(&s) };
    return OK;
}

double pq_avg(const double *v, uint32_t n)
{
    double sum = 0, comp = 0, mean = 0;
    bool running = false; /* the sum overflowed: go on with the mean itself */
    for (uint32_t i = 0; i < n; i++) {
        double count = i + 1;
        if (!running) {
            double s = sum, k = comp;
            pq_kahan(v[i], &s, &k);
            if (i == 0 || !isinf(s)) {
                sum = s;
                comp = k;
                continue;
            }
            running = true;
            mean = sum / (count - 1);
            comp /= count - 1;
        }
        double q = (count - 1) / count, m = q * mean;
        comp *= q;
        pq_kahan(v[i] / count, &m, &comp);
        mean = m;
    }
    return running ? mean + comp : sum / n + comp / n;
}

double pq_sum(const double *v, uint32_t n)
{
    double s = 0, k = 0;
    for (uint32_t i = 0; i < n; i++) pq_kahan(v[i], &s, &k);
    return isinf(s) ? s : s + k;
}

static err_t sum_or_avg(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    bool avg = c->call->call.fn->id == FN_AVG_OVER_TIME;
    uint32_t nh = hists_in(w);
    if (nh && nh < w->n) return note_metric(c, PQ_WARN, "encountered a mix of histograms and floats"), OK;
    if (nh) return hist_sum(c, w, avg, out);
    if (avg) return put(out, pq_avg(w->v, w->n));
    return put(out, pq_sum(w->v, w->n));
}

static err_t count_present(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    return put(out, c->call->call.fn->id == FN_COUNT_OVER_TIME ? w->n : 1);
}

static err_t first_last(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    enum pq_fid f = c->call->call.fn->id;
    uint32_t i = f == FN_FIRST_OVER_TIME || f == FN_TS_OF_FIRST ? 0 : w->n - 1;
    if (f == FN_TS_OF_FIRST || f == FN_TS_OF_LAST) return put(out, (double)w->t[i] / 1000);
    if (!is_hist(w, i)) return put(out, w->v[i]);
    *out = (struct pq_cell){ PQ_CELL_HIST, 0, w->h[i] };
    return OK;
}

static err_t min_max(struct pq_range_ctx *c, const struct pq_window *all, struct pq_cell *out)
{
    enum pq_fid f = c->call->call.fn->id;
    bool max = f == FN_MAX_OVER_TIME || f == FN_TS_OF_MAX, ts = f == FN_TS_OF_MAX || f == FN_TS_OF_MIN;
    struct pq_window w = floats_only(c, all);
    if (w.n == 0) return OK;
    uint32_t best = 0;
    for (uint32_t i = 1; i < w.n; i++)
        if (isnan(w.v[best]) || (max ? w.v[i] > w.v[best] : w.v[i] < w.v[best]) ||
            (ts && w.v[i] == w.v[best])) /* the last of equals */
            best = i;
    return put(out, ts ? (double)w.t[best] / 1000 : w.v[best]);
}

static err_t deviation(struct pq_range_ctx *c, const struct pq_window *all, struct pq_cell *out)
{
    struct pq_window w = floats_only(c, all);
    if (w.n == 0) return OK;
    double mean = 0, mean_c = 0, aux = 0, aux_c = 0;
    for (uint32_t i = 0; i < w.n; i++) {
        double d = w.v[i] - (mean + mean_c);
        pq_kahan(d / (i + 1.0), &mean, &mean_c);
        pq_kahan(d * (w.v[i] - (mean + mean_c)), &aux, &aux_c);
    }
    double var = (aux + aux_c) / w.n;
    return put(out, c->call->call.fn->id == FN_STDDEV_OVER_TIME ? sqrt(var) : var);
}

static int nan_first(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x);
    return x < y ? -1 : x > y;
}

/* Values of one size are the same: no NaN, and no zero with a sign. */
static bool order_tells(const double *v, uint32_t n)
{
    uint64_t odd = 0;
    for (uint32_t i = 0; i < n; i++) odd += isnan(v[i]) | ((v[i] == 0) & (signbit(v[i]) != 0));
    return odd == 0;
}

enum { FEW = 8, ROUNDS_MAX = 40 };
/* v[k] and v[k + 1] as if all were sorted (C. A. R. Hoare, Algorithm 65); where pivots keep failing the rest is. */
static void place_two(double *v, uint32_t n, uint32_t k)
{
    int64_t lo = 0, hi = (int64_t)n - 1;
    for (int round = 0; hi - lo > FEW && round < ROUNDS_MAX; round++) {
        double a = v[lo], b = v[lo + (hi - lo) / 2], c = v[hi], pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot) i++;
            while (v[j] > pivot) j--;
            if (i > j) break;
            double t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        if (k <= j) hi = j;
        else if (k >= i) lo = i;
        else lo = hi = k; /* between them all are the pivot */
    }
    if (hi - lo > FEW) qsort(v + lo, (size_t)(hi - lo + 1), sizeof *v, nan_first);
    for (int64_t i = lo + 1; hi - lo <= FEW && i <= hi; i++) {
        double x = v[i];
        int64_t at = i;
        for (; at > lo && v[at - 1] > x; at--) v[at] = v[at - 1];
        v[at] = x;
    }
    for (uint32_t i = k + 2; i < n; i++) /* the next greater one comes behind it */
        if (v[i] < v[k + 1]) {
            double t = v[i];
            v[i] = v[k + 1];
            v[k + 1] = t;
        }
}

double pq_quantile(double q, double *v, uint32_t n)
{
    if (n == 0 || isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    double rank = q * (n - 1.0), lower = floor(rank), weight = rank - lower;
    uint32_t lo = (uint32_t)lower, hi = MIN(lo + 1, n - 1);
    if (order_tells(v, n)) place_two(v, n, lo);
    else qsort(v, n, sizeof *v, nan_first);
    return v[lo] * (1 - weight) + v[hi] * weight;
}

static err_t quantile(struct pq_range_ctx *c, const struct pq_window *all, struct pq_cell *out)
{
    struct pq_window w = floats_only(c, all);
    if (w.n == 0) return OK;
    pq_note_quantile(&c->e->notes, c->call->call.args[0]->start, c->p1);
    return put(out, pq_quantile(c->p1, arena_dup(c->scratch, w.v, sizeof(double) * w.n), w.n));
}

static err_t mad(struct pq_range_ctx *c, const struct pq_window *all, struct pq_cell *out)
{
    struct pq_window w = floats_only(c, all);
    if (w.n == 0) return OK;
    for (uint32_t i = 0; i < w.n; i++)
        if (isnan(w.v[i])) return put(out, NAN);
    double *v = arena_dup(c->scratch, w.v, sizeof(double) * w.n);
    double median = pq_quantile(0.5, v, w.n);
    for (uint32_t i = 0; i < w.n; i++) v[i] = fabs(v[i] - median);
    return put(out, pq_quantile(0.5, v, w.n));
}

static err_t changes(struct pq_range_ctx *c, const struct pq_window *w, struct pq_cell *out)
{
    bool resets = c->call->call.fn->id == FN_RESETS;
    bool anchor = w->anchored && w->before && w->t[-1] > w->start - c->e->lookback_ms;
    uint32_t n = 0;
    if (w->n == 0) return OK;
    for (int64_t i = anchor ? 0 : 1; i < w->n; i++) {
        const struct pq_hist *h1 = w->h ? w->h[i] : NULL, *h0 = w->h ? w->h[i - 1] : NULL;
        bool hit;
        if (!h1 != !h0) hit = true;
        else if (h1) hit = resets ? pq_hist_reset(h1, h0, c->scratch) : !pq_hist_equal(h1, h0);
        else if (resets) hit = w->v[i] < w->v[i - 1];
        else hit = w->v[i] != w->v[i - 1] && !(isnan(w->v[i]) && isnan(w->v[i - 1]));
        if (resets && w->st && w->st[i] != 0 && w->st[i] < w->t[i]) {
            int64_t prev = w->t[i - 1], prev_st = w->st[i - 1];
            hit = hit || w->st[i] > prev || (w->st[i] == prev && prev_st != 0 && prev_st < prev);
        }
        n += hit;
    }
    return put(out, n);
}

/* Least squares over times in seconds from `origin`. */
static void regression(const struct pq_window *w, int64_t origin, double *slope, double *intercept)
{
    double sx = 0, sy = 0, sxy = 0, sx2 = 0, cx = 0, cy = 0, cxy = 0, cx2 = 0, n = w->n;
    bool constant = true;
    for (uint32_t i = 0; i < w->n; i++) {
        double x = (double)(w->t[i] - origin) / 1000;
        if (w->v[i] != w->v[0]) constant = false;
        pq_kahan(x, &sx, &cx);
        pq_kahan(w->v[i], &sy, &cy);
        pq_kahan(x * w->v[i], &sxy, &cxy);
        pq_kahan(x * x, &sx2, &cx2);
    }
    if (constant) {
        *slope = isinf(w->v[0]) ? NAN : 0;
        *intercept = isinf(w->v[0]) ? NAN : w->v[0];
        return;
    }
    sx += cx, sy += cy, sxy += cxy, sx2 += cx2;
    double cov = sxy - sx * sy / n, var = sx2 - sx * sx / n;
    *slope = cov / var;
    *intercept = sy / n - *slope * sx / n;
}

static err_t deriv(struct pq_range_ctx *c, const struct pq_window *all, struct pq_cell *out)
{
    bool predict = c->call->call.fn->id == FN_PREDICT_LINEAR;
    struct pq_window w = floats_only(c, all);
    if (w.n < 2) return OK;
    double slope, intercept;
    regression(&w, predict ? w.now : w.t[0], &slope, &intercept);
    return put(out, predict ? slope * c->p1 + intercept : slope);
}

static err_t bad_factor(const char *what, double v)
{
    return isinf(v) ? pq_exec_error("invalid %s, got: %cInf", what, v < 0 ? '-' : '+') : pq_exec_error("invalid %s, got: %f", what, v);
}

static err_t smoothing(struct pq_range_ctx *c, const struct pq_window *all, struct pq_cell *out)
{
    double sf = c->p1, tf = c->p2;
    if (sf <= 0 || sf >= 1) return bad_factor("smoothing factor. Expected: 0 < sf < 1", sf);
    if (tf <= 0 || tf >= 1) return bad_factor("trend factor. Expected: 0 < tf < 1", tf);
    struct pq_window w = floats_only(c, all);
    if (w.n < 2) return OK;
    double s0 = 0, s1 = w.v[0], b = w.v[1] - w.v[0];
    for (uint32_t i = 1; i < w.n; i++) {
        if (i > 1) b = tf * (s1 - s0) + (1 - tf) * b;
        double s = sf * w.v[i] + (1 - sf) * (s1 + b);
        s0 = s1;
        s1 = s;
    }
    return put(out, s1);
}

bool pq_range_keeps_name(enum pq_fid id) { return id == FN_LAST_OVER_TIME || id == FN_FIRST_OVER_TIME; }

pq_range_fn *pq_range_function(enum pq_fid id)
{
    switch (id) {
    case FN_RATE:
    case FN_INCREASE:
    case FN_DELTA: return pq_extrapolated;
    case FN_IRATE:
    case FN_IDELTA: return pq_instant_rate;
    case FN_SUM_OVER_TIME:
    case FN_AVG_OVER_TIME: return sum_or_avg;
    case FN_COUNT_OVER_TIME:
    case FN_ABSENT_OVER_TIME:
    case FN_PRESENT_OVER_TIME: return count_present;
    case FN_FIRST_OVER_TIME:
    case FN_LAST_OVER_TIME:
    case FN_TS_OF_FIRST:
    case FN_TS_OF_LAST: return first_last;
    case FN_MIN_OVER_TIME:
    case FN_MAX_OVER_TIME:
    case FN_TS_OF_MAX:
    case FN_TS_OF_MIN: return min_max;
    case FN_STDDEV_OVER_TIME:
    case FN_STDVAR_OVER_TIME: return deviation;
    case FN_QUANTILE_OVER_TIME: return quantile;
    case FN_MAD_OVER_TIME: return mad;
    case FN_CHANGES:
    case FN_RESETS: return changes;
    case FN_DERIV:
    case FN_PREDICT_LINEAR: return deriv;
    default: return smoothing;
    }
}
