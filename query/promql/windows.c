#include "query/promql/windows.h"

#include "base/core/metric.h"

struct pq_times_kept {
    const int64_t *t;
    uint32_t n;
    struct pq_windows w;
};

void pq_times_init(struct pq_times *x, struct budget *budget)
{
    *x = (struct pq_times){ 0 };
    arena_init(&x->mem, budget);
    htab_init(&x->index, budget);
}

void pq_times_deinit(struct pq_times *x)
{
    htab_deinit(&x->index);
    arena_deinit(&x->mem);
}

/* -- samples of windows -------------------------------------------------------------------------------------------- */
/* The first of t[at..n) behind the time; `guess` places on, most often. */
static inline uint32_t behind(const int64_t *t, uint32_t n, uint32_t at, uint32_t guess, int64_t time)
{
    if (guess && guess <= n - at && t[at + guess - 1] <= time) at += guess;
    while (at < n && t[at] <= time) at++;
    return at;
}

static void find_samples(const int64_t *t, uint32_t nt, const struct pq_edges *e, uint32_t *from, uint32_t *to)
{
    int64_t start = e->start_ms, end = e->end_ms;
    uint32_t lo = 0, hi = 0, dlo = 0, dhi = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        uint32_t h = behind(t, nt, hi, dhi, end), l = behind(t, h, lo, dlo, start);
        dhi = h - hi;
        dlo = l - lo;
        to[i] = hi = h;
        from[i] = lo = l;
        start += e->step_ms;
        end += e->step_ms;
    }
}

/* -- factors of rates ---------------------------------------------------------------------------------------------- */
struct spans { /* of a window, in seconds */
    double sampled, to_start, to_end;
};

static inline struct spans spans_of(const int64_t *t, uint32_t first, uint32_t last, int64_t start, int64_t end)
{
    struct spans s = { (double)(t[last] - t[first]) / 1000, (double)(t[first] - start) / 1000, (double)(end - t[last]) / 1000 };
    double mean = s.sampled / (last - first), limit = mean * 1.1;
    if (s.to_start >= limit) s.to_start = mean / 2;
    if (s.to_end >= limit) s.to_end = mean / 2;
    return s;
}

static inline double factor_of(enum pq_fid f, const struct spans *s, int64_t range_ms)
{
    double factor = (s->sampled + s->to_start + s->to_end) / s->sampled;
    return f == FN_RATE ? factor / ((double)range_ms / 1000) : factor;
}

double pq_windows_factor(enum pq_fid f, const int64_t *t, const struct pq_windows *w, const struct pq_edges *e, uint32_t i, double first, double total)
{
    int64_t start = e->start_ms + i * e->step_ms, end = e->end_ms + i * e->step_ms;
    struct spans s = spans_of(t, w->from[i], w->to[i], start, end);
    double to_zero = s.sampled * (first / total);
    if (f != FN_DELTA && total > 0 && first >= 0 && to_zero < s.to_start) s.to_start = to_zero;
    return factor_of(f, &s, end - start);
}

static void find_factors(enum pq_fid f, const int64_t *t, const struct pq_edges *e, uint32_t *from, uint32_t *to, uint8_t *have,
                         double *factor, double *near)
{
    int64_t start = e->start_ms, end = e->end_ms;
    for (uint32_t i = 0; i < e->n; i++, start += e->step_ms, end += e->step_ms) {
        have[i] = to[i] - from[i] >= 2 ? PQ_CELL_FLOAT : PQ_CELL_NONE;
        if (!have[i]) {
            from[i] = to[i] = 0;
            factor[i] = near[i] = 0;
            continue;
        }
        struct spans s = spans_of(t, from[i], --to[i], start, end);
        factor[i] = factor_of(f, &s, end - start);
        near[i] = f == FN_DELTA ? 0 : s.to_start / s.sampled * (1 + 0x1p-40);
    }
}

static struct pq_windows make(enum pq_fid f, const int64_t *t, uint32_t nt, const struct pq_edges *e, struct arena *a)
{
    uint32_t *from = ARENA_RAW(a, uint32_t, e->n), *to = ARENA_RAW(a, uint32_t, e->n);
    uint8_t *have = arena_alloc(a, e->n);
    bool rate = pq_is_rate(f);
    double *factor = rate ? ARENA_RAW(a, double, e->n) : NULL, *near = rate ? ARENA_RAW(a, double, e->n) : NULL;
    find_samples(t, nt, e, from, to);
    if (rate) find_factors(f, t, e, from, to, have, factor, near);
    for (uint32_t i = 0; !rate && i < e->n; i++) have[i] = from[i] < to[i] ? PQ_CELL_FLOAT : PQ_CELL_NONE;
    return (struct pq_windows){ e->n, have, from, to, factor, near };
}

/* -- those of series before ---------------------------------------------------------------------------------------- */
static bool is_of(const struct pq_times_kept *k, const struct pq_samples *s)
{
    return k->n == s->n && ((s->times_stay && k->t == s->t) || memcmp(k->t, s->t, s->n * sizeof *s->t) == 0);
}

err_t pq_windows_of(struct pq_times *x, enum pq_fid f, const struct pq_samples *s, const struct pq_edges *e, struct arena *scratch,
                    const struct pq_windows **out)
{
    uint64_t hash = s->n ? hash_u64((uint64_t)s->t[0] ^ hash_u64((uint64_t)s->t[s->n - 1] + s->n)) : 0;
    uint32_t like = 0;
    for (uint32_t it = 0, k; x && like < PQ_TIMES_LIKE_MAX && htab_next(&x->index, hash, &it, &k); like++) {
        if (!is_of(x->kept[k], s)) continue;
        *out = &x->kept[k]->w;
        metric_add(M_QUERY_WINDOWS_SHARED, 1);
        return OK;
    }
    size_t bytes = s->n * sizeof *s->t + e->n * (2 * sizeof(uint32_t) + 2 * sizeof(double) + 1);
    bool keep = x && like < PQ_TIMES_LIKE_MAX && x->n < PQ_TIMES_MAX && x->bytes + bytes <= PQ_TIMES_BYTES_MAX;
    struct arena *a = keep ? &x->mem : scratch;
    struct pq_times_kept *k = ARENA_NEW(a, struct pq_times_kept);
    *k = (struct pq_times_kept){ keep && !s->times_stay ? arena_dup(a, s->t, s->n * sizeof *s->t) : s->t, s->n, make(f, s->t, s->n, e, a) };
    if (keep && !x->kept) x->kept = ARENA_RAW(a, struct pq_times_kept *, PQ_TIMES_MAX);
    TRY(arena_check(a));
    *out = &k->w;
    if (!keep) return OK;
    x->kept[x->n] = k;
    x->bytes += bytes;
    htab_insert(&x->index, hash, x->n++);
    return OK;
}
