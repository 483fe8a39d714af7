/* Claims and what they make of members; swim.h explains. Invariants
 *  1. v is ascending by id and holds self; order holds all others once; news holds those with is_news once.
 *  2. states counts the others. What is FORGOTTEN is in v and order and in no snapshot.
 *  3. self is ALIVE, or LEFT once leaving. */
#include "cluster/swim.h"

#include "cluster/swim_in.h"

#include <math.h>
#include <stdlib.h>

const struct swim_times swim_times_lan = {
    .probe_ns = NS_PER_S,
    .timeout_ns = 500 * NS_PER_MS,
    .gossip_ns = 200 * NS_PER_MS,
    .sync_ns = 30 * NS_PER_S,
    .forget_ns = 72 * 3600 * NS_PER_S,
    .indirect = 3,
    .fanout = 3,
    .suspicion = 4,
    .suspicion_most = 6,
    .retransmit = 4,
};

/* -- the table ----------------------------------------------------------------------------------------------- */
static uint32_t place_of(const struct swim *s, node_id id)
{
    uint32_t from = 0, to = s->n;
    while (from < to) {
        uint32_t at = from + (to - from) / 2;
        if (s->v[at]->m.id.u < id.u) from = at + 1;
        else to = at;
    }
    return from;
}

struct peer *swim_find(struct swim *s, node_id id)
{
    uint32_t at = place_of(s, id);
    return at < s->n && s->v[at]->m.id.u == id.u ? s->v[at] : NULL;
}

static void *must_realloc(void *p, size_t n)
{
    p = realloc(p, n);
    ASSERT(p);
    return p;
}

/* NULL: the table is full. The caller gives it its state. */
static struct peer *add(struct swim *s, const struct member *m)
{
    if (s->n == SWIM_MEMBERS_MAX) {
        s->counts.full++;
        return NULL;
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 8;
        s->v = must_realloc(s->v, s->cap * sizeof *s->v);
        s->order = must_realloc(s->order, s->cap * sizeof *s->order);
        s->news = must_realloc(s->news, s->cap * sizeof *s->news);
    }
    struct peer *p = calloc(1, sizeof *p);
    ASSERT(p);
    p->m = *m;
    p->m.since = s->real;
    uint32_t at = place_of(s, m->id);
    memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof *s->v);
    s->v[at] = p;
    s->n++;
    s->changed = true;
    return p;
}

/* At a random place of what is left of the round of probes. */
static void join_round(struct swim *s, struct peer *p)
{
    uint32_t at = s->at + (uint32_t)prng_below(&s->random, s->norder - s->at + 1);
    if (at < s->norder) s->order[s->norder] = s->order[at];
    s->order[at] = p;
    s->norder++;
}

static void drop_from(struct peer **v, uint32_t *n, const struct peer *p)
{
    uint32_t at = 0;
    while (at < *n && v[at] != p)
        at++;
    if (at == *n) return;
    memmove(v + at, v + at + 1, (*n - at - 1) * sizeof *v);
    --*n;
}

static void drop(struct swim *s, struct peer *p)
{
    ASSERT(p != s->self);
    drop_from(s->v, &s->n, p);
    drop_from(s->order, &s->norder, p);
    drop_from(s->news, &s->nnews, p);
    s->at = MIN(s->at, s->norder);
    s->states[p->m.state]--;
    s->changed = true;
    free(p);
}

/* -- states ---------------------------------------------------------------------------------------------------- */
void swim_news(struct swim *s, struct peer *p)
{
    p->sends = 0;
    if (p->is_news) return;
    p->is_news = true;
    s->news[s->nnews++] = p;
}

void swim_set_state(struct swim *s, struct peer *p, enum member_state state)
{
    s->changed = true;
    if (p->m.state == state) return;
    if (p != s->self) {
        s->states[p->m.state]--;
        s->states[state]++;
    }
    p->m.state = state;
    p->m.since = s->real;
    if (state == MEMBER_DEAD) s->counts.deaths++;
}

void swim_health_by(struct swim *s, int by)
{
    int64_t h = (int64_t)s->health + by;
    s->health = h < 0 ? 0 : h > SWIM_HEALTH_MAX ? SWIM_HEALTH_MAX : (uint32_t)h;
}

int swim_incarnation_cmp(const struct member *a, const struct member *b)
{
    if (a->generation != b->generation) return a->generation < b->generation ? -1 : 1;
    int c = memcmp(a->meta.gossip.bytes, b->meta.gossip.bytes, sizeof a->meta.gossip.bytes);
    if (c) return c;
    return a->version < b->version ? -1 : a->version > b->version;
}

bool swim_is_twice(const struct member *a, const struct member *b)
{
    return a->generation == b->generation && memcmp(a->meta.gossip.bytes, b->meta.gossip.bytes, sizeof a->meta.gossip.bytes) != 0;
}

void swim_superseded(struct swim *s, const struct member *by)
{
    if (!s->superseded) s->o.ops->superseded(s->o.ctx, by);
    s->superseded = true;
}

static void sync_soon(struct swim *s, const struct peer *p)
{
    if (!s->sync_with.u) s->sync_with = p->m.id;
}

/* -- suspicion --------------------------------------------------------------------------------------------------- */
/* Suspect p for one more reason. Confirmations of others are told on: as far as they count. */
void swim_accuse(struct swim *s, int64_t t, struct peer *p, node_id by)
{
    if (p->m.state == MEMBER_ALIVE) {
        swim_set_state(s, p, MEMBER_SUSPECT);
        s->counts.suspicions++;
        uint32_t others = swim_live_others(s) - 1, hoped = s->o.times.suspicion > 2 ? s->o.times.suspicion - 2 : 0;
        p->hoped = others < hoped ? 0 : MIN(hoped, (uint32_t)SWIM_ACCUSERS_MAX - 1);
        p->accused_at = t;
        p->naccusers = 0;
    }
    for (uint32_t i = 0; i < p->naccusers; i++)
        if (p->accusers[i].u == by.u) return;
    if (p->naccusers > p->hoped) return;
    p->accusers[p->naccusers++] = by;
    swim_news(s, p);
}

static int64_t patience(const struct swim *s, const struct peer *p)
{
    double scale = MAX(1.0, log10(swim_live_others(s) + 2.0)); /* N + 1 */
    double least = s->o.times.suspicion * scale * (double)s->o.times.probe_ns, most = s->o.times.suspicion_most * least;
    if (!p->hoped) return (int64_t)least;
    double share = log(p->naccusers) / log(p->hoped + 1.0); /* naccusers: the first one, and c */
    return (int64_t)MAX(least, most - share * (most - least));
}

void swim_suspicions(struct swim *s, int64_t t)
{
    for (uint32_t i = 0; i < s->n && s->states[MEMBER_SUSPECT]; i++) {
        struct peer *p = s->v[i];
        if (p->m.state != MEMBER_SUSPECT || t - p->accused_at < patience(s, p)) continue;
        swim_set_state(s, p, MEMBER_DEAD);
        p->fresh = true;
        swim_news(s, p);
    }
}

/* -- claims ---------------------------------------------------------------------------------------------------------- */
void swim_renew(struct swim *s, uint64_t beyond)
{
    s->self->m.version = MAX(s->self->m.version, beyond) + 1;
    s->changed = true;
    swim_news(s, s->self);
}

/* What others say of us. */
static void take_of_self(struct swim *s, const struct swim_claim *c)
{
    struct member *me = &s->self->m;
    if (c->m.generation < me->generation) {
        swim_news(s, s->self); /* somebody does not know this life yet */
        return;
    }
    int by_address = memcmp(c->m.meta.gossip.bytes, me->meta.gossip.bytes, sizeof me->meta.gossip.bytes);
    if (c->m.generation > me->generation || by_address > 0) {
        swim_superseded(s, &c->m);
        return;
    }
    if (by_address < 0 || s->leaving || c->m.version < me->version) return;
    if (c->m.state == MEMBER_ALIVE && c->m.version == me->version) return;
    s->counts.refutations++;
    swim_health_by(s, 1);
    swim_renew(s, c->m.version);
}

static void accuse_all(struct swim *s, int64_t t, struct peer *p, const node_id *by, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        swim_accuse(s, t, p, by[i]);
}

static void take_new(struct swim *s, int64_t t, const struct swim_claim *c)
{
    if (c->m.state == MEMBER_FORGOTTEN) return;
    bool alone = swim_live_others(s) == 0;
    struct peer *p = add(s, &c->m);
    if (!p) return;
    p->fresh = c->news;
    join_round(s, p);
    if (c->m.state == MEMBER_SUSPECT) p->m.state = MEMBER_ALIVE; /* and accused below */
    s->states[p->m.state]++;
    if (p->m.state == MEMBER_ALIVE && alone) sync_soon(s, p);
    if (c->m.state == MEMBER_SUSPECT) accuse_all(s, t, p, c->accusers, c->naccusers);
    else if (c->m.state == MEMBER_ALIVE || c->news) swim_news(s, p);
}

/* `from` said it. */
void swim_take(struct swim *s, int64_t t, const struct swim_claim *c, node_id from)
{
    if (c->m.meta.partitions != s->self->m.meta.partitions) return;
    if (c->m.id.u == s->o.self.u) {
        take_of_self(s, c);
        return;
    }
    struct peer *p = swim_find(s, c->m.id);
    if (!p) {
        take_new(s, t, c);
        return;
    }
    enum member_state state = c->m.state;
    const node_id *accusers = c->accusers;
    uint32_t n = c->naccusers;
    if (state == MEMBER_DEAD && !c->news && peer_is_live(p)) { /* see 4. of swim.h */
        state = MEMBER_SUSPECT;
        accusers = &from;
        n = 1;
    }
    int newer = swim_incarnation_cmp(&c->m, &p->m);
    if (newer < 0 || (newer == 0 && state < p->m.state)) return;
    if (newer == 0 && state == p->m.state) {
        if (state == MEMBER_SUSPECT) accuse_all(s, t, p, accusers, n);
        return;
    }
    bool came_back = !peer_is_live(p) && state <= MEMBER_SUSPECT, restarted = c->m.generation > p->m.generation;
    if (newer > 0) {
        p->m.generation = c->m.generation;
        p->m.version = c->m.version;
        p->m.meta = c->m.meta;
        p->naccusers = 0;
        if (restarted) p->m.since = s->real;
    }
    p->fresh = c->news;
    if (state == MEMBER_SUSPECT) {
        if (p->m.state != MEMBER_ALIVE) swim_set_state(s, p, MEMBER_ALIVE);
        accuse_all(s, t, p, accusers, n);
    } else {
        swim_set_state(s, p, state);
        if (c->news || state != MEMBER_DEAD) swim_news(s, p);
    }
    if (came_back) sync_soon(s, p);
}

/* -- the end of memory ------------------------------------------------------------------------------------------------- */
void swim_forget_old(struct swim *s)
{
    for (uint32_t i = s->n; i-- > 0;) {
        struct peer *p = s->v[i];
        if (p == s->self || peer_is_live(p) || s->real.ns - p->m.since.ns < s->o.times.forget_ns) continue;
        if (p->m.state == MEMBER_FORGOTTEN) drop(s, p);
        else swim_set_state(s, p, MEMBER_FORGOTTEN); /* all others do the same about now */
    }
}

err_t swim_forget(struct swim *s, mono_ns now, node_id id)
{
    (void)swim_awake(s, now);
    struct peer *p = swim_find(s, id);
    if (!p || p->m.state == MEMBER_FORGOTTEN) return err_set(ERR_NOT_FOUND, "no member %016llx", (unsigned long long)id.u);
    if (p == s->self || peer_is_live(p))
        return err_set(ERR_INVALID, "member %016llx is %s: only one that is dead or has left can be forgotten",
                       (unsigned long long)id.u, member_state_name(p->m.state));
    swim_set_state(s, p, MEMBER_FORGOTTEN);
    swim_news(s, p);
    return OK;
}

/* -- this node ------------------------------------------------------------------------------------------------------------ */
static err_t name_ok(const char *what, const char *z, size_t room)
{
    size_t n = strnlen(z, room);
    if (n == room) return err_set(ERR_INVALID, "the %s is longer than %zu bytes", what, room - 1);
    for (size_t i = 0; i < n; i++)
        if (z[i] <= ' ' || z[i] > '~') return err_set(ERR_INVALID, "the %s '%s' has other characters than printable ASCII", what, z);
    return OK;
}

static err_t meta_ok(const struct member_meta *m)
{
    TRY(name_ok("zone", m->zone, sizeof m->zone));
    TRY(name_ok("version", m->version, sizeof m->version));
    TRY(name_ok("backend", m->backend, sizeof m->backend));
    if (!m->gossip.n || !io_addr_port(&m->gossip)) return err_set(ERR_INVALID, "no gossip address to be reached at");
    return OK;
}

err_t swim_new(const struct swim_opts *o, mono_ns now, struct swim **out)
{
    TRY(meta_ok(&o->meta));
    if (!o->self.u) return err_set(ERR_INVALID, "a node needs an id to join others");
    struct swim *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->o = *o;
    prng_init(&s->random, o->seed);
    s->real = s->due = now;
    s->seq = prng_next(&s->random) >> 8;
    struct member me = { o->self, o->generation, 1, MEMBER_ALIVE, now, o->meta };
    s->self = add(s, &me);
    swim_news(s, s->self);
    int64_t t = now.ns;
    s->next_probe = t + (int64_t)prng_below(&s->random, (uint64_t)o->times.probe_ns);
    s->next_gossip = s->next_second = t;
    s->next_sync = t + (int64_t)prng_below(&s->random, (uint64_t)o->times.sync_ns);
    s->synced_at = t - o->times.sync_ns;
    s->refusals_left = SWIM_REFUSALS_A_SECOND;
    *out = s;
    return OK;
}

void swim_free(struct swim *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->v[i]);
    members_put(s->snapshot);
    free(s->v);
    free(s->order);
    free(s->news);
    free(s);
}

static bool same_but_cover(const struct member_meta *a, const struct member_meta *b)
{
    return memcmp(&a->rpc, &b->rpc, sizeof a->rpc) == 0 && strcmp(a->zone, b->zone) == 0 && strcmp(a->version, b->version) == 0 &&
           strcmp(a->backend, b->backend) == 0 && a->weight == b->weight && a->partitions == b->partitions &&
           a->health == b->health && a->http_port_base == b->http_port_base && a->gossip_version == b->gossip_version && a->settings == b->settings;
}

err_t swim_meta(struct swim *s, mono_ns now, const struct member_meta *m)
{
    int64_t t = swim_awake(s, now);
    struct member_meta *mine = &s->self->m.meta, with = *m;
    with.gossip = mine->gossip;
    TRY(meta_ok(&with));
    s->meta_waits = false;
    if (same_but_cover(mine, &with)) {
        if (mine->cover_hash == with.cover_hash && mine->disk_percent == with.disk_percent) return OK;
        if (t < s->meta_at) { /* see 9. of swim.h */
            s->meta_waits = true;
            s->meta_cover = with.cover_hash;
            return OK;
        }
    }
    *mine = with;
    s->meta_at = t + MAX(NS_PER_S, (int64_t)s->n * 50 * NS_PER_MS);
    swim_renew(s, 0);
    return OK;
}

void swim_leave(struct swim *s, mono_ns now)
{
    (void)swim_awake(s, now);
    s->leaving = true;
    swim_set_state(s, s->self, MEMBER_LEFT);
    swim_news(s, s->self);
    swim_gossip(s);
}

void swim_seed(struct swim *s, const struct io_addr *addr)
{
    if (s->nseeds == SWIM_SEEDS_MAX || memcmp(addr, &s->self->m.meta.gossip, sizeof *addr) == 0) return;
    for (uint32_t i = 0; i < s->nseeds; i++)
        if (memcmp(&s->seeds[i], addr, sizeof *addr) == 0) return;
    s->seeds[s->nseeds++] = *addr;
    if (!swim_live_others(s)) s->next_second = INT64_MIN; /* at the next step */
}

void swim_seeds_clear(struct swim *s)
{
    s->nseeds = s->seed_at = 0;
}

/* -- what others see -------------------------------------------------------------------------------------------------------- */
struct members *swim_members(struct swim *s)
{
    if (s->snapshot && !s->changed) return s->snapshot;
    members_put(s->snapshot);
    s->snapshot = members_new(s->n - s->states[MEMBER_FORGOTTEN], ++s->snapshots);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i]->m.state != MEMBER_FORGOTTEN) s->snapshot->v[n++] = s->v[i]->m;
    ASSERT(n == s->snapshot->n);
    s->changed = false;
    return s->snapshot;
}

const struct swim_counts *swim_counts(const struct swim *s)
{
    return &s->counts;
}

uint32_t swim_health(const struct swim *s)
{
    return s->health;
}

uint32_t swim_live_others(const struct swim *s)
{
    return s->states[MEMBER_ALIVE] + s->states[MEMBER_SUSPECT];
}
