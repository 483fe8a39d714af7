#include "server/api/prometheus_names.h"

uint32_t prom_names_add(struct prom_names *s, struct arena *a, struct str name)
{
    uint64_t h = hash_seeded64(name);
    for (uint32_t it = 0, v; htab_next(&s->index, h, &it, &v);)
        if (str_eq(s->v[v], name)) return s->count[v]++, v;
    htab_insert(&s->index, h, s->n);
    s->v = arena_grow(a, s->v, s->n, &s->cap, s->n + 1, sizeof *s->v);
    s->count = arena_grow(a, s->count, s->n, &s->ccap, s->n + 1, sizeof *s->count);
    s->v[s->n] = arena_str(a, name);
    s->count[s->n] = 1;
    return s->n++;
}
