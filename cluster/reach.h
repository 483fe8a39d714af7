/* Exact reads: who has what, who of them is read, and how a node comes to have what it is to answer from.
 *
 * A read asks every node that is alive for the sums of its streams, leaves to read_plan.h which node answers for which streams and whose
 * names it must have for that, and each of those first makes sure that it has them (reach_part): it asks its sources for what they cover that
 * is newer than what it knows to hold of theirs; what of that is on its way is waited for, what is not is fetched by name.
 *
 * Invariants
 *  1. What is acknowledged before a read begins is read, unless it says what may be missing. Proof: a write is acked when w members of its
 *     stream cover it. Sums are asked for after the ack, so each of these members, if it is reached, said a sum with this name in it. If it said the
 *     reader's own sum, the reader has the name (cover.h: equal sums are equal covers, and a cover only grows). Else the reader
 *     held, before it answered, all that this member (or one that said the same sum) covered when it spoke, but for members of no more
 *     weight than the spare: these and those out of reach are fewer than w, so one of the w is not among them.
 *     That is of streams that somebody knows who is reached. Nodes tell each other theirs with every answer; but one that is new, with an
 *     empty disk, knows of none that only members have which it did not reach yet. So until it was told, by the answer of a node that was told
 *     itself, or because a quorum of the members that it knows answered and of the others are fewer than any quorum, it says that something may be missing.
 *  2. Rows are read once: a stream is read on one node.
 *  3. What a node answers a source's question with is all that it covers of a stream, or all that is newer than a version of which
 *     the asker holds all (agreed.h). So what the asker holds afterwards is all that the source covered when it answered, which is not before the
 *     plan's question.
 * Cost. Of each node its sums; of those streams whose members differ, between their reader and its sources, the writers that wrote since both
 * last met. Nothing grows with what was ever written, nor with restarts but at a first meeting.
 *
 *   METHOD_COVER  question  ->  answer, both as in reach_wire.h
 *   METHOD_PULL   cover wanted, v bytes_max                         ->  u64 digest of its deletions (deletions.h), (v length, request's bytes)*, as many as fit */
#ifndef CLUSTER_REACH_H
#define CLUSTER_REACH_H

#include "cluster/cluster.h"
#include "cluster/read_plan.h"
#include "cluster/reach_wire.h"

struct reading {
    struct arena a;
    struct read_plan plan;
    node_id *nodes;                 /* those of read_part.node */
    bool all_here;                  /* this node answers for all there is, and lacks nothing: as if it were alone */
    bool apart;                     /* sides of a trace or a series may lie on different nodes: who needs it whole joins them (query.h) */
    char incomplete[READ_WHY_MAX];  /* what answers must say; empty: nothing is missing */
};
struct reading_of {
    struct str tenant;    /* of all streams that its rows can be in; STR_NONE: of all there are */
    const node_id *avoid; /* they failed: one that is in it once answers only for what no other node could, one that is in it twice is */
    uint32_t navoid;      /* taken to be out of reach */
    const uint64_t *only; /* streams, ascending; NULL: all */
    uint32_t nonly;
};
/* On success reading_free is due. ERR_CANCELED, ERR_TIMEOUT. */
MUST_CHECK err_t reach_plan(struct cluster *c, const struct reading_of *of, struct reading *out) MAY_YIELD;
void reading_free(struct reading *r);
/* Returns when this node holds, of the part's streams, what its sources said they cover. ERR_UNAVAILABLE as below, or which source did not
 * tell. */
MUST_CHECK err_t reach_part(struct cluster *c, const struct read_part *p, mono_ns deadline) MAY_YIELD;
/* Returns when all of `need` is on this node. ERR_UNAVAILABLE says what nobody could give until the deadline, or why this node does not take
 * what was given (its disk is full). */
MUST_CHECK err_t reach_here(struct cluster *c, const struct cover *need, mono_ns deadline) MAY_YIELD;

/* Fetches what it can of `want` from another node, each request when memtables are no more than half full; *got: requests.
 * ERR_OVERLOAD: they were fuller for some seconds. */
MUST_CHECK err_t reach_pull(struct cluster *c, node_id from, const struct cover *want, uint64_t *got) MAY_YIELD;
void said_own_lost(struct store *store, struct said *s); /* of this node */
/* Asks another node (q->known is this node's, whatever it says); streams it has that we do not know become known here. */
MUST_CHECK err_t reach_ask(struct cluster *c, node_id node, const struct question *q, mono_ns deadline, struct said *out) MAY_YIELD;

rpc_handler reach_on_cover, reach_on_pull;

#endif
