/* What a node says of itself beside its address: its health, and a digest of what it holds.
 *
 *   WELL       --- the log's commits were slow for SLOW_FOR_S ---> DEGRADED: others read elsewhere; it keeps its share of new rows
 *   DEGRADED   --- they were not for as long --------------------> WELL
 *   any        --- a write or sync of the log failed ------------> DISK_FAILING, for the rest of this life, which is short: others read elsewhere
 *
 * Looked at every LOOK_MS. Commits are slow when their 99th percentile since the last look was over a second (more than one in 100 took longer), or when one
 * is under way for longer than that. The digest changes with every write; how often it is told swim.c limits. */
#ifndef CLUSTER_CONDITION_H
#define CLUSTER_CONDITION_H

#include "cluster/cluster.h"

enum { CONDITION_LOOK_MS = 5000, CONDITION_SLOW_FOR_S = 30 };

/* PURE: health by what the store says of its commits (store_stats). */
struct condition {
    uint64_t commits, slow; /* at the last look */
    mono_ns looked;
    mono_ns other_since;    /* looks have contradicted `degraded` since; {0}: the last did not */
    bool degraded;
};
void condition_look(struct condition *c, const struct store_stats *s, mono_ns now);

/* The fiber that looks and tells. Core 0. */
MUST_CHECK err_t condition_start(struct cluster *c, struct scope *scope);

#endif
