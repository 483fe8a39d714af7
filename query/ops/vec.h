/* The shape of the engine: vectors of at most 1,024 values and chunks of vectors that share a length.
 *
 * Operators are pulled: op_next fills a chunk and answers OP_HAVE_OUTPUT, OP_FINISHED, or an error; only the
 * scan at the bottom may suspend. Predicates run on dictionaries first (one bit a distinct value), then on
 * codes. A selection vector says which rows of a chunk still count; filters shrink it and copy nothing. */
#ifndef QUERY_OPS_VEC_H
#define QUERY_OPS_VEC_H

#include "storage/view.h"

enum { VEC_MAX = 1024 };

enum vec_form {
    VEC_FLAT,  /* data[i] */
    VEC_CONST, /* one value for all rows */
    VEC_DICT,  /* codes[i] into dict */
};

struct vec {
    enum col_type type;
    enum vec_form form;
    uint32_t width;        /* COL_FIX */
    const uint64_t *valid; /* bit a row from bit 0; NULL = all valid */
    union {
        const int64_t *i64;
        const double *f64;
        const uint8_t *boolean;
        const uint8_t *fix;
        const uint32_t *codes;
    };
    const struct dict *dict; /* strings: VEC_DICT, or VEC_CONST with codes[0] */
};

struct chunk {
    uint32_t n;            /* rows, <= VEC_MAX */
    uint32_t nsel;         /* rows that count */
    const uint16_t *sel;   /* ascending; NULL = all n */
    uint32_t base;         /* row number in the rowset of row 0 */
    uint32_t ncols;
    struct vec *cols;
};

enum op_status { OP_HAVE_OUTPUT, OP_FINISHED };

#endif
