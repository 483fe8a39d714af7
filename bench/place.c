/* What the cluster's plans cost as it grows, one core:  bench_place
 * For 10 to 1,000 nodes and 64 to 65,536 partitions: the time of a placement, and of the next one when one node goes and one comes;
 * how far the fullest node is above the mean; the streams that there are. */
#include "bench/bench.h"

#include "base/core/prng.h"
#include "cluster/placement.h"

enum { RF = 3 };

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

int main(void)
{
    static const uint32_t nodes[] = { 10, 30, 100, 300, 1000 }, partitions[] = { 64, 1024, 16384, 65536 };
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        for (size_t k = 0; k < ARRAY_LEN(partitions); k++)
            placing(nodes[i], partitions[k]);
    return 0;
}
