/* How well a name fits a search: /api/v1/search of Prometheus 3.14 (experimental there, behind a flag). Scores are in [0, 1].
 *
 *   subsequence  all characters of the term stand in the name in this order. Each run of neighbours counts its length squared; from that goes,
 *                over the name's length, what is skipped before and between runs, and half of what follows; over the term's length squared. Runs are
 *                taken greedily, the best beginning counts. A name that begins with the term has 1
 *   jarowinkler  1 for a name that begins with the term, 0.9 for one that holds it, else their Jaro-Winkler similarity (prefix of at most 4, 0.1), where
 *                a threshold above 0 is given
 *
 * Characters are code points, of which the first SEARCH_CHARS_MAX count; without case only those of ASCII are folded. */
#ifndef SERVER_API_PROMETHEUS_SEARCH_H
#define SERVER_API_PROMETHEUS_SEARCH_H

#include "base/core/arena.h"
#include "base/core/str.h"

enum { SEARCH_TERMS_MAX = 32, SEARCH_CHARS_MAX = 512 };
struct search_word {
    uint32_t n;
    uint32_t c[SEARCH_CHARS_MAX];
};
struct search_rule {
    const struct search_word *terms; /* any of them; none: all names fit */
    uint32_t nterms;
    bool jaro, fold;
    double threshold;
};
void search_word_of(struct str s, bool fold, struct search_word *out);
/* False: it does not fit. `room` is scratch for one name. */
bool search_fits(const struct search_rule *r, struct str name, struct search_word *room, double *score);

#endif
