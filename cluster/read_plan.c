#include "cluster/read_plan.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nearly as much of a stream: what is on its way to a node that is one of those written to. */
enum { LACK_FEW = 4, LACK_SHARE = 16, LACK_MANY = 256 };

struct cand { /* a node that has something of a stream */
    uint32_t node;
    bool able; /* may be chosen */
    bool lost; /* it cannot read something of it */
    struct cover_sum has;
};
struct planner {
    const struct read_ask *ask;
    struct arena *a;
    struct read_plan *out;
    uint32_t *stream_by_id, *node_by_id; /* indices, ascending by id */
    uint32_t *first; /* [nstreams + 1]: candidates of stream i are [first[i], first[i + 1]) */
    struct cand *cands;
    uint32_t *left;  /* [nnodes]: streams that it could still take */
    uint32_t *key;   /* [nnodes]: the same, when its place in the heap was found: left only falls */
    uint32_t *heap;  /* [nnodes]: the best first, by key */
    uint32_t *away;  /* [nstreams]: members out of reach */
    uint32_t **took; /* [parts]: its streams, as indices */
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
    return stream_ids_have(n->lost, n->nlost, stream);
}

/* READ_NOBODY: it is not asked for. */
static uint32_t stream_find(const struct planner *p, uint64_t id)
{
    uint32_t lo = 0, hi = p->ask->nstreams;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->ask->streams[p->stream_by_id[mid]].stream->id < id) lo = mid + 1;
        else hi = mid;
    }
    if (lo == p->ask->nstreams || p->ask->streams[p->stream_by_id[lo]].stream->id != id) return READ_NOBODY;
    return p->stream_by_id[lo];
}

/* The streams asked for among those of a node, of which there are few; `count` or else the candidates themselves. */
static void walk_sums(struct planner *p, uint32_t node, uint32_t *count, uint32_t *at)
{
    const struct store_sums *c = p->ask->nodes[node].sums;
    if (!p->ask->nodes[node].reachable || !c) return;
    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t id = c->v[i].stream;
        uint32_t s = stream_find(p, id);
        if (s == READ_NOBODY) continue;
        if (count) count[s]++;
        else p->cands[at[s]++] = (struct cand){ node, false, loses(&p->ask->nodes[node], id), c->v[i].sum };
    }
}

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

static void list_cands(struct planner *p)
{
    uint32_t n = p->ask->nstreams, *count = ARENA_ARRAY(p->a, uint32_t, n), *at = ARENA_RAW(p->a, uint32_t, n);
    for (uint32_t i = 0; i < p->ask->nnodes; i++)
        walk_sums(p, i, count, NULL);
    p->first = ARENA_ARRAY(p->a, uint32_t, n + 1);
    for (uint32_t s = 0; s < n; s++) {
        at[s] = p->first[s];
        p->first[s + 1] = p->first[s] + count[s];
    }
    p->cands = ARENA_RAW(p->a, struct cand, p->first[n]);
    for (uint32_t i = 0; i < p->ask->nnodes; i++)
        walk_sums(p, i, NULL, at);
}

/* Which candidates of a stream may be chosen. */
static void who_is_able(struct planner *p, uint32_t s)
{
    struct cand *c = p->cands + p->first[s];
    uint32_t n = p->first[s + 1] - p->first[s];
    uint64_t most = 0;
    bool healthy = false, whole = false;
    for (uint32_t i = 0; i < n; i++)
        if (!p->ask->nodes[c[i].node].barred) most = MAX(most, c[i].has.count);
    uint64_t few = MIN(LACK_FEW + most / LACK_SHARE, (uint64_t)LACK_MANY);
    for (uint32_t i = 0; i < n; i++)
        whole |= !p->ask->nodes[c[i].node].barred && !c[i].lost && most - c[i].has.count <= few;
    for (uint32_t i = 0; i < n; i++) {
        c[i].able = !p->ask->nodes[c[i].node].barred && most - c[i].has.count <= few && !(whole && c[i].lost);
        healthy |= c[i].able && p->ask->nodes[c[i].node].healthy;
    }
    for (uint32_t i = 0; i < n; i++) {
        c[i].able &= !healthy || p->ask->nodes[c[i].node].healthy;
        p->left[c[i].node] += c[i].able;
    }
}

/* -- the choice -------------------------------------------------------------------------------------------------- */

static bool better(const struct planner *p, uint32_t a, uint32_t b)
{
    const struct read_node *x = &p->ask->nodes[a], *y = &p->ask->nodes[b];
    if (p->key[a] != p->key[b]) return p->key[a] > p->key[b];
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
    uint32_t *took = ARENA_RAW(p->a, uint32_t, p->left[node]);
    *part = (struct read_part){ .node = node, .streams = ARENA_RAW(p->a, uint64_t, p->left[node]), .spare = ARENA_RAW(p->a, uint32_t, p->left[node]) };
    p->took[p->out->nparts - 1] = took;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t s = list[k];
        if (p->out->node_of[s] != READ_NOBODY) continue;
        p->out->node_of[s] = node;
        took[part->nstreams] = s;
        part->streams[part->nstreams++] = p->ask->streams[s].stream->id;
        for (uint32_t i = p->first[s]; i < p->first[s + 1]; i++)
            p->left[p->cands[i].node] -= p->cands[i].able;
    }
}

/* The element at i finds its place below. */
static void sink(struct planner *p, uint32_t i)
{
    uint32_t n = p->ask->nnodes, node = p->heap[i];
    for (uint32_t c; (c = 2 * i + 1) < n; i = c) {
        c += c + 1 < n && better(p, p->heap[c + 1], p->heap[c]);
        if (!better(p, p->heap[c], node)) break;
        p->heap[i] = p->heap[c];
    }
    p->heap[i] = node;
}

/* READ_NOBODY: no node can take anything more. A node whose key is old sinks to its place; each time it has lost a stream at least, so
 * that all of it takes streams * holders * log(nodes). */
static uint32_t best_node(struct planner *p)
{
    for (;;) {
        uint32_t top = p->heap[0];
        if (p->key[top] == p->left[top]) return p->left[top] ? top : READ_NOBODY;
        p->key[top] = p->left[top];
        sink(p, 0);
    }
}

static void choose(struct planner *p)
{
    uint32_t n = p->ask->nnodes, *from = ARENA_ARRAY(p->a, uint32_t, n + 1), *list = streams_of_nodes(p, from);
    p->out->parts = ARENA_ARRAY(p->a, struct read_part, n);
    p->took = ARENA_ARRAY(p->a, uint32_t *, n);
    p->out->node_of = ARENA_RAW(p->a, uint32_t, p->ask->nstreams);
    for (uint32_t s = 0; s < p->ask->nstreams; s++)
        p->out->node_of[s] = READ_NOBODY;
    if (n == 0) return;
    p->key = arena_dup(p->a, p->left, n * sizeof *p->left);
    p->heap = ARENA_RAW(p->a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        p->heap[i] = i;
    for (uint32_t i = n / 2; i-- > 0;)
        sink(p, i);
    for (uint32_t best; (best = best_node(p)) != READ_NOBODY;)
        take(p, best, list + from[best], from[best + 1] - from[best]);
}

/* -- what the chosen ones lack ------------------------------------------------------------------------------------ */

struct want { /* of a part's stream from a node */
    uint32_t node, which, weight;
};

static int by_node(const void *pa, const void *pb)
{
    const struct want *a = pa, *b = pb;
    if (a->node != b->node) return a->node < b->node ? -1 : 1;
    return (a->which > b->which) - (a->which < b->which);
}

static bool nearer(const struct planner *p, uint32_t a, uint32_t b)
{
    const struct read_node *x = &p->ask->nodes[a], *y = &p->ask->nodes[b];
    if (x->healthy != y->healthy) return x->healthy;
    if (x->distance != y->distance) return x->distance < y->distance;
    return x->load != y->load ? x->load < y->load : a < b;
}

/* Do acked writes lie on members that are reached, whatever others have? */
static bool enough_reached(const struct planner *p, uint32_t s)
{
    const struct read_stream *r = &p->ask->streams[s];
    return p->away[s] < MIN(r->w, r->stream->n);
}

/* A want for each sum that is another than the reader's. */
static uint32_t wants_of(const struct planner *p, uint32_t reader, uint32_t s, uint32_t which, struct want *out)
{
    const struct cand *c = p->cands + p->first[s], *own = c;
    uint32_t n = p->first[s + 1] - p->first[s], wants = 0;
    bool counted = enough_reached(p, s);
    while (own->node != reader)
        own++;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t best = c[i].node, weight = 0;
        bool first = !cover_sum_eq(c[i].has, own->has);
        for (uint32_t k = 0; k < i && first; k++)
            first = !cover_sum_eq(c[k].has, c[i].has);
        for (uint32_t k = i; k < n && first; k++) {
            if (!cover_sum_eq(c[k].has, c[i].has)) continue;
            weight += !counted || stream_has(p->ask->streams[s].stream, p->ask->nodes[c[k].node].id);
            if (nearer(p, c[k].node, best)) best = c[k].node;
        }
        if (first) out[wants++] = (struct want){ best, which, MIN(weight, (uint32_t)STREAM_MEMBERS_MAX) };
    }
    return wants;
}

static void group_wants(struct planner *p, struct read_part *part, struct want *v, uint32_t n)
{
    if (n > 1) qsort(v, n, sizeof *v, by_node);
    part->sources = ARENA_ARRAY(p->a, struct read_source, n);
    for (uint32_t i = 0; i < n;) {
        const struct read_node *node = &p->ask->nodes[v[i].node];
        uint32_t end = i;
        while (end < n && v[end].node == v[i].node)
            end++;
        struct read_source *s = &part->sources[part->nsources++];
        *s = (struct read_source){ .node = node->id, .life = node->life, .version = node->sums->version, .which = ARENA_RAW(p->a, uint32_t, end - i),
                                   .weight = ARENA_RAW(p->a, uint32_t, end - i) };
        for (; i < end; i++, s->n++) {
            s->which[s->n] = v[i].which;
            s->weight[s->n] = v[i].weight;
        }
    }
}

static void set_sources(struct planner *p)
{
    for (uint32_t i = 0; i < p->out->nparts; i++) {
        struct read_part *part = &p->out->parts[i];
        uint32_t most = 0, n = 0;
        for (uint32_t k = 0; k < part->nstreams; k++)
            most += p->first[p->took[i][k] + 1] - p->first[p->took[i][k]];
        struct want *v = ARENA_RAW(p->a, struct want, most);
        for (uint32_t k = 0; k < part->nstreams; k++) {
            uint32_t s = p->took[i][k];
            const struct read_stream *r = &p->ask->streams[s];
            part->spare[k] = enough_reached(p, s) ? MIN(r->w, r->stream->n) - 1 - p->away[s] : 0;
            n += wants_of(p, part->node, s, k, v + n);
            part->lost |= loses(&p->ask->nodes[part->node], part->streams[k]);
        }
        group_wants(p, part, v, n);
    }
}

/* -- what is missing, what lies apart ------------------------------------------------------------------------------ */

static void find_missing(struct planner *p)
{
    struct read_plan *out = p->out;
    for (uint32_t k = 0; k < p->ask->nstreams; k++) {
        const struct read_stream *r = &p->ask->streams[p->stream_by_id[k]];
        node_id one = { 0 };
        uint32_t s = p->stream_by_id[k], away = p->away[s];
        bool barred = p->out->node_of[s] == READ_NOBODY && p->first[s] != p->first[s + 1];
        if (barred) {
            if (out->nmissing++ == 0)
                snprintf(out->why, sizeof out->why, "the nodes that have anything of stream %016llx have not finished a deletion that others have finished",
                         (unsigned long long)r->stream->id);
            continue;
        }
        if (r->vouched || away < MIN(r->w, r->stream->n)) continue;
        if (out->nmissing++ > 0) continue;
        out_of_reach(p, r->stream, &one);
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
    node_id one;
    *out = (struct read_plan){ 0 };
    p.left = ARENA_ARRAY(a, uint32_t, ask->nnodes);
    p.away = ARENA_ARRAY(a, uint32_t, ask->nstreams);
    sort_all(&p);
    list_cands(&p);
    for (uint32_t s = 0; s < ask->nstreams; s++) {
        p.away[s] = out_of_reach(&p, ask->streams[s].stream, &one);
        who_is_able(&p, s);
    }
    choose(&p);
    set_sources(&p);
    find_missing(&p);
    find_apart(&p);
}
