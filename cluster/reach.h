/* Exact reads: who has what, who of them is read, and how a node comes to have what it is to answer from.
 *
 * A read asks every node that is alive for its streams and its cover, leaves to read_plan.h which node answers for which streams and what
 * it must have for that, and each of those first makes sure that it has it (reach_here): what is on its way is waited for, what is
 * not is fetched by name.
 *
 *   METHOD_COVER  v number of streams asked for (0: all), u64 each  ->  v streams, each as in replicate.h; cover; what it vouches
 *                                                                       for (vouches.h), u8 is it alone; v streams of which it cannot
 *                                                                       read something, u64 each, ascending
 *   METHOD_PULL   cover wanted, v bytes_max                         ->  (v length, request's bytes)*, as many as fit */
#ifndef CLUSTER_REACH_H
#define CLUSTER_REACH_H

#include "cluster/cluster.h"
#include "cluster/read_plan.h"
#include "cluster/vouches.h"

struct reading {
    struct arena a;
    struct read_plan plan;
    node_id *nodes;                 /* those of read_part.node */
    bool all_here;                  /* this node answers for all there is, and lacks nothing: as if it were alone */
    bool apart;                     /* sides of a trace or a series may lie on different nodes: who needs it whole joins them (query.h) */
    char incomplete[READ_WHY_MAX];  /* what answers must say; empty: nothing is missing */
};
/* Of all streams that rows of the tenant can be in; of all there are when it is STR_NONE. Nodes of `avoid` failed: one that is in it once answers only for what no other node could, one that is in it twice is taken to be out
 * of reach. On success reading_free is due. ERR_CANCELED, ERR_TIMEOUT. */
MUST_CHECK err_t reach_plan(struct cluster *c, struct str tenant, const node_id *avoid, uint32_t navoid, struct reading *out) MAY_YIELD;
void reading_free(struct reading *r);
/* Returns when all of `need` is on this node. ERR_UNAVAILABLE says what nobody could give until the deadline, or why this node does not take
 * what was given (its disk is full). */
MUST_CHECK err_t reach_here(struct cluster *c, const struct cover *need, mono_ns deadline) MAY_YIELD;

/* Fetches what it can of `want` from another node, each request when memtables are no more than half full; *got: requests.
 * ERR_OVERLOAD: they were fuller for some seconds. */
MUST_CHECK err_t reach_pull(struct cluster *c, node_id from, const struct cover *want, uint64_t *got) MAY_YIELD;
/* What a node says of itself. */
struct said {
    struct cover have;
    struct vouch_list vouches;
    bool alone;
    uint64_t *lost; /* [nlost], ascending: streams of which it cannot read something (storage/mend.h) */
    uint32_t nlost;
};
void said_init(struct said *s);
void said_deinit(struct said *s);
bool said_lost(const struct said *s, uint64_t stream);
void said_own_lost(struct store *store, struct said *s); /* of this node */
/* Asks another node for its cover, of streams (n = 0: all); streams it has that we do not know become known here. */
MUST_CHECK err_t reach_ask(struct cluster *c, node_id node, const uint64_t *streams, uint32_t n, mono_ns deadline, struct said *out) MAY_YIELD;

rpc_handler reach_on_cover, reach_on_pull;

#endif
