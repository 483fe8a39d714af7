/* A native histogram in float form, the one shape of Prometheus native histograms (schemas -4..8 and -53,
 * custom bounds) and OTLP exponential histograms. Counts are absolute per bucket (no deltas). */
#ifndef STORAGE_NHIST_H
#define STORAGE_NHIST_H

#include "base/core/arena.h"

enum { NHIST_CUSTOM = -53, NHIST_SCHEMA_MIN = -4, NHIST_SCHEMA_MAX = 8, NHIST_BUCKETS_MAX = 10000 };
enum nhist_hint { NHIST_UNKNOWN = 0, NHIST_RESET = 1, NHIST_NOT_RESET = 2, NHIST_GAUGE = 3 };

struct nhist_span {
    int32_t offset; /* first span: index of the first bucket; later: gap to the span before */
    uint32_t length;
};

struct nhist {
    int8_t schema;
    uint8_t hint; /* enum nhist_hint */
    double zero_threshold, zero_count, count, sum;
    uint32_t npos_spans, nneg_spans, npos, nneg, ncustom;
    const struct nhist_span *pos_spans, *neg_spans;
    const double *pos, *neg;  /* one count a bucket in the spans */
    const double *custom;     /* upper bounds of NHIST_CUSTOM, ascending, +Inf implied */
};

/* The staleness marker of Prometheus: this exact NaN. A stale histogram carries it in sum. */
#define STALE_NAN_BITS UINT64_C(0x7ff0000000000002)
static inline bool is_stale_nan(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return bits == STALE_NAN_BITS;
}

const struct nhist *nhist_copy(struct arena *a, const struct nhist *h);
/* Spans cover the counts, counts finite and >= 0, custom bounds ascending; ERR_INVALID says which rule. */
MUST_CHECK err_t nhist_check(const struct nhist *h);
struct buf;
void nhist_encode(const struct nhist *h, struct buf *out);
/* Reads one from *p, moves *p behind it. Spans and counts are bounded and checked. */
MUST_CHECK err_t nhist_decode(struct str *p, struct arena *a, const struct nhist **out);

#endif
