/* What the rows of a rowset hold (view.h): columns and links, read and decoded when they are first asked for, into the arena
 * that lives as long as the rowset. Of few rows only the pieces that hold them are read, where a column has pieces. */
#include "base/core/assert.h"
#include "storage/rows_scan_int.h"
#include "storage/seg_text.h"
#include "storage/table_grow.h"

#include <stdlib.h>

/* Fewer than one row of so many are decoded alone. */
enum { FEW_OF = 16 };

/* -- columns of the current rowset --------------------------------------------------------------------------- */

static err_t load_whole(struct rowset_impl *im, int rel, uint32_t i, const struct column **out)
{
    struct column **slot = &im->loaded[rel][i];
    if (!*slot) {
        const struct seg_col *c = &im->dir.rel[rel].cols[i];
        struct column *col = ARENA_NEW(&im->scan->rowset, struct column);
        TRY(seg_rows_column(&im->from, &im->dir.rel[rel], c, &im->scan->rowset, col));
        im->scan->v->counts.bytes += c->chunk.size;
        *slot = col;
    }
    *out = *slot;
    return OK;
}

const uint32_t *rowset_impl_numbers(struct rowset_impl *im, const uint32_t *rows, uint32_t n)
{
    uint32_t *v = ARENA_RAW(&im->scan->rowset, uint32_t, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++)
        v[i] = im->packed[rows[i]];
    return v;
}

/* Rows[0..n) of a column, by their numbers in the group. One that is not cut is decoded whole anyway. */
static err_t load_some(struct rowset_impl *im, int rel, uint32_t i, const uint32_t *rows, uint32_t n, const struct column **out)
{
    struct arena *a = &im->scan->rowset;
    const struct seg_rel *r = &im->dir.rel[rel];
    struct column *col = ARENA_NEW(a, struct column);
    *out = col;
    if (im->loaded[rel][i] || r->cols[i].cut.npieces == 0) {
        const struct column *whole;
        TRY(load_whole(im, rel, i, &whole));
        return rows_gather(whole, rows, n, a, col);
    }
    im->scan->v->counts.bytes += r->cols[i].chunk.size;
    return seg_rows_column_at(&im->from, r, &r->cols[i], rows, n, a, col);
}

err_t rowset_impl_load(struct rowset_impl *im, int rel, uint32_t i, const struct column **out)
{
    if (!im->packed || rel != REL_ROWS) return load_whole(im, rel, i, out);
    if (!im->few[i]) {
        const struct column *col;
        TRY(load_some(im, rel, i, im->packed, im->npacked, &col));
        im->few[i] = (struct column *)(uintptr_t)col;
    }
    *out = im->few[i];
    return OK;
}

err_t rowset_impl_link(struct rowset_impl *im, int rel, const uint32_t **out)
{
    if (im->packed && rel <= REL_SCOPE) {
        const uint32_t **few = &im->few_link[rel];
        if (!*few) TRY(seg_rows_link_at(&im->from, &im->dir, rel, im->packed, im->npacked, &im->scan->rowset, few));
        *out = *few;
        return OK;
    }
    if (!im->link[rel]) {
        TRY(seg_rows_link(&im->from, &im->dir, rel, &im->scan->rowset, &im->link[rel]));
        im->scan->v->counts.bytes += im->dir.rel[rel].link.size;
    }
    *out = im->link[rel];
    return OK;
}

err_t rowset_impl_columns(struct rowset_impl *im, int rel, enum col_scope scope, struct str name,
                           const struct column **cols, uint32_t max, uint32_t *n)
{
    *n = 0;
    if (im->src->part) {
        const struct table *t = table_relation(im->src->part->table, rel);
        for (uint32_t i = 0; t && i < t->ncols && *n < max; i++)
            if (rowset_is_named(t->cols[i].scope, t->cols[i].name, scope, name)) cols[(*n)++] = &t->cols[i];
        return OK;
    }
    const struct seg_rel *r = &im->dir.rel[rel];
    for (uint32_t i = 0; i < r->ncols && *n < max; i++)
        if (rowset_is_named(r->cols[i].scope, r->cols[i].name, scope, name)) TRY(rowset_impl_load(im, rel, i, &cols[(*n)++]));
    return OK;
}

err_t rowset_impl_column(struct rowset_impl *im, int rel, enum col_scope scope, struct str name,
                          enum col_type type, const struct column **col)
{
    *col = NULL;
    if (im->src->part) {
        const struct table *t = table_relation(im->src->part->table, rel);
        if (t) *col = table_column(t, scope, name, type);
        return OK;
    }
    const struct seg_rel *r = &im->dir.rel[rel];
    for (uint32_t i = 0; i < r->ncols; i++)
        if (r->cols[i].type == type && rowset_is_named(r->cols[i].scope, r->cols[i].name, scope, name))
            return rowset_impl_load(im, rel, i, col);
    return OK;
}

/* -- asking a rowset -------------------------------------------------------------------------------------------------- */

err_t rowset_columns(struct rowset *rs, int rel, enum col_scope scope, struct str name, const struct column **cols,
                     uint32_t max, uint32_t *n)
{
    return rowset_impl_columns(rs->impl, rel, scope, name, cols, max, n);
}

err_t rowset_column(struct rowset *rs, int rel, enum col_scope scope, struct str name, enum col_type type,
                    const struct column **col)
{
    return rowset_impl_column(rs->impl, rel, scope, name, type, col);
}

/* Are these the rows that were found? Their columns may be there already. */
static bool are_found(const struct rowset_impl *im, int rel, const uint32_t *rows, uint32_t n)
{
    const struct rows_found *f = im->found;
    return f && rel == REL_ROWS && f->n == n && memcmp(f->rows, rows, n * sizeof *rows) == 0;
}

static err_t few_of_packed(struct rowset_impl *im, uint32_t i, const uint32_t *rows, uint32_t n, const struct column **col,
                           bool *packed)
{
    *packed = !im->few[i] && n < im->npacked;
    if (!*packed) return rowset_impl_load(im, REL_ROWS, i, col);
    return load_some(im, REL_ROWS, i, rowset_impl_numbers(im, rows, n), n, col);
}

static err_t few_rows(struct rowset_impl *im, int rel, uint32_t i, const uint32_t *rows, uint32_t n, const struct column **col,
                      bool *packed)
{
    const struct seg_rel *r = &im->dir.rel[rel];
    if (im->packed && rel == REL_ROWS) return few_of_packed(im, i, rows, n, col, packed);
    *col = im->loaded[rel][i];
    if (*col) return OK;
    *packed = true;
    if (are_found(im, rel, rows, n)) *col = im->found->few[i];
    if (*col) return OK;
    *packed = n < r->nrows / FEW_OF;
    if (!*packed) return rowset_impl_load(im, rel, i, col);
    struct column *few = ARENA_NEW(&im->scan->rowset, struct column);
    TRY(seg_rows_column_at(&im->from, r, &r->cols[i], rows, n, &im->scan->rowset, few));
    im->scan->v->counts.bytes += r->cols[i].chunk.size;
    *col = few;
    return OK;
}

err_t rowset_column_at(struct rowset *rs, int rel, const struct column_key *key, const uint32_t *rows, uint32_t n,
                       const struct column **col, bool *packed)
{
    struct rowset_impl *im = rs->impl;
    const struct seg_rel *r = &im->dir.rel[rel];
    *packed = false;
    if (im->src->part) return rowset_impl_column(im, rel, key->scope, key->name, key->type, col);
    *col = NULL;
    for (uint32_t i = 0; i < r->ncols; i++) {
        const struct seg_col *c = &r->cols[i];
        if (c->type == key->type && rowset_is_named(c->scope, c->name, key->scope, key->name))
            return few_rows(im, rel, i, rows, n, col, packed);
    }
    return OK;
}

static void widen(uint64_t *from, uint64_t *to, const struct seg_chunk *c)
{
    if (c->size == 0) return;
    *from = MIN(*from, c->off);
    *to = MAX(*to, c->off + c->size);
}

void rowset_will_read(struct rowset *rs)
{
    const struct rowset_impl *im = rs->impl;
    uint64_t from = UINT64_MAX, to = 0;
    if (im->src->part || im->found || im->packed) return;
    for (int rel = 0; rel < SEG_RELS; rel++) {
        const struct seg_rel *r = &im->dir.rel[rel];
        widen(&from, &to, &r->link);
        for (uint32_t i = 0; i < r->ncols; i++)
            widen(&from, &to, &r->cols[i].chunk);
    }
    seg_will_read(im->src->seg, from, to);
}

bool rowset_zone(const struct rowset *rs, enum col_scope scope, struct str name, int64_t *min, int64_t *max)
{
    const struct rowset_impl *im = rs->impl;
    const struct seg_col *found = NULL;
    if (im->src->part) return false;
    const struct seg_rel *r = &im->dir.rel[REL_ROWS];
    for (uint32_t i = 0; i < r->ncols; i++) {
        if (!rowset_is_named(r->cols[i].scope, r->cols[i].name, scope, name)) continue;
        if (found) return false;
        found = &r->cols[i];
    }
    if (!found || found->type != COL_I64 || !(found->flags & SEG_COL_INT) || found->nvalid != r->nrows) return false;
    *min = found->min;
    *max = found->max;
    return true;
}

static uint32_t relation_rows(const struct rowset_impl *im, int rel)
{
    if (im->packed && rel == REL_ROWS) return im->npacked;
    if (!im->src->part) return im->dir.rel[rel].present ? im->dir.rel[rel].nrows : 0;
    const struct table *t = table_relation(im->src->part->table, rel);
    return t ? t->nrows : 0;
}

static err_t link_of(struct rowset_impl *im, int rel, const uint32_t **out, uint32_t *rows)
{
    *out = NULL;
    *rows = relation_rows(im, rel);
    if (!im->src->part) return im->dir.rel[rel].present ? rowset_impl_link(im, rel, out) : OK;
    const struct table *t = im->src->part->table;
    if (!table_relation(t, rel)) return OK;
    *out = rel <= REL_SCOPE ? t->dim_row[rel - REL_RESOURCE] : t->child_first[rel - REL_EVENTS];
    return OK;
}

err_t rowset_dim(struct rowset *rs, int rel, const uint32_t **dim_row, uint32_t *dim_rows)
{
    ASSERT(rel == REL_RESOURCE || rel == REL_SCOPE);
    return link_of(rs->impl, rel, dim_row, dim_rows);
}

err_t rowset_dim_at(struct rowset *rs, int rel, const uint32_t *rows, uint32_t n, const uint32_t **dim_row, uint32_t *dim_rows)
{
    struct rowset_impl *im = rs->impl;
    struct arena *a = &im->scan->rowset;
    const uint32_t *all;
    ASSERT(rel == REL_RESOURCE || rel == REL_SCOPE);
    bool read = im->packed ? im->few_link[rel] != NULL : im->link[rel] != NULL;
    if (!im->src->part && im->dir.rel[rel].present && !read && n < rs->nrows / FEW_OF) {
        *dim_rows = im->dir.rel[rel].nrows;
        if (im->packed) rows = rowset_impl_numbers(im, rows, n);
        im->scan->v->counts.bytes += im->dir.rel[rel].link.size;
        return seg_rows_link_at(&im->from, &im->dir, rel, rows, n, a, dim_row);
    }
    TRY(link_of(im, rel, &all, dim_rows));
    *dim_row = NULL;
    if (!all) return OK;
    uint32_t *v = ARENA_RAW(a, uint32_t, (size_t)n + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++)
        v[i] = all[rows[i]];
    *dim_row = v;
    return OK;
}

err_t rowset_child(struct rowset *rs, int rel, const uint32_t **first, uint32_t *child_rows)
{
    ASSERT(rel == REL_EVENTS || rel == REL_LINKS);
    return link_of(rs->impl, rel, first, child_rows);
}

static int by_name(const void *pa, const void *pb)
{
    const struct column_key *a = pa, *b = pb;
    int c = a->scope != b->scope ? (a->scope > b->scope ? 1 : -1) : str_cmp(a->name, b->name);
    return c ? c : (a->type > b->type) - (a->type < b->type);
}

err_t rowset_keys(struct rowset *rs, int rel, const struct column_key **keys, uint32_t *n)
{
    struct rowset_impl *im = rs->impl;
    struct arena *a = &im->scan->rowset;
    const struct table *t = im->src->part ? table_relation(im->src->part->table, rel) : NULL;
    const struct seg_rel *r = &im->dir.rel[rel];
    *n = im->src->part ? (t ? t->ncols : 0) : r->ncols;
    struct column_key *out = ARENA_RAW(a, struct column_key, *n);
    for (uint32_t i = 0; i < *n; i++)
        out[i] = t ? (struct column_key){ t->cols[i].scope, t->cols[i].type, t->cols[i].name }
                   : (struct column_key){ r->cols[i].scope, r->cols[i].type, r->cols[i].name };
    *keys = out;
    TRY(arena_check(a));
    if (*n) qsort(out, *n, sizeof *out, by_name);
    return OK;
}

/* -- finding text ----------------------------------------------------------------------------------------------------- */

/* The rows of the selection and of `among`, by their numbers in the group; NULL when that is all of it. */
static err_t rows_asked(struct rowset_impl *im, const struct rowset *rs, const uint64_t *among, const uint32_t **rows, uint32_t *n)
{
    *rows = NULL;
    *n = rs->nrows;
    if (!im->packed && !rs->sel && !among) return OK;
    uint32_t *v = ARENA_RAW(&im->scan->rowset, uint32_t, (size_t)rs->nsel + 1);
    TRY(arena_check(&im->scan->rowset));
    *n = 0;
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        if (!among || among[row / 64] >> (row % 64) & 1) v[(*n)++] = im->packed ? im->packed[row] : row;
    }
    if (im->packed || *n < rs->nrows) *rows = v;
    return OK;
}

/* The bits of a packed rowset's rows, out of those of the group. */
static const uint64_t *pack_bits(struct rowset_impl *im, const uint64_t *bits)
{
    uint64_t *to = ARENA_ARRAY(&im->scan->rowset, uint64_t, im->npacked / 64 + 1);
    for (uint32_t i = 0; i < im->npacked; i++)
        to[i / 64] |= (bits[im->packed[i] / 64] >> (im->packed[i] % 64) & 1) << (i % 64);
    return to;
}

err_t rowset_find(struct rowset *rs, const struct column_key *key, const struct text_cond *cond, const uint64_t *among,
                  struct rows_text *out, bool *known)
{
    struct rowset_impl *im = rs->impl;
    struct arena *a = &im->scan->rowset;
    const struct seg_rel *r = &im->dir.rel[REL_ROWS];
    struct seg_text_found found;
    const uint32_t *rows;
    uint32_t i = 0, n;
    *known = false;
    if (im->src->part || im->found || !col_is_dict(key->type)) return OK;
    while (i < r->ncols && !(r->cols[i].type == key->type && rowset_is_named(r->cols[i].scope, r->cols[i].name, key->scope, key->name)))
        i++;
    if (i == r->ncols || im->loaded[REL_ROWS][i] || (im->packed && im->few[i])) return OK;
    TRY(rows_asked(im, rs, among, &rows, &n));
    TRY(seg_text_find(&im->from, r, &r->cols[i], rows, n, cond, a, &found));
    im->scan->v->counts.bytes += r->cols[i].chunk.size;
    *out = (struct rows_text){ found.has, found.holds };
    if (im->packed) *out = (struct rows_text){ pack_bits(im, found.has), pack_bits(im, found.holds) };
    *known = true;
    return arena_check(a);
}
