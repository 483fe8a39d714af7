#include "cluster/read_plan.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nearly all of a stream: what is on its way to a node that is one of those written to. */
enum { LACK_FEW = 4, LACK_SHARE = 16, LACK_MANY = 256 };

struct cand { /* a node that has something of a stream */
    uint32_t node;
    bool able; /* may be chosen */
    bool lost; /* it cannot read something of it */
    uint64_t has;
};
struct planner {
    const struct read_ask *ask;
    struct arena *a;
    struct read_plan *out;
    uint32_t *stream_by_id, *node_by_id; /* indices, ascending by id */
    uint32_t *first; /* [nstreams + 1]: candidates of stream i are [first[i], first[i + 1]) */
    struct cand *cands;
    uint32_t *left;  /* [nnodes]: streams that it could still take */
};

/* -- by id --------------------------------------------------------------------------------------------------- */

struct keyed {
    uint64_t id;
    uint32_t i;
};

static int by_id(const void *pa, const void *pb)
{
    const struct keyed *a = pa, *b = pb;
    return (a->id > b->id) - (a->id < b->id);
}

static uint32_t *sorted(struct arena *a, struct keyed *v, uint32_t n)
{
    uint32_t *order = ARENA_RAW(a, uint32_t, n);
    qsort(v, n, sizeof *v, by_id);
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(i == 0 || v[i - 1].id != v[i].id);
        order[i] = v[i].i;
    }
    return order;
}

static void sort_all(struct planner *p)
{
    const struct read_ask *ask = p->ask;
    struct keyed *v = ARENA_RAW(p->a, struct keyed, MAX(ask->nstreams, ask->nnodes));
    for (uint32_t i = 0; i < ask->nstreams; i++)
        v[i] = (struct keyed){ ask->streams[i].stream->id, i };
    p->stream_by_id = sorted(p->a, v, ask->nstreams);
    for (uint32_t i = 0; i < ask->nnodes; i++)
        v[i] = (struct keyed){ ask->nodes[i].id.u, i };
    p->node_by_id = sorted(p->a, v, ask->nnodes);
}

/* READ_NOBODY: it is not among them. */
static uint32_t node_find(const struct planner *p, node_id id)
{
    uint32_t lo = 0, hi = p->ask->nnodes;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->ask->nodes[p->node_by_id[mid]].id.u < id.u) lo = mid + 1;
        else hi = mid;
    }
    if (lo == p->ask->nnodes || p->ask->nodes[p->node_by_id[lo]].id.u != id.u) return READ_NOBODY;
    return p->node_by_id[lo];
}

/* -- who has what ---------------------------------------------------------------------------------------------- */

static bool loses(const struct read_node *n, uint64_t stream)
{
    uint32_t lo = 0, hi = n->nlost;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (n->lost[mid] < stream) lo = mid + 1;
        else hi = mid;
    }
    return lo < n->nlost && n->lost[lo] == stream;
}

/* Walks the streams asked for and those of a node's cover side by side; `count` or else the candidates themselves. */
static void walk_cover(struct planner *p, uint32_t node, uint32_t *count, uint32_t *at)
{
    const struct cover *c = p->ask->nodes[node].cover;
    if (!p->ask->nodes[node].reachable || !c) return;
    for (uint32_t i = 0, k = 0; i < c->n && k < p->ask->nstreams;) {
        uint32_t s = p->stream_by_id[k];
        uint64_t id = p->ask->streams[s].stream->id;
        if (c->streams[i].id == id) {
            if (count) count[s]++;
            else p->cands[at[s]++] = (struct cand){ node, false, loses(&p->ask->nodes[node], id), cover_stream_count(&c->streams[i]) };
        }
        bool ahead = c->streams[i].id >= id;
        i += c->streams[i].id <= id;
        k += ahead;
    }
}

static void list_cands(struct planner *p)
{
    uint32_t n = p->ask->nstreams, *count = ARENA_ARRAY(p->a, uint32_t, n), *at = ARENA_RAW(p->a, uint32_t, n);
    for (uint32_t i = 0; i < p->ask->nnodes; i++)
        walk_cover(p, i, count, NULL);
    p->first = ARENA_ARRAY(p->a, uint32_t, n + 1);
    for (uint32_t s = 0; s < n; s++) {
        at[s] = p->first[s];
        p->first[s + 1] = p->first[s] + count[s];
    }
    p->cands = ARENA_RAW(p->a, struct cand, p->first[n]);
    for (uint32_t i = 0; i < p->ask->nnodes; i++)
        walk_cover(p, i, NULL, at);
}

/* Which candidates of a stream may be chosen, of the `total` names that there are. */
static void who_is_able(struct planner *p, uint32_t s, uint64_t total)
{
    struct cand *c = p->cands + p->first[s];
    uint32_t n = p->first[s + 1] - p->first[s];
    uint64_t few = MIN(LACK_FEW + total / LACK_SHARE, (uint64_t)LACK_MANY), most = 0;
    bool healthy = false, nearly = false, whole = false;
    for (uint32_t i = 0; i < n; i++) {
        most = MAX(most, c[i].has);
        whole |= !c[i].lost && total - c[i].has <= few;
    }
    nearly = n > 0 && total - most <= few;
    for (uint32_t i = 0; i < n; i++) {
        c[i].able = nearly ? total - c[i].has <= few && !(whole && c[i].lost) : c[i].has == most;
        healthy |= c[i].able && p->ask->nodes[c[i].node].healthy;
    }
    for (uint32_t i = 0; i < n; i++) {
        c[i].able &= !healthy || p->ask->nodes[c[i].node].healthy;
        p->left[c[i].node] += c[i].able;
    }
}

/* In the order of ids, so that the union grows at its end. */
static void join_all(struct planner *p)
{
    cover_init(&p->out->all);
    for (uint32_t k = 0; k < p->ask->nstreams; k++) {
        uint32_t s = p->stream_by_id[k];
        uint64_t id = p->ask->streams[s].stream->id;
        if (p->first[s] == p->first[s + 1]) continue;
        for (uint32_t i = p->first[s]; i < p->first[s + 1]; i++)
            cover_pick(p->ask->nodes[p->cands[i].node].cover, &id, 1, &p->out->all);
        who_is_able(p, s, cover_stream_count(&p->out->all.streams[p->out->all.n - 1]));
    }
}

/* -- the choice -------------------------------------------------------------------------------------------------- */

static bool better(const struct planner *p, uint32_t a, uint32_t b)
{
    const struct read_node *x = &p->ask->nodes[a], *y = &p->ask->nodes[b];
    if (p->left[a] != p->left[b]) return p->left[a] > p->left[b];
    if (x->distance != y->distance) return x->distance < y->distance;
    if (x->load != y->load) return x->load < y->load;
    uint64_t hx = hash_u64(x->id.u ^ hash_u64(p->ask->seed)), hy = hash_u64(y->id.u ^ hash_u64(p->ask->seed));
    return hx != hy ? hx < hy : x->id.u < y->id.u;
}

/* Of every node, the streams that it may take: those of node i are [from[i], from[i + 1]) of the list. */
static uint32_t *streams_of_nodes(struct planner *p, uint32_t *from)
{
    uint32_t n = p->ask->nnodes;
    for (uint32_t i = 0; i < n; i++)
        from[i + 1] = from[i] + p->left[i];
    uint32_t *list = ARENA_RAW(p->a, uint32_t, from[n]), *at = arena_dup(p->a, from, n * sizeof *from);
    for (uint32_t k = 0; k < p->ask->nstreams; k++) {
        uint32_t s = p->stream_by_id[k];
        for (uint32_t i = p->first[s]; i < p->first[s + 1]; i++)
            if (p->cands[i].able) list[at[p->cands[i].node]++] = s;
    }
    return list;
}

static void take(struct planner *p, uint32_t node, const uint32_t *list, uint32_t n)
{
    struct read_part *part = &p->out->parts[p->out->nparts++];
    *part = (struct read_part){ .node = node, .streams = ARENA_RAW(p->a, uint64_t, p->left[node]) };
    for (uint32_t k = 0; k < n; k++) {
        uint32_t s = list[k];
        if (p->out->node_of[s] != READ_NOBODY) continue;
        p->out->node_of[s] = node;
        part->streams[part->nstreams++] = p->ask->streams[s].stream->id;
        for (uint32_t i = p->first[s]; i < p->first[s + 1]; i++)
            p->left[p->cands[i].node] -= p->cands[i].able;
    }
}

static void choose(struct planner *p)
{
    uint32_t n = p->ask->nnodes, *from = ARENA_ARRAY(p->a, uint32_t, n + 1), *list = streams_of_nodes(p, from);
    p->out->parts = ARENA_ARRAY(p->a, struct read_part, n);
    p->out->node_of = ARENA_RAW(p->a, uint32_t, p->ask->nstreams);
    for (uint32_t s = 0; s < p->ask->nstreams; s++)
        p->out->node_of[s] = READ_NOBODY;
    for (;;) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < n; i++)
            if (better(p, i, best)) best = i;
        if (n == 0 || p->left[best] == 0) return;
        take(p, best, list + from[best], from[best + 1] - from[best]);
    }
}

static void set_lacks(struct planner *p)
{
    for (uint32_t i = 0; i < p->out->nparts; i++) {
        struct read_part *part = &p->out->parts[i];
        struct cover want;
        cover_init(&want);
        cover_init(&part->lacks);
        cover_pick(&p->out->all, part->streams, part->nstreams, &want);
        cover_minus(&want, p->ask->nodes[part->node].cover, &part->lacks);
        cover_deinit(&want);
        for (uint32_t k = 0; k < part->nstreams && !part->lost; k++)
            part->lost = loses(&p->ask->nodes[part->node], part->streams[k]);
    }
}

/* -- what is missing, what lies apart ------------------------------------------------------------------------------ */

static uint32_t out_of_reach(const struct planner *p, const struct stream *s, node_id *one)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t node = node_find(p, s->members[i]);
        if (node != READ_NOBODY && p->ask->nodes[node].reachable) continue;
        if (n++ == 0) *one = s->members[i];
    }
    return n;
}

static void find_missing(struct planner *p)
{
    struct read_plan *out = p->out;
    for (uint32_t k = 0; k < p->ask->nstreams; k++) {
        const struct read_stream *r = &p->ask->streams[p->stream_by_id[k]];
        node_id one = { 0 };
        uint32_t away = out_of_reach(p, r->stream, &one);
        if (r->vouched || away < MIN(r->w, r->stream->n)) continue;
        if (out->nmissing++ > 0) continue;
        snprintf(out->why, sizeof out->why,
                 "%u of the %u nodes of stream %016llx are out of reach, node %016llx among them: what %u of them acknowledged may be missing",
                 away, r->stream->n, (unsigned long long)r->stream->id, (unsigned long long)one.u, MIN(r->w, r->stream->n));
    }
    size_t n = strlen(out->why);
    if (out->nmissing > 1)
        snprintf(out->why + n, sizeof out->why - n, "; so for %u of %u streams", out->nmissing, p->ask->nstreams);
}

enum { NOT_YET = UINT32_MAX - 1, SEVERAL = UINT32_MAX - 2 };

static uint32_t with(uint32_t seen, uint32_t node)
{
    return seen == NOT_YET || seen == node ? node : (uint32_t)SEVERAL;
}

enum { BUCKETS = 64 }; /* of partitions, as stream_rows has them */

/* For each bucket: by which node its streams are answered, and those of the past among them. */
static void find_apart(struct planner *p)
{
    uint32_t any[BUCKETS], past[BUCKETS];
    p->out->apart = ARENA_ARRAY(p->a, bool, p->ask->nstreams);
    for (uint32_t i = 0; i < BUCKETS; i++)
        any[i] = past[i] = NOT_YET;
    for (int round = 0; round < 2; round++)
        for (uint32_t s = 0; s < p->ask->nstreams; s++) {
            const struct read_stream *r = &p->ask->streams[s];
            uint32_t node = p->out->node_of[s];
            for (uint64_t left = node == READ_NOBODY ? 0 : r->stream->rows.partitions; left; left &= left - 1) {
                unsigned i = (unsigned)__builtin_ctzll(left);
                uint32_t others = r->current ? past[i] : any[i];
                if (round == 1) {
                    p->out->apart[s] |= others != NOT_YET && others != node;
                    continue;
                }
                any[i] = with(any[i], node);
                if (!r->current) past[i] = with(past[i], node);
            }
            p->out->naparts += round == 1 && p->out->apart[s];
        }
}

void read_plan_make(const struct read_ask *ask, struct arena *a, struct read_plan *out)
{
    struct planner p = { .ask = ask, .a = a, .out = out };
    *out = (struct read_plan){ 0 };
    p.left = ARENA_ARRAY(a, uint32_t, ask->nnodes);
    sort_all(&p);
    list_cands(&p);
    join_all(&p);
    choose(&p);
    set_lacks(&p);
    find_missing(&p);
    find_apart(&p);
}

void read_plan_deinit(struct read_plan *p)
{
    for (uint32_t i = 0; i < p->nparts; i++)
        cover_deinit(&p->parts[i].lacks);
    cover_deinit(&p->all);
    p->nparts = 0;
}
