/* See seg_metric_write.h. */
#include "storage/seg_metric_write.h"

#include "base/core/assert.h"
#include "base/core/htab.h"
#include "base/core/varint.h"
#include "storage/col_codec.h"
#include "storage/col_sample.h"
#include "storage/seg_coarse.h"
#include "storage/seg_metric.h"

#include <stdlib.h>

enum { ZSTD_LEVEL = 1, HIST_BLOCK_BYTES = 256 << 10, CHECK_EVERY = 1024 };

struct block_stream { /* bytes of blocks gather here until they fill a chunk */
    struct buf b;
    uint64_t written; /* raw bytes in chunks */
    struct seg_chunk *chunk;
    uint32_t n;
    size_t cap;
};
struct times_seen {
    hash128 hash;
    uint64_t at;
};

/* Label values with their series. The series of a value, ascending, are stored as they will be written: each the varint
 * difference to the one before. */
struct post_value {
    const char *p;
    uint32_t n, name, next; /* next value of the name, + 1 */
    uint32_t last, used;
    size_t cap;             /* 0: the bytes stand in `few` */
    union {
        uint8_t few[8];
        uint8_t *bytes;
    };
};
struct post_name {
    struct str name;
    uint32_t first, nvalues; /* first: value, + 1 */
};
struct posts {
    struct htab names, values;
    struct post_name *name;
    struct post_value *value;
    uint32_t nnames, nvalues;
    size_t cap_names, cap_values;
};

struct seg_metric_writer {
    struct seg_writer *w;
    struct arena one; /* of the series or the name at hand */
    struct arena mem; /* of the tenant at hand */
    struct block_stream data, times;
    struct buf page, blocks, packed, pages, hists, meta;
    uint32_t npages, page_series, nseries;
    uint64_t page_data;       /* where the data of the page's first series begins */
    struct seg_blocks at;     /* of the series at hand */
    struct seg_block pending; /* its newest block, not listed yet: is it the last? */
    bool has_pending;
    int64_t resolution_ms;    /* of the coarsest summaries */
    struct htab seen;
    struct times_seen *times_seen;
    uint32_t nseen;
    size_t cap_seen;
    struct posts posts;
    int64_t tmin, tmax;
    uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];
};

static void put_str(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}

/* -- order ---------------------------------------------------------------------------------------------- */

/* False at the end, or where the bytes are no labels. */
static bool next_str(struct str *c, struct str *out)
{
    uint64_t n = 0;
    const uint8_t *end = (const uint8_t *)c->p + c->n, *p = varint_get((const uint8_t *)c->p, end, &n);
    if (!p || n > (size_t)(end - p)) return false;
    *out = str_n(p, (size_t)n);
    *c = str_n(p + n, (size_t)(end - p) - (size_t)n);
    return true;
}

static bool labels_count(struct str *c, uint64_t *n)
{
    const uint8_t *end = (const uint8_t *)c->p + c->n, *p = varint_get((const uint8_t *)c->p, end, n);
    if (!p) return false;
    *c = str_n(p, (size_t)(end - p));
    return true;
}

int seg_metric_order(struct str a, struct str b)
{
    struct str p = a, q = b, x, y;
    uint64_t na, nb;
    if (labels_count(&p, &na) && labels_count(&q, &nb)) {
        while (next_str(&p, &x) && next_str(&q, &y)) {
            int c = str_cmp(x, y);
            if (c) return c;
        }
        if (na != nb) return na < nb ? -1 : 1;
    }
    return str_cmp(a, b);
}

err_t metric_sort(uint32_t *v, uint32_t n, metric_compare_fn *cmp, const void *ctx)
{
    uint32_t *from = v, *to = malloc(sizeof *v * (n ? n : 1)), *spare = to;
    ASSERT(to);
    err_t e = OK;
    uint32_t since = 0;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = MIN(lo + width, n), hi = MIN(lo + 2 * width, n), x = lo, y = mid;
            for (size_t k = lo; k < hi; k++) {
                if (++since % CHECK_EVERY == 0) TRY_OUT(e, rt_in_fiber() ? rt_checkpoint() : OK);
                to[k] = x < mid && (y >= hi || cmp(ctx, from[x], from[y]) <= 0) ? from[x++] : from[y++];
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

static err_t write_chunk(struct seg_metric_writer *s, struct str raw, struct seg_chunk *out)
{
    buf_clear(&s->packed);
    if (col_zstd_pack(raw, ZSTD_LEVEL, &s->packed))
        return seg_writer_chunk(s->w, buf_view(&s->packed), (uint32_t)raw.n, out);
    return seg_writer_chunk(s->w, raw, (uint32_t)raw.n, out);
}

static uint64_t stream_at(const struct block_stream *x) { return x->written + x->b.n; }

static err_t stream_flush(struct seg_metric_writer *s, struct block_stream *x)
{
    if (x->b.n == 0) return OK;
    x->chunk = arena_grow(&s->mem, x->chunk, x->n, &x->cap, x->n + 1, sizeof *x->chunk);
    TRY(arena_check(&s->mem));
    TRY(write_chunk(s, buf_view(&x->b), &x->chunk[x->n]));
    x->n++;
    x->written += x->b.n;
    buf_clear(&x->b);
    return OK;
}

/* When a block is whole: none lies in two chunks. */
static err_t stream_put(struct seg_metric_writer *s, struct block_stream *x, struct str bytes)
{
    buf_str(&x->b, bytes);
    return x->b.n >= SEG_METRIC_CHUNK ? stream_flush(s, x) : OK;
}

/* Series of one scrape or export have equal times: stored once. */
static err_t put_times(struct seg_metric_writer *s, struct seg_block *b, const int64_t *t)
{
    struct str bytes = str_n(s->coded, sample_i64_encode(t, b->n, s->coded));
    hash128 h = hash128_of(bytes);
    b->times_size = bytes.n;
    for (uint32_t it = 0, v; htab_next(&s->seen, h.lo, &it, &v);) {
        if (!hash128_eq(s->times_seen[v].hash, h)) continue;
        b->times = s->times_seen[v].at;
        return OK;
    }
    b->times = stream_at(&s->times);
    s->times_seen =
        arena_grow(&s->mem, s->times_seen, s->nseen, &s->cap_seen, s->nseen + 1, sizeof *s->times_seen);
    TRY(arena_check(&s->mem));
    s->times_seen[s->nseen] = (struct times_seen){ h, b->times };
    htab_insert(&s->seen, h.lo, s->nseen++);
    return stream_put(s, &s->times, bytes);
}

/* -- series --------------------------------------------------------------------------------------------- */

static void list_pending(struct seg_metric_writer *s, bool last)
{
    if (s->has_pending) seg_block_put(&s->at, &s->pending, last, &s->blocks);
    s->has_pending = false;
}

/* b->n samples or summaries at t; st: NULL when none has a start timestamp. */
static err_t put_block(struct seg_metric_writer *s, struct seg_block *b, const int64_t *t, const int64_t *st, struct str payload)
{
    uint32_t n = b->n;
    if (!b->is.resolution_ms) {
        b->is.n = n;
        b->is.tmin_ms = t[0];
        b->is.tmax_ms = t[n - 1];
    }
    TRY(put_times(s, b, t));
    b->data = stream_at(&s->data);
    b->data_size = payload.n;
    b->starts_size = st ? sample_i64_encode(st, n, s->coded) : 0;
    buf_str(&s->data.b, payload);
    TRY(stream_put(s, &s->data, str_n(s->coded, b->starts_size)));
    list_pending(s, false);
    s->pending = *b;
    s->has_pending = true;
    return OK;
}

static bool any_start(const int64_t *st, uint32_t n)
{
    for (uint32_t i = 0; st && i < n; i++)
        if (st[i] != ST_NONE) return true;
    return false;
}

static err_t put_floats(struct seg_metric_writer *s, const struct sample_set *f)
{
    uint8_t *coded = arena_alloc(&s->one, sizeof s->coded);
    for (uint32_t i = 0; i < f->n; i += COL_SAMPLE_MAX) {
        struct seg_block b = { .n = MIN(f->n - i, (uint32_t)COL_SAMPLE_MAX) };
        struct str payload = str_n(coded, sample_f64_encode(f->v + i, b.n, coded));
        b.is.n = b.n;
        seg_block_summary(f->v + i, b.n, coded, &b);
        TRY(put_block(s, &b, f->t + i, any_start(f->st ? f->st + i : NULL, b.n) ? f->st + i : NULL, payload));
    }
    return OK;
}

/* Windows of one width in a block. */
static err_t put_coarse(struct seg_metric_writer *s, const struct sample_set *c)
{
    for (uint32_t i = 0, k; i < c->n; i = k) {
        for (k = i + 1; k < c->n && k - i < COL_SAMPLE_MAX && c->win[k]->resolution_ms == c->win[i]->resolution_ms;)
            k++;
        struct seg_block b = { .n = k - i, .exponent = -1 };
        seg_coarse_summary(c->win + i, b.n, &b.is);
        s->resolution_ms = MAX(s->resolution_ms, b.is.resolution_ms);
        buf_clear(&s->hists);
        seg_coarse_encode(c->win + i, b.n, &s->hists);
        TRY(put_block(s, &b, c->t + i, any_start(c->st ? c->st + i : NULL, b.n) ? c->st + i : NULL, buf_view(&s->hists)));
    }
    return OK;
}

static err_t put_hists(struct seg_metric_writer *s, const struct sample_set *h)
{
    for (uint32_t i = 0; i < h->n;) {
        struct seg_block b = { .hist = true };
        buf_clear(&s->hists);
        while (i + b.n < h->n && b.n < COL_SAMPLE_MAX && s->hists.n < HIST_BLOCK_BYTES)
            nhist_encode(h->hist[i + b.n++], &s->hists);
        const int64_t *st = any_start(h->st ? h->st + i : NULL, b.n) ? h->st + i : NULL;
        TRY(put_block(s, &b, h->t + i, st, buf_view(&s->hists)));
        i += b.n;
    }
    return OK;
}

static err_t flush_page(struct seg_metric_writer *s)
{
    if (s->page_series == 0) return OK;
    struct seg_chunk at;
    TRY(write_chunk(s, buf_view(&s->page), &at));
    buf_put(&s->pages, &at, sizeof at);
    buf_varint(&s->pages, s->page_series);
    buf_varint(&s->pages, s->page_data);
    s->npages++;
    s->page_series = 0;
    buf_clear(&s->page);
    return OK;
}

/* -- label values: gathering ------------------------------------------------------------------------------ */

static uint32_t name_of(struct seg_metric_writer *s, struct str name)
{
    struct posts *x = &s->posts;
    uint64_t hash = hash_seeded64(name);
    for (uint32_t it = 0, v; htab_next(&x->names, hash, &it, &v);)
        if (str_eq(x->name[v].name, name)) return v;
    x->name = arena_grow(&s->mem, x->name, x->nnames, &x->cap_names, x->nnames + 1, sizeof *x->name);
    x->name[x->nnames] = (struct post_name){ .name = arena_str(&s->mem, name) };
    htab_insert(&x->names, hash, x->nnames);
    return x->nnames++;
}

static struct post_value *value_of(struct seg_metric_writer *s, uint32_t name, struct str value)
{
    struct posts *x = &s->posts;
    uint64_t hash = hash_seeded64(value) ^ hash_u64(name + 1);
    for (uint32_t it = 0, v; htab_next(&x->values, hash, &it, &v);) {
        struct post_value *e = &x->value[v];
        if (e->name == name && str_eq(str_n(e->p, e->n), value)) return e;
    }
    x->value = arena_grow(&s->mem, x->value, x->nvalues, &x->cap_values, x->nvalues + 1, sizeof *x->value);
    struct post_value *v = &x->value[x->nvalues];
    struct str copy = arena_str(&s->mem, value);
    *v = (struct post_value){ .p = copy.p, .n = (uint32_t)copy.n, .name = name, .next = x->name[name].first };
    htab_insert(&x->values, hash, x->nvalues);
    x->name[name].first = ++x->nvalues;
    x->name[name].nvalues++;
    return v;
}

static void value_add(struct seg_metric_writer *s, struct post_value *v, uint32_t series)
{
    uint8_t coded[VARINT_MAX];
    uint32_t n = (uint32_t)varint_put(coded, series - v->last);
    v->last = series;
    if (v->cap == 0 && v->used + n <= sizeof v->few) {
        memcpy(v->few + v->used, coded, n);
    } else {
        size_t cap = v->cap;
        uint8_t few[sizeof v->few];
        memcpy(few, v->few, sizeof few);
        uint8_t *bytes = arena_grow(&s->mem, cap ? v->bytes : NULL, cap ? v->used : 0, &cap, (size_t)v->used + n, 1);
        if (v->cap == 0) memcpy(bytes, few, v->used);
        v->bytes = bytes;
        v->cap = cap;
        memcpy(bytes + v->used, coded, n);
    }
    v->used += n;
}

static err_t gather_labels(struct seg_metric_writer *s, struct str canonical, uint32_t series)
{
    struct str c = canonical, name, value;
    uint64_t n;
    bool ok = labels_count(&c, &n);
    for (uint64_t i = 0; ok && i < n; i++) {
        ok = next_str(&c, &name) && next_str(&c, &value);
        if (ok) value_add(s, value_of(s, name_of(s, name), value), series);
    }
    if (!ok || c.n) return err_set(ERR_CORRUPT, "the labels of a series are malformed");
    return arena_check(&s->mem);
}

/* -- series: whole ------------------------------------------------------------------------------------------ */

enum { RAW, HISTS, COARSE, SETS };

static err_t split_kinds(struct seg_metric_writer *s, const struct sample_set *all, struct sample_set *set)
{
    for (unsigned k = 0; k < SETS; k++)
        sample_set_init_like(&set[k], &s->one, all->n, all, all);
    for (uint32_t i = 0; i < all->n; i++) {
        TRY(arena_check(&s->one)); /* a refusal may be over at the next look: nothing is left out for it */
        sample_set_put_from(&set[all->hist && all->hist[i] ? HISTS : all->win && all->win[i] ? COARSE : RAW], all, i);
    }
    return OK;
}

static int64_t first_time(const struct sample_set *s)
{
    int64_t t = s->t[0];
    for (uint32_t i = 0; s->win && i < s->n; i++)
        if (s->win[i]) t = MIN(t, s->win[i]->tmin_ms);
    return t;
}

err_t seg_metric_writer_series(struct seg_metric_writer *s, struct str canonical, const struct sample_set *all)
{
    struct sample_set set[SETS] = { *all };
    ASSERT(all->n > 0);
    arena_reset(&s->one);
    if (all->hist || all->win) TRY(split_kinds(s, all, set));
    int64_t tmin = first_time(all), tmax = all->t[all->n - 1];
    uint64_t data = stream_at(&s->data);
    if (s->page_series == 0) s->page_data = data;
    buf_clear(&s->blocks);
    s->at = (struct seg_blocks){ .tmax = tmin };
    TRY(arena_check(&s->one));
    TRY(put_floats(s, &set[RAW]));
    TRY(put_hists(s, &set[HISTS]));
    TRY(put_coarse(s, &set[COARSE]));
    list_pending(s, true);
    put_str(&s->page, canonical);
    buf_varint(&s->page, zigzag(tmin));
    buf_varint(&s->page, (uint64_t)tmax - (uint64_t)tmin);
    buf_varint(&s->page, stream_at(&s->data) - data);
    put_str(&s->page, buf_view(&s->blocks));
    s->page_series++;
    s->tmin = MIN(s->tmin, tmin);
    s->tmax = MAX(s->tmax, tmax);
    TRY(gather_labels(s, canonical, s->nseries++));
    return s->page.n >= SEG_METRIC_PAGE ? flush_page(s) : OK;
}

/* -- label values: writing ------------------------------------------------------------------------------------ */

static int by_name(const void *ctx, uint32_t a, uint32_t b)
{
    const struct posts *x = ctx;
    return str_cmp(x->name[a].name, x->name[b].name);
}
static int by_value(const void *ctx, uint32_t a, uint32_t b)
{
    const struct posts *p = ctx;
    const struct post_value *x = &p->value[a], *y = &p->value[b];
    return str_cmp(str_n(x->p, x->n), str_n(y->p, y->n));
}

static err_t flush_part(struct seg_metric_writer *s, struct str first, uint32_t nvalues)
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
static err_t put_name(struct seg_metric_writer *s, const struct post_name *name)
{
    const struct posts *x = &s->posts;
    uint32_t n = 0, in_part = 0;
    arena_reset(&s->one);
    uint32_t *values = ARENA_RAW(&s->one, uint32_t, name->nvalues);
    for (uint32_t v = name->first; v; v = x->value[v - 1].next)
        values[n++] = v - 1;
    TRY(metric_sort(values, n, by_value, x));
    put_str(&s->meta, name->name);
    struct str first = STR_NONE;
    buf_clear(&s->page);
    for (uint32_t i = 0; i < n; i++) {
        const struct post_value *v = &x->value[values[i]];
        put_str(&s->page, str_n(v->p, v->n));
        put_str(&s->page, str_n(v->cap ? v->bytes : v->few, v->used));
        if (in_part++ == 0) first = str_n(v->p, v->n);
        if (i % CHECK_EVERY == CHECK_EVERY - 1) TRY(metric_checkpoint());
        if (i + 1 == n || s->page.n >= SEG_METRIC_PART) {
            buf_byte(&s->meta, 1);
            TRY(flush_part(s, first, in_part));
            in_part = 0;
        }
    }
    buf_byte(&s->meta, 0);
    return OK;
}

static err_t put_names(struct seg_metric_writer *s)
{
    const struct posts *x = &s->posts;
    uint32_t *names = ARENA_RAW(&s->mem, uint32_t, x->nnames);
    for (uint32_t i = 0; i < x->nnames; i++)
        names[i] = i;
    TRY(metric_sort(names, x->nnames, by_name, x));
    buf_varint(&s->meta, x->nnames);
    for (uint32_t i = 0; i < x->nnames; i++)
        TRY(put_name(s, &x->name[names[i]]));
    return OK;
}

static err_t put_metadata(struct seg_metric_writer *s, const struct metric_meta *meta, uint32_t n)
{
    buf_byte(&s->meta, n > 0);
    if (n == 0) return OK;
    buf_clear(&s->page);
    buf_varint(&s->page, n);
    for (uint32_t i = 0; i < n; i++) {
        put_str(&s->page, meta[i].family);
        put_str(&s->page, meta[i].type);
        put_str(&s->page, meta[i].unit);
        put_str(&s->page, meta[i].help);
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

static err_t put_group(struct seg_metric_writer *s, struct str tenant, const struct metric_meta *meta, uint32_t nmeta)
{
    TRY(flush_page(s));
    TRY(stream_flush(s, &s->data));
    TRY(stream_flush(s, &s->times));
    buf_byte(&s->meta, SEG_METRIC_VERSION);
    buf_varint(&s->meta, (uint64_t)s->resolution_ms);
    const struct block_stream *streams[] = { &s->data, &s->times };
    for (unsigned i = 0; i < ARRAY_LEN(streams); i++) {
        buf_varint(&s->meta, streams[i]->n);
        buf_put(&s->meta, streams[i]->chunk, streams[i]->n * sizeof *streams[i]->chunk);
    }
    buf_varint(&s->meta, s->npages);
    buf_str(&s->meta, buf_view(&s->pages));
    TRY(put_names(s));
    TRY(put_metadata(s, meta, nmeta));
    TRY(buf_check(&s->meta));
    bool none = s->nseries == 0;
    struct seg_group g = { .tenant = tenant, .index = STR(""), .signal = SIG_METRICS, .nrows = s->nseries,
                           .tmin_ns = none ? INT64_MAX : to_ns(s->tmin),
                           .tmax_ns = none ? INT64_MIN : to_ns(s->tmax), .meta = buf_view(&s->meta) };
    return seg_writer_group(s->w, &g);
}

static void begin(struct seg_metric_writer *s)
{
    s->tmin = INT64_MAX;
    s->tmax = INT64_MIN;
    s->data = (struct block_stream){ .b = s->data.b };
    s->times = (struct block_stream){ .b = s->times.b };
    s->has_pending = false;
    s->resolution_ms = 0;
    s->npages = s->page_series = s->nseen = s->nseries = 0;
    s->cap_seen = 0;
    s->times_seen = NULL;
    htab_clear(&s->seen);
    htab_clear(&s->posts.names);
    htab_clear(&s->posts.values);
    s->posts = (struct posts){ .names = s->posts.names, .values = s->posts.values };
    arena_reset(&s->mem);
    struct buf *all[] = { &s->data.b, &s->times.b, &s->page, &s->blocks, &s->pages, &s->meta };
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        buf_clear(all[i]);
}

err_t seg_metric_writer_finish(struct seg_metric_writer *s, struct str tenant, const struct metric_meta *meta, uint32_t nmeta)
{
    err_t e = s->nseries > 0 || nmeta > 0 ? put_group(s, tenant, meta, nmeta) : OK;
    begin(s);
    return e;
}

struct seg_metric_writer *seg_metric_writer_new(struct seg_writer *w, struct budget *budget)
{
    struct seg_metric_writer *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->w = w;
    arena_init(&s->one, budget);
    arena_init(&s->mem, budget);
    htab_init(&s->seen, budget);
    htab_init(&s->posts.names, budget);
    htab_init(&s->posts.values, budget);
    struct buf *bufs[] = { &s->data.b, &s->times.b, &s->page, &s->blocks, &s->packed, &s->pages, &s->hists };
    for (unsigned i = 0; i < ARRAY_LEN(bufs); i++)
        buf_init(bufs[i], SIZE_MAX, NULL);
    buf_init(&s->meta, SEG_META_MAX, NULL);
    begin(s);
    return s;
}

void seg_metric_writer_free(struct seg_metric_writer *s)
{
    struct buf *bufs[] = { &s->data.b, &s->times.b, &s->page, &s->blocks, &s->packed, &s->pages, &s->hists, &s->meta };
    for (unsigned i = 0; i < ARRAY_LEN(bufs); i++)
        buf_deinit(bufs[i]);
    htab_deinit(&s->seen);
    htab_deinit(&s->posts.names);
    htab_deinit(&s->posts.values);
    arena_deinit(&s->one);
    arena_deinit(&s->mem);
    free(s);
}
