/* Open-addressing index: 64-bit hash -> 32-bit slot of an array that the caller owns. The caller
 * compares keys:
 *
 *     for (uint32_t it = 0, v; htab_next(&t, hash, &it, &v);)
 *         if (key_equal(&items[v], key)) return v;
 *     htab_insert(&t, hash, new_v);
 *
 * No removal one by one: tables here are built, read and dropped whole. */
#ifndef BASE_CORE_HTAB_H
#define BASE_CORE_HTAB_H

#include "base/core/budget.h"

struct htab_entry {
    uint32_t tag;   /* high bits of the hash */
    uint32_t value; /* +1; 0 = empty */
};

struct htab {
    struct htab_entry *entries;
    uint32_t count, mask; /* mask + 1 = capacity, a power of two; 0 before the first insert */
    struct budget *budget;
    /* Rehash needs the full hashes: kept beside the entries. */
    uint64_t *hashes;
};

void htab_init(struct htab *t, struct budget *budget);
void htab_deinit(struct htab *t);
void htab_clear(struct htab *t);
void htab_insert(struct htab *t, uint64_t hash, uint32_t value);

/* Fetches what htab_next(hash) reads first: for loops over many keys of a table that is bigger than the caches. */
static inline void htab_prefetch(const struct htab *t, uint64_t hash)
{
    if (t->entries) __builtin_prefetch(&t->entries[(uint32_t)hash & t->mask]);
}

/* Steps through the candidates of a hash. *it starts at 0. */
static inline bool htab_next(const struct htab *t, uint64_t hash, uint32_t *it, uint32_t *value)
{
    if (t->count == 0) return false;
    uint32_t tag = (uint32_t)(hash >> 32);
    for (;;) {
        const struct htab_entry *e = &t->entries[((uint32_t)hash + (*it)++) & t->mask];
        if (e->value == 0) return false;
        if (e->tag == tag) {
            *value = e->value - 1;
            return true;
        }
    }
}

#endif
