/* Blocks of strings that look alike (log bodies, statements, paths), taken apart into templates and columns.
 *
 * A string is text and slots (col_text_lex.c): numbers, ids, times, quoted strings, paths. Strings of one pattern share a
 * template; where many patterns differ in the same words only, those words become slots (col_text_mine.c); strings of rare
 * patterns are kept whole, behind the time they begin with. Slots that mean the same (the same word or key in front of them)
 * are a column, in whatever template they stand. Columns are numbers, coded by what was last seen with the same neighbour
 * (col_text_num.c), or parts with a dictionary, whose entries are taken apart again.
 *
 *   block   = varint size of meta << 1 | packed | when packed: varint packed size | meta, zstd when packed | data
 *   meta    = varint ntemplates | strings: the patterns | field: numbers, the template of each string (codes) |
 *             of each class, in order of first appearance in the patterns:
 *               numbers: field: numbers | hex: field: col_fix of the digits as bytes |
 *               parts: varint count | strings | field: numbers (codes of the dictionary)
 *   field   = varint size << 1 | in data; size bytes, here or next in data
 *   strings = u8 kind, then   LINES  varint size, field: each with a newline behind it
 *                             ZLINES varint size, field: the same, zstd
 *                             PLAIN, ZPLAIN  field: seq of lengths, and varint size, field as above, without newlines
 *                             TEXT   varint size, field: such a block
 * Memory: less than 40 bytes a byte of text while it is made, at most COL_TEXT_BLOCK of text. */
#ifndef STORAGE_COL_TEXT_H
#define STORAGE_COL_TEXT_H

#include "storage/col_codec.h"

/* Appends the n strings bytes[offset[i], offset[i + 1]); false (nothing appended) when templates do not fit them. */
bool col_text_encode(const char *bytes, const uint32_t *offset, uint32_t n, struct buf *out);
/* n strings of raw bytes: to `to`, their ends counted from `base` to `ends`. Working memory is charged to the budget (or NULL). */
MUST_CHECK err_t col_text_decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, struct budget *budget, uint32_t *ends,
                                 char *to);
/* Strings wanted[0..k) of the n alone: copies in `a`. Decodes what their templates have, not the others. */
MUST_CHECK err_t col_text_decode_at(struct str block, uint32_t n, uint32_t raw, const uint32_t *wanted, uint32_t k, struct arena *a,
                                    struct str *strings);

#endif
