/* What the columns alone can tell about a filter: a predicate that holds for every span that the filter may match.
 * The exact answer comes from evaluating whole traces (eval.c); this one makes them few. */
#ifndef QUERY_TRACEQL_PREFILTER_H
#define QUERY_TRACEQL_PREFILTER_H

#include "query/ops/expr.h"
#include "query/traceql/traceql.h"

struct prefilter {
    struct expr *e;
    bool exact; /* e holds exactly for the spans that match */
};
/* f NULL = {}: true for every span. */
struct prefilter prefilter_of(const struct tql_field *f, struct expr_builder *b);
/* Where an attribute lives; false when no column holds it (intrinsics of the whole trace). */
bool prefilter_ref(const struct tql_field *f, struct attr_ref *ref);

#endif
