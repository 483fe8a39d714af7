/* Between the files of ingest only. */
#ifndef SERVER_INGEST_INGEST_INTERNAL_H
#define SERVER_INGEST_INGEST_INTERNAL_H

#include "server/ingest/ingest_http.h"

/* store_append, counted. */
MUST_CHECK err_t ingest_append(struct ingest_ctx *c, struct batch *const *batches, uint32_t n) MAY_YIELD;

#endif
