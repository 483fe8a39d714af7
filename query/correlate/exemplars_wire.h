/* The fragment of corr_exemplars, and its form in bytes (strings as query/ops/wire.h has them).
 *
 *   plan     varint n, n ids of traces; u8 1 a span follows | 2 jobs follow; [8 bytes], [varint n, n strings]; zigzag start, end
 *   partial  varint total, varint n; each: labels, f64 value, zigzag time, u8 1 trace | 2 span, 16 and 8 bytes */
#ifndef QUERY_CORRELATE_EXEMPLARS_WIRE_H
#define QUERY_CORRELATE_EXEMPLARS_WIRE_H

#include "query/correlate/correlate.h"

struct bytes_in;

void corr_exemplars_plan_put(const void *plan, struct buf *out); /* a struct corr_exemplars_req; of the traces their ids */
MUST_CHECK err_t corr_exemplars_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void corr_exemplars_plan_free(const void *plan);
void corr_exemplars_part_put(const void *plan, const void *partial, struct buf *out); /* a struct corr_exemplars */
MUST_CHECK err_t corr_exemplars_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

#endif
