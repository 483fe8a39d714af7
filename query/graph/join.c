#include "query/graph/join.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

enum { BLOCK_BITS = 12, BLOCK = 1 << BLOCK_BITS, INDEX_MIN = 1 << 12 };

struct join_call {
    int64_t duration_ns;
    uint32_t group;
    uint16_t service;
    bool error, counts;
};
enum { NONE = UINT32_MAX, SEVERAL = UINT32_MAX - 1 };
struct join_group { /* the children of one key */
    uint64_t key;
    uint32_t parent[2];     /* services that claim the key: the two of the smallest names */
    uint32_t child;         /* service of the children, or SEVERAL */
    uint32_t moved;         /* halve()'s own */
};
_Static_assert(sizeof(struct join_call) == 16 && sizeof(struct join_group) == 24, "JOIN_CHILD_BYTES counts on it");

static struct join_call *call_at(const struct join *j, uint32_t i)
{
    return &j->calls[i >> BLOCK_BITS][i & (BLOCK - 1)];
}

static struct join_group *group_at(const struct join *j, uint32_t i)
{
    return &j->groups[i >> BLOCK_BITS][i & (BLOCK - 1)];
}

void join_init(struct join *j, const struct names *services, uint32_t children_max, struct arena *mem)
{
    *j = (struct join){ .mem = mem, .services = services, .children_max = MAX(children_max, 1), .mask = INDEX_MIN - 1 };
    uint32_t blocks = (j->children_max >> BLOCK_BITS) + 1;
    j->calls = ARENA_ARRAY(mem, struct join_call *, blocks);
    j->groups = ARENA_ARRAY(mem, struct join_group *, blocks);
    j->index = ARENA_ARRAY(mem, uint32_t, INDEX_MIN);
}

uint64_t join_key(const uint8_t trace_id[16], const uint8_t span_id[8])
{
    uint8_t both[24];
    memcpy(both, trace_id, 16);
    memcpy(both + 16, span_id, 8);
    return hash_seeded64(str_n(both, sizeof both));
}

/* -- groups by key ------------------------------------------------------------------------------------------- */
/* The number of the key's group, or NONE with the free place of the index where it would stand. */
static uint32_t find(const struct join *j, uint64_t key, uint32_t *slot)
{
    for (uint32_t i = (uint32_t)key & j->mask;; i = (i + 1) & j->mask) {
        *slot = i;
        if (j->index[i] == 0) return NONE;
        if (group_at(j, j->index[i] - 1)->key == key) return j->index[i] - 1;
    }
}

static void index_all(struct join *j)
{
    for (uint32_t i = 0, slot; i < j->ngroups; i++) {
        ASSERT(find(j, group_at(j, i)->key, &slot) == NONE);
        j->index[slot] = i + 1;
    }
}

static uint32_t group_of(struct join *j, uint64_t key)
{
    uint32_t slot, found = find(j, key, &slot);
    if (found != NONE) return found;
    if ((uint64_t)(j->ngroups + 1) * 2 > j->mask) {
        j->mask = j->mask * 2 + 1;
        j->index = ARENA_ARRAY(j->mem, uint32_t, (size_t)j->mask + 1);
        index_all(j);
        ASSERT(find(j, key, &slot) == NONE);
    }
    struct join_group **block = &j->groups[j->ngroups >> BLOCK_BITS];
    if (!*block) *block = ARENA_RAW(j->mem, struct join_group, BLOCK);
    *group_at(j, j->ngroups) = (struct join_group){ .key = key, .parent = { NONE, NONE }, .child = NONE };
    j->index[slot] = j->ngroups + 1;
    return j->ngroups++;
}

/* -- the sample ------------------------------------------------------------------------------------------------ */
/* Drops every second key with its children. */
static void halve(struct join *j)
{
    uint32_t groups = 0, calls = 0;
    j->shift++;
    for (uint32_t i = 0; i < j->ngroups; i++) {
        struct join_group *g = group_at(j, i);
        g->moved = join_takes(j, g->key) ? groups++ : NONE;
    }
    for (uint32_t i = 0; i < j->ncalls; i++) {
        struct join_call c = *call_at(j, i);
        c.group = group_at(j, c.group)->moved;
        if (c.group != NONE) *call_at(j, calls++) = c;
    }
    for (uint32_t i = 0; i < j->ngroups; i++) {
        const struct join_group *g = group_at(j, i);
        if (g->moved != NONE) *group_at(j, g->moved) = *g;
    }
    j->ngroups = groups;
    j->ncalls = calls;
    memset(j->index, 0, ((size_t)j->mask + 1) * sizeof *j->index);
    index_all(j);
}

static bool make_room(struct join *j)
{
    while (j->ncalls >= j->children_max && j->shift < JOIN_SHIFT_MAX)
        halve(j);
    j->full |= j->ncalls >= j->children_max;
    return !j->full;
}

/* -- meetings ------------------------------------------------------------------------------------------------------ */
void join_child(struct join *j, uint64_t parent_key, uint32_t service, int64_t duration_ns, bool error, bool counts)
{
    ASSERT(service < UINT16_MAX);
    if (j->ncalls >= j->children_max && !make_room(j)) return;
    if (!join_takes(j, parent_key)) return;
    uint32_t group = group_of(j, parent_key);
    struct join_group *g = group_at(j, group);
    g->child = g->child == NONE || g->child == service ? service : SEVERAL;
    struct join_call **block = &j->calls[j->ncalls >> BLOCK_BITS];
    if (!*block) *block = ARENA_RAW(j->mem, struct join_call, BLOCK);
    *call_at(j, j->ncalls++) = (struct join_call){ .duration_ns = duration_ns, .group = group, .service = (uint16_t)service,
                                                   .error = error, .counts = counts };
}

static bool before(const struct join *j, uint32_t a, uint32_t b)
{
    return b == NONE || str_cmp(j->services->v[a], j->services->v[b]) < 0;
}

/* Keeps the two of the smallest names among the group's parents. */
static void add_parent(const struct join *j, struct join_group *g, uint32_t service)
{
    uint32_t *p = g->parent;
    if (p[0] == service || p[1] == service) return;
    if (before(j, service, p[0])) {
        p[1] = p[0];
        p[0] = service;
    } else if (before(j, service, p[1])) {
        p[1] = service;
    }
}

bool join_parent(struct join *j, uint64_t key, uint32_t service)
{
    uint32_t slot, group = find(j, key, &slot);
    if (group == NONE) return false;
    struct join_group *g = group_at(j, group);
    add_parent(j, g, service);
    return g->child != service;
}

void join_finish(struct join *j, struct edges *out)
{
    struct edge *last = NULL;
    for (uint32_t i = 0; i < j->ncalls; i++) {
        const struct join_call *c = call_at(j, i);
        const struct join_group *g = group_at(j, c->group);
        uint32_t from = g->parent[0] == c->service ? g->parent[1] : g->parent[0];
        if (!c->counts || from == NONE) continue;
        if (!last || last->from != from || last->to != c->service) last = edges_get(out, from, EDGE_SERVICE, c->service);
        edges_count(out, last, c->duration_ns, c->error);
    }
}
