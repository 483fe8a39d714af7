/* Which service called which: child spans meet their parents, in any order of arrival.
 *
 *     join_child(...)   every span of kind SERVER or CONSUMER that has a parent
 *     join_parent(...)  then every span, as the parent that it may be
 *     join_finish(...)  then the edges between services
 *
 * Only children are kept, 80 bytes each at most; parents stream past. A key stands for (trace id, span id): 64 bits of a
 * hash with this process' secret, so that equal span ids of different traces do not meet (a wrong meeting has odds of
 * children * spans / 2^64).
 *
 * Rules. A child counts once, whatever its number of parents. Of several spans that claim to be its parent (equal ids
 * in one trace) the one whose service is another than the child's and has the smallest name wins, so that the answer
 * is the same in every order of rows. A span that is its own parent, or a parent within the same service, is no edge;
 * cycles between services are edges both ways. Children whose parent is not there give no edge.
 *
 * Errors are those of a cancelled or timed out fiber; the join is of no use after one.
 *
 * Bounded: past children_max, only children of every second key are kept, then of every fourth, and so on: `shift`. The
 * edges are then those of a fair sample of calls, 1 in 2^shift, and the caller says so. When one key has so many
 * children that this does not help, the rest is dropped: `full`. */
#ifndef QUERY_GRAPH_JOIN_H
#define QUERY_GRAPH_JOIN_H

#include "query/graph/edges.h"

enum { JOIN_SHIFT_MAX = 20, JOIN_CHILD_BYTES = 80 };

struct join_child;
struct join {
    struct arena *mem;
    const struct names *services;
    uint32_t children_max;
    unsigned shift;
    bool full;
    uint32_t n;                  /* children kept */
    struct join_child **blocks;  /* of them, so that growing copies nothing */
    uint64_t *index;             /* by the parent's key */
    uint32_t mask, indexed;      /* places of the index - 1; distinct keys */
};
/* `services` names the services that children and parents are given by; borrowed. */
void join_init(struct join *j, const struct names *services, uint32_t children_max, struct arena *mem);
uint64_t join_key(const uint8_t trace_id[16], const uint8_t span_id[8]);
/* Is the key in the sample? Others need not be given. */
static inline bool join_takes(const struct join *j, uint64_t key)
{
    return j->shift == 0 || key >> (64 - j->shift) == 0;
}
/* counts: is it to be an edge? Else it only tells that its parent has a child. */
MUST_CHECK err_t join_child(struct join *j, uint64_t parent_key, uint32_t service, int64_t duration_ns, bool error,
                            bool counts) MAY_YIELD;
/* For many keys at once: both steps for all of them, then join_child or join_parent, so that memory is waited for together. */
static inline void join_prefetch(const struct join *j, uint64_t key)
{
    __builtin_prefetch(&j->index[(uint32_t)key & j->mask]);
}
void join_prefetch_child(const struct join *j, uint64_t key);
/* True when the span has a child in another service. No children may be added after this. */
bool join_parent(struct join *j, uint64_t key, uint32_t service);
MUST_CHECK err_t join_finish(struct join *j, struct edges *out) MAY_YIELD;

#endif
