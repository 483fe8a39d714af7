/* Integers in blocks of 1,024 (the last one shorter). A block:
 *
 *   u8 mode | scale << 2    scale: values differ by multiples of 1, 10^3, 10^6, 10^9 (s = 0..3)
 *   CONST         zigzag varint v
 *   CONST_DELTA   zigzag varint first, zigzag varint delta
 *   FRAME         zigzag varint min; u8 width; packed (v - min) / 10^(3s)
 *   DELTA         zigzag varint first, zigzag varint least delta; u8 width; packed (delta - least) / 10^(3s),
 *                 the first value's own delta being the least
 *   u8 16         FEW: u8 count (2 to 16), that many zigzag varints, each the difference from the one before (the
 *                 first from 0); packed numbers of the values, in as many bits as count - 1 has
 *   u8 17         RISE, codes in order of first appearance: zigzag varint next; varint k; the numbers of k values, each a
 *                 varint, the difference from the one before; u8 width; packed distances. A value not among the k is the
 *                 next one, which goes up by one; one of the k stands its distance below the next one.
 * Arithmetic wraps at 64 bits, so that every pattern of bits decodes to something. */
#include "base/core/assert.h"
#include "storage/col_codec.h"

#include <stdlib.h>

enum { MODE_CONST, MODE_CONST_DELTA, MODE_FRAME, MODE_DELTA, MODE_FEW = 16, MODE_RISE = 17, FEW_MAX = 16 };
enum { FEW_OF_BLOCK = 64 /* values that are picked out one by one */ };
static const char *const mode_names[] = { "const", "line", "frame", "delta" };
static const uint64_t scales[4] = { 1, 1000, 1000000, 1000000000 };

static _Thread_local uint64_t work[COL_BLOCK], packed[COL_BLOCK];
static _Thread_local uint16_t repeats[COL_BLOCK]; /* of RISE */

static void put_zigzag(struct buf *b, uint64_t v) { buf_varint(b, zigzag((int64_t)v)); }

/* The largest scale that divides all differences from min. */
static unsigned scale_of(const uint64_t *v, uint32_t n, uint64_t min)
{
    unsigned s = 3;
    for (uint32_t i = 0; i < n && s; i++)
        while (s && (v[i] - min) % scales[s])
            s--;
    return s;
}

/* Numbers the values into `packed` when there are at most FEW_MAX of them (status codes, kinds, ports); 0 = more. */
static uint32_t number_few(const uint64_t *v, uint32_t n, uint64_t few[FEW_MAX])
{
    uint32_t count = 0, k = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!count || few[k] != v[i]) {
            for (k = 0; k < count && few[k] != v[i]; k++)
                ;
            if (k == FEW_MAX) return 0;
            if (k == count) few[count++] = v[i];
        }
        packed[i] = k;
    }
    return count;
}

/* False when `width` bits a value are as good. */
static bool put_few(const uint64_t *v, uint32_t n, unsigned width, struct buf *out)
{
    uint64_t few[FEW_MAX];
    if (width < 2) return false;
    uint32_t count = number_few(v, n, few);
    unsigned bits = count ? bits_of(count - 1) : 64;
    if (bits >= width || (width - bits) * n / 8 < count * 3) return false;
    buf_byte(out, MODE_FEW);
    buf_byte(out, (uint8_t)count);
    for (uint32_t k = 0; k < count; k++)
        put_zigzag(out, few[k] - (k ? few[k - 1] : 0));
    col_pack(packed, n, bits, out);
    return true;
}

/* The numbers of the values that do not continue the rise to the greatest value, `max`, last first. */
static uint32_t find_repeats(const uint64_t *v, uint32_t n, uint64_t max, uint16_t *at, uint64_t *next)
{
    uint32_t k = 0;
    for (uint32_t i = n; i-- > 0;) {
        if (v[i] == max)
            max--;
        else
            at[k++] = (uint16_t)i;
    }
    *next = max + 1;
    return k;
}

/* False when `width` bits a value are as good. */
static bool put_rise(const uint64_t *v, uint32_t n, uint64_t max, unsigned width, struct buf *out)
{
    uint64_t next, most = 0;
    uint16_t *at = repeats;
    uint32_t k = find_repeats(v, n, max, at, &next);
    if (k > n - n / 8) return false;
    for (uint32_t i = 0; i < k; i++) { /* of the ith from the last: behind at[k - 1 - i] - i new ones */
        uint32_t j = at[k - 1 - i];
        packed[i] = next + (j - i) - v[j];
        most = MAX(most, packed[i]);
    }
    unsigned bits = bits_of(most);
    if ((uint64_t)k * (bits + 9) + 64 >= (uint64_t)n * width) return false;
    buf_byte(out, MODE_RISE);
    put_zigzag(out, next);
    buf_varint(out, k);
    for (uint32_t i = k; i-- > 0;)
        buf_varint(out, at[i] - (i + 1 < k ? at[i + 1] : 0u));
    buf_byte(out, (uint8_t)bits);
    col_pack(packed, k, bits, out);
    return true;
}

static void put_block(const uint64_t *v, uint32_t n, struct buf *out)
{
    int64_t min = (int64_t)v[0], max = min, dmin = INT64_MAX, dmax = INT64_MIN;
    for (uint32_t i = 1; i < n; i++) {
        int64_t x = (int64_t)v[i], d = (int64_t)(v[i] - v[i - 1]);
        min = MIN(min, x);
        max = MAX(max, x);
        dmin = MIN(dmin, d);
        dmax = MAX(dmax, d);
    }
    if (min == max) {
        buf_byte(out, MODE_CONST);
        put_zigzag(out, v[0]);
        return;
    }
    if (dmin == dmax) {
        buf_byte(out, MODE_CONST_DELTA);
        put_zigzag(out, v[0]);
        put_zigzag(out, (uint64_t)dmin);
        return;
    }
    uint64_t range = (uint64_t)max - (uint64_t)min;
    /* Wider than that, differences wrap and are no multiples of anything. */
    bool tame = range < UINT64_C(1) << 62;
    unsigned s = tame && range >= 1000 ? scale_of(v, n, (uint64_t)min) : 0;
    uint64_t scale = scales[s];
    unsigned width = bits_of(range / scale), dwidth = 64;
    if (tame) dwidth = bits_of(((uint64_t)dmax - (uint64_t)dmin) / scale);
    bool delta = dwidth + 1 < width;
    if (put_few(v, n, delta ? dwidth : width, out)) return;
    if (put_rise(v, n, (uint64_t)max, delta ? dwidth : width, out)) return;
    buf_byte(out, (uint8_t)((delta ? MODE_DELTA : MODE_FRAME) | s << 2));
    put_zigzag(out, delta ? v[0] : (uint64_t)min);
    if (delta) {
        put_zigzag(out, (uint64_t)dmin);
        packed[0] = 0;
        for (uint32_t i = 1; i < n; i++)
            packed[i] = v[i] - v[i - 1] - (uint64_t)dmin;
        width = dwidth;
    } else {
        for (uint32_t i = 0; i < n; i++)
            packed[i] = v[i] - (uint64_t)min;
    }
    if (s)
        for (uint32_t i = 0; i < n; i++)
            packed[i] /= scale;
    buf_byte(out, (uint8_t)width);
    col_pack(packed, n, width, out);
}

static err_t get_few(struct cur *c, uint32_t n, uint64_t *out)
{
    uint64_t few[FEW_MAX], d;
    uint8_t count;
    const uint8_t *p;
    TRY(cur_u8(c, &count));
    if (count < 2 || count > FEW_MAX) return err_set(ERR_CORRUPT, "an integer block of %u values", count);
    for (uint32_t k = 0; k < count; k++) {
        TRY(cur_varint(c, &d));
        few[k] = (k ? few[k - 1] : 0) + (uint64_t)unzigzag(d);
    }
    unsigned bits = bits_of(count - 1u);
    TRY(cur_take(c, col_pack_bytes(n, bits), &p));
    col_unpack(p, n, bits, out);
    for (uint32_t i = 0; i < n; i++) {
        if (out[i] >= count) return err_set(ERR_CORRUPT, "value %u of %u", (unsigned)out[i], count);
        out[i] = few[out[i]];
    }
    return OK;
}

static err_t get_rise(struct cur *c, uint32_t n, uint64_t *out)
{
    uint64_t next;
    uint16_t *at = repeats;
    uint32_t k, step, last = 0;
    uint8_t width;
    const uint8_t *p;
    TRY(cur_varint(c, &next));
    TRY(cur_count(c, n, &k));
    for (uint32_t i = 0; i < k; i++) {
        TRY(cur_count(c, n, &step));
        last += step;
        if (last >= n || (i && step == 0)) return err_set(ERR_CORRUPT, "value %u of %u", last, n);
        at[i] = (uint16_t)last;
    }
    TRY(cur_u8(c, &width));
    if (width > 64) return err_set(ERR_CORRUPT, "integers of %u bits", width);
    TRY(cur_take(c, col_pack_bytes(k, width), &p));
    col_unpack(p, k, width, packed);
    next = (uint64_t)unzigzag(next);
    for (uint32_t i = 0, j = 0; i < n; i++) {
        if (j < k && at[j] == i)
            out[i] = next - packed[j++];
        else
            out[i] = next++;
    }
    return OK;
}

static err_t get_block(struct cur *c, uint32_t n, uint64_t *out)
{
    uint8_t head, width;
    uint64_t base, step = 0;
    TRY(cur_u8(c, &head));
    if (head == MODE_FEW) return col_saw("few"), get_few(c, n, out);
    if (head == MODE_RISE) return col_saw("rise"), get_rise(c, n, out);
    unsigned mode = head & 3, s = head >> 2;
    if (s > 3) return err_set(ERR_CORRUPT, "integer block of mode %u", head);
    col_saw(mode_names[mode]);
    TRY(cur_varint(c, &base));
    base = (uint64_t)unzigzag(base);
    if (mode == MODE_CONST_DELTA || mode == MODE_DELTA) {
        TRY(cur_varint(c, &step));
        step = (uint64_t)unzigzag(step);
    }
    if (mode == MODE_CONST || mode == MODE_CONST_DELTA) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = base + step * i;
        return OK;
    }
    TRY(cur_u8(c, &width));
    if (width > 64) return err_set(ERR_CORRUPT, "integers of %u bits", width);
    const uint8_t *p;
    TRY(cur_take(c, col_pack_bytes(n, width), &p));
    col_unpack(p, n, width, out);
    uint64_t scale = scales[s];
    if (mode == MODE_FRAME) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = base + out[i] * scale;
        return OK;
    }
    out[0] = base;
    for (uint32_t i = 1; i < n; i++)
        out[i] = out[i - 1] + step + out[i] * scale;
    return OK;
}

void col_int_encode(const int64_t *v, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK)
        put_block((const uint64_t *)&v[i], MIN(n - i, COL_BLOCK), out);
}

err_t col_int_decode(struct cur *c, uint32_t n, int64_t *out)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK)
        TRY(get_block(c, MIN(n - i, COL_BLOCK), (uint64_t *)&out[i]));
    return OK;
}

/* Moves past a block without decoding it. */
static err_t skip_block(struct cur *c, uint32_t n)
{
    uint8_t head, count, width;
    uint64_t ignored;
    const uint8_t *p;
    TRY(cur_u8(c, &head));
    if (head == MODE_FEW) {
        TRY(cur_u8(c, &count));
        if (count < 2 || count > FEW_MAX) return err_set(ERR_CORRUPT, "an integer block of %u values", count);
        for (uint32_t k = 0; k < count; k++)
            TRY(cur_varint(c, &ignored));
        return cur_take(c, col_pack_bytes(n, bits_of(count - 1u)), &p);
    }
    TRY(cur_varint(c, &ignored));
    if (head == MODE_RISE) {
        uint32_t k, step;
        TRY(cur_count(c, n, &k));
        for (uint32_t i = 0; i < k; i++)
            TRY(cur_count(c, n, &step));
        TRY(cur_u8(c, &width));
        if (width > 64) return err_set(ERR_CORRUPT, "integers of %u bits", width);
        return cur_take(c, col_pack_bytes(k, width), &p);
    }
    unsigned mode = head & 3;
    if (mode == MODE_CONST_DELTA || mode == MODE_DELTA) TRY(cur_varint(c, &ignored));
    if (mode == MODE_CONST || mode == MODE_CONST_DELTA) return OK;
    TRY(cur_u8(c, &width));
    if (width > 64) return err_set(ERR_CORRUPT, "integers of %u bits", width);
    return cur_take(c, col_pack_bytes(n, width), &p);
}

/* Of packed values at hand, out[i] = base + scale * value number at[i] - from. */
static void pick(const uint8_t *p, uint32_t n, unsigned width, uint64_t base, uint64_t scale, uint32_t from, const uint32_t *at, uint32_t k,
                 int64_t *out)
{
    for (uint32_t i = 0; i < k; i++)
        out[i] = (int64_t)(base + scale * col_unpack_at(p, n, width, at[i] - from));
}

/* Values numbered at[i] - from of a block, where they can be had without the others; *done: they could. */
static err_t get_frame_at(struct cur *c, uint32_t n, uint32_t from, const uint32_t *at, uint32_t k, int64_t *out, bool *done)
{
    uint64_t base;
    uint8_t width;
    const uint8_t *p, head = *c->p;
    *done = head < MODE_FEW && ((head & 3) == MODE_CONST || (head & 3) == MODE_FRAME) && head >> 2 < ARRAY_LEN(scales);
    if (!*done) return OK;
    c->p++;
    col_saw(mode_names[head & 3]);
    TRY(cur_varint(c, &base));
    base = (uint64_t)unzigzag(base);
    if ((head & 3) == MODE_CONST) {
        for (uint32_t i = 0; i < k; i++)
            out[i] = (int64_t)base;
        return OK;
    }
    TRY(cur_u8(c, &width));
    if (width > 64) return err_set(ERR_CORRUPT, "integers of %u bits", width);
    TRY(cur_take(c, col_pack_bytes(n, width), &p));
    pick(p, n, width, base, scales[head >> 2], from, at, k, out);
    return OK;
}

/* Values numbered at[i] - from of a block of n. */
static err_t get_block_at(struct cur *c, uint32_t n, uint32_t from, const uint32_t *at, uint32_t k, int64_t *out)
{
    bool done = false;
    if (k <= FEW_OF_BLOCK && c->p < c->end) TRY(get_frame_at(c, n, from, at, k, out, &done));
    if (done) return OK;
    TRY(get_block(c, n, work));
    for (uint32_t i = 0; i < k; i++)
        out[i] = (int64_t)work[at[i] - from];
    return OK;
}

err_t col_int_decode_at(struct cur *c, uint32_t n, const uint32_t *at, uint32_t k, int64_t *out)
{
    uint32_t next = 0;
    for (uint32_t from = 0, some; from < n && next < k; from += COL_BLOCK, next += some) {
        uint32_t m = MIN(n - from, COL_BLOCK);
        for (some = 0; next + some < k && at[next + some] < from + m;)
            some++;
        TRY(some ? get_block_at(c, m, from, at + next, some, out + next) : skip_block(c, m));
    }
    ASSERT(next == k);
    return OK;
}

err_t col_code_decode_at(struct cur *c, uint32_t n, uint32_t limit, const uint32_t *at, uint32_t k, uint32_t *out)
{
    int64_t *wide = malloc(((size_t)k + 1) * sizeof *wide);
    ASSERT(wide);
    err_t e = col_int_decode_at(c, n, at, k, wide);
    for (uint32_t i = 0; e == OK && i < k; i++) {
        if ((uint64_t)wide[i] >= limit)
            e = err_set(ERR_CORRUPT, "code %llu of a dictionary of %u", (unsigned long long)wide[i], limit);
        else
            out[i] = (uint32_t)wide[i];
    }
    free(wide);
    return e;
}

void col_code_encode(const uint32_t *v, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK) {
        uint32_t m = MIN(n - i, COL_BLOCK);
        for (uint32_t k = 0; k < m; k++)
            work[k] = v[i + k];
        put_block(work, m, out);
    }
}

err_t col_code_decode(struct cur *c, uint32_t n, uint32_t limit, uint32_t *out)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK) {
        uint32_t m = MIN(n - i, COL_BLOCK);
        TRY(get_block(c, m, work));
        uint64_t max = 0;
        for (uint32_t k = 0; k < m; k++) {
            max = MAX(max, work[k]);
            out[i + k] = (uint32_t)work[k];
        }
        if (max >= limit)
            return err_set(ERR_CORRUPT, "code %llu of a dictionary of %u", (unsigned long long)max, limit);
    }
    return OK;
}
