/* The inside of swim.c (claims, suspicion) and swim_step.c (probes, packets), for the two of them only. */
#ifndef CLUSTER_SWIM_IN_H
#define CLUSTER_SWIM_IN_H

#include "base/core/assert.h"
#include "base/core/prng.h"
#include "cluster/swim.h"

enum { SWIM_REPLAY_BITS = 64, SWIM_REFUSALS_A_SECOND = 10 };

struct peer {
    struct member m;
    bool fresh;              /* its state was heard as news, or made here */
    bool is_news;            /* in swim.news */
    uint32_t sends;          /* of this piece of news */
    uint64_t packet;         /* the last packet that it was put into */
    /* while suspect */
    node_id accusers[SWIM_ACCUSERS_MAX];
    uint32_t naccusers, hoped; /* hoped: confirmations, k of swim.h */
    int64_t accused_at;
    /* against replay: of the life (generation, salt), the greatest counter, and which of the 64 before it came */
    uint64_t life, salt, counter, window;
};

struct relay { /* a ping for somebody else */
    uint64_t seq, their_seq;
    node_id target;
    struct io_addr to;
    int64_t nack_at, until;
    bool nacked;
};

struct probe {
    node_id target; /* 0: none */
    uint64_t seq;
    int64_t ask_at, end_at;
    bool asked;
    uint32_t nacks, helpers;
};

struct swim {
    struct swim_opts o;
    struct prng random;
    struct peer *self;
    struct peer **v;                 /* all, ascending id, self included */
    uint32_t n, cap;
    struct peer **order;             /* of probes: all but self; the round goes on at `at` */
    uint32_t norder, at;
    struct peer **news;
    uint32_t nnews;
    uint32_t states[MEMBER_STATES];  /* how many of the others */
    struct io_addr seeds[SWIM_SEEDS_MAX];
    uint32_t nseeds, seed_at, fill_at, dead_at;
    struct probe probe;
    struct relay relays[SWIM_RELAYS_MAX];
    uint32_t nrelays;
    uint64_t seq, packet;
    uint32_t health, refusals_left;
    node_id sync_with;               /* soon; 0: nobody */
    bool leaving, superseded;
    bool taken;                      /* somebody has talked to us as a member */
    struct member twice;             /* the other one of our id, as those who refused us know it, and since when we are; 0: nobody did */
    int64_t twice_at;
    /* `real` is the clock; the rest is time while awake: real - lost */
    mono_ns real, due;
    int64_t lost, next_probe, next_gossip, next_second, next_sync, synced_at, seeds_at, meta_at;
    bool meta_waits;
    uint64_t meta_cover;
    struct members *snapshot;
    uint64_t snapshots;
    bool changed;
    struct swim_counts counts;
};

/* swim.c */
struct peer *swim_find(struct swim *s, node_id id);
void swim_take(struct swim *s, int64_t t, const struct swim_claim *c, node_id from);
void swim_accuse(struct swim *s, int64_t t, struct peer *p, node_id by);
void swim_set_state(struct swim *s, struct peer *p, enum member_state state);
void swim_news(struct swim *s, struct peer *p);
/* <0, 0, >0, by all of an incarnation but its state. */
int swim_incarnation_cmp(const struct member *a, const struct member *b);
/* Another process of an id in the same life: a data directory was copied. */
bool swim_is_twice(const struct member *a, const struct member *b);
void swim_superseded(struct swim *s, const struct member *by); /* once */
/* A new incarnation of ourselves, beyond that version. */
void swim_renew(struct swim *s, uint64_t beyond);
void swim_suspicions(struct swim *s, int64_t t);
void swim_forget_old(struct swim *s);
void swim_health_by(struct swim *s, int by);

/* swim_step.c */
int64_t swim_awake(struct swim *s, mono_ns now);
void swim_gossip(struct swim *s);

static inline bool peer_is_live(const struct peer *p) { return member_is_live(&p->m); }
static inline uint32_t swim_digits(uint32_t n) /* ceil(log10(n + 1)) */
{
    uint32_t d = 0;
    for (uint64_t ten = 1; ten < (uint64_t)n + 1; ten *= 10)
        d++;
    return d ? d : 1;
}

#endif
