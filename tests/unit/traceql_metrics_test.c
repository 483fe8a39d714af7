/* TraceQL metrics without a store: the parser, steps and buckets at their edges, and states of several cores, filled
 * with random spans and merged, against a model that keeps every span. */
#include "base/core/prng.h"
#include "query/traceql/metrics_final.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena a;

static void make(void) { arena_init(&a, NULL); }
static void unmake(void) { arena_deinit(&a); }
TestSuite(traceql_metrics, .init = make, .fini = unmake);

/* -- the parser ------------------------------------------------------------------------------------------------- */
Test(traceql_metrics, parses)
{
    struct tql_metrics *m;
    cr_assert_eq(tql_parse_metrics(STR("{ span.x > 1 } | { status = error } | quantile_over_time(duration, .5, 0.95) "
                                       "by (resource.\"a b\", .y) | topk(3) > 100ms with (exemplars=7, sample=0.1)"), &a, &m), OK);
    const struct tql_unit *u = m->units[0];
    const struct tql_second *s = m->root->second;
    cr_assert(m->nunits == 1 && m->root->unit == u && m->exemplars == 7);
    cr_assert(u->fn == TM_QUANTILE && u->nquantiles == 2 && u->quantiles[0] == 0.5 && u->quantiles[1] == 0.95 && u->nby == 2);
    cr_assert(str_is(u->by[0]->text, "resource.\"a b\"") && str_is(u->by[0]->name, "a b") && u->of->intrinsic == TI_DURATION);
    cr_assert(s->kind == SECOND_TOPK && s->n == 3 && s->next->kind == SECOND_FILTER && s->next->op == OP_GT && s->next->than == 0.1);
    cr_assert(u->spans->nfilters == 2 && u->spans->pipeline->first->next && !u->spans->pipeline->first->next->next);
    tql_metrics_free(m);
    /* Parentheses: of spansets, and of metrics; * and / bind before -. */
    cr_assert_eq(tql_parse_metrics(STR("100 * ({} | rate()) - ((({} && {}) | rate()) / 4) >= 5"), &a, &m), OK, "%s", err_detail());
    cr_assert(m->nunits == 2 && m->root->op == OP_SUB && m->root->l->op == OP_MUL && m->root->r->op == OP_DIV);
    cr_assert(m->root->l->l->number == 100 && m->root->r->l->unit && m->root->second->op == OP_GE && m->exemplars == -1);
    tql_metrics_free(m);
    cr_assert_eq(tql_parse_metrics(STR("{ } | compare({ .x =~ \"a.*\" }, 5, 10, 20)"), &a, &m), OK, "%s", err_detail());
    u = m->units[0];
    cr_assert(u->fn == TM_COMPARE && u->top == 5 && u->from_ns == 10 && u->to_ns == 20 && u->selection && u->spans->nfilters == 1);
    tql_metrics_free(m);
}

Test(traceql_metrics, refuses_with_a_position)
{
    static const struct { const char *q; unsigned col; } bad[] = {
        { "{ } | rate(", 12 }, { "{ } | rate() by (name, kind, status, .a, .b, .c)", 46 }, { "{ } | rate() | topk(0)", 21 },
        { "{ } | quantile_over_time(duration, 2)", 36 }, { "{ } | sum_over_time(name)", 21 }, { "{ } | rate() | rate()", 16 },
        { "{ }", 4 }, { "{ } | by(name)", 15 }, { "({ } | rate()) ^ 2", 16 }, { "{ } | compare({ }, 2000)", 20 },
        { "-(.x ^ 2)", 2 }, { "5 with (a=.x)", 11 }, { "5 with (a=(.x =~ \"b\"))", 11 }, { "{ } | rate() > .x", 16 },
        { "{ } | histogram_over_time(duration) by (name, kind, status, .a, .b)", 65 }, { "{ } | rate() | { }", 16 },
    };
    struct tql_metrics *m;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char at[40];
        cr_expect_eq(tql_parse_metrics(str_of(bad[i].q), &a, &m), ERR_INVALID, "%s was accepted", bad[i].q);
        snprintf(at, sizeof at, "line 1, col %u:", bad[i].col);
        cr_expect(strstr(err_detail(), at), "%s: %s", bad[i].q, err_detail());
    }
    char deep[8001];
    memset(deep, '(', 8000);
    deep[8000] = 0;
    cr_expect_eq(tql_parse_metrics(str_of(deep), &a, &m), ERR_INVALID);
    /* Many strings cost what they are long, not what the text is. */
    static char many[60000];
    size_t n = (size_t)snprintf(many, sizeof many, "{ \"\" = \"\"");
    while (n + 16 < sizeof many)
        n += (size_t)snprintf(many + n, sizeof many - n, "&&\"\"=\"\"");
    size_t before = a.bytes;
    (void)!tql_parse_metrics(str_n(many, n), &a, &m);
    cr_expect(a.bytes - before < 16 << 20, "%zu", a.bytes - before);
}

/* -- steps and buckets ---------------------------------------------------------------------------------------------- */
Test(traceql_metrics, steps)
{
    struct metrics_range r;
    cr_assert_eq(metrics_range_of(107 * NS_PER_S, 197 * NS_PER_S, 30 * NS_PER_S, &r), OK);
    cr_assert(r.nsteps == 5 && metrics_stamp(&r, 0) == 90 * NS_PER_S && metrics_stamp(&r, 4) == 210 * NS_PER_S && r.rate_s == 30);
    cr_expect_eq(metrics_step(&r, 60 * NS_PER_S), UINT32_MAX);
    cr_expect_eq(metrics_step(&r, 60 * NS_PER_S + 1), 0);
    cr_expect_eq(metrics_step(&r, 90 * NS_PER_S), 0);
    cr_expect_eq(metrics_step(&r, 90 * NS_PER_S + 1), 1);
    cr_expect_eq(metrics_step(&r, 210 * NS_PER_S), 4);
    cr_expect_eq(metrics_step(&r, 210 * NS_PER_S + 1), UINT32_MAX);
    cr_expect_eq(metrics_step(&r, INT64_MIN), UINT32_MAX);
    cr_expect_eq(metrics_step(&r, INT64_MAX), UINT32_MAX);
    cr_assert_eq(metrics_range_instant(100, 200, &r), OK);
    cr_expect(metrics_step(&r, 99) == UINT32_MAX && metrics_step(&r, 100) == 0 && metrics_step(&r, 200) == 0 && metrics_step(&r, 201) == UINT32_MAX);
    cr_expect_eq(metrics_range_of(0, METRICS_STEPS_MAX - 1, 1, &r), OK);
    cr_expect_eq(metrics_range_of(0, METRICS_STEPS_MAX, 1, &r), ERR_INVALID);
    cr_expect_eq(metrics_range_of(5, 5, 1, &r), ERR_INVALID);
    cr_expect_eq(metrics_range_of(5, INT64_MAX, INT64_MAX, &r), ERR_INVALID);
    cr_expect_eq(metrics_default_step(0, 3600 * NS_PER_S), 15 * NS_PER_S);
    cr_expect_eq(metrics_default_step(0, 60 * NS_PER_S), NS_PER_S);
    cr_expect_eq(metrics_default_step(0, 6 * 3600 * NS_PER_S), 60 * NS_PER_S);
}

Test(traceql_metrics, histogram_buckets)
{
    static const double v[][2] = { { -3, 0 }, { 0, 0 }, { 1, 1 }, { 2, 2 }, { 2.001, 4 }, { 3, 4 }, { 4, 4 }, { 5, 8 }, { 0.3, 0.5 },
                                   { 0x1p60, 0x1p60 }, { 0x1p-1060, 0x1p-1060 }, { 1e308, 0x1p1023 * 1.9999 } };
    for (size_t i = 0; i + 1 < ARRAY_LEN(v); i++)
        cr_expect_eq(metrics_bucket_bound(metrics_bucket(v[i][0])), v[i][1], "%g", v[i][0]);
    cr_expect(isinf(metrics_bucket_bound(metrics_bucket(INFINITY))));
}

static int by_value(const void *pa, const void *pb)
{
    double x = *(const double *)pa, y = *(const double *)pb;
    return (x > y) - (x < y);
}

/* Any mix of values in any number of parts: exact up to LOGHIST_EXACT values, within 1/128 beyond; ends exact. */
Test(traceql_metrics, loghist_against_sorting)
{
    struct prng r;
    static double v[20000], sorted[20000];
    prng_init(&r, 5);
    for (int round = 0; round < 200; round++) {
        struct loghist parts[3] = { { 0 } };
        uint32_t n = 1 + (uint32_t)prng_below(&r, round % 4 ? 60 : 20000);
        double spread = prng_unit(&r) * 20;
        for (uint32_t i = 0; i < n; i++) {
            v[i] = exp(prng_unit(&r) * spread) * (round % 3 == 0 && prng_chance(&r, 0.3) ? -1 : 1);
            if (round % 5 == 0 && prng_chance(&r, 0.2)) v[i] = 0;
            loghist_add(&parts[prng_below(&r, 3)], v[i], &a);
        }
        loghist_add(&parts[0], NAN, &a);
        loghist_merge(&parts[1], &parts[2], &a);
        loghist_merge(&parts[0], &parts[1], &a);
        memcpy(sorted, v, n * sizeof *v);
        qsort(sorted, n, sizeof *sorted, by_value);
        cr_assert_eq(parts[0].count, n);
        for (double q = 0; q <= 1; q += 0.05) {
            double rank = ceil(q * n), want = sorted[rank < 1 ? 0 : (uint32_t)MIN(rank, n) - 1], got = loghist_quantile(&parts[0], q);
            double bound = n <= LOGHIST_EXACT || rank <= 1 || rank >= n ? 0 : fabs(want) / 128;
            cr_assert(fabs(got - want) <= bound, "n=%u q=%g got %.17g want %.17g", n, q, got, want);
        }
    }
    struct loghist odd = { 0 };
    for (int i = 0; i < 50; i++)
        loghist_add(&odd, (double[]){ INFINITY, -INFINITY, 1e300, 1e-300, 0 }[i % 5], &a);
    cr_expect(odd.count == 50 && loghist_quantile(&odd, 0) == -INFINITY && loghist_quantile(&odd, 1) == INFINITY);
    cr_expect(loghist_quantile(&odd, 0.5) == 0 && isnan(loghist_quantile(&(struct loghist){ 0 }, 0.5)));
}

/* -- states ------------------------------------------------------------------------------------------------------------ */
enum { SPANS = 3000, CORES = 3 };
static struct row { int64_t start; double val; int key[2]; int core; } rows[SPANS];

static const char *const words[] = { NULL, "a", "b", "" };

static void fill(struct mstate *st, int core, struct mbatch *b)
{
    static int64_t start[VEC_MAX];
    static uint32_t row[VEC_MAX];
    b->start = start;
    b->row = row;
    b->n = 0;
    for (int i = 0; i <= SPANS; i++) {
        if (b->n == VEC_MAX || i == SPANS) {
            cr_assert_eq(mstate_add(st, b), OK);
            b->n = 0;
        }
        if (i == SPANS || rows[i].core != core) continue;
        uint32_t step = metrics_step(&st->p->range, rows[i].start);
        if (step == UINT32_MAX) continue;
        for (uint32_t k = 0; k < st->p->u->nby; k++) {
            const char *w = words[rows[i].key[k]];
            struct tval v = { .type = w ? TV_STR : TV_NIL, .s = w ? str_of(w) : STR("") };
            b->ids[k][b->n] = label_number(&st->values[k], &v);
        }
        start[b->n] = rows[i].start;
        row[b->n] = (uint32_t)i;
        b->val[b->n] = rows[i].val;
        b->step[b->n++] = step;
    }
}

/* What the series' step holds, from all rows. */
static double expected(const struct metrics_plan *p, const struct metrics_series *s, uint32_t step)
{
    static double v[SPANS];
    uint32_t n = 0;
    for (int i = 0; i < SPANS; i++) {
        bool mine = metrics_step(&p->range, rows[i].start) == step;
        uint32_t labels = 0;
        for (uint32_t k = 0; k < p->u->nby; k++) {
            const char *w = words[rows[i].key[k]];
            bool found = false;
            for (uint32_t l = 0; l < s->nlabels; l++)
                if (str_eq(s->labels[l].key, p->u->by[k]->text) && s->labels[l].v.type == TV_STR) found = w && str_is(s->labels[l].v.s, w);
            labels += w != NULL;
            mine = mine && (w ? found : true);
        }
        uint32_t told = 0;
        for (uint32_t l = 0; l < s->nlabels; l++)
            told += s->labels[l].v.type == TV_STR && !str_is(s->labels[l].key, "__name__");
        if (mine && labels == told) v[n++] = rows[i].val;
    }
    if (p->u->fn == TM_RATE) return n / p->range.rate_s;
    if (p->u->fn == TM_COUNT) return n;
    if (n == 0) return NAN;
    double sum = 0, min = v[0], max = v[0];
    for (uint32_t i = 0; i < n; i++) {
        sum += v[i];
        min = MIN(min, v[i]);
        max = MAX(max, v[i]);
    }
    return p->u->fn == TM_SUM ? sum : p->u->fn == TM_AVG ? sum / n : p->u->fn == TM_MIN ? min : max;
}

Test(traceql_metrics, states_of_cores_against_a_model)
{
    static const char *const fns[] = { "rate()", "count_over_time()", "min_over_time(.v)", "max_over_time(.v)", "avg_over_time(.v)", "sum_over_time(.v)" };
    static const char *const bys[] = { "", " by (.k)", " by (.k, .l)" };
    struct prng r;
    prng_init(&r, 11);
    for (int i = 0; i < SPANS; i++)
        rows[i] = (struct row){ .start = (int64_t)prng_below(&r, 1000), .val = (double)prng_below(&r, 1000) - 500, .core = (int)prng_below(&r, CORES),
                                .key = { (int)prng_below(&r, 4), (int)prng_below(&r, 3) } };
    for (size_t f = 0; f < ARRAY_LEN(fns) * ARRAY_LEN(bys); f++) {
        struct tql_metrics *m;
        struct str text = arena_printf(&a, "{ } | %s%s", fns[f / ARRAY_LEN(bys)], bys[f % ARRAY_LEN(bys)]);
        cr_assert_eq(tql_parse_metrics(text, &a, &m), OK);
        const struct tql_unit *u = m->units[0];
        struct metrics_plan p = { .u = u, .nkeys = u->nby, .cells = u->of ? CELL_MOMENTS : CELL_COUNT, .slots = 10, .exemplars_max = 20 };
        cr_assert_eq(metrics_range_of(100, 880, 20, &p.range), OK);
        struct mstate cores[CORES], all;
        struct mbatch b;
        mbatch_init(&b, &a);
        mstate_init(&all, &p, &a);
        for (int c = 0; c < CORES; c++) {
            mstate_init(&cores[c], &p, &a);
            fill(&cores[c], c, &b);
            mstate_deinit(&cores[c]);
            cr_assert_eq(mstate_merge(&all, &cores[c]), OK);
        }
        struct series_set set;
        mstate_thin(&all, p.exemplars_max, false);
        cr_assert_eq(series_of_state(&all, &a, &set), OK);
        cr_assert_eq(set.n, u->nby == 0 ? 1 : u->nby == 1 ? 4 : 12);
        uint32_t exemplars = 0;
        for (uint32_t s = 0; s < set.n; s++) {
            exemplars += set.s[s].nexemplars;
            for (uint32_t i = 0; i < p.range.nsteps; i++) {
                double want = expected(&p, &set.s[s], i), got = set.s[s].values[i];
                cr_assert(isnan(want) ? isnan(got) : fabs(got - want) <= 1e-9 * fabs(want), "%s %s step %u: %g, not %g", text.p, set.s[s].text.p, i, got, want);
            }
        }
        cr_assert_eq(exemplars, u->nby ? 20 : 10);
        mstate_deinit(&all);
        tql_metrics_free(m);
    }
}

Test(traceql_metrics, groups_are_limited)
{
    struct tql_metrics *m;
    struct mstate st;
    struct mbatch b;
    cr_assert_eq(tql_parse_metrics(STR("{ } | rate() by (.k)"), &a, &m), OK);
    struct metrics_plan p = { .u = m->units[0], .nkeys = 1, .cells = CELL_COUNT };
    cr_assert_eq(metrics_range_instant(0, 10, &p.range), OK);
    mstate_init(&st, &p, &a);
    mbatch_init(&b, &a);
    err_t e = OK;
    uint32_t id = 0;
    while (e == OK && id < 2 * METRICS_GROUPS_MAX) {
        for (b.n = 0; b.n < 1000; b.n++)
            b.ids[0][b.n] = ++id;
        e = mstate_add(&st, &b);
    }
    cr_assert(e == ERR_LIMIT && id == METRICS_GROUPS_MAX + 1000 && strstr(err_detail(), "more than 20000 series"));
    mstate_deinit(&st);
    tql_metrics_free(m);
}

/* -- the end -------------------------------------------------------------------------------------------------------------- */
Test(traceql_metrics, ties_of_topk_go_by_labels)
{
    static const struct metrics_range r = { .nsteps = 1, .step_ns = 1 };
    static const char *const names[] = { "c", "a", "b", "d" };
    static const double v[] = { 1, 1, NAN, 2 };
    struct series_set set = { 0 };
    struct metrics_answer ans;
    for (size_t i = 0; i < 4; i++) {
        struct tattr *l = ARENA_NEW(&a, struct tattr);
        *l = (struct tattr){ STR("x"), { .type = TV_STR, .s = str_of(names[i]) } };
        series_add(&set, &r, l, 1, &a)->values[0] = v[i];
    }
    struct tql_second top = { .kind = SECOND_TOPK, .n = 2 };
    cr_assert_eq(series_second(&set, &top, 1, &a), OK);
    series_finish(&set, 1, 10, &ans);
    cr_assert(ans.n == 2 && str_is(ans.series[0].text, "{x=\"a\"}") && str_is(ans.series[1].text, "{x=\"d\"}") && ans.left_out == 0);
    series_finish(&set, 1, 1, &ans);
    cr_assert(ans.n == 1 && ans.left_out == 1);
}
