/* The inside of a node's part in the cluster, for the files of cluster/ only. */
#ifndef CLUSTER_CLUSTER_INT_H
#define CLUSTER_CLUSTER_INT_H

#include "cluster/cluster.h"
#include "cluster/agreed.h"
#include "cluster/drain.h"
#include "cluster/earlier.h"
#include "cluster/heirs.h"
#include "cluster/lane.h"
#include "cluster/swim_io.h"

enum {
    FORGOTTEN_MAX = 1024,
    PEERS_MAX = 4096,            /* of a core: connections that were ever wanted, and whose nodes are known */
    PULL_BYTES = 8 << 20,        /* asked for at once; one request may be more */
    CALL_BYTES_MAX = 256 << 20,  /* of a request or an answer between nodes */
    PUT_TIMEOUT_MS = 10000,
    CLOSE_GRACE_MS = 2000,       /* for calls of others that run when we stop */
    UNHEARD_MS = 10000,          /* after our start members of our earlier life count as alive so long */
};

struct peer { /* another node, of one core */
    node_id id;
    struct rpc_peer *rpc;
    struct io_addr address; /* what rpc goes by */
    mono_ns back;           /* since when it is alive, as far as rpc was told */
    uint32_t users;         /* calls under way: it is not freed before they ended */
    int64_t behind;         /* bytes of replication on their way to it */
    struct lane lane;       /* which they take */
};

struct cluster_core { /* one core's part; touched by it alone */
    struct cluster *c;
    struct map *map;
    struct earlier earlier;
    struct rpc_server *server;
    struct peer **peers; /* ascending id */
    uint32_t npeers, peers_cap;
    struct scope sends;  /* of replication that outlives its ack */
    struct gate gate;
};

struct cluster {
    struct cluster_opts o;
    node_id self;
    unsigned cores;
    struct cluster_core **core; /* [cores] */
    struct budget memory;
    struct tenants tenants;
    struct map_opts map_opts;
    _Atomic bool met;           /* another member was alive at some time */
    _Atomic bool told;          /* which streams there are (reach.h) */
    _Atomic bool earlier_told;  /* by what maps others went, of all that live (earlier.h) */
    _Atomic uint32_t gathering; /* lanes, of all cores, in which requests wait for company */
    struct heirs_opts heirs;
    struct vouches *vouches;
    struct agreed *agreed;
    struct deletions *deletions;

    /* core 0's */
    struct swim_io *swim;
    struct member_meta meta;    /* what we say of ourselves: swim_io_meta after a change */
    struct members *members;    /* the newest */
    struct member *known;       /* [nknown]: of our earlier life */
    uint32_t nknown;
    mono_ns started;
    struct event changed, earlier_due;
    struct earlier earlier;     /* what the cores have copies of */
    uint64_t earlier_saved;     /* placed_on of the map that was in force when it was written down */
    struct scope scope;         /* of the fibers below */
    bool closing;
    struct repair *repair;      /* repair.c */
    struct docs *docs;          /* docs.c */
    struct handoff *handoff;    /* handoff.c */
    struct drain_state drain;
    node_id *forgotten;         /* [FORGOTTEN_MAX] in this life; the newest ones */
    uint32_t nforgotten;
};

static inline struct cluster_core *core_here(const struct cluster *c)
{
    return c->core[rt_core()];
}

/* What this node says first to others. */
struct rpc_hello cluster_hello(const struct cluster *c);
/* The node's connection of this core, made when it is first wanted, counted: peer_put. ERR_UNAVAILABLE: no such member. */
MUST_CHECK err_t peer_get(struct cluster *c, node_id id, struct peer **out);
void peer_hold(struct peer *p); /* once more */
void peer_put(struct peer *p);
/* cluster_call, of a peer that is held. */
MUST_CHECK err_t peer_call(struct peer *p, const struct rpc_call *call, struct buf *answer) MAY_YIELD;

/* v members, u64 each | u64 tenant | v quorum | u64 set of partitions | u64 bits of them (names.h). */
void stream_put_bytes(const struct stream *st, struct buf *out);
/* ERR_CORRUPT: no members, too many, not ascending, or not the id of them. */
MUST_CHECK err_t stream_get_bytes(struct bytes_in *in, struct stream *out);

#endif
