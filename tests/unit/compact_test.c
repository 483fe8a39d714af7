/* The picking of merges, over the lives of nodes: how many segments there are at most, and how often a byte is written. */
#include "base/core/prng.h"
#include "storage/compact.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIFE_MAX = 40000 };
static const int64_t SECOND = 1000000000, DAY = 86400 * INT64_C(1000000000);

struct life {
    struct seg_info v[LIFE_MAX];
    uint32_t n, most;      /* segments; the most of core 0 that there ever were after merging */
    uint64_t sealed, written;
    struct compact_rule rule;
};

static struct seg_info sealed(uint64_t generation, uint32_t core, uint32_t cores, uint64_t bytes, int64_t tmax_ns)
{
    return (struct seg_info){ .generation_first = generation, .generation = generation, .core = core, .cores = cores,
                              .bytes = bytes, .tmin_ns = tmax_ns - 1, .tmax_ns = tmax_ns };
}

static void add(struct life *l, struct seg_info i)
{
    cr_assert_lt(l->n, LIFE_MAX);
    l->v[l->n++] = i;
    if (!seg_lane_eq(seg_lane(&i), l->rule.lane) || i.cores != l->rule.cores) return;
    l->sealed += i.bytes;
    l->written += i.bytes;
}

/* Neighbours, of the rule's core, with nothing of it or of other cores' counts in between, within the bounds. */
static void check_pick(const struct life *l, uint32_t first, uint32_t n)
{
    uint64_t bytes = 0;
    cr_assert(n >= 2 && n <= COMPACT_FAN_MAX && first + n <= l->n);
    const struct seg_info *in = l->v + first;
    for (uint32_t i = 0; i < n; i++) {
        bytes += in[i].bytes;
        cr_assert(seg_lane_eq(seg_lane(&in[i]), l->rule.lane) && in[i].cores == l->rule.cores && in[i].tmax_ns >= l->rule.keep_from_ns);
        if (i) cr_assert(in[i - 1].generation < in[i].generation_first);
    }
    cr_assert_leq(bytes, l->rule.bytes_max);
    for (uint32_t i = 0; i < l->n; i++) {
        const struct seg_info *x = &l->v[i];
        bool between = x->generation > in[0].generation && x->generation < in[n - 1].generation;
        bool picked = i >= first && i < first + n;
        if (between && !picked) cr_assert(x->cores == l->rule.cores && !seg_lane_eq(seg_lane(x), l->rule.lane));
    }
}

static uint32_t merge_all(struct life *l)
{
    uint32_t merges = 0;
    for (uint32_t first, n; (n = compact_pick(&l->rule, l->v, l->n, &first)) > 0; merges++) {
        check_pick(l, first, n);
        struct seg_info *to = &l->v[first];
        struct seg_info out = *to;
        for (uint32_t i = 1; i < n; i++) {
            out.bytes += to[i].bytes;
            out.tmin_ns = MIN(out.tmin_ns, to[i].tmin_ns);
            out.tmax_ns = MAX(out.tmax_ns, to[i].tmax_ns);
            out.generation = to[i].generation;
            out.level = MAX(out.level, to[i].level);
        }
        out.level++;
        l->written += out.bytes;
        *to = out;
        memmove(to + 1, to + n, (l->n - first - n) * sizeof *to);
        l->n -= n - 1;
        cr_assert_lt(merges, 1000);
    }
    return merges;
}

static void seal_and_merge(struct life *l, struct seg_info i)
{
    add(l, i);
    merge_all(l);
    l->most = MAX(l->most, l->n);
}

static struct life *life_new(void)
{
    struct life *l = calloc(1, sizeof *l);
    cr_assert(l);
    l->rule = (struct compact_rule){ .cores = 1, .bytes_max = 1 << 30, .window_ns = DAY, .keep_from_ns = INT64_MIN };
    return l;
}

static double amplification(const struct life *l) { return (double)l->written / (double)l->sealed; }

Test(compact, thirty_days_of_a_laptop)
{
    struct life *l = life_new();
    for (uint64_t g = 1; g <= 30 * 96; g++)
        seal_and_merge(l, sealed(g, 0, 1, 3 << 20, (int64_t)g * 900 * SECOND));
    printf("equal seals: %u segments at most, %u at the end, %.2f writes a byte\n", l->most, l->n, amplification(l));
    cr_assert_leq(l->most, 45);
    cr_assert_leq(amplification(l), 5);
    free(l);
}

Test(compact, seals_of_all_sizes)
{
    struct prng r;
    prng_init(&r, 3);
    for (unsigned round = 0; round < 5; round++) {
        struct life *l = life_new();
        for (uint64_t g = 1; g <= 30 * 96; g++)
            seal_and_merge(l, sealed(g, 0, 1, UINT64_C(10000) << prng_below(&r, 11), (int64_t)g * 900 * SECOND));
        printf("mixed seals: %u segments at most, %u at the end, %.2f writes a byte\n", l->most, l->n, amplification(l));
        cr_assert_leq(l->most, 70);
        cr_assert_leq(amplification(l), 4.5);
        free(l);
    }
}

/* A busy node seals by size, every few seconds: bytes_max bounds what is merged. */
Test(compact, busy)
{
    struct life *l = life_new();
    for (uint64_t g = 1; g <= 8000; g++)
        seal_and_merge(l, sealed(g, 0, 1, 40 << 20, (int64_t)g * 10 * SECOND));
    uint64_t total = l->sealed >> 30;
    printf("busy: %u segments of %llu GiB at most, %.2f writes a byte\n", l->most, (unsigned long long)total, amplification(l));
    cr_assert_leq(l->most, 2 * total);
    cr_assert_leq(amplification(l), 4.5);
    free(l);
}

/* Windows keep segments apart: the newest rows of an input are less than a window older than those of the output. */
Test(compact, windows)
{
    struct prng r;
    prng_init(&r, 4);
    struct life *l = life_new();
    for (uint64_t g = 1; g <= 1000; g++)
        seal_and_merge(l, sealed(g, 0, 1, 1 << prng_below(&r, 22), (int64_t)g * 3600 * SECOND));
    uint32_t segments[64] = { 0 };
    for (uint32_t i = 0; i < l->n; i++) {
        int64_t from = (int64_t)l->v[i].generation_first * 3600 * SECOND / DAY, to = (int64_t)l->v[i].generation * 3600 * SECOND / DAY;
        cr_assert_eq(from, to);
        segments[to]++;
    }
    for (unsigned d = 0; d < 41; d++)
        cr_assert_eq(segments[d], 1, "day %u has %u", d, segments[d]); /* over */
    free(l);
}

/* Clocks that go mad must not bring the segments back. */
Test(compact, rows_of_all_times)
{
    struct prng r;
    prng_init(&r, 5);
    struct life *l = life_new();
    for (uint64_t g = 1; g <= 3000; g++) {
        int64_t t = prng_chance(&r, 0.5) ? (int64_t)g * 900 * SECOND : (int64_t)prng_below(&r, INT64_MAX / 2) - INT64_MAX / 4;
        seal_and_merge(l, sealed(g, 0, 1, 1 << 20, t));
    }
    printf("mad clocks: %u segments at most, %.2f writes a byte\n", l->most, amplification(l));
    cr_assert_leq(l->most, COMPACT_MANY + COMPACT_FAN_MAX);
    cr_assert_leq(amplification(l), 8);
    free(l);
}

Test(compact, not_what_retention_takes)
{
    struct life *l = life_new();
    for (uint64_t g = 1; g <= 96; g++)
        add(l, sealed(g, 0, 1, 1 << 20, (int64_t)g * 900 * SECOND));
    l->rule.keep_from_ns = 50 * 900 * SECOND;
    merge_all(l);
    for (uint64_t g = 1; g < 50; g++)
        cr_assert(l->v[g - 1].generation_first == g && l->v[g - 1].generation == g);
    cr_assert_lt(l->n, 49 + 12);
    free(l);
}

/* Nodes that change their number of cores: nothing is merged over what another number wrote. */
Test(compact, cores_come_and_go)
{
    struct prng r;
    prng_init(&r, 6);
    for (unsigned round = 0; round < 20; round++) {
        struct life *l = life_new();
        l->rule.cores = 1 + (uint32_t)prng_below(&r, 3);
        l->rule.lane.share = (uint32_t)prng_below(&r, l->rule.cores) << 1;
        uint64_t g = 1;
        uint64_t foreign = 0;
        for (unsigned lives = 0; lives < 6; lives++) {
            uint32_t cores = 1 + (uint32_t)prng_below(&r, 3);
            for (uint64_t seals = prng_below(&r, 40); seals-- > 0; g++)
                for (uint32_t c = 0; c < cores; c++)
                    if (prng_chance(&r, 0.9)) {
                        struct seg_info i = sealed(g, c, cores, 1 << prng_below(&r, 20), (int64_t)g * 900 * SECOND);
                        add(l, i);
                        foreign += cores != l->rule.cores || c << 1 != l->rule.lane.share;
                        if (!prng_chance(&r, 0.3)) continue;
                        i.stream = 1 + prng_below(&r, 2); /* of others beside it */
                        add(l, i);
                        foreign++;
                    }
            merge_all(l);
        }
        uint64_t left = 0;
        for (uint32_t i = 0; i < l->n; i++)
            left += l->v[i].cores != l->rule.cores || !seg_lane_eq(seg_lane(&l->v[i]), l->rule.lane);
        cr_assert_eq(left, foreign);
        free(l);
    }
}

/* One of which a fifth is gone goes before all merges, the most worn first; never one that failed, is of others, or is gone as a whole. */
Test(compact, worn)
{
    struct life *l = life_new();
    struct compact_worn worn[6] = { { .gone = 19, .bytes = 100 }, { .gone = 40, .bytes = 100 }, { .gone = 300, .bytes = 400 },
                                    { .gone = 7, .bytes = 7 }, { .gone = 99, .bytes = 100 }, { .gone = 98, .bytes = 100 } };
    uint32_t first;
    for (uint32_t i = 0; i < 6; i++) {
        struct seg_info s = sealed(i + 1, i == 4, i == 4 ? 2 : 1, 64 << 20, (int64_t)(i + 1) * SECOND);
        snprintf(s.name, sizeof s.name, "%u", i);
        memcpy(worn[i].name, s.name, sizeof s.name);
        add(l, s);
    }
    struct seg_info failed = l->v[5];
    l->rule.left = &failed;
    l->rule.nleft = 1;
    cr_assert_eq(compact_pick(&l->rule, l->v, l->n, &first), 4); /* whole ones are merged as ever */
    l->rule.worn = worn;
    l->rule.nworn = 6;
    cr_assert(compact_pick(&l->rule, l->v, l->n, &first) == 1 && strcmp(l->v[first].name, "2") == 0);
    worn[2].gone = 79;
    cr_assert(compact_pick(&l->rule, l->v, l->n, &first) == 1 && strcmp(l->v[first].name, "1") == 0);
    worn[1].gone = 20;
    cr_assert(compact_pick(&l->rule, l->v, l->n, &first) == 1 && strcmp(l->v[first].name, "1") == 0);
    l->rule.keep_from_ns = 3 * SECOND; /* retention takes it soon */
    cr_assert_neq(compact_pick(&l->rule, l->v, l->n, &first), 1);
    l->rule.keep_from_ns = INT64_MIN;
    worn[1].gone = 19;
    cr_assert_eq(compact_pick(&l->rule, l->v, l->n, &first), 4);
    free(l);
}
