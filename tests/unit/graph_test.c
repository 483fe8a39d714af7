/* The join of children with their parents: orders, equal ids, missing parents, cycles, and more than fits. */
#include "base/core/prng.h"
#include "query/graph/join.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

static struct arena mem;
static struct names services;
static struct edges edges;
static struct join join;
enum { WEB, CART, PAY };

static void begin(uint32_t children_max)
{
    static const char *const names[] = { "web", "cart", "pay" };
    names_init(&services, 100, &mem);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        cr_assert_eq(names_add(&services, str_of(names[i])), i);
    edges_init(&edges, &mem);
    join_init(&join, &services, children_max, &mem);
}
static void end(void)
{
    edges_deinit(&edges);
    names_deinit(&services);
}
static void setup(void)
{
    arena_init(&mem, NULL);
    begin(1000);
}
static void teardown(void)
{
    end();
    arena_deinit(&mem);
}
TestSuite(graph, .init = setup, .fini = teardown);

static uint64_t key(uint64_t trace, uint64_t span)
{
    uint8_t t[16] = { 0 }, s[8];
    memcpy(t, &trace, 8);
    memcpy(s, &span, 8);
    return join_key(t, s);
}

static const struct edge *edge_of(uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < edges.n; i++)
        if (edges.v[i].from == from && edges.v[i].to == to && edges.v[i].kind == EDGE_SERVICE) return &edges.v[i];
    return NULL;
}

Test(graph, children_meet_their_parent)
{
    cr_assert_eq(join_child(&join, key(1, 10), CART, 5000, false, true), OK);
    cr_assert_eq(join_child(&join, key(1, 10), CART, 7000, true, true), OK);
    cr_assert_eq(join_child(&join, key(1, 11), PAY, 9000, false, true), OK);
    cr_assert_eq(join_child(&join, key(1, 10), CART, 1, false, false), OK); /* outside of the window */
    cr_assert(join_parent(&join, key(1, 11), CART));
    cr_assert(join_parent(&join, key(1, 10), WEB));
    cr_assert_not(join_parent(&join, key(1, 12), PAY));
    cr_assert_eq(join_finish(&join, &edges), OK);
    cr_assert_eq(edges.n, 2);
    const struct edge *e = edge_of(WEB, CART);
    cr_assert(e && e->requests == 2 && e->errors == 1);
    cr_assert_eq(e->duration.max, 7000);
    cr_assert(edge_of(CART, PAY));
}

Test(graph, equal_span_ids_of_different_traces_do_not_meet)
{
    for (uint64_t trace = 1; trace <= 50; trace++)
        cr_assert_eq(join_child(&join, key(trace, 10), CART, 1, false, true), OK);
    cr_assert(join_parent(&join, key(7, 10), WEB));
    cr_assert_not(join_parent(&join, key(51, 10), WEB));
    cr_assert(join_parent(&join, key(8, 10), PAY));
    cr_assert_eq(join_finish(&join, &edges), OK);
    cr_assert(edges.n == 2 && edge_of(WEB, CART)->requests == 1 && edge_of(PAY, CART)->requests == 1);
}

Test(graph, missing_parents_cycles_and_the_same_service)
{
    cr_assert_eq(join_child(&join, key(1, 99), CART, 1, false, true), OK); /* missing */
    cr_assert_eq(join_child(&join, key(1, 5), PAY, 1, false, true), OK);   /* its own parent */
    cr_assert_eq(join_child(&join, key(1, 7), WEB, 1, false, true), OK);   /* a cycle of 6 and 7 */
    cr_assert_eq(join_child(&join, key(1, 6), CART, 1, false, true), OK);
    cr_assert_eq(join_child(&join, key(1, 8), PAY, 1, false, true), OK);   /* a parent of the same service */
    cr_assert_not(join_parent(&join, key(1, 5), PAY));
    cr_assert(join_parent(&join, key(1, 6), WEB));
    cr_assert(join_parent(&join, key(1, 7), CART));
    cr_assert_not(join_parent(&join, key(1, 8), PAY));
    cr_assert_eq(join_finish(&join, &edges), OK);
    cr_assert(edges.n == 2 && edge_of(WEB, CART) && edge_of(CART, WEB));
}

Test(graph, of_several_parents_the_smallest_other_name)
{
    static const uint32_t orders[][3] = { { WEB, CART, PAY }, { PAY, CART, WEB }, { CART, WEB, PAY }, { PAY, WEB, CART } };
    for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
        cr_assert_eq(join_child(&join, key(o, 1), WEB, 1, false, true), OK);
        cr_assert_eq(join_child(&join, key(o, 1), CART, 1, false, true), OK);
        for (int k = 0; k < 3; k++)
            for (int again = 0; again < 2; again++)
                cr_assert(join_parent(&join, key(o, 1), orders[o][k]));
    }
    cr_assert_eq(join_finish(&join, &edges), OK);
    cr_assert_eq(edges.n, 2);
    cr_assert_eq(edge_of(CART, WEB)->requests, ARRAY_LEN(orders));
    cr_assert_eq(edge_of(PAY, CART)->requests, ARRAY_LEN(orders));
}

/* 200,000 calls through room for 5,000: a fair sample that says its share; every key is in it whole or not at all. */
Test(graph, more_than_fits_is_a_sample)
{
    enum { CALLS = 200000 };
    end();
    begin(5000);
    struct prng r;
    prng_init(&r, 3);
    for (uint64_t i = 0; i < CALLS; i++)
        cr_assert_eq(join_child(&join, key(i / 2, 1), i % 4 ? CART : PAY, 1000, i % 10 == 0, true), OK);
    cr_assert_leq(join.n, 5000);
    cr_assert_geq(join.n, 1000);
    cr_assert(!join.full && join.shift >= 5);
    uint32_t met = 0;
    for (uint64_t i = 0; i < CALLS / 2; i++)
        if (join_takes(&join, key(i, 1))) {
            cr_assert(join_parent(&join, key(i, 1), WEB));
            met++;
        }
    cr_assert_eq(join_finish(&join, &edges), OK);
    struct edges all;
    edges_init(&all, &mem);
    static const uint32_t same[] = { WEB, CART, PAY };
    edges_merge(&all, &edges, same, UINT64_C(1) << join.shift);
    cr_assert_eq(join.indexed, met);
    cr_assert_eq(all.n, 2);
    double share = (double)(1u << join.shift), want[] = { CALLS * 0.75, CALLS * 0.25 };
    for (uint32_t i = 0; i < 2; i++) {
        double got = (double)all.v[i].requests, exact = all.v[i].to == CART ? want[0] : want[1];
        cr_assert_lt(fabs(got - exact), 6 * sqrt(2 * exact * share), "%g for %g", got, exact);
    }
    edges_deinit(&all);
}

Test(graph, one_span_with_too_many_children)
{
    for (uint32_t i = 0; i < 100000; i++)
        cr_assert_eq(join_child(&join, key(1, 1), CART, 1, false, true), OK);
    cr_assert(join.n <= 1000);
    for (uint32_t i = 0; i < 100000; i++) /* and with as many repetitions: each costs the same */
        join_parent(&join, key(1, 1), WEB);
    cr_assert(join.full || join.shift > 0);
}

/* Every child keeps its own parent while the tables grow. */
Test(graph, many_children_each_with_its_parent)
{
    enum { CALLS = 100000 };
    end();
    begin(CALLS);
    for (uint64_t i = 0; i < CALLS; i++)
        cr_assert_eq(join_child(&join, key(i, i), CART, 1, false, true), OK);
    for (uint64_t i = 0; i < CALLS; i++)
        join_parent(&join, key(i, i), i % 3 ? WEB : PAY);
    cr_assert_eq(join_finish(&join, &edges), OK);
    cr_assert(!join.shift && edges.n == 2);
    cr_assert_eq(edge_of(PAY, CART)->requests, CALLS / 3 + 1);
    cr_assert_eq(edge_of(WEB, CART)->requests, CALLS - CALLS / 3 - 1);
}

Test(graph, edges_past_the_limit_are_counted)
{
    for (uint32_t i = 0; i < EDGES_MAX + 50; i++) {
        char name[16];
        uint32_t peer = edges_peer(&edges, str_n(name, (size_t)snprintf(name, sizeof name, "p%u", i)));
        edges_count(&edges, edges_get(&edges, WEB, EDGE_EXTERNAL, peer), 1, false);
    }
    cr_assert(edges.n == EDGES_MAX && edges.left_out == 50);
    static const uint32_t same[] = { WEB, CART, NAME_NONE };
    struct edges all;
    edges_init(&all, &mem);
    edges_merge(&all, &edges, same, 3);
    cr_assert(all.n == EDGES_MAX && all.left_out == 150 && all.v[0].requests == 3);
    edges_deinit(&all);
}
