/* Which nodes hold which partition: weighted rendezvous hashing. PURE: the same nodes give the same answer on every node, whatever
 * their order. Who holds what was written already is what coverage says: two nodes that see different members for a while write to
 * different streams, no worse.
 *
 * A node's cost for a partition is -ln(u) / weight, with u in (0, 1) drawn from a hash of both; the lowest costs hold it. (D. Thaler,
 * C. Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 6(1), 1998; with weights: C. Schindelhauer, G.
 * Schomaker, "Weighted distributed hash tables", SPAA 2005, the logarithmic method.) The cost is that of an exponentially distributed
 * arrival of rate `weight`, so a node's is the lowest with the probability weight / sum of weights, and a change of one node changes
 * no cost of others. A copy after the first is drawn among the nodes that are left: a node of much of the weight gets less than its
 * share of copies, since it holds a partition once.
 *
 * Zones: nodes are taken in the order of their cost, one a zone; when the zones are used up, by cost alone. So copies lie in different
 * zones while there are enough, and a zone of few nodes gets as much as any other when there are rf zones.
 *
 * Spread: the copies of a node are a random draw, with a standard deviation of about sqrt(copies): 0.5 % at 3 nodes and 65,536
 * partitions, 7 % at 1,000 nodes. What keeps it from being better is what keeps a change of one node from moving what others hold.
 *
 * Cost: placement_new looks at every (partition, node), a few ns each (190 ms for 1,000 nodes and 65,536 partitions); placement_next at
 * each partition once for a node that came, and anew at those that a node left (15 ms). Neither yields: with many partitions they
 * belong on a thread of their own. */
#ifndef CLUSTER_PLACEMENT_H
#define CLUSTER_PLACEMENT_H

#include "base/core/err.h"
#include "storage/names.h"

enum { PLACEMENT_NODES_MAX = 4096, PLACEMENT_PARTITIONS_MAX = 65536 };

struct place_node {
    node_id id;
    uint64_t zone;   /* hash of its name; 0 = none: differs from all */
    uint32_t weight; /* 0 = takes nothing */
};

struct placement; /* immutable */

/* Rows that are placed by themselves: those of one tenant. */
struct place_tenant {
    uint64_t tenant;   /* stream_tenant; 0: of all that have no settings of their own */
    uint32_t quorum;   /* of its streams (stream_rows); 0: that of the cluster */
    uint64_t draw;     /* a number of the tenant, by which its nodes are drawn */
    uint32_t nodes;    /* it has so many, `rf` at least; 0: all */
};
/* partitions: a power of two; 1 <= rf <= STREAM_MEMBERS_MAX; fewer nodes than rf: all of them. ERR_INVALID past the limits, with two
 * nodes of one id, and when no node takes anything. */
MUST_CHECK err_t placement_new(const struct place_node *nodes, uint32_t n, uint32_t partitions, uint32_t rf, struct placement **out);
/* Of one tenant. Its nodes are those of the lowest costs for its draw: zone after zone, one of each, until there are enough. So a node
 * that comes or goes changes one of them at most, and the nodes of one tenant are drawn independently of those of another. */
MUST_CHECK err_t placement_new_of(const struct place_tenant *of, const struct place_node *nodes, uint32_t n, uint32_t partitions, uint32_t rf,
                                  struct placement **out);
/* What placement_new (placement_new_of) gives for these nodes, from what was before. */
MUST_CHECK err_t placement_next(const struct placement *was, const struct place_node *nodes, uint32_t n, struct placement **out);
void placement_free(struct placement *p);

/* The distinct streams, in the order of their first partition; lends them until placement_free. How many. */
uint32_t placement_streams(const struct placement *p, const struct stream **out);
/* Of every partition, the index of its stream; lends. */
const uint32_t *placement_map(const struct placement *p);
uint32_t placement_of(const struct placement *p, uint32_t partition);

/* The nodes that take anything in the order of their cost for a key (a partition, or the id of a stream), into out[n]: who would
 * hold it if those before were gone. Zones are the caller's. How many. */
uint32_t placement_order(const struct place_node *nodes, uint32_t n, uint64_t key, node_id *out);

#endif
