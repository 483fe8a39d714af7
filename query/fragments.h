/* The kinds of fragments by name: what a node runs for another is found here.
 *
 * Those of query/ are listed in fragments.c; floors above add theirs once, at start, before the first query. Later the table is
 * only read, by all cores. Names are unique. */
#ifndef QUERY_FRAGMENTS_H
#define QUERY_FRAGMENTS_H

#include "query/query.h"

enum { FRAGMENTS_MAX = 64 }; /* beside those of query/ */

void fragment_register(const struct fragment_kind *kind); /* static; the second time is no change */
/* NULL: this node knows no such kind. */
const struct fragment_kind *fragment_find(struct str name);
/* The i-th, in no order that means something; NULL: there are no more. */
const struct fragment_kind *fragment_at(unsigned i);

#endif
