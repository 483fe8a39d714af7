/* The operator's right, where requests from anywhere may not change the cluster (api.deletes): who can read the node's data directory has it. A node
 * draws a secret at every start and writes it to DATA/control, which nobody else can read; the verbs of the program send it along. */
#ifndef SERVER_API_CONTROL_H
#define SERVER_API_CONTROL_H

#include "base/core/err.h"
#include "base/core/str.h"

enum { CONTROL_DIGITS = 32 };
#define CONTROL_HEADER "x-tercet-control"

struct control {
    char secret[CONTROL_DIGITS + 1]; /* empty: there is none */
};
/* Blocks: for the offload pool. Without room on the disk, say, there is no secret, and the log says so. */
void control_make(const char *dir, struct control *out);
/* What the node of this directory wrote; empty where it cannot be read. Blocks. */
void control_find(const char *dir, struct control *out);
/* In a time that does not tell how much of it is right. */
bool control_is(const struct control *c, struct str said);

#endif
