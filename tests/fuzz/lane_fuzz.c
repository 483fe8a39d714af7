/* Any bytes as the requests of a call, and as the results of one: refused, or the one form of what they say. */
#include "base/core/assert.h"
#include "cluster/lane.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void requests(struct str body)
{
    struct str all[LANE_REQUESTS];
    struct buf again;
    uint32_t count;
    if (lane_requests(body, all, &count) != OK) return;
    ASSERT(count >= 1 && count <= LANE_REQUESTS);
    buf_init(&again, body.n + 1, NULL);
    for (uint32_t i = 0; i < count; i++) {
        size_t begin = lane_begin(&again);
        buf_str(&again, all[i]);
        lane_end(&again, begin);
    }
    ASSERT(str_eq(buf_view(&again), body));
    buf_deinit(&again);
}

static void results(struct str body)
{
    struct bytes_in in = bytes_in_of(body);
    while (bytes_in_left(&in) > 0) {
        const uint8_t *before = in.p;
        err_t e = lane_result_get(&in);
        ASSERT(e == OK || err_record()->code == e);
        ASSERT(in.bad || in.p > before);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    requests(str_n(data, n));
    results(str_n(data, n));
    return 0;
}
