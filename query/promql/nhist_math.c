#include "query/promql/nhist_math.h"

#include "query/promql/number.h"

#include <float.h>
#include <math.h>

/* 2^(i / 2^schema) / 2 as Prometheus has it: each odd step from the one before it, the even ones of the schema below. Clients see
 * bounds, so their last digits are to be the same. */
static double fraction_bound(int schema, uint32_t i)
{
    static const double steps[] = { 0, 0x1.6a09e667f3bccp+0, 0x1.306fe0a31b715p+0, 0x1.172b83c7d517bp+0, 0x1.0b5586cf9890fp+0,
                                    0x1.059b0d3158574p+0, 0x1.02c9a3e778061p+0, 0x1.0163da9fb3335p+0, 0x1.00b1afa5abcbfp+0 };
    double by[8];
    int n = 0;
    for (; i; schema--, i >>= 1)
        if (i & 1) by[n++] = steps[schema];
    double b = 0.5;
    while (n) b *= by[--n];
    return b;
}

double pq_hist_bound(const struct pq_hist *h, int32_t idx)
{
    if (pq_hist_custom(h)) {
        if (idx < 0) return -INFINITY;
        return (uint32_t)idx < h->ncustom ? h->custom[idx] : INFINITY;
    }
    double e = ldexp((double)idx, -h->schema);
    if (e == 1024) return DBL_MAX; /* the bucket of the largest floats is (x, MaxFloat64] */
    double whole = floor(e), part = h->schema > 0 && h->schema <= 8 ? fraction_bound(h->schema, (uint32_t)idx & ((1u << h->schema) - 1)) : 0.5;
    return ldexp(part, (int)fmax(fmin(whole, 5000), -5000) + 1);
}

static struct pq_buckets buckets_new(struct arena *a, uint32_t cap, bool comp)
{
    struct pq_buckets b = { 0, ARENA_RAW(a, int32_t, cap + 1), ARENA_RAW(a, double, cap + 1), NULL };
    if (comp) b.comp = ARENA_ARRAY(a, double, cap + 1);
    return b;
}

/* Adds to the last bucket when the index is the same, else appends. */
static void bucket_put(struct pq_buckets *b, int32_t idx, double count, double comp)
{
    if (b->n && b->idx[b->n - 1] == idx) {
        double c = b->comp ? b->comp[b->n - 1] : 0;
        pq_kahan(count, &b->count[b->n - 1], &c);
        if (b->comp) b->comp[b->n - 1] = c + comp;
        else b->count[b->n - 1] += c;
        return;
    }
    b->idx[b->n] = idx;
    b->count[b->n] = count;
    if (b->comp) b->comp[b->n] = comp;
    b->n++;
}

static struct pq_buckets spans_read(struct arena *a, const struct nhist_span *s, uint32_t ns, const double *v,
                                    uint32_t n)
{
    struct pq_buckets b = buckets_new(a, n, false);
    int64_t idx = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < ns; i++) {
        idx += s[i].offset;
        for (uint32_t k = 0; k < s[i].length && at < n; k++, idx++, at++)
            if (v[at] != 0) bucket_put(&b, (int32_t)idx, v[at], 0);
    }
    return b;
}

const struct pq_hist *pq_hist_of(struct arena *a, const struct nhist *h)
{
    struct pq_hist *out = ARENA_NEW(a, struct pq_hist);
    *out = (struct pq_hist){ .schema = h->schema, .hint = h->hint, .zero_threshold = h->zero_threshold,
                             .zero_count = h->zero_count, .count = h->count, .sum = h->sum,
                             .ncustom = h->schema == NHIST_CUSTOM ? h->ncustom : 0 };
    out->pos = spans_read(a, h->pos_spans, h->npos_spans, h->pos, h->npos);
    out->neg = spans_read(a, h->neg_spans, h->nneg_spans, h->neg, h->nneg);
    if (out->ncustom) out->custom = arena_dup(a, h->custom, sizeof(double) * h->ncustom);
    return out;
}

static struct pq_buckets buckets_copy(struct arena *a, const struct pq_buckets *b, bool comp)
{
    struct pq_buckets out = buckets_new(a, b->n, comp);
    for (uint32_t i = 0; i < b->n; i++) bucket_put(&out, b->idx[i], b->count[i], b->comp ? b->comp[i] : 0);
    return out;
}

const struct pq_hist *pq_hist_copy(struct arena *a, const struct pq_hist *h)
{
    struct pq_hist *out = arena_dup(a, h, sizeof *h);
    out->pos = buckets_copy(a, &h->pos, false);
    out->neg = buckets_copy(a, &h->neg, false);
    if (h->ncustom) out->custom = arena_dup(a, h->custom, sizeof(double) * h->ncustom);
    return out;
}

/* -- bringing layouts together -------------------------------------------------------------------- */
static int32_t index_at(int32_t idx, int shift) { return ((idx - 1) >> shift) + 1; }

static struct pq_buckets buckets_reduce(struct arena *a, const struct pq_buckets *b, int shift, bool comp)
{
    struct pq_buckets out = buckets_new(a, b->n, comp);
    for (uint32_t i = 0; i < b->n; i++)
        bucket_put(&out, index_at(b->idx[i], shift), b->count[i], b->comp ? b->comp[i] : 0);
    return out;
}

/* What the zero bucket holds when its threshold grows to *t; *t grows further when it would cut a
 * populated bucket. */
static double zero_for(const struct pq_hist *h, double *t)
{
    for (;;) {
        double zero = h->zero_count;
        bool again = false;
        const struct pq_buckets *sides[] = { &h->pos, &h->neg };
        for (int s = 0; s < 2 && !again; s++)
            for (uint32_t i = 0; i < sides[s]->n; i++) {
                int32_t idx = sides[s]->idx[i];
                if (pq_hist_bound(h, idx - 1) >= *t) break;
                zero += sides[s]->count[i] + (sides[s]->comp ? sides[s]->comp[i] : 0);
                double upper = pq_hist_bound(h, idx);
                if (upper > *t) {
                    if (sides[s]->count[i] == 0) break;
                    *t = upper;
                    again = s == 1; /* the positive side must be looked at again */
                    break;
                }
            }
        if (!again) return zero;
    }
}

static void buckets_drop_below(const struct pq_hist *h, struct pq_buckets *b, double t)
{
    uint32_t skip = 0;
    while (skip < b->n && pq_hist_bound(h, b->idx[skip] - 1) < t) skip++;
    b->idx += skip;
    b->count += skip;
    if (b->comp) b->comp += skip;
    b->n -= skip;
}

static void widen_zero(struct pq_hist *h, double *t)
{
    if (*t <= h->zero_threshold) return;
    h->zero_count = zero_for(h, t);
    h->zero_threshold = *t;
    buckets_drop_below(h, &h->pos, *t);
    buckets_drop_below(h, &h->neg, *t);
}

static void reconcile_zero(struct pq_hist *x, struct pq_hist *y)
{
    while (x->zero_threshold != y->zero_threshold) {
        double t = fmax(x->zero_threshold, y->zero_threshold);
        if (isnan(t)) return;
        widen_zero(x, &t);
        widen_zero(y, &t);
    }
}

static bool bounds_equal(const struct pq_hist *x, const struct pq_hist *y)
{
    return x->ncustom == y->ncustom &&
           (x->ncustom == 0 || memcmp(x->custom, y->custom, sizeof(double) * x->ncustom) == 0);
}

/* Bounds that both have, in the arena. */
static const double *bounds_common(struct arena *a, const struct pq_hist *x, const struct pq_hist *y, uint32_t *n)
{
    double *out = ARENA_RAW(a, double, x->ncustom + 1);
    uint32_t i = 0, k = 0;
    *n = 0;
    while (i < x->ncustom && k < y->ncustom) {
        if (x->custom[i] == y->custom[k]) {
            out[(*n)++] = x->custom[i++];
            k++;
        } else if (x->custom[i] < y->custom[k]) {
            i++;
        } else {
            k++;
        }
    }
    return out;
}

/* Moves the buckets of h to bounds that are a subset of its own. */
static void rebound(struct arena *a, struct pq_hist *h, const double *bounds, uint32_t n, bool comp)
{
    struct pq_buckets out = buckets_new(a, h->pos.n, comp);
    uint32_t at = 0;
    for (uint32_t i = 0; i < h->pos.n; i++) {
        double upper = pq_hist_bound(h, h->pos.idx[i]);
        while (at < n && bounds[at] < upper) at++;
        bucket_put(&out, (int32_t)at, h->pos.count[i], h->pos.comp ? h->pos.comp[i] : 0);
    }
    h->pos = out;
    h->custom = bounds;
    h->ncustom = n;
}

static void reduce_to(struct arena *a, struct pq_hist *h, int schema, bool comp)
{
    if (h->schema <= schema) return;
    h->pos = buckets_reduce(a, &h->pos, h->schema - schema, comp);
    h->neg = buckets_reduce(a, &h->neg, h->schema - schema, comp);
    h->schema = (int8_t)schema;
}

/* -- sums -------------------------------------------------------------------------------------------- */
void pq_hacc_init(struct pq_hacc *s, struct arena *a, const struct pq_hist *h)
{
    *s = (struct pq_hacc){ .h = *h, .a = a };
    s->h.pos = buckets_copy(a, &h->pos, true);
    s->h.neg = buckets_copy(a, &h->neg, true);
    if (h->ncustom) s->h.custom = arena_dup(a, h->custom, sizeof *h->custom * h->ncustom);
}

static void merge_side(struct arena *a, struct pq_buckets *s, const struct pq_buckets *x, double sign)
{
    uint32_t i = 0, k = 0;
    while (k < x->n) { /* in place when every bucket is there already */
        while (i < s->n && s->idx[i] < x->idx[k]) i++;
        if (i == s->n || s->idx[i] != x->idx[k]) break;
        k++;
    }
    if (k == x->n) {
        for (i = 0, k = 0; k < x->n; k++) {
            while (s->idx[i] < x->idx[k]) i++;
            pq_kahan(sign * x->count[k], &s->count[i], &s->comp[i]);
        }
        return;
    }
    struct pq_buckets out = buckets_new(a, s->n + x->n, true);
    for (i = 0, k = 0; i < s->n || k < x->n;) {
        if (k == x->n || (i < s->n && s->idx[i] <= x->idx[k])) {
            bucket_put(&out, s->idx[i], s->count[i], s->comp[i]);
            i++;
        } else {
            bucket_put(&out, x->idx[k], sign * x->count[k], 0);
            k++;
        }
    }
    *s = out;
}

static bool hints_join(struct pq_hist *s, const struct pq_hist *h)
{
    if (s->hint == h->hint || s->hint == NHIST_GAUGE) return false;
    if (h->hint == NHIST_GAUGE) {
        s->hint = NHIST_GAUGE;
        return false;
    }
    bool collide = s->hint != NHIST_UNKNOWN && h->hint != NHIST_UNKNOWN;
    s->hint = NHIST_UNKNOWN;
    return collide;
}

unsigned pq_hacc_add(struct pq_hacc *s, const struct pq_hist *h, double sign)
{
    if (pq_hist_custom(&s->h) != pq_hist_custom(h)) return PQ_HADD_MISMATCH;
    unsigned bits = hints_join(&s->h, h) ? PQ_HADD_COLLISION : 0;
    struct pq_hist x = *h;
    if (pq_hist_custom(h)) {
        if (!bounds_equal(&s->h, h)) {
            uint32_t n;
            const double *b = bounds_common(s->a, &s->h, h, &n);
            rebound(s->a, &s->h, b, n, true);
            rebound(s->a, &x, b, n, false);
            bits |= PQ_HADD_RECONCILED;
        }
    } else {
        reconcile_zero(&s->h, &x);
        reduce_to(s->a, &s->h, x.schema, true);
        reduce_to(s->a, &x, s->h.schema, false);
        pq_kahan(sign * x.zero_count, &s->h.zero_count, &s->zero_comp);
    }
    pq_kahan(sign * h->count, &s->h.count, &s->count_comp);
    pq_kahan(sign * h->sum, &s->h.sum, &s->sum_comp);
    merge_side(s->a, &s->h.pos, &x.pos, sign);
    merge_side(s->a, &s->h.neg, &x.neg, sign);
    return bits;
}

static void comp_side(struct arena *a, const struct pq_buckets *from, struct pq_buckets *to)
{
    *to = buckets_new(a, from->n, false);
    for (uint32_t i = 0; i < from->n; i++) bucket_put(to, from->idx[i], isnan(from->comp[i]) ? 0 : from->comp[i], 0);
}

unsigned pq_hacc_merge(struct pq_hacc *s, const struct pq_hacc *from)
{
    unsigned bits = pq_hacc_add(s, &from->h, 1);
    if (bits & PQ_HADD_MISMATCH) return bits;
    struct pq_hist c = from->h; /* the compensations, as a histogram of the same layout */
    c.hint = s->h.hint;
    c.zero_count = isnan(from->zero_comp) ? 0 : from->zero_comp;
    c.count = isnan(from->count_comp) ? 0 : from->count_comp;
    c.sum = isnan(from->sum_comp) ? 0 : from->sum_comp;
    comp_side(s->a, &from->h.pos, &c.pos);
    comp_side(s->a, &from->h.neg, &c.neg);
    return bits | pq_hacc_add(s, &c, 1);
}

static void apply(struct pq_hacc *s, double v, double (*f)(double, double))
{
    double *one[] = { &s->h.zero_count, &s->h.count, &s->h.sum, &s->zero_comp, &s->count_comp, &s->sum_comp };
    for (size_t i = 0; i < ARRAY_LEN(one); i++) *one[i] = i >= 3 && *one[i] == 0 ? 0 : f(*one[i], v);
    struct pq_buckets *sides[] = { &s->h.pos, &s->h.neg };
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < sides[k]->n; i++) {
            sides[k]->count[i] = f(sides[k]->count[i], v);
            if (sides[k]->comp[i] != 0) sides[k]->comp[i] = f(sides[k]->comp[i], v);
        }
}

static double times(double x, double y) { return x * y; }
static double over(double x, double y) { return x / y; }
void pq_hacc_scale(struct pq_hacc *s, double factor)
{
    apply(s, factor, times);
    if (factor < 0) s->h.hint = NHIST_GAUGE;
}
void pq_hacc_div(struct pq_hacc *s, double by)
{
    apply(s, by, over);
    if (by < 0) s->h.hint = NHIST_GAUGE;
    if (by == 0) s->h.pos.n = s->h.neg.n = 0; /* buckets without a meaning are left out */
}

static double folded(double v, double comp) { return isnan(comp) || isinf(v) || comp == 0 ? v : v + comp; }

const struct pq_hist *pq_hacc_done(struct pq_hacc *s)
{
    struct pq_hist *out = arena_dup(s->a, &s->h, sizeof s->h);
    out->zero_count = folded(out->zero_count, s->zero_comp);
    out->count = folded(out->count, s->count_comp);
    out->sum = folded(out->sum, s->sum_comp);
    struct pq_buckets *sides[] = { &out->pos, &out->neg };
    for (int k = 0; k < 2; k++) {
        struct pq_buckets *b = sides[k];
        uint32_t n = 0;
        for (uint32_t i = 0; i < b->n; i++) {
            double v = folded(b->count[i], b->comp[i]);
            if (v == 0) continue;
            b->idx[n] = b->idx[i];
            b->count[n++] = v;
        }
        b->n = n;
        b->comp = NULL;
    }
    return out;
}

const struct pq_hist *pq_hist_scale(struct arena *a, const struct pq_hist *h, double factor)
{
    struct pq_hacc s;
    pq_hacc_init(&s, a, h);
    pq_hacc_scale(&s, factor);
    return pq_hacc_done(&s);
}

const struct pq_hist *pq_hist_div(struct arena *a, const struct pq_hist *h, double by)
{
    struct pq_hacc s;
    pq_hacc_init(&s, a, h);
    pq_hacc_div(&s, by);
    return pq_hacc_done(&s);
}

/* -- comparisons -------------------------------------------------------------------------------------- */
static bool same(double x, double y) { return x == y || (isnan(x) && isnan(y)); }

static bool sides_equal(const struct pq_buckets *x, const struct pq_buckets *y)
{
    uint32_t i = 0, k = 0;
    for (;;) {
        while (i < x->n && x->count[i] == 0) i++;
        while (k < y->n && y->count[k] == 0) k++;
        if (i == x->n || k == y->n) return i == x->n && k == y->n;
        if (x->idx[i] != y->idx[k] || !same(x->count[i], y->count[k])) return false;
        i++, k++;
    }
}

bool pq_hist_equal(const struct pq_hist *x, const struct pq_hist *y)
{
    return x->schema == y->schema && same(x->count, y->count) && same(x->sum, y->sum) &&
           (pq_hist_custom(x) ? bounds_equal(x, y)
                              : x->zero_threshold == y->zero_threshold && same(x->zero_count, y->zero_count)) &&
           sides_equal(&x->pos, &y->pos) && sides_equal(&x->neg, &y->neg);
}

/* Is any bucket of cur lower than the same of prev? */
static bool side_dropped(const struct pq_buckets *cur, const struct pq_buckets *prev)
{
    uint32_t i = 0;
    for (uint32_t k = 0; k < prev->n; k++) {
        while (i < cur->n && cur->idx[i] < prev->idx[k]) i++;
        double v = i < cur->n && cur->idx[i] == prev->idx[k] ? cur->count[i] : 0;
        if (v < prev->count[k]) return true;
    }
    return false;
}

bool pq_hist_reset(const struct pq_hist *cur, const struct pq_hist *prev, struct arena *scratch)
{
    if (cur->hint == NHIST_RESET) return true;
    if (cur->hint == NHIST_NOT_RESET) return false; /* gauges that are taken for counters are compared */
    if (cur->count < prev->count || pq_hist_custom(cur) != pq_hist_custom(prev)) return true;
    struct pq_hist p = *prev, c = *cur;
    if (pq_hist_custom(cur)) {
        if (!bounds_equal(cur, prev)) {
            uint32_t n;
            const double *b = bounds_common(scratch, cur, prev, &n);
            rebound(scratch, &p, b, n, false);
            rebound(scratch, &c, b, n, false);
        }
        return side_dropped(&c.pos, &p.pos);
    }
    if (cur->schema > prev->schema || cur->zero_threshold < prev->zero_threshold) return true;
    double t = cur->zero_threshold;
    widen_zero(&p, &t);
    if (t != cur->zero_threshold || cur->zero_count < p.zero_count) return true;
    reduce_to(scratch, &p, cur->schema, false);
    return side_dropped(&cur->pos, &p.pos) || side_dropped(&cur->neg, &p.neg);
}

/* -- walking ---------------------------------------------------------------------------------------- */
uint32_t pq_hist_buckets(const struct pq_hist *h, struct pq_bucket *out)
{
    uint32_t n = 0;
    double zt = pq_hist_custom(h) ? 0 : h->zero_threshold;
    for (uint32_t i = h->neg.n; i-- > 0;) {
        if (h->neg.count[i] == 0) continue;
        double lo = -pq_hist_bound(h, h->neg.idx[i]), up = -pq_hist_bound(h, h->neg.idx[i] - 1);
        if (up > -zt && up < 0) up = -zt;
        out[n++] = (struct pq_bucket){ lo, up, h->neg.count[i] };
    }
    if (!pq_hist_custom(h) && h->zero_count > 0) out[n++] = (struct pq_bucket){ -zt, zt, h->zero_count };
    for (uint32_t i = 0; i < h->pos.n; i++) {
        if (h->pos.count[i] == 0) continue;
        double lo = pq_hist_bound(h, h->pos.idx[i] - 1), up = pq_hist_bound(h, h->pos.idx[i]);
        if (!pq_hist_custom(h) && lo > 0 && lo < zt) lo = zt;
        out[n++] = (struct pq_bucket){ lo, up, h->pos.count[i] };
    }
    return n;
}

static struct pq_bucket *walk(const struct pq_hist *h, struct arena *a, uint32_t *n)
{
    struct pq_bucket *b = ARENA_RAW(a, struct pq_bucket, h->pos.n + h->neg.n + 1);
    *n = pq_hist_buckets(h, b);
    return b;
}

/* The zero bucket is one-sided when only one sign is populated. */
static void one_sided(const struct pq_hist *h, struct pq_bucket *b)
{
    if (pq_hist_custom(h) || b->lower > 0 || b->upper < 0) return;
    if (h->neg.n == 0 && h->pos.n > 0) b->lower = 0;
    else if (h->pos.n == 0 && h->neg.n > 0) b->upper = 0;
}

double pq_hist_quantile(double q, const struct pq_hist *h, struct arena *scratch, enum pq_hnan *nan)
{
    *nan = PQ_HNAN_NONE;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (h->count == 0 || isnan(q)) return NAN;
    bool up = isnan(h->sum) || q < 0.5; /* from which end: the nearer one is more exact */
    double rank = up ? q * h->count : (1 - q) * h->count, count = 0;
    uint32_t n, i = 0;
    struct pq_bucket *all = walk(h, scratch, &n);
    if (n == 0) {
        if (isnan(h->sum)) *nan = PQ_HNAN_RESULT;
        return NAN;
    }
    for (;; i++) {
        count += all[up ? i : n - 1 - i].count;
        if (count >= rank || i + 1 == n) break;
    }
    struct pq_bucket b = all[up ? i : n - 1 - i];
    one_sided(h, &b);
    if (isnan(h->sum)) {
        if (count < rank) {
            *nan = PQ_HNAN_RESULT;
            return NAN;
        }
        *nan = PQ_HNAN_SKEW;
    }
    if (pq_hist_custom(h)) {
        if (b.lower == -INFINITY) {
            if (b.upper <= 0) return b.upper;
            b.lower = 0;
        } else if (b.upper == INFINITY) {
            return b.lower;
        }
    }
    if (count > h->count) count = h->count;
    if (count < rank) return up ? b.upper : b.lower;
    rank = up ? rank - (count - b.count) : count - rank;
    double f = rank / b.count;
    if (pq_hist_custom(h) || (b.lower <= 0 && b.upper >= 0)) return b.lower + (b.upper - b.lower) * f;
    double lo = log2(fabs(b.lower)), hi = log2(fabs(b.upper));
    if (b.lower > 0) return exp2(lo + (hi - lo) * f);
    return -exp2(hi + (lo - hi) * (1 - f));
}

/* How much of bucket b lies below v, as a fraction; its bounds are finite. */
static double part_below(const struct pq_hist *h, const struct pq_bucket *b, double v)
{
    if (v <= b->lower) return 0;
    if (v >= b->upper) return 1;
    if (pq_hist_custom(h) || (b->lower <= 0 && b->upper >= 0)) return (v - b->lower) / (b->upper - b->lower);
    double lo = log2(fabs(b->lower)), hi = log2(fabs(b->upper)), at = log2(fabs(v));
    return v > 0 ? (at - lo) / (hi - lo) : 1 - (at - hi) / (lo - hi);
}

/* The same; a bucket of infinite width counts as if all of it were at its finite end. */
static double cut(const struct pq_hist *h, const struct pq_bucket *b, double v)
{
    if (v <= b->lower) return 0;
    if (b->upper == INFINITY) return 0;
    return b->lower == -INFINITY ? 1 : part_below(h, b, v);
}

double pq_hist_fraction(double lower, double upper, const struct pq_hist *h, struct arena *scratch)
{
    if (h->count == 0 || isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    uint32_t n;
    struct pq_bucket *all = walk(h, scratch, &n);
    double rank = 0, lo = -1, hi = -1;
    for (uint32_t i = 0; i < n; i++) {
        struct pq_bucket b = all[i];
        one_sided(h, &b);
        if (pq_hist_custom(h) && b.lower == -INFINITY && b.upper > 0) b.lower = 0;
        if (lo < 0 && lower < b.upper) lo = rank + b.count * cut(h, &b, lower);
        if (hi < 0 && upper < b.upper) hi = rank + b.count * cut(h, &b, upper);
        rank += b.count;
    }
    if (lo < 0) lo = rank;
    if (hi < 0) hi = rank;
    return (hi - lo) / h->count;
}

double pq_hist_stdvar(const struct pq_hist *h, struct arena *scratch)
{
    double mean = h->sum / h->count, var = 0, comp = 0;
    uint32_t n;
    struct pq_bucket *all = walk(h, scratch, &n);
    for (uint32_t i = 0; i < n; i++) {
        const struct pq_bucket *b = &all[i];
        double v = 0;
        if (pq_hist_custom(h)) v = (b->lower + b->upper) / 2;
        else if (b->lower > 0) v = sqrt(b->lower) * sqrt(b->upper);
        else if (b->upper < 0) v = -sqrt(-b->upper) * sqrt(-b->lower);
        double d = v - mean;
        pq_kahan(b->count * d * d, &var, &comp);
    }
    return (var + comp) / h->count;
}

/* What stays of a bucket: its share, and the mean value of what stays. Buckets of infinite width are kept or
 * dropped whole, and count as observed at the finite end of what is kept. */
static void trim_bucket(const struct pq_hist *h, struct pq_bucket b, double bound, bool keep_lower, double *part,
                        double *mean)
{
    *mean = 0;
    if (isinf(bound)) { /* everything, or nothing */
        *part = (bound > 0) == keep_lower;
    } else if (b.lower == -INFINITY && b.upper == INFINITY) {
        *part = 0;
    } else if (b.lower == -INFINITY && b.upper <= 0) {
        *part = keep_lower;
        *mean = fmin(bound, b.upper);
        return;
    } else if (b.upper == INFINITY) {
        *part = !keep_lower;
        *mean = fmax(bound, b.lower);
        return;
    } else if (b.lower == -INFINITY && !keep_lower && bound < 0) {
        *part = 0; /* its lower end is taken for 0 only when the cut is at or above 0 */
    } else {
        if (b.lower == -INFINITY) b.lower = 0;
        double below = part_below(h, &b, bound);
        *part = keep_lower ? below : 1 - below;
    }
    if (*part == 0) return;
    if (b.lower == -INFINITY) b.lower = b.upper > 0 ? 0 : b.upper;
    if (b.upper == INFINITY) b.upper = fmax(b.lower, 0);
    double lo = keep_lower ? b.lower : fmax(b.lower, bound), up = keep_lower ? fmin(b.upper, bound) : b.upper;
    if (pq_hist_custom(h) || (b.lower <= 0 && b.upper >= 0)) *mean = (lo + up) / 2;
    else *mean = copysign(sqrt(fabs(lo)) * sqrt(fabs(up)), up);
}

const struct pq_hist *pq_hist_trim(struct arena *a, const struct pq_hist *h, double bound, bool keep_lower)
{
    struct pq_hist *out = (struct pq_hist *)pq_hist_copy(a, h);
    double count = 0, comp = 0, sum = 0, sum_comp = 0, part, mean;
    bool kept_all = true;
    struct pq_buckets *sides[] = { &out->neg, &out->pos };
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < sides[s]->n; i++) {
            struct pq_bucket b = { pq_hist_bound(h, sides[s]->idx[i] - 1), pq_hist_bound(h, sides[s]->idx[i]), 0 };
            if (s == 0) b = (struct pq_bucket){ -b.upper, -b.lower, 0 };
            trim_bucket(h, b, bound, keep_lower, &part, &mean);
            if (part < 1) kept_all = false;
            sides[s]->count[i] *= part;
            pq_kahan(sides[s]->count[i], &count, &comp);
            if (part > 0) pq_kahan(sides[s]->count[i] * mean, &sum, &sum_comp);
        }
    if (!pq_hist_custom(h) && h->zero_count > 0) {
        struct pq_bucket b = { -h->zero_threshold, h->zero_threshold, 0 };
        one_sided(h, &b);
        trim_bucket(h, b, bound, keep_lower, &part, &mean);
        if (part < 1) kept_all = false;
        out->zero_count *= part;
        pq_kahan(out->zero_count, &count, &comp);
        pq_kahan(out->zero_count * mean, &sum, &sum_comp);
    }
    /* The sum of what was observed is only an estimate when something went. */
    if (kept_all) return h;
    out->count = count + comp;
    out->sum = sum + sum_comp;
    return out;
}

struct str pq_hist_text(struct arena *a, const struct pq_hist *h)
{
    struct buf b;
    char num[PQ_NUMBER_MAX];
    uint32_t n;
    struct pq_bucket *all = walk(h, a, &n);
    buf_init(&b, 1 << 22, a->budget);
    buf_z(&b, "{count:");
    buf_put(&b, num, pq_format_g(h->count, num));
    buf_z(&b, ", sum:");
    buf_put(&b, num, pq_format_g(h->sum, num));
    for (uint32_t i = 0; i < n; i++) {
        bool zero = all[i].lower <= 0 && all[i].upper >= 0 && !pq_hist_custom(h);
        bool neg = !zero && all[i].upper <= 0 && !pq_hist_custom(h);
        bool least = pq_hist_custom(h) && isinf(all[i].lower);
        buf_z(&b, zero || neg || least ? ", [" : ", (");
        buf_put(&b, num, pq_format_g(all[i].lower, num));
        buf_byte(&b, ',');
        buf_put(&b, num, pq_format_g(all[i].upper, num));
        buf_z(&b, neg ? "):" : "]:");
        buf_put(&b, num, pq_format_g(all[i].count, num));
    }
    buf_byte(&b, '}');
    struct str out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return out;
}
