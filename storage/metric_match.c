#include "storage/metric_match.h"

#include "storage/regex.h"

bool match_value(const struct matcher *m, struct str v)
{
    if (m->op == MATCH_EQ || m->op == MATCH_NE) return str_eq(m->value, v);
    return regex_match(m->re, v);
}

void match_plan(const struct matcher *m, struct match_plan *out)
{
    bool negated = m->op == MATCH_NE || m->op == MATCH_NRE;
    bool accepts_empty = match_value(m, STR("")) != negated;
    /* Accepting values are those with match_value != negated. Without "" among them: unite those. With "":
     * unite the others, and subtract. */
    *out = (struct match_plan){ .m = m, .subtract = accepts_empty, .want = accepts_empty == negated,
                                .prefix = STR("") };
    if (m->op == MATCH_EQ || m->op == MATCH_NE) {
        out->nexact = out->want ? 1 : 0;
        out->exact = &m->value;
        return;
    }
    const struct str *lit;
    int n = regex_literals(m->re, &lit);
    if (n > 0 && out->want) {
        out->nexact = (uint32_t)n;
        out->exact = lit;
    }
    out->prefix = regex_prefix(m->re, NULL);
}

bool match_plan_unites(const struct match_plan *p, struct str v)
{
    if (!str_starts(v, p->prefix)) return !p->want;
    return match_value(p->m, v) == p->want;
}

void bitset_init(struct bitset *s, struct arena *a, uint32_t n, bool full)
{
    size_t words = (size_t)n / 64 + 1;
    s->n = n;
    s->word = ARENA_ARRAY(a, uint64_t, words);
    if (!full) return;
    memset(s->word, 0xff, (size_t)n / 64 * 8);
    if (n % 64) s->word[n / 64] = (UINT64_C(1) << n % 64) - 1;
}

void bitset_clear(struct bitset *s)
{
    memset(s->word, 0, ((size_t)s->n / 64 + 1) * 8);
}

void bitset_keep(struct bitset *s, const struct bitset *t, bool subtract)
{
    for (size_t i = 0; i <= s->n / 64; i++)
        s->word[i] &= subtract ? ~t->word[i] : t->word[i];
}

uint32_t bitset_list(const struct bitset *s, struct arena *a, uint32_t **out)
{
    uint32_t count = 0, k = 0;
    for (size_t i = 0; i <= s->n / 64; i++)
        count += (uint32_t)__builtin_popcountll(s->word[i]);
    *out = ARENA_RAW(a, uint32_t, count);
    for (size_t i = 0; i <= s->n / 64; i++)
        for (uint64_t w = s->word[i]; w; w &= w - 1)
            (*out)[k++] = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(w);
    return count;
}
