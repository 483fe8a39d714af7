/* See slide.h. */
#include "query/promql/slide.h"

#include "base/core/assert.h"
#include "query/promql/lanes.h"

#include <math.h>

static const double SUM_MAX = 1e300; /* below it no difference of two sums overflows */
enum { SLIDE_BLOCK = 256, SLIDE_BLOCKS = 8 }; /* windows at a time, and how often so between two looks at the clock */

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
    double *upto;       /* where sums are exact and resets many: what was lost up to each sample; or NULL */
    double *lost;       /* where they are many and windows short: what each sample lost; or NULL */
    struct sums sums;   /* of what the first k lost; hi NULL: not needed yet */
    uint32_t from, to;  /* those of the last window */
};

/* The best of n candidates for windows that slide over them, by a queue of those that no later one beats. */
struct best {
    bool max;
    const double *v;
    uint32_t *queue, first, end;
};

struct parts { /* of samples, between the edges of windows */
    uint32_t *edge, n; /* n + 1 of them, as numbers of samples */
    double *best;
    bool *some;        /* is there one that is not NaN? */
};

struct slide {
    const struct pq_samples *s;
    const struct pq_windows *w;
    const struct pq_edges *e;
    enum pq_fid f;
    uint32_t *hits;              /* of changes and resets: how many up to each sample */
    struct sums sums;            /* of sums; hi NULL: none */
    struct resets resets;        /* of rate and increase */
    double *rise, *start;        /* of rates: a block's increases and first values */
    double *exact;               /* of sums without rounding: of the samples before each, and of all; or NULL */
    struct parts parts;          /* of min and max; edge NULL: of single samples */
    struct best best;
    uint32_t seen, part;         /* up to where candidates went in; the last window's first part */
};

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
enum {
    RESETS_CHUNK = 256,
    RESETS_MANY = 16,  /* one in as many samples at least: a gauge's, most often */
    RESETS_WINDOW = 64, /* samples of a window that are looked at one by one */
};

/* The samples that are less than the one before. */
static void find_resets(struct arena *a, const struct pq_samples *s, struct resets *out)
{
    const double *v = s->v;
    uint32_t *at = NULL, n = 0;
    for (uint32_t i = 1, end; i < s->n; i = end) {
        end = MIN(i + RESETS_CHUNK, s->n);
        if (!pq_lanes_falls(v + i, end - i)) continue;
        if (!at) at = ARENA_RAW(a, uint32_t, s->n);
        for (uint32_t k = i; k < end; k++) {
            at[n] = k;
            n += v[k] < v[k - 1];
        }
    }
    *out = (struct resets){ .at = at, .n = n };
}

/* Are all integers, of which no sum is rounded? */
static bool sums_exactly(const double *v, uint32_t n)
{
    bool whole = true;
    for (uint32_t i = 0; whole && i < n; i += RESETS_CHUNK) whole = pq_lanes_whole(v + i, MIN(n - i, (uint32_t)RESETS_CHUNK), fmin(0x1p53 / n, 0x1p51));
    return whole;
}

/* What each sample lost: nothing is -0, which changes no sum. */
static double *list_lost(struct arena *a, const double *v, uint32_t n)
{
    double *lost = ARENA_RAW(a, double, n);
    lost[0] = -0.0;
    for (uint32_t i = 1; i < n; i++) lost[i] = v[i] < v[i - 1] ? v[i - 1] : -0.0;
    return lost;
}

/* Of exact sums. */
static void sum_up(double *v, uint32_t n)
{
    double sum = 0;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        double two = v[i] + v[i + 1], three = two + v[i + 2], four = two + (v[i + 2] + v[i + 3]);
        v[i] += sum;
        v[i + 1] = two + sum;
        v[i + 2] = three + sum;
        v[i + 3] = sum = four + sum;
    }
    for (; i < n; i++) v[i] = sum += v[i];
}

/* What was lost up to each reset. */
static void sum_resets(struct arena *a, const double *v, struct resets *r)
{
    double hi = 0, lo = 0, low;
    sums_make(a, r->n + 1, &r->sums);
    r->sums.hi[0] = r->sums.lo[0] = 0;
    for (uint32_t k = 0; k < r->n; k++) {
        hi = two_sum(hi, v[r->at[k] - 1], &low);
        hi = two_sum(hi, lo + low, &lo);
        r->sums.hi[k + 1] = hi;
        r->sums.lo[k + 1] = lo;
        r->sums.most = fmax(r->sums.most, fabs(hi));
    }
    if (!isfinite(hi) || !isfinite(lo) || r->sums.most >= SUM_MAX) r->sums.most = INFINITY; /* no difference is precise */
}

static void prepare_resets(struct slide *x, struct arena *a)
{
    struct resets *r = &x->resets;
    const struct pq_windows *w = x->w;
    uint32_t widest = 0;
    if (x->s->rising) return;
    find_resets(a, x->s, r);
    for (uint32_t i = 0; r->n && i < w->n; i++) widest = MAX(widest, w->to[i] - w->from[i]);
    if (r->n < x->s->n / RESETS_MANY) return;
    if (r->n && sums_exactly(x->s->v, x->s->n)) sum_up(r->upto = list_lost(a, x->s->v, x->s->n), x->s->n);
    else if (r->n && widest <= RESETS_WINDOW) r->lost = list_lost(a, x->s->v, x->s->n);
}

/* -- rates ---------------------------------------------------------------------------------------------------- */
enum { ABREAST = 8 };
/* In the order of time, as Prometheus adds them. */
static void add_each(const double *lost, const uint32_t *first, const uint32_t *last, uint32_t n, double *restrict rise)
{
    uint32_t i = 0;
    for (; i + ABREAST <= n; i += ABREAST) {
        uint32_t count = last[i] - first[i], other = 0;
        double sum[ABREAST];
        for (uint32_t k = 0; k < ABREAST; k++) {
            other |= (last[i + k] - first[i + k]) ^ count;
            sum[k] = rise[i + k];
        }
        if (other) {
            for (uint32_t k = 0; k < ABREAST; k++)
                for (uint32_t m = first[i + k] + 1; m <= last[i + k]; m++) rise[i + k] += lost[m];
            continue;
        }
        const double *at[ABREAST];
        for (uint32_t k = 0; k < ABREAST; k++) at[k] = lost + first[i + k] + 1;
        for (uint32_t m = 0; m < count; m++)
            for (uint32_t k = 0; k < ABREAST; k++) sum[k] += at[k][m];
        memcpy(rise + i, sum, sizeof sum);
    }
    for (; i < n; i++)
        for (uint32_t m = first[i] + 1; m <= last[i]; m++) rise[i] += lost[m];
}

/* With what the resets from r->from to r->to lost. */
static double with_lost(struct slide *x, struct arena *a, double rise)
{
    struct resets *r = &x->resets;
    const double *v = x->s->v;
    double lost, all;
    if (r->to - r->from > RESETS_WINDOW) {
        if (!r->sums.hi) sum_resets(a, v, r);
        if (sums_between(&r->sums, r->from, r->to, &lost) && fabs(all = rise + lost) * 0x1p40 > fabs(lost)) return all;
    }
    for (uint32_t k = r->from; k < r->to; k++) rise += v[r->at[k] - 1]; /* where they are many one of them hides the others */
    return rise;
}

static void add_lost(struct slide *x, struct arena *a, uint32_t i, uint32_t n, double *rise)
{
    struct resets *r = &x->resets;
    const uint32_t *first = x->w->from + i, *last = x->w->to + i;
    if (r->lost) {
        add_each(r->lost, first, last, n, rise);
        return;
    }
    for (uint32_t k = 0; r->upto && k < n; k++) rise[k] += r->upto[last[k]] - r->upto[first[k]];
    if (r->upto) return;
    for (uint32_t k = 0; k < n; k++) {
        if (r->from == r->to) { /* on to the first window that has the next one; windows without samples end at 0 */
            if (r->to == r->n || (last[n - 1] && last[n - 1] < r->at[r->to])) return;
            while (k + 1 < n && last[k] < r->at[r->to]) k++;
        }
        while (r->to < r->n && r->at[r->to] <= last[k]) r->to++;
        while (r->from < r->to && r->at[r->from] <= first[k]) r->from++;
        if (r->from < r->to) rise[k] = with_lost(x, a, rise[k]);
    }
}

/* Windows i to i + n - 1, side by side; few have a zero crossing that is near. */
static void rates(struct slide *x, struct arena *a, uint32_t i, uint32_t n, double *restrict out)
{
    const double *v = x->s->v, *factor = x->w->factor + i, *near = x->w->near + i;
    const uint32_t *first = x->w->from + i, *last = x->w->to + i;
    double *restrict rise = x->rise, *restrict start = x->start;
    uint64_t some;
    for (uint32_t k = 0; k < n; k++) {
        start[k] = v[first[k]];
        rise[k] = v[last[k]] - start[k];
    }
    if (x->resets.n) add_lost(x, a, i, n, rise);
    some = pq_lanes_scale(start, rise, factor, near, n, out);
    if (!some || x->f == FN_DELTA) return;
    for (uint32_t k = 0; k < n; k++)
        if (rise[k] > 0 && start[k] <= rise[k] * near[k]) out[k] = rise[k] * pq_windows_factor(x->f, x->s->t, x->w, x->e, i + k, start[k], rise[k]);
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
static inline void best_push(struct best *b, uint32_t i)
{
    double new = b->v[i];
    while (b->end > b->first && (b->max ? b->v[b->queue[b->end - 1]] < new : b->v[b->queue[b->end - 1]] > new)) b->end--;
    b->queue[b->end++] = i;
}

static inline bool best_from(struct best *b, uint32_t from, double *out)
{
    while (b->first < b->end && b->queue[b->first] < from) b->first++;
    if (b->first == b->end) return false;
    *out = b->v[b->queue[b->first]];
    return true;
}

static void extremes(struct slide *x, uint32_t n, const uint32_t *lo, const uint32_t *hi, double *v)
{
    const double *s = x->s->v;
    for (uint32_t i = 0; i < n; i++) {
        for (; x->seen < hi[i]; x->seen++)
            if (!isnan(s[x->seen])) best_push(&x->best, x->seen); /* NaN counts where there is nothing else */
        if (lo[i] < hi[i] && !best_from(&x->best, lo[i], &v[i])) v[i] = s[hi[i] - 1];
    }
}

/* Where windows are long, the best of what lies between any two of their edges comes first, and windows slide over these parts. */
enum { PART_LEAST = 8 /* samples, on average */ };
/* The first of equals: zeros have signs. */
static bool part_best(const double *v, uint32_t n, bool max, double *out)
{
    bool some = max ? pq_lanes_greatest(v, n, out) : pq_lanes_least(v, n, out);
    for (uint32_t i = 0; some && *out == 0 && i < n; i++) {
        if (v[i] != 0) continue;
        *out = v[i];
        break;
    }
    return some;
}

static void prepare_extremes(struct slide *x, struct arena *a)
{
    const struct pq_windows *w = x->w;
    struct parts *p = &x->parts;
    uint32_t lo = 0, hi = 0;
    x->best = (struct best){ .max = x->f == FN_MAX_OVER_TIME, .v = x->s->v };
    if ((uint64_t)w->n * 2 * PART_LEAST > w->to[w->n - 1] - w->from[0]) {
        x->best.queue = ARENA_RAW(a, uint32_t, x->s->n);
        return;
    }
    p->edge = ARENA_RAW(a, uint32_t, 2 * (size_t)w->n + 1);
    p->best = ARENA_RAW(a, double, 2 * (size_t)w->n);
    p->some = ARENA_RAW(a, bool, 2 * (size_t)w->n);
    x->best.v = p->best;
    x->best.queue = ARENA_RAW(a, uint32_t, 2 * (size_t)w->n);
    for (uint32_t edges = 0; lo < w->n || hi < w->n;) { /* both ascend */
        uint32_t next = lo < w->n && w->from[lo] <= w->to[hi] ? w->from[lo++] : w->to[hi++];
        if (edges && p->edge[edges - 1] == next) continue;
        p->n = edges;
        p->edge[edges++] = next;
    }
    for (uint32_t k = 0; k < p->n; k++)
        p->some[k] = part_best(x->s->v + p->edge[k], p->edge[k + 1] - p->edge[k], x->best.max, &p->best[k]);
}

static void extremes_of_parts(struct slide *x, uint32_t n, const uint32_t *lo, const uint32_t *hi, double *v)
{
    const struct parts *p = &x->parts;
    for (uint32_t i = 0; i < n; i++) {
        for (; x->seen < p->n && p->edge[x->seen] < hi[i]; x->seen++)
            if (p->some[x->seen]) best_push(&x->best, x->seen);
        while (p->edge[x->part] < lo[i]) x->part++;
        if (lo[i] < hi[i] && !best_from(&x->best, x->part, &v[i])) v[i] = x->s->v[hi[i] - 1];
    }
}

/* -- sums over time -------------------------------------------------------------------------------------------------- */
static double window_sum(const struct slide *x, uint32_t lo, uint32_t hi)
{
    double sum;
    if (x->exact) return x->exact[hi] - x->exact[lo];
    return x->sums.hi && sums_between(&x->sums, lo, hi, &sum) ? sum : pq_sum(x->s->v + lo, hi - lo);
}

static void sums(const struct slide *x, uint32_t n, const uint32_t *lo, const uint32_t *hi, double *v)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t count = hi[i] - lo[i];
        if (!count) continue;
        if (x->f == FN_SUM_OVER_TIME) v[i] = window_sum(x, lo[i], hi[i]);
        else v[i] = x->sums.hi || x->exact ? window_sum(x, lo[i], hi[i]) / count : pq_avg(x->s->v + lo[i], count);
    }
}

static void prepare_sums(struct slide *x, struct arena *a)
{
    const struct pq_samples *s = x->s;
    if (!sums_exactly(s->v, s->n)) {
        if (!prefix_sums(a, s, &x->sums)) x->sums.hi = NULL;
        return;
    }
    x->exact = ARENA_RAW(a, double, (size_t)s->n + 1);
    x->exact[0] = 0;
    memcpy(x->exact + 1, s->v, s->n * sizeof *s->v);
    sum_up(x->exact + 1, s->n);
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

static void some_windows(struct slide *x, struct arena *a, uint32_t i, uint32_t n, double *v)
{
    const uint32_t *lo = x->w->from + i, *hi = x->w->to + i;
    if (pq_is_rate(x->f)) rates(x, a, i, n, v);
    else if (x->parts.edge) extremes_of_parts(x, n, lo, hi, v);
    else if (x->f == FN_MIN_OVER_TIME || x->f == FN_MAX_OVER_TIME) extremes(x, n, lo, hi, v);
    else if (x->f == FN_SUM_OVER_TIME || x->f == FN_AVG_OVER_TIME) sums(x, n, lo, hi, v);
    else ends(x, n, lo, hi, v);
}

static void prepare(struct slide *x, struct arena *a, bool overlap)
{
    switch (x->f) {
    case FN_CHANGES:
    case FN_RESETS: x->hits = count_hits(a, x->s, x->f == FN_CHANGES); break;
    case FN_RATE:
    case FN_INCREASE:
    case FN_DELTA:
        x->rise = ARENA_RAW(a, double, SLIDE_BLOCK);
        x->start = ARENA_RAW(a, double, SLIDE_BLOCK);
        if (x->f != FN_DELTA) prepare_resets(x, a);
        break;
    case FN_SUM_OVER_TIME:
    case FN_AVG_OVER_TIME:
        if (overlap) prepare_sums(x, a);
        break;
    case FN_MIN_OVER_TIME:
    case FN_MAX_OVER_TIME: prepare_extremes(x, a); break;
    default: break;
    }
}

err_t pq_slide(struct pq_range_ctx *c, const struct pq_samples *s, const struct pq_edges *e, uint8_t *have, double *v)
{
    struct slide x = { .s = s, .e = e, .f = c->call->call.fn->id };
    ASSERT(pq_slides(x.f, s));
    if (s->n == 0) {
        memset(have, PQ_CELL_NONE, e->n);
        return OK;
    }
    TRY(pq_windows_of(c->times, x.f, s, e, c->scratch, &x.w));
    prepare(&x, c->scratch, e->end_ms - e->start_ms > e->step_ms);
    TRY(arena_check(c->scratch));
    memcpy(have, x.w->have, e->n);
    for (uint32_t i = 0, n; i < e->n; i += n) {
        n = MIN(e->n - i, (uint32_t)SLIDE_BLOCK);
        some_windows(&x, c->scratch, i, n, v + i);
        if (i / SLIDE_BLOCK % SLIDE_BLOCKS == 0) TRY(pq_checkpoint(c->e));
    }
    return OK;
}
