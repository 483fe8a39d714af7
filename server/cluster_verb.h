/* `tercet cluster status`: what a running node thinks of its cluster, as a table for people. */
#ifndef SERVER_CLUSTER_VERB_H
#define SERVER_CLUSTER_VERB_H

#include "base/core/config.h"

/* Asks /api/cluster of the node that runs with these settings, and prints it. Blocks: not for fibers. */
MUST_CHECK err_t cluster_status(const struct config *c);

#endif
