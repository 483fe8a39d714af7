/* The scrubber: a fiber on core 0 at maintenance share that reads every byte of every segment once in storage.scrub_period (14
 * days) and compares its checksums, so that rot is found while a copy may still be had, and not by a query.
 *
 * It reads evenly: all bytes over the period, at least SCRUB_RATE_MIN a second, then waits for the next pass. Segments go in the order of
 * their places; the last one that is done is kept in the catalog (once a minute), so that a restart goes on from there.
 * A segment in which a query met a wrong checksum comes first, at full speed.
 *
 * What is rotten is left out of answers, group by group (lost.h), and looked at again with every pass: what reads well then is
 * back. A read that the system refuses is tried three times before. A rotten page of an index is told of, and look-ups that need it
 * fail with that message. What another node has comes from there (mend.h). */
#ifndef STORAGE_SCRUB_H
#define STORAGE_SCRUB_H

#include "base/rt/rt.h"
#include "storage/seg.h"

enum { SCRUB_RATE_MIN = 1 << 20 };
struct store;
struct scrub {
    struct scope scope;
    struct event wake;
    bool stop;
    int64_t began_ms;      /* of the pass, wall clock */
    uint64_t generation;   /* place of the last segment that is done in this pass; 0 = none */
    struct seg_lane lane;
    bool over;             /* the pass has seen all */
    mono_ns next_at;       /* of the next read */
    int64_t rate;          /* bytes a second; 0 = as fast as it goes */
    mono_ns saved_at;
};
MUST_CHECK err_t scrub_start(struct store *s);
void scrub_stop(struct store *s) MAY_YIELD;

#endif
