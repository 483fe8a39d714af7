#include "base/core/buf.h"
#include "base/core/prng.h"
#include "storage/nhist.h"

#include <criterion/criterion.h>
#include <math.h>

static struct nhist valid(void)
{
    static const struct nhist_span pos[2] = { { -3, 2 }, { 4, 1 } }, neg[1] = { { 0, 1 } };
    static const double p[3] = { 1, 7, 0.5 }, n[1] = { 4 };
    return (struct nhist){ .schema = -4, .hint = NHIST_RESET, .zero_threshold = 0.25, .zero_count = 2, .count = 14.5,
                           .sum = NAN, .npos_spans = 2, .nneg_spans = 1, .npos = 3, .nneg = 1,
                           .pos_spans = pos, .neg_spans = neg, .pos = p, .neg = n };
}

Test(nhist, round_trip)
{
    struct arena a;
    arena_init(&a, NULL);
    struct nhist h = valid();
    uint64_t stale = STALE_NAN_BITS;
    memcpy(&h.sum, &stale, 8);
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    nhist_encode(&h, &b);
    static const double bounds[2] = { -1, 2.5 };
    static const struct nhist_span span[1] = { { 0, 3 } };
    static const double counts[3] = { 1, 0, 9007199254740991.0 };
    struct nhist c = { .schema = NHIST_CUSTOM, .count = 10, .ncustom = 2, .custom = bounds, .npos_spans = 1,
                       .pos_spans = span, .npos = 3, .pos = counts };
    cr_assert_eq(nhist_check(&c), OK, "%s", err_detail());
    nhist_encode(&c, &b);
    struct str rest = buf_view(&b);
    const struct nhist *x, *y;
    cr_assert_eq(nhist_decode(&rest, &a, &x), OK, "%s", err_detail());
    cr_assert_eq(nhist_decode(&rest, &a, &y), OK, "%s", err_detail());
    cr_assert_eq(rest.n, 0);
    cr_assert(is_stale_nan(x->sum));
    cr_assert(x->schema == -4 && x->hint == NHIST_RESET && x->zero_threshold == 0.25 && x->zero_count == 2 &&
              x->count == 14.5 && x->npos_spans == 2 && x->nneg_spans == 1);
    cr_assert(x->pos[0] == 1 && x->pos[1] == 7 && x->pos[2] == 0.5 && x->neg[0] == 4);
    cr_assert(x->pos_spans[1].offset == 4 && x->pos_spans[1].length == 1);
    cr_assert(y->schema == NHIST_CUSTOM && y->ncustom == 2 && y->custom[0] == -1 && y->custom[1] == 2.5 &&
              y->pos[2] == 9007199254740991.0);
    buf_deinit(&b);
    arena_deinit(&a);
}

Test(nhist, refused)
{
    struct nhist h = valid();
    cr_assert_eq(nhist_check(&h), OK);
#define BAD(...)                                                                                                    \
    do {                                                                                                               \
        h = valid();                                                                                                   \
        __VA_ARGS__;                                                                                                     \
        cr_assert_eq(nhist_check(&h), ERR_INVALID, #__VA_ARGS__);                                                           \
    } while (0)
    double counts[3] = { 1, -1, 2 }, infinite[3] = { 1, INFINITY, 2 }, bounds[2] = { 1, 1 }, open[2] = { 1, INFINITY };
    struct nhist_span back[2] = { { 0, 2 }, { -1, 1 } }, far[2] = { { INT32_MAX, 2 }, { INT32_MAX, 1 } };
    BAD(h.schema = 9);
    BAD(h.schema = -5);
    BAD(h.hint = 4);
    BAD(h.count = -1);
    BAD(h.zero_count = NAN);
    BAD(h.zero_threshold = INFINITY);
    BAD(h.npos = 2);
    BAD(h.pos = counts);
    BAD(h.pos = infinite);
    BAD(h.pos_spans = back);
    BAD(h.pos_spans = far);
    BAD(h.ncustom = 2; h.custom = bounds);
    BAD(h.schema = NHIST_CUSTOM);
    BAD(h = (struct nhist){ .schema = NHIST_CUSTOM, .ncustom = 2, .custom = bounds });
    BAD(h = (struct nhist){ .schema = NHIST_CUSTOM, .ncustom = 2, .custom = open });
}

Test(nhist, hostile_bytes)
{
    struct nhist h = valid();
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    nhist_encode(&h, &b);
    struct arena a;
    arena_init(&a, NULL);
    struct prng r;
    prng_init(&r, 1);
    const struct nhist *x;
    for (size_t cut = 0; cut < b.n; cut++) {
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, b.p, cut);
        struct str s = str_n(exact, cut);
        cr_assert_eq(nhist_decode(&s, &a, &x), ERR_CORRUPT);
        free(exact);
    }
    for (int k = 0; k < 20000; k++) {
        char bytes[256];
        memcpy(bytes, b.p, b.n);
        bytes[prng_below(&r, b.n)] = (char)prng_next(&r);
        struct str s = str_n(bytes, b.n);
        err_t e = nhist_decode(&s, &a, &x);
        cr_assert(e == OK || e == ERR_CORRUPT);
        arena_reset(&a);
    }
    buf_deinit(&b);
    arena_deinit(&a);
}
