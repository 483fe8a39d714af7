/* The fragments of the APIs, for other nodes to ask for. */
#ifndef SERVER_API_FRAGMENTS_H
#define SERVER_API_FRAGMENTS_H

void api_fragments_register(void); /* once, at start */

#endif
