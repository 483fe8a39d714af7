#include "cluster/replicate.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "storage/batch_split.h"

#include <stdio.h>
#include <stdlib.h>

/* A batch on its way to the members of its stream. It lives until the last of them answered, which may be after the ack. */
struct piece {
    struct cluster *c;
    uint32_t refs;
    struct stream stream;
    struct batch_name name;
    struct buf bytes; /* of the call: stream and name, then the request's own */
    size_t request;   /* where those begin */
    uint32_t acks, failures, quorum;
    struct event settled; /* the quorum is reached, or cannot be any more */
    err_t error;
    char why[ERR_DETAIL_MAX];
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
}

/* -- to another node ---------------------------------------------------------------------------------------- */
struct send {
    struct piece *piece;
    struct peer *peer;
};

static void send_fiber(void *arg)
{
    struct send *s = arg;
    struct piece *p = s->piece;
    const struct rpc_call call = { .method = METHOD_PUT, .class = RT_REPLICATION, .body = buf_view(&p->bytes), .answer_max = 64,
                                   .deadline = mono_add(rt_now(), (int64_t)PUT_TIMEOUT_MS * NS_PER_MS) };
    struct buf none;
    buf_init(&none, 64, NULL);
    err_t e = peer_call(s->peer, &call, &none);
    buf_deinit(&none);
    answered(p, e);
    if (e != OK) metric_add(M_REPLICATE_FAILED, 1);
    s->peer->behind -= (int64_t)p->bytes.n;
    peer_put(s->peer);
    piece_put(p);
    free(s);
}

static err_t start_send(struct piece *p, node_id to)
{
    struct cluster_core *cc = core_here(p->c);
    struct peer *peer;
    TRY(peer_get(p->c, to, &peer));
    if (peer->behind + (int64_t)p->bytes.n > REPLICATE_BEHIND_MAX && peer->behind > 0) {
        peer_put(peer);
        return err_set(ERR_OVERLOAD, "node %016llx is %lld bytes behind", (unsigned long long)to.u, (long long)peer->behind);
    }
    struct send *s = malloc(sizeof *s);
    ASSERT(s != NULL);
    *s = (struct send){ p, peer };
    const struct fiber_opts fo = { .name = "replicate", .class = RT_REPLICATION };
    err_t e = fiber_start(&cc->sends, &fo, send_fiber, s);
    if (e != OK) {
        peer_put(peer);
        free(s);
        return e;
    }
    peer->behind += (int64_t)p->bytes.n;
    p->refs++;
    return OK;
}

/* -- one piece ------------------------------------------------------------------------------------------------ */
static err_t encode(struct piece *p, struct batch *const *batches, uint32_t n)
{
    const struct request_head h = { .key = request_key(batches, n), .wall_ms = rt_wall().ns / NS_PER_MS, .nbatches = n, .name = p->name };
    stream_put_bytes(&p->stream, &p->bytes);
    p->request = p->bytes.n;
    request_encode(&h, batches, NULL, &p->bytes);
    return buf_check(&p->bytes);
}

static err_t put_here(struct piece *p, struct batch *const *batches, uint32_t n)
{
    struct str all = buf_view(&p->bytes);
    const struct store_request rq = { .name = p->name, .bytes = str_sub(all, p->request, all.n), .batches = batches, .n = n };
    return store_put(p->c->o.store, &rq);
}

static err_t begin(struct cluster *c, const struct stream *st, uint32_t quorum, struct batch *const *batches, uint32_t n, struct piece **out)
{
    TRY(store_stream_add(c->o.store, st));
    struct piece *p = piece_new(c, st, quorum);
    store_name_next(c->o.store, st->id, &p->name);
    err_t e = encode(p, batches, n);
    if (e != OK) {
        piece_put(p);
        return e;
    }
    for (uint32_t i = 0; i < st->n; i++) {
        if (st->members[i].u == c->self.u) continue;
        e = start_send(p, st->members[i]);
        if (e != OK) answered(p, e);
    }
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
/* The others' first, so that their disks work while ours does. */
static err_t run(struct cluster *c, const struct map *map, const struct stream *streams, const struct batch_parts *parts, struct arena *a)
{
    struct piece **pieces = ARENA_ARRAY(a, struct piece *, parts->n);
    uint32_t began = 0;
    err_t e = OK;
    for (; e == OK && began < parts->n; began += e == OK) {
        const struct batch_part *p = &parts->parts[began];
        e = begin(c, &streams[p->stream], map->quorum, p->batches, p->n, &pieces[began]);
    }
    for (uint32_t i = 0; i < began; i++)
        if (stream_has(&pieces[i]->stream, c->self)) answered(pieces[i], put_here(pieces[i], parts->parts[i].batches, parts->parts[i].n));
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
static err_t enough_members(const struct map *map, const struct stream *streams, const struct batch_parts *parts)
{
    for (uint32_t i = 0; i < parts->n; i++)
        if (streams[parts->parts[i].stream].n < map->quorum)
            return err_set(ERR_UNAVAILABLE, "this node knows of %u nodes that take these rows, %u are wanted", streams[parts->parts[i].stream].n,
                           map->quorum);
    return OK;
}

static err_t append(struct cluster *c, const struct map *map, struct batch *const *batches, uint32_t n, struct arena *a)
{
    if (!map->placement) return err_set(ERR_UNAVAILABLE, "no node of the cluster takes rows: all are leaving or gone");
    const struct stream *streams;
    const struct batch_cut cut = { c->o.partitions, placement_map(map->placement), placement_streams(map->placement, &streams), NULL };
    struct batch_parts parts;
    TRY(batch_split(batches, n, &cut, a, &c->memory, &parts));
    err_t e = enough_members(map, streams, &parts);
    if (e == OK) e = run(c, map, streams, &parts, a);
    struct err_record why = *err_record();
    batch_parts_release(&parts);
    *err_record() = why;
    return e;
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

err_t replicate_on_put(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    (void)answer;
    struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    struct stream st;
    TRY(stream_get_bytes(&in, &st));
    struct store_request put = { .bytes = bytes_in_raw(&in, bytes_in_left(&in)) };
    struct request_reader r;
    TRY(request_open(put.bytes, &r));
    put.name = r.head.name;
    if (put.name.stream != st.id) return err_set(ERR_CORRUPT, "a request of another stream than it came for");
    TRY(store_stream_add(c->o.store, &st));
    metric_add(M_REPLICATE_RECEIVED_BYTES, (int64_t)put.bytes.n);
    return store_put(c->o.store, &put);
}
