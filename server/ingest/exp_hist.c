#include "server/ingest/exp_hist.h"

#include <math.h>

enum { GAP_KEPT_MAX = 2 }; /* empty buckets inside a span that cost less than a span of their own */

struct side {
    struct nhist_span *spans;
    double *counts;
    uint32_t nspans, ncounts;
};

/* Appends one bucket: its index is above all before it. */
static void push(struct side *s, int64_t *end, int64_t index, double count)
{
    int64_t gap = index - *end;
    if (s->nspans > 0 && gap <= GAP_KEPT_MAX) {
        for (int64_t i = 0; i < gap; i++)
            s->counts[s->ncounts++] = 0;
        s->spans[s->nspans - 1].length += (uint32_t)gap + 1;
    } else {
        s->spans[s->nspans++] = (struct nhist_span){ (int32_t)(s->nspans ? gap : index), 1 };
    }
    s->counts[s->ncounts++] = count;
    *end = index + 1;
}

static err_t side(const struct otlp_buckets *b, int down, struct arena *a, struct side *out)
{
    *out = (struct side){ 0 };
    if (b->n > NHIST_BUCKETS_MAX) return err_set(ERR_INVALID, "%u buckets, at most %d", b->n, NHIST_BUCKETS_MAX);
    if (b->n == 0) return OK;
    out->spans = ARENA_RAW(a, struct nhist_span, b->n);
    out->counts = ARENA_RAW(a, double, b->n);
    int64_t end = 0, index = 0;
    double count = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        int64_t at = (((int64_t)b->offset + i) >> down) + 1;
        if (count > 0 && at != index) {
            push(out, &end, index, count);
            count = 0;
        }
        index = at;
        count += (double)b->counts[i];
    }
    if (count > 0) push(out, &end, index, count);
    if (out->nspans && (index > INT32_MAX || index < INT32_MIN))
        return err_set(ERR_INVALID, "a bucket's index is out of range");
    return OK;
}

err_t exp_hist(const struct otlp_point *pt, struct arena *a, const struct nhist **out)
{
    if (pt->scale < NHIST_SCHEMA_MIN)
        return err_set(ERR_INVALID, "scale %d of an exponential histogram, at least %d", pt->scale, NHIST_SCHEMA_MIN);
    int down = pt->scale > NHIST_SCHEMA_MAX ? MIN(pt->scale - NHIST_SCHEMA_MAX, 62) : 0;
    struct nhist *h = ARENA_NEW(a, struct nhist);
    struct side pos, neg;
    TRY(side(&pt->positive, down, a, &pos));
    TRY(side(&pt->negative, down, a, &neg));
    h->schema = (int8_t)(pt->scale - (pt->scale > NHIST_SCHEMA_MAX ? pt->scale - NHIST_SCHEMA_MAX : 0));
    h->hint = NHIST_UNKNOWN;
    h->zero_threshold = pt->zero_threshold > 0 && isfinite(pt->zero_threshold) ? pt->zero_threshold : 1e-128;
    h->zero_count = (double)pt->zero_count;
    h->count = (double)pt->count;
    h->sum = pt->has_sum ? pt->sum : 0;
    h->pos_spans = pos.spans;
    h->npos_spans = pos.nspans;
    h->pos = pos.counts;
    h->npos = pos.ncounts;
    h->neg_spans = neg.spans;
    h->nneg_spans = neg.nspans;
    h->neg = neg.counts;
    h->nneg = neg.ncounts;
    TRY(nhist_check(h));
    *out = h;
    return OK;
}
