/* The words of text, as the index of words knows them (seg_tokens.h).
 *
 * A token is a maximal run of ASCII letters and digits, letters folded to lower case; every other byte separates,
 * those of non-ASCII characters too. In JSON text an escape sequence separates.
 *
 * Its hash is stored: h = length; of each 16 bytes, the last ones filled up with zeros, as two integers x and y,
 * h = fold((x ^ K0) * (y ^ K1 ^ h)), where fold is the exclusive or of the halves of a product of 128 bits; then
 * fold((h ^ K1) * K2), of which bit 26 then says whether the token is digits alone, and bit 0 is set. About 6 ns a token of log lines, finding it included; XXH3 and a walk by bytes took 20. */
#ifndef STORAGE_TOKENS_H
#define STORAGE_TOKENS_H

#include "base/core/str.h"

enum { TOKENS_BATCH = 256 };
struct tokens { /* a walk through a text */
    struct str text;
    bool json;
    bool hidden; /* JSON that hides letters or digits behind escapes: the walk ends there */
    size_t at;
};
static inline struct tokens tokens_of(struct str text, bool json) { return (struct tokens){ .text = text, .json = json }; }
/* The hashes of the next tokens, in their order; how many, 0 at the end. */
uint32_t tokens_next(struct tokens *t, uint64_t hashes[TOKENS_BATCH]);

static inline bool token_is_number(uint64_t hash) { return hash >> 26 & 1; }

/* Is s one token: non-empty, lower-case ASCII letters and digits? */
bool token_plain(struct str s);

#endif
