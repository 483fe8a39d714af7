/* table_decode on any bytes: an error, or a table that encodes and decodes again. The input is the raw form behind
 * a first byte: 0 = as it is, else the rest is wrapped as an lz4 block first, so that mutations reach the columns. */
#include "base/core/assert.h"
#include "storage/col_codec.h"

#include <lz4.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 20) return 0;
    struct budget budget;
    budget_init(&budget, "fuzz", NULL, 64 << 20, ERR_LIMIT);
    struct buf b;
    buf_init(&b, 8 << 20, NULL);
    if (data[0] == 0) {
        buf_put(&b, data + 1, size - 1);
    } else {
        buf_byte(&b, 2);
        buf_varint(&b, size - 1);
        int room = LZ4_compressBound((int)size);
        char *to = buf_reserve(&b, (size_t)room);
        ASSERT(to);
        b.n += (size_t)LZ4_compress_default((const char *)data + 1, to, (int)size - 1, room);
    }
    struct table *t;
    if (table_decode(buf_view(&b), &budget, &t) == OK) {
        buf_clear(&b);
        table_encode(t, &b);
        struct table *u = NULL;
        if (buf_check(&b) == OK) ASSERT(table_decode(buf_view(&b), NULL, &u) == OK);
        table_put(u);
        table_put(t);
    }
    buf_deinit(&b);
    ASSERT(budget.used == 0);
    return 0;
}
