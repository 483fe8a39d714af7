#include "query/graph/names.h"

#include "base/core/hash.h"

void names_init(struct names *s, uint32_t max, struct arena *mem)
{
    *s = (struct names){ .max = max, .mem = mem };
    htab_init(&s->index, mem->budget);
}

void names_deinit(struct names *s)
{
    htab_deinit(&s->index);
}

static uint32_t find(const struct names *s, struct str name, uint64_t hash)
{
    for (uint32_t it = 0, i; htab_next(&s->index, hash, &it, &i);)
        if (str_eq(s->v[i], name)) return i;
    return NAME_NONE;
}

uint32_t names_find(const struct names *s, struct str name)
{
    return find(s, name, hash_seeded64(name));
}

uint32_t names_add(struct names *s, struct str name)
{
    uint64_t h = hash_seeded64(name);
    uint32_t found = find(s, name, h);
    if (found != NAME_NONE || s->n == s->max) return found;
    htab_insert(&s->index, h, s->n);
    s->v = arena_grow(s->mem, s->v, s->n, &s->cap, s->n + 1, sizeof *s->v);
    s->v[s->n] = arena_str(s->mem, name);
    return s->n++;
}
