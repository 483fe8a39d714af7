/* See blocks.h. */
#include "query/promql/blocks.h"

#include <math.h>

enum { RANGE_MIN_MS = 15 * 60 * 1000 };
static const double SUM_MAX = 1e290; /* no sum of such samples and blocks overflows */

static bool is_sum(enum pq_fid f) { return f == FN_SUM_OVER_TIME || f == FN_AVG_OVER_TIME; }
static bool is_rate(enum pq_fid f) { return f == FN_RATE || f == FN_INCREASE || f == FN_DELTA; }

bool pq_long_pays(const struct pq_range_ctx *c, int64_t range_ms)
{
    if (!c->e->src->pieces || range_ms < RANGE_MIN_MS) return false;
    switch (c->call->call.fn->id) {
    case FN_RATE:
    case FN_INCREASE:
    case FN_DELTA:
    case FN_SUM_OVER_TIME:
    case FN_AVG_OVER_TIME:
    case FN_COUNT_OVER_TIME:
    case FN_ABSENT_OVER_TIME:
    case FN_PRESENT_OVER_TIME:
    case FN_FIRST_OVER_TIME:
    case FN_LAST_OVER_TIME:
    case FN_MIN_OVER_TIME:
    case FN_MAX_OVER_TIME: return true;
    default: return false;
    }
}

/* -- reading ------------------------------------------------------------------------------------------------------- */

/* Does one of n edges, a step apart, part [lo, hi] in two? */
static bool parts(int64_t edge, int64_t step, uint32_t n, int64_t lo, int64_t hi)
{
    int64_t k = 0;
    if (edge < lo) {
        if (n < 2) return false;
        k = (lo - edge + step - 1) / step;
    }
    return k < n && edge + k * step < hi;
}

static bool says_enough(enum pq_fid f, const struct metric_block *b)
{
    if (is_rate(f)) return !b->starts && (f == FN_DELTA || b->resets_known);
    return !is_sum(f) || fabs(b->sum) < SUM_MAX;
}

/* Takes the pieces that tell enough as blocks, the others as spans of samples; how many blocks need not be read. */
static uint32_t take_pieces(enum pq_fid f, const struct metric_piece *p, uint32_t n, const struct pq_edges *e, struct pq_long *out,
                            bool *read)
{
    uint32_t spared = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct pq_span *s = &out->spans[i];
        *s = (struct pq_span){ .tmin = p[i].tmin_ms, .tmax = p[i].tmax_ms };
        if (p[i].block && says_enough(f, p[i].block)) s->block = p[i].block;
        read[i] = !s->block || parts(e->start_ms, e->step_ms, e->n, s->tmin, s->tmax) ||
                  parts(e->end_ms, e->step_ms, e->n, s->tmin, s->tmax);
        spared += !read[i];
    }
    out->n = n;
    return spared;
}

struct reading { /* the samples of all runs of spans, one after another */
    int64_t *t;
    double *v;
    size_t cap_t, cap_v;
    uint32_t n;
};

static err_t read_run(struct pq_range_ctx *c, const struct pq_series *series, int64_t tmin, int64_t tmax, struct reading *r, bool *usable)
{
    struct pq_samples s;
    TRY(c->e->src->samples(c->e->src, series, tmin, tmax, c->scratch, &s));
    TRY(pq_charge(c->e, s.n));
    *usable = !s.h && !(s.st && is_rate(c->call->call.fn->id));
    if (!*usable) return OK;
    pq_drop_stale(&s, c->scratch);
    for (uint32_t i = 0; i < s.n && is_sum(c->call->call.fn->id); i++)
        if (fabs(s.v[i]) >= SUM_MAX) *usable = false;
    if (!*usable || s.n == 0) return OK;
    r->t = arena_grow(c->scratch, r->t, r->n, &r->cap_t, r->n + s.n, sizeof *r->t);
    r->v = arena_grow(c->scratch, r->v, r->n, &r->cap_v, r->n + s.n, sizeof *r->v);
    TRY(arena_check(c->scratch));
    memcpy(r->t + r->n, s.t, s.n * sizeof *s.t);
    memcpy(r->v + r->n, s.v, s.n * sizeof *s.v);
    r->n += s.n;
    return OK;
}

static void place_samples(struct pq_long *l)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        struct pq_span *s = &l->spans[i];
        s->lo = at;
        while (at < l->s.n && l->s.t[at] <= s->tmax)
            at++;
        s->hi = at;
    }
}

err_t pq_long_read(struct pq_range_ctx *c, const struct pq_series *series, const struct pq_edges *e, struct pq_long *out, bool *usable)
{
    struct metric_piece *p;
    struct reading r = { 0 };
    uint32_t n;
    int64_t last = e->step_ms * (e->n - 1);
    *usable = false;
    TRY(c->e->src->pieces(c->e->src, series, e->start_ms + 1, e->end_ms + last, c->scratch, &p, &n));
    out->spans = ARENA_RAW(c->scratch, struct pq_span, n);
    bool *read = ARENA_RAW(c->scratch, bool, n);
    TRY(arena_check(c->scratch));
    uint32_t fitting = 0, spared = take_pieces(c->call->call.fn->id, p, n, e, out, read);
    /* Where all blocks are cut, they are read; what they know still spares each window that holds some whole. */
    for (uint32_t i = 0; i < n; i++)
        fitting += out->spans[i].block && p[i].tmax_ms - p[i].tmin_ms < e->end_ms - e->start_ms;
    if (spared == 0 && fitting < 2) return OK;
    TRY(pq_charge(c->e, spared));
    for (uint32_t i = 0, next; i < n; i = next) {
        next = i + 1;
        if (!read[i]) continue;
        while (next < n && read[next])
            next++;
        TRY(read_run(c, series, out->spans[i].tmin, out->spans[next - 1].tmax, &r, usable));
        if (!*usable) return OK;
    }
    out->s = (struct pq_samples){ .n = r.n, .t = r.t, .v = r.v };
    place_samples(out);
    *usable = true;
    return OK;
}

/* -- windows -------------------------------------------------------------------------------------------------------- */

struct gathered { /* of a window, so far */
    uint32_t n;
    int64_t t_first, t_last;
    double first, last, min, max, sum, sum_low, lost;
};

static void add_sample(struct gathered *x, int64_t t, double v)
{
    if (x->n == 0) {
        x->t_first = t;
        x->first = x->min = x->max = v;
    } else {
        if (v < x->last) x->lost += x->last;
        if (isnan(x->min) || v < x->min) x->min = v;
        if (isnan(x->max) || v > x->max) x->max = v;
    }
    pq_kahan(v, &x->sum, &x->sum_low);
    x->t_last = t;
    x->last = v;
    x->n++;
}

static void add_block(struct gathered *x, const struct metric_block *b)
{
    if (x->n == 0) {
        x->t_first = b->tmin_ms;
        x->first = b->first;
        x->min = b->min;
        x->max = b->max;
    } else {
        if (b->first < x->last) x->lost += x->last;
        if (isnan(x->min) || b->min < x->min) x->min = b->min;
        if (isnan(x->max) || b->max > x->max) x->max = b->max;
    }
    x->lost += b->reset_sum;
    pq_kahan(b->sum, &x->sum, &x->sum_low);
    x->t_last = b->tmax_ms;
    x->last = b->last;
    x->n += b->n;
}

/* The first of t[lo, hi) behind the time. */
static uint32_t behind(const int64_t *t, uint32_t lo, uint32_t hi, int64_t time)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t[mid] <= time) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static uint32_t first_span(const struct pq_long *l, int64_t start)
{
    uint32_t lo = 0, hi = l->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (l->spans[mid].tmax <= start) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static void gather(const struct pq_long *l, int64_t start, int64_t end, struct gathered *x)
{
    for (uint32_t i = first_span(l, start); i < l->n && l->spans[i].tmin <= end; i++) {
        const struct pq_span *s = &l->spans[i];
        if (s->block && s->tmin > start && s->tmax <= end) {
            add_block(x, s->block);
            continue;
        }
        for (uint32_t k = behind(l->s.t, s->lo, s->hi, start); k < s->hi && l->s.t[k] <= end; k++)
            add_sample(x, l->s.t[k], l->s.v[k]);
    }
}

static double rate(enum pq_fid f, const struct gathered *x, int64_t start, int64_t end)
{
    double total = x->last - x->first;
    if (f != FN_DELTA && x->lost != 0) total += x->lost; /* -0 stays */
    const struct pq_increase i = { .n = x->n, .from = x->t_first, .first_at = x->t_first, .last_at = x->t_last, .first = x->first,
                                   .total = total };
    return total * pq_extrapolate(f, &i, start, end);
}

struct pq_cell pq_long_window(const struct pq_range_ctx *c, const struct pq_long *l, int64_t start, int64_t end)
{
    enum pq_fid f = c->call->call.fn->id;
    struct gathered x = { 0 };
    double v;
    gather(l, start, end, &x);
    if (x.n == 0 || (is_rate(f) && x.n < 2)) return (struct pq_cell){ 0 };
    switch (f) {
    case FN_SUM_OVER_TIME: v = x.sum + x.sum_low; break;
    case FN_AVG_OVER_TIME: v = x.sum / x.n + x.sum_low / x.n; break;
    case FN_COUNT_OVER_TIME: v = x.n; break;
    case FN_FIRST_OVER_TIME: v = x.first; break;
    case FN_LAST_OVER_TIME: v = x.last; break;
    case FN_MIN_OVER_TIME: v = x.min; break;
    case FN_MAX_OVER_TIME: v = x.max; break;
    case FN_RATE:
    case FN_INCREASE:
    case FN_DELTA: v = rate(f, &x, start, end); break;
    default: v = 1;
    }
    return (struct pq_cell){ PQ_CELL_FLOAT, v, NULL };
}
