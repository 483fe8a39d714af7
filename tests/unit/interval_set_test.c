/* Sets of intervals against a plain bitmap, at both ends of 64 bits and between. */
#include "base/core/interval_set.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>

enum { NUMBERS = 256, SEEDS = 300 };

struct model {
    uint64_t base; /* number i of the bitmap is base + i */
    bool has[NUMBERS];
};

static void same(const struct interval_set *s, const struct model *m)
{
    const struct interval *v = interval_set_all(s);
    uint32_t n = 0;
    uint64_t count = 0;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        count += m->has[i];
        cr_assert_eq(interval_set_has(s, m->base + i), m->has[i], "number %u", i);
        if (!m->has[i] || (i > 0 && m->has[i - 1])) continue;
        uint32_t end = i;
        while (end + 1 < NUMBERS && m->has[end + 1])
            end++;
        cr_assert_lt(n, s->n);
        cr_assert(v[n].first == m->base + i && v[n].last == m->base + end, "interval %u", n);
        n++;
    }
    cr_assert_eq(n, s->n);
    cr_assert_eq(count, interval_set_count(s));
    cr_assert(s->n > 1 || s->cap == 0, "one interval needs no memory");
    if (m->base > 0) cr_assert_not(interval_set_has(s, m->base - 1));
    if (m->base + NUMBERS != 0) cr_assert_not(interval_set_has(s, m->base + NUMBERS));
}

static void add(struct interval_set *s, struct model *m, uint32_t first, uint32_t last)
{
    bool fresh = false;
    for (uint32_t i = first; i <= last; i++) {
        fresh |= !m->has[i];
        m->has[i] = true;
    }
    cr_assert_eq(interval_set_add(s, m->base + first, m->base + last), fresh);
}

static void fill(struct prng *r, struct interval_set *s, struct model *m)
{
    uint32_t n = (uint32_t)prng_below(r, 40), longest = 1 + (uint32_t)prng_below(r, 20);
    bool ordered = prng_chance(r, 0.3);
    for (uint32_t k = 0, at = 0; k < n; k++) {
        uint32_t first = ordered ? at + (uint32_t)prng_below(r, 4) : (uint32_t)prng_below(r, NUMBERS);
        if (first >= NUMBERS) break;
        uint32_t last = first + (uint32_t)prng_below(r, longest);
        last = MIN(last, (uint32_t)NUMBERS - 1);
        add(s, m, first, last);
        same(s, m);
        at = last + 1;
    }
}

static void against_model(uint64_t seed, uint64_t base)
{
    struct prng r;
    struct interval_set a, b, out;
    struct model ma = { base }, mb = { base }, mo = { base };
    prng_init(&r, seed);
    interval_set_init(&a);
    interval_set_init(&b);
    interval_set_init(&out);
    fill(&r, &a, &ma);
    fill(&r, &b, &mb);
    if (prng_chance(&r, 0.5)) fill(&r, &out, &mo);
    bool holds = true;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        holds &= ma.has[i] || !mb.has[i];
        mo.has[i] |= ma.has[i] && !mb.has[i];
    }
    cr_assert_eq(interval_set_holds(&a, &b), holds);
    interval_set_minus(&a, &b, &out);
    same(&out, &mo);
    for (uint32_t i = 0; i < NUMBERS; i++)
        ma.has[i] |= mb.has[i];
    interval_set_join(&a, &b);
    same(&a, &ma);
    same(&b, &mb);
    cr_assert(interval_set_holds(&a, &b));
    interval_set_join(&a, &a);
    same(&a, &ma);
    interval_set_deinit(&a);
    interval_set_deinit(&b);
    interval_set_deinit(&out);
}

Test(interval_set, is_the_set_that_a_bitmap_is)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        against_model(seed, 0);
        against_model(seed, 1);
        against_model(seed, UINT64_C(1) << 40);
        against_model(seed, UINT64_MAX - NUMBERS + 1);
    }
}

Test(interval_set, all_numbers)
{
    struct interval_set s;
    interval_set_init(&s);
    cr_assert_eq(interval_set_count(&s), 0);
    cr_assert(interval_set_add(&s, 1, UINT64_MAX - 1));
    cr_assert_eq(interval_set_count(&s), UINT64_MAX - 1);
    cr_assert(interval_set_add(&s, UINT64_MAX, UINT64_MAX));
    cr_assert(interval_set_add(&s, 0, 0));
    cr_assert_not(interval_set_add(&s, 0, UINT64_MAX));
    cr_assert(s.n == 1 && s.cap == 0);
    cr_assert_eq(interval_set_count(&s), UINT64_MAX);
    interval_set_deinit(&s);
}

Test(interval_set, memory_goes_back_as_gaps_close)
{
    struct interval_set s;
    uint32_t cap = 0;
    interval_set_init(&s);
    for (uint64_t i = 0; i < 1000; i++)
        interval_set_add(&s, 1 + 2 * i, 1 + 2 * i);
    cr_assert_eq(s.n, 1000);
    cap = s.cap;
    for (uint64_t i = 0; i < 999; i++) {
        interval_set_add(&s, 2 + 2 * i, 2 + 2 * i);
        cr_assert(s.cap <= cap);
        cap = s.cap;
    }
    cr_assert(s.n == 1 && s.cap == 0);
    interval_set_deinit(&s);
}
