/* Copies of whole streams (storage/stream_copy.h) from other nodes to this one: what logs do not give any more (repair.h), and what this
 * node is an heir of (heirs.h).
 *
 * One fiber of core 0, one stream at a time, at maintenance share and at most cluster.copy_rate bytes a second:
 *   pass     the list of the giver, which seals before it; files that are not here yet, in ranges. A file that was merged away
 *            meanwhile comes in another one of the next pass. Until little is left (LAST_PASS_BYTES) or PASSES_MAX passes are over
 *   last     the stream is frozen here: no batch of it is logged, the quorum goes on with others. The giver first fetches what is here and not
 *            there, then seals and lists, with the keys of requests that it remembers; the rest of the files, within FREEZE_MS; then
 *            the list takes the place of what is here
 * A stream of which something is lost here (storage/mend.h) begins with the files of it that are lost: those that others have are fetched
 * alone, and when nothing is lost then, the rest is left out.
 * What fails is tried again, from whoever has it then, after a pause that doubles from PAUSE_MIN_MS to PAUSE_MAX_MS; what was fetched
 * for it is removed. Where nothing was fetched, since the giver has deletions under way or is to write segments anew first (stream_copy.h),
 * the pause is PAUSE_ASKED_MS at most: those end soon, and asking costs little.
 *
 *   METHOD_STREAM_LIST  u64 stream | u8 keys as well | cover that must be in it  ->  u64 digest of deletions (deletions.h), stream_given_put
 *   METHOD_STREAM_READ  name (32) | v offset | v bytes                         ->  the bytes. ERR_NOT_FOUND: no such file any more
 *                       with 0 bytes: the file came and is not what its checksums say: the giver's scrubber looks at it. -> nothing */
#ifndef CLUSTER_HANDOFF_H
#define CLUSTER_HANDOFF_H

#include "cluster/cluster.h"

enum { HANDOFF_WANTS_MAX = 4096 }; /* streams that wait; more come with the next rounds of repair */

struct handoff;
MUST_CHECK err_t handoff_start(struct cluster *c, struct scope *scope, struct handoff **out);
void handoff_free(struct handoff *h); /* its fiber has ended */
/* Core 0; does not yield. */
void handoff_want(struct handoff *h, uint64_t stream, node_id from);
void handoff_mend(struct handoff *h, uint64_t stream, node_id from); /* only as far as something is lost here */

rpc_handler handoff_on_list, handoff_on_read;

#endif
