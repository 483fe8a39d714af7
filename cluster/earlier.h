/* Content sent again after the placement changed: retries are known within a stream (store.h), and cut by the newest placement the pieces
 * would go to other streams, and be stored a second time.
 *
 * What is kept. The maps of the last EARLIER_MS, as long as requests are remembered, by which rows went elsewhere; EARLIER_MAX of them, those
 * that were in force last. A map is kept as the nodes that it placed rows on (struct place_node), of which everything else is a function;
 * so it can be written down, and told. In the catalog (cluster/earlier) stand those and the map in force, so that a node that starts again
 * knows by what it and others went before. A node asks every other one for its maps, once each time that this comes to live as far as it
 * knows: so one that is new learns what was before it, and two sides of a split learn of each other's.
 *
 * What becomes of a request. While there are earlier maps it is cut by each of them as well, by keys alone; living members of those streams (and
 * who is to hold them, where too few members live) are asked which pieces they know, or have on their way. Known pieces go where they
 * went, the one in force first, then by age; what is in none of them goes by the map in force.
 *   - A known piece goes to its stream again, so that a quorum has it; there it is known, and stored once.
 *   - Where fewer members live than the quorum: it is acknowledged when as many nodes as the quorum hold it; else it is an error, until
 *     heirs (heirs.h) have fetched it, with its key.
 * Without such a change in the last EARLIER_MS nothing is asked, and nothing of this costs.
 *
 * What it does not find: content of which all who know it are out of reach (of what was acknowledged, as many as the quorum); content whose first
 * try was not heard of anywhere yet; a request of which a part went by one map and the rest by the next one, when the map has changed once more
 * since; what was cut by other settings (replicas, tenants). That may be stored twice.
 *
 *   METHOD_KNOWN    v n, (u64 stream | 16 bytes request_key)*  ->  u8 enum store_known, of each
 *   METHOD_EARLIER  nothing  ->  maps, as in the catalog: u8 1 | v n, (v ms that it counts yet | u8 alone | v nodes, (u64 id | u64 zone | v weight)*)* */
#ifndef CLUSTER_EARLIER_H
#define CLUSTER_EARLIER_H

#include "cluster/cluster.h"
#include "storage/batch_split.h"

enum { EARLIER_MS = 10 * 60 * 1000, EARLIER_MAX = 8, EARLIER_QUESTIONS_MAX = 1024 };

struct earlier { /* core 0's, and a copy on each core */
    uint32_t n;
    struct { struct map *map; mono_ns until; } v[EARLIER_MAX]; /* counted; the one that counts longest first */
};
void earlier_drop(struct earlier *e);
void earlier_copy(struct earlier *to, const struct earlier *from); /* in the place of what was there */

/* Core 0. Those that are written down; before the first map. */
MUST_CHECK err_t earlier_load(struct cluster *c) MAY_YIELD;
/* From `was` (or NULL) on the node goes by `now`. Then: written down, where it is another one. */
void earlier_note(struct cluster *c, struct map *was, const struct map *now);
void earlier_save(struct cluster *c, const struct map *now) MAY_YIELD;
/* Asks others, from each that comes to live. */
MUST_CHECK err_t earlier_start(struct cluster *c, struct scope *scope);

/* Where batches of one tenant go. */
struct route_piece {
    const struct stream *stream;
    uint32_t n;
    struct batch *const *batches;
};
struct route {
    uint32_t n;
    struct route_piece *v;
    uint32_t nparts, nmaps;
    struct batch_parts parts[EARLIER_MAX + 1];
    struct map *maps[EARLIER_MAX]; /* counted: streams are lent from them */
};
/* Of the running core; `map` is that in force. In the arena; route_release also after an error. ERR_UNAVAILABLE: nobody takes rows, or as above. */
MUST_CHECK err_t route_find(struct cluster *c, const struct map *map, struct batch *const *batches, uint32_t n, struct arena *a, struct route *out) MAY_YIELD;
void route_release(struct route *r);

rpc_handler earlier_on_known, earlier_on_earlier;

#endif
