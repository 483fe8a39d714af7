/* The map that a core goes by: who takes rows, when a node is alone, when the same members make another map. */
#include "cluster/map.h"

#include <criterion/criterion.h>
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
