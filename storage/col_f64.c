/* Doubles, lossless to the bit, in blocks of 1,024 (the last one shorter). A block:
 *
 *   u8 0xff   raw: 8 bytes a value
 *   u8 e      decimal: the values are integers / 10^e (e <= 9), as one block of col_int
 * Most measured values have few decimals; the test is exact, bit for bit, so that -0.0 and NaN go raw. */
#include "storage/col_codec.h"

#include <math.h>

enum { RAW = 0xff, DECIMALS_MAX = 9 };
static const double pow10s[DECIMALS_MAX + 1] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };

static _Thread_local int64_t work[COL_BLOCK];

static bool to_decimal(double v, unsigned e, int64_t *out)
{
    double scaled = v * pow10s[e];
    if (!(fabs(scaled) < 0x1p53)) return false;
    *out = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
    double back = (double)*out / pow10s[e];
    return memcmp(&back, &v, sizeof v) == 0;
}

/* True when all are integers / 10^e; then work holds them. */
static bool block_to_decimal(const double *v, uint32_t n, unsigned *e_out)
{
    unsigned e = 0;
    for (uint32_t i = 0; i < n; i++)
        while (!to_decimal(v[i], e, &work[i]))
            if (++e > DECIMALS_MAX) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!to_decimal(v[i], e, &work[i])) return false;
    *e_out = e;
    return true;
}

void col_f64_encode(const double *v, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK) {
        uint32_t m = MIN(n - i, COL_BLOCK);
        unsigned e;
        if (block_to_decimal(&v[i], m, &e)) {
            buf_byte(out, (uint8_t)e);
            col_int_encode(work, m, out);
        } else {
            buf_byte(out, RAW);
            buf_put(out, &v[i], m * sizeof *v);
        }
    }
}

err_t col_f64_decode(struct cur *c, uint32_t n, double *out)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK) {
        uint32_t m = MIN(n - i, COL_BLOCK);
        uint8_t e;
        TRY(cur_u8(c, &e));
        col_saw(e == RAW ? "raw" : "decimal");
        if (e == RAW) {
            const uint8_t *p;
            TRY(cur_take(c, m * sizeof *out, &p));
            memcpy(&out[i], p, m * sizeof *out);
            continue;
        }
        if (e > DECIMALS_MAX) return err_set(ERR_CORRUPT, "float block of mode %u", e);
        TRY(col_int_decode(c, m, work));
        for (uint32_t k = 0; k < m; k++)
            out[i + k] = (double)work[k] / pow10s[e];
    }
    return OK;
}
