/* How many queries run at once. A query that reads takes a permit of the core that coordinates it before its first
 * scatter and keeps it until query_end; those beyond wait in order, at most PERMIT_WAITERS_MAX of them, and no longer
 * than their own deadline. Without permit_init (tests) there is no limit. */
#ifndef QUERY_PERMIT_H
#define QUERY_PERMIT_H

#include "base/rt/rt.h"

enum { PERMIT_WAITERS_MAX = 1000 };

void permit_init(unsigned cores, int64_t queries_a_core); /* once, before the first query */
void permit_deinit(void);
/* ERR_OVERLOAD when too many wait, ERR_TIMEOUT or ERR_CANCELED from the wait. */
MUST_CHECK err_t permit_take(void) MAY_YIELD;
void permit_give(void);

#endif
