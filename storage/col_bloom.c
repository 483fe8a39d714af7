#include "storage/col_bloom.h"

#include "base/core/assert.h"

#include <stdlib.h>

enum { BITS_PER_KEY = 12, WORDS = 8 };

static const uint32_t mixers[WORDS] = { 0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f,
                                        0x165667b1, 0xd3a2646d, 0xfd7046c5, 0xb55a4f09 };

void hash_set_deinit(struct hash_set *s)
{
    free(s->slots);
    *s = (struct hash_set){ 0 };
}

static void set_place(uint64_t *slots, uint32_t mask, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & mask;
    while (slots[at])
        at = (at + 1) & mask;
    slots[at] = hash;
}

void hash_set_add(struct hash_set *s, uint64_t hash)
{
    hash |= hash == 0; /* 0 marks empty slots; bloom_maybe does the same */
    if (s->slots) {
        for (uint32_t at = (uint32_t)hash & s->mask; s->slots[at]; at = (at + 1) & s->mask)
            if (s->slots[at] == hash) return;
    }
    if (s->count >= HASH_SET_MAX) return;
    if (!s->slots || s->count * 2 > s->mask) {
        uint32_t cap = s->slots ? (s->mask + 1) * 2 : 64;
        uint64_t *slots = calloc(cap, sizeof *slots);
        ASSERT(slots);
        for (uint32_t i = 0; s->slots && i <= s->mask; i++)
            if (s->slots[i]) set_place(slots, cap - 1, s->slots[i]);
        free(s->slots);
        s->slots = slots;
        s->mask = cap - 1;
    }
    set_place(s->slots, s->mask, hash);
    s->count++;
}

static size_t block_of(uint64_t hash, size_t nblocks) { return (size_t)((hash >> 32) * nblocks >> 32); }

void bloom_build(const struct hash_set *s, struct buf *out)
{
    size_t nblocks = ((size_t)s->count * BITS_PER_KEY + 255) / 256;
    if (nblocks == 0) nblocks = 1;
    char *to = buf_reserve(out, nblocks * WORDS * 4);
    if (!to) return;
    memset(to, 0, nblocks * WORDS * 4);
    for (uint32_t i = 0; s->slots && i <= s->mask; i++) {
        uint64_t hash = s->slots[i];
        if (!hash) continue;
        char *block = to + block_of(hash, nblocks) * WORDS * 4;
        for (int w = 0; w < WORDS; w++) {
            uint32_t word;
            memcpy(&word, block + w * 4, 4);
            word |= UINT32_C(1) << ((uint32_t)hash * mixers[w] >> 27);
            memcpy(block + w * 4, &word, 4);
        }
    }
    out->n += nblocks * WORDS * 4;
}

bool bloom_maybe(struct str filter, uint64_t hash)
{
    hash |= hash == 0;
    const char *block = filter.p + block_of(hash, filter.n / (WORDS * 4)) * WORDS * 4;
    for (int w = 0; w < WORDS; w++) {
        uint32_t word;
        memcpy(&word, block + w * 4, 4);
        if (!(word >> ((uint32_t)hash * mixers[w] >> 27) & 1)) return false;
    }
    return true;
}
