/* Words of a text, as the default tokenizer of the log languages cuts them: maximal runs of letters and
 * digits (Unicode), compared in lower case. Also shell-like patterns. No allocation, no positions kept: phrases are
 * verified by walking the text itself, so they work on every text without an index. */
#ifndef QUERY_OPS_TEXT_H
#define QUERY_OPS_TEXT_H

#include "base/core/arena.h"

enum { TOKEN_BYTES_MAX = 255, PHRASE_TOKENS_MAX = 64 };

/* Cuts the next word off *rest (in its original case); false when there is none. Words over 255 bytes are no
 * words: they are skipped, as Quickwit does. */
bool token_next(struct str *rest, struct str *token);
/* Lower-case copy (ASCII, Latin, Greek, Cyrillic). */
struct str text_lower(struct arena *a, struct str s);
/* Is `word` (any case) the same as the lower-case `lower`? */
bool text_eq_lower(struct str word, struct str lower);
bool text_starts_lower(struct str word, struct str lower_prefix);
/* Is one of the words of text `token` (lower-case ASCII letters and digits), or does one begin with it? What token_next
 * and the two above tell, several times faster. */
bool text_has_word(struct str text, struct str token, bool prefix);

struct phrase {
    const struct str *tokens; /* lower case */
    uint32_t n;               /* <= PHRASE_TOKENS_MAX */
    uint32_t slop;            /* words that may lie in between, over all */
    bool last_prefix;         /* the last token is a prefix */
    bool any_order;           /* all tokens, wherever they stand */
};
/* Lower-case tokens of s into the arena, at most PHRASE_TOKENS_MAX. */
struct phrase phrase_of(struct arena *a, struct str s);
bool phrase_match(const struct phrase *p, struct str text);

/* `*` any run, `?` one character, `\` takes the next literally; the whole of s must match. Linear in practice,
 * quadratic at worst (|pattern| * |s|), no recursion. fold: ASCII case does not count. */
bool wildcard_match(struct str pattern, struct str s, bool fold);

/* ASCII only words: what HINT_TOKEN may carry (the token filter knows no other kind). */
bool token_is_ascii(struct str token);

#endif
