/* Deletions on several nodes: rows that were acknowledged before a deletion go on every node, rows that came later stay on every node, and
 * nothing that a node gets from another one brings a row back.
 *
 * A deletion D is a document (docs.h, DOC_DELETE; its key is its id in hex): what is deleted, in words of the floors above, who register
 * how it is begun and how rows are filtered (deletion_hooks). On one node a deletion goes by generations (storage/store_delete.h); over nodes
 * it goes by names (storage/names.h):
 *   K(D, Y)  the names that are covered on node Y by what D's generation there covers, and those that Y has given to requests of its own until
 *            then. Never changes; a record of the catalog, cluster/deletion/<id>/<node>, on every node that heard of it:
 *            u8 version (1) | u64 the deletion's id in Y's store | u64 its generation there (both 0 on other nodes) | cover
 *   C(D)     the union of all K(D, Y) that a node has heard of. It only grows.
 *
 * Applying D on Y, while no request comes or goes by its name (the gate: taken alone, on all cores):
 *   1. what requests were given names here are in the store or failed; the store seals;
 *   2. one batch of the catalog has the tombstones, the deletion by marks, and K(D, Y) (store_delete_joint). From here on D is applied;
 *   3. the gate opens. Rows are marked, and when they are, D is finished on Y.
 *
 * Passing requests from S to R: the write path (replicate.h), fetching by name (reach.h), streams as a whole (handoff.h). Whoever gives says
 * the digest of the deletions that it has applied and of the K that it has heard of, as of when it gives; a stream it gives only when all are finished.
 * R takes it, holding the gate, when both have applied the same ones and R has heard of every K that S has heard of. Equal digests say so; when they
 * differ R first asks S (METHOD_DELETIONS), applies what it lacks, and tells S what S lacks. A pair of digests that was found good is
 * remembered, DELETIONS_PAIRS of them a core.
 * A request whose name is in C(D) of an applied D is late: R leaves out the rows that D finds before it stores the rest under the same
 * name, so that logs, memtables and replay know nothing of it. Its content is a retry of what came before D here, or of another one that came late,
 * not of what came since: as it is where D found it. So its key becomes another one, and what D made forgotten is looked at for it.
 *
 * Proof that the matching rows of a name n are gone on all nodes, or there on all that have n. Let n be in no K: then no node had it when it applied
 * D, and none takes rows out of it. Let n be in K(D, V), and X a node that has n. If X had it when it applied D, n is in K(D, X), and is
 * deleted there. Else X took it after it applied D, from a node that had applied D too, which had it from ..., the first of whom, F, had applied D
 * when it gave n, and took it from nobody after that. F had n when it applied D: n is in K(D, F). Or F is n's origin; then it gave n its name before it
 * applied D, and n is in K(D, F); or after that, and then no node had n before it applied D, since F gives it only to
 * those that have: n would be in no K. So n is in K(D, F); each on the way heard of what the one before had heard of; so X left the rows out.
 * What is written after success was answered stays: more than n - W members have finished D, so of any W that take a request one has applied D, and takes
 * it under the name only of a node that had applied D when it gave the name, which then is in no K. A write that is refused for that, at a node that
 * had not heard of D, is not acknowledged (replicate.h): its rows may go, and it is to be sent again.
 * What was acknowledged before D: W members of its stream have it. The answer to who deletes is success when of each stream
 * max(W, n - W + 1) members have finished D (or a node that has vouches for the others, heirs.h): at least one of the W is among them, so the name is in a K.
 *
 * Reading. Nodes tell which deletions they have finished when they tell what they cover (METHOD_COVER, reach_wire.h). A reader reaches n - W + 1 members of a stream,
 * or its answer says what may be missing; so it meets one that has finished D, or as few have as says that nobody was told of success
 * yet (deletions_settled.h). Else nodes that have not finished D answer nothing: what they cover is fetched by those that have.
 *
 * The end. When every member, dead ones that were not forgotten too (and those that streams name, who the node has not heard of yet), has finished D and covers what C(D) has of its streams, and
 * that since retire_after_ms, the document is deleted; who hears of that drops the records. Until then D counts towards DELETIONS_MAX.
 * A node that was forgotten and comes back with its old disk may bring rows back.
 *
 * A node that is alone makes deletions without any of this: they are done when others come.
 *
 * METHOD_DELETIONS: deletions_wire.h. */
#ifndef CLUSTER_DELETIONS_H
#define CLUSTER_DELETIONS_H

#include "cluster/cluster.h"
#include "storage/batch.h"
#include "storage/store_delete.h"

enum {
    DELETIONS_MAX = 1000,       /* that are not over */
    DELETIONS_PAIRS = 16,
    DELETIONS_EVERY_MS = 1000,  /* a look at what is to be done; at once when there is news */
    DELETIONS_NODES_MAX = 4096, /* records of one deletion */
};

/* How the floors above begin a deletion of that document, and how they filter rows. On core 0, but for `cut`. */
typedef err_t deletion_record(void *ctx, const struct delete_entry *entry, const struct cover *covered, struct arena *a, struct kv_op *out);
struct deletion_hooks {
    /* Calls store_delete_joint with `record` and its ctx. */
    err_t (*begin)(void *ctx, uint64_t id, struct str doc, deletion_record *record, void *record_ctx) MAY_YIELD;
    void (*begun)(void *ctx); /* marks are to be made */
    /* Takes rows out of a batch that was decoded into the arena; see query/delete/delete.h, delete_cut_batch. */
    err_t (*cut)(void *ctx, struct str doc, struct batch *b, struct arena *a, struct budget *budget, bool *concerns, uint64_t *rows) MAY_YIELD;
    void *ctx;
};
/* Until there are any no deletion is applied here. Core 0. */
void deletions_follow(struct cluster *c, const struct deletion_hooks *h);
void deletions_follow_end(struct cluster *c) MAY_YIELD; /* none of them runs when it returns */

/* Writes the document of a new deletion: it will be made on all nodes. ERR_LIMIT: DELETIONS_MAX. ERR_UNAVAILABLE: too few nodes were told; it
 * may be made all the same. Any core. */
MUST_CHECK err_t deletions_begin(struct cluster *c, struct str doc, uint64_t *id) MAY_YIELD;
/* Which of them are finished on so many nodes that nobody sees what they deleted, or over; of the others `why` says what is waited for, in the arena.
 * Asks all nodes at most once. Any core. */
struct deletion_state {
    uint64_t id;
    bool made; /* given: this node finished it once; if it is not known any more, it is over */
    bool settled;
    struct str why;
};
MUST_CHECK err_t deletions_states(struct cluster *c, struct deletion_state *v, uint32_t n, struct arena *a) MAY_YIELD;
/* Those that this node knows and that are not over, in the arena, oldest first. Any core. */
struct deletion_doc {
    uint64_t id;
    struct str doc;
};
void deletions_list(struct cluster *c, struct arena *a, struct deletion_doc **out, uint32_t *n);

/* -- passing requests ------------------------------------------------------------------------------------------ */
/* Holds the gate: nothing is applied between these. *digest: what this node says of itself. ERR_UNAVAILABLE. On one core. */
MUST_CHECK err_t deletions_enter(struct cluster *c, uint64_t *digest) MAY_YIELD;
void deletions_leave(struct cluster *c);
uint64_t deletions_digest(const struct cluster *c);
uint64_t deletions_made(const struct cluster *c); /* grows when one is applied here */
/* store_put of a request that came from a node which says that digest. *differ: it was not stored; the other node is to call deletions_meet, and
 * send it again. */
MUST_CHECK err_t deletions_put(struct cluster *c, node_id from, uint64_t digest, const struct store_request *put, bool *differ) MAY_YIELD;
/* Inside the gate: is what a node of that digest gives to be taken? */
bool deletions_agree(const struct cluster *c, uint64_t digest);
/* Learns and applies what another node has applied, which said that digest of itself (0: it did not say). OK, also when that node is the one that has
 * to learn; it is told. Any core. */
MUST_CHECK err_t deletions_meet(struct cluster *c, node_id with, uint64_t digest) MAY_YIELD;
/* What is given may be given: no deletion is under way on this node. ERR_UNAVAILABLE. Any core. */
MUST_CHECK err_t deletions_all_done(struct cluster *c) MAY_YIELD;

/* Those that are finished here and not over, malloc'd. Any core. */
void deletions_finished(struct cluster *c, uint64_t **ids, uint32_t *n) MAY_YIELD;

/* -- for cluster/cluster.c ------------------------------------------------------------------------------------------ */
struct deletions;
MUST_CHECK err_t deletions_open(struct cluster *c, struct deletions **out) MAY_YIELD; /* when documents are loaded, before calls come */
MUST_CHECK err_t deletions_start(struct deletions *d, struct scope *scope);
void deletions_free(struct deletions *d);
rpc_handler deletions_on_ask;

#endif
