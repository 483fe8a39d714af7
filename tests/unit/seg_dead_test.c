/* Marks of dead rows against a plain array. */
#include "storage/seg_dead.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { NROWS = 65536 };

static uint32_t pick(struct prng *r, bool *dead, uint32_t *rows)
{
    uint32_t n = 0, lo = (uint32_t)prng_below(r, NROWS), len = 1 + (uint32_t)prng_below(r, NROWS - lo);
    double share = prng_chance(r, 0.3) ? 1 : prng_chance(r, 0.5) ? 0.5 : 0.001;
    for (uint32_t i = lo; i < lo + len; i++)
        if (prng_chance(r, share)) rows[n++] = i;
    if (n == 0) rows[n++] = lo;
    for (uint32_t i = 0; i < n; i++)
        dead[rows[i]] = true;
    return n;
}

static void check_live(const struct seg_dead *d, uint32_t group, const bool *dead)
{
    static uint32_t live[NROWS], some[NROWS];
    uint32_t n = seg_dead_live(d, group, NULL, NROWS, live), want = 0, nsome = 0;
    for (uint32_t i = 0; i < NROWS; i++) {
        if (i % 7 == 3) some[nsome++] = i;
        if (dead[i]) continue;
        cr_assert(want < n && live[want] == i);
        want++;
    }
    cr_assert_eq(n, want);
    cr_assert_eq(seg_dead_count(d, group), NROWS - n);
    uint32_t left = seg_dead_live(d, group, some, nsome, live);
    for (uint32_t i = 0, k = 0; i < nsome; i++)
        if (!dead[some[i]]) cr_assert(k < left && live[k++] == some[i]);
}

Test(seg_dead, unions_against_a_model)
{
    static bool dead[NROWS];
    static uint32_t rows[NROWS];
    struct prng r;
    struct seg_dead *d = NULL;
    struct buf have, more, both;
    prng_init(&r, 1);
    buf_init(&have, SEG_DEAD_BYTES_MAX, NULL);
    buf_init(&more, SEG_DEAD_BYTES_MAX, NULL);
    buf_init(&both, SEG_DEAD_BYTES_MAX, NULL);
    for (unsigned round = 0; round < 40; round++) {
        if (round % 10 == 0) { /* another group; the marks of the others stay */
            memset(dead, 0, sizeof dead);
            buf_clear(&have);
        }
        uint32_t before = seg_dead_count(d, round / 10), fresh;
        uint32_t others = seg_dead_count(d, 0);
        buf_clear(&more);
        buf_clear(&both);
        seg_dead_encode(rows, pick(&r, dead, rows), NROWS, &more);
        cr_assert_leq(more.n, 8300);
        cr_assert_eq(seg_dead_unite(buf_view(&have), buf_view(&more), &both, &fresh), OK, "%s", err_detail());
        struct seg_dead *next;
        cr_assert_eq(seg_dead_with(d, round / 10, NROWS, buf_view(&both), &next), OK, "%s", err_detail());
        struct seg_dead *kept = seg_dead_get(d);
        seg_dead_put(d);
        cr_assert_eq(seg_dead_count(kept, round / 10), before); /* who pinned it keeps it */
        seg_dead_put(kept);
        d = next;
        check_live(d, round / 10, dead);
        cr_assert_eq(seg_dead_count(d, round / 10), before + fresh);
        if (round / 10) cr_assert_eq(seg_dead_count(d, 0), others);
        buf_clear(&have);
        buf_str(&have, buf_view(&both));
    }
    cr_assert_eq(seg_dead_count(d, 99), 0);
    seg_dead_put(d);
    buf_deinit(&have);
    buf_deinit(&more);
    buf_deinit(&both);
}

Test(seg_dead, changed_bytes_are_refused)
{
    const uint32_t rows[] = { 1, 5, 9, 700 };
    struct buf b;
    struct seg_dead *d;
    buf_init(&b, SEG_DEAD_BYTES_MAX, NULL);
    seg_dead_encode(rows, 4, 1000, &b);
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] ^= (char)(1 << i % 8);
        cr_assert_eq(seg_dead_with(NULL, 0, 1000, buf_view(&b), &d), ERR_CORRUPT);
        b.p[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t n = 0; n < b.n; n++)
        cr_assert_eq(seg_dead_with(NULL, 0, 1000, str_sub(buf_view(&b), 0, n), &d), ERR_CORRUPT);
    cr_assert_eq(seg_dead_with(NULL, 0, 999, buf_view(&b), &d), ERR_CORRUPT); /* another group's */
    cr_assert_eq(seg_dead_with(NULL, 0, 1000, buf_view(&b), &d), OK);
    seg_dead_put(d);
    buf_deinit(&b);
}
