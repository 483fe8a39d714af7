/* Aggregation of rows into a tree of buckets and metrics, with states that merge: cores fill their own, the
 * coordinator merges them and reads the result.
 *
 * A spec is a metric over a field, or buckets over a field with specs below. Rows without a value of the field
 * count in no bucket, unless `missing` gives them one. A row with several values (arrays) counts in each of its
 * buckets once.
 *
 *     op_agg_init(&a, specs, n, &mem, buckets_max)
 *     on a new rowset: op_agg_bind(&a, &src);  on each chunk: op_agg_chunk(&a, &chunk)
 *     op_agg_merge(&total, &a)...  read total.root->subs[i] (struct agg_state of specs[i])
 *     op_agg_deinit(&a)
 * Memory is the arena given (of the partial); the tree is depth-bounded by AGG_DEPTH_MAX (checked by init). */
#ifndef QUERY_OPS_OP_AGG_H
#define QUERY_OPS_OP_AGG_H

#include "query/ops/expr.h"
#include "query/ops/sketch.h"

enum { AGG_DEPTH_MAX = 8, AGG_SPECS_MAX = 256, AGG_BUCKETS_MAX = 65000, AGG_SOURCES_MAX = 8 };

enum agg_kind {
    AGG_MOMENTS,      /* count, sum, min, max, avg, stats, extended stats: struct moments */
    AGG_COUNT,        /* values of any type: moments.count */
    AGG_DISTINCT,
    AGG_QUANTILES,
    AGG_TERMS,        /* buckets: one a value */
    AGG_HISTOGRAM,    /* buckets: by interval (double); key F64 */
    AGG_HISTOGRAM_I64, /* by interval_i64, offset_i64; key I64: times in ns */
    AGG_RANGES,       /* one a range, in order, whether hit or not */
    AGG_FILTERS,      /* one a predicate, in order */
    AGG_COMPOSITE,    /* one a combination of the sources' values */
};
struct agg_field {
    const struct attr_ref *refs; /* the first that has a value counts */
    uint32_t nrefs;
    bool lower;                  /* strings count in lower case */
};
struct agg_source { /* of AGG_COMPOSITE */
    enum agg_kind kind;          /* AGG_TERMS, AGG_HISTOGRAM, AGG_HISTOGRAM_I64 */
    struct agg_field field;
    double interval;
    int64_t interval_i64, offset_i64;
    bool missing;                /* rows without a value have the bucket "no value" */
};
struct agg_spec {
    enum agg_kind kind;
    struct agg_field field;
    double div;                  /* metrics: values are divided by it (0 = 1): ns -> ms */
    struct val missing;          /* type 0: none */
    double interval, offset;
    int64_t interval_i64, offset_i64;
    struct { double from, to; } *ranges; /* [from, to); infinities for open ends */
    uint32_t nranges;
    const struct expr *const *filters;
    const struct expr_builder *builder; /* of the filters */
    uint32_t nfilters;
    const struct agg_source *sources;
    uint32_t nsources;
    const struct agg_spec *subs;
    uint32_t nsubs;
    const void *user;            /* the language's own part: names, rendering */
};

struct agg_bucket;
struct agg_state { /* of one spec inside one bucket */
    struct moments m;
    struct distinct distinct;
    struct sketch sketch;
    uint32_t *index;             /* open addressing: 1 + number of a bucket, 0 = free */
    uint32_t index_mask;
    struct agg_bucket **buckets; /* in order of appearance; ranges and filters: by number */
    uint32_t nbuckets, cap;
    struct agg_bucket *last;     /* found last: rows come in runs */
};
struct agg_bucket {
    uint64_t hash;
    const struct val *key;       /* 1, or nsources of a composite; unset for ranges and filters */
    uint64_t count;              /* rows */
    struct agg_state *subs;      /* nsubs */
};
struct agg_node;
struct op_agg {
    const struct agg_spec *specs;
    uint32_t nspecs;
    struct agg_bucket root;      /* root.subs[i] belongs to specs[i]; root.count = rows */
    struct arena *mem;
    struct arena bind_mem;
    struct agg_node *nodes;
    uint32_t buckets, buckets_max;
    bool too_many;
};

MUST_CHECK err_t op_agg_init(struct op_agg *a, const struct agg_spec *specs, uint32_t n, struct arena *mem,
                             uint32_t buckets_max);
void op_agg_deinit(struct op_agg *a);
MUST_CHECK err_t op_agg_bind(struct op_agg *a, const struct rows_src *src) MAY_YIELD;
/* ERR_LIMIT: too many buckets, or the budget. */
MUST_CHECK err_t op_agg_chunk(struct op_agg *a, const struct chunk *c);
/* `from` may be taken apart: its buckets move into `into` and live in from's arena. */
MUST_CHECK err_t op_agg_merge(struct op_agg *into, struct op_agg *from);

/* -- states that come as bytes (agg_wire.h) ---------------------------------------------------------------------- */
/* For the right side of op_agg_merge only: nothing is bound to it, and it needs no op_agg_deinit. */
void op_agg_init_states(struct op_agg *a, const struct agg_spec *specs, uint32_t n, struct arena *mem, uint32_t buckets_max);
/* The bucket of that key, made if need be; keys are copied. a->too_many tells when there are too many. */
struct agg_bucket *op_agg_bucket(struct op_agg *a, const struct agg_spec *spec, struct agg_state *st, const struct val *key,
                                 uint32_t nkeys);
/* Ranges and filters have all their buckets from the start: makes them. */
void op_agg_fixed(struct op_agg *a, const struct agg_spec *spec, struct agg_state *st);

#endif
