#include "cluster/replicate.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/deletions.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LAST_MS = 500,            /* at the end, for what is on its way */
    NEAR_NS = NS_PER_MS,      /* a member is near whose calls take this and twice the nearest's at most */
    BEHIND_WELL = 4 << 20,    /* bytes on their way to a member that keeps up */
    AGAIN_MAX = 3,            /* times that a piece is sent again, to a member that has made other deletions */
};

struct piece;
struct sending { /* a piece, to one node */
    struct lane_item item;
    struct piece *piece;
    struct peer *peer;
    bool over;
    unsigned again;
    struct buf renewed; /* the bytes with what this node has made by now; those that others are sent stay as they are */
};

/* A batch on its way to the members of its stream. It lives until the last of them answered, which may be after the ack. */
struct piece {
    struct cluster *c;
    uint32_t refs;
    struct stream stream;
    struct batch_name name;
    struct buf bytes; /* of a call: length, digest of deletions, stream, then the request's own */
    size_t digest, request; /* where these begin */
    uint64_t made;    /* deletions_made when it got its name */
    uint32_t acks, failures, quorum;
    struct event settled; /* the quorum is reached, or cannot be any more */
    err_t error;
    char why[ERR_DETAIL_MAX];
    uint32_t nto;
    struct sending to[STREAM_MEMBERS_MAX];
};

static struct piece *piece_new(struct cluster *c, const struct stream *st, uint32_t quorum)
{
    struct piece *p = calloc(1, sizeof *p);
    ASSERT(p != NULL);
    *p = (struct piece){ .c = c, .refs = 1, .stream = *st, .quorum = quorum };
    buf_init(&p->bytes, CALL_BYTES_MAX, &c->memory);
    event_init(&p->settled);
    return p;
}

static void piece_put(struct piece *p)
{
    if (--p->refs) return;
    buf_deinit(&p->bytes);
    free(p);
}

static bool reached(const struct piece *p)
{
    return p->acks >= p->quorum;
}

/* A node has answered. The error that tells a client to slow down is worth more than one that tells it a node is away. */
static void answered(struct piece *p, err_t e)
{
    if (e == OK) {
        p->acks++;
    } else {
        p->failures++;
        if (p->error == OK || e == ERR_OVERLOAD) {
            p->error = e;
            snprintf(p->why, sizeof p->why, "%s", err_detail());
        }
    }
    if (reached(p) || p->failures + p->quorum > p->stream.n) event_signal(&p->settled);
    if (e == OK || reached(p)) return;
    for (uint32_t i = 0; i < p->nto; i++)
        if (!p->to[i].over) lane_hurry(&p->to[i].peer->lane);
}

/* -- to other nodes ------------------------------------------------------------------------------------------ */
static void ended(struct sending *s, err_t e)
{
    struct piece *p = s->piece;
    s->over = true;
    buf_deinit(&s->renewed);
    if (e != OK) metric_add(M_REPLICATE_FAILED, 1);
    s->peer->behind -= (int64_t)p->bytes.n;
    answered(p, e);
    peer_put(s->peer);
    piece_put(p);
}

static err_t renew(struct sending *s) MAY_YIELD
{
    const struct piece *p = s->piece;
    struct str was = buf_view(&p->bytes);
    TRY(deletions_meet(p->c, s->peer->id, 0));
    if (deletions_made(p->c) != p->made) return err_set(ERR_UNAVAILABLE, "a deletion that others have made came here meanwhile: what is written now may go with it");
    buf_clear(&s->renewed);
    size_t begin = lane_begin(&s->renewed);
    bytes_out_u64(&s->renewed, deletions_digest(p->c));
    buf_str(&s->renewed, str_sub(was, p->digest + sizeof(uint64_t), was.n));
    lane_end(&s->renewed, begin);
    s->item.bytes = buf_view(&s->renewed);
    return buf_check(&s->renewed);
}

static void again_fiber(void *arg)
{
    struct sending *s = arg;
    err_t e = renew(s);
    if (e == OK) lane_put(&s->peer->lane, &s->item, true);
    else ended(s, e);
}

static void sent(struct lane_item *it, err_t e)
{
    struct sending *s = CONTAINER_OF(it, struct sending, item);
    const struct fiber_opts fo = { .name = "replicate.again", .class = RT_REPLICATION };
    if (e == PUT_DIFFERS && s->again++ < AGAIN_MAX && fiber_start(&core_here(s->piece->c)->sends, &fo, again_fiber, s) == OK) return;
    if (e == PUT_DIFFERS) e = err_set(ERR_UNAVAILABLE, "node %016llx has made other deletions than this one", (unsigned long long)s->peer->id.u);
    ended(s, e);
}

/* Members beside us that can be asked, into p->to; the others have answered with an error. */
static void find_peers(struct piece *p)
{
    uint32_t from = 0;
    while (from < p->stream.n && p->stream.members[from].u < p->c->self.u)
        from++;
    for (uint32_t i = 0; i < p->stream.n; i++) {
        node_id to = p->stream.members[(from + i) % p->stream.n];
        struct peer *peer;
        if (to.u == p->c->self.u) continue;
        err_t e = peer_get(p->c, to, &peer);
        if (e == OK && peer->behind + (int64_t)p->bytes.n > REPLICATE_BEHIND_MAX && peer->behind > 0) {
            e = err_set(ERR_OVERLOAD, "node %016llx is %lld bytes behind", (unsigned long long)to.u, (long long)peer->behind);
            peer_put(peer);
        }
        if (e != OK) {
            answered(p, e);
            continue;
        }
        struct sending *s = &p->to[p->nto++];
        *s = (struct sending){ .item = { .bytes = buf_view(&p->bytes), .done = sent }, .piece = p, .peer = peer };
        buf_init(&s->renewed, CALL_BYTES_MAX, &p->c->memory);
    }
}

/* What a call to it takes, if it is to be asked first; INT64_MAX: it is not well. */
static int64_t pace(const struct map *map, const struct peer *peer)
{
    const struct member *m = map_member(map, peer->id);
    struct rpc_peer_stats s;
    if (!m || m->state != MEMBER_ALIVE || m->meta.health != MEMBER_WELL || peer->behind > BEHIND_WELL) return INT64_MAX;
    rpc_peer_stats(peer->rpc, &s);
    return s.connected ? s.rtt_ns : INT64_MAX;
}

/* Which of p->to are asked first: hurry[i]. All, where too few are well. */
static void choose(const struct piece *p, const struct map *map, bool *hurry)
{
    uint32_t wanted = p->quorum - (stream_has(&p->stream, p->c->self) ? 1 : 0);
    int64_t paces[STREAM_MEMBERS_MAX], nearest = INT64_MAX;
    for (uint32_t i = 0; i < p->nto; i++) {
        paces[i] = pace(map, p->to[i].peer);
        nearest = MIN(nearest, paces[i]);
        hurry[i] = false;
    }
    for (unsigned far = 0; far < 2; far++)
        for (uint32_t i = 0; i < p->nto && wanted > 0; i++) {
            bool fit = paces[i] != INT64_MAX && (far || paces[i] <= 2 * nearest + NEAR_NS);
            if (hurry[i] || !fit) continue;
            hurry[i] = true;
            wanted--;
        }
    for (uint32_t i = 0; i < p->nto && wanted > 0; i++)
        hurry[i] = true;
}

static void send_all(struct piece *p, const struct map *map)
{
    bool hurry[STREAM_MEMBERS_MAX];
    find_peers(p);
    choose(p, map, hurry);
    p->refs += p->nto;
    for (uint32_t i = 0; i < p->nto; i++)
        p->to[i].peer->behind += (int64_t)p->bytes.n;
    for (uint32_t i = 0; i < p->nto; i++)
        lane_put(&p->to[i].peer->lane, &p->to[i].item, hurry[i] || p->failures > 0);
}

/* -- one piece ------------------------------------------------------------------------------------------------ */
static err_t encode(struct piece *p, uint64_t digest, struct batch *const *batches, uint32_t n)
{
    const struct request_head h = { .key = request_key(batches, n), .wall_ms = rt_wall().ns / NS_PER_MS, .nbatches = n, .name = p->name };
    size_t begin = lane_begin(&p->bytes);
    p->digest = p->bytes.n;
    bytes_out_u64(&p->bytes, digest);
    stream_put_bytes(&p->stream, &p->bytes);
    p->request = p->bytes.n;
    request_encode(&h, batches, NULL, &p->bytes);
    lane_end(&p->bytes, begin);
    return buf_check(&p->bytes);
}

static err_t put_here(struct piece *p, struct batch *const *batches, uint32_t n)
{
    struct str all = buf_view(&p->bytes);
    const struct store_request rq = { .name = p->name, .bytes = str_sub(all, p->request, all.n), .batches = batches, .n = n };
    return store_put(p->c->o.store, &rq);
}

static err_t begin(struct cluster *c, const struct map *map, const struct stream *st, uint64_t digest, struct batch *const *batches, uint32_t n,
                   struct piece **out)
{
    TRY(store_stream_add(c->o.store, st));
    struct piece *p = piece_new(c, st, map_stream_quorum(map, st));
    p->made = deletions_made(c);
    store_name_next(c->o.store, st->id, &p->name);
    err_t e = encode(p, digest, batches, n);
    if (e != OK) {
        piece_put(p);
        return e;
    }
    send_all(p, map);
    *out = p;
    return OK;
}

static err_t finish(struct piece *p, err_t waited)
{
    err_t e = waited;
    if (e == OK && !reached(p)) {
        e = p->error == ERR_OVERLOAD ? ERR_OVERLOAD : ERR_UNAVAILABLE;
        e = err_set(e, "stored on %u of %u nodes, %u are wanted: %s", p->acks, p->stream.n, p->quorum, p->why);
        metric_add(M_REPLICATE_NO_QUORUM, 1);
    }
    struct err_record why = *err_record();
    piece_put(p);
    *err_record() = why;
    return e;
}

/* -- a request ------------------------------------------------------------------------------------------------- */
/* The others' first, so that their disks work while ours does. No deletion is applied here between a request's name and its place in our
 * store (deletions.h). */
static err_t begin_all(struct cluster *c, const struct map *map, const struct route *r, struct piece **pieces, uint32_t *began)
{
    uint64_t digest;
    err_t e = deletions_enter(c, &digest);
    TRY(e);
    for (; e == OK && *began < r->n; *began += e == OK) {
        const struct route_piece *p = &r->v[*began];
        e = begin(c, map, p->stream, digest, p->batches, p->n, &pieces[*began]);
    }
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < *began; i++)
        if (stream_has(&pieces[i]->stream, c->self)) answered(pieces[i], put_here(pieces[i], r->v[i].batches, r->v[i].n));
    deletions_leave(c);
    *err_record() = why;
    return e;
}

static err_t run(struct cluster *c, const struct map *map, const struct route *r, struct arena *a)
{
    struct piece **pieces = ARENA_ARRAY(a, struct piece *, (size_t)r->n + 1);
    uint32_t began = 0;
    TRY(arena_check(a));
    err_t e = begin_all(c, map, r, pieces, &began);
    struct err_record why = *err_record(); /* of the first error */
    for (uint32_t i = 0; i < began; i++) {
        err_t one = finish(pieces[i], event_wait(&pieces[i]->settled));
        if (e != OK || one == OK) continue;
        e = one;
        why = *err_record();
    }
    *err_record() = why;
    return e;
}

/* A node that has found fewer others than it needs stores nothing: the rows could not be acknowledged, and would lie in a stream that
 * their retry does not go to. */
static err_t enough_members(const struct map *map, const struct route *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const struct stream *st = r->v[i].stream;
        if (st->n < map_stream_quorum(map, st))
            return err_set(ERR_UNAVAILABLE, "this node knows of %u nodes that take these rows, %u are wanted", st->n, map_stream_quorum(map, st));
    }
    return OK;
}

/* Batches of one tenant. */
static err_t append_of(struct cluster *c, const struct map *map, struct batch *const *batches, uint32_t n, struct arena *a)
{
    struct route r;
    err_t e = route_find(c, map, batches, n, a, &r);
    if (e == OK) e = enough_members(map, &r);
    if (e == OK) e = run(c, map, &r, a);
    struct err_record why = *err_record();
    route_release(&r);
    *err_record() = why;
    return e;
}

static err_t append(struct cluster *c, const struct map *map, struct batch *const *batches, uint32_t n, struct arena *a)
{
    for (uint32_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && str_eq(batches[to]->tenant, batches[from]->tenant);)
            to++;
        TRY(append_of(c, map, batches + from, to - from, a));
    }
    return OK;
}

err_t replicate_append(struct cluster *c, struct store *s, struct batch *const *batches, uint32_t n)
{
    if (!c || n == 0) return store_append(s, batches, n);
    struct cluster_core *cc = core_here(c);
    if (cc->map->alone) return store_append(s, batches, n);
    if (!gate_enter(&cc->gate)) return err_set(ERR_UNAVAILABLE, "the node is stopping");
    struct map *map = map_get(cc->map);
    struct arena a;
    arena_init(&a, &c->memory);
    err_t e = append(c, map, batches, n, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    map_put(map);
    gate_leave(&cc->gate);
    *err_record() = why;
    return e;
}

/* -- waiting pieces ------------------------------------------------------------------------------------------------ */
static err_t hurry_here(void *arg)
{
    struct cluster_core *cc = core_here(arg);
    for (uint32_t i = 0; cc && i < cc->npeers; i++)
        lane_hurry(&cc->peers[i]->lane);
    return OK;
}

void replicate_hurry(struct cluster *c)
{
    if (atomic_load_explicit(&c->gathering, memory_order_relaxed) == 0) return;
    for (unsigned i = 0; i < c->cores; i++)
        if (rt_call(i, RT_REPLICATION, hurry_here, c) != OK) return; /* they go soon anyway */
}

static bool all_idle(const struct cluster_core *cc)
{
    for (uint32_t i = 0; i < cc->npeers; i++)
        if (!lane_idle(&cc->peers[i]->lane)) return false;
    return true;
}

void replicate_last(struct cluster_core *cc)
{
    mono_ns end = mono_add(rt_now(), (int64_t)LAST_MS * NS_PER_MS);
    if (hurry_here(cc->c) != OK) return;
    while (!all_idle(cc) && rt_now().ns < end.ns && fiber_sleep(NS_PER_MS) == OK)
        ;
    for (uint32_t i = 0; i < cc->npeers; i++)
        lane_close(&cc->peers[i]->lane);
}

/* -- the other side -------------------------------------------------------------------------------------------------- */
static err_t put_one(struct cluster *c, node_id from, struct str bytes) MAY_YIELD
{
    struct bytes_in in = bytes_in_of(bytes);
    struct stream st;
    uint64_t digest = bytes_in_u64(&in);
    bool differ;
    TRY(stream_get_bytes(&in, &st));
    struct store_request put = { .bytes = bytes_in_raw(&in, bytes_in_left(&in)) };
    struct request_reader r;
    TRY(request_open(put.bytes, &r));
    put.name = r.head.name;
    if (put.name.stream != st.id) return err_set(ERR_CORRUPT, "a request of another stream than it came for");
    TRY(store_stream_add(c->o.store, &st));
    metric_add(M_REPLICATE_RECEIVED_BYTES, (int64_t)put.bytes.n);
    TRY(deletions_put(c, from, digest, &put, &differ));
    return differ ? err_set(PUT_DIFFERS, "other deletions were made here than where the request comes from") : OK;
}

struct putting { /* one of several */
    struct cluster *c;
    node_id from;
    struct str bytes;
    err_t result;
    char why[LANE_DETAIL_MAX + 1];
};

static void put_result(struct putting *p, err_t e)
{
    p->result = e;
    if (e != OK) snprintf(p->why, sizeof p->why, "%.*s", LANE_DETAIL_MAX, err_detail());
}

static void put_fiber(void *arg)
{
    struct putting *p = arg;
    put_result(p, put_one(p->c, p->from, p->bytes));
}

/* Side by side, so that the log takes them as one group. */
static err_t put_several(struct cluster *c, node_id from, const struct str *requests, uint32_t n, struct buf *answer) MAY_YIELD
{
    const struct fiber_opts fo = { .name = "put", .class = RT_REPLICATION, .deadline = fiber_deadline() };
    struct putting *all = calloc(n, sizeof *all);
    struct scope scope;
    bool failed = false;
    ASSERT(all != NULL);
    scope_init(&scope, fiber_scope());
    for (uint32_t i = 0; i < n; i++) {
        all[i] = (struct putting){ .c = c, .from = from, .bytes = requests[i] };
        err_t e = fiber_start(&scope, &fo, put_fiber, &all[i]);
        if (e != OK) put_result(&all[i], e);
    }
    err_t e = scope_join(&scope);
    scope_deinit(&scope);
    for (uint32_t i = 0; i < n; i++)
        failed |= all[i].result != OK;
    for (uint32_t i = 0; failed && i < n; i++)
        lane_result_put(all[i].result, all[i].why, answer);
    free(all);
    return e;
}

err_t replicate_on_put(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct str requests[LANE_REQUESTS];
    uint32_t n;
    TRY(lane_requests(rq->body, requests, &n));
    const node_id from = { rq->peer_node };
    return n == 1 ? put_one(ctx, from, requests[0]) : put_several(ctx, from, requests, n, answer);
}
