/* Values of fields, inside query/traceql. */
#ifndef QUERY_TRACEQL_VALUE_H
#define QUERY_TRACEQL_VALUE_H

#include "query/traceql/traceql.h"

struct tvals {
    uint32_t n;
    size_t cap;
    struct tval *v;
};
void tql_values(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a, struct tvals *out);
/* The first value that there is, of several events say; TV_NIL when there is none. */
struct tval tql_first_value(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a);
bool tval_compare(enum tql_op op, const struct tval *l, const struct tval *r, const struct regex *re, struct arena *a);

#endif
