/* The write path over nodes: an ack means that `quorum` nodes of the replica set have synced it.
 *
 *   batches -> cut by stream (batch_split; content that was sent before as it was cut then: earlier.h) -> each piece named and encoded once -> the same bytes to every member of its stream,
 *   ours into the store -> acked when a quorum of each stream's members answered
 *
 * As many members as the quorum wants beside us get a piece at once: those that are well and near, in the order of ids from our own on, so
 * that every member is asked first by another. The others get it when others go to them too, LANE_WAIT_MS later at the latest (lane.h): they sync many
 * pieces as one. They get it at once when one that was asked first fails, or when somebody asks this node what it has (a read, which may
 * be about to wait for it there). So an ack never waits longer for one slow member than LANE_WAIT_MS and the next one's sync.
 *
 * Promises
 *  1. OK: on quorum nodes every row is synced and visible. An error: unknown; the same content sent again is stored once, as far as earlier.h says.
 *  2. Who is slower than the quorum still gets the bytes, as long as those on their way to it take no more than REPLICATE_BEHIND_MAX;
 *     else it is left to fetch them (repair.h).
 *  3. Fewer reachable than the quorum: ERR_UNAVAILABLE, retryable, and never a weaker ack.
 * A call METHOD_PUT has requests as in lane.h, each: u64 digest of the sender's deletions (deletions.h), the stream (cluster_int.h), the request's
 * bytes (batch.h). PUT_DIFFERS of one: it is not taken, since both have made different deletions; the sender learns of the other's. It sends it again when it
 * had none to make; else that member does not acknowledge it (deletions.h says why). */
#ifndef CLUSTER_REPLICATE_H
#define CLUSTER_REPLICATE_H

#include "cluster/cluster.h"

struct cluster_core;
#define PUT_DIFFERS ERR_FORBIDDEN /* nothing else forbids a request of a member */
enum { REPLICATE_BEHIND_MAX = 64 << 20 /* bytes, a core and node */ };

/* As store_append. c NULL: the node is no part of a cluster, store_append of s. */
MUST_CHECK err_t replicate_append(struct cluster *c, struct store *s, struct batch *const *batches, uint32_t n) MAY_YIELD;
/* Pieces that wait for others go to where they belong, on all cores: somebody is about to ask for what this node has. */
void replicate_hurry(struct cluster *c) MAY_YIELD;
/* The running core stops: what waits goes, is waited for a moment, and what comes later fails. */
void replicate_last(struct cluster_core *cc) MAY_YIELD;

/* The other side; ctx is the struct cluster. */
rpc_handler replicate_on_put;

#endif
