/* The codec of strings that look alike, on any bytes. First byte even: the rest is taken as a block of 1 + its next byte
 * strings; an error or any strings, all and few of them alike. Odd: the rest is strings, cut at its second byte; what templates
 * take comes back to the byte. */
#include "base/core/assert.h"
#include "storage/col_text.h"
#include "tests/unit/text_found.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_strings(char cut, const char *p, size_t size)
{
    uint32_t *offset = malloc((size + 2) * sizeof *offset), *ends = malloc((size + 2) * sizeof *ends), n = 0;
    char *to = malloc(size + 1);
    struct buf text, b;
    ASSERT(offset && ends && to);
    buf_init(&text, 1 << 20, NULL);
    buf_init(&b, 64 << 20, NULL);
    offset[0] = 0;
    for (size_t i = 0; i < size; i++) {
        if (p[i] != cut) buf_byte(&text, (uint8_t)p[i]);
        if (p[i] == cut || i + 1 == size) offset[++n] = (uint32_t)text.n;
    }
    if (n && col_text_encode(text.p, offset, n, &b)) {
        ASSERT(col_text_decode(buf_view(&b), n, offset[n], 0, NULL, ends, to) == OK);
        ASSERT(memcmp(to, text.p, text.n) == 0);
        ASSERT(memcmp(ends, offset + 1, n * sizeof *ends) == 0);
        check_finds(buf_view(&b), n, to, ends, (uint32_t)size * 2654435761u);
    }
    buf_deinit(&text);
    buf_deinit(&b);
    free(offset);
    free(ends);
    free(to);
}

static void check_block(uint32_t n, struct str block)
{
    enum { RAW = 4096 };
    static char to[RAW];
    uint32_t ends[256], last = n - 1;
    struct str one;
    struct budget budget;
    struct arena a;
    budget_init(&budget, "fuzz", NULL, 64 << 20, ERR_LIMIT);
    arena_init(&a, &budget);
    for (uint32_t raw = 16; raw <= RAW; raw *= 16) {
        err_t all = col_text_decode(block, n, raw, 0, &budget, ends, to), few = col_text_decode_at(block, n, raw, &last, 1, &a, &one);
        if (all != OK) {
            find_anything(block, n, raw, STR("1"));
            continue;
        }
        check_finds(block, n, to, ends, raw + n);
        uint32_t from = last ? ends[last - 1] : 0;
        ASSERT(few == OK && str_eq(one, (struct str){ to + from, ends[last] - from }));
    }
    arena_deinit(&a);
    ASSERT(budget.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 64 << 10) return 0;
    if (data[0] % 2)
        check_strings((char)data[1], (const char *)data + 2, size - 2);
    else
        check_block(1u + data[1], str_n(data + 2, size - 2));
    return 0;
}
