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

/* -- tenants that are placed by themselves -------------------------------------------------------------------------- */

static const struct map_tenants *placed_find(const struct map *m, uint64_t tenant)
{
    uint32_t lo = 0, hi = m->nplaced;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->placed[mid].tenant < tenant) lo = mid + 1;
        else hi = mid;
    }
    return lo < m->nplaced && m->placed[lo].tenant == tenant ? &m->placed[lo] : NULL;
}

static err_t place_one(const struct map_opts *o, const struct map *was, const struct place_node *nodes, uint32_t n, struct map *m, struct map_tenants t)
{
    const struct map_tenants *before = was ? placed_find(was, t.tenant) : NULL;
    /* The quorum of a group's streams is the cluster's. */
    const struct place_tenant of = { t.tenant, t.tenant > STREAM_GROUPS ? t.quorum : 0, t.tenant, t.nodes };
    bool same = before && before->replicas == t.replicas && before->quorum == t.quorum && before->nodes == t.nodes;
    err_t e = same ? placement_next(before->placement, nodes, n, &t.placement)
                   : placement_new_of(&of, nodes, n, o->partitions, t.replicas, &t.placement);
    if (e == OK) m->placed[m->nplaced++] = t;
    return e;
}

static err_t place_tenants(const struct map_opts *o, const struct map *was, const struct place_node *nodes, uint32_t n, struct map *m)
{
    const struct tenants *t = o->tenants;
    bool groups = t->others.nodes && MAX(t->others.nodes, t->others.replicas) < n;
    m->placed = calloc((size_t)(groups ? STREAM_GROUPS : 0) + t->n + 1, sizeof *m->placed);
    ASSERT(m->placed != NULL);
    for (uint64_t g = 1; groups && g <= STREAM_GROUPS; g++)
        TRY(place_one(o, was, nodes, n, m, (struct map_tenants){ g, t->others.replicas, t->others.quorum, t->others.nodes, NULL }));
    for (uint32_t i = 0; i < t->n; i++)
        TRY(place_one(o, was, nodes, n, m, (struct map_tenants){ t->v[i].key, t->v[i].replicas, t->v[i].quorum, t->v[i].nodes, NULL }));
    return OK;
}

uint64_t map_work(const struct map_opts *o, uint32_t n)
{
    uint64_t nodes = n;
    const struct tenants *t = o->tenants;
    if (t && t->others.nodes) nodes += STREAM_GROUPS * (uint64_t)MIN(n, t->others.nodes);
    for (uint32_t i = 0; t && i < t->n; i++)
        nodes += t->v[i].nodes ? MIN(n, t->v[i].nodes) : n;
    return nodes * o->partitions;
}

struct map_tenants map_tenants_of(const struct map *m, struct str tenant)
{
    const struct map_tenants *t = NULL;
    if (m->nplaced) t = placed_find(m, stream_tenant(tenant));
    if (!t && m->nplaced) t = placed_find(m, stream_group(stream_tenant(tenant)));
    return t ? *t : (struct map_tenants){ 0, m->replicas, m->quorum, 0, m->placement };
}

uint32_t map_stream_quorum(const struct map *m, const struct stream *st)
{
    return st->rows.quorum ? (uint32_t)st->rows.quorum : m->quorum;
}

uint32_t map_stream_replicas(const struct map *m, const struct stream *st, uint32_t others)
{
    const struct map_tenants *t = st->rows.tenant > STREAM_GROUPS ? placed_find(m, st->rows.tenant) : NULL;
    return t ? t->replicas : others;
}

struct stream *map_streams(const struct map *m, uint32_t *n)
{
    const struct stream *v;
    uint32_t all = m->placement ? placement_streams(m->placement, &v) : 0;
    for (uint32_t i = 0; i < m->nplaced; i++)
        all += placement_streams(m->placed[i].placement, &v);
    struct stream *out = calloc((size_t)all + 1, sizeof *out);
    ASSERT(out != NULL);
    *n = 0;
    for (uint32_t i = 0; i <= m->nplaced; i++) {
        const struct placement *p = i < m->nplaced ? m->placed[i].placement : m->placement;
        if (!p || (i == m->nplaced && m->nplaced && m->placed[0].tenant <= STREAM_GROUPS)) continue; /* all are in groups */
        uint32_t k = placement_streams(p, &v);
        memcpy(out + *n, v, k * sizeof *v);
        *n += k;
    }
    return out;
}

static uint64_t hash_of(const struct map *m)
{
    uint64_t h = m->alone;
    for (uint32_t i = 0; i < m->ntaking; i++) {
        const uint64_t v[] = { h, m->taking[i].id.u, m->taking[i].zone, m->taking[i].weight };
        h = hash64(str_n(v, sizeof v));
    }
    return h;
}

static err_t place_on(const struct map_opts *o, const struct map *was, struct map *m)
{
    const struct place_node *nodes = m->taking;
    uint32_t n = m->ntaking;
    m->replicas = m->alone ? 1 : o->replicas;
    m->placed_on = hash_of(m);
    err_t e = OK;
    if (n && was && was->placement && was->replicas == m->replicas) e = placement_next(was->placement, nodes, n, &m->placement);
    else if (n) e = placement_new(nodes, n, o->partitions, m->replicas, &m->placement);
    if (e == OK && n && o->tenants && !m->alone) e = place_tenants(o, was, nodes, n, m);
    return e;
}

static err_t place(const struct map_opts *o, const struct map *was, struct map *m, mono_ns now)
{
    struct place_node *nodes = m->taking = calloc((size_t)m->n + 1, sizeof *nodes);
    ASSERT(nodes != NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        mono_ns until;
        bool takes = takes_rows(o, &m->v[i], now, &until);
        if (takes && m->v[i].state == MEMBER_DEAD && map_replaced(m->v, m->n, &m->v[i])) continue;
        if (until.ns < m->next.ns) m->next = until;
        if (takes) nodes[n++] = (struct place_node){ m->v[i].id, zone_hash(&m->v[i]), m->v[i].meta.weight };
    }
    m->ntaking = n;
    return place_on(o, was, m);
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

err_t map_of_places(const struct map_opts *o, const struct place_node *nodes, uint32_t n, bool alone, struct map **out)
{
    struct map *m = calloc(1, sizeof *m);
    ASSERT(m != NULL);
    *m = (struct map){ .refs = 1, .self = o->self, .alone = alone, .quorum = alone ? 1 : o->write_quorum, .next = MONO_NEVER };
    m->members = members_new(0, 0);
    m->v = m->members->v;
    m->taking = calloc((size_t)n + 1, sizeof *nodes);
    ASSERT(m->taking != NULL);
    memcpy(m->taking, nodes, n * sizeof *nodes);
    m->ntaking = n;
    err_t e = place_on(o, NULL, m);
    if (e == OK) *out = m;
    else map_put(m);
    return e;
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
    for (uint32_t i = 0; i < m->nplaced; i++)
        placement_free(m->placed[i].placement);
    free(m->placed);
    free(m->taking);
    free(m->forgotten);
    members_put(m->members);
    free(m);
}

const struct member *map_member(const struct map *m, node_id id)
{
    return members_find(m->members, id);
}

bool map_has_other_settings(const struct map *m, const struct member *of)
{
    const struct member *self = map_member(m, m->self);
    return self && member_is_live(of) && self->meta.settings && of->meta.settings && of->meta.settings != self->meta.settings;
}

uint32_t map_settings_differ(const struct map *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        n += map_has_other_settings(m, &m->v[i]);
    return n;
}
