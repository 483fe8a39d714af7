/* What a calling span says about the other side, when no span of that side is stored: services.h has the rule. */
#ifndef QUERY_GRAPH_PEER_H
#define QUERY_GRAPH_PEER_H

#include "query/graph/edges.h"
#include "storage/view.h"

enum { PEER_COLS = 8 };
struct peer_reader { /* of one rowset; all-zero bytes before it is bound */
    bool bound, known;
    const struct column *col[PEER_COLS];
    /* The answer for the row before: rows of a kind stand together. */
    uint32_t code[PEER_COLS];
    enum edge_kind kind;
    uint32_t peer;
};
MUST_CHECK err_t peer_bind(struct peer_reader *r, struct rowset *rs) MAY_YIELD;
/* False when the row names nobody. */
bool peer_of(struct peer_reader *r, uint32_t row, struct edges *edges, enum edge_kind *kind, uint32_t *peer);

#endif
