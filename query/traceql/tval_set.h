/* Distinct values, numbered in the order of their arrival; strings are copied. And the order of values. */
#ifndef QUERY_TRACEQL_TVAL_SET_H
#define QUERY_TRACEQL_TVAL_SET_H

#include "query/ops/attr.h"
#include "query/traceql/traceql.h"

struct tval_set {
    struct htab seen;
    struct arena *a;
    struct tval *v;
    size_t cap;
    uint32_t n;
};
void tval_set_init(struct tval_set *s, struct arena *a);
void tval_set_deinit(struct tval_set *s); /* the index; the values stay in the arena */
uint32_t tval_set_add(struct tval_set *s, struct tval v); /* its number */
uint32_t tval_set_find(const struct tval_set *s, const struct tval *v); /* UINT32_MAX: not there */

/* By type, then value: <0, 0, >0. 1, 1.0 and "1" are three values. */
int tval_order(const struct tval *a, const struct tval *b);
/* A column's value as the field f has it: kinds and statuses as such, ids in hex. TV_NIL for none. */
struct tval tval_of_column(const struct val *v, const struct tql_field *f, struct arena *a);

#endif
