#include "base/rt/reactor.h"

void sim_on_switch(struct reactor *r)
{
    (void)r;
}
