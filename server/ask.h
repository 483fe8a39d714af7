/* Asking the node that runs with the same settings, from a process of its own: for verbs of the program, and for containers, which have no
 * curl. Where the node's data directory can be read, the request has its secret (control.h). Blocks: not for fibers. */
#ifndef SERVER_ASK_H
#define SERVER_ASK_H

#include "base/core/buf.h"
#include "base/core/config.h"

enum { ASK_SECONDS = 5 };

/* `request` ("GET /readyz") goes to its Prometheus port (of a node that listens on every interface, on the loopback one), with at most ASK_SECONDS of silence.
 * `answer` gets head and body, and refuses what is past its maximum. *body lends from it. ERR_UNAVAILABLE: nobody listens, or there was no
 * answer in time. */
MUST_CHECK err_t ask_node(const struct config *c, const char *request, struct buf *answer, int *status, struct str *body);

#endif
