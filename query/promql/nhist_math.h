/* Arithmetic of native histograms.
 *
 * pq_hist is the value that cells hold: immutable, buckets as sorted (index, count) pairs. Bucket i of an
 * exponential schema s is (2^((i-1)*2^-s), 2^(i*2^-s)], negative buckets mirror that; bucket i of custom bounds is
 * (custom[i-1], custom[i]], with -Inf and +Inf at the ends. Buckets without observations may be left out.
 * pq_hacc is a sum in progress: every number carries its Kahan-Neumaier compensation.
 *
 * Rules of combination (Prometheus 3.x): exponential with custom bounds is an error; unlike schemas are
 * brought to the lower resolution; unlike zero thresholds are widened, a populated bucket that is cut by the new
 * threshold moves into the zero bucket whole; unlike custom bounds are reduced to those that both have. */
#ifndef QUERY_PROMQL_NHIST_MATH_H
#define QUERY_PROMQL_NHIST_MATH_H

#include "base/core/buf.h"
#include "storage/nhist.h"

struct pq_buckets {
    uint32_t n;
    int32_t *idx;    /* ascending */
    double *count;
    double *comp;    /* compensations: accumulators only, else NULL */
};

struct pq_hist {
    int8_t schema;
    uint8_t hint;    /* enum nhist_hint */
    double zero_threshold, zero_count, count, sum;
    struct pq_buckets pos, neg;
    uint32_t ncustom;
    const double *custom;
};

struct pq_hacc {
    struct pq_hist h;
    double zero_comp, count_comp, sum_comp;
    struct arena *a;
};

struct pq_bucket {
    double lower, upper, count;
};

/* s + x with the running compensation c (Kahan-Neumaier). */
static inline void pq_kahan(double x, double *s, double *c)
{
    double t = *s + x;
    if (__builtin_isinf(t)) *c = 0;
    else if (__builtin_fabs(*s) >= __builtin_fabs(x)) *c += *s - t + x;
    else *c += x - t + *s;
    *s = t;
}

/* Averages add up histograms times this power of two (exact), so that the sum does not overflow. */
#define PQ_AVG_SCALE 0x1p-33

const struct pq_hist *pq_hist_of(struct arena *a, const struct nhist *h);
const struct pq_hist *pq_hist_copy(struct arena *a, const struct pq_hist *h);
bool pq_hist_equal(const struct pq_hist *a, const struct pq_hist *b); /* buckets, count, sum; hints apart */
bool pq_hist_reset(const struct pq_hist *cur, const struct pq_hist *prev, struct arena *scratch);
static inline bool pq_hist_custom(const struct pq_hist *h) { return h->schema == NHIST_CUSTOM; }
double pq_hist_bound(const struct pq_hist *h, int32_t idx); /* upper bound on the positive side */

/* All non-empty buckets in ascending order, the zero bucket included: count of them into out
 * (room for pos.n + neg.n + 1). */
uint32_t pq_hist_buckets(const struct pq_hist *h, struct pq_bucket *out);

void pq_hacc_init(struct pq_hacc *s, struct arena *a, const struct pq_hist *h);
enum { PQ_HADD_MISMATCH = 1, PQ_HADD_COLLISION = 2, PQ_HADD_RECONCILED = 4 };
/* s += sign * h. Bits: MISMATCH (nothing was added), COLLISION of counter reset hints, RECONCILED bounds. */
unsigned pq_hacc_add(struct pq_hacc *s, const struct pq_hist *h, double sign);
/* s += from, compensations included: partial sums of two cores. `from` may live in another arena, which must
 * outlive s only until pq_hacc_done. */
unsigned pq_hacc_merge(struct pq_hacc *s, const struct pq_hacc *from);
void pq_hacc_scale(struct pq_hacc *s, double factor);
void pq_hacc_div(struct pq_hacc *s, double by);
const struct pq_hist *pq_hacc_done(struct pq_hacc *s);

const struct pq_hist *pq_hist_scale(struct arena *a, const struct pq_hist *h, double factor);
const struct pq_hist *pq_hist_div(struct arena *a, const struct pq_hist *h, double by);
/* Keeps what is below (upper) or above the bound, interpolating in the bucket that it cuts. */
const struct pq_hist *pq_hist_trim(struct arena *a, const struct pq_hist *h, double bound, bool keep_lower);

enum pq_hnan { PQ_HNAN_NONE, PQ_HNAN_RESULT, PQ_HNAN_SKEW };
double pq_hist_quantile(double q, const struct pq_hist *h, struct arena *scratch, enum pq_hnan *nan);
double pq_hist_fraction(double lower, double upper, const struct pq_hist *h, struct arena *scratch);
double pq_hist_stdvar(const struct pq_hist *h, struct arena *scratch);
/* {count:20, sum:10, [-2,-1):2, ...}: the text that count_values and logs use. */
struct str pq_hist_text(struct arena *a, const struct pq_hist *h);

#endif
