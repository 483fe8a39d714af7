/* The fragment of /api/admin/storage and its form in bytes (strings as query/ops/wire.h has them).
 *
 *   plan     u8 all tenants, zigzag ns: how long a node may list series
 *   partial  varints segments, bytes, remote_bytes, other_bytes, ids_bytes, words_bytes, directory_bytes, padding_bytes, unread_segments,
 *            then of each of USAGE_LEVELS segments, bytes
 *            sets   varint n; each: tenant, index, u8 signal, varints bytes, groups, rows, samples, directory_raw, gone_bytes, dead_rows,
 *                   mem_rows, mem_bytes, zigzag tmin, tmax
 *            parts  varint n; each: u8 kind, rel, scope, type, varint set, name, varints bytes, filter_bytes, count, of, distinct */
#ifndef SERVER_API_STORAGE_WIRE_H
#define SERVER_API_STORAGE_WIRE_H

#include "query/query.h"
#include "storage/usage.h"

struct storage_plan {
    bool all_tenants;
    int64_t names_ns; /* from the start of the fragment on */
};
void storage_plan_put(const void *plan, struct buf *out);
MUST_CHECK err_t storage_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void storage_part_put(const void *plan, const void *partial, struct buf *out); /* a struct usage; its indexes are not needed */
MUST_CHECK err_t storage_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

#endif
