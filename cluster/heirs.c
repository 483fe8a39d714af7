#include "cluster/heirs.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>

bool heirs_gone(const struct map *m, const struct heirs_opts *o, node_id id, mono_ns now)
{
    const struct member *x = map_member(m, id);
    for (uint32_t i = 0; !x && i < m->nforgotten; i++)
        if (m->forgotten[i].u == id.u) return true;
    if (!x) return mono_add(o->up_since, o->dead_after_ns).ns <= now.ns;
    if (x->state == MEMBER_LEFT) return true;
    if (x->state != MEMBER_DEAD) return false;
    return mono_add(x->since, o->dead_after_ns).ns <= now.ns || map_replaced(m->v, m->n, x);
}

static uint64_t zone_of(const struct map *m, node_id id)
{
    const struct member *x = map_member(m, id);
    return x && x->meta.zone[0] ? hash64(str_of(x->meta.zone)) | 1 : 0;
}

static bool zone_is_new(const uint64_t *zones, uint32_t n, uint64_t zone)
{
    for (uint32_t i = 0; zone && i < n; i++)
        if (zones[i] == zone) return false;
    return true;
}

/* The first of the order in new zones, then of the others. */
static uint32_t take_first(const struct map *m, const node_id *order, uint32_t n, uint64_t *zones, uint32_t nzones, uint32_t wanted, node_id *out)
{
    bool *taken = calloc((size_t)n + 1, sizeof *taken);
    uint32_t found = 0;
    ASSERT(taken != NULL);
    for (unsigned any_zone = 0; any_zone < 2; any_zone++)
        for (uint32_t i = 0; i < n && wanted > 0; i++) {
            uint64_t zone = zone_of(m, order[i]);
            if (taken[i] || (!any_zone && !zone_is_new(zones, nzones, zone))) continue;
            taken[i] = true;
            if (nzones < 2 * STREAM_MEMBERS_MAX) zones[nzones++] = zone;
            wanted--;
            out[found++] = order[i];
        }
    free(taken);
    return found;
}

uint32_t heirs_list(const struct map *m, const struct heirs_opts *o, const struct stream *st, mono_ns now, node_id out[STREAM_MEMBERS_MAX])
{
    uint64_t zones[2 * STREAM_MEMBERS_MAX];
    uint32_t there = 0, n = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct member *x = map_member(m, st->members[i]);
        if (heirs_gone(m, o, st->members[i], now) || (x && x->meta.weight == 0)) continue;
        zones[there++] = zone_of(m, st->members[i]);
    }
    uint32_t replicas = map_stream_replicas(m, st, o->replicas);
    if (there >= replicas) return 0;
    struct place_node *nodes = calloc((size_t)m->n + 1, sizeof *nodes);
    node_id *order = calloc((size_t)m->n + 1, sizeof *order);
    ASSERT(nodes != NULL && order != NULL);
    for (uint32_t i = 0; i < m->n; i++)
        if (member_is_live(&m->v[i]) && m->v[i].meta.weight && !stream_has(st, m->v[i].id))
            nodes[n++] = (struct place_node){ m->v[i].id, 0, m->v[i].meta.weight };
    n = placement_order(nodes, n, st->id, order);
    n = take_first(m, order, n, zones, there, replicas - there, out);
    free(nodes);
    free(order);
    return n;
}

bool heirs_has(const struct map *m, const struct heirs_opts *o, const struct stream *st, node_id id, mono_ns now)
{
    node_id heirs[STREAM_MEMBERS_MAX];
    uint32_t n = stream_has(st, id) ? 0 : heirs_list(m, o, st, now, heirs);
    for (uint32_t i = 0; i < n; i++)
        if (heirs[i].u == id.u) return true;
    return false;
}

static uint32_t count(member_set s)
{
    return (uint32_t)__builtin_popcount(s);
}

bool vouch_next(const struct stream *st, uint32_t w, member_set reached, member_set gone, const struct vouch_basis *bases, uint32_t nbases, member_set *out)
{
    member_set all = (member_set)((1u << st->n) - 1), away = all & (member_set)~reached;
    ASSERT(w >= 1);
    if (away & (member_set)~gone) return false;
    bool may = count(away) < w;
    for (uint32_t i = 0; i < nbases; i++)
        may |= bases[i].any && count(away & (member_set)~bases[i].with) < w;
    *out = away;
    return may;
}

bool vouch_suffices(const struct stream *st, uint32_t w, member_set away, member_set with)
{
    member_set all = (member_set)((1u << st->n) - 1);
    return count(away & all & (member_set)~with) < w;
}
