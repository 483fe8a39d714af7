/* What one core knows of a compare(): counts by attribute, value, side and step. Shared by metrics_compare.c, which counts
 * and merges, and metrics_wire.c, which sends. */
#ifndef QUERY_TRACEQL_METRICS_COMPARE_INT_H
#define QUERY_TRACEQL_METRICS_COMPARE_INT_H

#include "query/traceql/metrics_cols.h"
#include "query/traceql/metrics_compare.h"

enum { COMPARE_SIDES = 2, COMPARE_ATTRS_MAX = 2048, COMPARE_INTRINSICS = 4 }; /* sides: baseline 0, selection 1 */

struct csteps { /* counts by step, in pages */
    uint64_t **page;
    uint64_t sum;
};
struct cvalue {
    struct csteps side[COMPARE_SIDES];
};
struct cattr { /* one attribute */
    struct tql_field f;
    struct tval_set values;
    struct cvalue *v;        /* by value */
    size_t cap;
    uint32_t n;
    struct csteps other[COMPARE_SIDES]; /* of values that have no number */
    struct label_cols cols;  /* of a scan, while in the rowset */
    uint64_t bound;
};
struct compare {
    const struct metrics_plan *p;
    struct arena *a;
    struct cattr **attr;
    size_t cap;
    uint32_t n;
    struct htab by_name;
};
extern const struct tql_field compare_intrinsics[COMPARE_INTRINSICS]; /* that are counted beside the attributes */

void compare_init(struct compare *c, const struct metrics_plan *p, struct arena *a);
void compare_deinit(struct compare *c); /* the indexes; what was counted stays in the arena */
/* Made if need be; NULL past COMPARE_ATTRS_MAX attributes. */
struct cattr *compare_attr(struct compare *c, const struct tql_field *f);
/* n spans of the value of that number (label_number; LABEL_OTHER: of values without one) on that side. */
void compare_add(struct compare *c, struct cattr *t, uint32_t id, int side, uint32_t step, uint64_t n);
MUST_CHECK err_t compare_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

#endif
