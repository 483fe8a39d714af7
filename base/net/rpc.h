/* Calls between nodes: over sock.h on the reactors, and in the simulator (sim_world_run). frame.h specifies the bytes.
 *
 * One TCP connection a (core, peer), and many calls on it at once. A connection belongs to one core for life. Bodies over
 * FRAME_INLINE_MAX go in pieces, between which small frames of other calls pass; of all bodies together at most RPC_ON_WAY_MAX bytes
 * are on their way, so what stands in the kernels' buffers before a small call is bounded. Large bodies are sent from where they lie.
 *
 * A handler runs at most once a call: nothing is ever sent twice. A connection on which nothing came for RPC_SILENCE_MS, though asked
 * for by a ping, is broken: calls on it end with ERR_UNAVAILABLE, handlers are cancelled.
 *
 * Who may speak is settled by the first frame each way: the same label, a version of both, not our own node id, no epoch older than one
 * seen from that node. A refusal is told to the other side and said on both, with the reason. */
#ifndef BASE_NET_RPC_H
#define BASE_NET_RPC_H

#include "base/net/frame.h"
#include "base/rt/rt.h"

struct tls;

enum {
    RPC_PING_MS = 1000,       /* silence before a ping, while calls are open */
    RPC_PING_IDLE_MS = 15000, /* and while none are */
    RPC_SILENCE_MS = 4000,    /* of the peer, ends a connection that has asked */
    RPC_CONNECT_MS = 3000,    /* to connect and exchange hellos */
    RPC_RETRY_MIN_MS = 100,   /* between attempts to connect, doubled up to RPC_RETRY_MAX_MS, with jitter */
    RPC_RETRY_MAX_MS = 2000,
    RPC_STUCK_MS = 50,        /* a call that ends waits so long for bytes of its body under way; then the connection is broken */
    RPC_WINDOW_BYTES = 512 << 10,  /* of one body on its way */
    RPC_ON_WAY_MAX = 1 << 20,      /* of all bodies of one side of a connection */
    RPC_CONNECTIONS_MAX = 4096,    /* that a server takes a core */
    RPC_CALLS_DEFAULT = 256,       /* open at once on a connection, unless the server says otherwise */
    RPC_BODY_DEFAULT = 64 << 20,
};

struct rpc_hello {
    char label[FRAME_LABEL_MAX]; /* of the cluster: printable ASCII without spaces */
    uint64_t node, epoch;
    uint32_t version_min, version_max; /* of the calls above; the highest common one is used */
};

/* -- the server -------------------------------------------------------------------------------------------------- */
struct rpc_request {
    uint16_t method;
    enum rt_class class;
    struct str tenant;
    mono_ns deadline; /* of the caller, on our clock; {0} = none. It is the fiber's too */
    struct str body;  /* the connection's; until the handler returns */
    uint64_t peer_node;
    uint32_t version;
};
/* In a fiber of the request's class, cancelled when the caller cancels or is gone. OK: `answer` (at most what the caller takes) goes out.
 * Else the error's code and detail go. */
typedef err_t rpc_handler(void *ctx, const struct rpc_request *rq, struct buf *answer) MAY_YIELD;

struct rpc_server_opts {
    const char *addr; /* numeric */
    uint16_t port;    /* 0: the first core picks, rpc_server_port tells the others */
    struct rpc_hello hello;
    rpc_handler *handler;
    void *ctx;
    struct budget *budget; /* of bodies and answers, or NULL. Over it, calls are refused with its error */
    uint32_t body_max;     /* 0 = RPC_BODY_DEFAULT */
    uint32_t calls_max;    /* 0 = RPC_CALLS_DEFAULT; at most FRAME_CALLS_MAX */
    struct tls *tls;       /* of the node (tls.h): only callers with a certificate that names them. NULL: without */
};
struct rpc_server;
/* On the running core; the node calls it on each, with the same address (SO_REUSEPORT). */
MUST_CHECK err_t rpc_server_open(const struct rpc_server_opts *o, struct rpc_server **out);
uint16_t rpc_server_port(const struct rpc_server *s);
/* Takes no more calls (ERR_UNAVAILABLE), waits at most grace_ms for those that run, cancels them and waits. */
void rpc_server_close(struct rpc_server *s, int64_t grace_ms) MAY_YIELD;

/* -- the client -------------------------------------------------------------------------------------------------- */
struct rpc_peer_opts {
    const char *addr; /* numeric; copied */
    uint16_t port;
    struct rpc_hello hello;
    uint64_t expect_node; /* 0: any */
    struct tls *tls;      /* of the node (tls.h); NULL: without */
};
struct rpc_peer;
/* The running core's way to a peer. Connects at the first call, and at the first after a failure when its pause is over. */
struct rpc_peer *rpc_peer_new(const struct rpc_peer_opts *o);
/* Fails the calls that are under way and waits for their end. */
void rpc_peer_free(struct rpc_peer *p) MAY_YIELD;
/* Another address ends the connection; the same one ends a pause between attempts. */
void rpc_peer_address(struct rpc_peer *p, const char *addr, uint16_t port);

struct rpc_call {
    uint16_t method;
    enum rt_class class;
    struct str tenant;   /* at most FRAME_TENANT_MAX */
    mono_ns deadline;    /* {0} = none but the fiber's own, which is not sent */
    struct str body;     /* borrowed until the call returns */
    uint32_t answer_max; /* bytes */
};
/* OK: the whole answer is appended to `answer`. Else the handler's code and detail, or
 *   ERR_UNAVAILABLE        no connection (the detail says why), or it broke: whether the handler ran is unknown
 *   ERR_TIMEOUT            of the deadline, a moment (RPC_STUCK_MS) after it at the latest; the other side is told to stop
 *   ERR_CANCELED           of the fiber; likewise
 *   ERR_TOO_LARGE          the body is over the server's limit, or the answer over answer_max */
MUST_CHECK err_t rpc_call(struct rpc_peer *p, const struct rpc_call *c, struct buf *answer) MAY_YIELD;

struct rpc_peer_stats {
    bool connected;
    uint64_t breaks;        /* connections, or attempts at one, that ended */
    uint64_t calls, failed; /* failed: by the connection or the deadline, not by a handler's word */
    int64_t rtt_ns;         /* smoothed (1/8), of calls of small bodies: the handler's time is in it; 0 = none yet */
    uint64_t node, epoch;   /* of the peer, as it last said; 0 = it has not */
    uint32_t version;
};
void rpc_peer_stats(const struct rpc_peer *p, struct rpc_peer_stats *out);

#endif
