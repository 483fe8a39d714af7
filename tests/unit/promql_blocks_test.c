/* Range functions over blocks against the same over samples: random series with resets, stale markers, NaN and gaps, cut
 * into blocks of random lengths of which some are told whole; every function, random windows and grids. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/core/prng.h"
#include "query/promql/engine.h"

enum { SAMPLES_MAX = 3000, ROUNDS = 400 };

struct series_source {
    struct pq_source src;
    uint32_t n;
    int64_t t[SAMPLES_MAX];
    double v[SAMPLES_MAX];
    struct metric_piece piece[SAMPLES_MAX];
    struct metric_block block[SAMPLES_MAX];
    uint32_t npieces;
    uint64_t samples_read;
};

static err_t select_one(struct pq_source *src, const struct matcher *m, uint32_t nm, int64_t tmin, int64_t tmax, struct arena *a,
                        struct pq_series **out, uint32_t *n)
{
    (void)src, (void)m, (void)nm, (void)tmin, (void)tmax;
    struct labels l = { 1, ARENA_ARRAY(a, struct label, 1) };
    l.l[0] = (struct label){ STR("__name__"), STR("x_total") };
    *out = ARENA_ARRAY(a, struct pq_series, 1);
    **out = (struct pq_series){ l, NULL };
    *n = 1;
    return OK;
}

static err_t samples_of(struct pq_source *src, const struct pq_series *series, int64_t tmin, int64_t tmax, struct arena *scratch,
                        struct pq_samples *out)
{
    struct series_source *s = CONTAINER_OF(src, struct series_source, src);
    (void)series, (void)scratch;
    uint32_t lo = 0, hi = s->n;
    while (lo < s->n && s->t[lo] < tmin) lo++;
    while (hi > lo && s->t[hi - 1] > tmax) hi--;
    *out = (struct pq_samples){ .n = hi - lo, .t = s->t + lo, .v = s->v + lo };
    s->samples_read += hi - lo;
    return OK;
}

static err_t pieces_of(struct pq_source *src, const struct pq_series *series, int64_t tmin, int64_t tmax, struct arena *scratch,
                       struct metric_piece **out, uint32_t *n)
{
    struct series_source *s = CONTAINER_OF(src, struct series_source, src);
    (void)series;
    *out = ARENA_ARRAY(scratch, struct metric_piece, s->npieces + 1);
    *n = 0;
    for (uint32_t i = 0; i < s->npieces; i++) {
        struct metric_piece p = s->piece[i];
        if (p.tmin_ms > tmax || p.tmax_ms < tmin) continue;
        if (p.tmin_ms < tmin || p.tmax_ms > tmax) p.block = NULL;
        p.tmin_ms = MAX(p.tmin_ms, tmin);
        p.tmax_ms = MIN(p.tmax_ms, tmax);
        (*out)[(*n)++] = p;
    }
    return OK;
}

static double next_value(struct prng *r, int kind, double before)
{
    switch (kind) {
    case 0: return prng_below(r, 50) == 0 ? (double)prng_below(r, 5) : before + (double)prng_below(r, 100); /* counter */
    case 1: return (double)prng_below(r, 20000) / 100 - 100;                                                  /* gauge */
    case 2: return prng_below(r, 3) ? before : (prng_below(r, 2) ? 0.0 : -0.0);
    default: return prng_below(r, 40) == 0 ? before / 3 : before + (double)prng_below(r, 1000) / 7;
    }
}

static void make_series(struct series_source *s, struct prng *r)
{
    int kind = (int)prng_below(r, 4);
    bool odd = prng_below(r, 3) == 0;
    uint64_t stale = STALE_NAN_BITS;
    int64_t t = (int64_t)prng_below(r, 100000);
    double v = 0;
    s->n = 1 + (uint32_t)prng_below(r, SAMPLES_MAX);
    for (uint32_t i = 0; i < s->n; i++) {
        t += 15000 + (prng_below(r, 4) == 0 ? (int64_t)prng_below(r, 9) - 4 : 0) + (prng_below(r, 300) == 0 ? 3600000 : 0);
        v = next_value(r, kind, v);
        s->t[i] = t;
        s->v[i] = v;
        if (odd && prng_below(r, 200) == 0) s->v[i] = prng_below(r, 2) ? NAN : INFINITY;
        if (odd && prng_below(r, 200) == 0) memcpy(&s->v[i], &stale, sizeof stale);
    }
}

/* What is to be known of samples [lo, hi), from the definition in storage/view.h. */
static struct metric_block block_of(const struct series_source *s, uint32_t lo, uint32_t hi)
{
    struct metric_block b = { .tmin_ms = s->t[lo], .tmax_ms = s->t[hi - 1], .n = hi - lo, .usable = true, .resets_known = true,
                              .first = s->v[lo], .last = s->v[hi - 1], .min = s->v[lo], .max = s->v[lo] };
    double low = 0;
    for (uint32_t i = lo; i < hi; i++) {
        if (!isfinite(s->v[i])) b.usable = false;
        if (s->v[i] < b.min) b.min = s->v[i];
        if (s->v[i] > b.max) b.max = s->v[i];
        if (i > lo && s->v[i] < s->v[i - 1]) b.reset_sum += s->v[i - 1];
        pq_kahan(s->v[i], &b.sum, &low);
    }
    b.sum += low;
    return b;
}

static void cut(struct series_source *s, struct prng *r)
{
    s->npieces = 0;
    for (uint32_t i = 0, n; i < s->n; i += n) {
        n = 1 + (uint32_t)prng_below(r, prng_below(r, 2) ? 20 : 1024);
        n = MIN(n, s->n - i);
        struct metric_block *b = &s->block[s->npieces];
        *b = block_of(s, i, i + n);
        if (prng_below(r, 10) == 0) b->resets_known = false, b->reset_sum = 0;
        bool told = b->usable && prng_below(r, 8) != 0;
        s->piece[s->npieces++] = (struct metric_piece){ b->tmin_ms, b->tmax_ms, told ? b : NULL };
    }
}

static bool same(const char *fn, double a, double b)
{
    if (isnan(a) && isnan(b)) return true;
    bool summed = strcmp(fn, "sum_over_time") == 0 || strcmp(fn, "avg_over_time") == 0;
    bool lost = strcmp(fn, "rate") == 0 || strcmp(fn, "increase") == 0;
    if (summed || lost) return a == b || fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b)) || fabs(a - b) < 1e-9;
    return memcmp(&a, &b, sizeof a) == 0;
}

static const char *const fns[] = { "rate", "increase", "delta", "sum_over_time", "avg_over_time", "count_over_time",
                                   "present_over_time", "first_over_time", "last_over_time", "min_over_time",
                                   "max_over_time" };

static void compare(struct series_source *s, const char *fn, const struct pq_query *q)
{
    struct pq_result r[2];
    struct pq_ast ast[2];
    struct arena a[2];
    for (int i = 0; i < 2; i++) {
        arena_init(&a[i], NULL);
        s->src.pieces = i ? pieces_of : NULL;
        cr_assert_eq(pq_run_local(q, &s->src, &a[i], &ast[i], &r[i]), OK, "%s", err_detail());
    }
    cr_assert_eq(r[0].value.m.n, r[1].value.m.n, STR_FMT, STR_ARG(q->text));
    for (uint32_t k = 0; r[0].value.m.n && k < r[0].grid.n; k++) {
        const struct pq_row *x = &r[0].value.m.rows[0], *y = &r[1].value.m.rows[0];
        cr_assert_eq(x->have[k], y->have[k], STR_FMT " step %u", STR_ARG(q->text), k);
        if (x->have[k])
            cr_assert(same(fn, x->v[k], y->v[k]), STR_FMT " step %u: samples %.17g, blocks %.17g", STR_ARG(q->text), k, x->v[k], y->v[k]);
    }
    cr_assert_eq(r[0].notes.n, r[1].notes.n);
    for (int i = 0; i < 2; i++) {
        pq_ast_deinit(&ast[i]);
        arena_deinit(&a[i]);
    }
}

Test(promql_blocks, blocks_say_what_samples_say)
{
    static struct series_source s = { .src = { select_one, samples_of, NULL } };
    struct prng r;
    prng_init(&r, 4711);
    for (int round = 0; round < ROUNDS; round++) {
        make_series(&s, &r);
        cut(&s, &r);
        int64_t first = s.t[0], span = s.t[s.n - 1] - first + 1;
        for (int k = 0; k < 4; k++) {
            const char *fn = fns[prng_below(&r, ARRAY_LEN(fns))];
            char text[128];
            int64_t range = 900000 + (int64_t)prng_below(&r, (uint64_t)span + 900000);
            /* Often right at a sample, where blocks begin and end. */
            int64_t start = prng_below(&r, 2) ? s.t[prng_below(&r, s.n)] : first + (int64_t)prng_below(&r, (uint64_t)span);
            snprintf(text, sizeof text, "%s(x_total[%lldms]%s)", fn, (long long)range, prng_below(&r, 5) ? "" : " @ end()");
            uint32_t steps = prng_below(&r, 3) ? (uint32_t)prng_below(&r, 50) : 0;
            struct pq_query q = { .text = str_of(text), .start_ms = start, .end_ms = start, .instant = steps == 0 };
            q.step_ms = 1 + (int64_t)prng_below(&r, (uint64_t)span);
            if (prng_below(&r, 2)) q.step_ms = 15000;
            q.end_ms += steps * q.step_ms;
            compare(&s, fn, &q);
        }
    }
}

Test(promql_blocks, what_lies_inside_is_not_read)
{
    static struct series_source s = { .src = { select_one, samples_of, pieces_of } };
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        s.t[i] = 15000 * (int64_t)(i + 1);
        s.v[i] = i;
    }
    s.n = SAMPLES_MAX;
    for (uint32_t i = 0; i < SAMPLES_MAX; i += 500) {
        s.block[s.npieces] = block_of(&s, i, i + 500);
        s.piece[s.npieces] = (struct metric_piece){ s.t[i], s.t[i + 499], &s.block[s.npieces] };
        s.npieces++;
    }
    struct arena a;
    struct pq_ast ast;
    struct pq_result r;
    struct pq_query q = { .text = STR("rate(x_total[40000s])"), .start_ms = s.t[2700], .end_ms = s.t[2700], .instant = true };
    arena_init(&a, NULL);
    cr_assert_eq(pq_run_local(&q, &s.src, &a, &ast, &r), OK);
    cr_assert_eq(r.value.m.n, 1);
    cr_assert_float_eq(r.value.m.rows[0].v[0], 1.0 / 15, 1e-12);
    /* The window is (2701 - 2666.67, 2701]: parts of the first and the last block. */
    cr_assert_leq(s.samples_read, 1000, "%llu samples read", (unsigned long long)s.samples_read);
    pq_ast_deinit(&ast);
    arena_deinit(&a);
}
