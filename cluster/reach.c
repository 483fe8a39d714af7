#include "cluster/reach.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/replicate.h"
#include "storage/mend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REACH_WAIT_MS = 20, REACH_AGAIN_MS = 100, ROOM_WAIT_MS = 20, ROOM_WAITS_MAX = 250, ASK_STREAMS_MAX = 65536 };

/* -- METHOD_COVER --------------------------------------------------------------------------------------------- */
/* Those that anything was written to, as far as this node knows: nodes know the streams of themselves from their first start, and of one
 * that was never alone nobody has to ask. */
static void answer_streams(struct store *s, const struct cover *have, struct arena *a, struct buf *answer)
{
    struct stream *v;
    uint32_t n, used = 0;
    store_streams(s, a, &v, &n);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].n > 1 || cover_has_stream(have, v[i].id)) v[used++] = v[i];
    buf_varint(answer, used);
    for (uint32_t i = 0; i < used; i++)
        stream_put_bytes(&v[i], answer);
}

static err_t get_ids(struct bytes_in *in, struct arena *a, uint64_t **out, uint32_t *n)
{
    *n = bytes_in_count(in, 8);
    if (*n > ASK_STREAMS_MAX) return err_set(ERR_LIMIT, "%u streams are asked for, at most %d", *n, ASK_STREAMS_MAX);
    *out = ARENA_RAW(a, uint64_t, *n + 1);
    for (uint32_t i = 0; i < *n; i++)
        (*out)[i] = bytes_in_u64(in);
    return in->bad ? err_set(ERR_CORRUPT, "a question about streams is cut") : arena_check(a);
}

void said_init(struct said *s)
{
    *s = (struct said){ 0 };
    cover_init(&s->have);
}

void said_deinit(struct said *s)
{
    cover_deinit(&s->have);
    vouch_list_deinit(&s->vouches);
    free(s->lost);
    s->lost = NULL;
    s->nlost = 0;
}

bool said_lost(const struct said *s, uint64_t stream)
{
    for (uint32_t i = 0; i < s->nlost; i++)
        if (s->lost[i] == stream) return true;
    return false;
}

static void answer_lost(struct store *s, struct arena *a, struct buf *answer)
{
    uint64_t *ids;
    uint32_t n;
    mend_streams(s, a, &ids, &n);
    buf_varint(answer, n);
    for (uint32_t i = 0; i < n; i++)
        bytes_out_u64(answer, ids[i]);
}

void said_own_lost(struct store *store, struct said *s)
{
    struct arena a;
    uint64_t *ids;
    arena_init(&a, NULL);
    mend_streams(store, &a, &ids, &s->nlost);
    s->lost = calloc((size_t)s->nlost + 1, sizeof *s->lost);
    ASSERT(s->lost != NULL);
    if (s->nlost) memcpy(s->lost, ids, s->nlost * sizeof *ids);
    arena_deinit(&a);
}

static err_t get_lost(struct bytes_in *in, struct said *out)
{
    uint32_t n = bytes_in_count(in, 8);
    out->lost = calloc((size_t)n + 1, sizeof *out->lost);
    ASSERT(out->lost != NULL);
    for (; out->nlost < n; out->nlost++) {
        out->lost[out->nlost] = bytes_in_u64(in);
        if (out->nlost > 0 && out->lost[out->nlost] <= out->lost[out->nlost - 1]) return err_set(ERR_CORRUPT, "lost streams are not in order");
    }
    return OK;
}

static void answer_vouches(struct cluster *c, struct buf *answer)
{
    struct vouch_list l = { 0 };
    vouches_copy(c->vouches, &l);
    vouch_list_put(&l, answer);
    vouch_list_deinit(&l);
    buf_byte(answer, !core_here(c)->map || core_here(c)->map->alone);
}

err_t reach_on_cover(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    struct cover have, asked;
    struct arena a;
    uint64_t *ids;
    uint32_t n;
    replicate_hurry(c);
    arena_init(&a, NULL);
    cover_init(&have);
    cover_init(&asked);
    err_t e = get_ids(&in, &a, &ids, &n);
    if (e == OK) e = store_cover(c->o.store, NULL, 0, &have);
    if (e == OK) {
        answer_streams(c->o.store, &have, &a, answer);
        cover_pick(&have, ids, n, &asked);
        cover_put(n ? &asked : &have, answer);
        answer_vouches(c, answer);
        answer_lost(c->o.store, &a, answer);
        e = buf_check(answer);
    }
    struct err_record why = *err_record();
    cover_deinit(&asked);
    cover_deinit(&have);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static err_t learn_streams(struct cluster *c, struct bytes_in *in) MAY_YIELD
{
    uint32_t n = bytes_in_count(in, 34);
    for (uint32_t i = 0; i < n; i++) {
        struct stream st;
        TRY(stream_get_bytes(in, &st));
        TRY(store_stream_add(c->o.store, &st));
    }
    return in->bad ? err_set(ERR_CORRUPT, "a list of streams is cut") : OK;
}

err_t reach_ask(struct cluster *c, node_id node, const uint64_t *streams, uint32_t n, mono_ns deadline, struct said *out)
{
    struct buf ask, answer;
    buf_init(&ask, CALL_BYTES_MAX, NULL);
    buf_init(&answer, CALL_BYTES_MAX, &c->memory);
    buf_varint(&ask, n);
    for (uint32_t i = 0; i < n; i++)
        bytes_out_u64(&ask, streams[i]);
    const struct rpc_call call = { .method = METHOD_COVER, .class = RT_QUERY, .body = buf_view(&ask), .answer_max = CALL_BYTES_MAX, .deadline = deadline };
    err_t e = cluster_call(c, node, &call, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    if (e == OK) e = learn_streams(c, &in);
    if (e == OK) e = cover_get(&in, COVER_INTERVALS_MAX, &out->have);
    if (e == OK) e = vouch_list_get(&in, &out->vouches);
    if (e == OK) out->alone = bytes_in_u8(&in) != 0;
    if (e == OK) e = get_lost(&in, out);
    if (e == OK && in.bad) e = err_set(ERR_CORRUPT, "what a node says of itself is cut");
    struct err_record why = *err_record();
    buf_deinit(&ask);
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

/* -- METHOD_PULL ---------------------------------------------------------------------------------------------- */
static err_t add_pulled(void *ctx, const struct batch_name *name, struct str bytes)
{
    (void)name; /* the bytes say it */
    bytes_out_str(ctx, bytes);
    return buf_check(ctx);
}

err_t reach_on_pull(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    struct cover want;
    cover_init(&want);
    err_t e = cover_get(&in, COVER_INTERVALS_MAX, &want);
    uint64_t bytes_max = MIN(bytes_in_varint(&in), (uint64_t)PULL_BYTES);
    if (e == OK && in.bad) e = err_set(ERR_CORRUPT, "a request for what is missing is cut");
    if (e == OK) e = store_pull(c->o.store, &want, bytes_max, add_pulled, answer);
    struct err_record why = *err_record();
    cover_deinit(&want);
    *err_record() = why;
    return e;
}

struct pulled {
    bool yields;  /* to what clients write: it waits for room */
    uint64_t requests;
    bool refused; /* by our own store: the error is its */
};

/* Half of the memtables' memory is for what clients write alone. */
static err_t wait_for_room(const struct cluster *c)
{
    for (unsigned waits = 0; !store_has_room(c->o.store); waits++) {
        if (c->closing) return err_set(ERR_CANCELED, "the node is stopping");
        if (waits == ROOM_WAITS_MAX) return err_set(ERR_OVERLOAD, "memtables were over half full for %d s: what others have is fetched later",
                                                    ROOM_WAITS_MAX * ROOM_WAIT_MS / 1000);
        if (waits == 0) metric_add(M_REPAIR_WAITS, 1);
        TRY(fiber_sleep((int64_t)ROOM_WAIT_MS * NS_PER_MS));
    }
    return OK;
}

static err_t put_pulled(struct cluster *c, struct str bytes, const struct cover *want, struct pulled *got)
{
    if (got->yields) TRY(wait_for_room(c));
    struct store_request put = { .bytes = bytes };
    struct request_reader r;
    TRY(request_open(bytes, &r));
    put.name = r.head.name;
    if (!cover_has(want, &put.name)) return err_set(ERR_CORRUPT, "a node sent a request that was not asked for");
    err_t e = store_put(c->o.store, &put);
    got->refused = e == ERR_NOSPC || e == ERR_OVERLOAD;
    TRY(e);
    metric_add(M_REPAIR_REQUESTS, 1);
    metric_add(M_REPAIR_BYTES, (int64_t)bytes.n);
    got->requests++;
    return OK;
}

static err_t pull(struct cluster *c, node_id from, const struct cover *want, struct pulled *got)
{
    struct buf ask, answer;
    buf_init(&ask, CALL_BYTES_MAX, NULL);
    buf_init(&answer, CALL_BYTES_MAX, &c->memory);
    cover_put(want, &ask);
    buf_varint(&ask, PULL_BYTES);
    const struct rpc_call call = { .method = METHOD_PULL, .class = RT_MAINTENANCE, .body = buf_view(&ask), .answer_max = CALL_BYTES_MAX,
                                   .deadline = mono_add(rt_now(), (int64_t)PUT_TIMEOUT_MS * NS_PER_MS) };
    err_t e = cluster_call(c, from, &call, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    while (e == OK && bytes_in_left(&in) > 0) {
        struct str one = bytes_in_str(&in);
        e = in.bad ? err_set(ERR_CORRUPT, "an answer with requests is cut") : put_pulled(c, one, want, got);
    }
    struct err_record why = *err_record();
    buf_deinit(&ask);
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

err_t reach_pull(struct cluster *c, node_id from, const struct cover *want, uint64_t *got)
{
    struct pulled p = { .yields = true };
    err_t e = pull(c, from, want, &p);
    *got = p.requests;
    return e;
}

/* -- having what is needed --------------------------------------------------------------------------------------- */
static err_t missing_here(struct cluster *c, const struct cover *need, struct cover *out)
{
    struct cover have;
    cover_init(&have);
    err_t e = store_cover(c->o.store, NULL, 0, &have);
    if (e == OK) cover_minus(need, &have, out);
    struct err_record why = *err_record();
    cover_deinit(&have);
    *err_record() = why;
    return e;
}

/* Asks all others for what is missing; what they do not have they leave out. ERR_UNAVAILABLE: they gave it, and our store refused. */
static err_t pull_from_all(struct cluster *c, const struct cover *missing)
{
    struct map *map = cluster_map(c);
    uint64_t left = cover_count(missing);
    err_t e = OK;
    for (uint32_t i = 0; e == OK && i < map->n && left > 0; i++) {
        const struct member *m = &map->v[i];
        if (m->id.u == c->self.u || m->state == MEMBER_DEAD || m->state == MEMBER_LEFT) continue;
        struct pulled got = { 0 };
        if (pull(c, m->id, missing, &got) == OK) left -= MIN(left, got.requests);
        if (got.refused) e = err_set(ERR_UNAVAILABLE, "%" PRIu64 " requests are not here and cannot be taken: %s", left, err_detail());
    }
    map_put(map);
    return e;
}

static err_t gave_up(const struct cover *missing)
{
    struct cover_iter it = { 0 };
    struct cover_run r = { 0 };
    cover_next(missing, &it, &r);
    return err_set(ERR_UNAVAILABLE, "%" PRIu64 " requests are not here and nobody gave them, the first %" PRIu64 " of node %016" PRIx64 " in its life %" PRIu64,
                   cover_count(missing), r.first, r.origin.u, r.epoch);
}

err_t reach_here(struct cluster *c, const struct cover *need, mono_ns deadline)
{
    mono_ns soon = mono_add(rt_now(), (int64_t)REACH_WAIT_MS * NS_PER_MS);
    err_t e = store_cover_wait(c->o.store, need, soon.ns < deadline.ns ? soon : deadline);
    while (e == ERR_TIMEOUT) {
        struct cover missing;
        cover_init(&missing);
        e = missing_here(c, need, &missing);
        if (e == OK && !cover_empty(&missing)) {
            metric_add(M_REACH_PULLS, 1);
            e = pull_from_all(c, &missing);
            mono_ns again = mono_add(rt_now(), (int64_t)REACH_AGAIN_MS * NS_PER_MS);
            if (e == OK) e = store_cover_wait(c->o.store, need, again.ns < deadline.ns ? again : deadline);
            if (e == ERR_TIMEOUT && rt_now().ns >= deadline.ns) e = gave_up(&missing);
        }
        struct err_record why = *err_record();
        cover_deinit(&missing);
        *err_record() = why;
    }
    return e;
}
