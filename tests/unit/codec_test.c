#include "base/core/prng.h"
#include "storage/col_codec.h"
#include "storage/table_grow.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

enum { N = 5000 };
static int64_t iv[N], iw[N];
static uint32_t cv[N], cw[N];
static double fv[N], fw[N];
static uint8_t xv[N * 16], xw[N * 16];
static uint64_t bv[N / 64 + 1], bw[N / 64 + 1];

static const uint32_t sizes[] = { 0, 1, 2, 3, 63, 64, 65, 1000, 1023, 1024, 1025, 2048, 4999 };

static int64_t sample(struct prng *r, int shape, uint32_t i)
{
    switch (shape) {
    case 0: return 42;
    case 1: return 1000000 + (int64_t)i * 15000;
    case 2: return (int64_t)prng_next(r);
    case 3: return INT64_C(1700000000000000000) + (int64_t)prng_below(r, 1000000) * 1000;
    case 4: return INT64_C(1700000000000000000) + (int64_t)i * 1000000 + (int64_t)prng_below(r, 50);
    case 5: return prng_chance(r, 0.5) ? INT64_MIN : INT64_MAX;
    case 6: return -(int64_t)prng_below(r, 100);
    case 7: return prng_chance(r, 0.1) ? 500 : prng_chance(r, 0.5) ? -200 : INT64_MIN;
    case 8: return (int64_t)prng_below(r, 16) * 1000003;
    case 9: return (int64_t)prng_below(r, 17) * 1000003;
    default: return (int64_t)(prng_next(r) >> prng_below(r, 64));
    }
}

Test(codec, ints_round_trip_and_stay_in_bounds)
{
    struct prng r;
    prng_init(&r, 1);
    for (int shape = 0; shape < 11; shape++)
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            uint32_t n = sizes[s];
            for (uint32_t i = 0; i < n; i++)
                iv[i] = sample(&r, shape, i);
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_int_encode(iv, n, &b);
            struct cur c = cur_of(buf_view(&b));
            cr_assert_eq(col_int_decode(&c, n, iw), OK);
            cr_assert_eq(c.p, c.end);
            cr_assert_eq(memcmp(iv, iw, n * 8), 0, "shape %d n %u", shape, n);
            if (b.n) {
                c = cur_of(str_n(b.p, b.n - 1));
                cr_assert_eq(col_int_decode(&c, n, iw), ERR_CORRUPT);
            }
            if (n == 2048 && shape <= 1) cr_assert_leq(b.n, 20);
            if (n == 2048 && shape == 3) cr_assert_leq(b.n, 2048 * 20 / 8 + 64); /* 20 bits: the scale was found */
            if (n == 2048 && shape == 7) cr_assert_leq(b.n, 2048 * 2 / 8 + 64); /* three values: two bits */
            if (n == 2048 && shape == 8) cr_assert_leq(b.n, 2048 * 4 / 8 + 200);
            if (n == 2048 && shape == 4) cr_assert_leq(b.n, 2048 * 7 / 8 + 64);
            buf_deinit(&b);
        }
}

Test(codec, every_width_packs)
{
    struct prng r;
    prng_init(&r, 2);
    static uint64_t v[COL_BLOCK], w[COL_BLOCK];
    for (unsigned width = 0; width <= 64; width++)
        for (uint32_t n = 1; n <= COL_BLOCK; n += n < 20 ? 1 : 251) {
            for (uint32_t i = 0; i < n; i++)
                v[i] = width == 0 ? 0 : prng_next(&r) >> (64 - width);
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_pack(v, n, width, &b);
            cr_assert_eq(b.n, col_pack_bytes(n, width));
            col_unpack((const uint8_t *)b.p, n, width, w);
            cr_assert_eq(memcmp(v, w, n * 8), 0, "width %u n %u", width, n);
            buf_deinit(&b);
        }
}

Test(codec, codes_are_checked_against_their_dictionary)
{
    struct prng r;
    prng_init(&r, 3);
    for (unsigned s = 1; s < ARRAY_LEN(sizes); s++) {
        uint32_t n = sizes[s], max = 0;
        for (uint32_t i = 0; i < n; i++) {
            cv[i] = (uint32_t)prng_below(&r, 1000);
            max = MAX(max, cv[i]);
        }
        struct buf b;
        buf_init(&b, 1 << 20, NULL);
        col_code_encode(cv, n, &b);
        struct cur c = cur_of(buf_view(&b));
        cr_assert_eq(col_code_decode(&c, n, max + 1, cw), OK);
        cr_assert_eq(memcmp(cv, cw, n * 4), 0);
        c = cur_of(buf_view(&b));
        cr_assert_eq(col_code_decode(&c, n, max, cw), ERR_CORRUPT);
        buf_deinit(&b);
    }
}

Test(codec, doubles_keep_every_bit)
{
    struct prng r;
    prng_init(&r, 4);
    for (int shape = 0; shape < 5; shape++)
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            uint32_t n = sizes[s];
            for (uint32_t i = 0; i < n; i++) {
                uint64_t bits = prng_next(&r);
                switch (shape) {
                case 0: fv[i] = (double)prng_below(&r, 100000) / 100; break;
                case 1: memcpy(&fv[i], &bits, 8); break;
                case 2: fv[i] = i % 7 ? 1.5 : -0.0; break;
                case 3: fv[i] = i % 100 ? 0.25 : NAN; break;
                default: fv[i] = -(double)(bits >> 12) * 1e5; break;
                }
            }
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_f64_encode(fv, n, &b);
            struct cur c = cur_of(buf_view(&b));
            cr_assert_eq(col_f64_decode(&c, n, fw), OK);
            cr_assert_eq(c.p, c.end);
            cr_assert_eq(memcmp(fv, fw, n * 8), 0, "shape %d n %u", shape, n);
            if (shape == 0 && n == 2048) cr_assert_leq(b.n, 2048 * 17 / 8 + 64);
            buf_deinit(&b);
        }
}

Test(codec, bits_round_trip)
{
    struct prng r;
    prng_init(&r, 5);
    double densities[] = { 0, 1, 0.5, 0.001, 0.999 };
    for (unsigned d = 0; d < ARRAY_LEN(densities); d++)
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            uint32_t n = sizes[s], set = 0, ones;
            memset(bv, 0, sizeof bv);
            for (uint32_t i = 0; i < n; i++)
                if (prng_chance(&r, densities[d])) {
                    bv[i / 64] |= UINT64_C(1) << (i % 64);
                    set++;
                }
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_bits_encode(bv, n, &b);
            struct cur c = cur_of(buf_view(&b));
            cr_assert_eq(col_bits_decode(&c, n, bw, &ones), OK);
            cr_assert_eq(c.p, c.end);
            cr_assert_eq(ones, set);
            cr_assert_eq(memcmp(bv, bw, (n + 63) / 64 * 8), 0);
            cr_assert_leq(b.n, n / 8 + 4);
            buf_deinit(&b);
        }
}

Test(codec, fixed_values_round_trip)
{
    struct prng r;
    prng_init(&r, 6);
    for (uint64_t distinct = 1; distinct <= 1u << 20; distinct *= 32)
        for (uint32_t width = 8; width <= 16; width += 8)
            for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
                uint32_t n = sizes[s];
                for (uint32_t i = 0; i < n; i++) {
                    uint64_t k = hash_u64(prng_below(&r, distinct)), pair[2] = { k, ~k };
                    memcpy(xv + i * width, pair, width);
                }
                struct buf b;
                buf_init(&b, 1 << 20, NULL);
                col_fix_encode(xv, n, width, COL_SEAL, &b, NULL);
                struct cur c = cur_of(buf_view(&b));
                cr_assert_eq(col_fix_decode(&c, n, width, xw), OK);
                cr_assert_eq(c.p, c.end);
                cr_assert_eq(memcmp(xv, xw, n * width), 0);
                buf_deinit(&b);
            }
}

static void round_trip_dict(struct arena *a, uint32_t count, size_t len, enum col_level level)
{
    uint32_t *offset = ARENA_RAW(a, uint32_t, count + 1);
    char *bytes = arena_alloc(a, count * (len + 8) + 1);
    offset[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t n = i % 5 ? len : 0;
        memset(bytes + offset[i], 'a' + (int)(i % 20), n);
        memcpy(bytes + offset[i] + n, &i, sizeof i);
        offset[i + 1] = offset[i] + (uint32_t)(n + sizeof i);
    }
    struct dict d = { count, offset, bytes }, e;
    struct buf b;
    buf_init(&b, 1 << 26, NULL);
    col_dict_encode(&d, level, &b, NULL);
    struct cur c = cur_of(buf_view(&b));
    cr_assert_eq(col_dict_decode(&c, count, a, &e), OK, "%s", err_detail());
    cr_assert_eq(c.p, c.end);
    cr_assert_eq(e.count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert(str_eq(dict_get(&d, i), dict_get(&e, i)));
    for (size_t cut = 0; cut < b.n; cut += 1 + b.n / 50) {
        c = cur_of(str_n(b.p, cut));
        cr_assert_eq(col_dict_decode(&c, count, a, &e), ERR_CORRUPT);
    }
    buf_deinit(&b);
}

Test(codec, dictionaries_round_trip)
{
    for (int level = COL_LIGHT; level <= COL_MERGE; level++) {
        struct arena a;
        arena_init(&a, NULL);
        round_trip_dict(&a, 0, 0, level);
        round_trip_dict(&a, 1, 0, level);
        round_trip_dict(&a, 2000, 10, level);
        round_trip_dict(&a, 3, 300000, level);
        round_trip_dict(&a, 5000, 100, level);
        arena_deinit(&a);
    }
}

/* Lines of 80 bytes, with random ids or without; how many blocks they take at that level, and how many bytes. */
static uint32_t text_blocks(bool random, enum col_level level, size_t *size)
{
    enum { LINES = 30000 };
    static char bytes[LINES * 80];
    static uint32_t offset[LINES + 1];
    struct prng r;
    struct arena a;
    prng_init(&r, 5);
    for (uint32_t i = 0; i < LINES; i++) {
        uint64_t id = random ? prng_next(&r) : 7;
        int n = snprintf(bytes + offset[i], 80, "request %016llx of worker %u was handled in %u ms, nothing else to say",
                         (unsigned long long)id, i % 16, i % 500);
        offset[i + 1] = offset[i] + (uint32_t)n;
    }
    struct dict d = { LINES, offset, bytes }, back;
    struct col_dict head;
    struct buf b;
    buf_init(&b, SIZE_MAX, NULL);
    arena_init(&a, NULL);
    col_dict_encode(&d, level, &b, NULL);
    *size = b.n;
    struct cur c = cur_of(buf_view(&b)), again = c;
    cr_assert(col_dict_head(&c, LINES, &a, &head) == OK);
    cr_assert(col_dict_decode(&again, LINES, &a, &back) == OK && again.p == again.end);
    cr_assert(back.count == LINES && memcmp(back.offset, offset, sizeof offset) == 0 && memcmp(back.bytes, bytes, offset[LINES]) == 0);
    uint32_t n = head.nblocks;
    buf_deinit(&b);
    arena_deinit(&a);
    return n;
}

/* A merge cuts text finer where that costs next to nothing, and only there. */
Test(codec, fine_text)
{
    size_t sealed, merged;
    cr_expect(text_blocks(true, COL_SEAL, &sealed) == 1);
    cr_expect(text_blocks(true, COL_MERGE, &merged) == 3);
    cr_expect(merged < sealed * 101 / 100);
    cr_expect(text_blocks(false, COL_MERGE, &merged) == 1);
}

/* Codes in order of first appearance, as dictionaries have them: what is new costs next to nothing, what is not its distance. */
Test(codec, codes_by_first_appearance)
{
    static uint32_t codes[5000], back[5000];
    struct prng r;
    prng_init(&r, 21);
    for (uint32_t one_in = 1; one_in <= 100000; one_in *= 10)
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            uint32_t n = MIN(sizes[s], ARRAY_LEN(codes)), next = 0, repeats = 0;
            for (uint32_t i = 0; i < n; i++) {
                bool again = next && prng_below(&r, one_in) == 0;
                codes[i] = again ? (uint32_t)prng_below(&r, next) : next++;
                repeats += again;
            }
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_code_encode(codes, n, &b);
            if (one_in >= 10) cr_assert_leq(b.n, 64 + n / COL_BLOCK * 8 + repeats * 4, "%zu bytes of %u codes, %u again", b.n, n, repeats);
            struct cur c = cur_of(buf_view(&b));
            cr_assert_eq(col_code_decode(&c, n, next + 1, back), OK);
            cr_assert_eq(c.p, c.end);
            cr_assert_eq(memcmp(codes, back, n * sizeof *codes), 0);
            uint32_t at[] = { 0, n / 2, n - 1 }, few[3];
            uint32_t k = n > 2 ? 3 : n ? 1 : 0;
            c = cur_of(buf_view(&b));
            cr_assert_eq(col_code_decode_at(&c, n, next + 1, at, k, few), OK);
            for (uint32_t i = 0; i < k; i++)
                cr_assert_eq(few[i], codes[at[i]]);
            for (size_t cut = 0; cut < b.n; cut++) {
                c = cur_of(str_n(b.p, cut));
                cr_assert_eq(col_code_decode(&c, n, next + 1, back), ERR_CORRUPT);
            }
            buf_deinit(&b);
        }
}

/* Few integers of a column are those of the whole, whatever their width, where the last block is short, and wherever they are cut. */
Test(codec, few_integers)
{
    static const uint32_t lengths[] = { 1, 7, COL_BLOCK - 1, COL_BLOCK, COL_BLOCK + 1, 2 * COL_BLOCK + 300 };
    enum { MOST = 2 * COL_BLOCK + 300 };
    static int64_t v[MOST], back[MOST], few[MOST];
    static uint32_t at[MOST];
    struct prng r;
    prng_init(&r, 9);
    for (unsigned width = 0; width <= 64; width++)
        for (size_t i = 0; i < ARRAY_LEN(lengths) * 3; i++) {
            uint32_t n = lengths[i / 3], k = 0, one_in = i % 3 ? (i % 3 == 1 ? 5 : 200) : 1;
            uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
            for (uint32_t j = 0; j < n; j++) {
                v[j] = (int64_t)((prng_next(&r) & mask) * (width < 30 && width % 2 ? 1000 : 1) - 77);
                if (j + 1 == n || prng_below(&r, one_in) == 0) at[k++] = j;
            }
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_int_encode(v, n, &b);
            struct cur c = cur_of(buf_view(&b));
            cr_assert_eq(col_int_decode(&c, n, back), OK);
            cr_assert_eq(memcmp(v, back, n * sizeof *v), 0);
            c = cur_of(buf_view(&b));
            cr_assert_eq(col_int_decode_at(&c, n, at, k, few), OK);
            for (uint32_t j = 0; j < k; j++)
                cr_assert_eq(few[j], v[at[j]], "width %u, value %u of %u", width, at[j], n);
            char *exact = malloc(b.n);
            for (size_t cut = 0; cut < b.n; cut += 1 + b.n / 64) {
                memcpy(exact + (b.n - cut), b.p, cut);
                c = cur_of((struct str){ exact + (b.n - cut), cut });
                cr_assert_eq(col_int_decode_at(&c, n, &at[k - 1], 1, few), ERR_CORRUPT);
            }
            free(exact);
            buf_deinit(&b);
        }
}

/* A table of every type, some columns with holes, strings of more than a block. */
static struct table *mixed_table(struct prng *r, uint32_t nrows)
{
    struct table_builder *b = table_builder_new(NULL);
    char text[200];
    memset(text, 'x', sizeof text);
    for (uint32_t i = 0; i < nrows; i++) {
        uint64_t id[2] = { prng_next(r), prng_below(r, 100) };
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), (int64_t)i * 1000 + (int64_t)prng_below(r, 100));
        table_set_fix(b, SC_SELF, STR("raw"), id, 8);
        id[0] = 7;
        table_set_fix(b, SC_SELF, STR("few"), id, 16);
        if (prng_chance(r, 0.3)) table_set_i64(b, SC_ATTR, STR("code"), prng_chance(r, 0.5) ? 200 : 500);
        if (prng_chance(r, 0.5)) table_set_f64(b, SC_ATTR, STR("ratio"), (double)prng_below(r, 1000) / 8);
        if (prng_chance(r, 0.9)) table_set_bool(b, SC_ATTR, STR("flag"), prng_chance(r, 0.5));
        table_set_str(b, SC_ATTR, STR("verb"), COL_STR, prng_chance(r, 0.5) ? STR("GET") : STR("POST"));
        int n = snprintf(text, sizeof text, "%llu ", (unsigned long long)prng_next(r));
        text[n] = 'x';
        if (prng_chance(r, 0.8)) table_set_str(b, SC_ATTR, STR("text"), COL_STR, str_n(text, 1 + prng_below(r, sizeof text)));
        if (i == nrows / 2) table_set_str(b, SC_ATTR, STR("once"), COL_JSON, STR("{}"));
    }
    return table_builder_finish(b, STR("time"));
}

static void check_few(const struct column *c, const uint32_t *rows, uint32_t k)
{
    struct arena a;
    struct buf b;
    arena_init(&a, NULL);
    buf_init(&b, 16 << 20, NULL);
    col_column_encode(c, COL_SEAL, &b, NULL);
    struct cur cur = cur_of(buf_view(&b));
    struct column few = { .type = c->type, .scope = c->scope, .width = c->width };
    cr_assert_eq(col_column_decode_at(&cur, c->nrows, rows, k, &a, &few), OK);
    cr_assert_eq(few.nrows, k);
    for (uint32_t i = 0; i < k; i++) {
        uint32_t size = col_value_size(c->type, c->width);
        cr_assert_eq(column_has(&few, i), column_has(c, rows[i]));
        if (!column_has(c, rows[i])) continue;
        if (col_is_dict(c->type))
            cr_assert(str_eq(column_str(&few, i), column_str(c, rows[i])));
        else
            cr_assert_eq(memcmp(few.fix + (size_t)i * size, c->fix + (size_t)rows[i] * size, size), 0);
    }
    for (size_t cut = 0; cut < b.n; cut += 1 + b.n / 50) { /* an error or not: never behind the end */
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, b.p, cut);
        cur = cur_of(str_n(exact, cut));
        err_t ignored = col_column_decode_at(&cur, c->nrows, rows, k, &a, &few);
        (void)ignored;
        free(exact);
    }
    buf_deinit(&b);
    arena_deinit(&a);
}

Test(codec, few_rows_are_what_all_rows_are)
{
    static const uint32_t counts[] = { 1, 65, 1024, 5000 };
    struct prng r;
    prng_init(&r, 11);
    for (unsigned s = 0; s < ARRAY_LEN(counts); s++) {
        uint32_t n = counts[s], rows[64];
        struct table *t = mixed_table(&r, n);
        for (int round = 0; round < 5; round++) {
            uint32_t k = 0;
            for (uint32_t row = round == 0 ? n - 1 : 0; row < n && k < ARRAY_LEN(rows);
                 row += 1 + (uint32_t)prng_below(&r, round % 2 ? n : 3 + n / 50))
                rows[k++] = row;
            for (uint32_t i = 0; i < t->ncols; i++)
                check_few(&t->cols[i], rows, k);
        }
        table_put(t);
    }
}
