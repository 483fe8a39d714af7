/* What goes wrong, drawn by the seed: some kinds of faults are on in a seed, and come one after the other, often over each other. Each
 * notes which nodes may be out of reach until when (world.bad_until), with the time that others need to see them well again. */
#ifndef TESTS_CLUSTER_NEMESIS_H
#define TESTS_CLUSTER_NEMESIS_H

#include "tests/cluster/script.h"

enum {
    GRACE_S = 15, /* after a fault nodes may be taken for dead so long */
    FRESH_S = 2,  /* a node that knows nobody knows all after so long */
};

void nemesis_fiber(void *arg);              /* of struct world; until w->stop */
void nemesis_heal(struct world *w) MAY_YIELD; /* all faults end, all nodes that are off start */
void nemesis_start(struct world *w, unsigned node);
void nemesis_keep_on(struct world *w); /* starts those that ended by themselves, as their supervisors would */

#endif
