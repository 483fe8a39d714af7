/* The fragments of corr_find, corr_traces and corr_logs: shared by those who run them and by wire.c, which sends them. Plans
 * are their requests; partial states of the first two are their answers. */
#ifndef QUERY_CORRELATE_WIRE_H
#define QUERY_CORRELATE_WIRE_H

#include "query/correlate/correlate.h"
#include "query/ops/op_topn.h"
#include "query/ops/wire.h"

struct corr_logs_part {
    struct corr_logs logs; /* all but the records */
    struct op_topn top;    /* of them: each entry's payload is a struct corr_log */
    struct topn_spec spec;
};
MUST_CHECK err_t corr_find_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;
MUST_CHECK err_t corr_traces_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;
MUST_CHECK err_t corr_logs_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial) MAY_YIELD;

#endif
