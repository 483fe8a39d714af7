/* Predicate trees as bytes. A node: u8 kind, then
 *   AND OR NOT    list of nodes           ATLEAST  varint how many, list of nodes
 *   LEAF          u8 op, flags words and fold, list of refs, then
 *                 EQ NE PREFIX WILDCARD   list of values
 *                 RANGE                   list of: value lo, value hi, flags lo_open and hi_open
 *                 REGEX NREGEX            string: the pattern
 *                 PHRASE                  list of strings, varint slop, flags last_prefix and any_order
 * (forms of strings, values, refs: wire.h). A tree that is read is built and checked anew: depth, number of nodes, patterns. */
#ifndef QUERY_OPS_EXPR_WIRE_H
#define QUERY_OPS_EXPR_WIRE_H

#include "query/ops/expr.h"
#include "query/ops/wire.h"

void expr_put(struct wire_out *w, const struct expr *e);
/* With the builder, whose arena is w->a. */
MUST_CHECK err_t expr_get(struct wire_in *w, struct expr_builder *b, struct expr **out);

#endif
