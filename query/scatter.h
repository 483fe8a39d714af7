/* The inside of scatter-gather: what runs on this node's cores, for query.c and spread.c only. */
#ifndef QUERY_SCATTER_H
#define QUERY_SCATTER_H

#include "query/query.h"

enum { FRAGMENT_BYTES_MAX = 256 << 20 }; /* of a plan, or of a partial */

/* n empty slots. */
void scatter_make(struct query *q, unsigned n, struct scatter *out);
/* What plan_get and partial_get read, to the last byte: ERR_CORRUPT when they end elsewhere. Of a plan plan_free is due when it is OK. */
MUST_CHECK err_t plan_of_bytes(struct query *q, const struct fragment_kind *kind, struct bytes_in *in, const void **plan);
MUST_CHECK err_t partial_of_bytes(const struct fragment_kind *kind, const void *plan, struct str bytes, struct arena *a, void **partial);
void plan_done(const struct fragment_kind *kind, const void *plan);
/* Runs it on every core of this node, over those streams alone (NULL: all). On error nothing is left to free. */
MUST_CHECK err_t scatter_here(struct query *q, const struct fragment_kind *kind, const void *plan, const struct stream_pick *pick,
                              struct scatter *out) MAY_YIELD;

#endif
