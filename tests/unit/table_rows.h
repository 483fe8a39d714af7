/* Is a row of one table a row of another? */
#ifndef TESTS_UNIT_TABLE_ROWS_H
#define TESTS_UNIT_TABLE_ROWS_H

#include "storage/table.h"

#include <criterion/criterion.h>

static inline bool row_equal(const struct table *a, uint32_t ra, const struct table *b, uint32_t rb)
{
    for (int turn = 0; turn < 2; turn++) {
        const struct table *x = turn ? b : a, *y = turn ? a : b;
        uint32_t rx = turn ? rb : ra, ry = turn ? ra : rb;
        for (uint32_t i = 0; i < x->ncols; i++) {
            const struct column *c = &x->cols[i];
            if (!column_has(c, rx)) continue;
            const struct column *d = table_column(y, c->scope, c->name, c->type);
            if (!d || !column_has(d, ry)) return false;
            bool same;
            switch (c->type) {
            case COL_I64: same = c->i64[rx] == d->i64[ry]; break;
            case COL_F64: same = memcmp(&c->f64[rx], &d->f64[ry], 8) == 0; break;
            case COL_BOOL: same = c->boolean[rx] == d->boolean[ry]; break;
            case COL_FIX: same = memcmp(c->fix + rx * c->width, d->fix + ry * c->width, c->width) == 0; break;
            default: same = str_eq(column_str(c, rx), column_str(d, ry));
            }
            if (!same) return false;
        }
    }
    return true;
}

/* With its resource, its scope and its children. */
static inline void full_row_equal(const struct table *a, uint32_t ra, const struct table *b, uint32_t rb)
{
    cr_assert(row_equal(a, ra, b, rb));
    static const struct table none = { .nrows = 1 };
    for (int d = 0; d < DIM_COUNT; d++)
        cr_assert(row_equal(a->dim[d] ? a->dim[d] : &none, a->dim[d] ? a->dim_row[d][ra] : 0,
                            b->dim[d] ? b->dim[d] : &none, b->dim[d] ? b->dim_row[d][rb] : 0));
    for (int c = 0; c < CHILD_COUNT; c++) {
        uint32_t na = a->child[c] ? a->child_first[c][ra + 1] - a->child_first[c][ra] : 0;
        uint32_t nb = b->child[c] ? b->child_first[c][rb + 1] - b->child_first[c][rb] : 0;
        cr_assert_eq(na, nb);
        for (uint32_t i = 0; i < na; i++)
            cr_assert(row_equal(a->child[c], a->child_first[c][ra] + i, b->child[c], b->child_first[c][rb] + i));
    }
}

#endif
