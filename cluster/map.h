/* What a core goes by: who is in the cluster, which of them rows of a partition are written to, and how many must have synced them.
 * Made on core 0 whenever the membership changed, the same for all cores, never changed afterwards; counted with atomics.
 *
 * Rules
 *  1. A node that never saw another one and was told of none (no seeds) is alone: it writes to the stream of itself, and its own sync is
 *     the ack. In every other case write_quorum nodes must sync, or there is no ack.
 *  2. Rows go to nodes that are alive, suspected, or dead for less than dead_after: for a short absence nothing is placed anew, what the
 *     absent one misses it fetches when it is back; and what a client sends again goes to the stream that may have it already. Nodes that
 *     left and those of weight 0 get none, nor does a dead one whose gossip address a living node has: it lost its disk, and is that one now.
 *  3. Where fewer nodes than `replicas` can be written to, all of them get everything.
 *  4. Tenants that are named in cluster.tenants, and groups of the others where cluster.tenant_nodes is less than the nodes there are, are
 *     placed by themselves (tenants.h), in streams of their own. */
#ifndef CLUSTER_MAP_H
#define CLUSTER_MAP_H

#include "cluster/members.h"
#include "cluster/placement.h"
#include "cluster/tenants.h"

#include <stdatomic.h>

struct map_opts {
    node_id self;
    uint32_t partitions, replicas, write_quorum;
    int64_t dead_after_ns;
    bool seeds; /* somebody is to be found: given, or known from before */
    const struct tenants *tenants; /* outlives all maps; NULL: none is named, and all are placed on all nodes */
};

struct map_tenants { /* how the rows of some tenants are placed */
    uint64_t tenant;             /* as their streams have it (stream_rows) */
    uint32_t replicas, quorum, nodes;
    struct placement *placement; /* NULL: nobody takes rows */
};

struct map {
    _Atomic uint32_t refs;
    node_id self;
    bool alone;
    uint32_t replicas;        /* that rows are placed on, where there are as many nodes: 1 where alone */
    uint32_t quorum;          /* acks wanted: 1 where alone */
    uint32_t n;
    const struct member *v;   /* ascending id, self included: those of `members` */
    struct members *members;  /* counted */
    uint32_t nforgotten;
    node_id *forgotten;       /* members that were forgotten in this life */
    struct placement *placement; /* of tenants that have none of their own. NULL: nobody takes rows */
    uint32_t nplaced;
    struct map_tenants *placed;  /* ascending tenant: groups, then those that are named */
    uint32_t ntaking;
    struct place_node *taking;   /* those that rows are written to; ascending id */
    uint64_t placed_on;          /* a hash of them: of the same settings, equal ones place alike */
    mono_ns next;             /* when the same members would make another map; MONO_NEVER */
};
/* `was`: an earlier map of the same options, or NULL; from it the placement costs a tenth (placement.h). Does not yield: past MAP_HERE_MAX
 * of members times partitions it takes more than a millisecond, and belongs on a thread of its own.
 * ERR_INVALID says what is wrong with the members (a node that takes no rows at all is not wrong). */
enum { MAP_HERE_MAX = 1 << 18 };
MUST_CHECK err_t map_new(const struct map_opts *o, const struct map *was, struct members *m, mono_ns now, struct map **out);
/* One that places rows as a map did that had these in `taking`, and has no members: of earlier placements (earlier.h). */
MUST_CHECK err_t map_of_places(const struct map_opts *o, const struct place_node *nodes, uint32_t n, bool alone, struct map **out);
/* Pieces of work that map_new is, of n members: compared with MAP_HERE_MAX. */
uint64_t map_work(const struct map_opts *o, uint32_t n);
/* How rows of the tenant are placed. */
struct map_tenants map_tenants_of(const struct map *m, struct str tenant);
/* Members that must sync a row of the stream before it is acknowledged; more than it has: it is closed. */
uint32_t map_stream_quorum(const struct map *m, const struct stream *st);
/* Nodes that are to keep the stream, as the settings are now. */
uint32_t map_stream_replicas(const struct map *m, const struct stream *st, uint32_t others);
/* All streams that rows are written to now, of all tenants; malloc'd. */
struct stream *map_streams(const struct map *m, uint32_t *n);
struct map *map_get(struct map *m);
void map_put(struct map *m);
/* Has a living node the gossip address of this one? Of members, ascending ids or not. */
bool map_replaced(const struct member *all, uint32_t n, const struct member *m);
/* Living members that have other settings than this node, where rows of tenants go (tenants.h). */
uint32_t map_settings_differ(const struct map *m);
bool map_has_other_settings(const struct map *m, const struct member *of);
/* NULL: no such node. */
const struct member *map_member(const struct map *m, node_id id);

#endif
