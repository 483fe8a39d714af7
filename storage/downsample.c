#include "storage/downsample.h"

#include "storage/nhist.h"

#include <math.h>

static const double DECIMAL_MAX = 1e9, SCALE_MAX = 1e6;

struct level {
    int64_t resolution_ms, upto_ms; /* windows that end at or before that */
};
struct plan {
    struct level level[KEEP_LEVELS_MAX]; /* coarsest first */
    uint32_t n;
};

struct building {
    struct arena *a;
    struct sample_set *out;
    /* the summary at hand */
    struct metric_block *cur;
    double low;             /* of its sum: what that lost */
    int64_t st;
    bool some;              /* a window of two samples and more was there */
};

/* The end of the window (end - resolution, end] of t; false: there is none so late. */
static bool window_end(int64_t t, int64_t resolution, int64_t *end)
{
    int64_t k = t / resolution, rest = t % resolution;
    return !__builtin_mul_overflow(rest > 0 ? k + 1 : k, resolution, end);
}

static void plan_of(const struct keep_rule *r, int64_t now_ns, struct plan *p)
{
    p->n = 0;
    for (uint32_t i = r->nlevels; i-- > 0;) {
        int64_t upto_ns;
        if (__builtin_sub_overflow(now_ns, r->level[i].after_ns, &upto_ns)) continue;
        p->level[p->n++] = (struct level){ r->level[i].resolution_ms, upto_ns / NS_PER_MS - (upto_ns % NS_PER_MS < 0) };
    }
}

/* Of the sample or summary at t, the window it is due for. */
static const struct level *due(const struct plan *p, int64_t t, const struct metric_block *win, int64_t *end)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const struct level *l = &p->level[i];
        if (win && win->resolution_ms > l->resolution_ms) return NULL;
        if (window_end(t, l->resolution_ms, end) && *end <= l->upto_ms) return l;
    }
    return NULL;
}

static const struct metric_block *win_of(const struct sample_set *s, uint32_t i) { return s->win ? s->win[i] : NULL; }
static int64_t st_of(const struct sample_set *s, uint32_t i) { return s->st ? s->st[i] : ST_NONE; }
static bool is_hist(const struct sample_set *s, uint32_t i) { return s->hist && s->hist[i]; }
static bool is_stale(const struct sample_set *s, uint32_t i) { return is_stale_nan(is_hist(s, i) ? s->hist[i]->sum : s->v[i]); }

static void emit(struct building *b, const struct sample_set *s, uint32_t i)
{
    sample_set_put(b->out, s->t[i], s->v[i], s->hist ? s->hist[i] : NULL, st_of(s, i));
    b->out->win[b->out->n - 1] = win_of(s, i);
}

static bool is_decimal(double v, double scale) { return fabs(v) < DECIMAL_MAX && nearbyint(v * scale) / scale == v; }

/* The sum of decimals is one of as many places, and takes less room than what binary sums make of it: within 1e-13 of it. */
static double tidy(const struct metric_block *c, double sum)
{
    for (double scale = 1; scale <= SCALE_MAX; scale *= 10) {
        if (!is_decimal(c->first, scale) || !is_decimal(c->last, scale) || !is_decimal(c->min, scale) || !is_decimal(c->max, scale)) continue;
        double near = nearbyint(sum * scale) / scale;
        return fabs(near - sum) <= 1e-13 * (fabs(sum) + c->n * fmax(fabs(c->min), fabs(c->max))) ? near : sum;
    }
    return sum;
}

static void flush(struct building *b)
{
    struct metric_block *c = b->cur;
    if (!c) return;
    c->sum = tidy(c, c->sum + b->low);
    c->resets_known = c->resets_known && isfinite(c->reset_sum);
    if (!c->resets_known) c->reset_sum = 0;
    sample_set_put(b->out, c->tmax_ms, c->last, NULL, b->st);
    b->out->win[b->out->n - 1] = c;
    b->some |= c->n > 1;
    b->cur = NULL;
}

static void add_sum(struct building *b, double v)
{
    double sum = b->cur->sum, next = sum + v;
    b->low += fabs(sum) >= fabs(v) ? sum - next + v : v - next + sum;
    b->cur->sum = next;
}

/* x comes behind what is summed up so far, or it is a summary into whose time a late sample came. */
static void add(struct building *b, const struct metric_block *x, int64_t st)
{
    struct metric_block *c = b->cur;
    if (!c) {
        b->cur = arena_dup(b->a, x, sizeof *x);
        b->low = 0;
        b->st = st;
        return;
    }
    add_sum(b, x->sum);
    c->resets_known &= x->resets_known;
    c->reset_sum += x->reset_sum;
    if (x->tmin_ms > c->tmax_ms && x->first < c->last) c->reset_sum += c->last;
    if (x->tmin_ms < c->tmin_ms) {
        c->first = x->first;
        c->tmin_ms = x->tmin_ms;
    }
    c->min = x->min < c->min ? x->min : c->min;
    c->max = x->max > c->max ? x->max : c->max;
    c->last = x->last;
    c->tmax_ms = x->tmax_ms;
    c->n += MIN(x->n, UINT32_MAX - c->n);
    c->resolution_ms = MAX(c->resolution_ms, x->resolution_ms);
}

static void add_float(struct building *b, const struct sample_set *s, uint32_t i, int64_t resolution)
{
    const struct metric_block *w = win_of(s, i);
    struct metric_block x = { .tmin_ms = s->t[i], .tmax_ms = s->t[i], .n = 1, .usable = true, .resets_known = true, .first = s->v[i],
                              .last = s->v[i], .min = s->v[i], .max = s->v[i], .sum = s->v[i] };
    if (w) x = *w;
    x.resolution_ms = resolution;
    if (b->cur && b->st != st_of(s, i)) flush(b);
    add(b, &x, st_of(s, i));
}

/* Must the histogram stay, of those of a window, of which it is neither the first nor the last? */
static bool at_reset(const struct sample_set *s, uint32_t i, uint32_t lo, uint32_t hi)
{
    if (s->hist[i]->hint == NHIST_RESET) return true;
    if (s->hist[i]->hint == NHIST_GAUGE) return false;
    bool falls = i > lo && is_hist(s, i - 1) && s->hist[i]->count < s->hist[i - 1]->count;
    bool fell = i + 1 < hi && is_hist(s, i + 1) && (s->hist[i + 1]->count < s->hist[i]->count || s->hist[i + 1]->hint == NHIST_RESET);
    return falls || fell || (i > lo && st_of(s, i) != st_of(s, i - 1)) || (i + 1 < hi && st_of(s, i) != st_of(s, i + 1));
}

static bool is_odd(const struct sample_set *s, uint32_t lo, uint32_t hi)
{
    for (uint32_t i = lo; i < hi; i++)
        if (!is_hist(s, i) && !isfinite(s->v[i]) && !is_stale(s, i)) return true;
    return false;
}

/* Samples lo..hi, all that there are of a window. */
static void fold(struct building *b, const struct sample_set *s, uint32_t lo, uint32_t hi, int64_t resolution)
{
    bool odd = is_odd(s, lo, hi);
    uint32_t first = lo, last = hi;
    while (first < hi && !is_hist(s, first))
        first++;
    while (last > first && !is_hist(s, last - 1))
        last--;
    for (uint32_t i = lo; i < hi; i++) {
        bool stale = is_stale(s, i);
        if (stale && i + 1 < hi && !odd) continue;
        if (odd || stale) {
            flush(b);
            emit(b, s, i);
        } else if (is_hist(s, i)) {
            flush(b);
            if (i == first || i + 1 == last || at_reset(s, i, lo, hi)) emit(b, s, i);
        } else {
            add_float(b, s, i, resolution);
        }
    }
    flush(b);
}

void downsample(const struct sample_set *s, const struct keep_rule *r, int64_t now_ns, struct arena *a, struct sample_set *out)
{
    struct plan p;
    struct sample_set to;
    struct building b = { .a = a, .out = &to };
    int64_t end, next_end;
    *out = *s;
    plan_of(r, now_ns, &p);
    if (p.n == 0 || s->n == 0) return;
    sample_set_init(&to, a, s->n, s->hist, s->st);
    to.win = ARENA_ARRAY(a, const struct metric_block *, s->n);
    if (arena_check(a) != OK) return;
    for (uint32_t i = 0, next; i < s->n; i = next) {
        const struct level *l = due(&p, s->t[i], win_of(s, i), &end);
        next = i + 1;
        if (!l) {
            b.some |= win_of(s, i) != NULL;
            emit(&b, s, i);
            continue;
        }
        while (next < s->n && due(&p, s->t[next], win_of(s, next), &next_end) == l && next_end == end)
            next++;
        fold(&b, s, i, next, l->resolution_ms);
    }
    if (b.some || (s->hist && to.n < s->n)) *out = to;
    if (!b.some) out->win = NULL;
}
