/* Trace search and trace by id over all cores.
 *
 * A search is one fragment a core: candidate traces (candidate.h) are evaluated exactly, newest first, until
 * `limit` answers are found. A trace is whole on one core, so the partial
 * answers merge by sorting. The order is the trace's start, newest first, ties by id: the same query over
 * the same data gives the same answer. */
#ifndef QUERY_TRACEQL_SEARCH_H
#define QUERY_TRACEQL_SEARCH_H

#include "query/traceql/traceql.h"

enum { SEARCH_LIMIT_MAX = 10000 };

struct search_req {
    const struct tql_query *q;
    int64_t tmin_ns, tmax_ns;               /* of the matching spans' starts */
    int64_t min_duration_ns, max_duration_ns; /* of the trace; 0 and INT64_MAX for none */
    uint32_t limit, spss;
};
struct service_stat {
    struct str service;
    uint32_t spans, errors;
};
struct search_hit {
    uint8_t trace_id[16];
    struct str root_service, root_name; /* empty = the root was not received */
    bool has_root;
    int64_t start_ns, duration_ns;
    struct tql_result result;
    uint32_t nservices;
    struct service_stat *services;
};
struct search_answer {
    uint32_t n;
    struct search_hit *hits;
    uint64_t traces_inspected;
};
/* Answers live in the scatter's arenas: scatter_free after rendering. */
MUST_CHECK err_t trace_search(struct query *q, const struct search_req *rq, struct scatter *sc, struct search_answer *out) MAY_YIELD;

/* All spans of one trace, sorted by start. n = 0 when it is not known. */
MUST_CHECK err_t trace_by_id(struct query *q, const uint8_t id[16], int64_t tmin_ns, int64_t tmax_ns, struct scatter *sc,
                             struct tspans *out) MAY_YIELD;

/* -- tags ------------------------------------------------------------------------------------------------- */
enum tag_scope { TAG_RESOURCE, TAG_SPAN, TAG_EVENT, TAG_LINK, TAG_INSTRUMENTATION, TAG_SCOPES };
struct tag_names {
    uint32_t n[TAG_SCOPES];
    struct str *names[TAG_SCOPES]; /* sorted, distinct */
};
/* `filter` may be NULL; only its spans count then. */
MUST_CHECK err_t trace_tags(struct query *q, const struct tql_field *filter, int64_t tmin_ns, int64_t tmax_ns,
                            struct scatter *sc, struct tag_names *out) MAY_YIELD;
struct tag_values {
    uint32_t n;
    struct tval *v; /* sorted, distinct */
    bool truncated;
};
enum { TAG_VALUES_MAX = 50000 };
MUST_CHECK err_t trace_tag_values(struct query *q, const struct tql_field *tag, const struct tql_field *filter,
                                  int64_t tmin_ns, int64_t tmax_ns, struct scatter *sc, struct tag_values *out) MAY_YIELD;

extern const struct fragment_kind TRACE_SEARCH_KIND, TRACE_BY_ID_KIND, TRACE_TAGS_KIND, TRACE_TAG_VALUES_KIND;

#endif
