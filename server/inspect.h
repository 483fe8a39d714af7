/* `tercet segment inspect FILE...` and `tercet segment verify FILE...`: what a segment holds and where its bytes go, for a person or
 * as JSON; whether every checksum is right. On files alone: no node, no catalog, and no byte of a file is trusted. */
#ifndef SERVER_INSPECT_H
#define SERVER_INSPECT_H

#include "base/core/err.h"

/* argv: what stands behind `segment`. The exit code: 0, 1 = a file is damaged or cannot be read, 2 = wrong usage. */
int segment_verb(int argc, char **argv);

#endif
