#include "base/core/budget.h"

#include "base/core/assert.h"
#include "base/core/errinj.h"

void budget_init(struct budget *b, const char *name, struct budget *parent, int64_t hard_bytes,
                 err_t refusal)
{
    *b = (struct budget){ .name = name, .parent = parent, .hard = hard_bytes, .refusal = refusal };
}

void budget_charge(struct budget *b, int64_t bytes)
{
    for (; b; b = b->parent) {
        int64_t now = atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed) + bytes;
        int64_t peak = atomic_load_explicit(&b->peak, memory_order_relaxed);
        while (now > peak && !atomic_compare_exchange_weak_explicit(
                                 &b->peak, &peak, now, memory_order_relaxed, memory_order_relaxed))
            ;
    }
}

void budget_release(struct budget *b, int64_t bytes)
{
    for (; b; b = b->parent) {
        int64_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
        ASSERT(before >= bytes);
    }
}

err_t budget_check(struct budget *b)
{
    if (b && errinj_hit(EI_BUDGET)) return err_set(b->refusal, "memory budget '%s' is exhausted (injected)", b->name);
    for (; b; b = b->parent) {
        int64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
        if (used < b->hard) continue;
        atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
        return err_set(b->refusal, "memory budget '%s' is exhausted: %lld of %lld bytes", b->name,
                       (long long)used, (long long)b->hard);
    }
    return OK;
}
