/* Downsampling: what summaries say against the samples that they stand for, through their bytes, in steps, and asked by PromQL. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/core/prng.h"
#include "query/promql/engine.h"
#include "storage/downsample.h"
#include "storage/col_sample.h"
#include "storage/seg_coarse.h"

enum { SAMPLES_MAX = 3000, ROUNDS = 300 };
static const int64_t MIN_MS = 60000;

/* -- series -------------------------------------------------------------------------------------------------------- */

enum kind { COUNTER, STARTS, GAUGE, DOUBLES, KINDS };

static struct sample_set make_series(struct prng *r, struct arena *a, enum kind kind, bool stale)
{
    struct sample_set s;
    uint32_t n = 2 + (uint32_t)prng_below(r, SAMPLES_MAX - 2);
    int64_t t = 1700000000000 + (int64_t)prng_below(r, 1000000), st = t - 1;
    double v = 0;
    const uint64_t marker = STALE_NAN_BITS;
    sample_set_init(&s, a, n, false, kind == STARTS);
    for (uint32_t i = 0; i < n; i++) {
        int64_t before = t;
        t += 15000 + (prng_chance(r, 0.2) ? (int64_t)prng_below(r, 9) - 4 : 0) + (prng_chance(r, 0.005) ? 900000 : 0);
        bool reset = prng_chance(r, 0.01);
        if (kind == GAUGE) v = ((double)prng_below(r, 20000) - 10000) / 100;
        else if (kind == DOUBLES) v += (double)prng_below(r, 1000) / 7;
        else v = reset ? (double)prng_below(r, 5) : v + (double)prng_below(r, 100);
        if (kind == STARTS && reset) st = before + (int64_t)prng_below(r, 1000) + 1, v += prng_chance(r, 0.5) ? 1e6 : 0;
        double put = v;
        if (stale && prng_chance(r, 0.02)) memcpy(&put, &marker, sizeof put);
        sample_set_put(&s, t, put, NULL, st);
    }
    return s;
}

static struct keep_rule rule_of(int64_t after_ms, int64_t resolution_ms)
{
    return (struct keep_rule){ .signal = SIG_METRICS, .level = { { after_ms * NS_PER_MS, resolution_ms } }, .nlevels = 1 };
}

static const int64_t LATE_MS = INT64_C(1800000000000);

static struct sample_set coarse_of(const struct sample_set *s, int64_t resolution_ms, struct arena *a)
{
    const struct keep_rule r = rule_of(resolution_ms, resolution_ms);
    struct sample_set out;
    downsample(s, &r, LATE_MS * NS_PER_MS, a, &out);
    return out;
}

/* -- against samples ----------------------------------------------------------------------------------------------- */

static bool is_marker(double v) { return is_stale_nan(v); }

/* Summary w is of samples [*at, ...) of s: moves *at behind them. */
static void check_window(const struct sample_set *s, const struct metric_block *w, int64_t resolution, uint32_t *at)
{
    while (is_marker(s->v[*at]))
        ++*at;
    double sum = 0, resets = 0, min = s->v[*at], max = min, before = NAN;
    uint32_t n = 0;
    cr_assert(w->tmin_ms == s->t[*at] && w->first == s->v[*at] && w->resolution_ms == resolution);
    int64_t end = (w->tmax_ms + resolution - 1) / resolution * resolution;
    cr_assert(w->tmin_ms > end - resolution && w->tmax_ms <= end);
    for (; n < w->n; ++*at) {
        double v = s->v[*at];
        if (is_marker(v)) continue;
        sum += v;
        min = fmin(min, v);
        max = fmax(max, v);
        if (v < before) resets += before;
        before = v;
        n++;
    }
    cr_assert(w->tmax_ms == s->t[*at - 1] && w->last == before && w->min == min && w->max == max);
    cr_assert_float_eq(w->sum, sum, 1e-9 * (1 + fabs(sum)));
    cr_assert_float_eq(w->reset_sum, resets, 1e-9 * (1 + fabs(resets)));
}

Test(downsample, summaries_say_what_samples_say)
{
    struct prng r;
    struct arena a;
    prng_init(&r, 1);
    arena_init(&a, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        arena_reset(&a);
        struct sample_set s = make_series(&r, &a, prng_below(&r, KINDS), round % 3 == 0);
        int64_t resolution = round % 2 ? MIN_MS : 5 * MIN_MS;
        struct sample_set c = coarse_of(&s, resolution, &a);
        uint32_t at = 0, summaries = 0;
        cr_assert(c.n <= s.n);
        for (uint32_t i = 0; i < c.n; i++) {
            cr_assert(i == 0 || c.t[i] > c.t[i - 1]);
            if (c.win && c.win[i]) {
                check_window(&s, c.win[i], resolution, &at);
                cr_assert(c.t[i] == c.win[i]->tmax_ms && c.v[i] == c.win[i]->last && (!s.st || c.st[i] == s.st[at - 1]));
                summaries++;
            } else if (c.win) {
                cr_assert(is_marker(c.v[i])); /* at a window's end */
            }
        }
        while (at < s.n && is_marker(s.v[at]))
            at++;
        cr_assert(!c.win || (at == s.n && summaries > 0), "%u of %u", at, s.n);
    }
    arena_deinit(&a);
}

Test(downsample, only_what_is_due_and_the_coarsest)
{
    struct arena a;
    struct sample_set s, c;
    arena_init(&a, NULL);
    sample_set_init(&s, &a, 2000, false, false);
    for (int64_t i = 1; i <= 2000; i++)
        sample_set_put(&s, i * 15000, (double)i, NULL, ST_NONE);
    struct keep_rule r = rule_of(3600000, 5 * MIN_MS);
    r.level[1] = (struct keep_level){ 4 * 3600 * NS_PER_S, 60 * MIN_MS };
    r.nlevels = 2;
    int64_t now = 2000 * 15000 + 7;
    downsample(&s, &r, now * NS_PER_MS, &a, &c);
    for (uint32_t i = 0; i < c.n; i++) {
        int64_t age = now - c.t[i], width = c.win[i] ? c.win[i]->resolution_ms : 0;
        if (age > 5 * 3600000) cr_assert_eq(width, 60 * MIN_MS);
        if (age < 4 * 3600000 && age > 3600000 + 300000) cr_assert_eq(width, 5 * MIN_MS);
        if (age < 3600000) cr_assert_eq(width, 0);
    }
    /* Again an hour later, from what there is now: as from the samples. */
    struct sample_set later, direct;
    now += 3600000;
    downsample(&c, &r, now * NS_PER_MS, &a, &later);
    downsample(&s, &r, now * NS_PER_MS, &a, &direct);
    cr_assert_eq(later.n, direct.n);
    for (uint32_t i = 0; i < later.n; i++) {
        cr_assert(later.t[i] == direct.t[i] && later.v[i] == direct.v[i] && !later.win[i] == !direct.win[i]);
        if (later.win[i])
            cr_assert(later.win[i]->n == direct.win[i]->n && later.win[i]->sum == direct.win[i]->sum && later.win[i]->first == direct.win[i]->first &&
                      later.win[i]->tmin_ms == direct.win[i]->tmin_ms && later.win[i]->resolution_ms == direct.win[i]->resolution_ms);
    }
    arena_deinit(&a);
}

/* Parts of a series that are summed up apart, and late samples, come to what the whole comes to. */
Test(downsample, in_parts_and_late)
{
    struct prng r;
    struct arena a;
    prng_init(&r, 2);
    arena_init(&a, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        arena_reset(&a);
        struct sample_set s = make_series(&r, &a, prng_chance(&r, 0.5) ? COUNTER : GAUGE, false), part[2], all = { 0 };
        bool late = round % 2;
        for (int k = 0; k < 2; k++)
            sample_set_init(&part[k], &a, s.n, false, false);
        uint32_t cut = (uint32_t)prng_below(&r, s.n);
        for (uint32_t i = 0; i < s.n; i++)
            sample_set_put(&part[late ? prng_chance(&r, 0.05) : i >= cut], s.t[i], s.v[i], NULL, ST_NONE);
        struct sample_set first = coarse_of(&part[0], MIN_MS, &a), second = late ? part[1] : coarse_of(&part[1], MIN_MS, &a);
        sample_set_merge(&first, &second, &a, &all);
        struct sample_set got = coarse_of(&all, 5 * MIN_MS, &a), want = coarse_of(&s, 5 * MIN_MS, &a);
        if (!want.win) continue;
        cr_assert_eq(got.n, want.n);
        for (uint32_t i = 0; i < got.n; i++) {
            const struct metric_block *x = got.win[i], *y = want.win[i];
            cr_assert(x && y && x->n == y->n && x->tmin_ms == y->tmin_ms && x->tmax_ms == y->tmax_ms && x->first == y->first && x->last == y->last);
            cr_assert(x->min == y->min && x->max == y->max);
            cr_assert_float_eq(x->sum, y->sum, 1e-9 * (1 + fabs(y->sum)));
            if (!late) cr_assert_float_eq(x->reset_sum, y->reset_sum, 1e-9 * (1 + fabs(y->reset_sum)));
        }
    }
    arena_deinit(&a);
}

Test(downsample, what_is_no_number_and_histograms_stay)
{
    struct arena a;
    struct sample_set s;
    arena_init(&a, NULL);
    sample_set_init(&s, &a, 100, false, false);
    for (int i = 0; i < 40; i++)
        sample_set_put(&s, 300001 + i * 15000, i == 25 ? NAN : i, NULL, ST_NONE);
    struct sample_set c = coarse_of(&s, 5 * MIN_MS, &a);
    cr_assert_eq(c.n, 21);
    cr_assert(c.win[0] && c.win[0]->n == 20 && !c.win[1] && isnan(c.v[6]));
    /* One sample a window: as they came. */
    struct sample_set same = coarse_of(&s, 1000, &a);
    cr_assert(same.n == 40 && !same.win && same.t == s.t);
    struct sample_set h;
    sample_set_init(&h, &a, 100, true, false);
    for (int i = 0; i < 20; i++) {
        struct nhist *x = ARENA_NEW(&a, struct nhist);
        *x = (struct nhist){ .count = i < 12 ? 10 + i : i, .hint = NHIST_UNKNOWN };
        sample_set_put(&h, 300001 + i * 15000, 0, x, ST_NONE);
    }
    h.hist[11] = NULL; /* and a float between */
    h.v[11] = 5;
    c = coarse_of(&h, 5 * MIN_MS, &a);
    cr_assert(c.n == 3 && c.hist[0] == h.hist[0] && !c.hist[1] && c.v[1] == 5 && c.hist[2] == h.hist[19], "%u", c.n);
    ((struct nhist *)(uintptr_t)h.hist[15])->count = 1;
    c = coarse_of(&h, 5 * MIN_MS, &a);
    cr_assert(c.n == 5 && c.hist[2] == h.hist[14] && c.hist[3] == h.hist[15], "%u", c.n);
    arena_deinit(&a);
}

/* -- bytes -------------------------------------------------------------------------------------------------------- */

Test(downsample, bytes_and_their_sizes)
{
    struct prng r;
    struct arena a;
    struct buf b;
    double bytes[KINDS] = { 0 }, before[KINDS] = { 0 }, samples[KINDS] = { 0 };
    prng_init(&r, 3);
    arena_init(&a, NULL);
    buf_init(&b, SIZE_MAX, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        arena_reset(&a);
        buf_clear(&b);
        enum kind kind = round % KINDS;
        struct sample_set s = make_series(&r, &a, kind, false), c = coarse_of(&s, 5 * MIN_MS, &a);
        uint32_t n = MIN(c.n, 1024u);
        if (!c.win) continue;
        seg_coarse_encode(c.win, n, &b);
        struct metric_block sum;
        seg_coarse_summary(c.win, n, &sum);
        const struct metric_block **got = ARENA_ARRAY(&a, const struct metric_block *, n);
        double *v = ARENA_ARRAY(&a, double, n);
        cr_assert_eq(seg_coarse_decode(buf_view(&b), n, 5 * MIN_MS, c.t, &a, got, v), OK, "%s", err_detail());
        uint32_t count = 0;
        for (uint32_t i = 0; i < n; i++) {
            const struct metric_block *x = got[i], *y = c.win[i];
            const double p[] = { x->first, x->last, x->min, x->max, x->sum, v[i] }, q[] = { y->first, y->last, y->min, y->max, y->sum, y->last };
            cr_assert(memcmp(p, q, sizeof p) == 0 && x->n == y->n && x->tmin_ms == y->tmin_ms && x->tmax_ms == y->tmax_ms);
            if (x->resets_known) cr_assert_eq(x->reset_sum, y->reset_sum);
            else cr_assert(kind == GAUGE && x->reset_sum == 0);
            count += x->n;
        }
        cr_assert(sum.n == count && sum.first == c.win[0]->first && sum.last == c.win[n - 1]->last && sum.tmin_ms == c.win[0]->tmin_ms);
        static uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];
        for (uint32_t i = 0; i < count; i += COL_SAMPLE_MAX)
            before[kind] += (double)sample_f64_encode(s.v + i, MIN(count - i, (uint32_t)COL_SAMPLE_MAX), coded);
        bytes[kind] += (double)b.n;
        samples[kind] += count;
        char *broken = malloc(b.n);
        for (int k = 0; k < 50; k++) {
            memcpy(broken, b.p, b.n);
            broken[prng_below(&r, b.n)] ^= (char)(1 << prng_below(&r, 8));
            err_t e = seg_coarse_decode(str_n(broken, k % 5 ? b.n : prng_below(&r, b.n)), n, 5 * MIN_MS, c.t, &a, got, v);
            cr_assert(e == OK || e == ERR_CORRUPT);
            for (uint32_t i = 0; e == OK && i < n; i++)
                cr_assert(got[i]->n > 0 && got[i]->tmin_ms <= got[i]->tmax_ms && isfinite(v[i]) && isfinite(got[i]->sum));
        }
        free(broken);
    }
    for (int k = 0; k < KINDS; k++) {
        printf("kind %d: values of %.3f bytes a sample, %.3f as summaries\n", k, before[k] / samples[k], bytes[k] / samples[k]);
        cr_assert(bytes[k] < before[k] * 0.75);
    }
    buf_deinit(&b);
    arena_deinit(&a);
}

/* -- asked by PromQL ------------------------------------------------------------------------------------------------ */

struct source {
    struct pq_source src;
    struct sample_set s;
    int64_t resolution_ms;
    uint32_t run; /* summaries a block */
};

static struct source *of(struct pq_source *src) { return CONTAINER_OF(src, struct source, src); }

static err_t select_one(struct pq_source *src, const struct matcher *m, uint32_t nm, int64_t tmin, int64_t tmax, struct arena *a,
                        struct pq_series **out, uint32_t *n)
{
    (void)m, (void)nm, (void)tmin, (void)tmax;
    struct labels l = { 1, ARENA_ARRAY(a, struct label, 1) };
    l.l[0] = (struct label){ STR("__name__"), STR("x_total") };
    *out = ARENA_ARRAY(a, struct pq_series, 1);
    **out = (struct pq_series){ l, NULL, of(src)->resolution_ms };
    *n = 1;
    return OK;
}

static err_t samples_of(struct pq_source *src, const struct pq_series *series, int64_t tmin, int64_t tmax, struct arena *scratch,
                        struct pq_samples *out)
{
    const struct sample_set *s = &of(src)->s;
    (void)series, (void)scratch;
    uint32_t lo = 0, hi = s->n;
    while (lo < s->n && s->t[lo] < tmin) lo++;
    while (hi > lo && s->t[hi - 1] > tmax) hi--;
    *out = (struct pq_samples){ hi - lo, s->t + lo, s->v + lo, NULL, s->st ? s->st + lo : NULL, s->win ? s->win + lo : NULL };
    return OK;
}

static err_t pieces_of(struct pq_source *src, const struct pq_series *series, int64_t tmin, int64_t tmax, struct arena *scratch,
                       struct metric_piece **out, uint32_t *n)
{
    const struct source *x = of(src);
    const struct sample_set *s = &x->s;
    (void)series;
    *out = ARENA_ARRAY(scratch, struct metric_piece, s->n + 1);
    *n = 0;
    for (uint32_t i = 0, k; i < s->n; i = k) {
        bool coarse = s->win && s->win[i];
        for (k = i + 1; k < s->n && k - i < x->run && (s->win && s->win[k]) == coarse;)
            k++;
        struct metric_block *b = ARENA_NEW(scratch, struct metric_block);
        *b = (struct metric_block){ .tmin_ms = s->t[i], .tmax_ms = s->t[k - 1] };
        if (coarse) seg_coarse_summary(s->win + i, k - i, b);
        b->starts = s->st;
        struct metric_piece p = { b->tmin_ms, b->tmax_ms, coarse && b->usable ? b : NULL };
        if (p.tmin_ms > tmax || p.tmax_ms < tmin) continue;
        if (p.tmin_ms < tmin || p.tmax_ms > tmax) p.block = NULL;
        (*out)[(*n)++] = (struct metric_piece){ MAX(p.tmin_ms, tmin), MIN(p.tmax_ms, tmax), p.block };
    }
    return OK;
}

static err_t resolution_of(struct pq_source *src, int64_t tmin, int64_t tmax, int64_t *out)
{
    (void)tmin, (void)tmax;
    *out = of(src)->resolution_ms;
    return OK;
}

struct answer {
    uint32_t n;
    uint8_t have[1024];
    double v[1024];
    bool told;
};

static void ask(struct source *x, const struct pq_query *q, struct answer *out)
{
    struct arena a;
    struct pq_ast ast;
    struct pq_result r;
    arena_init(&a, NULL);
    cr_assert_eq(pq_run_local(q, &x->src, &a, &ast, &r), OK, "%s", err_detail());
    *out = (struct answer){ .n = r.grid.n };
    for (uint32_t i = 0; r.value.m.n && i < r.grid.n; i++) {
        out->have[i] = r.value.m.rows[0].have[i];
        out->v[i] = r.value.m.rows[0].v[i];
    }
    for (uint32_t i = 0; i < r.notes.n; i++)
        out->told |= str_starts(r.notes.notes[i].text, STR("downsampled data was used"));
    pq_ast_deinit(&ast);
    arena_deinit(&a);
}

static const char *const fns[] = { "rate", "increase", "delta", "sum_over_time", "avg_over_time", "count_over_time",
                                   "present_over_time", "first_over_time", "last_over_time", "min_over_time",
                                   "max_over_time" };

static bool close_to(double a, double b)
{
    return a == b || fabs(a - b) <= 1e-11 * (fabs(a) + fabs(b)) || fabs(a - b) < 1e-8;
}

static void make_sources(struct prng *r, struct arena *a, enum kind kind, bool stale, struct source *raw, struct source *coarse)
{
    int64_t resolution = prng_chance(r, 0.5) ? MIN_MS : 5 * MIN_MS;
    *raw = (struct source){ .src = { select_one, samples_of, NULL, NULL }, .s = make_series(r, a, kind, stale) };
    *coarse = (struct source){ { select_one, samples_of, pieces_of, resolution_of }, coarse_of(&raw->s, resolution, a), resolution,
                               prng_chance(r, 0.5) ? 1024 : 1 + (uint32_t)prng_below(r, 20) };
}

/* Where ranges begin and end with windows, answers are those of the samples. */
Test(downsample, aligned_ranges_are_exact)
{
    struct prng r;
    struct arena a;
    struct source raw, coarse;
    static struct answer x, y;
    prng_init(&r, 4);
    arena_init(&a, NULL);
    for (int round = 0; round < ROUNDS * 3; round++) {
        arena_reset(&a);
        enum kind kind = prng_below(&r, KINDS);
        make_sources(&r, &a, kind, prng_chance(&r, 0.3), &raw, &coarse);
        if (!coarse.s.win) continue;
        int64_t w = coarse.resolution_ms, first = raw.s.t[0] / w * w, span = (raw.s.t[raw.s.n - 1] - first) / w + 2;
        const char *fn = fns[prng_below(&r, ARRAY_LEN(fns))];
        if (kind == GAUGE && (strcmp(fn, "rate") == 0 || strcmp(fn, "increase") == 0)) continue; /* nobody asks for a gauge's resets */
        char text[128];
        int64_t range = w * (1 + (int64_t)prng_below(&r, (uint64_t)span)), start = first + w * (int64_t)prng_below(&r, (uint64_t)span);
        snprintf(text, sizeof text, "%s(x_total[%lldms])", fn, (long long)range);
        struct pq_query q = { .text = str_of(text), .start_ms = start, .end_ms = start, .instant = true };
        if (prng_chance(&r, 0.7)) {
            q.instant = false;
            q.step_ms = w * (1 + (int64_t)prng_below(&r, 5));
            q.end_ms = start + q.step_ms * (int64_t)prng_below(&r, 200);
        }
        ask(&raw, &q, &x);
        ask(&coarse, &q, &y);
        cr_assert(y.told && !x.told);
        for (uint32_t i = 0; i < x.n; i++) {
            cr_assert_eq(!x.have[i], !y.have[i], "%s, kind %d, step %u", text, kind, i);
            if (x.have[i]) cr_assert(close_to(x.v[i], y.v[i]), "%s, kind %d, step %u: samples %.17g, summaries %.17g", text, kind, i, x.v[i], y.v[i]);
        }
    }
    arena_deinit(&a);
}

static double most_of_window(const struct sample_set *c, double (*f)(const struct metric_block *b))
{
    double most = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->win[i]) most = fmax(most, fabs(f(c->win[i])));
    return most;
}

static double increase_in(const struct metric_block *b) { return b->last - b->first + b->reset_sum; }
static double count_in(const struct metric_block *b) { return b->n; }

/* Elsewhere they are off by what the summaries that are cut hold, at most; and there is an answer where there was one. */
Test(downsample, other_ranges_are_off_by_the_edges)
{
    struct prng r;
    struct arena a;
    struct source raw, coarse;
    static struct answer x, y;
    prng_init(&r, 5);
    arena_init(&a, NULL);
    for (int round = 0; round < ROUNDS * 2; round++) {
        arena_reset(&a);
        make_sources(&r, &a, COUNTER, false, &raw, &coarse);
        if (!coarse.s.win) continue;
        static const char *const some[] = { "increase", "count_over_time", "min_over_time", "max_over_time", "last_over_time" };
        const char *fn = some[prng_below(&r, ARRAY_LEN(some))];
        int64_t span = raw.s.t[raw.s.n - 1] - raw.s.t[0] + 1, range = 60000 + (int64_t)prng_below(&r, (uint64_t)span);
        char text[128];
        snprintf(text, sizeof text, "%s(x_total[%lldms])", fn, (long long)range);
        struct pq_query q = { .text = str_of(text), .start_ms = raw.s.t[0] + (int64_t)prng_below(&r, (uint64_t)span), .step_ms = 7001 };
        q.end_ms = q.start_ms + 100 * q.step_ms;
        ask(&raw, &q, &x);
        ask(&coarse, &q, &y);
        double most = most_of_window(&coarse.s, increase_in), counts = most_of_window(&coarse.s, count_in);
        for (uint32_t i = 0; i < x.n; i++) {
            if (!x.have[i]) continue;
            cr_assert(y.have[i], "%s step %u of a resolution of %lld", text, i, (long long)coarse.resolution_ms);
            double d = fabs(x.v[i] - y.v[i]);
            if (strcmp(fn, "increase") == 0) cr_assert(d <= 2 * most + 400 + 0.02 * x.v[i], "%s step %u: %g, %g (most %g)", text, i, x.v[i], y.v[i], most);
            if (strcmp(fn, "count_over_time") == 0) cr_assert(d <= 2 * counts);
            if (strcmp(fn, "min_over_time") == 0) cr_assert(y.v[i] <= x.v[i]);
            if (strcmp(fn, "max_over_time") == 0) cr_assert(y.v[i] >= x.v[i]);
        }
    }
    arena_deinit(&a);
}

/* A graph of single values is drawn without holes, of values that were there. */
Test(downsample, instant_selectors_see_a_sample_a_window)
{
    struct prng r;
    struct arena a;
    struct source raw, coarse;
    static struct answer x, y;
    prng_init(&r, 6);
    arena_init(&a, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        arena_reset(&a);
        make_sources(&r, &a, GAUGE, false, &raw, &coarse);
        if (!coarse.s.win) continue;
        int64_t last = coarse.s.t[coarse.s.n - 1], from = coarse.s.t[0];
        struct pq_query q = { .text = STR("x_total"), .start_ms = from + (int64_t)prng_below(&r, (uint64_t)(last - from) + 1), .step_ms = 13001 };
        q.end_ms = MIN(last, q.start_ms + 500 * q.step_ms);
        ask(&raw, &q, &x);
        ask(&coarse, &q, &y);
        cr_assert(y.told);
        for (uint32_t i = 0; i < x.n; i++) {
            int64_t t = q.start_ms + (int64_t)i * q.step_ms;
            if (x.have[i]) cr_assert(y.have[i], "step %u", i);
            bool there = !y.have[i];
            for (uint32_t k = 0; k < raw.s.n && !there; k++)
                there = raw.s.t[k] <= t && raw.s.t[k] > t - PQ_LOOKBACK_MS - coarse.resolution_ms && raw.s.v[k] == y.v[i];
            cr_assert(there);
        }
    }
    arena_deinit(&a);
}
