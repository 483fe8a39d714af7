/* A budget counts bytes that a class of work (and, below it, a tenant) holds. Arenas and buffers charge
 * it. Budgets form a chain: a charge goes to the budget and all its parents.
 *
 * Charges never fail in place: the holder may overdraw by one block, and finds out at its next check
 * (arena_check, buf_failed), which every loop over input calls. So no allocation returns NULL.
 * Counters are atomic (relaxed): budgets are shared by reactors, the sums are advisory to one block. */
#ifndef BASE_CORE_BUDGET_H
#define BASE_CORE_BUDGET_H

#include "base/core/err.h"
#include "base/core/types.h"

#include <stdatomic.h>

struct budget {
    const char *name;
    struct budget *parent;  /* or NULL */
    _Atomic int64_t used;   /* bytes */
    _Atomic int64_t peak;   /* bytes */
    int64_t hard;           /* bytes; at or above it budget_check refuses */
    err_t refusal;          /* what a refusal means: ERR_OVERLOAD (ingest) or ERR_LIMIT (query) */
    _Atomic uint64_t refused;
};

void budget_init(struct budget *b, const char *name, struct budget *parent, int64_t hard_bytes,
                 err_t refusal);
void budget_charge(struct budget *b, int64_t bytes); /* b may be NULL: uncounted */
void budget_release(struct budget *b, int64_t bytes);
/* OK, or the refusal of the first budget of the chain that is over its limit. */
MUST_CHECK err_t budget_check(struct budget *b);

#endif
