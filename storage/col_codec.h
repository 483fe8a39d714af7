/* Codecs of columns, one a file; shared by the wire form of tables (table_wire.c) and segments (seg_rows.c).
 *
 * Encoders append to a buf. Decoders take bytes from a cursor, never read behind its end, and answer
 * ERR_CORRUPT to anything that no encoder writes; the number of values is known from outside. All integers
 * are little-endian; "varint" is base-128 (varint.h). Encoders and decoders do not yield: they use
 * per-thread scratch.
 *
 * The *_at decoders read few values of many: those numbered at[0..k), ascending, below n; side by side into out.
 * What they need not decode they skip, unchecked. */
#ifndef STORAGE_COL_CODEC_H
#define STORAGE_COL_CODEC_H

#include "base/core/varint.h"
#include "storage/col_tally.h"
#include "storage/table.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little-endian and so are we");

enum col_level {
    COL_LIGHT, /* fast; bytes as they are: something above compresses */
    COL_SEAL,  /* zstd-1 */
    COL_MERGE, /* zstd-6, and texts cut finer where that costs little (col_str.c): written once, read long */
};

/* -- cursor ----------------------------------------------------------------------------------------- */
struct cur {
    const uint8_t *p, *end;
};
static inline struct cur cur_of(struct str s)
{
    return (struct cur){ (const uint8_t *)s.p, (const uint8_t *)s.p + s.n };
}
MUST_CHECK err_t cur_u8(struct cur *c, uint8_t *v);
MUST_CHECK err_t cur_varint(struct cur *c, uint64_t *v);
/* A varint of at most max. */
MUST_CHECK err_t cur_count(struct cur *c, uint32_t max, uint32_t *v);
MUST_CHECK err_t cur_take(struct cur *c, size_t n, const uint8_t **p);
/* varint length and bytes */
MUST_CHECK err_t cur_str(struct cur *c, size_t max, struct str *s);
void buf_lstr(struct buf *b, struct str s);

/* -- marks ------------------------------------------------------------------------------------------- *
 * Where an encoded column can be entered, counted from its first byte: where its head ends (validity, and what else the
 * decoder needs first), then the ends of the blocks of its dictionary, then those of its blocks of 1,024 values (COL_FIX_MARK
 * fixed-size ones without a dictionary). */
struct col_marks {
    uint32_t *end, n, cap;
    uint32_t ndict, nvalues; /* n = 1 + ndict + nvalues */
    size_t base;             /* of the column in the buf */
};
void col_marks_begin(struct col_marks *m, const struct buf *out); /* forgets what it had; zeroed before the first time */
void col_marks_deinit(struct col_marks *m);
/* m may be NULL: nobody asks. */
void col_mark_head(struct col_marks *m, const struct buf *out);
void col_mark_dict(struct col_marks *m, const struct buf *out);
void col_mark_values(struct col_marks *m, const struct buf *out);

/* -- col_pack.c: n <= COL_BLOCK integers in `width` bits each --------------------------------------- *
 * A full block is lane-transposed: value i is row i / 16 of lane i % 16, a lane packs its 64 values from bit 0
 * up into `width` words, word w of lane l stands at w * 16 + l; so sixteen neighbours are packed by the same
 * shifts, and plain C vectorises. A shorter block is packed one value after another from bit 0. */
enum { COL_BLOCK = 1024 };
static inline unsigned bits_of(uint64_t v) { return v ? 64 - (unsigned)__builtin_clzll(v) : 0; }
size_t col_pack_bytes(uint32_t n, unsigned width);
void col_pack(const uint64_t *v, uint32_t n, unsigned width, struct buf *out);
void col_unpack(const uint8_t *p, uint32_t n, unsigned width, uint64_t *out); /* p has col_pack_bytes */
uint64_t col_unpack_at(const uint8_t *p, uint32_t n, unsigned width, uint32_t i); /* value i of them alone */

/* -- col_int.c ------------------------------------------------------------------------------------- */
void col_int_encode(const int64_t *v, uint32_t n, struct buf *out);
MUST_CHECK err_t col_int_decode(struct cur *c, uint32_t n, int64_t *out);
void col_code_encode(const uint32_t *v, uint32_t n, struct buf *out);
MUST_CHECK err_t col_code_decode(struct cur *c, uint32_t n, uint32_t limit, uint32_t *out); /* all < limit */
MUST_CHECK err_t col_int_decode_at(struct cur *c, uint32_t n, const uint32_t *at, uint32_t k, int64_t *out);
MUST_CHECK err_t col_code_decode_at(struct cur *c, uint32_t n, uint32_t limit, const uint32_t *at, uint32_t k, uint32_t *out);

/* -- col_f64.c: lossless to the bit ---------------------------------------------------------------- */
void col_f64_encode(const double *v, uint32_t n, struct buf *out);
MUST_CHECK err_t col_f64_decode(struct cur *c, uint32_t n, double *out);

/* -- col_bits.c ------------------------------------------------------------------------------------ */
/* n bits from bit 0 of words; NULL = all ones. */
void col_bits_encode(const uint64_t *words, uint32_t n, struct buf *out);
/* Into (n + 63) / 64 words, bits behind n clear; *ones = how many are set. */
MUST_CHECK err_t col_bits_decode(struct cur *c, uint32_t n, uint64_t *words, uint32_t *ones);

/* Are all bits set? Then moves behind them. False says nothing. */
bool col_bits_skip_all(struct cur *c);

/* -- col_fix.c: width 1 to 16 bytes a value -------------------------------------------------------- */
enum { COL_FIX_MARK = 256 }; /* values between two marks, where there is no dictionary */
void col_fix_encode(const uint8_t *v, uint32_t n, uint32_t width, enum col_level level, struct buf *out, struct col_marks *m);
MUST_CHECK err_t col_fix_decode(struct cur *c, uint32_t n, uint32_t width, uint8_t *out);
MUST_CHECK err_t col_fix_decode_at(struct cur *c, uint32_t n, uint32_t width, const uint32_t *at, uint32_t k, uint8_t *out);
/* What stands in front of the first mark: the number of entries of the dictionary, 0 when there is none. */
MUST_CHECK err_t col_fix_head(struct cur *c, uint32_t n, uint32_t *count);

/* -- col_str.c: dictionaries -------------------------------------------------------------------------- */
enum { COL_STR_BLOCK = 256 << 10, COL_TEXT_BLOCK = 4 << 20, COL_DICT_BYTES_MAX = 512 << 20 };
void col_dict_encode(const struct dict *d, enum col_level level, struct buf *out, struct col_marks *m);
MUST_CHECK err_t col_dict_decode(struct cur *c, uint32_t count_max, struct arena *a, struct dict *out);
/* A dictionary and the n codes behind it: the k values as a dictionary of their own, one entry a value. */
MUST_CHECK err_t col_dict_decode_at(struct cur *c, uint32_t n, const uint32_t *at, uint32_t k, struct arena *a, struct dict *out);

/* What stands in front of the first mark. */
struct col_dict {
    uint32_t count, nblocks;
    uint32_t *first; /* nblocks + 1: numbers of the blocks' first entries, */
    uint32_t *from;  /* and where their bytes begin in those of all entries */
};
MUST_CHECK err_t col_dict_head(struct cur *c, uint32_t count_max, struct arena *a, struct col_dict *out);
uint32_t col_dict_block_of(const struct col_dict *d, uint32_t code);
/* The entries of k codes, one after another; blocks[b]: the bytes of block b, when it holds one of them. */
MUST_CHECK err_t col_dict_pick(const struct col_dict *d, const struct cur *blocks, const uint32_t *codes, uint32_t k, struct arena *tmp,
                               struct arena *a, struct dict *out);

/* Where the blocks are, which follow the head one after another: moves behind them. */
MUST_CHECK err_t col_dict_blocks(struct cur *c, const struct col_dict *d, struct cur *blocks);
struct text_cond;
/* Which of the entries of block b (its bytes) satisfy a condition (col_text_find.h): sets their bits, numbered from its first
 * entry; `among` (or NULL: all) are the ones that are asked for. */
MUST_CHECK err_t col_dict_find(const struct col_dict *d, uint32_t b, struct cur block, const struct text_cond *cond,
                               const uint64_t *among, struct budget *budget, uint64_t *bits);

/* -- col_zstd.c: contexts kept by the thread ------------------------------------------------------------- */
/* Appends; false (nothing appended) when it would not be smaller than `raw`. */
bool col_zstd_pack(struct str raw, int level, struct buf *out);
MUST_CHECK err_t col_zstd_unpack(struct str packed, char *to, size_t raw_size);

/* -- col_column.c: a whole column, without its name -------------------------------------------------------- *
 *   validity (col_bits) | values of the rows that have one, by the codec of the type:
 *   I64 col_int | F64 col_f64 | BOOL col_bits | FIX col_fix | STR BYTES JSON: dictionary, then codes */
void col_column_encode(const struct column *c, enum col_level level, struct buf *out, struct col_marks *m);
/* type, width and nrows of *c are given; fills the rest. A column without any value is ERR_CORRUPT. Memory from `a`, whose budget is checked. */
MUST_CHECK err_t col_column_decode(struct cur *cur, struct arena *a, struct column *c);
/* Rows[0..k), ascending, of a column of nrows: a column of k rows, maybe none with a value; entries of its dictionary may
 * be equal. */
MUST_CHECK err_t col_column_decode_at(struct cur *cur, uint32_t nrows, const uint32_t *rows, uint32_t k, struct arena *a,
                                      struct column *c);
/* Its two halves, for who has the values apart: begin reads the validity and makes room for the values of the rows that
 * have one; end puts them where they belong. */
struct col_few {
    uint32_t n, k;       /* of n values k are wanted (0: nothing is left to do), */
    uint32_t *at;        /* these, ascending, */
    uint8_t *data;       /* side by side to here (dictionaries: codes) */
    const uint64_t *has;
};
MUST_CHECK err_t col_few_begin(struct cur *cur, uint32_t nrows, const uint32_t *rows, uint32_t k, struct arena *tmp,
                               struct arena *a, struct column *c, struct col_few *few);
void col_few_end(const struct col_few *few, struct column *c);

#endif
