#include "cluster/map.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>
#include <string.h>

/* May rows be written to it now? *until: when the answer changes by itself. */
static bool takes_rows(const struct map_opts *o, const struct member *m, mono_ns now, mono_ns *until)
{
    *until = MONO_NEVER;
    if (m->meta.weight == 0 || m->state == MEMBER_LEFT) return false;
    if (m->state != MEMBER_DEAD) return true;
    mono_ns end = mono_add(m->since, o->dead_after_ns);
    if (end.ns <= now.ns) return false;
    *until = end;
    return true;
}

bool map_replaced(const struct member *all, uint32_t n, const struct member *m)
{
    for (uint32_t i = 0; i < n; i++)
        if (all[i].id.u != m->id.u && member_is_live(&all[i]) && all[i].meta.gossip.n && all[i].meta.gossip.n == m->meta.gossip.n
            && memcmp(&all[i].meta.gossip, &m->meta.gossip, sizeof m->meta.gossip) == 0) return true;
    return false;
}

static uint64_t zone_hash(const struct member *m)
{
    struct str zone = str_of(m->meta.zone);
    return zone.n ? hash64(zone) | 1 : 0;
}

static err_t place(const struct map_opts *o, const struct map *was, struct map *m, mono_ns now)
{
    struct place_node *nodes = calloc(m->n, sizeof *nodes);
    ASSERT(nodes != NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        mono_ns until;
        bool takes = takes_rows(o, &m->v[i], now, &until);
        if (takes && m->v[i].state == MEMBER_DEAD && map_replaced(m->v, m->n, &m->v[i])) continue;
        if (until.ns < m->next.ns) m->next = until;
        if (takes) nodes[n++] = (struct place_node){ m->v[i].id, zone_hash(&m->v[i]), m->v[i].meta.weight };
    }
    m->replicas = m->alone ? 1 : o->replicas;
    err_t e = OK;
    if (n && was && was->placement && was->replicas == m->replicas) e = placement_next(was->placement, nodes, n, &m->placement);
    else if (n) e = placement_new(nodes, n, o->partitions, m->replicas, &m->placement);
    free(nodes);
    return e;
}

err_t map_new(const struct map_opts *o, const struct map *was, struct members *members, mono_ns now, struct map **out)
{
    ASSERT(o->replicas >= 1);
    ASSERT(o->write_quorum <= o->replicas);
    struct map *m = calloc(1, sizeof *m);
    ASSERT(m != NULL);
    *m = (struct map){ .refs = 1, .self = o->self, .n = members->n, .v = members->v, .members = members_get(members), .next = MONO_NEVER };
    m->alone = !o->seeds && m->n == 1;
    m->quorum = m->alone ? 1 : o->write_quorum;
    err_t e = place(o, was, m, now);
    if (e != OK) {
        map_put(m);
        return e;
    }
    *out = m;
    return OK;
}

struct map *map_get(struct map *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void map_put(struct map *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
    if (m->placement) placement_free(m->placement);
    free(m->forgotten);
    members_put(m->members);
    free(m);
}

const struct member *map_member(const struct map *m, node_id id)
{
    return members_find(m->members, id);
}
