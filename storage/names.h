/* Who wrote what: names of nodes, streams and batches. They are given once and never change, so that a set of names says exactly
 * what a node holds.
 *
 * A node draws its id at the first start of its data directory and raises its epoch at every start. Its reactors name what they
 * accept apart from each other: a writer is (node, epoch, core), and numbers what it writes to a stream from 1, without gaps.
 *
 * A stream is all that was written for one replica set, for the same partitions, named by them: such rows lie together, and apart from
 * those of others, in memory and in segments. It says who was to hold them when they were written; who holds them is what coverage says.
 * A node by itself writes to the stream of itself.
 *
 * A replica set that is given other partitions, because nodes came or went, goes on in another stream: so it is known of two streams
 * whether a trace or a series can lie in both. Tenants that have replicas or a quorum of their own have streams of their own: what becomes
 * of theirs is told to them alone, and how many members acknowledged their rows is known. */
#ifndef STORAGE_NAMES_H
#define STORAGE_NAMES_H

#include "base/core/err.h"
#include "base/core/str.h"
#include "base/core/types.h"

typedef struct node_id { uint64_t u; } node_id; /* random; 0 is none */

enum { STREAM_MEMBERS_MAX = 7 };
struct stream_rows { /* which rows are written to a stream */
    uint64_t tenant;     /* stream_tenant of the one that has it for itself, stream_group of those that do; 0: all that have no settings of their own */
    uint64_t quorum;     /* members that sync a row before it is acknowledged; 0: that of the cluster */
    uint64_t set;        /* a hash of the partitions; 0: all */
    uint64_t partitions; /* bit p % 64 of each of them */
};
#define STREAM_ROWS_ALL ((struct stream_rows){ 0, 0, 0, UINT64_MAX })
struct stream {
    uint64_t id; /* stream_id_of; never 0 */
    uint32_t n;
    node_id members[STREAM_MEMBERS_MAX]; /* ascending, no two alike */
    struct stream_rows rows;
};
/* XXH3-64 over the ids, little-endian, in ascending order, and what `rows` has unless that is STREAM_ROWS_ALL. */
uint64_t stream_id_of(const struct stream *st);
/* Of STREAM_ROWS_ALL. Sorts them. 1 <= n <= STREAM_MEMBERS_MAX. */
void stream_make(const node_id *members, uint32_t n, struct stream *out);
void stream_make_of(const node_id *members, uint32_t n, const struct stream_rows *rows, struct stream *out);
uint64_t stream_tenant(struct str tenant); /* more than STREAM_GROUPS */
/* Tenants without settings of their own that are placed on few nodes share streams by groups: 1 to STREAM_GROUPS. */
enum { STREAM_GROUPS = 64 };
static inline uint64_t stream_group(uint64_t tenant) { return 1 + tenant % STREAM_GROUPS; }
bool stream_has(const struct stream *st, node_id id); /* is it a member? */
/* What a node wrote that was alone: nobody else writes to it. A tenant's single copies are written by others, too. */
static inline bool stream_is_lone(const struct stream *st) { return st->n == 1 && st->rows.tenant == 0; }

/* Is it one of n ids in ascending order? */
bool stream_ids_have(const uint64_t *ids, uint32_t n, uint64_t id);

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
