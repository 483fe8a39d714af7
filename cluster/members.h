/* Who is in the cluster, as this node sees it: immutable snapshots, made by cluster/swim.c whenever something changed.
 *
 * A snapshot never changes. It lives until the last reference is put; references may be taken and put by any thread, so
 * that a snapshot can be handed to other reactors. */
#ifndef CLUSTER_MEMBERS_H
#define CLUSTER_MEMBERS_H

#include "base/rt/addr.h"
#include "storage/names.h"

#include <stdatomic.h>

enum member_state {
    MEMBER_ALIVE,
    MEMBER_SUSPECT,   /* did not answer; is given time to say that it lives */
    MEMBER_DEAD,      /* did not */
    MEMBER_LEFT,      /* said that it goes */
    MEMBER_FORGOTTEN, /* dead for good; between nodes only, never in a snapshot */
    MEMBER_STATES
};
const char *member_state_name(enum member_state s);

enum { MEMBER_ZONE_MAX = 32, MEMBER_VERSION_MAX = 24, MEMBER_BACKEND_MAX = 12 }; /* bytes with the terminator */

enum member_health { MEMBER_WELL, MEMBER_DEGRADED, MEMBER_DISK_FAILING, MEMBER_DRAINING, MEMBER_DRAINED, MEMBER_HEALTHS };

/* What a node says of itself: small and bounded, it travels in every claim about the node. Strings are
 * terminated, and zero behind the terminator. */
struct member_meta {
    struct io_addr gossip;    /* how others reach it; fixed for a generation */
    struct io_addr rpc;
    char zone[MEMBER_ZONE_MAX];
    char version[MEMBER_VERSION_MAX];
    char backend[MEMBER_BACKEND_MAX];
    uint32_t weight;          /* capacity; 100 = usual, 0 = takes no new streams */
    uint32_t partitions;      /* data.partitions: equal in a cluster */
    uint8_t health;           /* enum member_health; a newer version may know more */
    uint64_t cover_hash;      /* digest of what it holds */
    uint64_t http_port_base;  /* port offset, for people */
    uint8_t disk_percent;     /* of its file system that is used; MEMBER_DISK_UNKNOWN */
    uint32_t settings;        /* a hash of those that all nodes are to have alike (tenants.h); 0: it does not say */
    uint8_t gossip_version;   /* the newest that it understands; swim_io sets its own */
};

enum { MEMBER_DISK_UNKNOWN = 255 };

struct member {
    node_id id;
    uint64_t generation;      /* of its store: raised at every start */
    uint64_t version;         /* raised by the node itself, when it refutes or says something new of itself */
    enum member_state state;
    mono_ns since;            /* when this node saw it enter its state, or start again */
    struct member_meta meta;
};

struct members {
    _Atomic uint32_t refs;
    uint64_t version;         /* grows from snapshot to snapshot */
    uint32_t n;
    struct member *v;         /* ascending ids, this node's own included */
};

/* One reference; the caller fills v[0 .. n). */
struct members *members_new(uint32_t n, uint64_t version);
struct members *members_get(struct members *m);
void members_put(struct members *m); /* NULL is nothing */
/* Lent as long as the snapshot; NULL: unknown. */
const struct member *members_find(const struct members *m, node_id id);

/* Alive or suspect: to be counted on until it is dead. */
static inline bool member_is_live(const struct member *m) { return m->state <= MEMBER_SUSPECT; }

#endif
