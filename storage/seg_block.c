#include "storage/seg_block.h"

#include "storage/col_lanes.h"
#include "storage/col_sample.h"
#include "storage/retention_rules.h"

#include <math.h>

enum { HIST = 1, STARTS = 2, FULL = 4, LAST = 8, FOLLOWS = 16, SUMMARY = 32, COARSE = 64, HEAD_MAX = 127 };
enum { EXPONENT = 31, OTHER = 31, RESETS = 32, RESETS_UNKNOWN = 64, KIND_MAX = 127 };
_Static_assert((int)LANES_EXPONENT_MAX < (int)OTHER, "an exponent is not the mark of other doubles");

/* -- summing up -------------------------------------------------------------------------------------------------- */

static int64_t mantissa(double v, unsigned e)
{
    double r = v * lanes_pow10[e];
    return (int64_t)(r + (r < 0 ? -0.5 : 0.5));
}

static double decimal(int64_t m, unsigned e) { return (double)m / lanes_pow10[e]; }

/* A counter's reset as Prometheus sees it: a value below the one before, which is then added to the increase. A gauge falls
 * at every other sample; nobody asks for its resets. */
static bool few_resets(const double *v, uint32_t n)
{
    uint32_t resets = 0;
    for (uint32_t i = 1; i < n; i++)
        resets += v[i] < v[i - 1];
    return resets <= n / 8;
}

/* Integers add up exactly: below 2^53 each, 1,024 of them. */
static void sum_decimals(const double *v, uint32_t n, unsigned e, struct seg_block *b)
{
    int64_t before = 0;
    b->sum = b->resets = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t m = mantissa(v[i], e);
        b->sum += m;
        if (i && v[i] < v[i - 1]) b->resets += before;
        before = m;
    }
    b->is.sum = decimal(b->sum, e);
    b->is.reset_sum = decimal(b->resets, e);
}

/* Neumaier's: what a sum loses is summed up beside it. */
static void sum_doubles(const double *v, uint32_t n, struct metric_block *is)
{
    double sum = 0, lost = 0, resets = 0;
    for (uint32_t i = 0; i < n; i++) {
        double next = sum + v[i];
        lost += fabs(sum) >= fabs(v[i]) ? sum - next + v[i] : v[i] - next + sum;
        sum = next;
        if (i && v[i] < v[i - 1]) resets += v[i - 1];
    }
    is->sum = sum + lost;
    is->reset_sum = resets;
}

void seg_block_summary(const double *v, uint32_t n, const uint8_t *coded, struct seg_block *b)
{
    struct metric_block *is = &b->is;
    uint32_t odd = 0;
    is->usable = is->resets_known = false;
    is->stale = 0;
    for (uint32_t i = 0; i < n; i++) {
        odd += !isfinite(v[i]);
        is->stale += is_stale_nan(v[i]);
    }
    if (odd) return;
    is->first = is->min = is->max = v[0];
    is->last = v[n - 1];
    for (uint32_t i = 1; i < n; i++) {
        if (v[i] < is->min) is->min = v[i];
        if (v[i] > is->max) is->max = v[i];
    }
    b->exponent = sample_f64_exponent(coded);
    if (b->exponent >= 0) sum_decimals(v, n, (unsigned)b->exponent, b);
    else sum_doubles(v, n, is);
    is->usable = isfinite(is->sum);
    is->resets_known = is->usable && isfinite(is->reset_sum) && few_resets(v, n);
    if (!is->resets_known) is->reset_sum = 0;
}

/* -- writing ----------------------------------------------------------------------------------------------------- */

static void put_zigzag(struct buf *out, uint64_t v) { buf_varint(out, zigzag((int64_t)v)); }
static void put_double(struct buf *out, double v) { buf_put(out, &v, sizeof v); }

/* What n values between first and last may add up to, modulo 2^64. */
static uint64_t guess_sum(int64_t first, int64_t last, uint32_t n)
{
    return (uint64_t)((int64_t)(((uint64_t)first + (uint64_t)last) * n) / 2);
}

static void put_summary(const struct seg_block *b, struct buf *out)
{
    const struct metric_block *is = &b->is;
    bool resets = is->resets_known && is->reset_sum != 0;
    unsigned flags = resets ? RESETS : is->resets_known ? 0 : RESETS_UNKNOWN;
    if (b->exponent < 0) {
        buf_byte(out, (uint8_t)(OTHER | flags));
        const double five[] = { is->first, is->last, is->min, is->max, is->sum };
        for (unsigned i = 0; i < ARRAY_LEN(five); i++)
            put_double(out, five[i]);
        if (resets) put_double(out, is->reset_sum);
        return;
    }
    unsigned e = (unsigned)b->exponent;
    int64_t first = mantissa(is->first, e), last = mantissa(is->last, e);
    buf_byte(out, (uint8_t)(e | flags));
    put_zigzag(out, (uint64_t)first);
    put_zigzag(out, (uint64_t)last - (uint64_t)first);
    buf_varint(out, (uint64_t)MIN(first, last) - (uint64_t)mantissa(is->min, e));
    buf_varint(out, (uint64_t)mantissa(is->max, e) - (uint64_t)MAX(first, last));
    put_zigzag(out, (uint64_t)b->sum - guess_sum(first, last, is->n));
    if (resets) put_zigzag(out, (uint64_t)b->resets);
}

void seg_block_put(struct seg_blocks *at, const struct seg_block *b, bool last, struct buf *out)
{
    bool follows = b->times == at->times, full = b->n == COL_SAMPLE_MAX, coarse = b->is.resolution_ms > 0;
    buf_byte(out, (uint8_t)((b->hist ? HIST : 0) | (b->starts_size ? STARTS : 0) | (full ? FULL : 0) | (last ? LAST : 0) |
                            (follows ? FOLLOWS : 0) | (b->is.usable ? SUMMARY : 0) | (coarse ? COARSE : 0)));
    if (!full) buf_varint(out, b->n);
    if (coarse) buf_varint(out, (uint64_t)b->is.resolution_ms);
    if (coarse) buf_varint(out, b->is.n - b->n);
    put_zigzag(out, (uint64_t)b->is.tmin_ms - (uint64_t)at->tmax);
    buf_varint(out, (uint64_t)b->is.tmax_ms - (uint64_t)b->is.tmin_ms);
    if (!last) buf_varint(out, b->data_size);
    if (b->starts_size) buf_varint(out, b->starts_size);
    if (!follows) buf_varint(out, b->times);
    buf_varint(out, b->times_size);
    if (b->is.usable) put_summary(b, out);
    else if (!b->hist) buf_varint(out, b->is.stale);
    at->tmax = b->is.tmax_ms;
    at->times = b->times + b->times_size;
}

/* -- reading ----------------------------------------------------------------------------------------------------- */

static err_t malformed(void)
{
    return err_set(ERR_CORRUPT, "the list of a series' blocks is malformed");
}

static err_t get_zigzag(struct cur *c, int64_t *v)
{
    uint64_t u;
    TRY(cur_varint(c, &u));
    *v = unzigzag(u);
    return OK;
}

static err_t get_double(struct cur *c, double *v)
{
    const uint8_t *p;
    TRY(cur_take(c, sizeof *v, &p));
    memcpy(v, p, sizeof *v);
    return OK;
}

static err_t get_decimals(struct cur *c, unsigned e, bool resets, struct seg_block *b)
{
    int64_t first, rise;
    uint64_t below, above;
    struct metric_block *is = &b->is;
    TRY(get_zigzag(c, &first));
    TRY(get_zigzag(c, &rise));
    TRY(cur_varint(c, &below));
    TRY(cur_varint(c, &above));
    TRY(get_zigzag(c, &b->sum));
    b->resets = 0;
    if (resets) TRY(get_zigzag(c, &b->resets));
    int64_t last = (int64_t)((uint64_t)first + (uint64_t)rise);
    b->sum = (int64_t)((uint64_t)b->sum + guess_sum(first, last, is->n));
    is->first = decimal(first, e);
    is->last = decimal(last, e);
    is->min = decimal((int64_t)((uint64_t)MIN(first, last) - below), e);
    is->max = decimal((int64_t)((uint64_t)MAX(first, last) + above), e);
    is->sum = decimal(b->sum, e);
    is->reset_sum = decimal(b->resets, e);
    return OK;
}

static err_t get_summary(struct cur *c, struct seg_block *b)
{
    uint8_t kind;
    struct metric_block *is = &b->is;
    TRY(cur_u8(c, &kind));
    if (kind > KIND_MAX) return malformed();
    bool resets = kind & RESETS;
    unsigned e = kind & EXPONENT;
    is->resets_known = !(kind & RESETS_UNKNOWN);
    b->exponent = e == OTHER ? -1 : (int)e;
    if (e != OTHER) return e > LANES_EXPONENT_MAX ? malformed() : get_decimals(c, e, resets, b);
    double *five[] = { &is->first, &is->last, &is->min, &is->max, &is->sum };
    for (unsigned i = 0; i < ARRAY_LEN(five); i++)
        TRY(get_double(c, five[i]));
    return resets ? get_double(c, &is->reset_sum) : OK;
}

static err_t get_counts(struct seg_blocks *at, uint8_t head, struct seg_block *b)
{
    uint64_t resolution, more;
    b->n = COL_SAMPLE_MAX;
    if (!(head & FULL)) TRY(cur_count(&at->in, COL_SAMPLE_MAX, &b->n));
    if (b->n == 0) return malformed();
    b->is.n = b->n;
    if (!(head & COARSE)) return OK;
    TRY(cur_varint(&at->in, &resolution));
    TRY(cur_varint(&at->in, &more));
    if (resolution == 0 || resolution > KEEP_RESOLUTION_MAX_MS || more > UINT32_MAX - b->n) return malformed();
    b->is.resolution_ms = (int64_t)resolution;
    b->is.n += (uint32_t)more;
    return OK;
}

static err_t get_times(struct seg_blocks *at, struct metric_block *is)
{
    int64_t step;
    uint64_t rise;
    TRY(get_zigzag(&at->in, &step));
    TRY(cur_varint(&at->in, &rise));
    is->tmin_ms = (int64_t)((uint64_t)at->tmax + (uint64_t)step);
    is->tmax_ms = (int64_t)((uint64_t)is->tmin_ms + rise);
    return is->tmax_ms < is->tmin_ms ? malformed() : OK;
}

static err_t get_places(struct seg_blocks *at, uint8_t head, struct seg_block *b)
{
    uint64_t left = at->data_end - at->data, size;
    b->data = at->data;
    b->data_size = b->starts_size = 0;
    if (!(head & LAST)) TRY(cur_varint(&at->in, &b->data_size));
    if (head & STARTS) TRY(cur_varint(&at->in, &b->starts_size));
    if (b->starts_size > left) return malformed();
    if (head & LAST) b->data_size = left - b->starts_size;
    if (__builtin_add_overflow(b->data_size, b->starts_size, &size) || size > left) return malformed();
    b->times = at->times;
    if (!(head & FOLLOWS)) TRY(cur_varint(&at->in, &b->times));
    TRY(cur_varint(&at->in, &b->times_size));
    at->data += size;
    return __builtin_add_overflow(b->times, b->times_size, &at->times) ? malformed() : OK;
}

err_t seg_block_get(struct seg_blocks *at, struct seg_block *b, bool *more)
{
    *more = at->in.p < at->in.end;
    if (!*more) return at->data == at->data_end ? OK : malformed();
    uint8_t head;
    TRY(cur_u8(&at->in, &head));
    *b = (struct seg_block){ .hist = head & HIST, .exponent = -1 };
    b->is.usable = head & SUMMARY;
    b->is.starts = head & STARTS;
    if (head > HEAD_MAX || (b->hist && head & (SUMMARY | COARSE))) return malformed();
    TRY(get_counts(at, head, b));
    TRY(get_times(at, &b->is));
    TRY(get_places(at, head, b));
    if (b->is.usable) TRY(get_summary(&at->in, b));
    else if (!b->hist) TRY(cur_count(&at->in, b->is.n, &b->is.stale));
    at->tmax = b->is.tmax_ms;
    return OK;
}
