#include "base/core/prng.h"
#include "storage/col_seq.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { N = 5000 };
static uint64_t v[N], w[N];

static uint64_t sample(struct prng *r, int shape, uint32_t i)
{
    switch (shape) {
    case 0: return 7;
    case 1: return prng_below(r, 2);
    case 2: return prng_below(r, 100) ? 0 : prng_below(r, 1000);
    case 3: return i % 17;
    case 4: return prng_next(r);
    case 5: return (uint64_t)pow(2, (double)prng_below(r, 6400) / 100.1);
    case 6: return prng_below(r, 100000) + 31;
    case 7: return prng_below(r, 2) ? UINT64_MAX : 0;
    default: return i < 2500 ? prng_below(r, 30) : prng_below(r, 10) * 1000;
    }
}

/* What was written comes back, from the very bytes; what is cut is an error, or at least no crash. */
static void check(uint32_t n)
{
    struct buf b;
    buf_init(&b, 1 << 22, NULL);
    col_seq_encode(v, n, &b);
    struct cur c = cur_of(buf_view(&b));
    cr_assert_eq(col_seq_decode(&c, n, w), OK, "%s", err_detail());
    cr_assert_eq(c.p, c.end);
    cr_assert_eq(memcmp(v, w, n * sizeof *v), 0);
    for (size_t cut = 0; cut < b.n; cut += 1 + b.n / 40) {
        char *exact = malloc(cut + 1);
        memcpy(exact, b.p, cut);
        c = cur_of(str_n(exact, cut));
        cr_assert_eq(col_seq_decode(&c, n, w), ERR_CORRUPT);
        free(exact);
    }
    buf_deinit(&b);
}

Test(col_seq, round_trip)
{
    static const uint32_t sizes[] = { 1, 2, 3, 10, 47, 64, 300, 1024, 1025, 4999 };
    struct prng r;
    prng_init(&r, 3);
    for (int shape = 0; shape < 9; shape++)
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            for (uint32_t i = 0; i < sizes[s]; i++)
                v[i] = sample(&r, shape, i);
            check(sizes[s]);
        }
}

/* Within a tenth and a table of the entropy of the frequencies. */
Test(col_seq, close_to_the_entropy)
{
    struct prng r;
    prng_init(&r, 4);
    for (unsigned sides = 2; sides <= 30; sides += 4)
        for (double skew = 1; skew < 5; skew++) {
            uint32_t count[32] = { 0 };
            for (uint32_t i = 0; i < N; i++) {
                v[i] = (uint64_t)(pow((double)prng_below(&r, 1 << 20) / (1 << 20), skew) * sides);
                count[v[i]]++;
            }
            double bits = 0;
            for (unsigned s = 0; s < sides; s++)
                if (count[s]) bits -= count[s] * log2((double)count[s] / N);
            struct buf b;
            buf_init(&b, 1 << 20, NULL);
            col_seq_encode(v, N, &b);
            cr_assert_leq((double)b.n, bits / 8 * 1.1 + 40, "%zu bytes, entropy %.0f", b.n, bits / 8);
            buf_deinit(&b);
        }
}

Test(col_seq, hostile_bytes)
{
    struct prng r;
    prng_init(&r, 5);
    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t bytes[128];
        uint32_t size = 1 + (uint32_t)prng_below(&r, sizeof bytes - 1);
        for (uint32_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)prng_next(&r);
        bytes[0] = (uint8_t)prng_below(&r, 5);
        uint8_t *exact = malloc(size);
        memcpy(exact, bytes, size);
        struct cur c = { exact, exact + size };
        err_t ignored = col_seq_decode(&c, 1 + (uint32_t)prng_below(&r, N - 1), w);
        (void)ignored;
        free(exact);
    }
}
