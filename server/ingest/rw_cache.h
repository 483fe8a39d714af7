/* Known series of remote write and OTLP, one cache a core: from the raw label bytes of a request, or what stands for them
 * (otlp_points.c), to the canonical labels and the series id, so that a series seen before is never parsed again.
 *
 * Keys are two 64-bit XXH3 hashes with secret seeds of this process: who writes cannot aim at another's entry. The
 * mapping is a pure function of the labels, so tenants share it. Bounded: when it holds more than max_bytes it
 * is dropped whole at the next pin and begins anew; requests in flight keep the generation that they pinned, whose
 * canonical bytes their batches borrow. */
#ifndef SERVER_INGEST_RW_CACHE_H
#define SERVER_INGEST_RW_CACHE_H

#include "base/core/htab.h"
#include "storage/metric.h"

struct rw_series {
    hash128 id;
    struct str canonical, name; /* of the generation */
    /* Where the series is in the batch of the request that wrote this stamp. */
    uint64_t stamp;
    uint32_t batch_idx;
};

struct rw_key {
    uint64_t lo, hi;
};

struct rw_entry {
    struct rw_key key;
    uint32_t series; /* +1; 0 = empty */
};

struct rw_generation {
    struct arena arena;
    struct rw_entry *entries; /* open addressing by raw key */
    uint32_t count, mask;
    struct rw_series *series;
    uint32_t nseries;
    size_t series_cap;
    struct htab by_id;
    uint64_t stamp;
    unsigned refs;
};

struct rw_cache;
struct rw_cache *rw_cache_new(struct budget *budget, size_t max_bytes);
void rw_cache_free(struct rw_cache *c);
struct rw_generation *rw_cache_pin(struct rw_cache *c);
void rw_cache_unpin(struct rw_cache *c, struct rw_generation *g);

struct rw_key rw_key_of(struct str raw);
static inline struct rw_key rw_key_mix(struct rw_key k, struct rw_key more)
{
    k.lo = (k.lo ^ more.lo) * UINT64_C(0x9e3779b97f4a7c15);
    k.hi = (k.hi ^ more.hi) * UINT64_C(0xbf58476d1ce4e5b9);
    return (struct rw_key){ k.lo ^ k.lo >> 29, k.hi ^ k.hi >> 31 };
}

/* Index of the series, or UINT32_MAX. */
static inline uint32_t rw_find(const struct rw_generation *g, struct rw_key key)
{
    if (g->count == 0) return UINT32_MAX;
    for (uint32_t at = (uint32_t)key.lo & g->mask;; at = (at + 1) & g->mask) {
        const struct rw_entry *e = &g->entries[at];
        if (e->series == 0) return UINT32_MAX;
        if (e->key.lo == key.lo && e->key.hi == key.hi) return e->series - 1;
    }
}
/* Fetch what rw_find reads first; then the series that it will find, if that slot is the right one. */
static inline void rw_prefetch(const struct rw_generation *g, struct rw_key key)
{
    if (g->count) __builtin_prefetch(&g->entries[(uint32_t)key.lo & g->mask]);
}
static inline void rw_prefetch_series(const struct rw_generation *g, struct rw_key key)
{
    if (g->count == 0) return;
    const struct rw_entry *e = &g->entries[(uint32_t)key.lo & g->mask];
    if (e->series) __builtin_prefetch(&g->series[e->series - 1], 1);
}
/* Adds key -> the series of these labels. ERR_INVALID: they are no label set, or have no __name__. */
MUST_CHECK err_t rw_add(struct rw_generation *g, struct rw_key key, struct labels *ls, struct arena *scratch,
                        uint32_t *series);

#endif
