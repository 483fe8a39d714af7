/* Building a table row by row. States of the target:
 *
 *     none --resource--> resource --scope--> scope --row--> row --child--> event | link --row--> row ...
 *
 * A resource or scope is committed (and found again when equal) when something else begins. Rows that come
 * before any resource, in a table that has resources later, get an empty one; scopes likewise. */
#include "base/core/assert.h"
#include "storage/table_grow.h"

#include <stdlib.h>

enum {
    CHILD_ROWS_FULL = TABLE_CHILD_ROWS_MAX / 2, /* the next row may bring as many again */
    NEW_COLS_RESERVE = 128,                     /* columns that the next row may bring: the attribute limit of SDKs */
    BYTES_FULL = 96 << 20,
};

struct table_builder {
    struct arena a;
    struct grow rows, dim[DIM_COUNT], child[CHILD_COUNT];
    struct grow *target;       /* what table_set_* writes to; NULL = nothing, or a child past the limit */
    bool row_open;
    uint32_t rows_dropped;
    uint32_t current[DIM_COUNT]; /* committed row, or GROW_NONE */
    bool pending[DIM_COUNT];     /* begun, not yet committed */
    uint32_t *dim_row[DIM_COUNT];
    size_t dim_cap[DIM_COUNT];
    uint32_t *child_first[CHILD_COUNT];
    size_t first_cap[CHILD_COUNT];
    uint32_t child_dropped[CHILD_COUNT];
};

struct table_builder *table_builder_new(struct budget *budget)
{
    struct table_builder *b = malloc(sizeof *b);
    ASSERT(b);
    memset(b, 0, sizeof *b);
    arena_init(&b->a, budget);
    uint64_t seed = hash_seeded64(STR("table"));
    grow_init(&b->rows, &b->a, seed);
    for (int d = 0; d < DIM_COUNT; d++) {
        grow_init(&b->dim[d], &b->a, seed);
        b->current[d] = GROW_NONE;
    }
    for (int c = 0; c < CHILD_COUNT; c++)
        grow_init(&b->child[c], &b->a, seed);
    return b;
}

void table_builder_free(struct table_builder *b)
{
    if (!b) return;
    grow_deinit(&b->rows);
    for (int d = 0; d < DIM_COUNT; d++)
        grow_deinit(&b->dim[d]);
    for (int c = 0; c < CHILD_COUNT; c++)
        grow_deinit(&b->child[c]);
    arena_deinit(&b->a);
    free(b);
}

uint32_t table_builder_rows(const struct table_builder *b) { return b->rows.nrows; }

bool table_builder_full(const struct table_builder *b)
{
    const uint32_t cols = GROW_ATTR_COLS_MAX - NEW_COLS_RESERVE;
    if (b->rows.nrows + b->rows_dropped >= TABLE_ROWS_MAX || b->rows.ncols > cols) return true;
    for (int d = 0; d < DIM_COUNT; d++)
        if (b->dim[d].ncols > cols || b->dim[d].nrows >= TABLE_ROWS_MAX) return true;
    for (int c = 0; c < CHILD_COUNT; c++)
        if (b->child[c].ncols > cols || b->child[c].nrows > CHILD_ROWS_FULL) return true;
    return b->a.bytes > BYTES_FULL;
}

err_t table_builder_check(const struct table_builder *b) { return arena_check(&b->a); }

static void end_row(struct table_builder *b)
{
    static const struct str dropped_name[CHILD_COUNT] = {
        [CHILD_EVENTS] = { "dropped_events", 14 }, [CHILD_LINKS] = { "dropped_links", 13 },
    };
    if (!b->row_open) return;
    b->row_open = false;
    grow_account_dropped(&b->rows);
    for (int c = 0; c < CHILD_COUNT; c++) {
        if (b->child[c].nrows) grow_account_dropped(&b->child[c]);
        uint32_t n = b->child_dropped[c];
        if (!n) continue;
        b->child_dropped[c] = 0;
        uint32_t touched = b->rows.ntouched;
        struct grow_col *col = grow_cell(&b->rows, SC_SELF, dropped_name[c], COL_I64, 8);
        if (!col) continue;
        uint32_t row = b->rows.nrows - 1;
        col->i64[row] = b->rows.ntouched > touched ? n : col->i64[row] + n;
    }
}

static void end_target(struct table_builder *b)
{
    end_row(b);
    for (int d = 0; d < DIM_COUNT; d++) {
        if (!b->pending[d]) continue;
        b->pending[d] = false;
        b->current[d] = grow_commit(&b->dim[d]);
    }
    b->target = NULL;
}

static uint32_t empty_dim(struct table_builder *b, int d)
{
    grow_row(&b->dim[d]);
    return grow_commit(&b->dim[d]);
}

static void begin_dim(struct table_builder *b, int d)
{
    end_target(b);
    if (b->dim[d].nrows == 0 && b->rows.nrows) {
        uint32_t empty = empty_dim(b, d);
        b->dim_row[d] = arena_grow(&b->a, b->dim_row[d], 0, &b->dim_cap[d], b->rows.nrows, sizeof(uint32_t));
        for (uint32_t r = 0; r < b->rows.nrows; r++)
            b->dim_row[d][r] = empty;
    }
    grow_row(&b->dim[d]);
    b->pending[d] = true;
    b->target = &b->dim[d];
}

void table_resource(struct table_builder *b)
{
    begin_dim(b, DIM_RESOURCE);
    b->current[DIM_SCOPE] = GROW_NONE;
}

void table_scope(struct table_builder *b) { begin_dim(b, DIM_SCOPE); }

void table_row(struct table_builder *b)
{
    end_target(b);
    ASSERT(b->rows.nrows < TABLE_ROWS_MAX); /* the caller asks table_builder_full */
    uint32_t row = b->rows.nrows;
    for (int d = 0; d < DIM_COUNT; d++) {
        if (b->dim[d].nrows == 0) continue;
        if (b->current[d] == GROW_NONE) b->current[d] = empty_dim(b, d);
        b->dim_row[d] = arena_grow(&b->a, b->dim_row[d], row, &b->dim_cap[d], row + 1, sizeof(uint32_t));
        b->dim_row[d][row] = b->current[d];
    }
    for (int c = 0; c < CHILD_COUNT; c++) {
        b->child_first[c] = arena_grow(&b->a, b->child_first[c], row, &b->first_cap[c], row + 2, sizeof(uint32_t));
        b->child_first[c][row] = b->child[c].nrows;
    }
    grow_row(&b->rows);
    b->row_open = true;
    b->target = &b->rows;
}

void table_row_drop(struct table_builder *b)
{
    ASSERT(b->row_open);
    grow_drop_row(&b->rows);
    for (int c = 0; c < CHILD_COUNT; c++) {
        grow_truncate(&b->child[c], b->child_first[c][b->rows.nrows]);
        b->child_dropped[c] = 0;
    }
    b->rows_dropped++; /* counts towards full: dropping costs a walk over the children's columns */
    b->row_open = false;
    b->target = NULL;
}

void table_child(struct table_builder *b, int child)
{
    ASSERT(b->row_open && child >= 0 && child < CHILD_COUNT);
    struct grow *g = &b->child[child];
    if (g->nrows > b->child_first[child][b->rows.nrows - 1]) grow_account_dropped(g);
    if (g->nrows >= TABLE_CHILD_ROWS_MAX) {
        b->child_dropped[child]++;
        b->target = NULL;
        return;
    }
    grow_row(g);
    b->target = g;
}

void table_set_i64(struct table_builder *b, enum col_scope s, struct str name, int64_t v)
{
    if (b->target) grow_set_i64(b->target, s, name, v);
}

void table_set_f64(struct table_builder *b, enum col_scope s, struct str name, double v)
{
    if (b->target) grow_set_raw(b->target, s, name, COL_F64, &v, sizeof v);
}

void table_set_bool(struct table_builder *b, enum col_scope s, struct str name, bool v)
{
    uint8_t byte = v;
    if (b->target) grow_set_raw(b->target, s, name, COL_BOOL, &byte, 1);
}

void table_set_str(struct table_builder *b, enum col_scope s, struct str name, enum col_type type, struct str v)
{
    ASSERT_HOT(col_is_dict(type));
    if (b->target) grow_set_str(b->target, s, name, type, v);
}

void table_set_fix(struct table_builder *b, enum col_scope s, struct str name, const void *p, uint32_t width)
{
    ASSERT_HOT(width == 8 || width == 16);
    if (b->target) grow_set_raw(b->target, s, name, COL_FIX, p, width);
}

static struct table *finish_part(const struct grow *g, struct arena *a)
{
    struct table *t = ARENA_NEW(a, struct table);
    grow_finish(g, a, t);
    return t;
}

struct table *table_builder_finish(struct table_builder *b, struct str time_column)
{
    end_target(b);
    uint32_t n = b->rows.nrows;
    size_t guess = grow_bytes(&b->rows) + 4096 + (size_t)n * sizeof(uint32_t) * (DIM_COUNT + CHILD_COUNT);
    for (int d = 0; d < DIM_COUNT; d++)
        guess += grow_bytes(&b->dim[d]);
    for (int c = 0; c < CHILD_COUNT; c++)
        guess += grow_bytes(&b->child[c]);
    struct table *t = table_new(b->a.budget, guess);
    grow_finish(&b->rows, &t->mem, t);
    for (int d = 0; d < DIM_COUNT; d++) {
        if (b->dim[d].nrows == 0 || n == 0) continue;
        t->dim[d] = finish_part(&b->dim[d], &t->mem);
        t->dim_row[d] = arena_dup(&t->mem, b->dim_row[d], n * sizeof(uint32_t));
    }
    for (int c = 0; c < CHILD_COUNT; c++) {
        if (b->child[c].nrows == 0) continue;
        t->child[c] = finish_part(&b->child[c], &t->mem);
        b->child_first[c][n] = b->child[c].nrows;
        t->child_first[c] = arena_dup(&t->mem, b->child_first[c], (n + 1) * sizeof(uint32_t));
    }
    table_set_times(t, time_column);
    table_builder_free(b);
    return t;
}
