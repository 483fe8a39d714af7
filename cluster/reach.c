#include "cluster/reach.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/deletions.h"
#include "cluster/fanout.h"
#include "cluster/replicate.h"
#include "storage/mend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REACH_WAIT_MS = 20, REACH_AGAIN_MS = 100, ROOM_WAIT_MS = 20, ROOM_WAITS_MAX = 250, PULL_NEXT_MS = 100 };

/* -- METHOD_COVER --------------------------------------------------------------------------------------------- */
/* Those that anything was written to, as far as this node knows: nodes know the streams of themselves from their first start, and of one
 * that was never alone nobody has to ask. */
static void say_streams(struct store *s, uint64_t known, struct arena *a, struct said *out)
{
    struct stream *v;
    uint32_t n;
    bool same = known == store_streams_sum(s);
    store_streams(s, a, &v, &n);
    out->streams = malloc(((size_t)n + 1) * sizeof *v);
    ASSERT(out->streams != NULL);
    for (uint32_t i = 0; i < n; i++)
        if (!stream_is_lone(&v[i]) ? !same : store_sums_find(&out->sums, v[i].id) != NULL) out->streams[out->nstreams++] = v[i];
}

/* They are looked at after the sums, whose version is the older one: it promises less. */
static err_t say_names(struct cluster *c, const struct question *q, struct stream_since *streams, struct cover *out)
{
    uint64_t version;
    if (q->n == 0) return store_cover(c->o.store, NULL, 0, out);
    for (uint32_t i = 0; i < q->n && q->life != store_epoch(c->o.store); i++)
        streams[i].version = 0;
    return store_cover_since(c->o.store, streams, q->n, out, &version);
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

static err_t say(struct cluster *c, const struct question *q, struct stream_since *streams, struct arena *a, struct said *out)
{
    TRY(store_sums(c->o.store, &out->sums));
    if (q->forms & REACH_NAMES) TRY(say_names(c, q, streams, &out->have));
    say_streams(c->o.store, q->known, a, out);
    out->life = store_epoch(c->o.store);
    vouches_copy(c->vouches, &out->vouches);
    said_own_lost(c->o.store, out);
    if (q->forms & REACH_DELETIONS) deletions_finished(c, &out->finished, &out->nfinished);
    out->alone = !core_here(c)->map || core_here(c)->map->alone;
    out->told = atomic_load(&c->told);
    return OK;
}

err_t reach_on_cover(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    struct stream_since *streams;
    struct question q;
    struct said says;
    struct arena a;
    replicate_hurry(c);
    arena_init(&a, NULL);
    said_init(&says);
    err_t e = question_get(&in, &a, &q, &streams);
    if (e == OK) e = say(c, &q, streams, &a, &says);
    if (e == OK) said_put(&says, q.forms, answer);
    if (e == OK) e = buf_check(answer);
    struct err_record why = *err_record();
    said_deinit(&says);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t reach_ask(struct cluster *c, node_id node, const struct question *q, mono_ns deadline, struct said *out)
{
    struct buf ask, answer;
    struct question asked = *q;
    buf_init(&ask, CALL_BYTES_MAX, NULL);
    buf_init(&answer, CALL_BYTES_MAX, &c->memory);
    asked.known = store_streams_sum(c->o.store);
    question_put(&asked, &ask);
    const struct rpc_call call = { .method = METHOD_COVER, .class = RT_QUERY, .body = buf_view(&ask), .answer_max = CALL_BYTES_MAX, .deadline = deadline };
    err_t e = cluster_call(c, node, &call, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    if (e == OK) e = said_get(&in, q->forms, out);
    for (uint32_t i = 0; e == OK && i < out->nstreams; i++)
        e = store_stream_add(c->o.store, &out->streams[i]);
    if (e == OK) metric_add(M_REACH_BYTES, (int64_t)(ask.n + answer.n));
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
    uint64_t bytes_max = MIN(bytes_in_varint(&in), (uint64_t)PULL_BYTES), digest = deletions_digest(c);
    if (e == OK && in.bad) e = err_set(ERR_CORRUPT, "a request for what is missing is cut");
    bytes_out_u64(answer, digest);
    if (e == OK) e = store_pull(c->o.store, &want, bytes_max, add_pulled, answer);
    if (e == OK && deletions_digest(c) != digest) e = err_set(ERR_UNAVAILABLE, "this node made a deletion meanwhile");
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

static err_t put_pulled(struct cluster *c, node_id from, uint64_t digest, struct str bytes, const struct cover *want, struct pulled *got)
{
    bool differ;
    if (got->yields) TRY(wait_for_room(c));
    struct store_request put = { .bytes = bytes };
    struct request_reader r;
    TRY(request_open(bytes, &r));
    put.name = r.head.name;
    if (!cover_has(want, &put.name)) return err_set(ERR_CORRUPT, "a node sent a request that was not asked for");
    err_t e = deletions_put(c, from, digest, &put, &differ);
    got->refused = e == ERR_NOSPC || e == ERR_OVERLOAD;
    TRY(e);
    if (differ) return err_set(ERR_UNAVAILABLE, "node %016" PRIx64 " has not made the deletions that this one has made: it is told", from.u);
    metric_add(M_REPAIR_REQUESTS, 1);
    metric_add(M_REPAIR_BYTES, (int64_t)bytes.n);
    got->requests++;
    return OK;
}

static err_t pull(struct cluster *c, node_id from, const struct cover *want, mono_ns deadline, struct pulled *got)
{
    mono_ns latest = mono_add(rt_now(), (int64_t)PUT_TIMEOUT_MS * NS_PER_MS);
    struct buf ask, answer;
    buf_init(&ask, CALL_BYTES_MAX, NULL);
    buf_init(&answer, CALL_BYTES_MAX, &c->memory);
    cover_put(want, &ask);
    buf_varint(&ask, PULL_BYTES);
    const struct rpc_call call = { .method = METHOD_PULL, .class = RT_MAINTENANCE, .body = buf_view(&ask), .answer_max = CALL_BYTES_MAX,
                                   .deadline = deadline.ns < latest.ns ? deadline : latest };
    err_t e = cluster_call(c, from, &call, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    uint64_t digest = bytes_in_u64(&in);
    while (e == OK && bytes_in_left(&in) > 0) {
        struct str one = bytes_in_str(&in);
        e = in.bad ? err_set(ERR_CORRUPT, "an answer with requests is cut") : put_pulled(c, from, digest, one, want, got);
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
    err_t e = pull(c, from, want, MONO_NEVER, &p);
    *got = p.requests;
    return e;
}

/* -- having what is needed --------------------------------------------------------------------------------------- */
static err_t missing_here(struct cluster *c, const struct cover *need, struct cover *out)
{
    struct cover have;
    uint64_t *ids = malloc(((size_t)need->n + 1) * sizeof *ids);
    ASSERT(ids != NULL);
    for (uint32_t i = 0; i < need->n; i++)
        ids[i] = need->streams[i].id;
    cover_init(&have);
    err_t e = store_cover(c->o.store, ids, need->n, &have);
    if (e == OK) cover_minus(need, &have, out);
    struct err_record why = *err_record();
    cover_deinit(&have);
    free(ids);
    *err_record() = why;
    return e;
}

struct pulling { /* from several */
    struct cluster *c;
    const struct cover *missing;
    mono_ns deadline;
    uint64_t left;    /* as they say what they gave: two may give the same */
    node_id *from;
    bool refused;     /* by our own store */
    struct err_record why;
};

static void pull_one(void *ctx, uint32_t i)
{
    struct pulling *p = ctx;
    struct pulled got = { 0 };
    err_t e = pull(p->c, p->from[i], p->missing, p->deadline, &got);
    p->left -= MIN(p->left, got.requests);
    if (e == OK || !got.refused) return;
    p->refused = true;
    p->why = *err_record();
}

static bool pulled_enough(void *ctx)
{
    const struct pulling *p = ctx;
    return p->left == 0 || p->refused;
}

static bool is_member_of_any(const struct stream *v, uint32_t n, const struct cover *missing, node_id id)
{
    for (uint32_t i = 0; i < n; i++)
        if (stream_has(&v[i], id) && cover_has_stream(missing, v[i].id)) return true;
    return false;
}

/* Those that may have it: members of the streams first, the others behind them; a dead one nowhere. */
static uint32_t whom_to_ask(struct cluster *c, const struct map *map, const struct cover *missing, struct arena *a, node_id **out)
{
    struct stream *v;
    uint32_t nstreams, n = 0, others = 0;
    store_streams(c->o.store, a, &v, &nstreams);
    *out = ARENA_RAW(a, node_id, 2 * (size_t)map->n + 1);
    for (uint32_t i = 0; i < map->n; i++) {
        const struct member *m = &map->v[i];
        if (m->id.u == c->self.u || m->state == MEMBER_DEAD || m->state == MEMBER_LEFT) continue;
        if (is_member_of_any(v, nstreams, missing, m->id)) (*out)[n++] = m->id;
        else (*out)[map->n + others++] = m->id;
    }
    memmove(*out + n, *out + map->n, others * sizeof **out);
    return n + others;
}

/* Asks the others for what is missing, one after another, the next one at once when one has nothing more and after PULL_NEXT_MS when it is
 * silent; what they do not have they leave out. ERR_UNAVAILABLE: they gave it, and our store refused. */
static err_t pull_from_all(struct cluster *c, const struct cover *missing, mono_ns deadline)
{
    struct arena a;
    struct map *map = cluster_map(c);
    struct pulling p = { .c = c, .missing = missing, .deadline = deadline, .left = cover_count(missing) };
    arena_init(&a, NULL);
    const struct fanout f = { .name = "pull", .class = RT_QUERY, .n = whom_to_ask(c, map, missing, &a, &p.from), .ctx = &p, .one = pull_one,
                              .enough = pulled_enough, .step_ns = (int64_t)PULL_NEXT_MS * NS_PER_MS };
    err_t e = fanout_run(&f);
    if (e == OK && p.refused) {
        *err_record() = p.why;
        e = err_set(ERR_UNAVAILABLE, "%" PRIu64 " requests are not here and cannot be taken: %s", p.left, err_detail());
    }
    struct err_record why = *err_record();
    arena_deinit(&a);
    map_put(map);
    *err_record() = why;
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
            e = pull_from_all(c, &missing, deadline);
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
