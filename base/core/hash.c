#include "base/core/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <pthread.h>
#include <sys/random.h>

static uint64_t process_seed;
static bool fixed_seed;

void hash_fix_seed(void)
{
    fixed_seed = true;
}

static void draw_seed(void)
{
    if (fixed_seed) return;
    if (getrandom(&process_seed, sizeof process_seed, GRND_NONBLOCK) != sizeof process_seed)
        process_seed = (uint64_t)(uintptr_t)&process_seed;
}

uint64_t hash64(struct str s)
{
    return XXH3_64bits(s.p, s.n);
}

uint64_t hash64_with(struct str s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.p, s.n, seed);
}

hash128 hash128_of(struct str s)
{
    XXH128_hash_t h = XXH3_128bits(s.p, s.n);
    return (hash128){ h.low64, h.high64 };
}

uint64_t hash_seeded64(struct str s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_seed);
    return XXH3_64bits_withSeed(s.p, s.n, process_seed);
}
