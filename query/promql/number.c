#include "query/promql/number.h"

#include "base/core/f64_digits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static size_t special(double v, char *out)
{
    const char *z = isnan(v) ? "NaN" : v == INFINITY ? "+Inf" : v == -INFINITY ? "-Inf"
                    : v == 0 ? (signbit(v) ? "-0" : "0") : NULL;
    if (!z) return 0;
    memcpy(out, z, strlen(z));
    return strlen(z);
}

/* Whole numbers that a double holds exactly: most of what is printed. */
static size_t whole(double v, char *out)
{
    char digits[20];
    size_t n = 0, at = 0;
    if (v != trunc(v) || fabs(v) >= 9007199254740992.0) return 0;
    uint64_t u = (uint64_t)fabs(v);
    do digits[n++] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) out[at++] = '-';
    while (n) out[at++] = digits[--n];
    return at;
}

size_t pq_format_f(double v, char *out)
{
    size_t n = special(v, out);
    if (n) return n;
    if ((n = whole(v, out)) != 0) return n;
    char d[F64_DIGITS_MAX];
    int e;
    size_t nd = f64_digits(v, d, &e);
    if (v < 0) out[n++] = '-';
    if (e < 0) {
        out[n++] = '0';
        out[n++] = '.';
        for (int i = -1; i > e; i--) out[n++] = '0';
        memcpy(out + n, d, nd);
        return n + nd;
    }
    for (int i = 0; i <= e; i++) out[n++] = (size_t)i < nd ? d[i] : '0';
    if (nd > (size_t)e + 1) {
        out[n++] = '.';
        for (size_t i = (size_t)e + 1; i < nd; i++) out[n++] = d[i];
    }
    return n;
}

static size_t format_e(double v, char *out)
{
    char d[F64_DIGITS_MAX];
    int e;
    size_t nd = f64_digits(v, d, &e), n = 0;
    if (v < 0) out[n++] = '-';
    out[n++] = d[0];
    if (nd > 1) {
        out[n++] = '.';
        memcpy(out + n, d + 1, nd - 1);
        n += nd - 1;
    }
    return n + (size_t)snprintf(out + n, 8, "e%c%02d", e < 0 ? '-' : '+', abs(e));
}

size_t pq_format_g(double v, char *out)
{
    size_t n = special(v, out);
    if (n) return n;
    return fabs(v) < 1e-4 || fabs(v) >= 1e6 ? format_e(v, out) : pq_format_f(v, out);
}

size_t pq_format_api(double v, char *out)
{
    size_t n = special(v, out);
    if (n) return n;
    return fabs(v) < 1e-6 || fabs(v) >= 1e21 ? format_e(v, out) : pq_format_f(v, out);
}

size_t pq_format_openmetrics(double v, char *out)
{
    size_t n = pq_format_g(v, out);
    if (!isfinite(v) || memchr(out, '.', n) || memchr(out, 'e', n)) return n;
    memcpy(out + n, ".0", 2);
    return n + 2;
}
