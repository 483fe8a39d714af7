/* Who is to hold a stream when nodes are gone, and what a node may vouch for. PURE.
 *
 * Gone for good is a member that left, that is dead for longer than dead_after, whose gossip address another living node has
 * (it lost its disk and is another node now), that was forgotten while we were up, or that nobody knows (believed only when we are up for
 * dead_after: before, we may just not have heard of it).
 *
 * Heirs. A stream is to be on `replicas` nodes, or as many as its tenant has now (tenants.h). Members that are not gone and not leaving (weight 0) count; the rest are heirs: living nodes
 * that are no members, in placement_order of the stream's id, from zones that have no copy first. All nodes that see the same members
 * see the same heirs. A stream that was written while there were fewer nodes gets heirs in the same way.
 *
 * Vouching. Node X vouches for a stream with a set G of its members: "all that was acknowledged before now is here, and members of G
 * acknowledge nothing any more". It may do so when
 *   - G are the members that it does not reach; all of them are gone; of all others it holds all that they cover
 *   - fewer than w members are in G and not in B, where B is what X vouched with before, or what a node vouches with of which X holds all
 *     it covers, or nothing.
 * Proof: what was acknowledged before B's moment is at who vouched with B, so here. What was acknowledged since then, or ever if B is nothing, is on w
 * members outside of B, of which fewer than w are in G: one at least is outside of G, and all that it covers is here.
 * So a read that reaches X lacks nothing acknowledged while fewer than w members outside of G are out of its reach: what came before the
 * moment is at X, what came later is on w members outside of G.
 * A member of G that is seen again ends it: it may acknowledge again. X withdraws, and a reader counts only those of G that it takes for gone
 * itself. (A stream of which one node holds a member dead for dead_after while another one writes to it is what SWIM excludes: claims of a
 * member's state reach all that reach each other, and it refutes them.)
 *
 * A stream of fewer members than its quorum is closed: nothing is acknowledged on it since its members are not alone. Who holds all
 * that they cover, seen in two rounds while none of them was alone, vouches with all of them. */
#ifndef CLUSTER_HEIRS_H
#define CLUSTER_HEIRS_H

#include "cluster/map.h"

struct heirs_opts {
    int64_t dead_after_ns;
    uint32_t replicas;
    mono_ns up_since; /* this node */
};

bool heirs_gone(const struct map *m, const struct heirs_opts *o, node_id id, mono_ns now);
/* The heirs of the stream; how many. */
uint32_t heirs_list(const struct map *m, const struct heirs_opts *o, const struct stream *st, mono_ns now, node_id out[STREAM_MEMBERS_MAX]);
/* Is `id` one of the heirs of the stream? */
bool heirs_has(const struct map *m, const struct heirs_opts *o, const struct stream *st, node_id id, mono_ns now);

typedef uint8_t member_set; /* of a stream: bit i = members[i] */
_Static_assert(STREAM_MEMBERS_MAX <= 8, "member_set");

struct vouch_basis {
    bool any;
    member_set with;
};
/* reached: members that were asked, and of which all is here (this node itself, if it is a member); gone: as above. False: not now. */
bool vouch_next(const struct stream *st, uint32_t w, member_set reached, member_set gone, const struct vouch_basis *bases, uint32_t nbases, member_set *out);
/* Does a reader that does not reach `away` lack nothing, when it reaches one that vouches `with`? */
bool vouch_suffices(const struct stream *st, uint32_t w, member_set away, member_set with);

#endif
