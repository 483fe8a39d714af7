/* See blocks.h. */
#include "query/promql/blocks.h"

#include <math.h>

enum { RANGE_MIN_MS = 15 * 60 * 1000, LATE_MAX = 64 };
static const double SUM_MAX = 1e290; /* no sum of such samples and blocks overflows */

static bool is_sum(enum pq_fid f) { return f == FN_SUM_OVER_TIME || f == FN_AVG_OVER_TIME; }

bool pq_long_pays(const struct pq_range_ctx *c, const struct pq_series *s, int64_t range_ms)
{
    if (!c->e->src->pieces || (range_ms < RANGE_MIN_MS && !s->resolution_ms)) return false;
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
    if (pq_is_rate(f)) return !b->starts && (f == FN_DELTA || b->resets_known);
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
    int64_t *t, *st;
    double *v;
    const struct metric_block **win;
    size_t cap;
    uint32_t n;
    bool coarse;
};

static void *grown(struct arena *a, const void *old, uint32_t n, size_t cap, size_t elem)
{
    void *p = arena_calloc(a, cap, elem);
    if (n) memcpy(p, old, n * elem);
    return p;
}

static err_t make_room(struct reading *r, struct arena *a, uint32_t more)
{
    if (r->n + more <= r->cap) return OK;
    r->cap = MAX((size_t)r->n + more, r->cap * 2);
    int64_t *t = grown(a, r->t, r->n, r->cap, sizeof *t);
    double *v = grown(a, r->v, r->n, r->cap, sizeof *v);
    int64_t *st = r->coarse ? grown(a, r->st, r->n, r->cap, sizeof *st) : NULL;
    const struct metric_block **win = r->coarse ? grown(a, r->win, r->n, r->cap, sizeof *win) : NULL;
    r->t = t;
    r->v = v;
    r->st = st;
    r->win = win;
    return arena_check(a);
}

static err_t read_run(struct pq_range_ctx *c, const struct pq_series *series, int64_t tmin, int64_t tmax, struct reading *r, bool *usable)
{
    struct pq_samples s;
    TRY(c->e->src->samples(c->e->src, series, tmin, tmax, c->scratch, &s));
    TRY(pq_charge(c->e, s.n));
    *usable = !s.h && (r->coarse || !(s.st && pq_is_rate(c->call->call.fn->id)));
    if (!*usable) return OK;
    pq_drop_stale(&s, c->scratch);
    for (uint32_t i = 0; i < s.n && is_sum(c->call->call.fn->id); i++)
        if (fabs(s.v[i]) >= SUM_MAX || (s.win && s.win[i] && fabs(s.win[i]->sum) >= SUM_MAX)) *usable = false;
    if (!*usable || s.n == 0) return OK;
    TRY(make_room(r, c->scratch, s.n));
    memcpy(r->t + r->n, s.t, s.n * sizeof *s.t);
    memcpy(r->v + r->n, s.v, s.n * sizeof *s.v);
    if (r->coarse && s.st) memcpy(r->st + r->n, s.st, s.n * sizeof *s.st);
    if (r->coarse && s.win) memcpy(r->win + r->n, s.win, s.n * sizeof *s.win);
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
    struct reading r = { .coarse = series->resolution_ms > 0 };
    uint32_t n;
    int64_t last = e->step_ms * (e->n - 1);
    *usable = false;
    out->coarse = r.coarse;
    /* A summary that the last edge cuts has its last sample behind it. */
    TRY(c->e->src->pieces(c->e->src, series, e->start_ms + 1, e->end_ms + last + series->resolution_ms, c->scratch, &p, &n));
    out->spans = ARENA_RAW(c->scratch, struct pq_span, n);
    bool *read = ARENA_RAW(c->scratch, bool, n);
    TRY(arena_check(c->scratch));
    uint32_t spared = take_pieces(c->call->call.fn->id, p, n, e, out, read);
    /* A window looks at as many samples of the blocks that its edges cut as a block has; who reads all looks at each of them once. */
    if (spared <= e->n && !r.coarse) return OK;
    TRY(pq_charge(c->e, spared));
    for (uint32_t i = 0, next; i < n; i = next) {
        next = i + 1;
        if (!read[i]) continue;
        while (next < n && read[next])
            next++;
        TRY(read_run(c, series, out->spans[i].tmin, out->spans[next - 1].tmax, &r, usable));
        if (!*usable) return OK;
    }
    out->s = (struct pq_samples){ .n = r.n, .t = r.t, .v = r.v, .st = r.st, .win = r.win };
    place_samples(out);
    *usable = true;
    return OK;
}

/* -- windows -------------------------------------------------------------------------------------------------------- */

struct gathered { /* of a window, so far */
    double n;      /* of a summary that is cut a part */
    bool some;
    int64_t t_first, t_last, st; /* st: of the last */
    int64_t from;  /* a start timestamp in the window from which the first counted; 0: none */
    double first, last, min, max, sum, sum_low, lost;
};
struct item { /* a sample, a block, or a part of a summary */
    int64_t t_first, t_last, st;
    double n, first, last, min, max, sum, resets;
};

/* As pq_extrapolated has it: did it begin anew, before its first sample? */
static bool begins(const struct gathered *x, const struct item *i)
{
    if (i->st == 0 || i->st >= i->t_first) return false;
    return i->st > x->t_last || (i->st == x->t_last && x->st != 0 && x->st < x->t_last);
}

static void add(struct gathered *x, const struct item *i, int64_t start)
{
    if (!x->some) {
        x->t_first = i->t_first;
        x->first = i->first;
        x->min = i->min;
        x->max = i->max;
        if (i->st > start && i->st < i->t_first) x->from = i->st;
    } else {
        if (i->first < x->last || begins(x, i)) x->lost += x->last;
        if (isnan(x->min) || i->min < x->min) x->min = i->min;
        if (isnan(x->max) || i->max > x->max) x->max = i->max;
    }
    x->lost += i->resets;
    pq_kahan(i->sum, &x->sum, &x->sum_low);
    x->t_last = i->t_last;
    x->last = i->last;
    x->st = i->st;
    x->n += i->n;
    x->some = true;
}

static struct item whole(const struct metric_block *b, int64_t st)
{
    return (struct item){ b->tmin_ms, b->tmax_ms, st, b->n, b->first, b->last, b->min, b->max, b->sum, b->reset_sum };
}

/* What of a summary lies in (start, end]: of a rate the values at the edges if it rises evenly, else what is known. */
static struct item part(enum pq_fid f, const struct metric_block *b, int64_t st, int64_t start, int64_t end)
{
    bool from_start = b->tmin_ms > start, to_end = b->tmax_ms <= end;
    int64_t lo = from_start ? b->tmin_ms : start, hi = to_end ? b->tmax_ms : end;
    double share = (double)(hi - lo) / (double)(b->tmax_ms - b->tmin_ms);
    struct item i = whole(b, st);
    i.n *= share;
    i.sum *= share;
    if (!pq_is_rate(f)) {
        if (!from_start) i.first = i.last;
        if (!to_end) i.last = from_start ? i.first : i.last;
        i.t_first = i.t_last = to_end ? b->tmax_ms : lo;
        return i;
    }
    double rise = (b->last - b->first + (f == FN_DELTA ? 0 : b->reset_sum)) * share;
    i.resets = 0;
    i.t_first = lo;
    i.t_last = hi;
    i.n = fmax(i.n, 2);
    if (to_end) i.first = b->last - rise;
    else if (from_start) i.last = b->first + rise;
    else i.first = b->first, i.last = b->first + rise;
    return i;
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

/* Is sample k late, in the time of the next summary behind it? */
static bool is_late(const struct pq_samples *s, uint32_t k, uint32_t hi)
{
    for (uint32_t i = k + 1; s->win && i < hi && i - k <= LATE_MAX; i++)
        if (s->win[i]) return s->win[i]->tmin_ms < s->t[k];
    return false;
}

/* Samples lo..hi of a span. */
static void gather_samples(enum pq_fid f, const struct pq_samples *s, uint32_t lo, uint32_t hi, int64_t start, int64_t end, struct gathered *x)
{
    for (uint32_t k = behind(s->t, lo, hi, start); k < hi; k++) {
        const struct metric_block *w = s->win ? s->win[k] : NULL;
        int64_t st = s->st ? s->st[k] : 0;
        if ((w ? w->tmin_ms : s->t[k]) > end) break;
        struct item i = { s->t[k], s->t[k], st, 1, s->v[k], s->v[k], s->v[k], s->v[k], s->v[k], 0 };
        if (w) i = w->tmin_ms > start && w->tmax_ms <= end ? whole(w, st) : part(f, w, st, start, end);
        else if (pq_is_rate(f) && is_late(s, k, hi)) continue; /* the summary's first and last say more */
        add(x, &i, start);
        if (s->t[k] > end) break;
    }
}

static void gather(enum pq_fid f, const struct pq_long *l, int64_t start, int64_t end, struct gathered *x)
{
    for (uint32_t i = first_span(l, start); i < l->n && l->spans[i].tmin <= end; i++) {
        const struct pq_span *s = &l->spans[i];
        if (s->block && s->tmin > start && s->tmax <= end) {
            const struct item b = whole(s->block, 0);
            add(x, &b, start);
        } else {
            gather_samples(f, &l->s, s->lo, s->hi, start, end, x);
        }
    }
}

static double rate(enum pq_fid f, const struct gathered *x, int64_t start, int64_t end)
{
    bool zero = f != FN_DELTA && x->from != 0; /* what the first sample counted is part of the increase */
    double total = x->last - (zero ? 0 : x->first);
    if (f != FN_DELTA && x->lost != 0) total += x->lost; /* -0 stays */
    const struct pq_increase i = { .n = x->n, .from = zero ? x->from : x->t_first, .first_at = x->t_first, .last_at = x->t_last,
                                   .first = x->first, .total = total };
    return total * pq_extrapolate(f, &i, start, end);
}

struct pq_cell pq_long_window(const struct pq_range_ctx *c, const struct pq_long *l, int64_t start, int64_t end)
{
    enum pq_fid f = c->call->call.fn->id;
    struct gathered x = { 0 };
    double v;
    gather(f, l, start, end, &x);
    if (!x.some || (pq_is_rate(f) && x.n < 2 && !x.from)) return (struct pq_cell){ 0 };
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
