/* The map that a core goes by: who takes rows, when a node is alone, when the same members make another map. */
#include "cluster/map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct members *members(const uint64_t *ids, uint32_t n)
{
    struct members *m = members_new(n, 1);
    for (uint32_t i = 0; i < n; i++)
        m->v[i] = (struct member){ .id = { ids[i] }, .state = MEMBER_ALIVE, .meta = { .weight = 100 } };
    return m;
}

static const struct map_opts opts = { .self = { 1 }, .partitions = 16, .replicas = 3, .write_quorum = 2, .dead_after_ns = 600 * NS_PER_S };

static struct map *make(const struct map_opts *o, struct members *m, int64_t now_s)
{
    struct map *map = NULL;
    cr_assert_eq(map_new(o, NULL, m, (mono_ns){ now_s * NS_PER_S }, &map), OK, "%s", err_detail());
    return map;
}

/* Is it in every stream, in none? */
static unsigned holds(const struct map *m, uint64_t id)
{
    const struct stream *v;
    unsigned n = 0;
    uint32_t all = placement_streams(m->placement, &v);
    for (uint32_t i = 0; i < all; i++)
        for (uint32_t k = 0; k < v[i].n; k++)
            n += v[i].members[k].u == id;
    return n;
}

Test(map, a_node_that_nobody_joined_is_alone)
{
    struct members *m = members((uint64_t[]){ 1 }, 1);
    struct map *map = make(&opts, m, 0);
    cr_assert(map->alone);
    cr_assert_eq(map->quorum, 1u);
    map_put(map);
    /* One that was told of others is not, though it sees none. */
    struct map_opts o = opts;
    o.seeds = true;
    map = make(&o, m, 0);
    cr_assert(!map->alone);
    cr_assert_eq(map->quorum, 2u);
    map_put(map);
    members_put(m);
}

Test(map, a_dead_node_is_waited_for_and_then_given_up)
{
    struct members *m = members((uint64_t[]){ 1, 2, 3, 4 }, 4);
    m->v[3].state = MEMBER_DEAD;
    m->v[3].since = (mono_ns){ 100 * NS_PER_S };
    struct map *map = make(&opts, m, 101);
    cr_assert(holds(map, 4) > 0);
    cr_assert_eq(map->next.ns, 700 * NS_PER_S);
    map_put(map);
    map = make(&opts, m, 700);
    cr_assert_eq(holds(map, 4), 0u);
    cr_assert_eq(map->next.ns, MONO_NEVER.ns);
    map_put(map);
    members_put(m);
}

Test(map, those_that_leave_get_nothing)
{
    struct members *m = members((uint64_t[]){ 1, 2, 3, 4 }, 4);
    m->v[1].state = MEMBER_LEFT;
    m->v[2].meta.weight = 0;
    m->v[3].state = MEMBER_SUSPECT;
    struct map *map = make(&opts, m, 0);
    cr_assert_eq(holds(map, 2) + holds(map, 3), 0u);
    cr_assert(holds(map, 1) > 0 && holds(map, 4) > 0);
    cr_assert_not_null(map_member(map, (node_id){ 3 }));
    cr_assert_null(map_member(map, (node_id){ 5 }));
    map_put(map);
    members_put(m);
}

Test(map, where_nobody_takes_rows_there_is_no_placement)
{
    struct members *m = members((uint64_t[]){ 1, 2 }, 2);
    m->v[0].meta.weight = m->v[1].meta.weight = 0;
    struct map *map = make(&opts, m, 0);
    cr_assert_null(map->placement);
    map_put(map);
    members_put(m);
}

Test(map, made_of_the_one_before_it_is_the_same)
{
    const struct map_opts o = { .self = { 1 }, .partitions = 256, .replicas = 3, .write_quorum = 2, .dead_after_ns = 600 * NS_PER_S, .seeds = true };
    uint64_t ids[40];
    uint64_t x = 7;
    for (uint32_t i = 0; i < 40; i++)
        ids[i] = i + 1;
    struct map *was = NULL;
    for (uint32_t round = 0; round < 60; round++) {
        struct members *m = members(ids, 1 + (uint32_t)(x >> 33) % 40);
        for (uint32_t i = 0; i < m->n; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            unsigned die = (unsigned)(x >> 40) % 8;
            if (die == 0) m->v[i].state = MEMBER_LEFT;
            if (die == 1) m->v[i].meta.weight = 50;
            if (die == 2) m->v[i].meta.health = MEMBER_DISK_FAILING;
            if (die == 3) memcpy(m->v[i].meta.zone, "east", 5);
        }
        struct map *anew = make(&o, m, 0), *next = NULL;
        cr_assert_eq(map_new(&o, was, m, (mono_ns){ 0 }, &next), OK);
        cr_assert_eq(anew->placement == NULL, next->placement == NULL);
        if (anew->placement) {
            const struct stream *a, *b;
            uint32_t n = placement_streams(anew->placement, &a);
            cr_assert_eq(placement_streams(next->placement, &b), n);
            cr_assert_eq(memcmp(a, b, n * sizeof *a), 0);
            cr_assert_eq(memcmp(placement_map(anew->placement), placement_map(next->placement), o.partitions * sizeof(uint32_t)), 0);
        }
        map_put(was);
        map_put(anew);
        members_put(m);
        was = next;
    }
    map_put(was);
}

/* It will be back, or dead; rows that go elsewhere meanwhile would be stored twice when they are sent again. */
Test(map, a_node_whose_disk_fails_keeps_its_place_as_a_slow_one_does)
{
    struct members *m = members((uint64_t[]){ 1, 2, 3, 4 }, 4);
    m->v[1].meta.health = MEMBER_DISK_FAILING;
    m->v[2].meta.health = MEMBER_DEGRADED;
    struct map *map = make(&opts, m, 0);
    cr_assert(holds(map, 2) > 0);
    cr_assert(holds(map, 3) > 0);
    map_put(map);
    members_put(m);
}

/* -- tenants ------------------------------------------------------------------------------------------------------ */

static struct tenants tenants_of(const char *text, uint32_t nodes)
{
    struct tenants t;
    cr_assert_eq(tenants_parse(&t, text, 3, 2, nodes), OK, "%s", err_detail());
    return t;
}

Test(map, named_tenants_have_streams_of_their_own)
{
    struct members *m = members((uint64_t[]){ 1, 2, 3, 4, 5 }, 5);
    struct tenants t = tenants_of(" one = 1/1, five=5/3 ,few=3/2/3", 0);
    struct map_opts o = opts;
    o.tenants = &t;
    struct map *map = make(&o, m, 0);
    const struct { const char *name; uint32_t replicas, quorum; } wanted[] = { { "one", 1, 1 }, { "five", 5, 3 }, { "few", 3, 2 }, { "other", 3, 2 } };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const struct stream *v;
        const struct map_tenants of = map_tenants_of(map, str_of(wanted[i].name));
        uint32_t n = placement_streams(of.placement, &v);
        cr_assert(of.quorum == wanted[i].quorum && of.replicas == wanted[i].replicas);
        cr_assert(strcmp(wanted[i].name, "few") != 0 || n == 1);
        for (uint32_t k = 0; k < n; k++) {
            cr_assert_eq(v[k].n, wanted[i].replicas);
            cr_assert_eq(v[k].rows.tenant, i < 3 ? stream_tenant(str_of(wanted[i].name)) : 0);
            cr_assert_eq(map_stream_quorum(map, &v[k]), wanted[i].quorum);
            cr_assert_eq(map_stream_replicas(map, &v[k], 3), wanted[i].replicas);
        }
    }
    /* A stream of what was named once has the quorum it was written with, and the replicas that are wanted now. */
    struct stream past;
    stream_make_of((node_id[]){ { 4 } }, 1, &(struct stream_rows){ stream_tenant(STR("gone")), 1, 0, UINT64_MAX }, &past);
    cr_assert(map_stream_quorum(map, &past) == 1 && map_stream_replicas(map, &past, 3) == 3);
    map_put(map);
    members_put(m);
    tenants_deinit(&t);
}

Test(map, tenants_on_few_nodes_share_streams_by_groups)
{
    uint64_t ids[12];
    for (uint32_t i = 0; i < 12; i++)
        ids[i] = i + 1;
    struct members *m = members(ids, 12), *few = members(ids, 4), *less = members(ids, 11);
    struct tenants t = tenants_of("big=3/2/0", 4);
    struct map_opts o = opts;
    o.tenants = &t;
    struct map *map = make(&o, m, 0), *next = NULL;
    const struct stream *v;
    bool hit[13] = { false };
    for (int i = 0; i < 300; i++) {
        char name[16];
        bool own[13] = { false };
        unsigned nodes = 0;
        snprintf(name, sizeof name, "t%d", i);
        const struct map_tenants of = map_tenants_of(map, str_of(name));
        uint32_t n = placement_streams(of.placement, &v);
        cr_assert(of.tenant >= 1 && of.tenant <= STREAM_GROUPS && of.quorum == 2);
        for (uint32_t k = 0; k < n; k++)
            for (uint32_t x = 0; x < v[k].n; x++)
                hit[v[k].members[x].u] = own[v[k].members[x].u] = true;
        for (int x = 1; x <= 12; x++)
            nodes += own[x];
        cr_assert_eq(nodes, 4u);
    }
    for (int x = 1; x <= 12; x++)
        cr_assert(hit[x], "node %d has no tenant", x);
    cr_assert_eq(map_tenants_of(map, STR("big")).nodes, 0u);
    /* All that is written to, each once; a map made of another one is the same as one made anew. */
    cr_assert_eq(map_new(&o, map, less, (mono_ns){ 0 }, &next), OK);
    struct map *anew = make(&o, less, 0);
    uint32_t a, b;
    struct stream *x = map_streams(next, &a), *y = map_streams(anew, &b);
    cr_assert(a == b && a > STREAM_GROUPS && memcmp(x, y, a * sizeof *x) == 0);
    for (uint32_t i = 0; i < a; i++)
        for (uint32_t k = 0; k < i; k++)
            cr_assert_neq(x[i].id, x[k].id);
    free(x);
    free(y);
    map_put(next);
    map_put(anew);
    map_put(map);
    map = make(&o, few, 0); /* four nodes are all: no groups */
    cr_assert_eq(map_tenants_of(map, STR("t1")).tenant, 0u);
    map_put(map);
    members_put(m);
    members_put(few);
    members_put(less);
    tenants_deinit(&t);
}

Test(map, what_is_said_of_tenants_is_checked)
{
    static const char *const bad[] = { "one", "one=1", "one=0/1", "one=8/1", "one=1/2", "one=1/1/5000", "one=1/1/1/1", "one=a/1", "=1/1", "a b=1/1",
                                       "one=1/1,one=2/1", "one=3/", "one=/2", "one=1/1x", "one=99999999999/1" };
    struct tenants t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(tenants_parse(&t, bad[i], 3, 2, 0), ERR_INVALID, "%s", bad[i]);
        tenants_deinit(&t);
    }
    cr_assert_eq(tenants_parse(&t, " , one=7/7/4096,", 3, 2, 9), OK);
    cr_assert(t.n == 1 && t.v[0].nodes == 4096 && t.others.nodes == 9);
    tenants_deinit(&t);
    char text[8192];
    size_t n = 0;
    for (int i = 0; i <= TENANTS_NAMED_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "t%d=1/1,", i);
    cr_assert_eq(tenants_parse(&t, text, 3, 2, 0), ERR_INVALID);
    tenants_deinit(&t);
}

/* What a map placed rows on is enough to place them again: with it a node tells others by what it went (earlier.h). */
Test(map, places_say_where_rows_went)
{
    struct members *m = members((uint64_t[]){ 1, 2, 3, 4, 5 }, 5);
    struct tenants t = tenants_of("one=1/1", 3);
    struct map_opts o = opts;
    o.tenants = &t;
    m->v[1].meta.weight = 50;
    snprintf(m->v[2].meta.zone, sizeof m->v[2].meta.zone, "b");
    m->v[4].meta.weight = 0;
    struct map *map = make(&o, m, 0), *again, *less;
    cr_assert_eq(map->ntaking, 4u);
    cr_assert_eq(map_of_places(&o, map->taking, map->ntaking, map->alone, &again), OK, "%s", err_detail());
    cr_assert_eq(again->placed_on, map->placed_on);
    uint32_t a, b;
    struct stream *x = map_streams(map, &a), *y = map_streams(again, &b);
    cr_assert(a == b && a > STREAM_GROUPS && memcmp(x, y, a * sizeof *x) == 0);
    cr_assert_eq(map_of_places(&o, map->taking, map->ntaking - 1, map->alone, &less), OK, "%s", err_detail());
    cr_assert_neq(less->placed_on, map->placed_on);
    free(x);
    free(y);
    map_put(less);
    map_put(again);
    map_put(map);
    members_put(m);
    tenants_deinit(&t);
}
