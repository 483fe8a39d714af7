/* The inside of a node's deletions, for cluster/deletions*.c only. */
#ifndef CLUSTER_DELETIONS_INT_H
#define CLUSTER_DELETIONS_INT_H

#include "cluster/cluster_int.h"
#include "cluster/deletions.h"

#include <stdatomic.h>

enum { DELETIONS_OVER_MAX = 1024 /* ids of those that are over that are remembered: the newest */ };

struct deletion { /* but for what is atomic, never changed; counted */
    _Atomic uint32_t refs;
    uint64_t id;
    struct str doc;         /* owned */
    struct cover covered;   /* C */
    uint32_t n;
    node_id *nodes;         /* whose K is in it, ascending */
    bool applied;
    _Atomic bool finished;  /* becomes true on core 0 */
    _Atomic int64_t over_since_ns; /* since when all are known to have made it; 0: they are not. Core 0's */
    uint64_t local, generation; /* the deletion in our store, when it is applied */
};
struct deletion_set { /* never changed; counted */
    _Atomic uint32_t refs;
    uint32_t n;
    struct deletion **v;    /* ascending id */
    uint64_t digest, made;  /* made: how often one was applied in this life */
    uint32_t nover;
    uint64_t over[DELETIONS_OVER_MAX];
};
struct deletions_core { /* of one core */
    struct deletion_set *set;
    struct gate gate;
    struct event opened;    /* set while the gate is open */
    uint32_t npairs;        /* ever found */
    struct { uint64_t theirs, ours; } pairs[DELETIONS_PAIRS];
};
struct deletions {
    struct cluster *c;
    struct deletions_core *core; /* [cores] */
    _Atomic bool doubt;     /* the catalog may have one that this node does not know to be applied: nothing passes */

    /* core 0's */
    struct deletion_set *set;
    struct deletion_hooks hooks;
    _Atomic bool hooked;
    bool hook_runs;
    struct { node_id with; uint64_t theirs, ours; mono_ns at; } met; /* the last one whose deletions stayed different */
    struct sem changing;    /* 1: who holds it may change the set and its records */
    struct sem meeting;     /* 1 */
    err_t opened;           /* the first error of a record that could not be read, at the start above all */
    struct event wake, rested;
    uint64_t tries;         /* of applying all there is */
};

struct deletion_set *deletion_set_get(struct deletion_set *s);
void deletion_set_put(struct deletion_set *s);
struct deletion *deletion_find(const struct deletion_set *s, uint64_t id);
bool deletion_knows(const struct deletion *d, node_id node);
bool deletion_is_over(const struct deletion_set *s, uint64_t id);
/* The newest set of the running core, counted. */
struct deletion_set *deletions_set(const struct cluster *c);

/* The key of K(id, node). */
struct str deletion_record_key(struct arena *a, uint64_t id, node_id node);
enum { DELETION_RECORD_HEAD = 17 }; /* version, local id and generation, before the cover */
void deletion_record_put(uint64_t local, uint64_t generation, const struct cover *k, struct buf *out);
struct str deletion_doc_key(uint64_t id, struct arena *a);

/* Core 0: K of another node, for good. */
MUST_CHECK err_t deletions_learn(struct deletions *d, uint64_t id, node_id node, const struct cover *k) MAY_YIELD;
/* Core 0: it is applied here, and the catalog says so. */
void deletions_applied(struct deletions *d, uint64_t id, uint64_t local, uint64_t generation, const struct cover *k) MAY_YIELD;
/* On all cores: nobody is inside when it returns. */
void deletions_shut(struct deletions *d) MAY_YIELD;
void deletions_unshut(struct deletions *d) MAY_YIELD;
/* On all cores: who has `theirs` and who has `ours` may give each other. */
void deletions_good(struct deletions *d, uint64_t theirs, uint64_t ours) MAY_YIELD;
/* Core 0: looks whether marks are made. */
MUST_CHECK err_t deletions_look(struct deletions *d) MAY_YIELD;
/* Core 0: waits until all that are known were tried to be applied. */
MUST_CHECK err_t deletions_apply_all(struct deletions *d) MAY_YIELD;
/* deletions_settled.c, core 0: deletes the documents of those that are over. */
MUST_CHECK err_t deletions_retire(struct deletions *d) MAY_YIELD;

#endif
