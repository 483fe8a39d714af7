/* What nodes say to each other of deletions: the bytes of METHOD_DELETIONS (deletions.h). What comes is from another node, and judged: sizes are
 * bounded before anything is done with them, ids and nodes ascend, and nothing is behind what is said. Plain functions of bytes; none yields. */
#ifndef CLUSTER_DELETIONS_WIRE_H
#define CLUSTER_DELETIONS_WIRE_H

#include "base/core/arena.h"
#include "storage/cover.h"

/* Nodes that are apart begin deletions up to DELETIONS_MAX each: of more than DELETIONS_TOLD_MAX nothing is heard until some are over. */
enum { DELETIONS_WANTED_MAX = 4096, DELETIONS_TOLD_MAX = 4096 };

/* -- question: u64 digest | v wanted, each u64 id | u64 node --------------------------------------------------- */
struct deletions_question {
    uint64_t digest;
    uint32_t n;
    struct { uint64_t id; node_id node; } v[DELETIONS_WANTED_MAX];
};
void deletions_question_put(const struct deletions_question *q, struct buf *out);
MUST_CHECK err_t deletions_question_get(struct bytes_in *in, struct deletions_question *out); /* ERR_CORRUPT */

/* -- answer: u64 digest | v applied, each u64 id | v nodes, u64 each (none of them when the digests are equal) | records, each u64 id | u64 node |
 * s cover ---------------------------------------------------------------------------------------------------------- */
struct deletion_told { /* that another node has applied */
    uint64_t id;
    uint32_t n;
    node_id *nodes; /* whose K it has heard of, ascending */
};
struct deletions_told {
    uint64_t digest;
    uint32_t n;
    struct deletion_told *v; /* ascending id */
    struct bytes_in records; /* for deletions_record_get, one after the other */
};
/* The applied ones, without their number. */
void deletion_told_put(const struct deletion_told *t, struct buf *out);
void deletions_record_put(uint64_t id, node_id node, struct str cover, struct buf *out);
/* In the arena; the records lie in the bytes. ERR_CORRUPT, ERR_LIMIT. */
MUST_CHECK err_t deletions_told_get(struct bytes_in *in, struct arena *a, struct deletions_told *out);
/* The next record; bytes are left. Into an empty cover, which stays so on an error. */
MUST_CHECK err_t deletions_record_get(struct bytes_in *in, uint64_t *id, node_id *node, struct cover *k);

#endif
