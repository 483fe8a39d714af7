#include "server/ingest/rw_cache.h"

#include "base/core/assert.h"

#include <stdlib.h>

enum { ENTRIES_FIRST = 1024 };

struct rw_cache {
    struct budget *budget;
    size_t max_bytes;
    struct rw_generation *now;
};

static struct rw_generation *generation_new(struct budget *budget)
{
    struct rw_generation *g = calloc(1, sizeof *g);
    ASSERT(g);
    arena_init(&g->arena, budget);
    htab_init(&g->by_id, budget);
    return g;
}

static void generation_free(struct rw_generation *g)
{
    arena_deinit(&g->arena);
    htab_deinit(&g->by_id);
    free(g->entries);
    free(g->series);
    free(g);
}

static size_t generation_bytes(const struct rw_generation *g)
{
    return g->arena.bytes + (g->entries ? (size_t)(g->mask + 1) * sizeof *g->entries : 0) +
           g->series_cap * sizeof *g->series + (size_t)g->nseries * 32;
}

struct rw_cache *rw_cache_new(struct budget *budget, size_t max_bytes)
{
    struct rw_cache *c = calloc(1, sizeof *c);
    ASSERT(c);
    c->budget = budget;
    c->max_bytes = max_bytes;
    c->now = generation_new(budget);
    return c;
}

void rw_cache_free(struct rw_cache *c)
{
    if (!c) return;
    ASSERT(c->now->refs == 0);
    generation_free(c->now);
    free(c);
}

struct rw_generation *rw_cache_pin(struct rw_cache *c)
{
    if (generation_bytes(c->now) > c->max_bytes) {
        struct rw_generation *old = c->now;
        c->now = generation_new(c->budget);
        if (old->refs == 0) generation_free(old); /* else by the last unpin */
    }
    c->now->refs++;
    c->now->stamp++;
    return c->now;
}

void rw_cache_unpin(struct rw_cache *c, struct rw_generation *g)
{
    ASSERT(g->refs > 0);
    if (--g->refs == 0 && g != c->now) generation_free(g);
}

struct rw_key rw_key_of(struct str raw)
{
    static _Thread_local uint64_t seed;
    if (seed == 0) seed = hash_seeded64(STR("remote write labels")) | 1;
    return (struct rw_key){ hash64_with(raw, seed), hash64_with(raw, ~seed) };
}

static void place(struct rw_generation *g, struct rw_entry e)
{
    uint32_t at = (uint32_t)e.key.lo & g->mask;
    while (g->entries[at].series)
        at = (at + 1) & g->mask;
    g->entries[at] = e;
}

static void insert(struct rw_generation *g, struct rw_key key, uint32_t series)
{
    if (!g->entries || (uint64_t)(g->count + 1) * 8 > (uint64_t)(g->mask + 1) * 5) {
        struct rw_entry *old = g->entries;
        uint32_t slots = old ? g->mask + 1 : 0, cap = old ? slots * 2 : ENTRIES_FIRST;
        ASSERT(cap);
        g->entries = calloc(cap, sizeof *g->entries);
        ASSERT(g->entries);
        g->mask = cap - 1;
        for (uint32_t i = 0; i < slots; i++)
            if (old[i].series) place(g, old[i]);
        free(old);
    }
    place(g, (struct rw_entry){ key, series + 1 });
    g->count++;
}

static uint32_t series_of(struct rw_generation *g, hash128 id, struct str canonical)
{
    for (uint32_t it = 0, v; htab_next(&g->by_id, id.lo, &it, &v);)
        if (hash128_eq(g->series[v].id, id)) return v;
    if (g->nseries == g->series_cap) {
        g->series_cap = g->series_cap ? g->series_cap * 2 : ENTRIES_FIRST;
        g->series = realloc(g->series, g->series_cap * sizeof *g->series);
        ASSERT(g->series);
    }
    htab_insert(&g->by_id, id.lo, g->nseries);
    g->series[g->nseries] = (struct rw_series){ .id = id, .canonical = arena_str(&g->arena, canonical) };
    return g->nseries++;
}

err_t rw_add(struct rw_generation *g, struct rw_key key, struct labels *ls, struct arena *scratch, uint32_t *series)
{
    struct arena_mark mark = arena_mark(scratch);
    TRY(labels_normalise(ls));
    struct str name = labels_get(ls, STR("__name__"));
    if (name.n == 0) return err_set(ERR_INVALID, "a series without __name__");
    struct str canonical = labels_encode(ls, scratch);
    *series = series_of(g, series_id(canonical), canonical);
    if (!g->series[*series].name.p) g->series[*series].name = arena_str(&g->arena, name);
    insert(g, key, *series);
    arena_rollback(scratch, mark);
    return OK;
}
