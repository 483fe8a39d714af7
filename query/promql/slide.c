/* See slide.h. */
#include "query/promql/slide.h"

#include "base/core/assert.h"

#include <math.h>

static const double SUM_MAX = 1e300; /* below it no difference of two sums overflows */
enum { SLIDE_BLOCK = 256 }; /* windows at a time, between two looks at the clock */

bool pq_slides(enum pq_fid f, const struct pq_samples *s)
{
    if (s->h || s->win) return false;
    switch (f) {
    case FN_RATE:
    case FN_INCREASE:
    case FN_DELTA:
    case FN_CHANGES:
    case FN_RESETS: return !s->st;
    case FN_COUNT_OVER_TIME:
    case FN_PRESENT_OVER_TIME:
    case FN_ABSENT_OVER_TIME:
    case FN_FIRST_OVER_TIME:
    case FN_LAST_OVER_TIME:
    case FN_TS_OF_FIRST:
    case FN_TS_OF_LAST:
    case FN_MIN_OVER_TIME:
    case FN_MAX_OVER_TIME:
    case FN_SUM_OVER_TIME:
    case FN_AVG_OVER_TIME: return true;
    default: return false;
    }
}

struct sums { /* hi[i] + lo[i] */
    double *hi, *lo;
    double most; /* the greatest |hi[i]| */
};

struct resets {
    uint32_t *at, n;    /* samples */
    struct sums sums;   /* of what the first k lost */
    uint32_t from, to;  /* those of the last window */
};

struct slide {
    const struct pq_samples *s;
    enum pq_fid f;
    int64_t start, end, step;    /* of the next window */
    uint32_t lo, hi, dlo, dhi;   /* of the last one, and how far its ends had moved */
    uint32_t *hits;              /* of changes and resets: how many up to each sample */
    struct sums sums;            /* of sums; hi NULL: none */
    struct resets resets;        /* of rate and increase */
    uint32_t *queue, qfirst, qend, seen; /* of min and max: of samples, best first; seen: up to where they went in */
};

/* -- windows -------------------------------------------------------------------------------------------------- */
/* The first of t[at..n) behind the time; `guess` places on, most often. */
static inline uint32_t behind(const int64_t *t, uint32_t n, uint32_t at, uint32_t guess, int64_t time)
{
    if (guess && guess <= n - at && t[at + guess - 1] <= time) at += guess;
    while (at < n && t[at] <= time) at++;
    return at;
}

static void windows(struct slide *x, uint32_t n, uint32_t *lo, uint32_t *hi)
{
    const struct pq_samples *s = x->s;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t h = behind(s->t, s->n, x->hi, x->dhi, x->end), l = behind(s->t, h, x->lo, x->dlo, x->start);
        x->dhi = h - x->hi;
        x->dlo = l - x->lo;
        hi[i] = x->hi = h;
        lo[i] = x->lo = l;
        x->start += x->step;
        x->end += x->step;
    }
}

/* -- prefix sums ------------------------------------------------------------------------------------------------------ */
static inline double two_sum(double a, double b, double *low)
{
    double s = a + b, bb = s - a;
    *low = (a - (s - bb)) + (b - bb);
    return s;
}

static void sums_make(struct arena *a, uint32_t n, struct sums *out)
{
    *out = (struct sums){ ARENA_RAW(a, double, n), ARENA_RAW(a, double, n), 0 };
}

/* False: it is not sure to be precise. */
static inline bool sums_between(const struct sums *p, uint32_t from, uint32_t to, double *sum)
{
    double low;
    *sum = two_sum(p->hi[to], -p->hi[from], &low);
    *sum += low + (p->lo[to] - p->lo[from]);
    return fabs(*sum) * 0x1p40 > p->most; /* also false for NaN */
}

/* Of all samples before each, and of all. False: a sum is not finite. */
static bool prefix_sums(struct arena *a, const struct pq_samples *s, struct sums *out)
{
    double hi = 0, lo = 0;
    sums_make(a, s->n + 1, out);
    for (uint32_t i = 0; i <= s->n; i++) {
        out->hi[i] = hi;
        out->lo[i] = lo;
        out->most = fmax(out->most, fabs(hi));
        if (i == s->n) break;
        double low;
        hi = two_sum(hi, s->v[i], &low);
        hi = two_sum(hi, lo + low, &lo);
    }
    return isfinite(hi) && isfinite(lo) && out->most < SUM_MAX;
}

/* -- resets ---------------------------------------------------------------------------------------------------- */
enum { RESETS_CHUNK = 128 };
/* The samples that are less than the one before, and what was lost up to each. False: the sums are not finite. */
static bool find_resets(struct arena *a, const struct pq_samples *s, struct resets *out)
{
    const double *v = s->v;
    uint32_t *at = ARENA_RAW(a, uint32_t, s->n + 1), n = 0;
    double hi = 0, lo = 0, low;
    for (uint32_t i = 1, end; i < s->n; i = end) {
        uint32_t some = 0;
        end = MIN(i + RESETS_CHUNK, s->n);
        for (uint32_t k = i; k < end; k++) some += v[k] < v[k - 1]; /* side by side; most often there are none */
        for (uint32_t k = i; some && k < end; k++) {
            at[n] = k;
            n += v[k] < v[k - 1];
        }
    }
    *out = (struct resets){ .at = at, .n = n };
    sums_make(a, n + 1, &out->sums);
    out->sums.hi[0] = out->sums.lo[0] = 0;
    for (uint32_t k = 0; k < n; k++) {
        hi = two_sum(hi, v[at[k] - 1], &low);
        hi = two_sum(hi, lo + low, &lo);
        out->sums.hi[k + 1] = hi;
        out->sums.lo[k + 1] = lo;
        out->sums.most = fmax(out->sums.most, fabs(hi));
    }
    return isfinite(hi) && isfinite(lo) && out->sums.most < SUM_MAX;
}

/* -- rates ---------------------------------------------------------------------------------------------------- */
/* v[i] is window i's increase: times what pq_extrapolate gives for it, in the same operations, all windows side by side. */
struct lanes {
    uint32_t lo[SLIDE_BLOCK], hi[SLIDE_BLOCK]; /* of window i the samples lo[i] to hi[i] - 1 */
    double sampled[SLIDE_BLOCK], to_start[SLIDE_BLOCK], to_end[SLIDE_BLOCK], gaps[SLIDE_BLOCK], first[SLIDE_BLOCK]; /* the first three in ms */
};

static void extrapolate(enum pq_fid f, const struct lanes *x, uint32_t n, double range_s, double *restrict v)
{
    bool counter = f != FN_DELTA;
    double by = f == FN_RATE ? range_s : 1;
    for (uint32_t i = 0; i < n; i++) {
        double sampled = x->sampled[i] / 1000, mean = sampled / x->gaps[i], limit = mean * 1.1;
        double to_start = x->to_start[i] / 1000, to_end = x->to_end[i] / 1000, half = mean / 2;
        double to_zero = sampled * (x->first[i] / v[i]);
        to_start = to_start >= limit ? half : to_start;
        bool rises = counter & (v[i] > 0) & (x->first[i] >= 0) & (to_zero < to_start);
        to_start = rises ? to_zero : to_start;
        to_end = to_end >= limit ? half : to_end;
        v[i] *= (sampled + to_start + to_end) / sampled / by;
    }
}

/* From sample `first` to `last`, with what resets between lost. Windows come in their order. */
static inline double increase(struct slide *x, uint32_t first, uint32_t last)
{
    struct resets *r = &x->resets;
    const double *v = x->s->v;
    double rise = v[last] - v[first], lost, all;
    while (r->to < r->n && r->at[r->to] <= last) r->to++;
    while (r->from < r->to && r->at[r->from] <= first) r->from++;
    if (r->from == r->to) return rise;
    if (sums_between(&r->sums, r->from, r->to, &lost) && fabs(all = rise + lost) * 0x1p40 > fabs(lost)) return all;
    for (uint32_t k = r->from; k < r->to; k++) rise += v[r->at[k] - 1]; /* one of them hides the others */
    return rise;
}

static void rates(struct slide *x, struct lanes *l, uint32_t n, int64_t start, int64_t range, uint8_t *have, double *v)
{
    const struct pq_samples *s = x->s;
    const uint32_t *lo = l->lo, *hi = l->hi;
    for (uint32_t i = 0; i < n; i++) {
        bool some = hi[i] - lo[i] >= 2;
        have[i] = some ? PQ_CELL_FLOAT : PQ_CELL_NONE;
        if (!some) {
            l->sampled[i] = l->gaps[i] = l->first[i] = 1;
            l->to_start[i] = l->to_end[i] = v[i] = 0;
            continue;
        }
        uint32_t first = lo[i], last = hi[i] - 1;
        int64_t from = start + (int64_t)i * x->step;
        l->sampled[i] = (double)(s->t[last] - s->t[first]);
        l->to_start[i] = (double)(s->t[first] - from);
        l->to_end[i] = (double)(from + range - s->t[last]);
        l->gaps[i] = last - first;
        l->first[i] = s->v[first];
        v[i] = x->f == FN_DELTA ? s->v[last] - s->v[first] : increase(x, first, last);
    }
    extrapolate(x->f, l, n, (double)range / 1000, v);
}

/* -- counts --------------------------------------------------------------------------------------------------- */
/* How many samples up to each differ from the one before (changes), or are less (resets). */
static uint32_t *count_hits(struct arena *a, const struct pq_samples *s, bool changes)
{
    uint32_t *hits = ARENA_RAW(a, uint32_t, s->n), n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (i && changes) n += s->v[i] != s->v[i - 1] && !(isnan(s->v[i]) && isnan(s->v[i - 1]));
        else if (i) n += s->v[i] < s->v[i - 1];
        hits[i] = n;
    }
    return hits;
}

/* -- least and greatest ------------------------------------------------------------------------------------------ */
static void extremes(struct slide *x, uint32_t n, const uint32_t *lo, const uint32_t *hi, double *v)
{
    const double *s = x->s->v;
    bool max = x->f == FN_MAX_OVER_TIME;
    for (uint32_t i = 0; i < n; i++) {
        for (; x->seen < hi[i]; x->seen++) {
            double new = s[x->seen];
            if (isnan(new)) continue; /* counts where there is nothing else */
            while (x->qend > x->qfirst && (max ? s[x->queue[x->qend - 1]] < new : s[x->queue[x->qend - 1]] > new)) x->qend--;
            x->queue[x->qend++] = x->seen;
        }
        while (x->qfirst < x->qend && x->queue[x->qfirst] < lo[i]) x->qfirst++;
        if (lo[i] < hi[i]) v[i] = x->qfirst < x->qend ? s[x->queue[x->qfirst]] : s[hi[i] - 1];
    }
}

/* -- sums over time -------------------------------------------------------------------------------------------------- */
static double window_sum(const struct slide *x, uint32_t lo, uint32_t hi)
{
    double sum;
    return x->sums.hi && sums_between(&x->sums, lo, hi, &sum) ? sum : pq_sum(x->s->v + lo, hi - lo);
}

static void sums(const struct slide *x, uint32_t n, const uint32_t *lo, const uint32_t *hi, double *v)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t count = hi[i] - lo[i];
        if (!count) continue;
        if (x->f == FN_SUM_OVER_TIME) v[i] = window_sum(x, lo[i], hi[i]);
        else v[i] = x->sums.hi ? window_sum(x, lo[i], hi[i]) / count : pq_avg(x->s->v + lo[i], count);
    }
}

/* -- all --------------------------------------------------------------------------------------------------------- */
static void ends(const struct slide *x, uint32_t n, const uint32_t *lo, const uint32_t *hi, double *v)
{
    const struct pq_samples *s = x->s;
    for (uint32_t i = 0; i < n; i++) {
        if (lo[i] == hi[i]) continue;
        uint32_t first = lo[i], last = hi[i] - 1;
        switch (x->f) {
        case FN_COUNT_OVER_TIME: v[i] = hi[i] - lo[i]; break;
        case FN_FIRST_OVER_TIME: v[i] = s->v[first]; break;
        case FN_LAST_OVER_TIME: v[i] = s->v[last]; break;
        case FN_TS_OF_FIRST: v[i] = (double)s->t[first] / 1000; break;
        case FN_TS_OF_LAST: v[i] = (double)s->t[last] / 1000; break;
        case FN_CHANGES:
        case FN_RESETS: v[i] = x->hits[last] - x->hits[first]; break;
        default: v[i] = 1;
        }
    }
}

static void some_windows(struct slide *x, struct lanes *l, uint32_t n, int64_t range, uint8_t *have, double *v)
{
    const uint32_t *lo = l->lo, *hi = l->hi;
    int64_t start = x->start;
    windows(x, n, l->lo, l->hi);
    if (pq_is_rate(x->f)) {
        rates(x, l, n, start, range, have, v);
        return;
    }
    for (uint32_t i = 0; i < n; i++) have[i] = lo[i] < hi[i] ? PQ_CELL_FLOAT : PQ_CELL_NONE;
    if (x->f == FN_MIN_OVER_TIME || x->f == FN_MAX_OVER_TIME) extremes(x, n, lo, hi, v);
    else if (x->f == FN_SUM_OVER_TIME || x->f == FN_AVG_OVER_TIME) sums(x, n, lo, hi, v);
    else ends(x, n, lo, hi, v);
}

static void prepare(struct slide *x, struct arena *a, bool overlap)
{
    bool ok = true;
    switch (x->f) {
    case FN_CHANGES:
    case FN_RESETS: x->hits = count_hits(a, x->s, x->f == FN_CHANGES); break;
    case FN_RATE:
    case FN_INCREASE:
        if (!find_resets(a, x->s, &x->resets)) x->resets.sums.most = INFINITY; /* no difference is precise */
        break;
    case FN_SUM_OVER_TIME:
    case FN_AVG_OVER_TIME: ok = overlap && prefix_sums(a, x->s, &x->sums); break;
    case FN_MIN_OVER_TIME:
    case FN_MAX_OVER_TIME: x->queue = ARENA_RAW(a, uint32_t, x->s->n); break;
    default: break;
    }
    if (!ok) x->sums.hi = NULL;
}

err_t pq_slide(struct pq_range_ctx *c, const struct pq_samples *s, const struct pq_edges *e, uint8_t *have, double *v)
{
    struct slide x = { .s = s, .f = c->call->call.fn->id, .start = e->start_ms, .end = e->end_ms, .step = e->step_ms };
    int64_t range = e->end_ms - e->start_ms;
    struct lanes *l = ARENA_RAW(c->scratch, struct lanes, 1);
    ASSERT(pq_slides(x.f, s));
    prepare(&x, c->scratch, range > e->step_ms);
    TRY(arena_check(c->scratch));
    for (uint32_t i = 0, n; i < e->n; i += n) {
        n = MIN(e->n - i, (uint32_t)SLIDE_BLOCK);
        some_windows(&x, l, n, range, have + i, v + i);
        TRY(pq_checkpoint(c->e));
    }
    return OK;
}
