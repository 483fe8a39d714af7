#include "base/core/assert.h"
#include "storage/col_codec.h"

enum { LANES = 16, LANE_ROWS = COL_BLOCK / LANES };
_Static_assert(LANE_ROWS == 64, "a lane of w-bit values fills w words");

/* Copies of packed words, so that neither side needs alignment. Used within one call only. */
static _Thread_local uint64_t lanes[COL_BLOCK];

size_t col_pack_bytes(uint32_t n, unsigned width)
{
    return n == COL_BLOCK ? (size_t)width * LANES * 8 : ((size_t)n * width + 7) / 8;
}

static void pack_block(const uint64_t *v, unsigned width, char *out)
{
    memset(lanes, 0, (size_t)width * LANES * 8);
    for (unsigned row = 0; row < LANE_ROWS; row++) {
        unsigned bit = row * width, shift = bit % 64;
        uint64_t *to = &lanes[bit / 64 * LANES];
        const uint64_t *from = &v[row * LANES];
        for (unsigned l = 0; l < LANES; l++)
            to[l] |= from[l] << shift;
        if (shift + width > 64)
            for (unsigned l = 0; l < LANES; l++)
                to[LANES + l] |= from[l] >> (64 - shift);
    }
    memcpy(out, lanes, (size_t)width * LANES * 8);
}

static void unpack_block(const uint8_t *p, unsigned width, uint64_t *out)
{
    memcpy(lanes, p, (size_t)width * LANES * 8);
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    for (unsigned row = 0; row < LANE_ROWS; row++) {
        unsigned bit = row * width, shift = bit % 64;
        const uint64_t *from = &lanes[bit / 64 * LANES];
        uint64_t *to = &out[row * LANES];
        if (shift + width > 64) {
            for (unsigned l = 0; l < LANES; l++)
                to[l] = (from[l] >> shift | from[LANES + l] << (64 - shift)) & mask;
        } else {
            for (unsigned l = 0; l < LANES; l++)
                to[l] = from[l] >> shift & mask;
        }
    }
}

static void pack_tail(const uint64_t *v, uint32_t n, unsigned width, uint8_t *out)
{
    unsigned __int128 acc = 0;
    unsigned have = 0;
    for (uint32_t i = 0; i < n; i++) {
        acc |= (unsigned __int128)v[i] << have;
        for (have += width; have >= 8; have -= 8) {
            *out++ = (uint8_t)acc;
            acc >>= 8;
        }
    }
    if (have) *out = (uint8_t)acc;
}

static void unpack_tail(const uint8_t *p, uint32_t n, unsigned width, uint64_t *out)
{
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    unsigned __int128 acc = 0;
    unsigned have = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (; have < width; have += 8)
            acc |= (unsigned __int128)*p++ << have;
        out[i] = (uint64_t)acc & mask;
        acc >>= width;
        have -= width;
    }
}

void col_pack(const uint64_t *v, uint32_t n, unsigned width, struct buf *out)
{
    ASSERT(n <= COL_BLOCK && width <= 64);
    size_t bytes = col_pack_bytes(n, width);
    char *to = width ? buf_reserve(out, bytes) : NULL;
    if (!to) return;
    if (n == COL_BLOCK)
        pack_block(v, width, to);
    else
        pack_tail(v, n, width, (uint8_t *)to);
    out->n += bytes;
}

void col_unpack(const uint8_t *p, uint32_t n, unsigned width, uint64_t *out)
{
    ASSERT(n <= COL_BLOCK && width <= 64);
    if (width == 0)
        memset(out, 0, n * sizeof *out);
    else if (n == COL_BLOCK)
        unpack_block(p, width, out);
    else
        unpack_tail(p, n, width, out);
}

/* `width` bits from bit `at` on; all bytes of them are there. */
static uint64_t bits_at(const uint8_t *p, uint64_t at, unsigned width)
{
    unsigned __int128 v = 0;
    unsigned shift = at % 8;
    memcpy(&v, p + at / 8, (shift + width + 7) / 8);
    return (uint64_t)(v >> shift) & (width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1);
}

static uint64_t word_at(const uint8_t *p, size_t i)
{
    uint64_t v;
    memcpy(&v, p + i * sizeof v, sizeof v);
    return v;
}

uint64_t col_unpack_at(const uint8_t *p, uint32_t n, unsigned width, uint32_t i)
{
    ASSERT(i < n && n <= COL_BLOCK && width <= 64);
    if (width == 0) return 0;
    if (n < COL_BLOCK) return bits_at(p, (uint64_t)i * width, width);
    unsigned bit = i / LANES * width, shift = bit % 64;
    size_t word = (size_t)(bit / 64) * LANES + i % LANES;
    uint64_t v = word_at(p, word) >> shift;
    if (shift + width > 64) v |= word_at(p, word + LANES) << (64 - shift);
    return width == 64 ? v : v & ((UINT64_C(1) << width) - 1);
}
