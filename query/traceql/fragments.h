/* Plans and partial states of trace search, trace by id and tags, shared by those who run them (search.c, tags.c) and those
 * who send them (wire.c). */
#ifndef QUERY_TRACEQL_FRAGMENTS_H
#define QUERY_TRACEQL_FRAGMENTS_H

#include "query/traceql/candidate.h"
#include "query/traceql/search.h"
#include "query/traceql/tval_set.h"

struct search_plan { /* partial: struct search_answer */
    const struct search_req *rq;
    struct candidate_plan candidates;
};
MUST_CHECK err_t trace_search_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

struct by_id_plan { /* partial: struct tspans */
    const uint8_t *id;
    int64_t tmin_ns, tmax_ns;
};
MUST_CHECK err_t trace_by_id_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

/* Spans of any traces as bytes (wire.c). */
void trace_spans_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t trace_spans_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);
/* Those of all slots, in order, each once. ERR_LIMIT past spans_max. */
MUST_CHECK err_t spans_join(const struct scatter *sc, uint32_t spans_max, struct arena *a, struct tspans *out);

struct tags_plan { /* partial: TAG_SCOPES struct tag_set of names, or one of values */
    int64_t tmin_ns, tmax_ns;
    const struct expr *filter; /* NULL = all spans */
    struct expr_builder builder;
    const struct tql_field *tag; /* whose values are asked for: an attribute or an intrinsic */
};
struct tag_set { /* the names or values of one core */
    struct tval_set set;
    bool truncated;
};
MUST_CHECK err_t trace_tags_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;
MUST_CHECK err_t trace_tag_values_fragment(struct query *q, struct view *v, const void *plan, struct arena *a,
                                           void **partial) MAY_YIELD;

#endif
