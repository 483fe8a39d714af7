/* Several nodes asked at once, each in a fiber of its own, until what came is enough. */
#ifndef CLUSTER_FANOUT_H
#define CLUSTER_FANOUT_H

#include "base/rt/rt.h"

struct fanout {
    const char *name; /* of the fibers; static */
    enum rt_class class;
    uint32_t n;
    void *ctx;
    void (*one)(void *ctx, uint32_t i) MAY_YIELD; /* cancelled when it is not needed any more */
    /* Asked on the caller's fiber after each that ended, and every `every_ns` if that is not 0: are those that still run needed no
     * more? NULL: all are waited for. */
    bool (*enough)(void *ctx);
    int64_t every_ns;
    int64_t step_ns; /* 0: all begin at once. Else the next begins when all before it ended, or none ended for so long */
};
/* Returns when all have ended, those that were cancelled too. The caller's deadline is theirs. ERR_CANCELED; ERR_OVERLOAD: no fiber could be
 * started, and then none runs. */
MUST_CHECK err_t fanout_run(const struct fanout *f) MAY_YIELD;

#endif
