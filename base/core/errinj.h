/* Fault points: named places in production code where a test or the simulator may make things fail. The list is
 * errinj.def; in release builds without TERCET_ERRINJ no point ever fires. */
#ifndef BASE_CORE_ERRINJ_H
#define BASE_CORE_ERRINJ_H

#include "base/core/types.h"

enum errinj_id {
#define ERRINJ(id, what) id,
#include "base/core/errinj.def"
#undef ERRINJ
    ERRINJ_COUNT
};

/* The nth next hit of a point fires (1 = the next one), once; 0 disarms. */
void errinj_arm(enum errinj_id id, unsigned nth);
unsigned errinj_left(enum errinj_id id); /* hits until it fires; 0 = it has, or is disarmed */
bool errinj_hit(enum errinj_id id); /* true: fail here */
const char *errinj_name(enum errinj_id id);

#endif
