/* The first step of a read: who is there, what do they have, who answers for what. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/reach.h"
#include "cluster/replicate.h"

#include <stdio.h>
#include <string.h>

enum {
    ASK_MS = 2000,                 /* a node that does not answer in this time is out of reach for this read */
    GRACE_MS = 100,                /* and in this one, when the answer is complete without those that are left */
    DISTANCE_STEP_NS = 200 * 1000, /* round trips that differ by less are alike */
};

struct asking { /* all that are asked */
    struct event answered;
    uint32_t open;
};
struct ask {
    struct cluster *c;
    struct asking *all;
    node_id id;
    bool reached;
    struct said said;
};

static void ask_fiber(void *arg)
{
    struct ask *a = arg;
    a->reached = reach_ask(a->c, a->id, NULL, 0, mono_add(rt_now(), (int64_t)ASK_MS * NS_PER_MS), &a->said) == OK;
    if (!a->reached) metric_add(M_REACH_FAILED, 1);
    a->all->open--;
    event_signal(&a->all->answered);
}

static uint32_t times_avoided(const node_id *avoid, uint32_t n, node_id id)
{
    uint32_t times = 0;
    for (uint32_t i = 0; i < n; i++)
        times += avoid[i].u == id.u;
    return times;
}

/* It failed twice: what it has is not counted on. One that failed once may have lacked something, or be busy. */
static bool is_out(const node_id *avoid, uint32_t n, node_id id)
{
    return times_avoided(avoid, n, id) > 1;
}

static bool is_asked(const struct cluster *c, const struct member *m, const node_id *avoid, uint32_t navoid)
{
    return m->id.u != c->self.u && member_is_live(m) && !is_out(avoid, navoid, m->id);
}

/* Until all have answered, or all but so few that nothing acknowledged can be missing: those get a moment more. */
static err_t wait_answers(struct asking *all, uint32_t spare, struct scope *scope)
{
    mono_ns end = { 0 };
    while (all->open > 0) {
        if (end.ns == 0 && all->open <= spare) end = mono_add(rt_now(), (int64_t)GRACE_MS * NS_PER_MS);
        event_reset(&all->answered);
        err_t e = event_wait_until(&all->answered, end.ns ? end : MONO_NEVER);
        if (e == ERR_CANCELED) return e;
        if (e == ERR_TIMEOUT) break; /* of the moment, or of the read, which its next wait will tell */
    }
    scope_cancel(scope);
    return OK;
}

/* All at once; the deadline and the cancel of the reader are theirs. */
static err_t ask_nodes(struct cluster *c, const struct map *map, struct ask *asks, const node_id *avoid, uint32_t navoid)
{
    const struct fiber_opts fo = { .name = "reach", .class = RT_QUERY, .deadline = fiber_deadline() };
    struct asking all = { .open = 0 };
    struct scope scope;
    uint32_t away = 0;
    err_t e = OK;
    event_init(&all.answered);
    scope_init(&scope, fiber_scope());
    for (uint32_t i = 0; e == OK && i < map->n; i++) {
        asks[i].all = &all;
        bool asked = is_asked(c, &map->v[i], avoid, navoid);
        away += !asked && map->v[i].id.u != c->self.u;
        if (!asked) continue;
        e = fiber_start(&scope, &fo, ask_fiber, &asks[i]);
        all.open += e == OK;
    }
    for (uint32_t i = 0; e == OK && i < map->n; i++) {
        if (map->v[i].id.u != c->self.u) continue;
        vouches_copy(c->vouches, &asks[i].said.vouches);
        said_own_lost(c->o.store, &asks[i].said);
        replicate_hurry(c);
        e = store_cover(c->o.store, NULL, 0, &asks[i].said.have);
        asks[i].reached = e == OK && !is_out(avoid, navoid, c->self);
    }
    if (e == OK) e = wait_answers(&all, map->quorum > away + 1 ? map->quorum - 1 - away : 0, &scope);
    if (e != OK) scope_cancel(&scope);
    struct err_record why = *err_record();
    err_t joined = scope_join(&scope);
    scope_deinit(&scope);
    *err_record() = why;
    return e != OK ? e : joined;
}

static uint32_t distance(const struct cluster *c, node_id id)
{
    return id.u == c->self.u ? 0 : 1 + (uint32_t)(cluster_rtt_ns(c, id) / DISTANCE_STEP_NS);
}

static bool is_current(const struct map *map, uint64_t stream)
{
    const struct stream *v;
    uint32_t n = map->placement ? placement_streams(map->placement, &v) : 0;
    for (uint32_t i = 0; i < n; i++)
        if (v[i].id == stream) return true;
    return false;
}

/* May rows of the tenant be in it? Those of others are no matter to it, nor is what becomes of them. */
static bool may_hold(const struct stream *st, struct str tenant)
{
    return !tenant.n || st->rows.tenant == 0 || st->rows.tenant == stream_tenant(tenant);
}

/* All that anybody reached knows: reach_ask has made them known here. And those that are written to now: where nobody who knows one is
 * reached, it is missing all the same. The stream of this node alone counts when something was written to it. */
static struct stream *list_streams(struct cluster *c, const struct map *map, struct str tenant, const struct cover *mine, struct arena *a, uint32_t *n)
{
    struct stream *v;
    const struct stream *current;
    uint32_t stored, ncurrent = map->placement ? placement_streams(map->placement, &current) : 0;
    store_streams(c->o.store, a, &v, &stored);
    struct stream *all = ARENA_ARRAY(a, struct stream, stored + ncurrent);
    *n = 0;
    for (uint32_t i = 0; i < stored; i++)
        if (may_hold(&v[i], tenant) && (v[i].n > 1 || v[i].members[0].u != c->self.u || cover_has_stream(mine, v[i].id))) all[(*n)++] = v[i];
    stored = *n;
    for (uint32_t i = 0; i < ncurrent; i++) {
        bool listed = false;
        for (uint32_t k = 0; k < stored && !listed; k++)
            listed = all[k].id == current[i].id;
        if (!listed) all[(*n)++] = current[i];
    }
    return all;
}

/* Does a node that is reached vouch for what the others would have told? (heirs.h) */
static bool is_vouched(const struct cluster *c, const struct map *map, const struct ask *asks, const struct stream *st, uint32_t w)
{
    member_set all = (member_set)((1u << st->n) - 1), away = 0, gone = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct member *m = map_member(map, st->members[i]);
        if (!m || !asks[m - map->v].reached) away |= (member_set)(1u << i);
        if (heirs_gone(map, &c->heirs, st->members[i], rt_now())) gone |= (member_set)(1u << i);
    }
    if (st->n < map->quorum) gone = all; /* closed */
    for (uint32_t i = 0; i < map->n; i++) {
        const struct vouch *v = asks[i].reached ? vouch_list_find(&asks[i].said.vouches, st->id) : NULL;
        if (v && vouch_suffices(st, w, away, v->with & gone)) return true;
    }
    return false;
}

static void make_plan(struct cluster *c, const struct map *map, struct str tenant, const struct ask *asks, const node_id *avoid, uint32_t navoid, struct reading *r)
{
    struct read_node *nodes = ARENA_ARRAY(&r->a, struct read_node, map->n);
    uint32_t n, self = 0;
    while (self + 1 < map->n && map->v[self].id.u != c->self.u)
        self++;
    struct stream *v = list_streams(c, map, tenant, &asks[self].said.have, &r->a, &n);
    struct read_stream *streams = ARENA_ARRAY(&r->a, struct read_stream, n);
    r->nodes = ARENA_ARRAY(&r->a, node_id, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        const struct member *m = &map->v[i];
        r->nodes[i] = m->id;
        nodes[i] = (struct read_node){ .id = m->id, .reachable = asks[i].reached, .distance = distance(c, m->id),
                                       .healthy = m->meta.health == MEMBER_WELL && !times_avoided(avoid, navoid, m->id),
                                       .cover = asks[i].reached ? &asks[i].said.have : NULL,
                                       .lost = asks[i].said.lost, .nlost = asks[i].said.nlost };
    }
    for (uint32_t i = 0; i < n; i++)
        streams[i] = (struct read_stream){ .stream = &v[i], .w = MIN(map->quorum, v[i].n), .current = is_current(map, v[i].id),
                                           .vouched = is_vouched(c, map, asks, &v[i], MIN(map->quorum, v[i].n)) };
    const struct read_ask ask = { nodes, map->n, streams, n, c->self.u };
    read_plan_make(&ask, &r->a, &r->plan);
}

static void judge(struct cluster *c, const struct map *map, struct reading *r)
{
    const struct read_plan *p = &r->plan;
    r->all_here = p->nparts == 0 || (p->nparts == 1 && r->nodes[p->parts[0].node].u == c->self.u && cover_empty(&p->parts[0].lacks));
    if (p->nmissing) {
        snprintf(r->incomplete, sizeof r->incomplete, "%s", p->why);
    } else if (map->n < map->quorum) {
        snprintf(r->incomplete, sizeof r->incomplete, "this node knows of %u nodes with itself, and what is acknowledged is on %u: it looks for the others", map->n, map->quorum);
    }
    r->apart = p->naparts > 0;
    if (r->incomplete[0]) metric_add(M_REACH_INCOMPLETE, 1);
}

err_t reach_plan(struct cluster *c, struct str tenant, const node_id *avoid, uint32_t navoid, struct reading *out)
{
    *out = (struct reading){ .all_here = true };
    arena_init(&out->a, &c->memory);
    struct map *map = cluster_map(c);
    if (map->alone) {
        map_put(map);
        return OK;
    }
    struct ask *asks = ARENA_ARRAY(&out->a, struct ask, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        asks[i] = (struct ask){ .c = c, .id = map->v[i].id };
        said_init(&asks[i].said);
    }
    err_t e = ask_nodes(c, map, asks, avoid, navoid);
    if (e == OK) {
        make_plan(c, map, tenant, asks, avoid, navoid, out);
        judge(c, map, out);
        e = arena_check(&out->a);
    }
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < map->n; i++)
        said_deinit(&asks[i].said);
    map_put(map);
    if (e != OK) reading_free(out);
    *err_record() = why;
    return e;
}

void reading_free(struct reading *r)
{
    read_plan_deinit(&r->plan);
    arena_deinit(&r->a);
}
