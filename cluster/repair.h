/* Getting what others have and we miss, and telling the store what everybody has.
 *
 * A fiber of core 0 asks every living member in turn for its cover of the streams we are a member of, every REPAIR_EVERY_MS, and at once when
 * a node has come back. What is missing here in two rounds in a row (in between it may have been on its way) is fetched from the node that
 * has it. What every member of a stream has is told to the store, which keeps its logs until then (store_covered): the last word of a
 * member that is away counts.
 *
 * Limits: one fetch at a time, PULL_BYTES each, at maintenance share; it never holds up an ack, and leaves half of the memtables'
 * memory to what clients write: past that it waits for a seal. */
#ifndef CLUSTER_REPAIR_H
#define CLUSTER_REPAIR_H

#include "cluster/cluster.h"

struct repair;
MUST_CHECK err_t repair_start(struct cluster *c, struct scope *scope, struct repair **out);
void repair_now(struct repair *r); /* the membership changed */
void repair_free(struct repair *r); /* its fiber has ended */

#endif
