#include "storage/names.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>
#include <string.h>

uint64_t stream_id_of(const node_id *members, uint32_t n)
{
    uint64_t id = hash64(str_n((const char *)members, n * sizeof *members));
    return id ? id : 1;
}

static int by_id(const void *pa, const void *pb)
{
    const node_id *a = pa, *b = pb;
    return (a->u > b->u) - (a->u < b->u);
}

void stream_make(const node_id *members, uint32_t n, struct stream *out)
{
    ASSERT(n >= 1);
    ASSERT(n <= STREAM_MEMBERS_MAX);
    *out = (struct stream){ .n = n };
    memcpy(out->members, members, n * sizeof *members);
    qsort(out->members, n, sizeof *members, by_id);
    for (uint32_t i = 1; i < n; i++)
        ASSERT(out->members[i - 1].u != out->members[i].u);
    out->id = stream_id_of(out->members, n);
}

bool stream_has(const struct stream *st, node_id id)
{
    for (uint32_t i = 0; i < st->n; i++)
        if (st->members[i].u == id.u) return true;
    return false;
}
