#include "server/api/prometheus_search.h"

#include <string.h>

static uint32_t utf8_next(struct str s, size_t *at)
{
    unsigned char lead = (unsigned char)s.p[(*at)++];
    unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    uint32_t c = more == 3 ? lead & 7u : more == 2 ? lead & 15u : more == 1 ? lead & 31u : lead;
    for (; more && *at < s.n; more--) c = c << 6 | ((unsigned char)s.p[(*at)++] & 63u);
    return c;
}

void search_word_of(struct str s, bool fold, struct search_word *out)
{
    out->n = 0;
    for (size_t at = 0; at < s.n && out->n < SEARCH_CHARS_MAX;) {
        uint32_t c = utf8_next(s, &at);
        out->c[out->n++] = fold && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    }
}

static bool holds_at(const struct search_word *name, const struct search_word *term, uint32_t at)
{
    return term->n <= name->n - at && memcmp(name->c + at, term->c, term->n * sizeof term->c[0]) == 0;
}

static bool holds(const struct search_word *name, const struct search_word *term)
{
    for (uint32_t at = 0; at < name->n; at++)
        if (holds_at(name, term, at)) return true;
    return false;
}

/* Of the match that begins at `at`, where the term's first character is. False: the rest is not there. */
static bool runs_from(const struct search_word *name, const struct search_word *term, uint32_t at, double *raw)
{
    double share = 1.0 / name->n;
    uint32_t k = 0, skipped = 0, run = 0;
    *raw = 0;
    for (uint32_t i = 0; i < name->n && k < term->n; i++) {
        if (i >= at && name->c[i] == term->c[k]) {
            run++;
            k++;
            continue;
        }
        *raw += (double)run * run;
        run = 0;
        skipped++;
    }
    *raw += (double)run * run;
    uint32_t behind = name->n - skipped - term->n;
    *raw -= share * skipped + share * behind * 0.5;
    return k == term->n;
}

static double subsequence(const struct search_word *name, const struct search_word *term)
{
    double best = 0, raw;
    for (uint32_t at = 0; at + term->n <= name->n; at++) {
        if (name->c[at] != term->c[0]) continue;
        if (!runs_from(name, term, at, &raw)) break;
        best = raw > best ? raw : best;
    }
    return best / ((double)term->n * term->n);
}

/* Characters of both that are the same and stand near each other, and how many of them in another order. */
static uint32_t common(const struct search_word *a, const struct search_word *b, uint32_t *swapped)
{
    bool in_a[SEARCH_CHARS_MAX] = { 0 }, in_b[SEARCH_CHARS_MAX] = { 0 };
    uint32_t longer = a->n > b->n ? a->n : b->n, near = longer / 2 > 1 ? longer / 2 - 1 : 0, n = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t from = i > near ? i - near : 0, to = i + near + 1 < b->n ? i + near + 1 : b->n;
        for (uint32_t k = from; k < to && !in_a[i]; k++)
            if (!in_b[k] && a->c[i] == b->c[k]) in_a[i] = in_b[k] = true;
        n += in_a[i];
    }
    *swapped = 0;
    for (uint32_t i = 0, k = 0; i < a->n; i++) {
        if (!in_a[i]) continue;
        while (!in_b[k]) k++;
        *swapped += a->c[i] != b->c[k++];
    }
    return n;
}

static double jaro_winkler(const struct search_word *name, const struct search_word *term)
{
    enum { PREFIX_MAX = 4 };
    uint32_t swapped, same = common(term, name, &swapped), prefix = 0;
    if (same == 0) return 0;
    double m = same, jaro = (m / term->n + m / name->n + (m - swapped / 2) / m) / 3;
    while (prefix < PREFIX_MAX && prefix < term->n && prefix < name->n && term->c[prefix] == name->c[prefix]) prefix++;
    return jaro + prefix * 0.1 * (1 - jaro);
}

static bool fits_one(const struct search_rule *r, const struct search_word *name, const struct search_word *term, double *score)
{
    *score = 1;
    if (term->n == 0) return true;
    if (name->n == 0) return false;
    if (holds_at(name, term, 0)) return true;
    if (!r->jaro) {
        *score = subsequence(name, term);
        return *score > 0 && *score >= r->threshold;
    }
    *score = 0.9;
    if (holds(name, term)) return true;
    *score = r->threshold > 0 ? jaro_winkler(name, term) : 0;
    return r->threshold > 0 && *score >= r->threshold;
}

bool search_fits(const struct search_rule *r, struct str name, struct search_word *room, double *score)
{
    bool any = r->nterms == 0;
    double one;
    *score = any;
    if (any) return true;
    search_word_of(name, r->fold, room);
    for (uint32_t i = 0; i < r->nterms; i++)
        if (fits_one(r, room, &r->terms[i], &one)) {
            any = true;
            *score = one > *score ? one : *score;
        }
    return any;
}
