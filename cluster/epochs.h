/* Names are given once (names.h): an epoch is raised at every start, in the catalog. A catalog, or a whole data directory, that is put back from
 * an earlier day gives epochs out again; what is named a second time would be taken for what others have under that name, and be acknowledged
 * and lost. Gossip finds a generation that is lower than one seen (swim.h); this finds one that is the same, and those that gossip never
 * heard of: by the names themselves.
 *
 * Before a node gives its first name it looks for names of its own, of this epoch or a later one, in its logs and segments, and asks
 * EPOCHS_ASK_MAX members that it knew in its earlier life; later each one, when it first comes to live, for names that this life did not
 * give. Where there is one the node does not start, or stops: an older state of its data lacks what was written and what was deleted since, so it does
 * not go on with it. A node that never knew another one has nobody to fill it: it says so, and goes on with an epoch past those it finds.
 *
 *   METHOD_EPOCHS  u64 node | v epoch  ->  cover: names of that node, of that epoch and later ones, that are covered here; not all of too many */
#ifndef CLUSTER_EPOCHS_H
#define CLUSTER_EPOCHS_H

#include "cluster/cluster.h"

enum { EPOCHS_ASK_MAX = 64, EPOCHS_RUNS_MAX = 4096 };

/* When the members of the earlier life are known, before anything else begins; core 0. ERR_CORRUPT says what to do. */
MUST_CHECK err_t epochs_check(struct cluster *c) MAY_YIELD;
/* One that comes to live; stops the node. */
void epochs_ask(struct cluster *c, node_id id) MAY_YIELD;

rpc_handler epochs_on_ask;

#endif
