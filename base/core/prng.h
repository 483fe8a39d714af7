/* A small, fast, seedable generator (xoshiro256**, Blackman and Vigna) for simulation, tests, jitter
 * and sampling. Not for secrets. Same seed, same sequence, on every machine. */
#ifndef BASE_CORE_PRNG_H
#define BASE_CORE_PRNG_H

#include "base/core/hash.h"

struct prng { uint64_t s[4]; };

static inline void prng_init(struct prng *r, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        r->s[i] = hash_u64(seed += UINT64_C(0x9e3779b97f4a7c15));
}
static inline uint64_t prng_rotl(uint64_t x, unsigned k) { return x << k | x >> (64 - k); }
static inline uint64_t prng_next(struct prng *r)
{
    uint64_t out = prng_rotl(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = prng_rotl(r->s[3], 45);
    return out;
}
/* Uniform in [0, n), n > 0 (multiply-shift: bias below 2^-32 for the n used here). */
static inline uint64_t prng_below(struct prng *r, uint64_t n)
{
    return (uint64_t)((unsigned __int128)prng_next(r) * n >> 64);
}
static inline double prng_unit(struct prng *r) { return (double)(prng_next(r) >> 11) * 0x1p-53; }
static inline bool prng_chance(struct prng *r, double p) { return prng_unit(r) < p; }

#endif
