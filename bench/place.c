/* What the cluster's plans cost as it grows, one core:  bench_place
 *   placement  for 3 to 1,000 nodes and 64 to 65,536 partitions, three copies: the time of one, and of the next one when a node goes or
 *              comes; how far the fullest node is above the mean; streams
 *   cover      of one node, every core of every node having written to every stream of it: writers, memory, bytes to send, the time to
 *              write and to read them
 *   read       of all streams, four partitions a node, while everything is written to, so that no two nodes say the same of any stream:
 *              bytes that its coordinator exchanges with all nodes (questions, sums, parts of the plan), the time to plan, nodes that
 *              answer; bytes that one of those exchanges with its sources when nothing was written since they last met, when every
 *              core of every node wrote to every stream since, and when they never met
 *   repair     bytes that a node exchanges with all others in a round, likewise. */
#include "bench/bench.h"

#include "base/core/prng.h"
#include "cluster/placement.h"
#include "cluster/reach_wire.h"
#include "cluster/read_plan.h"

enum { RF = 3, CORES = 4, BATCHES = 100000, PARTITIONS_EACH = 4 };

static struct place_node *some_nodes(uint32_t n)
{
    struct place_node *v = calloc(n + 1, sizeof *v);
    struct prng r;
    if (!v) die("nodes");
    prng_init(&r, n);
    for (uint32_t i = 0; i <= n; i++)
        v[i] = (struct place_node){ { prng_next(&r) }, 0, 100 };
    return v;
}

/* Copies of partitions on the fullest node, in units of the mean. */
static double fullest(const struct placement *p, const struct place_node *v, uint32_t n, uint32_t partitions)
{
    const struct stream *s;
    uint32_t most = 0;
    const uint32_t *map = placement_map(p);
    uint32_t streams = placement_streams(p, &s), *size = calloc(streams, sizeof *size);
    if (!size) die("sizes");
    for (uint32_t k = 0; k < partitions; k++)
        size[map[k]]++;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t held = 0;
        for (uint32_t k = 0; k < streams; k++)
            for (uint32_t m = 0; m < s[k].n; m++)
                held += s[k].members[m].u == v[i].id.u ? size[k] : 0;
        most = MAX(most, held);
    }
    free(size);
    return most / ((double)partitions * MIN(n, (uint32_t)RF) / n);
}

static void placing(uint32_t n, uint32_t partitions)
{
    struct place_node *v = some_nodes(n);
    struct placement *p, *less, *more;
    const struct stream *s;
    double t0 = cpu_s();
    need(placement_new(v, n, partitions, RF, &p));
    double t1 = cpu_s();
    need(placement_next(p, v, n - 1, &less));
    double t2 = cpu_s();
    need(placement_next(p, v, n + 1, &more));
    double t3 = cpu_s();
    printf("placement nodes=%u partitions=%u new_ms=%.2f node_goes_ms=%.2f node_comes_ms=%.2f streams=%u fullest=%.3f\n", n, partitions,
           (t1 - t0) * 1e3, (t2 - t1) * 1e3, (t3 - t2) * 1e3, placement_streams(p, &s), fullest(p, v, n, partitions));
    placement_free(p);
    placement_free(less);
    placement_free(more);
    free(v);
}

/* What node `id` has of the streams that it is a member of; the last few batches of every second one are on their way. */
static void fill_cover(const struct placement *p, const struct place_node *v, uint32_t n, node_id id, struct cover *c)
{
    const struct stream *s;
    uint32_t streams = placement_streams(p, &s);
    cover_init(c);
    for (uint32_t k = 0; k < streams; k++) {
        bool mine = false;
        for (uint32_t m = 0; m < s[k].n; m++)
            mine |= s[k].members[m].u == id.u;
        for (uint32_t i = 0; i < n && mine; i++)
            for (uint32_t core = 0; core < CORES; core++)
                cover_add_run(c, &(struct cover_run){ s[k].id, v[i].id, 7, core, 1, BATCHES - (id.u + core) % 2 * 3 });
    }
}

static uint64_t writers_of(const struct cover *c)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        n += c->streams[i].n;
    return n;
}

static void covering(uint32_t n, uint32_t partitions)
{
    struct place_node *v = some_nodes(n);
    struct placement *p;
    struct cover c, back;
    struct buf b;
    need(placement_new(v, n, partitions, RF, &p));
    fill_cover(p, v, n, v[0].id, &c);
    cover_init(&back);
    buf_init(&b, (size_t)1 << 31, NULL);
    double t0 = cpu_s();
    cover_put(&c, &b);
    double t1 = cpu_s();
    struct bytes_in in = bytes_in_of(buf_view(&b));
    need(cover_get(&in, UINT32_MAX, &back));
    double t2 = cpu_s();
    printf("cover nodes=%u partitions=%u streams=%u writers=%llu memory_bytes=%zu bytes=%zu put_ms=%.2f get_ms=%.2f\n", n, partitions, c.n,
           (unsigned long long)writers_of(&c), cover_bytes(&c), b.n, (t1 - t0) * 1e3, (t2 - t1) * 1e3);
    buf_deinit(&b);
    cover_deinit(&c);
    cover_deinit(&back);
    placement_free(p);
    free(v);
}

/* -- reads and rounds of repair ---------------------------------------------------------------------------------- */

struct cluster_of { /* n nodes */
    uint32_t n, nstreams;
    struct place_node *v;
    struct placement *p;
    const struct stream *streams;
    struct store_sums *sums;
    struct prng r;
};

static int by_stream(const void *a, const void *b)
{
    uint64_t x = ((const struct stream_sum *)a)->stream, y = ((const struct stream_sum *)b)->stream;
    return (x > y) - (x < y);
}

static uint32_t index_of(const struct cluster_of *c, node_id id)
{
    uint32_t i = 0;
    while (c->v[i].id.u != id.u)
        i++;
    return i;
}

/* No two members of a stream say the same of it. */
static void say_sums(struct cluster_of *c)
{
    uint32_t *cap = calloc(c->n, sizeof *cap);
    c->sums = calloc(c->n, sizeof *c->sums);
    if (!cap || !c->sums) die("sums");
    for (uint32_t s = 0; s < c->nstreams; s++)
        for (uint32_t m = 0; m < c->streams[s].n; m++) {
            uint32_t i = index_of(c, c->streams[s].members[m]);
            struct store_sums *v = &c->sums[i];
            if (v->n == cap[i]) v->v = realloc(v->v, (cap[i] = cap[i] * 2 + 16) * sizeof *v->v);
            if (!v->v) die("sums");
            v->v[v->n++] = (struct stream_sum){ c->streams[s].id, { (uint64_t)BATCHES * c->n * CORES - prng_below(&c->r, 100), prng_next(&c->r) } };
        }
    for (uint32_t i = 0; i < c->n; i++) {
        c->sums[i].version = (uint64_t)BATCHES * c->n * CORES;
        qsort(c->sums[i].v, c->sums[i].n, sizeof *c->sums[i].v, by_stream);
    }
    free(cap);
}

static size_t question_bytes(const struct question *q)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 31, NULL);
    question_put(q, &b);
    size_t n = b.n;
    buf_deinit(&b);
    return n;
}

static size_t said_bytes(const struct said *s, unsigned forms)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 31, NULL);
    said_put(s, forms, &b);
    size_t n = b.n;
    buf_deinit(&b);
    return n;
}

static size_t part_bytes(const struct read_part *p)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 31, NULL);
    read_part_put(p, &b);
    size_t n = b.n;
    buf_deinit(&b);
    return n;
}

/* A question about names of these streams and its answer, where so many cores of each node wrote to each since. */
static size_t names_bytes(const struct cluster_of *c, const uint64_t *ids, uint32_t n, uint32_t cores, bool met, unsigned forms)
{
    struct stream_since *since = calloc(n + 1, sizeof *since);
    struct said said;
    if (!since) die("streams");
    said_init(&said);
    said.sums.version = (uint64_t)BATCHES * c->n * CORES;
    for (uint32_t i = 0; i < n; i++) {
        since[i] = (struct stream_since){ ids[i], met ? said.sums.version - 1000 : 0 };
        for (uint32_t k = 0; k < c->n; k++)
            for (uint32_t core = 0; core < cores; core++)
                cover_add_run(&said.have, &(struct cover_run){ ids[i], c->v[k].id, 7, core, 1, BATCHES });
    }
    const struct question q = { .forms = forms, .streams = since, .n = n };
    size_t bytes = question_bytes(&q) + said_bytes(&said, forms);
    said_deinit(&said);
    free(since);
    return bytes;
}

static size_t sources_bytes(const struct cluster_of *c, const struct read_part *part, uint32_t cores, bool met)
{
    size_t sum = 0;
    uint64_t *ids = calloc(part->nstreams + 1, sizeof *ids);
    if (!ids) die("streams");
    for (uint32_t i = 0; i < part->nsources; i++) {
        for (uint32_t k = 0; k < part->sources[i].n; k++)
            ids[k] = part->streams[part->sources[i].which[k]];
        sum += names_bytes(c, ids, part->sources[i].n, cores, met, REACH_NAMES);
    }
    free(ids);
    return sum;
}

static void reading(struct cluster_of *c)
{
    struct read_plan plan;
    struct arena a;
    struct read_node *nodes = calloc(c->n, sizeof *nodes);
    struct read_stream *asked = calloc(c->nstreams, sizeof *asked);
    const struct question q = { .forms = REACH_SUMS | REACH_ITSELF };
    size_t bytes = 0;
    if (!nodes || !asked) die("nodes");
    for (uint32_t i = 0; i < c->n; i++) {
        struct said said = { .sums = c->sums[i] };
        nodes[i] = (struct read_node){ c->v[i].id, true, true, i > 0, 0, 7, &c->sums[i] };
        bytes += question_bytes(&q) + said_bytes(&said, q.forms);
    }
    for (uint32_t k = 0; k < c->nstreams; k++)
        asked[k] = (struct read_stream){ &c->streams[k], 2, true, false };
    arena_init(&a, NULL);
    double t0 = cpu_s();
    read_plan_make(&(struct read_ask){ nodes, c->n, asked, c->nstreams, 1 }, &a, &plan);
    double t1 = cpu_s();
    for (uint32_t i = 0; i < plan.nparts; i++)
        bytes += part_bytes(&plan.parts[i]);
    printf("read nodes=%u streams=%u coordinator_bytes=%zu bytes_a_node=%zu plan_ms=%.2f parts=%u reader_quiet_bytes=%zu reader_busy_bytes=%zu "
           "reader_first_bytes=%zu\n",
           c->n, c->nstreams, bytes, bytes / c->n, (t1 - t0) * 1e3, plan.nparts, sources_bytes(c, &plan.parts[0], 0, true),
           sources_bytes(c, &plan.parts[0], CORES, true), sources_bytes(c, &plan.parts[0], CORES, false));
    arena_deinit(&a);
    free(nodes);
    free(asked);
}

/* Of node 0: it asks all others about its streams, and they answer with those that are theirs, too. */
static size_t round_bytes(const struct cluster_of *c, uint32_t cores, bool met)
{
    const struct store_sums *ours = &c->sums[0];
    struct stream_since *since = calloc(ours->n + 1, sizeof *since);
    uint64_t *ids = calloc(ours->n + 1, sizeof *ids);
    const unsigned forms = REACH_NAMES | REACH_ITSELF;
    size_t sum = 0;
    if (!since || !ids) die("streams");
    for (uint32_t i = 0; i < ours->n; i++)
        since[i] = (struct stream_since){ ours->v[i].stream, met ? ours->version : 0 };
    const struct question q = { .forms = forms, .streams = since, .n = ours->n }, none = { .forms = forms };
    for (uint32_t i = 1; i < c->n; i++) {
        uint32_t n = 0;
        for (uint32_t k = 0; k < ours->n; k++)
            if (store_sums_find(&c->sums[i], ours->v[k].stream)) ids[n++] = ours->v[k].stream;
        const struct question shared = { .forms = forms, .streams = since, .n = n };
        sum += question_bytes(&q) - question_bytes(&shared) + (n ? names_bytes(c, ids, n, cores, met, forms) : question_bytes(&none) + 16);
    }
    free(since);
    free(ids);
    return sum;
}

static void scaling(uint32_t n)
{
    struct cluster_of c = { .n = n, .v = some_nodes(n) };
    uint32_t partitions = 64;
    while (partitions < n * PARTITIONS_EACH)
        partitions *= 2;
    prng_init(&c.r, n);
    need(placement_new(c.v, n, partitions, RF, &c.p));
    c.nstreams = placement_streams(c.p, &c.streams);
    say_sums(&c);
    reading(&c);
    printf("repair nodes=%u streams=%u quiet_bytes=%zu busy_bytes=%zu first_bytes=%zu\n", n, c.sums[0].n, round_bytes(&c, 0, true),
           round_bytes(&c, CORES, true), round_bytes(&c, CORES, false));
    for (uint32_t i = 0; i < n; i++)
        store_sums_deinit(&c.sums[i]);
    free(c.sums);
    placement_free(c.p);
    free(c.v);
}

int main(void)
{
    static const uint32_t nodes[] = { 3, 10, 30, 100, 300, 1000 }, partitions[] = { 64, 1024, 16384, 65536 };
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        for (size_t k = 0; k < ARRAY_LEN(partitions); k++)
            placing(nodes[i], partitions[k]);
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        for (size_t k = 0; k < ARRAY_LEN(partitions); k++)
            covering(nodes[i], partitions[k]);
    static const uint32_t scales[] = { 10, 50, 200, 1000 };
    for (size_t i = 0; i < ARRAY_LEN(scales); i++)
        scaling(scales[i]);
    return 0;
}
