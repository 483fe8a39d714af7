/* The verb `tercet cluster id`: who the node of a data directory is, before its first start too, so that a certificate can name it. */
#ifndef SERVER_NODE_ID_H
#define SERVER_NODE_ID_H

#include "base/core/err.h"

/* Prints 16 hex digits. Draws the id where the directory is new. ERR_INVALID: a node runs on it. Starts a reactor: not for fibers. */
MUST_CHECK err_t node_id_print(const char *dir);

#endif
