/* Elasticsearch's aggregations: the request as JSON, its specs over one index, the answer as JSON. */
#ifndef QUERY_LOGS_AGGS_H
#define QUERY_LOGS_AGGS_H

#include "query/logs/compile.h"
#include "query/ops/op_agg.h"

enum agg_type {
    AT_AVG, AT_SUM, AT_MIN, AT_MAX, AT_VALUE_COUNT, AT_STATS, AT_EXTENDED_STATS, AT_CARDINALITY, AT_PERCENTILES,
    AT_TERMS, AT_HISTOGRAM, AT_DATE_HISTOGRAM, AT_RANGE, AT_FILTER, AT_FILTERS, AT_COMPOSITE,
};
enum { AGG_TERMS_SIZE = 10, AGG_SIZE_MAX = 65000 };

struct agg_order { struct str by; bool desc; }; /* _count, _key, or a metric below: name[.member] */
struct agg_source_req {
    struct str name, field;
    enum agg_type type; /* AT_TERMS, AT_HISTOGRAM, AT_DATE_HISTOGRAM */
    double interval;
    int64_t interval_ns, offset_ns;
    bool missing_bucket, desc;
    struct val after;   /* type 0: null */
};
struct agg_range_req { struct str key; double from, to; };
struct agg_req {
    struct str name, field;
    enum agg_type type;
    uint32_t size;
    struct agg_order order[2];
    uint32_t norder;
    uint64_t min_doc_count;
    bool min_given;
    struct val missing;
    double interval, offset;
    int64_t interval_ns, offset_ns;
    bool has_extended, has_hard;
    double extended_min, extended_max, hard_min, hard_max; /* milliseconds in date histograms */
    bool keyed;
    const double *percents;
    uint32_t npercents;
    const struct agg_range_req *ranges;
    uint32_t nranges;
    struct lq **filters;         /* AT_FILTER: one; AT_FILTERS: names in filter_names */
    const struct str *filter_names;
    uint32_t nfilters;
    const struct agg_source_req *sources;
    uint32_t nsources;
    bool has_after;
    bool is_date;                /* set by agg_specs: the field is a date in an index that was searched */
    struct agg_req *subs;
    uint32_t nsubs;
};

/* {"name": {"terms": {...}, "aggs": {...}}, ...}. ERR_INVALID names the aggregation. */
MUST_CHECK err_t aggs_parse(const struct json_val *v, struct arena *a, struct agg_req **out, uint32_t *n);
/* Specs of the same shape for one index. Filters are compiled with b, which the caller finishes with. */
MUST_CHECK err_t aggs_specs(struct agg_req *reqs, uint32_t n, const struct log_index *ix, struct expr_builder *b,
                            struct agg_spec **out);
/* The object of results: {"name": {"buckets": [...]}, ...}. */
MUST_CHECK err_t aggs_render(const struct agg_req *reqs, uint32_t n, const struct agg_state *states, struct arena *a,
                             struct json_out *j);

#endif
