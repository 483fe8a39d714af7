/* Is a deletion finished on so many nodes that nobody may see any more what it deleted? PURE: from what nodes said of themselves.
 *
 * Of each stream that anything is covered of:
 *   sure   max(w, n - w + 1) members have finished it. Or some are gone for good (heirs.h), a node that has finished it vouches for the stream
 *          with those, and fewer than w of the others have not: what was acknowledged is covered by it, or by a member that has finished it.
 *   maybe  it would be sure if all that are out of reach, or gone, had finished it.
 * Who was told that it is settled was told so when all streams were sure. A reader that finds one stream that is not even maybe knows that nobody
 * was told, and reads anybody; else those that have not finished it answer nothing. */
#ifndef CLUSTER_DELETIONS_SETTLED_H
#define CLUSTER_DELETIONS_SETTLED_H

#include "cluster/deletions.h"
#include "cluster/reach.h"

struct heard {
    const struct map *map;
    const struct heirs_opts *heirs;
    const struct said *const *said; /* [map->n]; NULL: out of reach */
    const struct stream *const *streams; /* that are known, and those that are written to now */
    uint32_t nstreams;
    mono_ns now;
};
bool deletion_finished_by(const struct said *s, uint64_t id);
/* *of: the first stream of which it is not. */
bool deletion_sure(const struct heard *h, uint64_t id, const struct stream **of);
bool deletion_maybe(const struct heard *h, uint64_t id);
/* Nodes that are to answer nothing: [map->n]. over: deletions that this node knows to be over do not count. */
void deletions_bar(const struct cluster *c, const struct heard *h, bool *barred);

#endif
