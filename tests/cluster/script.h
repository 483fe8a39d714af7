/* One seed of the simulated cluster: what happens, and whether what the nodes say of it can be true.
 *
 *   all nodes start and find each other -> clients write and read while faults come (nemesis.h) -> faults stop, nodes that are off
 *   start -> within LIVE_S: everybody knows everybody, every request is acked, everything is read everywhere, members of a stream cover the
 *   same -> every node is asked for everything -> one node is lost with its disk, the others are asked for everything -> maybe all
 *   lose power, and are asked again -> it comes back with an empty disk, so that rows are placed anew, and what was acked is sent again
 *
 * The truth is the model of tests/sim (what was sent, what was acked); nodes and script are one process, so fragments check the content
 * of every row where it lies, and the script only counts rows. The checks, by the numbers that tests/README.md names:
 *  C1 acked rows are there once, on every node, in the end, and after the loss of one node with its disk; what was never sent is not
 *  C2 an answer that does not say that it is partial has every row that was acked before the question
 *  C3 an answer is partial only when as many nodes as the quorum may have been out of reach
 *  C5 at an ack the request lies synced in the logs of as many nodes as the quorum
 *  C4 what a node covers it shows: when members of a stream cover the same, each has every row of it once
 *  C8 a tenant's answer has rows of that tenant alone
 *  C13, C14, C15 deletions: deleting.h
 *  C9 everybody knows everybody MEMBERS_S after faults stopped
 *  C10 a node that is told to stop ends, with no fiber and no memory of queries left
 *  C16 what was acked and is sent again while all nodes are well is acked, and stored no second time, wherever rows are placed by then and
 *  by a node that is new
 *  C12 all of the liveness phase, in LIVE_S: what rotted on a node is mended, too */
#ifndef TESTS_CLUSTER_SCRIPT_H
#define TESTS_CLUSTER_SCRIPT_H

#include "base/net/rpc.h"
#include "tests/cluster/node.h"
#include "tests/cluster/report.h"

enum { WRITERS_MAX = 4, READERS_MAX = 2, LIVE_S = 30, JOIN_S = 60, CALL_S = 15 };

struct world {
    struct prng rnd;
    struct model m;
    struct node nodes[NODES_MAX];
    unsigned n;
    struct node_shape shape;
    struct rpc_peer *peers[NODES_MAX];
    struct report *rep;
    bool stop;          /* clients and nemesis are to end */
    int64_t work_ns;
    unsigned writers, readers;
    int64_t write_every_ns;
    /* nemesis.c's: until when a node, or any of them, may be out of reach for others */
    int64_t bad_until[NODES_MAX], all_bad_until;
    int64_t fresh_until[NODES_MAX]; /* it comes without its disk, and finds one after the other */
    unsigned rotten;      /* bit a node whose segments rotted */
    bool moves;           /* nodes count as gone soon: rows of a request may go elsewhere when it is sent again */
    uint64_t wiped_clock; /* of the model, when a node came back as another one; 0: none did */
    struct deleting *deletings; /* deleting.h */
    uint32_t ndeletings, deletings_cap;
    int64_t deleted_at;         /* when the last one was begun or acked */
    int64_t delete_every_ns;    /* 0: none */
    struct prng deleting;
    uint8_t *open;              /* [nopen], a request each: some answer to it was an error, so it may be stored at any time */
    uint32_t nopen;
    bool verbose;
};

/* The script of host 0; arg is the struct world. */
err_t script_main(void *arg);

/* -- asking (ask.c) -------------------------------------------------------------------------------------------------------- */
MUST_CHECK err_t ask_append(struct world *w, unsigned node, uint32_t request) MAY_YIELD;
enum told { TOLD_WHOLE, TOLD_APART /* whole, but traces may be in two pieces */, TOLD_PARTIAL };
struct answer {
    enum told told;
    char why[512];
    uint32_t n;
    uint32_t *rows; /* malloc'd */
};
/* `here`: what this node alone has. */
MUST_CHECK err_t ask_read(struct world *w, unsigned node, uint32_t tenant, bool here, struct answer *out) MAY_YIELD;
MUST_CHECK err_t ask_delete(struct world *w, unsigned node, struct str doc, bool *settled) MAY_YIELD;
MUST_CHECK err_t ask_settled(struct world *w, unsigned node, bool *settled, char *why, size_t n) MAY_YIELD;
MUST_CHECK err_t ask_stop(struct world *w, unsigned node) MAY_YIELD;
struct state {
    uint64_t self;
    uint32_t n;
    uint64_t ids[64];
    uint8_t states[64];
    bool alone;
    uint32_t lost; /* parts of what is stored that cannot be read */
};
MUST_CHECK err_t ask_state(struct world *w, unsigned node, struct state *out) MAY_YIELD;
struct holding {
    uint32_t n;
    struct stream streams[256];
    struct cover cover;
};
MUST_CHECK err_t ask_holding(struct world *w, unsigned node, struct holding *out) MAY_YIELD;

/* -- judging answers (judge.c) --------------------------------------------------------------------------------------------- */
void judge_init(struct world *w);
/* Of a node, inside its life: what it has just acknowledged. */
void judge_ack(struct node *n, hash128 key);
/* acked_at: which requests were acked before the question; since, began: when it was asked, by the clock and by the model's. */
void judge_read(struct world *w, unsigned node, uint32_t tenant, const struct answer *a, const uint8_t *acked_at, uint32_t nacked, int64_t since,
                uint64_t began);

#endif
