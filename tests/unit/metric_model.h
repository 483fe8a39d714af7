/* A model of series and samples for the tests of the metrics memtable and of metric segments: label sets to be
 * matched by brute force, and for each series and time the sample that arrived last. */
#ifndef TESTS_UNIT_METRIC_MODEL_H
#define TESTS_UNIT_METRIC_MODEL_H

#include "base/core/prng.h"
#include "storage/mem_metric_impl.h"
#include "storage/regex.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERIES = 300 };
static struct arena mem;
static struct labels all[SERIES];
static struct str canonical[SERIES];
static hash128 ids[SERIES];

/* Labels: always __name__ and no; the others are there or not. */
static void make_series(struct prng *r)
{
    static const char *const names[] = { "job", "instance", "zone", "le" };
    for (uint32_t i = 0; i < SERIES; i++) {
        struct label *l = ARENA_ARRAY(&mem, struct label, 6);
        uint32_t n = 0;
        l[n++] = (struct label){ STR("__name__"), arena_printf(&mem, "metric_%d", (int)prng_below(r, 5)) };
        l[n++] = (struct label){ STR("no"), arena_printf(&mem, "%u", i) };
        for (uint32_t k = 0; k < 4; k++)
            if (prng_chance(r, 0.6))
                l[n++] = (struct label){ str_of(names[k]), arena_printf(&mem, "v%d", (int)prng_below(r, 1u << 2 * k)) };
        all[i] = (struct labels){ n, l };
        cr_assert_eq(labels_normalise(&all[i]), OK);
        canonical[i] = labels_encode(&all[i], &mem);
        ids[i] = series_id(canonical[i]);
    }
}

static struct metric_batch all_series(void)
{
    return (struct metric_batch){ .nseries = SERIES, .id = ids, .canonical = canonical };
}

static bool accepts(const struct matcher *m, const struct labels *ls)
{
    struct str v = labels_get(ls, m->name);
    if (!v.p) v = STR("");
    switch (m->op) {
    case MATCH_EQ: return str_eq(v, m->value);
    case MATCH_NE: return !str_eq(v, m->value);
    case MATCH_RE: return regex_match(m->re, v);
    case MATCH_NRE: return !regex_match(m->re, v);
    }
    return false;
}

static struct matcher some_matcher(struct prng *r)
{
    static const char *const names[] = { "__name__", "job", "instance", "zone", "le", "absent" };
    static const char *const values[] = { "", "v0", "v1", "v7", "metric_3", "none" };
    static const char *const patterns[] = { "", ".*", ".+", "v.*", "v1|v3", "v0|", "(v2|v4)", "metric_[12]", "v1.?", "^v1$",
                                            "x|y", "|", "v", "[^v].*" };
    struct matcher m = { .op = (enum match_op)prng_below(r, 4), .name = str_of(names[prng_below(r, 6)]) };
    if (m.op == MATCH_EQ || m.op == MATCH_NE) m.value = str_of(values[prng_below(r, 6)]);
    else m.value = str_of(patterns[prng_below(r, sizeof patterns / sizeof patterns[0])]);
    if (m.op == MATCH_RE || m.op == MATCH_NRE) cr_assert_eq(regex_new(m.value, &m.re), OK);
    return m;
}

enum { TIMES = 2000 };
struct cell {
    bool there, hist;
    double v; /* of a histogram: its sum */
    int64_t st;
};
static struct cell model[SERIES][TIMES];

static const struct nhist *hist_of(double sum)
{
    struct nhist_span span = { 0, 2 };
    double counts[2] = { 1, 2 };
    struct nhist h = { .count = 3, .sum = sum, .npos_spans = 1, .npos = 2, .pos_spans = &span, .pos = counts };
    return nhist_copy(&mem, &h);
}

/* Times are mostly in order, now and then late or doubled or far away. */
static int64_t some_time(struct prng *r, uint32_t step)
{
    if (prng_chance(r, 0.05)) return (int64_t)prng_below(r, TIMES);
    return (int64_t)(step * 4 + prng_below(r, 4)) % TIMES;
}
/* Model times are small numbers; stored ones are spread so far that blocks cannot hold them together. */
static int64_t real_time(int64_t t) { return (t - 1000) * (t % 97 == 0 ? INT64_C(1000000000000) : 1000); }

static void insert_steps(struct mem_metric *m, struct prng *r, bool rare, uint32_t from, uint32_t to)
{
    static uint32_t series[SERIES], hseries[SERIES];
    static int64_t t[SERIES], st[SERIES], ht[SERIES], hst[SERIES];
    static double v[SERIES];
    static const struct nhist *h[SERIES];
    for (uint32_t step = from; step < to; step++) {
        struct metric_batch b = all_series();
        b.series = series, b.t_ms = t, b.value = v, b.hseries = hseries, b.ht_ms = ht, b.hist = h;
        b.st_ms = rare && prng_chance(r, 0.5) ? st : NULL;
        b.hst_ms = rare && prng_chance(r, 0.5) ? hst : NULL;
        for (uint32_t i = 0; i < SERIES; i++) {
            int64_t at = some_time(r, step);
            struct cell c = { true, rare && i % 3 == 0 && prng_chance(r, 0.3), (double)prng_below(r, 1000) / 10, 0 };
            if (prng_chance(r, 0.1)) continue;
            if (c.hist) {
                hst[b.nhists] = c.st = b.hst_ms ? (int64_t)prng_below(r, 3) : 0;
                hseries[b.nhists] = i;
                ht[b.nhists] = real_time(at);
                h[b.nhists++] = hist_of(c.v);
            } else {
                st[b.nsamples] = c.st = b.st_ms ? (int64_t)prng_below(r, 3) : 0;
                series[b.nsamples] = i;
                t[b.nsamples] = real_time(at);
                v[b.nsamples++] = c.v;
            }
            model[i][at] = c;
        }
        mem_metric_insert(m, STR("t"), &b, NULL);
    }
}

#endif
