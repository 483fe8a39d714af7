/* A node of the simulated cluster: one host, which runs the production code above struct io: a store over the simulated disk, the
 * cluster, fragments of queries. What stands here outlives its crashes, as its disk and its catalog do; what its life made of them
 * is gone with it.
 *
 * The script (script.h) talks to it by calls:
 *   METHOD_TEST_APPEND  u32 request of the model                -> nothing. OK: acknowledged
 *   METHOD_TEST_READ    u32 tenant, + 256: of this node alone   -> str: what the answer must say | v n, u32 row each
 *   METHOD_TEST_STATE   nothing                                 -> u64 own id | v n, (u64 id, v state) each | u8 alone | v lost
 *   METHOD_TEST_DELETE  a deletion as delete_tasks.h keeps it   -> u8 is it settled, after a while
 *   METHOD_TEST_SETTLED nothing                                 -> u8 are all that it knows made on all nodes | str: what is waited for
 *   METHOD_TEST_STOP    nothing                                 -> nothing; then it ends as a process that is told to */
#ifndef TESTS_CLUSTER_NODE_H
#define TESTS_CLUSTER_NODE_H

#include "cluster/cluster.h"
#include "query/spread.h"
#include "tests/sim/model.h"

enum { READ_HERE = 256 };
enum { METHOD_TEST_STOP = 18, METHOD_TEST_STATE, METHOD_TEST_APPEND, METHOD_TEST_READ, METHOD_TEST_DELETE, METHOD_TEST_SETTLED };
enum { NODES_MAX = 7, NODE_GOSSIP = 7946, NODE_RPC = 7947 };
static const char NODE_LABEL[] = "sim";

/* Drawn once a seed, the same for all nodes. */
struct node_shape {
    uint32_t replicas, quorum;
    int64_t mem_bytes, seal_age_ms, merge_bytes, log_keep_ms, dead_after_ms, retire_after_ms;
    char seeds[NODES_MAX * 32];
    uint32_t tenant_nodes;  /* as cluster.tenant_nodes */
    char tenants[128];      /* as cluster.tenants */
    uint32_t named_replicas; /* of WIDE_TENANT, which is named there; 0: it is not */
    bool single;             /* SINGLE_TENANT is named there with one copy */
};
enum { WIDE_TENANT = 1, SINGLE_TENANT = 2 };
static inline bool shape_is_single(const struct node_shape *h, uint32_t tenant)
{
    return tenant == SINGLE_TENANT && h->single;
}
static inline uint32_t shape_replicas(const struct node_shape *h, uint32_t tenant)
{
    if (shape_is_single(h, tenant)) return 1;
    return tenant == WIDE_TENANT && h->named_replicas ? h->named_replicas : h->replicas;
}

struct node {
    unsigned index, host, cores;
    const struct node_shape *shape;
    struct model *m;
    struct sim_disk *disk;
    struct kv *kv;
    unsigned disks;    /* how many it lost: the next one is another directory, and another node */
    char dir[24];
    bool fresh;        /* it knows nobody */
    unsigned lives;
    bool up;           /* this life has opened */
    bool failed;       /* its store has said that it cannot go on */
    /* Of this life */
    struct store *store;
    struct cluster *cluster;
    struct spread_ctx spread;
    struct budget queries;
    struct delete_tasks *tasks;
    struct event stop;
    bool stopping, stopped; /* is told to; has closed all and is about to return */
    /* Of the world: at an ack of the request with that key, of a stream of all nodes (C5). */
    void (*on_ack)(struct node *n, hash128 key);
};

/* The host's main function; arg is the struct node. Serves until it is killed. */
err_t node_main(void *arg);
/* Before the first world: nodes[0..NODES_MAX), for what has no context. */
void node_init(struct node *nodes);
/* It loses its disk and its catalog, and will be another node. It is off. */
void node_wipe(struct node *n);

#endif
