/* The first step of a read: who is there, what do they have, who answers for what. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/deletions_settled.h"
#include "cluster/fanout.h"
#include "cluster/replicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASK_MS = 2000,                 /* a node that does not answer in this time is out of reach for this read */
    GRACE_MS = 100,                /* and in this one, when nothing acknowledged can be missing without it */
    LOOK_MS = 20,                  /* so often is looked, from then on */
    DISTANCE_STEP_NS = 200 * 1000, /* round trips that differ by less are alike */
};

struct ask {
    bool asked, ended, reached;
    bool out; /* what it has is not counted on, though it is this node */
    struct said said;
};
struct asking { /* all that are asked */
    struct cluster *c;
    const struct map *map;
    struct str tenant;
    struct ask *v; /* [map->n] */
    mono_ns began, looked;
};

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

/* Does a node that is reached vouch for what the others would have told? (heirs.h) */
static bool is_vouched(const struct asking *all, const struct stream *st, uint32_t w)
{
    const struct map *map = all->map;
    member_set every = (member_set)((1u << st->n) - 1), away = 0, gone = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct member *m = map_member(map, st->members[i]);
        if (!m || !all->v[m - map->v].reached) away |= (member_set)(1u << i);
        if (heirs_gone(map, &all->c->heirs, st->members[i], rt_now())) gone |= (member_set)(1u << i);
    }
    if (st->n < map_stream_quorum(map, st)) gone = every; /* closed */
    for (uint32_t i = 0; i < map->n; i++) {
        const struct vouch *v = all->v[i].reached ? vouch_list_find(&all->v[i].said.vouches, st->id) : NULL;
        if (v && vouch_suffices(st, w, away, v->with & gone)) return true;
    }
    return false;
}

/* Those that rows of the tenant are written to now; of all tenants when there is none. In the arena, or the map's. */
static const struct stream *current_streams(const struct map *map, struct str tenant, struct arena *a, uint32_t *n)
{
    const struct stream *v = NULL;
    if (tenant.n) {
        const struct map_tenants of = map_tenants_of(map, tenant);
        *n = of.placement ? placement_streams(of.placement, &v) : 0;
        return v;
    }
    struct stream *all = map_streams(map, n);
    v = arena_dup(a, all, *n * sizeof *all);
    free(all);
    return v;
}

/* May rows of the tenant be in it? Those of others are no matter to it, nor is what becomes of them. */
static bool may_hold(const struct stream *st, struct str tenant)
{
    uint64_t key = tenant.n ? stream_tenant(tenant) : 0;
    return !tenant.n || st->rows.tenant == 0 || st->rows.tenant == key || st->rows.tenant == stream_group(key);
}

static uint32_t quorum_of(const struct map *map, const struct stream *st)
{
    return MIN(map_stream_quorum(map, st), st->n);
}

/* Members that did not answer; *waiting: some of them may yet. */
static uint32_t away_of(const struct asking *all, const struct stream *st, bool *waiting)
{
    uint32_t n = 0;
    *waiting = false;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct member *m = map_member(all->map, st->members[i]);
        const struct ask *a = m ? &all->v[m - all->map->v] : NULL;
        n += !a || !a->reached;
        *waiting |= a && a->asked && !a->ended;
    }
    return n;
}

/* Would an answer of those that are left make anything complete that is not? */
static bool is_waited_for(const struct asking *all, const struct stream *st)
{
    bool waiting;
    uint32_t w = quorum_of(all->map, st);
    return away_of(all, st, &waiting) >= w && waiting && !is_vouched(all, st, w);
}

/* The least number of nodes on which something that was acknowledged may be. */
static uint32_t least_quorum(const struct cluster *c, const struct map *map)
{
    uint32_t least = MIN(map->quorum, c->tenants.others.quorum);
    for (uint32_t i = 0; i < c->tenants.n; i++)
        least = MIN(least, c->tenants.v[i].quorum);
    return least;
}

/* Does this node know of all streams now (reach.h)? *away: members that did not answer. */
static bool is_told(const struct asking *all, uint32_t *away)
{
    const struct map *map = all->map;
    bool told = atomic_load(&all->c->told);
    *away = 0;
    for (uint32_t i = 0; i < map->n; i++) {
        if (map->v[i].id.u == all->c->self.u) continue;
        told |= all->v[i].reached && all->v[i].said.told;
        *away += !all->v[i].reached;
    }
    told |= *away < least_quorum(all->c, map) && map->n - *away >= map->quorum;
    if (told) atomic_store(&all->c->told, true);
    return told;
}

static bool heard_enough(void *ctx)
{
    struct asking *all = ctx;
    struct stream *v;
    struct arena a;
    uint32_t n, ncurrent, away;
    mono_ns now = rt_now();
    if (now.ns - all->began.ns < (int64_t)GRACE_MS * NS_PER_MS || now.ns - all->looked.ns < (int64_t)LOOK_MS * NS_PER_MS) return false;
    all->looked = now;
    bool enough = is_told(all, &away);
    arena_init(&a, NULL);
    store_streams(all->c->o.store, &a, &v, &n);
    const struct stream *current = current_streams(all->map, all->tenant, &a, &ncurrent);
    for (uint32_t i = 0; i < n && enough; i++)
        enough = !may_hold(&v[i], all->tenant) || (v[i].members[0].u == all->c->self.u && v[i].n == 1) || !is_waited_for(all, &v[i]);
    for (uint32_t i = 0; i < ncurrent && enough; i++)
        enough = !is_waited_for(all, &current[i]);
    arena_deinit(&a);
    return enough;
}

static err_t ask_here(struct asking *all, struct ask *a)
{
    vouches_copy(all->c->vouches, &a->said.vouches);
    said_own_lost(all->c->o.store, &a->said);
    deletions_finished(all->c, &a->said.finished, &a->said.nfinished);
    replicate_hurry(all->c);
    a->said.life = store_epoch(all->c->o.store);
    return store_sums(all->c->o.store, &a->said.sums);
}

static void ask_one(void *ctx, uint32_t i)
{
    struct asking *all = ctx;
    struct ask *a = &all->v[i];
    const struct question q = { .forms = REACH_SUMS | REACH_ITSELF | REACH_DELETIONS };
    if (!a->asked) return;
    if (all->map->v[i].id.u == all->c->self.u) a->reached = ask_here(all, a) == OK && !a->out;
    else a->reached = reach_ask(all->c, all->map->v[i].id, &q, mono_add(rt_now(), (int64_t)ASK_MS * NS_PER_MS), &a->said) == OK;
    if (!a->reached) metric_add(M_REACH_FAILED, 1);
    a->ended = true;
}

/* All at once; the deadline and the cancel of the reader are theirs. */
static err_t ask_nodes(struct asking *all, const struct reading_of *of)
{
    const struct map *map = all->map;
    for (uint32_t i = 0; i < map->n; i++) {
        const struct member *m = &map->v[i];
        all->v[i].out = is_out(of->avoid, of->navoid, m->id);
        all->v[i].asked = m->id.u == all->c->self.u || (!all->v[i].out && member_is_live(m));
    }
    const struct fanout f = { .name = "reach", .class = RT_QUERY, .n = map->n, .ctx = all, .one = ask_one, .enough = heard_enough,
                              .every_ns = (int64_t)GRACE_MS * NS_PER_MS };
    return fanout_run(&f);
}

static uint32_t distance(const struct cluster *c, node_id id)
{
    return id.u == c->self.u ? 0 : 1 + (uint32_t)(cluster_rtt_ns(c, id) / DISTANCE_STEP_NS);
}

static bool is_wanted(const struct reading_of *of, uint64_t id)
{
    return !of->only || stream_ids_have(of->only, of->nonly, id);
}

static int by_id(const void *pa, const void *pb)
{
    uint64_t a = ((const struct stream *)pa)->id, b = ((const struct stream *)pb)->id;
    return (a > b) - (a < b);
}

static struct stream *sorted(struct arena *a, const struct stream *v, uint32_t n)
{
    struct stream *copy = arena_dup(a, v, n * sizeof *v);
    if (n > 1) qsort(copy, n, sizeof *copy, by_id);
    return copy;
}

/* All that anybody reached knows: reach_ask has made them known here. And those that are written to now: where nobody who knows one is
 * reached, it is missing all the same. The stream of this node alone counts when something was written to it. Ascending. */
static void list_streams(struct cluster *c, const struct map *map, const struct reading_of *of, const struct store_sums *mine, struct reading *r,
                         struct read_stream **out, uint32_t *n)
{
    struct stream *known, *current;
    uint32_t nknown, ncurrent, i = 0, k = 0;
    const struct stream *placed = current_streams(map, of->tenant, &r->a, &ncurrent);
    store_streams(c->o.store, &r->a, &known, &nknown);
    known = sorted(&r->a, known, nknown);
    current = sorted(&r->a, placed, ncurrent);
    *out = ARENA_ARRAY(&r->a, struct read_stream, nknown + ncurrent);
    *n = 0;
    while (i < nknown || k < ncurrent) {
        bool is_known = i < nknown && (k == ncurrent || known[i].id <= current[k].id);
        bool is_current = k < ncurrent && (i == nknown || current[k].id <= known[i].id);
        const struct stream *st = is_known ? &known[i] : &current[k];
        bool unused = !is_current && st->n == 1 && st->members[0].u == c->self.u && !store_sums_find(mine, st->id);
        i += is_known;
        k += is_current;
        if (!unused && (is_current || may_hold(st, of->tenant)) && is_wanted(of, st->id)) (*out)[(*n)++] = (struct read_stream){ .stream = st, .w = quorum_of(map, st), .current = is_current };
    }
}

static bool *bar_nodes(const struct asking *all, const struct read_stream *streams, uint32_t n, struct arena *a)
{
    const struct map *map = all->map;
    const struct said **said = ARENA_ARRAY(a, const struct said *, map->n);
    const struct stream **v = ARENA_ARRAY(a, const struct stream *, (size_t)n + 1);
    bool *barred = ARENA_ARRAY(a, bool, map->n);
    for (uint32_t i = 0; i < map->n; i++)
        said[i] = all->v[i].reached ? &all->v[i].said : NULL;
    for (uint32_t i = 0; i < n; i++)
        v[i] = streams[i].stream;
    const struct heard h = { map, &all->c->heirs, said, v, n, rt_now() };
    deletions_bar(all->c, &h, barred);
    return barred;
}

static void make_plan(const struct asking *all, const struct reading_of *of, struct reading *r)
{
    struct cluster *c = all->c;
    const struct map *map = all->map;
    struct read_node *nodes = ARENA_ARRAY(&r->a, struct read_node, map->n);
    struct read_stream *streams;
    uint32_t n, self = 0;
    bool waiting;
    while (self + 1 < map->n && map->v[self].id.u != c->self.u)
        self++;
    list_streams(c, map, of, &all->v[self].said.sums, r, &streams, &n);
    const bool *barred = bar_nodes(all, streams, n, &r->a);
    r->nodes = ARENA_ARRAY(&r->a, node_id, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        const struct member *m = &map->v[i];
        const struct ask *a = &all->v[i];
        r->nodes[i] = m->id;
        nodes[i] = (struct read_node){ .id = m->id, .reachable = a->reached, .barred = barred[i], .distance = distance(c, m->id),
                                       .healthy = m->meta.health == MEMBER_WELL && !times_avoided(of->avoid, of->navoid, m->id),
                                       .life = a->said.life, .sums = a->reached ? &a->said.sums : NULL,
                                       .lost = a->said.lost, .nlost = a->said.nlost };
    }
    for (uint32_t i = 0; i < n; i++)
        if (away_of(all, streams[i].stream, &waiting) >= streams[i].w) streams[i].vouched = is_vouched(all, streams[i].stream, streams[i].w);
    const struct read_ask ask = { nodes, map->n, streams, n, c->self.u };
    read_plan_make(&ask, &r->a, &r->plan);
}

static void judge(const struct asking *all, struct reading *r)
{
    const struct map *map = all->map;
    const struct read_plan *p = &r->plan;
    uint32_t away;
    bool told = is_told(all, &away);
    r->all_here = p->nparts == 0 || (p->nparts == 1 && r->nodes[p->parts[0].node].u == all->c->self.u && p->parts[0].nsources == 0);
    if (p->nmissing) {
        snprintf(r->incomplete, sizeof r->incomplete, "%s", p->why);
    } else if (map->n < map->quorum) {
        snprintf(r->incomplete, sizeof r->incomplete, "this node knows of %u nodes with itself, and what is acknowledged is on %u: it looks for the others", map->n, map->quorum);
    } else if (!told) {
        snprintf(r->incomplete, sizeof r->incomplete, "this node is new and was not told yet what there is: %u of %u other nodes do not answer", away, map->n - 1);
    }
    r->apart = p->naparts > 0;
    if (r->incomplete[0]) metric_add(M_REACH_INCOMPLETE, 1);
}

err_t reach_plan(struct cluster *c, const struct reading_of *of, struct reading *out)
{
    *out = (struct reading){ .all_here = true };
    arena_init(&out->a, &c->memory);
    struct map *map = cluster_map(c);
    if (map->alone) {
        map_put(map);
        return OK;
    }
    struct asking all = { .c = c, .map = map, .tenant = of->tenant, .v = ARENA_ARRAY(&out->a, struct ask, map->n), .began = rt_now() };
    for (uint32_t i = 0; i < map->n; i++)
        said_init(&all.v[i].said);
    err_t e = ask_nodes(&all, of);
    if (e == OK) {
        make_plan(&all, of, out);
        judge(&all, out);
        e = arena_check(&out->a);
    }
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < map->n; i++)
        said_deinit(&all.v[i].said);
    map_put(map);
    if (e != OK) reading_free(out);
    *err_record() = why;
    return e;
}

void reading_free(struct reading *r)
{
    arena_deinit(&r->a);
}
