/* What text must hold for a condition to hold: byte strings of which one at least has to stand in it. A dictionary is
 * searched for them as a whole (text_find.h), and only the entries that hold one are looked at. */
#ifndef QUERY_OPS_NEEDLE_H
#define QUERY_OPS_NEEDLE_H

#include "base/core/arena.h"
#include "storage/regex.h"
#include "storage/col_text_find.h"
#include "storage/table.h"

enum { NEEDLES_MAX = 8 };
struct needles {
    const struct text_find *v;
    uint32_t n;     /* 0: nothing is known */
    bool json_safe; /* JSON writes them as they are, or hides them behind \u */
    bool enough;    /* a string that holds one satisfies, */
    bool words;     /* one that does between words of a longer one, which satisfies then too */
};
struct leaf;

/* Of the strings that satisfy the leaf (of NE and NREGEX: that do not). */
struct needles needles_of(const struct leaf *l, struct arena *a);
/* Sets the bits of the entries of a dictionary column (count of them, in words) that may satisfy. False: any may, and the
 * bits say nothing. */
bool needles_candidates(const struct needles *n, const struct column *c, uint64_t *bits, struct arena *scratch);
/* The same for strings that are not decoded: the needles and the kind of a condition on a column of that type, COL_STR or
 * COL_JSON (json_safe ones alone). */
void needles_cond(const struct needles *n, enum col_type type, struct text_cond *out, struct arena *a);

#endif
