/* Bytes of metrics from outside: the first byte chooses the decoder. What decodes must encode to something
 * that decodes to the same again. */
#include "base/core/assert.h"
#include "storage/col_sample.h"
#include "storage/seg_metric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Directories and pages are decoded here without a file behind them. */
err_t seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    (void)s, (void)c, (void)a, (void)out;
    return err_set(ERR_CORRUPT, "no file");
}

static void batch(struct str in, struct arena *a)
{
    struct metric_batch m, again;
    if (metric_batch_decode(in, a, &m) != OK) return;
    bool whole = true;
    for (uint32_t i = 0; i < m.nseries; i++)
        whole &= m.canonical[i].p != NULL;
    struct buf b;
    buf_init(&b, 64 << 20, NULL);
    metric_batch_encode(&m, NULL, &b);
    if (buf_check(&b) == OK) {
        ASSERT(metric_batch_decode(buf_view(&b), a, &again) == OK);
        ASSERT(again.nseries == m.nseries && again.nsamples == m.nsamples && again.nhists == m.nhists);
        ASSERT(m.nsamples == 0 || memcmp(m.value, again.value, m.nsamples * 8) == 0);
        ASSERT(m.nsamples == 0 || memcmp(m.t_ms, again.t_ms, m.nsamples * 8) == 0);
        ASSERT(m.nsamples == 0 || memcmp(m.series, again.series, m.nsamples * 4) == 0);
        ASSERT(m.nseries == 0 || memcmp(m.id, again.id, m.nseries * 16) == 0);
        if (again.exemplars) table_put(again.exemplars);
    }
    if (m.exemplars) table_put(m.exemplars);
    struct labels ls;
    for (uint32_t i = 0; whole && i < m.nseries; i++)
        if (labels_decode(m.canonical[i], a, &ls) == OK) {
            struct str c = labels_encode(&ls, a);
            ASSERT(c.n <= m.canonical[i].n);
        }
    buf_deinit(&b);
}

static void hist(struct str in, struct arena *a)
{
    const struct nhist *h, *again;
    if (nhist_decode(&in, a, &h) != OK) return;
    struct buf b;
    buf_init(&b, 64 << 20, NULL);
    nhist_encode(h, &b);
    struct str s = buf_view(&b);
    ASSERT(nhist_decode(&s, a, &again) == OK && s.n == 0);
    ASSERT(h->npos == again->npos && h->nneg == again->nneg && h->ncustom == again->ncustom);
    buf_deinit(&b);
}

static int64_t t[COL_SAMPLE_MAX], t2[COL_SAMPLE_MAX];
static double v[COL_SAMPLE_MAX], v2[COL_SAMPLE_MAX];
static uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];

/* Any bits as values: they come back, from bytes within the bound. */
static void values(struct str in)
{
    uint32_t n = (uint32_t)MIN(in.n / 8, (size_t)COL_SAMPLE_MAX);
    if (n == 0) return;
    memcpy(v, in.p, n * 8);
    memcpy(t, in.p, n * 8);
    size_t size = sample_f64_encode(v, n, coded);
    ASSERT(size <= COL_SAMPLE_BOUND(n));
    ASSERT(sample_f64_decode(coded, coded + size, n, v2) == coded + size && memcmp(v, v2, n * 8) == 0);
    size = sample_i64_encode(t, n, coded);
    ASSERT(size <= COL_SAMPLE_BOUND(n));
    ASSERT(sample_i64_decode(coded, coded + size, n, t2) == coded + size && memcmp(t, t2, n * 8) == 0);
}

static void samples(struct str in)
{
    values(in);
    if (in.n < 2) return;
    uint32_t n = ((uint8_t)in.p[0] | (uint32_t)(uint8_t)in.p[1] << 8) % COL_SAMPLE_MAX + 1;
    const uint8_t *p = (const uint8_t *)in.p + 2, *end = (const uint8_t *)in.p + in.n;
    if (sample_i64_decode(p, end, n, t)) {
        size_t size = sample_i64_encode(t, n, coded);
        ASSERT(sample_i64_decode(coded, coded + size, n, t2) == coded + size && memcmp(t, t2, n * 8) == 0);
    }
    if (sample_f64_decode(p, end, n, v)) {
        size_t size = sample_f64_encode(v, n, coded);
        ASSERT(sample_f64_decode(coded, coded + size, n, v2) == coded + size && memcmp(v, v2, n * 8) == 0);
    }
}

/* A page and the lists of blocks in it. */
static err_t pages(struct str in, uint32_t n, struct arena *a)
{
    struct seg_entry *entries;
    struct seg_block *blocks;
    uint32_t count;
    TRY(seg_page_decode(in, n, 0, a, &entries));
    for (uint32_t i = 0; i < n; i++) {
        struct seg_series s = { .entry = &entries[i] };
        TRY(seg_series_blocks(&s, INT64_MIN, INT64_MAX, a, &blocks, &count));
        for (uint32_t k = 0; k < count; k++)
            ASSERT(blocks[k].is.n > 0 && blocks[k].is.tmin_ms <= blocks[k].is.tmax_ms);
    }
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct str in = str_n(data + 1, size - 1);
    struct budget budget;
    struct arena a;
    struct seg_metric s;
    budget_init(&budget, "fuzz", NULL, 256 << 20, ERR_LIMIT);
    arena_init(&a, &budget);
    err_t e = OK;
    switch (data[0] % 5) {
    case 0: batch(in, &a); break;
    case 1: hist(in, &a); break;
    case 2: samples(in); break;
    case 3:
        for (uint32_t n = 0; n < 6; n++)
            e = seg_metric_decode(in, n, &a, &s);
        break;
    case 4:
        for (uint32_t n = 0; n < 4; n++)
            e = pages(in, n, &a);
        break;
    }
    (void)e;
    arena_deinit(&a);
    return 0;
}
