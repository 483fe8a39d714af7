/* May requests delete data? There is no authentication yet, so by default only on a node that nobody else can reach. */
#ifndef SERVER_API_DELETES_ALLOWED_H
#define SERVER_API_DELETES_ALLOWED_H

#include "base/core/config.h"

/* The setting api.deletes: on, off, or auto: on while listen.bind is an address of this machine alone. ERR_INVALID on others. */
MUST_CHECK err_t deletes_allowed(const struct config *c, bool *allowed);
/* ERR_FORBIDDEN with what to do, unless they are. */
MUST_CHECK err_t deletes_check(bool allowed);
/* deletes_check of being told what other tenants have. */
MUST_CHECK err_t all_tenants_check(bool allowed);

#endif
