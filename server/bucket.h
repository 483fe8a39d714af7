/* The bucket that the settings name. */
#ifndef SERVER_BUCKET_H
#define SERVER_BUCKET_H

#include "base/core/config.h"
#include "storage/object.h"

/* Is one set at all? */
bool bucket_wanted(const struct config *c);
MUST_CHECK err_t bucket_open(const struct config *c, struct object_store **out) MAY_YIELD;
/* Threads of the offload pool that it takes, with so many reactors; 0 without a bucket. */
unsigned bucket_threads(const struct config *c, unsigned cores);

/* `tercet bucket check`: does everything with the bucket that the object tier will do, on objects of its own that it removes
 * again, and says for each step whether it works; stops at the first that does not. On a runtime of its own. */
MUST_CHECK err_t bucket_check(const struct config *c);

#endif
