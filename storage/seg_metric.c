/* The metrics of a tenant in a segment.
 *
 *   group meta = u8 version (4) | varint resolution of the coarsest summaries, or 0 | varint n, n x chunk            data of blocks: where it lies
 *              | varint n, n x chunk                             times of blocks
 *              | varint n, n x (chunk, varint series, varint data)     pages, in the order of the series; where the data of
 *                                                                the first series of each begins
 *              | varint n, n x name                              label names, ascending
 *              | u8 1, chunk  or  u8 0                           metadata of families
 *   chunk      = struct seg_chunk; zstd when its size < raw_size
 *   name       = str | parts of (u8 1, chunk, varint values, str first value cut to 64 bytes) | u8 0
 *   str        = varint length | bytes
 * Chunks, decompressed:
 *   page       = entries: str canonical labels | zigzag varint tmin | varint tmax - tmin | varint bytes of data
 *                | str blocks (seg_block.h: times, sizes and summaries of each)
 *   data       = of each block, series by series: sample_f64, n x nhist_encode, or summaries (seg_coarse.h); behind it the start timestamps
 *                (sample_i64), if any has one. A block lies in one chunk.
 *   times      = sample_i64; blocks with equal times share them; of summaries the times of their last samples
 *   part       = values, ascending: str value | str series, each varint difference to the one before
 *   metadata   = varint n, n x (str family, type, unit, help)
 * Series are sorted by labels and numbered in that order; no two blocks of a series hold the same time. So the series of a value are
 * runs and strides: of a million series (bench/storage.d/postings) all lists take 14 KB; as Roaring bitmaps 2.8 MB, 0.4 MB
 * under zstd. */
#include "storage/seg_metric.h"

#include "base/core/assert.h"
#include "base/core/varint.h"
#include "storage/col_codec.h"
#include "storage/col_sample.h"
#include "storage/metric_match.h"
#include "storage/retention_rules.h"
#include "storage/seg_coarse.h"
#include "storage/seg_times.h"

_Static_assert(sizeof(struct seg_chunk) == 24, "stored as it lies in memory");

/* -- reading bytes: a reader that failed stays failed (p == NULL) ------------------------------------------- */

struct reader {
    const uint8_t *p, *end;
};

static struct reader reader_of(struct str s)
{
    return (struct reader){ (const uint8_t *)s.p, (const uint8_t *)s.p + s.n };
}

static uint64_t get(struct reader *r)
{
    uint64_t v = 0;
    if (r->p) r->p = varint_get(r->p, r->end, &v);
    return v;
}

/* A number of elements that take at least min_bytes each of what is left. */
static uint32_t get_count(struct reader *r, size_t min_bytes)
{
    uint64_t n = get(r);
    if (r->p && n > (size_t)(r->end - r->p) / min_bytes) r->p = NULL;
    return r->p ? (uint32_t)n : 0;
}

static struct str get_str(struct reader *r, size_t max)
{
    uint64_t n = get(r);
    if (r->p && (n > max || n > (size_t)(r->end - r->p))) r->p = NULL;
    if (!r->p) return STR_NONE;
    struct str s = str_n(r->p, (size_t)n);
    r->p += n;
    return s;
}

static uint8_t get_byte(struct reader *r)
{
    if (r->p && r->p == r->end) r->p = NULL;
    return r->p ? *r->p++ : 0;
}

static struct seg_chunk get_chunk(struct reader *r)
{
    struct seg_chunk c = { 0 };
    if (r->p && (size_t)(r->end - r->p) < sizeof c) r->p = NULL;
    if (!r->p) return c;
    memcpy(&c, r->p, sizeof c);
    r->p += sizeof c;
    if (c.size > c.raw_size || c.raw_size > SEG_CHUNK_MAX) r->p = NULL;
    return c;
}

/* -- directory ------------------------------------------------------------------------------------------------ */

/* Appends to s->chunk; the number there are now. */
static uint32_t get_chunks(struct reader *r, struct arena *a, struct seg_metric *s)
{
    uint32_t n = get_count(r, sizeof(struct seg_chunk));
    struct seg_chunk *all = ARENA_RAW(a, struct seg_chunk, s->nchunks + n);
    if (s->nchunks) memcpy(all, s->chunk, s->nchunks * sizeof *all);
    for (uint32_t i = 0; i < n; i++)
        all[s->nchunks + i] = get_chunk(r);
    s->chunk = all;
    return s->nchunks += n;
}

static void get_pages(struct reader *r, struct arena *a, struct seg_metric *s)
{
    uint64_t first = 0;
    s->npages = get_count(r, sizeof(struct seg_chunk) + 2);
    s->page = ARENA_ARRAY(a, struct seg_page, s->npages);
    for (uint32_t i = 0; r->p && i < s->npages; i++) {
        struct seg_page *p = &s->page[i];
        p->at = get_chunk(r);
        uint64_t n = get(r);
        /* An entry takes 4 bytes at least. */
        if (n == 0 || n > p->at.raw_size / 4 || n > s->nseries - first) r->p = NULL;
        p->data = get(r);
        p->first = (uint32_t)first;
        p->n = r->p ? (uint32_t)n : 0;
        first += p->n;
    }
    if (first != s->nseries) r->p = NULL;
}

static void get_name(struct reader *r, struct arena *a, struct seg_name *name)
{
    size_t cap = 0;
    name->name = get_str(r, LABEL_NAME_MAX);
    while (get_byte(r) == 1) {
        name->part = arena_grow(a, name->part, name->nparts, &cap, name->nparts + 1, sizeof *name->part);
        struct seg_part *p = &name->part[name->nparts++];
        *p = (struct seg_part){ .at = get_chunk(r) };
        uint64_t n = get(r);
        if (n > p->at.raw_size) r->p = NULL;
        p->nvalues = (uint32_t)n;
        p->first = get_str(r, SEG_METRIC_FIRST_MAX);
    }
}

err_t seg_metric_decode(struct str meta, uint32_t nseries, struct arena *a, struct seg_metric *out)
{
    struct seg_metric s = { .nseries = nseries };
    struct reader r = reader_of(meta);
    uint8_t version = get_byte(&r);
    if (version != SEG_METRIC_VERSION)
        return err_set(ERR_CORRUPT, "a metrics group of version %u, this program reads version %d only", version, SEG_METRIC_VERSION);
    uint64_t resolution = get(&r);
    if (resolution > KEEP_RESOLUTION_MAX_MS) r.p = NULL;
    s.resolution_ms = (int64_t)resolution;
    s.ndata = get_chunks(&r, a, &s);
    get_chunks(&r, a, &s);
    TRY(arena_check(a));
    s.chunk_bytes = ARENA_ARRAY(a, struct str, s.nchunks);
    s.chunk_start = ARENA_ARRAY(a, uint64_t, s.nchunks);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < s.nchunks; i++)
        s.chunk_start[i] = i == 0 || i == s.ndata ? 0 : s.chunk_start[i - 1] + s.chunk[i - 1].raw_size;
    get_pages(&r, a, &s);
    s.nnames = get_count(&r, 2);
    s.name = ARENA_ARRAY(a, struct seg_name, s.nnames);
    TRY(arena_check(a));
    for (uint32_t i = 0; r.p && i < s.nnames; i++)
        get_name(&r, a, &s.name[i]);
    s.has_meta = get_byte(&r) == 1;
    if (s.has_meta) s.meta = get_chunk(&r);
    if (!r.p || r.p != r.end) return err_set(ERR_CORRUPT, "the directory of a metrics group is malformed");
    TRY(arena_check(a));
    *out = s;
    return OK;
}

err_t seg_page_decode(struct str raw, uint32_t n, uint64_t data, struct arena *a, struct seg_entry **out)
{
    struct reader r = reader_of(raw);
    if (n > raw.n / 4) return err_set(ERR_CORRUPT, "a page of series is too short");
    struct seg_entry *e = *out = ARENA_RAW(a, struct seg_entry, n);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++) {
        e[i].canonical = get_str(&r, LABELS_BYTES_MAX * 2);
        e[i].tmin = unzigzag(get(&r));
        e[i].tmax = (int64_t)((uint64_t)e[i].tmin + get(&r));
        e[i].data = data;
        e[i].data_size = get(&r);
        e[i].blocks = get_str(&r, SEG_CHUNK_MAX);
        if (!r.p || e[i].tmax < e[i].tmin || __builtin_add_overflow(data, e[i].data_size, &data)) return err_set(ERR_CORRUPT, "a page of series: entry %u is malformed", i);
    }
    if (r.p != r.end) return err_set(ERR_CORRUPT, "a page of series has bytes too many");
    return OK;
}

err_t seg_metric_open(struct seg *seg, const struct seg_group *g, struct arena *mem, struct view_counts *counts,
                      struct seg_metric **out)
{
    struct seg_metric *s = ARENA_NEW(mem, struct seg_metric);
    TRY(seg_metric_decode(g->meta, g->nrows, mem, s));
    s->seg = seg;
    s->mem = s->cache = mem;
    s->counts = counts;
    *out = s;
    return OK;
}

static err_t read_chunk(struct seg_metric *s, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    s->counts->bytes += c->size;
    if (c->size == c->raw_size) return seg_read(s->seg, c, a, out);
    struct arena packed;
    struct str bytes;
    arena_init(&packed, a->budget);
    err_t e = seg_read(s->seg, c, &packed, &bytes);
    if (e == OK) {
        char *raw = arena_alloc(a, c->raw_size);
        e = arena_check(a);
        if (e == OK) e = col_zstd_unpack(bytes, raw, c->raw_size);
        *out = str_n(raw, c->raw_size);
    }
    arena_deinit(&packed);
    return e;
}

/* -- selection -------------------------------------------------------------------------------------------------- */

static err_t unite(const struct seg_metric *s, struct str list, struct bitset *to)
{
    struct reader r = reader_of(list);
    uint64_t at = 0;
    while (r.p < r.end) {
        uint64_t d = get(&r);
        if (!r.p || d >= s->nseries || (at += d) >= s->nseries)
            return err_set(ERR_CORRUPT, "a list of series is malformed");
        bitset_add(to, (uint32_t)at);
    }
    return OK;
}

static bool wanted(const struct match_plan *p, struct str v)
{
    for (uint32_t i = 0; i < p->nexact; i++)
        if (str_eq(p->exact[i], v)) return true;
    return p->nexact == 0 && match_plan_unites(p, v);
}

static err_t unite_part(struct seg_metric *s, const struct seg_part *part, const struct match_plan *p,
                        struct bitset *to)
{
    struct arena a;
    struct str raw;
    arena_init(&a, s->mem->budget);
    err_t e = read_chunk(s, &part->at, &a, &raw);
    struct reader r = reader_of(raw);
    for (uint32_t i = 0; e == OK && i < part->nvalues; i++) {
        struct str value = get_str(&r, LABEL_VALUE_MAX), list = get_str(&r, SEG_CHUNK_MAX);
        if (!r.p) e = err_set(ERR_CORRUPT, "label values of a metrics group are malformed");
        else if (wanted(p, value)) e = unite(s, list, to);
        if (e == OK && i % 256 == 255) e = metric_checkpoint();
    }
    arena_deinit(&a);
    return e;
}

/* May v lie in part i? Values of part i are >= its first one and < the next part's first one; the directory has
 * only beginnings of these. */
static bool part_may_hold(const struct seg_name *n, uint32_t i, struct str v)
{
    if (str_cmp(n->part[i].first, v) > 0) return false;
    return i + 1 == n->nparts || str_cmp(str_sub(v, 0, SEG_METRIC_FIRST_MAX), n->part[i + 1].first) <= 0;
}

static err_t unite_name(struct seg_metric *s, const struct seg_name *n, const struct match_plan *p,
                        struct bitset *to)
{
    for (uint32_t i = 0; i < n->nparts; i++) {
        bool read = p->nexact == 0;
        for (uint32_t k = 0; !read && k < p->nexact; k++)
            read = part_may_hold(n, i, p->exact[k]);
        if (read) TRY(unite_part(s, &n->part[i], p, to));
    }
    return OK;
}

static err_t matching(struct seg_metric *s, const struct matcher *ms, uint32_t nm, struct bitset *found,
                      struct arena *a)
{
    struct bitset some;
    bitset_init(found, a, s->nseries, true);
    bitset_init(&some, a, s->nseries, false);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < nm; i++) {
        struct match_plan p;
        match_plan(&ms[i], &p);
        bitset_clear(&some);
        for (uint32_t k = 0; k < s->nnames; k++)
            if (str_eq(s->name[k].name, ms[i].name)) TRY(unite_name(s, &s->name[k], &p, &some));
        bitset_keep(found, &some, p.subtract);
    }
    return OK;
}

static err_t load_page(struct seg_metric *s, struct seg_page *p)
{
    struct str raw;
    struct seg_entry *e;
    TRY(read_chunk(s, &p->at, s->cache, &raw));
    TRY(seg_page_decode(raw, p->n, p->data, s->cache, &e));
    p->entry = e;
    s->counts->groups_read++;
    return OK;
}

err_t seg_metric_page_series(struct seg_metric *s, uint32_t i, struct seg_series **out, uint32_t *n)
{
    struct seg_page *p = &s->page[i];
    if (!p->entry) TRY(load_page(s, p));
    struct seg_series *x = *out = ARENA_RAW(s->cache, struct seg_series, p->n);
    TRY(arena_check(s->cache));
    for (*n = 0; *n < p->n; ++*n)
        x[*n] = (struct seg_series){ s, &p->entry[*n], series_id(p->entry[*n].canonical) };
    return OK;
}

void seg_metric_forget(struct seg_metric *s)
{
    ASSERT(s->cache != s->mem);
    arena_reset(s->cache);
    for (uint32_t i = 0; i < s->nchunks; i++)
        s->chunk_bytes[i] = STR_NONE;
    for (uint32_t i = 0; i < s->npages; i++)
        s->page[i].entry = NULL;
}

static err_t take_series(struct seg_metric *s, const uint32_t *no, uint32_t n, int64_t tmin, int64_t tmax,
                         struct seg_series *out, uint32_t *kept)
{
    uint32_t page = 0;
    for (uint32_t i = 0; i < n; i++) {
        while (no[i] >= s->page[page].first + s->page[page].n)
            page++;
        struct seg_page *p = &s->page[page];
        if (!p->entry) TRY(load_page(s, p));
        const struct seg_entry *e = &p->entry[no[i] - p->first];
        if (e->tmin > tmax || e->tmax < tmin) continue;
        out[(*kept)++] = (struct seg_series){ s, e, series_id(e->canonical) };
        if (i % 256 == 255) TRY(metric_checkpoint());
    }
    return OK;
}

err_t seg_metric_select(struct seg_metric *s, const struct matcher *ms, uint32_t nm, int64_t tmin_ms,
                        int64_t tmax_ms, struct seg_series **out, uint32_t *n)
{
    struct arena a;
    struct bitset found;
    uint32_t *no, count;
    *n = 0;
    arena_init(&a, s->mem->budget);
    err_t e = matching(s, ms, nm, &found, &a);
    if (e == OK) {
        count = bitset_list(&found, &a, &no);
        *out = ARENA_RAW(s->mem, struct seg_series, count);
        e = arena_check(s->mem);
        if (e == OK) e = take_series(s, no, count, tmin_ms, tmax_ms, *out, n);
    }
    arena_deinit(&a);
    return e;
}

/* -- samples --------------------------------------------------------------------------------------------------- */

/* `size` bytes at off, counted through the raw bytes of chunks [first, last): they lie in one. */
static err_t chunk_part(struct seg_metric *s, uint32_t first, uint32_t last, uint64_t off, uint64_t size, struct str *out)
{
    uint32_t lo = first, hi = last;
    while (lo + 1 < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->chunk_start[mid] <= off) lo = mid;
        else hi = mid;
    }
    if (lo >= last) return err_set(ERR_CORRUPT, "a block of samples, but no chunk of them");
    if (!s->chunk_bytes[lo].p) {
        struct str bytes;
        TRY(read_chunk(s, &s->chunk[lo], s->cache, &bytes));
        s->chunk_bytes[lo] = bytes;
    }
    struct str c = s->chunk_bytes[lo];
    off -= s->chunk_start[lo];
    if (off > c.n || size > c.n - off) return err_set(ERR_CORRUPT, "a block of samples ends outside of its chunk");
    *out = str_sub(c, (size_t)off, (size_t)(off + size));
    return OK;
}

static err_t malformed(void)
{
    return err_set(ERR_CORRUPT, "a block of samples is malformed");
}

static err_t get_hists(struct str payload, struct arena *a, const struct nhist **out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        TRY(nhist_decode(&payload, a, &out[i]));
        TRY(arena_check(a));
    }
    return payload.n ? malformed() : OK;
}

/* Appends a block's samples to `to`, which has room for them. */
static err_t take_block(struct seg_metric *s, const struct seg_block *b, struct arena *a, struct sample_set *to)
{
    struct str times, data, starts;
    uint32_t n = b->n;
    TRY(chunk_part(s, s->ndata, s->nchunks, b->times, b->times_size, &times));
    TRY(chunk_part(s, 0, s->ndata, b->data, b->data_size + b->starts_size, &data));
    starts = str_sub(data, (size_t)b->data_size, data.n);
    data = str_sub(data, 0, (size_t)b->data_size);
    uint32_t at = to->n;
    const uint8_t *end = (const uint8_t *)times.p + times.n;
    if (sample_i64_decode((const uint8_t *)times.p, end, n, to->t + at) != end) return malformed();
    end = (const uint8_t *)data.p + data.n;
    if (b->is.resolution_ms) TRY(seg_coarse_decode(data, n, b->is.resolution_ms, to->t + at, a, to->win + at, to->v + at));
    else if (b->hist) TRY(get_hists(data, a, to->hist + at, n));
    else if (sample_f64_decode((const uint8_t *)data.p, end, n, to->v + at) != end) return malformed();
    if (b->hist) memset(to->v + at, 0, n * sizeof *to->v);
    end = (const uint8_t *)starts.p + starts.n;
    if (starts.n && sample_i64_decode((const uint8_t *)starts.p, end, n, to->st + at) != end) return malformed();
    to->n += n;
    return OK;
}

err_t seg_series_blocks(const struct seg_series *x, int64_t tmin_ms, int64_t tmax_ms, struct arena *a, struct seg_block **out,
                        uint32_t *n)
{
    const struct seg_entry *e = x->entry;
    struct seg_blocks at = { .tmax = e->tmin, .data = e->data, .data_end = e->data + e->data_size, .in = cur_of(e->blocks) };
    size_t cap = 0;
    *out = NULL;
    for (*n = 0;;) {
        struct seg_block b;
        bool more;
        TRY(seg_block_get(&at, &b, &more));
        if (!more) return OK;
        if (b.is.tmin_ms > tmax_ms || b.is.tmax_ms < tmin_ms) continue;
        *out = arena_grow(a, *out, *n, &cap, *n + 1, sizeof **out);
        TRY(arena_check(a));
        (*out)[(*n)++] = b;
    }
}

/* -- floats alone, whose times others have ------------------------------------------------------------------------- */
static err_t get_times(struct seg_metric *s, const struct seg_block *b, int64_t *t)
{
    struct str times;
    TRY(chunk_part(s, s->ndata, s->nchunks, b->times, b->times_size, &times));
    const uint8_t *end = (const uint8_t *)times.p + times.n;
    return sample_i64_decode((const uint8_t *)times.p, end, b->n, t) == end ? OK : malformed();
}

static err_t get_floats(struct seg_metric *s, const struct seg_block *b, double *v)
{
    struct str data;
    TRY(chunk_part(s, 0, s->ndata, b->data, b->data_size, &data));
    const uint8_t *end = (const uint8_t *)data.p + data.n;
    return sample_f64_decode((const uint8_t *)data.p, end, b->n, v) == end ? OK : malformed();
}

static err_t shared_times(struct seg_metric *s, const struct seg_block *b, uint32_t n, uint32_t samples, int64_t tmin_ms, int64_t tmax_ms,
                          struct arena *a, const struct seg_times_column **out)
{
    *out = seg_times_find(s->times, s, b, n, tmin_ms, tmax_ms);
    if (*out || s->times->n == SEG_TIMES_MAX) return OK;
    int64_t *t = ARENA_RAW(a, int64_t, samples);
    TRY(arena_check(a));
    for (uint32_t i = 0, at = 0; i < n; at += b[i++].n) TRY(get_times(s, &b[i], t + at));
    *out = seg_times_keep(s->times, s, b, n, tmin_ms, tmax_ms, t, samples);
    return arena_check(s->times->a);
}

/* Do summaries tell that no value of a block, nor its first, is less than the one before? Losses of values that are not negative do not cancel. */
static bool rises(const struct seg_block *b, const struct seg_block *before)
{
    const struct metric_block *is = &b->is;
    return is->usable && is->resets_known && is->reset_sum == 0 && is->min >= 0 && (!before || before->is.last <= is->first);
}

/* *done false: there are not floats alone, or no times to share. */
static err_t read_floats(struct seg_metric *s, const struct seg_block *b, uint32_t n, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                         struct sample_set *out, bool *done)
{
    const struct seg_times_column *times;
    uint32_t samples = 0;
    bool unmarked = true, rising = true;
    *done = false;
    for (uint32_t i = 0; i < n; i++) {
        if (b[i].hist || b[i].is.resolution_ms || b[i].is.starts) return OK;
        samples += b[i].n;
        unmarked &= b[i].is.stale == 0;
        rising = rising && rises(&b[i], i ? &b[i - 1] : NULL);
    }
    if (n == 0 || !s->times) return OK;
    TRY(shared_times(s, b, n, samples, tmin_ms, tmax_ms, a, &times));
    if (!times) return OK;
    double *v = ARENA_RAW(a, double, samples);
    TRY(arena_check(a));
    for (uint32_t i = 0, at = 0; i < n; at += b[i++].n) TRY(get_floats(s, &b[i], v + at));
    *out = (struct sample_set){ .n = times->n, .cap = times->n, .t = (int64_t *)(uintptr_t)times->t, .v = v + times->skip,
                                .times_stay = true, .unmarked = unmarked, .rising = rising };
    *done = true;
    return OK;
}

enum { RAW, HISTS, COARSE, SETS };

static unsigned set_of(const struct seg_block *b) { return b->hist ? HISTS : b->is.resolution_ms ? COARSE : RAW; }

err_t seg_series_read(const struct seg_series *x, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                      struct sample_set *out)
{
    uint32_t room[SETS] = { 0 }, n;
    bool starts[SETS] = { false };
    struct seg_block *list;
    bool done;
    TRY(seg_series_blocks(x, tmin_ms, tmax_ms, a, &list, &n));
    TRY(read_floats(x->of, list, n, tmin_ms, tmax_ms, a, out, &done));
    if (done) return OK;
    for (const struct seg_block *b = list; b < list + n; b++) {
        room[set_of(b)] += b->n;
        starts[set_of(b)] |= b->is.starts;
    }
    struct sample_set set[SETS];
    for (unsigned k = 0; k < SETS; k++)
        sample_set_init(&set[k], a, room[k], k == HISTS && room[k], starts[k]);
    if (room[COARSE]) set[COARSE].win = ARENA_ARRAY(a, const struct metric_block *, room[COARSE]);
    TRY(arena_check(a));
    for (const struct seg_block *b = list; b < list + n; b++) {
        struct sample_set *to = &set[set_of(b)];
        uint32_t from = to->n;
        TRY(take_block(x->of, b, a, to));
        if (b->is.tmin_ms < tmin_ms || b->is.tmax_ms > tmax_ms) sample_set_cut(to, from, tmin_ms, tmax_ms, true);
    }
    /* As written these are settled; a file from a hostile hand may have anything. */
    for (unsigned k = 0; k < SETS; k++)
        sample_set_settle(&set[k], a);
    sample_set_merge(&set[RAW], &set[HISTS], a, out);
    sample_set_merge(out, &set[COARSE], a, out);
    return arena_check(a);
}

err_t seg_metric_page(struct seg_metric *s, uint32_t i)
{
    return s->page[i].entry ? OK : load_page(s, &s->page[i]);
}

/* -- metadata --------------------------------------------------------------------------------------------------- */

err_t seg_metric_meta(struct seg_metric *s, struct metric_meta **out, uint32_t *n)
{
    *n = 0;
    if (!s->has_meta) return OK;
    struct str raw;
    TRY(read_chunk(s, &s->meta, s->mem, &raw));
    struct reader r = reader_of(raw);
    uint32_t count = get_count(&r, 4);
    struct metric_meta *m = *out = ARENA_ARRAY(s->mem, struct metric_meta, count);
    TRY(arena_check(s->mem));
    for (uint32_t i = 0; i < count; i++) {
        m[i].family = get_str(&r, SEG_METRIC_META_STR_MAX);
        m[i].type = get_str(&r, SEG_METRIC_META_STR_MAX);
        m[i].unit = get_str(&r, SEG_METRIC_META_STR_MAX);
        m[i].help = get_str(&r, SEG_METRIC_META_STR_MAX);
    }
    if (!r.p || r.p != r.end) return err_set(ERR_CORRUPT, "metadata of metrics is malformed");
    *n = count;
    return OK;
}
