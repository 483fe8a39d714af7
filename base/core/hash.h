/* Hashes: XXH3 (xxhash.com). The plain forms are stable and may be stored; hash_seeded64 uses a secret
 * of this process and serves tables whose keys come from users. */
#ifndef BASE_CORE_HASH_H
#define BASE_CORE_HASH_H

#include "base/core/str.h"

uint64_t hash64(struct str s);
uint64_t hash64_with(struct str s, uint64_t seed);
hash128 hash128_of(struct str s);
uint64_t hash_seeded64(struct str s);
/* Makes hash_seeded64 the same in every process (the simulator: same seed, same run). Before its first use. */
void hash_fix_seed(void);

/* A good mix of one integer (splitmix64's finalizer). */
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

#endif
