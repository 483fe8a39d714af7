/* Any bytes as a cover: refused, or the one form of what they say. */
#include "base/core/assert.h"
#include "storage/cover.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct cover c, both;
    struct buf again;
    struct bytes_in in = bytes_in_of(str_n(data, n));
    cover_init(&c);
    if (cover_get(&in, 10000, &c) != OK) {
        ASSERT(cover_empty(&c));
        return 0;
    }
    buf_init(&again, n + 1, NULL);
    cover_put(&c, &again);
    ASSERT(!again.failed && again.n == (size_t)(in.p - data));
    ASSERT(str_eq(buf_view(&again), str_n(data, again.n)));
    cover_init(&both);
    cover_join(&both, &c);
    cover_join(&both, &c);
    ASSERT(cover_hash(&both) == cover_hash(&c) && cover_holds(&c, &both) && cover_holds(&both, &c));
    cover_deinit(&both);
    buf_deinit(&again);
    cover_deinit(&c);
    return 0;
}
