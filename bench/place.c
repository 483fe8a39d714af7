/* What the cluster's plans cost as it grows, one core:  bench_place
 * For 3 to 1,000 nodes and 64 to 65,536 partitions, three copies, every core of every node having written to every stream:
 *   placement  the time of one, and of the next one when a node goes or comes; how far the fullest node is above the mean; streams
 *   cover      of one node: writers, memory, bytes to send, the time to write and to read them
 *   plan       of a read of all streams: what all nodes' covers hold, the time to plan, nodes that answer, bytes of what they lack */
#include "bench/bench.h"

#include "base/core/prng.h"
#include "cluster/placement.h"
#include "cluster/read_plan.h"

enum { RF = 3, CORES = 4, BATCHES = 100000 };
enum { PLAN_WRITERS_MAX = 4 << 20 }; /* more are not planned: their covers alone are 200 MB */

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

static size_t lacking(const struct read_plan *plan)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 31, NULL);
    for (uint32_t i = 0; i < plan->nparts; i++)
        cover_put(&plan->parts[i].lacks, &b);
    size_t n = b.n;
    buf_deinit(&b);
    return n;
}

static void plan_over(const struct placement *p, const struct place_node *v, uint32_t n, uint32_t partitions)
{
    const struct stream *s;
    struct read_plan plan;
    struct arena a;
    uint64_t writers = 0;
    uint32_t streams = placement_streams(p, &s);
    struct cover *covers = calloc(n, sizeof *covers);
    struct read_node *nodes = calloc(n, sizeof *nodes);
    struct read_stream *asked = calloc(streams, sizeof *asked);
    if (!covers || !nodes || !asked) die("covers");
    for (uint32_t i = 0; i < n; i++) {
        fill_cover(p, v, n, v[i].id, &covers[i]);
        writers += writers_of(&covers[i]);
        nodes[i] = (struct read_node){ v[i].id, true, true, i > 0, 0, &covers[i] };
    }
    for (uint32_t k = 0; k < streams; k++)
        asked[k] = (struct read_stream){ &s[k], 2, true, false };
    arena_init(&a, NULL);
    double t0 = cpu_s();
    read_plan_make(&(struct read_ask){ nodes, n, asked, streams, 1 }, &a, &plan);
    double t1 = cpu_s();
    printf("plan nodes=%u partitions=%u streams=%u writers=%llu plan_ms=%.2f parts=%u lacks_bytes=%zu\n", n, partitions, streams,
           (unsigned long long)writers, (t1 - t0) * 1e3, plan.nparts, lacking(&plan));
    read_plan_deinit(&plan);
    arena_deinit(&a);
    for (uint32_t i = 0; i < n; i++)
        cover_deinit(&covers[i]);
    free(covers);
    free(nodes);
    free(asked);
}

static void planning(uint32_t n, uint32_t partitions)
{
    struct place_node *v = some_nodes(n);
    struct placement *p;
    const struct stream *s;
    need(placement_new(v, n, partitions, RF, &p));
    uint64_t writers = (uint64_t)placement_streams(p, &s) * RF * n * CORES;
    if (writers <= PLAN_WRITERS_MAX) plan_over(p, v, n, partitions);
    else
        printf("plan nodes=%u partitions=%u streams=%u writers=%llu: not planned, the covers of all nodes are too much for one\n", n, partitions,
               placement_streams(p, &s), (unsigned long long)writers);
    placement_free(p);
    free(v);
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
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        for (size_t k = 0; k < ARRAY_LEN(partitions); k++)
            planning(nodes[i], partitions[k]);
    return 0;
}
