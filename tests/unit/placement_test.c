/* Placement: shares, what moves when a node comes or goes, zones, and that only the nodes decide. */
#include "cluster/placement.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { MANY = 65536 };

static struct place_node *nodes_of(uint64_t seed, uint32_t n, uint32_t zones, uint32_t weight_max)
{
    struct place_node *v = calloc(n + 1, sizeof *v);
    struct prng r;
    prng_init(&r, seed);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t zone = zones ? 1000 + prng_below(&r, zones) : 0;
        v[i] = (struct place_node){ { prng_next(&r) }, zone, 1 + (uint32_t)prng_below(&r, weight_max) };
    }
    return v;
}

static struct placement *place(const struct place_node *v, uint32_t n, uint32_t partitions, uint32_t rf)
{
    struct placement *p;
    cr_assert_eq(placement_new(v, n, partitions, rf, &p), OK, "%s", err_detail());
    return p;
}

static const struct stream *stream_at(const struct placement *p, uint32_t partition)
{
    const struct stream *all;
    uint32_t n = placement_streams(p, &all), at = placement_of(p, partition);
    cr_assert_lt(at, n);
    cr_assert_eq(at, placement_map(p)[partition]);
    return &all[at];
}

static bool holds(const struct stream *s, node_id id)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->members[i].u == id.u) return true;
    return false;
}

/* How many partitions each stream has; the caller's to free. */
static uint32_t *sizes(const struct placement *p, uint32_t partitions)
{
    const struct stream *s;
    uint32_t *n = calloc(placement_streams(p, &s), sizeof *n);
    for (uint32_t k = 0; k < partitions; k++)
        n[placement_of(p, k)]++;
    return n;
}
static uint32_t held_by(const struct placement *p, const uint32_t *size, node_id id)
{
    const struct stream *s;
    uint32_t n = placement_streams(p, &s), held = 0;
    for (uint32_t i = 0; i < n; i++)
        held += holds(&s[i], id) ? size[i] : 0;
    return held;
}

static void same(const struct placement *a, const struct placement *b, uint32_t partitions)
{
    for (uint32_t i = 0; i < partitions; i++)
        cr_assert_eq(memcmp(stream_at(a, i), stream_at(b, i), sizeof(struct stream)), 0, "partition %u", i);
}

/* What each node holds of `partitions`, in units of its expected share; rf 1. */
static void shares(uint32_t n, uint32_t weight_max)
{
    struct place_node *v = nodes_of(n, n, 0, weight_max);
    struct placement *p = place(v, n, MANY, 1);
    uint32_t *size = sizes(p, MANY);
    double sum = 0, chi2 = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += v[i].weight;
    for (uint32_t i = 0; i < n; i++) {
        double expected = MANY * (double)v[i].weight / sum, deviation = sqrt(expected * (1 - v[i].weight / sum));
        uint32_t held = held_by(p, size, v[i].id);
        cr_assert_lt(fabs(held - expected), 5 * deviation + 1, "node %u of %u: %u, not %.0f", i, n, held, expected);
        chi2 += (held - expected) * (held - expected) / expected;
    }
    /* n - 1 degrees of freedom: mean n - 1, variance 2 (n - 1). */
    cr_assert_lt(fabs(chi2 - (n - 1)), 5 * sqrt(2.0 * n), "n %u, chi2 %.0f", n, chi2);
    free(size);
    placement_free(p);
    free(v);
}

Test(placement, a_node_holds_its_share)
{
    shares(3, 1);
    shares(3, 10);
    shares(30, 1);
    shares(30, 10);
    shares(300, 10);
}

Test(placement, copies_are_shared_out_too)
{
    const uint32_t n = 100, rf = 3;
    struct place_node *v = nodes_of(5, n, 0, 1);
    struct placement *p = place(v, n, MANY, rf);
    uint32_t *size = sizes(p, MANY);
    double expected = (double)MANY * rf / n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t held = held_by(p, size, v[i].id);
        cr_assert_lt(fabs(held - expected), 5 * sqrt(expected), "node %u: %u, not %.0f", i, held, expected);
    }
    free(size);
    placement_free(p);
    free(v);
}

/* Streams of `a` and `b` differ only where the node is or was. */
static uint32_t moves(const struct placement *with, const struct placement *without, node_id id, uint32_t partitions)
{
    uint32_t moved = 0;
    for (uint32_t k = 0; k < partitions; k++) {
        const struct stream *a = stream_at(with, k), *b = stream_at(without, k);
        cr_assert_not(holds(b, id));
        if (!holds(a, id)) {
            cr_assert(a->n == b->n && memcmp(a->members, b->members, a->n * sizeof *a->members) == 0);
            continue;
        }
        moved++;
        for (uint32_t i = 0; i < a->n; i++)
            cr_assert(a->members[i].u == id.u || holds(b, a->members[i]), "a copy moved that did not have to");
    }
    return moved;
}

Test(placement, a_node_that_goes_moves_only_its_own)
{
    const uint32_t n = 40, partitions = 4096;
    struct place_node *v = nodes_of(9, n, 0, 4);
    struct placement *p = place(v, n, partitions, 3);
    for (uint32_t i = 0; i < n; i++) {
        struct place_node last = v[n - 1], gone = v[i];
        v[i] = last;
        struct placement *q = place(v, n - 1, partitions, 3);
        cr_assert_gt(moves(p, q, gone.id, partitions), 0);
        placement_free(q);
        v[n - 1] = last;
        v[i] = gone;
    }
    placement_free(p);
    free(v);
}

/* What the definition says: all nodes by cost, one a zone, then the rest by cost. */
static void by_definition(const struct place_node *v, uint32_t n, uint32_t partition, uint32_t rf, struct stream *out)
{
    node_id order[64], members[STREAM_MEMBERS_MAX];
    uint64_t zones[STREAM_MEMBERS_MAX];
    uint32_t all = placement_order(v, n, partition, order), count = 0;
    bool taken[64] = { false };
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < all && count < rf; i++) {
            uint64_t zone = 0;
            bool used = taken[i];
            for (uint32_t k = 0; k < n; k++)
                if (v[k].id.u == order[i].u) zone = v[k].zone;
            for (uint32_t k = 0; k < count && round == 0 && zone; k++)
                used |= zones[k] == zone;
            if (used) continue;
            taken[i] = true;
            zones[count] = zone;
            members[count++] = order[i];
        }
    stream_make(members, count, out);
}

Test(placement, zones_lie_apart_while_there_are_enough)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng r;
        prng_init(&r, seed);
        uint32_t n = 1 + (uint32_t)prng_below(&r, 40), rf = 1 + (uint32_t)prng_below(&r, STREAM_MEMBERS_MAX);
        uint32_t zones = (uint32_t)prng_below(&r, 6);
        struct place_node *v = nodes_of(seed, n, zones, 5);
        for (uint32_t i = 0; i < n; i++)
            if (prng_chance(&r, 0.1)) v[i].zone = 0;
        struct placement *p = place(v, n, 64, rf);
        for (uint32_t k = 0; k < 64; k++) {
            struct stream s;
            by_definition(v, n, k, rf, &s);
            cr_assert_eq(stream_at(p, k)->n, MIN(rf, n));
            cr_assert_eq(memcmp(stream_at(p, k)->members, s.members, s.n * sizeof *s.members), 0, "seed %llu, partition %u", (unsigned long long)seed, k);
        }
        placement_free(p);
        free(v);
    }
}

Test(placement, the_order_of_the_nodes_is_nothing)
{
    const uint32_t n = 50;
    struct place_node *v = nodes_of(3, n, 4, 9);
    struct placement *p = place(v, n, 1024, 3);
    struct prng r;
    prng_init(&r, 1);
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = n - 1; i > 0; i--) {
            uint32_t k = (uint32_t)prng_below(&r, i + 1);
            struct place_node t = v[i];
            v[i] = v[k];
            v[k] = t;
        }
        struct placement *q = place(v, n, 1024, 3);
        same(p, q, 1024);
        placement_free(q);
    }
    placement_free(p);
    free(v);
}

/* One change, or a few: what comes step by step is what comes at once. */
static uint32_t change(struct prng *r, struct place_node *v, uint32_t n)
{
    uint32_t i = (uint32_t)prng_below(r, n);
    switch (prng_below(r, 5)) {
    case 0: v[n] = (struct place_node){ { prng_next(r) }, prng_below(r, 5), 1 + (uint32_t)prng_below(r, 5) }; return n + 1;
    case 1:
        if (n < 2) return n;
        v[i] = v[n - 1];
        return n - 1;
    case 2: v[i].weight = 1 + (uint32_t)prng_below(r, 6); return n;
    case 3: v[i].zone = prng_below(r, 5); return n;
    default: v[i].weight = n > 1 && i > 0 ? 0 : 3; return n;
    }
}

Test(placement, step_by_step_is_at_once)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng r;
        prng_init(&r, seed);
        struct place_node v[256] = { { { 77 }, 0, 1 } };
        uint32_t n = 1, rf = 1 + (uint32_t)prng_below(&r, 5);
        for (uint32_t i = 1 + (uint32_t)prng_below(&r, 20); n < i; n++)
            v[n] = (struct place_node){ { prng_next(&r) }, prng_below(&r, 5), 1 + (uint32_t)prng_below(&r, 5) };
        struct placement *p = place(v, n, 128, rf);
        for (int step = 0; step < 60; step++) {
            struct placement *next;
            for (uint64_t k = 1 + prng_below(&r, 3); k > 0 && n < 200; k--)
                n = change(&r, v, n);
            v[0].weight = MAX(v[0].weight, 1u);
            cr_assert_eq(placement_next(p, v, n, &next), OK, "%s", err_detail());
            struct placement *whole = place(v, n, 128, rf);
            same(next, whole, 128);
            placement_free(whole);
            placement_free(p);
            p = next;
        }
        placement_free(p);
    }
}

Test(placement, streams_are_distinct_and_all_used)
{
    struct place_node *v = nodes_of(4, 5, 0, 1);
    struct placement *p = place(v, 5, 4096, 3);
    const struct stream *s;
    uint32_t n = placement_streams(p, &s), seen = 0;
    cr_assert_eq(n, 10); /* 5 over 3 */
    for (uint32_t k = 0; k < 4096; k++) {
        cr_assert_leq(placement_of(p, k), seen);
        seen = MAX(seen, placement_of(p, k) + 1);
    }
    cr_assert_eq(seen, n);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            cr_assert_neq(s[i].id, s[k].id);
    placement_free(p);
    free(v);
}

Test(placement, three_nodes_three_copies_one_stream)
{
    struct place_node v[] = { { { 9 }, 0, 1 }, { { 5 }, 0, 200 }, { { 7 }, 0, 3 } };
    struct placement *p = place(v, 3, 64, 3);
    const struct stream *s;
    cr_assert_eq(placement_streams(p, &s), 1);
    cr_assert(s->n == 3 && s->members[0].u == 5 && s->members[2].u == 9);
    placement_free(p);
    p = place(v, 2, 64, 3);
    cr_assert_eq(placement_streams(p, &s), 1);
    cr_assert_eq(s->n, 2);
    placement_free(p);
}

/* Nodes of other builds and machines must agree. */
Test(placement, is_the_same_everywhere)
{
    struct place_node *v = nodes_of(1, 60, 7, 20);
    struct placement *p = place(v, 60, 4096, 3);
    uint64_t sum = 0;
    for (uint32_t k = 0; k < 4096; k++)
        sum += hash_u64(stream_at(p, k)->id + k);
    cr_assert_eq(sum, UINT64_C(0x56586f83066faebb), "%016llx", (unsigned long long)sum);
    placement_free(p);
    free(v);
}

/* -- tenants on few nodes ----------------------------------------------------------------------------------------- */

static struct placement *place_of(const struct place_node *v, uint32_t n, uint32_t partitions, uint32_t rf, uint64_t tenant, uint32_t nodes)
{
    struct placement *p;
    const struct place_tenant of = { tenant, 0, tenant, nodes };
    cr_assert_eq(placement_new_of(&of, v, n, partitions, rf, &p), OK, "%s", err_detail());
    return p;
}

/* Those that hold anything, into out. */
static uint32_t used(const struct placement *p, const struct place_node *v, uint32_t n, node_id *out)
{
    const struct stream *s;
    uint32_t all = placement_streams(p, &s), count = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool holds_any = false;
        for (uint32_t k = 0; k < all; k++)
            holds_any |= holds(&s[k], v[i].id);
        if (holds_any) out[count++] = v[i].id;
    }
    return count;
}

Test(placement, a_tenant_has_its_own_few_nodes)
{
    enum { N = 40, TENANTS = 2000, FEW = 6 };
    struct place_node *v = nodes_of(21, N, 4, 1);
    uint32_t load[N] = { 0 };
    for (uint64_t t = 1; t <= TENANTS; t++) {
        node_id nodes[N];
        struct placement *p = place_of(v, N, 64, 3, 1000 + t, FEW);
        const struct stream *s;
        uint32_t n = used(p, v, N, nodes), zones[4] = { 0 }, streams = placement_streams(p, &s);
        cr_assert_eq(n, FEW);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t k = 0; k < N; k++)
                if (v[k].id.u == nodes[i].u) {
                    load[k]++;
                    zones[v[k].zone - 1000]++;
                }
        for (int z = 0; z < 4; z++)
            cr_assert(zones[z] == 1 || zones[z] == 2, "tenant %llu has %u nodes of a zone", (unsigned long long)t, zones[z]);
        for (uint32_t i = 0; i < streams; i++)
            cr_assert(s[i].rows.tenant == 1000 + t && s[i].n == 3);
        placement_free(p);
    }
    /* Zones differ in size: within one the nodes are drawn alike. */
    for (uint64_t z = 1000; z < 1004; z++) {
        double sum = 0, size = 0;
        for (uint32_t k = 0; k < N; k++)
            if (v[k].zone == z) sum += load[k], size++;
        for (uint32_t k = 0; k < N; k++)
            if (v[k].zone == z) cr_assert_lt(fabs(load[k] - sum / size), 5 * sqrt(sum / size), "%u, not %.0f", load[k], sum / size);
    }
    free(v);
}

Test(placement, a_change_of_a_node_changes_one_of_a_tenants_nodes_at_most)
{
    enum { N = 30, FEW = 5 };
    for (uint64_t t = 1; t <= 200; t++) {
        struct place_node *v = nodes_of(t, N, (uint32_t)(t % 6), 3), gone = v[t % N];
        struct placement *p = place_of(v, N, 64, 3, 500 + t, FEW), *less, *again;
        node_id with[N], without[N];
        uint32_t n = used(p, v, N, with), kept = 0;
        bool was = false;
        v[t % N] = v[N - 1];
        cr_assert_eq(placement_next(p, v, N - 1, &less), OK);
        uint32_t m = used(less, v, N - 1, without);
        for (uint32_t i = 0; i < n; i++) {
            was |= with[i].u == gone.id.u;
            for (uint32_t k = 0; k < m; k++)
                kept += with[i].u == without[k].u;
        }
        cr_assert_eq(kept, was || n != m ? n - 1 : n - (kept < n), "tenant %llu", (unsigned long long)t);
        cr_assert_geq(kept + 1, n);
        if (!was && kept == n) /* nothing at all has moved */
            for (uint32_t k = 0; k < 64; k++)
                cr_assert_eq(stream_at(p, k)->id, stream_at(less, k)->id);
        /* Step by step is at once. */
        struct placement *at_once = place_of(v, N - 1, 64, 3, 500 + t, FEW);
        same(less, at_once, 64);
        v[N - 1] = v[t % N];
        v[t % N] = gone;
        cr_assert_eq(placement_next(less, v, N, &again), OK);
        same(p, again, 64);
        placement_free(at_once);
        placement_free(again);
        placement_free(less);
        placement_free(p);
        free(v);
    }
}

Test(placement, a_tenant_of_all_nodes_or_fewer_than_its_copies)
{
    struct place_node *v = nodes_of(8, 5, 0, 1);
    node_id nodes[5];
    struct placement *p = place_of(v, 5, 64, 3, 99, 0);
    cr_assert_eq(used(p, v, 5, nodes), 5u);
    placement_free(p);
    p = place_of(v, 5, 64, 3, 99, 1); /* three copies need three nodes */
    cr_assert_eq(used(p, v, 5, nodes), 3u);
    placement_free(p);
    p = place_of(v, 5, 64, 1, 99, 50);
    cr_assert_eq(used(p, v, 5, nodes), 5u);
    placement_free(p);
    free(v);
}

Test(placement, refusals)
{
    struct place_node v[] = { { { 9 }, 0, 1 }, { { 9 }, 0, 1 } }, none = { { 1 }, 0, 0 };
    struct placement *p;
    cr_assert_eq(placement_new(v, 2, 64, 3, &p), ERR_INVALID);
    cr_assert_eq(placement_new(v, 1, 63, 3, &p), ERR_INVALID);
    cr_assert_eq(placement_new(v, 1, 0, 3, &p), ERR_INVALID);
    cr_assert_eq(placement_new(v, 1, 1 << 17, 3, &p), ERR_INVALID);
    cr_assert_eq(placement_new(v, 1, 64, 0, &p), ERR_INVALID);
    cr_assert_eq(placement_new(v, 1, 64, STREAM_MEMBERS_MAX + 1, &p), ERR_INVALID);
    cr_assert_eq(placement_new(v, 0, 64, 3, &p), ERR_INVALID);
    cr_assert_eq(placement_new(&none, 1, 64, 3, &p), ERR_INVALID);
}
