/* Cuts the batches of one request by the stream that each row's partition belongs to, so that each part can be named, logged and sent by
 * itself. Every row is in one part: with its resource and scope, its events and links; series with their samples; an exemplar where
 * its own partition is, which need not be that of its series. Metadata of a batch goes with its first series, else with its first
 * exemplar. Rows, samples and batches keep their order.
 *
 * A batch that lies in one part as a whole is that batch itself, nothing copied. Others have a content hash of their own, of the
 * whole's and of the partitions that the part has rows of: equal hashes mean equal rows, also when a retry of the request is cut
 * otherwise because partitions changed hands meanwhile. */
#ifndef STORAGE_BATCH_SPLIT_H
#define STORAGE_BATCH_SPLIT_H

#include "storage/batch.h"

struct batch_cut {
    uint32_t partitions;       /* a power of two */
    const uint32_t *stream_of; /* of every partition, the index of its stream */
    uint32_t nstreams;
    void (*pause)(void);       /* called between pieces of work; NULL = never */
    bool keys;                 /* nothing is cut: the batches of parts have their content hashes, and no rows where they are not whole */
};
struct batch_part {
    uint32_t stream; /* its index */
    uint32_t n;
    struct batch **batches;
};
struct batch_parts {
    uint32_t n; /* in the order of their first rows; 1 when there are no rows at all */
    struct batch_part *parts;
    uint32_t nmade;      /* batches that were cut out of others */
    struct batch **made;
};

/* Arrays lie in the arena, tables that were cut are charged to the budget; the batches given must live on until batch_parts_release.
 * The refusal of the budget: then nothing is left to release. */
MUST_CHECK err_t batch_split(struct batch *const *batches, uint32_t n, const struct batch_cut *cut, struct arena *a, struct budget *budget,
                             struct batch_parts *out);
void batch_parts_release(struct batch_parts *p); /* the tables of the batches made */

#endif
