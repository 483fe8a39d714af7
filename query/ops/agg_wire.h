/* Aggregations as bytes (forms of strings, values, refs, flags: wire.h).
 *
 * Specs, a list; of each: u8 kind, field, f64 div, value missing, f64 interval, f64 offset, zigzag interval_i64, zigzag
 * offset_i64, list of ranges (f64 from, f64 to), list of filters (expr_wire.h), list of sources (u8 kind, field, f64
 * interval, zigzag interval_i64, zigzag offset_i64, flag missing), specs below. A field: list of refs, flag lower. What the
 * language adds (agg_spec.user) stays where it is: only who renders needs it.
 *
 * States: varint rows, then one state a spec, in the order of the specs:
 *   MOMENTS      varint count; unless 0: f64 sum, sum_sq, min, max
 *   COUNT        varint
 *   DISTINCT     flag regs; with it DISTINCT_REGS bytes, else a list of u64
 *   QUANTILES    varint zero, twice (list of varint bins, unless empty: zigzag first), f64 min, f64 max
 *   buckets      a list; of each: its key (1 value; a composite's sources; none for ranges and filters), varint rows, the
 *                states of the specs below */
#ifndef QUERY_OPS_AGG_WIRE_H
#define QUERY_OPS_AGG_WIRE_H

#include "query/ops/expr_wire.h"
#include "query/ops/op_agg.h"

void agg_specs_put(struct wire_out *w, const struct agg_spec *specs, uint32_t n);
/* Filters are built with b. */
MUST_CHECK err_t agg_specs_get(struct wire_in *w, struct expr_builder *b, struct agg_spec **out, uint32_t *n);
void agg_states_put(struct wire_out *w, const struct op_agg *a);
/* Into a, from op_agg_init_states. */
MUST_CHECK err_t agg_states_get(struct wire_in *w, struct op_agg *a);

#endif
