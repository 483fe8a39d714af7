/* Calls between services, counted: one edge a (from, to) pair. */
#ifndef QUERY_GRAPH_EDGES_H
#define QUERY_GRAPH_EDGES_H

#include "base/core/exphist.h"
#include "query/graph/names.h"

enum { EDGES_MAX = 10000, PEER_NAME_MAX = 256 };

enum edge_kind { EDGE_SERVICE, EDGE_DATABASE, EDGE_MESSAGING, EDGE_EXTERNAL };
struct edge {
    uint32_t from;          /* a service */
    uint32_t to;            /* a service, or else one of the peers */
    enum edge_kind kind;    /* of `to` */
    uint64_t requests, errors;
    struct exphist duration; /* ns */
};
struct edges {
    struct edge *v;
    uint32_t n;
    size_t cap;
    uint64_t left_out;      /* requests of edges past EDGES_MAX */
    struct names peers;     /* what is no service */
    struct htab index;
    struct arena *mem;
};
void edges_init(struct edges *e, struct arena *mem);
void edges_deinit(struct edges *e); /* the edges stay, as long as mem does */
/* The edge, made if need be; NULL when there are EDGES_MAX already. */
struct edge *edges_get(struct edges *e, uint32_t from, enum edge_kind kind, uint32_t to);
/* The number of a peer; names are cut to PEER_NAME_MAX bytes. NAME_NONE when there are EDGES_MAX already. */
uint32_t edges_peer(struct edges *e, struct str name);
/* One request; edge NULL = counted as left out. */
static inline void edges_count(struct edges *e, struct edge *edge, int64_t duration_ns, bool error)
{
    if (!edge) {
        e->left_out++;
        return;
    }
    edge->requests++;
    edge->errors += error;
    exphist_add(&edge->duration, (double)duration_ns, 1, e->mem);
}
/* Adds `from`, each request `weight` times; service[i] is the number here of service i there. */
void edges_merge(struct edges *into, const struct edges *from, const uint32_t *service, uint64_t weight);

#endif
