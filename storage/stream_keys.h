/* The keys of requests that are still remembered (store.h, invariant 4), given along with a copy of their stream (stream_copy.h): without
 * them a request that is sent again to the taker would be stored there a second time.
 *
 * Only keys of requests that are in what is given, the newest ones, STREAM_KEYS_MAX at most. Clocks of nodes differ, so that a key
 * travels with its age; the taker forgets it when the giver does, as far as their clocks run alike. */
#ifndef STORAGE_STREAM_KEYS_H
#define STORAGE_STREAM_KEYS_H

#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "base/core/hash.h"
#include "storage/cover.h"
#include "storage/store.h"

enum { STREAM_KEYS_MAX = 1 << 18 }; /* a quarter of what a node remembers */

struct stream_key {
    hash128 key;     /* of content in a stream that is not the node's own: dedup_key_of */
    uint64_t age_ms;
    uint64_t scope;  /* dedup_scope */
    struct batch_name name;
};
struct stream_keys {
    uint32_t n;
    struct stream_key *v; /* youngest first */
};

/* Those of `given`, which is of that stream alone. On core 0, by the holder of s->changing. */
MUST_CHECK err_t stream_keys_give(struct store *s, uint64_t stream, const struct cover *given, struct arena *a, struct stream_keys *out) MAY_YIELD;
/* Bytes:  v keys | (16 bytes key | v age_ms | u64 scope | u64 origin | v epoch | v core | v seq)* */
void stream_keys_put(const struct stream_keys *k, struct buf *out);
/* ERR_CORRUPT: malformed, not in this order, or of a request that is not in `given`. */
MUST_CHECK err_t stream_keys_get(struct bytes_in *in, uint64_t stream, const struct cover *given, struct arena *a, struct stream_keys *out);
/* For this node's memory and catalog, as dedup_export writes them; the newest wall_ms. Nothing of the node's own stream, whose keys are other ones. */
int64_t stream_keys_take(const struct store *s, const struct stream_keys *k, struct buf *out);

#endif
