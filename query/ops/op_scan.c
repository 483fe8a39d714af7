#include "query/ops/op_scan.h"

#include "base/core/assert.h"

struct scan_col {
    const struct column *col; /* NULL: absent in this rowset */
    const uint32_t *map;      /* dimensions */
    uint32_t rel_rows;
    void *data;               /* gathered values of a chunk: VEC_MAX of them */
    uint64_t *valid;
};

err_t op_scan_open(struct op_scan *s, struct view *v, const struct scan_opts *o, struct budget *budget)
{
    *s = (struct op_scan){ .opts = *o };
    ASSERT(o->ncols <= SCAN_COLS_MAX);
    arena_init(&s->mem, budget);
    arena_init(&s->keep, budget);
    s->sel = ARENA_RAW(&s->keep, uint16_t, VEC_MAX);
    s->bound = ARENA_ARRAY(&s->keep, struct scan_col, o->ncols + 1);
    s->chunk.cols = ARENA_ARRAY(&s->keep, struct vec, o->ncols + 1);
    s->chunk.ncols = o->ncols;
    for (uint32_t i = 0; i < o->ncols; i++) {
        s->bound[i].data = arena_calloc(&s->keep, VEC_MAX, 16);
        s->bound[i].valid = ARENA_ARRAY(&s->keep, uint64_t, MASK_WORDS);
    }
    struct expr_builder none = { 0 };
    expr_exec_init(&s->exec, o->builder ? o->builder : &none, o->filter, budget);
    struct rows_req rq = o->req;
    uint32_t n = MIN(rq.nhints, (uint32_t)SCAN_HINTS_MAX);
    if (n) memcpy(s->hints, rq.hints, n * sizeof *rq.hints);
    if (o->filter) n += expr_hints(o->filter, s->hints + n, SCAN_HINTS_MAX - n);
    rq.hints = s->hints;
    rq.nhints = n;
    TRY(arena_check(&s->keep));
    TRY(rows_open(v, &rq, &s->rows));
    s->src.rs = &s->rowset;
    return OK;
}

void op_scan_close(struct op_scan *s)
{
    if (s->rows) rows_close(s->rows);
    s->rows = NULL;
    expr_exec_deinit(&s->exec);
    arena_deinit(&s->mem);
    arena_deinit(&s->keep);
}

/* -- columns ------------------------------------------------------------------------------------------- */

static err_t bind_cols(struct op_scan *s)
{
    for (uint32_t i = 0; i < s->opts.ncols; i++) {
        const struct scan_spec *spec = &s->opts.cols[i];
        struct scan_col *b = &s->bound[i];
        b->map = NULL;
        TRY(rowset_column(&s->rowset, spec->rel, spec->scope, spec->name, spec->type, &b->col));
        if (!b->col || spec->rel == REL_ROWS) continue;
        TRY(rowset_dim(&s->rowset, spec->rel, &b->map, &b->rel_rows));
        if (!b->map) b->col = NULL;
    }
    s->cols_bound = true;
    s->rowset_seq++;
    return OK;
}

static void vec_absent(struct vec *v, struct scan_col *b, enum col_type type)
{
    memset(b->valid, 0, MASK_WORDS * sizeof *b->valid);
    memset(b->data, 0, 16);
    *v = (struct vec){ .type = type, .form = VEC_CONST, .valid = b->valid, .i64 = b->data };
}

static void vec_direct(struct vec *v, const struct column *c, uint32_t base)
{
    *v = (struct vec){ .type = c->type, .form = VEC_FLAT, .width = c->width };
    v->valid = c->valid ? c->valid + base / 64 : NULL;
    switch (c->type) {
    case COL_I64: v->i64 = c->i64 + base; break;
    case COL_F64: v->f64 = c->f64 + base; break;
    case COL_BOOL: v->boolean = c->boolean + base; break;
    case COL_FIX: v->fix = c->fix + (size_t)base * c->width; break;
    default:
        v->form = VEC_DICT;
        v->codes = c->code + base;
        v->dict = &c->dict;
        break;
    }
}

static void vec_gather(struct vec *v, struct scan_col *b, uint32_t base, uint32_t n)
{
    const struct column *c = b->col;
    const uint32_t *map = b->map + base;
    *v = (struct vec){ .type = c->type, .form = VEC_FLAT, .width = c->width, .i64 = b->data };
    if (c->valid) {
        memset(b->valid, 0, MASK_WORDS * sizeof *b->valid);
        for (uint32_t i = 0; i < n; i++)
            b->valid[i / 64] |= (uint64_t)column_has(c, map[i]) << (i % 64);
        v->valid = b->valid;
    }
    switch (c->type) {
    case COL_I64:
        for (uint32_t i = 0; i < n; i++)
            ((int64_t *)b->data)[i] = c->i64[map[i]];
        break;
    case COL_F64:
        for (uint32_t i = 0; i < n; i++)
            ((double *)b->data)[i] = c->f64[map[i]];
        break;
    case COL_BOOL:
        for (uint32_t i = 0; i < n; i++)
            ((uint8_t *)b->data)[i] = c->boolean[map[i]];
        break;
    case COL_FIX:
        for (uint32_t i = 0; i < n; i++)
            memcpy((uint8_t *)b->data + (size_t)i * c->width, c->fix + (size_t)map[i] * c->width, c->width);
        break;
    default:
        for (uint32_t i = 0; i < n; i++)
            ((uint32_t *)b->data)[i] = c->code[map[i]];
        v->form = VEC_DICT;
        v->dict = &c->dict;
        break;
    }
}

static void fill_vecs(struct op_scan *s, uint32_t base, uint32_t n)
{
    for (uint32_t i = 0; i < s->opts.ncols; i++) {
        struct scan_col *b = &s->bound[i];
        struct vec *v = &s->chunk.cols[i];
        if (!b->col) vec_absent(v, b, s->opts.cols[i].type);
        else if (b->map) vec_gather(v, b, base, n);
        else vec_direct(v, b->col, base);
    }
}

/* -- rows ------------------------------------------------------------------------------------------------ */

static err_t next_rowset(struct op_scan *s, bool *more)
{
    for (;;) {
        TRY(rows_next(s->rows, &s->rowset, more));
        if (!*more) return OK;
        arena_reset(&s->mem);
        s->at = s->sel_at = 0;
        s->cols_bound = false;
        s->can = EXPR_ALWAYS;
        if (s->opts.filter) TRY(expr_exec_bind(&s->exec, &s->src, &s->can));
        if (s->can != EXPR_NEVER && s->rowset.nsel) return OK;
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
}

/* The rows of the rowset's selection that fall into [base, base + n). */
static void selection_mask(struct op_scan *s, uint32_t base, uint32_t n, uint64_t *mask)
{
    if (!s->rowset.sel) {
        mask_fill(mask, n);
        return;
    }
    memset(mask, 0, MASK_WORDS * sizeof *mask);
    while (s->sel_at < s->rowset.nsel && s->rowset.sel[s->sel_at] < base + n) {
        uint32_t i = s->rowset.sel[s->sel_at++] - base;
        mask[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

err_t op_scan_next(struct op_scan *s, enum op_status *status)
{
    uint64_t mask[MASK_WORDS];
    for (;;) {
        if (!s->open || s->at >= s->rowset.nrows) {
            bool more;
            TRY(next_rowset(s, &more));
            s->open = more;
            if (!more) return *status = OP_FINISHED, OK;
        }
        if (rt_in_fiber()) TRY(rt_checkpoint());
        uint32_t base = s->at, n = MIN((uint32_t)VEC_MAX, s->rowset.nrows - base);
        s->at += n;
        selection_mask(s, base, n, mask);
        for (uint32_t w = 0; w < MASK_WORDS; w++)
            s->rows_seen += (uint64_t)__builtin_popcountll(mask[w]);
        if (s->can == EXPR_MAYBE && !mask_none(mask)) TRY(expr_exec_mask(&s->exec, base, n, mask));
        s->chunk.nsel = mask_to_sel(mask, s->sel);
        if (s->chunk.nsel == 0) continue;
        if (!s->cols_bound) TRY(bind_cols(s));
        s->chunk.n = n;
        s->chunk.base = base;
        s->chunk.sel = s->chunk.nsel == n ? NULL : s->sel;
        fill_vecs(s, base, n);
        return *status = OP_HAVE_OUTPUT, OK;
    }
}

uint64_t op_scan_rest(struct op_scan *s)
{
    if (s->can != EXPR_ALWAYS || s->at >= s->rowset.nrows) return 0;
    uint32_t rows = s->rowset.sel ? s->rowset.nsel - s->sel_at : s->rowset.nrows - s->at;
    s->at = s->rowset.nrows;
    s->rows_seen += rows;
    return rows;
}
