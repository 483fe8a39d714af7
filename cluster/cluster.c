#include "cluster/cluster.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/tls.h"
#include "cluster/clean.h"
#include "cluster/cluster_int.h"
#include "cluster/condition.h"
#include "cluster/deletions.h"
#include "cluster/docs.h"
#include "cluster/epochs.h"
#include "cluster/handoff.h"
#include "cluster/known.h"
#include "cluster/reach.h"
#include "cluster/repair.h"
#include "cluster/replicate.h"
#include "cluster/vouches.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- calls from others ------------------------------------------------------------------------------------------- */
static err_t dispatch(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    const struct cluster_handler *h = rq->method < METHODS ? &c->o.handlers[rq->method] : NULL;
    if (!h || !h->fn) return err_set(ERR_INVALID, "this node knows no method %u", rq->method);
    return h->fn(h->ctx, rq, answer);
}

struct rpc_hello cluster_hello(const struct cluster *c)
{
    struct rpc_hello h = { .node = c->self.u, .epoch = store_epoch(c->o.store), .version_min = CLUSTER_CALLS_VERSION_LEAST, .version_max = CLUSTER_CALLS_VERSION };
    if (c->o.speaks_least) h.version_min = c->o.speaks_least;
    if (c->o.speaks_most) h.version_max = c->o.speaks_most;
    size_t n = strnlen(c->o.label, sizeof h.label - 1);
    memcpy(h.label, c->o.label, n);
    return h;
}

/* -- peers -------------------------------------------------------------------------------------------------------- */
static uint32_t peer_place(const struct cluster_core *cc, node_id id)
{
    uint32_t lo = 0;
    for (uint32_t hi = cc->npeers; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (cc->peers[mid]->id.u < id.u) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct peer *peer_find(const struct cluster_core *cc, node_id id)
{
    uint32_t at = peer_place(cc, id);
    return at < cc->npeers && cc->peers[at]->id.u == id.u ? cc->peers[at] : NULL;
}

static struct peer *peer_add(struct cluster_core *cc, const struct member *m)
{
    char host[IO_ADDR_NAME_MAX];
    const struct rpc_peer_opts o = { .addr = host, .port = io_addr_port(&m->meta.rpc), .hello = cluster_hello(cc->c), .expect_node = m->id.u,
                                     .tls = cc->c->o.tls };
    struct peer *p = calloc(1, sizeof *p);
    ASSERT(p != NULL);
    io_addr_host(&m->meta.rpc, host, sizeof host);
    *p = (struct peer){ .id = m->id, .rpc = rpc_peer_new(&o), .address = m->meta.rpc, .back = m->since };
    lane_init(&p->lane, cc->c, p);
    if (cc->npeers == cc->peers_cap) {
        cc->peers_cap = cc->peers_cap ? cc->peers_cap * 2 : 8;
        cc->peers = realloc(cc->peers, cc->peers_cap * sizeof(struct peer *));
        ASSERT(cc->peers != NULL);
    }
    uint32_t at = peer_place(cc, m->id);
    memmove(cc->peers + at + 1, cc->peers + at, (cc->npeers++ - at) * sizeof(struct peer *));
    return cc->peers[at] = p;
}

err_t peer_get(struct cluster *c, node_id id, struct peer **out)
{
    struct cluster_core *cc = core_here(c);
    struct peer *p = peer_find(cc, id);
    if (!p) {
        const struct member *m = cc->map ? map_member(cc->map, id) : NULL;
        if (!m || id.u == c->self.u) return err_set(ERR_UNAVAILABLE, "node %016" PRIx64 " is not known here", id.u);
        if (cc->npeers >= PEERS_MAX) return err_set(ERR_LIMIT, "connections to %d nodes", PEERS_MAX);
        p = peer_add(cc, m);
    }
    p->users++;
    *out = p;
    return OK;
}

void peer_hold(struct peer *p)
{
    p->users++;
}

void peer_put(struct peer *p)
{
    ASSERT(p->users > 0);
    p->users--;
}

/* To the address we know: the pause before the next attempt to connect is over. */
static void peer_again(struct peer *p)
{
    char host[IO_ADDR_NAME_MAX];
    io_addr_host(&p->address, host, sizeof host);
    rpc_peer_address(p->rpc, host, io_addr_port(&p->address));
}

err_t peer_call(struct peer *p, const struct rpc_call *call, struct buf *answer)
{
    struct rpc_peer_stats before, after;
    size_t had = answer->n;
    rpc_peer_stats(p->rpc, &before);
    err_t e = rpc_call(p->rpc, call, answer);
    if (e != ERR_UNAVAILABLE || !before.connected || !(METHODS_TWICE >> call->method & 1)) return e;
    rpc_peer_stats(p->rpc, &after);
    if (after.breaks == before.breaks) return e; /* its own word */
    metric_add(M_RPC_CALLS_AGAIN, 1);
    answer->n = had;
    if (!after.connected) peer_again(p);
    return rpc_call(p->rpc, call, answer);
}

err_t cluster_call(struct cluster *c, node_id to, const struct rpc_call *call, struct buf *answer)
{
    struct peer *p;
    TRY(peer_get(c, to, &p));
    err_t e = peer_call(p, call, answer);
    peer_put(p);
    return e;
}

/* Zeros where none was wanted yet. */
static struct rpc_peer_stats stats_of(const struct cluster_core *cc, node_id to)
{
    const struct peer *p = peer_find(cc, to);
    struct rpc_peer_stats s = { 0 };
    if (p) rpc_peer_stats(p->rpc, &s);
    return s;
}

int64_t cluster_rtt_ns(const struct cluster *c, node_id to)
{
    return stats_of(core_here(c), to).rtt_ns;
}

/* Has it come back since we looked, or another address? Then it is worth an attempt at once. */
static void peer_follow(struct peer *p, const struct member *m)
{
    bool moved = memcmp(&m->meta.rpc, &p->address, sizeof p->address) != 0;
    if (!moved && (m->state != MEMBER_ALIVE || m->since.ns == p->back.ns)) return;
    p->address = m->meta.rpc;
    p->back = m->since;
    peer_again(p);
}

/* Connections go by the newest addresses; those to nodes that nobody knows any more are closed when no call uses them. */
static void peers_follow(struct cluster_core *cc)
{
    for (uint32_t i = 0; i < cc->npeers;) {
        struct peer *p = cc->peers[i];
        const struct member *m = map_member(cc->map, p->id);
        if (m) peer_follow(p, m);
        if (m || p->users) {
            i++;
            continue;
        }
        memmove(cc->peers + i, cc->peers + i + 1, (--cc->npeers - i) * sizeof(struct peer *));
        rpc_peer_free(p->rpc);
        free(p);
        i = 0; /* it yielded */
    }
}

/* -- a core -------------------------------------------------------------------------------------------------------- */
static err_t core_start(void *arg)
{
    struct cluster *c = arg;
    struct cluster_core *cc = calloc(1, sizeof *cc);
    ASSERT(cc != NULL);
    cc->c = c;
    scope_init(&cc->sends, NULL);
    gate_init(&cc->gate);
    c->core[rt_core()] = cc;
    const struct rpc_server_opts o = { .addr = c->o.bind, .port = c->o.rpc_port, .hello = cluster_hello(c), .handler = dispatch, .ctx = c,
                                       .budget = &c->memory, .body_max = CALL_BYTES_MAX, .tls = c->o.tls };
    return rpc_server_open(&o, &cc->server);
}

/* No call comes any more, none of ours is begun. */
static err_t core_quiet(void *arg)
{
    struct cluster *c = arg;
    struct cluster_core *cc = core_here(c);
    if (!cc) return OK;
    if (cc->server) rpc_server_close(cc->server, CLOSE_GRACE_MS);
    gate_close(&cc->gate);
    replicate_last(cc);
    scope_cancel(&cc->sends);
    err_t e = scope_join(&cc->sends);
    (void)e;
    return OK;
}

static err_t core_stop(void *arg)
{
    struct cluster *c = arg;
    struct cluster_core *cc = core_here(c);
    if (!cc) return OK;
    for (uint32_t i = 0; i < cc->npeers; i++) {
        ASSERT(cc->peers[i]->users == 0);
        rpc_peer_free(cc->peers[i]->rpc);
        free(cc->peers[i]);
    }
    free(cc->peers);
    scope_deinit(&cc->sends);
    map_put(cc->map);
    earlier_drop(&cc->earlier);
    c->core[rt_core()] = NULL;
    free(cc);
    return OK;
}

static err_t call_all(struct cluster *c, rt_call_fn *fn, void *arg) MAY_YIELD
{
    void **args = calloc(c->cores, sizeof *args);
    ASSERT(args != NULL);
    for (unsigned i = 0; i < c->cores; i++)
        args[i] = arg;
    err_t e = rt_call_all(RT_MEMBERSHIP, fn, args, NULL);
    free(args);
    return e;
}

static void on_all(struct cluster *c, rt_call_fn *fn, void *arg)
{
    if (call_all(c, fn, arg) != OK) log_warn("cluster", "error=%s", err_detail());
}

/* -- maps ------------------------------------------------------------------------------------------------------------ */
struct install {
    struct cluster *c;
    struct map *map;
    struct earlier earlier;
};

static err_t install_here(void *arg)
{
    struct install *i = arg;
    struct cluster_core *cc = core_here(i->c);
    struct map *old = cc->map;
    cc->map = map_get(i->map);
    map_put(old);
    earlier_copy(&cc->earlier, &i->earlier);
    peers_follow(cc);
    return OK;
}

/* The newest members, and those of our earlier life that nobody has told of in this one: at first they are taken to live, then to be
 * dead. Until they are heard of they keep their place, or rows would go elsewhere for no reason. */
static struct members *with_known(const struct cluster *c, bool unheard_live)
{
    struct members *all = members_new(c->members->n + c->nknown, c->members->version);
    uint32_t at = 0;
    for (uint32_t i = 0, k = 0; i < c->members->n || k < c->nknown;) {
        bool heard = k == c->nknown || (i < c->members->n && c->members->v[i].id.u <= c->known[k].id.u);
        if (heard) {
            k += k < c->nknown && c->members->v[i].id.u == c->known[k].id.u;
            all->v[at++] = c->members->v[i++];
            continue;
        }
        all->v[at] = c->known[k++];
        all->v[at].state = unheard_live ? MEMBER_SUSPECT : MEMBER_DEAD;
        all->v[at++].since = c->started;
    }
    all->n = at;
    return all;
}

struct making {
    const struct map_opts *o;
    struct map *was, *map;
    struct members *members;
    mono_ns now;
};

static err_t make_map(void *arg)
{
    struct making *m = arg;
    return map_new(m->o, m->was, m->members, m->now, &m->map);
}

/* On a thread of its own when it takes long. */
static err_t map_of(struct cluster *c, struct members *members, struct map **out) MAY_YIELD
{
    struct making m = { .o = &c->map_opts, .was = core_here(c)->map ? cluster_map(c) : NULL, .members = members, .now = rt_now() };
    bool here = map_work(&c->map_opts, members->n) <= MAP_HERE_MAX;
    err_t e = here ? make_map(&m) : rt_offload(make_map, &m);
    map_put(m.was);
    *out = m.map;
    return e;
}

/* Of the newest members, on every core; *all: those of it. */
static err_t new_map(struct cluster *c, mono_ns *next, struct members **all)
{
    struct install i = { .c = c };
    mono_ns heard_by = mono_add(c->started, (int64_t)UNHEARD_MS * NS_PER_MS);
    bool unheard_live = rt_now().ns < heard_by.ns;
    *all = with_known(c, unheard_live);
    TRY(map_of(c, *all, &i.map));
    i.map->forgotten = malloc(c->nforgotten * sizeof *c->forgotten + 1);
    ASSERT(i.map->forgotten != NULL);
    memcpy(i.map->forgotten, c->forgotten, c->nforgotten * sizeof *c->forgotten);
    i.map->nforgotten = c->nforgotten;
    *next = unheard_live && heard_by.ns < i.map->next.ns ? heard_by : i.map->next;
    metric_set(M_CLUSTER_SETTINGS_DIFFER, map_settings_differ(i.map));
    for (uint32_t k = 0; k < i.map->n; k++)
        if (i.map->v[k].id.u != c->self.u && i.map->v[k].state == MEMBER_ALIVE) c->met = true;
    earlier_note(c, core_here(c)->map, i.map);
    earlier_copy(&i.earlier, &c->earlier);
    on_all(c, install_here, &i);
    earlier_drop(&i.earlier);
    earlier_save(c, i.map);
    metric_set(M_CLUSTER_MEMBERS, i.map->n);
    map_put(i.map);
    return OK;
}

struct map *cluster_map(const struct cluster *c)
{
    return map_get(core_here(c)->map);
}

const struct tenants *cluster_tenants(const struct cluster *c)
{
    return &c->tenants;
}

node_id cluster_self(const struct cluster *c)
{
    return c->self;
}

bool cluster_joined(const struct cluster *c)
{
    return c->met || !c->map_opts.seeds;
}

/* Whom we heard of and hear of no more was forgotten: it keeps its place no longer. */
static void drop_forgotten(struct cluster *c, const struct members *was)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; was && i < was->n; i++) {
        if (members_find(c->members, was->v[i].id)) continue;
        if (c->nforgotten == FORGOTTEN_MAX) memmove(c->forgotten, c->forgotten + 1, --c->nforgotten * sizeof *c->forgotten);
        c->forgotten[c->nforgotten++] = was->v[i].id;
    }
    for (uint32_t i = 0; i < c->nknown; i++)
        if (!was || !members_find(was, c->known[i].id) || members_find(c->members, c->known[i].id)) c->known[kept++] = c->known[i];
    c->nknown = kept;
}

/* From swim_io, on core 0; does not yield. */
static void on_change(void *ctx, struct members *now)
{
    struct cluster *c = ctx;
    struct members *was = c->members;
    c->members = members_get(now);
    drop_forgotten(c, was);
    members_put(was);
    event_signal(&c->changed);
}

static void on_superseded(void *ctx, const char *why)
{
    const struct cluster *c = ctx;
    if (c->o.on_stop) c->o.on_stop(c->o.ctx, why);
}

static void membership_fiber(void *arg)
{
    struct cluster *c = arg;
    mono_ns next = { 0 };
    while (!c->closing) {
        struct members *all;
        event_reset(&c->changed);
        if (new_map(c, &next, &all) != OK) log_error("cluster.map", "error=%s", err_detail());
        if (known_save(c->o.store, all, atomic_load(&c->told)) != OK) log_warn("cluster.known", "error=%s", err_detail());
        members_put(all);
        if (c->repair) repair_now(c->repair);
        docs_now(c->docs);
        event_signal(&c->earlier_due);
        if (event_wait_until(&c->changed, next) == ERR_CANCELED) return;
    }
}

/* -- start and stop ---------------------------------------------------------------------------------------------------- */
static void own_handlers(struct cluster *c)
{
    c->o.handlers[METHOD_PUT] = (struct cluster_handler){ replicate_on_put, c };
    c->o.handlers[METHOD_KNOWN] = (struct cluster_handler){ earlier_on_known, c };
    c->o.handlers[METHOD_EARLIER] = (struct cluster_handler){ earlier_on_earlier, c };
    c->o.handlers[METHOD_EPOCHS] = (struct cluster_handler){ epochs_on_ask, c };
    c->o.handlers[METHOD_CLEAN] = (struct cluster_handler){ clean_on_clean, c };
    c->o.handlers[METHOD_COVER] = (struct cluster_handler){ reach_on_cover, c };
    c->o.handlers[METHOD_PULL] = (struct cluster_handler){ reach_on_pull, c };
    c->o.handlers[METHOD_DOC_WRITE] = (struct cluster_handler){ docs_on_write, c };
    c->o.handlers[METHOD_DOC_GET] = (struct cluster_handler){ docs_on_get, c };
    c->o.handlers[METHOD_DOC_PUT] = (struct cluster_handler){ docs_on_put, c };
    c->o.handlers[METHOD_DOC_DIGEST] = (struct cluster_handler){ docs_on_digest, c };
    c->o.handlers[METHOD_DELETIONS] = (struct cluster_handler){ deletions_on_ask, c };
    c->o.handlers[METHOD_STREAM_LIST] = (struct cluster_handler){ handoff_on_list, c };
    c->o.handlers[METHOD_STREAM_READ] = (struct cluster_handler){ handoff_on_read, c };
}

static err_t own_meta(const struct cluster_opts *o, struct member_meta *out)
{
    const char *host = o->advertise[0] ? o->advertise : o->bind;
    *out = (struct member_meta){ .weight = o->weight, .partitions = o->partitions, .http_port_base = o->port_offset };
    TRY(io_addr_parse(host, o->gossip_port, &out->gossip));
    TRY(io_addr_parse(host, o->rpc_port, &out->rpc));
    out->disk_percent = MEMBER_DISK_UNKNOWN;
    snprintf(out->zone, sizeof out->zone, "%s", o->zone);
    snprintf(out->version, sizeof out->version, "%s", o->version);
    snprintf(out->backend, sizeof out->backend, "%s", o->backend);
    return OK;
}

/* The members of our earlier life. */
static err_t remember(struct cluster *c)
{
    struct arena a;
    struct member *known = NULL;
    bool told = false;
    arena_init(&a, NULL);
    err_t e = known_load(c->o.store, c->self, &a, &known, &c->nknown, &told);
    if (e != OK) c->nknown = 0;
    atomic_store(&c->told, told);
    c->known = malloc(c->nknown * sizeof *known + 1);
    ASSERT(c->known != NULL);
    if (c->nknown) memcpy(c->known, known, c->nknown * sizeof *known);
    if (c->nknown > 0) c->map_opts.seeds = true;
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static err_t join(struct cluster *c)
{
    struct swim_io_opts o = { .self = c->self, .generation = store_epoch(c->o.store), .label = c->o.label, .bind = c->o.bind, .port = c->o.gossip_port,
                              .seeds = c->o.seeds, .version_least = c->o.speaks_least, .version_most = c->o.speaks_most, .known = c->known, .nknown = c->nknown,
                              .on_change = on_change, .on_superseded = on_superseded, .ctx = c };
    if (c->o.keys) o.keys = *c->o.keys;
    TRY(own_meta(&c->o, &c->meta));
    c->meta.settings = tenants_digest(&c->tenants);
    o.meta = c->meta;
    TRY(swim_io_open(&o, &c->swim));
    if (!c->members) c->members = members_get(swim_io_members(c->swim));
    return OK;
}

static err_t start(struct cluster *c)
{
    TRY(remember(c));
    TRY(epochs_check(c));
    TRY(docs_open(c, &c->docs));
    TRY(deletions_open(c, &c->deletions));
    TRY(call_all(c, core_start, c));
    TRY(join(c));
    TRY(earlier_load(c));
    mono_ns next;
    struct members *all;
    err_t e = new_map(c, &next, &all);
    members_put(all);
    TRY(e);
    const struct fiber_opts fo = { .name = "members", .class = RT_MEMBERSHIP };
    TRY(fiber_start(&c->scope, &fo, membership_fiber, c));
    TRY(docs_start(c->docs, &c->scope));
    TRY(deletions_start(c->deletions, &c->scope));
    TRY(handoff_start(c, &c->scope, &c->handoff));
    TRY(condition_start(c, &c->scope));
    TRY(earlier_start(c, &c->scope));
    return repair_start(c, &c->scope, &c->repair);
}

err_t cluster_open(const struct cluster_opts *o, struct cluster **out)
{
    ASSERT(rt_core() == 0);
    struct cluster *c = calloc(1, sizeof *c);
    ASSERT(c != NULL);
    err_t told = tenants_parse(&c->tenants, o->tenants ? o->tenants : "", o->replicas, o->write_quorum, o->tenant_nodes);
    if (told != OK) {
        tenants_deinit(&c->tenants);
        tls_free(o->tls);
        free(c);
        return told;
    }
    *c = (struct cluster){ .tenants = c->tenants, .o = *o, .self = store_node(o->store), .cores = rt_cores() };
    c->core = calloc(c->cores, sizeof(struct cluster_core *));
    ASSERT(c->core != NULL);
    c->map_opts = (struct map_opts){ .self = c->self, .partitions = o->partitions, .replicas = o->replicas, .write_quorum = o->write_quorum,
                                     .dead_after_ns = o->dead_after_ms * NS_PER_MS, .seeds = o->seeds[0] != 0, .tenants = &c->tenants };
    c->started = rt_now();
    c->heirs = (struct heirs_opts){ .dead_after_ns = c->map_opts.dead_after_ns, .replicas = o->replicas, .up_since = c->started };
    c->vouches = vouches_open(o->store);
    c->agreed = agreed_new();
    c->forgotten = calloc(FORGOTTEN_MAX, sizeof *c->forgotten);
    ASSERT(c->forgotten != NULL);
    budget_init(&c->memory, "cluster.memory", NULL, o->memory, ERR_OVERLOAD);
    event_init(&c->changed);
    event_init(&c->earlier_due);
    scope_init(&c->scope, NULL);
    own_handlers(c);
    err_t e = start(c);
    if (e != OK) {
        struct err_record why = *err_record();
        cluster_close(c);
        *err_record() = why;
        return e;
    }
    *out = c;
    return OK;
}

void cluster_close(struct cluster *c)
{
    c->closing = true;
    scope_cancel(&c->scope);
    err_t e = scope_join(&c->scope);
    (void)e;
    scope_deinit(&c->scope);
    if (c->swim && c->drain.drained) swim_io_leave(c->swim);
    on_all(c, core_quiet, c);
    if (c->swim) swim_io_close(c->swim);
    on_all(c, core_stop, c);
    repair_free(c->repair);
    deletions_free(c->deletions);
    docs_free(c->docs);
    handoff_free(c->handoff);
    vouches_free(c->vouches);
    agreed_free(c->agreed);
    earlier_drop(&c->earlier);
    members_put(c->members);
    tenants_deinit(&c->tenants);
    free(c->known);
    free(c->forgotten);
    tls_free(c->o.tls);
    free(c->core);
    free(c);
}

void cluster_keys(struct cluster *c, const struct swim_keys *keys)
{
    ASSERT(rt_core() == 0);
    swim_io_keys(c->swim, keys);
}

/* -- for people ---------------------------------------------------------------------------------------------------------- */
void cluster_opinions(struct cluster *c, struct arena *a, struct cluster_opinion **out, uint32_t *n)
{
    const struct cluster_core *cc = core_here(c);
    const struct map *map = cc->map;
    *out = ARENA_ARRAY(a, struct cluster_opinion, map->n);
    *n = map->n;
    for (uint32_t i = 0; i < map->n; i++) {
        struct cluster_opinion *op = &(*out)[i];
        op->member = map->v[i];
        const struct rpc_peer_stats s = stats_of(cc, map->v[i].id);
        op->connected = s.connected;
        op->rtt_ns = s.rtt_ns;
        op->calls = s.calls;
        op->failed = s.failed;
    }
}
