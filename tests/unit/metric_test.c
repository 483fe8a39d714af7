#include "base/core/prng.h"
#include "storage/metric.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

static struct arena mem;
static void setup(void) { arena_init(&mem, NULL); }
static void teardown(void) { arena_deinit(&mem); }
TestSuite(metric, .init = setup, .fini = teardown);

static struct labels labels_of(const char *const *pairs, uint32_t n)
{
    struct labels ls = { n, ARENA_ARRAY(&mem, struct label, n) };
    for (uint32_t i = 0; i < n; i++)
        ls.l[i] = (struct label){ str_of(pairs[2 * i]), str_of(pairs[2 * i + 1]) };
    return ls;
}

Test(metric, labels_are_sorted_and_lose_empty_values)
{
    const char *pairs[] = { "job", "a", "__name__", "up", "gone", "", "Z", "1" };
    struct labels ls = labels_of(pairs, 4), got;
    cr_assert_eq(labels_normalise(&ls), OK);
    cr_assert_eq(ls.n, 3);
    cr_assert(str_is(ls.l[0].name, "Z") && str_is(ls.l[1].name, "__name__") && str_is(ls.l[2].name, "job"));
    struct str c = labels_encode(&ls, &mem);
    cr_assert(str_eq(c, STR("\x03\x01Z\x01" "1\x08__name__\x02up\x03job\x01" "a")));
    cr_assert_eq(labels_decode(c, &mem, &got), OK);
    cr_assert(str_is(labels_get(&got, STR("job")), "a"));
    cr_assert_eq(labels_get(&got, STR("gone")).n, 0);
    for (size_t cut = 0; cut < c.n; cut++)
        cr_assert_eq(labels_decode(str_n(c.p, cut), &mem, &got), ERR_CORRUPT);
}

Test(metric, labels_that_are_refused)
{
    const char *twice[] = { "a", "1", "b", "2", "a", "3" }, *none[] = { "a", "" }, *noname[] = { "", "1" },
               *bad[] = { "a", "\xff" };
    struct labels ls = labels_of(twice, 3);
    cr_assert_eq(labels_normalise(&ls), ERR_INVALID);
    cr_assert(strstr(err_detail(), "label a is given twice"));
    ls = labels_of(none, 1);
    cr_assert_eq(labels_normalise(&ls), ERR_INVALID);
    ls = labels_of(noname, 1);
    cr_assert_eq(labels_normalise(&ls), ERR_INVALID);
    ls = labels_of(bad, 1);
    cr_assert_eq(labels_normalise(&ls), ERR_INVALID);
    struct labels got;
    cr_assert_eq(labels_decode(STR("\x02\x01" "b\x01x\x01" "a\x01y"), &mem, &got), ERR_CORRUPT);
    cr_assert_eq(labels_decode(STR("\x01\x01" "b\x01xx"), &mem, &got), ERR_CORRUPT);
}

static const struct nhist *some_hist(struct prng *r)
{
    struct nhist_span spans[2] = { { -3, 2 }, { 4, 1 } };
    double pos[3] = { (double)prng_below(r, 100), 7, prng_unit(r) > 0.5 ? 0.5 : 3 };
    struct nhist h = { .schema = 3, .hint = NHIST_GAUGE, .zero_threshold = 1e-128, .zero_count = 2, .count = 20,
                       .sum = -1.5, .npos_spans = 2, .npos = 3, .pos_spans = spans, .pos = pos };
    return nhist_copy(&mem, &h);
}

/* identity: sample i is of series i, in one scrape */
static struct metric_batch some_batch(struct prng *r, bool identity, bool with_all)
{
    struct metric_batch m = { .nseries = 50, .nsamples = identity ? 50 : 300 };
    m.id = ARENA_ARRAY(&mem, hash128, m.nseries);
    m.canonical = ARENA_ARRAY(&mem, struct str, m.nseries);
    for (uint32_t i = 0; i < m.nseries; i++) {
        char inst[32];
        snprintf(inst, sizeof inst, "host-%u", i);
        const char *pairs[] = { "__name__", "http_requests_total", "instance", inst, "job", "api" };
        struct labels ls = labels_of(pairs, 3);
        m.canonical[i] = labels_encode(&ls, &mem);
        m.id[i] = series_id(m.canonical[i]);
    }
    m.series = ARENA_ARRAY(&mem, uint32_t, m.nsamples);
    m.t_ms = ARENA_ARRAY(&mem, int64_t, m.nsamples);
    m.value = ARENA_ARRAY(&mem, double, m.nsamples);
    if (with_all) m.st_ms = ARENA_ARRAY(&mem, int64_t, m.nsamples);
    for (uint32_t i = 0; i < m.nsamples; i++) {
        uint64_t bits = prng_next(r);
        m.series[i] = identity ? i : (uint32_t)prng_below(r, m.nseries);
        m.t_ms[i] = identity ? 1700000000000 : (int64_t)prng_next(r);
        memcpy(&m.value[i], &bits, 8);
        if (with_all) m.st_ms[i] = (int64_t)(prng_next(r) >> prng_below(r, 64));
    }
    if (!with_all) return m;
    m.nhists = 10;
    m.hseries = ARENA_ARRAY(&mem, uint32_t, m.nhists);
    m.ht_ms = ARENA_ARRAY(&mem, int64_t, m.nhists);
    m.hst_ms = ARENA_ARRAY(&mem, int64_t, m.nhists);
    m.hist = ARENA_ARRAY(&mem, const struct nhist *, m.nhists);
    for (uint32_t i = 0; i < m.nhists; i++) {
        m.hseries[i] = (uint32_t)prng_below(r, m.nseries);
        m.ht_ms[i] = i;
        m.hst_ms[i] = -(int64_t)i;
        m.hist[i] = some_hist(r);
    }
    m.nmeta = 2;
    m.meta = ARENA_ARRAY(&mem, struct metric_meta, 2);
    m.meta[0] = (struct metric_meta){ STR("up"), STR("gauge"), STR(""), STR("Is it up?") };
    m.meta[1] = (struct metric_meta){ STR("b"), STR("counter"), STR("bytes"), STR("") };
    return m;
}

static void same(const struct metric_batch *a, const struct metric_batch *b)
{
    cr_assert_eq(a->nseries, b->nseries);
    cr_assert_eq(a->nsamples, b->nsamples);
    cr_assert_eq(a->nhists, b->nhists);
    cr_assert_eq(a->nmeta, b->nmeta);
    cr_assert_eq(memcmp(a->id, b->id, 16 * a->nseries), 0);
    for (uint32_t i = 0; i < a->nseries; i++)
        cr_assert(str_eq(a->canonical[i], b->canonical[i]));
    cr_assert_eq(memcmp(a->series, b->series, 4 * a->nsamples), 0);
    cr_assert_eq(memcmp(a->t_ms, b->t_ms, 8 * a->nsamples), 0);
    cr_assert_eq(memcmp(a->value, b->value, 8 * a->nsamples), 0);
    cr_assert_eq(!a->st_ms, !b->st_ms);
    if (a->st_ms) cr_assert_eq(memcmp(a->st_ms, b->st_ms, 8 * a->nsamples), 0);
    for (uint32_t i = 0; i < a->nhists; i++) {
        struct buf x, y;
        buf_init(&x, 1 << 20, NULL);
        buf_init(&y, 1 << 20, NULL);
        nhist_encode(a->hist[i], &x);
        nhist_encode(b->hist[i], &y);
        cr_assert(str_eq(buf_view(&x), buf_view(&y)));
        cr_assert(a->hseries[i] == b->hseries[i] && a->ht_ms[i] == b->ht_ms[i] && a->hst_ms[i] == b->hst_ms[i]);
        buf_deinit(&x);
        buf_deinit(&y);
    }
    for (uint32_t i = 0; i < a->nmeta; i++)
        cr_assert(str_eq(a->meta[i].family, b->meta[i].family) && str_eq(a->meta[i].type, b->meta[i].type) &&
                  str_eq(a->meta[i].unit, b->meta[i].unit) && str_eq(a->meta[i].help, b->meta[i].help));
}

Test(metric, batches_round_trip)
{
    struct prng r;
    prng_init(&r, 3);
    for (int k = 0; k < 20; k++) {
        struct metric_batch m = some_batch(&r, k & 1, k & 2), got;
        struct buf b;
        buf_init(&b, 64 << 20, NULL);
        metric_batch_encode(&m, NULL, &b);
        cr_assert_eq(buf_check(&b), OK);
        cr_assert_eq(metric_batch_decode(buf_view(&b), &mem, &got), OK, "%s", err_detail());
        same(&m, &got);
        buf_deinit(&b);
    }
}

static void even(void *ctx, const hash128 *ids, uint32_t n, uint8_t *known)
{
    (void)ctx;
    for (uint32_t i = 0; i < n; i++)
        known[i] = ids[i].lo % 2 == 0;
}

Test(metric, known_series_travel_as_ids)
{
    struct prng r;
    prng_init(&r, 4);
    struct metric_batch m = some_batch(&r, true, false), got;
    struct metric_encode_opts o = { .defined = even };
    struct buf b;
    buf_init(&b, 64 << 20, NULL);
    metric_batch_encode(&m, &o, &b);
    cr_assert_eq(metric_batch_decode(buf_view(&b), &mem, &got), OK);
    for (uint32_t i = 0; i < m.nseries; i++) {
        cr_assert(hash128_eq(m.id[i], got.id[i]));
        cr_assert_eq(got.canonical[i].p == NULL, m.id[i].lo % 2 == 0);
    }
    buf_deinit(&b);
}

Test(metric, hostile_bytes_are_errors)
{
    struct prng r;
    prng_init(&r, 5);
    struct metric_batch m = some_batch(&r, false, true), got;
    struct buf b;
    buf_init(&b, 64 << 20, NULL);
    metric_batch_encode(&m, NULL, &b);
    for (size_t cut = 0; cut < b.n; cut += 1 + cut / 64) {
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, b.p, cut);
        cr_assert_eq(metric_batch_decode(str_n(exact, cut), &mem, &got), ERR_CORRUPT);
        free(exact);
        arena_reset(&mem);
    }
    for (int k = 0; k < 3000; k++) {
        char *flipped = malloc(b.n);
        memcpy(flipped, b.p, b.n);
        for (uint64_t f = 0; f <= prng_below(&r, 4); f++)
            flipped[prng_below(&r, k % 2 ? 64 : b.n)] = (char)prng_next(&r);
        err_t e = metric_batch_decode(str_n(flipped, b.n), &mem, &got);
        cr_assert(e == OK || e == ERR_CORRUPT);
        free(flipped);
        arena_reset(&mem);
    }
    buf_deinit(&b);
}
