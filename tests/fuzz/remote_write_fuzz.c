/* Remote write. The first byte: bit 0 = version 2.0, bit 1 = the rest is a snappy block (else the bare message). Each
 * message is decoded twice, so that the second time finds its series in the cache: both must give the same batch. */
#include "base/core/assert.h"
#include "server/ingest/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static err_t decode(bool v2, struct str in, struct rw_cache *cache, struct arena *a, struct buf *out)
{
    struct metric_builder b;
    struct rw_stats st;
    struct rw_generation *g = rw_cache_pin(cache);
    metric_builder_init(&b, a, NULL);
    err_t e = v2 ? rw_decode_v2(in, g, &b, &st) : rw_decode_v1(in, g, &b, &st);
    if (e == OK) {
        struct metric_batch back, *m = metric_builder_finish(&b);
        metric_batch_encode(m, NULL, out);
        ASSERT(metric_batch_decode(buf_view(out), a, &back) == OK);
        if (back.exemplars) table_put(back.exemplars);
    }
    metric_builder_deinit(&b);
    rw_cache_unpin(cache, g);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct buf first, second;
    if (size == 0) return 0;
    bool v2 = data[0] & 1;
    struct str in = str_n(data + 1, size - 1);
    arena_init(&a, NULL);
    buf_init(&first, 256 << 20, NULL);
    buf_init(&second, 256 << 20, NULL);
    struct rw_cache *cache = rw_cache_new(NULL, 1 << 20);
    if (!(data[0] & 2) || rw_uncompress(in, &a, &in) == OK) {
        err_t e = decode(v2, in, cache, &a, &first);
        ASSERT(decode(v2, in, cache, &a, &second) == e);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
    }
    rw_cache_free(cache);
    buf_deinit(&first);
    buf_deinit(&second);
    arena_deinit(&a);
    return 0;
}
