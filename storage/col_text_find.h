/* Which strings of a block of templates (col_text.h) satisfy a condition, without putting them together where their parts
 * tell.
 *
 * A condition names byte strings of which each string that satisfies it contains one: its needles. Where one can stand is
 * known from the patterns: in the text that all strings of a template share, in one of their slots, or over the borders of
 * both, and then a slot ends with, is, or begins with a piece of it. What a slot can hold is known by its type (a number has
 * digits alone, and no longer runs of them than its format has); after that the parts of its column are searched, of dictionaries
 * once for each different one, and the different values of numbers that are kept by those. What is left of numbers is compared with the
 * least and greatest that may hold the digits, and hex digits are looked for as they are kept, before any is written out. A needle
 * that stands nowhere costs its columns' dictionaries, not their codes and numbers. Only strings that have a needle, and of
 * which that is not enough to know, are put together.
 *
 * bench/seek.c, lines of three kinds of logs (apache, kafka, nginx json), one core, GB/s of raw text: 10-40 when it stands
 * nowhere, 2-6 for frequent words; digits: six 1.5-8, four 1.3-5, two, which occur, 0.8-1.7; 0.7-1.1 by decoding. */
#ifndef STORAGE_COL_TEXT_FIND_H
#define STORAGE_COL_TEXT_FIND_H

#include "storage/text_find.h"

enum text_cond_kind {
    TEXT_HAS,   /* it holds for every string that has a needle */
    TEXT_WORDS, /* it holds for a string when it does for a part of it that is cut where words begin and end: behind and in
                 * front of bytes that are neither ASCII letters or digits nor above ASCII */
    TEXT_ANY,   /* nothing more is known */
};
struct text_cond {
    const struct text_find *needles; /* n >= 1, none empty */
    uint32_t n;
    enum text_cond_kind kind;
    bool (*holds)(void *arg, struct str s); /* not for TEXT_HAS */
    void *arg;
};
bool text_cond_holds(const struct text_cond *c, struct str s);

/* Of the n strings (raw bytes in all) of a block, those in `among` (a bit each; NULL: all) for which the condition holds:
 * sets their bits, lets others alone. Exact. ERR_CORRUPT for what no encoder writes, as far as it was looked at. Working memory
 * is charged to the budget (or NULL). */
MUST_CHECK err_t col_text_find(struct str block, uint32_t n, uint32_t raw, const struct text_cond *c, const uint64_t *among,
                               struct budget *budget, uint64_t *bits);

#endif
