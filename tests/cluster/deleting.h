/* Deletions among the work of the simulated cluster, and what they allow. A deletion names rows of a tenant and kind by their numbers (which are
 * their times), series also by their instance.
 *  C13 what was acked, and by no answer left open, before a deletion was begun is never seen again by who asks after the deletion was acked; and at the
 *      end not in any answer
 *  C14 what was sent first after a deletion was acked stays, and what no deletion names
 *  C15 in the end each node has made every deletion, and a row that one names is on all of the nodes that should have it, or on none */
#ifndef TESTS_CLUSTER_DELETING_H
#define TESTS_CLUSTER_DELETING_H

#include "tests/cluster/script.h"

struct deleting {
    uint32_t tenant;
    enum kind kind;
    uint32_t lo, hi;     /* rows of these numbers */
    uint32_t mod, rest;  /* of series: number of the instance % mod == rest */
    uint64_t begin, end; /* of the model's clock; end 0: not acked, it may come at any time */
};
void deleter_fiber(void *arg); /* the struct world */
/* What they say of row i to who asked at `began` of the model's clock. */
struct deleting_verdict {
    bool gone, may_go, doubled;
};
struct deleting_verdict deleting_of(const struct world *w, uint32_t i, uint64_t began);
/* Are all made on all nodes? */
bool all_deleted(struct world *w, char *why, size_t n) MAY_YIELD;

#endif
