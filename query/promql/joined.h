/* Series of all nodes as one source, for when the sides of a series lie on different nodes (query.h, query_apart): where a series moved from
 * one replica set to another, rate() over both sides is that of the whole.
 *
 * A selection asks every node for the samples themselves, stale markers included, of its streams; those of one label set are joined in
 * the order of time, one a timestamp, and the query is evaluated here over what came. It costs what the samples weigh: memory of the query is their
 * limit, and nothing is left out for it.
 *
 * Of two samples at one timestamp the same one is always taken: a histogram rather than a float, else the greater by its bits.
 * Summaries of downsampled series come as the samples that they end with. */
#ifndef QUERY_PROMQL_JOINED_H
#define QUERY_PROMQL_JOINED_H

#include "query/promql/wire.h"

struct pq_joined {
    struct pq_source src;
    /* Runs PQ_ASK_SAMPLES of a range selector on all cores of all nodes. The parts live as long as the answer. */
    err_t (*ask)(void *ctx, const struct pq_node *range, const struct pq_grid *g, struct scatter *out) MAY_YIELD;
    void *ctx;
};
void pq_joined_init(struct pq_joined *j);
/* The sides of one series, n >= 1, as one; what it needs beside them in the arena. */
struct pq_samples pq_join_samples(const struct pq_samples *sides, uint32_t n, struct arena *a);

#endif
