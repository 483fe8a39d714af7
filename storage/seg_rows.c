#include "storage/seg_rows.h"

#include "base/core/assert.h"
#include "storage/col_bloom.h"
#include "storage/col_codec.h"
#include "storage/seg_format.h"
#include "storage/seg_ids.h"
#include "storage/table_grow.h"

#include <math.h>
#include <stdlib.h>

enum { META_VERSION = 4, BLOOM_ENTRIES_MIN = 64 };

/* -- writing ---------------------------------------------------------------------------------------------- */

static void put_prefix(struct buf *meta, struct str s) { buf_lstr(meta, str_sub(s, 0, ZONE_PREFIX)); }

static unsigned zone_flags(const struct column *c)
{
    if (col_is_dict(c->type)) return SEG_COL_STR;
    if (c->type == COL_I64 || c->type == COL_BOOL) return SEG_COL_INT;
    if (c->type != COL_F64) return 0;
    for (uint32_t r = 0; r < c->nrows; r++)
        if (column_has(c, r) && isnan(c->f64[r])) return 0;
    return SEG_COL_F64;
}

static void put_zone(const struct column *c, unsigned flags, struct buf *meta)
{
    if (flags & SEG_COL_INT) {
        int64_t min = INT64_MAX, max = INT64_MIN;
        for (uint32_t r = 0; r < c->nrows; r++) {
            if (!column_has(c, r)) continue;
            int64_t v = c->type == COL_BOOL ? c->boolean[r] : c->i64[r];
            min = MIN(min, v);
            max = MAX(max, v);
        }
        buf_varint(meta, zigzag(min));
        buf_varint(meta, zigzag(max));
    } else if (flags & SEG_COL_F64) {
        double mm[2] = { INFINITY, -INFINITY };
        for (uint32_t r = 0; r < c->nrows; r++) {
            if (!column_has(c, r)) continue;
            mm[0] = MIN(mm[0], c->f64[r]);
            mm[1] = MAX(mm[1], c->f64[r]);
        }
        buf_put(meta, mm, sizeof mm);
    } else if (flags & SEG_COL_STR) {
        uint32_t least = 0, greatest = 0;
        for (uint32_t i = 1; i < c->dict.count; i++) {
            if (str_cmp(dict_get(&c->dict, i), dict_get(&c->dict, least)) < 0) least = i;
            if (str_cmp(dict_get(&c->dict, i), dict_get(&c->dict, greatest)) > 0) greatest = i;
        }
        buf_varint(meta, c->dict.count);
        put_prefix(meta, dict_get(&c->dict, least));
        put_prefix(meta, dict_get(&c->dict, greatest));
    }
}

/* The filter of a column of rows; its flags, 0 when it gets none. */
static unsigned build_filter(const struct column *c, struct buf *out)
{
    struct hash_set set = { 0 };
    if (!col_is_dict(c->type) || c->dict.count <= BLOOM_ENTRIES_MIN) return 0;
    for (uint32_t i = 0; i < c->dict.count; i++)
        hash_set_add(&set, bloom_value_hash(dict_get(&c->dict, i)));
    bool whole = set.count < HASH_SET_MAX;
    if (whole) bloom_build(&set, out);
    hash_set_deinit(&set);
    return whole ? SEG_COL_BLOOM : 0;
}

static err_t write_chunk(struct seg_writer *w, struct buf *bytes, size_t raw_size, struct buf *meta)
{
    struct seg_chunk chunk;
    TRY(buf_check(bytes));
    TRY(seg_writer_chunk(w, buf_view(bytes), (uint32_t)MIN(raw_size, UINT32_MAX), &chunk));
    if (meta) seg_chunk_put(&chunk, meta);
    buf_clear(bytes);
    return OK;
}

/* The bytes of a column and of its filter. Large ones are made on the offload pool: compressing a column of
 * log bodies takes tens of milliseconds, during which the reactor has others to serve. */
struct encode_job {
    const struct column *c;
    enum col_level level;
    bool filter;
    struct buf *data, *filter_bytes, *cut;
    unsigned zone_flags, filter_flags;
};
enum { OFFLOAD_BYTES = 512 << 10 };

static err_t encode_column(void *arg)
{
    struct encode_job *j = arg;
    struct col_marks marks = { 0 };
    col_column_encode(j->c, j->level, j->data, &marks);
    if (!j->data->failed) seg_cut_put(&marks, buf_view(j->data), j->c->type, j->cut);
    col_marks_deinit(&marks);
    j->zone_flags = zone_flags(j->c);
    j->filter_flags = j->filter ? build_filter(j->c, j->filter_bytes) : 0;
    return OK;
}

struct group_work {
    struct buf data, filter, cut, meta;
};

/* by: how values of it are found, SEG_COL_BLOOM (a filter is made), SEG_COL_TOKENS or not at all. */
static err_t write_column(struct seg_writer *w, const struct column *c, unsigned by, struct group_work *g)
{
    struct buf *meta = &g->meta;
    buf_byte(meta, (uint8_t)c->type);
    buf_byte(meta, (uint8_t)c->scope);
    buf_byte(meta, (uint8_t)c->width);
    buf_lstr(meta, c->name);
    size_t raw = (size_t)c->nrows * col_value_size(c->type, c->width);
    if (col_is_dict(c->type)) raw += c->dict.offset[c->dict.count] + c->dict.count * sizeof(uint32_t);
    enum col_level level = seg_writer_is_for_long(w) ? COL_MERGE : COL_SEAL;
    struct encode_job j = { .c = c, .level = level, .filter = by == SEG_COL_BLOOM, .data = &g->data, .filter_bytes = &g->filter, .cut = &g->cut };
    TRY(rt_in_fiber() && raw > OFFLOAD_BYTES ? rt_offload(encode_column, &j) : encode_column(&j));
    TRY(write_chunk(w, &g->data, raw, meta));
    buf_varint(meta, c->nvalid);
    buf_byte(meta, (uint8_t)(j.zone_flags | j.filter_flags | (by & SEG_COL_TOKENS)));
    put_zone(c, j.zone_flags, meta);
    if (j.filter_flags) TRY(write_chunk(w, &g->filter, 0, meta));
    buf_clear(&g->filter);
    TRY(buf_check(&g->cut));
    buf_str(meta, buf_view(&g->cut));
    buf_clear(&g->cut);
    return rt_in_fiber() ? rt_checkpoint() : OK;
}

static err_t write_link(struct seg_writer *w, const struct table *t, int rel, struct buf *work, struct buf *meta)
{
    if (rel == REL_RESOURCE || rel == REL_SCOPE) {
        col_code_encode(t->dim_row[rel - REL_RESOURCE], t->nrows, work);
    } else {
        const uint32_t *first = t->child_first[rel - REL_EVENTS];
        struct arena a;
        arena_init(&a, NULL);
        uint32_t *counts = ARENA_RAW(&a, uint32_t, t->nrows);
        for (uint32_t r = 0; r < t->nrows; r++)
            counts[r] = first[r + 1] - first[r];
        col_code_encode(counts, t->nrows, work);
        arena_deinit(&a);
    }
    return write_chunk(w, work, t->nrows * sizeof(uint32_t), meta);
}

err_t seg_rows_ids(struct seg_writer *w, const struct column *id)
{
    if (!id || id->width != 16) return OK;
    for (uint32_t r = 0; r < id->nrows; r++) {
        if (column_has(id, r)) seg_writer_id(w, r, str_n(id->fix + (size_t)r * id->width, id->width));
        if (r % 8192 == 0 && rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

static unsigned found_by(enum signal signal, int rel, bool tokens)
{
    if (rel != REL_ROWS) return 0;
    return !seg_tokens_cover(signal) ? SEG_COL_BLOOM : tokens ? SEG_COL_TOKENS : 0;
}

err_t seg_rows_write(struct seg_writer *w, struct str tenant, enum signal signal, struct str index,
                     const struct table *t)
{
    struct group_work g;
    buf_init(&g.data, SEG_CHUNK_MAX, NULL);
    buf_init(&g.filter, SEG_CHUNK_MAX, NULL);
    buf_init(&g.cut, SEG_META_MAX, NULL);
    buf_init(&g.meta, SEG_META_MAX, NULL);
    buf_byte(&g.meta, META_VERSION);
    err_t e = OK;
    bool *tokens = calloc((size_t)t->ncols + 1, sizeof *tokens);
    ASSERT(tokens);
    if (seg_tokens_cover(signal)) TRY_OUT(e, seg_writer_tokens(w, t, tokens));
    for (int rel = 0; rel < SEG_RELS; rel++) {
        const struct table *part = table_relation(t, rel);
        buf_byte(&g.meta, part != NULL);
        if (!part) continue;
        buf_varint(&g.meta, part->nrows);
        if (rel != REL_ROWS) TRY_OUT(e, write_link(w, t, rel, &g.data, &g.meta));
        buf_varint(&g.meta, part->ncols);
        for (uint32_t i = 0; i < part->ncols; i++)
            TRY_OUT(e, write_column(w, &part->cols[i], found_by(signal, rel, rel == REL_ROWS && tokens[i]), &g));
    }
    TRY_OUT(e, buf_check(&g.meta));
    struct seg_group group = { .tenant = tenant, .index = index, .signal = signal, .nrows = t->nrows,
                               .tmin_ns = t->tmin_ns, .tmax_ns = t->tmax_ns, .meta = buf_view(&g.meta) };
    TRY_OUT(e, seg_writer_group(w, &group));
    if (seg_ids_cover(signal)) e = seg_rows_ids(w, table_column(t, SC_SELF, STR("trace_id"), COL_FIX));
out:
    free(tokens);
    buf_deinit(&g.data);
    buf_deinit(&g.filter);
    buf_deinit(&g.cut);
    buf_deinit(&g.meta);
    return e;
}

/* -- parsing ------------------------------------------------------------------------------------------------ */

struct refs { /* where the references of chunks stand */
    struct arena *a;
    const uint8_t *base;
    uint32_t *at, n;
    size_t cap;
};

static err_t parse_chunk(struct cur *c, struct refs *refs, struct seg_chunk *chunk)
{
    const uint8_t *p;
    TRY(cur_take(c, SEG_CHUNK_BYTES, &p));
    if (refs) {
        refs->at = arena_grow(refs->a, refs->at, refs->n, &refs->cap, refs->n + 1, sizeof *refs->at);
        refs->at[refs->n++] = (uint32_t)(p - refs->base);
    }
    *chunk = seg_chunk_get(p);
    return OK;
}

static err_t parse_zone(struct cur *c, struct refs *refs, struct seg_col *col)
{
    if (col->flags & SEG_COL_INT) {
        uint64_t min, max;
        TRY(cur_varint(c, &min));
        TRY(cur_varint(c, &max));
        col->min = unzigzag(min);
        col->max = unzigzag(max);
    }
    if (col->flags & SEG_COL_F64) {
        const uint8_t *p;
        TRY(cur_take(c, 2 * sizeof(double), &p));
        memcpy(&col->fmin, p, sizeof(double));
        memcpy(&col->fmax, p + sizeof(double), sizeof(double));
    }
    if (col->flags & SEG_COL_STR) {
        TRY(cur_count(c, UINT32_MAX, &col->distinct));
        TRY(cur_str(c, ZONE_PREFIX, &col->smin));
        TRY(cur_str(c, ZONE_PREFIX, &col->smax));
    }
    if (col->flags & SEG_COL_BLOOM) TRY(parse_chunk(c, refs, &col->bloom));
    return OK;
}

static err_t parse_column(struct cur *c, struct refs *refs, uint32_t nrows, struct seg_col *col)
{
    uint8_t type, scope, width, flags;
    TRY(cur_u8(c, &type));
    TRY(cur_u8(c, &scope));
    TRY(cur_u8(c, &width));
    if (type < COL_I64 || type > COL_FIX || scope > SC_ATTR || (type == COL_FIX ? width != 8 && width != 16 : width != 0))
        return err_set(ERR_CORRUPT, "a column of type %u, scope %u, width %u", type, scope, width);
    *col = (struct seg_col){ .type = type, .scope = scope, .width = width };
    TRY(cur_str(c, TABLE_NAME_MAX, &col->name));
    TRY(parse_chunk(c, refs, &col->chunk));
    TRY(cur_count(c, nrows, &col->nvalid));
    TRY(cur_u8(c, &flags));
    unsigned zone = col_is_dict(col->type)     ? SEG_COL_STR
                    : type == COL_F64          ? SEG_COL_F64
                    : type == COL_FIX          ? 0
                                               : SEG_COL_INT;
    if (flags >> 5 || (flags & (SEG_COL_INT | SEG_COL_F64 | SEG_COL_STR) & ~zone))
        return err_set(ERR_CORRUPT, "flags %u of a column of type %u", flags, type);
    col->flags = flags;
    TRY(parse_zone(c, refs, col));
    return seg_cut_parse(c, col->nvalid, &col->cut);
}

static err_t parse_relation(struct cur *c, struct refs *refs, int rel, uint32_t nrows, struct arena *a, struct seg_rel *out)
{
    uint8_t present;
    TRY(cur_u8(c, &present));
    if (!present && rel != REL_ROWS) return OK;
    uint32_t max = rel == REL_EVENTS || rel == REL_LINKS ? TABLE_CHILD_ROWS_MAX : TABLE_ROWS_MAX;
    out->present = true;
    TRY(cur_count(c, max, &out->nrows));
    if (rel == REL_ROWS && (!present || out->nrows != nrows))
        return err_set(ERR_CORRUPT, "a group of %u rows with a directory of %u", nrows, out->nrows);
    if (rel != REL_ROWS) TRY(parse_chunk(c, refs, &out->link));
    TRY(cur_count(c, TABLE_COLS_MAX, &out->ncols));
    out->cols = ARENA_RAW(a, struct seg_col, out->ncols);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < out->ncols; i++)
        TRY(parse_column(c, refs, out->nrows, &out->cols[i]));
    return OK;
}

static err_t parse(struct str meta, uint32_t nrows, struct arena *a, struct refs *refs, struct seg_rows *out)
{
    *out = (struct seg_rows){ 0 };
    struct cur c = cur_of(meta);
    uint8_t version;
    TRY(cur_u8(&c, &version));
    if (version != META_VERSION) return err_set(ERR_CORRUPT, "a row group of version %u", version);
    for (int rel = 0; rel < SEG_RELS; rel++)
        TRY(parse_relation(&c, refs, rel, nrows, a, &out->rel[rel]));
    if (c.p != c.end) return err_set(ERR_CORRUPT, "bytes behind the directory of a row group");
    return OK;
}

err_t seg_rows_parse(struct str meta, uint32_t nrows, struct arena *a, struct seg_rows *out) { return parse(meta, nrows, a, NULL, out); }

err_t seg_rows_refs(struct str meta, uint32_t nrows, struct arena *a, uint32_t **at, uint32_t *n)
{
    struct refs refs = { .a = a, .base = (const uint8_t *)meta.p };
    struct seg_rows rows;
    TRY(parse(meta, nrows, a, &refs, &rows));
    *at = refs.at;
    *n = refs.n;
    return arena_check(a);
}

/* -- reading -------------------------------------------------------------------------------------------------- */

err_t seg_rows_column(const struct seg_reader *from, const struct seg_rel *rel, const struct seg_col *c, struct arena *a,
                      struct column *out)
{
    struct str bytes;
    struct arena tmp; /* the encoded bytes are not kept */
    arena_init(&tmp, a->budget);
    err_t e;
    TRY_OUT(e, seg_reader_chunk(from, &c->chunk, &tmp, &bytes));
    *out = (struct column){ .type = c->type, .scope = c->scope, .width = c->width, .name = c->name, .nrows = rel->nrows };
    struct cur cur = cur_of(bytes);
    TRY_OUT(e, col_column_decode(&cur, a, out));
    if (cur.p != cur.end || out->nvalid != c->nvalid)
        e = err_set(ERR_CORRUPT, "%s: column '" STR_FMT "' is not what its directory says", seg_info(from->seg)->name, STR_ARG(c->name));
out:
    arena_deinit(&tmp);
    return e;
}

err_t seg_rows_column_at(const struct seg_reader *from, const struct seg_rel *rel, const struct seg_col *c, const uint32_t *rows,
                         uint32_t n, struct arena *a, struct column *out)
{
    if (c->cut.npieces) return seg_cut_column_at(from, c, rel->nrows, rows, n, a, out);
    struct str bytes;
    struct arena tmp;
    ASSERT(n == 0 || rows[n - 1] < rel->nrows);
    arena_init(&tmp, a->budget);
    err_t e;
    TRY_OUT(e, seg_reader_chunk(from, &c->chunk, &tmp, &bytes));
    *out = (struct column){ .type = c->type, .scope = c->scope, .width = c->width, .name = c->name };
    struct cur cur = cur_of(bytes);
    e = col_column_decode_at(&cur, rel->nrows, rows, n, a, out);
out:
    arena_deinit(&tmp);
    return e;
}

err_t seg_rows_link(const struct seg_reader *from, const struct seg_rows *r, int rel, struct arena *a, const uint32_t **out)
{
    const struct seg_rel *to = &r->rel[rel];
    uint32_t n = r->rel[REL_ROWS].nrows;
    bool child = rel == REL_EVENTS || rel == REL_LINKS;
    struct str bytes;
    ASSERT(to->present);
    TRY(seg_reader_chunk(from, &to->link, a, &bytes));
    struct cur c = cur_of(bytes);
    uint32_t *v = ARENA_RAW(a, uint32_t, (size_t)n + 1);
    v[0] = 0;
    TRY(col_code_decode(&c, n, child ? to->nrows + 1 : to->nrows, v + child));
    *out = v;
    if (!child) return OK;
    uint64_t total = 0;
    for (uint32_t i = 1; i <= n && total <= to->nrows; i++) {
        total += v[i];
        v[i] = (uint32_t)total;
    }
    if (total != to->nrows)
        return err_set(ERR_CORRUPT, "%s: children do not add up to %u", seg_info(from->seg)->name, to->nrows);
    return OK;
}

err_t seg_rows_link_at(const struct seg_reader *from, const struct seg_rows *r, int rel, const uint32_t *rows, uint32_t n,
                       struct arena *a, const uint32_t **out)
{
    const struct seg_rel *to = &r->rel[rel];
    struct arena tmp;
    struct str bytes;
    ASSERT(to->present && (rel == REL_RESOURCE || rel == REL_SCOPE));
    arena_init(&tmp, a->budget);
    uint32_t *v = ARENA_RAW(a, uint32_t, (size_t)n + 1);
    err_t e;
    TRY_OUT(e, arena_check(a));
    TRY_OUT(e, seg_reader_chunk(from, &to->link, &tmp, &bytes));
    struct cur c = cur_of(bytes);
    e = col_code_decode_at(&c, r->rel[REL_ROWS].nrows, to->nrows, rows, n, v);
    *out = v;
out:
    arena_deinit(&tmp);
    return e;
}

bool seg_col_maybe_str(const struct seg_col *c, struct str v)
{
    if (!(c->flags & SEG_COL_STR)) return true;
    if (str_cmp(v, c->smin) < 0) return false;
    return str_cmp(str_sub(v, 0, ZONE_PREFIX), c->smax) <= 0;
}
