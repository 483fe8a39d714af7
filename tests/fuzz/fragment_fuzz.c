/* The bytes of a fragment from another node, of every kind that is registered: u8 length and name of the kind, varint length and plan,
 * the partial. What reads, writes bytes that read to the same again. */
#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "query/fragments.h"
#include "server/api/fragments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY_MAX = 64 << 20, BYTES_MAX = 256 << 20 };

static bool whole(const struct bytes_in *in) { return !in->bad && in->p == in->end; }

/* first: what was read wrote these bytes. They read, and write themselves. */
static void partial_again(const struct fragment_kind *k, const void *plan, const void *partial, struct arena *a)
{
    struct buf first, second;
    void *got;
    buf_init(&first, BYTES_MAX, NULL);
    buf_init(&second, BYTES_MAX, NULL);
    k->partial_put(plan, partial, &first);
    struct bytes_in in = bytes_in_of(buf_view(&first));
    if (buf_check(&first) == OK && k->partial_get(plan, &in, a, &got) == OK) {
        ASSERT(whole(&in));
        k->partial_put(plan, got, &second);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
    } else {
        ASSERT(arena_check(a) != OK || buf_check(&first) != OK); /* the same once more has no room */
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

static void plan_again(const struct fragment_kind *k, struct query *q, const void *plan)
{
    struct buf first, second;
    const void *got;
    buf_init(&first, BYTES_MAX, NULL);
    buf_init(&second, BYTES_MAX, NULL);
    k->plan_put(plan, &first);
    struct bytes_in in = bytes_in_of(buf_view(&first));
    if (k->plan_get(q, &in, &got) == OK) {
        ASSERT(whole(&in));
        k->plan_put(got, &second);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
        if (k->plan_free) k->plan_free(got);
    } else {
        ASSERT(arena_check(q->arena) != OK);
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes_in in = bytes_in_of(str_n(data, size));
    api_fragments_register();
    const struct fragment_kind *k = fragment_find(bytes_in_raw(&in, bytes_in_u8(&in)));
    struct bytes_in plan_in = bytes_in_of(bytes_in_str(&in));
    if (in.bad || !k || !k->plan_put) return 0;
    struct budget budget, answer_budget;
    struct arena mem, answer;
    struct query q = { .tenant = STR("fuzz"), .arena = &mem, .budget = &budget };
    const void *plan;
    void *partial;
    budget_init(&budget, "fuzz", NULL, MEMORY_MAX, ERR_LIMIT);
    budget_init(&answer_budget, "fuzz", NULL, MEMORY_MAX, ERR_LIMIT);
    arena_init(&mem, &budget);
    arena_init(&answer, &answer_budget);
    if (k->plan_get(&q, &plan_in, &plan) == OK) {
        if (whole(&plan_in)) {
            plan_again(k, &q, plan);
            if (k->partial_get(plan, &in, &answer, &partial) == OK && whole(&in)) partial_again(k, plan, partial, &answer);
        }
        if (k->plan_free) k->plan_free(plan);
    }
    arena_deinit(&answer);
    arena_deinit(&mem);
    ASSERT(atomic_load(&budget.used) == 0 && atomic_load(&answer_budget.used) == 0);
    return 0;
}
