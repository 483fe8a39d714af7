/* What nodes say of themselves, as METHOD_COVER carries it. PURE.
 *
 *   question  u8 what is asked for (enum reach_form, or'ed) | u64 sum of the streams known (store_streams_sum) | u64 life | v n,
 *             (u64 stream, v version)*
 *   answer    v streams, each as in replicate.h: if the sum is another one here all but those of a node alone, of these those that anything is covered
 *             of | u64 life | v version | then what is asked for, in this order
 *     REACH_SUMS    v n, (u64 stream, v count, u64 hash)*: of all streams that anything is covered of, ascending
 *     REACH_NAMES   cover: of the streams asked for (none: of all), of writers that changed after the version, which is one of that life
 *                   or counts as 0
 *     REACH_ITSELF  what it vouches for (vouches.h), u8 1 it is alone | 2 it was told which streams there are, v streams of which it cannot read something, u64 each, ascending
 *     REACH_DELETIONS  v deletions that it has finished (deletions.h), u64 each
 * What more a node says becomes another form, behind these. */
#ifndef CLUSTER_REACH_WIRE_H
#define CLUSTER_REACH_WIRE_H

#include "cluster/vouches.h"
#include "storage/store_names.h"

enum reach_form { REACH_SUMS = 1, REACH_NAMES = 2, REACH_ITSELF = 4, REACH_DELETIONS = 8 };
struct question {
    unsigned forms;
    uint64_t known;
    uint64_t life;                      /* that the versions are of */
    const struct stream_since *streams; /* of REACH_NAMES; n = 0: all of all */
    uint32_t n;
};
struct said {
    uint32_t nstreams;
    struct stream *streams; /* malloc'd */
    uint64_t life;
    struct store_sums sums; /* and the version */
    struct cover have;
    struct vouch_list vouches;
    bool alone, told;
    uint64_t *lost; /* [nlost], ascending: streams of which it cannot read something (storage/mend.h); malloc'd */
    uint32_t nlost;
    uint64_t *finished; /* [nfinished] deletions; malloc'd */
    uint32_t nfinished;
};
enum { REACH_STREAMS_MAX = 65536, COVER_INTERVALS_MAX = 1 << 20 /* of another node's cover */ };

void said_init(struct said *s);
void said_deinit(struct said *s);
bool said_lost(const struct said *s, uint64_t stream);

void question_put(const struct question *q, struct buf *out);
/* The streams lie in the arena, and the caller may change their versions. ERR_CORRUPT, ERR_LIMIT. */
MUST_CHECK err_t question_get(struct bytes_in *in, struct arena *a, struct question *out, struct stream_since **streams);
void said_put(const struct said *s, unsigned forms, struct buf *out);
/* Into an empty one; said_deinit, also after an error. ERR_CORRUPT, ERR_LIMIT. Bytes may follow. */
MUST_CHECK err_t said_get(struct bytes_in *in, unsigned forms, struct said *out);

#endif
