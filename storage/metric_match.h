/* What a label matcher asks of an inverted index. A label that a series lacks is the same as an empty one, so a
 * matcher that accepts "" accepts series without the label too: it can only subtract. */
#ifndef STORAGE_METRIC_MATCH_H
#define STORAGE_METRIC_MATCH_H

#include "storage/view.h"

struct match_plan {
    const struct matcher *m;
    /* Unite the series of the values v of m->name for which match_value(m, v) == want; then keep only those, or
     * drop them if subtract. */
    bool want, subtract;
    uint32_t nexact;         /* > 0 (and want): only these values can have match_value */
    const struct str *exact;
    struct str prefix;       /* every v with match_value starts with it */
};

void match_plan(const struct matcher *m, struct match_plan *out);
/* Does v equal m->value, or match m->re? (The negation of MATCH_NE and MATCH_NRE is the plan's.) */
bool match_value(const struct matcher *m, struct str v);
/* Does the matcher take a series whose label is v? */
static inline bool match_takes(const struct matcher *m, struct str v) { return match_value(m, v) != (m->op == MATCH_NE || m->op == MATCH_NRE); }
/* Is v one of the values to unite? */
bool match_plan_unites(const struct match_plan *p, struct str v);

/* A set of series numbers. */
struct bitset {
    uint64_t *word;
    uint32_t n; /* bits */
};
void bitset_init(struct bitset *s, struct arena *a, uint32_t n, bool full);
static inline void bitset_add(struct bitset *s, uint32_t i) { s->word[i / 64] |= UINT64_C(1) << i % 64; }
void bitset_clear(struct bitset *s);
/* s = s AND t, or s AND NOT t. */
void bitset_keep(struct bitset *s, const struct bitset *t, bool subtract);
uint32_t bitset_list(const struct bitset *s, struct arena *a, uint32_t **out);

#endif
