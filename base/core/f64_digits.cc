#include "base/core/f64_digits.h"

#include <charconv>
#include <cmath>

extern "C" size_t f64_digits(double v, char d[F64_DIGITS_MAX], int *exp10)
{
    char text[32]; // d.ddddde-324
    const char *end = std::to_chars(text, text + sizeof text, std::fabs(v), std::chars_format::scientific).ptr;
    size_t n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.') d[n++] = *p;
    p += p[1] == '+' ? 2 : 1;
    std::from_chars(p, end, *exp10);
    return n;
}
