#include "server/ingest/float_text.h"

#include "base/core/json_out.h"

#include <math.h>
#include <stdlib.h>

enum { PLAIN_MAX = 400 }; /* 309 digits before the point, or 324 + 17 behind it */

/* The digits of a mantissa "d.ddd" with the point moved by `exponent`. */
static size_t shift_point(struct str mantissa, long exponent, char *out)
{
    char digits[32];
    size_t nd = 0, n = 0;
    long point = 0; /* digits before the point */
    bool seen = false;
    for (size_t i = 0; i < mantissa.n && nd < sizeof digits; i++) {
        if (mantissa.p[i] == '-')
            out[n++] = '-';
        else if (mantissa.p[i] == '.')
            seen = true;
        else {
            digits[nd++] = mantissa.p[i];
            point += !seen;
        }
    }
    point += exponent;
    if (point <= 0) {
        out[n++] = '0';
        out[n++] = '.';
        for (long z = point; z < 0; z++)
            out[n++] = '0';
    }
    for (long i = 0; i < MAX((long)nd, point); i++) {
        if (i > 0 && i == point) out[n++] = '.';
        out[n++] = i < (long)nd ? digits[i] : '0';
    }
    return n;
}

struct str float_text(double v, struct arena *a)
{
    if (isnan(v)) return STR("NaN");
    if (isinf(v)) return v > 0 ? STR("+Inf") : STR("-Inf");
    char text[32], plain[PLAIN_MAX];
    struct str s = { text, f64_shortest(v, text) };
    size_t e = str_chr(s, 'e');
    if (e == s.n) {
        /* "1.0" is 1. */
        if (str_ends(s, STR(".0"))) s.n -= 2;
        return arena_str(a, s);
    }
    char exponent[8];
    size_t en = MIN(s.n - e - 1, sizeof exponent - 1);
    memcpy(exponent, s.p + e + 1, en);
    exponent[en] = 0;
    return arena_str(a, str_n(plain, shift_point(str_sub(s, 0, e), strtol(exponent, NULL, 10), plain)));
}
