/* Fields of spans read from the columns of one rowset after another, for metrics_scan.c: labels as numbers of values,
 * measured fields as doubles. A label is decided once a distinct value of a dictionary, once a resource or scope, and
 * for other columns once a run of equal values. */
#ifndef QUERY_TRACEQL_METRICS_COLS_H
#define QUERY_TRACEQL_METRICS_COLS_H

#include "query/traceql/metrics_state.h"

struct field_cols { /* a field: its own column first, then, for .x, the resource's */
    const struct tql_field *f;
    uint32_t nrefs;
    struct attr_ref ref[2];
    struct attr_reader r[2];
};
void field_cols_init(struct field_cols *c, const struct tql_field *f);

#define LABEL_OTHER (UINT32_MAX - 1)
struct label_cols {
    struct field_cols c;
    struct tval_set *values; /* where they are numbered */
    uint32_t values_max;     /* values met when there are so many are LABEL_OTHER; 0 = no limit */
    uint32_t none;           /* number of a missing value: 0, or that of the default */
    uint32_t *dim_id;        /* by row of the resource or scope, UINT32_MAX = not yet asked */
    const struct attr_reader *dim;
    const struct column *dict, *plain; /* the only own column, if it is a dictionary or integers */
    uint32_t *code_id;       /* by code, UINT32_MAX = not yet asked */
    int64_t last;            /* of plain */
    uint32_t last_id;        /* UINT32_MAX: none */
};
void label_cols_init(struct label_cols *l, const struct tql_field *f, struct tval_set *values, uint32_t values_max);
MUST_CHECK err_t label_cols_bind(struct label_cols *l, const struct rows_src *src, struct arena *bind) MAY_YIELD;
void label_cols_read(struct label_cols *l, const uint32_t *row, uint32_t n, uint32_t *ids, struct arena *bind);

struct value_cols {
    struct field_cols c;
    const struct column *i64; /* the only column, of integers that every row has */
};
MUST_CHECK err_t value_cols_bind(struct value_cols *v, const struct rows_src *src, struct arena *bind) MAY_YIELD;
/* NaN where there is no number. */
void value_cols_read(const struct value_cols *v, const uint32_t *row, uint32_t n, double *out);
bool tval_number(const struct tval *v, double *out); /* integers and floats, not NaN */

#endif
