/* What the process was allowed by who started it (ulimit, LimitNOFILE=, ...): raised where it may be, and refused with the name of
 * the limit where it is too small to run with. */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#include "base/core/err.h"

/* Before anything is opened. ERR_INVALID. */
MUST_CHECK err_t limits_check(void);

#endif
