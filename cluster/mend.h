/* Who gives what is lost here (storage/mend.h): with every round of repair, while anything is lost. Every living node is asked what it has
 * of those streams; of those that have a stream and have lost nothing of it the one that lacks least of what is here gives it (handoff.h), the
 * nearest to us in the order of ids of equal ones. What nobody can give now waits, and is told of (tercet_mend_alone). */
#ifndef CLUSTER_MEND_H
#define CLUSTER_MEND_H

#include "cluster/cluster.h"

/* On core 0. */
void mend_round(struct cluster *c, const struct map *map) MAY_YIELD;

#endif
