#include "cluster/earlier.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "cluster/cluster_int.h"
#include "cluster/epochs.h"
#include "cluster/reach.h"

#include <stdlib.h>
#include <string.h>

enum { EARLIER_VERSION = 1, EARLIER_BYTES_MAX = 1 << 20, MAP_LEAST = 3, NODE_LEAST = 17, ASK_MS = 3000, AGAIN_MS = 1000 };
static const struct str KEY = { "cluster/earlier", 15 };

/* -- what is kept -------------------------------------------------------------------------------------------- */

static void drop_at(struct earlier *e, uint32_t i)
{
    map_put(e->v[i].map);
    memmove(e->v + i, e->v + i + 1, (--e->n - i) * sizeof *e->v);
}

void earlier_drop(struct earlier *e)
{
    while (e->n > 0)
        drop_at(e, e->n - 1);
}

void earlier_copy(struct earlier *to, const struct earlier *from)
{
    struct earlier old = *to;
    *to = *from;
    for (uint32_t i = 0; i < to->n; i++)
        map_get(to->v[i].map);
    earlier_drop(&old);
}

/* One that places alike is one, and counts as long as the one of both that does longer. */
static void keep(struct earlier *e, struct map *m, mono_ns until)
{
    uint32_t at = 0;
    for (uint32_t i = e->n; i-- > 0;) {
        if (e->v[i].map->placed_on != m->placed_on && e->v[i].until.ns > rt_now().ns) continue;
        if (e->v[i].map->placed_on == m->placed_on) until.ns = MAX(until.ns, e->v[i].until.ns);
        drop_at(e, i);
    }
    while (at < e->n && e->v[at].until.ns > until.ns)
        at++;
    if (at == EARLIER_MAX) return;
    if (e->n == EARLIER_MAX) drop_at(e, EARLIER_MAX - 1);
    memmove(e->v + at + 1, e->v + at, (e->n - at) * sizeof *e->v);
    e->v[at].map = map_get(m);
    e->v[at].until = until;
    e->n++;
}

static mono_ns from_now(int64_t ms)
{
    return mono_add(rt_now(), ms * NS_PER_MS);
}

/* Where nothing could be stored by it, nothing was. */
static bool could_store(const struct map *m)
{
    uint32_t quorum = m->quorum;
    for (uint32_t i = 0; i < m->nplaced; i++)
        quorum = MIN(quorum, m->placed[i].quorum);
    return m->ntaking > 0 && m->ntaking >= quorum;
}

void earlier_note(struct cluster *c, struct map *was, const struct map *now)
{
    if (was && could_store(was) && was->placed_on != now->placed_on) keep(&c->earlier, was, from_now(EARLIER_MS));
}

/* -- bytes --------------------------------------------------------------------------------------------------- */

static void put_map(const struct map *m, int64_t ms, struct buf *out)
{
    buf_varint(out, (uint64_t)ms);
    buf_byte(out, m->alone);
    buf_varint(out, m->ntaking);
    for (uint32_t i = 0; i < m->ntaking; i++) {
        bytes_out_u64(out, m->taking[i].id.u);
        bytes_out_u64(out, m->taking[i].zone);
        buf_varint(out, m->taking[i].weight);
    }
}

/* The one in force counts from now on. */
static void encode(const struct earlier *e, const struct map *now, struct buf *out)
{
    bool counts = could_store(now);
    uint32_t n = counts;
    for (uint32_t i = 0; i < e->n; i++)
        n += e->v[i].until.ns > rt_now().ns;
    buf_byte(out, EARLIER_VERSION);
    buf_varint(out, n);
    if (counts) put_map(now, EARLIER_MS, out);
    for (uint32_t i = 0; i < e->n; i++)
        if (e->v[i].until.ns > rt_now().ns) put_map(e->v[i].map, (e->v[i].until.ns - rt_now().ns) / NS_PER_MS, out);
}

struct told { /* a map, as its bytes say */
    const struct map_opts *o;
    struct place_node *nodes; /* malloc'd */
    uint32_t n;
    bool alone;
    int64_t ms;
    struct map *map;
};

static err_t bad(void)
{
    return err_set(ERR_CORRUPT, "earlier placements are malformed");
}

static err_t get_map(struct bytes_in *in, struct told *out)
{
    uint64_t ms = bytes_in_varint(in);
    out->alone = bytes_in_u8(in);
    out->n = bytes_in_count(in, NODE_LEAST);
    if (in->bad || out->n == 0 || out->n > PLACEMENT_NODES_MAX || (out->alone && out->n != 1)) return bad();
    out->ms = (int64_t)MIN(ms, (uint64_t)EARLIER_MS);
    out->nodes = calloc(out->n, sizeof *out->nodes);
    ASSERT(out->nodes != NULL);
    for (uint32_t i = 0; i < out->n; i++) {
        struct place_node *p = &out->nodes[i];
        p->id.u = bytes_in_u64(in);
        p->zone = bytes_in_u64(in);
        uint64_t weight = bytes_in_varint(in);
        p->weight = (uint32_t)weight;
        if (weight == 0 || weight > UINT32_MAX || p->id.u == 0 || (i > 0 && p->id.u <= p[-1].id.u)) return bad();
    }
    return in->bad ? bad() : OK;
}

static err_t make_map(void *arg)
{
    struct told *t = arg;
    return map_of_places(t->o, t->nodes, t->n, t->alone, &t->map);
}

static err_t take_map(struct cluster *c, struct bytes_in *in) MAY_YIELD
{
    struct told t = { .o = &c->map_opts };
    err_t e = get_map(in, &t);
    if (e == OK) e = map_work(&c->map_opts, t.n) <= MAP_HERE_MAX ? make_map(&t) : rt_offload(make_map, &t);
    if (e == OK) {
        keep(&c->earlier, t.map, from_now(t.ms));
        map_put(t.map);
    }
    free(t.nodes);
    return e;
}

static err_t take(struct cluster *c, struct str bytes) MAY_YIELD
{
    struct bytes_in in = bytes_in_of(bytes);
    if (bytes_in_u8(&in) != EARLIER_VERSION) return bad();
    uint32_t n = bytes_in_count(&in, MAP_LEAST);
    if (in.bad || n > EARLIER_MAX + 1) return bad();
    for (uint32_t i = 0; i < n; i++)
        TRY(take_map(c, &in));
    return in.p != in.end ? bad() : OK;
}

/* -- in the catalog ------------------------------------------------------------------------------------------ */

err_t earlier_load(struct cluster *c)
{
    struct arena a;
    struct str value;
    arena_init(&a, NULL);
    err_t e = store_kv(c->o.store)->get(store_kv(c->o.store), KEY, &a, &value);
    if (e == OK) e = take(c, value);
    else if (e == ERR_NOT_FOUND) e = OK;
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

void earlier_save(struct cluster *c, const struct map *now)
{
    struct kv *kv = store_kv(c->o.store);
    struct buf bytes;
    if (now->placed_on == c->earlier_saved) return;
    buf_init(&bytes, EARLIER_BYTES_MAX, NULL);
    encode(&c->earlier, now, &bytes);
    const struct kv_op op = { KEY, buf_view(&bytes) };
    err_t e = buf_check(&bytes);
    if (e == OK) e = kv->write(kv, &op, 1);
    if (e == OK) c->earlier_saved = now->placed_on;
    else log_warn("cluster.earlier", "error=%s", err_detail());
    buf_deinit(&bytes);
}

/* -- from others --------------------------------------------------------------------------------------------- */

err_t earlier_on_earlier(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    const struct cluster_core *cc = core_here(ctx);
    (void)rq;
    if (!cc->map) return err_set(ERR_UNAVAILABLE, "this node has no map yet");
    encode(&cc->earlier, cc->map, answer);
    return buf_check(answer);
}

static err_t ask(struct cluster *c, node_id id) MAY_YIELD
{
    struct buf answer;
    buf_init(&answer, EARLIER_BYTES_MAX, NULL);
    const struct rpc_call call = { .method = METHOD_EARLIER, .class = RT_MEMBERSHIP, .answer_max = EARLIER_BYTES_MAX, .deadline = from_now(ASK_MS) };
    err_t e = cluster_call(c, id, &call, &answer);
    if (e == OK) e = take(c, buf_view(&answer));
    if (e == ERR_INVALID) e = OK; /* it is older than this question */
    if (e == ERR_CORRUPT) log_warn("cluster.earlier", "node=%016llx error=%s", (unsigned long long)id.u, err_detail());
    buf_deinit(&answer);
    return e;
}

struct copying {
    struct cluster *c;
    struct earlier of; /* as it is now: core 0's may change meanwhile */
};

static err_t copy_here(void *arg)
{
    const struct copying *k = arg;
    earlier_copy(&core_here(k->c)->earlier, &k->of);
    return OK;
}

static void copy_to_all(struct cluster *c) MAY_YIELD
{
    struct copying k = { .c = c };
    void **args = calloc(c->cores, sizeof *args);
    ASSERT(args != NULL);
    for (unsigned i = 0; i < c->cores; i++)
        args[i] = &k;
    earlier_copy(&k.of, &c->earlier);
    if (rt_call_all(RT_MEMBERSHIP, copy_here, args, NULL) != OK) log_warn("cluster.earlier", "error=%s", err_detail());
    earlier_drop(&k.of);
    free(args);
}

struct asked { /* whom, in which of its lives as we saw them */
    uint32_t n;
    struct { node_id id; mono_ns since; } *v;
};

static bool was_asked(const struct asked *a, const struct member *m)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (a->v[i].id.u == m->id.u) return a->v[i].since.ns == m->since.ns;
    return false;
}

/* Who lives and was not asked since it does; *left: did not answer. */
static void ask_all(struct cluster *c, struct asked *a, bool *left) MAY_YIELD
{
    struct map *map = cluster_map(c);
    struct asked now = { .v = calloc((size_t)map->n + 1, sizeof *now.v) };
    bool any = false;
    ASSERT(now.v != NULL);
    for (uint32_t i = 0; i < map->n; i++) {
        const struct member *m = &map->v[i];
        if (m->id.u == c->self.u || m->state != MEMBER_ALIVE) continue;
        bool before = was_asked(a, m), ok = before || ask(c, m->id) == OK;
        any |= ok && !before;
        *left |= !ok;
        if (!ok) continue;
        if (!before) epochs_ask(c, m->id);
        now.v[now.n].id = m->id;
        now.v[now.n++].since = m->since;
    }
    free(a->v);
    *a = now;
    map_put(map);
    if (any) copy_to_all(c);
}

/* One that is new learns at once which streams there are, not when it is first read from: by then who could tell may be away. */
static void learn(struct cluster *c) MAY_YIELD
{
    const struct reading_of all = { .tenant = STR_NONE };
    struct reading r;
    if (!atomic_load(&c->told) && reach_plan(c, &all, &r) == OK) reading_free(&r);
}

static void asking_fiber(void *arg)
{
    struct cluster *c = arg;
    struct asked asked = { 0 };
    for (;;) {
        bool left = false;
        event_reset(&c->earlier_due);
        ask_all(c, &asked, &left);
        if (!left) atomic_store(&c->earlier_told, true);
        learn(c);
        err_t e = event_wait_until(&c->earlier_due, left ? from_now(AGAIN_MS) : MONO_NEVER);
        if (e == ERR_CANCELED) break;
    }
    free(asked.v);
}

err_t earlier_start(struct cluster *c, struct scope *scope)
{
    const struct fiber_opts fo = { .name = "earlier", .class = RT_MEMBERSHIP };
    return fiber_start(scope, &fo, asking_fiber, c);
}
