/* How many nodes keep the rows of which tenant. PURE.
 *
 * All tenants have `replicas` and `quorum` of the cluster's settings, but those that are named. With `nodes` a tenant's rows go to so many nodes
 * only, drawn for it (placement.h): what one tenant does or suffers then touches few nodes of many. Tenants that are not named are drawn by
 * groups, STREAM_GROUPS of them by the hash of their names: so the number of streams does not grow with the number of tenants; two
 * tenants have the same nodes with the odds of 1 in STREAM_GROUPS, or of the few ways to draw them.
 *
 *   cluster.tenants = name=replicas/quorum[/nodes],...      nodes: 0 = all, left out = cluster.tenant_nodes
 *
 * All nodes need the same settings, and say so where others have different ones (/api/cluster, a banner, a gauge): rows of a tenant go where the node says that took them. A change holds for what is written from then
 * on; what was written before is read as before, and of a tenant that gets more replicas heirs copy it to as many nodes (heirs.h). */
#ifndef CLUSTER_TENANTS_H
#define CLUSTER_TENANTS_H

#include "storage/names.h"
#include "storage/signal.h"

enum { TENANTS_NAMED_MAX = 256 };
struct tenant_copies {
    char name[TENANT_MAX + 1]; /* empty: of those that are not named */
    uint64_t key;              /* stream_tenant; 0 with no name */
    uint32_t replicas, quorum, nodes;
};
struct tenants {
    struct tenant_copies others;
    uint32_t n;
    struct tenant_copies *v; /* ascending key */
};
/* ERR_INVALID says what is wrong. tenants_deinit also after an error. */
MUST_CHECK err_t tenants_parse(struct tenants *t, const char *text, uint32_t replicas, uint32_t quorum, uint32_t nodes);
void tenants_deinit(struct tenants *t);
/* Of all of it; 0 is none. What nodes say of their settings in gossip, so that they notice that they have different ones. */
uint32_t tenants_digest(const struct tenants *t);
/* NULL: no named tenant has the key. */
const struct tenant_copies *tenants_find(const struct tenants *t, uint64_t key);

#endif
