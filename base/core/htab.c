#include "base/core/htab.h"

#include "base/core/assert.h"

#include <stdlib.h>
#include <string.h>

void htab_init(struct htab *t, struct budget *budget)
{
    *t = (struct htab){ .budget = budget };
}

static int64_t bytes_of(const struct htab *t)
{
    return t->entries ? (int64_t)(t->mask + 1) * (int64_t)(sizeof *t->entries + sizeof *t->hashes) : 0;
}

void htab_deinit(struct htab *t)
{
    budget_release(t->budget, bytes_of(t));
    free(t->entries);
    free(t->hashes);
    htab_init(t, t->budget);
}

void htab_clear(struct htab *t)
{
    t->count = 0;
    if (t->entries) memset(t->entries, 0, (t->mask + 1) * sizeof *t->entries);
}

static void place(struct htab *t, uint64_t hash, uint32_t stored)
{
    uint32_t i = (uint32_t)hash & t->mask;
    while (t->entries[i].value)
        i = (i + 1) & t->mask;
    t->entries[i] = (struct htab_entry){ .tag = (uint32_t)(hash >> 32), .value = stored };
    t->hashes[i] = hash;
}

static void grow(struct htab *t)
{
    struct htab old = *t;
    uint32_t cap = old.entries ? (old.mask + 1) * 2 : 16;
    ASSERT(cap);
    t->entries = calloc(cap, sizeof *t->entries);
    t->hashes = malloc(cap * sizeof *t->hashes);
    ASSERT(t->entries && t->hashes);
    t->mask = cap - 1;
    budget_charge(t->budget, bytes_of(t));
    for (uint32_t i = 0; old.entries && i <= old.mask; i++)
        if (old.entries[i].value) place(t, old.hashes[i], old.entries[i].value);
    budget_release(t->budget, bytes_of(&old));
    free(old.entries);
    free(old.hashes);
}

void htab_insert(struct htab *t, uint64_t hash, uint32_t value)
{
    ASSERT(value < UINT32_MAX);
    /* At most 5/8 full: probe runs stay short with linear probing. */
    if (!t->entries || (uint64_t)(t->count + 1) * 8 > (uint64_t)(t->mask + 1) * 5) grow(t);
    place(t, hash, value + 1);
    t->count++;
}
