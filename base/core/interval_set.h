/* A set of 64-bit numbers kept as intervals: ascending, apart by at least one number that is not in the set, so that equal sets
 * are equal intervals. Numbers that come in order make one interval, and one interval needs no memory of its own.
 *
 * Adding at the end of the last interval is O(1), anywhere else O(log n) and the move of what lies behind; join, holds and minus
 * walk both sets once. n = intervals. Memory is plain malloc, 16 bytes an interval, given back as gaps close; whoever takes
 * intervals from outside bounds their number before it adds them. */
#ifndef BASE_CORE_INTERVAL_SET_H
#define BASE_CORE_INTERVAL_SET_H

#include "base/core/types.h"

struct interval { uint64_t first, last; }; /* both belong to it */

struct interval_set {
    uint32_t n, cap; /* cap 0: at most one, in `one` */
    union {
        struct interval one;
        struct interval *many;
    };
};

static inline void interval_set_init(struct interval_set *s) { *s = (struct interval_set){ 0 }; }
void interval_set_deinit(struct interval_set *s); /* empty afterwards */
/* Its s->n intervals, valid until it changes. */
static inline const struct interval *interval_set_all(const struct interval_set *s)
{
    return s->cap ? s->many : &s->one;
}
/* first <= last. False: all of them were there. */
bool interval_set_add(struct interval_set *s, uint64_t first, uint64_t last);
bool interval_set_has(const struct interval_set *s, uint64_t v);
void interval_set_join(struct interval_set *to, const struct interval_set *from); /* union; may be the same */
bool interval_set_holds(const struct interval_set *s, const struct interval_set *all); /* is `all` a subset of s? */
/* What is in s and not in `but`, added to out, which is neither of them. */
void interval_set_minus(const struct interval_set *s, const struct interval_set *but, struct interval_set *out);
/* How many numbers; UINT64_MAX when all 2^64 are in it. */
uint64_t interval_set_count(const struct interval_set *s);

#endif
