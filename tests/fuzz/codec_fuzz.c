/* What the codecs of columns encode decodes to the same, whole and a few values at a time. First byte: the codec; second: how the
 * values are made of the rest (raw; small; differences; repeats), so that every form of a codec is met. (Bytes that no encoder
 * wrote: seg, segment, metric.) */
#include "base/core/assert.h"
#include "storage/col_codec.h"
#include "storage/col_sample.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES_MAX = 3 * COL_BLOCK + 7 };

static uint32_t make(const uint8_t *p, size_t size, uint8_t how, uint64_t *v)
{
    static const uint8_t widths[] = { 8, 1, 2, 4 };
    size_t width = widths[how & 3];
    uint32_t n = (uint32_t)MIN(size / width, (size_t)VALUES_MAX), times = 1 + (how >> 5) * 40, m = 0;
    uint64_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = 0;
        memcpy(&x, p + i * width, width);
        if (how & 4) x = before += x;
        if (how & 8) x = before += (uint64_t)(int64_t)(int8_t)x * 1000;
        for (uint32_t k = 0; k < times && m < VALUES_MAX; k++)
            v[m++] = x;
    }
    return m;
}

/* A few places, ascending. */
static uint32_t places(uint32_t n, uint32_t *at)
{
    uint32_t k = 0;
    for (uint32_t i = n % 5; i < n; i += 1 + n / 7)
        at[k++] = i;
    return k;
}

static void ints(const uint64_t *v, uint32_t n, struct buf *b)
{
    static int64_t out[VALUES_MAX];
    uint32_t at[16], k = places(n, at);
    col_int_encode((const int64_t *)v, n, b);
    struct cur c = cur_of(buf_view(b)), few = c;
    ASSERT(col_int_decode(&c, n, out) == OK && c.p == c.end && memcmp(out, v, n * 8) == 0);
    ASSERT(col_int_decode_at(&few, n, at, k, out) == OK);
    for (uint32_t i = 0; i < k; i++)
        ASSERT(out[i] == (int64_t)v[at[i]]);
}

static void codes(const uint64_t *v, uint32_t n, struct buf *b)
{
    static uint32_t in[VALUES_MAX], out[VALUES_MAX];
    uint32_t at[16], k = places(n, at), limit = 0;
    for (uint32_t i = 0; i < n; i++) {
        in[i] = (uint32_t)v[i] & 0x7fffffff;
        limit = MAX(limit, in[i] + 1);
    }
    col_code_encode(in, n, b);
    struct cur c = cur_of(buf_view(b)), few = c, low = c;
    ASSERT(col_code_decode(&c, n, limit, out) == OK && c.p == c.end && memcmp(out, in, n * 4) == 0);
    ASSERT(col_code_decode_at(&few, n, limit, at, k, out) == OK);
    for (uint32_t i = 0; i < k; i++)
        ASSERT(out[i] == in[at[i]]);
    if (limit > 1) ASSERT(col_code_decode(&low, n, limit - 1, out) != OK);
}

static void floats(const uint64_t *v, uint32_t n, bool decimal, struct buf *b)
{
    static double in[VALUES_MAX], out[VALUES_MAX];
    for (uint32_t i = 0; i < n; i++)
        if (decimal)
            in[i] = (double)(int64_t)v[i] / 100;
        else
            memcpy(&in[i], &v[i], 8);
    col_f64_encode(in, n, b);
    struct cur c = cur_of(buf_view(b));
    ASSERT(col_f64_decode(&c, n, out) == OK && c.p == c.end && memcmp(out, in, n * 8) == 0);
}

static void bits(const uint64_t *v, uint32_t n, struct buf *b)
{
    static uint64_t out[VALUES_MAX];
    uint32_t nbits = n * 64 - (uint32_t)(v[0] & 63), words = (nbits + 63) / 64, ones, want = 0;
    col_bits_encode(v, nbits, b);
    struct cur c = cur_of(buf_view(b));
    ASSERT(col_bits_decode(&c, nbits, out, &ones) == OK && c.p == c.end);
    for (uint32_t i = 0; i < words; i++) {
        uint64_t in = i + 1 < words || nbits % 64 == 0 ? v[i] : v[i] & ((UINT64_C(1) << nbits % 64) - 1);
        ASSERT(out[i] == in);
        want += (uint32_t)__builtin_popcountll(in);
    }
    ASSERT(ones == want);
}

static void fixed(const uint64_t *v, uint32_t n, uint8_t how, struct buf *b)
{
    static uint8_t out[VALUES_MAX * 8];
    const uint32_t width = 1 + how % 16, count = n * 8 / width;
    uint32_t at[16], k = places(count, at);
    if (count == 0) return;
    col_fix_encode((const uint8_t *)v, count, width, how & 16 ? COL_SEAL : COL_LIGHT, b, NULL);
    struct cur c = cur_of(buf_view(b)), few = c;
    ASSERT(col_fix_decode(&c, count, width, out) == OK && c.p == c.end && memcmp(out, v, (size_t)count * width) == 0);
    ASSERT(col_fix_decode_at(&few, count, width, at, k, out) == OK);
    for (uint32_t i = 0; i < k; i++)
        ASSERT(memcmp(out + (size_t)i * width, (const uint8_t *)v + (size_t)at[i] * width, width) == 0);
}

/* Entries end at a byte; as the encoder may, the dictionary keeps equal ones. */
static void dictionary(const uint8_t *p, size_t size, uint8_t how, struct buf *b)
{
    struct arena a;
    struct dict d = { .bytes = (const char *)p }, back;
    uint32_t *offset = calloc(size + 2, sizeof *offset);
    ASSERT(offset);
    arena_init(&a, NULL);
    for (size_t i = 0; i < size; i++)
        if (p[i] == ' ' || p[i] == 0) offset[++d.count] = (uint32_t)i + 1;
    if (d.count == 0 || offset[d.count] != size) offset[++d.count] = (uint32_t)size;
    d.offset = offset;
    col_dict_encode(&d, how & 1 ? COL_SEAL : COL_LIGHT, b, NULL);
    struct cur c = cur_of(buf_view(b));
    ASSERT(col_dict_decode(&c, d.count, &a, &back) == OK && c.p == c.end && back.count == d.count);
    for (uint32_t i = 0; i < d.count; i++)
        ASSERT(str_eq(dict_get(&d, i), dict_get(&back, i)));
    arena_deinit(&a);
    free(offset);
}

static void samples(const uint64_t *v, uint32_t n, bool decimal)
{
    static uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];
    int64_t t[COL_SAMPLE_MAX];
    double in[COL_SAMPLE_MAX], f[COL_SAMPLE_MAX];
    n = MIN(n, (uint32_t)COL_SAMPLE_MAX);
    size_t size = sample_i64_encode((const int64_t *)v, n, coded);
    ASSERT(sample_i64_decode(coded, coded + size, n, t) == coded + size && memcmp(t, v, n * 8) == 0);
    for (uint32_t i = 0; i < n; i++)
        if (decimal)
            in[i] = (double)(int64_t)v[i] / 1000;
        else
            memcpy(&in[i], &v[i], 8);
    size = sample_f64_encode(in, n, coded);
    ASSERT(sample_f64_decode(coded, coded + size, n, f) == coded + size && memcmp(f, in, n * 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t v[VALUES_MAX];
    if (size < 3 || size > 1 << 16) return 0;
    uint8_t which = data[0] % 7, how = data[1];
    uint32_t n = make(data + 2, size - 2, how, v);
    struct buf b;
    buf_init(&b, 64 << 20, NULL);
    if (n) {
        switch (which) {
        case 0: ints(v, n, &b); break;
        case 1: codes(v, n, &b); break;
        case 2: floats(v, n, how & 16, &b); break;
        case 3: bits(v, n, &b); break;
        case 4: fixed(v, n, data[0] / 7, &b); break;
        case 5: dictionary(data + 2, size - 2, how, &b); break;
        default: samples(v, n, how & 16);
        }
        ASSERT(buf_check(&b) == OK);
    }
    buf_deinit(&b);
    return 0;
}
