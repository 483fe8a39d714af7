/* What time it is, for those who delete what is old. The wall clock of a machine may be set wrong: a step of over an hour, ahead or
 * back, or a start an hour and more away from what was written down last, is not believed at once. Time goes on from what
 * was trusted, by the monotonic clock, until the wall clock has gone right for an hour (or is back): who set it
 * wrong has an hour to notice. So a wrong clock deletes nothing within that hour; ages are too young meanwhile, never too old
 * by more than that step of an hour. Pure. */
#ifndef STORAGE_TRUSTED_CLOCK_H
#define STORAGE_TRUSTED_CLOCK_H

#include "base/core/types.h"

#define CLOCK_STEP_NS (3600 * NS_PER_S)

struct trusted_clock {
    int64_t trusted_ns; /* at `at` */
    int64_t wall_ns;    /* what the wall clock said at `at` */
    mono_ns at;
    mono_ns right_since; /* while they differ: since when the wall clock has gone as the monotonic one does */
    bool differs;
};
/* known_ns: what was written down last; 0 = nothing. */
void trusted_clock_init(struct trusted_clock *c, int64_t known_ns, int64_t wall_ns, mono_ns now);
/* True when the wall clock has just left what is trusted: to be logged. */
bool trusted_clock_step(struct trusted_clock *c, int64_t wall_ns, mono_ns now);

#endif
