/* See members.h. The array lies behind its head, in the same piece of memory. */
#include "cluster/members.h"

#include "base/core/assert.h"

#include <stdlib.h>

const char *member_state_name(enum member_state s)
{
    static const char *const names[] = { "alive", "suspect", "dead", "left", "forgotten" };
    _Static_assert(ARRAY_LEN(names) == MEMBER_STATES, "a name for each");
    ASSERT(s < MEMBER_STATES);
    return names[s];
}

struct members *members_new(uint32_t n, uint64_t version)
{
    _Static_assert(sizeof(struct members) % _Alignof(struct member) == 0, "members lie behind their head");
    struct members *m = calloc(1, sizeof *m + n * sizeof *m->v);
    ASSERT(m);
    m->version = version;
    m->n = n;
    m->v = (struct member *)(void *)(m + 1);
    atomic_init(&m->refs, 1);
    return m;
}

struct members *members_get(struct members *m)
{
    uint32_t before = atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    ASSERT(before > 0 && before < UINT32_MAX);
    return m;
}

void members_put(struct members *m)
{
    if (!m) return;
    uint32_t before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) free(m);
}

const struct member *members_find(const struct members *m, node_id id)
{
    uint32_t from = 0, to = m->n;
    while (from < to) {
        uint32_t at = from + (to - from) / 2;
        if (m->v[at].id.u == id.u) return &m->v[at];
        if (m->v[at].id.u < id.u) from = at + 1;
        else to = at;
    }
    return NULL;
}
