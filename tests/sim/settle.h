/* After the faults: what a store must be like that nothing ails any more. */
#ifndef TESTS_SIM_SETTLE_H
#define TESTS_SIM_SETTLE_H

#include "tests/sim/model.h"

struct settle {
    struct model *m;
    struct store_opts opts;
    struct prng rnd;
    const char *after;     /* what happened before, for messages */
    unsigned more;         /* requests that nobody has sent yet */
    uint64_t *checks;      /* counted, or NULL */
};
/* In a fiber of core 0, nothing being open: opens, finds what was acked, sends what was not, seals, finds it all, closes, opens and
 * finds it again; no file is left that the catalog does not name. Exits with a message when anything is otherwise. */
void settle(struct settle *x) MAY_YIELD;

#endif
