/* This node's part in the cluster, by its settings. */
#ifndef SERVER_JOINING_H
#define SERVER_JOINING_H

#include "base/core/config.h"
#include "query/spread.h"

enum { PORT_GOSSIP = 7946, PORT_RPC = 7947 };

/* `fragments` is lent to the cluster until cluster_close, and knows it afterwards. on_stop is called on core 0 when the process must go. */
MUST_CHECK err_t joining_open(const struct config *c, struct store *s, struct spread_ctx *fragments, void (*on_stop)(void *ctx, const char *why),
                              void *ctx, struct cluster **out) MAY_YIELD;

#endif
