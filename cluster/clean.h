/* Room of deleted rows made free on all nodes (storage/store_delete.h, store_clean): what one node is asked for is asked of all.
 *
 *   METHOD_CLEAN  nothing  ->  nothing, when the node has done it */
#ifndef CLUSTER_CLEAN_H
#define CLUSTER_CLEAN_H

#include "cluster/cluster.h"

enum { CLEAN_WAIT_MS = 30 * 1000 };

/* c NULL: on this node alone. Else on it and on all members that live, each of which has CLEAN_WAIT_MS. ERR_UNAVAILABLE: some did not do it, or are away
 * and not gone; the others did. The first of them is named. */
MUST_CHECK err_t cluster_clean(struct cluster *c, struct store *s) MAY_YIELD;

rpc_handler clean_on_clean;

#endif
