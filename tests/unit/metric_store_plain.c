/* Metrics through the whole store, in the simulator: appended on some cores, sealed now and then, found on the
 * cores that own them; then again after a restart from log and segments with another number of cores. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "base/rt/sim.h"
#include "storage/store.h"
#include "storage/view.h"

#include <stdio.h>

const char *__asan_default_options(void); /* see sim.h: a stopped node leaks its fibers */
const char *__asan_default_options(void) { return "detect_leaks=0"; }

enum { SERIES = 200, STEPS = 120 };
static double expected[SERIES][STEPS];
static bool there[SERIES][STEPS];
static struct str canonical[SERIES];
static hash128 ids[SERIES];
static struct arena mem;
static struct kv *kv;
static struct store *st;

static void make_series(void)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct label l[] = { { STR("__name__"), arena_printf(&mem, "m%u", i % 4) },
                             { STR("instance"), arena_printf(&mem, "host-%u", i) } };
        struct labels ls = { 2, l };
        canonical[i] = labels_encode(&ls, &mem);
        ids[i] = series_id(canonical[i]);
    }
}

static int64_t time_of(uint32_t step) { return 1700000000000 + (int64_t)step * 15000; }

/* One scrape of some of the series. */
static err_t append_step(struct prng *r, uint32_t step)
{
    static uint32_t series[SERIES];
    static int64_t t[SERIES];
    static double v[SERIES];
    static hash128 id[SERIES];
    static struct str c[SERIES];
    struct metric_meta meta = { STR("m0"), STR("gauge"), STR(""), STR("help") };
    struct metric_batch m = { .id = id, .canonical = c, .series = series, .t_ms = t, .value = v, .nmeta = 1,
                              .meta = &meta };
    for (uint32_t i = 0; i < SERIES; i++) {
        if (prng_chance(r, 0.2)) continue;
        uint32_t k = m.nsamples++;
        id[k] = ids[i];
        c[k] = canonical[i];
        series[k] = k;
        t[k] = time_of(step);
        v[k] = (double)prng_below(r, 100000) / 100;
        expected[i][step] = v[k];
        there[i][step] = true;
    }
    m.nseries = m.nsamples;
    struct batch b = { .tenant = STR("anonymous"), .signal = SIG_METRICS, .metrics = &m, .nrows = m.nsamples };
    struct batch *p = &b;
    return store_append(st, &p, 1);
}

struct part { /* what one core found */
    uint32_t series, meta;
};

static void check_series(struct view *v, const struct mseries *s)
{
    struct arena a;
    struct samples got;
    uint32_t i = 0, n = 0;
    while (i < SERIES && !hash128_eq(ids[i], s->id))
        i++;
    ASSERT(i < SERIES);
    arena_init(&a, NULL);
    ASSERT(metrics_samples(v, s, INT64_MIN, INT64_MAX, &a, &got) == OK);
    for (uint32_t k = 0; k < STEPS; k++) {
        if (!there[i][k]) continue;
        ASSERT(n < got.n && got.t_ms[n] == time_of(k) && got.v[n] == expected[i][k]);
        n++;
    }
    ASSERT(n == got.n);
    arena_deinit(&a);
}

static err_t check_core(void *arg)
{
    struct part *p = arg;
    struct view *v;
    struct mseries *s;
    struct metric_meta *meta;
    struct matcher ms[2] = { { .op = MATCH_EQ, .name = STR("__name__"), .value = STR("m1") },
                             { .op = MATCH_NE, .name = STR("instance"), .value = STR("host-5") } };
    struct arena a;
    uint32_t n;
    arena_init(&a, NULL);
    TRY(view_open(st, STR("anonymous"), NULL, NULL, &v));
    TRY(metrics_select(v, ms, 2, INT64_MIN, INT64_MAX, &s, &n));
    for (uint32_t i = 0; i < n; i++)
        check_series(v, &s[i]);
    p->series = n;
    TRY(metrics_meta(v, STR("m0"), &a, &meta, &p->meta));
    view_close(v);
    arena_deinit(&a);
    return OK;
}

static err_t check_all(void)
{
    struct part part[8] = { { 0, 0 } };
    void *args[8];
    for (unsigned i = 0; i < 8; i++)
        args[i] = &part[i];
    TRY(rt_call_all(RT_QUERY, check_core, args, NULL));
    uint32_t series = 0, meta = 0, cores = 0;
    for (unsigned i = 0; i < rt_cores(); i++) {
        series += part[i].series;
        meta += part[i].meta;
        cores += part[i].series > 0;
    }
    ASSERT(series == SERIES / 4 - 1); /* host-5 is an m1 */
    ASSERT(cores == rt_cores() && meta > 0);
    return OK;
}

static err_t open_store(void)
{
    struct store_opts o = { .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 64 << 20,
                            .seal_age_ms = 3600000, .commit_bytes = 1 << 20 };
    return store_open(&o, &st);
}

struct job {
    uint64_t seed;
    uint32_t from, to;
};

static err_t node(void *arg)
{
    struct job *j = arg;
    struct prng r;
    prng_init(&r, j->seed);
    TRY(open_store());
    if (j->from) TRY(check_all());
    for (uint32_t k = j->from; k < j->to; k++) {
        TRY(append_step(&r, k));
        /* Late and again: the sample that arrived last counts, wherever the first one is by now. */
        if (k > 5 && k % 3 == 0) TRY(append_step(&r, (uint32_t)prng_below(&r, k)));
        if (k % 25 == 24) TRY(store_seal(st));
        if (k % 20 == 19) TRY(check_all());
    }
    TRY(check_all());
    store_close(st);
    return OK;
}

int main(void)
{
    static const unsigned cores[] = { 2, 3, 1, 2 };
    arena_init(&mem, NULL);
    make_series();
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim_disk *d = sim_disk_new(1 << 30);
        struct sim_opts o = { 0 };
        kv = kv_mem_new();
        memset(there, 0, sizeof there);
        for (uint32_t k = 0; k < 4; k++) {
            struct sim_result res;
            struct job j = { seed * 10 + k, k * STEPS / 4, (k + 1) * STEPS / 4 };
            sim_run(seed * 100 + k, cores[k], d, &o, node, &j, &res);
            if (res.result != OK || res.stuck) {
                printf("seed %d run %u: %s%s\n", (int)seed, k, res.stuck ? "stuck" : "", err_name(res.result));
                return 1;
            }
        }
        kv_mem_free(kv);
        sim_disk_free(d);
    }
    arena_deinit(&mem);
    printf("metrics survive seals, restarts and other numbers of cores\n");
    return 0;
}
