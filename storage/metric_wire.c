/* Bytes of a metric batch, for the WAL and between nodes.
 *
 *   batch   = u8 version (1) | u8 flags | varint nseries, nsamples, nhists, nmeta | section*
 *   flags   = 1 st_ms, 2 hst_ms, 4 exemplars, 8 sample i is of series i (no section of series)
 *   section = varint raw size | varint stored size | bytes; lz4 when stored < raw, else as they are
 * Sections, in this order:
 *   strings   nseries x (varint n | canonical label bytes); n = 0: the reader knows the series by its id
 *   ids       16 bytes, lo then hi, of each series without label bytes (the others' is their hash)
 *   series    nsamples x zigzag varint delta to the one before          unless flag 8
 *   times     likewise, of t_ms
 *   values    8 planes of nsamples bytes: the lowest bytes of all values, the next, ...
 *   starts    delta of st_ms                                             flag 1
 *   hseries, htimes, hstarts (flag 2), hists = nhist_encode one after another    when nhists > 0
 *   meta      nmeta x 4 x (varint n | bytes): family, type, unit, help    when nmeta > 0
 *   exemplars table_encode                                               flag 4
 * All integers little-endian. */
#include "base/core/assert.h"
#include "base/core/varint.h"
#include "storage/metric.h"

#include <lz4.h>

enum { VERSION = 1, F_ST = 1, F_HST = 2, F_EXEMPLARS = 4, F_IDENTITY = 8, F_ALL = 15 };
/* A batch is bounded by a request's body; these bound what a hostile one makes a reader allocate. */
enum { SECTION_MAX = 256 << 20, EXPANSION_MAX = 256, META_STR_MAX = 65536 };

/* -- encoding ---------------------------------------------------------------------------------------- */

static void put_section(struct buf *out, struct str raw)
{
    buf_varint(out, raw.n);
    if (raw.n == 0) {
        buf_varint(out, 0);
        return;
    }
    /* lz4 goes first behind the longest header there can be, then moves down. */
    int bound = raw.n <= LZ4_MAX_INPUT_SIZE ? LZ4_compressBound((int)raw.n) : 0;
    char *p = bound ? buf_reserve(out, (size_t)bound + VARINT_MAX) : NULL;
    int n = p ? LZ4_compress_default(raw.p, p + VARINT_MAX, (int)raw.n, bound) : 0;
    if (n <= 0 || (size_t)n >= raw.n - raw.n / 16) {
        buf_varint(out, raw.n);
        buf_str(out, raw);
        return;
    }
    size_t head = varint_put((uint8_t *)p, (uint64_t)n);
    memmove(p + head, p + VARINT_MAX, (size_t)n);
    out->n += head + (size_t)n;
}

static void put_i64_deltas(struct buf *b, const int64_t *v, uint32_t n)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(b, zigzag((int64_t)((uint64_t)v[i] - before)));
        before = (uint64_t)v[i];
    }
}

static void put_u32_deltas(struct buf *b, const uint32_t *v, uint32_t n)
{
    int64_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(b, zigzag((int64_t)v[i] - before));
        before = v[i];
    }
}

static void put_planes(struct buf *b, const double *v, uint32_t n)
{
    uint8_t *p = (uint8_t *)buf_reserve(b, (size_t)n * 8);
    if (!p) return;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &v[i], 8);
        for (unsigned k = 0; k < 8; k++)
            p[(size_t)k * n + i] = (uint8_t)(bits >> 8 * k);
    }
    b->n += (size_t)n * 8;
}

static void put_str(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}

/* known[i]: series from + i goes by its id alone. */
static void which_known(const struct metric_batch *m, const struct metric_encode_opts *o, uint32_t from, uint32_t n,
                        uint8_t *known)
{
    hash128 ids[METRIC_DEFINED_MAX];
    uint8_t answers[METRIC_DEFINED_MAX] = { 0 };
    uint32_t asked = 0;
    for (uint32_t i = 0; i < n; i++)
        if (m->canonical[from + i].p) ids[asked++] = m->id[from + i];
    if (o && o->defined && asked) o->defined(o->ctx, ids, asked, answers);
    asked = 0;
    for (uint32_t i = 0; i < n; i++)
        known[i] = m->canonical[from + i].p ? answers[asked++] : 1;
}

static void put_series(const struct metric_batch *m, const struct metric_encode_opts *o, struct buf *tmp,
                       struct buf *out)
{
    struct buf ids;
    buf_init(&ids, SIZE_MAX, tmp->budget);
    buf_clear(tmp);
    for (uint32_t from = 0; from < m->nseries; from += METRIC_DEFINED_MAX) {
        uint32_t n = MIN(m->nseries - from, (uint32_t)METRIC_DEFINED_MAX);
        uint8_t known[METRIC_DEFINED_MAX];
        which_known(m, o, from, n, known);
        for (uint32_t i = 0; i < n; i++) {
            if (known[i]) {
                buf_varint(tmp, 0);
                buf_put(&ids, &m->id[from + i], 16);
            } else {
                put_str(tmp, m->canonical[from + i]);
            }
        }
    }
    put_section(out, buf_view(tmp));
    put_section(out, buf_view(&ids));
    buf_deinit(&ids);
}

static bool is_identity(const struct metric_batch *m)
{
    if (m->nsamples > m->nseries) return false;
    for (uint32_t i = 0; i < m->nsamples; i++)
        if (m->series[i] != i) return false;
    return true;
}

static void put_hists(const struct metric_batch *m, struct buf *tmp, struct buf *out)
{
    buf_clear(tmp);
    put_u32_deltas(tmp, m->hseries, m->nhists);
    put_section(out, buf_view(tmp));
    buf_clear(tmp);
    put_i64_deltas(tmp, m->ht_ms, m->nhists);
    put_section(out, buf_view(tmp));
    if (m->hst_ms) {
        buf_clear(tmp);
        put_i64_deltas(tmp, m->hst_ms, m->nhists);
        put_section(out, buf_view(tmp));
    }
    buf_clear(tmp);
    for (uint32_t i = 0; i < m->nhists; i++)
        nhist_encode(m->hist[i], tmp);
    put_section(out, buf_view(tmp));
}

static void put_meta(const struct metric_batch *m, struct buf *tmp, struct buf *out)
{
    buf_clear(tmp);
    for (uint32_t i = 0; i < m->nmeta; i++) {
        put_str(tmp, m->meta[i].family);
        put_str(tmp, m->meta[i].type);
        put_str(tmp, m->meta[i].unit);
        put_str(tmp, m->meta[i].help);
    }
    put_section(out, buf_view(tmp));
}

void metric_batch_encode(const struct metric_batch *m, const struct metric_encode_opts *o, struct buf *out)
{
    struct buf tmp;
    buf_init(&tmp, SIZE_MAX, out->budget);
    bool identity = is_identity(m);
    buf_byte(out, VERSION);
    buf_byte(out, (uint8_t)((m->st_ms ? F_ST : 0) | (m->nhists && m->hst_ms ? F_HST : 0) |
                            (m->exemplars ? F_EXEMPLARS : 0) | (identity ? F_IDENTITY : 0)));
    buf_varint(out, m->nseries);
    buf_varint(out, m->nsamples);
    buf_varint(out, m->nhists);
    buf_varint(out, m->nmeta);
    put_series(m, o, &tmp, out);
    if (!identity) {
        buf_clear(&tmp);
        put_u32_deltas(&tmp, m->series, m->nsamples);
        put_section(out, buf_view(&tmp));
    }
    buf_clear(&tmp);
    put_i64_deltas(&tmp, m->t_ms, m->nsamples);
    put_section(out, buf_view(&tmp));
    buf_clear(&tmp);
    put_planes(&tmp, m->value, m->nsamples);
    put_section(out, buf_view(&tmp));
    if (m->st_ms) {
        buf_clear(&tmp);
        put_i64_deltas(&tmp, m->st_ms, m->nsamples);
        put_section(out, buf_view(&tmp));
    }
    if (m->nhists) put_hists(m, &tmp, out);
    if (m->nmeta) put_meta(m, &tmp, out);
    if (m->exemplars) {
        buf_clear(&tmp);
        table_encode(m->exemplars, &tmp);
        put_section(out, buf_view(&tmp));
    }
    buf_deinit(&tmp);
}

/* -- decoding ---------------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *p, *end;
};

static err_t cut(const char *what)
{
    return err_set(ERR_CORRUPT, "a metric batch: %s is cut or over its limits", what);
}

static err_t get_varint(struct reader *r, const char *what, uint64_t max, uint64_t *out)
{
    const uint8_t *p = varint_get(r->p, r->end, out);
    if (!p || *out > max) return cut(what);
    r->p = p;
    return OK;
}

static err_t get_str(struct reader *r, const char *what, size_t max, struct str *out)
{
    uint64_t n;
    TRY(get_varint(r, what, max, &n));
    if (n > (size_t)(r->end - r->p)) return cut(what);
    *out = str_n(r->p, (size_t)n);
    r->p += n;
    return OK;
}

/* The section's raw bytes in *out, in the arena when they were compressed. */
static err_t get_section(struct reader *r, const char *what, struct arena *a, struct reader *out)
{
    uint64_t raw, stored;
    TRY(get_varint(r, what, SECTION_MAX, &raw));
    TRY(get_varint(r, what, raw, &stored));
    if (stored > (size_t)(r->end - r->p)) return cut(what);
    const uint8_t *p = r->p;
    r->p += stored;
    if (stored < raw) {
        if (raw > stored * EXPANSION_MAX) return cut(what);
        char *to = arena_alloc(a, (size_t)raw);
        TRY(arena_check(a));
        if (LZ4_decompress_safe((const char *)p, to, (int)stored, (int)raw) != (int)raw)
            return err_set(ERR_CORRUPT, "a metric batch: %s does not decompress", what);
        p = (const uint8_t *)to;
    }
    *out = (struct reader){ p, p + raw };
    return OK;
}

static err_t at_end(const struct reader *r, const char *what)
{
    if (r->p != r->end) return err_set(ERR_CORRUPT, "a metric batch: %s has bytes too many", what);
    return OK;
}

/* n varints need n bytes: refused before anything is allocated for them. */
static err_t open_column(struct reader *r, const char *what, struct arena *a, uint32_t n, struct reader *sec)
{
    TRY(get_section(r, what, a, sec));
    if (n > (size_t)(sec->end - sec->p)) return cut(what);
    return OK;
}

static err_t get_i64_deltas(struct reader *r, const char *what, struct arena *a, uint32_t n, int64_t **out)
{
    struct reader sec;
    TRY(open_column(r, what, a, n, &sec));
    int64_t *v = *out = ARENA_RAW(a, int64_t, n);
    TRY(arena_check(a));
    uint64_t before = 0, d;
    for (uint32_t i = 0; i < n; i++) {
        sec.p = varint_get(sec.p, sec.end, &d);
        if (!sec.p) return cut(what);
        before += (uint64_t)unzigzag(d);
        v[i] = (int64_t)before;
    }
    return at_end(&sec, what);
}

static err_t get_u32_deltas(struct reader *r, const char *what, struct arena *a, uint32_t n, uint32_t below,
                            uint32_t **out)
{
    struct reader sec;
    TRY(open_column(r, what, a, n, &sec));
    uint32_t *v = *out = ARENA_RAW(a, uint32_t, n);
    TRY(arena_check(a));
    uint64_t before = 0, d;
    for (uint32_t i = 0; i < n; i++) {
        sec.p = varint_get(sec.p, sec.end, &d);
        if (!sec.p) return cut(what);
        before += (uint64_t)unzigzag(d);
        if (before >= below) return err_set(ERR_CORRUPT, "a metric batch: %s out of range", what);
        v[i] = (uint32_t)before;
    }
    return at_end(&sec, what);
}

static err_t get_series(struct reader *r, struct arena *a, struct metric_batch *m)
{
    struct reader strings, ids;
    TRY(open_column(r, "strings", a, m->nseries, &strings));
    TRY(get_section(r, "ids", a, &ids));
    m->id = ARENA_RAW(a, hash128, m->nseries);
    m->canonical = ARENA_RAW(a, struct str, m->nseries);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < m->nseries; i++) {
        TRY(get_str(&strings, "strings", LABELS_BYTES_MAX * 2, &m->canonical[i]));
        if (m->canonical[i].n) {
            m->id[i] = series_id(m->canonical[i]);
            continue;
        }
        if (ids.end - ids.p < 16) return cut("ids");
        m->canonical[i] = STR_NONE;
        memcpy(&m->id[i], ids.p, 16);
        ids.p += 16;
    }
    TRY(at_end(&strings, "strings"));
    return at_end(&ids, "ids");
}

static err_t get_series_of_samples(struct reader *r, struct arena *a, bool identity, struct metric_batch *m)
{
    if (!identity) return get_u32_deltas(r, "series", a, m->nsamples, m->nseries, &m->series);
    if (m->nsamples > m->nseries) return cut("series");
    m->series = ARENA_RAW(a, uint32_t, m->nsamples);
    for (uint32_t i = 0; i < m->nsamples; i++)
        m->series[i] = i;
    return OK;
}

static err_t get_values(struct reader *r, struct arena *a, struct metric_batch *m)
{
    struct reader sec;
    size_t n = m->nsamples;
    TRY(get_section(r, "values", a, &sec));
    if ((size_t)(sec.end - sec.p) != n * 8) return cut("values");
    m->value = ARENA_RAW(a, double, n);
    TRY(arena_check(a));
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        for (unsigned k = 0; k < 8; k++)
            bits |= (uint64_t)sec.p[k * n + i] << 8 * k;
        memcpy(&m->value[i], &bits, 8);
    }
    return OK;
}

static err_t get_hists(struct reader *r, struct arena *a, bool has_st, struct metric_batch *m)
{
    struct reader sec;
    TRY(get_u32_deltas(r, "hseries", a, m->nhists, m->nseries, &m->hseries));
    TRY(get_i64_deltas(r, "htimes", a, m->nhists, &m->ht_ms));
    if (has_st) TRY(get_i64_deltas(r, "hstarts", a, m->nhists, &m->hst_ms));
    TRY(open_column(r, "hists", a, m->nhists, &sec));
    m->hist = ARENA_ARRAY(a, const struct nhist *, m->nhists);
    struct str rest = str_n(sec.p, (size_t)(sec.end - sec.p));
    for (uint32_t i = 0; i < m->nhists; i++) {
        TRY(nhist_decode(&rest, a, &m->hist[i]));
        TRY(arena_check(a));
    }
    if (rest.n) return err_set(ERR_CORRUPT, "a metric batch: hists has bytes too many");
    return OK;
}

static err_t get_meta(struct reader *r, struct arena *a, struct metric_batch *m)
{
    struct reader sec;
    TRY(open_column(r, "meta", a, m->nmeta, &sec));
    m->meta = ARENA_ARRAY(a, struct metric_meta, m->nmeta);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < m->nmeta; i++) {
        TRY(get_str(&sec, "meta", META_STR_MAX, &m->meta[i].family));
        TRY(get_str(&sec, "meta", META_STR_MAX, &m->meta[i].type));
        TRY(get_str(&sec, "meta", META_STR_MAX, &m->meta[i].unit));
        TRY(get_str(&sec, "meta", META_STR_MAX, &m->meta[i].help));
    }
    return at_end(&sec, "meta");
}

static err_t get_head(struct reader *r, struct metric_batch *m, uint8_t *flags)
{
    if (r->end - r->p < 2) return cut("the head");
    if (r->p[0] != VERSION) return err_set(ERR_CORRUPT, "a metric batch of version %u", r->p[0]);
    *flags = r->p[1];
    if (*flags & ~F_ALL) return err_set(ERR_CORRUPT, "a metric batch with flags %u", *flags);
    r->p += 2;
    uint64_t n[4];
    for (unsigned i = 0; i < 4; i++)
        TRY(get_varint(r, "a count", SECTION_MAX, &n[i]));
    m->nseries = (uint32_t)n[0];
    m->nsamples = (uint32_t)n[1];
    m->nhists = (uint32_t)n[2];
    m->nmeta = (uint32_t)n[3];
    return OK;
}

err_t metric_batch_decode(struct str bytes, struct arena *a, struct metric_batch *out)
{
    struct metric_batch m = { 0 };
    struct reader r = { (const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n };
    uint8_t flags = 0;
    TRY(get_head(&r, &m, &flags));
    TRY(get_series(&r, a, &m));
    TRY(get_series_of_samples(&r, a, flags & F_IDENTITY, &m));
    TRY(get_i64_deltas(&r, "times", a, m.nsamples, &m.t_ms));
    TRY(get_values(&r, a, &m));
    if (flags & F_ST) TRY(get_i64_deltas(&r, "starts", a, m.nsamples, &m.st_ms));
    if (m.nhists) TRY(get_hists(&r, a, flags & F_HST, &m));
    if (m.nmeta) TRY(get_meta(&r, a, &m));
    struct reader ex = { r.p, r.p };
    if (flags & F_EXEMPLARS) TRY(get_section(&r, "exemplars", a, &ex));
    TRY(at_end(&r, "the batch"));
    /* Last, so that no error comes after the table exists. */
    if (flags & F_EXEMPLARS) TRY(table_decode(str_n(ex.p, (size_t)(ex.end - ex.p)), a->budget, &m.exemplars));
    *out = m;
    return OK;
}
