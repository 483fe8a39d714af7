/* The metrics memtable against the model: matchers by brute force over the label sets, samples by "last arrival
 * of a timestamp wins" over everything that was inserted. */
#include "metric_model.h"
#include "storage/seg_metric_write.h"

Test(mem_metric, matchers_as_by_brute_force)
{
    struct prng r;
    prng_init(&r, 21);
    arena_init(&mem, NULL);
    struct mem_metric *m = mem_metric_new(NULL);
    make_series(&r);
    struct metric_batch b = all_series();
    uint32_t series[SERIES];
    int64_t t[SERIES];
    static double v[SERIES];
    for (uint32_t i = 0; i < SERIES; i++) {
        series[i] = i;
        t[i] = i % 2 ? 1000 : 2000;
    }
    b.nsamples = SERIES;
    b.series = series;
    b.t_ms = t;
    b.value = v;
    mem_metric_insert(m, STR("t"), &b, NULL);
    struct mem_tenant *mt = mem_metric_tenant(m, STR("t"));
    cr_assert_null(mem_metric_tenant(m, STR("u")));
    while (mem_index_some(m, mt)) {
    }
    uint64_t hits = 0;
    for (int k = 0; k < 4000; k++) {
        struct matcher ms[3];
        uint32_t nm = (uint32_t)prng_below(&r, 4), n, *got, want = 0;
        for (uint32_t i = 0; i < nm; i++)
            ms[i] = some_matcher(&r);
        int64_t tmin = prng_chance(&r, 0.3) ? 1500 : 0, tmax = prng_chance(&r, 0.3) ? 1500 : 2000;
        struct arena a;
        arena_init(&a, NULL);
        cr_assert_eq(mem_tenant_select(mt, ms, nm, tmin, tmax, &a, &got, &n), OK);
        for (uint32_t i = 0; i < SERIES; i++) {
            bool in = t[i] >= tmin && t[i] <= tmax;
            for (uint32_t x = 0; x < nm; x++)
                in &= accepts(&ms[x], &all[i]);
            if (in) {
                cr_assert_lt(want, n);
                const struct mem_series *is = mem_series_at(mt, got[want]);
                cr_assert(str_eq(mem_labels_canonical(mt, is, &a), canonical[i]));
                struct labels ls = mem_labels_get(mt, is, &a);
                cr_assert(str_eq(labels_encode(&ls, &a), canonical[i]));
                want++;
            }
        }
        cr_assert_eq(want, n);
        hits += n;
        for (uint32_t i = 0; i < nm; i++)
            if (ms[i].op == MATCH_RE || ms[i].op == MATCH_NRE) regex_free(ms[i].re);
        arena_deinit(&a);
    }
    cr_assert_gt(hits, 10000);
    mem_metric_free(m);
    arena_deinit(&mem);
}

/* Series compare by the ranks of their pairs as by their bytes. */
Test(mem_metric, ranks)
{
    static const char *const texts[] = { "", "a", "ab", "b", "\xff", "0", "aa" };
    struct arena a;
    arena_init(&a, NULL);
    struct mem_metric *m = mem_metric_new(NULL);
    struct str bytes[400];
    hash128 id[400];
    struct prng r;
    prng_init(&r, 9);
    for (uint32_t i = 0; i < ARRAY_LEN(bytes); i++) {
        struct label l[4];
        struct labels ls = { (uint32_t)prng_below(&r, ARRAY_LEN(l)), l };
        for (uint32_t k = 0; k < ls.n; k++)
            l[k] = (struct label){ arena_printf(&a, "%c%s", (int)('a' + k), prng_chance(&r, 0.5) ? "" : "n"),
                                   str_n(texts[prng_below(&r, ARRAY_LEN(texts))], prng_below(&r, 2)) };
        bytes[i] = labels_encode(&ls, &a);
        id[i] = series_id(bytes[i]);
    }
    struct metric_batch b = { .nseries = ARRAY_LEN(bytes), .id = id, .canonical = bytes };
    mem_metric_insert(m, STR("t"), &b, NULL);
    struct mem_tenant *t = mem_metric_tenant(m, STR("t"));
    uint32_t *ranks;
    cr_assert_eq(mem_labels_ranks(t, &a, &ranks), OK);
    cr_assert_gt(t->nseries, 50);
    for (uint32_t i = 0; i < t->nseries; i++)
        for (uint32_t k = 0; k < t->nseries; k++) {
            const struct mem_series *x = mem_series_at(t, i), *y = mem_series_at(t, k);
            int want = seg_metric_order(mem_labels_canonical(t, x, &a), mem_labels_canonical(t, y, &a));
            int got = mem_series_order(x, y, ranks);
            cr_assert_eq((got > 0) - (got < 0), (want > 0) - (want < 0));
        }
    mem_metric_free(m);
    arena_deinit(&a);
}

/* -- samples --------------------------------------------------------------------------------------------- */

static void check_series(struct mem_tenant *mt, uint32_t i, int64_t from, int64_t to)
{
    struct arena a;
    struct sample_set s;
    arena_init(&a, NULL);
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    for (uint32_t k = 0; k < mt->nseries; k++) {
        const struct mem_series *ms = mem_series_at(mt, k);
        if (!hash128_eq(ms->id, ids[i])) continue;
        cr_assert_eq(mem_series_read(ms, from, to, &a, &s), OK, "%s", err_detail());
        lo = ms->tmin;
        hi = ms->tmax;
        break;
    }
    uint32_t n = 0;
    for (uint32_t x = 0; x < s.n; x++) {
        cr_assert(s.t[x] >= from && s.t[x] <= to && s.t[x] >= lo && s.t[x] <= hi);
        cr_assert(x == 0 || s.t[x] > s.t[x - 1]);
    }
    for (int64_t t = 0; t < TIMES; t++) {
        const struct cell *c = &model[i][t];
        int64_t at = real_time(t);
        if (!c->there || at < from || at > to) continue;
        n++;
        uint32_t x = 0;
        while (x < s.n && s.t[x] != at)
            x++;
        cr_assert_lt(x, s.n);
        cr_assert_eq(c->hist, s.hist && s.hist[x]);
        cr_assert_eq(c->hist ? s.hist[x]->sum : s.v[x], c->v);
        cr_assert_eq(c->st, s.st ? s.st[x] : ST_NONE);
    }
    cr_assert_eq(n, s.n);
    arena_deinit(&a);
}

static void samples_as_in_the_model(bool rare)
{
    struct prng r;
    struct budget budget;
    budget_init(&budget, "test", NULL, INT64_MAX, ERR_LIMIT);
    prng_init(&r, 22);
    arena_init(&mem, NULL);
    struct mem_metric *m = mem_metric_new(&budget);
    make_series(&r);
    insert_steps(m, &r, rare, 0, 400);
    struct mem_tenant *mt = mem_metric_tenant(m, STR("t"));
    for (uint32_t i = 0; i < SERIES; i++) {
        check_series(mt, i, INT64_MIN, INT64_MAX);
        int64_t from = real_time((int64_t)prng_below(&r, TIMES)), to = from + (int64_t)prng_below(&r, 500000);
        check_series(mt, i, from, to);
    }
    cr_assert_gt(budget.used, 0);
    mem_metric_free(m);
    cr_assert_eq(budget.used, 0);
    arena_deinit(&mem);
}

Test(mem_metric, floats_out_of_order_and_doubled) { samples_as_in_the_model(false); }
Test(mem_metric, histograms_and_start_timestamps) { samples_as_in_the_model(true); }

Test(mem_metric, only_mine_and_metadata)
{
    struct prng r;
    prng_init(&r, 23);
    arena_init(&mem, NULL);
    struct mem_metric *m = mem_metric_new(NULL);
    cr_assert(mem_metric_empty(m));
    make_series(&r);
    struct metric_batch b = all_series();
    uint8_t mine[SERIES] = { 0 };
    uint32_t series[2] = { 7, 8 };
    int64_t t[2] = { 5, 5 };
    double v[2] = { 1, 2 };
    b.nsamples = 2, b.series = series, b.t_ms = t, b.value = v;
    mem_metric_insert(m, STR("t"), &b, mine);
    cr_assert(mem_metric_empty(m));
    mine[7] = 1;
    mem_metric_insert(m, STR("t"), &b, mine);
    cr_assert_not(mem_metric_empty(m));
    struct mem_tenant *mt = mem_metric_tenant(m, STR("t"));
    cr_assert(mt->nseries == 1 && hash128_eq(mem_series_at(mt, 0)->id, ids[7]));
    struct metric_meta meta[2] = { { STR("up"), STR("gauge"), STR(""), STR("a") },
                                   { STR("up"), STR("gauge"), STR("s"), STR("b") } };
    mem_metric_meta(m, STR("t"), meta, 2);
    cr_assert(mt->nmeta == 1 && str_is(mt->meta[0].unit, "s") && str_is(mt->meta[0].help, "b"));
    mem_metric_free(m);
    arena_deinit(&mem);
}
