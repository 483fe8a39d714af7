/* Sealing the metrics memtable: format in seg_metric.c. */
#include "storage/mem_metric_impl.h"

#include "base/core/assert.h"
#include "base/core/varint.h"
#include "storage/col_codec.h"
#include "storage/col_sample.h"
#include "storage/seg_metric.h"

#include <stdlib.h>

enum { NO_RANK = UINT32_MAX, ZSTD_LEVEL = 1, HIST_BLOCK_BYTES = 256 << 10, CHECK_EVERY = 1024 };

struct stream { /* blocks gather here until they fill a chunk */
    struct buf b;
    uint32_t chunk;
    bool begun;
};
struct where {
    uint32_t chunk, off, size;
};
struct times_seen {
    hash128 hash;
    struct where at;
};

struct seal {
    struct mem_metric *m;
    struct mem_tenant *t;
    struct seg_writer *w;
    struct arena one; /* of the series at hand */
    struct arena mem; /* of the tenant at hand */
    struct stream data, times;
    struct buf page, blocks, packed, pages, hists, meta;
    struct seg_chunk *chunk;
    uint32_t nchunks, npages, page_series;
    size_t cap_chunks;
    struct htab seen;
    struct times_seen *times_seen;
    uint32_t nseen;
    size_t cap_seen;
    uint32_t *order, *rank; /* order[rank] = series of the memtable */
    uint32_t nseries;
    int64_t tmin, tmax;
    uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];
};

static void put_str(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}

/* -- order ---------------------------------------------------------------------------------------------- */

static struct str next_str(const uint8_t **p)
{
    uint64_t n = 0;
    *p = varint_get(*p, *p + VARINT_MAX, &n);
    struct str s = str_n(*p, (size_t)n);
    *p += n;
    return s;
}

/* Canonical bytes of ours, label by label: like lies by like, and readers get series sorted. */
static int compare_labels(struct str a, struct str b)
{
    const uint8_t *p = (const uint8_t *)a.p, *q = (const uint8_t *)b.p;
    uint64_t na = 0, nb = 0;
    p = varint_get(p, p + a.n, &na);
    q = varint_get(q, q + b.n, &nb);
    for (uint64_t i = 0; i < na && i < nb; i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct str x = next_str(&p), y = next_str(&q);
            int c = str_cmp(x, y);
            if (c) return c;
        }
    }
    return na < nb ? -1 : na > nb;
}

typedef int compare_fn(const struct seal *s, uint32_t a, uint32_t b);

static int by_labels(const struct seal *s, uint32_t a, uint32_t b)
{
    return compare_labels(mem_series_labels(mem_series_at(s->t, a)), mem_series_labels(mem_series_at(s->t, b)));
}
static int by_name(const struct seal *s, uint32_t a, uint32_t b)
{
    return str_cmp(s->t->index.name[a].name, s->t->index.name[b].name);
}
static int by_value(const struct seal *s, uint32_t a, uint32_t b)
{
    const struct mem_value *x = &s->t->index.value[a], *y = &s->t->index.value[b];
    return str_cmp(str_n(x->p, x->n), str_n(y->p, y->n));
}
static int by_number(const struct seal *s, uint32_t a, uint32_t b)
{
    (void)s;
    return a < b ? -1 : a > b;
}

/* Merge sort that lets others run: qsort over a million series would hold the core for seconds. */
static err_t sort(struct seal *s, uint32_t *v, uint32_t n, compare_fn *cmp)
{
    uint32_t *from = v, *to = malloc(sizeof *v * (n ? n : 1)), *spare = to;
    ASSERT(to);
    err_t e = OK;
    uint32_t since = 0;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = MIN(lo + width, n), hi = MIN(lo + 2 * width, n), x = lo, y = mid;
            for (size_t k = lo; k < hi; k++) {
                if (++since % CHECK_EVERY == 0) TRY_OUT(e, metric_checkpoint());
                to[k] = x < mid && (y >= hi || cmp(s, from[x], from[y]) <= 0) ? from[x++] : from[y++];
            }
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != v) memcpy(v, from, n * sizeof *v);
out:
    free(spare);
    return e;
}

/* -- chunks --------------------------------------------------------------------------------------------- */

static err_t write_chunk(struct seal *s, struct str raw, struct seg_chunk *out)
{
    buf_clear(&s->packed);
    if (col_zstd_pack(raw, ZSTD_LEVEL, &s->packed))
        return seg_writer_chunk(s->w, buf_view(&s->packed), (uint32_t)raw.n, out);
    return seg_writer_chunk(s->w, raw, (uint32_t)raw.n, out);
}

static void stream_begin(struct seal *s, struct stream *x)
{
    if (x->begun) return;
    s->chunk = arena_grow(&s->mem, s->chunk, s->nchunks, &s->cap_chunks, s->nchunks + 1, sizeof *s->chunk);
    x->chunk = s->nchunks++;
    x->begun = true;
}

static err_t stream_flush(struct seal *s, struct stream *x)
{
    if (!x->begun) return OK;
    x->begun = false;
    TRY(write_chunk(s, buf_view(&x->b), &s->chunk[x->chunk]));
    buf_clear(&x->b);
    return OK;
}

static err_t stream_put(struct seal *s, struct stream *x, struct str bytes, struct where *at)
{
    stream_begin(s, x);
    *at = (struct where){ x->chunk, (uint32_t)x->b.n, (uint32_t)bytes.n };
    buf_str(&x->b, bytes);
    return x->b.n >= SEG_METRIC_CHUNK ? stream_flush(s, x) : OK;
}

/* Series of one scrape or export have equal times: stored once. */
static err_t put_times(struct seal *s, const int64_t *t, uint32_t n, struct where *at)
{
    struct str bytes = str_n(s->coded, sample_i64_encode(t, n, s->coded));
    hash128 h = hash128_of(bytes);
    for (uint32_t it = 0, v; htab_next(&s->seen, h.lo, &it, &v);) {
        if (!hash128_eq(s->times_seen[v].hash, h)) continue;
        *at = s->times_seen[v].at;
        return OK;
    }
    TRY(stream_put(s, &s->times, bytes, at));
    s->times_seen =
        arena_grow(&s->mem, s->times_seen, s->nseen, &s->cap_seen, s->nseen + 1, sizeof *s->times_seen);
    s->times_seen[s->nseen] = (struct times_seen){ h, *at };
    htab_insert(&s->seen, h.lo, s->nseen++);
    return OK;
}

/* -- series --------------------------------------------------------------------------------------------- */

struct block {
    bool hist;
    uint32_t n;
    const int64_t *t, *st; /* st: NULL when none has one */
    struct str payload;
};

static err_t put_block(struct seal *s, int64_t series_tmin, const struct block *b)
{
    struct where times, data;
    TRY(put_times(s, b->t, b->n, &times));
    stream_begin(s, &s->data);
    data = (struct where){ s->data.chunk, (uint32_t)s->data.b.n, (uint32_t)b->payload.n };
    buf_str(&s->data.b, b->payload);
    size_t starts = b->st ? sample_i64_encode(b->st, b->n, s->coded) : 0;
    buf_put(&s->data.b, s->coded, starts);
    if (s->data.b.n >= SEG_METRIC_CHUNK) TRY(stream_flush(s, &s->data));
    const uint64_t fields[] = { (uint64_t)b->n * 2 + b->hist, (uint64_t)b->t[0] - (uint64_t)series_tmin,
                                (uint64_t)b->t[b->n - 1] - (uint64_t)b->t[0], data.chunk, data.off, data.size,
                                starts, times.chunk, times.off, times.size };
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        buf_varint(&s->blocks, fields[i]);
    return OK;
}

static bool any_start(const int64_t *st, uint32_t n)
{
    for (uint32_t i = 0; st && i < n; i++)
        if (st[i] != ST_NONE) return true;
    return false;
}

static err_t put_floats(struct seal *s, const struct sample_set *f, int64_t series_tmin)
{
    uint8_t *coded = arena_alloc(&s->one, sizeof s->coded);
    for (uint32_t i = 0; i < f->n; i += COL_SAMPLE_MAX) {
        uint32_t n = MIN(f->n - i, (uint32_t)COL_SAMPLE_MAX);
        struct block b = { .n = n, .t = f->t + i };
        if (f->st && any_start(f->st + i, n)) b.st = f->st + i;
        b.payload = str_n(coded, sample_f64_encode(f->v + i, n, coded));
        TRY(put_block(s, series_tmin, &b));
    }
    return OK;
}

static err_t put_hists(struct seal *s, const struct sample_set *h, int64_t series_tmin)
{
    for (uint32_t i = 0; i < h->n;) {
        uint32_t n = 0;
        buf_clear(&s->hists);
        while (i + n < h->n && n < COL_SAMPLE_MAX && s->hists.n < HIST_BLOCK_BYTES)
            nhist_encode(h->hist[i + n++], &s->hists);
        struct block b = { .hist = true, .n = n, .t = h->t + i, .payload = buf_view(&s->hists) };
        if (h->st && any_start(h->st + i, n)) b.st = h->st + i;
        TRY(put_block(s, series_tmin, &b));
        i += n;
    }
    return OK;
}

static err_t flush_page(struct seal *s)
{
    if (s->page_series == 0) return OK;
    struct seg_chunk at;
    TRY(write_chunk(s, buf_view(&s->page), &at));
    buf_put(&s->pages, &at, sizeof at);
    buf_varint(&s->pages, s->page_series);
    s->npages++;
    s->page_series = 0;
    buf_clear(&s->page);
    return OK;
}

static err_t put_series(struct seal *s, const struct mem_series *x)
{
    struct sample_set all, f, h;
    arena_reset(&s->one);
    TRY(mem_series_read(x, INT64_MIN, INT64_MAX, &s->one, &all));
    f = all;
    h = (struct sample_set){ 0 };
    if (all.hist) {
        sample_set_init(&f, &s->one, all.n, false, all.st);
        sample_set_init(&h, &s->one, all.n, true, all.st);
        for (uint32_t i = 0; i < all.n; i++)
            sample_set_put(all.hist[i] ? &h : &f, all.t[i], all.v[i], all.hist[i], all.st ? all.st[i] : ST_NONE);
    }
    ASSERT(all.n > 0);
    int64_t tmin = all.t[0], tmax = all.t[all.n - 1];
    buf_clear(&s->blocks);
    TRY(put_floats(s, &f, tmin));
    TRY(put_hists(s, &h, tmin));
    put_str(&s->page, mem_series_labels(x));
    buf_varint(&s->page, zigzag(tmin));
    buf_varint(&s->page, (uint64_t)tmax - (uint64_t)tmin);
    put_str(&s->page, buf_view(&s->blocks));
    s->page_series++;
    s->tmin = MIN(s->tmin, tmin);
    s->tmax = MAX(s->tmax, tmax);
    return s->page.n >= SEG_METRIC_PAGE ? flush_page(s) : OK;
}

static err_t put_all_series(struct seal *s)
{
    struct mem_tenant *t = s->t;
    s->order = ARENA_RAW(&s->mem, uint32_t, t->nseries);
    s->rank = ARENA_RAW(&s->mem, uint32_t, t->nseries);
    for (uint32_t i = 0; i < t->nseries; i++) {
        s->rank[i] = NO_RANK; /* named in a batch, but without samples */
        if (mem_series_at(t, i)->tmin <= mem_series_at(t, i)->tmax) s->order[s->nseries++] = i;
    }
    TRY(sort(s, s->order, s->nseries, by_labels));
    for (uint32_t i = 0; i < s->nseries; i++) {
        s->rank[s->order[i]] = i;
        TRY(put_series(s, mem_series_at(t, s->order[i])));
        TRY(metric_checkpoint());
    }
    TRY(flush_page(s));
    TRY(stream_flush(s, &s->data));
    return stream_flush(s, &s->times);
}

/* -- label values ---------------------------------------------------------------------------------------- */

/* One value with its series: nothing when none of them has samples. */
static err_t put_value(struct seal *s, const struct mem_value *v, uint32_t *ranks, bool *put)
{
    uint32_t n = 0, last = 0;
    const uint32_t *series = v->cap ? v->series : v->few;
    for (uint32_t i = 0; i < v->count; i++)
        if (s->rank[series[i]] != NO_RANK) ranks[n++] = s->rank[series[i]];
    *put = n > 0;
    if (n == 0) return OK;
    TRY(sort(s, ranks, n, by_number));
    buf_clear(&s->blocks);
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(&s->blocks, ranks[i] - last);
        last = ranks[i];
    }
    put_str(&s->page, str_n(v->p, v->n));
    put_str(&s->page, buf_view(&s->blocks));
    return OK;
}

static err_t flush_part(struct seal *s, struct str first, uint32_t nvalues)
{
    struct seg_chunk at;
    TRY(write_chunk(s, buf_view(&s->page), &at));
    buf_put(&s->meta, &at, sizeof at);
    buf_varint(&s->meta, nvalues);
    put_str(&s->meta, str_sub(first, 0, SEG_METRIC_FIRST_MAX));
    buf_clear(&s->page);
    return OK;
}

/* name | for each part: 1, chunk, values, first value | 0 */
static err_t put_name(struct seal *s, uint32_t name, uint32_t *ranks)
{
    const struct mem_index *x = &s->t->index;
    uint32_t n = 0, in_part = 0, *values;
    for (uint32_t v = x->name[name].first; v; v = x->value[v - 1].next)
        n++;
    values = ARENA_RAW(&s->one, uint32_t, n);
    n = 0;
    for (uint32_t v = x->name[name].first; v; v = x->value[v - 1].next)
        values[n++] = v - 1;
    TRY(sort(s, values, n, by_value));
    put_str(&s->meta, x->name[name].name);
    struct str first = STR_NONE;
    buf_clear(&s->page);
    for (uint32_t i = 0; i < n; i++) {
        const struct mem_value *v = &x->value[values[i]];
        bool put;
        TRY(put_value(s, v, ranks, &put));
        if (put && in_part++ == 0) first = str_n(v->p, v->n);
        TRY(metric_checkpoint());
        if (in_part && (i + 1 == n || s->page.n >= SEG_METRIC_PART)) {
            buf_byte(&s->meta, 1);
            TRY(flush_part(s, first, in_part));
            in_part = 0;
        }
    }
    buf_byte(&s->meta, 0);
    return OK;
}

static err_t put_names(struct seal *s)
{
    const struct mem_index *x = &s->t->index;
    while (mem_index_some(s->m, s->t))
        TRY(metric_checkpoint());
    arena_reset(&s->one);
    uint32_t *names = ARENA_RAW(&s->one, uint32_t, x->nnames);
    uint32_t *ranks = ARENA_RAW(&s->one, uint32_t, s->nseries);
    for (uint32_t i = 0; i < x->nnames; i++)
        names[i] = i;
    TRY(sort(s, names, x->nnames, by_name));
    buf_varint(&s->meta, x->nnames);
    for (uint32_t i = 0; i < x->nnames; i++)
        TRY(put_name(s, names[i], ranks));
    return OK;
}

static err_t put_metadata(struct seal *s)
{
    buf_byte(&s->meta, s->t->nmeta > 0);
    if (s->t->nmeta == 0) return OK;
    buf_clear(&s->page);
    buf_varint(&s->page, s->t->nmeta);
    for (uint32_t i = 0; i < s->t->nmeta; i++) {
        const struct metric_meta *m = &s->t->meta[i];
        put_str(&s->page, m->family);
        put_str(&s->page, m->type);
        put_str(&s->page, m->unit);
        put_str(&s->page, m->help);
    }
    struct seg_chunk at;
    TRY(write_chunk(s, buf_view(&s->page), &at));
    buf_put(&s->meta, &at, sizeof at);
    return OK;
}

/* -- groups ---------------------------------------------------------------------------------------------- */

static int64_t to_ns(int64_t ms)
{
    int64_t ns;
    return __builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns) ? (ms < 0 ? INT64_MIN : INT64_MAX) : ns;
}

static void seal_begin(struct seal *s, struct mem_tenant *t)
{
    s->t = t;
    s->tmin = INT64_MAX;
    s->tmax = INT64_MIN;
    s->chunk = NULL;
    s->nchunks = s->npages = s->page_series = s->nseen = s->nseries = 0;
    s->cap_chunks = s->cap_seen = 0;
    s->times_seen = NULL;
    arena_reset(&s->mem);
    htab_clear(&s->seen);
    struct buf *all[] = { &s->data.b, &s->times.b, &s->page, &s->blocks, &s->pages, &s->meta };
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        buf_clear(all[i]);
}

static err_t seal_tenant(struct seal *s, struct mem_tenant *t)
{
    seal_begin(s, t);
    TRY(put_all_series(s));
    if (s->nseries == 0 && t->nmeta == 0) return OK;
    buf_byte(&s->meta, SEG_METRIC_VERSION);
    buf_varint(&s->meta, s->nchunks);
    buf_put(&s->meta, s->chunk, s->nchunks * sizeof *s->chunk);
    buf_varint(&s->meta, s->npages);
    buf_str(&s->meta, buf_view(&s->pages));
    TRY(put_names(s));
    TRY(put_metadata(s));
    TRY(buf_check(&s->meta));
    bool none = s->nseries == 0;
    struct seg_group g = { .tenant = t->tenant, .index = STR(""), .signal = SIG_METRICS, .nrows = s->nseries,
                           .tmin_ns = none ? INT64_MAX : to_ns(s->tmin),
                           .tmax_ns = none ? INT64_MIN : to_ns(s->tmax), .meta = buf_view(&s->meta) };
    return seg_writer_group(s->w, &g);
}

static int by_tenant(const void *a, const void *b)
{
    return str_cmp((*(struct mem_tenant *const *)a)->tenant, (*(struct mem_tenant *const *)b)->tenant);
}

err_t mem_metric_seal(struct mem_metric *m, struct seg_writer *w)
{
    struct seal *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->m = m;
    s->w = w;
    /* Uncounted: the memtable that is being freed may have filled the budget, and this holds little. */
    arena_init(&s->one, NULL);
    arena_init(&s->mem, NULL);
    htab_init(&s->seen, NULL);
    struct buf *bufs[] = { &s->data.b, &s->times.b, &s->page, &s->blocks, &s->packed, &s->pages, &s->hists };
    for (unsigned i = 0; i < ARRAY_LEN(bufs); i++)
        buf_init(bufs[i], SIZE_MAX, NULL);
    buf_init(&s->meta, SEG_META_MAX, NULL);
    uint32_t n = m->ntenants;
    struct mem_tenant **sorted = malloc(sizeof(*sorted) * (n ? n : 1));
    ASSERT(sorted);
    memcpy(sorted, m->tenant, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_tenant);
    err_t e = OK;
    for (uint32_t i = 0; i < n; i++)
        TRY_OUT(e, seal_tenant(s, sorted[i]));
out:
    for (unsigned i = 0; i < ARRAY_LEN(bufs); i++)
        buf_deinit(bufs[i]);
    buf_deinit(&s->meta);
    htab_deinit(&s->seen);
    arena_deinit(&s->one);
    arena_deinit(&s->mem);
    free(sorted);
    free(s);
    return e;
}
