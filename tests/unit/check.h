/* For plain test programs: CHECK ends the program with the place, the condition and the fiber's error. */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include "base/core/err.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s (detail: %s)\n", __FILE__, __LINE__, #x, err_detail());     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
