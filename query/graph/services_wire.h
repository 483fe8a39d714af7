/* The fragment of graph_services, and names as bytes. */
#ifndef QUERY_GRAPH_SERVICES_WIRE_H
#define QUERY_GRAPH_SERVICES_WIRE_H

#include "query/graph/services.h"
#include "query/ops/wire.h"

/* A list of strings. What is read is for merging only: it has no index and needs no names_deinit. */
void names_put(struct wire_out *w, const struct names *s);
struct names names_get(struct wire_in *w, uint32_t max);
/* The plan is a struct graph_req, the partial state a struct graph_answer. */
MUST_CHECK err_t graph_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

#endif
