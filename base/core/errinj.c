#include "base/core/errinj.h"

#include "base/core/assert.h"

#include <stdatomic.h>

static const char *const names[ERRINJ_COUNT] = {
#define ERRINJ(id, what) [id] = #id,
#include "base/core/errinj.def"
#undef ERRINJ
};

#if defined(TERCET_DEBUG) || defined(TERCET_ERRINJ)
static _Atomic unsigned left[ERRINJ_COUNT]; /* hits until it fires; 0 = disarmed */

void errinj_arm(enum errinj_id id, unsigned nth)
{
    ASSERT(id < ERRINJ_COUNT);
    atomic_store(&left[id], nth);
}

unsigned errinj_left(enum errinj_id id)
{
    return atomic_load(&left[id]);
}

bool errinj_hit(enum errinj_id id)
{
    unsigned n = atomic_load_explicit(&left[id], memory_order_relaxed);
    while (n)
        if (atomic_compare_exchange_weak(&left[id], &n, n - 1)) return n == 1;
    return false;
}
#else
void errinj_arm(enum errinj_id id, unsigned nth)
{
    ASSERT(id < ERRINJ_COUNT);
    (void)nth;
}

unsigned errinj_left(enum errinj_id id)
{
    (void)id;
    return 0;
}

bool errinj_hit(enum errinj_id id)
{
    (void)id;
    return false;
}
#endif

const char *errinj_name(enum errinj_id id)
{
    ASSERT(id < ERRINJ_COUNT);
    return names[id];
}
