/* The codec of sample columns: blocks of at most 1,024 times (or other integers) and values, lossless to the
 * bit. Formats specified in col_sample.c. Encoding never fails; decoding checks everything. */
#ifndef STORAGE_COL_SAMPLE_H
#define STORAGE_COL_SAMPLE_H

#include "base/core/types.h"

enum { COL_SAMPLE_MAX = 1024 };
/* Room for the encoded bytes of n values, whatever they are; includes slack that the encoder scribbles on. */
#define COL_SAMPLE_BOUND(n) ((size_t)(n) * 10 + 64)

/* n in 1..COL_SAMPLE_MAX; the number of bytes written. */
size_t sample_i64_encode(const int64_t *v, uint32_t n, uint8_t *out);
size_t sample_f64_encode(const double *v, uint32_t n, uint8_t *out);
/* Reads n values from [p, end): the position behind them, or NULL when the bytes are malformed. */
const uint8_t *sample_i64_decode(const uint8_t *p, const uint8_t *end, uint32_t n, int64_t *out);
const uint8_t *sample_f64_decode(const uint8_t *p, const uint8_t *end, uint32_t n, double *out);
/* The exponent of coded doubles when all are decimals, value = integer / 10^exponent, the integers below 2^53; else -1. */
int sample_f64_exponent(const uint8_t *coded);

#endif
