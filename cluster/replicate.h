/* The write path over nodes: an ack means that `quorum` nodes of the replica set have synced it.
 *
 *   batches -> cut by stream (batch_split) -> each piece named and encoded once -> the same bytes to every member of its stream,
 *   ours into the store -> acked when a quorum of each stream's members answered
 *
 * Promises
 *  1. OK: on quorum nodes every row is synced and visible. An error: unknown; the same content sent again is stored once in a stream.
 *  2. Who is slower than the quorum still gets the bytes, as long as those on their way to it take no more than REPLICATE_BEHIND_MAX;
 *     else it is left to fetch them (repair.h).
 *  3. Fewer reachable than the quorum: ERR_UNAVAILABLE, retryable, and never a weaker ack.
 * A call METHOD_PUT carries: v members of the stream, their ids, u64 epoch | v core | v seq, the request's bytes. */
#ifndef CLUSTER_REPLICATE_H
#define CLUSTER_REPLICATE_H

#include "cluster/cluster.h"

enum { REPLICATE_BEHIND_MAX = 64 << 20 /* bytes, a core and node */ };

/* As store_append. c NULL: the node is no part of a cluster, store_append of s. */
MUST_CHECK err_t replicate_append(struct cluster *c, struct store *s, struct batch *const *batches, uint32_t n) MAY_YIELD;

/* The other side; ctx is the struct cluster. */
rpc_handler replicate_on_put;

#endif
