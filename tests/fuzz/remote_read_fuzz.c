/* Remote read's requests. What is read obeys its limits, and reads the same as a plan that went to another node. */
#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "query/query.h"
#include "server/api/prometheus_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct fragment_kind PROM_SAMPLES_KIND;

static void travels(const struct prom_ranges *p, struct arena *a)
{
    struct query q = { .tenant = STR("fuzz"), .arena = a };
    struct buf first, second;
    const void *got;
    buf_init(&first, 64 << 20, NULL);
    buf_init(&second, 64 << 20, NULL);
    PROM_SAMPLES_KIND.plan_put(p, &first);
    struct bytes_in in = bytes_in_of(buf_view(&first));
    ASSERT(PROM_SAMPLES_KIND.plan_get(&q, &in, &got) == OK && in.p == in.end);
    PROM_SAMPLES_KIND.plan_put(got, &second);
    ASSERT(str_eq(buf_view(&first), buf_view(&second)));
    PROM_SAMPLES_KIND.plan_free(got);
    buf_deinit(&first);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, NULL);
    struct prom_read *r = ARENA_NEW(&a, struct prom_read);
    if (prom_read_decode(str_n(data, size), &a, r) == OK) {
        ASSERT(r->form < PROM_READ_FORMS && r->ranges.n <= PROM_RANGES_MAX);
        for (uint32_t i = 0; i < r->ranges.n; i++)
            ASSERT(r->ranges.v[i].sel.n <= PROM_READ_MATCHERS_MAX && r->ranges.v[i].tmin_ms <= r->ranges.v[i].tmax_ms);
        travels(&r->ranges, &a);
    }
    pq_regexes_free(&r->regexes);
    arena_deinit(&a);
    return 0;
}
