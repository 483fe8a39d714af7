/* Sequences of unsigned integers, most of them small, in about as many bits as their frequencies ask for: what the text
 * codec makes of templates, codes and differences. Pure, without yields; the count is known from outside.
 *
 *   seq = u8 mode, then
 *   CONST   varint v
 *   INT     col_int
 *   ZSTD    varint raw size | varint size | zstd of the values as varints: finds sequences that come again
 *   ANS     u8 log | frequencies | varint size of the states | size bytes | bits behind the symbols
 * ANS codes a symbol a value with static frequencies out of 2^log (range variant of asymmetric numeral systems, two
 * states of 32 bits by turns, 16 bits at a time). A value below 32 is its own symbol; a greater one's symbol says how
 * many bits it has and its second highest, the others follow in a stream of bits, lowest first.
 *   frequencies = bits, lowest first: 8 bits: the last symbol; a symbol: 4 bits: how many bits its frequency has (0: it
 *   does not occur), then those below the highest; filled up to a byte */
#ifndef STORAGE_COL_SEQ_H
#define STORAGE_COL_SEQ_H

#include "storage/col_codec.h"

void col_seq_encode(const uint64_t *v, uint32_t n, struct buf *out);
MUST_CHECK err_t col_seq_decode(struct cur *c, uint32_t n, uint64_t *out);
/* About how many bytes col_seq_encode makes of them without looking for repetitions. */
double col_seq_estimate(const uint64_t *v, uint32_t n);

#endif
