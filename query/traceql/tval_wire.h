/* Values of spans as bytes, for the fragments of query/traceql (strings, flags: query/ops/wire.h).
 *   tval    u8 type, 0x80 added to durations; then INT STATUS KIND zigzag | FLOAT 8 bytes | BOOL flag | STR BYTES JSON string
 *   attrs   list of: string key, tval */
#ifndef QUERY_TRACEQL_TVAL_WIRE_H
#define QUERY_TRACEQL_TVAL_WIRE_H

#include "query/ops/wire.h"
#include "query/traceql/trace.h"

void tval_put(struct wire_out *w, const struct tval *v);
struct tval tval_get(struct wire_in *w);
void tvals_put(struct wire_out *w, const struct tval *v, uint32_t n);
struct tval *tvals_get(struct wire_in *w, uint32_t max, uint32_t *n);
void tattrs_put(struct wire_out *w, const struct tattr *v, uint32_t n);
struct tattr *tattrs_read(struct wire_in *w, uint32_t *n);

#endif
