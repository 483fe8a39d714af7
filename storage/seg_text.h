/* Which rows of a text column of a segment satisfy a condition on their strings (col_text_find.h), the column not being
 * decoded: the blocks of its dictionary are searched, and codes are read where entries were found or few rows are asked
 * about. Few rows of a column that is cut into pieces (seg_cut.h) cost the pieces that hold them. */
#ifndef STORAGE_SEG_TEXT_H
#define STORAGE_SEG_TEXT_H

#include "storage/col_text_find.h"
#include "storage/seg_rows.h"

struct seg_text_found { /* a bit a row of the group, each (nrows + 63) / 64 words */
    uint64_t *has;      /* a value; of rows that are asked about */
    uint64_t *holds;    /* and it satisfies */
};
/* rows[0..n), ascending, are asked about; NULL: all. The bits are in `a`. */
MUST_CHECK err_t seg_text_find(const struct seg_reader *from, const struct seg_rel *rel, const struct seg_col *c, const uint32_t *rows,
                               uint32_t n, const struct text_cond *cond, struct arena *a, struct seg_text_found *out) MAY_YIELD;

#endif
