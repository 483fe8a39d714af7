/* What this node knows to hold of what others said they cover, so that they are asked only for what is newer.
 *
 * An entry (node, its life, stream, version) says: this node covers all that the other one covered of the stream at that version
 * (store_names.h). It is written by who saw it so (reach_part), and stays true, for a cover only grows, here as there. A node in
 * another life counts its versions anew: its entries do not count any more.
 *
 * A table of AGREED_SLOTS places, one for each pair by its hash: one that is taken by another pair is lost, which costs an answer
 * with all that the other one covers of the stream (tercet_reach_whole_total counts those). Any core; a mutex that is never held over a
 * yield. */
#ifndef CLUSTER_AGREED_H
#define CLUSTER_AGREED_H

#include "storage/names.h"

enum { AGREED_SLOTS = 1 << 14 };

struct agreed;
struct agreed *agreed_new(void);
void agreed_free(struct agreed *a); /* may be NULL */
/* 0: nothing is known. */
uint64_t agreed_version(struct agreed *a, node_id node, uint64_t life, uint64_t stream);
void agreed_set(struct agreed *a, node_id node, uint64_t life, uint64_t stream, uint64_t version);

#endif
