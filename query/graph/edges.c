#include "query/graph/edges.h"

#include "base/core/hash.h"

void edges_init(struct edges *e, struct arena *mem)
{
    *e = (struct edges){ .mem = mem };
    names_init(&e->peers, EDGES_MAX, mem);
    htab_init(&e->index, mem->budget);
}

void edges_deinit(struct edges *e)
{
    names_deinit(&e->peers);
    htab_deinit(&e->index);
}

struct edge *edges_get(struct edges *e, uint32_t from, enum edge_kind kind, uint32_t to)
{
    if (from == NAME_NONE || to == NAME_NONE) return NULL;
    uint64_t h = hash_u64((uint64_t)from << 32 | to) + kind;
    for (uint32_t it = 0, i; htab_next(&e->index, h, &it, &i);)
        if (e->v[i].from == from && e->v[i].to == to && e->v[i].kind == kind) return &e->v[i];
    if (e->n == EDGES_MAX) return NULL;
    htab_insert(&e->index, h, e->n);
    e->v = arena_grow(e->mem, e->v, e->n, &e->cap, e->n + 1, sizeof *e->v);
    e->v[e->n] = (struct edge){ .from = from, .to = to, .kind = kind };
    return &e->v[e->n++];
}

uint32_t edges_peer(struct edges *e, struct str name)
{
    return names_add(&e->peers, str_sub(name, 0, PEER_NAME_MAX));
}

void edges_merge(struct edges *into, const struct edges *from, const uint32_t *service, uint64_t weight)
{
    into->left_out += from->left_out * weight;
    for (uint32_t i = 0; i < from->n; i++) {
        const struct edge *f = &from->v[i];
        uint32_t to = f->kind == EDGE_SERVICE ? service[f->to] : edges_peer(into, from->peers.v[f->to]);
        struct edge *e = edges_get(into, service[f->from], f->kind, to);
        if (!e) {
            into->left_out += f->requests * weight;
            continue;
        }
        e->requests += f->requests * weight;
        e->errors += f->errors * weight;
        exphist_merge(&e->duration, &f->duration, weight, into->mem);
    }
}
