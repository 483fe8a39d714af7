/* Integers of at most 1,024 values packed in `width` bits each (0..64), in the order in which plain C vectorises:
 * eight lanes side by side, so that eight neighbours in memory are unpacked by the same shifts.
 *
 * n values make n / 8 rows; what is left, up to seven values, follows behind the lanes.
 *   LANES_ACROSS  value i stands in row i / 8, lane i % 8: for values that are used as they are
 *   LANES_ALONG   value i stands in lane i / rows, row i % rows: for differences, which are summed up in eight lanes at once
 * A lane packs its rows from bit 0 up into words of 32 bits, word w of lane l stands at w * 8 + l. The bits of the last,
 * incomplete words follow lane by lane, then the values behind the lanes, both from bit 0 up: nothing is padded but the end, to
 * a byte each. Widths above 32 are two such packings: the low 32 bits, then the rest. All functions are pure; the best code for
 * this processor is chosen once, at run time (x86: SSE4.2, AVX2 with FMA, or AVX-512), with equal results. */
#ifndef STORAGE_COL_LANES_H
#define STORAGE_COL_LANES_H

#include "base/core/types.h"

enum { LANES = 8, LANES_VALUES_MAX = 1024 };
enum lanes_order { LANES_ACROSS, LANES_ALONG };

size_t lanes_bytes(uint32_t n, unsigned width);
/* The low `width` bits of each value; writes exactly lanes_bytes. */
void lanes_pack(const uint64_t *v, uint32_t n, unsigned width, enum lanes_order order, uint8_t *out);

/* How packed integers x become values, modulo 2^64:
 *   sum = false   value i = base + i * slope + factor * x[i]
 *   sum = true    value i = base + i * slope + factor * (x[0] + ... + x[i])
 * plus, from place patch_at[k] on (sum), or there only (not sum), factor * patch[k]. Places ascend, all < n. */
struct lanes_plan {
    unsigned width;
    bool sum; /* LANES_ALONG */
    uint64_t base, slope, factor;
    uint32_t npatches;
    const uint32_t *patch_at;
    const uint64_t *patch;
};
/* p has lanes_bytes; out has n values. */
void lanes_i64(const uint8_t *p, uint32_t n, const struct lanes_plan *plan, int64_t *out);
/* The same integers as doubles, divided by 10^exponent (0..LANES_EXPONENT_MAX): correctly rounded, as C's (double)x / 1e2. */
enum { LANES_EXPONENT_MAX = 18 };
extern const double lanes_pow10[LANES_EXPONENT_MAX + 1];
void lanes_f64(const uint8_t *p, uint32_t n, const struct lanes_plan *plan, unsigned exponent, double *out);

#endif
