/* The question "is the node on this machine ready?", asked by its own binary: for containers, which have no curl. */
#ifndef SERVER_HEALTH_H
#define SERVER_HEALTH_H

#include "base/core/config.h"

/* Asks /readyz of the node that runs with these settings, with at most 5 s of silence, and prints its answer. OK when it is ready;
 * the error says that nobody listens, that it did not answer in time, or what it answered. Blocks: not for fibers. */
MUST_CHECK err_t health_ask(const struct config *c);

#endif
