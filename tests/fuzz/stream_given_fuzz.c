/* Any bytes as the list of a stream's segments: refused, or a list that is the same again after it was written. */
#include "base/core/assert.h"
#include "storage/stream_copy.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct stream_given g, again;
    struct arena a;
    struct buf out;
    struct bytes_in in = bytes_in_of(str_n((const char *)data, n));
    arena_init(&a, NULL);
    stream_given_init(&g);
    stream_given_init(&again);
    buf_init(&out, 1 << 24, NULL);
    if (stream_given_get(&in, 10000, &a, &g) == OK) {
        stream_given_put(&g, &out);
        struct bytes_in more = bytes_in_of(buf_view(&out));
        err_t e = stream_given_get(&more, 10000, &a, &again);
        ASSERT(!out.failed && e == OK && again.n == g.n && again.stream == g.stream);
        ASSERT(bytes_in_left(&more) == 0 && cover_hash(&again.cover) == cover_hash(&g.cover) && again.keys.n == g.keys.n);
    }
    buf_deinit(&out);
    stream_given_deinit(&g);
    stream_given_deinit(&again);
    arena_deinit(&a);
    return 0;
}
