#include "server/api/prometheus_hist.h"

#include "base/core/pb_out.h"

#include <math.h>

const struct prom_hist_form PROM_HIST_STORED = {
    .count = 1, .count_float = 2, .sum = 3, .schema = 4, .zero_threshold = 5, .zero = 6, .zero_float = 7, .neg_span = 8, .neg_delta = 9,
    .neg_count = 10, .pos_span = 11, .pos_delta = 12, .pos_count = 13, .hint = 14, .time = 15, .custom = 16,
};
const struct prom_hist_form PROM_HIST_CLIENT = {
    .count = 1, .count_float = 4, .sum = 2, .schema = 5, .zero_threshold = 6, .zero = 7, .zero_float = 8, .neg_span = 9, .neg_delta = 10,
    .neg_count = 11, .pos_span = 12, .pos_delta = 13, .pos_count = 14, .bucket = 3,
};

static bool whole(double v) { return v >= 0 && v < 0x1p53 && v == floor(v); }

static bool side_whole(const struct pq_buckets *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!whole(s->count[i])) return false;
    return true;
}

bool prom_hist_integers(const struct pq_hist *h)
{
    return whole(h->count) && whole(h->zero_count) && side_whole(&h->pos) && side_whole(&h->neg);
}

void prom_hist_spans(const struct pq_buckets *s, void (*fn)(void *ctx, int32_t offset, uint32_t length), void *ctx)
{
    int32_t end = 0;
    for (uint32_t i = 0, n; i < s->n; i += n) {
        for (n = 1; i + n < s->n && s->idx[i + n] == s->idx[i] + (int32_t)n;) n++;
        fn(ctx, s->idx[i] - end, n);
        end = s->idx[i] + (int32_t)n;
    }
}

static void pb_f64(struct buf *b, uint32_t field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    pb_fixed64(b, field, bits);
}

struct span_out { struct buf *b; uint32_t field; };
static void put_span(void *ctx, int32_t offset, uint32_t length)
{
    const struct span_out *o = ctx;
    size_t at = pb_begin(o->b, o->field);
    pb_uint(o->b, 1, zigzag(offset));
    pb_uint(o->b, 2, length);
    pb_end(o->b, at);
}

static void put_side(struct buf *b, const struct pq_buckets *s, bool integers, uint32_t span, uint32_t delta, uint32_t count)
{
    struct span_out o = { b, span };
    int64_t before = 0;
    if (!s->n) return;
    prom_hist_spans(s, put_span, &o);
    size_t at = pb_begin(b, integers ? delta : count); /* packed */
    for (uint32_t i = 0; i < s->n; i++) {
        if (!integers) {
            buf_put(b, &s->count[i], sizeof *s->count);
            continue;
        }
        int64_t c = (int64_t)s->count[i];
        buf_varint(b, zigzag(c - before));
        before = c;
    }
    pb_end(b, at);
}

/* Custom bounds as cumulative counts; those of buckets without observations, too. */
static void put_classic(struct buf *b, const struct pq_hist *h, uint32_t field)
{
    double sum = 0;
    uint32_t k = 0;
    for (uint32_t i = 0; i <= h->ncustom; i++) {
        while (k < h->pos.n && h->pos.idx[k] <= (int32_t)i) sum += h->pos.count[k++];
        size_t at = pb_begin(b, field);
        if (whole(sum)) pb_uint(b, 1, (uint64_t)sum);
        else pb_f64(b, 4, sum);
        pb_f64(b, 2, i < h->ncustom ? h->custom[i] : INFINITY);
        pb_end(b, at);
    }
}

void prom_hist_put(struct buf *b, const struct pq_hist *h, int64_t t_ms, const struct prom_hist_form *f)
{
    bool integers = prom_hist_integers(h);
    if (integers) pb_uint(b, f->count, (uint64_t)h->count);
    else pb_f64(b, f->count_float, h->count);
    pb_f64(b, f->sum, h->sum);
    if (pq_hist_custom(h) && f->bucket) {
        put_classic(b, h, f->bucket);
        return;
    }
    pb_uint(b, f->schema, zigzag(h->schema));
    pb_f64(b, f->zero_threshold, h->zero_threshold);
    if (integers) pb_uint(b, f->zero, (uint64_t)h->zero_count);
    else pb_f64(b, f->zero_float, h->zero_count);
    put_side(b, &h->neg, integers, f->neg_span, f->neg_delta, f->neg_count);
    put_side(b, &h->pos, integers, f->pos_span, f->pos_delta, f->pos_count);
    if (f->bucket && !h->pos.n && !h->neg.n) { /* what tells an empty native histogram from a classic one */
        struct span_out o = { b, f->pos_span };
        put_span(&o, 0, 0);
    }
    if (f->hint) pb_uint(b, f->hint, h->hint);
    if (f->time) pb_uint(b, f->time, (uint64_t)t_ms);
    if (f->custom && h->ncustom) {
        size_t at = pb_begin(b, f->custom);
        buf_put(b, h->custom, sizeof *h->custom * h->ncustom);
        pb_end(b, at);
    }
}
