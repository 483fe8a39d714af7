/* The services of a window of time: requests, errors and durations (RED) of all stored spans, step by step, and who calls
 * whom. What the Home page and the service map show.
 *
 * A request of a service is a span of kind SERVER or CONSUMER, or a span of another kind without a parent. An error is
 * a request of status ERROR. A span counts where its start lies: start_ns <= start < end_ns; step i is
 * [start_ns + i * step_ns, ... + step_ns), the last one may be cut by end_ns. Spans stored twice count twice.
 *
 * Edges. A SERVER or CONSUMER span in the window whose parent is a span of another service is a call (join.h has the
 * rules). Parents and children are looked for GRAPH_SLACK_NS beyond both ends of the window; one that is further away
 * than that, or not stored, is not met. A CLIENT or PRODUCER span in the window without such a child is a call to what
 * its attributes name: a database (db.system.name or db.system, with /db.namespace or /db.name), a messaging system
 * (messaging.system), or else a peer outside (peer.service, server.address, net.peer.name); without any of them it is
 * no edge.
 *
 * One fragment a core, two passes over its spans: columns of the window make RED and the children, then the ids of all
 * spans meet them. A trace is whole on one core, so the partial answers merge by adding. RED is exact always; edges
 * are exact while the children fit into half of the query's memory, else a fair sample (edges_share). */
#ifndef QUERY_GRAPH_SERVICES_H
#define QUERY_GRAPH_SERVICES_H

#include "query/graph/edges.h"
#include "query/query.h"

enum { GRAPH_STEPS_MAX = 1000, GRAPH_SERVICES_MAX = 2000 };
#define GRAPH_SLACK_NS (300 * NS_PER_S)

struct graph_req {
    int64_t start_ns, end_ns; /* start < end; both below 2^62 in magnitude */
    uint32_t steps;           /* 1 .. GRAPH_STEPS_MAX */
    uint32_t children_max;    /* of the join, a core; 0 = by the query's memory */
};
int64_t graph_step_ns(const struct graph_req *rq);

struct red_step {
    uint64_t requests, errors;
    struct exphist duration;  /* ns, of the requests */
};
struct red {
    struct str language;      /* telemetry.sdk.language, or empty; of several the smallest */
    uint64_t spans;
    int64_t last_ns;          /* start of the newest span */
    struct red_step *steps;
};
struct graph_answer {
    struct names services;    /* number = index of red; "" = without service.name */
    struct red *red;
    struct edges edges;
    uint64_t spans_left_out;  /* of services past GRAPH_SERVICES_MAX */
    uint32_t edges_share;     /* edges are made of one call in so many (the rarest core's); their counts are scaled */
    bool calls_left_out;      /* ... and still not all calls of the sample fitted */
};
/* In q->arena. The answer's tables must be let go with graph_free. */
MUST_CHECK err_t graph_services(struct query *q, const struct graph_req *rq, struct graph_answer *out) MAY_YIELD;
void graph_free(struct graph_answer *g);

extern const struct fragment_kind GRAPH_KIND;

#endif
