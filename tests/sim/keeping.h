/* Rules of retention among the work of the simulator and of crash states, and what they allow. Of a tenant and a signal a rule is
 * set once. Rows that the rule in force calls too old may be missing, nobody else's; one that was acked is in force for good, over
 * crashes too, and so protects what the default age would take after it. */
#ifndef TESTS_SIM_KEEPING_H
#define TESTS_SIM_KEEPING_H

#include "storage/signal.h"
#include "tests/sim/model.h"

struct keeping {
    uint32_t tenant;
    enum signal signal;
    int64_t age_ns;    /* 0: for ever */
    int64_t acked_ns;  /* by the right clock; 0: not (yet) */
};

/* Sets a rule for ever, or of an age in [least_ns, most_ns], of a tenant and signal that has none; false when it failed. */
bool keep_run(struct model *m, struct store *s, struct prng *r, int64_t least_ns, int64_t most_ns) MAY_YIELD;
/* Float samples of all tenants are downsampled from the first second on; that does not get through now and then, but in another life. */
void keep_downsampled(struct store *s) MAY_YIELD;
/* May row i be missing for its age? */
bool keep_expired(const struct model *m, uint32_t i);
/* The store has every rule that was acked, and none that nobody set. */
void keep_check(const struct model *m, struct store *s);

#endif
