#include "query/graph/join.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/rt/rt.h"

enum { BLOCK_BITS = 12, BLOCK = 1 << BLOCK_BITS, INDEX_MIN = 1 << 12 };

/* The first child of a key is in the index and holds what is known of the key. */
enum { NO_CHILD = UINT32_MAX, NO_SERVICE = UINT16_MAX, SEVERAL = UINT16_MAX - 1 };
struct join_child {
    uint64_t key;
    int64_t duration_ns;
    uint32_t first;     /* child of the same key */
    uint16_t service;
    bool error, counts;
    uint16_t parent[2]; /* of the first: services that claim the key, the two of the smallest names */
    uint16_t all;       /* of the first: the service of all children, or SEVERAL */
};
_Static_assert(sizeof(struct join_child) == 32, "JOIN_CHILD_BYTES is that, and up to 26 bytes of index, and what that was before it grew");

static struct join_child *child_at(const struct join *j, uint32_t i)
{
    return &j->blocks[i >> BLOCK_BITS][i & (BLOCK - 1)];
}

void join_init(struct join *j, const struct names *services, uint32_t children_max, struct arena *mem)
{
    *j = (struct join){ .mem = mem, .services = services, .children_max = MAX(children_max, 1), .mask = INDEX_MIN - 1 };
    j->blocks = ARENA_ARRAY(mem, struct join_child *, (j->children_max >> BLOCK_BITS) + 1);
    j->index = ARENA_ARRAY(mem, uint64_t, INDEX_MIN);
}

uint64_t join_key(const uint8_t trace_id[16], const uint8_t span_id[8])
{
    uint8_t both[24];
    memcpy(both, trace_id, 16);
    memcpy(both + 16, span_id, 8);
    return hash_seeded64(str_n(both, sizeof both));
}

/* -- the index ------------------------------------------------------------------------------------------------- *
 * A place holds the upper half of a key and the number of its first child + 1: other keys are told apart without a look
 * at their children. */
static bool is_key(uint64_t place, uint64_t key) { return (place ^ key) >> 32 == 0; }

/* The first child of the key, or NO_CHILD with the free place where it would stand. */
static uint32_t find(const struct join *j, uint64_t key, uint32_t *slot)
{
    for (uint32_t i = (uint32_t)key & j->mask;; i = (i + 1) & j->mask) {
        uint64_t place = j->index[i];
        *slot = i;
        if (place == 0) return NO_CHILD;
        if (is_key(place, key) && child_at(j, (uint32_t)place - 1)->key == key) return (uint32_t)place - 1;
    }
}

static void put(struct join *j, uint32_t slot, uint64_t key, uint32_t child)
{
    j->index[slot] = key >> 32 << 32 | (child + 1);
}

void join_prefetch_child(const struct join *j, uint64_t key)
{
    uint64_t place = j->index[(uint32_t)key & j->mask];
    if (place && is_key(place, key)) __builtin_prefetch(child_at(j, (uint32_t)place - 1));
}

/* Others run meanwhile: long loops over the children stop here now and then. */
static err_t pause_at(uint32_t i)
{
    return i % BLOCK == BLOCK - 1 && rt_in_fiber() ? rt_checkpoint() : OK;
}

static err_t grow_index(struct join *j)
{
    enum { AHEAD = 16 };
    uint32_t slot;
    j->mask = j->mask * 2 + 1;
    j->index = ARENA_ARRAY(j->mem, uint64_t, (size_t)j->mask + 1);
    for (uint32_t i = 0; i < j->n; i++) {
        const struct join_child *c = child_at(j, i);
        TRY(pause_at(i));
        if (i + AHEAD < j->n) join_prefetch(j, child_at(j, i + AHEAD)->key);
        if (c->first != i) continue;
        ASSERT(find(j, c->key, &slot) == NO_CHILD);
        put(j, slot, c->key, i);
    }
    return OK;
}

/* Puts child i, whose own fields stand, among those of its key. */
static void link_child(struct join *j, uint32_t i)
{
    struct join_child *c = child_at(j, i);
    uint32_t slot, first = find(j, c->key, &slot);
    c->first = first;
    if (first == NO_CHILD) {
        c->first = i;
        c->parent[0] = c->parent[1] = NO_SERVICE;
        c->all = c->service;
        put(j, slot, c->key, i);
        j->indexed++;
        return;
    }
    struct join_child *f = child_at(j, first);
    if (f->all != c->service) f->all = SEVERAL;
}

/* -- the sample ------------------------------------------------------------------------------------------------ */
/* Drops every second key with its children. */
static err_t halve(struct join *j)
{
    uint32_t kept = 0;
    j->shift++;
    for (uint32_t i = 0; i < j->n; i++) {
        TRY(pause_at(i));
        if (join_takes(j, child_at(j, i)->key)) *child_at(j, kept++) = *child_at(j, i);
    }
    memset(j->index, 0, ((size_t)j->mask + 1) * sizeof *j->index);
    j->n = kept;
    j->indexed = 0;
    for (uint32_t i = 0; i < kept; i++) {
        TRY(pause_at(i));
        link_child(j, i);
    }
    return OK;
}

static err_t make_room(struct join *j)
{
    while (j->n >= j->children_max && j->shift < JOIN_SHIFT_MAX)
        TRY(halve(j));
    j->full |= j->n >= j->children_max;
    return OK;
}

/* -- meetings ------------------------------------------------------------------------------------------------------ */
err_t join_child(struct join *j, uint64_t parent_key, uint32_t service, int64_t duration_ns, bool error, bool counts)
{
    ASSERT(service < SEVERAL);
    if (j->n >= j->children_max) TRY(make_room(j));
    if (j->full || !join_takes(j, parent_key)) return OK;
    if ((uint64_t)(j->indexed + 1) * 8 > (uint64_t)j->mask * 5) TRY(grow_index(j));
    struct join_child **block = &j->blocks[j->n >> BLOCK_BITS];
    if (!*block) *block = ARENA_RAW(j->mem, struct join_child, BLOCK);
    *child_at(j, j->n) = (struct join_child){ .key = parent_key, .duration_ns = duration_ns, .service = (uint16_t)service,
                                              .error = error, .counts = counts };
    link_child(j, j->n++);
    return OK;
}

static bool before(const struct join *j, uint16_t a, uint16_t b)
{
    return b == NO_SERVICE || str_cmp(j->services->v[a], j->services->v[b]) < 0;
}

/* Keeps the two of the smallest names among the parents. */
static void add_parent(const struct join *j, struct join_child *first, uint16_t service)
{
    uint16_t *p = first->parent;
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
    uint32_t slot, first = find(j, key, &slot);
    if (first == NO_CHILD) return false;
    add_parent(j, child_at(j, first), (uint16_t)service);
    return child_at(j, first)->all != service;
}

err_t join_finish(struct join *j, struct edges *out)
{
    struct edge *last = NULL;
    for (uint32_t i = 0; i < j->n; i++) {
        const struct join_child *c = child_at(j, i), *first = child_at(j, c->first);
        TRY(pause_at(i));
        uint16_t from = first->parent[0] == c->service ? first->parent[1] : first->parent[0];
        if (!c->counts || from == NO_SERVICE) continue;
        if (!last || last->from != from || last->to != c->service) last = edges_get(out, from, EDGE_SERVICE, c->service);
        edges_count(out, last, c->duration_ns, c->error);
    }
    return OK;
}
