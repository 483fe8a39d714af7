/* The fewest decimal digits that read back to a double, and of these the nearest to it (C++'s std::to_chars: Ryu, U. Adams, PLDI 2018). */
#ifndef BASE_CORE_F64_DIGITS_H
#define BASE_CORE_F64_DIGITS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { F64_DIGITS_MAX = 17 };
/* Of |v|, which is finite: d[0].d[1]d[2]... * 10^*exp10, without zeros at the end; how many. Of 0 one, "0". */
size_t f64_digits(double v, char d[F64_DIGITS_MAX], int *exp10);

#ifdef __cplusplus
}
#endif

#endif
