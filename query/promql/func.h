/* The table of functions: names, argument types, results, and how each is evaluated. */
#ifndef QUERY_PROMQL_FUNC_H
#define QUERY_PROMQL_FUNC_H

#include "query/promql/ast.h"

enum pq_fclass {
    PQ_F_MATH,      /* element-wise on floats, scalar parameters; drops the name, skips histograms */
    PQ_F_HIST,      /* element-wise on histograms */
    PQ_F_OVER_TIME, /* over a range vector, series by series */
    PQ_F_DATE,      /* date part of a vector or of time() */
    PQ_F_SPECIAL,   /* evaluated on its own */
};

enum pq_fid {
#define FUNC(id, name, class, ret, nargs, variadic, ...) id,
#include "query/promql/func.def"
#undef FUNC
    PQ_FUNC_COUNT
};

struct pq_func {
    enum pq_fid id;
    const char *name;
    enum pq_fclass fclass;
    enum pq_type ret;
    uint8_t nargs;      /* types given */
    int8_t variadic;    /* 0 exact; n > 0: the last n are optional; -1: the last may repeat or be absent */
    enum pq_type args[5];
};

const struct pq_func *pq_func_find(struct str name); /* NULL when unknown */

#endif
