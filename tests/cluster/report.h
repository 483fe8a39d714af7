/* What happened in a seed of the cluster, counted, so that a run can prove that its faults fired. */
#ifndef TESTS_CLUSTER_REPORT_H
#define TESTS_CLUSTER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum { SEEDS_PROVE = 300 }; /* as many seeds must show everything that is not RARE */
#define CLUSTER_COUNTERS(X) \
    X(ALWAYS, nodes, "nodes") X(ALWAYS, lives, "lives") X(ALWAYS, requests, "requests") X(ALWAYS, sent, "times sent") X(ALWAYS, acked, "acked") \
    X(ALWAYS, rows, "rows") X(ALWAYS, reads, "answers") X(ALWAYS, partial, "partial") X(ALWAYS, apart, "apart") X(ALWAYS, read_errors, "errors") \
    X(ALWAYS, synced, "acks found in logs") X(ALWAYS, again, "sent again in the end") \
    X(ALWAYS, kills, "kills") X(ALWAYS, crashes, "losses of power") X(ALWAYS, pairs, "of two") X(ALWAYS, blackouts, "of all") \
    X(ALWAYS, pauses, "pauses") X(ALWAYS, cuts, "cuts") X(ALWAYS, partitions, "partitions") X(ALWAYS, swizzles, "swizzles") X(ALWAYS, stops, "stops") \
    X(ALWAYS, bad_nets, "bad networks") \
    X(ALWAYS, bad_disks, "bad disks") X(ALWAYS, failed_stores, "failed stores") X(ALWAYS, clock_steps, "steps of clocks") X(ALWAYS, wipes, "disks lost") \
    X(ALWAYS, rots, "rotten segments") \
    X(ALWAYS, deletions, "deletions") X(ALWAYS, deletions_open, "left open") \
    X(ALWAYS, last_losses, "nodes lost for good")

struct report { /* of a seed, or of many */
    uint64_t hash;
    bool whole;
    int64_t virtual_ns, live_max_ns, members_max_ns;
#define X(when, name, text) uint64_t name;
    CLUSTER_COUNTERS(X)
#undef X
};

#endif
