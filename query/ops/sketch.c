#include "query/ops/sketch.h"

#include <math.h>

/* -- moments ------------------------------------------------------------------------------------------ */

void moments_add(struct moments *m, double v)
{
    if (m->count == 0 || v < m->min) m->min = v;
    if (m->count == 0 || v > m->max) m->max = v;
    m->count++;
    m->sum += v;
    m->sum_sq += v * v;
}

void moments_merge(struct moments *into, const struct moments *from)
{
    if (from->count == 0) return;
    if (into->count == 0 || from->min < into->min) into->min = from->min;
    if (into->count == 0 || from->max > into->max) into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    into->sum_sq += from->sum_sq;
}

/* -- quantiles ------------------------------------------------------------------------------------------ */

static const double GAMMA = 1.01 / 0.99;
static const double TINY = 1e-9;

/* Makes room for bucket k and returns where it is counted. */
static uint64_t *side_bin(struct sketch_side *s, int32_t k, struct arena *mem)
{
    if (s->n == 0) {
        s->cap = 64;
        s->bins = ARENA_ARRAY(mem, uint64_t, s->cap);
        s->first = k;
        s->n = 1;
        return &s->bins[0];
    }
    int32_t first = MIN(s->first, k), last = MAX(s->first + (int32_t)s->n - 1, k);
    if (last - first >= SKETCH_BINS_MAX) first = last - SKETCH_BINS_MAX + 1;
    if (first != s->first || last != s->first + (int32_t)s->n - 1) {
        uint32_t n = (uint32_t)(last - first + 1);
        uint32_t cap = s->cap;
        while (cap < n)
            cap *= 2;
        uint64_t *bins = ARENA_ARRAY(mem, uint64_t, cap);
        for (uint32_t i = 0; i < s->n; i++) {
            int32_t at = s->first + (int32_t)i - first;
            bins[at < 0 ? 0 : at] += s->bins[i];
        }
        *s = (struct sketch_side){ .first = first, .n = n, .cap = cap, .bins = bins, .count = s->count };
    }
    return &s->bins[k < first ? 0 : k - first];
}

static void side_add(struct sketch_side *s, double magnitude, uint64_t weight, struct arena *mem)
{
    *side_bin(s, (int32_t)ceil(log(magnitude) / log(GAMMA)), mem) += weight;
    s->count += weight;
}

void sketch_add(struct sketch *s, double v, uint64_t weight, struct arena *mem)
{
    if (isnan(v) || weight == 0) return;
    bool empty = sketch_count(s) == 0;
    if (empty || v < s->min) s->min = v;
    if (empty || v > s->max) s->max = v;
    double m = fabs(v) > 1e300 ? 1e300 : fabs(v);
    if (m < TINY) s->zero += weight;
    else side_add(v > 0 ? &s->pos : &s->neg, m, weight, mem);
}

static void side_merge(struct sketch_side *into, const struct sketch_side *from, struct arena *mem)
{
    for (uint32_t i = 0; i < from->n; i++) {
        if (from->bins[i] == 0) continue;
        *side_bin(into, from->first + (int32_t)i, mem) += from->bins[i];
    }
    into->count += from->count;
}

void sketch_merge(struct sketch *into, const struct sketch *from, struct arena *mem)
{
    if (sketch_count(from) == 0) return;
    bool empty = sketch_count(into) == 0;
    if (empty || from->min < into->min) into->min = from->min;
    if (empty || from->max > into->max) into->max = from->max;
    into->zero += from->zero;
    side_merge(&into->pos, &from->pos, mem);
    side_merge(&into->neg, &from->neg, mem);
}

uint64_t sketch_count(const struct sketch *s)
{
    return s->pos.count + s->neg.count + s->zero;
}

static double bin_value(int32_t k) { return 2 * pow(GAMMA, k) / (1 + GAMMA); }

double sketch_quantile(const struct sketch *s, double q)
{
    uint64_t count = sketch_count(s);
    if (count == 0) return NAN;
    if (q <= 0) return s->min;
    if (q >= 1) return s->max;
    uint64_t rank = (uint64_t)(q * (double)(count - 1)), seen = 0;
    if (rank < s->neg.count) {
        for (uint32_t i = s->neg.n; i-- > 0;)
            if ((seen += s->neg.bins[i]) > rank) return -bin_value(s->neg.first + (int32_t)i);
    }
    seen = s->neg.count + s->zero;
    if (rank < seen) return 0;
    for (uint32_t i = 0; i < s->pos.n; i++)
        if ((seen += s->pos.bins[i]) > rank) return bin_value(s->pos.first + (int32_t)i);
    return s->max;
}

/* -- distinct ---------------------------------------------------------------------------------------------- */

static void regs_add(uint8_t *regs, uint64_t hash)
{
    uint32_t i = (uint32_t)(hash >> 52);
    uint64_t rest = hash << 12 | UINT64_C(1) << 11;
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);
    if (rank > regs[i]) regs[i] = rank;
}

static void to_regs(struct distinct *d, struct arena *mem)
{
    d->regs = ARENA_ARRAY(mem, uint8_t, DISTINCT_REGS);
    for (uint32_t i = 0; i < d->cap; i++)
        if (d->set[i]) regs_add(d->regs, d->set[i]);
    d->set = NULL;
    d->n = d->cap = 0;
}

static void set_put(struct distinct *d, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (d->cap - 1);
    while (d->set[i] && d->set[i] != hash)
        i = (i + 1) & (d->cap - 1);
    d->n += d->set[i] == 0;
    d->set[i] = hash;
}

void distinct_add(struct distinct *d, uint64_t hash, struct arena *mem)
{
    if (hash == 0) hash = 1;
    if (d->regs) {
        regs_add(d->regs, hash);
        return;
    }
    if (d->n * 2 >= d->cap) {
        struct distinct next = { .cap = d->cap ? d->cap * 2 : 32 };
        next.set = ARENA_ARRAY(mem, uint64_t, next.cap);
        for (uint32_t i = 0; i < d->cap; i++)
            if (d->set[i]) set_put(&next, d->set[i]);
        *d = next;
    }
    set_put(d, hash);
    if (d->n > DISTINCT_EXACT_MAX) to_regs(d, mem);
}

void distinct_merge(struct distinct *into, const struct distinct *from, struct arena *mem)
{
    for (uint32_t i = 0; i < from->cap; i++)
        if (from->set[i]) distinct_add(into, from->set[i], mem);
    if (!from->regs) return;
    if (!into->regs) to_regs(into, mem);
    for (uint32_t i = 0; i < DISTINCT_REGS; i++)
        into->regs[i] = MAX(into->regs[i], from->regs[i]);
}

uint64_t distinct_count(const struct distinct *d)
{
    if (!d->regs) return d->n;
    double sum = 0, m = DISTINCT_REGS;
    uint32_t zeros = 0;
    for (uint32_t i = 0; i < DISTINCT_REGS; i++) {
        sum += ldexp(1, -(int)d->regs[i]);
        zeros += d->regs[i] == 0;
    }
    double e = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    if (e <= 2.5 * m && zeros) e = m * log(m / zeros);
    return (uint64_t)(e + 0.5);
}
