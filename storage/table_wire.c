/* A table as bytes, for the WAL and for other nodes.
 *
 *   bytes  = u8 version (2) | varint raw size | lz4 block of raw
 *   raw    = varint-prefixed tmin, tmax as zigzag | rows part | for each dimension: u8 present, [part, dim_row by
 *            col_code] | for each child: u8 present, [part, child_first as counts a row by col_code]
 *   part   = varint nrows | varint ncols | column*
 *   column = u8 type | u8 scope | u8 width | varint length, name | col_column (light: no compression inside)
 *
 * Nothing is trusted: raw size <= 256 MiB and <= 256 times the block (lz4 cannot do better), counts within the
 * limits of table.h, codes below their dictionaries, names unique within a part. Only the distinctness of
 * dictionary entries is taken on faith: a lie there makes equal groups appear twice, no worse. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/table_grow.h"

#include <lz4.h>
#include <stdlib.h>

enum { WIRE_VERSION = 2, RAW_MAX = 256 << 20, LZ4_RATIO_MAX = 256 };

/* -- encoding ------------------------------------------------------------------------------------------- */

static void put_part(const struct table *t, struct buf *b)
{
    buf_varint(b, t->nrows);
    buf_varint(b, t->ncols);
    for (uint32_t i = 0; i < t->ncols; i++) {
        const struct column *c = &t->cols[i];
        buf_byte(b, (uint8_t)c->type);
        buf_byte(b, (uint8_t)c->scope);
        buf_byte(b, (uint8_t)c->width);
        buf_lstr(b, c->name);
        col_column_encode(c, COL_LIGHT, b, NULL);
    }
}

/* About what put_part writes, and rather more: so that the buffer need not grow. */
static size_t part_size(const struct table *t)
{
    size_t size = 64;
    for (uint32_t i = 0; i < t->ncols; i++) {
        const struct column *c = &t->cols[i];
        size += 64 + c->name.n + c->nrows / 8 + (size_t)c->nvalid * col_value_size(c->type, c->width);
        if (col_is_dict(c->type)) size += (c->dict.count ? c->dict.offset[c->dict.count] : 0) + 2 * (size_t)c->dict.count;
    }
    return size;
}

static void put_child(const struct table *t, int c, struct buf *b)
{
    uint32_t *counts = malloc(((size_t)t->nrows + 1) * sizeof *counts);
    ASSERT(counts);
    for (uint32_t r = 0; r < t->nrows; r++)
        counts[r] = t->child_first[c][r + 1] - t->child_first[c][r];
    put_part(t->child[c], b);
    col_code_encode(counts, t->nrows, b);
    free(counts);
}

void table_encode(const struct table *t, struct buf *out)
{
    struct buf raw;
    buf_init(&raw, RAW_MAX, out->budget);
    (void)buf_reserve(&raw, MIN(part_size(t), (size_t)RAW_MAX));
    buf_varint(&raw, zigzag(t->tmin_ns));
    buf_varint(&raw, zigzag(t->tmax_ns));
    put_part(t, &raw);
    for (int d = 0; d < DIM_COUNT; d++) {
        buf_byte(&raw, t->dim[d] != NULL);
        if (!t->dim[d]) continue;
        put_part(t->dim[d], &raw);
        col_code_encode(t->dim_row[d], t->nrows, &raw);
    }
    for (int c = 0; c < CHILD_COUNT; c++) {
        buf_byte(&raw, t->child[c] != NULL);
        if (t->child[c]) put_child(t, c, &raw);
    }
    buf_byte(out, WIRE_VERSION);
    buf_varint(out, raw.n);
    int room = LZ4_compressBound((int)raw.n);
    char *to = raw.failed ? NULL : buf_reserve(out, (size_t)room);
    if (to) {
        int n = LZ4_compress_default(raw.p, to, (int)raw.n, room);
        ASSERT(n > 0);
        out->n += (size_t)n;
    } else {
        out->failed = true;
    }
    buf_deinit(&raw);
}

/* -- decoding --------------------------------------------------------------------------------------------- */

static err_t get_column(struct cur *c, struct arena *a, uint32_t nrows, struct htab *names, struct column *cols,
                        uint32_t at)
{
    struct column *col = &cols[at];
    uint8_t type, scope, width;
    struct str name;
    TRY(cur_u8(c, &type));
    TRY(cur_u8(c, &scope));
    TRY(cur_u8(c, &width));
    TRY(cur_str(c, TABLE_NAME_MAX, &name));
    if (type < COL_I64 || type > COL_FIX || scope > SC_ATTR)
        return err_set(ERR_CORRUPT, "a column of type %u, scope %u", type, scope);
    if (type == COL_FIX ? width != 8 && width != 16 : width != 0)
        return err_set(ERR_CORRUPT, "a column of type %u, width %u", type, width);
    *col = (struct column){ .type = type, .scope = scope, .width = width, .name = arena_str(a, name), .nrows = nrows };
    uint64_t hash = hash_seeded64(name) + type * 2u + scope;
    for (uint32_t it = 0, v; htab_next(names, hash, &it, &v);)
        if (cols[v].type == col->type && cols[v].scope == col->scope && str_eq(cols[v].name, name))
            return err_set(ERR_CORRUPT, "column '" STR_FMT "' twice", STR_ARG(name));
    htab_insert(names, hash, at);
    return col_column_decode(c, a, col);
}

static err_t get_part(struct cur *c, struct arena *a, uint32_t rows_max, struct table *t)
{
    t->tmin_ns = INT64_MAX;
    t->tmax_ns = INT64_MIN;
    TRY(cur_count(c, rows_max, &t->nrows));
    TRY(cur_count(c, TABLE_COLS_MAX, &t->ncols));
    t->cols = ARENA_RAW(a, struct column, t->ncols);
    struct htab names;
    htab_init(&names, a->budget);
    err_t e = OK;
    for (uint32_t i = 0; i < t->ncols && e == OK; i++)
        e = get_column(c, a, t->nrows, &names, t->cols, i);
    htab_deinit(&names);
    return e;
}

static err_t get_dim(struct cur *c, struct arena *a, struct table *t, int d)
{
    uint8_t there;
    TRY(cur_u8(c, &there));
    if (!there) return OK;
    struct table *dim = ARENA_NEW(a, struct table);
    TRY(get_part(c, a, TABLE_ROWS_MAX, dim));
    uint32_t *row = ARENA_RAW(a, uint32_t, t->nrows);
    TRY(col_code_decode(c, t->nrows, dim->nrows, row));
    t->dim[d] = dim;
    t->dim_row[d] = row;
    return OK;
}

static err_t get_child(struct cur *c, struct arena *a, struct table *t, int k)
{
    uint8_t there;
    TRY(cur_u8(c, &there));
    if (!there) return OK;
    struct table *child = ARENA_NEW(a, struct table);
    TRY(get_part(c, a, TABLE_CHILD_ROWS_MAX, child));
    uint32_t *first = ARENA_RAW(a, uint32_t, (size_t)t->nrows + 1);
    first[0] = 0;
    TRY(col_code_decode(c, t->nrows, child->nrows + 1, first + 1));
    uint64_t total = 0;
    for (uint32_t r = 1; r <= t->nrows; r++) {
        total += first[r];
        if (total > child->nrows) break;
        first[r] = (uint32_t)total;
    }
    if (total != child->nrows) return err_set(ERR_CORRUPT, "children do not add up to %u", child->nrows);
    t->child[k] = child;
    t->child_first[k] = first;
    return OK;
}

static err_t get_table(struct cur *c, struct table *t)
{
    uint64_t tmin, tmax;
    TRY(cur_varint(c, &tmin));
    TRY(cur_varint(c, &tmax));
    TRY(get_part(c, &t->mem, TABLE_ROWS_MAX, t));
    for (int d = 0; d < DIM_COUNT; d++)
        TRY(get_dim(c, &t->mem, t, d));
    for (int k = 0; k < CHILD_COUNT; k++)
        TRY(get_child(c, &t->mem, t, k));
    t->tmin_ns = unzigzag(tmin);
    t->tmax_ns = unzigzag(tmax);
    if (c->p != c->end) return err_set(ERR_CORRUPT, "%zu bytes behind the table", (size_t)(c->end - c->p));
    return arena_check(&t->mem);
}

/* -- into one block --------------------------------------------------------------------------------------- *
 * How much memory a table takes is known when it is there; then it moves into one block of that size, so that memtables of replayed
 * tables are as large as those of received ones. */

struct packer {
    struct arena *to; /* NULL: the bytes are counted */
    size_t bytes;
};

static void *keep(struct packer *k, const void *p, size_t n)
{
    k->bytes += (n + 15) & ~(size_t)15;
    return k->to ? arena_dup(k->to, p, n) : (void *)(uintptr_t)p;
}

static void pack_part(struct packer *k, struct table *t)
{
    t->cols = keep(k, t->cols, t->ncols * sizeof *t->cols);
    for (uint32_t i = 0; i < t->ncols; i++) {
        struct column *c = &t->cols[i];
        c->name.p = keep(k, c->name.p, c->name.n + 1);
        if (c->valid) c->valid = keep(k, c->valid, ((size_t)c->nrows + 63) / 64 * sizeof *c->valid);
        c->fix = keep(k, c->fix, (size_t)c->nrows * col_value_size(c->type, c->width));
        if (!col_is_dict(c->type)) continue;
        c->dict.bytes = keep(k, c->dict.bytes, c->dict.offset[c->dict.count]);
        c->dict.offset = keep(k, c->dict.offset, ((size_t)c->dict.count + 1) * sizeof *c->dict.offset);
    }
}

static void pack_all(struct packer *k, struct table *t)
{
    pack_part(k, t);
    for (int d = 0; d < DIM_COUNT; d++) {
        if (!t->dim[d]) continue;
        t->dim[d] = keep(k, t->dim[d], sizeof *t->dim[d]);
        t->dim_row[d] = keep(k, t->dim_row[d], t->nrows * sizeof *t->dim_row[d]);
        pack_part(k, t->dim[d]);
    }
    for (int c = 0; c < CHILD_COUNT; c++) {
        if (!t->child[c]) continue;
        t->child[c] = keep(k, t->child[c], sizeof *t->child[c]);
        t->child_first[c] = keep(k, t->child_first[c], ((size_t)t->nrows + 1) * sizeof *t->child_first[c]);
        pack_part(k, t->child[c]);
    }
}

static void pack(struct table *t)
{
    enum { BLOCK_HEAD = 128 };
    struct packer k = { 0 };
    struct arena one;
    pack_all(&k, t);
    arena_init_sized(&one, t->mem.budget, k.bytes + BLOCK_HEAD);
    k.to = &one;
    pack_all(&k, t);
    arena_deinit(&t->mem);
    t->mem = one;
}

err_t table_decode(struct str bytes, struct budget *budget, struct table **out)
{
    struct cur c = cur_of(bytes);
    uint8_t version;
    uint32_t raw_size;
    TRY(cur_u8(&c, &version));
    if (version != WIRE_VERSION) return err_set(ERR_CORRUPT, "a table of version %u", version);
    TRY(cur_count(&c, RAW_MAX, &raw_size));
    size_t packed = (size_t)(c.end - c.p);
    if (packed > INT32_MAX || raw_size > packed * LZ4_RATIO_MAX)
        return err_set(ERR_CORRUPT, "a table of %u bytes in %zu", raw_size, packed);
    struct arena scratch;
    arena_init_sized(&scratch, budget, (size_t)raw_size + 1);
    char *raw = arena_alloc(&scratch, (size_t)raw_size + 1);
    struct table *t = NULL;
    err_t e;
    TRY_OUT(e, arena_check(&scratch));
    int n = LZ4_decompress_safe((const char *)c.p, raw, (int)packed, (int)raw_size);
    if (n < 0 || (uint32_t)n != raw_size) {
        e = err_set(ERR_CORRUPT, "a table's lz4 block is damaged");
        goto out;
    }
    t = table_new(budget, (size_t)raw_size);
    struct cur body = cur_of((struct str){ raw, raw_size });
    e = get_table(&body, t);
    if (e == OK) pack(t);
out:
    arena_deinit(&scratch);
    if (e == OK)
        *out = t;
    else
        table_put(t);
    return e;
}
