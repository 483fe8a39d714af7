/* What happened in a seed, counted, so that a run can prove that its faults fired: one that is long enough fails when a kind of fault,
 * or of work, never did. */
#ifndef TESTS_SIM_REPORT_H
#define TESTS_SIM_REPORT_H

#include "base/core/errinj.h"
#include "base/rt/sim.h"

enum { SEEDS_PROVE = 1000 }; /* as many seeds must show everything that is not RARE */
/* group, name, what it is; RARE: nothing is wrong when it never happens */
#define SIM_COUNTERS(X) \
    X(ALWAYS, lives, "lives") X(ALWAYS, crashes, "crashes") X(ALWAYS, opens_failed, "failed opens") X(ALWAYS, failed_stores, "failed stores") \
    X(ALWAYS, requests, "requests") X(ALWAYS, acked, "acked") X(ALWAYS, rows, "rows") X(ALWAYS, checks, "checks") \
    X(ALWAYS, deletions, "deletions") X(ALWAYS, deleted, "acked") X(ALWAYS, keeps, "rules of retention") X(ALWAYS, keeps_acked, "acked") \
    X(ALWAYS, merges, "merges") X(ALWAYS, merged_segments, "of segments") X(ALWAYS, merges_failed, "failed") X(ALWAYS, merges_stale, "stale") \
    X(ALWAYS, downsampled, "samples downsampled") \
    X(ALWAYS, ballasts, "ballasts let go") X(RARE, lost_reads, "checks told of lost segments") \
    X(ALWAYS, rot_proven, "places of rot proven") X(ALWAYS, rows_rotten, "acked rows lost to rot") \
    X(ALWAYS, kv_failed, "catalog writes failed") X(ALWAYS, kv_unread, "catalog reads failed") X(ALWAYS, kv_lost, "catalog answers lost") \
    X(ALWAYS, clock_steps, "steps of the clock") X(ALWAYS, clock_jumps, "by days") \
    X(ALWAYS, bucket_calls, "calls of the bucket") X(ALWAYS, bucket_errors, "500") X(ALWAYS, bucket_busy, "busy") X(ALWAYS, bucket_slow, "slow") \
    X(ALWAYS, bucket_refused, "refused") X(ALWAYS, bucket_lost, "answers lost") X(ALWAYS, bucket_away, "lives without it") \
    X(ALWAYS, bucket_misses, "pieces read") X(ALWAYS, evicted_bytes, "bytes evicted") X(ALWAYS, takeovers, "takeovers")

struct report { /* of a seed, or of many */
    uint64_t hash;
    bool whole;
#define X(when, name, text) uint64_t name;
    SIM_COUNTERS(X)
#undef X
    uint64_t points[ERRINJ_COUNT]; /* fault points that fired */
    struct sim_stats faults;
};
void report_add(struct report *to, const struct report *r);
/* False: too many seeds for something that never happened; says what. */
bool report_print(const struct report *r, uint64_t seeds, uint64_t failures);

#endif
