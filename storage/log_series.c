/* Series defined by earlier frames of a log's generation: requests that were appended here name a series by its id alone when
 * an earlier frame of their log and generation has its labels. */
#include "storage/store_int.h"

void log_series_init(struct log_series *n)
{
    *n = (struct log_series){ 0 };
    arena_init(&n->mem, NULL);
    htab_init(&n->index, NULL);
}
void log_series_deinit(struct log_series *n)
{
    htab_deinit(&n->index);
    arena_deinit(&n->mem);
}
static struct str get(const struct log_series *n, hash128 id)
{
    for (uint32_t it = 0, v; htab_next(&n->index, hash_u64(id.lo), &it, &v);)
        if (hash128_eq(n->ids[v], id)) return n->canonical[v];
    return STR_NONE;
}
static void add(struct log_series *n, hash128 id, struct str canonical)
{
    n->ids = arena_grow(&n->mem, n->ids, n->count, &n->ids_cap, n->count + 1, sizeof *n->ids);
    n->canonical = arena_grow(&n->mem, n->canonical, n->count, &n->canonical_cap, n->count + 1, sizeof *n->canonical);
    n->ids[n->count] = id;
    n->canonical[n->count] = arena_str(&n->mem, canonical);
    htab_insert(&n->index, hash_u64(id.lo), (uint32_t)n->count++);
}

uint8_t *log_series_fill(struct log_series *n, struct metric_batch *m, struct arena *a, uint64_t *nameless)
{
    uint8_t *skip = NULL;
    for (uint32_t i = 0; i < m->nseries; i++) {
        struct str known = get(n, m->id[i]);
        if (m->canonical[i].p) {
            if (!known.p) add(n, m->id[i], m->canonical[i]);
            continue;
        }
        m->canonical[i] = known;
        if (known.p) continue;
        if (!skip) skip = ARENA_ARRAY(a, uint8_t, m->nseries);
        skip[i] = 1;
        ++*nameless;
    }
    return skip;
}
