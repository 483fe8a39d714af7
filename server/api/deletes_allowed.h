/* May requests delete data? There is no authentication yet, so by default only on a node that nobody else can reach. */
#ifndef SERVER_API_DELETES_ALLOWED_H
#define SERVER_API_DELETES_ALLOWED_H

#include "base/core/config.h"

struct cluster;

/* The setting api.deletes: on, off, or auto: on while listen.bind is an address of this machine alone. ERR_INVALID on others. */
MUST_CHECK err_t deletes_allowed(const struct config *c, bool *allowed);
/* ERR_FORBIDDEN with what to do, unless they are. */
MUST_CHECK err_t deletes_check(bool allowed);
/* ERR_FORBIDDEN where other nodes may have the rows, too: deletions by query and of series are not carried to them yet. cluster may be NULL. */
MUST_CHECK err_t deletes_alone(const struct cluster *cluster);
/* deletes_check of being told what other tenants have. */
MUST_CHECK err_t all_tenants_check(bool allowed);

#endif
