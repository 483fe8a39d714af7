/* The execution of a log search: one fragment a core and index (filter, best hits, count, aggregation states),
 * merged by the coordinator. */
#ifndef QUERY_LOGS_SEARCH_H
#define QUERY_LOGS_SEARCH_H

#include "query/logs/aggs.h"
#include "query/ops/op_topn.h"
#include "query/query.h"

enum { LOG_HITS_MAX = 10000, LOG_INDEXES_MAX = 256 };

struct log_sort {
    struct str field;   /* a field, ERR_INVALID when an index has none of that name; or _doc, _shard_doc: the tie-break; _score: no order */
    bool desc;
};
struct log_search {
    const struct lq *query;
    int64_t start_ns, end_ns;     /* rows with start <= time < end; INT64_MIN, INT64_MAX: open */
    uint32_t offset, size;        /* hits [offset, offset + size) are wanted */
    struct log_sort sort[TOPN_KEYS_MAX];
    uint32_t nsort;               /* 0: newest first */
    bool has_after;               /* only hits behind these values of the sort keys ... */
    struct val after[TOPN_KEYS_MAX];
    bool has_after_addr;          /* ... and this tie-break */
    uint64_t after_addr;
    bool count_all;               /* false: num_hits may stop at what was seen */
    bool want_source;
    struct agg_req *aggs;
    uint32_t naggs;
};
struct log_hit {
    struct str index;
    struct str source;            /* JSON */
    struct val key[TOPN_KEYS_MAX]; /* of the fields sorted by; times in ns */
    uint64_t addr;                /* tie-break, below 2^53 so that every JSON reader keeps it */
    int64_t time_ns;
};
struct log_result {
    uint64_t num_hits;
    struct log_hit *hits;
    uint32_t nhits;
    uint32_t nkeys;               /* of hits[].key: fields sorted by, without _doc */
    bool key_is_date[TOPN_KEYS_MAX];
    struct str aggregations;      /* JSON object, or p == NULL */
};

/* Everything in q->arena. ERR_INVALID: the query does not fit an index; ERR_LIMIT; ERR_CANCELED, ERR_TIMEOUT. */
MUST_CHECK err_t log_search(struct query *q, const struct log_search *s, const struct log_index *indexes, uint32_t n,
                            struct log_result *out) MAY_YIELD;

extern const struct fragment_kind LOG_SEARCH_KIND;

#endif
