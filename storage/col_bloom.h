/* Split-block Bloom filters over 64-bit hashes.
 *
 * A filter is blocks of 32 bytes. A hash picks a block by its high half (multiply-shift) and sets one bit in
 * each of the block's eight words by its low half times eight odd constants: one cache line a look-up. At 12 bits a
 * key about one look-up in 200 of an absent key says "maybe". */
#ifndef STORAGE_COL_BLOOM_H
#define STORAGE_COL_BLOOM_H

#include "base/core/buf.h"
#include "base/core/hash.h"

/* A set of 64-bit hashes. */
struct hash_set {
    uint64_t *slots; /* 0 = empty */
    uint32_t count, mask;
};
enum { HASH_SET_MAX = 4 << 20 };
void hash_set_deinit(struct hash_set *s);
void hash_set_add(struct hash_set *s, uint64_t hash); /* ignored past HASH_SET_MAX: check count */

static inline uint64_t bloom_value_hash(struct str v) { return hash64(v); }

/* Appends the filter of all hashes of the set. */
void bloom_build(const struct hash_set *s, struct buf *out);
static inline bool bloom_valid(struct str filter) { return filter.n >= 32 && filter.n % 32 == 0; }
bool bloom_maybe(struct str filter, uint64_t hash);

#endif
