/* `tercet cluster status|drain|forget`: what a running node thinks of its cluster as a table for people; leaving it, forgetting a dead one. */
#ifndef SERVER_CLUSTER_VERB_H
#define SERVER_CLUSTER_VERB_H

#include "base/core/config.h"

/* Asks /api/cluster of the node that runs with these settings, and prints it. Blocks: not for fibers. */
MUST_CHECK err_t cluster_status(const struct config *c);
/* POST /api/cluster/drain, again every second, and a line whenever it is further, until the node says that it is drained. Who is interrupted does not
 * interrupt the drain. Blocks: not for fibers. */
MUST_CHECK err_t cluster_drain_wait(const struct config *c);
/* POST /api/cluster/forget, and prints what the node answers. Blocks: not for fibers. */
MUST_CHECK err_t cluster_forget_node(const struct config *c, const char *node);

#endif
