/* The evaluator over series in memory: no store, no runtime. Rows are printed as "labels v v _ v". */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/core/prng.h"
#include "query/promql/agg.h"
#include "query/promql/engine.h"
#include "query/promql/number.h"
#include "storage/regex.h"

enum { MINUTE = 60000, STALE = -999 };

struct mem_series {
    const char *labels[8]; /* name, value, ... sorted by name */
    int64_t step_ms;
    uint32_t n;
    double v[16];          /* NAN = no sample, STALE = stale marker */
};

struct mem_source {
    struct pq_source src;
    const struct mem_series *s;
    uint32_t n;
    uint32_t part, parts;  /* of a fake core */
};

static err_t mem_select(struct pq_source *src, const struct matcher *m, uint32_t nm, int64_t tmin, int64_t tmax,
                        struct arena *a, struct pq_series **out, uint32_t *n)
{
    struct mem_source *ms = CONTAINER_OF(src, struct mem_source, src);
    (void)tmin;
    (void)tmax;
    *out = ARENA_ARRAY(a, struct pq_series, ms->n + 1);
    *n = 0;
    for (uint32_t i = 0; i < ms->n; i++) {
        if (ms->parts && i % ms->parts != ms->part) continue;
        struct labels l = { 0, ARENA_ARRAY(a, struct label, 4) };
        for (int k = 0; k < 8 && ms->s[i].labels[k]; k += 2)
            l.l[l.n++] = (struct label){ str_of(ms->s[i].labels[k]), str_of(ms->s[i].labels[k + 1]) };
        bool all = true;
        for (uint32_t k = 0; k < nm && all; k++) {
            struct str v = labels_get(&l, m[k].name);
            all = m[k].re ? regex_match(m[k].re, v) : str_eq(v, m[k].value);
            if (m[k].op == MATCH_NE || m[k].op == MATCH_NRE) all = !all;
        }
        if (all) (*out)[(*n)++] = (struct pq_series){ l, (void *)&ms->s[i] };
    }
    return OK;
}

static err_t mem_samples(struct pq_source *src, const struct pq_series *series, int64_t tmin, int64_t tmax,
                         struct arena *scratch, struct pq_samples *out)
{
    const struct mem_series *s = series->impl;
    int64_t *t = ARENA_ARRAY(scratch, int64_t, s->n);
    double *v = ARENA_ARRAY(scratch, double, s->n);
    uint32_t n = 0;
    uint64_t stale = STALE_NAN_BITS;
    (void)src;
    for (uint32_t i = 0; i < s->n; i++) {
        int64_t at = s->step_ms * i;
        if (isnan(s->v[i]) || at < tmin || at > tmax) continue;
        t[n] = at;
        v[n] = s->v[i];
        if (s->v[i] == STALE) memcpy(&v[n], &stale, 8);
        n++;
    }
    *out = (struct pq_samples){ n, t, v, NULL, NULL };
    return OK;
}

static const struct mem_series data[] = {
    { { "__name__", "a_total", "host", "x" }, MINUTE, 8, { 0, 60, 120, 180, 240, 300, 360, 420 } },
    { { "__name__", "a_total", "host", "y" }, MINUTE, 8, { 0, 10, 20, 5, 15, 25, 35, 45 } },
    { { "__name__", "b", "host", "x" }, MINUTE, 8, { 1, 2, 3, 4, 5, 6, 7, 8 } },
    { { "__name__", "b", "host", "z" }, MINUTE, 8, { 10, 20, 30, 40, 50, 60, 70, 80 } },
    { { "__name__", "gap", "host", "x" }, MINUTE, 8, { 1, NAN, NAN, STALE, NAN, 6, NAN, NAN } },
    { { "__name__", "info", "host", "x", "os", "linux" }, MINUTE, 8, { 1, 1, 1, 1, 1, 1, 1, 1 } },
    { { "__name__", "lat_bucket", "le", "1" }, MINUTE, 2, { 10, 10 } },
    { { "__name__", "lat_bucket", "le", "2" }, MINUTE, 2, { 20, 20 } },
    { { "__name__", "lat_bucket", "le", "+Inf" }, MINUTE, 2, { 20, 20 } },
};

static void print_value(double v, char *out, size_t max)
{
    char num[PQ_NUMBER_MAX + 1];
    if (isnan(v) || isinf(v) || v == 0) num[pq_format_g(v, num)] = 0;
    else snprintf(num, sizeof num, "%.6g", v);
    snprintf(out + strlen(out), max - strlen(out), " %s", num);
}

static void print_result(const struct pq_result *r, struct arena *a, char *out, size_t max)
{
    out[0] = 0;
    if (r->value.type == PQ_SCALAR) print_value(r->value.scalar[0], out, max);
    for (uint32_t i = 0; i < r->value.m.n; i++) {
        const struct pq_row *row = &r->value.m.rows[i];
        struct str l = pq_labels_text(a, &row->labels);
        snprintf(out + strlen(out), max - strlen(out), "%s%.*s", i ? "; " : "", (int)l.n, l.p);
        for (uint32_t k = 0; k < r->grid.n; k++) {
            if (row->have[k]) print_value(row->v[k], out, max);
            else snprintf(out + strlen(out), max - strlen(out), " _");
        }
    }
    for (uint32_t i = 0; i < r->notes.n; i++) {
        struct str n = pq_note_text(a, &r->notes.notes[i], r->text);
        snprintf(out + strlen(out), max - strlen(out), " | %.*s", (int)n.n, n.p);
    }
}

static err_t run_on(const char *text, int64_t start, int64_t end, int64_t step, char *out, size_t max)
{
    struct mem_source ms = { { mem_select, mem_samples }, data, ARRAY_LEN(data), 0, 0 };
    struct pq_query q = { .text = str_of(text), .start_ms = start, .end_ms = end, .step_ms = step, .instant = step == 0 };
    struct arena a;
    struct pq_ast ast;
    struct pq_result r;
    arena_init(&a, NULL);
    err_t e = pq_run_local(&q, &ms.src, &a, &ast, &r);
    if (e == OK) print_result(&r, &a, out, max);
    else snprintf(out, max, "%s", err_detail());
    pq_ast_deinit(&ast);
    arena_deinit(&a);
    return e;
}

/* Range queries from 0 to 7m, step 1m. */
static const struct { const char *query, *want; } ranges[] = {
    { "b{host=\"x\"}", "{__name__=\"b\", host=\"x\"} 1 2 3 4 5 6 7 8" },
    { "b{host=\"x\"} offset 2m", "{__name__=\"b\", host=\"x\"} _ _ 1 2 3 4 5 6" },
    { "b{host=\"x\"} @ 120", "{__name__=\"b\", host=\"x\"} 3 3 3 3 3 3 3 3" },
    { "b{host=\"x\"} @ end() offset 1m", "{__name__=\"b\", host=\"x\"} 7 7 7 7 7 7 7 7" },
    { "b{host=\"x\"} offset -1m", "{__name__=\"b\", host=\"x\"} 2 3 4 5 6 7 8 8" },
    /* the stale marker ends the series at once; a new sample brings it back */
    { "gap", "{__name__=\"gap\", host=\"x\"} 1 1 1 _ _ 6 6 6" },
    /* ... and is skipped in ranges, which are left-open */
    { "count_over_time(gap[3m])", "{host=\"x\"} 1 1 1 _ _ 1 1 1" },
    { "rate(a_total{host=\"x\"}[2m])", "{host=\"x\"} _ 0.5 1 1 1 1 1 1" },
    { "increase(a_total{host=\"y\"}[2m])", "{host=\"y\"} _ 10 20 10 15 20 20 20" },
    { "resets(a_total{host=\"y\"}[10m])", "{host=\"y\"} 0 0 0 1 1 1 1 1" },
    { "increase(a_total{host=\"y\"}[2m] anchored)", "{host=\"y\"} 0 10 20 15 15 20 20 20" },
    { "sum_over_time(b{host=\"x\"}[3m:1m])", "{host=\"x\"} 1 3 6 9 12 15 18 21" },
    { "max_over_time(sum(b)[2m:1m] offset 1m)", "{} _ 11 22 33 44 55 66 77" },
    { "timestamp(b{host=\"x\"} @ 60)", "{host=\"x\"} 60 60 60 60 60 60 60 60" },
    { "b > 30", "{__name__=\"b\", host=\"z\"} _ _ _ 40 50 60 70 80" },
    { "b{host=\"x\"} > bool 4", "{host=\"x\"} 0 0 0 0 1 1 1 1" },
    { "sum(b)", "{} 11 22 33 44 55 66 77 88" },
    { "-b{host=\"x\"}", "{host=\"x\"} -1 -2 -3 -4 -5 -6 -7 -8" },
    { "b{host=\"x\"} * on (host) group_left (os) info", "{host=\"x\", os=\"linux\"} 1 2 3 4 5 6 7 8" },
    { "b and gap", "{__name__=\"b\", host=\"x\"} 1 2 3 _ _ 6 7 8" },
    { "b{host=\"x\"} unless gap", "{__name__=\"b\", host=\"x\"} _ _ _ 4 5 _ _ _" },
    { "absent(gap{host=\"x\"})", "{host=\"x\"} _ _ _ 1 1 _ _ _" },
    { "count(b) + step()", "{} 62 62 62 62 62 62 62 62" },
};

Test(promql_eval, range_queries)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        char got[4096];
        err_t e = run_on(ranges[i].query, 0, 7 * MINUTE, MINUTE, got, sizeof got);
        cr_expect(e == OK && strcmp(got, ranges[i].want) == 0, "%s\n got: %s\nwant: %s", ranges[i].query, got,
                  ranges[i].want);
    }
}

/* Instant queries at 7m; errors and annotations are printed too. */
static const struct { const char *query, *want; } instants[] = {
    { "1 + 2 * 3 ^ 2", " 19" },
    { "topk(1, b)", "{__name__=\"b\", host=\"z\"} 80" },
    { "sum by (host) (b + 0)", "{host=\"x\"} 8; {host=\"z\"} 80" },
    { "avg(b)", "{} 44" },
    { "quantile(0.5, b)", "{} 44" },
    { "quantile(2, b)", "{} +Inf | PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)" },
    { "count_values(\"n\", b)", "{n=\"8\"} 1; {n=\"80\"} 1" },
    { "histogram_quantile(0.5, lat_bucket @ 60)", "{} 1" },
    { "histogram_quantile(0.75, lat_bucket @ 60)", "{} 1.5" },
    { "label_replace(b{host=\"x\"}, \"h\", \"$1!\", \"host\", \"(.*)\")", "{__name__=\"b\", h=\"x!\", host=\"x\"} 8" },
    { "sort_desc(b)", "{__name__=\"b\", host=\"z\"} 80; {__name__=\"b\", host=\"x\"} 8" },
    { "rate(b{host=\"x\"}[5m])", "{host=\"x\"} 0.0166667 | PromQL info: metric might not be a counter, name does not "
                                 "end in _total/_sum/_count/_bucket: \"b\" (1:6)" },
    { "scalar(b)", " NaN" },
    { "predict_linear(b{host=\"x\"}[5m], 60)", "{host=\"x\"} 9" },
    { "b + on () b", "found duplicate series for the match group {} on the right hand-side of the operation: "
                     "[{__name__=\"b\", host=\"z\"}, {__name__=\"b\", host=\"x\"}];many-to-many matching not allowed: matching labels must be unique "
                     "on one side" },
    { "nope + on () b", "" },
    { "b * on () info", "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)" },
    { "{__name__=~\"b|gap\", host=\"x\"} * 0",
      "vector cannot contain metrics with the same labelset" },
    { "topk(NaN, b)", "Parameter value is NaN" },
    { "b[1m:0s]", "1:6: parse error: duration must be greater than 0" },
    { "b offset (1m / 0)", "1:14: parse error: division by zero" },
};

Test(promql_eval, instant_queries)
{
    for (size_t i = 0; i < ARRAY_LEN(instants); i++) {
        char got[4096];
        run_on(instants[i].query, 7 * MINUTE, 7 * MINUTE, 0, got, sizeof got);
        cr_expect_str_eq(got, instants[i].want, "%s\n got: %s\nwant: %s", instants[i].query, got, instants[i].want);
    }
}

Test(promql_eval, range_vectors_are_no_answer_of_a_range_query)
{
    char got[512];
    cr_assert_eq(run_on("b[5m]", 0, MINUTE, MINUTE, got, sizeof got), ERR_INVALID);
    cr_assert_str_eq(got, "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
}

/* Partial states of two cores merge to what one core computes. */
Test(promql_eval, partial_aggregates_merge)
{
    static const char *const ops[] = { "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar" };
    for (size_t o = 0; o < ARRAY_LEN(ops); o++) {
        char text[64], whole[1024], parts[1024];
        snprintf(text, sizeof text, "%s by (host) ({host=~\".+\"})", ops[o]);
        struct arena a;
        struct pq_ast ast;
        arena_init(&a, NULL);
        cr_assert_eq(pq_parse(str_of(text), &a, &ast), OK);
        struct pq_grid g = { 0, MINUTE, 8 };
        struct pq_env e = { .a = &a, .lookback_ms = PQ_LOOKBACK_MS, .default_step_ms = MINUTE, .notes = { .a = &a } };
        cr_assert_eq(pq_prepare(&e, ast.root), OK);
        cr_assert(ast.root->agg.expr->local);
        struct pq_agg merged;
        pq_agg_init(&merged);
        for (uint32_t p = 0; p < 2; p++) {
            struct mem_source ms = { { mem_select, mem_samples }, data, 6, p, 2 };
            struct pq_agg part;
            e.src = &ms.src;
            pq_agg_init(&part);
            cr_assert_eq(pq_agg_eval(&e, ast.root, &g, &part), OK);
            cr_assert_eq(pq_agg_merge(&e, ast.root, &g, &part, &merged), OK);
            pq_agg_deinit(&part);
        }
        struct pq_result r = { .grid = g, .value = { .type = PQ_VECTOR } }, one = r;
        pq_agg_finish(&e, ast.root, &g, &merged, &r.value.m);
        pq_agg_deinit(&merged);
        struct mem_source all = { { mem_select, mem_samples }, data, 6, 0, 0 };
        e.src = &all.src;
        cr_assert_eq(pq_eval(&e, ast.root, &g, &one.value), OK);
        print_result(&r, &a, parts, sizeof parts);
        print_result(&one, &a, whole, sizeof whole);
        cr_expect_str_eq(parts, whole, "%s\n merged: %s\n whole: %s", text, parts, whole);
        pq_ast_deinit(&ast);
        arena_deinit(&a);
    }
}

/* -- quantiles ----------------------------------------------------------------------------------- */
static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x);
    return x < y ? -1 : x > y;
}

Test(promql_eval, a_quantile_is_of_the_sorted_values)
{
    enum { N = 300 };
    double v[N], sorted[N];
    struct prng r;
    prng_init(&r, 5);
    for (int round = 0; round < 20000; round++) {
        uint32_t n = 1 + (uint32_t)prng_below(&r, N), kind = (uint32_t)prng_below(&r, 7), few = 1 + (uint32_t)prng_below(&r, 1000);
        for (uint32_t i = 0; i < n; i++) {
            switch (kind) {
            case 0: v[i] = i; break;
            case 1: v[i] = n - i; break;
            case 2: v[i] = i < n / 2 ? i : n - i; break;
            case 3: v[i] = prng_below(&r, 20) ? (double)prng_below(&r, few) : NAN; break;
            case 4: v[i] = prng_below(&r, 20) ? (double)prng_below(&r, few) : (prng_below(&r, 2) ? INFINITY : -INFINITY); break;
            case 5: v[i] = prng_below(&r, 2) ? 0.0 : -0.0; break;
            default: v[i] = (double)prng_below(&r, few) / 7;
            }
        }
        memcpy(sorted, v, sizeof v);
        qsort(sorted, n, sizeof *sorted, by_size);
        double q = prng_below(&r, 4) ? prng_unit(&r) : (double)prng_below(&r, 2), rank = q * (n - 1.0), weight = rank - floor(rank);
        uint32_t lo = (uint32_t)floor(rank), hi = lo + 1 < n ? lo + 1 : n - 1;
        double want = sorted[lo] * (1 - weight) + sorted[hi] * weight, got = pq_quantile(q, v, n);
        cr_assert((isnan(got) && isnan(want)) || memcmp(&got, &want, sizeof got) == 0, "%g of %u: %.17g, not %.17g", q, n, got, want);
    }
}

/* -- few of many --------------------------------------------------------------------------------- */
enum { MANY = 90 };
static struct mem_series many[MANY];
static char many_n[MANY][8];

/* Values with many equals; with E also NaN. In no order of labels. */
#define E "(x + 0 * (x / (x - 2)))"
static void make_many(struct prng *r)
{
    static const char *const groups[] = { "a", "b", "c" };
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(many_n[i], sizeof many_n[i], "%u", i * 37 % MANY);
        many[i] = (struct mem_series){ { "__name__", "x", "g", groups[prng_below(r, 3)], "n", many_n[i] }, MINUTE, 16, { 0 } };
        for (uint32_t k = 0; k < 16; k++) many[i].v[k] = prng_below(r, 8) ? (double)prng_below(r, 12) : STALE;
    }
}

struct ran {
    struct arena a;
    struct pq_ast ast;
    struct pq_result r;
};

static void run_many(struct ran *x, const char *text, int64_t start, int64_t end)
{
    struct mem_source ms = { { mem_select, mem_samples }, many, MANY, 0, 0 };
    struct pq_query q = { .text = str_of(text), .start_ms = start, .end_ms = end, .step_ms = MINUTE, .instant = start == end };
    arena_init(&x->a, NULL);
    cr_assert_eq(pq_run_local(&q, &ms.src, &x->a, &x->ast, &x->r), OK, "%s", text);
}

static void end_many(struct ran *x)
{
    pq_ast_deinit(&x->ast);
    arena_deinit(&x->a);
}

/* Is each cell of x but those of step `not` also in y? */
static bool has_all(const struct ran *x, const struct ran *y, uint32_t not)
{
    for (uint32_t i = 0; i < x->r.value.m.n; i++) {
        const struct pq_row *row = &x->r.value.m.rows[i], *other = NULL;
        for (uint32_t k = 0; k < y->r.value.m.n && !other; k++)
            if (pq_labels_equal(&row->labels, &y->r.value.m.rows[k].labels)) other = &y->r.value.m.rows[k];
        for (uint32_t k = 0; k < x->r.grid.n; k++) {
            if (k == not || !row->have[k]) continue;
            if (!other || !other->have[k] || memcmp(&row->v[k], &other->v[k], sizeof(double)) != 0) return false;
        }
    }
    return true;
}

/* A k that is large at one step has all steps sorted; the others' answers are those of a small k. */
Test(promql_eval, the_best_few_are_the_first_of_all)
{
    static const char *const forms[] = { "topk(%s, x)", "bottomk(%s, x)", "topk by (g) (%s, x)", "bottomk by (g) (%s, x)", "topk(%s, " E ")",
                                         "bottomk by (g) (%s, " E ")", "topk by (n) (%s, x)" };
    struct prng r;
    prng_init(&r, 11);
    for (int round = 0; round < 12; round++) {
        make_many(&r);
        for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
            char few[128], all[128], k[64];
            uint32_t best = 1 + (uint32_t)prng_below(&r, round % 3 ? 5 : 32);
            struct ran x, y;
            snprintf(k, sizeof k, "%u", best);
            snprintf(few, sizeof few, forms[f], k);
            snprintf(k, sizeof k, "%u + 40 * (time() == bool 120)", best);
            snprintf(all, sizeof all, forms[f], k);
            run_many(&x, few, 0, 15 * MINUTE);
            run_many(&y, all, 0, 15 * MINUTE);
            cr_assert(x.r.value.m.n > 0 && has_all(&x, &y, 2) && has_all(&y, &x, 2), "%s", few);
            end_many(&x);
            end_many(&y);
            if (strstr(forms[f], "by")) continue;
            snprintf(all, sizeof all, forms[f], "60");
            run_many(&x, few, 5 * MINUTE, 5 * MINUTE);
            run_many(&y, all, 5 * MINUTE, 5 * MINUTE);
            cr_assert(x.r.value.m.n == best && y.r.value.m.n > best);
            for (uint32_t i = 0; i < best; i++)
                cr_assert(pq_labels_equal(&x.r.value.m.rows[i].labels, &y.r.value.m.rows[i].labels), "%s: place %u", few, i);
            end_many(&x);
            end_many(&y);
        }
    }
}
#undef E

/* -- histograms ---------------------------------------------------------------------------------- */
static struct pq_hist hist_of(int schema, double zero, int32_t first, const double *counts, uint32_t n, int32_t *idx)
{
    struct pq_hist h = { .schema = (int8_t)schema, .zero_threshold = 0.001, .zero_count = zero, .count = zero };
    for (uint32_t i = 0; i < n; i++) {
        idx[i] = first + (int32_t)i;
        h.count += counts[i];
    }
    h.pos = (struct pq_buckets){ n, idx, (double *)counts, NULL };
    return h;
}

Test(promql_eval, histograms_of_unlike_schemas_add_up)
{
    struct arena a;
    int32_t i1[4], i2[4];
    static const double c1[] = { 1, 2, 3, 4 }, c2[] = { 10, 20 };
    arena_init(&a, NULL);
    /* schema 1 has two buckets for each of schema 0: 1..4 become 1, 2 (buckets 1,2 -> 1 and 3,4 -> 2) */
    struct pq_hist x = hist_of(1, 1, 1, c1, 4, i1), y = hist_of(0, 2, 1, c2, 2, i2);
    struct pq_hacc s;
    pq_hacc_init(&s, &a, &x);
    cr_assert_eq(pq_hacc_add(&s, &y, 1), 0);
    const struct pq_hist *r = pq_hacc_done(&s);
    cr_expect_eq(r->schema, 0);
    cr_expect_eq(r->count, 43.0 + 0);
    cr_expect_eq(r->zero_count, 3);
    cr_assert_eq(r->pos.n, 2);
    cr_expect_eq(r->pos.count[0], 13);
    cr_expect_eq(r->pos.count[1], 27);
    cr_expect(pq_hist_reset(&x, &y, &a));
    arena_deinit(&a);
}

Test(promql_eval, native_quantiles_interpolate_exponentially)
{
    struct arena a;
    int32_t idx[1];
    static const double one[] = { 4 };
    enum pq_hnan nan;
    arena_init(&a, NULL);
    struct pq_hist h = hist_of(0, 0, 1, one, 1, idx); /* four observations in (1,2] */
    cr_expect_float_eq(pq_hist_quantile(0.5, &h, &a, &nan), sqrt(2), 1e-12);
    cr_expect_float_eq(pq_hist_fraction(0, sqrt(2), &h, &a), 0.5, 1e-12);
    cr_expect_eq(pq_hist_quantile(-1, &h, &a, &nan), -INFINITY);
    cr_expect_eq(pq_hist_quantile(2, &h, &a, &nan), INFINITY);
    arena_deinit(&a);
}
