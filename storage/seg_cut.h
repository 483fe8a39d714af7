/* Columns in pieces: few rows of a large column are read without the rest of it.
 *
 * A column chunk is col_column's bytes, whole. Where it is large, its directory says where it may be entered: its head, then
 * pieces of its dictionary, then pieces of its values, each with a checksum of its own, so that a reader fetches and
 * verifies what it needs alone.
 *   cut   = varint npieces (0: the column is read whole, and nothing follows) | varint ndict | varint dict_every |
 *           varint value_every | piece[npieces]: u32 end in the chunk | u32 lower half of the XXH3
 *   piece 0 is the head; then ndict pieces of dict_every blocks of the dictionary (1,024 fixed-size entries, or a block of
 *   strings (col_str.c), one a piece); then pieces of value_every times 256 values: fixed-size ones without a dictionary can be
 *   entered there, all others each 1,024.
 * Pieces are as many blocks as make 2 KiB. They take 8 bytes of the directory each, together 0.06 bytes a span more than of 8 KiB. */
#ifndef STORAGE_SEG_CUT_H
#define STORAGE_SEG_CUT_H

#include "storage/col_codec.h"
#include "storage/seg_reader.h"

enum { SEG_CUT_CHUNK_MIN = 16 << 10, SEG_CUT_PIECE = 2 << 10, SEG_CUT_UNIT = 256 };

struct seg_cut {
    uint32_t npieces, ndict, dict_every, value_every;
    const uint8_t *pieces; /* in the directory */
};
struct seg_col;

/* Appends the cut of an encoded column. */
void seg_cut_put(const struct col_marks *m, struct str chunk, enum col_type type, struct buf *out);
/* Pure. nvalid: values of the column. */
MUST_CHECK err_t seg_cut_parse(struct cur *c, uint32_t nvalid, struct seg_cut *out);
/* Rows[0..n), ascending, of a cut column of nrows: a column of n rows, as from col_column_decode_at. */
MUST_CHECK err_t seg_cut_column_at(const struct seg_reader *from, const struct seg_col *c, uint32_t nrows, const uint32_t *rows,
                                   uint32_t n, struct arena *a, struct column *out) MAY_YIELD;
/* Of the strings of rows[0..n) of a cut column: whose entries of the dictionary they are, and the blocks that hold those. */
struct seg_cut_strings {
    struct col_dict d;
    struct cur *blocks;  /* of the dictionary; p NULL: none of the rows' entries is in it */
    uint32_t *codes, k;  /* of the rows that have a value */
    const uint64_t *has; /* a bit a row; NULL: all have one */
};
MUST_CHECK err_t seg_cut_strings_at(const struct seg_reader *from, const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n,
                                    struct arena *a, struct seg_cut_strings *out) MAY_YIELD;
/* Calls add with the ranges that reading rows[0..n), ascending, will mostly need, as far as that is known without reading. */
typedef void seg_range_fn(void *arg, uint64_t off, uint64_t n);
void seg_cut_want(const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n, seg_range_fn *add, void *arg);

#endif
