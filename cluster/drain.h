/* Leaving for good, and forgetting who is gone.
 *
 * A node that drains says so: weight 0, health draining. New rows go to others, heirs take the streams of which it was a holder (heirs.h:
 * a member of weight 0 does not count). When as many others as a write needs have each of its streams as whole as it has it itself, it is
 * drained, and says that. It goes on answering and looking: what comes late, or a copy that is lost again, makes it draining once more. Who
 * stops it then takes it out of the cluster for good (swim: left). Stopped before, or killed, it is a node that is away; a start is the end of it.
 * It does not stop by itself: whatever looks after processes would start it again.
 *
 * Both run on core 0, and may be called on any. */
#ifndef CLUSTER_DRAIN_H
#define CLUSTER_DRAIN_H

#include "cluster/cluster.h"

struct drain_state {
    bool draining;
    bool drained;     /* nothing is here that enough others do not have, as of the last look */
    uint32_t streams; /* that it has, and of these */
    uint32_t covered; /* those that enough others have; of the last look */
};
/* Begins, once, and says how far it is. ERR_INVALID: there is nobody to leave the data to. */
MUST_CHECK err_t cluster_drain(struct cluster *c, struct drain_state *out) MAY_YIELD;
/* It is dead or left, and will not come back: nobody waits for it, or keeps its place. ERR_NOT_FOUND, ERR_INVALID. */
MUST_CHECK err_t cluster_forget(struct cluster *c, node_id id) MAY_YIELD;

#endif
