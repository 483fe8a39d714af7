/* Rules of retention as documents of the cluster (cluster/docs.h, kind DOC_KEEP): set on one node, in force on all. The key is tenant
 * "/" signal "/" hash of what the rule is for, in hex; the value u8 removed | one rule as keep_rules_encode writes it. A rule that was removed stays as
 * a document that says so. Rules that come from the configuration of an index follow that (indexes.h), and are none of these. */
#ifndef SERVER_API_RULES_H
#define SERVER_API_RULES_H

#include "cluster/cluster.h"
#include "storage/store_keep.h"

/* c NULL: store_keep_edit. In force here and on every living node when it returns. */
MUST_CHECK err_t rules_edit(struct cluster *c, struct store *s, const struct keep_edit *e, struct arena *a) MAY_YIELD;
/* On core 0: see indexes_follow, which comes before. */
void rules_follow(struct cluster *c, struct store *s) MAY_YIELD;
void rules_follow_end(struct cluster *c) MAY_YIELD;

#endif
