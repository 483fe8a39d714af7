/* The Histogram message, which has the same fields in remote write 1.0 and 2.0. */
#ifndef SERVER_INGEST_RW_HIST_H
#define SERVER_INGEST_RW_HIST_H

#include "server/ingest/wire.h"
#include "storage/nhist.h"

/* ERR_INVALID for malformed protobuf; a histogram that is well-formed but breaks a rule gives OK and *out NULL,
 * with the rule in err_detail(). */
MUST_CHECK err_t rw_hist(const struct wire *w, struct str bytes, struct arena *a, const struct nhist **out,
                         int64_t *t_ms, int64_t *st_ms);

#endif
