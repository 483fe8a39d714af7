/* Numbers as Go's strconv writes them, which the API's clients and label values depend on. */
#ifndef QUERY_PROMQL_NUMBER_H
#define QUERY_PROMQL_NUMBER_H

#include "base/core/str.h"

enum { PQ_NUMBER_MAX = 352 };

/* Each writes at most PQ_NUMBER_MAX bytes without terminator and returns how many. Shortest digits that read
 * back; NaN, +Inf, -Inf. */
size_t pq_format_f(double v, char *out);   /* 'f': no exponent */
size_t pq_format_g(double v, char *out);   /* 'g': exponent when < 1e-4 or >= 1e6 */
size_t pq_format_api(double v, char *out); /* 'f', but 'e' when < 1e-6 or >= 1e21 */
size_t pq_format_openmetrics(double v, char *out); /* 'g', integers with ".0" */

#endif
