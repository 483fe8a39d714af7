/* The members a node knew, kept with its data: after a restart it finds them again without seeds, places rows where it placed them
 * before (a retry that met another placement would be stored in another stream, a second time), and a node that had others beside it
 * never takes itself to be alone. One record of the catalog, cluster/known. */
#ifndef CLUSTER_KNOWN_H
#define CLUSTER_KNOWN_H

#include "cluster/members.h"
#include "storage/store_names.h"

/* Others than `self`, into the arena; *told: see reach.h. */
MUST_CHECK err_t known_load(struct store *s, node_id self, struct arena *a, struct member **out, uint32_t *n, bool *told) MAY_YIELD;
/* Writes when something to be kept is different from what is there. */
MUST_CHECK err_t known_save(struct store *s, const struct members *m, bool told) MAY_YIELD;

#endif
