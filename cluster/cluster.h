/* A node among others: finds them (swim_io), talks to them (rpc), keeps what it accepts on several of them (replicate.h), knows who
 * has what (reach.h, repair.h), and hands calls of the floors above to them.
 *
 * On every core: the map in force (map.h) and one connection to each member, made when it is first wanted. Core 0 hears of changes and
 * hands new maps to all cores.
 *
 * Methods. What nodes ask of each other has a number that never changes its meaning; a changed form gets another number.
 * Floors above register theirs in cluster_opts.handlers. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "base/net/rpc.h"
#include "cluster/map.h"
#include "storage/store_names.h"

struct swim_keys;
struct tls;
/* Of the calls below. The highest that both sides speak is used (rpc.h); a release speaks its own and the one before. */
enum { CLUSTER_CALLS_VERSION_LEAST = 1, CLUSTER_CALLS_VERSION = 1 };
enum cluster_method {
    METHOD_PUT = 1,      /* replicate.h */
    METHOD_COVER = 2,    /* reach.h */
    METHOD_PULL = 3,     /* reach.h */
    METHOD_FRAGMENT = 4, /* query/spread.h */
    METHOD_DOC_WRITE = 5,  /* docs.h, and the next three */
    METHOD_DOC_GET = 6,
    METHOD_DOC_PUT = 7,
    METHOD_DOC_DIGEST = 8,
    METHOD_STREAM_LIST = 9, /* handoff.h */
    METHOD_STREAM_READ = 10, /* handoff.h */
    METHOD_DELETIONS = 11,   /* deletions.h */
    METHOD_KNOWN = 12,       /* earlier.h */
    METHOD_EARLIER = 13,     /* earlier.h */
    METHOD_EPOCHS = 14,      /* epochs.h */
    METHOD_CLEAN = 15,       /* clean.h */
    METHODS = 24,
};
#define METHODS_TWICE (1u << METHOD_PUT | 1u << METHOD_COVER | 1u << METHOD_PULL | 1u << METHOD_FRAGMENT | 1u << METHOD_DELETIONS | 1u << METHOD_KNOWN)
struct cluster_handler {
    rpc_handler *fn;
    void *ctx;
};

struct cluster_opts {
    struct store *store;
    const char *label;
    const char *bind, *advertise; /* numeric; advertise empty = bind */
    uint16_t gossip_port, rpc_port;
    const char *seeds;            /* host:port,...; empty: none */
    const char *zone, *version, *backend;
    uint32_t weight, partitions, replicas, write_quorum, port_offset;
    const char *tenants;          /* tenants.h: those that are named */
    uint32_t tenant_nodes;        /* of those that are not; 0: all */
    uint8_t speaks_least, speaks_most; /* of gossip and calls, in place of this program's own versions; 0: those. For tests of mixed releases */
    int64_t dead_after_ms;
    int64_t retire_after_ms;      /* a deletion that all nodes made is kept in mind so long (deletions.h) */
    int64_t copy_rate;            /* bytes a second of streams that are copied here */
    int64_t memory;               /* of requests on their way to other nodes, and from them */
    const struct swim_keys *keys; /* of gossip; copied. NULL: it is plain */
    struct tls *tls;              /* of calls, the cluster's from here on, whatever cluster_open answers. NULL: without */
    struct cluster_handler handlers[METHODS]; /* of the floors above */
    /* The process must go: another one has taken this node's id, ... Core 0. */
    void (*on_stop)(void *ctx, const char *why);
    void *ctx;
};

struct cluster;
MUST_CHECK err_t cluster_open(const struct cluster_opts *o, struct cluster **out) MAY_YIELD;
/* Others will find us gone, and wait for our return; unless we are drained (drain.h): then they are told that we left. */
void cluster_close(struct cluster *c) MAY_YIELD;

/* Other keys of gossip from now on; core 0. */
void cluster_keys(struct cluster *c, const struct swim_keys *keys);

/* This node's disk fails, and it is about to go: others read elsewhere. For under a second. Core 0. */
void cluster_failing(struct cluster *c) MAY_YIELD;

/* The map in force on this core, counted: map_put. */
struct map *cluster_map(const struct cluster *c);
node_id cluster_self(const struct cluster *c);
const struct tenants *cluster_tenants(const struct cluster *c);
/* Has it found the others, if there are any to be found? False from the start until one is seen alive, in a node that was given seeds
 * or knew others before; then true for good. */
bool cluster_joined(const struct cluster *c);
/* Calls another node. ERR_UNAVAILABLE: it is not known, or cannot be reached. A call of METHODS_TWICE over a connection that was open and broke
 * (the node was started again, say) is tried once more, over a new one, at once: such a method may run twice. */
MUST_CHECK err_t cluster_call(struct cluster *c, node_id to, const struct rpc_call *call, struct buf *answer) MAY_YIELD;
/* Round trip of small calls to it on this core, or 0. */
int64_t cluster_rtt_ns(const struct cluster *c, node_id to);

/* For people: what a node thinks of the others, in the arena. */
struct cluster_opinion {
    struct member member;
    bool connected;
    int64_t rtt_ns;
    uint64_t calls, failed;
};
void cluster_opinions(struct cluster *c, struct arena *a, struct cluster_opinion **out, uint32_t *n);

#endif
