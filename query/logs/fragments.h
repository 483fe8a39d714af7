/* Plans and partial states of the log searches, shared by those who run them (search.c, columns.c) and those who send them
 * (wire.c). A plan is all that a fragment reads: the mapping of the index stays at the coordinator. */
#ifndef QUERY_LOGS_FRAGMENTS_H
#define QUERY_LOGS_FRAGMENTS_H

#include "base/core/htab.h"
#include "query/logs/columns.h"
#include "query/logs/search.h"

struct log_plan { /* of one index; immutable while the fragments run */
    const struct log_search *s; /* of it the fragments read count_all, want_source and naggs */
    const struct log_index *ix; /* ... signal and stored */
    struct expr_builder b;
    struct expr *filter;
    struct agg_spec *aggs;
    struct topn_spec top;
    struct log_field key[TOPN_KEYS_MAX]; /* ... kind, refs, unit and missing */
    uint32_t nkeys;
    int64_t tmin, tmax;
};
struct log_partial {
    uint64_t count;
    struct op_topn top;  /* of each entry the payload is a struct log_payload */
    struct op_agg agg;
    bool agg_open;
};
struct log_payload { /* what a kept entry carries */
    int64_t time_ns;
    struct str source;
};
MUST_CHECK err_t log_search_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

struct log_columns_plan {
    const struct log_index *ix;
    struct expr_builder b;
    struct expr *filter; /* NULL = any row */
    int64_t tmin, tmax;
};
struct log_column_set {
    struct arena *a;
    struct htab index;
    struct log_column *v;
    size_t n, cap;
};
MUST_CHECK err_t log_columns_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

#endif
