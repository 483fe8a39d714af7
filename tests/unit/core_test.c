#include "base/core/arena.h"
#include "base/core/htab.h"
#include "base/core/json_out.h"
#include "base/core/prng.h"
#include "base/core/varint.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

Test(core, arena_rolls_back_and_charges)
{
    struct budget b;
    budget_init(&b, "test", NULL, 10000, ERR_LIMIT);
    struct arena a;
    arena_init(&a, &b);
    char *first = arena_alloc(&a, 100);
    memset(first, 1, 100);
    struct arena_mark m = arena_mark(&a);
    for (int i = 0; i < 50; i++)
        memset(arena_alloc(&a, 5000), 2, 5000);
    cr_assert_eq(arena_check(&a), ERR_LIMIT);
    arena_rollback(&a, m);
    cr_assert_eq(first[99], 1);
    arena_deinit(&a);
    cr_assert_eq(b.used, 0);
    cr_assert_gt(b.peak, 250000);
}

Test(core, arena_keeps_its_block_beside_large_allocations)
{
    struct budget b;
    struct arena a;
    budget_init(&b, "test", NULL, 1 << 30, ERR_LIMIT);
    arena_init(&a, &b);
    char *small = arena_alloc(&a, 100), *before = NULL;
    struct arena_mark m = arena_mark(&a);
    int64_t used = b.used;
    for (int round = 0; round < 3; round++) {
        size_t sum = 0;
        for (size_t i = 0; i < 200; i++) {
            size_t n = i % 2 ? 100000 + i * 7 : 24;
            char *p = arena_alloc(&a, n);
            memset(p, (int)i, n);
            if (before) cr_assert_eq(*before, (char)(i - 1)); /* nobody else's */
            before = p + n - 1;
            sum += n;
        }
        before = NULL;
        cr_assert_lt(b.used - used, (int64_t)(sum + sum / 50));
        memset(small, 7, 100);
        arena_rollback(&a, m);
        cr_assert_eq(b.used, used);
    }
    (void)arena_alloc(&a, 100000);
    arena_reset(&a);
    cr_assert_leq(b.used, 200000);
    (void)arena_alloc(&a, 10);
    arena_deinit(&a);
    cr_assert_eq(b.used, 0);
    cr_assert_eq(a.bytes, 0);
}

Test(core, htab_finds_all_of_many)
{
    struct htab t;
    htab_init(&t, NULL);
    for (uint32_t i = 0; i < 20000; i++)
        htab_insert(&t, hash_u64(i % 5000), i);
    for (uint32_t k = 0; k < 5000; k++) {
        uint32_t found = 0;
        for (uint32_t it = 0, v; htab_next(&t, hash_u64(k), &it, &v);)
            found += v % 5000 == k;
        cr_assert_eq(found, 4);
    }
    htab_deinit(&t);
}

Test(core, json_escapes_and_mends_utf8)
{
    struct buf b;
    buf_init(&b, 1000, NULL);
    struct json_out j;
    json_init(&j, &b);
    json_obj(&j);
    json_keyz(&j, "a\"b");
    json_str(&j, STR("x\n\x01\xff\xc3\xa9"));
    json_keyz(&j, "n");
    json_arr(&j);
    json_i64(&j, INT64_MIN);
    json_f64(&j, 0.1);
    json_null(&j);
    json_arr_end(&j);
    json_obj_end(&j);
    buf_byte(&b, 0);
    cr_assert_str_eq(b.p,
                     "{\"a\\\"b\":\"x\\n\\u0001\xEF\xBF\xBD\xC3\xA9\",\"n\":[-9223372036854775808,0.1,null]}");
    buf_deinit(&b);
}

Test(core, shortest_doubles)
{
    static const struct { double v; const char *text; } rows[] = {
        { 0, "0" },                  { -0.0, "-0" },
        { 0.1, "0.1" },              { 1.0 / 3, "0.3333333333333333" },
        { 0.1 + 0.2, "0.30000000000000004" }, { 5e-324, "5e-324" },
        { -1.5e-320, "-1.5e-320" },  { 2.2250738585072014e-308, "2.2250738585072014e-308" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[32];
        size_t n = f64_shortest(rows[i].v, text);
        cr_expect(str_is(str_n(text, n), rows[i].text), "row %zu: %.*s", i, (int)n, text);
    }
}

/* As printf finds them: with ever more digits, until they read back. */
Test(core, shortest_doubles_as_printf_has_them)
{
    struct prng r;
    prng_init(&r, 11);
    for (int i = 0; i < 50000; i++) {
        double v;
        uint64_t bits = prng_next(&r);
        memcpy(&v, &bits, sizeof v);
        if (i % 3 == 1) v = (double)(int64_t)(bits >> prng_below(&r, 64)) / 1000;
        if (i % 3 == 2) v = (double)(bits >> prng_below(&r, 64));
        if (!isfinite(v) || fabs(v) < DBL_MIN) continue;
        char want[32], got[32];
        int digits = 15;
        do snprintf(want, sizeof want, "%.*g", digits, v);
        while (strtod(want, NULL) != v && ++digits <= 17);
        got[f64_shortest(v, got)] = 0;
        cr_assert_str_eq(got, want);
    }
}

Test(core, varint_round_trip_and_bounds)
{
    struct prng r;
    prng_init(&r, 7);
    for (int i = 0; i < 10000; i++) {
        uint64_t v = prng_next(&r) >> prng_below(&r, 64), got = 0;
        uint8_t bytes[VARINT_MAX];
        size_t n = varint_put(bytes, v);
        cr_assert_eq(varint_get(bytes, bytes + n, &got), bytes + n);
        cr_assert_eq(got, v);
        cr_assert_null(varint_get(bytes, bytes + n - 1, &got));
        cr_assert_eq(unzigzag(zigzag((int64_t)v)), (int64_t)v);
    }
    uint8_t long_one[11];
    memset(long_one, 0xff, sizeof long_one);
    uint64_t v;
    cr_assert_null(varint_get(long_one, long_one + 11, &v));
}

Test(core, str_numbers_and_hex)
{
    int64_t i;
    cr_assert(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    cr_assert_not(str_to_i64(STR("9223372036854775808"), &i));
    cr_assert_not(str_to_i64(STR(""), &i));
    double d;
    cr_assert(str_to_f64(STR("1e3"), &d) && d == 1000);
    cr_assert_not(str_to_f64(STR("1e3x"), &d));
    uint8_t id[2];
    cr_assert(str_from_hex(STR("aBcd"), id, 2) && id[0] == 0xab && id[1] == 0xcd);
    cr_assert_not(str_from_hex(STR("abc"), id, 2));
    /* RFC 4648, section 10 */
    static const char *const base64[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t n = 0; n <= 6; n++) {
        char to[STR_BASE64_MAX(6)];
        size_t cut = strcspn(base64[n], "=");
        cr_assert(str_is(str_n(to, str_to_base64((const uint8_t *)"foobar", n, true, to)), base64[n]));
        cr_assert(str_eq(str_n(to, str_to_base64((const uint8_t *)"foobar", n, false, to)), str_n(base64[n], cut)));
    }
    cr_assert(hex_value('F') == 15 && hex_value('a') == 10 && hex_value('g') == -1 && hex_value('/') == -1);
    cr_assert(str_utf8_valid(STR("plain ascii and \xC3\xA9")));
    cr_assert_not(str_utf8_valid(STR("\xED\xA0\x80")));
}

Test(core, buf_remembers_its_limit)
{
    struct buf b;
    buf_init(&b, 10, NULL);
    buf_put(&b, "12345678", 8);
    cr_assert_eq(buf_check(&b), OK);
    buf_put(&b, "901", 3);
    cr_assert_eq(buf_check(&b), ERR_TOO_LARGE);
    cr_assert_eq(b.n, 8);
    buf_deinit(&b);
}
