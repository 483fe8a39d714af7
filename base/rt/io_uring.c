/* The io_uring backend comes with the next change; until then the probe says so. */
#include "base/rt/reactor.h"

#include <stdio.h>

bool io_uring_probe(char *why, size_t n)
{
    snprintf(why, n, "this build has no io_uring backend yet");
    return false;
}

err_t io_uring_new(struct reactor *r, struct io **out)
{
    (void)r;
    (void)out;
    return err_set(ERR_UNAVAILABLE, "this build has no io_uring backend yet");
}
