#include "storage/names.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>
#include <string.h>

static bool is_all(const struct stream_rows *r)
{
    return r->tenant == 0 && r->quorum == 0 && r->set == 0 && r->partitions == UINT64_MAX;
}

uint64_t stream_id_of(const struct stream *st)
{
    uint64_t id = hash64(str_n((const char *)st->members, st->n * sizeof *st->members));
    const uint64_t of[] = { id, st->rows.tenant, st->rows.quorum, st->rows.set, st->rows.partitions };
    if (!is_all(&st->rows)) id = hash64(str_n((const char *)of, sizeof of));
    return id ? id : 1;
}

bool stream_ids_have(const uint64_t *ids, uint32_t n, uint64_t id)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (ids[mid] < id) lo = mid + 1;
        else hi = mid;
    }
    return lo < n && ids[lo] == id;
}

uint64_t stream_tenant(struct str tenant)
{
    uint64_t h = hash64_with(tenant, UINT64_C(0x7465726365740001));
    return h > STREAM_GROUPS ? h : h + STREAM_GROUPS + 1;
}

static int by_id(const void *pa, const void *pb)
{
    const node_id *a = pa, *b = pb;
    return (a->u > b->u) - (a->u < b->u);
}

void stream_make(const node_id *members, uint32_t n, struct stream *out)
{
    stream_make_of(members, n, &STREAM_ROWS_ALL, out);
}

void stream_make_of(const node_id *members, uint32_t n, const struct stream_rows *rows, struct stream *out)
{
    ASSERT(n >= 1);
    ASSERT(n <= STREAM_MEMBERS_MAX);
    *out = (struct stream){ .n = n, .rows = *rows };
    memcpy(out->members, members, n * sizeof *members);
    qsort(out->members, n, sizeof *members, by_id);
    for (uint32_t i = 1; i < n; i++)
        ASSERT(out->members[i - 1].u != out->members[i].u);
    out->id = stream_id_of(out);
}

bool stream_has(const struct stream *st, node_id id)
{
    for (uint32_t i = 0; i < st->n; i++)
        if (st->members[i].u == id.u) return true;
    return false;
}
