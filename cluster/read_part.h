/* One node's part of a read: the streams that it answers for, and from whom it must have what it may lack of them. PURE.
 *
 * A source is a node that said, when the read began, that it covers of a stream something else than the reader did. The reader answers when
 * it holds all that its sources covered then. It has to ask them only for what is newer than what it knows to hold of theirs (agreed.h).
 *
 * Spare. A write is acknowledged when w members of its stream have it. So a reader that holds all that all members cover but
 * for w - 1 of them holds all that was acknowledged. Of each stream the plan says how many members more than those that are out of reach
 * already may fail to tell (spare), and of each source for how many members it stands (weight: members that said the same
 * are asked through one of them). Sources may fail while the weights of those of a stream are no more than its spare. Where what is out of
 * reach is made good otherwise (vouches.h), or nothing makes it good, no source may fail: spare 0, weight 1 and more.
 *
 *   v streams, (u64 id | v spare)* | v sources, (u64 node | u64 life | v version | v streams, (v which | v weight)*)*
 * Ids of streams ascend, and so do the places of a source's streams among them. */
#ifndef CLUSTER_READ_PART_H
#define CLUSTER_READ_PART_H

#include "base/core/arena.h"
#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "storage/names.h"

struct read_source {
    node_id node;
    uint64_t life, version; /* of what it said: store_names.h */
    uint32_t n;
    uint32_t *which;        /* places among the part's streams, ascending */
    uint32_t *weight;
};
struct read_part {
    uint32_t node; /* in the plan; not on the wire */
    bool lost;     /* likewise: it cannot read something of one of them, and no other node can answer */
    uint32_t nstreams;
    uint64_t *streams; /* ids, ascending */
    uint32_t *spare;
    uint32_t nsources;
    struct read_source *sources;
};

enum { READ_STREAMS_MAX = 65536, READ_SOURCES_MAX = 4096 };

void read_part_put(const struct read_part *p, struct buf *out);
/* Arrays lie in the arena. ERR_CORRUPT, ERR_LIMIT. Bytes may follow. */
MUST_CHECK err_t read_part_get(struct bytes_in *in, struct arena *a, struct read_part *out);

#endif
