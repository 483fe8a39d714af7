#include "storage/rows_find.h"

#include "base/core/assert.h"
#include "storage/seg_ids.h"

#include <stdlib.h>

/* Of a group at most so much is fetched ahead; the rest is read when it is asked for. */
enum { FETCH_BYTES_MAX = 2 << 20, FETCH_ROWS_MAX = 256, FEW_ROWS_MAX = 4096 };

struct wants {
    struct arena *a;
    struct seg_range *v;
    uint32_t n;
    size_t cap;
    uint64_t bytes;
};

static void want(void *arg, uint64_t off, uint64_t n)
{
    struct wants *w = arg;
    if (n == 0 || w->bytes + n > FETCH_BYTES_MAX) return;
    w->v = arena_grow(w->a, w->v, w->n, &w->cap, w->n + 1, sizeof *w->v);
    w->v[w->n++] = (struct seg_range){ .off = off, .n = n };
    w->bytes += n;
}

/* Every column of the rows; of the other relations what is small: which of their rows are needed is not known yet. */
static void want_all(struct wants *w, const struct seg_rows *dir, const uint32_t *rows, uint32_t nrows)
{
    for (int rel = 0; rel < SEG_RELS; rel++) {
        const struct seg_rel *r = &dir->rel[rel];
        want(w, r->link.off, r->link.size);
        for (uint32_t i = 0; i < r->ncols; i++) {
            if (rel == REL_ROWS)
                seg_cut_want(&r->cols[i], r->nrows, rows, nrows, want, w);
            else if (r->cols[i].chunk.size <= SEG_CUT_CHUNK_MIN)
                want(w, r->cols[i].chunk.off, r->cols[i].chunk.size);
        }
    }
}

static const struct seg_col *id_column(const struct seg_rel *r)
{
    for (uint32_t i = 0; i < r->ncols; i++) {
        const struct seg_col *c = &r->cols[i];
        if (c->type == COL_FIX && c->width == 16 && c->scope == SC_SELF && str_eq(c->name, STR("trace_id"))) return c;
    }
    return NULL;
}

static int compare_ids(const void *x, const void *y) { return memcmp(x, y, 16); }

static bool is_one_of(struct rows_ids ids, const uint8_t *id)
{
    if (ids.n == 1) return memcmp(id, ids.v[0], 16) == 0;
    return bsearch(id, ids.v, ids.n, 16, compare_ids) != NULL;
}

static err_t compare(struct rows_found *f, const struct seg_col *c, const uint32_t *rows, uint32_t n, struct rows_ids want, struct arena *a)
{
    struct arena tmp;
    struct column ids;
    err_t e;
    arena_init(&tmp, a->budget);
    TRY_OUT(e, seg_rows_column_at(&f->from, &f->dir.rel[REL_ROWS], c, rows, n, &tmp, &ids));
    f->rows = ARENA_RAW(a, uint32_t, n);
    TRY_OUT(e, arena_check(a));
    for (uint32_t i = 0; i < n; i++)
        if (column_has(&ids, i) && is_one_of(want, ids.fix + (size_t)i * 16)) f->rows[f->n++] = rows[i];
out:
    arena_deinit(&tmp);
    return e;
}

static err_t read_few(struct rows_found *f, struct arena *a)
{
    const struct seg_rel *r = &f->dir.rel[REL_ROWS];
    for (uint32_t i = 0; i < r->ncols; i++) {
        struct column *c = ARENA_NEW(a, struct column);
        TRY(seg_rows_column_at(&f->from, r, &r->cols[i], f->rows, f->n, a, c));
        f->few[i] = c;
    }
    return OK;
}

err_t rows_find(struct seg *seg, const struct seg_group *g, const uint32_t *rows, uint32_t nrows, struct rows_ids ids, bool whole,
                struct arena *a, struct rows_found *out)
{
    struct wants w = { .a = a };
    *out = (struct rows_found){ .from = { .seg = seg } };
    TRY(seg_rows_parse(g->meta, g->nrows, a, &out->dir));
    const struct seg_rel *r = &out->dir.rel[REL_ROWS];
    const struct seg_col *c = id_column(r);
    out->few = ARENA_ARRAY(a, struct column *, r->ncols);
    TRY(arena_check(a));
    if (!c) return OK;
    if (nrows <= FETCH_ROWS_MAX && whole) want_all(&w, &out->dir, rows, nrows);
    else seg_cut_want(c, r->nrows, rows, nrows, want, &w);
    TRY(arena_check(a));
    TRY(seg_fetch(&out->from, w.v, w.n, a));
    for (uint32_t i = 0; i < out->from.nhave; i++)
        out->bytes += out->from.have[i].n;
    TRY(compare(out, c, rows, nrows, ids, a));
    return whole && out->n <= FEW_ROWS_MAX && out->n ? read_few(out, a) : OK;
}

err_t rows_in_fibers(uint32_t n, fiber_fn *fn, void *arg)
{
    const struct fiber_opts o = { .name = "ids", .class = RT_QUERY };
    struct scope scope;
    scope_init(&scope, NULL);
    for (uint32_t i = 0; i < MIN(n, ROWS_FIBERS); i++)
        if (fiber_start(&scope, &o, fn, arg) != OK) break; /* too many: fewer do it, or none */
    err_t e = scope_join(&scope);
    scope_deinit(&scope);
    return e;
}
