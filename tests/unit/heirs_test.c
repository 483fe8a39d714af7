/* Heirs, and what may be vouched for: against a model that knows which member has which acknowledged write. */
#include "cluster/heirs.h"

#include "base/core/assert.h"
#include "base/core/prng.h"
#include "tests/unit/check.h"

#include <criterion/criterion.h>
#include <string.h>

enum { WRITES = 64, HOLDERS = 3, NODES = 9 };

static struct map *map_of(const struct member *v, uint32_t n)
{
    static struct members members;
    static struct map m;
    members.n = n;
    members.v = (struct member *)(uintptr_t)v;
    m = (struct map){ .n = n, .v = v, .members = &members, .self = v[0].id, .quorum = 2 };
    return &m;
}

static struct member member_of(uint64_t id, enum member_state state)
{
    struct member m = { .id = { id }, .state = state, .meta = { .weight = 100 } };
    m.meta.gossip.n = 1;
    m.meta.gossip.bytes[0] = (uint8_t)id;
    return m;
}

static const struct heirs_opts opts = { .dead_after_ns = 100, .replicas = 3 };

static uint32_t count_heirs(const struct map *m, const struct stream *st, mono_ns now, node_id *first)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        if (!heirs_has(m, &opts, st, m->v[i].id, now)) continue;
        cr_assert(!stream_has(st, m->v[i].id));
        if (n++ == 0) *first = m->v[i].id;
    }
    return n;
}

Test(heirs, as_many_as_are_gone)
{
    struct member v[NODES];
    struct stream st;
    node_id first = { 0 }, was;
    for (uint32_t i = 0; i < NODES; i++)
        v[i] = member_of(i + 1, MEMBER_ALIVE);
    const node_id ids[] = { { 1 }, { 2 }, { 3 } };
    stream_make(ids, 3, &st);
    struct map *m = map_of(v, NODES);
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1000 }, &first), 0);
    v[1].state = MEMBER_DEAD;
    v[1].since.ns = 950; /* not for long */
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1000 }, &first), 0);
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1050 }, &first), 1);
    v[2].state = MEMBER_LEFT;
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1050 }, &first), 2);
    v[2].state = MEMBER_ALIVE;
    v[2].meta.weight = 0; /* leaving */
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1050 }, &first), 2);
    /* The heir goes: another one comes, and the first of two stays. */
    was = first;
    v[first.u - 1].state = MEMBER_DEAD;
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1050 }, &first), 2);
    cr_assert_neq(was.u, first.u);
    /* Of one written alone. */
    stream_make(ids, 1, &st);
    cr_assert_eq(count_heirs(m, &st, (mono_ns){ 1000 }, &first), 2);
}

Test(heirs, a_new_node_at_the_address_of_a_dead_one)
{
    struct member v[] = { member_of(1, MEMBER_ALIVE), member_of(2, MEMBER_ALIVE), member_of(3, MEMBER_DEAD), member_of(4, MEMBER_ALIVE) };
    const node_id ids[] = { { 1 }, { 2 }, { 3 } };
    struct stream st;
    stream_make(ids, 3, &st);
    v[2].since.ns = 990;
    struct map *m = map_of(v, 4);
    cr_assert(!heirs_gone(m, &opts, v[2].id, (mono_ns){ 1000 }) && !heirs_has(m, &opts, &st, v[3].id, (mono_ns){ 1000 }));
    v[3].meta.gossip = v[2].meta.gossip;
    cr_assert(heirs_gone(m, &opts, v[2].id, (mono_ns){ 1000 }) && heirs_has(m, &opts, &st, v[3].id, (mono_ns){ 1000 }));
    v[3].state = MEMBER_DEAD;
    cr_assert(!heirs_gone(m, &opts, v[2].id, (mono_ns){ 1000 }));
    /* One that nobody knows: only when we are up for long. */
    cr_assert(heirs_gone(m, &opts, (node_id){ 77 }, (mono_ns){ 100 }) && !heirs_gone(m, &opts, (node_id){ 77 }, (mono_ns){ 99 }));
}

Test(heirs, zones_without_a_copy_first)
{
    struct member v[NODES];
    const node_id ids[] = { { 1 }, { 2 }, { 3 } };
    struct stream st;
    node_id first = { 0 };
    stream_make(ids, 3, &st);
    for (uint32_t i = 0; i < NODES; i++) {
        v[i] = member_of(i + 1, MEMBER_ALIVE);
        v[i].meta.zone[0] = i == 0 ? 'a' : i == 1 ? 'b' : i == 6 ? 'c' : 'a';
    }
    v[2].state = MEMBER_LEFT;
    cr_assert_eq(count_heirs(map_of(v, NODES), &st, (mono_ns){ 1000 }, &first), 1);
    cr_assert_eq(first.u, 7);
}

/* -- vouching ------------------------------------------------------------------------------------------------ */

struct model {
    struct stream st;
    uint32_t w, nwrites;
    bool acked[WRITES], has[STREAM_MEMBERS_MAX + HOLDERS][WRITES]; /* members, then heirs */
    member_set gone, away; /* away: not reached for a while, and not gone */
    struct vouch_basis vouched[STREAM_MEMBERS_MAX + HOLDERS];
    struct prng rnd;
};

static bool up(const struct model *m, uint32_t node)
{
    return node >= m->st.n || !((m->gone | m->away) >> node & 1);
}

/* To some members that are there; acknowledged when enough of them have it. */
static void write_one(struct model *m)
{
    if (m->nwrites == WRITES) return;
    uint32_t k = m->nwrites++, n = 0;
    for (uint32_t i = 0; i < m->st.n; i++) {
        if (m->gone >> i & 1 || prng_chance(&m->rnd, 0.35)) continue;
        m->has[i][k] = true;
        n++;
    }
    m->acked[k] = n >= m->w;
}

static void copy_all(struct model *m, uint32_t to, uint32_t from)
{
    for (uint32_t k = 0; k < WRITES; k++)
        m->has[to][k] |= m->has[from][k];
}

/* As a round of repair: from whoever is reached, this time; then it vouches if it may. */
static void look_round(struct model *m, uint32_t node)
{
    struct vouch_basis bases[STREAM_MEMBERS_MAX + HOLDERS];
    uint32_t n = 0;
    member_set got = node < m->st.n ? (member_set)(1u << node) : 0, with;
    for (uint32_t i = 0; i < m->st.n + HOLDERS; i++) {
        if (i != node && (!up(m, i) || prng_chance(&m->rnd, 0.2))) continue;
        copy_all(m, node, i);
        if (i < m->st.n) got |= (member_set)(1u << i);
        bases[n++] = m->vouched[i];
    }
    if (vouch_next(&m->st, m->w, got, m->gone, bases, n, &with)) m->vouched[node] = (struct vouch_basis){ true, with };
}

static void check(const struct model *m, uint32_t node, member_set away, uint64_t *sufficient)
{
    if (!m->vouched[node].any || !vouch_suffices(&m->st, m->w, away, m->vouched[node].with)) return;
    ++*sufficient;
    for (uint32_t k = 0; k < m->nwrites; k++) {
        bool read = m->has[node][k];
        for (uint32_t i = 0; i < m->st.n; i++)
            read |= !(away >> i & 1) && m->has[i][k];
        ASSERT(read || !m->acked[k]);
    }
}

Test(heirs, what_is_vouched_for_is_there)
{
    uint64_t sufficient = 0, beyond = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct model m = { .nwrites = 0 };
        node_id ids[STREAM_MEMBERS_MAX];
        prng_init(&m.rnd, seed);
        uint32_t n = 1 + (uint32_t)prng_below(&m.rnd, 5);
        for (uint32_t i = 0; i < n; i++)
            ids[i].u = i + 1;
        stream_make(ids, n, &m.st);
        m.w = 1 + (uint32_t)prng_below(&m.rnd, n);
        for (unsigned step = 0; step < 60; step++) {
            uint32_t node = (uint32_t)prng_below(&m.rnd, n + HOLDERS);
            switch (prng_below(&m.rnd, 4)) {
            case 0: write_one(&m); break;
            case 1: if (prng_chance(&m.rnd, 0.15)) m.gone |= (member_set)(1u << prng_below(&m.rnd, n)); break;
            case 2: m.away = (member_set)(prng_chance(&m.rnd, 0.5) ? 0 : 1u << prng_below(&m.rnd, n)); break;
            default: if (up(&m, node)) look_round(&m, node);
            }
            for (uint32_t i = 0; i < n + HOLDERS; i++)
                for (unsigned away = 0; up(&m, i) && away < 1u << n; away++) {
                    if ((away & m.gone) != m.gone || (i < n && away >> i & 1)) continue;
                    check(&m, i, (member_set)away, &sufficient);
                    beyond += m.vouched[i].any && vouch_suffices(&m.st, m.w, (member_set)away, m.vouched[i].with)
                              && (uint32_t)__builtin_popcount(away) >= m.w;
                }
        }
    }
    cr_assert(sufficient > 10000 && beyond > 1000); /* more than members alone would say */
}
