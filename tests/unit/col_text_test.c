#include "base/core/prng.h"
#include "storage/col_text.h"
#include "storage/col_text_int.h"
#include "tests/unit/text_found.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct list { /* strings, one after another */
    struct buf bytes;
    uint32_t *offset, n, cap;
};
static void list_init(struct list *l)
{
    *l = (struct list){ 0 };
    buf_init(&l->bytes, 64 << 20, NULL);
    l->offset = calloc(1, sizeof *l->offset);
}
static void list_end(struct list *l)
{
    l->offset = realloc(l->offset, (l->n + 2) * sizeof *l->offset);
    l->offset[++l->n] = (uint32_t)l->bytes.n;
}
static void list_add(struct list *l, const char *z)
{
    buf_z(&l->bytes, z);
    list_end(l);
}
static void list_free(struct list *l)
{
    buf_deinit(&l->bytes);
    free(l->offset);
}

/* The very strings come back from an exact copy of the bytes; cut and changed bytes are errors or other strings, never a
 * crash. The size, 0 when templates did not fit. */
static size_t check(const struct list *l)
{
    struct buf b;
    buf_init(&b, 64 << 20, NULL);
    size_t size = 0;
    uint32_t raw = (uint32_t)l->bytes.n, *ends = malloc(((size_t)l->n + 1) * sizeof *ends);
    char *to = malloc(raw + 1);
    if (col_text_encode(l->bytes.p, l->offset, l->n, &b)) {
        size = b.n;
        char *exact = malloc(b.n);
        memcpy(exact, b.p, b.n);
        memset(to, '#', raw);
        cr_assert_eq(col_text_decode(str_n(exact, b.n), l->n, raw, 5, NULL, ends, to), OK, "%s", err_detail());
        cr_assert_eq(memcmp(to, l->bytes.p, raw), 0);
        for (uint32_t i = 0; i < l->n; i++)
            cr_assert_eq(ends[i], 5 + l->offset[i + 1]);
        struct prng r;
        prng_init(&r, b.n);
        uint32_t few[8], k = (uint32_t)MIN(ARRAY_LEN(few), l->n);
        struct str strings[8];
        struct arena a;
        arena_init(&a, NULL);
        for (uint32_t i = 0; i < k; i++)
            few[i] = (uint32_t)prng_below(&r, l->n);
        cr_assert_eq(col_text_decode_at(str_n(exact, b.n), l->n, raw, few, k, &a, strings), OK, "%s", err_detail());
        for (uint32_t i = 0; i < k; i++)
            cr_assert(str_eq(strings[i], (struct str){ l->bytes.p + l->offset[few[i]], l->offset[few[i] + 1] - l->offset[few[i]] }));
        for (uint32_t seed = 0; seed < 8; seed++)
            check_finds(str_n(exact, b.n), l->n, l->bytes.p, l->offset + 1, seed * 77 + raw);
        free(exact);
        for (int round = 0; round < 60; round++) {
            size_t cut = round % 2 ? b.n : prng_below(&r, b.n);
            exact = malloc(cut + 1);
            memcpy(exact, b.p, cut);
            for (uint64_t flips = prng_below(&r, 4); cut && flips > 0; flips--)
                exact[prng_below(&r, cut)] ^= (char)(1 << prng_below(&r, 8));
            err_t ignored = col_text_decode(str_n(exact, cut), l->n, raw, 0, NULL, ends, to);
            ignored = col_text_decode_at(str_n(exact, cut), l->n, raw, few, k, &a, strings);
            (void)ignored;
            find_anything(str_n(exact, cut), l->n, raw, str_n(l->bytes.p, MIN(raw, 1 + prng_below(&r, 9))));
            free(exact);
        }
        arena_deinit(&a);
    }
    free(to);
    free(ends);
    buf_deinit(&b);
    return size;
}

static const char *const odd[] = {
    "", " ", "\n", "0", "00", "007", "-1", "+5", "1.", ".5", "1.5", "01.5", "1.2.3", "1.2.3.4", "01.2.3.4", "256.1.1.1", "1.2.3.4.5", "99999999999999999999",
    "18446744073709551616", "9999999999999999999", "00000000000000000000000000000000000000000000007", "deadbeef", "deadbee1", "DEADBEE1", "dEADBEE1", "deadbeef1",
    "550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000", "550e8400-E29B-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-4466554400001",
    "2016-12-20 00:04:03,231 x", "2016-12-20T00:04:03.000001Z", "2016-13-20T00:04:03", "2016-02-30T00:04:03", "2000-02-29T23:59:59", "1900-02-28T00:00:00",
    "1969-12-31T23:59:59", "1970-01-01T00:00:00.000000000", "2500-12-31T23:59:59.999999999", "2501-01-01T00:00:00", "2016-12-20T24:00:00", "2016-12-20T00:60:00",
    "2016-12-20T00:00:60", "2016/12/20 10:10:10", "2016.12.20:10:10:10", "2016-12/20 10:10:10", "2016-12-20 10:10:10.1234567890", "2016-12-20 10:10:10,12",
    "[17/May/2015:10:05:03 +0000]", "[31/Feb/2015:10:05:03 +0000]", "[17/may/2015:10:05:03]", "Jan  1 00:00:00 host", "Jan 01 00:00:00 host", "Dec 31 23:59:59.5",
    "Feb 31 12:12:12", "12:34:56", "12:34:56.789", "12:34:56,7", "12:34:567", "24:34:56", "12:34:56:78", "GET /a/b/c?x=1&y=/z HTTP/1.1", "/only/a/path", "http://example.org/x y",
    "\"quoted\"", "\"\"", "\"open", "\"a\\\"b\" c", "\"key\":\"value\"", "\"key\":12,\"k2\":\"12\",\"k3\":\"2016-12-20T00:04:03Z\"", "\"n\":\"007\"", "\"n\":\"12a\"",
    "a=b c=\"d e\" f=1.5s", "x86_64 v2beta1 5xx 1st kafka0 HTTP2", "tab\tand\r\n", "\xff\xfe\x80 invalid", "nul\0", "\x01\x02 control", "caf\xc3\xa9 12",
    "0x1F 1e10 1_000", "----", "1-2-3", "a1b2c3d4e5f6a7b8", "ffffffffffffffffffffffffffffffff", "ffffffffffffffff1fffffffffffffffff",
};

Test(col_text, odd_strings_come_back)
{
    for (uint32_t copies = 1; copies <= 20; copies += 3) {
        struct list l;
        list_init(&l);
        for (uint32_t k = 0; k < copies; k++)
            for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
                buf_z(&l.bytes, k % 3 == 2 ? "x " : "");
                buf_put(&l.bytes, odd[i], strlen(odd[i]) + (i % 7 == 0)); /* some with a NUL */
                list_end(&l);
            }
        check(&l);
        list_free(&l);
    }
}

Test(col_text, every_number_is_written_as_it_was)
{
    struct list l;
    struct prng r;
    list_init(&l);
    prng_init(&r, 1);
    for (uint32_t i = 0; i < 5000; i++) {
        uint64_t t = prng_below(&r, UINT64_C(16725225600) << 1), v = prng_next(&r) >> prng_below(&r, 64);
        unsigned frac = (unsigned)prng_below(&r, 10);
        buf_printf(&l.bytes, "n %llu %0*llu d %llu.%0*llu ", (unsigned long long)v, (int)frac + 2, (unsigned long long)v, (unsigned long long)(v >> 20), (int)frac + 1,
                   (unsigned long long)(v & 1023));
        buf_printf(&l.bytes, "%04llu-%02llu-%02llu %02llu:%02llu:%02llu.%09llu %02llu/Oct/%llu:01:02:%02llu Mar %2llu 01:02:%02llu", (unsigned long long)(1960 + t % 600),
                   (unsigned long long)(t / 7 % 14), (unsigned long long)(t / 97 % 33), (unsigned long long)(t / 991 % 25), (unsigned long long)(t / 13 % 61),
                   (unsigned long long)(t / 17 % 61), (unsigned long long)(t % 1000000000), (unsigned long long)(t % 33), (unsigned long long)(1965 + t % 700),
                   (unsigned long long)(t % 61), (unsigned long long)(t % 33), (unsigned long long)(t % 61));
        buf_printf(&l.bytes, " %llu.%llu.%llu.%llu", (unsigned long long)(v & 511), (unsigned long long)(v >> 9 & 255), (unsigned long long)(v >> 17 & 255),
                   (unsigned long long)(v >> 25 & 255));
        list_end(&l);
    }
    check(&l);
    list_free(&l);
}

/* What a template says costs nothing; what counts up, next to nothing. */
Test(col_text, templates_are_not_stored_twice)
{
    struct list l;
    struct prng r;
    list_init(&l);
    prng_init(&r, 2);
    for (uint32_t i = 0; i < 20000; i++) {
        buf_printf(&l.bytes, "2024-03-01T10:%02u:%02u.%03uZ INFO request %u of user %s took %u ms, all is well", i / 4000, i / 60 % 60, i % 1000, i,
                   prng_chance(&r, 0.5) ? "alice" : "bob", (unsigned)prng_below(&r, 16));
        list_end(&l);
    }
    size_t size = check(&l);
    cr_assert_gt(size, 0);
    cr_assert_leq(size, l.n * 4, "%zu bytes of %u strings", size, l.n);
    list_free(&l);
}

/* Strings from a small grammar, with bytes thrown in. */
static void random_string(struct prng *r, struct buf *b)
{
    static const char *const bits[] = { "error", " ", ",", ":", "{\"a\":", "\"", "}", "=", "/", "[", "]", "http://", "user", "12", "0", "2020-01-01 00:00:00", "10.0.0.1",
                                        "deadbeef01", ".", "-", "\n", "Jan 10 10:10:10", "x1", "GET /x/y", "\xc3\xa9", "\\", "INFO", "WARN" };
    uint64_t n = prng_below(r, 20);
    for (uint64_t i = 0; i < n; i++) {
        if (prng_below(r, 30) == 0)
            buf_byte(b, (uint8_t)prng_next(r));
        else if (prng_below(r, 5) == 0)
            buf_printf(b, "%llu", (unsigned long long)(prng_next(r) >> prng_below(r, 64)));
        else
            buf_z(b, bits[prng_below(r, ARRAY_LEN(bits))]);
    }
}

Test(col_text, random_strings_come_back)
{
    struct prng r;
    prng_init(&r, 3);
    uint32_t taken = 0;
    for (uint32_t round = 0; round < 200; round++) {
        struct list l, shapes;
        list_init(&l);
        list_init(&shapes);
        uint32_t n = 1 + (uint32_t)prng_below(&r, 300), nshapes = 1 + (uint32_t)prng_below(&r, 6);
        for (uint32_t i = 0; i < nshapes; i++) {
            random_string(&r, &shapes.bytes);
            list_end(&shapes);
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t k = (uint32_t)prng_below(&r, nshapes);
            buf_put(&l.bytes, shapes.bytes.p + shapes.offset[k], shapes.offset[k + 1] - shapes.offset[k]);
            if (prng_below(&r, 3) == 0) random_string(&r, &l.bytes);
            list_end(&l);
        }
        taken += check(&l) > 0;
        list_free(&l);
        list_free(&shapes);
    }
    cr_assert_gt(taken, 30);
}

Test(col_text, a_long_line)
{
    struct list l;
    list_init(&l);
    for (uint32_t i = 0; i < 40; i++) {
        buf_printf(&l.bytes, "line %u ", i);
        for (uint32_t k = 0; k < (i % 10 ? 5 : 60000); k++)
            buf_printf(&l.bytes, "%u,", k * i);
        list_end(&l);
    }
    check(&l);
    list_free(&l);
    list_init(&l);
    list_add(&l, "one");
    check(&l);
    list_free(&l);
}

/* -- along the trie ---------------------------------------------------------------------------------------------------- */

static void put_piece(struct buf *b, struct prng *r)
{
    static const char *const words[] = { "cache", "deadbeef", "user", "Jan", "key", "x", "u7", "v1.2.3", "http://a.b/c", "(ab", "a,b",
                                         "2024-02-03T04:05:06.789Z", "2016.10.10", "12:13:14", "10/Oct/2000:13:55:36", "1.5", "1.5.6", "1.25", "10.0.0.1",
                                         "10.0.0.256", "0", "007", "12345678901234567890", "a1b2c3d4", "A1B2C3D4", "a1b2c3d4e5", "0a1b2c3d-1111-2222-3333-444455556666",
                                         "\"\"", "\"a\\\"b\"", "\"time\":", "\"7\"", "\"007\"", "\"1.5\"", "\"null\":1", "\"a1b2c3d4\"", "\"Fine\"", "err=null",
                                         "err=\"x\"", "k=7", "k=v7", "k=a1b2c3d4", "k=7s", "/var/log/x.1", "/", "12/13", "5-6", "-7", "[w-12]", "w-13" };
    buf_z(b, words[prng_below(r, ARRAY_LEN(words))]);
    if (prng_below(r, 4) == 0) buf_printf(b, "%u", (unsigned)prng_below(r, 2000));
    if (prng_below(r, 5)) buf_byte(b, (uint8_t)" ,[:=\n"[prng_below(r, 10) < 6 ? 0 : prng_below(r, 6)]);
}

/* Lines that begin alike and go on otherwise get the templates and values that they have without the trie. */
Test(col_text, the_trie_changes_nothing)
{
    for (uint32_t seed = 1; seed <= 60; seed++) {
        struct prng r;
        struct list l;
        struct arena a;
        struct text_mined with, without;
        uint32_t stems = 1 + seed % 5;
        prng_init(&r, seed);
        list_init(&l);
        arena_init(&a, NULL);
        for (uint32_t i = 0; i < 400; i++) {
            struct prng same;
            prng_init(&same, prng_below(&r, stems) * 1000 + seed);
            for (uint32_t pieces = 6 + (uint32_t)prng_below(&same, 6), k = 0; k < pieces; k++)
                put_piece(&l.bytes, prng_below(&r, 12) ? &same : &r);
            list_end(&l);
        }
        text_mine(l.bytes.p, l.offset, l.n, seed % 3 > 0, true, &a, &with);
        text_mine(l.bytes.p, l.offset, l.n, seed % 3 > 0, false, &a, &without);
        for (uint32_t i = 0; i < l.n; i++)
            cr_assert_eq(with.template[i], without.template[i], "seed %u: %.*s", seed, (int)(l.offset[i + 1] - l.offset[i]), l.bytes.p + l.offset[i]);
        cr_assert_eq(with.nslots, without.nslots);
        cr_assert_eq(memcmp(with.slots, without.slots, with.nslots * sizeof *with.slots), 0);
        cr_assert(str_eq(buf_view(&with.patterns), buf_view(&without.patterns)));
        buf_deinit(&with.patterns);
        buf_deinit(&without.patterns);
        if (seed % 4 == 0) check(&l);
        arena_deinit(&a);
        list_free(&l);
    }
}

/* Needles of digits, in numbers, times and ids: by ranges, by different values, by nibbles. */
Test(col_text, digits_are_found)
{
    struct prng r;
    struct list l;
    struct buf b;
    prng_init(&r, 9);
    list_init(&l);
    buf_init(&b, 64 << 20, NULL);
    for (uint32_t i = 0; i < 3000; i++) {
        buf_printf(&l.bytes, "%u-%02u-0%uT10:1%u:%02u.%03uZ id=%016llx uuid=%08x-%04x-%04x-%04x-%012llx n=%llu took=%u.%02u s from 10.%u.%u.7 code=%u %05u",
                   1999 + (unsigned)prng_below(&r, 60), 1 + (unsigned)prng_below(&r, 12), 1 + (unsigned)prng_below(&r, 9), (unsigned)prng_below(&r, 9),
                   (unsigned)prng_below(&r, 60), (unsigned)prng_below(&r, 1000), (unsigned long long)prng_next(&r), (unsigned)prng_next(&r),
                   (unsigned)prng_below(&r, 65536), (unsigned)prng_below(&r, 65536), (unsigned)prng_below(&r, 65536), (unsigned long long)prng_next(&r) >> 16,
                   (unsigned long long)prng_next(&r) >> prng_below(&r, 63), (unsigned)prng_below(&r, 5000), (unsigned)prng_below(&r, 100),
                   (unsigned)prng_below(&r, 256), (unsigned)prng_below(&r, 256), 200 + 100 * (unsigned)prng_below(&r, 4), (unsigned)prng_below(&r, 1000));
        list_end(&l);
    }
    cr_assert(col_text_encode(l.bytes.p, l.offset, l.n, &b));
    for (uint32_t round = 0; round < 400; round++) {
        char needle[24];
        uint32_t n = 1 + (uint32_t)prng_below(&r, 9);
        size_t at = prng_below(&r, l.bytes.n - sizeof needle);
        for (uint32_t i = 0; i < n; i++) { /* some that are there, some that are not */
            char c = l.bytes.p[at + i];
            needle[i] = round % 3 == 0 || hex_value(c) < 0 ? (char)('0' + prng_below(&r, 10)) : c;
        }
        check_find(buf_view(&b), l.n, l.bytes.p, l.offset + 1, str_n(needle, n), round % 2, round % 5 ? TEXT_HAS : TEXT_WORDS);
    }
    buf_deinit(&b);
    list_free(&l);
}
