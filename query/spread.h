/* Scatter-gather over nodes. A query reads every stream on exactly one node (cluster/reach.h says which): there its fragments run as
 * they do here, on every core, and their partial states come back as bytes; the coordinator merges the slots of all nodes as it merges
 * cores. A node that fails is read around: the scatter begins again without it, SPREAD_TRIES times in all. What nobody can answer for
 * is told (query_lost_text). So does one that comes upon damaged data of which it did not know when it was chosen: another one is read.
 *
 * Silent nodes. A part that has not answered after SPREAD_PROBE_MS asks its node a small question, and again every SPREAD_LOOK_MS; when that
 * is not answered in SPREAD_MIN_MS, or when the part takes more than SPREAD_TIMES as long as the slowest of all others, and SPREAD_MIN_MS at
 * least, its streams are planned once more without the node, and asked for there. Who has answered for all of them first is
 * taken whole, the other one cancelled: rows come from the one or the other. Nothing is asked twice where the answer would not be
 * complete without the node, or other sides of traces would lie apart. At most one of SPREAD_SHARE fragments, and one, is asked for twice.
 *
 *   METHOD_FRAGMENT  v memory | s kind | zigzag samples_max | zigzag rows_max | the part (cluster/read_part.h) | the plan
 *                ->  v cores, s partial each | v rows, samples, bytes, groups read, groups skipped, reads that miss something
 *                    lost there | s what is lost there
 * The tenant and the deadline are the call's. */
#ifndef QUERY_SPREAD_H
#define QUERY_SPREAD_H

#include "cluster/cluster.h"
#include "query/query.h"

enum { SPREAD_TRIES = 3, SPREAD_PROBE_MS = 50, SPREAD_MIN_MS = 100, SPREAD_LOOK_MS = 250, SPREAD_TIMES = 3, SPREAD_SHARE = 20 };

/* As scatter_run, of a query with q->cluster. */
MUST_CHECK err_t spread_run(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out) MAY_YIELD;
/* query_apart, of a query with q->cluster. */
MUST_CHECK err_t spread_apart(struct query *q, bool *apart) MAY_YIELD;
/* At the end of a query: frees what it knew of nodes. */
void spread_end(struct query *q);

/* The other side. */
struct spread_ctx {
    struct store *store;
    struct cluster *cluster; /* set when it is open */
    struct budget *budget;   /* of all queries */
    int64_t query_bytes_max; /* of one, whatever the caller allows it */
};
rpc_handler spread_on_fragment;

#endif
