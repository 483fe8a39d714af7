/* One node: the start and stop order of everything.
 *
 *   reactors -> lock the data directory -> catalog -> HTTP ports answer 503 with the progress of the replay ->
 *   store (replay) -> the cluster is joined -> all ports serve -> wait for SIGINT or SIGTERM (or a failed disk) -> ports stop ->
 *   the cluster is left alone -> store closes -> catalog closes. A second one of them ends the process at once.
 * SIGHUP: what can be read again while the node runs is (key_files.h). */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "base/core/config.h"

/* The data directory, made where it is not there, is this process's until close(*fd). */
MUST_CHECK err_t node_lock(const char *dir, int *fd) MAY_YIELD;

/* Runs until told to stop. The error says why the node could not start, or why it stopped. */
MUST_CHECK err_t node_run(const struct config *c);

#endif
