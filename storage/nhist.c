#include "storage/nhist.h"

#include "base/core/assert.h"
#include "base/core/buf.h"
#include "base/core/varint.h"

#include <math.h>

/* Bytes: u8 schema | u8 hint | f64 zero_threshold, count, zero_count, sum | two sides (positive, negative) |
 * numbers custom.
 *   side    = varint spans, then for each zigzag varint offset, varint length | numbers counts
 *   numbers = varint (count * 2 + packed) | packed ? zigzag varint delta to the one before : f64, little endian
 * Packed holds whole numbers below 2^53, which counts nearly always are. */

static bool whole_numbers(const double *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(v[i] >= 0 && v[i] < 0x1p53 && v[i] == floor(v[i])) || (v[i] == 0 && signbit(v[i])))
            return false;
    return true;
}

static void put_numbers(struct buf *out, const double *v, uint32_t n)
{
    bool packed = whole_numbers(v, n);
    buf_varint(out, (uint64_t)n * 2 + packed);
    if (!packed) {
        buf_put(out, v, n * sizeof *v);
        return;
    }
    int64_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(out, zigzag((int64_t)v[i] - before));
        before = (int64_t)v[i];
    }
}

static void put_side(struct buf *out, const struct nhist_span *spans, uint32_t nspans, const double *v,
                     uint32_t n)
{
    buf_varint(out, nspans);
    for (uint32_t i = 0; i < nspans; i++) {
        buf_varint(out, zigzag(spans[i].offset));
        buf_varint(out, spans[i].length);
    }
    put_numbers(out, v, n);
}

void nhist_encode(const struct nhist *h, struct buf *out)
{
    buf_byte(out, (uint8_t)h->schema);
    buf_byte(out, h->hint);
    double f[4] = { h->zero_threshold, h->count, h->zero_count, h->sum };
    buf_put(out, f, sizeof f);
    put_side(out, h->pos_spans, h->npos_spans, h->pos, h->npos);
    put_side(out, h->neg_spans, h->nneg_spans, h->neg, h->nneg);
    put_numbers(out, h->custom, h->ncustom);
}

struct reader {
    const uint8_t *p, *end; /* p == NULL: failed */
};

static uint64_t get_varint(struct reader *r)
{
    uint64_t v = 0;
    if (r->p) r->p = varint_get(r->p, r->end, &v);
    return v;
}

/* A count of elements that take at least min_bytes each. */
static uint32_t get_count(struct reader *r, uint64_t n, size_t min_bytes)
{
    if (!r->p) return 0;
    if (n > NHIST_BUCKETS_MAX || n * min_bytes > (size_t)(r->end - r->p)) {
        r->p = NULL;
        return 0;
    }
    return (uint32_t)n;
}

static const double *get_numbers(struct reader *r, struct arena *a, uint32_t *count)
{
    uint64_t head = get_varint(r);
    bool packed = head & 1;
    uint32_t n = *count = get_count(r, head >> 1, packed ? 1 : sizeof(double));
    if (!r->p || n == 0) return NULL;
    double *v = ARENA_RAW(a, double, n);
    if (!packed) {
        memcpy(v, r->p, n * sizeof *v);
        r->p += n * sizeof *v;
        return v;
    }
    uint64_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        before += (uint64_t)unzigzag(get_varint(r));
        v[i] = (double)(int64_t)before;
    }
    return v;
}

static const struct nhist_span *get_spans(struct reader *r, struct arena *a, uint32_t *count)
{
    uint32_t n = *count = get_count(r, get_varint(r), 2);
    if (!r->p || n == 0) return NULL;
    struct nhist_span *s = ARENA_RAW(a, struct nhist_span, n);
    for (uint32_t i = 0; i < n; i++) {
        int64_t offset = unzigzag(get_varint(r));
        uint64_t length = get_varint(r);
        if (offset < INT32_MIN || offset > INT32_MAX || length > NHIST_BUCKETS_MAX) r->p = NULL;
        s[i] = (struct nhist_span){ (int32_t)offset, (uint32_t)length };
    }
    return s;
}

err_t nhist_decode(struct str *p, struct arena *a, const struct nhist **out)
{
    struct reader r = { (const uint8_t *)p->p, (const uint8_t *)p->p + p->n };
    if (p->n < 2 + 4 * sizeof(double)) return err_set(ERR_CORRUPT, "a histogram is cut");
    struct nhist *h = ARENA_NEW(a, struct nhist);
    h->schema = (int8_t)r.p[0];
    h->hint = r.p[1];
    double f[4];
    memcpy(f, r.p + 2, sizeof f);
    r.p += 2 + sizeof f;
    h->zero_threshold = f[0];
    h->count = f[1];
    h->zero_count = f[2];
    h->sum = f[3];
    h->pos_spans = get_spans(&r, a, &h->npos_spans);
    h->pos = get_numbers(&r, a, &h->npos);
    h->neg_spans = get_spans(&r, a, &h->nneg_spans);
    h->neg = get_numbers(&r, a, &h->nneg);
    h->custom = get_numbers(&r, a, &h->ncustom);
    if (!r.p) return err_set(ERR_CORRUPT, "a histogram is cut or over its limits");
    if (nhist_check(h) != OK) {
        char why[ERR_DETAIL_MAX / 2];
        size_t n = strnlen(err_detail(), sizeof why - 1);
        memcpy(why, err_detail(), n);
        why[n] = 0;
        return err_set(ERR_CORRUPT, "a stored histogram: %s", why);
    }
    *p = str_n(r.p, (size_t)(r.end - r.p));
    *out = h;
    return OK;
}

const struct nhist *nhist_copy(struct arena *a, const struct nhist *h)
{
    struct nhist *c = arena_dup(a, h, sizeof *h);
    c->pos_spans = arena_dup(a, h->pos_spans, h->npos_spans * sizeof *h->pos_spans);
    c->neg_spans = arena_dup(a, h->neg_spans, h->nneg_spans * sizeof *h->neg_spans);
    c->pos = arena_dup(a, h->pos, h->npos * sizeof *h->pos);
    c->neg = arena_dup(a, h->neg, h->nneg * sizeof *h->neg);
    c->custom = arena_dup(a, h->custom, h->ncustom * sizeof *h->custom);
    return c;
}

/* Bucket indexes stay where index arithmetic of any reader cannot overflow. */
enum { INDEX_MAX = 1 << 24 };

static err_t check_side(const struct nhist_span *s, uint32_t nspans, const double *v, uint32_t n,
                        int64_t first_min, int64_t last_max)
{
    uint64_t covered = 0;
    int64_t at = 0;
    if (nspans > NHIST_BUCKETS_MAX || n > NHIST_BUCKETS_MAX)
        return err_set(ERR_INVALID, "histogram: more than %d buckets or spans", NHIST_BUCKETS_MAX);
    for (uint32_t i = 0; i < nspans; i++) {
        if (i && s[i].offset < 0) return err_set(ERR_INVALID, "histogram: span %u goes back", i);
        if (i == 0 && s[i].offset < first_min)
            return err_set(ERR_INVALID, "histogram: first bucket index %d", s[i].offset);
        at += (int64_t)s[i].offset + s[i].length;
        covered += s[i].length;
        if (at > last_max) return err_set(ERR_INVALID, "histogram: a bucket index over the last bucket");
    }
    if (covered != n)
        return err_set(ERR_INVALID, "histogram: spans of %llu buckets, %u counts", (unsigned long long)covered,
                       n);
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(v[i]) || v[i] < 0)
            return err_set(ERR_INVALID, "histogram: bucket count %g", v[i]);
    return OK;
}

err_t nhist_check(const struct nhist *h)
{
    bool custom = h->schema == NHIST_CUSTOM;
    if (!custom && (h->schema < NHIST_SCHEMA_MIN || h->schema > NHIST_SCHEMA_MAX))
        return err_set(ERR_INVALID, "histogram: schema %d", h->schema);
    if (h->hint > NHIST_GAUGE) return err_set(ERR_INVALID, "histogram: reset hint %u", h->hint);
    if (!isfinite(h->count) || h->count < 0) return err_set(ERR_INVALID, "histogram: count %g", h->count);
    if (!isfinite(h->zero_count) || h->zero_count < 0)
        return err_set(ERR_INVALID, "histogram: zero count %g", h->zero_count);
    if (!isfinite(h->zero_threshold) || h->zero_threshold < 0)
        return err_set(ERR_INVALID, "histogram: zero threshold %g", h->zero_threshold);
    if (!custom && h->ncustom) return err_set(ERR_INVALID, "histogram: custom bounds with schema %d", h->schema);
    if (custom && (h->nneg || h->nneg_spans || h->zero_count != 0 || h->zero_threshold != 0))
        return err_set(ERR_INVALID, "histogram: custom bounds with a zero bucket or negative buckets");
    if (h->ncustom > NHIST_BUCKETS_MAX)
        return err_set(ERR_INVALID, "histogram: more than %d custom bounds", NHIST_BUCKETS_MAX);
    for (uint32_t i = 0; i < h->ncustom; i++)
        if (!(h->custom[i] < INFINITY) || (i && h->custom[i] <= h->custom[i - 1]))
            return err_set(ERR_INVALID, "histogram: custom bound %u is not ascending and below +Inf", i);
    int64_t first = custom ? 0 : -INDEX_MAX, last = custom ? (int64_t)h->ncustom + 1 : INDEX_MAX;
    TRY(check_side(h->pos_spans, h->npos_spans, h->pos, h->npos, first, last));
    return check_side(h->neg_spans, h->nneg_spans, h->neg, h->nneg, first, last);
}
