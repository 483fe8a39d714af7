/* The fault points that the simulator arms, how often in a life, and at which hit at most. */
#ifndef TESTS_SIM_POINTS_H
#define TESTS_SIM_POINTS_H

#include "base/core/errinj.h"

static const struct sim_point {
    enum errinj_id id;
    double share;
    unsigned within;
} sim_points[] = {
    { EI_SEAL_BEFORE_COMMIT, 0.1, 1 }, { EI_SEAL_AFTER_COMMIT, 0.1, 1 }, { EI_MERGE_BEFORE_SWAP, 0.1, 1 },
    { EI_SWAP_BEFORE_COMMIT, 0.1, 1 }, { EI_SWAP_AFTER_COMMIT, 0.2, 1 }, { EI_WAL_APPEND, 0.1, 50 },
};
enum { SIM_POINTS = sizeof sim_points / sizeof sim_points[0] };

#endif
