#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/earlier.h"
#include "cluster/fanout.h"

#include <string.h>

enum { KNOWN_MS = 300, TOLD_MS = 1000, QUESTION_BYTES = 24 };

struct question { /* a piece of a cut */
    const struct stream *stream;
    hash128 key;
    bool known;
    uint32_t holders;
};
struct cut {
    struct map_tenants of;
    const struct stream *streams;
    uint32_t nstreams, n;
    const uint32_t *stream_of;
    struct question *v; /* [n] */
    uint32_t *of_stream; /* [nstreams]: 1 + the piece; 0: no row is of it */
};
struct looking {
    struct cluster *c;
    const struct map *map;
    struct batch *const *batches;
    uint32_t nbatches;
    struct arena *a;
    uint32_t ncuts, nquestions;
    struct cut cuts[EARLIER_MAX + 1]; /* the first is that of now */
    node_id *ask;       /* [nask] */
    uint32_t nask;
    uint8_t *answers;   /* [nask][nquestions] */
};

/* -- cuts ---------------------------------------------------------------------------------------------------- */

static err_t split(const struct looking *l, const struct cut *t, const uint32_t *stream_of, bool keys, struct batch_parts *out)
{
    const struct batch_cut cut = { .partitions = l->c->o.partitions, .stream_of = stream_of, .nstreams = t->nstreams + (stream_of != t->stream_of), .keys = keys };
    return batch_split(l->batches, l->nbatches, &cut, l->a, &l->c->memory, out);
}

static bool cut_of(const struct looking *l, const struct map *map, struct cut *out)
{
    *out = (struct cut){ .of = map_tenants_of(map, l->batches[0]->tenant) };
    if (!out->of.placement) return false;
    out->nstreams = placement_streams(out->of.placement, &out->streams);
    out->stream_of = placement_map(out->of.placement);
    return true;
}

static bool is_asked_already(const struct looking *l, const struct question *q)
{
    for (uint32_t i = 0; i < l->ncuts; i++)
        for (uint32_t k = 0; k < l->cuts[i].n; k++)
            if (l->cuts[i].v[k].stream->id == q->stream->id && hash128_eq(l->cuts[i].v[k].key, q->key)) return true;
    return false;
}

/* One that has nothing of its own says nothing, nor one of too many pieces. */
static err_t add_cut(struct looking *l, const struct map *map)
{
    struct cut *t = &l->cuts[l->ncuts];
    struct batch_parts parts;
    bool own = false;
    if (!cut_of(l, map, t)) return OK;
    TRY(split(l, t, t->stream_of, true, &parts));
    t->v = ARENA_ARRAY(l->a, struct question, (size_t)parts.n + 1);
    t->of_stream = ARENA_ARRAY(l->a, uint32_t, t->nstreams);
    for (uint32_t i = 0; i < parts.n; i++) {
        const struct batch_part *p = &parts.parts[i];
        t->v[i] = (struct question){ .stream = &t->streams[p->stream], .key = request_key(p->batches, p->n) };
        t->of_stream[p->stream] = i + 1;
        own |= !is_asked_already(l, &t->v[i]);
    }
    t->n = parts.n;
    batch_parts_release(&parts);
    if (!own || l->nquestions + t->n > EARLIER_QUESTIONS_MAX) return arena_check(l->a);
    l->nquestions += t->n;
    l->ncuts++;
    return arena_check(l->a);
}

/* -- who is asked -------------------------------------------------------------------------------------------- */

static bool is_live(const struct looking *l, node_id id)
{
    const struct member *m = map_member(l->map, id);
    return id.u == l->c->self.u || (m && member_is_live(m));
}

static void ask_too(struct looking *l, node_id id)
{
    for (uint32_t i = 0; i < l->nask; i++)
        if (l->ask[i].u == id.u) return;
    if (l->nask < l->map->n && is_live(l, id)) l->ask[l->nask++] = id;
}

/* Can it be acknowledged there? */
static bool is_writable(const struct looking *l, const struct stream *st)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < st->n; i++)
        live += is_live(l, st->members[i]);
    return live >= map_stream_quorum(l->map, st);
}

static void find_asked(struct looking *l)
{
    node_id heirs[STREAM_MEMBERS_MAX];
    l->ask = ARENA_ARRAY(l->a, node_id, (size_t)l->map->n + 1);
    for (uint32_t i = 0; i < l->ncuts; i++)
        for (uint32_t k = 0; k < l->cuts[i].n; k++) {
            const struct stream *st = l->cuts[i].v[k].stream;
            for (uint32_t m = 0; m < st->n; m++)
                ask_too(l, st->members[m]);
            uint32_t n = is_writable(l, st) ? 0 : heirs_list(l->map, &l->c->heirs, st, rt_now(), heirs);
            for (uint32_t m = 0; m < n; m++)
                ask_too(l, heirs[m]);
        }
}

/* -- answers ------------------------------------------------------------------------------------------------- */

static void put_questions(const struct looking *l, struct buf *out)
{
    buf_varint(out, l->nquestions);
    for (uint32_t i = 0; i < l->ncuts; i++)
        for (uint32_t k = 0; k < l->cuts[i].n; k++) {
            const struct question *q = &l->cuts[i].v[k];
            bytes_out_u64(out, q->stream->id);
            bytes_out_u64(out, q->key.lo);
            bytes_out_u64(out, q->key.hi);
        }
}

static err_t answer(const struct cluster *c, struct str questions, struct buf *out) MAY_YIELD
{
    struct bytes_in in = bytes_in_of(questions);
    uint32_t n = bytes_in_count(&in, QUESTION_BYTES);
    if (in.bad || n > EARLIER_QUESTIONS_MAX) return err_set(ERR_CORRUPT, "a question about what is known is malformed");
    for (uint32_t i = 0; i < n; i++) {
        enum store_known known;
        uint64_t stream = bytes_in_u64(&in);
        hash128 key = { .lo = bytes_in_u64(&in) };
        key.hi = bytes_in_u64(&in);
        TRY(store_knows(c->o.store, key, stream, &known));
        buf_byte(out, (uint8_t)known);
    }
    return buf_check(out);
}

err_t earlier_on_known(void *ctx, const struct rpc_request *rq, struct buf *out)
{
    return answer(ctx, rq->body, out);
}

static void ask_one(void *ctx, uint32_t i) MAY_YIELD
{
    struct looking *l = ctx;
    struct buf body, got;
    buf_init(&body, CALL_BYTES_MAX, NULL);
    buf_init(&got, EARLIER_QUESTIONS_MAX, NULL);
    put_questions(l, &body);
    const struct rpc_call call = { .method = METHOD_KNOWN, .class = RT_INGEST, .body = buf_view(&body), .answer_max = EARLIER_QUESTIONS_MAX,
                                   .deadline = mono_add(rt_now(), (int64_t)KNOWN_MS * NS_PER_MS) };
    err_t e = l->ask[i].u == l->c->self.u ? answer(l->c, call.body, &got) : cluster_call(l->c, l->ask[i], &call, &got);
    if (e == OK && got.n == l->nquestions) memcpy(l->answers + (size_t)i * l->nquestions, got.p, got.n);
    buf_deinit(&body);
    buf_deinit(&got);
}

/* Whoever does not answer knows nothing. */
static err_t ask_all(struct looking *l)
{
    find_asked(l);
    l->answers = ARENA_ARRAY(l->a, uint8_t, (size_t)l->nask * l->nquestions + 1);
    TRY(arena_check(l->a));
    metric_add(M_EARLIER_ASKED, 1);
    const struct fanout f = { .name = "earlier", .class = RT_INGEST, .n = l->nask, .ctx = l, .one = ask_one };
    TRY(fanout_run(&f));
    for (uint32_t i = 0, at = 0; i < l->ncuts; i++)
        for (uint32_t k = 0; k < l->cuts[i].n; k++, at++)
            for (uint32_t m = 0; m < l->nask; m++) {
                uint8_t said = l->answers[(size_t)m * l->nquestions + at];
                l->cuts[i].v[k].known |= said == STORE_COMING || said == STORE_KNOWN;
                l->cuts[i].v[k].holders += said == STORE_KNOWN;
            }
    return OK;
}

/* -- where it goes -------------------------------------------------------------------------------------------- */

/* NULL: no row is of the partition's stream. */
static const struct question *question_of(const struct cut *t, uint32_t partition)
{
    uint32_t i = t->of_stream[t->stream_of[partition]];
    return i ? &t->v[i - 1] : NULL;
}

/* Pieces of a cut that are sent: those of streams that stream_of names. */
static err_t add_pieces(const struct looking *l, const struct cut *t, const uint32_t *stream_of, struct route *out)
{
    struct batch_parts *parts = &out->parts[out->nparts];
    TRY(split(l, t, stream_of, false, parts));
    out->nparts++;
    size_t cap = out->n;
    out->v = arena_grow(l->a, out->v, out->n, &cap, (size_t)out->n + parts->n, sizeof *out->v);
    TRY(arena_check(l->a));
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct batch_part *p = &parts->parts[i];
        if (p->stream < t->nstreams) out->v[out->n++] = (struct route_piece){ &t->streams[p->stream], p->n, p->batches };
    }
    return OK;
}

/* Known pieces of one earlier cut that nothing before it covers. */
static err_t add_known(const struct looking *l, const struct cut *t, bool *covered, struct route *out)
{
    uint32_t partitions = l->c->o.partitions, *stream_of = ARENA_RAW(l->a, uint32_t, partitions);
    bool *wanted = ARENA_ARRAY(l->a, bool, t->nstreams), any = false;
    TRY(arena_check(l->a));
    for (uint32_t p = 0; p < partitions; p++) {
        const struct question *q = question_of(t, p);
        if (q && q->known && !covered[p]) wanted[t->stream_of[p]] = true;
    }
    for (uint32_t p = 0; p < partitions; p++) {
        const struct question *q = question_of(t, p);
        bool goes = q && wanted[t->stream_of[p]], written = goes && is_writable(l, q->stream);
        if (goes && !written && q->holders < map_stream_quorum(l->map, q->stream))
            return err_set(ERR_UNAVAILABLE, "rows that were sent before are on %u nodes, %u are wanted, and nodes that they were sent to are gone: others fetch them",
                           q->holders, map_stream_quorum(l->map, q->stream));
        stream_of[p] = written ? t->stream_of[p] : t->nstreams;
        covered[p] |= goes;
        any |= written;
    }
    return any ? add_pieces(l, t, stream_of, out) : OK;
}

/* What the cut of now has to itself: known pieces of it, and partitions that no earlier piece covers. */
static err_t add_rest(const struct looking *l, const bool *covered, struct route *out)
{
    const struct cut *t = &l->cuts[0];
    uint32_t partitions = l->c->o.partitions, *stream_of = ARENA_RAW(l->a, uint32_t, partitions);
    TRY(arena_check(l->a));
    for (uint32_t p = 0; p < partitions; p++) {
        const struct question *q = question_of(t, p);
        stream_of[p] = covered[p] && !(q && q->known) ? t->nstreams : t->stream_of[p];
    }
    return add_pieces(l, t, stream_of, out);
}

static err_t choose(const struct looking *l, struct route *out)
{
    bool *covered = ARENA_ARRAY(l->a, bool, l->c->o.partitions), any = false;
    TRY(arena_check(l->a));
    for (uint32_t p = 0; p < l->c->o.partitions; p++) {
        const struct question *q = question_of(&l->cuts[0], p);
        covered[p] = q && q->known;
    }
    for (uint32_t i = 1; i < l->ncuts; i++)
        TRY(add_known(l, &l->cuts[i], covered, out));
    for (uint32_t i = 1; i < l->ncuts && !any; i++)
        for (uint32_t k = 0; k < l->cuts[i].n; k++)
            any |= l->cuts[i].v[k].known;
    if (any) metric_add(M_EARLIER_KNOWN, 1);
    return any ? add_rest(l, covered, out) : add_pieces(l, &l->cuts[0], l->cuts[0].stream_of, out);
}

/* A node that has just started asks others by what maps they went, and waits for that; not for long. */
static err_t wait_told(const struct cluster *c)
{
    mono_ns end = mono_add(c->started, (int64_t)TOLD_MS * NS_PER_MS);
    while (!atomic_load_explicit(&c->earlier_told, memory_order_relaxed) && rt_now().ns < end.ns)
        TRY(fiber_sleep(10 * NS_PER_MS));
    return OK;
}

/* Those that count yet, and place otherwise than the one in force. */
static void hold(const struct looking *l, const struct earlier *e, struct route *out)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (e->v[i].until.ns > rt_now().ns && e->v[i].map->placed_on != l->map->placed_on) out->maps[out->nmaps++] = map_get(e->v[i].map);
}

err_t route_find(struct cluster *c, const struct map *map, struct batch *const *batches, uint32_t n, struct arena *a, struct route *out)
{
    const hash128 none = { 0, 0 };
    struct looking *l = ARENA_NEW(a, struct looking);
    memset(out, 0, sizeof *out);
    TRY(arena_check(a));
    *l = (struct looking){ .c = c, .map = map, .batches = batches, .nbatches = n, .a = a };
    if (!cut_of(l, map, &l->cuts[0])) return err_set(ERR_UNAVAILABLE, "no node of the cluster takes rows: all are leaving or gone");
    TRY(wait_told(c));
    if (core_here(c)->earlier.n > 0 && !hash128_eq(request_key(batches, n), none)) hold(l, &core_here(c)->earlier, out);
    if (out->nmaps > 0) TRY(add_cut(l, map));
    for (uint32_t i = 0; i < out->nmaps && l->ncuts > 0; i++)
        TRY(add_cut(l, out->maps[i]));
    if (l->ncuts < 2) return add_pieces(l, &l->cuts[0], l->cuts[0].stream_of, out);
    TRY(ask_all(l));
    return choose(l, out);
}

void route_release(struct route *r)
{
    while (r->nparts > 0)
        batch_parts_release(&r->parts[--r->nparts]);
    while (r->nmaps > 0)
        map_put(r->maps[--r->nmaps]);
}
