/* Which node answers a read for which stream, and what it must have before it does. PURE: from the sums of what the nodes said they cover
 * (storage/cover.h) to a plan; nothing is asked or sent here.
 *
 * Rows are read once: a stream is answered by one node. All that any reachable node covers is read: nodes that said another sum
 * than the chosen one are its sources (read_part.h), of which it finds out what it lacks, to wait for it or to pull it before it answers;
 * equal sums are equal covers. Of nodes that said the same as each other one is the source: a healthy one, the nearest. A cover only grows (a
 * node that lost its disk is another node), so what a node said it covers stays so; rows that it gets meanwhile are read too. A node
 * that gave the stream away since must refuse, and the plan is made anew.
 *
 * So a plan takes a sum for each stream of each node, whatever was written: bytes and time grow with the streams times their holders, and
 * the logarithm of those.
 *
 * Complete: a write is acknowledged when w members of its stream have it, so while fewer than w of them are out of reach each
 * acknowledged write is on one that is reached. A stream may be vouched for instead: a reachable node, a member or an heir of one
 * that is gone, knows that it holds all that was acknowledged up to a moment, and what came later is on members that are reached (proven
 * in heirs.h). Else the plan says in words what may be missing.
 *
 * A barred node answers for no stream. Where all that hold something of one are barred, it is missing.
 *
 * Choice, in this order:
 *   - nodes that hold nearly as much of the stream as the one that holds most and of which none of it is lost (storage/lost.h),
 *     healthy ones first; else those that hold nearly as much, whose answers then say what is missing;
 *   - few nodes in all: the node that can answer for most of the streams that are left takes them all, again and again (greedy set
 *     cover: at most 1 + ln(streams) times the fewest there can be);
 *   - of equal ones the nearest, then the least loaded, then by a hash of seed and id, so that coordinators differ.
 * So a node that can answer alone does, and streams that share members tend to the same node.
 *
 * A trace or series may lie in two streams when its partition changed hands. Which partitions a stream has is part of it (names.h: to a
 * bit of 64, exactly where there are no more partitions); two that are written to now have none in common. So a stream is `apart` when another one with
 * a partition of the same bit, one of both being of the past, is answered by another node: states of the two must be merged by more than
 * adding. No node need hold both: a partition may have changed hands often. Who reads brings what it needs whole to itself
 * (query/query.h), and does not pull streams to one node for it: that would store all of a stream where it does not belong. */
#ifndef CLUSTER_READ_PLAN_H
#define CLUSTER_READ_PLAN_H

#include "cluster/read_part.h"
#include "storage/store_names.h"

enum { READ_WHY_MAX = 256 };
#define READ_NOBODY UINT32_MAX

struct read_node {
    node_id id;
    bool reachable, healthy;
    uint32_t distance;         /* 0 = this node; else in steps that matter */
    uint32_t load;             /* what runs there, in any unit */
    uint64_t life;
    const struct store_sums *sums; /* what it said; NULL = nothing. Of nodes out of reach it is not looked at */
    const uint64_t *lost;          /* streams of which it cannot read something, ascending */
    uint32_t nlost;
    bool barred;               /* it answers nothing; what it covers counts (deletions.h) */
};
struct read_stream {
    const struct stream *stream;
    uint32_t w;   /* members that must have a write before it is acknowledged; more than its members: all of them */
    bool current; /* it is written to now, by the tenant that asks */
    bool vouched; /* see above */
};
struct read_ask {
    const struct read_node *nodes; /* distinct ids; members that are not among them are out of reach */
    uint32_t nnodes;
    const struct read_stream *streams; /* distinct ids */
    uint32_t nstreams;
    uint64_t seed;
};

struct read_plan {
    uint32_t nparts;
    struct read_part *parts;
    uint32_t *node_of; /* [nstreams]: READ_NOBODY when nobody reachable holds anything of it */
    bool *apart;       /* [nstreams] */
    uint32_t naparts;
    uint32_t nmissing; /* streams of which acknowledged writes may be missing; 0 = complete */
    char why[READ_WHY_MAX]; /* in words when it is not */
};

/* Arrays lie in the arena. */
void read_plan_make(const struct read_ask *ask, struct arena *a, struct read_plan *out);

#endif
