/* Who wrote what: names of nodes, streams and batches. They are given once and never change, so that a set of names says exactly
 * what a node holds.
 *
 * A node draws its id at the first start of its data directory and raises its epoch at every start. Its reactors name what they
 * accept apart from each other: a writer is (node, epoch, core), and numbers what it writes to a stream from 1, without gaps.
 *
 * A stream is all that was written for one replica set, named by it: rows of the same replica set lie together, and apart from
 * those of others, in memory and in segments. It says who was to hold them when they were written; who holds them is what coverage says.
 * A node by itself writes to the stream of itself. */
#ifndef STORAGE_NAMES_H
#define STORAGE_NAMES_H

#include "base/core/err.h"
#include "base/core/types.h"

typedef struct node_id { uint64_t u; } node_id; /* random; 0 is none */

enum { STREAM_MEMBERS_MAX = 7 };
struct stream {
    uint64_t id; /* stream_id_of(members, n); never 0 */
    uint32_t n;
    node_id members[STREAM_MEMBERS_MAX]; /* ascending, no two alike */
};
/* XXH3-64 over the ids, little-endian, in ascending order. */
uint64_t stream_id_of(const node_id *members, uint32_t n);
/* Sorts them. 1 <= n <= STREAM_MEMBERS_MAX. */
void stream_make(const node_id *members, uint32_t n, struct stream *out);
bool stream_has(const struct stream *st, node_id id); /* is it a member? */

struct batch_name {
    uint64_t stream;
    node_id origin;
    uint64_t epoch;
    uint32_t core;
    uint64_t seq; /* from 1 */
};
static inline bool batch_name_eq(const struct batch_name *a, const struct batch_name *b)
{
    return a->seq == b->seq && a->core == b->core && a->stream == b->stream && a->origin.u == b->origin.u && a->epoch == b->epoch;
}

#endif
